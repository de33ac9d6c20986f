package import SluiceCore

/// How the memory of a run is shared out, before anything is read.
package struct MemoryShares: Sendable, Equatable {
    /// The program itself: code, stacks, buffers of the C library.
    package static let program = 24 << 20
    /// A block under way: its bytes, what is made of them, and the frames they are packed into.
    package static let perBlock = 3 << 20
    /// Compression and parsing contexts of a thread.
    package static let perThread = 6 << 20

    package let total: Int
    /// Blocks that may be under way at a time.
    package let blocks: Int
    /// The table of the dedupe.
    package let dedupe: Int
    /// A stage's own state, and the columns of the groups it works on.
    package let stage: Int
    /// Ledger lines that wait to be sorted.
    package let ledger: Int

    /// - Throws: `EngineError` with code `.resources`, naming the smallest budget that would do.
    package init(_ definition: Definition, threads: Int) throws(EngineError) {
        total = definition.memory
        let blocks = max(4, 2 * threads + 2)
        let fixed = Self.program + threads * Self.perThread + Self.perBlock * 4
        let smallest = fixed + (16 << 20)
        guard total >= smallest else {
            throw EngineError(
                .resources,
                "`memory: \(MemorySize.describe(total))` does not suffice for \(threads) threads; the smallest budget that would do is \(MemorySize.describe(smallest))")
        }
        // Blocks take what a quarter of the rest allows, four at least: fewer only means less reading ahead.
        let forBlocks = max(4, min(blocks, (total - fixed) / 4 / Self.perBlock + 4))
        self.blocks = forBlocks
        let rest = total - Self.program - threads * Self.perThread - forBlocks * Self.perBlock
        dedupe = rest * 3 / 4
        ledger = min(32 << 20, rest / 8)
        stage = rest - ledger
    }
}
