import Glibc
public import SluiceCore

/// Finds the first record with each content, in memory. Contents are compared byte by byte.
///
/// The hash of a record finds the contents to compare it with: the first one with this hash, then any that share the
/// hash and differ. Memory per distinct record: 30 to 36 bytes for the hash (see `DedupeTable`), 24 bytes, and the
/// content rounded up to a multiple of 8, in pieces that never move. Cost: one comparison per repeated record. The
/// answers depend on the calls alone.
public struct ContentTable: ~Copyable {
    public enum Answer: Sendable, Equatable {
        /// The first record with its hash.
        case first
        /// The content equals that of this earlier record.
        case duplicate(of: UInt64)
        /// The first record with its content, but not with its hash.
        case collision
    }

    /// Precedes each content.
    private struct Header {
        var ordinal: UInt64
        var length: Int
        /// The next content with the same hash.
        var next: UnsafeMutablePointer<Header>?
    }

    /// Maps a hash to the address of its first content.
    private var table = DedupeTable()
    private var pieces: [UnsafeMutableRawPointer] = []
    private var room: UnsafeMutableRawBufferPointer
    private let pieceBytes: Int
    private var pieceMemory = 0

    /// - Parameter pieceBytes: bytes to allocate at a time.
    public init(pieceBytes: Int = 1 << 20) {
        self.pieceBytes = pieceBytes
        room = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    deinit { for piece in pieces { free(piece) } }

    /// Distinct records so far.
    public private(set) var count = 0
    /// Bytes that the table uses now.
    public var memory: Int { table.memory + pieceMemory }
    /// The most bytes that the next record may need in addition to its content.
    public var transientMemory: Int { table.transientMemory + pieceBytes }

    /// Prefetches the slots of a block's hashes; see `DedupeTable.warm`.
    @discardableResult
    public func warm(_ hashes: [ContentHash]) -> UInt64 { table.warm(hashes) }

    /// Looks up a content. A new one is stored with `ordinal`.
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
            fatalError("out of memory for the contents of the deduplication")  // lint:allow: malloc failed
        }
        pieces.append(piece)
        pieceMemory += bytes
        room = UnsafeMutableRawBufferPointer(start: piece, count: bytes)
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are equal.
    @inline(__always)
    func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
        guard count == other.count else { return false }
        guard count > 0, let a = baseAddress, let b = other.baseAddress else { return true }
        return memcmp(a, b, count) == 0
    }
}
