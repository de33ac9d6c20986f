"""`sluice-slurm submit|status|cancel`: a run of Sluice as array jobs of Slurm."""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter

from sluice_tasks import preparing
from sluice_tasks.progress import STYLES, Progress
from sluice_tasks.status import DONE, RESOURCES, USAGE, Failure
from sluice_tasks.tasks import TaskList, done_tasks, is_complete

from . import arrays, slurm
from .element import Element
from .state import State


def main():
    """The command: its exit status."""
    options = _parse()
    try:
        return options.do(options)
    except Failure as failure:
        text = str(failure)
        print(text if text.startswith("sluice: ") else f"sluice: {text}", file=sys.stderr)
        return failure.status


def _parse():
    parser = argparse.ArgumentParser(prog="sluice-slurm", description="Run a definition of Sluice as array jobs of Slurm.")
    commands = parser.add_subparsers(metavar="submit|status|cancel", required=True)
    each = commands.add_parser(
        "submit", help="prepare a run and submit its tasks, or what is left of them",
        description="Prepare a run and submit an array job for each of its phases; or, for a run that was stopped, for what is "
        "left of it. All nodes must see the inputs, the run directory, DIR.slurm beside it, this package and the program "
        "under the same paths. Exit status with --wait: as of `sluice run`.")
    preparing.add_options(each)
    each.add_argument(
        "--width", type=preparing.positive, default=200, metavar="N",
        help="the most elements of a phase; each does its share of the tasks, one after another (default: 200)")
    each.add_argument(
        "--most-jobs", type=preparing.positive, metavar="N",
        help="the most jobs to have in the queue, an element counts as one; your site's MaxSubmitJobs (default: half of its MaxJobCount)")
    each.add_argument(
        "--sbatch", metavar="OPTION", action="append", default=[],
        help="an option of sbatch, such as --sbatch=--partition=long; repeatable")
    each.add_argument("--wait", action="store_true", help="wait for the end of the run, and show its progress")
    each.add_argument("--progress", choices=STYLES, help="with --wait: how to show progress")
    each.set_defaults(do=_submit)
    each = commands.add_parser("status", help="show how far a run is, and which task failed", description=(
        "Show how far a run is. Exit status: 0 if it is complete or under way, that of the task if one failed, 4 if nothing is "
        "in the queue any more."))
    each.add_argument("directory", metavar="DIR", help="the run directory")
    each.set_defaults(do=_status)
    each = commands.add_parser("cancel", help="cancel the jobs of a run", description=(
        "Cancel the jobs of a run. What is done stays done; `submit` continues."))
    each.add_argument("directory", metavar="DIR", help="the run directory")
    each.set_defaults(do=_cancel)
    # In jobs.
    each = commands.add_parser("element")
    each.add_argument("folder")
    each.add_argument("array")
    each.set_defaults(do=lambda options: Element(State.read(options.folder), options.array).run())
    each = commands.add_parser("next")
    each.add_argument("folder")
    each.set_defaults(do=lambda options: arrays.submit_wave(State.read(options.folder)) or DONE)
    return parser.parse_args()


# MARK: submit


def _submit(options):
    program = preparing.find_program(options.sluice)
    earlier = State.read(State.folder_of(options.output))
    if earlier and _queued(earlier):
        raise Failure(
            f"jobs of {options.output} are in the queue; `sluice-slurm status {options.output}` shows them, and `cancel` ends them",
            USAGE)
    array_limit, most_jobs = slurm.limits()
    text = preparing.prepare(options, program)
    if not TaskList(text).tasks:
        return DONE
    state = State.create(options.output, text, {
        "directory": os.path.abspath(options.output), "program": program, "threads": options.threads,
        "memory": options.memory, "width": options.width, "array_limit": array_limit,
        "most_jobs": options.most_jobs or max(1, most_jobs // 2), "sbatch": options.sbatch, "jobs": [],
    })
    arrays.submit_wave(state)
    jobs = len(state.about["jobs"])
    print(f"{options.output}: submitted {jobs} job{'s' if jobs > 1 else ''}; `sluice-slurm status {options.output}` shows them", file=sys.stderr)
    return _wait(state, options) if options.wait else DONE


def _queued(state):
    return slurm.queue({each["job"] for each in state.about["jobs"]})


def _wait(state, options):
    """Waits for the end of a run, and shows its progress."""
    tasks = state.tasks()
    done = done_tasks(state.directory)
    progress = Progress(tasks, options.progress)
    progress.begin([task for task in tasks.tasks if task.name in done])
    try:
        asked = time.monotonic()
        while not is_complete(state.directory):
            now = done_tasks(state.directory)
            for task in tasks.tasks:
                if task.name in now and task.name not in done:
                    progress.finish(task)
            done |= now
            progress.show()
            time.sleep(1)
            # Now and then: the controller has others to answer, too.
            if time.monotonic() - asked > 5:
                asked = time.monotonic()
                if not _queued(State.read(state.folder)) and not is_complete(state.directory):
                    break
    except KeyboardInterrupt:
        progress.clear()
        print(f"sluice: the jobs go on; `sluice-slurm status {state.directory}` shows them, and `cancel` ends them", file=sys.stderr)
        return 128 + signal.SIGINT
    progress.clear()
    # The last task removes the work files, and its job notes what it said.
    while is_complete(state.directory) and _queued(State.read(state.folder)):
        time.sleep(0.5)
    return _report(State.read(state.folder))


# MARK: status and cancel


def _status(options):
    return _report(State.of_run(options.directory))


def _report(state):
    if is_complete(state.directory):
        for text in state.texts("said").values():
            print(text, end="", file=sys.stderr)
        print(f"{state.directory} is complete", file=sys.stderr)
        return DONE
    tasks, done, queued = state.tasks(), done_tasks(state.directory), _queued(state)
    phases = {each["job"]: each["phase"] for each in state.about["jobs"]}
    states = Counter((phases[job], word) for job, word in queued)
    count = Counter(task.phase for task in tasks.tasks if task.name in done)
    for phase, size in tasks.sizes.items():
        words = [f"{count[phase]} of {size} tasks done"]
        words += [f"{number} elements {word}" for (name, word), number in sorted(states.items()) if name == phase]
        print(f"{phase:<14} {', '.join(words)}", file=sys.stderr)
    failed = {name: json.loads(text) for name, text in state.texts("failed").items() if name not in done}
    for name, found in list(failed.items())[:3]:
        print(f"{found['message']}\nsluice: the task {name} ended with status {found['status']} on {found['node']}", file=sys.stderr)
    if len(failed) > 3:
        print(f"sluice: and {len(failed) - 3} more tasks (see {state.path('failed')})", file=sys.stderr)
    if failed:
        return next(iter(failed.values()))["status"]
    if queued:
        return DONE
    print(f"sluice: nothing of {state.directory} is in the queue: its jobs were cancelled or lost (see {state.path('logs')}); `submit` goes on", file=sys.stderr)
    return RESOURCES


def _cancel(options):
    state = State.of_run(options.directory)
    end = time.monotonic() + 60
    while True:
        # The job that submits the next wave may have done so meanwhile.
        state = State.read(state.folder)
        queued = _queued(state)
        if not queued:
            break
        if time.monotonic() > end:
            raise Failure(f"{len(queued)} jobs have not ended yet", RESOURCES)
        slurm.run("scancel", *sorted({str(job) for job, _ in queued}))
        time.sleep(0.5)
    print(f"{options.directory}: no jobs are in the queue; `submit` goes on", file=sys.stderr)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
