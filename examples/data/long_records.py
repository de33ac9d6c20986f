"""The longer half of the demo data: for each ability, records of several sentences or with a computation worked out.

Each function takes a draw (`history` also the table of events) and returns records in the form of the function of the
same ability in make_demo_data.py.
"""

import itertools
from fractions import Fraction


def listing(words, last=" and "):
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + last + words[-1]


def capital(text):
    return text[0].upper() + text[1:]


PEOPLE = ["Anna", "Ben", "Chidi", "Dana", "Elif", "Farid", "Grace", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Mateo", "Nora", "Omar", "Priya", "Quentin", "Rosa", "Samir", "Tove", "Umar", "Vera", "Wen", "Yara"]

# STEM - Biology ---------------------------------------------------------------------------------------------------

BASES = "UCAG"
ACIDS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = {a + b + c: ACIDS[16 * i + 4 * j + k] for i, a in enumerate(BASES) for j, b in enumerate(BASES) for k, c in enumerate(BASES)}
ACID_NAMES = dict(A="Ala", R="Arg", N="Asn", D="Asp", C="Cys", Q="Gln", E="Glu", G="Gly", H="His", I="Ile", L="Leu", K="Lys", M="Met", F="Phe", P="Pro", S="Ser", T="Thr", W="Trp", Y="Tyr", V="Val")
CROSSES = [
    ("pea", "seed colour", "Y", "yellow", "green"), ("pea", "seed shape", "R", "round", "wrinkled"), ("pea", "flower colour", "P", "purple", "white"), ("pea", "height", "T", "tall", "dwarf"),
    ("fruit fly", "body colour", "E", "grey", "ebony"), ("fruit fly", "wing shape", "V", "long", "vestigial"), ("guinea pig", "coat colour", "B", "black", "brown"), ("guinea pig", "hair", "S", "short", "long"),
    ("tomato", "stem", "A", "purple", "green"), ("tomato", "leaf edge", "C", "cut", "potato-like"), ("mouse", "coat", "G", "agouti", "black"), ("maize", "kernel", "W", "starchy", "waxy"),
]
SPECIES = [
    ("great tit", "bird"), ("blackbird", "bird"), ("kingfisher", "bird"), ("mallard", "bird"), ("grey heron", "bird"), ("roe deer", "mammal"), ("red squirrel", "mammal"), ("hare", "mammal"), ("noctule bat", "mammal"), ("otter", "mammal"),
    ("grass snake", "reptile"), ("sand lizard", "reptile"), ("slow worm", "reptile"), ("common toad", "amphibian"), ("smooth newt", "amphibian"), ("tree frog", "amphibian"), ("brimstone butterfly", "insect"), ("stag beetle", "insect"),
    ("emperor dragonfly", "insect"), ("seven-spot ladybird", "insect"), ("field cricket", "insect"), ("pike", "fish"), ("stickleback", "fish"), ("brown trout", "fish"),
]
SITES = ["the reed bed", "the old quarry", "the beech wood", "the mill pond", "the river bank", "the heath", "the orchard", "the salt marsh", "the hedge by the railway", "the upper meadow", "the peat bog", "the churchyard"]
SKIES = ["overcast and still", "sunny with a light breeze", "drizzle since dawn", "foggy until ten", "warm and humid", "clear after a frosty night", "windy from the west", "cool, with showers"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]


def biology(draw):
    kind = draw.below(4)
    if kind == 0:
        codons = sorted(CODONS)
        inner = [draw.pick([c for c in codons if CODONS[c] != "*"]) for _ in range(draw.between(7, 14))]
        stop = draw.pick([c for c in codons if CODONS[c] == "*"])
        lead = "".join(draw.pick("CAG") for _ in range(draw.between(0, 4)))
        acids = ["Met"] + [ACID_NAMES[CODONS[c]] for c in inner]
        return draw.pick(["Translate this messenger RNA from its first start codon on.", "Which peptide does the messenger RNA code for?", "Find the start codon and read the RNA into amino acids."]), "5'-%s-3'" % (lead + "AUG" + "".join(inner) + stop), \
            "The first AUG begins at base %d. Read in threes: %s, and %s is a stop codon. The peptide is %s, %d amino acids long." % (len(lead) + 1, ", ".join(["AUG"] + inner), stop, "-".join(acids), len(acids))
    if kind == 1:
        being, trait, gene, strong, weak = draw.pick(CROSSES)
        low = gene.lower()
        genotypes = [gene + gene, gene + low, low + low]
        a, b = draw.pick(genotypes), draw.pick(genotypes)
        children = ["".join(sorted(x + y)) for x in a for y in b]
        count = draw.between(20, 400) * 4
        parts = ["%s %d of 4" % (g, children.count(g)) for g in genotypes if g in children]
        dominant = sum(gene in c for c in children)
        return "In the %s, %s (%s) is dominant over %s (%s) for %s. Cross %s with %s. Which genotypes appear, and how many of %d offspring should be %s?" % (being, strong, gene, weak, low, trait, a, b, count, strong), "", \
            "Gametes of the first parent: %s and %s; of the second: %s and %s. Combining each with each gives %s. %d of 4 carry %s and look %s, so about %d of the %d are %s and %d are %s." % (a[0], a[1], b[0], b[1], listing(parts), dominant, gene, strong, count * dominant // 4, count, strong, count - count * dominant // 4, weak)
    if kind == 2:
        seen = [(name, group, draw.between(1, 48)) for name, group in draw.some(SPECIES, draw.between(5, 8))]
        groups = sorted({g for _, g, _ in seen})
        totals = ["%s %d" % (g, sum(n for _, h, n in seen if h == g)) for g in groups]
        note = "%d %s, %02d:%02d, %s, %s. Counted: %s." % (draw.between(1, 28), draw.pick(MONTHS), draw.between(5, 19), 5 * draw.below(12), draw.pick(SITES), draw.pick(SKIES), ", ".join("%d × %s" % (n, name) for name, _, n in seen))
        most = max(seen, key=lambda s: s[2])
        return draw.pick(["Sum up these field notes by group of animals.", "Turn the notes of the excursion into totals by group, and name the most frequent species."]), note, \
            "%d species were counted, %d animals in all. By group: %s. The largest number is that of the %s with %d." % (len(seen), sum(n for _, _, n in seen), "; ".join(totals), most[0], most[2])
    aa, ab, bb = draw.between(20, 400), draw.between(20, 400), draw.between(20, 400)
    n = aa + ab + bb
    p = Fraction(2 * aa + ab, 2 * n)
    expected = [float(p * p * n), float(2 * p * (1 - p) * n), float((1 - p) ** 2 * n)]
    return "In a population %d animals have the genotype AA, %d have Aa and %d have aa. Work out the allele frequencies and what Hardy and Weinberg would expect." % (aa, ab, bb), "", \
        "There are %d animals and %d alleles. A occurs 2·%d + %d = %d times, so p = %.3f and q = %.3f. Expected are p²n = %.1f AA, 2pqn = %.1f Aa and q²n = %.1f aa. There are %s heterozygotes than expected%s." % (
            n, 2 * n, aa, ab, 2 * aa + ab, float(p), float(1 - p), expected[0], expected[1], expected[2], "fewer" if ab < expected[1] else "more", ", which inbreeding or hidden subgroups could explain" if ab < expected[1] else "")


# Humanity - History -----------------------------------------------------------------------------------------------

REIGNS = [
    ("Hatshepsut", "Egypt", -1479, -1458), ("Ramesses II", "Egypt", -1279, -1213), ("Ashurbanipal", "Assyria", -669, -631), ("Cyrus the Great", "Persia", -559, -530), ("Darius I", "Persia", -522, -486),
    ("Alexander the Great", "Macedon", -336, -323), ("Ashoka", "the Maurya Empire", -268, -232), ("Augustus", "Rome", -27, 14), ("Trajan", "Rome", 98, 117), ("Hadrian", "Rome", 117, 138), ("Constantine the Great", "Rome", 306, 337),
    ("Justinian I", "Byzantium", 527, 565), ("Taizong", "Tang China", 626, 649), ("Charlemagne", "the Franks", 768, 814), ("Harun al-Rashid", "the Abbasid Caliphate", 786, 809), ("Alfred the Great", "Wessex", 871, 899),
    ("William the Conqueror", "England", 1066, 1087), ("Frederick Barbarossa", "the Holy Roman Empire", 1155, 1190), ("Saladin", "Egypt and Syria", 1174, 1193), ("Genghis Khan", "the Mongols", 1206, 1227), ("Mansa Musa", "Mali", 1312, 1337),
    ("Hongwu", "Ming China", 1368, 1398), ("Mehmed II", "the Ottoman Empire", 1451, 1481), ("Isabella I", "Castile", 1474, 1504), ("Suleiman the Magnificent", "the Ottoman Empire", 1520, 1566), ("Akbar", "the Mughal Empire", 1556, 1605),
    ("Elizabeth I", "England", 1558, 1603), ("Louis XIV", "France", 1643, 1715), ("Kangxi", "Qing China", 1661, 1722), ("Peter the Great", "Russia", 1682, 1725), ("Maria Theresa", "Austria", 1740, 1780), ("Frederick the Great", "Prussia", 1740, 1786),
    ("Catherine the Great", "Russia", 1762, 1796), ("Victoria", "the United Kingdom", 1837, 1901), ("Pedro II", "Brazil", 1831, 1889), ("Meiji", "Japan", 1867, 1912), ("Chulalongkorn", "Siam", 1868, 1910), ("Menelik II", "Ethiopia", 1889, 1913),
]
LINKS = ["After that came", "The next date to remember is", "Later followed", "From there the thread leads to", "A new chapter opened with", "Then the sources speak of", "Elsewhere people lived through"]
VIEWS = ["a letter home", "a radio script", "a label for a school museum", "notes for a talk", "a page of a diary written much later", "an entry for a local newspaper"]


def date(year):
    return "%d BC" % -year if year < 0 else "AD %d" % year if year < 1000 else "%d" % year


def history(draw, events):
    kind = draw.below(3)
    if kind == 0:
        chosen = sorted(draw.some(events, draw.between(3, 5)))
        parts = ["%s: %s, %s" % (date(y), what, where) for y, what, where, _ in draw.shuffled(chosen)]
        story = ["It begins with %s (%s); %s." % (chosen[0][1], date(chosen[0][0]), chosen[0][3])]
        for before, (y, what, where, why) in zip(chosen, chosen[1:]):
            gap = y - before[0] - (1 if before[0] < 0 < y else 0)
            story.append("%s %s, %d years on; the place was %s. What it meant: %s." % (draw.pick(LINKS), what, gap, where, why))
        return "Write %s that tells of these events in order and says what each meant." % draw.pick(VIEWS), " | ".join(parts), " ".join(story)
    if kind == 1:
        chosen = draw.some(REIGNS, draw.between(4, 7))
        lengths = [(end - start - (1 if start < 0 < end else 0), name) for name, _, start, end in chosen]
        table = "; ".join("%s of %s, %s to %s" % (name, land, date(start), date(end)) for name, land, start, end in chosen)
        order = sorted(chosen, key=lambda r: r[2])
        return draw.pick(["Who of these ruled longest, and in which order did they come to power?", "From the list, work out each reign in years and sort the rulers by the beginning of their reign."]), table, \
            "In years: %s. The longest reign is that of %s. By their beginning the order is %s." % (", ".join("%s %d" % (name, years) for years, name in lengths), max(lengths)[1], ", ".join(r[0] for r in order))
    name, land, start, end = draw.pick(REIGNS)
    others = [r for r in REIGNS if r[0] != name and r[2] <= end and r[3] >= start]
    after = sorted(e for e in events if start <= e[0] <= end)
    near = min(events, key=lambda e: (abs(e[0] - start), e[0]))
    asked = draw.some([r for r in REIGNS if r[0] != name], draw.between(2, 4))
    verdicts = ["%s (%s to %s): %s" % (n, date(s), date(e), "yes" if s <= end and e >= start else "no, the reign %s" % ("was over before" if e < start else "began afterwards")) for n, _, s, e in asked]
    return "Could %s of %s have exchanged letters, ruler to ruler, with %s? And what of note happened in that reign?" % (name, land, listing([r[0] for r in asked], " or ")), "", \
        "%s reigned from %s to %s. %s. %s" % (name, date(start), date(end), "; ".join(verdicts), "Within the reign fell %s." % listing(["%s (%s)" % (e[1], date(e[0])) for e in after]) if after else "Of the events in my list none falls into it; nearest to its beginning is %s (%s).%s" % (near[1], date(near[0]), " Of other rulers, %s lived then." % others[0][0] if others else ""))


# Code generation --------------------------------------------------------------------------------------------------

def list_steps(draw):
    k, m, a = draw.between(2, 7), draw.between(20, 70), draw.between(1, 15)
    return draw.pick([
        ("xs = sorted(xs)", lambda xs: sorted(xs)), ("xs = sorted(xs, reverse=True)", lambda xs: sorted(xs, reverse=True)), ("xs = xs[::-1]", lambda xs: xs[::-1]), ("xs = xs[%d:] + xs[:%d]" % (k, k), lambda xs: xs[k:] + xs[:k]),
        ("xs = [x for x in xs if x %% %d != 0]" % k, lambda xs: [x for x in xs if x % k != 0]), ("xs = [x + %d for x in xs]" % a, lambda xs: [x + a for x in xs]), ("xs = [x %% %d for x in xs]" % m, lambda xs: [x % m for x in xs]),
        ("xs = [min(x, %d) for x in xs]" % m, lambda xs: [min(x, m) for x in xs]), ("xs = [b - a for a, b in zip(xs, xs[1:])]", lambda xs: [b - a for a, b in zip(xs, xs[1:])]), ("xs = xs[::%d]" % (2 + k % 2), lambda xs: xs[::2 + k % 2]),
        ("xs = list(dict.fromkeys(x // 10 for x in xs))", lambda xs: list(dict.fromkeys(x // 10 for x in xs))), ("xs = [x for x in xs if x > %d]" % m, lambda xs: [x for x in xs if x > m]),
    ])


GOODS = ["tea", "rice", "salt", "soap", "rope", "ink", "wool", "lamp oil", "honey", "flour", "nails", "paper", "candles", "cloth", "pepper", "glue"]
TOWNS = ["Lisbon", "Lagos", "Lima", "Oslo", "Osaka", "Hanoi", "Quito", "Turin", "Tunis", "Perth", "Porto", "Davao"]


def code(draw):
    kind = draw.below(3)
    if kind == 0:
        values = [draw.between(1, 99) for _ in range(draw.between(8, 14))]
        lines, trace, xs = [], [], values
        while len(lines) < 3 or (len(lines) < 5 and draw.below(2)):
            text, step = list_steps(draw)
            if not step(xs) or text in lines:
                continue
            xs = step(xs)
            lines.append(text)
            trace.append("`%s` gives %s" % (text, xs))
        return draw.pick(["What does this Python program print? Trace it line by line.", "Trace the program and give its output.", "Read the code and predict what is printed."]), "xs = %s\n%s\nprint(xs, sum(xs))" % (values, "\n".join(lines)), "%s. It prints `%s %d`." % (". Then ".join(trace), xs, sum(xs))
    rows = [(g, draw.pick(TOWNS), draw.between(1, 60), draw.between(2, 95)) for g in draw.some(GOODS, draw.between(5, 8))]
    if kind == 1:
        least = draw.between(5, 30)
        by_town = {}
        for _, town, n, price in rows:
            if n >= least:
                by_town[town] = by_town.get(town, 0) + n * price
        answer = sorted(by_town.items(), key=lambda x: (-x[1], x[0]))
        return draw.pick(["Write SQL that gives the value in stock for each town, counting only goods with at least %d pieces, the largest value first. What does it return for these rows?", "For the table below: which SQL query lists the towns by the worth of their stock, leaving out goods of which there are fewer than %d, and what comes out?"]) % least, \
            "stock(good, town, pieces, price): " + ", ".join("(%s, %s, %d, %d)" % r for r in rows), \
            "```sql\nSELECT town, SUM(pieces * price) AS worth\nFROM stock\nWHERE pieces >= %d\nGROUP BY town\nORDER BY worth DESC, town;\n```\nFor these rows: %s." % (least, "; ".join("%s %d" % t for t in answer) if answer else "nothing, since no good reaches that number")
    field, index, reverse = draw.pick([("pieces", 2, False), ("pieces", 2, True), ("price", 3, False), ("price", 3, True)])
    ordered = sorted(rows, key=lambda r: (-r[index] if reverse else r[index], r[0]))
    take = draw.between(2, 4)
    return "Given JSON objects with good, town, pieces and price, write JavaScript that returns the names of the %d goods with the %s %s, ties by name. Show the result for the data." % (take, "highest" if reverse else "lowest", field), \
        "[" + ", ".join('{"good": "%s", "town": "%s", "pieces": %d, "price": %d}' % r for r in rows) + "]", \
        "```js\nconst pick = rows => [...rows]\n  .sort((a, b) => %s || a.good.localeCompare(b.good))\n  .slice(0, %d)\n  .map(r => r.good);\n```\nFor the data it returns %s." % ("b.%s - a.%s" % (field, field) if reverse else "a.%s - b.%s" % (field, field), take, [r[0] for r in ordered[:take]])


# Chinese ----------------------------------------------------------------------------------------------------------

FRUIT = ["苹果", "香蕉", "葡萄", "西瓜", "橙子", "草莓", "桃子", "梨", "芒果", "樱桃"]
CITY = ["北京", "上海", "西安", "成都", "杭州", "南京", "广州", "昆明", "哈尔滨", "苏州", "桂林", "青岛"]
SIGHT = dict(zip(CITY, ["故宫", "外滩", "兵马俑", "大熊猫基地", "西湖", "中山陵", "陈家祠", "滇池", "冰雪大世界", "拙政园", "漓江", "栈桥"]))
DISH = dict(zip(CITY, ["烤鸭", "小笼包", "羊肉泡馍", "火锅", "龙井虾仁", "盐水鸭", "早茶", "过桥米线", "锅包肉", "松鼠鳜鱼", "米粉", "海鲜"]))
WEATHER = ["晴", "多云", "小雨", "阴", "雷阵雨", "大风", "有雾"]
SURNAME = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴"]
GIVEN = ["小明", "丽华", "建国", "雨欣", "志强", "晓燕", "浩然", "思琪", "文博", "佳怡"]
HOBBY = ["下棋", "书法", "爬山", "摄影", "唱歌", "种花", "游泳", "画画", "做菜", "打乒乓球"]
THANKS = ["谢谢你上次的来信", "好久不见，十分想念", "听说你搬了新家，真为你高兴", "收到你寄来的照片，我看了很多遍", "时间过得真快，又到年底了"]
CLOSING = ["盼早日见面", "祝你身体健康", "请代我问候家人", "期待你的回信", "愿一切顺利"]


def chinese(draw):
    kind = draw.below(4)
    if kind == 0:
        bought = [(f, draw.between(1, 9), draw.between(3, 28)) for f in draw.some(FRUIT, draw.between(3, 5))]
        paid = -(-sum(n * p for _, n, p in bought) // 100) * 100
        total = sum(n * p for _, n, p in bought)
        name = draw.pick(SURNAME) + draw.pick(GIVEN)
        return "%s在水果店买了%s，付了%d元。一共花了多少钱？应找回多少？" % (name, "、".join("%d斤%s（每斤%d元）" % (n, f, p) for f, n, p in bought), paid), "", \
            "%s。合计%s=%d元，找回%d-%d=%d元。" % ("，".join("%s%d×%d=%d元" % (f, n, p, n * p) for f, n, p in bought), "+".join(str(n * p) for _, n, p in bought), total, paid, total, paid - total)
    if kind == 1:
        route = draw.some(CITY, draw.between(3, 5))
        days = [draw.between(1, 4) for _ in route]
        start = draw.between(1, 12)
        plan, day = [], start
        for city, stay in zip(route, days):
            plan.append("%s停留%d天（%d日至%d日），参观%s，品尝%s" % (city, stay, day, day + stay - 1, SIGHT[city], DISH[city]))
            day += stay
        return "请按下面的要求安排一次旅行，并算出总天数。", "从%d日出发，依次游览%s，分别停留%s天" % (start, "、".join(route), "、".join(map(str, days))), "；".join(plan) + "。全程共%d天，%d日结束。" % (sum(days), day - 1)
    if kind == 2:
        report = [(c, draw.pick(WEATHER), draw.between(-8, 25)) for c in draw.some(CITY, draw.between(4, 6))]
        high = [(c, w, low, low + draw.between(4, 12)) for c, w, low in report]
        warm, cold = max(high, key=lambda x: x[3]), min(high, key=lambda x: x[2])
        swing = max(high, key=lambda x: x[3] - x[2])
        return draw.pick(["根据天气预报，哪里最暖和，哪里最冷，哪里的温差最大？", "阅读下面的天气预报并回答：最高气温、最低气温和最大温差各在哪个城市？"]), "；".join("%s%s，%d到%d度" % x for x in high), \
            "最高气温在%s，为%d度；最低气温在%s，为%d度；温差最大的是%s，相差%d度。" % (warm[0], warm[3], cold[0], cold[2], swing[0], swing[3] - swing[2])
    a, b = draw.some(GIVEN, 2)
    city, month = draw.pick(CITY), draw.between(1, 12)
    h1, h2 = draw.some(HOBBY, 2)
    return "请替%s写一封短信，邀请朋友%s%d月到%s来玩，信中提到%s和%s。" % (a, b, month, city, h1, h2), "", \
        "亲爱的%s：\n%s。我现在住在%s，%d月的天气%s。你来的话，我们可以一起去看%s，尝尝%s，晚上还能%s。我最近迷上了%s，很想听听你的意见。%s！\n%s" % (b, draw.pick(THANKS), city, month, draw.pick(["正合适", "不冷不热", "常常是晴天", "有时下雨，记得带伞"]), SIGHT[city], DISH[city], h1, h2, draw.pick(CLOSING), a)


# Dialogue understanding -------------------------------------------------------------------------------------------

BILLS = ["the pizza", "the taxi", "the museum tickets", "the groceries", "the tent site", "the boat", "the theatre tickets", "breakfast", "petrol", "the concert", "the ferry", "the birthday cake"]
REMARKS = ["I have the receipt somewhere.", "They only took cash.", "It was dearer than I thought.", "I used my card.", "The discount had run out.", "That is with the tip.", "I rounded it down.", "Don't worry about the coffee."]
SMALL = ["Who was it who paid for what?", "Let us settle up.", "Before I forget, the money.", "Can we do the sums now?", "I am lost with these bills."]


def dialogue(draw):
    names = draw.some(PEOPLE, draw.between(3, 4))
    if draw.below(2):
        paid = dict.fromkeys(names, 0)
        talk = ["%s: %s" % (names[0], draw.pick(SMALL))]
        for what in draw.some(BILLS, draw.between(3, 6)):
            who = draw.pick(names)
            amount = len(names) * draw.between(3, 40)
            paid[who] += amount
            talk.append("%s: I paid %d for %s. %s" % (who, amount, what, draw.pick(REMARKS)))
        total = sum(paid.values())
        share = total // len(names)
        rest = ["%s %s %d" % (n, "gets" if paid[n] > share else "owes", abs(paid[n] - share)) for n in names if paid[n] != share]
        return draw.pick(["Read the chat. If everyone bears the same part, who owes and who gets how much?", "Work out from the conversation how the costs are settled when they are shared equally."]), "\n".join(talk), \
            "Paid were %s: %d in all, %d each. So %s." % (listing(["%d by %s" % (paid[n], n) for n in names]), total, share, listing(rest) if rest else "nobody owes anything")
    free = {n: sorted(draw.some(range(9, 19), draw.between(4, 7))) for n in names}
    both = [h for h in range(9, 19) if all(h in free[n] for n in names)]
    day = draw.pick(["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"])
    openers = ["I could make it at", "My calendar is open at", "For me it works at", "Free hours on my side:", "Put me down for"]
    talk = ["%s: When do we meet on %s? One hour is enough. %s" % (names[0], day, "%s %s." % (draw.pick(openers), listing(map(str, free[names[0]]), " or ")))]
    talk += ["%s: %s %s." % (n, draw.pick(openers), listing(map(str, free[n]), " or ")) for n in names[1:]]
    missing = {h: [n for n in names if h not in free[n]] for h in range(9, 19)}
    best = min(range(9, 19), key=lambda h: (len(missing[h]), h))
    return "At which hours can all of them meet? If at none, name the hour that suits most of them.", "\n".join(talk), \
        "All %d are free at %s." % (len(names), listing(map(str, both))) if both else "At no hour are all free. At %d only %s cannot come; it is the earliest hour that suits %d of %d." % (best, listing(missing[best]), len(names) - len(missing[best]), len(names))


# Role-play --------------------------------------------------------------------------------------------------------

SHOPS = [
    ("innkeeper of the Crooked Lantern", "Wipe your boots, traveller.", [("a bowl of stew", 3), ("a bed by the fire", 7), ("a jug of cider", 2), ("oats for the horse", 4), ("a slice of plum cake", 1), ("a candle", 1)]),
    ("quartermaster of a star freighter", "State your business, spacer.", [("an oxygen cell", 12), ("a plasma fuse", 9), ("a vacuum seal", 5), ("dried algae", 3), ("a star chart", 15), ("a magnet boot", 8)]),
    ("alchemist in a tower of glass", "Touch nothing that hums.", [("powdered moonstone", 14), ("a vial of quicksilver", 11), ("dragon pepper", 6), ("a silver spoon", 5), ("bottled fog", 9), ("a newt that talks", 20)]),
    ("stallholder of the floating market", "Come closer, the tide is kind today.", [("lotus tea", 2), ("a paper kite", 4), ("grilled squid", 3), ("a silk scarf", 10), ("a brass compass", 16), ("a bag of limes", 1)]),
    ("armourer of a mountain fort", "Mind the sparks.", [("an iron buckler", 18), ("a whetstone", 2), ("a leather strap", 3), ("boot nails", 1), ("a helmet with a dent", 9), ("a signal horn", 6)]),
    ("librarian who lends magic books", "Whisper, please, the atlases are asleep.", [("a map of dreams", 13), ("a primer of weather", 7), ("a bookmark that purrs", 4), ("ink of the octopus", 5), ("a ladder without end", 17), ("a catalogue of echoes", 8)]),
]
GREET = ["Good evening. I have %d coins.", "Hello there! My purse holds %d coins.", "I come from far away, with %d coins to my name.", "%d coins, that is all I own. What do you sell?"]
HAGGLE = ["a fair price for fair goods", "my grandmother would weep at that price, but so be it", "take good care of it", "you have an eye for quality", "they are the last ones before winter", "no returns after sunset"]


def role_play(draw):
    role, motto, goods = draw.pick(SHOPS)
    coins = draw.between(15, 60)
    turns = [("system", draw.pick(["You are the %s. Keep count of the coins of the player.", "Play the %s in a text adventure, and never lose track of the money.", "Speak as the %s; after each purchase say how many coins are left."]) % role), ("user", draw.pick(GREET) % coins)]
    offered = draw.some(goods, draw.between(3, 5))
    turns.append(("assistant", "%s Today I have %s." % (motto, listing(["%s for %d" % g for g in offered]))))
    for thing, price in draw.some(offered, draw.between(2, 3)):
        count = draw.between(1, 3)
        turns.append(("user", draw.pick(["I take %s; number of pieces: %d.", "Give me %s. My bag holds %d of that kind.", "%s, please; make it %d."]) % (thing, count)))
        if price * count <= coins:
            coins -= price * count
            turns.append(("assistant", "%d times %d makes %d, %s. You have %d coins left." % (count, price, count * price, draw.pick(HAGGLE), coins)))
        else:
            turns.append(("assistant", "That would be %d, and you have only %d. %s" % (count * price, coins, draw.pick(["Come back when your purse is heavier.", "I can hold it for you until tomorrow.", "Choose something smaller, friend."]))))
    return turns


# Creative writing -------------------------------------------------------------------------------------------------

HEROES = ["a ferryman", "a widow with two goats", "the last postman of the valley", "a girl who collected shadows", "a cellist without a cello", "the mayor's cook", "an apprentice cartographer", "a boy who never lied", "an old diver", "the keeper of the town clock", "a nurse on night shift", "a fox with a torn ear", "a seamstress", "a retired magician", "a twin from the mill", "a translator of bird songs"]
PLACES = ["where the river forgets its name", "behind the salt works", "on the thirteenth floor", "between two tram stops", "under the lime trees", "at the end of the pier", "in the attic of the school", "beyond the snow line", "in a town that moved every spring", "by the well that answers", "on the night train south", "in the greenhouse of the asylum"]
WANTS = ["wanted to hear the sea once more", "was looking for a door that had been painted over", "had promised to return a borrowed book", "hoped to learn the true name of the wind", "counted the days until the comet", "kept a secret in a jam jar", "was tired of being brave", "had a question nobody dared to ask", "waited for a letter written in another century", "could not remember the end of a song"]
OBJECTS = ["a brass thimble", "half a map", "a feather that weighed as much as a stone", "a teapot that told the time", "an unlit match", "a coin with two faces", "a pair of spectacles that showed the past", "a violin string", "the smell of rain in a bottle", "a button from a uniform", "a glass marble with a storm in it", "a snail shell that sang"]
HELPERS = ["a crow", "the night watchman", "a child with muddy knees", "an echo", "a tailor from the next village", "the moon, or someone very like it", "a dog nobody owned", "a clockwork heron", "an aunt thought lost", "a traveller with three shadows"]
EVENTS_ = ["the bridge began to hum", "all the bells rang backwards", "the snow fell upwards for an hour", "a ship came down the street", "every mirror showed the same room", "the statues turned their heads", "the bread refused to rise", "the tide stayed out for nine days", "the lamps went out one after another", "somebody knocked from inside the wall", "the wind brought pages of a diary", "the river ran clear as glass"]
SAYINGS = ["What is lost is only waiting", "You cannot fold the sky twice", "Ask the smallest first", "A borrowed light still shows the way", "Nothing ends on a Tuesday", "The long way is the one you remember", "Even stones have a soft side", "Who listens owns half the answer"]
ENDS = ["And that is why the shutters there are blue.", "Nobody spoke of it again, but everyone slept better.", "The rest is written in a hand that I can't read.", "Some say it was the spring; others know better.", "The kettle was still warm.", "In the morning there were footprints leading in, and none leading out.", "It cost less than feared and more than planned.", "Since then they leave one chair empty."]
FORMS = ["a fairy tale", "a ghost story for a warm evening", "a bedtime story", "a short story with an open ending", "a legend of a town", "a monologue overheard in a train"]


def creative(draw):
    hero, place, want, thing, helper, event = draw.pick(HEROES), draw.pick(PLACES), draw.pick(WANTS), draw.pick(OBJECTS), draw.pick(HELPERS), draw.pick(EVENTS_)
    event2, thing2 = draw.pick([e for e in EVENTS_ if e != event]), draw.pick([o for o in OBJECTS if o != thing])
    sentences = [
        draw.pick(["%s lived %s and %s.", "Once, %s came to a house %s; it was somebody who %s.", "They still talk of %s, %s, who %s."]) % (hero, place, want),
        draw.pick(["The only thing of value in the house was %s.", "In one pocket there was %s, in the other nothing.", "On the sill stood %s, turned to the wall."]) % thing,
        draw.pick(["Then, on a %s, %s.", "One %s %s, and nobody laughed.", "It was a %s when %s."]) % (draw.pick(["Sunday", "market day", "grey morning", "night without stars", "feast day", "washing day"]), event),
        draw.pick(["%s had seen it coming.", "Help came from an odd side: %s.", "Only %s kept calm."]) % helper,
        "«%s,» said %s, and pointed to %s." % (draw.pick(SAYINGS), helper, thing2),
        draw.pick(["So %s was given away for %s.", "They put %s beside %s and waited.", "Not even %s could make up for %s."]) % (thing, thing2),
        draw.pick(["Before midnight %s.", "And indeed, %s.", "Far off %s, as if in answer."]) % event2,
        "«%s,» it was said afterwards, and «%s» too." % tuple(draw.some(SAYINGS, 2)),
        draw.pick(ENDS),
    ]
    dropped = draw.below(3) + 4
    if draw.below(2):
        del sentences[dropped]
    return draw.pick(["Write %s about %s and %s.", "I would like to read %s. It should be about %s and %s.", "Invent %s in which %s comes upon %s."]) % (draw.pick(FORMS), hero, thing), "", " ".join(capital(s) for s in sentences)


# Ethics -----------------------------------------------------------------------------------------------------------

SETTINGS = ["a hospital", "a village school", "a software company", "a newspaper", "a football club", "a city council", "a research station", "a care home", "a bank", "a fishing port", "a theatre", "a food charity"]
ACTS = [
    ("record every conversation to improve the service", "privacy", "quality"), ("reward staff by the number of cases they close", "care for the single case", "efficiency"), ("give places first to those who can pay", "equal access", "income that keeps the house open"),
    ("let a program decide about complaints", "being heard by a person", "speed"), ("publish the names of those who break the rules", "a second chance", "deterrence"), ("test a new method on volunteers from poor families", "protection from pressure", "knowledge that helps many"),
    ("keep a mistake of last year out of the report", "honesty towards the public", "trust that took years to build"), ("share the data with a partner abroad", "control of one's own data", "better research"), ("close the smallest branch to save the others", "those who depend on it", "survival of the whole"),
    ("accept a large gift from a firm with a bad name", "integrity", "good that the money could do"), ("ask applicants about their health", "fair chances", "planning"), ("replace night staff by cameras", "human presence", "cost"),
]
PARTIES = ["those who work there", "the people it serves", "the neighbours", "children who cannot speak for themselves", "those who pay for it", "future generations", "newcomers without a lobby", "the quiet majority", "competitors", "the families"]
TESTS = ["Would you defend it openly on the front page?", "Would you accept it if you did not know which side you were on?", "Is there a milder way to the same end?", "Who bears the harm if you are wrong, and did they agree?", "Does it treat anyone merely as a means?", "Can it be undone later?", "What would a person of good character do on a bad day?"]
LIMITS = ["only for six months, and then decide again", "with a board that includes critics", "if everyone affected can refuse without a disadvantage", "with the figures open to all", "as soon as an independent check has been made", "in one department first"]


def ethics(draw):
    place = draw.pick(SETTINGS)
    act, against, for_ = draw.pick(ACTS)
    parties, tests = draw.some(PARTIES, draw.between(2, 4)), draw.some(TESTS, draw.between(2, 3))
    weighs = draw.below(2)
    ask = draw.pick(["The head of %s wants to %s. Weigh it up.", "%s plans to %s. Which questions should be asked before that?", "At %s there is a debate whether to %s. Write an opinion."]) % (place, act)
    verdict = "I would not do it: %s weighs more than %s here" % (against, for_) if weighs else "It can be defended for the sake of %s, but %s" % (for_, draw.pick(LIMITS))
    return capital(ask), "", "At stake are %s on one side and %s on the other. Think of %s. %s %s. %s" % (against, for_, listing(parties), " ".join(tests), verdict, draw.pick(["What is decided must be explained to %s first." % parties[0], "Whatever comes of it, %s should be asked again in a year." % parties[-1], "If doubts remain, the burden of proof lies with %s." % ("those who want the change" if weighs else "those who object")]))


# Logical reasoning ------------------------------------------------------------------------------------------------

JOBS = ["baker", "pilot", "nurse", "judge", "diver", "potter", "painter", "miner"]
PETS = ["a cat", "a parrot", "a tortoise", "a goldfish", "a ferret", "a spider", "a goat", "a rabbit"]


def logic(draw):
    if draw.below(3):
        names, jobs, pets = draw.some(PEOPLE, 3), draw.some(JOBS, 3), draw.some(PETS, 3)
        world = list(zip(names, draw.shuffled(jobs), draw.shuffled(pets)))
        worlds = [list(zip(names, j, p)) for j in itertools.permutations(jobs) for p in itertools.permutations(pets)]

        def holds(clue, w):
            kind, x, y = clue
            rows = {v for row in w for v in itertools.permutations(row, 2)}
            return ((x, y) in rows) == kind

        pool = [(same, x, y) for xs, ys in ((names, jobs), (names, pets), (jobs, pets)) for x in xs for y in ys for same in (True, False) if holds((same, x, y), world)]
        clues = []
        for clue in draw.shuffled(pool):
            fewer = [w for w in worlds if holds(clue, w)]
            if len(fewer) < len(worlds) and (not clue[0] or draw.below(4) == 0):
                clues.append(clue)
                worlds = fewer
            if len(worlds) == 1:
                break
        if len(worlds) > 1:
            return logic(draw)

        def say(clue):
            same, x, y = clue
            if y in jobs:
                return "%s is %sthe %s" % (x, "" if same else "not ", y)
            who = x if x in names else "the %s" % x
            return "%s %s %s" % (who, "keeps" if same else "does not keep", y)

        return "Three friends, %s, each have one job (%s) and one pet (%s). %s. Who does what and keeps which animal?" % (listing(names), listing(jobs, " or "), listing(pets, " or "), ". ".join(capital(say(c)) for c in clues)), \
            "Of the 36 ways to share out jobs and pets, strike those that break a clue; one is left. %s." % "; ".join("%s is the %s and keeps %s" % row for row in world)
    letters = ["P", "Q", "R"]

    def formula(depth):
        if depth == 0:
            return draw.pick(letters)
        shape = draw.below(5)
        if shape == 0:
            return ("not", formula(depth - 1))
        return (["and", "or", "implies", "equals"][shape - 1], formula(depth - 1), formula(depth - 1))

    def show(f):
        return f if isinstance(f, str) else "¬" + show(f[1]) if f[0] == "not" else "(%s %s %s)" % (show(f[1]), {"and": "∧", "or": "∨", "implies": "→", "equals": "↔"}[f[0]], show(f[2]))

    def value(f, v):
        if isinstance(f, str):
            return v[f]
        a = value(f[1], v)
        if f[0] == "not":
            return not a
        b = value(f[2], v)
        return {"and": a and b, "or": a or b, "implies": not a or b, "equals": a == b}[f[0]]

    f = formula(3)
    rows = [dict(zip(letters, bits)) for bits in itertools.product([True, False], repeat=3)]
    results = [value(f, v) for v in rows]
    verdict = "a tautology" if all(results) else "a contradiction" if not any(results) else "contingent, true in %d of 8 rows" % sum(results)
    return "Make the truth table of %s and classify the formula." % show(f), "%s. So the formula is %s." % ("; ".join("%s: %s" % ("".join(letters[i] if row[letters[i]] else "¬" + letters[i] for i in range(3)), "true" if r else "false") for row, r in zip(rows, results)), verdict)


# CoT for Grad-Math ------------------------------------------------------------------------------------------------

def grad_math(draw):
    kind = draw.below(5)
    if kind == 0:
        m = [[draw.between(-9, 9) for _ in range(3)] for _ in range(3)]
        (a, b, c), (d, e, f), (g, h, i) = m
        minors = [e * i - f * h, d * i - f * g, d * h - e * g]
        det = a * minors[0] - b * minors[1] + c * minors[2]
        return "Expand the determinant of %s along the first row." % m, "Step 1: the minors are %d·%d - %d·%d = %d, %d·%d - %d·%d = %d and %d·%d - %d·%d = %d.\nStep 2: det = (%d)(%d) - (%d)(%d) + (%d)(%d) = %d.\nAnswer: %d, so the rows are linearly %s." % (
            e, i, f, h, minors[0], d, i, f, g, minors[1], d, h, e, g, minors[2], a, minors[0], b, minors[1], c, minors[2], det, det, "independent" if det else "dependent")
    if kind == 1:
        p, q = [draw.between(-9, 9) or 1 for _ in range(draw.between(3, 4))], [draw.between(-9, 9) or 1 for _ in range(3)]
        product = [sum(p[i] * q[n - i] for i in range(len(p)) if 0 <= n - i < len(q)) for n in range(len(p) + len(q) - 1)]

        def poly(c):
            return " + ".join("(%d)x^%d" % (v, n) if n else "(%d)" % v for n, v in reversed(list(enumerate(c))))

        x = draw.between(-3, 3)
        at = [sum(v * x**n for n, v in enumerate(c)) for c in (p, q, product)]
        return "Multiply %s by %s and check the product at x = %d." % (poly(p), poly(q), x), "Step 1: collect by powers: %s.\nStep 2: at x = %d the factors are %d and %d, the product should be %d, and the polynomial gives %d." % (poly(product), x, at[0], at[1], at[0] * at[1], at[2])
    if kind == 2:
        moduli = draw.some([5, 7, 8, 9, 11, 13, 17, 19, 23], 3)
        total = moduli[0] * moduli[1] * moduli[2]
        x = draw.below(total)
        steps, sum_ = [], 0
        for n in moduli:
            rest = total // n
            inverse = pow(rest, -1, n)
            sum_ += x % n * rest * inverse
            steps.append("for %d take %d, whose inverse modulo %d is %d, which contributes %d·%d·%d = %d" % (n, rest, n, inverse, x % n, rest, inverse, x % n * rest * inverse))
        return "Find the least x ≥ 0 with %s." % listing(["x ≡ %d (mod %d)" % (x % n, n) for n in moduli]), "Step 1: the moduli are coprime with product %d.\nStep 2: %s.\nStep 3: the sum is %d, and modulo %d it is %d. Answer: x = %d." % (total, "; ".join(steps), sum_, total, sum_ % total, x)
    if kind == 3:
        a, b, c, d = [draw.between(-9, 9) for _ in range(4)]
        x, y = draw.between(-12, 12), draw.between(-12, 12)
        det = a * d - b * c
        if det == 0:
            return grad_math(draw)
        r, s = a * x + b * y, c * x + d * y
        return "Solve by Cramer's rule: (%d)x + (%d)y = %d, (%d)x + (%d)y = %d." % (a, b, r, c, d, s), "Step 1: the determinant is (%d)(%d) - (%d)(%d) = %d.\nStep 2: for x the numerator is (%d)(%d) - (%d)(%d) = %d, for y it is (%d)(%d) - (%d)(%d) = %d.\nStep 3: x = %d/%d = %d and y = %d/%d = %d." % (
            a, d, b, c, det, r, d, b, s, r * d - b * s, a, s, r, c, a * s - r * c, r * d - b * s, det, x, a * s - r * c, det, y)
    n = draw.between(60, 999)
    top, bottom = draw.between(100, 999), n
    quotients, u, v = [], top, bottom
    while v:
        quotients.append(u // v)
        u, v = v, u % v
    convergents, (h0, h1), (k0, k1) = [], (0, 1), (1, 0)
    for t in quotients:
        h0, h1, k0, k1 = h1, t * h1 + h0, k1, t * k1 + k0
        convergents.append("%d/%d" % (h1, k1))
    return "Expand %d/%d into a continued fraction and list its convergents." % (top, bottom), "Step 1: dividing again and again gives the quotients %s.\nStep 2: so it is [%s].\nStep 3: the convergents are %s; the last one is the fraction in lowest terms." % (", ".join(map(str, quotients)), "; ".join(map(str, quotients)), ", ".join(convergents))
