import SluiceCore
import SluiceGeometry

/// k-center in one round and in two, from row 0: seconds, reads of the vectors, radius, bound and factor.
func compareRounds(_ vectors: VectorView, picks: Int, parts: [Int], parallel: Parallel) {
    func report(_ name: String, _ seconds: Double, passes: Int, _ certificate: Certificate?) {
        guard let certificate else { return }
        print(
            #"{"rounds": "\#(name)", "seconds": \#(seconds), "passes": \#(passes), "radius": \#(certificate.radius), "lower_bound": \#(certificate.lowerBound), "factor": \#(certificate.factor ?? 0), "mean_distance": \#(certificate.meanDistance)}"#
        )
    }
    let (one, seconds) = timed {
        let run = FarthestFirst(
            rows: vectors.count, dimension: vectors.dimension, budget: picks, first: (0, vectors.row(0)))
        while run.needsPass {
            run.update(rows: 0..<vectors.count, vectors: vectors.base, parallel: parallel)
            run.finishPass()
        }
        return (run.selection(parallel: parallel), run.passes)
    }
    report("one", seconds, passes: one.1, one.0.certificate)
    for part in parts {
        let (two, seconds) = timed {
            ComposableCoreset.select(vectors, count: picks, partSize: part, parallel: parallel)
        }
        report("composable, part \(part)", seconds, passes: 2, two.certificate)
    }
}
