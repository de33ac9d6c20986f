"""Tests of sluice_ray against a real cluster: a head and a second node on this machine. `ray.sh` starts them.

Each run must have the result of one process, byte for byte.
"""

import json
import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

import scene
from scene import Held, Scene, is_alive, kill, last, parent, running_tasks, until_end, wait_until

WORK = Path(os.environ["ENGINES_WORK"])
# Two addresses of this namespace's own: a driver joins the node that has its address.
HEAD, SECOND = "10.99.0.1", "10.99.0.2"
ADDRESS = f"{HEAD}:6399"
NODE = ["--num-cpus=1", f"--memory={1 << 30}", "--object-store-memory=200000000", "--disable-usage-stats"]


# Nodes get this package from the driver.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def raylets():
    """The process of each node: that of the second has no GCS beside it, and is the newest."""
    found = subprocess.run(["pgrep", "-x", "raylet"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return sorted(int(pid) for pid in found.split())


def start_node():
    before = set(raylets())
    subprocess.run(
        ["ray", "start", f"--address={ADDRESS}", f"--node-ip-address={SECOND}", *NODE], check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    wait_until(lambda: set(raylets()) - before, "the node does not start")
    return (set(raylets()) - before).pop()


def setUpModule():
    subprocess.run(
        ["ray", "start", "--head", "--port=6399", f"--node-ip-address={HEAD}", "--include-dashboard=false", *NODE], check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    Tests.second = start_node()
    Tests.here = Scene(WORK / "scene")


class Tests(unittest.TestCase):
    here = None
    second = 0

    def setUp(self):
        self.trace = WORK / f"{self.id()}.trace"
        self.errors = WORK / f"{self.id()}.err"

    def start(self, name, output, program=scene.SLUICE, *more):
        with open(self.errors, "a") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "sluice_ray", "run", f"{name}.yaml", "--output", output, "--address", ADDRESS,
                 "--sluice", program, "--trace", self.trace, *Scene.options, *more], cwd=self.here.folder, stderr=errors)

    def said(self):
        return self.errors.read_text()

    def tries(self):
        """The tries of tasks that came to an end."""
        return [json.loads(line) for line in self.trace.read_text().splitlines()] if self.trace.exists() else []

    def expect(self, process, status, seconds=90):
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, status, self.said())

    def tasks(self, name):
        listed = subprocess.run(
            [scene.SLUICE, "run", f"{name}.yaml", "--output", f"list-{name}", "--prepare", "--force", *Scene.options],
            cwd=self.here.folder, check=True, stdout=subprocess.PIPE).stdout
        return [task["task"] for task in json.loads(listed)]

    def phases(self, name):
        """The tasks of each phase."""
        found = {}
        for task in self.tasks(name):
            found.setdefault(task.partition(".")[0], []).append(task)
        return found

    def test_same_bytes(self):
        for name in scene.DEFINITIONS:
            output = f"plain-{name}"
            self.expect(self.start(name, output), 0)
            self.here.expect(name, output)
            done = self.tries()
            self.assertEqual(sorted(each["task"] for each in done), sorted(self.tasks(name)))
            self.trace.unlink()
            # The run is complete: nothing is left to do.
            self.expect(self.start(name, output), 0)
            self.assertIn("already complete", self.said())
            self.assertEqual(self.tries(), [])

    def test_processes_killed_in_every_phase(self):
        """The first task of each phase loses its worker of Ray, the second is killed amid its work."""
        for name in ("clusters", "labels"):
            phases = self.phases(name)
            first = [tasks[0] for tasks in phases.values()]
            amid = [tasks[1] for tasks in phases.values() if len(tasks) > 1]
            held = Held(WORK / f"held-{name}", before=first, amid=amid)
            process = self.start(name, f"killed-{name}", held.path)
            killed = []
            for _ in until_end(process):
                for task, pid in held.new():
                    if task in first:
                        # The task's own process dies with the worker.
                        kill(parent(pid))
                    else:
                        kill(pid)
                    wait_until(lambda: not is_alive(pid), f"{task} outlived its worker")
                    killed.append(task)
            self.expect(process, 0)
            self.here.expect(name, f"killed-{name}")
            self.assertEqual(set(first) - set(killed), set(), "tasks that were not killed")
            self.assertIn("its worker was killed; trying again", self.said())
            print(f"ray: {name}: {len(first)} workers killed, one a phase, and {len(killed) - len(first)} processes amid work")

    def test_a_lost_node_is_replaced(self):
        phases = self.phases("clusters")
        lost = []
        wanted = ["read", last(phases, "transform-"), last(phases, "select-"), "write"]
        held = Held(WORK / "held-node", before=[task for phase in wanted for task in phases[phase]])
        process = self.start("clusters", "lost", held.path)
        for _ in until_end(process, 180):
            for task, pid in held.new():
                phase = task.partition(".")[0]
                if parent(parent(pid)) == Tests.second and phase not in lost:
                    kill(Tests.second)
                    wait_until(lambda: not is_alive(pid), f"{task} outlived its node")
                    lost.append(phase)
                    Tests.second = start_node()
                elif is_alive(pid):
                    os.kill(pid, signal.SIGCONT)
        self.expect(process, 0)
        self.here.expect("clusters", "lost")
        self.assertGreaterEqual(len(lost), 2)
        print(f"ray: nodes killed with tasks of {', '.join(lost)}, and replaced")

    def test_a_killed_driver_loses_no_finished_task(self):
        for moment in (3, 9, 15):
            output = f"driver-{moment}"
            process = self.start("clusters", output)
            marks = self.here.folder / output / "work" / "tasks"
            wait_until(
                lambda: process.poll() is not None or marks.exists() and len(list(marks.iterdir())) >= moment, "no task ends")
            kill(process.pid)
            process.wait()
            wait_until(lambda: not running_tasks(), "tasks outlive the driver")
            done = {path.name: path.stat().st_ino for path in marks.iterdir()}
            self.assertGreaterEqual(len(done), moment)
            held = Held(WORK / f"held-{output}", before=["finish"])
            process = self.start("clusters", output, held.path)
            wait_until(lambda: held.new(), "`finish` does not start")
            # The marks are the same files: none was written again.
            now = {path.name: path.stat().st_ino for path in marks.iterdir()}
            self.assertEqual({name: now.get(name) for name in done}, done)
            os.kill(int((held.folder / "finish" / "pid").read_text()), signal.SIGCONT)
            self.expect(process, 0)
            self.here.expect("clusters", output)

    def test_a_signal_ends_in_order(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            output = f"stopped-{status}"
            held = Held(WORK / f"held-{output}", before=["read.2"])
            process = self.start("clusters", output, held.path)
            wait_until(lambda: held.new(), "the task does not start")
            process.send_signal(number)
            self.expect(process, status)
            self.assertIn(f"stopped by {number.name}. The work so far is in {self.here.folder / output}; the same command", self.said())
            self.assertEqual(running_tasks(), [])
            self.expect(self.start("clusters", output), 0)
            self.here.expect("clusters", output)

    def test_what_is_worth_a_try(self):
        held = Held(WORK / "held-fails", fails=["hash.1", "learn-1"])
        self.expect(self.start("clusters", "fails", held.path), 0)
        self.here.expect("clusters", "fails")
        self.assertEqual([each["task"] for each in self.tries() if each["status"] == 4], ["hash.1", "learn-1"])
        self.assertIn("no memory just now; trying again (2 of 5)", self.said())

    def test_what_is_refused(self):
        more = ["--set", "input.malformed=fail"]
        self.expect(self.start("clusters", "refused", scene.SLUICE, *more), 3)
        # That of any part.
        self.assertRegex(self.said(), r"in-\d\.jsonl:221: the line ends inside the object")
        self.assertNotIn("trying again", self.said())
        self.assertEqual({each["number"] for each in self.tries()}, {1})
        self.assertEqual(running_tasks(), [])
        # Before any task: with the messages of `sluice run`.
        self.expect(self.start("clusters", "new", scene.SLUICE, "--set", "stages.coreset.kep=1%"), 2)
        self.assertIn("kep", self.said())
        self.expect(self.start("clusters", "new", scene.SLUICE, "--memory", "20MiB"), 4)
        self.expect(self.start("nothing", "new"), 2)
        self.assertFalse((self.here.folder / "new").exists())
        self.expect(self.start("clusters", "new", scene.SLUICE, "--address", "127.0.0.1:9"), 2, 60)
        self.assertFalse((self.here.folder / "new").exists())

    def test_no_node_is_large_enough(self):
        process = self.start("clusters", "large", scene.SLUICE, "--threads", "7")
        wait_until(lambda: "no node has 7 CPUs" in self.said(), "no word of it")
        process.send_signal(signal.SIGINT)
        self.expect(process, 130)

    def test_hundreds_of_tasks(self):
        # Enough that a line of the list is long.
        many = Scene(WORK / "many", records=1500, files=330)
        self.here, before = many, self.here
        try:
            self.expect(self.start("copy", "out"), 0)
            many.expect("copy", "out")
        finally:
            self.here = before


if __name__ == "__main__":
    unittest.main(verbosity=2)
