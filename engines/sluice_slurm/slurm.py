"""The commands of Slurm."""

import os
import re
import subprocess

from sluice_tasks.status import RESOURCES, USAGE, Failure

_USUAL = {"None", "Dependency", "Priority", "Resources"}


def run(*command, input=None):
    """What a command of Slurm prints. Raises `Failure` with what it says."""
    try:
        found = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except FileNotFoundError:
        raise Failure(f"there is no `{command[0]}`: submit where Slurm's commands are installed", USAGE)
    if found.returncode != 0:
        raise Failure(f"`{command[0]}` failed: {found.stderr.strip()}", RESOURCES)
    return found.stdout


def limits():
    """The most elements of an array, and the most jobs that the controller holds."""
    text = run("scontrol", "show", "config")

    def value(name, otherwise):
        found = re.search(rf"^{name}\s*=\s*(\d+)", text, re.MULTILINE)
        return int(found.group(1)) if found else otherwise

    # The highest number of an element is one less.
    return max(1, value("MaxArraySize", 1001) - 1), value("MaxJobCount", 10_000)


def submit(script, name, log, options):
    """Submits a job: its number."""
    printed = run(
        "sbatch", "--parsable", "--requeue", f"--job-name={name}", f"--output={log}", "--open-mode=append", *options,
        input=script)
    return int(printed.strip().partition(";")[0])


def queue(jobs):
    """The jobs that are in the queue, each element of an array for itself: pairs of the job's number and what it does."""
    if not jobs:
        return []
    found = []
    for line in run("squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format=%F %T %r").splitlines():
        number, state, reason = (line.split(" ", 2) + ["", ""])[:3]
        if number.isdigit() and int(number) in jobs:
            # A reason that time does not end, such as a node that no partition has, is for a person to see.
            words = "waiting" if reason.strip() in _USUAL else f"waiting ({reason.strip()})"
            found.append((int(number), "running" if state in ("RUNNING", "COMPLETING") else words))
    return found
