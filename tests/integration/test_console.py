"""What a customer's administrators do in their console: identity providers, invitations, sign-ins with their reasons,
what the vendor did, reports as workbooks. Through the front door, without JavaScript."""

import concurrent.futures
import csv
import datetime
import email
import email.policy
import http.server
import io
import json
import os
import re
import signal
import subprocess
import threading
import urllib.parse
import xml.etree.ElementTree
import zipfile

import pytest
from aiosmtpd.controller import Controller

from browser import Browser
from harness import Deployment, free_port, wait_until
from identity_provider import Authority, IdentityProvider
from saml_provider import SamlKey, SamlProvider

PASSWORD = "correct horse battery staple"
ANOTHER = "another horse battery staple"
ADMINISTRATOR, AUDITOR = "administrator@acme.example", "auditor@acme.example"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *unused):
        pass


class Mails(list):
    async def handle_DATA(self, server, session, envelope):
        self.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 kept"

    def link(self, to, number=1):
        """The link of the last mail to somebody, once there are so many."""
        mine = wait_until(lambda: [mail for mail in self if to in mail["To"]][number - 1:], 30, what=f"mail to {to}")
        return re.search(r"https://\S+ticket=\S+", mine[-1].get_body(("plain",)).get_content()).group(0)


@pytest.fixture(scope="module")
def mails():
    kept = Mails()
    kept.controller = Controller(kept, hostname="127.0.0.1", port=free_port())
    kept.controller.start()
    yield kept
    kept.controller.stop()


@pytest.fixture(scope="module")
def authority():
    made = Authority()
    yield made
    made.drop()


@pytest.fixture(scope="module")
def deployment(mails, authority):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = {"mail.url": f"smtp://127.0.0.1:{mails.controller.port}", "mail.tls": "off", "mail.from": "no-reply@vendor.example",
               "federation.inside": "localhost", "federation.authorities": str(authority.path)}
    with Deployment(options) as made:
        made.tenant_add("acme", f"127.0.0.1:{server.server_address[1]}")
        for login in (ADMINISTRATOR, AUDITOR):
            made.masugata("user", "add", login, "--tenant", "acme", "--name", login.split("@")[0], "--roles", login.split("@")[0],
                          "--email", login, "--password-stdin", input=PASSWORD)
        yield made
    server.shutdown()


def at(deployment, path):
    return f"https://id.acme.localhost:{deployment.https_port}{path}"


def enter(deployment, login=ADMINISTRATOR, password=PASSWORD, language="en"):
    browser = Browser(deployment, language)
    browser.get(at(deployment, "/sign-in"))
    browser.submit({"login": login, "password": password}, action="/sign-in")
    assert browser.get(at(deployment, "/account")).status == 200, browser.page.text[:500]
    return browser


def post(browser, deployment, path, fields):
    token = re.search(r'name="token" value="([^"]+)"', browser.get(at(deployment, "/account")).text).group(1)
    return browser.send(at(deployment, path), "POST", urllib.parse.urlencode({"token": token, **fields}),
                        {"Content-Type": "application/x-www-form-urlencoded", "Origin": at(deployment, "")})


def events(deployment, name):
    lines = deployment.masugata("audit", "search", "--tenant", "acme", "--event", name, "--json").stdout.splitlines()
    return [json.loads(line) for line in lines if line.strip()]


# ---- invitations ----


def invite(browser, deployment, login, **fields):
    browser.get(at(deployment, "/console/users"))
    return browser.submit({"new_login": login, "new_name": login.split("@")[0].title(), "new_email": login, "new_language": "en",
                           **fields}, action="/console/user/add")


def test_an_invitation_from_the_mail_to_the_first_sign_in(deployment, mails):
    browser = enter(deployment)
    assert "Invited" in invite(browser, deployment, "mio@acme.example", role_auditor="1", role_user="1").text
    row = browser.get(at(deployment, "/console/invitations")).text
    assert "mio@acme.example" in row and "Auditor, User" in row and ADMINISTRATOR in row
    link = mails.link("mio@acme.example")
    wait_until(lambda: ">Open<" in browser.get(at(deployment, "/console/invitations")).text, what="the mail went out")
    guest = Browser(deployment)
    assert "Welcome" in guest.get(link).text and "invited to Acme" in guest.page.text
    assert "too short" in guest.submit({"password": "short"}, action="/reset/new").text and "Welcome" in guest.page.text
    assert "Your account is ready" in guest.submit({"password": ANOTHER}, action="/reset/new").text
    assert Browser(deployment).get(link).status == 410
    assert enter(deployment, "mio@acme.example", ANOTHER).get(at(deployment, "/console/audit")).status == 200
    assert "mio@acme.example" not in browser.get(at(deployment, "/console/invitations")).text
    assert [row["user"]["name"] for row in events(deployment, "invitation_accept")] == ["mio@acme.example"]


def test_a_second_factor_is_set_up_where_the_rules_ask_for_one(deployment, mails):
    browser = enter(deployment)
    invite(browser, deployment, "sho@acme.example")
    guest = Browser(deployment)
    guest.get(mails.link("sho@acme.example"))
    guest.submit({"password": ANOTHER}, action="/reset/new")
    assert post(browser, deployment, "/console/policy", {"keyword": "second_factor.roles", "value": "user"}).status == 303
    try:
        guest.sign_in(at(deployment, "/sign-in"), "sho@acme.example", ANOTHER)
        assert guest.get(at(deployment, "/account")).status == 200 and "/sign-in" not in guest.url
        assert ("id.acme.localhost", "sho@acme.example") in deployment.second_factors
    finally:
        post(browser, deployment, "/console/policy", {"keyword": "second_factor.roles", "value": ""})


def test_a_second_mail_makes_the_first_link_void_and_withdrawal_all(deployment, mails):
    browser = enter(deployment)
    invite(browser, deployment, "nao@acme.example")
    first = mails.link("nao@acme.example")
    assert post(browser, deployment, "/console/invitations/send", {"login": "nao@acme.example"}).status == 303
    assert Browser(deployment).get(first).status == 410
    second = mails.link("nao@acme.example", 2)
    assert Browser(deployment).get(second).status == 200
    assert post(browser, deployment, "/console/invitations/revoke", {"login": "nao@acme.example"}).status == 303
    assert Browser(deployment).get(second).status == 410
    assert "nao@acme.example" not in browser.get(at(deployment, "/console/users")).text
    # Who has come is no invitation any more, nor is who never was one.
    for login in (AUDITOR, "nobody@acme.example"):
        assert post(browser, deployment, "/console/invitations/revoke", {"login": login}).status == 404
    assert len(events(deployment, "invitation_revoke")) == len(events(deployment, "invitation_send")) == 1


def test_many_who_accept_at_once_and_one_who_withdraws(deployment, mails):
    """Of all uses of one link one counts; withdrawn at the same moment, the account is either gone or somebody's."""
    administrator = enter(deployment)
    for turn in range(3):
        login = f"race{turn}@acme.example"
        invite(administrator, deployment, login)
        link = mails.link(login)
        guests = [Browser(deployment) for _ in range(6)]
        for guest in guests:
            guest.get(link)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(guest.submit, {"password": ANOTHER + str(i)}, action="/reset/new") for i, guest in enumerate(guests)]
            withdrawn = pool.submit(post, administrator, deployment, "/console/invitations/revoke", {"login": login}) if turn else None
            ready = [i for i, answer in enumerate(asked) if "Your account is ready" in answer.result().text]
        if withdrawn is not None and withdrawn.result().status == 303:
            assert ready == []
            assert administrator.get(at(deployment, "/console/user?login=" + login)).status == 404
        else:
            assert len(ready) == 1
            enter(deployment, login, ANOTHER + str(ready[0]))


# ---- groups ----


def roles_of(deployment, login):
    return set(deployment.json("user", "show", login, "--tenant", "acme")["users"][0]["roles"].split())


def test_groups_from_the_first_to_none(deployment):
    browser = enter(deployment)
    deployment.masugata("user", "add", "ren@acme.example", "--tenant", "acme", "--name", "Ren <b>", "--roles", "user", "--email",
                        "ren@acme.example", "--password-stdin", input=PASSWORD)
    assert "There is no group yet" in browser.get(at(deployment, "/console/groups")).text
    page = browser.submit({"new_group": "監査 & Co", "role_auditor": "1"}, action="/console/groups")
    assert page.status == 200 and "The group is made" in page.text and "Nobody is in this group" in page.text
    browser.get(at(deployment, "/console/groups"))
    again = browser.submit({"new_group": "監査 & CO"}, action="/console/groups")
    assert again.status == 422 and "The name is taken" in again.text and 'value="監査 &amp; CO"' in again.text

    name = urllib.parse.quote("監査 & Co")
    guest = enter(deployment, "ren@acme.example")
    browser.get(at(deployment, "/console/group?name=" + name))
    page = browser.submit({"login": "ren@acme.example"}, action="/console/group/member")
    assert "holds its roles" in page.text and "Ren &lt;b&gt;" in page.text
    assert roles_of(deployment, "ren@acme.example") == {"user", "auditor"}
    assert guest.send(at(deployment, "/account")).status == 303, "whoever gets other roles signs in again"
    unknown = post(browser, deployment, "/console/group/member", {"group": "監査 & Co", "login": "nobody@acme.example", "to": "member"})
    assert unknown.status == 422 and "There is no such entry" in unknown.text and 'value="nobody@acme.example"' in unknown.text

    assert post(browser, deployment, "/console/group/roles", {"group": "監査 & Co"}).status == 303
    assert roles_of(deployment, "ren@acme.example") == {"user"}
    assert post(browser, deployment, "/console/group/roles", {"group": "監査 & Co", "role_administrator": "1"}).status == 303
    assert roles_of(deployment, "ren@acme.example") == {"user", "administrator"}
    moved = post(browser, deployment, "/console/group/name", {"group": "監査 & Co", "new_name": "Leads"})
    assert moved.status == 303 and browser.get(at(deployment, "/console/group?name=Leads")).status == 200
    assert browser.get(at(deployment, "/console/group?name=" + name)).status == 404
    assert post(browser, deployment, "/console/group/name", {"group": "Leads", "new_name": "a\nb"}).status == 422
    assert post(browser, deployment, "/console/group/member", {"group": "Leads", "login": "ren@acme.example", "to": "none"}).status == 303
    assert roles_of(deployment, "ren@acme.example") == {"user"}
    # The last administrator does not lose the role by a group either.
    assert post(browser, deployment, "/console/group/member", {"group": "Leads", "login": ADMINISTRATOR, "to": "member"}).status == 303
    refused = post(browser, deployment, "/console/group/remove", {"group": "Leads"})
    assert refused.status == 422 and "At least one other active administrator" in refused.text
    deployment.masugata("role", "give", "ren@acme.example", "administrator", "--tenant", "acme")
    gone = post(browser, deployment, "/console/group/remove", {"group": "Leads"})
    assert gone.status == 303, gone.text
    browser = enter(deployment, "ren@acme.example")
    assert "There is no group yet" in browser.get(at(deployment, "/console/groups")).text
    assert len(events(deployment, "group_create")) == len(events(deployment, "group_delete")) == 1
    assert any('name: "監査 & Co" -> "Leads"' in json.dumps(row, ensure_ascii=False).replace('\\"', '"') for row in events(deployment, "group_change"))
    deployment.masugata("role", "give", ADMINISTRATOR, "administrator", "--tenant", "acme")
    deployment.masugata("user", "disable", "ren@acme.example", "--tenant", "acme")


def test_nobody_gives_by_a_group_what_they_do_not_have(deployment):
    """Somebody who may give roles and change users, but not administer, does neither by way of a group."""
    deployment.masugata("role", "set", "helper", "--tenant", "acme", "--permissions", "users.read users.change roles.grant")
    deployment.masugata("user", "add", "kai@acme.example", "--tenant", "acme", "--name", "kai", "--roles", "user helper", "--email",
                        "kai@acme.example", "--password-stdin", input=PASSWORD)
    deployment.masugata("group", "set", "Chiefs", "--tenant", "acme", "--roles", "administrator")
    browser = enter(deployment, "kai@acme.example")
    for path, fields in [("/console/groups", {"new_group": "Mine", "role_administrator": "1"}),
                         ("/console/group/member", {"group": "Chiefs", "login": "kai@acme.example", "to": "member"}),
                         ("/console/group/roles", {"group": "Chiefs"}), ("/console/group/name", {"group": "Chiefs", "new_name": "Mine"}),
                         ("/console/group/remove", {"group": "Chiefs"})]:
        refused = post(browser, deployment, path, fields)
        assert refused.status in (403, 422) and "rights that you do not have" in refused.text.replace("with rights,", "rights"), (path, refused.text[-1500:])
    assert post(browser, deployment, "/console/groups", {"new_group": "Helpers", "role_helper": "1"}).status == 303
    assert roles_of(deployment, "kai@acme.example") == {"user", "helper"}
    for group in ("Chiefs", "Helpers"):
        deployment.masugata("group", "remove", group, "--tenant", "acme")


# ---- identity providers ----


def test_an_identity_provider_from_the_form_to_a_sign_in(deployment, authority):
    with IdentityProvider(authority) as idp:
        browser = enter(deployment)
        browser.get(at(deployment, "/console/providers"))
        assert "There is none yet" in browser.page.text
        wrong = browser.submit({"new_provider": "Not A Name", "new_issuer": idp.issuer, "new_client": idp.client}, action="/console/providers")
        assert wrong.status == 422 and "lower-case letters" in wrong.text and 'value="Not A Name"' in wrong.text
        browser.get(at(deployment, "/console/providers"))
        # The address of the discovery document is what people have at hand.
        page = browser.submit({"new_provider": "corp", "new_label": "Acme <ID>", "new_client": idp.client, "new_domains": "acme.example",
                               "new_issuer": idp.issuer + "/.well-known/openid-configuration", "new_authentication": "private-key"},
                              action="/console/providers")
        assert page.status == 200 and "Acme &lt;ID&gt;" in page.text and "Disabled" in page.text
        for word in ("redirect_uri", "jwks_uri", "/federation/callback/corp"):
            assert word in page.text
        idp.client_keys = json.loads(deployment.request(at(deployment, "/federation/keys/corp")).text)
        tested = browser.submit({}, action="/console/provider/test")
        assert "The provider answers" in tested.text and "token_endpoint" in tested.text
        link = re.search(r'href="(/federation/start/corp\?trial=[^"]+)"', tested.text).group(1)
        # A trial signs nobody in, and tells what arrived and what would have been decided.
        idp.claims.update(sub="person-1", email="kei@acme.example", groups=["Staff"])
        trial = Browser(deployment)
        went = trial.get(at(deployment, link), follow=False).headers["Location"]
        assert "Nobody was signed in" in trial.get(idp.authorize(went)).text
        page = browser.get(at(deployment, "/console/provider?name=corp")).text
        assert "Would be refused" in page and "person-1" in page and "kei@acme.example" in page
        # What is missing is set, and it goes in.
        assert post(browser, deployment, "/console/provider", {"name": "corp", "set_create_users": "1", "set_button": "1",
                                                               "set_groups-roles": "Staff=user"}).status == 303
        assert "provider_enabled" in post(browser, deployment, "/console/provider/change", {"name": "corp", "to": "enabled"}).headers["Location"]
        person = Browser(deployment)
        went = person.get(at(deployment, "/federation/start/corp?return=/account"), follow=False).headers["Location"]
        assert person.get(idp.authorize(went)).status == 200 and "kei@acme.example" in person.page.text
        page = browser.get(at(deployment, "/console/provider?name=corp")).text
        assert "Let in" in page and 'value="Staff=user"' in page
        changed = events(deployment, "idp_change")
        assert {row["actor"]["user"]["name"] for row in changed} == {ADMINISTRATOR} and len(changed) >= 3
        # A value that may not stand is said where it was typed; nothing else is lost.
        refused = post(browser, deployment, "/console/provider", {"name": "corp", "set_skew": "an hour", "set_label": "Kept"})
        assert refused.status == 422 and "an hour" in refused.text and "skew" in refused.text
        assert "Acme &lt;ID&gt;" in browser.get(at(deployment, "/console/provider?name=corp")).text
        # Disabled, its sessions have ended; removed, it is gone.
        assert post(browser, deployment, "/console/provider/change", {"name": "corp", "to": "disabled"}).status == 303
        assert "/sign-in" in person.send(at(deployment, "/account")).headers["Location"]
        assert post(browser, deployment, "/console/provider/change", {"name": "corp", "to": "removed"}).status == 303
        assert browser.get(at(deployment, "/console/provider?name=corp")).status == 404


def test_a_provider_about_to_expire_is_warned_about(deployment):
    browser = enter(deployment)
    for name, year, word in (("old", "2020-01-01", "Expired"), ("soon", None, "Expires soon"), ("far", "2099-01-01", None)):
        day = year or (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=9)).strftime("%Y-%m-%d")
        deployment.masugata("idp", "add", "acme", name, "issuer=https://idp.example", "client.id=x", f"expires={day}T00:00:00Z")
        page = browser.get(at(deployment, f"/console/provider?name={name}")).text
        assert ('class="warning"' in page) == (word is not None)
        listed = browser.get(at(deployment, "/console/providers")).text
        row = re.search(rf'name={name}".*?</tr>', listed, re.S).group(0)
        assert word is None or word in row
    # So is the certificate of one by SAML.
    for name, days in (("brief", 9), ("long", 400)):
        provider = SamlProvider(f"https://{name}.example", key=SamlKey(days=days))
        deployment.masugata("idp", "add", "acme", name, "kind=saml", "--metadata-file", "-", input=provider.metadata())
        page = browser.get(at(deployment, f"/console/provider?name={name}")).text
        assert ("A signing certificate of the provider ends on" in page) == (days < 30)
    # Our own keys there are rolled over on the page.
    def keys(step):
        return post(browser, deployment, "/console/provider/key", {"name": "long", "step": step, "at": ""})
    refused = keys("use")
    assert refused.status == 422 and "there is no new key" in refused.text
    for step, offered in (("make", "sign with the new key"), ("use", "Remove the old key"), ("finish", "Make a new key")):
        assert "done=provider_key" in keys(step).headers["Location"]
        page = browser.get(at(deployment, "/console/provider?name=long")).text
        assert offered in page and "The key that signs ends on" in page
    assert keys("drop").status == 422 and post(enter(deployment, AUDITOR), deployment, "/console/provider/key", {"name": "long", "step": "make"}).status == 403
    # One through which nobody can come is told here after the prober's look, and is no break of the vendor's control.
    deployment.masugata("idp", "enable", "acme", "far")
    def looked():
        deployment.masugata("prove", "IDENTITY_03", check=False)
        return browser.get(at(deployment, "/console/provider?name=far")).text
    wait_until(lambda: "nobody could have come through it" in looked(), 60, every=1, what="the prober's look")
    for name in ("old", "soon", "far", "brief", "long"):
        deployment.masugata("idp", "remove", "acme", name)


def test_a_role_that_a_provider_gives_cannot_be_removed(deployment):
    deployment.masugata("role", "set", "mapped", "--tenant", "acme", "--permissions", "users.read")
    deployment.masugata("idp", "add", "acme", "mapping", "issuer=https://idp.example", "client.id=x", "groups.roles=bosses=mapped")
    refused = deployment.masugata("role", "remove", "mapped", "--tenant", "acme", check=False)
    assert refused.returncode != 0 and "mapped" in deployment.masugata("role", "list", "--tenant", "acme").stdout
    deployment.masugata("idp", "remove", "acme", "mapping")
    deployment.masugata("role", "remove", "mapped", "--tenant", "acme")


# ---- sign-ins, sessions ----


def test_sign_ins_say_why(deployment):
    stranger = Browser(deployment)
    stranger.get(at(deployment, "/sign-in"))
    stranger.submit({"login": AUDITOR, "password": "wrong"}, action="/sign-in")
    browser = enter(deployment, AUDITOR)
    page = browser.get(at(deployment, f"/console/sign-ins?outcome=failure&words={AUDITOR}")).text
    assert "wrong password" in page and "signed in" in page and "Done" in page  # the last is the filter's choice
    rows = re.search(r"<tbody>.*</tbody>", page, re.S).group(0)
    assert ">Done<" not in rows and ">Failed<" in rows
    lines = browser.send(at(deployment, "/console/sign-ins/export?outcome=failure"))
    assert lines.headers["Content-Type"].startswith("text/csv") and "WRONG_PASSWORD" in lines.text and "user_create" not in lines.text
    assert ',"WRONG_PASSWORD","wrong password"' in lines.text  # the code, and the sentence in a column of its own
    entries = [json.loads(line) for line in enter(deployment).send(at(deployment, "/console/audit/export?format=ocsf&words=WRONG_PASSWORD")).text.splitlines()]
    assert any(entry["reason"] == "wrong password" and entry["status_detail"] == "WRONG_PASSWORD" for entry in entries)
    search = [deployment.program, "audit", "search", "--tenant", "acme", "--event", "sign_in", "--dir", str(deployment.directory), "--lang", "ja"]
    assert "パスワードの誤り" in subprocess.run(search, capture_output=True, text=True, check=True).stdout
    assert any(entry.get("reason") == "wrong password" for entry in events(deployment, "sign_in"))
    cef = deployment.masugata("audit", "export", "--tenant", "acme", "--event", "sign_in", "--format", "cef").stdout
    assert "reason=WRONG_PASSWORD msg=wrong password" in cef
    deployment.masugata("tenant", "policy", "acme", "--file", "-", input="adaptive.mode = watch\nadaptive.learning = 0s\nadaptive.notify = 1\n")
    try:
        enter(deployment, AUDITOR)
        page = browser.get(at(deployment, "/console/sign-ins")).text
        assert "a device that this account has not used before" in page and "score" in page
    finally:
        deployment.masugata("tenant", "policy", "acme", "--file", "-", input="")
    # In Japanese too, and why a rule may not stand.
    administrator = enter(deployment, language="ja")
    for value, reason in [("x", "のようなネットワークではありません"), ("10.0.0.1/8", "「10.0.0.1/8」は")]:
        page = post(administrator, deployment, "/console/policy", {"keyword": "allow.use", "value": value}).text
        assert reason in page and "NETWORK_FORM" not in page and "is not a network" not in page
    japanese = enter(deployment, AUDITOR, language="ja")
    assert "パスワードの誤り" in japanese.get(at(deployment, "/console/sign-ins")).text
    assert "パスワードの誤り" in japanese.get(at(deployment, "/console/audit?words=sign_in")).text
    assert "このアカウントで初めて使われる端末" in japanese.get(at(deployment, "/console/sign-ins")).text


def test_a_name_that_looks_like_a_reason_is_shown_as_it_is(deployment):
    """Roles and groups are the customer's words; only what is a reason becomes a sentence."""
    deployment.masugata("role", "set", "failures", "--tenant", "acme", "--label", "Failures", "--permissions", "users.read")
    deployment.masugata("role", "give", AUDITOR, "auditor failures", "--tenant", "acme")
    deployment.masugata("group", "set", "DISABLED", "--tenant", "acme")
    browser = enter(deployment)
    page = browser.get(at(deployment, "/console/audit?words=role_grant")).text
    assert ">failures" in page and "after too many wrong passwords" not in page
    assert "the user is disabled" not in browser.get(at(deployment, "/console/audit?words=group_create")).text
    entries = json.loads(json.dumps(events(deployment, "role_grant")))
    assert any(entry["status_detail"] == "failures" and "reason" not in entry for entry in entries)
    deployment.masugata("group", "remove", "DISABLED", "--tenant", "acme")
    deployment.masugata("role", "give", AUDITOR, "auditor", "--tenant", "acme")
    deployment.masugata("role", "remove", "failures", "--tenant", "acme")


def test_users_and_groups_as_tables(deployment):
    deployment.masugata("user", "add", "evil@acme.example", "--tenant", "acme", "--name", '=HYPERLINK("https://evil.example")', "--email",
                        "evil@acme.example", "--password-stdin", input=PASSWORD)
    deployment.masugata("group", "set", "@SUM(A1)", "--tenant", "acme")
    browser = enter(deployment)
    assert "/console/users/file?search=" in browser.get(at(deployment, "/console/users")).text
    answer = browser.send(at(deployment, "/console/users/file"))
    assert answer.headers["Content-Type"].startswith("text/csv") and "users.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    evil = next(row for row in rows if row["login"] == "evil@acme.example")
    assert evil["name"] == "'=HYPERLINK(\"https://evil.example\")" and evil["state"] == "active" and evil["last_sign_in"] == ""
    assert {ADMINISTRATOR, AUDITOR} <= {row["login"] for row in rows}
    assert [row["login"] for row in csv.DictReader(io.StringIO(browser.send(at(deployment, "/console/users/file?search=evil")).text))] == ["evil@acme.example"]
    groups = list(csv.DictReader(io.StringIO(browser.send(at(deployment, "/console/groups/file")).text)))
    assert [row["group"] for row in groups] == ["'@SUM(A1)"] and groups[0]["members"] == "0" and groups[0]["ruled_by"] == "here"
    # Who may not see the page gets no file.
    person = enter(deployment, "evil@acme.example")
    for path in ("/console/users/file", "/console/groups/file"):
        refused = person.send(at(deployment, path))
        assert refused.status == 403 and "administrator@" not in refused.text
    deployment.masugata("group", "remove", "@SUM(A1)", "--tenant", "acme")


def test_all_sessions_of_the_tenant_end(deployment):
    browser, other = enter(deployment), enter(deployment, AUDITOR)
    assert "End all sessions of everybody" in browser.get(at(deployment, "/console/sessions")).text
    assert post(other, deployment, "/console/sessions/end", {"all": "1"}).status == 403
    assert post(browser, deployment, "/console/sessions/end", {"all": "1"}).headers["Location"] == "/signed-out"
    for person in (browser, other):
        assert "/sign-in" in person.send(at(deployment, "/account")).headers["Location"]
    assert events(deployment, "session_revoke")[0]["user"]["name"] == "acme"


# ---- records ----


def test_what_the_vendor_did_and_only_that(deployment):
    browser = enter(deployment, AUDITOR)
    deployment.masugata("user", "lock", ADMINISTRATOR, "--tenant", "acme")
    deployment.masugata("user", "unlock", ADMINISTRATOR, "--tenant", "acme")
    for command in ("user list --tenant", "session list --tenant", "tenant policy", "idp list", "token list --tenant"):
        deployment.masugata(*command.split(), "acme")
    looked = json.dumps(events(deployment, "vendor_read"))
    for kind in ("users.read", "sessions.read", "policy.read", "providers.read", "tokens.read"):
        assert kind in looked
    page = browser.get(at(deployment, "/console/vendor")).text
    rows = page[page.index("<h1"):]
    assert "vendor_read" in rows
    assert "account_unlock" in rows and "tenant_create" in rows and "command line" in rows
    assert "invitation_revoke" not in rows and "idp_test" not in rows  # the customer's own people did those
    assert "Nobody of the vendor" in browser.get(at(deployment, "/console/vendor?until=2020-01-01")).text
    lines = browser.send(at(deployment, "/console/reports/file?kind=vendor")).text.splitlines()[1:]
    assert len(lines) == int(re.search(r"in this period: (\d+)", page).group(1)) and all("command line" in line for line in lines)


def sheet(book, number):
    space = {"x": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    tree = xml.etree.ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))
    return [["".join(cell.itertext()) for cell in row] for row in tree.iterfind(".//x:row", space)]


def test_reports_as_workbooks(deployment):
    browser = enter(deployment, AUDITOR, language="ja")
    with deployment_bytes(browser, at(deployment, "/console/reports/file?kind=accounts&format=xlsx")) as book:
        assert book.testzip() is None
        entries, totals = sheet(book, 1), sheet(book, 2)
    assert entries[0][:3] == ["番号", "日時", "イベント"]
    counted = {row[1]: int(row[2]) for row in totals[1:]}
    named = [row[3] for row in entries[1:]]
    assert counted == {name: named.count(name) for name in set(named)} and counted["user_create"] == len(events(deployment, "user_create"))
    assert browser.send(at(deployment, "/console/reports/file?kind=users&format=xlsx&until=2020-01-01")).status == 200


def deployment_bytes(browser, url):
    """The harness reads text; a workbook is bytes."""
    deployment = browser.deployment
    host = urllib.parse.urlsplit(url).hostname
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies[host].items())
    from harness import _Pinned
    connection = _Pinned(host, deployment.https_port, context=deployment.context(), timeout=15)
    connection.request("GET", url.split(f":{deployment.https_port}", 1)[1],
                       headers={"Host": f"{host}:{deployment.https_port}", "Cookie": cookie, "Accept-Language": "ja",
                                "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Disposition"] == 'attachment; filename="report-accounts.xlsx"'
    return zipfile.ZipFile(io.BytesIO(answer.read()))


def test_the_key_of_the_log_is_everybodys(deployment):
    """On the trust page and as a file, at every host, without signing in: it is the log's own."""
    key = (deployment.directory / "audit/log.vkey").read_text()
    file = f"https://id.acme.localhost:{deployment.https_port}/.well-known/masugata/log.vkey"
    # The portal waits for it for half a second, asks once a second, and keeps it.
    wait_until(lambda: deployment.request(file).status == 200, 30, what="the key")
    for host in ("id.acme.localhost", "acme.localhost"):
        page = deployment.request(f"https://{host}:{deployment.https_port}/.well-known/masugata/trust").text
        assert key.strip().replace("+", "&#43;") in page or key.strip() in page
        answer = deployment.request(f"https://{host}:{deployment.https_port}/.well-known/masugata/log.vkey")
        assert answer.status == 200 and answer.text == key and "log.vkey" in answer.headers["Content-Disposition"]


def test_the_key_set_is_there_while_the_authority_is_not(deployment):
    """An application that starts just then checks assertions with the last set."""
    address = f"https://acme.localhost:{deployment.https_port}/.well-known/masugata/jwks.json"
    before = deployment.request(address).text
    assert json.loads(before)["keys"]
    authority = deployment.status()["authority"]["pid"]
    os.kill(authority, signal.SIGSTOP)
    try:
        for _ in range(3):
            answer = deployment.request(address)
            assert answer.status == 200 and answer.text == before
    finally:
        os.kill(authority, signal.SIGCONT)
    wait_until(lambda: enter(deployment), 60, what="the authority again")


def test_a_proof_from_the_console_is_checked_without_the_system(deployment, tmp_path):
    browser = enter(deployment, AUDITOR)
    looked, *_, index = re.findall(r"proof\?entry=(\d+)", browser.get(at(deployment, "/console/audit?words=user_create")).text)
    document = json.loads(browser.send(at(deployment, f"/console/audit/proof?entry={index}")).text)
    kept, key = tmp_path / "entry.proof.json", tmp_path / "log.vkey"
    kept.write_text(json.dumps(document))
    key.write_bytes((deployment.directory / "audit/log.vkey").read_bytes())

    def verify(*words):
        done = subprocess.run([deployment.program, "audit", "verify", "--proof", str(kept), *words, "--lang", "en"], capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    code, said = verify("--key", str(key), "--json")
    assert code == 0 and json.loads(said)["event"]["metadata"]["event_code"] == "user_create", said
    assert json.loads(said)["entry"] == int(index)
    code, said = verify()
    assert code == 0 and "the key came with the proof" in said and document["log"] in said
    other = json.loads(browser.send(at(deployment, f"/console/audit/proof?entry={looked}")).text)
    changes = {"leaf": other["leaf"], "key": other["key"], "entry": int(index) + 1, "log": "other+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"}
    for member, value in changes.items():
        kept.write_text(json.dumps({**document, member: value}))
        code, said = verify(*(["--key", str(key)] if member != "log" else []))
        assert code == 1 and "NOT SOUND" in said, (member, said)
    kept.write_text(json.dumps({**document, "proof": document["proof"].replace("index ", "index 1", 1)}))
    assert verify("--key", str(key))[0] == 1


def test_a_rule_of_the_console_is_recorded_with_before_and_after(deployment):
    browser = enter(deployment)
    assert post(browser, deployment, "/console/policy", {"keyword": "password.length", "value": "16"}).status == 303
    assert "before=0 after=16" in browser.get(at(deployment, "/console/audit?words=policy_change")).text
    page = browser.get(at(deployment, "/console/policy")).text
    assert page.index("Signing in and second factor") < page.index("Passwords") < page.index("Networks") < page.index("Suspicious sign-ins")
    assert "a device that this account has not used before: 50" in page
    out = post(browser, deployment, "/console/policy", {"keyword": "allow.administrators", "value": "192.0.2.0/24"})
    assert out.status == 422 and "lock you out yourself" in out.text and "allow.administrators: 127.0.0.1" in out.text
    for keyword, value in (("session.idle", "1s"), ("session.absolute", "30s"), ("password.max_age", "1h")):
        out = post(browser, deployment, "/console/policy", {"keyword": keyword, "value": value})
        assert out.status == 422 and "lock you out yourself" in out.text and "at least" in out.text, keyword
    post(browser, deployment, "/console/policy", {"keyword": "password.length", "value": "0"})


def test_dates_are_in_the_tenants_time_zone(deployment):
    """Also where days begin: an entry of this moment is of today there and of no other day."""
    browser = enter(deployment)
    for zone, hours in (("Pacific/Honolulu", -10), ("Asia/Tokyo", 9)):
        post(browser, deployment, "/console/policy", {"keyword": "time_zone", "value": zone})
        page = wait_until(lambda: (text := browser.get(at(deployment, "/console/audit")).text) and zone in text and text, what=zone)
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        assert f"{now.day} {now:%b} {now.year}, {now:%H}:" in page and f'data-zone="{zone}"' in page
        today, yesterday = now.date(), now.date() - datetime.timedelta(days=1)
        assert "before=" in browser.get(at(deployment, f"/console/audit?words=time_zone&since={today}&until={today}")).text
        assert "before=" not in browser.get(at(deployment, f"/console/audit?words=time_zone&until={yesterday}")).text
