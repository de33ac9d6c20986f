"""Tasks as elements of array jobs, and array jobs as waves that a site's limits allow."""

import shlex
import sys
from pathlib import Path

from sluice_tasks.tasks import done_tasks

from . import slurm

# For the interpreter and the shell beside a task, in MiB.
_BESIDE = 48

_ELEMENT = """\
#!/bin/bash
export PYTHONPATH={modules}${{PYTHONPATH:+:$PYTHONPATH}}
for try in 1 2 3; do
    {python} -m sluice_slurm element {folder} {array}
    status=$?
    # Unless the interpreter itself was killed: its task has ended with it.
    ((status == 137)) || exit $status
done
exit $status
"""

_NEXT = """\
#!/bin/bash
export PYTHONPATH={modules}${{PYTHONPATH:+:$PYTHONPATH}}
exec {python} -m sluice_slurm next {folder}
"""


def plan(tasks, done, width, most):
    """Array jobs for the tasks that are left, in order: each a phase and elements, lists of tasks that run one after another.

    `width`: the most elements of a phase. `most`: the most elements of an array.
    """
    arrays = []
    for phase in tasks.phases:
        left = [task for task in tasks.tasks if task.phase == phase and task.name not in done]
        count = min(width, len(left))
        # Neighbours take about as long as each other.
        elements = [left[number * len(left) // count:(number + 1) * len(left) // count] for number in range(count)]
        arrays += [(phase, elements[start:start + most]) for start in range(0, len(elements), most)]
    return arrays


def submit_wave(state):
    """Submits as many arrays as the site allows at once, and a job that submits those that are left.

    If one can't be submitted, those before it are cancelled.
    """
    about = state.about
    tasks = state.tasks()
    done = done_tasks(state.directory)
    arrays = plan(tasks, done, about["width"], min(about["array_limit"], max(1, about["most_jobs"] - 1)))
    needed = tasks.needed_phases()
    # The numbers of the jobs of this wave, by phase; those of earlier waves are done.
    jobs, count = {}, 0
    try:
        for index, (phase, elements) in enumerate(arrays):
            if count + len(elements) + (1 if index + 1 < len(arrays) else 0) > about["most_jobs"] and count > 0:
                every = [job for found in jobs.values() for job in found]
                _note(state, "next", _submit(state, "next", every, ["--mem=256M"], _script(_NEXT, state)))
                break
            name = f"{phase}.{len(about['jobs'])}"
            state.write(f"arrays/{name}", "".join(" ".join(task.name for task in each) + "\n" for each in elements))
            memory = max(task.memory for each in elements for task in each)
            options = [
                f"--array=0-{len(elements) - 1}", f"--cpus-per-task={elements[0][0].threads}",
                f"--mem={-(-memory // 2**20) + _BESIDE}M"]
            after = [job for earlier in needed[phase] for job in jobs.get(earlier, ())]
            number = _submit(state, phase, after, options, _script(_ELEMENT, state, name))
            jobs.setdefault(phase, []).append(number)
            _note(state, phase, number)
            count += len(elements)
    except BaseException:
        every = [str(job) for found in jobs.values() for job in found]
        if every:
            slurm.run("scancel", *every)
        raise


def _note(state, phase, number):
    """Notes a job as soon as it is submitted, so that `cancel` finds it."""
    state.about["jobs"].append({"job": number, "phase": phase})
    state.save()


def _submit(state, name, after, options, script):
    if after:
        options = options + ["--dependency=afterok:" + ":".join(map(str, after)), "--kill-on-invalid-dep=yes"]
    # Those of the user come last, so they win.
    options = options + state.about["sbatch"]
    log = state.path("logs", "%x-%A_%a.log" if any(each.startswith("--array") for each in options) else "%x-%j.log")
    return slurm.submit(script, f"sluice-{name}", log, options)


def _script(text, state, array=""):
    modules = str(Path(__file__).resolve().parent.parent)
    return text.format(
        modules=shlex.quote(modules), python=shlex.quote(sys.executable), folder=shlex.quote(state.folder), array=array)
