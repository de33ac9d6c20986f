"""The runner of the documents' code blocks fails where a document is wrong. Argument: the path of the program."""

import argparse
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True
import documents  # noqa: E402

PROGRAM = str(pathlib.Path(sys.argv.pop()).resolve())


def fenced(language, text, marks=""):
    return f"{marks}\n```{language}\n{text}\n```\n"


class DocumentTests(unittest.TestCase):
    def outcome(self, text):
        """The number of blocks that ran and were skipped, and the failures."""
        with tempfile.TemporaryDirectory() as space:
            home = pathlib.Path(space)
            (home / "bin").mkdir()
            (home / "bin" / "sluice").symlink_to(PROGRAM)
            (home / "data").mkdir()
            (home / "data" / "p3-00.jsonl.zst").write_bytes(b"")
            (home / "page.md").write_text(text, encoding="utf-8")
            settings = argparse.Namespace(bin=home / "bin", python=sys.executable)
            document = documents.Document(home / "page.md", home, settings)
            document.run()
            return document.ran, len(document.skipped), document.failures

    def test_what_is_right_runs(self):
        definition = "# some.yaml\nsluice: 1\ninput: {files: [x.jsonl]}\noutput: {directory: out}"
        text = (
            fenced("yaml", "- sample: {keep: 5%}\n- coreset: {keep: 10, per: cluster}")
            + fenced("yaml", "output: {directory: out, level: 5}")
            + fenced("yaml", definition, "<!-- sh echo {} > x.jsonl -->")
            + fenced("console", "$ sluice run some.yaml\nread 1 = kept …\n…")
            + fenced("sh", "exit 3", "<!-- status: 3 -->")
            + fenced("python", "assert open('x.jsonl').read() == '{}\\n'")
            + fenced("json", '{"a": 1}\n{"b": [2]}')
            + fenced("swift", "x", "<!-- skip: no compiler -->")
            + fenced("python", "import none", "<!-- needs: no_such_package -->")
            + fenced("", "$ not run")
        )
        self.assertEqual(self.outcome(text), (7, 2, []))

    def test_what_is_wrong_fails_with_its_line(self):
        for block in [
            fenced("yaml", "- sampel: {keep: 5%}"),
            fenced("yaml", "- sample: {keep: lots}"),
            fenced("yaml", "output: {directory: out, levl: 5}"),
            fenced("yaml", "sluice: 1\ninput: {files: [none.jsonl]}\noutput: {directory: out}"),
            fenced("console", "$ echo one\ntwo"),
            fenced("console", "$ echo one\none\n…\nthree"),
            fenced("sh", "false | true"),
            fenced("sh", "true", "<!-- status: 2 -->"),
            fenced("python", "assert False"),
            fenced("json", '{"a": }'),
            fenced("jsonl", '{"a": 1} {"b": 2}'),
            fenced("swift", "let a = 1", "<!-- from: Makefile -->"),
            fenced("fortran", "x"),
        ]:
            with self.subTest(block):
                ran, _, failures = self.outcome("# Page\n" + block)
                self.assertEqual((ran, len(failures)), (0, 1))
                self.assertIn(f"page.md:3: ", failures[0])

    def test_marks_are_checked(self):
        for text in ["<!-- skpi: x -->\n```sh\n```\n", "<!-- skip: x -->\n\ntext\n", "```sh\nno end\n"]:
            with self.subTest(text), self.assertRaises(documents.Wrong):
                self.outcome(text)

    def test_links(self):
        with tempfile.TemporaryDirectory() as space, unittest.mock.patch.object(documents, "ROOT", pathlib.Path(space)):
            home = pathlib.Path(space)
            (home / "docs").mkdir()
            (home / "docs/b.md").write_text("# One `two`: 3 %\n## Same\n## Same\n```sh\n# no heading\n```\n", encoding="utf-8")
            right = "[a](docs/b.md) [b](docs/b.md#one-two-3-) [c](docs/b.md#same-1) [d](#top) [e](https://x.org/y) `[f](g.md)`"
            wrong = "[a](docs/c.md) [b](docs/b.md#no-heading) [c](#bottom)"
            for text, count in [(right, 0), (wrong, 3)]:
                (home / "a.md").write_text(f"# Top\n{text}\n", encoding="utf-8")
                self.assertEqual(len(list(documents.dead_links(["a.md", "docs/b.md"]))), count)

    def test_output(self):
        self.assertTrue(documents.agrees(["a … d", "…"], ["a b c d"]))
        printed = ["step 1, x: 5 %", "out: 1:02 s, peak memory 4.5 MiB of 9 MiB"]
        self.assertTrue(documents.agrees(["out: 0.1 s, peak memory 3 MiB of 9 MiB"], printed))
        self.assertFalse(documents.agrees(["a"], ["a", "b"]))
        self.assertFalse(documents.agrees(["a", "b"], ["a"]))
        self.assertFalse(documents.agrees(["a.c"], ["abc"]))


if __name__ == "__main__":
    unittest.main(verbosity=1)
