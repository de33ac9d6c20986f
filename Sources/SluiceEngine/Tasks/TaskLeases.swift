import SluiceCore

/// What tasks take of the budget of their process: the same for all tasks of a phase.
struct TaskLeases {
    private let shares: MemoryShares
    /// Bytes of what surveys leave, at most.
    private let learned: Int

    init(_ run: RunContext) {
        shares = run.shares
        learned = run.outline.later.reduce(0) { sum, work in
            guard case .survey(let survey) = work.body else { return sum }
            return sum + survey.memory(run.stage(work.link, memory: run.shares.most)).leaves
        }
    }

    /// What a task takes. How much work over columns takes is known once the columns are: it may take all that is left.
    func of(_ kind: RunTask.Kind) -> [RunTask.Lease] {
        let parts: [MemoryShares.Part]
        switch kind {
        case .lines: parts = shares.reading(hasTable: false)
        case .hash, .candidates, .duplicates: parts = shares.spilling
        case .contents: parts = shares.comparing
        case .read: parts = shares.reading(hasTable: false)
        case .write: parts = shares.writing
        case .borders, .digest, .tally: parts = []
        // What surveys learned is read whole, and bodies are made of it.
        case .settle, .finish: parts = MemoryShares.left(2 * learned)
        case .transform, .observe, .merge, .learn, .count, .divide, .gather, .select:
            let held = shares.always.reduce(0) { $0 + $1.bytes }
            parts = [MemoryShares.Part(name: "rows or groups in work", bytes: max(0, shares.total - held))]
        }
        return (shares.always + parts).filter { $0.bytes > 0 }.map { RunTask.Lease(name: $0.name, bytes: $0.bytes) }
    }
}
