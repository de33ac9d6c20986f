import SluiceCore
import SluiceGeometry

/// Which records of a group to keep.
enum Method: String, CaseIterable, Sendable {
    case farthestFirst = "farthest-first"
    case medoids
    case random
    case closest
    case farthest
    case mixed
    case facilityLocation = "facility-location"
    case sensitivity
    case scoreFirst = "score-first"

    /// Whether the picks are to be near all records.
    var covers: Bool { [.farthestFirst, .medoids, .facilityLocation, .sensitivity].contains(self) }
    /// With how many vectors each row of a group is compared, at most; 0 if that does not grow with the group.
    func comparisons(of rows: Int, _ picks: Int, _ certifying: Certifying) -> Double {
        switch self {
        case .farthestFirst:
            let isTight = certifying.isTight(rows: rows) && picks < rows
            return Double(picks + (isTight ? Picker.candidates(rows: rows, picks: picks) : 0))
        case .facilityLocation: return Double(rows) + 64 * Double(picks)
        case .medoids:
            // K-means in rounds; of many picks on two levels.
            let means = Medoids(seed: Seed(0))
            let centres = picks <= means.flatLimit ? Double(picks) : 2 * Double(picks).squareRoot()
            return Double(means.maximumIterations) * centres
        case .random, .closest, .farthest, .mixed, .sensitivity, .scoreFirst: return 0
        }
    }

    /// Whether the picks of a smaller budget are the first ones of a larger one.
    var nests: Bool { [.farthestFirst, .random, .closest, .farthest, .scoreFirst].contains(self) }
}

/// A method's choice in a group.
struct Choice {
    /// The chosen rows in pick order.
    var picks: [Int]
    /// For each row the number of its nearest pick (negative for a record of `already`) and the squared distance to it.
    /// Empty if nothing is picked.
    var nearest: [Int32] = []
    var squaredDistances: [Int32] = []
    var certificate: Certificate?
    /// A method's report entries in addition to the certificate.
    var notes: [JSONValue.Entry] = []
}

struct Picker {
    let rows: Rows
    let quota: Int
    let trim: Int
    /// Rows of a part in two rounds; nil for one round.
    var part: Int?
    /// Sample size of the costly methods; nil for all rows.
    var reservoir: Int?
    /// Any two picks of `score-first` are farther apart than this, as 1 - cosine.
    var distance = 0.0
    var earlier: Earlier?
    var certifying = Certifying.auto
    /// The most swaps after farthest-first.
    var swaps = 0
    let context: StageContext
    /// Content hashes of the rows, the keys for draws.
    let hashes: () throws(StageError) -> [ContentHash]
    /// Scores of the rows, for `score-first`.
    let scores: () throws(StageError) -> [Double]

    /// The largest budget for which k-means runs with one cluster per pick over all rows.
    static let flatLimit = 1024

    /// - Parameter isWhole: whether to return all of a choice, or, for methods that nest, the picks alone.
    func pick(_ method: Method, isWhole: Bool = true) throws(StageError) -> Choice {
        guard quota > 0, rows.count > 0 else { return Choice(picks: []) }
        switch method {
        case .farthestFirst:
            let isComposable = part.map { rows.count > $0 && quota < $0 } ?? false
            var choice = isComposable ? try composable(part ?? 0) : try farthestFirst()
            if isWhole {
                try certify(&choice)
                try swapPicks(of: &choice)
            }
            return choice
        case .medoids: return try medoids()
        case .facilityLocation: return try facilityLocation()
        case .sensitivity: return try sensitivity()
        case .scoreFirst: return try scoreFirst()
        case .random:
            let picks = try lowestDraws(quota)
            return isWhole ? try covering(picks) : Choice(picks: picks)
        case .closest, .farthest, .mixed:
            let picks = try byCosine(method)
            return isWhole ? try covering(picks) : Choice(picks: picks)
        }
    }

    /// The rows with the smallest draws, ascending; equal contents by row.
    private func lowestDraws(_ count: Int) throws(StageError) -> [Int] {
        let hashes = try hashes()
        let draws = hashes.map { context.seed.draw($0) }
        func precedes(_ a: Int, _ b: Int) -> Bool {
            if draws[a] != draws[b] { return draws[a] < draws[b] }
            return hashes[a] != hashes[b] ? hashes[a] < hashes[b] : a < b
        }
        if count == 1 { return draws.indices.min(by: precedes).map { [$0] } ?? [] }
        return Array(draws.indices.sorted(by: precedes).prefix(count))
    }

    // MARK: Farthest first

    private func farthestFirst() throws(StageError) -> Choice {
        // With earlier records the first pick is the row farthest from them: a random start would break the bound.
        let start = earlier == nil ? try lowestDraws(1)[0] : nil
        let vector = try rows.gather(start.map { [$0] } ?? [])
        let run = vector.withUnsafeBufferPointer { vector in
            withEarlier { earlier in
                FarthestFirst(
                    rows: rows.count, dimension: rows.dimension, budget: quota,
                    first: start.map { ($0, vector.baseAddress!) }, already: earlier, trim: trim)
            }
        }
        while run.needsPass {
            try rows.forEach { (range, view) throws(StageError) in
                run.update(rows: range, vectors: view.base, parallel: context.parallel)
            }
            run.finishPass()
        }
        let selection = run.selection(parallel: context.parallel)
        return Choice(
            picks: selection.picks, nearest: selection.nearest, squaredDistances: selection.squaredDistances,
            certificate: selection.certificate,
            notes: [
                JSONValue.Entry("passes", .integer(run.passes)),
                JSONValue.Entry(
                    "multiply_adds_at_most", .integer(rows.count * (quota + (earlier?.count ?? 0)) * rows.dimension)),
            ])
    }

    /// Farthest-first in each part, then among the picks of all parts, then one pass for the distance of every row.
    private func composable(_ part: Int) throws(StageError) -> Choice {
        let hashes = try hashes()
        let draws = hashes.map { context.seed.draw($0) }
        func start(_ range: Range<Int>) -> Int {
            range.min { (draws[$0], hashes[$0], $0) < (draws[$1], hashes[$1], $1) } ?? range.lowerBound
        }
        var coreset = ComposableCoreset(dimension: rows.dimension, budget: quota)
        var parts = 0
        var union = 0
        try rows.forEachPart(of: part) { (range, view) throws(StageError) in
            withEarlier { earlier in
                coreset.add(
                    coreset.part(
                        view, firstRow: range.lowerBound, first: start(range) - range.lowerBound, already: earlier,
                        parallel: context.parallel))
            }
            parts += 1
            union += min(quota, range.count)
        }
        let found = withEarlier {
            coreset.finish(first: start(0..<rows.count), already: $0, parallel: context.parallel)
        }
        var choice = try covering(found.picks, separation: found.picks.count == rows.count ? 0 : found.separation)
        let beside = earlier?.count ?? 0
        choice.notes = [
            JSONValue.Entry("parts", .integer(parts)), JSONValue.Entry("passes", 2),
            JSONValue.Entry(
                "multiply_adds_at_most",
                .integer((2 * rows.count * (quota + beside) + union * (quota + beside)) * rows.dimension)),
        ]
        return choice
    }

    func withEarlier<Result>(_ body: (VectorView?) -> Result) -> Result {
        guard let earlier else { return body(nil) }
        return earlier.vectors.withVectors(dimension: earlier.dimension) { body($0) }
    }

    // MARK: By the centre

    /// The rows closest to the centre of the group, farthest from it, or alternating; ties to the lowest row.
    private func byCosine(_ method: Method) throws(StageError) -> [Int] {
        let cosines = try cosinesToCentre()
        func closest(_ count: Int) -> [Int] {
            let order = cosines.indices.sorted { cosines[$0] != cosines[$1] ? cosines[$0] > cosines[$1] : $0 < $1 }
            return Array(order.prefix(count))
        }
        func farthest() -> [Int] {
            cosines.indices.sorted { cosines[$0] != cosines[$1] ? cosines[$0] < cosines[$1] : $0 < $1 }
        }
        switch method {
        case .closest: return closest(quota)
        case .farthest: return Array(farthest().prefix(quota))
        default:
            let near = closest((quota + 1) / 2)
            let taken = Set(near)
            // With ties, both ends may contain the same rows.
            let far = farthest().lazy.filter { !taken.contains($0) }.prefix(quota / 2)
            var picks: [Int] = []
            var next = far.makeIterator()
            for row in near {
                picks.append(row)
                if let other = next.next() { picks.append(other) }
            }
            return picks
        }
    }

    /// Each row's cosine to the exact sum of all rows, up to a common factor; 0 for a zero vector. Products are exact
    /// integers, so the order is the same everywhere.
    private func cosinesToCentre() throws(StageError) -> [Double] {
        var sum = [Int64](repeating: 0, count: rows.dimension)
        try rows.forEach { (_, view) throws(StageError) in
            for (index, part) in view.sum(context.parallel).enumerated() { sum[index] += part }
        }
        var cosines = [Double](repeating: 0, count: rows.count)
        try rows.forEach { (range, view) throws(StageError) in
            let products = view.products(with: sum, context.parallel)
            let norms = view.squaredNorms(context.parallel)
            for (index, row) in range.enumerated() where norms[index] > 0 {
                cosines[row] = Double(products[index]) / Double(norms[index]).squareRoot()
            }
        }
        return cosines
    }

    // MARK: By score

    /// DEITA's rule: in descending score, ties to the lowest row, each row that is not near an earlier pick, until the
    /// budget is met.
    private func scoreFirst() throws(StageError) -> Choice {
        let scores = try scores()
        let order = scores.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
        let quantizer = Quantizer(dimension: rows.dimension)
        var filter = PairwiseFilter(
            dimension: rows.dimension, squaredLimit: quantizer.squaredLimit(cosine: 1 - distance))
        var picks: [Int] = []
        var looked = 0
        for start in stride(from: 0, to: order.count, by: 4096) where picks.count < quota {
            let batch = Array(order[start..<min(order.count, start + 4096)])
            let found = try rows.gather(batch).withVectors(dimension: rows.dimension) {
                filter.add($0, parallel: context.parallel)
            }
            for (row, outcome) in zip(batch, found) where picks.count < quota {
                looked += 1
                if outcome.partner == nil { picks.append(row) }
            }
        }
        var choice = try covering(picks)
        choice.notes = [
            JSONValue.Entry("looked_at", .integer(looked)),
            JSONValue.Entry("too_near_to_a_pick", .integer(looked - picks.count)),
            JSONValue.Entry("short_of_the_budget", .integer(quota - picks.count)),
            JSONValue.Entry("without_a_score", .integer(scores.count { $0 == ScoreTransform.missing })),
            JSONValue.Entry(
                "lowest_score_kept",
                picks.last.map { scores[$0] == ScoreTransform.missing ? .null : .real(scores[$0]) } ?? .null),
        ]
        return choice
    }

    // MARK: By k-means and facility location

    private func inMemory<Result>(_ method: Method, _ body: (VectorView) throws(StageError) -> Result)
        throws(StageError) -> Result
    {
        try rows.withAll(memory: context.memory, for: "method `\(method.rawValue)`", body)
    }

    /// The sample for a costly method, ascending, uniform by content; nil for all rows.
    private func sample() throws(StageError) -> [Int]? {
        guard let reservoir, reservoir < rows.count else { return nil }
        return try lowestDraws(reservoir).sorted()
    }

    private func facilityLocation() throws(StageError) -> Choice {
        func choose(_ view: VectorView) -> FacilityLocation {
            FacilityLocation.select(
                view, count: quota, bounded: certifying.isTight(rows: view.count), parallel: context.parallel)
        }
        let sample = try sample()
        let found: FacilityLocation
        if let sample {
            found = try rows.gather(sample).withVectors(dimension: rows.dimension) { choose($0) }
        } else {
            found = try inMemory(.facilityLocation) { (view) throws(StageError) in choose(view) }
        }
        var choice = try covering(found.picks.map { sample?[$0] ?? $0 })
        choice.notes = [JSONValue.Entry("value", .integer(Int(found.value)))]
        if let bound = found.bound {
            choice.notes += [
                JSONValue.Entry("value_bound", .integer(Int(bound))),
                JSONValue.Entry("share_of_best_at_least", .real(bound > 0 ? Double(found.value) / Double(bound) : 1)),
            ]
        }
        return choice
    }

    /// Draws by the distances to the centroids of `quota / 2` clusters, at most 1,024.
    private func sensitivity() throws(StageError) -> Choice {
        let means = KMeans(clusters: max(1, min(quota / 2, Self.flatLimit)), seed: context.seed)
        let distances: [Int32]
        if let sample = try sample() {
            let centroids = try rows.gather(sample).withVectors(dimension: rows.dimension) {
                means.run($0, parallel: context.parallel).centroids
            }
            distances = try assign(centroids).squaredDistances
        } else {
            distances = try inMemory(.sensitivity) { (view) throws(StageError) in
                means.run(view, parallel: context.parallel).squaredDistances
            }
        }
        return try covering(
            Sensitivity.select(squaredDistances: distances, hashes: try hashes(), count: quota, seed: context.seed))
    }

    /// The medoids, in descending number of records nearest to them.
    private func medoids() throws(StageError) -> Choice {
        let picks: [Int]
        if quota < rows.count, let sample = try sample() {
            picks = try medoids(from: sample)
        } else {
            picks = try inMemory(.medoids) { (view) throws(StageError) in
                Medoids(seed: context.seed, flatLimit: Self.flatLimit).select(
                    view, count: quota, parallel: context.parallel)
            }
        }
        var choice = try covering(picks)
        var sizes = [Int](repeating: 0, count: picks.count)
        for pick in choice.nearest { sizes[Int(pick)] += 1 }
        let order = picks.indices.sorted { sizes[$0] != sizes[$1] ? sizes[$0] > sizes[$1] : picks[$0] < picks[$1] }
        var place = [Int32](repeating: 0, count: picks.count)
        for (rank, pick) in order.enumerated() { place[pick] = Int32(rank) }
        choice.picks = order.map { picks[$0] }
        choice.nearest = choice.nearest.map { place[Int($0)] }
        return choice
    }

    /// Medoids whose centroids come from a sample; any row may be one. A large budget takes two levels: about √quota
    /// clusters from the sample, then medoids among all rows of each.
    private func medoids(from sample: [Int]) throws(StageError) -> [Int] {
        let isFlat = quota <= min(Self.flatLimit, sample.count)
        var clusters = quota
        if !isFlat {
            clusters = 1
            while clusters * clusters < quota { clusters += 1 }
        }
        let seed = isFlat ? context.seed : context.seed.derived(for: "medoid groups")
        var clustering = try rows.gather(sample).withVectors(dimension: rows.dimension) {
            KMeans(clusters: min(clusters, sample.count), seed: seed).run($0, parallel: context.parallel)
        }
        (clustering.labels, clustering.squaredDistances) = try assign(clustering.centroids)
        clustering.sizes = [Int](repeating: 0, count: clustering.count)
        for label in clustering.labels { clustering.sizes[Int(label)] += 1 }
        if isFlat { return Medoids.nearestMembers(clustering) }

        let shares = SluiceGeometry.Shares.proportional(sizes: clustering.sizes, total: quota)
        var members = [[Int]](repeating: [], count: clustering.count)
        for (row, label) in clustering.labels.enumerated() { members[Int(label)].append(row) }
        var picks: [Int] = []
        var next = 0
        while next < members.count {
            // As many clusters as fit, at least one, are read in one pass.
            let first = next
            var bytes = 0
            repeat {
                bytes += members[next].count * rows.dimension
                next += 1
            } while next < members.count && bytes + members[next].count * rows.dimension <= context.memory / 4
            for (cluster, vectors) in zip(first..<next, try rows.gather(Array(members[first..<next])))
            where shares[cluster] > 0 {
                let inside = vectors.withVectors(dimension: rows.dimension) {
                    Medoids(seed: context.seed.derived(for: "medoids", index: cluster), flatLimit: .max)
                        .select($0, count: shares[cluster], parallel: context.parallel)
                }
                picks += inside.map { members[cluster][$0] }
            }
        }
        return picks.sorted()
    }

    // MARK: Covering

    /// Each row's nearest centre, ties to the lowest, and the squared distance to it, in one pass over the vectors.
    private func assign(_ centres: [Int8]) throws(StageError) -> (labels: [UInt32], squaredDistances: [Int32]) {
        let assigner = centres.withVectors(dimension: rows.dimension) { Assigner(centres: $0) }
        var labels = [UInt32](repeating: 0, count: rows.count)
        var distances = [Int32](repeating: 0, count: rows.count)
        try rows.forEach { (range, view) throws(StageError) in
            labels.withUnsafeMutableBufferPointer { labels in
                distances.withUnsafeMutableBufferPointer { distances in
                    assigner.assign(
                        view, labels: labels.baseAddress! + range.lowerBound,
                        squaredDistances: distances.baseAddress! + range.lowerBound, parallel: context.parallel)
                }
            }
        }
        return (labels, distances)
    }

    /// Every row's nearest pick or earlier record, in one pass over the vectors.
    private func covering(_ picks: [Int], separation: Int32 = 0) throws(StageError) -> Choice {
        var choice = Choice(picks: picks)
        let earlierCount = Int32(earlier?.count ?? 0)
        let (labels, squared) = try assign((earlier?.vectors ?? []) + rows.gather(picks))
        choice.nearest = labels.map { Int32($0) < earlierCount ? -1 - Int32($0) : Int32($0) - earlierCount }
        choice.squaredDistances = squared
        choice.certificate = Certificate(
            squaredDistances: squared, separation: separation, trim: trim,
            quantizer: Quantizer(dimension: rows.dimension), parallel: context.parallel)
        return choice
    }
}
