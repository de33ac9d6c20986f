import SluiceCore

/// The leases of a phase: taken before its data is read, given back together when it ends.
final class PhaseLeases {
    /// A lease in a box, since an array can't hold it bare.
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

    /// Ends the leases. Said and not left to the last use of the value, which may come long before the end of the phase.
    func giveBack() { held = [] }
}
