import SluiceCore
import SluiceTesting
import Testing
import TextFilters

/// `tokens` of `length` and `measure`, by a model's tokenizer.
@Suite struct TokenCountTests {
    private static let words = ["red", "apple", "pear", "blue"]
    private static let records = ["red apple", "pear", "", "apples blue blue red", "xyz", "red pear abc"].map {
        #"{"text":\#(JSONValue.text($0).json)}"#
    }

    private func run(_ stages: [StageSpec]) throws -> InMemoryRun {
        try InMemoryRun(stages, registry: Registry([LengthStage.self, MeasureStage.self]), records: Self.records)
    }

    @Test func countsAreThoseOfTheTokenizer() throws {
        let folder = ModelFolder()
        folder.write("tokenizer.json", ModelFolder.tokenizer(Self.words))
        let path: OptionValue = .text(folder.path)
        let measured = try run([
            StageSpec("measure", ["columns": ["tokens", "words"], "tokenizer": path, "field": "text", "prefix": "t_"])
        ])
        // `apples` has no token for its last letter, so the whole word is one unknown token; `xyz` likewise.
        #expect(measured.column("t_tokens") == .integers([2, 1, 0, 4, 1, 3]))
        #expect(measured.column("t_words") == .integers([2, 1, 0, 4, 1, 3]))
        let file: OptionValue = .text("\(folder.path)/tokenizer.json")
        let kept = try run([
            StageSpec("length", ["unit": "tokens", "min": 2, "max": 3, "tokenizer": file, "field": "text"])
        ])
        #expect(kept.kept == [0, 5])
        #expect(kept.losses.map(\.reason) == ["too-short", "too-short", "too-long", "too-short"])
    }

    @Test func whatIsRefused() {
        let folder = ModelFolder()
        folder.write("tokenizer.json", #"{"model":{"type":"Odd"}}"#)
        let refused: [(any Stage.Type, OptionValues, String, String)] = [
            (LengthStage.self, ["unit": "tokens", "min": 1], "unit", "go together"),
            (LengthStage.self, ["min": 1, "tokenizer": "x"], "tokenizer", "go together"),
            (LengthStage.self, ["unit": "tokens", "min": 1, "tokenizer": "/nowhere"], "tokenizer", "can't be opened"),
            (
                LengthStage.self, ["unit": "tokens", "min": 1, "tokenizer": .text(folder.path)], "tokenizer",
                "tokenizer.json: "
            ),
            (MeasureStage.self, ["columns": ["tokens"]], "columns", "go together"),
            (MeasureStage.self, ["tokenizer": "x"], "tokenizer", "go together"),
        ]
        for (stage, options, option, words) in refused {
            let error = stageError { _ = try stage.init(options: stage.descriptor.fillingDefaults(in: options)) }
            #expect(
                error?.option == option && error?.message.contains(words) == true, "\(error?.message ?? "accepted")")
        }
    }

    @Test func keepsTheContract() {
        let folder = ModelFolder()
        folder.write("tokenizer.json", ModelFolder.tokenizer(Self.words))
        let path: OptionValue = .text(folder.path)
        let records = (0..<10).flatMap { _ in Self.records }
        #expect(
            StageContract.check(
                LengthStage.self, options: ["unit": "tokens", "min": 2, "tokenizer": path, "field": "text"],
                records: records) == [])
        #expect(
            StageContract.check(
                MeasureStage.self, options: ["columns": ["tokens", "lines"], "tokenizer": path, "field": "text"],
                records: records) == [])
    }
}
