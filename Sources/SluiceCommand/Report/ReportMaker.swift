import SluiceCore
import SluiceEngine

/// Makes the report of one run: what `run.json` says, then one pass over the input, and another for the partners of pairs.
struct ReportMaker {
    let reader: RunReader
    let definition: Definition
    /// The field by which records are counted.
    let label: String?
    let threads: ClosedRange<Int>
    let parallel: Parallel
    private static let mostPairs = 40

    /// Whether the memory of the definition is one that a person has asked for.
    let isLimited: Bool

    /// The report, and the memory that was allowed for it.
    ///
    /// - Throws: if no record has the label, or if memory or disk don't suffice. What can't be read again is missing from the
    ///   report, with the reason.
    func make() throws -> (report: RunReport, memory: Int) {
        var report = RunReport(manifest: reader.manifest, name: reader.path)
        try addMalformed(&report)
        let embedding = try? RunVectors.embedding(of: definition, registry: Environment.registry)?.stage
        report.pool = RunDefinition.poolDigest(of: reader.manifest, through: embedding ?? definition.stages.count)
        guard let pass = try openPass(hasVectors: embedding != nil, &report) else {
            return (report, definition.memory)
        }
        try fill(&report, from: pass)
        try reader.expectSameResult()
        return (report, pass.memory)
    }

    /// The pass over the input: without vectors if the run has none that can be computed again, nil if the input can't be
    /// read again.
    private func openPass(hasVectors: Bool, _ report: inout RunReport) throws -> RunPass? {
        func miss(_ figures: [RunReport.Figure], _ sentence: String) {
            report.missing += figures.map { .init(figure: $0, sentence: sentence) }
        }
        if hasVectors {
            do {
                return try RunPass(reader, definition, registry: Environment.registry, request(.column(nil)))
            } catch let error as EngineError where error.code == .definition || error.code == .data {
                // Whether the inputs are at fault shows when they are read without vectors.
                miss([.map, .curve], error.message)
            }
        } else {
            miss([.map, .curve], "The run has no vectors: none of its stages writes them.")
        }
        do { return try RunPass(reader, definition, registry: Environment.registry, request(.none)) } catch let error
            as EngineError where error.code == .definition || error.code == .data
        {
            let why = "The input can't be read again: \(error.message)"
            report.missing.removeAll { $0.figure == .map || $0.figure == .curve }
            miss([.map, .curve, .labels, .files, .distances, .pairs, .samples], why)
            return nil
        }
    }

    private func request(_ vectors: RunPass.Request.Vectors) -> RunPass.Request {
        var request = RunPass.Request()
        request.vectors = vectors
        request.label = label.map { FieldPath($0) }
        request.threads = threads
        request.isLimited = isLimited
        request.held = { ReportCollector.memory(dimension: $0) }
        request.after = { ReportGeometry.memory(dimension: $0) }
        return request
    }

    private func fill(_ report: inout RunReport, from pass: RunPass) throws {
        let certified = report.certificates.last { !$0.groups.isEmpty }
        var collector = try ReportCollector(
            files: pass.fileNames, dimension: pass.dimension, picks: try reader.lines(of: ResultFile.picks),
            ranks: try rankSteps(), groupColumn: certified?.per,
            groups: certified?.groups.map(\.key) ?? [])
        do {
            try pass.run { try collector.add($0) }
        } catch let error as EngineError where error.code == .data && !pass.hasDamagedLedger {
            report.missing += [RunReport.Figure.map, .curve, .labels, .files, .distances, .pairs, .samples].map {
                .init(figure: $0, sentence: "The input has changed since the run: \(error.message)")
            }
            return
        }
        report.files = collector.files
        report.distances = collector.distances
        if collector.distances.isEmpty {
            report.missing.append(.init(figure: .distances, sentence: "No stage dropped records by their distance."))
        }
        addLabels(&report, collector, pass.fieldNames)
        let fields = Set(pass.stageFields.compactMap(\.keys.first))
        addWords(&report, collector, fields)
        try addRecords(&report, collector, pass.fileNames)
        guard pass.dimension > 0 else { return }
        let geometry = ReportGeometry(collector, dimension: pass.dimension, parallel: parallel)
        report.map = try geometry.map(fields: fields)
        report.curve = try geometry.curve(steps: try rankSteps())
        if report.map == nil { report.missing.append(.init(figure: .map, sentence: "Too few records have a vector.")) }
        if report.curve.isEmpty {
            report.missing.append(
                .init(
                    figure: .curve,
                    sentence: "The run has no ranks; `coreset` with a method such as farthest-first writes them."))
        }
    }

    private func rankSteps() throws -> RankSteps? {
        let records = reader.manifest["counts"]?["read"]?.integerValue ?? 0
        return try reader.lines(of: ResultFile.picks).flatMap { try RankSteps($0, records: records) }
    }

    private func addLabels(_ report: inout RunReport, _ collector: ReportCollector, _ names: [String]) {
        guard let field = label else {
            let known = names.isEmpty ? "" : " The first record has \(names.prefix(12).joined(separator: ", "))."
            report.missing.append(
                .init(figure: .labels, sentence: "Give the field that holds the label with --label FIELD.\(known)"))
            return
        }
        guard !collector.hasTooManyLabels else {
            report.missing.append(
                .init(
                    figure: .labels,
                    sentence:
                        "`\(field)` has more than \(Format.count(ReportCollector.mostLabels)) different values; choose a field with fewer."
                ))
            return
        }
        let all = collector.labels.values.sorted { ($1.read, $0.name) < ($0.read, $1.name) }
        let lost = all.filter { $0.kept == 0 }
        report.labels = RunReport.LabelTable(
            field: field, listed: Array(all.prefix(200)), values: all.count, reached: all.count - lost.count,
            lost: Array(lost.prefix(20)))
    }

    private func addWords(_ report: inout RunReport, _ collector: ReportCollector, _ fields: Set<String>) {
        guard let index = report.certificates.lastIndex(where: { !$0.groups.isEmpty }) else { return }
        var texts: [(group: Int, words: Set<String>)] = []
        let groups = report.certificates[index].groups
        for (number, group) in groups.enumerated() {
            for text in collector.groups[group.key]?.lowest ?? [] { texts.append((number, text.words(of: fields))) }
        }
        let words = TypicalWords.find(texts, groups: groups.count, most: 3)
        for number in groups.indices { report.certificates[index].groups[number].words = words[number] }
    }

    private func addRecords(_ report: inout RunReport, _ collector: ReportCollector, _ names: [String]) throws {
        let order = report.stages.map(\.stage)
        let lost = collector.lost.sorted {
            (order.firstIndex(of: $0.stage) ?? 0, $1.count, $0.reason)
                < (order.firstIndex(of: $1.stage) ?? 0, $0.count, $1.reason)
        }
        report.samples =
            [
                RunReport.RecordSample(
                    stage: nil, reason: nil, count: report.counts.kept,
                    records: collector.kept.lowest.map { $0.shown(names) })
            ]
            + lost.map { lost in
                RunReport.RecordSample(
                    stage: lost.stage, reason: lost.reason, count: lost.count,
                    records: lost.texts.lowest.map { $0.shown(names) })
            }
        let pairs = lost.flatMap { lost -> [(lost: ReportCollector.Lost, pair: ReportCollector.Pair)] in
            let near = lost.near.lowest
            let others = lost.pairs.lowest.filter { pair in !near.contains { $0.lost.ordinal == pair.lost.ordinal } }
            return (near + others.prefix(near.isEmpty ? 2 : 1)).map { (lost, $0) }
        }
        .prefix(Self.mostPairs)
        let partners = try self.partners(Set(pairs.map(\.pair.kept)))
        report.pairs = pairs.compactMap { lost, pair in
            partners[pair.kept].map {
                RunReport.RecordPair(
                    stage: lost.stage, reason: lost.reason, distance: pair.distance, lost: pair.lost.shown(names),
                    kept: $0.shown(names))
            }
        }
        if report.pairs.isEmpty {
            report.missing.append(
                .init(figure: .pairs, sentence: "No stage dropped a record in favour of another one."))
        }
    }

    /// The records at some places, by another pass without vectors.
    private func partners(_ places: Set<Ordinal>) throws -> [Ordinal: RecordText] {
        guard !places.isEmpty else { return [:] }
        var found: [Ordinal: RecordText] = [:]
        var request = request(.none)
        request.label = nil
        try RunPass(reader, definition, registry: Environment.registry, request).run { record in
            if places.contains(record.ordinal) { found[record.ordinal] = RecordText(record) }
        }
        return found
    }

    private func addMalformed(_ report: inout RunReport) throws {
        guard report.counts.quarantined > 0, let lines = try reader.lines(of: ResultFile.quarantine) else { return }
        // The first of each kind of error: malformed lines have no content to draw by.
        var seen: [String: Int] = [:]
        while report.malformedLines.count < 12, let line = try lines.next() {
            let error = line["error"]?.textValue ?? ""
            guard seen.count < 100, seen[error, default: 0] < 2 else { continue }
            seen[error, default: 0] += 1
            let raw = line["raw"]?.textValue ?? "(bytes that are not UTF-8)"
            report.malformedLines.append(
                .init(
                    place: "\(line["file"]?.textValue ?? ""):\(line["line"]?.integerValue ?? 0)", error: error,
                    text: RecordText.cut(raw)))
        }
    }
}
