#!/usr/bin/env python3
"""How near the best possible the picks of k-center greedy are shown to be, and what that costs.

    certificates.py PROGRAM DATA CORPUS [REPETITIONS]

Runs the recipe of examples/ltd.yaml on P3, on abilities and on CORPUS, with `certificate: quick` (half the distance of the next pick),
`tight` (records of which no two can share a centre), and `tight` with `swaps`. Each form in turn, on one thread; processor time is the median.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

DEFINITION = """sluice: 1
seed: 42
memory: 1GiB
input: {files: [%s], dedupe: {on: line}}
stages:
  - format:  {template: auto}
  - embed:   {model: %s, dimensions: 256}
  - cluster: {clusters: auto}
  - coreset: {keep: 5%%, per: cluster}
output: {directory: out, compression: none}
"""
FORMS = {
    "quick": ["certificate=quick"],
    "tight": ["certificate=tight"],
    "tight, 20 swaps": ["certificate=tight", "swaps=20"],
    "tight, 1,000 swaps": ["certificate=tight", "swaps=1000"],
}


def run(program, folder, form):
    """Processor seconds of a run, and the report of its coreset."""
    command = [program, "run", "run.yaml", "--force", "--threads", "1", "--progress", "none"]
    for value in FORMS[form]:
        command += ["--set", f"stages.coreset.{value}"]
    before = os.times()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = os.times()
    seconds = after.children_user - before.children_user + after.children_system - before.children_system
    stages = json.loads((Path(folder) / "out" / "run.json").read_text())["stages"]
    return seconds, next(stage for stage in stages if stage["stage"] == "coreset")


def main():
    program, data, corpus = os.path.abspath(sys.argv[1]), Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()
    repetitions = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    pools = [
        ("P3", "lsa", data / "p3-*.jsonl.zst", repetitions), ("P3", "lexical", data / "p3-*.jsonl.zst", repetitions),
        ("abilities", "lsa", data / "abilities.jsonl.zst", repetitions), (corpus.name, "lexical", corpus, 1),
    ]
    about = {
        "machine": measure.machine(), "commit": measure.commit(Path(__file__).resolve().parent.parent),
        "date": datetime.date.today().isoformat(), "versions": {},
    }
    print(f"# Certificates of k-center greedy\n\n{measure.describe(about).removesuffix(' .')}\n")
    print("`Benchmarks/run.sh certificates`: the recipe of examples/ltd.yaml, 5 % per cluster, one thread.\n")
    print("| pool | vectors | groups | picks | certificate | factor: median, 90 %, most | mean radius | CPU |")
    print("|---|---|--:|--:|---|--:|--:|--:|")
    for name, model, files, times in pools:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "run.yaml").write_text(DEFINITION % (files, model))
            seconds, reports = {form: [] for form in FORMS}, {}
            for _ in range(times):
                for form in FORMS:
                    taken, reports[form] = run(program, folder, form)
                    seconds[form].append(taken)
            for form in FORMS:
                groups = [group for group in reports[form]["per_group"] if group.get("factor")]
                factors = sorted(group["factor"] for group in groups)
                radius = statistics.mean(group["radius"] for group in groups)
                print(
                    f"| {name} | {model} | {len(groups)} | {reports[form]['kept']:,} | {form} "
                    f"| {statistics.median(factors):.3f}, {factors[len(factors) * 9 // 10]:.3f}, {factors[-1]:.3f} "
                    f"| {radius:.4f} | {statistics.median(seconds[form]):.2f} s |", flush=True)


if __name__ == "__main__":
    main()
