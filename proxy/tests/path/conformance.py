"""Cases of HTTP/2 as a real client library plays them: python-hyper's h2, which checks all that it is sent.

    conformance.py PORT...     one gateway a port; prints a line a case: name, then ok or what went wrong

The backend behind each gateway answers /echo with the request's body, /big with 1 MiB, /none with 204, and anything else
with a few bytes; where the request had trailers, it sends them back.
"""

import socket
import sys

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

MIB = 1 << 20


class Client:
    def __init__(self, port, settings=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        if settings:
            self.h2.update_settings(settings)
        self.h2.initiate_connection()
        self.streams = {}
        self.events = []
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, method="GET", path="/", fields=(), end=True):
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)]
        self.h2.send_headers(stream, pseudo + list(fields), end_stream=end)
        self.streams[stream] = {"status": None, "fields": {}, "body": b"", "trailers": None, "end": None}
        self.flush()
        return stream

    def pump(self, keep_window=False):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the connection ended")
        for event in self.h2.receive_data(data):
            self.events.append(event)
            stream = self.streams.get(getattr(event, "stream_id", None))
            match event:
                case h2.events.ResponseReceived():
                    fields = dict(event.headers)
                    stream["status"], stream["fields"] = fields[":status"], fields
                case h2.events.DataReceived():
                    stream["body"] += event.data
                    if not keep_window:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.TrailersReceived():
                    stream["trailers"] = dict(event.headers)
                case h2.events.StreamEnded():
                    stream["end"] = "whole"
                case h2.events.StreamReset():
                    stream["end"] = h2.errors.ErrorCodes(event.error_code).name
        self.flush()

    def until(self, done):
        while not done():
            self.pump()

    def reply(self, stream):
        self.until(lambda: self.streams[stream]["end"])
        return self.streams[stream]

    def send(self, stream, body, end=True, padding=None):
        """As windows allow."""
        while body:
            extra = 0 if padding is None else padding + 1
            self.until(lambda: self.h2.local_flow_control_window(stream) > extra)
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size) - extra
            piece, body = body[:room], body[room:]
            self.h2.send_data(stream, piece, end_stream=end and not body, pad_length=padding)
            self.flush()

    def seen(self, kind):
        return any(isinstance(event, kind) for event in self.events)


def whole(reply, status="200"):
    assert (reply["status"], reply["end"]) == (status, "whole"), (reply["status"], reply["end"])
    return reply


def get(client):
    assert whole(client.reply(client.begin()))["body"]


def head_has_no_body(client):
    assert whole(client.reply(client.begin("HEAD", "/big")))["body"] == b""


def no_content(client):
    assert whole(client.reply(client.begin(path="/none")), "204")["body"] == b""


def upload_and_download_of_1_mib(client):
    stream = client.begin("POST", "/echo", end=False)
    client.send(stream, b"x" * MIB)
    assert len(whole(client.reply(stream))["body"]) == MIB


def content_length_is_kept(client):
    stream = client.begin("POST", "/echo", [("content-length", "4")], end=False)
    client.send(stream, b"four")
    reply = whole(client.reply(stream))
    assert (reply["body"], reply["fields"].get("content-length")) == (b"four", "4"), reply


def a_body_shorter_than_it_says_is_no_request(client):
    stream = client.begin("POST", "/echo", [("content-length", "5")], end=False)
    client.send(stream, b"four")
    reply = client.reply(stream)
    assert reply["end"] == "PROTOCOL_ERROR" or reply["status"] == "400", reply


def trailers_both_ways(client):
    stream = client.begin("POST", "/echo", [("te", "trailers")], end=False)
    client.send(stream, b"body", end=False)
    client.h2.send_headers(stream, [("x-sum", "7")], end_stream=True)
    client.flush()
    reply = whole(client.reply(stream))
    assert (reply["body"], (reply["trailers"] or {}).get("x-sum")) == (b"body", "7"), reply


def a_hundred_streams_at_once(client):
    client.until(lambda: client.seen(h2.events.RemoteSettingsChanged))
    streams = [client.begin(path=f"/{nth}") for nth in range(100)]
    assert all(whole(client.reply(stream))["body"] for stream in streams)


def padded_data(client):
    stream = client.begin("POST", "/echo", end=False)
    client.send(stream, b"y" * 40_000, padding=255)
    assert whole(client.reply(stream))["body"] == b"y" * 40_000


def a_head_in_continuations(client):
    fields = [(f"x-long-{nth}", "v" * 4000) for nth in range(10)]
    assert whole(client.reply(client.begin(fields=fields)))["body"]


def ping(client):
    client.h2.ping(b"12345678")
    client.flush()
    client.until(lambda: client.seen(h2.events.PingAckReceived))


def a_reset_harms_no_other_stream(client):
    dropped = client.begin("POST", "/echo", end=False)
    client.h2.reset_stream(dropped, h2.errors.ErrorCodes.CANCEL)
    get(client)


def windows_that_change_under_way(client):
    codes = h2.settings.SettingCodes
    stream = client.begin(path="/big")
    client.until(lambda: client.streams[stream]["status"])
    client.h2.update_settings({codes.INITIAL_WINDOW_SIZE: 1000})
    client.flush()
    acknowledged = h2.events.SettingsAcknowledged
    client.until(lambda: sum(isinstance(event, acknowledged) for event in client.events) == 2)
    # The window may lie below zero now, so that nothing comes; the library gives more only for what comes.
    client.h2.increment_flow_control_window(65_535, stream)
    client.flush()
    assert len(whole(client.reply(stream))["body"]) == MIB


def no_dynamic_table(client):
    client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 0})
    client.flush()
    client.until(lambda: client.seen(h2.events.SettingsAcknowledged))
    for _ in range(3):
        get(client)


def priority_is_taken_and_ignored(client):
    stream = client.begin("POST", "/echo", end=False)
    client.h2.prioritize(stream, weight=7, depends_on=0, exclusive=True)
    client.send(stream, b"z")
    assert whole(client.reply(stream))["body"] == b"z"


def a_thousand_requests_on_a_connection(client):
    for _ in range(1000):
        get(client)


def goaway_of_the_client_ends_no_stream(client):
    stream = client.begin(path="/big")
    # Nothing more is said behind GOAWAY: the server closes once the stream has ended.
    client.h2.increment_flow_control_window(2 * MIB)
    client.h2.increment_flow_control_window(2 * MIB, stream)
    client.flush()
    while not client.streams[stream]["status"]:
        client.pump(keep_window=True)
    client.socket.sendall(bytes([0, 0, 8, 7, 0, 0, 0, 0, 0]) + bytes(8))
    while not client.streams[stream]["end"]:
        client.pump(keep_window=True)
    assert len(whole(client.streams[stream])["body"]) == MIB


def a_stalled_stream_stalls_no_other(client):
    codes = h2.settings.SettingCodes
    stalled = client.begin(path="/big")
    while len(client.streams[stalled]["body"]) < 1000:
        client.pump(keep_window=True)
    client.h2.increment_flow_control_window(MIB)
    get(client)
    client.h2.increment_flow_control_window(2 * MIB, stalled)
    client.flush()
    assert len(whole(client.reply(stalled))["body"]) == MIB


CASES = [
    get,
    head_has_no_body,
    no_content,
    upload_and_download_of_1_mib,
    content_length_is_kept,
    a_body_shorter_than_it_says_is_no_request,
    trailers_both_ways,
    a_hundred_streams_at_once,
    padded_data,
    a_head_in_continuations,
    ping,
    a_reset_harms_no_other_stream,
    windows_that_change_under_way,
    no_dynamic_table,
    priority_is_taken_and_ignored,
    a_thousand_requests_on_a_connection,
    goaway_of_the_client_ends_no_stream,
    a_stalled_stream_stalls_no_other,
]


def outcome(case, port):
    try:
        case(Client(port))
        return "ok"
    except Exception as error:  # whatever it is, it is told
        return f"{type(error).__name__}: {error}"


for case in CASES:
    print(case.__name__, *(outcome(case, int(port)) for port in sys.argv[1:]), sep="\t")
