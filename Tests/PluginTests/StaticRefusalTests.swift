import Embedder
import SluiceCore
import Testing

/// Folders and files that can't be used: one clear message, before any data is read, and no harm.
@Suite struct StaticRefusalTests {
    private func message(_ folder: ModelFolder, _ more: OptionValues = [:]) -> String {
        var options = more
        options["model"] = "static"
        options["path"] = .text(folder.path)
        do {
            let stage = try EmbedStage.make(options)
            _ = try stage.identity()
            return ""
        } catch {
            return (error as? StageError)?.message ?? "\(error)"
        }
    }

    private func expect(_ folder: ModelFolder, _ words: String..., options: OptionValues = [:]) {
        let found = message(folder, options)
        for word in words { #expect(found.contains(word), "«\(word)» is not in: \(found)") }
    }

    private static let count = StaticTests.tokenCount

    private static func folder(_ tensors: TestTensor..., config: String? = nil) -> ModelFolder {
        ModelFolder(words: StaticTests.words, tensors: tensors, config: config)
    }

    private static func table(_ name: String = "embedding.weight", rows: Int = count) -> TestTensor {
        .f32(name, [rows, 16], StaticTests.numbers(rows))
    }

    @Test func missingFiles() {
        #expect(
            stageError { _ = try EmbedStage.make(["model": "static"]) }?.message.contains("needs the folder") == true)
        #expect(
            stageError { _ = try EmbedStage.make(["model": "static", "path": "/nowhere/at/all"]) }?.message.contains(
                "/nowhere/at/all is no folder that can be read (No such file or directory)") == true)
        let folder = ModelFolder()
        expect(folder, "\(folder.path) has no model.safetensors")
        folder.write("model.safetensors", safetensors([Self.table()]))
        expect(folder, "has no tokenizer.json")
        folder.write("tokenizer.json", "{}")
        expect(folder, "\(folder.path)/tokenizer.json", "no `model`")
        folder.write("tokenizer.json", "")
        expect(folder, "tokenizer.json is empty")
    }

    @Test func tablesThatDoNotFit() {
        expect(
            Self.folder(Self.table(rows: Self.count - 1)), "has \(Self.count) tokens", "vectors for \(Self.count - 1)")
        expect(Self.folder(Self.table("other")), "neither `embedding.weight`", "`other`")
        expect(Self.folder(), "no tensor")
        expect(
            Self.folder(.i64("embedding.weight", Array(0..<Self.count))), "I64 of shape [14]", "must be F32, F16 or I8")
        expect(
            Self.folder(.f32("embedding.weight", [Self.count], Array(repeating: 1, count: Self.count))),
            "must have a row per token")
        expect(Self.folder(Self.table()), "have 16 dimensions, not 17", options: ["dimensions": 17])
        expect(Self.folder(Self.table()), "goes with models of model2vec", options: ["drop_unk": true])
        expect(Self.folder(Self.table()), "needs `max_tokens`", options: ["long": "chunk-mean"])
        expect(
            Self.folder(Self.table("embeddings"), .i64("mapping", Array(1...Self.count))), "`mapping` names row 14",
            "token 13")
        expect(
            Self.folder(Self.table("embeddings"), .f32("weights", [2], [1, 1])), "`weights` has 2 numbers for 14 tokens"
        )
        expect(Self.folder(Self.table("embeddings"), config: "{"), "config.json is no JSON")
        expect(Self.folder(Self.table("embeddings"), config: #"{"max_length": "x"}"#), "`max_length`")
        var numbers = StaticTests.numbers(Self.count)
        numbers[40] = .nan
        expect(Self.folder(.f32("embedding.weight", [Self.count, 16], numbers)), "row 2", "NaN or infinite")
    }

    @Test func optionsOfOtherModels() {
        for (option, value) in [("path", "x"), ("long", "cut")] as [(String, OptionValue)] {
            let error = stageError { _ = try EmbedStage.make(OptionValues(["model": "lexical", option: value])) }
            #expect(error?.option == option && error?.message.contains("goes with `model: static`") == true)
        }
        let error = stageError { _ = try EmbedStage.make(["model": "static", "path": "x", "reservoir": 20]) }
        #expect(error?.message.contains("goes with `model: lsa`, not with `static`") == true)
    }

    @Test func damagedHeaders() {
        let whole = safetensors([Self.table()])
        func expect(_ bytes: [UInt8], _ words: String) {
            let folder = Self.folder(Self.table())
            folder.write("model.safetensors", bytes)
            self.expect(folder, "model.safetensors", words)
        }
        func header(_ text: String, data: Int = 8) -> [UInt8] {
            little(text.utf8.count, 8) + Array(text.utf8) + [UInt8](repeating: 0, count: data)
        }
        expect(Array(whole.prefix(5)), "too few for a header")
        expect([UInt8](repeating: 0xFF, count: 64), "its header would have 18446744073709551615 bytes")
        expect(little(1 << 40, 8) + whole.dropFirst(8), "its header would have")
        expect(Array(whole.dropLast()), "outside of")
        expect(whole + [0], "1 bytes after its tensors")
        expect(header("nonsense"), "no JSON")
        expect(header("[1]"), "no JSON object")
        expect(header(#"{"a": 1}"#), "has no `dtype`")
        expect(header(#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}"#), "lies at 8 to 0")
        expect(header(#"{"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}"#), "has 8 bytes")
        expect(
            header(#"{"a": {"dtype": "F32", "shape": [4611686018427387904, 8], "data_offsets": [0, 8]}}"#),
            "has 8 bytes")
        expect(
            header(
                #"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}"#
            ), "overlaps")
        expect(header(#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}"#), "after a gap")
    }

    /// Random changes of a header: used or refused, and what is used makes vectors.
    @Test func hostileHeadersDoNoHarm() throws {
        let whole = safetensors([
            Self.table("embeddings"), .i64("mapping", Array(0..<Self.count)),
            .f32("weights", [Self.count], Array(repeating: 1, count: Self.count)),
        ])
        let folder = Self.folder(Self.table())
        let length = Int(whole[0]) | Int(whole[1]) << 8
        var draws = SplitMix64(state: 3)
        var used = 0
        for _ in 0..<600 {
            var bytes = whole
            for _ in 0..<(1 + Int(draws.next(below: 2))) {
                let place =
                    draws.next(below: 8) == 0 ? Int(draws.next(below: 8)) : 8 + Int(draws.next(below: UInt64(length)))
                bytes[place] = Array("0123456789\"[]{},: -eIFU".utf8)[Int(draws.next(below: 23))]
            }
            folder.write("model.safetensors", bytes)
            guard let vectors = try? StaticVectors(options: ["path": .text(folder.path)]) else { continue }
            used += 1
            var scratch = StaticVectors.Scratch(vectors)
            var vector = [Float](repeating: 0, count: vectors.dimension)
            Array("red apple, blue".utf8).withUnsafeBytes { text in
                vector.withUnsafeMutableBufferPointer { _ = vectors.embed(text, into: $0.baseAddress!, &scratch) }
            }
        }
        #expect(used > 5)
    }
}
