"""`embed: {model: endpoint}` beside Python clients, against a server that does no work but wait.

usage: endpoint.py --sluice BINARY --folder FOLDER [--repetitions N] [--results FOLDER]

Texts of about 300 bytes, 32 in a request, vectors of 256 numbers as base64, 1 ms and 100 ms latency, 1, 64 and 256 requests in
flight. The server is one process of Python and shares the machine, so at 1 ms it is the limit: compare the clients' CPU time there.
Sluice reads the records twice, dedupes nothing, keeps every answer on disk before it uses it, and writes the kept records, too.
"""

import argparse
import datetime
import json
import random
import subprocess
import sys
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
DIMENSIONS = 256
CLIENTS = ("aiohttp", "httpx", "openai")


def corpus(path, count):
    draws = random.Random(1)
    words = "red blue tall old cold dear round loud late ripe thin stone river cloud".split()
    with open(path, "w") as file:
        for number in range(count):
            text = " ".join(draws.choice(words) + str(draws.randrange(1000)) for _ in range(draws.randrange(20, 60)))
            file.write(json.dumps({"text": f"{text} {number}"}) + "\n")


def definition(path, corpus, port, width):
    path.write_text(f"""sluice: 1
memory: 1GiB
input: {{files: ["{corpus}"]}}
stages:
  - format: {{template: "{{text}}"}}
  - embed: {{model: endpoint, url: "http://127.0.0.1:{port}", name: m, dimensions: {DIMENSIONS}, in_flight: {width}, batch_bytes: 128KiB, text_bytes: 16KiB}}
output: {{directory: out-{path.stem}}}
""")


def tasks(options, folder, port, latency, width):
    count = 1600 if latency == 100 and width == 1 else 64000
    texts = folder / f"texts-{count}.jsonl"
    if not texts.exists():
        corpus(texts, count)
    name = f"{latency} ms, {width} in flight"
    path = folder / f"run-{latency}-{width}.yaml"
    definition(path, texts, port, width)
    # Without its answers, which would be used again.
    command = f"rm -rf out-{path.stem}; {options.sluice.resolve()} run {path} --progress none"
    found = [measure.Task(f"{name}: sluice", command, note=str(count))]
    for client in CLIENTS if options.clients is None else options.clients.split(","):
        command = f"{sys.executable} {HERE}/peers/endpoint_clients.py {client} http://127.0.0.1:{port} {texts} vectors.npy {width}"
        found.append(measure.Task(f"{name}: {client}", command, note=str(count)))
    return found


def rows(all_tasks):
    lines = ["| | texts/s | CPU | CPU of 1,000 texts | peak memory |", "|---|--:|--:|--:|--:|"]
    for task in all_tasks:
        found, count = measure.summary(task), int(task.note)
        if found is None:
            lines.append(f"| {task.name} | failed: {task.runs[-1]['output'][:100]} | | | |")
            continue
        lines.append(
            f"| {task.name} | {count / found['wall_median']:,.0f} | {found['cpu_median']:.2f} s | "
            f"{found['cpu_median'] / count * 1e6:.1f} ms | {found['peak_mib']:.0f} MiB |")
    return "\n".join(lines)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--sluice", required=True, type=Path)
    options.add_argument("--folder", required=True, type=Path)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--clients")
    options.add_argument("--results", type=Path)
    options = options.parse_args()
    folder = options.folder.resolve()
    all_tasks = []
    for latency in (1, 100):
        server = subprocess.Popen(
            [sys.executable, HERE / "peers/stub_server.py", str(DIMENSIONS), str(latency)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        port = int(server.stdout.readline())
        for width in (1, 64, 256):
            group = tasks(options, folder, port, latency, width)
            measure.alternate(group, folder, options.repetitions)
            all_tasks += group
        server.stdin.close()
        server.wait()
    text = rows(all_tasks)
    print(text)
    if options.results:
        about = {
            "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
            "versions": {
                "Python": sys.version.split()[0],
                **{name: measure.first_line([sys.executable, "-c", f"import {name}; print({name}.__version__)"]) for name in CLIENTS},
            }}
        title = "# Vectors by a server: `embed: {model: endpoint}` beside Python clients\n\n"
        measure.save(options.results, "endpoint", about, all_tasks, f"{title}{measure.describe(about)}\n\n{__doc__.split('usage')[0]}\n{text}")


if __name__ == "__main__":
    main()
