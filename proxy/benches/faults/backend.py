"""A backend as a process of its own, so that it can be killed and frozen: `backend.py NAME PORT LOG`.

Answers `/…?id=ID&size=N` with "ID NAME " and as many bytes as make N; writes the ids of POSTs to LOG before it answers
them, so that a request that was executed is known even if its backend was killed at once. What it does wrong is told by
`/control?…`: `delay` (milliseconds before each answer), `stall` (of a thousand, how many answers come 500 ms late),
`garbage` (1: no HTTP), `half` (of a thousand, how many bodies break off).
"""

import asyncio
import os
import random
import sys
from urllib.parse import parse_qsl, urlsplit

NAME, PORT, LOG = sys.argv[1], int(sys.argv[2]), sys.argv[3]
log = os.open(LOG, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
wrong = {"delay": 0, "stall": 0, "garbage": 0, "half": 0}


def body_of(ident, size):
    text = f"{ident} {NAME} "
    return (text + "." * max(0, size - len(text))).encode()


async def serve(reader, writer):
    try:
        while await answer(reader, writer):
            pass
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
    await reader.readexactly(int(fields.get("content-length", 0)))
    query = dict(parse_qsl(urlsplit(target).query))
    if target.startswith("/control"):
        wrong.update({name: int(value) for name, value in query.items()})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        return True
    if wrong["garbage"]:
        writer.write(b"this is no HTTP\r\n\r\n")
        return False
    if method == "POST":
        os.write(log, f"{query['id']}\n".encode())
    pause = wrong["delay"] / 1000 + (0.5 if random.randrange(1000) < wrong["stall"] else 0)
    if pause:
        await asyncio.sleep(pause)
    body = body_of(query["id"], int(query.get("size", 0)))
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body))
    if random.randrange(1000) < wrong["half"]:
        writer.write(body[: len(body) // 2])
        return False
    writer.write(body)
    await writer.drain()
    return True


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=1024)
    await server.serve_forever()


asyncio.run(main())
