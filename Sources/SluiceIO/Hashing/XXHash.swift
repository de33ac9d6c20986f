import CXXHash
public import SluiceCore

/// XXH3 without a seed (Yann Collet's xxHash, stable since 0.8.0): the same numbers on every machine.
public enum XXHash {
    /// 128 bits, for telling records apart.
    @inline(__always)
    public static func hash128(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// 128 bits of another function for every seed: records that share `hash128` are as unlikely to share this one as any.
    static func hash128(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> ContentHash {
        let hash = XXH3_128bits_withSeed(bytes.baseAddress, bytes.count, seed)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// 64 bits, for checksums.
    @inline(__always)
    public static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 { XXH3_64bits(bytes.baseAddress, bytes.count) }
}

/// XXH3 over bytes that come in pieces; the cuts don't matter. 64 and 128 bits of it are unrelated hashes.
public struct XXHashStream: ~Copyable {
    private let state: OpaquePointer

    public init() {
        state = XXH3_createState()
        XXH3_128bits_reset(state)
    }

    deinit { XXH3_freeState(state) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        XXH3_128bits_update(state, bytes.baseAddress, bytes.count)
    }

    /// The 64-bit hash of all bytes so far.
    public var digest64: UInt64 { XXH3_64bits_digest(state) }

    /// The 128-bit hash of all bytes so far.
    public var digest128: ContentHash {
        let hash = XXH3_128bits_digest(state)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// Starts anew.
    public mutating func reset() { XXH3_128bits_reset(state) }
}

/// XXH3-128 of a file's bytes, taken from front to back while the file is read.
///
/// Any thread may ask for it while another one reads.
public final class FileDigest: @unchecked Sendable {
    // @unchecked: what changes is touched with `monitor` locked.

    /// The digest of the beginning of a file.
    public struct Mark: Sendable, Equatable {
        public var bytes: UInt64
        public var hash: ContentHash

        public init(bytes: UInt64, hash: ContentHash) {
            self.bytes = bytes
            self.hash = hash
        }
    }

    private let expected: Mark?
    private let monitor = Monitor()
    private var stream = XXHashStream()
    private var bytes: UInt64 = 0
    private var isOther = false

    /// - Parameter expected: how the file should begin.
    public init(expecting expected: Mark? = nil) { self.expected = expected }

    public func update(_ bytes: UnsafeRawBufferPointer) {
        monitor.locked {
            var rest = bytes
            if let expected, self.bytes < expected.bytes, self.bytes + UInt64(rest.count) >= expected.bytes {
                let count = Int(expected.bytes - self.bytes)
                add(UnsafeRawBufferPointer(rebasing: rest[..<count]))
                isOther = stream.digest128 != expected.hash
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            }
            add(rest)
        }
    }

    private func add(_ part: UnsafeRawBufferPointer) {
        stream.update(part)
        bytes += UInt64(part.count)
    }

    public func reset() {
        monitor.locked {
            stream.reset()
            bytes = 0
            isOther = false
        }
    }

    public var value: ContentHash { mark.hash }

    /// All that has been read so far.
    public var mark: Mark { monitor.locked { Mark(bytes: bytes, hash: stream.digest128) } }

    /// Whether the beginning is not what was expected, as far as that can be told.
    public var differs: Bool { monitor.locked { isOther } }

    /// The same at the end of the file: one that ends before is not what was expected.
    public var differsAtEnd: Bool { monitor.locked { isOther || bytes < (expected?.bytes ?? 0) } }
}

/// The identity of records by some of their fields.
///
/// Fields are framed before they are hashed: one byte for the kind (`FieldKind`), eight for the length (little-endian),
/// then the content. So («ab», «c») isn't («a», «bc»), and missing, null, the empty string and the string «null» are
/// four different things. Make one for every thread.
public struct RecordHasher: ~Copyable {
    private var buffer: UnsafeMutableRawBufferPointer
    private var count = 0

    public init() { buffer = .allocate(byteCount: 4096, alignment: 64) }

    deinit { buffer.deallocate() }

    /// Starts a record.
    @inline(__always)
    public mutating func begin() { count = 0 }

    /// Adds a field.
    @inline(__always)
    public mutating func add(_ kind: FieldKind, _ value: UnsafeRawBufferPointer) {
        if count + 9 + value.count > buffer.count { grow(9 + value.count) }
        buffer[count] = UInt8(truncatingIfNeeded: kind.rawValue)
        buffer.storeBytes(of: UInt64(value.count).littleEndian, toByteOffset: count + 1, as: UInt64.self)
        if let base = value.baseAddress {
            (buffer.baseAddress! + count + 9).copyMemory(from: base, byteCount: value.count)
        }
        count += 9 + value.count
    }

    /// The hash of the fields added since `begin`.
    @inline(__always)
    public mutating func finish() -> ContentHash { XXHash.hash128(framed) }

    /// The framed fields added since `begin`, valid until the next call.
    private var framed: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.baseAddress, count: count) }

    /// The hash of some neighbouring fields of a row.
    public mutating func hash(_ arena: FieldArena, row: Int, fields: Range<Int>) -> ContentHash {
        begin()
        for field in fields { add(arena.kind(row, field), arena.value(row, field)) }
        return finish()
    }

    /// Some fields of a row, framed, in the order given: what `hash` is the hash of, and equal only where every field
    /// is. Valid until the next call.
    public mutating func frame(_ arena: FieldArena, row: Int, fields: [Int]) -> UnsafeRawBufferPointer {
        begin()
        for field in fields { add(arena.kind(row, field), arena.value(row, field)) }
        return framed
    }

    private mutating func grow(_ more: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(buffer.count * 2, count + more), alignment: 64)
        larger.baseAddress!.copyMemory(from: buffer.baseAddress!, byteCount: count)
        buffer.deallocate()
        buffer = larger
    }
}
