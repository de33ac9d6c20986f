"""One task as a process that never outlives the one that started it."""

import os
import select
import signal
import subprocess
import tempfile
import time
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1


class Outcome(NamedTuple):
    """How a task ended."""

    task: str
    # The exit status; negative for the signal that killed the process.
    status: int
    # What it wrote to standard error.
    message: str
    # Seconds since 1970.
    began: float
    seconds: float
    cpu: float


def perform(task, command, is_stopped=lambda: False):
    """Runs the process of a task and waits for its end: an `Outcome`.

    The process is killed when the calling thread ends, however it ends. If `is_stopped` turns true, or an exception comes
    in between, the process is asked to stop, and killed if it does not.
    """
    # Here, since Ray sends this module by value, and a library can't be sent.
    import ctypes
    library = ctypes.CDLL(None)
    began, start = time.time(), time.monotonic()
    parent = os.getpid()

    def die_with_parent():
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)

    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, preexec_fn=die_with_parent)
        try:
            cpu = _wait(process, is_stopped)
        except BaseException:
            _stop(process)
            raise
        said.seek(0)
        message = said.read().decode(errors="replace").strip()
    return Outcome(
        task, process.returncode, message, began, time.monotonic() - start, cpu)


def _wait(process, is_stopped):
    """Waits for the end of a process: its CPU seconds, or 0 if it was stopped."""
    ends = select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        ends.register(descriptor, select.POLLIN)
        # An exception for the main thread, such as a cancelled task of Ray, comes when a call returns.
        while not ends.poll(200):
            if is_stopped():
                _stop(process)
                return 0.0
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _stop(process):
    """Ends a process, in order if it can: `sluice` takes less than a second."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        process.wait(timeout=3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
