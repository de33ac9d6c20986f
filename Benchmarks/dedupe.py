"""Benchmark: read zstd JSON Lines, keep the first record of each (prompt, completion), write.

usage: dedupe.py --sluice BINARY --corpus FILE.jsonl.zst [--repetitions N] [--results FOLDER] [--only TEXT]
       dedupe.py --ways --corpus FILE.jsonl.zst [--repetitions N] [--results FOLDER] [--only TEXT]

The tasks are equal: all tools read the same zst file, keep the order of the input and write the same records, once uncompressed
and once as zst level 3. `--ways` runs all tested ways to use the other tools; a benchmark then uses each tool's fastest way that
gives this result, from the newest table of ways in RESULTS.
"""

import argparse
import datetime
import hashlib
import importlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

DEFINITION = """\
sluice: 1
memory: {memory}
input:
  files: [{corpus}]
  dedupe: {{on: [prompt, completion]}}
stages: []
output: {{directory: sluice-out, {output}}}
"""
PLAIN, ZST = "plain", "zst"
# The ways to use if there is no table of ways.
DEFAULTS = {
    ("Polars", PLAIN): "scan-sink", ("Polars", ZST): "scan-sink", ("DuckDB", PLAIN): "arg-min", ("DuckDB", ZST): "arg-min",
    ("Python", PLAIN): "msgspec-pipes", ("Python", ZST): "msgspec-pipes", ("awk", PLAIN): "LC_ALL=C mawk", ("awk", ZST): "LC_ALL=C mawk",
    ("datatrove", PLAIN): "one-task", ("datatrove", ZST): "one-task"}
SCRIPTS = {"Polars": "polars_dedupe", "DuckDB": "duckdb_dedupe", "Python": "python_dedupe", "datatrove": "datatrove_dedup"}
TOOLS = (*SCRIPTS, "awk")
AWKS = ("mawk", "LC_ALL=C mawk", "gawk", "LC_ALL=C gawk")


def lines_of(path):
    if path.suffix == ".zst":
        with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE, bufsize=1 << 20) as source:
            yield from source.stdout
    else:
        with open(path, "rb", buffering=1 << 20) as source:
            yield from source


def digest_of(path):
    """The number of records, and a digest of their fields in file order, independent of spelling."""
    import orjson

    count, digest = 0, hashlib.blake2b(digest_size=16)
    for line in lines_of(path):
        record = orjson.loads(line)
        digest.update(f"{record['prompt']}\0{record['completion']}\0{record['template']}\0".encode())
        count += 1
    return count, digest.hexdigest()


def checked(folder, name, key, known):
    """Reads the output of the first run of each task; of later runs only the size, which must be the same."""
    def check(_):
        path = folder / name
        size = path.stat().st_size
        if key not in known:
            known[key] = digest_of(path)
        path.unlink()
        return {"rows": known[key][0], "records": known[key][1], "output_bytes": size}
    return check


def sluice_check(folder, key, known):
    def check(_):
        out = folder / "sluice-out"
        manifest = json.loads((out / "run.json").read_text())
        kept = manifest["outputs"][0]
        size = (out / kept["file"]).stat().st_size
        if kept["content"] not in known:
            known[kept["content"]] = digest_of(out / kept["file"])
        shutil.rmtree(out)
        rows, records = known[kept["content"]]
        return {"rows": rows, "records": records, "output_bytes": size, "content": kept["content"],
                "reported_peak_mib": round(manifest["timing"]["memory_peak"] / 2**20, 1)}
    return check


def awk_command(way, name, target):
    unpacking = f"zstd -dcq {name} | {way} '!s[$0]++'"
    return f"{unpacking} > {target}" if not target.endswith(".zst") else f"{unpacking} | zstd -3 -q -f -T2 -o {target}"


def ways_of(tool):
    """Names of ways, and whether they keep the order."""
    if tool == "awk":
        return {way: True for way in AWKS if shutil.which(way.split()[-1])}
    return {way: entry[-1] for way, entry in importlib.import_module(SCRIPTS[tool]).WAYS.items()}


def command_of(tool, way, name, target):
    if tool == "awk":
        return awk_command(way, name, target)
    return f"{sys.executable} {HERE}/peers/{SCRIPTS[tool]}.py {way} {name} {target}"


def target_of(tool, packing):
    return f"{tool.lower()}.jsonl" + (".zst" if packing == ZST else "")


def peer(tool, way, packing, corpus, known, note=""):
    target = target_of(tool, packing)
    return measure.Task(
        tool if not note else f"{tool}: {way}", command_of(tool, way, corpus.name, target), note or f"way: {way}",
        check=checked(corpus.parent, target, (tool, way, packing), known))


def chosen_ways(results):
    """The fastest way of each tool, from the newest table of ways."""
    best = dict(DEFAULTS)
    tables = sorted(results.glob("*-dedupe-ways.json")) if results else []
    if tables:
        best.update({tuple(key.split("/")): way for key, way in json.loads(tables[-1].read_text())["best"].items()})
    # A tool such as gawk may have been removed since.
    return {key: way if way in ways_of(key[0]) else DEFAULTS[key] for key, way in best.items()}


def tasks(sluice, corpus, folder, memory, best, known):
    name = corpus.name
    outputs = {"none": "compression: none", "3": "level: 3"}
    for key, output in outputs.items():
        (folder / f"dedupe-{key}.yaml").write_text(DEFINITION.format(memory=memory, corpus=name, output=output))

    def ours(label, key, more="", note=""):
        return measure.Task(
            label, f"{sluice} run --progress none{more} dedupe-{key}.yaml", f"with a ledger, on the disk; `memory: {memory}`{note}",
            check=sluice_check(folder, key, known))
    groups = []
    for packing, key in ((PLAIN, "none"), (ZST, "3")):
        group = [ours("Sluice", key), ours("Sluice, one thread", key, " --threads 1")]
        group += [peer(tool, best[tool, packing], packing, corpus, known) for tool in TOOLS]
        groups.append(group)
    groups[0].append(measure.Task(
        "limit: zstd -dc", f"zstd -dcq {name} > copy.jsonl", "a copy of all rows", is_limit=True,
        check=lambda _: size_of(folder / "copy.jsonl")))
    for threads in (1, 2):
        groups[1].append(measure.Task(
            f"limit: zstd -dc, zstd -3 -T{threads}", f"zstd -dcq kept-once.jsonl.zst | zstd -3 -q -f -T{threads} -o copy.jsonl.zst",
            "a copy of the kept rows alone", is_limit=True, check=lambda _: size_of(folder / "copy.jsonl.zst")))
    return groups


def size_of(path):
    size = path.stat().st_size
    path.unlink()
    return {"output_bytes": size}


def versions(sluice=None):
    found = {
        **{name: version(name) for name in ("polars", "duckdb", "orjson", "msgspec", "xxhash", "zstandard", "pandas", "datatrove")},
        "python": sys.version.split()[0], "zstd": measure.first_line(["zstd", "--version"]).split("v")[-1].split(",")[0],
        "awk": measure.first_line(["awk", "-W", "version"])}
    if sluice:
        found = {"sluice": measure.first_line([str(sluice), "--version"]).removeprefix("sluice "), **found}
    return found


def agreement(tasks, what):
    found = {(r["rows"], r["records"]) for t in tasks for r in t.runs if "records" in r}
    if len(found) == 1:
        return f"{what} wrote the same {found.pop()[0]:,} records in the same order."
    return f"THE OUTPUTS DIFFER: {sorted(found)}."


def short(text, given):
    for path, name in ((sys.executable, "python3"), (given.sluice and str(given.sluice.resolve()), "sluice"), (str(HERE), "Benchmarks")):
        if path:
            text = text.replace(path, name)
    return text


def save(given, kind, about, work, text):
    text = short(text, given)
    print("\n" + text)
    if given.results:
        for task in work:
            task.command = short(task.command, given)
        measure.save(given.results, kind, about, work, text)


def run_ways(given, corpus, about):
    known, all_tasks, sections, best = {}, [], [], {}
    for tool in TOOLS:
        for packing in (PLAIN, ZST):
            found = []
            for way, keeps in ways_of(tool).items():
                note = "order kept" if keeps else "order not kept"
                task = peer(tool, way, packing, corpus, known, note)
                task.keeps, task.way = keeps, way
                if not given.only or any(text in task.name for text in given.only.split(",")):
                    found.append(task)
            measure.alternate(found, corpus.parent, given.repetitions)
            good = [t for t in found if t.keeps and measure.summary(t)]
            if good:
                winner = min(good, key=lambda t: measure.summary(t)["wall_median"])
                best[f"{tool}/{packing}"] = winner.way
                winner.note += "; **taken**"
            all_tasks += found
            sections += [f"## {tool}, {'not compressed' if packing == PLAIN else 'zst level 3'}", measure.table(found)]
    about["best"] = best
    # Ways that keep no order can agree only on the number of rows, and pandas spells some records differently.
    rows = {r["rows"] for t in all_tasks for r in t.runs if "rows" in r}
    text = "\n\n".join([
        f"# Ways of the other tools: read, dedupe, write {about['corpus']['rows']:,} records",
        f"The ways of a tool run in turns, {given.repetitions} times each. The benchmark uses the one with the lowest median among those "
        f"that keep the order of the input. {measure.describe(about)}", *sections,
        agreement([t for t in all_tasks if t.keeps], "All that keep the order"),
        f"Rows that any of them wrote: {', '.join(f'{r:,}' for r in sorted(rows))}."])
    save(given, "dedupe-ways", about, all_tasks, text)
    return 0


def run_benchmark(given, corpus, about):
    folder, sluice, known = corpus.parent, given.sluice.resolve(), {}
    best = chosen_ways(given.results)
    groups = tasks(sluice, corpus, folder, given.memory, best, known)
    if given.only:
        groups = [[t for t in group if any(text in t.name for text in given.only.split(","))] for group in groups]
    if given.cap:
        for task in sum(groups, []):
            task.command = f"ulimit -v {given.cap << 20}; {task.command}"
    # The input of the copy. This also brings the corpus into the page cache for all tasks.
    shutil.rmtree(folder / "sluice-out", ignore_errors=True)
    figures, output = measure.run(f"{sluice} run --progress none dedupe-3.yaml", folder)
    if figures["status"] != 0:
        sys.exit(output)
    shutil.copy(folder / "sluice-out" / "kept.jsonl.zst", folder / "kept-once.jsonl.zst")
    shutil.rmtree(folder / "sluice-out")
    parts = [
        f"# Read, dedupe, write: {about['corpus']['rows']:,} records",
        f"The tasks of a table run in turns, {given.repetitions} times each. Every tool reads the same zst file, keeps the input's order and runs "
        f"in its fastest way (see the newest `dedupe-ways` in [this folder](./)). {measure.describe(about)}"]
    for group, title in zip(groups, ("Not compressed", "zst level 3")):
        measure.alternate(group, folder, given.repetitions)
        others = [t for t in group if not t.name.startswith("Sluice")]
        parts += [f"## {title}", measure.table(group)]
        if group and group[0].name == "Sluice":
            parts.append(measure.ratios(group[0], others))
        parts.append(agreement(group, "All"))
    for leftover in ["kept-once.jsonl.zst"] + [target_of(tool, p) for tool in TOOLS for p in (PLAIN, ZST)]:
        (folder / leftover).unlink(missing_ok=True)
    parts.append(
        "CPU is user and system time of all processes; peak memory is that of the largest process. Sluice and awk write the records' own "
        "bytes, Python too; Polars, DuckDB and datatrove format them again, without spaces between tokens. Sluice returns when its output is on disk, and writes a ledger "
        "of the dropped records; its zst has independent frames of 2 MiB, which makes it larger. awk compares whole lines, which gives the same result here.")
    if given.cap:
        parts.append(f"No task may use more than {given.cap} GiB of address space, so that none exhausts the machine.")
    save(given, given.kind, about, sum(groups, []), "\n\n".join(parts))
    return 1 if any("DIFFER" in part for part in parts) else 0


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--results", type=Path)
    options.add_argument("--memory", default="128MiB", help="Sluice's memory budget")
    options.add_argument("--cap", type=int, help="limit of every task's address space, in GiB")
    options.add_argument("--kind", default="dedupe", help="the name of the result")
    options.add_argument("--ways", action="store_true", help="try all ways of the other tools instead")
    options.add_argument("--only", help="only tasks whose name contains one of these texts (separated by commas)")
    given = options.parse_args()
    if not given.ways and not given.sluice:
        options.error("--sluice is missing")
    corpus = given.corpus.resolve()
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": versions(given.sluice and given.sluice.resolve()),
        "corpus": {"file": corpus.name, "bytes": corpus.stat().st_size, "rows": sum(1 for _ in lines_of(corpus))},
        "repetitions": given.repetitions,
    }
    return run_ways(given, corpus, about) if given.ways else run_benchmark(given, corpus, about)


if __name__ == "__main__":
    sys.exit(main())
