import SluiceCore
import SluiceIO

/// The progress of a run, from which a stopped run resumes. Written completely or not at all, after everything it
/// refers to is on disk.
struct Checkpoint: Sendable, Equatable {
    enum Phase: String, Sendable {
        /// In the first pass.
        case reading
        /// The first pass is done; surveys and selections are running.
        case choosing
        /// In the last pass.
        case writing
        /// All lines are written; the outputs are being renamed.
        case finishing
    }

    /// The next block to read: its file, and its offset in the unpacked file.
    struct Position: Sendable, Equatable {
        var file = 0
        var byte: UInt64 = 0
        /// In the first pass, the part of the file read by then.
        var read: FileDigest.Mark?
    }

    struct Shard: Sendable, Equatable {
        var part: Int
        var rows: Int
        var types: [ColumnName: ColumnType]
    }

    var phase: Phase
    var position = Position()
    var account = Account()
    /// The outputs, in the order of `Outputs.all`.
    var streams: [OutputStream.State] = []
    var shards: [Shard] = []
    /// Sorted runs of ledger lines.
    var runs: [String] = []
    /// Digest and number of lines of the files read completely.
    var files: [Int: FileFacts] = [:]
    var distinct = 0
    /// The field names of the first good record.
    var fieldNames: [String] = []

    struct FileFacts: Sendable, Equatable {
        var hash: ContentHash
        var lines: Int
    }
}

/// Reads and writes checkpoints: a line of JSON, the pending bytes of the outputs, a checksum.
struct CheckpointFile: Sendable {
    let path: String
    let fileSystem: FileSystem

    func write(_ checkpoint: Checkpoint) throws(IOFailure) {
        var bytes = Array(checkpoint.report.json.utf8)
        bytes.append(0x0A)
        for stream in checkpoint.streams { bytes += stream.pending }
        let checksum = bytes.withUnsafeBytes { XXHash.hash64($0) }
        withUnsafeBytes(of: checksum.littleEndian) { bytes.append(contentsOf: $0) }
        try fileSystem.write(bytes, to: path)
    }

    /// The checkpoint; nil if there is none.
    ///
    /// - Throws: `IOFailure` with code `.corruptWorkFile` if it is damaged.
    func read() throws -> Checkpoint? {
        guard try fileSystem.status(of: path) != nil else { return nil }
        let bytes = try fileSystem.contents(of: path)
        let damaged = IOFailure(.corruptWorkFile, path: path, found: "the checkpoint is damaged")
        guard bytes.count > 8 else { throw damaged }
        let body = bytes.dropLast(8)
        let checksum = bytes.suffix(8).withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        guard body.withUnsafeBytes({ XXHash.hash64($0) }) == checksum, let end = body.firstIndex(of: 0x0A),
            let report = try? JSONValue(json: Array(body[..<end])),
            var checkpoint = Checkpoint(report)
        else { throw damaged }
        var rest = body[(end + 1)...]
        for (index, stream) in (report["streams"]?.elements ?? []).enumerated() {
            let count = stream["pending"]?.integerValue ?? 0
            guard count >= 0, rest.count >= count else { throw damaged }
            checkpoint.streams[index].pending = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return checkpoint
    }
}

extension Checkpoint {
    var report: JSONValue {
        .object([
            .init("phase", .text(phase.rawValue)),
            .init("file", .integer(position.file)), .init("byte", .integer(Int(position.byte))),
            .init("read", position.read.map { .list([.integer(Int($0.bytes))] + $0.hash.report) } ?? .null),
            .init("account", account.report),
            .init(
                "streams",
                .list(
                    streams.map { stream in
                        [
                            "file_bytes": .integer(stream.fileBytes), "file_digest": .text(stream.fileDigest),
                            "content_bytes": .integer(stream.contentBytes),
                            "lines": .integer(stream.lines), "pending": .integer(stream.pending.count),
                        ]
                    })),
            .init(
                "shards",
                .list(
                    shards.map { shard in
                        [
                            "part": .integer(shard.part), "rows": .integer(shard.rows),
                            "types": .object(
                                shard.types.keys.sorted().map { .init($0.name, shard.types[$0]?.report ?? .null) }),
                        ]
                    })),
            .init("runs", .list(runs.map { .text($0) })),
            .init(
                "files",
                .list(
                    files.keys.sorted().map { index in
                        [
                            "index": .integer(index), "lines": .integer(files[index]?.lines ?? 0),
                            "hash": .list(files[index]?.hash.report ?? []),
                        ]
                    })),
            .init("distinct", .integer(distinct)),
            .init("field_names", .list(fieldNames.map { .text($0) })),
        ])
    }

    init?(_ report: JSONValue) {
        guard let phase = report["phase"]?.textValue.flatMap(Phase.init(rawValue:)),
            let file = report["file"]?.integerValue,
            let byte = report["byte"]?.integerValue, file >= 0, byte >= 0,
            let account = report["account"].flatMap(Account.init)
        else { return nil }
        self.init(phase: phase)
        position = Position(file: file, byte: UInt64(byte))
        if case .list(let read)? = report["read"] {
            guard let bytes = read.first?.integerValue, bytes >= 0, let hash = ContentHash(read.dropFirst()) else {
                return nil
            }
            position.read = FileDigest.Mark(bytes: UInt64(bytes), hash: hash)
        }
        self.account = account
        streams = (report["streams"]?.elements ?? []).map { stream in
            OutputStream.State(
                fileBytes: stream["file_bytes"]?.integerValue ?? 0,
                fileDigest: stream["file_digest"]?.textValue ?? "",
                contentBytes: stream["content_bytes"]?.integerValue ?? 0, lines: stream["lines"]?.integerValue ?? 0)
        }
        shards = (report["shards"]?.elements ?? []).map { shard in
            Shard(
                part: shard["part"]?.integerValue ?? 0, rows: shard["rows"]?.integerValue ?? 0,
                types: Dictionary(
                    (shard["types"]?.entries ?? []).compactMap { entry in
                        ColumnType(entry.value).map { (ColumnName(entry.key), $0) }
                    }, uniquingKeysWith: { first, _ in first }))
        }
        runs = (report["runs"]?.elements ?? []).compactMap(\.textValue)
        for facts in report["files"]?.elements ?? [] {
            guard let index = facts["index"]?.integerValue, let lines = facts["lines"]?.integerValue,
                let hash = ContentHash((facts["hash"]?.elements ?? [])[...])
            else { return nil }
            files[index] = FileFacts(hash: hash, lines: lines)
        }
        distinct = report["distinct"]?.integerValue ?? 0
        fieldNames = (report["field_names"]?.elements ?? []).compactMap(\.textValue)
    }
}

extension ContentHash {
    fileprivate var report: [JSONValue] { [.text(String(high)), .text(String(low))] }

    fileprivate init?(_ report: ArraySlice<JSONValue>) {
        let numbers = report.compactMap { $0.textValue.flatMap { UInt64($0) } }
        guard numbers.count == 2 else { return nil }
        self.init(high: numbers[0], low: numbers[1])
    }
}

extension ColumnType {
    var report: JSONValue {
        switch self {
        case .bytes: "bytes"
        case .vector(let dimension): .integer(dimension)
        case .integer: "integer"
        case .real: "real"
        }
    }

    init?(_ report: JSONValue) {
        switch report {
        case .integer(let dimension): self = .vector(dimension: dimension)
        case .text("bytes"): self = .bytes
        case .text("integer"): self = .integer
        case .text("real"): self = .real
        default: return nil
        }
    }
}

extension Account {
    var report: JSONValue {
        .object([
            .init("read", .integer(read)), .init("kept", .integer(kept)), .init("blank", .integer(blank)),
            .init("unkeyed", .integer(unkeyed)), .init("collisions", .integer(collisions)),
            .init("lacking", .list(lacking.map { .integer($0) })),
            .init(
                "drops",
                .list(
                    drops.sorted { $0.key < $1.key }.map { key, count in
                        .list([.text(key.stage), .text(key.reason.name), .integer(count)])
                    })),
            .init(
                "questions",
                .object(questions.sorted { $0.key < $1.key }.map { .init($0.key, .integer($0.value)) })),
            .init("faults", .object(faultCounts.map { .init($0.code, .integer($0.count)) })),
            .init(
                "odd_lines",
                .list(
                    oddLines.sorted { $0.key < $1.key }.map { file, lines in
                        .list([
                            .integer(file), .integer(lines.malformed), .integer(lines.blank),
                            lines.looksLike.map { .text($0) } ?? .null,
                        ])
                    })),
        ])
    }

    init?(_ report: JSONValue) {
        self.init()
        guard let read = report["read"]?.integerValue, let kept = report["kept"]?.integerValue,
            let blank = report["blank"]?.integerValue
        else { return nil }
        (self.read, self.kept, self.blank) = (read, kept, blank)
        unkeyed = report["unkeyed"]?.integerValue ?? 0
        collisions = report["collisions"]?.integerValue ?? 0
        for entry in report["questions"]?.entries ?? [] { countQuestions(entry.value.integerValue ?? 0, of: entry.key) }
        for (field, count) in (report["lacking"]?.elements ?? []).enumerated() {
            countLacking(field, count.integerValue ?? 0)
        }
        for drop in report["drops"]?.elements ?? [] {
            let parts = drop.elements
            guard parts.count == 3, let stage = parts[0].textValue, let reason = parts[1].textValue,
                let count = parts[2].integerValue
            else { return nil }
            countDrop(stage: stage, reason: Reason(reason), count)
        }
        for entry in report["odd_lines"]?.elements ?? [] {
            let parts = entry.elements
            guard parts.count == 4, let file = parts[0].integerValue, let malformed = parts[1].integerValue,
                let blank = parts[2].integerValue
            else { return nil }
            countOdd(OddLines(malformed: malformed, blank: blank, looksLike: parts[3].textValue), of: file)
        }
        for fault in report["faults"]?.entries ?? [] {
            countFault(fault.key, fault.value.integerValue ?? 0)
        }
    }
}
