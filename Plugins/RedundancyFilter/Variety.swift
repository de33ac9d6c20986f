public import SluiceCore
import SluiceGeometry

extension ColumnName {
    /// LIFT's score of a record: the variance of its coordinates in the principal components.
    public static let rowVariance: ColumnName = "row_variance"
    /// The squared length of a record's whitened vector, divided by the number of components.
    public static let leverage: ColumnName = "leverage"
}

/// Sums products of components, from which every record's score follows.
struct MomentsSurvey: Survey {
    let vectors: ColumnName
    let measure: RowVariance.Measure
    let components: RowVariance.Components
    let explained: Double
    let column: ColumnName

    func memory(_ context: StageContext) -> SurveyMemory {
        let dimension = context.dimension(of: self.vectors) ?? 0
        let matrix = 8 * dimension * dimension
        // In addition to the moments: 4,096 rows, interleaved in pairs, while a block is added. At the end: the
        // covariance, the solver's two matrices and the sorted vectors, from which the weights are computed.
        return SurveyMemory(
            summary: matrix + 2 * 4096 * (dimension + 64), finish: 4 * matrix + (1 << 20),
            leaves: FigureTransform.bytes(dimension: dimension),
            advice: "embed in fewer dimensions")
    }

    func makeSummary() -> Moments? { nil }

    func observe(_ block: borrowing Block, into summary: inout Moments?) throws(StageError) {
        let vectors = try block.vectors(self.vectors)
        let dimension = vectors.dimension
        // Taken out and put back, so that the sums are not copied.
        var moments = summary.take() ?? Moments(dimension: dimension)
        defer { summary = moments }
        guard moments.dimension == dimension else {
            throw StageError(
                .invalidData, "a vector has \(dimension) dimensions; others have \(moments.dimension)",
                ordinal: block.ordinals.first)
        }
        let live = block.live
        if live.count == block.count {
            vectors.values.withVectors(dimension: dimension) { moments.add($0) }
        } else {
            var values: [Int8] = []
            values.reserveCapacity(live.count * dimension)
            for record in live { values += vectors[record] }
            values.withVectors(dimension: dimension) { moments.add($0) }
        }
    }

    func merge(_ other: Moments?, into summary: inout Moments?) {
        guard let other else { return }
        guard var moments = summary.take() else {
            summary = other
            return
        }
        moments.merge(other)
        summary = moments
    }

    func finish(_ summary: consuming Moments?, _ context: StageContext) throws(StageError) -> SurveyResult<RowVariance?>
    {
        guard let moments = summary, moments.count > 0 else {
            return SurveyResult(nil, report: ["records": 0])
        }
        let figure = RowVariance(
            moments: moments, measure: measure, components: components, explained: explained, parallel: context.parallel
        )
        return SurveyResult(
            figure,
            report: [
                "records": .integer(moments.count),
                "dimensions": .integer(moments.dimension),
                "components": .integer(figure.components),
                "explained": .real(Self.explained(figure.eigenvalues, by: figure.components)),
                "effective_rank": .real(Self.effectiveRank(figure.eigenvalues)),
            ])
    }

    func makeBody(_ outcome: RowVariance?, _ context: StageContext) throws(StageError) -> StageBody {
        .transform(FigureTransform(vectors: vectors, figure: outcome, column: column))
    }

    static func explained(_ eigenvalues: [Double], by components: Int) -> Double {
        let positive = eigenvalues.map { max(0, $0) }
        let total = positive.reduce(0, +)
        return total == 0 ? 0 : positive.prefix(components).reduce(0, +) / total
    }

    /// The exponential of the entropy of the shares of variance: the number of directions that the records effectively
    /// use.
    static func effectiveRank(_ eigenvalues: [Double]) -> Double {
        let total = eigenvalues.reduce(0) { $0 + max(0, $1) }
        guard total > 0 else { return 0 }
        let entropy = eigenvalues.reduce(0.0) { sum, value in
            value > 0 ? sum - value / total * Elementary.log(value / total) : sum
        }
        return Elementary.exp(entropy)
    }
}

/// Writes the score of every record.
struct FigureTransform: Transform {
    let vectors: ColumnName
    let figure: RowVariance?
    let column: ColumnName

    /// Memory of the weights of all components, in bytes.
    static func bytes(dimension: Int) -> Int { 8 * dimension * (dimension + 16) + (64 << 10) }

    var residentBytes: Int { figure.map { Self.bytes(dimension: $0.dimension) } ?? 0 }

    func apply(to block: inout Block) throws(StageError) {
        guard let figure else {
            block.write(column, .reals([Double](repeating: 0, count: block.count)))
            return
        }
        let vectors = try block.vectors(self.vectors)
        block.write(column, .reals(vectors.values.withVectors(dimension: vectors.dimension) { figure.scores($0) }))
    }
}

/// Keeps the share of the records with the highest scores.
struct TopShareSelection: Selection {
    let keep: Quantity
    let column: ColumnName

    var grouping: Grouping { .all }
    var columns: [ColumnName] { [column] }

    func quotas(for groups: Groups) throws(StageError) -> [Int] {
        guard let total = groups.first?.size else { return [] }
        let budget = keep.resolve(of: total)
        guard total > 0 else { return groups.sizes }
        guard budget <= total else {
            throw StageError(
                .invalidData,
                "`keep` asks for \(budget) records but only \(total) reach the stage; lower it, or give a percentage")
        }
        return [budget]
    }

    func memory(rows: Int, _ context: StageContext) -> Int { rows * 64 }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let figures = try group.reals(column)
        let (rows, threshold) = TopShare.rows(scores: figures, count: quota)
        var outcome = GroupOutcome(ranks: [Int32](repeating: -1, count: group.count), reason: "low-variety")
        let order = rows.sorted { figures[$0] != figures[$1] ? figures[$0] > figures[$1] : $0 < $1 }
        for (rank, row) in order.enumerated() { outcome.ranks[row] = Int32(rank) }
        let limit = threshold ?? 0
        outcome.measures = [
            (column.name, figures), ("threshold", [Double](repeating: limit, count: group.count)),
        ]
        // The survey's report has the number of records.
        outcome.report = [
            "kept": .integer(rows.count), "threshold": .real(limit),
            "tied_and_dropped": .integer(figures.count { $0 == limit } - rows.count { figures[$0] == limit }),
        ]
        return outcome
    }

    func report(_ groups: GroupReports) -> JSONValue { groups.first?.report ?? [:] }
}
