import Glibc
import SluiceCore
import SluiceIO

/// The labels of a selection's groups, each once, in ascending order byte by byte. Memory: their bytes, at most 67 for
/// each, and eight more.
struct GroupLabels: Sendable {
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// Calls `body` with a label as it is kept: one of more than `GroupKey.longestLabel` bytes is cut, and its hash added.
    static func kept<Result>(
        _ label: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        guard label.count > GroupKey.longestLabel else { return try body(label) }
        var end = shownBytes
        // Not in the middle of a character.
        while end > 0, label[end] & 0xC0 == 0x80 { end -= 1 }
        let short = label.prefix(end) + Array("…\(hexadecimal(XXHash.hash128(label)))".utf8)
        return try short.withUnsafeBytes { try body($0) }
    }

    /// Bytes that remain of a cut label.
    private static let shownBytes = 32

    var count: Int { ends.count }

    /// The memory, in bytes.
    var size: Int { bytes.count + ends.count * MemoryLayout<Int>.stride }

    /// Calls `body` with each label.
    func forEach(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try bytes.withUnsafeBytes { all in
            for index in 0..<count { try body(UnsafeRawBufferPointer(rebasing: all[range(index)])) }
        }
    }

    func text(_ index: Int) -> String { String(decoding: bytes[range(index)], as: UTF8.self) }

    /// The index of a label; nil if it is not among them.
    func index(of label: UnsafeRawBufferPointer) -> Int? {
        var (low, high) = (0, ends.count)
        while low < high {
            let middle = low + (high - low) / 2
            let order = bytes.withUnsafeBytes { Self.order($0[range(middle)], label) }
            if order == 0 { return middle }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    fileprivate func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

    fileprivate mutating func append(_ label: UnsafeRawBufferPointer) {
        bytes.append(contentsOf: label)
        ends.append(bytes.count)
    }

    fileprivate mutating func reserve(bytes: Int, labels: Int) {
        self.bytes.reserveCapacity(bytes)
        ends.reserveCapacity(labels)
    }

    private static func order(_ a: Slice<UnsafeRawBufferPointer>, _ b: UnsafeRawBufferPointer) -> Int {
        order(UnsafeRawBufferPointer(rebasing: a), b)
    }

    /// Negative, 0 or positive, as `a` comes before `b`, equals it or comes after it.
    private static func order(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
        let common = min(a.count, b.count)
        if common > 0, let first = a.baseAddress, let second = b.baseAddress {
            let order = memcmp(first, second, common)
            if order != 0 { return Int(order) }
        }
        return a.count - b.count
    }

    /// Sorted, each label once.
    fileprivate func sorted() -> GroupLabels {
        bytes.withUnsafeBytes { all in
            func label(_ index: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: all[range(index)]) }
            let indices = (0..<count).sorted { Self.order(label($0), label($1)) < 0 }
            var result = GroupLabels()
            result.reserve(bytes: bytes.count, labels: count)
            for (place, index) in indices.enumerated()
            where place == 0 || Self.order(label(indices[place - 1]), label(index)) != 0 {
                result.append(label(index))
            }
            return result
        }
    }

    /// The union of two sorted lists.
    fileprivate func merged(with other: GroupLabels) -> GroupLabels {
        var result = GroupLabels()
        result.reserve(bytes: bytes.count + other.bytes.count, labels: count + other.count)
        bytes.withUnsafeBytes { first in
            other.bytes.withUnsafeBytes { second in
                var (a, b) = (0, 0)
                while a < count || b < other.count {
                    let left = a < count ? UnsafeRawBufferPointer(rebasing: first[range(a)]) : nil
                    let right = b < other.count ? UnsafeRawBufferPointer(rebasing: second[other.range(b)]) : nil
                    let order = left.map { left in right.map { Self.order(left, $0) } ?? -1 } ?? 1
                    if let label = order <= 0 ? left : right { result.append(label) }
                    if order <= 0 { a += 1 }
                    if order >= 0 { b += 1 }
                }
            }
        }
        return result
    }
}

/// Collects labels in flat arrays: they are gathered, sorted, and merged into those found so far.
struct LabelCollector {
    private var found = GroupLabels()
    private var pending = GroupLabels()
    /// Ensures that this many bytes are leased.
    private let lease: (_ bytes: Int, _ labels: Int) throws -> Void

    private static let leastPending = 1 << 20
    /// The most that is gathered, as a part of what was found: each merge copies what was found.
    private static let pendingPart = 8
    /// Bytes for each pending label while they are sorted: its index, twice.
    private static let perSorted = 16

    init(lease: @escaping (_ bytes: Int, _ labels: Int) throws -> Void) throws {
        self.lease = lease
        try lease(4 * Self.leastPending, 1)
    }

    mutating func add(_ label: UnsafeRawBufferPointer) throws {
        // Labels of neighbouring records are often equal.
        if pending.count > 0, pending.isLast(label) { return }
        pending.append(label)
        if pending.size >= max(Self.leastPending, found.size / Self.pendingPart) { try settle() }
    }

    consuming func labels() throws -> GroupLabels {
        try settle()
        return found
    }

    private mutating func settle() throws {
        guard pending.count > 0 else { return }
        // Pending, sorted, the old list and the new one.
        try lease(
            2 * found.size + 3 * pending.size + pending.count * Self.perSorted + Self.leastPending,
            found.count + pending.count)
        found = found.merged(with: pending.sorted())
        pending = GroupLabels()
    }
}

extension GroupLabels {
    fileprivate func isLast(_ label: UnsafeRawBufferPointer) -> Bool {
        bytes.withUnsafeBytes { Self.order($0[range(count - 1)], label) == 0 }
    }
}

extension GroupLabels: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(self.bytes)
        bytes.write(ends)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.bytes = try bytes.read()
        ends = try bytes.read()
        guard zip([0] + ends, ends).allSatisfy({ $0 <= $1 }), ends.last ?? 0 == self.bytes.count else {
            throw ByteReader.damaged("labels of groups end in another place than their bytes")
        }
    }
}
