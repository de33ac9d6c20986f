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

    let budget: GroupBudget
    let method: Method
    private let trim: Quantity
    let part: Int?
    private let already: EarlierFile?
    let reservoir: Int?
    private let score: ColumnName?
    private let scoreField: FieldPath?
    private let distance: Double
    private let certifying: Certifying
    private let swaps: Int
    private let vectors: ColumnName
    /// The vectors of `already`, read before the run begins.
    var earlier: Earlier?

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
        swaps = try options.integer("swaps")
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
        if options["swaps"] != 0 {
            try check("swaps", true, with: [.farthestFirst])
            if trims || isComposable {
                throw .option(
                    "swaps",
                    "`swaps` lowers the radius over all records of a group: it goes with `rounds: one` and without `trim`"
                )
            }
        }
        let isWeighed = options["unit"] != nil && options["unit"] != "records"
        if isWeighed, options["swaps"] != 0 {
            throw .option("swaps", "a budget of `unit` needs picks that nest, which `swaps` end: leave one of them out")
        }
        guard !isWeighed || method.nests && !isComposable else {
            throw .option(
                "unit",
                "a budget of `unit` needs picks that nest; `\(method.rawValue)`\(isComposable ? " in two rounds" : "") chooses all at once: use `farthest-first` in one round, `random` or `score-first`"
            )
        }
        if method == .scoreFirst, (options["score"] == nil) == (options["score_field"] == nil) {
            throw .option(
                options["score"] == nil ? "method" : "score_field",
                "`score-first` needs exactly one of `score` (a column) and `score_field` (a field of the record)"
            )
        }
    }

    public var grouping: Grouping { budget.grouping }
    public var weights: ColumnName? { budget.unit }
    public var quotasAreWeights: Bool { budget.unit != nil }
    public var reads: [Input] {
        [.column(vectors, .vector)] + budget.reads
            + (score.map { [.column($0, .number)] } ?? []) + (scoreField.map { [.field($0)] } ?? [])
    }
    public var writes: [ColumnSpec] {
        [ColumnSpec(.rank, .integer)] + (scoreField == nil ? [] : [ColumnSpec(.score, .real)])
    }

    public func warnings(after columns: [ColumnSpec]) -> [String] {
        let lost = lostToRandom.map { [$0] } ?? []
        guard grouping == .all, method.covers, columns.last(where: { $0.name == vectors })?.isSpelling == true else {
            return lost
        }
        return lost + [
            "`\(vectors.name)` sees how texts are spelled, not what they mean: the records kept cover spellings; `embed: {model: lsa}` learns which words go together"
        ]
    }

    /// What to say of a use of the method that lost to uniform random where it was measured (docs/worth.md); nil for others.
    private var lostToRandom: String? {
        let isGrouped = grouping != .all
        let isLarge = budget.keepsShare(ofAtLeast: .percent(5))
        let loses =
            switch method {
            case .closest, .mixed: !isGrouped || isLarge
            case .farthest: true
            case .farthestFirst: !isGrouped && isLarge
            case .scoreFirst: score == "row_variance"
            case .medoids, .random, .facilityLocation, .sensitivity: false
            }
        guard loses else { return nil }
        let use =
            switch method {
            case .scoreFirst: "`score-first` by `row_variance`"
            case .farthestFirst: "`farthest-first` over all records"
            default: "`method: \(method.rawValue)`\(isGrouped ? "" : " over all records")"
            }
        let isOfLarge = method == .farthestFirst || isGrouped && [.closest, .mixed].contains(method)
        let size = isOfLarge ? " from 5 % on" : ""
        return
            "\(use) kept sets that were worth less than as many records at random\(size) (docs/worth.md); `per: cluster, method: facility-location` was worth more"
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

    public var columns: [ColumnName] {
        let numbers = [scoreColumn, budget.unit].compactMap { $0 }
        return [vectors] + numbers.enumerated().filter { numbers.firstIndex(of: $1) == $0 }.map(\.1)
    }
    /// If too many records are close together, `score-first` can't meet its budget.
    public var mayKeepFewerThanQuota: Bool { method == .scoreFirst }

    private var scoreColumn: ColumnName? { score ?? scoreField.map { _ in .score } }

    public func quotas(for groups: Groups) throws(StageError) -> [Int] {
        let quotas = try budget.quotas(for: groups)
        if method == .facilityLocation, let reservoir, let most = quotas.max(), most > reservoir, budget.unit == nil {
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
        if needsAllVectors || swaps > 0 { bytes += rows * dimension }
        if swaps > 0 { bytes += rows * 56 }
        return bytes
    }

    private var needsAllVectors: Bool {
        reservoir == nil && [.medoids, .sensitivity, .facilityLocation].contains(method)
    }

    /// At most: distances that can't decide anything are not computed.
    public func multiplyAdds(_ estimate: PlanEstimate, _ context: StageContext) -> Double {
        guard estimate.records > 0 else { return 0 }
        let size = max(1, estimate.records / estimate.groups)
        let picks = max(1, min(size, budget.kept(of: estimate.records) / estimate.groups)) + (earlier?.count ?? 0)
        let dimension = Double(context.dimension(of: vectors) ?? 0)
        return Double(size) * method.comparisons(of: size, picks, certifying) * dimension * Double(estimate.groups)
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
        let count = try budget.unit.map { (unit) throws(StageError) in
            try self.count(within: quota, of: group.integers(unit), rows, group, context)
        }
        let choice = try picker(rows, min(count ?? quota, group.count), group, context).pick(method)
        var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "not-selected")
        for (rank, row) in choice.picks.enumerated() { outcome.ranks[row] = Int32(rank) }
        guard !choice.picks.isEmpty else {
            outcome.report = .object(try unitEntries(choice.picks, quota, group))
            return outcome
        }
        outcome.partners = choice.nearest.map { $0 < 0 ? -1 : Int32(choice.picks[Int($0)]) }
        for row in choice.picks { outcome.partners[row] = -1 }
        let quantizer = Quantizer(dimension: rows.dimension)
        outcome.measures = [("distance", choice.squaredDistances.map { quantizer.chord(fromSquared: $0) })]
        if let certificate = choice.certificate {
            outcome.report = .object(
                Self.report(certificate, method, trim: trim) + choice.notes
                    + (try unitEntries(choice.picks, quota, group)))
        }
        return outcome
    }

    /// What a group has and keeps of the budget's unit.
    private func unitEntries(
        _ picks: [Int], _ quota: Int, _ group: Group
    ) throws(StageError) -> [JSONValue.Entry] {
        guard let unit = budget.unit else { return [] }
        let weights = try group.integers(unit)
        return [
            JSONValue.Entry("unit_there", .integer(weights.reduce(0) { $0 + Int($1) })),
            JSONValue.Entry("unit_budget", .integer(quota)),
            JSONValue.Entry("unit_kept", .integer(picks.reduce(0) { $0 + Int(weights[$1]) })),
        ]
    }

    private func picker(_ rows: Rows, _ quota: Int, _ group: Group, _ context: StageContext) -> Picker {
        Picker(
            rows: rows, quota: quota, trim: trim.resolve(of: group.count), part: part, reservoir: reservoir,
            distance: distance, earlier: earlier, certifying: certifying, swaps: swaps, context: context,
            hashes: { () throws(StageError) in try group.hashes },
            scores: { () throws(StageError) in try scores(of: group) })
    }

    /// How many picks fit into a budget of a unit: up to the first that would exceed it. Picks nest, so it is enough to pick
    /// more until the budget is exceeded.
    private func count(
        within budget: Int, of weights: [Int64], _ rows: Rows, _ group: Group, _ context: StageContext
    ) throws(StageError) -> Int {
        let total = weights.reduce(0) { $0 + Int($1) }
        guard total > budget else { return group.count }
        var tried = max(1, Int(Double(budget) / Double(max(1, total)) * Double(group.count) * 1.1))
        while true {
            tried = min(tried, group.count)
            let picks = try picker(rows, tried, group, context).pick(method, isWhole: false).picks
            var sum = 0
            for (index, row) in picks.enumerated() {
                sum += Int(weights[row])
                if sum > budget { return index }
            }
            // With `score-first` there may be no more.
            guard picks.count == tried, tried < group.count else { return picks.count }
            tried *= 2
        }
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
}
