import SluiceCore

/// A summary that one thread at a time adds to; nil while it is out.
private final class Holder<Summary> {
    private var summary: Summary?

    init(_ summary: consuming Summary) { self.summary = summary }

    /// The summary, of which no copy is left behind.
    func take() -> Summary? { summary.take() }
    func put(_ summary: consuming Summary) { self.summary = summary }
}

extension RowPass {
    /// Runs the pass with a survey and turns the survey into what comes next.
    ///
    /// Each thread adds to a summary that is its own for the block; the merge is exact and commutative, so which thread saw what can't
    /// show.
    ///
    /// - Parameter most: summaries at a time; a thread that finds none waits for one.
    func run<S: Survey>(
        survey: S, summaries most: Int, context: StageContext, on pool: WorkerPool, limit: Int,
        isStopped: @escaping () -> Bool
    ) throws -> (live: LiveRows, result: SurveyResult) {
        let summaries = Spares<Holder<S.Summary>>(most: most) { Holder(survey.makeSummary()) }
        let live = try run(on: pool, limit: limit, isStopped: isStopped) { block in
            let holder = summaries.take()
            defer { summaries.giveBack(holder) }
            guard var summary = holder.take() else { return }
            defer { holder.put(summary) }
            do throws(StageError) {
                try survey.observe(block, into: &summary)
            } catch {
                throw EngineError(error, stage: context.name)
            }
        }
        var holders = summaries.takeAll()
        // The first one takes the others up, and each goes as soon as it is in: no summary more than there were.
        var total = holders.popLast()?.take() ?? survey.makeSummary()
        while let summary = holders.popLast()?.take() { survey.merge(summary, into: &total) }
        do throws(StageError) {
            return (live, try survey.finish(consume total, context))
        } catch {
            throw EngineError(error, stage: context.name)
        }
    }
}
