import Glibc

/// The ids of words that came before. Text repeats its words, and a look-up costs less than their merges.
///
/// Direct-mapped: a word has one place, and the last one there stays. It holds words of at most 24 bytes and 8 ids, one
/// cache line each, and never changes a result.
struct WordCache: ~Copyable {
    private static let places = 1 << 16
    private static let line = 64
    static let longest = 24
    static let mostIDs = 8
    static let bytes = places * line

    /// Of a line: the word (24 bytes, then zeros), its length, the number of ids, 6 bytes unused, the ids.
    private let lines: UnsafeMutableRawPointer

    init() {
        lines = .allocate(byteCount: Self.bytes, alignment: 64)
        memset(lines, 0, Self.bytes)
    }

    deinit { lines.deallocate() }

    struct Key {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var length: UInt64
        var place: Int

        /// - Parameter word: 1 to 24 bytes, of which at least 32 may be read.
        @inline(__always)
        init(_ word: UnsafePointer<UInt8>, _ count: Int) {
            let raw = UnsafeRawPointer(word)
            a = raw.loadUnaligned(as: UInt64.self)
            if count <= 8 {
                a &= ~0 >> UInt64(64 - 8 * count)
            } else {
                b = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                if count <= 16 {
                    b &= ~0 >> UInt64(64 - 8 * (count - 8))
                } else {
                    c = raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)
                    c &= ~0 >> UInt64(64 - 8 * (count - 16))
                }
            }
            length = UInt64(count)
            var hash = (a ^ length) &* 0x9E37_79B9_7F4A_7C15
            hash = (hash ^ (hash >> 32) ^ b) &* 0xD6E8_FEB8_6659_FD93
            hash = (hash ^ (hash >> 32) ^ c) &* 0x9E37_79B9_7F4A_7C15
            place = Int(truncatingIfNeeded: hash >> 48) * WordCache.line
        }
    }

    /// Appends the ids of a word; false if they are not here.
    @inline(__always)
    func append(_ key: Key, to ids: inout IDBuffer) -> Bool {
        let line = UnsafeRawPointer(lines + key.place)
        let head = line.load(fromByteOffset: 24, as: UInt64.self)
        guard line.load(as: UInt64.self) == key.a, line.load(fromByteOffset: 8, as: UInt64.self) == key.b,
            line.load(fromByteOffset: 16, as: UInt64.self) == key.c, head & 0xFF == key.length
        else { return false }
        ids.append(line + 32, Int(head >> 8 & 0xFF))
        return true
    }

    @inline(__always)
    func store(_ key: Key, _ ids: UnsafeBufferPointer<Int32>) {
        guard ids.count <= Self.mostIDs else { return }
        let line = lines + key.place
        line.storeBytes(of: key.a, as: UInt64.self)
        line.storeBytes(of: key.b, toByteOffset: 8, as: UInt64.self)
        line.storeBytes(of: key.c, toByteOffset: 16, as: UInt64.self)
        line.storeBytes(of: key.length | UInt64(ids.count) << 8, toByteOffset: 24, as: UInt64.self)
        for index in 0..<ids.count {
            line.storeBytes(of: ids[index], toByteOffset: 32 + 4 * index, as: Int32.self)
        }
    }
}

/// Ids that grow and are used again. Always has room for eight more, so that a line of the cache is copied whole.
struct IDBuffer: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Int32>
    private var capacity = 512
    var count = 0

    init() { base = .allocate(capacity: capacity + 8) }

    deinit { base.deallocate() }

    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        capacity = max(capacity * 2, count + more)
        let new = UnsafeMutablePointer<Int32>.allocate(capacity: capacity + 8)
        new.update(from: base, count: count)
        base.deallocate()
        base = new
    }

    @inline(__always)
    mutating func append(_ id: Int32) {
        reserve(1)
        base[count] = id
        count += 1
    }

    /// Appends `number` ids of a line that has room for eight.
    @inline(__always)
    mutating func append(_ ids: UnsafeRawPointer, _ number: Int) {
        reserve(8)
        UnsafeMutableRawPointer(base + count).copyMemory(from: ids, byteCount: 32)
        count += number
    }

    var ids: UnsafeBufferPointer<Int32> { UnsafeBufferPointer(start: base, count: count) }
}
