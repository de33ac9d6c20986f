import Formatter
import RecordFilters
import SluiceCore
import SluiceTesting
import Testing
import TextFilters

/// The stages for everyday curation, and `format` before them.
enum Everyday {
    static let registry = Registry([
        FormatStage.self, LengthStage.self, MatchStage.self, QualityStage.self, MeasureStage.self,
        LanguageStage.self, DecontaminateStage.self, DistinctStage.self, SampleStage.self,
    ])

    /// A JSON object with these strings.
    static func record(_ fields: (String, String)...) -> String {
        JSONValue.object(fields.map { .init($0.0, .text($0.1)) }).json
    }

    static func run(_ stages: [any StageSpecConvertible], _ records: [String], seed: UInt64 = 42) throws -> InMemoryRun
    {
        try InMemoryRun(stages, registry: registry, records: records, seed: seed)
    }

    /// Which of some texts a stage keeps, and why it drops the others.
    static func reasons(_ stage: any StageSpecConvertible, texts: [String]) throws -> [String?] {
        let run = try run([StageSpec("format", ["template": "{t}{u?}"]), stage], texts.map { record(("t", $0)) })
        var reasons = [String?](repeating: nil, count: texts.count)
        for loss in run.losses { reasons[loss.record] = loss.reason.name }
        return reasons
    }

    /// What a stage drops of a block whose records have this field, with measures as JSON.
    static func drops(_ type: any (Stage & WorkerTransform).Type, _ options: OptionValues, fields: [String]) throws
        -> [Int: (reason: String, measures: [String: JSONValue])]
    {
        var options = options
        options["field"] = "t"
        return try drops(type.init(options: type.descriptor.fillingDefaults(in: options)), fields)
    }

    private static func drops<Filter: Stage & WorkerTransform>(_ stage: Filter, _ fields: [String]) throws
        -> [Int: (reason: String, measures: [String: JSONValue])]
    {
        var block = makeBlock(fields.map { ["t": .string($0)] }, paths: ["t"])
        var worker = try stage.makeWorker(StageContext(name: "test", seed: Seed(1), memory: 1 << 30))
        try stage.apply(to: &block, with: &worker)
        try stage.close(&worker)
        var found: [Int: (reason: String, measures: [String: JSONValue])] = [:]
        for drop in block.drops {
            found[drop.record] = (
                drop.reason.name, Dictionary(drop.measures.map { ($0.name, $0.value) }) { first, _ in first }
            )
        }
        return found
    }

    /// Random texts of few words, with marks, lines and other scripts, so that much of them repeats.
    static func texts(_ count: Int, seed: UInt64, words: Int = 120) -> [String] {
        let vocabulary = [
            "the", "of", "and", "river", "stone", "Answer", "why?", "sort", "...", "#", "•", "-", "x1", "42", "été",
            "数学", "end.", "to", "with", "\"quoted.\"", "wait…", "!!", "[12]", "A", "longerwordsthanten", "—",
        ]
        let gaps = [" ", " ", " ", " ", " ", "\n", "\n\n", "\t", ". ", ".\n", "...\n", "\n- ", "\u{A0}", "\n\n\n"]
        var numbers = Seed(seed).generator()
        return (0..<count).map { index in
            let length = 1 + Int(numbers.next(below: UInt64(words)))
            let variety = 1 + numbers.next(below: UInt64(vocabulary.count))
            let repeats = index % 3 == 0
            var text = ""
            for _ in 0..<length {
                text += vocabulary[Int(numbers.next(below: variety))]
                text +=
                    repeats
                    ? (numbers.next(below: 8) == 0 ? "\n" : " ") : gaps[Int(numbers.next(below: UInt64(gaps.count)))]
            }
            return index % 5 == 0
                ? text + String(repeating: "\n\nthe same line again and again.", count: index % 7) : text
        }
    }
}
