"""A tenant's own policy on a whole deployment: what the command writes is what the gate does, from the next request on."""

import json
import time

import pytest

from test_pages import app, at_app, deployment, is_in, sign_in, signed_in  # noqa: F401 (fixtures)
from browser import Browser


@pytest.fixture
def policy(deployment):  # noqa: F811
    def put(text, tenant="acme", check=True):
        return deployment.masugata("tenant", "policy", tenant, "--file", "-", input=text, check=check)

    yield put
    put("")


def status(browser, deployment, path, **keywords):  # noqa: F811
    return browser.send(at_app(deployment, path), **keywords).status


def test_what_is_shown_can_be_read_in(deployment, policy):  # noqa: F811
    policy('allow.use = "127.0.0.0/8,::1"\nsession.idle = 10m\ncontent_security_policy = "default-src \'self\'; script-src \'sha256-x=\'"\n'
           'route "/admin" { roles = administrator fresh = 1h }\nroute "acme.localhost/admin/open" { public = no }\n')
    first = deployment.masugata("tenant", "policy", "acme").stdout
    assert 'allow.use = "127.0.0.0/8 ::1"' in first and '\nroute "/admin" {' in first
    policy(first)
    assert deployment.masugata("tenant", "policy", "acme").stdout == first
    shown = deployment.json("tenant", "policy", "acme")
    assert shown["session.idle"] == "10m" and shown["referrer_policy"] == ""
    assert [route["path"] for route in shown["routes"]] == ["/admin", "acme.localhost/admin/open"]
    assert shown["routes"][0]["roles"] == "administrator" and shown["routes"][0]["fresh"] == "1h"


@pytest.mark.parametrize("line, says", [
    ("allow.use = 10.0.0.1/8", ':2: allow.use: "10.0.0.1/8" is not a network'),
    ("allow.everything = yes", ":2: no such option 'allow.everything'"),
    ("session.idle = 25h", ':2: session.idle: "25h" is out of range'),
    ('referrer_policy = "ünsafe"', ":2: referrer_policy: a header's value is printable ASCII"),
    ('content_security_policy.mode = off', "is not one of enforce|report-only|app"),
    ('route "/a" { roles = king }', '"king" is not one of this tenant'),
    ('route "/a/../b" { public = yes }', "without empty or dot segments"),
    ('route "a" { public = yes }', 'route "a"'),
    ('route "/a" { }', 'route "/a" is empty'),
    ('route "/a" { public = yes roles = user }', "roles, fresh and second_factor need a session"),
    ('route "other.localhost/a" { public = yes }', "is not a host of this tenant"),
    ('route "/a" { cors_origins = "http://x.example" }', "is not an origin"),
    ('route "/a" { public = maybe }', "must be yes or no"),
    ('forward_identity = yes', "its upstream must be a unix socket"),
    ('session.idle = "1h', ":3: premature end of file"),
])
def test_a_wrong_line_changes_nothing(deployment, policy, line, says):  # noqa: F811
    policy("session.idle = 10m\n")
    refused = policy(f"session.idle = 20m\n{line}\n", check=False)
    assert refused.returncode == 2 and says in refused.stderr, refused.stderr
    assert deployment.json("tenant", "policy", "acme")["session.idle"] == "10m"


def test_unknown_tenant(policy):
    refused = policy("", tenant="nobody", check=False)
    assert refused.returncode == 1 and "nobody" in refused.stderr


def test_networks_hold_from_the_next_request(deployment, policy):  # noqa: F811
    browser = signed_in(deployment)
    assert is_in(browser, deployment)
    policy('allow.use = "10.0.0.0/8"\n')
    assert status(browser, deployment, "/") == 403
    assert Browser(deployment).get(sign_in(deployment)).status == 403
    policy('allow.use = "10.0.0.0/8 127.0.0.1/32"\n')
    assert is_in(browser, deployment)
    policy('allow.sign_in = "10.0.0.0/8"\n')
    assert is_in(browser, deployment), "whoever is in stays in"
    assert Browser(deployment).get(sign_in(deployment)).status == 403


def test_routes(deployment, policy):  # noqa: F811
    browser, stranger = signed_in(deployment), Browser(deployment)
    policy('route "/open" { public = yes }\nroute "/open/not" { public = no }\nroute "/admin" { roles = administrator }\n'
           'route "/mine" { roles = "user administrator" }\nroute "/inside" { networks = "10.0.0.0/8" }\nroute "/hook" { webhook = yes }\n')
    assert status(stranger, deployment, "/open/page") == 200
    assert status(stranger, deployment, "/open/not") == 302
    assert status(stranger, deployment, "/opens") == 302
    assert status(stranger, deployment, "/hook", headers={"Sec-Fetch-Site": "cross-site"}) == 200
    assert status(browser, deployment, "/admin/x") == 403 and status(browser, deployment, "/ADMIN") == 403
    assert status(browser, deployment, "/administrators") == 200
    assert status(browser, deployment, "/mine") == 200
    assert status(browser, deployment, "/inside") == 403


def test_one_rule_for_everything(deployment, policy):  # noqa: F811
    browser = signed_in(deployment)
    policy('route "/" { roles = administrator }\n')
    assert status(browser, deployment, "/") == 403 and status(browser, deployment, "/any") == 403
    policy('route "/" { roles = user }\n')
    assert is_in(browser, deployment)


def test_a_restriction_holds_for_every_spelling(deployment, policy):  # noqa: F811
    browser, stranger = signed_in(deployment), Browser(deployment)
    policy('route "/vault/" { roles = administrator }\nroute "/管理" { roles = administrator }\n'
           'route "/api" { roles = administrator cors_origins = "https://partner.example" }\n'
           'route "/lan" { public = yes networks = "10.0.0.0/8" }\n')
    for path in ("/vault", "/vault/x", "/VAULT", "/%E7%AE%A1%E7%90%86", "/%e7%ae%a1%e7%90%86/x", "/api", "/API/x"):
        assert status(browser, deployment, path) == 403, path
    assert status(browser, deployment, "/vaults") == 200
    assert status(stranger, deployment, "/LAN") == 403 and status(stranger, deployment, "/lan") == 403
    # What is opened is opened as it is written only.
    preflight = {"Origin": "https://partner.example", "Access-Control-Request-Method": "GET", "Sec-Fetch-Mode": "cors"}
    assert stranger.send(at_app(deployment, "/api"), "OPTIONS", headers=preflight).status != 401
    assert stranger.send(at_app(deployment, "/API"), "OPTIONS", headers=preflight).status == 401


def test_a_recent_sign_in_is_asked_for_again(deployment, policy):  # noqa: F811
    browser = signed_in(deployment)
    policy('route "/pay" { fresh = 6s }\n')
    time.sleep(6.2)
    answer = browser.get(at_app(deployment, "/pay"))
    assert 'name="password"' in answer.text
    assert is_in(browser, deployment)
    browser.sign_in(at_app(deployment, "/pay"), "hana@acme.example", "seven grey herons by the lake")
    assert json.loads(browser.page.text)["path"] == "/pay"


def test_idle_limit_of_the_tenant(deployment, policy):  # noqa: F811
    browser = signed_in(deployment)
    policy("session.idle = 6s\n")
    assert is_in(browser, deployment)
    time.sleep(7.5)  # whole seconds
    assert not is_in(browser, deployment)


def test_headers(deployment, policy):  # noqa: F811
    browser = signed_in(deployment)
    strict = browser.send(at_app(deployment)).headers
    assert "default-src 'none'" in strict["Content-Security-Policy"]
    policy("content_security_policy = \"default-src 'self'; frame-ancestors 'none'\"\ncross_origin_embedder_policy = unsafe-none\n")
    own = browser.send(at_app(deployment)).headers
    assert own["Content-Security-Policy"] == "default-src 'self'; frame-ancestors 'none'"
    assert own["Cross-Origin-Embedder-Policy"] == "unsafe-none"
    policy("content_security_policy.mode = report-only\n")
    reported = browser.send(at_app(deployment)).headers
    assert reported.get("Content-Security-Policy") is None and reported["Content-Security-Policy-Report-Only"]


def test_a_change_is_recorded_with_before_and_after(deployment, policy):  # noqa: F811
    policy("session.idle = 7m\n")
    policy("session.idle = 8m\n")
    text = deployment.masugata("audit", "search", "session.idle", "--json").stdout
    assert r'session.idle: \"7m\" -> \"8m\"' in text, text


def test_it_survives_a_restart(deployment, policy):  # noqa: F811
    policy('route "/open" { public = yes }\n')
    deployment.kill("authority")
    time.sleep(0.5)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and deployment.masugata("tenant", "policy", "acme", check=False).returncode != 0:
        time.sleep(0.2)
    assert deployment.json("tenant", "policy", "acme")["routes"][0]["path"] == "/open"
    assert status(Browser(deployment), deployment, "/open") == 200
