"""usage: geometry.py {faiss-kmeans,sklearn-kmeans,numpy-kcenter,sklearn-lift} VECTORS.f32.npy THREADS OUT.npy

Works on float32 vectors, writes the result (centroids, picks or rows) and prints one line of JSON with the seconds of the work,
without loading and importing.
"""
import json
import os
import sys
import time

work, source, threads, target = sys.argv[1:]
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = threads

import numpy as np  # noqa: E402  (reads the variables above)

CLUSTERS, ITERATIONS, PICKS = 256, 20, 500


def faiss_kmeans(x):
    import faiss

    faiss.omp_set_num_threads(int(threads))
    yield
    # All rows, like the others: by default FAISS uses 256 per centroid.
    run = faiss.Kmeans(x.shape[1], CLUSTERS, niter=ITERATIONS, seed=1, max_points_per_centroid=len(x))
    run.train(x)
    yield run.centroids


def sklearn_kmeans(x):
    from sklearn.cluster import KMeans

    yield
    run = KMeans(CLUSTERS, max_iter=ITERATIONS, n_init=1, random_state=1, tol=0).fit(x)
    yield run.cluster_centers_


def numpy_kcenter(x):
    yield
    norms = np.einsum("ij,ij->i", x, x)
    picks = np.zeros(PICKS, dtype="<i8")
    least = norms + norms[0] - 2 * (x @ x[0])
    for j in range(1, PICKS):
        pick = picks[j] = int(least.argmax())
        np.minimum(least, norms + norms[pick] - 2 * (x @ x[pick]), out=least)
    yield picks


def sklearn_lift(x):
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    yield
    z = StandardScaler().fit_transform(x)
    share = np.cumsum(PCA().fit(z).explained_variance_ratio_)
    # As in the paper's code: the index of the component that reaches 95 %, used as a count.
    score = PCA(n_components=int(np.argmax(share >= 0.95))).fit_transform(z).var(1)
    yield np.where(score > np.percentile(score, 80))[0].astype("<i8")


steps = globals()[work.replace("-", "_")](np.load(source))
next(steps)
start = time.perf_counter()
found = next(steps)
print(json.dumps({"seconds": round(time.perf_counter() - start, 4)}))
np.save(target, found)
