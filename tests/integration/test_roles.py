"""Roles and the tenant's own console, through the front door: every role against every action of the one table
(`masugata role matrix`), the tenant from the origin alone, rules that only its administrators change."""

import concurrent.futures
import http.server
import json
import re
import threading
import urllib.parse
import zipfile

import pytest

from browser import Browser
from harness import Deployment, wait_until

PASSWORD = "correct horse battery staple"
ANOTHER = "another horse battery staple"
ROLES = ["administrator", "approver", "auditor", "user", ""]
NOBODY = "no-such-user@acme.example"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the application")

    def log_message(self, *unused):
        pass


@pytest.fixture(scope="module")
def deployment():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Deployment() as made:
        for tenant in ("acme", "globex"):
            made.tenant_add(tenant, f"127.0.0.1:{server.server_address[1]}")
        for role in ROLES:
            add_user(made, role)
        add_user(made, "administrator", "globex")
        yield made
    server.shutdown()


def login_of(role, tenant="acme"):
    return f"{role or 'nobody'}@{tenant}.example"


def add_user(deployment, role, tenant="acme", login=None):
    deployment.masugata("user", "add", login or login_of(role, tenant), "--tenant", tenant, "--name", role or "nobody", "--roles", role,
                        "--email", login or login_of(role, tenant), "--password-stdin", input=PASSWORD)


def at(deployment, path, tenant="acme"):
    return f"https://id.{tenant}.localhost:{deployment.https_port}{path}"


def enter(deployment, login, tenant="acme", password=PASSWORD):
    browser = Browser(deployment)
    browser.get(at(deployment, "/sign-in", tenant))
    browser.submit({"login": login, "password": password}, action="/sign-in")
    assert browser.get(at(deployment, "/account", tenant)).status == 200, browser.page.text[:500]
    return browser


def post(browser, deployment, path, fields, tenant="acme"):
    """A form of this browser's own, whatever page it came from: the token is the same for all of them."""
    token = re.search(r'name="token" value="([^"]+)"', browser.get(at(deployment, "/account", tenant)).text).group(1)
    origin = at(deployment, "", tenant)
    return browser.send(at(deployment, path, tenant), "POST", urllib.parse.urlencode({"token": token, **fields}),
                        {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin})


def events(deployment, tenant, name):
    lines = deployment.masugata("audit", "search", "--tenant", tenant, "--event", name, "--json").stdout.splitlines()
    return [json.loads(line) for line in lines if line.strip()]


# What changes nothing when it is allowed: a user, a role, a session that do not exist.
HARMLESS = {
    "/console/user/add": {"new_login": " ", "new_name": "x", "new_email": "x"},
    "/console/user/disable": {"login": NOBODY, "to": "disabled"},
    "/console/user/invite": {"login": NOBODY},
    "/console/user/roles": {"login": NOBODY},
    "/console/user/second-factor": {"login": NOBODY},
    "/console/user/review": {"login": NOBODY},
    "/console/sessions/end": {},
    "/console/policy": {"keyword": "session.idle", "value": "nonsense"},
    "/console/roles": {"new_role": "NOT A NAME"},
    "/console/roles/remove": {"role": "no-such-role"},
    "/console/invitations/send": {"login": NOBODY},
    "/console/invitations/revoke": {"login": NOBODY},
    "/console/tokens": {"account": "no-such-account"},
    "/console/tokens/account": {"new_account": "NOT A NAME"},
    "/console/tokens/revoke": {"number": "0"},
    "/console/groups": {"new_group": "x", "role_no-such-role": "1"},
    "/console/group/roles": {"group": "no-such-group"},
    "/console/group/name": {"group": "no-such-group", "new_name": "x"},
    "/console/group/member": {"group": "no-such-group", "login": NOBODY, "to": "member"},
    "/console/group/remove": {"group": "no-such-group"},
    "/console/providers": {"new_provider": "NOT A NAME"},
    "/console/providers/saml": {"saml_provider": "NOT A NAME"},
    "/console/provider": {"name": "no-such-provider"},
    "/console/provider/change": {"name": "no-such-provider", "to": "disabled"},
    "/console/provider/key": {"name": "no-such-provider", "step": "drop"},
    "/console/provider/test": {"name": "no-such-provider"},
}


def test_every_role_against_every_action(deployment):
    matrix = json.loads(deployment.masugata("role", "matrix", "--json").stdout)
    holders = {row["permission"]: row["roles"] for row in matrix["permissions"]}
    actions = [row for row in matrix["actions"] if row["sign_in"] and row["path"].startswith("/console/")]
    assert len(actions) >= 18
    wrong = []
    for role in ROLES:
        browser = enter(deployment, login_of(role))
        for action in actions:
            allowed = role in holders[action["needs"]]
            if action["method"] == "GET":
                answer = browser.send(at(deployment, action["path"]))
            else:
                answer = post(browser, deployment, action["path"], HARMLESS[action["path"]])
            if (answer.status != 403) != allowed or answer.status >= 500:
                wrong.append((role, action["method"], action["path"], answer.status, allowed))
    assert not wrong
    refused = events(deployment, "acme", "request_refused")
    assert {row["unmapped"]["outcome"] for row in refused} == {"refused"} and len(refused) > 20


def test_the_operators_pages_are_no_tenants(deployment):
    browser = enter(deployment, login_of("administrator"))
    for path in ("/console/tenants", "/console/tenant?name=globex", "/console/tenants/new", "/console/controls"):
        assert browser.send(at(deployment, path)).status == 404, path


def test_the_tenant_comes_from_the_origin(deployment):
    acme = enter(deployment, login_of("administrator"))
    for path in ("/console/users?tenant=globex", "/console/audit?tenant=globex&words=globex.example", "/console/sessions?tenant=globex"):
        assert "administrator@globex.example" not in acme.get(at(deployment, path)).text, path
    post(acme, deployment, "/console/user/disable", {"login": login_of("administrator", "globex"), "tenant": "globex", "to": "disabled"})
    enter(deployment, login_of("administrator", "globex"), "globex")
    # A session of one tenant is nothing at another's origin.
    stranger = Browser(deployment)
    stranger.cookies["id.globex.localhost"] = dict(acme.cookies["id.acme.localhost"])
    assert "/sign-in" in stranger.send(at(deployment, "/console/users", "globex")).headers["Location"]
    # An application's session opens no console either.
    acme.get(f"https://acme.localhost:{deployment.https_port}/")
    assert "the application" in acme.page.text
    lender = Browser(deployment)
    lender.cookies["id.acme.localhost"] = dict(acme.cookies["acme.localhost"])
    assert "/sign-in" in lender.send(at(deployment, "/console/users")).headers["Location"]


def test_users_are_made_and_kept_by_the_customer(deployment):
    browser = enter(deployment, login_of("administrator"))
    browser.get(at(deployment, "/console/users"))
    browser.submit({"new_login": "Rin@acme.example", "new_name": "Rin <b>", "new_email": "rin@acme.example", "new_language": "ja"},
                   action="/console/user/add")
    assert "Rin &lt;b&gt;" in browser.page.text and "Invited" in browser.page.text
    assert "rin@acme.example" in browser.get(at(deployment, "/console/users?search=ri")).text
    browser.get(at(deployment, "/console/user?login=rin@acme.example"))
    assert "Auditor" in browser.submit({"role_auditor": "1"}, action="/console/user/roles").text
    assert re.search(r'id="role_auditor"[^>]* checked', browser.page.text)
    changed = events(deployment, "acme", "role_grant")[0]
    assert changed["unmapped"]["details"] == {"before": "user", "after": "auditor"}
    browser.submit({}, action="/console/user/disable")
    assert "Disabled" in browser.page.text
    assert "rin@acme.example" in deployment.masugata("audit", "search", "--tenant", "acme", "--event", "user_disable").stdout
    # The one who administers does not confirm, and whoever confirms does not do it for themselves.
    assert post(browser, deployment, "/console/user/review", {"login": "rin@acme.example"}).status == 403
    approver = enter(deployment, login_of("approver"))
    assert post(approver, deployment, "/console/user/review", {"login": login_of("approver")}).status == 422
    assert post(approver, deployment, "/console/user/review", {"login": "rin@acme.example"}).status == 303
    assert login_of("approver") in approver.get(at(deployment, "/console/user?login=rin@acme.example")).text


def test_nobody_gives_or_reaches_more_than_they_have(deployment):
    add_user(deployment, "user", login="helper@acme.example")
    deployment.masugata("role", "set", "helpdesk", "--tenant", "acme", "--permissions", "users.read users.change roles.grant")
    deployment.masugata("role", "give", "helper@acme.example", "helpdesk", "--tenant", "acme")
    helper = enter(deployment, "helper@acme.example")
    assert helper.get(at(deployment, "/console/users")).status == 200
    assert helper.get(at(deployment, "/console/audit")).status == 403
    for roles in ({"role_administrator": "1"}, {"role_auditor": "1"}):
        assert post(helper, deployment, "/console/user/roles", {"login": "helper@acme.example", **roles}).status == 422
    assert post(helper, deployment, "/console/user/disable", {"login": login_of("administrator"), "to": "disabled"}).status == 422
    assert deployment.json("user", "show", login_of("administrator"), "--tenant", "acme")["users"][0]["state"] == "active"
    # Changing what a role may holds at once; removing one that somebody has is refused.
    deployment.masugata("role", "set", "helpdesk", "--tenant", "acme", "--permissions", "sign_ins.read")
    assert helper.get(at(deployment, "/console/users")).status == 403
    assert helper.get(at(deployment, "/console/sign-ins")).status == 200
    assert deployment.masugata("role", "remove", "helpdesk", "--tenant", "acme", check=False).returncode == 1
    # Other roles end the sessions, at the application too.
    deployment.masugata("role", "give", "helper@acme.example", "user", "--tenant", "acme")
    assert "/sign-in" in helper.send(at(deployment, "/console/users")).headers["Location"]
    deployment.masugata("role", "remove", "helpdesk", "--tenant", "acme")


@pytest.mark.parametrize("roles", ["king", "operator", "administrator approver"])
def test_roles_that_cannot_be_given(deployment, roles):
    assert deployment.masugata("role", "give", login_of("user"), roles, "--tenant", "acme", check=False).returncode == 2
    assert deployment.json("user", "show", login_of("user"), "--tenant", "acme")["users"][0]["roles"] == "user"


def test_an_administrator_remains(deployment):
    browser = enter(deployment, login_of("administrator", "globex"), "globex")
    mine = login_of("administrator", "globex")
    assert post(browser, deployment, "/console/user/roles", {"login": mine, "role_user": "1"}, "globex").status == 422
    assert post(browser, deployment, "/console/user/disable", {"login": mine, "to": "disabled"}, "globex").status == 422
    assert "at least one other" in post(browser, deployment, "/console/user/roles", {"login": mine}, "globex").text.lower()


def test_what_an_operator_does_in_the_tenant_shows_there(deployment):
    deployment.masugata("user", "lock", login_of("user"), "--tenant", "acme")
    deployment.masugata("user", "unlock", login_of("user"), "--tenant", "acme")
    browser = enter(deployment, login_of("auditor"))
    text = browser.get(at(deployment, "/console/audit?words=account_lock")).text
    assert "command line" in text and login_of("user") in text
    # And the log can be taken home: as CSV, as OCSF, and with a proof for one entry.
    lines = browser.send(at(deployment, "/console/audit/export?format=csv&words=account_lock"))
    assert lines.headers["Content-Type"].startswith("text/csv") and lines.text.startswith("entry,time,event,")
    assert "account_lock" in lines.text and "globex" not in lines.text
    entry = lines.text.splitlines()[1].split(",")[0]
    events_ = [json.loads(line) for line in browser.send(at(deployment, "/console/audit/export?format=ocsf")).text.splitlines()]
    assert len(events_) > 20 and len({row["metadata"]["tenant_uid"] for row in events_}) == 1
    proof = browser.send(at(deployment, f"/console/audit/proof?entry={entry}"))
    assert "tlog-proof" in json.loads(proof.text)["proof"] and json.loads(proof.text)["leaf"]
    # Another tenant's entry is none, and reading is recorded too.
    foreign = json.loads(deployment.masugata("audit", "search", "--tenant", "globex", "--event", "user_create", "--json").stdout.splitlines()[0])
    assert browser.send(at(deployment, f"/console/audit/proof?entry={foreign['entry'] if 'entry' in foreign else 0}")).status == 404
    assert events(deployment, "acme", "audit_export")


def test_rights_that_nobody_uses(deployment):
    rows = deployment.json("role", "report", "--tenant", "acme", "--days", "0")["unused"]
    assert {"users.review", "audit.read"} <= {row["permission"] for row in rows}
    assert deployment.json("role", "report", "--tenant", "acme")["unused"] == []
    used = {row["permission"] for row in rows if row["login"] == login_of("auditor") and row["used_at"]}
    assert {"audit.read", "audit.export"} <= used
    browser = enter(deployment, login_of("auditor"))
    assert "Nobody here holds a right for long" in browser.get(at(deployment, "/console/rights")).text


# ---- rules ----

def rule(browser, deployment, keyword, value, tenant="acme"):
    return post(browser, deployment, "/console/policy", {"keyword": keyword, "value": value}, tenant)


def test_rules_are_changed_by_the_tenants_administrators(deployment):
    browser = enter(deployment, login_of("administrator"))
    page = browser.get(at(deployment, "/console/policy")).text
    assert "allow.sign_in" in page and "password.history" in page and "content_security_policy" not in page
    assert rule(browser, deployment, "session.idle", "20m").status == 303
    assert "20m" in browser.get(at(deployment, "/console/policy")).text
    change = events(deployment, "acme", "policy_change")[0]
    assert change["unmapped"]["details"] == {"keyword": "session.idle", "before": "0s", "after": "20m"}
    assert rule(browser, deployment, "session.idle", "soon").status == 422
    assert rule(browser, deployment, "content_security_policy", "default-src *").status == 404
    assert rule(enter(deployment, login_of("auditor")), deployment, "session.idle", "1h").status == 403
    assert rule(browser, deployment, "session.idle", "0s").status == 303


@pytest.mark.parametrize("keyword", ["allow.use", "allow.sign_in", "allow.administrators"])
def test_a_rule_that_locks_its_author_out_is_refused(deployment, keyword):
    browser = enter(deployment, login_of("administrator"))
    answer = rule(browser, deployment, keyword, "192.0.2.0/24")
    assert answer.status == 422 and "lock you out" in answer.text and f"{keyword}: 127.0.0.1" in answer.text
    assert browser.get(at(deployment, "/console/policy")).status == 200


def test_of_two_administrators_who_end_each_other_one_stays(deployment):
    """By roles or by disabling, however often at the same moment: there is always one left."""
    second = "second-administrator@acme.example"
    add_user(deployment, "administrator", login=second)
    names = [login_of("administrator"), second]
    try:
        for round_ in range(6):
            pair = [enter(deployment, name) for name in names]
            start = threading.Barrier(2)

            def attack(at_hand):
                browser, victim = at_hand
                token = re.search(r'name="token" value="([^"]+)"', browser.get(at(deployment, "/account")).text).group(1)
                path, fields = (("/console/user/roles", {"login": victim, "role_user": "1"}) if round_ % 2 == 0 else
                                ("/console/user/disable", {"login": victim, "to": "disabled"}))
                start.wait()
                browser.send(at(deployment, path), "POST", urllib.parse.urlencode({"token": token, **fields}),
                             {"Content-Type": "application/x-www-form-urlencoded", "Origin": at(deployment, "")})

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(attack, zip(pair, reversed(names))))
            users = {row["login"]: row for row in deployment.json("user", "list", "--tenant", "acme")["users"]}
            left = [name for name in names if users[name]["roles"] == "administrator" and users[name]["state"] != "suspended"]
            assert len(left) == 1, (round_, [users[name] for name in names])
            for name in names:
                deployment.masugata("user", "enable", name, "--tenant", "acme")
                deployment.masugata("role", "give", name, "administrator", "--tenant", "acme")
    finally:
        deployment.masugata("user", "enable", names[0], "--tenant", "acme")
        deployment.masugata("user", "disable", second, "--tenant", "acme")


def test_a_tenants_own_role_guards_a_path(deployment):
    """A role that the tenant made counts at the gate as a built-in one does, and cannot be taken away while a rule names it."""
    def policy(text, check=True):
        return deployment.masugata("tenant", "policy", "acme", "--file", "-", input=text, check=check)

    guarded = 'route "/payroll" { roles = payroll }\n'
    refused = policy(guarded, check=False)
    assert refused.returncode == 2 and '"payroll" is not one of this tenant\'s roles: administrator' in refused.stderr
    deployment.masugata("role", "set", "payroll", "--tenant", "acme")
    policy(guarded + "second_factor.roles = payroll\n")
    try:
        page = f"https://acme.localhost:{deployment.https_port}/payroll"
        outside = enter(deployment, login_of("user"))
        assert wait_until(lambda: outside.get(page).status == 403, what="the rule at the gate")
        held = deployment.masugata("role", "remove", "payroll", "--tenant", "acme", check=False)
        assert held.returncode != 0 and "a rule names it" in held.stderr, held.stderr
        policy(guarded)
        deployment.masugata("role", "give", login_of("user"), "user payroll", "--tenant", "acme")
        inside = enter(deployment, login_of("user"))
        assert inside.get(page).status != 403
        assert outside.get(page).status == 200 and "/sign-in" in outside.url  # roles changed: that sign-in ended
    finally:
        policy("")
        deployment.masugata("role", "give", login_of("user"), "user", "--tenant", "acme")
        deployment.masugata("role", "remove", "payroll", "--tenant", "acme")


def test_networks_of_the_tenants_console(deployment):
    """allow.administrators keeps the console to its networks; the rest of the origin stays open."""
    browser = enter(deployment, login_of("administrator"))
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input='allow.administrators = "192.0.2.0/24"\n')
    assert wait_until(lambda: browser.send(at(deployment, "/console/users")).status == 403, what="the console closed")
    assert browser.send(at(deployment, "/account")).status == 200
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input="")
    assert wait_until(lambda: browser.send(at(deployment, "/console/users")).status == 200, what="the console open")


def test_password_rules(deployment):
    browser = enter(deployment, login_of("administrator"))
    add_user(deployment, "user", login="kei@acme.example")
    kei = enter(deployment, "kei@acme.example")

    def change(current, new):
        return post(kei, deployment, "/password", {"current": current, "password": new})
    assert rule(browser, deployment, "password.length", "24").status == 303
    assert change(PASSWORD, "only twenty-two chars!").status == 422
    assert "24" in kei.get(at(deployment, "/password")).text
    # Words of the tenant's own, anywhere in the password, in any case and width; the change is recorded with both values.
    refused = rule(browser, deployment, "password.words", "ab")
    assert refused.status == 422 and "too short" in refused.text
    assert rule(browser, deployment, "password.words", "Falcon アクメ").status == 303
    changed = events(deployment, "acme", "policy_change")[0]["unmapped"]["details"]
    assert "Falcon" in json.dumps(changed, ensure_ascii=False) and "password.words" in json.dumps(changed)
    for wrong in ("correct horse ＦＡＬＣＯＮry staple", "correct horse ｱｸﾒ battery staple"):
        answer = change(PASSWORD, wrong)
        assert answer.status == 422 and "contains a word that your organization does not allow" in answer.text
    assert rule(browser, deployment, "password.words", "").status == 303
    assert rule(browser, deployment, "password.history", "3").status == 303
    assert change(PASSWORD, ANOTHER).status == 303
    assert change(ANOTHER, PASSWORD).status == 422
    assert change(ANOTHER, "a third horse battery staple").status == 303
    assert change("a third horse battery staple", "the fourth horse battery staple").status == 303
    assert change("the fourth horse battery staple", PASSWORD).status == 303  # three others lie between
    # Past its age the password opens nothing but the page where another one is chosen, and the same is not another.
    refused = rule(browser, deployment, "password.max_age", "1s")
    assert refused.status == 422 and "at least 1d" in refused.text  # it would end every session of the tenant, its author's too
    deployment.masugata("tenant", "policy", "acme", "--file", "-",
                        input="password.length = 24\npassword.history = 3\npassword.max_age = 1s\n")

    def too_old():
        late = Browser(deployment)
        late.get(at(deployment, "/sign-in"))
        late.submit({"login": "kei@acme.example", "password": PASSWORD}, action="/sign-in", follow=False)
        return late if "/reset/new?must=1" in late.page.headers.get("Location", "") else None
    late = wait_until(too_old, 10, every=0.5, what="the password's age")
    late.get(at(deployment, late.page.headers["Location"]))
    assert late.submit({"password": PASSWORD}, action="/reset/new").status == 422
    assert late.submit({"password": "a fifth horse battery staple"}, action="/reset/new").status == 200
    assert rule(browser, deployment, "password.max_age", "0s").status in (303, 302)
    enter(deployment, "kei@acme.example", password="a fifth horse battery staple")
    for keyword, value in (("password.length", "0"), ("password.history", "0"), ("password.max_age", "0s")):
        post(browser, deployment, "/console/policy", {"keyword": keyword, "value": value})


def test_number_of_sign_ins(deployment):
    browser = enter(deployment, login_of("administrator"))
    assert rule(browser, deployment, "session.families", "2").status == 303
    first = enter(deployment, login_of("user"))
    enter(deployment, login_of("user"))
    enter(deployment, login_of("user"))
    assert "/sign-in" in first.send(at(deployment, "/account")).headers["Location"]
    rule(browser, deployment, "session.families", "0")


def test_reports_agree_with_the_log(deployment):
    """Drawn as a page and as a file; the totals are the log's own counts."""
    browser = enter(deployment, login_of("auditor"))
    count = len(events(deployment, "acme", "user_create"))
    page = browser.get(at(deployment, "/console/reports?kind=accounts")).text
    assert re.search(rf"<code>user_create</code></th><td class=\"number\">{count}</td>", page), page
    lines = browser.send(at(deployment, "/console/reports/file?kind=users")).text.splitlines()
    named = [line.split(",")[2].strip('"') for line in lines[1:]]
    assert named.count("role_grant") == len(events(deployment, "acme", "role_grant")) > 0
    assert set(named) <= {"user_change", "user_review", "role_grant", "role_revoke", "role_change", "role_delete"}
    assert "policy_change" in browser.get(at(deployment, "/console/reports?kind=privileges")).text
    assert "No entry found" in browser.get(at(deployment, "/console/reports?kind=users&until=2020-01-01")).text


def test_reports_on_the_command_line(deployment, tmp_path):
    totals = deployment.json("audit", "report", "accounts", "--tenant", "acme")
    assert totals["events"]["user_create"] == len(events(deployment, "acme", "user_create"))
    assert totals["total"] == sum(totals["events"].values())
    lines = deployment.masugata("audit", "report", "accounts", "--tenant", "acme", "--format", "csv").stdout.splitlines()
    assert len(lines) - 1 == totals["total"]
    deployment.masugata("audit", "report", "users", "--tenant", "acme", "--format", "xlsx", "--output", str(tmp_path / "users.xlsx"))
    with zipfile.ZipFile(tmp_path / "users.xlsx") as book:
        assert "role_grant" in book.read("xl/sharedStrings.xml").decode()
    assert deployment.masugata("audit", "report", "kings", check=False).returncode == 2
