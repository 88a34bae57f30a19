"""Does size matter? The same requests with 100 and with 100,000 users in a tenant, and with 10 and with 10,000 tenants:
sign-in, the console's search of users, SCIM's filter by userName. Budget: p95 at most 1.5 times that of the small one
(DESIGN.md section 11).

Asked where the portal asks (identity_system.py), of the real authority with a real PostgreSQL. Small and large are
two systems that are measured in turn, one request each, so that what else the machine does touches both."""

import base64
import contextlib
import hashlib
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from identity_system import OUTCOMES, IdentitySystem, session_hash  # noqa: E402

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 200
USERS = (100, int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
TENANTS = (10, int(sys.argv[3]) if len(sys.argv) > 3 else 10_000)
PASSWORD = "lanterns drift upstream"
EQ = 1


def attribute(name):
    text = (pathlib.Path(__file__).resolve().parents[2] / "catalogue/scim.def").read_text()
    rows = [line.split("(")[1].split(",")[0] for line in text.splitlines() if line.startswith("SCIM_ATTRIBUTE(")]
    return 1 + rows.index(name)


def fill_users(system, tenant, count):
    """Names as people have them, in rows as the authority writes them; statistics as autovacuum makes them."""
    system.database.query(
        f"INSERT INTO account (tenant, login, name, email, roles, created_at, external_id) SELECT {tenant}, "
        "md5(i::text) || '@acme.example', initcap(substr(md5('g' || i), 1, 6)) || ' ' || initcap(substr(md5('f' || i), 1, 8)), "
        f"md5(i::text) || '@acme.example', 'user', now(), 'ext-' || i FROM generate_series(1, {count}) i")
    system.database.query("ANALYZE")


def fill_tenants(system, count):
    system.database.query(
        "INSERT INTO tenant (name, label, sign_in_host, upstream, created_at, ready_at) SELECT 't' || i, 'T' || i, "
        f"'id.t' || i || '.localhost', '127.0.0.1:1', now(), now() FROM generate_series(1, {count}) i")
    system.database.query("INSERT INTO tenant_host (host, tenant, origin) SELECT name || '.localhost', number, 1 FROM tenant WHERE label LIKE 'T%'"
                          " ON CONFLICT DO NOTHING")
    system.database.query("INSERT INTO tenant_host (host, tenant, origin) SELECT sign_in_host, number, 2 FROM tenant WHERE label LIKE 'T%'"
                          " ON CONFLICT DO NOTHING")
    system.database.query("ANALYZE")
    system.restart_authority()
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(Exception):
            system.portal.ask("site", {"tenant": 1})
            return
        assert time.monotonic() < deadline, system.logs()[-2000:]
        time.sleep(0.1)


class Side:
    """One system with its size, and what is asked of it."""

    def __init__(self, system):
        self.system = system
        self.tenant = system.tenant_add("acme")
        system.user_add("acme", "aiko@acme.example", PASSWORD, roles="administrator")
        self.device, self.count = b"", 0

    def prepare(self):
        system = self.system
        system.done("service_add", {"tenant": "acme", "login": "directory", "roles": "administrator"})
        made = system.done("token_add", {"tenant": "acme", "account": "directory", "label": "bench", "permissions": "users.provision",
                                         "expires_at": int((time.time() + 86400) * 1000)})
        text = made["secret"].decode()[4:56]  # without prefix and check (src/domain/api_token.h)
        self.token = hashlib.sha256(base64.b32decode(text.upper() + "====")).digest()
        self.sign_in()

    def sign_in(self):
        started = time.monotonic()
        answer = self.system.sign_in(self.tenant, "aiko@acme.example", PASSWORD, device=self.device)
        took = time.monotonic() - started
        assert answer["outcome"] == "GRANTED", answer
        self.device, self.session = answer["device"], session_hash(answer["token"])
        return took

    def search(self):
        """Somebody's first letters, as they are typed into the console."""
        self.count += 1
        typed = hashlib.md5(str(self.count % 100 + 1).encode()).hexdigest()[:6]
        started = time.monotonic()
        answer = self.system.portal.ask("user_list", {"session": self.session, "search": typed})
        took = time.monotonic() - started
        assert OUTCOMES[answer["outcome"]] == "GRANTED" and answer["users"], answer
        return took

    def scim(self):
        self.count += 1
        login = hashlib.md5(str(self.count % 100 + 1).encode()).hexdigest() + "@acme.example"
        node = {"operation": EQ, "attribute": attribute("user_name"), "text": login, "flag": False, "instant": 0}
        started = time.monotonic()
        answer = self.system.portal.ask("scim_users", {"session": self.token, "filter": [node], "start": 1, "count": 100})
        took = time.monotonic() - started
        assert OUTCOMES[answer["outcome"]] == "GRANTED" and answer["total"] == 1, answer
        return took


def compare(name, sizes, small, large, asked):
    one, other = getattr(small, asked), getattr(large, asked)
    times = ([], [])
    for turn in range(-20, ROUNDS):
        for side, run in enumerate((one, other)):
            took = run() * 1000
            if turn >= 0:
                times[side].append(took)
    p95 = [statistics.quantiles(values, n=20)[-1] for values in times]
    middle = [statistics.median(values) for values in times]
    ratio = p95[1] / p95[0]
    print(f"{name:28} {sizes[0]:>7,}: {middle[0]:7.2f} / {p95[0]:7.2f} ms   {sizes[1]:>7,}: {middle[1]:7.2f} / {p95[1]:7.2f} ms   "
          f"p95 ratio {ratio:.2f}{'' if ratio <= 1.5 else '  OVER 1.5'}", flush=True)
    return ratio <= 1.5


def main():
    fine = True
    options = {"lockout__address__attempts": "1000", "api__rate": "1000"}
    print(f"{ROUNDS} rounds in turn; median / p95")
    with IdentitySystem(**options) as one, IdentitySystem(**options) as other:
        sides = [Side(one), Side(other)]
        for side, count in zip(sides, USERS):
            fill_users(side.system, side.tenant, count)
            side.prepare()
        for name, asked in (("sign-in, users", "sign_in"), ("console search, users", "search"), ("SCIM userName eq, users", "scim")):
            fine = compare(name, USERS, *sides, asked) and fine
    with IdentitySystem(**options) as one, IdentitySystem(**options) as other:
        sides = [Side(one), Side(other)]
        for side, count in zip(sides, TENANTS):
            fill_tenants(side.system, count)
            fill_users(side.system, side.tenant, 100)
            side.prepare()
        for name, asked in (("sign-in, tenants", "sign_in"), ("console search, tenants", "search"), ("SCIM userName eq, tenants", "scim")):
            fine = compare(name, TENANTS, *sides, asked) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
