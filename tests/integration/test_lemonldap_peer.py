"""Sign-in and sign-out with LemonLDAP::NG of Debian as identity provider, by SAML 2.0 and by OpenID Connect, in Chromium. One
portal is both; its people are those of its own demonstration (the Doctor is dwho, and so is the password)."""

import json
import re
import urllib.parse

import pytest

import lemonldap
from cryptography.hazmat.primitives import serialization
from harness import Deployment
from identity_provider import Authority
from peer_browser import chromium, in_chromium
from saml_provider import SamlKey, SamlProvider
from test_federation import last_attempt

pytestmark = [pytest.mark.skipif(not lemonldap.available(portal=True), reason="LemonLDAP::NG is not installed, or this is not root"),
              in_chromium]
EMAIL = "dwho@badwolf.org"
SECRET = "hNvJ3aD6kVwT"  # letters and digits: it does not decode what RFC 6749 section 2.3.1 has clients encode
LOGIN = (["fill", "input[name=user]", "dwho"], ["fill", "input[name=password]", "dwho"], ["press", "button[type=submit]"])
SIGN_OUT = (["press", "form[action='/sign-out'] button"],)


def keys():
    """One pair for both protocols, as its settings want it."""
    key, pem = SamlKey(name="lemonldap"), serialization.Encoding.PEM
    private = key.private.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode()
    public = key.private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    certificate = key.certificate.public_bytes(pem).decode()
    return {"samlServicePrivateKeySig": private, "samlServicePublicKeySig": certificate, "oidcServicePrivateKeySig": private,
            "oidcServicePublicKeySig": public, "oidcServiceKeyIdSig": "first"}


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
    """It knows us by our metadata and our addresses, we it by its metadata and its discovery document."""
    with lemonldap.Portal(authority, {
            "authentication": "Demo", "userDB": "Same", "demoExportedVars": {"uid": "uid", "cn": "cn", "mail": "mail"},
            "issuerDBSAMLActivation": 1, "issuerDBOpenIDConnectActivation": 1, **keys()}) as made:
        deployment.masugata("idp", "add", "acme", "saml", "kind=saml", f"metadata.url={made.base}/saml/metadata", "domains=badwolf.org",
                            "emails=trusted", "create_users=yes", "idp_initiated=yes", "saml.name_id=email")
        deployment.masugata("idp", "add", "acme", "oidc", f"issuer={made.base}/", "client.id=masugata", "client.authentication=secret-basic",
                            "domains=badwolf.org", "emails=trusted", "create_users=yes", "link_by_email=yes", "--secret-file", "-",
                            input=SECRET)
        for name in ("saml", "oidc"):
            deployment.masugata("idp", "enable", "acme", name)
        ours = SamlProvider().learn(deployment.request("https://id.acme.localhost/federation/metadata/saml").text)
        places = deployment.json("idp", "show", "acme", "oidc")["addresses"]
        made.entity = ours.audience
        made.restart(
            samlSPMetaDataXML={"masugata": {"samlSPMetaDataXML": deployment.request("https://id.acme.localhost/federation/metadata/saml").text}},
            samlSPMetaDataOptions={"masugata": {
                "samlSPMetaDataOptionsNameIDFormat": "email", "samlSPMetaDataOptionsSignSSOMessage": 1,
                "samlSPMetaDataOptionsSignSLOMessage": 1, "samlSPMetaDataOptionsCheckSSOMessageSignature": 1,
                "samlSPMetaDataOptionsCheckSLOMessageSignature": 1, "samlSPMetaDataOptionsEnableIDPInitiatedURL": 1,
                "samlSPMetaDataOptionsSessionNotOnOrAfterTimeout": 72000, "samlSPMetaDataOptionsNotOnOrAfterTimeout": 300}},
            samlSPMetaDataExportedAttributes={"masugata": {"mail": "1;mail", "cn": "1;displayName"}},
            oidcRPMetaDataOptions={"masugata": {
                "oidcRPMetaDataOptionsClientID": "masugata", "oidcRPMetaDataOptionsClientSecret": SECRET,
                "oidcRPMetaDataOptionsRedirectUris": places["redirect_uri"], "oidcRPMetaDataOptionsBypassConsent": 1,
                "oidcRPMetaDataOptionsIDTokenSignAlg": "RS256", "oidcRPMetaDataOptionsRequirePKCE": 1,
                "oidcRPMetaDataOptionsPostLogoutRedirectUris": places["post_logout_redirect_uri"],
                "oidcRPMetaDataOptionsLogoutType": "front", "oidcRPMetaDataOptionsLogoutSessionRequired": 1,
                "oidcRPMetaDataOptionsLogoutUrl": places["frontchannel_logout_uri"]}},
            oidcRPMetaDataExportedVars={"masugata": {"email": "mail", "name": "cn"}})
        made.ours = f"https://id.acme.localhost:{deployment.https_port}"
        made.why = lambda: (made.logs(), last_attempt(deployment, "saml"), last_attempt(deployment, "oidc"))
        yield made


def sessions(deployment):
    users = {row["login"]: row for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
    return users[EMAIL]["sessions"]


def test_what_it_says_of_itself_is_understood(deployment, peer):
    saml, oidc = (json.loads(deployment.masugata("idp", "test", "acme", name, "--json").stdout) for name in ("saml", "oidc"))
    assert saml["refusal"] == oidc["refusal"] == "NONE"
    assert saml["found"]["issuer"] == f"{peer.base}/saml/metadata" and "RS256" in oidc["found"]["algorithms"]


def test_saml_from_here_and_sign_out_here(deployment, peer):
    """Signed out here, the person is signed out there as well (single logout)."""
    seen = chromium(["go", f"{peer.ours}/federation/start/saml?return=/account"], *LOGIN, ["at", "/account$"], ["text"],
                    ["go", f"{peer.ours}/sign-out"], *SIGN_OUT, ["at", "/signed-out"],
                    ["go", f"{peer.ours}/federation/start/saml?return=/account"], ["text"], why=peer.why)
    assert EMAIL in seen["texts"][0] and "Doctor Who" in seen["texts"][0]
    assert urllib.parse.urlsplit(seen["url"]).netloc == urllib.parse.urlsplit(peer.base).netloc
    assert "Connect" in seen["texts"][1] and sessions(deployment) == 0  # its form again


def test_saml_from_there_and_sign_out_there(deployment, peer):
    """Begun at the provider; its sign-out reaches us in a frame, which is shown none of our cookies."""
    begin = f"{peer.base}/saml/singleSignOn?IDPInitiated=1&spConfKey=masugata"
    seen = chromium(["go", begin], *LOGIN, ["at", f"^{re.escape(peer.ours)}/"], ["apart", f"{peer.ours}/account"],
                    ["go", f"{peer.base}/?logout=1"], ["gone", f"{peer.ours}/account"], ["text"], why=peer.why)
    assert EMAIL in seen["texts"][0] and sessions(deployment) == 0, seen
    assert "InResponseTo" not in last_attempt(deployment, "saml")["arrived"]


def test_openid_connect_from_here_and_sign_out_here(deployment, peer):
    seen = chromium(["go", f"{peer.ours}/federation/start/oidc?return=/account"], *LOGIN, ["at", "/account$"], ["text"],
                    ["go", f"{peer.ours}/sign-out"], *SIGN_OUT, ["press", ".confirm button.positive"],
                    ["press", ".info button.positive"], ["at", "/signed-out"],
                    ["go", f"{peer.ours}/federation/start/oidc?return=/account"], ["text"], why=peer.why)
    assert EMAIL in seen["texts"][0] and "Doctor Who" in seen["texts"][0]
    assert "Connect" in seen["texts"][1] and sessions(deployment) == 0


def test_openid_connect_and_sign_out_there(deployment, peer):
    """Its sign-out reaches us in a frame as well, and names a session that no token of its has named (this version puts the
    person's identifier there and no sid into its tokens): we end nothing on such a word."""
    seen = chromium(["go", f"{peer.ours}/federation/start/oidc?return=/account"], *LOGIN, ["at", "/account$"],
                    ["go", f"{peer.base}/?logout=1"], ["apart", f"{peer.ours}/account"], why=peer.why)
    assert ["GET", "/federation/front-channel/oidc", [""]] in seen["shown"], seen
    assert EMAIL in seen["texts"][0] and sessions(deployment) == 1
