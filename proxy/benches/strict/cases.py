"""The cases: what is sent, the section of the RFC that speaks of it, and what a proxy may make of it.

`%C` in a case stands for its name, by which the backend tells whose request it got. What must never be taken for a
request has the target `/smuggled/%C`.
"""

import dataclasses
import typing

from wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HAS_PRIORITY, HEADERS, PADDED, PING, PRIORITY,
                  PUSH, RST, SETTINGS, WINDOW, block, frame, http1, http2)


@dataclasses.dataclass
class Case:
    name: str
    section: str
    data: bytes
    judge: typing.Callable  # gives what is wrong, or nothing
    speak: typing.Callable = http1
    within: float = 10.0


CASES: list[Case] = []

# --- what may come of it ---


def smuggled(outcome):
    return any(seen.target.startswith(b"/smuggled") for seen in outcome.seen)


def was_refused(outcome):
    if outcome.seen:
        return "it reached the backend"
    if outcome.statuses and not 400 <= outcome.statuses[0] <= 505:
        return f"answered {outcome.statuses[0]}"
    return None if outcome.statuses or outcome.closed else "neither answered nor closed"


def refused(outcome):
    """An error, or the connection closed; the backend hears nothing."""
    return was_refused(outcome)


def refused_and_closed(outcome):
    """The same, and nothing behind it is read."""
    return was_refused(outcome) or (None if outcome.closed else "the connection stays open")


def broken(outcome):
    """The framing is lost in a body: the backend gets no whole request, and the connection is closed."""
    if outcome.whole:
        return "the backend got a whole request"
    if 200 in outcome.statuses:
        return "answered 200"
    return None if outcome.closed else "the connection stays open"


def safe(check=lambda seen: True, closed=False):
    """Refused, or exactly one request that `check` finds unambiguous."""

    def judge(outcome):
        if smuggled(outcome):
            return "a smuggled request reached the backend"
        if closed and not outcome.closed:
            return "the connection stays open"
        if not outcome.whole:
            return broken(outcome) if outcome.seen else was_refused(outcome)
        if len(outcome.whole) > 1:
            return "more than one request"
        return None if check(outcome.whole[0]) else f"the backend got {outcome.whole[0].raw!r} {outcome.whole[0].trailers!r}"

    return judge


def accepted(check=lambda seen: True, requests=1):
    """Answered 200, each."""

    def judge(outcome):
        if len(outcome.whole) != requests or outcome.statuses != [200] * requests:
            return f"answered {outcome.statuses}, the backend got {len(outcome.whole)}"
        return None if all(map(check, outcome.whole)) else f"the backend got {outcome.whole[0].raw!r}"

    return judge


# --- HTTP/1.1 ---

HOST = b"Host: app.example\r\n"
SMUGGLED = b"GET /smuggled/%C HTTP/1.1\r\nHost: app.example\r\nx-case: %C\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def h1(name, section, data, judge, **more):
    CASES.append(Case(name, section if " " in section else f"9112 {section}", data, judge, **more))


def line(name, section, text, judge, **more):
    """A request line."""
    h1(name, section, text + b"\r\n" + HOST + b"x-case: %C\r\n\r\n", judge, **more)


def field(name, section, text, judge, **more):
    """Field lines of a GET, with a second request behind it."""
    h1(name, section, b"GET /%C HTTP/1.1\r\n" + HOST + b"x-case: %C\r\n" + text + b"\r\n", judge, **more)


def post(name, section, text, body, judge, version=b"1.1", **more):
    """Field lines of a POST, and what follows the head."""
    head = b"POST /%C HTTP/" + version + b"\r\n" + HOST + b"x-case: %C\r\n" + text + b"\r\n"
    h1(name, section, head + body, judge, **more)


def chunks(name, section, body, judge, **more):
    post(name, section, CHUNKED, body, judge, **more)


line("line_space_in_target", "3.2", b"GET /%C b HTTP/1.1", refused)
line("line_tab", "3", b"GET\t/%C\tHTTP/1.1", safe(lambda seen: b"\t" not in seen.raw))
line("line_two_spaces", "3", b"GET  /%C HTTP/1.1", safe(lambda seen: b"  " not in seen.raw))
line("line_leading_space", "3", b" GET /%C HTTP/1.1", safe(lambda seen: seen.method == b"GET"))
line("line_trailing_space", "3", b"GET /%C HTTP/1.1 ", safe())
line("line_no_method", "3.1", b" /%C HTTP/1.1", refused)
line("line_method_not_a_token", "9110 9.1", b"GE(T /%C HTTP/1.1", refused)
line("line_version_lower_case", "2.3", b"GET /%C http/1.1", refused)
line("line_version_2", "2.3", b"GET /%C HTTP/2.0", refused)
line("line_version_two_digits", "2.3", b"GET /%C HTTP/1.10", refused)
line("line_version_missing", "2.3", b"GET /%C", refused)
line("line_fragment", "3.2", b"GET /%C#x HTTP/1.1", safe(lambda seen: b"#" not in seen.target))
line("line_nul_in_target", "3.2", b"GET /%C\0 HTTP/1.1", refused)
line("line_control_in_target", "3.2", b"GET /%C\x01 HTTP/1.1", refused)
line("line_delete_in_target", "3.2", b"GET /%C\x7f HTTP/1.1", refused)
line("line_no_slash", "3.2", b"GET %C HTTP/1.1", refused)
line("line_asterisk_get", "3.2.4", b"GET * HTTP/1.1", refused)
line("line_connect", "3.2.3", b"CONNECT app.example:443 HTTP/1.1", refused)
line("line_authority_get", "3.2.3", b"GET app.example:443 HTTP/1.1", refused)
line("absolute_form_wins", "3.2.2", b"GET http://other.example/%C HTTP/1.1",
     safe(lambda seen: seen.one(b"host") == b"other.example"))
line("absolute_form_user", "9110 4.2.4", b"GET http://user@app.example/%C HTTP/1.1",
     safe(lambda seen: b"@" not in (seen.one(b"host") or b"@")))
line("absolute_form_no_host", "9110 4.2.1", b"GET http:///%C HTTP/1.1", safe(lambda seen: seen.one(b"host")))
line("line_too_long", "3", b"GET /%C" + b"a" * 2_000_000 + b" HTTP/1.1", refused_and_closed)
h1("empty_line_before", "2.2", b"\r\nGET /%C HTTP/1.1\r\n" + HOST + b"x-case: %C\r\n\r\n", accepted())
h1("bare_lf_everywhere", "2.2", b"GET /%C HTTP/1.1\nHost: app.example\nx-case: %C\n\n", safe())
h1("bare_cr_everywhere", "2.2", b"GET /%C HTTP/1.1\rHost: app.example\rx-case: %C\r\r",
   lambda outcome: "it reached the backend" if outcome.seen else None, within=2.0)  # it may wait for a line's end
h1("http_09", "2.3", b"GET /%C\r\n", refused, within=2.0)

h1("host_missing", "3.2", b"GET /%C HTTP/1.1\r\nx-case: %C\r\n\r\n", refused)
h1("host_before_space", "2.2", b"GET /%C HTTP/1.1\r\n X-After: space\r\n" + HOST + b"x-case: %C\r\n\r\n",
   safe(lambda seen: b"X-After" not in seen.raw))
field("host_twice", "3.2", HOST, refused)
field("host_twice_differing", "3.2", b"Host: other.example\r\n", refused)
for name, value in dict(space=b"app example", slash=b"app.example/x", user=b"user@app.example", list=b"a,b c",
                        port=b"app.example:80:81", port_text=b"app.example:x", query=b"app?x", bracket=b"[::1").items():
    h1(f"host_{name}", "3.2", b"GET /%C HTTP/1.1\r\nHost: " + value + b"\r\nx-case: %C\r\n\r\n", refused)

field("space_before_colon", "5.1", b"x-test : 1\r\n", refused)
field("tab_before_colon", "5.1", b"x-test\t: 1\r\n", refused)
field("obs_fold", "5.2", b"x-test: a\r\n b\r\n", safe(lambda seen: b"\n " not in seen.raw))
field("obs_fold_tab", "5.2", b"x-test: a\r\n\tb\r\n", safe(lambda seen: b"\n\t" not in seen.raw))
field("no_colon", "5", b"x-test\r\n", refused)
field("empty_name", "9110 5.1", b": 1\r\n", refused)
field("name_with_space", "9110 5.1", b"x test: 1\r\n", refused)
field("name_with_bracket", "9110 5.1", b"x[test]: 1\r\n", refused)
field("name_not_ascii", "9110 5.1", b"x-t\xc3\xa9st: 1\r\n", refused)
field("name_with_nul", "9110 5.1", b"x-te\0st: 1\r\n", refused)
field("nul_in_value", "9110 5.5", b"x-test: a\0b\r\n", safe(lambda seen: b"\0" not in seen.raw))
field("bare_cr_in_value", "2.2", b"x-test: a\rb\r\n", safe(lambda seen: b"\rb" not in seen.raw))
field("bare_cr_ends_line", "2.2", b"x-test: a\rx-other: b\r\n", safe(lambda seen: b"\rx-other" not in seen.raw))
field("fields_too_many", "9110 5.4", b"".join(b"x-%d: 1\r\n" % n for n in range(200_000)), refused_and_closed)
field("field_too_long", "9110 5.4", b"x-test: " + b"a" * 2_000_000 + b"\r\n", refused_and_closed)
field("connection_listed", "9110 7.6.1", b"Connection: x-listed\r\nx-listed: 1\r\n",
      safe(lambda seen: not seen.all(b"x-listed")))
field("connection_lists_host", "9110 7.6.1", b"Connection: host\r\n", safe(lambda seen: seen.one(b"host")))
field("keep_alive_field", "9110 7.6.1", b"Keep-Alive: timeout=5\r\n", safe(lambda seen: not seen.all(b"keep-alive")))
field("proxy_connection", "9110 7.6.1", b"Proxy-Connection: keep-alive\r\n",
      safe(lambda seen: not seen.all(b"proxy-connection")))
field("te_gzip", "9110 10.1.4", b"TE: gzip\r\nConnection: te\r\n",
      safe(lambda seen: b"gzip" not in b"".join(seen.all(b"te"))))
field("upgrade_h2c", "9113 3.1", b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
      safe(lambda seen: not seen.all(b"http2-settings") and b"h2c" not in b"".join(seen.all(b"upgrade"))))

TWO = b"ab" + SMUGGLED
for name, value in dict(plus=b"+2", minus=b"-2", hex=b"0x2", point=b"2.0", space=b"2 2", empty=b"", list_differing=b"2, 3",
                        list_empty=b"2,", overflow=b"18446744073709551618", exponent=b"2e0", tab=b"2\t3",
                        quoted=b'"2"', not_ascii=b"\xd9\xa2", semicolon=b"2;").items():
    post(f"length_{name}", "6.3", b"Content-Length: " + value + b"\r\n", TWO, refused_and_closed)
post("length_twice_differing", "6.3", b"Content-Length: 2\r\nContent-Length: 3\r\n", TWO, refused_and_closed)
post("length_list_same", "6.3", b"Content-Length: 2, 2\r\n", b"ab", safe(lambda seen: seen.one(b"content-length") == b"2"))
post("length_twice_same", "6.3", b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab",
     safe(lambda seen: seen.one(b"content-length") == b"2"))
post("length_space_before_colon", "5.1", b"Content-Length : 2\r\n", TWO, refused_and_closed)
post("length_lf_hidden", "2.2", b"x-test: a\nContent-Length: 2\r\n", b"ab",
     safe(lambda seen: seen.body == b"ab" and b"a\nC" not in seen.raw))
field("get_with_body", "6", b"Content-Length: %d\r\n\r\n" % 4 + b"GET ", accepted(lambda seen: seen.body == b"GET "))

ENDED = b"0\r\n\r\n"
BOTH = b"Content-Length: 5\r\n" + CHUNKED
post("length_and_chunked", "6.1", BOTH, ENDED + SMUGGLED, safe(lambda seen: not seen.all(b"content-length"), closed=True))
post("chunked_and_length", "6.1", CHUNKED + b"Content-Length: 5\r\n", ENDED + SMUGGLED,
     safe(lambda seen: not seen.all(b"content-length"), closed=True))
post("chunked_in_http_10", "6.1", CHUNKED + b"Connection: keep-alive\r\n", ENDED + SMUGGLED, safe(closed=True), version=b"1.0")
for name, value in dict(identity=b"identity", chunked_identity=b"chunked, identity", not_last=b"chunked, gzip",
                        twice=b"chunked, chunked", unknown=b"xchunked", parameter=b"chunked;q=1", quoted=b'"chunked"',
                        control=b"\x0bchunked", empty=b"", no_comma=b"gzip chunked", cut=b"chunke").items():
    post(f"coding_{name}", "6.1", b"Transfer-Encoding: " + value + b"\r\n", ENDED + SMUGGLED, refused_and_closed)
post("coding_two_lines", "6.3", CHUNKED + b"Transfer-Encoding: identity\r\n", ENDED + SMUGGLED, refused_and_closed)
post("coding_twice", "6.3", CHUNKED + CHUNKED, ENDED, safe(lambda seen: seen.one(b"transfer-encoding") == b"chunked"))
post("coding_upper_case", "7", b"Transfer-Encoding: CHUNKED\r\n", b"2\r\nab\r\n" + ENDED, accepted(lambda seen: seen.body == b"ab"))
post("coding_gzip_chunked", "6.1", b"Transfer-Encoding: gzip, chunked\r\n", ENDED,
     safe(lambda seen: b"gzip" in b"".join(seen.all(b"transfer-encoding"))))
post("coding_space_before_colon", "5.1", b"Transfer-Encoding : chunked\r\n", ENDED + SMUGGLED, refused_and_closed)
post("coding_obs_fold", "5.2", b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n", ENDED + SMUGGLED, safe(closed=True))
post("coding_lf_hidden", "2.2", b"x-test: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", ENDED + SMUGGLED,
     safe(closed=True))
post("coding_listed_in_connection", "9110 7.6.1", CHUNKED + b"Connection: transfer-encoding\r\n", b"2\r\nab\r\n" + ENDED,
     safe(lambda seen: seen.body == b"ab"))
post("length_listed_in_connection", "9110 7.6.1", b"Content-Length: 2\r\nConnection: content-length\r\n", b"ab",
     safe(lambda seen: seen.body == b"ab"))

for name, size in dict(overflow=b"10000000000000002", hex=b"0x2", plus=b"+2", minus=b"-2",
                       space_before=b" 2", inner_space=b"2 2", empty=b"", no_number=b"g", underscore=b"2_0").items():
    chunks(f"chunk_{name}", "7.1", size + b"\r\nab\r\n" + ENDED + SMUGGLED, broken)
chunks("chunk_size_padded_with_zeros", "7.1", b"0002\r\nab\r\n" + ENDED, accepted(lambda seen: seen.body == b"ab"))
chunks("chunk_space_behind", "7.1", b"2 \r\nab\r\n" + ENDED, safe(lambda seen: seen.body == b"ab"))
chunks("chunk_lf", "7.1", b"2\nab\r\n" + ENDED, broken)
chunks("chunk_lf_behind_data", "7.1", b"2\r\nab\n" + ENDED, broken)
chunks("chunk_cr_behind_size", "7.1", b"2\r\rab\r\n" + ENDED, broken)
chunks("chunk_no_end", "7.1", b"2\r\nab" + ENDED, broken)
chunks("chunk_longer", "7.1", b"2\r\nabc\r\n" + ENDED, broken)
chunks("chunk_last_lf", "7.1", b"2\r\nab\r\n0\n\n", broken)
chunks("chunk_end_lf", "7.1", b"2\r\nab\r\n0\r\n\n" + SMUGGLED, broken)
chunks("chunk_last_signed", "7.1", b"2\r\nab\r\n-0\r\n\r\n", broken)
chunks("extension", "7.1.1", b'2;a=b;c="d"\r\nab\r\n' + ENDED, accepted(lambda seen: seen.body == b"ab"))
chunks("extension_bare_cr", "7.1.1", b"2;a\rb\r\nab\r\n" + ENDED, broken)
chunks("extension_bare_lf", "7.1.1", b"2;a\nab\r\n" + ENDED, broken)
chunks("extension_quoted_lf", "7.1.1", b'2;a="\n"\r\nab\r\n' + ENDED, broken)
chunks("extension_nul", "7.1.1", b"2;a\0b\r\nab\r\n" + ENDED, safe(lambda seen: seen.body == b"ab" and b"\0" not in seen.raw))
chunks("extension_flood", "7.1.1", b"2;" + b"a" * 1_000_000 + b"\r\nab\r\n" + ENDED, broken)
chunks("extension_drip", "7.1.1", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 1000 + ENDED, broken)
for name, text in dict(length=b"Content-Length: 5", coding=b"Transfer-Encoding: chunked", host=b"Host: other.example",
                       authorization=b"Authorization: basic eA==").items():
    wrong = text.partition(b":")[0].lower()
    chunks(f"trailer_{name}", "9110 6.5.1", b"2\r\nab\r\n0\r\n" + text + b"\r\n\r\n",
           safe(lambda seen, wrong=wrong: wrong not in dict(seen.trailers) and len(seen.all(wrong)) == (wrong in (b"host", b"transfer-encoding"))))
chunks("trailer_space_before_colon", "5.1", b"2\r\nab\r\n0\r\nx-test : 1\r\n\r\n", safe(lambda seen: not seen.trailers))
chunks("trailer_obs_fold", "5.2", b"2\r\nab\r\n0\r\nx-test: a\r\n b\r\n\r\n", safe(lambda seen: b"\n b" not in seen.raw))
chunks("trailer_no_colon", "5", b"2\r\nab\r\n0\r\nx-test\r\n\r\n", safe(lambda seen: not seen.trailers))
chunks("trailer_nul", "9110 5.5", b"2\r\nab\r\n0\r\nx-test: a\0b\r\n\r\n", safe(lambda seen: b"\0" not in seen.raw))
chunks("trailer_flood", "7.1.2", b"2\r\nab\r\n0\r\n" + b"x-test: 1\r\n" * 100_000 + b"\r\n", broken)
chunks("behind_the_last_chunk", "7.1", b"2\r\nab\r\n" + ENDED + b"nonsense\r\n\r\n",
       lambda outcome: None if outcome.statuses[:1] == [200] and len(outcome.whole) == 1 and outcome.closed
       else f"answered {outcome.statuses}, closed: {outcome.closed}")

# --- HTTP/2 ---

METHOD, SCHEME, PATH = (b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/%C")
AUTHORITY, CASE = (b":authority", b"app.example"), (b"x-case", b"%C")
PSEUDO = (METHOD, SCHEME, PATH, AUTHORITY)
POST = ((b":method", b"POST"), SCHEME, PATH, AUTHORITY, CASE)
FINE = (*PSEUDO, CASE)
PROTOCOL, STREAM_CLOSED = 1, 5


def h2(name, section, data, judge, **more):
    CASES.append(Case(f"h2_{name}", section if " " in section else f"9113 {section}", data, judge, http2, **more))


def headers(*pairs, end=True, stream=1, flags=END_HEADERS):
    return [(stream, flags | (END_STREAM if end else 0), pairs)]


def data(text=b"ab", end=True, stream=1):
    return frame(DATA, END_STREAM if end else 0, stream, text)


def fields_h2(name, section, pairs, judge=refused, **more):
    h2(name, section, headers(*pairs), judge, **more)


def malformed(outcome):
    """The stream is reset, or the request answered with an error; other streams are none of its business."""
    if outcome.whole:
        return f"it reached the backend: {outcome.whole[0].raw!r} {outcome.whole[0].trailers!r}"
    if 200 in outcome.statuses:
        return "answered 200"
    return None if outcome.resets or outcome.statuses or outcome.goaway or outcome.closed else "nothing came of it"


def whole_or_malformed(check):
    """Refused, or one request that `check` finds unambiguous."""
    return lambda outcome: safe(check)(outcome) if outcome.whole else malformed(outcome)


def connection_error(outcome):
    """The connection ends. Which code is told is not judged: whoever gets it can but close, and most tell another one."""
    return None if outcome.closed or outcome.goaway else "no connection error"


def stream_error(outcome):
    """The stream ends, or the connection, since a stream error may be taken for one of the connection."""
    return None if 1 in outcome.resets or connection_error(outcome) is None else f"answered {outcome.statuses}"


def served(check=lambda seen: True):
    """Answered 200 on stream 1."""

    def judge(outcome):
        if outcome.by_stream.get(1) != 200 or outcome.resets or outcome.goaway:
            return f"answered {outcome.by_stream}, reset {outcome.resets}, GOAWAY {outcome.goaway}"
        return None if all(map(check, outcome.whole)) else f"the backend got {outcome.whole[0].raw!r}"

    return judge


fields_h2("fine", "8.1", FINE, served())
fields_h2("upper_case_name", "8.2.1", (*FINE, (b"X-Test", b"1")), malformed)
for name, text in dict(space=b"x test", colon=b"x:test", nul=b"x\0test", empty=b"", cr_lf=b"x\r\ntest", not_ascii=b"x\xe9").items():
    fields_h2(f"name_{name}", "8.2.1", (*FINE, (text, b"1")), malformed)
for name, text in dict(cr_lf=b"a\r\nx-smuggled: b", cr=b"a\rb", lf=b"a\nb", nul=b"a\0b").items():
    fields_h2(f"value_{name}", "8.2.1", (*FINE, (b"x-test", text)), malformed)
for name, text in dict(space_first=b" a", space_last=b"a ", tab_last=b"a\t").items():
    fields_h2(f"value_{name}", "8.2.1", (*FINE, (b"x-test", text)),
              lambda outcome: malformed(outcome) if not outcome.whole else
              (None if outcome.whole[0].one(b"x-test") == b"a" else "changed"))
for name, value in {b"connection": b"close", b"keep-alive": b"timeout=5", b"proxy-connection": b"keep-alive",
                    b"transfer-encoding": b"chunked", b"upgrade": b"h2c"}.items():
    fields_h2(f"field_{name.decode().replace('-', '_')}", "8.2.2", (*FINE, (name, value)), malformed)
fields_h2("te_gzip", "8.2.2", (*FINE, (b"te", b"gzip")), malformed)
fields_h2("te_trailers_gzip", "8.2.2", (*FINE, (b"te", b"trailers, gzip")), malformed)
fields_h2("te_trailers", "8.2.2", (*FINE, (b"te", b"trailers")), served())
fields_h2("cookie_crumbs", "8.2.3", (*FINE, (b"cookie", b"a=1"), (b"cookie", b"b=2")),
          served(lambda seen: seen.one(b"cookie") == b"a=1; b=2"))
for at, name in enumerate(("method", "scheme", "path")):
    fields_h2(f"no_{name}", "8.3.1", (*PSEUDO[:at], *PSEUDO[at + 1 :], CASE), malformed)
for at, name in enumerate(("method", "scheme", "path", "authority")):
    fields_h2(f"two_{name}", "8.3", (*PSEUDO, PSEUDO[at], CASE), malformed)
fields_h2("no_authority_no_host", "8.3.1", (METHOD, SCHEME, PATH, CASE), malformed)
fields_h2("host_only", "8.3.1", (METHOD, SCHEME, PATH, CASE, (b"host", b"app.example")),
          served(lambda seen: seen.one(b"host") == b"app.example"))
fields_h2("authority_and_host_differ", "8.3.1", (*FINE, (b"host", b"other.example")), malformed)
fields_h2("authority_and_host_same", "8.3.1", (*FINE, (b"host", b"app.example")),
          served(lambda seen: seen.one(b"host") == b"app.example"))
fields_h2("pseudo_behind_field", "8.3", (METHOD, SCHEME, PATH, CASE, AUTHORITY), malformed)
fields_h2("pseudo_unknown", "8.3", (*PSEUDO, (b":unknown", b"1"), CASE), malformed)
fields_h2("pseudo_of_a_response", "8.3", (*PSEUDO, (b":status", b"200"), CASE), malformed)
fields_h2("protocol_without_connect", "8441 4", (*PSEUDO, (b":protocol", b"websocket"), CASE), malformed)
for name, text in dict(empty=b"", no_slash=b"%C", asterisk=b"*", space=b"/a b", cr_lf=b"/a\r\nx-smuggled: 1", nul=b"/a\0b",
                       absolute=b"http://other.example/%C", version=b"/%C HTTP/1.1\r\nx: ").items():
    fields_h2(f"path_{name}", "8.3.1", (METHOD, SCHEME, (b":path", text), AUTHORITY, CASE), malformed)
fields_h2("path_fragment", "8.3.1", (METHOD, SCHEME, (b":path", b"/%C#x"), AUTHORITY, CASE),
          whole_or_malformed(lambda seen: b"#" not in seen.target))
for name, text in dict(empty=b"", space=b"GET /x", cr_lf=b"GET / HTTP/1.1\r\nx: ").items():
    fields_h2(f"method_{name}", "8.3.1", ((b":method", text), SCHEME, PATH, AUTHORITY, CASE), malformed)
for name, text in dict(empty=b"", user=b"user@app.example", space=b"app example", slash=b"app.example/x", two=b"a,b c",
                       cr_lf=b"app\r\nx-smuggled: 1").items():
    fields_h2(f"authority_{name}", "8.3.1", (METHOD, SCHEME, PATH, (b":authority", text), CASE), malformed)
fields_h2("connect", "8.5", ((b":method", b"CONNECT"), AUTHORITY, CASE), malformed)
fields_h2("connect_with_path", "8.5", ((b":method", b"CONNECT"), SCHEME, PATH, AUTHORITY, CASE), malformed)
fields_h2("headers_too_large", "10.5.1", (*FINE, *((b"x-%d" % n, b"a" * 1000) for n in range(2000))), malformed)
LENGTH = lambda text: (b"content-length", text)
h2("length_too_short", "8.1.1", [*headers(*POST, LENGTH(b"1"), end=False), data()], malformed)
h2("length_too_long", "8.1.1", [*headers(*POST, LENGTH(b"3"), end=False), data()], malformed)
h2("length_without_body", "8.1.1", headers(*POST, LENGTH(b"3")), malformed)
h2("length_plus", "8.1.1", [*headers(*POST, LENGTH(b"+2"), end=False), data()], malformed)
h2("length_list", "8.1.1", [*headers(*POST, LENGTH(b"2, 3"), end=False), data()], malformed)
h2("length_twice", "8.1.1", [*headers(*POST, LENGTH(b"2"), LENGTH(b"3"), end=False), data()], malformed)
h2("length_twice_same", "8.1.1", [*headers(*POST, LENGTH(b"2"), LENGTH(b"2"), end=False), data()],
   safe(lambda seen: len(set(seen.all(b"content-length"))) <= 1 and len(seen.all(b"content-length")) <= 1))
h2("length_right", "8.1.1", [*headers(*POST, LENGTH(b"2"), end=False), data()], served(lambda seen: seen.body == b"ab"))
BODY = [*headers(*POST, end=False), data(end=False)]
h2("trailers", "8.1", [*BODY, *headers((b"x-end", b"1"))], served(lambda seen: seen.body == b"ab"))
h2("trailers_with_pseudo", "8.1", [*BODY, *headers((b":path", b"/smuggled/%C"))], malformed)
h2("trailers_without_end", "8.1", [*BODY, *headers((b"x-end", b"1"), end=False)], malformed)
h2("trailers_with_length", "9110 6.5.1", [*BODY, *headers((b"content-length", b"9"))],
   whole_or_malformed(lambda seen: b"content-length" not in dict(seen.trailers)))
h2("trailers_with_connection", "8.2.2", [*BODY, *headers((b"connection", b"close"))],
   whole_or_malformed(lambda seen: b"connection" not in dict(seen.trailers)))
h2("trailers_upper_case", "8.2.1", [*BODY, *headers((b"X-End", b"1"))], malformed)

# Frames and streams.
h2("data_on_idle_stream", "5.1", [data()], connection_error)
h2("reset_on_idle_stream", "5.1", [frame(RST, 0, 1, b"\0\0\0\x08")], connection_error)
h2("window_on_idle_stream", "5.1", [frame(WINDOW, 0, 1, b"\0\0\0\x08")], connection_error)
h2("even_stream", "5.1.1", headers(*FINE, stream=2), connection_error)
h2("lower_stream", "5.1.1", headers(*FINE, stream=5) + headers(*FINE, stream=3),
   lambda outcome: None if outcome.goaway == PROTOCOL or outcome.closed or outcome.resets.get(3) == STREAM_CLOSED else "no error")
h2("headers_on_closed_stream", "5.1", headers(*FINE) + headers(*FINE), lambda outcome:
   None if outcome.goaway in (STREAM_CLOSED, PROTOCOL) or outcome.resets.get(1) in (STREAM_CLOSED, PROTOCOL) or outcome.closed else "no error")
h2("data_behind_the_end", "5.1", [*headers(*POST), data()], lambda outcome:
   None if outcome.goaway == STREAM_CLOSED or outcome.resets.get(1) == STREAM_CLOSED or outcome.closed else "no error")
h2("data_on_stream_0", "6.1", [data(stream=0)], connection_error)
h2("padding_too_long", "6.1", [*headers(*POST, end=False), frame(DATA, PADDED | END_STREAM, 1, b"\x09abc")], connection_error)
h2("padding_fits", "6.1", [*headers(*POST, end=False), frame(DATA, PADDED | END_STREAM, 1, b"\x03ab\0\0\0")],
   served(lambda seen: seen.body == b"ab"))
h2("headers_on_stream_0", "6.2", headers(*FINE, stream=0), connection_error)
h2("headers_padding_too_long", "6.2", [frame(HEADERS, PADDED | END_HEADERS | END_STREAM, 1, b"\xff" + block(*PSEUDO))],
   connection_error)
h2("priority_of_itself", "5.3.1", [frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"), *headers(*FINE)],
   lambda outcome: None if outcome.by_stream.get(1) == 200 or stream_error(outcome) is None else "neither served nor an error")
h2("priority_wrong_size", "6.3", [frame(PRIORITY, 0, 1, b"\0\0\0\x03")], stream_error)
h2("priority_on_stream_0", "6.3", [frame(PRIORITY, 0, 0, b"\0\0\0\x03\x10")], connection_error)
h2("priority_on_idle_stream", "5.3", [frame(PRIORITY, 0, 3, b"\0\0\0\0\x10"), *headers(*FINE)], served())
h2("reset_wrong_size", "6.4", [*headers(*POST, end=False), frame(RST, 0, 1, b"\0\0\0")], connection_error)
h2("reset_on_stream_0", "6.4", [frame(RST, 0, 0, b"\0\0\0\x08")], connection_error)
h2("settings_ack_with_payload", "6.5", [frame(SETTINGS, ACK, 0, b"\0\x03\0\0\0\x01")], connection_error)
h2("settings_wrong_size", "6.5", [frame(SETTINGS, 0, 0, b"\0\x03\0")], connection_error)
h2("settings_on_a_stream", "6.5", [frame(SETTINGS, 0, 1, b"")], connection_error)
h2("settings_push_2", "6.5.2", [frame(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02")], connection_error)
h2("settings_window_too_large", "6.5.2", [frame(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")], connection_error)
h2("settings_frame_too_small", "6.5.2", [frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01")], connection_error)
h2("settings_frame_too_large", "6.5.2", [frame(SETTINGS, 0, 0, b"\0\x05\x7f\xff\xff\xff")], connection_error)
h2("settings_unknown", "6.5.2", [frame(SETTINGS, 0, 0, b"\x7f\x7f\0\0\0\x01"), *headers(*FINE)], served())
h2("push_promise", "8.4", [frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02" + block(*PSEUDO))], connection_error)
h2("ping", "6.7", [frame(PING, 0, 0, b"12345678")], lambda outcome: None if outcome.pongs == 1 else "no answer")
h2("ping_wrong_size", "6.7", [frame(PING, 0, 0, b"1234567")], connection_error)
h2("ping_on_a_stream", "6.7", [frame(PING, 0, 1, b"12345678")], connection_error)
h2("goaway_on_a_stream", "6.8", [frame(GOAWAY, 0, 1, bytes(8))], connection_error)
h2("window_of_0", "6.9", [frame(WINDOW, 0, 0, bytes(4))], connection_error)
h2("window_of_0_on_a_stream", "6.9", [*headers(*POST, end=False), frame(WINDOW, 0, 1, bytes(4))], stream_error)
h2("window_wrong_size", "6.9", [frame(WINDOW, 0, 0, b"\0\0\x01")], connection_error)
h2("window_overflow", "6.9.1", [frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff")], connection_error)
h2("window_overflow_on_a_stream", "6.9.1", [*headers(*POST, end=False), frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff")], stream_error)
h2("continuation_alone", "6.10", [frame(CONTINUATION, END_HEADERS, 1, block(*PSEUDO))], connection_error)
h2("continuation_interrupted", "6.10", headers(*FINE, flags=0) + [frame(PING, 0, 0, bytes(8))], connection_error)
h2("continuation_of_another", "6.10", headers(*FINE, flags=0) + [frame(CONTINUATION, END_HEADERS, 3)], connection_error)
h2("continuation", "6.10", headers(*FINE, flags=0) + [frame(CONTINUATION, END_HEADERS, 1, block((b"x-more", b"1")))],
   served(lambda seen: seen.one(b"x-more") == b"1"))
h2("frame_too_large", "4.2", [*headers(*POST, end=False), frame(DATA, 0, 1, bytes(20_000))], connection_error)
h2("headers_cut", "4.3", [frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*PSEUDO)[:-3])], connection_error)
h2("index_unknown", "4.3", [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\x7f")], connection_error)
h2("index_0", "7541 6.1", [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80")], connection_error)
h2("table_too_large", "7541 6.3", [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xff\xff\x7f" + block(*PSEUDO))],
   connection_error)
h2("huffman_end_of_string", "7541 5.2", [frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*PSEUDO) + b"\0\x01x\x84\xff\xff\xff\xff")],
   connection_error)
h2("frame_unknown", "5.5", [frame(0x77, 0xFF, 1, b"what"), *headers(*FINE)], served())
h2("flags_unknown", "4.1", [frame(PING, 0xFE, 0, bytes(8)), *headers(*FINE)], served())
h2("reserved_bit", "4.1", [frame(WINDOW, 0, 0x80000000, b"\x80\0\0\x01"), *headers(*FINE)], served())
h2("priority_in_headers", "6.2", [(1, END_HEADERS | END_STREAM | HAS_PRIORITY, FINE)], served())
h2("goaway_then_request", "6.8", [*headers(*FINE), frame(GOAWAY, 0, 0, bytes(8))],
   lambda outcome: None if outcome.by_stream.get(1) == 200 else f"answered {outcome.by_stream}")


def bytes_of(case):
    """What is sent, with the case's name in it."""
    name = case.name.encode()
    if isinstance(case.data, bytes):
        return case.data.replace(b"%C", name)
    out = b""
    for piece in case.data:
        if isinstance(piece, bytes):
            out += piece
            continue
        stream, flags, pairs = piece
        section = block(*((known.replace(b"%C", name), value.replace(b"%C", name)) for known, value in pairs))
        if flags & HAS_PRIORITY:
            section = b"\0\0\0\0\x10" + section
        kind, most = HEADERS, 16_000
        while True:
            rest = section[most:]
            out += frame(kind, flags & ~END_HEADERS if rest else flags, stream, section[:most])
            kind, flags, section = CONTINUATION, flags & END_HEADERS, rest
            if not rest:
                break
    return out
