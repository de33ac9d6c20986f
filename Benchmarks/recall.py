"""Benchmark: what quantising and clipping cost each model's vectors.

usage: recall.py --sluice BINARY --data FOLDER --models FOLDER [--records N] [--results FOLDER]

Float32 vectors of real texts, made by each model in Python, become Int8 vectors by the whole program: `embed: {model: file}` reads
them, and `output.vectors` writes those of all records. For `lexical` and `lsa`, whose own sums are integers all along, scikit-learn's
vectors of the same kind stand in: hashed character n-grams; hashed words and pairs, weighted, by truncated SVD, and turned at random. Of the ten nearest texts by the floats' cosine, how many are among the ten
nearest by the integers (recall, ties by the lower row); the error of a cosine; and components at the limit of Int8, which may have
been clipped.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import measure

HERE = Path(__file__).resolve().parent
NEAREST = 10


def texts(data, count):
    """Prompts and answers of P3 and of the abilities, in turns, each text once."""
    found = {}
    sources = [sorted(data.glob("p3-*.jsonl.zst")), [data / "abilities.jsonl.zst"]]
    for paths in sources:
        own = 0
        for path in paths:
            for line in subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.split(b"\n"):
                if not line or own == count // len(sources):
                    break
                record = json.loads(line)
                text = " ".join(str(record[key]) for key in ("prompt", "completion", "instruction", "output") if key in record)
                if text not in found:
                    found[text] = None
                    own += 1
    return list(found)


def quantised(sluice, vectors, folder):
    """The vectors as Sluice keeps them."""
    np.save(folder / "vectors.npy", vectors)
    (folder / "in.jsonl").write_text("".join(f'{{"row":{row}}}\n' for row in range(len(vectors))))
    (folder / "run.yaml").write_text(
        """sluice: 1
input: {files: [in.jsonl]}
stages:
  - embed: {model: file, path: vectors.npy}
  - coreset: {keep: 100%, method: random}
output: {directory: out, vectors: embedding}
""")
    subprocess.run([sluice, "run", folder / "run.yaml", "--force", "--progress", "none"], check=True, capture_output=True)
    return np.load(folder / "out/vectors.npy")


def compare(vectors, integers):
    """Recall, root mean square error of a cosine, and the shares of components and rows at the limit."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    hits, errors = 0, []
    scale = 127 * vectors.shape[1] ** 0.5 / 8
    wide = integers.astype(np.float32)
    for start in range(0, len(unit), 1000):
        rows = slice(start, start + 1000)
        exact, ours = unit[rows].astype(np.float64) @ unit.T.astype(np.float64), wide[rows] @ wide.T
        errors.append(((ours / scale**2 - exact) ** 2).mean())
        for products in (exact, ours):
            products[np.arange(len(products)), np.arange(start, start + len(products))] = -np.inf
        best = [np.argsort(-products, axis=1, kind="stable")[:, :NEAREST] for products in (exact, ours)]
        hits += sum(len(set(a) & set(b)) for a, b in zip(*best))
    limit = np.abs(integers.astype(np.int16)) == 127
    return hits / NEAREST / len(unit), float(np.mean(errors)) ** 0.5, float(limit.mean()), float(limit.any(axis=1).mean())


def rotated(vectors):
    """Turned at random, as `lsa` turns its vectors: the same angles, and no component that is much larger than the others."""
    turn, _ = np.linalg.qr(np.random.RandomState(0).normal(size=(vectors.shape[1],) * 2))
    return vectors @ turn


def models(folder):
    """Each model that is there: its name, and what makes float vectors of texts."""
    import embedders

    yield "like lexical: hashed n-grams of scikit-learn", embedders.hashed
    yield "like lsa: truncated SVD of scikit-learn, rotated", lambda texts: rotated(embedders.theirs(texts)[0])
    if (folder / "wordllama-256/model.safetensors").exists():
        yield "static, wordllama", lambda texts: np.asarray(embedders.wordllama(folder / "wordllama-256").embed(texts, norm=True))
    if (folder / "minilm/model.onnx").exists():
        import encoders

        def minilm(texts):
            model = encoders.Python(folder / "minilm")
            model.tokenizer.enable_truncation(64)
            return model.embed(texts, 32)[0]

        yield "onnx, MiniLM-L6 (64 tokens)", minilm


def main():
    parser = argparse.ArgumentParser()
    for name in ("sluice", "data", "models"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    found = texts(options.data, options.records)
    rows = [
        "| vectors | dimensions | recall of the ten nearest | error of a cosine, rms | components at the limit | vectors with one |",
        "|---|--:|--:|--:|--:|--:|"]
    for name, embed in models(options.models):
        vectors = np.ascontiguousarray(embed(found), dtype=np.float32)
        with tempfile.TemporaryDirectory() as folder:
            integers = quantised(options.sluice.resolve(), vectors, Path(folder))
        recall, error, limit, clipped = compare(vectors, integers)
        rows.append(f"| {name} | {vectors.shape[1]} | {recall:.4f} | {error:.5f} | {limit:.2e} | {clipped:.4f} |")
        print(rows[-1], flush=True)
    if len(rows) == 2:
        print("skipped: no model there; run `make models`")
        return
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([options.sluice.resolve(), "--version"]).removeprefix("sluice ")}}
    text = [
        "# What Int8 costs: the ten nearest of each text", "", measure.describe(about), "",
        f"{len(found):,} texts of P3 and of the abilities; float32 vectors by Python, Int8 by the program. `Benchmarks/run.sh recall`.", "",
        *rows, ""]
    print("\n".join(text))
    if options.results:
        (options.results / f"{about['date']}-recall.md").write_text("\n".join(text))


sys.exit(main())
