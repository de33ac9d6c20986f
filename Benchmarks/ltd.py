"""Benchmark: the whole recipe of examples/ltd.yaml, in Sluice and in Python.

usage: ltd.py --sluice BINARY --examples FOLDER --corpora NAME=FILE[+FILE...],... [--memory 256MiB] [--repetitions N] [--results FOLDER]

Both read zst, drop exact duplicates, embed in 384 dimensions, make the same number of clusters and keep the same number of records per
cluster by k-center greedy. Both selections are evaluated with both kinds of vectors, Sluice's and Python's.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
SETTINGS = (
    "--set input.dedupe.on=[prompt,completion] --set stages.format.template=prompt-completion "
    # What the other tools hash, too.
    "--set stages.embed.model=lexical --set stages.embed.dimensions=384")
KEEP = 5
WAYS = ("words", "hashing")


def lines_of(path):
    return subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout.split(b"\n")[:-1]


def key(line):
    import orjson

    record = orjson.loads(line)
    return record["prompt"], record["completion"]


class Corpus:
    """One corpus, with its commands and the evaluation of their selections."""

    def __init__(self, name, files, given):
        self.name, self.files, self.folder = name, files, given.folder
        recipe = (given.examples / "ltd.yaml").resolve()
        self.sluice = (
            f"{given.sluice} run {recipe} --progress none --force --memory {given.memory} {SETTINGS} "
            f"--set input.files=[{','.join(str(f) for f in files)}]")
        self.prepare(given)

    def prepare(self, given):
        """All vectors of the pool and their clusters, from a run of the same recipe that keeps all records."""
        import numpy as np

        whole = self.folder / "ltd-whole"
        self.check(f"{self.sluice} --set stages.coreset.keep=100% --output {whole}")
        self.check(f"{given.sluice} vectors {whole} --output {self.folder}/ltd-vectors.npy --memory 2GiB")
        self.vectors = self.unit(np.load(self.folder / "ltd-vectors.npy").astype("f4"))
        self.rows = {key(line): row for row, line in enumerate(lines_of(whole / "kept.jsonl.zst"))}
        self.labels = np.array([json.loads(line)["cluster"] for line in lines_of(whole / "picks.jsonl.zst")])
        self.clusters = int(self.labels.max()) + 1
        shutil.rmtree(whole)

    @staticmethod
    def unit(x):
        import numpy as np

        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    def check(self, command):
        figures, output = measure.run(command, self.folder)
        if figures["status"] != 0:
            sys.exit(f"{command}\n{output}")
        return output

    def python(self, way, out, more=""):
        files = " ".join(str(f) for f in self.files)
        return f"{sys.executable} {HERE}/peers/ltd.py{more} {way} {self.clusters} {KEEP} {out} {files}"

    def kept(self, folder):
        return sorted(self.rows[key(line)] for line in lines_of(folder / "kept.jsonl.zst"))


def radii(x, labels, kept):
    """Distances from the pool to the kept records: the largest within each cluster, and the largest overall."""
    import numpy as np

    chosen = np.zeros(len(x), dtype=bool)
    chosen[kept] = True
    nearest = np.full(len(x), 2.0, dtype="f4")
    of_cluster = []
    for label in range(int(labels.max()) + 1):
        rows = np.flatnonzero(labels == label)
        own = rows[chosen[rows]]
        if len(rows) and len(own):
            of_cluster.append(float(np.sqrt(np.maximum(0, 2 - 2 * (x[rows] @ x[own].T)).min(1)).max()))
    picks = x[chosen]
    for start in range(0, len(x), 4096):
        dots = x[start:start + 4096] @ picks.T
        nearest[start:start + 4096] = np.sqrt(np.maximum(0, 2 - 2 * dots.max(1)))
    return {
        "cluster_radius_mean": round(float(np.mean(of_cluster)), 4), "cluster_radius_median": round(float(np.median(of_cluster)), 4),
        "clusters_with_a_pick": len(of_cluster), "radius": round(float(nearest.max()), 4), "mean_distance": round(float(nearest.mean()), 4)}


def judge(corpus, folder):
    """Both selections with both kinds of vectors, each by its own clusters."""
    import numpy as np

    corpus.check(f"{corpus.sluice} --output {folder}/ltd-sluice")
    corpus.check(corpus.python(WAYS[0], folder / "ltd-python", " --vectors"))
    theirs, labels = np.load(folder / "ltd-python/vectors.npy"), np.load(folder / "ltd-python/labels.npy")
    assert len(theirs) == len(corpus.vectors), "the two pools differ"
    found = []
    for name, kept, own in (("Sluice", corpus.kept(folder / "ltd-sluice"), corpus.labels), ("Python", corpus.kept(folder / "ltd-python"), labels)):
        for space, x in (("Sluice's", corpus.vectors), ("Python's", theirs)):
            found.append({"choice": name, "vectors": space, "kept": len(kept), **radii(x, own, kept)})
    for name in ("ltd-sluice", "ltd-python"):
        shutil.rmtree(folder / name)
    return found


def table_of(found):
    rows = ["| choice | in whose vectors | kept | radius of a cluster, mean | median | clusters with a pick | radius of all | mean distance |",
            "|---|---|--:|--:|--:|--:|--:|--:|"]
    for f in found:
        rows.append(
            f"| {f['choice']} | {f['vectors']} | {f['kept']:,} | {f['cluster_radius_mean']:.4f} | {f['cluster_radius_median']:.4f} | "
            f"{f['clusters_with_a_pick']:,} | {f['radius']:.4f} | {f['mean_distance']:.4f} |")
    return "\n".join(rows)


def steps_of(tasks):
    named = [t for t in tasks if any("steps" in r for r in t.runs)]
    steps = list(next(r for r in named[0].runs if "steps" in r)["steps"]) if named else []
    rows = ["| least seconds of a step | " + " | ".join(steps) + " |", "|---|" + "--:|" * len(steps)]
    for t in named:
        least = [min(r["steps"][s] for r in t.runs if "steps" in r) for s in steps]
        rows.append(f"| {t.name} | " + " | ".join(f"{s:.2f}" for s in least) + " |")
    return "\n".join(rows)


def tasks_of(corpus, folder):
    def sluice_check(_):
        manifest = json.loads((folder / "ltd-out" / "run.json").read_text())
        kept = manifest["outputs"][0]
        shutil.rmtree(folder / "ltd-out")
        return {"rows": manifest["counts"]["kept"], "content": kept["content"]}

    def python_check(output):
        shutil.rmtree(folder / "ltd-py")
        facts = json.loads(output.strip().splitlines()[-1])
        return {"rows": facts["rows"], "steps": facts["steps"]}
    return [
        measure.Task("Sluice", f"{corpus.sluice} --output {folder}/ltd-out", "with ledger, picks and certificates", check=sluice_check),
        measure.Task("Sluice, one thread", f"{corpus.sluice} --threads 1 --output {folder}/ltd-out", check=sluice_check),
    ] + [measure.Task(f"Python, {way}", corpus.python(way, folder / "ltd-py"), f"{len(corpus.rows):,} distinct records, {corpus.clusters} clusters",
                      check=python_check) for way in WAYS]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--examples", type=Path, required=True)
    options.add_argument("--corpora", required=True, help="name=file+file, parted by commas")
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--memory", default="256MiB")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    given.folder, given.sluice = given.folder.resolve(), given.sluice.resolve()
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {
            "sluice": measure.first_line([str(given.sluice), "--version"]).removeprefix("sluice "), "python": sys.version.split()[0],
            **{n: version(n) for n in ("scikit-learn", "faiss-cpu", "numpy", "orjson", "zstandard")}},
        "repetitions": given.repetitions, "judged": {},
    }
    parts = [
        "# The whole LTD recipe: read, dedupe, embed, cluster, k-center, write",
        f"`examples/ltd.yaml` with `keep: {KEEP}%` and `memory: {given.memory}`, beside `Benchmarks/peers/ltd.py`: the same dimensions, number of clusters, iterations and "
        f"number of records kept. The tasks in turns, {given.repetitions} times each. {measure.describe(about)}"]
    done = []
    for word in given.corpora.split(","):
        name, files = word.split("=")
        corpus = Corpus(name, [Path(f).resolve() for f in files.split("+")], given)
        tasks = tasks_of(corpus, given.folder)
        measure.alternate(tasks, given.folder, given.repetitions)
        about["judged"][name] = judge(corpus, given.folder)
        parts += [f"## {name}", measure.table(tasks), measure.ratios(tasks[0], tasks[2:]), steps_of(tasks), table_of(about["judged"][name])]
        for task in tasks:
            task.name = f"{name}: {task.name}"
        done += tasks
    parts.append(
        "CPU is of all processes, peak memory of the largest one; Python uses one process more than there are cores. A radius is the chord distance, 0 to 2, of the "
        "farthest record to a kept one: within its own cluster of the choice, or over all. Each choice was made in its own vectors, so each looks best in these.")
    text = "\n\n".join(parts)
    names = ((sys.executable, "python3"), (str(given.sluice), "sluice"), (str(HERE), "Benchmarks"), (str(given.folder), "Benchmarks/.data"))
    for path, name in names:
        text = text.replace(path, name)
        for task in done:
            task.command = task.command.replace(path, name)
    print("\n" + text)
    if given.results:
        measure.save(given.results, "ltd", about, done, text)


if __name__ == "__main__":
    main()
