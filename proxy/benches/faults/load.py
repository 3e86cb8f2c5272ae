"""A closed loop of keep-alive clients, each request with an id of its own; nothing is retried, nothing repaired."""

import asyncio
import collections
import dataclasses
import itertools
import time

MARKED = (
    "traceparent: 00-%032x-00f067aa0ba902b7-00\r\ntracestate: patch-group=backend-canary,patch-version=v2\r\n"
)


@dataclasses.dataclass
class Tally:
    """What came of a load."""

    sent: int = 0
    fine: int = 0
    backends: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    failures: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    wrong_bodies: int = 0
    turned_away: int = 0  # connections refused once the gateway ends
    posts_answered: set = dataclasses.field(default_factory=set)  # ids of POSTs with a whole answer
    took: list = dataclasses.field(default_factory=list)  # seconds

    @property
    def failed(self):
        return sum(self.failures.values())

    def p99(self):
        took = sorted(self.took)
        return took[len(took) * 99 // 100] if took else 0.0


class Load:
    """`clients` at once against `port`; every `post_every`th request is a POST, every `mark_every`th is marked."""

    ids = itertools.count(1)

    def __init__(self, port, clients=200, post_every=5, mark_every=0, size=200, pause=0.0):
        self.port, self.clients, self.post_every, self.mark_every = port, clients, post_every, mark_every
        self.size, self.pause = size, pause
        self.tally, self.stopped, self.ending = Tally(), False, False
        self.tasks = []
        self.under_way = {}  # number: since when

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self.client()) for _ in range(self.clients)]
        return self

    async def __aexit__(self, *_):
        self.stopped = True
        for task in self.tasks:
            await task

    async def client(self):
        connection = None
        while not self.stopped:
            if connection is None:
                try:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                except ConnectionRefusedError:
                    if self.ending:
                        self.tally.turned_away += 1
                        return
                    self.tally.sent += 1
                    self.tally.failures["refused"] += 1
                    await asyncio.sleep(0.05)
                    continue
            number = next(self.ids)
            post = bool(self.post_every) and number % self.post_every == 0
            marked = bool(self.mark_every) and number % self.mark_every == 0
            self.tally.sent += 1
            self.under_way[number] = time.monotonic()
            try:
                keep = await asyncio.wait_for(self.exchange(*connection, number, post, marked), 60)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError) as error:
                self.tally.failures[type(error).__name__] += 1
                keep = False
            self.tally.took.append(time.monotonic() - self.under_way.pop(number))
            if not keep:
                connection[1].close()
                connection = None
            if self.pause:
                await asyncio.sleep(self.pause)
        if connection:
            connection[1].close()

    async def exchange(self, reader, writer, number, post, marked):
        mark = MARKED % number if marked else ""
        method, body = ("POST", "x" * 100) if post else ("GET", "")
        length = f"content-length: {len(body)}\r\n" if post else ""
        writer.write(f"{method} /?id={number}&size={self.size} HTTP/1.1\r\nhost: test\r\n{mark}{length}\r\n{body}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
        answer = await reader.readexactly(int(fields["content-length"]))
        status = int(line.split(" ")[1])
        if status != 200:
            self.tally.failures[f"{status} {'POST' if post else 'GET'}"] += 1
        else:
            ident, _, rest = answer.partition(b" ")
            backend = rest.partition(b" ")[0].decode("latin-1")
            if ident != b"%d" % number or len(answer) != max(self.size, len(ident) + len(backend) + 2):
                self.tally.wrong_bodies += 1
            self.tally.fine += 1
            self.tally.backends[backend] += 1
            if post:
                self.tally.posts_answered.add(number)
        return fields.get("connection", "").lower() != "close"

    async def turn_over(self):
        """Until all requests that are under way now have ended."""
        now = time.monotonic()
        while any(begun < now for begun in self.under_way.values()):
            await asyncio.sleep(0.02)

    async def wait_for(self, more):
        """Until so many more requests have ended."""
        target = len(self.tally.took) + more
        while len(self.tally.took) < target:
            await asyncio.sleep(0.02)
