import Glibc
import SluiceCommand
import SluiceCore
import SluiceEngine
import SluiceKit
import SluicePipeline
import Testing

/// Vectors of finished runs, computed again from their inputs.
@Suite struct RunVectorsTests {
    /// A folder with two inputs; some lines are malformed, duplicates, or without text.
    private func workspace() throws -> String {
        var path = Array("/tmp/sluice-compare-XXXXXX".utf8CString)
        try #require(mkdtemp(&path) != nil)
        let folder = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for file in 0..<2 {
            var text = ""
            for line in 0..<120 {
                switch (file * 120 + line) % 13 {
                case 4: text += "no record\n"
                case 6: text += "{\"text\":\"the same again\",\"kind\":\"same\"}\n"
                case 9: text += "\n"
                default:
                    text +=
                        "{\"text\":\"item \(file) \(line * line) of \(line % 9) things like \(line % 4)\",\"kind\":\"k\(line % 5)\"}\n"
                }
            }
            let handle = try #require(fopen("\(folder)/in-\(file).jsonl", "w"))
            fputs(text, handle)
            fclose(handle)
        }
        return folder
    }

    private func definition(_ folder: String, method: String, output: String) throws -> Definition {
        try DefinitionFile.parse(
            text: """
                sluice: 1
                seed: 3
                input: {files: ["in-*.jsonl"], dedupe: {on: [text]}}
                stages:
                  - format: {template: "{text}"}
                  - embed: {model: lexical, dimensions: 48}
                  - coreset: {keep: 12%, method: \(method)}
                output: {directory: \(output), record: formatted}
                """, path: "\(folder)/run.yaml", registry: .builtIn)
    }

    @Test func chosenAndPoolAreWhatTheRunSaw() throws {
        let folder = try workspace()
        let made = try definition(folder, method: "random", output: "one")
        let result = try Run(made, registry: .builtIn, options: RunOptions(threads: 2)).run()
        let reader = try RunReader("\(folder)/one")
        func read(_ sample: Int, threads: Int = 2) throws -> RunVectors {
            try RunVectors.read(
                reader, made, registry: .builtIn, sample: sample, label: "kind", threads: threads)
        }
        let pool = try read(1000)
        #expect(pool.dimension == 48)
        #expect(pool.kept == result.kept && pool.chosen.count == result.kept * 48)
        // Every record that has a text and passed the dedupe.
        let dedupe = result.manifest["stages"]?.elements.first
        let duplicates = dedupe?["dropped"]?["duplicate"]?.integerValue ?? 0
        #expect(duplicates > 0 && pool.records == result.read - result.quarantined - duplicates)
        #expect(pool.sampled == pool.records && pool.pool.count == pool.sampled * 48)
        #expect(try RunVectors.embedding(of: made, registry: .builtIn)?.stage == 1)
        #expect(pool.labels?.all == 6)
        let rows = Set((0..<pool.sampled).map { Array(pool.pool[($0 * 48)..<(($0 + 1) * 48)]) })
        for row in 0..<pool.kept { #expect(rows.contains(Array(pool.chosen[(row * 48)..<((row + 1) * 48)]))) }
        // A smaller sample is a prefix of a larger one, and the number of threads changes nothing.
        let small = try read(20, threads: 1)
        #expect(small.pool == Array(pool.pool[..<(20 * 48)]))
        #expect(small.chosen == pool.chosen)
        #expect(try read(0).pool.isEmpty)
    }

    @Test func changedInputsAreRefused() throws {
        let folder = try workspace()
        let made = try definition(folder, method: "farthest-first", output: "one")
        _ = try Run(made, registry: .builtIn, options: RunOptions(threads: 1)).run()
        let handle = try #require(fopen("\(folder)/in-1.jsonl", "a"))
        fputs("{\"text\":\"one more\"}\n", handle)
        fclose(handle)
        do {
            _ = try RunVectors.read(
                try RunReader("\(folder)/one"), made, registry: .builtIn, sample: 10, threads: 1)
            Issue.record("a changed input was read")
        } catch {
            #expect("\(error)".contains("in-1.jsonl is not the file that was read"))
        }
    }

    @Test func aRunWithoutVectorsSaysSo() throws {
        let folder = try workspace()
        var made = try definition(folder, method: "random", output: "plain")
        made.stages = []
        made.output.record = .original
        _ = try Run(made, registry: .builtIn, options: RunOptions(threads: 1)).run()
        do {
            _ = try RunVectors.read(
                try RunReader("\(folder)/plain"), made, registry: .builtIn, sample: 10, threads: 1)
            Issue.record("there are no vectors")
        } catch {
            #expect("\(error)".contains("no stage of its definition writes vectors"))
        }
    }
}
