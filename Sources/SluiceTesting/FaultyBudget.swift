public import SluiceCore
import Synchronization

/// Memory budgets that refuse the n-th lease, to test that a run without enough memory leaves no partial files.
///
///     for n in 1... {
///         let faulty = FaultyBudget(failing: n) options.makeBudget = faulty.makeBudget …run, and look at what is left…
///         if !faulty.hasFailed { break } // there was no n-th lease: all have been tested
///     }
///
/// See `FaultyFileSystem` for faults of files.
public final class FaultyBudget: Sendable {
    private let nth: Int
    private let state = Mutex<(leases: Int, refused: String?)>((0, nil))

    /// - Parameter nth: the lease to refuse, from 1; 0 refuses none and only counts.
    public init(failing nth: Int) { self.nth = nth }

    /// The number of leases so far, including the refused one.
    public var leases: Int { state.withLock { $0.leases } }
    public var hasFailed: Bool { refused != nil }
    /// The purpose of the refused lease; nil if none was refused.
    public var refused: String? { state.withLock { $0.refused } }

    /// Makes a budget of `total` bytes.
    public var makeBudget: @Sendable (_ total: Int) -> MemoryBudget {
        { [self] total in
            MemoryBudget(total: total) { [self] _, purpose in
                state.withLock { state in
                    state.leases += 1
                    guard state.leases == nth else { return false }
                    state.refused = purpose
                    return true
                }
            }
        }
    }
}
