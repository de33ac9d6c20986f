"""`python -m sluice_ray run FILE --output DIR`: a run of Sluice on a Ray cluster."""

import argparse
import os
import signal
import sys
import time

from sluice_tasks import preparing
from sluice_tasks.progress import STYLES, Progress, duration
from sluice_tasks.status import DONE, USAGE, Failure
from sluice_tasks.tasks import TaskList


def main():
    """The command: its exit status."""
    options = _parse()
    try:
        return _run(options)
    except Failure as failure:
        text = str(failure)
        print(text if text.startswith("sluice: ") else f"sluice: {text}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print("sluice: stopped by SIGINT before any task was started", file=sys.stderr)
        return 128 + signal.SIGINT


def _parse():
    parser = argparse.ArgumentParser(prog="sluice-ray", description="Run a definition of Sluice on a Ray cluster.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="run a definition, or continue its run",
        description="Run a definition on a Ray cluster. The same command continues a run that was stopped. All nodes must see "
        "the inputs and the run directory under the same paths. Exit status: as of `sluice run`.")
    preparing.add_options(run)
    run.add_argument(
        "--address", help="the cluster: auto, or HOST:PORT (default: that of RAY_ADDRESS or of this machine, else a new one)")
    run.add_argument("--window", type=int, metavar="N", help="Ray tasks in flight at once (default: twice what the CPUs can do)")
    run.add_argument("--progress", choices=STYLES, help="how to show progress (default: bar on a terminal, plain elsewhere)")
    run.add_argument("--trace", metavar="FILE", help="append one JSON line for each try of a task: node, times, status")
    return parser.parse_args()


def _run(options):
    # Ray takes seconds to import: help and mistakes come before that.
    program = preparing.find_program(options.sluice)
    try:
        from . import driver
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise Failure("Ray is not installed here: pip install ray, the version of the cluster", USAGE)
    driver.connect(options.address)
    began = time.monotonic()
    text = preparing.prepare(options, program)
    tasks = TaskList(text)
    if not tasks.tasks:
        return DONE
    work = driver.Driver(
        tasks, os.path.abspath(options.output), driver.Program(program), options, Progress(tasks, options.progress))

    def stop(number, _):
        work.signal = work.signal or number

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    # Ray prints there what its own processes log when one of them dies; the driver says that in a line, elsewhere.
    sys.stdout = open(os.devnull, "w")
    summary = work.run()
    if summary:
        print(summary, file=sys.stderr)
    print(f"{options.output}: {len(tasks.tasks)} tasks in {duration(time.monotonic() - began)}", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
