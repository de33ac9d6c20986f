import Embedder
import SluiceCore
import SluiceGeometry
import SluiceTesting
import Testing

/// Vectors of a model's own table, beside a plain sum and beside the programs that such models come from.
@Suite struct StaticTests {
    static let words = ["red", "blue", "apple", "pear", "tall", "a", "b", ","]
    static let columns = 16

    /// Numbers that all three types hold.
    static func numbers(_ rows: Int, seed: UInt64 = 1) -> [Float] {
        var draws = SplitMix64(state: seed)
        return (0..<(rows * columns)).map { _ in Float(Int(draws.next(below: 255)) - 127) }
    }

    static var tokenCount: Int { ModelFolder.tokens(words).count }

    static func plain() -> ModelFolder {
        let table = numbers(tokenCount).map { $0 / 128 }
        return ModelFolder(words: words, tensors: [.f16("embedding.weight", [tokenCount, columns], table)])
    }

    private static func vector(_ text: String, _ options: OptionValues) throws -> [Float]? {
        let vectors = try StaticVectors(options: options)
        var scratch = StaticVectors.Scratch(vectors)
        return vector(text, vectors, &scratch)
    }

    private static func vector(
        _ text: String, _ vectors: StaticVectors, _ scratch: inout StaticVectors.Scratch
    ) -> [Float]? {
        var found = [Float](repeating: 7, count: vectors.dimension)
        var isFound = false
        Array(text.utf8).withUnsafeBytes { bytes in
            found.withUnsafeMutableBufferPointer { isFound = vectors.embed(bytes, into: $0.baseAddress!, &scratch) }
        }
        return isFound ? found : nil
    }

    private static func mean(_ rows: [[Double]]) -> [Double] {
        rows[0].indices.map { column in rows.reduce(0) { $0 + $1[column] } / Double(rows.count) }
    }

    private static func unit(_ vector: [Double]) -> [Double] {
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return vector.map { $0 / length }
    }

    private static func expectEqual(_ found: [Float]?, _ expected: [Double], within error: Double) {
        #expect(found?.count == expected.count)
        for (a, b) in zip(found ?? [], expected) { #expect(abs(Double(a) - b) <= error, "\(a) \(b)") }
    }

    // MARK: The format

    @Test(arguments: ["F32", "F16", "I8"])
    func aVectorIsTheMeanOfItsTokens(type: String) throws {
        let count = Self.tokenCount
        let numbers = Self.numbers(6).map { type == "F16" ? $0 / 128 : $0 }
        let shape = [6, Self.columns]
        let table: TestTensor =
            switch type {
            case "F32": .f32("embeddings", shape, numbers)
            case "F16": .f16("embeddings", shape, numbers)
            default: .i8("embeddings", shape, numbers)
            }
        let mapping = (0..<count).map { $0 * 5 % 6 }
        let factors = (0..<count).map { Float($0) / 4 + 0.5 }
        // A tensor of an odd size before the others, so that they are not aligned.
        let odd = TestTensor(name: "odd", type: "U8", shape: [3], bytes: [1, 2, 3])
        let folder = ModelFolder(
            words: Self.words, tensors: [odd, table, .i64("mapping", mapping), .f32("weights", [count], factors)])
        func row(_ token: Int) -> [Double] {
            let start = mapping[token] * Self.columns
            return numbers[start..<(start + Self.columns)].map { Double($0) * Double(factors[token]) }
        }
        let path = OptionValue.text(folder.path)
        let model: OptionValues = ["path": path]
        Self.expectEqual(
            try Self.vector("Red apple, RED", model), Self.mean([1, 3, 8, 1].map(row)), within: 1e-4)
        Self.expectEqual(try Self.vector("red zzz", model), row(1), within: 1e-4)
        Self.expectEqual(
            try Self.vector("red zzz", ["path": path, "drop_unk": false]), Self.mean([1, 0].map(row)), within: 1e-4)
        #expect(try Self.vector("zzz", model) == nil)
        #expect(try Self.vector("", model) == nil)
        Self.expectEqual(
            try Self.vector("red apple", ["path": path, "dimensions": 16]), Self.mean([1, 3].map(row)), within: 1e-4)
    }

    @Test func longTextsAreCutOrReadInParts() throws {
        let folder = Self.plain()
        let path = OptionValue.text(folder.path)
        let table = Self.numbers(Self.tokenCount).map { Double($0 / 128) }
        func row(_ token: Int) -> [Double] { Array(table[(token * 16)..<(token * 16 + 16)]) }
        let text = "red blue apple pear tall"
        Self.expectEqual(
            try Self.vector(text, ["path": path, "max_tokens": 3]), Self.mean([1, 2, 3].map(row)), within: 1e-6)
        let parts = [[1, 2], [3, 4], [5]].map { Self.unit(Self.mean($0.map(row))) }
        Self.expectEqual(
            try Self.vector(text, ["path": path, "max_tokens": 2, "long": "chunk-mean"]), Self.mean(parts),
            within: 1e-6)
        // Runs of single precision, windows of the tokenizer.
        let many = (0..<30_000).map { 1 + $0 * 7 % 5 }
        Self.expectEqual(
            try Self.vector(many.map { Self.words[$0 - 1] }.joined(separator: " "), ["path": path]),
            Self.mean(many.map(row)), within: 1e-5)
    }

    /// model2vec cuts the text to as many scalars as the tokens that count usually have, before it counts tokens.
    @Test func model2vecCutsTheTextFirst() throws {
        let table = Self.numbers(Self.tokenCount)
        let tensors: [TestTensor] = [.f32("embeddings", [Self.tokenCount, 16], table)]
        let folder = ModelFolder(words: Self.words, tensors: tensors, config: #"{"max_length": 2, "normalize": true}"#)
        func row(_ token: Int) -> [Double] { table[(token * 16)..<(token * 16 + 16)].map(Double.init) }
        let path = OptionValue.text(folder.path)
        // The median length of the tokens is 3: of the second word one letter is left, «b».
        Self.expectEqual(try Self.vector("apple blue", ["path": path]), row(3), within: 1e-4)
        Self.expectEqual(try Self.vector("red  b blue", ["path": path]), Self.mean([row(1), row(7)]), within: 1e-4)
        folder.write("config.json", #"{"max_length": null}"#)
        Self.expectEqual(
            try Self.vector("apple blue", ["path": path]), Self.mean([row(3), row(2)]), within: 1e-4)
    }

    // MARK: The stage

    @Test(arguments: [[:], ["max_tokens": 3, "long": "chunk-mean"], ["max_tokens": 2]] as [OptionValues])
    func keepsTheContract(more: OptionValues) {
        let folder = Self.plain()
        var options = more
        options["model"] = "static"
        options["path"] = .text(folder.path)
        #expect(
            StageContract.check(
                EmbedStage.self, options: options, records: PluginContractTests.records, after: [StageSpec("format")],
                registry: PluginContractTests.registry) == [])
    }

    /// The bytes must not change: they are part of the equality of two runs.
    @Test func vectorsAreTheSameEverywhere() throws {
        let folder = Self.plain()
        let stage = try EmbedStage.make(["model": "static", "path": .text(folder.path)])
        guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
        let made = try embed(["red apples", "", " \n", "tall pear, blue", "中"], with: transform)
        #expect(made.empty == [0, 1, 1, 0, 0])
        #expect(Array(made.vectors[0]) == Self.golden[0])
        #expect(Array(made.vectors[3]) == Self.golden[1])
        #expect(made.vectors[1].allSatisfy { $0 == 0 } && made.vectors[2].allSatisfy { $0 == 0 })
        // Text that is no UTF-8, from an earlier stage.
        var block = makeBlock(count: 1)
        var column = BytesColumn()
        column.append([0x61, 0xFF])
        block.write(.text, .bytes(column))
        try transform.apply(once: &block, context("embed"))
        #expect(try block.integers(.emptyText) == [1])
    }

    @Test func textsOfWhichOnlyTheBeginningCountsAreMarked() throws {
        let folder = Self.plain()
        func cuts(_ more: OptionValues, _ texts: [String]) throws -> [Int64]? {
            var options = more
            (options["model"], options["path"]) = ("static", .text(folder.path))
            let stage = try EmbedStage.make(options)
            guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
            var block = makeBlock(count: texts.count)
            block.write(.text, .bytes(texts.reduce(into: BytesColumn()) { $0.append(Array($1.utf8)[...]) }))
            try transform.apply(once: &block, context("embed"))
            guard case .integers(let marks)? = block[.cutText] else { return nil }
            return marks
        }
        let texts = ["red", "red apples", "", "blue blue blue", "red blue"]
        #expect(try cuts(["max_tokens": 2], texts) == [0, 0, 0, 1, 0])
        #expect(try cuts(["max_tokens": 1], texts) == [0, 1, 0, 1, 1])
        #expect(try cuts([:], texts) == nil)
        #expect(try cuts(["max_tokens": 2, "long": "chunk-mean"], texts) == nil)
    }

    static let golden: [[Int8]] = [
        [9, 23, 27, 14, -20, -7, 16, -15, -18, -7, -3, 13, -21, 22, 1, -10],
        [0, -19, -27, -1, 10, -3, 5, -9, 18, 5, -9, -2, 6, 37, 8, -29],
    ]

    @Test func identityFollowsFromTheFiles() throws {
        let folder = Self.plain()
        let options: OptionValues = ["model": "static", "path": .text(folder.path)]
        let before = try EmbedStage.make(options).identity()
        #expect(before.keys.sorted() == ["model.safetensors", "tokenizer.json"])
        #expect(try EmbedStage.make(options).identity() == before)
        folder.write("tokenizer.json", ModelFolder.tokenizer(Self.words.reversed()))
        let after = try EmbedStage.make(options).identity()
        #expect(after["tokenizer.json"] != before["tokenizer.json"])
        #expect(after["model.safetensors"] == before["model.safetensors"])
    }

    // MARK: Real models

    @Test func wordllamaGolden() throws {
        guard let lines = sharedLines("golden/embeddings/sentences.jsonl"),
            let golden = sharedBytes("golden/embeddings/wordllama256.npy")
        else { return print("skipped: wordllama's vectors: ../shared/golden is not here") }
        guard let folder = modelFolder("SLUICE_WORDLLAMA", "wordllama-256") else {
            return print("skipped: wordllama's vectors: set SLUICE_WORDLLAMA, or run `make models`")
        }
        let vectors = try StaticVectors(options: ["path": .text(folder)])
        var scratch = StaticVectors.Scratch(vectors)
        for (row, line) in lines.enumerated() {
            let text = try #require(jsonString("text", in: line))
            let found = Self.vector(text, vectors, &scratch) ?? [Float](repeating: 0, count: 256)
            for column in 0..<256 {
                let place = golden.count - (50 - row) * 1024 + column * 4
                let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(golden[place + $1]) << (8 * UInt32($1)) }
                #expect(abs(found[column] - Float(bitPattern: bits)) <= 1e-5, "\(row) \(column)")
            }
        }
    }

    /// A model of model2vec's form with Unigram, I8, `mapping` and `weights`. The numbers are those of model2vec's formula
    /// and, with `drop_unk: false`, of the package's own program.
    @Test(
        arguments: [
            (0, true, [0.061678, 0.0275623, 0.0183831, 0.0003278]),
            (0, false, [-0.0626865, -0.0361013, -0.0715551, -0.0566862]),
            (1, true, [-0.1868034, 0.0524423, -0.0827066, 0.0895696]),
            (20, true, [-0.2996104, -0.2345689, -0.0505022, 0.1123651]),
            (48, true, [-0.3055532, -0.2478154, -0.0990522, -0.3074414]),
            (48, false, [-0.3185913, -0.2514558, -0.1128914, -0.3081002]),
            (49, true, [-0.6172283, 0.0343661, -0.2950724, -0.0748099]),
        ])
    func tokenlearn(row: Int, drops: Bool, expected: [Double]) throws {
        guard let lines = sharedLines("golden/embeddings/sentences.jsonl") else {
            return print("skipped: tokenlearn's vectors: ../shared/golden is not here")
        }
        guard let folder = modelFolder("SLUICE_TOKENLEARN", "tokenlearn") else {
            return print("skipped: tokenlearn's vectors: set SLUICE_TOKENLEARN, or run `make models`")
        }
        let text = try #require(jsonString("text", in: lines[row]))
        let found = try #require(try Self.vector(text, ["path": .text(folder), "drop_unk": .flag(drops)]))
        Self.expectEqual(
            Array(Self.unit(found.map(Double.init)).prefix(4).map(Float.init)), expected, within: 1e-6)
    }
}
