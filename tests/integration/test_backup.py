"""Backups: real pgBackRest for every instance, its own repository and passphrase each; what a killed process, a lost
passphrase or a full repository leaves behind, and that the next run heals it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
from browser import Browser
from harness import Deployment, wait_until
from test_clock import PREPARE, Clock, pytestmark as needs_clock


@pytest.fixture(scope="module")
def deployment():
    with Deployment({"backup.first_within": "24h", "backup.near.site": "tokyo"}, prepare=None if needs_clock.args[0] else PREPARE) as started:
        started.tenant_add("acme", upstream="127.0.0.1:9")
        started.masugata("backup", "now", "--full", timeout=240)
        yield started


def overview(deployment):
    return {row["tenant"]: row for row in deployment.json("backup", "list")["instances"]}


def backups(deployment, *which):
    return deployment.json("backup", "list", *which)["backups"]


def repository(deployment, name="tenant-1"):
    return deployment.directory / "backup" / "near" / name


def test_everything_is_backed_up(deployment):
    rows = overview(deployment)
    assert set(rows) == {"(masugata)", "acme"}
    for row in rows.values():
        assert row["state"] == "" and row["site"] == "tokyo" and row["plan"] == "window72"
        assert row["full_at"] and row["log_at"] and row["from"] and row["backups"] >= 1
    label = deployment.json("backup", "now", "--tenant", "acme")["backups"][0]["backup"]
    assert label.endswith("D") and backups(deployment, "--tenant", "acme")[-1]["backup"] == label
    assert backups(deployment, "--control")[0]["kind"] == "full"
    found = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "backup", "--json").stdout
    assert label in found


def test_each_has_a_passphrase_of_its_own_on_tmpfs_alone(deployment):
    seen = set()
    for name in ("control", "tenant-1"):
        path = deployment.run_directory / "backup" / name / "pgbackrest.conf"
        assert path.stat().st_mode & 0o7777 == 0o400
        text = path.read_text()
        assert "repo1-cipher-type=aes-256-cbc" in text
        passphrase = next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("repo1-cipher-pass="))
        assert len(passphrase) == 43
        seen.add(passphrase)
        held = subprocess.run(["grep", "-rlF", passphrase, str(deployment.directory)], capture_output=True, text=True)
        assert held.stdout == ""
    assert len(seen) == 2


def test_nothing_readable_lies_in_the_repository(deployment):
    for path in repository(deployment).rglob("*"):
        if path.is_file() and path.stat().st_size:
            assert path.read_bytes().startswith(b"Salted__"), path


def test_only_plans_that_there_are(deployment):
    assert deployment.masugata("backup", "list", "--tenant", "nobody", check=False).returncode == 1
    assert deployment.masugata("backup", "now", "--tenant", "acme", "--control", check=False).returncode == 2
    wrong = deployment.masugata("tenant", "add", "beta", "--upstream", "127.0.0.1:9", "--backup-plan", "never", check=False)
    assert wrong.returncode != 0 and "window72, hourly" in wrong.stderr
    wrong = deployment.masugata("tenant", "policy", "acme", "--file", "-", input='backup.plan = "never"\n', check=False)
    assert wrong.returncode != 0


def policy(deployment, plan):
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input=f'backup.plan = "{plan}"\n')
    wait_until(lambda: overview(deployment)["acme"]["plan"] == plan, 90, 0.2, "plan")


def test_a_tenants_plan_reaches_its_database(deployment):
    policy(deployment, "frequent")
    configuration = deployment.directory / "postgres" / "tenant-1" / "postgresql.conf"
    wait_until(lambda: "archive_timeout = 600s" in configuration.read_text(), 60, 0.5, "archive_timeout")


def plan_file(deployment):
    return (deployment.directory / "worker/backup/tenant-1.plan").read_text().split()[2:]


def test_a_plan_that_keeps_less_is_not_believed_at_once(deployment):
    """backup.grace: until then what the plan before keeps stays; a restart changes nothing of that."""
    policy(deployment, "year")
    wait_until(lambda: plan_file(deployment)[:2] == ["year", "year"], 30, 0.2, "the plan is kept")
    policy(deployment, "daily")
    wait_until(lambda: plan_file(deployment)[:2] == ["year", "daily"], 30, 0.2, "the plan is kept")
    before = plan_file(deployment)
    assert int(before[2]) > 0
    deployment.kill("worker")
    wait_until(lambda: overview(deployment)["acme"]["plan"] == "daily", 60, 0.5, "worker")
    assert plan_file(deployment) == before, "neither begun anew nor forgotten"
    policy(deployment, "year")
    wait_until(lambda: plan_file(deployment) == ["year", "year", "0"], 30, 0.2, "the slip is forgotten")
    policy(deployment, "window72")


def test_a_policy_that_says_nothing_of_backups_leaves_the_plan(deployment):
    policy(deployment, "days90")
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input="session.idle = 10m\n")
    assert deployment.json("tenant", "policy", "acme")["backup.plan"] == "days90"
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input="backup.plan = deployment\n")  # said, it goes
    assert deployment.json("tenant", "policy", "acme")["backup.plan"] == "deployment"
    policy(deployment, "window72")


# ---- pages and API ----

PASSWORD = "correct horse battery staple"


def at(deployment, path, tenant="acme"):
    return f"https://id.{tenant}.localhost:{deployment.https_port}{path}"


def test_a_tenants_people_see_their_own_and_only_that(deployment):
    for role in ("administrator", "user"):
        deployment.masugata("user", "add", role, "--tenant", "acme", "--name", role, "--roles", role, "--email", f"{role}@acme.example",
                            "--password-stdin", input=PASSWORD)
    boss = Browser(deployment, "ja")
    boss.sign_in(at(deployment, "/sign-in"), "administrator", PASSWORD)
    page = boss.get(at(deployment, "/console/backups")).text
    newest = backups(deployment, "--tenant", "acme")[-1]["backup"]
    assert "計画どおり" in page and newest in page and "tokyo" in page and "過去 72 時間の任意の時点に復元できる" in page
    assert "span-window" in page and "<script" not in page.split("</head>")[1] and "4 時間" in page
    # Nobody else's by asking for it: the session says whose.
    mine = [entry["backup"] for entry in reversed(backups(deployment, "--tenant", "acme"))]
    for query in ("", "?tenant=", "?tenant=masugata-drill"):
        other = boss.get(at(deployment, f"/console/backups{query}")).text
        assert re.findall(r'<span class="hint">(\d{8}-[^<]+)</span></th>', other) == mine
    person = Browser(deployment)
    person.sign_in(at(deployment, "/sign-in"), "user", PASSWORD)
    refused = person.send(at(deployment, "/console/backups"))
    assert refused.status == 403 and newest not in refused.text
    assert "/console/backups" not in person.get(at(deployment, "/account")).text


def test_operators_see_every_database(deployment):
    deployment.masugata("user", "add", "ops", "--name", "Ops", "--email", "ops@vendor.example", "--password-stdin", input=PASSWORD)
    browser, origin = Browser(deployment), f"https://console.localhost:{deployment.https_port}"
    browser.sign_in(f"{origin}/console/backups", "ops", PASSWORD)
    page = browser.get(f"{origin}/console/backups").text
    assert "Masugata&#39;s own" in page or "Masugata's own" in page
    assert 'href="/console/backups?tenant=acme"' in page and "As planned" in page and "masugata-drill" not in page
    assert backups(deployment, "--tenant", "acme")[-1]["backup"] in browser.get(f"{origin}/console/backups?tenant=acme").text
    assert backups(deployment, "--control")[-1]["backup"] in browser.get(f"{origin}/console/backups?tenant=").text
    assert browser.send(f"{origin}/console/backups?tenant=nobody").status in (403, 404)
    # The plan of a new tenant is chosen in its form.
    browser.get(f"{origin}/console/tenants/new")
    browser.submit({"name": "beta", "tenant_label": "Beta", "hosts": "beta.localhost", "upstream": "127.0.0.1:9", "backup_plan": "year"},
                   action="/console/tenants/new")
    wait_until(lambda: overview(deployment).get("beta", {}).get("plan") == "year", 90, 0.5, "plan of the new tenant")


def test_the_api_tells_the_same(deployment):
    deployment.masugata("token", "account", "monitor", "--tenant", "acme", "--name", "Monitor", "--roles", "auditor")
    secrets = [deployment.json("token", "add", "monitor", "--tenant", "acme", "--label", "test", "--permissions", permission)["secret"]
               for permission in ("backups.read", "users.read")]

    def ask(path, secret):
        answer = Browser(deployment).send(at(deployment, f"/api/v1{path}"), "GET", None,
                                          {"Authorization": f"Bearer {secret}", "Accept": "application/json"})
        return answer.status, json.loads(answer.text)
    status, state = ask("/backups", secrets[0])
    row = overview(deployment)["acme"]
    assert status == 200 and state["plan"] == row["plan"] and state["restorable_from"] == row["from"] and state["site"] == "tokyo"
    assert state["rpo_ms"] == 120000 and state["rto_ms"] == 4 * 3600 * 1000 and state["trouble"] == ""
    status, found = ask("/backups/list", secrets[0])
    assert status == 200 and [item["name"] for item in found["items"]] == [entry["backup"] for entry in backups(deployment, "--tenant", "acme")]
    assert ask("/backups", secrets[1])[0] == 403 and ask("/backups/list", secrets[1])[0] == 403


def test_figures_for_monitoring(deployment):
    """OpenMetrics 1.0: families with their types, samples, # EOF at the end."""
    lines = deployment.masugata("backup", "metrics").stdout.splitlines()
    assert lines[-1] == "# EOF"
    samples = {}
    for line in lines[:-1]:
        if not line.startswith("# "):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
            assert f"# TYPE {name.split('{')[0]} gauge" in lines
    assert 0 <= samples['masugata_backup_recovery_point_age_seconds{tenant="acme"}'] < 3600
    assert samples['masugata_backup_window_start_timestamp_seconds{tenant="acme"}'] > 1.7e9
    assert samples['masugata_backup_trouble{tenant="acme"}'] == 0 and 'masugata_backup_trouble{tenant="(masugata)"}' in samples
    assert 'masugata_backup_drill_rto_seconds{tenant="acme"}' not in samples, "none was measured"


def verify(deployment):
    done = deployment.masugata("backup", "verify", "--tenant", "acme", "--json", check=False)
    return done.returncode, overview(deployment)["acme"]["state"]


def settle(deployment, newest):
    """After a finding a full backup is taken by itself; then what is lost is accepted."""
    wait_until(lambda: (last := backups(deployment, "--tenant", "acme")[-1])["backup"] > newest and last["kind"] == "full",
               90, 0.3, "a new full backup")
    deployment.masugata("backup", "accept", "--tenant", "acme")
    assert verify(deployment) == (0, "")


def files(deployment, pattern):
    return sorted(path for path in repository(deployment).glob(pattern) if path.is_file())


def test_what_was_not_touched_is_well(deployment):
    assert verify(deployment) == (0, "")
    assert overview(deployment)["acme"]["verified_at"]
    found = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "backup_verify", "--json").stdout
    assert '"problems"' in found


def test_a_flipped_byte_is_found_where_pgbackrest_finds_none(deployment):
    path = files(deployment, "backup/tenant-1/*F/bundle/1")[-1]
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(flipped) // 2] ^= 1
    path.write_bytes(bytes(flipped))
    assert verify(deployment) == (1, "changed")
    assert str(path.relative_to(repository(deployment))) in deployment.masugata("backup", "list").stdout
    assert verify(deployment) == (1, "changed"), "a second look must not take it for good"
    path.write_bytes(content)
    assert verify(deployment) == (0, ""), "the file put back"


def test_a_removed_piece_of_the_log_is_found(deployment):
    segments = files(deployment, "archive/tenant-1/15-1/*/*-*.lz4")
    assert len(segments) >= 3
    newest = segments[-1]
    kept = newest.read_bytes()
    owner = newest.stat()
    newest.unlink()
    assert verify(deployment) == (1, "gap"), "the newest: only the database knows of it"
    newest.write_bytes(kept)
    os.chown(newest, owner.st_uid, owner.st_gid)
    assert verify(deployment) == (0, "")
    segments[-2].unlink()
    last = backups(deployment, "--tenant", "acme")[-1]["backup"]
    assert verify(deployment) == (1, "gap")
    settle(deployment, last)


def test_a_removed_backup_is_found(deployment):
    deployment.masugata("backup", "now", "--tenant", "acme", "--full")
    label = backups(deployment, "--tenant", "acme")[-2]["backup"]
    shutil.rmtree(repository(deployment) / "backup/tenant-1" / label)
    deployment.masugata("backup", "now", "--tenant", "acme")
    assert label not in {row["backup"] for row in backups(deployment, "--tenant", "acme")}, "pgBackRest forgets what is not there"
    last = backups(deployment, "--tenant", "acme")[-1]["backup"]
    assert verify(deployment) == (1, "missing")
    settle(deployment, last)


def test_an_inventory_that_was_changed_is_not_believed(deployment):
    path = deployment.directory / "worker/backup/tenant-1.files"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:1] + lines[2:]) + "\n")
    last = backups(deployment, "--tenant", "acme")[-1]["backup"]
    assert verify(deployment) == (1, "inventory")
    settle(deployment, last)


@pytest.mark.parametrize("victim", ["pgbackrest", "launcher", "worker", "postgres"])
def test_a_backup_that_was_cut_short_is_taken_the_next_time(deployment, victim):
    asked = subprocess.Popen([deployment.program, "backup", "now", "--tenant", "acme", "--full", "--dir", str(deployment.directory)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ours = f"--config={deployment.run_directory}/backup/tenant-1/pgbackrest.conf".encode() + b"\0--stanza=tenant-1\0backup"

    def running():
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and ours in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                pass
        return None

    pid = wait_until(running, 60, 0.002, "pgbackrest")
    if victim == "pgbackrest":
        os.kill(pid, 9)
    elif victim == "postgres":
        os.kill(int((deployment.directory / "postgres/tenant-1/data/postmaster.pid").read_text().split()[0]), 9)
    else:
        deployment.kill(victim)
    asked.wait(120)
    wait_until(lambda: deployment.masugata("backup", "list", check=False).returncode == 0, 60, 0.5, "worker")
    wait_until(lambda: deployment.masugata("backup", "now", "--tenant", "acme", "--full", check=False, timeout=120).returncode == 0,
               180, 0.5, "a whole backup")
    wait_until(lambda: overview(deployment)["acme"]["state"] == "", 60, 0.5, "well")


def test_a_repository_that_cannot_be_written_is_told_and_heals(deployment):
    moved = repository(deployment).with_name("away")
    repository(deployment).rename(moved)
    repository(deployment).write_text("")  # not a directory: nothing can be put there
    try:
        refused = deployment.masugata("backup", "now", "--tenant", "acme", check=False)
        assert refused.returncode != 0
        assert overview(deployment)["acme"]["state"] in ("repository", "failed", "log")
        assert "is not a directory" in deployment.masugata("backup", "list").stdout
        assert overview(deployment)["(masugata)"]["state"] == ""
    finally:
        repository(deployment).unlink()
        moved.rename(repository(deployment))
    wait_until(lambda: deployment.masugata("backup", "now", "--tenant", "acme", check=False, timeout=120).returncode == 0, 120, 0.5, "healed")
    wait_until(lambda: overview(deployment)["acme"]["state"] == "", 60, 0.5, "well")


def app_sql(deployment, sql):
    """None while the database cannot be asked."""
    try:
        credentials = json.loads((deployment.run_directory / "app/1/database.json").read_text())
    except FileNotFoundError:
        return None
    done = subprocess.run(["psql", "-X", "-h", credentials["host"], "-U", credentials["user"], "-d", "app", "-qAt", "-c", sql], text=True,
                          capture_output=True, env={"PGPASSWORD": credentials["password"], "PATH": "/usr/bin:/bin"})
    return done.stdout.strip() if done.returncode == 0 else None


def archiver_of(deployment):
    postmaster = (deployment.directory / "postgres/tenant-1/data/postmaster.pid").read_text().split()[0]
    found = subprocess.run(["pgrep", "-P", postmaster, "-f", "archiver"], capture_output=True, text=True).stdout.split()
    return int(found[0])


def test_a_log_that_waits_is_told_when_nothing_fails(deployment):
    """An archiver that hangs reports no failure: the age of what waits is judged."""
    archiver = archiver_of(deployment)
    os.kill(archiver, signal.SIGSTOP)
    try:
        app_sql(deployment, "CREATE TABLE filler AS SELECT md5(i::text) FROM generate_series(1, 60000) i")
        status = deployment.directory / "postgres/tenant-1/data/pg_wal/archive_status"
        ready = wait_until(lambda: sorted(status.glob("*.ready")), 60, 0.2, "a segment that waits")
        assert verify(deployment)[1] == ""
        os.utime(ready[0], (ready[0].stat().st_atime, ready[0].stat().st_mtime - 600))
        assert verify(deployment) == (0, "log")
    finally:
        os.kill(archiver, signal.SIGCONT)
    wait_until(lambda: verify(deployment) == (0, ""), 60, 1, "well")


def test_an_empty_repository_is_not_taken_for_a_new_one(deployment):
    """A disk that is not mounted: no stanza and no backup hides that."""
    parts = [repository(deployment) / name for name in ("backup", "archive")]
    for part in parts:
        part.rename(part.with_name(part.name + ".away"))
    try:
        assert deployment.masugata("backup", "now", "--tenant", "acme", "--full", check=False, timeout=120).returncode != 0
        wait_until(lambda: overview(deployment)["acme"]["state"] == "repository", 60, 0.5, "told")
        assert "is empty" in deployment.masugata("backup", "list").stdout
        assert not files(deployment, "backup/**/backup.info"), "a stanza was made"
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)
            part.with_name(part.name + ".away").rename(part)
    wait_until(lambda: deployment.masugata("backup", "now", "--tenant", "acme", check=False, timeout=120).returncode == 0, 120, 0.5, "healed")
    wait_until(lambda: overview(deployment)["acme"]["state"] == "", 90, 0.5, "well")


def test_databases_serve_when_the_repository_is_away(deployment):
    deployment.stop()
    near = deployment.directory / "backup/near"
    near.rename(near.with_name("away"))
    near.write_text("")
    try:
        deployment.up()
        wait_until(lambda: app_sql(deployment, "SELECT 7") == "7", 60, 0.5, "the tenant's database")
        wait_until(lambda: overview(deployment)["acme"]["state"] == "repository", 60, 0.5, "told")
        assert overview(deployment)["(masugata)"]["state"] == "repository"
    finally:
        deployment.stop()
        near.unlink()
        near.with_name("away").rename(near)
        deployment.up()
    wait_until(lambda: overview(deployment)["acme"]["state"] == "", 90, 0.5, "well")


@needs_clock
def test_what_a_plan_lets_go_is_destroyed_and_recorded(deployment):
    """Three days pass: each has its full backup by itself; nothing goes before backup.grace has passed and a younger backup
    stands for it, and then it is gone from the disk, with its log and with a record."""
    clock = Clock(deployment)
    full = []

    def day(hours):
        clock.shift(hours * 3600)

        def newest():
            last = backups(deployment, "--tenant", "acme")[-1]
            return last["backup"] if last["kind"] == "full" and last["backup"] > full[-1] else None
        full.append(wait_until(newest, 120, 0.3, "the day's full backup"))
        assert verify(deployment) == (0, "")  # its turn comes after all that the backup's did

    def destroyed():
        return deployment.masugata("audit", "search", "--tenant", "acme", "--event", "backup_destroy", "--json").stdout

    policy(deployment, "daily")
    full.append(deployment.json("backup", "now", "--tenant", "acme", "--full")["backups"][0]["backup"])
    segments = files(deployment, "archive/tenant-1/15-1/*/*-*.lz4")
    day(25)
    day(50)
    assert plan_file(deployment)[:2] == ["year", "daily"], "the longest of the tests before"
    assert {row["backup"] for row in backups(deployment, "--tenant", "acme")} > set(full) and full[0] not in destroyed()
    damaged = files(deployment, f"backup/tenant-1/{full[0]}/bundle/1")[0]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert verify(deployment) == (1, "changed")
    full.append(wait_until(lambda: (last := backups(deployment, "--tenant", "acme")[-1]["backup"]) > full[-1] and last.endswith("F") and last,
                           120, 0.3, "what was found has a full backup taken"))
    clock.shift(73 * 3600)
    wait_until(lambda: plan_file(deployment) == ["daily", "daily", "0"], 30, 0.2, "the shorter plan counts")
    deployment.kill("worker")
    wait_until(lambda: overview(deployment)["acme"]["state"] == "changed", 90, 0.3, "found again")
    assert full[0] not in destroyed(), "before what was found was looked for again"
    damaged.write_bytes(content)
    assert verify(deployment) == (0, "")
    day(75)
    assert [row["backup"] for row in backups(deployment, "--tenant", "acme")] == full[3:]
    kept = {path.name for path in (repository(deployment) / "backup/tenant-1").glob("2*")}
    assert kept == set(full[3:])
    assert not [path for path in segments if path.exists()], "the log of what is gone"
    record = destroyed()
    assert all(label in record for label in full[:3]) and not any(label in record for label in full[3:])
    clock.shift(0)


def test_paths_that_backups_cannot_have_are_refused_before_anything_starts(deployment, tmp_path):
    blank = tmp_path / "a b"
    made = subprocess.run([deployment.program, "init", "--dir", str(blank), "--lang", "en"], capture_output=True, text=True)
    assert made.returncode == 2 and "without blanks" in made.stderr and not blank.exists(), made.stderr
    other = Deployment({"backup.near.path": str(blank)})
    with pytest.raises(AssertionError, match="without blanks"):
        other.start()
    shutil.rmtree(other.directory)
