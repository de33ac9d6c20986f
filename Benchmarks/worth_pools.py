"""Pools for `worth.py`: real prompts with labels, a part held out by content, and versions with planted faults.

A record has `id` (its row), `prompt`, `completion` and `label`. Prompts are distinct: of those that are equal when case and spaces don't
count, the first stays. The order of the hashes (BLAKE2b of such a prompt) cuts a source: the lowest are held out, the next ones are the
pool. So what is held out depends on nothing but the prompts, and none of them is in the pool.

  P3         prompts of the T0 training mixture; label: the template (data/p3-*.jsonl.zst)
  abilities  math, code, role-play, exams; label: the ability (data/abilities.jsonl.zst)
  BIG-bench  JSON tasks of the package bigbench 1.0.0 (PyPI, Apache-2.0); label: the task. Each task with 150 or more distinct examples of
             text, of at most 4,000 bytes each, gives up to 200, drawn by another hash. Its authors ask that this data train no
             language model that is published; here it only trains counts of words, which are thrown away.
"""

import hashlib
import json
import random
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field

POOL, HELD_OUT = 12_500, 2_500
TASK_LEAST, TASK_MOST, EXAMPLE_BYTES = 150, 200, 4_000
BIGBENCH = "bigbench==1.0.0"


@dataclass
class Pool:
    name: str
    records: list
    held_out: list
    labels: list = field(default_factory=list)


def key(text, salt=""):
    """A number from a text, case and spaces aside."""
    return int.from_bytes(hashlib.blake2b(" ".join(text.casefold().split()).encode(), digest_size=8, salt=salt.encode()).digest(), "big")


def lines(path):
    data = subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout
    return [json.loads(line) for line in data.split(b"\n") if line]


def p3(data):
    for path in sorted(data.glob("p3-*.jsonl.zst")):
        yield from ((r["prompt"], r["completion"], r["template"]) for r in lines(path))


def abilities(data):
    for r in lines(data / "abilities.jsonl.zst"):
        yield "\n\n".join(part for part in (r["instruction"], r["input"]) if part.strip()), r["output"], r["ability"]


def bigbench(folder):
    """Examples of the package's archive, which pip downloads (358 MB) if it is not in `folder`; some tasks' folders have tasks of their own."""
    archive = folder / "bigbench-1.0.0.tar.gz"
    if not archive.exists():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder),
                        BIGBENCH], check=True)
    tasks = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            if not member.name.endswith("/task.json"):
                continue
            task = member.name.split("benchmark_tasks/")[1].split("/")[0]
            for example in json.load(packed.extractfile(member)).get("examples") or []:
                answer = example.get("target", "")
                if not answer and example.get("target_scores"):
                    answer = max(example["target_scores"], key=example["target_scores"].get)
                answer = str(answer[0] if isinstance(answer, list) and answer else answer)
                prompt = str(example.get("input", ""))
                if len((prompt + answer).encode(errors="replace")) <= EXAMPLE_BYTES:
                    tasks.setdefault(task, {}).setdefault(prompt, answer)
    for task, examples in sorted(tasks.items()):
        if len(examples) >= TASK_LEAST:
            for prompt in sorted(examples, key=lambda text: key(text, "of a task"))[:TASK_MOST]:
                yield prompt, examples[prompt], task


SOURCES = {"P3": lambda data, folder: p3(data), "abilities": lambda data, folder: abilities(data), "BIG-bench": lambda data, folder: bigbench(folder)}


def load(name, data, folder):
    """The pool of a source. What was read is kept in `folder`, so that a large archive is read once."""
    kept = folder / f"{name}.json"
    if not kept.exists():
        distinct = {}
        for prompt, answer, label in SOURCES[name](data, folder):
            prompt, answer = (text.encode(errors="replace").decode() for text in (prompt, answer))
            if prompt.strip() and answer.strip():
                distinct.setdefault(key(prompt), (prompt, answer, label))
        ordered = [distinct[number] for number in sorted(distinct)][:POOL + HELD_OUT]
        kept.write_text(json.dumps(ordered))
    rows = [{"id": row, "prompt": prompt, "completion": answer, "label": label}
            for row, (prompt, answer, label) in enumerate(json.loads(kept.read_text()))]
    held_out, records = rows[:HELD_OUT], rows[HELD_OUT:]
    known = {record["label"] for record in records}
    held_out = [record for record in held_out if record["label"] in known]
    return Pool(name, records, held_out, sorted(known))


def of_seed(records, seed, share=0.8):
    """The part of a pool that one seed sees: records whose salted hash is among the lowest. Rules without a draw vary by it, too."""
    ordered = sorted(records, key=lambda record: key(record["prompt"], f"seed {seed}"))
    return sorted(ordered[:round(share * len(ordered))], key=lambda record: record["id"])


def near(text, draw):
    """A text with one word in twelve left out, doubled or exchanged with the next, at least one."""
    words = text.split(" ")
    for _ in range(max(1, len(words) // 12)):
        place = draw.randrange(len(words))
        kind = draw.randrange(3)
        if kind == 0 and len(words) > 3:
            del words[place]
        elif kind == 1:
            words.insert(place, words[place])
        elif place + 1 < len(words):
            words[place], words[place + 1] = words[place + 1], words[place]
        else:
            words.insert(0, words[place])
    return " ".join(words)


def garbage(records, draw):
    """One of four kinds: words of many records in any order, one token over and over, random letters, base64 of noise."""
    kind = draw.randrange(4)
    if kind == 0:
        words = [word for _ in range(12) for word in draw.choice(records)["prompt"].split()[:20]]
        draw.shuffle(words)
        return " ".join(words[:draw.randrange(20, 120)])
    if kind == 1:
        return " ".join([draw.choice(["null", "click here", "....", "N/A", "�", "lorem"])] * draw.randrange(10, 200))
    if kind == 2:
        return " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 12))) for _ in range(draw.randrange(20, 100)))
    return "".join(draw.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=draw.randrange(80, 600)))


def with_duplicates(records, seed):
    """30 % of the records are duplicates: half of these exact, half near. They crowd: few records have many copies (1, 2, 4, 8 or 16)."""
    draw = random.Random(seed)
    originals = [dict(record, fault="") for record in draw.sample(records, round(0.7 * len(records)))]
    copies, wanted = [], len(records) - len(originals)
    for original in draw.sample(originals, len(originals)):
        exact = draw.random() < 0.5
        for _ in range(min(draw.choice([1, 2, 4, 8, 16]), wanted - len(copies))):
            text = original["prompt"] if exact else near(original["prompt"], draw)
            copies.append(dict(original, prompt=text, fault="exact" if exact else "near"))
        if len(copies) == wanted:
            break
    return mixed(originals + copies, draw)


def with_garbage(records, seed):
    """5 % of the records are garbage, with the label and the answer of the record whose place they take."""
    draw = random.Random(seed)
    bad = set(draw.sample(range(len(records)), round(0.05 * len(records))))
    return mixed([dict(record, prompt=garbage(records, draw), fault="garbage") if place in bad else dict(record, fault="")
                  for place, record in enumerate(records)], draw)


def skewed(records, seed):
    """Labels of sizes from 100 to 1: in an order that is drawn, each label keeps a share of its records that falls by equal factors."""
    draw = random.Random(seed)
    groups = {}
    for record in records:
        groups.setdefault(record["label"], []).append(record)
    names = draw.sample(sorted(groups), len(groups))
    kept = []
    for place, name in enumerate(names):
        wanted = 100 ** (-place / max(1, len(names) - 1))
        kept += draw.sample(groups[name], max(1, round(wanted * len(groups[name]))))
    return mixed([dict(record, fault="") for record in kept], draw)


def mixed(records, draw):
    records = draw.sample(records, len(records))
    return [dict(record, id=row, origin=record["id"]) for row, record in enumerate(records)]


FAULTS = {"duplicates": with_duplicates, "garbage": with_garbage, "skew": skewed}
