"""Service accounts and API tokens as the command line keeps them: what may be issued, shown once, kept as a hash."""

import json
import re

import pytest

from harness import Deployment


@pytest.fixture(scope="module")
def deployment():
    with Deployment() as made:
        made.tenant_add("acme", "127.0.0.1:9")
        made.masugata("user", "add", "hana@acme.example", "--tenant", "acme", "--name", "Hana", "--roles", "administrator",
                      "--password-stdin", input="correct horse battery staple")
        made.masugata("token", "account", "sync", "--tenant", "acme", "--name", "Directory", "--roles", "auditor")
        yield made


def issue(deployment, account="sync", permissions="users.read", label="test", **more):
    arguments = [word for key, value in more.items() for word in (f"--{key}", str(value))]
    return deployment.masugata("token", "add", account, "--tenant", "acme", "--label", label, "--permissions", permissions, *arguments,
                               "--json", check=False)


def test_a_token_is_shown_once(deployment):
    made = json.loads(issue(deployment, label="nightly", days=7).stdout)
    assert re.fullmatch(r"mgk_[a-z2-7]{59}", made["secret"])
    listed = deployment.masugata("token", "list", "--tenant", "acme", "--json").stdout
    row = next(row for row in json.loads(listed)["tokens"] if row["token"] == made["token"])
    assert row["hint"] == made["secret"][:8] and row["permissions"] == "users.read" and row["last_used_at"] is None
    assert made["secret"] not in listed and made["secret"][8:] not in listed
    recorded = deployment.masugata("audit", "search", "--tenant", "acme", "--event", "token_issue", "--json").stdout
    assert "nightly" in recorded and made["secret"][8:] not in recorded
    deployment.masugata("token", "revoke", str(made["token"]), "--tenant", "acme")
    assert deployment.masugata("token", "revoke", str(made["token"]), "--tenant", "acme", check=False).returncode == 1
    assert "token_revoke" in deployment.masugata("audit", "search", "--tenant", "acme", "--event", "token_revoke").stdout


@pytest.mark.parametrize("what", [{"permissions": "users.change"}, {"permissions": ""}, {"permissions": "king"}, {"permissions": "tenants.read"},
                                  {"label": ""}, {"days": 0}, {"account": "nobody"}, {"account": "hana@acme.example"}])
def test_what_is_not_issued(deployment, what):
    assert issue(deployment, **what).returncode in (1, 2)


@pytest.mark.parametrize("name,roles", [("a@acme.example", "user"), ("sync", "user"), ("Sync", "user"), ("", "user"), ("x", "king"), ("x", "operator")])
def test_what_is_no_service_account(deployment, name, roles):
    assert deployment.masugata("token", "account", name, "--tenant", "acme", "--roles", roles, check=False).returncode in (1, 2)


def test_nobody_signs_in_as_a_program(deployment):
    assert deployment.masugata("user", "invite", "sync", "--tenant", "acme", check=False).returncode in (1, 2)
    assert deployment.masugata("user", "invite", "sync", "--tenant", "acme", "--link", check=False).returncode in (1, 2)
    assert "sync" not in [row["login"] for row in deployment.json("user", "list", "--tenant", "acme")["users"]]
    assert [row["account"] for row in deployment.json("token", "accounts", "--tenant", "acme")["accounts"]] == ["sync"]


def test_no_more_than_twenty(deployment):
    deployment.masugata("token", "account", "many", "--tenant", "acme", "--roles", "auditor")
    assert [issue(deployment, "many").returncode for _ in range(21)] == [0] * 20 + [1]
