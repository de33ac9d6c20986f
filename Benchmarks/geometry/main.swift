// usage: geometry-bench {kmeans,kcenter,lift} VECTORS.i8.npy THREADS OUT.npy
//        geometry-bench starts VECTORS.i8.npy THREADS CLUSTERS...
//        geometry-bench rounds VECTORS.i8.npy THREADS PICKS PART...
//
// Works on Int8 vectors with SluiceGeometry, writes the result and prints one line of JSON: the seconds of the work, without
// loading, and figures about the result. `starts` prints a line for each start of k-means, `rounds` one for k-center in one
// round and one for each size of a part.
import Dispatch
import Glibc
import SluiceCore
import SluiceGeometry
import Synchronization

let (clusters, iterations, picks) = (256, 20, 500)

guard CommandLine.arguments.count >= 5, let threads = Int(CommandLine.arguments[3]), threads > 0 else {
    Npy.fail("usage: geometry-bench {kmeans,kcenter,lift} VECTORS.i8.npy THREADS OUT.npy")
}
let (work, source, target) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[4])

/// The given number of threads; each takes the next piece of work.
let parallel = Parallel(width: threads) { pieces, body in
    if threads == 1 || pieces == 1 {
        for piece in 0..<pieces { body(piece) }
        return
    }
    let next = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: min(threads, pieces)) { _ in
        while true {
            let piece = next.add(1, ordering: .relaxed).oldValue
            if piece >= pieces { return }
            body(piece)
        }
    }
}

let loaded = Npy.readInt8(source)

func timed<Result>(_ body: () -> Result) -> (Result, seconds: Double) {
    let start = ContinuousClock.now
    let result = body()
    let took = ContinuousClock.now - start
    return (result, Double(took.components.seconds) + Double(took.components.attoseconds) * 1e-18)
}

if work == "starts" || work == "rounds" {
    let numbers = CommandLine.arguments.dropFirst(4).compactMap { Int($0) }
    loaded.values.withVectors(dimension: loaded.dimension) {
        if work == "starts" {
            compareStarts($0, clusters: numbers, parallel: parallel)
        } else {
            compareRounds($0, picks: numbers[0], parts: Array(numbers.dropFirst()), parallel: parallel)
        }
    }
    exit(0)
}

let (seconds, facts) = loaded.values.withVectors(dimension: loaded.dimension) { vectors -> (Double, String) in
    switch work {
    case "kmeans":
        let (found, seconds) = timed {
            KMeans(clusters: clusters, maximumIterations: iterations, seed: Seed(1)).run(vectors, parallel: parallel)
        }
        Npy.write(found.centroids, type: "|i1", shape: "(\(found.count), \(loaded.dimension))", to: target)
        return (seconds, #""inertia_int8": \#(found.inertia), "iterations": \#(found.iterations), "#
            + #""distances_computed": \#(Double(found.distancesComputed) / Double(vectors.count * clusters * found.iterations))"#)
    case "kcenter":
        let (found, seconds) = timed { FarthestFirst.select(vectors, count: picks, first: 0, parallel: parallel) }
        Npy.write(found.picks.map { Int64($0) }, type: "<i8", shape: "(\(found.picks.count),)", to: target)
        let (radius, bound) = (found.certificate?.radius ?? 0, found.certificate?.lowerBound ?? 0)
        return (seconds, #""radius_int8": \#(radius), "lower_bound": \#(bound)"#)
    case "lift":
        let ((components, rows), seconds) = timed { () -> (Int, [Int]) in
            var moments = Moments(dimension: loaded.dimension)
            moments.add(vectors, parallel: parallel)
            let variance = RowVariance(moments: moments, parallel: parallel)
            let scores = variance.scores(vectors, parallel: parallel)
            // The fifth with the largest values, ties to the lower row, as in the `redundancy` stage.
            return (variance.components, TopShare.rows(scores: scores, count: scores.count / 5).rows)
        }
        Npy.write(rows.map { Int64($0) }, type: "<i8", shape: "(\(rows.count),)", to: target)
        return (seconds, #""components": \#(components)"#)
    default: Npy.fail("there is no work `\(work)`")
    }
}
print(#"{"seconds": \#(seconds), \#(facts)}"#)
