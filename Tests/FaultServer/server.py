#!/usr/bin/env python3
"""A server of embeddings that fails as it is told. Python's standard library only.

It prints its port and serves until its standard input ends. The path of a request says what happens to it:

    POST /NAME/FAULT+FAULT/v1/embeddings      GET /NAME/stats: what came under this name

    429x2  500x1  503x3   the first two (one, three) requests get this status; without x all do
    429r1x1  429dx1       with Retry-After: 1 second, as a number or as a date (which lies a second or two ahead)
    plain                 base64 is refused
    quota  401  404       429 with the code insufficient_quota; a wrong key, repeated in the message; no such model
    most8  most8s422      more than 8 inputs get 413 (422), as of a server whose batches are smaller
    length100 length100s500 inputs of more than 100 characters get 400 (500)
    slow200               answers take 200 ms
    hangx1 closex1 cutx1  no answer at all; the connection closes; it closes in the middle of the answer
    countx1 dimx1 nanx1 garbagex1 hugex1 dupx1    wrong answers; without x always
    order  float  nan32   items in reverse; numbers in place of base64; noindex: items without numbers
    redirect  closing     302; the connection closes after each answer, without notice

A text's vector follows from its bytes: h = FNV-1a of 64 bits, component i is ((h ^ i) * 0x9E3779B97F4A7C15 mod 2^64) >> 40,
minus 2^23, divided by 2^23: numbers that 32 bits of floating point have exactly.
"""
import asyncio
import base64
import email.utils
import json
import re
import struct
import sys
import time

stats = {}


def vector(text, dimension):
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return [
        ((((state ^ i) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 40) - (1 << 23)) / (1 << 23)
        for i in range(dimension)
    ]


NAMES = """quota most length slow hang close cut count dim nan garbage huge dup order float noindex redirect
    closing plain""".split()


class Fault:
    """NAME[NUMBER][sSTATUS][r|d SECONDS][xTIMES]"""

    def __init__(self, word):
        match = re.fullmatch(r"([0-9]{3}|[a-z]+?)(\d+)?(?:s(\d{3}))?(?:(r\d+|d))?(?:x(\d+))?", word)
        self.name, number, status, self.after, times = match.groups()
        assert self.name.isdigit() or self.name in NAMES, word
        self.number = int(number or 0)
        self.status = int(status or 0)
        self.times = int(times) if times else None

    def holds(self, count):
        return self.times is None or count <= self.times


def error(status, message, code=None):
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": code}}, {}


def refusal(fault, inputs, headers, model, form):
    """The error that a fault asks for; None if the request is served."""
    if fault.name == "plain" and form == "base64":
        return error(400, "encoding_format must be float")
    if fault.name == "quota":
        return error(429, "You exceeded your current quota.", "insufficient_quota")
    if fault.name == "401":
        return error(401, "Incorrect API key provided: " + headers.get("authorization", "none"))
    if fault.name == "404":
        return error(404, f'model "{model}" not found, try pulling it first')
    if fault.name == "redirect":
        return 302, {}, {"Location": "http://127.0.0.1:9/elsewhere"}
    if fault.name == "most" and len(inputs) > fault.number:
        message = f"batch size {len(inputs)} > maximum allowed batch size {fault.number}"
        return error(fault.status or 413, message)
    if fault.name == "length" and max(map(len, inputs)) > fault.number:
        message = f"This model's maximum context length is {fault.number} tokens"
        return error(fault.status or 400, message)
    if fault.name.isdigit():
        after = {}
        if fault.after and fault.after[0] == "r":
            after = {"Retry-After": fault.after[1:]}
        elif fault.after:
            after = {"Retry-After": email.utils.formatdate(time.time() + 2, usegmt=True)}
        status, body, _ = error(int(fault.name), "try again later")
        return status, body, after
    return None


def answer(faults, active, inputs, dimension, as_base64):
    names = {fault.name for fault in active}
    if "dim" in names:
        dimension += 1
    data = []
    for index, text in enumerate(inputs):
        numbers = vector(text, dimension)
        if "nan" in names and index == len(inputs) - 1:
            numbers[dimension // 2] = float("nan")
        if as_base64 and "float" not in names:
            numbers = base64.b64encode(struct.pack(f"<{dimension}f", *numbers)).decode()
        data.append({"object": "embedding", "index": index, "embedding": numbers})
    if "count" in names:
        data.pop()
    if "dup" in names:
        data[-1]["index"] = 0 if len(data) > 1 else 1
    if "order" in names:
        data.reverse()
    if "noindex" in names:
        for item in data:
            del item["index"]
    body = json.dumps({"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    if "garbage" in names:
        body = "<html>Bad gateway</html>"
    if "huge" in names:
        body = body[:-1] + ',"more":"' + "x" * (64 << 20) + '"}'
    return body.encode()


async def reply(writer, status, body, headers=None, length=None):
    lines = [f"HTTP/1.1 {status} Reason", "Content-Type: application/json", f"Content-Length: {length or len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()


async def serve_one(reader, writer):
    """Serves a request; returns whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in head[1:] if ":" in line}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = path.strip("/").split("/")
    seen = stats.setdefault(
        parts[0],
        {"requests": 0, "texts": 0, "in_flight": 0, "most_in_flight": 0, "most_texts": 0, "most_bytes": 0,
         "connections": [], "keys": [], "served": 0, "empty": 0, "repeated": 0, "dimensions": None, "all": {}})
    if method == "GET":
        shown = {key: value for key, value in seen.items() if key not in ("all", "connections")}
        shown["connections"] = len(seen["connections"])
        await reply(writer, 200, json.dumps(shown).encode())
        return True
    seen["requests"] += 1
    number = seen["requests"]
    seen["in_flight"] += 1
    seen["most_in_flight"] = max(seen["most_in_flight"], seen["in_flight"])
    try:
        return await serve_embeddings(writer, parts, headers, body, seen, number)
    finally:
        seen["in_flight"] -= 1


async def serve_embeddings(writer, parts, headers, body, seen, number):
    if parts[-2:] != ["v1", "embeddings"]:
        await reply(writer, 404, b'{"detail":"Not Found"}')
        return True
    if id(writer) not in seen["connections"]:
        seen["connections"].append(id(writer))
    request = json.loads(body)
    inputs = request["input"]
    seen["texts"] += len(inputs)
    seen["most_texts"] = max(seen["most_texts"], len(inputs))
    seen["most_bytes"] = max(seen["most_bytes"], len(body))
    seen["empty"] += sum(not text.strip() for text in inputs)
    seen["dimensions"] = request.get("dimensions", seen["dimensions"])
    key = headers.get("authorization")
    if key and key not in seen["keys"]:
        seen["keys"].append(key)
    faults = [Fault(word) for word in (parts[1].split("+") if len(parts) == 4 else [])]
    active = [fault for fault in faults if fault.holds(number)]
    names = {fault.name for fault in active}
    for fault in active:
        if fault.name == "slow":
            await asyncio.sleep(fault.number / 1000)
        refused = refusal(fault, inputs, headers, request.get("model"), request.get("encoding_format"))
        if refused:
            await reply(writer, refused[0], json.dumps(refused[1]).encode(), refused[2])
            return True
    if "hang" in names:
        await asyncio.sleep(3600)
    if "close" in names:
        return False
    dimension = request.get("dimensions", 32)
    text = answer(faults, active, inputs, dimension, request.get("encoding_format") == "base64")
    if "cut" in names:
        await reply(writer, 200, text[: len(text) // 2], length=len(text))
        return False
    await reply(writer, 200, text)
    seen["served"] += len(inputs)
    for one in inputs:
        seen["repeated"] += seen["all"].get(one, 0)
        seen["all"][one] = 1
    return "closing" not in names


async def serve(reader, writer):
    try:
        while await serve_one(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 26, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    import os

    os._exit(0)


asyncio.run(main())
