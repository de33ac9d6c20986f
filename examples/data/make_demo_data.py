#!/usr/bin/env python3
"""Writes the demo data: demo-0.jsonl.zst, demo-1.jsonl.zst and demo-2.jsonl.zst, next to this script or in DIRECTORY.

    make_demo_data.py [DIRECTORY]

Instruction records over the ten abilities of the DoIT paper (arXiv 2310.19651), made from tables of facts and
computations, so that every answer is right. Needs only the standard library and the zstd program. The records are the
same on every run with Python 3.8 or later; the compressed bytes may depend on the zstd version.
"""

import hashlib
import json
import math
import os
import subprocess
import sys
from fractions import Fraction

import long_records

# For each ability: records of a sentence or two, and long ones.
SHORT, LONG = 200, 420
EXACT_DUPLICATES = 160
NEAR_DUPLICATES = 200


class Draw:
    """SplitMix64: the same draws with every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        return z ^ (z >> 31)

    def below(self, n):
        return (self.bits() * n) >> 64

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def some(self, items, count):
        rest = list(items)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def shuffled(self, items):
        return self.some(items, len(items))


# STEM - Biology ---------------------------------------------------------------------------------------------------

ORGANELLES = [
    ("mitochondrion", "releases the energy of sugars and fats and stores it as ATP", "it has two membranes, and the folds of the inner one carry the electron transport chain"),
    ("chloroplast", "turns light, water and carbon dioxide into sugar", "its stacked thylakoids hold the chlorophyll"),
    ("ribosome", "joins amino acids into proteins as messenger RNA prescribes", "it consists of a large and a small subunit of RNA and protein"),
    ("nucleus", "keeps the chromosomes and controls which genes are read", "a double envelope with pores separates it from the cytoplasm"),
    ("Golgi apparatus", "sorts proteins, changes their sugar chains and sends them on", "vesicles reach its receiving side and leave from the opposite one"),
    ("lysosome", "digests worn-out parts of the cell with acid enzymes", "its inside has a pH of about five"),
    ("rough endoplasmic reticulum", "folds proteins that are meant for membranes or for export", "ribosomes on its surface make it look rough"),
    ("smooth endoplasmic reticulum", "makes lipids and steroid hormones and breaks down poisons", "liver cells are full of it"),
    ("vacuole", "stores water, ions and waste and keeps a plant cell firm", "in a grown plant cell it may fill nine tenths of the volume"),
    ("peroxisome", "oxidises long fatty acids and breaks down hydrogen peroxide", "its enzyme catalase turns the peroxide into water and oxygen"),
    ("centrosome", "organises the microtubules that pull chromosomes apart", "it is duplicated once before every division"),
    ("cell membrane", "decides what enters and leaves the cell", "it is a double layer of phospholipids with proteins floating in it"),
    ("cytoskeleton", "gives the cell its shape and moves its parts", "it is built of actin, intermediate filaments and microtubules"),
]
ANIMALS = [
    ("red fox", "Vulpes vulpes", "mammal", "forests, farmland and towns of the northern hemisphere", "voles, rabbits, berries and carrion"),
    ("grey wolf", "Canis lupus", "mammal", "tundra, steppe and forest", "deer, elk and wild boar"),
    ("blue whale", "Balaenoptera musculus", "mammal", "all oceans", "krill"),
    ("common dolphin", "Delphinus delphis", "mammal", "warm and temperate seas", "schooling fish and squid"),
    ("brown bear", "Ursus arctos", "mammal", "forests and mountains of Eurasia and North America", "roots, salmon, berries and carrion"),
    ("giant panda", "Ailuropoda melanoleuca", "mammal", "mountain forests of central China", "bamboo"),
    ("African elephant", "Loxodonta africana", "mammal", "savanna south of the Sahara", "grass, bark and fruit"),
    ("platypus", "Ornithorhynchus anatinus", "mammal", "streams of eastern Australia", "insect larvae, worms and shrimps"),
    ("red kangaroo", "Osphranter rufus", "mammal", "dry plains of Australia", "grasses"),
    ("hedgehog", "Erinaceus europaeus", "mammal", "gardens and hedges of Europe", "beetles, slugs and earthworms"),
    ("barn owl", "Tyto alba", "bird", "open country on every continent but Antarctica", "mice and voles"),
    ("emperor penguin", "Aptenodytes forsteri", "bird", "the sea ice of Antarctica", "fish, krill and squid"),
    ("peregrine falcon", "Falco peregrinus", "bird", "cliffs and tall buildings all over the world", "birds caught in flight"),
    ("ostrich", "Struthio camelus", "bird", "African savanna", "seeds, grasses and succulents"),
    ("house sparrow", "Passer domesticus", "bird", "villages and towns", "seeds and insects"),
    ("atlantic puffin", "Fratercula arctica", "bird", "coasts of the North Atlantic", "sand eels and herring"),
    ("Nile crocodile", "Crocodylus niloticus", "reptile", "rivers and lakes of Africa", "fish, antelopes and zebras"),
    ("green sea turtle", "Chelonia mydas", "reptile", "tropical and subtropical seas", "seagrass and algae"),
    ("komodo dragon", "Varanus komodoensis", "reptile", "a few Indonesian islands", "deer, pigs and carrion"),
    ("king cobra", "Ophiophagus hannah", "reptile", "forests of South and Southeast Asia", "other snakes"),
    ("common frog", "Rana temporaria", "amphibian", "ponds and damp meadows of Europe", "insects, slugs and worms"),
    ("axolotl", "Ambystoma mexicanum", "amphibian", "the canals of Xochimilco near Mexico City", "worms, insects and small fish"),
    ("fire salamander", "Salamandra salamandra", "amphibian", "deciduous forests of Europe", "slugs, worms and millipedes"),
    ("atlantic salmon", "Salmo salar", "fish", "the North Atlantic and the rivers that run into it", "insects when young, later fish and shrimps"),
    ("great white shark", "Carcharodon carcharias", "fish", "temperate coastal waters", "seals, fish and rays"),
    ("seahorse", "Hippocampus hippocampus", "fish", "seagrass beds of the Mediterranean and the Atlantic", "tiny crustaceans"),
    ("honey bee", "Apis mellifera", "insect", "hives wherever plants flower", "nectar and pollen"),
    ("monarch butterfly", "Danaus plexippus", "insect", "meadows of North America, in winter the mountains of Mexico", "milkweed as a caterpillar, nectar as a butterfly"),
    ("garden spider", "Araneus diadematus", "arachnid", "gardens and forest edges of Europe", "insects caught in its orb web"),
    ("common octopus", "Octopus vulgaris", "mollusc", "rocky shores of warm seas", "crabs, mussels and snails"),
]
HORMONES = [
    ("insulin", "the beta cells of the pancreas", "lets muscle and fat cells take up glucose, so that blood sugar falls"),
    ("glucagon", "the alpha cells of the pancreas", "makes the liver release glucose, so that blood sugar rises"),
    ("adrenaline", "the adrenal medulla", "speeds up the heart and opens the airways in an emergency"),
    ("cortisol", "the adrenal cortex", "raises blood sugar and damps inflammation under lasting stress"),
    ("thyroxine", "the thyroid gland", "sets the rate of metabolism in nearly all tissues"),
    ("melatonin", "the pineal gland", "tells the body that it is night"),
    ("oxytocin", "the posterior pituitary", "makes the womb contract and milk flow"),
    ("growth hormone", "the anterior pituitary", "lengthens bones and builds muscle"),
    ("erythropoietin", "the kidneys", "makes bone marrow produce more red blood cells"),
    ("aldosterone", "the adrenal cortex", "makes the kidneys keep sodium and water"),
]
BIO_TERMS = [
    ("osmosis", "the net movement of water through a membrane towards the higher concentration of dissolved substances", "a raisin swells in fresh water"),
    ("diffusion", "the spreading of particles from where they are many to where they are few", "perfume fills a room"),
    ("photosynthesis", "the making of sugar from carbon dioxide and water with the energy of light", "a leaf gives off oxygen in the sun"),
    ("mitosis", "a division that gives two nuclei with the same chromosomes", "a wound closes by it"),
    ("meiosis", "two divisions in a row that halve the number of chromosomes", "it makes egg cells and sperm"),
    ("natural selection", "the better survival and breeding of individuals whose inherited traits suit their surroundings", "dark moths were favoured on sooty trees"),
    ("symbiosis", "a close and lasting life together of two species", "a lichen is a fungus with algae in it"),
    ("homeostasis", "the keeping of inner conditions within narrow limits", "sweat cools the body on a hot day"),
    ("transcription", "the copying of a gene from DNA into messenger RNA", "RNA polymerase does it in the nucleus"),
    ("translation", "the reading of messenger RNA into a chain of amino acids", "it takes place at the ribosome"),
    ("enzyme", "a protein that speeds up one reaction without being used up", "amylase in saliva begins to split starch"),
    ("allele", "one of several forms of the same gene", "the gene of pea colour has a yellow and a green one"),
    ("ecosystem", "all living things of a place together with what surrounds them", "a pond is a small one"),
    ("food chain", "a row of living things each of which is eaten by the next", "grass, grasshopper, frog, heron"),
    ("antibody", "a protein of the immune system that fits one foreign structure like a lock its key", "vaccination makes the body produce it in advance"),
]


def biology(draw):
    kind = draw.below(6)
    if kind == 0:
        name, work, detail = draw.pick(ORGANELLES)
        ask = draw.pick(["What does the {} do in a cell?", "Explain the task of the {} to a pupil of fourteen.", "Describe the function of the {} and one feature of its structure.", "Why would a cell be in trouble without its {}?"])
        return ask.format(name), "", draw.pick(["The {0} {1}. Its structure fits that: {2}.", "Its task is clear: it {1}. Note that {2}.", "A cell needs the {0} since it {1}. As to its build, {2}."]).format(name, work, detail)
    if kind == 1:
        (a, la, ca, ha, fa), (b, lb, cb, hb, fb) = draw.some(ANIMALS, 2)
        same = "Both are of the class or group called %s" % ca if ca == cb else "The first is counted as %s, the second as %s" % (ca, cb)
        return "Compare the %s and the %s: group, home and food." % (a, b), "", "%s. The %s (%s) lives in %s and feeds on %s; the %s (%s) lives in %s and feeds on %s." % (same, a, la, ha, fa, b, lb, hb, fb)
    if kind == 2:
        name, latin, group, home, food = draw.pick(ANIMALS)
        ask, answer = draw.pick([
            ("What does the %s eat?" % name, "The %s, %s, feeds on %s." % (name, latin, food)),
            ("Where does the %s live?" % name, "It is found in %s. Its scientific name is %s." % (home, latin)),
            ("Which animal is called %s in Latin?" % latin, "%s is the %s, a kind of %s that lives in %s." % (latin, name, group, home)),
            ("Write a short entry about the %s for a children's encyclopedia." % name, "The %s belongs to the group %s. You find it in %s. It likes to eat %s. Scientists call it %s." % (name, group, home, food, latin)),
        ])
        return ask, "", answer
    if kind == 3:
        name, gland, effect = draw.pick(HORMONES)
        return draw.pick(["Where is {} made and what does it do?", "A patient lacks {}. Which organ would you look at, and what goes wrong?", "Name the source and the effect of the hormone {}."]).format(name), "", "%s comes from %s. It %s." % (name.capitalize(), gland, effect)
    if kind == 4:
        term, meaning, example = draw.pick(BIO_TERMS)
        return draw.pick(["Define {} and give an example.", "What is meant by {}?", "Put the term {} into plain words.", "In an exam you are asked for {}. What do you write?"]).format(term), "", draw.pick(["By {} we mean {}. An example: {}.", "{} is {}; {}."]).format(term, meaning, example)
    bases = [draw.pick("ACGT") for _ in range(draw.between(9, 18))]
    strand = "".join(bases)
    other = strand.translate(str.maketrans("ACGT", "TGCA"))
    rna = strand.translate(str.maketrans("ACGT", "UGCA"))
    gc = sum(b in "GC" for b in bases)
    return draw.pick(["Give the complementary DNA strand and the messenger RNA of this template.", "Transcribe the template strand, and say how many of its bases are G or C."]), "template: " + strand, "Complementary strand: %s. Messenger RNA: %s. %d of the %d bases are G or C." % (other, rna, gc, len(bases))


# Humanity - History -----------------------------------------------------------------------------------------------

EVENTS = [
    (-776, "the first recorded Olympic Games", "Olympia", "Greek cities counted years by the games from then on"),
    (-490, "the battle of Marathon", "Attica", "Athens showed that a Persian army could be beaten"),
    (-221, "the unification of China under Qin Shi Huang", "Xianyang", "script, measures and axle widths were made the same throughout the empire"),
    (-44, "the murder of Julius Caesar", "Rome", "it did not save the Republic but opened the way to Augustus"),
    (79, "the eruption of Vesuvius that buried Pompeii", "the Bay of Naples", "ash kept a Roman town as it was on one day"),
    (313, "the Edict of Milan", "Milan", "Christians could practise their faith openly in the Roman Empire"),
    (476, "the deposition of Romulus Augustulus", "Ravenna", "it is the customary end of the Western Roman Empire"),
    (622, "the Hijra of Muhammad to Medina", "Arabia", "the Islamic calendar begins with it"),
    (800, "the coronation of Charlemagne as emperor", "Rome", "the West had an emperor again"),
    (1066, "the Norman conquest of England", "Hastings", "French became the language of the English court"),
    (1215, "the sealing of Magna Carta", "Runnymede", "a king accepted that the law stood above him"),
    (1348, "the arrival of the Black Death in most of Western Europe", "Europe", "about a third of the people died and labour became dear"),
    (1453, "the fall of Constantinople", "the Bosporus", "the Byzantine Empire ended and the Ottomans held the straits"),
    (1492, "the first voyage of Columbus", "the Bahamas", "lasting contact between the Old and the New World began"),
    (1517, "the publication of Luther's theses", "Wittenberg", "the Reformation set out from them"),
    (1522, "the completion of the first voyage around the world", "Seville", "eighteen men of Magellan's fleet came home and proved that the oceans are joined"),
    (1588, "the defeat of the Spanish Armada", "the English Channel", "England was safe from invasion and free to trade overseas"),
    (1603, "the founding of the Tokugawa shogunate", "Edo", "Japan had more than two centuries of peace"),
    (1648, "the Peace of Westphalia", "Münster and Osnabrück", "the Thirty Years' War ended and states recognised each other as sovereign"),
    (1687, "the publication of Newton's Principia", "London", "one law described the fall of an apple and the course of the moon"),
    (1776, "the Declaration of Independence of the United States", "Philadelphia", "thirteen colonies declared that governments draw their powers from the governed"),
    (1789, "the storming of the Bastille", "Paris", "it became the sign that the old order of France could fall"),
    (1804, "the independence of Haiti", "Gonaïves", "a revolt of enslaved people had founded a state"),
    (1815, "the battle of Waterloo", "near Brussels", "Napoleon's rule was over for good"),
    (1848, "the March revolutions", "many cities of Europe", "citizens asked for constitutions and nations for states"),
    (1861, "the abolition of serfdom in Russia", "Saint Petersburg", "more than twenty million peasants became free, though in debt"),
    (1869, "the opening of the Suez Canal", "Egypt", "the way from Europe to India became some seven thousand kilometres shorter"),
    (1871, "the proclamation of the German Empire", "Versailles", "the balance of power in Europe shifted"),
    (1905, "Einstein's papers on relativity and light quanta", "Bern", "ideas of space, time and light changed"),
    (1911, "the Xinhai Revolution", "Wuchang", "more than two thousand years of imperial rule in China ended"),
    (1914, "the assassination of Archduke Franz Ferdinand", "Sarajevo", "it set off the First World War"),
    (1917, "the October Revolution", "Petrograd", "the Bolsheviks took power in Russia"),
    (1928, "the discovery of penicillin", "London", "infections that had killed could be healed"),
    (1929, "the crash of the New York stock exchange", "Wall Street", "the Great Depression followed"),
    (1945, "the founding of the United Nations", "San Francisco", "fifty-one states joined to keep the peace"),
    (1947, "the independence of India and Pakistan", "Delhi and Karachi", "British India was divided and millions fled"),
    (1953, "the first ascent of Mount Everest", "the Himalayas", "Tenzing Norgay and Edmund Hillary stood on the highest place on earth"),
    (1957, "the launch of Sputnik", "Baikonur", "the space age began"),
    (1963, "the March on Washington", "Washington", "Martin Luther King spoke of his dream before a quarter of a million people"),
    (1969, "the first landing on the moon", "the Sea of Tranquility", "human beings walked on another world"),
    (1989, "the fall of the Berlin Wall", "Berlin", "the division of Germany and of Europe came to its end"),
    (1990, "the release of Nelson Mandela", "near Cape Town", "four years later South Africans of every colour voted together"),
]


def year(y):
    return "%d BC" % -y if y < 0 else "in %d" % y if y > 999 else "AD %d" % y


def history(draw):
    kind = draw.below(5)
    y, what, where, why = draw.pick(EVENTS)
    date = year(y).replace("in ", "")
    if kind == 0:
        return draw.pick(["When and where did the following take place: {}?", "Give the year and the place of {}.", "I am preparing a timeline. Where do I put {}?"]).format(what), "", draw.pick(["{1}; the place is {2}.", "It belongs to {1}. The scene was {2}."]).format(what, date, where)
    if kind == 1:
        return draw.pick(["Why does {} matter?", "What followed from {}?", "Assess the importance of {} in one or two sentences."]).format(what), "", draw.pick(["It matters because {0}. That was {1}.", "Historians stress that {0}. The date is {1}, the place {2}."]).format(why, date, where)
    if kind == 2:
        chosen = draw.some(EVENTS, draw.between(3, 5))
        listed = sorted(chosen)
        return "Put these events into the order of time.", "; ".join(e[1] for e in chosen), "; ".join("%s (%s)" % (e[1], year(e[0]).replace("in ", "")) for e in listed) + "."
    if kind == 3:
        a, b = draw.some(EVENTS, 2)
        first, second = sorted([a, b])
        gap = second[0] - first[0] - (1 if first[0] < 0 < second[0] else 0)
        return "How many years lie between %s and %s?" % (a[1], b[1]), "", "%s was %s, %s %s. That is a gap of %d years." % (first[1][0].upper() + first[1][1:], year(first[0]), second[1], year(second[0]), gap)
    wrong = [e for e in EVENTS if e[0] != y]
    options = draw.shuffled([(y, what)] + [(e[0], e[1]) for e in draw.some(wrong, 3)])
    letters = "ABCD"
    answer = letters[[o[0] for o in options].index(y)]
    return "Which of these happened %s? %s" % (year(y) if y > 999 else "in " + date, " ".join("%s) %s" % (letters[i], o[1]) for i, o in enumerate(options))), "", "%s. What happened then was %s: %s." % (answer, what, why)


# Code generation --------------------------------------------------------------------------------------------------

NAMES = ["values", "items", "numbers", "data", "xs", "entries", "row", "series", "samples", "readings"]
THINGS = ["prices", "temperatures", "scores", "ages", "weights", "distances", "votes", "ratings", "durations", "balances"]


def code(draw):
    n, t, k = draw.pick(NAMES), draw.pick(THINGS), draw.between(2, 19)
    m = draw.between(20, 99)
    tasks = [
        ("returns the {t} that are divisible by {k}", "keep", "def keep({n}):\n    return [x for x in {n} if x % {k} == 0]", "A list comprehension tests each element once, so the time is linear."),
        ("counts how many {t} are above {m}", "count_above", "def count_above({n}):\n    return sum(1 for x in {n} if x > {m})", "The generator adds one for every element over the limit and needs no extra list."),
        ("computes the moving average of {t} over a window of {k}", "moving_average", "def moving_average({n}):\n    total = sum({n}[:{k}])\n    result = [total / {k}]\n    for i in range({k}, len({n})):\n        total += {n}[i] - {n}[i - {k}]\n        result.append(total / {k})\n    return result", "Each step adds the new element and takes off the old one instead of summing the window again."),
        ("finds the {k} largest {t}", "largest", "import heapq\n\ndef largest({n}):\n    return heapq.nlargest({k}, {n})", "A heap of {k} elements needs O(n log {k}) time, less than sorting everything."),
        ("splits a list of {t} into chunks of {k}", "chunks", "def chunks({n}):\n    for i in range(0, len({n}), {k}):\n        yield {n}[i:i + {k}]", "A generator hands out one slice at a time; the last one may be shorter."),
        ("removes repeated {t} but keeps their order", "distinct", "def distinct({n}):\n    seen = set()\n    result = []\n    for x in {n}:\n        if x not in seen:\n            seen.add(x)\n            result.append(x)\n    return result", "The set answers membership in constant time."),
        ("rotates a list of {t} by {k} places to the left", "rotate", "def rotate({n}):\n    if not {n}:\n        return {n}\n    s = {k} % len({n})\n    return {n}[s:] + {n}[:s]", "Taking the shift modulo the length also covers lists shorter than {k}."),
        ("finds the longest run of rising {t}", "longest_rise", "def longest_rise({n}):\n    best = length = 1 if {n} else 0\n    for a, b in zip({n}, {n}[1:]):\n        length = length + 1 if b > a else 1\n        best = max(best, length)\n    return best", "One pass compares neighbours and starts to count anew where the run breaks."),
        ("tells whether two {t} add up to {m}", "has_pair", "def has_pair({n}):\n    seen = set()\n    for x in {n}:\n        if {m} - x in seen:\n            return True\n        seen.add(x)\n    return False", "For each element we ask whether its complement has been seen, which is O(n)."),
        ("returns the median of a list of {t}", "median", "def median({n}):\n    s = sorted({n})\n    h = len(s) // 2\n    return s[h] if len(s) % 2 else (s[h - 1] + s[h]) / 2", "After sorting, the middle element is the median, or the mean of the middle two."),
        ("groups {t} by their remainder modulo {k}", "by_remainder", "from collections import defaultdict\n\ndef by_remainder({n}):\n    groups = defaultdict(list)\n    for x in {n}:\n        groups[x % {k}].append(x)\n    return dict(groups)", "A defaultdict makes the empty list on first use."),
        ("writes the number {m} in base {k}", "in_base", "def in_base(number, base={k}):\n    digits = []\n    while number:\n        number, digit = divmod(number, base)\n        digits.append(digit)\n    return digits[::-1] or [0]\n\nprint(in_base({m}))", "Repeated division gives the digits from the last to the first; here the result is {base}."),
        ("searches sorted {t} for a value by halving", "find", "def find({n}, wanted):\n    low, high = 0, len({n})\n    while low < high:\n        middle = (low + high) // 2\n        if {n}[middle] < wanted:\n            low = middle + 1\n        else:\n            high = middle\n    return low if low < len({n}) and {n}[low] == wanted else -1", "The half-open interval shrinks by half each time, hence O(log n)."),
        ("transposes a table of {t} given as a list of rows", "transpose", "def transpose({n}):\n    return [list(column) for column in zip(*{n})]", "zip takes the first of every row, then the second, and so on."),
        ("counts the words of a file of {t} notes and shows the {k} most common", "common_words", "from collections import Counter\n\ndef common_words(path):\n    with open(path, encoding='utf-8') as file:\n        words = file.read().lower().split()\n    return Counter(words).most_common({k})", "Counter does the bookkeeping; most_common sorts by frequency."),
        ("tells whether the brackets in a formula of {t} are balanced", "balanced", "def balanced(text):\n    pairs = {{')': '(', ']': '[', '}}': '{{'}}\n    stack = []\n    for c in text:\n        if c in '([{{':\n            stack.append(c)\n        elif c in pairs and (not stack or stack.pop() != pairs[c]):\n            return False\n    return not stack", "A stack remembers which bracket must be closed next."),
        ("reads {t} from a CSV file and sums column {k}", "column_sum", "import csv\n\ndef column_sum(path):\n    with open(path, newline='') as file:\n        return sum(float(row[{k}]) for row in csv.reader(file))", "csv.reader handles quotes; columns are counted from zero."),
    ]
    what, name, body, why = draw.pick(tasks)
    digits, rest = [], m
    while rest:
        rest, digit = divmod(rest, k)
        digits.append(digit)
    fill = dict(n=n, t=t, k=k, m=m, base=digits[::-1])
    ask = draw.pick(["Write a Python function that {}.", "Give me Python code that {}.", "Implement in Python a function which {}. Explain it in a sentence.", "I need a small helper that {}. Use Python.", "Solve in Python: a function {} that %s." ])
    ask = ask % what if "%s" in ask else ask.format(what)
    ask = ask.replace("function {} that", "function `%s` that" % name).format(**fill)
    return ask, "", "```python\n%s\n```\n%s" % (body.format(**fill), why.format(**fill))


# Creative writing -------------------------------------------------------------------------------------------------

WHO = ["lighthouse keeper", "young baker", "retired astronaut", "clockmaker's daughter", "travelling violinist", "lonely robot", "night bus driver", "deep-sea diver", "village librarian", "stray cat", "beekeeper", "mapmaker", "train conductor", "gardener of a ruined castle", "glass blower", "weather forecaster"]
WHERE = ["on a frozen island", "in a city under the sea", "at the last station of a mountain railway", "in a market of forgotten things", "on the roof of an old theatre", "in a desert of blue sand", "in a library without doors", "at the edge of a spring forest", "on a ship that never lands", "in a kitchen before dawn", "beneath a bridge in the rain", "in an orchard during harvest"]
FOUND = ["a letter addressed to nobody", "a key made of ice", "a melody that only children can hear", "a map of tomorrow", "a seed that hums", "a mirror that shows the weather", "an umbrella full of stars", "a clock with thirteen hours", "a recipe for courage", "a bird that speaks in questions", "a suitcase of old laughter", "a photograph that changes every night"]
FEEL = ["homesickness", "hope", "the courage to begin again", "friendship", "forgiveness", "wonder", "patience", "the fear of change", "gratitude", "the joy of small things"]
TURNS = [
    "At first nobody believed it, and the days went on as they always had.",
    "Then the wind turned, and with it everything that had seemed certain.",
    "A stranger came by, asked for water and stayed for the whole story.",
    "That night it began to snow, although it was the middle of July.",
    "What looked like an ending was only the place where the page is turned.",
    "Someone laughed in the dark, and the sound was strangely familiar.",
    "It cost a long walk, two wrong turnings and one honest conversation.",
    "Slowly, as ice lets go of a river, the answer came loose.",
    "The old songs had said so all along, if only one listened to the last verse.",
]
LINES = ["The {w} counts the hours in grains of light", "No road leads back to where the morning grew", "I hold {f} and do not ask its weight", "The sea has written letters to the shore", "A window learns the colour of the rain", "What {e} is, the smallest sparrow knows", "We carry lanterns made of yesterday", "Between two breaths there stands an open gate", "The orchard hums though nobody is near", "And every silence has a secret door"]


def creative(draw):
    w, p, f, e = draw.pick(WHO), draw.pick(WHERE), draw.pick(FOUND), draw.pick(FEEL)
    kind = draw.below(4)
    if kind == 0:
        return draw.pick(["Write a very short story about a {w} who finds {f} {p}.", "Tell a tale {p}: a {w}, {f}, and {e}.", "A {w} comes upon {f}. Turn this into a short story about {e}."]).format(w=w, p=p, f=f, e=e), "", "There was once a %s who lived %s. One evening, between the lamp and the door, lay %s. %s In the end it was not the thing itself that mattered but what it had taught: %s." % (w, p, f, " ".join(draw.some(TURNS, draw.between(2, 3))), e)
    if kind == 1:
        return "Write a poem of four lines about %s. A %s should appear in it." % (e, w), "", "\n".join(l.format(w=w, f=f, e=e) + "," if i < 3 else l.format(w=w, f=f, e=e) + "." for i, l in enumerate(["The {w} counts the hours in grains of light"] + draw.some(LINES[1:], 3)))
    if kind == 2:
        return "Suggest three titles for a novel about a %s %s." % (w, p), "", "1. %s. 2. The %s and %s. 3. A Small History of %s. The second promises the most adventure." % (f[0].upper() + f[1:], w, f, e)
    return "Write the opening sentence of a novel that plays %s and deals with %s." % (p, e), "", "Nobody had told the %s that %s could be lost %s, and least of all that one might find it again in %s." % (w, e, p, f)


# Chinese ----------------------------------------------------------------------------------------------------------

IDIOMS = [
    ("画蛇添足", "比喻做了多余的事，反而不恰当", "楚国人比赛画蛇，先画完的人给蛇添上脚，结果输了"),
    ("守株待兔", "比喻不努力，只想靠运气得到收获", "农夫捡到撞死在树桩上的兔子，从此天天守着树桩"),
    ("刻舟求剑", "比喻不懂得随情况变化而改变办法", "剑掉进江里，那人却在船上刻记号"),
    ("亡羊补牢", "比喻出了问题以后及时补救，还不算晚", "羊丢了一只以后把羊圈修好，就不再丢羊"),
    ("井底之蛙", "比喻见识狭窄的人", "青蛙住在井底，以为天只有井口那么大"),
    ("掩耳盗铃", "比喻自己欺骗自己", "偷铃的人捂住自己的耳朵，以为别人也听不见"),
    ("愚公移山", "比喻做事有毅力，不怕困难", "老人带着子孙每天挖山，终于感动了天帝"),
    ("对牛弹琴", "比喻说话不看对象", "琴弹得再好，牛也只顾低头吃草"),
    ("狐假虎威", "比喻依仗别人的势力欺压人", "狐狸走在老虎前面，百兽怕的其实是老虎"),
    ("滴水穿石", "比喻坚持不懈，小力量也能成大事", "水滴日复一日，终于把石头滴穿"),
    ("拔苗助长", "比喻违反规律，急于求成", "农夫把禾苗拔高，禾苗全都枯死了"),
    ("杯弓蛇影", "比喻疑神疑鬼，自己吓自己", "客人把墙上弓的倒影当成酒杯里的蛇"),
    ("胸有成竹", "比喻做事之前已有完整的打算", "画家下笔之前，心里已经有了竹子的样子"),
    ("塞翁失马", "比喻坏事也可能变成好事", "老人丢了马，后来马却带回了另一匹好马"),
]
POEMS = [
    ("静夜思", "李白", "床前明月光，疑是地上霜", "思念故乡"), ("春晓", "孟浩然", "春眠不觉晓，处处闻啼鸟", "春天清晨的景色和惜春之情"),
    ("登鹳雀楼", "王之涣", "白日依山尽，黄河入海流", "站得高才能看得远"), ("悯农", "李绅", "锄禾日当午，汗滴禾下土", "粮食来之不易"),
    ("相思", "王维", "红豆生南国，春来发几枝", "对友人的思念"), ("江雪", "柳宗元", "千山鸟飞绝，万径人踪灭", "孤独而清高的心境"),
    ("望庐山瀑布", "李白", "日照香炉生紫烟，遥看瀑布挂前川", "瀑布的壮丽"), ("绝句", "杜甫", "两个黄鹂鸣翠柳，一行白鹭上青天", "草堂周围明媚的春光"),
    ("游子吟", "孟郊", "慈母手中线，游子身上衣", "母爱的深厚"), ("枫桥夜泊", "张继", "月落乌啼霜满天，江枫渔火对愁眠", "旅途中的愁绪"),
    ("清明", "杜牧", "清明时节雨纷纷，路上行人欲断魂", "清明时节行人的心情"), ("咏鹅", "骆宾王", "鹅，鹅，鹅，曲项向天歌", "白鹅戏水的样子"),
]
CITIES = [("北京", "中国的首都", "故宫"), ("上海", "长江入海口的大都市", "外滩"), ("西安", "十三朝古都", "兵马俑"), ("成都", "四川省的省会", "大熊猫基地"), ("杭州", "浙江省的省会", "西湖"), ("哈尔滨", "黑龙江省的省会", "冰雪大世界"), ("拉萨", "西藏自治区的首府", "布达拉宫"), ("桂林", "广西的山水名城", "漓江"), ("苏州", "江南水乡", "拙政园"), ("敦煌", "丝绸之路上的重镇", "莫高窟")]
PAIRS = [("高兴", "快乐", "难过"), ("勇敢", "无畏", "胆小"), ("美丽", "漂亮", "丑陋"), ("勤劳", "勤快", "懒惰"), ("安静", "宁静", "吵闹"), ("寒冷", "严寒", "炎热"), ("仔细", "认真", "马虎"), ("节约", "节省", "浪费"), ("聪明", "机智", "愚笨"), ("谦虚", "虚心", "骄傲"), ("宽阔", "宽广", "狭窄"), ("立刻", "马上", "慢慢")]


def chinese(draw):
    kind = draw.below(6)
    if kind == 0:
        word, meaning, story = draw.pick(IDIOMS)
        return draw.pick(["请解释成语“{}”的意思。", "成语“{}”是什么意思？它背后有什么故事？", "“{}”这个成语怎么理解？请举例说明。", "小学语文课上讲到“{}”，请用简单的话讲一讲。"]).format(word), "", draw.pick(["“{0}”{1}。故事是这样的：{2}。", "{2}。后来人们用“{0}”来{1}。"]).format(word, meaning, story)
    if kind == 1:
        title, poet, lines, theme = draw.pick(POEMS)
        return draw.pick(["《{0}》的作者是谁？这首诗表达了什么？", "请介绍古诗《{0}》。", "“{1}”出自哪首诗？"]).format(title, lines), "", "“%s”出自%s的《%s》，写的是%s。" % (lines, poet, title, theme)
    if kind == 2:
        city, what, sight = draw.pick(CITIES)
        days = draw.between(2, 6)
        return draw.pick(["我想去{0}旅游{1}天，有什么建议？", "{0}有什么值得看的地方？", "请用一句话介绍{0}。"]).format(city, days), "", "%s是%s，%s一定要去。如果有%d天时间，可以先看名胜，再到老街上尝尝当地的小吃。" % (city, what, sight, days)
    if kind == 3:
        word, same, opposite = draw.pick(PAIRS)
        return draw.pick(["“{}”的近义词和反义词分别是什么？", "请写出“{}”的一个近义词和一个反义词，并造句。"]).format(word), "", "近义词是“%s”，反义词是“%s”。造句：遇到这样的事情，他觉得很%s。" % (same, opposite, word)
    if kind == 4:
        a, b = draw.between(12, 98), draw.between(3, 29)
        what = draw.pick(["苹果", "铅笔", "图书", "邮票", "鸡蛋", "气球"])
        return "学校有%d%s%s，又买来%d%s，现在一共有多少？" % (a, "本" if what == "图书" else "个" if what in ("苹果", "鸡蛋", "气球") else "支" if what == "铅笔" else "张", what, b, "本" if what == "图书" else "个" if what in ("苹果", "鸡蛋", "气球") else "支" if what == "铅笔" else "张"), "", "%d加%d等于%d，所以现在一共有%d。" % (a, b, a + b, a + b)
    season = draw.pick(["春天", "夏天", "秋天", "冬天"])
    scene = draw.pick(["公园里", "田野上", "小河边", "山脚下", "校园里", "老街上"])
    mood = draw.pick(["温暖", "宁静", "热闹", "清凉", "幸福"])
    detail = {"春天": "柳树发芽，燕子从南方飞回来", "夏天": "知了在树上唱歌，荷花开满了池塘", "秋天": "树叶变黄，果子挂满枝头", "冬天": "雪花飘落，孩子们堆起了雪人"}[season]
    return "以“%s的%s”为题写一段话，突出%s的感觉。" % (season, scene, mood), "", "%s来了。%s，%s。走在这里，心里感到一阵%s，好像所有的烦恼都被风带走了。" % (season, scene, detail, mood)


# Dialogue understanding -------------------------------------------------------------------------------------------

PEOPLE = ["Anna", "Ben", "Chidi", "Dana", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Mateo", "Nora", "Omar", "Priya"]
PLANS = [("go to the cinema", "the new film about the polar expedition", "the early show is cheaper"), ("cook together", "a mushroom risotto", "the market had fresh mushrooms"), ("visit the museum", "the exhibition of old maps", "it closes on Sunday"), ("study for the exam", "the chapter on probability", "that part was hardest last time"), ("repair the bicycle", "the rear brake", "it squeaks and hardly holds"), ("plant tomatoes", "the bed behind the shed", "it has sun until evening"), ("play badminton", "the hall beside the station", "it is too windy outside"), ("look at a flat", "two rooms near the harbour", "the rent of the present one goes up"), ("take the dog to the vet", "its left ear", "it keeps scratching there"), ("practise the duet", "the slow movement", "they still disagree about the tempo")]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
OBSTACLES = ["I have to work late", "my sister arrives then", "I have a dentist's appointment", "the car is at the garage", "I promised to babysit", "there is a parents' evening"]


def dialogue(draw):
    a, b = draw.some(PEOPLE, 2)
    plan, object_, reason = draw.pick(PLANS)
    d1, d2 = draw.some(DAYS, 2)
    hour = draw.between(9, 19)
    obstacle = draw.pick(OBSTACLES)
    talk = "%s: %s\n%s: On %s? %s.\n%s: Then what about %s at %d?\n%s: That suits me. And we begin with %s?\n%s: Yes, because %s." % (
        a, draw.pick(["Shall we %s on %s?", "I would like to %s. Are you free on %s?", "Do you want to %s this %s?"]) % (plan, d1), b, d1, obstacle[0].upper() + obstacle[1:], a, d2, hour, b, object_, a, reason)
    question, answer = draw.pick([
        ("When will they meet in the end?", "They meet on %s at %d, since %s cannot come on %s." % (d2, hour, b, d1)),
        ("Why does %s not want the first day?" % b, "%s says: %s. So %s does not work." % (b, obstacle, d1)),
        ("What do the two intend to do, and why do they begin with %s?" % object_, "They want to %s; they begin with %s because %s." % (plan, object_, reason)),
        ("Summarise the conversation in one sentence.", "%s and %s agree to %s on %s at %d, beginning with %s." % (a, b, plan, d2, hour, object_)),
        ("Who proposes the day that is agreed on?", "%s proposes %s after %s declines %s." % (a, d2, b, d1)),
    ])
    return draw.pick(["Read the dialogue and answer. ", "", "Here is a conversation. "]) + question, talk, answer


# Role-play --------------------------------------------------------------------------------------------------------

ROLES = [
    ("pirate captain", "Arr,", "the sea forgives no sleepy helmsman", "me hearty"), ("medieval physician", "By the four humours,", "a warm broth does more than a sharp knife", "good patient"),
    ("detective of the 1920s", "Elementary matters first:", "the smallest crumb may name the thief", "my friend"), ("grumpy dragon", "Hrmph,", "gold is quiet company and never asks questions", "small morsel"),
    ("space station engineer", "Copy that,", "check the seal before you trust the air", "crewmate"), ("wise grandmother", "Well, my dear,", "bread rises when nobody stares at it", "child"),
    ("football coach", "Listen up!", "the next pass matters more than the last mistake", "champ"), ("court jester", "Ha, ha and thrice ha,", "a crown is but a hat that lets the rain in", "noble fool"),
    ("museum guide", "If you follow me,", "every scratch on this vase is a sentence of history", "dear visitor"), ("ship's cook", "Stir first, ask later:", "salt hides in every good story", "sailor"),
    ("mountain guide", "Slow steps,", "the summit is only half the way", "comrade"), ("old samurai", "Breathe.", "the blade that is not drawn wins twice", "young student"),
    ("radio host", "Good evening out there,", "a pause can be the best part of a song", "dear listener"), ("talking oak tree", "In my three hundred rings,", "storms pass and roots remain", "little acorn"),
]
TROUBLES = [
    ("I am afraid of my exam tomorrow.", "learn the part you like least first, then sleep"), ("I had a quarrel with my best friend.", "say the first word, even if it is a small one"),
    ("How do I make new friends in a new town?", "go where people do something together, and come back a second time"), ("I can't fall asleep at night.", "put away the lights and count slow breaths"),
    ("What should I cook for ten guests?", "choose one big pot that can wait, such as a stew"), ("How do I keep my plants alive?", "touch the soil before you water it"),
    ("My boss never praises me.", "ask for one honest remark about one piece of work"), ("I want to learn an instrument, but I am forty.", "play ten minutes every day and be a beginner gladly"),
    ("It has rained for a week and I am bored.", "mend one thing, write one letter, and dance while the kettle sings"), ("Should I lend my brother money?", "lend what you could give away, and write the sum down"),
    ("I lost the map. Which way now?", "follow the water downhill until you meet a road"), ("How do I give a good speech?", "know your first and your last sentence by heart"),
]


def role_play(draw):
    role, hello, wisdom, you = draw.pick(ROLES)
    trouble, advice = draw.pick(TROUBLES)
    follow, reply = draw.pick([("And if that does not help?", "Then try again when the tide has turned, %s; tomorrow is another day." % you), ("Did you ever feel like that yourself?", "More often than I can count, %s, and I am still here to tell it." % you), ("Thank you!", "No thanks needed, %s. Remember: %s." % (you, wisdom))])
    opening = "%s %s, so heed this, %s: %s." % (hello, wisdom, you, advice)
    turns = [("system", draw.pick(["You are a %s. Stay in character.", "Play the part of a %s.", "From now on you speak like a %s, in short answers."]) % role), ("user", trouble), ("assistant", opening)]
    if draw.below(2):
        turns += [("user", follow), ("assistant", reply)]
    return turns


# Logical reasoning ------------------------------------------------------------------------------------------------

MORE = [("taller", "tallest", "shortest"), ("older", "oldest", "youngest"), ("faster", "fastest", "slowest"), ("richer", "richest", "poorest"), ("stronger", "strongest", "weakest")]
KINDS = ["wugs", "dax", "florps", "zennets", "quills", "marlups", "tovers", "brindles", "snarks", "yondels"]
TRAITS = ["blue", "made of glass", "able to swim", "older than a century", "awake at night", "heavier than iron", "fond of music"]


def logic(draw):
    kind = draw.below(4)
    if kind == 0:
        count = draw.between(4, 6)
        names = draw.some(PEOPLE, count)
        more, most, least = draw.pick(MORE)
        clues = draw.shuffled(["%s is %s than %s." % (names[i], more, names[i + 1]) for i in range(count - 1)])
        want = draw.below(3)
        question = ["Who is the %s?" % most, "Who is the %s?" % least, "Is %s %s than %s?" % (names[1], more, names[count - 1])][want]
        answer = ["%s is the %s." % (names[0], most), "%s is the %s." % (names[-1], least), "Yes, %s is %s than %s." % (names[1], more, names[-1])][want]
        return " ".join(clues) + " " + question, "Putting the clues together gives the order %s. %s" % (" > ".join(names), answer)
    if kind == 1:
        x, y, z = draw.some(KINDS, 3)
        trait = draw.pick(TRAITS)
        form = draw.below(4)
        premises = ["All %s are %s. All %s are %s." % (x, y, y, trait), "All %s are %s. No %s are %s." % (x, y, y, trait), "Some %s are %s. All %s are %s." % (x, y, y, trait), "All %s are %s. Some %s are %s." % (x, y, y, trait)][form]
        answer = ["Yes. Every one of the %s belongs to the %s, and all of those are %s, so all %s are %s." % (x, y, trait, x, trait), "No. The %s are all %s, and none of those is %s, so no %s can be %s." % (x, y, trait, x, trait), "Not all, as far as we know. Those %s that are %s are %s; about the others nothing is said." % (x, y, trait), "It does not follow. The %s that are %s need not be among the %s." % (y, trait, x)][form]
        return premises + " Are all %s %s?" % (x, trait), answer
    if kind == 2:
        a, b, c = draw.some(PEOPLE, 3)
        guilty = draw.below(3)
        names = [a, b, c]
        said = [(0, "%s did it" % b, guilty == 1), (1, "%s is lying" % a, guilty != 1), (2, "I did not do it", guilty != 2)]
        if sum(s[2] for s in said) == 1:
            clue, count = "exactly one of them tells the truth", 1
        else:
            clue, count = "exactly two of them tell the truth", 2
        solutions = [g for g in range(3) if sum([g == 1, g != 1, g != 2]) == count]
        verdict = "%s broke the window" % names[solutions[0]] if len(solutions) == 1 else "the clues leave %s" % " or ".join(names[g] for g in solutions)
        return "One of %s, %s and %s broke the window. %s says: «%s.» %s says: «%s.» %s says: «%s.» We know that %s. Who was it?" % (a, b, c, a, said[0][1], b, said[1][1], c, said[2][1], clue), "Try each of the three in turn and count the true statements. %s fits, so %s." % (" and ".join(names[g] for g in solutions), verdict)
    start, step, ratio = draw.between(1, 20), draw.between(2, 12), draw.between(2, 4)
    form = draw.below(3)
    terms = [[start + i * step for i in range(6)], [start * ratio**i for i in range(6)], [start + step * i * i for i in range(6)]][form]
    rule = ["each term is %d more than the one before" % step, "each term is %d times the one before" % ratio, "the differences grow by %d every time" % (2 * step)][form]
    return "Which number comes next: %s, …?" % ", ".join(map(str, terms[:5])), "Look at neighbours: %s. So the next number is %d." % (rule, terms[5])


# CoT for Grad-Math ------------------------------------------------------------------------------------------------

def signed(value, tail):
    return "%s %d%s" % ("-" if value < 0 else "+", abs(value), tail)


def grad_math(draw):
    kind = draw.below(8)
    a, b, c, d = [draw.between(-9, 9) or 5 for _ in range(4)]
    if kind == 0:
        det = a * d - b * c
        return "Find the determinant and the trace of the matrix [[%d, %d], [%d, %d]], and say whether it can be inverted." % (a, b, c, d), "Step 1: det = (%d)(%d) - (%d)(%d) = %d - %d = %d.\nStep 2: the trace is %d + %d = %d.\nStep 3: the determinant is %s, so the matrix is %s." % (a, d, b, c, a * d, b * c, det, a, d, a + d, "zero" if det == 0 else "not zero", "singular" if det == 0 else "invertible")
    if kind == 1:
        p, q = abs(a) + 1, abs(b) + 1
        x = draw.between(-4, 4)
        return "Let f(x) = %dx^%d %s. Compute f'(%d)." % (p, q, signed(c, "x"), x), "Step 1: by the power rule f'(x) = %dx^%d %s.\nStep 2: put x = %d: %d·(%d)^%d %s = %d." % (p * q, q - 1, signed(c, ""), x, p * q, x, q - 1, signed(c, ""), p * q * x ** (q - 1) + c)
    if kind == 2:
        m, n = draw.between(100, 999), draw.between(30, 400)
        steps, u, v = [], m, n
        while v:
            steps.append("%d = %d·%d + %d" % (u, u // v, v, u % v))
            u, v = v, u % v
        return "Use Euclid's algorithm to find the greatest common divisor of %d and %d." % (m, n), "Divide with remainder again and again:\n%s.\nThe last remainder that is not zero is %d, so gcd(%d, %d) = %d." % (";\n".join(steps), u, m, n, u)
    if kind == 3:
        base, power, mod = draw.between(2, 12), draw.between(20, 200), draw.pick([7, 11, 13, 17, 19, 23])
        reduced = power % (mod - 1)
        if base % mod == 0:
            base += 1
        return "What is the remainder of %d^%d on division by %d?" % (base, power, mod), "Step 1: %d is prime and does not divide %d, so by Fermat's little theorem %d^%d ≡ 1 (mod %d).\nStep 2: %d ≡ %d (mod %d), so we need %d^%d.\nStep 3: that is %d modulo %d. Answer: %d." % (mod, base, base, mod - 1, mod, power, reduced, mod - 1, base, reduced, pow(base, reduced, mod), mod, pow(base, power, mod))
    if kind == 4:
        r, s = draw.between(-9, 9), draw.between(-9, 9)
        p, q = -(r + s), r * s
        return "Solve x^2 %s %s = 0 over the reals." % (signed(p, "x"), signed(q, "")), "Step 1: look for two numbers with sum %d and product %d: they are %d and %d.\nStep 2: the polynomial factors as (x %s)(x %s).\nAnswer: %s." % (r + s, q, r, s, signed(-r, ""), signed(-s, ""), "x = %d, a double root" % r if r == s else "x = %d or x = %d" % (min(r, s), max(r, s)))
    if kind == 5:
        red, blue, take = draw.between(3, 9), draw.between(3, 9), draw.between(2, 3)
        ways, all_ = math.comb(red, take), math.comb(red + blue, take)
        return "An urn holds %d red and %d blue balls. %d are drawn without putting back. What is the probability that all are red?" % (red, blue, take), "Step 1: there are C(%d, %d) = %d ways to draw %d balls.\nStep 2: C(%d, %d) = %d of them are all red.\nStep 3: the probability is %d/%d = %s, about %.4f." % (red + blue, take, all_, take, red, take, ways, ways, all_, Fraction(ways, all_), ways / all_)
    if kind == 6:
        low, high, p, n = 0, draw.between(1, 5), abs(a), draw.between(1, 4)
        value = Fraction(p * high ** (n + 1), n + 1)
        return "Evaluate the integral of %dx^%d from 0 to %d." % (p, n, high), "Step 1: an antiderivative is %sx^%d.\nStep 2: at the upper limit it is %s, at 0 it is 0.\nAnswer: %s." % (Fraction(p, n + 1), n + 1, value, value)
    l1, l2 = draw.between(-9, 9), draw.between(-9, 9)
    t = draw.between(1, 9)
    sign = "positive definite: both are above 0" if min(l1, l2) > 0 else "negative definite: both are below 0" if max(l1, l2) < 0 else "singular: one of them is 0" if l1 * l2 == 0 else "indefinite: their signs differ"
    ask = draw.pick(["Find the eigenvalues of [[%d, %d], [0, %d]].", "What is the spectrum of the triangular matrix [[%d, %d], [0, %d]]?", "Let A = [[%d, %d], [0, %d]]. Give its eigenvalues and the signs of them."]) % (l1, t, l2)
    return ask, draw.pick(["The matrix is triangular, so the diagonal holds the eigenvalues %d and %d. Judged by these it is %s.", "Step 1: det(A - xI) = (%d - x)(%d - x), whose zeros are the eigenvalues.\nStep 2: by their signs the matrix is %s."]) % (l1, l2, sign)


# Ethics -----------------------------------------------------------------------------------------------------------

DILEMMAS = [
    ("A colleague takes credit for work that a trainee did", "speak with the colleague in private first, and then make the trainee's part known", "fairness towards the weaker person", "keeping peace in the team"),
    ("A shop gives you too much change", "give the money back", "honesty even where nobody would notice", "your own small advantage"),
    ("A friend asks you to lie to her parents", "tell her that you will not lie, and help her to find the right words", "truthfulness", "loyalty to a friend"),
    ("A doctor finds that a treatment failed through his own mistake", "tell the patient openly and report it", "the patient's right to know", "the fear for one's reputation"),
    ("A neighbour's child comes to school hungry again and again", "speak with the family and, if nothing changes, with those whose duty it is to help", "the welfare of the child", "the privacy of the family"),
    ("A program for choosing applicants favours one group", "stop using it until the cause is found and mended", "equal chances", "speed and cost"),
    ("A factory could save money by letting waste water into a river", "treat the water as the law asks, and better", "the health of people downstream", "profit"),
    ("Someone posts an embarrassing photograph of a classmate", "ask for it to be taken down and do not share it", "respect for the person", "a cheap laugh"),
    ("A journalist is offered documents that were stolen", "weigh how much the public needs to know, check them, and protect the innocent", "the public interest", "the property and safety of others"),
    ("An old man wishes to live at home although he falls often", "respect his wish as far as possible and make the home safer", "self-determination", "safety"),
    ("A student finds the exam paper in the copier", "hand it in and say so", "fairness towards all who sit the exam", "an easy good mark"),
    ("A rescue team can reach only one of two villages before night", "go where more lives are likely to be saved, and explain the choice", "saving as many as possible", "the equal claim of those left behind"),
]
ASKERS = ["a pupil", "a manager", "a nurse", "a town councillor", "a new employee", "a parent", "a software developer", "a volunteer"]


def ethics(draw):
    case, advice, value, other = draw.pick(DILEMMAS)
    asker = draw.pick(ASKERS)
    ask = draw.pick(["{c}. What should one do?", "Imagine that you are {a}. {c}. How would you act, and why?", "{c}. Which values are in conflict here?", "Discuss from the view of {a}: {c}.", "Is it wrong to look away in this case? {c}."]).format(c=case, a=asker)
    answer = draw.pick(["The right course is to {d}. What weighs most is {v}; against it stands {o}.", "Two things pull apart: {v} and {o}. I would {d}, because the first weighs more here.", "First name the conflict, {v} against {o}. Then act so that you could defend it before everyone concerned: {d}."]).format(d=advice, v=value, o=other)
    tail = draw.pick(["", " Ask those concerned before you decide.", " Nobody should have to carry such a decision alone; seek advice.", " What is legal is not yet right, but it is a start.", " Good intentions do not replace a look at the consequences."])
    return ask, "", answer + tail


# The files --------------------------------------------------------------------------------------------------------

def alpaca(ability, made):
    instruction, input_, output = made
    return {"instruction": instruction, "input": input_, "output": output, "ability": ability}


def prompt(ability, made):
    return {"prompt": made[0], "completion": made[1], "ability": ability}


def chat(ability, made):
    return {"messages": [{"role": r, "content": c} for r, c in made], "ability": ability}


def long_history(draw):
    return long_records.history(draw, EVENTS)


ABILITIES = [
    (0, "STEM-biology", biology, long_records.biology, alpaca), (0, "humanity-history", history, long_history, alpaca),
    (0, "code generation", code, long_records.code, alpaca), (0, "Chinese", chinese, long_records.chinese, alpaca),
    (1, "logical reasoning", logic, long_records.logic, prompt), (1, "CoT grad-math", grad_math, long_records.grad_math, prompt),
    (1, "dialogue understanding", dialogue, long_records.dialogue, alpaca),
    (2, "role-play", role_play, long_records.role_play, chat), (2, "creative writing", creative, long_records.creative, alpaca), (2, "ethics", ethics, long_records.ethics, alpaca),
]


def line(record):
    return json.dumps(record, ensure_ascii=False).encode()


def reworded(record, draw):
    """The same request with the words around it changed: what an exact comparison misses."""
    record = json.loads(json.dumps(record))

    def change(text):
        is_chinese = any("\u4e00" <= c <= "\u9fff" for c in text)
        if is_chinese:
            return draw.pick([text.replace("。", "！", 1) if "。" in text else text + "！", text + "谢谢！", text.replace("请", "", 1) if "请" in text else "请问，" + text])
        return draw.pick([lambda t: "Please: " + t, lambda t: t.upper() if len(t) < 60 else t.replace(". ", ".  "), lambda t: t.rstrip(".?!") + " !", lambda t: t.replace(" the ", "  the ", 1) + " Thanks.", lambda t: t.replace(",", " ,", 1) + "\n"])(text)

    if "messages" in record:
        turn = next(t for t in record["messages"] if t["role"] == "user")
        turn["content"] = change(turn["content"])
    else:
        key = "prompt" if "prompt" in record else "instruction"
        record[key] = change(record[key])
    return record


MALFORMED = [
    (0, b'{"instruction": "This object is never closed.", "output": "no"'),
    (0, b'{"instruction": "A comma too many.", "output": "no",}'),
    (0, b'{"instruction": "These bytes are no UTF-8: \xff\xfe", "output": "no"}'),
    (0, b""),
    (1, b'["an array", "is no record"]'),
    (1, b"42"),
    (1, b'{"prompt": "two objects", "completion": "on one line"} {"prompt": "a", "completion": "b"}'),
    (1, b'{"prompt": "cut in the middle of a character: \xe4\xbd", "completion": "no"}'),
    (2, b'{"messages": [{"role": "user", "content": "a lone surrogate: \\ud800"}]}'),
    (2, b"instruction,output"),
]
UNFIT = [
    (0, {"instruction": "There is no answer to this one.", "ability": "humanity-history"}),
    (0, {"instruction": "This answer is empty.", "input": "", "output": "", "ability": "STEM-biology"}),
    (1, {"prompt": "The completion is null.", "completion": None, "ability": "logical reasoning"}),
    (1, {"title": "a record of no known schema", "ability": "logical reasoning"}),
    (2, {"messages": [], "ability": "role-play"}),
    (2, {"instruction": "The answer is a list.", "output": ["a", "b"], "ability": "ethics"}),
]


def main():
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    draw = Draw(20231019)
    files = [[], [], []]
    seen = set()
    for file, ability, short, long, shape in ABILITIES:
        for make, wanted in [(short, SHORT), (long, LONG)]:
            count = tries = 0
            while count < wanted:
                tries += 1
                assert tries < 100 * wanted, ability
                record = shape(ability, make(draw))
                encoded = line(record)
                if encoded in seen:
                    continue
                seen.add(encoded)
                files[file].append((encoded, record))
                count += 1
    for file in range(3):
        files[file] = draw.shuffled(files[file])

    everything = [(file, record) for file in range(3) for _, record in files[file]]
    originals = draw.some(everything, EXACT_DUPLICATES + NEAR_DUPLICATES)
    planted = [(file, line(record)) for file, record in originals[:EXACT_DUPLICATES]]
    for file, record in originals[EXACT_DUPLICATES:]:
        changed = line(reworded(record, draw))
        while changed in seen:
            changed = line(reworded(record, draw))
        seen.add(changed)
        planted.append((file, changed))
    planted += MALFORMED + [(file, line(record)) for file, record in UNFIT]
    lines = [[encoded for encoded, _ in file] for file in files]
    for file, encoded in planted:
        # A copy may be in the same file as its original or in the next one, before or after it.
        target = (file + draw.below(2)) % 3 if (file, encoded) not in MALFORMED else file
        lines[target].insert(draw.below(len(lines[target]) + 1), encoded)

    total = 0
    for index, content in enumerate(lines):
        data = b"".join(one + b"\n" for one in content)
        path = os.path.join(directory, "demo-%d.jsonl.zst" % index)
        packed = subprocess.run(["zstd", "-19", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
        with open(path, "wb") as out:
            out.write(packed)
        total += len(content)
        print("demo-%d.jsonl.zst  %5d lines  %8d bytes  %7d compressed  sha256 of the lines %s" % (index, len(content), len(data), len(packed), hashlib.sha256(data).hexdigest()))
    print("%d lines: %d records of %d abilities, %d exact and %d near duplicates, %d malformed, %d that fit no schema" % (total, (SHORT + LONG) * len(ABILITIES), len(ABILITIES), EXACT_DUPLICATES, NEAR_DUPLICATES, len(MALFORMED), len(UNFIT)))


if __name__ == "__main__":
    main()
