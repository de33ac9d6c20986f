import Glibc
import SluiceCore
import SluiceEngine
import SluiceIO
import SluiceKit
import Synchronization

/// A folder that is removed after the test.
final class Workspace: Sendable {
    let path: String
    private static let counter = Atomic<Int>(0)

    init() throws {
        path = "\(Self.base)/sluice-fault-tests-\(getpid())-\(Self.counter.add(1, ordering: .relaxed).newValue)"
        try FileSystem.local.makeFolder(path)
    }

    /// In memory if possible: these tests wait for the disk thousands of times.
    static let base =
        getenv("TMPDIR").map { String(cString: $0) } ?? (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp")

    deinit { try? FileSystem.local.removeTree(path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    func remove(_ name: String) {
        guard (try? FileSystem.local.status(of: self(name))) ?? nil != nil else { return }
        try? FileSystem.local.removeTree(self(name))
    }

    /// Copies a folder of files and folders.
    func copy(_ from: String, to: String) throws {
        try FileSystem.local.makeFolder(self(to))
        for file in try Self.files(under: self(from)) {
            let target = self(to) + file.dropFirst(self(from).count)
            try FileSystem.local.makeFolder(Path.folder(of: target))
            let bytes = try FileSystem.local.contents(of: file)
            let copy = try FileSystem.local.create(target)
            try bytes.withUnsafeBytes { try copy.write($0) }
        }
    }

    static func files(under folder: String) throws -> [String] {
        try FileSystem.local.entries(of: folder).flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            return try FileSystem.local.status(of: path)?.isFolder == true ? files(under: path) : [path]
        }
    }
}

/// Whether to run the long loops, as `make soak` does.
let isSoak = getenv("SLUICE_SOAK") != nil

/// Seeds the tests' random draws; `SLUICE_FAULT_SEED` selects other times and places.
let testSeed = getenv("SLUICE_FAULT_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

/// Records with all difficult cases: duplicates, blank lines, malformed lines, no line end at the end.
enum Corpus {
    static let words = [
        "river", "stone", "how", "many", "the", "count", "translate", "sum", "answer", "below", "list", "name", "a",
        "quick", "poem", "about", "winter", "sort", "these", "numbers", "explain", "why", "sky", "blue", "is",
    ]

    static func lines(_ count: Int, seed: UInt64) -> [String] {
        var random = SplitMix64(state: seed)
        func text(_ length: UInt64) -> String {
            (0..<(3 + random.next(below: length))).map { _ in words[Int(random.next(below: UInt64(words.count)))] }
                .joined(separator: " ")
        }
        var lines: [String] = []
        for number in 0..<count {
            switch random.next(below: 20) {
            case 0 where lines.count > 3: lines.append(lines[Int(random.next(below: UInt64(lines.count)))])
            case 1 where lines.count > 3: lines.append(lines[lines.count - 2])
            case 2 where number % 3 == 0: lines.append(#"{"prompt": "cut off"#)
            case 3 where number % 5 == 0: lines.append("")
            default:
                lines.append(
                    #"{"prompt":"\#(text(30))","completion":"\#(text(60)) \#(number)","source":"s\#(number % 4)"}"#)
            }
        }
        return lines
    }

    /// Two files of zstd frames, a plain one with a long run of blank lines and no line end at its end, and an array.
    static func write(_ records: Int, to folder: String, all: Bool) throws {
        let quarter = records / 4
        for file in 0..<2 {
            let writer = try ZstdSeekableWriter("\(folder)/in-\(file).jsonl.zst", frameBytes: 7000)
            for line in lines(all ? quarter : records / 2, seed: UInt64(file / (all ? 1 : 2)) * 77 + UInt64(file)) {
                try writer.append(Array((line + "\n").utf8))
            }
            try writer.finish()
        }
        guard all else { return }
        var plain = lines(quarter, seed: 1)
        plain.insert(contentsOf: [String](repeating: "  ", count: 9000), at: quarter / 2)
        try FileSystem.local.write(Array(plain.joined(separator: "\n").utf8), to: "\(folder)/in-2.jsonl")
        let good = lines(quarter, seed: 5).filter { $0.hasSuffix("}") }
        try FileSystem.local.write(
            Array(("[" + good.joined(separator: ",\n ") + "\n]\n").utf8), to: "\(folder)/in-3.json")
    }
}

/// The content of a run directory under final names; `run.json` without its `timing`.
struct Snapshot: Equatable, CustomStringConvertible {
    static let names = [
        "kept.jsonl", "kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst", "picks.jsonl.zst", "run.json",
        "vectors.npy", "vectors.ids.jsonl",
    ]
    var files: [String: [UInt8]] = [:]

    /// The names of all files in a directory, those in the folders of models and outputs by their path.
    static func all(in directory: String) throws -> [String] {
        try FileSystem.local.entries(of: directory).flatMap { name in
            ["models", "outputs"].contains(name) ? try below(name, in: directory) : [name]
        }
    }

    private static func below(_ folder: String, in directory: String) throws -> [String] {
        try FileSystem.local.entries(of: "\(directory)/\(folder)").flatMap { name in
            let path = "\(folder)/\(name)"
            return FileSystem.local.isRealFolder("\(directory)/\(path)") ? try below(path, in: directory) : [path]
        }
    }

    init(_ directory: String) throws {
        guard try FileSystem.local.status(of: directory) != nil else { return }
        let models = try Self.all(in: directory).filter { $0.hasPrefix("models/") || $0.hasPrefix("outputs/") }
        for name in Self.names + models where try FileSystem.local.status(of: "\(directory)/\(name)") != nil {
            let bytes = try FileSystem.local.contents(of: "\(directory)/\(name)")
            files[name] = name == "run.json" ? try Self.lasting(bytes) : bytes
        }
    }

    private static func lasting(_ bytes: [UInt8]) throws -> [UInt8] {
        Array(JSONValue.object(try JSONValue(json: bytes).entries.filter { $0.key != "timing" }).json.utf8)
    }

    /// Whether every file present is complete and correct, and the manifest lists no missing one.
    func isHarmless(beside whole: Snapshot) -> Bool {
        files.allSatisfy { whole.files[$0.key] == $0.value }
            && (files["run.json"] == nil || files.count == whole.files.count)
    }

    var digest: String {
        var all: [UInt8] = []
        for name in files.keys.sorted() { all += Array(name.utf8) + (files[name] ?? []) }
        let hash = all.withUnsafeBytes { XXHash.hash128($0) }
        return String(hash.high, radix: 16) + String(hash.low, radix: 16)
    }

    var description: String {
        files.keys.sorted().map { "\($0): \(files[$0]?.count ?? 0) bytes" }.joined(separator: ", ") + " (\(digest))"
    }
}

/// The definitions under test, as YAML for the command and as values for the library.
enum Case: String, CaseIterable {
    /// Deduped in memory, one pass.
    case dedupe
    /// The same, its kept records not compressed.
    case uncompressed
    /// The same, with a table that never fits into memory.
    case spill
    /// A weak hash, so that contents are compared: on disk, and most candidates differ.
    case compare
    /// Surveys, selections by label and by cluster, ledger runs, ranks, vectors beside the kept records.
    case select
    /// Filters, a selection of many parts, and a survey after it.
    case everyday

    var dedupeBytes: Int? { self == .spill || self == .compare ? 1 : nil }
    var dedupeHashBits: Int? { self == .compare ? 5 : nil }

    /// Vectors and further outputs: of a test, by a label and in an order.
    private static let more = """
          vectors: embedding
          ids: source
        outputs:
          near: {where: rank < 5}
          by-source: {per: source, order: {by: rank}}
        """

    func yaml(dimensions: Int = 64) -> String {
        let head = """
            sluice: 1
            seed: 42
            memory: 256MiB
            input:
              files: [in-*]
              dedupe: {on: [prompt, completion], verify: \(self == .compare ? "bytes" : "hash")}
            output:
              directory: out
              compression: \(self == .uncompressed ? "none" : "zstd")
            \(self == .select ? Self.more : "")

            """
        if self == .everyday {
            return head + """
                stages:
                  - format: {template: auto}
                  - length: {unit: words, min: 8, max: 90}
                  - quality: {rules: [gopher], limits: {gopher-min-words: 8, gopher-stop-words: 0}}
                  - match: {drop: {column: text, matches: "sky [0-9]+$"}}
                  - distinct: {normalize: [case, space]}
                  - measure: {columns: [words]}
                  - sample: {keep: 300}

                """
        }
        guard self == .select else { return head }
        return head + """
            stages:
              - format: {template: auto}
              - embed: {model: lexical, dimensions: \(dimensions)}
              - redundancy: {method: pairwise, distance: 0.3, per: source}
              - cluster: {clusters: 4, reservoir: 200}
              - coreset: {keep: 40%, per: cluster}

            """
    }
}

/// Prints a line for the person who runs the tests.
func note(_ text: String) {
    var line = "  \(text)\n"
    line.withUTF8 { _ = Glibc.write(2, $0.baseAddress, $0.count) }
}
