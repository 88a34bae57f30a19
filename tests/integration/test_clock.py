"""The wall clock jumps an hour, each way, under a whole deployment: nothing waits an hour, nothing passes that should
not, what was recorded stays, and users are served (after signing in again where their session was too old or too
young to be believed). The machine's own clock is not touched: see tests/support/clock_shift.c."""

import base64
import json
import struct
import subprocess
import time

import pytest

from browser import Browser
from harness import BUILD, Deployment, PROGRAM, can_change_mounts, wait_until
from http_wire import Recorder
from test_data import psql

PASSWORD = "a correct horse of seventeen staples"
HOUR = 3600
SHIM = BUILD / "tests/support/clock-shift.so"
# A copy of /etc with the shim in it, over /etc, for this deployment alone.
PREPARE = f"""
mkdir -p "$DIR/etc"
mount -t tmpfs -o mode=0755 tmpfs "$DIR/etc"
cp -a /etc/. "$DIR/etc/"
cp "{SHIM}" "$DIR/etc/masugata-clock.so"
head -c 8 /dev/zero > "$DIR/etc/masugata-clock-shift"
echo /etc/masugata-clock.so > "$DIR/etc/ld.so.preload"
chmod 644 "$DIR/etc/masugata-clock-shift" "$DIR/etc/ld.so.preload"
mount --bind "$DIR/etc" /etc
"""

pytestmark = pytest.mark.skipif(not can_change_mounts() or b"libasan" in open(PROGRAM, "rb").read(),
                                reason="needs root for a mount namespace, and ASan will not have another library before its own")


class Clock:
    def __init__(self, deployment):
        self.file = open(deployment.inside("/etc/masugata-clock-shift"), "r+b", buffering=0)

    def shift(self, seconds):
        self.file.seek(0)
        self.file.write(struct.pack("=q", seconds))
        time.sleep(1.2)  # nginx's and the processes' next look


@pytest.fixture(scope="module")
def court():
    app = Recorder()
    with Deployment({"session.idle": "30m"}, prepare=PREPARE) as deployment:
        deployment.app = app
        deployment.tenant_add("acme", f"127.0.0.1:{app.port}")
        deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                            "--password-stdin", input=PASSWORD + "\n")
        deployment.clock = Clock(deployment)
        yield deployment
    app.close()


@pytest.fixture(autouse=True)
def right_time(court):
    yield
    court.clock.shift(0)


def home(court):
    return f"https://acme.localhost:{court.https_port}/"


def sign_in(court):
    browser = Browser(court)
    try:
        return browser if browser.sign_in(home(court), "aiko@acme.example", PASSWORD).status == 200 else None
    except IndexError:
        return None


def status(court, browser):
    return browser.send(home(court)).status


def assertion_times(court):
    value = [v for r in court.app.requests for n, v in r["headers"] if n == "x-masugata-assertion"][-1]
    payload = value.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["nbf"], claims["exp"]


def served(court, shift):
    """A new sign-in works at once, with an assertion that is valid by the shifted clock; changes by operators work."""
    browser = wait_until(lambda: sign_in(court), 15, 0.3, what=f"a sign-in with the clock at {shift:+} s")
    assert status(court, browser) == 200
    begin, end = assertion_times(court)
    assert begin <= time.time() + shift + 1 < end and end - begin <= 300
    started = time.monotonic()
    name = f"t{abs(shift)}{'p' if shift > 0 else 'm'}{time.monotonic_ns() % 100000}"
    court.tenant_add(name, f"127.0.0.1:{court.app.port}")
    assert time.monotonic() - started < 30
    assert all(row["state"] == "running" for row in court.status().values())
    return browser


def verified(court):
    log = court.directory / "audit"
    done = subprocess.run([PROGRAM, "audit", "verify", "--log", str(log / "log"), "--key", str(log / "log.vkey")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_clock_of_every_program_is_moved(court):
    court.clock.shift(HOUR)
    answer = court.request(home(court))
    seen = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert abs(seen - time.time() - HOUR) < 5  # nginx
    access = json.loads((court.run_directory / "app/1/database.json").read_text())
    code, said = psql(access, "SELECT extract(epoch FROM clock_timestamp())")
    assert code == 0 and abs(float(said) - time.time() - HOUR) < 5  # PostgreSQL
    court.kill("canary")
    wait_until(lambda: court.status()["canary"]["state"] == "running", 5)
    line = (court.directory / "log/warden.log").read_text().strip().splitlines()[-1]
    assert line.startswith(time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + HOUR))), line  # ours


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_jump_and_back(court, shift):
    old = sign_in(court)
    assert status(court, old) == 200
    court.clock.shift(shift)
    answers = {status(court, old) for _ in range(5)}
    # Ahead, half an hour without a request is over; back, the session would live longer than one can: sign in again.
    assert answers <= {302, 303}, answers
    young = served(court, shift)
    assert status(court, Browser(court)) in (302, 303)
    court.clock.shift(0)
    # And the other way round, for the session made meanwhile.
    assert status(court, young) in (200, 302, 303)
    served(court, 0)
    verified(court)


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_a_code_is_not_good_for_longer(court, shift):
    """The single-use code of the way from the sign-in page to the application lives a minute, whatever the clock does."""
    browser = Browser(court)
    browser.get(home(court))
    page = browser.submit({"login": "aiko@acme.example", "password": PASSWORD}, follow=False)
    target = page.headers["Location"]
    for _ in range(4):
        if "/.masugata/enter?" in target:
            break
        target = browser.send(target).headers["Location"]
    assert "/.masugata/enter?" in target
    court.clock.shift(shift)
    answer = browser.send(target)
    assert "__Host-masugata" not in browser.cookies.get("acme.localhost", {})
    assert answer.status in (302, 303, 400, 403, 410)
    court.clock.shift(0)


def test_findings_of_another_hour_are_not_green(court):
    """What was found an hour ahead is not believed when the clock is back: it is looked at again."""
    court.clock.shift(HOUR)
    court.masugata("prove", "EDGE_01", check=False)
    court.clock.shift(0)
    shown = wait_until(lambda: next((c for c in court.json("prove", "EDGE_01", check=False)["controls"] if c["id"] == "EDGE_01"), None), 30)
    at = shown["at"]
    assert abs(time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - time.time()) < 120, at


@pytest.mark.parametrize("shift", [HOUR, -HOUR])
def test_whoever_is_killed_is_back_in_time(court, shift):
    """Back-off, restarts and calls wait by the monotonic clock, which no jump in the middle changes."""
    first = shift
    court.clock.shift(shift)
    for process in ("authority", "keys", "worker", "audit"):
        before = court.status()[process]["pid"]
        court.kill(process)
        shift = 0 if shift else first
        court.clock.shift(shift)
        wait_until(lambda: (row := court.status()[process])["state"] == "running" and row["pid"] != before, 5, what=f"{process} back")
    wait_until(lambda: sign_in(court), 15, 0.3, what="a sign-in")
    verified(court)


def test_a_refused_password_is_answered_in_time(court):
    for shift in (HOUR, 0, -HOUR, 0):
        court.clock.shift(shift)
        browser = Browser(court)
        browser.get(home(court))
        started = time.monotonic()
        browser.submit({"login": f"nobody{shift}{started}@acme.example", "password": "wrong wrong wrong wrong"})
        assert time.monotonic() - started < 5
