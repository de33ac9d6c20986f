"""Vectors of the texts of a JSONL file by a server with OpenAI's /v1/embeddings, in Python: the work of `embed: {model: endpoint}`.

usage: endpoint_clients.py CLIENT URL FILE OUTPUT.npy IN_FLIGHT   (CLIENT: aiohttp, httpx or openai)

Requests of 32 texts, base64, kept connections; the vectors are normalised, quantised to int8 as Sluice does, and saved. Nothing is
kept of a run that is stopped.
"""

import asyncio
import base64
import json
import sys

import numpy

BATCH = 32


def quantised(batch):
    vectors = numpy.stack([numpy.frombuffer(base64.b64decode(item), "<f4") for item in batch])
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return numpy.clip(numpy.rint(vectors * (127 * vectors.shape[1] ** 0.5 / 8)), -127, 127).astype("i1")


async def by_aiohttp(url, width):
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width))

    async def ask(texts):
        request = {"model": "m", "input": texts, "encoding_format": "base64"}
        async with session.post(url + "/v1/embeddings", json=request) as response:
            return [item["embedding"] for item in (await response.json())["data"]]

    return ask, session.close


async def by_httpx(url, width):
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=width, max_keepalive_connections=width), timeout=300)

    async def ask(texts):
        response = await client.post(
            url + "/v1/embeddings", json={"model": "m", "input": texts, "encoding_format": "base64"})
        return [item["embedding"] for item in response.json()["data"]]

    return ask, client.aclose


async def by_openai(url, width):
    import httpx
    import openai

    limits = httpx.Limits(max_connections=width, max_keepalive_connections=width)
    client = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", http_client=httpx.AsyncClient(limits=limits, timeout=300))

    async def ask(texts):
        response = await client.embeddings.create(model="m", input=texts, encoding_format="base64")
        return [item.embedding for item in response.data]

    return ask, client.close


async def main(client, url, path, output, width):
    with open(path, "rb") as file:
        texts = [json.loads(line)["text"] for line in file]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    results = [None] * len(batches)
    ask, close = await {"aiohttp": by_aiohttp, "httpx": by_httpx, "openai": by_openai}[client](url, width)
    waiting = iter(range(len(batches)))

    async def work():
        for index in waiting:
            results[index] = quantised(await ask(batches[index]))

    await asyncio.gather(*(work() for _ in range(width)))
    await close()
    numpy.save(output, numpy.concatenate(results))


client, url, path, output, width = sys.argv[1:]
asyncio.run(main(client, url, path, output, int(width)))
