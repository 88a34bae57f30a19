"""The tenants' databases in a whole deployment: kept apart, credentials that change without a failed
query, and servers that come back whoever is killed."""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from harness import BUILD, Deployment, wait_until

OVERLAP_S, ROTATION_S, KEY_ROTATION_S = 5, 10, 25


@pytest.fixture(scope="module")
def deployment():
    with Deployment({"credentials.rotation": f"{ROTATION_S}s", "credentials.overlap": f"{OVERLAP_S}s",
                     "keys.rotation": f"{KEY_ROTATION_S}s"}) as deployment:
        deployment.tenant_add("acme", "example:notes")
        deployment.tenant_add("hinode", "example:notes")
        yield deployment


def credentials(deployment, tenant):
    return json.loads((deployment.run_directory / "app" / str(tenant) / "database.json").read_text())


def psql(access, sql, host=None):
    """(exit code, output) of one statement with an application's credentials."""
    environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD": access["password"], "PGCONNECT_TIMEOUT": "5", "PGPASSFILE": "/dev/null/none"}
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host or access["host"], "-U",
                           access["user"], "-d", access["dbname"], "-c", sql],
                          capture_output=True, text=True, env=environment, timeout=30)
    return done.returncode, (done.stdout + done.stderr).strip()


def ask(deployment, tenant, sql):
    code, output = psql(credentials(deployment, tenant), sql)
    assert code == 0, output
    return output


def postmaster(deployment, instance):
    path = deployment.directory / "postgres" / instance / "data" / "postmaster.pid"

    def read():  # while a server takes the place of a killed one there is none, or half a file
        try:
            return int(path.read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            return None

    return wait_until(read, 10, what=str(path))


def is_another(deployment, instance, pid):
    """A new server has taken the place of `pid`; while it starts it replaces the file."""
    try:
        return postmaster(deployment, instance) != pid
    except (OSError, ValueError):
        return False


def serves(deployment, tenant):
    try:
        return psql(credentials(deployment, tenant), "SELECT 1") == (0, "1")
    except (OSError, ValueError):
        return False


def test_credentials_are_for_the_application_alone(deployment):
    path = deployment.run_directory / "app" / "1" / "database.json"
    found = path.stat()
    assert found.st_mode & 0o7777 == 0o400
    assert len(credentials(deployment, 1)["password"]) >= 43  # 256 bits in base64url
    if os.getuid() == 0:
        other = (deployment.run_directory / "app" / "2" / "database.json").stat()
        assert 0 not in (found.st_uid, other.st_uid) and found.st_uid != other.st_uid
        socket = pathlib.Path(credentials(deployment, 1)["host"]).stat()
        assert socket.st_mode & 0o7777 == 0o710 and socket.st_gid == found.st_uid


def test_credentials_of_one_tenant_open_no_other(deployment):
    one, two = credentials(deployment, 1), credentials(deployment, 2)
    assert psql(one, "SELECT 1") == (0, "1")
    code, output = psql(one, "SELECT 1", host=two["host"])
    assert code != 0 and "password authentication failed" in output
    for user in ("masugata_super", "postgres", "app_owner", "masugata_probe"):
        code, output = psql({**one, "user": user}, "SELECT 1", host=two["host"])
        assert code != 0, user
    code, output = psql({**two, "dbname": "postgres"}, "SELECT 1")
    assert code != 0 and "pg_hba.conf rejects" in output


def test_application_owns_its_tables_and_nothing_else(deployment):
    assert ask(deployment, 1, "SELECT current_user, session_user").startswith("app_owner|app_")
    for refused in ("CREATE ROLE x", "CREATE DATABASE x", "COPY (SELECT 1) TO PROGRAM 'true'",
                    "SELECT pg_read_file('postgresql.conf')", "ALTER SYSTEM SET fsync = off",
                    "SELECT * FROM pg_authid", "SET ROLE masugata_super"):
        code, output = psql(credentials(deployment, 1), refused)
        assert code != 0, refused


def reach(path, uid, groups=(), text=b""):
    """What another uid gets from a unix socket: the beginning of the answer, or the error's name."""
    program = ("import socket, sys\n"
               "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.argv[2] == 'seq' else socket.SOCK_STREAM)\n"
               "try:\n  s.connect(sys.argv[1]); s.sendall(sys.argv[3].encode()); print(s.recv(12).decode())\n"
               "except OSError as e:\n  print(type(e).__name__)")
    kind = "stream" if text else "seq"
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={','.join(groups)}" if groups else "--clear-groups",
               "/usr/bin/python3", "-c", program, str(path), kind, text.decode()]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.mark.skipif(os.getuid() != 0, reason="one uid for everything")
def test_only_who_is_meant_reaches_a_socket(deployment):
    run = deployment.run_directory
    for name in ("admin/admin.sock", "proof/prove.sock", "warden.sock", "portal/http.sock"):
        assert reach(run / name, "65534") == "PermissionError", name
    # The watch's group lets it reach applications, and the portal's socket with them; it is not nginx.
    question = b"GET /sign-in HTTP/1.1\r\nHost: x\r\nX-Masugata-Tenant: 0\r\nX-Masugata-Origin: operator\r\n\r\n"
    assert reach(run / "portal/http.sock", "masugata-watch", ["masugata-gate"], question) == "HTTP/1.1 403"
    assert reach(run / "portal/http.sock", "masugata-gate", ["masugata-gate"], question).startswith("HTTP/1.1 ")
    assert reach(run / "portal/http.sock", "masugata-gate", ["masugata-gate"], question) != "HTTP/1.1 403"


def test_instances_listen_on_no_network(deployment):
    assert ask(deployment, 1, "SHOW listen_addresses") == ""
    assert ask(deployment, 1, "SHOW data_checksums") == "on"
    identifiers = {ask(deployment, tenant, "SHOW cluster_name") for tenant in (1, 2)}
    assert identifiers == {"tenant-1", "tenant-2"}


def test_rotation_under_load_fails_no_query(deployment):
    path = deployment.run_directory / "app" / "1" / "database.json"
    done = subprocess.run([str(BUILD / "credentials-load"), str(path), str(3 * ROTATION_S + 5)], capture_output=True,
                          text=True, timeout=120)
    result = json.loads(done.stdout)
    print(result)
    assert result["failed"] == 0, done.stderr
    assert result["queries"] > 1000
    assert result["changes"] >= 2 * 8  # each of eight clients saw the role change at least twice


def test_replaced_role_ends_after_the_overlap(deployment):
    old = credentials(deployment, 2)
    wait_until(lambda: credentials(deployment, 2)["user"] != old["user"], ROTATION_S + 10, what="rotation")
    wait_until(lambda: psql(old, "SELECT 1")[0] != 0, OVERLAP_S + 10, what="end of the old role")
    assert psql(credentials(deployment, 2), "SELECT 1") == (0, "1")
    events = deployment.masugata("audit", "search", "credential_rotate", "--json").stdout
    assert "credential_rotate" in events and old["password"] not in events


@pytest.mark.parametrize("round_number", range(3))
def test_killed_server_is_back_with_every_committed_row(deployment, round_number):
    ask(deployment, 1, "CREATE TABLE IF NOT EXISTS kept (n int)")
    ask(deployment, 1, f"INSERT INTO kept VALUES ({round_number})")
    before = ask(deployment, 1, "SELECT count(*) FROM kept")
    killed, pid = time.monotonic(), postmaster(deployment, "tenant-1")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_another(deployment, "tenant-1", pid), 10, 0.02, "new server process")
    started = time.monotonic() - killed
    wait_until(lambda: serves(deployment, 1), 30, 0.02, "server after kill -9")
    print(f"started after {started:.2f} s, served after {time.monotonic() - killed:.2f} s")
    assert started < 2  # how long the recovery then takes is the machine's matter
    assert ask(deployment, 1, "SELECT count(*) FROM kept") == before


def test_killed_launcher_finds_its_children_again(deployment):
    before = {name: postmaster(deployment, name) for name in ("control", "tenant-1", "tenant-2")}
    launcher = deployment.status()["launcher"]["pid"]
    deployment.kill("launcher")
    assert serves(deployment, 1)  # nobody needs it to be there
    wait_until(lambda: deployment.status()["launcher"]["pid"] not in (0, launcher), 10, what="launcher")
    time.sleep(1)
    assert {name: postmaster(deployment, name) for name in before} == before
    # The new one watches them.
    os.kill(before["tenant-2"], signal.SIGKILL)
    wait_until(lambda: serves(deployment, 2) and is_another(deployment, "tenant-2", before["tenant-2"]), 20,
               what="server after kill -9 of launcher and server")


def test_killed_worker_and_watch_change_nothing(deployment):
    for name in ("worker", "watch"):
        pid = deployment.status()[name]["pid"]
        deployment.kill(name)
        assert serves(deployment, 1)
        wait_until(lambda: deployment.status()[name]["pid"] not in (0, pid), 10, what=name)
    user = credentials(deployment, 1)["user"]
    wait_until(lambda: credentials(deployment, 1)["user"] != user, ROTATION_S + 20, what="rotation after the kill")


def test_assertions_get_another_signing_key_by_themselves(deployment):
    def rotations():
        lines = deployment.masugata("audit", "search", "--event", "key_rotate", "--json").stdout.splitlines()
        return len([line for line in lines if json.loads(line).get("entity", {}).get("name") == "assertion"])

    before = rotations()
    wait_until(lambda: rotations() > before, KEY_ROTATION_S + 20, every=1, what="rotation")


def test_a_password_is_replaced_by_hand(deployment):
    """Refused while the password before still works, and then done at once."""
    def rotate(name):
        return deployment.masugata("tenant", "rotate", name, "--json", check=False)

    wait_until(lambda: rotate("hinode.localhost").returncode == 0, OVERLAP_S + ROTATION_S, every=0.2, what="rotation")
    user = credentials(deployment, 2)["user"]
    again = rotate("hinode")
    assert again.returncode == 1 and json.loads(again.stdout)["error"] == "REFUSED", again.stdout
    assert credentials(deployment, 2)["user"] == user and serves(deployment, 2)
    assert rotate("nobody").returncode == 1


def test_a_swap_that_was_cut_short_is_finished_with_the_same_password(deployment):
    """Whatever was in the file at any moment opens the database, until its overlap is over."""
    chance = random.Random(20261122)
    seen = {}
    for turn in range(4):
        before = credentials(deployment, 1)["user"]
        deadline = time.monotonic() + ROTATION_S + OVERLAP_S + 10
        kill_at = time.monotonic() + chance.uniform(0, ROTATION_S)
        while credentials(deployment, 1)["user"] == before and time.monotonic() < deadline:
            if time.monotonic() >= kill_at:
                deployment.kill("worker")
                kill_at = deadline  # more in a minute would be flapping
            time.sleep(0.01)
        access = credentials(deployment, 1)
        assert access["user"] != before
        if turn % 2:
            deployment.kill("worker")  # perhaps before it has noted that it is done
        seen.setdefault(access["user"], set()).add(access["password"])
        ends = time.monotonic() + OVERLAP_S - 1
        while time.monotonic() < ends:
            assert psql(access, "SELECT 1") == (0, "1"), "a password that was given out stopped working"
            time.sleep(0.2)
    assert all(len(passwords) >= 2 for passwords in seen.values())


def test_database_that_hangs_shows_the_maintenance_page(deployment):
    log = deployment.directory / "log" / "watch.log"
    # This tenant's lines alone: the drill's tenant is taken away and comes back whenever the prober's round comes.
    last = lambda: ([line for line in log.read_text().splitlines() if "tenant hinode: " in line] or [""])[-1]
    pid = postmaster(deployment, "tenant-2")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: "application answers, database is away" in last(), 20, what="watch")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "application answers, database answers" in last(), 45, what="recovery")


def test_everything_ends_and_starts_again(deployment):
    ask(deployment, 1, "CREATE TABLE IF NOT EXISTS kept (n int)")
    before = ask(deployment, 1, "SELECT count(*) FROM kept")
    pids = [postmaster(deployment, name) for name in ("control", "tenant-1", "tenant-2")]
    deployment.masugata("down")
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5, what="end of every server")
    deployment.up()
    wait_until(lambda: serves(deployment, 1) and serves(deployment, 2), 30, what="second start")
    assert ask(deployment, 1, "SELECT count(*) FROM kept") == before
