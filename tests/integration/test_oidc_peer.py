"""Sign-in and sign-out with a provider that somebody else wrote: npm's oidc-provider, over HTTPS and with its own pages."""

import html.parser
import http.cookiejar
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import urllib.parse
import urllib.request

import pytest

from harness import Deployment, free_port, wait_until
from identity_provider import Authority, Key
from test_federation import Visitor

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(shutil.which("node") is None or not (ROOT / "node_modules/oidc-provider").exists(),
                                reason="npm ci was not run")


class Forms(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.action, self.fields = None, {}

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = values.get("action", "")
        if tag == "input" and values.get("name"):
            self.fields[values["name"]] = values.get("value") or ""


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *unused):
        return None


class PeerBrowser:
    """A browser at the provider's pages: follows its redirects until one leads elsewhere."""

    def __init__(self, authority):
        self.jar = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(strict_domain=False))
        context = ssl.create_default_context(cafile=str(authority.path))
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar),
                                                  urllib.request.HTTPSHandler(context=context), NoRedirect)

    def send(self, url, form=None):
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            return self.opener.open(urllib.request.Request(url, data), timeout=10)
        except urllib.error.HTTPError as answer:
            return answer

    def through(self, url, answers):
        """`answers` fills the forms, in order; gives the address outside that it ends at."""
        here = urllib.parse.urlsplit(url).netloc
        answer, waiting = self.send(url), list(answers)
        for _ in range(20):
            if answer.status in (301, 302, 303):
                url = urllib.parse.urljoin(url, answer.headers["Location"])
                if urllib.parse.urlsplit(url).netloc != here:
                    return url
                answer = self.send(url)
                continue
            page = answer.read().decode()
            form = Forms()
            form.feed(page)
            assert answer.status == 200 and form.action is not None and waiting, page
            url = urllib.parse.urljoin(url, form.action)
            answer = self.send(url, {**form.fields, **waiting.pop(0)})
        raise AssertionError("going in circles")


LOGIN, CONSENT = {"login": "hana", "password": "any"}, {}


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
    port = free_port()
    issuer, base = f"https://localhost:{port}", f"https://id.acme.localhost:{deployment.https_port}"
    deployment.masugata("idp", "add", "acme", "peer", f"issuer={issuer}", "client.id=masugata", "create_users=yes",
                        "domains=acme.example", "groups.roles=Staff=user")
    ours = deployment.json("idp", "show", "acme", "peer")["addresses"]
    keys = json.loads(deployment.request(ours["jwks_uri"]).text)
    # A JWK with its private half, for the provider to sign with.
    key = Key("ES256")
    private = key.private.private_numbers().private_value
    jwk = {**key.jwk(), "d": __import__("identity_provider").number(private, 32)}
    client = {"client_id": "masugata", "redirect_uris": [ours["redirect_uri"]], "response_types": ["code"],
              "grant_types": ["authorization_code"], "id_token_signed_response_alg": "ES256",
              "token_endpoint_auth_method": "private_key_jwt", "jwks": keys,
              "post_logout_redirect_uris": [ours["post_logout_redirect_uri"]],
              "backchannel_logout_uri": ours["backchannel_logout_uri"], "backchannel_logout_session_required": True}
    configuration = authority.directory / "peer.json"
    configuration.write_text(json.dumps({"issuer": issuer, "port": port, "clients": [client], "jwks": {"keys": [jwk]}}))
    log = open(authority.directory / "peer.log", "wb")
    # The provider's own requests (back channel) go to our demo authority's certificates, and to *.localhost.
    process = subprocess.Popen(["node", str(ROOT / "tests/integration/oidc_peer.mjs"), str(configuration)], cwd=ROOT, stdout=log,
                               stderr=log, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(deployment.directory / "tls/demo-ca.pem")})
    try:
        def ready():
            assert process.poll() is None, (authority.directory / "peer.log").read_text()
            return b"ready" in (authority.directory / "peer.log").read_bytes()
        wait_until(ready, 30, what="oidc-provider")
        deployment.masugata("idp", "enable", "acme", "peer")
        yield issuer
    finally:
        process.terminate()
        process.wait()


def signed_in(deployment, authority):
    visitor, there = Visitor(deployment), PeerBrowser(authority)
    url = visitor.start("peer")
    assert url, visitor.answer.text
    back = there.through(url, [LOGIN, CONSENT])
    answer = visitor.finish(back)
    assert answer.status == 303, (answer.text, deployment.masugata("idp", "test", "acme", "peer", check=False).stdout)
    return visitor, there


def test_its_description_is_understood(deployment, peer):
    found = deployment.json("idp", "test", "acme", "peer")
    assert found["refusal"] == "NONE" and found["found"]["response_issuer"] == "yes"
    assert found["found"]["back_channel_logout"] == "yes" and "P-256" in found["found"]["keys"]


def test_a_person_signs_in_there_and_is_in_here(deployment, authority, peer):
    visitor, _ = signed_in(deployment, authority)
    assert visitor.is_in()
    users = {row["login"]: row for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
    assert users["hana@acme.example"]["roles"] == "user" and users["hana@acme.example"]["name"] == "花"
    attempt = deployment.json("idp", "test", "acme", "peer")["attempts"][0]
    assert attempt["refusal"] == "NONE" and attempt["arrived"]["alg"] == "ES256"


def test_signing_out_here_signs_out_there(deployment, authority, peer):
    visitor, there = signed_in(deployment, authority)
    visitor.browser.get(visitor.deployment_url("/sign-out"))
    answer = visitor.browser.submit(follow=False, action="/sign-out")
    assert not visitor.is_in()
    # The provider asks whether to sign out (no token is handed over), then leads back.
    back = there.through(answer.headers["Location"], [{"logout": "yes"}])
    assert back == visitor.deployment_url("/signed-out")
    assert visitor.browser.get(back).status == 200


def test_signing_out_there_signs_out_here(deployment, authority, peer):
    visitor, there = signed_in(deployment, authority)
    assert visitor.is_in()
    answer = there.send(f"{peer}/session/end")
    form = Forms()
    form.feed(answer.read().decode())
    there.send(urllib.parse.urljoin(f"{peer}/", form.action), {**form.fields, "logout": "yes"})
    try:
        wait_until(lambda: not visitor.is_in(), 10, what="back-channel logout")
    except AssertionError:
        raise AssertionError((authority.directory / "peer.log").read_text())
