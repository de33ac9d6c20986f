"""Tests of tasks and runs on NFS: a server and two clients, in the virtual machine of `nfs.sh`.

Each run must have the result of one process on a local file system, byte for byte.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

os.environ.setdefault("SLUICE_BINARY", "/usr/bin/sluice")

import scene
from nfs_cluster import Node, SHARED, Server
from scene import SLUICE, Scene, wait_until
from sluice_tasks.status import is_worth_a_try

# Clients that hardly ever look whether a folder or file has changed.
LONG = "acregmin=600,acregmax=600,acdirmin=600,acdirmax=600"
FOUR, THREE = "vers=4.2", "vers=3"
REAL = Path("/data")

T0 = time.monotonic()


def say(*words):
    print(f"[{time.monotonic() - T0:.1f}]", *words, flush=True)


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


class NetworkScene(Scene):
    """The inputs on the server, and real records if there are any."""

    def __init__(self):
        super().__init__(SHARED / "scene", files=3)
        for path in REAL.iterdir():
            shutil.copy(path, self.folder)
        (self.folder / "real.yaml").write_text(_REAL)


def setUpModule():
    Tests.server = Server()
    Tests.nodes = [Node(1), Node(2)]
    Tests.here = NetworkScene()
    say("ready")


class Tests(unittest.TestCase):
    server = None
    nodes = []
    here = None

    def mount(self, options):
        for node in self.nodes:
            node.mount(options)
            self.addCleanup(node.unmount)

    def prepare(self, node, name, output):
        """The list of tasks, by phase."""
        status, out, err = node.run(
            SLUICE, "run", self.here.folder / f"{name}.yaml", "--output", self.here.folder / output, "--prepare", *Scene.options)
        self.assertEqual(status, 0, err)
        phases = {}
        for task in json.loads(out):
            phases.setdefault(task["phase"], []).append(task)
        return phases

    def command(self, output, task):
        return [SLUICE, "task", str(self.here.folder / output), task, "--progress", "none"]

    def perform(self, node, output, task):
        return node.ask("perform", task, self.command(output, task))

    def do(self, output, phases, until=None, draw=random.Random(7), before=None):
        """Does the tasks phase by phase, on both nodes at the same time, in random order."""
        for phase, tasks in phases.items():
            if phase == until:
                return
            if before:
                before(phase, tasks)
            left = [task["task"] for task in tasks]
            draw.shuffle(left)
            outcomes = []

            def work(node):
                while left:
                    outcomes.append(self.perform(node, output, left.pop()))

            threads = [threading.Thread(target=work, args=[node]) for node in self.nodes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for outcome in outcomes:
                self.assertEqual(outcome["status"], 0, outcome)

    def test_1_same_bytes(self):
        for name, options in (("labels", FOUR), ("clusters", THREE), ("real", f"{FOUR},{LONG}"), ("copy", f"{THREE},{LONG}")):
            with self.subTest(name=name, options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    output = f"same-{name}"
                    began = time.monotonic()
                    phases = self.prepare(self.nodes[0], name, output)
                    looked = 0

                    def look(_, tasks):
                        # Before there is anything to see.
                        nonlocal looked
                        for task in tasks:
                            for written in task["writes"]:
                                path = self.here.folder / output / written
                                for each in (path, str(path).replace("/tasks/", "/data/")):
                                    for node in self.nodes:
                                        looked += not node.ask("exists", str(each))
                    self.do(output, phases, before=look)
                    say(name, options, sum(map(len, phases.values())), "tasks", f"{time.monotonic() - began:.0f} s", looked, "looks")
                    self.here.expect(name, output)
                    say("expect ok", os.listdir(self.here.folder / output))
                finally:
                    for node in self.nodes:
                        node.unmount()

    def test_2_negative(self):
        for options in (FOUR + "," + LONG, THREE + "," + LONG):
            with self.subTest(options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    a, b = self.nodes
                    output = "negative" + options[5]
                    phases = self.prepare(a, "copy", output)
                    hashes = [t["task"] for t in phases["hash"]]
                    out = self.here.folder / output
                    for t in hashes:
                        say(b.ask("exists", f"{out}/work/tasks/{t}"), b.ask("is_done", str(out), t))
                    say("b early", b.run(*self.command(output, "duplicates.0")))
                    for t in hashes:
                        self.assertEqual(self.perform(a, output, t)["status"], 0)
                    for t in hashes:
                        say("is_done", b.ask("is_done", str(out), t), "exists", b.ask("exists", f"{out}/work/data/{t}"))
                    say("b plain", b.run(*self.command(output, "duplicates.0")))
                    say("b perform", self.perform(b, output, "duplicates.0"))
                finally:
                    for node in self.nodes:
                        node.unmount()

    def test_3_twice(self):
        for options in (FOUR, THREE):
            with self.subTest(options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    output = "twice" + options[5]
                    phases = self.prepare(self.nodes[0], "copy", output)
                    say(list(phases))
                    for phase, tasks in phases.items():
                        for task in tasks:
                            both = [node.start(*self.command(output, task["task"])) for node in self.nodes]
                            for p in both:
                                out, err = p.communicate(timeout=60)
                                if p.returncode or err and phase != "finish":
                                    say(task["task"], p.returncode, err)
                    self.here.expect("copy", output)
                finally:
                    for node in self.nodes:
                        node.unmount()

    def test_4_stale(self):
        for options in (FOUR, THREE):
            with self.subTest(options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    a, b = self.nodes
                    path = self.here.folder / f"stale{options[5]}"
                    path.write_bytes(b"x" * 3_000_000)
                    b.ask("hold", str(path))
                    say("read", b.ask("read", str(path)))
                    a.shell(f"cp {path} {path}.new; mv {path}.new {path}")
                    Path("/proc/sys/vm/drop_caches").write_text("3\n")
                    say("replaced", b.ask("read", str(path)))
                    a.shell(f"rm {path}")
                    Path("/proc/sys/vm/drop_caches").write_text("3\n")
                    say("removed", b.ask("read", str(path)))
                    self.server.restart()
                    Path("/proc/sys/vm/drop_caches").write_text("3\n")
                    t = time.monotonic()
                    say("restarted", b.ask("read", str(path)), time.monotonic() - t)
                    b.ask("release", str(path))
                finally:
                    for node in self.nodes:
                        node.unmount()

    def test_5_locks(self):
        for options in (FOUR, THREE):
            with self.subTest(options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    a, b = self.nodes
                    output = "lock" + options[5]
                    command = [SLUICE, "run", self.here.folder / "clusters.yaml", "--output", self.here.folder / output, "--progress", "none", *Scene.options]
                    p = a.start(*command)
                    wait_until((self.here.folder / output / "work" / "checkpoint").exists, "no checkpoint")
                    p.send_signal(signal.SIGSTOP)
                    say("b", b.run(*command, "--resume"))
                    self.server.restart()
                    t = time.monotonic()
                    say("b after restart", b.run(*command, "--resume"), time.monotonic() - t)
                    p.kill(); p.wait()
                    say("b after kill", b.run(*command, "--resume"))
                    self.here.expect("clusters", output)
                    say(os.listdir(self.here.folder / output))
                finally:
                    for node in self.nodes:
                        node.unmount()

    def test_8_silly(self):
        for options in (FOUR, THREE):
            with self.subTest(options=options):
                for node in self.nodes:
                    node.mount(options)
                try:
                    a, b = self.nodes
                    output = "silly" + options[5]
                    phases = self.prepare(a, "copy", output)
                    self.do(output, phases, until="finish")
                    out = self.here.folder / output
                    held = [str(out / "work/tasks/hash.0"), str(out / "work/data/hash.0")]
                    for n in (a, b):
                        for h in held:
                            n.ask("hold", h)
                    say("finish", a.run(*self.command(output, "finish")))
                    say(subprocess.run(["find", str(out)], stdout=subprocess.PIPE, text=True).stdout)
                    say("again", a.run(*self.command(output, "finish")))
                    say("resume b", b.run(SLUICE, "run", self.here.folder / "copy.yaml", "--output", out, "--resume", *Scene.options))
                    say("force b", b.run(SLUICE, "run", self.here.folder / "copy.yaml", "--output", out, "--force", *Scene.options))
                    say(subprocess.run(["find", str(out)], stdout=subprocess.PIPE, text=True).stdout)
                    for n in (a, b):
                        for h in held:
                            say("held", n.name, n.ask("read", h))
                            n.ask("release", h)
                    say(subprocess.run(["find", str(out)], stdout=subprocess.PIPE, text=True).stdout)
                    self.here.expect("copy", output)
                finally:
                    for node in self.nodes:
                        node.unmount()


if __name__ == "__main__":
    unittest.main(verbosity=2)
