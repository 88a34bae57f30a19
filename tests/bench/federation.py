#!/usr/bin/python3
"""make bench, federation: sign-ins through an identity provider, by OpenID Connect and by SAML 2.0, beside LemonLDAP::NG as relying
party and as service provider of the same one.

Both ask the same provider (tests/integration/identity_provider.py: RS256, one key set; saml_provider.py: signed requests, a
signed assertion by POST), both are behind nginx with TLS, a visitor is a new connection each: the way to the provider, the
way back with its answer, the session's cookie. SAML twice: with requests that the provider wants signed, and without. What a side can do a second on one core is what its own processes spend: CPU
of everything that belongs to it (nginx, portal, authority, federation, keys, audit, PostgreSQL; nginx and the Perl of
LemonLDAP::NG), while the two take turns in blocks. The time by the clock, one visitor after another, has the provider and
the visitor in it. Budget: 5 x (issue 3).

federation.py [sign-ins a block] [blocks] [openid|saml]"""

import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import statistics
import sys
import time
import urllib.parse
import zlib
from base64 import b64decode

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from cryptography.hazmat.primitives import serialization  # noqa: E402
from harness import Deployment  # noqa: E402
from identity_provider import Authority, IdentityProvider, encode  # noqa: E402
from lemonldap import Portal, available, tree  # noqa: E402
from saml_provider import SamlKey, SamlProvider  # noqa: E402

IN_A_BLOCK = int(sys.argv[1]) if len(sys.argv) > 1 else 150
BLOCKS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
BUDGET = 5


TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def cpu_ms(roots):
    """In clock ticks a process, which a block of some seconds makes fine enough: there the threads that ended count as well."""
    total = 0
    for pid in {pid for root in roots for pid in tree(root)}:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])  # utime, stime (proc(5))
    return total * TICK_MS


class Visitor:
    """One connection, cookies, no more than a browser on its way through."""

    def __init__(self, host, port):
        self.host, self.cookies, self.for_forms = f"{host}:{port}", {}, set()
        context = ssl._create_unverified_context()
        self.link = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=20)
        self.link.connect = lambda: self._connect(host, port, context)

    def _connect(self, host, port, context):
        bare = socket.create_connection(("127.0.0.1", port), 20)
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a form goes out in two pieces
        self.link.sock = context.wrap_socket(bare, server_hostname=host)

    def get(self, path, form=None):
        """With a form: posted by the provider's page, to which a browser shows only cookies with SameSite=None."""
        headers = {"Host": self.host}
        shown = self.cookies if form is None else {name: self.cookies[name] for name in self.for_forms & self.cookies.keys()}
        if form is not None:
            headers.update({"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://idp.example",
                            "Sec-Fetch-Site": "cross-site"})
        if shown:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in shown.items())
        self.link.request("GET" if form is None else "POST", path, headers=headers,
                          body=urllib.parse.urlencode(form) if form is not None else None)
        answer = self.link.getresponse()
        answer.body = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name.strip()] = value
            if "SameSite=None" in line:
                self.for_forms.add(name.strip())
        return answer

    def close(self):
        self.link.close()


def path_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


def saml_answer(idp, url):
    """The form of an honest provider for a request by the redirect binding."""
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    request = zlib.decompress(b64decode(asked["SAMLRequest"]), -15).decode()
    identifier = re.search(r'\bID="([^"]+)"', request)[1]
    return {"SAMLResponse": idp.response(in_response_to=identifier), "RelayState": asked.get("RelayState", "")}


class Ours:
    name, cookie = "masugata", "__Host-masugata"

    def __init__(self, deployment):
        self.deployment = deployment
        self.roots = [row["pid"] for row in deployment.status().values() if row.get("pid")]
        self.device = {}  # a browser keeps that cookie, also when its session is over

    def sign_in(self):
        visitor = Visitor("id.acme.localhost", self.deployment.https_port)
        visitor.cookies.update(self.device)
        back = self.through(visitor)
        assert back.status == 303 and self.cookie in visitor.cookies, (back.status, back.body[:300])
        self.device = {name: value for name, value in visitor.cookies.items() if name == "__Host-masugata-device"}
        visitor.close()


class OursOpenId(Ours):
    def __init__(self, deployment, idp):
        super().__init__(deployment)
        self.idp = idp
        deployment.masugata("idp", "add", "acme", "openid", f"issuer={idp.issuer}", f"client.id={idp.client}",
                            "client.authentication=none", "domains=acme.example", "link_by_email=yes", "create_users=yes")
        deployment.masugata("idp", "enable", "acme", "openid")

    def through(self, visitor):
        away = visitor.get("/federation/start/openid?return=/account")
        return visitor.get(path_of(self.idp.authorize(away.headers["Location"])))


class OursSaml(Ours):
    def __init__(self, deployment, idp):
        super().__init__(deployment)
        self.idp = idp
        metadata = deployment.directory / "idp.xml"
        metadata.write_text(idp.metadata())
        self.there = "signed" if idp.wants_signed else "plain"
        deployment.masugata("idp", "add", "acme", self.there, "kind=saml", "--metadata-file", str(metadata), "domains=acme.example",
                            "emails=trusted", "link_by_email=yes", "create_users=yes")
        deployment.masugata("idp", "enable", "acme", self.there)
        idp.learn(deployment.request(f"https://id.acme.localhost/federation/metadata/{self.there}").text)

    def through(self, visitor):
        away = visitor.get(f"/federation/start/{self.there}?return=/account")
        return visitor.get(f"/federation/saml/{self.there}", saml_answer(self.idp, away.headers["Location"]))


class Theirs(Portal):
    """LemonLDAP::NG's portal, as its documentation has it, with everything in files and the defaults of Debian."""

    name, cookie = "LemonLDAP::NG", "lemonldap"

    def __init__(self, authority, idp, settings):
        super().__init__(authority, settings, host="auth.localhost")
        self.idp = idp

    def sign_in(self):
        visitor = Visitor(self.host, self.port)
        back = self.through(visitor)
        assert visitor.cookies.get(self.cookie, "") not in ("", "0"), (back.status, back.body[:600], self.logs())
        visitor.close()


class TheirsOpenId(Theirs):
    def __init__(self, authority, idp):
        super().__init__(authority, idp, {
            "authentication": "OpenIDConnect", "userDB": "Same",
            "oidcOPMetaDataJSON": {"main": json.dumps(idp.document())},
            "oidcOPMetaDataJWKS": {"main": json.dumps({"keys": [key.jwk() for key in idp.keys]})},
            "oidcOPMetaDataOptions": {"main": {
                "oidcOPMetaDataOptionsClientID": idp.client, "oidcOPMetaDataOptionsClientSecret": idp.secret,
                "oidcOPMetaDataOptionsScope": "openid email profile", "oidcOPMetaDataOptionsTokenEndpointAuthMethod": "client_secret_post",
                "oidcOPMetaDataOptionsCheckJWTSignature": 1, "oidcOPMetaDataOptionsUseNonce": 1, "oidcOPMetaDataOptionsIDTokenMaxAge": 300,
                "oidcOPMetaDataOptionsUserAttribute": "sub"}},
            "oidcOPMetaDataExportedVars": {"main": {"uid": "sub", "mail": "email", "cn": "name"}}})

    def through(self, visitor):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(visitor.get("/").headers["Location"]).query))
        # It knows no PKCE (RFC 7636), which the provider demands: it gets a challenge that no verifier answers.
        code = f"code-{time.monotonic_ns()}"
        self.idp.codes[code] = {**asked, "code_challenge": encode(hashlib.sha256(b"").digest())}
        return visitor.get(path_of(asked["redirect_uri"] + "&" + urllib.parse.urlencode({"code": code, "state": asked["state"]})))


class TheirsSaml(Theirs):
    def __init__(self, authority, idp):  # requests as the provider wants them, as ours
        key, pem = SamlKey(bits=3072, name="lemonldap"), serialization.Encoding.PEM
        super().__init__(authority, idp, {
            "authentication": "SAML", "userDB": "Same",  # its key is as long as ours
            "samlServicePrivateKeySig": key.private.private_bytes(
                pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode(),
            "samlServicePublicKeySig": key.certificate.public_bytes(pem).decode(),
            "samlIDPMetaDataXML": {"main": {"samlIDPMetaDataXML": idp.metadata()}},
            "samlIDPMetaDataOptions": {"main": {
                "samlIDPMetaDataOptionsNameIDFormat": "persistent", "samlIDPMetaDataOptionsSignSSOMessage": 1 if idp.wants_signed else 0,
                "samlIDPMetaDataOptionsCheckSSOMessageSignature": 1, "samlIDPMetaDataOptionsCheckAudience": 1,
                "samlIDPMetaDataOptionsCheckTime": 1, "samlIDPMetaDataOptionsSSOBinding": "http-redirect"}},
            "samlIDPMetaDataExportedAttributes": {"main": {"mail": "1;mail", "cn": "0;displayName"}}})
        idp.audience, idp.consumer = f"{self.base}/saml/metadata", f"{self.base}/saml/proxySingleSignOnPost"

    def through(self, visitor):
        return visitor.get("/saml/proxySingleSignOnPost", saml_answer(self.idp, visitor.get("/").headers["Location"]))


def block(side, others):
    """One in which neither the prober looked at the deployment, which it does with sign-ins of its own, nor the worker took
    a backup or made a drill."""
    for _ in range(30):
        before = cpu_ms(others)
        measured = block_once(side)
        if cpu_ms(others) - before <= len(others) * TICK_MS:
            return measured
        time.sleep(2)
    sys.exit("the prober or the worker does not rest")


def block_once(side):
    before, started = cpu_ms(side.roots), time.monotonic()
    for _ in range(IN_A_BLOCK):
        side.sign_in()
    return (cpu_ms(side.roots) - before) / IN_A_BLOCK, (time.monotonic() - started) * 1000 / IN_A_BLOCK


def compare(protocol, ours, theirs, others):
    """True if the budget is met."""
    for side in (ours, theirs):
        for _ in range(60):  # every process and connection has done it often
            side.sign_in()
    cpu, clock = {ours: [], theirs: []}, {ours: [], theirs: []}
    for _ in range(BLOCKS):
        for side in (ours, theirs):
            spent, took = block(side, others)
            cpu[side].append(spent)
            clock[side].append(took)
    print(f"{protocol}, {BLOCKS} blocks of {IN_A_BLOCK} sign-ins each, in turns")
    for side in (ours, theirs):
        spent, took = statistics.median(cpu[side]), statistics.median(clock[side])
        print(f"  {side.name:14} {spent:7.2f} ms CPU a sign-in = {1000 / spent:6.1f}/s a core;  {took:7.1f} ms by the clock with provider and visitor")
    ratio = statistics.median(cpu[theirs]) / statistics.median(cpu[ours])
    print(f"  {ratio:.1f} x as many a core (budget {BUDGET} x): {'met' if ratio >= BUDGET else 'NOT MET'}", flush=True)
    return ratio >= BUDGET


def main():
    if not available(portal=True):
        sys.exit("LemonLDAP::NG's portal is not here, or this is not root: nothing to compare with")
    authority, met = Authority(), []
    with Deployment({"federation.inside": "localhost", "federation.authorities": str(authority.path)}) as deployment, \
            IdentityProvider(authority) as idp:
        try:
            others = [deployment.status()[name]["pid"] for name in ("prober", "worker")]
            deployment.tenant_add("acme", upstream="example:notes")
            if ONLY in ("", "openid"):
                with TheirsOpenId(authority, idp) as theirs:
                    met.append(compare("OpenID Connect", OursOpenId(deployment, idp), theirs, others))
            for wants_signed in (True, False) if ONLY in ("", "saml") else ():
                ours, their = (SamlProvider(key=key) for key in [SamlKey()] * 2)
                ours.wants_signed = their.wants_signed = wants_signed
                with TheirsSaml(authority, their) as theirs:
                    met.append(compare("SAML 2.0, requests " + ("signed" if wants_signed else "not signed"),
                                       OursSaml(deployment, ours), theirs, others))
        finally:
            authority.drop()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
