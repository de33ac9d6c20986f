import SluiceCore
import SluiceIO
import Synchronization

/// The memory of long records that are under way in a pass.
///
/// Each takes what its length costs before it is read, and gives it back when it has left. Only the lane whose turn it is
/// may ask, so what is out is always ahead of who waits, and comes back.
final class LongRecords: Sendable {
    private let free: Mutex<Int>
    private let copies: RecordCopies

    /// - Parameter bytes: at least what the longest record costs.
    init(bytes: Int, _ copies: RecordCopies) {
        free = Mutex(bytes)
        self.copies = copies
    }

    /// Takes room for the longest record, as nobody knows how long the next one is; nil where there is none at present.
    func take() -> Int? {
        free.withLock { free in
            guard copies.most <= free else { return nil }
            free -= copies.most
            return copies.most
        }
    }

    /// Gives back what a record of `length` bytes does not need of the `taken` ones; returns what it needs.
    func settle(_ taken: Int, length: Int) -> Int {
        let needed = length == 0 ? 0 : min(taken, copies.bytes(length))
        giveBack(taken - needed)
        return needed
    }

    func giveBack(_ bytes: Int) { free.withLock { $0 += bytes } }

    /// Lines with more bytes than this are long.
    static let threshold = 256 << 10
}
