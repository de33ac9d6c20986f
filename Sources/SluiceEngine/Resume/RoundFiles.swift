import SluiceCore
import SluiceIO

/// What a round of work over the kept columns has done, in files: a stopped run goes on with the shards that are missing.
///
/// A round is a run of transforms, and the survey or selection after them, if any.
struct RoundFiles: Sendable {
    /// From 1.
    let number: Int
    private let work: Work
    private let folder: String
    private let files: SealedFiles

    /// What a shard's state is the result of.
    enum Work: String {
        case transforms = "round"
        case selection = "choice"
    }

    init(_ number: Int, of work: Work = .transforms, in run: RunContext) {
        (self.number, self.work, folder, files) = (number, work, run.work, run.sealed)
    }

    private func path(_ shard: ColumnStore.ShardID) -> String { "\(folder)/\(work.rawValue)-\(number).\(shard.name)" }
    private var outcomePath: String { "\(folder)/outcome-\(number)" }

    /// The state of a shard after the round's transforms; nil if they are not done.
    func state(of shard: ColumnStore.ShardID) throws(IOFailure) -> ShardState? {
        try files.read(from: path(shard))
    }

    func damaged(_ shard: ColumnStore.ShardID) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path(shard), found: "it has another number of rows than the shard")
    }

    func missing(_ shard: ColumnStore.ShardID) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path(shard), found: "this work file is missing")
    }

    /// Writes the state of a shard: its columns and ledger lines must be on disk.
    func write(_ state: ShardState, of shard: ColumnStore.ShardID) throws(IOFailure) {
        try files.write(state, to: path(shard))
    }

    /// What the round's survey learned; nil if it is not done.
    func outcome() throws(IOFailure) -> Learned? { try files.read(from: outcomePath) }

    func write(_ outcome: Learned) throws(IOFailure) { try files.write(outcome, to: outcomePath) }
}

/// A shard after the transforms of a round.
struct ShardState: ByteCodable, Sendable {
    /// The rows still in, counted from the shard's first one.
    let live: LiveRows
    /// What the round counted in this shard.
    let account: Account
    /// Runs of ledger lines that hold this shard's drops.
    let runs: [String]
    /// The columns that the round wrote.
    let types: [ColumnName: ColumnType]

    init(live: LiveRows, account: Account, runs: [String], types: [ColumnName: ColumnType]) {
        (self.live, self.account, self.runs, self.types) = (live, account, runs, types)
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(live.rows)
        bytes.write(live.bits)
        bytes.write(account)
        bytes.write(runs)
        bytes.write(types)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(
            live: LiveRows(rows: try bytes.read(), bits: try bytes.read()), account: try bytes.read(),
            runs: try bytes.read(), types: try bytes.read())
    }
}
