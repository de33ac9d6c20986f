import SluiceCore
import SluiceIO

/// Decides which records repeat an earlier one: the lowest ordinal of equal content stays.
///
/// In memory while the table fits its share, with all contents beside it where they are compared; otherwise from the
/// sorted list of duplicates that earlier passes over the input left on disk. All give the same answer. Used by an
/// ordered step, so records come in the order of the input.
final class Deduper: @unchecked Sendable {
    // Touched by one thread at a time: it belongs to an ordered step of a conveyor.

    /// What decides.
    enum Means {
        /// Hashes in memory.
        case table
        /// Hashes and contents in memory.
        case contents
        /// What `DedupeSpill` and `ContentComparison` found.
        case duplicates(DuplicateStream)
    }

    /// The table outgrew its share: the run starts over with duplicates found on disk.
    struct Overflow: Error {
        let records: Int
    }

    static let stage = "dedupe"
    static let reason: Reason = "duplicate"

    private var table = DedupeTable()
    private var contents: ContentTable?
    private let hash: DedupeHash
    private let share: Int
    private let progress: () -> Double
    private var duplicates: DuplicateStream?
    private var upcoming: Duplicate?
    private var isAligned = false
    /// Distinct records so far, those before a checkpoint included.
    var distinct = 0

    /// - Parameter progress: how much of the input is read, from 0 to 1; decides the means, never the answer.
    init(_ means: Means, _ hash: DedupeHash, share: Int, progress: @escaping () -> Double) throws(IOFailure) {
        self.hash = hash
        self.share = share
        self.progress = progress
        switch means {
        case .table: break
        case .contents: contents = ContentTable(pieceBytes: min(1 << 20, max(16 << 10, share / 16)))
        case .duplicates(let stream):
            duplicates = stream
            upcoming = try stream.next()
        }
    }

    /// Marks the duplicates of a parcel.
    func mark(_ parcel: Parcel) throws {
        if duplicates != nil {
            try markFromStream(parcel)
        } else if var held = contents.take() {
            // Out of the optional while it works, and back whatever comes of that.
            let result = Result { try markByContents(parcel, &held) }
            contents = consume held
            try result.get()
        } else {
            try markByTable(parcel)
        }
        parcel.distinct = distinct
    }

    private func markByTable(_ parcel: Parcel) throws {
        try checkRoom(table.memory + table.transientMemory, records: table.count)
        let hashes = hash(parcel.hashes)
        table.warm(hashes)
        for record in hashes.indices {
            if let kept = table.insertOrFind(hashes[record], parcel.ordinals[record].rawValue) {
                parcel.lose(record, loss(kept))
            } else if !parcel.isReplay {
                distinct += 1
            }
        }
    }

    private func markByContents(_ parcel: Parcel, _ table: inout ContentTable) throws {
        // A long content has a piece of its own.
        let long = parcel.raw.isLong ? parcel.keys.count : 0
        try checkRoom(table.memory + table.transientMemory + long, records: table.count)
        let hashes = hash(parcel.hashes)
        table.warm(hashes)
        for record in hashes.indices {
            let answer = parcel.key(record) { key in
                table.insertOrFind(hashes[record], parcel.ordinals[record].rawValue, key)
            }
            if case .duplicate(let kept) = answer {
                parcel.lose(record, loss(kept))
            } else if !parcel.isReplay {
                distinct += 1
                if answer == .collision { parcel.account.collisions += 1 }
            }
        }
    }

    /// Gives up as soon as it is clear that the table won't fit, not when it is full.
    private func checkRoom(_ memory: Int, records: Int) throws {
        // A fiftieth of the input says enough, a quarter of that where it is many records; blocks read ahead and not yet marked make the
        // forecast too low at first, never too high.
        let done = progress()
        let foreseen =
            (done > 0.02 || records > 20_000 && done > 0.005) && done < 1 ? Int(Double(memory) / done / 1.3) : memory
        guard max(memory, foreseen) <= share else { throw Overflow(records: records) }
    }

    private func markFromStream(_ parcel: Parcel) throws {
        guard let first = parcel.ordinals.first else { return }
        while let next = upcoming, next.ordinal < first.rawValue {
            // A run that goes on after a stop begins somewhere in the middle; later on none may be left out.
            guard !isAligned else { throw Self.astray }
            upcoming = try duplicates?.next()
        }
        isAligned = true
        for record in parcel.ordinals.indices {
            if let next = upcoming, next.ordinal == parcel.ordinals[record].rawValue {
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

    /// Fails where a duplicate is left that no record of the input was.
    func close() throws {
        // A run that goes on after the last record has seen none, and what was left to see was checked before.
        if isAligned, upcoming != nil { throw Self.astray }
    }

    static var astray: EngineError {
        EngineError(
            .data,
            "the duplicates found in one reading are not there in the next; the input changed while it was read: run again when nothing writes to it"
        )
    }

    private func loss(_ kept: UInt64) -> Parcel.Loss {
        Parcel.Loss(stage: Self.stage, reason: Self.reason, partner: Ordinal(rawValue: kept), measures: [])
    }
}
