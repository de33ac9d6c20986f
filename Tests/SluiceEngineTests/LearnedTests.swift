import SluiceCore
import Testing

@testable import SluiceEngine

/// What is kept of a survey.
@Suite struct LearnedTests {
    /// Returns early when the run stops, as a survey with long work does.
    private struct Counting: Survey {
        func memory(_ context: StageContext) -> SurveyMemory { SurveyMemory(summary: 8, finish: 0) }
        func makeSummary() -> Int { 0 }
        func observe(_ block: borrowing Block, into summary: inout Int) { summary += block.count }
        func merge(_ other: Int, into summary: inout Int) { summary += other }
        func finish(_ summary: consuming Int, _ context: StageContext) -> SurveyResult<Int> {
            SurveyResult(context.isStopped ? -1 : summary)
        }
        func makeBody(_ outcome: Int, _ context: StageContext) -> StageBody { .sequence([]) }
    }

    private func context(isStopped: Bool) -> StageContext {
        StageContext(name: "counting", seed: Seed(1), memory: 1 << 20, isStopped: { isStopped })
    }

    @Test func nothingIsKeptOfASurveyThatWasStoppedAtItsEnd() throws {
        #expect(try Learned(Counting(), 7, context(isStopped: false)).bytes == 7.encoded)
        do {
            _ = try Learned(Counting(), 7, context(isStopped: true))
            Issue.record("a stopped survey was kept")
        } catch {
            #expect(error.code == .stopped)
        }
    }
}
