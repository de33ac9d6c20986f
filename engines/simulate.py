#!/usr/bin/env python3
"""Replays a list of tasks on a simulated cluster, through the drivers' own code.

usage: sluice plan FILE --tasks --workers N --input-size SIZE > tasks.json
       simulate.py tasks.json --engine ray --workers 1000 --stragglers 0.01 --node-hours 200

The driver of Ray runs as it is, on a `ray` module and a clock that are simulated here; of the driver for Slurm, the cut into
arrays. Tasks take the `seconds` of the list, times log-normal noise; some take ten times as long; nodes are lost, with what runs
on them. The CPU time of the driver is real. Prints a JSON object. The same seed gives the same simulated times.
"""

import argparse
import heapq
import importlib
import itertools
import json
import math
import random
import sys
import time
import types
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sluice_slurm import arrays  # noqa: E402
from sluice_tasks import progress as progress_module  # noqa: E402
from sluice_tasks.tasks import TaskList  # noqa: E402

# Ray takes this long to submit a task and to hand over its result (Benchmarks/results/2026-11-22-engines.md: about a millisecond).
RAY_SUBMIT = 0.001
# Slurm starts an element after about this long, and holds what was queued again (measured: 121 s).
SLURM_START, SLURM_HOLD = 0.5, 121.0
STRAGGLER = 10.0


class Durations:
    """How long each try of a task takes."""

    def __init__(self, text, options):
        self.seconds = {}
        for line in text.splitlines():
            line = line.strip().rstrip(",")
            if line.startswith("{"):
                listed = json.loads(line)
                if "seconds" not in listed:
                    raise SystemExit("simulate: the list has no `seconds`; make it with `sluice plan FILE --tasks --workers N`")
                self.seconds[listed["task"]] = listed["seconds"] / listed["threads"]
        self._draw = random.Random(options.seed)
        self._noise, self._stragglers = options.noise, options.stragglers
        # Seconds of all tries, and of those that were lost with their node.
        self.spent = self.lost = 0.0
        self.tries = 0

    def of(self, task):
        # The mean of the noise is 1.
        noise = math.exp(self._draw.gauss(-self._noise ** 2 / 2, self._noise)) if self._noise else 1.0
        late = STRAGGLER if self._draw.random() < self._stragglers else 1.0
        self.tries += 1
        return self.seconds[task] * noise * late


class Cluster:
    """Nodes of one slot each, that are lost now and then and come back under another name; and the clock."""

    def __init__(self, options):
        self.now = 0.0
        self._events, self._order = [], itertools.count()
        self._draw = random.Random(options.seed + 1)
        self._life, self._away = options.node_hours * 3600, options.node_minutes * 60
        self._names = itertools.count()
        self.alive, self.free, self.losses = {}, {}, 0
        for _ in range(options.workers):
            self._join()

    def at(self, when, action):
        heapq.heappush(self._events, (when, next(self._order), action))

    @property
    def next(self):
        return self._events[0][0] if self._events else math.inf

    def step(self):
        """Goes on to the next event and does it."""
        when, _, action = heapq.heappop(self._events)
        self.now = max(self.now, when)
        action()

    def _join(self):
        name = f"node-{next(self._names)}"
        self.alive[name] = None
        self.free[name] = None
        if self._life:
            self.at(self.now + self._draw.expovariate(1 / self._life), lambda: self._lose(name))

    def _lose(self, name):
        self.losses += 1
        running = self.alive.pop(name)
        self.free.pop(name, None)
        if running:
            running(None)
        self.at(self.now + self._away, self._join)

    def run(self, node, seconds, on_end):
        """Occupies a node; `on_end(node)` when the work has ended, `on_end(None)` when the node was lost before."""
        self.free.pop(node, None)
        self.alive[node] = on_end

        def end():
            if self.alive.get(node) is on_end:
                self.alive[node] = None
                self.free[node] = None
                on_end(node)
        self.at(self.now + seconds, end)

    def take(self, wanted):
        """A free node, the wanted one if that is free; None if there is none."""
        if wanted in self.free:
            return wanted
        return next(iter(self.free), None)


class SimulatedRay(types.ModuleType):
    """As much of the module `ray` as the driver uses."""

    class RayError(Exception):
        pass

    class NodeDied(RayError):
        pass

    def __init__(self, cluster, durations):
        super().__init__("ray")
        self._cluster, self._durations = cluster, durations
        self._queue, self._results = deque(), {}
        self._waiting_for = None
        # CPU seconds spent here, which are no work of the driver.
        self.own, self.submitted = 0.0, 0
        none = type("Never", (self.RayError,), {})
        self.exceptions = types.SimpleNamespace(
            RayError=self.RayError, RayTaskError=none, OutOfMemoryError=none, WorkerCrashedError=none, NodeDiedError=self.NodeDied)
        self.cloudpickle = types.SimpleNamespace(register_pickle_by_value=lambda module: None)

    def modules(self):
        """What `import` finds of it."""
        strategies = types.ModuleType("ray.util.scheduling_strategies")
        strategies.NodeAffinitySchedulingStrategy = lambda node, **_: node
        return {"ray": self, "ray.util": types.ModuleType("ray.util"), "ray.util.scheduling_strategies": strategies}

    def remote(self, **_):
        return lambda function: types.SimpleNamespace(options=lambda **options: types.SimpleNamespace(
            remote=lambda sent, directory, names, *more: self._submit(names, options.get("scheduling_strategy"))))

    def _submit(self, names, node):
        begun = time.thread_time()
        reference = self.submitted
        self.submitted += 1
        self._cluster.now += RAY_SUBMIT
        self._queue.append((reference, names, node))
        self._place()
        self.own += time.thread_time() - begun
        return reference

    def _place(self):
        while self._queue and self._cluster.free:
            reference, names, wanted = self._queue.popleft()
            node = self._cluster.take(wanted)
            took = [self._durations.of(name) for name in names]
            self._cluster.run(node, sum(took), self._ending(reference, names, took, self._cluster.now))

    def _ending(self, reference, names, took, began):
        def end(node):
            spent = self._cluster.now - began
            self._durations.spent += spent
            if node is None:
                self._durations.lost += spent
                self._results[reference] = self.NodeDied()
            else:
                self._results[reference] = node, [
                    (name, 0, "", began, seconds, seconds) for name, seconds in zip(names, took)]
            self._place()
        return end

    def wait(self, references, num_returns, timeout):
        begun = time.thread_time()
        until = self._cluster.now + timeout
        while not self._results and self._cluster.next <= until:
            self._cluster.step()
        while self._cluster.next <= self._cluster.now:
            self._cluster.step()
        if not self._results:
            self._cluster.now = max(self._cluster.now, until)
        # A node that came back has no end of a task to start it with.
        self._place()
        ready = list(itertools.islice(self._results, num_returns))
        self.own += time.thread_time() - begun
        return ready, []

    def get(self, reference):
        result = self._results.pop(reference)
        if isinstance(result, Exception):
            raise result
        return result

    def nodes(self):
        begun = time.thread_time()
        found = [{"NodeID": name, "Alive": True, "Resources": {"CPU": 1, "memory": math.inf}} for name in self._cluster.alive]
        self.own += time.thread_time() - begun
        return found

    def cancel(self, reference, force):
        self._results.pop(reference, None)


class Clock:
    """The module `time`, of a simulated cluster."""

    def __init__(self, cluster):
        self._cluster = cluster

    def monotonic(self):
        return self._cluster.now

    time = monotonic

    def sleep(self, seconds):
        until = self._cluster.now + seconds
        while self._cluster.next <= until:
            self._cluster.step()
        self._cluster.now = max(self._cluster.now, until)


def replay_ray(tasks, durations, options):
    """Runs the driver of Ray: what it took."""
    cluster = Cluster(options)
    ray = SimulatedRay(cluster, durations)
    sys.modules.update(ray.modules())
    for name in ("sluice_ray.driver", "sluice_ray.worker"):
        sys.modules.pop(name, None)
    driver = importlib.import_module("sluice_ray.driver")
    driver.time = progress_module.time = Clock(cluster)
    wanted = types.SimpleNamespace(window=options.window, threads=1, memory=None, trace=None)
    begun, real = time.thread_time(), time.monotonic()
    silent = progress_module.Progress(tasks, "none")
    silent.note = lambda text: None
    try:
        running = driver.Driver(tasks, "/nonexistent", types.SimpleNamespace(sent=None), wanted, silent)
        running.run()
    finally:
        progress_module.time = time
    cpu = time.thread_time() - begun - ray.own
    return cluster, {
        "submitted": ray.submitted, "driver_cpu_s": round(cpu, 2),
        "driver_cpu_ms_per_task": round(1000 * cpu / max(1, len(tasks.tasks)), 4), "real_s": round(time.monotonic() - real, 1)}


def replay_slurm(tasks, durations, options):
    """Runs array jobs, each of which begins when those of the phases that it needs have ended."""
    cluster = Cluster(options)
    begun = time.thread_time()
    found = arrays.plan(tasks, set(), options.width, options.array_limit)
    needed = tasks.needed_phases()
    cpu = time.thread_time() - begun
    left = {}
    for phase, elements in found:
        left[phase] = left.get(phase, 0) + len(elements)
    waiting = deque(found)
    queue = deque()

    def release():
        blocked = deque()
        while waiting:
            phase, elements = waiting.popleft()
            if any(left[each] for each in needed[phase]):
                blocked.append((phase, elements))
            else:
                queue.extend((phase, [task.name for task in element]) for element in elements)
        waiting.extend(blocked)

    def start():
        while queue and cluster.free:
            phase, names = queue.popleft()
            took = [durations.of(name) for name in names]
            cluster.run(cluster.take(None), SLURM_START + sum(took), ending(phase, names, took, cluster.now))

    def ending(phase, names, took, began):
        def end(node):
            spent = cluster.now - began
            durations.spent += spent
            if node is not None:
                left[phase] -= 1
                if not left[phase]:
                    release()
                return
            # Tasks that ended before the node was lost are done.
            done = sum(1 for total in itertools.accumulate(took) if SLURM_START + total <= spent)
            durations.lost += spent - sum(took[:done])
            cluster.at(cluster.now + SLURM_HOLD, lambda: queue.append((phase, names[done:])))
        return end

    release()
    while any(left.values()):
        start()
        cluster.step()
    return cluster, {"elements": sum(len(elements) for _, elements in found), "driver_cpu_s": round(cpu, 2)}


def simulate(text, options):
    """What a run of the list takes."""
    begun = time.thread_time()
    tasks = TaskList(text)
    reading = time.thread_time() - begun
    durations = Durations(text, options)
    cluster, more = {"ray": replay_ray, "slurm": replay_slurm}[options.engine](tasks, durations, options)
    work = sum(durations.seconds.values())
    return {
        "engine": options.engine, "workers": options.workers, "tasks": len(tasks.tasks), "work_s": round(work, 1),
        "wall_s": round(cluster.now, 1), "least_s": round(work / options.workers, 1),
        "busy": round(durations.spent / (cluster.now * options.workers), 4), "tries": durations.tries,
        "nodes_lost": cluster.losses, "lost_s": round(durations.lost, 1), "list_cpu_s": round(reading, 2), **more}


def parser():
    found = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    found.add_argument("list", type=Path, help="what `sluice plan FILE --tasks --workers N` prints")
    found.add_argument("--engine", choices=("ray", "slurm"), default="ray")
    found.add_argument("--workers", type=int, default=1000, help="nodes of one slot")
    found.add_argument("--noise", type=float, default=0.2, help="standard deviation of the logarithm of durations")
    found.add_argument("--stragglers", type=float, default=0.0, help="share of tries that take ten times as long")
    found.add_argument("--node-hours", type=float, default=0.0, help="mean hours until a node is lost; 0 for never")
    found.add_argument("--node-minutes", type=float, default=10.0, help="minutes until another comes instead")
    found.add_argument("--window", type=int, help="Ray: tasks in flight, as for sluice-ray")
    found.add_argument("--width", type=int, default=1000, help="Slurm: the most elements of a phase")
    found.add_argument("--array-limit", type=int, default=1000, help="Slurm: the most elements of an array")
    found.add_argument("--seed", type=int, default=1)
    return found


def main():
    options = parser().parse_args()
    print(json.dumps(simulate(options.list.read_text(), options)))


if __name__ == "__main__":
    main()
