import SluiceCore
import SluiceIO
import Testing

@testable import SluiceEngine

/// A selection of very many groups: what it leases stays in the budget, each group is chosen from, and `run.json` stays small.
@Suite struct ManyGroupsTests {
    private static let groups = 150_000
    private static let records = 200_000

    @Test(arguments: ["number", "n", "name"]) func groupsWithoutNumberAreChosenFrom(per: String) throws {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        // Groups come in any order; the first 50,000 have two records each, far from each other.
        let order = shuffled(Self.records, seed: 3).map { $0 % Self.groups }
        let lines = order.map { "{\"n\":\($0)}\n" }.joined()
        try Array(lines.utf8).withUnsafeBytes { try input.write($0) }
        var definition = Definition(
            memory: 110 << 20, input: InputSpec(files: ["\(folder.path)/in.jsonl"]),
            stages: [StageSpec("one-of-each", ["per": .text(per)])],
            output: OutputSpec(directory: "\(folder.path)/out"))
        definition.input.maxRecord = 1000
        let result = try Run(definition, registry: Registry([OneOfEach.self]), options: RunOptions(threads: 2)).run()

        #expect(result.read == Self.records && result.kept == Self.groups)
        let leased = try #require(result.manifest["timing"]?["memory_leased_peak"]?.integerValue)
        #expect(leased <= definition.memory)
        let report = try #require(result.manifest["stages"]?.elements.first)
        #expect(report["groups"]?.integerValue == Self.groups, "\(report)")
        #expect(report["largest"]?.integerValue == 2)
        #expect(report["sum"]?.integerValue == Self.records)
        #expect(report["listed"]?.elements.count == GroupReports.mostListed)
        #expect(try FileSystem.local.contents(of: "\(folder.path)/out/run.json").count < 1 << 20)

        // The first record of each group stays, at its place.
        var seen: Set<Int> = []
        let first = order.filter { seen.insert($0).inserted }.map { "{\"n\":\($0)}" }
        #expect(try ComparedContentsTests.text("\(folder.path)/out/kept.jsonl.zst") == first)
    }
}

/// Keeps the first record of each value of `n`.
private struct OneOfEach: Stage {
    static let descriptor = Descriptor(
        name: "one-of-each", summary: "Keeps one record of each number.",
        options: [
            OptionSpec(
                "per", .choice(["number", "name", "n"]), default: "number",
                help: "A column of integers or bytes that it writes, or the field.")
        ])
    let per: String
    init(options: OptionValues) throws(StageError) { per = try options.text("per") }
    var reads: [Input] { [.field("n")] + (per == "n" ? [.label("n")] : []) }
    let writes = [ColumnSpec("number", .integer), ColumnSpec("name", .bytes), ColumnSpec(.rank, .integer)]
    func body(_ context: StageContext) throws(StageError) -> StageBody {
        .sequence([.transform(Numbers()), .selection(First(grouping: per == "n" ? .label("n") : .by(ColumnName(per))))])
    }

    struct Numbers: Transform {
        func apply(to block: inout Block) throws(StageError) {
            let field = block.field("n")
            block.write(
                "number",
                .integers(
                    (0..<block.count).map { row in
                        guard case .json(let digits) = field[row] else { return -1 }
                        return digits.reduce(0) { 10 * $0 + Int64($1 - 48) }
                    }))
            var names = BytesColumn()
            for row in 0..<block.count {
                if case .json(let digits) = field[row] { names.append(digits) } else { names.append([]) }
            }
            block.write("name", .bytes(names))
        }
    }

    struct First: Selection {
        let grouping: Grouping
        var columns: [ColumnName] { [] }
        func quotas(for groups: Groups) -> [Int] { groups.sizes.map { _ in 1 } }
        func memory(rows: Int, _ context: StageContext) -> Int { 16 * rows }
        func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
            var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "not-first")
            outcome.ranks[0] = 0
            outcome.report = ["size": .integer(group.count)]
            return outcome
        }
        func report(_ groups: GroupReports) -> JSONValue {
            var (largest, sum) = (0, 0)
            for group in groups { (largest, sum) = (max(largest, group.size), sum + group.size) }
            return [
                "groups": .integer(groups.count), "largest": .integer(largest), "sum": .integer(sum),
                "listed": .list(groups.listed.map(\.report)),
            ]
        }
    }
}
