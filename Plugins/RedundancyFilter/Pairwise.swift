import SluiceCore
import SluiceGeometry

/// Drops a record that lies within the distance of one that is kept before it.
struct PairwiseSelection: Selection {
    enum Order: Sendable, Hashable {
        /// As in the input.
        case ordinal
        /// Lowest first.
        case rank
        /// Highest first.
        case score(ColumnName)

        var column: ColumnName? {
            switch self {
            case .ordinal: nil
            case .rank: .rank
            case .score(let name): name
            }
        }
    }

    /// As 1 - cosine.
    let distance: Double
    let order: Order
    let isPerCluster: Bool

    /// Rows gathered at a time where the order is not that of the input.
    private static let batch = 4096

    var grouping: Grouping { isPerCluster ? .by(.cluster) : .all }
    var columns: [ColumnName] { [.embedding] + (order.column.map { [$0] } ?? []) }

    func quotas(for sizes: [Int]) throws(StageError) -> [Int] { sizes }

    /// The kept vectors, twice, of which the dimension is not known yet: 512 is assumed; and the outcome.
    func memory(rows: Int) -> Int { rows * (2 * 512 + 64) }

    func select(_ group: Group, quota: Int, _ context: StageContext) throws(StageError) -> GroupOutcome {
        let source = try group.vectors(.embedding)
        let quantizer = Quantizer(dimension: source.dimension)
        var filter = PairwiseFilter(
            dimension: source.dimension, squaredLimit: quantizer.squaredLimit(cosine: 1 - distance))
        var found: [PairwiseFilter.Outcome] = []
        found.reserveCapacity(group.count)
        let rows = try rows(of: group)
        if let rows {
            for start in stride(from: 0, to: rows.count, by: Self.batch) {
                var gathered: [Int8] = []
                for row in rows[start..<min(rows.count, start + Self.batch)] {
                    if let resident = source.resident {
                        gathered += resident[(row * source.dimension)..<((row + 1) * source.dimension)]
                    } else {
                        gathered += try source.row(row)
                    }
                }
                found += gathered.withVectors(dimension: source.dimension) { filter.add($0, parallel: context.parallel) }
            }
        } else if group.count > 0 {
            try source.forEachChunk { (range, values) throws(StageError) in
                let view = VectorView(values.baseAddress!, count: range.count, dimension: source.dimension)
                found += filter.add(view, parallel: context.parallel)
            }
        }

        var outcome = GroupOutcome(
            ranks: [Int32](repeating: -1, count: group.count), partners: [Int32](repeating: -1, count: group.count),
            reason: "near-duplicate")
        var distances = [Double](repeating: 0, count: group.count)
        var rank: Int32 = 0
        for (place, one) in found.enumerated() {
            let row = rows?[place] ?? place
            if let partner = one.partner {
                outcome.partners[row] = Int32(rows?[partner] ?? partner)
                let chord = quantizer.chord(fromSquared: one.squaredDistance)
                distances[row] = chord * chord / 2
            } else {
                outcome.ranks[row] = rank
                rank += 1
            }
        }
        outcome.measures = [("distance", distances)]
        return outcome
    }

    /// The rows in the order in which they are looked at; nil for that of the input. Ties go to the lowest row.
    private func rows(of group: Group) throws(StageError) -> [Int]? {
        switch order {
        case .ordinal: return nil
        case .rank:
            let ranks = try group.integers(.rank)
            return ranks.indices.sorted { ranks[$0] != ranks[$1] ? ranks[$0] < ranks[$1] : $0 < $1 }
        case .score(let name):
            let scores: [Double]
            do throws(StageError) {
                scores = try group.reals(name)
            } catch {
                guard error.code == .fault else { throw error }
                scores = try group.integers(name).map { Double($0) }
            }
            // A score that is no number comes last.
            func value(_ row: Int) -> Double { scores[row].isNaN ? -.infinity : scores[row] }
            return scores.indices.sorted { value($0) != value($1) ? value($0) > value($1) : $0 < $1 }
        }
    }

    func report(_ groups: [GroupReport]) -> Report {
        [
            "records": .integer(groups.reduce(0) { $0 + $1.size }),
            "kept": .integer(groups.reduce(0) { $0 + $1.kept }),
            "distance": .real(distance),
            "groups": .integer(groups.count),
        ]
    }
}
