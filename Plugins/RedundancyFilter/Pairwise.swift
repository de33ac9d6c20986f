import SluiceCore
import SluiceGeometry

extension ColumnName {
    /// The chord distance from a record to the centre of its cluster, written by `cluster`.
    static let clusterDistance: ColumnName = "cluster_distance"
}

/// Drops a record within the distance of an earlier one: of a kept one (DEITA's rule), or of any (SemDeDup's).
struct PairwiseSelection: Selection {
    enum Order: Sendable, Hashable {
        /// As in the input.
        case ordinal
        /// Lowest first.
        case rank
        /// Highest first.
        case score(ColumnName)
        /// Farthest from the centre of its cluster first.
        case hard
        /// Nearest to it first.
        case easy

        var column: ColumnName? {
            switch self {
            case .ordinal: nil
            case .rank: .rank
            case .score(let name): name
            case .hard, .easy: .clusterDistance
            }
        }

        /// The kind that the column must have.
        var kind: ColumnKind {
            switch self {
            case .rank: .integer
            case .hard, .easy: .real
            case .score, .ordinal: .number
            }
        }
    }

    let vectors: ColumnName
    /// Cosine distance, 1 - cosine; half the square of the chord distance.
    var distance: Double
    let order: Order
    /// The groups within which records are compared, apart from `neighbours`.
    let per: Grouping
    /// Whether dropped records still drop others.
    var countsDropped = false
    /// Number of neighbouring clusters that a record is compared with.
    var neighbours = 0
    /// What the texts of a pair must have in common; nil to compare vectors alone.
    var confirmation: Confirmation?

    /// Rows gathered at a time if the order differs from the input's.
    private static let batch = 4096

    /// Neighbouring clusters are compared with, so then all clusters form one group.
    var grouping: Grouping { neighbours > 0 ? .all : per }
    var columns: [ColumnName] {
        [vectors] + (order.column.map { [$0] } ?? []) + (neighbours > 0 ? [.cluster] : [])
            + (confirmation == nil ? [] : Confirmation.columns.map(\.name))
    }

    func quotas(for groups: Groups) -> [Int] { groups.sizes }

    /// The compared vectors, twice; a batch; and the outcome.
    func memory(rows: Int, _ context: StageContext) -> Int {
        let dimension = context.dimension(of: vectors) ?? 0
        return rows * (2 * dimension + 64 + (confirmation == nil ? 0 : TextMarks.perRow)) + min(rows, Self.batch)
            * (dimension + 4096)
            + (neighbours > 0 ? 16 << 20 : 0)
    }

    /// The number of groups: with neighbours all clusters form one; the number that `clusters: auto` makes is assumed.
    private func groups(_ estimate: PlanEstimate) -> Int {
        neighbours > 0 ? KMeans.automaticClusters(estimate.records).clusters : estimate.groups
    }

    /// If nothing is dropped and groups are of equal size.
    func multiplyAdds(_ estimate: PlanEstimate, _ context: StageContext) -> Double {
        let (rows, groups) = (Double(estimate.records), Double(groups(estimate)))
        let width = Double(context.dimension(of: vectors) ?? 0)
        guard groups > 1, per != .all else { return rows * rows / 2 * width }
        return rows * (rows / groups / 2 * Double(1 + neighbours) + (neighbours > 0 ? groups : 0)) * width
    }

    func notes(_ estimate: PlanEstimate, _ context: StageContext) -> [String] {
        let (rows, groups) = (estimate.records, groups(estimate))
        let most = rounded(multiplyAdds(estimate, context))
        let within =
            "near duplicates: a cosine distance of \(distance) or less"
            + (confirmation == nil ? "" : ", and texts that agree (`confirm`)")
        guard rows > 0, groups > 1, per != .all else {
            return [
                within,
                "up to \(most) multiply-adds if nothing is dropped",
            ]
        }
        return [
            within,
            "up to \(most) multiply-adds if nothing is dropped and the \(groups) groups are of equal size",
        ]
    }

    private func rounded(_ value: Double) -> String {
        guard value >= 1000 else { return String(Int(value)) }
        var (figure, exponent) = (value, 0)
        while figure >= 9.95 { (figure, exponent) = (figure / 10, exponent + 1) }
        let tenths = Int((figure * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)e\(exponent)"
    }

    /// The filter, over all pairs or in neighbourhoods.
    private enum Filter {
        case kept(PairwiseFilter)
        case near(NeighbourFilter)

        mutating func add(
            _ view: VectorView, _ parallel: Parallel, _ confirm: (Int, Int) throws(StageError) -> Bool
        ) throws(StageError) -> [PairwiseFilter.Outcome] {
            switch self {
            case .kept(var filter):
                let found = try filter.add(view, parallel: parallel, confirm: confirm)
                self = .kept(filter)
                return found
            case .near(var filter):
                let found = try filter.add(view, parallel: parallel, confirm: confirm)
                self = .near(filter)
                return found
            }
        }
    }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let source = try group.vectors(vectors)
        let quantizer = Quantizer(dimension: source.dimension)
        let limit = quantizer.squaredLimit(cosine: 1 - distance)
        var filter: Filter
        if countsDropped || neighbours > 0 {
            let centres =
                try neighbours > 0
                ? centres(of: source, labels: group.integers(.cluster)) : [Int8](repeating: 0, count: source.dimension)
            filter = centres.withVectors(dimension: source.dimension) {
                .near(
                    NeighbourFilter(
                        centres: $0, squaredLimit: limit, neighbours: neighbours, countsDropped: countsDropped))
            }
        } else {
            filter = .kept(PairwiseFilter(dimension: source.dimension, squaredLimit: limit))
        }
        let rows = try rows(of: group)
        var marks: TextMarks?
        if let confirmation { marks = try TextMarks(confirmation, group) }
        let found = try decide(source, in: rows, &filter, context.parallel) { (a, b) throws(StageError) in
            guard let marks else { return true }
            return try marks.confirm(rows?[a] ?? a, rows?[b] ?? b)
        }
        var outcome = try Self.outcome(found, rows, quantizer, marks)
        var report: [JSONValue.Entry] = []
        if neighbours > 0, case .near(let filter) = filter {
            report.append(JSONValue.Entry(Self.open, .integer(filter.unsettledCount)))
        }
        if marks != nil {
            report += [
                JSONValue.Entry(Self.refused, .integer(found.reduce(0) { $0 + $1.refused })),
                JSONValue.Entry(Self.spared, .integer(found.count { $0.refused > 0 && $0.partner == nil })),
            ]
        }
        outcome.report = .object(report)
        return outcome
    }

    /// Counts in the report of a group.
    private static let open = "records_with_more_near_clusters"
    private static let refused = "pairs_refused"
    private static let spared = "records_kept_since_texts_differ"

    private func decide(
        _ source: any VectorSource, in rows: [Int]?, _ filter: inout Filter, _ parallel: Parallel,
        _ confirm: (Int, Int) throws(StageError) -> Bool
    ) throws(StageError) -> [PairwiseFilter.Outcome] {
        var found: [PairwiseFilter.Outcome] = []
        found.reserveCapacity(source.count)
        guard let rows else {
            try source.forEachChunk { (range, values) throws(StageError) in
                guard let base = values.baseAddress else { return }
                found += try filter.add(
                    VectorView(base, count: range.count, dimension: source.dimension), parallel, confirm)
            }
            return found
        }
        for start in stride(from: 0, to: rows.count, by: Self.batch) {
            var gathered: [Int8] = []
            for row in rows[start..<min(rows.count, start + Self.batch)] {
                if let resident = source.resident {
                    gathered += resident[(row * source.dimension)..<((row + 1) * source.dimension)]
                } else {
                    gathered += try source.row(row)
                }
            }
            found += try gathered.withVectors(dimension: source.dimension) { (view) throws(StageError) in
                try filter.add(view, parallel, confirm)
            }
        }
        return found
    }

    private static func outcome(
        _ found: [PairwiseFilter.Outcome], _ rows: [Int]?, _ quantizer: Quantizer, _ marks: TextMarks?
    ) throws(StageError) -> GroupOutcome {
        var outcome = GroupOutcome(
            ranks: [Int32](repeating: -1, count: found.count), partners: [Int32](repeating: -1, count: found.count),
            reason: "near-duplicate")
        var distances = [Double](repeating: 0, count: found.count)
        var overlaps = [Double](repeating: 0, count: marks == nil ? 0 : found.count)
        // If dropped records drop others, the first of a chain is the kept one.
        var first = [Int](repeating: 0, count: found.count)
        var rank: Int32 = 0
        for (place, one) in found.enumerated() {
            let row = rows?[place] ?? place
            if let partner = one.partner {
                first[place] = first[partner]
                outcome.partners[row] = Int32(rows?[first[place]] ?? first[place])
                let chord = quantizer.chord(fromSquared: one.squaredDistance)
                distances[row] = chord * chord / 2
                if let marks { overlaps[row] = try marks.share(row, rows?[partner] ?? partner) }
            } else {
                first[place] = place
                outcome.ranks[row] = rank
                rank += 1
            }
        }
        outcome.measures = [("cosine_distance", distances)] + (marks == nil ? [] : [("overlap", overlaps)])
        return outcome
    }

    /// The means of the non-empty clusters, in the order of their numbers. One pass over the vectors.
    private func centres(of source: any VectorSource, labels: [Int64]) throws(StageError) -> [Int8] {
        let dimension = source.dimension
        var numbers: [Int64: Int] = [:]
        for (index, label) in labels.sorted().reduce(into: [Int64](), { if $0.last != $1 { $0.append($1) } })
            .enumerated()
        {
            numbers[label] = index
        }
        guard !numbers.isEmpty else { return [Int8](repeating: 0, count: dimension) }
        var sums = [Int64](repeating: 0, count: numbers.count * dimension)
        var counts = [Int64](repeating: 0, count: numbers.count)
        try source.forEachChunk { (range, values) throws(StageError) in
            sums.withUnsafeMutableBufferPointer { sums in
                for row in range {
                    let cluster = numbers[labels[row]] ?? 0
                    counts[cluster] += 1
                    let from = (row - range.lowerBound) * dimension
                    for index in 0..<dimension { sums[cluster * dimension + index] += Int64(values[from + index]) }
                }
            }
        }
        return sums.indices.map { index in
            let (sum, count) = (sums[index], counts[index / dimension])
            return Int8((2 * sum.magnitude + UInt64(count)) / UInt64(2 * count)) * (sum < 0 ? -1 : 1)
        }
    }

    /// The rows in processing order; nil for input order. Ties go to the lowest row.
    private func rows(of group: Group) throws(StageError) -> [Int]? {
        switch order {
        case .ordinal: return nil
        case .hard, .easy:
            let distances = try group.reals(.clusterDistance)
            let sign = order == .hard ? -1.0 : 1.0
            return distances.indices.sorted {
                distances[$0] != distances[$1] ? sign * distances[$0] < sign * distances[$1] : $0 < $1
            }
        case .rank:
            let ranks = try group.integers(.rank)
            return ranks.indices.sorted { ranks[$0] != ranks[$1] ? ranks[$0] < ranks[$1] : $0 < $1 }
        case .score(let name):
            let scores = try group.numbers(name)
            // NaN scores come last.
            func value(_ row: Int) -> Double { scores[row].isNaN ? -.infinity : scores[row] }
            return scores.indices.sorted { value($0) != value($1) ? value($0) > value($1) : $0 < $1 }
        }
    }

    func report(_ groups: GroupReports) -> JSONValue {
        var (size, kept, open, refused, spared) = (0, 0, 0, 0, 0)
        for group in groups {
            size += group.size
            kept += group.kept
            open += group.report[Self.open]?.integerValue ?? 0
            refused += group.report[Self.refused]?.integerValue ?? 0
            spared += group.report[Self.spared]?.integerValue ?? 0
        }
        var entries: [JSONValue.Entry] = [
            JSONValue.Entry("records", .integer(size)), JSONValue.Entry("kept", .integer(kept)),
            JSONValue.Entry("cosine_distance", .real(distance)), JSONValue.Entry("groups", .integer(groups.count)),
        ]
        if neighbours > 0 {
            entries += [
                JSONValue.Entry("neighbours", .integer(neighbours)),
                JSONValue.Entry(Self.open, .integer(open)),
                JSONValue.Entry("every_pair_considered", .flag(open == 0)),
            ]
        }
        if let confirmation {
            entries += [
                JSONValue.Entry("confirm", confirmation.report), JSONValue.Entry(Self.refused, .integer(refused)),
                JSONValue.Entry(Self.spared, .integer(spared)),
            ]
        }
        return .object(entries)
    }
}
