import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Runs with `embed: {model: static}`, through the program itself, with a model that each test writes.
@Suite struct StaticModelTests {
    private static let words = ["red", "blue", "tall", "old", "cold", "dear", "round", "loud", "late", "ripe", "thin"]
    private static let columns = 32

    /// A model folder as wordllama has it: a table of half precision, and byte pairs.
    private func writeModel(_ space: Workspace, seed: UInt64 = 1) throws {
        var random = Seed(seed).generator(0)
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789".map(String.init)
        var tokens =
            ["<unk>", "▁"]
            + (0...255).map { byte in
                let digits = String(byte, radix: 16, uppercase: true)
                return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
            } + letters
        var merges: [String] = []
        for word in Self.words {
            var made = "▁"
            for letter in word {
                merges.append("\(JSONValue.text("\(made) \(letter)").json)")
                made += String(letter)
                if !tokens.contains(made) { tokens.append(made) }
            }
        }
        let entries = tokens.enumerated().map { "\(JSONValue.text($0.element).json): \($0.offset)" }
        try space.write(
            "model/tokenizer.json",
            #"{"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "vocab": {\#(entries.joined(separator: ", "))}, "merges": [\#(merges.joined(separator: ", "))]}}"#
        )
        let bytes = (0..<(tokens.count * Self.columns)).flatMap { _ -> [UInt8] in
            // A half of at least 1/2 in size: sign, exponent 14, any fraction.
            let bits = UInt16(random.next(below: 2)) << 15 | 14 << 10 | UInt16(random.next(below: 1024))
            return [UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8)]
        }
        let header =
            #"{"embedding.weight": {"dtype": "F16", "shape": [\#(tokens.count), \#(Self.columns)], "data_offsets": [0, \#(bytes.count)]}}"#
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> ($0 * 8)) }
        try space.write("model/model.safetensors", length + Array(header.utf8) + bytes)
    }

    /// Records of common words, a few of them long, some without text.
    private static func lines(_ count: Int) -> [String] {
        (0..<count).map { number in
            var random = Seed(3).generator(UInt64(number))
            let length = number % 97 == 5 ? 60_000 : number % 50 == 7 ? 0 : 5 + Int(random.next(below: 20))
            let text = (0..<length).map { _ in words[Int(random.next(below: 11))] + "\(random.next(below: 9))" }
            return #"{"text": "\#(text.joined(separator: " "))", "number": \#(number)}"#
        }
    }

    private func define(
        _ space: Workspace, _ more: String = "",
        rest: [String] = ["cluster: {clusters: 4}", "coreset: {keep: 20%, per: cluster}"]
    ) throws {
        try space.define(
            input: ["max_record: 1MiB"],
            stages: [
                #"format: {template: "{text} {number}"}"#, "embed: {model: static, path: model\(more)}",
            ] + rest, output: ["annotate: [empty_text]"])
    }

    @Test(arguments: ["", ", dimensions: 16, max_tokens: 8, long: chunk-mean"])
    func theSameBytesHoweverItRuns(more: String) throws {
        let space = try Workspace()
        try writeModel(space)
        try space.write("in.jsonl", lines: Self.lines(600))
        try define(space, more)
        let first = try space.run(["--threads", "1"])
        try first.expectClosedAccount()
        for (number, arguments) in [["--threads", "4", "--block-bytes", "4096"], ["--memory", "110MiB"]].enumerated() {
            let again = try space.run(arguments, into: "out-\(number)")
            #expect(again.digests == first.digests, "\(arguments)")
        }
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare")
        #expect(listed.status == 0, "\(listed.errorText)")
        let tasks = try JSONValue(json: listed.output).elements.compactMap { $0["task"]?.textValue }
        for task in tasks.prefix(4) { #expect(try space.sluice("task", "tasks", task).status == 0) }
        #expect(try space.run(["--resume"], into: "tasks").digests == first.digests)
    }

    /// The digests of the model's files are part of the plan: with other files, no work and no result is taken over.
    @Test func anotherModelIsAnotherRun() throws {
        let space = try Workspace()
        try writeModel(space)
        try space.write("in.jsonl", lines: Self.lines(100))
        try define(space)
        let first = try space.run()
        let names = first.manifest["stage_identities"]?.elements.compactMap { $0["name"]?.textValue }
        #expect(names == ["model.safetensors", "tokenizer.json"])
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare")
        let task = try #require(JSONValue(json: listed.output).elements.first?["task"]?.textValue)
        try writeModel(space, seed: 2)
        let refused = try space.sluice("task", "tasks", task)
        #expect(
            refused.status == 2 && refused.errorText.contains("model.safetensors of stage `embed`"),
            "\(refused.errorText)")
        let second = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(second.status == 2 && second.errorText.contains("model.safetensors"), "\(second.errorText)")
        #expect(try space.run(into: "other").digests != first.digests)
    }

    @Test func vectorsAreMadeAgain() throws {
        let space = try Workspace()
        try writeModel(space)
        try space.write("in.jsonl", lines: Self.lines(50))
        try define(space, rest: [])
        let files = try space.run()
        let outcome = try space.sluice("vectors", "out", "--output", "v.npy")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(try NpyReader<Int8>(space("v.npy")).rows == files.count("kept"))
    }

    /// Mistakes are found by `check`, before anything is read.
    @Test func mistakesHaveTheirPlace() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: ["{}"])
        try define(space)
        let missing = try space.sluice("check", "run.yaml")
        #expect(missing.status == 2)
        #expect(
            missing.errorText.contains("run.yaml:8") && missing.errorText.contains("is no folder"),
            "\(missing.errorText)")
        try writeModel(space)
        try space.write("model/model.safetensors", Array(try readFile(space("model/model.safetensors")).dropLast()))
        let damaged = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(damaged.status == 2 && damaged.errorText.contains("it is damaged"), "\(damaged.errorText)")
        #expect(!space.names().contains("out"))
    }
}
