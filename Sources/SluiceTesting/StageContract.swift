public import SluiceCore

/// Tests the promises that every stage must keep, in three lines:
///
/// ```swift
/// @Test func keepsTheContract() {
///     #expect(StageContract.check(TooShort.self, options: ["least": 20], records: sample) == [])
/// }
/// ```
///
/// A stage that asks does so in the first run, on several threads; the other runs get the same answers, as from a log.
///
/// The stage runs in memory many times: with 1, 2 and 8 threads; with blocks of 1, 7 and all records; in shuffled
/// order; at other addresses, which change the order of sets and dictionaries; with summaries merged in several trees,
/// written as bytes and read again; after earlier drops; with undeclared inputs absent, present and exchanged between
/// records; with other file and line numbers; with vectors resident and in chunks; with less and more memory; and with
/// no records at all. Every result must equal the first one, bit for bit. Where the first runs differ from each other,
/// the kit reports that alone: mend it first. Some runs miss a number: it must not count as 0.
///
/// Not checked: the memory of transforms and selections (only that what they declare is plausible; of a survey, the
/// size of the summary and the outcome as written); values of `Hasher`, which are the same within one process; and
/// preconditions that other data would violate. Use records that reach every branch; a few dozen are enough.
public enum StageContract {
    /// Every breach of the contract that these records reveal; empty for a correct stage.
    ///
    /// - Parameters:
    ///   - options: checked against the descriptor, which fills in defaults.
    ///   - records: one JSON object each.
    ///   - columns: columns that earlier stages would have written, one row per record.
    ///   - upstream: stages to run first on the same records, for the columns that they write.
    ///   - registry: the stages that `upstream` may name.
    public static func check(
        _ stage: any Stage.Type, options: OptionValues = [:], records: [String], columns: [ColumnName: Column] = [:],
        after upstream: [any StageSpecConvertible] = [], registry: Registry = Registry(), seed: UInt64 = 42,
        memory: Int = 256 << 20
    ) -> [Violation] {
        var checker = ContractChecker(stage, seed: seed, memory: memory)
        checker.checkDescriptor()
        let (values, problems) = stage.descriptor.resolving(options)
        guard problems.isEmpty else {
            return checker.violations + problems.map { Violation(.works, $0.message) }
        }
        var flow: Flow
        do {
            flow = try Flow(records, columns)
            flow = try InMemoryRun.run(upstream, registry: registry, seed: seed, memory: memory, flow).last ?? flow
        } catch {
            return checker.violations + [Violation(.works, "the records can't be prepared: \(error)")]
        }
        checker.check(values, flow)
        return checker.violations
    }
}

struct ContractChecker {
    let type: any Stage.Type
    private let seed: UInt64
    private let memory: Int
    private(set) var violations: [Violation] = []

    init(_ type: any Stage.Type, seed: UInt64, memory: Int) {
        self.type = type
        self.seed = seed
        self.memory = memory
    }

    mutating func breach(_ rule: Violation.Rule, _ message: String) { add([Violation(rule, message)]) }

    private mutating func add(_ found: [Violation]) {
        for violation in found where !violations.contains(violation) { violations.append(violation) }
    }

    // MARK: Descriptor

    mutating func checkDescriptor() {
        let descriptor = type.descriptor
        if !isHyphenated(descriptor.name) {
            breach(.descriptor, "the name `\(descriptor.name)` is not lower-case words joined by hyphens")
        }
        if descriptor.summary.isEmpty || descriptor.summary.contains("\n") {
            breach(.descriptor, "the summary must be one line")
        }
        var names: Set<String> = []
        for option in descriptor.options {
            if !names.insert(option.name).inserted { breach(.descriptor, "duplicate option `\(option.name)`") }
            if option.help.isEmpty { breach(.descriptor, "the option `\(option.name)` has no help") }
            if let value = option.defaultValue, option.kind.normalized(value) == nil {
                breach(
                    .descriptor,
                    "the default of `\(option.name)` is not valid; the option takes: \(option.kind.description)")
            }
            if !option.example.isEmpty, option.exampleValue == nil {
                breach(
                    .descriptor,
                    "the example `\(option.example)` of `\(option.name)` is not valid; the option takes: \(option.kind.description)"
                )
            }
            if option.isRequired, option.defaultValue != nil {
                breach(.descriptor, "the option `\(option.name)` is required but has a default")
            }
        }
    }

    // MARK: Runs

    typealias Outcome = Result<Flow, StageError>
    private var options = OptionValues()

    /// The first run asks, and the others take its answers.
    let answers = KitAnswers()

    /// - Parameter isQuiet: whether breaches within the run are passed over.
    mutating func run(_ stage: any Stage, _ flow: Flow, _ variation: Variation, isQuiet: Bool = false) -> Outcome {
        var variation = variation
        variation.answers = answers
        var driver: StageDriver
        do throws(StageError) {
            driver = try StageDriver(
                stage, options: options, Seed(seed).derived(for: Swift.type(of: stage).descriptor.name),
                memory: memory, flow, variation)
        } catch {
            return .failure(error)
        }
        do throws(StageError) {
            let result = try driver.run()
            if !isQuiet { add(result.violations) }
            return .success(result)
        } catch {
            if !isQuiet { add(driver.flow.violations) }
            return .failure(error)
        }
    }

    mutating func check(_ options: OptionValues, _ flow: Flow) {
        self.options = options
        let first: any Stage
        do throws(StageError) {
            first = try type.init(options: options)
        } catch {
            explain(error, options)
            return
        }
        let base = run(first, flow, Variation(runsTwice: true))
        guard case .success(let expected) = base else {
            explainFailure(base, first, flow)
            return
        }

        let fresh = { [type] () -> any Stage in (try? type.init(options: options)) ?? first }
        let everything = flow.live.count
        let singles = run(fresh(), flow, Variation(blockLimit: 1))
        let sevens = run(fresh(), flow, Variation(blockLimit: 7))
        checkRepeats(first, fresh, flow, expected)
        // A transform has a dictionary for each record, a survey or selection one for many.
        if expected.reports.isEmpty {
            checkOrder(fresh, flow, singles, limit: 1, times: 1)
        } else {
            checkOrder(fresh, flow, sevens, limit: 7, times: 2)
        }
        // Of a result that differs each time, the other comparisons would say nothing.
        guard !violations.contains(where: { $0.rule == .repeats }) else { return }

        compare(singles, expected, .blocks, "with blocks of 1")
        compare(sevens, expected, .blocks, "with blocks of 7")
        checkMerging(fresh, flow, expected)
        let merging: Variation.Merging = violations.contains { $0.rule == .merges } ? .single : .intoEmpty
        for (index, (threads, limit)) in [(2, 7), (8, 7), (2, everything), (8, 1)].enumerated() {
            let variation = Variation(
                threads: threads, blockLimit: max(1, limit), order: .shuffled(UInt64(index)), merging: merging)
            compare(
                run(fresh(), flow, variation), expected, .threads,
                "with \(threads) threads and blocks of \(max(1, limit)) in another order")
        }
        checkReads(fresh, flow, expected)
        checkMissingNumbers(fresh, flow, expected)
        checkDeparted(fresh, flow)
        checkOrdinals(fresh, flow, expected)
        checkMemory(fresh, flow, expected)
        checkEmpty(fresh, flow, expected)
    }

    /// Reports why `init` fails.
    private mutating func explain(_ error: StageError, _ given: OptionValues) {
        let known = type.descriptor.options
        guard let name = error.option, given[name] == nil else {
            return breach(.works, "the stage can't be made: \(error.message)")
        }
        if known.contains(where: { $0.name == name }) {
            breach(
                .descriptor,
                "`init` needs the option `\(name)`, which a definition may leave out. Give it a default or `isRequired`, or test whether `options[\"\(name)\"]` is nil"
            )
        } else {
            let near = Registry.nearest(to: name, in: known.map(\.name)).map { "; or did you mean `\($0)`?" } ?? ""
            breach(
                .descriptor,
                "`init` reads the option `\(name)`, which the descriptor does not have. Add an `OptionSpec` for it\(near)"
            )
        }
    }

    private mutating func explainFailure(_ outcome: Outcome, _ stage: any Stage, _ flow: Flow) {
        guard case .failure(let error) = outcome, !violations.contains(where: { $0.rule != .descriptor }) else {
            return
        }
        let given = Set(flow.columns.keys)
        for case .column(let name, let kind) in stage.reads
        where !given.contains(name) && error.message.contains("`\(name)`") {
            let near = Registry.nearest(to: name.name, in: given.map(\.name).sorted()).map { "; did you mean `\($0)`?" }
            breach(
                .works,
                "the stage reads the column `\(name)` of \(kind.words), which this test does not have. Pass it in `columns:`, or name the stage that writes it in `after:`\(near ?? "")"
            )
        }
        guard !violations.contains(where: { $0.rule == .works }) else { return }
        breach(.works, "the stage fails on the given records: \(error.message)")
    }

    // MARK: Rules

    private mutating func checkRepeats(
        _ first: any Stage, _ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow
    ) {
        compare(run(first, flow, Variation()), expected, .repeats, "in a second run of the same stage")
        // A new instance has none of the questions' threads behind it: it knows the answers from the log alone.
        let rule: Violation.Rule = answers.isEmpty ? .repeats : .answers
        compare(run(fresh(), flow, Variation()), expected, rule, "with a new instance of the stage")
    }

    /// Repeats a run with blocks of `limit` records while the order of sets and dictionaries changes.
    private mutating func checkOrder(
        _ fresh: () -> any Stage, _ flow: Flow, _ outcome: Outcome, limit: Int, times: Int
    ) {
        guard case .success(let expected) = outcome else { return }
        for _ in 0..<times {
            let moved = run(fresh(), flow, Variation(blockLimit: limit, occupied: OccupiedMemory()))
            compare(moved, expected, .repeats, "when sets and dictionaries have another order")
        }
    }

    /// - Parameter expected: the result with one summary of all records and no merges.
    private mutating func checkMerging(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        guard expected.hasSurvey else { return }
        compare(
            run(fresh(), flow, Variation(merging: .withEmpty)), expected, .merges,
            "merging an empty summary into a full one changed something:",
            "`makeSummary` must be neutral: 0 for a sum, infinity or nil for a minimum, and `merge` must add nothing of its own"
        )
        compare(
            run(fresh(), flow, Variation(merging: .intoEmpty)), expected, .merges,
            "merging into an empty summary lost something:",
            "`merge` must take over all that `other` holds")
        let trees: [(Variation.Merging, String)] = [
            (.rightToLeft, "merged from the last to the first"), (.balanced, "merged in a balanced tree"),
            (.shuffled(1), "merged in a random tree with empty ones among them"),
            (.shuffled(2), "merged in another random tree with empty ones among them"),
        ]
        for (merging, words) in trees {
            let variation = Variation(blockLimit: 3, merging: merging)
            compare(run(fresh(), flow, variation), expected, .merges, "with summaries of 3 records \(words)")
        }
        compare(
            run(fresh(), flow, Variation(blockLimit: 3, merging: .balanced, passesBytes: true)), expected, .bytes,
            "when summaries are written as bytes and read again (`ByteCodable`)")
        let single = Variation(blockLimit: 3, order: .shuffled(3), merging: .single)
        compare(run(fresh(), flow, single), expected, .merges, "with one summary that observes shuffled blocks")
    }

    private mutating func checkReads(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        compare(
            run(fresh(), flow, Variation(presence: .everything)), expected, .reads,
            "when fields and columns that the stage does not declare are present")
        compare(
            run(fresh(), flow, Variation(presence: .scrambled)), expected, .reads,
            "when fields and columns that the stage does not declare are exchanged between records")
        // A stage may skip an unwanted column, but must keep and drop the same records.
        if case .success(var outcome) = run(fresh(), flow, Variation(wanted: [])) {
            outcome.columns = expected.columns
            outcome.written = expected.written
            compare(.success(outcome), expected, .writes, "when none of its columns is wanted")
        }
    }

    /// A block may contain records dropped earlier; they must have no effect.
    private mutating func checkDeparted(_ fresh: () -> any Stage, _ flow: Flow) {
        guard flow.live.count > 1 else { return }
        var without = flow
        without.live = flow.live.enumerated().filter { $0.offset % 3 != 1 }.map(\.element)
        without.rows = without.live
        var with = without
        with.rows = flow.live
        guard case .success(let expected) = run(fresh(), without, Variation()) else { return }
        compare(
            run(fresh(), with, Variation(blockLimit: 5)), expected, .reads,
            "when blocks contain records dropped earlier",
            "Go through `block.live` only")
    }

    private mutating func checkOrdinals(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        var moved = flow
        let cut = flow.records.count / 2
        moved.records.ordinals = (0..<flow.records.count).map { row in
            row < cut ? Ordinal(file: 3, line: 1_000 + 3 * row) : Ordinal(file: 9, line: 1 + 2 * (row - cut))
        }
        compare(
            run(fresh(), moved, Variation()), expected, .ordinals,
            "when the same records are in other files and lines, in the same order")
    }

    private mutating func checkMemory(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        compare(
            run(fresh(), flow, Variation(chunkRows: 3)), expected, .memory,
            "when vectors are read in chunks instead of resident")
        for (factor, words) in [(0.25, "a quarter of the memory"), (16, "16 times the memory")] {
            let outcome = run(fresh(), flow, Variation(memory: factor))
            if case .failure(let error) = outcome, error.code == .memory { continue }
            compare(outcome, expected, .memory, "with \(words)")
        }
    }

    private mutating func checkEmpty(_ fresh: () -> any Stage, _ flow: Flow, _ expected: Flow) {
        compare(
            run(fresh(), flow, Variation(blockLimit: 7, addsEmptyBlocks: true)), expected, .empty,
            "when there are empty blocks among the others")
        var nothing = flow
        nothing.live = []
        nothing.rows = []
        if case .failure(let error) = run(fresh(), nothing, Variation()) {
            breach(.empty, "the stage fails when no record reaches it: \(error.message)")
        }
    }
}
