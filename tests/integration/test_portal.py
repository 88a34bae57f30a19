"""The portal's HTTP as nginx would speak it, with a stand-in for the authority (tests/portal/stand_in.c):
what it must refuse, what it must say on every answer, and its bounds."""

import base64
import hashlib
import html
import http.client
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import pytest

from harness import BUILD, wait_until

PASSWORD = "correct horse battery staple"
APP = ("app", "1", "acme.localhost")
SIGN_IN = ("sign-in", "1", "id.acme.localhost")
OPERATOR = ("operator", "0", "console.localhost")
SHUT = ("sign-in", "2", "shut.localhost")


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("portal", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Portal:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="mgp", dir="/tmp")
        self.path = f"{self.directory}/http.sock"
        self.process = subprocess.Popen([str(BUILD / "tests/portal/portal-stand-in"), self.directory, "8443"],
                                        stdin=subprocess.PIPE)
        wait_until(self.answers, what="portal")

    def answers(self):
        try:
            connection = Unix(self.path)
            connection.connect()
            connection.close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=30)
        shutil.rmtree(self.directory, ignore_errors=True)
        return code

    def raw(self, data):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(20)
            connection.connect(self.path)
            connection.sendall(data)
            return connection.recv(65536)


@pytest.fixture(scope="module")
def portal():
    portal = Portal()
    yield portal
    # A sanitizer's complaint, a leak among them, shows here.
    assert portal.stop() == 0


class Browser:
    """Cookies by host, as a browser keeps __Host- cookies; nothing is followed by itself."""

    def __init__(self, portal):
        self.portal, self.jars = portal, {}

    def ask(self, place, path, form=None, headers=None, cookies=None, method=None):
        origin, tenant, host = place
        jar = self.jars.setdefault(host, {})
        sent = {"X-Masugata-Origin": origin, "X-Masugata-Tenant": tenant, "X-Masugata-Host": host,
                "X-Masugata-Client": "192.0.2.7", "Accept-Language": "en", "User-Agent": "tests"}
        cookie = cookies if cookies is not None else "; ".join(f"{k}={v}" for k, v in jar.items())
        if cookie:
            sent["Cookie"] = cookie
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            sent["Origin"] = f"https://{host}:8443"
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        connection = Unix(self.portal.path)
        connection.request(method or ("GET" if form is None else "POST"), path, body=body, headers=sent)
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, value = line.split(";")[0].split("=", 1)
            if "Max-Age=0" in line:
                jar.pop(name, None)
            else:
                jar[name] = value
        return answer

    def token(self, place, path):
        answer = self.ask(place, path)
        assert answer.status == 200, answer.text
        return html.unescape(re.search(r'name="token" value="([^"]+)"', answer.text).group(1))

    def sign_in(self, place=SIGN_IN, login="hana", password=PASSWORD, **fields):
        query = urllib.parse.urlencode(fields)
        form = {"token": self.token(place, "/sign-in" + ("?" + query if query else "")), "login": login,
                "password": password, "host": "", "binding": "", "return": ""}
        return self.ask(place, "/sign-in", form=form | fields)

    def start(self, path="/.masugata/start?return=%2Fnotes"):
        answer = self.ask(APP, path)
        assert answer.status == 303
        location = urllib.parse.urlsplit(answer.headers["Location"])
        assert location.netloc == "id.acme.localhost:8443" and location.path == "/sign-in"
        return dict(urllib.parse.parse_qsl(location.query))

    def code(self):
        answer = self.sign_in(**self.start())
        location = urllib.parse.urlsplit(answer.headers["Location"])
        assert location.netloc == "acme.localhost:8443" and location.path == "/.masugata/enter", answer.headers["Location"]
        return location.path + "?" + location.query


@pytest.fixture
def browser(portal):
    return Browser(portal)


PUBLIC = [(SIGN_IN, "/sign-in"), (SIGN_IN, "/reset"), (SIGN_IN, "/reset/new?ticket=x"), (SIGN_IN, "/signed-out"), (SIGN_IN, "/confirm?ticket=x"),
          (SIGN_IN, "/nothing"), (SIGN_IN, "/account"), (SIGN_IN, "/.well-known/masugata/trust"),
          (SIGN_IN, "/.well-known/masugata/jwks.json"), (SIGN_IN, "/.well-known/change-password"), (SHUT, "/sign-in"),
          (APP, "/.masugata/start"), (APP, "/.masugata/enter"), (APP, "/.masugata/sign-out"), (APP, "/nothing"),
          (OPERATOR, "/console/tenants"), (OPERATOR, "/sign-in"), (SIGN_IN, "/.masugata/masugata.css"),
          (SIGN_IN, "/.masugata/masugata.js"), (SIGN_IN, "/.masugata/icon.svg"), (SIGN_IN, "/sign-in?x=%zz")]


@pytest.mark.parametrize("place, path", PUBLIC, ids=lambda value: value if isinstance(value, str) else value[0])
def test_every_answer_is_closed_to_others(browser, place, path):
    answer = browser.ask(place, path)
    for name, value in [("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"),
                        ("Referrer-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"),
                        ("Cross-Origin-Resource-Policy", "same-origin")]:
        assert answer.headers[name] == value, name
    if answer.status != 303:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    for line in answer.headers.get_all("Set-Cookie") or []:
        assert re.match(r"__Host-masugata[a-z-]*=", line)
        for flag in ("Path=/", "Secure", "HttpOnly", "SameSite=Lax"):
            assert flag in line
    if "text/html" in answer.headers.get("Content-Type", ""):
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<style" not in answer.text and "style=" not in answer.text and not re.search(r"<script[^>]*>[^<]", answer.text)


def test_only_nginx_is_believed(browser):
    for missing in ("X-Masugata-Origin", "X-Masugata-Tenant", "X-Masugata-Host", "X-Masugata-Client"):
        assert browser.ask(SIGN_IN, "/sign-in", headers={missing: None}).status == 400
    assert browser.ask(SIGN_IN, "/sign-in", headers={"X-Masugata-Origin": "root"}).status == 400
    assert browser.ask(SIGN_IN, "/sign-in", headers={"X-Masugata-Tenant": "-1"}).status == 400
    head = b"GET /sign-in HTTP/1.1\r\nHost: x\r\nX-Masugata-Origin: sign-in\r\nX-Masugata-Host: h\r\nX-Masugata-Client: 1.2.3.4\r\n"
    assert b" 400 " in browser.portal.raw(head + b"X-Masugata-Tenant: 1\r\nX-Masugata-Tenant: 0\r\n\r\n")


def test_pages_exist_on_their_origin_only(browser):
    for place, path in [(APP, "/sign-in"), (APP, "/account"), (SIGN_IN, "/console/tenants"), (SIGN_IN, "/.masugata/enter"),
                        (OPERATOR, "/.masugata/start"), (APP, "/console"), (SIGN_IN, "/.masugata/internal/assertion")]:
        assert browser.ask(place, path).status == 404, path
    assert browser.ask(SIGN_IN, "/sign-in", method="DELETE").status == 405
    assert browser.ask(SIGN_IN, "/sign%2din").status == 404
    assert browser.ask(SIGN_IN, "/account/../sign-in").status == 404


def test_pages_need_a_session(browser):
    for place, path in [(SIGN_IN, "/account"), (SIGN_IN, "/password"), (OPERATOR, "/console/tenants"),
                        (OPERATOR, "/console/audit?words=a%26b"), (OPERATOR, "/console/tenant?name=acme")]:
        answer = browser.ask(place, path)
        assert answer.status == 303
        assert answer.headers["Location"] == "/sign-in?return=" + urllib.parse.quote(path, safe="")
    form = {"token": browser.token(OPERATOR, "/sign-in"), "tenant": "acme", "to": "suspended"}
    assert browser.ask(OPERATOR, "/console/tenant/suspend", form=form).headers["Location"].startswith("/sign-in")


def test_sign_in_gives_a_new_token_and_ends_the_old_session(browser):
    assert browser.sign_in().headers["Location"] == "/account"
    first = browser.jars[SIGN_IN[2]]["__Host-masugata"]
    # A planted token is not adopted.
    planted = base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")
    other = Browser(browser.portal)
    other.jars[SIGN_IN[2]] = {"__Host-masugata": planted}
    other.sign_in()
    assert other.jars[SIGN_IN[2]]["__Host-masugata"] not in (planted, first)
    assert browser.ask(SIGN_IN, "/account").status == 200
    # Signing in again (a rule wanted a recent sign-in) replaces the session.
    form = {"token": browser.token(SIGN_IN, "/account"), "login": "hana", "password": PASSWORD, "host": "", "binding": "", "return": ""}
    assert browser.ask(SIGN_IN, "/sign-in", form=form).status == 303
    second = browser.jars[SIGN_IN[2]]["__Host-masugata"]
    assert second != first
    assert browser.ask(SIGN_IN, "/account", cookies=f"__Host-masugata={first}").status == 303
    assert browser.ask(SIGN_IN, "/account", cookies=f"__Host-masugata={second}").status == 200
    # A planted cookie before the good one does not hide it.
    assert browser.ask(SIGN_IN, "/account", cookies=f"__Host-masugata={planted}; __Host-masugata={second}").status == 200


def test_a_wrong_password_says_nothing_more(browser):
    known = browser.sign_in(login="hana", password="wrong")
    unknown = browser.sign_in(login="nobody", password="wrong")
    assert known.status == unknown.status == 422
    shape = re.compile(r'value="[^"]*"|\?[^"]*"')
    assert shape.sub("", known.text) == shape.sub("", unknown.text)
    assert "__Host-masugata" not in browser.jars[SIGN_IN[2]]
    locked = browser.sign_in(login="locked")
    assert locked.status == 429 and "15 min" in locked.text
    assert PASSWORD not in locked.text


def test_reset_answers_the_same_for_everybody(browser):
    texts = []
    for login in ("hana", "nobody@example.com"):
        form = {"token": browser.token(SIGN_IN, "/reset"), "login": login}
        answer = browser.ask(SIGN_IN, "/reset", form=form)
        assert answer.status == 200
        texts.append(answer.text)
    assert texts[0] == texts[1]
    form = {"token": browser.token(SIGN_IN, "/reset"), "login": "flood"}
    assert browser.ask(SIGN_IN, "/reset", form=form).status == 429


def test_a_reset_link_works_once(browser):
    browser.ask(SIGN_IN, "/reset", form={"token": browser.token(SIGN_IN, "/reset"), "login": "hana"})
    ticket = base64.urlsafe_b64encode(b"T" * 32).decode().rstrip("=")
    page = f"/reset/new?ticket={ticket}"
    assert browser.ask(SIGN_IN, page).status == 200
    short = browser.ask(SIGN_IN, "/reset/new", form={"token": browser.token(SIGN_IN, page), "ticket": ticket, "password": "short"})
    assert short.status == 422 and "too short" in short.text
    form = {"token": browser.token(SIGN_IN, page), "ticket": ticket, "password": PASSWORD}
    assert browser.ask(SIGN_IN, "/reset/new", form=form).status == 200
    assert browser.ask(SIGN_IN, page).status == 410
    assert browser.ask(SIGN_IN, "/reset/new", form=form).status == 410
    assert browser.ask(SIGN_IN, "/reset/new?ticket=%C3%BC").status == 410


def test_a_held_sign_in_keeps_its_device_and_is_confirmed_once(browser):
    held = browser.sign_in(login="held")
    assert held.status == 422 and "look at your mail" in held.text
    cookie = [line for line in held.headers.get_all("Set-Cookie") if line.startswith("__Host-masugata-device=")]
    assert len(cookie) == 1 and "HttpOnly" in cookie[0] and "Secure" in cookie[0] and "Max-Age=34560000" in cookie[0]
    assert not any("__Host-masugata=" in line for line in held.headers.get_all("Set-Cookie"))
    page = "/confirm?ticket=" + base64.urlsafe_b64encode(b"C" * 32).decode().rstrip("=")
    shown = browser.ask(SIGN_IN, page)
    assert shown.status == 200 and "192.0.2.7 (FR)" in shown.text and "Firefox" in shown.text and "hana" in shown.text
    assert browser.ask(SIGN_IN, page).status == 200  # looking, as mail scanners do, spends nothing
    form = {"token": browser.token(SIGN_IN, page), "ticket": page.split("=", 1)[1]}
    assert browser.ask(SIGN_IN, "/confirm", form={**form, "token": "A" * 43}).status == 403
    assert browser.ask(SIGN_IN, "/confirm", form=form).status == 200
    assert browser.ask(SIGN_IN, "/confirm", form=form).status == 410
    assert browser.ask(SIGN_IN, page).status == 410
    assert browser.ask(SIGN_IN, "/confirm?ticket=x").status == 410


def test_forms_from_elsewhere_are_refused(browser):
    browser.sign_in()
    token = browser.token(SIGN_IN, "/account")
    good = {"token": token, "scope": "all"}
    for origin in ("https://evil.example", "null", "https://id.acme.localhost", "http://id.acme.localhost:8443", "https://acme.localhost:8443"):
        assert browser.ask(SIGN_IN, "/account/end", form=good, headers={"Origin": origin}).status == 403, origin
    for site in ("cross-site", "same-site", "none"):
        assert browser.ask(SIGN_IN, "/account/end", form=good, headers={"Origin": None, "Sec-Fetch-Site": site}).status == 403
    for wrong in ("", "x", token[:-1], token[:-2] + "AA", "A" * 43):
        assert browser.ask(SIGN_IN, "/account/end", form=good | {"token": wrong}).status == 403
    # Another browser's token, and this browser's from before it signed in.
    other = Browser(browser.portal)
    assert browser.ask(SIGN_IN, "/account/end", form=good | {"token": other.token(SIGN_IN, "/sign-in")}).status == 403
    before = other.token(SIGN_IN, "/sign-in")
    other.sign_in()
    assert other.ask(SIGN_IN, "/account/end", form=good | {"token": before}).status == 403
    # Without the browser's cookie no token is right.
    session = browser.jars[SIGN_IN[2]]["__Host-masugata"]
    assert Browser(browser.portal).ask(SIGN_IN, "/account/end", form=good, cookies=f"__Host-masugata={session}").status == 403
    assert browser.ask(SIGN_IN, "/account").status == 200
    assert browser.ask(SIGN_IN, "/account/end", form=good).headers["Location"] == "/signed-out"


def test_sign_in_itself_needs_the_token(browser):
    form = {"login": "hana", "password": PASSWORD, "host": "", "binding": "", "return": ""}
    assert browser.ask(SIGN_IN, "/sign-in", form=form).status == 403
    assert "__Host-masugata" not in browser.jars[SIGN_IN[2]]


def test_the_way_back_stays_on_the_host(browser):
    for path in ("//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/a\r\nSet-Cookie: x=y", "%2F%2Fevil.example", ""):
        back = browser.start("/.masugata/start?return=" + urllib.parse.quote(path, safe=""))["return"]
        assert back == "/", path
    for path in ("//evil.example", "https://evil.example/", "/\\evil"):
        answer = browser.sign_in(**{"return": path})
        assert answer.headers["Location"] == "/account"
        browser.jars.clear()
        answer = browser.ask(SIGN_IN, "/.masugata/language?to=ja&return=" + urllib.parse.quote(path, safe=""))
        assert answer.headers["Location"] == "/"
    assert browser.start("/.masugata/start?return=%2Fa%3Fb%3Dc%2526d")["return"] == "/a?b=c%26d"


def test_a_code_leads_only_to_the_tenants_own_hosts(browser):
    binding = base64.urlsafe_b64encode(hashlib.sha256(b"n" * 32).digest()).decode().rstrip("=")
    for host in ("evil.example", "globex.localhost", "id.acme.localhost", "acme.localhost.evil.example", "acme.localhost:8443", "ACME.localhost"):
        query = urllib.parse.urlencode({"host": host, "binding": binding, "return": "/"})
        assert browser.ask(SIGN_IN, "/sign-in?" + query).status == 403, host
    assert browser.ask(SIGN_IN, "/sign-in?host=acme.localhost&binding=short&return=/").status == 400


def test_a_code_works_once_for_its_browser_and_host(browser):
    enter = browser.code()
    # Another browser cannot use it, and trying spends it.
    thief = Browser(browser.portal)
    thief.start()
    assert thief.ask(APP, enter).status == 400
    assert browser.ask(APP, enter).status == 400
    fresh = Browser(browser.portal)
    enter = fresh.code()
    assert fresh.ask(("app", "1", "notes.localhost"), enter).status == 400
    fresh = Browser(browser.portal)
    enter = fresh.code()
    answer = fresh.ask(APP, enter)
    assert answer.status == 303 and answer.headers["Location"] == "/notes"
    assert "__Host-masugata" in fresh.jars[APP[2]] and "__Host-masugata-start" not in fresh.jars[APP[2]]
    # Once more by the back button: already in, so it just goes on; in a new browser it does not work.
    assert fresh.ask(APP, enter).headers["Location"] == "/notes"
    session = fresh.jars[APP[2]]["__Host-masugata"]
    fresh.jars[APP[2]].clear()
    assert fresh.ask(APP, enter).status == 400
    # The app's session is not one of the sign-in origin, nor the other way round.
    assert fresh.ask(SIGN_IN, "/account", cookies=f"__Host-masugata={session}").status == 303


def test_two_tabs_arrive(browser):
    first, second = browser.start("/.masugata/start?return=%2Fone"), browser.start("/.masugata/start?return=%2Ftwo")
    assert first["binding"] == second["binding"]
    one = browser.sign_in(**first).headers["Location"]
    two = browser.ask(SIGN_IN, "/sign-in?" + urllib.parse.urlencode(second)).headers["Location"]
    assert browser.ask(APP, one.split(":8443")[1]).headers["Location"] == "/one"
    assert browser.ask(APP, two.split(":8443")[1]).headers["Location"] == "/two"


def test_signing_out_of_the_app_ends_everything(browser):
    browser.ask(APP, browser.code())
    assert browser.ask(SIGN_IN, "/account").status == 200
    assert browser.ask(APP, "/.masugata/sign-out", form={}, headers={"Origin": "https://evil.example"}).status == 403
    answer = browser.ask(APP, "/.masugata/sign-out", form={})
    assert answer.headers["Location"] == "https://id.acme.localhost:8443/signed-out"
    assert browser.ask(SIGN_IN, "/account").status == 303


def test_a_recent_sign_in_can_be_demanded(browser):
    browser.ask(APP, browser.code())
    time.sleep(1.1)
    fields = browser.start("/.masugata/start?fresh=1&return=%2Fsafe")
    answer = browser.ask(SIGN_IN, "/sign-in?" + urllib.parse.urlencode(fields))
    assert answer.status == 200 and "recent sign-in" in answer.text
    fields["fresh"] = "600"
    answer = browser.ask(SIGN_IN, "/sign-in?" + urllib.parse.urlencode(fields))
    assert answer.status == 303 and "/.masugata/enter?" in answer.headers["Location"]


def test_closed_tenants_and_unknown_ones_look_the_same(browser):
    first, second = browser.ask(SHUT, "/sign-in"), browser.ask(("sign-in", "99", "shut.localhost"), "/sign-in")
    assert first.status == second.status == 404 and first.text == second.text


def test_the_gates_own_question(browser):
    path = "/.masugata/internal/assertion"
    assert browser.ask(APP, path, headers={"X-Masugata-Session": "1"}).status == 204
    assert browser.ask(APP, path, headers={"X-Masugata-Session": "999999"}).status == 403
    for wrong in (None, "", "-1", "x"):
        assert browser.ask(APP, path, headers={"X-Masugata-Session": wrong}).status == 400


def test_language(browser):
    for accept, language in [("ja", "ja"), ("en-US,en;q=0.9,ja;q=0.5", "en"), (None, "en"), ("fr,ja;q=0.2", "ja")]:
        answer = browser.ask(SIGN_IN, "/sign-in", headers={"Accept-Language": accept})
        assert f'<html lang="{language}">' in answer.text and answer.headers["Content-Language"] == language
    browser.ask(SIGN_IN, "/.masugata/language?to=ja&return=%2Fsign-in")
    assert '<html lang="ja">' in browser.ask(SIGN_IN, "/sign-in").text


def test_a_part_that_is_away_is_said_politely(browser):
    answer = browser.sign_in(login="down")
    assert answer.status == 503 and answer.headers["Retry-After"] and "try again" in answer.text


def test_bounds(browser):
    place = SIGN_IN
    from_nginx = b"X-Masugata-Origin: sign-in\r\nX-Masugata-Tenant: 1\r\nX-Masugata-Host: id.acme.localhost\r\nX-Masugata-Client: 1.2.3.4\r\n"
    assert b" 413 " in browser.portal.raw(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n" + from_nginx + b"\r\n")
    assert browser.ask(place, "/sign-in?a=" + "x" * 9000).status in (400, 414, 431)
    assert browser.ask(place, "/sign-in", form={f"f{i}": "1" for i in range(80)}).status == 400
    for body in ("login=%ff", "login=a&login=b", "login", "a=%00"):
        answer = browser.ask(place, "/sign-in", form={}, headers={})
        connection = Unix(browser.portal.path)
        connection.request("POST", "/sign-in", body=body, headers={
            "X-Masugata-Origin": "sign-in", "X-Masugata-Tenant": "1", "X-Masugata-Host": "id.acme.localhost",
            "X-Masugata-Client": "192.0.2.7", "Content-Type": "application/x-www-form-urlencoded"})
        assert connection.getresponse().status == 400, body
        connection.close()
        assert answer.status in (400, 403)
    assert browser.ask(place, "/sign-in", form={"a": "b"}, headers={"Content-Type": "text/plain"}).status == 400
    # Chunked and endless: cut at the limit.
    head = b"POST /sign-in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + from_nginx + b"\r\n"
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    assert b" 413 " in browser.portal.raw(head + chunk * 20 + b"0\r\n\r\n")
    assert browser.ask(place, "/sign-in", headers={"Cookie": "a=" + "x" * 90000}).status in (400, 431)


def test_many_connections_do_not_keep_others_out_for_long(browser):
    idle = []
    for _ in range(100):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(browser.portal.path)
        idle.append(connection)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(Browser(browser.portal).ask(SIGN_IN, "/sign-in").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for connection in idle:
        connection.close()
    assert answers == [200] * 20


def test_console_names_are_text(browser):
    browser.sign_in(OPERATOR, "ops")
    text = browser.ask(OPERATOR, "/console/tenant?name=acme").text
    assert "<script>alert(1)" not in text and "&lt;script&gt;alert(1)" in text
    assert browser.ask(OPERATOR, "/console/tenant?name=%22%3E%3Cscript%3E").status == 404
    assert "<script>x" not in browser.ask(OPERATOR, "/console/audit?words=%3Cscript%3Ex&tenant=%22%3E").text
