"""A disk that is full, for real (small file systems of their own): what cannot be kept is refused in words, nothing
that was acknowledged is lost, signed-in users go on, and all is well by itself when there is space again."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from browser import Browser
from harness import Deployment, PROGRAM, can_change_mounts, wait_until
from http_wire import Recorder
from test_data import psql

PASSWORD = "a correct horse of seventeen staples"
DISKS = {"postgres/control": "160m", "postgres/tenant-1": "64m", "audit": "160m"}
HOME, ID = "https://acme.localhost", "https://id.acme.localhost"

pytestmark = pytest.mark.skipif(not can_change_mounts(), reason="mounts small file systems: needs root")


class Disk:
    """One of the small file systems, filled to the last block and emptied again."""

    def __init__(self, deployment, name):
        self.directory = deployment.inside(deployment.directory / name)
        self.files = []

    def fill(self, leave=0):
        path = self.directory / f"filler{len(self.files)}"
        self.files.append(path)
        for _ in range(3):  # what the others free meanwhile, too
            usage = os.statvfs(self.directory)
            with open(path, "ab") as filler:
                size = max(0, usage.f_bavail * usage.f_frsize - leave)
                try:
                    if size:
                        os.posix_fallocate(filler.fileno(), filler.tell(), size)
                except OSError:
                    pass

    def free(self):
        for path in self.files:
            path.unlink(missing_ok=True)
        self.files = []


class Load:
    """A signed-in user and a stranger, all the time."""

    def __init__(self, deployment, browser):
        self.deployment, self.browser = deployment, browser
        self.answers, self.passed, self.stop = [], [], threading.Event()

    def __enter__(self):
        self.threads = [threading.Thread(target=target) for target in (self.signed_in, self.stranger)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def signed_in(self):
        while not self.stop.wait(0.05):
            self.answers.append(self.browser.send(f"{HOME}:{self.deployment.https_port}/").status)

    def stranger(self):
        while not self.stop.wait(0.1):
            status = Browser(self.deployment).send(f"{HOME}:{self.deployment.https_port}/").status
            if status == 200:
                self.passed.append(status)


@pytest.fixture(scope="module")
def deployment():
    mounts = "\n".join(f'mkdir -p "$DIR/{name}"; mount -t tmpfs -o size={size},mode=0755 tmpfs "$DIR/{name}"' for name, size in DISKS.items())
    app = Recorder()
    with Deployment(prepare=mounts) as made:
        made.tenant_add("acme", f"127.0.0.1:{app.port}")
        made.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                      "--password-stdin", input=PASSWORD + "\n")
        yield made
    app.close()


@pytest.fixture(scope="module")
def browser(deployment):
    browser = Browser(deployment)
    assert browser.sign_in(f"{HOME}:{deployment.https_port}/", "aiko@acme.example", PASSWORD).status == 200
    return browser


def disk_of(deployment, name):
    disk = Disk(deployment, name)
    assert str(disk.directory).startswith("/proc/") and os.statvfs(disk.directory).f_blocks < 50000
    return disk


def user_add(deployment, login):
    started = time.monotonic()
    done = deployment.masugata("user", "add", "--tenant", "acme", login, "--name", "Someone", "--roles", "user", "--password-stdin",
                               input=PASSWORD + "\n", check=False)
    assert time.monotonic() - started < 30
    return done


def logins(deployment):
    known, after = set(), []
    while True:
        page = deployment.json("user", "list", "--tenant", "acme", *after)
        known |= {row["login"] for row in page["users"]}
        if not page.get("more"):
            return known
        after = ["--after", page["users"][-1]["login"]]


def can_sign_in(deployment):
    try:
        return Browser(deployment).sign_in(f"{HOME}:{deployment.https_port}/", "aiko@acme.example", PASSWORD).status == 200
    except IndexError:  # no form: a page that says why
        return False


def all_is_well(deployment, browser):
    wait_until(lambda: all(row["state"] == "running" for row in deployment.status().values()), 30, what="every process")
    wait_until(lambda: user_add(deployment, f"after{time.monotonic_ns()}@acme.example").returncode == 0, 60, what="a user added")
    wait_until(lambda: can_sign_in(deployment), 30, 0.5, what="a sign-in")
    wait_until(lambda: browser.send(f"{HOME}:{deployment.https_port}/").status == 200, 20, what="the session of before")
    log = deployment.inside(deployment.directory / "audit")
    done = subprocess.run([PROGRAM, "audit", "verify", "--log", str(log / "log"), "--key", str(log / "log.vkey")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_control_database_has_no_space(deployment, browser):
    disk = disk_of(deployment, "postgres/control")
    kept, refused = [], []
    with Load(deployment, browser) as load:
        disk.fill()
        for number in range(60):
            done = user_add(deployment, f"full{number}@acme.example")
            if done.returncode == 0:
                kept.append(f"full{number}@acme.example")
            else:
                refused.append(done)
                if len(refused) >= 3:
                    break
        # And a server that has to come back while there is no space.
        pid = int((disk.directory / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        time.sleep(3)
        disk.fill()
        done = user_add(deployment, "last@acme.example")
        (kept.append("last@acme.example") if done.returncode == 0 else refused.append(done))
        disk.free()
        all_is_well(deployment, browser)
    assert refused, "the disk was never full"
    print([r.stderr.strip() for r in refused], len(kept), {s: load.answers.count(s) for s in set(load.answers)})
    for done in refused:
        assert done.returncode == 3 and done.stderr.strip(), done
    assert set(kept) <= logins(deployment)
    assert set(load.answers) == {200}, {s: load.answers.count(s) for s in set(load.answers)}
    assert not load.passed


def test_a_tenants_database_has_no_space(deployment, browser):
    access = json.loads((deployment.run_directory / "app/1/database.json").read_text())
    assert psql(access, "CREATE TABLE kept (number integer, filling text)")[0] == 0
    disk = disk_of(deployment, "postgres/tenant-1")
    kept, refused = [], []
    with Load(deployment, browser) as load:
        disk.fill(leave=4 << 20)
        for number in range(400):
            code, said = psql(access, f"INSERT INTO kept SELECT {number}, string_agg(md5((i * {number + 1})::text), '') FROM generate_series(1, 4000) i")
            if code == 0:
                kept.append(number)
            else:
                refused.append(said)
                if len(refused) >= 3:
                    break
        # Its journal too: PostgreSQL ends itself rather than lose a row, and cannot come back without space.
        disk.fill()
        for _ in range(300):
            code, said = psql(access, "SELECT 1 FROM pg_logical_emit_message(true, 'test', repeat('x', 200000))")
            if code != 0:
                refused.append(said)
                break
        # The neighbours and the control plane do not notice.
        assert user_add(deployment, "neighbour@acme.example").returncode == 0
        disk.free()
        wait_until(lambda: psql(access, "SELECT 1")[0] == 0, 60, 0.5, what="the tenant's database")
        code, found = psql(access, "SELECT string_agg(number::text, ' ' ORDER BY number) FROM kept")
        wait_until(lambda: psql(access, "INSERT INTO kept VALUES (-1, '')")[0] == 0, 30, 0.5, what="a row")
        all_is_well(deployment, browser)
    assert refused and len(kept) > 3
    print(refused, len(kept), {s: load.answers.count(s) for s in set(load.answers)})
    assert code == 0 and found.split() == [str(number) for number in kept]
    # While its database was away, its users saw the maintenance page: 503, and nothing else.
    assert set(load.answers) <= {200, 503} and not load.passed


def test_the_audit_log_has_no_space(deployment, browser):
    disk = disk_of(deployment, "audit")
    kept, refused = [], []
    with Load(deployment, browser) as load:
        disk.fill(leave=1 << 20)
        time.sleep(1)
        assert not can_sign_in(deployment)
        # What operators do goes on in the space that is kept for it, until that is used up too.
        done = user_add(deployment, "reserve@acme.example")
        (kept.append("reserve@acme.example") if done.returncode == 0 else refused.append(done))
        for _ in range(3):
            disk.fill()
            time.sleep(0.3)
        for number in range(5):
            done = user_add(deployment, f"audit{number}@acme.example")
            (kept.append(f"audit{number}@acme.example") if done.returncode == 0 else refused.append(done))
        disk.free()
        all_is_well(deployment, browser)
    print([r.stderr.strip() for r in refused], len(kept), {s: load.answers.count(s) for s in set(load.answers)})
    for done in refused:
        assert done.returncode == 3 and "full" in done.stderr, done
    assert set(kept) <= logins(deployment)
    assert set(load.answers) == {200} and not load.passed
