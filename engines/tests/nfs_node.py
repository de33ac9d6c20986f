"""A worker on a node of nfs_cluster.py, as engines have: it does one request after another, a line of JSON each, and answers each with a line."""

import json
import os
import sys

from sluice_tasks.process import perform
from sluice_tasks.tasks import done_tasks, is_done

_open = {}


def _read(path):
    _open[path].seek(0)
    return len(_open[path].read())


def _hold(path):
    _open[path] = open(path, "rb")


_REQUESTS = {
    "perform": lambda task, command: perform(task, command)._asdict(),
    "exists": os.path.exists,
    "is_done": is_done,
    "done_tasks": lambda directory: sorted(done_tasks(directory)),
    "hold": _hold,
    "read": _read,
    "release": lambda path: _open.pop(path).close(),
}

for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = _REQUESTS[name](*arguments)
    except OSError as error:
        answer = {"errno": error.errno}
    print(json.dumps(answer), flush=True)
