"""Tests of sluice_slurm against Slurm itself: a controller and two nodes of one CPU on this machine. `slurm.sh` starts them.

Each run must have the result of one process, byte for byte.
"""

import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import scene
from scene import Held, Scene, is_alive, kill, last, parent, running_tasks, until_end, wait_until

WORK = Path(os.environ["ENGINES_WORK"])

# Arrays of at most three elements, so that a phase of seven parts takes three.
CONFIGURATION = f"""\
ClusterName=sluice
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={WORK}/munge.socket
CredType=cred/munge
StateSaveLocation={WORK}/state
SlurmdSpoolDir={WORK}/spool-%n
SlurmdPidFile={WORK}/slurmd-%n.pid
SlurmctldPidFile={WORK}/slurmctld.pid
SlurmctldLogFile={WORK}/slurmctld.log
SlurmdLogFile={WORK}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
MpiDefault=none
ReturnToService=2
KillWait=5
MaxArraySize=4
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=2000
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def start_node(name):
    with open(WORK / f"{name}.out", "a") as log:
        return subprocess.Popen(["slurmd", "-D", "-N", name], stdout=log, stderr=log)


def slurm(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def nodes_are_up():
    found = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %t"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return sorted(line.split()[1] in ("idle", "mix", "alloc") for line in found.splitlines()) == [True, True]


def queue():
    return [line.split() for line in slurm("squeue", "-h", "-r", "-o", "%A %T %r").splitlines()]


def setUpModule():
    (WORK / "slurm.conf").write_text(CONFIGURATION)
    (WORK / "state").mkdir()
    key = WORK / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    log = open(WORK / "daemons.out", "a")
    munged = subprocess.Popen(
        ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={WORK}/munge.socket", f"--pid-file={WORK}/munge.pid",
         f"--seed-file={WORK}/munge.seed", f"--log-file={WORK}/munge.log", "--num-threads=2"], stdout=log, stderr=log)
    wait_until(lambda: (WORK / "munge.socket").exists(), "munged does not start")
    # They are kept: a daemon ends with the namespace.
    Tests.daemons = [munged, subprocess.Popen(["slurmctld", "-D"], stdout=log, stderr=log), log]
    Tests.nodes = {name: start_node(name) for name in ("n1", "n2")}
    wait_until(nodes_are_up, "the nodes do not start")
    Tests.here = Scene(WORK / "scene")


class Tests(unittest.TestCase):
    here = None
    daemons = []
    nodes = {}

    def setUp(self):
        self.errors = WORK / f"{self.id()}.err"

    def start(self, *words):
        with open(self.errors, "a") as errors:
            return subprocess.Popen([sys.executable, "-m", "sluice_slurm", *words], cwd=self.here.folder, stderr=errors)

    def submit(self, name, output, program=scene.SLUICE, *more):
        return self.start("submit", f"{name}.yaml", "--output", output, "--sluice", program, *Scene.options, *more)

    def said(self):
        return self.errors.read_text()

    def expect(self, process, status, seconds=400):
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, status, self.said() + slurm("squeue", "-r") + slurm("sinfo", "-N"))

    def phases(self, name):
        """The tasks of each phase."""
        listed = subprocess.run(
            [scene.SLUICE, "run", f"{name}.yaml", "--output", f"list-{name}", "--prepare", "--force", *Scene.options],
            cwd=self.here.folder, check=True, stdout=subprocess.PIPE).stdout
        found = {}
        for task in json.loads(listed):
            found.setdefault(task["phase"], []).append(task["task"])
        return found

    def start_held_jobs(self):
        """Jobs that were queued again wait for two minutes; this does not wait with them."""
        for job, state, reason in queue():
            if state == "PENDING" and reason in ("BeginTime", "None"):
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], stderr=subprocess.DEVNULL)

    def test_same_bytes(self):
        for name, more in (("labels", ["--width", "2"]), ("copy", ["--most-jobs", "5"])):
            self.expect(self.submit(name, f"plain-{name}", scene.SLUICE, "--wait", *more), 0)
            self.here.expect(name, f"plain-{name}")
            self.assertIn("quarantined", self.said())
            self.expect(self.start("status", f"plain-{name}"), 0)
            self.expect(self.submit(name, f"plain-{name}"), 0)
            self.assertIn("already complete", self.said())
        # More than one array a phase, and more than one wave.
        names = os.listdir(WORK / "scene" / "plain-copy.slurm" / "arrays")
        self.assertEqual(len([name for name in names if name.startswith("hash.")]), 3)
        self.assertTrue(list((WORK / "scene" / "plain-copy.slurm" / "logs").glob("sluice-next-*")))

    def test_processes_killed_in_every_phase(self):
        """The first task of each phase loses the interpreter that waits for it, the second is killed amid its work."""
        phases = self.phases("clusters")
        first = [tasks[0] for tasks in phases.values()]
        amid = [tasks[1] for tasks in phases.values() if len(tasks) > 1]
        held = Held(WORK / "held", before=first, amid=amid)
        process = self.submit("clusters", "killed", held.path, "--wait", "--width", "2")
        killed = []
        for _ in until_end(process, 400):
            for task, pid in held.new():
                kill(parent(pid) if task in first else pid)
                wait_until(lambda: not is_alive(pid), f"{task} outlived its job")
                killed.append(task)
        self.expect(process, 0)
        self.here.expect("clusters", "killed")
        self.assertEqual(set(first) - set(killed), set(), "tasks that were not killed")
        print(f"slurm: {len(first)} interpreters killed, one a phase, and {len(killed) - len(first)} processes amid work")

    def test_a_lost_node_is_replaced(self):
        phases = self.phases("clusters")
        wanted = ["hash", "read", last(phases, "select-")]
        held = Held(WORK / "held-node", before=[task for phase in wanted for task in phases[phase]])
        process = self.submit("clusters", "lost", held.path, "--wait", "--width", "2")
        lost, asked = [], 0
        for _ in until_end(process, 400):
            for task, pid in held.new():
                phase = task.partition(".")[0]
                node = node_of(pid)
                if node == "n2" and len(lost) < 2 and phase not in lost:
                    self.lose(node, pid)
                    lost.append(phase)
                elif is_alive(pid):
                    os.kill(pid, signal.SIGCONT)
            if lost and time.monotonic() > asked + 2:
                asked = time.monotonic()
                self.start_held_jobs()
        self.expect(process, 0)
        self.here.expect("clusters", "lost")
        self.assertEqual(len(lost), 2)
        print(f"slurm: nodes killed with tasks of {', '.join(lost)}, and replaced")

    def lose(self, node, pid):
        """Kills all processes of a node, says that it is down, as the controller would in time, and starts it again."""
        kill(self.nodes[node].pid)
        self.nodes[node].wait()
        line = [pid]
        while parent(line[-1]) != 1:
            line.append(parent(line[-1]))
        for each in reversed(line):
            if is_alive(each):
                kill(each)
        slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")
        self.nodes[node] = start_node(node)
        slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def test_a_killed_driver_loses_no_finished_task(self):
        for moment in (1, 4):
            output = f"driver-{moment}"
            process = self.submit("copy", output)
            state = WORK / "scene" / f"{output}.slurm" / "state.json"
            wait_until(
                lambda: process.poll() is not None or state.exists() and state.read_text().count('"job"') >= moment, "no job")
            process.kill()
            process.wait()
            marks = WORK / "scene" / output / "work" / "tasks"
            wait_until(lambda: len(list(marks.iterdir())) >= 2, "no task ends")
            if queue():
                self.expect(self.submit("copy", output), 2)
                self.assertIn("are in the queue", self.said())
            self.expect(self.start("cancel", output), 0)
            wait_until(lambda: not queue() and not running_tasks(), "jobs go on")
            done = {path.name: path.stat().st_ino for path in marks.iterdir()}
            held = Held(WORK / f"held-{output}", before=["finish"])
            process = self.submit("copy", output, held.path, "--wait")
            wait_until(lambda: held.new(), "`finish` does not start", 300)
            now = {path.name: path.stat().st_ino for path in marks.iterdir()}
            self.assertEqual({name: now.get(name) for name in done}, done)
            os.kill(int((held.folder / "finish" / "pid").read_text()), signal.SIGCONT)
            self.expect(process, 0)
            self.here.expect("copy", output)

    def test_a_task_that_fails_often_goes_to_another_node(self):
        held = Held(WORK / "held-fails", fails=["hash.1"], times=4)
        process = self.submit("copy", "fails", held.path, "--wait")
        for _ in until_end(process, 400):
            self.start_held_jobs()
            time.sleep(0.5)
        self.expect(process, 0)
        self.here.expect("copy", "fails")
        self.assertEqual((held.folder / "hash.1.tries").read_text(), "\n" * 5)

    def test_what_is_refused(self):
        self.expect(self.submit("clusters", "refused", scene.SLUICE, "--set", "input.malformed=fail", "--wait"), 3)
        wait_until(lambda: not queue(), "jobs are left")
        self.expect(self.start("status", "refused"), 3)
        self.assertRegex(self.said(), r"in-\d\.jsonl:221: the line ends inside the object")
        self.assertRegex(self.said(), r"the task hash\.\d ended with status 3 on localhost")
        self.expect(self.submit("clusters", "new", scene.SLUICE, "--set", "stages.coreset.kep=1%"), 2)
        self.expect(self.submit("clusters", "new", scene.SLUICE, "--memory", "20MiB"), 4)
        self.expect(self.submit("clusters", "other", scene.SLUICE, "--sbatch=--partition=none"), 4)
        self.assertIn("invalid partition", self.said())
        # No node is large enough: `status` says why nothing starts.
        self.expect(self.submit("clusters", "large", scene.SLUICE, "--threads", "7"), 0)
        self.expect(self.start("status", "large"), 0)
        self.assertIn("waiting (PartitionConfig)", self.said())
        self.expect(self.start("cancel", "large"), 0)
        self.assertEqual(queue(), [])
        self.expect(self.start("status", "new"), 2)
        self.assertFalse((self.here.folder / "new").exists())


def node_of(pid):
    """The node on which a process runs, from the environment that Slurm gave it."""
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if entry.startswith(b"SLURMD_NODENAME="):
            return entry.partition(b"=")[2].decode()
    return None


if __name__ == "__main__":
    unittest.main(verbosity=2)
