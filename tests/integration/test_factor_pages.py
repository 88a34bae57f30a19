"""Second factors through the front door: step-up by route, a tenant that demands one, recovery, what operators reset."""

import json
import re
import time
import urllib.parse

import pytest

import factors
from authenticator import BE, UP, UV, Passkey, b64, unb64
from browser import Browser
from harness import wait_until
from test_pages import (PASSWORD, add_user, app, at_app, at_console, deployment, is_in, mails, sign_in,  # noqa: F401
                        signed_in)


@pytest.fixture
def policy(deployment):  # noqa: F811
    def put(text):
        return deployment.masugata("tenant", "policy", "acme", "--file", "-", input=text)

    yield put
    put("")


def where(browser):
    parts = urllib.parse.urlsplit(browser.url)
    return parts.hostname, parts.path


def is_inside(browser, deployment):  # noqa: F811
    """Looks without leaving the page at hand."""
    page, url = browser.page, browser.url
    inside = is_in(browser, deployment)
    browser.page, browser.url = page, url
    return inside


def set_up(browser, login):
    """Goes through /factors/totp of somebody who is signed in; returns the app."""
    known = factors.App(re.search(r'class="key">([A-Z2-7 ]+)<', browser.page.text).group(1))
    browser.submit({"code": known.code(), "name": "my phone"}, action="/factors/totp")
    known.recovery = re.findall(r"<li><code>([a-z2-9-]{14})</code></li>", browser.page.text)
    return known


def test_a_tenant_that_demands_one(deployment, policy):  # noqa: F811
    add_user(deployment, "saki@acme.example")
    before = signed_in(deployment, "saki@acme.example")
    assert is_in(before, deployment)
    policy("second_factor = required\n")
    assert not is_in(before, deployment), "who had not given one signs in again"
    browser = Browser(deployment)
    browser.get(at_app(deployment, "/report?year=2026"))
    browser.submit({"login": "saki@acme.example", "password": PASSWORD}, action="/sign-in")
    assert where(browser) == ("id.acme.localhost", "/sign-in/enrol")
    assert "__Host-masugata" not in browser.cookies["id.acme.localhost"] and not is_inside(browser, deployment)
    # What the browser holds now, shown as a session, opens nothing.
    thief = Browser(deployment)
    ticket = browser.cookies["id.acme.localhost"]["__Host-masugata-second"]
    thief.cookies = {"id.acme.localhost": {"__Host-masugata": ticket}, "acme.localhost": {"__Host-masugata": ticket}}
    assert not is_in(thief, deployment)
    assert thief.get(sign_in(deployment, "/account"), follow=False).status == 303
    browser.submit({"code": "000000"}, action="/sign-in/enrol")
    assert browser.page.status == 422 and "not right" in browser.page.text
    known = factors.App(re.search(r'class="key">([A-Z2-7 ]+)<', browser.page.text).group(1))
    browser.submit({"code": known.code()}, action="/sign-in/enrol")
    known.recovery = re.findall(r"<li><code>([a-z2-9-]{14})</code></li>", browser.page.text)
    assert len(known.recovery) == 10 and "__Host-masugata-second" not in browser.cookies["id.acme.localhost"]
    on = re.search(r'class="button primary" href="([^"]+)"', browser.page.text).group(1).replace("&amp;", "&")
    browser.get(urllib.parse.urljoin(browser.url, on))
    assert where(browser) == ("acme.localhost", "/report") and browser.page.status == 200
    # From then on it is asked; a wrong code opens nothing, the right one leads to where the person wanted to go.
    again = Browser(deployment)
    again.get(at_app(deployment, "/there"))
    again.submit({"login": "saki@acme.example", "password": PASSWORD}, action="/sign-in")
    assert where(again) == ("id.acme.localhost", "/sign-in/second")
    again.submit({"code": "000000"}, action="/sign-in/second")
    assert again.page.status == 422 and not is_inside(again, deployment)
    again.submit({"code": known.recovery.pop()}, action="/sign-in/second")
    assert where(again) == ("acme.localhost", "/there")
    wait_until(lambda: any("recovery code of your account was used" in text for text in mails(deployment, "saki@acme.example")),
               what="mail about the recovery code")


def test_a_route_asks_for_it(deployment, policy):  # noqa: F811
    add_user(deployment, "rei@acme.example")
    policy('route "/vault" { second_factor = 1h }\n')
    browser = signed_in(deployment, "rei@acme.example")
    assert is_in(browser, deployment)
    assert browser.send(at_app(deployment, "/vault"), headers={"Accept": "application/json", "Sec-Fetch-Mode": "cors",
                                                               "Sec-Fetch-Dest": "empty"}).status == 401
    # Somebody without one shows the password, sets one up, and gets there.
    browser.get(at_app(deployment, "/vault?room=3"))
    assert where(browser) == ("id.acme.localhost", "/step-up")
    browser.submit({"password": "wrong and long enough"}, action="/step-up")
    assert browser.page.status == 422
    browser.submit({"password": PASSWORD}, action="/step-up")
    assert where(browser) == ("id.acme.localhost", "/factors/totp")
    known = set_up(browser, "rei@acme.example")
    assert len(known.recovery) == 10
    on = re.search(r'class="button primary" href="([^"]+)"', browser.page.text).group(1).replace("&amp;", "&")
    browser.get(urllib.parse.urljoin(browser.url, on))
    assert where(browser) == ("acme.localhost", "/vault") and browser.page.status == 200
    # With one, sign-in asks for it, and the route is satisfied.
    policy('second_factor = off\nroute "/vault" { second_factor = 1h }\n')
    later = signed_in(deployment, "rei@acme.example")
    assert is_in(later, deployment)
    later.get(at_app(deployment, "/vault"))
    assert where(later) == ("id.acme.localhost", "/step-up")
    later.submit({"code": known.recovery.pop()}, action="/step-up")
    assert where(later) == ("acme.localhost", "/vault") and later.page.status == 200
    assert later.send(at_app(deployment, "/vault/x")).status == 200


def test_a_persons_own_list_and_the_operators_reset(deployment, policy):  # noqa: F811
    add_user(deployment, "yui@acme.example")
    browser = signed_in(deployment, "yui@acme.example")
    browser.get(sign_in(deployment, "/factors"))
    assert "Nothing yet." in browser.page.text
    browser.get(sign_in(deployment, "/factors/totp"))
    known = set_up(browser, "yui@acme.example")
    browser.get(sign_in(deployment, "/factors"))
    assert "my phone" in browser.page.text and "Left: 10." in browser.page.text
    old = list(known.recovery)
    browser.submit({}, action="/factors/recovery")
    assert len(re.findall(r"<li><code>", browser.page.text)) == 10 and old[0] not in browser.page.text
    # A form of another site changes nothing.
    number = re.search(r'name="factor" value="(\d+)"', browser.get(sign_in(deployment, "/factors")).text).group(1)
    forged = browser.send(sign_in(deployment, "/factors/remove"), "POST", urllib.parse.urlencode({"factor": number}),
                          {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://evil.example"})
    assert forged.status == 403
    operator = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/console/tenant?name=acme&search=yui"))
    operator.submit({}, action="/console/user/second-factor")
    assert "gone" in operator.page.text
    assert browser.get(sign_in(deployment, "/factors"), follow=False).status == 303, "signed out everywhere"
    wait_until(lambda: any("took away the second factors" in text for text in mails(deployment, "yui@acme.example")),
               what="mail about the reset")
    assert is_in(signed_in(deployment, "yui@acme.example"), deployment)
    done = deployment.json("user", "second-factor-reset", "yui@acme.example", "--tenant", "acme")
    assert done["removed"] == 0
    browser = signed_in(deployment, "yui@acme.example")
    browser.get(sign_in(deployment, "/factors/totp"))
    set_up(browser, "yui@acme.example")
    browser.get(sign_in(deployment, "/factors"))
    browser.submit({}, action="/factors/remove")
    assert "Nothing yet." in browser.page.text


# ---- passkeys (what they are worth: test_passkey.py) ----

def asked(browser):
    """What the page's form with a passkey says to the browser, and its action."""
    form = re.search(r'<form method="post" action="([^"]+)" class="passkey" data-passkey="(\w+)"([^>]*)>', browser.page.text)
    assert form, browser.page.text
    told = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', form.group(3)))
    return form.group(1), told


def told_passkey(browser, deployment, passkey, wrong=None, **more):  # noqa: F811
    """Answers the form of the page at hand as a browser's script does."""
    action, told = asked(browser)
    origin, challenge = f"https://{told['relying-party']}:{deployment.https_port}", unb64(told["challenge"])
    fields = (passkey.create(told["relying-party"], origin, challenge, unb64(told["user"])) if "user" in told else
              passkey.get(told["relying-party"], origin, challenge, **(wrong or {})))
    return browser.submit({name: b64(value) for name, value in fields.items()} | more, action=action)


def test_passkeys_through_the_front_door(deployment, policy):  # noqa: F811
    add_user(deployment, "kei@acme.example")
    browser = signed_in(deployment, "kei@acme.example")
    browser.get(sign_in(deployment, "/factors/passkey"))
    passkey = Passkey()
    told_passkey(browser, deployment, passkey, name="鍵 <1>", transports="internal")
    assert len(re.findall(r"<li><code>[a-z2-9-]{14}</code></li>", browser.page.text)) == 10
    browser.get(sign_in(deployment, "/factors"))
    assert "鍵 &lt;1&gt;" in browser.page.text and "Signs in without the password" in browser.page.text
    wait_until(lambda: any("a second factor was added" in text for text in mails(deployment, "kei@acme.example")), what="mail")
    # Without a password, on the way to the application.
    other = Browser(deployment)
    other.get(at_app(deployment, "/deep?x=1"))
    assert where(other) == ("id.acme.localhost", "/sign-in") and 'autocomplete="username webauthn"' in other.page.text
    told_passkey(other, deployment, passkey, {"flags": UP | BE})
    assert other.page.status == 422 and "was not accepted" in other.page.text and not is_inside(other, deployment)
    told_passkey(other, deployment, passkey)
    assert where(other) == ("acme.localhost", "/deep") and is_inside(other, deployment)
    # After the password.
    third = Browser(deployment)
    third.get(at_app(deployment, "/there"))
    third.submit({"login": "kei@acme.example", "password": PASSWORD}, action="/sign-in")
    assert where(third) == ("id.acme.localhost", "/sign-in/second") and "Passkeys need JavaScript" in third.page.text
    page = third.page
    told_passkey(third, deployment, passkey)
    assert where(third) == ("acme.localhost", "/there")
    # The same answer again, from another browser that has the page: the form's token is not its own.
    again = Browser(deployment)
    again.get(sign_in(deployment))
    again.page = page
    assert again.submit({}, action="/sign-in/second/passkey").status == 403
    # A page that asks anew.
    policy('route "/vault" { second_factor = 6s }\n')
    time.sleep(7)
    third.get(at_app(deployment, "/vault"))
    assert where(third) == ("id.acme.localhost", "/step-up")
    told_passkey(third, deployment, passkey)
    assert where(third) == ("acme.localhost", "/vault") and third.page.status == 200, third.page.text[:2000]
    # Removed, and worth nothing from then on.
    policy("")
    browser.get(sign_in(deployment, "/factors"))
    browser.submit({}, action="/factors/remove")
    assert "has been removed" in browser.page.text
    wait_until(lambda: any("was removed from your account" in text for text in mails(deployment, "kei@acme.example")), what="mail")
    last = Browser(deployment)
    last.get(sign_in(deployment))
    told_passkey(last, deployment, passkey)
    assert last.page.status == 422 and not is_inside(last, deployment)


def test_an_operator_signs_in_by_passkey(deployment):  # noqa: F811
    browser = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/factors/passkey"))
    assert where(browser) == ("console.localhost", "/factors/passkey")
    passkey = Passkey("EdDSA", flags=UP | UV)
    told_passkey(browser, deployment, passkey, name="key")
    assert browser.get(at_console(deployment, "/factors")).text.count('name="factor"') == 2
    other = Browser(deployment)
    other.get(at_console(deployment, "/console/tenants"))
    told_passkey(other, deployment, passkey)
    assert where(other) == ("console.localhost", "/console/tenants") and other.page.status == 200


def test_well_known(deployment):  # noqa: F811
    port = deployment.https_port
    for host, own in (("acme.localhost", False), ("id.acme.localhost", True), ("console.localhost", True)):
        sign_in_origin = f"https://{'console' if host.startswith('console') else 'id.acme'}.localhost:{port}"
        at = f"https://{host}:{port}/.well-known/"
        browser = Browser(deployment)
        answer = browser.get(at + "change-password", follow=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/password" if own else f"{sign_in_origin}/password")
        answer = deployment.request(at + "passkey-endpoints")
        assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.text) == {"enroll": f"{sign_in_origin}/factors/passkey", "manage": f"{sign_in_origin}/factors"}
        answer = deployment.request(at + "security.txt")
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        lines = answer.text.splitlines()
        assert lines[0] == "Contact: mailto:security@example.com" and lines[1] == "Contact: https://example.com/report"
        assert re.fullmatch(r"Expires: \d{4}-\d\d-\d\dT00:00:00\.000Z", lines[2]), lines
        assert f"Canonical: {at}security.txt" in lines and "Policy: https://example.com/policy" in lines
        assert "Preferred-Languages: ja, en" in lines and not any("javascript" in line for line in lines)
        # Only these: what else lies there is the application's, behind its session.
        if not own:
            for name in ("security.txt.bak", "security.txt/x", "openid-configuration"):
                assert Browser(deployment).get(at + name, follow=False).status == 302, name
