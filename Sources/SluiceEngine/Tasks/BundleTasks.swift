import SluiceCore
import SluiceIO

extension SelectionTasks {
    // MARK: Choosing

    /// The file of what a bundle's task decided about rows, by part.
    func decidedFile(_ bundle: Int) -> (path: String, label: SectionLabel) { file("decided", "SLUICEs1", bundle) }

    /// The file of ledger lines of the dropped ones, by part.
    func lostFile(_ bundle: Int) -> (path: String, label: SectionLabel) { file("lost", "SLUICEl1", bundle) }

    private func file(_ name: String, _ kind: StaticString, _ bundle: Int) -> (path: String, label: SectionLabel) {
        let task = RunTask.Kind.select(round: round.number, bundle: bundle)
        return (
            "\(site.files.data(task)).\(name)",
            SectionLabel(
                kind: kind, plan: site.run.plan, number: round.number << 32 | bundle, sections: site.parts.count)
        )
    }

    func select(_ bundle: Int) throws {
        let kind = RunTask.Kind.select(round: round.number, bundle: bundle)
        try leasing { memory in
            let plan = try plan()
            let scratch = site.files.scratch(kind.id)
            let ledger = LedgerRuns(
                folder: site.run.work, shareBytes: site.run.shares.ledger, fileSystem: site.fileSystem)
            try ledger.begin("\(kind.id).\(site.files.attempt)")
            let census = plan.census(of: bundle)
            let work = GroupSelection.Work(
                census: census, quotas: Array(plan.quotas[plan.bundles[bundle]]), writes: writes, ledger: ledger,
                folder: scratch)
            try memory.need(plan.size, " for \(plan.table.count) groups")
            let groups = GroupSelection(work, memory, site.run, deciding: Decisions(writes: writes))
            defer { groups.removeFiles() }
            if census.table.count > 0 {
                let types = Dictionary(uniqueKeysWithValues: plan.types.map { ($0.name, $0.type) })
                try groups.choose(types: types) { try load(bundle, census, into: $0) }
            }
            try write(groups.decisions, bundle)
            try write(ledger.merged(isStopped: site.run.isStopped), bundle)
            try site.files.finish(kind, BundleResult(account: groups.account, reports: groups.reports))
        }
    }

    /// Adds the bundle's rows of all parts, in the order of the input.
    private func load(_ bundle: Int, _ census: GroupCensus.Result, into store: GroupStore) throws {
        for part in 0..<site.parts.count {
            let (path, label) = rowsFile(part)
            let section = try SectionReader(path, label, section: bundle, fileSystem: site.fileSystem)
            var reader = section.values()
            // Reading on may find damage, too.
            while try Self.damage(path, { () throws(StageError) in try reader.hasMore() }) {
                if site.run.isStopped() { throw EngineError.stopped }
                let chunk = try Self.damage(path) { () throws(StageError) in try reader.read(RowChunk.self) }
                let keys = chunk.columns.first { $0.name == GroupStore.key }?.column
                let sections: [Int32] =
                    if case .integers(let keys)? = keys { keys.map { store.section(of: $0) } } else {
                        [Int32](repeating: 0, count: chunk.count)
                    }
                try store.append(chunk.columns, sections: sections)
            }
        }
    }

    private static func damage<Result>(
        _ path: String, _ body: () throws(StageError) -> Result
    ) throws(IOFailure) -> Result {
        do throws(StageError) { return try body() } catch {
            throw IOFailure(.corruptWorkFile, path: path, found: error.message)
        }
    }

    private func write(_ decisions: Decisions, _ bundle: Int) throws {
        let tally: Tally = try site.files.result(of: .tally)
        let (path, label) = decidedFile(bundle)
        var writer = try SectionFileWriter(path, label, fileSystem: site.fileSystem)
        let dropped = decisions.dropped.sorted()
        var first = 0
        for part in 0..<site.parts.count {
            try writer.begin(section: part)
            let rows = first..<(first + tally.rows[part])
            let decided = PartDecisions(
                dropped: dropped.slice(rows).map { $0 - first }, columns: decisions.columns.slice(rows))
            try decided.encoded.withUnsafeBytes { try writer.append($0) }
            first = rows.upperBound
        }
        try writer.finish()
    }

    private func write(_ lines: LedgerMerge, _ bundle: Int) throws {
        let (path, label) = lostFile(bundle)
        var writer = try SectionFileWriter(path, label, fileSystem: site.fileSystem)
        let firsts = try site.ordinals().map(\.first)
        var part = 0
        while let next = lines.nextOrdinal {
            while part + 1 < firsts.count, firsts[part + 1] <= next.rawValue { part += 1 }
            try writer.begin(section: part)
            var entry: [UInt8] = next.rawValue.encoded
            try lines.takeLine(into: &entry)
            try (UInt32(entry.count).encoded + entry).withUnsafeBytes { try writer.append($0) }
        }
        try writer.finish()
    }

    // MARK: Back to the parts

    /// Writes what was decided about a part's rows.
    func settle(_ part: Int) throws {
        let rows = try site.rows(of: part..<(part + 1), before: round.number, transformed: true)
        var live = rows.live
        var columns = SelectionColumns(writes)
        for bundle in 0..<site.list.bundles {
            let (path, label) = decidedFile(bundle)
            let section = try SectionReader(path, label, section: part, fileSystem: site.fileSystem)
            var reader = section.values()
            let decided = try Self.damage(path) { () throws(StageError) in
                try reader.readDecisions(rows: rows.store.rows, writes)
            }
            for row in decided.dropped { live.remove(row) }
            columns.append(decided.columns)
        }
        columns.sort()
        let passing = try link.gate.map { rows.live.subtracting(try $0.rows(of: rows.live, in: rows.store)) }
        try rows.store.write(columns, passing: passing, round: round.number)
        let types = Dictionary(uniqueKeysWithValues: writes.map { ($0.name, $0.type) })
        let states = RoundFiles(round.number, of: .selection, in: site.run)
        for shard in rows.store.shards {
            let state = ShardState(live: live.slice(shard.rows), account: Account(), runs: [], types: types)
            try states.write(state, of: shard.id)
        }
        try site.files.finish(
            .settle(round: round.number, part: part), SelectionReach(before: rows.live.count, after: live.count))
    }

    /// Ledger lines of a part's records that the selection dropped, one source for each bundle.
    func lost(_ part: Int) throws -> [any LedgerSource] {
        try (0..<site.list.bundles).map { bundle in
            let (path, label) = lostFile(bundle)
            return LostLines(try SectionReader(path, label, section: part, fileSystem: site.fileSystem), path)
        }
    }

    // MARK: Findings

    /// What the selection found out, for the manifest.
    func findings() throws -> SelectionFindings {
        let plan = try plan()
        var (account, before, after) = (Account(), 0, 0)
        for bundle in 0..<site.list.bundles { account.add(try result(bundle).account) }
        for part in 0..<site.parts.count {
            let reach: SelectionReach = try site.files.result(of: .settle(round: round.number, part: part))
            (before, after) = (before + reach.before, after + reach.after)
        }
        let all = BundleReports(tasks: self)
        let memory = SelectionMemory(selection, link, site.run, beside: round.left)
        let (report, warnings) = try SelectionPhase.report(
            selection, all.reports(of: plan.table.count) { plan.key($0) }, memory
        ) { nil }
        if let failure = all.failure { throw failure }
        return SelectionFindings(account: account, report: report, warnings: warnings, before: before, after: after)
    }

    func result(_ bundle: Int) throws -> BundleResult {
        try site.files.result(of: .select(round: round.number, bundle: bundle))
    }
}

/// The reports of all groups, read bundle by bundle.
private final class BundleReports: @unchecked Sendable {
    // @unchecked: one thread at a time makes a report of them.
    private let tasks: SelectionTasks
    /// The error of reading them: an iterator can't throw.
    private(set) var failure: (any Error)?

    init(tasks: SelectionTasks) { self.tasks = tasks }

    func reports(of count: Int, key: @escaping @Sendable (Int) -> GroupKey) -> GroupReports {
        GroupReports(count: count) { [self] in
            var (bundle, index) = (0, 0)
            var chunk = GroupReportChunk().makeReader()
            return AnyIterator {
                while true {
                    if let (size, kept, report) = chunk.next() {
                        defer { index += 1 }
                        return GroupReport(key: key(index), size: size, kept: kept, report: report)
                    }
                    guard bundle < self.tasks.site.list.bundles else { return nil }
                    do { chunk = try self.tasks.result(bundle).reports.makeReader() } catch {
                        self.failure = error
                        return nil
                    }
                    bundle += 1
                }
            }
        }
    }
}

/// Ledger lines in a section of a file.
private final class LostLines: LedgerSource {
    private let section: SectionReader
    private let path: String

    init(_ section: SectionReader, _ path: String) { (self.section, self.path) = (section, path) }

    func next(_ body: (UnsafeRawBufferPointer) -> Void) throws(IOFailure) -> Bool {
        guard section.remaining > 0 else { return false }
        let length = UInt32(littleEndian: try section.next(4).loadUnaligned(as: UInt32.self))
        body(try section.next(Int(length)))
        return true
    }
}

extension SectionReader {
    /// A reader of the values in the section.
    func values() -> ByteReader {
        ByteReader { [self] () throws(StageError) in
            do throws(IOFailure) {
                return Array(try next(Int(min(remaining, 64 << 10))))
            } catch {
                throw StageError(.invalidData, error.description)
            }
        }
    }
}
