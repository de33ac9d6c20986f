"""Input, definitions and expected results for the tests of the engines; and processes that stand still until they are killed."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

SLUICE = os.environ["SLUICE_BINARY"]

# Shells start jobs in the background with this signal ignored, and the processes of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

_HEAD = """\
sluice: 1
seed: 42
memory: 256MiB
input: {files: ["in-*"], max_record: 1MiB%s}
output: {directory: out%s}
stages:
"""
_VECTORS = ["format: {template: auto}", "embed: {dimensions: 32}"]

# Together they have every kind of task.
DEFINITIONS = {
    "clusters": (", dedupe: {on: line}", ", annotate: [cluster, rank]", _VECTORS + [
        "cluster: {clusters: 4, reservoir: 100}", "coreset: {keep: 40%, per: cluster}"]),
    "labels": (", dedupe: {on: [prompt, completion], verify: bytes}", "", _VECTORS + [
        "redundancy: {method: pairwise, distance: 0.3, per: source}", "cluster: {clusters: 4, reservoir: 100}",
        "coreset: {keep: 40%, per: cluster, method: medoids}"]),
    "copy": (", dedupe: {on: line}", ", compression: none", []),
}


class Scene:
    """A folder with inputs, definitions and the results of one process."""

    def __init__(self, folder, records=1200, files=6):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        lines = _records(records)
        for number in range(files):
            share = lines[number * records // files:(number + 1) * records // files]
            # Duplicates across parts, a malformed line, and a record that is longer than a block.
            share = lines[:20] + share + ['{"prompt": "cut sho']
            if number == 2:
                share.append(json.dumps({"prompt": "long", "completion": "long words " * 30_000, "source": "s1"}))
            (self.folder / f"in-{number}.jsonl").write_text("\n".join(share) + "\n")
        for name, (given, output, stages) in DEFINITIONS.items():
            text = _HEAD % (given, output) + "".join(f"  - {stage}\n" for stage in stages)
            (self.folder / f"{name}.yaml").write_text(text if stages else text.replace("stages:\n", ""))
        self._whole = {}

    options = ["--part-bytes", "100000", "--segment-bytes", "20000", "--block-bytes", "4096"]

    def whole(self, name):
        """The result of one process."""
        if name not in self._whole:
            output = self.folder / f"whole-{name}"
            subprocess.run(
                [SLUICE, "run", self.folder / f"{name}.yaml", "--output", output, "--progress", "none", *self.options],
                check=True, stderr=subprocess.PIPE)
            self._whole[name] = snapshot(output)
        return self._whole[name]

    def expect(self, name, output):
        """Asserts that a run directory has the result of one process, and nothing else."""
        output = self.folder / output
        now, whole = snapshot(output), self.whole(name)
        differing = [file for file in sorted(now.keys() | whole.keys()) if now.get(file) != whole.get(file)]
        assert not differing, f"{output}: {', '.join(differing)} differ from the result of one process"
        subprocess.run([SLUICE, "verify", output], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert len(now["kept.jsonl" if name == "copy" else "kept.jsonl.zst"]) > 1000


def _records(count):
    """Records of random words, with labels, some of them almost alike."""
    draw = random.Random(11)
    words = ["".join(draw.choices("abcdefghijklmnoprstu", k=draw.randint(2, 8))) for _ in range(300)]
    lines = []
    for number in range(count):
        prompt = " ".join(draw.choices(words, k=draw.randint(4, 30)))
        completion = " ".join(draw.choices(words, k=draw.randint(1, 60)))
        if number % 9 == 8:
            lines.append(lines[-4])
            continue
        lines.append(json.dumps({"prompt": prompt, "completion": completion, "source": f"s{number % 3}"}))
    return lines


def snapshot(folder):
    """The content of all files of a run directory: `run.json` without `timing`."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_dir():
            continue
        name = str(path.relative_to(folder))
        if name == "run.json":
            report = json.loads(path.read_text())
            del report["timing"]
            found[name] = json.dumps(report)
        else:
            found[name] = path.read_bytes()
    return found


class Held:
    """A program that does what `sluice` does, but some of its tasks stand still at their first try, until they are killed."""

    _TEXT = """\
#!/bin/bash
# $1 is the command, $3 the task.
mark={folder}/$3
if [[ $1 == task ]] && mkdir "$mark" 2> /dev/null; then
    for held in {before}; do
        if [[ $3 == "$held" ]]; then
            echo $$ > "$mark/new" && mv "$mark/new" "$mark/pid"
            kill -STOP $$
        fi
    done
    for held in {amid}; do
        if [[ $3 == "$held" ]]; then
            # The process has this number after `exec`, too.
            ( sleep 0.0$((RANDOM % 3))$((RANDOM % 10)); echo $$ > "$mark/new"; kill -STOP $$ && mv "$mark/new" "$mark/pid" ) < /dev/null > /dev/null 2>&1 &
        fi
    done
fi
for held in {fails}; do
    if [[ $1 == task && $3 == "$held" ]]; then
        echo >> "$mark.tries"
        if (($(wc -l < "$mark.tries") <= {times})); then echo "sluice: no memory just now" >&2; exit 4; fi
    fi
done
exec {sluice} "$@"
"""

    def __init__(self, folder, before=(), amid=(), fails=(), times=1):
        """`before`: tasks that are held before they begin; `amid`: at some instant, unless they end first; `fails`: end with status 4 the first `times`."""
        self.folder = Path(folder)
        self.folder.mkdir()
        self.path = self.folder / "sluice-held"
        text = self._TEXT.format(
            folder=self.folder, sluice=SLUICE, before=" ".join(before), amid=" ".join(amid), fails=" ".join(fails),
            times=times)
        self.path.write_text(text)
        self.path.chmod(0o755)
        self._seen = set()

    def new(self):
        """The tasks that stand still and have not been returned before, with their processes."""
        found = []
        for mark in sorted(self.folder.glob("*/pid")):
            pid = int(mark.read_text())
            if mark not in self._seen and _state(pid) == "T":
                self._seen.add(mark)
                found.append((mark.parent.name, pid))
        return found


# Processes

def _state(pid):
    """The state of a process as a letter; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(pid):
    return _state(pid) not in (None, "Z")


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def kill(pid, number=signal.SIGKILL):
    """Kills a process, and waits until it is gone."""
    os.kill(pid, number)
    wait_until(lambda: not is_alive(pid), f"process {pid} lives on")


def wait_until(condition, otherwise, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def until_end(process, seconds=90):
    """Comes back again and again while a process runs, and kills it if it does not end."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > end:
            process.kill()
            process.wait()
            raise AssertionError("it does not end")
        yield
        time.sleep(0.01)


def last(phases, prefix):
    """The last phase of a kind: how many rounds a definition has depends on its stages."""
    return [phase for phase in phases if phase.startswith(prefix)][-1]


def running_tasks():
    """The processes that do tasks of Sluice."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if len(words) > 2 and words[1] == b"task" and is_alive(int(path.parent.name)):
            found.append(int(path.parent.name))
    return found
