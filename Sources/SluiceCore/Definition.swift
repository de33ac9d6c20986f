/// A run's input, stages and output. A YAML file and the Swift builder both produce this value.
public struct Definition: Sendable, Hashable {
    public var version = 1
    public var seed: UInt64
    /// Memory for the whole process, in bytes.
    public var memory: Int
    public var input: InputSpec
    public var stages: [StageSpec]
    public var output: OutputSpec
    /// Outputs beside the file of all kept records, in the order of the definition.
    public var sinks: [SinkSpec]
    /// The folder of the answer log of stages that ask; nil for one in the output directory. Runs may share a folder, also
    /// at the same time: then no question is asked twice.
    public var answers: String?
    /// What should become of some records. A run ignores them.
    public var tests: [DefinitionTest]

    public static let defaultMemory = 512 << 20

    public init(
        seed: UInt64 = 0, memory: Int = Definition.defaultMemory, input: InputSpec, stages: [StageSpec] = [],
        output: OutputSpec, sinks: [SinkSpec] = [], answers: String? = nil, tests: [DefinitionTest] = []
    ) {
        self.seed = seed
        self.memory = memory
        self.input = input
        self.stages = stages
        self.output = output
        self.sinks = sinks
        self.answers = answers
        self.tests = tests
    }
}

/// The input of a definition.
public struct InputSpec: Sendable, Hashable {
    /// Globs or paths to open; `-` is standard input.
    public var files: [String]
    /// The folder of the definition's file, or empty. Files in it are named by their path relative to it, so that a
    /// run's ledger and manifest do not depend on where the folder is.
    public var folder = ""
    public var dedupe: DedupeSpec?
    public var malformed: MalformedPolicy
    /// How many malformed lines a run tolerates: a count, or a share of all lines that are not blank. Nil allows any
    /// number, as long as at least one line is a record.
    public var maxMalformed: Quantity?
    /// The longest line that is read as a record, in bytes.
    public var maxRecord: Int
    /// How many lines are read, from the first on, those not counted that are blank; nil for all. For a look at what a
    /// definition does.
    public var limit: Int?

    public static let defaultMaxRecord = 16 << 20

    public init(
        files: [String], dedupe: DedupeSpec? = nil, malformed: MalformedPolicy = .quarantine,
        maxMalformed: Quantity? = nil, maxRecord: Int = InputSpec.defaultMaxRecord, limit: Int? = nil
    ) {
        self.files = files
        self.dedupe = dedupe
        self.malformed = malformed
        self.maxMalformed = maxMalformed
        self.maxRecord = maxRecord
        self.limit = limit
    }

    /// Whether a path is an address, such as `s3://bucket/key`, and so belongs to no folder.
    public static func isAddress(_ path: String) -> Bool {
        var scheme = path.utf8.prefix { $0 != UInt8(ascii: ":") }
        let rest = path.utf8.dropFirst(scheme.count)
        guard rest.starts(with: "://".utf8), let first = scheme.popFirst() else { return false }
        func isLetter(_ byte: UInt8) -> Bool { UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20 }
        return isLetter(first) && scheme.allSatisfy { isLetter($0) || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
    }

    /// The name of a file in the ledger, messages and manifest.
    public func name(of path: String) -> String {
        let prefix = folder.hasSuffix("/") ? folder : folder + "/"
        guard !folder.isEmpty, path.utf8.starts(with: prefix.utf8) else { return path }
        return String(decoding: path.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
    }

    public static func == (a: InputSpec, b: InputSpec) -> Bool {
        a.files.map(a.name(of:)) == b.files.map(b.name(of:)) && a.dedupe == b.dedupe && a.malformed == b.malformed
            && a.maxMalformed == b.maxMalformed && a.maxRecord == b.maxRecord && a.limit == b.limit
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(files.map(name(of:))) }
}

/// Exact deduplication of the input: of records with equal keys, the one with the lowest ordinal is kept.
public struct DedupeSpec: Sendable, Hashable {
    /// The part of a record that is compared.
    public enum Key: Sendable, Hashable {
        /// The bytes of the whole line.
        case line
        /// The named fields, in this order.
        case fields([FieldPath])
    }

    /// How two keys are compared.
    public enum Verification: String, Sendable, Hashable, CaseIterable {
        /// By their 128-bit hashes.
        case hash
        /// By their bytes; the hash only finds the candidates.
        case bytes
    }

    public var on: Key
    public var verify: Verification

    public init(on: Key, verify: Verification = .hash) {
        self.on = on
        self.verify = verify
    }

    /// Deduplication by the hash of the whole line.
    public static let line = DedupeSpec(on: .line)

    /// Deduplication by the named fields, in this order.
    public static func fields(_ paths: [FieldPath], verify: Verification = .hash) -> DedupeSpec {
        DedupeSpec(on: .fields(paths), verify: verify)
    }
}

/// What happens to a malformed line.
public enum MalformedPolicy: String, Sendable, Hashable, CaseIterable {
    /// It is written to the quarantine file and the run continues.
    case quarantine
    /// The run ends with exit status 3.
    case fail
}

/// The output of a definition.
public struct OutputSpec: Sendable, Hashable {
    public var directory: String
    public var record: RecordForm
    /// What a kept record is made of instead; nil for `record`.
    public var template: RecordTemplate?
    /// Columns to add to each kept record under its own key, as `_sluice: {column: value}`.
    public var annotate: [ColumnName]
    /// Compression of the kept records. Ledger, quarantine and picks are always zstd.
    public var compression: OutputCompression
    /// The zstd level of the kept records; ignored if they are not compressed.
    public var level: Int
    /// Whether a run that keeps nothing fails.
    public var failIfEmpty = false
    /// The column of vectors to write for the kept records, as `vectors.npy`; nil for none.
    public var vectors: ColumnName?
    /// The field of the record to write beside them, as `vectors.ids.jsonl`; nil for none.
    public var vectorIds: FieldPath?
    /// Whether to write the vectors of all records that reached the first survey or selection, and not only of the kept.
    public var writesAllVectors = false

    public init(
        directory: String, record: RecordForm = .original, annotate: [ColumnName] = [],
        compression: OutputCompression = .zstd, level: Int = 3
    ) {
        self.directory = directory
        self.record = record
        self.annotate = annotate
        self.compression = compression
        self.level = level
    }
}

/// How the file of the kept records is packed.
public enum OutputCompression: String, Sendable, Hashable, CaseIterable {
    /// `kept.jsonl.zst`: frames of zstd with a seek table.
    case zstd
    /// `kept.jsonl`: the lines as they are.
    case uncompressed = "none"
}

/// What is written for a kept record.
public enum RecordForm: String, Sendable, Hashable, CaseIterable {
    /// The record's own bytes.
    case original
    /// `{"text": …}`, the formatted text.
    case formatted
    /// `{"messages": [{"role": …, "content": …}, …]}`, or the object that the column `messages` has.
    case messages
}

/// A stage as a definition names it.
public struct StageSpec: Sendable, Hashable {
    public var name: String
    public var options: OptionValues
    /// The seed of its random draws; nil for the definition's.
    public var seed: UInt64?
    /// The records that go through the stage, of those that reach it; the others pass by. Nil for all. It may name fields, and
    /// columns of earlier stages.
    public var when: RecordCondition?

    /// What every stage takes beside its own options.
    package static let commonKeys = ["enabled", "seed", "when"]

    public init(_ name: String, _ options: OptionValues = [:], seed: UInt64? = nil, when: RecordCondition? = nil) {
        self.name = name
        self.options = options
        self.seed = seed
        self.when = when
    }
}

/// A Swift spelling of a stage in a definition: `Embed(dimensions: 384)`.
public protocol StageSpecConvertible: Sendable {
    var stageSpec: StageSpec { get }
}

extension StageSpec: StageSpecConvertible {
    public var stageSpec: StageSpec { self }
}
