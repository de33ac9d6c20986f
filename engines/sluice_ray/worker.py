"""What runs in a worker of Ray: some tasks, one after the other. Sent by value, so nodes need Ray and nothing else."""

import os
import tempfile

import ray

from sluice_tasks.process import perform


def do_tasks(program, directory, names, threads, memory):
    """Does tasks until one fails: the node, and an outcome for each task that was begun.

    `program`: its size, its digest and, in a list, a reference to its bytes.
    """
    path = _unpacked(*program)
    # A worker whose node is lost goes on with its task, though nobody waits for it any more.
    node = os.getppid()
    outcomes = []
    for name in names:
        command = [path, "task", directory, name, "--threads", str(threads), "--progress", "none"]
        command += ["--memory", memory] if memory else []
        outcomes.append(tuple(perform(name, command, is_stopped=lambda: os.getppid() != node)))
        if outcomes[-1][1] != 0:
            break
    return ray.get_runtime_context().get_node_id(), outcomes


def _unpacked(size, digest, box):
    """The program as a file of this node, which its first task there makes."""
    folder = os.path.join(tempfile.gettempdir(), f"sluice-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} belongs to others, or others may write to it; remove it")
    path = os.path.join(folder, digest)
    if not (os.path.exists(path) and os.path.getsize(path) == size):
        descriptor, fresh = tempfile.mkstemp(dir=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(ray.get(box[0]))
        os.chmod(fresh, 0o700)
        os.rename(fresh, path)
    return path
