"""HTTP by hand, for tests of meaning: an upstream that records what really arrives and takes nothing that is not
plainly one request, and HTTP/2 frames as bytes (RFC 9113, RFC 7541). Standard library only."""

import re
import socket
import ssl
import struct
import threading
import time

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


class Ambiguous(Exception):
    pass


class Recorder:
    """An HTTP/1.1 upstream as strict as RFC 9112 allows: what two readers could read in two ways is kept in
    `broken` and answered with an end of the connection; the rest is kept in `requests`, what the deployment's own
    prober asks (whenever it likes, signed in as its probe accounts) in `probes`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.requests, self.probes, self.broken, self.cut = [], [], [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb", 65536) as stream:
            connection.settimeout(30)
            head = b""
            try:
                while head := self.head(stream):
                    request = self.request(head, stream)
                    (self.probes if ("user-agent", "Masugata prober") in request["headers"] else self.requests).append(request)
                    body = b"ok %d" % len(request["body"])
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) +
                                       (b"" if request["method"] == "HEAD" else body))
            except Ambiguous as why:
                self.broken.append((str(why), head))
            except EOFError:
                self.cut.append(head)  # begun, and ended by the proxy before it was whole
            except OSError:
                pass

    @staticmethod
    def head(stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline(70000)
            if not line:
                if head:
                    raise EOFError
                return b""
            head += line
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
                raise Ambiguous(f"line {line!r}")
        return head

    def request(self, head, stream):
        first, *lines = head[:-4].split(b"\r\n")
        parts = first.split(b" ")
        if len(parts) != 3 or parts[2] not in (b"HTTP/1.0", b"HTTP/1.1") or not TOKEN.match(parts[0]):
            raise Ambiguous(f"request line {first!r}")
        headers = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.match(name):
                raise Ambiguous(f"header {line!r}")
            headers.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
        return {"method": parts[0].decode(), "target": parts[1].decode("latin-1"), "headers": headers,
                "host": self.one(headers, "host"), "body": self.body(headers, stream)}

    @staticmethod
    def one(headers, name):
        values = [v for n, v in headers if n == name]
        if len(values) != 1:
            raise Ambiguous(f"{len(values)} of {name}")
        return values[0]

    def body(self, headers, stream):
        names = [n for n, _ in headers]
        if "transfer-encoding" in names:
            if "content-length" in names or self.one(headers, "transfer-encoding") != "chunked":
                raise Ambiguous(f"framing {headers}")
            return self.chunks(stream)
        if "content-length" not in names:
            return b""
        length = self.one(headers, "content-length")
        if not re.match(r"[0-9]{1,15}\Z", length):
            raise Ambiguous(f"length {length}")
        body = stream.read(int(length))
        if len(body) != int(length):
            raise EOFError
        return body

    @staticmethod
    def chunks(stream):
        body = b""
        while True:
            line = stream.readline(1000)
            if not line:
                raise EOFError
            if not re.match(rb"[0-9a-fA-F]{1,8}\r\n\Z", line):
                raise Ambiguous(f"chunk {line!r}")
            size = int(line, 16)
            data = stream.read(size + 2)
            if len(data) < size + 2:
                raise EOFError
            if data[-2:] != b"\r\n":
                raise Ambiguous("chunk without its end, or trailers")
            if size == 0:
                return body
            body += data[:-2]


# ---- HTTP/2 ----

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 0x20, 1
STATUS = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    return struct.pack(">I", length if length is not None else len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def number(value, bits, first=0):
    """An integer of RFC 7541 section 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out, value = bytes((first | most,)), value - most
    while value >= 128:
        out, value = out + bytes((value % 128 + 128,)), value // 128
    return out + bytes((value,))


def text(value):
    data = value if isinstance(value, bytes) else value.encode("latin-1")
    return number(len(data), 7) + data


def literal(name, value, indexed=False):
    """A field that is neither Huffman-coded nor looked up: RFC 7541 section 6.2."""
    return (b"\x40" if indexed else b"\x00") + text(name) + text(value)


class H2:
    """One connection to the gate; `settings` are exchanged on opening unless told otherwise."""

    def __init__(self, port, name, preface=PREFACE, settings=b"", start=True):
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        raw = socket.create_connection(("127.0.0.1", port), 10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname=name)
        assert self.socket.selected_alpn_protocol() == "h2"
        self.buffer, self.frames, self.ended = b"", [], False
        if start:
            self.send(preface + frame(SETTINGS, payload=settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """True unless the other side has hung up."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def read(self, until, seconds=5):
        """Frames until `until(frame)` or the end of the connection; every frame is (kind, flags, stream, payload)."""
        deadline = time.monotonic() + seconds
        while True:
            while len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + length:
                    break
                got = (self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF, self.buffer[9:9 + length])
                self.buffer = self.buffer[9 + length:]
                self.frames.append(got)
                if until(got):
                    return got
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return None
            self.buffer += data

    def outcome(self, stream=1, seconds=5):
        """What became of a stream: its status, ("reset", code), ("goaway", code), "ended" or "nothing"."""
        got = self.read(lambda f: f[0] == GOAWAY or (f[2] == stream and f[0] in (HEADERS, RST_STREAM)), seconds)
        if got is None:
            return "ended" if self.ended else "nothing"
        kind, flags, _, payload = got
        if kind == GOAWAY:
            return ("goaway", int.from_bytes(payload[4:8], "big"))
        if kind == RST_STREAM:
            return ("reset", int.from_bytes(payload[:4], "big"))
        while payload[0] & 0xE0 == 0x20:  # a change of the table's size comes first
            payload = payload[1:]
        if payload[0] in STATUS:
            return STATUS[payload[0]]
        return int(re.search(rb"\x03([0-9]{3})", payload[:12]).group(1))

    def ended_cleanly(self, seconds=5):
        self.read(lambda _: False, seconds)
        return self.ended
