"""The keys process alone, under its real seal: the test plays warden, authority and audit."""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from messages import EVENTS, Channel, Failed, Process

BUILD = os.environ.get("MASUGATA_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build")


class Keys:
    """keys, an authority and an audit that records what it is told (or refuses)."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "keystore").mkdir(mode=0o700, exist_ok=True)
        self.events, self.refuse = [], False
        self.start()

    def start(self):
        self.log = open(self.directory / "log", "ab")
        self.process = Process(BUILD, "keys", self.directory, self.directory, {"keys.root": "file:"}, self.log)
        self.audit = self.process.attach("audit")
        self.authority = self.process.attach("authority")
        self.answers = {}
        self.arrived = threading.Condition()
        threading.Thread(target=self.audit_loop, args=(self.audit,), daemon=True).start()

    def audit_loop(self, channel):
        channel.socket.settimeout(None)
        while True:
            try:
                received = channel.receive()
            except OSError:
                return
            if received is None:
                return
            (direction, name), call, fields = received
            if direction == "reply":
                with self.arrived:
                    self.answers[call] = (name, fields)
                    self.arrived.notify_all()
                continue
            assert name == "audit_append", name
            if self.refuse:
                channel.send("reply", "failed", {"code": 1, "detail": "test"}, call)
                continue
            self.events.append(fields | {"event": EVENTS[fields["event"]]})
            channel.send("reply", "audit_append", {"index": len(self.events), "time": 0}, call)

    def ask_as_audit(self, name, values=None):
        self.audit.last += 1
        call = self.audit.last
        self.audit.send("request", name, values, call)
        with self.arrived:
            assert self.arrived.wait_for(lambda: call in self.answers, 20)
            got, fields = self.answers.pop(call)
        if got == "failed":
            raise Failed(fields)
        return fields

    def ask(self, name, values=None):
        return self.authority.ask(name, values)

    def refused(self, code, name, values=None):
        with pytest.raises(Failed) as caught:
            self.ask(name, values)
        assert caught.value.code == code, caught.value

    def restart(self, kill=False):
        self.process.stop(kill)
        self.log.close()
        self.start()


@pytest.fixture
def keys():
    directory = tempfile.mkdtemp(prefix="mgk", dir="/tmp")
    made = Keys(directory)
    yield made
    made.process.stop(kill=True)
    shutil.rmtree(directory)


PLACE = {"tenant": 7, "table": "users", "column": "password", "row": "12"}


def b64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_it_runs_sealed(keys):
    assert keys.process.configured["seccomp_active"] or os.environ.get("MASUGATA_SANITIZED")
    status = pathlib.Path(f"/proc/{keys.process.child.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CoreDumping:\t0" in status


def test_a_field_opens_only_where_it_was_sealed(keys):
    keys.refused("NOT_FOUND", "seal", PLACE | {"plaintext": b"hash"})
    keys.ask("tenant_key_create", {"tenant": 7})
    keys.ask("tenant_key_create", {"tenant": 7})
    keys.ask("tenant_key_create", {"tenant": 8})
    sealed = keys.ask("seal", PLACE | {"plaintext": b"hash"})["sealed"]
    assert b"hash" not in sealed
    opened = keys.ask("unseal", PLACE | {"purpose": "sign-in", "sealed": sealed})
    assert opened == {"plaintext": b"hash", "stale": False}
    for name, value in {"table": "user", "column": "totp", "row": "13"}.items():
        keys.refused("INTEGRITY", "unseal", PLACE | {name: value, "purpose": "sign-in", "sealed": sealed})
    keys.refused("NOT_FOUND", "unseal", PLACE | {"tenant": 8, "purpose": "sign-in", "sealed": sealed})
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1:]
        with pytest.raises(Failed) as caught:
            keys.ask("unseal", PLACE | {"purpose": "sign-in", "sealed": changed})
        assert caught.value.code in ("INTEGRITY", "NOT_FOUND")
    keys.refused("INVALID", "unseal", PLACE | {"purpose": "", "sealed": sealed})


def test_openings_are_recorded_with_tenant_place_and_purpose(keys):
    keys.ask("tenant_key_create", {"tenant": 7})
    sealed = keys.ask("seal", PLACE | {"plaintext": b"x"})["sealed"]
    for _ in range(20):
        keys.ask("unseal", PLACE | {"purpose": "sign-in", "sealed": sealed})
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and sum(
            int(detail["value"]) for event in keys.events if event["event"] == "key_use"
            for detail in event["details"] if detail["key"] == "count") < 20:
        time.sleep(0.05)
    uses = [event for event in keys.events if event["event"] == "key_use"]
    assert 1 <= len(uses) <= 3, "counted, not one event an opening"
    for use in uses:
        assert (use["tenant"], use["target"], use["actor_id"]) == (7, "users.password", "authority")
        assert {"key": "purpose", "value": "sign-in"} in use["details"]
    assert [event["event"] for event in keys.events][0] == "key_create"


def test_no_record_no_effect(keys):
    keys.refuse = True
    keys.refused("OUT_OF_MEMORY", "tenant_key_create", {"tenant": 9})
    keys.refuse = False
    keys.refused("NOT_FOUND", "seal", PLACE | {"tenant": 9, "plaintext": b"x"})


def test_rotation_keeps_old_fields_readable_until_they_are_resealed(keys):
    keys.ask("tenant_key_create", {"tenant": 7})
    sealed = keys.ask("seal", PLACE | {"plaintext": b"x"})["sealed"]
    keys.ask("key_rotate", {"tenant": 7, "purpose": "field"})
    assert keys.ask("unseal", PLACE | {"purpose": "test", "sealed": sealed})["stale"]
    resealed = keys.ask("reseal", PLACE | {"sealed": sealed})
    assert resealed["changed"] and not keys.ask("reseal", PLACE | {"sealed": resealed["sealed"]})["changed"]
    assert keys.ask("key_retire", {"tenant": 7, "purpose": "field"})["destroyed"] == 1
    keys.refused("NOT_FOUND", "unseal", PLACE | {"purpose": "test", "sealed": sealed})
    assert keys.ask("unseal", PLACE | {"purpose": "test", "sealed": resealed["sealed"]})["plaintext"] == b"x"
    for purpose in ("tenant", "lookup", "checkpoint", "nonsense"):
        keys.refused("REFUSED", "key_rotate", {"tenant": 0, "purpose": purpose})


def test_a_destroyed_tenant_is_gone_and_the_others_stay(keys):
    for tenant in (7, 8):
        keys.ask("tenant_key_create", {"tenant": tenant})
    sealed = {tenant: keys.ask("seal", PLACE | {"tenant": tenant, "plaintext": b"x"})["sealed"] for tenant in (7, 8)}
    assert keys.ask("tenant_key_destroy", {"tenant": 7})["root_generation"] == 2
    keys.refused("NOT_FOUND", "unseal", PLACE | {"purpose": "test", "sealed": sealed[7]})
    keys.restart(kill=True)
    keys.refused("NOT_FOUND", "unseal", PLACE | {"purpose": "test", "sealed": sealed[7]})
    assert keys.ask("unseal", PLACE | {"tenant": 8, "purpose": "test", "sealed": sealed[8]})["plaintext"] == b"x"
    keys.refused("REFUSED", "tenant_key_destroy", {"tenant": 0})


def test_keyed_hashes_differ_by_tenant_and_purpose_and_stay(keys):
    keys.ask("tenant_key_create", {"tenant": 7})
    one = keys.ask("keyed_hash", {"tenant": 7, "purpose": "unknown-user", "bytes": b"eve"})["hash"]
    assert one == keys.ask("keyed_hash", {"tenant": 7, "purpose": "unknown-user", "bytes": b"eve"})["hash"]
    others = [{"tenant": 0}, {"purpose": "reset"}, {"bytes": b"Eve"}]
    for other in others:
        assert one != keys.ask("keyed_hash", {"tenant": 7, "purpose": "unknown-user", "bytes": b"eve"} | other)["hash"]
    keys.restart()
    assert one == keys.ask("keyed_hash", {"tenant": 7, "purpose": "unknown-user", "bytes": b"eve"})["hash"]


def public_keys(keys):
    found = {}
    for key in json.loads(keys.ask("jwks")["json"])["keys"]:
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
        assert "d" not in key
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(b64(key["x"]), "big"), int.from_bytes(b64(key["y"]), "big"),
                                                ec.SECP256R1())
        found[key["kid"]] = numbers.public_key()
    return found


def assertions(keys, **changes):
    now = int(time.time())
    windows = [{"issued_at_s": now, "not_before_s": now + 225 * i, "expires_s": now + 225 * i + 300} for i in range(4)]
    request = {"issuer": "https://id.acme.localhost", "audience": "acme.localhost", "subject": "u1", "tenant": 7,
               "email": "a@example.com", "name": "花子", "roles": [{"name": "admin"}], "sid": "s1", "windows": windows}
    return keys.ask("sign_assertion", request | changes)["assertions"]


def check(token, published):
    head, body, signature = token.split(".")
    header, raw = json.loads(b64(head)), b64(signature)
    assert header["alg"] == "ES256" and len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    published[header["kid"]].verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    return header["kid"], json.loads(b64(body))


def test_assertions_verify_against_the_key_set_across_rotations(keys):
    published = public_keys(keys)
    assert len(published) == 2, "the current one and the next one"
    tokens = assertions(keys)
    assert len(tokens) == 4
    first, claims = check(tokens[0]["token"], published)
    assert (claims["iss"], claims["aud"], claims["sub"], claims["tenant"], claims["name"], claims["roles"]) == (
        "https://id.acme.localhost", "acme.localhost", "u1", 7, "花子", ["admin"])
    assert claims["exp"] - claims["nbf"] == 300
    keys.ask("key_rotate", {"tenant": 0, "purpose": "assertion"})
    second, _ = check(assertions(keys)[0]["token"], published)
    assert second != first, "signed by the key that was announced before"
    check(tokens[0]["token"], public_keys(keys))
    keys.restart()
    assert check(assertions(keys)[0]["token"], public_keys(keys))[0] == second


def test_so_many_rotations_that_keys_would_not_start_again_are_refused(keys):
    published = public_keys(keys)
    for _ in range(32 - len(published)):
        keys.ask("key_rotate", {"tenant": 0, "purpose": "assertion"})
    keys.refused("BUSY", "key_rotate", {"tenant": 0, "purpose": "assertion"})
    assert len(public_keys(keys)) == 32
    keys.restart()
    check(assertions(keys)[0]["token"], public_keys(keys))


def test_assertions_for_other_times_and_places_are_not_signed(keys):
    now = int(time.time())
    bad = [{"issuer": "http://id.acme.localhost"}, {"audience": ""}, {"subject": ""}, {"windows": []},
           {"windows": [{"issued_at_s": now, "not_before_s": now, "expires_s": now + 301}]},
           {"windows": [{"issued_at_s": now, "not_before_s": now + 9000, "expires_s": now + 9100}]},
           {"windows": [{"issued_at_s": now - 900, "not_before_s": now - 900, "expires_s": now - 600}]}]
    for changes in bad:
        with pytest.raises(Failed) as caught:
            assertions(keys, **changes)
        assert caught.value.code == "INVALID", changes


# RFC 6962 in a few lines, apart from our own code.
def leaf(data):
    return hashlib.sha256(b"\0" + data).digest()


def split(size):
    return 1 << (size - 1).bit_length() - 1


def root(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()


def consistency(m, leaves, whole=True):
    n = len(leaves)
    if m == n:
        return [] if whole else [root(leaves)]
    k = split(n)
    if m <= k:
        return consistency(m, leaves[:k], whole) + [root(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [root(leaves[:k])]


def sign(keys, leaves, before):
    proof = b"".join(consistency(before, leaves)) if before else b""
    return keys.ask_as_audit("sign_checkpoint", {"size": len(leaves), "root": root(leaves), "consistency": proof})["note"]


def test_a_checkpoint_must_extend_the_last_one(keys):
    leaves = [leaf(bytes([i])) for i in range(40)]
    key = keys.ask_as_audit("log_key")
    name, _id, public = key["vkey"].strip().split("+", 2)
    assert key["size"] == 0
    sizes = [1, 2, 3, 7, 8, 8, 20]
    for before, size in zip([0] + sizes, sizes):
        note = sign(keys, leaves[:size], before)
        text, line = note.decode().split("\n\n")
        assert text.split("\n") == [name, str(size), base64.b64encode(root(leaves[:size])).decode()]
        dash, signer, blob = line.strip().split(" ")
        assert (dash, signer) == ("—", name)
        ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public)[1:]).verify(
            base64.b64decode(blob)[4:], (text + "\n").encode())
    forked = [leaf(b"other")] + leaves[1:30]
    for bad, before in ((forked, 20), (leaves[:19], 19), (forked[:20], 20)):
        with pytest.raises(Failed) as caught:
            sign(keys, bad, before)
        assert caught.value.code == "INTEGRITY"
    keys.restart(kill=True)
    key = keys.ask_as_audit("log_key")
    assert key["size"] == 20 and key["root"] == root(leaves[:20])
    with pytest.raises(Failed):
        sign(keys, forked, 20)
    sign(keys, leaves, 20)


def test_audit_keys_come_by_month_and_never_come_back(keys):
    month = int(time.strftime("%Y%m", time.gmtime()))
    key = keys.ask_as_audit("audit_key", {"tenant": 7, "month": month})["key"]
    assert len(key) == 32 and key == keys.ask_as_audit("audit_key", {"tenant": 7, "month": month})["key"]
    assert key != keys.ask_as_audit("audit_key", {"tenant": 8, "month": month})["key"]
    for wrong, code in ((202001, "NOT_FOUND"), (month + 100, "NOT_FOUND"), (202613, "INVALID"), (0, "INVALID")):
        with pytest.raises(Failed) as caught:
            keys.ask_as_audit("audit_key", {"tenant": 7, "month": wrong})
        assert caught.value.code == code
    with pytest.raises(Failed) as caught:
        keys.ask_as_audit("audit_key_destroy", {"tenant": 7, "month": month})
    assert caught.value.code == "REFUSED"


def test_a_stranger_and_a_malformed_packet_end_the_sender_only(keys):
    worker = keys.process.attach("worker")
    # Only audit may ask for checkpoints.
    worker.send("request", "sign_checkpoint", {"size": 1, "root": b"\0" * 32}, 1)
    assert worker.receive() is None
    audit = keys.process.attach("worker")
    audit.socket.send(b"\x01\x02\x03")
    assert audit.receive() is None
    assert keys.ask("jwks")["json"]


def test_lists_show_no_key(keys):
    keys.ask("tenant_key_create", {"tenant": 7})
    listed = keys.ask("keys_list", {"after_key": 0})
    assert (listed["root_kind"], listed["root_generation"]) == ("file", 1)
    assert {(row["tenant"], row["purpose"]) for row in listed["keys"]} == {
        (0, "tenant"), (0, "field"), (0, "lookup"), (0, "backup"), (0, "vault"), (0, "assertion"), (0, "checkpoint"),
        (7, "tenant"), (7, "field"), (7, "lookup"), (7, "backup"), (7, "vault")}
    assert keys.ask("keys_list", {"after_key": listed["keys"][-1]["key"]})["keys"] == []


def test_a_flood_is_told_busy(keys):
    codes = set()
    for _ in range(150):
        try:
            keys.ask("jwks")
            codes.add("OK")
        except Failed as failure:
            codes.add(failure.code)
    assert codes == {"OK", "BUSY"}
