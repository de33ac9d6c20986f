import SluiceCore
import SluiceIO

/// Decides which records repeat an earlier one: of equal contents, the one with the lowest ordinal is kept.
///
/// Works in memory while the table fits into its share, with all contents if they are compared; otherwise uses the
/// sorted list of duplicates that earlier passes over the input wrote to disk. The answer is the same. Used by an
/// ordered step, so records arrive in input order.
final class Deduper: @unchecked Sendable {
    // @unchecked: used by one thread at a time, since it belongs to an ordered step of a conveyor.

    /// The means of deciding.
    enum Means {
        /// Hashes in memory.
        case table
        /// Hashes and contents in memory.
        case contents
        /// The result of `DedupeSpill` and `ContentComparison`.
        case duplicates(DuplicateStream)
    }

    /// The table outgrew its share: the run starts over with duplicates found on disk.
    struct Overflow: Error {
        let records: Int
        /// The bytes that it could have.
        let share: Int
    }

    static let stage = "dedupe"
    static let reason: Reason = "duplicate"

    private var table = DedupeTable()
    private var contents: ContentTable?
    private let hash: TruncatedHash
    private let room: LongRecords
    private let progress: () -> Double
    private var duplicates: DuplicateStream?
    private var upcoming: Duplicate?
    private var isAligned = false
    /// Distinct records so far, including those before a checkpoint.
    var distinct = 0

    /// - Parameters:
    ///   - room: the memory of the table.
    ///   - progress: the share of the input read, from 0 to 1; affects the means, never the answer.
    init(_ means: Means, _ hash: TruncatedHash, room: LongRecords, progress: @escaping () -> Double) throws(IOFailure) {
        self.hash = hash
        self.room = room
        self.progress = progress
        switch means {
        case .table: break
        case .contents: contents = ContentTable(pieceBytes: min(1 << 20, max(16 << 10, room.mostTable / 16)))
        case .duplicates(let stream):
            duplicates = stream
            upcoming = try stream.next()
        }
    }

    /// Marks the duplicates of a parcel.
    func mark(_ parcel: InputParcel) throws {
        if duplicates != nil {
            try markFromStream(parcel)
        } else if var held = contents.take() {
            // Moved out of the optional during the work, and put back in any case.
            let result = Result { try markByContents(parcel, &held) }
            contents = consume held
            try result.get()
        } else {
            try markByTable(parcel)
        }
        parcel.distinct = distinct
    }

    private func markByTable(_ parcel: InputParcel) throws {
        try checkRoom(table.memory + table.transientMemory, records: table.count)
        let hashes = hash(parcel.records.hashes)
        table.warm(hashes)
        for record in hashes.indices {
            if let kept = table.insertOrFind(hashes[record], parcel.records.ordinals[record].rawValue) {
                parcel.lose(record, loss(kept))
            } else if !parcel.place.isReplay {
                distinct += 1
            }
        }
    }

    private func markByContents(_ parcel: InputParcel, _ table: inout ContentTable) throws {
        // A long content is stored in a separate piece.
        let long = parcel.raw.isLong ? parcel.records.keys.size : 0
        try checkRoom(table.memory + table.transientMemory + long, records: table.count)
        let hashes = hash(parcel.records.hashes)
        table.warm(hashes)
        for record in hashes.indices {
            let answer = parcel.records.keys.with(record) { key in
                table.insertOrFind(hashes[record], parcel.records.ordinals[record].rawValue, key)
            }
            if case .duplicate(let kept) = answer {
                parcel.lose(record, loss(kept))
            } else if !parcel.place.isReplay {
                distinct += 1
                if answer == .collision { parcel.account.collisions += 1 }
            }
        }
    }

    /// Gives up as soon as the table clearly won't fit, not only once it is full.
    private func checkRoom(_ memory: Int, records: Int) throws {
        // A fiftieth of the input is a sufficient sample, or a quarter of that if it has many records. Blocks read
        // ahead but not marked yet make the forecast too low at first, never too high.
        let done = progress()
        let foreseen =
            (done > 0.02 || records > 20_000 && done > 0.005) && done < 1 ? Int(Double(memory) / done / 1.3) : memory
        try room.lend(toTable: memory, foreseen: foreseen, distinct: records)
    }

    private func markFromStream(_ parcel: InputParcel) throws {
        guard let first = parcel.records.ordinals.first else { return }
        while let next = upcoming, next.ordinal < first.rawValue {
            // A resumed run starts somewhere in the middle; after that no duplicate may be skipped.
            guard !isAligned else { throw Self.inputChanged }
            upcoming = try duplicates?.next()
        }
        isAligned = true
        for record in parcel.records.ordinals.indices {
            if let next = upcoming, next.ordinal == parcel.records.ordinals[record].rawValue {
                if next.isCollision {
                    parcel.account.collisions += 1
                    distinct += 1
                } else {
                    parcel.lose(record, loss(next.kept))
                }
                upcoming = try duplicates?.next()
            } else {
                distinct += 1
            }
        }
    }

    /// Fails if a duplicate remains that matches no record of the input.
    func close() throws {
        // A run resumed after the last record has seen no duplicates; they were checked before the stop.
        if isAligned, upcoming != nil { throw Self.inputChanged }
    }

    static var inputChanged: EngineError {
        EngineError(
            .data,
            "the duplicates of one reading are missing in the next: the input changed while it was read; run again when nothing writes to it"
        )
    }

    private func loss(_ kept: UInt64) -> Loss {
        Loss(stage: Self.stage, reason: Self.reason, partner: Ordinal(rawValue: kept), measures: [])
    }
}
