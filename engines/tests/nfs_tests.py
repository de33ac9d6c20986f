"""Tests of tasks and runs on NFS: a server and two clients, in the virtual machine of `nfs.sh`.

Each run must have the result of one process on a local file system, byte for byte.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("SLUICE_BINARY", "/usr/bin/sluice")

from nfs_cluster import Node, SHARED, Server
from scene import SLUICE, Scene, wait_until
from sluice_tasks.status import RESOURCES, is_worth_a_try

FOUR, THREE = "vers=4.2", "vers=3"
# Clients that believe for ten minutes what they know of a folder or file.
LONG = "acregmin=600,acregmax=600,acdirmin=600,acdirmax=600"

_REAL = """\
sluice: 1
seed: 42
memory: 256MiB
input: {files: ["p3-*"], max_record: 1MiB, dedupe: {on: [prompt, completion]}}
output: {directory: out, annotate: [cluster, rank]}
outputs:
  train: {where: split == train, order: shuffled}
  valid: {where: split == valid}
stages:
  - format: {template: auto}
  - length: {min: 20, when: template exists}
  - split: {parts: {train: 90%, valid: 10%}, on: [prompt]}
  - embed: {dimensions: 32}
  - redundancy: {method: pairwise, distance: 0.2, when: split == train}
  - cluster: {clusters: 8, reservoir: 500}
  - coreset: {keep: 40%, per: cluster}
"""


class SharedScene(Scene):
    """The inputs on the server, with real records if there are any."""

    def __init__(self):
        super().__init__(SHARED / "scene", records=600, files=3)
        self.real = list(Path("/data").iterdir())
        for path in self.real:
            shutil.copy(path, self.folder)
        (self.folder / "real.yaml").write_text(_REAL)

    def limits(self, name):
        return ["--part-bytes", "1000000", *Scene.options[2:4]] if name == "real" else Scene.options

    def whole(self, name):
        self.options = self.limits(name)
        return super().whole(name)


def setUpModule():
    Tests.server = Server()
    Tests.nodes = [Node(1), Node(2)]
    Tests.here = SharedScene()


class Tests(unittest.TestCase):
    server = None
    nodes = []
    here = None

    # Steps

    @contextmanager
    def mounted(self, options):
        with self.subTest(options=options):
            for node in self.nodes:
                node.mount(options)
            try:
                yield self.nodes
            finally:
                for node in self.nodes:
                    node.unmount()

    def run_command(self, name, output, *more):
        return [
            SLUICE, "run", self.here.folder / f"{name}.yaml", "--output", self.here.folder / output, "--progress", "none",
            *self.here.limits(name), *more]

    def prepare(self, node, name, output):
        """The list of tasks, by phase."""
        status, out, err = node.run(*self.run_command(name, output, "--prepare", "--resume"))
        self.assertEqual(status, 0, err)
        phases = {}
        for task in json.loads(out):
            phases.setdefault(task["phase"], []).append(task["task"])
        return phases

    def task_command(self, output, task):
        return [SLUICE, "task", str(self.here.folder / output), task, "--progress", "none"]

    def expect_done(self, node, output, task):
        """Does a task, as a driver does: again if that is worth a try."""
        for _ in range(4):
            outcome = node.ask("perform", task, self.task_command(output, task))
            if not is_worth_a_try(outcome["status"]):
                break
        self.assertEqual(outcome["status"], 0, f"{task} on {node.name}: {outcome['message']}")

    def do(self, output, phases, until=None, before=lambda tasks: None):
        """Does the tasks, both nodes at the same time, in random order within a phase."""
        draw = random.Random(7)
        for phase, tasks in phases.items():
            if phase == until:
                return
            before(tasks)
            left, failures = draw.sample(tasks, len(tasks)), []

            def work(node):
                try:
                    while left:
                        self.expect_done(node, output, left.pop())
                except (AssertionError, IndexError) as error:
                    failures.append(error)

            threads = [threading.Thread(target=work, args=[node]) for node in self.nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual([error for error in failures if not isinstance(error, IndexError)], [])

    def look(self, output, tasks):
        """Both nodes look for what tasks will write, and remember that it was missing."""
        work = self.here.folder / output / "work"
        for task in tasks:
            for folder in ("tasks", "data"):
                for node in self.nodes:
                    if task != "finish":
                        self.assertFalse(node.ask("exists", str(work / folder / task)))

    # Tests

    def test_same_bytes(self):
        """All kinds of tasks, on nodes that looked for each file before there was one."""
        cases = [("labels", FOUR), ("clusters", THREE), ("copy", f"{THREE},{LONG}"), ("real", f"{FOUR},{LONG}")]
        for name, options in cases:
            if name == "real" and not self.here.real:
                print("skipped: real records: there is no ../shared/data")
                continue
            with self.mounted(options) as nodes:
                output = f"same-{name}"
                phases = self.prepare(nodes[0], name, output)
                began = time.monotonic()
                self.do(output, phases, before=lambda tasks: self.look(output, tasks))
                self.here.expect(name, output)
                count = sum(map(len, phases.values()))
                print(f"nfs: {name}: {count} tasks on two nodes in {time.monotonic() - began:.0f} s, {options}", flush=True)

    def test_names_that_were_missing(self):
        """A node that looked for a file too early remembers that there was none; the program asks anew."""
        for options in (f"{FOUR},{LONG}", f"{THREE},{LONG}"):
            with self.mounted(options) as (a, b):
                output = f"missing-{options[5]}"
                # Before the run is prepared, too.
                self.assertEqual(b.run(*self.task_command(output, "borders"))[0], 2)
                phases = self.prepare(a, "copy", output)
                needed = phases["hash"] + phases["borders"]
                status, _, err = b.run(*self.task_command(output, "duplicates.0"))
                self.assertEqual((status, "must write first" in err), (2, True), err)
                self.look(output, needed)
                for task in needed:
                    self.expect_done(a, output, task)
                marks = self.here.folder / output / "work" / "tasks"
                self.assertFalse(b.ask("exists", str(marks / needed[0])), "it does not remember")
                status, _, err = b.run(*self.task_command(output, "duplicates.0"))
                self.assertEqual(status, 0, err)
                self.assertEqual(b.ask("is_done", str(marks.parent.parent), needed[1]), True)

    def test_both_do_the_same_tasks(self):
        for options in (FOUR, THREE):
            with self.mounted(options) as nodes:
                output = f"twice-{options[5]}"
                for task in sum(self.prepare(nodes[0], "copy", output).values(), []):
                    both = [node.start(*self.task_command(output, task)) for node in nodes]
                    for process in both:
                        _, err = process.communicate(timeout=300)
                        self.assertEqual(process.returncode, 0, f"{task}: {err}")
                self.here.expect("copy", output)

    def test_what_a_reader_has_open_is_replaced(self):
        """By a process that did the task again on the other node: then the reader is done again, if it notices."""
        draw = random.Random(3)
        for options in (FOUR, THREE):
            with self.mounted(options) as (a, b):
                output = f"replaced-{options[5]}"
                phases = self.prepare(a, "copy", output)
                self.do(output, phases, until="tally")
                work = self.here.folder / output / "work"
                path = str(work / "data" / "hash.0")
                b.ask("hold", path)
                self.replace(a, work)
                # The server of version 4 knows who has a file open.
                self.assertEqual(isinstance(b.ask("read", path), int), options == FOUR)
                b.ask("release", path)
                for task in ["tally", *phases["digest"], "finish"]:
                    process = b.start(*self.task_command(output, task))
                    time.sleep(0.2 + 0.4 * draw.random())
                    process.send_signal(signal.SIGSTOP)
                    self.replace(a, work)
                    process.send_signal(signal.SIGCONT)
                    _, err = process.communicate(timeout=300)
                    self.assertTrue(process.returncode == 0 or is_worth_a_try(process.returncode), f"{task}: {err}")
                    self.expect_done(b, output, task)
                self.here.expect("copy", output)

    def replace(self, node, folder):
        """Every file by its own bytes; clients and server forget what they have in memory."""
        node.shell(f"for f in $(find {folder} -type f ! -name '.*'); do cp $f $f.new && mv $f.new $f; done")
        Path("/proc/sys/vm/drop_caches").write_text("3\n")

    def test_a_stale_file_is_worth_a_try(self):
        """A process that reads a file which is then replaced ends with 4, and says why."""
        folder = self.here.folder / "large"
        folder.mkdir()
        lines = (self.here.folder / "in-0.jsonl").read_bytes()
        (folder / "large.jsonl").write_bytes(lines * 150)
        with self.mounted(THREE) as (a, b):
            command = self.run_command("copy", "stale", "--input", str(folder / "large.jsonl"), "--threads", "1")
            process = b.start(*command)
            read = Path(f"/proc/{process.pid}/io")
            wait_until(lambda: int(read.read_text().split()[1]) > 3_000_000, "it does not read")
            process.send_signal(signal.SIGSTOP)
            self.replace(a, folder)
            process.send_signal(signal.SIGCONT)
            _, err = process.communicate(timeout=300)
            self.assertEqual((process.returncode, "large.jsonl" in err, "try again" in err), (RESOURCES, True, True), err)
            status, _, err = b.run(*command, "--force")
            self.assertEqual(status, 0, err)

    def test_locks(self):
        """A second run is refused, also after the server went down; once the first is killed, it continues on the other node."""
        for name, options in (("clusters", FOUR), ("copy", THREE)):
            with self.mounted(options) as (a, b):
                output = f"lock-{options[5]}"
                process = a.start(*self.run_command(name, output))
                wait_until((self.here.folder / output / "work" / "plan.json").exists, "no run")
                time.sleep(2 if name == "clusters" else 0)
                process.send_signal(signal.SIGSTOP)
                for disturb in (lambda: None, self.server.restart):
                    disturb()
                    status, _, err = b.run(*self.run_command(name, output, "--resume"))
                    self.assertEqual((status, "another process is at work" in err), (RESOURCES, True), err)
                process.kill()
                process.wait()
                status, _, err = b.run(*self.run_command(name, output, "--resume"))
                self.assertEqual(status, 0, err)
                self.here.expect(name, output)

    def test_kills_and_restarts(self):
        """Each task is killed amid its work on one node and done on the other, while the server goes down now and then."""
        draw = random.Random(5)
        for options in (FOUR, THREE):
            with self.mounted(options) as nodes:
                output = f"kills-{options[5]}"
                for number, task in enumerate(sum(self.prepare(nodes[0], "copy", output).values(), [])):
                    process = nodes[number % 2].start(*self.task_command(output, task))
                    time.sleep(0.2 + 0.5 * draw.random())
                    if number % 7 == 3:
                        # The process waits, and is killed while it does.
                        self.server.stop()
                    process.kill()
                    if number % 7 == 3:
                        self.server.start()
                    process.wait()
                    self.expect_done(nodes[1 - number % 2], output, task)
                self.here.expect("copy", output)

    def test_a_node_that_is_cut_off(self):
        """It comes back when its work was done elsewhere: with tasks, and with a run that had the lock."""
        for name, options in (("tasks", FOUR), ("run", FOUR), ("run", THREE)):
            with self.mounted(options) as (a, b):
                output = f"cut-{name}-{options[5]}"
                if name == "tasks":
                    phases = self.prepare(b, "copy", output)
                    self.do(output, phases, until="read")
                    process = a.start(*self.task_command(output, "read.0"))
                    time.sleep(0.5)
                else:
                    process = a.start(*self.run_command("copy", output))
                    wait_until((self.here.folder / output / "work" / "plan.json").exists, "no run")
                process.send_signal(signal.SIGSTOP)
                a.cut(True)
                # Then the server gives its locks to others.
                time.sleep(Server.GRACE + 5)
                if name == "tasks":
                    for task in sum(phases.values(), []):
                        self.expect_done(b, output, task)
                else:
                    # Locks of version 4 end with a lease, those of version 3 with the process.
                    status, _, err = b.run(*self.run_command("copy", output, "--resume"))
                    self.assertEqual(status, 0 if options == FOUR else RESOURCES, err)
                a.cut(False)
                process.send_signal(signal.SIGCONT)
                _, err = process.communicate(timeout=300)
                self.assertIn(process.returncode, [RESOURCES] if (name, options) == ("run", FOUR) else [0], err)
                status, _, err = b.run(*self.run_command("copy", output, "--resume"))
                self.assertEqual((status, "already complete" in err), (0, True), err)
                self.here.expect("copy", output)

    def test_what_is_not_whole(self):
        """Files with the right name that are empty, cut, or of another run."""
        with self.mounted(FOUR) as (a, b):
            phases = self.prepare(a, "copy", "other")
            self.expect_done(a, "other", "hash.0")
            self.prepare(a, "labels", "whole")
            self.expect_done(a, "whole", "hash.0")
            self.do("other", phases, until="duplicates")
            other, work = self.here.folder / "other" / "work", self.here.folder / "whole" / "work"
            good = (other / "tasks" / "hash.0").read_bytes()
            for bad in (b"", good[:-1], (work / "tasks" / "hash.0").read_bytes()):
                # `borders` or `read` needs it.
                (other / "tasks" / "hash.0").write_bytes(bad)
                status, _, err = b.run(*self.task_command("other", "borders"))
                self.expect_done(b, "other", "hash.0")
                self.assertEqual((other / "tasks" / "hash.0").read_bytes(), good, "taken for done")
                (other / "tasks" / "hash.0").write_bytes(bad)
                self.prepare(b, "copy", "other")
                self.assertFalse((other / "tasks" / "hash.0").exists(), "a driver would take it for done")
            self.expect_done(b, "other", "hash.0")
            good = (other / "data" / "hash.1").read_bytes()
            (other / "data" / "hash.1").write_bytes(good[:-8])
            status, _, err = b.run(*self.task_command("other", "duplicates.0"))
            self.assertEqual((status, "data/hash.1" in err), (3, True), err)
            (other / "data" / "hash.1").write_bytes(good)
            self.do("other", phases)
            self.here.expect("copy", "other")

    def test_removed_files_that_are_open(self):
        """NFS keeps them under names such as `.nfs0123` until they are closed, and their folders with them."""
        for options in (FOUR, THREE):
            with self.mounted(options) as nodes:
                output = f"open-{options[5]}"
                phases = self.prepare(nodes[0], "copy", output)
                self.do(output, phases, until="finish")
                run = self.here.folder / output
                held = [str(run / "work" / name) for name in ("tasks/hash.0", "data/hash.0")]
                for node in nodes:
                    for path in held:
                        node.ask("hold", path)
                self.expect_done(nodes[0], output, "finish")
                left = {path.name[:4] for path in run.rglob("*") if path.is_file() and path.is_relative_to(run / "work")}
                self.assertEqual(left, {".nfs", ".slu"})
                # They stand in nobody's way.
                status, _, err = nodes[0].run(*self.run_command("copy", output, "--force"))
                self.assertEqual(status, 0, err)
                for node in nodes:
                    for path in held:
                        node.ask("release", path)
                status, _, err = nodes[1].run(*self.run_command("copy", output, "--resume"))
                self.assertEqual((status, "already complete" in err), (0, True), err)
                self.here.expect("copy", output)


if __name__ == "__main__":
    unittest.main(verbosity=2)
