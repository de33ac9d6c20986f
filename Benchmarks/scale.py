"""Benchmark: what `sluice plan --workers` says of a run by tasks, beside runs of 1 and 2 processes of one thread each.

usage: scale.py --sluice BINARY --examples FOLDER --corpora FILE,FILE... [--files 16] [--workers 1,2] [--repetitions N] [--results FOLDER]

The pipeline is that of tasks.py. The rates of the program (ScaleRates.swift) come from this benchmark's CPU seconds of a corpus of
1,000,000 records with one process; corpora of other sizes and two processes show how far they hold. CPU seconds of two runs differ
less than their wall times where others use the machine, so the tables have both.
"""

import argparse
import datetime
import heapq
import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import measure
import tasks

HERE = Path(__file__).resolve().parent


def kind(phase):
    """`observe` for `observe-1`."""
    return re.sub(r"-\d+", "", phase)


def schedule(listed, workers):
    """Seconds of the tasks of a list, phase after phase, each on the worker that is free first."""
    total, phases = 0.0, {}
    for task in listed:
        phases.setdefault(task["phase"], []).append(task["seconds"])
    for seconds in phases.values():
        free = [0.0] * workers
        for each in seconds:
            heapq.heapreplace(free, free[0] + each)
        total += max(free)
    return total


class Case:
    """One corpus: its runs and what is said of them beforehand."""

    def __init__(self, sluice, examples, corpus, files, memory):
        self.inputs = tasks.cut(corpus.resolve(), files)
        self.folder = self.inputs.parent / "scale-out"
        self.name = corpus.name.removesuffix(".jsonl.zst")
        self.bytes = sum(file.stat().st_size for file in self.inputs.glob("*.jsonl.zst"))
        part = str(min(file.stat().st_size for file in self.inputs.glob("*.jsonl.zst")))
        self.definition = [
            str((examples / "ltd.yaml").resolve()), "--memory", memory, *tasks.SETTINGS, "--set",
            f"input.files=[{self.inputs}/*.jsonl.zst]", "--output", str(self.folder), "--part-bytes", part]
        self.sluice = str(sluice.resolve())
        shutil.rmtree(self.folder, ignore_errors=True)
        self.listed = json.loads(subprocess.run(
            [self.sluice, "plan", *self.definition, "--tasks", "--workers", "1"], check=True, stdout=subprocess.PIPE).stdout)
        self.said = {}
        for task in self.listed:
            self.said[kind(task["phase"])] = self.said.get(kind(task["phase"]), 0) + task["seconds"]

    def task(self, workers):
        words = json.dumps([
            [self.sluice, "run", *self.definition, "--progress", "none", "--prepare"], self.sluice, str(self.folder), workers, 0])
        return measure.Task(
            f"{self.name}, {workers} process{'es' if workers > 1 else ''}",
            f"{sys.executable} -S {HERE / 'tasks.py'} --drive '{words}'", check=tasks.checked(self.folder),
            prepare=lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def measured(self, runs):
        """The least CPU seconds of each phase over some runs."""
        found = {}
        for run in runs:
            own = {}
            for phase, seconds in run["cpu_by_phase"].items():
                own[kind(phase)] = own.get(kind(phase), 0) + seconds
            for phase, seconds in own.items():
                found[phase] = min(found.get(phase, seconds), seconds)
        return found


def report(cases, runs, workers):
    rows = ["| | records | processes | wall, min | wall, said | CPU, min | CPU, said | wall, min / said | CPU, min / said |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for case in cases:
        said = sum(case.said.values())
        for count in workers:
            task = runs[case.name, count]
            found = measure.summary(task)
            wall = schedule(case.listed, count)
            rows.append(
                f"| {case.name} | {task.runs[0]['read']:,} | {count} | {found['wall_min']:.1f} s | {wall:.1f} s | {found['cpu_min']:.1f} s | "
                f"{said:.1f} s | {found['wall_min'] / wall:.2f} | {found['cpu_min'] / said:.2f} |")
    lines = ["\n".join(rows)]
    head = "| CPU by phase, one process | " + " | ".join(f"{case.name} | said | ratio" for case in cases) + " |"
    rows = [head, "|---" + "|--:" * (3 * len(cases)) + "|"]
    measured = {case.name: case.measured(runs[case.name, workers[0]].runs) for case in cases}
    for phase in cases[0].said:
        cells = []
        for case in cases:
            found, said = measured[case.name].get(phase, 0), case.said.get(phase, 0)
            cells.append(f"{found:.2f} s | {said:.2f} s | {found / max(said, 0.001):.2f}")
        rows.append(f"| {phase} | " + " | ".join(cells) + " |")
    return "\n\n".join(lines + ["\n".join(rows)]), measured


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--examples", type=Path, required=True)
    options.add_argument("--corpora", required=True)
    options.add_argument("--files", type=int, default=16)
    options.add_argument("--memory", default="512MiB")
    options.add_argument("--workers", default="1,2")
    options.add_argument("--repetitions", type=int, default=2)
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    workers = [int(word) for word in given.workers.split(",")]
    cases = [Case(given.sluice, given.examples, Path(name), given.files, given.memory) for name in given.corpora.split(",")]
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([str(given.sluice), "--version"]).removeprefix("sluice ")}}
    runs = {}
    for case in cases:
        each = {(case.name, count): case.task(count) for count in workers}
        measure.alternate(list(each.values()), case.folder.parent, given.repetitions)
        runs |= each
    text, measured = report(cases, runs, workers)
    loads = [run["load"] for task in runs.values() for run in task.runs]
    text = "\n\n".join([
        f"# Scale: what `plan --workers` says, beside runs by tasks of the pipeline of examples/ltd.yaml, {given.files} files",
        f"{given.repetitions} times each. {measure.describe(about)} Load after each run: {min(loads):.1f} to {max(loads):.1f}, "
        f"median {statistics.median(loads):.1f}.", text])
    print("\n" + text)
    if given.results:
        for task in runs.values():
            task.command = f"tasks.py --drive, {task.name}"
        measure.save(given.results, "scale", about | {
            "said": {case.name: case.said for case in cases}, "measured": measured,
            "bytes": {case.name: case.bytes for case in cases}}, list(runs.values()), text)


if __name__ == "__main__":
    main()
