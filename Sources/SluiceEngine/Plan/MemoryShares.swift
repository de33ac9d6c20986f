package import SluiceCore

/// How the memory of a run is shared out, before anything is read.
package struct MemoryShares: Sendable, Equatable {
    /// The program itself: code and data that are mapped, stacks, what the C library keeps back.
    package static let program = 40 << 20
    /// A block under way: its bytes, what is made of them, and the frames they are packed into.
    package static let perBlock = 3 << 20
    /// Compression and parsing contexts of a thread.
    package static let perThread = 6 << 20

    /// What reading takes whatever is read: the program, its threads, and as many blocks under way as they keep busy.
    package static func reading(threads: Int) -> Int {
        program + threads * perThread + max(4, 2 * threads + 2) * perBlock
    }

    package let total: Int
    /// Blocks that may be under way at a time.
    package let blocks: Int
    /// The table of the dedupe.
    package let dedupe: Int
    /// A stage's own state, and the columns of the groups it works on.
    package let stage: Int
    /// Vectors of the groups that are worked on at a time, where a selection can also read them in passes: more of
    /// them in memory would gain little, since the system keeps the work files in memory that nobody else wants.
    let resident: Int
    /// Ledger lines that wait to be sorted.
    package let ledger: Int

    /// - Throws: `EngineError` with code `.resources`, naming the smallest budget that would do.
    package init(_ definition: Definition, threads: Int) throws(EngineError) {
        total = definition.memory
        let blocks = max(4, 2 * threads + 2)
        let fixed = Self.program + threads * Self.perThread + Self.perBlock * 4
        let smallest = fixed + (24 << 20)
        guard total >= smallest else {
            throw EngineError(
                .resources,
                "`memory: \(MemorySize.describe(total))` does not suffice for \(threads) threads; the smallest budget that would do is \(MemorySize.describe(smallest))"
            )
        }
        // Blocks take what a quarter of the rest allows, four at least: fewer only means less reading ahead.
        let forBlocks = max(4, min(blocks, (total - fixed) / 4 / Self.perBlock + 4))
        self.blocks = forBlocks
        let rest = total - Self.program - threads * Self.perThread - forBlocks * Self.perBlock
        // A plain dedupe may fill the rest with its table. Before stages it spills early instead: the extra pass costs
        // little beside them, and the peak does not grow with the input.
        dedupe = definition.stages.isEmpty ? rest * 3 / 4 : rest / 4
        ledger = min(32 << 20, rest / 12)
        stage = rest * 3 / 8
        resident = rest / 6
    }
}
