import SluiceCore
import SluiceIO

/// A pass over the input that compares the contents of records that share a hash, if they don't fit into memory: it
/// parses only those lines and passes their contents on to be sorted and compared.
final class ContentPass: @unchecked Sendable {
    // @unchecked: `upcoming` belongs to the first ordered step; the rest is constant or belongs to the last one.

    private let input: InputPass
    private let candidates: DuplicateStream
    private let hash: TruncatedHash
    private let found: Found
    private var upcoming: Duplicate?

    /// Takes the content of a record, its second hash, and the first record with the same hash.
    typealias Found = (
        _ group: UInt64, _ mark: ContentHash, _ ordinal: UInt64, _ content: UnsafeRawBufferPointer
    ) throws -> Void

    /// - Parameter candidates: the records that share a hash, each with its first record.
    init(
        _ input: InputPass, _ candidates: DuplicateStream, _ hash: TruncatedHash, found: @escaping Found
    ) throws(IOFailure) {
        self.input = input
        self.candidates = candidates
        self.hash = hash
        self.found = found
        upcoming = try candidates.next()
    }

    func run(on pool: WorkerPool, limit: Int, lanes: Int, isStopped: @escaping () -> Bool) throws {
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
    }

    /// Finds the lines of a block that share their hash with another line.
    private func choose(_ parcel: InputParcel) throws {
        for (row, line) in parcel.raw.lines.enumerated() {
            guard let next = upcoming else { break }
            let ordinal = Ordinal(file: parcel.place.file, line: Int(parcel.raw.lineNumber(of: line)))
            guard next.ordinal <= ordinal.rawValue else { continue }
            guard next.ordinal == ordinal.rawValue else { throw Deduper.inputChanged }
            parcel.rows.append(Int32(row))
            parcel.records.ordinals.append(ordinal)
            parcel.records.groups.append(next.kept)
            upcoming = try candidates.next()
        }
        input.progressed(records: parcel.raw.lines.count)
    }

    private func collect(_ parcel: InputParcel) throws {
        for record in parcel.records.ordinals.indices {
            let mark = hash(parcel.records.hashes[record])
            try parcel.records.keys.with(record) { key in
                try found(parcel.records.groups[record], mark, parcel.records.ordinals[record].rawValue, key)
            }
        }
        input.giveBack(parcel)
    }
}
