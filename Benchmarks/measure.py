"""Runs commands in turns and measures their time and memory. Standard library only.

A task is a shell command. Tasks take turns, so that other load on the machine affects all of them; every second repetition runs
in reverse order. Measured per run: wall time, CPU time of the command and all its children, and the peak memory of its largest
process (the kernel's ru_maxrss; the processes of a pipeline are not added up).
"""

import datetime
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional


@dataclass
class Task:
    name: str
    command: str
    note: str = ""
    # Called after each run with its output; returns figures to record ({"rows": ...}).
    check: Optional[Callable[[str], dict]] = None
    # Called before each run, untimed.
    prepare: Optional[Callable[[], None]] = None
    # Does less work than the others, and so shows the limit.
    is_limit: bool = False
    # Seconds after which a run has failed.
    limit: int = 600
    runs: list = field(default_factory=list)


_helper = None


def run(command, folder, limit=600):
    """Wall seconds, user and system seconds, peak KiB and exit status of a command; and its output.

    A small helper process starts the command, since the peak of a child begins with that of its parent.
    """
    global _helper
    if _helper is None:
        _helper = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _helper.stdin.write(json.dumps([command, str(folder), limit]) + "\n")
    _helper.stdin.flush()
    return tuple(json.loads(_helper.stdout.readline()))


def _run_here(command, folder, limit):
    with open(os.devnull, "rb") as nothing:
        start = time.perf_counter()
        child = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command], cwd=folder, stdin=nothing,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        # On timeout, end the task and all its children.
        timer = threading.Timer(limit, os.killpg, (child.pid, signal.SIGKILL))
        timer.start()
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    return {
        "wall": round(wall, 3), "user": round(usage.ru_utime, 3), "system": round(usage.ru_stime, 3),
        "peak_kib": usage.ru_maxrss, "status": child.returncode,
    }, output.decode(errors="replace")


def alternate(tasks, folder, repetitions):
    """Runs every task `repetitions` times, in turns. A task that has failed is not repeated."""
    for turn in range(repetitions):
        for task in tasks if turn % 2 == 0 else reversed(tasks):
            if any(r["status"] != 0 for r in task.runs):
                continue
            if task.prepare:
                task.prepare()
            figures, output = run(task.command, folder, task.limit)
            if figures["status"] != 0:
                figures["output"] = output[-400:]
            elif task.check:
                figures.update(task.check(output))
            figures["load"] = round(os.getloadavg()[0], 2)
            task.runs.append(figures)
            print(f"  {turn + 1}/{repetitions} {task.name:<34} wall {figures['wall']:7.2f} s  cpu "
                  f"{figures['user'] + figures['system']:7.2f} s  peak {figures['peak_kib'] / 1024:8.0f} MiB"
                  + (f"  work {figures['seconds']:.3f} s" if "seconds" in figures else "")
                  + (f"  FAILED: {figures['output']}" if figures["status"] else ""), flush=True)


def summary(task):
    good = [r for r in task.runs if r["status"] == 0]
    if not good:
        return None
    cpu = [r["user"] + r["system"] for r in good]
    return {
        "wall_min": min(r["wall"] for r in good), "wall_median": round(statistics.median(r["wall"] for r in good), 3),
        "cpu_min": round(min(cpu), 3), "cpu_median": round(statistics.median(cpu), 3),
        "peak_mib": round(max(r["peak_kib"] for r in good) / 1024, 1),
        "peak_mib_median": round(statistics.median(r["peak_kib"] for r in good) / 1024, 1),
    }


def paired(first, second, figure):
    """The ratio of `first` to `second` in each pair of runs of one turn, as (least, median, most).

    Runs of one turn saw the same load, so their ratios are more reliable than the ratio of two medians. None without a pair.
    """
    ratios = [figure(a) / figure(b) for a, b in zip(first.runs, second.runs)
              if a["status"] == 0 and b["status"] == 0 and figure(b) > 0]
    return (min(ratios), statistics.median(ratios), max(ratios)) if ratios else None


def wall(run):
    return run["wall"]


def cpu(run):
    return run["user"] + run["system"]


def ratios(first, others):
    """A table that compares `first` with each of the others, by pairs of runs."""
    rows = [f"| {first.name} beside | wall, median of pairs | least to most | CPU, median of pairs | peak memory |", "|---|--:|--:|--:|--:|"]
    for other in others:
        time, work, own, theirs = paired(first, other, wall), paired(first, other, cpu), summary(first), summary(other)
        if time and own and theirs:
            rows.append(f"| {other.name} | {time[1]:.2f} | {time[0]:.2f} to {time[2]:.2f} | {work[1]:.2f} | "
                        f"{own['peak_mib'] / theirs['peak_mib']:.3f} |")
    return "\n".join(rows)


def machine():
    """The kind of this machine, without its name or address."""
    cpu, flags = "", []
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name" and not cpu:
            cpu = value
        if key == "flags" and not flags:
            flags = [f for f in ("avx2", "avx512bw", "avx512_vnni", "asimddp") if f in value.split()]
    memory = next(l.split()[1] for l in Path("/proc/meminfo").read_text().splitlines() if l.startswith("MemTotal"))
    return {
        "cpu": cpu, "flags": flags, "cores": len(os.sched_getaffinity(0)), "memory_gib": round(int(memory) / 2**20, 1),
        "kernel": os.uname().release, "architecture": os.uname().machine, "load_at_start": os.getloadavg()[0],
    }


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def commit(root):
    def git(*words):
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")


def failed(task):
    """The row of a task that failed."""
    if not task.runs:
        return f"| {task.name} | not run | | | | | | {task.note} |"
    last = task.runs[-1]
    said = [line for line in last["output"].splitlines() if line.strip()]
    return (f"| {task.name} | failed after {last['wall']:.0f} s | | | {last['peak_kib'] / 1024:,.0f} MiB | | | "
            f"exit status {last['status']}: {said[0].strip()[:160] if said else 'no message'} |")


def table(tasks):
    rows = ["| | wall, min | wall, median | CPU, median | peak memory | output | rows | |", "|---|--:|--:|--:|--:|--:|--:|---|"]
    for task in tasks:
        found = summary(task)
        if not found:
            rows.append(failed(task))
            continue
        kept = next((r["rows"] for r in task.runs if "rows" in r), "")
        size = next((f"{r['output_bytes'] / 1e6:,.0f} MB" for r in task.runs if "output_bytes" in r), "")
        rows.append(
            f"| {task.name} | {found['wall_min']:.2f} s | {found['wall_median']:.2f} s | {found['cpu_median']:.2f} s | "
            f"{found['peak_mib']:,.0f} MiB | {size} | {f'{kept:,}' if kept != '' else ''} | {task.note} |")
    return "\n".join(rows)


def describe(about):
    kind = about["machine"]
    return (
        f"{kind['cpu']}, {kind['cores']} cores ({', '.join(kind['flags'])}), {kind['memory_gib']} GiB, Linux {kind['kernel']}; "
        f"load {kind['load_at_start']:.1f} at the start. Commit {about['commit']}, {about['date']}. "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + ".")


def save(results, kind, about, tasks, text):
    """Writes <date>-<kind>.json and .md; replaces those of the same day."""
    results.mkdir(exist_ok=True)
    stem = results / f"{datetime.date.today().isoformat()}-{kind}"
    record = dict(about, kind=kind, tasks=[
        {"name": t.name, "command": t.command, "note": t.note, "limit": t.is_limit, "summary": summary(t), "runs": t.runs}
        for t in tasks])
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    stem.with_suffix(".md").write_text(text + "\n")
    return stem


if __name__ == "__main__" and sys.argv[1:] == ["--serve"]:
    for request in sys.stdin:
        print(json.dumps(_run_here(*json.loads(request))), flush=True)
