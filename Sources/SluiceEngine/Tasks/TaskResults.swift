import SluiceCore
import SluiceIO

/// Nothing but that a task is done.
struct Done: ByteCodable, Sendable {
    init() {}
    func write(to bytes: inout ByteWriter) { bytes.write(true) }
    init(from bytes: inout ByteReader) throws(StageError) { _ = try bytes.read(Bool.self) }
}

/// The outputs of a part.
struct PartOutputs: ByteCodable, Sendable {
    let outputs: [String: OutputFacts]

    init(_ outputs: Outputs) {
        self.outputs = Dictionary(uniqueKeysWithValues: outputs.all.map { ($0.name, $0.facts) })
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(outputs.count)
        for (name, facts) in outputs.sorted(by: { $0.key < $1.key }) {
            bytes.write(name)
            bytes.write(facts.lines)
            bytes.write(facts.bytes)
            bytes.write(facts.digest)
        }
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        var outputs: [String: OutputFacts] = [:]
        for _ in 0..<max(0, try bytes.read(Int.self)) {
            let name = try bytes.read(String.self)
            outputs[name] = OutputFacts(lines: try bytes.read(), bytes: try bytes.read(), digest: try bytes.read())
        }
        self.outputs = outputs
    }
}

/// What reading a part of the input found.
struct PartReading: ByteCodable, Sendable {
    let outputs: PartOutputs
    let account: Account
    let shards: [Checkpoint.Shard]
    /// Runs of ledger lines.
    let runs: [String]
    let facts: FileFacts
    let distinct: Int
    let fieldNames: [String]

    var rows: Int { shards.reduce(0) { $0 + $1.rows } }

    init(_ checkpoint: Checkpoint, _ outputs: PartOutputs) {
        self.outputs = outputs
        (account, shards, runs) = (checkpoint.account, checkpoint.shards, checkpoint.runs)
        facts = FileFacts(checkpoint.files)
        (distinct, fieldNames) = (checkpoint.distinct, checkpoint.fieldNames)
    }

    /// The same facts, in the form in which a checkpoint has them.
    var checkpoint: Checkpoint {
        Checkpoint(
            phase: .choosing, account: account, shards: shards, runs: runs, files: facts.files, distinct: distinct,
            fieldNames: fieldNames)
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(outputs)
        bytes.write(checkpoint.report.json)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        let outputs = try bytes.read(PartOutputs.self)
        guard let checkpoint = Checkpoint(try bytes.readReport()) else {
            throw ByteReader.damaged("it has no counts")
        }
        self.init(checkpoint, outputs)
    }
}

/// Digests and numbers of lines of some input files.
struct FileFacts: ByteCodable, Sendable {
    let files: [Int: Checkpoint.FileFacts]

    init(_ files: [Int: Checkpoint.FileFacts]) { self.files = files }

    func write(to bytes: inout ByteWriter) {
        bytes.write(files.count)
        for (index, facts) in files.sorted(by: { $0.key < $1.key }) {
            bytes.write(index)
            bytes.write(facts.hash)
            bytes.write(facts.lines)
        }
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        var files: [Int: Checkpoint.FileFacts] = [:]
        for _ in 0..<max(0, try bytes.read(Int.self)) {
            files[try bytes.read()] = Checkpoint.FileFacts(hash: try bytes.read(), lines: try bytes.read())
        }
        self.files = files
    }
}

/// What all parts have read.
struct Tally: ByteCodable, Sendable {
    /// The number of rows kept for later work, by part.
    let rows: [Int]
    /// The field names of a record, for messages.
    let fieldNames: [String]

    init(rows: [Int], fieldNames: [String]) { (self.rows, self.fieldNames) = (rows, fieldNames) }

    /// The number of rows before those of a part.
    func rows(before part: Int) -> Int { rows[..<part].reduce(0, +) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(rows)
        bytes.write(fieldNames)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (rows, fieldNames) = (try bytes.read(), try bytes.read())
    }
}

/// What the transforms of a round did with a part.
struct PartRound: ByteCodable, Sendable {
    /// The records that reached the round.
    let reached: Int
    let account: Account

    init(reached: Int, account: Account) { (self.reached, self.account) = (reached, account) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(reached)
        bytes.write(account.report.json)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        reached = try bytes.read()
        guard let account = Account(try bytes.readReport()) else { throw ByteReader.damaged("it has no counts") }
        self.account = account
    }
}

/// How many records of a part reached a selection, and how many it kept.
struct SelectionReach: ByteCodable, Sendable {
    let before: Int
    let after: Int

    init(before: Int, after: Int) { (self.before, self.after) = (before, after) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(before)
        bytes.write(after)
    }

    init(from bytes: inout ByteReader) throws(StageError) { (before, after) = (try bytes.read(), try bytes.read()) }
}
