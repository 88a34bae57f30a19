"""Second factors at the authority's boundary, asked as the portal asks: what a password alone gives, codes that work
once, guesses in parallel, setting up, taking away, and tickets that open nothing else."""

import collections
import concurrent.futures
import secrets
import threading
import time

import pytest

import factors
from identity_system import OUTCOMES, IdentitySystem, session_hash, sha256

PASSWORD = "seven grey herons by the lake"
ANOTHER = "eight grey herons by the lake"
CONSOLE = "console.localhost"


@pytest.fixture(scope="module")
def system():
    options = {"lockout__address__attempts": "1000", "lockout__account__attempts": "10"}
    with IdentitySystem(**options) as made:
        made.tenant = made.tenant_add("acme")
        made.other = made.tenant_add("hinode")
        made.number = 0
        yield made


def person(system, tenant="acme", **fields):
    system.number += 1
    login = f"person{system.number}@{tenant}.example"
    system.user_add(tenant, login, PASSWORD, email=login, language="en", roles=fields.get("roles", "user"))
    return login


def policy(system, tenant="acme", **values):
    settings = [{"route": "", "keyword": keyword.replace("__", "."), "value": value} for keyword, value in values.items()]
    system.done("tenant_policy_set", {"tenant": tenant, "settings": settings})


@pytest.fixture
def required(system):
    policy(system, second_factor="required")
    yield
    policy(system)


def set_up(system, login, tenant=None):
    """Somebody of a tenant where it is required sets up an app; returns it and the session's token."""
    number = system.tenant if tenant is None else tenant
    app, confirmed = system.set_up(number, system.sign_in(number, login, PASSWORD))
    assert confirmed["outcome"] == "GRANTED" and len(confirmed["token"]) == 32 and len(app.recovery) == 10
    return app, confirmed["token"]


def give(system, ticket, code, tenant=None, **fields):
    return system.ask("second_give", tenant=system.tenant if tenant is None else tenant, ticket=ticket, code=code.encode(),
                      address="192.0.2.1", user_agent="tests", **fields)


def events(system, event, text):
    return system.done("audit_events", {"all_tenants": True, "event": event, "text": text, "limit": 50})["entries"]


def test_the_second_step_too_is_only_for_networks_that_may_sign_in(system):
    """A ticket that was had where it may be is of no use elsewhere, and nothing is spent by trying."""
    login, newcomer = person(system), person(system)
    policy(system, second_factor="required", allow__sign_in="192.0.2.0/24")
    try:
        assert system.sign_in(system.tenant, login, PASSWORD, "198.51.100.1")["outcome"] == "ADDRESS_NOT_ALLOWED"
        app, _ = set_up(system, login)
        ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
        code = app.code()
        outside = system.ask("second_give", tenant=system.tenant, ticket=ticket, code=code.encode(), address="198.51.100.1",
                             user_agent="tests")
        assert outside["outcome"] == "ADDRESS_NOT_ALLOWED" and outside["token"] == b""
        assert give(system, ticket, code)["outcome"] == "GRANTED"
        ticket = system.sign_in(system.tenant, newcomer, PASSWORD)["ticket"]
        assert system.ask("factor_begin", tenant=system.tenant, ticket=ticket, session=b"",
                          address="198.51.100.1")["outcome"] == "ADDRESS_NOT_ALLOWED"
    finally:
        policy(system)


def test_the_password_alone_opens_nothing(system, required):
    login = person(system)
    answer = system.sign_in(system.tenant, login, PASSWORD)
    assert answer["outcome"] == "SECOND_FACTOR_SET_UP" and answer["token"] == b"" and answer["code"] == b""
    app, token = set_up(system, login)
    assert system.check(system.tenant, token, "id.acme.localhost")
    answer = system.sign_in(system.tenant, login, PASSWORD)
    assert answer["outcome"] == "SECOND_FACTOR" and answer["token"] == b"" and answer["code"] == b""
    # The ticket is no session, no code, no permission to set a password, and not for setting up another factor.
    ticket = answer["ticket"]
    assert not system.check(system.tenant, ticket, "id.acme.localhost")
    assert system.ask("code_issue", tenant=system.tenant, session=session_hash(ticket), host="acme.localhost",
                      binding=bytes(32))["outcome"] == "SESSION_ENDED"
    assert system.ask("reset_look", tenant=system.tenant, ticket=ticket, address="192.0.2.1")["outcome"] == "TICKET_SPENT"
    assert system.ask("reset_complete", tenant=system.tenant, ticket=ticket, password=ANOTHER.encode(),
                      address="192.0.2.1")["outcome"] == "TICKET_SPENT"
    assert system.ask("factor_begin", tenant=system.tenant, ticket=ticket, address="192.0.2.1")["outcome"] == "TICKET_SPENT"
    assert system.ask("second_look", tenant=system.other, ticket=ticket, address="192.0.2.1")["outcome"] == "TICKET_SPENT"
    assert give(system, ticket, app.code(), tenant=system.other)["outcome"] == "TICKET_SPENT"
    given = give(system, ticket, app.code())
    assert given["outcome"] == "GRANTED"
    assert system.check(system.tenant, given["token"], "id.acme.localhost")
    assert give(system, ticket, app.code())["outcome"] == "TICKET_SPENT"


def test_operators_always_need_one(system):
    system.user_add("", "root", PASSWORD, roles="operator")
    answer = system.sign_in(0, "root", PASSWORD)
    assert answer["outcome"] == "SECOND_FACTOR_SET_UP" and answer["token"] == b""
    token = system.sign_in_operator("root", PASSWORD)
    assert system.check(0, token, CONSOLE)
    assert system.sign_in(0, "root", PASSWORD)["outcome"] == "SECOND_FACTOR"
    assert system.check(0, system.sign_in_operator("root", PASSWORD), CONSOLE)


def test_by_role(system):
    policy(system, second_factor="off", second_factor__roles="administrator")
    plain, chief = person(system), person(system, roles="administrator user")
    assert system.sign_in(system.tenant, plain, PASSWORD)["outcome"] == "GRANTED"
    assert system.sign_in(system.tenant, chief, PASSWORD)["outcome"] == "SECOND_FACTOR_SET_UP"
    policy(system)


def test_offered_is_asked_of_whoever_has_one(system):
    login = person(system)
    token = system.sign_in(system.tenant, login, PASSWORD)["token"]
    session = session_hash(token)
    begun = system.ask("factor_begin", tenant=system.tenant, session=session, address="192.0.2.1")
    assert begun["outcome"] == "GRANTED"
    again = system.ask("factor_begin", tenant=system.tenant, session=session, address="192.0.2.1")
    assert again["secret"] == begun["secret"]
    app = factors.App(begun["secret"].decode())
    wrong = system.ask("factor_confirm", tenant=system.tenant, session=session, code=b"000000", address="192.0.2.1")
    assert wrong["outcome"] == "WRONG_CODE"
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "GRANTED", "what is not confirmed is not asked for"
    right = system.ask("factor_confirm", tenant=system.tenant, session=session, code=app.code().encode(), name="phone",
                       address="192.0.2.1")
    assert right["outcome"] == "GRANTED" and right["token"] == b"" and len(right["recovery"].split()) == 10
    answer = system.sign_in(system.tenant, login, PASSWORD)
    assert answer["outcome"] == "SECOND_FACTOR"
    policy(system, second_factor="off")
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "GRANTED"
    policy(system)


def test_one_of_many_who_use_the_same_code_wins(system, required):
    login = person(system)
    app, _ = set_up(system, login)
    for code in (app.code(), app.recovery[0]):
        tickets = [system.sign_in(system.tenant, login, PASSWORD)["ticket"] for _ in range(6)]
        barrier = threading.Barrier(len(tickets))

        def use(ticket):
            barrier.wait()
            return give(system, ticket, code)["outcome"]

        with concurrent.futures.ThreadPoolExecutor(len(tickets)) as pool:
            outcomes = collections.Counter(pool.map(use, tickets))
        assert outcomes == {"GRANTED": 1, "WRONG_CODE": 5}
        system.done("user_lock", {"tenant": "acme", "login": login, "locked": False})
    # The same ticket by many with different codes: one session.
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    codes = app.recovery[1:7]
    barrier = threading.Barrier(len(codes))

    def use_code(code):
        barrier.wait()
        return give(system, ticket, code)["outcome"]

    with concurrent.futures.ThreadPoolExecutor(len(codes)) as pool:
        outcomes = collections.Counter(pool.map(use_code, codes))
    assert outcomes["GRANTED"] == 1 and set(outcomes) <= {"GRANTED", "TICKET_SPENT"}


def test_guesses_are_counted_exactly(system, required):
    login = person(system)
    app, _ = set_up(system, login)
    tickets = [system.sign_in(system.tenant, login, PASSWORD)["ticket"] for _ in range(4)]
    barrier = threading.Barrier(200)

    def guess(number):
        barrier.wait()
        return give(system, tickets[number % 4], f"{900000 + number}")["outcome"]

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        outcomes = collections.Counter(pool.map(guess, range(200)))
    assert outcomes == {"WRONG_CODE": 10, "LOCKED": 190}
    assert give(system, tickets[0], app.code())["outcome"] == "LOCKED", "the right code, too late"
    # The password's own counter is another: who forgets it is not locked out by somebody else's codes, and the other way.
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "SECOND_FACTOR"
    system.done("user_lock", {"tenant": "acme", "login": login, "locked": False})
    assert give(system, tickets[0], app.recovery[0])["outcome"] == "GRANTED"


def test_wrong_passwords_do_not_lock_the_second_step(system, required):
    login = person(system)
    app, _ = set_up(system, login)
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    for _ in range(11):
        system.sign_in(system.tenant, login, "wrong and long enough")
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "LOCKED"
    assert give(system, ticket, app.recovery[0])["outcome"] == "GRANTED"


def test_a_recovery_code_is_stored_as_a_keyed_hash_alone(system, required):
    login = person(system)
    app, _ = set_up(system, login)
    stored = system.database.query("SELECT encode(code_hash, 'hex') FROM recovery_code r JOIN account a ON a.id = r.account"
                                   f" WHERE a.login = '{login}'").split()
    assert len(stored) == 10
    plain = {sha256(code.encode()).hex() for code in app.recovery} | {sha256(code.replace("-", "").encode()).hex()
                                                                      for code in app.recovery}
    assert not plain & set(stored)
    secret = system.database.query(f"SELECT encode(secret_sealed, 'hex') FROM factor f JOIN account a ON a.id = f.account"
                                   f" WHERE a.login = '{login}'")
    import base64
    assert base64.b32decode(app.secret.replace(" ", "")).hex() not in secret
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    given = give(system, ticket, app.recovery[3].upper().replace("-", " "))
    assert given["outcome"] == "GRANTED" and given["by_recovery"] and given["recovery_left"] == 9


def test_a_sealed_secret_opens_in_its_own_row_only(system, required):
    one, other = person(system), person(system)
    app_one, _ = set_up(system, one)
    app_other, _ = set_up(system, other)
    system.database.query("UPDATE factor f SET secret_sealed = g.secret_sealed FROM factor g, account a, account b"
                          f" WHERE f.account = a.id AND a.login = '{one}' AND g.account = b.id AND b.login = '{other}'")
    ticket = system.sign_in(system.tenant, one, PASSWORD)["ticket"]
    with pytest.raises(Exception):
        give(system, ticket, app_other.code())


def test_an_enrolment_ticket_is_for_the_first_one_only(system, required):
    login = person(system)
    first, second = (system.sign_in(system.tenant, login, PASSWORD) for _ in range(2))
    stranger = system.ask("factor_begin", tenant=system.tenant, ticket=second["ticket"], address="192.0.2.1")
    app, confirmed = system.set_up(system.tenant, first)
    assert confirmed["outcome"] == "GRANTED" and app.secret != stranger["secret"].decode(), "a secret of one's own"
    late = system.ask("factor_confirm", tenant=system.tenant, ticket=second["ticket"],
                      code=factors.App(stranger["secret"].decode()).code().encode(), address="192.0.2.1")
    assert late["outcome"] == "TICKET_SPENT" and late["token"] == b""


def test_two_first_ones_at_the_same_time(system, required):
    for _ in range(5):
        login = person(system)
        begun = []
        for _ in range(4):
            ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
            secret = system.ask("factor_begin", tenant=system.tenant, ticket=ticket, address="192.0.2.1")["secret"].decode()
            begun.append((ticket, factors.App(secret)))
        barrier = threading.Barrier(4)

        def confirm(row):
            barrier.wait()
            return system.ask("factor_confirm", tenant=system.tenant, ticket=row[0], code=row[1].code().encode(),
                              address="192.0.2.1", user_agent="tests")["outcome"]

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            outcomes = collections.Counter(pool.map(confirm, begun))
        assert outcomes == {"GRANTED": 1, "TICKET_SPENT": 3}


def test_changes_want_a_recent_proof(system, required):
    login = person(system)
    app, token = set_up(system, login)
    session = session_hash(token)
    old = "interval '11 minutes'"
    system.database.query(f"UPDATE session_family f SET second_factor_at = second_factor_at - {old}, authenticated_at ="
                          f" authenticated_at - {old} FROM account a WHERE a.id = f.account AND a.login = '{login}'")
    listed = system.ask("factor_list", tenant=system.tenant, session=session)
    assert listed["outcome"] == "GRANTED" and not listed["proven"] and listed["must"]
    number = listed["factors"][0]["factor"]
    for name, fields in (("factor_begin", {"address": "x"}), ("factor_remove", {"factor": number, "address": "192.0.2.1"}),
                         ("recovery_renew", {"address": "192.0.2.1"})):
        assert system.ask(name, tenant=system.tenant, session=session, **fields)["outcome"] == "STEP_UP", name
    wrong = system.ask("step_up", tenant=system.tenant, session=session, code=b"123456", address="192.0.2.1")
    assert wrong["outcome"] == "WRONG_CODE"
    assert system.ask("step_up", tenant=system.tenant, session=session, password=PASSWORD.encode(),
                      address="192.0.2.1")["outcome"] == "WRONG_CODE", "the password is no second factor"
    right = system.ask("step_up", tenant=system.tenant, session=session, code=app.recovery[0].encode(), address="192.0.2.1")
    assert right["outcome"] == "GRANTED"
    renewed = system.ask("recovery_renew", tenant=system.tenant, session=session, address="192.0.2.1")
    assert renewed["outcome"] == "GRANTED" and len(renewed["recovery"].split()) == 10
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    assert give(system, ticket, app.recovery[5])["outcome"] == "WRONG_CODE", "the codes before are void"
    assert system.ask("factor_remove", tenant=system.tenant, session=session, factor=number,
                      address="192.0.2.1")["outcome"] == "LAST_FACTOR"
    policy(system)
    assert system.ask("factor_remove", tenant=system.tenant, session=session, factor=number,
                      address="192.0.2.1")["outcome"] == "GRANTED"
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "GRANTED"


def test_who_has_none_shows_the_password_anew(system):
    login = person(system)
    session = session_hash(system.sign_in(system.tenant, login, PASSWORD)["token"])
    system.database.query("UPDATE session_family f SET authenticated_at = authenticated_at - interval '11 minutes'"
                          f" FROM account a WHERE a.id = f.account AND a.login = '{login}'")
    assert system.ask("factor_begin", tenant=system.tenant, session=session, address="x")["outcome"] == "STEP_UP"
    assert system.ask("step_up", tenant=system.tenant, session=session, password=b"wrong and long enough",
                      address="192.0.2.1")["outcome"] == "WRONG_CREDENTIALS"
    assert system.ask("step_up", tenant=system.tenant, session=session, password=PASSWORD.encode(),
                      address="192.0.2.1")["outcome"] == "GRANTED"
    assert system.ask("factor_begin", tenant=system.tenant, session=session, address="x")["outcome"] == "GRANTED"


def test_an_operator_resets(system, required):
    login = person(system)
    app, token = set_up(system, login)
    answer = system.done("factors_reset", {"tenant": "acme", "login": login})
    assert answer["removed"] == 1 and answer["ended"] == 1
    assert not system.check(system.tenant, token, "id.acme.localhost")
    assert system.sign_in(system.tenant, login, PASSWORD)["outcome"] == "SECOND_FACTOR_SET_UP"
    assert len(events(system, "factor_remove", login)) == 1
    kinds = system.database.query(f"SELECT string_agg(m.kind, ' ' ORDER BY m.id) FROM mail m JOIN account a ON a.id = m.account"
                                  f" WHERE a.login = '{login}'")
    assert kinds == "factor_added factors_reset"


def test_a_policy_that_demands_ends_sessions_without(system):
    login = person(system)
    token = system.sign_in(system.tenant, login, PASSWORD)["token"]
    chosen = person(system)
    policy(system, second_factor="required")
    assert not system.check(system.tenant, token, "id.acme.localhost")
    _, kept = set_up(system, chosen)
    policy(system)
    policy(system, second_factor="required")
    assert system.check(system.tenant, kept, "id.acme.localhost")
    policy(system)


def test_a_new_password_voids_the_ticket(system, required):
    login = person(system)
    app, token = set_up(system, login)
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    changed = system.ask("password_change", tenant=system.tenant, session=session_hash(token), current=PASSWORD.encode(),
                         password=ANOTHER.encode(), address="192.0.2.1")
    assert changed["outcome"] == "GRANTED"
    assert give(system, ticket, app.recovery[0])["outcome"] == "TICKET_SPENT"


def test_a_locked_or_disabled_person_ends_between_the_steps(system, required):
    for field, request in (("locked", "user_lock"), ("disabled", "user_disable")):
        login = person(system)
        app, _ = set_up(system, login)
        ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
        system.done(request, {"tenant": "acme", "login": login, field: True})
        assert give(system, ticket, app.recovery[0])["outcome"] == "TICKET_SPENT"


def test_nothing_is_forgotten_over_a_restart(system, required):
    login = person(system)
    app, token = set_up(system, login)
    used = app.code()
    ticket = system.sign_in(system.tenant, login, PASSWORD)["ticket"]
    assert give(system, ticket, used)["outcome"] == "GRANTED"
    system.restart_authority()
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = system.sign_in(system.tenant, login, PASSWORD)
            break
        except Exception:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert give(system, answer["ticket"], used)["outcome"] == "WRONG_CODE"
    assert system.check(system.tenant, token, "id.acme.localhost")


def test_what_is_not_a_ticket_is_none(system):
    for ticket in (b"", b"x", secrets.token_bytes(32)):
        assert system.ask("second_look", tenant=system.tenant, ticket=ticket, address="192.0.2.1")["outcome"] == "TICKET_SPENT"
        assert give(system, ticket, "123456")["outcome"] == "TICKET_SPENT"
        assert system.ask("factor_begin", tenant=system.tenant, ticket=ticket, address="192.0.2.1")["outcome"] == "TICKET_SPENT"
    assert give(system, secrets.token_bytes(32), "123456", tenant=99)["outcome"] == "TENANT_CLOSED"
    assert OUTCOMES.index("SECOND_FACTOR") > 0


def test_the_probes_operator_never_gets_in(system):
    """Its password is in the prober's hands, but nobody has a code of its second factor."""
    from identity_system import Peer
    prober = Peer(system.processes["authority"].attach("prober"))
    account = prober.ask("canary_account", {"tenant": 0, "which": 2})
    assert account["recovery"] == b""
    answer = system.sign_in(0, account["login"], account["password"].decode())
    assert answer["outcome"] == "SECOND_FACTOR" and answer["token"] == b""
    looked = system.ask("second_look", tenant=0, ticket=answer["ticket"], address="192.0.2.1")
    assert looked["recovery_left"] == 0 and not looked["set_up"]
    assert system.ask("factor_begin", tenant=0, ticket=answer["ticket"], address="x")["outcome"] == "TICKET_SPENT"
    # In a tenant where it is demanded, the probes get in with a code each.
    policy(system, second_factor="required")
    account = prober.ask("canary_account", {"tenant": system.tenant, "which": 0})
    codes = account["recovery"].decode().split()
    assert len(codes) == 60
    answer = system.sign_in(system.tenant, account["login"], account["password"].decode())
    assert give(system, answer["ticket"], codes[0])["outcome"] == "GRANTED"
    policy(system)
