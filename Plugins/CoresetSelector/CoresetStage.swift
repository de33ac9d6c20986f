public import SluiceCore
import SluiceGeometry

/// Keeps a few records that cover all.
///
/// A group's budget is exact, the order of picks is kept as `rank`, every dropped record names the kept one nearest to it,
/// and the report says how far that is, beside a bound that no choice can beat.
public struct CoresetStage: Stage, Selection {
    public static let descriptor = Descriptor(
        name: "coreset",
        summary: "Keeps a few records that cover all, with a certificate.",
        discussion: """
            Reads `embedding`, and `cluster` with per: cluster. Writes `rank`, the order of picks within a group.

              farthest-first  the record farthest from all picks so far comes next, from a start drawn by content (Gonzalez \
            1985; KCenterGreedy of Sener and Savarese 2018). Its radius is at most twice the least possible; the report has \
            the radius, the lower bound and the factor between them. The first j picks are what a budget of j would keep.
              medoids         k-means with as many clusters as records are kept, in two levels over 1,024; of each the record \
            nearest to its centre. The least mean distance of all methods here
              facility-location   lazy greedy on the sum of squared distances; group size squared times dimension to start
              sensitivity     drawn with weights from the distance to k-means centres (Axiotis et al., ICML 2024)
              random          uniform by content: the records whose hash and the seed draw the smallest numbers
              closest, farthest, mixed   by cosine to the centre of the group; mixed alternates (topK, leastK and mixed of \
            arXiv 2305.09246)

            A budget per cluster is parted by shares (by size, by the root of the size, or equally) with largest remainders: \
            the parts sum to the budget exactly. All distances are chord distances of unit vectors, 0 to 2. Groups larger \
            than memory are read in passes, with the same result; medoids, facility-location and sensitivity need a group in memory. Cost: group size times \
            picks times dimension multiply-adds.
            """,
        options: [
            OptionSpec("keep", .quantity, isRequired: true, help: "how many records to keep, of all that reach the stage", example: "5%"),
            OptionSpec("per", .choice(["all", "cluster"]), default: "all", help: "among which records to choose", example: "cluster"),
            OptionSpec("method", .choice(Method.allCases.map(\.rawValue)), default: "farthest-first", help: "how to choose", example: "medoids"),
            OptionSpec(
                "shares", .choice(Shares.allCases.map(\.rawValue)), default: "proportional",
                help: "how the budget is parted among clusters", example: "square-root"),
            OptionSpec(
                "trim", .quantity, default: .quantity(.count(0)),
                help: "farthest-first: so many of the farthest records of a group, often noise, are passed over at each pick",
                example: "1%"),
        ])

    private let keep: Quantity
    private let isPerCluster: Bool
    private let method: Method
    private let shares: Shares
    private let trim: Quantity

    public init(options: OptionValues) throws(StageError) {
        keep = try options.quantity("keep")
        isPerCluster = try options.text("per") == "cluster"
        guard let method = Method(rawValue: try options.text("method")) else {
            throw .option("method", "there is no method `\(try options.text("method"))`")
        }
        guard let shares = Shares(rawValue: try options.text("shares")) else {
            throw .option("shares", "there are no shares `\(try options.text("shares"))`")
        }
        (self.method, self.shares) = (method, shares)
        trim = try options.quantity("trim")
        guard !keep.isZero else { throw .option("keep", "`keep: \(keep)` would keep nothing; give a count from 1 or a percentage") }
        if shares != .proportional, !isPerCluster {
            throw .option("shares", "`shares` part a budget among clusters; add `per: cluster`")
        }
        if !trim.isZero, method != .farthestFirst {
            throw .option("trim", "`trim` goes with `method: farthest-first`, not with `\(method.rawValue)`")
        }
    }

    public var reads: [Input] { [.column(.embedding)] + (isPerCluster ? [.column(.cluster)] : []) }
    public var writes: [ColumnSpec] { [ColumnSpec(.rank, .integer)] }

    public var grouping: Grouping { isPerCluster ? .by(.cluster) : .all }
    public var columns: [ColumnName] { [.embedding] }

    public func quotas(for sizes: [Int]) throws(StageError) -> [Int] {
        let total = sizes.reduce(0, +)
        let budget = keep.resolve(of: total)
        guard budget <= total || total == 0 else {
            throw StageError(
                .invalidData, "`keep` asks for \(budget) records and only \(total) reach the stage; lower it, or give a percentage")
        }
        return total == 0 ? sizes : shares.part(budget, among: sizes)
    }

    public func memory(rows: Int) -> Int {
        // Nearest picks, distances, marks and the outcome; the picks' vectors; candidates.
        rows * 48 + min(rows, keep.resolve(of: rows)) * 512 + (4 << 20)
    }

    public func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let rows = Rows(source: try group.vectors(.embedding))
        let picker = Picker(rows: rows, quota: min(quota, group.count), trim: trim.resolve(of: group.count), context: context)
        let choice = try picker.pick(method) { () throws(StageError) in try group.hashes }
        var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "not-selected")
        for (rank, row) in choice.picks.enumerated() { outcome.ranks[row] = Int32(rank) }
        guard !choice.picks.isEmpty else { return outcome }
        outcome.partners = choice.nearest.map { Int32(choice.picks[Int($0)]) }
        for row in choice.picks { outcome.partners[row] = -1 }
        let quantizer = Quantizer(dimension: rows.dimension)
        outcome.measures = [("distance", choice.squaredDistances.map { quantizer.chord(fromSquared: $0) })]
        if let certificate = choice.certificate { outcome.report = Self.report(certificate, method, trim: trim) }
        return outcome
    }

    private static func report(_ certificate: Certificate, _ method: Method, trim: Quantity) -> Report {
        var entries: [Report.Entry] = [Report.Entry("radius", .real(certificate.radius))]
        if !trim.isZero { entries.append(Report.Entry("trimmed_radius", .real(certificate.trimmedRadius))) }
        if method == .farthestFirst {
            entries.append(Report.Entry("lower_bound", .real(certificate.lowerBound)))
            entries.append(Report.Entry("factor", certificate.factor.map { .real($0) } ?? .null))
        }
        entries += [
            Report.Entry("mean_distance", .real(certificate.meanDistance)),
            Report.Entry("median_distance", .real(certificate.median)),
            Report.Entry("distance_90", .real(certificate.quantile90)),
            Report.Entry("distance_99", .real(certificate.quantile99)),
        ]
        return .object(entries)
    }

    public func report(_ groups: [GroupReport]) -> Report {
        let size = groups.reduce(0) { $0 + $1.size }, kept = groups.reduce(0) { $0 + $1.kept }
        var entries: [Report.Entry] = [
            Report.Entry("method", .text(method.rawValue)), Report.Entry("records", .integer(size)),
            Report.Entry("kept", .integer(kept)), Report.Entry("distance", "chord"),
        ]
        guard isPerCluster else { return .object(entries + (groups.first?.report.entries ?? [])) }

        let covered = groups.filter { $0.kept > 0 }
        entries.append(Report.Entry("shares", .text(shares.rawValue)))
        entries.append(Report.Entry("groups", .integer(groups.count)))
        entries.append(Report.Entry("groups_without_a_pick", .integer(groups.count - covered.count)))
        if !covered.isEmpty {
            func values(_ key: String) -> [Double] { covered.compactMap { $0.report[key]?.realValue } }
            let records = covered.reduce(0) { $0 + $1.size }
            let sum = covered.reduce(0.0) { $0 + ($1.report["mean_distance"]?.realValue ?? 0) * Double($1.size) }
            entries.append(Report.Entry("largest_radius_of_a_group", .real(values("radius").max() ?? 0)))
            entries.append(Report.Entry("mean_distance_within_groups", .real(sum / Double(records))))
            if method == .farthestFirst {
                // A group without a factor has a bound of 0 and a radius above it.
                let factors = values("factor")
                entries.append(
                    Report.Entry(
                        "largest_factor_of_a_group", factors.count == covered.count ? .real(factors.max() ?? 1) : .null))
                entries.append(
                    Report.Entry(
                        "certificate",
                        "radius, lower_bound and factor of a group are about that group alone: how well its records are covered by its own picks"))
            }
        }
        entries.append(
            Report.Entry(
                "per_group",
                .list(
                    groups.map {
                        .object(
                            [
                                Report.Entry("key", $0.key.map { .integer($0) } ?? .null),
                                Report.Entry("records", .integer($0.size)), Report.Entry("kept", .integer($0.kept)),
                            ] + $0.report.entries)
                    })))
        return .object(entries)
    }
}

/// `coreset` in a definition written in Swift.
public struct Coreset: StageSpecConvertible {
    public let stageSpec: StageSpec

    public init(
        keep: Quantity, per: String? = nil, method: String? = nil, shares: String? = nil, trim: Quantity? = nil
    ) {
        var options = OptionValues()
        options["keep"] = .quantity(keep)
        options["per"] = per.map { .text($0) }
        options["method"] = method.map { .text($0) }
        options["shares"] = shares.map { .text($0) }
        options["trim"] = trim.map { .quantity($0) }
        stageSpec = StageSpec("coreset", options)
    }
}
