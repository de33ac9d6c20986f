"""Benchmark: a stage in Python by `external`, beside the native one, and beside the same work in plain Python.

usage: external.py --sluice BINARY --corpus FILE --folder FOLDER [--records N] [--threads N] [--repetitions N] [--results FOLDER]

Each counts the characters of the field `completion` and writes the number into the record. Times are those of whole commands:
unpacking, JSON, the count, and writing packed records.

  measure         the native stage
  nothing         a program that answers without looking at the record: what is left is the cost of `external` itself
  simple          the loop of docs/external.md: json of the standard library, `print`
  helper          examples/python-stage/sluice_stage.py
  whole record    the same, with `whole_record`
  plain Python    zstd -dc | python3 | zstd: the loop without Sluice, in one process
  datatrove       its JSON lines reader and writer with a function between, if it is installed; one process
"""

import argparse
import datetime
import importlib.metadata
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "nothing": """
import sys
lines, answers = sys.stdin.buffer, sys.stdout.buffer
lines.readline()
answers.write(b'{"sluice":1,"ready":true}\\n')
held = []
for number, line in enumerate(lines):
    held.append(b'{"id":%d,"columns":{"n":1}}\\n' % number)
    if b'"more":0,' in line[:60]:
        answers.write(b"".join(held))
        held = []
""",
    "simple": """
import json, sys
json.loads(sys.stdin.readline())
print(json.dumps({"sluice": 1, "ready": True}))
for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps({"id": question["id"], "columns": {"n": len(question["record"]["completion"])}}))
""",
    "helper": """
from sluice_stage import run
run(lambda record, columns: {"n": len(record["completion"])})
""",
    "plain": """
import json, sys
write = sys.stdout.write
for line in sys.stdin:
    record = json.loads(line)
    record["n"] = len(record["completion"])
    write(json.dumps(record, ensure_ascii=False) + "\\n")
""",
    "datatrove": """
import sys
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

def measured(documents):
    for document in documents:
        document.metadata["n"] = len(document.text)
        yield document

reader = JsonlReader(sys.argv[1], glob_pattern="in.jsonl.zst", compression="zstd", text_key="completion")
writer = JsonlWriter(sys.argv[2], compression="zstd")
for document in writer(measured(reader())):
    pass
""",
}


def ways(options):
    """The command of each way, and how many of ours run in it."""
    external = "external: {command: [python3, -S, %s.py], %s, writes: {n: integer}}"
    stages = {
        "measure": "measure: {columns: [characters], field: completion}",
        "nothing": external % ("nothing", "reads: [completion]"), "simple": external % ("simple", "reads: [completion]"),
        "helper": external % ("helper", "reads: [completion]"), "whole record": external % ("helper", "whole_record: true"),
    }
    folder = options.folder
    found = {}
    for name, stage in stages.items():
        column = "characters" if name == "measure" else "n"
        file = name.replace(" ", "-") + ".yaml"
        (folder / file).write_text(
            f"sluice: 1\ninput: {{files: [in.jsonl.zst]}}\nstages:\n  - {stage}\noutput: {{directory: out-{column}, annotate: [{column}]}}\n")
        found[name] = [options.sluice, "run", file, "--force", "--threads", str(options.threads), "--progress", "none"]
    found["plain Python"] = ["bash", "-c", "zstd -dcq in.jsonl.zst | python3 -S plain.py | zstd -q -3 -f -o plain.jsonl.zst"]
    if subprocess.run([sys.executable, "-c", "import datatrove, zstandard"], capture_output=True).returncode == 0:
        found["datatrove"] = [sys.executable, "datatrove-run.py", ".", "datatrove-out"]
    return found


def once(name, command, options):
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=options.folder, check=True, capture_output=True)
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {"seconds": seconds, "cpu": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime}
    if command[0] == options.sluice:
        column = "characters" if name == "measure" else "n"
        timing = json.loads((options.folder / f"out-{column}" / "run.json").read_text())["timing"]
        programs = sum(stage.get("program_cpu_milliseconds", 0) for stage in timing.get("stages", [])) / 1000
        result |= {"programs_cpu": programs, "own_cpu": result["cpu"] - programs, "memory_peak": timing["memory_peak"]}
    return result


def main():
    parser = argparse.ArgumentParser()
    for name in ("sluice", "corpus", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    options.folder = Path(options.folder).resolve() / "external"
    options.folder.mkdir(parents=True, exist_ok=True)
    options.sluice = str(Path(options.sluice).resolve())
    for name, body in PROGRAMS.items():
        (options.folder / ("datatrove-run.py" if name == "datatrove" else f"{name}.py")).write_text(body)
    shutil.copy(HERE.parent / "examples/python-stage/sluice_stage.py", options.folder)
    # Records without the field are none for the loops.
    source = subprocess.Popen(["zstd", "-dcq", options.corpus], stdout=subprocess.PIPE)
    target = subprocess.Popen(["zstd", "-q", "-3", "-f", "-o", options.folder / "in.jsonl.zst"], stdin=subprocess.PIPE)
    count = size = 0
    for line in source.stdout:
        try:
            if not isinstance(json.loads(line).get("completion"), str):
                continue
        except (ValueError, AttributeError):
            continue
        target.stdin.write(line)
        count, size = count + 1, size + len(line)
        if count == options.records:
            break
    target.stdin.close()
    target.wait()
    source.kill()

    found = {name: [] for name in ways(options)}
    for _ in range(options.repetitions):
        for name, command in ways(options).items():
            found[name].append(once(name, command, options))
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([options.sluice, "--version"]).removeprefix("sluice "),
                     "Python": sys.version.split()[0]}}
    try:
        about["versions"]["datatrove"] = importlib.metadata.version("datatrove")
    except importlib.metadata.PackageNotFoundError:
        pass
    lines = [f"# A stage by `external`: {count:,} records, {size / 1e6:.0f} MB, {options.threads} threads of sluice", "",
             measure.describe(about), "", __doc__.split("\n\n", 2)[2].strip().replace("\n  ", "\n- "), "",
             "| | seconds | records a second | CPU, all | CPU of the programs | CPU of sluice |", "|---|--:|--:|--:|--:|--:|"]
    for name, runs in found.items():
        def middle(key):
            return statistics.median(run[key] for run in runs) if key in runs[0] else None
        own = [f"{value:.1f} s" if (value := middle(key)) is not None else "" for key in ("programs_cpu", "own_cpu")]
        lines.append(f"| {name} | {middle('seconds'):.2f} | {count / middle('seconds'):,.0f} | {middle('cpu'):.1f} s | {own[0]} | {own[1]} |")
    print("\n".join(lines))
    if options.results:
        names = {options.sluice: "sluice", sys.executable: "python3"}
        commands = {name: [names.get(word, word) for word in command] for name, command in ways(options).items()}
        stem = options.results / f"{about['date']}-external"
        stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
        stem.with_suffix(".json").write_text(json.dumps(
            dict(about, records=count, bytes=size, threads=options.threads, commands=commands, runs=found), indent=1) + "\n")


main()
