public import SluiceCore
import SluiceGeometry

/// Drops redundant records: near duplicates by pairs or by SemDeDup's chains, or records of low variety by LIFT.
public struct RedundancyStage: Stage {
    public static let descriptor = Descriptor(
        name: "redundancy",
        summary: "Drops near duplicates or records of low variety.",
        discussion: """
            Reads `embedding`, or the column that `vectors` names. A distance of 0 means equal vectors, not equal texts: to `lexical` and `lsa`, «5 + 3» and \
            «5 - 3» are the same; to `lexical` and `static`, «Tom likes Ann» and «Ann likes Tom». So before pairwise or semdedup drops a record, \
            it compares the texts (`confirm`): their numbers, in order; their operators (`+ - * / = <` and the like), in \
            order; and the share of their pairs of neighbouring words that both have, case and punctuation aside. A record \
            loses to the nearest one that it agrees with; the ledger names the overlap, and `run.json` counts the pairs that \
            were refused. The overlap is exact for texts of up to 31 different pairs of words, beyond that an estimate with \
            a standard error of at most 4.5 % (127 MinHashes). For vectors of other stages `confirm` is off unless it is given. To \
            find paraphrases with a model's vectors, use `confirm: none` and a larger `distance`.

              pairwise  goes through the records in `order` and drops each one within `distance` of a record already \
            kept, which the ledger names (the rule of DEITA, arXiv 2312.15685). No two kept records are that close. \
            With `per` only pairs within a cluster or a label are compared; with `neighbours` also pairs with that many of \
            the next nearest clusters, to find duplicates across a border. The report counts the records whose near \
            duplicates may be in yet another cluster; if it is 0, the result is that of comparing all pairs. Cost: \
            records times kept records compared times dimension.
              semdedup  within each cluster, from the record farthest from its centre to the nearest (order: hard; \
            easy is the reverse), drops each record within `distance` of any earlier one, kept or not, so the first of \
            a chain stays (SemDeDup, arXiv 2303.09540). `neighbours` as with pairwise. The ledger names the first of \
            the chain
              lift      variety curation of LIFT (arXiv 2312.11508): standardise every component, keep the principal \
            components that explain 95 % of the variance, and take the variance of each record's coordinates \
            (`row_variance`); the records with the highest values stay. Exactly the budget is kept, ties to the lowest \
            ordinal; the paper keeps values strictly above the percentile, which may differ by one record. It scores \
            single records: two equal ones score equal, so it does not remove duplicates. components: paper takes one \
            component fewer, as the authors' code does.
              leverage  the same with the whitened length (`leverage`) in place of the row variance

            Moments are exact integers, so no order or split of the records changes a bit. Memory: 8 · dimension² \
            bytes per thread.
            """,
        options: [
            OptionSpec(
                "method", .choice(["pairwise", "semdedup", "lift", "leverage"]), default: "pairwise",
                help: "definition of redundancy", example: "lift"),
            OptionSpec(
                "keep", .quantity, help: "lift, leverage: number or share of records to keep (20%)", example: "20%"),
            OptionSpec(
                "variance", .quantity, help: "lift, leverage: share of variance that the components explain (95%)",
                example: "95%"),
            OptionSpec(
                "components", .choice(["all", "paper"]),
                help: "lift, leverage: as many as explain the variance (all), or one fewer as in the paper's code",
                example: "paper"),
            OptionSpec(
                "distance", .real(0...2),
                help:
                    "pairwise, semdedup: two records at this cosine distance (1 - cosine) or less are near duplicates (what the model of the vectors recommends; lsa: 0.01, lexical: 0.05)",
                example: "0.05"),
            OptionSpec(
                "confirm", .tree,
                help:
                    "pairwise, semdedup: what the texts of two near duplicates must have in common, or `none` ({overlap: 0.8, numbers: equal, operators: equal} for vectors of `embed`, else none)",
                example: "{overlap: 0.9, numbers: equal, operators: any}"),
            OptionSpec(
                "order", .either([.choice(["ordinal", "rank", "hard", "easy"]), .column(.number)]),
                help:
                    "pairwise, semdedup: processing order: `ordinal` (input order), `rank` (pick order of a selection), `hard` (farthest from the cluster's centre first), `easy` (nearest first), or a column of scores, highest first (ordinal; semdedup hard)",
                example: "rank"),
            OptionSpec(
                "per", .either([.choice(["all"]), .label]),
                help:
                    "pairwise: compare all records (all), or only those with equal values of a column (`cluster`) or a field of the record (all; semdedup always cluster)",
                example: "cluster"),
            OptionSpec(
                "neighbours", .integer(0...65_535),
                help: "pairwise per: cluster, semdedup: number of neighbouring clusters to compare with too (0)",
                example: "3"),
            OptionSpec(
                "vectors", .column(.vector), default: "embedding",
                help: "the column of vectors, as `embed` names it by `as`", example: "gradients"),
        ])

    private enum Method: Sendable {
        case variety(MomentsSurvey, TopShareSelection)
        /// - Parameter distance: nil for what the vectors' model recommends.
        case pairwise(PairwiseSelection, distance: Double?)
    }

    /// For vectors whose stage recommends nothing.
    private static let usualDistance = 0.05

    private enum Confirming: Sendable {
        /// As the vectors need it.
        case automatic
        case no
        case yes(Confirmation)
    }

    private var method: Method
    private let confirming: Confirming
    private let vectors: ColumnName

    public init(options: OptionValues) throws(StageError) {
        let name = try options.text("method")
        vectors = ColumnName(try options.text("vectors"))
        let comparesPairs = name == "pairwise" || name == "semdedup"
        let foreign =
            comparesPairs ? ["keep", "variance", "components"] : ["distance", "confirm", "order", "per", "neighbours"]
        for option in foreign where options[option] != nil {
            let home = comparesPairs ? "`method: lift` or `leverage`" : "`method: pairwise` or `semdedup`"
            throw .option(option, "`\(option)` goes with \(home), not with `\(name)`")
        }
        confirming =
            switch options["confirm"] {
            case nil: .automatic
            case .text("none"): .no
            case .map(let entries): .yes(try Confirmation(entries))
            default: throw .option("confirm", "`confirm` is `none`, or a map such as {overlap: 0.8, numbers: equal}")
            }
        guard !comparesPairs else {
            let isTransitive = name == "semdedup"
            let order: PairwiseSelection.Order =
                switch options["order"] == nil ? (isTransitive ? "hard" : "ordinal") : try options.text("order") {
                case "ordinal": .ordinal
                case "rank": .rank
                case "hard": .hard
                case "easy": .easy
                case let column: .score(ColumnName(column))
                }
            if isTransitive, options["per"] != nil, options["per"] != "cluster" {
                throw .option("per", "`semdedup` works within clusters; remove `per`")
            }
            let per: Grouping =
                isTransitive ? .by(.cluster) : options["per"] == nil ? .all : Grouping(per: try options.text("per"))
            let neighbours = options["neighbours"] == nil ? 0 : try options.integer("neighbours")
            if neighbours > 0, per != .by(.cluster) {
                throw .option("neighbours", "`neighbours` counts clusters; add `per: cluster`")
            }
            method = .pairwise(
                PairwiseSelection(
                    vectors: vectors, distance: Self.usualDistance, order: order, per: per, countsDropped: isTransitive,
                    neighbours: neighbours),
                distance: options["distance"] == nil ? nil : try options.real("distance"))
            return
        }
        let keep = options["keep"] == nil ? Quantity.percent(20) : try options.quantity("keep")
        guard !keep.isZero else {
            throw .option("keep", "`keep: \(keep)` would keep nothing; give a count from 1 or a percentage")
        }
        let variance = options["variance"] == nil ? Quantity.percent(95) : try options.quantity("variance")
        guard variance.isShare, !variance.isZero else {
            throw .option("variance", "`variance` is a percentage above 0, such as `95%`")
        }
        let column: ColumnName = name == "lift" ? .rowVariance : .leverage
        // A percentage has six decimals, so its share of 10^8 is a whole number.
        method = .variety(
            MomentsSurvey(
                vectors: vectors,
                measure: name == "lift" ? .rowVariance : .leverage,
                components: options["components"] == "paper" ? .paper : .full,
                explained: Double(variance.resolve(of: 100_000_000)) / 1e8, column: column),
            TopShareSelection(keep: keep, column: column))
    }

    public var reads: [Input] {
        switch method {
        case .variety: return [.column(vectors, .vector)]
        case .pairwise(let selection, _):
            return [.column(vectors, .vector)]
                + (selection.confirmation == nil ? [] : [.column(.text, .bytes)])
                + (selection.order.column.map { [.column($0, selection.order.kind)] } ?? [])
                + (selection.neighbours > 0 ? [.column(.cluster, .integer)] : selection.per.reads)
        }
    }

    public var writes: [ColumnSpec] {
        switch method {
        case .variety(let survey, _): [ColumnSpec(survey.column, .real)]
        case .pairwise(let selection, _): selection.confirmation == nil ? [] : Confirmation.columns
        }
    }

    public func adapted(to columns: [ColumnSpec]) throws(StageError) -> Self {
        guard case .pairwise(var selection, let distance) = method else { return self }
        switch confirming {
        case .no: return self
        case .yes(let confirmation): selection.confirmation = confirmation
        case .automatic:
            let vectors = columns.last { $0.name == self.vectors }
            let hasText = columns.contains { $0.name == .text }
            selection.confirmation = vectors?.needsConfirmation == true && hasText ? Confirmation() : nil
        }
        var stage = self
        stage.method = .pairwise(selection, distance: distance)
        return stage
    }

    public func warnings(after columns: [ColumnSpec]) -> [String] {
        guard case .pairwise(let selection, _) = method else {
            return [
                "records chosen by their variety alone were worth less than as many at random, at every budget (docs/worth.md); `coreset: {per: cluster, method: facility-location}` was worth more"
            ]
        }
        guard let made = columns.last(where: { $0.name == vectors }) else { return [] }
        var found: [String] = []
        if selection.countsDropped, case .no = confirming {
            found.append(
                "chains of near duplicates without `confirm` took away more than copies: what was left was worth less than as many records at random (docs/worth.md)"
            )
        }
        if made.isSpelling, selection.countsDropped {
            found.append(
                "`\(vectors.name)` sees how texts are spelled, not what they mean: a chain is of similar spelling; `embed: {model: lsa}` learns which words go together"
            )
        }
        if case .automatic = confirming, made.needsConfirmation, selection.confirmation == nil {
            found.append(
                "no stage before it writes `text`, so near duplicates are judged by `\(vectors.name)` alone; put `format` first to compare numbers and words, too, or set `confirm: none`"
            )
        }
        return found
    }

    public func body(_ context: StageContext) throws(StageError) -> StageBody {
        switch method {
        case .pairwise(var selection, let distance):
            selection.distance = distance ?? context.nearDuplicateDistance(of: vectors) ?? Self.usualDistance
            guard selection.confirmation != nil else { return .selection(selection) }
            return .sequence([.transform(TextMarking()), .selection(selection)])
        case .variety(let survey, let selection): return .sequence([.survey(survey), .selection(selection)])
        }
    }
}

/// `redundancy` in a definition written in Swift.
public struct Redundancy: StageSpecConvertible {
    public let stageSpec: StageSpec

    /// - Parameters:
    ///   - keep: with `lift` and `leverage`; likewise `variance` and `components`.
    ///   - distance: with `pairwise` and `semdedup`; likewise `confirm`, `order`, `per` and `neighbours`.
    public init(
        method: String? = nil, keep: Quantity? = nil, variance: Quantity? = nil, components: String? = nil,
        distance: Double? = nil, confirm: OptionValue? = nil, order: String? = nil, per: String? = nil,
        neighbours: Int? = nil, vectors: String? = nil
    ) {
        var options = OptionValues()
        options["method"] = method.map { .text($0) }
        options["keep"] = keep.map { .quantity($0) }
        options["variance"] = variance.map { .quantity($0) }
        options["components"] = components.map { .text($0) }
        options["distance"] = distance.map { .real($0) }
        options["confirm"] = confirm
        options["order"] = order.map { .text($0) }
        options["per"] = per.map { .text($0) }
        options["neighbours"] = neighbours.map { .integer($0) }
        options["vectors"] = vectors.map { .text($0) }
        stageSpec = StageSpec("redundancy", options)
    }
}
