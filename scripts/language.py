#!/usr/bin/env python3
"""Makes the model of the stage `language` from that of py3langid, and is its reference in plain Python.

    scripts/language.py make      writes Sources/CLanguageModel/model.zst
    scripts/language.py golden    writes Tests/PluginTests/Golden/language.jsonl: texts and what this file says of them

The model is that of py3langid 0.4.0 (BSD-3-Clause, see Sources/CLanguageModel/LICENSE): naive Bayes over byte n-grams of
2 to 6 bytes, in 139 languages and `zxx`, text without language (Lui and Baldwin 2011 and 2012). It is cut down:

- Wu and Cantonese (`wuu`, `yue`) count as Chinese, Egyptian and Moroccan Arabic (`arz`, `ary`) as Arabic. A quarter of
  short Chinese texts would have another name otherwise, and Arabic ones a low score.
- Of 100,053 n-grams 40,000 stay: those that say most about a language beyond what their longest suffix in the model
  says. At each place of a text only the longest n-gram that ends there counts, so what was counted for one that goes
  is added to that suffix, as if the model had been trained without it.
- Weights are half nats above what a language without the n-gram has. Those under 2.25 nats go.

`make` needs py3langid 0.4.0, numpy 2.4.6 and zstandard 0.25.0; with others, the last bits of the file may differ.
"""
import hashlib
import json
import math
import pathlib
import struct
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "Sources/CLanguageModel/model.zst"
GOLDEN = ROOT / "Tests/PluginTests/Golden/language.jsonl"

SOURCE = "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963"  # of py3langid's model file
NAMES = {"wuu": "zh", "yue": "zh", "arz": "ar", "ary": "ar"}
FEATURES = 40_000
# Logarithms are integers: 4096 units are a nat. A code of a weight is half a nat.
UNIT = 4096
CODE = UNIT // 2
LEAST = 2.25


def n_grams(model):
    """The n-grams of py3langid's automaton, by their number: the shortest path to a state is its n-gram."""
    import numpy

    moves = numpy.asarray(model.tk_nextmove).reshape(-1, 256)
    rows = numpy.asarray(model.tk_row)
    paths, found = [None] * len(rows), [None] * len(model.nb_ptc)
    paths[0] = b""
    edge = [0]
    while edge:
        ahead = []
        for state in edge:
            for byte, other in enumerate(moves[rows[state]].tolist()):
                if paths[other] is None:
                    paths[other] = paths[state] + bytes([byte])
                    ahead.append(other)
        edge = ahead
    for state, number in enumerate(model.tk_output):
        if number >= 0 and (found[number] is None or len(paths[state]) < len(found[number])):
            found[number] = paths[state]
    return found


def cut_down(grams, weights):
    """Chooses n-grams; returns them with their counts in each class, which include those of the n-grams that went."""
    import numpy

    number = {gram: index for index, gram in enumerate(grams)}
    suffix = [next((number[g[k:]] for k in range(1, len(g)) if g[k:] in number), -1) for g in grams]
    longest_first = sorted(range(len(grams)), key=lambda i: (-len(grams[i]), grams[i]))
    base = weights.min(axis=0)
    counts = numpy.exp(weights - base) - 1
    counts[counts < 0.3] = 0  # a count of zero, and the rounding of 16 bits
    shares = counts / counts.sum(axis=0)
    every = shares.copy()
    for i in longest_first:
        if suffix[i] >= 0:
            every[suffix[i]] += every[i]
    tiny, gain = 1e-7, [0.0] * len(grams)
    for i in longest_first:
        own = shares[i] + tiny
        other = (every[suffix[i]] if suffix[i] >= 0 else numpy.ones(len(base))) + tiny
        gain[i] = round(float((shares[i] * numpy.log(own / own.sum() / (other / other.sum()))).max()), 15)
    kept = set(sorted(range(len(grams)), key=lambda i: (-gain[i], grams[i]))[:FEATURES])
    for i in longest_first:
        if i not in kept:
            if suffix[i] >= 0:
                counts[suffix[i]] += counts[i]
            counts[i] = 0
    return kept, counts


def compositions():
    """What letters become with the marks of Latin, Greek and Cyrillic, and kana with theirs."""
    found = {}
    for both in map(chr, range(0xC0, 0x10000)):
        parts = [chr(int(part, 16)) for part in unicodedata.decomposition(both).split() if part[0] != "<"]
        if len(parts) == 2 and (0x300 <= ord(parts[1]) < 0x370 or parts[1] in "\u3099\u309a"):
            if unicodedata.normalize("NFC", "".join(parts)) == both:
                found[tuple(parts)] = both
    return found


def syllable(first, second):
    """Two parts of a Hangul syllable as one, by the arithmetic of the Unicode standard (3.12)."""
    a, b = ord(first), ord(second)
    if 0x1100 <= a < 0x1113 and 0x1161 <= b < 0x1176:
        return chr(0xAC00 + ((a - 0x1100) * 21 + b - 0x1161) * 28)
    if 0xAC00 <= a < 0xD7A4 and (a - 0xAC00) % 28 == 0 and 0x11A8 <= b < 0x11C3:
        return chr(a + b - 0x11A7)
    return None


def make():
    import numpy
    import py3langid
    import zstandard
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    file = pathlib.Path(py3langid.__file__).parent / MODEL_FILE
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != SOURCE:
        sys.exit(f"{file} is not the model of py3langid 0.4.0: its SHA-256 is {digest}")
    source = LanguageIdentifier.from_model_file(MODEL_FILE)
    grams = n_grams(source)
    kept, counts = cut_down(grams, source.nb_ptc.astype(numpy.float64))
    base = [-math.log(total + len(kept)) for total in counts.sum(axis=0)]
    order = sorted(kept, key=lambda i: grams[i][::-1])
    shared, rest, letters, entries, classes, codes = (bytearray() for _ in range(6))
    last = b""
    for i in order:
        key = grams[i][::-1]
        same = next((k for k in range(min(len(key), len(last))) if key[k] != last[k]), min(len(key), len(last)))
        shared.append(same)
        rest.append(len(key) - same)
        letters += key[same:]
        last = key
        row = [(c, round(math.log1p(n), 9)) for c, n in enumerate(counts[i].tolist())]
        row = [(c, round(2 * w)) for c, w in row if w >= LEAST]
        entries.append(len(row))
        classes += bytes(c for c, _ in row)
        codes += bytes(code for _, code in row)
    pairs = sorted((ord(b), ord(a), ord(both)) for (a, b), both in compositions().items())
    head = struct.pack("<4sHHIII", b"SLM1", len(base), len(order), len(letters), len(classes), len(pairs))
    for name, b, prior in zip(source.nb_classes, base, source.nb_pc.tolist()):
        head += struct.pack("<4sii", NAMES.get(name, name).encode(), round(UNIT * b), round(UNIT * prior))
    for pair in pairs:
        head += struct.pack("<III", *pair)
    content = head + shared + rest + letters + entries + classes + codes
    MODEL.write_bytes(zstandard.ZstdCompressor(level=22).compress(bytes(content)))
    print(f"{MODEL}: {MODEL.stat().st_size} bytes, {len(content)} unpacked, SHA-256 {hashlib.sha256(content).hexdigest()}")
    print(f"{len(order)} n-grams, {len(classes)} weights, {len(base)} classes")


class Model:
    """The stage's rule in plain Python: the same integers, and the same steps where it divides."""

    def __init__(self, content=None):
        if content is None:
            import zstandard

            content = zstandard.ZstdDecompressor().decompress(MODEL.read_bytes())
        magic, classes, features, letters, weights, pairs = struct.unpack_from("<4sHHIII", content)
        assert magic == b"SLM1"
        place = 20
        self.names, self.base, self.prior = [], [], []
        for _ in range(classes):
            name, base, prior = struct.unpack_from("<4sii", content, place)
            self.names.append(name.rstrip(b"\0").decode())
            self.base.append(base)
            self.prior.append(prior)
            place += 12
        self.pairs = {}
        for _ in range(pairs):
            second, first, both = struct.unpack_from("<III", content, place)
            self.pairs[chr(first), chr(second)] = chr(both)
            place += 12

        def take(count):
            nonlocal place
            place += count
            return content[place - count:place]

        shared, rest, letters = take(features), take(features), take(letters)
        entries, classes, codes = take(features), take(weights), take(weights)
        self.rows, key, letter, weight = {}, b"", 0, 0
        for i in range(features):
            key = key[:shared[i]] + letters[letter:letter + rest[i]]
            letter += rest[i]
            end = weight + entries[i]
            self.rows[key[::-1]] = list(zip(classes[weight:end], codes[weight:end]))
            weight = end
        self.longest = max(map(len, self.rows))

    def composed(self, text):
        """Letters and the marks that follow them as one, parts of Hangul as syllables, as NFC does."""
        found = []
        for letter in text:
            both = self.pairs.get((found[-1], letter)) or syllable(found[-1], letter) if found else None
            if both:
                found[-1] = both
            else:
                found.append(letter)
        return "".join(found)

    def classify(self, text, among=None):
        """The language of a text, and its score; `und` and 0 where nothing tells."""
        data = self.composed(folded(text)).encode()
        counts = {}
        for end in range(2, len(data) + 1):
            for start in range(max(0, end - self.longest), end - 1):
                if data[start:end] in self.rows:
                    counts[data[start:end]] = counts.get(data[start:end], 0) + 1
                    break
        if not counts:
            return "und", 0.0
        scores, whole = [0] * len(self.names), 0
        for gram, count in counts.items():
            weight = logarithm(1 + count)
            whole += weight
            for c, code in self.rows[gram]:
                scores[c] += weight * code * CODE
        chosen = [c for c, name in enumerate(self.names) if among is None or name in among]
        for c in chosen:
            scores[c] += whole * self.base[c] + self.prior[c] * UNIT
        best = max(chosen, key=lambda c: (scores[c], -c))
        # The scores grow with the length of a text, and so does what n-grams that overlap count twice.
        heat = math.sqrt(float(length(text.encode()))) * float(UNIT * UNIT)
        total = same = 0.0
        for c in chosen:
            share = exponential(float(scores[best] - scores[c]) / heat)
            total += share
            if self.names[c] == self.names[best]:
                same += share
        return self.names[best], round(same / total * 10000.0) / 10000.0


def logarithm(number):
    """ln(number), in units of 1/4096, by squaring: the same on every machine."""
    power = number.bit_length() - 1
    mantissa = (number << 31) >> power
    found = power
    for _ in range(16):
        mantissa = mantissa * mantissa >> 31
        found <<= 1
        if mantissa >> 32:
            mantissa >>= 1
            found |= 1
    return found * 45426 >> 20


def exponential(x):
    """exp(-x), by arithmetic that IEEE 754 fixes."""
    if x > 80.0:
        return 0.0
    y = x / -256.0
    value = 1.0
    for term in (6.0, 5.0, 4.0, 3.0, 2.0, 1.0):
        value = 1.0 + y / term * value
    for _ in range(8):
        value *= value
    return value


def length(data):
    """The bytes of a text, runs of the same space or sign counted once: padding and rules say nothing."""
    signs = set(range(0x30)) | set(range(0x3A, 0x41)) | set(range(0x5B, 0x61)) | set(range(0x7B, 0x80))
    return sum(1 for i, byte in enumerate(data) if i == 0 or byte not in signs or byte != data[i - 1])


def folded(text):
    """The text in lower case if at least four of five letters are capitals."""
    letters = [unicodedata.category(letter) for letter in text if unicodedata.category(letter)[0] == "L"]
    capitals = letters.count("Lu")
    in_capitals = capitals > 0 and (len(letters) - capitals) * 4 <= capitals
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text) if in_capitals else text


SENTENCES = """
The river rose in the night, and in the morning the bridge was gone.
Name three reasons why bread goes stale faster in the refrigerator.
Der Fluss stieg in der Nacht, und am Morgen war die Brücke weg.
Warum wird Brot im Kühlschrank schneller alt? Nenne drei Gründe.
La rivière est montée dans la nuit, et au matin le pont avait disparu.
El río creció durante la noche y por la mañana el puente ya no estaba.
O rio subiu durante a noite e de manhã a ponte tinha desaparecido.
Il fiume è salito nella notte e al mattino il ponte non c'era più.
El riu va créixer a la nit i al matí el pont ja no hi era.
De rivier steeg in de nacht en in de ochtend was de brug verdwenen.
Floden steg under natten, och på morgonen var bron borta.
Elven steg i løpet av natten, og om morgenen var broen borte.
Floden steg i løbet af natten, og om morgenen var broen væk.
Joki nousi yöllä, ja aamulla silta oli poissa.
Jõgi tõusis öösel ja hommikuks oli sild kadunud.
Upe naktī pacēlās, un no rīta tilta vairs nebija.
Upė naktį pakilo, o rytą tilto nebebuvo.
Rzeka wezbrała w nocy, a rano mostu już nie było.
Řeka v noci stoupla a ráno byl most pryč.
Rieka v noci stúpla a ráno bol most preč.
A folyó éjjel megáradt, és reggelre eltűnt a híd.
Râul a crescut în timpul nopții, iar dimineața podul dispăruse.
Nehir gece yükseldi ve sabah köprü yok olmuştu.
Lumi u ngrit gjatë natës dhe në mëngjes ura nuk ishte më.
Áin óx um nóttina og um morguninn var brúin horfin.
D'éirigh an abhainn san oíche, agus ar maidin bhí an droichead imithe.
Cododd yr afon yn y nos, ac erbyn y bore roedd y bont wedi mynd.
Ibaia gauez igo zen, eta goizean zubia desagertuta zegoen.
Sungai itu naik pada malam hari, dan pagi harinya jembatan itu sudah hilang.
Con sông dâng lên trong đêm, và sáng ra cây cầu đã biến mất.
Mto ulipanda usiku, na asubuhi daraja lilikuwa limetoweka.
La rivero altiĝis dum la nokto, kaj matene la ponto estis for.
Flumen nocte crevit, et mane pons non iam erat.
Река поднялась ночью, а утром моста уже не было.
Річка піднялася вночі, а вранці мосту вже не було.
Реката се покачи през нощта, а сутринта мостът го нямаше.
Река је ноћу порасла, а ујутру моста више није било.
Το ποτάμι ανέβηκε τη νύχτα και το πρωί η γέφυρα είχε χαθεί.
Գետը գիշերը բարձրացավ, իսկ առավոտյան կամուրջն այլևս չկար։
ღამით მდინარე ადიდდა და დილით ხიდი აღარ იყო.
הנהר עלה בלילה, ובבוקר הגשר כבר לא היה שם.
ارتفع النهر في الليل، وفي الصباح كان الجسر قد اختفى.
رودخانه در شب بالا آمد و صبح پل دیگر نبود.
नदी रात में चढ़ गई और सुबह पुल गायब था।
রাতে নদী ফুলে উঠল, আর সকালে সেতুটি আর ছিল না।
இரவில் ஆறு பெருகியது, காலையில் பாலம் இல்லை.
แม่น้ำเอ่อขึ้นในตอนกลางคืน และในตอนเช้าสะพานก็หายไป
夜里河水上涨，到了早晨桥已经不见了。
夜裡河水上漲，到了早晨橋已經不見了。
夜のうちに川が増水し、朝には橋がなくなっていた。
밤사이 강물이 불어나 아침에는 다리가 사라지고 없었다.
"""

ODD = [
    "", " ", "\n", "a", "ok", "42", "3.14159 2.71828 1.41421", "?!", "\u00e9", "\U0001f600\U0001f600", "e\u0301te\u0301", "\x00\x01",
    "def area(r):\n    return 3.14 * r ** 2  # of a circle\n", "<div class=\"a\"><p>42</p></div>", '{"a": [1, 2, {"b": null}]}',
    "https://example.org/a?b=c&d=e", "ISO 9001:2015", "NATO", "ÉTÉ À LA MER", "ΑΘΗΝΑ ΚΑΙ ΠΕΙΡΑΙΑΣ", "IBM 株式会社",
    "the " * 400, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "Wie sagt man «good morning» auf Japanisch? おはようございます",
]


def golden():
    """Sentences, their beginnings, in capitals, decomposed, joined; odd texts; and n-grams of the model in random order."""
    import random

    model, draw = Model(), random.Random(7)
    sentences = SENTENCES.strip().split("\n")
    texts = ODD + sentences + [s.upper() for s in sentences[::2]] + [s[:n] for s in sentences for n in (4, 9, 21)]
    texts += [unicodedata.normalize("NFD", s) for s in sentences] + [unicodedata.normalize("NFD", s.upper()) for s in sentences[1::5]]
    texts += [f"{a}\n{b}" for a, b in zip(sentences[::3], sentences[2::3])]
    # Mostly in capitals; padded.
    texts += [s.upper() + " (10 km)" for s in sentences[3::4]] + ["x" + s.upper() for s in sentences[1::6]]
    texts += [s + end for s, end in zip(sentences, (" " * 300, "\n" + "-" * 200, "\t\t\t", "......", "==  ==", "\n" * 2000))]
    texts.append(" ".join(sentences) * 12)
    texts.append(" ".join(s.upper() for s in sentences) * 12)
    texts.append(unicodedata.normalize("NFD", sentences[-1]) * 250)
    grams = sorted(model.rows)
    for n in range(60):
        bits = b"".join(draw.choice(grams) for _ in range(1 + n))
        texts.append(bits.decode(errors="ignore"))
    GOLDEN.parent.mkdir(exist_ok=True)
    with open(GOLDEN, "w") as file:
        for text in texts:
            language, score = model.classify(text)
            some, other = model.classify(text, {"en", "de", "sr", "zh"})
            row = {"text": text, "language": language, "score": score, "among": some, "among_score": other}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    print(f"{GOLDEN}: {len(texts)} texts")


if __name__ == "__main__":
    commands = {"make": make, "golden": golden}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
