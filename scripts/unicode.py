#!/usr/bin/env python3
"""Writes the Unicode tables of Plugins/TextFilters: scripts/unicode.py > Plugins/TextFilters/UnicodeTables.swift

The sets of punctuation are those of datatrove 0.10 (utils/text.py), by which it applies the rules of Gopher and FineWeb;
so this needs datatrove. The rest is Python's unicodedata.
"""
import sys
import unicodedata

try:
    from datatrove.utils.text import PUNCTUATION, TERMINAL_PUNCTUATION
except ImportError:
    sys.exit("this needs datatrove, whose sets of punctuation the rules are defined by: pip install datatrove")


def runs(scalars):
    """Sorted scalars as inclusive ranges."""
    found = []
    for scalar in scalars:
        if found and found[-1][1] == scalar - 1:
            found[-1][1] = scalar
        else:
            found.append([scalar, scalar])
    return found


def lower(scalar):
    text = chr(scalar).lower()
    return ord(text) if len(text) == 1 else scalar


def case_runs():
    """Runs of scalars with the same distance to their lower case: first, last, step, distance."""
    found = []
    for scalar in range(0x80, 0x110000):
        if 0xD800 <= scalar < 0xE000 or lower(scalar) == scalar:
            continue
        distance = lower(scalar) - scalar
        last = found[-1] if found else None
        if last and last[3] == distance and scalar - last[1] in (1, 2) and (
            last[0] == last[1] or scalar - last[1] == last[2]
        ):
            last[2] = scalar - last[1]
            last[1] = scalar
        else:
            found.append([scalar, scalar, 1, distance])
    return found


def literal(numbers):
    lines, line = [], ""
    for number in numbers:
        item = (f"0x{number:X}" if number >= 0 else f"-0x{-number:X}") + ", "
        if len(line) + len(item) > 110:
            lines.append(line.rstrip())
            line = ""
        line += item
    lines.append(line.rstrip())
    return "\n".join("        " + line for line in lines if line)


def flat(ranges):
    return [number for item in ranges for number in item]


def main():
    terminal = sorted(ord(mark) for mark in TERMINAL_PUNCTUATION)
    every = [scalar for scalar in range(0x110000) if not 0xD800 <= scalar < 0xE000]
    category = {scalar: unicodedata.category(chr(scalar)) for scalar in every}
    tables = [
        ("spaces", "White space, as Python's `str.isspace`.", runs(s for s in every if chr(s).isspace())),
        ("letters", "Letters: the general categories L*.", runs(s for s in every if category[s][0] == "L")),
        ("numbers", "Decimal digits: the general category Nd.", runs(s for s in every if category[s] == "Nd")),
        ("capitals", "Upper-case letters: the general category Lu.", runs(s for s in every if category[s] == "Lu")),
        ("marks", "Punctuation: the general categories P*.", runs(s for s in every if category[s][0] == "P")),
        ("symbols", "Punctuation and control characters as datatrove counts them, without those of `ends`.",
         runs(sorted(set(map(ord, PUNCTUATION)) - set(terminal)))),
        ("ends", "Marks that end a sentence, as datatrove lists them for FineWeb.", runs(terminal)),
    ]
    print(f"// Made by scripts/unicode.py from Unicode {unicodedata.unidata_version} and datatrove's sets of punctuation.")
    print("// Tables of our own, since those of a library change with its version, and results with them.")
    print("\n/// Sets of Unicode scalars: first and last of each range, ascending.")
    print("enum UnicodeTables {")
    for index, (name, text, ranges) in enumerate(tables):
        print(("\n" if index else "") + f"    /// {text}\n    static let {name}: [UInt32] = [\n{literal(flat(ranges))}\n    ]")
    print("\n    /// Lower case outside ASCII, where it is one scalar: first, last and step of a range, and the distance.")
    print(f"    static let lowerCase: [Int32] = [\n{literal(flat(case_runs()))}\n    ]\n}}")


main()
