"""Inputs from an object store: the real program against moto's server, compared with the same files read from the disk."""

import gzip
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from store import KEY, REGION, SECRET, Store, some

PROGRAM = os.environ["SLUICE_BINARY"]
OUTPUTS = ["kept.jsonl.zst", "ledger.jsonl.zst", "quarantine.jsonl.zst"]


def rows(seed, count):
    """Lines of records: some equal, some malformed, some long."""
    draws = random.Random(seed)
    for number in range(count):
        if number % 501 == 7:
            yield "no record"
            continue
        words = " ".join(draws.choice(WORDS) for _ in range(draws.randrange(4, 60)))
        if number % 1997 == 3:
            words *= 800
        yield json.dumps({"prompt": f"question {draws.randrange(count)}", "completion": words})


WORDS = [f"word{n}" for n in range(3000)]


def text(seed, count):
    return ("\n".join(rows(seed, count)) + "\n").encode()


class S3Tests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-s3-"))
        os.chdir(cls.folder)
        cls.makeCorpus()

    @classmethod
    def tearDownClass(cls):
        cls.store.stop()
        os.chdir("/")
        shutil.rmtree(cls.folder)

    @classmethod
    def makeCorpus(cls):
        """Each form of file, on the disk as corpus/… and in the store as s3://corpus/…."""
        cls.write("copy.yaml", "input: {files: [plain]}\noutput: {directory: copied}")
        pathlib.Path("plain").write_bytes(text(1, 15_000))
        outcome = cls.sluice("run", "copy.yaml")
        assert outcome.returncode == 0, outcome.stderr
        seekable = pathlib.Path("copied/kept.jsonl.zst").read_bytes()
        # Without the seek table, which is the last frame.
        frames = seekable[: seekable.rindex(b"\x5e\x2a\x4d\x18")]
        files = {
            "a.jsonl": text(2, 12_000),
            "b/frames.jsonl.zst": frames,
            "b/seekable.jsonl.zst": seekable,
            "c d+e=%41&é(1)'/x.jsonl.gz": gzip.compress(text(3, 3000)),
            "empty.jsonl": b"",
        }
        cls.store.bucket("corpus", files)
        for name, content in files.items():
            path = pathlib.Path("corpus", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        cls.files = files
        for name, scheme in ("local", ""), ("remote", "s3://"):
            cls.write(
                f"{name}.yaml",
                f"""
                input:
                  files: ['{scheme}corpus/*.jsonl', '{scheme}corpus/b/*', '{scheme}corpus/*/x.jsonl.gz']
                  dedupe: {{on: [prompt]}}
                stages:
                  - format: {{template: "{{prompt}} {{completion}}"}}
                  - embed: {{model: lexical, dimensions: 64}}
                  - cluster: {{clusters: 8}}
                  - coreset: {{keep: 20%, per: cluster}}
                output: {{directory: {name}}}
                memory: 320MiB""",
            )
        outcome = cls.sluice("run", "local.yaml", "--part-bytes", "700000")
        assert outcome.returncode == 0, outcome.stderr

    @staticmethod
    def write(name, definition):
        lines = definition.strip("\n").split("\n")
        indent = len(lines[0]) - len(lines[0].lstrip())
        pathlib.Path(name).write_text("sluice: 1\n" + "\n".join(line[indent:] for line in lines) + "\n")

    @classmethod
    def environment(cls, **changes):
        return {
            "PATH": os.environ["PATH"], "HOME": str(cls.folder), "NO_PROXY": "127.0.0.1",
            "AWS_ENDPOINT_URL_S3": cls.store.endpoint, "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, **changes,
        }  # fmt: skip

    @classmethod
    def sluice(cls, *words, **changes):
        command = [PROGRAM, *words] + (["--progress", "none"] if words[0] in ("run", "task") else [])
        return subprocess.run(command, env=cls.environment(**changes), capture_output=True, text=True, timeout=100)

    def setUp(self):
        self.store.calm()

    def run_remote(self, output, *words, status=0, definition="remote.yaml", **changes):
        outcome = self.sluice(
            "run", definition, "--output", output, "--part-bytes", "700000", *words, **changes
        )
        self.assertEqual(outcome.returncode, status, outcome.stdout + outcome.stderr)
        self.assertNotIn(SECRET, outcome.stderr)
        return outcome

    def assert_same(self, output, local="local"):
        """The kept bytes are the same, and all else but for how files are called."""
        kept = pathlib.Path(output, OUTPUTS[0]).read_bytes()
        self.assertEqual(kept, pathlib.Path(local, OUTPUTS[0]).read_bytes())
        for name in OUTPUTS[1:]:
            remote, plain = self.content(output, name), self.content(local, name)
            self.assertEqual(remote.replace(b"s3://corpus/", b"corpus/"), plain.replace(b"s3://corpus/", b"corpus/"), name)
        # The kept bytes, the counts and the inputs' digests.
        reports = []
        for folder in output, local:
            report = json.loads(pathlib.Path(folder, "run.json").read_text())
            inputs = [{**input, "file": input["file"].removeprefix("s3://")} for input in report["inputs"]]
            reports.append([report["counts"], report["stages"], inputs, report["outputs"][0]])
        self.assertEqual(reports[0], reports[1])

    def content(self, folder, name):
        """A packed output, unpacked by a plain copy: of lines that are records."""
        out = f"{folder}-{name}-lines"
        self.write("unpack.yaml", f"input: {{files: ['{folder}/{name}']}}\noutput: {{directory: '{out}', compression: none}}")
        outcome = self.sluice("run", "unpack.yaml", "--force")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        return pathlib.Path(out, "kept.jsonl").read_bytes()

    # The same bytes

    def test_same_bytes(self):
        self.run_remote("same", "--threads", "4")
        self.assert_same("same")
        outcome = self.sluice("verify", "same")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertIn("inputs", outcome.stdout)

    def test_smallest_memory_is_kept(self):
        plan = self.sluice("plan", "remote.yaml", "--threads", "2")
        least = re.search(r"at least (\d+)\s*MiB", plan.stdout)[1]
        local = re.search(r"at least (\d+)\s*MiB", self.sluice("plan", "local.yaml", "--threads", "2").stdout)[1]
        # What is read ahead counts.
        self.assertGreater(int(least), int(local) + 12)
        self.run_remote("least", "--threads", "2", "--memory", f"{least}MiB")
        self.assert_same("least")
        timing = json.loads(pathlib.Path("least/run.json").read_text())["timing"]
        self.assertLessEqual(timing["memory_peak"], int(least) << 20)
        outcome = self.run_remote("less", "--threads", "2", "--memory", f"{int(least) - 1}MiB", status=4)
        self.assertIn(f"{least}MiB", outcome.stderr)

    def test_tasks(self):
        self.write(
            "tasks.yaml",
            """
            input: {files: ['s3://corpus/b/*'], dedupe: {on: [prompt]}}
            stages: [sample: {keep: 50%}]
            output: {directory: tasks}""",
        )
        self.run_remote("one", "--part-bytes", "300000", definition="tasks.yaml")
        outcome = self.run_remote("tasks", "--part-bytes", "300000", "--prepare", definition="tasks.yaml")
        tasks = [task["task"] for task in json.loads(outcome.stdout)]
        self.assertGreater(sum(task.startswith("read.") for task in tasks), 3)
        for task in tasks:
            outcome = self.sluice("task", "tasks", task)
            self.assertEqual(outcome.returncode, 0, f"{task}: {outcome.stderr}")
        self.assert_same("tasks", "one")

    def test_faults_that_pass(self):
        self.store.fault = some(0.2, ["500", "503", "429", "drop", "cut", "short"])
        self.run_remote("faults", "--threads", "1")
        self.assertGreater(len([r for r in self.store.requests if r[3] in (0, 500, 503, 429)]), 5)
        self.assert_same("faults")

    def test_kill_and_resume(self):
        reached = threading.Event()

        def slowly(number):
            time.sleep(0.02)
            if number == 22:
                reached.set()

        self.store.before = slowly
        command = [PROGRAM, "run", "remote.yaml", "--output", "killed", "--part-bytes", "700000", "--progress", "none"]
        command += ["--checkpoint-seconds", "0.05"]
        process = subprocess.Popen(command, env=self.environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.assertTrue(reached.wait(60))
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.store.calm()
        self.assertFalse(pathlib.Path("killed/run.json").exists())
        self.run_remote("killed", "--resume")
        self.assert_same("killed")

    def test_a_store_that_fails_in_the_middle(self):
        self.changing()
        self.run_remote("undisturbed", definition="moving.yaml")
        for count in 5, 7:
            self.store.fault = lambda number, method: "closed" if number > count else None
            self.store.requests.clear()
            outcome = self.run_remote("failed", "--checkpoint-seconds", "0", definition="moving.yaml", status=3)
            self.assertIn("the store keeps failing", outcome.stderr)
            self.assertIn("--resume", outcome.stderr)
            self.store.calm()
            self.run_remote("failed", "--resume", definition="moving.yaml")
            self.assert_same("failed", "undisturbed")
            self.assertEqual(self.sluice("verify", "failed").returncode, 0)
            shutil.rmtree("failed")

    def test_a_signal_ends_a_wait(self):
        self.store.fault = lambda number, method: "503" if number > 8 else None
        command = [PROGRAM, "run", "remote.yaml", "--output", "stopped", "--progress", "none"]
        process = subprocess.Popen(command, env=self.environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        while len(self.store.requests) < 12:
            time.sleep(0.05)
        # Not SIGINT: a process that was started in the background of a script ignores it. Unless the wait ends, the store
        # keeps failing, and the status is another.
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=300)
        self.assertEqual(process.returncode, 143, words)

    # Objects that change

    def changing(self):
        """A bucket of its own with a large object, and a definition."""
        words = " ".join(WORDS[:30])
        lines = "".join(f'{{"prompt":"{n}","completion":"{words}"}}\n' for n in range(90_000)).encode()
        self.store.bucket("moving", {"x.jsonl": lines})
        self.write("moving.yaml", "input: {files: ['s3://moving/*'], dedupe: {on: [prompt]}}\noutput: {directory: moving}")
        return lines

    def test_an_object_that_changes_while_it_is_read(self):
        lines = self.changing()
        other = lines.replace(b"word1 ", b"word2 ")
        self.assertEqual(len(other), len(lines))

        def change(number):
            if number == 6:
                self.store.bucket("moving", {"x.jsonl": other})

        self.store.before = change
        outcome = self.run_remote("moving", status=3, definition="moving.yaml")
        self.assertIn("s3://moving/x.jsonl", outcome.stderr)
        self.assertIn("changed", outcome.stderr)
        self.assertFalse(pathlib.Path("moving/run.json").exists())
        self.run_remote("moving", definition="moving.yaml")
        self.assertEqual(self.sluice("verify", "moving").returncode, 0)
        # Gone since.
        self.store.backend.delete_object("moving", "x.jsonl")
        outcome = self.sluice("verify", "moving")
        self.assertEqual(outcome.returncode, 3)
        self.assertIn("s3://moving/x.jsonl", outcome.stderr)

    def test_an_object_that_changes_before_a_resume(self):
        lines = self.changing()
        stop = threading.Event()
        self.store.before = lambda number: (time.sleep(0.05), stop.set() if number > 5 else None)
        command = [PROGRAM, "run", "moving.yaml", "--output", "resumed", "--progress", "none", "--checkpoint-seconds", "0.01"]
        process = subprocess.Popen(command, env=self.environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.assertTrue(stop.wait(60))
        process.kill()
        process.wait()
        self.store.calm()
        self.store.bucket("moving", {"x.jsonl": lines.replace(b"word1 ", b"word2 ")})
        outcome = self.sluice("run", "moving.yaml", "--output", "resumed", "--resume")
        if outcome.returncode == 2:
            outcome = self.sluice("run", "moving.yaml", "--output", "resumed", "--force")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertNotIn(b'"word1 ', pathlib.Path("resumed/kept.jsonl.zst").read_bytes())
        self.assertEqual(self.sluice("verify", "resumed").returncode, 0)

    # Names

    def test_a_list_of_many_pages(self):
        names = {f"many/{n:05}.jsonl": b'{"a":%d}\n' % n for n in range(2300)}
        self.store.bucket("pages", {**names, "many/deeper/no.jsonl": b"", "many/": b"", "many/.hidden.jsonl": b""})
        self.write("pages.yaml", "input: {files: ['s3://pages/many/*.jsonl']}\noutput: {directory: pages}")
        outcome = self.sluice("plan", "pages.yaml")
        self.assertIn("2300 files", outcome.stdout.replace(",", ""))
        self.assertEqual(sum("list-type" in r[1] for r in self.store.requests), 3)
        # Found by their list, objects are not asked for one by one.
        self.assertLess(len(self.store.requests), 30)

    def test_names_that_look_equal_are_two(self):
        names = ["\u00e9.jsonl", "e\u0301.jsonl"]
        self.store.bucket("equal", {name: b'{"a":%d}\n' % n for n, name in enumerate(names)})
        self.write("equal.yaml", "input: {files: ['s3://equal/*']}\noutput: {directory: equal}")
        outcome = self.sluice("run", "equal.yaml")
        self.assertIn("read 2 = kept 2", outcome.stderr)

    def test_every_command_takes_an_address(self):
        address = "s3://corpus/c d+e=%41&é(1)'/x.jsonl.gz"
        self.run_remote("named", "--input", address)
        first = self.sluice("why", "named", f"{address}:8")
        self.assertIn("quarantined", first.stdout)
        self.write("look.yaml", "input: {files: ['s3://corpus/*.jsonl']}\noutput: {directory: look}")
        for words in (
            ["check", "look.yaml"], ["plan", "look.yaml", "--tasks"], ["show", "look.yaml", "--count", "1"],
            ["init", "dedupe", "s3://corpus/a.jsonl", "--to", "look/made.yaml"], ["run", "look.yaml"],
            ["report", "look"], ["check", "look/made.yaml"], ["run", "remote.yaml", "--limit", "10", "--output", "ten"],
        ):  # fmt: skip
            pathlib.Path("look").mkdir(exist_ok=True) if words[0] == "init" else None
            outcome = self.sluice(*words)
            self.assertEqual(outcome.returncode, 0, f"{words}: {outcome.stderr}")
            if words[0] == "init":
                self.assertIn("s3://corpus/a.jsonl", pathlib.Path("look/made.yaml").read_text())
                shutil.copy("look/made.yaml", "made.yaml")
                shutil.rmtree("look")
                words[1] = "made.yaml"
            if words[0] == "report":
                pathlib.Path("look").mkdir(exist_ok=True)
                shutil.copy("made.yaml", "look/made.yaml")

    # What is wrong

    def refused(self, file, *words, status=3, **changes):
        # A name with strange characters and a folder in it: nothing is added to it.
        pathlib.Path("conf").mkdir(exist_ok=True)
        self.write("conf/wrong.yaml", f"input: {{files: ['{file}']}}\noutput: {{directory: wrong}}")
        outcome = self.sluice("run", "conf/wrong.yaml", *words, **changes)
        self.assertEqual(outcome.returncode, status, outcome.stderr)
        self.assertFalse(pathlib.Path("conf/wrong").exists())
        self.assertNotIn(SECRET, outcome.stderr)
        return outcome.stderr

    def test_mistakes_name_the_object_and_what_to_do(self):
        self.assertIn("`s3://corpus/none.jsonl` does not exist", self.refused("s3://corpus/none.jsonl", status=2))
        self.assertIn("`s3://corpus/none*` matches no file", self.refused("s3://corpus/none*", status=2))
        self.assertIn("there is no such bucket", self.refused("s3://nowhere/a.jsonl"))
        self.assertIn("s3://nowhere/*.jsonl: there is no such bucket", self.refused("s3://nowhere/*.jsonl"))
        self.assertIn("it is a folder", self.refused("s3://corpus/b"))
        self.assertIn("names a bucket and no object", self.refused("s3://corpus/"))
        self.assertIn("AWS_REGION=eu-other-2", self.refused("s3://elsewhere/*.jsonl"))
        self.assertIn("gs", self.refused("gs://corpus/a.jsonl"))
        out = self.refused("s3://corpus/a.jsonl", "--output", "s3://corpus/out", status=2)
        self.assertIn("must be a folder of the file system", out)

    def test_credentials(self):
        wrong = "n0t/the+secret"
        words = self.refused("s3://corpus/*.jsonl", AWS_SECRET_ACCESS_KEY=wrong)
        self.assertIn("AWS_SECRET_ACCESS_KEY", words)
        self.assertNotIn(wrong, words)
        self.assertIn("AWS_ACCESS_KEY_ID", self.refused("s3://corpus/a.jsonl", AWS_ACCESS_KEY_ID="other"))
        self.assertIn("AWS_NO_SIGN_REQUEST", self.refused("s3://corpus/a.jsonl", AWS_ACCESS_KEY_ID=""))
        self.assertIn("denied", self.refused("s3://corpus/a.jsonl", AWS_NO_SIGN_REQUEST="1"))
        # A public bucket, and keys from a profile.
        self.store.bucket("public", {"a.jsonl": b'{"a":1}\n'})
        self.write("open.yaml", "input: {files: ['s3://public/*']}\noutput: {directory: open}")
        outcome = self.sluice("run", "open.yaml", AWS_NO_SIGN_REQUEST="1")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        pathlib.Path(".aws").mkdir(exist_ok=True)
        pathlib.Path(".aws/credentials").write_text(
            f"[mine]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        )
        mine = self.sluice("check", "open.yaml", AWS_PROFILE="mine", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
        self.assertEqual(mine.returncode, 0, mine.stderr)

    def test_a_store_that_is_not_there(self):
        words = self.refused("s3://corpus/a.jsonl", AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
        self.assertIn("no answer from http://127.0.0.1:9", words)
        self.assertIn("AWS_ENDPOINT_URL_S3", words)

    # Requests

    def test_few_requests(self):
        lines = b"".join(b'{"n":%d,"text":"%s"}\n' % (n, b"x" * 150) for n in range(180_000))
        self.store.bucket("large", {"x.jsonl": lines})
        self.write("large.yaml", "input: {files: ['s3://large/x.jsonl']}\noutput: {directory: large}")
        outcome = self.sluice("run", "large.yaml")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        # 1 MiB, then pieces of 4 MiB, each once.
        self.assertEqual(self.store.sent, len(lines))
        self.assertLessEqual(len(self.store.requests), 2 + len(lines) // (4 << 20) + 1)
        self.store.calm()
        self.run_remote("seeks", "--input", "s3://corpus/b/seekable.jsonl.zst")
        stored = len(self.files["b/seekable.jsonl.zst"])
        # Cut by its seek table, and read in two passes: neither walks through all frames before.
        self.assertLess(self.store.sent, 3.5 * stored)


if __name__ == "__main__":
    unittest.main()
