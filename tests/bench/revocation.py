#!/usr/bin/python3
"""make bench, revocation: from the command's return to the first refusal on every worker, and whether any request
passed after it. Budget: 10 ms, nothing late in 1,000 trials under load.

Two workers; wrk keeps both busy with another session. A trial makes a session, uses it on eight kept connections
of both workers, revokes it (gate-hand in the authority's place: the store that the command waits for) and asks on
all eight at once. A time is that of the slower worker, the request's own round trip included. Then a second kind:
requests begun on workers that a reload has told to leave, completed after the revocation. Beside each, in turn, the
same question by a session that was not revoked: what the machine alone takes for an answer.

All of it in one thread and a C program or two: a second thread of this one would add the interpreter's 5 ms.

revocation.py [TRIALS [DRAINING]]"""

import gc
import os
import pathlib
import select
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
import gate_rig  # noqa: E402
from harness import wait_until  # noqa: E402

TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
DRAINING = int(sys.argv[2]) if len(sys.argv) > 2 else 40
SERVER = "location = /fast { add_header X-Worker $pid always; return 204; }"


def now_ms():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.worker = None

    @staticmethod
    def request_of(token):
        return f"GET /fast HTTP/1.1\r\nHost: acme.localhost\r\nSec-Fetch-Mode: cors\r\nCookie: __Host-masugata={token}\r\n\r\n".encode()

    def answer(self):
        """The status; reads the whole answer, so that the connection can be used again."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            assert more, "hung up"
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(headers.get(b"content-length", 0)):
            body += self.socket.recv(65536)
        self.worker = int(headers[b"x-worker"]) if b"x-worker" in headers else self.worker
        return int(head.split(b" ", 2)[1])

    def get(self, token):
        self.socket.sendall(self.request_of(token))
        return self.answer()


def connections_on_both(gate, token):
    """Eight, at least two of each worker."""
    kept = []
    for _ in range(5000):  # the kernel gives a new one to whichever worker is awake
        connection = Connection(gate.port)
        assert connection.get(token) == 204
        if sum(other.worker == connection.worker for other in kept) < 4:
            kept.append(connection)
        if len(kept) == 8:
            return kept
    assert len({connection.worker for connection in kept}) == 2, "one worker takes every connection"
    return kept


def ask_all(kept, token, returned_ms):
    """(milliseconds until the slower worker's first answer, answers that let it pass) after a revocation."""
    request = Connection.request_of(token)
    for connection in kept:
        connection.socket.sendall(request)
    return answers(kept, returned_ms)


def answers(kept, returned_ms):
    first, passed, waiting = {}, 0, {connection.socket: connection for connection in kept}
    while waiting:
        ready, _, _ = select.select(waiting, [], [], 10)
        assert ready, "no answer"
        for one in ready:
            connection = waiting.pop(one)
            passed += connection.answer() == 204
            first.setdefault(connection.worker, now_ms() - returned_ms)
    return max(first.values()), passed


def revoke(gate, session):
    """When the command returned."""
    return int(gate.hand("remove", id=session)[1]) / 1e6


def trials(gate, count):
    delays, plain, late, kept = [], [], 0, None
    for session in range(1000, 1000 + count):
        token = gate.sign_in(session)
        if session % 200 == 0:  # nginx ends a connection after 1,000 requests
            kept = connections_on_both(gate, token)
        delay, passed = ask_all(kept, token, now_ms())
        plain.append(delay)
        assert passed == len(kept)
        delay, passed = ask_all(kept, token, revoke(gate, session))
        delays.append(delay)
        late += passed
    return sorted(delays), sorted(plain), late


def workers_of(gate):
    return set(map(int, subprocess.run(["pgrep", "-P", str(gate.nginx.pid)], capture_output=True, text=True).stdout.split()))


def draining_trials(gate, count):
    """Requests begun before a reload: their workers are leaving, and wait for them."""
    delays, plain, late = [], [], 0
    for session in range(100000, 100000 + 2 * count):
        token = gate.sign_in(session)
        kept = connections_on_both(gate, token)
        before, request = {connection.worker for connection in kept}, Connection.request_of(token)
        for connection in kept:
            connection.socket.sendall(request[:-2])
        time.sleep(0.02)  # so that they have been read
        gate.nginx.send_signal(signal.SIGHUP)
        wait_until(lambda: len(workers_of(gate) - before) >= 2, 10, every=0.005, what="new workers")
        time.sleep(0.1)  # the reload itself is not measured
        returned_ms = revoke(gate, session) if session % 2 == 0 else now_ms()
        for connection in kept:
            connection.socket.sendall(request[-2:])
        delay, passed = answers(kept, returned_ms)
        (delays if session % 2 == 0 else plain).append(delay)
        if session % 2 == 0:
            late += passed
        else:
            assert passed == len(kept)
        for connection in kept:
            connection.socket.close()
        wait_until(lambda: not before & workers_of(gate), 10, every=0.005, what="the old workers to leave")
    return sorted(delays), sorted(plain), late


def tell(what, delays, plain, late):
    def three(values):
        return f"median {statistics.median(values):.2f} ms, p99 {values[max(int(len(values) * 0.99) - 1, 0)]:.2f} ms, longest {values[-1]:.2f} ms"
    print(f"{what}: {len(delays)} trials, {late} late passes\n  first refusal on every worker after {three(delays)}\n"
          f"  an answer without a revocation {three(plain)}", flush=True)
    assert late == 0


def main():
    gc.disable()
    with gate_rig.Gate(workers=2, extra_server=SERVER) as gate:
        busy = gate.sign_in(1, expires_in_ms=36000000)
        load = subprocess.Popen(["wrk", "-t1", "-c4", "-d3600s", "-H", "Host: acme.localhost", "-H", f"Cookie: __Host-masugata={busy}",
                                 f"http://127.0.0.1:{gate.port}/fast"], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            tell("under load", *trials(gate, TRIALS))
            tell("under load, on draining workers", *draining_trials(gate, DRAINING))
        finally:
            load.kill()
            load.wait()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
