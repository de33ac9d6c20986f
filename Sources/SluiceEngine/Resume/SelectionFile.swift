import SluiceCore
import SluiceIO

/// The decisions of a finished selection, kept so that a resumed run need not select again.
struct SelectionFile: Sendable {
    /// The prefix of its file names.
    let path: String
    let files: SealedFiles

    private var fileSystem: FileSystem { files.fileSystem }

    /// Writes the dropped and the kept rows, then the facts: if the facts exist, the rest is complete.
    func write(_ result: SelectionPhase.Result, runs: [String]) throws {
        try write(result.live.bits, "live")
        try write(result.columns.rows.map(Int64.init), "rows")
        for (spec, values) in zip(result.columns.specs, result.columns.values) {
            try write(values, "column-\(spec.name)")
        }
        try files.write(SelectionFacts(result, runs: runs), to: path)
    }

    /// - Parameter writes: the columns that `write` was given.
    func read(rows count: Int, writes: [ColumnSpec]) throws -> (result: SelectionPhase.Result, runs: [String])? {
        guard let facts = try files.read(SelectionFacts.self, from: path) else { return nil }
        let rows = try numbers("rows")
        let values = try writes.map { try numbers("column-\($0.name)") }
        guard values.allSatisfy({ $0.count == rows.count }) else {
            throw IOFailure(.corruptWorkFile, path: path, found: "its columns have other rows")
        }
        return (
            SelectionPhase.Result(
                live: LiveRows(rows: count, bits: try numbers("live")),
                columns: SelectionColumns(writes, rows: rows.map { Int($0) }, values: values), report: facts.report,
                warnings: facts.warnings, account: facts.account),
            facts.runs
        )
    }

    private func write(_ numbers: [Int64], _ name: String) throws(IOFailure) {
        let writer = try NpyWriter<Int64>("\(path).\(name).npy", fileSystem: fileSystem)
        try writer.append(numbers)
        try writer.finish()
    }

    private func numbers(_ name: String) throws(IOFailure) -> [Int64] {
        let reader = try NpyReader<Int64>("\(path).\(name).npy", fileSystem: fileSystem)
        return try reader.read(rows: 0..<reader.rows)
    }
}

/// What a selection found out besides its rows.
private struct SelectionFacts: ByteCodable {
    let account: Account
    let report: JSONValue
    let warnings: [String]
    let runs: [String]

    init(_ result: SelectionPhase.Result, runs: [String]) {
        (account, report, warnings) = (result.account, result.report, result.warnings)
        self.runs = runs
    }

    func write(to bytes: inout ByteWriter) {
        bytes.write(account)
        bytes.write(report)
        bytes.write(warnings)
        bytes.write(runs)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        (account, report, warnings, runs) = (
            try bytes.read(), try bytes.read(), try bytes.read(), try bytes.read()
        )
    }
}
