"""Sign-in through SAML providers in a whole deployment: what is right goes through, and every trick is refused, with the
reason told to the administrator and not to the visitor."""

import base64
import concurrent.futures
import json
import re
import secrets
import time
import urllib.parse

import pytest

from browser import Browser
from harness import Deployment, wait_until
from identity_provider import Authority, IdentityProvider
from saml_provider import (ASSERTION, DSIG, EXCLUSIVE, MORE, PASSWORD, PROTOCOL, SamlKey, SamlProvider, XENC, after_issuer, encode,
                           instant, signature, wrapped)
from test_federation import Visitor, last_attempt

SETTINGS = ["kind=saml", "domains=acme.example", "emails=trusted", "link_by_email=yes", "create_users=yes",
            "groups.roles=Admins=administrator; Staff=user"]


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def deployment(authority):
    with Deployment({"federation.inside": "localhost", "federation.authorities": str(authority.path)}) as made:
        made.tenant_add("acme", upstream="example:notes")
        made.tenant_add("hinode", upstream="example:notes")
        made.masugata("user", "add", "boss@acme.example", "--tenant", "acme", "--name", "Boss", "--roles", "administrator",
                      "--email", "boss@acme.example", check=False)  # besides those whom the provider makes administrators
        yield made


def logged(deployment, event):
    return deployment.masugata("audit", "search", "--tenant", "acme", "--event", event, "--limit", "1000", "--json", check=False).stdout


def add(deployment, idp, name, *settings, tenant="acme", enable=True):
    done = deployment.masugata("idp", "add", tenant, name, *SETTINGS, *settings, "--metadata-file", "-", input=idp.metadata())
    assert done.returncode == 0, done.stderr
    idp.learn(deployment.request(f"https://id.{tenant}.localhost/federation/metadata/{name}").text)
    idp.name, idp.tenant = name, tenant
    if enable:
        deployment.masugata("idp", "enable", tenant, name)
    return idp


@pytest.fixture(scope="module")
def main(deployment):
    return add(deployment, SamlProvider(), "main", "label=Acme SAML")


@pytest.fixture(scope="module")
def open_idp(deployment):
    """One that may begin a sign-in by itself."""
    return add(deployment, SamlProvider("https://open.example/saml", "https://open.example"), "open", "idp_initiated=yes", "button=no")


@pytest.fixture
def idp(main):
    main.person = {"name_id": "person-1", "email": "aiko@acme.example", "name": "Aiko", "groups": []}
    return main


@pytest.fixture
def visitor(deployment):
    return Visitor(deployment)


def post(deployment, idp, response, relay_state="", name=None, tenant=None):
    """The form that the provider's page sends, from a browser that shows no cookie with it."""
    url = f"https://id.{tenant or idp.tenant}.localhost:{deployment.https_port}/federation/saml/{name or idp.name}"
    body = urllib.parse.urlencode({"SAMLResponse": response, "RelayState": relay_state})
    return deployment.request(url, "POST", {"Content-Type": "application/x-www-form-urlencoded", "Origin": idp.base,
                                            "Sec-Fetch-Site": "cross-site"}, body)


def deliver(visitor, idp, response, relay_state=None, shown=True, **place):
    """The form, as browsers send it or (not `shown`) without a cookie, and then the browser; the last answer."""
    relay_state = idp.relay_state if relay_state is None else relay_state
    if shown:
        host = f"id.{place.get('tenant') or idp.tenant}.localhost:{visitor.deployment.https_port}"
        answer = visitor.browser.post_from_another_site(f"https://{host}/federation/saml/{place.get('name') or idp.name}",
                                                        {"SAMLResponse": response, "RelayState": relay_state}, idp.base)
    else:
        answer = post(visitor.deployment, idp, response, relay_state, **place)
    visitor.answer = answer
    if answer.status == 303 and "/federation/arrived/" in answer.headers["Location"]:
        visitor.answer = visitor.browser.get(
            urllib.parse.urljoin(visitor.deployment_url("/", place.get("tenant") or idp.tenant), answer.headers["Location"]),
            headers={"Sec-Fetch-Site": "cross-site"}, follow=False)
        visitor.browser.page = visitor.answer
    return visitor.answer


def sign_in(visitor, idp, **changes):
    asked = idp.answer(visitor.start(idp.name, idp.tenant))
    return deliver(visitor, idp, idp.response(**asked, **changes))


def refused(visitor, idp, reason, response=None, **changes):
    """A sign-in that is refused for that reason, of which the visitor sees nothing."""
    asked = idp.answer(visitor.start(idp.name, idp.tenant))
    answer = deliver(visitor, idp, response(**asked) if response else idp.response(**asked, **changes))
    assert answer.status == 403, (answer.status, last_attempt(visitor.deployment, idp.name, idp.tenant))
    attempt = last_attempt(visitor.deployment, idp.name, idp.tenant)
    assert attempt["refusal"] == reason, attempt
    assert not visitor.is_in(idp.tenant)
    assert "Your administrator can see why" in answer.text and reason not in answer.text
    return attempt


# ---- what is right -------------------------------------------------------------------------------------


def test_our_metadata_says_what_a_provider_needs(deployment, idp):
    answer = deployment.request("https://id.acme.localhost/federation/metadata/main")
    assert answer.headers["Content-Type"] == "application/samlmetadata+xml"
    assert idp.audience.endswith("/federation/metadata/main") and idp.consumer.endswith("/federation/saml/main")
    assert 'AuthnRequestsSigned="true"' in answer.text and 'WantAssertionsSigned="true"' in answer.text
    assert set(idp.sp_keys) == {"signing", "encryption"} and all(key.key_size == 3072 for key in idp.sp_keys.values())
    assert idp.sp_keys["signing"].public_numbers() != idp.sp_keys["encryption"].public_numbers()
    shown = json.loads(deployment.masugata("idp", "show", "acme", "main", "--json").stdout)
    assert shown["settings"]["saml.sign_in_url"] == f"{idp.base}/sso" and shown["addresses"]["entity_id"] == idp.audience
    assert deployment.request("https://id.hinode.localhost/federation/metadata/main").status == 404
    assert deployment.request("https://id.acme.localhost/federation/keys/main").status == 404


def test_a_person_signs_in_and_reaches_the_application(deployment, idp):
    browser = Browser(deployment)
    page = browser.get(f"https://acme.localhost:{deployment.https_port}/")
    assert "Continue with Acme SAML" in page.text
    link = re.search(r'href="(/federation/start/main\?[^"]+)"', page.text)[1].replace("&amp;", "&")
    answer = browser.get(f"https://id.acme.localhost:{deployment.https_port}{link}", follow=False)
    asked = idp.answer(answer.headers["Location"])
    came = post(deployment, idp, idp.response(**asked), idp.relay_state)
    assert came.status == 303 and not came.headers.get_all("Set-Cookie")
    page = browser.get(f"https://id.acme.localhost:{deployment.https_port}{came.headers['Location']}")
    assert page.status == 200 and urllib.parse.urlsplit(browser.url).hostname == "acme.localhost", page.text
    assert "Aiko" in browser.get(f"https://id.acme.localhost:{deployment.https_port}/account").text
    assert any(row["login"] == "aiko@acme.example" for row in deployment.json("user", "list", "--tenant", "acme")["users"])


@pytest.mark.parametrize("how", [
    {"sign": "response"}, {"sign": "both"}, {"encrypt": "gcm"}, {"encrypt": "gcm", "sign": "response"},
    {"encrypt": "cbc", "sign": "both"}, {"digest": "sha384"}, {"digest": "sha512"}, {"signature": {"prefixes": "xs"}}])
def test_every_honest_way_to_sign_and_encrypt(visitor, idp, how):
    assert sign_in(visitor, idp, **how).status == 303 and visitor.is_in(), last_attempt(visitor.deployment)
    if "encrypt" in how:
        assert last_attempt(visitor.deployment)["arrived"]["encrypted"] is True


def test_our_own_keys_are_rolled_over(deployment, visitor, idp):
    """New keys beside the old ones, the new one signs when it is said, the old ones go; whatever the provider has read by
    then, each request can be checked and each assertion be read."""

    def step(*words):
        return deployment.masugata("idp", "key", "acme", "main", *words, check=False)

    def metadata():
        return deployment.request("https://id.acme.localhost/federation/metadata/main").text

    def numbers(keys):
        return [key.public_numbers() for key in keys]

    def enters(with_key):
        asked = idp.answer(visitor.start("main"))  # checks the signature with the key that signs by our metadata
        text = idp.encrypt(idp.assertion(**asked), wrap=with_key)
        assert deliver(visitor, idp, encode(idp.envelope(text, **asked))).status == 303 and visitor.is_in()
        visitor.browser.cookies.clear()

    for words, says in [(["use"], "there is no new key"), (["finish"], "there is no new key"), (["drop"], "there is no new key")]:
        assert says in step(*words).stderr
    old_signing, old_reading = idp.sp_keys["signing"], idp.sp_keys["encryption"]
    assert step("make").returncode == 0
    assert "a new key already" in step("make").stderr and "does not sign yet" in step("finish").stderr
    idp.learn(metadata())
    assert len(idp.all_sp_keys["signing"]) == len(idp.all_sp_keys["encryption"]) == 2
    assert numbers([old_signing, old_reading]) == numbers([idp.sp_keys["signing"], idp.sp_keys["encryption"]])
    new_signing, new_reading = idp.all_sp_keys["signing"][1], idp.all_sp_keys["encryption"][1]
    for key in (old_reading, new_reading):
        enters(key)
    # At a time to come nothing changes yet, and it can be given up.
    assert step("use", "--at", "2020-01-01T00:00:00Z").returncode == 2
    assert step("use", "--at", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))).returncode == 0
    shown = json.loads(deployment.masugata("idp", "show", "acme", "main", "--json").stdout)["key"]
    assert shown["rolling"] is True and shown["switched"] is False and "signs_at" in shown
    enters(new_reading)
    assert step("drop").returncode == 0 and step("make").returncode == 0
    idp.learn(metadata())
    assert numbers(idp.all_sp_keys["signing"])[0] == old_signing.public_numbers()
    assert new_signing.public_numbers() not in numbers(idp.all_sp_keys["signing"])
    new_signing, new_reading = idp.all_sp_keys["signing"][1], idp.all_sp_keys["encryption"][1]
    assert step("use").returncode == 0 and "signs already" in step("drop").stderr
    idp.sp_keys["signing"] = new_signing
    for key in (old_reading, new_reading):
        enters(key)
    assert numbers([new_signing, old_signing]) == numbers(idp.learn(metadata()).all_sp_keys["signing"])
    assert step("finish").returncode == 0
    idp.learn(metadata())
    assert numbers(idp.all_sp_keys["signing"]) == [new_signing.public_numbers()]
    enters(new_reading)
    asked = idp.answer(visitor.start("main"))
    late = idp.encrypt(idp.assertion(**asked), wrap=old_reading)
    assert deliver(visitor, idp, encode(idp.envelope(late, **asked))).status == 403
    recorded = logged(deployment, "idp_change")
    assert all(recorded.count(f'"{word}"') >= 1 for word in ("KEY_MADE", "KEY_USED", "KEY_DROPPED", "KEY_REMOVED"))


@pytest.mark.parametrize("kind,digest", [("ec", "sha256"), ("ec384", "sha384")])
def test_elliptic_curves_and_a_second_certificate(deployment, visitor, idp, kind, digest):
    key = SamlKey(kind)
    idp.extra_keys = [key]
    try:
        deployment.masugata("idp", "set", "acme", "main", "--metadata-file", "-", input=idp.metadata())
        assert sign_in(visitor, idp, key=key, digest=digest).status == 303 and visitor.is_in()
        other = Visitor(deployment)
        assert sign_in(other, idp).status == 303 and other.is_in()
    finally:
        idp.extra_keys = []
        deployment.masugata("idp", "set", "acme", "main", "--metadata-file", "-", input=idp.metadata())
    refused(Visitor(deployment), idp, "TOKEN_SIGNATURE", key=key, digest=digest)


def test_the_answer_may_hold_a_multiple_of_lines_and_spaces(visitor, idp):
    asked = idp.answer(visitor.start(idp.name))
    response = idp.response(**asked)
    broken = "\r\n".join(response[at:at + 76] for at in range(0, len(response), 76))
    assert deliver(visitor, idp, broken).status == 303 and visitor.is_in()


def test_roles_follow_the_groups(deployment, idp):
    def roles():
        return next(row for row in deployment.json("user", "list", "--tenant", "acme")["users"]
                    if row["login"] == "saml-groups@acme.example")["roles"].split()

    idp.person.update(name_id="groups", email="saml-groups@acme.example", groups=["Staff", "Admins"])
    first, second = Visitor(deployment), Visitor(deployment)
    assert sign_in(first, idp).status == 303 and sorted(roles()) == ["administrator", "user"]
    # As many as a directory has: a response of more than 40 KB.
    idp.person["groups"] = [f"CN=group {at:04}, OU={at}" for at in range(290)] + ["Staff"]
    assert sign_in(second, idp).status == 303 and roles() == ["user"]
    assert second.is_in() and not first.is_in()
    idp.person["groups"] = ["x" * 200] * 60  # more than is read: refused, not cut
    refused(Visitor(deployment), idp, "TOKEN_CLAIMS")


def test_the_post_binding_works_without_a_script(deployment, visitor, idp):
    deployment.masugata("idp", "set", "acme", "main", "saml.binding=post")
    try:
        page = visitor.browser.get(visitor.deployment_url("/federation/start/main?return=/account"), follow=False)
        assert page.status == 200 and f'action="{idp.base}/sso"' in page.text and "<button" in page.text
        policy = page.headers["Content-Security-Policy"]
        assert f"form-action 'self' {idp.base};" in policy and "unsafe" not in policy
        import base64
        xml = base64.b64decode(re.search(r'name="SAMLRequest" value="([^"]+)"', page.text)[1]).decode()
        idp.relay_state = re.search(r'name="RelayState" value="([^"]+)"', page.text)[1]
        mark = re.search(r"<ds:Signature.*</ds:Signature>", xml)[0]
        # What a provider checks: the digest of the rest, and the signature over SignedInfo.
        import hashlib
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding
        digest = re.search(r"<ds:DigestValue>([^<]+)<", mark)[1]
        assert base64.b64decode(digest) == hashlib.sha256(xml.replace(mark, "").encode()).digest()
        information = re.search(r"<ds:SignedInfo>.*</ds:SignedInfo>", mark)[0].replace(
            "<ds:SignedInfo>", f'<ds:SignedInfo xmlns:ds="{DSIG}">')
        idp.sp_keys["signing"].verify(base64.b64decode(re.search(r"<ds:SignatureValue>([^<]+)<", mark)[1]),
                                      information.encode(), padding.PKCS1v15(), hashes.SHA256())
        asked = {"in_response_to": re.search(r' ID="([^"]+)"', xml)[1]}
        assert deliver(visitor, idp, idp.response(**asked)).status == 303 and visitor.is_in()
    finally:
        deployment.masugata("idp", "set", "acme", "main", "saml.binding=redirect")


# ---- hostile: signatures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", range(1, 9))
def test_signature_wrapping(visitor, idp, shape):
    refused(visitor, idp, "XML_WRAPPED", lambda **asked: wrapped(idp, shape, **asked))


def test_unsigned_and_signed_by_somebody_else(deployment, idp):
    stranger = SamlKey(name="idp")
    refused(Visitor(deployment), idp, "TOKEN_UNSIGNED", sign="none")
    refused(Visitor(deployment), idp, "TOKEN_UNSIGNED", sign="none", encrypt="gcm")
    refused(Visitor(deployment), idp, "TOKEN_SIGNATURE", key=stranger)
    refused(Visitor(deployment), idp, "TOKEN_SIGNATURE", key=stranger, encrypt="gcm")
    # A key that the message brings along is nobody's.
    own = f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{stranger.der()}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    refused(Visitor(deployment), idp, "TOKEN_SIGNATURE", key=stranger, signature={"key_information": own})


@pytest.mark.parametrize("method,digest,reason", [
    (None, "sha1", "TOKEN_ALGORITHM"), (DSIG + "hmac-sha1", "sha256", "TOKEN_ALGORITHM"),
    (MORE + "hmac-sha256", "sha256", "TOKEN_ALGORITHM"), (MORE + "rsa-sha512", "sha256", "TOKEN_SIGNATURE"),
    (MORE + "ecdsa-sha256", "sha256", "TOKEN_SIGNATURE"), ("", "sha256", "TOKEN_ALGORITHM")])
def test_algorithms_that_are_not_allowed(visitor, idp, method, digest, reason):
    refused(visitor, idp, reason, digest=digest, signature={"method": method} if method is not None else {})


def test_a_digest_with_another_algorithm_than_is_allowed(visitor, idp):
    refused(visitor, idp, "TOKEN_SIGNATURE", change=lambda text: text.replace(XENC + "sha256", DSIG + "sha1"))


@pytest.mark.parametrize("transforms", [
    f'<ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform>',
    f'<ds:Transform Algorithm="{DSIG}enveloped-signature"></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE}WithComments"></ds:Transform>',
    f'<ds:Transform Algorithm="{DSIG}enveloped-signature"></ds:Transform>'
    f'<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>true()</ds:XPath></ds:Transform>'
    f'<ds:Transform Algorithm="{EXCLUSIVE}"></ds:Transform>',
    f'<ds:Transform Algorithm="{DSIG}enveloped-signature"></ds:Transform>'
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xslt-19991116"></ds:Transform>'])
def test_transforms_that_are_not_allowed(visitor, idp, transforms):
    refused(visitor, idp, "TOKEN_ALGORITHM", signature={"transforms": transforms})


@pytest.mark.parametrize("uri", ["", "#_other", "https://idp.example/x.xml", "#xpointer(/)"])
def test_references_elsewhere(visitor, idp, uri):
    refused(visitor, idp, "XML_WRAPPED", signature={"uri": uri})


@pytest.mark.parametrize("change,reason", [
    (lambda t: t.replace("aiko@acme.example", "boss@acme.example"), "TOKEN_SIGNATURE"),
    (lambda t: t.replace(">person-1<", ">person-2<"), "TOKEN_SIGNATURE"),
    (lambda t: t.replace("<saml:AttributeStatement>", '<saml:AttributeStatement xmlns:x="urn:x" x:y="z">'), "TOKEN_SIGNATURE"),
    (lambda t: t.replace("aiko@acme.example", "aiko@acme.example<!---->.evil.example"), "XML_FORM"),
    (lambda t: t.replace(">person-1<", "><!-- -->person-1<"), "XML_FORM"),
    (lambda t: t.replace("<ds:DigestValue>", "<ds:DigestValue><!---->"), "XML_FORM"),
    (lambda t: t.replace(">person-1<", "><![CDATA[person-1]]><"), "XML_FORM"),
    (lambda t: t.replace(">person-1<", "><?x y?>person-1<"), "XML_FORM"),
    (lambda t: '<!DOCTYPE r [<!ENTITY e "boss">]>' + t, "XML_FORM"),
    (lambda t: '<!DOCTYPE r SYSTEM "https://idp.example/x.dtd">' + t, "XML_FORM"),
    (lambda t: '<!DOCTYPE r [<!ENTITY a "xx"><!ENTITY b "&a;&a;&a;">]>' + t.replace("person-1", "&b;"), "XML_FORM"),
    (lambda t: t.replace("person-1", "&e;"), "XML_FORM"),
    (lambda t: '<?xml version="1.0" encoding="UTF-16"?>' + t + "<", "XML_FORM"),
    (lambda t: t.encode("utf-16"), "XML_FORM"),
    (lambda t: t + "<x/>", "XML_FORM"),
    (lambda t: "<a>" * 300 + t + "</a>" * 300, "XML_FORM"),
    (lambda t: t.replace("samlp:Response", "samlp:Answer"), "XML_FORM"),
    (lambda t: "not xml", "XML_FORM")])
def test_contents_that_were_changed_or_are_no_saml(visitor, idp, change, reason):
    refused(visitor, idp, reason, change=change)


@pytest.mark.parametrize("how", [{"oaep": "1_5"}, {"wrap": "other"}])
def test_encryption_that_is_not_for_us_or_too_old(visitor, idp, how):
    if how.get("wrap"):
        how = {"wrap": SamlKey(bits=3072).private.public_key()}
    refused(visitor, idp, "ENCRYPTION", lambda **asked: encode(idp.envelope(idp.encrypt(idp.assertion(**asked), **how), **asked)))


def test_cbc_without_a_signature_around_it_is_not_opened(visitor, idp):
    refused(visitor, idp, "ENCRYPTION", encrypt="cbc")


def test_a_changed_cipher_text_is_refused_as_one_for_somebody_else(visitor, idp):
    def changed(**asked):
        text = idp.encrypt(idp.assertion(**asked))
        at = text.rindex("<xenc:CipherValue>") + 60
        return encode(idp.envelope(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:], **asked))
    refused(visitor, idp, "ENCRYPTION", changed)


# ---- hostile: what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize("change,reason", [
    ({"issuer": "https://evil.example/saml"}, "WRONG_ISSUER"),
    ({"audience": "https://other.example/metadata"}, "WRONG_AUDIENCE"),
    ({"audience": ""}, "TOKEN_CLAIMS"),
    ({"recipient": "https://other.example/acs"}, "WRONG_RECIPIENT"),
    ({"envelope": {"destination": "https://other.example/acs"}}, "WRONG_DESTINATION"),
    ({"envelope": {"issuer": "https://evil.example/saml"}}, "WRONG_ISSUER"),
    ({"confirmed_until": instant(-3600)}, "EXPIRED"),
    ({"ends": instant(-3600)}, "EXPIRED"),
    ({"not_before": instant(3600)}, "FROM_THE_FUTURE"),
    ({"issued": instant(3600)}, "FROM_THE_FUTURE"),
    ({"issued": instant(-3600)}, "TOO_OLD"),
    ({"authenticated": instant(3600)}, "FROM_THE_FUTURE"),
    ({"issued": "yesterday"}, "TOKEN_CLAIMS"),
    ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "TOKEN_CLAIMS"),
    ({"format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "TOKEN_CLAIMS"),
    ({"conditions": '<saml:Condition xmlns:xsi="urn:x" xsi:type="y"></saml:Condition>'}, "CONDITION"),
    ({"email": "aiko@evil.example", "name_id": "elsewhere"}, "EMAIL_DOMAIN"),
    ({"email": "", "name_id": "without"}, "EMAIL_UNVERIFIED"),
    ({"envelope": {"status": "Requester"}}, "PROVIDER_ERROR")])
def test_every_wrong_statement_is_refused(visitor, idp, change, reason):
    refused(visitor, idp, reason, **change)


def signed_as(idp, edit, **asked):
    """Our provider's own key over an assertion that says what no provider should say."""
    bare = edit(idp.assertion(sign=False, **asked))
    return after_issuer(bare, signature(idp.key, idp.assertion_id, bare))


@pytest.fixture(scope="module")
def under_way(deployment, main):
    """One sign-in for all: what arrives without cookies and is refused does not spend it."""
    visitor = Visitor(deployment)
    asked, relay_state = main.answer(visitor.start("main")), main.relay_state

    def refuse(reason, make):
        assert deliver(visitor, main, encode(main.envelope(make(**asked), **asked)), relay_state, shown=False).status == 403
        assert last_attempt(deployment)["refusal"] == reason and not visitor.is_in()
    yield refuse
    assert deliver(visitor, main, main.response(**asked), relay_state).status == 303 and visitor.is_in()


def doubled(element):
    """The first element of that name, twice."""
    def edit(text):
        found = re.search(rf"<saml:{element}[ >].*?</saml:{element}>", text, flags=re.S)[0]
        return text.replace(found, found + found, 1)
    return edit


@pytest.mark.parametrize("edit,reason", [
    (lambda t: t.replace('Version="2.0"', 'Version="1.1"'), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r' NotOnOrAfter="[^"]+" Recipient', " Recipient", t), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r' Recipient="[^"]+"', "", t), "WRONG_RECIPIENT"),
    (lambda t: re.sub(r' Recipient="([^"]+)"', r' Recipient="\1/"', t), "WRONG_RECIPIENT"),
    (lambda t: re.sub(r"<saml:Audience>([^<]+)<", r"<saml:Audience>\1/<", t), "WRONG_AUDIENCE"),
    (doubled("AudienceRestriction"), "TOKEN_CLAIMS"),
    (doubled("SubjectConfirmation"), "TOKEN_CLAIMS"),
    (doubled("Subject"), "TOKEN_CLAIMS"),
    (doubled("NameID"), "TOKEN_CLAIMS"),
    (doubled("AuthnStatement"), "TOKEN_CLAIMS"),
    (doubled("Conditions"), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r"<saml:Conditions.*</saml:Conditions>", "", t), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r"<saml:AuthnStatement.*</saml:AuthnStatement>", "", t), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r"<saml:NameID .*</saml:NameID>", "<saml:EncryptedID></saml:EncryptedID>", t), "ENCRYPTION"),
    (lambda t: t.replace(">person-1<", ">person-1<saml:x></saml:x>.evil<"), "TOKEN_CLAIMS"),
    (lambda t: t.replace(">person-1<", ">person-1\nboss<"), "TOKEN_CLAIMS"),
    (lambda t: t.replace(">person-1<", "><"), "TOKEN_CLAIMS"),
    (lambda t: t.replace(">aiko@acme.example<", ">boss@acme.example<saml:x></saml:x><"), "TOKEN_CLAIMS"),
    (lambda t: re.sub(r'(SessionIndex="[^"]+")', rf'\1 SessionNotOnOrAfter="{instant(-3600)}"', t), "EXPIRED"),
    (lambda t: t.replace("<saml:Subject>", "<saml:Advice><saml:Assertion></saml:Assertion></saml:Advice><saml:Subject>", 1),
     "XML_WRAPPED")])
def test_what_a_provider_signs_is_still_judged(idp, under_way, edit, reason):
    under_way(reason, lambda **asked: signed_as(idp, edit, **asked))


def test_two_assertions_are_none_even_if_both_are_signed(idp, under_way):
    under_way("XML_WRAPPED", lambda **asked: idp.assertion(**asked) + idp.assertion(name_id="boss", **asked))


def test_within_the_skew_clocks_may_differ(deployment, idp):
    first, second = Visitor(deployment), Visitor(deployment)
    assert sign_in(first, idp, not_before=instant(30), issued=instant(30)).status == 303 and first.is_in()
    assert sign_in(second, idp, confirmed_until=instant(-30), ends=instant(-30)).status == 303 and second.is_in()


def test_a_demanded_class_and_age(deployment, idp):
    strong = "https://refeds.org/profile/mfa"
    deployment.masugata("idp", "set", "acme", "main", f"acr={strong}", "maximum_age=10m")
    try:
        visitor = Visitor(deployment)
        request, _, xml = idp.open_query(visitor.start())
        assert strong in xml and request.attrib["ForceAuthn"] == "true"
        refused(Visitor(deployment), idp, "WRONG_CLASS")
        refused(Visitor(deployment), idp, "STALE_AUTHENTICATION", **{"class": strong, "authenticated": instant(-3600)})
        assert sign_in(visitor, idp, **{"class": strong}).status == 303 and visitor.is_in()
    finally:
        deployment.masugata("idp", "set", "acme", "main", "acr=", "maximum_age=0s")


# ---- hostile: which sign-in it answers ---------------------------------------------------------------------


def test_an_assertion_counts_once_whoever_uses_it(deployment, idp):
    visitor, thief = Visitor(deployment), Visitor(deployment)
    asked = idp.answer(visitor.start())
    response, relay_state = idp.response(**asked), idp.relay_state
    assert deliver(visitor, idp, response).status == 303 and visitor.is_in()
    assert deliver(thief, idp, response, relay_state).status == 403 and not thief.is_in()
    assert last_attempt(deployment)["refusal"] == "REPLAYED"


def test_of_two_uses_at_once_one_wins(deployment, idp):
    visitor = Visitor(deployment)
    asked = idp.answer(visitor.start())
    response = idp.response(**asked)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(deployment, idp, response, idp.relay_state), range(8)))
    assert sorted(answer.status for answer in answers) == [303] + [403] * 7
    place = next(answer.headers["Location"] for answer in answers if answer.status == 303)
    url = visitor.deployment_url(place)
    cookies = dict(visitor.browser.cookies["id.acme.localhost"])

    def arrive(_):
        browser = Browser(deployment)
        browser.cookies["id.acme.localhost"] = dict(cookies)
        answer = browser.get(url, follow=False)
        return answer.status == 303 and any(c.startswith("__Host-masugata=") and len(c.split(";")[0]) > 20
                                            for c in answer.headers.get_all("Set-Cookie") or [])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(arrive, range(8))) == 1


def test_an_answer_delivered_to_another_browser_is_refused(deployment, idp):
    """Login CSRF: the attacker's own answer in the victim's browser, which has asked for nothing, or for something else."""
    attacker, victim = Visitor(deployment), Visitor(deployment)
    asked = idp.answer(attacker.start())
    assert deliver(victim, idp, idp.response(**asked)).status == 403 and not victim.is_in()
    assert last_attempt(deployment)["refusal"] == "WRONG_REQUEST"
    asked = idp.answer(attacker.start())
    relay_state = idp.relay_state
    victim.start()
    assert deliver(victim, idp, idp.response(**asked), relay_state).status == 403 and not victim.is_in()
    # With the victim's own state the answer still names the attacker's request.
    idp.answer(victim.start())
    assert deliver(victim, idp, idp.response(in_response_to=asked["in_response_to"])).status == 403 and not victim.is_in()
    assert last_attempt(deployment)["refusal"] == "WRONG_REQUEST"


def test_an_unsigned_envelope_cannot_make_an_answer_of_what_nobody_asked_for(deployment, visitor, open_idp):
    asked = open_idp.answer(visitor.start("open"))
    text = open_idp.envelope(open_idp.assertion(), **asked)
    assert deliver(visitor, open_idp, encode(text)).status == 403 and not visitor.is_in()
    assert last_attempt(deployment, "open")["refusal"] == "WRONG_REQUEST"


def test_requests_are_signed_for_providers_that_want_it(deployment, visitor):
    """As their metadata says, and ours says what we do."""
    plain = SamlProvider("https://plain.example/saml", "https://plain.example")
    plain.wants_signed = False
    add(deployment, plain, "plain", "button=no")
    ours = "https://id.acme.localhost/federation/metadata/plain"
    assert 'AuthnRequestsSigned="false"' in deployment.request(ours).text
    url = visitor.start("plain")
    assert "SigAlg=" not in url and "Signature=" not in url
    assert deliver(visitor, plain, plain.response(**plain.answer(url))).status == 303 and visitor.is_in()
    deployment.masugata("idp", "set", "acme", "plain", "saml.binding=post")
    page = visitor.browser.get(visitor.deployment_url("/federation/start/plain"), follow=False)
    sent = base64.b64decode(re.search(r'name="SAMLRequest" value="([^"]+)"', page.text)[1]).decode()
    assert "<samlp:AuthnRequest" in sent and "Signature" not in sent
    deployment.masugata("idp", "set", "acme", "plain", "saml.binding=redirect", "saml.sign_requests=yes")
    assert 'AuthnRequestsSigned="true"' in deployment.request(ours).text
    plain.wants_signed = True
    plain.answer(Visitor(deployment).start("plain"))
    deployment.masugata("idp", "remove", "acme", "plain")


def test_an_answer_ends_the_sign_in_where_the_browser_shows_that_it_began_it(deployment, visitor, idp):
    """One page less; what the browser shows there is of no use for anything else, to anybody else, or again."""
    asked = idp.answer(visitor.start())
    jar = dict(visitor.browser.cookies[f"id.acme.localhost"])
    assert visitor.browser.for_forms == {name for name in jar if "federation" in name or "-begun-" in name} and len(visitor.browser.for_forms) == 2
    # In a frame of another site's page it does not end, nor behind it.
    host = f"https://id.acme.localhost:{deployment.https_port}"
    fields = urllib.parse.urlencode({"SAMLResponse": idp.response(**asked), "RelayState": idp.relay_state})
    shown = "; ".join(f"{name}={jar[name]}" for name in visitor.browser.for_forms)
    framed = {"Content-Type": "application/x-www-form-urlencoded", "Origin": idp.base, "Cookie": shown, "Sec-Fetch-Dest": "iframe"}
    answer = deployment.request(f"{host}/federation/saml/main", "POST", framed, fields)
    assert answer.status == 303 and "/federation/arrived/" in answer.headers["Location"], answer.status
    answer = deployment.request(host + answer.headers["Location"], headers={"Cookie": shown, "Sec-Fetch-Dest": "iframe"})
    assert answer.status == 403 and "__Host-masugata=" not in str(answer.headers)
    assert last_attempt(deployment)["refusal"] == "WRONG_REQUEST"
    # Every byte of what it keeps counts, and so does whose it is.
    begun = next(name for name in jar if "-begun-" in name)
    for at in (0, len(jar[begun]) // 2, len(jar[begun]) - 3):
        changed = jar[begun][:at] + ("A" if jar[begun][at] != "A" else "B") + jar[begun][at + 1:]
        visitor.browser.cookies["id.acme.localhost"] = {**jar, begun: changed}
        assert deliver(visitor, idp, idp.response(**asked)).status == 400 and not visitor.is_in()
    thief = Visitor(deployment)
    thief.start()
    thief.browser.cookies["id.acme.localhost"][begun] = jar[begun]
    assert deliver(thief, idp, idp.response(**asked)).status == 400 and not thief.is_in()
    # Then it ends, once.
    visitor.browser.cookies["id.acme.localhost"] = dict(jar)
    answer = deliver(visitor, idp, idp.response(**asked))
    assert answer.status == 303 and answer.headers["Location"] == "/account" and visitor.is_in()
    assert begun not in visitor.browser.cookies["id.acme.localhost"]
    again = Visitor(deployment)
    again.browser.cookies["id.acme.localhost"], again.browser.for_forms = dict(jar), set(visitor.browser.for_forms) | {begun}
    assert deliver(again, idp, idp.response(**asked)).status == 400 and not again.is_in()


def test_of_two_at_once_one_comes_in(deployment, visitor, idp):
    def entered():
        return [line for line in logged(deployment, "sign_in").splitlines() if '"provider main"' in line and "success" in line.lower()]
    before = len(entered())
    asked = idp.answer(visitor.start())
    jar, response = dict(visitor.browser.cookies["id.acme.localhost"]), idp.response(**asked)
    def one(_):
        other = Visitor(deployment)
        other.browser.cookies["id.acme.localhost"], other.browser.for_forms = dict(jar), set(visitor.browser.for_forms)
        return deliver(other, idp, response).status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(one, range(8)))
    assert statuses == [303] + [400] * 7, statuses
    assert len(entered()) == before + 1  # and the log says no more than that


def test_what_was_said_before_gives_no_role_back(deployment, visitor, idp):
    """An answer that was used changes nothing when it comes again, even where the answer would give a role."""
    idp.person = {**idp.person, "groups": ["bosses"]}
    deployment.masugata("idp", "set", "acme", "main", "groups.roles=bosses=auditor")
    try:
        asked = idp.answer(visitor.start())
        jar, response = dict(visitor.browser.cookies["id.acme.localhost"]), idp.response(**asked)
        assert deliver(visitor, idp, response).status == 303 and visitor.is_in()
        roles = {row["login"]: row["roles"] for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
        assert "auditor" in roles["aiko@acme.example"].split(), roles
        idp.person = {**idp.person, "groups": []}
        later = Visitor(deployment)
        assert sign_in(later, idp).status == 303
        again = Visitor(deployment)
        again.browser.cookies["id.acme.localhost"], again.browser.for_forms = dict(jar), set(jar)
        assert deliver(again, idp, response).status == 400 and not again.is_in()
        roles = {row["login"]: row["roles"] for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
        assert "auditor" not in roles["aiko@acme.example"].split(), roles
    finally:
        deployment.masugata("idp", "set", "acme", "main", "groups.roles=")


def test_mixed_up_providers(deployment, visitor, idp, open_idp):
    """An answer of one provider at the address of another, and the state of one with the answer of the other."""
    asked = idp.answer(visitor.start())
    assert deliver(visitor, idp, idp.response(**asked), name="open", shown=False).status == 403
    assert last_attempt(deployment, "open")["refusal"] == "TOKEN_SIGNATURE"
    assert deliver(visitor, idp, idp.response(**asked), name="open").status == 403 and not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == "WRONG_PROVIDER"
    asked = open_idp.answer(visitor.start("open"))
    state = open_idp.relay_state
    assert deliver(visitor, idp, idp.response(**asked), state).status == 403 and not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == "WRONG_PROVIDER"
    # One that claims to be the other: its key is not the other's.
    asked = idp.answer(visitor.start())
    assert deliver(visitor, idp, idp.response(**asked, key=open_idp.key)).status == 403
    assert last_attempt(deployment)["refusal"] == "TOKEN_SIGNATURE"


def test_a_saml_answer_at_an_openid_provider_and_the_other_way_round(deployment, visitor, authority, idp):
    with IdentityProvider(authority) as oidc:
        deployment.masugata("idp", "add", "acme", "other-kind", f"issuer={oidc.issuer}", f"client.id={oidc.client}", "button=no",
                            "client.authentication=none")
        deployment.masugata("idp", "enable", "acme", "other-kind")
        asked = idp.answer(visitor.start())
        assert post(deployment, idp, idp.response(**asked), idp.relay_state, name="other-kind").status == 403
        url = visitor.deployment_url(f"/federation/callback/main?code=x&state={idp.relay_state}")
        assert visitor.browser.get(url, follow=False).status in (400, 403) and not visitor.is_in()
        deployment.masugata("idp", "remove", "acme", "other-kind")


# ---- sign-in that begins at the provider ---------------------------------------------------------------------


def test_what_nobody_asked_for_is_refused_unless_it_is_allowed(deployment, idp, open_idp):
    visitor = Visitor(deployment)
    assert deliver(visitor, idp, idp.response(), "").status == 403 and not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == "UNSOLICITED"
    assert deliver(visitor, open_idp, open_idp.response(), "").status == 303 and visitor.is_in()
    assert visitor.answer.headers["Location"] == "/account"


def test_it_never_replaces_a_session(deployment, open_idp):
    visitor = Visitor(deployment)
    open_idp.person.update(name_id="first", email="first@acme.example", name="Ichiro")
    assert deliver(visitor, open_idp, open_idp.response(), "").status == 303 and visitor.is_in()
    session = visitor.browser.cookies["id.acme.localhost"]["__Host-masugata"]
    open_idp.person.update(name_id="second", email="second@acme.example", name="Jiro")
    assert deliver(visitor, open_idp, open_idp.response(), "").status == 303
    assert visitor.browser.cookies["id.acme.localhost"]["__Host-masugata"] == session
    page = visitor.browser.get(visitor.deployment_url("/account"))
    assert "Ichiro" in page.text and "Jiro" not in page.text


def test_the_place_that_it_names_is_ours_or_none(deployment, open_idp):
    ours = f"https://acme.localhost:{deployment.https_port}"
    for wish, place in [(f"{ours}/notes?x=1", f"{ours}/notes?x=1"), ("/factors", "/factors"),
                        ("https://evil.example/", "/account"), ("//evil.example/", "/account"),
                        ("https://acme.localhost.evil.example/", "/account"), ("https://hinode.localhost/", "/account"),
                        ("https://acme.localhost@evil.example/", "/account"), ("javascript:alert(1)", "/account"),
                        ("https://acme.localhost\\@evil.example/", "/account"), ("/\\evil.example", "/account"),
                        ("https://id.acme.localhost/account", "/account"), ("/federation/start/main", "/account")]:
        visitor = Visitor(deployment)
        answer = deliver(visitor, open_idp, open_idp.response(), wish)
        assert answer.status == 303, wish
        assert answer.headers["Location"] == place or (wish.startswith("/fed") and "evil" not in answer.headers["Location"]), wish
    visitor = Visitor(deployment)
    deliver(visitor, open_idp, open_idp.response(), f"{ours}/")
    assert visitor.browser.get(visitor.answer.headers["Location"]).status == 200
    assert urllib.parse.urlsplit(visitor.browser.url).netloc == f"acme.localhost:{deployment.https_port}"


def test_with_confirm_the_person_has_the_word(deployment, open_idp):
    deployment.masugata("idp", "set", "acme", "open", "idp_initiated=confirm")
    try:
        visitor = Visitor(deployment)
        open_idp.person.update(name_id="mallory", email="mallory@acme.example", name="Mallory")
        answer = deliver(visitor, open_idp, open_idp.response(), "")
        assert answer.status == 200 and "mallory@acme.example" in answer.text and not visitor.is_in()
        visitor.browser.url = visitor.deployment_url("/federation/arrived/open")
        visitor.browser.page = answer
        assert visitor.browser.submit(follow=False, action="/federation/arrived/open").status == 303 and visitor.is_in()
    finally:
        deployment.masugata("idp", "set", "acme", "open", "idp_initiated=yes")


# ---- a provider that may not be used -------------------------------------------------------------------------


def test_disabled_expired_removed_and_of_another_tenant(deployment, open_idp):
    """On every path: asked for, not asked for, and with an assertion that arrived while all was well."""
    visitor = Visitor(deployment)
    asked = open_idp.answer(visitor.start("open"))
    waiting, relay_state = open_idp.response(**asked), open_idp.relay_state
    late = Visitor(deployment)
    arrived = post(deployment, open_idp, open_idp.response(), "")
    assert arrived.status == 303
    inside = Visitor(deployment)
    assert deliver(inside, open_idp, open_idp.response(), "").status == 303 and inside.is_in()
    for stop, start, reason in [(["disable"], ["enable"], "PROVIDER_DISABLED"),
                                (["set", "expires=2020-01-01T00:00:00Z"], ["set", "expires="], "PROVIDER_EXPIRED")]:
        deployment.masugata("idp", stop[0], "acme", "open", *stop[1:])
        assert not inside.is_in()
        assert Visitor(deployment).start("open") is None
        for response, state in [(waiting, relay_state), (open_idp.response(), "")]:
            assert post(deployment, open_idp, response, state).status == 403
            assert last_attempt(deployment, "open")["refusal"] == reason
        if late is not None:
            answer = late.browser.get(late.deployment_url(arrived.headers["Location"]), follow=False)
            assert answer.status == 403 and not late.is_in()
            assert last_attempt(deployment, "open")["refusal"] == reason
            late = None
        deployment.masugata("idp", start[0], "acme", "open", *start[1:])
    assert deliver(visitor, open_idp, waiting, relay_state).status == 303 and visitor.is_in()
    # Of another tenant: there is no such provider there, and one of the same name there has other keys.
    assert post(deployment, open_idp, open_idp.response(), "", tenant="hinode").status == 403
    twin = add(deployment, SamlProvider(open_idp.issuer, open_idp.base), "open", "idp_initiated=yes", tenant="hinode")
    assert post(deployment, open_idp, open_idp.response(), "", tenant="hinode").status == 403
    assert last_attempt(deployment, "open", "hinode")["refusal"] == "TOKEN_SIGNATURE"
    # The same provider at two tenants: an assertion for one is none for the other.
    same = add(deployment, SamlProvider(open_idp.issuer, open_idp.base, key=open_idp.key), "same", "idp_initiated=yes", tenant="hinode")
    assert post(deployment, open_idp, open_idp.response(), "", name="same", tenant="hinode").status == 403
    assert last_attempt(deployment, "same", "hinode")["refusal"] == "WRONG_AUDIENCE"
    arrived = post(deployment, open_idp, open_idp.response(), "")
    assert Visitor(deployment).browser.get(f"https://id.hinode.localhost:{deployment.https_port}{arrived.headers['Location']}",
                                           follow=False).status == 400


# ---- sign-out ------------------------------------------------------------------------------------------------


def test_signing_out_here_signs_out_there(deployment, visitor, idp):
    assert sign_in(visitor, idp).status == 303
    session = idp.session
    page = visitor.browser.get(visitor.deployment_url("/sign-out"))
    assert f"form-action 'self' {idp.base};" in page.headers["Content-Security-Policy"]
    answer = visitor.browser.submit(follow=False, action="/sign-out")
    assert not visitor.is_in() and answer.headers["Location"].startswith(f"{idp.base}/slo?SAMLRequest=")
    request, _, _ = idp.open_query(answer.headers["Location"])
    assert request.find(f"{{{ASSERTION}}}NameID").text == "person-1"
    assert request.find(f"{{{PROTOCOL}}}SessionIndex").text == session
    # The provider's answer changes nothing, and leads to the page that says so.
    import base64, zlib
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    done = deflate.compress(f'<samlp:LogoutResponse xmlns:samlp="{PROTOCOL}" ID="_1" Version="2.0"/>'.encode()) + deflate.flush()
    back = visitor.browser.get(visitor.deployment_url("/federation/sign-out/main?" + urllib.parse.urlencode(
        {"SAMLResponse": base64.b64encode(done).decode()})), follow=False)
    assert back.status == 303 and back.headers["Location"] == "/signed-out"


def test_signing_out_there_signs_out_here(deployment, idp):
    here, there = Visitor(deployment), Visitor(deployment)
    assert sign_in(here, idp).status == 303
    session = idp.session
    assert sign_in(there, idp).status == 303
    url = here.deployment_url("/federation/sign-out/main")
    answer = deployment.request(f"{url}?{idp.logout_query(session=session)}")
    assert answer.status == 303 and not here.is_in() and there.is_in()
    reply, relay_state, _ = idp.open_query(answer.headers["Location"], "SAMLResponse")
    assert answer.headers["Location"].startswith(f"{idp.base}/slo-done?") and relay_state == "there"
    assert reply.attrib["InResponseTo"] == idp.logout_id and reply.attrib["Destination"] == f"{idp.base}/slo-done"
    # By POST, all sessions of the person.
    answer = deployment.request(url, "POST", {"Content-Type": "application/x-www-form-urlencoded", "Origin": idp.base},
                                urllib.parse.urlencode({"SAMLRequest": idp.logout_form()}))
    assert answer.status == 303 and not there.is_in()
    assert "idp_sign_out" in logged(deployment, "idp_sign_out")


@pytest.mark.parametrize("how,reason", [
    ({"sign": False}, "TOKEN_UNSIGNED"), ({"key": "other"}, "TOKEN_SIGNATURE"), ({"issuer": "https://evil.example"}, "WRONG_ISSUER"),
    ({"destination": "https://other.example/"}, "WRONG_DESTINATION"), ({"issued": instant(-3600)}, "TOO_OLD"),
    ({"issued": instant(3600)}, "FROM_THE_FUTURE"), ({"ends": instant(-3600)}, "EXPIRED"), ({"again": True}, "REPLAYED")])
@pytest.mark.parametrize("binding", ["query", "form"])
def test_forged_sign_outs_end_nothing(deployment, idp, how, reason, binding):
    how, again = dict(how), False
    if how.get("key"):
        how["key"] = SamlKey()
    if how.pop("again", False):
        how["name_id"], again = "nobody", True
    visitor = Visitor(deployment)
    assert sign_in(visitor, idp).status == 303
    url = visitor.deployment_url("/federation/sign-out/main")

    def send(message):
        if binding == "query":
            return deployment.request(f"{url}?{message}")
        return deployment.request(url, "POST", {"Content-Type": "application/x-www-form-urlencoded"},
                                  urllib.parse.urlencode({"SAMLRequest": message}))
    message = idp.logout_query(**how) if binding == "query" else idp.logout_form(**how)
    if again:
        assert send(message).status == 303
    assert send(message).status == 403 and visitor.is_in()
    assert last_attempt(deployment)["refusal"] == reason


# ---- setting up -----------------------------------------------------------------------------------------------


def test_metadata_is_fetched_and_changes_are_seen(deployment, authority):
    idp = SamlProvider("https://fetched.example/saml")
    with IdentityProvider(authority) as server:
        server.fail["/metadata"] = (200, {"Content-Type": "application/samlmetadata+xml"}, idp.metadata().encode())
        url = f"https://localhost:{server.port}/metadata"
        deployment.masugata("idp", "add", "acme", "fetched", *SETTINGS, f"metadata.url={url}", "button=no")
        found = json.loads(deployment.masugata("idp", "test", "acme", "fetched", "--json").stdout)
        assert found["refusal"] == "NONE" and found["found"]["metadata"] == "as it was taken"
        idp.key = SamlKey()
        server.fail["/metadata"] = (200, {}, idp.metadata().encode())
        found = json.loads(deployment.masugata("idp", "test", "acme", "fetched", "--json").stdout)
        assert "has changed" in found["found"]["metadata"]
        deployment.masugata("idp", "set", "acme", "fetched")
        found = json.loads(deployment.masugata("idp", "test", "acme", "fetched", "--json").stdout)
        assert found["found"]["metadata"] == "as it was taken"
        for answer in [(302, {"Location": f"https://localhost:{server.port}/other"}, b""), (200, {}, b"x" * (300 * 1024)),
                       (404, {}, b"")]:
            server.fail["/metadata"] = answer
            assert deployment.masugata("idp", "set", "acme", "fetched", check=False).returncode != 0
    for inside in ["https://127.0.0.1/metadata", "https://acme.localhost/metadata"]:
        assert deployment.masugata("idp", "add", "acme", "inward", *SETTINGS, f"metadata.url={inside}", check=False).returncode != 0
    deployment.masugata("idp", "remove", "acme", "fetched")


@pytest.mark.parametrize("document", [
    "", "<a/>", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"/>'])
def test_metadata_that_is_none(deployment, document):
    done = deployment.masugata("idp", "add", "acme", "broken", *SETTINGS, "--metadata-file", "-", input=document or " ", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr


@pytest.mark.parametrize("key,word", [({"bits": 1024}, "weak"), ({"days": -1}, "expired")])
def test_certificates_that_may_not_be_used(deployment, key, word):
    idp = SamlProvider("https://weak.example/saml", key=SamlKey(**key))
    done = deployment.masugata("idp", "add", "acme", "weak", *SETTINGS, "--metadata-file", "-", input=idp.metadata(), check=False)
    assert done.returncode != 0 and word in done.stderr


def test_a_certificate_that_ends_soon_is_told(deployment):
    idp = add(deployment, SamlProvider("https://soon.example/saml", key=SamlKey(days=10)), "soon", "button=no")
    found = json.loads(deployment.masugata("idp", "test", "acme", "soon", "--json").stdout)
    assert "ends within 30 days" in found["found"]["warning"]
    row = next(row for row in deployment.json("idp", "list", "acme")["providers"] if row["name"] == "soon")
    assert row["certificate_ends_at"]
    wait_until(lambda: "idp_certificate" in logged(deployment, "idp_certificate"), 15, what="the warning in the audit log")
    deployment.masugata("idp", "remove", "acme", "soon")


def test_a_trial_tells_what_arrived_and_signs_nobody_in(deployment):
    idp = add(deployment, SamlProvider("https://trial.example/saml"), "trial", "button=no", enable=False)
    visitor = Visitor(deployment)
    assert visitor.start("trial") is None
    link = json.loads(deployment.masugata("idp", "test", "acme", "trial", "--json").stdout)["link"]
    answer = visitor.browser.get(link, follow=False)
    idp.person.update(name_id="trial", email="trial@acme.example", groups=["Staff"])
    asked = idp.answer(answer.headers["Location"])
    assert deliver(visitor, idp, idp.response(**asked)).status == 200 and not visitor.is_in()
    assert "The trial sign-in is finished" in visitor.answer.text
    attempt = last_attempt(deployment, "trial")
    assert attempt["trial"] and attempt["refusal"] == "NONE"
    assert attempt["arrived"]["NameID"] == "trial" and attempt["arrived"]["groups"] == "Staff"
    assert not any(row["login"] == "trial@acme.example" for row in deployment.json("user", "list", "--tenant", "acme")["users"])
    deployment.masugata("idp", "remove", "acme", "trial")


def test_an_administrator_sets_one_up_in_the_console(deployment):
    """In the browser, without the vendor: metadata pasted, settings of SAML alone shown, changed and kept."""
    idp = SamlProvider("https://console.example/saml")
    deployment.masugata("user", "add", "admin@acme.example", "--tenant", "acme", "--roles", "administrator", "--password-stdin",
                        input="correct horse battery staple 9", check=False)
    browser = Browser(deployment)
    base = f"https://id.acme.localhost:{deployment.https_port}"
    browser.sign_in(f"{base}/sign-in", "admin@acme.example", "correct horse battery staple 9")
    page = browser.get(f"{base}/console/providers")
    assert 'action="/console/providers/saml"' in page.text, page.text[:500]
    values = {"saml_provider": "by-console", "saml_label": "From the console", "saml_domains": "acme.example",
              "new_metadata": "<not metadata/>"}
    page = browser.submit(values, action="/console/providers/saml")
    assert "metadata cannot be used" in page.text
    page = browser.submit({**values, "new_metadata": idp.metadata()}, action="/console/providers/saml")
    assert page.status == 200 and "set_saml-sign_in_url" in page.text and "set_client-id" not in page.text, page.text[:3000]
    page = browser.submit({"set_saml-email": "mailbox", "set_emails": "trusted", "set_create_users": "1", "set_link_by_email": "1"},
                          action="/console/provider")
    shown = json.loads(deployment.masugata("idp", "show", "acme", "by-console", "--json").stdout)["settings"]
    assert shown["saml.email"] == "mailbox" and shown["saml.certificates"] == idp.key.der() and shown["create_users"] == "yes"
    deployment.masugata("idp", "remove", "acme", "by-console")


def test_links_by_address_need_the_word_that_it_is_trusted(deployment):
    done = deployment.masugata("idp", "add", "acme", "untrusted", "kind=saml", "domains=acme.example", "create_users=yes",
                               "--metadata-file", "-", input=SamlProvider().metadata(), check=False)
    assert done.returncode != 0 and "emails=trusted" in done.stderr
    assert deployment.masugata("idp", "set", "acme", "main", "kind=oidc", "client.id=x", check=False).returncode != 0


def test_the_process_that_reads_xml_holds_nothing(deployment, idp, visitor):
    """Killed in the middle of a sign-in it costs one retry at most."""
    asked = idp.answer(visitor.start())
    deployment.kill("federation")
    wait_until(lambda: deliver(visitor, idp, idp.response(**asked)).status == 303, 20, what="the sign-in")
    assert visitor.is_in()
