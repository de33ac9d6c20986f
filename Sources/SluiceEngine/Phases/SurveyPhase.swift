import SluiceCore

/// A summary that one thread at a time adds to.
private final class Holder<Summary> {
    var summary: Summary
    init(_ summary: Summary) { self.summary = summary }
}

extension RowPass {
    /// Runs the pass with a survey and turns the survey into what comes next.
    ///
    /// Each thread adds to a summary of its own; the merge is exact and commutative, so which thread saw what can't
    /// show.
    func run<S: Survey>(
        survey: S, context: StageContext, on pool: WorkerPool, limit: Int, isStopped: @escaping () -> Bool
    ) throws -> (live: LiveRows, result: SurveyResult) {
        let summaries = Spares<Holder<S.Summary>> { Holder(survey.makeSummary()) }
        let live = try run(on: pool, limit: limit, isStopped: isStopped) { block in
            let holder = summaries.take()
            defer { summaries.giveBack(holder) }
            do throws(StageError) {
                try survey.observe(block, into: &holder.summary)
            } catch {
                throw EngineError(error, stage: context.name)
            }
        }
        var total = survey.makeSummary()
        for holder in summaries.takeAll() { survey.merge(holder.summary, into: &total) }
        do throws(StageError) {
            return (live, try survey.finish(total, context))
        } catch {
            throw EngineError(error, stage: context.name)
        }
    }
}
