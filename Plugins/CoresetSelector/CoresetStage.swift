import SluiceBudgets
public import SluiceCore
import SluiceGeometry

/// Keeps a few records that cover all records.
///
/// A group's budget is met exactly, the pick order becomes `rank`, and every dropped record names the nearest kept one.
/// The report states the radius and a lower bound that no choice can beat.
public struct CoresetStage: Stage, Selection {
    private static let defaultPart = 65_536
    private static let defaultReservoir = 65_536
    /// The least number of readings of the vectors that two rounds save, as measured (docs/architecture.md).
    private static let readingsSaved = 8.0

    private let budget: GroupBudget
    private let method: Method
    private let trim: Quantity
    private let part: Int?
    private let already: EarlierFile?
    private let reservoir: Int?
    private let score: ColumnName?
    private let scoreField: FieldPath?
    private let distance: Double
    private let certifying: Certifying
    private let vectors: ColumnName
    /// The vectors of `already`, read before the run begins.
    private var earlier: Earlier?

    public init(options: OptionValues) throws(StageError) {
        budget = try GroupBudget(options: options)
        guard let method = Method(rawValue: try options.text("method")) else {
            throw .option("method", "unknown method `\(try options.text("method"))`")
        }
        self.method = method
        trim = try options.quantity("trim")
        let isComposable = try options.text("rounds") == "composable"
        part = isComposable ? (options["part"] == nil ? Self.defaultPart : try options.integer("part")) : nil
        already = options["already"] == nil ? nil : EarlierFile(try options.text("already"))
        reservoir =
            options["reservoir"] == nil
            ? (method == .facilityLocation ? Self.defaultReservoir : nil) : try options.integer("reservoir")
        score = options["score"] == nil ? nil : ColumnName(try options.text("score"))
        scoreField = options["score_field"] == nil ? nil : FieldPath(try options.text("score_field"))
        distance = options["distance"] == nil ? 0.1 : try options.real("distance")
        vectors = ColumnName(try options.text("vectors"))
        certifying = Certifying(rawValue: try options.text("certificate")) ?? .auto
        try Self.checkCompany(of: method, options, isComposable: isComposable, trims: !trim.isZero)
    }

    /// Refuses options of other methods.
    private static func checkCompany(
        of method: Method, _ options: OptionValues, isComposable: Bool, trims: Bool
    ) throws(StageError) {
        func check(_ option: String, _ isGiven: Bool, with methods: [Method]) throws(StageError) {
            guard isGiven, !methods.contains(method) else { return }
            let names = methods.map { "`method: \($0.rawValue)`" }.joined(separator: " or ")
            throw .option(option, "`\(option)` goes with \(names), not with `\(method.rawValue)`")
        }
        try check("trim", trims, with: [.farthestFirst])
        try check("rounds", isComposable, with: [.farthestFirst])
        try check("certificate", options["certificate"] != "auto", with: [.farthestFirst, .facilityLocation])
        try check("already", options["already"] != nil, with: [.farthestFirst])
        try check("reservoir", options["reservoir"] != nil, with: [.medoids, .sensitivity, .facilityLocation])
        for option in ["score", "score_field", "distance"] {
            try check(option, options[option] != nil, with: [.scoreFirst])
        }
        if options["part"] != nil, !isComposable { throw .option("part", "`part` goes with `rounds: composable`") }
        if trims, isComposable {
            throw .option("trim", "`trim` goes with `rounds: one`: the bound of two rounds holds only without it")
        }
        if method == .scoreFirst, (options["score"] == nil) == (options["score_field"] == nil) {
            throw .option(
                options["score"] == nil ? "method" : "score_field",
                "`score-first` needs exactly one of `score` (a column) and `score_field` (a field of the record)"
            )
        }
    }

    public var grouping: Grouping { budget.grouping }
    public var reads: [Input] {
        [.column(vectors, .vector)] + budget.reads
            + (score.map { [.column($0, .number)] } ?? []) + (scoreField.map { [.field($0)] } ?? [])
    }
    public var writes: [ColumnSpec] {
        [ColumnSpec(.rank, .integer)] + (scoreField == nil ? [] : [ColumnSpec(.score, .real)])
    }

    public func warnings(after columns: [ColumnSpec]) -> [String] {
        guard grouping == .all, method.covers, columns.last(where: { $0.name == vectors })?.isSpelling == true else {
            return []
        }
        return [
            "`\(vectors.name)` sees how texts are spelled, not what they mean: the records kept cover spellings; `embed: {model: lsa}` learns which words go together"
        ]
    }

    /// - Throws: if the file of `already` can't be used; nothing else has been read by then.
    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        var selection = self
        if let already {
            selection.earlier = try already.read(
                dimension: context.dimension(of: vectors), memory: context.memory)
        }
        guard let scoreField else { return .selection(selection) }
        return .sequence([.transform(ScoreTransform(field: scoreField)), .selection(selection)])
    }

    /// The vectors of `already`.
    public var residentBytes: Int { earlier?.bytes ?? 0 }

    public var columns: [ColumnName] { [vectors] + (scoreColumn.map { [$0] } ?? []) }
    /// If too many records are close together, `score-first` can't meet its budget.
    public var mayKeepFewerThanQuota: Bool { method == .scoreFirst }

    private var scoreColumn: ColumnName? { score ?? scoreField.map { _ in .score } }

    public func quotas(for groups: Groups) throws(StageError) -> [Int] {
        let quotas = try budget.quotas(for: groups)
        if method == .facilityLocation, let reservoir, let most = quotas.max(), most > reservoir {
            throw StageError(
                .invalidData,
                "`keep` asks for \(most) records of a group but `facility-location` looks at only \(reservoir) of it; raise `reservoir`, or choose `medoids`"
            )
        }
        return quotas
    }

    public func memory(rows: Int, _ context: StageContext) -> Int {
        let dimension = context.dimension(of: vectors) ?? 0
        // Nearest picks, distances, marks and the outcome; the picks' vectors, twice; the candidates.
        var bytes = rows * 48 + budget.kept(of: rows) * 2 * dimension + (4 << 20)
        bytes += (earlier?.count ?? 0) * 2 * dimension
        if let part, rows > part {
            bytes +=
                part * (dimension + 24) + rows.quotientAndRemainder(dividingBy: part).quotient
                * min(part, budget.kept(of: rows)) * dimension
        }
        if let reservoir, method != .farthestFirst { bytes += min(rows, reservoir) * (dimension + 32) }
        if method == .scoreFirst { bytes += rows * 24 }
        if method == .farthestFirst, certifying.isTight(rows: rows) {
            let picks = budget.kept(of: rows)
            bytes +=
                DisjointBalls.memory(
                    rows: rows, candidates: Picker.candidates(rows: rows, picks: picks), dimension: dimension) + rows
                * 8
        }
        // The bounds and centres of k-means, and the packed centres.
        if [.medoids, .sensitivity].contains(method) {
            bytes += rows * 8 + min(budget.kept(of: rows), Picker.flatLimit) * (dimension + 64) * 4
        }
        // These need all vectors in memory.
        if needsAllVectors { bytes += rows * dimension }
        return bytes
    }

    private var needsAllVectors: Bool {
        reservoir == nil && [.medoids, .sensitivity, .facilityLocation].contains(method)
    }

    public func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] {
        let (rows, groups) = (estimate.records, estimate.groups)
        let dimension = context.dimension(of: vectors) ?? 0
        guard method == .farthestFirst, rows > 0 else { return [] }
        let size = max(1, rows / groups)
        let picks = max(1, min(size, budget.kept(of: rows) / groups)) + (earlier?.count ?? 0)
        let bytes = size * dimension
        let isResident = bytes <= estimate.resident
        func count(_ value: Double) -> String { Self.rounded(value) }
        let once = Double(size) * Double(picks) * Double(dimension) * Double(groups)
        let place =
            isResident
            ? "in memory"
            : "on disk: a group's \(MemorySize.describe(bytes)) exceed the \(MemorySize.describe(estimate.resident)) held in memory at a time"
        var lines = [
            "rounds: one: up to \(count(once)) multiply-adds; reads the vectors between a few times and once per pick, \(place)"
        ]
        let part = part ?? Self.defaultPart
        var certificate: [String] = []
        if certifying.isTight(rows: size), picks < size {
            let candidates = Picker.candidates(rows: size, picks: picks)
            let extra = Double(size) * Double(candidates) * Double(dimension) * Double(groups)
            certificate = ["certificate: tight: up to \(count(extra)) multiply-adds more"]
        }
        guard size > part, picks < part else {
            lines.append(
                "rounds: composable: no gain; \(size > part ? "the budget is no smaller than a part of \(part) records" : "a group fits in one part of \(part)")"
            )
            return lines + certificate
        }
        let union = Double(size / part + (size % part == 0 ? 0 : 1)) * Double(picks)
        let twice = 2 * once + union * Double(picks) * Double(dimension) * Double(groups)
        lines.append(
            "rounds: composable: up to \(count(twice)) multiply-adds; reads the vectors twice; \(isResident ? "not worth it while a group fits in memory" : "worth it where one reading takes longer than \(count((twice - once) / Self.readingsSaved)) multiply-adds")"
        )
        return lines + certificate
    }

    /// `3.2e12`: an estimate deserves no more digits.
    private static func rounded(_ value: Double) -> String {
        guard value >= 1000 else { return String(Int(value)) }
        var (figure, exponent) = (value, 0)
        while figure >= 9.95 { (figure, exponent) = (figure / 10, exponent + 1) }
        let tenths = Int((figure * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)e\(exponent)"
    }

    public func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let rows = Rows(source: try group.vectors(vectors))
        if let earlier, earlier.dimension != rows.dimension {
            throw .option(
                "already",
                "`already`: \(already?.path ?? ""): its vectors have \(earlier.dimension) components; `\(vectors.name)` has \(rows.dimension)"
            )
        }
        let picker = Picker(
            rows: rows, quota: min(quota, group.count), trim: trim.resolve(of: group.count), part: part,
            reservoir: reservoir,
            distance: distance, earlier: earlier, certifying: certifying, context: context,
            hashes: { () throws(StageError) in try group.hashes },
            scores: { () throws(StageError) in try scores(of: group) })
        let choice = try picker.pick(method)
        var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "not-selected")
        for (rank, row) in choice.picks.enumerated() { outcome.ranks[row] = Int32(rank) }
        guard !choice.picks.isEmpty else { return outcome }
        outcome.partners = choice.nearest.map { $0 < 0 ? -1 : Int32(choice.picks[Int($0)]) }
        for row in choice.picks { outcome.partners[row] = -1 }
        let quantizer = Quantizer(dimension: rows.dimension)
        outcome.measures = [("distance", choice.squaredDistances.map { quantizer.chord(fromSquared: $0) })]
        if let certificate = choice.certificate {
            outcome.report = .object(Self.report(certificate, method, trim: trim) + choice.notes)
        }
        return outcome
    }

    /// The scores of `score-first`; records without a number come last.
    private func scores(of group: Group) throws(StageError) -> [Double] {
        guard let name = scoreColumn else { return [] }
        return try group.numbers(name).map { $0.isNaN ? ScoreTransform.missing : $0 }
    }

    private static func report(_ certificate: Certificate, _ method: Method, trim: Quantity) -> [JSONValue.Entry] {
        var entries: [JSONValue.Entry] = [JSONValue.Entry("radius", .real(certificate.radius))]
        if !trim.isZero { entries.append(JSONValue.Entry("trimmed_radius", .real(certificate.trimmedRadius))) }
        if method == .farthestFirst {
            entries.append(JSONValue.Entry("lower_bound", .real(certificate.lowerBound)))
            entries.append(JSONValue.Entry("factor", certificate.factor.map { .real($0) } ?? .null))
        }
        entries += [
            JSONValue.Entry("mean_distance", .real(certificate.meanDistance)),
            JSONValue.Entry("median_distance", .real(certificate.median)),
            JSONValue.Entry("distance_90", .real(certificate.quantile90)),
            JSONValue.Entry("distance_99", .real(certificate.quantile99)),
        ]
        return entries
    }

    public func report(_ groups: GroupReports) -> JSONValue {
        let sums = GroupSums(groups)
        var entries: [JSONValue.Entry] = [
            JSONValue.Entry("method", .text(method.rawValue)), JSONValue.Entry("records", .integer(sums.records)),
            JSONValue.Entry("kept", .integer(sums.kept)), JSONValue.Entry("distance", "chord"),
        ]
        if let part { entries += [JSONValue.Entry("rounds", "composable"), JSONValue.Entry("part", .integer(part))] }
        if let earlier { entries.append(JSONValue.Entry("already", earlier.report)) }
        if let reservoir { entries.append(JSONValue.Entry("reservoir", .integer(reservoir))) }
        entries += budget.entries(groups)
        guard grouping != .all else { return .object(entries + (groups.first?.report.entries ?? [])) }
        return .object(entries + sums.entries(isCertified: method == .farthestFirst) + Self.listed(groups))
    }

    public func warnings(_ groups: GroupReports) -> [String] { budget.warnings(groups) }

    /// The listed groups.
    private static func listed(_ groups: GroupReports) -> [JSONValue.Entry] {
        let list = groups.listed.map { group in
            JSONValue.object(
                [
                    JSONValue.Entry("key", group.key.report),
                    JSONValue.Entry("records", .integer(group.size)), JSONValue.Entry("kept", .integer(group.kept)),
                ] + group.report.entries)
        }
        // The sums above include the groups that are not listed.
        let rest = groups.count - list.count
        return (rest > 0 ? [JSONValue.Entry("groups_not_listed", .integer(rest))] : [])
            + [JSONValue.Entry("per_group", .list(list))]
    }
}

/// Sums and extremes over all groups.
private struct GroupSums {
    private(set) var records = 0
    private(set) var kept = 0
    private var groups = 0
    /// Groups with a pick, and their records.
    private var (covered, coveredRecords) = (0, 0)
    private var radius = 0.0
    private var distances = 0.0
    private var totals: [(key: String, sum: Int?)] = [
        ("short_of_the_budget", nil), ("without_a_score", nil), ("multiply_adds_at_most", nil),
    ]
    private var (factor, factors) = (1.0, 0)

    init(_ all: GroupReports) {
        for group in all {
            groups += 1
            records += group.size
            kept += group.kept
            guard group.kept > 0 else { continue }
            covered += 1
            coveredRecords += group.size
            radius = max(radius, group.report["radius"]?.realValue ?? 0)
            distances += (group.report["mean_distance"]?.realValue ?? 0) * Double(group.size)
            for index in totals.indices {
                guard let number = group.report[totals[index].key]?.integerValue else { continue }
                totals[index].sum = (totals[index].sum ?? 0) + number
            }
            if let value = group.report["factor"]?.realValue {
                factor = factors == 0 ? value : max(factor, value)
                factors += 1
            }
        }
    }

    func entries(isCertified: Bool) -> [JSONValue.Entry] {
        var entries = [
            JSONValue.Entry("groups", .integer(groups)),
            JSONValue.Entry("groups_without_a_pick", .integer(groups - covered)),
        ]
        guard covered > 0 else { return entries }
        entries += [
            JSONValue.Entry("largest_radius_of_a_group", .real(radius)),
            JSONValue.Entry("mean_distance_within_groups", .real(distances / Double(coveredRecords))),
        ]
        for (key, sum) in totals { if let sum { entries.append(JSONValue.Entry(key, .integer(sum))) } }
        guard isCertified else { return entries }
        return entries + [
            // A group without a factor has a lower bound of 0 and a positive radius.
            JSONValue.Entry("largest_factor_of_a_group", factors == covered ? .real(factor) : .null),
            JSONValue.Entry(
                "certificate",
                "radius, lower_bound and factor of a group describe that group alone: how well its own picks cover its records"
            ),
        ]
    }
}
