"""usage: python_dedupe.py WAY IN.jsonl.zst OUT: reads, keeps the first record of each (prompt, completion), writes its own bytes.

A short, careful script: fields by orjson or msgspec, 128-bit keys in a set, zstd by the zstandard package or by separate zstd
processes. Compresses at level 3 if OUT ends in .zst. `WAYS` has all tested ways; `dedupe.py --ways` runs them.
"""
import io
import subprocess
import sys
from hashlib import blake2b

SIZE = 1 << 20


def fields_orjson():
    import orjson

    def fields(line, loads=orjson.loads):
        record = loads(line)
        return record["prompt"] + "\0" + record["completion"]
    return fields


def fields_msgspec():
    import msgspec

    class Record(msgspec.Struct):
        prompt: str
        completion: str

    def fields(line, decode=msgspec.json.Decoder(Record).decode):
        record = decode(line)
        return record.prompt + "\0" + record.completion
    return fields


def key_xxhash():
    import xxhash

    digest = xxhash.xxh3_128_digest
    return lambda text: digest(text.encode())


def key_blake():
    return lambda text: blake2b(text.encode(), digest_size=16).digest()


def within(source, target):
    """Decompresses and compresses in this process, compressing on two more threads."""
    import zstandard

    lines = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(open(source, "rb"), read_size=SIZE), SIZE)
    out = open(target, "wb", buffering=SIZE)
    if target.endswith(".zst"):
        out = io.BufferedWriter(zstandard.ZstdCompressor(level=3, threads=2).stream_writer(out), SIZE)
    return lines, out, lambda: None


def beside(source, target):
    """Uses zstd processes for both, so that they run in parallel."""
    unpacking = subprocess.Popen(["zstd", "-dcq", source], stdout=subprocess.PIPE, bufsize=SIZE)
    if not target.endswith(".zst"):
        return unpacking.stdout, open(target, "wb", buffering=SIZE), unpacking.wait
    packing = subprocess.Popen(["zstd", "-3", "-q", "-f", "-T2", "-o", target], stdin=subprocess.PIPE, bufsize=SIZE)
    return unpacking.stdout, packing.stdin, lambda: (unpacking.wait(), packing.wait())


def dedupe(source, target, fields, key, streams):
    fields, key, seen = fields(), key(), set()
    lines, out, wait = streams(source, target)
    add, write = seen.add, out.write
    for line in lines:
        name = key(fields(line))
        if name not in seen:
            add(name)
            write(line)
    out.close()
    wait()


def pandas(source, target):
    import pandas as pd

    frame = pd.read_json(source, lines=True, engine="pyarrow" if not source.endswith(".zst") else "ujson", compression="infer")
    frame = frame.drop_duplicates(["prompt", "completion"])
    frame.to_json(target, orient="records", lines=True, force_ascii=False, compression={"method": "zstd", "level": 3}
                  if target.endswith(".zst") else None)


WAYS = {
    # name: (does the work, whether order is kept)
    "orjson": (lambda s, t: dedupe(s, t, fields_orjson, key_xxhash, within), True),
    "orjson-pipes": (lambda s, t: dedupe(s, t, fields_orjson, key_xxhash, beside), True),
    "msgspec": (lambda s, t: dedupe(s, t, fields_msgspec, key_xxhash, within), True),
    "msgspec-pipes": (lambda s, t: dedupe(s, t, fields_msgspec, key_xxhash, beside), True),
    "msgspec-pipes-blake2b": (lambda s, t: dedupe(s, t, fields_msgspec, key_blake, beside), True),
    "pandas": (pandas, True),
}

if __name__ == "__main__":
    way, source, target = sys.argv[1:]
    WAYS[way][0](source, target)
