import SluiceCore
import SluiceIO
import Synchronization

/// The memory of a pass for long records. As long as none comes, the dedupe's table may grow into it.
///
/// A record's memory is reserved in steps while it is read, since its length is unknown, and returned when it leaves.
/// Only the first lane may reserve, so every other holder is ahead of it, and their memory comes back. The table never
/// shrinks: if a record needs memory that the table has taken, the dedupe has to go on without a table.
final class LongRecords: Sendable {
    private struct State {
        /// Bytes reserved for records.
        var records = 0
        /// Bytes that the table has, or is going to take.
        var table = 0
        /// Distinct records in the table.
        var distinct = 0
    }

    private let state = Mutex(State())
    private let total: Int
    /// Bytes of the table that records don't get.
    private let leastTable: Int
    /// Bytes that the table may take.
    let mostTable: Int
    private let copies: RecordCopies

    /// - Parameters:
    ///   - bytes: at least the cost of the longest record.
    ///   - table: the bytes that belong to the table alone.
    ///   - mostTable: the bytes that it may take while there is no long record.
    init(bytes: Int, table: Int = 0, mostTable: Int = 0, _ copies: RecordCopies) {
        total = bytes + table
        leastTable = table
        self.mostTable = min(mostTable, total)
        self.copies = copies
    }

    enum Answer {
        case reserved
        /// Not before a record ahead has left.
        case later
        /// Not before the table is gone.
        case tableIsInTheWay
    }

    /// Reserves memory for a record of `length` bytes that is being read.
    ///
    /// - Parameter held: the bytes reserved for it so far; updated.
    func reserve(_ held: inout Int, length: Int) -> Answer {
        let needed = copies.bytes(Self.step(length, copies.longest))
        guard needed > held else { return .reserved }
        let more = needed - held
        return state.withLock { state in
            if state.records + more + max(state.table, leastTable) <= total {
                state.records += more
                held = needed
                return .reserved
            }
            // Without the records of others there must be room, or waiting would never end.
            return needed + max(state.table, leastTable) <= total ? .later : .tableIsInTheWay
        }
    }

    /// Returns the part of `held` that a record of `length` bytes doesn't need; the result is the rest.
    func settle(_ held: Int, length: Int) -> Int {
        let needed = length == 0 ? 0 : min(held, copies.bytes(length))
        giveBack(held - needed)
        return needed
    }

    func giveBack(_ bytes: Int) { state.withLock { $0.records -= bytes } }

    /// Gives the table of `distinct` records up to `bytes`.
    ///
    /// - Parameter foreseen: the bytes that it will need in the end, if that can be told.
    /// - Throws: `Deduper.Overflow` if it can't have them.
    func lend(toTable bytes: Int, foreseen: Int = 0, distinct: Int) throws(Deduper.Overflow) {
        let isLent = state.withLock { state in
            state.distinct = distinct
            guard max(bytes, foreseen) <= mostTable, state.records + bytes <= total else { return false }
            state.table = max(state.table, bytes)
            return true
        }
        guard isLent else { throw overflow }
    }

    /// The error that ends a pass whose table has to go.
    var overflow: Deduper.Overflow {
        state.withLock { Deduper.Overflow(records: $0.distinct, share: min(mostTable, total - $0.records)) }
    }

    /// The steps in which memory is reserved: powers of two, so that a record of medium length doesn't need the memory of
    /// the longest one.
    private static func step(_ length: Int, _ longest: Int) -> Int {
        var step = 1 << 20
        while step < length { step *= 2 }
        return min(step, longest)
    }

    /// Lines longer than this many bytes are long.
    static let threshold = 256 << 10
}
