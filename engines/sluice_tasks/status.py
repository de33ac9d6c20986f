"""Exit statuses: those of `sluice run`, and what a driver makes of them."""

import signal

DONE = 0
FAULT = 1
USAGE = 2
RESOURCES = 4

# Memory or disk did not suffice on that machine at that time, or the process was stopped.
_WORTH_A_TRY = {RESOURCES, 128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM}


def is_worth_a_try(status):
    """Whether a task that ended so may succeed elsewhere or later. A negative status is that of a killed process.

    Bad data, a bad definition and faults of the program give the same error again.
    """
    return status < 0 or status in _WORTH_A_TRY


def exit_status(status):
    """The status of a shell for the status of a child process."""
    return 128 - status if status < 0 else status


def described(status):
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


class Failure(Exception):
    """An end with a message for a person and an exit status."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status
