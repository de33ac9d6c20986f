"""usage: polars_dedupe.py IN.jsonl.zst OUT: reads, keeps one record of each (prompt, completion), writes.

Compresses where OUT ends in .zst. Reads the whole file at once: of five ways tried (this one, scanning with the in-memory and with the
streaming engine, sinking with and without a schema) it was the fastest, by a third and more.
"""
import sys

import polars as pl

source, target = sys.argv[1:]
frame = pl.read_ndjson(source).unique(subset=["prompt", "completion"], keep="any", maintain_order=False)
if target.endswith(".zst"):
    frame.lazy().sink_ndjson(target, compression="zstd", compression_level=3)
else:
    frame.write_ndjson(target)
