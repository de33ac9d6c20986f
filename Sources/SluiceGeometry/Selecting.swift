/// Rearranges `count` keys so that the `rank` smallest come first, in any order. Linear in practice for any input:
/// pivots come from a fixed generator, and callers use only the set of the first keys.
func partition<Key: Comparable>(_ keys: UnsafeMutablePointer<Key>, count: Int, smallest rank: Int) {
    guard rank > 0, rank < count else { return }
    var low = 0
    var high = count - 1
    var state: UInt64 = 0x5EED
    while low < high {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let pivot = keys[low + Int((state >> 33) % UInt64(high - low + 1))]
        var i = low
        var j = high
        while i <= j {
            while keys[i] < pivot { i += 1 }
            while pivot < keys[j] { j -= 1 }
            if i <= j {
                let swap = keys[i]
                keys[i] = keys[j]
                keys[j] = swap
                i += 1
                j -= 1
            }
        }
        if rank - 1 <= j {
            high = j
        } else if rank - 1 >= i {
            low = i
        } else {
            return
        }
    }
}

/// The key of a row in «farthest first, ties to the lowest row»: larger is earlier.
@inline(__always)
func farKey(_ value: Int32, _ row: Int) -> UInt64 {
    UInt64(UInt32(bitPattern: value)) << 32 | UInt64(UInt32.max - UInt32(truncatingIfNeeded: row))
}
@inline(__always) func keyRow(_ key: UInt64) -> Int { Int(UInt32.max - UInt32(truncatingIfNeeded: key)) }
@inline(__always) func keyValue(_ key: UInt64) -> Int32 { Int32(bitPattern: UInt32(key >> 32)) }

/// The share of rows to keep by score.
public enum TopShare {
    /// The `count` rows with the highest scores, ties to the lowest row, in row order; and the lowest score among them.
    ///
    /// Exact, linear in the number of rows. NaN counts as the lowest score. A `count` above the number of rows keeps
    /// all.
    public static func rows(scores: [Double], count: Int) -> (rows: [Int], threshold: Double?) {
        let count = min(max(0, count), scores.count)
        if count == 0 { return ([], nil) }
        var keys = scores.indices.map { ScoreKey(score: scores[$0].isNaN ? -.infinity : scores[$0], row: $0) }
        keys.withUnsafeMutableBufferPointer { partition($0.baseAddress!, count: $0.count, smallest: count) }
        keys.removeSubrange(count...)
        let threshold = keys.lazy.map(\.score).min()
        return (keys.map(\.row).sorted(), threshold)
    }
}

extension TopShare {
    /// The rows with the largest distances, farthest first, ties to the lowest row. Memory: 8 bytes a row.
    public static func rows(squaredDistances: [Int32], count: Int) -> [Int] {
        // The bits of a key are inverted, so that the largest come first.
        var keys = squaredDistances.indices.map { ~farKey(squaredDistances[$0], $0) }
        let count = min(max(0, count), keys.count)
        keys.withUnsafeMutableBufferPointer { keys in
            if let base = keys.baseAddress { partition(base, count: keys.count, smallest: count) }
        }
        return keys[..<count].sorted().map { keyRow(~$0) }
    }
}

/// Orders by score descending, then by row.
struct ScoreKey: Comparable, BitwiseCopyable {
    var score: Double
    var row: Int
    @inline(__always)
    static func < (a: ScoreKey, b: ScoreKey) -> Bool { a.score != b.score ? a.score > b.score : a.row < b.row }
}
