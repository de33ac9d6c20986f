import SluiceCore

/// A summary used by one thread at a time; nil while it is in use.
private final class Holder<Summary> {
    private var summary: Summary?

    init(_ summary: consuming Summary) { self.summary = summary }

    /// Takes the summary out, without leaving a copy.
    func take() -> Summary? { summary.take() }
    func put(_ summary: consuming Summary) { self.summary = summary }
}

extension RowPass {
    /// Runs the pass with a survey, and returns the summary of all rows.
    ///
    /// Each thread adds to a summary that it alone uses during a block. Merging is exact and commutative, so the result
    /// does not depend on which thread saw which block.
    ///
    /// - Parameter share: has the most summaries at a time; a thread that finds none waits for one.
    func run<S: Survey>(
        survey: S, _ share: MemoryShares.SurveyShare, label: String, on pool: WorkerPool,
        isStopped: @escaping () -> Bool
    ) throws -> S.Summary {
        let summaries = ObjectPool<Holder<S.Summary>>(most: share.summaries) { Holder(survey.makeSummary()) }
        _ = try run(on: pool, share.rows, isStopped: isStopped) { block in
            let holder = summaries.take()
            defer { summaries.giveBack(holder) }
            guard var summary = holder.take() else { return }
            defer { holder.put(summary) }
            do throws(StageError) {
                try survey.observe(block, into: &summary)
            } catch {
                throw EngineError(error, stage: label)
            }
        }
        var holders = summaries.takeAll()
        // The first summary absorbs the others, and each is freed once merged: there is never an extra summary.
        var total = holders.popLast()?.take() ?? survey.makeSummary()
        while let summary = holders.popLast()?.take() { survey.merge(summary, into: &total) }
        return total
    }
}
