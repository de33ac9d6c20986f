"""Scores how concrete an answer is, and drops answers that repeat the question."""

from sluice_stage import Drop, run

least = 0.0
stop_words = set()


def prepare(hello):
    global least
    least = hello["options"]["least"]
    with open(hello["files"][0], encoding="utf-8") as file:
        stop_words.update(file.read().split())


def judge(record, columns):
    words = columns["text"].lower().split()
    asked = set((record.get("instruction") or "").lower().split())
    content = [word for word in words if word.strip(".,;:!?\"'()") not in stop_words]
    new = sum(word not in asked for word in content)
    share = new / len(words) if words else 0.0
    if share < least:
        return Drop("says-nothing-new", share=round(share, 3), words=len(words))
    return {"new_words": new, "concreteness": share}


run(judge, name="concreteness", version="1", prepare=prepare)
