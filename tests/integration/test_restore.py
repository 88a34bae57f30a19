"""Restoring beside the live data, and drills: real copies of a tenant's database as it was at a moment."""

import datetime
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from harness import Deployment, can_change_mounts, wait_until

# The databases on a disk of their own, so that it can be filled.
DISK = 'mkdir -p "$DIR/postgres"; mount -t tmpfs -o size=900m,mode=711 tmpfs "$DIR/postgres"'


@pytest.fixture(scope="module")
def deployment():
    with Deployment({"backup.first_within": "24h"}, prepare=DISK if can_change_mounts() else None) as started:
        started.tenant_add("acme", upstream="127.0.0.1:9")
        app_sql(started, "CREATE TABLE note (text text)")
        started.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)
        yield started


def app_sql(deployment, sql):
    credentials = json.loads((deployment.run_directory / "app/1/database.json").read_text())
    return psql(credentials["host"], credentials["user"], credentials["password"], sql)


def psql(host, user, password, sql, database="app"):
    done = subprocess.run(["psql", "-X", "-h", host, "-U", user, "-d", database, "-qAt", "-c", sql], capture_output=True, text=True,
                          env={"PGPASSWORD": password, "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def copy_directory(deployment, kind="restore"):
    return deployment.inside(deployment.directory / f"postgres/{kind}-1")


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def test_a_copy_is_what_was_there_then(deployment):
    time.sleep(2.1)  # pgBackRest tells the end of a backup in whole seconds
    app_sql(deployment, "INSERT INTO note VALUES ('before')")
    moment = now()
    time.sleep(0.05)
    app_sql(deployment, "DELETE FROM note; INSERT INTO note VALUES ('after')")
    copy = deployment.json("restore", "--tenant", "acme", "--to", moment, timeout=240)
    assert psql(copy["host"], copy["user"], copy["password"], "SELECT text FROM note", copy["database"]) == "before"
    assert copy["last_change"] <= moment.replace("+00:00", "Z")
    assert app_sql(deployment, "SELECT text FROM note") == "after", "the live one was touched"
    # Nobody else gets in, and nothing can be changed.
    credentials = deployment.json("restore", "--tenant", "acme", "--show")
    assert credentials["password"] == copy["password"]
    shown = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "vendor_read", "--json").stdout
    assert "restored copy" in shown
    # Without a durable record nobody is told the password.
    audit = deployment.status()["audit"]["pid"]
    os.kill(audit, signal.SIGSTOP)
    try:
        untold = deployment.masugata("restore", "--tenant", "acme", "--show", check=False)
        assert untold.returncode != 0 and copy["password"] not in untold.stdout + untold.stderr
    finally:
        os.kill(audit, signal.SIGCONT)
    wait_until(lambda: deployment.masugata("restore", "--tenant", "acme", "--show", check=False).returncode == 0, 60, what="the log again")
    with pytest.raises(AssertionError):
        psql(copy["host"], copy["user"], copy["password"], "DELETE FROM note", copy["database"])
    with pytest.raises(AssertionError):
        psql(copy["host"], "app_a", "x", "SELECT 1", copy["database"])
    assert deployment.masugata("restore", "--tenant", "acme", "--to", moment, check=False, timeout=240).returncode == 1, "one at a time"
    assert "restore" in deployment.masugata("audit", "search", "--tenant", "acme", "--event", "restore", "--json").stdout
    deployment.masugata("restore", "--tenant", "acme", "--discard")
    assert not copy_directory(deployment).exists()
    assert deployment.masugata("restore", "--tenant", "acme", "--show", check=False).returncode == 1


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_a_moment_outside_the_window_is_refused_with_the_window(deployment, moment):
    refused = deployment.masugata("restore", "--tenant", "acme", "--to", moment, check=False, timeout=240)
    assert refused.returncode == 1 and "can be restored lies between" in refused.stderr
    assert not copy_directory(deployment).exists()
    assert deployment.json("backup", "list", "--json")["instances"][1]["state"] == ""


def test_words_that_are_no_moment(deployment):
    assert deployment.masugata("restore", "--tenant", "acme", "--to", "yesterday", check=False).returncode == 2
    assert deployment.masugata("restore", "--tenant", "acme", check=False).returncode == 2


def test_a_drill_restores_measures_and_removes(deployment):
    for which in (("--tenant", "acme"), ()):
        row = deployment.json("drill", *which, timeout=300)["drills"][0]
        assert row["state"] == "" and row["rto_ms"] > 0 and 60000 < row["rpo_ms"] < 120000 and row["drilled_at"]
    assert not copy_directory(deployment, "drill").exists()
    found = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "restore_drill", "--json").stdout
    assert "held" in found and "rto_ms" in found


def test_what_a_tenant_made_runs_as_nobody_but_itself(deployment):
    """count(t), format() and a policy of the tenant's own, where a drill and a copy look: none may run there."""
    shout = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
    app_sql(deployment, f"""
        CREATE TABLE trap (text text); INSERT INTO trap VALUES ('x'), ('y');
        CREATE TABLE odd (t json, g integer GENERATED ALWAYS AS (1 + 1) STORED, p point[], far text);
        INSERT INTO odd (far) SELECT string_agg(md5(i::text), '') FROM generate_series(1, 5000) i; CREATE TABLE bare ();
        CREATE FUNCTION public.count(public.trap) RETURNS bigint {shout};
        CREATE FUNCTION public.count(public.note) RETURNS bigint {shout};
        CREATE FUNCTION public.format(text, name, name) RETURNS text {shout};
        CREATE FUNCTION public.shout() RETURNS boolean {shout};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC;
        ALTER TABLE trap ENABLE ROW LEVEL SECURITY; ALTER TABLE trap FORCE ROW LEVEL SECURITY;
        CREATE POLICY shouts ON trap USING (public.shout());
        ALTER DATABASE app SET search_path = public, pg_catalog""")
    deployment.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)
    # The window begins with the full backup before; only a moment after this marker has the trap for certain.
    moment = now()
    time.sleep(0.05)
    row = deployment.json("drill", "--tenant", "acme", timeout=300)["drills"][0]
    assert row["state"] == ""
    copy = deployment.json("restore", "--tenant", "acme", "--to", moment, timeout=240)
    try:
        held = psql(copy["host"], copy["user"], copy["password"], "SELECT pg_catalog.count(*) FROM ONLY public.trap", copy["database"])
        assert held == "2"
    finally:
        deployment.masugata("restore", "--tenant", "acme", "--discard")
        app_sql(deployment, "ALTER DATABASE app RESET search_path; DROP TABLE trap CASCADE; DROP TABLE odd, bare; DROP FUNCTION public.count(public.note),"
                            " public.format(text, name, name), public.shout()")


@pytest.mark.skipif(not can_change_mounts(), reason="needs root")
def test_a_copy_that_the_disk_has_no_room_for_is_refused_before_it_begins(deployment):
    ballast = deployment.inside(deployment.directory / "postgres/ballast")
    disk = os.statvfs(ballast.parent)
    try:
        with ballast.open("wb") as file:
            for _ in range((disk.f_bavail * disk.f_frsize >> 20) - 200):
                file.write(bytes(1 << 20))
        refused = deployment.masugata("restore", "--tenant", "acme", "--to", now(), check=False, timeout=240)
        assert refused.returncode == 3 and "nothing was begun" in refused.stderr, refused.stderr
        assert not copy_directory(deployment).exists()
    finally:
        ballast.unlink()


@pytest.mark.parametrize("victim", ["pgbackrest", "launcher", "worker"])
def test_a_drill_that_was_cut_short_leaves_nothing_in_the_way_of_the_next(deployment, victim):
    asked = subprocess.Popen([deployment.program, "drill", "--tenant", "acme", "--dir", str(deployment.directory)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def restoring():
        for entry in pathlib.Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if b"--stanza=tenant-1" in words and b"restore" in words and str(deployment.directory).encode() in b" ".join(words):
                    return int(entry.name)
            except OSError:
                pass
        return None

    pid = wait_until(restoring, 90, 0.002, "pgbackrest")
    if victim == "pgbackrest":
        subprocess.run(["kill", "-9", str(pid)])
    else:
        deployment.kill(victim)
    asked.wait(120)
    wait_until(lambda: deployment.masugata("drill", "--tenant", "acme", check=False, timeout=120).returncode == 0, 180, 0.5, "a whole drill")
    assert not copy_directory(deployment, "drill").exists()


def test_what_was_saved_can_be_restored_while_the_database_is_down(deployment):
    app_sql(deployment, "DELETE FROM note; INSERT INTO note VALUES ('last')")
    moment = now()
    deployment.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)
    data = deployment.inside(deployment.directory / "postgres/tenant-1/data")
    control, away = data / "global/pg_control", data / "global/away"
    postmaster = int((data / "postmaster.pid").read_text().split()[0])
    control.rename(away)
    os.kill(postmaster, 9)
    try:
        copy = deployment.json("restore", "--tenant", "acme", "--to", moment, timeout=300)
        assert psql(copy["host"], copy["user"], copy["password"], "SELECT text FROM note", copy["database"]) == "last"
    finally:
        away.rename(control)
    deployment.masugata("restore", "--tenant", "acme", "--discard", timeout=120)
    wait_until(lambda: deployment.masugata("backup", "now", "--tenant", "acme", check=False, timeout=120).returncode == 0, 180, 1, "well")


def test_a_drill_of_a_damaged_backup_fails_and_stays_known(deployment):
    # Every full one: the drill draws its moment, and takes the backup before it.
    for bundle in (deployment.directory / "backup/near/tenant-1/backup/tenant-1").glob("*F/bundle/1"):
        content = bytearray(bundle.read_bytes())
        for at in range(len(content) // 3, 2 * len(content) // 3):
            content[at] ^= 0x55
        bundle.write_bytes(bytes(content))
    assert deployment.masugata("drill", "--tenant", "acme", check=False, timeout=300).returncode != 0

    def state():
        return next(row["state"] for row in deployment.json("backup", "list")["instances"] if row["tenant"] == "acme")
    assert state() == "drill"
    assert not copy_directory(deployment, "drill").exists()
