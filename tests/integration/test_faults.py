"""Any process may be killed at any moment: it is back within two seconds, nothing that was
acknowledged is lost, signed-in users keep being answered, and nothing passes that should not."""

import concurrent.futures
import http.server
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from browser import Browser
from harness import Deployment, PROGRAM, free_port, wait_until

KILLS = int(os.environ.get("MASUGATA_TEST_KILLS", "40"))  # the full run has 200
PROCESSES = ["keys", "audit", "hasher", "authority", "portal", "worker", "watch", "prober", "launcher"]
PASSWORD = "a correct horse of seventeen staples"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.headers.get("X-Masugata-Assertion", "none").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            pass  # a worker of nginx was killed in the middle


@pytest.fixture(scope="module")
def app_port():
    port = free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield port
    server.shutdown()


@pytest.fixture(scope="module")
def deployment(app_port):
    with Deployment() as made:
        made.tenant_add("acme", f"127.0.0.1:{app_port}")
        made.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                      "--password-stdin", input=PASSWORD + "\n")
        yield made


@pytest.fixture(scope="module")
def signed_in(deployment):
    browser = Browser(deployment)
    page = browser.sign_in(f"https://acme.localhost:{deployment.https_port}/", "aiko@acme.example", PASSWORD)
    assert page.status == 200 and page.text.count(".") == 2, page.text[:500]
    return browser


def home(deployment):
    return f"https://acme.localhost:{deployment.https_port}/"


@pytest.mark.parametrize("process", PROCESSES)
def test_a_killed_process_is_back_within_two_seconds(deployment, process):
    wait_until(lambda: all(row["state"] == "running" for row in deployment.status().values()), 20)
    before = deployment.status()[process]
    killed_at = time.monotonic()
    os.kill(before["pid"], signal.SIGKILL)

    def back():
        now = deployment.status()[process]
        return now["state"] == "running" and now["pid"] != before["pid"]

    wait_until(back, 5, every=0.02, what=f"{process} running again")
    assert time.monotonic() - killed_at <= 2.0
    assert f"{process} (pid {before['pid']}) ended by signal 9" in (deployment.directory / "log/warden.log").read_text()


def test_signed_in_users_are_answered_while_processes_die(deployment, signed_in):
    answers, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            answers.append(signed_in.send(home(deployment)).status)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(load) for _ in range(2)]
        for process in PROCESSES:
            deployment.kill(process)
            time.sleep(0.7)
        stop.set()
        for worker in workers:
            worker.result()
    assert len(answers) > 50
    assert set(answers) == {200}, {status: answers.count(status) for status in set(answers)}


def test_random_kills_lose_nothing(deployment, signed_in):
    """Users are added, sessions made and revoked while a random process or PostgreSQL is killed. What
    the command acknowledged must be there afterwards; a revoked session must never pass."""
    chance = random.Random(20261122)
    added, revoked, wrong = [], [], []
    stop = threading.Event()

    def add_users():
        number = 0
        while not stop.is_set():
            number += 1
            login = f"user{number}@acme.example"
            done = deployment.masugata("user", "add", "--tenant", "acme", login, "--name", f"User {number}", "--roles", "user",
                                       "--password-stdin", input=PASSWORD + "\n", check=False)
            if done.returncode == 0:
                added.append(login)

    def sign_in_and_revoke():
        while not stop.is_set():
            browser = Browser(deployment)
            try:
                page = browser.sign_in(home(deployment), "aiko@acme.example", PASSWORD)
            except (OSError, IndexError):
                continue
            if page.status != 200 or page.text.count(".") != 2:
                continue
            try:
                browser.get(f"https://acme.localhost:{deployment.https_port}/.masugata/sign-out")
                done = browser.submit(follow=False)
            except (OSError, IndexError):
                continue
            if done.status in (200, 302, 303):
                revoked.append(dict(browser.cookies["acme.localhost"]))

    def anonymous():
        while not stop.is_set():
            try:
                status = Browser(deployment).send(home(deployment)).status
            except OSError:
                continue
            if status == 200:
                wrong.append(status)
            time.sleep(0.05)

    threads = [threading.Thread(target=target) for target in (add_users, sign_in_and_revoke, anonymous)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        target = chance.choice(PROCESSES + ["postgres"])
        if target == "postgres":
            postmasters = subprocess.run(["pgrep", "-f", f"postgres -D {deployment.directory}|{deployment.directory}/postgres/.*/data"],
                                         capture_output=True, text=True).stdout.split()
            if postmasters:
                try:
                    os.kill(int(chance.choice(postmasters)), signal.SIGKILL)
                except ProcessLookupError:
                    pass
        else:
            row = deployment.status().get(target)
            if row and row["pid"]:
                try:
                    os.kill(row["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        time.sleep(chance.uniform(0.1, 0.9))
    stop.set()
    for thread in threads:
        thread.join()
    wait_until(lambda: all(row["state"] == "running" for row in deployment.status().values()), 60)
    wait_until(lambda: deployment.masugata("tenant", "list", check=False).returncode == 0, 30)
    known = set()
    after = []
    while True:
        page = deployment.json("user", "list", "--tenant", "acme", *after)
        known |= {row["login"] for row in page["users"]}
        if not page.get("more"):
            break
        after = ["--after", page["users"][-1]["login"]]
    assert not wrong, "a request without a session passed"
    assert set(added) <= known, f"lost users: {set(added) - known}"
    # The last kill may have been a database: then the maintenance page shows for a moment, and goes.
    def answered():
        status = signed_in.send(home(deployment)).status
        assert status in (200, 503), f"an acknowledged session was lost: {status}"
        return status == 200

    wait_until(answered, 20, what="answer 200 for the session that was there before")
    verify = subprocess.run([PROGRAM, "audit", "verify", "--log", str(deployment.directory / "audit/log"), "--key",
                             str(deployment.directory / "audit/log.vkey")], capture_output=True, text=True)
    assert verify.returncode == 0, verify.stdout + verify.stderr
    print(f"{KILLS} kills, {len(added)} users added, {len(revoked)} sign-outs acknowledged")


def test_an_orderly_stop_leaves_no_key_on_tmpfs_and_loses_no_session(deployment, signed_in):
    run_directory = deployment.run_directory
    deployment.stop()
    assert not run_directory.exists()
    deployment.up()
    wait_until(lambda: signed_in.send(home(deployment)).status == 200, 20, what="the session of before the stop")
