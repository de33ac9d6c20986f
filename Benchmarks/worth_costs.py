"""What the selectors of `worth.py` cost: all P3 records by `lsa`, on one thread, beside the same run with `method: random`; and how near the best
choice facility location is, by its own certificate.

usage: worth_costs.py --sluice BINARY --data FOLDER --folder WORK [--repetitions 2] [--results FOLDER]
"""

import argparse
import datetime
import json
import sys
from pathlib import Path

import measure

SHARES = ("1%", "5%", "20%")
METHODS = {"farthest-first": "quick", "facility-location": "quick", "medoids": "", "farthest-first, certificate": "auto", "facility-location, certificate": "auto"}


def definition(data, method, certificate, share, per):
    more = (", per: cluster" if per else "") + (f", certificate: {certificate}" if certificate else "")
    stages = ["format: {template: prompt-completion}", "embed: {model: lsa}", *(["cluster: {clusters: auto}"] if per else []),
              f"coreset: {{keep: {share}, method: {method.split(',')[0]}{more}}}"]
    return "\n".join(["sluice: 1", "seed: 1", "memory: 2GiB", f"input: {{files: ['{data}/p3-*.jsonl.zst'], dedupe: {{on: [prompt, completion]}}}}", "stages:",
                      *(f"  - {stage}" for stage in stages), "output: {directory: out, compression: none}", ""])


def nearness(folder):
    """By the certificate of the last run: facility location's share of the best value, at least."""
    stage = json.loads((folder / "out/run.json").read_text())["stages"][-1]
    groups = [group for group in stage.get("per_group") or [stage] if group.get("kept")]
    found = {"rows": stage["out"]}
    if all("value_bound" in group for group in groups):
        found["share_of_best"] = round(sum(group["value"] for group in groups) / sum(group["value_bound"] for group in groups), 4)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sluice", "data", "folder"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    folder, sluice = given.folder.resolve() / "costs", given.sluice.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {}
    for per in (False, True):
        for method, certificate in {"random": "", **METHODS}.items():
            for share in SHARES[:1] if method == "random" else SHARES:
                name = f"{per:d}-{method.replace(', ', '-')}-{share[:-1]}.yaml"
                (folder / name).write_text(definition(given.data.resolve(), method, certificate, share, per))
                tasks[per, method, share] = measure.Task(
                    f"{method}, {share}{', per cluster' if per else ''}", f"nice -n 19 {sluice} run {name} --progress none --force --threads 1",
                    check=lambda _: nearness(folder))
    measure.alternate(list(tasks.values()), folder, given.repetitions)
    base = {per: min(measure.cpu(run) for run in tasks[per, "random", SHARES[0]].runs) for per in (False, True)}
    about = {"machine": measure.machine(), "commit": measure.commit(Path(__file__).parent), "date": str(datetime.date.today()),
             "versions": {"sluice": measure.first_line([str(sluice), "--version"]).split()[-1]}}
    any_run = tasks[False, "random", SHARES[0]].runs[0]
    lines = ["# What the selectors cost", "", measure.describe(about), "",
             f"All P3 records with a prompt and an answer ({any_run['rows'] * 100:,} to the nearest hundred), `lsa`, one thread, best of {given.repetitions}: processor time beyond the same run with "
             f"`method: random` ({base[False]:.1f} s over all, {base[True]:.1f} s with 128 clusters), peak memory of the process, and the least share of the best possible value that "
             "facility location's certificate proves.", "", "| method | " + " | ".join(f"{where}, {share}" for where in ("over all", "per cluster") for share in SHARES) + " |",
             "|---|" + "--:|" * 6]
    for method in METHODS:
        cells = []
        for per in (False, True):
            for share in SHARES:
                runs = [run for run in tasks[per, method, share].runs if run["status"] == 0]
                if not runs:
                    cells.append("failed")
                    continue
                best = f"; ≥ {runs[0]['share_of_best']:.3f}" if "share_of_best" in runs[0] else ""
                cells.append(f"{max(0, min(map(measure.cpu, runs)) - base[per]):.1f} s, {max(run['peak_kib'] for run in runs) / 1024:.0f} MiB{best}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    for task in tasks.values():
        task.command = task.command.replace(str(sluice), "sluice")
    if given.results:
        measure.save(given.results, "worth-costs", about, list(tasks.values()), text.rstrip("\n"))


if __name__ == "__main__":
    sys.exit(main())
