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
}

/// What a method chose in a group.
struct Choice {
    /// The chosen rows in the order of picks.
    var picks: [Int]
    /// For each row the number of its nearest pick, and the squared distance to it. Empty where nothing is picked.
    var nearest: [Int32] = []
    var squaredDistances: [Int32] = []
    var certificate: Certificate?
}

struct Picker {
    let rows: Rows
    let quota: Int
    let trim: Int
    let context: StageContext

    /// - Parameter hashes: of the rows; draws are keyed by them.
    func pick(_ method: Method, hashes: () throws(StageError) -> [ContentHash]) throws(StageError) -> Choice {
        guard quota > 0, rows.count > 0 else { return Choice(picks: []) }
        switch method {
        case .farthestFirst: return try farthestFirst(start: lowestDraws(try hashes(), 1)[0])
        case .medoids: return try medoids()
        case .facilityLocation:
            return try covering(
                inMemory("facility-location") { FacilityLocation.select($0, count: quota, parallel: context.parallel) })
        case .sensitivity: return try covering(sensitivity(try hashes()))
        case .random: return try covering(lowestDraws(try hashes(), quota))
        case .closest:
            return try covering(Array(byCosine().prefix(quota)))
        case .farthest:
            return try covering(Array(byCosine().reversed().prefix(quota)))
        case .mixed:
            let order = try byCosine()
            return try covering((0..<quota).map { $0 % 2 == 0 ? order[$0 / 2] : order[order.count - 1 - $0 / 2] })
        }
    }

    /// The rows with the smallest draws, ascending; equal contents by row.
    private func lowestDraws(_ hashes: [ContentHash], _ count: Int) -> [Int] {
        let draws = hashes.map { context.seed.draw($0) }
        func precedes(_ a: Int, _ b: Int) -> Bool {
            if draws[a] != draws[b] { return draws[a] < draws[b] }
            return hashes[a] != hashes[b] ? hashes[a] < hashes[b] : a < b
        }
        if count == 1 { return draws.indices.min(by: precedes).map { [$0] } ?? [] }
        return Array(draws.indices.sorted(by: precedes).prefix(count))
    }

    private func farthestFirst(start: Int) throws(StageError) -> Choice {
        let vector = try rows.gather([start])
        let run = vector.withUnsafeBufferPointer { vector in
            FarthestFirst(
                rows: rows.count, dimension: rows.dimension, budget: quota, first: (start, vector.baseAddress!), trim: trim)
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
            certificate: selection.certificate)
    }

    /// The rows by falling cosine to the centre of the group, ties to the lowest row; a zero vector has cosine 0.
    private func byCosine() throws(StageError) -> [Int] {
        var sum = [Int64](repeating: 0, count: rows.dimension)
        try rows.forEach { (_, view) throws(StageError) in
            for (index, part) in view.sum(context.parallel).enumerated() { sum[index] += part }
        }
        // As many leading bits as an Int32 holds: the direction is what counts.
        let largest = sum.map(\.magnitude).max() ?? 0
        let shift = Int64(max(0, 34 - largest.leadingZeroBitCount))
        let centre = Quantizer(dimension: rows.dimension).quantize(sums: sum.map { Int32(truncatingIfNeeded: $0 >> shift) })
        var cosines = [Double](repeating: 0, count: rows.count)
        try rows.forEach { (range, view) throws(StageError) in
            let products = centre.withUnsafeBufferPointer { view.products(with: $0.baseAddress!, context.parallel) }
            let norms = view.squaredNorms(context.parallel)
            for (index, row) in range.enumerated() where norms[index] > 0 {
                cosines[row] = Double(products[index]) / Double(norms[index]).squareRoot()
            }
        }
        return cosines.indices.sorted { cosines[$0] != cosines[$1] ? cosines[$0] > cosines[$1] : $0 < $1 }
    }

    private func inMemory<Result>(_ method: String, _ body: (VectorView) -> Result) throws(StageError) -> Result {
        try rows.withAll(memory: context.memory, for: "method `\(method)`") { (view) throws(StageError) in body(view) }
    }

    /// The medoids, those that most records are nearest to first.
    private func medoids() throws(StageError) -> Choice {
        let picks = try inMemory("medoids") {
            Medoids(seed: context.seed).select($0, count: quota, parallel: context.parallel)
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

    /// Distances to the centroids of half as many clusters as records are wanted, at most 1,024; then the draw.
    private func sensitivity(_ hashes: [ContentHash]) throws(StageError) -> [Int] {
        let means = KMeans(clusters: max(1, min(quota / 2, 1024)), seed: context.seed)
        let distances = try inMemory("sensitivity") { means.run($0, parallel: context.parallel).squaredDistances }
        return Sensitivity.select(squaredDistances: distances, hashes: hashes, count: quota, seed: context.seed)
    }

    /// Every row's nearest pick, by one pass over the vectors.
    private func covering(_ picks: [Int]) throws(StageError) -> Choice {
        var choice = Choice(picks: picks)
        let centres = try rows.gather(picks)
        let assigner = centres.withVectors(dimension: rows.dimension) { Assigner(centres: $0) }
        choice.nearest = [Int32](repeating: 0, count: rows.count)
        choice.squaredDistances = [Int32](repeating: 0, count: rows.count)
        try rows.forEach { (range, view) throws(StageError) in
            let (labels, squared) = assigner.assign(view, parallel: context.parallel)
            for (index, row) in range.enumerated() {
                choice.nearest[row] = Int32(labels[index])
                choice.squaredDistances[row] = squared[index]
            }
        }
        choice.certificate = Certificate(
            squaredDistances: choice.squaredDistances, separation: 0, trim: trim,
            quantizer: Quantizer(dimension: rows.dimension), parallel: context.parallel)
        return choice
    }
}
