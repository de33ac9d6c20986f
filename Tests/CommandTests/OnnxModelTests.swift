import Glibc
import SluiceCore
import SluiceIO
import Testing

/// Runs with `embed: {model: onnx}`, through the program itself, with MiniLM, where it is here.
@Suite struct OnnxModelTests {
    /// The folders of the model and of the runtime; otherwise says what is missing.
    private static func files(_ test: String = #function) -> (model: String, library: String)? {
        let model = getenv("SLUICE_MINILM").map { String(cString: $0) } ?? "\(projectFolder)/.models/minilm"
        let library =
            getenv("SLUICE_ONNXRUNTIME").map { String(cString: $0) }
            ?? "\(projectFolder)/.models/onnxruntime/libonnxruntime.so.1"
        for path in ["\(model)/model.onnx", "\(model)/tokenizer.json", library] where access(path, R_OK) != 0 {
            skip("there is no \(path); run `make model-minilm`", test)
            return nil
        }
        return (model, library)
    }

    /// Records of common words: short ones of equal and of different lengths, a few long ones, some without text.
    private static func lines(_ count: Int) -> [String] {
        let words = "red blue tall old river stone answer below explain why winter sort numbers".split(separator: " ")
        return (0..<count).map { number in
            var random = Seed(5).generator(UInt64(number))
            let length = number % 40 == 7 ? 0 : number % 30 == 11 ? 90 : 3 + Int(random.next(below: 12))
            let text = (0..<length).map { _ in words[Int(random.next(below: UInt64(words.count)))] }
            return #"{"text": "\#(text.joined(separator: " "))", "number": \#(number)}"#
        }
    }

    private func define(
        _ space: Workspace, _ files: (model: String, library: String), _ more: String = "",
        rest: [String] = ["cluster: {clusters: 4}", "coreset: {keep: 20%, per: cluster}"]
    ) throws {
        try space.define(
            input: ["max_record: 1MiB"],
            stages: [
                #"format: {template: "{text} {number}"}"#,
                "embed: {model: onnx, path: \(files.model), library: \(files.library)\(more)}",
            ] + rest, output: ["annotate: [empty_text]"])
    }

    @Test(arguments: [", max_tokens: 64", #", max_tokens: 24, long: chunk-mean, prefix: "query: ", pooling: cls"#])
    func theSameBytesHoweverItRuns(more: String) throws {
        guard let files = Self.files() else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(160))
        try define(space, files, more)
        let first = try space.run(["--threads", "1"])
        try first.expectClosedAccount()
        let again = try space.run(["--threads", "3", "--block-bytes", "4096", "--memory", "1GiB"], into: "blocks")
        #expect(again.digests == first.digests)
        let listed = try space.sluice("run", "run.yaml", "--output", "tasks", "--prepare")
        #expect(listed.status == 0, "\(listed.errorText)")
        let tasks = try JSONValue(json: listed.output).elements.compactMap { $0["task"]?.textValue }
        for task in tasks.prefix(2) { #expect(try space.sluice("task", "tasks", task).status == 0) }
        #expect(try space.run(["--resume"], into: "tasks").digests == first.digests)
    }

    /// The library may come from the environment, and its version is part of the result.
    @Test func whatVectorsDependOnIsInTheManifest() throws {
        guard let files = Self.files() else { return }
        let space = try Workspace()
        try space.write("in.jsonl", lines: Self.lines(20))
        try space.define(
            input: ["max_record: 1MiB"],
            stages: ["format: {template: \"{text}\"}", "embed: {model: onnx, path: \(files.model)}"])
        let outcome = try Program.run(
            ["SLUICE_ONNXRUNTIME=\(files.library)", Program.path, "run", "run.yaml", "--progress", "none"],
            program: "/usr/bin/env", in: space.path)
        #expect(outcome.status == 0, "\(outcome.errorText)")
        let names = try RunFiles(space("out")).manifest["stage_identities"]?.elements.compactMap {
            $0["name"]?.textValue
        }
        #expect(names == ["max_tokens", "model.onnx", "onnxruntime", "pooling", "tokenizer.json"])
    }

    /// The smallest budget holds for the longest texts and several threads.
    @Test(arguments: [(1, 64), (2, 512)])
    func thePeakStaysBelowTheSmallestBudget(threads: Int, tokens: Int) throws {
        guard Program.isRelease else { return skip("a debug build takes minutes") }
        guard let files = Self.files() else { return }
        let space = try Workspace()
        try space.write(
            "in.jsonl",
            lines: (0..<24).map { number in
                let words = (0..<700).map { "\($0 * 7919 % (number + 11))" }
                return #"{"text": "\#(words.joined(separator: " "))", "number": \#(number)}"#
            })
        try define(space, files, ", max_tokens: \(tokens)", rest: [])
        let refused = try space.sluice("check", "run.yaml", "--threads", "\(threads)", "--memory", "60MiB")
        #expect(refused.status == 4)
        let rest = try #require(refused.errorText.split(separator: "needs at least ").last)
        let least = String(rest.prefix { $0.isLetter || $0.isNumber })
        let run = try space.run(["--threads", "\(threads)", "--memory", least, "--block-bytes", "4096"])
        let timing = try #require(run.manifest["timing"])
        let peak = try #require(timing["memory_peak"]?.integerValue)
        #expect(peak <= (try #require(timing["memory_budget"]?.integerValue)))
        print("MiniLM, \(threads) threads, \(tokens) tokens: \(peak >> 20) MiB of \(least)")
    }

    /// Mistakes are found by `check`, before anything is read.
    @Test func mistakesHaveTheirPlace() throws {
        let space = try Workspace()
        try space.write("in.jsonl", lines: ["{}"])
        try define(space, ("model", "nowhere.so"))
        let missing = try space.sluice("check", "run.yaml")
        #expect(missing.status == 2)
        #expect(
            missing.errorText.contains("run.yaml:8") && missing.errorText.contains("is neither a folder"),
            "\(missing.errorText)")
        guard let files = Self.files() else { return }
        try define(space, (files.model, "nowhere.so"))
        let library = try space.sluice("run", "run.yaml", "--progress", "none")
        #expect(library.status == 2 && library.errorText.contains("can't be loaded"), "\(library.errorText)")
        try define(space, files, ", max_tokens: 513")
        let long = try space.sluice("check", "run.yaml")
        #expect(long.status == 2 && long.errorText.contains("a text of 513 tokens; give less"), "\(long.errorText)")
        #expect(!space.names().contains("out"))
    }
}
