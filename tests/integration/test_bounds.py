"""Many, large, slow and broken requests against a whole deployment: the pages and the application go on for others,
each is answered clearly or ended, and the memory of nginx and the portal stays where it was."""

import pathlib
import resource
import select
import socket
import subprocess
import threading
import time

import pytest

from browser import Browser
from harness import Deployment, wait_until
from http_wire import Recorder

PASSWORD = "a correct horse of seventeen staples"
APP, ID, CONSOLE = "acme.localhost", "id.acme.localhost", "console.localhost"
IDLE = 10000


class Court:
    def __init__(self, deployment):
        self.deployment, self.port = deployment, deployment.https_port
        self.browser = Browser(deployment)
        assert self.browser.sign_in(f"https://{APP}:{self.port}/", "aiko@acme.example", PASSWORD).status == 200

    def connect(self, host, seconds=10):
        return self.deployment.context().wrap_socket(socket.create_connection(("127.0.0.1", self.port), seconds), server_hostname=host)

    def raw(self, host, data, seconds=5):
        got = b""
        try:
            with self.connect(host, seconds) as link:
                link.sendall(data)
                while part := link.recv(65536):
                    got += part
        except OSError:
            pass
        return got

    def kib(self):
        """Resident memory of nginx's workers and of the portal."""
        master = (self.deployment.directory / "nginx/nginx.pid").read_text().strip()
        pids = subprocess.run(["pgrep", "-P", master], capture_output=True, text=True).stdout.split()
        return {name: sum(self.rss(pid) for pid in group)
                for name, group in (("nginx", pids), ("portal", [self.deployment.status()["portal"]["pid"]]))}

    def settled(self):
        """Waits until nobody works on what was asked: what is left then, waits for its reader."""
        def ticks():
            master = (self.deployment.directory / "nginx/nginx.pid").read_text().strip()
            pids = subprocess.run(["pgrep", "-P", master], capture_output=True, text=True).stdout.split()
            pids.append(self.deployment.status()["portal"]["pid"])
            return sum(sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in pids)

        def still():
            before = ticks()
            time.sleep(0.5)
            return ticks() - before < 10
        wait_until(still, 120, what="the work to be done")

    @staticmethod
    def rss(pid):
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

    def served(self, seconds=3):
        """A signed-in user's request and a new sign-in, each within this time."""
        started = time.monotonic()
        assert self.browser.send(f"https://{APP}:{self.port}/").status == 200
        assert time.monotonic() - started < seconds
        started = time.monotonic()
        assert Browser(self.deployment).sign_in(f"https://{APP}:{self.port}/", "aiko@acme.example", PASSWORD).status == 200
        assert time.monotonic() - started < 2 * seconds


@pytest.fixture(scope="module")
def court():
    app = Recorder()
    with Deployment() as deployment:
        deployment.tenant_add("acme", f"127.0.0.1:{app.port}")
        deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                            "--password-stdin", input=PASSWORD + "\n")
        yield Court(deployment)
    app.close()


def grown(before, after):
    return {name: after[name] - before[name] for name in before}


def test_10000_idle_connections(court):
    """Silent ones cost a few hundred bytes each, hinder nobody, and are ended by nginx when they have said nothing for
    the time that a head may take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 500:
        pytest.skip(f"{hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    court.served()
    before, idle = court.kib(), []
    try:
        for number in range(IDLE):
            link = socket.socket()
            link.bind((f"127.0.1.{1 + number % 100}", 0))
            link.connect(("127.0.0.1", court.port))
            idle.append(link)
        more = grown(before, court.kib())
        court.served()
        print(f"{len(idle)} idle connections: {more} KiB more")
        assert more["nginx"] < 64 << 10 and more["portal"] < 1024
        last = select.poll()
        last.register(idle[-1], select.POLLIN)
        wait_until(lambda: last.poll(0) and idle[-1].recv(1) == b"", 30, 0.5, what="the last ended")
    finally:
        for link in idle:
            link.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    court.served()


@pytest.mark.parametrize("host, path", [(ID, "/sign-in"), (APP, "/upload"), (CONSOLE, "/sign-in")])
def test_slow_bodies_hold_up_nobody(court, host, path):
    """Three hundred forms of which a byte comes now and then: more than the portal has threads."""
    before, slow = court.kib(), []
    head = (f"POST {path} HTTP/1.1\r\nHost: {host}:{court.port}\r\nOrigin: https://{host}:{court.port}\r\nContent-Length: 5000\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\nlogin=")
    try:
        for _ in range(300):
            link = court.connect(host)
            link.sendall(head.encode())
            slow.append(link)
        for _ in range(3):
            for link in slow:
                try:
                    link.sendall(b"a")
                except OSError:
                    pass
        more = grown(before, court.kib())
        court.served(5)
        print(f"300 slow bodies for {host}: {more} KiB more")
        assert more["nginx"] < 64 << 10 and more["portal"] < 32 << 10
    finally:
        for link in slow:
            link.close()


def test_slow_readers_hold_up_nobody(court):
    """Three hundred who ask for page after page and take none."""
    slow = []
    ask = f"GET /sign-in HTTP/1.1\r\nHost: {ID}:{court.port}\r\n\r\n".encode() * 40
    context = court.deployment.context()
    try:
        for _ in range(300):
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.settimeout(10)
            plain.connect(("127.0.0.1", court.port))
            link = context.wrap_socket(plain, server_hostname=ID)
            link.sendall(ask)
            slow.append(link)
        court.settled()
        court.served(5)
    finally:
        for link in slow:
            link.close()


@pytest.mark.parametrize("host", [ID, APP, CONSOLE])
def test_a_100_mb_header(court, host):
    """Refused while it still comes; the rest is thrown away as it arrives."""
    before, sent, highest = court.kib(), 0, {"nginx": 0, "portal": 0}
    with court.connect(host) as link:
        link.sendall(f"GET /sign-in HTTP/1.1\r\nHost: {host}:{court.port}\r\nX-Huge: ".encode() + b"x" * (256 << 10))
        answer = link.recv(200)
        try:
            while sent < 100 << 20:
                link.sendall(b"x" * 65536)
                sent += 65536
                if sent % (16 << 20) == 0:
                    more = grown(before, court.kib())
                    highest = {name: max(highest[name], more[name]) for name in more}
        except OSError:
            pass
    print(f"{host}: {answer[:40]}, then {sent} bytes, {highest} KiB more")
    assert answer.startswith(b"HTTP/1.1 400") and max(highest.values()) < 4096


BROKEN = {
    "invalid UTF-8 in the path": ("GET /\udcff\udcfe HTTP/1.1", [], b""),
    "overlong UTF-8": ("GET /%c0%af HTTP/1.1", [], b""),
    "invalid UTF-8 in the query": ("GET /sign-in?return=%ff%fe HTTP/1.1", [], b""),
    "invalid UTF-8 in a header": ("GET /sign-in HTTP/1.1", ["Accept-Language: \udcff\udcfe", "User-Agent: \udcff"], b""),
    "invalid UTF-8 in our cookie": ("GET /account HTTP/1.1", ["Cookie: __Host-masugata=\udcff\udcfe"], b""),
    "invalid UTF-8 in the form": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=%ff%fe&password=%80"),
    "raw bytes in the form": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=\xff\xfe\x00&password=\x80"),
    "a form cut in an escape": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=%f"),
    "a thousand fields": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"&".join(b"a%d=b" % n for n in range(1000))),
    "a field twice": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=a&login=b&password=c"),
    "a form of 60 KB": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=" + b"a" * 60000),
    "a form of 200 KB": ("POST /sign-in HTTP/1.1", ["Content-Type: application/x-www-form-urlencoded"], b"login=" + b"a" * 200000),
    "multipart": ("POST /sign-in HTTP/1.1", ["Content-Type: multipart/form-data; boundary=x"], b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--"),
    "JSON": ("POST /sign-in HTTP/1.1", ["Content-Type: application/json"], b'{"login": "a"}'),
    "two hosts": ("GET /sign-in HTTP/1.1", ["Host: acme.localhost"], b""),
    "an overlong host": ("GET /sign-in HTTP/1.1", ["-Host", "Host: " + "a" * 15000], b""),
    "a cookie of 15 KB": ("GET /sign-in HTTP/1.1", ["Cookie: a=" + "b" * 15000], b""),
    "a cookie of 20 KB": ("GET /sign-in HTTP/1.1", ["Cookie: a=" + "b" * 20000], b""),
    "a hundred cookies lines": ("GET /sign-in HTTP/1.1", ["Cookie: __Host-masugata=x"] * 100, b""),
    "a thousand headers": ("GET /sign-in HTTP/1.1", ["X-A: b"] * 1000, b""),
    "two lengths": ("POST /sign-in HTTP/1.1", ["Content-Length: 1"], b"login=a"),
    "length and chunks": ("POST /sign-in HTTP/1.1", ["Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    "a query of 10 KB": ("GET /sign-in?" + "a" * 10000 + " HTTP/1.1", [], b""),
    "a target of 40 KB": ("GET /sign-in?" + "a" * 40000 + " HTTP/1.1", [], b""),
}


def broken_request(court, host, case):
    line, headers, body = BROKEN[case]
    own = [] if "-Host" in headers else [f"Host: {host}:{court.port}"]
    length = [f"Content-Length: {len(body)}"] if line.startswith("POST") else []
    lines = [line, *own, f"Origin: https://{host}:{court.port}", *[h for h in headers if h != "-Host"], *length, "Connection: close", "", ""]
    return court.raw(host, "\r\n".join(lines).encode("utf-8", "surrogateescape") + body)


@pytest.mark.parametrize("host", [ID, CONSOLE])
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_answered_clearly(court, host, case):
    raw = broken_request(court, host, case)
    assert raw == b"" or raw[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 "), raw[:100]
    status = int(raw[9:12]) if raw else 400
    assert status < 500 or status == 501, raw[:300]
    if case in ("two hosts", "an overlong host", "a cookie of 20 KB", "two lengths", "length and chunks"):
        assert status in (400, 421), raw[:200]


def test_memory_stays_flat(court):
    """Every broken request again and again: after the first rounds, nothing more is kept."""
    def rounds(count):
        for _ in range(count):
            for case in BROKEN:
                broken_request(court, ID, case)

    rounds(4)
    before = court.kib()
    threads = [threading.Thread(target=rounds, args=(5,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    more = grown(before, court.kib())
    print(f"{10 * len(BROKEN)} broken requests: {more} KiB more")
    assert more["nginx"] < 2048 and more["portal"] < 2048
    court.served()


def test_what_the_operator_bounds_is_bounded():
    """gate.upload_most_mib, gate.requests_per_address and gate.stream_idle reach nginx; without them nothing is."""
    app = Recorder()
    bounds = {"gate.upload_most_mib": 1, "gate.requests_per_address": 3, "gate.stream_idle": "2m", "tls.resolver": "127.0.0.1"}
    with Deployment(bounds) as deployment:
        deployment.tenant_add("acme", f"127.0.0.1:{app.port}")
        deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                            "--password-stdin", input=PASSWORD + "\n")

        def entered():
            """The prober comes from the same address, and three at a time are few."""
            try:
                return Court(deployment)
            except AssertionError:
                return None
        court = wait_until(entered, 60, what="the first sign-in")
        cookie = "; ".join(f"{name}={value}" for name, value in court.browser.cookies[APP].items())
        head = (f"POST /upload HTTP/1.1\r\nHost: {APP}:{court.port}\r\nOrigin: https://{APP}:{court.port}\r\n"
                f"Cookie: {cookie}\r\nContent-Length: %d\r\n\r\n")
        assert court.raw(APP, (head % (1 << 20)).encode() + bytes(1 << 20), seconds=2).startswith(b"HTTP/1.1 200 ")
        assert court.raw(APP, (head % ((1 << 20) + 1)).encode(), seconds=2).startswith(b"HTTP/1.1 413 ")
        waiting = [court.connect(APP) for _ in range(3)]
        for link in waiting:
            link.sendall((head % 10).encode() + b"half")
        get = head.replace("POST /upload", "GET /").replace("Content-Length: %d\r\n", "")
        wait_until(lambda: court.raw(APP, get.encode(), seconds=2).startswith(b"HTTP/1.1 429 "), what="the fourth of three")
        waiting.pop().close()
        wait_until(lambda: court.raw(APP, get.encode(), seconds=2).startswith(b"HTTP/1.1 200 "), what="room again")
        for link in waiting:
            link.close()
        text = (deployment.directory / "nginx/nginx.conf").read_text()
        assert "proxy_read_timeout 120s;" in text and "resolver 127.0.0.1 valid=300s;" in text
    app.close()
