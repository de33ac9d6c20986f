"""usage: polars_dedupe.py IN.jsonl.zst OUT: reads, keeps one record of each (prompt, completion), writes.

Compresses where OUT ends in .zst. Polars' streaming engine, as its documentation recommends for files of this size.
"""
import sys

import polars as pl

source, target = sys.argv[1:]
frame = pl.scan_ndjson(source).unique(subset=["prompt", "completion"], keep="any", maintain_order=False)
options = {"compression": "zstd", "compression_level": 3} if target.endswith(".zst") else {}
frame.sink_ndjson(target, engine="streaming", **options)
