"""Benchmark: two versions of sluice on the same work, in turns, whose outputs must be equal.

usage: paired.py --sluice BINARY --before BINARY --examples FOLDER --corpora N=FILE,... [--repetitions N] [--certificate quick] [--results FOLDER]

The work: a dedupe of each corpus, written at zstd level 3 in 128MiB; and the pipeline of examples/ltd.yaml with `lexical`
vectors in 256MiB. Both programs get the same definition, with two threads. `--certificate` is for the newer one alone:
versions before `certificate` work as `quick`.
"""

import argparse
import datetime
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
DEDUPE = """sluice: 1
memory: 128MiB
input: {{files: ["{corpus}"], dedupe: {{on: [prompt, completion]}}}}
stages: []
output: {{directory: out}}
"""
LTD = [
    "--set", "input.dedupe.on=[prompt,completion]", "--set", "stages.format.template=prompt-completion",
    "--set", "stages.embed.model=lexical", "--set", "stages.embed.dimensions=384", "--memory", "256MiB"]


def digest(path):
    """Of the unpacked content."""
    digest = hashlib.sha256()
    with subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE) as process:
        while block := process.stdout.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tasks(work, options, examples, folder, corpus):
    """A task for either version."""
    for side in ("this", "before"):
        binary = options.sluice if side == "this" else options.before
        out = folder / f"paired-{side}"
        words = [binary.resolve(), "run"]
        if work == "dedupe":
            definition = folder / f"paired-{side}.yaml"
            definition.write_text(DEDUPE.format(corpus=corpus))
            words.append(definition)
        else:
            words += [examples / "ltd.yaml", "--input", corpus, *LTD]
            if side == "this" and options.certificate:
                words += ["--set", f"stages.coreset.certificate={options.certificate}"]
        words += ["--output", out, "--threads", 2, "--progress", "none"]
        yield measure.Task(
            side, " ".join(f"'{word}'" for word in words), prepare=lambda out=out: shutil.rmtree(out, ignore_errors=True),
            check=lambda _, out=out: {"digest": digest(out / "kept.jsonl.zst")})


def spread(values, digits, unit=""):
    return f"{statistics.median(values):.{digits}f}{unit} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def row(name, pair):
    this, before = pair
    cells = [name, str(len(this.runs))]
    cells += [spread([measure.cpu(run) for run in task.runs], 2, " s") for task in pair]
    for figure in (measure.cpu, measure.wall):
        least, median, most = measure.paired(this, before, figure)
        cells.append(f"{median:.2f} ({least:.2f}–{most:.2f})")
    cells += [spread([run["peak_kib"] / 1024 for run in task.runs], 1, " MiB") for task in pair]
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser()
    for name in ("sluice", "before", "examples"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--corpora", required=True)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--certificate", default="")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {side: measure.first_line([binary.resolve(), "--version"]).removeprefix("sluice ")
                     for side, binary in (("this", options.sluice), ("before", options.before))}}
    rows, record = [], {"about": about, "command": " ".join(sys.argv), "work": []}
    for entry in options.corpora.split(","):
        number, corpus = entry.split("=")
        for work in ("dedupe", "ltd"):
            name = f"{work} of {int(number):,} records"
            print(name, flush=True)
            pair = list(tasks(work, options, options.examples.resolve(), Path(corpus).resolve().parent, Path(corpus).resolve()))
            for task in pair:
                task.prepare()
                measure.run(task.command, ".")
            measure.alternate(pair, ".", options.repetitions)
            digests = {run.get("digest") for task in pair for run in task.runs}
            if len(digests) != 1 or None in digests:
                raise SystemExit(f"{name}: the kept records differ, or a run failed: {digests}")
            rows.append(row(name, pair))
            record["work"].append({"name": name, **{task.name: {"command": task.command, "runs": task.runs} for task in pair}})
    table = [
        "| work | pairs | this version, CPU | before, CPU | ratio of pairs, CPU | ratio, wall | peak memory, this | before |",
        "|---|--:|--:|--:|--:|--:|--:|--:|", *rows]
    print("\n".join(table))
    if options.results:
        title = f"# Two versions beside each other{', certificate: ' + options.certificate if options.certificate else ''}"
        text = [title, "", measure.describe(about), "", "Two threads; medians (least–most); the kept records are equal.", "", *table, ""]
        name = f"{datetime.date.today()}-paired{'-' + options.certificate if options.certificate else ''}"
        (options.results / f"{name}.md").write_text("\n".join(text))
        (options.results / f"{name}.json").write_text(json.dumps(record, indent=1))


sys.exit(main())
