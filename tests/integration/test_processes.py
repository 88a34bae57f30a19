"""What a process does with peers that break the rules, one process at a time: the test is its warden and its
peers. And what the warden believes of whom."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import time

import pytest

from harness import BUILD, Deployment, wait_until
from messages import KIND, PROCESSES, Failed, Process

HASHER = {"password.argon2.memory_kib": "19456", "password.argon2.passes": "2", "password.argon2.lanes": "1",
          "log.level": "info"}


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="mgp", dir="/tmp") as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def hasher(place):
    log = open(place / "log", "wb")
    process = Process(BUILD, "hasher", place, place, HASHER, log)
    yield process
    process.stop(kill=True)


def accused(process):
    """Whom the process names to its warden next."""
    (direction, name), _call, fields = process.warden.receive()
    assert (direction, name) == ("request", "peer_poisoned"), (direction, name)
    return PROCESSES[fields["peer"]]


def test_fields_that_are_not_the_row_end_the_sender(hasher):
    authority = hasher.attach("authority")
    assert authority.ask("password_hash", {"password": b"x" * 20})["hash"].startswith("$argon2id$")
    packet = struct.pack("<IIQ", KIND[("request", "password_hash")], 0, 9) + struct.pack("<I", 500) + b"short"
    authority.socket.sendall(packet)
    assert authority.receive()[0] == ("reply", "failed")
    assert authority.receive() is None, "the connection stays open"
    assert accused(hasher) == "authority"
    again = hasher.attach("authority")  # the receiver goes on
    assert again.ask("password_hash", {"password": b"y" * 20})["hash"]


def test_who_asks_and_does_not_take_its_answers_is_cut_off(hasher):
    """Answers that nobody reads may hold the receiver for a moment, and not for one moment each."""
    authority = hasher.attach("authority")
    authority.socket.setblocking(False)
    packet = struct.pack("<IIQ", KIND[("request", "password_hash")], 0, 9) + struct.pack("<I", 20) + b"z" * 20
    deadline, sent = time.monotonic() + 60, 0
    while time.monotonic() < deadline:
        try:
            authority.socket.send(packet)
            sent += 1
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    else:
        pytest.fail(f"still connected after {sent} requests without reading an answer")
    assert accused(hasher) == "authority"
    before = time.monotonic()
    hasher.warden.send("request", "ping", {}, 5)
    while hasher.warden.receive()[0] != ("reply", "ping"):
        pass
    assert time.monotonic() - before < 5


def test_the_level_of_the_log_is_the_options(place):
    for level, there in (("info", True), ("warning", False)):
        with open(place / level, "wb") as log:
            process = Process(BUILD, "hasher", place, place, HASHER | {"log.level": level}, log)
            process.attach("authority").ask("password_hash", {"password": b"x" * 20})
            process.stop(kill=True)
        assert ("ready" in (place / level).read_text()) is there


def test_a_number_in_a_message_becomes_no_uid_of_somebody_else(place):
    base = 61000
    (place / "launcher").mkdir()
    with open(place / "log", "wb") as log:
        process = Process(BUILD, "launcher", place, place, {"application.uid_base": str(base), "log.level": "info"}, log)
        worker = process.attach("worker")
        for tenant in (0, 2**32 - base, 2**32 - 1 - base, 2**64 - base, 1000001):
            with pytest.raises(Failed) as failed:
                worker.ask("credentials_publish", {"tenant": tenant, "json": b"{}"})
            assert failed.value.code == "INVALID", tenant
            with pytest.raises(Failed) as failed:
                worker.ask("instance_start", {"name": f"tenant-{tenant}", "tenant": tenant, "superuser_password": b"x" * 32})
            assert failed.value.code == "INVALID", tenant
        if os.geteuid() == 0:
            with pytest.raises(Failed) as failed:
                worker.ask("credentials_publish", {"tenant": 65534 - base, "json": b"{}"})
            assert failed.value.code == "CONFIGURATION"
        process.stop(kill=True)


def test_logs_begin_anew_when_they_are_long(place):
    (place / "log/postgres").mkdir(parents=True)
    (place / "launcher").mkdir()
    long, short = place / "log/nginx-access.log", place / "log/postgres/tenant-1.log"
    short.write_text("kept\n")
    writer = os.open(long, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(writer, b"x" * (20 << 20) + b"the last line\n")
    secret = place / "secret"
    secret.write_bytes(b"s" * (20 << 20))
    (place / "log/postgres/planted.log").symlink_to(secret)
    with open(place / "own", "wb") as log:
        process = Process(BUILD, "launcher", place, place, {"log.level": "info"}, log)
        wait_until(lambda: long.stat().st_size == 0, 20, what="an empty log")
        process.stop(kill=True)
    os.write(writer, b"the first line\n")
    os.close(writer)
    kept = place / "log/nginx-access.log.1"
    assert long.read_text() == "the first line\n"
    assert kept.stat().st_size == 16 << 20 and kept.read_bytes().endswith(b"the last line\n")
    assert short.read_text() == "kept\n" and secret.stat().st_size == 20 << 20
    assert not (place / "log/postgres/planted.log.1").exists()


# ---- the warden ----


def test_a_runtime_directory_that_others_may_change_is_refused(place):
    mine = pathlib.Path(tempfile.mkdtemp(prefix="mgr", dir="/dev/shm"))
    try:
        (place / "masugata.conf").write_text(f'runtime.directory = "{mine}/open/run"\n')
        (mine / "open").mkdir()
        (mine / "open").chmod(0o777)
        done = subprocess.run([str(BUILD / "masugata-warden"), "--dir", str(place)], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and "others may change" in done.stderr, done.stderr
        assert f"{mine}/open (uid" in done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(mine)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another uid")
def test_a_runtime_directory_that_somebody_else_made_is_refused(place):
    mine = pathlib.Path(tempfile.mkdtemp(prefix="mgr", dir="/dev/shm"))
    try:
        os.chown(mine, 65534, 65534)
        (place / "masugata.conf").write_text(f'runtime.directory = "{mine}"\n')
        done = subprocess.run([str(BUILD / "masugata-warden"), "--dir", str(place)], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and f"{mine} (uid 65534" in done.stderr, done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(mine)], check=True)


def test_half_a_list_of_origins_is_not_applied(place):
    """A launcher that was killed between two parts: its successor has not seen the first."""
    (place / "launcher").mkdir()
    with open(place / "log", "wb") as log:
        process = Process(BUILD, "launcher", place, place, {"log.level": "info"}, log)
        authority = process.attach("authority")
        site = {"kind": 3, "tenant": 0, "host": "console.localhost", "upstream": ""}
        with pytest.raises(Failed) as failed:
            authority.ask("nginx_apply", {"at": 100, "last": True, "sites": [site]})
        assert failed.value.code == "REFUSED"
        process.stop(kill=True)
