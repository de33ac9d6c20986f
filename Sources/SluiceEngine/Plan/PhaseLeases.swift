import SluiceCore

/// The leases of a phase: taken before its data is read, returned together at its end.
final class PhaseLeases {
    /// A box for a lease, since an array can't hold a non-copyable value.
    private final class Held {
        private let lease: MemoryLease
        init(_ lease: consuming MemoryLease) { self.lease = lease }
    }

    private var held: [Held] = []

    /// - Throws: `EngineError` with code `.resources`.
    init(_ parts: [MemoryShares.Part], of budget: MemoryBudget, for phase: String) throws(EngineError) {
        for part in parts { try add(part, of: budget, for: phase) }
    }

    func add(_ part: MemoryShares.Part, of budget: MemoryBudget, for phase: String) throws(EngineError) {
        do throws(StageError) {
            held.append(Held(try budget.lease(part.bytes, for: "\(phase): \(part.name)")))
        } catch {
            throw EngineError(.resources, error.message)
        }
    }

    /// Returns the leases. Call it explicitly: Swift may release the object after its last use, before the phase ends.
    func giveBack() { held = [] }
}
