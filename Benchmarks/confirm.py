"""Near duplicates that texts confirm, beside vectors alone: counts, and a table of pairs for a person to judge.

usage: confirm.py --sluice BINARY --data FOLDER [--results FOLDER]

FOLDER has abilities.jsonl.zst. Numbers and operators of the two records of a pair are found by Python's `re`. The pairs are
excerpts of the data: they go to standard output alone, not into the results.
"""

import argparse
import datetime
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
OPERATORS = re.compile(r"[+*/%=<>^|&~$\\×÷]")


def lines(path):
    data = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return [json.loads(line) for line in data.split(b"\n") if line]


def dropped(sluice, path, folder, model, confirm):
    """The records that `redundancy` drops by their lines, and the report of the stage."""
    definition = folder / "run.yaml"
    definition.write_text(
        f"""sluice: 1
input: {{files: ["{path}"]}}
stages:
  - format
  - embed: {{model: {model}}}
  - redundancy: {{method: pairwise{confirm}}}
output: {{directory: out}}
""")
    subprocess.run([sluice, "run", definition, "--force", "--progress", "none"], check=True, capture_output=True)
    drops = [drop for drop in lines(folder / "out/ledger.jsonl.zst") if drop["stage"] == "redundancy"]
    report = json.loads((folder / "out/run.json").read_text())["stages"][-1]
    return {drop["line"]: drop for drop in drops}, report


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--sluice", required=True, type=Path)
    options.add_argument("--data", required=True, type=Path)
    options.add_argument("--results", type=Path)
    options = options.parse_args()
    path = (options.data / "abilities.jsonl.zst").resolve()
    texts = [" ".join(str(record.get(key, "")) for key in ("instruction", "input", "output")) for record in lines(path)]
    rows = []
    for model in ("lexical", "lsa"):
        with tempfile.TemporaryDirectory() as folder:
            alone, _ = dropped(options.sluice.resolve(), path, Path(folder), model, ", confirm: none")
            confirmed, report = dropped(options.sluice.resolve(), path, Path(folder), model, "")
        for name, drops in (("vectors alone", alone), ("confirmed", confirmed)):
            pairs = [(texts[line - 1], texts[drop["kept"]["line"] - 1]) for line, drop in drops.items()]
            rows.append([
                model, name, len(drops), sum(NUMBERS.findall(a) != NUMBERS.findall(b) for a, b in pairs),
                sum(OPERATORS.findall(a) != OPERATORS.findall(b) for a, b in pairs)])
        print(f"{model}: {report['pairs_refused']} pairs refused, {report['records_kept_since_texts_differ']} records kept")
        least = sorted(confirmed.values(), key=lambda drop: drop["overlap"])[:8]
        refused = [drop for line, drop in sorted(alone.items()) if line not in confirmed]
        for title, some in (("dropped, least overlap", least), ("refused", refused[:: max(1, len(refused) // 8)][:8])):
            print(f"\n{model}, {title}")
            for drop in some:
                print(f"  overlap {drop.get('overlap', float('nan')):.2f}")
                for line in (drop["line"], drop["kept"]["line"]):
                    print(f"    {line:>6}  {' '.join(texts[line - 1].split())[:150]}")
    table = [
        "| vectors | dropped by | records | with other numbers | with other operators |", "|---|---|--:|--:|--:|",
        *(f"| {row[0]} | {row[1]} | {row[2]:,} | {row[3]:,} | {row[4]:,} |" for row in rows)]
    print("\n" + "\n".join(table))
    if options.results:
        about = {
            "date": datetime.date.today().isoformat(), "commit": measure.commit(Path(__file__).resolve().parent),
            "machine": measure.machine(),
            "versions": {"sluice": measure.first_line([options.sluice, "--version"]).removeprefix("sluice ")}}
        text = [
            "# Near duplicates: vectors alone, and confirmed by texts", "", measure.describe(about), "",
            "abilities.jsonl.zst, 26,443 records, `redundancy: {method: pairwise}` at its default distance; a dropped record beside the",
            "one it lost to. `Benchmarks/run.sh confirm` prints pairs to judge, too.", "", *table, ""]
        (options.results / f"{datetime.date.today()}-confirm.md").write_text("\n".join(text))


sys.exit(main())
