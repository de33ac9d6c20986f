"""Tables of `worth.py`: means over seeds, differences to uniform random with 95 % intervals, and what won or lost.

A difference is paired: within a seed, both saw the same records and judges. Its interval is Student's over the seeds. It covers the draws of
records and of the definition's seed, not of the held-out part, which all share. `won` and `lost` are intervals that leave out zero; of many
cells, one in twenty does so by chance.
"""

import datetime
import json
import math
import statistics
from pathlib import Path

import measure
import worth_choices as choices

# Of the models, those whose encoder judges too: a row is judged by the encoders that its selection did not use.
JUDGES = ("static", "onnx")
FIGURES = ("nearest", "probe", "speech", "speech at words")
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
FULL = "the full pool"


class Table:
    """Rows by (pool, fault, vectors, choice, share): figures of each seed, higher is better, beside those of uniform random."""

    def __init__(self, rows):
        self.rows, draws = {}, {}
        for row in rows:
            where = row["pool"], row["fault"], row["share"]
            if row["choice"] == choices.UNIFORM:
                draws.setdefault(where, {}).setdefault(row["seed"], []).append(row)
            else:
                self.rows.setdefault((row["pool"], row["fault"], row["vectors"], row["choice"], row["share"]), {})[row["seed"]] = [row]
        for (pool, fault, share), seeds in draws.items():
            self.rows[pool, fault, "", choices.UNIFORM, share] = seeds
        self.draws = draws

    def figure(self, rows, name, vectors):
        """The mean over draws: of the fair judges' accuracies in percent, or of the logarithm of the perplexity, negated."""
        if name == "speech":
            return -statistics.mean(math.log(row["perplexity"]) for row in rows)
        fair = [judge for judge in JUDGES if judge != vectors and f"{judge} {name}" in rows[0]]
        return 100 * statistics.mean(row[f"{judge} {name}"] for row in rows for judge in fair) if fair else math.nan

    def figures(self, key, name):
        """By seed."""
        return {seed: self.figure(rows, name, key[2]) for seed, rows in self.rows.get(key, {}).items()}

    def differences(self, key, name):
        pool, fault, vectors, _, share = key
        random = self.draws.get((pool, fault, share), {})
        if name == "speech at words":
            return {seed: self.figure(rows, "speech", vectors) - self.expected(pool, fault, seed, rows[0]["words"])
                    for seed, rows in self.rows.get(key, {}).items() if seed in random and not fault}
        return {seed: self.figure(rows, name, vectors) - self.figure(random[seed], name, vectors)
                for seed, rows in self.rows.get(key, {}).items() if seed in random}

    def expected(self, pool, fault, seed, words):
        """What uniform random has with as many words: on the line between its two budgets next to it, in logarithms."""
        points = sorted((statistics.mean(math.log(row["words"]) for row in seeds[seed]), self.figure(seeds[seed], "speech", ""))
                        for (p, f, _), seeds in self.draws.items() if (p, f) == (pool, fault) and seed in seeds)
        at = math.log(words)
        place = min(max(1, sum(point[0] < at for point in points)), len(points) - 1)
        (x, y), (u, v) = points[place - 1], points[place]
        return y + (v - y) * (at - x) / (u - x)

    def compared(self, key, name):
        """Mean difference, half of its interval, and 1, 0 or -1."""
        found = list(self.differences(key, name).values())
        if not found or any(map(math.isnan, found)):
            return None
        if len(found) == 1:
            return found[0], math.nan, 0
        mean, half = statistics.mean(found), STUDENT.get(len(found), 2.2) * statistics.stdev(found) / len(found) ** 0.5
        return mean, half, 1 if mean > half else -1 if mean < -half else 0


def shown(name, compared):
    if not compared:
        return ""
    mean, half, verdict = compared
    if name.startswith("speech"):
        ratio = math.exp(-mean)
        mean, half = 100 * (ratio - 1), 100 * ratio * math.sinh(half)
        text, interval = f"{mean:+.0f} %", f" ±{half:.0f}"
    else:
        text, interval = f"{mean:+.1f}", f" ±{half:.1f}"
    text += "" if math.isnan(half) else interval
    return {1: f"**{text}**", 0: text, -1: f"*{text}*"}[verdict]


def names(table, fault=""):
    """(vectors, choice) in the order of worth_choices, models in the order lsa, lexical, static, onnx."""
    there = {(key[2], key[3]) for key in table.rows if key[1] == fault}
    order = [choice.name for choice in [*choices.DRAWS, *choices.MAIN, *choices.MORE, *choices.FAULTY]]
    models = ["", "lsa", "lexical", "static", "onnx"]
    return sorted((pair for pair in there if pair[1] in order), key=lambda pair: (order.index(pair[1]), models.index(pair[0])))


def standings(table, pools, shares):
    """Mean differences over the pools at each budget, and how often a choice won and lost."""
    heads = [f"points at {100 * share:g} %" for share in shares] + ["accuracy: won, lost", "perplexity: won, lost", "at equal words: won, lost"]
    lines = ["| choice | vectors | " + " | ".join(heads) + " |", "|---|---|" + "--:|" * len(heads)]
    for vectors, choice in names(table):
        if choice == choices.UNIFORM:
            continue
        found = {(name, share): [result for pool in pools if (result := table.compared((pool, "", vectors, choice, share), name))]
                 for name in FIGURES for share in shares}
        cells = []
        for share in shares:
            means = [result[0] for name in ("nearest", "probe") for result in found[name, share]]
            cells.append(f"{statistics.mean(means):+.1f}" if means else "")
        for some in (("nearest", "probe"), ("speech",), ("speech at words",)):
            results = [result for name in some for share in shares for result in found[name, share]]
            cells.append(f"{sum(r[2] > 0 for r in results)}, {sum(r[2] < 0 for r in results)} of {len(results)}" if results else "")
        there = [pool for pool in pools if any(key[0] == pool and key[1:4] == ("", vectors, choice) for key in table.rows)]
        some_pools = "" if there == pools else f" ({', '.join(there)} only)"
        lines.append(f"| {choice} | {vectors}{some_pools} | " + " | ".join(cells) + " |")
    return lines


def of_pool(table, pool, shares):
    """Uniform random's figures, and each choice's difference to them."""
    heads = [f"{100 * share:g} %: {title}" for share in shares for title in ("1-NN", "probe", "perplexity", "words")]
    lines = ["| choice | vectors | " + " | ".join(heads) + " |", "|---|---|" + "--:|" * len(heads)]
    for vectors, choice in names(table):
        cells = []
        for share in shares:
            key = pool, "", vectors, choice, share
            if key not in table.rows:
                cells += [""] * 4
                continue
            words = statistics.mean(row["words"] for rows in table.rows[key].values() for row in rows)
            if choice == choices.UNIFORM:
                cells += absolute(table, key) + [f"{words:,.0f}"]
            else:
                base = statistics.mean(row["words"] for rows in table.rows[pool, "", "", choices.UNIFORM, share].values() for row in rows)
                cells += [shown(name, table.compared(key, name)) for name in ("nearest", "probe", "speech")] + [f"{words / base:.2f}"]
        lines.append(f"| {choice} | {vectors} | " + " | ".join(cells) + " |")
    full = pool, "", "", FULL, 1.0
    if full in table.rows:
        lines += ["", f"The full pool: 1-NN {absolute(table, full)[0]}, probe {absolute(table, full)[1]}, perplexity {absolute(table, full)[2]}."]
    return lines


def absolute(table, key):
    """Mean figures and the standard deviation over seeds."""
    cells = []
    for name in ("nearest", "probe", "speech"):
        values = list(table.figures(key, name).values())
        values = [math.exp(-value) for value in values] if name == "speech" else values
        cells.append(f"{statistics.mean(values):.1f}" + (f" (sd {statistics.stdev(values):.1f})" if len(values) > 1 else ""))
    return cells


def of_faults(table, fault, pools, shares):
    heads = [f"{pool}, {100 * share:g} %: {title}" for pool in pools for share in shares
             for title in [*{"duplicates": ["copies"], "garbage": ["garbage"]}.get(fault, []), "1-NN", "probe", "perplexity"]]
    lines = ["| choice | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for vectors, choice in names(table, fault):
        cells = []
        for pool in pools:
            for share in shares:
                key = pool, fault, vectors, choice, share
                rows = [row for seeds in table.rows.get(key, {}).values() for row in seeds]
                if fault != "skew":
                    column = "copies" if fault == "duplicates" else "garbage"
                    cells.append(f"{100 * statistics.mean(row[column] for row in rows):.1f} %" if rows else "")
                if not rows:
                    cells += [""] * 3
                elif choice == choices.UNIFORM:
                    cells += absolute(table, key)
                else:
                    cells += [shown(name, table.compared(key, name)) for name in ("nearest", "probe", "speech")]
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
    return lines


def all_faults(table, pools, shares):
    """Over the pools: what is kept of the faults at the largest budget, and mean differences of the accuracies."""
    faults = [fault for fault in ("duplicates", "garbage", "skew") if any(key[1] == fault for key in table.rows)]
    heads = [f"{fault}, kept at {100 * shares[-1]:g} %" for fault in faults if fault != "skew"]
    heads += [f"{fault}: points at {100 * share:g} %" for fault in faults for share in shares]
    lines = ["| choice | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for vectors, choice in names(table, faults[0]):
        cells = []
        for fault in faults:
            if fault != "skew":
                rows = [row for pool in pools for some in table.rows.get((pool, fault, vectors, choice, shares[-1]), {}).values() for row in some]
                cells.append(f"{100 * statistics.mean(row['copies' if fault == 'duplicates' else 'garbage'] for row in rows):.1f} %" if rows else "")
        for fault in faults:
            for share in shares:
                found = [result[0] for pool in pools for name in ("nearest", "probe")
                         if (result := table.compared((pool, fault, vectors, choice, share), name))]
                cells.append(f"{statistics.mean(found):+.1f}" if found else "")
        lines.append(f"| {choice} | " + " | ".join(cells) + " |")
    return lines


def report(bench, loaded, given):
    rows = [json.loads(line) for line in bench.rows.read_text().splitlines()]
    table, pools = Table(rows), [name for name in loaded if any(row["pool"] == name for row in rows)]
    shares = sorted({row["share"] for row in rows if not row["fault"] and row["share"] < 1})
    about = {"machine": measure.machine(), "commit": measure.commit(Path(__file__).parent), "date": str(datetime.date.today()),
             "versions": {"sluice": measure.first_line([str(bench.sluice), "--version"]).split()[-1]}}
    seeds = len({row["seed"] for row in rows})
    lines = ["# What selection is worth", "", measure.describe(about), "", f"`Benchmarks/run.sh worth`; {seeds} seeds, {len(rows):,} selections judged.", ""]
    lines += ["Uniform random's row has its own figures: macro accuracy in percent of the nearest record's label and of a linear probe, perplexity, and words.",
              "All other rows are differences to it at the same number of records, with 95 % intervals over seeds: percentage points, percent of the",
              "perplexity (lower is better), and words as a ratio. **Bold** won, *italic* lost. Accuracies are the mean of wordllama's and MiniLM's vectors; selections by",
              "`static` are judged by MiniLM alone, those by `onnx` by wordllama alone. «Equal words» compares a perplexity with that of uniform random with as many",
              "words. Of the cells without a real difference, one in twenty is marked by chance.", "", "## All pools", "",
              "Points: difference of the accuracies (1-NN and probe) to uniform random, mean over the pools. Won and lost: cells of a pool, a budget and a",
              "figure.", ""]
    lines += standings(table, pools, shares)
    for name in pools:
        pool = loaded[name]
        lines += ["", f"## {name}: {round(0.8 * len(pool.records)):,} records a seed, {len(pool.labels)} labels, {len(pool.held_out):,} held out", ""]
        lines += of_pool(table, name, shares)
    shares = sorted({row["share"] for row in rows if row["fault"]})
    if shares:
        lines += ["", "## Planted faults", "", "30 % duplicates, 5 % garbage, labels of sizes 100 to 1 (worth_pools.py). Vectors: `lsa`. Kept: shares of the kept records that are copies of another",
                  "kept one, and that are garbage. Points: as above, mean over the pools.", ""] + all_faults(table, pools, shares)
    for fault in ("duplicates", "garbage", "skew"):
        there = [name for name in pools if any(row["fault"] == fault and row["pool"] == name for row in rows)]
        if there:
            lines += ["", f"### {fault.capitalize()}", "", "Judged by wordllama's vectors and the language model.", ""]
            lines += of_faults(table, fault, there, sorted({row["share"] for row in rows if row["fault"] == fault}))
    text = "\n".join(lines) + "\n"
    print(text)
    if given.results:
        stem = given.results / f"{about['date']}-worth"
        stem.with_suffix(".md").write_text(text)
        about["pools"] = {name: {"records": len(pool.records), "held_out": len(pool.held_out), "labels": len(pool.labels)} for name, pool in loaded.items()}
        stem.with_suffix(".json").write_text(f'{{"about": {json.dumps(about)},\n"rows": [\n' + ",\n".join(packed(rows)) + "\n]}\n")


def packed(rows):
    """A line for each choice, budget and pool: its figures in the order of seeds, then draws."""
    cells = {}
    for row in sorted(rows, key=lambda row: (row["seed"], row["draw"])):
        cells.setdefault(tuple(row[name] for name in ("pool", "fault", "vectors", "choice", "share")), []).append(row)
    for (pool, fault, vectors, choice, share), some in cells.items():
        figures = [name for name in some[0] if name not in ("pool", "fault", "vectors", "choice", "share", "draw", "kept", "wall")]
        yield json.dumps({"pool": pool, **({"fault": fault} if fault else {}), **({"vectors": vectors} if vectors else {}), "choice": choice, "share": share,
                          **{name: [row[name] for row in some] for name in figures}}, separators=(",", ":"))


def unpacked(cells):
    """The rows of `packed`, but for what it leaves out. Only uniform random has several draws a seed, one after the other."""
    for cell in cells:
        figures = {name: values for name, values in cell.items() if isinstance(values, list) and name != "seed"}
        seen = {}
        for place, seed in enumerate(cell["seed"]):
            draw = seen[seed] = seen.get(seed, -1) + 1
            head = {"pool": cell["pool"], "fault": cell.get("fault", ""), "seed": seed, "vectors": cell.get("vectors", ""),
                    "choice": cell["choice"], "draw": draw, "share": cell["share"]}
            yield {**head, **{name: values[place] for name, values in figures.items()}}
