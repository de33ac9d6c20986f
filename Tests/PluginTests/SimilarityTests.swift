import Embedder
import SluiceCore
import SluiceTesting
import Testing

/// Scores by the similarity to target vectors.
@Suite struct SimilarityTests {
    private static let (count, targets) = (40, 3)
    private static let dimensions = [13, 64]

    private static func numbers(_ count: Int, seed: UInt64) -> [Float] {
        (0..<count).map { Float(Int(Seed.mix(seed &+ UInt64($0)) % 2001) - 1000) / 64 }
    }

    private static func vectors(_ channel: Int) -> [Float] {
        numbers(count * dimensions[channel], seed: UInt64(channel))
    }
    private static func goals(_ channel: Int) -> [Float] {
        numbers(targets * dimensions[channel], seed: 100 + UInt64(channel))
    }

    private static func options(_ folder: FileModelTests.Folder, _ more: OptionValues = [:]) -> OptionValues {
        var options = more
        func files(_ name: String, _ rows: Int, _ numbers: (Int) -> [Float]) -> OptionValue {
            .list(
                dimensions.indices.map {
                    .text(
                        folder.npy(
                            "\(name)-\($0).npy", "<f4", "(\(rows), \(dimensions[$0]))",
                            FileModelTests.bytes(numbers($0))))
                })
        }
        if options["vectors"] == nil { options["vectors"] = files("vectors", count, vectors) }
        if options["targets"] == nil { options["targets"] = files("targets", targets, goals) }
        return options
    }

    private static func cosine(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
        func dot(_ x: ArraySlice<Float>, _ y: ArraySlice<Float>) -> Double {
            zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }

    private static func plain(_ row: Int, _ weights: [Double]) -> [Double] {
        (0..<targets).map { target in
            dimensions.indices.reduce(0) { sum, channel in
                let size = dimensions[channel]
                return sum + weights[channel]
                    * cosine(
                        vectors(channel)[(row * size)..<((row + 1) * size)],
                        goals(channel)[(target * size)..<((target + 1) * size)])
            }
        }
    }

    private static func scores(_ options: OptionValues) throws -> [Double] {
        let stage = try SimilarityStage.make(options)
        guard case .transform(let transform) = stage.body(context("similarity")) else { throw NoTransform() }
        var block = makeBlock((0..<count).map { ["id": .string("\($0)")] }, paths: ["id"])
        try transform.apply(once: &block, context("similarity"))
        return try block.reals(ColumnName(options["as"] == nil ? "similarity" : options.text("as")))
    }

    @Test func equalsThePlainSum() throws {
        let folder = FileModelTests.Folder()
        for (rule, weights) in [("max", [1.0, 1]), ("mean", [1, 1]), ("max", [2e-5, -1e-5])] {
            let found = try Self.scores(
                Self.options(
                    folder, ["rule": .text(rule), "weights": .list(weights.map { .real($0) }), "as": "influence"]))
            for row in 0..<Self.count {
                let all = Self.plain(row, weights)
                let expected = rule == "max" ? all.max() ?? 0 : all.reduce(0, +) / Double(Self.targets)
                #expect(abs(found[row] - expected) <= 1e-12 * (abs(weights[0]) + abs(weights[1])), "\(rule) \(row)")
            }
        }
    }

    @Test func rowsByIds() throws {
        let folder = FileModelTests.Folder()
        let byLine = try Self.scores(Self.options(folder))
        let ids = folder.write("ids.txt", Array((0..<Self.count).reversed().map { "\($0)\n" }.joined().utf8))
        let byId = try Self.scores(Self.options(folder, ["id": "id", "ids": .text(ids)]))
        #expect(byId == byLine.reversed())
    }

    @Test func whatIsRefused() {
        let folder = FileModelTests.Folder()
        func npy(_ name: String, _ rows: Int, _ columns: Int, _ value: Float = 1) -> OptionValue {
            .text(
                folder.npy(
                    name, "<f4", "(\(rows), \(columns))",
                    FileModelTests.bytes([Float](repeating: value, count: rows * columns))))
        }
        let refused: [(OptionValues, String, String)] = [
            (["weights": [1.0]], "weights", "`weights` has 1 numbers, and `vectors` 2 files"),
            (["targets": npy("a.npy", 3, 13)], "targets", "`vectors` has 2 files and `targets` 1"),
            (["targets": [npy("b.npy", 3, 13), npy("c.npy", 3, 63)]], "targets", "64 components and those of"),
            (["targets": [npy("d.npy", 3, 13), npy("e.npy", 2, 64)]], "targets", "give as many in each"),
            (["targets": [npy("f.npy", 0, 13), npy("g.npy", 0, 64)]], "targets", "has no row"),
            (["id": "id"], "ids", "go together"),
        ]
        for (options, option, words) in refused {
            let error = stageError { _ = try SimilarityStage.make(Self.options(folder, options)) }
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "accepted")")
            #expect(option == "ids" || error?.option == option)
        }
        let nan = stageError {
            _ = try Self.scores(
                Self.options(folder, ["targets": [npy("h.npy", 3, 13), npy("i.npy", 3, 64, .nan)]]))
        }
        #expect(nan?.message.contains("i.npy: row 0 has a component that is NaN") == true)
        // A row of zeros is like none.
        let zero = try? Self.scores(
            Self.options(folder, ["targets": [npy("j.npy", 1, 13, 0), npy("k.npy", 1, 64, 0)]]))
        #expect(zero == [Double](repeating: 0, count: Self.count))
    }

    @Test func keepsTheContract() {
        let folder = FileModelTests.Folder()
        let ids = folder.write("ids.txt", Array((0..<Self.count).map { "\($0)\n" }.joined().utf8))
        let records = (0..<60).map { #"{"id": \#($0 % 45)}"# }
        #expect(
            StageContract.check(
                SimilarityStage.self,
                options: Self.options(folder, ["id": "id", "ids": .text(ids), "missing": "drop"]), records: records)
                == [])
    }
}
