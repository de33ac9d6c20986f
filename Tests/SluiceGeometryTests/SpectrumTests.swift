import SluiceCore
import SluiceGeometry
import Testing

@Suite struct MomentsTests {
    @Test func equalPlainSums() {
        for d in [1, 5, 64, 65, 130] {
            let n = 50
            let rows = randomRows(n, d, seed: UInt64(d))
            var moments = Moments(dimension: d)
            rows.withVectors(dimension: d) { moments.add($0, parallel: threads(2)) }
            #expect(moments.count == n)
            for i in 0..<d {
                #expect(moments.sums[i] == (0..<n).reduce(0) { $0 + Int64(rows[$1 * d + i]) })
                for j in stride(from: i, to: d, by: 7) {
                    #expect(
                        moments.product(i, j)
                            == (0..<n).reduce(0) { $0 + Int64(rows[$1 * d + i]) * Int64(rows[$1 * d + j]) })
                }
            }
        }
    }

    @Test func anySplitMergesToTheSameBits() {
        let d = 20
        let rows = randomRows(10_000, d, seed: 3)
        rows.withVectors(dimension: d) { view in
            var whole = Moments(dimension: d)
            whole.add(view)
            var parts = [Moments]()
            for range in [0..<1, 1..<4100, 4100..<10_000] {
                var part = Moments(dimension: d)
                part.add(view[range], parallel: threads(3))
                parts.append(part)
            }
            var merged = parts[2]
            merged.merge(parts[0])
            merged.merge(parts[1])
            #expect(merged.products == whole.products && merged.sums == whole.sums && merged.count == whole.count)
            merged.add(view[0..<0])
            #expect(merged.count == whole.count)
        }
    }

    @Test func standardisesLikeStandardScaler() {
        // Three components: a, -a (correlation -1), and a constant.
        let rows: [Int8] = [1, -1, 5, 2, -2, 5, 6, -6, 5]
        var moments = Moments(dimension: 3)
        rows.withVectors(dimension: 3) { moments.add($0) }
        #expect(moments.means == [3, -3, 5])
        #expect(abs(moments.deviations[0] - (14.0 / 3).squareRoot()) < 1e-14 && moments.deviations[2] == 1)
        let matrix = moments.standardizedCovariance()
        #expect(matrix == [1, -1, 0, -1, 1, 0, 0, 0, 0])
    }
}

@Suite struct SymmetricEigenTests {
    private func check(_ matrix: [Double], _ n: Int) {
        let eigen = SymmetricEigen(matrix, dimension: n, parallel: threads(2))
        let size = matrix.map(\.magnitude).max()! + 1e-300
        #expect(zip(eigen.values, eigen.values.dropFirst()).allSatisfy { $0 >= $1 })
        var worst = 0.0
        for k in 0..<n {
            let v = Array(eigen.vectors[k * n..<(k + 1) * n])
            for i in 0..<n {
                let product = (0..<n).reduce(0.0) { $0 + matrix[i * n + $1] * v[$1] }
                worst = max(worst, (product - eigen.values[k] * v[i]).magnitude / size)
            }
            for l in 0...k {
                let inner = (0..<n).reduce(0.0) { $0 + v[$1] * eigen.vectors[l * n + $1] }
                worst = max(worst, (inner - (l == k ? 1 : 0)).magnitude)
            }
            let largest = v.map(\.magnitude).max()!
            #expect(v.first { $0.magnitude == largest }! > 0)
        }
        #expect(worst < 1e-12 * Double(n))
        #expect(SymmetricEigen(matrix, dimension: n).vectors == eigen.vectors, "the width is no part of the result")
    }

    private func symmetric(_ n: Int, _ seed: UInt64) -> [Double] {
        var generator = SplitMix64(state: seed)
        var matrix = [Double](repeating: 0, count: n * n)
        for i in 0..<n {
            for j in 0...i {
                matrix[i * n + j] = Double(Int64(bitPattern: generator.next())) / 9e18
                matrix[j * n + i] = matrix[i * n + j]
            }
        }
        return matrix
    }

    @Test func residualAndOrthogonality() {
        for n in [1, 2, 3, 8, 17, 65, 90] { check(symmetric(n, UInt64(n)), n) }
    }

    @Test func degenerateMatrices() {
        let n = 12
        check([Double](repeating: 0, count: n * n), n)
        check((0..<n * n).map { $0 % (n + 1) == 0 ? 3 : 0 }, n)
        check([Double](repeating: 1, count: n * n), n)
        check((0..<n * n).map { $0 % (n + 1) == 0 ? Double($0) : 0 }, n)
        check(symmetric(n, 1).map { $0 * 1e-150 }, n)
    }

    @Test func knownSpectrum() {
        // The second-difference matrix: 2 - 2 cos(k π / (n + 1)); for n = 5 these are 2 ± √3, 3, 2, 1.
        let n = 5
        let matrix = (0..<n * n).map { i -> Double in i / n == i % n ? 2 : abs(i / n - i % n) == 1 ? -1 : 0 }
        let expected = [2 + 3.0.squareRoot(), 3, 2, 1, 2 - 3.0.squareRoot()]
        for (value, known) in zip(SymmetricEigen(matrix, dimension: n).values, expected) {
            #expect(abs(value - known) < 1e-14)
        }
    }
}

@Suite struct RowVarianceTests {
    private func moments(_ rows: [Int8], _ d: Int) -> Moments {
        var moments = Moments(dimension: d)
        rows.withVectors(dimension: d) { moments.add($0) }
        return moments
    }

    /// Standardise, project and compute the variance, in the simplest way.
    @Test func equalsThePlainRecipe() {
        let (n, d) = (300, 12)
        let rows = clusteredRows(n, d, centres: 5, seed: 1)
        let moments = moments(rows, d)
        let eigen = SymmetricEigen(moments.standardizedCovariance(), dimension: d)
        let total = eigen.values.reduce(0, +)
        var sum = 0.0
        let index = eigen.values.firstIndex { value in
            sum += value
            return sum / total >= 0.95
        }!
        for (components, kept) in [(RowVariance.Components.paper, index), (.full, index + 1)] {
            let variety = RowVariance(moments: moments, components: components)
            #expect(variety.components == kept)
            let scores = rows.withVectors(dimension: d) { variety.scores($0, parallel: threads(2)) }
            let whitened = RowVariance(moments: moments, measure: .leverage, components: components)
            let leverages = rows.withVectors(dimension: d) { whitened.scores($0) }
            for i in 0..<n {
                let x = (0..<d).map { (Double(rows[i * d + $0]) - moments.means[$0]) / moments.deviations[$0] }
                let z = (0..<kept).map { k in (0..<d).reduce(0.0) { $0 + x[$1] * eigen.vectors[k * d + $1] } }
                let mean = z.reduce(0, +) / Double(kept)
                let variance = z.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(kept)
                #expect(abs(scores[i] - variance) < 1e-9 * (1 + variance))
                let leverage = (0..<kept).reduce(0.0) { $0 + z[$1] * z[$1] / eigen.values[$1] } / Double(kept)
                #expect(abs(leverages[i] - leverage) < 1e-9 * (1 + leverage))
            }
            #expect(abs(leverages.reduce(0, +) / Double(n) - 1) < 1e-9, "whitened rows have unit variance")
        }
    }

    @Test func blocksAndWidthsGiveTheSameBits() {
        let d = 33
        let rows = clusteredRows(1100, d, centres: 20, seed: 2)
        let variety = RowVariance(moments: moments(rows, d))
        rows.withVectors(dimension: d) { view in
            let whole = variety.scores(view)
            let parts = [0..<1, 1..<64, 64..<700, 700..<1100].flatMap { variety.scores(view[$0], parallel: threads(3)) }
            #expect(whole == parts)
        }
    }

    /// LIFT's score doesn't compare rows: it keeps both members of a planted pair or neither; the pairwise rule drops
    /// one.
    @Test func keepsBothOfAPlantedPairWherePairwiseDropsOne() {
        let d = 16
        var rows = clusteredRows(400, d, centres: 30, seed: 5)
        for pair in 0..<40 { rows.replaceSubrange((360 + pair) * d..<(361 + pair) * d, with: rows.row(pair, d)) }
        let variety = RowVariance(moments: moments(rows, d))
        rows.withVectors(dimension: d) { view in
            let kept = Set(TopShare.rows(scores: variety.scores(view), count: 200).rows)
            let pairs = (0..<40).filter { kept.contains($0) }
            #expect(pairs.count > 5)
            #expect(
                pairs.count { kept.contains(360 + $0) } >= pairs.count - 1,
                "only a tie at the threshold can part a pair")
            let outcomes = PairwiseFilter.run(view, squaredLimit: 0)
            for pair in 0..<40 { #expect(outcomes[360 + pair] == .init(partner: pair, squaredDistance: 0)) }
            #expect(outcomes.count { $0.partner != nil } == 40)
        }
    }

    @Test func constantComponentsAndEqualRows() {
        let same = [Int8](repeating: 4, count: 10 * 6)
        let scores = same.withVectors(dimension: 6) { RowVariance(moments: moments(same, 6)).scores($0) }
        #expect(scores == [Double](repeating: 0, count: 10))
        let leverage = same.withVectors(dimension: 6) {
            RowVariance(moments: moments(same, 6), measure: .leverage).scores($0)
        }
        #expect(leverage.allSatisfy { $0 == 0 })
    }

    @Test func topShareBreaksTiesByRow() {
        #expect(TopShare.rows(scores: [1, 3, 3, 2, 3], count: 2).rows == [1, 2])
        #expect(TopShare.rows(scores: [1, 3, .nan, 2], count: 3).rows == [0, 1, 3])
        #expect(TopShare.rows(scores: [1, 3], count: 9).rows == [0, 1])
        #expect(TopShare.rows(scores: [1, 3], count: 0).threshold == nil)
        #expect(TopShare.rows(scores: [1, 3, 2], count: 2).threshold == 2)
    }
}

@Suite struct ElementaryTests {
    @Test func logarithmAndExponential() {
        #expect(Elementary.log(1) == 0 && Elementary.exp(0) == 1 && Elementary.log(0) == -.infinity)
        #expect(abs(Elementary.log(2) - 0.6931471805599453) < 2e-16)
        #expect(abs(Elementary.log(10) - 2.302585092994046) < 9e-16)
        #expect(abs(Elementary.exp(1) - 2.718281828459045) < 9e-16)
        for x in [1e-300, 3e-9, 0.4, 0.99999, 1.0001, 7, 12345.6, 1e250] {
            #expect(abs(Elementary.exp(Elementary.log(x)) / x - 1) < 1e-13)
        }
    }
}

@Suite struct PairwiseTests {
    private func plain(_ rows: [Int8], _ d: Int, _ order: [Int], _ limit: Int) -> [PairwiseFilter.Outcome] {
        var kept: [Int] = []
        return order.indices.map { place in
            var best: (distance: Int, place: Int)?
            for other in kept {
                let distance = squaredDistance(rows.row(order[place], d), rows.row(order[other], d))
                if best == nil || distance < best!.distance { best = (distance, other) }
            }
            if let best, best.distance <= limit {
                return .init(partner: best.place, squaredDistance: Int32(best.distance))
            }
            kept.append(place)
            return .init(partner: nil, squaredDistance: best.map { Int32($0.distance) } ?? .max)
        }
    }

    @Test func equalsTheSequentialDefinition() {
        for (trial, limit) in [0, 60, 400, 1500, 100_000].enumerated() {
            let d = 5
            let rows = clusteredRows(1300, d, centres: 150, noise: 9, seed: UInt64(trial))
            var order = Array(0..<1300)
            var generator = SplitMix64(state: UInt64(trial))
            order.shuffle(using: &generator)
            let expected = plain(rows, d, order, limit)
            rows.withVectors(dimension: d) { view in
                #expect(
                    PairwiseFilter.run(view, order: order, squaredLimit: Int32(limit), parallel: threads(2)) == expected
                )
            }
        }
    }

    @Test func blocksDontMatter() {
        let d = 3
        let rows = randomRows(2600, d, limit: 120, seed: 9)
        rows.withVectors(dimension: d) { view in
            var filter = PairwiseFilter(dimension: d, squaredLimit: 10)
            let parts = [0..<1, 1..<600, 600..<601, 601..<2600].flatMap { filter.add(view[$0]) }
            let whole = PairwiseFilter.run(view, squaredLimit: 10)
            #expect(parts == whole)
            #expect(filter.keptCount == whole.count { $0.partner == nil } && filter.keptCount > 2048)
        }
    }
}
