"""usage: duckdb_dedupe.py WAY IN.jsonl.zst OUT: reads, keeps one record of each (prompt, completion), writes.

Compresses at level 3, zstd's default, if OUT ends in .zst. `WAYS` has all tested ways; `dedupe.py --ways` runs them.
"""
import os
import sys

import duckdb

COLUMNS = "columns = {prompt: 'VARCHAR', completion: 'VARCHAR', template: 'VARCHAR'}"
RECORDS = "read_json('{source}', format = 'newline_delimited')"
TYPED = "read_json('{source}', format = 'newline_delimited', " + COLUMNS.replace("{", "{{").replace("}", "}}") + ")"
# The record's own bytes, and the two fields extracted from them.
OBJECTS = (
    "(SELECT json, json->>'$.prompt' AS prompt, json->>'$.completion' AS completion FROM read_ndjson_objects('{source}'))")
FIRST = (
    "WITH rows AS MATERIALIZED (SELECT row_number() OVER () AS place, * FROM {rows}), "
    "firsts AS (SELECT min(place) AS place FROM rows GROUP BY prompt, completion) "
    "SELECT {names} FROM rows SEMI JOIN firsts USING (place) ORDER BY place")
ROWS_BY_HASH = (
    "WITH rows AS MATERIALIZED (SELECT row_number() OVER () AS place, md5_number(prompt || chr(0) || completion) AS key, "
    "* FROM {rows}), firsts AS (SELECT min(place) AS place FROM rows GROUP BY key) "
    "SELECT {names} FROM rows SEMI JOIN firsts USING (place) ORDER BY place")
ALL = "prompt, completion, template"
AS_JSON = "FORMAT json"
# One column of finished lines: a CSV without header, quotes or escapes.
AS_LINES = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"

WAYS = {
    # name: (query, how it is written, insertion order preserved, whether the output keeps the input's order)
    "distinct-on": (f"SELECT DISTINCT ON (prompt, completion) * FROM {RECORDS}", AS_JSON, False, False),
    "distinct-on-typed": (f"SELECT DISTINCT ON (prompt, completion) * FROM {TYPED}", AS_JSON, False, False),
    "distinct-all": (f"SELECT DISTINCT * FROM {TYPED}", AS_JSON, False, False),
    "group-by": (
        f"SELECT prompt, completion, any_value(template) AS template FROM {TYPED} GROUP BY prompt, completion",
        AS_JSON, False, False),
    "distinct-on-objects": (f"SELECT json FROM (SELECT DISTINCT ON (prompt, completion) * FROM {OBJECTS})", AS_LINES, False, False),
    "first-typed": (FIRST.replace("{rows}", TYPED).replace("{names}", ALL), AS_JSON, True, True),
    "first-typed-by-hash": (ROWS_BY_HASH.replace("{rows}", TYPED).replace("{names}", ALL), AS_JSON, True, True),
    "first-objects": (FIRST.replace("{rows}", OBJECTS).replace("{names}", "json"), AS_LINES, True, True),
    "arg-min": (
        "SELECT prompt, completion, arg_min(template, place) AS template FROM (SELECT row_number() OVER () AS place, * "
        f"FROM {TYPED}) GROUP BY prompt, completion ORDER BY min(place)", AS_JSON, True, True),
}

if __name__ == "__main__":
    way, source, target = sys.argv[1:]
    query, form, preserves, _ = WAYS[way]
    database = duckdb.connect()
    database.execute(f"SET threads = {len(os.sched_getaffinity(0))}")
    database.execute(f"SET preserve_insertion_order = {str(preserves).lower()}")
    packing = "zstd" if target.endswith(".zst") else "none"
    database.execute(f"COPY ({query.format(source=source)}) TO '{target}' ({form}, COMPRESSION {packing})")
