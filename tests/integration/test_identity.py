"""Sign-in, sessions and passwords at the authority's boundary, with the real keys, audit and hasher."""

import concurrent.futures
import statistics
import subprocess
import threading
import time

import pytest

from identity_system import SCOPE_FAMILY, SCOPE_ONE, SCOPE_OTHERS, SCOPE_OWN, OUTCOMES, IdentitySystem, nonce, session_hash, sha256
from harness import wait_until
from messages import Failed

PASSWORD = "lanterns drift upstream"
OTHER_PASSWORD = "paper cranes over the dam"
APP, SIGN_IN = "acme.localhost", "id.acme.localhost"


@pytest.fixture(scope="module")
def system():
    with IdentitySystem() as made:
        made.acme = made.tenant_add("acme")
        made.rival = made.tenant_add("rival")
        yield made


@pytest.fixture(scope="module")
def roomy():
    """The same without limits on guesses, for tests that guess often."""
    with IdentitySystem(lockout__account__attempts="100", lockout__address__attempts="1000") as made:
        made.acme = made.tenant_add("acme")
        yield made


_number = iter(range(1, 100000))


def somebody(system, tenant="acme", password=PASSWORD, **fields):
    login = f"user{next(_number)}@{tenant}.example"
    system.user_add(tenant, login, password, email=login, **fields)
    return login


def address():
    number = next(_number)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def signed_in(system, login, password=PASSWORD, **fields):
    answer = system.sign_in(system.acme, login, password, address(), **fields)
    assert answer["outcome"] == "GRANTED", answer
    return answer


def parallel(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def counts(answers):
    found = {}
    for answer in answers:
        found[answer["outcome"]] = found.get(answer["outcome"], 0) + 1
    return found


def test_a_user_signs_in(system):
    system.user_add("acme", "aiko@acme.example", PASSWORD, name="Aiko", roles="user")
    answer = system.sign_in(system.acme, " Aiko@ACME.example", PASSWORD)
    assert answer["outcome"] == "GRANTED", system.logs()
    assert len(answer["token"]) == 32 and answer["code"] == b"" and answer["ticket"] == b""
    assert system.check(system.acme, answer["token"], SIGN_IN)
    assert not system.check(system.acme, answer["token"], APP)
    assert not system.check(system.rival, answer["token"], SIGN_IN)
    assert not system.check(system.acme, bytes(32), SIGN_IN)


def test_only_hashes_of_tokens_are_stored(system):
    answer = signed_in(system, somebody(system))
    dump = system.database.query("SELECT encode(token_hash, 'hex') FROM session")
    assert session_hash(answer["token"]).hex() in dump
    assert answer["token"].hex() not in dump and answer["token"][8:].hex() not in dump


# ---- guesses ---------------------------------------------------------------------------------------------


def test_200_parallel_guesses_from_many_addresses_get_exactly_ten(system):
    login = somebody(system)
    answers = parallel(200, lambda i: system.sign_in(system.acme, login, f"wrong guess number {i}", address()))
    assert counts(answers) == {"WRONG_CREDENTIALS": 10, "LOCKED": 190}
    right = system.sign_in(system.acme, login, PASSWORD, address())
    assert right["outcome"] == "LOCKED" and 0 < right["wait_s"] <= 3600


def test_200_parallel_guesses_from_one_address_get_exactly_five(system):
    logins, place = [somebody(system) for _ in range(4)], address()
    answers = parallel(200, lambda i: system.sign_in(system.acme, logins[i % 4], f"wrong guess {i}", place))
    assert counts(answers) == {"WRONG_CREDENTIALS": 5, "RATE_LIMITED": 195}
    # The accounts themselves are not locked for others.
    assert system.sign_in(system.acme, logins[0], PASSWORD, address())["outcome"] == "GRANTED"


def test_names_nobody_has_are_counted_in_the_same_way(system):
    answers = parallel(60, lambda i: system.sign_in(system.acme, "nobody@acme.example", f"guess {i}", address()))
    assert counts(answers) == {"WRONG_CREDENTIALS": 10, "LOCKED": 50}


def test_ipv6_counts_by_network(system):
    answers = [system.sign_in(system.acme, somebody(system), "wrong", f"2001:db8:0:7::{i:x}") for i in range(1, 8)]
    assert counts(answers) == {"WRONG_CREDENTIALS": 5, "RATE_LIMITED": 2}


def test_a_right_password_clears_the_account_but_not_the_address(system):
    victim, own, place = somebody(system), somebody(system), address()
    for _ in range(4):
        assert system.sign_in(system.acme, victim, "wrong", place)["outcome"] == "WRONG_CREDENTIALS"
    assert system.sign_in(system.acme, own, PASSWORD, place)["outcome"] == "GRANTED"
    assert system.sign_in(system.acme, victim, "wrong", place)["outcome"] == "WRONG_CREDENTIALS"
    assert system.sign_in(system.acme, victim, "wrong", place)["outcome"] == "RATE_LIMITED"
    for _ in range(3):
        system.sign_in(system.acme, victim, "wrong", address())
    signed_in(system, victim)
    for _ in range(9):
        assert system.sign_in(system.acme, victim, "wrong", address())["outcome"] == "WRONG_CREDENTIALS"
    signed_in(system, victim)


def test_a_lock_does_not_end_sessions_and_an_operator_lifts_it(system):
    login = somebody(system)
    token = signed_in(system, login)["token"]
    parallel(12, lambda i: system.sign_in(system.acme, login, f"guess {i}", address()))
    assert system.sign_in(system.acme, login, PASSWORD, address())["outcome"] == "LOCKED"
    row = system.operate("user_list", {"tenant": "acme", "search": login})["users"][0]
    assert row["state"] == 3 and row["locked_until"] > time.time() * 1000
    assert system.check(system.acme, token, SIGN_IN)
    system.done("user_lock", {"tenant": "acme", "login": login, "locked": False})
    signed_in(system, login)
    system.done("user_lock", {"tenant": "acme", "login": login, "locked": True})
    assert system.sign_in(system.acme, login, PASSWORD, address())["outcome"] == "WRONG_CREDENTIALS"
    assert system.check(system.acme, token, SIGN_IN)


def test_time_tells_nothing_about_names(roomy):
    known, times = somebody(roomy), {"known": [], "unknown": [], "imported": []}
    imported = f"imported{next(_number)}"
    roomy.done("user_import", {"tenant": "acme", "login": imported, "hash":
                               "$2b$12$abcdefghijklmnopqrstuu1bYBSuqdTTUDQwmT2dSSjgkrs6WUnRu"})
    for _ in range(3):  # from here on the authority knows how long such a hash takes on this machine
        roomy.sign_in(roomy.acme, imported, "wrong guess", address())
    for round_number in range(12):
        for kind, login in (("known", known), ("unknown", f"nobody{round_number % 3}"), ("imported", imported)):
            started = time.monotonic()
            assert roomy.sign_in(roomy.acme, login, "wrong guess", address())["outcome"] == "WRONG_CREDENTIALS"
            times[kind].append(time.monotonic() - started)
    medians = {kind: statistics.median(values) for kind, values in times.items()}
    spread = statistics.median(abs(value - medians["known"]) for value in times["known"])
    print({kind: f"{value * 1000:.1f} ms" for kind, value in medians.items()}, f"spread {spread * 1000:.2f} ms")
    assert abs(medians["known"] - medians["unknown"]) < max(0.010, 4 * spread), medians
    assert abs(medians["known"] - medians["imported"]) < max(0.010, 4 * spread), medians


def test_what_is_no_name_or_no_password_is_wrong_like_any_other(system):
    login = somebody(system)
    for name, password in ((login, ""), (login, "x" * 1024), (login, b"\xff\xfe"), ("", PASSWORD), ("a b", PASSWORD),
                           ("x" * 254, PASSWORD), (login, "tab\there")):
        assert system.sign_in(system.acme, name, password, address())["outcome"] == "WRONG_CREDENTIALS"


def test_a_crowd_beyond_the_queue_is_told_to_wait(system):
    login = somebody(system)
    answers = parallel(500, lambda i: system.sign_in(system.acme, login, PASSWORD, address()))
    found = counts(answers)
    assert set(found) <= {"GRANTED", "BUSY_NOW", "LOCKED"} and found["GRANTED"] >= 10, found
    signed_in(system, somebody(system))


# ---- hashes made elsewhere ---------------------------------------------------------------------------------

IMPORTED = {
    "bcrypt": "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    "yescrypt": "$y$j75$abcdefghijklmnop$1kKL1r02wT4HlcktLfzeoOHd1GFgv7Ay4JeEbqGj80B",
    "sha512crypt": "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
}


@pytest.mark.parametrize("scheme", IMPORTED)
def test_an_imported_hash_is_replaced_at_sign_in(system, scheme):
    login = f"{scheme}{next(_number)}"
    system.done("user_import", {"tenant": "acme", "login": login, "hash": IMPORTED[scheme]})
    sealed = f"SELECT encode(password_sealed, 'hex') FROM account WHERE login = '{login}'"
    before = system.database.query(sealed)
    assert system.sign_in(system.acme, login, "correct horsf", address())["outcome"] == "WRONG_CREDENTIALS"
    assert system.database.query(sealed) == before
    signed_in(system, login, "correct horse")
    deadline = time.monotonic() + 10
    while system.database.query(sealed) == before:
        assert time.monotonic() < deadline, "not replaced"
        time.sleep(0.05)
    after = system.database.query(sealed)
    assert len(after) > 2 * 97  # an argon2id text of 97 characters under its seal
    signed_in(system, login, "correct horse")
    time.sleep(0.3)
    assert system.database.query(sealed) == after


def test_hashes_that_cannot_be_checked_are_refused(system):
    for text in ("", "plain text", "$1$salt$qJH7.N4xYta3aEG/dfqo/0", IMPORTED["bcrypt"].replace("$05$", "$31$")):
        answer = system.operate("user_import", {"tenant": "acme", "login": f"bad{next(_number)}", "hash": text})
        assert OUTCOMES[answer["outcome"]] == "NOT_VALID" and answer["reason"]


def test_full_width_and_decomposed_input_is_the_same_password(system):
    login = somebody(system, password="Ｔｈｅ　gate が opens 2026")
    signed_in(system, login, "The gate \u304b\u3099 opens 2026")


# ---- sessions ----------------------------------------------------------------------------------------------


def test_a_sign_in_never_keeps_the_token_the_browser_came_with(system):
    login, other = somebody(system), somebody(system)
    first = signed_in(system, login)
    planted = signed_in(system, other)
    second = signed_in(system, login, previous=session_hash(planted["token"]))
    assert len({first["token"], second["token"], planted["token"]}) == 3
    assert not system.check(system.acme, planted["token"], SIGN_IN)
    assert system.check(system.acme, first["token"], SIGN_IN)


def entered(system, token):
    """A session on the app host from a session on the sign-in origin."""
    secret, binding = nonce()
    code = system.ask("code_issue", tenant=system.acme, session=session_hash(token), host=APP, binding=binding)
    assert code["outcome"] == "GRANTED"
    answer = system.enter(system.acme, APP, code["code"], secret)
    assert answer["outcome"] == "GRANTED"
    return answer["token"]


def test_a_code_works_once_for_its_browser_host_and_tenant(system):
    login = somebody(system)
    secret, binding = nonce()
    answer = signed_in(system, login, host=APP, binding=binding)
    assert system.enter(system.acme, APP, answer["code"], secret)["outcome"] == "GRANTED"
    assert system.enter(system.acme, APP, answer["code"], secret)["outcome"] == "TICKET_SPENT"
    for tenant, host, right in ((system.acme, APP, False), (system.acme, SIGN_IN, True), (system.acme, "rival.localhost", True),
                                (system.rival, "rival.localhost", True), (system.rival, APP, True)):
        answer = signed_in(system, login, host=APP, binding=binding)
        refused = system.enter(tenant, host, answer["code"], secret if right else bytes(32))
        assert refused["outcome"] == "TICKET_SPENT" and refused["token"] == b""
        assert system.enter(system.acme, APP, answer["code"], secret)["outcome"] == "TICKET_SPENT"
    late = signed_in(system, login, host=APP, binding=binding)
    system.database.query("UPDATE entry_code SET expires_at = expires_at - interval '60 seconds'")
    assert system.enter(system.acme, APP, late["code"], secret)["outcome"] == "TICKET_SPENT"


def test_one_code_of_many_exchanges_at_once_gives_one_session(system):
    secret, binding = nonce()
    code = signed_in(system, somebody(system), host=APP, binding=binding)["code"]
    assert counts(parallel(20, lambda i: system.enter(system.acme, APP, code, secret))) == {"GRANTED": 1, "TICKET_SPENT": 19}


def test_a_foreign_host_gets_no_code(system):
    login, (_secret, binding) = somebody(system), nonce()
    for host in ("rival.localhost", SIGN_IN, "unknown.localhost"):
        assert system.sign_in(system.acme, login, PASSWORD, address(), host=host, binding=binding)["outcome"] == "HOST_NOT_YOURS"


def test_signing_out_ends_the_family_everywhere(system):
    login = somebody(system)
    token, stays = signed_in(system, login)["token"], signed_in(system, login)["token"]
    app = entered(system, token)
    assert system.check(system.acme, app, APP)
    assert system.ask("sign_out", tenant=system.acme, session=session_hash(app))["outcome"] == "GRANTED"
    assert not system.check(system.acme, app, APP) and not system.check(system.acme, token, SIGN_IN)
    assert system.check(system.acme, stays, SIGN_IN)


def test_own_sessions_are_listed_and_ended_and_nobody_elses(system):
    login, stranger = somebody(system), somebody(system)
    tokens = [signed_in(system, login)["token"] for _ in range(3)]
    foreign = signed_in(system, stranger)["token"]
    entered(system, tokens[0])
    listed = system.ask("session_list_own", tenant=system.acme, session=session_hash(tokens[0]))["sessions"]
    assert len(listed) == 3 and [row["current"] for row in listed] == [True, False, False]
    assert listed[0]["hosts"] == APP and listed[0]["user_agent"] == "tests"
    theirs = system.ask("session_list_own", tenant=system.acme, session=session_hash(foreign))["sessions"][0]["family"]
    end = lambda scope, family=b"": system.ask("session_end", session=session_hash(tokens[0]), scope=scope, family=family)
    assert end(SCOPE_ONE, theirs)["ended"] == 0 and system.check(system.acme, foreign, SIGN_IN)
    assert end(SCOPE_ONE, listed[1]["family"])["ended"] == 1
    assert end(SCOPE_OTHERS)["ended"] == 1 and system.check(system.acme, tokens[0], SIGN_IN)
    assert end(SCOPE_OWN)["ended"] == 1 and not system.check(system.acme, tokens[0], SIGN_IN)
    for scope in (4, 5, 6):  # an operator's
        answer = system.ask("session_end", session=session_hash(foreign), scope=scope, tenant="acme", login=login, family=theirs)
        assert answer["outcome"] == "NOT_ALLOWED"


def test_an_operator_ends_one_family_whatever_is_left_of_it(system):
    token, other = signed_in(system, somebody(system))["token"], signed_in(system, somebody(system))["token"]

    def family_of(token):
        return system.ask("session_list_own", tenant=system.acme, session=session_hash(token))["sessions"][0]["family"]

    def end(family):
        answer = system.operate("session_end", {"scope": SCOPE_FAMILY, "family": family})
        return OUTCOMES[answer["outcome"]], answer["ended"]
    family, left = family_of(token), family_of(other)
    assert end(family) == ("GRANTED", 1) and not system.check(system.acme, token, SIGN_IN)
    assert end(family) == ("NOT_KNOWN", 0)
    # Its row is gone, but the connection broke before anybody heard of it: the gate's table still has it.
    system.database.query(f"DELETE FROM session_family WHERE id = {int.from_bytes(left[8:], 'big')}")
    assert end(left) == ("GRANTED", 1)
    assert end(left) == ("NOT_KNOWN", 0)


def test_sessions_end_when_idle_and_at_their_absolute_limit(system):
    login = somebody(system)
    idle, absolute, stays = (signed_in(system, login)["token"] for _ in range(3))
    family = "id = (SELECT family FROM session WHERE token_hash = '\\x{}')"
    system.database.query("UPDATE session_family SET last_seen_at = last_seen_at - idle_ms * interval '1 ms' WHERE "
                          + family.format(session_hash(idle).hex()))
    system.database.query("UPDATE session_family SET expires_at = now() WHERE " + family.format(session_hash(absolute).hex()))
    assert not system.check(system.acme, idle, SIGN_IN)
    assert not system.check(system.acme, absolute, SIGN_IN)
    assert system.check(system.acme, stays, SIGN_IN)
    deadline = time.monotonic() + 45
    left = f"SELECT count(*) FROM session WHERE token_hash IN ('\\x{session_hash(idle).hex()}', '\\x{session_hash(absolute).hex()}')"
    while system.database.query(left) != "0":
        assert time.monotonic() < deadline, "the rows stay"
        time.sleep(0.5)


def test_disabling_a_user_ends_its_sessions_at_once_also_those_being_started(system):
    login = somebody(system)
    before = [signed_in(system, login)["token"] for _ in range(2)]
    started, stop = [], threading.Event()

    def keep_signing_in(_):
        while not stop.is_set():
            answer = system.sign_in(system.acme, login, PASSWORD, address())
            if answer["outcome"] == "GRANTED":
                started.append(answer["token"])

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        work = [pool.submit(keep_signing_in, i) for i in range(6)]
        time.sleep(1.0)
        system.done("user_disable", {"tenant": "acme", "login": login, "disabled": True})
        granted = list(started)
        alive = [token for token in before + granted if system.check(system.acme, token, SIGN_IN)]
        stop.set()
        concurrent.futures.wait(work)
    assert alive == [] and granted
    assert system.database.query(f"SELECT count(*) FROM session_family f JOIN account a ON a.id = f.account WHERE a.login = '{login}'") == "0"
    system.done("user_disable", {"tenant": "acme", "login": login, "disabled": False})
    assert not any(system.check(system.acme, token, SIGN_IN) for token in before + started)
    signed_in(system, login)


def test_disabling_and_giving_roles_take_turns(roomy):
    """Both want the lock of all sign-ins and the tenant's row: in one order, or they would wait for each other for ever."""
    for name in ("turn1", "turn2", "turn3"):
        roomy.user_add("acme", f"{name}@acme.example", PASSWORD, roles="administrator")
    took = []

    def times(count, *steps):
        for _ in range(count):
            for name, values in steps:
                started = time.monotonic()
                roomy.done(name, {"tenant": "acme", **values})
                took.append(time.monotonic() - started)

    disable = [("user_disable", {"login": "turn1@acme.example", "disabled": flag}) for flag in (True, False)]
    roles = [("user_roles_set", {"login": "turn2@acme.example", "roles": roles}) for roles in ("user", "administrator")]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(times, 15, *steps) for steps in (disable, roles, disable, roles)]:
            done.result()
    assert max(took) < 10, max(took)


def test_of_many_who_change_a_groups_roles_at_once_one_does(roomy):
    roomy.done("group_set", {"tenant": "acme", "name": "turns", "roles": "user"})
    wanted = {"tenant": "acme", "name": "turns", "expected": sha256(b"user")}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tried = [pool.submit(roomy.operate, "group_set", {**wanted, "roles": roles}) for roles in ("auditor", "approver") * 4]
        outcomes = [OUTCOMES[one.result()["outcome"]] for one in tried]
    assert sorted(outcomes) == ["CHANGED_MEANWHILE"] * 7 + ["GRANTED"], outcomes


def test_a_role_removed_at_that_moment_stays_in_no_group(roomy):
    """Both saw the role; the removal is first with the tenant's lock, and who gives the role to a group finds it gone."""
    database = roomy.database
    for name in ("passing", "staying"):
        roomy.done("role_set", {"tenant": "acme", "name": name, "label": name, "permissions": "users.read"})
    roomy.done("group_set", {"tenant": "acme", "name": "there", "roles": "staying"})
    remover = subprocess.Popen(["psql", "-qAtX", "-h", str(database.directory), "-U", "masugata", "-d", "postgres"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    remover.stdin.write("BEGIN; SELECT 'held' FROM tenant WHERE name = 'acme' FOR UPDATE; DELETE FROM tenant_role WHERE name = 'passing';\n")
    remover.stdin.flush()
    assert remover.stdout.readline().strip() == "held"
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(roomy.operate, "group_set", {"tenant": "acme", "name": name, "roles": "staying passing"}) for name in ("there", "new")]
        wait_until(lambda: int(database.query(waiting)) == 2, 30, what="both to wait for the tenant")
        remover.communicate("COMMIT;\n")
        assert [OUTCOMES[one.result()["outcome"]] for one in tried] == ["CHANGED_MEANWHILE"] * 2
    assert database.query("SELECT name || ':' || roles FROM tenant_group WHERE name IN ('there', 'new')") == "there:staying"
    # The other way round it is in use, and so is one that a provider's mapping names.
    assert OUTCOMES[roomy.operate("role_remove", {"tenant": "acme", "name": "staying"})["outcome"]] == "IN_USE"


def test_suspending_a_tenant_ends_its_sessions_and_nobody_elses(system):
    made = system.tenant_add(f"hall{next(_number)}")
    name = system.operate("tenant_list", {})["tenants"]
    name = next(row["name"] for row in name if row["tenant"] == made)
    login = somebody(system, name)
    other = signed_in(system, somebody(system))["token"]
    answer = system.sign_in(made, login, PASSWORD, address())
    assert system.check(made, answer["token"], f"id.{name}.localhost")
    assert system.done("tenant_suspend", {"tenant": name, "suspended": True})["ended"] == 1
    assert not system.check(made, answer["token"], f"id.{name}.localhost")
    assert system.sign_in(made, login, PASSWORD, address())["outcome"] == "TENANT_CLOSED"
    assert system.check(system.acme, other, SIGN_IN)
    system.done("tenant_suspend", {"tenant": name, "suspended": False})
    assert not system.check(made, answer["token"], f"id.{name}.localhost")
    assert system.sign_in(made, login, PASSWORD, address())["outcome"] == "GRANTED"


# ---- passwords -----------------------------------------------------------------------------------------------


def change(system, token, current, password):
    return system.ask("password_change", tenant=system.acme, session=session_hash(token), current=current, password=password,
                      address=address())


def test_a_changed_password_ends_the_other_sessions(system):
    login = somebody(system)
    token, other = signed_in(system, login)["token"], signed_in(system, login)["token"]
    assert change(system, token, "wrong", OTHER_PASSWORD)["outcome"] == "WRONG_CREDENTIALS"
    assert change(system, token, PASSWORD, "too short")["outcome"] == "PASSWORD_TOO_SHORT"
    assert change(system, token, PASSWORD, "password12345678")["outcome"] == "PASSWORD_COMMON"
    assert change(system, token, PASSWORD, login)["outcome"] == "PASSWORD_LIKE_NAME"
    assert change(system, token, PASSWORD, PASSWORD)["outcome"] == "PASSWORD_SAME"
    answer = change(system, token, PASSWORD, OTHER_PASSWORD)
    assert (answer["outcome"], answer["ended"]) == ("GRANTED", 1)
    assert system.check(system.acme, token, SIGN_IN) and not system.check(system.acme, other, SIGN_IN)
    assert system.sign_in(system.acme, login, PASSWORD, address())["outcome"] == "WRONG_CREDENTIALS"
    signed_in(system, login, OTHER_PASSWORD)


def test_the_current_password_cannot_be_guessed_from_an_open_session(system):
    token = signed_in(system, somebody(system))["token"]
    answers = parallel(40, lambda i: change(system, token, f"guess {i}", OTHER_PASSWORD))
    assert counts(answers) == {"WRONG_CREDENTIALS": 10, "LOCKED": 30}


def mails(system, login):
    """All mails that wait, taken as the worker takes them."""
    found = []
    while (mail := system.worker.ask("mail_next"))["mail"]:
        system.worker.ask("mail_done", {"mail": mail["mail"], "sent": True})
        found.append(mail)
    return [mail for mail in found if mail["recipient"] == login]


def request_reset(system, login, place=None):
    return system.ask("reset_request", tenant=system.acme, login=login, address=place or address(), language="ja")["outcome"]


def complete(system, ticket, password, tenant=None):
    return system.ask("reset_complete", tenant=tenant or system.acme, ticket=ticket, password=password, address=address())["outcome"]


def test_a_reset_by_mail_works_once_and_ends_every_session(system):
    login = somebody(system)
    token = signed_in(system, login)["token"]
    assert request_reset(system, login) == "GRANTED" and request_reset(system, "nobody@acme.example") == "GRANTED"
    (mail,) = mails(system, login)
    assert mail["kind"] == "reset" and mail["sign_in_origin"].startswith("https://id.acme.localhost")
    ticket = mail["ticket"]
    assert sha256(ticket).hex() in system.database.query("SELECT encode(ticket_hash, 'hex') FROM ticket")
    look = system.ask("reset_look", tenant=system.acme, ticket=ticket, address=address())
    assert (look["outcome"], look["login"]) == ("GRANTED", login)
    assert complete(system, ticket, OTHER_PASSWORD, tenant=system.rival) == "TICKET_SPENT"
    assert complete(system, ticket, "short") == "PASSWORD_TOO_SHORT"
    outcomes = parallel(8, lambda i: complete(system, ticket, OTHER_PASSWORD))
    assert sorted(outcomes) == ["GRANTED"] + ["TICKET_SPENT"] * 7
    assert not system.check(system.acme, token, SIGN_IN)
    signed_in(system, login, OTHER_PASSWORD)
    assert [mail["kind"] for mail in mails(system, login)] == ["password_changed"]


def test_reset_requests_are_limited_by_address_and_expire(system):
    login, place = somebody(system), address()
    outcomes = parallel(30, lambda i: request_reset(system, login, place))
    assert sorted(set(outcomes)) == ["GRANTED", "RATE_LIMITED"] and outcomes.count("GRANTED") == 5
    (mail,) = mails(system, login)  # one mail a minute for one person
    system.database.query("UPDATE ticket SET expires_at = now()")
    assert complete(system, mail["ticket"], OTHER_PASSWORD) == "TICKET_SPENT"


def test_a_locked_out_person_comes_back_by_reset(system):
    login = somebody(system)
    parallel(12, lambda i: system.sign_in(system.acme, login, f"guess {i}", address()))
    assert system.sign_in(system.acme, login, PASSWORD, address())["outcome"] == "LOCKED"
    request_reset(system, login)
    assert complete(system, mails(system, login)[0]["ticket"], OTHER_PASSWORD) == "GRANTED"
    signed_in(system, login, OTHER_PASSWORD)


def test_an_invited_person_sets_the_first_password(system):
    login = somebody(system, password="")
    assert system.sign_in(system.acme, login, "", address())["outcome"] == "WRONG_CREDENTIALS"
    (mail,) = mails(system, login)
    assert mail["kind"] == "invite"
    assert complete(system, mail["ticket"], PASSWORD) == "GRANTED"
    signed_in(system, login)


def test_a_password_given_by_an_operator_must_be_changed(system):
    login = somebody(system, must_change=True)
    answer = system.sign_in(system.acme, login, PASSWORD, address())
    assert answer["outcome"] == "PASSWORD_MUST_CHANGE" and answer["token"] == b"" and len(answer["ticket"]) == 32
    assert complete(system, answer["ticket"], OTHER_PASSWORD) == "GRANTED"
    signed_in(system, login, OTHER_PASSWORD)


# ---- faults ----------------------------------------------------------------------------------------------------


def test_sessions_survive_the_authority(system):
    token = signed_in(system, somebody(system))["token"]
    app = entered(system, token)
    system.restart_authority()
    assert system.check(system.acme, token, SIGN_IN) and system.check(system.acme, app, APP)


def test_without_the_audit_log_nobody_signs_in(system):
    login = somebody(system)
    system.processes["audit"].stop(kill=True)
    with pytest.raises(Failed):
        system.sign_in(system.acme, login, PASSWORD, address())
    assert system.database.query(
        f"SELECT count(*) FROM session_family f JOIN account a ON a.id = f.account WHERE a.login = '{login}'") == "0"
    system.start_process("audit")
    system.wire("keys", "audit")
    system.wire("audit", "authority")
    signed_in(system, login)


def test_a_guess_that_was_answered_is_counted_after_a_crash_of_the_database():
    """Whoever could crash the database would guess without end. The WAL writer is put to sleep, so that only what was
    waited for is on the disk; an immediate stop throws the rest away, as a crash does."""
    with IdentitySystem() as system:
        system.acme = system.tenant_add("acme")
        login = somebody(system)
        system.database.query("ALTER SYSTEM SET wal_writer_delay = '10s'")
        system.database.query("SELECT pg_reload_conf()")
        time.sleep(0.5)
        for number in range(3):
            assert system.sign_in(system.acme, login, f"guess {number}", address())["outcome"] == "WRONG_CREDENTIALS"
        system.database.stop()
        data = system.directory / "pg/data"
        system.database.run("pg_ctl", "-D", str(data), "-o", f"-k {data.parent} -c listen_addresses=", "-l", str(data.parent / "log"),
                            "-w", "start")
        assert system.database.query("SELECT max(in_a_row) FROM attempt WHERE kind = 1") == "3"
