"""Learners that judge a selection for `worth.py`, by records that were held out before anything was selected.

Encoders (frozen, on prompts alone; the selections see prompts with answers): the nearest selected record has the label of a held-out one (1-NN),
and a linear probe (ridge regression onto the labels, each label of the same weight; the largest output). Both as the mean over labels, each
counting the same. The plain probe has no such weights: it also punishes a selection whose labels are of other shares than all records'.

Language model: words and punctuation, three at a time, interpolated by Witten and Bell's rule, which has nothing to tune. It learns from prompts
and answers; the figure is the perplexity of the held-out answers given the two words before, its logarithm being the mean over labels. Its
vocabulary is fixed by the pool: what occurs in at least two of its records; all else is one unknown word. So figures of one pool compare.
"""

import re

import numpy as np

LEAST = 5
RIDGE = 1.0
PROMPT_WORDS, ANSWER_WORDS = 400, 200
WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


class Macro:
    """The mean over the labels of held-out records, of those labels that have at least `LEAST` of them."""

    def __init__(self, labels):
        self.labels = labels
        counts = np.bincount(labels)
        self.used = np.flatnonzero(counts >= LEAST)
        self.counts = counts[self.used]

    def __call__(self, figures):
        return float((np.bincount(self.labels, figures, minlength=self.used[-1] + 1)[self.used] / self.counts).mean())


class Encoder:
    """Judges by one frozen encoder's vectors of prompts: rows of a pool, and held-out rows."""

    def __init__(self, pool, held_out, pool_labels, held_labels, labels):
        self.pool, self.held_out = unit(pool), unit(held_out)
        self.pool_labels, self.held_labels, self.labels = pool_labels, held_labels, labels
        self.macro = Macro(held_labels)

    def judge(self, rows):
        vectors, labels = self.pool[rows], self.pool_labels[rows]
        nearest = labels[(self.held_out @ vectors.T).argmax(1)]
        sizes = np.bincount(labels, minlength=self.labels)
        found = {"nearest": nearest}
        for name, weights in (("probe", len(rows) / np.count_nonzero(sizes) / sizes[labels]), ("plain probe", np.ones(len(rows)))):
            found[name] = self.probed(vectors, labels, weights.astype(np.float32)[:, None])
        return {name: self.macro(answer == self.held_labels) for name, answer in found.items()}

    def probed(self, vectors, labels, weights):
        """The label with the largest output of a ridge regression, for each held-out row."""
        wanted = np.zeros((len(labels), self.labels), dtype=np.float32)
        wanted[np.arange(len(labels)), labels] = 1
        mean, share = (vectors * weights).mean(0), (wanted * weights).mean(0)
        centred = vectors - mean
        slopes = np.linalg.solve((centred * weights).T @ centred + RIDGE * np.eye(centred.shape[1], dtype=np.float32),
                                 (centred * weights).T @ (wanted - share))
        return ((self.held_out - mean) @ slopes + share).argmax(1)


def words_of(record):
    return WORDS.findall(record["prompt"].casefold())[-PROMPT_WORDS:], WORDS.findall(record["completion"].casefold())[:ANSWER_WORDS]


class Language:
    """A vocabulary from a pool, and the held-out answers as numbers."""

    UNKNOWN, START, ANSWER, END = 0, 1, 2, 3

    def __init__(self, records, held_out, held_labels):
        texts = [words_of(record) for record in records]
        seen = {}
        for prompt, answer in texts:
            for word in set(prompt) | set(answer):
                seen[word] = seen.get(word, 0) + 1
        self.numbers = {word: number + 4 for number, word in enumerate(sorted(word for word, count in seen.items() if count >= 2))}
        self.size = len(self.numbers) + 4
        self.rows = [self.encoded(text) for text in texts]
        self.macro = Macro(held_labels)
        self.target, self.owner = [], []
        for row, record in enumerate(held_out):
            text = words_of(record)
            numbers = self.encoded(text)
            answer = len(text[0]) + 3
            self.target.append(np.stack([numbers[answer - 2:-2], numbers[answer - 1:-1], numbers[answer:]]))
            self.owner += [row] * (len(numbers) - answer)
        self.target = np.concatenate(self.target, axis=1)
        self.owner = np.array(self.owner)
        self.lengths = np.bincount(self.owner, minlength=len(held_out))

    def encoded(self, text):
        known = self.numbers.get
        prompt, answer = ([known(word, self.UNKNOWN) for word in part] for part in text)
        return np.array([self.START, self.START, *prompt, self.ANSWER, *answer, self.END], dtype=np.int64)

    def judge(self, rows):
        """Perplexity of the held-out answers, and how many words were learned from. Rows: of `records`, or encoded texts."""
        texts = [self.rows[row] if isinstance(row, (int, np.integer)) else row for row in rows]
        grams = [np.concatenate([text[place:len(text) - 2 + place] for text in texts]) for place in range(3)]
        size = self.size
        chance = np.bincount(grams[2], minlength=size).astype(np.float64)
        kinds = np.count_nonzero(chance)
        chance = (chance + kinds / size) / (chance.sum() + kinds)
        found = chance[self.target[2]]
        context, held = grams[1], self.target[1]
        for longer in range(2):
            if longer:
                context, held = grams[0] * size + grams[1], self.target[0] * size + self.target[1]
            found = self.interpolated(context, grams[2], held, found)
        by_record = np.bincount(self.owner, -np.log(found), minlength=len(self.lengths)) / self.lengths
        return {"perplexity": float(np.exp(self.macro(by_record))), "words": int(sum(map(len, texts)))}

    def interpolated(self, context, word, held, shorter):
        """Witten and Bell: (count + kinds after the context · chance by the shorter context) / (all after it + kinds)."""
        keys, counts = np.unique(context * self.size + word, return_counts=True)
        owners, first = np.unique(keys // self.size, return_index=True)
        kinds = np.diff(np.append(first, len(keys)))
        totals = np.add.reduceat(counts, first)
        place = np.minimum(np.searchsorted(owners, held), len(owners) - 1)
        known = owners[place] == held
        wanted = held * self.size + self.target[2]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        count = np.where(keys[at] == wanted, counts[at], 0)
        return np.where(known, (count + kinds[place] * shorter) / (totals[place] + kinds[place]), shorter)
