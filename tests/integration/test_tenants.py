"""Tenants at the authority's boundary: many of them, broken ones beside sound ones, and what operators ask. The
worker and the launcher are the test's."""

import threading

import pytest

from harness import wait_until
from identity_system import OUTCOMES, IdentitySystem, Peer, session_hash
from messages import ERRORS

MANY = 3000
PASSWORD = "lanterns drift upstream"


class Hands(Peer):
    """A worker that cannot make some databases, and says which it was asked for."""

    def __init__(self, channel, serve):
        self.broken, self.asked = set(), []
        super().__init__(channel, serve)

    def _answer(self, name, call, fields):
        if name == "tenant_provision":
            self.asked.append(fields["tenant"])
            if fields["tenant"] in self.broken:
                with self.lock:
                    self.channel.send("reply", "failed", {"code": ERRORS.index("SYSTEM"), "detail": "no disk"}, call)
                return
        super()._answer(name, call, fields)


@pytest.fixture(scope="module")
def system():
    with IdentitySystem() as made:
        made.done("tenant_list")  # it has started with the peers it was given
        made.applied, made.lists, lock = [], [], threading.Lock()

        def apply(fields):
            with lock:
                if fields["at"] == 0:
                    made.applied = []
                made.applied += fields["sites"]
                if fields["last"]:
                    made.lists.append(made.applied)
            return {"changed": True}

        made.launcher.serve["nginx_apply"] = apply
        serve = made.worker.serve | {"tenant_credentials_rotate": lambda fields: {"rotated_at": 1234567}}
        made.worker = Hands(made.processes["authority"].attach("worker"), serve)
        made.user_add("", "root", PASSWORD, roles="operator")
        yield made


def operator(system):
    return session_hash(system.sign_in_operator("root", PASSWORD))


def names(system):
    found, after = [], ""
    while True:
        page = system.done("tenant_list", {"after": after})
        found += [row["name"] for row in page["tenants"]]
        if not page["more"]:
            return found
        after = found[-1]


def test_a_tenant_that_cannot_be_made_keeps_no_other_waiting(system):
    first = system.done("tenant_add", {"name": "aaa", "label": "A", "hosts": "aaa.localhost", "sign_in_host": "id.aaa.localhost",
                                       "upstream": "127.0.0.1:1"})["tenant"]
    system.worker.broken.add(first + 1)
    broken = system.done("tenant_add", {"name": "aab", "label": "A", "hosts": "aab.localhost", "sign_in_host": "id.aab.localhost",
                                        "upstream": "127.0.0.1:1"})["tenant"]
    assert broken == first + 1
    system.tenant_add("aac")  # waits until it is open
    wait_until(lambda: system.worker.asked.count(broken) > 2, 20, what="further tries")
    assert not system.portal.ask("site", {"tenant": broken})["open"]
    system.worker.broken.clear()
    wait_until(lambda: system.portal.ask("site", {"tenant": broken})["open"], 20, what="the one that was broken")


def test_the_operators_host_is_nobodys(system):
    for fields in ({"hosts": "x.localhost console.localhost", "sign_in_host": "id.x.localhost"},
                   {"hosts": "x.localhost", "sign_in_host": "console.localhost"}):
        answer = system.operate("tenant_add", {"name": "x", "label": "X", "upstream": "127.0.0.1:1", **fields})
        assert OUTCOMES[answer["outcome"]] in ("TAKEN", "NOT_VALID")


def test_a_tenant_may_begin_with_a_plan_of_backups_of_its_own(system):
    fields = {"label": "P", "upstream": "127.0.0.1:1"}
    for name, plan in (("plan-a", "year"), ("plan-b", "deployment"), ("plan-c", "")):
        system.done("tenant_add", fields | {"name": name, "hosts": f"{name}.localhost", "sign_in_host": f"id.{name}.localhost",
                                            "backup_plan": plan})
        settings = system.done("tenant_policy", {"tenant": name})["settings"]
        assert [row["value"] for row in settings if row["keyword"] == "backup.plan"] == (["year"] if plan == "year" else [])
    wrong = system.operate("tenant_add", fields | {"name": "plan-d", "hosts": "plan-d.localhost", "sign_in_host": "id.plan-d.localhost",
                                                   "backup_plan": "never"})
    assert OUTCOMES[wrong["outcome"]] == "NOT_VALID" and wrong["reason"].startswith("BACKUP_PLAN|window72, "), wrong


def test_only_the_command_line_starts_an_example_application(system):
    fields = {"name": "ex", "label": "X", "hosts": "ex.localhost", "sign_in_host": "id.ex.localhost"}
    session = operator(system)
    for upstream, hosts in (("example:jupyter", "ex.localhost"), ("127.0.0.1:1", "ex.localhost=example:jupyter")):
        answer = system.portal.ask("tenant_add", fields | {"session": session, "upstream": upstream, "hosts": hosts})
        assert OUTCOMES[answer["outcome"]] == "NOT_VALID", answer
    system.done("tenant_add", fields | {"upstream": "example:notes"})


def test_a_list_asked_by_name_has_that_tenant_alone(system):
    system.tenant_add("bbb")
    system.user_add("bbb", "somebody", PASSWORD)
    session = operator(system)
    for answer in (system.done("tenant_list", {"name": "bbb"}), system.portal.ask("tenant_list", {"session": session, "name": "bbb"})):
        assert [(row["name"], row["users"], row["sessions"]) for row in answer["tenants"]] == [("bbb", 1, 0)]
    assert system.done("tenant_list", {"name": "nobody"})["tenants"] == []


def test_a_session_without_its_row_ends_all_the_same(system):
    """The connection to the database breaks between a deletion and its answer: the row is gone, and whoever
    revokes again must not be told that there was nothing while the session goes on."""
    session = operator(system)
    assert system.ask("tenant_list", session=session)["outcome"] == "GRANTED"
    system.database.query("DELETE FROM session_family WHERE tenant = 0")
    assert system.ask("tenant_list", session=session)["outcome"] == "GRANTED"  # the table has it still
    system.done("session_end", {"scope": 4, "login": "root"})
    assert system.ask("tenant_list", session=session)["outcome"] == "NOT_ALLOWED"


def test_a_password_is_replaced_by_hand(system):
    number = system.tenant_add("ccc")
    for name in ("ccc", "ccc.localhost", "id.ccc.localhost"):
        answer = system.done("tenant_rotate", {"name": name})
        assert answer["tenant"] == "ccc" and answer["rotated_at"] == 1234567
    for name in ("", "console.localhost", "nobody"):
        assert OUTCOMES[system.operate("tenant_rotate", {"name": name})["outcome"]] == "NOT_KNOWN"
    events = system.operate("audit_events", {"tenant": "ccc", "event": "credential_rotate", "limit": 10})["entries"]
    assert number and len(events) == 3 and all("uid:" in entry["event"] for entry in events)


def test_three_thousand_tenants_fit_in_every_list(system):
    system.database.query(
        "INSERT INTO tenant (name, label, sign_in_host, upstream, created_at, ready_at)"
        f" SELECT 'many-' || n, 'Many ' || n, 'id.many-' || n || '.localhost', '127.0.0.1:8080', now(), now()"
        f" FROM generate_series(1, {MANY}) n;"
        "INSERT INTO tenant_host (host, tenant, origin) SELECT name || '.localhost', number, 1 FROM tenant WHERE name LIKE 'many-%';"
        "INSERT INTO tenant_host (host, tenant, origin) SELECT sign_in_host, number, 2 FROM tenant WHERE name LIKE 'many-%';")
    system.tenant_add("zzz")  # brings the lists up to date
    known = names(system)
    assert known == sorted(known) and len(set(known)) == len(known) >= MANY + 5
    watch = Peer(system.processes["authority"].attach("watch"))
    numbers = []
    while True:
        page = watch.ask("tenant_parts", {"after": numbers[-1] if numbers else 0})
        numbers += [row["tenant"] for row in page["tenants"]]
        if not page["more"]:
            break
    assert numbers == sorted(numbers) and len(set(numbers)) == len(known)
    wait_until(lambda: len({row["host"] for row in system.lists[-1]}) == 2 * len(known) + 1, 30, what="every origin at nginx")
    assert len(system.lists[-1]) == 2 * len(known) + 1
    # Found by name, number and host among them all.
    last = next(row for row in system.done("tenant_list", {"name": f"many-{MANY}"})["tenants"])
    site = system.portal.ask("site", {"tenant": last["tenant"], "host": f"many-{MANY}.localhost"})
    assert site["open"] and site["app_origin"].startswith(f"https://many-{MANY}.localhost")
    assert system.portal.ask("site", {"tenant": last["tenant"], "host": "many-1.localhost"})["app_origin"] == ""
