"""Leaving: everything that is kept of a tenant goes with it, readable by programs that are not ours."""

import csv
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from harness import Deployment, wait_until
from test_restore import app_sql, psql

POSTGRES = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]


@pytest.fixture(scope="module")
def deployment():
    with Deployment({"backup.first_within": "24h"}) as started:
        started.tenant_add("acme", upstream="127.0.0.1:9")
        started.tenant_add("other", upstream="127.0.0.1:9")
        app_sql(started, """CREATE TABLE "odd, ""name/" (id int PRIMARY KEY, text text, bytes bytea);
            INSERT INTO "odd, ""name/" SELECT n, E'line\\n"quoted", 日本語 ' || n, decode('00ff', 'hex') FROM generate_series(1, 500) n;
            CREATE TABLE empty (nothing text);
            CREATE TABLE hidden (secret text); INSERT INTO hidden VALUES ('behind a policy');
            ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
            SELECT lo_from_bytea(4711, 'a large object')""")
        started.masugata("user", "add", "taro@acme.example", "--tenant", "acme", "--name", "山田太郎")
        started.masugata("user", "add", "eve@other.example", "--tenant", "other")
        started.masugata("group", "set", "staff", "--tenant", "acme", check=False)
        started.masugata("backup", "now", "--tenant", "acme", "--full", timeout=240)
        time.sleep(2.1)  # pgBackRest tells the end of a backup in whole seconds
        yield started


@pytest.fixture(scope="module")
def exported(deployment, tmp_path_factory):
    directory = tmp_path_factory.mktemp("exported")
    app_sql(deployment, "INSERT INTO empty VALUES ('the last moment')")
    told = deployment.masugata("tenant", "export", "acme", "--to", str(directory), timeout=240)
    assert "manifest.json" in told.stdout
    return directory


def manifest_of(directory):
    return json.loads((directory / "manifest.json").read_text())


def is_whole(directory):
    """What the customer can check with nothing but a SHA-256."""
    return all(hashlib.sha256((directory / file["path"]).read_bytes()).hexdigest() == file["sha256"]
               and (directory / file["path"]).stat().st_size == file["bytes"] for file in manifest_of(directory)["files"])


def test_the_manifest_names_every_file_as_it_is(exported):
    assert is_whole(exported)
    named = {file["path"] for file in manifest_of(exported)["files"]} | {"manifest.json", "manifest.proof.json"}
    assert named == {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    assert all(path.stat().st_mode & 0o077 == 0 for path in exported.rglob("*"))
    spoilt = exported / "masugata/users.json"
    kept = spoilt.read_bytes()
    spoilt.write_bytes(kept.replace(b"taro", b"jiro"))
    assert not is_whole(exported)
    spoilt.write_bytes(kept)


def test_the_tables_are_whole(exported):
    files = {file["table"]: file for file in manifest_of(exported)["files"] if "table" in file}
    assert files['odd, "name/']["rows"] == 500 and files["empty"]["rows"] == 1 and files["hidden"]["rows"] == 1
    with (exported / files['odd, "name/']["path"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 500 and rows[6] == {"id": "7", "text": 'line\n"quoted", 日本語 7', "bytes": "\\x00ff"}
    assert "the last moment" in (exported / files["empty"]["path"]).read_text()


def test_a_plain_postgresql_takes_the_dump(exported, tmp_path):
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    home = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"pg{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        if user:
            subprocess.run(["chown", "postgres", home], check=True)

        def run(*command, **more):
            return subprocess.run([*user, *command], check=True, capture_output=True, text=True, cwd="/", **more).stdout.strip()
        run(POSTGRES / "initdb", "-D", home / "data", "-A", "trust", "-U", "me", "--no-sync")
        run(POSTGRES / "pg_ctl", "-D", home / "data", "-w", "-o", f"-k {home} -c listen_addresses=''", "-l", home / "log", "start")
        try:
            run(POSTGRES / "createdb", "-h", home, "-U", "me", "elsewhere")
            with (exported / "database.dump").open("rb") as dump:
                run(POSTGRES / "pg_restore", "--no-owner", "--exit-on-error", "-h", home, "-U", "me", "-d", "elsewhere", stdin=dump)

            def there(sql):
                return psql(str(home), "me", "", sql, "elsewhere")
            for file in manifest_of(exported)["files"]:
                if "table" in file:
                    name = '"' + file["table"].replace('"', '""') + '"'
                    assert int(there(f'SELECT count(*) FROM {file["schema"]}.{name}')) == file["rows"]
                    assert there(f'COPY {file["schema"]}.{name} TO STDOUT (FORMAT csv, HEADER)') == (
                        exported / file["path"]).read_text().strip()
            assert there("SELECT convert_from(lo_get(4711), 'UTF8')") == "a large object"
        finally:
            run(POSTGRES / "pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


def test_what_masugata_keeps_goes_along_and_nothing_of_a_neighbour(deployment, exported):
    kept = {path.name: path.read_text() for path in (exported / "masugata").iterdir()}
    assert "山田太郎" in kept["users.json"] and "acme" in kept["tenant.json"]
    assert all("eve@other.example" not in text for text in kept.values())
    entries = [json.loads(line) for line in kept["log.ocsf.jsonl"].splitlines()]
    assert entries and len(kept["log.proofs.jsonl"].splitlines()) >= len(entries)
    for text in kept.values():
        assert "BEGIN PRIVATE KEY" not in text and "argon2" not in text


def test_the_audit_log_proves_the_manifest(deployment, exported):
    digest = hashlib.sha256((exported / "manifest.json").read_bytes()).hexdigest()
    key = str(deployment.directory / "audit/log.vkey")
    told = deployment.masugata("audit", "verify", "--proof", str(exported / "manifest.proof.json"), "--key", key)
    assert digest in told.stdout and "tenant_export" in told.stdout
    one = exported.parent / "one.json"
    one.write_text((exported / "masugata/log.proofs.jsonl").read_text().splitlines()[0])
    deployment.masugata("audit", "verify", "--proof", str(one), "--key", key)


def test_nothing_is_left_of_the_copy_and_none_is_written_over(deployment, exported):
    assert deployment.masugata("restore", "--tenant", "acme", "--show", check=False).returncode == 1
    before = (exported / "manifest.json").read_bytes()
    refused = deployment.masugata("tenant", "export", "acme", "--to", str(exported), check=False)
    assert refused.returncode == 1 and "not empty" in refused.stderr
    assert (exported / "manifest.json").read_bytes() == before
    nobody = exported.parent / "nobody"
    assert deployment.masugata("tenant", "export", "nobody", "--to", str(nobody), check=False).returncode == 1
    assert not nobody.exists()
    assert deployment.masugata("tenant", "export", "acme", check=False).returncode == 2


def test_killed_in_the_middle_nothing_looks_whole(deployment, tmp_path):
    directory = tmp_path / "half"
    running = subprocess.Popen([deployment.program, "tenant", "export", "acme", "--to", str(directory), "--dir", str(deployment.directory)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: (directory / "tables").exists() or running.poll() is not None, seconds=120)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (directory / "manifest.json").exists()
    deployment.masugata("restore", "--tenant", "acme", "--discard", timeout=120)
    again = tmp_path / "again"
    deployment.masugata("tenant", "export", "acme", "--to", str(again), timeout=240)
    assert is_whole(again)
