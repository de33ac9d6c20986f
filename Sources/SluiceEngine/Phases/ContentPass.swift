import SluiceCore
import SluiceIO

/// A pass over the input that compares the contents of records that share a hash, if they don't fit into memory: it
/// parses only those lines and passes their contents on to be sorted and compared.
final class ContentPass: @unchecked Sendable {
    // @unchecked: `upcoming` belongs to the first ordered step; the rest is constant or belongs to the last one.

    private let input: InputPass
    private let candidates: DuplicateStream
    private let comparison: ContentComparison
    private let hash: TruncatedHash
    private var upcoming: Duplicate?

    /// - Parameter candidates: the records that share a hash, each with its first record.
    init(
        _ input: InputPass, _ candidates: DuplicateStream, _ comparison: ContentComparison, _ hash: TruncatedHash
    ) throws(IOFailure) {
        self.input = input
        self.candidates = candidates
        self.comparison = comparison
        self.hash = hash
        upcoming = try candidates.next()
    }

    /// - Returns: the duplicates, and the records that share only the hash with an earlier one.
    func run(
        on pool: WorkerPool, limit: Int, lanes: Int, isStopped: @escaping () -> Bool
    ) throws -> DuplicateStream {
        let conveyor = input.conveyor(
            [
                .ordered { [self] in try choose($0) },
                .parallel { [input] parcel in
                    try input.readKeys(parcel)
                    parcel.releaseLine()
                },
                .ordered { [self] in try collect($0) },
            ], limit: limit, lanes: lanes, isStopped: isStopped)
        try conveyor.run(on: pool)
        guard upcoming == nil else { throw Deduper.inputChanged }
        return try comparison.resolve { if isStopped() { throw EngineError.stopped } }
    }

    /// Finds the lines of a block that share their hash with another line.
    private func choose(_ parcel: Parcel) throws {
        for (row, line) in parcel.raw.lines.enumerated() {
            guard let next = upcoming else { break }
            let ordinal = Ordinal(file: parcel.file, line: Int(parcel.raw.lineNumber(of: line)))
            guard next.ordinal <= ordinal.rawValue else { continue }
            guard next.ordinal == ordinal.rawValue else { throw Deduper.inputChanged }
            parcel.rows.append(Int32(row))
            parcel.ordinals.append(ordinal)
            parcel.groups.append(next.kept)
            upcoming = try candidates.next()
        }
        input.progressed(records: parcel.raw.lines.count)
    }

    private func collect(_ parcel: Parcel) throws {
        for record in parcel.ordinals.indices {
            let mark = hash(parcel.hashes[record])
            try parcel.key(record) { key in
                try comparison.append(
                    group: parcel.groups[record], mark: mark, parcel.ordinals[record].rawValue, key)
            }
        }
        input.giveBack(parcel)
    }
}
