"""One request has one meaning: whatever is sent to nginx as we configure it, by HTTP/1.1 or as HTTP/2 frames, the
application gets exactly what was judged, or nothing. The application is a recorder that takes nothing ambiguous."""

import itertools
import socket
import struct
import subprocess
import time

import pytest

from browser import Browser
from harness import Deployment, wait_until
from http_wire import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, H2, PADDED, PING, PREFACE, PRIORITIZED,
                       PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Recorder, frame, literal, number)

PASSWORD = "a correct horse of seventeen staples"
HOST = "acme.localhost"
serial = itertools.count(1)


class Court:
    """A deployment with two tenants before recorders, and a session of the first."""

    def __init__(self, deployment, app, other):
        self.deployment, self.app, self.other = deployment, app, other
        self.port = deployment.https_port
        browser = Browser(deployment)
        page = browser.sign_in(f"https://{HOST}:{self.port}/", "aiko@acme.example", PASSWORD)
        assert page.status == 200, page.text[:500]
        self.cookie = "__Host-masugata=" + browser.cookies[HOST]["__Host-masugata"]
        self.authority = f"{HOST}:{self.port}"

    def path(self):
        return f"/m/{next(serial)}"

    def arrived(self, path):
        """Everything that the first tenant's application got under this path."""
        return [r for r in self.app.requests if path in r["target"]]

    def raw(self, data, seconds=4):
        """Sends bytes over TLS (HTTP/1.1); returns all that comes back."""
        with self.deployment.context().wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname=HOST) as link:
            link.settimeout(seconds)
            got = b""
            try:
                link.sendall(data)
                while part := link.recv(65536):
                    got += part
            except OSError:
                pass
            return got

    def block(self, path, *more, method="GET", authority=None, order=None):
        """The header block of an ordinary request; `more` are further fields."""
        fields = {":method": method, ":scheme": "https", ":authority": authority or self.authority, ":path": path}
        names = order or list(fields)
        return b"".join(literal(name, fields[name]) for name in names) + literal("cookie", self.cookie) + b"".join(literal(*f) for f in more)

    def h2(self, **more):
        return H2(self.port, HOST, **more)

    def alive(self):
        with self.h2() as link:
            path = self.path()
            link.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, self.block(path)))
            return link.outcome() == 200 and len(self.arrived(path)) == 1


@pytest.fixture(scope="module")
def court():
    app, other = Recorder(), Recorder()
    with Deployment() as deployment:
        deployment.tenant_add("acme", f"127.0.0.1:{app.port}")
        deployment.tenant_add("beta", f"127.0.0.1:{other.port}")
        deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                            "--password-stdin", input=PASSWORD + "\n")
        yield Court(deployment, app, other)
    app.close()
    other.close()


@pytest.fixture(autouse=True)
def nothing_ambiguous(court):
    """After every case: no application got anything that could be read in two ways, or that was smuggled."""
    broken = len(court.app.broken)
    yield
    assert court.app.broken[broken:] == []
    assert court.other.broken == []
    assert not [r for r in court.app.requests + court.other.requests if "smuggled" in r["target"]]
    assert not [r for r in court.other.requests if any(n == "x-masugata-assertion" for n, _ in r["headers"])]


# ---- HTTP/1.1 ----

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: acme.localhost\r\nX-Y: z\r\n\r\n"
# Name: (lines of the head after the cookie, what follows the head, the body that arrives; None: nothing may).
FRAMING = {
    "length and chunks": (["Content-Length: 4", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "chunks and length": (["Transfer-Encoding: chunked", "Content-Length: 4"], b"0\r\n\r\n" + SMUGGLED, None),
    "chunks and zero length": (["Transfer-Encoding: chunked", "Content-Length: 0"], b"5\r\nabcde\r\n0\r\n\r\n", None),
    "two lengths": (["Content-Length: 0", "Content-Length: %d" % len(SMUGGLED)], SMUGGLED, None),
    "two equal lengths": (["Content-Length: 5", "Content-Length: 5"], b"abcde", None),
    "list of lengths": (["Content-Length: 5, 5"], b"abcde", None),
    "signed length": (["Content-Length: +5"], b"abcde", None),
    "negative length": (["Content-Length: -5"], b"abcde", None),
    "hexadecimal length": (["Content-Length: 0x5"], b"abcde", None),
    "length with a fraction": (["Content-Length: 5.0"], b"abcde", None),
    "length beyond 64 bits": (["Content-Length: 18446744073709551621"], b"abcde", None),
    "empty length": (["Content-Length:"], b"", None),
    "length with a tab": (["Content-Length:\t5"], b"abcde", None),
    "space before the colon": (["Content-Length : 5"], b"abcde", None),
    "underscored length": (["Content_Length: 5"], b"abcde" + SMUGGLED, b""),
    "length, then a second request": (["Content-Length: 5"], b"abcde" + SMUGGLED, b"abcde"),
    "leading zeros": (["Content-Length: 005"], b"abcde", b"abcde"),
    "twice chunked": (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "chunked, chunked": (["Transfer-Encoding: chunked, chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "chunked and identity": (["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], b"0\r\n\r\n" + SMUGGLED, None),
    "identity": (["Transfer-Encoding: identity"], b"", None),
    "gzip, chunked": (["Transfer-Encoding: gzip, chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "xchunked": (["Transfer-Encoding: xchunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "quoted": (['Transfer-Encoding: "chunked"'], b"0\r\n\r\n" + SMUGGLED, None),
    "parameter": (["Transfer-Encoding: chunked;q=1"], b"0\r\n\r\n" + SMUGGLED, None),
    "vertical tab": (["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "zero byte": (["Transfer-Encoding: chunked\x00"], b"0\r\n\r\n" + SMUGGLED, None),
    "carriage return inside": (["Transfer-Encoding: chu\rnked"], b"0\r\n\r\n" + SMUGGLED, None),
    "folded": (["Transfer-Encoding:", " chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "folded after another": (["X-A: b", " Transfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "hidden by a bare carriage return": (["X-A: b\rTransfer-Encoding: chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "space before chunked's colon": (["Transfer-Encoding : chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "no colon": (["Transfer-Encoding chunked"], b"0\r\n\r\n" + SMUGGLED, None),
    "capitals": (["Transfer-Encoding: CHUNKED"], b"5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "trailing space": (["Transfer-Encoding: chunked "], b"5\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "chunks": (["Transfer-Encoding: chunked"], b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
    "an extension": (["Transfer-Encoding: chunked"], b"5;a=b\r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "a quoted extension with a line end": (["Transfer-Encoding: chunked"], b'5;a="\r\n"\r\nabcde\r\n0\r\n\r\n', None),
    "an extension with a bare line feed": (["Transfer-Encoding: chunked"], b"5;a\nabcde\r\n0\r\n\r\n" + SMUGGLED, b"abcde"),
    "trailers": (["Transfer-Encoding: chunked"], b"5\r\nabcde\r\n0\r\nX-Masugata-Assertion: forged\r\nContent-Length: 9\r\n\r\n", b"abcde"),
    "negative chunk": (["Transfer-Encoding: chunked"], b"-1\r\n" + SMUGGLED, None),
    "chunk of 0x": (["Transfer-Encoding: chunked"], b"0x5\r\nabcde\r\n0\r\n\r\n", None),
    "chunk beyond 64 bits": (["Transfer-Encoding: chunked"], b"10000000000000005\r\nabcde\r\n0\r\n\r\n", None),
    "chunk too short": (["Transfer-Encoding: chunked"], b"3\r\nabcde\r\n0\r\n\r\n", None),
    "chunk without its end": (["Transfer-Encoding: chunked"], b"5\r\nabcde0\r\n\r\n" + SMUGGLED, None),
    "chunk size with a space": (["Transfer-Encoding: chunked"], b"5 \r\nabcde\r\n0\r\n\r\n", b"abcde"),
    "no size": (["Transfer-Encoding: chunked"], b"\r\nabcde\r\n0\r\n\r\n", None),
}


@pytest.mark.parametrize("case", FRAMING)
def test_a_body_has_one_length(court, case):
    """CL.TE, TE.CL, TE.TE and their disguises. nginx writes its own framing to the application, so a variant that it
    accepts arrives in the plain form, with the one body; the rest is refused and never arrives whole."""
    lines, body, arrives = FRAMING[case]
    path = court.path()
    head = "\r\n".join([f"POST {path} HTTP/1.1", f"Host: {court.authority}", f"Cookie: {court.cookie}", *lines, "Connection: close", "", ""])
    raw = court.raw(head.encode("latin-1") + body)
    seen = court.arrived(path)
    if arrives is None:
        assert seen == []
        assert raw == b"" or raw[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 411", b"HTTP/1.1 413", b"HTTP/1.1 501", b"HTTP/1.1 502"), raw[:300]
    else:
        assert [request["body"] for request in seen] == [arrives]
        assert raw.startswith(b"HTTP/1.1 200") and raw.count(b"HTTP/1.1 ") == 1, raw[:300]


HEADS = {
    "line feeds only": "GET {path} HTTP/1.1\nHost: {authority}\nCookie: {cookie}\nConnection: close\n\n",
    "bare line feed before a header": "GET {path} HTTP/1.1\r\nHost: {authority}\nX-Forwarded-Email: root\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "obsolete folding": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nX-A: b\r\n\tc\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "folded host": "GET {path} HTTP/1.1\r\nHost:\r\n {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "two hosts": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nHost: beta.localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "two equal hosts": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "no host": "GET {path} HTTP/1.1\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "absolute form": "GET https://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "absolute form, other host": "GET https://{authority}{path} HTTP/1.1\r\nHost: beta.localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "other absolute form": "GET https://beta.localhost{path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "absolute form with a user": "GET https://beta.localhost@{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "host with a user": "GET {path} HTTP/1.1\r\nHost: beta.localhost@{authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "host with a path": "GET {path} HTTP/1.1\r\nHost: {authority}/x\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "host in capitals with a dot": "GET {path} HTTP/1.1\r\nHost: ACME.localhost.:{port}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "other port": "GET {path} HTTP/1.1\r\nHost: acme.localhost:22\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "version 1.0": "GET {path} HTTP/1.0\r\nHost: {authority}\r\nCookie: {cookie}\r\n\r\n",
    "version 1.0 with chunks": "POST {path} HTTP/1.0\r\nHost: {authority}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "version 0.9": "GET {path}\r\n",
    "version 1.2": "GET {path} HTTP/1.2\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "version 3.0": "GET {path} HTTP/3.0\r\nHost: {authority}\r\nCookie: {cookie}\r\n\r\n",
    "two spaces": "GET  {path}  HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "space in the target": "GET {path} HTTP/1.1 HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "tab in the line": "GET\t{path}\tHTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "empty lines before": "\r\n\r\nGET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "fragment": "GET {path}#@beta.localhost HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "connection names our header": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close, X-Masugata-Assertion\r\n\r\n",
    "connection names the host": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close, Host, Cookie\r\n\r\n",
    "te and trailer": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nTE: trailers, chunked\r\nTrailer: Host\r\nConnection: close\r\n\r\n",
    "upgrade to h2c": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "upgrade to TLS": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: Upgrade, close\r\nUpgrade: TLS/1.0, websocket\r\n\r\n",
    "two cookies lines": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: __Host-masugata=x; a=b\r\nCookie: {cookie}; c=d\r\nConnection: close\r\n\r\n",
    "invalid UTF-8": "GET {path}\xff\xfe HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "overlong host": "GET {path} HTTP/1.1\r\nHost: " + "a" * 9000 + ".localhost\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
    "method override": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nX-HTTP-Method-Override: DELETE\r\nConnection: close\r\n\r\n",
    "get with a body": "GET {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "expect": "POST {path} HTTP/1.1\r\nHost: {authority}\r\nCookie: {cookie}\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
}


@pytest.mark.parametrize("case", HEADS)
def test_a_head_has_one_reading(court, case):
    path = court.path()
    raw = court.raw(HEADS[case].format(path=path, authority=court.authority, cookie=court.cookie, port=court.port).encode("latin-1"), 3)
    seen = court.arrived(path)
    assert len(seen) <= 1
    if not seen:
        status = raw[9:12]
        assert raw == b"" or status in (b"400", b"401", b"404", b"405", b"411", b"414", b"421", b"501", b"505", b"503", b"303", b"302") or \
            raw.lstrip().startswith(b"<"), raw[:200]
        return
    request = seen[0]
    assert raw.startswith((b"HTTP/1.1 200", b"HTTP/1.1 100")), raw[:200]
    assert request["host"].split(":")[0].rstrip(".").lower() == HOST
    assert request["target"].split("?")[0] == path or case == "fragment" and request["target"].split("#")[0] == path
    names = [name for name, _ in request["headers"]]
    assert names.count("x-masugata-assertion") == 1 and "x-forwarded-email" not in names
    assert "__Host-masugata" not in str(request["headers"])
    assert not {"upgrade", "http2-settings"} & set(names)  # an app that changed to h2c would take requests unjudged


def test_what_follows_a_request_is_a_request_of_its_own(court):
    """A second one on the same connection is judged by itself: without the cookie it does not pass."""
    one, two = court.path(), court.path()
    raw = court.raw(f"POST {one} HTTP/1.1\r\nHost: {court.authority}\r\nCookie: {court.cookie}\r\nContent-Length: 5\r\n\r\nabcde"
                    f"GET {two} HTTP/1.1\r\nHost: {court.authority}\r\nConnection: close\r\n\r\n".encode())
    assert raw.count(b"HTTP/1.1 ") == 2 and len(court.arrived(one)) == 1 and court.arrived(two) == []


# ---- HTTP/2 ----

def test_an_ordinary_request_over_http2_arrives(court):
    assert court.alive()


ERRORS = {  # of the connection: these frames, after a good start, end it (RFC 9113 section 5.4.1)
    "data on stream 0": frame(DATA, 0, 0, b"x"),
    "headers on stream 0": frame(HEADERS, END_HEADERS | END_STREAM, 0, b"\x82"),
    "headers on an even stream": frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82"),
    "continuation of nothing": frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
    "something between headers and continuation": frame(HEADERS, END_STREAM, 1, b"\x82") + frame(PING, 0, 0, bytes(8)),
    "continuation of another stream": frame(HEADERS, END_STREAM, 1, b"\x82") + frame(CONTINUATION, END_HEADERS, 3, b"\x86"),
    "push promise": frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + b"\x82"),
    "a frame announced as 16 MiB": frame(HEADERS, END_HEADERS, 1, b"", length=0xFFFFFF) + b"\x82" * 30000,
    "settings of 5 bytes": frame(SETTINGS, 0, 0, bytes(5)),
    "settings on a stream": frame(SETTINGS, 0, 1, bytes(6)),
    "settings acknowledged with a payload": frame(SETTINGS, ACK, 0, bytes(6)),
    "settings with a window beyond 31 bits": frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)),
    "settings with frames of 1 byte": frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1)),
    "ping of 7 bytes": frame(PING, 0, 0, bytes(7)),
    "window update of 3 bytes": frame(WINDOW_UPDATE, 0, 0, bytes(3)),
    "window update of nothing": frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "window beyond 31 bits": frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "priority of 4 bytes": frame(PRIORITY, 0, 1, bytes(4)),
    "reset of 3 bytes": frame(RST_STREAM, 0, 1, bytes(3)),
    "reset of stream 0": frame(RST_STREAM, 0, 0, bytes(4)),
    "goaway of 3 bytes": frame(GOAWAY, 0, 0, bytes(3)),
    "padding longer than the frame": frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82"),
    "index 0": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"),
    "an index beyond the table": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\x80\x01"),
    "an index without end": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 12),
    "a table larger than allowed": frame(HEADERS, END_HEADERS | END_STREAM, 1, number(1 << 20, 5, 0x20) + b"\x82"),
    "a text longer than the block": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x7f\x00abc"),
    "a text of 4 GiB": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00" + number(1 << 32, 7) + b"abc"),
    "Huffman code that ends in the middle": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x81\x00\x81\x00"),
    "Huffman code of the end mark": frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x84\xff\xff\xff\xff\x01a"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_frame_that_is_wrong_ends_the_connection(court, case):
    count = len([r for r in court.app.requests if "/m/" in r["target"]])
    with court.h2() as link:
        link.send(ERRORS[case])
        outcome = link.outcome(1, 3)
        assert outcome == "ended" or outcome == 400 or isinstance(outcome, tuple) and outcome[1] != 0, outcome
    assert len([r for r in court.app.requests if "/m/" in r["target"]]) == count


def test_data_of_a_stream_that_is_not_there_is_thrown_away(court):
    """nginx 1.22 overlooks what RFC 9113 section 5.1 calls an error; nothing of it arrives."""
    count = len(court.app.requests)
    path = court.path()
    with court.h2() as link:
        link.send(frame(DATA, END_STREAM, 5, b"x") + frame(DATA, 0, 5, b"x" * 16385))
        link.send(frame(HEADERS, END_HEADERS | END_STREAM, 7, court.block(path)))
        assert link.outcome(7) == 200
    assert [r["body"] for r in court.app.requests[count:] if "/m/" in r["target"]] == [b""]


@pytest.mark.parametrize("preface", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"GET / HTTP/1.1\r\nHost: acme.localhost\r\n\r\n",
                                     b"\x16\x03\x01" + bytes(40), PREFACE[:-1] + b"\r\n"])
def test_a_wrong_preface_opens_nothing(court, preface):
    count = len(court.app.requests)
    with court.h2(start=False) as link:
        link.send(preface + frame(SETTINGS) + frame(HEADERS, END_HEADERS | END_STREAM, 1, court.block("/m/preface")))
        assert link.outcome(1, 3) in ("ended", ("goaway", 1)) or link.outcome(1, 1) in ("ended", ("goaway", 1))
    assert not [r for r in court.app.requests[count:] if "/m/" in r["target"]]


# Name: fields after the ordinary ones, or a function that makes the whole block.
MALFORMED = {
    "no method": lambda c, p: c.block(p, order=[":scheme", ":authority", ":path"]),
    "no path": lambda c, p: c.block(p, order=[":method", ":scheme", ":authority"]),
    "no scheme": lambda c, p: c.block(p, order=[":method", ":authority", ":path"]),
    "no authority": lambda c, p: c.block(p, order=[":method", ":scheme", ":path"]),
    "two paths": lambda c, p: literal(":path", "/m/first") + c.block(p),
    "two methods": lambda c, p: literal(":method", "POST") + c.block(p),
    "two authorities": lambda c, p: literal(":authority", "beta.localhost") + c.block(p),
    "two schemes": lambda c, p: literal(":scheme", "http") + c.block(p),
    "pseudo-header after a field": lambda c, p: literal("a", "b") + c.block(p),
    "unknown pseudo-header": lambda c, p: literal(":protocol", "websocket") + c.block(p),
    "status in a request": lambda c, p: literal(":status", "200") + c.block(p),
    "empty path": lambda c, p: c.block(""),
    "path without a slash": lambda c, p: c.block(p[1:]),
    "path with a line end": lambda c, p: c.block(p + " HTTP/1.1\r\nX-Masugata-Assertion: forged\r\nX-A: b"),
    "path with a space": lambda c, p: c.block(p + " HTTP/1.1"),
    "path with a zero": lambda c, p: c.block(p + "\0"),
    "method with a line end": lambda c, p: c.block(p, method="GET /smuggled HTTP/1.1\r\nHost: acme.localhost\r\n\r\nGET"),
    "method with a space": lambda c, p: c.block(p, method="GET /smuggled"),
    "lower-case method": lambda c, p: c.block(p, method="get"),
    "authority with a user": lambda c, p: c.block(p, authority="beta.localhost@" + c.authority),
    "authority with a line end": lambda c, p: c.block(p, authority=c.authority + "\r\nX-A: b"),
    "authority with a path": lambda c, p: c.block(p, authority=c.authority + "/x"),
    "other authority": lambda c, p: c.block(p, authority="beta.localhost:%d" % c.port),
    "host differs from authority": lambda c, p: c.block(p, ("host", "beta.localhost")),
    "two hosts": lambda c, p: c.block(p, ("host", c.authority), ("host", "beta.localhost"), order=[":method", ":scheme", ":path"]),
    "capital in a name": lambda c, p: c.block(p, ("X-Masugata-Assertion", "forged")),
    "name with a colon": lambda c, p: c.block(p, ("a:b", "c")),
    "name with a space": lambda c, p: c.block(p, ("a b", "c")),
    "name with a line end": lambda c, p: c.block(p, ("a\r\nx-masugata-assertion: forged\r\nb", "c")),
    "name that is empty": lambda c, p: c.block(p, ("", "c")),
    "value with a line end": lambda c, p: c.block(p, ("a", "b\r\nX-Masugata-Assertion: forged")),
    "value with a line feed": lambda c, p: c.block(p, ("a", "b\nX-Masugata-Assertion: forged")),
    "value with a zero": lambda c, p: c.block(p, ("a", "b\0c")),
    "connection": lambda c, p: c.block(p, ("connection", "x-masugata-assertion, close")),
    "keep-alive": lambda c, p: c.block(p, ("keep-alive", "1")),
    "upgrade": lambda c, p: c.block(p, ("upgrade", "websocket"), ("connection", "upgrade")),
    "transfer-encoding": lambda c, p: c.block(p, ("transfer-encoding", "chunked")),
    "te": lambda c, p: c.block(p, ("te", "trailers, gzip")),
    "our header": lambda c, p: c.block(p, ("x-masugata-assertion", "forged"), ("x_masugata_assertion", "forged")),
    "lengths that differ": lambda c, p: c.block(p, ("content-length", "1"), ("content-length", "2")),
    "length that is no number": lambda c, p: c.block(p, ("content-length", "1 \r\n")),
    "invalid UTF-8 in the path": lambda c, p: c.block(p + "\xff"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_head_is_refused_or_harmless(court, case):
    """RFC 9113 section 8: nginx writes an HTTP/1.1 request of it, so nothing of it may become a line there."""
    path = court.path()
    with court.h2() as link:
        link.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, MALFORMED[case](court, path)))
        outcome = link.outcome(1, 4)
    seen = court.arrived(path)
    if not seen:
        assert outcome == "ended" or isinstance(outcome, tuple) or 400 <= outcome < 600 or outcome in (302, 303), outcome
        return
    assert outcome == 200 and len(seen) == 1
    request = seen[0]
    assert request["target"] == path and request["method"] == "GET" and request["host"].split(":")[0] == HOST and request["body"] == b""
    assertions = [value for name, value in request["headers"] if name == "x-masugata-assertion"]
    assert len(assertions) == 1 and assertions[0].count(".") == 2
    names = [name for name, _ in request["headers"]]
    assert not {"keep-alive", "transfer-encoding"} & set(names)


@pytest.mark.parametrize("length, sent", [("5", b""), ("5", b"abc"), ("3", b"abcde"), ("0", b"a"), ("5", b"abcde")])
def test_a_length_must_be_the_length(court, length, sent):
    path = court.path()
    with court.h2() as link:
        link.send(frame(HEADERS, END_HEADERS, 1, court.block(path, ("content-length", length), method="POST")) +
                  frame(DATA, END_STREAM, 1, sent))
        outcome = link.outcome(1, 4)
    if len(sent) == int(length):
        assert outcome == 200 and court.arrived(path)[0]["body"] == sent
    else:
        assert outcome == "ended" or isinstance(outcome, tuple) or 400 <= outcome < 600, outcome
        # What the length promised may have gone on before the rest came: nothing, then, if it promised nothing.
        assert [r["body"] for r in court.arrived(path)] in ([], [b""] if length == "0" else [])


def test_odd_but_good_frames_are_taken(court):
    """Padding, priorities, unknown kinds and settings, a header split at every byte: all of it is allowed."""
    path = court.path()
    block = court.block(path)
    with court.h2() as link:
        link.send(frame(0xEE, 0xFF, 0, b"unknown") + frame(SETTINGS, 0, 0, struct.pack(">HI", 0xAAAA, 7)) + frame(PRIORITY, 0, 3, bytes(5)))
        link.send(frame(HEADERS, END_STREAM | PADDED | PRIORITIZED, 1, b"\x02" + bytes(4) + b"\x10" + block[:1] + b"\0\0"))
        for byte in block[1:-1]:
            link.send(frame(CONTINUATION, 0, 1, bytes((byte,))))
        link.send(frame(CONTINUATION, END_HEADERS, 1, block[-1:]))
        assert link.outcome() == 200
    assert len(court.arrived(path)) == 1


# ---- floods: bounded, and the others do not notice ----

def workers_kib(court):
    parent = (court.deployment.directory / "nginx/nginx.pid").read_text().strip()
    pids = subprocess.run(["pgrep", "-P", parent], capture_output=True, text=True).stdout.split()
    return sum(int(line.split()[1]) for pid in pids for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


def flood(court, pieces):
    """Sends pieces until the other side hangs up or all are sent; returns (bytes sent, ended, growth in KiB)."""
    before, highest, sent = workers_kib(court), 0, 0
    with court.h2() as link:
        link.socket.settimeout(5)
        for index, piece in enumerate(pieces):
            if not link.send(piece):
                break
            sent += len(piece)
            if index % 50 == 0:
                highest = max(highest, workers_kib(court))
        else:
            link.read(lambda f: f[0] == GOAWAY, 1)
            highest = max(highest, workers_kib(court))
            return sent, link.ended or any(f[0] == GOAWAY for f in link.frames), highest - before
    return sent, True, highest - before


def resets(court, count):
    block = court.block("/m/reset")
    for first in range(0, count, 100):
        yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, block) + frame(RST_STREAM, 0, 2 * n + 1, struct.pack(">I", 8))
                       for n in range(first, first + 100))


def bomb(court, streams=20):
    """One field of 4,000 bytes in the table, then named 4,000 times in each header block."""
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, court.block("/m/bomb") + literal("x-bomb", "b" * 3900, indexed=True))
    for n in range(1, streams):
        yield frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, court.block("/m/bomb") + b"\xbe" * 4000)


FLOODS = {  # name: (what is sent, must the connection end)
    "continuations without end": (lambda c: [frame(HEADERS, END_STREAM, 1, b"")] + [frame(CONTINUATION, 0, 1, literal("a", "b" * 1000)) for _ in range(2000)], True),
    "empty continuations": (lambda c: [frame(HEADERS, END_STREAM, 1, b"")] + [frame(CONTINUATION, 0, 1, b"") * 500 for _ in range(100)], False),
    "rapid resets": (lambda c: resets(c, 5000), False),
    "settings": (lambda c: [frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 1)) * 200 for _ in range(200)], False),
    "pings": (lambda c: [frame(PING, 0, 0, bytes(8)) * 200 for _ in range(200)], False),
    "priorities": (lambda c: [frame(PRIORITY, 0, 2 * n + 1, bytes(5)) * 200 for n in range(200)], False),
    "empty data": (lambda c: [frame(HEADERS, END_HEADERS, 1, c.block("/m/empty", method="POST"))] + [frame(DATA, 0, 1, b"") * 200 for _ in range(200)], False),
    "a table that is a bomb": (bomb, False),
}


@pytest.mark.parametrize("case", FLOODS)
def test_a_flood_is_bounded_and_others_do_not_notice(court, case):
    make, must_end = FLOODS[case]
    sent, ended, growth = flood(court, make(court))
    assert growth < 16 << 10, f"{growth} KiB more after {sent} bytes"
    assert ended or not must_end
    started = time.monotonic()
    assert court.alive()
    assert time.monotonic() - started < 2
    wait_until(lambda: workers_kib(court) > 0, 5)
    print(f"{case}: {sent} bytes, ended {ended}, {growth} KiB")
