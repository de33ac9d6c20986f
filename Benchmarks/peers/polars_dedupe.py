"""usage: polars_dedupe.py WAY IN.jsonl.zst OUT: reads, keeps the first record of each (prompt, completion), writes.

Compresses at level 3 if OUT ends in .zst. `WAYS` has all tested ways; `dedupe.py --ways` runs them.
"""
import sys

import polars as pl

KEY = ["prompt", "completion"]
SCHEMA = {"prompt": pl.String, "completion": pl.String, "template": pl.String}


def packing(target):
    return {"compression": "zstd", "compression_level": 3} if target.endswith(".zst") else {}


def read_whole(source, target):
    frame = pl.read_ndjson(source).unique(subset=KEY, keep="any", maintain_order=False)
    frame.lazy().sink_ndjson(target, **packing(target)) if packing(target) else frame.write_ndjson(target)


def read_whole_schema(source, target):
    frame = pl.read_ndjson(source, schema=SCHEMA).unique(subset=KEY, keep="first", maintain_order=True)
    frame.lazy().sink_ndjson(target, **packing(target)) if packing(target) else frame.write_ndjson(target)


def scanned(source, target, engine="auto", order=True, **reading):
    rows = pl.scan_ndjson(source, **reading)
    rows = rows.unique(subset=KEY, keep="first" if order else "any", maintain_order=order)
    rows.sink_ndjson(target, engine=engine, **packing(target))


WAYS = {
    # name: (does the work, whether order is kept)
    "scan-sink": (scanned, True),
    "scan-sink-streaming": (lambda s, t: scanned(s, t, engine="streaming"), True),
    "scan-sink-in-memory": (lambda s, t: scanned(s, t, engine="in-memory"), True),
    "scan-sink-schema": (lambda s, t: scanned(s, t, schema=SCHEMA), True),
    "scan-sink-batches": (lambda s, t: scanned(s, t, schema=SCHEMA, batch_size=65536), True),
    "scan-sink-low-memory": (lambda s, t: scanned(s, t, schema=SCHEMA, low_memory=True), True),
    "read-whole-ordered": (read_whole_schema, True),
    "scan-sink-unordered": (lambda s, t: scanned(s, t, order=False, schema=SCHEMA), False),
    "read-whole-unordered": (read_whole, False),
}

if __name__ == "__main__":
    way, source, target = sys.argv[1:]
    WAYS[way][0](source, target)
