import SluiceCore
import SluiceIO

/// What a survey learned, as bytes: what a later process makes the next body from.
struct Learned: Sendable {
    /// The outcome.
    let bytes: [UInt8]
    let report: JSONValue
    let warnings: [String]

    init(bytes: [UInt8], report: JSONValue, warnings: [String]) {
        (self.bytes, self.report, self.warnings) = (bytes, report, warnings)
    }

    /// Lets a survey learn from the summary of all records.
    init<S: Survey>(_ survey: S, _ summary: consuming S.Summary, _ context: StageContext) throws(EngineError) {
        do throws(StageError) {
            let result = try survey.finish(summary, context)
            (bytes, report, warnings) = (result.outcome.encoded, result.report, result.warnings)
        } catch {
            throw EngineError(error, stage: context.name)
        }
        // A survey that sees the stop returns early with anything: nothing of that may be kept.
        if context.isStopped { throw EngineError.stopped }
        if let fault = ReportRules.fault(in: [report]) { throw EngineError(defect: fault, stage: context.name) }
    }

    /// The next body. Always made from the bytes, also in the process that learned, so that no body depends on which
    /// process makes it.
    func body(_ survey: some Survey, _ context: StageContext) throws(EngineError) -> StageBody {
        let body: StageBody
        do throws(StageError) { body = try Self.body(survey, bytes, context) } catch {
            throw EngineError(error, stage: context.name)
        }
        guard body.furtherWork == survey.leadsTo else {
            func list(_ work: [FurtherWork]) -> String { "[\(work.map(\.rawValue).joined(separator: ", "))]" }
            throw EngineError(
                defect:
                    "its survey declares that it leads to \(list(survey.leadsTo)) but led to \(list(body.furtherWork))",
                stage: context.name)
        }
        return body
    }

    private static func body<S: Survey>(
        _ survey: S, _ bytes: [UInt8], _ context: StageContext
    ) throws(StageError) -> StageBody {
        try survey.makeBody(S.Outcome(decoding: bytes), context)
    }
}

extension Learned: ByteCodable {
    func write(to bytes: inout ByteWriter) {
        bytes.write(self.bytes)
        bytes.write(report)
        bytes.write(warnings)
    }

    init(from bytes: inout ByteReader) throws(StageError) {
        self.init(bytes: try bytes.read(), report: try bytes.read(), warnings: try bytes.read())
    }
}
