import SluiceCore
import SluiceGeometry

/// How hard a bound of the best choice is worked for.
enum Certifying: String, CaseIterable, Sendable {
    /// `tight` for groups of up to 2^20 records, `quick` for larger ones.
    case auto
    /// Farthest-first: from rows that can't share a centre. Facility location: from the largest remaining gains.
    case tight
    /// Farthest-first: half the distance of the next pick. Facility location: none.
    case quick

    func isTight(rows: Int) -> Bool { self == .tight || self == .auto && rows <= 1 << 20 }
}

extension Picker {
    /// The candidates of a bound for some picks: these, and rows farthest from them, as many; of many picks half as many.
    static func candidates(rows: Int, picks: Int) -> Int { min(rows, picks + 16 + min(picks, 512 + picks / 2)) }

    /// Raises the lower bound of a choice by rows that can't share a centre.
    func certify(_ choice: inout Choice) throws(StageError) {
        guard certifying.isTight(rows: rows.count), choice.picks.count < rows.count,
            let radius = choice.squaredDistances.max(), radius > 0
        else { return }
        let most = Self.candidates(rows: rows.count, picks: choice.picks.count)
        let picked = Set(choice.picks)
        let squared = choice.squaredDistances
        let far = TopShare.rows(squaredDistances: squared, count: most).filter { !picked.contains($0) }
        let candidates = choice.picks + far.prefix(most - choice.picks.count)
        let balls = withEarlier {
            DisjointBalls(
                rows: rows.count, dimension: rows.dimension, centres: choice.picks.count, squaredRadius: radius,
                candidates: candidates, already: $0)
        }
        let step = max(1, rows.count / DisjointBalls.sampleRows)
        let sample = Array(stride(from: 0, to: rows.count, by: step).prefix(DisjointBalls.sampleRows))
        try rows.gather(sample).withVectors(dimension: rows.dimension) { (view) throws(StageError) in
            try balls.order(sample: view) { (batch) throws(StageError) in try rows.gather(Array(batch)) }
        }
        while balls.needsPass {
            if context.isStopped { return }
            try rows.gather(balls.candidates).withVectors(dimension: rows.dimension) { balls.begin($0) }
            try rows.forEach { (range, view) throws(StageError) in
                balls.update(rows: range, vectors: view, parallel: context.parallel)
            }
            balls.finishPass()
        }
        if let bound = balls.squaredBound {
            choice.certificate?.raise(bound, Quantizer(dimension: rows.dimension))
        }
    }
}
