public import SluiceCore

/// The first half of k-means|| (Bahmani et al., «Scalable k-means++», VLDB 2012): rows that stand for all, each with the number of
/// rows that are nearest to it.
///
/// One row is drawn uniformly. Then in every round each row is taken, by itself, with the probability min(1, ℓ d²/φ): d its distance to the
/// nearest candidate so far, φ the sum of all d², both exact integers. A row's draw is an integer below φ that is keyed by the seed, the round and the row, and
/// the row is taken where that is below ℓ d². So nothing is rounded, and neither threads nor pieces nor the machine have a say.
///
/// Cost: a pass over the rows a round, n·d multiply-adds a candidate in all. Memory: 12 bytes a row, d bytes a candidate.
public struct KMeansCandidates: Sendable {
    /// The candidates, round after round, ascending within a round; no row twice.
    public private(set) var rows: [Int] = []
    /// For each candidate how many rows are nearest to it, the earliest of equals; they sum up to the number of rows. 0 where a
    /// candidate before it has the same vector, and else at least 1.
    public private(set) var weights: [Int] = []
    public private(set) var rounds: [Round] = []

    public struct Round: Sendable, Hashable {
        /// φ before the round: the sum of squared distances to the nearest candidate.
        public var potential: UInt64
        /// How many candidates the round added.
        public var count: Int
    }

    /// - Parameters:
    ///   - factor: ℓ, about how many candidates a round adds; at least 1.
    ///   - rounds: how many there are. There are more while fewer than `distinct` candidates differ, and fewer where every row equals
    ///     one of them.
    public init(
        _ vectors: VectorView, factor: Int, rounds count: Int, distinct: Int, seed: Seed, parallel: Parallel = .serial
    ) {
        precondition(factor > 0, "a round adds one candidate at least")
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

    /// The rows of a round, ascending. A row that is a candidate has distance 0, so no row comes twice.
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
