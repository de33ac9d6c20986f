"""Benchmark: what each embedder's vectors tell of a record, and what they cost.

Quality, on vectors that the program wrote (`sluice run`, `sluice vectors`): 64 k-means clusters of unit vectors beside the records' labels
(normalised mutual information, mean of three starts) and the share of records whose nearest other record has the same label. Corpora:
12,000 P3 records (label: the first three words of the template's name, about the data set and its variant) and 12,000 of
abilities.jsonl.zst (label: `ability`). Beside them, from the same texts: scikit-learn's HashingVectorizer, TfidfTransformer and TruncatedSVD
with the same dimensions, features and number of records to learn from, and its hashed character n-grams. If `--wordllama` names a folder
with its model, `static` with it, and the package wordllama of Python with the same files.

Cost, on one thread: processor time of a run beside the same run without `embed`, and peak memory. For `static` also on short texts (distinct
sentences of 12 to 22 words), where wordllama's package does the same on one thread.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import normalize

import measure

SAMPLE, CLUSTERS, STARTS = 12_000, 64, 3
DIMENSION, FEATURES, RESERVOIR = 256, 65_536, 4_000


def records_of(paths):
    for path in paths:
        data = subprocess.run(["zstd", "-dcq", str(path)], check=True, capture_output=True).stdout
        yield from (json.loads(line) for line in data.split(b"\n") if line)


def p3(data):
    rows = ((f"{r['prompt']}\n\n{r['completion']}", "_".join(r["template"].split("_")[:3]))
            for r in records_of(sorted(data.glob("p3-*.jsonl.zst"))) if r["prompt"].strip() and r["completion"].strip())
    return sample(rows)


def abilities(data):
    rows = (("\n\n".join(part for part in (r["instruction"], r["input"], r["output"]) if part.strip()), r["ability"])
            for r in records_of([data / "abilities.jsonl.zst"]) if r["instruction"].strip() and r["output"].strip())
    return sample(rows)


def sample(rows):
    """Distinct texts and their labels, in a random order that is always the same."""
    distinct = list(dict(rows).items())
    random.Random(0).shuffle(distinct)
    texts, labels = zip(*distinct[:SAMPLE])
    return list(texts), np.array(labels)


def quality(vectors, labels):
    vectors = normalize(np.asarray(vectors, dtype=np.float32))
    found = [normalized_mutual_info_score(labels, KMeans(CLUSTERS, n_init=1, random_state=start).fit(vectors).labels_)
             for start in range(STARTS)]
    nearest = np.empty(len(vectors), dtype=int)
    for start in range(0, len(vectors), 2000):
        near = vectors[start:start + 2000] @ vectors.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -2
        nearest[start:start + 2000] = near.argmax(1)
    return {"nmi": round(float(np.mean(found)), 3), "nmi_of_starts": [round(float(value), 3) for value in found],
            "nearest": round(float((labels[nearest] == labels).mean()), 3)}


def definition(files, options, template, dedupe=""):
    stages = [f"  - format: {{template: {json.dumps(template)}}}"] + ([f"  - embed: {options}"] if options else [])
    return "\n".join(["sluice: 1", "memory: 512MiB", f"input: {{files: [{files}]{dedupe}}}", "stages:", *stages,
                      "output: {directory: out, compression: none}", ""])


def ours(sluice, texts, options, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "run.yaml").write_text(definition("in.jsonl", options, "{text}"))
    for command in (["run", "run.yaml", "--progress", "none"], ["vectors", "out", "--output", "vectors.npy"]):
        subprocess.run([str(sluice), *command], cwd=folder, check=True, capture_output=True)
    vectors = np.load(folder / "vectors.npy")
    assert len(vectors) == len(texts), f"{len(vectors)} vectors of {len(texts)} texts"
    return vectors


def theirs(texts):
    """The same definition in scikit-learn; and the processor seconds it takes to learn and to project."""
    start = time.process_time()
    counts = HashingVectorizer(n_features=FEATURES, ngram_range=(1, 2), alternate_sign=False, norm=None).transform(texts)
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    chosen = np.random.RandomState(0).permutation(len(texts))[:RESERVOIR]
    learning = time.process_time()
    svd = TruncatedSVD(DIMENSION, random_state=0).fit(weights[chosen])
    learned = time.process_time()
    vectors = svd.transform(weights)
    end = time.process_time()
    return vectors, {"learn_seconds": round(learned - learning, 2), "project_seconds": round(end - learned + learning - start, 2)}


def hashed(texts):
    """Hashed character n-grams, as many dimensions as `lexical` has."""
    return HashingVectorizer(n_features=384, analyzer="char_wb", ngram_range=(3, 5)).transform(texts).toarray()


def wordllama(model):
    """The package, from the folder's files, on one thread."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import safetensors.numpy
    from tokenizers import Tokenizer
    from wordllama.inference import WordLlamaInference

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return WordLlamaInference(safetensors.numpy.load_file(model / "model.safetensors")["embedding.weight"], tokenizer)


def short_texts(data):
    """Sentences of 12 to 22 words, distinct, in their order."""
    texts = (text for path in sorted(data.glob("*.jsonl.zst")) for record in records_of([path]) for text in record.values() if isinstance(text, str))
    pieces = (piece for text in texts for line in text.split("\n") for piece in line.split(". "))
    return list(dict.fromkeys(piece for piece in pieces if 12 <= len(piece.split(" ")) <= 22))


def short_costs(sluice, data, model, folder, repetitions):
    """Texts a second of one core: `static` beyond a run without `embed`, and the package, each the best of some runs."""
    texts = short_texts(data)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    theirs = wordllama(model)
    ids = sum(sum(found.attention_mask) for found in theirs.tokenizer.encode_batch(texts, add_special_tokens=False))
    seconds = {"without embed": [], "static": [], "wordllama": []}
    for _ in range(repetitions):
        for name, options in (("without embed", ""), ("static", f"{{model: static, path: {model}}}")):
            (folder / "run.yaml").write_text(definition("in.jsonl", options, "{text}"))
            run = subprocess.run(["/usr/bin/time", "-f", "%U %S", str(sluice), "run", "run.yaml", "--progress", "none", "--force",
                                  "--threads", "1"], cwd=folder, check=True, capture_output=True, text=True)
            seconds[name].append(sum(float(part) for part in run.stderr.strip().split("\n")[-1].split()))
        start = time.process_time()
        theirs.embed(texts, norm=True)
        seconds["wordllama"].append(time.process_time() - start)
    best = {name: min(values) for name, values in seconds.items()}
    rows = len(texts)
    return {"texts": rows, "tokens_a_text": round(ids / len(texts), 1), "seconds": seconds,
            "static": round(rows / (best["static"] - best["without embed"])), "wordllama": round(rows / best["wordllama"])}


def costs(sluice, corpus, folder, repetitions, model):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ways = {"without embed": "", "lexical": "{model: lexical}", "lsa": "{model: lsa}", "lsa, fitted": "{fitted: out-lsa}"}
    if model:
        ways["static, wordllama"] = f"{{model: static, path: {model}}}"
    tasks = []
    for number, (name, options) in enumerate(ways.items()):
        (folder / f"{number}.yaml").write_text(
            definition(str(corpus), options, "prompt-completion", ", dedupe: {on: [prompt, completion]}"))
        out = "out-lsa" if name == "lsa" else f"out-{number}"
        tasks.append(measure.Task(
            name, f"{sluice} run {number}.yaml --progress none --force --threads 1 --output {out}",
            check=lambda _, out=out: {"rows": json.loads((folder / out / "run.json").read_text())["counts"]["kept"]}))
    # What the last one uses must be there.
    subprocess.run(tasks[2].command, shell=True, cwd=folder, check=True, capture_output=True)
    measure.alternate(tasks, folder, repetitions)
    return tasks


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sluice", type=Path, required=True)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--corpus", type=Path, required=True)
    options.add_argument("--folder", type=Path, required=True)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--wordllama", type=Path, help="its model's folder: model.safetensors and tokenizer.json")
    options.add_argument("--results", type=Path)
    given = options.parse_args()
    sluice, folder = given.sluice.resolve(), given.folder.resolve() / "embedders"
    about = {
        "machine": measure.machine(), "commit": measure.commit(Path(__file__).parent), "date": str(datetime.date.today()),
        "versions": {"sluice": measure.first_line([str(sluice), "--version"]).split()[-1], "scikit-learn": sklearn.__version__, "numpy": np.__version__},
    }
    model = given.wordllama.resolve() if given.wordllama and (given.wordllama / "model.safetensors").exists() else None
    if not model:
        print("skipped: static and wordllama: no folder of its model (make models)", flush=True)
    found = {}
    for corpus, (texts, labels) in {"P3": p3(given.data), "abilities": abilities(given.data)}.items():
        print(f"{corpus}: {len(texts):,} records, {len(set(labels))} labels", flush=True)
        found[corpus] = {"records": len(texts), "labels": len(set(labels)), "embedders": {}}

        def add(name, vectors, more={}):
            found[corpus]["embedders"][name] = {**quality(vectors, labels), **more}
            print(f"  {name}: {found[corpus]['embedders'][name]}", flush=True)

        add("Sluice lsa, 256", ours(sluice, texts, "{model: lsa}", folder / "lsa"))
        add("Sluice lexical, 384", ours(sluice, texts, "{model: lexical}", folder / "lexical"))
        if model:
            add("Sluice static, wordllama, 256", ours(sluice, texts, f"{{model: static, path: {model}}}", folder / "static"))
            add("wordllama in Python, 256", wordllama(model).embed(texts, norm=True))
        floats, seconds = theirs(texts)
        add("scikit-learn TF-IDF and SVD, 256", floats, seconds)
        add("scikit-learn hashed words, 256", HashingVectorizer(n_features=256).transform(texts).toarray())
        add("scikit-learn hashed character n-grams, 384", hashed(texts))
    tasks = costs(sluice, given.corpus.resolve(), folder / "costs", given.repetitions, model)
    short = short_costs(sluice, given.data, model, folder / "short", given.repetitions) if model else None
    report(about, found, tasks, short, given)


def report(about, found, tasks, short, given):
    rows = tasks[0].runs[0]["rows"]
    base = min(measure.cpu(run) for run in tasks[0].runs)
    lines = ["# Embedders: quality and cost", "", measure.describe(about), "", "| corpus | embedder | NMI of 64 clusters | nearest has the label |",
             "|---|---|--:|--:|"]
    for corpus, facts in found.items():
        for name, figures in facts["embedders"].items():
            lines.append(f"| {corpus}, {facts['records']:,} records, {facts['labels']} labels | {name} | {figures['nmi']:.3f} | {figures['nearest']:.3f} |")
    lines += ["", f"Cost on one thread, {rows:,} records, best of {len(tasks[0].runs)}: processor time beyond the run without `embed` "
              f"({base:.2f} s).", "", "| | CPU | beyond | texts a second of one core | peak memory |", "|---|--:|--:|--:|--:|"]
    for task in tasks:
        cpu = min(measure.cpu(run) for run in task.runs)
        extra = cpu - base
        rate = f"{rows / extra:,.0f}" if task is not tasks[0] and extra > 0 else ""
        lines.append(f"| {task.name} | {cpu:.2f} s | {extra:.2f} s | {rate} | {max(run['peak_kib'] for run in task.runs) / 1024:.0f} MiB |")
    learned = found["P3"]["embedders"]["scikit-learn TF-IDF and SVD, 256"]
    lines += ["", f"scikit-learn, 12,000 P3 records: {learned['learn_seconds']} s to learn, {learned['project_seconds']} s to count, weigh and "
              "project. `lsa` reads the texts twice: to count and to project; `lsa, fitted` only projects."]
    if short:
        lines += ["", f"Short texts ({short['texts']:,} distinct sentences, {short['tokens_a_text']} tokens each), one core, best of {len(tasks[0].runs)}: `static` "
                  f"{short['static']:,} texts a second beyond the run without `embed`; wordllama in Python {short['wordllama']:,}."]
    text = "\n".join(lines) + "\n"
    print(text)
    if given.results:
        name = given.results / f"{about['date']}-embedders"
        name.with_suffix(".md").write_text(text)
        raw = {"about": about, "quality": found, "rows": rows, "short": short, "costs": [
            {"name": task.name, "command": task.command.replace(str(given.sluice.resolve()), "sluice"), "runs": task.runs} for task in tasks]}
        name.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
