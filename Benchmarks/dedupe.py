"""Benchmark: read, deduplicate by prompt and completion, write. Sluice beside the tools that do the same.

usage: dedupe.py --sluice BINARY --corpus FILE.jsonl.zst [--repetitions N] [--results FOLDER] [--only TEXT]
"""

import argparse
import datetime
import json
import shutil
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent

DEFINITION = """\
sluice: 1
memory: {memory}
input:
  files: [{corpus}]
  dedupe: {{on: [prompt, completion]}}
stages: []
output: {{directory: sluice-out, level: {level}}}
"""


def rows_of(path):
    """The lines of a file, compressed or not."""
    reader = ["zstd", "-dcq", str(path)] if path.suffix == ".zst" else ["cat", str(path)]
    with subprocess.Popen(reader, stdout=subprocess.PIPE) as source:
        counted = subprocess.run(["wc", "-l"], stdin=source.stdout, capture_output=True, text=True, check=True)
    return int(counted.stdout)


def output_check(folder, name, counted):
    def check(_):
        path = folder / name
        if name not in counted:
            counted[name] = rows_of(path)
        size = path.stat().st_size
        path.unlink()
        return {"rows": counted[name], "output_bytes": size}
    return check


def sluice_check(folder):
    def check(_):
        manifest = json.loads((folder / "sluice-out" / "run.json").read_text())
        kept = next(o for o in manifest["outputs"] if o["file"] == "kept.jsonl.zst")
        size = (folder / "sluice-out" / "kept.jsonl.zst").stat().st_size
        shutil.rmtree(folder / "sluice-out")
        return {
            "rows": manifest["counts"]["kept"], "output_bytes": size, "content": kept["content"],
            "reported_peak_mib": round(manifest["timing"]["memory_peak"] / 2**20, 1)}
    return check


def tasks(sluice, corpus, folder, memory):
    python = sys.executable
    name = corpus.name
    for level in (3, 1):
        (folder / f"dedupe-{level}.yaml").write_text(DEFINITION.format(memory=memory, corpus=name, level=level))
    counted = {}
    out = lambda file: {"check": output_check(folder, file, counted)}
    return [
        measure.Task(
            "Sluice", f"{sluice} run --progress none dedupe-3.yaml", f"zst level 3, with a ledger; `memory: {memory}`",
            check=sluice_check(folder)),
        measure.Task(
            "Sluice, level 1", f"{sluice} run --progress none dedupe-1.yaml", f"zst level 1, with a ledger; `memory: {memory}`",
            check=sluice_check(folder)),
        measure.Task(
            "Sluice, one thread", f"{sluice} run --progress none --threads 1 dedupe-3.yaml", f"zst level 3; `memory: {memory}`",
            check=sluice_check(folder)),
        measure.Task(
            "zstd + awk + zstd", f"zstd -dcq {name} | awk '!s[$0]++' | zstd -3 -q -f -T2 -o awk.jsonl.zst",
            "key: the line; zst level 3", **out("awk.jsonl.zst")),
        measure.Task(
            "Polars", f"{python} {HERE}/peers/polars_dedupe.py {name} polars.jsonl",
            "output not compressed, order not kept", **out("polars.jsonl")),
        measure.Task(
            "Polars, compressing", f"{python} {HERE}/peers/polars_dedupe.py {name} polars.jsonl.zst",
            "zst level 3, order not kept", **out("polars.jsonl.zst")),
        measure.Task(
            "DuckDB", f"{python} {HERE}/peers/duckdb_dedupe.py {name} duckdb.jsonl.zst",
            "zst, order not kept", **out("duckdb.jsonl.zst")),
        measure.Task("limit: zstd -dc", f"zstd -dcq {name} > /dev/null", "reading only", is_limit=True),
        measure.Task(
            "limit: zstd -dc, zstd -3", f"zstd -dcq {name} | zstd -3 -q -f -T2 -o copy.jsonl.zst",
            "a copy, all rows", is_limit=True, check=output_check(folder, "copy.jsonl.zst", counted)),
    ]


def share_of_limit(work):
    """How near the copy by `zstd -dc` and `zstd -3` we come, run by run."""
    named = {t.name: t.runs for t in work}
    pairs = [(c, o) for c, o in zip(named.get("limit: zstd -dc, zstd -3", []), named.get("Sluice", []))
             if c["status"] == 0 and o["status"] == 0]
    if not pairs:
        return []
    def median(figure):
        return statistics.median(figure(c) / figure(o) for c, o in pairs)
    wall, cpu = median(lambda r: r["wall"]), median(lambda r: r["user"] + r["system"])
    return [f"Throughput of Sluice as a share of the copy by `zstd -dc` and `zstd -3`, median of pairs: {wall:.0%} by the clock, "
            f"{cpu:.0%} by processor time. (The copy writes every row, Sluice those it keeps and a ledger of the others.)"]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--results", type=Path)
    options.add_argument("--memory", default="128MiB", help="the budget that Sluice is given")
    options.add_argument("--cap", type=int, help="GiB of address space that every task may use at most")
    options.add_argument("--kind", default="dedupe", help="the name of the result")
    options.add_argument("--only", help="tasks whose name has one of these texts, parted by commas")
    given = options.parse_args()
    corpus = given.corpus.resolve()
    folder = corpus.parent
    sluice = given.sluice.resolve()
    work = [t for t in tasks(sluice, corpus, folder, given.memory) if not given.only or any(text in t.name for text in given.only.split(","))]
    if given.cap:
        for task in work:
            task.command = f"ulimit -v {given.cap << 20}; {task.command}"
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {
            "sluice": measure.first_line([str(sluice), "--version"]).removeprefix("sluice "), "polars": version("polars"),
            "duckdb": version("duckdb"), "zstd": measure.first_line(["zstd", "--version"]).split("v")[-1].split(",")[0],
            "awk": measure.first_line(["awk", "-W", "version"])},
        "corpus": {"file": corpus.name, "bytes": corpus.stat().st_size, "rows": rows_of(corpus)},
        "repetitions": given.repetitions,
    }
    # The input lies in the page cache for all of them.
    subprocess.run(["cat", str(corpus)], stdout=subprocess.DEVNULL, check=True)
    measure.alternate(work, folder, given.repetitions)
    for leftover in ("awk.jsonl.zst", "polars.jsonl", "polars.jsonl.zst", "duckdb.jsonl.zst", "copy.jsonl.zst"):
        (folder / leftover).unlink(missing_ok=True)

    rows = {r["rows"] for t in work if not t.is_limit for r in t.runs if "rows" in r}
    agreement = f"All kept the same number of rows: {rows.pop():,}." if len(rows) == 1 else f"THE ROWS DIFFER: {sorted(rows)}."
    notes = ["CPU is user and system time of all processes; peak memory is that of the largest process."]
    if given.cap:
        notes.append(f"No task may use more than {given.cap} GiB of address space, so that none takes the machine down.")
    text = "\n\n".join([
        f"# Read, dedupe, write: {about['corpus']['rows']:,} records",
        f"One run, the tasks in turns, {given.repetitions} times each. {measure.describe(about)}",
        measure.table(work), agreement, *share_of_limit(work), *notes])
    text = text.replace(str(sys.executable), "python3").replace(str(sluice), "sluice").replace(str(HERE), "Benchmarks")
    print("\n" + text)
    if given.results:
        for task in work:
            for path, short in ((sys.executable, "python3"), (str(sluice), "sluice"), (str(HERE), "Benchmarks")):
                task.command = task.command.replace(path, short)
        measure.save(given.results, given.kind, about, work, text)
    return 0 if agreement.startswith("All") else 1


if __name__ == "__main__":
    sys.exit(main())
