"""The driver: submits tasks that may start, keeps a bounded number in flight, and retries what was killed."""

import hashlib
import heapq
import itertools
import json
import signal
import socket
import time
from collections import namedtuple

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import sluice_ray.worker
import sluice_tasks.process
from sluice_tasks.process import Outcome
from sluice_tasks.status import DONE, FAULT, Failure, described, exit_status, is_worth_a_try
from sluice_tasks.tasks import Queue, done_tasks

# Short tasks go together until they take about this long: a Ray task costs milliseconds of the driver's time.
_BUNDLE_SECONDS = 2.0
_MOST_IN_A_BUNDLE = 64
_TRIES = 5
# Seconds that tasks have to stop in order.
_PATIENCE = 5.0

# Some tasks that one Ray task does, the number of this try, and the node that has their files.
Bundle = namedtuple("Bundle", "tasks number node")


def connect(address):
    """Connects to a cluster; without an address to that of RAY_ADDRESS, or to a new one on this machine."""
    try:
        host, colon, port = (address or "").rpartition(":")
        if colon and port.isdigit():
            # Ray itself waits for minutes, and says so in words of its own.
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        # Its own messages would break the line of progress.
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Failure(f"can't connect to a Ray cluster at {address or 'this machine'}: {reason}", 2)


class Program:
    """The program in the cluster's object store, for nodes that don't have it yet."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = file.read()
        # In a list, so that only nodes without the file fetch it.
        self.sent = (len(content), hashlib.sha256(content).hexdigest(), [ray.put(content)])


class Driver:
    """Does all tasks that are left of a run."""

    def __init__(self, tasks, directory, program, options, progress):
        """`tasks`: a TaskList; `program`: a `Program`; `options`: those of the command line."""
        done = done_tasks(directory)
        self._queue = Queue(tasks, done)
        self._directory, self._program, self._options, self._progress = directory, program, options, progress
        self._tasks = {task.name: task for task in tasks.tasks}
        self._progress.begin([task for task in tasks.tasks if task.name in done])
        self._in_flight = {}
        # Bundles that are tried again, by the time at which they are.
        self._again = []
        self._order = itertools.count()
        self._means = {}
        self._homes = {}
        self._summary = ""
        self._cluster = Cluster()
        self._trace = open(options.trace, "a") if options.trace else None
        self.signal = 0
        ray.cloudpickle.register_pickle_by_value(sluice_tasks.process)
        ray.cloudpickle.register_pickle_by_value(sluice_ray.worker)
        # Ray would try again at once and without a word, and never what was killed by itself.
        self._remote = ray.remote(max_retries=0)(sluice_ray.worker.do_tasks)

    def run(self):
        """Does all tasks: what the last one said.

        Raises `Failure` if a task was refused or failed too often, or if `signal` was set.
        """
        try:
            while not self._queue.is_empty:
                if self.signal:
                    name = signal.Signals(self.signal).name
                    raise Failure(
                        f"sluice: stopped by {name}. The work so far is in {self._directory}; the same command continues it.",
                        128 + self.signal)
                self._submit()
                self._collect()
                self._progress.show()
                self._cluster.warn_if_idle(self._in_flight, self._progress)
            return self._summary
        finally:
            self._cancel()
            self._progress.clear()
            if self._trace:
                self._trace.close()

    # MARK: Submitting

    def _submit(self):
        window = self._options.window or max(4, 2 * self._cluster.slots(self._options.threads))
        while len(self._in_flight) < window:
            bundle = self._next()
            if bundle is None:
                return
            first = bundle.tasks[0]
            options = {
                "num_cpus": first.threads, "memory": max(task.memory for task in bundle.tasks), "name": first.name,
            }
            if bundle.node in self._cluster.nodes:
                # There the part's files are in the page cache; any other node will do, too.
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
                    bundle.node, soft=True, _spill_on_unavailable=True)
            reference = self._remote.options(**options).remote(
                self._program.sent, self._directory, [task.name for task in bundle.tasks], first.threads,
                self._options.memory)
            self._in_flight[reference] = bundle
            self._progress.start(first.phase)

    def _next(self):
        if self._again and self._again[0][0] <= time.monotonic():
            return heapq.heappop(self._again)[2]
        tasks = self._queue.take(self._most, lambda task: self._homes.get(task.part))
        return Bundle(tasks, 1, self._homes.get(tasks[0].part)) if tasks else None

    def _most(self, phase, ready):
        """How many tasks of a phase go into one bundle: not so many that a slot stays without."""
        mean = self._means.get(phase)
        if mean is None:
            return 1
        share = ready // (2 * self._cluster.slots(self._options.threads))
        return int(min(_BUNDLE_SECONDS / max(mean, 0.001), share, _MOST_IN_A_BUNDLE))

    # MARK: Collecting

    def _collect(self):
        if not self._in_flight:
            time.sleep(0.05)
            return
        references = list(self._in_flight)
        ready, _ = ray.wait(references, num_returns=1, timeout=0.1)
        if ready:
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for reference in ready:
            bundle = self._in_flight.pop(reference)
            try:
                node, outcomes = ray.get(reference)
            except ray.exceptions.RayError as error:
                is_ours = isinstance(error, ray.exceptions.RayTaskError)
                self._try_again(bundle, _reason(error), FAULT if is_ours else exit_status(-signal.SIGKILL))
                continue
            for outcome in outcomes:
                self._note(Outcome(*outcome), bundle, node)

    def _note(self, outcome, bundle, node):
        task = self._tasks[outcome.task]
        if self._trace:
            self._trace.write(json.dumps({**outcome._asdict(), "node": node, "number": bundle.number}) + "\n")
        if outcome.status == DONE:
            mean = self._means.get(task.phase, outcome.seconds)
            self._means[task.phase] = 0.8 * mean + 0.2 * outcome.seconds
            if task.part is not None:
                self._homes[task.part] = node
            self._queue.finish(task)
            self._progress.finish(task)
            self._summary = outcome.message
            return
        said = outcome.message or f"sluice: the task {outcome.task} {described(outcome.status)}"
        if not is_worth_a_try(outcome.status):
            raise Failure(f"{said}\nsluice: the task {outcome.task} {described(outcome.status)}", outcome.status)
        names = [task.name for task in bundle.tasks]
        left = bundle._replace(tasks=bundle.tasks[names.index(outcome.task):])
        self._try_again(left, said, exit_status(outcome.status))

    def _try_again(self, bundle, reason, status):
        names = bundle.tasks[0].name if len(bundle.tasks) == 1 else f"{bundle.tasks[0].name} to {bundle.tasks[-1].name}"
        if bundle.number >= _TRIES:
            raise Failure(f"{reason}\nsluice: {names} failed {_TRIES} times; the same command tries again", status)
        self._progress.note(f"sluice: {names}: {reason.removeprefix('sluice: ')}; trying again ({bundle.number + 1} of {_TRIES})")
        # The first time at once: a worker that was killed says nothing about the task.
        wait = 0 if bundle.number == 1 else 2 ** (bundle.number - 1)
        heapq.heappush(
            self._again, (time.monotonic() + wait, next(self._order), bundle._replace(number=bundle.number + 1, node=None)))

    # MARK: The end

    def _cancel(self):
        """Ends all tasks in flight: in order if they can within seconds."""
        left = list(self._in_flight)
        for force in (False, True):
            for reference in left:
                ray.cancel(reference, force=force)
            end = time.monotonic() + _PATIENCE
            while left and time.monotonic() < end:
                _, left = ray.wait(left, num_returns=len(left), timeout=0.2)
            if not left:
                return


class Cluster:
    """The nodes, asked for now and then."""

    _EVERY = 2.0

    def __init__(self):
        self._asked = None
        self._nodes = {}
        self._idle_since = None

    @property
    def nodes(self):
        """The resources of the nodes that are alive, by their names."""
        if self._asked is None or time.monotonic() - self._asked > self._EVERY:
            self._asked = time.monotonic()
            self._nodes = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        return self._nodes

    def slots(self, threads):
        """The number of tasks that the CPUs can do at once."""
        return max(1, sum(int(found.get("CPU", 0)) // threads for found in self.nodes.values()))

    def warn_if_idle(self, in_flight, progress):
        """Says what is waited for, if no node is large enough for any task in flight."""
        needs = {(bundle.tasks[0].threads, max(task.memory for task in bundle.tasks)) for bundle in in_flight.values()}
        fits = not needs or any(
            found.get("CPU", 0) >= cpus and found.get("memory", 0) >= memory
            for found in self.nodes.values() for cpus, memory in needs)
        if fits:
            self._idle_since = None
            return
        if self._idle_since is None:
            self._idle_since = time.monotonic()
        if 0 <= self._idle_since <= time.monotonic() - 5:
            self._idle_since = float("inf")
            cpus, memory = min(needs)
            progress.note(
                f"sluice: no node has {cpus} CPU{'s' if cpus > 1 else ''} and {memory / 2**20:.0f} MiB, which a task takes; "
                "waiting for one (--threads and --memory make tasks smaller)")


def _reason(error):
    """Why a Ray task was lost, in a few words."""
    exceptions = ray.exceptions
    for kind, words in (
            (exceptions.OutOfMemoryError, "killed by Ray, since its node was short of memory"),
            (exceptions.WorkerCrashedError, "its worker was killed"),
            (exceptions.NodeDiedError, "its node was lost")):
        if isinstance(error, kind):
            return words
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[-1] if str(cause).strip() else ''}"
