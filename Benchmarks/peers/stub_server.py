"""A server of embeddings that does no work: the same base64 vector for every text, after a fixed time.

usage: stub_server.py DIMENSIONS LATENCY_MS    prints its port and serves until its standard input ends

It finds the number of texts by counting `","` between the quotes of `input`, so it serves thousands of requests a second on one core.
"""

import asyncio
import base64
import os
import struct
import sys

dimensions, latency = int(sys.argv[1]), float(sys.argv[2]) / 1000
vector = base64.b64encode(struct.pack(f"<{dimensions}f", *((i * 7919 % 1000 - 499.5) / 500 for i in range(dimensions))))
bodies = {}


def answer(count):
    if count not in bodies:
        items = b",".join(b'{"object":"embedding","index":%d,"embedding":"%s"}' % (i, vector) for i in range(count))
        body = b'{"object":"list","data":[' + items + b'],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}'
        bodies[count] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    return bodies[count]


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parts, self.length, self.wanted = transport, [], 0, None

    def data_received(self, data):
        self.parts.append(data)
        self.length += len(data)
        if self.wanted is None:
            head = b"".join(self.parts)
            end = head.find(b"\r\n\r\n")
            if end < 0:
                return
            at = head.lower().index(b"content-length:") + 15
            self.wanted = end + 4 + int(head[at : head.index(b"\r\n", at)])
        if self.length >= self.wanted:
            whole = b"".join(self.parts)
            texts = whole[whole.index(b'"input":') :]
            texts = texts[: texts.index(b"]")]
            count = texts.count(b'","') + texts.count(b'", "') + 1
            self.parts, self.length, self.wanted = [], 0, None
            asyncio.get_running_loop().call_later(latency, self.send, answer(count))

    def send(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    os._exit(0)


asyncio.run(main())
