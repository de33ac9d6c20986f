"""The protocol of Sluice's `external` stage, for programs in Python. Standard library only; copy it next to your program.

    from sluice_stage import Drop, run

    def judge(record, columns):
        words = columns["text"].split()
        if len(words) < 3:
            return Drop("too-short", words=len(words))
        return {"words": len(words)}

    run(judge, name="judge", version="1")

`record` has the fields that `reads` names (all of them with `whole_record`), `columns` the columns of earlier stages. The
result must follow from them alone: any record may come to any of the programs, and twice. `print` is safe: it goes to
standard error.
"""

import json
import os
import sys


class Drop:
    """A record leaves the run, for a reason that is counted, with numbers and texts for the ledger."""

    def __init__(self, reason, **note):
        self.reason = reason
        self.note = note


def run(function, name=None, version=None, prepare=None):
    """Answers every record with what `function(record, columns)` returns: a dict of columns, a `Drop`, or None.

    `prepare(hello)`, if there is one, is called once before the first record, with what the stage is told at its start:
    `hello["options"]` and `hello["files"]` are those of the definition. It is skipped where only the start is checked.
    """
    # What others print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n", buffering=1 << 13)
    os.dup2(2, 1)
    lines = os.fdopen(os.dup(0), encoding="utf-8", newline="\n")

    hello = json.loads(lines.readline())
    if hello["sluice"] != 1:
        sys.exit(f"this program speaks version 1 of the protocol, not {hello['sluice']}")
    if prepare is not None and not hello.get("check"):
        prepare(hello)
    ready = {"sluice": 1, "ready": True, "name": name, "version": version}
    answers.write(json.dumps({key: value for key, value in ready.items() if value is not None}) + "\n")
    answers.flush()

    for line in lines:
        question = json.loads(line)
        answer = {"id": question["id"]}
        try:
            result = function(question["record"], question["columns"])
        except Exception as error:
            # Ends the run, with the place of this record.
            sys.excepthook(*sys.exc_info())
            result = None
            answer["error"] = f"{type(error).__name__}: {error}"
        if isinstance(result, Drop):
            answer["drop"] = result.reason
            if result.note:
                answer["note"] = result.note
        elif result:
            answer["columns"] = result
        answers.write(json.dumps(answer, allow_nan=False) + "\n")
        # The last record of a batch: all its answers are waited for.
        if question["more"] == 0 or "error" in answer:
            answers.flush()
