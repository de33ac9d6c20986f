import SluiceCore

/// The work over the kept columns, in rounds: a run of transforms, and the survey or selection after it.
///
/// What follows a survey is known once it has learned, so the rounds are asked for one after the other.
struct Rounds {
    struct Round {
        /// From 1.
        let number: Int
        let transforms: TransformChain
        /// The survey or selection that ends the round; nil at the end.
        let last: StageWork?
        /// The stage of its first work.
        let first: StageChain.Link
        /// Memory of its pass in addition to blocks: workers, and what surveys left to work not done yet.
        let beside: [MemoryShares.Part]
        /// What surveys left to work after the transforms.
        let left: [MemoryShares.Part]

        var labels: [String] { transforms.links.map(\.label) }

        /// The stage by which the phase is known.
        var label: String { (last?.link ?? first).label }
    }

    private let run: RunContext
    private var pending: [StageWork]
    private var number = 0

    /// - Parameter work: all work after that of the reading.
    init(_ run: RunContext, _ work: [StageWork]) {
        self.run = run
        pending = work
    }

    /// The next round; nil if there is no work left.
    mutating func next() throws(EngineError) -> Round? {
        guard let first = pending.first else { return nil }
        number += 1
        let beside = beside(pending)
        let transforms = try run.takeTransformsAndAskings(&pending)
        let left = left(pending)
        return Round(
            number: number, transforms: transforms, last: pending.isEmpty ? nil : pending.removeFirst(),
            first: first.link, beside: beside, left: left)
    }

    /// Adds the work that follows from what a survey learned: the next to do.
    mutating func add(_ learned: Learned, of survey: any Survey, _ link: StageChain.Link) throws(EngineError) {
        let context = run.stage(link, memory: run.shares.most)
        pending = try StageWork.left(learned.body(survey, context), by: link) + pending
    }

    /// Memory of the next pass in addition to its blocks: workers of its transforms, and results of surveys.
    private func beside(_ work: [StageWork]) -> [MemoryShares.Part] {
        var memory: [TransformMemory] = []
        for piece in work {
            if case .asking = piece.body { continue }
            guard case .transform(let transform) = piece.body else { break }
            memory.append(transform.memory(run.stage(piece.link, memory: run.shares.most)))
        }
        return run.shares.workers(memory) + left(work)
    }

    /// Results of surveys for work not done yet.
    private func left(_ work: [StageWork]) -> [MemoryShares.Part] {
        MemoryShares.left(work.reduce(0) { $0 + ($1.isLeft ? $1.body.residentBytes : 0) })
    }
}
