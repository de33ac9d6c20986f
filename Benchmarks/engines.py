"""Benchmark: a job in one process, cut into tasks, and by the drivers of engines/ on Ray and on Slurm.

usage: engines.py --sluice BINARY --corpus FILE [--job ltd|dedupe] [--files 16] [--memory 512MiB] [--repetitions N] [--results FOLDER]

The jobs: the pipeline of examples/ltd.yaml, and an exact dedupe alone, beside that of datatrove by its local and its Ray executor, each with
two workers. The corpus is cut into files, and each file is a part. Both engines have two nodes of one CPU on this machine, in a network of
their own; they are started before the time counts. Needs root.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import measure
import tasks

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "engines" / "tests"

# Notes what tasks take, and what lies in the work folder before the last of them.
_PROGRAM = """\
#!/bin/bash
if [[ $1 == task && $3 == finish ]]; then find "$2/work" -type f -printf '%s %P\\n' > {folder}/sizes; fi
{sluice} "$@"
status=$?
if [[ $1 == task ]]; then times > {folder}/times.$$; fi
exit $status
"""


def seconds(words):
    """The sum of `1m2.345s 0m0.100s`."""
    return sum(float(word.rstrip("s").split("m")[1]) + 60 * int(word.split("m")[0]) for word in words.split())


def daemons():
    """The CPU seconds of all processes of this namespace, by process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[int(path.parent.name)] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return found


def inside(engine, sluice, arguments, output, repetitions, peer):
    """In the namespace of an engine: starts it, and prints what runs took as JSON, one a line."""
    sys.path.insert(0, str(TESTS))
    module = __import__(f"{engine}_tests")
    module.setUpModule()
    work = Path(os.environ["ENGINES_WORK"])
    for number in range(repetitions):
        folder = work / f"bench-{number}"
        folder.mkdir()
        program = folder / "program"
        program.write_text(_PROGRAM.format(folder=folder, sluice=sluice))
        program.chmod(0o755)
        shutil.rmtree(output, ignore_errors=True)
        command = [sys.executable, "-m", f"sluice_{engine}", *(
            ["run", "--address", module.ADDRESS] if engine == "ray" else ["submit", "--wait"])]
        before, begun = daemons(), time.perf_counter()
        with open(folder / "said", "w") as said:
            driver = subprocess.Popen(
                [*command, *arguments, "--output", output, "--sluice", program, "--progress", "none"], stderr=said)
            _, status, usage = os.wait4(driver.pid, 0)
            driver.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if driver.returncode != 0:
            raise SystemExit((folder / "said").read_text())
        after = daemons()
        # The second line of each is that of the shell's children.
        took = [seconds(path.read_text().splitlines()[1]) for path in folder.glob("times.*")]
        sizes = {}
        for line in (folder / "sizes").read_text().splitlines():
            size, name = line.split(" ", 1)
            folder_name, _, rest = name.partition("/")
            kind = {"data": rest.split(".")[0], "tasks": f"marks of {rest.split('.')[0]}"}.get(
                folder_name, folder_name.partition("-")[0])
            sizes[kind] = sizes.get(kind, 0) + int(size)
        manifest = json.loads((Path(output) / "run.json").read_text())
        print(json.dumps({
            "wall": round(wall, 3), "tasks": len(took), "task_cpu": round(sum(took), 3),
            "driver_cpu": round(usage.ru_utime + usage.ru_stime, 3),
            "daemon_cpu": round(sum(after[pid] - before[pid] for pid in before if pid in after), 3),
            "work_bytes": sizes, "kept": manifest["counts"]["kept"], "result": manifest["digest"],
        }), flush=True)
    if peer and engine == "ray":
        for run in datatrove("ray", Path(peer), Path(output), repetitions, {"RAY_ADDRESS": module.ADDRESS}):
            print(json.dumps({"name": "datatrove, the same Ray", **run}), flush=True)


def datatrove(way, source, target, repetitions, more=None):
    """The exact dedupe of datatrove by two workers: how many records are kept."""
    packages = next((HERE / ".venv/lib").glob("python3*/site-packages"))
    environment = {**os.environ, **(more or {}), "PYTHONPATH": str(packages)}
    for _ in range(repetitions):
        shutil.rmtree(target, ignore_errors=True)
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, HERE / "peers/datatrove_dedup.py", way, source, target], env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE)
        said = child.stderr.read()
        if child.wait():
            print(f"skipped: datatrove, {way}: {said.decode()[-300:]}", file=sys.stderr)
            return
        # Its workers are not its children, so their CPU seconds are not known.
        yield {"wall": round(time.perf_counter() - begun, 3), "kept": kept(target / "out")}


def kept(folder):
    return int(subprocess.run(
        ["bash", "-c", f"zstd -dcq {folder}/*.zst | wc -l"], check=True, capture_output=True, text=True).stdout)


def alone(sluice, arguments, output, repetitions):
    """One process with two threads."""
    for _ in range(repetitions):
        shutil.rmtree(output, ignore_errors=True)
        begun = time.perf_counter()
        child = subprocess.Popen(
            [sluice, "run", *arguments, "--output", output, "--threads", "2", "--progress", "none"], stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        manifest = json.loads((Path(output) / "run.json").read_text())
        yield {
            "wall": round(time.perf_counter() - begun, 3), "task_cpu": round(usage.ru_utime + usage.ru_stime, 3),
            "kept": manifest["counts"]["kept"], "result": manifest["digest"]}


def plain(sluice, arguments, output, repetitions):
    """The tasks by two processes at a time, started by the driver of tasks.py."""
    prepare = [sluice, "run", *arguments, "--output", output, "--threads", "1", "--prepare"]
    for _ in range(repetitions):
        shutil.rmtree(output, ignore_errors=True)
        begun = time.perf_counter()
        found = json.loads(subprocess.run(
            [sys.executable, "-S", HERE / "tasks.py", "--drive", json.dumps([prepare, sluice, output, 2, 0])], check=True,
            stdout=subprocess.PIPE).stdout)
        manifest = json.loads((Path(output) / "run.json").read_text())
        yield {
            "wall": round(time.perf_counter() - begun, 3), "tasks": found["tasks"],
            "task_cpu": round(sum(found["cpu_by_phase"].values()), 3),
            "kept": manifest["counts"]["kept"], "result": manifest["digest"]}


def driven(engine, sluice, arguments, output, repetitions, peer=""):
    """The runs on an engine; none if it can't be started. `peer`: the folder that datatrove dedupes there, too."""
    found = subprocess.run(
        [TESTS / f"{engine}.sh", "--inside", json.dumps([engine, sluice, arguments, output, repetitions, peer])],
        env={**os.environ, "ENGINES_PROGRAM": str(HERE / "engines.py"), "SLUICE_BINARY": sluice}, stdout=subprocess.PIPE,
        text=True)
    for line in found.stdout.splitlines():
        if line.startswith("{"):
            yield json.loads(line)
        else:
            print(line, file=sys.stderr)


def report(runs):
    """The table: the run with the least wall time of each."""
    best = {name: min(each, key=lambda run: run["wall"]) for name, each in runs.items() if each}
    base = best.get("tasks, 2 processes")
    rows = ["| | wall | CPU of tasks | CPU of driver and daemons | tasks | wall beside that of 2 processes, a task |", "|---|--:|--:|--:|--:|--:|"]
    for name, run in best.items():
        beside = f"{(run['wall'] - base['wall']) / run['tasks'] * 1000:+.0f} ms" if base and "driver_cpu" in run else ""
        others = f"{run['driver_cpu'] + run['daemon_cpu']:.1f} s" if "driver_cpu" in run else ""
        cpu = f"{run['task_cpu']:.1f} s" if "task_cpu" in run else "not measured"
        rows.append(f"| {name} | {run['wall']:.1f} s | {cpu} | {others} | {run.get('tasks', '')} | {beside} |")
    lines = ["\n".join(rows)]
    peers = [f"{name} kept {run['kept']:,}" for name, run in best.items() if "result" not in run]
    if peers:
        lines.append(f"sluice kept {best['one process, 2 threads']['kept']:,} records, each the first of its kind; " + ", ".join(peers) + ".")
    sizes = next((run["work_bytes"] for run in best.values() if "work_bytes" in run), None)
    if sizes:
        shuffled = sum(sizes.get(kind, 0) for kind in ("hash", "duplicates", "gather-2", "select-2"))
        lines.append(
            f"Tasks shuffle {shuffled / 1e6:.1f} MB (hashes, duplicates, rows by bundle, choices). All files of work, with columns and "
            f"outputs of parts, are {sum(sizes.values()) / 1e6:.1f} MB: " + ", ".join(
                f"{kind} {size / 1e6:.1f}" for kind, size in sorted(sizes.items(), key=lambda each: -each[1]) if size > 1e5) + ".")
    results = {run["result"] for each in runs.values() for run in each if "result" in run}
    lines.append("All results of sluice have the same digest." if len(results) == 1 else f"THE RESULTS DIFFER: {results}")
    return "\n\n".join(lines)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--job", choices=("ltd", "dedupe"), default="ltd")
    options.add_argument("--files", type=int, default=16)
    options.add_argument("--memory", default="512MiB")
    options.add_argument("--without-plain", action="store_true", help="leave out the tasks by two processes without an engine")
    options.add_argument("--repetitions", type=int, default=2)
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    inputs = tasks.cut(given.corpus.resolve(), given.files)
    sluice, output = str(given.sluice.resolve()), str(inputs.parent / "engines-out")
    definition, settings = HERE.parent / "examples" / "ltd.yaml", tasks.SETTINGS
    if given.job == "dedupe":
        definition, settings = inputs.parent / "dedupe.yaml", []
        definition.write_text("sluice: 1\ninput: {files: [in], dedupe: {on: [prompt, completion]}}\nstages: []\n")
    arguments = [
        str(definition), "--memory", given.memory, *settings, "--set", f"input.files=[{inputs}/*.jsonl.zst]", "--part-bytes",
        # Each file is a part.
        str(min(file.stat().st_size for file in inputs.glob("*.jsonl.zst")))]
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([sluice, "--version"]).removeprefix("sluice ")},
        "job": given.job, "memory": given.memory, "files": given.files, "repetitions": given.repetitions}
    runs = {
        "one process, 2 threads": list(alone(sluice, arguments, output, given.repetitions)),
    }
    if not given.without_plain:
        runs["tasks, 2 processes"] = list(plain(sluice, arguments, output, given.repetitions))
    peer = str(inputs) if given.job == "dedupe" else ""
    on_ray = list(driven("ray", sluice, arguments, output, given.repetitions, peer))
    runs["Ray, 2 nodes of 1 CPU"] = [run for run in on_ray if "name" not in run]
    runs["Slurm, 2 nodes of 1 CPU"] = list(driven("slurm", sluice, arguments, output, given.repetitions))
    if peer:
        runs["datatrove, local, 2 processes"] = list(datatrove("local", inputs, Path(output), given.repetitions))
        runs["datatrove, the same Ray"] = [run for run in on_ray if "name" in run]
    shutil.rmtree(output, ignore_errors=True)
    title = "the pipeline of examples/ltd.yaml" if given.job == "ltd" else "an exact dedupe"
    text = "\n\n".join([
        f"# Engines: {title}, {given.corpus.name}, {given.files} files, `memory: {given.memory}` a process",
        f"The best of {given.repetitions} runs each. {measure.describe(about)}", report(runs)])
    print(text)
    if given.results:
        given.results.mkdir(parents=True, exist_ok=True)
        name = f"{about['date']}-engines-{given.job}-{given.corpus.name.partition('.')[0]}"
        (given.results / f"{name}.md").write_text(text + "\n")
        about["command"] = f"Benchmarks/engines.py --sluice .build/release/sluice --corpus {given.corpus.name} --job {given.job}"
        (given.results / f"{name}.json").write_text(json.dumps({**about, "runs": runs}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(*json.loads(sys.argv[2]))
    else:
        raise SystemExit(main())
