public import SluiceCore
import Synchronization

/// Memory budgets whose n-th lease is refused: the way to test that a run without enough memory leaves nothing torn.
///
///     for n in 1... {
///         let faulty = FaultyBudget(failing: n)
///         options.makeBudget = faulty.makeBudget
///         …run, and look at what is left…
///         if !faulty.hasFailed { break }  // there was no n-th lease: every one has had its turn
///     }
///
/// See `FaultyFileSystem` for what else can fail.
public final class FaultyBudget: Sendable {
    private let nth: Int
    private let state = Mutex<(leases: Int, refused: String?)>((0, nil))

    /// - Parameter nth: which lease is refused, from 1; 0 for none, to count.
    public init(failing nth: Int) { self.nth = nth }

    /// The leases so far, the refused one included.
    public var leases: Int { state.withLock { $0.leases } }
    public var hasFailed: Bool { refused != nil }
    /// What the refused lease was for.
    public var refused: String? { state.withLock { $0.refused } }

    /// Makes a budget of so many bytes.
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
