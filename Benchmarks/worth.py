"""Benchmark: what selection is worth. Selections of each rule at equal numbers of records, judged by learners that the rule never saw.

usage: worth.py --sluice BINARY --data FOLDER --models FOLDER --folder WORK [--pools P3,abilities] [--seeds 5] [--parts main,more,rest,faults]
                [--without onnx] [--minutes 240] [--published FILE] [--results FOLDER]

Pools, what is held out and planted faults: worth_pools.py. The choices, as definitions that the program runs: worth_choices.py. The learners:
worth_judges.py. Tables: worth_report.py. Each seed sees 80 % of a pool, drawn by content, and is the definition's seed; all choices of a seed see the same
records, so differences to uniform random (the mean of four draws) are paired. Every row is written to WORK as soon as it is known; a second run of the same
program goes on from there (delete the folder after changes to worth_*.py). After `--minutes` it stops and reports what there is. `--published` goes on
from the JSON of an earlier report: some of its rows are computed again, and if one differs in any figure, nothing of it is used.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np

import worth_choices as choices
import worth_judges as judges
import worth_pools as pools
import worth_report

SHARES = (0.005, 0.01, 0.05, 0.2)
FAULTY_SHARES = (0.01, 0.05)
DRAWS_OF_RANDOM = 4
# Near duplicates, as `redundancy` takes them of each model by default.
NEAR = {"lsa": 0.01, "lexical": 0.05, "static": 0.05, "onnx": 0.05}
TOKENS = 64
# What `--published` computes again.
SAMPLE = ("facility location per cluster", "LIFT's variety", "pairwise, then random", "k-center over all, trim 1%")


def models(folder):
    """How to make each model's vectors; those whose files are there."""
    found = {"lsa": "{model: lsa}", "lexical": "{model: lexical}"}
    if (folder / "wordllama-256/model.safetensors").exists():
        found["static"] = f"{{model: static, path: {folder}/wordllama-256}}"
    if (folder / "minilm/model.onnx").exists():
        found["onnx"] = f"{{model: onnx, path: {folder}/minilm, library: {folder}/onnxruntime/libonnxruntime.so.1, max_tokens: {TOKENS}}}"
    return found


class Bench:
    def __init__(self, given):
        self.sluice = given.sluice.resolve()
        # Another program may choose and embed otherwise.
        self.folder = given.folder.resolve() / hashlib.sha256(self.sluice.read_bytes()).hexdigest()[:8]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.models = {name: embed for name, embed in models(given.models.resolve()).items() if name not in given.without.split(",")}
        self.rows = self.folder / "rows.jsonl"
        self.done = set()
        self.end = time.time() + 60 * given.minutes
        if self.rows.exists():
            self.done = {self.key(json.loads(line)) for line in self.rows.read_text().splitlines()}

    def take(self, path, loaded):
        """Rows of an earlier report, if this program and these pools give the same figures for a sample of them."""
        rows = list(worth_report.unpacked(json.loads(path.read_text())["rows"]))
        sample = [row for row in rows if row["seed"] == 1 and row["vectors"] == "lsa" and not row["fault"] and row["share"] == 0.05
                  and row["choice"] in SAMPLE and row["pool"] in loaded]
        for name, pool in loaded.items():
            seen = pools.of_seed(pool.records, 1)
            known = self.known(name, pool)
            known |= {"seen": seen, "vectors": self.selecting(name, "lsa", pool.records)[[known["place"][record["id"]] for record in seen]]}
            wanted = [choice for choice in [*choices.MAIN, *choices.MORE] if choice.name in SAMPLE]
            self.choose(known, name, "", 1, "lsa", wanted, (0.05,))
        again = {self.key(row): row for row in map(json.loads, self.rows.read_text().splitlines())}
        for row in sample:
            if any(again[self.key(row)][figure] != value for figure, value in row.items()):
                sys.exit(f"worth: {path} has {row}; this program and these pools give {again[self.key(row)]}")
        print(f"{len(sample)} rows of {path.name} computed again: the same figures. Its {len(rows):,} rows are used.", flush=True)
        for row in rows:
            if self.key(row) not in self.done:
                self.append(row)

    @staticmethod
    def key(row):
        return row["pool"], row["fault"], row["seed"], row["vectors"], row["choice"], row["share"], row["draw"]

    def vectors(self, pool, model, records, template, name):
        """Made once and kept: the encoder takes minutes."""
        path = self.folder / f"{pool}-{model}-{name}.npy"
        if not path.exists():
            print(f"  vectors of {pool} by {model}, {name}", flush=True)
            np.save(path, choices.vectors(self.sluice, self.folder / "making", records, self.models[model], template))
        return np.load(path)

    def selecting(self, pool, model, records, fault=""):
        """The vectors that a rule sees: of prompt and answer; the encoder's of the first tokens of the prompt, as its judge's."""
        if model == "onnx":
            return self.vectors(pool, model, records, "{prompt}", "prompt")
        return self.vectors(pool, model, records, "{prompt}\n\n{completion}", f"{fault}both")

    def late(self):
        return time.time() > self.end

    def judged(self, known, ids, place):
        rows = np.array([place[number] for number in ids])
        figures = {f"{name} {figure}": round(value, 4) for name, encoder in known["encoders"].items() for figure, value in encoder.judge(rows).items()}
        spoken = known["language"].judge(list(rows))
        return {**figures, "perplexity": round(spoken["perplexity"], 2), "words": spoken["words"], "kept": len(rows),
                "labels": len(set(known["labels"][rows].tolist()))}

    def append(self, row):
        self.done.add(self.key(row))
        with open(self.rows, "a") as out:
            out.write(json.dumps(row) + "\n")

    def choose(self, known, pool, fault, seed, model, wanted, shares, more=lambda rows: {}):
        """Runs some choices on the records and vectors of `known`, and judges each budget."""
        n = len(known["seen"])
        work = self.folder / "choosing"
        work.mkdir(exist_ok=True)
        choices.write(work / "in.jsonl", known["seen"])
        if model:
            np.save(work / "vectors.npy", known["vectors"])
        for choice in wanted:
            for draw in range(DRAWS_OF_RANDOM if choice.name == choices.UNIFORM else 1):
                head = {"pool": pool, "fault": fault, "seed": seed, "vectors": model, "choice": choice.name, "draw": draw}
                left = [share for share in shares if self.key({**head, "share": share}) not in self.done]
                if not left:
                    continue
                if self.late():
                    return
                start = time.time()
                try:
                    found = choices.picks(choice, self.sluice, work, seed + 1000 * draw, [round(share * n) for share in left], n, NEAR.get(model))
                except RuntimeError as error:
                    print(f"  {head}: {error}", flush=True)
                    continue
                wall = round(time.time() - start, 2)
                for share in left:
                    ids = found[round(share * n)]
                    self.append({**head, "share": share, "wall": wall, **self.judged(known, ids, known["place"]), **more(ids)})

    def known(self, name, pool):
        """The learners of a pool, which see all of it by row."""
        place = {record["id"]: row for row, record in enumerate(pool.records)}
        number = {label: index for index, label in enumerate(pool.labels)}
        labels, held = (np.array([number[record["label"]] for record in part]) for part in (pool.records, pool.held_out))
        encoders = {}
        for model in ("static", "onnx"):
            if model in self.models:
                encoders[model] = judges.Encoder(self.vectors(name, model, pool.records, "{prompt}", "prompt"),
                                                 self.vectors(name, model, pool.held_out, "{prompt}", "held"), labels, held, len(pool.labels))
        return {"place": place, "labels": labels, "encoders": encoders, "language": judges.Language(pool.records, pool.held_out, held)}

    def clean(self, name, pool, known, seeds, part):
        """Part `main`: the main choices by every model, the draws and the full pool; `more`: all other choices by `lsa`; `rest`: those by the
        other models."""
        for seed in seeds:
            seen = pools.of_seed(pool.records, seed)
            rows = [known["place"][record["id"]] for record in seen]
            for model in self.models if part == "main" else ["lsa"] if part == "more" else [name for name in self.models if name != "lsa"]:
                own = {**known, "seen": seen, "vectors": self.selecting(name, model, pool.records)[rows]}
                if part == "main" and model == "lsa":
                    self.full(own, name, seed, rows)
                    self.choose(own, name, "", seed, "", choices.DRAWS, SHARES)
                self.choose(own, name, "", seed, model, choices.MAIN if part == "main" else choices.MORE, SHARES)
                if self.late():
                    return
            print(f"{name}, {part}, seed {seed}: {len(self.done)} rows", flush=True)

    def full(self, known, name, seed, rows):
        head = {"pool": name, "fault": "", "seed": seed, "vectors": "", "choice": "the full pool", "draw": 0, "share": 1.0}
        if self.key(head) not in self.done:
            self.append({**head, "wall": 0, **self.judged(known, [known["seen"][row]["id"] for row in range(len(rows))], known["place"])})

    def faulty(self, name, pool, seeds):
        """The choices on pools with planted faults, by `lsa` and judged by `static` and the language model."""
        number = {label: index for index, label in enumerate(pool.labels)}
        held = np.array([number[record["label"]] for record in pool.held_out])
        for seed in seeds:
            for fault, plant in pools.FAULTS.items():
                seen = plant(pools.of_seed(pool.records, seed), seed)
                if all(self.key({"pool": name, "fault": fault, "seed": seed, "vectors": "" if not choice.vectors else "lsa", "choice": choice.name,
                                 "share": share, "draw": 0}) in self.done for choice in choices.FAULTY for share in FAULTY_SHARES):
                    continue
                if self.late():
                    return
                labels = np.array([number[record["label"]] for record in seen])
                encoders = {"static": judges.Encoder(
                    choices.vectors(self.sluice, self.folder / "making", seen, self.models["static"], "{prompt}"),
                    self.vectors(name, "static", pool.held_out, "{prompt}", "held"), labels, held, len(pool.labels))}
                own = {"place": {record["id"]: row for row, record in enumerate(seen)}, "labels": labels, "encoders": encoders, "seen": seen,
                       "language": judges.Language(seen, pool.held_out, held),
                       "vectors": choices.vectors(self.sluice, self.folder / "making", seen, self.models["lsa"], "{prompt}\n\n{completion}")}
                for model, some in (("", [c for c in choices.FAULTY if not c.vectors]), ("lsa", [c for c in choices.FAULTY if c.vectors])):
                    self.choose(own, name, fault, seed, model, some, FAULTY_SHARES, lambda ids: self.kept_faults(seen, ids))
            print(f"{name}, faults, seed {seed}: {len(self.done)} rows", flush=True)

    @staticmethod
    def kept_faults(seen, ids):
        """Shares of the kept that are garbage, and that are another copy of a kept one."""
        origins = [seen[number]["origin"] for number in ids]
        return {"garbage": round(sum(seen[number]["fault"] == "garbage" for number in ids) / len(ids), 4),
                "copies": round(1 - len(set(origins)) / len(ids), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sluice", "data", "models", "folder"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--pools", default=",".join(pools.SOURCES))
    parser.add_argument("--parts", default="main,more,rest,faults")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--without", default="", help="models to leave out")
    parser.add_argument("--minutes", type=float, default=240)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    bench = Bench(given)
    for model in ("static", "onnx"):
        if model not in bench.models:
            print(f"skipped: {model}: no folder of its model in {given.models} (make models)", flush=True)
    names, parts = given.pools.split(","), given.parts.split(",")
    if not {"static", "onnx"} & set(bench.models):
        print("skipped: no encoder to judge by")
        return
    loaded = {name: pools.load(name, given.data, given.folder) for name in names}
    if given.published:
        bench.take(given.published, loaded)
    for part in parts:
        for name, pool in loaded.items():
            if part == "faults":
                if "static" in bench.models:
                    bench.faulty(name, pool, range(1, given.seeds + 1))
            else:
                bench.clean(name, pool, bench.known(name, pool), range(1, given.seeds + 1), part)
    worth_report.report(bench, loaded, given)


if __name__ == "__main__":
    sys.exit(main())
