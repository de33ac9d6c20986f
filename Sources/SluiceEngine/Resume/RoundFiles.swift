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
    private let fileSystem: FileSystem

    /// What a shard's state is the result of.
    enum Work: String {
        case transforms = "round"
        case selection = "choice"
    }

    init(_ number: Int, of work: Work = .transforms, folder: String, fileSystem: FileSystem) {
        (self.number, self.work, self.folder, self.fileSystem) = (number, work, folder, fileSystem)
    }

    private func path(_ shard: ColumnStore.ShardID) -> String { "\(folder)/\(work.rawValue)-\(number).\(shard.name)" }
    private var outcomePath: String { "\(folder)/outcome-\(number)" }

    /// The state of a shard after the round's transforms; nil if they are not done.
    func state(of shard: ColumnStore.ShardID) throws(IOFailure) -> ShardState? {
        try fileSystem.sealed(ShardState.self, path(shard))
    }

    func damaged(_ shard: ColumnStore.ShardID) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path(shard), found: "it has another number of rows than the shard")
    }

    func missing(_ shard: ColumnStore.ShardID) -> IOFailure {
        IOFailure(.corruptWorkFile, path: path(shard), found: "this work file is missing")
    }

    /// Writes the state of a shard: its columns and ledger lines must be on disk.
    func write(_ state: ShardState, of shard: ColumnStore.ShardID) throws(IOFailure) {
        try fileSystem.writeSealed(state, to: path(shard))
    }

    /// What the round's survey learned; nil if it is not done.
    func outcome() throws(IOFailure) -> Learned? { try fileSystem.sealed(Learned.self, outcomePath) }

    func write(_ outcome: Learned) throws(IOFailure) { try fileSystem.writeSealed(outcome, to: outcomePath) }
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
        bytes.write(account.report.json)
        bytes.write(runs)
        bytes.write(types.keys.sorted().map(\.name))
        for name in types.keys.sorted() { bytes.write(types[name]?.report.json ?? "") }
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        live = LiveRows(rows: try bytes.read(), bits: try bytes.read())
        guard let account = Account(try bytes.readReport()) else { throw ByteReader.damaged("it has no counts") }
        self.account = account
        runs = try bytes.read()
        var types: [ColumnName: ColumnType] = [:]
        for name in try bytes.read([String].self) {
            guard let type = ColumnType(try bytes.readReport()) else {
                throw ByteReader.damaged("the column \(name) has no type")
            }
            types[ColumnName(name)] = type
        }
        self.types = types
    }
}

extension ByteReader {
    mutating func readReport() throws(StageError) -> JSONValue {
        do {
            return try JSONValue(json: Array(try read(String.self).utf8))
        } catch {
            throw Self.damaged("a report is no JSON")
        }
    }
}
