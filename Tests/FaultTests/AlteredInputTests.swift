import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import SluicePipeline
import SluiceTesting
import Testing

/// Input altered between a stop and the resume, with its size and time unchanged: the resume reports it or gives the
/// result of a run on the new input, never a mixture.
@Suite(.serialized)
struct AlteredInputTests {
    /// Options that decide how the input before the stop is checked again.
    enum Way: String, CaseIterable {
        case plain, table, spill, compare, select
    }

    private struct Scene {
        let work: Workspace
        let way: Way
        static let files = ["a.jsonl", "b.jsonl", "c.jsonl"]

        init(_ way: Way) throws {
            work = try Workspace()
            self.way = way
            for (number, file) in Self.files.enumerated() {
                // All records differ, so that one byte more or less in common changes no count.
                let lines = (0..<150).map { line in
                    #"{"prompt":"number \#(number) \#(line)","completion":"\#(Corpus.words[line % 20]) \#(line) aaaa"}"#
                }
                try FileSystem.local.write(Array((lines.joined(separator: "\n") + "\n").utf8), to: work(file))
            }
        }

        private var yaml: String {
            let dedupe = ", dedupe: {on: [prompt, completion], verify: \(way == .compare ? "bytes" : "hash")}"
            let head = """
                sluice: 1
                memory: 256MiB
                input: {files: ["[abc].jsonl"]\(way == .plain ? "" : dedupe)}
                output: {directory: out}

                """
            guard way == .select else { return head }
            return head + """
                stages:
                  - format: {template: auto}
                  - embed: {model: lexical, dimensions: 32}
                  - coreset: {keep: 40%}

                """
        }

        func run(_ output: String, _ fileSystem: FileSystem = .local, resume: Bool = false) throws {
            var options = RunOptions(threads: 1)
            options.resume = resume
            options.blockBytes = 1024
            options.segmentBytes = 4000
            options.checkpointSeconds = 0
            options.dedupeBytes = way == .spill || way == .compare ? 1 : nil
            options.dedupeHashBits = way == .compare ? 5 : nil
            options.fileSystem = fileSystem
            let definition = try DefinitionFile.parse(
                text: yaml, path: work("run.yaml"), registry: .builtIn,
                overrides: [Override(["output", "directory"], work(output), spelling: "output")])
            _ = try Run(definition, registry: .builtIn, options: options).run()
        }

        /// Changes the last letter of a file's first record, or restores it, and then restores the file's time.
        func alter(_ file: String) throws {
            let modified = try FileSystem.local.status(of: work(file))?.modified ?? 0
            let opened = try FileSystem.local.openForUpdating(work(file))
            var bytes = try FileSystem.local.contents(of: work(file))
            let place = (bytes.firstIndex(of: 0x0A) ?? 0) - 3
            bytes[place] = bytes[place] == UInt8(ascii: "a") ? UInt8(ascii: "b") : UInt8(ascii: "a")
            try bytes.withUnsafeBytes { try opened.write($0, at: 0) }
            let time = timespec(tv_sec: Int(modified / 1_000_000_000), tv_nsec: Int(modified % 1_000_000_000))
            utimensat(AT_FDCWD, work(file), [time, time], 0)
            #expect(try FileSystem.local.status(of: work(file))?.modified == modified)
        }
    }

    @Test(arguments: Way.allCases)
    func noMixtureOfTwoInputs(_ way: Way) throws {
        let scene = try Scene(way)
        let work = scene.work
        let counter = FaultyFileSystem(failing: 0)
        try scene.run("before", counter.fileSystem)
        let before = try Snapshot(work("before"))
        var (found, anew, unseen) = (0, 0, 0)
        for file in Scene.files {
            try scene.alter(file)
            try scene.run("after-\(file)")
            let after = try Snapshot(work("after-\(file)"))
            #expect(after != before)
            try scene.alter(file)
            for part in stride(from: 3, to: 100, by: isSoak ? 1 : 12) {
                work.remove("out")
                let faulty = FaultyFileSystem(
                    failing: max(1, counter.calls * part / 100), with: .error(ENOSPC), .fromThenOn)
                guard (try? scene.run("out", faulty.fileSystem)) == nil else { continue }
                try scene.alter(file)
                do {
                    try scene.run("out", resume: true)
                    let now = try Snapshot(work("out"))
                    // Output written before the change, from input not read again, is entirely that of the old input.
                    if now == before { unseen += 1 } else { anew += 1 }
                    #expect(now == after || now == before, "\(file), stopped at \(part) %")
                    #expect(now == after || part > 60, "\(file), stopped at \(part) %")
                } catch let error as EngineError {
                    found += 1
                    #expect(error.code == .data && error.message.contains("changed"), "\(part) %: \(error)")
                    #expect(error.message.contains(file) || error.message.contains("duplicates"), "\(error)")
                    #expect(try Snapshot(work("out")).files.isEmpty)
                }
                try scene.alter(file)
            }
        }
        note(
            "\(way): an altered input was found \(found) times, read from its beginning \(anew), not needed any more \(unseen)"
        )
        #expect(found > 3)
    }
}
