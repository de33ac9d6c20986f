"""Check and benchmark: the stages `quality`, `length` and `match` beside datatrove's filters, on the same texts.

usage: everyday.py --sluice BINARY --data FOLDER [--check] [--repetitions N] [--copies N]

FOLDER has p3-*.jsonl.zst and abilities.jsonl.zst. `--check` compares the decision about every text, for each set of rules,
and prints how many agree and the first that don't. Otherwise it prints texts a second on one core.

datatrove's words come from a tokenizer of a language; here they are those of `str.split`, as the stage's are, which is also its
fastest way. Three more differences of the definitions are evened out for the check: a sentence ends as the stage says (datatrove:
spaCy's sentencizer); the most frequent n-gram counts if it occurs twice (datatrove: also once); and lines end at `\\n` alone.
datatrove's filters are timed on documents that are in memory; sluice's time is that of the whole command: start, unpacking, JSON,
hashes, ledger, and writing what is kept.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    """The indices of the texts that are kept, and the seconds of the run."""
    names = ", ".join(["in.jsonl.zst"] if copies == 1 else [f"in-{copy}.jsonl.zst" for copy in range(copies)])
    (folder / "run.yaml").write_text(
        f"sluice: 1\ninput: {{files: [{names}]}}\nstages:\n  - {stage}\noutput: {{directory: out}}\n")
    start = time.monotonic()
    subprocess.run([binary, "run", "run.yaml", "--force", "--threads", "1", "--progress", "none"],
                   cwd=folder, check=True, capture_output=True)
    seconds = time.monotonic() - start
    if copies > 1:
        return None, seconds
    kept = subprocess.run(["zstd", "-dcq", "out/kept.jsonl.zst"], cwd=folder, check=True, capture_output=True).stdout
    return {json.loads(line)["n"] for line in kept.splitlines()}, seconds


def keeps(filter, document):
    result = filter.filter(document)
    return result if isinstance(result, bool) else result[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--copies", type=int, default=8)
    options = parser.parse_args()
    from datatrove.data import Document

    all_texts = list(texts(options.data))
    binary = str(Path(options.sluice).resolve())
    differ = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = "".join(json.dumps({"n": n, "text": text}, ensure_ascii=False) + "\n" for n, text in enumerate(all_texts))
        subprocess.run(["zstd", "-q", "-o", str(folder / "in.jsonl.zst")], input=lines.encode(), check=True)
        for copy in range(options.copies):
            (folder / f"in-{copy}.jsonl.zst").write_bytes((folder / "in.jsonl.zst").read_bytes())
        print(f"{len(all_texts)} texts, {sum(map(len, all_texts))} characters")
        for title, (filter, stage) in filters(options.check).items():
            if options.check:
                kept, _ = sluice(binary, folder, stage)
                theirs = {n for n, text in enumerate(all_texts) if text.split() and keeps(filter, Document(text=text, id=str(n)))}
                other = sorted(kept ^ theirs)
                differ += len(other)
                print(f"{title}: {len(kept)} kept, {len(theirs)} by datatrove, {len(other)} texts differ")
                for n in other[:3]:
                    print(f"    {'only ours' if n in kept else 'only theirs'}: {all_texts[n][:160]!r}")
                continue
            ours, theirs = [], []
            for _ in range(options.repetitions):
                documents = [Document(text=text, id=str(n)) for n, text in enumerate(all_texts)]
                start = time.monotonic()
                for document in documents:
                    filter.filter(document)
                theirs.append(len(all_texts) / (time.monotonic() - start))
                ours.append(options.copies * len(all_texts) / sluice(binary, folder, stage, options.copies)[1])
            fast, slow = statistics.median(ours), statistics.median(theirs)
            print(f"{title}: sluice {fast:,.0f} texts/s, datatrove {slow:,.0f} texts/s, {fast / slow:.1f} times as many")
    sys.exit(1 if differ else 0)


main()
