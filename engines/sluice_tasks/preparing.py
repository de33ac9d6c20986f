"""The options that all drivers have, and the preparation of a run."""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time

from .status import Failure, USAGE, exit_status


def add_options(parser):
    """Adds the options of a run that both drivers share."""
    parser.add_argument("file", metavar="FILE", help="the definition, a YAML file")
    parser.add_argument(
        "--output", metavar="DIR", required=True, help="the run directory, on a file system that all nodes see")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="replace a value of the definition; repeatable")
    parser.add_argument(
        "--input", metavar="FILE", action="append", default=[], help="read this file or pattern instead; repeatable")
    parser.add_argument("--seed", help="use this seed instead")
    parser.add_argument("--memory", metavar="SIZE", help="memory for each process, such as 512MiB")
    parser.add_argument("--threads", type=positive, default=1, help="threads, and so CPUs, of a task (default: 1)")
    parser.add_argument("--force", action="store_true", help="start over, and replace the result in the directory")
    parser.add_argument("--sluice", metavar="PATH", help="the program (default: `sluice` in PATH, or SLUICE_BINARY)")
    # For tests: as those of `sluice run`.
    for name in ("--part-bytes", "--segment-bytes", "--block-bytes"):
        parser.add_argument(name, help=argparse.SUPPRESS)


def positive(text):
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def find_program(given):
    """The path of the program."""
    name = given or os.environ.get("SLUICE_BINARY") or "sluice"
    path = shutil.which(name)
    if path is None:
        raise Failure(f"there is no program `{name}`; give its path with --sluice, or add its folder to PATH", USAGE)
    return os.path.abspath(path)


def prepare(options, program):
    """Prepares the run directory, or opens one that is prepared: the list of tasks as text.

    The list is empty if the run is complete. Raises `Failure` for everything that `sluice run` refuses.
    """
    command = [program, "run", options.file, "--output", options.output, "--prepare", "--threads", str(options.threads)]
    # A prepared directory is continued, as after a driver that was killed.
    command.append("--force" if options.force else "--resume")
    for name in ("seed", "memory", "part_bytes", "segment_bytes", "block_bytes"):
        if getattr(options, name) is not None:
            command += ["--" + name.replace("_", "-"), getattr(options, name)]
    for name in ("set", "input"):
        for value in getattr(options, name):
            command += ["--" + name, value]
    _wait_for_lock(options.output)
    found = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if found.returncode != 0:
        raise Failure(found.stderr.strip(), exit_status(found.returncode))
    sys.stderr.write(found.stderr)
    return found.stdout


def _wait_for_lock(directory, seconds=20):
    """Waits for the last tasks of a driver that was killed: they hold the lock of the run directory until they end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(os.path.join(directory, ".sluice.lock"), "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.2)
        except OSError:
            # No run yet, or no locks: `sluice` says so if it matters.
            return
