import SluiceCore
import SluiceIO
import Testing

@testable import SluiceEngine

/// Inputs that are no files, and records that are no JSON lines: the seams that a store and a format fill.
@Suite struct InputStoreTests {
    /// Inputs in memory.
    private struct MemoryStore: InputStore {
        let inputs: [String: [UInt8]]

        func inputs(matching pattern: String) -> [String] {
            pattern.hasSuffix("*") ? inputs.keys.filter { $0.hasPrefix(pattern.dropLast()) } : [pattern]
        }

        func status(ofInput path: String) -> InputStatus? {
            inputs[path].map { InputStatus(size: UInt64($0.count), version: "1") }
        }

        func open(input path: String) throws(IOFailure) -> any InputFile {
            guard let bytes = inputs[path] else {
                throw IOFailure(.cannotOpen, path: path, found: "there is no such input")
            }
            return MemoryFile(path: path, bytes: bytes)
        }
    }

    private final class MemoryFile: InputFile, @unchecked Sendable {
        // @unchecked: one thread calls `read(into:)`, the only user of `position`.
        let path: String
        private let bytes: [UInt8]
        private var position = 0

        init(path: String, bytes: [UInt8]) { (self.path, self.bytes) = (path, bytes) }

        func size() -> UInt64? { UInt64(bytes.count) }

        func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
            let count = read(into: buffer, at: UInt64(position))
            position += count
            return count
        }

        func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
            let part = bytes.dropFirst(Int(offset)).prefix(buffer.count)
            buffer.copyBytes(from: part)
            return part.count
        }
    }

    private static func lines(_ seed: Int) -> [String] {
        (0..<400).map { $0 % 37 == 5 ? "no record" : #"{"n":\#(($0 * seed) % 211),"text":"line of \#(seed)"}"# }
    }

    /// The same inputs in files and in memory: plain, and in frames; with duplicates and malformed lines.
    private func inputs(in folder: TemporaryFolder) throws -> [String: [UInt8]] {
        let lines = Self.lines
        try FileSystem.local.write(
            Array((lines(3).joined(separator: "\n") + "\n").utf8), to: "\(folder.path)/in-0.jsonl")
        let writer = try ZstdSeekableWriter("\(folder.path)/in-1.jsonl.zst", frameBytes: 900)
        for line in lines(7) + lines(3) { try writer.append(Array((line + "\n").utf8)) }
        try writer.finish()
        var all: [String: [UInt8]] = [:]
        for name in ["in-0.jsonl", "in-1.jsonl.zst"] {
            all[name] = try FileSystem.local.contents(of: "\(folder.path)/\(name)")
        }
        return all
    }

    private func definition(_ folder: TemporaryFolder, _ output: String, isLocal: Bool) -> Definition {
        var input = InputSpec(files: [isLocal ? "\(folder.path)/in-*" : "in-*"])
        if isLocal { input.folder = folder.path }
        input.dedupe = DedupeSpec(on: .line)
        return Definition(memory: 256 << 20, input: input, output: OutputSpec(directory: "\(folder.path)/\(output)"))
    }

    private func options(_ store: MemoryStore?) -> RunOptions {
        var options = RunOptions(threads: 2)
        options.blockBytes = 1000
        options.partBytes = 1000
        options.store = store
        return options
    }

    @Test func aRunReadsItsInputsThroughTheStoreAlone() throws {
        let folder = try TemporaryFolder()
        let store = MemoryStore(inputs: try inputs(in: folder))
        let local = try Run(
            definition(folder, "local", isLocal: true), registry: Registry([]), options: options(nil)
        ).run()
        let stored = try Run(
            definition(folder, "stored", isLocal: false), registry: Registry([]), options: options(store)
        ).run()
        let tasks = try TaskRun.prepare(
            definition(folder, "tasks", isLocal: false), registry: Registry([]), options: options(store))
        // Both inputs are cut into ranges.
        #expect(tasks.tasks.count { $0.phase == "read" } > 8)
        #expect(tasks.tasks.count { $0.phase == "digest" } == 2)
        for task in tasks.tasks { try tasks.perform(task) }
        #expect(
            local.kept == Set(Self.lines(3) + Self.lines(7)).count - 1 && stored.kept == local.kept
                && stored.quarantined == local.quarantined)
        for name in ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst"] {
            let whole = try FileSystem.local.contents(of: "\(folder.path)/local/\(name)")
            for output in ["stored", "tasks"] {
                #expect(try FileSystem.local.contents(of: "\(folder.path)/\(output)/\(name)") == whole, "\(name)")
            }
        }
    }

    /// Lines of two texts with a tab between them; each is a record with `prompt` and `completion`.
    private struct TabSeparated: RecordFormat {
        let name = "tab-separated"

        func ranges(of path: String, in store: any InputStore, target: UInt64) -> [FileRange] { [.whole] }

        func open(
            _ range: FileRange, of path: String, in store: any InputStore, options: InputOptions
        ) throws(IOFailure) -> any ByteSource {
            try store.openInput(path, options: options)
        }

        func makeReader(_ source: any ByteSource, limits: FramingLimits, firstLine: UInt64) -> any RecordReader {
            Reader(BlockReader(source, limits: limits, firstLine: firstLine))
        }

        private final class Reader: RecordReader {
            let lines: BlockReader
            let block = RawBlock()

            init(_ lines: BlockReader) { self.lines = lines }

            var source: any ByteSource { lines.source }
            var nextByte: UInt64 { lines.nextByte }
            var nextLine: UInt64 { lines.nextLine }
            let unit = "rows"

            func next(into block: RawBlock, mayHold: (Int) -> Bool) throws(IOFailure) -> ReadStep {
                let step = try lines.next(into: self.block, mayHold: mayHold)
                block.reset(firstLine: self.block.firstLine, firstByte: self.block.firstByte)
                for line in self.block.lines {
                    let row = String(decoding: self.block.bytes(of: line), as: UTF8.self)
                    let texts = row.split(separator: "\t", omittingEmptySubsequences: false)
                    let record = #"{"prompt":"\#(texts[0])","completion":"\#(texts.last ?? "")"}"#
                    Array(record.utf8).withUnsafeBytes {
                        block.append(
                            $0, line: self.block.lineNumber(of: line), byte: self.block.byteOffset(of: line))
                    }
                }
                return step
            }
        }
    }

    @Test func recordsMayHaveAnotherFormat() throws {
        let folder = try TemporaryFolder()
        let rows = (0..<300).map { "what is \($0 % 250)?\tit is \($0 % 250)" }
        let store = MemoryStore(inputs: ["in-0.tsv": Array((rows.joined(separator: "\n") + "\n").utf8)])
        var definition = definition(folder, "out", isLocal: false)
        definition.input.dedupe = .fields(["prompt"], verify: .hash)
        var options = options(store)
        options.format = TabSeparated()
        let result = try Run(definition, registry: Registry([]), options: options).run()
        #expect(result.manifest["format"] == "tab-separated")
        // Read otherwise, the same input gives another result.
        options.format = JSONRecords()
        let other = #expect(throws: EngineError.self) {
            try Run(definition, registry: Registry([]), options: options).run()
        }
        #expect(other?.message.contains("format") ?? false, "\(other?.message ?? "")")
        #expect(result.kept == 250 && result.dropped == 50)
        let kept = try ComparedContentsTests.text("\(folder.path)/out/kept.jsonl.zst")
        #expect(kept == (0..<250).map { #"{"prompt":"what is \#($0)?","completion":"it is \#($0)"}"# })
        let ledger = try ComparedContentsTests.text("\(folder.path)/out/ledger.jsonl.zst")
        #expect(
            ledger.first
                == #"{"file":"in-0.tsv","line":251,"stage":"dedupe","reason":"duplicate","kept":{"file":"in-0.tsv","line":1}}"#
        )
    }
}
