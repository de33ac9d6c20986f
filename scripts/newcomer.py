#!/usr/bin/env python3
"""Follows the first part of docs/writing-stages.md as a newcomer does: writes its files and runs its commands, in their order,
in a folder that has nothing but a link to this one, and says how many seconds had passed after each.

    scripts/newcomer.py [FOLDER]
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = "examples/custom-stage/"
BLOCK = re.compile(r"((?:^<!-- .*? -->\n)*)^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(folder):
    (folder / "sluice").symlink_to(ROOT)
    part = (ROOT / "docs/writing-stages.md").read_text(encoding="utf-8").split("\n## Where results go")[0]
    start, here = time.monotonic(), folder

    def say(what):
        print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)

    for comments, language, text in BLOCK.findall(part):
        source = re.search(r"<!-- from: (\S+) -->", comments)
        if source:
            path = here / source[1].removeprefix(EXAMPLE)
            path.write_text(text, encoding="utf-8")
            say(f"wrote {path.relative_to(folder)}")
        elif language == "sh":
            for command in text.splitlines():
                if command.startswith("cd "):
                    here = here / command[3:]
                    continue
                status = subprocess.run(["bash", "-c", command], cwd=here, check=False).returncode
                say(command)
                if status != 0:
                    sys.exit(f"newcomer: status {status}: {command}")
    print("newcomer: every command of the page did what it says")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.makedirs(sys.argv[1])
        follow(pathlib.Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as name:
            follow(pathlib.Path(name))
