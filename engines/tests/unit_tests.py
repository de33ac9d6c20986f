"""Tests of what the engines share, without an engine: against plain definitions, on random lists."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import simulate  # noqa: E402
from sluice_slurm import arrays  # noqa: E402
from sluice_tasks.process import perform  # noqa: E402
from sluice_tasks.progress import Progress, duration  # noqa: E402
from sluice_tasks.status import is_worth_a_try  # noqa: E402
from sluice_tasks.tasks import Queue, TaskList, done_tasks  # noqa: E402


def random_list(draw):
    """Phases of tasks that each read some, all or one of the files of earlier phases; as `sluice` writes it, and by name."""
    listed, phases = [], []
    for number in range(draw.randint(1, 8)):
        phase, names = f"phase-{number}", []
        for index in range(draw.choice([1, 1, 2, 5, 9])):
            reads = ["input.jsonl"]
            for earlier in draw.sample(phases, min(len(phases), draw.randint(0, 2))):
                count = draw.choice([1, len(earlier), draw.randint(1, len(earlier))])
                whole = f"work/tasks/{earlier[0].partition('.')[0]}.*"
                reads += [whole] if count == len(earlier) else [f"work/tasks/{name}" for name in draw.sample(earlier, count)]
            names.append(f"{phase}.{index}")
            listed.append({
                "task": names[-1], "phase": phase, "reads": reads, "writes": [f"work/tasks/{names[-1]}"], "memory": 1 << 20,
                "threads": 1, "bytes": index, "leases": {}, "seconds": draw.choice([0.01, 1, 1, 20])})
        phases.append(names)
    return "[\n" + ",\n".join(map(json.dumps, listed)) + "\n]\n", {each["task"]: each for each in listed}


def needs(task, listed):
    found = {name.partition("work/tasks/")[2] for name in task["reads"] if name.startswith("work/tasks/")}
    whole = {name[:-2] for name in found if name.endswith(".*")}
    return {name for name in found if not name.endswith(".*")} | {name for name in listed if listed[name]["phase"] in whole}


class Tests(unittest.TestCase):
    def test_the_order_allows_what_the_list_allows(self):
        for seed in range(300):
            draw = random.Random(seed)
            text, listed = random_list(draw)
            tasks = TaskList(text)
            # As after a stop: any tasks may be done, even without those that they needed.
            done = set(draw.sample(sorted(listed), draw.randint(0, len(listed))))
            queue, started, running = Queue(tasks, done), set(), []
            while not queue.is_empty:
                free = {name for name in listed if name not in done | started and needs(listed[name], listed) <= done}
                self.assertEqual(queue.ready, len(free), f"seed {seed}")
                taken = queue.take(lambda phase, ready: draw.randint(0, 4), lambda task: int(task.name[-1]) % 2)
                self.assertTrue({task.name for task in taken} <= free)
                self.assertTrue(taken or running or not free)
                self.assertLessEqual(len({(task.phase, int(task.name[-1]) % 2) for task in taken}), 1)
                started |= {task.name for task in taken}
                running += taken
                if running and (not taken or draw.random() < 0.5):
                    task = running.pop(draw.randrange(len(running)))
                    queue.finish(task)
                    queue.finish(task)
                    done.add(task.name)
                    self.assertEqual(queue.left(task.phase), len(
                        [name for name in listed if listed[name]["phase"] == task.phase and name not in done]))
            self.assertEqual(done, set(listed))

    def test_phases_need_what_their_tasks_need(self):
        for seed in range(100):
            text, listed = random_list(random.Random(seed))
            tasks = TaskList(text)
            for phase, found in tasks.needed_phases().items():
                expected = {
                    listed[name]["phase"] for each in listed.values() if each["phase"] == phase for name in needs(each, listed)}
                self.assertEqual(set(found), expected)

    def test_arrays_have_each_task_once(self):
        for seed in range(100):
            draw = random.Random(seed)
            text, listed = random_list(draw)
            done = set(draw.sample(sorted(listed), draw.randint(0, len(listed))))
            width, most = draw.randint(1, 6), draw.randint(1, 4)
            found = arrays.plan(TaskList(text), done, width, most)
            names = [task.name for _, elements in found for each in elements for task in each]
            self.assertEqual(names, [name for name in listed if name not in done])
            self.assertTrue(all(0 < len(elements) <= most and all(elements) for _, elements in found))
            for phase in {phase for phase, _ in found}:
                self.assertLessEqual(sum(len(elements) for name, elements in found if name == phase), width)

    def test_a_list_of_many_parts_takes_little_memory(self):
        """Every bucket reads from every part, and every part from every bucket; named one by one, or at once."""
        self.check_many_parts(2000, 50, lambda phase, count: [f"work/tasks/{phase}.{number}" for number in range(count)])
        self.check_many_parts(20_000, 50, lambda phase, count: [f"work/tasks/{phase}.*"])

    def check_many_parts(self, parts, buckets, names):
        lines = [{"task": f"hash.{part}", "phase": "hash", "reads": []} for part in range(parts)]
        every = names("hash", parts)
        lines += [{"task": f"duplicates.{bucket}", "phase": "duplicates", "reads": every} for bucket in range(buckets)]
        every = names("duplicates", buckets)
        lines += [{"task": f"read.{part}", "phase": "read", "reads": every} for part in range(parts)]
        text = ",\n".join(json.dumps(
            {**line, "writes": [f"work/tasks/{line['task']}"], "memory": 1, "threads": 1, "bytes": 1}) for line in lines)
        tasks = TaskList(text)
        self.assertEqual({(task.needs_phases, task.needs_tasks) for task in tasks.tasks}, {
            ((), ()), (("hash",), ()), (("duplicates",), ())})
        self.assertEqual({task.part for task in tasks.tasks if task.phase == "duplicates"}, {None})
        self.assertEqual([task.part for task in tasks.tasks if task.phase == "read"], list(range(parts)))

    def test_statuses(self):
        again = [status for status in range(-31, 256) if is_worth_a_try(status)]
        self.assertEqual(again, [*range(-31, 0), 4, 129, 130, 143])

    def test_durations(self):
        for seconds, text in ((0, "0:00"), (12.4, "0:12"), (59.6, "1:00"), (754, "12:34"), (3600, "1:00:00"), (11045, "3:04:05")):
            self.assertEqual(duration(seconds), text)

    def test_done_tasks(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(done_tasks(folder), set())
            os.makedirs(f"{folder}/work/tasks")
            Path(f"{folder}/work/tasks/hash.0").touch()
            self.assertEqual(done_tasks(folder), {"hash.0"})

    def test_the_bar_fits_the_terminal(self):
        text, listed = random_list(random.Random(5))
        tasks = TaskList(text)
        progress = Progress(tasks, "none")
        progress.begin([])
        for task in tasks.tasks:
            progress.start(task.phase)
            progress.finish(task)
            for width in range(1, 120):
                self.assertLess(len(progress._bar(task.phase, width)), max(2, width))


class SimulationTests(unittest.TestCase):
    """The drivers on a simulated cluster: all tasks, in an order that the list allows, within the bounds of any schedule."""

    def options(self, **more):
        usual = dict(vars(simulate.parser().parse_args(["list"])), workers=3, noise=0.0)
        return types.SimpleNamespace(**{**usual, **more})

    def test_the_wall_time_is_within_its_bounds(self):
        for seed in range(30):
            text, listed = random_list(random.Random(seed))
            work = sum(task["seconds"] for task in listed.values())
            for engine in ("ray", "slurm"):
                for workers in (1, 3, 50):
                    found = simulate.simulate(text, self.options(engine=engine, workers=workers, seed=seed))
                    self.assertEqual(found["tries"], len(listed))
                    self.assertGreaterEqual(found["wall_s"], work / workers - 0.06)
                    # One after the other, with what the engine takes for each and the driver's looks around.
                    self.assertLess(found["wall_s"], work + len(listed) * 0.7 + 10)
                    self.assertLessEqual(found["busy"], 1.0001)

    def test_the_critical_path_is_kept(self):
        """Phases that need each other whole, with as many workers as there are tasks."""
        lines = []
        for number in range(4):
            for index in range(5):
                lines.append({
                    "task": f"p{number}.{index}", "phase": f"p{number}", "reads": [f"work/tasks/p{number - 1}.*"] if number else [],
                    "writes": [f"work/tasks/p{number}.{index}"], "memory": 1, "threads": 1, "bytes": 1, "seconds": 10 * (index + 1)})
        text = ",\n".join(map(json.dumps, lines))
        for engine in ("ray", "slurm"):
            found = simulate.simulate(text, self.options(engine=engine, workers=20))
            self.assertGreaterEqual(found["wall_s"], 200)
            self.assertLess(found["wall_s"], 210)

    def test_lost_nodes_and_stragglers_take_longer_and_lose_no_task(self):
        text = ",\n".join(json.dumps({
            "task": f"hash.{number}", "phase": "hash", "reads": [], "writes": [f"work/tasks/hash.{number}"], "memory": 1,
            "threads": 1, "bytes": 1, "seconds": 60}) for number in range(300))
        for engine in ("ray", "slurm"):
            calm = simulate.simulate(text, self.options(engine=engine, workers=10))
            late = simulate.simulate(text, self.options(engine=engine, workers=10, stragglers=0.05))
            lost = simulate.simulate(text, self.options(engine=engine, workers=10, node_hours=0.5, node_minutes=1))
            self.assertEqual(calm["tries"], 300)
            self.assertGreater(late["wall_s"], calm["wall_s"])
            self.assertGreater(lost["nodes_lost"], 3)
            self.assertGreater(lost["tries"], 300)
            self.assertGreater(lost["lost_s"], 0)
            again = simulate.simulate(text, self.options(engine=engine, workers=10, node_hours=0.5, node_minutes=1))
            self.assertEqual(again["wall_s"], lost["wall_s"])


class ProcessTests(unittest.TestCase):
    def perform(self, script, **more):
        with tempfile.TemporaryDirectory() as folder:
            return perform("task", ["bash", "-c", script, folder], **more)

    def test_outcomes(self):
        found = self.perform("echo words >&2; exit 3")
        self.assertEqual((found.status, found.message), (3, "words"))
        self.assertEqual(self.perform("kill -SEGV $$").status, -signal.SIGSEGV)
        self.assertGreater(self.perform("for ((i = 0; i < 200000; i++)); do :; done").cpu, 0.05)

    def test_a_stop_ends_the_process(self):
        for script, status in (("sleep 100", -signal.SIGTERM), ("trap '' TERM; while :; do sleep 0.1; done", -signal.SIGKILL)):
            begun = time.monotonic()
            found = self.perform(script, is_stopped=lambda: time.monotonic() > begun + 0.3)
            self.assertEqual(found.status, status)

    def test_it_dies_with_its_parent(self):
        with tempfile.TemporaryDirectory() as folder:
            script = f"echo $$ > {folder}/new; mv {folder}/new {folder}/pid; sleep 1000 & wait"
            code = f"from sluice_tasks.process import perform; perform('task', ['bash', '-c', {script!r}])"
            parent = subprocess.Popen(
                [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)})
            while not Path(f"{folder}/pid").exists():
                self.assertIsNone(parent.poll())
                time.sleep(0.01)
            pid = int(Path(f"{folder}/pid").read_text())
            parent.kill()
            parent.wait()
            end = time.monotonic() + 60
            while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                self.assertLess(time.monotonic(), end, "it lives on")
                time.sleep(0.01)


if __name__ == "__main__":
    unittest.main()
