import SluiceCore
import SluiceIO
import Synchronization
import Testing

@testable import SluiceEngine

/// What a display could show while a selection runs.
@Suite struct SelectionProgressTests {
    private static let records = 30
    private static let groups = 3

    /// The states that the stage sees: at its start in each group, and at its end.
    private func states(grouped: Bool) throws -> [ProgressState] {
        let folder = try TemporaryFolder()
        let input = try FileSystem.local.create("\(folder.path)/in.jsonl")
        let lines = (0..<Self.records).map { "{\"n\":\($0 % Self.groups)}\n" }.joined()
        try Array(lines.utf8).withUnsafeBytes { try input.write($0) }
        let definition = Definition(
            input: InputSpec(files: ["\(folder.path)/in.jsonl"]),
            stages: [StageSpec("watcher", ["grouped": .flag(grouped)])],
            output: OutputSpec(directory: "\(folder.path)/out"))
        let meter = ProgressMeter()
        return try Watcher.$meter.withValue(meter) {
            let seen = Seen()
            return try Watcher.$seen.withValue(seen) {
                _ = try Run(
                    definition, registry: Registry([Watcher.self]), options: RunOptions(threads: 1), progress: meter
                ).run()
                return seen.states.withLock { $0 }
            }
        }
    }

    @Test func recordsOfFinishedGroupsCount() throws {
        let states = try states(grouped: true)
        #expect(states.allSatisfy { $0.phase == "watcher" && $0.totalRecords == Self.records })
        #expect(states.map(\.records) == [0, 10, 20, 30])
    }

    /// Nothing is known before the only group is done: no total, so no percentage.
    @Test func aSingleGroupHasNoTotal() throws {
        let states = try states(grouped: false)
        #expect(states.map(\.totalRecords) == [0, 0])
        #expect(states.map(\.records) == [0, Self.records])
    }
}

private final class Seen: Sendable {
    let states = Mutex<[ProgressState]>([])
}

/// Keeps all records, and notes the progress.
private struct Watcher: Stage {
    @TaskLocal static var meter: ProgressMeter?
    @TaskLocal static var seen: Seen?

    static let descriptor = Descriptor(
        name: "watcher", summary: "Keeps all.", options: [OptionSpec("grouped", .flag, help: "By number.")])
    let grouped: Bool
    let meter = Self.meter
    let seen = Self.seen

    init(options: OptionValues) throws(StageError) { grouped = try options.flag("grouped") }

    let reads: [Input] = [.field("n")]
    let writes = [ColumnSpec("number", .integer)]

    func body(_ context: StageContext) throws(StageError) -> StageBody {
        .sequence([.transform(Numbers()), .selection(All(grouped: grouped, meter: meter, seen: seen))])
    }

    struct Numbers: Transform {
        func apply(to block: inout Block) throws(StageError) {
            let field = block.field("n")
            block.write(
                "number",
                .integers(
                    (0..<block.count).map { row in
                        guard case .json(let digits) = field[row], let digit = digits.first else { return -1 }
                        return Int64(digit - 48)
                    }))
        }
    }

    struct All: Selection {
        let grouped: Bool
        let meter: ProgressMeter?
        let seen: Seen?
        var grouping: Grouping { grouped ? .by("number") : .all }
        var columns: [ColumnName] { [] }
        func quotas(for groups: Groups) -> [Int] { groups.sizes }
        func memory(rows: Int, _ context: StageContext) -> Int { 16 * rows }

        private func note() {
            if let state = meter?.state { seen?.states.withLock { $0.append(state) } }
        }

        func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
            note()
            return GroupOutcome(ranks: (0..<Int32(group.count)).map { $0 }, reason: "none")
        }

        func report(_ groups: GroupReports) -> JSONValue {
            note()
            return [:]
        }
    }
}
