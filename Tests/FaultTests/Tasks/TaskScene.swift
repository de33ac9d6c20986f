import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Definitions whose runs are cut into tasks. Together they have every kind of task.
enum TaskCase: String, CaseIterable {
    /// Nothing but the reading; the outputs are not compressed.
    case copy
    case lines
    /// Duplicates by fields, and only transforms; the output has the formatted text.
    case formatted
    /// A weak hash, so that contents are compared, and most candidates differ.
    case bytes
    case clusters
    /// Selections by label and by cluster; several columns in the output.
    case labels
    /// Transforms, surveys and selections after a selection; columns that are replaced twice.
    case after
    /// Filters by text and by conditions, duplicates after formatting, samples by number and by label.
    case everyday

    private var input: String {
        switch self {
        case .copy: ""
        case .lines: ", dedupe: {on: line}"
        case .bytes: ", dedupe: {on: [prompt, completion], verify: bytes}"
        case .formatted, .clusters, .labels, .after, .everyday: ", dedupe: {on: [prompt, completion]}"
        }
    }

    private var stages: [String] {
        let vectors = ["format: {template: auto}", "embed: {model: lexical, dimensions: 32}"]
        return switch self {
        case .copy, .lines, .bytes: []
        case .formatted: ["format: {template: auto}"]
        case .clusters:
            vectors + ["cluster: {clusters: 4, reservoir: 100}", "coreset: {keep: 40%, per: cluster}"]
        case .labels:
            vectors + [
                "redundancy: {method: pairwise, distance: 0.3, per: source}", "cluster: {clusters: 4, reservoir: 100}",
                "coreset: {keep: 40%, per: cluster, method: medoids}",
            ]
        case .everyday:
            [
                "format: {template: auto}", "length: {min: 30, max: 400000}",
                #"match: {drop: {field: completion, matches: "\\bsky \\d+$"}}"#,
                "quality: {rules: [gopher], limits: {gopher-min-words: 8, gopher-stop-words: 0}}",
                "measure: {columns: [words, letters]}", "embed: {model: lexical, dimensions: 16}",
                "cluster: {clusters: 3, reservoir: 100}", "distinct: {normalize: [case, space]}",
                "match: {keep: {column: words, at_most: 85}}", "sample: {keep: 220}",
                "sample: {keep: 90%, per: source}", "sample: {keep: 95%}",
            ]
        case .after:
            vectors + [
                "coreset: {keep: 70%}", "cluster: {clusters: 3, reservoir: 100}",
                #"format: {template: "{completion}"}"#, "embed: {dimensions: 32, reservoir: 50, features: 1024}",
                "cluster: {clusters: 3, reservoir: 100}", "format: {template: auto}",
                "embed: {model: lexical, dimensions: 32}",
                "redundancy: {method: lift, keep: 60%}",
                "coreset: {keep: 50%, method: score-first, score: row_variance}",
            ]
        }
    }

    private var output: String {
        switch self {
        case .copy: ", compression: none"
        case .formatted: ", record: formatted"
        case .labels: ", annotate: [cluster, rank]"
        case .everyday: ", annotate: [words, letters]"
        default: ""
        }
    }

    /// Further outputs.
    private var sinks: [String] {
        switch self {
        case .formatted: ["by: {per: source, order: shuffled}", #"first: {where: "source in [s1, s2]"}"#]
        case .labels:
            ["sizes: {ladder: x3}", "far: {order: {by: cluster_distance, descending: true}, shard_records: 9}"]
        default: []
        }
    }

    var yaml: String {
        let head = """
            sluice: 1
            seed: 42
            memory: 256MiB
            input: {files: ["in-*"], max_record: 1MiB\(input)}
            output: {directory: out\(output)}

            """
        let outputs = sinks.isEmpty ? "" : "outputs:\n" + sinks.map { "  \($0)\n" }.joined()
        return head + outputs + (stages.isEmpty ? "" : "stages:\n" + stages.map { "  - \($0)\n" }.joined())
    }

    var dedupeHashBits: Int? { self == .bytes ? 5 : nil }
}

/// A task as `--prepare` lists it.
struct ListedTask {
    let id: String
    let phase: String
    let reads: [String]
    let writes: [String]

    init(_ report: JSONValue) throws {
        id = try #require(report["task"]?.textValue)
        phase = try #require(report["phase"]?.textValue)
        reads = (report["reads"]?.elements ?? []).compactMap(\.textValue)
        writes = (report["writes"]?.elements ?? []).compactMap(\.textValue)
    }
}

/// A definition and its data in a folder, and the program that does its tasks.
struct TaskScene {
    let work: Workspace
    let kind: TaskCase

    init(_ kind: TaskCase, records: Int = 400) throws {
        work = try Workspace()
        self.kind = kind
        try Self.write(records, to: work)
        try FileSystem.local.write(Array(kind.yaml.utf8), to: work("run.yaml"))
    }

    /// Files of every form, with duplicates within and between the parts, malformed and blank lines, a long record, a
    /// file without lines and one without records.
    private static func write(_ records: Int, to work: Workspace) throws {
        let share = records / 4
        let first = Corpus.lines(share, seed: 1)
        func write(_ lines: [String], _ name: String, end: String = "\n") throws {
            try FileSystem.local.write(Array((lines.joined(separator: "\n") + end).utf8), to: work(name))
        }
        try write(first, "in-0.jsonl", end: "")
        try write([], "in-1.jsonl", end: "")
        try write(first.suffix(20) + Corpus.lines(share, seed: 2), "in-2.jsonl")
        let packed = try Process.run(["-n", work("in-2.jsonl")], program: "gzip")
        try #require(packed.status == 0, "\(packed.error)")
        let good = Corpus.lines(share, seed: 3).filter { $0.hasSuffix("}") }
        try write(["[" + good.joined(separator: ",\n") + "]"], "in-3.json")
        let long = String(repeating: "long words ", count: 30_000)
        try write(["", "  ", #"{"prompt":"one","completion":"\#(long)","source":"s1"}"#] + first, "in-4.jsonl")
        try write(["", "", ""], "in-5.jsonl")
        let writer = try ZstdSeekableWriter(work("in-6.jsonl.zst"), frameBytes: 7000)
        for line in first.prefix(30) + Corpus.lines(share, seed: 4) { try writer.append(Array((line + "\n").utf8)) }
        try writer.finish()
    }

    private static let limits = ["--part-bytes", "20000", "--segment-bytes", "20000", "--block-bytes", "4096"]

    func arguments(_ output: String, _ more: [String]) -> [String] {
        ["run", work("run.yaml"), "--output", work(output), "--progress", "none"] + Self.limits
            + (kind.dedupeHashBits.map { ["--dedupe-hash-bits", String($0)] } ?? []) + more
    }

    func run(_ output: String, _ more: String...) throws -> Process.Outcome {
        try Process.run(arguments(output, more))
    }

    /// The result of one process.
    func whole() throws -> Snapshot {
        let outcome = try run("whole", "--threads", "2")
        try #require(outcome.status == 0, "\(outcome.error)")
        return try Snapshot(work("whole"))
    }

    func prepare(_ output: String) throws -> [ListedTask] {
        let process = try Process(arguments(output, ["--prepare"]), output: work("tasks.json"))
        let outcome = try process.wait()
        try #require(outcome.status == 0, "\(outcome.error)")
        return try JSONValue(json: try FileSystem.local.contents(of: work("tasks.json"))).elements.map {
            try ListedTask($0)
        }
    }

    func start(_ task: String, in output: String, _ more: [String] = []) throws -> Process {
        try Process(["task", work(output), task, "--progress", "none"] + more)
    }

    func task(_ task: String, in output: String, _ more: String...) throws -> Process.Outcome {
        try start(task, in: output, more).wait()
    }

    /// Does a task, which must succeed.
    func perform(_ id: String, in output: String, _ more: [String] = []) throws {
        let outcome = try start(id, in: output, more).wait()
        try #require(outcome.status == 0, "\(id): \(outcome.error)")
    }

    /// Expects the result of one process, proven by `verify`, and nothing else in the directory.
    func expect(_ whole: Snapshot, in output: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let now = try Snapshot(work(output))
        #expect(now == whole, "\(kind): \(now), expected \(whole)", sourceLocation: sourceLocation)
        let verified = try Process.run(["verify", work(output)])
        #expect(verified.status == 0, "\(verified.error)", sourceLocation: sourceLocation)
        let names = try Snapshot.all(in: work(output))
        #expect(names.sorted() == whole.files.keys.sorted(), sourceLocation: sourceLocation)
    }
}

/// The tasks that are left, and those of them whose inputs exist.
struct TaskQueue {
    private(set) var left: [ListedTask]
    private var written: Set<String> = []
    /// The files that each name of a list stands for: `work/tasks/hash.*` for those of all tasks of the phase.
    private let made: [String: [String]]

    init(_ tasks: [ListedTask]) {
        left = tasks
        let single = tasks.flatMap { task in task.writes.map { ($0, [$0]) } }
        let phases = Dictionary(grouping: tasks) { "work/tasks/\($0.phase).*" }.mapValues { $0.flatMap(\.writes) }
        made = phases.merging(single) { phase, _ in phase }
    }

    var ready: [ListedTask] {
        left.filter { task in task.reads.allSatisfy { (made[$0] ?? []).allSatisfy(written.contains) } }
    }

    /// Takes a task that is ready; nil if there is none.
    mutating func take(using random: inout SplitMix64) -> ListedTask? {
        guard let task = ready.randomElement(using: &random) else { return nil }
        left.removeAll { $0.id == task.id }
        return task
    }

    mutating func finish(_ task: ListedTask) { written.formUnion(task.writes) }
}
