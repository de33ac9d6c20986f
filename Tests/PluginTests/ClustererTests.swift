import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

@testable import Clusterer

@Suite struct ClustererTests {
    private func cluster(
        _ options: OptionValues, _ vectors: [Int8], dimension: Int, hashes: [ContentHash]? = nil, size: Int = 64,
        isReversed: Bool = false
    ) throws -> (labels: [Int64], distances: [Double], report: JSONValue) {
        let stage = try ClusterStage.make(options)
        let context = context("cluster")
        guard case .survey(let reservoir) = try stage.body(context) else {
            throw StageError(.fault, "no survey")
        }
        let result = try survey(
            reservoir, vectors, dimension: dimension, hashes: hashes, size: size, isReversed: isReversed, context)
        guard case .transform(let transform) = result.body else { throw StageError(.fault, "no transform") }
        var labels: [Int64] = []
        var distances: [Double] = []
        try forEachBlock(vectors, dimension: dimension, hashes: hashes, size: size) { block in
            try transform.apply(once: &block, context)
            labels += try block.integers(.cluster)
            distances += try block.reals(.clusterDistance)
        }
        return (labels, distances, result.report)
    }

    @Test func findsWellSeparatedClusters() throws {
        let vectors = clustered(600, dimension: 32, centres: 5, spread: 0.05)
        let made = try cluster(["clusters": 5], vectors, dimension: 32)
        for a in stride(from: 0, to: 600, by: 7) {
            for b in stride(from: 0, to: 600, by: 11) {
                let isNear = squaredDistance(vectors, a, b, 32) < 8_000
                #expect(isNear == (made.labels[a] == made.labels[b]))
            }
        }
        #expect(made.distances.allSatisfy { $0 < 0.2 })
        #expect(made.report["clusters"]?.integerValue == 5)
    }

    @Test func neitherBlocksNorTheTreeOfMergesChangeAnything() throws {
        let vectors = clustered(3000, dimension: 16, centres: 12)
        let options: OptionValues = ["clusters": 12, "reservoir": 200]
        let one = try cluster(options, vectors, dimension: 16, size: 3000)
        for size in [50, 333] {
            for isReversed in [false, true] {
                let other = try cluster(options, vectors, dimension: 16, size: size, isReversed: isReversed)
                #expect(other.labels == one.labels)
                #expect(other.report == one.report)
            }
        }
        #expect(one.report["reservoir"]?["records"]?.integerValue == 200)
    }

    /// Copies of a record must not distort the sample: it has one per content.
    @Test func copiesDoNotChangeTheClusters() throws {
        let vectors = clustered(2000, dimension: 16, centres: 8)
        let copies = Array(vectors[..<(16 * 500)])
        let hashes = hashes(2000)
        let options: OptionValues = ["clusters": 8, "reservoir": 300]
        let one = try cluster(options, vectors, dimension: 16, hashes: hashes)
        let many = try cluster(
            options, vectors + copies + copies, dimension: 16, hashes: hashes + hashes[..<500] + hashes[..<500],
            size: 100)
        #expect(many.labels.prefix(2000) == one.labels[...])
    }

    /// A reservoir holds all records if it has every content, however often each one comes.
    @Test(arguments: [(499, false), (500, true), (501, true)]) func copiesTakeNoRoom(room: Int, holdsAll: Bool) throws {
        let vectors = clustered(500, dimension: 16, centres: 8)
        let made = try cluster(
            ["clusters": 8, "reservoir": .integer(room)], vectors + vectors, dimension: 16,
            hashes: hashes(500) + hashes(500), size: 100)
        let report = made.report["reservoir"]
        #expect(report?["holds_all_records"] == .flag(holdsAll))
        #expect((report?["met_with_probability"]?.realValue == 1) == holdsAll)
    }

    @Test func theSampleIsUniform() throws {
        // A record's probability of being sampled does not depend on its position: each third of the input gets its
        // share.
        var reservoir = 0.0
        for seed in 0..<20 {
            let draw = Seed(UInt64(seed)).derived(for: "cluster")
            let order = (0..<3000).sorted { draw.draw(hash(UInt64($0))) < draw.draw(hash(UInt64($1))) }
            reservoir += Double(order.prefix(300).count { $0 < 1000 })
        }
        #expect(abs(reservoir / 20 - 100) < 8)
    }

    @Test func autoSaysWhatItChoseAndWhy() throws {
        let vectors = clustered(2000, dimension: 16, centres: 8)
        let made = try cluster([:], vectors, dimension: 16)
        let clusters = try #require(made.report["clusters"]?.integerValue)
        #expect(clusters == 32)
        #expect(made.report["why"]?.textValue?.contains("2000 records") == true)
        #expect(Set(made.labels).count <= clusters)
        let small = try cluster(["reservoir": 900], vectors, dimension: 16)
        #expect(try #require(small.report["clusters"]?.integerValue) < 32)
        #expect(small.report["why"]?.textValue?.contains("reservoir of 900") == true)
    }

    @Test func fewerContentsThanClustersAndNoRecordsAtAll() throws {
        let vectors = clustered(3, dimension: 16, centres: 3)
        let made = try cluster(["clusters": 10], vectors, dimension: 16)
        #expect(Set(made.labels).count == 3)
        #expect(made.report["clusters"]?.integerValue == 3)
        let same = try cluster(["clusters": 4], [Int8](repeating: 5, count: 16 * 20), dimension: 16)
        #expect(Set(same.labels).count == 1)
        #expect(try cluster([:], [], dimension: 16).labels.isEmpty)
    }

    @Test func randomStartAndIterationsAreHeeded() throws {
        let vectors = clustered(500, dimension: 16, centres: 8)
        let made = try cluster(["clusters": 8, "initial": "random", "iterations": 0], vectors, dimension: 16)
        #expect(made.report["iterations"]?.integerValue == 0)
        let moved = try cluster(["clusters": 8, "initial": "random", "iterations": 30], vectors, dimension: 16)
        let (before, after) = (
            made.report["mean_squared_distance"]?.realValue, moved.report["mean_squared_distance"]?.realValue
        )
        #expect(try #require(after) < #require(before))
    }

    @Test func theStartOfManyCandidatesFindsSeparatedClusters() throws {
        let vectors = clustered(600, dimension: 32, centres: 5, spread: 0.05)
        let made = try cluster(["clusters": 5, "initial": "k-means||"], vectors, dimension: 32)
        #expect(made.report["initial"]?.textValue == "k-means||")
        #expect(made.distances.allSatisfy { $0 < 0.2 } && Set(made.labels).count == 5)
        // Only the start differs: with enough iterations both end here.
        let other = try cluster(["clusters": 5], vectors, dimension: 32)
        #expect(other.report["mean_squared_distance"] == made.report["mean_squared_distance"])
        let few = try cluster(["clusters": 10, "initial": "k-means||"], Array(vectors[..<96]), dimension: 32)
        #expect(few.report["clusters"]?.integerValue == 3)
    }

    @Test func tooSmallAReservoirAndTooLittleMemoryAreErrors() throws {
        #expect(stageError { _ = try ClusterStage.make(["clusters": 50, "reservoir": 10]) }?.option == "reservoir")
        func need(_ options: OptionValues, dimension: Int, memory: Int) throws -> SurveyMemory {
            let context = StageContext(
                name: "cluster", seed: Seed(7), memory: memory,
                columns: [ColumnSpec(.embedding, .vector(dimension: dimension))])
            guard case .survey(let reservoir) = try ClusterStage.make(options).body(context) else { throw Unexpected() }
            return reservoir.memory(context)
        }
        // The advised value fits, and little more would.
        let little = try need(["clusters": 5, "reservoir": 1_000_000], dimension: 384, memory: 64 << 20)
        #expect(little.least > 64 << 20)
        let words = try #require(little.advice).split(separator: " ")
        let advised = try #require(words.last.flatMap { Int($0) })
        #expect(
            try need(["clusters": 5, "reservoir": .integer(advised)], dimension: 384, memory: 64 << 20).least <= 64
                << 20)
        #expect(
            try need(["clusters": 5, "reservoir": .integer(advised * 3 / 2)], dimension: 384, memory: 64 << 20).least
                > 64 << 20)
        // If no reservoir would be large enough for the clusters, none is advised.
        #expect(try need(["clusters": 5], dimension: 384, memory: 1000).advice == nil)
    }

    private struct Unexpected: Error {}

    @Test func aReservoirTakesNoMoreThanItDeclares() {
        // Entries are counted by memory: the arrays' capacity, and the temporary copies made when settling.
        for (capacity, dimension) in [(10, 4), (1000, 16), (5000, 64)] {
            var reservoir = Reservoir(capacity: capacity)
            var largest = 0
            for number in 0..<(4 * capacity + 5000) {
                let hash = hash(UInt64(number))
                reservoir.offer(
                    BottomSample.Key(draw: Seed(1).draw(hash), hash: hash, ordinal: UInt64(number)),
                    [Int8](repeating: 1, count: dimension)[...])
                largest = max(
                    largest,
                    reservoir.vectors.capacity + reservoir.keys.capacity * MemoryLayout<BottomSample.Key>.stride)
            }
            // Arrays round their capacity up to the allocation size of the C library.
            #expect(largest <= Reservoir.bytes(capacity: capacity, dimension: dimension) + 8192)
            reservoir.settle()
            #expect(reservoir.keys.count == capacity && reservoir.keys == reservoir.keys.sorted())
        }
    }

    @Test func planShowsHowTheReservoirIsSized() throws {
        func notes(_ options: OptionValues, records: Int) throws -> [String] {
            let context = StageContext(
                name: "cluster", seed: Seed(7), memory: 1 << 30,
                columns: [ColumnSpec(.embedding, .vector(dimension: 384))])
            guard case .survey(let reservoir) = try ClusterStage.make(options).body(context) else { throw Unexpected() }
            return reservoir.notes(PlanEstimate(records: records), context)
        }
        let auto = try notes(["clusters": 256], records: 1_000_000)
        #expect(
            auto[0].contains(
                "s ≥ ln(k/δ)/p = \(ClusterStage.sampleSize(256)) with k = 256, p = 1/5120 = 0.00020, δ = 0.01"))
        #expect(auto[1].contains("at least 0.00020 of the records is sampled with probability 0.99"))
        #expect(try notes(["clusters": 5000], records: 10_000_000)[0].contains("adjusted to 131072"))
        #expect(
            try notes(["clusters": 8, "reservoir": 20_000], records: 100_000)[0].contains(
                "reservoir 20000 as the definition says"))
        #expect(try notes(["clusters": 8], records: 500)[1].contains("all 500 records fit"))
        #expect(try notes([:], records: 1_000_000)[0].contains("256 for 1000000 records"))
    }
}
