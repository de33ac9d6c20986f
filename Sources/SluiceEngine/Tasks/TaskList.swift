import SluiceCore

/// All tasks of a run, in an order in which they can be done one after the other.
///
/// They follow from the definition and the input alone.
struct TaskList {
    private(set) var tasks: [RunTask] = []
    let parts: InputParts
    /// The number of buckets of the dedupe; 0 without one.
    let buckets: Int
    /// The number of bundles of a selection's groups.
    let bundles: Int
    private let run: RunContext

    private var rounds: [RunOutline.Round] { run.outline.rounds }
    /// The summaries that a task merges.
    private var summaries: [RunTask.Kind: [RunTask.Kind]] = [:]

    private static let mostBundles = 256
    /// The most summaries that one task merges.
    static let fanIn = 32

    init(_ run: RunContext) {
        self.run = run
        parts = run.parts
        buckets = run.definition.input.dedupe == nil ? 0 : Self.buckets(for: run.catalog.totalSize)
        bundles = min(parts.count, Self.mostBundles)
        if countsLines { addLines() }
        addDedupe()
        let duplicates = (0..<buckets).map { RunTask.Kind.duplicates(bucket: $0) }
        add(inParts({ .read(part: $0) }) { borders(of: $0) + duplicates })
        add(.tally, after: allParts { .read(part: $0) })
        for round in rounds { add(round) }
        if !rounds.isEmpty {
            add(inParts({ .write(part: $0) }) { after(rounds.count, $0) })
        }
        let last: (Int) -> RunTask.Kind = { rounds.isEmpty ? .read(part: $0) : .write(part: $0) }
        for file in parts.cutFiles { add(.digest(file: file), after: []) }
        let digests = parts.cutFiles.map { RunTask.Kind.digest(file: $0) }
        add(.finish, after: [.tally] + digests + allParts(last))
    }

    /// A bucket has the hashes of about 4 GiB of stored input.
    private static func buckets(for size: UInt64) -> Int { Int(max(1, min(256, (size + (4 << 30) - 1) >> 32))) }

    // MARK: Phases

    /// Whether lines are counted before anything else is done, for the parts that are ranges of files. Otherwise hashing
    /// counts them, unless it must name the line of a fault.
    var countsLines: Bool {
        !parts.cutFiles.isEmpty && (buckets == 0 || run.definition.input.malformed == .fail)
    }

    /// The parts that are ranges of files.
    var cutParts: [Int] { parts.all.indices.filter { parts.all[$0].isCut } }

    /// The task that counts the lines of a part.
    func counting(_ part: Int) -> RunTask.Kind { countsLines ? .lines(part: part) : .hash(part: part) }

    /// The task that says where a part begins, if it is a range of a file.
    private func borders(of part: Int) -> [RunTask.Kind] { parts.all[part].isCut ? [.borders] : [] }

    private mutating func addLines() {
        for part in cutParts { add(.lines(part: part), after: []) }
        add(.borders, after: cutParts.map(counting))
    }

    private mutating func addDedupe() {
        guard buckets > 0 else { return }
        add(inParts({ .hash(part: $0) }) { countsLines ? borders(of: $0) : [] })
        let cut = cutParts
        if !countsLines, !cut.isEmpty { add(.borders, after: cut.map(counting)) }
        let hashes = allParts { .hash(part: $0) } + (cut.isEmpty ? [] : [.borders])
        guard run.comparesContents else {
            for bucket in 0..<buckets { add(.duplicates(bucket: bucket), after: hashes) }
            return
        }
        for bucket in 0..<buckets { add(.candidates(bucket: bucket), after: hashes) }
        let candidates = (0..<buckets).map { RunTask.Kind.candidates(bucket: $0) }
        add(inParts({ .contents(part: $0) }) { _ in candidates })
        let contents = allParts { .contents(part: $0) }
        for bucket in 0..<buckets { add(.duplicates(bucket: bucket), after: contents) }
    }

    private mutating func add(_ round: RunOutline.Round) {
        let number = round.number
        if round.hasTransforms {
            add(inParts({ .transform(round: number, part: $0) }) { after(number - 1, $0) })
        }
        switch round.last {
        case .survey?:
            add(inParts({ .observe(round: number, part: $0) }) { transformed(number, $0) })
            addMerging(.learn(round: number), of: addMerges(number))
        case .selection?: addSelection(number)
        case nil: break
        }
    }

    private mutating func addSelection(_ number: Int) {
        add(inParts({ .count(round: number, part: $0) }) { transformed(number, $0) })
        add(.divide(round: number), after: allParts { .count(round: number, part: $0) })
        add(inParts({ .gather(round: number, part: $0) }) { _ in [.divide(round: number)] })
        let gathered = allParts { .gather(round: number, part: $0) }
        for bundle in 0..<bundles { add(.select(round: number, bundle: bundle), after: gathered) }
        let selected = (0..<bundles).map { RunTask.Kind.select(round: number, bundle: $0) }
        add(inParts({ .settle(round: number, part: $0) }) { _ in selected })
    }

    /// Merges summaries until few enough are left.
    private mutating func addMerges(_ round: Int) -> [RunTask.Kind] {
        var summaries = allParts { .observe(round: round, part: $0) }
        var level = 1
        while summaries.count > Self.fanIn {
            let groups = stride(from: 0, to: summaries.count, by: Self.fanIn).map {
                Array(summaries[$0..<min($0 + Self.fanIn, summaries.count)])
            }
            for (index, group) in groups.enumerated() {
                addMerging(.merge(round: round, level: level, index: index), of: group)
            }
            summaries = groups.indices.map { .merge(round: round, level: level, index: $0) }
            level += 1
        }
        return summaries
    }

    /// The tasks whose summaries a merge, or `learn`, reads.
    func summaries(of task: RunTask.Kind) -> [RunTask.Kind] { summaries[task] ?? [] }

    private mutating func addMerging(_ task: RunTask.Kind, of all: [RunTask.Kind]) {
        add(task, after: all)
        summaries[task] = all
    }

    // MARK: Dependencies

    /// The tasks after which the rows of a part are known after a round.
    private func after(_ round: Int, _ part: Int) -> [RunTask.Kind] {
        guard round > 0 else { return [.tally] }
        let outline = rounds[round - 1]
        return switch outline.last {
        case .survey?: [.learn(round: round)] + transformed(round, part)
        case .selection?: [.settle(round: round, part: part)]
        case nil: transformed(round, part)
        }
    }

    /// The tasks after which the transforms of a round are done.
    private func transformed(_ round: Int, _ part: Int) -> [RunTask.Kind] {
        rounds[round - 1].hasTransforms ? [.transform(round: round, part: part)] : after(round - 1, part)
    }

    private func allParts(_ kind: (Int) -> RunTask.Kind) -> [RunTask.Kind] { (0..<parts.count).map(kind) }

    /// A task of each part, and those after which it may run.
    private func inParts(
        _ kind: (Int) -> RunTask.Kind, after: (Int) -> [RunTask.Kind]
    ) -> [(kind: RunTask.Kind, after: [RunTask.Kind])] {
        (0..<parts.count).map { (kind($0), after($0)) }
    }

    private mutating func add(_ tasks: [(kind: RunTask.Kind, after: [RunTask.Kind])]) {
        for task in tasks { add(task.kind, after: task.after) }
    }

    private mutating func add(_ kind: RunTask.Kind, after: [RunTask.Kind]) {
        let (files, bytes): ([InputCatalog.File], Int) =
            switch kind {
            case .lines(let part), .hash(let part), .contents(let part), .read(let part), .write(let part):
                (Array(run.catalog.files[parts.all[part].files]), parts.bytes(of: part, run.catalog))
            case .digest(let file): ([run.catalog.files[file]], Int(run.catalog.files[file].size))
            default: ([], 0)
            }
        let outputs = kind == .finish ? [ResultFile.manifest] : [TaskFiles.mark(of: kind)]
        tasks.append(
            RunTask(
                id: kind.id, phase: kind.phase, kind: kind,
                inputs: files.map(\.name) + after.map { TaskFiles.mark(of: $0) }, outputs: outputs,
                leases: leases(of: kind), threads: run.options.threads,
                bytes: bytes))
    }

    // MARK: Memory

    /// Bytes of what surveys leave, at most.
    private var learned: Int {
        run.outline.later.reduce(0) { sum, work in
            guard case .survey(let survey) = work.body else { return sum }
            return sum + survey.memory(run.stage(work.link, memory: run.shares.most)).leaves
        }
    }

    /// What a task takes of the budget. How much work over columns takes is known once the columns are: it may take all
    /// that is left.
    private func leases(of kind: RunTask.Kind) -> [RunTask.Lease] {
        let shares = run.shares
        let parts: [MemoryShares.Part]
        switch kind {
        case .lines: parts = shares.reading(hasTable: false)
        case .hash, .candidates, .duplicates: parts = shares.spilling
        case .contents: parts = shares.comparing
        case .read: parts = shares.reading(hasTable: false)
        case .write: parts = shares.writing
        case .borders, .digest, .tally: parts = []
        // What surveys learned is read whole, and bodies are made of it.
        case .settle, .finish: parts = MemoryShares.left(2 * learned)
        case .transform, .observe, .merge, .learn, .count, .divide, .gather, .select:
            let held = shares.always.reduce(0) { $0 + $1.bytes }
            parts = [MemoryShares.Part(name: "rows or groups in work", bytes: max(0, shares.total - held))]
        }
        return (shares.always + parts).filter { $0.bytes > 0 }.map { RunTask.Lease(name: $0.name, bytes: $0.bytes) }
    }
}
