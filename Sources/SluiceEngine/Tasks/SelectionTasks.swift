import SluiceCore
import SluiceIO

/// The tasks of a selection: its groups are counted part by part and divided among bundles; the rows of each part are
/// sorted by bundle; each bundle is chosen from; and what was decided comes back to the parts.
struct SelectionTasks {
    let site: TaskSite
    let round: Rounds.Round
    let selection: any Selection
    let link: StageChain.Link

    private var run: RunContext { site.run }
    private var files: TaskFiles { site.files }

    /// - Throws: `EngineError` if the round has no selection.
    init(_ site: TaskSite, _ number: Int) throws {
        guard let round = try site.round(number), let last = round.last, case .selection(let selection) = last.body
        else { throw TaskRunner.otherWork(number) }
        (self.site, self.round, self.selection, self.link) = (site, round, selection, last.link)
    }

    /// The columns of the selection that anything reads.
    var writes: [ColumnSpec] { RowRound.writes(selection, link, run) }

    /// Leases the memory of a task, which may need more later.
    func leasing<Result>(_ body: (SelectionMemory) throws -> Result) throws -> Result {
        let leases = try run.begin(link.label, round.left + run.shares.choosing)
        defer { leases.giveBack() }
        let memory = SelectionMemory(selection, link, run, beside: round.left)
        defer { memory.giveBack() }
        return try body(memory)
    }

    // MARK: Groups

    /// The rows of a part that reach the selection.
    private func phase(_ part: Int, _ memory: SelectionMemory) throws -> SelectionPhase {
        let tally: Tally = try files.result(of: .tally)
        let rows = try site.rows(of: part..<(part + 1), before: round.number, transformed: true)
        return SelectionPhase(
            memory: memory, run: run,
            rows: RowRound.Rows(
                store: rows.store, live: try link.gate?.rows(of: rows.live, in: rows.store) ?? rows.live,
                ledger: rows.ledger),
            fieldNames: tally.fieldNames, writes: writes, folder: files.scratch("rows-\(round.number).\(part)"))
    }

    func count(_ part: Int) throws {
        try leasing { memory in
            let phase = try phase(part, memory)
            let census = try memory.named { try phase.census().take(isPart: true) }
            let types = try phase.types(isEmpty: census.table.count == 0)
            try files.finish(
                .count(round: round.number, part: part),
                PartGroups(
                    labels: census.keys.labels, table: census.table, longest: census.longest,
                    types: types.keys.sorted().map { ColumnSpec($0, types[$0] ?? .integer) }))
        }
    }

    func divide() throws {
        try leasing { memory in
            var labels = try LabelCollector { bytes, count in
                try memory.need(bytes, " for \(count) labels by which it groups")
            }
            try forEachPart { part in try part.labels.forEach { try labels.add($0) } }
            let all = try labels.labels()
            var table = GroupTable(keys: [], sizes: [])
            var (longest, types) = (0, [ColumnSpec]())
            try forEachPart { part in
                let own = try part.table(in: all)
                try memory.need(
                    all.size + 2 * (GroupTable.bytes(table.count + own.count) + 8 * (table.count + own.count)),
                    " for a table of \(table.count + own.count) groups")
                guard let sum = table.merged(with: own) else {
                    throw EngineError(
                        .data,
                        "stage `\(link.label)`: the sum of the column `\(selection.weights?.name ?? "")` over a group exceeds 2^63"
                    )
                }
                table = sum
                longest = max(longest, part.longest)
                if types.isEmpty { types = part.types }
            }
            let census = try census(all, table, longest, memory)
            let plan = GroupPlan(
                census, quotas: try memory.quotas(for: census), types: types, bundles: site.list.bundles)
            try files.finish(.divide(round: round.number), plan)
        }
    }

    private func forEachPart(_ body: (PartGroups) throws -> Void) throws {
        for part in 0..<site.parts.count {
            try body(try files.result(of: .count(round: round.number, part: part)))
        }
    }

    /// The groups of all parts; refuses a field that no record has.
    private func census(
        _ labels: GroupLabels, _ table: GroupTable, _ longest: Int, _ memory: SelectionMemory
    ) throws -> GroupCensus.Result {
        // Any part knows what the groups are made of, unless it has no rows.
        let tally: Tally = try files.result(of: .tally)
        let phase = try phase(tally.rows.firstIndex { $0 > 0 } ?? 0, memory)
        var keys = GroupKeys(selection.grouping, in: phase.rows.store)
        if keys.hasLabels { keys.adopt(labels) }
        try memory.named {
            try phase.census().refuseUnknownField(keys, records: table.sizes.reduce(0, +))
        }
        return GroupCensus.Result(keys: keys, table: table, longest: longest)
    }

    func plan() throws -> GroupPlan { try files.result(of: .divide(round: round.number)) }

    // MARK: Rows by bundle

    /// The file of a part's rows, by bundle.
    func rowsFile(_ part: Int) -> (path: String, label: SectionLabel) {
        let kind = RunTask.Kind.gather(round: round.number, part: part)
        return (
            files.data(kind),
            SectionLabel(
                kind: "SLUICEr1", plan: site.run.plan, number: round.number << 32 | part, sections: site.list.bundles)
        )
    }

    func gather(_ part: Int) throws {
        try leasing { memory in
            let plan = try plan()
            let phase = try phase(part, memory)
            let tally: Tally = try files.result(of: .tally)
            let own: PartGroups = try files.result(of: .count(round: round.number, part: part))
            var keys = GroupKeys(selection.grouping, in: phase.rows.store)
            if let labels = plan.labels { keys.adopt(labels) }
            let sorted = try BundledRows(
                plan, own.table(in: plan.labels ?? GroupLabels()), memory, run, folder: phase.folder)
            defer { sorted.remove() }
            try phase.gather(keys, phase.census(), first: tally.rows(before: part)) { key in
                Int32(plan.bundle(of: key.flatMap { plan.table.index(of: $0) } ?? 0))
            } add: { columns, bundles in
                try sorted.add(columns, bundles)
            }
            let (path, label) = rowsFile(part)
            try sorted.write(to: path, label)
            try files.finish(.gather(round: round.number, part: part), Done())
        }
    }
}

/// The rows of a part, sorted by bundle on disk.
private struct BundledRows {
    private let groups: GroupStore
    /// The section of each bundle in the store; empty bundles have none.
    private let sections: [Int: Int]
    private let names: [ColumnName]
    private let rowBytes: Int
    private let bundles: Int
    private let fileSystem: FileSystem

    init(
        _ plan: GroupPlan, _ own: GroupTable, _ memory: SelectionMemory, _ run: RunContext, folder: String
    ) throws {
        var counts = [Int](repeating: 0, count: plan.bundles.count)
        for (index, size) in own.sizes.enumerated() {
            let group = own.keys.isEmpty ? 0 : plan.table.index(of: own.keys[index]) ?? 0
            counts[plan.bundle(of: group)] += size
        }
        var sections: [GroupStore.Section] = []
        var places: [Int: Int] = [:]
        var row = 0
        for (bundle, groups) in plan.bundles.enumerated() where !groups.isEmpty {
            places[bundle] = sections.count
            sections.append(GroupStore.Section(groups: groups, rows: row..<(row + counts[bundle])))
            row += counts[bundle]
        }
        var types = GroupStore.types(Dictionary(uniqueKeysWithValues: plan.types.map { ($0.name, $0.type) }))
        if plan.isAll { types[GroupStore.key] = nil }
        let buffers = GroupStore.bufferBytes(1 << 20, sections: sections.count, types)
        try memory.need(
            GroupTable.bytes(plan.table.count) + (plan.labels?.size ?? 0) + buffers + 2 * MemoryShares.perBlock
                + plan.longest, " to sort rows by \(sections.count) bundles of groups")
        groups = try GroupStore(
            table: plan.table, sections: sections, types: types, folder: folder, bufferBytes: buffers,
            fileSystem: run.fileSystem)
        self.sections = places
        names = types.keys.sorted()
        rowBytes = GroupStore.rowBytes(types)
        bundles = plan.bundles.count
        fileSystem = run.fileSystem
    }

    func add(_ columns: [(name: ColumnName, column: Column)], _ bundles: [Int32]) throws {
        try groups.append(
            columns.filter { names.contains($0.name) },
            sections: bundles.map { $0 < 0 ? -1 : Int32(sections[Int($0)] ?? -1) })
    }

    /// Writes the file with a section for each bundle.
    func write(to path: String, _ label: SectionLabel) throws {
        try groups.finish()
        var writer = try SectionFileWriter(path, label, fileSystem: fileSystem)
        let most = max(1, MemoryShares.perBlock / 2 / max(1, rowBytes))
        for bundle in 0..<bundles {
            try writer.begin(section: bundle)
            guard let section = sections[bundle] else { continue }
            let rows = groups.sections[section].rows
            var start = rows.lowerBound
            while start < rows.upperBound {
                let range = start..<min(start + most, rows.upperBound)
                let chunk = RowChunk(try names.map { ($0, try groups.column($0, range)) })
                try chunk.encoded.withUnsafeBytes { try writer.append($0) }
                start = range.upperBound
            }
        }
        try writer.finish()
    }

    func remove() { try? groups.remove() }
}
