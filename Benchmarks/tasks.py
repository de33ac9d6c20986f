"""Benchmark: the pipeline of examples/ltd.yaml in one process, and cut into tasks for 1, 2 and 4 processes of one thread each.

usage: tasks.py --sluice BINARY --examples FOLDER --corpus FILE [--files 16] [--memory 512MiB] [--workers 1,2,4] [--repetitions N] [--results FOLDER]

The corpus is cut into files, and each file is a part. A driver starts a process a task, as soon as the tasks that it reads from are done.
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

HERE = Path(__file__).resolve().parent
SETTINGS = [
    "--set", "input.dedupe.on=[prompt,completion]", "--set", "stages.format.template=prompt-completion",
    "--set", "stages.embed.model=lexical", "--set", "stages.embed.dimensions=384"]


def cut(corpus, count):
    """The corpus in `count` files of about the same number of records, made once."""
    folder = corpus.parent / f"{corpus.name.removesuffix('.jsonl.zst')}-in-{count}"
    if folder.exists():
        return folder
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    print(f"bench: cutting {corpus.name} into {count} files", file=sys.stderr, flush=True)
    lines = int(subprocess.run(
        ["bash", "-c", f"zstd -dcq {corpus} | wc -l"], check=True, capture_output=True, text=True).stdout)
    with subprocess.Popen(["zstd", "-dcq", corpus], stdout=subprocess.PIPE) as source:
        for number in range(count):
            out = making / f"part-{number:03}.jsonl.zst"
            with subprocess.Popen(["zstd", "-3", "-q", "-o", out], stdin=subprocess.PIPE) as packing:
                for _ in range(lines * (number + 1) // count - lines * number // count):
                    packing.stdin.write(source.stdout.readline())
    making.rename(folder)
    return folder


# The driver: a process of its own, so that its children's time and memory can be measured.


def start(sluice, folder, task):
    return subprocess.Popen(
        [sluice, "task", folder, task, "--threads", "1", "--progress", "none"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end(running):
    """Waits for any of the running tasks: its name, and CPU seconds and peak KiB of its process."""
    pid, status, usage = os.wait4(-1, 0)
    task, process = running.pop(pid)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{task} ended with status {process.returncode}: {process.stderr.read().decode()}")
    process.stderr.close()
    return task, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def drive(prepare, sluice, folder, workers, repeats):
    """Prepares the run and does all tasks, up to `workers` at a time. Prints what they took as JSON."""
    tasks = json.loads(subprocess.run(prepare, check=True, stdout=subprocess.PIPE).stdout)
    makers = {name: {task["task"]} for task in tasks for name in task["writes"]}
    for task in tasks:
        # All tasks of a phase at once.
        makers.setdefault(f"work/tasks/{task['phase']}.*", set()).add(task["task"])
    waits = {task["task"]: set().union(*(makers.get(name, set()) for name in task["reads"])) for task in tasks}
    phases = {task["task"]: task["phase"] for task in tasks}
    done, running, cpu, peaks, most_together = set(), {}, {}, {}, 0
    again = None
    while waits or running:
        ready = [task for task, needs in waits.items() if needs <= done]
        if repeats and ready == ["finish"] and not running:
            again = repeat(sluice, folder, "tally", repeats)
        for task in ready[:workers - len(running)]:
            del waits[task]
            process = start(sluice, folder, task)
            running[process.pid] = (task, process)
        most_together = max(most_together, len(running))
        task, seconds, peak = end(running)
        done.add(task)
        cpu[phases[task]] = round(cpu.get(phases[task], 0) + seconds, 3)
        peaks[phases[task]] = max(peaks.get(phases[task], 0), peak)
    print(json.dumps({
        "tasks": len(tasks), "at_once": most_together, "cpu_by_phase": cpu, "peak_kib_by_phase": peaks, "done_again": again}))


def repeat(sluice, folder, task, count):
    """Wall and CPU seconds of a task that is already done: what every task takes at least."""
    begun, seconds = time.perf_counter(), 0
    for _ in range(count):
        process = start(sluice, folder, task)
        seconds += end({process.pid: (task, process)})[1]
    return {"wall": (time.perf_counter() - begun) / count, "cpu": seconds / count}


# The benchmark.


def checked(folder):
    def check(output):
        manifest = json.loads((folder / "run.json").read_text())
        shutil.rmtree(folder)
        counts = manifest["counts"]
        assert counts["read"] == counts["kept"] + counts["dropped"] + counts["quarantined"]
        figures = {"rows": counts["kept"], "read": counts["read"], "result": manifest["digest"]}
        last = output.strip().splitlines()[-1:]
        return figures | (json.loads(last[0]) if last and last[0].startswith("{") else {})
    return check


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--examples", type=Path, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--files", type=int, default=16)
    options.add_argument("--memory", default="512MiB")
    options.add_argument("--workers", default="1,2,4")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    inputs = cut(given.corpus.resolve(), given.files)
    folder = inputs.parent / "tasks-out"
    shutil.rmtree(folder, ignore_errors=True)
    sluice = given.sluice.resolve()
    run = [
        str(sluice), "run", str((given.examples / "ltd.yaml").resolve()), "--progress", "none", "--memory", given.memory,
        *SETTINGS, "--set", f"input.files=[{inputs}/*.jsonl.zst]", "--output", str(folder), "--part-bytes",
        # Each file is a part.
        str(min(file.stat().st_size for file in inputs.glob("*.jsonl.zst")))]

    def task(name, command):
        return measure.Task(name, command, check=checked(folder), prepare=lambda: shutil.rmtree(folder, ignore_errors=True))

    def quoted(words):
        return " ".join(f"'{word}'" if set(word) & set("[]*") else word for word in words)

    def driven(workers, repeats=0):
        words = json.dumps([run + ["--prepare"], str(sluice), str(folder), workers, repeats])
        return f"{sys.executable} -S {HERE / 'tasks.py'} --drive '{words}'"

    alone = [task(f"one process, {n} thread{'s' if n > 1 else ''}", quoted(run + ["--threads", str(n)])) for n in (1, 2)]
    counts = [int(word) for word in given.workers.split(",")]
    cut_up = [task(f"tasks, {n} process{'es' if n > 1 else ''}", driven(n)) for n in counts]
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([str(sluice), "--version"]).removeprefix("sluice ")},
        "memory": given.memory, "files": given.files, "repetitions": given.repetitions,
    }
    measure.alternate(alone + cut_up, folder.parent, given.repetitions)
    again = task("tasks that are already done", driven(1, repeats=30))
    measure.alternate([again], folder.parent, 1)

    results = {r.get("result") for t in alone + cut_up + [again] for r in t.runs}
    text = "\n\n".join([
        f"# Tasks: the pipeline of examples/ltd.yaml, {given.files} files, `memory: {given.memory}` a process",
        f"In turns, {given.repetitions} times each. {measure.describe(about)}",
        report(alone, cut_up, again),
        "All results have the same digest." if len(results) == 1 else f"THE RESULTS DIFFER: {results}"])
    print("\n" + text)
    if given.results:
        for each in alone + cut_up + [again]:
            each.command = each.command.replace(str(sluice), "sluice").replace(str(inputs.parent) + "/", "").replace(
                str(HERE) + "/", "").replace(str(given.examples.resolve()) + "/", "examples/")
        measure.save(given.results, "tasks", about, alone + cut_up + [again], text)
    return 0 if len(results) == 1 and None not in results else 1


def report(alone, cut_up, again):
    rows = ["| | wall, min | CPU, min | peak memory of a process | tasks | CPU beside one process, a task |", "|---|--:|--:|--:|--:|--:|"]
    base = measure.summary(alone[0])
    for task in alone + cut_up:
        found = measure.summary(task)
        if not found:
            rows.append(measure.failed(task))
            continue
        number = task.runs[0].get("tasks")
        more = f"{(found['cpu_min'] - base['cpu_min']) / number * 1000:+.0f} ms" if number and base else ""
        rows.append(
            f"| {task.name} | {found['wall_min']:.2f} s | {found['cpu_min']:.2f} s | {found['peak_mib']:.0f} MiB | {number or ''} | {more} |")
    lines = ["\n".join(rows)]
    done = again.runs[0].get("done_again") if again.runs else None
    if done:
        lines.append(
            f"A task that is already done takes {done['wall'] * 1000:.0f} ms, and {done['cpu'] * 1000:.0f} ms of CPU time: the "
            "start of the process, the definition, the names and times of all inputs.")
        phases = again.runs[0]["cpu_by_phase"]
        peaks = again.runs[0]["peak_kib_by_phase"]
        lines.append("CPU time and peak memory by phase, with one process: " + ", ".join(
            f"{phase} {seconds:.2f} s and {peaks[phase] / 1024:.0f} MiB" for phase, seconds in phases.items()) + ".")
    return "\n\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(*json.loads(sys.argv[2]))
    else:
        raise SystemExit(main())
