#!/usr/bin/env python3
"""Times FAISS, NumPy and scikit-learn on the work of SluiceGeometry: k-means, k-center greedy, LIFT's variety.

    geometry_peers.py VECTORS.f32 DIMENSION [--threads 2] [--rows-out FILE.i64]

VECTORS is raw little-endian float32, rows of unit length. Prints one JSON object: seconds (best of --repeats), inertia, radius, and
the number of components. --rows-out writes the rows that LIFT's top fifth keeps, to count the overlap with ours.
Needs: pip install numpy scikit-learn faiss-cpu
"""
import argparse
import json
import os
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vectors")
    parser.add_argument("dimension", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clusters", type=int, default=256)
    parser.add_argument("--picks", type=int, default=500)
    parser.add_argument("--rows-out")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)

    import faiss
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    faiss.omp_set_num_threads(options.threads)
    x = np.fromfile(options.vectors, "<f4").reshape(-1, options.dimension)

    def best(work):
        seconds = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            result = work()
            seconds.append(time.perf_counter() - start)
        return round(min(seconds), 4), result

    def kmeans():
        run = faiss.Kmeans(x.shape[1], options.clusters, niter=20, seed=1, max_points_per_centroid=10**9)
        run.train(x)
        return run

    def kcenter():
        norms = (x * x).sum(1)
        least = norms + norms[0] - 2 * (x @ x[0])
        for _ in range(options.picks - 1):
            pick = int(least.argmax())
            np.minimum(least, norms + norms[pick] - 2 * (x @ x[pick]), out=least)
        return float(np.sqrt(max(0, least.max())))

    def lift():
        z = StandardScaler().fit_transform(x)
        share = np.cumsum(PCA().fit(z).explained_variance_ratio_)
        components = int(np.argmax(share >= 0.95))
        score = PCA(n_components=components).fit_transform(z).var(1)
        return components, np.where(score > np.percentile(score, 80))[0]

    report = {"rows": len(x), "dimension": x.shape[1], "threads": options.threads}
    seconds, run = best(kmeans)
    report["faiss_kmeans"] = {"seconds": seconds, "inertia": float(run.index.search(x, 1)[0].sum(dtype="f8"))}
    seconds, radius = best(kcenter)
    report["numpy_kcenter"] = {"seconds": seconds, "radius": radius}
    seconds, (components, rows) = best(lift)
    report["sklearn_lift"] = {"seconds": seconds, "components": components, "kept": len(rows)}
    if options.rows_out:
        rows.astype("<i8").tofile(options.rows_out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
