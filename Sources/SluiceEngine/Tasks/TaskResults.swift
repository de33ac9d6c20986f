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
        bytes.write(outputs)
    }

    init(from bytes: inout ByteReader) throws(StageError) { outputs = try bytes.read() }
}

extension OutputFacts: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(lines)
        bytes.write(self.bytes)
        bytes.write(digest)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(lines: try bytes.read(), bytes: try bytes.read(), digest: try bytes.read())
    }
}

/// What reading a part of the input found.
struct PartReading: ByteCodable, Sendable {
    let outputs: PartOutputs
    /// Where the pass was at its end.
    let end: Checkpoint

    var account: Account { end.account }
    var shards: [Checkpoint.Shard] { end.shards }
    /// Runs of ledger lines.
    var runs: [String] { end.runs }
    var files: [Int: FileFacts] { end.files }
    var distinct: Int { end.distinct }
    var fieldNames: [String] { end.fieldNames }
    var rows: Int { shards.reduce(0) { $0 + $1.rows } }

    init(_ end: Checkpoint, _ outputs: PartOutputs) { (self.end, self.outputs) = (end, outputs) }

    func write(to bytes: inout ByteWriter) {
        bytes.write(outputs)
        bytes.write(end)
    }

    init(from bytes: inout ByteReader) throws(StageError) { (outputs, end) = (try bytes.read(), try bytes.read()) }
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
        bytes.write(account)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (reached, account) = (try bytes.read(), try bytes.read())
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
