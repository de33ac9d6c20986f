#!/usr/bin/env python3
"""Runs every code block of the documents, each document in a folder of its own with demo data, and looks for dead links.

    scripts/documents.py PROGRAM [--python PYTHON] [DOCUMENT ...]

What a block is, its language says:

  sh       commands, which must end with status 0
  console  commands after `$ `, and what they print. `…` in a line stands for any text, a line of its own for any lines;
           times and peak memory are not compared
  yaml     a definition, or a part of one, which is completed; `sluice check` must find no mistake. A first line such as
           `# sft.yaml` names the file for later blocks
  json     JSON values, jsonl one on each line
  python   a script
  text     output or a picture; not run

Comments before a block say more, and readers don't see them:

  <!-- skip: REASON -->      it is not run here
  <!-- needs: NAME -->       it is skipped if this Python package is missing, or with a `/` this file of the project, such
                             as a model in .models/
  <!-- file: NAME -->        its text is written to this file, and not run
  <!-- status: 2 -->         the commands, or `sluice check`, end with this status
  <!-- from: PATH -->        its lines stand in this file, which is compiled or tested elsewhere. docs/writing-stages.md is
                             compared by a test of its own
  <!-- sh COMMANDS -->       commands that come first, over one or more lines
"""

import argparse
import collections
import concurrent.futures
import functools
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKS = ("skip", "needs", "file", "status", "from")
# Stages that a part of a definition may need before it: the first that `check` accepts is taken.
BEFORE = [
    [],
    ["format"],
    ["format", "embed: {model: lexical}"],
    ["format", "embed: {model: lexical}", "cluster: {clusters: 4}"],
    ["format", "embed: {model: lexical}", "cluster: {clusters: 4}", "coreset: {keep: 5%, per: cluster}"],
]

Block = collections.namedtuple("Block", "line language text marks setup")


class Wrong(Exception):
    """A block that does not do what the document says."""


def blocks(text):
    """The fenced blocks of a document, with the comments before each."""
    marks, setup, found = {}, [], []
    lines = enumerate(text.split("\n"), 1)
    for number, line in lines:
        stripped = line.strip()
        if stripped.startswith("```"):
            indent, language = len(line) - len(line.lstrip()), stripped[3:].strip() or "text"
            body = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                body.append(inner[indent:] if inner[:indent].isspace() else inner)
            else:
                raise Wrong(f"line {number}: the block has no end")
            found.append(Block(number, language, "\n".join(body) + "\n", marks, "\n".join(setup)))
            marks, setup = {}, []
        elif stripped.startswith("<!-- sh"):
            commands = [stripped[len("<!-- sh"):]]
            while not commands[-1].rstrip().endswith("-->"):
                commands.append(next(lines)[1])
            setup.append("\n".join(commands).rstrip()[: -len("-->")])
        elif mark := re.fullmatch(r"<!-- (\w+): (.*) -->", stripped):
            if mark[1] not in MARKS:
                raise Wrong(f"line {number}: unknown mark `{mark[1]}`; known are {', '.join(MARKS)}")
            marks[mark[1]] = mark[2]
        elif stripped and (marks or setup):
            raise Wrong(f"line {number}: the comment before this line belongs to no block")
    return found


def file_name(block):
    """The file that a block is written to, if it has a name."""
    first = re.match(r"# ([\w.-]+\.ya?ml)\b", block.text) if block.language == "yaml" else None
    return block.marks.get("file") or (first[1] if first else None)


def agrees(expected, actual):
    """Whether output is as written, but for `…`, times and peak memory."""

    def plain(line):
        return re.sub(r"[\d.:]+ s, peak memory [\d.]+ [KMG]iB", "TIME, peak memory", line.rstrip())

    pattern = ""
    for line in expected:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(piece) for piece in plain(line).split("…")) + r"\n"
    lines = [plain(line) for line in actual if not re.match(r"step \d+, ", line)]  # progress
    return re.fullmatch(pattern, "".join(line + "\n" for line in lines))


class Document:
    def __init__(self, path, folder, settings):
        self.path, self.folder, self.settings = path, folder, settings
        self.ran, self.skipped, self.failures = 0, [], []
        search = f"{settings.bin}:{pathlib.Path(settings.python).parent}:{os.environ['PATH']}"
        self.environment = dict(
            os.environ, PATH=search, COLUMNS="80", PYTHONDONTWRITEBYTECODE="1", HF_HOME=str(folder / "hf"),
            HF_HUB_OFFLINE="1")

    def run(self):
        found = blocks((ROOT / self.path).read_text(encoding="utf-8"))
        for block in found:
            if (name := file_name(block)) and "skip" not in block.marks:
                target = self.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, encoding="utf-8")
        for block in found:
            try:
                self.do(block)
            except (Wrong, subprocess.TimeoutExpired) as wrong:
                self.failures.append(f"{self.path}:{block.line}: {wrong}")

    def do(self, block):
        if reason := self.reason_to_skip(block):
            self.skipped.append(f"skipped: {self.path}:{block.line}: {reason}")
            return
        if block.setup:
            self.call(["bash", "-euc", block.setup])
        if block.language == "swift" and str(self.path) == "docs/writing-stages.md":
            return
        if source := block.marks.get("from"):
            self.compare(block, source)
        elif block.language == "yaml":
            self.check(block)
        elif "file" in block.marks:
            pass
        elif action := getattr(self, block.language, None):
            action(block)
        elif block.language != "text":
            raise Wrong(f"don't know how to run `{block.language}`; see scripts/documents.py")
        self.ran += block.language != "text"

    def reason_to_skip(self, block):
        if "skip" in block.marks:
            return block.marks["skip"]
        for name in block.marks.get("needs", "").split():
            if "/" in name and not (ROOT / name).exists():
                return f"needs {name}"
            if "/" not in name and not has(self.settings.python, name):
                return f"needs the Python package {name}"
        return None

    def call(self, command, status=0):
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
        if result.returncode != status:
            raise Wrong(f"ended with status {result.returncode}, not {status}:\n{textwrap.indent(result.stdout, '    ')}")
        return result.stdout

    def sh(self, block):
        self.call(["bash", "-euo", "pipefail", "-c", block.text], int(block.marks.get("status", 0)))

    def python(self, block):
        self.call([self.settings.python, "-c", block.text], int(block.marks.get("status", 0)))

    def console(self, block):
        commands = []
        for line in block.text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif not commands:
                raise Wrong("output before the first command")
            elif commands[-1][0].endswith("\\"):
                commands[-1] = (f"{commands[-1][0]}\n{line}", [])
            else:
                commands[-1][1].append(line)
        for number, (command, expected) in enumerate(commands):
            last = number == len(commands) - 1
            output = self.call(["bash", "-euo", "pipefail", "-c", command], int(block.marks.get("status", 0)) if last else 0)
            if not agrees(expected, output.splitlines()):
                raise Wrong(f"`{command}` printed\n{textwrap.indent(output, '    ')}")

    def json(self, block):
        decoder, rest = json.JSONDecoder(), block.text.strip()
        while rest:
            try:
                rest = rest[decoder.raw_decode(rest)[1]:].lstrip()
            except ValueError as error:
                raise Wrong(f"no JSON: {error}: {rest[:60]}") from None

    def jsonl(self, block):
        for line in block.text.splitlines():
            try:
                json.loads(line)
            except ValueError as error:
                raise Wrong(f"no JSON: {error}: {line[:60]}") from None

    def compare(self, block, source):
        """Its lines stand in the file, in this order, however they are indented."""
        lines = (line.strip() for line in (ROOT / source).read_text(encoding="utf-8").splitlines())
        for line in filter(None, map(str.strip, block.text.splitlines())):
            if line not in lines:
                raise Wrong(f"{source} does not have this line here: {line}")

    def check(self, block):
        """A definition as it stands, or a part of one with all that is missing."""
        text = textwrap.dedent(block.text)
        keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
        if {"sluice", "input", "output"} <= keys:
            return self.call(["sluice", "check", self.write(text, file_name(block))], int(block.marks.get("status", 0)))
        if file_name(block):
            return None  # the stages that another definition uses
        is_list = text.lstrip("\n").startswith(("- ", "#")) and not keys
        problem = None
        for before in BEFORE if is_list or "stages" not in keys else [[]]:
            parts = [] if "sluice" in keys else ["sluice: 1"]
            parts += [] if "input" in keys else ['input: {files: ["data/p3-*.jsonl.zst"]}']
            parts += [] if "output" in keys else ["output: {directory: out}"]
            stages = [f"  - {stage}" for stage in before] + ([textwrap.indent(text, "  ")] if is_list else [])
            parts += ["stages:"] + stages if stages else []
            parts += [] if is_list else [text]
            try:
                return self.call(["sluice", "check", self.write("\n".join(parts) + "\n", None)])
            except Wrong as wrong:
                problem = wrong
        raise problem

    def write(self, text, name):
        name = name or "block.yaml"
        (self.folder / name).write_text(text, encoding="utf-8")
        return name


def headings(text):
    """The anchors of a page, as GitHub makes them."""
    found = collections.Counter()
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        if heading := re.match(r"#+ +(.*)", line):
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            found[name] += 1
            if found[name] > 1:
                found[f"{name}-{found[name] - 1}"] += 1
    return found


def dead_links(paths):
    """Links between pages that lead to no file, or to no heading of it."""
    pages = {path: (ROOT / path).read_text(encoding="utf-8") for path in paths}
    for path, text in pages.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([^)\s]+))?\)", re.sub(r"`[^`]*`", "", prose)):
            file = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else str(path)
            if not (ROOT / file).exists():
                yield f"{path}: there is no {target}"
            elif anchor and file in pages and anchor not in headings(pages[file]):
                yield f"{path}: {target or 'the page'} has no heading #{anchor}"


@functools.cache
def has(python, package):
    command = [python, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec('{package}') is None)"]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def demo(program, folder):
    """The folders `examples` and `data`, in which `p3-00` and `p3-01` have 2,000 records with prompt and completion."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns(".build", "out", "*.swift"))
    (folder / "data").mkdir()
    if (ROOT / ".models").exists():
        (folder / ".models").symlink_to(ROOT / ".models")
    definition = folder / "make.yaml"

    def run(files, name, stages, output):
        definition.write_text(f"sluice: 1\ninput: {{files: [{files}]}}\nstages: [{stages}]\noutput: {{directory: {name}, {output}}}\n")
        subprocess.run([program, "run", definition, "--progress", "none"], check=True, stderr=subprocess.DEVNULL)

    run("examples/data/demo-*.jsonl.zst", "plain", "format, {match: {keep: {field: output, exists: true}}}", "compression: none")
    for part in range(2):
        with open(folder / "plain/kept.jsonl", encoding="utf-8") as source, open(folder / "part.jsonl", "w", encoding="utf-8") as target:
            for number, line in enumerate(source):
                if number % 2 == part and number < 2000:
                    target.write(json.dumps(p3(number, json.loads(line))) + "\n")
        run("part.jsonl", "packed", "", "compression: zstd")
        (folder / "packed/kept.jsonl.zst").rename(folder / f"data/p3-0{part}.jsonl.zst")
        shutil.rmtree(folder / "packed")
    shutil.rmtree(folder / "plain")
    definition.unlink()
    (folder / "part.jsonl").unlink()


def p3(number, record):
    """A record of the demo data with the fields that the documents speak of."""
    prompt = "\n".join(filter(None, [record["instruction"], record.get("input")]))
    return {
        "id": number, "prompt": prompt, "completion": record["output"], "template": record["ability"], "ability": record["ability"],
        "lang": ("en", "de", "fr")[number % 3], "score": number % 10 / 10, "meta": {"source": f"set-{number % 7}", "score": number % 5},
    }


def main():
    parser = argparse.ArgumentParser(description="Runs the code blocks of the documents.")
    parser.add_argument("program")
    parser.add_argument("documents", nargs="*")
    parser.add_argument("--python", default=sys.executable)
    settings = parser.parse_args()
    settings.program = os.path.abspath(settings.program)
    settings.python = os.path.abspath(shutil.which(settings.python) or settings.python)
    paths = settings.documents or ["README.md", *sorted(glob.glob("docs/*.md", root_dir=ROOT)), "examples/README.md", "examples/python-stage/README.md"]
    paths += [] if settings.documents else sorted(glob.glob("Sources/*/*.docc/*.md", root_dir=ROOT))
    failures = 0
    with tempfile.TemporaryDirectory(prefix="sluice-documents-") as space:
        home = pathlib.Path(space)
        settings.bin = home / "bin"
        settings.bin.mkdir()
        (settings.bin / "sluice").symlink_to(settings.program)
        (home / "demo").mkdir()
        demo(settings.program, home / "demo")

        def run(numbered):
            folder = home / str(numbered[0])
            shutil.copytree(home / "demo", folder, symlinks=True)
            document = Document(pathlib.Path(numbered[1]), folder, settings)
            try:
                document.run()
            except Wrong as wrong:
                document.failures.append(f"{document.path}: {wrong}")
            return document

        with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            for document in pool.map(run, enumerate(paths)):
                print(*document.skipped, f"{document.path}: {document.ran} blocks ran, {len(document.skipped)} skipped", sep="\n")
                for failure in document.failures:
                    print(f"documents: {failure}", file=sys.stderr)
                failures += len(document.failures)
    pages = [page for page in glob.glob("**/*.md", root_dir=ROOT, recursive=True) if not page.startswith("Benchmarks/.")]
    for link in dead_links(sorted(set(pages + paths))):
        print(f"documents: {link}", file=sys.stderr)
        failures += 1
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
