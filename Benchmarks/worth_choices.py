"""The choices that `worth.py` compares: each is a list of stages of a definition, run by the program.

A choice gives its stages for a budget `k` of `n` records. If its picks nest, the record's rank tells the picks of all smaller budgets, so one
run at the largest budget is enough: `order` names the column to sort by. Vectors come from `embed: {model: file}`, which takes the integers
that the program made of the whole pool before, once for each model. The definition's seed is that of the pool.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np


@dataclass
class Choice:
    name: str
    stages: Callable[[int, int], list]
    # The column whose order has the picks of all smaller budgets as its beginning; "-" before it: highest first.
    order: str = ""
    vectors: bool = True


def over_all(name, method, more="", order="rank"):
    return Choice(name, lambda k, n: [f"coreset: {{keep: {k}, method: {method}{more}}}"], order)


def per_cluster(name, method, more="", clusters="auto"):
    return Choice(name, lambda k, n: [f"cluster: {{clusters: {clusters}}}", f"coreset: {{keep: {k}, per: cluster, method: {method}{more}}}"])


def per_label(name, shares):
    return Choice(name, lambda k, n: [f"mixture: {{keep: {k}, per: label, shares: {shares}}}"], vectors=False)


UNIFORM = "uniform random"
DRAWS = [
    Choice(UNIFORM, lambda k, n: [f"sample: {{keep: {k}}}"], vectors=False),
    per_label("by label, proportional", "proportional"),
    per_label("by label, square root", "square-root"),
    per_label("by label, equal", "equal"),
]
MAIN = [
    over_all("k-center over all", "farthest-first", ", certificate: quick"),
    per_cluster("k-center per cluster (LTD)", "farthest-first", ", certificate: quick"),
    over_all("facility location over all", "facility-location", ", certificate: quick"),
    per_cluster("facility location per cluster", "facility-location", ", certificate: quick"),
    per_cluster("medoids per cluster", "medoids"),
    Choice("LIFT's variety", lambda k, n: [f"redundancy: {{method: lift, keep: {k}}}"], "-row_variance"),
]
MORE = [
    over_all("k-center over all, trim 1%", "farthest-first", ", certificate: quick, trim: 1%"),
    over_all("medoids over all", "medoids", "", ""),
    over_all("sensitivity over all", "sensitivity", "", ""),
    over_all("closest over all", "closest"),
    over_all("farthest over all", "farthest"),
    over_all("mixed over all", "mixed"),
    per_cluster("random per cluster", "random"),
    per_cluster("random per cluster, equal shares", "random", ", shares: equal"),
    per_cluster("closest per cluster", "closest"),
    per_cluster("farthest per cluster", "farthest"),
    per_cluster("mixed per cluster", "mixed"),
    per_cluster("sensitivity per cluster", "sensitivity"),
    per_cluster("LTD, trim 1%", "farthest-first", ", certificate: quick, trim: 1%"),
    per_cluster("LTD, equal shares", "farthest-first", ", certificate: quick, shares: equal"),
    per_cluster("LTD, square-root shares", "farthest-first", ", certificate: quick, shares: square-root"),
    per_cluster("facility location per cluster, square-root shares", "facility-location", ", certificate: quick, shares: square-root"),
    per_cluster("facility location per cluster, equal shares", "facility-location", ", certificate: quick, shares: equal"),
    per_cluster("random per cluster, square-root shares", "random", ", shares: square-root"),
    per_cluster("medoids per cluster, square-root shares", "medoids", ", shares: square-root"),
    per_cluster("LTD, 16 clusters", "farthest-first", ", certificate: quick", 16),
    per_cluster("facility location per cluster, 16 clusters", "facility-location", ", certificate: quick", 16),
    per_cluster("facility location per cluster, 256 clusters", "facility-location", ", certificate: quick", 256),
    Choice("k-center per label, equal", lambda k, n: [f"coreset: {{keep: {k}, per: label, shares: equal, certificate: quick}}"]),
    Choice("facility location per label, equal",
           lambda k, n: [f"coreset: {{keep: {k}, per: label, shares: equal, method: facility-location, certificate: quick}}"]),
    Choice("leverage", lambda k, n: [f"redundancy: {{method: leverage, keep: {k}}}"], "-leverage"),
    Choice("score-first by LIFT's variety (DEITA's rule)",
           lambda k, n: ["redundancy: {method: lift, keep: 100%}", f"coreset: {{keep: {k}, method: score-first, score: row_variance}}"], "rank"),
    Choice("pairwise, then random", lambda k, n: ["format", "redundancy: {method: pairwise}", f"sample: {{keep: {k}}}"]),
    Choice("pairwise, then LIFT", lambda k, n: ["format", "redundancy: {method: pairwise}", f"redundancy: {{method: lift, keep: {k}}}"]),
    Choice("semdedup, then random",
           lambda k, n: ["format", "cluster: {clusters: auto}", "redundancy: {method: semdedup}", f"sample: {{keep: {k}}}"]),
    Choice("semdedup within 0.1, unconfirmed, then random",
           lambda k, n: ["cluster: {clusters: auto}", "redundancy: {method: semdedup, distance: 0.1, confirm: none}", f"sample: {{keep: {k}}}"]),
    Choice("LTD of twice as many, then LIFT",
           lambda k, n: ["cluster: {clusters: auto}", f"coreset: {{keep: {2 * k}, per: cluster, certificate: quick}}",
                         f"redundancy: {{method: lift, keep: {k}}}"]),
    Choice("LIFT of twice as many, then facility location per cluster",
           lambda k, n: [f"redundancy: {{method: lift, keep: {min(n, 2 * k)}}}", "cluster: {clusters: auto}",
                         f"coreset: {{keep: {k}, per: cluster, method: facility-location, certificate: quick}}"]),
    Choice("facility location per cluster of twice as many, then random",
           lambda k, n: ["cluster: {clusters: auto}", f"coreset: {{keep: {min(n, 2 * k)}, per: cluster, method: facility-location, certificate: quick}}",
                         f"sample: {{keep: {k}}}"]),
    over_all("k-center over all, 20 swaps", "farthest-first", ", swaps: 20", ""),
    per_cluster("LTD, 20 swaps", "farthest-first", ", swaps: 20"),
]
# What a run on a pool with planted faults compares.
FAULTY = [
    *DRAWS[:1], DRAWS[3], *MAIN,
    Choice("LTD, trim 1%", MORE[12].stages),
    Choice("pairwise, then LTD", lambda k, n: ["format", "redundancy: {method: pairwise}", "cluster: {clusters: auto}",
                                               f"coreset: {{keep: {k}, per: cluster, certificate: quick}}"]),
    Choice("pairwise, then facility location per cluster",
           lambda k, n: ["format", "redundancy: {method: pairwise}", "cluster: {clusters: auto}",
                         f"coreset: {{keep: {k}, per: cluster, method: facility-location, certificate: quick}}"]),
    Choice("pairwise, then random", lambda k, n: ["format", "redundancy: {method: pairwise}", f"sample: {{keep: {k}}}"]),
    Choice("semdedup, then random",
           lambda k, n: ["format", "cluster: {clusters: auto}", "redundancy: {method: semdedup}", f"sample: {{keep: {k}}}"]),
]


def definition(stages, seed, embed="", annotate=""):
    rows = [f"  - {stage}" for stage in stages]
    if embed:
        rows.insert(1 if stages[:1] == ["format"] else 0, f"  - embed: {embed}")
    out = "output: {directory: out, compression: none" + (f", annotate: [{annotate}]" if annotate else "") + "}"
    return "\n".join(["sluice: 1", f"seed: {seed}", "memory: 1GiB", "input: {files: [in.jsonl]}", "stages:", *rows, out, ""])


def run(sluice, folder, text):
    """The kept records of a definition, on one thread."""
    (folder / "run.yaml").write_text(text)
    done = subprocess.run([str(sluice), "run", "run.yaml", "--force", "--progress", "none", "--threads", "1"], cwd=folder,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit status {done.returncode}")
    with open(folder / "out/kept.jsonl") as kept:
        return [json.loads(line) for line in kept]


def picks(choice, sluice, folder, seed, budgets, n, distance):
    """The ids that a choice keeps, for each budget. `folder` has in.jsonl and vectors.npy; `distance`: near duplicates of the model."""
    embed = f"{{model: file, path: vectors.npy, near_duplicates: {distance}}}" if choice.vectors else ""
    found = {}
    column = choice.order.lstrip("-")
    for k in [max(budgets)] if choice.order else budgets:
        rows = run(sluice, folder, definition(choice.stages(k, n), seed, embed, column))
        if not column:
            found[k] = [row["id"] for row in rows]
            continue
        sign = -1 if choice.order[0] == "-" else 1
        rows.sort(key=lambda row: (sign * row["_sluice"][column], row["id"]))
        found = {budget: [row["id"] for row in rows[:budget]] for budget in budgets}
    return found


def vectors(sluice, folder, records, embed, template):
    """The Int8 vectors of records by a model of the program, and in the order of the records."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(folder / "in.jsonl", records)
    stages = [f"format: {{template: {json.dumps(template)}}}", f"embed: {embed}", "coreset: {keep: 100%, method: random}"]
    text = definition(stages, 0).replace("compression: none", "compression: none, vectors: embedding")
    assert len(run(sluice, folder, text)) == len(records)
    return np.load(folder / "out/vectors.npy")


def write(path, records):
    Path(path).write_text("".join(json.dumps(record) + "\n" for record in records))
