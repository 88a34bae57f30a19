"""The pages on a whole deployment, through nginx and the gate: sign-in and back, sessions that are ended,
passwords, the mails with their links, operators at the console."""

import http.server
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

import pytest

from browser import Browser
from harness import BUILD, Deployment, free_port, wait_until

PASSWORD = "seven grey herons by the lake"
ANOTHER = "eight grey herons by the lake"


class App(http.server.BaseHTTPRequestHandler):
    """Says what it was given."""

    def do_GET(self):
        body = json.dumps({"path": self.path, "assertion": self.headers.get("X-Masugata-Assertion", ""),
                           "cookie": self.headers.get("Cookie", "")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


@pytest.fixture(scope="module")
def app():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture(scope="module")
def deployment(app):
    port = free_port()
    options = {"mail.url": f"smtp://127.0.0.1:{port}", "mail.tls": "off", "mail.from": "masugata@localhost",
               "security.contact": "mailto:security@example.com https://example.com/report javascript:alert(1)",
               "security.policy": "https://example.com/policy"}
    with Deployment(options) as deployment:
        deployment.mailbox = deployment.directory / "mailbox"
        sink = subprocess.Popen(["/usr/bin/python3", str(BUILD / "masugata-mail-sink"), f"127.0.0.1:{port}", str(deployment.mailbox)])
        try:
            deployment.tenant_add("acme", app, label="株式会社アクメ")
            add_user(deployment, "hana@acme.example")
            deployment.masugata("user", "add", "ops", "--name", "Operator", "--roles", "operator", "--email", "ops@example.com",
                                "--password-stdin", input=PASSWORD)
            wait_until(lambda: Browser(deployment).get(sign_in(deployment)).status == 200, what="sign-in page")
            yield deployment
        finally:
            sink.terminate()
            sink.wait()


def add_user(deployment, login, language="en"):
    deployment.masugata("user", "add", login, "--tenant", "acme", "--name", login.split("@")[0].title(), "--email", login,
                        "--roles", "user", "--language", language, "--password-stdin", input=PASSWORD)


def sign_in(deployment, path="/sign-in"):
    return f"https://id.acme.localhost:{deployment.https_port}{path}"


def at_app(deployment, path="/"):
    return f"https://acme.localhost:{deployment.https_port}{path}"


def at_console(deployment, path="/console/tenants"):
    return f"https://console.localhost:{deployment.https_port}{path}"


def signed_in(deployment, login="hana@acme.example", password=PASSWORD, url=None):
    browser = Browser(deployment)
    browser.sign_in(url or at_app(deployment), login, password)
    return browser


def mails(deployment, to):
    if not deployment.mailbox.exists():
        return []
    texts = [path.read_text() for path in sorted(deployment.mailbox.glob("*.txt"))]
    return [text for text in texts if text.startswith(f"To: {to}") or f"<{to}>" in text.splitlines()[0]]


def link_in(text):
    return re.search(r"https://\S+/reset/new\?ticket=\S+", text).group(0)


def is_in(browser, deployment):
    return browser.get(at_app(deployment), follow=False).status == 200


def test_to_the_application_and_back(deployment):
    browser = signed_in(deployment, url=at_app(deployment, "/report?year=2026&q=a%20b"))
    seen = json.loads(browser.page.text)
    assert seen["path"] == "/report?year=2026&q=a%20b"
    assert seen["assertion"].count(".") == 2 and "__Host-masugata" not in seen["cookie"]
    for jar in browser.cookies.values():
        assert all(name.startswith("__Host-masugata") for name in jar)


def test_account_page_and_its_buttons(deployment):
    here, there = signed_in(deployment), signed_in(deployment)
    page = here.get(sign_in(deployment, "/account")).text
    assert page.count('name="family"') >= 2 and "This device" in page and "127.0.0.1" in page
    assert here.submit({"scope": "others"}, action="/account/end").status == 200
    assert "All other sessions have ended" in here.page.text
    assert is_in(here, deployment) and not is_in(there, deployment)
    here.get(sign_in(deployment, "/account"))
    here.submit({"scope": "all"}, action="/account/end")
    assert not is_in(here, deployment)


def test_sign_out_in_the_application_ends_the_family(deployment):
    browser = signed_in(deployment)
    browser.get(at_app(deployment, "/.masugata/sign-out"))
    browser.submit(action="/.masugata/sign-out")
    assert "You are signed out" in browser.page.text
    assert not is_in(browser, deployment)
    assert browser.get(sign_in(deployment, "/account"), follow=False).status == 303


def test_wrong_and_unknown_look_alike(deployment):
    # Wrong passwords are counted by address as well: the tests of this file stay below that limit.
    answers = []
    for login in ("hana@acme.example", "nobody@acme.example"):
        browser = signed_in(deployment, login, "not the password at all")
        answers.append((browser.page.status, re.sub(r'(value|data-challenge)="[^"]*"|return=[^"]*', "", browser.page.text)))
    assert answers[0] == answers[1] and answers[0][0] == 422


def test_password_change_ends_the_other_sessions(deployment):
    add_user(deployment, "ken@acme.example")
    here, there = (signed_in(deployment, "ken@acme.example") for _ in range(2))
    here.get(sign_in(deployment, "/password"))
    assert here.submit({"current": "wrong", "password": ANOTHER}, action="/password").status == 422
    assert here.submit({"current": PASSWORD, "password": "short"}, action="/password").status == 422
    assert here.submit({"current": PASSWORD, "password": "password12345678"}, action="/password").status == 422
    assert "Your password has been changed" in here.submit({"current": PASSWORD, "password": ANOTHER}, action="/password").text
    assert is_in(here, deployment) and not is_in(there, deployment)
    assert is_in(signed_in(deployment, "ken@acme.example", ANOTHER), deployment)
    wait_until(lambda: [m for m in mails(deployment, "ken@acme.example") if "was changed" in m], what="notice of the change")


def test_reset_by_mail(deployment):
    add_user(deployment, "mika@acme.example", "ja")
    before = signed_in(deployment, "mika@acme.example")
    browser = Browser(deployment, language="ja")
    texts = []
    for login in ("mika@acme.example", "nobody@acme.example"):
        browser.get(sign_in(deployment, "/reset"))
        texts.append(browser.submit({"login": login}, action="/reset").text)
    assert texts[0] == texts[1] and "メールをご確認ください" in texts[0]
    mail = wait_until(lambda: mails(deployment, "mika@acme.example"), what="mail")[-1]
    assert "パスワード再設定" in mail and mails(deployment, "nobody@acme.example") == []
    link = link_in(mail)
    assert "新しいパスワードの設定" in browser.get(link).text
    assert browser.submit({"password": "short"}, action="/reset/new").status == 422
    assert "パスワードを設定しました" in browser.submit({"password": ANOTHER}, action="/reset/new").text
    assert browser.get(link).status == 410
    assert not is_in(before, deployment)
    assert is_in(signed_in(deployment, "mika@acme.example", ANOTHER), deployment)
    # No ticket waits in clear anywhere in the state directory.
    ticket = link.rsplit("=", 1)[1].encode()
    for path in pathlib.Path(deployment.directory).rglob("*"):
        if path.is_file() and deployment.mailbox not in path.parents and "nginx-access" not in path.name:
            assert ticket not in path.read_bytes(), path


def test_an_operator_at_the_console(deployment):
    browser = signed_in(deployment, "ops", PASSWORD, at_console(deployment))
    assert "株式会社アクメ" in browser.page.text
    browser.get(at_console(deployment, "/console/tenant?name=acme"))
    browser.submit({"new_login": "rin@acme.example", "new_name": "Rin <b>", "new_email": "rin@acme.example", "new_roles": "user",
                    "new_language": "en"}, action="/console/user/add")
    assert "Rin &lt;b&gt;" in browser.page.text
    link = link_in(wait_until(lambda: mails(deployment, "rin@acme.example"), what="invitation")[-1])
    guest = Browser(deployment)
    guest.get(link)
    guest.submit({"password": ANOTHER}, action="/reset/new")
    guest = signed_in(deployment, "rin@acme.example", ANOTHER)
    assert is_in(guest, deployment)
    browser.get(at_console(deployment, "/console/tenant?name=acme&search=rin"))
    browser.submit({"login": "rin@acme.example", "to": "disabled"}, action="/console/user/disable")
    assert not is_in(guest, deployment)
    assert browser.get(at_console(deployment, "/console/audit?tenant=nobody")).status == 404
    for path, word in [("/console/sessions", "ops"), ("/console/audit?words=rin", "user_disable"), ("/console/controls", "Controls")]:
        assert word in browser.get(at_console(deployment, path)).text, path


def test_the_console_shows_and_changes_the_tenant_that_was_named(deployment, app):
    deployment.tenant_add("zeta", app, label="Zeta Works")
    browser = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/console/tenant?name=zeta"))
    assert "Zeta Works" in browser.page.text and "株式会社アクメ" not in browser.page.text
    assert 'name="tenant" value="zeta"' in browser.page.text and 'value="acme"' not in browser.page.text
    browser.submit({}, action="/console/tenant/suspend")
    assert deployment.tenant("zeta")["state"] == "suspended" and deployment.tenant("acme")["state"] == "active"
    assert browser.get(at_console(deployment, "/console/tenant?name=nobody")).status == 404


def test_a_tenant_added_at_the_console_without_a_sign_in_host_gets_the_usual_one(deployment):
    browser = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/console/tenants/new"))
    browser.submit({"name": "yota", "tenant_label": "Yota", "hosts": "yota.example www.yota.example", "sign_in_host": "",
                    "upstream": "127.0.0.1:9"}, action="/console/tenants/new")
    assert browser.page.status == 200 and "id.yota.example" in browser.page.text, browser.page.text


def test_an_operator_ends_one_session_of_somebody_else(deployment):
    add_user(deployment, "emi@acme.example")
    guest, other = signed_in(deployment, "emi@acme.example"), signed_in(deployment, "emi@acme.example")
    browser = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/console/sessions?tenant=acme&login=emi@acme.example"))
    assert browser.page.text.count('name="family"') == 2
    browser.submit({}, action="/console/sessions/end")
    assert sorted([is_in(guest, deployment), is_in(other, deployment)]) == [False, True]
    assert "The session has ended" in browser.page.text
    family = re.search(r'name="family" value="(\w+)"', browser.get(
        at_console(deployment, "/console/sessions?tenant=acme&login=emi@acme.example")).text).group(1)
    browser.submit({}, action="/console/sessions/end")
    assert not is_in(guest, deployment) and not is_in(other, deployment)
    # A second time it is said that there was nothing left to end, and the operator's own page goes on.
    browser.get(at_console(deployment, "/console/sessions"))
    browser.submit({"family": family}, action="/console/sessions/end")
    assert "nothing was done" in browser.page.text
    # The operator's own other sign-in, too: operators are tenant 0, which has no name.
    second = signed_in(deployment, "ops", PASSWORD, at_console(deployment))
    row = [part for part in browser.get(at_console(deployment, "/console/sessions?login=ops")).text.split("<tr>")
           if 'name="family"' in part]
    assert len(row) >= 2
    families = [re.search(r'name="family" value="(\w+)"', part).group(1) for part in row]
    for family in families:
        if reaches_console(second, deployment):
            browser.submit({"family": family}, action="/console/sessions/end")
            browser.get(at_console(deployment, "/console/sessions"), follow=False)
            if browser.page.status != 200:
                break
    assert not reaches_console(second, deployment) or browser.page.status != 200


def reaches_console(browser, deployment):
    return browser.get(at_console(deployment), follow=False).status in (200, 303) and "sign-in" not in (
        browser.page.headers["Location"] or "")


def test_a_user_cannot_end_sessions_of_others(deployment):
    add_user(deployment, "ume@acme.example")
    add_user(deployment, "taro@acme.example")
    victim, user = signed_in(deployment, "ume@acme.example"), signed_in(deployment, "taro@acme.example")
    operator = signed_in(deployment, "ops", PASSWORD, at_console(deployment, "/console/sessions?tenant=acme&login=ume@acme.example"))
    family = re.search(r'name="family" value="(\w+)"', operator.page.text).group(1)
    user.get(sign_in(deployment, "/account"))
    user.submit({"family": family}, action="/account/end")
    assert "ended already" in user.page.text
    assert is_in(victim, deployment)


def test_a_link_to_a_new_password_works_while_signed_in(deployment):
    add_user(deployment, "nao@acme.example")
    browser = signed_in(deployment, "nao@acme.example")
    browser.get(sign_in(deployment, "/reset"))
    assert "Check your mail" in browser.submit({"login": "nao@acme.example"}, action="/reset").text
    browser.get(link_in(wait_until(lambda: mails(deployment, "nao@acme.example"), what="mail")[-1]))
    assert "Your password is set" in browser.submit({"password": ANOTHER}, action="/reset/new").text
    assert not is_in(browser, deployment)


def test_to_a_long_address_and_back(deployment):
    path = "/search?q=" + "%26" * 600 + "&" * 200
    browser = signed_in(deployment, url=at_app(deployment, path))
    assert json.loads(browser.page.text)["path"] == path


def test_slow_senders_do_not_keep_others_from_the_pages(deployment):
    """More of them than the portal has threads, each with a form that never ends."""
    context = deployment.context()
    head = (f"POST /sign-in HTTP/1.1\r\nHost: id.acme.localhost:{deployment.https_port}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\nlogin=").encode()
    slow = []
    try:
        for _ in range(150):
            raw = socket.create_connection(("127.0.0.1", deployment.https_port), 10)
            slow.append(context.wrap_socket(raw, server_hostname="id.acme.localhost"))
            slow[-1].sendall(head)
        started = time.monotonic()
        assert Browser(deployment).get(sign_in(deployment)).status == 200
        assert time.monotonic() - started < 5
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize("path", ["//.masugata/x", "//.well-known/masugata/x", "///.masugata//x"])
def test_no_spelling_of_our_paths_reaches_the_application(deployment, path):
    """What is judged as the portal's, without a session, must be located as the portal's too."""
    raw = Browser(deployment)
    answer = raw.get(f"https://acme.localhost:{deployment.https_port}{path}", headers={"Cookie": "__Host-masugata=secret"})
    assert answer.status == 404 and "assertion" not in answer.text and "secret" not in answer.text


def test_a_users_session_opens_no_console(deployment):
    browser = signed_in(deployment)
    token = browser.cookies["id.acme.localhost"]["__Host-masugata"]
    answer = browser.get(at_console(deployment), headers={"Cookie": f"__Host-masugata={token}"}, follow=False)
    assert answer.status == 303 and "/sign-in" in answer.headers["Location"]


def test_the_portal_comes_back(deployment):
    browser = signed_in(deployment)
    deployment.kill("portal")
    assert is_in(browser, deployment)  # who is signed in notices nothing
    started = time.monotonic()
    wait_until(lambda: browser.get(sign_in(deployment, "/account"), follow=False).status == 200, 10, what="portal")
    assert time.monotonic() - started < 4


def test_suspension_is_immediate_and_says_nothing(deployment):
    browser = signed_in(deployment)
    deployment.masugata("tenant", "suspend", "acme")
    try:
        try:
            assert browser.get(at_app(deployment), follow=False).status in (404, 421, 503)
        except OSError:
            pass  # the host is gone from the listener as well
    finally:
        deployment.masugata("tenant", "resume", "acme")
    wait_until(lambda: reaches(browser, at_app(deployment)), 20, what="tenant is back")
    assert not is_in(browser, deployment)


def reaches(browser, url):
    try:
        return browser.get(url, follow=False).status in (200, 302)
    except OSError:
        return False


def test_an_account_among_the_operators_needs_the_role(deployment):
    """The probes' canary accounts are tenant 0's too: without the role `operator` they see and change nothing."""
    deployment.masugata("user", "add", "watcher", "--name", "Watcher", "--roles", "auditor", "--email", "watcher@example.com",
                        "--password-stdin", input=PASSWORD)
    browser = Browser(deployment)
    browser.sign_in(at_console(deployment, "/sign-in"), "watcher", PASSWORD)
    page = browser.get(at_console(deployment))
    assert "株式会社アクメ" not in page.text and "acme.localhost" not in page.text
