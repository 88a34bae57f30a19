"""The API through the front door: every endpoint against every right, other tenants' tokens, expired and revoked ones,
disabled accounts, networks; pages, ETags, Idempotency-Key, problems in two languages, strict JSON, rates."""

import concurrent.futures
import datetime
import http.client
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import PROGRAM, Deployment, _Pinned, wait_until
from saml_provider import SamlProvider

ROOT = pathlib.Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
ENDPOINTS = json.loads(subprocess.run([PROGRAM, "api", "matrix"], capture_output=True, text=True, check=True).stdout)["endpoints"]
BY_NAME = {row["name"]: row for row in ENDPOINTS}
POOL = concurrent.futures.ThreadPoolExecutor(8)
NOBODY = "no-such-user@acme.example"
RATE = 40


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
    with Deployment({"api.rate": RATE}) as made:
        for tenant in ("acme", "globex"):
            made.tenant_add(tenant, f"127.0.0.1:{server.server_address[1]}")
            made.masugata("user", "add", f"admin@{tenant}.example", "--tenant", tenant, "--name", "Admin", "--roles", "administrator",
                          "--email", f"admin@{tenant}.example", "--password-stdin", input=PASSWORD)
            for account, roles in (("root", "administrator"), ("eye", "auditor"), ("second", "approver")):
                made.masugata("token", "account", account, "--tenant", tenant, "--name", account.title(), "--roles", roles)
        yield made
    server.shutdown()


def issue(deployment, permissions, account="root", tenant="acme", **more):
    arguments = [word for key, value in more.items() for word in (f"--{key}", str(value))]
    return json.loads(deployment.masugata("token", "add", account, "--tenant", tenant, "--label", "test", "--permissions", permissions,
                                          *arguments, "--json").stdout)


ALL = ("users.read users.change roles.grant roles.define sessions.read sessions.end sign_ins.read audit.read audit.export policy.read "
       "policy.change reports.read providers.read providers.change tokens.read tokens.change users.provision backups.read")


@pytest.fixture(scope="module")
def token(deployment):
    return issue(deployment, ALL)["secret"]


class Kept(threading.local):
    """One connection a host and thread: a handshake for each of some thousand requests would take longer than they."""

    def __init__(self):
        self.connections = {}

    def request(self, deployment, host, method, path, headers, body):
        for attempt in (1, 2):
            if (deployment, host) not in self.connections:
                self.connections[deployment, host] = _Pinned(host, deployment.https_port, context=deployment.context(), timeout=20)
            connection = self.connections[deployment, host]
            try:
                connection.request(method, path, body=body, headers={"Host": f"{host}:{deployment.https_port}", **headers})
                answer = connection.getresponse()
                answer.text = answer.read().decode(errors="replace")
                return answer
            except (http.client.HTTPException, OSError):
                connection.close()
                del self.connections[deployment, host]
                if attempt == 2:
                    raise


kept = Kept()


def ask(deployment, token, method, path, body=None, tenant="acme", headers=None, language="en"):
    all_headers = {"Accept": "application/json", "Accept-Language": language, "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"}
    if token:
        all_headers["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    if body is not None:
        all_headers["Content-Type"] = "application/json"
    all_headers.update(headers or {})
    for _ in range(20):
        answer = kept.request(deployment, f"id.{tenant}.localhost", method, path, all_headers, body)
        if answer.status != 429:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    answer.json = json.loads(answer.text) if answer.text and "json" in answer.headers.get("Content-Type", "") else None  # nginx's own are not
    return answer


def at(name, **values):
    path = BY_NAME[name]["path"]
    for key, value in values.items():
        path = path.replace("{" + key + "}", urllib.parse.quote(value, safe=""))
    return path


# What changes nothing when it is allowed.
HARMLESS = {
    "user_add": {"login": " ", "name": "x", "email": "x"},
    "user_roles_set": {"roles": ["user"]},
    "rule_set": {"value": "nonsense"},
    "role_add": {"name": "NOT A NAME", "permissions": []},
    "role_set": {"permissions": []},
    "group_add": {"name": "x", "roles": ["no-such-role"]},
    "group_rename": {"to": "x"},
    "group_roles_set": {"roles": []},
    "provider_add": {"name": "NOT A NAME", "settings": {}},
    "provider_metadata": {"document": "<nothing/>"},
    "provider_set": {"settings": {}},
    "provider_key": {"step": "drop"},
    "service_add": {"account": "NOT A NAME"},
    "token_add": {"account": "nobody", "label": "x", "permissions": ["users.read"], "expires_at": "2000-01-01T00:00:00Z"},
}
VALUES = {"{login}": urllib.parse.quote(NOBODY), "{id}": "0" * 31 + "1", "{entry}": "0", "{report}": "accounts", "{keyword}": "session.idle",
          "{name}": "no-such-name", "{group}": "1", "{token}": "1"}


def harmless(deployment, token, row, tenant="acme"):
    path = row["path"]
    for key, value in VALUES.items():
        path = path.replace(key, value)
    return ask(deployment, token, row["method"], path, HARMLESS.get(row["name"]), tenant, {"If-Match": "*"})


# ---- who may ----

def test_every_endpoint_against_every_right(deployment):
    """A token of each permission alone, against every row: 403 for all that needs another one, and never for its own."""
    matrix = json.loads(deployment.masugata("role", "matrix", "--json").stdout)
    keywords = [row["permission"] for row in matrix["permissions"] if {"administrator", "approver"} & set(row["roles"])]
    assert {row["needs"] for row in ENDPOINTS} - {""} <= set(keywords)
    wrong = []
    for keyword in keywords:
        account = "second" if keyword == "users.review" else "root"
        made = issue(deployment, keyword, account)
        for row, answer in zip(ENDPOINTS, POOL.map(lambda row: harmless(deployment, made["secret"], row), ENDPOINTS)):
            allowed = row["needs"] in ("", keyword)
            refused = answer.status == 403 and answer.json["code"] == "not_allowed"
            # Whoever sets up identity providers must hold all of an administrator's rights besides.
            if allowed and keyword == "providers.change":
                continue
            if refused == allowed or answer.status >= 500 or answer.status in (400, 401, 405, 415):
                wrong.append((keyword, row["name"], answer.status, answer.text[:120]))
        deployment.masugata("token", "revoke", str(made["token"]), "--tenant", "acme")
    assert not wrong


def search(deployment, event, tenant="acme"):
    lines = deployment.masugata("audit", "search", "--tenant", tenant, "--event", event, "--json").stdout.splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def test_refusals_and_acts_stand_in_the_log_with_the_token(deployment, token):
    refused = [row for row in search(deployment, "request_refused") if row["actor"]["user"]["type"] == "service"]
    assert len(refused) == 50 and all(row["actor"]["user"]["name"] in ("root", "second") for row in refused)
    ask(deployment, token, "POST", at("user_disable", login="admin@acme.example"))
    ask(deployment, token, "POST", at("user_enable", login="admin@acme.example"))
    row = search(deployment, "user_enable")[0]
    assert row["actor"]["user"] == {"uid": row["actor"]["user"]["uid"], "name": "root", "type": "service"}
    assert "token:" in json.dumps(row)


@pytest.mark.parametrize("how", ["none", "another tenant's", "revoked", "expired", "disabled account", "roles taken away", "a cookie", "twice",
                                 "in the query", "one character off", "of the other origin"])
def test_no_endpoint_without_a_valid_token(deployment, token, how):
    """Every endpoint, with every kind of token that is not one."""
    made = issue(deployment, "users.read audit.read policy.read", "eye") if how not in ("none", "another tenant's", "of the other origin") else None
    wanted, code, tenant, headers, secret, query = 401, "token_not_valid", "acme", {}, made and made["secret"], ""
    if how == "none":
        code = "no_token"
    elif how == "another tenant's":
        secret = issue(deployment, ALL, "root", "globex")["secret"]
    elif how == "of the other origin":
        secret, tenant = issue(deployment, ALL)["secret"], "globex"
    elif how == "revoked":
        deployment.masugata("token", "revoke", str(made["token"]), "--tenant", "acme")
    elif how == "disabled account":
        deployment.masugata("user", "disable", "eye", "--tenant", "acme")
    elif how == "roles taken away":
        deployment.masugata("role", "give", "eye", "user", "--tenant", "acme")
        wanted, code = 403, "not_allowed"
    elif how == "expired":
        soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1)).isoformat()
        wanted_token = {"account": "eye", "label": "short", "permissions": ["users.read"], "expires_at": soon}
        secret = ask(deployment, token, "POST", "/api/v1/tokens", wanted_token).json["secret"]
        wait_until(lambda: ask(deployment, secret, "GET", "/api/v1/me").status == 401, 5)
    elif how == "a cookie":
        headers, secret, code = {"Cookie": f"__Host-masugata={secret}; token={secret}"}, None, "no_token"
    elif how == "twice":
        headers = {"Authorization": f"Bearer {secret}, Bearer {secret}"}
    elif how == "in the query":
        query, secret, code = f"?access_token={secret}", None, "no_token"
    elif how == "one character off":
        secret = secret[:20] + ("a" if secret[20] != "a" else "b") + secret[21:]
    wrong = []
    for row in ENDPOINTS:
        path = row["path"]
        for key, value in VALUES.items():
            path = path.replace(key, value)
        answer = ask(deployment, secret, row["method"], path + query, HARMLESS.get(row["name"]), tenant, {"If-Match": "*", **headers})
        if row["needs"] == "" and how == "roles taken away":
            continue
        if (answer.status, answer.json["code"]) != (wanted, code):
            wrong.append((row["name"], answer.status, answer.text[:100]))
    deployment.masugata("user", "enable", "eye", "--tenant", "acme")
    deployment.masugata("role", "give", "eye", "auditor", "--tenant", "acme")
    assert not wrong


def test_a_suspended_tenant_answers_nobody(deployment):
    secret = issue(deployment, "users.read", "root", "globex")["secret"]
    assert ask(deployment, secret, "GET", "/api/v1/users", tenant="globex").status == 200

    def status():
        headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json"}
        try:
            return kept.request(deployment, "id.globex.localhost", "GET", "/api/v1/users", headers, None).status
        except ssl.SSLError:
            return 0  # nginx serves the host no more, or not yet again
    deployment.masugata("tenant", "suspend", "globex")
    assert status() != 200
    deployment.masugata("tenant", "resume", "globex")
    wait_until(lambda: status() == 200, 30)


@pytest.mark.parametrize("keyword", ["allow.use", "allow.sign_in", "allow.administrators"])
def test_networks_hold_for_programs(deployment, token, keyword):
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input=f'{keyword} = "192.0.2.0/24"\n')
    refused = deployment.request(f"https://id.acme.localhost:{deployment.https_port}/api/v1/me", headers={"Authorization": f"Bearer {token}"})
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input="")
    assert refused.status == 403
    assert ask(deployment, token, "GET", "/api/v1/me").status == 200
    # The API does not let a program shut itself out either.
    answer = ask(deployment, token, "PUT", at("rule_set", keyword=keyword), {"value": "192.0.2.0/24"}, headers={"If-Match": "*"})
    assert (answer.status, answer.json["code"]) == (409, "locks_out")


def test_revocation_holds_for_the_next_request(deployment):
    made = issue(deployment, "users.read")
    assert ask(deployment, made["secret"], "GET", "/api/v1/users").status == 200
    deployment.masugata("token", "revoke", str(made["token"]), "--tenant", "acme")
    assert ask(deployment, made["secret"], "GET", "/api/v1/users").status == 401


def test_nobody_gets_more_than_they_hold(deployment, token):
    small = issue(deployment, "users.read users.change roles.grant tokens.change tokens.read")["secret"]
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
    wanted = {"account": "root", "label": "more", "permissions": ["policy.change"], "expires_at": later}
    answer = ask(deployment, small, "POST", "/api/v1/tokens", wanted)
    assert (answer.status, answer.json["code"]) == (403, "more_than_yours")
    answer = ask(deployment, small, "POST", "/api/v1/service-accounts", {"account": "puppet", "roles": ["administrator"]})
    assert (answer.status, answer.json["code"]) == (403, "more_than_yours")
    answer = ask(deployment, small, "POST", at("user_disable", login="admin@acme.example"))
    assert (answer.status, answer.json["code"]) == (403, "more_than_yours")
    assert ask(deployment, small, "POST", "/api/v1/tokens", wanted | {"permissions": ["users.read"]}).status == 201
    assert ask(deployment, token, "POST", "/api/v1/tokens", wanted | {"expires_at": "2099-01-01T00:00:00Z"}).status == 422


# ---- what it does ----

def test_users_from_beginning_to_end(deployment, token):
    made = ask(deployment, token, "POST", "/api/v1/users", {"login": "Rin@acme.example", "name": "Rin 林", "email": "rin@acme.example", "language": "ja"})
    assert made.status == 201 and made.headers["Location"] == "/api/v1/users/Rin%40acme.example"
    user = ask(deployment, token, "GET", made.headers["Location"]).json
    assert user["name"] == "Rin 林" and user["state"] == "invited" and user["roles"] == ["user"] and user["reviewed_at"] is None
    assert ask(deployment, token, "POST", "/api/v1/users", {"login": "rin@acme.example", "name": "x", "email": "x@acme.example"}).json["code"] == "taken"
    listed = ask(deployment, token, "GET", "/api/v1/users?search=ri").json
    assert [row["login"] for row in listed["items"]] == ["rin@acme.example"] and listed["next"] is None
    path = at("user_roles", login="rin@acme.example")
    roles = ask(deployment, token, "GET", path)
    assert roles.headers["ETag"]
    changed = ask(deployment, token, "PUT", path, {"roles": ["auditor", "user"]}, headers={"If-Match": roles.headers["ETag"]})
    assert changed.status == 200 and changed.json == {"ended": 0}
    assert ask(deployment, token, "PUT", path, {"roles": ["user"]}, headers={"If-Match": roles.headers["ETag"]}).status == 412
    assert ask(deployment, token, "PUT", path, {"roles": ["user"]}).status == 428
    assert ask(deployment, token, "PUT", path, {"roles": ["user"]}, headers={"If-Match": '"nonsense"'}).status == 412
    assert ask(deployment, token, "GET", path).json["roles"] == ["auditor", "user"]
    assert ask(deployment, token, "PUT", path, {"roles": ["user"]}, headers={"If-Match": changed.headers["ETag"]}).status == 200
    for action, status in (("invitation", 204), ("second-factor-reset", 200), ("sign-out", 200), ("disable", 200), ("enable", 204)):
        assert ask(deployment, token, "POST", f"/api/v1/users/rin%40acme.example/{action}").status == status, action
    assert ask(deployment, token, "GET", at("user", login=NOBODY)).status == 404
    assert ask(deployment, token, "POST", "/api/v1/users", {"login": "gone@acme.example", "name": "G", "email": "gone@acme.example"}).status == 201
    invited = {row["login"]: row for row in ask(deployment, token, "GET", "/api/v1/invitations").json["items"]}
    assert invited["gone@acme.example"]["invited_by"] == "root" and "root" not in invited
    assert ask(deployment, token, "DELETE", "/api/v1/invitations/gone%40acme.example").status == 204
    assert ask(deployment, token, "DELETE", "/api/v1/invitations/root").status == 404
    assert ask(deployment, token, "GET", at("user", login="gone@acme.example")).status == 404


def test_pages_follow_the_cursor(deployment, token):
    def add(i):
        return ask(deployment, token, "POST", "/api/v1/users", {"login": f"page{i:03}@acme.example", "name": "P", "email": f"p{i}@acme.example"})
    assert {answer.status for answer in POOL.map(add, range(105))} == {201}
    first = ask(deployment, token, "GET", "/api/v1/users?search=page").json
    second = ask(deployment, token, "GET", f"/api/v1/users?search=page&cursor={first['next']}").json
    assert len(first["items"]) == 100 and len(second["items"]) == 5 and second["next"] is None
    assert [row["login"] for row in first["items"] + second["items"]] == [f"page{i:03}@acme.example" for i in range(105)]
    assert ask(deployment, token, "GET", "/api/v1/users?cursor=***").status == 422


def test_sessions_are_listed_and_end(deployment, token):
    from browser import Browser
    browser = Browser(deployment)
    origin = f"https://id.acme.localhost:{deployment.https_port}"
    browser.get(origin + "/sign-in")
    browser.submit({"login": "admin@acme.example", "password": PASSWORD}, action="/sign-in")
    assert browser.get(origin + "/account").status == 200
    row = next(row for row in ask(deployment, token, "GET", "/api/v1/sessions").json["items"] if row["login"] == "admin@acme.example")
    assert ask(deployment, token, "DELETE", at("session_end", id=row["id"])).status == 204
    assert ask(deployment, token, "DELETE", at("session_end", id=row["id"])).status == 404
    assert "/sign-in" in browser.send(origin + "/account").headers["Location"]


def test_rules_change_and_nobody_loses_a_change(deployment, token):
    path = at("rule", keyword="session.idle")
    seen = ask(deployment, token, "GET", path)
    assert seen.json["keyword"] == "session.idle"
    assert ask(deployment, token, "PUT", path, {"value": "20m"}, headers={"If-Match": seen.headers["ETag"]}).status == 204
    lost = ask(deployment, token, "PUT", path, {"value": "30m"}, headers={"If-Match": seen.headers["ETag"]})
    assert (lost.status, lost.json["code"]) == (412, "changed_meanwhile")
    now = ask(deployment, token, "GET", path)
    assert now.json["value"] == "20m"
    wrong = ask(deployment, token, "PUT", path, {"value": "soon"}, headers={"If-Match": now.headers["ETag"]})
    assert wrong.status == 422 and "session.idle" in wrong.json["detail"]
    assert ask(deployment, token, "PUT", path, {"value": "0s"}, headers={"If-Match": now.headers["ETag"]}).status == 204
    assert ask(deployment, token, "PUT", at("rule", keyword="content_security_policy"), {"value": "x"}, headers={"If-Match": "*"}).status == 404
    assert len(ask(deployment, token, "GET", "/api/v1/policy").json["items"]) > 10
    assert search(deployment, "policy_change")[0]["actor"]["user"]["type"] == "service"


def test_roles_of_the_tenants_own(deployment, token):
    made = ask(deployment, token, "POST", "/api/v1/roles", {"name": "helpdesk", "label": "ヘルプデスク", "permissions": ["users.read", "users.change"]})
    assert made.status == 201
    assert ask(deployment, token, "POST", "/api/v1/roles", {"name": "helpdesk", "permissions": []}).json["code"] == "taken"
    seen = ask(deployment, token, "GET", made.headers["Location"])
    assert seen.json["permissions"] == ["users.read", "users.change"] and seen.json["label"] == "ヘルプデスク"
    tag = {"If-Match": seen.headers["ETag"]}
    assert ask(deployment, token, "PUT", "/api/v1/roles/helpdesk", {"permissions": ["users.read"]}, headers=tag).status == 204
    assert ask(deployment, token, "PUT", "/api/v1/roles/helpdesk", {"permissions": []}, headers=tag).status == 412
    assert ask(deployment, token, "PUT", "/api/v1/roles/another", {"permissions": []}, headers={"If-Match": "*"}).status == 404
    assert ask(deployment, token, "DELETE", "/api/v1/roles/helpdesk").status == 204
    assert ask(deployment, token, "DELETE", "/api/v1/roles/helpdesk").status == 404


def test_groups_and_their_members(deployment, token):
    made = ask(deployment, token, "POST", "/api/v1/groups", {"name": "監査 / Audit", "roles": ["auditor"]})
    assert made.status == 201, made.text
    place = made.headers["Location"]
    assert place == f"/api/v1/groups/{made.json['id']}" and ask(deployment, token, "GET", "/api/v1/groups/king").status == 404
    assert ask(deployment, token, "POST", "/api/v1/groups", {"name": "監査 / AUDIT"}).json["code"] == "taken"
    foreign = issue(deployment, ALL, "root", "globex")["secret"]
    assert ask(deployment, foreign, "GET", place, tenant="globex").status == 404
    login = "grouped@acme.example"
    ask(deployment, token, "POST", "/api/v1/users", {"login": login, "name": "Grouped", "email": login})
    for _ in range(2):
        assert ask(deployment, token, "POST", f"{place}/members/{urllib.parse.quote(login)}").status == 204
    assert [row["login"] for row in ask(deployment, token, "GET", f"{place}/members").json["items"]] == [login]
    assert ask(deployment, token, "GET", at("user_roles", login=login)).json["roles"] == ["user", "auditor"]
    seen = ask(deployment, token, "GET", place)
    assert seen.json["members"] == 1 and seen.json["roles"] == ["auditor"] and seen.json["directory"] is False
    tag = {"If-Match": seen.headers["ETag"]}
    assert ask(deployment, token, "PUT", f"{place}/roles", {"roles": []}, headers=tag).status == 204
    assert ask(deployment, token, "PUT", f"{place}/roles", {"roles": ["auditor"]}, headers=tag).status == 412
    assert ask(deployment, token, "GET", at("user_roles", login=login)).json["roles"] == ["user"]
    moved = ask(deployment, token, "POST", f"{place}/rename", {"to": "Auditors"})
    assert moved.status == 204 and ask(deployment, token, "GET", place).json["name"] == "Auditors"
    assert [row["name"] for row in ask(deployment, token, "GET", "/api/v1/groups?search=audit").json["items"]] == ["Auditors"]
    assert ask(deployment, token, "DELETE", f"{place}/members/{urllib.parse.quote(login)}").status == 204
    assert ask(deployment, token, "GET", f"{place}/members").json["items"] == []
    assert ask(deployment, token, "PUT", f"{place}/roles", {"roles": ["king"]}, headers={"If-Match": "*"}).status == 422
    assert ask(deployment, token, "DELETE", place).status == 204
    assert ask(deployment, token, "GET", place).status == 404


def test_metadata_becomes_settings(deployment, token):
    peer = SamlProvider()
    document, issuer = peer.metadata() + "<!-- " + "x" * 20000 + " -->", peer.issuer
    found = ask(deployment, token, "POST", "/api/v1/identity-provider-metadata", {"document": document})
    assert found.status == 200 and found.json["refusal"] == 0, found.text
    assert found.json["settings"]["issuer"] == issuer
    made = ask(deployment, token, "POST", "/api/v1/identity-providers", {"name": "saml", "settings": found.json["settings"]})
    assert made.status == 201, made.text
    key = "/api/v1/identity-providers/saml/key"
    no = ask(deployment, token, "POST", key, {"step": "use"})
    assert no.status == 422 and no.json["detail"] == "there is no new key"
    assert ask(deployment, token, "POST", key, {"step": "make"}).status == 204
    assert ask(deployment, token, "POST", key, {"step": "use", "at": "2099-01-01T00:00:00Z"}).status == 422
    assert ask(deployment, token, "POST", key, {"step": "use"}).status == 204
    seen = ask(deployment, token, "GET", "/api/v1/identity-providers/saml").json
    assert seen["key_rolling"] is True and seen["key_switched"] is True and seen["key_ends_at"].startswith("20")
    assert ask(deployment, token, "POST", key, {"step": "finish"}).status == 204
    assert ask(deployment, token, "DELETE", "/api/v1/identity-providers/saml").status == 200
    wrong = ask(deployment, token, "POST", "/api/v1/identity-provider-metadata", {"document": "<html/>"}).json
    assert wrong["refusal"] != 0 and wrong["settings"] == {}
    inside = ask(deployment, token, "POST", "/api/v1/identity-provider-metadata", {"url": "https://127.0.0.1/metadata"}).json
    assert inside["refusal"] != 0


def test_identity_providers(deployment, token):
    settings = {"issuer": "https://idp.acme.example", "client.id": "masugata", "client.authentication": "secret-basic", "domains": "acme.example"}
    made = ask(deployment, token, "POST", "/api/v1/identity-providers", {"name": "corp", "settings": settings, "secret": "s3cret-of-the-client"})
    assert made.status == 201, made.text
    seen = ask(deployment, token, "GET", made.headers["Location"])
    assert seen.json["settings"]["issuer"] == settings["issuer"] and seen.json["with_secret"] is True and "s3cret" not in seen.text
    assert seen.json["enabled"] is False and any("/federation/callback/corp" in line for line in seen.json["addresses"])
    tag = {"If-Match": seen.headers["ETag"]}
    assert ask(deployment, token, "PUT", "/api/v1/identity-providers/corp", {"settings": settings | {"label": "Corp"}}, headers=tag).status == 204
    assert ask(deployment, token, "PUT", "/api/v1/identity-providers/corp", {"settings": settings}, headers=tag).status == 412
    assert ask(deployment, token, "POST", "/api/v1/identity-providers/corp/enable").status == 204
    assert [row["label"] for row in ask(deployment, token, "GET", "/api/v1/identity-providers").json["items"]] == ["Corp"]
    assert ask(deployment, token, "POST", "/api/v1/identity-providers/corp/disable").json == {"ended": 0}
    assert ask(deployment, token, "GET", "/api/v1/identity-providers/corp/attempts").json["items"] == []
    assert ask(deployment, token, "POST", "/api/v1/identity-providers", {"name": "x", "settings": {"king": "yes"}}).status == 422
    assert ask(deployment, token, "DELETE", "/api/v1/identity-providers/corp").status == 200
    assert ask(deployment, token, "GET", "/api/v1/identity-providers/corp").status == 404


def test_the_log_its_export_and_its_proofs(deployment, token):
    found = ask(deployment, token, "GET", "/api/v1/audit?words=rule").json
    assert "items" in found and ask(deployment, token, "GET", "/api/v1/sign-ins").status == 200
    refused = ask(deployment, token, "GET", "/api/v1/audit?outcome=refused").json["items"]
    assert {row["outcome"] for row in refused} == {"refused"} and ask(deployment, token, "GET", "/api/v1/audit?outcome=king").status == 422
    page = ask(deployment, token, "GET", "/api/v1/audit").json
    assert len(page["items"]) == 100 and page["next"]
    following = ask(deployment, token, "GET", f"/api/v1/audit?cursor={page['next']}").json
    assert following["items"][0]["entry"] < page["items"][-1]["entry"]
    events = ask(deployment, token, "GET", "/api/v1/audit/events?event=token_issue").json
    assert events["items"] and {row["event"]["metadata"]["event_code"] for row in events["items"]} == {"token_issue"}
    assert "globex" not in json.dumps(events)
    proof = ask(deployment, token, "GET", at("audit_proof", entry=str(events["items"][0]["entry"]))).json
    assert "tlog-proof" in proof["proof"] and proof["leaf"] and proof["key"]
    foreign = search(deployment, "token_issue", "globex")
    assert foreign
    assert ask(deployment, token, "GET", "/api/v1/audit/events?event=king").status == 422
    for report in ("accounts", "users", "privileges", "vendor"):
        assert ask(deployment, token, "GET", f"/api/v1/reports/{report}").json["items"], report
    assert ask(deployment, token, "GET", "/api/v1/reports/king").status == 404
    assert "items" in ask(deployment, token, "GET", "/api/v1/reports/unused-permissions?days=0").json
    assert search(deployment, "audit_export")[0]["actor"]["user"]["type"] == "service"


def test_tokens_make_tokens_shown_once(deployment, token):
    assert ask(deployment, token, "POST", "/api/v1/service-accounts", {"account": "robot", "roles": ["auditor"]}).status == 201
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).isoformat()
    wanted = {"account": "robot", "label": "nightly", "permissions": ["audit.read"], "expires_at": later}
    key = {"Idempotency-Key": "robot-1"}
    made = ask(deployment, token, "POST", "/api/v1/tokens", wanted, headers=key)
    again = ask(deployment, token, "POST", "/api/v1/tokens", wanted, headers=key)
    assert made.status == again.status == 201 and again.json == {"token": made.json["token"], "secret": None}
    assert ask(deployment, made.json["secret"], "GET", "/api/v1/me").json == {"account": "robot", "token": made.json["token"], "permissions": ["audit.read"]}
    row = ask(deployment, token, "GET", "/api/v1/tokens?account=robot").json["items"][0]
    assert row["last_used_at"] and row["last_address"] == "127.0.0.1" and "secret" not in row
    assert ask(deployment, token, "DELETE", at("token_revoke", token=str(made.json["token"]))).status == 204
    assert ask(deployment, made.json["secret"], "GET", "/api/v1/me").status == 401
    assert [row["tokens"] for row in ask(deployment, token, "GET", "/api/v1/service-accounts").json["items"] if row["account"] == "robot"] == [0]


# ---- how it is asked ----

def test_the_same_key_does_it_once(deployment, token):
    body = {"login": "once@acme.example", "name": "Once", "email": "once@acme.example"}
    first = ask(deployment, token, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "k-1"})
    again = ask(deployment, token, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "k-1"})
    assert first.status == again.status == 201 and first.json == again.json and again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true" and not first.headers["Idempotency-Replayed"]
    other = ask(deployment, token, "POST", "/api/v1/users", body | {"name": "Two"}, headers={"Idempotency-Key": "k-1"})
    assert (other.status, other.json["code"]) == (422, "key_used")
    assert len([row for row in search(deployment, "user_create") if "once@acme.example" in json.dumps(row)]) == 1
    # A refusal by the rules is repeated too, another token has keys of its own.
    assert ask(deployment, token, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "k-2"}).json["code"] == "taken"
    assert ask(deployment, token, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "k-2"}).headers["Idempotency-Replayed"] == "true"
    second = issue(deployment, "users.change")["secret"]
    assert ask(deployment, second, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "k-1"}).json["code"] == "taken"
    assert ask(deployment, token, "POST", "/api/v1/users", body, headers={"Idempotency-Key": "x y"}).json["code"] == "wrong_key"


def test_of_many_at_once_with_one_key_one_acts(deployment, token):
    answers = []

    def post(i):
        answers.append(ask(deployment, token, "POST", "/api/v1/users", {"login": "race@acme.example", "name": "R", "email": "race@acme.example"},
                           headers={"Idempotency-Key": "race"}))
    threads = [threading.Thread(target=post, args=(i,)) for i in range(12)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert {answer.status for answer in answers} <= {201, 409} and sum(answer.status == 201 and not answer.headers["Idempotency-Replayed"] for answer in answers) == 1
    assert len([row for row in search(deployment, "user_create") if "race@acme.example" in json.dumps(row)]) == 1


def test_of_many_changes_at_once_one_wins(deployment, token):
    path = at("rule", keyword="password.history")
    tag = ask(deployment, token, "GET", path).headers["ETag"]
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(ask(deployment, token, "PUT", path, {"value": str(i)}, headers={"If-Match": tag}).status))
               for i in range(1, 9)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(answers) == [204] + [412] * 7
    assert ask(deployment, token, "PUT", path, {"value": "0"}, headers={"If-Match": "*"}).status == 204


@pytest.mark.parametrize("body,status,code,member", [
    ('{"login":"a","name":"b","email":"c","admin":true}', 422, "unknown_member", "admin"),
    ('{"login":"a","name":"b"}', 422, "missing_member", "email"),
    ('{"login":1,"name":"b","email":"c"}', 422, "wrong_member", "login"),
    ('{"login":null,"name":"b","email":"c"}', 422, "wrong_member", "login"),
    ('{"login":"a","name":"b","email":"c","roles":"user"}', 422, "wrong_member", "roles"),
    ('{"login":"a","name":"b","email":"c","roles":["a b"]}', 422, "wrong_member", "roles"),
    ('{"login":"a","name":"b","email":"c","roles":["a","a"]}', 422, "wrong_member", "roles"),
    ('{"login":"a\\u0000b","name":"b","email":"c"}', 400, "not_understood", None),
    ('{"login":"a\\u0001b","name":"b","email":"c"}', 422, "wrong_member", "login"),
    ('{"login":"' + "a" * 300 + '","name":"b","email":"c"}', 422, "wrong_member", "login"),
    ('{"login":"a","login":"b","name":"b","email":"c"}', 400, "not_understood", None),
    ("[" * 5000, 400, "not_understood", None), ("[]", 400, "not_understood", None), ("", 400, "not_understood", None),
    ('{"login":"a"', 400, "not_understood", None), ("{} {}", 400, "not_understood", None), ('{"login":"\xff"}'.encode("latin-1"), 400, "not_understood", None)])
def test_json_is_read_strictly(deployment, token, body, status, code, member):
    answer = ask(deployment, token, "POST", "/api/v1/users", body)
    assert (answer.status, answer.json["code"], answer.json.get("member")) == (status, code, member)


def test_what_is_not_for_here(deployment, token):
    assert ask(deployment, token, "GET", "/api/v1/users?tenant=globex").json["member"] == "tenant"
    assert ask(deployment, token, "GET", "/api/v1/nothing").status == 404
    assert ask(deployment, token, "PATCH", "/api/v1/users").headers["Allow"] == "GET, POST"
    assert ask(deployment, token, "POST", "/api/v1/users", "login=a", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 415
    assert ask(deployment, token, "POST", "/api/v1/users", " " * 70000).status == 413
    assert ask(deployment, token, "POST", at("user_enable", login=NOBODY), {"x": 1}).status == 400
    # Neither cookies nor other sites' pages come through, and no other origin is told that it may.
    answer = ask(deployment, token, "GET", "/api/v1/me", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert ask(deployment, None, "POST", "/api/v1/users", {}, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}).status == 403
    assert "Set-Cookie" not in answer.headers and answer.headers["Cache-Control"] == "no-store"


def test_problems_speak_two_languages(deployment, token):
    english = ask(deployment, token, "GET", at("user", login=NOBODY))
    japanese = ask(deployment, token, "GET", at("user", login=NOBODY), language="ja")
    assert english.headers["Content-Type"] == "application/problem+json"
    assert english.json["title"] == "There is no such entry." and japanese.json["title"] == "該当するものがありません。"
    assert english.json["code"] == japanese.json["code"] == "not_known" and japanese.headers["Content-Language"] == "ja"
    document = ask(deployment, None, "GET", "/api/v1/openapi.json").json
    assert english.json["type"] == "/api/v1/openapi.json#/x-problems/not_known" and "not_known" in document["x-problems"]


def test_the_rate_is_told_and_holds(deployment):
    secret = issue(deployment, "users.read")["secret"]
    first = ask(deployment, secret, "GET", "/api/v1/me")
    assert first.headers["RateLimit-Policy"] == f'"token";q={RATE * 10};w=10' and first.headers["RateLimit"].startswith(f'"token";r={RATE * 10 - 1};t=')
    statuses, lock = [], threading.Lock()

    def many():
        connection = _Pinned("id.acme.localhost", deployment.https_port, context=deployment.context(), timeout=20)
        for _ in range(90):
            connection.request("GET", "/api/v1/me", headers={"Authorization": f"Bearer {secret}"})
            answer = connection.getresponse()
            answer.read()
            with lock:
                statuses.append((answer.status, answer.headers["Retry-After"]))
    started = time.monotonic()
    threads = [threading.Thread(target=many) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    seconds = time.monotonic() - started
    granted = sum(status == 200 for status, _ in statuses)
    assert RATE * 10 - 1 <= granted <= RATE * (10 + seconds + 1)
    if granted < len(statuses):
        assert {after for status, after in statuses if status == 429} == {"1"}


def test_the_description_is_the_table(deployment):
    for language in ("en", "ja"):
        served = ask(deployment, None, "GET", "/api/v1/openapi.json", language=language)
        assert served.status == 200
        printed = subprocess.run([PROGRAM, "api", "openapi", "--lang", language], capture_output=True, text=True, check=True).stdout
        assert served.json == json.loads(printed)
    described = {(method.upper(), served.json["servers"][0]["url"] + path) for path, rows in served.json["paths"].items() for method in rows}
    assert described == {(row["method"], row["path"]) for row in ENDPOINTS}


@pytest.mark.skipif(not (ROOT / "node_modules/@redocly/cli").exists(), reason="npm ci was not run")
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_description_passes_the_linter(language):
    done = subprocess.run(["node", "node_modules/@redocly/cli/bin/cli.js", "lint", "--config", "tests/redocly.yaml", f"docs/openapi.{language}.json"],
                          cwd=ROOT, capture_output=True, text=True, env=os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"})
    assert done.returncode == 0, done.stdout + done.stderr


# ---- the same in the console ----

def test_administrators_issue_tokens_in_the_console(deployment):
    import re
    from browser import Browser
    browser = Browser(deployment)
    origin = f"https://id.acme.localhost:{deployment.https_port}"
    browser.get(origin + "/sign-in")
    browser.submit({"login": "admin@acme.example", "password": PASSWORD}, action="/sign-in")
    browser.get(origin + "/console/tokens")
    assert "Programs and tokens" in browser.page.text and "users.review" not in browser.page.text
    browser.submit({"new_account": "NOT A NAME", "new_name": "x", "new_role": "auditor"}, action="/console/tokens/account")
    assert browser.page.status == 422 and 'value="NOT A NAME"' in browser.page.text
    browser.submit({"new_account": "nightly.export", "new_name": "Nightly <b>", "new_role": "auditor"}, action="/console/tokens/account")
    assert "Nightly &lt;b&gt;" in browser.page.text and "is made" in browser.page.text
    browser.submit({"account": "nightly.export", "new_token": "export", "days": "30", "may_policy_change": "1"}, action="/console/tokens")
    assert browser.page.status == 422 and "more than the roles" in browser.page.text
    browser.submit({"account": "nightly.export", "new_token": "export", "days": "30", "may_audit_read": "1"}, action="/console/tokens")
    secret = re.search(r"mgk_[a-z2-7]{59}", browser.page.text).group(0)
    assert browser.page.headers["Cache-Control"] == "no-store"
    assert ask(deployment, secret, "GET", "/api/v1/me").json["permissions"] == ["audit.read"]
    page = browser.get(origin + "/console/tokens")
    assert secret not in page.text and secret[:8] + "…" in page.text
    number = next(row["token"] for row in deployment.json("token", "list", "--tenant", "acme", "--account", "nightly.export")["tokens"])
    browser.submit({"number": str(number)}, action="/console/tokens/revoke")
    assert "is revoked" in browser.page.text
    assert ask(deployment, secret, "GET", "/api/v1/me").status == 401
    # Of a service account's page: disabled like a user, and no mail is sent to one.
    assert browser.get(origin + "/console/user?login=nightly.export").status == 200
