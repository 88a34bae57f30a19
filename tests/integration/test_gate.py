"""The module in a hand-written nginx.conf: decisions, headers, streams, revocation."""

import base64
import json
import re
import socket
import subprocess
import time

import pytest

from gate_rig import JWT, App, Gate, UnixServer, frame
from harness import wait_until

HTML = [("Accept", "text/html,application/xhtml+xml")]


@pytest.fixture(scope="module")
def gate():
    with Gate() as running:
        yield running


def names(answer_json, name):
    return [v for n, v in answer_json["headers"] if n.lower() == name.lower()]


# ---- sessions ----

def test_a_session_passes_and_the_app_gets_only_the_identity(gate):
    token = gate.sign_in(10)
    answer = gate.request("/echo", token=token, headers=[("Cookie", "theme=dark; __Host-masugata-start=x; lang=ja")])
    assert answer.status == 200
    told = answer.json
    assert names(told, "X-Masugata-Assertion") == [JWT]
    assert names(told, "Cookie") == ["theme=dark; lang=ja"]
    assert names(told, "X-Forwarded-For") == ["127.0.0.1"]
    assert not [n for n, _ in told["headers"] if n.lower().startswith("x-masugata") and n != "X-Masugata-Assertion"]


@pytest.mark.parametrize("headers", [
    [("X-Masugata-Assertion", "forged")], [("x-masugata-tenant", "2"), ("X-MASUGATA-TENANT", "3")],
    [("X-Masugata-User", "root"), ("X-Forwarded-User", "root"), ("X-Forwarded-Email", "r@x"), ("X-Forwarded-Groups", "admin")],
    [("Forwarded", "for=1.2.3.4"), ("X-Real-IP", "1.2.3.4"), ("True-Client-IP", "1.2.3.4"), ("X-Forwarded-For", "1.2.3.4")],
    [("Remote-User", "root"), ("X-Remote-User", "root"), ("Proxy", "http://x"), ("X-Original-URL", "/admin"), ("X-HTTP-Method-Override", "DELETE")],
    [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")],
    [("X-Goog-IAP-JWT-Assertion", "forged"), ("X-UserInfo", "root"), ("X-UserId", "root"), ("X-Credential-Identifier", "root"),
     ("Shib-Identity-Provider", "root"), ("Front-End-Https", "on"), ("X-Scheme", "gopher"), ("X-URL-Scheme", "gopher")],
])
def test_lookalikes_do_not_arrive(gate, headers):
    token = gate.sign_in(11)
    told = gate.request("/echo", token=token, headers=headers).json
    for name, value in headers:
        assert value not in names(told, name)
    assert names(told, "X-Masugata-Assertion") == [JWT]


def test_lookalikes_with_underscores_do_not_arrive_either():
    with Gate(workers=1, extra_http="underscores_in_headers on; ignore_invalid_headers off;") as gate:
        token = gate.sign_in(1)
        told = gate.request("/echo", token=token, headers=[("X_Masugata_Assertion", "forged"), ("x.forwarded.user", "root"),
                                                            ("X-Forwarded_User", "root"), ("Kept_One", "yes")]).json
        assert names(told, "Kept_One") == ["yes"]
        assert "forged" not in str(told["headers"]) and "root" not in str(told["headers"])


def test_without_a_session(gate):
    answer = gate.request("/notes?a=1&b=/x", headers=HTML)
    assert answer.status == 302
    assert answer.get("Location") == "/.masugata/start?return=%2Fnotes%3Fa%3D1%26b%3D%2Fx"
    # Longer than the portal leads back to: sign-in all the same, and then to the front page.
    assert gate.request("/notes?q=" + "x" * 8000, headers=HTML).get("Location") == "/.masugata/start?return=%2F"
    for answer in (gate.request("/notes"), gate.request("/notes", "POST", body=b"x"),
                   gate.request("/notes", headers=HTML + [("Sec-Fetch-Mode", "cors")])):
        assert answer.status == 401 and answer.json == {"error": "no-session"}
        assert answer.get("Cache-Control") == "no-store"


def test_a_planted_bad_cookie_does_not_hide_the_good_one(gate):
    token = gate.sign_in(12)
    bad = "A" * 43
    for cookies in (f"__Host-masugata={bad}; __Host-masugata={token}", f"__Host-masugata=; x=y; __Host-masugata={token}",
                    "; ".join([f"__Host-masugata={bad}"] * 7 + [f"__Host-masugata={token}"])):
        assert gate.request("/echo", headers=[("Cookie", cookies)]).status == 200
    assert gate.request("/echo", headers=[("Cookie", f"__Host-masugata={bad}"), ("Cookie", f"__Host-masugata={token}")]).status == 200
    # The number of values that are tried is bounded.
    many = "; ".join([f"__Host-masugata={bad}"] * 200 + [f"__Host-masugata={token}"])
    assert gate.request("/echo", headers=[("Cookie", many)]).status == 401


def test_a_session_counts_only_where_it_was_issued(gate):
    acme, beta = gate.sign_in(13, tenant=1), gate.sign_in(14, tenant=2)
    assert gate.request("/echo", token=acme).status == 200
    assert gate.request("/echo", token=beta, host="beta.localhost").status == 200
    for token, host in ((acme, "beta.localhost"), (beta, "acme.localhost")):
        answer = gate.request("/echo", token=token, host=host)
        assert answer.status == 401 and answer.json["error"] == "other-tenant"
    sign_in = gate.sign_in(15, tenant=1, origin=2)
    assert gate.request("/echo", token=sign_in).status == 401
    bound = gate.sign_in(16, tenant=1, host=2)
    assert gate.request("/echo", token=bound).status == 401


def test_unknown_and_suspended_hosts_answer_alike(gate):
    token = gate.sign_in(17, tenant=3)
    answers = [gate.request("/echo", host=h, token=token, headers=HTML)
               for h in ("nobody.localhost", "gone.localhost", "127.0.0.1", "acme.localhost.evil")]
    assert {a.status for a in answers} == {421}
    assert len({a.body for a in answers}) == 1
    assert len({tuple(h for h in a.headers if h[0] != "Date") for a in answers}) == 1


def test_idle_and_absolute_ends(gate):
    idle = gate.sign_in(18, idle_ms=1000)
    short = gate.sign_in(19, expires_in_ms=2000)
    assert gate.request("/echo", token=idle).status == 200
    assert gate.request("/echo", token=short).status == 200
    time.sleep(3.1)
    assert gate.request("/echo", token=idle).json["error"] == "idle"
    assert gate.request("/echo", token=short).json["error"] == "expired"


def test_the_tenants_limits_hold_for_a_session_that_claims_more():
    with Gate(workers=1) as gate:
        gate.hand("tenant", id=1, idle_ms=1000, absolute_ms=7200000)
        gate.hand("publish")
        immortal = gate.sign_in(1, expires_in_ms=10 * 365 * 86400 * 1000, idle_ms=900000)
        assert gate.request("/echo", token=immortal).status == 401
        patient = gate.sign_in(2, idle_ms=900000)
        assert gate.request("/echo", token=patient).status == 200
        time.sleep(3.1)
        assert gate.request("/echo", token=patient).json["error"] == "idle"


def test_use_is_marked(gate):
    token = gate.sign_in(20)
    gate.request("/echo", token=token)
    assert any(row.startswith("20:") for row in gate.hand("seen", 5))


# ---- revocation ----

@pytest.mark.parametrize("how", ["id", "user", "family", "tenant"])
def test_revocation_holds_for_the_next_request(gate, how):
    token = gate.sign_in(30, tenant=2, user=77, family=78)
    assert gate.request("/echo", token=token, host="beta.localhost").status == 200
    assert gate.hand("remove", **{how: {"id": 30, "user": 77, "family": 78, "tenant": 2}[how]})[0] != "0"
    for _ in range(8):
        assert gate.request("/echo", token=token, host="beta.localhost").status == 401


def test_open_streams_and_websockets_are_cut_within_a_second(gate):
    token = gate.sign_in(31, user=31)
    other = gate.sign_in(32, user=32)
    first, second = gate.websocket(token), gate.websocket(other)
    stream = socket.create_connection(("127.0.0.1", gate.port), 5)
    stream.sendall(f"GET /sse HTTP/1.1\r\nHost: acme.localhost\r\nCookie: __Host-masugata={token}\r\n\r\n".encode())
    assert b"200" in stream.recv(4096)
    first.sendall(frame("hello"))
    assert first.recv(100)
    time.sleep(0.3)
    gate.hand("remove", user=31)
    started = time.monotonic()
    for connection in (first, stream):
        connection.settimeout(3)
        try:
            while connection.recv(65536):
                assert time.monotonic() - started < 1.0
        except ConnectionResetError:
            pass
        assert time.monotonic() - started < 1.0
    second.sendall(frame("still here"))
    assert second.recv(100)
    second.close()


def open_stream(gate, token):
    stream = socket.create_connection(("127.0.0.1", gate.port), 5)
    stream.sendall(f"GET /sse HTTP/1.1\r\nHost: acme.localhost\r\nCookie: __Host-masugata={token}\r\n\r\n".encode())
    assert b"200" in stream.recv(4096)
    stream.settimeout(3)
    return stream


def lives(stream, seconds):
    """True if the stream is still there after that long."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not stream.recv(65536):
                return False
    except ConnectionResetError:
        return False
    return True


def test_a_slot_that_was_left_half_written_ends_its_own_streams_only():
    """The writer died in the middle of one session: nobody can tell about it, and it alone."""
    with Gate(workers=1) as gate:
        wedged, other = gate.sign_in(51), gate.sign_in(52)
        streams = [open_stream(gate, wedged) for _ in range(6)]
        kept = open_stream(gate, other)
        with open(gate.gate_directory / "sessions", "r+b") as table:
            data = table.read()
            slot = next(at for at in range(4096, len(data) - 64, 64) if int.from_bytes(data[at + 40:at + 48], "little") == 51)
            table.seek(slot)
            table.write(bytes([data[slot] | 1]))
        assert gate.request("/echo", token=wedged).status == 503
        assert lives(kept, 2.5)
        assert not any(lives(stream, 0.2) for stream in streams)
        assert lives(open_stream(gate, gate.sign_in(53)), 1.5)


def test_many_streams_end_at_once_while_others_go_on():
    with Gate(workers=1) as gate:
        ending, going = gate.sign_in(61, user=61), gate.sign_in(62, user=62)
        mixed = [open_stream(gate, token) for _ in range(30) for token in (going, ending)]
        gate.hand("remove", user=61)
        time.sleep(1)
        assert [lives(stream, 0.1) for stream in mixed] == [True, False] * 30


def test_streams_over_http2_are_cut_too(gate):
    token = gate.sign_in(33, user=33)
    process = subprocess.Popen(["curl", "-sN", "--http2", "-k", "--resolve", f"acme.localhost:{gate.tls_port}:127.0.0.1",
                                "-H", f"Cookie: __Host-masugata={token}", f"https://acme.localhost:{gate.tls_port}/sse"],
                               stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"data: tick\n"
    gate.hand("remove", user=33)
    started = time.monotonic()
    process.stdout.read()
    assert time.monotonic() - started < 1.0
    assert process.wait(5) != 0


def test_a_draining_worker_refuses_and_cuts_as_well(gate):
    token = gate.sign_in(34, user=34)
    kept = gate.websocket(token)
    old = set(gate.worker_pids())
    gate.nginx.send_signal(1)
    wait_until(lambda: len(set(gate.worker_pids()) - old) >= 2, 10, what="new workers")
    assert set(gate.worker_pids()) & old
    kept.sendall(frame("hello"))
    assert kept.recv(100)
    gate.hand("remove", user=34)
    started = time.monotonic()
    kept.settimeout(3)
    try:
        while kept.recv(4096):
            pass
    except ConnectionResetError:
        pass
    assert time.monotonic() - started < 1.0
    wait_until(lambda: not set(gate.worker_pids()) & old, 10, what="old workers gone")


def test_the_table_grows_under_the_workers(gate):
    token = gate.sign_in(35)
    gate.hand("many", first=100000, count=20000)
    assert gate.request("/echo", token=token).status == 200
    assert int(gate.hand("usage")[0]) > 20000
    gate.hand("remove", id=35)
    assert gate.request("/echo", token=token).status == 401


# ---- rules ----

@pytest.fixture(scope="module")
def ruled():
    with Gate(workers=1) as gate:
        hand = gate.hand
        hand("route", prefix="/open", public=1)
        hand("route", prefix="/admin", roles=2)
        hand("route", prefix="/office", networks="10.0.0.0/8")
        hand("route", prefix="/money", fresh_s=60)
        hand("route", prefix="/vault", second_factor_s=60)
        hand("route", prefix="/vault/both", second_factor_s=60, fresh_s=600, roles=2)
        hand("route", prefix="/vault/api", second_factor_s=60, cors="https://partner.example")
        hand("route", prefix="/hook", webhook=1)
        hand("route", prefix="/api", bearer=1)
        hand("route", prefix="/shared", cors="https://partner.example")
        hand("publish")
        yield gate


def test_public_paths_need_no_session_but_get_an_identity_if_there_is_one(ruled):
    assert ruled.request("/open/door").status == 200
    told = ruled.request("/open/door", token=ruled.sign_in(1)).json
    assert names(told, "X-Masugata-Assertion") == [JWT]
    told = ruled.request("/open/door", token="A" * 43).json
    assert names(told, "X-Masugata-Assertion") == [] and names(told, "Cookie") == []
    assert ruled.request("/opening").status == 401


def test_roles_networks_and_freshness(ruled):
    user, administrator = ruled.sign_in(2, roles=1), ruled.sign_in(3, roles=2, age_ms=3600000)
    for path in ("/admin", "/admin/x", "/ADMIN", "/%61dmin", "//admin", "/admin;x=1"):
        assert ruled.request(path, token=user).status == 403, path
        assert ruled.request(path, token=administrator).status == 200, path
    assert ruled.request("/office", token=user).json == {"error": "network"}
    assert ruled.request("/money", token=user).status == 200
    assert ruled.request("/money", token=administrator).json == {"error": "stale-sign-in"}
    answer = ruled.request("/money", token=administrator, headers=HTML)
    assert (answer.status, answer.get("Location")) == (302, "/.masugata/start?fresh=60&return=%2Fmoney")


def test_a_second_factor_by_route(ruled):
    never, now, long_ago = ruled.sign_in(31), ruled.sign_in(32, second_ms=0), ruled.sign_in(33, second_ms=62000)
    for path in ("/vault", "/vault/x", "/VAULT", "/%76ault", "//vault", "/vault;x=1", "/VAULT/API/x"):
        assert ruled.request(path, token=now).status == 200, path
        for token in (never, long_ago):
            assert ruled.request(path, token=token).json == {"error": "step-up"}, path
        answer = ruled.request(path, token=never, headers=HTML)
        assert answer.status == 302 and answer.get("Location").startswith("/.masugata/start?second=60&return="), path
    assert ruled.request("/vaults", token=never).status == 200
    # Role before freshness of the sign-in before the second factor: the first that lacks is told.
    assert ruled.request("/vault/both", token=now).json == {"error": "role"}
    old = ruled.sign_in(34, roles=2, age_ms=700000, second_ms=0)
    assert ruled.request("/vault/both", token=old).json == {"error": "stale-sign-in"}
    assert ruled.request("/vault/both", token=ruled.sign_in(35, roles=2)).json == {"error": "step-up"}
    assert ruled.request("/vault/both", token=ruled.sign_in(36, roles=2, second_ms=0)).status == 200
    # What the session gave is known at once when it is put anew, under the same token.
    assert ruled.request("/vault", token=ruled.sign_in(31, second_ms=0)).status == 200


def test_webhooks_bearers_and_preflights_are_opened_by_rule(ruled):
    assert ruled.request("/hook", "POST", body=b"{}", headers=[("Origin", "https://any.example")]).status == 200
    # From another site it comes as nobody, whatever cookie the browser sent along.
    token = ruled.sign_in(8)
    told = ruled.request("/hook", "POST", body=b"{}", token=token, headers=[("Sec-Fetch-Site", "same-site")]).json
    assert names(told, "X-Masugata-Assertion") == [] and names(told, "Cookie") == []
    told = ruled.request("/hook", "POST", body=b"{}", token=token, headers=[("Sec-Fetch-Site", "same-origin")]).json
    assert names(told, "X-Masugata-Assertion") == [JWT]
    assert ruled.request("/api", headers=[("Authorization", "Bearer abc")]).status == 200
    assert ruled.request("/api").status == 401
    assert ruled.request("/api", headers=[("Authorization", "Basic abc")]).status == 401
    preflight = [("Origin", "https://partner.example"), ("Access-Control-Request-Method", "PUT")]
    assert ruled.request("/shared", "OPTIONS", headers=preflight).status == 200
    assert ruled.request("/shared", "OPTIONS", headers=[("Origin", "https://evil.example"), preflight[1]]).status == 401
    assert ruled.request("/notes", "OPTIONS", headers=preflight).status == 401


def test_a_restricted_directory_is_restricted_without_its_slash_too(ruled):
    ruled.hand("route", prefix="/vault/", roles=2)
    ruled.hand("publish")
    user = ruled.sign_in(5, roles=1)
    for path in ("/vault/", "/vault", "/vault/x", "/VAULT", "/vault;p"):
        assert ruled.request(path, token=user).status == 403, path
    assert ruled.request("/vaults", token=user).status == 200


def test_cross_site_changes_are_refused(ruled):
    token = ruled.sign_in(4)

    def post(*headers):
        return ruled.request("/echo", "POST", body=b"x", token=token, headers=headers).status
    own = "http://acme.localhost"
    assert post() == 200
    assert post(("Origin", own)) == 200
    assert post(("Sec-Fetch-Site", "same-origin"), ("Origin", own)) == 200
    assert post(("Sec-Fetch-Site", "same-origin"), ("Origin", "null")) == 200
    assert post(("Origin", "null")) == 403
    assert post(("Origin", "https://acme.localhost")) == 403
    assert post(("Origin", "http://id.acme.localhost")) == 403
    assert post(("Sec-Fetch-Site", "same-site")) == 403
    assert post(("Sec-Fetch-Site", "cross-site")) == 403
    assert ruled.request("/echo", token=token, headers=[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://x.example")]).status == 200
    connection = ruled.websocket(token, origin=own)
    assert connection != 403
    connection.close()
    assert ruled.websocket(token, origin="https://evil.example") == 403


def test_allow_lists_and_trusted_proxies():
    with Gate(workers=1) as gate:
        gate.hand("tenant", id=1, use="127.0.0.1/32,192.0.2.0/24", sign_in="192.0.2.0/24")
        gate.hand("publish")
        token = gate.sign_in(1)

        def status(source, *forwarded):
            return gate.request("/echo", token=token, source=source, headers=[("X-Forwarded-For", f) for f in forwarded]).status
        assert status("127.0.0.1") == 200
        assert status("127.0.0.2") == 403
        assert status("127.0.0.2", "127.0.0.1") == 403  # not a trusted proxy
        assert status("127.0.0.77") == 403
        assert status("127.0.0.77", "192.0.2.9") == 200
        assert status("127.0.0.77", "192.0.2.9, 198.51.100.1") == 403
        assert status("127.0.0.77", "198.51.100.1, 192.0.2.9") == 200
        assert status("127.0.0.77", "192.0.2.9", "192.0.2.9") == 403  # two headers have no order
        assert status("127.0.0.77", "rubbish") == 403
        # Where the proxy itself would be let in, it does not lend its address to whoever it cannot name.
        gate.hand("tenant", id=1, use="127.0.0.0/24,192.0.2.0/24", sign_in="192.0.2.0/24")
        gate.hand("publish")
        assert status("127.0.0.77") == 200
        assert status("127.0.0.77", "198.51.100.1") == 403
        assert status("127.0.0.77", "198.51.100.1", "198.51.100.1") == 403
        assert status("127.0.0.77", "127.0.0.77, rubbish") == 403
        told = gate.request("/echo", token=token, source="127.0.0.77", headers=[("X-Forwarded-For", "192.0.2.9")]).json
        assert names(told, "X-Forwarded-For") == ["192.0.2.9"]
        assert gate.request("/sign-in", host="id.acme.localhost").status == 403
        assert gate.request("/.well-known/masugata/trust", source="127.0.0.2").status == 200


# ---- paths ----

@pytest.mark.parametrize("path", [
    "/a/../b", "/..", "/.", "/a/.", "/a/..;x=1/b", "/a/%2e%2e/b", "/%2E%2E", "/a/.%2e/", "/a%2fb", "/a%2Fb", "/a%5cb", "/a\\b",
    "/%252e%252e/", "/%25%32e/", "/a%252fb", "/a%00b", "/a%0ab", "/a%c0%afb", "/a%ff", "/a%e3%81", "/a%zz", "/a%2", "/a#b", "/%7f"])
def test_ambiguous_paths_are_400(gate, path):
    token = gate.sign_in(40)
    assert gate.request(path, token=token).status == 400


@pytest.mark.parametrize("path, arrives", [
    ("/%61%62", "/ab"), ("/a//b///c", "/a/b/c"), ("/a%20b", "/a%20b"), ("/a%c3%a9", "/a%C3%A9"), ("/%e6%9e%a1", "/%E6%9E%A1"),
    ("/100%25", "/100%25"), ("/a;b=c/d", "/a;b=c/d"), ("/a?x=%2f..%5c//", "/a?x=%2f..%5c//"), ("/a%3Bb", "/a%3Bb"), ("/.hidden", "/.hidden"),
    ("/...", "/..."), ("/?", "/?"), ("/%7Eme", "/~me")])
def test_what_is_judged_is_what_arrives(gate, path, arrives):
    token = gate.sign_in(41)
    assert gate.request(path, token=token).json["path"] == arrives


def test_our_own_paths_go_to_the_portal(gate):
    for path in ("/.masugata/start?return=%2F", "/%2Emasugata/start", "//.masugata/start", "/.well-known/masugata/trust"):
        told = gate.request(path, headers=[("X-Masugata-Tenant", "2"), ("x-masugata-client", "1.1.1.1")]).json
        assert names(told, "X-Masugata-Tenant") == ["1"]
        assert names(told, "X-Masugata-Origin") == ["app"]
        assert names(told, "X-Masugata-Host") == ["acme.localhost"]
        assert names(told, "X-Masugata-Client") == ["127.0.0.1"]
        assert re.fullmatch("[0-9a-f]{32}", names(told, "X-Masugata-Request")[0])
    told = gate.request("/sign-in", host="ID.acme.localhost.").json
    assert names(told, "X-Masugata-Origin") == ["sign-in"]
    told = gate.request("/console/", host="console.localhost").json
    assert (names(told, "X-Masugata-Origin"), names(told, "X-Masugata-Tenant")) == (["operator"], ["0"])
    assert gate.request("/.masugata/internal/assertion", token=gate.sign_in(42)).status == 404
    assert gate.request("/.masugata/internal").status == 404


# ---- the identity ----

def test_a_missing_assertion_is_asked_for_once(gate):
    token = gate.sign_in(50, assertion=False)
    gate.portal.seen.clear()
    told = gate.request("/echo", "POST", body=b"body stays with its request", token=token).json
    assert names(told, "X-Masugata-Assertion") == [JWT] and told["length"] == 27
    asked = [s for s in gate.portal.seen if s[1].startswith("/.masugata/internal")]
    assert len(asked) == 1
    assert dict(asked[0][2])["X-Masugata-Session"] == "50"
    assert "Cookie" not in dict(asked[0][2])
    gate.request("/echo", token=token)
    assert len([s for s in gate.portal.seen if s[1].startswith("/.masugata/internal")]) == 1


def test_no_valid_assertion_is_503(gate):
    gate.portal.signing = False
    try:
        token = gate.sign_in(51, assertion=False)
        before = len(gate.app.seen)
        answer = gate.request("/echo", token=token)
        assert (answer.status, answer.json) == (503, {"error": "no-assertion"})
        assert answer.get("Retry-After")
        gate.hand("assertion", session=51, token="expired", nbf_in_ms=-60000, exp_in_ms=-1)
        assert gate.request("/echo", token=token).status == 503
        gate.hand("unassert", session=51)
        gate.hand("assertion", session=51, token="future", nbf_in_ms=60000, exp_in_ms=120000)
        assert gate.request("/echo", token=token).status == 503
        assert len(gate.app.seen) == before
    finally:
        gate.portal.signing = True


def token_of(**claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()).decode().rstrip("=")
    return f"e30.{payload}.signature"


def test_plain_identity_goes_to_a_socket_only(gate):
    path = gate.directory / "app.sock"
    server = UnixServer(str(path), App)
    path.chmod(0o777)
    identity = {"iss": "https://id.acme.localhost", "sub": "71", "tenant": 1, "email": "花@acme.example", "roles": ["user", "auditor"]}
    try:
        gate.hand("host", id=71, name="plain.localhost", tenant_id=1, upstream=f"unix:{path}:", forward_identity=1)
        gate.hand("host", id=72, name="exposed.localhost", tenant_id=1, upstream=f"127.0.0.1:{gate.app.server_address[1]}", forward_identity=1)
        gate.hand("publish")
        token = gate.sign_in(71, host=71, assertion=False)
        gate.hand("assertion", session=71, token=token_of(**identity))
        told = gate.request("/echo", host="plain.localhost", token=token, headers=[("X-Forwarded-User", "root"), ("X-Forwarded-Groups", "king")]).json
        assert names(told, "X-Forwarded-User") == ["71"] and names(told, "X-Forwarded-Groups") == ["user,auditor"]
        assert [v.encode("latin-1").decode() for v in names(told, "X-Forwarded-Email")] == ["花@acme.example"]
        # An assertion that cannot be read lets nobody through, and over TCP nothing of this is believed or sent.
        gate.hand("unassert", session=71)
        gate.hand("assertion", session=71, token=token_of(sub="71", email="x"))
        assert gate.request("/echo", host="plain.localhost", token=token).status == 503
        elsewhere = gate.sign_in(72, host=72, assertion=False)
        gate.hand("assertion", session=72, token=token_of(**identity))
        assert gate.request("/echo", host="exposed.localhost", token=elsewhere).status == 503
    finally:
        server.shutdown()


# ---- responses ----

REQUIRED = {"Content-Security-Policy", "X-Content-Type-Options", "Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy",
            "Cross-Origin-Resource-Policy", "Referrer-Policy", "Permissions-Policy", "X-XSS-Protection", "X-Frame-Options"}


def test_every_response_carries_the_headers(gate):
    token = gate.sign_in(60)
    answers = [gate.request("/echo", token=token, tls=True), gate.request("/echo", tls=True), gate.request("/a%2fb", tls=True),
               gate.request("/", host="nobody.localhost", tls=True), gate.request("/status/500", token=token, tls=True),
               gate.request("/.masugata/start", tls=True), gate.request("/echo", "TRACE", tls=True),
               gate.request("/echo", token=token, tls=True, headers=[("X", "y" * 20000)])]
    for answer in answers:
        have = [n for n, _ in answer.headers]
        for name in REQUIRED | {"Strict-Transport-Security"}:
            assert have.count(name) == 1, (answer.status, name)
    head = gate.raw(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").decode()
    assert " 400 " in head and all(name in head for name in REQUIRED)
    assert gate.request("/echo", token=token).get("Strict-Transport-Security") is None


def test_the_apps_headers_give_way_and_its_policy_only_tightens(gate):
    token = gate.sign_in(61)
    gate.app.headers = [("X-Frame-Options", "ALLOWALL"), ("strict-transport-security", "max-age=0"), ("Referrer-Policy", "unsafe-url"),
                        ("Content-Security-Policy", "img-src x.example"), ("X-App", "kept")]
    answer = gate.request("/headers", token=token, tls=True)
    assert answer.all("X-Frame-Options") == ["SAMEORIGIN"] and answer.all("X-App") == ["kept"]
    assert answer.all("Strict-Transport-Security") == ["max-age=63072000; includeSubDomains"]
    assert len(answer.all("Content-Security-Policy")) == 2
    assert answer.all("Referrer-Policy") == ["strict-origin-when-cross-origin"]


def test_overrides_and_report_only():
    with Gate(workers=1, extra_server='masugata_xss_protection "1; mode=block";') as gate:
        token = gate.sign_in(1)
        gate.hand("tenant", id=1, csp_mode=1, header__0="default-src%20*", header__2="", header__5="camera=(self)")
        gate.hand("publish")
        answer = gate.request("/echo", token=token)
        assert answer.all("Content-Security-Policy-Report-Only") == ["default-src *"]
        assert answer.all("Content-Security-Policy") == [] and answer.all("Cross-Origin-Embedder-Policy") == []
        assert answer.get("Permissions-Policy") == "camera=(self)"
        assert answer.get("X-XSS-Protection") == "1; mode=block"
        gate.hand("tenant", id=1, csp_mode=2)
        gate.hand("publish")
        gate.app.headers = [("Content-Security-Policy", "script-src 'nonce-x'")]
        assert gate.request("/headers", token=token).all("Content-Security-Policy") == ["script-src 'nonce-x'"]
        assert "default-src 'none'" in gate.request("/echo", token=token).get("Content-Security-Policy")


def test_the_apps_cookies_are_hardened():
    with Gate(workers=1) as gate:
        gate.hand("tenant", id=1, script_cookies="XSRF-TOKEN")
        gate.hand("publish")
        gate.app.cookies = ["a=1", "b=2; path=/x; secure; httponly; samesite=strict", "__Host-masugata=stolen; Secure; Path=/",
                            "__host-MASUGATA-start=x", "c=3; Domain=acme.localhost; Path=relative", "XSRF-TOKEN=t"]
        cookies = gate.request("/cookies", token=gate.sign_in(1)).all("Set-Cookie")
        assert cookies == ["a=1; Path=/; Secure; HttpOnly; SameSite=Lax", "b=2; path=/x; secure; httponly; samesite=strict",
                           "c=3; Path=relative; Path=/; Secure; HttpOnly; SameSite=Lax", "XSRF-TOKEN=t; Path=/; Secure; SameSite=Lax"]


def test_maintenance_by_flag_and_when_the_app_is_away():
    with Gate(workers=1) as gate:
        token = gate.sign_in(1)
        gate.hand("tenant", id=1, maintenance=1, retry_after_s=120)
        gate.hand("publish")
        answer = gate.request("/echo", token=token, headers=HTML)
        assert answer.status == 503 and answer.get("Retry-After") == "120"
        assert "メンテナンス" in answer.body.decode() and "maintained" in answer.body.decode()
        assert gate.request("/.masugata/start").status == 200
        gate.hand("tenant", id=1)
        gate.hand("publish")
        assert gate.request("/status/502", token=token).body == b"the app's own words"
        gate.app.shutdown()
        gate.app.server_close()
        answer = gate.request("/echo", token=token, headers=HTML, tls=True)
        assert answer.status == 503 and answer.get("Retry-After") == "60" and "メンテナンス" in answer.body.decode()
        assert int(answer.get("Content-Length")) == len(answer.body)
        assert answer.get("Content-Security-Policy").startswith("default-src 'none'; style-src 'sha256-")
        assert gate.request("/echo", token=token).json == {"error": "unavailable"}
        assert gate.request("/echo", "HEAD", token=token).status == 503
        gate.portal.away = True
        assert gate.request("/sign-in", host="id.acme.localhost", headers=HTML).status == 503


def test_when_the_control_plane_is_away():
    with Gate(workers=1) as gate:
        token = gate.sign_in(1)
        gate.hand("outage", 2000)
        gate.hand("publish")
        assert gate.request("/echo", token=token).status == 200
        gate.hand("heartbeat", "off")
        kept = gate.websocket(token)
        time.sleep(1)
        assert gate.request("/echo", token=token).status == 200
        time.sleep(1.6)
        assert gate.request("/echo", token=token).status == 503
        kept.settimeout(2)
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert kept.recv(10)
        gate.hand("heartbeat", "on")
        time.sleep(0.3)
        assert gate.request("/echo", token=token).status == 200


# ---- the shared files ----

def test_a_policy_that_cannot_be_read_refuses_everything_until_it_can():
    with Gate(workers=1) as gate:
        token = gate.sign_in(1)
        path = gate.gate_directory / "policy"
        good = path.read_bytes()
        bad = bytearray(good)
        bad[100] ^= 1
        gate.hand("publish")  # generation 2 is wanted; the file is replaced by an old and a broken one
        for content in (good, bytes(bad), b"", good[:-1]):
            path.write_bytes(content)
            gate.nginx.send_signal(1)
            time.sleep(0.5)
            assert gate.request("/echo", token=token).status == 503
        assert "policy" in (gate.directory / "error.log").read_text()
        gate.hand("publish")
        wait_until(lambda: gate.request("/echo", token=token).status == 200, 5, what="recovery")


def test_a_table_exchanged_behind_the_workers_is_not_served_and_a_new_writer_takes_over():
    with Gate(workers=1) as gate:
        token = gate.sign_in(1)
        assert gate.request("/echo", token=token).status == 200
        table = gate.gate_directory / "sessions"
        table.rename(table.with_name("elsewhere"))
        wait_until(lambda: gate.request("/echo", token=token).status == 503, 3, what="refusal")
        table.with_name("elsewhere").rename(table)
        wait_until(lambda: gate.request("/echo", token=token).status == 200, 3, what="recovery")
        gate.hand.kill()
        gate.hand = type(gate.hand)(gate.gate_directory)
        assert gate.request("/echo", token=token).status == 200  # a killed writer lost nothing
        gate.hand("remove", id=1)
        assert gate.request("/echo", token=token).status == 401


def test_refusals_are_counted(gate):
    gate.hand("drain")
    for _ in range(5):
        gate.request("/a%2fb")
        gate.request("/", host="nobody.localhost")
    counts = gate.hand("drain")
    assert "1:ambiguous-path:127.0.0.0:5" in counts and "0:unknown-host:127.0.0.0:5" in counts


def test_sni_and_host_must_agree(gate):
    token = gate.sign_in(70)
    assert gate.request("/echo", token=token, tls=True).status == 200
    answer = subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--resolve",
                             f"beta.localhost:{gate.tls_port}:127.0.0.1", "-H", "Host: acme.localhost", "-H",
                             f"Cookie: __Host-masugata={token}", f"https://beta.localhost:{gate.tls_port}/echo"],
                            capture_output=True, text=True, check=True).stdout
    assert answer == "421 2"


def test_return_and_satisfy_do_not_open_what_the_gate_closes():
    with Gate(workers=1, extra_location="satisfy any; allow all; return 200 secret;") as gate:
        assert gate.request("/x").status == 401
        assert gate.request("/x", token=gate.sign_in(1)).body == b"secret"
