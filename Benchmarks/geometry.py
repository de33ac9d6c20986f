"""Benchmark: k-means, k-center and LIFT's variety on vectors of real text, Sluice's integers against floating point.

usage: geometry.py --data FOLDER --folder WORK --binary geometry-bench [--repetitions N] [--threads N] [--results FOLDER] [--no-growth]

The vectors are made from texts and halves of texts of the P3 shards: TF-IDF weights of words, 256 dimensions by truncated SVD
(scikit-learn), unit length. The other tools get float32, Sluice the same vectors quantised to int8. All results are evaluated with
the same float32 vectors (inertia, radius).
"""
import argparse
import datetime
import json
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import measure

HERE = Path(__file__).resolve().parent
ROWS, DIMENSION = 100_000, 256


def texts(data):
    whole, halves = [], []
    for shard in sorted(data.glob("p3-*.jsonl.zst")):
        for line in subprocess.run(["zstd", "-dcq", str(shard)], check=True, capture_output=True).stdout.splitlines():
            record = json.loads(line)
            words = f"{record['prompt']} {record['completion']}".split()
            if len(words) < 12:
                continue
            middle = len(words) // 2
            whole.append(" ".join(words))
            halves += [" ".join(words[:middle]), " ".join(words[middle:])]
    return (whole + halves)[:ROWS]


def unit(x):
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)).astype("<f4")


def quantise(x):
    return np.clip(np.rint(x * (127 * np.sqrt(x.shape[1]) / 8)), -127, 127).astype("i1")


def make_vectors(data, folder):
    path = folder / f"vectors-{ROWS}.f32.npy"
    if not path.exists():
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        print("bench: making vectors", flush=True)
        words = TfidfVectorizer(sublinear_tf=True, max_features=50_000).fit_transform(texts(data))
        x = unit(TruncatedSVD(DIMENSION, random_state=0).fit_transform(words))
        # Rows in random order, as in a shuffled corpus.
        np.save(path, x[np.random.default_rng(0).permutation(len(x))])
    if not (folder / f"vectors-{ROWS}.i8.npy").exists():
        np.save(folder / f"vectors-{ROWS}.i8.npy", quantise(np.load(path)))
    return path


def grow(folder, rows):
    """More vectors: each is the mean of two random ones, as of two joined texts."""
    path = folder / f"vectors-{rows}.i8.npy"
    if not path.exists():
        x = np.load(folder / f"vectors-{ROWS}.f32.npy")
        draw = np.random.default_rng(rows)
        out = np.lib.format.open_memmap(path, mode="w+", dtype="i1", shape=(rows, x.shape[1]))
        for start in range(0, rows, 50_000):
            n = min(50_000, rows - start)
            out[start:start + n] = quantise(unit(x[draw.integers(len(x), size=n)] + x[draw.integers(len(x), size=n)]))
        out.flush()
    return path


def inertia(x, centroids):
    total, norms = 0.0, (centroids * centroids).sum(1)
    for start in range(0, len(x), 10_000):
        part = x[start:start + 10_000]
        nearest = ((part * part).sum(1)[:, None] + norms - 2 * part @ centroids.T).min(1)
        total += float(np.maximum(nearest, 0).sum(dtype="f8"))
    return total


def radius(x, picks):
    least = np.full(len(x), np.inf, dtype="f4")
    for start in range(0, len(picks), 50):
        centres = x[picks[start:start + 50]]
        np.minimum(least, (2 - 2 * x @ centres.T).min(1), out=least)
    return float(np.sqrt(max(0, least.max())))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--binary", type=Path, required=True)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--results", type=Path)
    options.add_argument("--no-growth", action="store_true")
    given = options.parse_args()
    folder, binary = given.folder.resolve(), given.binary.resolve()
    x = np.load(make_vectors(given.data, folder))
    scale = 127 * np.sqrt(DIMENSION) / 8

    judged = {}

    def task(name, command, out, judge, group):
        def check(output):
            facts = json.loads(output.strip().splitlines()[-1])
            if name not in judged:
                judged[name] = judge(np.load(folder / out))
            return {**facts, **judged[name]}
        made = measure.Task(name, f"{command} {given.threads} {out}", check=check)
        made.group = group
        return made

    peer = f"{sys.executable} {HERE}/peers/geometry.py"
    floats, integers = f"vectors-{ROWS}.f32.npy", f"vectors-{ROWS}.i8.npy"
    of_centroids = lambda found: {"inertia": inertia(x, found.astype("f4") / (scale if found.dtype == np.int8 else 1))}
    of_picks = lambda found: {"radius": radius(x, found)}
    of_rows = lambda found: {"rows_kept": len(found), "kept": found}
    tasks = [
        task("k-means: Sluice", f"{binary} kmeans {integers}", "sluice-kmeans.npy", of_centroids, "k-means"),
        task("k-means: FAISS", f"{peer} faiss-kmeans {floats}", "faiss-kmeans.npy", of_centroids, "k-means"),
        task("k-means: scikit-learn", f"{peer} sklearn-kmeans {floats}", "sklearn-kmeans.npy", of_centroids, "k-means"),
        task("k-center: Sluice", f"{binary} kcenter {integers}", "sluice-kcenter.npy", of_picks, "k-center"),
        task("k-center: NumPy", f"{peer} numpy-kcenter {floats}", "numpy-kcenter.npy", of_picks, "k-center"),
        task("LIFT: Sluice", f"{binary} lift {integers}", "sluice-lift.npy", of_rows, "LIFT"),
        task("LIFT: scikit-learn", f"{peer} sklearn-lift {floats}", "sklearn-lift.npy", of_rows, "LIFT"),
    ]
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {n: version(n) for n in ("numpy", "faiss-cpu", "scikit-learn")},
        "vectors": {"rows": ROWS, "dimension": DIMENSION}, "threads": given.threads, "repetitions": given.repetitions,
    }
    measure.alternate(tasks, folder, given.repetitions)

    rows = ["| | seconds, min | seconds, median | result | times as fast |", "|---|--:|--:|--:|--:|"]
    ours = {}
    for t in tasks:
        good = [r for r in t.runs if r["status"] == 0]
        if not good:
            rows.append(f"| {t.name} | failed | | | |")
            continue
        least, middle = (f(r["seconds"] for r in good) for f in (min, statistics.median))
        facts = judged[t.name]
        first = t.group not in ours
        if first:
            ours[t.group] = (least, facts)
        base, own = ours[t.group]
        if "inertia" in facts:
            result = f"inertia {facts['inertia']:,.0f}" + ("" if first else f" (ours {own['inertia'] / facts['inertia'] - 1:+.2%})")
        elif "radius" in facts:
            result = f"radius {facts['radius']:.4f}" + ("" if first else f" (ours {own['radius'] / facts['radius'] - 1:+.2%})")
        else:
            same = len(np.intersect1d(facts["kept"], own["kept"])) / len(facts["kept"])
            result = f"{facts['rows_kept']:,} rows" + ("" if first else f" ({same:.2%} of them ours)")
            for r in good:
                r["overlap"] = same
        rows.append(f"| {t.name} | {least:.3f} | {middle:.3f} | {result} | {'' if first else f'{least / base:.1f}'} |")
    for t in tasks:
        for r in t.runs:
            r.pop("kept", None)
    parts = [
        f"# Geometry: {ROWS:,} vectors of {DIMENSION} dimensions, {given.threads} threads",
        "k-means: 256 clusters, 20 iterations, k-means++ or the tool's own start. k-center: 500 picks from row 0. LIFT: the fifth with "
        "the largest row variance. Seconds are of the work alone, without loading. «Times as fast» compares the minima.",
        f"One run, the tasks in turns, {given.repetitions} times each. {measure.describe(about)}", "\n".join(rows)]

    if not given.no_growth:
        growth = []
        for n in (ROWS, 4 * ROWS, 16 * ROWS):
            name = (folder / integers if n == ROWS else grow(folder, n)).name
            for work in ("kmeans", "kcenter", "lift"):
                growth.append(measure.Task(
                    f"{work} {n}", f"{binary} {work} {name} {given.threads} growth.npy",
                    check=lambda output: json.loads(output.strip().splitlines()[-1])))
        measure.alternate(growth, folder, 2)
        lines = ["| vectors | k-means, µs a vector | k-center | LIFT | peak memory | vectors alone |", "|--:|--:|--:|--:|--:|--:|"]
        for at in range(0, len(growth), 3):
            three = growth[at:at + 3]
            n = int(three[0].name.split()[1])
            cells = [min(r["seconds"] for r in t.runs if r["status"] == 0) / n * 1e6 for t in three]
            peaks = [max(r["peak_kib"] for r in t.runs) / 1024 for t in three]
            lines.append(
                f"| {n:,} | " + " | ".join(f"{c:.2f}" for c in cells) + " | "
                + " / ".join(f"{p:.0f}" for p in peaks) + f" MiB | {n * DIMENSION / 2**20:.0f} MiB |")
        parts += ["## Growth (Sluice)", "\n".join(lines)]
        tasks += growth
    text = "\n\n".join(parts)
    short = lambda words: words.replace(sys.executable, "python3").replace(str(binary), "geometry-bench").replace(str(HERE), "Benchmarks")
    print("\n" + text)
    if given.results:
        for t in tasks:
            t.command = short(t.command)
        measure.save(given.results, "geometry", about, tasks, text)


if __name__ == "__main__":
    main()
