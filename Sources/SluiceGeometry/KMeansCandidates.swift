public import SluiceCore

/// The first half of k-means|| (Bahmani et al., «Scalable k-means++», VLDB 2012): candidate rows, each with the number
/// of rows nearest to it.
///
/// The first row is drawn uniformly. In every round each row is then taken independently with probability min(1, ℓ
/// d²/φ), where d is its distance to the nearest candidate so far and φ the sum of all d², both exact integers. A row
/// draws an integer below φ, keyed by the seed, the round and the row, and is taken if that is below ℓ d². So nothing
/// is rounded, and the result does not depend on threads, pieces or the machine.
///
/// Cost: one pass over the rows per round, n·d multiply-adds per candidate in total. Memory: 12 bytes per row, d bytes
/// per candidate.
public struct KMeansCandidates: Sendable {
    /// The candidates, round after round, ascending within a round, each once.
    public private(set) var rows: [Int] = []
    /// For each candidate the number of rows nearest to it, ties to the earliest; they sum to the number of rows. 0 if
    /// an earlier candidate has the same vector, otherwise at least 1.
    public private(set) var weights: [Int] = []
    public private(set) var rounds: [Round] = []

    public struct Round: Sendable, Hashable {
        /// φ before the round: the sum of squared distances to the nearest candidate.
        public var potential: UInt64
        /// The number of candidates that the round added.
        public var count: Int
    }

    /// - Parameters:
    ///   - factor: ℓ, about the number of candidates per round; at least 1.
    ///   - rounds: the number of rounds. There are more while fewer than `distinct` candidates differ, and fewer if
    ///     every row equals a candidate.
    public init(
        _ vectors: VectorView, factor: Int, rounds count: Int, distinct: Int, seed: Seed, parallel: Parallel = .serial
    ) {
        precondition(factor > 0, "a round adds at least one candidate")
        guard vectors.count > 0 else { return }
        let state = NearestCentres(rows: vectors.count, dimension: vectors.dimension)
        var generator = seed.generator()
        var differing = 0
        func take(_ chosen: [Int]) {
            let first = rows.count
            rows += chosen
            for row in chosen { state.add(vectors.row(row)) }
            state.begin(parallel)
            state.fold(0..<vectors.count, vectors.base, parallel)
            state.end()
            for (place, row) in chosen.enumerated() where Int(state.owner[row]) == first + place { differing += 1 }
        }
        take([Int(generator.next(below: UInt64(vectors.count)))])
        while rounds.count < count || differing < distinct {
            let potential = state.potential(parallel)
            if potential == 0 { break }
            let chosen = Self.draw(
                state.least, factor: UInt64(factor), potential: potential,
                seed: seed.derived(for: "round", index: rounds.count), parallel)
            rounds.append(Round(potential: potential, count: chosen.count))
            if !chosen.isEmpty { take(chosen) }
        }
        weights = [Int](repeating: 0, count: rows.count)
        for row in 0..<vectors.count { weights[Int(state.owner[row])] += 1 }
    }

    /// The rows of a round, ascending. A candidate has distance 0, so no row is drawn twice.
    private static func draw(
        _ least: Buffer<Int32>, factor: UInt64, potential: UInt64, seed: Seed, _ parallel: Parallel
    ) -> [Int] {
        let parts = Slots<[Int]>((least.count + pieceRows - 1) / pieceRows, [])
        parallel.pieces(of: least.count) { range in
            var taken: [Int] = []
            for row in range {
                var generator = seed.generator(UInt64(row))
                // Below 2^17 · 2^31 for any number of clusters, so the product can't overflow.
                let share = factor &* UInt64(least.base[row])
                if generator.next(below: potential) < share { taken.append(row) }
            }
            parts.base[range.lowerBound / pieceRows] = taken
        }
        return (0..<(least.count + pieceRows - 1) / pieceRows).flatMap { parts.base[$0] }
    }
}
