"""SCIM 2.0 through the front door: what Okta and Entra ID send, each endpoint of RFC 7644, hostile input, and that a
deactivated user is out everywhere at once."""

import concurrent.futures
import http.server
import json
import threading
import time
import urllib.parse

import pytest

from browser import Browser
from harness import Deployment, _Pinned

PASSWORD = "correct horse battery staple"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"the application")

    def log_message(self, *unused):
        pass


def token_of(deployment, tenant, name, permissions="users.provision"):
    deployment.masugata("token", "account", name, "--tenant", tenant, "--roles", "administrator")
    added = deployment.json("token", "add", name, "--tenant", tenant, "--label", name, "--permissions", permissions)
    return next(value for value in added.values() if isinstance(value, str) and value.startswith("mgk_"))


@pytest.fixture(scope="module")
def deployment():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Deployment({"api.rate": 1000}) as made:
        for tenant in ("acme", "globex"):
            made.tenant_add(tenant, f"127.0.0.1:{server.server_address[1]}")
        made.masugata("user", "add", "boss@acme.example", "--tenant", "acme", "--roles", "administrator", "--email", "boss@acme.example",
                      "--password-stdin", input=PASSWORD)
        made.scim_token = token_of(made, "acme", "directory")
        made.other_token = token_of(made, "globex", "directory")
        made.reader_token = token_of(made, "acme", "reader", "users.read")
        yield made
    server.shutdown()


class Client:
    """A provisioning client: JSON in, JSON out."""

    def __init__(self, deployment, tenant="acme", token=None, language="en"):
        self.deployment, self.tenant, self.language = deployment, tenant, language
        self.token = deployment.scim_token if token is None else token

    def __call__(self, method, path, body=None, status=None, headers=None):
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        all_headers = {"Accept": "application/scim+json", "Accept-Language": self.language, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "none"}
        if self.token:
            all_headers["Authorization"] = f"Bearer {self.token}"
        if text is not None:
            all_headers["Content-Type"] = "application/scim+json"
        all_headers.update(headers or {})
        answer = self.deployment.request(f"https://id.{self.tenant}.localhost:{self.deployment.https_port}/scim/v2{path}", method,
                                         all_headers, text)
        answer.json = json.loads(answer.text) if answer.text.startswith("{") else None
        if status is not None:
            assert answer.status == status, (answer.status, answer.text)
        return answer

    def find(self, resource, text, **more):
        return self("GET", f"/{resource}?" + urllib.parse.urlencode({"filter": text, **more}), status=200).json

    def patch(self, path, *operations, status=200, headers=None):
        return self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, status, headers)


@pytest.fixture
def scim(deployment):
    return Client(deployment)


def user(scim, login, **more):
    return scim("POST", "/Users", {"schemas": [USER], "userName": login, **more}, 201).json


def problem(answer, status, kind=None):
    assert answer.status == status, (answer.status, answer.text)
    assert answer.headers["Content-Type"].startswith("application/scim+json")
    assert answer.json["status"] == str(status) and answer.json["detail"] and answer.json.get("scimType") == kind, answer.text


def events(deployment, name, tenant="acme"):
    lines = deployment.masugata("audit", "search", "--tenant", tenant, "--event", name, "--json").stdout.splitlines()
    return [json.loads(line) for line in lines if line.strip()]


# ---- what is offered ----

def test_what_is_offered_is_what_is_there(scim):
    config = scim("GET", "/ServiceProviderConfig", status=200).json
    assert config["patch"]["supported"] and config["filter"] == {"supported": True, "maxResults": 100}
    assert config["etag"]["supported"] and not config["bulk"]["supported"] and not config["changePassword"]["supported"]
    types = {row["id"]: row for row in scim("GET", "/ResourceTypes", status=200).json["Resources"]}
    assert types["User"]["endpoint"] == "/Users" and types["Group"]["schema"] == GROUP
    assert scim("GET", "/ResourceTypes/User", status=200).json == types["User"]
    schemas = {row["id"]: row for row in scim("GET", "/Schemas", status=200).json["Resources"]}
    assert scim("GET", f"/Schemas/{USER}", status=200).json == schemas[USER]
    names = {row["name"]: row for row in schemas[USER]["attributes"]}
    assert names["userName"]["required"] and names["userName"]["uniqueness"] == "server"
    assert {row["name"] for row in names["name"]["subAttributes"]} == {"formatted", "familyName", "givenName"}
    assert names["groups"]["mutability"] == "readOnly" and "id" not in names
    problem(scim("POST", "/Bulk", {}), 501)
    problem(scim("GET", "/Me"), 501)
    problem(scim("GET", "/Nothing"), 404)
    problem(scim("GET", "/Schemas/urn:none"), 404)
    problem(scim("DELETE", "/Users"), 405)
    problem(scim("POST", "/Users/1", {}), 405)


# ---- clients of the field, as their public documentation describes them ----

def test_okta(deployment, scim):
    # https://developer.okta.com/docs/api/openapi/okta-scim/guides/scim-20/: looks, makes, reads, replaces, deactivates.
    found = scim.find("Users", 'userName eq "Test.User@acme.example"', startIndex=1, count=100)
    assert found["totalResults"] == 0 and found["Resources"] == [] and found["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    body = {"schemas": [USER], "userName": "Test.User@acme.example", "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": True, "value": "test.user@acme.example", "type": "work"}], "displayName": "Test User", "locale": "en-US",
            "externalId": "00ujl29u0le5T6Aj10h7", "groups": [], "password": "1mz050nq", "active": True}
    made = scim("POST", "/Users", body, 201)
    number = made.json["id"]
    assert made.headers["Location"] == made.json["meta"]["location"] and made.headers["Location"].endswith(f"/scim/v2/Users/{number}")
    assert made.json["active"] and made.json["name"] == body["name"] and made.json["emails"] == [
        {"value": "test.user@acme.example", "type": "work", "primary": True}]
    assert "password" not in made.text and made.json["userName"] == "test.user@acme.example"
    assert scim("GET", f"/Users/{number}", status=200).json == made.json
    problem(scim("POST", "/Users", body), 409, "uniqueness")
    replaced = scim("PUT", f"/Users/{number}", {**body, "id": number, "name": {"givenName": "Another", "familyName": "User"},
                                                "meta": {"resourceType": "User"}}, 200).json
    assert replaced["name"]["givenName"] == "Another" and replaced["meta"]["version"] != made.json["meta"]["version"]
    gone = scim.patch(f"/Users/{number}", {"op": "replace", "value": {"active": False}}).json
    assert gone["active"] is False
    assert scim.find("Users", f'externalId eq "{body["externalId"]}" and active eq false')["totalResults"] == 1
    back = scim("PUT", f"/Users/{number}", {key: value for key, value in body.items() if key != "active"}, 200).json
    assert back["active"] is False, "nobody is let in by what was left out"
    assert scim.patch(f"/Users/{number}", {"op": "replace", "value": {"active": True}}).json["active"]
    # Group push.
    group = scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "Okta push", "members": []}, 201).json
    scim.patch(f"/Groups/{group['id']}", {"op": "replace", "value": {"id": group["id"], "displayName": "Okta pushed"}}, status=204)
    scim.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": number, "display": "test.user@acme.example"}]},
               status=204)
    now = scim("GET", f"/Groups/{group['id']}", status=200).json
    assert now["displayName"] == "Okta pushed" and now["members"] == [{"value": number, "display": "test.user@acme.example", "type": "User"}]
    assert [row["display"] for row in scim("GET", f"/Users/{number}", status=200).json["groups"]] == ["Okta pushed"]
    scim.patch(f"/Groups/{group['id']}", {"op": "remove", "path": f'members[value eq "{number}"]'}, status=204)
    assert "members" not in scim("GET", f"/Groups/{group['id']}", status=200).json
    scim("DELETE", f"/Groups/{group['id']}", status=204)
    problem(scim("GET", f"/Groups/{group['id']}"), 404)
    by = next(row for row in events(deployment, "user_create") if "user" in row["actor"])  # the probes make accounts, too
    assert by["actor"]["user"]["name"] == "directory", by


def test_entra(scim):
    # https://learn.microsoft.com/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups
    scim.find("Users", 'userName eq "non-existent@acme.example"')
    body = {"schemas": [USER, ENTERPRISE], "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", "userName": "Entra_1@acme.example",
            "active": True, "emails": [{"primary": True, "type": "work", "value": "entra_1@acme.example"}],
            "meta": {"resourceType": "User"}, "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
            "roles": [], "title": "x", ENTERPRISE: {"department": "d"}}
    number = scim("POST", "/Users", body, 201).json["id"]
    assert scim.find("Users", 'externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"')["Resources"][0]["id"] == number
    one = scim.patch(f"/Users/{number}",
                     {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updated@acme.example"},
                     {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
                     {"op": "Add", "path": "title", "value": "y"},
                     {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "e"},
                     {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "1"}).json
    assert one["emails"][0]["value"] == "updated@acme.example" and one["name"]["familyName"] == "updatedFamilyName"
    assert scim.patch(f"/Users/{number}", {"op": "Add", "value": {"displayName": "D", "name.givenName": "G", f"{ENTERPRISE}:manager": "1"}}
                      ).json["displayName"] == "D"
    assert scim.patch(f"/Users/{number}", {"op": "Replace", "path": "active", "value": "False"}).json["active"] is False
    assert scim.patch(f"/Users/{number}", {"op": "Replace", "path": "userName", "value": "renamed@acme.example"}).json["userName"] == \
        "renamed@acme.example"
    group = scim("POST", "/Groups", {"schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                                     "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "displayName": "Entra group",
                                     "meta": {"resourceType": "Group"}}, 201).json
    path = f"/Groups/{group['id']}"
    assert "members" not in scim("GET", path + "?excludedAttributes=members", status=200).json
    assert scim.find("Groups", 'displayName eq "entra GROUP"', excludedAttributes="members")["totalResults"] == 1
    scim.patch(path, {"op": "Replace", "path": "displayName", "value": "Entra renamed"}, status=204)
    scim.patch(path, {"op": "Add", "path": "members", "value": [{"$ref": None, "value": number}]}, status=204)
    assert scim.find("Groups", f'id eq "{group["id"]}" and members eq "{number}"')["totalResults"] == 1
    scim.patch(path, {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": number}]}, status=204)
    assert scim.find("Groups", f'id eq "{group["id"]}" and members eq "{number}"')["totalResults"] == 0
    scim("DELETE", path, status=204)
    scim("DELETE", f"/Users/{number}", status=204)
    problem(scim("GET", f"/Users/{number}"), 404)
    problem(scim.patch(f"/Users/{number}", {"op": "replace", "value": {"active": True}}, status=404), 404)
    problem(scim("DELETE", f"/Users/{number}"), 404)


# ---- lists ----

def make_many(deployment, count):
    """Users by the same requests, on a few connections that are kept."""
    def run(numbers):
        connection = _Pinned("id.acme.localhost", deployment.https_port, context=deployment.context(), timeout=30)
        for number in numbers:
            body = {"schemas": [USER], "userName": f"many{number:04d}@acme.example", "active": number % 2 == 0,
                    "name": {"familyName": f"Family{number % 10}"}}
            connection.request("POST", "/scim/v2/Users", json.dumps(body), {
                "Host": f"id.acme.localhost:{deployment.https_port}", "Authorization": f"Bearer {deployment.scim_token}",
                "Content-Type": "application/scim+json"})
            answer = connection.getresponse()
            assert answer.status == 201, answer.read()
            answer.read()
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(run, [range(first, count, 8) for first in range(8)]))


def test_a_thousand_users_page_by_page(deployment, scim):
    make_many(deployment, 1000)
    seen, start = [], 1
    while True:
        page = scim.find("Users", 'userName sw "many"', startIndex=start, count=100, attributes="userName")
        assert page["totalResults"] == 1000 and page["startIndex"] == start
        if not page["Resources"]:
            break
        seen += [row["userName"] for row in page["Resources"]]
        start += page["itemsPerPage"]
    assert sorted(seen) == [f"many{number:04d}@acme.example" for number in range(1000)]
    assert scim.find("Users", 'userName sw "many"', count=0)["totalResults"] == 1000
    assert scim.find("Users", 'userName sw "many"', count=5000)["itemsPerPage"] == 100
    last = scim.find("Users", 'userName sw "many"', sortBy="userName", sortOrder="descending", count=1)
    assert last["Resources"][0]["userName"] == "many0999@acme.example"
    for text, count in (('userName sw "MANY00" and active eq true', 50), ('userName sw "many" and not (active eq true)', 500),
                        ('name.familyName eq "family3"', 100), ('userName co "any000" or userName eq "many0999@acme.example"', 11),
                        ('userName ew "9@acme.example" and userName sw "many"', 100), ('emails pr and userName sw "many"', 0),
                        ('userName sw "many" and (userName lt "many0010" or userName ge "many0995")', 15),
                        ('externalId eq null and userName sw "many"', 1000), ('meta.created lt "2020-01-01T00:00:00Z"', 0),
                        ('userName sw "many" and groups[display eq "x"]', 0), ('userName sw "many" and preferredLanguage ne "ja"', 0)):
        assert scim.find("Users", text)["totalResults"] == count, text
    # All of them in one group, in four requests; the group shows them all.
    numbers = [row["id"] for start in range(1, 1000, 100)
               for row in scim.find("Users", 'userName sw "many"', startIndex=start, attributes="id")["Resources"]]
    group = scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "Everybody", "members": [{"value": one} for one in numbers[:250]]}, 201).json
    for start in range(250, 1000, 250):
        scim.patch(f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": one} for one in numbers[start:start + 250]]},
                   status=204)
    assert {row["value"] for row in scim("GET", f"/Groups/{group['id']}", status=200).json["members"]} == set(numbers)
    assert scim.find("Users", f'groups.value eq "{group["id"]}"')["totalResults"] == 1000
    scim("DELETE", f"/Groups/{group['id']}", status=204)
    search = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": 'userName eq "many0007@acme.example"',
              "attributes": ["name.familyName"], "count": 5}
    row = scim("POST", "/Users/.search", search, 200).json["Resources"][0]
    assert row == {"schemas": [USER], "id": row["id"], "name": {"familyName": "Family7"}}
    assert set(scim("GET", f"/Users/{row['id']}?excludedAttributes=emails,meta,name", status=200).json) == {
        "schemas", "id", "userName", "displayName", "preferredLanguage", "active"}


# ---- versions ----

def test_nobody_overwrites_what_they_have_not_seen(deployment, scim):
    made = scim("POST", "/Users", {"schemas": [USER], "userName": "etag@acme.example"}, 201)
    path, first = f"/Users/{made.json['id']}", made.headers["ETag"]
    assert made.json["meta"]["version"] == first
    assert scim("GET", path, headers={"If-None-Match": first}).status == 304
    second = scim.patch(path, {"op": "replace", "value": {"displayName": "x"}}, headers={"If-Match": first}).headers["ETag"]
    assert second != first
    for method, body in (("PUT", {"schemas": [USER], "userName": "etag@acme.example"}), ("DELETE", None),
                         ("PATCH", {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"displayName": "y"}}]})):
        problem(scim(method, path, body, headers={"If-Match": first}), 412)
        problem(scim(method, path, body, headers={"If-Match": "nonsense"}), 412)
    # What changes nothing makes no new version; what others change does.
    assert scim.patch(path, {"op": "replace", "value": {"displayName": "x"}}).headers["ETag"] == second
    deployment.masugata("user", "disable", "etag@acme.example", "--tenant", "acme")
    problem(scim.patch(path, {"op": "replace", "value": {"active": True}}, status=412, headers={"If-Match": second}), 412)
    scim("DELETE", path, status=204, headers={"If-Match": f'W/"1", {scim("GET", path).headers["ETag"]}'})
    group = scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "Versions"}, 201)
    problem(scim("DELETE", f"/Groups/{group.json['id']}", headers={"If-Match": 'W/"99"'}), 412)
    scim("DELETE", f"/Groups/{group.json['id']}", status=204, headers={"If-Match": group.headers["ETag"]})


# ---- what ends, ends at once ----

def enter(deployment, login):
    browser = Browser(deployment)
    browser.get(f"https://id.acme.localhost:{deployment.https_port}/sign-in")
    browser.submit({"login": login, "password": PASSWORD}, action="/sign-in")
    browser.get(f"https://acme.localhost:{deployment.https_port}/")
    assert "the application" in browser.page.text, browser.page.text[-1500:]
    return browser


def in_app(deployment, browser):
    return browser.send(f"https://acme.localhost:{deployment.https_port}/").status == 200


@pytest.mark.parametrize("way", ["patch", "put", "delete"])
def test_whoever_is_deactivated_is_out_at_the_application(deployment, scim, way):
    login = f"leaver-{way}@acme.example"
    deployment.masugata("user", "add", login, "--tenant", "acme", "--roles", "user", "--email", login, "--password-stdin", input=PASSWORD)
    browser = enter(deployment, login)
    number = scim.find("Users", f'userName eq "{login}"')["Resources"][0]["id"]
    if way == "patch":
        scim.patch(f"/Users/{number}", {"op": "Replace", "path": "active", "value": "False"})
    elif way == "put":
        scim("PUT", f"/Users/{number}", {"schemas": [USER], "userName": login, "active": False, "emails": [{"value": login}]}, 200)
    else:
        scim("DELETE", f"/Users/{number}", status=204)
    answered = time.monotonic()
    while in_app(deployment, browser):
        assert time.monotonic() - answered < 1
    # The revocation's budget is one second; the answer comes when it has happened.
    assert time.monotonic() - answered < 0.5
    browser.get(f"https://id.acme.localhost:{deployment.https_port}/sign-in")
    browser.submit({"login": login, "password": PASSWORD}, action="/sign-in")
    assert not in_app(deployment, browser)
    assert login not in deployment.masugata("session", "list", "--tenant", "acme", "--json").stdout
    name = "user_delete" if way == "delete" else "user_disable"
    assert any(login in json.dumps(row) for row in events(deployment, name))


def test_an_administrator_remains_and_is_not_taken_over(deployment, scim):
    boss = scim.find("Users", 'userName eq "boss@acme.example"')["Resources"][0]["id"]
    problem(scim.patch(f"/Users/{boss}", {"op": "replace", "value": {"active": False}}, status=403), 403)
    problem(scim("DELETE", f"/Users/{boss}"), 403)
    # A token that may only provision does not get the administrator's password mails.
    for operation in ({"op": "replace", "path": "emails", "value": [{"value": "thief@acme.example"}]},
                      {"op": "replace", "path": "userName", "value": "thief@acme.example"}):
        problem(scim.patch(f"/Users/{boss}", operation, status=403), 403)
    assert scim.patch(f"/Users/{boss}", {"op": "replace", "value": {"displayName": "The boss"}}).json["displayName"] == "The boss"


def test_of_two_administrators_one_stays(deployment, scim):
    """Both are disabled at the same moment, beside the one there is: one at least remains able to sign in."""
    boss = scim.find("Users", 'userName eq "boss@acme.example"')["Resources"][0]["id"]
    deployment.masugata("user", "add", "second@acme.example", "--tenant", "acme", "--roles", "administrator", "--password-stdin", input=PASSWORD)
    second = scim.find("Users", 'userName eq "second@acme.example"')["Resources"][0]["id"]
    for _ in range(5):
        both = [boss, second]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = sorted(pool.map(lambda one: scim("PATCH", f"/Users/{one}", {"schemas": [PATCH], "Operations": [
                {"op": "replace", "path": "active", "value": False}]}).status, both))
        assert results == [200, 403]
        for login in ("boss@acme.example", "second@acme.example"):
            deployment.masugata("user", "enable", login, "--tenant", "acme")
    scim("DELETE", f"/Users/{second}", status=204)


# ---- groups and roles ----

def roles_of(deployment, login):
    return set(deployment.json("user", "show", login, "--tenant", "acme")["users"][0]["roles"].split())


def test_groups_give_roles_and_take_them(deployment, scim):
    login = "grouped@acme.example"
    deployment.masugata("user", "add", login, "--tenant", "acme", "--roles", "user", "--email", login, "--password-stdin", input=PASSWORD)
    number = scim.find("Users", f'userName eq "{login}"')["Resources"][0]["id"]
    group = scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "Audit team", "members": [{"value": number}]}, 201).json["id"]
    assert roles_of(deployment, login) == {"user"}, "a group gives nothing that no administrator gave it"
    browser = enter(deployment, login)
    deployment.masugata("group", "set", "audit team", "--tenant", "acme", "--roles", "auditor")
    assert roles_of(deployment, login) == {"user", "auditor"} and not in_app(deployment, browser)
    browser = enter(deployment, login)
    scim.patch(f"/Groups/{group}", {"op": "Remove", "path": "members", "value": [{"value": number}]}, status=204)
    assert roles_of(deployment, login) == {"user"} and not in_app(deployment, browser)
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": number}]}, status=204)
    assert roles_of(deployment, login) == {"user", "auditor"}
    assert deployment.json("group", "members", "Audit team", "--tenant", "acme")["members"][0]["login"] == login
    assert deployment.json("group", "list", "--tenant", "acme")["groups"][0]["roles"] == "auditor"
    scim("DELETE", f"/Groups/{group}", status=204)
    assert roles_of(deployment, login) == {"user"}
    changed = events(deployment, "user_change")[0]
    assert changed["unmapped"]["details"]["before"] == "user auditor" and changed["unmapped"]["details"]["after"] == "user"
    # By hand, and the last administrator does not lose the role by a group.
    deployment.masugata("group", "set", "By hand", "--tenant", "acme", "--roles", "administrator")
    deployment.masugata("group", "join", "By hand", login, "--tenant", "acme")
    assert "administrator" in roles_of(deployment, login)
    deployment.masugata("group", "leave", "By hand", login, "--tenant", "acme")
    assert roles_of(deployment, login) == {"user"}
    deployment.masugata("group", "join", "By hand", "boss@acme.example", "--tenant", "acme")
    assert deployment.masugata("group", "remove", "By hand", "--tenant", "acme", check=False).returncode == 1
    assert roles_of(deployment, "boss@acme.example") == {"administrator"}
    assert deployment.masugata("group", "set", "Wrong", "--tenant", "acme", "--roles", "king", check=False).returncode == 2


def test_what_the_directory_rules_is_changed_there(deployment, scim):
    """Its groups' names, members and ends are the directory's as long as a token of it is there; the roles never are."""
    group = scim("POST", "/Groups", {"schemas": [GROUP], "displayName": "Ruled"}, 201).json["id"]
    scim.patch(f"/Groups/{group}", {"op": "replace", "path": "displayName", "value": "Ruled there"}, status=204)
    words = [("join", "Ruled there", "boss@acme.example"), ("leave", "Ruled there", "boss@acme.example"), ("rename", "Ruled there", "Mine"),
             ("remove", "Ruled there")]
    for word in words:
        refused = deployment.masugata("group", *word, "--tenant", "acme", "--lang", "en", check=False)
        assert refused.returncode == 1 and "directory rules" in refused.stderr, word
    deployment.masugata("group", "set", "Ruled there", "--tenant", "acme", "--roles", "auditor")
    browser = enter(deployment, "boss@acme.example")
    page = browser.get(f"https://id.acme.localhost:{deployment.https_port}/console/group?name=Ruled+there")
    assert page.status == 200 and "Your directory rules this group" in page.text
    assert "/console/group/name" not in page.text and "/console/group/member" not in page.text and "/console/group/roles" in page.text
    # A group of the console's that the directory takes over is the directory's from then on.
    deployment.masugata("group", "set", "Adopted", "--tenant", "acme", "--roles", "")
    adopted = scim.find("Groups", 'displayName eq "Adopted"')["Resources"][0]["id"]
    assert deployment.masugata("group", "rename", "Adopted", "Adopted by hand", "--tenant", "acme").returncode == 0
    scim.patch(f"/Groups/{adopted}", {"op": "replace", "path": "displayName", "value": "Adopted"}, status=204)
    assert deployment.masugata("group", "remove", "Adopted", "--tenant", "acme", check=False).returncode == 1
    for number in (group, adopted):
        scim("DELETE", f"/Groups/{number}", status=204)


# ---- hostile ----

def test_tokens_open_what_they_are_for(deployment, scim):
    for token in ("", "mgk_nonsense", deployment.other_token, deployment.scim_token[:-1] + ("a" if deployment.scim_token[-1] != "a" else "b")):
        answer = Client(deployment, token=token)("GET", "/Users")
        problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    reader = Client(deployment, token=deployment.reader_token)
    for method, path, body in (("GET", "/Users", None), ("GET", "/Groups", None), ("POST", "/Users", {"schemas": [USER], "userName": "x"}),
                               ("DELETE", "/Groups/1", None), ("PATCH", "/Users/1", {"schemas": [PATCH], "Operations": [{"op": "add", "value": {}}]})):
        problem(reader(method, path, body), 403)
    # A person's session is none here, and nothing of another tenant is.
    browser = enter(deployment, "boss@acme.example")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies["id.acme.localhost"].items())
    problem(Client(deployment, token="")("GET", "/Users", headers={"Cookie": cookie}), 401)
    mine = user(scim, "mine@acme.example")["id"]
    stranger = Client(deployment, "globex", deployment.other_token)
    problem(stranger("GET", f"/Users/{mine}"), 404)
    problem(stranger("DELETE", f"/Users/{mine}"), 404)
    problem(stranger("POST", "/Groups", {"schemas": [GROUP], "displayName": "Theirs", "members": [{"value": mine}]}), 400, "invalidValue")
    assert stranger.find("Groups", "displayName pr")["totalResults"] == 0
    assert "mine@acme.example" not in stranger("GET", "/Users", status=200).text
    # Neither programs nor the probes' accounts are anybody's.
    assert scim.find("Users", 'userName eq "directory" or userName sw "masugata"')["totalResults"] == 0
    # At the application's host and the operators' there is no such place.
    answer = deployment.request(f"https://acme.localhost:{deployment.https_port}/scim/v2/Users",
                                headers={"Authorization": f"Bearer {deployment.scim_token}", "Sec-Fetch-Mode": "cors"})
    assert answer.status in (302, 303, 401) and "mine@acme.example" not in answer.text


def test_a_revoked_token_is_nothing(deployment):
    token = token_of(deployment, "acme", "short")
    client = Client(deployment, token=token)
    assert client("GET", "/Users?count=1").status == 200
    rows = deployment.json("token", "list", "--tenant", "acme", "--account", "short")["tokens"]
    deployment.masugata("token", "revoke", str(rows[0]["token"] if "token" in rows[0] else rows[0]["number"]), "--tenant", "acme")
    problem(client("GET", "/Users?count=1"), 401)


def test_what_makes_no_sense_is_refused_in_words(deployment, scim):
    one = user(scim, "victim@acme.example", displayName="V")["id"]
    path = f"/Users/{one}"
    deep = "(" * 2000 + "active eq true" + ")" * 2000
    for text in ("userName eq", deep[:2600], "title pr", 'userName eq "a" or ' * 100 + "active pr", "1=1", "userName eq \"x\"; DROP TABLE account"):
        problem(scim("GET", "/Users?" + urllib.parse.urlencode({"filter": text})), 400, "invalidFilter")
    for text in ('"; DELETE FROM account; --', "' OR '1'='1", "%_%", "\\"):
        assert scim.find("Users", "userName eq " + json.dumps(text))["totalResults"] == 0
        assert scim.find("Users", "displayName co " + json.dumps(text))["totalResults"] == 0
    assert scim.find("Users", 'displayName eq "V"')["totalResults"] == 1
    problem(scim("GET", "/Users?count=x"), 400, "invalidValue")
    problem(scim("GET", "/Users?filter=%ff"), 400, "invalidFilter")
    problem(scim("POST", "/Users", "{"), 400, "invalidSyntax")
    problem(scim("POST", "/Users", "[" * 60000), 400, "invalidSyntax")
    problem(scim("POST", "/Users", {"userName": "x"}), 400, "invalidSyntax")
    problem(scim("POST", "/Users", {"schemas": [USER]}), 400, "invalidValue")
    problem(scim("POST", "/Users", {"schemas": [USER], "userName": "two words"}), 400, "invalidValue")
    problem(scim("POST", "/Users", {"schemas": [USER], "userName": "masugata-probe"}), 400, "invalidValue")
    problem(scim("POST", "/Users", {"schemas": [USER], "userName": "y@acme.example", "emails": [{"value": "no address"}]}), 400, "invalidValue")
    problem(scim("POST", "/Users", "x=1", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)
    assert scim("POST", "/Users", "x" * 70000).status == 413
    for operation, kind in (({"op": "replace", "path": "nonsense", "value": 1}, "invalidPath"), ({"op": "remove"}, "noTarget"),
                            ({"op": "replace", "path": "id", "value": "1"}, "mutability"), ({"op": "remove", "path": "userName"}, "mutability"),
                            ({"op": "replace", "path": "active", "value": []}, "invalidValue"),
                            ({"op": "remove", "path": 'emails[value eq "x@y.example"]'}, "noTarget"), ({"op": "x"}, "invalidSyntax")):
        problem(scim.patch(path, operation, status=400), 400, kind)
    # Half of a request is none of it.
    problem(scim.patch(path, {"op": "replace", "value": {"displayName": "W"}}, {"op": "replace", "path": "nonsense", "value": 1}, status=400),
            400, "invalidPath")
    assert scim("GET", path, status=200).json["displayName"] == "V"
    assert "フィルター" in Client(deployment, language="ja")("GET", "/Users?filter=x").json["detail"]


def test_of_two_at_once_one_wins(scim):
    """The same new user from two threads: one is made, one is told."""
    results, barrier = [], threading.Barrier(6)

    def run():
        barrier.wait()
        results.append(scim("POST", "/Users", {"schemas": [USER], "userName": "race@acme.example"}).status)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [201] + [409] * 5
