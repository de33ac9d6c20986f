import SluiceCore
import Synchronization

/// How a survey is run, and its summaries are merged.
extension StageDriver {
    mutating func run<S: Survey>(survey: S) throws(StageError) {
        flow.hasSurvey = true
        let need = survey.memory(context)
        check(need, of: survey)
        guard need.least <= context.memory else { throw .tooLarge(need.least, context, advice: need.advice) }
        if variation.runsTwice { try checkSize(of: survey, need) }
        variation.occupied?.take()
        let result = try survey.finish(passed(summary(of: survey)), context)
        // The engine, too, makes the body from bytes: another process may have learned.
        let bytes = result.outcome.encoded
        let body = try survey.makeBody(S.Outcome(decoding: bytes), context)
        check(body, bytes.count, of: survey, need)
        if survey.modelKind != nil { flow.models.append(bytes) }
        flow.reports.append(result.report)
        if !result.warnings.isEmpty { flow.reports.append(.list(result.warnings.map { .text($0) })) }
        ownReports.append(result.report)
        flow.rows = flow.live
        checkColumns(of: body, isWhole: false)
        try run(body)
    }

    /// The summary of all records, as the variation has it observed and merged.
    private func summary<S: Survey>(of survey: S) throws(StageError) -> S.Summary {
        let blocks = blockRows
        switch variation.merging {
        case .single, .withEmpty:
            var total = survey.makeSummary()
            for rows in blocks {
                variation.occupied?.take()
                try survey.observe(makeBlock(rows), into: &total)
            }
            if case .withEmpty = variation.merging { survey.merge(survey.makeSummary(), into: &total) }
            return total
        case .intoEmpty, .rightToLeft, .balanced, .shuffled:
            let summaries = pieces(blocks.count) { [self] piece -> Result<S.Summary, StageError> in
                var summary = survey.makeSummary()
                do throws(StageError) {
                    try survey.observe(makeBlock(blocks[piece]), into: &summary)
                    return .success(summary)
                } catch {
                    return .failure(error)
                }
            }
            var parts: [S.Summary] = []
            for summary in summaries { parts.append(try passed(summary.get())) }
            return merged(parts, by: survey)
        }
    }

    private mutating func check<S: Survey>(_ need: SurveyMemory, of survey: S) {
        if need.summary < MemoryLayout<S.Summary>.size || need.finish < 0 {
            breach(
                .memory,
                "`memory` declares \(need.summary) bytes for a summary and \(need.finish) for `finish`; an empty summary already has \(MemoryLayout<S.Summary>.size)"
            )
        }
        if need != survey.memory(context) { breach(.memory, "`memory` returns a different value on a second call") }
    }

    /// Checks the outcome's size and the next body against what the survey declares.
    private mutating func check<S: Survey>(_ body: StageBody, _ bytes: Int, of survey: S, _ need: SurveyMemory) {
        let most = need.summary + max(need.finish, need.leaves)
        if bytes > most + Self.lengths {
            breach(
                .memory,
                "the outcome takes \(bytes) bytes as written; `memory` declares \(most) for it. Count it in `finish` or `leaves`"
            )
        }
        if body.furtherWork != survey.leadsTo {
            breach(
                .leadsTo,
                "the survey declares that it leads to [\(list(survey.leadsTo))]; its body has [\(list(body.furtherWork))]"
            )
        }
        if body.residentBytes > need.leaves {
            breach(
                .memory,
                "the body that the survey returns holds \(body.residentBytes) bytes; `memory` declares only \(need.leaves) (`leaves`)"
            )
        }
    }

    /// What the lengths of arrays and texts may take in bytes, in addition to what they hold.
    private static let lengths = 256

    /// Compares the summary of many records with what the survey declares. Written bytes are about the memory that it takes.
    private mutating func checkSize<S: Survey>(of survey: S, _ need: SurveyMemory) throws(StageError) {
        var summary = survey.makeSummary()
        var records = 0
        while records < 200, !flow.live.isEmpty {
            for rows in blockRows { try survey.observe(makeBlock(rows), into: &summary) }
            records += flow.live.count
        }
        let bytes = summary.encoded.count
        guard bytes > need.summary + Self.lengths else { return }
        breach(
            .memory,
            "a summary of \(records) records takes \(bytes) bytes as written; `memory` declares \(need.summary). Declare its largest size; if it grows with every record, keep counts, sums, extremes or the k smallest draws instead"
        )
    }

    private func list(_ work: [FurtherWork]) -> String { work.map(\.rawValue).joined(separator: ", ") }

    /// The summary as a task on another machine would have it.
    private func passed<Summary: ByteCodable>(_ summary: consuming Summary) throws(StageError) -> Summary {
        variation.passesBytes ? try Summary(decoding: summary.encoded) : summary
    }

    func merged<S: Survey>(_ parts: [S.Summary], by survey: S) -> S.Summary {
        var parts = parts
        switch variation.merging {
        case .single, .withEmpty, .intoEmpty:
            var total = survey.makeSummary()
            for part in parts { survey.merge(part, into: &total) }
            return total
        case .rightToLeft:
            var total = survey.makeSummary()
            for part in parts.reversed() { survey.merge(part, into: &total) }
            return total
        case .balanced:
            while parts.count > 1 {
                parts = stride(from: 0, to: parts.count, by: 2).map { index in
                    var left = parts[index]
                    if index + 1 < parts.count { survey.merge(parts[index + 1], into: &left) }
                    return left
                }
            }
            return parts.first ?? survey.makeSummary()
        case .shuffled(let seed):
            var generator = SplitMix64(state: seed)
            parts.append(contentsOf: [survey.makeSummary(), survey.makeSummary()])
            while parts.count > 1 {
                let part = parts.remove(at: Int(generator.next(below: UInt64(parts.count))))
                survey.merge(part, into: &parts[Int(generator.next(below: UInt64(parts.count)))])
            }
            return parts[0]
        }
    }
}
