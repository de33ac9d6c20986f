import SluiceCore
import SluiceIO

/// The decisions of a finished selection, kept so that a resumed run need not select again.
struct SelectionFile: Sendable {
    /// The prefix of its file names.
    let path: String
    let fileSystem: FileSystem

    /// Writes the dropped and the kept rows, then the facts: if the facts exist, the rest is complete.
    func write(_ result: SelectionPhase.Result, runs: [String]) throws {
        try write(result.live.bits, "live")
        try write(result.columns.rows.map(Int64.init), "rows")
        for (spec, values) in zip(result.columns.specs, result.columns.values) {
            try write(values, "column-\(spec.name)")
        }
        let facts: JSONValue = [
            "account": result.account.report, "report": result.report,
            "warnings": .list(result.warnings.map { .text($0) }), "runs": .list(runs.map { .text($0) }),
        ]
        let json = Array(facts.json.utf8)
        try fileSystem.write(json + [0x0A] + Array(Self.checksum(json).utf8), to: "\(path).json")
    }

    private static func checksum(_ bytes: [UInt8]) -> String {
        bytes.withUnsafeBytes { hexadecimal(XXHash.hash128($0)) }
    }

    /// - Parameter writes: the columns that `write` was given.
    func read(rows count: Int, writes: [ColumnSpec]) throws -> (result: SelectionPhase.Result, runs: [String])? {
        guard try fileSystem.status(of: "\(path).json") != nil else { return nil }
        let bytes = try fileSystem.contents(of: "\(path).json")
        let json = Array(bytes.prefix { $0 != 0x0A })
        let rows = try numbers("rows")
        let values = try writes.map { try numbers("column-\($0.name)") }
        guard bytes.dropFirst(json.count + 1).elementsEqual(Self.checksum(json).utf8),
            let facts = try? JSONValue(json: json),
            let account = facts["account"].flatMap(Account.init), let report = facts["report"],
            values.allSatisfy({ $0.count == rows.count })
        else { throw IOFailure(.corruptWorkFile, path: "\(path).json", found: "this work file is damaged") }
        return (
            SelectionPhase.Result(
                live: LiveRows(rows: count, bits: try numbers("live")),
                columns: SelectionColumns(writes, rows: rows.map { Int($0) }, values: values), report: report,
                warnings: (facts["warnings"]?.elements ?? []).compactMap(\.textValue), account: account),
            (facts["runs"]?.elements ?? []).compactMap(\.textValue)
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
