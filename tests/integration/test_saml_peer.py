"""Sign-in and sign-out with a SAML provider that somebody else wrote: SimpleSAMLphp of Debian, over HTTPS and with its own
pages, its metadata fetched from it and ours given to it."""

import base64
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import urllib.parse

import pytest

from harness import Deployment, free_port, wait_until
from identity_provider import Authority
from saml_provider import SamlKey, SamlProvider
from peer_browser import chromium, in_chromium
from test_federation import Visitor, last_attempt
from test_oidc_peer import Forms, PeerBrowser
from cryptography.hazmat.primitives import serialization

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path("/usr/share/simplesamlphp/www")
pytestmark = pytest.mark.skipif(not PROGRAM.is_dir() or shutil.which("php") is None, reason="simplesamlphp or php is not installed")


def php(value):
    """A Python value as PHP."""
    if isinstance(value, dict):
        return "[" + ", ".join(f"{php(k)} => {php(v)}" for k, v in value.items()) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(php(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Front:
    """TLS in front of PHP's own server, which has none."""

    def __init__(self, authority, port, behind):
        self.behind = behind
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        self.socket = socket.create_server(("127.0.0.1", port))
        self.context = context
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                outside, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(outside,), daemon=True).start()

    def carry(self, outside):
        try:
            with self.context.wrap_socket(outside, server_side=True) as outer, socket.create_connection(
                    ("127.0.0.1", self.behind)) as inner:
                back = threading.Thread(target=self.pump, args=(inner, outer), daemon=True)
                back.start()
                self.pump(outer, inner)
                back.join(20)
        except OSError:
            pass

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class SimpleSaml:
    def __init__(self, authority):
        self.directory = authority.directory / "ssp"
        self.port, self.behind = free_port(), free_port()
        self.base = f"https://localhost:{self.port}/simplesaml"
        self.entity = f"{self.base}/saml2/idp/metadata.php"
        for name in ("cert", "log", "data", "tmp", "metadata", "sessions", "www"):
            (self.directory / name).mkdir(parents=True)
        (self.directory / "www/simplesaml").symlink_to(PROGRAM)
        key = SamlKey(name="simplesamlphp")
        pem = serialization.Encoding.PEM
        (self.directory / "cert/idp.pem").write_bytes(key.certificate.public_bytes(pem))
        (self.directory / "cert/idp.key").write_bytes(key.private.private_bytes(
            pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()))
        directory = str(self.directory)
        self.write("config.php", "config", {
            "baseurlpath": f"{self.base}/", "certdir": f"{directory}/cert/", "loggingdir": f"{directory}/log/",
            "datadir": f"{directory}/data/", "tempdir": f"{directory}/tmp", "metadatadir": f"{directory}/metadata",
            "secretsalt": secrets.token_hex(16), "auth.adminpassword": secrets.token_hex(8), "timezone": "UTC",
            "technicalcontact_email": "nobody@idp.example", "logging.handler": "file", "logging.logfile": "ssp.log",
            "enable.saml20-idp": True, "module.enable": {"exampleauth": True, "core": True, "saml": True},
            "store.type": "phpsession", "session.phpsession.savepath": f"{directory}/sessions",
            "session.phpsession.cookiename": "SimpleSAML", "session.cookie.secure": True,
            "metadata.sources": [{"type": "flatfile"}], "language.default": "en"})
        self.write("authsources.php", "config", {"example-userpass": ["exampleauth:UserPass"], "admin": ["core:AdminPassword"]})
        text = (self.directory / "authsources.php").read_text().replace(
            "'exampleauth:UserPass'", "'exampleauth:UserPass', 'hana:secret' => " + php(
                {"uid": ["hana"], "mail": ["hana@acme.example"], "displayName": ["花 Hana & co"], "groups": ["Staff"]}))
        (self.directory / "authsources.php").write_text(text)
        persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
        self.write("metadata/saml20-idp-hosted.php", f"metadata[{php(self.entity)}]", {
            "host": "__DEFAULT__", "privatekey": "idp.key", "certificate": "idp.pem", "auth": "example-userpass",
            "NameIDFormat": persistent, "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            "validate.authnrequest": True, "redirect.sign": True, "redirect.validate": True, "sign.logout": True,
            "authproc": {1: {"class": "saml:AttributeNameID", "attribute": "uid", "Format": persistent}}})

    def write(self, name, variable, value):
        (self.directory / name).write_text(f"<?php\n${variable} = {php(value)};\n")

    def knows(self, ours, **more):
        """Our metadata as its own."""
        keys = [{"type": "X509Certificate", "signing": use == "signing", "encryption": use == "encryption", "X509Certificate": der}
                for use, der in re.findall(r'use="(\w+)">.*?<ds:X509Certificate>([^<]+)<', ours.text)]
        self.write("metadata/saml20-sp-remote.php", f"metadata[{php(ours.audience)}]", {
            "AssertionConsumerService": ours.consumer, "keys": keys, "validate.authnrequest": True,
            "SingleLogoutService": [{"Binding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect", "Location": ours.logout}],
            **more})

    def __enter__(self):
        self.log = open(self.directory / "php.log", "wb")
        self.process = subprocess.Popen(
            ["php", "-d", "opcache.enable=0", "-S", f"127.0.0.1:{self.behind}", "-t", str(self.directory / "www")], stdout=self.log,
            stderr=self.log, env={**os.environ, "SIMPLESAMLPHP_CONFIG_DIR": str(self.directory), "PHP_CLI_SERVER_WORKERS": "3"},
            start_new_session=True)
        self.front = Front(self.authority, self.port, self.behind)

        def ready():
            with socket.create_connection(("127.0.0.1", self.behind), 1):
                return True

        def listens():
            try:
                return ready()
            except OSError:
                return False
        wait_until(listens, 20, what="php")
        return self

    def __exit__(self, *unused):
        self.front.socket.close()
        os.killpg(self.process.pid, signal.SIGTERM)  # its workers, too
        self.process.wait()

    def logs(self):
        return "".join(path.read_text(errors="replace")[-3000:] for path in
                       [self.directory / "php.log", *self.directory.glob("log/*.log")] if path.exists())


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def deployment(authority):
    with Deployment({"federation.inside": "localhost", "federation.authorities": str(authority.path)}) as made:
        made.tenant_add("acme", upstream="example:notes")
        yield made


@pytest.fixture(scope="module")
def peer(deployment, authority):
    made = SimpleSaml(authority)
    made.authority = authority
    with made:
        done = deployment.masugata("idp", "add", "acme", "ssp", "kind=saml", f"metadata.url={made.entity}", "domains=acme.example",
                                   "emails=trusted", "create_users=yes", "groups.roles=Staff=user", "idp_initiated=yes",
                                   "saml.name_id=persistent", check=False)
        assert done.returncode == 0, (done.stderr, made.logs())
        deployment.masugata("idp", "enable", "acme", "ssp")
        made.ours = SamlProvider()
        made.ours.text = deployment.request("https://id.acme.localhost/federation/metadata/ssp").text
        made.ours.learn(made.ours.text)
        made.knows(made.ours)
        yield made


def carried(page, url):
    """What a page's form would send, and to where."""
    form = Forms()
    form.feed(page)
    return urllib.parse.urljoin(url, form.action), form.fields


def there(authority, peer, url):
    """Through its sign-in page; gives the form for us."""
    browser = PeerBrowser(authority)
    answer = browser.send(url)
    for _ in range(10):
        if answer.status in (301, 302, 303):
            url = urllib.parse.urljoin(url, answer.headers["Location"])
            answer = browser.send(url)
            continue
        page = answer.read().decode()
        assert answer.status == 200, (page[-1500:], peer.logs())
        place, fields = carried(page, url)
        if "SAMLResponse" in fields:
            return browser, place, fields
        url = place
        answer = browser.send(url, {**fields, "username": "hana", "password": "secret"})
    raise AssertionError("going in circles")


def deliver(visitor, place, fields):
    answer = visitor.deployment.request(place, "POST", {
        "Content-Type": "application/x-www-form-urlencoded", "Origin": "https://localhost", "Sec-Fetch-Site": "cross-site"},
        urllib.parse.urlencode({k: v for k, v in fields.items() if v or k != "RelayState"}))
    if answer.status == 303:
        answer = visitor.browser.get(urllib.parse.urljoin(place, answer.headers["Location"]), follow=False)
    return answer


def signed_in(deployment, authority, peer):
    visitor = Visitor(deployment)
    url = visitor.start("ssp")
    assert url, visitor.answer.text
    browser, place, fields = there(authority, peer, url)
    answer = deliver(visitor, place, fields)
    assert answer.status == 303 and visitor.is_in(), (last_attempt(deployment, "ssp"), base64.b64decode(fields["SAMLResponse"]))
    return visitor, browser


def test_its_metadata_is_understood(deployment, peer):
    found = json.loads(deployment.masugata("idp", "test", "acme", "ssp", "--json").stdout)
    assert found["refusal"] == "NONE" and found["found"]["metadata"] == "as it was taken"
    assert found["found"]["issuer"] == peer.entity


def test_a_person_signs_in_there_and_is_in_here(deployment, authority, peer):
    signed_in(deployment, authority, peer)
    users = {row["login"]: row for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
    assert users["hana@acme.example"]["name"] == "花 Hana & co" and users["hana@acme.example"]["roles"] == "user"
    assert last_attempt(deployment, "ssp")["arrived"]["NameID"] == "hana"


@in_chromium
def test_a_person_signs_in_with_chromium(deployment, peer):
    """The provider's form is shown what this browser began, and not the session of whoever is signed in."""
    seen = chromium(["go", f"https://id.acme.localhost:{deployment.https_port}/federation/start/ssp?return=/account"],
                    ["fill", "input[name=username]", "hana"], ["fill", "input[name=password]", "secret"],
                    ["press", "[type=submit]"], ["at", "/account$"], ["text"], why=lambda: (peer.logs(), last_attempt(deployment, "ssp")))
    assert "hana@acme.example" in seen["texts"][0]
    cookies = {(method, path): names for method, path, names in seen["shown"]}
    assert sorted(cookies[("POST", "/federation/saml/ssp")]) == ["__Host-masugata-begun-0", "__Host-masugata-federation"], seen["shown"]
    assert ("GET", "/federation/arrived/ssp") not in cookies, seen["shown"]


def test_encrypted_assertions(deployment, authority, peer):
    peer.knows(peer.ours, **{"assertion.encryption": True})
    try:
        signed_in(deployment, authority, peer)
        assert last_attempt(deployment, "ssp")["arrived"]["encrypted"] is True
    finally:
        peer.knows(peer.ours)


def test_our_keys_are_rolled_over(deployment, authority, peer):
    """It checks our signatures and encrypts for us by the metadata that it has, whenever it took it."""
    ours = "https://id.acme.localhost/federation/metadata/ssp"

    def step(word):
        done = deployment.masugata("idp", "key", "acme", "ssp", word, check=False)
        assert done.returncode == 0, done.stderr

    def takes_metadata():
        peer.ours.text = deployment.request(ours).text
        peer.ours.learn(peer.ours.text)
        peer.knows(peer.ours, **{"assertion.encryption": True})
        return len(peer.ours.all_sp_keys["signing"])

    def enters():
        signed_in(deployment, authority, peer)
        assert last_attempt(deployment, "ssp")["arrived"]["encrypted"] is True

    old = peer.ours.learn(peer.ours.text).sp_keys["signing"].public_numbers()
    try:
        assert takes_metadata() == 1
        step("make")
        enters()  # it does not know of the new key yet
        assert takes_metadata() == 2
        enters()
        step("use")
        enters()  # signed by the new key, encrypted for the old one
        assert takes_metadata() == 2
        enters()
        step("finish")
        enters()
        assert takes_metadata() == 1 and peer.ours.sp_keys["signing"].public_numbers() != old
        enters()
    finally:
        takes_metadata()
        peer.knows(peer.ours)


def test_a_sign_in_that_begins_there(deployment, authority, peer):
    visitor = Visitor(deployment)
    _, place, fields = there(authority, peer, f"{peer.base}/saml2/idp/SSOService.php?" + urllib.parse.urlencode(
        {"spentityid": peer.ours.audience, "RelayState": "/factors"}))
    answer = deliver(visitor, place, fields)
    assert answer.status == 303 and answer.headers["Location"] == "/factors" and visitor.is_in(), last_attempt(deployment, "ssp")


def test_signing_out_here_signs_out_there(deployment, authority, peer):
    visitor, browser = signed_in(deployment, authority, peer)
    visitor.browser.get(visitor.deployment_url("/sign-out"))
    answer = visitor.browser.submit(follow=False, action="/sign-out")
    assert not visitor.is_in()
    back = browser.through(answer.headers["Location"], [])
    assert back.startswith(visitor.deployment_url("/federation/sign-out/ssp?SAMLResponse=")), (back, peer.logs())
    assert visitor.browser.get(back, follow=False).headers["Location"] == "/signed-out"
    # There, too, the session is gone: the next sign-in asks for the password.
    page = browser.send(Visitor(deployment).start("ssp"))
    while page.status in (301, 302, 303):
        page = browser.send(urllib.parse.urljoin(page.url, page.headers["Location"]))
    assert 'name="password"' in page.read().decode()


def test_signing_out_there_signs_out_here(deployment, authority, peer):
    visitor, browser = signed_in(deployment, authority, peer)
    url = browser.through(f"{peer.base}/saml2/idp/SingleLogoutService.php?" + urllib.parse.urlencode(
        {"ReturnTo": f"{peer.base}/logout.php"}), [{}])
    assert url.startswith(visitor.deployment_url("/federation/sign-out/ssp?SAMLRequest=")), (url, peer.logs())
    answer = visitor.browser.get(url, follow=False)
    assert answer.status == 303 and not visitor.is_in(), last_attempt(deployment, "ssp")
    done = browser.send(answer.headers["Location"])
    assert done.status in (200, 302, 303), peer.logs()
