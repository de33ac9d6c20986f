"""The list of tasks, and the order in which they may be done."""

import heapq
import json
import os
from collections import Counter
from dataclasses import dataclass

# Phases with one task a part, in which number P reads what number P of an earlier phase has written (docs/tasks.md).
_PART_PHASES = {"lines", "hash", "contents", "read", "transform", "observe", "count", "gather", "settle", "write"}

_MARKS = "work/tasks/"


@dataclass(frozen=True)
class Task:
    """One task. `needs_phases` and `needs_tasks` must be done before it starts."""

    name: str
    phase: str
    # What it leases, in bytes.
    memory: int
    threads: int
    # Stored bytes of input that it reads.
    bytes: int
    needs_phases: tuple
    needs_tasks: tuple

    @property
    def part(self):
        """The part of the input on whose files it works; None if it works on something else."""
        kind = self.phase.partition("-")[0]
        return int(self.name.rpartition(".")[2]) if kind in _PART_PHASES else None


class TaskList:
    """All tasks of a run, in an order in which they can be done one after the other.

    A task that reads what all tasks of a phase have written names them as one, `work/tasks/hash.*`. Each task here keeps the
    phases that it needs whole, and the names of other tasks, so a list takes memory by its tasks alone.
    """

    def __init__(self, text):
        """`text`: what `sluice run --prepare` prints, one task a line."""
        self.tasks = []
        self.sizes = {}
        makers = {}
        for line in text.splitlines():
            line = line.strip().rstrip(",")
            if not line.startswith("{"):
                continue
            listed = json.loads(line)
            task = Task(
                listed["task"], listed["phase"], listed["memory"], listed["threads"], listed["bytes"],
                *self._needs(listed["reads"], makers))
            self.tasks.append(task)
            self.sizes[task.phase] = self.sizes.get(task.phase, 0) + 1
            for mark in listed["writes"]:
                makers[mark] = (task.name, task.phase)

    def _needs(self, reads, makers):
        # Input files have no maker, whatever their names are.
        phases = (name[len(_MARKS):-2] for name in reads if name.startswith(_MARKS) and name.endswith(".*"))
        whole = [phase for phase in phases if phase in self.sizes]
        made = [makers[name] for name in reads if name in makers]
        found = Counter(phase for _, phase in made)
        # A task comes after all those that it reads from, so their phases are complete here.
        whole += [phase for phase, count in found.items() if count == self.sizes[phase]]
        return tuple(whole), tuple(name for name, phase in made if phase not in whole)

    @property
    def phases(self):
        """The names of the phases, in the order of the list."""
        return list(self.sizes)

    def needed_phases(self):
        """For each phase, the phases of which it needs something, in the order of the list."""
        phases = {task.name: task.phase for task in self.tasks}
        found = {phase: set() for phase in self.phases}
        for task in self.tasks:
            found[task.phase].update(task.needs_phases, (phases[name] for name in task.needs_tasks))
        return {phase: [name for name in self.phases if name in needed] for phase, needed in found.items()}


def done_tasks(directory):
    """The names of the tasks that are done: a task gets its mark, complete, when all else that it writes is on disk."""
    try:
        # This, too, makes NFS ask anew.
        with os.scandir(os.path.join(directory, "work", "tasks")) as entries:
            return {entry.name for entry in entries}
    except FileNotFoundError:
        return set()


def is_done(directory, task):
    """Whether a task is done. `finish` has no mark: see `is_complete`."""
    _refresh(os.path.join(directory, "work", "tasks"))
    return os.path.exists(os.path.join(directory, "work", "tasks", task))


def is_complete(directory):
    """Whether a directory holds the result of a run, and no run is under way."""
    def has(name):
        return os.path.exists(os.path.join(directory, name))
    for folder in (directory, os.path.join(directory, "work")):
        _refresh(folder)
    return has("run.json") and not has("work/plan.json")


def _refresh(folder):
    """Makes this machine ask anew what is in a folder: NFS remembers for up to a minute that a file was missing."""
    try:
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    except OSError:
        pass


class Queue:
    """The tasks that are left, of which some may start."""

    def __init__(self, tasks, done):
        """`tasks`: a TaskList; `done`: the names of tasks that are done."""
        self._tasks = tasks.tasks
        self._number = {task.name: number for number, task in enumerate(tasks.tasks)}
        self._left = Counter(tasks.sizes)
        self._missing = []
        # By what is waited for: the name of a phase or task, which never are the same where both matter.
        self._waiting = {}
        self._ready = {}
        self._done = set()
        for number, task in enumerate(tasks.tasks):
            waits = [("phase", name) for name in task.needs_phases] + [("task", name) for name in task.needs_tasks]
            self._missing.append(len(waits))
            for wait in waits:
                self._waiting.setdefault(wait, []).append(number)
            if task.name in done:
                self._done.add(number)
        for number in range(len(self._tasks)):
            if self._missing[number] == 0 and number not in self._done:
                self._release(number)
        for number in sorted(self._done):
            self._settle(number)

    @property
    def is_empty(self):
        return len(self._done) == len(self._tasks)

    @property
    def ready(self):
        """The number of tasks that may start now."""
        return sum(map(len, self._ready.values()))

    def left(self, phase):
        """The number of tasks of a phase that are not done."""
        return self._left[phase]

    def take(self, most, home):
        """Takes up to `most(phase, ready)` tasks of one phase that may start, the first of the list; none if there is none.

        `home`: gives the place at which a task should run. Tasks of other places than the first's are left.
        """
        if not self._ready:
            return []
        phase = min(self._ready, key=lambda name: self._ready[name][0])
        numbers = self._ready[phase]
        count = max(1, most(phase, len(numbers)))
        first = self._tasks[heapq.heappop(numbers)]
        taken, place = [first], home(first)
        while numbers and len(taken) < count and home(self._tasks[numbers[0]]) == place:
            taken.append(self._tasks[heapq.heappop(numbers)])
        if not numbers:
            del self._ready[phase]
        return taken

    def finish(self, task):
        """Notes that a task is done."""
        number = self._number[task.name]
        if number not in self._done:
            self._done.add(number)
            self._settle(number)

    def _settle(self, number):
        task = self._tasks[number]
        self._left[task.phase] -= 1
        self._satisfy(("task", task.name))
        if self._left[task.phase] == 0:
            self._satisfy(("phase", task.phase))

    def _satisfy(self, wait):
        for number in self._waiting.pop(wait, ()):
            self._missing[number] -= 1
            if self._missing[number] == 0 and number not in self._done:
                self._release(number)

    def _release(self, number):
        heapq.heappush(self._ready.setdefault(self._tasks[number].phase, []), number)
