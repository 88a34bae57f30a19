"""The gate alone: real nginx with a hand-written nginx.conf, an app and a portal of a few lines, and
gate-hand in the authority's place. Standard library only.

    with Gate() as gate:
        token = gate.sign_in(session=1, tenant=1)
        answer = gate.request("/notes", host="acme.localhost", token=token)"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import tempfile
import threading
import time

from harness import BUILD, free_port, wait_until

MODULE = BUILD / "ngx_http_masugata_module.so"
HAND = BUILD / "tests" / "support" / "gate-hand"
JWT = "eyJhbGciOiJFUzI1NiJ9." + "x" * 400 + ".signature"


def session_hash(token):
    """What is kept of a session's token: where to look, then the end of its SHA-256 (src/wire/session_table.h)."""
    return token[:8] + hashlib.sha256(token).digest()[8:]


class Hand:
    """Speaks to gate-hand."""

    def __init__(self, directory, group=None, **sizes):
        self.lock = threading.Lock()
        self.process = subprocess.Popen([str(HAND)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self("open", directory, **sizes, **({"group": group} if group is not None else {}))

    def __call__(self, verb, *words, **values):
        line = " ".join([verb, *map(str, words), *(f"{k.replace('__', '.')}={v}" for k, v in values.items() if v is not None)])
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        assert answer and answer[0] == "ok", f"{line}: {answer}"
        return answer[1:]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def kill(self):
        self.process.kill()
        self.process.wait(10)


class App(http.server.BaseHTTPRequestHandler):
    """Tells what arrived, and can stream."""

    protocol_version = "HTTP/1.1"
    cookies = ()

    def log_message(self, *_):
        pass

    def respond(self, body=b"", status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def take_body(self):
        """Reads the body without keeping it; returns how long it was and its digest."""
        length, digest = 0, hashlib.sha256()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while (size := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                left = size
                while left:
                    data = self.rfile.read(min(left, 1 << 20))
                    left -= len(data)
                    length += len(data)
                    digest.update(data)
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                data = self.rfile.read(min(left, 1 << 20))
                if not data:
                    break
                left -= len(data)
                length += len(data)
                digest.update(data)
        return length, digest.hexdigest()

    def do(self):
        self.server.seen.append((self.command, self.path, self.headers.items()))
        path = self.path.split("?")[0]
        if path == "/sse":
            return self.stream()
        if path == "/ws":
            return self.websocket()
        length, digest = self.take_body()
        if path == "/cookies":
            return self.respond(b"{}", headers=[("Set-Cookie", c) for c in self.server.cookies])
        if path == "/headers":
            return self.respond(b"{}", headers=self.server.headers)
        if path.startswith("/status/"):
            return self.respond(b"the app's own words", status=int(path[8:]))
        body = json.dumps({"method": self.command, "path": self.path, "headers": self.headers.items(), "length": length,
                           "digest": digest}).encode()
        return self.respond(body, headers=[("Content-Type", "application/json")])

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"b\r\ndata: tick\n\r\n")
                time.sleep(0.05)
        except OSError:
            self.server.cut.append(time.monotonic())
            self.close_connection = True

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key).digest()).decode())
        self.end_headers()
        self.close_connection = True
        try:
            while data := self.connection.recv(4096):
                self.connection.sendall(data)
        except OSError:
            pass
        self.server.cut.append(time.monotonic())


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address, handler):
        super().__init__(address, handler)
        self.seen, self.cut, self.cookies, self.headers = [], [], [], []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass


class UnixServer(Server):
    address_family = socket.AF_UNIX


class Portal(App):
    def do(self):
        if self.path.startswith("/.masugata/internal/assertion"):
            self.server.seen.append((self.command, self.path, self.headers.items()))
            self.take_body()
            if self.server.signing:
                self.server.hand("assertion", session=self.headers["X-Masugata-Session"], token=JWT)
            return self.respond(status=204 if self.server.signing else 503)
        if self.server.away:
            self.close_connection = True
            return None
        return super().do()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def get(self, name, preset=None):
        values = self.all(name)
        return values[0] if values else preset

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def json(self):
        return json.loads(self.body)


class Gate:
    """Three hosts: acme.localhost and id.acme.localhost of tenant 1, beta.localhost of tenant 2,
    gone.localhost of the suspended tenant 3, console.localhost of the operators."""

    def __init__(self, workers=2, extra_http="", extra_server="", extra_location="", user=None, tls=True):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mg", dir="/tmp"))
        self.port, self.tls_port = free_port(), free_port()
        self.workers, self.extra = workers, (extra_http, extra_server, extra_location)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.gate_directory = self.directory / "gate"
        self.gate_directory.mkdir(mode=0o750)
        # As root the workers run as an ordinary user who gets in by the group.
        self.user = "www-data" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.directory, group=self.user)
            shutil.chown(self.gate_directory, group=self.user)
            self.directory.chmod(0o750)
        group = self.gate_directory.stat().st_gid if self.user else None
        self.hand = Hand(self.gate_directory, group)
        self.app = Server(("127.0.0.1", 0), App)
        self.portal = UnixServer(str(self.directory / "portal.sock"), Portal)
        (self.directory / "portal.sock").chmod(0o777)
        self.portal.hand, self.portal.signing, self.portal.away = self.hand, True, False
        self.fill_policy()
        self.make_certificate()
        self.write_configuration()
        self.nginx = subprocess.Popen(["nginx", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"),
                                       "-e", str(self.directory / "error.log"), "-g", "daemon off;"])
        wait_until(self.answers, 10, what="nginx")
        return self

    def answers(self):
        assert self.nginx.poll() is None, (self.directory / "error.log").read_text()
        try:
            return self.request("/.well-known/masugata/jwks.json").status == 200
        except OSError:
            return False

    def fill_policy(self):
        hand, upstream = self.hand, f"127.0.0.1:{self.app.server_address[1]}"
        for tenant, state in ((1, 1), (2, 1), (3, 0)):
            hand("tenant", id=tenant, state=state)
        for number, (name, tenant, origin) in enumerate((("acme.localhost", 1, 1), ("id.acme.localhost", 1, 2),
                                                         ("beta.localhost", 2, 1), ("gone.localhost", 3, 1),
                                                         ("console.localhost", 0, 3)), start=1):
            hand("host", id=number, name=name, tenant_id=tenant, origin=origin, upstream=upstream)
        hand("proxies", "127.0.0.77/32")
        hand("publish")

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=gate", "-addext", "subjectAltName=DNS:*.localhost,DNS:id.acme.localhost",
                        "-keyout", self.directory / "key.pem", "-out", self.directory / "certificate.pem"],
                       check=True, capture_output=True)

    def write_configuration(self):
        extra_http, extra_server, extra_location = self.extra
        user = f"user {self.user};" if self.user else ""
        (self.directory / "nginx.conf").write_text(f"""
load_module {MODULE};
{user}
worker_processes {self.workers};

pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log info;
events {{ worker_connections 14000; }}
http {{
    masugata_directory {self.gate_directory};
    access_log {self.directory}/access.log;
    client_body_temp_path {self.directory}/body; proxy_temp_path {self.directory}/proxy;
    fastcgi_temp_path {self.directory}/fastcgi; uwsgi_temp_path {self.directory}/uwsgi; scgi_temp_path {self.directory}/scgi;
    client_max_body_size 0;
    client_header_timeout 2s;
    large_client_header_buffers 4 16k;
    upstream masugata_portal {{ server unix:{self.directory}/portal.sock; keepalive 16; }}
    map $http_upgrade $masugata_connection {{ default upgrade; '' ''; }}
    {extra_http}
    server {{
        listen 127.0.0.1:{self.port} default_server backlog=4096;
        listen 127.0.0.1:{self.tls_port} ssl http2 default_server;
        ssl_certificate {self.directory}/certificate.pem;
        ssl_certificate_key {self.directory}/key.pem;
        masugata on;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $masugata_connection;
        proxy_buffering off;
        proxy_request_buffering off;
        {extra_server}
        location / {{ proxy_pass http://$masugata_upstream; {extra_location} }}
    }}
}}
""")
        (self.directory / "access.log").touch()

    # ---- people and requests ----

    def sign_in(self, session, tenant=1, origin=1, assertion=True, **values):
        """Makes a session and returns its token's text."""
        token = os.urandom(32)
        self.hand("session", id=session, tenant=tenant, origin=origin, token=session_hash(token).hex(), **values)
        if assertion:
            self.hand("assertion", session=session, token=JWT)
        return base64.urlsafe_b64encode(token).decode().rstrip("=")

    def request(self, path, method="GET", host="acme.localhost", token=None, headers=(), body=None, tls=False, source=None):
        if tls:
            context = ssl._create_unverified_context()
            raw = socket.create_connection(("127.0.0.1", self.tls_port), 10)
            connection = http.client.HTTPSConnection(host, timeout=10)
            connection.sock = context.wrap_socket(raw, server_hostname=host)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10,
                                                    source_address=(source, 0) if source else None)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            if host is not None:
                connection.putheader("Host", host)
            for name, value in headers:
                connection.putheader(name, value)
            if token:
                connection.putheader("Cookie", f"__Host-masugata={token}")
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def raw(self, data, seconds=5):
        """Sends bytes as they are and returns everything that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as connection:
            received = b""
            try:
                connection.sendall(data)
                while chunk := connection.recv(65536):
                    received += chunk
            except (OSError, TimeoutError):
                pass
            return received

    def websocket(self, token, origin=None, host="acme.localhost"):
        """An open WebSocket, or the refusing status."""
        connection = socket.create_connection(("127.0.0.1", self.port), 10)
        lines = ["GET /ws HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode(), f"Cookie: __Host-masugata={token}"]
        lines += [f"Origin: {origin}"] if origin else []
        connection.sendall("\r\n".join(lines + ["", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        status = int(head.split()[1])
        if status != 101:
            connection.close()
            return status
        return connection

    def worker_pids(self):
        out = subprocess.run(["ps", "--ppid", str(self.nginx.pid), "-o", "pid="], capture_output=True, text=True, check=True)
        return [int(p) for p in out.stdout.split()]

    def memory_kib(self):
        """Private memory of all workers."""
        total = 0
        for pid in self.worker_pids():
            rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty"))
        return total

    def stop(self):
        if hasattr(self, "nginx"):
            self.nginx.terminate()
            try:
                self.nginx.wait(10)
            except subprocess.TimeoutExpired:
                self.nginx.kill()
        for name in ("app", "portal"):
            if hasattr(self, name):
                getattr(self, name).shutdown()
                getattr(self, name).server_close()
        if hasattr(self, "hand"):
            self.hand.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def frame(text):
    """A masked WebSocket text frame."""
    data, mask = text.encode(), os.urandom(4)
    return struct.pack("!BB", 0x81, 0x80 | len(data)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
