"""The vault: everything finished in the near repository is copied to another site under a seal of its own. What happens
to the vault is said, the near repository goes on, and the next run heals it."""

import datetime
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest
from harness import Deployment, wait_until


@pytest.fixture(scope="module")
def place():
    # Readable for the database's uid, wherever TMPDIR is.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="vault-"))
    directory.chmod(0o755)
    (directory / "vault").mkdir(mode=0o755)
    yield directory / "vault"
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def deployment(place):
    with Deployment({"backup.first_within": "24h", "site": "jp-tokyo", "backup.near.site": "jp-tokyo", "backup.vault.path": str(place),
                     "backup.vault.site": "jp-osaka"}) as started:
        started.tenant_add("acme", upstream="127.0.0.1:9")
        app_sql(started, "CREATE TABLE note (text text)")
        started.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)
        verify(started)  # the first comes by itself: what a test breaks is for the test's own
        yield started


def app_sql(deployment, sql):
    credentials = json.loads((deployment.run_directory / "app/1/database.json").read_text())
    return psql(credentials, sql)


def psql(credentials, sql):
    done = subprocess.run(["psql", "-X", "-h", credentials["host"], "-U", credentials["user"], "-d", "app", "-qAt", "-c", sql],
                          capture_output=True, text=True, env={"PGPASSWORD": credentials["password"], "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def row(deployment, tenant="acme"):
    return next(each for each in deployment.json("backup", "list")["instances"] if each["tenant"] == tenant)


def await_whole(deployment):
    wait_until(lambda: row(deployment)["vault"] == "jp-osaka: 0 s behind", 120, 0.5, "the vault is whole")


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


def inventory(deployment):
    lines = (deployment.directory / "worker/backup/tenant-1.files").read_text().splitlines()[1:-1]
    return {line.split(" ", 1)[1] for line in lines}


def events(deployment):
    return deployment.masugata("audit", "search", "--tenant", "acme", "--event", "vault_trouble", "--json").stdout


def verify(deployment):
    return deployment.masugata("backup", "verify", "--tenant", "acme", "--json", check=False, timeout=240)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def full(deployment):
    deployment.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)


def test_everything_is_there_under_a_seal_of_its_own(deployment, place):
    await_whole(deployment)
    store = place / "tenant-1"
    assert files(store) - {"head"} == inventory(deployment)
    for path in store.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert content.startswith(b"masugata-vault 1\n") and b"Salted__" not in content[:64], path
    assert row(deployment)["state"] == ""


def test_a_flipped_byte_is_said_and_healed(deployment, place):
    target = next((place / "tenant-1/backup/tenant-1").glob("*F/bundle/1"))
    whole = target.read_bytes()
    flip(target)
    verify(deployment)
    seen = row(deployment)
    assert seen["state"] == "vault-changed" and "bundle/1" in events(deployment)
    assert len(target.read_bytes()) == len(whole)
    verify(deployment)
    assert row(deployment)["state"] == ""


def test_a_head_that_was_changed_is_healed(deployment, place):
    flip(place / "tenant-1/head")
    full(deployment)
    wait_until(lambda: "older state" in events(deployment), 60, 0.5, "it is said")
    await_whole(deployment)
    verify(deployment)
    assert row(deployment)["state"] == ""


def test_an_old_copy_put_back_is_said_and_healed(deployment, place):
    old = place / "old"
    shutil.copytree(place / "tenant-1", old)
    before = events(deployment).count("older state")
    full(deployment)
    await_whole(deployment)
    shutil.rmtree(place / "tenant-1")
    owner = old.parent.stat()
    shutil.copytree(old, place / "tenant-1")
    shutil.rmtree(old)
    # As the database's uid left it.
    near = (deployment.directory / "backup/near/tenant-1").stat()
    subprocess.run(["chown", "-R", f"{near.st_uid}:{near.st_gid}", str(place / "tenant-1")], check=owner.st_uid == 0)
    verify(deployment)
    assert events(deployment).count("older state") > before
    await_whole(deployment)
    assert files(place / "tenant-1") - {"head"} == inventory(deployment)
    verify(deployment)
    assert row(deployment)["state"] == ""


def test_a_vault_that_is_away_stops_nothing(deployment, place):
    away = place.parent / "away"
    place.rename(away)
    place.mkdir(mode=0o755)  # what is left where nothing is mounted
    full(deployment)
    wait_until(lambda: row(deployment)["state"] == "vault-away", 90, 0.5, "it is said")
    assert files(place) == set(), "nothing was written beside the vault"
    for path in place.iterdir():
        path.rmdir()
    place.rmdir()
    away.rename(place)
    verify(deployment)
    await_whole(deployment)
    verify(deployment)
    assert row(deployment)["state"] == ""


def test_killed_in_the_middle_it_goes_on(deployment, place):
    full(deployment)
    for process in ("launcher", "worker"):
        deployment.kill(process)
        time.sleep(0.2)
    wait_until(lambda: deployment.masugata("backup", "list", check=False).returncode == 0, 90, 0.5, "worker")
    wait_until(lambda: row(deployment)["vault"] == "jp-osaka: 0 s behind", 180, 0.5, "the vault is whole")
    assert not [path for path in files(place) if path.endswith(".part")]


def test_restored_from_the_vault_alone(deployment, place):
    """The near repository is gone: what was copied brings the data back, to the moment that was copied."""
    time.sleep(2.1)  # pgBackRest tells the end of a backup in whole seconds
    app_sql(deployment, "INSERT INTO note VALUES ('before')")
    moment = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    time.sleep(0.05)
    app_sql(deployment, "DELETE FROM note; INSERT INTO note VALUES ('after')")
    copy = deployment.json("restore", "--tenant", "acme", "--to", moment, "--from", "vault", timeout=240)
    assert psql(copy, "SELECT text FROM note") == "before"
    deployment.masugata("restore", "--tenant", "acme", "--discard")
    assert not (deployment.directory / "backup/back/restore-1").exists()
    # The log can still be saved there; no backup is left.
    near = deployment.directory / "backup/near/tenant-1/backup"
    away = near.with_name("away")
    near.rename(away)
    try:
        assert deployment.masugata("restore", "--tenant", "acme", "--to", moment, check=False, timeout=240).returncode != 0
        copy = deployment.json("restore", "--tenant", "acme", "--to", moment, "--from", "vault", timeout=240)
        assert psql(copy, "SELECT text FROM note") == "before"
        deployment.masugata("restore", "--tenant", "acme", "--discard")
        assert files(place / "tenant-1") >= inventory(deployment), "what is gone there stays here"
    finally:
        away.rename(near)


def test_a_list_that_is_no_plain_file_is_not_read(deployment, place):
    """The launcher reads it where the worker writes: nothing else of this machine gets into the vault's run that way."""
    listed = deployment.directory / "worker/backup/tenant-1.files"
    kept = listed.with_name("kept")
    listed.rename(kept)
    secret = place.parent / "secret"
    secret.write_text("masugata-inventory 1 0 0 -\nhmac 00\n")
    listed.symlink_to(secret)
    moment = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    time.sleep(0.05)
    done = deployment.masugata("restore", "--tenant", "acme", "--to", moment, "--from", "vault", check=False, timeout=240)
    assert done.returncode != 0 and "link" in done.stderr, done.stderr
    assert not (deployment.run_directory / "backup/tenant-1/wanted").exists()
    listed.unlink()
    kept.rename(listed)
    verify(deployment)
    await_whole(deployment)


def test_what_is_accepted_as_lost_stays_in_the_vault(deployment, place):
    near = deployment.directory / "backup/near/tenant-1/backup/tenant-1"
    lost = sorted(near.glob("*F"))[0]
    there = files(place / "tenant-1/backup/tenant-1" / lost.name)
    assert there
    shutil.rmtree(lost)
    verify(deployment)
    assert row(deployment)["state"] in ("missing", "changed", "gap")
    deployment.masugata("backup", "accept", "--tenant", "acme", timeout=240)
    hold = int((deployment.directory / "worker/backup/tenant-1.vault").read_text().split()[3])
    assert hold > time.time() * 1000 + 86400000, "kept for as long as the plan keeps a backup"
    full(deployment)
    await_whole(deployment)
    deployment.kill("worker")
    wait_until(lambda: deployment.masugata("backup", "list", check=False).returncode == 0, 90, 0.5, "worker")
    full(deployment)
    await_whole(deployment)
    assert files(place / "tenant-1/backup/tenant-1" / lost.name) == there
    verify(deployment)
    assert row(deployment)["state"] == ""


def test_what_is_lost_before_it_was_copied_is_said(deployment, place):
    away = place.parent / "away"
    place.rename(away)
    full(deployment)
    near = deployment.directory / "backup/near/tenant-1/backup/tenant-1"
    target = next(sorted(near.glob("*F"))[-1].glob("bundle/1"))
    content = target.read_bytes()
    target.write_bytes(b"changed")
    away.rename(place)
    wait_until(lambda: row(deployment)["state"] == "vault-lost", 120, 0.5, "it is said")
    assert '"lost"' in events(deployment)
    target.write_bytes(content)
    verify(deployment)
    await_whole(deployment)
    assert row(deployment)["state"] == ""


def test_drills_take_turns(deployment):
    for _ in range(2):
        assert deployment.json("drill", "--tenant", "acme", timeout=300)["drills"][0]["state"] == ""
    found = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "restore_drill", "--json").stdout
    assert '"vault"' in found and '"near"' in found


def policy(deployment, text):
    return deployment.masugata("tenant", "policy", "beta", "--file", "-", input=text, check=False)


def test_nothing_goes_outside_of_the_residency(deployment, place):
    """jp-osaka, where the vault is, lies outside of jp-tokyo: for that tenant, and for our own database, which knows of it."""
    refused = deployment.masugata("tenant", "add", "gamma", "--upstream", "127.0.0.1:9", "--residency", "us eu", check=False)
    assert refused.returncode != 0 and "jp-tokyo" in refused.stderr
    wrong = deployment.masugata("tenant", "add", "gamma", "--upstream", "127.0.0.1:9", "--residency", "JP", check=False)
    assert wrong.returncode != 0 and "JP" in wrong.stderr
    deployment.masugata("tenant", "add", "beta", "--upstream", "127.0.0.1:9", "--residency", "jp-tokyo", "--wait", timeout=120)
    number = next(each["number"] for each in deployment.json("tenant", "list")["tenants"] if each["name"] == "beta")
    wait_until(lambda: row(deployment, "beta")["state"] == "residency", 60, 0.5, "it is said")
    deployment.masugata("backup", "now", "--tenant", "beta", "--full", timeout=240)
    assert row(deployment, "(masugata)")["state"] == "residency"
    full(deployment)
    await_whole(deployment)
    verify_all = deployment.masugata("backup", "verify", "--tenant", "beta", check=False, timeout=240)
    assert verify_all.returncode == 0
    assert not (place / f"tenant-{number}").exists()
    found = deployment.masugata("audit", "search", "--tenant", "beta", "--event", "residency_refuse", "--json").stdout
    assert "jp-osaka" in found
    assert policy(deployment, 'residency = "us"\n').returncode != 0
    assert policy(deployment, 'session.idle = "10m"\n').returncode == 0
    time.sleep(4)  # longer than it takes the worker to hear of it
    assert row(deployment, "beta")["state"] == "residency", "a file that does not name it changes nothing of it"
    assert policy(deployment, 'residency = "jp"\n').returncode == 0
    wait_until(lambda: (place / f"tenant-{number}/head").exists(), 90, 0.5, "the vault is inside")


def test_a_place_that_is_outside_now_gets_no_log(deployment):
    assert policy(deployment, 'residency = "jp-tokyo"\n').returncode == 0
    number = next(each["number"] for each in deployment.json("tenant", "list")["tenants"] if each["name"] == "beta")
    configuration = deployment.directory / f"postgres/tenant-{number}/postgresql.conf"
    assert "pgbackrest" in configuration.read_text()
    deployment.stop()
    conf = deployment.directory / "masugata.conf"
    conf.write_text(conf.read_text().replace('backup.near.site = "jp-tokyo"', 'backup.near.site = "us-east"'))
    deployment.up()
    wait_until(lambda: "/bin/false" in configuration.read_text(), 60, 0.5, "no log is saved")
    refused = deployment.masugata("backup", "now", "--tenant", "beta", "--full", check=False, timeout=240)
    assert refused.returncode != 0 and "us-east" in refused.stderr
    assert row(deployment, "beta")["state"] in ("residency", "log")
    assert row(deployment)["state"] == ""
