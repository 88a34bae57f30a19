"""Sign-in through OpenID providers in a whole deployment: what is right goes through, and every trick is refused, with
the reason told to the administrator and not to the visitor."""

import concurrent.futures
import json
import re
import secrets
import time
import urllib.parse

import pytest

from browser import Browser
from harness import Deployment, free_port, wait_until
from identity_provider import Authority, IdentityProvider, Key, encode, hmac_sha256

CALLBACK = "https://id.acme.localhost/federation/callback/"


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
        made.masugata("user", "add", "aiko@acme.example", "--tenant", "acme", "--name", "Aiko", "--roles", "user",
                      "--email", "aiko@acme.example", check=False)
        # Besides those whom the provider makes administrators and takes it from again.
        made.masugata("user", "add", "boss@acme.example", "--tenant", "acme", "--name", "Boss", "--roles", "administrator",
                      "--email", "boss@acme.example", check=False)
        yield made


@pytest.fixture(scope="module")
def peer(authority, deployment):
    with IdentityProvider(authority) as made:
        deployment.masugata("idp", "add", "acme", "main", f"issuer={made.issuer}", f"client.id={made.client}", "label=Acme ID",
                            "domains=acme.example", "link_by_email=yes", "create_users=yes",
                            "groups.roles=Admins=administrator; Staff=user")
        deployment.masugata("idp", "enable", "acme", "main")
        made.client_keys = json.loads(deployment.request("https://id.acme.localhost/federation/keys/main").text)
        made.name = "main"
        yield made


@pytest.fixture
def idp(peer):
    peer.reset()
    yield peer
    peer.reset()


class Visitor:
    """One browser on its way through a sign-in."""

    def __init__(self, deployment):
        self.deployment, self.browser = deployment, Browser(deployment)

    def start(self, provider="main", tenant="acme", query="return=/account"):
        answer = self.browser.get(self.deployment_url(f"/federation/start/{provider}?{query}", tenant), follow=False)
        self.answer = answer
        return answer.headers["Location"] if answer.status == 303 else None

    def deployment_url(self, path, tenant="acme"):
        return f"https://id.{tenant}.localhost:{self.deployment.https_port}{path}"

    def finish(self, url, follow=False):
        self.answer = self.browser.get(url, follow=follow)
        return self.answer

    def sign_in(self, idp, **changes):
        return self.finish(idp.authorize(self.start(idp.name), **changes))

    def is_in(self, tenant="acme"):
        return self.browser.get(self.deployment_url("/account", tenant), follow=False).status == 200


@pytest.fixture
def visitor(deployment):
    return Visitor(deployment)


def last_attempt(deployment, name="main", tenant="acme"):
    done = deployment.masugata("idp", "test", tenant, name, "--json", check=False)
    return json.loads(done.stdout)["attempts"][0]


def events(deployment, name, tenant="acme"):
    return deployment.json("audit", "search", "--tenant", tenant, "--event", name)


# ---- what is right -------------------------------------------------------------------------------------


def test_a_person_signs_in_and_reaches_the_application(deployment, idp):
    browser = Browser(deployment)
    page = browser.get(f"https://acme.localhost:{deployment.https_port}/")
    assert "Continue with Acme ID" in page.text
    link = re.search(r'href="(/federation/start/main\?[^"]+)"', page.text)[1].replace("&amp;", "&")
    answer = browser.get(f"https://id.acme.localhost:{deployment.https_port}{link}", follow=False)
    back = idp.authorize(answer.headers["Location"])
    page = browser.get(back)
    assert page.status == 200 and urllib.parse.urlsplit(browser.url).hostname == "acme.localhost", page.text
    account = browser.get(f"https://id.acme.localhost:{deployment.https_port}/account")
    assert "Aiko" in account.text
    users = {row["login"]: row for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
    assert "aiko@acme.example" in users and users["aiko@acme.example"]["sessions"] >= 1
    assert idp.asked["scope"] == "openid email profile"


def test_the_page_finds_a_provider_by_the_domain_of_an_address(deployment, idp):
    browser = Browser(deployment)
    page = browser.get(f"https://id.acme.localhost:{deployment.https_port}/sign-in?email=bob%40acme.example")
    assert "Continue with Acme ID" in page.text
    page = browser.get(f"https://id.acme.localhost:{deployment.https_port}/sign-in?email=bob%40other.example")
    assert "Continue with" not in page.text and "No organization is set up" in page.text
    page = browser.get(f"https://id.hinode.localhost:{deployment.https_port}/sign-in")
    assert "federation" not in page.text


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_every_allowed_algorithm_works_and_a_new_key_is_found(deployment, authority, algorithm):
    with IdentityProvider(authority) as idp:
        idp.name = f"alg-{algorithm.lower()}"
        idp.key = Key(algorithm)
        idp.keys = [idp.key]
        deployment.masugata("idp", "add", "acme", idp.name, f"issuer={idp.issuer}", f"client.id={idp.client}", "button=no",
                            "domains=acme.example", "link_by_email=yes", "create_users=yes", "client.authentication=none")
        deployment.masugata("idp", "enable", "acme", idp.name)
        idp.claims.update(sub=f"by-{algorithm}", email=f"{algorithm.lower()}@acme.example")
        visitor = Visitor(deployment)
        assert visitor.sign_in(idp).status == 303 and visitor.is_in()
        deployment.masugata("idp", "remove", "acme", idp.name)
        assert not visitor.is_in()


def test_shared_secrets_reach_the_token_endpoint_and_nothing_else(deployment, authority):
    secret = "s3cret & with + and ü"
    with IdentityProvider(authority, secret=secret) as idp:
        for way in ("secret-basic", "secret-post"):
            idp.name = way
            deployment.masugata("idp", "add", "acme", way, f"issuer={idp.issuer}", f"client.id={idp.client}", "button=no",
                                "domains=acme.example", "link_by_email=yes", "create_users=yes",
                                f"client.authentication={way}", "--secret-file", "-", input=secret)
            deployment.masugata("idp", "enable", "acme", way)
            idp.claims.update(sub=way, email=f"{way}@acme.example")
            visitor = Visitor(deployment)
            assert visitor.sign_in(idp).status == 303 and visitor.is_in(), last_attempt(deployment, way)
            shown = deployment.masugata("idp", "show", "acme", way, "--json").stdout
            assert json.loads(shown)["secret"] is True and "s3cret" not in shown
            deployment.masugata("idp", "remove", "acme", way)
    assert not list(deployment.directory.glob("log/**/*")) or all(
        "s3cret" not in path.read_text(errors="replace") for path in (deployment.directory / "log").glob("**/*.log"))


def test_what_the_token_does_not_say_userinfo_does(deployment, idp):
    idp.claims = {"sub": "by-userinfo"}
    idp.userinfo = {"sub": "by-userinfo", "email": "info@acme.example", "email_verified": True, "name": "Info"}
    visitor = Visitor(deployment)
    assert visitor.sign_in(idp).status == 303 and visitor.is_in()
    idp.claims = {"sub": "by-userinfo-2"}
    idp.userinfo = {"sub": "somebody else", "email": "info2@acme.example", "email_verified": True}
    assert Visitor(deployment).sign_in(idp).status == 403
    assert last_attempt(deployment)["refusal"] == "USER_INFORMATION"


def test_roles_follow_the_groups(deployment, idp):
    def roles():
        return next(row for row in deployment.json("user", "list", "--tenant", "acme")["users"]
                    if row["login"] == "groups@acme.example")["roles"].split()

    idp.claims.update(sub="groups", email="groups@acme.example", groups=["Staff", "Admins"])
    first = Visitor(deployment)
    assert first.sign_in(idp).status == 303
    assert sorted(roles()) == ["administrator", "user"]
    idp.claims["groups"] = ["Staff"]
    second = Visitor(deployment)
    assert second.sign_in(idp).status == 303
    assert roles() == ["user"]
    assert second.is_in() and not first.is_in()  # what was signed in to with the lost role has ended


def test_the_tenants_groups_give_their_roles(deployment, idp):
    """Groups that SCIM or a person made, named by the claim: by name or by external identifier, when the provider may."""
    def shown(login):
        row = next(row for row in deployment.json("user", "list", "--tenant", "acme")["users"] if row["login"] == login)
        return sorted(row["roles"].split())

    deployment.masugata("group", "set", "Auditors", "--tenant", "acme", "--roles", "auditor")
    had = shown("aiko@acme.example")  # what other tests left her
    idp.claims.update(sub="joins", email="joins@acme.example", groups=["Staff", "Auditors"])
    assert Visitor(deployment).sign_in(idp).status == 303
    assert shown("joins@acme.example") == ["user"], "a provider that may not name the tenant's groups"
    deployment.masugata("idp", "set", "acme", "main", "groups.join=yes")
    try:
        assert Visitor(deployment).sign_in(idp).status == 303
        assert shown("joins@acme.example") == ["auditor", "user"]
        members = deployment.json("group", "members", "Auditors", "--tenant", "acme")["members"]
        assert members == [{"login": "joins@acme.example", "name": members[0]["name"], "provider": "main"}]
        # Somebody whom a person put there stays when the claim does not say so; whom only the claim put there does not.
        deployment.masugata("group", "join", "Auditors", "aiko@acme.example", "--tenant", "acme")
        idp.claims["groups"] = ["Staff"]
        assert Visitor(deployment).sign_in(idp).status == 303
        assert shown("joins@acme.example") == ["user"]
        assert shown("aiko@acme.example") == sorted(["auditor", *had])
    finally:
        deployment.masugata("idp", "set", "acme", "main", "groups.join=no")
        deployment.masugata("group", "remove", "Auditors", "--tenant", "acme")
    assert shown("aiko@acme.example") == had


def test_a_provider_gives_the_tenants_own_roles(deployment, idp):
    def shown(login="own@acme.example"):
        row = next(row for row in deployment.json("user", "list", "--tenant", "acme")["users"] if row["login"] == login)
        return sorted(row["roles"].split())

    def mapped(text, check=True):
        return deployment.masugata("idp", "set", "acme", "main", "groups.roles=" + text, "--lang", "en", check=check)
    usual = "Admins=administrator; Staff=user"
    refused = mapped(usual + "; Help=helpdesk", check=False)
    assert refused.returncode == 2 and "not among the roles of this tenant" in refused.stderr
    assert mapped("Help=operator", check=False).returncode == 2
    deployment.masugata("role", "set", "helpdesk", "--tenant", "acme", "--permissions", "users.read")
    mapped(usual + "; Help=helpdesk")
    try:
        idp.claims.update(sub="own", email="own@acme.example", groups=["Help", "Staff"])
        assert Visitor(deployment).sign_in(idp).status == 303
        assert shown() == ["helpdesk", "user"]
        # As long as somebody may get it, it does not go, and no other one comes in its place.
        assert deployment.masugata("role", "remove", "helpdesk", "--tenant", "acme", check=False).returncode == 1
        idp.claims["groups"] = ["Staff"]
        assert Visitor(deployment).sign_in(idp).status == 303
        assert shown() == ["user"]
        assert deployment.masugata("role", "remove", "helpdesk", "--tenant", "acme", check=False).returncode == 1
    finally:
        mapped(usual)
    deployment.masugata("role", "remove", "helpdesk", "--tenant", "acme")


def test_the_last_administrator_stays_one(deployment, idp):
    """A provider that takes the role from the only one who has it would leave a tenant that nobody can set right."""
    def shown(login="chief@acme.example"):
        row = next(row for row in deployment.json("user", "list", "--tenant", "acme")["users"] if row["login"] == login)
        return sorted(row["roles"].split())
    idp.claims.update(sub="chief", email="chief@acme.example", groups=["Admins"])
    assert Visitor(deployment).sign_in(idp).status == 303
    assert "administrator" in shown()
    others = [row["login"] for row in deployment.json("user", "list", "--tenant", "acme")["users"]
              if "administrator" in row["roles"].split() and row["login"] != "chief@acme.example"]
    for login in others:
        deployment.masugata("user", "disable", login, "--tenant", "acme")
    try:
        idp.claims["groups"] = ["Staff"]
        assert Visitor(deployment).sign_in(idp).status == 303
        assert shown() == ["administrator", "user"]
        lines = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "user_change", "--json").stdout.splitlines()
        assert any("there is no other" in line for line in lines)
    finally:
        for login in others:
            deployment.masugata("user", "enable", login, "--tenant", "acme")
    assert Visitor(deployment).sign_in(idp).status == 303
    assert shown() == ["user"]


# ---- where it comes from, and whether it looks like the person ------------------------------------------


def policy(deployment, text=""):
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input=text)


def test_only_from_the_networks_that_may_sign_in(deployment, idp):
    began = Visitor(deployment)
    back = idp.authorize(began.start())
    policy(deployment, 'allow.sign_in = "192.0.2.0/24"\n')
    try:
        # The gate says no already; the authority would, too (test_second_factor.py asks it without a gate).
        assert began.finish(back).status == 403 and not began.is_in()
        visitor = Visitor(deployment)
        assert visitor.start() is None and visitor.answer.status == 403
    finally:
        policy(deployment)
    visitor = Visitor(deployment)
    assert visitor.sign_in(idp).status == 303 and visitor.is_in()


def test_a_suspicious_sign_in_is_held_unless_the_provider_asked_for_several_factors(deployment, idp):
    idp.claims.update(sub="careful", email="careful@acme.example")
    known = Visitor(deployment)
    assert known.sign_in(idp).status == 303 and known.is_in()
    policy(deployment, "adaptive.learning = 0s\nadaptive.step_up = 1\n")
    try:
        stranger = Visitor(deployment)
        assert stranger.sign_in(idp).status == 403 and "look at your mail" in stranger.answer.text and not stranger.is_in()
        assert last_attempt(deployment)["refusal"] == "SUSPICIOUS"
        assert known.sign_in(idp).status == 303 and known.is_in()
        idp.claims["amr"] = ["pwd", "mfa"]
        assert stranger.sign_in(idp).status == 303 and stranger.is_in()
    finally:
        policy(deployment)


# ---- tokens --------------------------------------------------------------------------------------------


def forged(idp, make):
    idp.make_token = make


def other_key(idp):
    stranger = Key("RS256", kid=idp.key.kid)
    return lambda claims: stranger.token(claims)


def hs256_with_the_public_key(idp):
    def make(claims):
        signed = f"{encode({'alg': 'HS256', 'kid': idp.key.kid})}.{encode(claims)}"
        return f"{signed}.{encode(hmac_sha256(idp.key.pem(), signed.encode()))}"
    return make


def embedded_key(idp):
    stranger = Key("RS256")
    return lambda claims: stranger.token(claims, jwk=stranger.jwk())


def changed_after_signing(idp):
    def make(claims):
        head, _, signature = idp.key.token(claims).split(".")
        return f"{head}.{encode({**claims, 'sub': 'somebody-else'})}.{signature}"
    return make


def twice(idp):
    """Signed as it is: readers differ in which of the two they believe."""
    def make(claims):
        head, payload, _ = idp.key.token(claims).split(".")
        text = json.dumps(claims)[:-1] + ', "sub": "boss"}'
        signed = f"{head}.{encode(text.encode())}"
        return f"{signed}.{encode(idp.key.sign(signed.encode()))}"
    return make


HOSTILE = {
    "alg none": ("TOKEN_UNSIGNED", lambda idp: lambda claims: f"{encode({'alg': 'none'})}.{encode(claims)}."),
    "alg none with the key's id": ("TOKEN_UNSIGNED",
                                   lambda idp: lambda claims: f"{encode({'alg': 'nOnE', 'kid': idp.key.kid})}.{encode(claims)}."),
    "signature cut off": ("TOKEN_SIGNATURE", lambda idp: lambda claims: idp.key.token(claims).rsplit(".", 1)[0] + "."),
    "public key as secret": ("TOKEN_ALGORITHM", hs256_with_the_public_key),
    "another key under the same id": ("TOKEN_SIGNATURE", other_key),
    "its own key in the header": ("TOKEN_HEADER", embedded_key),
    "a place for its key in the header": ("TOKEN_HEADER",
                                          lambda idp: lambda claims: idp.key.token(claims, jku="https://localhost/keys")),
    "a certificate's place in the header": ("TOKEN_HEADER",
                                            lambda idp: lambda claims: idp.key.token(claims, x5u="https://localhost/c")),
    "its own certificate in the header": ("TOKEN_HEADER", lambda idp: lambda claims: idp.key.token(claims, x5c=["AAAA"])),
    "a payload that is not encoded": ("TOKEN_HEADER", lambda idp: lambda claims: idp.key.token(claims, b64=False)),
    "compressed": ("TOKEN_HEADER", lambda idp: lambda claims: idp.key.token(claims, zip="DEF")),
    "an algorithm in other letters": ("TOKEN_ALGORITHM", lambda idp: lambda claims: idp.key.token(claims, alg="rs256")),
    "a key that is not there": ("TOKEN_KEY", lambda idp: lambda claims: idp.key.token(claims, kid="another")),
    "a fourth part": ("TOKEN_FORM", lambda idp: lambda claims: idp.key.token(claims) + ".AAAA"),
    "a claim twice": ("TOKEN_CLAIMS", twice),
    "a critical extension": ("TOKEN_HEADER", lambda idp: lambda claims: idp.key.token(claims, crit=["x"], x=1)),
    "changed after signing": ("TOKEN_SIGNATURE", changed_after_signing),
    "another type": ("TOKEN_TYPE", lambda idp: lambda claims: idp.key.token(claims, typ="at+jwt")),
    "algorithm swapped": ("TOKEN_KEY", lambda idp: lambda claims: idp.key.token(claims, alg="ES256")),
    "not a token": ("TOKEN_FORM", lambda idp: lambda claims: "not.a-token"),
}
CLAIMS = {
    "another issuer": ("WRONG_ISSUER", {"iss": "https://evil.example"}),
    "an issuer with a slash": ("WRONG_ISSUER", lambda idp: {"iss": idp.issuer + "/"}),
    "another audience": ("WRONG_AUDIENCE", {"aud": "another"}),
    "several audiences without azp": ("WRONG_PARTY", {"aud": ["masugata", "another"]}),
    "another party": ("WRONG_PARTY", {"azp": "another"}),
    "expired": ("EXPIRED", lambda idp: {"exp": int(time.time()) - 120, "iat": int(time.time()) - 300}),
    "from the future": ("FROM_THE_FUTURE", lambda idp: {"iat": int(time.time()) + 600, "exp": int(time.time()) + 900}),
    "not yet valid": ("FROM_THE_FUTURE", lambda idp: {"nbf": int(time.time()) + 600}),
    "issued long ago": ("TOO_OLD", lambda idp: {"iat": int(time.time()) - 3600}),
    "another nonce": ("WRONG_NONCE", {"nonce": "n" * 43}),
    "no nonce": ("WRONG_NONCE", {"nonce": None}),
    "no subject": ("TOKEN_CLAIMS", {"sub": None}),
    "an empty subject": ("TOKEN_CLAIMS", {"sub": ""}),
    "a subject of 256 bytes": ("TOKEN_CLAIMS", {"sub": "x" * 256}),
    "an issuer that is a list": ("TOKEN_CLAIMS", lambda idp: {"iss": [idp.issuer]}),
    "an audience that is an object": ("TOKEN_CLAIMS", {"aud": {"masugata": True}}),
    "a list of no audience": ("WRONG_AUDIENCE", {"aud": []}),
    "a nonce that is a list": ("TOKEN_CLAIMS", {"nonce": ["n"]}),
    "an expiry beyond all numbers": ("TOKEN_CLAIMS", {"exp": 1e300}),
    "an expiry before all time": ("TOKEN_CLAIMS", {"exp": -(2 ** 63)}),
    "a time of issue that overflows": ("TOKEN_CLAIMS", {"iat": 2 ** 63 - 1}),
    "no expiry": ("TOKEN_CLAIMS", {"exp": None}),
    "an expiry that is a text": ("TOKEN_CLAIMS", {"exp": "soon"}),
    "a subject that is a number": ("TOKEN_CLAIMS", {"sub": 5}),
    "a subject with a line break": ("TOKEN_CLAIMS", {"sub": "a\nb"}),
}


@pytest.mark.parametrize("trick", HOSTILE)
def test_no_hostile_token_is_accepted(deployment, visitor, idp, trick):
    reason, make = HOSTILE[trick]
    idp.make_token = make(idp)
    answer = visitor.sign_in(idp)
    assert answer.status == 403 and reason not in answer.text and "token" not in answer.text.lower().replace("masugata", "")
    assert not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == reason


@pytest.mark.parametrize("trick", CLAIMS)
def test_no_wrong_claim_is_accepted(deployment, visitor, idp, trick):
    reason, change = CLAIMS[trick]
    change = change(idp) if callable(change) else change
    idp.change_claims = lambda claims: {k: v for k, v in {**claims, **change}.items() if v is not None}
    assert visitor.sign_in(idp).status == 403 and not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == reason


def test_refusals_are_in_the_audit_log_with_their_reason(deployment, visitor, idp):
    idp.change_claims = lambda claims: {**claims, "aud": "another"}
    visitor.sign_in(idp)
    found = deployment.masugata("audit", "search", "--tenant", "acme", "--json").stdout
    assert "WRONG_AUDIENCE" in found


# ---- the round trip ------------------------------------------------------------------------------------


def test_an_answer_counts_once(deployment, visitor, idp):
    url = idp.authorize(visitor.start())
    assert visitor.finish(url).status == 303
    again = Visitor(deployment)
    again.browser.cookies = {"id.acme.localhost": {k: v for k, v in visitor.browser.cookies["id.acme.localhost"].items()
                                                   if "federation" in k}}
    assert again.finish(url).status == 400 and not again.is_in()


def test_of_two_uses_at_once_one_wins(deployment, visitor, idp):
    url = idp.authorize(visitor.start())
    jar = dict(visitor.browser.cookies["id.acme.localhost"])

    def use(_):
        one = Visitor(deployment)
        one.browser.cookies = {"id.acme.localhost": dict(jar)}
        return one.finish(url).status

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(use, range(6)))
    assert statuses == [303] + [400] * 5


def test_the_answer_of_another_browser_is_nobodys(deployment, visitor, idp):
    """Login CSRF: the attacker's own answer, opened in the victim's browser."""
    attacker = Visitor(deployment)
    url = idp.authorize(attacker.start())
    assert visitor.finish(url).status == 400 and not visitor.is_in()
    visitor.start()  # also when the victim is on its way itself
    assert visitor.finish(url).status == 400 and not visitor.is_in()
    assert attacker.finish(url).status == 303  # and it was not spent by that


def test_a_state_that_nobody_made_is_refused(deployment, visitor, idp):
    url = idp.authorize(visitor.start(), state=secrets.token_urlsafe(32))
    assert visitor.finish(url).status == 400 and not visitor.is_in()


def test_sign_in_gives_a_new_session_and_ends_the_old_one(deployment, visitor, idp):
    visitor.sign_in(idp)
    first = visitor.browser.cookies["id.acme.localhost"]["__Host-masugata"]
    visitor.sign_in(idp)
    assert visitor.browser.cookies["id.acme.localhost"]["__Host-masugata"] != first
    visitor.browser.cookies["id.acme.localhost"]["__Host-masugata"] = first
    assert not visitor.is_in()


def test_providers_are_not_mixed_up(deployment, authority, visitor, idp):
    with IdentityProvider(authority) as other:
        deployment.masugata("idp", "add", "acme", "other", f"issuer={other.issuer}", f"client.id={other.client}", "button=no",
                            "client.authentication=none")
        deployment.masugata("idp", "enable", "acme", "other")
        # The answer of one at the address of the other.
        url = idp.authorize(visitor.start()).replace("/callback/main?", "/callback/other?")
        used = len(other.requests)
        assert visitor.finish(url).status == 403
        assert len(other.requests) == used  # the code went nowhere
        assert last_attempt(deployment)["refusal"] == "WRONG_PROVIDER"
        # RFC 9207: the answer names somebody else, or nobody although the provider always does.
        before = idp.requests.count("/token")
        assert visitor.sign_in(idp, iss=other.issuer).status == 403
        assert last_attempt(deployment)["refusal"] == "RESPONSE_ISSUER"
        assert visitor.sign_in(idp, iss=None).status == 403
        assert last_attempt(deployment)["refusal"] == "RESPONSE_ISSUER"
        assert idp.requests.count("/token") == before
        deployment.masugata("idp", "remove", "acme", "other")


def test_another_tenants_provider_is_refused(deployment, visitor, idp):
    assert visitor.start(tenant="hinode") is None and visitor.answer.status == 403
    url = idp.authorize(visitor.start()).replace("id.acme.localhost", "id.hinode.localhost")
    visitor.browser.cookies["id.hinode.localhost"] = dict(visitor.browser.cookies["id.acme.localhost"])
    assert visitor.finish(url).status == 400 and not visitor.is_in("hinode")


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_to_another_site(deployment, visitor, idp, place):
    url = idp.authorize(visitor.start(query="return=" + urllib.parse.quote(place, safe="")))
    answer = visitor.finish(url)
    assert answer.status == 303 and answer.headers["Location"] == "/account"


def test_an_error_of_the_provider_is_told_to_the_administrator(deployment, visitor, idp):
    url = idp.authorize(visitor.start(), code=None, error="access_denied", error_description="<script>")
    answer = visitor.finish(url)
    assert answer.status == 403 and "access_denied" not in answer.text and "script>" not in answer.text.split("</head>")[1]
    attempt = last_attempt(deployment)
    assert attempt["refusal"] == "PROVIDER_ERROR" and attempt["detail"] == "access_denied"


# ---- providers that are off ------------------------------------------------------------------------------


def test_a_disabled_provider_is_refused_on_every_path(deployment, visitor, idp):
    inside, under_way = Visitor(deployment), Visitor(deployment)
    inside.sign_in(idp)
    assert inside.is_in()
    url = idp.authorize(under_way.start())
    deployment.masugata("idp", "disable", "acme", "main")
    try:
        assert not inside.is_in()  # at once
        assert visitor.start() is None and visitor.answer.status == 403
        assert under_way.finish(url).status == 403 and not under_way.is_in()
        assert last_attempt(deployment)["refusal"] == "PROVIDER_DISABLED"
        page = visitor.browser.get(visitor.deployment_url("/sign-in"))
        assert "Continue with Acme ID" not in page.text
    finally:
        deployment.masugata("idp", "enable", "acme", "main")
    visitor.sign_in(idp)
    assert visitor.is_in()


def test_an_expired_provider_is_refused_and_what_it_gave_ends(deployment, visitor, idp):
    inside = Visitor(deployment)
    inside.sign_in(idp)
    assert inside.is_in()
    url = idp.authorize(visitor.start())
    deployment.masugata("idp", "set", "acme", "main", "expires=2026-01-01T00:00:00Z")
    try:
        assert not inside.is_in()
        assert visitor.finish(url).status == 403
        assert last_attempt(deployment)["refusal"] == "PROVIDER_EXPIRED"
        assert visitor.start() is None
    finally:
        deployment.masugata("idp", "set", "acme", "main", "expires=")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    visitor.sign_in(idp)
    assert visitor.is_in()
    deployment.masugata("idp", "set", "acme", "main", f"expires={soon}")
    try:
        wait_until(lambda: not visitor.is_in(), 20, what="the end of the session with its provider")
    finally:
        deployment.masugata("idp", "set", "acme", "main", "expires=")


def test_a_disabled_user_does_not_come_in(deployment, visitor, idp):
    idp.claims.update(sub="gone", email="gone@acme.example")
    visitor.sign_in(idp)
    assert visitor.is_in()
    deployment.masugata("user", "disable", "gone@acme.example", "--tenant", "acme")
    assert not visitor.is_in()
    assert visitor.sign_in(idp).status == 403
    assert last_attempt(deployment)["refusal"] == "ACCOUNT_DISABLED"


# ---- accounts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claims, reason", [
    ({"email_verified": False}, "EMAIL_UNVERIFIED"), ({"email_verified": "false"}, "EMAIL_UNVERIFIED"),
    ({"email_verified": 1}, "EMAIL_UNVERIFIED"), ({"email": None}, "EMAIL_UNVERIFIED"),
    ({"email": "victim@other.example"}, "EMAIL_DOMAIN"), ({"email": "victim@acme.example@other.example"}, "EMAIL_UNVERIFIED"),
])
def test_nobody_becomes_somebody_by_an_unverified_address(deployment, visitor, idp, claims, reason):
    deployment.masugata("user", "add", "victim@acme.example", "--tenant", "acme", "--name", "Victim", "--roles", "administrator",
                        "--email", "victim@acme.example", check=False)
    idp.claims.update({"sub": "attacker", "email": "victim@acme.example", **claims})
    idp.change_claims = lambda all_claims: {k: v for k, v in all_claims.items() if v is not None}
    assert visitor.sign_in(idp).status == 403 and not visitor.is_in()
    assert last_attempt(deployment)["refusal"] == reason


def test_a_second_person_does_not_take_a_linked_account(deployment, visitor, idp):
    idp.claims.update(sub="first", email="linked@acme.example")
    assert Visitor(deployment).sign_in(idp).status == 303
    idp.claims.update(sub="second")
    assert visitor.sign_in(idp).status == 403
    assert last_attempt(deployment)["refusal"] == "ACCOUNT_LINKED"


def test_without_linking_and_creating_nobody_new_comes_in(deployment, visitor, idp):
    deployment.masugata("idp", "set", "acme", "main", "link_by_email=no")
    try:
        idp.claims.update(sub="newcomer", email="victim2@acme.example")
        deployment.masugata("user", "add", "victim2@acme.example", "--tenant", "acme", "--name", "V", "--roles", "user",
                            "--email", "victim2@acme.example")
        assert visitor.sign_in(idp).status == 403
        assert last_attempt(deployment)["refusal"] == "ACCOUNT_TAKEN"
        deployment.masugata("idp", "set", "acme", "main", "create_users=no")
        idp.claims.update(email="nobody@acme.example")
        assert visitor.sign_in(idp).status == 403
        assert last_attempt(deployment)["refusal"] == "NO_ACCOUNT"
    finally:
        deployment.masugata("idp", "set", "acme", "main", "link_by_email=yes", "create_users=yes")


# ---- strength and age of the authentication --------------------------------------------------------------


def test_class_and_age_are_demanded_when_set(deployment, visitor, idp):
    deployment.masugata("idp", "set", "acme", "main", "acr=phr phrh", "maximum_age=1h")
    try:
        assert visitor.sign_in(idp).status == 403
        assert last_attempt(deployment)["refusal"] == "WRONG_CLASS"
        assert idp.asked["acr_values"] == "phr phrh" and idp.asked["max_age"] == "3600"
        idp.claims["acr"] = "phrh"
        assert visitor.sign_in(idp).status == 303
        idp.claims["auth_time"] = int(time.time()) - 7200
        assert visitor.sign_in(idp).status == 403
        assert last_attempt(deployment)["refusal"] == "STALE_AUTHENTICATION"
    finally:
        deployment.masugata("idp", "set", "acme", "main", "acr=", "maximum_age=0s")


def test_a_fresh_sign_in_is_asked_for_and_checked(deployment, visitor, idp):
    idp.claims["auth_time"] = int(time.time()) - 900
    assert visitor.finish(idp.authorize(visitor.start(query="return=/account&fresh=300"))).status == 403
    assert idp.asked["max_age"] == "300"
    assert last_attempt(deployment)["refusal"] == "STALE_AUTHENTICATION"


# ---- sign-out ---------------------------------------------------------------------------------------------


def logout(deployment, token, name="main"):
    return deployment.request(f"https://id.acme.localhost/federation/back-channel/{name}", "POST",
                              {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8", "Sec-Fetch-Site": "none"},
                              urllib.parse.urlencode({"logout_token": token})).status


def test_back_channel_logout_ends_the_session_once(deployment, visitor, idp):
    idp.claims.update(sub="leaver", email="leaver@acme.example", sid="leaving")
    visitor.sign_in(idp)
    assert visitor.is_in()
    for wrong in (idp.logout_token(nonce="x"), idp.logout_token(events={}), idp.logout_token(aud="another"),
                  idp.logout_token(iss="https://evil.example"), idp.logout_token(jti=None), idp.logout_token(sub=None, sid=None),
                  idp.logout_token(iat=int(time.time()) - 900, exp=int(time.time()) - 600),
                  Key("RS256", idp.key.kid).token({"sub": "leaver"}), "no.token", encode({"alg": "none"}) + ".e30."):
        assert logout(deployment, wrong) == 400
    # An ID token is no logout token.
    assert logout(deployment, idp.key.token(idp.id_claims({"nonce": "n"}))) == 400
    assert visitor.is_in()
    token = idp.logout_token(sid="leaving")
    assert logout(deployment, token) == 200
    assert not visitor.is_in()
    assert logout(deployment, token) == 400  # replayed
    assert logout(deployment, idp.logout_token(sid="unknown", sub=None)) == 200


def test_back_channel_logout_by_person_ends_all_of_theirs(deployment, idp):
    idp.claims.update(sub="both", email="both@acme.example", sid="one")
    first, second = Visitor(deployment), Visitor(deployment)
    first.sign_in(idp)
    idp.claims["sid"] = "two"
    second.sign_in(idp)
    assert logout(deployment, idp.logout_token(sid="one")) == 200
    assert not first.is_in() and second.is_in()
    assert logout(deployment, idp.logout_token(sid=None)) == 200
    assert not second.is_in()


def test_front_channel_logout_needs_issuer_and_session(deployment, visitor, idp):
    def front(**query):
        return deployment.request("https://id.acme.localhost/federation/front-channel/main?" + urllib.parse.urlencode(query),
                                  headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}).status

    idp.claims.update(sub="framed", email="framed@acme.example", sid="framed-session")
    visitor.sign_in(idp)
    assert front(iss="https://evil.example", sid="framed-session") == 400
    assert front(iss=idp.issuer) == 400
    assert front(iss=idp.issuer, sid="another") == 200
    assert visitor.is_in()
    assert front(iss=idp.issuer, sid="framed-session") == 200
    assert not visitor.is_in()


def test_signing_out_here_leads_to_signing_out_there(deployment, visitor, idp):
    visitor.sign_in(idp)
    page = visitor.browser.get(visitor.deployment_url("/sign-out"))
    assert f"form-action 'self' {idp.issuer};" in page.headers["Content-Security-Policy"]
    answer = visitor.browser.submit(follow=False, action="/sign-out")
    there = urllib.parse.urlsplit(answer.headers["Location"])
    assert answer.headers["Location"].startswith(f"{idp.issuer}/end?")
    asked = dict(urllib.parse.parse_qsl(there.query))
    assert asked == {"client_id": idp.client,
                     "post_logout_redirect_uri": f"https://id.acme.localhost:{deployment.https_port}/signed-out"}
    assert not visitor.is_in()


# ---- fetching ------------------------------------------------------------------------------------------------


def discovery_test(deployment, authority, prepare, name="fetch"):
    with IdentityProvider(authority) as idp:
        prepare(idp)
        deployment.masugata("idp", "add", "acme", name, f"issuer={idp.issuer}", f"client.id={idp.client}", "button=no")
        try:
            done = deployment.masugata("idp", "test", "acme", name, "--json", check=False)
            assert done.returncode == 1
            return json.loads(done.stdout)
        finally:
            deployment.masugata("idp", "remove", "acme", name)


@pytest.mark.parametrize("what, prepare", [
    ("DISCOVERY_ISSUER", lambda idp: idp.discovery.update(issuer="https://evil.example")),
    ("DISCOVERY", lambda idp: idp.discovery.update(token_endpoint="http://localhost/token")),
    ("DISCOVERY", lambda idp: idp.discovery.update(authorization_endpoint="javascript:alert(1)")),
    ("DISCOVERY", lambda idp: idp.discovery.update(jwks_uri=None)),
    ("DISCOVERY", lambda idp: idp.discovery.update(code_challenge_methods_supported=["plain"])),
    ("ADDRESS", lambda idp: idp.discovery.update(jwks_uri="https://127.0.0.1:9/keys")),
    ("ADDRESS", lambda idp: idp.discovery.update(jwks_uri="https://169.254.169.254/latest/meta-data")),
    ("REDIRECT", lambda idp: idp.fail.update({"/keys": (302, {"Location": "https://127.0.0.1/keys"}, {})})),
    ("REDIRECT", lambda idp: idp.fail.update({"/.well-known/openid-configuration": (307, {"Location": "/x"}, {})})),
    ("ANSWER", lambda idp: idp.fail.update({"/.well-known/openid-configuration": (200, {}, b"x" * 300000)})),
    ("ANSWER", lambda idp: idp.fail.update({"/keys": (500, {}, {})})),
    ("DISCOVERY", lambda idp: idp.fail.update({"/.well-known/openid-configuration": (200, {}, b"[]")})),
    ("KEY_SET", lambda idp: idp.fail.update({"/keys": (200, {}, {"keys": [{"kty": "oct", "k": "AAAA"}]})})),
])
def test_what_a_provider_publishes_is_checked(deployment, authority, what, prepare):
    assert discovery_test(deployment, authority, prepare)["refusal"] == what


def test_a_provider_inside_is_not_reached_unless_it_is_named(authority):
    with IdentityProvider(authority) as idp, Deployment({"federation.authorities": str(authority.path)}) as closed:
        closed.tenant_add("acme", upstream="example:notes")
        closed.masugata("idp", "add", "acme", "main", f"issuer={idp.issuer}", f"client.id={idp.client}")
        done = closed.masugata("idp", "test", "acme", "main", "--json", check=False)
        assert json.loads(done.stdout)["refusal"] == "ADDRESS" and done.returncode == 1
        assert idp.requests == []


# ---- trying it out, and what breaks -----------------------------------------------------------------------------


def test_a_trial_shows_what_would_have_been_decided_and_gives_no_session(deployment, authority):
    with IdentityProvider(authority) as idp:
        idp.claims.update(sub="trial", email="trial@acme.example", groups=["Staff"])
        deployment.masugata("idp", "add", "acme", "tried", f"issuer={idp.issuer}", f"client.id={idp.client}",
                            "client.authentication=none")  # neither linking nor creating, and not enabled
        found = deployment.json("idp", "test", "acme", "tried")
        assert found["refusal"] == "NONE" and found["found"]["token_endpoint"] == f"{idp.issuer}/token"
        visitor = Visitor(deployment)
        answer = visitor.browser.get(found["link"], follow=False)
        assert answer.status == 303
        assert visitor.finish(idp.authorize(answer.headers["Location"])).status == 403
        attempt = last_attempt(deployment, "tried")
        assert attempt["trial"] and attempt["refusal"] == "NO_ACCOUNT" and attempt["arrived"]["sub"] == "trial"
        assert attempt["arrived"]["groups"] == "Staff" and not visitor.is_in()
        assert Visitor(deployment).browser.get(found["link"], follow=False).status == 403  # the link worked once
        deployment.masugata("idp", "set", "acme", "tried", "create_users=yes", "domains=acme.example")
        link = deployment.json("idp", "test", "acme", "tried")["link"]
        answer = visitor.browser.get(link, follow=False)
        page = visitor.finish(idp.authorize(answer.headers["Location"]))
        assert page.status == 200 and "Nobody was signed in" in page.text and not visitor.is_in()
        logins = [row["login"] for row in deployment.json("user", "list", "--tenant", "acme")["users"]]
        assert "trial@acme.example" not in logins
        deployment.masugata("idp", "remove", "acme", "tried")


def test_killing_the_process_costs_one_retry(deployment, idp):
    idp.claims.update(sub="survivor", email="survivor@acme.example")
    visitor = Visitor(deployment)
    url = idp.authorize(visitor.start())
    deployment.kill("federation")
    answer = visitor.finish(url)
    if answer.status != 303:  # the one that was hit
        assert visitor.sign_in(idp).status == 303
    assert visitor.is_in()


def test_the_process_holds_no_secret(deployment):
    import os
    import pathlib
    pid = deployment.status()["federation"]["pid"]
    held = []
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.append(os.readlink(fd))
        except OSError:
            pass
    assert not [name for name in held if "keystore" in name or "postgres" in name or "/gate/" in name], held
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    assert "libpq" not in maps and "keystore" not in maps and "/gate/" not in maps
    environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PASSWORD" not in environment.upper()
    row = deployment.status()["federation"]
    assert row["seccomp"]


def test_a_new_key_is_taken_up_after_half_a_minute(deployment, visitor, idp):
    idp.claims.update(sub="rotated", email="rotated@acme.example")
    visitor.sign_in(idp)
    old = idp.key
    idp.key = Key("RS256")
    idp.keys = [old, idp.key]
    wait_until(lambda: Visitor(deployment).sign_in(idp).status == 303, 45, every=3, what="the new key")
    fetched = idp.requests.count("/keys")
    stranger = Key("RS256")
    idp.make_token = lambda claims: stranger.token(claims)
    for _ in range(5):
        assert Visitor(deployment).sign_in(idp).status == 403
    assert idp.requests.count("/keys") <= fetched + 1  # tokens that no key fits do not have it fetched each time


# ---- the proof (IDENTITY_03) --------------------------------------------------------------------------------------


def proven(deployment):
    return json.loads(deployment.masugata("prove", "IDENTITY_03", "--json", check=False).stdout)["controls"][0]


def drill_attempts(deployment, name):
    """Why the probes' own answers were refused, newest first; "NONE" for those that were let in."""
    return [row["refusal"] for row in
            json.loads(deployment.masugata("idp", "test", "masugata-drill", name, "--json", check=False).stdout)["attempts"]]


def test_the_proof_tells_which_providers_can_be_used(deployment, idp):
    for row in deployment.json("idp", "list", "acme")["providers"]:
        if row["name"] != "main":
            deployment.masugata("idp", "remove", "acme", row["name"])
    wait_until(lambda: proven(deployment)["verdict"] == "holds", 60, every=1, what="the drill's tenant")
    found = proven(deployment)
    assert "1 of 1 providers of customers can be used; 1 of 2 customers have none" in found["evidence"], found
    deployment.masugata("idp", "add", "hinode", "gone", f"issuer=https://localhost:{free_port()}", "client.id=us")
    assert proven(deployment)["verdict"] == "holds"  # not switched on
    deployment.masugata("idp", "enable", "hinode", "gone")
    found = proven(deployment)
    assert found["verdict"] == "holds" and "warning: hinode gone: the provider does not answer" in found["reason"], found
    assert "hinode gone: UNREACHABLE" in found["evidence"] and "1 of 2 providers" in found["evidence"], found
    deployment.masugata("idp", "set", "hinode", "gone", "expires=2020-01-01T00:00:00Z")  # its customer ended it
    assert proven(deployment)["verdict"] == "holds"
    deployment.masugata("idp", "remove", "hinode", "gone")


def test_the_probes_answers_are_refused_each_for_its_own_reason(deployment):
    wait_until(lambda: proven(deployment)["verdict"] == "holds", 60, every=1, what="the drill's tenant")
    saml = drill_attempts(deployment, "masugata-probe")
    assert set(saml) - {"NONE"} == {"PROVIDER_DISABLED", "UNSOLICITED", "WRONG_REQUEST", "FROM_THE_FUTURE", "EXPIRED", "WRONG_ISSUER",
                                "WRONG_RECIPIENT", "WRONG_AUDIENCE", "XML_WRAPPED", "TOKEN_SIGNATURE", "TOKEN_UNSIGNED",
                                "REPLAYED"}, saml
    openid = drill_attempts(deployment, "masugata-probe-openid")
    assert set(openid) - {"NONE"} == {"PROVIDER_DISABLED", "FROM_THE_FUTURE", "EXPIRED", "TOKEN_SIGNATURE", "TOKEN_ALGORITHM", "TOKEN_UNSIGNED",
                                  "WRONG_AUDIENCE", "WRONG_ISSUER", "WRONG_NONCE"}, openid


def test_the_probes_provider_is_there_for_the_drill_alone(deployment):
    """Its host has no address for anybody else, its person no account elsewhere, and after a look nobody listens."""
    proven(deployment)
    deployment.masugata("idp", "add", "hinode", "drill", "issuer=https://provider.drill.masugata.invalid:443/x", "client.id=us")
    try:
        found = json.loads(deployment.masugata("idp", "test", "hinode", "drill", "--json", check=False).stdout)
        assert found["refusal"] == "UNREACHABLE" and "127." not in found["detail"], found
    finally:
        deployment.masugata("idp", "remove", "hinode", "drill")
    listening = [line.split()[1] for line in open("/proc/net/tcp") if line.split()[3] == "0A"]
    assert not [address for address in listening if address.startswith("0100427F:")], listening  # 127.66.0.1


def test_nobody_becomes_the_probes_person(deployment, visitor, idp):
    idp.claims.update(sub="probe", email="masugata-probe@drill.masugata.invalid")
    deployment.masugata("idp", "set", "acme", "main", "domains=acme.example drill.masugata.invalid")
    try:
        assert visitor.sign_in(idp).status == 403 and last_attempt(deployment)["refusal"] == "ACCOUNT_TAKEN"
    finally:
        deployment.masugata("idp", "set", "acme", "main", "domains=acme.example")
