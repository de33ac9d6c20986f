import Glibc
import SluiceCore
import Testing

/// A kind of input that strains the memory budget, and the definition that reads it.
struct BudgetShape: Sendable, CustomTestStringConvertible {
    let name: String
    /// The value of `--threads` for each run.
    var threads = [1, 2]
    /// Budgets in MiB, in addition to the smallest one, which is always tested.
    var budgets: [Int] = []
    /// Lines under `input:`, `stages:` and `output:`.
    var input: [String] = []
    var stages: [String] = []
    var output: [String] = []
    /// Lines under `outputs:`.
    var sinks: [String] = []
    /// The file that `make` writes, or a pattern for several.
    var files = "in.jsonl"
    /// Whether it takes seconds and so runs only in `make soak`.
    var isLarge = false
    /// Whether the memory of a stage depends on the number of records of a group, which only reading tells.
    var hasLargeGroups = false
    let make: @Sendable (Workspace) throws -> Void

    var testDescription: String { name }
}

/// No run exceeds its memory budget, for any input: the peak reported in `run.json` and the peak measured from outside
/// stay within it, with the smallest accepted budget and with larger ones.
@Suite(.serialized) struct BudgetShapeTests {
    @Test(arguments: BudgetShape.all.filter { !$0.isLarge || getenv("SLUICE_SOAK") != nil })
    func thePeakStaysWithinTheBudget(_ shape: BudgetShape) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        let space = try Workspace()
        try shape.make(space)
        try space.define(files: shape.files, input: shape.input, stages: shape.stages, output: shape.output)
        if !shape.sinks.isEmpty {
            let sinks = shape.sinks.map { "  \($0)\n" }.joined()
            try space.write("run.yaml", text(try readFile(space("run.yaml"))) + "outputs:\n" + sinks)
        }
        for threads in shape.threads {
            let refused = try space.sluice("check", "run.yaml", "--memory", "2MiB", "--threads", "\(threads)")
            #expect(refused.status == 4)
            let least = try #require(BudgetShape.smallest(in: refused.errorText), "\(refused.errorText)")
            for wanted in [least] + shape.budgets.filter({ $0 > least }) {
                var (budget, run) = (wanted, try self.run(space, wanted, threads))
                // Only reading tells how large the groups are: the refusal then states a number that is enough.
                if shape.hasLargeGroups, run.outcome.status == 4,
                    let more = BudgetShape.smallest(in: run.outcome.errorText)
                {
                    #expect(more > budget)
                    (budget, run) = (more, try self.run(space, more, threads))
                }
                let what = "\(shape.name), \(threads) threads, \(budget) MiB"
                try #require(run.outcome.status == 0, "\(what): \(run.outcome.errorText)")
                let files = try JSONValue(json: try readFile(space("out/run.json")))
                let reported = try #require(files["timing"]?["memory_peak"]?.integerValue)
                let peak = max(reported, run.peak)
                print("  \(what): peak \((peak + 1 << 20 - 1) >> 20) MiB")
                #expect(peak <= budget << 20, "\(what): \(peak >> 20) MiB")
            }
        }
    }

    private func run(_ space: Workspace, _ budget: Int, _ threads: Int) throws -> MeasuredRun {
        let options = ["--force", "--progress", "none", "--threads", "\(threads)", "--memory", "\(budget)MiB"]
        return try Program.measure(["run", "run.yaml"] + options, in: space.path)
    }
}

extension BudgetShape {
    /// The number of MiB stated in a refusal.
    static func smallest(in message: String) -> Int? {
        guard let rest = message.split(separator: "needs at least ").dropFirst().first else { return nil }
        return MemorySize.parse(String(rest.prefix { $0.isLetter || $0.isNumber })).map { $0 >> 20 }
    }

    static let all = longLines + levels + manyInputs + rows + groups + outputs

    // MARK: Long lines

    static let megabyte = 1_000_000

    /// Text that zstd can hardly compress: letters of a fixed sequence.
    static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SplitMix64(state: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            var word = random.next()
            for _ in 0..<8 {
                bytes.append(0x30 + UInt8(word & 63))
                word >>= 8
            }
        }
        // Neither quotes nor backslashes: 0x30 ..< 0x70 has one backslash.
        return bytes.prefix(count).map { $0 == 0x5C ? 0x20 : $0 }
    }

    static func write(_ space: Workspace, _ lines: Int, _ line: (UInt64) -> [UInt8]) throws {
        guard let file = fopen(space("in.jsonl"), "wb") else { throw Failure("in.jsonl") }
        defer { fclose(file) }
        for number in 0..<lines {
            let bytes = line(UInt64(number)) + [0x0A]
            guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Failure("in.jsonl") }
        }
    }

    static func record(_ name: String, _ content: [UInt8], before: String = "\"", after: String = "\"")
        -> [UInt8]
    {
        Array("{\"\(name)\":\(before)".utf8) + content + Array("\(after)}".utf8)
    }

    static func repeated(_ text: String, bytes: Int) -> [UInt8] {
        let unit = Array(text.utf8)
        var result: [UInt8] = []
        result.reserveCapacity(bytes)
        while result.count + unit.count <= bytes { result += unit }
        return result
    }

    private static let longLines: [BudgetShape] = [
        BudgetShape(name: "good lines of 14 MB, copied", budgets: [160, 256]) { space in
            try write(space, 6) { record("prompt", noise(14 * megabyte, seed: $0)) }
        },
        BudgetShape(name: "bad lines of 14 MB, as text", budgets: [160, 256], input: ["max_malformed: 100%"]) { space in
            try write(space, 6) { Array("{\"prompt\": ".utf8) + noise(14 * megabyte, seed: $0) }
        },
        BudgetShape(name: "lines of 15 MB that are no UTF-8", budgets: [256], input: ["max_malformed: 100%"]) { space in
            try write(space, 6) { [0xFF] + noise(15 * megabyte, seed: $0) }
        },
        BudgetShape(name: "bad lines of 15 MB of control characters", input: ["max_malformed: 100%"]) { space in
            try write(space, 4) { number in (0..<15 * megabyte).map { UInt8(1 + ($0 + Int(number)) % 8) } }
        },
        BudgetShape(
            name: "a field of 10 MB full of escapes, deduped", threads: [1, 2, 16], budgets: [310],
            input: ["dedupe: {on: [prompt]}"]
        ) { space in
            try write(space, 6) {
                record("prompt", Array("\($0) ".utf8) + repeated("\\n\\u0041\\\"", bytes: 10 * megabyte))
            }
        },
        BudgetShape(
            name: "the same, contents compared", budgets: [310], input: ["dedupe: {on: [prompt], verify: bytes}"]
        ) { space in
            try write(space, 6) {
                record("prompt", Array("\($0 % 4) ".utf8) + repeated("\\n\\u0041\\\"", bytes: 10 * megabyte))
            }
        },
        BudgetShape(
            name: "a field of 4 MB four times in a text, formatted", budgets: [300],
            stages: ["format: {template: \"{prompt} {prompt} {prompt} {prompt}\"}"], output: ["record: formatted"]
        ) { space in
            try write(space, 6) { record("prompt", noise(4 * megabyte, seed: $0)) }
        },
        BudgetShape(name: "lines of 7.5 MB of empty arrays", input: ["dedupe: {on: [prompt]}"]) { space in
            try write(space, 6) { _ in record("prompt", repeated("[],", bytes: 7 * megabyte), before: "[", after: "[]]")
            }
        },
        BudgetShape(
            name: "lines of 12 MB of chat turns", input: ["dedupe: {on: line}"],
            stages: ["format: {template: auto}"], output: ["record: messages"]
        ) { space in
            try write(space, 3) { number in
                record(
                    "messages",
                    Array("{\"role\":\"user\",\"content\":\"\(number)\"},".utf8)
                        + repeated("{\"role\":\"u\",\"content\":\"\"},", bytes: 12 * megabyte),
                    before: "[", after: "{\"role\":\"u\",\"content\":\"\"}]")
            }
        },
        BudgetShape(
            name: "lines of 12 MB of short ShareGPT turns, as ChatML and whole",
            stages: ["format: {template: chatml, carry: all, tools: strings}"], output: ["record: messages"]
        ) { space in
            try write(space, 3) { number in
                record(
                    "conversations",
                    Array("{\"from\":\"gpt\",\"value\":\"\(number)\"},".utf8)
                        + repeated("{\"from\":\"gpt\",\"value\":\"\"},", bytes: 12 * megabyte),
                    before: "[", after: "{\"from\":\"gpt\",\"value\":\"\"}]")
            }
        },
        BudgetShape(
            name: "lines of 12 MB of calls", stages: ["format: {template: auto}"], output: ["record: messages"]
        ) { space in
            try write(space, 3) { number in
                record(
                    "conversations",
                    Array("{\"from\":\"gpt\",\"value\":\"\(number)\"},".utf8)
                        + Array("{\"from\":\"function_call\",\"value\":\"[".utf8)
                        + repeated("{\\\"name\\\":\\\"f\\\"},", bytes: 12 * megabyte),
                    before: "[", after: "{\\\"name\\\":\\\"f\\\"}]\"}]")
            }
        },
        BudgetShape(name: "elements of 6 MB in an array", files: "in.json") { space in
            let elements = (0..<5).map { record("prompt", noise(6 * megabyte, seed: $0)) }
            try space.write("in.json", [0x5B] + Array(elements.joined(separator: [0x2C])) + [0x5D])
        },
        BudgetShape(name: "lines of 260 kB", threads: [1, 2, 8], input: ["dedupe: {on: [prompt]}"]) { space in
            try write(space, 200) { record("prompt", noise(260_000, seed: $0)) }
        },
        BudgetShape(
            name: "long records on their way to a selection",
            stages: ["format: {template: auto}", "embed: {model: lexical, dimensions: 64}", "coreset: {keep: 3}"]
        ) { space in
            try write(space, 6) { record("text", noise(12 * megabyte, seed: $0)) }
        },
        BudgetShape(
            name: "a table as large as can be, then lines of 14 MB", threads: [1, 2, 8], budgets: [220],
            input: ["dedupe: {on: [prompt]}"]
        ) { space in
            try write(space, 700_004) {
                record("prompt", $0 < 700_000 ? Array("\($0 * 7919 % 900_001)".utf8) : noise(14 * megabyte, seed: $0))
            }
        },
        BudgetShape(
            name: "contents as large as can be, then lines of 5 MB", budgets: [220],
            input: ["dedupe: {on: [prompt], verify: bytes}"]
        ) { space in
            try write(space, 200_004) {
                record("prompt", $0 < 200_000 ? noise(100, seed: $0 % 170_000) : noise(5 * megabyte, seed: $0))
            }
        },
        BudgetShape(
            name: "a line of 100 MiB", threads: [1, 2], budgets: [1024], input: ["max_record: 128MiB"], isLarge: true
        ) { space in
            try write(space, 2) { record("prompt", noise(100 << 20, seed: $0)) }
        },
        BudgetShape(
            name: "a line of 100 MiB, contents compared", budgets: [1024],
            input: ["max_record: 128MiB", "dedupe: {on: [prompt], verify: bytes}"], isLarge: true
        ) { space in
            try write(space, 2) { _ in record("prompt", noise(100 << 20, seed: 1)) }
        },
    ]

    // MARK: Outputs

    /// Ordinary records, 60 MB of them.
    static func ordinary(_ space: Workspace) throws {
        try write(space, 60_000) { record("prompt", noise(960, seed: $0)) }
    }

    private static let levels: [BudgetShape] = [
        BudgetShape(name: "level 12", output: ["level: 12"], make: { try ordinary($0) }),
        BudgetShape(
            name: "level 19", output: ["level: 19"], isLarge: true, make: { try ordinary($0) }),
        BudgetShape(
            name: "level 19, lines of 10 MB", output: ["level: 19"], isLarge: true
        ) { space in
            try write(space, 4) { record("prompt", noise(10 * megabyte, seed: $0)) }
        },
    ]

    // MARK: Inputs

    private static let manyInputs: [BudgetShape] = [
        BudgetShape(name: "3,000 files", threads: [2, 16], files: "f*.jsonl") { space in
            for number in 0..<3000 { try space.write("f\(number).jsonl", "{\"n\":\(number)}\n") }
        },
        BudgetShape(
            name: "20,000 files", threads: [1, 8, 64], input: ["dedupe: {on: line}"], files: "f*.jsonl", isLarge: true
        ) { space in
            for number in 0..<20_000 { try space.write("f\(number).jsonl", "{\"n\":\(number % 15_000)}\n") }
        },
        BudgetShape(
            name: "tiny lines", threads: [1, 4, 64], input: ["dedupe: {on: line}"]
        ) { space in
            try write(space, 1) { _ in repeated("{}\n1\n{\"a\":2}\n", bytes: 6 * megabyte) }
        },
    ]
}
