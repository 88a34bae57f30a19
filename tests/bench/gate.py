#!/usr/bin/python3
"""make bench, gate: what the gate costs beside bare nginx, as ratios of one run.

Worker CPU a request (from /proc/PID/schedstat, so other processes do not count), paired and alternating:
bare proxy_pass with the same static headers, the same with an assertion's bytes added, the gate,
auth_request to a 204 backend. One worker, pinned to
one core; load and upstream on another. User instructions a request by callgrind. Then revocation: the time
from the command's return to the first refusal, and whether any request passed after it.

gate.py [--quick] [--no-callgrind] [--only plain|tls|revocation|decision]"""

import argparse
import base64
import hashlib
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import gate_rig  # noqa: E402
from harness import BUILD, free_port, wait_until  # noqa: E402

JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0." + "x" * 470 + "." + "y" * 86
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; media-src 'self'; worker-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "accelerometer=(), camera=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), payment=(), usb=()",
    "X-XSS-Protection": "0", "Strict-Transport-Security": "max-age=63072000; includeSubDomains", "X-Frame-Options": "SAMEORIGIN"}
PROXY = """proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
           proxy_buffering off; proxy_request_buffering off;"""
FORWARDED = """proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
               proxy_set_header X-Forwarded-Host $http_host;"""


def cpu_ns(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])


class Rig:
    def __init__(self, sessions):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgb", dir="/dev/shm"))
        self.directory.chmod(0o755)
        self.gate = self.directory / "files"
        self.gate.mkdir()
        self.processes = []
        self.cores = sorted(os.sched_getaffinity(0))
        self.upstream_port = free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=acme.localhost", "-keyout", self.directory / "key.pem", "-out", self.directory / "certificate.pem"],
                       check=True, capture_output=True)
        self.hand = gate_rig.Hand(self.gate)
        self.fill(sessions)
        self.start("upstream", f"""server {{ listen 127.0.0.1:{self.upstream_port} backlog=1024; keepalive_requests 100000000;
            location = /auth {{ return 204; }} location / {{ return 200 "0123456789abcdef0123456789abcdef\\n"; }} }}""", core=-1)

    def fill(self, sessions):
        hand, self.tokens = self.hand, []
        for tenant in range(1, 101):
            hand("tenant", id=tenant, use="127.0.0.0/8," + ",".join(f"10.{n}.0.0/16" for n in range(30)), idle_ms=900000)
        for tenant in range(1, 101):
            hand("host", id=tenant, name="localhost" if tenant == 1 else f"t{tenant}.localhost", tenant_id=tenant,
                 upstream=f"127.0.0.1:{self.upstream_port}")
        for number in range(10):
            hand("route", tenant_id=1, prefix=f"/area-{number}/admin", roles=1)
        hand("publish")
        hand("many", first=10000, count=sessions - 500)
        for number in range(1, 501):
            token = os.urandom(32)
            hand("session", id=number, token=hashlib.sha256(token).hexdigest(), roles=1, expires_in_ms=36000000)
            hand("assertion", session=number, token=JWT, exp_in_ms=36000000)
            self.tokens.append(base64.urlsafe_b64encode(token).decode().rstrip("="))
        (self.directory / "tokens.txt").write_text("\n".join(self.tokens))
        (self.directory / "load.lua").write_text(f"""
            local requests, i = {{}}, 0
            function init(args)
                for token in io.lines("{self.directory}/tokens.txt") do
                    requests[#requests + 1] = wrk.format("GET", "/area-3/notes?page=2", {{ ["Host"] = "localhost",
                        ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                        ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                        ["Accept-Language"] = "ja,en;q=0.5", ["Accept-Encoding"] = "gzip, deflate, br",
                        ["Sec-Fetch-Mode"] = "navigate", ["Sec-Fetch-Site"] = "same-origin",
                        ["Cookie"] = "theme=dark; __Host-masugata=" .. token }})
                end
            end
            function request() i = i % #requests + 1 return requests[i] end
            function done(summary) io.write("requests=" .. summary.requests .. " errors=" ..
                (summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout) .. "\\n") end""")

    def start(self, name, http, core=0, module=False, workers=1):
        """An nginx of its own; returns its worker's pid (the core's number counts from the end if negative)."""
        home = self.directory / name
        home.mkdir()
        mask = ["0"] * (max(self.cores) + 1)
        mask[len(mask) - 1 - self.cores[core]] = "1"
        (home / "nginx.conf").write_text(f"""
            {f"load_module {BUILD}/ngx_http_masugata_module.so;" if module else ""}
            {"user root;" if os.geteuid() == 0 else ""}
            worker_processes {workers}; worker_cpu_affinity {" ".join(["".join(mask)] * workers)}; pid {home}/pid; error_log {home}/error.log warn;
            events {{ worker_connections 2048; }}
            http {{ access_log off; request_pool_size 8k; server_tokens off; keepalive_requests 100000000; client_body_temp_path {home}/b; proxy_temp_path {home}/p;
                fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
                ssl_certificate {self.directory}/certificate.pem; ssl_certificate_key {self.directory}/key.pem; ssl_protocols TLSv1.3;
                upstream app {{ server 127.0.0.1:{self.upstream_port}; keepalive 64; keepalive_requests 100000000; }}
                {http} }}""")
        process = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log"), "-g", "daemon off;"])
        self.processes.append(process)
        return wait_until(lambda: self.worker_of(process, home), 10, what=name)

    @staticmethod
    def worker_of(process, home):
        assert process.poll() is None, (home / "error.log").read_text()
        out = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        return [int(p) for p in out] or None

    def sides(self):
        """name -> (worker pid, plain port, TLS port)"""
        headers = " ".join(f'add_header {n} "{v}" always;' for n, v in HEADERS.items())
        made = {}
        for name, server, module in (
                ("bare", f"{headers} location / {{ {PROXY} {FORWARDED} proxy_pass http://app; }}", False),
                ("same payload", f"""{headers} location / {{ {PROXY} {FORWARDED} proxy_set_header X-Masugata-Assertion "{JWT}";
                    proxy_pass http://app; }}""", False),
                ("gate", f"masugata on; location / {{ {PROXY} proxy_pass http://app; }}", True),
                ("auth_request", f"""{headers} location / {{ auth_request /auth; {PROXY} {FORWARDED} proxy_pass http://app; }}
                    location = /auth {{ internal; {PROXY} proxy_pass_request_body off; proxy_set_header Content-Length "";
                        proxy_pass http://app/auth; }}""", False)):
            plain, tls = free_port(), free_port()
            http = f"server {{ listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl; {server} }}"
            if module:
                http = f"masugata_directory {self.gate}; {http}"
            made[name] = (self.start(name.replace(" ", "-"), http, module=module)[0], plain, tls)
        return made

    def load(self, url, seconds, connections=16):
        out = subprocess.run(["taskset", "-c", str(self.cores[-1]), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
                              "-s", self.directory / "load.lua", url], capture_output=True, text=True, check=True).stdout
        words = dict(w.split("=") for w in out.split() if w.startswith(("requests=", "errors=")))
        assert int(words["errors"]) == 0, out
        # On a crowded machine a whole second can pass without a turn.
        return int(words["requests"]) or self.load(url, seconds, connections)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)
        self.hand.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def compare(rig, scheme, pairs, seconds):
    sides = rig.sides_made
    costs = {name: [] for name in sides}
    for _ in range(pairs):
        for name, (pid, plain, tls) in sides.items():
            url = f"http://127.0.0.1:{plain}/" if scheme == "plain" else f"https://localhost:{tls}/"
            before = cpu_ns(pid)
            requests = rig.load(url, seconds)
            costs[name].append((cpu_ns(pid) - before) / requests / 1000)
    bare = costs["bare"]
    return {name: (statistics.median(values), statistics.median(v / b for v, b in zip(values, bare))) for name, values in costs.items()}


def instructions(rig, name, count):
    """User instructions a request of one worker under callgrind, start-up subtracted by two lengths."""
    totals = []
    for requests in (count, 3 * count):
        home = rig.directory / name.replace(" ", "-")
        port = rig.sides_made[name][1]
        text = (home / "nginx.conf").read_text()
        other = free_port()
        (home / "callgrind.conf").write_text(text.replace(f"127.0.0.1:{port};", f"127.0.0.1:{other};").replace(
            f"127.0.0.1:{rig.sides_made[name][2]} ssl", f"127.0.0.1:{free_port()} ssl").replace(f"{home}/pid", f"{home}/pid2"))
        process = subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={home}/callgrind.out", "nginx", "-p", str(home), "-c",
                                    str(home / "callgrind.conf"), "-e", str(home / "error.log"), "-g", "daemon off; master_process off;"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        connection = None
        deadline = time.monotonic() + 60
        while connection is None:
            try:
                import http.client
                connection = http.client.HTTPConnection("127.0.0.1", other, timeout=30)
                connection.connect()
            except OSError:
                connection = None
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.2)
        for number in range(requests):
            connection.request("GET", "/area-3/notes?page=2", headers={"Host": "localhost", "User-Agent": "Mozilla/5.0",
                               "Accept": "text/html", "Cookie": f"theme=dark; __Host-masugata={rig.tokens[number % 500]}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
        connection.close()
        process.send_signal(signal.SIGTERM)
        collected = [line for line in process.communicate(timeout=60)[1].splitlines() if "Collected" in line]
        totals.append(int(collected[-1].split(":")[-1]))
    return (totals[1] - totals[0]) / (2 * count)


def revocation(trials):
    """Under load on every worker: each trial revokes a session that 4 threads keep using."""
    with gate_rig.Gate(workers=2) as gate:
        delays, late, trial_tokens = [], 0, []
        stop = threading.Event()

        def background():
            token = gate.sign_in(1)
            while not stop.is_set():
                gate.request("/echo", token=token)
        loaders = [threading.Thread(target=background, daemon=True) for _ in range(2)]
        for loader in loaders:
            loader.start()
        import http.client
        kept = [http.client.HTTPConnection("127.0.0.1", gate.port, timeout=10) for _ in range(8)]
        for trial in range(trials):
            number = 1000 + trial
            token = gate.sign_in(number)
            headers = {"Host": "acme.localhost", "Cookie": f"__Host-masugata={token}"}
            for connection in kept[:4]:
                connection.request("GET", "/echo", headers=headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
            returned_ns = int(gate.hand("remove", id=number)[1])
            first = None
            # Kept connections are spread over both workers: each is asked after the command returned.
            for connection in kept:
                connection.request("GET", "/echo", headers=headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    late += 1
                elif first is None:
                    first = (time.clock_gettime_ns(time.CLOCK_MONOTONIC) - returned_ns) / 1e6
            delays.append(first)
        stop.set()
        for loader in loaders:
            loader.join(10)
        delays.sort()
        print(f"revocation: {trials} trials, {late} late passes; first refusal seen after median {statistics.median(delays):.2f} ms, "
              f"p99 {delays[int(len(delays) * 0.99) - 1]:.2f} ms, longest {delays[-1]:.2f} ms (a request's own round trip included)")
        assert late == 0


def gate_costs(schemes, pairs, seconds, callgrind):
    print("worker CPU a request, and the ratio to bare proxy_pass (median of paired ratios)")
    for sessions in (1000, 1000000):
        rig = Rig(sessions)
        try:
            rig.sides_made = rig.sides()
            for pid, plain, tls in rig.sides_made.values():
                rig.load(f"http://127.0.0.1:{plain}/", 1)
            for scheme in schemes:
                for name, (cost, ratio) in compare(rig, scheme, pairs, seconds).items():
                    print(f"  {sessions:>8} sessions  {scheme:5}  {name:13} {cost:6.2f} us  {ratio:5.3f}", flush=True)
            if callgrind and sessions == 1000:
                counts = {name: instructions(rig, name, 300) for name in rig.sides_made}
                for name, count in counts.items():
                    print(f"  user instructions (callgrind)  {name:13} {count:8.0f}  {count / counts['bare']:5.3f}", flush=True)
        finally:
            rig.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--no-callgrind", action="store_true")
    parser.add_argument("--only")
    options = parser.parse_args()
    pairs, seconds, trials = (3, 1, 200) if options.quick else (7, 1, 1000)
    if options.only in (None, "plain", "tls"):
        gate_costs([options.only] if options.only else ["plain", "tls"], pairs, seconds, not options.no_callgrind)
    if options.only in (None, "revocation"):
        revocation(trials)
    if options.only in (None, "decision"):
        subprocess.run([BUILD / "tests/bench/bench-decision", "1000", "1000000", *([] if options.quick else ["10000000"])], check=True)


main()
