"""One element of an array job: some tasks, one after another."""

import json
import os
import signal
import socket
import time

from sluice_tasks.process import perform
from sluice_tasks.status import DONE, described, exit_status, is_worth_a_try
from sluice_tasks.tasks import is_done

from . import slurm

# Tries on this node: a job that Slurm queues again waits for two minutes before it may start.
_TRIES = 3
# How often an element may be queued again for another node.
_MOST_RESTARTS = 2


class Element:
    """The tasks of an element, on the node where Slurm has started it."""

    def __init__(self, state, array):
        self._state = state
        with open(state.path("arrays", array)) as file:
            self._names = file.read().splitlines()[int(os.environ["SLURM_ARRAY_TASK_ID"])].split()
        self._is_stopped = False

    def run(self):
        """Does the tasks: an exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for name in self._names:
            if is_done(self._state.directory, name):
                continue
            status = self._perform(name)
            if status != DONE:
                return status
        return DONE

    def _stop(self, *_):
        self._is_stopped = True

    def _perform(self, name):
        about = self._state.about
        command = [
            about["program"], "task", about["directory"], name, "--threads", str(about["threads"]), "--progress", "none"]
        command += ["--memory", about["memory"]] if about["memory"] else []
        for number in range(1, _TRIES + 1):
            outcome = perform(name, command, lambda: self._is_stopped)
            if outcome.status == DONE:
                if outcome.message:
                    self._state.write(f"said/{name}", outcome.message + "\n")
                return DONE
            message = outcome.message or f"sluice: the task {name} {described(outcome.status)}"
            print(f"{message}\n{name}: try {number} on {socket.gethostname()}: {described(outcome.status)}", flush=True)
            if self._is_stopped:
                return 128 + signal.SIGTERM
            if not is_worth_a_try(outcome.status):
                return self._fail(name, message, outcome.status)
            if number < _TRIES:
                time.sleep(number)
        restarts = int(os.environ.get("SLURM_RESTART_COUNT") or 0)
        if restarts < _MOST_RESTARTS:
            # On another node, perhaps. Slurm ends this one for it.
            slurm.run("scontrol", "requeue", os.environ["SLURM_JOB_ID"])
            while not self._is_stopped:
                time.sleep(0.2)
            return 128 + signal.SIGTERM
        return self._fail(name, message, outcome.status)

    def _fail(self, name, message, status):
        self._state.write(f"failed/{name}", json.dumps({
            "status": exit_status(status), "message": message, "node": socket.gethostname()}) + "\n")
        return exit_status(status)
