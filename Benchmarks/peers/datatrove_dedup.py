"""usage: datatrove_dedup.py WAY IN OUT: keeps the first record of each (prompt, completion) by datatrove's exact deduplication.

Its three steps (signatures, find, filter) as its own examples build them. A task reads whole files, so one file is one task. `WAYS` has the
tested ways for one file with the local executor; `dedupe.py --ways` runs them. `FOLDERS` has those for a folder of files, whose result is a
folder, too, by two workers: its local and its Ray executor; `engines.py --job dedupe` runs them.
"""
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("DATATROVE_COLORIZE_LOG_FILES", "0")


def reader_adapter(self, data, path, id_in_file):
    return {"text": data["prompt"] + "\0" + data["completion"], "id": str(id_in_file), "metadata": {"record": data}}


def writer_adapter(self, document):
    return document.metadata["record"]


def content(document) -> str:
    return document.text


def steps(source, packing, folder, tasks):
    from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig, ExactDedupFilter, ExactDedupSignature, ExactFindDedups
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils.logging import logger

    logger.remove()
    logging.disable(logging.INFO)
    config = ExactDedupConfig(content_getter=content)
    where = {"data_folder": str(source), "compression": "zstd", "adapter": reader_adapter}
    return [
        [JsonlReader(**where), ExactDedupSignature(f"{folder}/signatures", config, finder_workers=tasks)],
        [ExactFindDedups(f"{folder}/signatures", f"{folder}/duplicates", config, lines_to_buffer=10_000)],
        [JsonlReader(**where), ExactDedupFilter(f"{folder}/duplicates", config),
         JsonlWriter(f"{folder}/out", "${rank}.jsonl" + (".zst" if packing else ""), packing, writer_adapter)],
    ]


def dedupe(source, target, folder, tasks):
    from datatrove.executor import LocalPipelineExecutor

    for number, pipeline in enumerate(steps(source, "zstd" if target.endswith(".zst") else None, folder, tasks)):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=tasks, logging_dir=f"{folder}/logs-{number}").run()
    parts = sorted(Path(folder, "out").iterdir())
    os.replace(parts[0], target)
    with open(target, "ab") as out:
        for part in parts[1:]:
            with open(part, "rb") as more:
                shutil.copyfileobj(more, out, 1 << 20)


def one_task(source, target, folder):
    """The file as it is: one process, and the input's order."""
    Path(folder, "in").mkdir()
    os.symlink(Path(source).resolve(), Path(folder, "in", "all.jsonl.zst"))
    dedupe(Path(folder, "in"), target, folder, 1)


def two_tasks(source, target, folder):
    """Cut in two first, since a task reads whole files. Of equal records in two files it keeps either."""
    Path(folder, "in").mkdir()
    rows = int(subprocess.check_output(f"zstd -dcq {source} | wc -l", shell=True))
    subprocess.run(
        f"zstd -dcq {source} | split -l {(rows + 1) // 2} --additional-suffix=.jsonl.zst --filter='zstd -1 -q > $FILE' - {folder}/in/",
        shell=True, check=True)
    dedupe(Path(folder, "in"), target, folder, 2)


def folder_locally(source, folder):
    from datatrove.executor import LocalPipelineExecutor

    tasks = len(os.listdir(source))
    for number, pipeline in enumerate(steps(source, "zstd", folder, tasks)):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=2, logging_dir=f"{folder}/logs-{number}").run()


def folder_on_ray(source, folder):
    import ray
    from datatrove.executor import RayPipelineExecutor

    # Workers don't have the driver's path.
    ray.init(logging_level="error", log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}})
    tasks = len(os.listdir(source))
    for number, pipeline in enumerate(steps(source, "zstd", folder, tasks)):
        RayPipelineExecutor(pipeline, tasks=tasks, workers=2, mem_per_cpu_gb=0.5, logging_dir=f"{folder}/logs-{number}").run()


FOLDERS = {"local": folder_locally, "ray": folder_on_ray}
# Each way: the function, and whether it keeps the order of the input and the first record.
WAYS = {"one-task": (one_task, True), "two-tasks": (two_tasks, False)}


if __name__ == "__main__":
    way, source, target = sys.argv[1:]
    if way in FOLDERS:
        raise SystemExit(FOLDERS[way](source, target))
    with tempfile.TemporaryDirectory(dir=Path(target).resolve().parent) as folder:
        WAYS[way][0](source, target, folder)
