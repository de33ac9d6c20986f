"""Check and benchmark: the stages `quality`, `length` and `match` beside datatrove's filters, on the same texts.

usage: everyday.py --sluice BINARY --data FOLDER [--check] [--repetitions N] [--copies N] [--results FOLDER]

FOLDER has p3-*.jsonl.zst and abilities.jsonl.zst. `--check` compares the decision about every text, for each set of rules,
and prints how many agree and the first that don't. Otherwise it prints texts a second on one core.

datatrove's words come from a tokenizer of a language; here they are those of `str.split`, as the stage's are, which is also its
fastest way. Three more differences of the definitions are evened out for the check: a sentence ends as the stage says (datatrove:
spaCy's sentencizer); the most frequent n-gram counts if it occurs twice (datatrove: also once); and lines end at `\\n` alone.
datatrove's filters are timed on documents that are in memory; sluice's time is that of the whole command: start, unpacking, JSON,
hashes, ledger, and writing what is kept.
"""

import argparse
import datetime
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
GOPHER = ["gopher-min-words", "gopher-max-words", "gopher-min-mean-word", "gopher-max-mean-word", "gopher-hashes",
          "gopher-ellipses", "gopher-bullet-lines", "gopher-ellipsis-lines", "gopher-words-with-letters", "gopher-stop-words"]
REPETITION = ["gopher-repeated-paragraphs", "gopher-repeated-lines", "gopher-repeated-paragraph-characters",
              "gopher-repeated-line-characters", "gopher-top-2-gram", "gopher-top-3-gram", "gopher-top-4-gram",
              *(f"gopher-repeated-{n}-grams" for n in range(5, 11))]
PATTERN = r"(?i)\b(as an ai|language model|i cannot)\b"


def texts(folder):
    for path in [*sorted(folder.glob("p3-*.jsonl.zst")), folder / "abilities.jsonl.zst"]:
        with subprocess.Popen(["zstd", "-dcq", str(path)], stdout=subprocess.PIPE) as source:
            for line in source.stdout:
                record = json.loads(line)
                parts = [record.get(key) for key in ("prompt", "completion", "instruction", "input", "output")]
                text = "\n\n".join(part for part in parts if isinstance(part, str) and part.strip())
                # Python's str.splitlines knows more line ends than `\n`.
                yield re.sub("[\r\v\f\x1c-\x1e\x85\u2028\u2029]", " ", text).strip("\n")


def sentences(line):
    """As the stage counts them: marks, closing signs, then white space or the end; an open rest is one."""
    ends = re.findall(r"""[.?!](?:[.?!"')\]’”])*(?=\s)""", line)
    rest = re.split(r"""[.?!](?:[.?!"')\]’”])*\s""", line)[-1]
    return [""] * (len(ends) + bool(rest.strip()))


def filters(is_even):
    """datatrove's filters by the name of ours, with its words."""
    from datatrove.pipeline.filters import (
        C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter, LambdaFilter, RegexFilter)
    from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = lambda text, language=None: text.split()
    c4_filters.split_into_sentences = lambda text, language=None: sentences(text)
    if is_even:
        find = gopher_repetition_filter.find_top_duplicate

        def repeated(grams):
            return find(grams) if len(set(grams)) < len(grams) else 0
        gopher_repetition_filter.find_top_duplicate = repeated
    return {
        "gopher quality": (GopherQualityFilter(), f"quality: {{rules: [{', '.join(GOPHER)}], field: text}}"),
        "gopher repetition": (GopherRepetitionFilter(), f"quality: {{rules: [{', '.join(REPETITION)}], field: text}}"),
        "c4": (C4QualityFilter(), "quality: {rules: [c4], field: text}"),
        "fineweb": (FineWebQualityFilter(), "quality: {rules: [fineweb], field: text}"),
        "length in words": (LambdaFilter(lambda doc: 20 <= len(doc.text.split()) <= 1000),
                            "length: {unit: words, min: 20, max: 1000, field: text}"),
        "regular expression": (RegexFilter(PATTERN), f"match: {{drop: {{field: text, matches: '{PATTERN}'}}}}"),
    }


def sluice(binary, folder, stage, copies=1):
    """The indices of the texts that are kept, and the seconds of processor time of the run."""
    names = ", ".join(["in.jsonl.zst"] if copies == 1 else [f"in-{copy}.jsonl.zst" for copy in range(copies)])
    stages = f"stages:\n  - {stage}\n" if stage else ""
    (folder / "run.yaml").write_text(f"sluice: 1\ninput: {{files: [{names}]}}\n{stages}output: {{directory: out}}\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([binary, "run", "run.yaml", "--force", "--threads", "1", "--progress", "none"],
                   cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    if copies > 1:
        return None, seconds
    kept = subprocess.run(["zstd", "-dcq", "out/kept.jsonl.zst"], cwd=folder, check=True, capture_output=True).stdout
    return {json.loads(line)["n"] for line in kept.splitlines()}, seconds


def keeps(filter, document):
    result = filter.filter(document)
    return result if isinstance(result, bool) else result[0]


def check(binary, folder, all_texts):
    """Prints, for each filter, whether both keep the same texts. Returns how many decisions differ."""
    from datatrove.data import Document

    differ = 0
    for title, (filter, stage) in filters(is_even=True).items():
        kept, _ = sluice(binary, folder, stage)
        theirs = {n for n, text in enumerate(all_texts) if text.split() and keeps(filter, Document(text=text, id=str(n)))}
        other = sorted(kept ^ theirs)
        differ += len(other)
        print(f"{title}: {len(kept)} kept, {len(theirs)} by datatrove, {len(other)} texts differ")
        for n in other[:3]:
            print(f"    {'only ours' if n in kept else 'only theirs'}: {all_texts[n][:160]!r}")
    return differ


def rates(binary, folder, all_texts, options):
    """Texts a second of one core, in turns: by filter, those of each repetition."""
    from datatrove.data import Document

    found = {}
    for title, (filter, stage) in filters(is_even=False).items():
        ours, theirs = [], []
        for _ in range(options.repetitions):
            documents = [Document(text=text, id=str(n)) for n, text in enumerate(all_texts)]
            start = time.process_time()
            for document in documents:
                filter.filter(document)
            theirs.append(len(all_texts) / (time.process_time() - start))
            ours.append(options.copies * len(all_texts) / sluice(binary, folder, stage, options.copies)[1])
        found[title] = {"sluice": ours, "datatrove": theirs, "definition": stage}
    return found


def table(found, base, about, all_texts):
    lines = [
        "# Filters of text on one core", "",
        measure.describe(about), "",
        f"{len(all_texts):,} texts of P3 and abilities, {sum(map(len, all_texts)):,} characters. Texts a second of processor time, the "
        "median of the repetitions. sluice: the whole command (start, unpacking, JSON, hashes, ledger, writing what is kept), and what "
        f"the stage takes beyond a run that copies ({base:,.0f} texts a second). datatrove: its filter alone, on documents in memory, with "
        "words from `str.split`, the fastest way.", "",
        "| filter | sluice, whole command | stage alone | datatrove, filter alone | whole command to filter |", "|---|--:|--:|--:|--:|"]
    for title, rates in found.items():
        ours, theirs = (statistics.median(rates[tool]) for tool in ("sluice", "datatrove"))
        alone = 1 / max(1e-9, 1 / ours - 1 / base)
        lines.append(f"| {title} | {ours:,.0f} | {alone:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()

    all_texts = list(texts(options.data))
    binary = str(Path(options.sluice).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = "".join(json.dumps({"n": n, "text": text}, ensure_ascii=False) + "\n" for n, text in enumerate(all_texts))
        subprocess.run(["zstd", "-q", "-o", str(folder / "in.jsonl.zst")], input=lines.encode(), check=True)
        for copy in range(options.copies):
            (folder / f"in-{copy}.jsonl.zst").write_bytes((folder / "in.jsonl.zst").read_bytes())
        print(f"{len(all_texts)} texts, {sum(map(len, all_texts))} characters")
        if options.check:
            sys.exit(1 if check(binary, folder, all_texts) else 0)
        about = {
            "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
            "versions": {"sluice": measure.first_line([binary, "--version"]).removeprefix("sluice "), "datatrove": version("datatrove")}}
        found = rates(binary, folder, all_texts, options)
        base = statistics.median(
            options.copies * len(all_texts) / sluice(binary, folder, None, options.copies)[1] for _ in range(options.repetitions))
        text = table(found, base, about, all_texts)
        print(text)
        if options.results:
            stem = options.results / f"{about['date']}-everyday"
            stem.with_suffix(".json").write_text(json.dumps(dict(about, copy=base, rates=found), indent=1) + "\n")
            stem.with_suffix(".md").write_text(text + "\n")


main()
