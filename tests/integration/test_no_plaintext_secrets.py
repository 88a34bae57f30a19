"""No plaintext secret at rest: everything under the state directory, and a core dump of every process, is searched
for secrets that were planted by using the system: a password, session tokens, a reset ticket, the database password
of a tenant, the root key, and the private keys of TLS."""

import base64
import binascii
import email
import email.policy
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import pytest
from aiosmtpd.controller import Controller

from browser import Browser
from harness import Deployment, free_port, wait_until

PASSWORD = "Ume-no-hana 7 planted password"
LOGIN = "aiko@acme.example"


class App(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_GET(self):
        App.seen.append(str(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        try:
            self.wfile.write(b"ok")
        except ConnectionError:
            pass  # the watch looks and goes

    def log_message(self, *arguments):
        pass


class Mailbox:
    def __init__(self):
        self.mails = []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port())
        self.controller.start()
        self.url = f"smtp://127.0.0.1:{self.controller.port}"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append(envelope.content)
        return "250 kept"


@pytest.fixture(scope="module")
def planted():
    """A deployment in use, and what must be found nowhere: {name: bytes}."""
    mailbox = Mailbox()
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    with Deployment({"mail.url": mailbox.url, "mail.tls": "off"}) as made:
        made.tenant_add("acme", f"127.0.0.1:{app.server_port}")
        made.masugata("user", "add", "--tenant", "acme", LOGIN, "--name", "Aiko", "--roles", "user", "--password-stdin",
                      input=PASSWORD + "\n")
        browser = Browser(made)
        page = browser.sign_in(f"https://acme.localhost:{made.https_port}/", LOGIN, PASSWORD)
        assert page.status == 200, page.text[:300]
        Browser(made).sign_in(f"https://acme.localhost:{made.https_port}/", LOGIN, "a wrong password, planted too")
        stranger = Browser(made)
        stranger.get(f"https://id.acme.localhost:{made.https_port}/reset")
        stranger.submit({"login": LOGIN}, action="/reset")
        wait_until(lambda: mailbox.mails, 60, what="the reset mail")
        text = email.message_from_bytes(mailbox.mails[0], policy=email.policy.default).get_content()
        ticket = re.search(r"ticket=([\w-]+)", text).group(1).encode()
        secrets = {"password": PASSWORD.encode(), "wrong password": b"a wrong password, planted too", "reset ticket": ticket}
        for host, jar in browser.cookies.items():
            if "__Host-masugata" in jar:
                secrets[f"session token of {host}"] = jar["__Host-masugata"].encode()
        for path in (made.run_directory / "app").glob("*/database.json"):
            secrets[f"database password of {path.parent.name}"] = re.search(rb'"password"\s*:\s*"([^"]+)"', path.read_bytes()).group(1)
        root = (made.directory / "keystore/root.key").read_bytes()
        assert root.startswith(b"MGROOT1\n")
        secrets["root key"] = root[56:88]
        assert len(secrets) >= 6, secrets.keys()
        time.sleep(3)  # counts, last-seen marks and audit groups are on disk by then
        yield made, secrets
    mailbox.controller.stop()
    app.shutdown()


def forms(secret):
    """The secret as it might be written: itself, hexadecimal, base64, and what base64url text decodes to."""
    found = {secret, binascii.hexlify(secret), binascii.hexlify(secret).upper(), base64.b64encode(secret).rstrip(b"=")}
    if re.fullmatch(rb"[\w-]{43}", secret):
        raw = base64.urlsafe_b64decode(secret + b"=")
        found |= {raw, binascii.hexlify(raw), base64.b64encode(raw).rstrip(b"=")}
    return found


def findings(where, data, secrets, besides=()):
    return [f"{name} in {where}" for name, secret in secrets.items() if name not in besides
            if any(form in data for form in forms(secret))]


def test_the_state_directory_holds_none(planted):
    made, secrets = planted
    found, files = [], 0
    for path in made.directory.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        besides = ("root key",) if path == made.directory / "keystore/root.key" else ()
        data = path.read_bytes()
        found += findings(path.relative_to(made.directory), data, secrets, besides)
        if re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", data):
            found.append(f"a private key in {path.relative_to(made.directory)}")
        files += 1
    assert files > 500, "the databases' files are among them"
    assert found == []


def test_the_search_would_find_them(planted):
    made, secrets = planted
    for name, secret in secrets.items():
        for form in forms(secret):
            assert findings("a test", b"before" + form + b"after", {name: secret}) == [f"{name} in a test"]


def test_the_root_key_and_wrapped_keys_are_for_keys_alone(planted):
    made, _ = planted
    directory = made.directory / "keystore"
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "root.key").stat().st_mode & 0o777 == 0o400
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_process_leaves_a_core_dump(planted):
    made, _ = planted
    for name, row in made.status().items():
        limits = pathlib.Path(f"/proc/{row['pid']}/limits").read_text()
        assert re.search(r"Max core file size\s+0\s+0", limits), name


def test_the_app_never_sees_the_session(planted):
    _, secrets = planted
    tokens = [secret.decode() for name, secret in secrets.items() if name.startswith("session token")]
    assert App.seen and not any(token in seen for seen in App.seen for token in tokens)


def without_empty_pages(path, block=65536):
    """A dump is mostly memory that was reserved and never touched."""
    empty, kept = bytes(block), []
    with open(path, "rb") as file:
        while data := file.read(block):
            if data != empty:
                kept.append(data)
    return b"".join(kept)


@pytest.mark.skipif(shutil.which("gcore") is None or os.geteuid() != 0, reason="needs gdb and root")
def test_core_dumps_hold_none(planted, tmp_path):
    """Taken by force: the processes allow none. What stands in locked memory is left out of every dump."""
    made, secrets = planted
    found, dumped = [], 0
    for name, row in made.status().items():
        target = tmp_path / name
        done = subprocess.run(["gcore", "-o", str(target), str(row["pid"])], capture_output=True, text=True, timeout=120)
        core = pathlib.Path(f"{target}.{row['pid']}")
        assert core.exists(), done.stdout + done.stderr
        memory = without_empty_pages(core)
        core.unlink()
        assert b"masugata" in memory and len(memory) > 200_000, f"{name} was dumped"
        found += findings(f"the memory of {name}", memory, secrets)
        dumped += 1
    assert found == []
    assert dumped >= 9
