import SluiceCore
import SluiceGeometry
import Testing

@testable import CoresetSelector

/// Every selector picks the same rows, in the same order, as its plain reference, on random and on difficult sets.
@Suite struct SelectorReferenceTests {
    struct Pool: CustomTestStringConvertible, Sendable {
        let name: String
        let dimension: Int
        let vectors: [Int8]
        var hashes: [ContentHash]
        var testDescription: String { name }
    }

    private static func pool(_ name: String, _ count: Int, _ dimension: Int, _ value: (Int, Int) -> Int) -> Pool {
        let vectors = (0..<count).flatMap { row in (0..<dimension).map { Int8(value(row, $0)) } }
        return Pool(name: name, dimension: dimension, vectors: vectors, hashes: hashes(count))
    }

    static let pools: [Pool] = {
        var pools = (1...4 as ClosedRange<UInt64>).map { seed -> Pool in
            let dimension = [3, 17, 33, 64][Int(seed) - 1]
            return Pool(
                name: "random, \(dimension) components", dimension: dimension,
                vectors: clustered(120, dimension: dimension, centres: 7, spread: seed == 4 ? 3 : 0.5, seed: seed),
                hashes: hashes(120))
        }
        pools += [
            pool("one row", 1, 5) { $0 + $1 }, pool("one component", 60, 1) { row, _ in row % 7 - 3 },
            pool("all zero", 40, 3) { _, _ in 0 }, pool("all equal", 40, 3) { _, column in column - 9 },
            pool("three points", 50, 2) { row, column in row % 3 * 40 + column },
            pool("opposite pairs", 60, 4) { row, column in (row % 2 == 0 ? 1 : -1) * (row / 2 * 3 + column) },
            pool("a line", 70, 2) { row, column in column == 0 ? row : 0 },
            pool("powers of two", 56, 3) { row, column in column == row % 3 ? 1 << (row % 7) : 0 },
            pool("extremes", 64, 5) { row, column in (row >> column) % 2 == 0 ? 127 : -127 },
            pool("zero among others", 60, 7) { row, column in row % 4 == 0 ? 0 : (row * 31 + column * 17) % 101 - 50 },
        ]
        // Equal contents, which get equal random numbers.
        var twins = pools[0]
        twins.hashes = (0..<120).map { hash(UInt64($0 / 3)) }
        pools.append(
            Pool(name: "equal contents", dimension: twins.dimension, vectors: twins.vectors, hashes: twins.hashes))
        return pools
    }()

    private func picks(
        _ method: Method, _ pool: Pool, _ keep: Int, reservoir: Int? = nil, isResident: Bool
    ) throws -> [Int] {
        var options: OptionValues = ["keep": .quantity(.count(keep)), "method": .text(method.rawValue)]
        options["reservoir"] = reservoir.map { .integer($0) }
        let stage = try CoresetStage.make(options)
        let data = TestGroup(
            rows: pool.hashes, vectors: pool.vectors, dimension: pool.dimension, isResident: isResident)
        let ranks = try stage.select(data.group(), quota: keep, context("coreset")).ranks
        return ranks.indices.filter { ranks[$0] >= 0 }.sorted { ranks[$0] < ranks[$1] }
    }

    private func reference(_ method: Method, _ pool: Pool, _ keep: Int) -> [Int]? {
        let plain = PlainSelectors(
            vectors: pool.vectors, dimension: pool.dimension, hashes: pool.hashes, seed: context("coreset").seed)
        switch method {
        case .random: return plain.random(keep)
        case .closest: return plain.closest(keep)
        case .farthest: return plain.farthest(keep)
        case .mixed: return plain.mixed(keep)
        case .facilityLocation: return plain.facilityLocation(keep)
        case .sensitivity: return plain.sensitivity(keep)
        case .medoids: return plain.bySize(plain.medoids(keep, flatLimit: 1024))
        // `CoresetTests` and `FarthestFirstTests` cover these.
        case .farthestFirst, .scoreFirst: return nil
        }
    }

    @Test(arguments: pools) func picksAreThoseOfThePlainReference(pool: Pool) throws {
        let count = pool.hashes.count
        for method in Method.allCases {
            for keep in Set([1, 2, 7, 24, count]) where keep <= count {
                // All rows by facility location: all gains soon become 0, and the plain algorithm takes minutes.
                if method == .facilityLocation, keep > 24 { continue }
                guard let expected = reference(method, pool, keep) else { continue }
                #expect(try picks(method, pool, keep, isResident: true) == expected, "\(method) of \(keep)")
                #expect(try picks(method, pool, keep, isResident: false) == expected, "\(method) of \(keep), in chunks")
            }
        }
    }

    /// Two levels, below the stage's limit.
    @Test(arguments: pools) func medoidsInTwoLevelsAreThePlainOnes(pool: Pool) {
        let plain = PlainSelectors(
            vectors: pool.vectors, dimension: pool.dimension, hashes: pool.hashes, seed: Seed(5))
        pool.vectors.withVectors(dimension: pool.dimension) { view in
            for (keep, limit) in [(2, 1), (9, 3), (30, 10), (39, 20)] where keep < view.count {
                #expect(
                    Medoids(seed: Seed(5), flatLimit: limit).select(view, count: keep)
                        == plain.medoids(keep, flatLimit: limit))
            }
        }
    }

    /// Centres or candidates from a sample of 21 records: one level, and two if more are requested than it has.
    @Test(arguments: pools) func aReservoirGivesWhatThePlainReferenceGives(pool: Pool) throws {
        let plain = PlainSelectors(
            vectors: pool.vectors, dimension: pool.dimension, hashes: pool.hashes, seed: context("coreset").seed)
        for keep in [1, 6, 21, 30] where keep < pool.hashes.count {
            for isResident in [true, false] {
                func check(_ method: Method, _ expected: [Int]) throws {
                    #expect(
                        try picks(method, pool, keep, reservoir: 21, isResident: isResident) == expected,
                        "\(method) of \(keep)")
                }
                try check(.medoids, plain.bySize(plain.medoids(keep, reservoir: 21)))
                try check(.sensitivity, plain.sensitivity(keep, reservoir: 21))
                if keep <= 21 { try check(.facilityLocation, plain.facilityLocation(keep, reservoir: 21)) }
            }
        }
    }

    @Test func theStageGoesByTwoLevelsOverItsLimit() throws {
        let vectors = clustered(1400, dimension: 4, centres: 40, seed: 8)
        let pool = Pool(name: "", dimension: 4, vectors: vectors, hashes: hashes(1400))
        let plain = PlainSelectors(
            vectors: vectors, dimension: 4, hashes: pool.hashes, seed: context("coreset").seed)
        let expected = plain.medoids(1100, flatLimit: 1024)
        #expect(try picks(.medoids, pool, 1100, isResident: true).sorted() == expected)
    }
}
