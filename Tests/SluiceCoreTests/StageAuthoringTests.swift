import SluiceCore
import Testing

/// What makes stages short: numbers of fields, options that name things, quotas, ranks and reports.
@Suite struct StageAuthoringTests {
    private func value(_ spelled: String, isString: Bool = false) -> FieldValue {
        isString ? .string(Array(spelled.utf8)[...]) : .json(Array(spelled.utf8)[...])
    }

    @Test(arguments: [
        ("0", 0), ("-0.5", -0.5), ("1e3", 1000), ("12345678901234567168", 12_345_678_901_234_567_168),
        ("9", 9), ("1E-2", 0.01),
    ])
    func fieldsThatAreNumbers(spelled: String, number: Double) {
        #expect(value(spelled).number == number && value(spelled, isString: true).number == number)
    }

    @Test(arguments: [
        "", " 1", "1 ", "+1", ".5", "0x10", "nan", "inf", "1e999", "true", "[1]", "one", "1,5", "-", "--1",
    ])
    func fieldsThatAreNone(spelled: String) {
        #expect(value(spelled).number == nil && value(spelled, isString: true).number == nil)
    }

    @Test func missingFieldsHaveNoNumber() {
        #expect(FieldValue.missing.number == nil && FieldValue.null.number == nil)
        #expect(FieldValue.chat(ChatTurns(encoded: [])).number == nil)
    }

    @Test func optionsNameThings() throws {
        let options: OptionValues = ["by": "words", "field": "meta.score", "per": "ability", "cluster": "cluster"]
        #expect(try options.column("by") == "words")
        #expect(try options.field("field").keys == ["meta", "score"])
        #expect(try options.grouping("per") == .label("ability"))
        #expect(try options.grouping("cluster") == .by(.cluster))
        #expect(try options.grouping("absent") == .all)
        #expect(throws: StageError.self) { try options.column("absent") }
    }

    @Test func quotasOfAShareOrANumber() {
        let groups = Groups(sizes: [0, 1, 7, 100])
        #expect(groups.keeping(.count(5)) == [0, 1, 5, 5])
        #expect(groups.keeping(.percent(10)) == [0, 1, 1, 10])
        #expect(groups.keeping(.percent(100)) == groups.sizes)
    }

    @Test func keptRowsGetTheirRanksInOrder() {
        let outcome = GroupOutcome(keeping: [3, 0, Int32(4)], of: 5, reason: "late")
        #expect(outcome.ranks == [1, -1, -1, 0, 2])
        #expect(GroupOutcome(keeping: 0..<0, of: 2, reason: "late").ranks == [-1, -1])
    }

    private struct Plain: Selection {
        func quotas(for groups: Groups) -> [Int] { groups.sizes }
        func memory(rows: Int, _ context: StageContext) -> Int { 0 }
        func select(_ group: Group, quota: Int, _ context: StageContext) -> GroupOutcome {
            GroupOutcome(keeping: 0..<quota, of: group.count, reason: "late")
        }
    }

    @Test func aSelectionThatSaysNothingReportsCounts() {
        let reports = GroupReports((0..<3).map { GroupReport(key: .number($0), size: 10, kept: $0, report: [:]) })
        #expect(Plain().report(reports) == ["groups": 3, "records": 30, "kept": 3])
        #expect(Plain().report([]) == ["groups": 0, "records": 0, "kept": 0])
        #expect(Plain().grouping == .all && Plain().columns.isEmpty)
    }
}
