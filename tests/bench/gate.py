#!/usr/bin/python3
"""make bench, gate: what the gate costs beside bare nginx, as ratios of one run.

Every side runs in the complete configuration that masugata writes (bench-configuration), the gate's with the
module, the others without it and with the same static response headers and X-Forwarded-* added:
  bare            proxy_pass
  same payload    bare, and an assertion's bytes to the app
  gate            100 tenants, allow lists of 31 networks, 11 route rules; the one that every request meets demands a
                  role, a second factor and a network
  auth_request    to a backend that answers 204
  LemonLDAP::NG   its nginx handler (plain, 1,000 sessions; its Perl beside it)
Each connection is one visitor for 10 requests, then another of 4,000, as browsers are. Worker CPU a request
from /proc/PID/schedstat, so that other processes do not count. A side and bare are loaded at the same moments, their
workers pinned to the same core, where they take turns within milliseconds: a shared machine's speed changes by a third
from one second to the next, and so does either side alone. The ratio is the median over the pairs, with its
quartiles. Load and upstream are on another core. User instructions a request by callgrind, which has no SHA extension: what software SHA-256 takes of
them is said.

gate.py [--quick] [--no-callgrind] [--only plain|tls|callgrind|decision]"""

import argparse
import base64
import concurrent.futures
import http.client
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import _lemonldap  # noqa: E402
from lemonldap import available as lemonldap_available  # noqa: E402
import gate_rig  # noqa: E402
from harness import BUILD, free_port, wait_until  # noqa: E402

JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0." + "x" * 470 + "." + "y" * 86
VISITORS, IN_A_ROW = 4000, 10
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; media-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()",
    "X-XSS-Protection": "0", "X-Frame-Options": "SAMEORIGIN"}
HSTS = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}
FORWARDED = """    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $http_host;
"""
# What a location repeats because it sets headers of its own (nginx inherits all or none).
PROXY = """ proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $masugata_connection;
            proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;"""


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def add_headers(headers):
    return "".join(f'        add_header {name} "{value}" always;\n' for name, value in headers.items())


class Rig:
    def __init__(self, sessions, lemonldap=False):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgb", dir="/dev/shm"))
        self.directory.chmod(0o755)
        self.processes, self.handler, self.hand = [], None, None
        self.cores = sorted(os.sched_getaffinity(0))
        self.user = "root" if os.geteuid() == 0 else ""
        self.upstream_port = free_port()
        try:
            self.begin(sessions, lemonldap)
        except BaseException:
            self.stop()
            raise

    def begin(self, sessions, lemonldap):
        (self.directory / "run" / "gate").mkdir(parents=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", self.directory / "key.pem", "-out", self.directory / "certificate.pem"],
                       check=True, capture_output=True)
        self.hand = gate_rig.Hand(self.directory / "run" / "gate", assertions=4 * VISITORS)
        self.fill(sessions)
        self.start_upstream()
        if lemonldap and lemonldap_available():
            self.handler = _lemonldap.Handler(self.directory, self.cores[-1])
            wait_until(self.handler.ready, 30, what="LemonLDAP::NG")
        self.write_load()
        self.sides = {name: self.start_side(name) for name in self.names()}

    def names(self):
        return ["bare", "same payload", "gate", "auth_request"] + (["LemonLDAP::NG"] if self.handler else [])

    def fill(self, sessions):
        hand, self.tokens = self.hand, []
        for tenant in range(1, 101):
            hand("tenant", id=tenant, use="127.0.0.0/8," + ",".join(f"10.{n}.0.0/16" for n in range(30)), idle_ms=900000)
        for tenant in range(1, 101):
            hand("host", id=tenant, name="localhost" if tenant == 1 else f"t{tenant}.localhost", tenant_id=tenant,
                 upstream=f"127.0.0.1:{self.upstream_port}")
        for number in range(10):
            hand("route", tenant_id=1, prefix=f"/area-{number}/admin", roles=1)
        # What every request here meets: a role, a second factor that is fresh enough, networks.
        hand("route", tenant_id=1, prefix="/area-3/notes", roles=1, second_factor_s=36000, fresh_s=36000,
             networks="127.0.0.0/8," + ",".join(f"10.{n}.0.0/16" for n in range(30)))
        hand("publish")
        visitors = min(VISITORS, sessions)
        if sessions > visitors:
            hand("many", first=10000, count=sessions - visitors)
        for number in range(1, visitors + 1):
            token = os.urandom(32)
            hand("session", id=number, token=gate_rig.session_hash(token).hex(), roles=1, second_ms=0, expires_in_ms=36000000)
            hand("assertion", session=number, token=JWT, exp_in_ms=36000000)
            self.tokens.append(base64.urlsafe_b64encode(token).decode().rstrip("="))

    def write_load(self):
        for name, cookies in (("gate", [f"__Host-masugata={t}" for t in self.tokens]),
                              ("lemonldap", [f"lemonldap={i}" for i in self.handler.ids] if self.handler else [])):
            (self.directory / f"{name}.txt").write_text("\n".join(cookies))
            (self.directory / f"{name}.lua").write_text(f"""
                local threads = 0
                function setup(thread) threads = threads + 1 thread:set("id", threads) end
                local cookies, visitor, count, now = {{}}, 0, 0, ""
                function init(args)
                    for cookie in io.lines("{self.directory}/{name}.txt") do cookies[#cookies + 1] = cookie end
                    visitor = id * 977
                end
                local head = "GET /area-3/notes?page=2 HTTP/1.1\\r\\nHost: localhost\\r\\n" ..
                    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\\r\\n" ..
                    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\\r\\n" ..
                    "Accept-Language: ja,en;q=0.5\\r\\nAccept-Encoding: gzip, deflate, br\\r\\n" ..
                    "Sec-Fetch-Mode: navigate\\r\\nSec-Fetch-Site: same-origin\\r\\nCookie: theme=dark; "
                function request()
                    if count % {IN_A_ROW} == 0 then
                        visitor = visitor + 1
                        now = head .. cookies[visitor % #cookies + 1] .. "\\r\\n\\r\\n"
                    end
                    count = count + 1
                    return now
                end
                function done(summary) io.write("requests=" .. summary.requests .. " errors=" ..
                    (summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout) .. "\\n") end""")

    def affinity(self, core):
        mask = ["0"] * (max(self.cores) + 1)
        mask[len(mask) - 1 - self.cores[core]] = "1"
        return f"worker_cpu_affinity {''.join(mask)};\n"

    def start_upstream(self):
        home = self.home("upstream")
        (home / "nginx.conf").write_text(f"""{"user root;" if self.user else ""} {self.affinity(-1)}
            daemon off; pid {home}/pid; error_log {home}/error.log warn; events {{ worker_connections 2048; }}
            http {{ access_log off; server_tokens off; keepalive_requests 100000000; client_header_buffer_size 4k;
                client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u;
                scgi_temp_path {home}/s;
                server {{ listen 127.0.0.1:{self.upstream_port} backlog=1024; location = /auth {{ return 204; }}
                    location / {{ return 200 "0123456789abcdef0123456789abcdef\\n"; }} }} }}""")
        self.start(home)

    def home(self, name):
        home = self.directory / re.sub(r"\W+", "-", name)
        for folder in ("log", "nginx/temp"):
            (home / folder).mkdir(parents=True)
        return home

    def configuration(self, name, home, tls, plain):
        """masugata's own nginx.conf, a second server block for plain HTTP, and what makes the side."""
        module = [str(BUILD / "ngx_http_masugata_module.so")] if name == "gate" else []
        text = subprocess.run([BUILD / "tests/bench/bench-configuration", home, self.directory / "run", f"127.0.0.1:{self.upstream_port}",
                               self.directory / "certificate.pem", self.directory / "key.pem", str(tls), str(free_port()), self.user, *module],
                              capture_output=True, text=True, check=True).stdout
        start = text.index(f"    server {{\n        listen 127.0.0.1:{tls} ssl http2;\n        server_name localhost;")
        site = text[start:text.rindex("}")]
        other = re.sub(r"        (ssl_|error_page 497).*\n", "", site).replace(f":{tls} ssl http2", f":{plain}")
        if name != "gate":
            text = text.replace("    proxy_set_header Host", FORWARDED + "    proxy_set_header Host", 1)
            site, other = (block.replace("server_name localhost;\n", "server_name localhost;\n" + add_headers(headers), 1)
                           for block, headers in ((site, HEADERS | HSTS), (other, HEADERS)))
        site, other = (self.variant(name, block) for block in (site, other))
        return self.affinity(0) + text[:text.index("    server {\n        listen 127.0.0.1:" + str(tls) + " ssl http2;\n        server_name localhost;")] + \
            site + other + "}\n"

    def variant(self, name, block):
        root = "        location / {\n"
        if name == "same payload":
            return block.replace(root, root + PROXY + f'proxy_set_header X-Masugata-Assertion "{JWT}";\n')
        if name == "auth_request":
            return block.replace(root, f"""        location = /auth {{ internal; proxy_pass_request_body off; proxy_set_header Content-Length "";
                {PROXY} proxy_pass http://masugata_app_0/auth; }}\n""" + root + "auth_request /auth;\n")
        if name == "LemonLDAP::NG":
            return block.replace(root, self.handler.locations() + root + self.handler.IN_LOCATION + PROXY + self.handler.FORWARD)
        return block

    def start(self, home):
        process = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")])
        self.processes.append(process)
        return wait_until(lambda: self.worker_of(process, home), 20, what=home.name)

    def start_side(self, name):
        """(worker pid, plain port, TLS port)"""
        home, plain, tls = self.home(name), free_port(), free_port()
        (home / "nginx.conf").write_text(self.configuration(name, home, tls, plain))
        return self.start(home), plain, tls

    @staticmethod
    def worker_of(process, home):
        assert process.poll() is None, (home / "error.log").read_text()
        out = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        return int(out[0]) if out else None

    def load_both(self, name, scheme):
        """A side and bare at the same time: CPU nanoseconds a request of each, and of what the side asks beside the app."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loads = [pool.submit(self.load, side, scheme) for side in (name, "bare")]
            (requests, worker, others), (bare_requests, bare_worker, _) = [load.result() for load in loads]
        return worker / requests, bare_worker / bare_requests, others / requests

    def load(self, name, scheme, seconds=1):
        """Requests made, CPU nanoseconds of the worker and of what it asks beside the app."""
        pid, plain, tls = self.sides[name]
        url = f"http://127.0.0.1:{plain}/" if scheme == "plain" else f"https://localhost:{tls}/"
        other = self.handler.cpu_ns if name == "LemonLDAP::NG" else lambda: 0
        before, beside = cpu_ns(pid), other()
        out = subprocess.run(["taskset", "-c", str(self.cores[-1]), "wrk", "-t16", "-c16", f"-d{seconds}s", "-s",
                              self.directory / ("lemonldap.lua" if name == "LemonLDAP::NG" else "gate.lua"), url],
                             capture_output=True, text=True, check=True).stdout
        words = dict(w.split("=") for w in out.split() if w.startswith(("requests=", "errors=")))
        assert int(words["errors"]) == 0, out
        log = self.directory / re.sub(r"\W+", "-", name) / "log" / "nginx-access.log"
        lines = log.read_text().splitlines()  # written in blocks: none yet is possible, and first those of the load before
        assert scheme == "plain" or all('"tls":"TLSv1.3"' in line for line in lines[-100:]), lines[-1:]
        refused = [line for line in lines if '"status":200' not in line and '"status":499' not in line]
        assert not refused, refused[:3]  # 499: wrk hung up when its second was over
        os.truncate(log, 0)
        # On a crowded machine a whole second can pass without a turn.
        return (int(words["requests"]), cpu_ns(pid) - before, other() - beside) if int(words["requests"]) else self.load(name, scheme, seconds)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)
        if self.handler:
            self.handler.stop()
        if self.hand:
            self.hand.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def quartiles(values):
    return statistics.quantiles(values, n=4) if len(values) > 1 else values * 3


def compare(rig, scheme, sessions, pairs):
    line = f"  {sessions:>8} sessions  {scheme:5}  "
    for name in rig.names():
        rig.load(name, scheme)  # warm
    for name in rig.names()[1:]:
        # LemonLDAP's ratio is of a size for which a few pairs are enough.
        costs = [rig.load_both(name, scheme) for _ in range(3 if name == "LemonLDAP::NG" else pairs)]
        low, middle, high = quartiles([side / bare for side, bare, _ in costs])
        side, bare, beside = (statistics.median(column) / 1000 for column in zip(*costs))
        perl = f"  and {beside:.0f} us of Perl" if beside else ""
        print(f"{line}{name:13} {side:7.2f} us, bare {bare:7.2f} us  {middle:6.3f}  ({low:.3f} to {high:.3f}){perl}", flush=True)


def functions(path):
    """Self cost by object file and by function of a callgrind file."""
    out = subprocess.run(["callgrind_annotate", "--threshold=100", path], capture_output=True, text=True).stdout
    return sum(int(m[1].replace(",", "")) for m in re.finditer(r"^ *([\d,]+) \([^)]*\)  \S*(?:SHA256_Transform|sha256_block\w*)", out, re.M))


def instructions(rig, name, count, in_a_row, log=True):
    """(user instructions a request of one worker under callgrind, those of SHA-256): start-up is subtracted by
    two lengths."""
    totals = []
    home = rig.directory / re.sub(r"\W+", "-", name)
    _, plain, tls = rig.sides[name]
    text = (home / "nginx.conf").read_text()
    if not log:
        text = re.sub(r"^    access_log .*;$", "    access_log off;", text, flags=re.M)
    for requests in (count, 3 * count):
        other = free_port()
        text_now = text.replace(f"127.0.0.1:{plain};", f"127.0.0.1:{other};").replace(f"127.0.0.1:{tls} ", f"127.0.0.1:{free_port()} ")
        text_now = re.sub(r"listen 127\.0\.0\.1:(\d+)( default_server backlog=1024)?;",
                          lambda m: m[0] if m[1] == str(other) else f"listen 127.0.0.1:{free_port()}{m[2] or ''};", text_now)
        (home / "callgrind.conf").write_text(text_now.replace("/nginx/nginx.pid", "/nginx/callgrind.pid"))
        process = subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={home}/callgrind.out", "nginx", "-p", str(home), "-c",
                                    str(home / "callgrind.conf"), "-e", str(home / "error.log"), "-g", "master_process off;"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        connection = wait_until(lambda: reach(other, process), 120, what="nginx under callgrind")
        for number in range(requests):
            connection.request("GET", "/area-3/notes?page=2", headers={"Host": "localhost", "User-Agent": "Mozilla/5.0", "Accept": "text/html",
                               "Cookie": f"theme=dark; __Host-masugata={rig.tokens[number // in_a_row % len(rig.tokens)]}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (number, answer.status, (home / "log" / "nginx-error.log").read_text()[-600:])
        connection.close()
        process.send_signal(signal.SIGTERM)
        collected = [line for line in process.communicate(timeout=60)[1].splitlines() if "Collected" in line]
        totals.append((int(collected[-1].split(":")[-1]), functions(home / "callgrind.out")))
    return [(totals[1][i] - totals[0][i]) / (2 * count) for i in (0, 1)]


def reach(port, process):
    assert process.poll() is None, process.stderr.read()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.connect()
        return connection
    except OSError:
        time.sleep(0.2)
        return None


def count_instructions(rig, count=300):
    bare = None
    for name in ("bare", "same payload", "gate", "auth_request"):
        total, sha = instructions(rig, name, count, IN_A_ROW)
        bare = bare or total
        print(f"  user instructions (callgrind)  {name:13} {total:8.0f}  {total / bare:6.3f}", flush=True)
    total, sha = instructions(rig, "gate", count, 1)
    print(f"  user instructions (callgrind)  gate, every request another visitor: {total:.0f}, {total / bare:.3f}, "
          f"of which SHA-256 in software {sha:.0f}; without them {(total - sha) / bare:.3f}", flush=True)
    # The log's request id costs nginx a call of OpenSSL's generator a request, the gate one in 256.
    (bare, _), (gate, _) = (instructions(rig, name, count, IN_A_ROW, log=False) for name in ("bare", "gate"))
    print(f"  user instructions (callgrind)  without an access log: bare {bare:.0f}, gate {gate:.0f}, {gate / bare:.3f}", flush=True)


def decide(sizes):
    """The decision alone, with the table in small pages and in huge ones (docs/gate.md, "Many sessions")."""
    program = BUILD / "tests/bench/bench-decision"
    print("the whole decision alone, pages of 4 KiB:", flush=True)
    subprocess.run(["taskset", "-c", str(max(os.sched_getaffinity(0))), program, "/dev/shm", *sizes], check=True)
    with tempfile.TemporaryDirectory(prefix="mgb", dir="/dev/shm") as directory:
        options = ["mount", "-t", "tmpfs", "-o", "huge=within_size,size=90%", "masugata-bench", directory]
        if os.geteuid() != 0 or subprocess.run(options, capture_output=True).returncode != 0:
            return print("pages of 2 MiB: not measured, mounting needs root and a kernel with transparent huge pages")
        try:
            print("the whole decision alone, pages of 2 MiB:", flush=True)
            subprocess.run(["taskset", "-c", str(max(os.sched_getaffinity(0))), program, directory, *sizes], check=True)
        finally:
            subprocess.run(["umount", directory], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-callgrind", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    pairs = 5 if options.quick else 21
    schemes = [options.only] if options.only in ("plain", "tls") else ["plain", "tls"] if options.only is None else []
    if schemes or options.only == "callgrind":
        print("worker CPU a request, and its ratio to bare proxy_pass (median of paired ratios and their quartiles)")
        for sessions in (1000, 1000000):
            rig = Rig(sessions, lemonldap=sessions == 1000 and "plain" in schemes)
            try:
                for scheme in schemes:
                    compare(rig, scheme, sessions, pairs)
                    if rig.handler:  # once is enough: its Perl would take the load's core from the others
                        rig.handler.stop()
                        rig.handler = None
                if sessions == 1000 and not options.no_callgrind:
                    count_instructions(rig)
            finally:
                rig.stop()
            if not schemes:
                break
    if options.only in (None, "decision"):
        decide(["1000", "1000000"] if options.quick else ["1000", "1000000", "10000000"])


if __name__ == "__main__":
    main()
