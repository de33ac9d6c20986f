import CXXHash
public import SluiceCore

/// XXH3 without a seed (Yann Collet's xxHash, stable since 0.8.0): the same numbers on every machine.
public enum XXHash {
    /// 128 bits, to identify records.
    @inline(__always)
    public static func hash128(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// 128 bits, an independent hash for each seed: records with equal `hash128` are no more likely than others to have
    /// this one in common.
    static func hash128(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> ContentHash {
        let hash = XXH3_128bits_withSeed(bytes.baseAddress, bytes.count, seed)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// 64 bits, for checksums.
    @inline(__always)
    public static func hash64(_ bytes: UnsafeRawBufferPointer) -> UInt64 { XXH3_64bits(bytes.baseAddress, bytes.count) }
}

extension XXHash {
    /// 64 bits, an independent hash for each seed.
    @inline(__always)
    static func hash64(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        XXH3_64bits_withSeed(bytes.baseAddress, bytes.count, seed)
    }
}

/// XXH3 of bytes added in pieces; their sizes don't matter. The 64-bit and the 128-bit hash are unrelated.
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

    /// Forgets all bytes so far.
    public mutating func reset() { XXH3_128bits_reset(state) }
}

/// XXH3-128 of a file's bytes, computed while the file is read sequentially.
///
/// Any thread may ask for the digest while another one reads.
public final class FileDigest: @unchecked Sendable {
    // @unchecked: mutable state is only accessed with `monitor` locked.

    /// The digest of the first `bytes` bytes of a file.
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

    /// - Parameter expected: the expected digest of the beginning of the file.
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

    /// The digest of all bytes read so far.
    public var mark: Mark { monitor.locked { Mark(bytes: bytes, hash: stream.digest128) } }

    /// Whether the bytes read so far are known to differ from the expected beginning.
    public var differs: Bool { monitor.locked { isOther } }

    /// Like `differs`, for use at the end of the file: a file shorter than expected differs, too.
    public var differsAtEnd: Bool { monitor.locked { isOther || bytes < (expected?.bytes ?? 0) } }
}

/// Hashes some fields of records, to identify records by them.
///
/// Each field is framed: one byte for its kind (`FieldKind`), eight for its length (little-endian), then its content.
/// So («ab», «c») differs from («a», «bc»), and missing, null, the empty string and the string «null» all differ.
/// Use one per thread.
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

    /// The hash of adjacent fields of a row.
    public mutating func hash(_ arena: FieldArena, row: Int, fields: Range<Int>) -> ContentHash {
        begin()
        for field in fields { add(arena.kind(row, field), arena.value(row, field)) }
        return finish()
    }

    /// The framed fields of a row, in the given order: the bytes that `hash` hashes, equal only if all fields are.
    /// Valid until the next call.
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
