import SluiceCore

/// All tasks of a run, in an order in which they can be done one after the other.
///
/// They follow from the definition and the input alone. A task is made when it is asked for: a list of a million tasks,
/// of which each of thousands reads what hundreds of others wrote, takes the memory of its phases and of the input's parts.
public struct TaskList: RandomAccessCollection, Sendable {
    /// Tasks that are independent of each other.
    struct Phase: Sendable {
        let name: String
        /// The numbers of its tasks, ascending; nil for those from 0 to `count`.
        private let numbers: [Int]?
        let count: Int
        let kind: @Sendable (Int) -> RunTask.Kind
        /// What the task with this number needs.
        let needs: @Sendable (Int) -> [RunTask.Need]
        fileprivate(set) var leases: [RunTask.Lease] = []

        init(
            _ count: Int, numbers: [Int]? = nil, _ kind: @escaping @Sendable (Int) -> RunTask.Kind,
            needs: @escaping @Sendable (Int) -> [RunTask.Need]
        ) {
            (self.numbers, self.count, self.kind, self.needs) = (numbers, numbers?.count ?? count, kind, needs)
            name = kind(0).phase
        }

        /// The number of a task by its place in the phase.
        func number(at place: Int) -> Int { numbers?[place] ?? place }
    }

    private(set) var phases: [Phase] = []
    /// The place of the first task of each phase, and the number of tasks.
    private var starts = [0]
    let parts: InputParts
    /// The number of buckets of the dedupe; 0 without one.
    let buckets: Int
    /// The number of bundles of a selection's groups.
    let bundles: Int
    /// Whether lines are counted before anything else is done, for the parts that are ranges of files. Otherwise hashing
    /// counts them, unless it must name the line of a fault.
    let countsLines: Bool
    /// The parts that are ranges of files.
    let cutParts: [Int]
    private let catalog: InputCatalog
    private let threads: Int

    private static let mostBundles = 256
    /// The most summaries that one task merges.
    static let fanIn = 32

    init(_ run: RunContext) {
        (parts, catalog, threads) = (run.parts, run.catalog, run.options.threads)
        buckets = run.definition.input.dedupe == nil ? 0 : Self.buckets(for: run.catalog.totalSize)
        bundles = Swift.min(parts.count, Self.mostBundles)
        let cut = run.parts.all.indices.filter { run.parts.all[$0].isCut }
        let hasNoDedupe = run.definition.input.dedupe == nil
        cutParts = cut
        countsLines = !cut.isEmpty && (hasNoDedupe || run.definition.input.malformed == .fail)
        addPhases(run)
        let leases = TaskLeases(run)
        for phase in phases.indices { phases[phase].leases = leases.of(phases[phase].kind(0)) }
    }

    /// A run that is complete has none.
    init(completed list: TaskList) {
        self = list
        (phases, starts) = ([], [0])
    }

    /// A bucket has the hashes of about 4 GiB of stored input.
    private static func buckets(for size: UInt64) -> Int {
        Int(Swift.max(1, Swift.min(256, (size + (4 << 30) - 1) >> 32)))
    }

    // MARK: Phases

    private mutating func addPhases(_ run: RunContext) {
        if countsLines { addLines() }
        if buckets > 0 { addDedupe(comparesContents: run.comparesContents) }
        let borders = borders
        let duplicates: [RunTask.Need] = buckets > 0 ? [.phase(RunTask.Kind.duplicates(bucket: 0).phase)] : []
        addParts({ .read(part: $0) }) { borders($0) + duplicates }
        add(.tally, [.phase("read")])
        for round in run.outline.rounds { add(round, run.outline.rounds) }
        let rounds = run.outline.rounds
        if !rounds.isEmpty {
            addParts({ .write(part: $0) }) { Self.after(rounds.count, $0, rounds) }
        }
        let cutFiles = parts.cutFiles
        if !cutFiles.isEmpty {
            add(Phase(cutFiles.count, numbers: cutFiles, { .digest(file: $0) }) { _ in [] })
        }
        add(
            .finish,
            [.task(.tally)] + (cutFiles.isEmpty ? [] : [.phase("digest")]) + [.phase(rounds.isEmpty ? "read" : "write")]
        )
    }

    /// The task that counts the lines of a part.
    func counting(_ part: Int) -> RunTask.Kind { countsLines ? .lines(part: part) : .hash(part: part) }

    /// The task that says where a part begins, if it is a range of a file.
    private var borders: @Sendable (Int) -> [RunTask.Need] {
        let parts = parts
        return { parts.all[$0].isCut ? [.task(.borders)] : [] }
    }

    private mutating func addLines() {
        add(Phase(cutParts.count, numbers: cutParts, { .lines(part: $0) }) { _ in [] })
        add(.borders, [.phase("lines")])
    }

    private mutating func addDedupe(comparesContents: Bool) {
        let borders = borders
        let isCounted = countsLines
        addParts({ .hash(part: $0) }) { isCounted ? borders($0) : [] }
        let hasBorders = !countsLines && !cutParts.isEmpty
        if hasBorders { add(.borders, [.phase("hash")]) }
        let hashes: [RunTask.Need] = [.phase("hash")] + (cutParts.isEmpty ? [] : [.task(.borders)])
        guard comparesContents else {
            return add(Phase(buckets, { .duplicates(bucket: $0) }) { _ in hashes })
        }
        add(Phase(buckets, { .candidates(bucket: $0) }) { _ in hashes })
        addParts({ .contents(part: $0) }) { _ in [.phase("candidates")] }
        add(Phase(buckets, { .duplicates(bucket: $0) }) { _ in [.phase("contents")] })
    }

    private mutating func add(_ round: RunOutline.Round, _ rounds: [RunOutline.Round]) {
        let number = round.number
        if round.hasTransforms {
            addParts({ .transform(round: number, part: $0) }) { Self.after(number - 1, $0, rounds) }
        }
        switch round.last {
        case .survey?:
            addParts({ .observe(round: number, part: $0) }) { Self.transformed(number, $0, rounds) }
            addMerges(number)
        case .selection?: addSelection(number, rounds)
        case nil: break
        }
    }

    private mutating func addSelection(_ number: Int, _ rounds: [RunOutline.Round]) {
        addParts({ .count(round: number, part: $0) }) { Self.transformed(number, $0, rounds) }
        add(.divide(round: number), [.phase("count-\(number)")])
        addParts({ .gather(round: number, part: $0) }) { _ in [.task(.divide(round: number))] }
        add(Phase(bundles, { .select(round: number, bundle: $0) }) { _ in [.phase("gather-\(number)")] })
        addParts({ .settle(round: number, part: $0) }) { _ in [.phase("select-\(number)")] }
    }

    /// Merges summaries until few enough are left, and learns from them.
    private mutating func addMerges(_ round: Int) {
        var (count, level) = (parts.count, 0)
        while count > Self.fanIn {
            let (below, last) = (level, count)
            level += 1
            count = (last + Self.fanIn - 1) / Self.fanIn
            let own = level
            add(
                Phase(count, { .merge(round: round, level: own, index: $0) }) { index in
                    (index * Self.fanIn..<Swift.min(last, (index + 1) * Self.fanIn)).map {
                        .task(Self.summary(round, below, $0))
                    }
                })
        }
        add(.learn(round: round), [.phase(Self.summary(round, level, 0).phase)])
    }

    /// The task that writes a summary: of a part, or at a level of the merges.
    private static func summary(_ round: Int, _ level: Int, _ index: Int) -> RunTask.Kind {
        level == 0 ? .observe(round: round, part: index) : .merge(round: round, level: level, index: index)
    }

    // MARK: Needs

    /// The tasks after which the rows of a part are known after a round.
    private static func after(_ round: Int, _ part: Int, _ rounds: [RunOutline.Round]) -> [RunTask.Need] {
        guard round > 0 else { return [.task(.tally)] }
        return switch rounds[round - 1].last {
        case .survey?: [.task(.learn(round: round))] + transformed(round, part, rounds)
        case .selection?: [.task(.settle(round: round, part: part))]
        case nil: transformed(round, part, rounds)
        }
    }

    /// The tasks after which the transforms of a round are done.
    private static func transformed(_ round: Int, _ part: Int, _ rounds: [RunOutline.Round]) -> [RunTask.Need] {
        rounds[round - 1].hasTransforms
            ? [.task(.transform(round: round, part: part))] : after(round - 1, part, rounds)
    }

    /// The summaries that a merge, or `learn`, reads.
    func summaries(of task: RunTask.Kind) -> [RunTask.Kind] {
        self.task(named: task.id)?.needs.flatMap { Array(tasks(of: $0)) } ?? []
    }

    /// The tasks that a need names.
    func tasks(of need: RunTask.Need) -> some Sequence<RunTask.Kind> {
        let phase: Phase
        switch need {
        case .task(let kind): phase = Phase(1, { _ in kind }) { _ in [] }
        case .phase(let name): phase = phases.first { $0.name == name } ?? Phase(0, { .read(part: $0) }) { _ in [] }
        }
        return (0..<phase.count).lazy.map { phase.kind(phase.number(at: $0)) }
    }

    // MARK: Making the list

    private mutating func addParts(
        _ kind: @escaping @Sendable (Int) -> RunTask.Kind, _ needs: @escaping @Sendable (Int) -> [RunTask.Need]
    ) {
        add(Phase(parts.count, kind, needs: needs))
    }

    private mutating func add(_ kind: RunTask.Kind, _ needs: [RunTask.Need]) {
        add(Phase(1, { _ in kind }) { _ in needs })
    }

    private mutating func add(_ phase: Phase) {
        phases.append(phase)
        starts.append((starts.last ?? 0) + phase.count)
    }

    // MARK: Tasks

    public var startIndex: Int { 0 }
    public var endIndex: Int { starts.last ?? 0 }

    public subscript(place: Int) -> RunTask {
        var (low, high) = (0, phases.count - 1)
        while low < high {
            let middle = low + (high - low) / 2
            if starts[middle + 1] <= place { low = middle + 1 } else { high = middle }
        }
        let phase = phases[low]
        return task(phase.number(at: place - starts[low]), of: phase)
    }

    /// The task of this name, such as `read.3`; nil if there is none. Cost: the number of phases.
    public func task(named name: String) -> RunTask? {
        let dot = name.lastIndex(of: ".")
        let phaseName = dot.map { String(name[..<$0]) } ?? name
        guard let phase = phases.first(where: { $0.name == phaseName }), phase.count > 0 else { return nil }
        let number = dot.flatMap { Int(name[name.index(after: $0)...]) } ?? 0
        // The tasks of two phases are numbered with gaps.
        var (low, high) = (0, phase.count - 1)
        while low < high {
            let middle = low + (high - low) / 2
            if phase.number(at: middle) < number { low = middle + 1 } else { high = middle }
        }
        let found = task(phase.number(at: low), of: phase)
        return found.id == name ? found : nil
    }

    /// The first and the last task of each phase.
    public var ends: [(first: String, last: String)] {
        phases.filter { $0.count > 0 }.map { phase in
            (phase.kind(phase.number(at: 0)).id, phase.kind(phase.number(at: phase.count - 1)).id)
        }
    }

    /// The stored bytes of input that a task reads.
    func bytes(of kind: RunTask.Kind) -> Int {
        switch kind {
        case .lines(let part), .hash(let part), .contents(let part), .read(let part), .write(let part):
            parts.bytes(of: part, catalog)
        case .digest(let file): Int(catalog.files[file].size)
        default: 0
        }
    }

    private func files(of kind: RunTask.Kind) -> [String] {
        switch kind {
        case .lines(let part), .hash(let part), .contents(let part), .read(let part), .write(let part):
            catalog.files[parts.all[part].files].map(\.name)
        case .digest(let file): [catalog.files[file].name]
        default: []
        }
    }

    private func task(_ number: Int, of phase: Phase) -> RunTask {
        let kind = phase.kind(number)
        let needs = phase.needs(number)
        let marks = needs.map { need -> String in
            switch need {
            case .task(let kind): TaskFiles.mark(of: kind)
            case .phase(let name): TaskFiles.marks(of: name)
            }
        }
        return RunTask(
            id: kind.id, phase: phase.name, kind: kind, inputs: files(of: kind) + marks, needs: needs,
            outputs: kind == .finish ? [ResultFile.manifest] : [TaskFiles.mark(of: kind)], leases: phase.leases,
            threads: threads, bytes: bytes(of: kind))
    }
}
