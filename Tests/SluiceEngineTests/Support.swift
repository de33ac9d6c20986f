import Glibc
import SluiceCore
import SluiceIO
import Synchronization

/// A folder that is removed after the test.
final class TemporaryFolder {
    let path: String
    private static let counter = Atomic<Int>(0)

    init() throws {
        path = "/tmp/sluice-engine-tests-\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
        try FileSystem.local.makeFolder(path)
    }

    deinit { try? FileSystem.local.removeTree(path) }
}

extension SplitMix64 {
    mutating func below(_ bound: Int) -> Int { Int(next(below: UInt64(bound))) }
}

/// The numbers, shuffled by the seed.
func shuffled(_ count: Int, seed: UInt64) -> [Int] {
    var random = SplitMix64(state: seed)
    var numbers = Array(0..<count)
    for index in numbers.indices.reversed() { numbers.swapAt(index, random.below(index + 1)) }
    return numbers
}
