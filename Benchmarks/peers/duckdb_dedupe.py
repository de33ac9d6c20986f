"""usage: duckdb_dedupe.py IN.jsonl.zst OUT.jsonl.zst: reads, keeps one record of each (prompt, completion), writes."""
import os
import sys

import duckdb

source, target = sys.argv[1:]
database = duckdb.connect()
database.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
database.execute("SET preserve_insertion_order = false")
database.execute(
    f"COPY (SELECT DISTINCT ON (prompt, completion) * FROM read_json('{source}', format = 'newline_delimited')) "
    f"TO '{target}' (FORMAT json, COMPRESSION zstd)")
