import SluiceCore
import SluiceIO

/// Decides which records repeat an earlier one: the lowest ordinal of equal content stays.
///
/// In memory while the table fits its share; otherwise from the sorted list of duplicates that an earlier pass over the
/// input left on disk. Both give the same answer. Used by an ordered step, so records come in the order of the input.
final class Deduper: @unchecked Sendable {
    // Touched by one thread at a time: it belongs to an ordered step of a conveyor.

    /// What `DedupeSpill` holds against the table.
    enum Means {
        case table
        case duplicates(DuplicateStream)
    }

    /// The table outgrew its share: the run starts over with duplicates found on disk.
    struct Overflow: Error {
        let records: Int
    }

    static let stage = "dedupe"
    static let reason: Reason = "duplicate"

    private var table = DedupeTable()
    private let share: Int
    private let progress: () -> Double
    private var duplicates: DuplicateStream?
    private var upcoming: Duplicate?
    private var isAligned = false
    /// Distinct records so far, those before a checkpoint included.
    var distinct = 0

    /// - Parameter progress: how much of the input is read, from 0 to 1; decides the means, never the answer.
    init(_ means: Means, share: Int, progress: @escaping () -> Double) throws(IOFailure) {
        self.share = share
        self.progress = progress
        if case .duplicates(let stream) = means {
            duplicates = stream
            upcoming = try stream.next()
        }
    }

    var memory: Int { duplicates == nil ? table.memory : 0 }

    /// Marks the duplicates of a parcel.
    func mark(_ parcel: Parcel) throws {
        if duplicates != nil {
            try markFromStream(parcel)
        } else {
            try checkRoom()
            table.warm(parcel.hashes)
            for record in parcel.hashes.indices {
                let ordinal = parcel.ordinals[record]
                if let kept = table.insertOrFind(parcel.hashes[record], ordinal.rawValue) {
                    parcel.lose(record, loss(kept))
                } else if !parcel.isReplay {
                    distinct += 1
                }
            }
        }
        parcel.distinct = distinct
    }

    /// Gives up as soon as it is clear that the table won't fit, not when it is full.
    private func checkRoom() throws {
        let memory = table.memory + table.transientMemory
        let done = progress()
        let foreseen = done > 0.02 && done < 1 ? Int(Double(memory) / done / 1.3) : memory
        guard max(memory, foreseen) <= share else { throw Overflow(records: table.count) }
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
                parcel.lose(record, loss(next.kept))
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

    private static var astray: EngineError {
        EngineError(
            .data,
            "the duplicates found in the first reading are not those of the second; the input changed while it was read: run again with --force when nothing writes to it"
        )
    }

    private func loss(_ kept: UInt64) -> Parcel.Loss {
        Parcel.Loss(stage: Self.stage, reason: Self.reason, partner: Ordinal(rawValue: kept), measures: [])
    }
}
