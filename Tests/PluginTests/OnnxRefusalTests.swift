import Embedder
import SluiceCore
import SluiceTesting
import Testing

/// Models, libraries and options that can't be used: one clear message, before any data is read, and no harm.
@Suite struct OnnxRefusalTests {
    private func message(_ folder: OnnxFolder, _ more: OptionValues = [:]) -> StageError? {
        var options = more
        options["model"] = "onnx"
        options["path"] = options["path"] ?? .text(folder.path)
        // Most mistakes are found before the runtime is looked for.
        options["library"] = options["library"] ?? "/nowhere/libonnxruntime.so"
        return stageError { _ = try EmbedStage.make(options) }
    }

    private func expect(_ folder: OnnxFolder, _ words: String..., options: OptionValues = [:]) {
        let found = message(folder, options)?.message ?? "nothing"
        for word in words { #expect(found.contains(word), "«\(word)» is not in: \(found)") }
    }

    // MARK: Files

    @Test func missingFiles() {
        #expect(
            stageError { _ = try EmbedStage.make(["model": "onnx"]) }?.message.contains("needs the folder") == true)
        let folder = OnnxFolder(nil, tokenizer: nil)
        expect(folder, "is neither a folder", "No such file", options: ["path": "/nowhere/at/all"])
        expect(folder, "\(folder.path) has no model.onnx")
        folder.write("one.onnx", SmallOnnx().bytes)
        expect(folder, "there is no tokenizer.json beside \(folder.path)/one.onnx")
        folder.write("two.onnx", SmallOnnx().bytes)
        expect(folder, "several models", "one.onnx", "two.onnx")
        folder.write("tokenizer.json", "{}")
        expect(
            folder, "\(folder.path)/tokenizer.json", "no `model`", options: ["path": .text("\(folder.path)/two.onnx")])
    }

    @Test func anUnknownPartOfTheTokenizer() {
        let tokenizer = ModelFolder.tokenizer(StaticTests.words).replacing("BertNormalizer", with: "Curious")
        expect(OnnxFolder(tokenizer: tokenizer), "the normalizer `Curious` of tokenizer.json is not supported")
    }

    @Test func filesThatAreNoModels() {
        let whole = SmallOnnx().bytes
        func expect(_ bytes: [UInt8], _ words: String...) {
            let folder = OnnxFolder()
            folder.write("model.onnx", bytes)
            for word in words { self.expect(folder, "model.onnx", word) }
        }
        expect([], "is empty")
        expect(Array("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 90\n".utf8), "is no ONNX model")
        expect(Array(whole.prefix(whole.count / 2)), "it is damaged", "bytes are announced")
        expect(Array(whole.prefix(1)), "it ends within a number")
        expect([8, 8], "it has no graph")
        expect([UInt8](repeating: 0xFF, count: 20), "more than ten bytes")
    }

    @Test func inputsAndOutputsOfNoKnownShape() {
        expect(
            OnnxFolder(SmallOnnx(inputs: ["input_ids", "task_id"])), "wants the input `task_id`: int64 [?, ?]",
            "`token_type_ids`")
        expect(OnnxFolder(SmallOnnx(inputs: ["attention_mask", "position_ids"])), "has no input `input_ids`")
        expect(OnnxFolder(SmallOnnx(inputElement: 1)), "`input_ids`: float [?, ?]", "must be int64 or int32")
        expect(
            OnnxFolder(SmallOnnx(output: "logits", statesShape: false)), "none of the outputs",
            "`logits`: float of unknown shape", "by `output`")
        expect(OnnxFolder(), "has no output `tokens`; it has `last_hidden_state`", options: ["output": "tokens"])
    }

    /// Random changes of a file: read or refused.
    @Test func hostileFilesDoNoHarm() {
        let whole = SmallOnnx().bytes
        let folder = OnnxFolder()
        var draws = SplitMix64(state: 5)
        var passed = 0
        for _ in 0..<500 {
            var bytes = whole
            for _ in 0..<(1 + Int(draws.next(below: 4))) {
                // The table, in the middle, has no structure to damage.
                let place = Int(draws.next(below: 2)) * (bytes.count - 160) + Int(draws.next(below: 160))
                bytes[place] = UInt8(draws.next(below: 256))
            }
            if draws.next(below: 4) == 0 { bytes.removeLast(Int(draws.next(below: UInt64(bytes.count)))) }
            folder.write("model.onnx", bytes)
            if message(folder)?.option == "library" { passed += 1 }
        }
        #expect(passed > 5)
    }

    @Test func damagedFilesBesideTheModel() {
        let folder = OnnxFolder()
        folder.write("1_Pooling/config.json", "{")
        expect(folder, "1_Pooling/config.json is no JSON")
    }

    // MARK: The library

    @Test func aMissingLibrary() {
        let missing = message(OnnxFolder())
        #expect(missing?.option == "library")
        for words in [
            "/nowhere/libonnxruntime.so is no library", "No such file", "make model-minilm", "SLUICE_ONNXRUNTIME",
        ] { #expect(missing?.message.contains(words) == true, "\(missing?.message ?? "")") }
        expect(OnnxFolder(), "no ONNX Runtime", "OrtGetApiBase", options: ["library": "libm.so.6"])
    }

    // MARK: With the runtime

    @Test func whatTheRuntimeRefuses() {
        guard let runtime = OnnxFiles.runtime("refusals of the runtime") else { return }
        func expect(_ model: SmallOnnx, _ words: String..., options: OptionValues = [:]) {
            var options = options
            options["library"] = runtime
            for word in words { self.expect(OnnxFolder(model), word, options: options) }
        }
        expect(SmallOnnx(inputs: ["input_ids", "position_ids"], positions: 20), "can't be run on a text of 256 tokens")
        expect(
            SmallOnnx(inputs: ["input_ids", "position_ids"], positions: 20), "a text of 21 tokens; give less",
            options: ["max_tokens": 21])
        // The tokenizer has more tokens than the model.
        expect(
            SmallOnnx(tokens: StaticTests.tokenCount - 1), "can't be run by ONNX Runtime", "out of",
            "it may belong to another")
        expect(SmallOnnx(), "have 16 dimensions; give at most 16", options: ["dimensions": 17])
        expect(
            SmallOnnx(head: .pooled, output: "sentence_embedding"), "gives one vector for a text",
            options: ["pooling": "cls"])
        expect(SmallOnnx(), "can't use a card", options: ["device": "cuda"])
        let folder = OnnxFolder()
        folder.write("1_Pooling/config.json", #"{"pooling_mode_max_tokens": true}"#)
        self.expect(folder, "asks for pooling_mode_max_tokens", options: ["library": runtime])
        folder.write("config.json", #"{"max_position_embeddings": 128}"#)
        self.expect(folder, "knows 128 positions", options: ["library": runtime])
        let layered = OnnxFolder()
        layered.write(
            "modules.json",
            #"[{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Dense"}]"#)
        self.expect(layered, "a layer sentence_transformers.models.Dense", options: ["library": runtime])
    }

    /// The largest operator that is unknown: the runtime's own words.
    @Test func anOperatorThatTheRuntimeLacks() {
        guard let runtime = OnnxFiles.runtime("unknown operators") else { return }
        let folder = OnnxFolder()
        var bytes = SmallOnnx().bytes
        if let place = bytes.firstRange(of: Array("Identity".utf8)) {
            bytes.replaceSubrange(place, with: Array("Identify".utf8))
        }
        folder.write("model.onnx", bytes)
        expect(folder, "can't load", "Identify", options: ["library": runtime])
    }

    @Test func aModelWithNumbersThatAreNotFinite() throws {
        guard let runtime = OnnxFiles.runtime("numbers that are not finite") else { return }
        let folder = OnnxFolder(SmallOnnx(firstNumber: .nan))
        let stage = try EmbedStage.make(["model": "onnx", "path": .text(folder.path), "library": runtime])
        guard case .transform(let transform) = try stage.body(context("embed")) else { throw NoTransform() }
        let error = stageError { _ = try embed(["blue", "red"], with: transform) }
        #expect(
            error?.code == .invalidData && error?.message.contains("not finite") == true, "\(String(describing: error))"
        )
    }
}
