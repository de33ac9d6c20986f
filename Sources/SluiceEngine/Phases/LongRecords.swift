import SluiceCore
import SluiceIO
import Synchronization

/// The memory of a pass for long records.
///
/// A record's memory is reserved before it is read and returned when it leaves. Only the first lane may reserve, so
/// every holder is ahead of the waiting lane, and its memory comes back.
final class LongRecords: Sendable {
    private let free: Mutex<Int>
    private let copies: RecordCopies

    /// - Parameter bytes: at least the cost of the longest record.
    init(bytes: Int, _ copies: RecordCopies) {
        free = Mutex(bytes)
        self.copies = copies
    }

    /// Reserves memory for the longest record, since the next one's length is unknown; nil if it isn't available now.
    func take() -> Int? {
        free.withLock { free in
            guard copies.most <= free else { return nil }
            free -= copies.most
            return copies.most
        }
    }

    /// Returns the part of `taken` that a record of `length` bytes doesn't need; the result is the rest.
    func settle(_ taken: Int, length: Int) -> Int {
        let needed = length == 0 ? 0 : min(taken, copies.bytes(length))
        giveBack(taken - needed)
        return needed
    }

    func giveBack(_ bytes: Int) { free.withLock { $0 += bytes } }

    /// Lines longer than this many bytes are long.
    static let threshold = 256 << 10
}
