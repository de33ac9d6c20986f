"""What is known of the jobs of a run: a folder beside the run directory, `DIR.slurm`.

    tasks.json     the list of tasks
    state.json     how the run was submitted, and its jobs
    arrays/N       the tasks of array N, a line for each of its elements
    failed/TASK    why a task failed
    said/TASK      what a task said, if it said anything
    logs/          what Slurm and its jobs wrote
"""

import json
import os
import shutil
import tempfile

from sluice_tasks.status import USAGE, Failure
from sluice_tasks.tasks import TaskList


class State:
    """The folder of a run, and the content of its `state.json` as `about`."""

    def __init__(self, folder, about):
        self.folder, self.about = folder, about

    @staticmethod
    def folder_of(directory):
        return os.path.abspath(directory) + ".slurm"

    @staticmethod
    def create(directory, tasks, about):
        """A new state in place of an older one. `tasks`: the list as text."""
        folder = State.folder_of(directory)
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("arrays", "failed", "said", "logs"):
            os.makedirs(os.path.join(folder, name))
        state = State(folder, about)
        state.write("tasks.json", tasks)
        state.save()
        return state

    @staticmethod
    def read(folder):
        """The state in a folder; None if there is none."""
        try:
            with open(os.path.join(folder, "state.json")) as file:
                return State(folder, json.load(file))
        except FileNotFoundError:
            return None

    @staticmethod
    def of_run(directory):
        """The state of a run that was submitted."""
        state = State.read(State.folder_of(directory))
        if state is None:
            raise Failure(f"{directory} was not submitted: there is no {State.folder_of(directory)}", USAGE)
        return state

    @property
    def directory(self):
        """The run directory."""
        return self.about["directory"]

    def tasks(self):
        with open(self.path("tasks.json")) as file:
            return TaskList(file.read())

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        """Writes a file in one step, so that other nodes never see half of it."""
        path = self.path(name)
        descriptor, fresh = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.rename(fresh, path)

    def save(self):
        self.write("state.json", json.dumps(self.about, indent=1) + "\n")

    def texts(self, kind):
        """The files of a folder by name."""
        found = {}
        for name in sorted(os.listdir(self.path(kind))):
            if not name.startswith("."):
                with open(self.path(kind, name)) as file:
                    found[name] = file.read()
        return found
