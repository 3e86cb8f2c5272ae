"""Raw bytes to a proxy, and what came of them: on the client's connection, and at the backend behind it.

Knows no HTTP library, since those repair what is to be tested. The backend reads requests as strictly as the RFCs let
it and keeps all of them by their `x-case` field.
"""

import contextlib
import dataclasses
import re
import select
import socket
import struct
import threading
import time

PATIENCE = 10.0  # for what must come
QUIET = 1.5  # nothing more comes after such a pause; some close only a second after their answer


@dataclasses.dataclass
class Seen:
    """A request as the backend got it."""

    method: bytes
    target: bytes
    fields: list  # name in lower case, value
    body: bytes = b""
    trailers: list = dataclasses.field(default_factory=list)
    whole: bool = False
    raw: bytes = b""

    def all(self, name):
        return [value for known, value in self.fields if known == name]

    def one(self, name):
        values = self.all(name)
        return values[0] if len(values) == 1 else None


@dataclasses.dataclass
class Outcome:
    """What came of a case."""

    statuses: list = dataclasses.field(default_factory=list)
    closed: bool = False
    seen: list = dataclasses.field(default_factory=list)
    resets: dict = dataclasses.field(default_factory=dict)  # stream, error code
    goaway: int | None = None
    by_stream: dict = dataclasses.field(default_factory=dict)  # stream, status
    pongs: int = 0

    @property
    def whole(self):
        return [seen for seen in self.seen if seen.whole]


class Backend:
    """Answers 200 to every whole request, keeps what it saw."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.lock, self.kept = threading.Lock(), {}
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def seen(self, case):
        with self.lock:
            return list(self.kept.get(case, []))

    def keep(self, case, seen):
        with self.lock:
            self.kept.setdefault(case, []).append(seen)

    def serve(self, connection):
        with contextlib.suppress(OSError, ValueError, OverflowError), connection, connection.makefile("rb") as stream:
            while line := stream.readline(1 << 20):
                seen = Seen(b"", b"", [], raw=line)
                method, _, rest = line.rstrip(b"\r\n").partition(b" ")
                seen.method, (seen.target, _, _) = method, rest.rpartition(b" ")
                seen.fields = fields(stream, seen)
                case = seen.one(b"x-case") or re.sub(rb".*/([^/?#]*)[^/]*$", rb"\1", seen.target)
                self.keep(case, seen)
                body(stream, seen)
                seen.whole = True
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def fields(stream, seen):
    found = []
    while (line := stream.readline(1 << 20)) not in (b"\r\n", b"\n"):
        if not line:
            raise ValueError("the head breaks off")
        seen.raw += line
        name, _, value = line.partition(b":")
        found.append((name.lower(), value.strip()))
    return found


def body(stream, seen):
    if b"chunked" in b",".join(seen.all(b"transfer-encoding")).lower():
        while size := int(stream.readline(1 << 16).split(b";")[0], 16):
            seen.body += exactly(stream, size)
            exactly(stream, 2)
        seen.trailers = fields(stream, seen)
    elif length := seen.all(b"content-length"):
        seen.body = exactly(stream, int(length[0]))


def exactly(stream, length):
    got = stream.read(length)
    if len(got) != length:
        raise ValueError("the body breaks off")
    return got


def read_all(connection, within=PATIENCE, quiet=QUIET):
    """All bytes until the proxy closes or has said something and falls silent; whether it closed."""
    got, until = b"", time.monotonic() + within
    while (left := until - time.monotonic()) > 0:
        if not select.select([connection], [], [], min(left, quiet) if got else left)[0]:
            break
        try:
            more = connection.recv(65536)
        except OSError:
            return got, True
        if not more:
            return got, True
        got += more
    return got, False


def send(connection, data):
    """Sends as much as the proxy takes: one that refuses early closes."""
    with contextlib.suppress(OSError):
        connection.sendall(data)


def http1(port, data, within):
    """Sends the bytes on a connection of their own."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        send(connection, data)
        got, closed = read_all(connection, within)
    statuses = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d\d\d)", got)]
    return Outcome([status for status in statuses if status >= 200], closed)


# HTTP/2, frame by frame (RFC 9113 §4, RFC 7541).

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">BHBBI", length >> 16, length & 0xFFFF, kind, flags, stream) + payload


def integer(value, prefix, first=0):
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytes([first | most]), value - most
    while value >= 128:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def block(*pairs):
    """A field section, every field a literal that is not indexed."""
    text = lambda part: integer(len(part), 7) + part
    return b"".join(b"\0" + text(name) + text(value) for name, value in pairs)


def status_of(section):
    """The status a response's field section begins with, as far as one can tell without a table."""
    while section and section[0] & 0xE0 == 0x20:
        section = section[1:]
    known = dict(zip(range(0x88, 0x8F), (200, 204, 206, 304, 400, 404, 500)))
    if not section or section[0] in known:
        return known.get(section[0]) if section else None
    at = 1 if section[0] & 0x3F or section[0] & 0xF0 == 0 and section[0] & 0x0F else None
    if at is None or len(section) < 3:
        return None
    length, text = section[1] & 0x7F, section[2:]
    if not section[1] & 0x80:
        return int(text[:length])
    bits, digits = "".join(f"{byte:08b}" for byte in text[:length]), ""
    while len(digits) < 3:
        if bits[:5] in ("00000", "00001", "00010"):
            digits, bits = digits + str(int(bits[:5], 2)), bits[5:]
        else:
            digits, bits = digits + str(int(bits[:6], 2) - 0x19 + 3), bits[6:]
    return int(digits)


def frames(data):
    while len(data) >= 9:
        high, low, kind, flags, stream = struct.unpack(">BHBBI", data[:9])
        length = high << 16 | low
        yield kind, flags, stream & 0x7FFFFFFF, data[9 : 9 + length]
        data = data[9 + length :]


def http2(port, data, within):
    """Sends the frames on a connection of their own, behind preface and SETTINGS, once the proxy's came."""
    outcome = Outcome()
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        # No dynamic table: statuses are then read without one.
        send(connection, PREFACE + frame(SETTINGS, payload=struct.pack(">HI", 1, 0)) + frame(SETTINGS, ACK))
        greeting, closed = read_all(connection, quiet=0.2)
        if not closed:
            send(connection, data)
            got, outcome.closed = read_all(connection, within)
            greeting += got
    for kind, flags, stream, payload in frames(greeting):
        if kind == HEADERS and (status := status_of(payload)):
            outcome.by_stream.setdefault(stream, status)
        elif kind == RST:
            outcome.resets[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            outcome.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == PING and flags & ACK:
            outcome.pongs += 1
    outcome.statuses = list(outcome.by_stream.values())
    return outcome
