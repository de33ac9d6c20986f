"""Benchmark: `embed: {model: onnx}` with MiniLM beside the same model in Python (onnxruntime and tokenizers).

Quality as in embedders.py, on the first of its records of each corpus, beside `lsa` and, if `--wordllama` names its folder, `static` on the same records. Some
texts by both programs, to see whether the vectors are the same.

Cost on one core, of texts of P3 and of short sentences: processor time of a run beyond the same run without `embed` and without texts (which
loads the model, too), and of Python, both in turns, each the best of some. Python in two ways: texts one by one, and sorted by length in batches of
32, padded. Loading the model is not counted on either side.
"""

import argparse
import datetime
import json
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import embedders
import measure

TOKENS = 256


class Python:
    """MiniLM on one thread: mean of the tokens, unit length."""

    def __init__(self, model):
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.version = onnxruntime.__version__
        self.session = onnxruntime.InferenceSession(str(model / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS)

    def run(self, ids):
        width = max(map(len, ids))
        mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in ids], dtype=np.int64)
        tokens = np.array([row + [0] * (width - len(row)) for row in ids], dtype=np.int64)
        states, = self.session.run(["last_hidden_state"], {
            "input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)})
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, texts, batch):
        ids = [found.ids for found in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda index: -len(ids[index])) if batch > 1 else range(len(ids))
        order = list(order)
        vectors = np.empty((len(ids), 384), dtype=np.float32)
        for start in range(0, len(order), batch):
            some = order[start:start + batch]
            vectors[some] = self.run([ids[index] for index in some])
        return vectors, float(np.mean([len(row) for row in ids]))


def child(given):
    """In a process of its own: one timed run in Python, so that its peak memory is its own."""
    texts = json.loads(given.child.read_text())
    model = Python(given.model)
    model.embed(texts[:8], 1)
    start = time.process_time()
    _, tokens = model.embed(texts, given.batch)
    print(json.dumps({"seconds": time.process_time() - start, "tokens": tokens,
                      "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


def timed(sluice, folder, name, options):
    (folder / "run.yaml").write_text(embedders.definition(name, options, "{text}"))
    command = ["/usr/bin/time", "-f", "%U %S %M", str(sluice), "run", "run.yaml", "--progress", "none", "--force", "--threads", "1"]
    found = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    user, system, peak = found.stderr.strip().split("\n")[-1].split()
    return float(user) + float(system), int(peak)


def vectors_of(sluice, texts, options, folder):
    """Of all texts, from one run: a stage that chooses, here all of them, keeps its vectors."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "run.yaml").write_text(embedders.definition("in.jsonl", options, "{text}").replace("output:", "  - coreset: {keep: 100%}\noutput:").replace("none}", "none, vectors: embedding}"))
    subprocess.run([str(sluice), "run", "run.yaml", "--progress", "none"], cwd=folder, check=True, capture_output=True)
    return np.load(folder / "out" / "vectors.npy")


def cost(sluice, texts, options, folder, repetitions, given):
    """Seconds of ours and of Python, in turns."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "one.jsonl").write_text(json.dumps({"text": "a"}) + "\n")
    (folder / "texts.json").write_text(json.dumps(texts))
    found = {"texts": len(texts), "runs": {"ours": [], "one by one": [], "padded batches of 32": []}}
    for _ in range(repetitions):
        whole, peak = timed(sluice, folder, "in.jsonl", options)
        loading, _ = timed(sluice, folder, "one.jsonl", options)
        reading, _ = timed(sluice, folder, "in.jsonl", "")
        found["runs"]["ours"].append({"seconds": whole - loading - reading, "whole": whole, "loading": loading, "peak_kib": peak})
        for name, batch in (("one by one", 1), ("padded batches of 32", 32)):
            out = subprocess.run([sys.executable, __file__, "--child", str(folder / "texts.json"), "--model", str(given.model),
                                  "--batch", str(batch)], check=True, capture_output=True, text=True)
            found["runs"][name].append(json.loads(out.stdout))
        print({name: runs[-1] for name, runs in found["runs"].items()}, flush=True)
    found["tokens"] = round(found["runs"]["one by one"][0]["tokens"], 1)
    found["rates"] = {name: round(len(texts) / min(run["seconds"] for run in runs), 1) for name, runs in found["runs"].items()}
    found["peak_mib"] = {name: round(max(run["peak_kib"] for run in runs) / 1024) for name, runs in found["runs"].items()}
    return found


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sluice", type=Path)
    options.add_argument("--data", type=Path)
    options.add_argument("--folder", type=Path)
    options.add_argument("--model", type=Path, required=True, help="MiniLM's folder: model.onnx and tokenizer.json")
    options.add_argument("--library", type=Path, help="ONNX Runtime's file")
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--texts", type=int, default=400, help="texts whose cost is measured")
    options.add_argument("--records", type=int, default=3_000, help="records of each corpus for the quality; 0 leaves it out")
    options.add_argument("--wordllama", type=Path, help="its model's folder")
    options.add_argument("--results", type=Path)
    options.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    given = options.parse_args()
    given.model = given.model.resolve()
    if given.child:
        return child(given)
    library = given.library.resolve()
    if not library.exists() or not (given.model / "model.onnx").exists():
        return print("skipped: onnx: no MiniLM or no ONNX Runtime (make model-minilm)", flush=True)
    sluice, folder = given.sluice.resolve(), given.folder.resolve() / "encoders"
    stage = f"{{model: onnx, path: {given.model}, library: {library}}}"
    theirs = Python(given.model)
    about = {
        "machine": measure.machine(), "commit": measure.commit(Path(__file__).parent), "date": str(datetime.date.today()),
        "versions": {"sluice": measure.first_line([str(sluice), "--version"]).split()[-1], "onnxruntime": theirs.version, "numpy": np.__version__},
    }
    corpora = {"P3": embedders.p3(given.data), "abilities": embedders.abilities(given.data)}
    short = embedders.short_texts(given.data)
    random.Random(0).shuffle(short)
    costs = {
        "P3": cost(sluice, corpora["P3"][0][:given.texts], stage, folder / "long", given.repetitions, given),
        "sentences of 12 to 22 words": cost(sluice, short[:given.texts * 8], stage, folder / "short", given.repetitions, given),
    }
    sample = corpora["P3"][0][:given.texts] + short[:given.texts]
    vectors = embedders.normalize(vectors_of(sluice, sample, stage, folder / "same").astype(np.float32))
    cosines = (vectors * theirs.embed(sample, 1)[0]).sum(1)
    padded = (theirs.embed(sample, 1)[0] - theirs.embed(sample, 32)[0])
    same = {"texts": len(sample), "least_cosine": float(cosines.min()), "mean_cosine": float(cosines.mean()), "padded_differ": float((padded != 0).any(1).mean())}
    print(same, flush=True)
    found = {}
    ways = {"onnx, MiniLM, 384": stage, "lsa, 256": "{model: lsa}"}
    if given.wordllama and (given.wordllama / "model.safetensors").exists():
        ways["static, wordllama, 256"] = f"{{model: static, path: {given.wordllama.resolve()}}}"
    for corpus, (texts, labels) in corpora.items() if given.records else ():
        texts, labels = texts[:given.records], labels[:given.records]
        found[corpus] = {"records": len(texts), "labels": len(set(labels)), "embedders": {}}
        for name, way in ways.items():
            found[corpus]["embedders"][name] = embedders.quality(vectors_of(sluice, texts, way, folder / f"quality-{corpus}-{name[:4]}"), labels)
            print(corpus, name, found[corpus]["embedders"][name], flush=True)
    report(about, costs, same, found, given)


def report(about, costs, same, found, given):
    lines = ["# A sentence encoder: `onnx` with MiniLM beside Python", "", measure.describe(about), "",
             f"Texts a second of one core, the best of {given.repetitions} pairs; loading the model is not counted.", "",
             "| texts | tokens each, at most 256 | `onnx` | Python, one by one | Python, padded batches of 32 |", "|---|--:|--:|--:|--:|"]
    for name, facts in costs.items():
        rates = facts["rates"]
        lines.append(f"| {name}, {facts['texts']:,} | {facts['tokens']} | {rates['ours']} | {rates['one by one']} | {rates['padded batches of 32']} |")
    lines += ["", "| peak memory | `onnx`, one thread | Python, one by one | Python, batches |", "|---|--:|--:|--:|"]
    for name, facts in costs.items():
        peaks = facts["peak_mib"]
        lines.append(f"| {name} | {peaks['ours']} MiB | {peaks['one by one']} MiB | {peaks['padded batches of 32']} MiB |")
    lines += ["", f"Cosine of `onnx`'s Int8 vectors and Python's of single precision, {same['texts']} texts: least {same['least_cosine']:.5f}, mean {same['mean_cosine']:.5f}. "
              f"In padded batches, Python gives {same['padded_differ']:.0%} of the texts another vector than alone."]
    if found:
        lines += ["", "| corpus | `embed` | NMI of 64 clusters | nearest has the label |", "|---|---|--:|--:|"]
        lines += [f"| {corpus}, {facts['records']:,} records, {facts['labels']} labels | {name} | {figures['nmi']:.3f} | {figures['nearest']:.3f} |"
                  for corpus, facts in found.items() for name, figures in facts["embedders"].items()]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.results:
        name = given.results / f"{about['date']}-encoders"
        name.with_suffix(".md").write_text(text)
        name.with_suffix(".json").write_text(json.dumps({"about": about, "costs": costs, "same": same, "quality": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
