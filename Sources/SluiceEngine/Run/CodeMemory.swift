import CMalloc
import Synchronization

/// Keeps the program's own code from staying in memory where it isn't used.
///
/// The system maps pages around each page of code that runs. Starting up and the beginning of a phase touch nearly all of
/// it, the loops after that less than half.
enum CodeMemory {
    /// The half second in which it was given back last.
    private static let last = Atomic<Int>(0)

    /// Gives the code back, at most twice a second; what is used comes back at once. Does not affect any result.
    static func giveBack() {
        let now = Int(monotonicSeconds() * 2)
        let before = last.load(ordering: .relaxed)
        guard now != before, last.compareExchange(expected: before, desired: now, ordering: .relaxed).exchanged else {
            return
        }
        release_code()
    }
}
