"""Benchmark: the pipeline of examples/ltd.yaml at n, 4n and 16n records under one budget: peak memory and time per record.

usage: growth.py --sluice BINARY --examples FOLDER --corpora N=FILE,4N=FILE,16N=FILE [--memory 256MiB] [--repetitions N] [--results FOLDER]
"""

import argparse
import datetime
import json
import shutil
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
SETTINGS = (
    "--set input.dedupe.on=[prompt,completion] --set stages.format.template=prompt-completion "
    "--set stages.embed.model=lexical --set stages.embed.dimensions=384")


def checked(folder):
    def check(_):
        manifest = json.loads((folder / "growth-out" / "run.json").read_text())
        kept = next(o for o in manifest["outputs"] if o["file"] == "kept.jsonl.zst")
        shutil.rmtree(folder / "growth-out")
        counts = manifest["counts"]
        assert counts["read"] == counts["kept"] + counts["dropped"] + counts["quarantined"]
        return {
            "rows": counts["kept"], "read": counts["read"], "content": kept["content"],
            "reported_peak_mib": round(manifest["timing"]["memory_peak"] / 2**20, 1)}
    return check


def spread(values):
    return f"{100 * (max(values) / min(values) - 1):.1f} %"


def beside_first(values):
    return ", ".join(f"{100 * (value / values[0] - 1):+.1f} %" for value in values[1:])


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--examples", type=Path, required=True)
    options.add_argument("--corpora", required=True, help="records=file, parted by commas")
    options.add_argument("--memory", default="256MiB")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    corpora = {int(n): Path(path).resolve() for n, path in (word.split("=") for word in given.corpora.split(","))}
    folder = next(iter(corpora.values())).parent
    sluice = given.sluice.resolve()
    recipe = (given.examples / "ltd.yaml").resolve()
    tasks = [
        measure.Task(
            f"{records:,} records",
            f"{sluice} run {recipe} --progress none --force --memory {given.memory} {SETTINGS} "
            f"--set input.files=[{path}] --output {folder}/growth-out", check=checked(folder))
        for records, path in corpora.items()]
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([str(sluice), "--version"]).removeprefix("sluice ")},
        "memory": given.memory, "repetitions": given.repetitions,
    }
    measure.alternate(tasks, folder, given.repetitions)

    rows = ["| | wall, min | µs a record | CPU, µs a record | peak memory, median | largest | kept |", "|---|--:|--:|--:|--:|--:|--:|"]
    walls, cpus, peaks = [], [], []
    for task, records in zip(tasks, corpora):
        found = measure.summary(task)
        if not found:
            rows.append(f"| {task.name} | failed | | | | | |")
            continue
        walls.append(found["wall_min"] / records * 1e6)
        cpus.append(found["cpu_min"] / records * 1e6)
        peaks.append(found["peak_mib_median"])
        rows.append(
            f"| {task.name} | {found['wall_min']:.2f} s | {walls[-1]:.2f} | {cpus[-1]:.2f} | {peaks[-1]:.0f} MiB | {found['peak_mib']:.0f} MiB | {task.runs[0]['rows']:,} |")
    text = "\n\n".join([
        f"# Growth: the pipeline of examples/ltd.yaml under `memory: {given.memory}`",
        f"The tasks in turns, {given.repetitions} times each. {measure.describe(about)}",
        "\n".join(rows),
        f"Beside the first: wall time a record {beside_first(walls)}; CPU time a record {beside_first(cpus)}; peak memory {beside_first(peaks)}. "
        f"Greatest over least: wall time a record {spread(walls)}, CPU time a record {spread(cpus)}, peak memory {spread(peaks)}."])
    for long, short in ((str(sluice), "sluice"), (str(recipe), "examples/ltd.yaml"), (str(folder) + "/", "")):
        text = text.replace(long, short)
        for task in tasks:
            task.command = task.command.replace(long, short)
    print("\n" + text)
    if given.results:
        measure.save(given.results, "growth", about, tasks, text)
    return 0 if len(peaks) == len(tasks) else 1


if __name__ == "__main__":
    raise SystemExit(main())
