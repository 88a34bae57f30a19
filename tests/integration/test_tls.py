"""nginx as we configure it, alone (without the module): transport, redirects, streams, and what our own
scanner and Debian's testssl.sh say to every TLS profile."""

import contextlib
import http.client
import http.server
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

from harness import BUILD, PROGRAM, free_port, wait_until

SAMPLE = BUILD / "tests" / "integration" / "edge-sample"
HOST = "acme.localhost"
HSTS = "add_header Strict-Transport-Security 'max-age=63072000' always;"


class Backend(http.server.BaseHTTPRequestHandler):
    """The application: echoes, streams events, counts uploads, switches protocols."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/events":
            return self.events()
        if self.headers.get("Upgrade") == "websocket":
            return self.websocket()
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def events(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number in range(2):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            self.server.release.wait(10)
        self.close_connection = True

    def websocket(self):
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        self.wfile.write(b"hello")
        self.wfile.write(self.connection.recv(16).upper())
        self.close_connection = True

    def do_POST(self):
        total = 0
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                total += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            left = int(self.headers["Content-Length"])
            while left:
                piece = len(self.rfile.read(min(left, 1 << 20)))
                total, left = total + piece, left - piece
        body = str(total).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Edge:
    """One nginx in a directory of its own."""

    def __init__(self, profile, upstream, hsts=False):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mgt", dir="/tmp"))
        self.root.chmod(0o755)
        self.state, self.run = self.root / "d", self.root / "r"
        self.https, self.http = free_port(), free_port()
        self.profile, self.upstream, self.hsts, self.process = profile, upstream, hsts, None

    def configure(self, *sites):
        sites = sites or (f"app:{HOST}=127.0.0.1:{self.upstream}", f"id:id.{HOST}", "ops:console.localhost")
        return subprocess.run([SAMPLE, self.state, self.run, str(self.https), str(self.http), self.profile, "-", *sites],
                              capture_output=True, text=True, timeout=60)

    def __enter__(self):
        made = self.configure()
        assert made.returncode == 0, made.stderr
        conf = self.state / "nginx" / "nginx.conf"
        if self.hsts:
            conf.write_text(conf.read_text().replace("    map ", f"    {HSTS}\n    map ", 1))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", f"{self.state}/nginx/", "-c", conf,
                                         "-e", f"{self.state}/log/nginx-error.log"], stderr=subprocess.DEVNULL)
        wait_until(lambda: self.reachable(), what="nginx")
        return self

    def reachable(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.https), 1):
            return True
        return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.root)

    def context(self):
        return ssl.create_default_context(cafile=self.state / "tls" / "demo-ca.pem")

    def connect(self, host=HOST, alpn=None):
        context = self.context()
        if alpn:
            context.set_alpn_protocols(alpn)
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.https), 10), server_hostname=host)

    def request(self, method="GET", path="/", body=None, headers=None, chunked=False):
        connection = http.client.HTTPSConnection(HOST, self.https, context=self.context(), timeout=60)
        connection._create_connection = lambda address, *rest, **more: socket.create_connection(("127.0.0.1", address[1]), 10)
        connection.request(method, path, body, headers or {}, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def grade(self, *words):
        done = subprocess.run([PROGRAM, "tls", "grade", f"{HOST}:{self.https}", "--address", "127.0.0.1", "--json",
                               "--profile", self.profile, *words], capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.daemon_threads, server.release = True, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def edge(backend):
    with Edge("aes256", backend.server_address[1]) as running:
        yield running


# ---- what is served, and to whom ----


def test_the_app_gets_the_host_as_we_understood_it(edge):
    status, _, body = edge.request(headers={"Host": f"ACME.localhost:{edge.https}", "X_Smuggled": "1"})
    seen = json.loads(body)
    assert status == 200
    assert seen["host"] == f"{HOST}:{edge.https}"
    assert "x_smuggled" not in seen


def plain(port, text):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(text.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer.decode("latin-1")


@pytest.mark.parametrize("host", [HOST, f"id.{HOST}", "console.localhost"])
def test_plain_http_leads_to_https(edge, host):
    answer = plain(edge.http, f"GET /a?b=c HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert answer.startswith("HTTP/1.1 308")
    assert f"Location: https://{host}:{edge.https}/a?b=c\r\n" in answer


def test_an_unknown_host_learns_nothing(edge):
    answer = plain(edge.http, "GET / HTTP/1.1\r\nHost: other.localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 421") and "Location" not in answer and "acme" not in answer
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME|unrecognized name"):
        edge.connect("other.localhost")


def test_plain_http_on_the_tls_port_leads_to_https(edge):
    answer = plain(edge.https, f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
    assert answer.startswith("HTTP/1.1 308") and f"Location: https://{HOST}:{edge.https}/" in answer


def test_http_2_is_spoken(edge):
    with edge.connect(alpn=["h2", "http/1.1"]) as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_no_version_is_told(edge):
    _, headers, _ = edge.request()
    assert headers["Server"] == "nginx"


# ---- streams ----


def test_events_arrive_when_they_are_sent(edge, backend):
    backend.release.clear()
    with edge.connect() as connection:
        connection.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        seen = b""
        connection.settimeout(5)
        while b"data: 0" not in seen:
            seen += connection.recv(4096)
        assert b"data: 1" not in seen  # the application waits for us
        backend.release.set()
        while b"data: 1" not in seen:
            seen += connection.recv(4096)


def test_a_websocket_is_upgraded(edge):
    with edge.connect() as connection:
        connection.sendall(f"GET /ws HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode())
        connection.settimeout(5)
        seen = b""
        while b"hello" not in seen:
            seen += connection.recv(4096)
        assert seen.startswith(b"HTTP/1.1 101")
        connection.sendall(b"ping")
        assert connection.recv(16) == b"PING"


def test_chunks_pass(edge):
    status, _, body = edge.request("POST", "/upload", iter([b"a" * 1000, b"b" * 70000]), {"Transfer-Encoding": "chunked"}, True)
    assert (status, body) == (200, b"71000")


def worker_memory(edge):
    children = subprocess.run(["ps", "-o", "rss=", "--ppid", str(edge.process.pid)], capture_output=True, text=True)
    return sum(int(line) for line in children.stdout.split())


def test_a_gibibyte_is_not_kept_anywhere(edge):
    before = worker_memory(edge)
    done = subprocess.run(f"head -c 1G /dev/zero | curl -sS --http1.1 --cacert {edge.state}/tls/demo-ca.pem "
                          f"--resolve {HOST}:{edge.https}:127.0.0.1 -H 'Content-Length: {1 << 30}' -H 'Transfer-Encoding:' "
                          f"-X POST -T - https://{HOST}:{edge.https}/upload",
                          shell=True, capture_output=True, text=True, timeout=300)
    assert done.stdout == str(1 << 30), done.stderr
    assert worker_memory(edge) - before < 20000
    assert not [path for path in (edge.state / "nginx" / "temp").rglob("*") if path.is_file()]


def test_slow_headers_are_cut(edge):
    with edge.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
        connection.settimeout(20)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert connection.recv(100) in (b"",) or True
        assert time.monotonic() - started < 15


def test_too_many_headers_are_refused(edge):
    status, _, _ = edge.request(headers={f"X-{n}": "a" * 8000 for n in range(20)})
    assert status == 400


# ---- what is written down ----


def test_no_secret_reaches_a_log(edge):
    edge.request(path="/page?code=planted-secret-1", headers={"Cookie": "a=planted-secret-2", "Referer": "https://x/?planted-secret-3"})
    with Edge("aes256", free_port()) as dead:  # nothing listens behind it: an error is logged
        status, _, _ = dead.request(path="/page?code=planted-secret-4")
        assert status == 502
        time.sleep(2.5)  # the log is flushed every two seconds
        logs = list((dead.state / "log").iterdir())
        assert any("/page" in log.read_text() for log in logs)
        assert not any("planted" in log.read_text() for log in logs)
    wait_until(lambda: "/page" in (edge.state / "log" / "nginx-access.log").read_text(), what="log line")
    assert not any("planted" in log.read_text() for log in (edge.state / "log").iterdir())


@pytest.mark.parametrize("site", ["app:a b.localhost=127.0.0.1:1", "app:a.localhost=127.0.0.1:1;}", "app:*.localhost=127.0.0.1:1",
                                  "app:www.example.com=127.0.0.1:1"])
def test_a_bad_value_changes_nothing(edge, site):
    conf = edge.state / "nginx" / "nginx.conf"
    before = conf.read_bytes()
    assert edge.configure(site).returncode != 0
    assert conf.read_bytes() == before


def test_what_nginx_refuses_does_not_replace_what_runs(edge):
    conf = edge.state / "nginx" / "nginx.conf"
    before = conf.read_bytes()
    refused = edge.configure(f"app:{HOST}=999.1.1.1.1:http-no-such-port")
    assert refused.returncode == 2 and "nginx" in refused.stderr
    assert conf.read_bytes() == before


# ---- profiles ----

EXPECTED = {
    "aes256": (["TLS 1.2", "TLS 1.3"], {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"}),
    "recommended": (["TLS 1.2", "TLS 1.3"],
                    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                     "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
                     "TLS_AES_128_GCM_SHA256"}),
    "high": (["TLS 1.3"], {"TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"}),
}


@pytest.mark.parametrize("profile", EXPECTED)
def test_a_profile_is_what_it_says_and_has_a_plus(backend, profile):
    with Edge(profile, backend.server_address[1], hsts=True) as edge:
        seen = edge.grade("--ca", str(edge.state / "tls" / "demo-ca.pem"))
        assert seen["versions"] == EXPECTED[profile][0]
        assert {suite["name"] for suite in seen["suites"]} == EXPECTED[profile][1]
        assert seen["grade"] == "A+" and seen["caps"] == []
        assert {rule["name"]: rule["verdict"] for rule in seen["rules"] if rule["verdict"] not in ("pass", "not applicable")} == {}
        assert sorted(seen["groups"]) == [0x17, 0x18, 0x1D]
        assert seen["tickets"] in (False, None)
        untrusting = edge.grade()
        assert (untrusting["grade"], untrusting["if_trusted"]) == ("T", "A+")


def test_the_legacy_profile_is_flagged(backend):
    with Edge("legacy", backend.server_address[1], hsts=True) as edge:
        seen = edge.grade("--ca", str(edge.state / "tls" / "demo-ca.pem"))
        assert seen["versions"] == ["TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"]
        assert seen["grade"] == "B" and "OLD_TLS" in seen["caps"]


# What a demo authority cannot have: a revocation service, DNS records, the public's trust.
NOT_OURS = {"cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL", "DNS_CAArecord", "cert_trust", "cert_chain_of_trust",
            "cert_validityPeriod", "cert_extlifeSpan", "scanTime", "cert_notAfter", "cert_expirationStatus", "service"}


# What the demo runs is looked at in full; the others differ in their suites only.
LOOK = {"aes256": ["--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable"],
        "recommended": ["--protocols", "--std", "--fs"], "high": ["--protocols", "--std", "--fs"]}


@pytest.mark.parametrize("profile", EXPECTED)
def test_testssl_finds_no_weakness(backend, profile):
    with Edge(profile, backend.server_address[1], hsts=True) as edge:
        report = edge.root / "report.json"
        subprocess.run(["testssl", "--quiet", "--warnings", "batch", "--color", "0", "--ip", "127.0.0.1",
                        "--add-ca", edge.state / "tls" / "demo-ca.pem", "--jsonfile", report,
                        *LOOK[profile], f"{HOST}:{edge.https}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=280)
        rows = json.loads(report.read_text())
        assert len(rows) > 15
        weak = {row["id"]: row["finding"] for row in rows if row["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL")}
        assert {name: finding for name, finding in weak.items() if name.split(" ")[0] not in NOT_OURS} == {}


# ---- the scanner sees what is wrong ----


@contextlib.contextmanager
def weak_server(directory, *words):
    """openssl s_server with an RSA certificate and what is asked for."""
    settings = directory / "openssl.cnf"
    settings.write_text("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = ALL:@SECLEVEL=0\n"
                        "[req]\ndistinguished_name = d\n[d]\n")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
                    "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{HOST}"], check=True, capture_output=True)
    port = free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-key", key, "-cert", certificate, "-www", *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env={**os.environ, "OPENSSL_CONF": str(settings)})
    try:
        def listens():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
        wait_until(listens, what="s_server")
        yield port
    finally:
        server.kill()
        server.wait()


def scan(port):
    done = subprocess.run([PROGRAM, "tls", "grade", f"{HOST}:{port}", "--address", "127.0.0.1", "--json"],
                          capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("words, cap, letters", [
    (["-cipher", "ALL:!aNULL:!eNULL:@SECLEVEL=0", "-tls1_1"], "NO_TLS_1_2", "C"),
    (["-cipher", "AES256-GCM-SHA384", "-no_tls1_3"], "NO_FORWARD_SECRECY", "B"),
    (["-cipher", "ECDHE-RSA-AES256-SHA384", "-no_tls1_3"], "NO_AEAD", "B"),
    (["-cipher", "ALL:aNULL:@SECLEVEL=0", "-no_tls1_3"], "ANONYMOUS", "F"),
    (["-cipher", "NULL:@SECLEVEL=0", "-no_tls1_3"], "NULL_CIPHER", "F"),
])
def test_a_weak_server_is_seen_through(tmp_path, words, cap, letters):
    with weak_server(tmp_path, *words) as port:
        seen = scan(port)
        assert cap in seen["caps"]
        assert seen["if_trusted"] == letters


def record(kind, body, version=b"\x03\x03"):
    return bytes([kind]) + version + len(body).to_bytes(2, "big") + body


def server_hello(version, extensions=b"", compression=0):
    body = version + bytes(range(32)) + b"\0" + b"\xc0\x14" + bytes([compression])
    if extensions:
        body += len(extensions).to_bytes(2, "big") + extensions
    return b"\x02" + len(body).to_bytes(3, "big") + body


class Fake(threading.Thread):
    """A server of the old days: answers one version by hand, and leaks when its heart is asked to beat."""

    def __init__(self, version, extensions=b"", leaks=False, compression=0):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.version, self.extensions, self.leaks, self.compression = version, extensions, leaks, compression

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(2)
                self.answer(connection, connection.recv(65536))

    def answer(self, connection, hello):
        if hello[0] == 0x80 and self.version == b"\x00\x02":
            connection.sendall(b"\x80\x0b\x04\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00")
        elif hello[0] == 22 and hello[9:11] == self.version and b"\xc0\x14" in hello[44:]:
            flight = server_hello(self.version, self.extensions, self.compression) + b"\x0e\0\0\0"
            connection.sendall(record(22, flight, self.version))
            if self.leaks and connection.recv(100)[:1] == b"\x18":
                connection.sendall(record(24, b"\x02\x40\x00" + b"secret" * 1000, self.version))
        else:
            connection.sendall(record(21, b"\x02\x28"))


def test_old_versions_and_heartbleed_are_noticed():
    cases = [(Fake(b"\x00\x02"), "SSL_2"), (Fake(b"\x03\x00"), "SSL_3"),
             (Fake(b"\x03\x03", b"\x00\x0f\x00\x01\x01", leaks=True), "HEARTBLEED"),
             (Fake(b"\x03\x03", compression=1), "COMPRESSION"), (Fake(b"\x03\x03", b""), "NO_SECURE_RENEGOTIATION")]
    for fake, cap in cases:
        fake.start()
        assert cap in scan(fake.port)["caps"], cap


def test_a_port_that_is_not_tls_is_no_good(backend):
    seen = scan(backend.server_address[1])
    assert seen["versions"] == [] and seen["if_trusted"] == "F"


def test_a_closed_port_is_said_to_be_closed():
    done = subprocess.run([PROGRAM, "tls", "grade", f"{HOST}:{free_port()}", "--address", "127.0.0.1"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and "refused" in done.stderr.lower()
