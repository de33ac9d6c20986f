"""Inputs from an S3-compatible store beside local files, and beside other clients that only read.

usage: objects.py --sluice BINARY --folder FOLDER [--repetitions N] [--results FOLDER]

Eight zstd files of 45 MB (frames of 2 MiB with a seek table, 91 MB unpacked each) on a disk and in moto's server, a process
of Python on the same machine without any latency, which is the limit. Sluice reads, checks and dedupes all records and writes them;
the others unpack and throw away: `aws s3 cp` and boto3, one object after the other.
"""

import argparse
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
FILES = 8
PORT = 9377
ENVIRONMENT = {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "127.0.0.1",
}
BOTO = """
import boto3, sys
store = boto3.client("s3")
for page in store.get_paginator("list_objects_v2").paginate(Bucket="corpus"):
    for entry in page["Contents"]:
        for piece in store.get_object(Bucket="corpus", Key=entry["Key"])["Body"].iter_chunks(4 << 20):
            sys.stdout.buffer.write(piece)
"""


def corpus(folder, sluice):
    """Makes the files, once, with the program's own output."""
    target = folder / "objects"
    if target.exists():
        return target
    target.mkdir()
    draws = random.Random(1)
    words = [f"{draws.choice('bcdfghklmnprstvw')}{draws.randrange(10_000):x}" for _ in range(20_000)]
    block = " ".join(draws.choices(words, k=8_000_000))
    for number in range(FILES):
        plain = folder / "plain.jsonl"
        with open(plain, "w") as file:
            for line in range(150_000):
                start = draws.randrange(len(block) - 1200)
                file.write(json.dumps({"id": f"{number}-{line}", "text": block[start : start + draws.randrange(1200)]}) + "\n")
        (folder / "copy.yaml").write_text("sluice: 1\ninput: {files: [plain.jsonl]}\noutput: {directory: copied}\n")
        subprocess.run([sluice, "run", "copy.yaml", "--force", "--progress", "none"], cwd=folder, check=True)
        shutil.move(folder / "copied/kept.jsonl.zst", target / f"{number}.jsonl.zst")
        plain.unlink()
    return target


def serve(files, log):
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(PORT)], stdout=subprocess.DEVNULL, stderr=open(log, "w"))
    address = ENVIRONMENT["AWS_ENDPOINT_URL"]
    for _ in range(100):
        time.sleep(0.1)
        try:
            urllib.request.urlopen(address + "/moto-api/")
            break
        except OSError:
            continue
    put = lambda path, data: urllib.request.urlopen(
        urllib.request.Request(f"{address}/{path}", data=data, method="PUT", headers={"Content-Type": "x/y"}))
    put("corpus", b"")
    for file in sorted(files.iterdir()):
        put(f"corpus/{file.name}", file.read_bytes())
    return server


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--sluice", required=True, type=Path)
    options.add_argument("--folder", required=True, type=Path)
    options.add_argument("--repetitions", type=int, default=3)
    options.add_argument("--results", type=Path)
    options = options.parse_args()
    folder, sluice = options.folder.resolve(), options.sluice.resolve()
    files = corpus(folder, sluice)
    size = sum(file.stat().st_size for file in files.iterdir())
    log = folder / "moto.log"
    server = serve(files, log)
    os.environ.update(ENVIRONMENT)
    (folder / "boto.py").write_text(BOTO)
    run = f"{sluice} run objects.yaml --force --progress none --threads 2"
    (folder / "objects.yaml").write_text(
        "sluice: 1\ninput: {files: [objects/*.jsonl.zst], dedupe: {on: line}}\noutput: {directory: objects-out}\n")
    copies = " && ".join(f"aws s3 cp --quiet s3://corpus/{file.name} -" for file in sorted(files.iterdir()))
    tasks = [
        measure.Task("sluice, local files", run),
        measure.Task("sluice, s3://", f"{run} --input 's3://corpus/*.jsonl.zst'"),
        measure.Task("boto3, zstd -dc", f"{sys.executable} boto.py | zstd -dc > /dev/null"),
        measure.Task("aws s3 cp, zstd -dc", f"({copies}) | zstd -dc > /dev/null"),
    ]
    try:
        measure.run(tasks[1].command, folder)
        before = log.read_text().count("HTTP/1.1\" 20")
        measure.run(tasks[1].command, folder)
        requests = log.read_text().count("HTTP/1.1\" 20") - before
        measure.alternate(tasks, folder, options.repetitions)
    finally:
        server.kill()
    lines = ["| | wall | stored MB/s | CPU | peak memory |", "|---|--:|--:|--:|--:|"]
    for task in tasks:
        found = measure.summary(task)
        if found is None:
            lines.append(f"| {task.name} | failed: {task.runs[-1]['output'][:100]} | | | |")
            continue
        lines.append(
            f"| {task.name} | {found['wall_median']:.2f} s | {size / found['wall_median'] / 1e6:.0f} | "
            f"{found['cpu_median']:.2f} s | {found['peak_mib']:.0f} MiB |")
    lines.append(f"\nA run by s3:// made {requests} requests for {size / 1e6:.0f} MB: {requests / size * 2**30:.0f} for 1 GiB.")
    text = "\n".join(lines)
    print(text)
    if options.results:
        about = {
            "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
            "versions": {
                "Python": sys.version.split()[0], "aws": measure.first_line(["aws", "--version"]),
                **{name: measure.first_line([sys.executable, "-c", f"import {name}; print({name}.__version__)"]) for name in ("moto", "boto3")},
            }}
        title = "# Inputs from an object store: `s3://` beside local files\n\n"
        measure.save(options.results, "objects", about, tasks, f"{title}{measure.describe(about)}\n\n{__doc__.split('usage')[0]}\n{text}")


if __name__ == "__main__":
    main()
