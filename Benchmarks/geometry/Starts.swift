import SluiceCore
import SluiceGeometry

/// Compares the two starts of k-means: the seconds of the start (best of three runs), the inertia after it and after 20
/// iterations (mean of three seeds), and the share of all distances between rows and centroids that the iterations
/// computed.
func compareStarts(_ vectors: VectorView, clusters: [Int], parallel: Parallel) {
    let seeds: [UInt64] = [1, 2, 3]
    for clusters in clusters {
        for (name, start) in [("k-means++", .plusPlus), ("k-means||", .parallel())] as [(String, KMeans.Start)] {
            var (seconds, all, first, last, share) = (Double.infinity, Double.infinity, 0.0, 0.0, 0.0)
            for seed in seeds {
                func run(_ iterations: Int) -> (Clustering, seconds: Double) {
                    timed {
                        KMeans(clusters: clusters, maximumIterations: iterations, seed: Seed(seed), start: start)
                            .run(vectors, parallel: parallel)
                    }
                }
                let (begun, ended) = (run(0), run(20))
                (seconds, all) = (min(seconds, begun.seconds), min(all, ended.seconds))
                first += begun.0.inertia / Double(seeds.count)
                last += ended.0.inertia / Double(seeds.count)
                let plain = vectors.count * clusters * max(1, ended.0.iterations) * seeds.count
                share += Double(ended.0.distancesComputed) / Double(plain)
            }
            print(
                #"{"clusters": \#(clusters), "start": "\#(name)", "start_seconds": \#(seconds), "seconds": \#(all), "inertia_of_start": \#(first), "inertia": \#(last), "distances_computed": \#(share)}"#
            )
        }
    }
}
