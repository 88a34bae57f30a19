"""The audit log: real masugata-keys and masugata-audit under their seals, the test in place of the warden
and of the senders. What they write is checked by `masugata audit verify` and by the verifier in
tests/verifier, which knows only the specifications."""

import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from messages import EVENTS, PROCESSES, ROOT, Channel, Failed, Process

sys.path.insert(0, str(ROOT / "tests/verifier"))
import tlog_verify  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", ROOT / "build"))
SUCCESS, FAILURE, REFUSED = 1, 2, 3
USER, OPERATOR, PROCESS, SERVICE, UNKNOWN = 1, 2, 3, 4, 5


class Rig:
    """keys and audit of one directory, and a channel as the authority."""

    def __init__(self, directory, clock_s=0):
        self.clock_s = clock_s
        self.directory = pathlib.Path(directory)
        (self.directory / "keystore").mkdir(mode=0o700, exist_ok=True)
        (self.directory / "audit").mkdir(mode=0o755, exist_ok=True)
        self.output = open(self.directory / "output.log", "ab")
        self.start_keys()
        self.start_audit()

    def start_keys(self):
        self.keys = Process(BUILD, "keys", self.directory, self.directory, {"keys.root": "file:"}, self.output,
                            self.clock_s)

    def start_audit(self):
        self.audit = Process(BUILD, "audit", self.directory, self.directory,
                             {"audit.retention": "400d"}, self.output, self.clock_s)
        self.wire()
        self.authority = self.audit.attach("authority")

    def wire(self):
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.keys.warden.send("request", "peer_attach", {"peer": PROCESSES.index("audit")}, 7, [one.fileno()])
        self.audit.warden.send("request", "peer_attach", {"peer": PROCESSES.index("keys")}, 7, [other.fileno()])
        one.close()
        other.close()

    def append(self, event="sign_in", channel=None, **fields):
        values = {"event": EVENTS.index(event), "tenant": 1, "actor_kind": USER, "actor_name": "hanako",
                  "outcome": SUCCESS} | fields
        return (channel or self.authority).ask("audit_append", values)

    def read(self, **fields):
        """Every match, oldest first: [(index, event)]."""
        found, start = [], 0
        while True:
            page = self.authority.ask("audit_read", {"all_tenants": True, "oldest_first": True, "limit": 1000,
                                                     "from": start} | fields)
            found += [(row["index"], json.loads(row["event"])) for row in page["entries"]]
            if not page["more"]:
                return found
            start = page["next"]

    def settle(self):
        """Until what was answered for is in the files: they follow the answers by some milliseconds."""
        self.authority.ask("audit_state")

    def stop(self):
        self.audit.stop()
        self.keys.stop()
        self.output.close()

    def verify(self, *arguments, log=None):
        """masugata audit verify --json, and the other verifier's word on the same files."""
        if log is None:
            self.settle()
        log = log or self.directory / "audit/log"
        key = self.directory / "audit/log.vkey"
        run = subprocess.run([BUILD / "masugata", "audit", "verify", "--json", "--log", log, "--key", key, *arguments],
                             stdout=subprocess.PIPE, check=False)
        report = json.loads(run.stdout)
        assert run.returncode == (0 if report["ok"] else 1)
        remembered = arguments[arguments.index("--checkpoint") + 1] if "--checkpoint" in arguments else None
        problems, _ = tlog_verify.log_check(
            log, tlog_verify.VerifierKey(key.read_text()), remembered and pathlib.Path(remembered).read_bytes())
        assert report["ok"] == (not problems), (report, problems)
        return report, problems


@pytest.fixture
def rig():
    directory = tempfile.mkdtemp(prefix="mg-audit-", dir="/tmp")
    started = Rig(directory)
    yield started
    started.stop()
    shutil.rmtree(directory)


def fill(rig, count):
    """Many at once, as a busy process would."""
    for number in range(count):
        rig.authority.send("request", "audit_append",
                           {"event": EVENTS.index("sign_in"), "tenant": number % 5, "actor_kind": USER,
                            "actor_name": f"user-{number}", "target": f"n={number}", "outcome": SUCCESS}, 1000 + number)
        if number % 256 == 255:
            for _ in range(256):
                assert rig.authority.receive()[0] == ("reply", "audit_append")
    for _ in range(count % 256):
        assert rig.authority.receive()[0] == ("reply", "audit_append")
    rig.settle()


# ---- what is written ------------------------------------------------------------------------------------


def test_events_are_sealed_stamped_and_found(rig):
    before = time.time() * 1000
    answer = rig.append(address="203.0.113.7", reason="password", session="f00d", request="r-1",
                        details=[{"key": "browser", "value": "テスト \"7\""}])
    assert before - 1000 < answer["time"] < time.time() * 1000 + 1000
    rig.append("user_disable", tenant=2, actor_kind=OPERATOR, actor_name="root", target="taro")
    for path in (rig.directory / "audit").rglob("*"):
        assert not path.is_file() or b"hanako" not in path.read_bytes(), path
    [(index, event)] = rig.read(event=EVENTS.index("sign_in"))
    assert index == answer["index"]
    assert event["time"] == answer["time"] and event["class_uid"] == 3002 and event["type_uid"] == 300201
    assert event["actor"]["user"]["name"] == "hanako" and event["src_endpoint"]["ip"] == "203.0.113.7"
    assert event["metadata"]["log_provider"] == "authority" and event["metadata"]["tenant_uid"] == "1"
    assert event["unmapped"]["details"] == {"browser": 'テスト "7"'} and event["status"] == "Success"
    assert [e["metadata"]["event_code"] for _, e in rig.read(all_tenants=False, tenant=2)] == ["user_disable"]
    assert len(rig.read(**{"class_uid": 3001})) == 1 and rig.read(actor="taro") == []
    assert len(rig.read(actor="root")) == 1 and len(rig.read(text="203.0.113")) == 1
    assert rig.read(since=answer["time"] + 60000) == []


def test_a_sender_writes_only_its_own_events(rig):
    prober = rig.audit.attach("prober")
    with pytest.raises(Failed) as refused:
        rig.append("sign_in", channel=prober)
    assert refused.value.code == "REFUSED"
    rig.append("control_verdict", channel=prober)
    [(_, event)] = rig.read(event=EVENTS.index("audit_refuse"))
    assert event["status_detail"] == "prober" and event["finding_info"]["title"] == "sign_in"
    with pytest.raises(Failed):
        rig.append("sign_in", outcome=9)


def test_unknown_names_are_kept_as_hashes_only(rig):
    for name in ("hunter2", "hunter2", "other"):
        rig.append(actor_kind=UNKNOWN, actor_name=name, outcome=FAILURE)
    names = [event["actor"]["user"]["name"] for _, event in rig.read(event=EVENTS.index("sign_in"))]
    assert names[0] == names[1] != names[2] and len(names[0]) == 32 and "hunter2" not in json.dumps(rig.read())


def test_a_proof_holds_alone_and_its_key_opens_one_entry(rig):
    fill(rig, 700)
    answer = rig.append(target="the one")
    fill(rig, 90)
    proof = rig.authority.ask("audit_proof", {"index": answer["index"]})
    key = tlog_verify.VerifierKey((rig.directory / "audit/log.vkey").read_text())
    assert tlog_verify.proof_check(proof["proof"].encode(), proof["leaf"], key)[0] == answer["index"]
    leaf = proof["leaf"]
    opened = AESGCM(proof["entry_key"]).decrypt(bytes(12), leaf[45:], leaf[:45])
    assert opened[:32] == bytes(32) and json.loads(opened[32:])["time"] == answer["time"]
    with pytest.raises(tlog_verify.Problem):
        tlog_verify.proof_check(proof["proof"].encode(), leaf[:-1] + bytes([leaf[-1] ^ 1]), key)
    other = rig.authority.ask("audit_proof", {"index": answer["index"] + 1})
    with pytest.raises(Exception):
        AESGCM(proof["entry_key"]).decrypt(bytes(12), other["leaf"][45:], other["leaf"][:45])


def test_state_tells_size_age_and_space(rig):
    rig.append()
    state = rig.authority.ask("audit_state")
    assert state["size"] == 2 and state["oldest"] <= state["newest"] and not state["ordinary_refused"]
    assert tlog_verify.checkpoint_read(state["checkpoint"].encode())[1] == 2


# ---- after a year -----------------------------------------------------------------------------------------


def test_after_retention_entries_verify_and_cannot_be_read():
    """Written 440 and 300 days ago; audit.retention is 400 days."""
    directory = tempfile.mkdtemp(prefix="mg-audit-", dir="/tmp")
    for days, who in ((440, "hanako"), (300, "taro")):
        rig = Rig(directory, -days * 86400)
        for tenant in (1, 2):
            rig.append(tenant=tenant, actor_name=who)
        rig.settle()
        rig.stop()
    rig = Rig(directory)
    rig.append(actor_name="jiro")
    until = time.monotonic() + 10
    while rig.read(actor="hanako") and time.monotonic() < until:
        time.sleep(0.1)
    everything = rig.read()
    assert not rig.read(actor="hanako") and len(rig.read(actor="taro")) == 2
    erased = [index for index, event in everything if event.get("erased")]
    assert erased == [0, 1, 2]  # audit_open and two sign-ins
    months = [event["unmapped"] for _, event in rig.read(event=EVENTS.index("key_destroy"))]
    assert len(months) == 3, months
    # Still in the tree, still proven; there is no key for it any more.
    proof = rig.authority.ask("audit_proof", {"index": 1})
    key = tlog_verify.VerifierKey((rig.directory / "audit/log.vkey").read_text())
    assert tlog_verify.proof_check(proof["proof"].encode(), proof["leaf"], key)[0] == 1 and proof["entry_key"] == b""
    report, _ = rig.verify()
    assert report["ok"] and report["erased_entries"] == 3 and report["erased_months"] == 3
    text = subprocess.run([BUILD / "masugata", "audit", "verify", "--log", rig.directory / "audit/log", "--key",
                           rig.directory / "audit/log.vkey"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "3 entries can be verified but no longer be read" in text
    # Nor after a restart with a new index, and nothing is destroyed twice.
    rig.stop()
    (rig.directory / "audit/index").unlink()
    rig = Rig(directory)
    time.sleep(2)
    assert not rig.read(actor="hanako") and len(rig.read(event=EVENTS.index("key_destroy"))) == 3
    rig.stop()
    shutil.rmtree(directory)


# ---- tampering ---------------------------------------------------------------------------------------------


def leaves(path):
    raw, at, found = path.read_bytes(), 0, []
    while at < len(raw):
        length = int.from_bytes(raw[at:at + 2], "big")
        found.append(raw[at + 2:at + 2 + length])
        at += 2 + length
    return found


def write_leaves(path, rows):
    path.write_bytes(b"".join(len(row).to_bytes(2, "big") + row for row in rows))


def flip(path, at, bit=1):
    raw = bytearray(path.read_bytes())
    raw[at] ^= bit
    path.write_bytes(raw)


def partial(log, level, name):
    [path] = [p for p in (log / "tile" / level / f"{name}.p").iterdir()
              if int(p.name) == max(int(q.name) for q in (log / "tile" / level / f"{name}.p").iterdir())]
    return path


def flip_entry(log):
    flip(log / "tile/entries/001", 100)
    return "entry_changed", 256


def flip_length(log):
    flip(log / "tile/entries/000", 0, 0x40)
    return "entry_changed", None


def append_to_a_bundle(log):
    path = log / "tile/entries/001"
    path.write_bytes(path.read_bytes() + b"\0\3abc")
    return "entry_changed", 511


def flip_in_the_last_bundle(log):
    flip(partial(log, "entries", "002"), 700)
    return "entry_changed", None


def swap_entries(log):
    path = log / "tile/entries/001"
    rows = leaves(path)
    rows[3], rows[9] = rows[9], rows[3]
    write_leaves(path, rows)
    return "entries_reordered", 259


def swap_bundles(log):
    one, other = log / "tile/entries/000", log / "tile/entries/001"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return "entries_reordered", 0


def cut_the_end(log):
    path = partial(log, "entries", "002")
    write_leaves(path, leaves(path)[:-5])
    return "truncated", None


def remove_a_bundle(log):
    (log / "tile/entries/001").unlink()
    return "truncated", 256


def flip_tile(log):
    flip(log / "tile/0/001", 33)
    return "tile_changed", None


def flip_upper_tile(log):
    flip(partial(log, "1", "000"), 3)
    return "tile_changed", None


def remove_tile(log):
    (log / "tile/0/000").unlink()
    return "tile_missing", None


def change_root(log):
    lines = (log / "checkpoint").read_text().split("\n")
    lines[2] = ("B" if lines[2][0] == "A" else "A") + lines[2][1:]
    (log / "checkpoint").write_text("\n".join(lines))
    return "checkpoint_signature", None


def change_size(log):
    lines = (log / "checkpoint").read_text().split("\n")
    lines[1] = str(int(lines[1]) - 1)
    (log / "checkpoint").write_text("\n".join(lines))
    return "checkpoint_signature", None


def remove_signature(log):
    text = (log / "checkpoint").read_text()
    (log / "checkpoint").write_text(text.replace("\u2014 masugata/", "\u2014 someone/"))
    return "checkpoint_unsigned", None


def remove_checkpoint(log):
    (log / "checkpoint").write_text("")
    return "checkpoint_malformed", None


@pytest.fixture(scope="module")
def sound_log():
    """A log of 2 1/2 bundles; each test gets a copy."""
    directory = tempfile.mkdtemp(prefix="mg-audit-", dir="/tmp")
    rig = Rig(directory)
    fill(rig, 300)
    early = rig.directory / "early"
    shutil.copy(rig.directory / "audit/log/checkpoint", early)
    fill(rig, 350)
    rig.stop()
    yield rig
    shutil.rmtree(directory)


@pytest.fixture
def copy(sound_log):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="mg-audit-", dir="/tmp"))
    shutil.copytree(sound_log.directory / "audit/log", directory / "log")
    yield directory / "log"
    shutil.rmtree(directory)


def test_a_sound_log_is_sound_and_says_what_it_cannot_exclude(sound_log, copy):
    report, _ = sound_log.verify(log=copy)
    assert report["ok"] and report["size"] == 651 and report["entries_checked"] == 651
    assert report["rollback"] == "not excluded"
    report, _ = sound_log.verify("--checkpoint", str(sound_log.directory / "early"), log=copy)
    assert report["ok"] and report["rollback"] == "excluded" and report["remembered_size"] == 301
    text = subprocess.run([BUILD / "masugata", "audit", "verify", "--log", copy, "--key",
                           sound_log.directory / "audit/log.vkey"], stdout=subprocess.PIPE, check=True).stdout.decode()
    assert "roll-back not excluded" in text


@pytest.mark.parametrize("tamper", [
    flip_entry, flip_length, append_to_a_bundle, flip_in_the_last_bundle, swap_entries, swap_bundles, cut_the_end, remove_a_bundle, flip_tile,
    flip_upper_tile, remove_tile, change_root, change_size, remove_signature, remove_checkpoint])
def test_tampering_is_named(sound_log, copy, tamper):
    finding, index = tamper(copy)
    report, problems = sound_log.verify(log=copy)
    assert not report["ok"] and problems
    assert finding in [found["finding"] for found in report["findings"]], report["findings"]
    if index is not None:
        assert report["findings"][0]["index"] == index, report["findings"]


def test_a_rolled_back_copy_is_found_out(sound_log, copy):
    """An older state, complete and properly signed: only a remembered checkpoint tells."""
    later = copy / "checkpoint"
    remembered = copy.parent / "remembered"
    shutil.copy(later, remembered)
    shutil.copy(sound_log.directory / "early", later)
    report, _ = sound_log.verify(log=copy)
    assert report["ok"] and report["rollback"] == "not excluded"
    report, problems = sound_log.verify("--checkpoint", str(remembered), log=copy)
    assert report["rollback"] == "detected" and [f["finding"] for f in report["findings"]] == ["rolled_back"]
    assert problems[0].startswith("rolled_back")


def test_a_witness_cosigns_what_continues_and_nothing_else(sound_log, copy):
    key, state = sound_log.directory / "audit/log.vkey", copy.parent / "witness"

    def look():
        run = subprocess.run([BUILD / "masugata", "audit", "witness", "--json", "--log", copy, "--key", key,
                              "--state", state], stdout=subprocess.PIPE, check=False)
        return run.returncode, json.loads(run.stdout)

    newest = (copy / "checkpoint").read_bytes()
    shutil.copy(sound_log.directory / "early", copy / "checkpoint")
    assert look() == (0, {"cosigned": True, "size": 301, "refused": ""})
    (copy / "checkpoint").write_bytes(newest)
    assert look() == (0, {"cosigned": True, "size": 651, "refused": ""})
    assert look() == (0, {"cosigned": False, "size": 651, "refused": ""})
    witness = tlog_verify.VerifierKey((state / "witness.vkey").read_text())
    cosigned = (state / "checkpoint").read_bytes()
    assert tlog_verify.note_signed_by(cosigned, witness)
    assert tlog_verify.note_signed_by(cosigned, tlog_verify.VerifierKey(key.read_text()))
    report = json.loads(subprocess.run(
        [BUILD / "masugata", "audit", "verify", "--json", "--log", copy, "--key", key, "--checkpoint", state / "checkpoint",
         "--witness", state / "witness.vkey"], stdout=subprocess.PIPE, check=True).stdout)
    assert report["rollback"] == "excluded" and report["witnessed_at"] > 1700000000
    shutil.copy(sound_log.directory / "early", copy / "checkpoint")
    code, said = look()
    assert code == 1 and said["refused"].startswith("rolled back") and not said["cosigned"]
    change_root(copy)
    assert look()[1]["refused"] == "the checkpoint is not signed by the log's key"


# ---- faults ---------------------------------------------------------------------------------------------------


def test_a_log_put_back_to_an_older_state_is_refused(rig):
    """keys remembers what it signed."""
    fill(rig, 20)
    rig.audit.stop()
    older = rig.directory / "older"
    shutil.copytree(rig.directory / "audit", older)
    rig.start_audit()
    fill(rig, 20)
    rig.audit.stop()
    shutil.rmtree(rig.directory / "audit")
    shutil.move(older, rig.directory / "audit")
    rig.start_audit()
    with pytest.raises(Failed) as refused:
        rig.append()
    assert refused.value.code == "INTEGRITY"


def test_the_published_files_alone_are_enough_to_go_on(rig):
    """A copy of audit/log, taken when everything was answered, put back without journal, index and key."""
    fill(rig, 300)
    rig.audit.stop()
    audit = rig.directory / "audit"
    for name in ("journal", "index", "reserve", "log.vkey"):
        path = audit / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(audit, rig.directory / "copy")
    rig.start_audit()
    fill(rig, 10)
    report, _ = rig.verify()
    assert report["ok"] and report["size"] == 312
    assert len(rig.read(event=EVENTS.index("sign_in"))) == 310
    # An older copy is refused, and the reason says what to do.
    rig.audit.stop()
    shutil.rmtree(audit)
    (rig.directory / "copy").rename(audit)
    rig.start_audit()
    with pytest.raises(Failed) as refused:
        rig.append()
    assert refused.value.code == "INTEGRITY"
    assert "Put back its newest state" in (rig.directory / "output.log").read_text()
    # If that is lost for good: both aside, and a new log begins.
    rig.audit.stop()
    rig.keys.stop()
    audit.rename(rig.directory / "older")
    (rig.directory / "keystore/checkpoint").rename(rig.directory / "checkpoint")
    audit.mkdir()
    rig.start_keys()
    rig.start_audit()
    rig.append()
    assert rig.verify()[0]["size"] == 2


def test_the_index_comes_back_from_the_log(rig):
    fill(rig, 300)
    rig.audit.stop()
    (rig.directory / "audit/index").unlink()
    rig.start_audit()
    assert len(rig.read(all_tenants=False, tenant=3)) == 60
    assert len(rig.read(**{"class_uid": 3002})) == 300


def test_appending_waits_for_keys_to_come_back(rig):
    rig.append()
    rig.keys.stop(kill=True)
    answer = {}
    thread = threading.Thread(target=lambda: answer.update(rig.append(target="during")))
    thread.start()
    time.sleep(0.3)
    assert not answer
    rig.start_keys()
    rig.wire()
    thread.join(timeout=20)
    assert answer and rig.verify()[0]["ok"]


ROUNDS = int(os.environ.get("MASUGATA_CRASHES", "200"))


def test_kill_9_at_random_moments_loses_nothing_acknowledged(rig):
    """One sender keeps the log busy; audit (and now and then keys) dies at any moment."""
    acknowledged, number, chance = {}, 0, random.Random(7)
    for _ in range(ROUNDS):
        number += 1
        acknowledged[rig.append(target=f"n={number}")["index"]] = f"n={number}"  # it runs
        pending, until = {}, time.monotonic() + chance.uniform(0.001, 0.06)
        channel, died = rig.authority, False
        killer = threading.Timer(chance.uniform(0.0, 0.06), rig.audit.child.kill)
        killer.start()
        channel.socket.settimeout(5)
        while time.monotonic() < until or killer.is_alive():
            try:
                for _ in range(chance.choice((1, 1, 5, 40))):
                    number += 1
                    pending[number] = f"n={number}"
                    channel.send("request", "audit_append",
                                 {"event": EVENTS.index("sign_in"), "tenant": number % 3, "actor_kind": USER,
                                  "target": pending[number], "outcome": SUCCESS}, number)
                while pending:
                    received = channel.receive()
                    if received is None:
                        died = True
                        break
                    (_, name), call, fields = received
                    target = pending.pop(call)
                    if name == "audit_append":
                        acknowledged[fields["index"]] = target
            except OSError:
                died = True
            if died:
                break
        killer.join()
        rig.audit.stop(kill=True)
        if chance.random() < 0.2:
            rig.keys.stop(kill=True)
            rig.start_keys()
        rig.start_audit()
    found = {index: event["resources"][0]["name"] for index, event in rig.read(event=EVENTS.index("sign_in"))}
    assert len(acknowledged) > 2 * ROUNDS
    for index, target in acknowledged.items():
        assert found[index] == target
    assert rig.verify()[0]["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs")
def test_a_full_disk_refuses_ordinary_events_first_and_loses_nothing():
    directory = tempfile.mkdtemp(prefix="mg-audit-", dir="/tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", directory], check=True)
    try:
        rig = Rig(directory)
        rig.append()
        usage = os.statvfs(directory)
        filler = open(pathlib.Path(directory) / "filler", "wb")
        os.posix_fallocate(filler.fileno(), 0, usage.f_bavail * usage.f_frsize - (1 << 20))
        time.sleep(0.6)
        with pytest.raises(Failed) as refused:
            rig.append("sign_in")
        assert refused.value.code == "DISK_FULL"
        kept = [rig.append("session_revoke", target=f"n={number}")["index"] for number in range(300)]
        assert rig.authority.ask("audit_state")["ordinary_refused"]
        usage = os.statvfs(directory)
        more = open(pathlib.Path(directory) / "more", "wb")
        os.posix_fallocate(more.fileno(), 0, max(1, usage.f_bavail * usage.f_frsize))
        with pytest.raises(Failed) as refused:  # to the end of the reserve
            for _ in range(6000):
                kept.append(rig.append("session_revoke", details=[{"key": "k", "value": "v" * 1000}] * 3)["index"])
        assert refused.value.code == "DISK_FULL"
        more.close()
        filler.close()
        (pathlib.Path(directory) / "more").unlink()
        (pathlib.Path(directory) / "filler").unlink()
        time.sleep(1.5)
        rig.append("sign_in")
        assert rig.verify()[0]["ok"]
        found = {index for index, _ in rig.read(event=EVENTS.index("session_revoke"))}
        assert set(kept) <= found
        assert rig.read(event=EVENTS.index("audit_space"))
        rig.stop()
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        os.rmdir(directory)
