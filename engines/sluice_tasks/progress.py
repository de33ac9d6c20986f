"""How far a run is, on standard error: a line that is redrawn on a terminal, else a line now and then."""

import shutil
import sys
import time
from collections import deque

STYLES = ("bar", "plain", "none")


class Progress:
    """Shows the first phase that is not done, with its rate and the time that is left of it."""

    # Seconds over which the rate is taken.
    _WINDOW = 30

    def __init__(self, tasks, style=None):
        """`tasks`: a TaskList."""
        self._style = style or ("bar" if sys.stderr.isatty() else "plain")
        self._phases = tasks.phases
        self._tasks = {phase: 0 for phase in self._phases}
        self._bytes = dict(self._tasks)
        for task in tasks.tasks:
            self._tasks[task.phase] += 1
            self._bytes[task.phase] += task.bytes
        self._done = {phase: (0, 0) for phase in self._phases}
        self._states = {phase: deque() for phase in self._phases}
        self._shown = time.monotonic()
        self._finished = set()

    def begin(self, done):
        """Notes tasks that were done before; they say nothing about the rate."""
        for task in done:
            self._count(task)
        now = time.monotonic()
        for phase in self._phases:
            if self._done[phase][0] == self._tasks[phase]:
                self._finished.add(phase)
            self._states[phase].append((now, *self._done[phase]))

    def finish(self, task):
        """Notes that a task is done."""
        self._count(task)
        states, now = self._states[task.phase], time.monotonic()
        states.append((now, *self._done[task.phase]))
        while now - states[0][0] > self._WINDOW:
            states.popleft()

    def start(self, phase):
        """Notes that tasks of a phase were started: its rate counts from the first."""
        if self._done[phase][0] == 0 and len(self._states[phase]) == 1:
            self._states[phase] = deque([(time.monotonic(), 0, 0), (time.monotonic(), 0, 0)])

    def _count(self, task):
        tasks, size = self._done[task.phase]
        self._done[task.phase] = (tasks + 1, size + task.bytes)

    def show(self):
        """Shows the state, if it is time to."""
        for phase in self._phases:
            if self._done[phase][0] == self._tasks[phase] and phase not in self._finished:
                self._finished.add(phase)
                # A short run does not say a line for each of its phases.
                if self._style == "plain" and time.monotonic() - self._shown > 1:
                    self._line(phase)
                    self._shown = time.monotonic()
        now = time.monotonic()
        if now - self._shown < (0.1 if self._style == "bar" else 5):
            return
        self._shown = now
        phase = next((phase for phase in self._phases if phase not in self._finished), None)
        if phase is None or self._style == "none":
            return
        if self._style == "bar":
            sys.stderr.write("\r\x1b[K" + self._bar(phase, shutil.get_terminal_size().columns))
            sys.stderr.flush()
        else:
            self._line(phase)

    def _line(self, phase):
        sys.stderr.write(self._words(phase) + "\n")
        sys.stderr.flush()

    def clear(self):
        """Removes the line of the bar."""
        if self._style == "bar":
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def note(self, text):
        """Writes a line of its own."""
        self.clear()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    # What is shown

    def _fraction(self, phase):
        tasks, size = self._done[phase]
        # Parts differ in size, and not every phase reads input.
        return size / self._bytes[phase] if self._bytes[phase] else tasks / self._tasks[phase]

    def _pace(self, phase):
        """The rate as text, and the seconds that are left; None if they can't be told yet."""
        first, last = self._states[phase][0], self._states[phase][-1]
        seconds = last[0] - first[0]
        if seconds < 0.2 or last[1] == first[1]:
            return None, None
        if self._bytes[phase]:
            rate = (last[2] - first[2]) / seconds
            left = (self._bytes[phase] - last[2]) / rate if rate else None
            return f"{rate / 2**20:.1f} MiB/s", left
        rate = (last[1] - first[1]) / seconds
        return f"{rate:.1f} tasks/s", (self._tasks[phase] - last[1]) / rate

    def _words(self, phase):
        step, done = self._phases.index(phase) + 1, self._done[phase][0]
        rate, left = self._pace(phase)
        text = f"step {step} of {len(self._phases)}, {phase}: {int(self._fraction(phase) * 100)} %"
        text += f", {done} of {self._tasks[phase]} task{'s' if self._tasks[phase] != 1 else ''}"
        if rate:
            text += f", {rate}"
        return text + (f", {duration(left)} left" if left and done < self._tasks[phase] else "")

    def _bar(self, phase, width):
        step, done = self._phases.index(phase) + 1, self._done[phase][0]
        rate, left = self._pace(phase)
        head = f"[{step}/{len(self._phases)}] {phase} "
        tail = f" {int(self._fraction(phase) * 100)} %  {done}/{self._tasks[phase]} tasks"
        tail += (f"  {rate}" if rate else "") + (f"  {duration(left)} left" if left else "")
        room = min(40, width - len(head) - len(tail) - 1)
        if room < 8:
            return (head + tail)[:max(0, width - 1)]
        full = int(room * self._fraction(phase))
        return head + "━" * full + "─" * (room - full) + tail


def duration(seconds):
    """`0:12`, `3:04:05`."""
    seconds = int(seconds + 0.5)
    minutes = f"{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{seconds // 3600}:{minutes}" if seconds >= 3600 else minutes.lstrip("0").rjust(4, "0")
