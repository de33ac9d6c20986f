"""usage: ltd.py WAY CLUSTERS KEEP_PERCENT OUT_FOLDER IN.jsonl.zst...: the recipe of examples/ltd.yaml in Python.

Reads with zstandard and orjson, drops exact duplicates and records that lack a text, hashes words and character n-grams into 384
dimensions with scikit-learn, clusters with FAISS, keeps a share of each cluster by k-center greedy in NumPy, and writes
kept.jsonl.zst at level 3. Two processes embed and select. Prints the seconds of each step. WAY is the embedding:

  hashing   scikit-learn's HashingVectorizer on every text, once for words and once for character n-grams within words
  words     the same features, computed once per distinct word: a sparse matrix of word counts times one of the words' features

With `--vectors` it also writes vectors.npy and rows.npy (the pool's vectors and the kept rows) for the evaluation.
"""
import json
import os
import sys
import time
from multiprocessing import get_context

PROCESSES = len(os.sched_getaffinity(0))
# One thread in each process; the main one sets FAISS's threads.
os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import numpy as np  # noqa: E402  (reads the variables above)
import orjson  # noqa: E402
import xxhash  # noqa: E402
import zstandard  # noqa: E402

DIMENSIONS, WORD_WEIGHT, RESERVOIR, ITERATIONS, CHUNK = 384, 6, 65_536, 20, 4000
WORDS = r"(?u)\b\w+\b"


def read(paths):
    """Lines and texts of the distinct records with both fields, in order."""
    lines, texts, seen = [], [], set()
    for path in paths:
        with open(path, "rb") as file:
            content = zstandard.ZstdDecompressor().stream_reader(file).readall()
        for line in content.split(b"\n"):
            if not line:
                continue
            record = orjson.loads(line)
            key = xxhash.xxh3_128_digest(f"{record['prompt']}\0{record['completion']}".encode())
            if key in seen:
                continue
            seen.add(key)
            # The recipe's template drops records without a prompt or a completion.
            if record["prompt"].strip() and record["completion"].strip():
                lines.append(line)
                texts.append(f"{record['prompt']}\n\n{record['completion']}")
    return lines, texts


def unit(sums):
    dense = np.asarray(sums.toarray() if hasattr(sums, "toarray") else sums, dtype=np.float32)
    return dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)


def hashing_vectorizers():
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(token_pattern=WORDS, n_features=DIMENSIONS, norm=None)
    grams = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=DIMENSIONS, norm=None)
    return words, grams


def embed_hashing(texts):
    words, grams = hashing_vectorizers()
    return unit(words.transform(texts) * WORD_WEIGHT + grams.transform(texts))


def embed_words(texts):
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=WORDS, dtype=np.float32)
    counts = counter.fit_transform(texts)
    # Damp repeated words, as the recipe does.
    np.sqrt(counts.data, out=counts.data)
    words, grams = hashing_vectorizers()
    names = counter.get_feature_names_out()
    features = (words.transform(names) * WORD_WEIGHT + grams.transform(names)).astype(np.float32)
    return unit(counts @ features)


EMBEDDERS = {"hashing": (embed_hashing, CHUNK), "words": (embed_words, 20_000)}


def embed(texts, way, pool):
    work, size = EMBEDDERS[way]
    size = max(1, min(size, -(-len(texts) // PROCESSES)))
    return np.concatenate(pool.map(work, [texts[at:at + size] for at in range(0, len(texts), size)], chunksize=1))


def cluster(vectors, clusters):
    import faiss

    faiss.omp_set_num_threads(PROCESSES)
    sample = vectors[np.random.default_rng(42).permutation(len(vectors))[:RESERVOIR]]
    run = faiss.Kmeans(DIMENSIONS, clusters, niter=ITERATIONS, seed=42, max_points_per_centroid=len(sample))
    run.train(sample)
    return run.index.search(vectors, 1)[1][:, 0]


def shares(sizes, keep):
    """Splits `keep` in proportion, by largest remainders."""
    exact = sizes * (keep / sizes.sum())
    parts = np.floor(exact).astype(int)
    parts[np.argsort(parts - exact, kind="stable")[:keep - parts.sum()]] += 1
    return np.minimum(parts, sizes)


def farthest_first(job):
    x, count = job
    if count == 0:
        return np.zeros(0, dtype=int)
    picks = np.zeros(count, dtype=int)
    nearest = x @ x[0]
    for at in range(1, count):
        picks[at] = nearest.argmin()
        np.maximum(nearest, x @ x[picks[at]], out=nearest)
    return picks


def choose(vectors, labels, percent, pool):
    keep = max(1, round(len(vectors) * percent / 100))
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    groups = np.split(order, np.cumsum(sizes)[:-1])
    jobs = [(vectors[rows], count) for rows, count in zip(groups, shares(sizes, keep))]
    picks = pool.map(farthest_first, jobs, chunksize=max(1, len(jobs) // (4 * PROCESSES)))
    return np.sort(np.concatenate([rows[found] for rows, found in zip(groups, picks)]))


def write(lines, rows, path):
    with open(path, "wb") as file, zstandard.ZstdCompressor(level=3, threads=PROCESSES).stream_writer(file) as out:
        out.write(b"".join(lines[row] + b"\n" for row in rows))


def main():
    words = [word for word in sys.argv[1:] if word != "--vectors"]
    way, clusters, percent, folder, *paths = words
    seconds, last = {}, time.perf_counter()

    def step(name, value):
        nonlocal last
        now = time.perf_counter()
        seconds[name], last = round(now - last, 3), now
        return value

    # Started before any data is loaded, so that the processes don't inherit it.
    with get_context("fork").Pool(PROCESSES) as pool:
        lines, texts = step("read, dedupe", read(paths))
        vectors = step("embed", embed(texts, way, pool))
        labels = step("cluster", cluster(vectors, int(clusters)))
        rows = step("choose", choose(vectors, labels, float(percent), pool))
    os.makedirs(folder, exist_ok=True)
    write(lines, rows, f"{folder}/kept.jsonl.zst")
    step("write", None)
    if len(words) < len(sys.argv) - 1:
        np.save(f"{folder}/vectors.npy", vectors)
        np.save(f"{folder}/labels.npy", labels)
    print(json.dumps({"pool": len(lines), "rows": len(rows), "steps": seconds}))


if __name__ == "__main__":
    main()
