import Glibc
public import SluiceCore

/// Which record was the first with a content, contents compared byte by byte; all of them in memory.
///
/// A hash finds the contents to compare with: the first one with it and, after that, those that share the hash and
/// differ. Memory: 30 to 36 bytes a distinct record for the hashes (see `DedupeTable`), 24 and the content rounded up to
/// 8 for the rest, in pieces that are never moved. Cost: one comparison a repeated record. The answer depends on the
/// calls alone.
public struct ContentTable: ~Copyable {
    public enum Answer: Sendable, Equatable {
        /// The first with its hash.
        case first
        /// Its content is that of this earlier record.
        case duplicate(of: UInt64)
        /// The first with its content, though not with its hash.
        case collision
    }

    /// What stands before each content.
    private struct Header {
        var ordinal: UInt64
        var length: Int
        /// The next content with the same hash.
        var next: UnsafeMutablePointer<Header>?
    }

    /// From a hash to the address of the first content with it.
    private var table = DedupeTable()
    private var pieces: [UnsafeMutableRawPointer] = []
    private var room: UnsafeMutableRawBufferPointer
    private let pieceBytes: Int
    private var pieceMemory = 0

    /// - Parameter pieceBytes: how much memory is asked for at a time.
    public init(pieceBytes: Int = 1 << 20) {
        self.pieceBytes = pieceBytes
        room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    deinit { for piece in pieces { free(piece) } }

    /// Distinct records so far.
    public private(set) var count = 0
    /// The bytes that the table holds now.
    public var memory: Int { table.memory + pieceMemory }
    /// The memory that one more record may ask for at this moment beside its content.
    public var transientMemory: Int { table.transientMemory + pieceBytes }

    /// Brings the places of a block's hashes near; see `DedupeTable.warm`.
    @discardableResult
    public func warm(_ hashes: [ContentHash]) -> UInt64 { table.warm(hashes) }

    /// Looks a content up, and keeps it with `ordinal` where it is new.
    public mutating func insertOrFind(
        _ hash: ContentHash, _ ordinal: UInt64, _ content: UnsafeRawBufferPointer
    ) -> Answer {
        guard let known = table.find(hash), var at = UnsafeMutablePointer<Header>(bitPattern: UInt(known)) else {
            _ = table.insertOrFind(hash, UInt64(UInt(bitPattern: make(ordinal, content))))
            return .first
        }
        while true {
            if Self.content(of: at).hasSameBytes(as: content) { return .duplicate(of: at.pointee.ordinal) }
            guard let next = at.pointee.next else { break }
            at = next
        }
        at.pointee.next = make(ordinal, content)
        return .collision
    }

    private static func content(of header: UnsafeMutablePointer<Header>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: header + 1, count: header.pointee.length)
    }

    private mutating func make(_ ordinal: UInt64, _ content: UnsafeRawBufferPointer) -> UnsafeMutablePointer<Header> {
        let needed = MemoryLayout<Header>.size + (content.count + 7) & ~7
        if room.count < needed { addPiece(max(pieceBytes, needed)) }
        let place = room.baseAddress.unsafelyUnwrapped
        let header = place.initializeMemory(
            as: Header.self, to: Header(ordinal: ordinal, length: content.count, next: nil))
        if let base = content.baseAddress {
            (place + MemoryLayout<Header>.size).copyMemory(from: base, byteCount: content.count)
        }
        room = UnsafeMutableRawBufferPointer(rebasing: room[needed...])
        count += 1
        return header
    }

    private mutating func addPiece(_ bytes: Int) {
        guard let piece = malloc(bytes) else {
            fatalError("no memory for the contents of the deduplication")  // lint:allow: malloc failed
        }
        pieces.append(piece)
        pieceMemory += bytes
        room = UnsafeMutableRawBufferPointer(start: piece, count: bytes)
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are the same, by `memcmp`.
    @inline(__always)
    func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard count > 0, let a = baseAddress, let b = other.baseAddress else { return true }
        return memcmp(a, b, count) == 0
    }
}
