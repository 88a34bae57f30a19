"""What happens to a whole deployment is in its audit log: instances that start and stop, health, the published policy,
certificates, options that changed since the last start, commands."""

import json
import os
import signal
import time

import pytest

from harness import Deployment, free_port, wait_until

SECRET = "correct-horse-battery-staple"


def entries(deployment, event):
    """Newest first."""
    lines = deployment.masugata("audit", "search", "--event", event, "--json", "--limit", "200").stdout.splitlines()
    return [json.loads(line) for line in lines]


def text_of(rows):
    return json.dumps(rows, ensure_ascii=False)


@pytest.fixture(scope="module")
def deployment():
    with Deployment(options={"mail.password": SECRET}) as made:
        made.tenant_add("acme", f"127.0.0.1:{free_port()}")  # nobody answers there
        yield made


def test_instances_policy_and_certificate_are_recorded(deployment):
    wait_until(lambda: "tenant-1" in text_of(entries(deployment, "instance_start")), 30, what="instance_start")
    starts = text_of(entries(deployment, "instance_start"))
    assert '"control"' in starts and starts.count('"control"') == 1
    published = entries(deployment, "policy_publish")
    assert published[0]["unmapped"]["details"]["tenants"] in ("1", "2") and int(published[0]["unmapped"]["details"]["generation"]) > 1
    [certificate, *_] = entries(deployment, "certificate_change")
    assert "sha256:" in certificate["unmapped"]["details"]["now"]


def test_an_application_that_does_not_answer_is_a_change_of_health(deployment):
    health = wait_until(lambda: [row for row in entries(deployment, "health_change") if row["unmapped"]["details"].get("application") == "is away"
                                 and "acme" in text_of(row)], 30, what="health_change")
    assert health[0]["metadata"]["tenant_uid"] == "1"


def test_an_instance_that_dies_is_recorded_twice_over(deployment):
    pid = int((deployment.directory / "postgres/tenant-1/data/postmaster.pid").read_text().split()[0])
    before = len(entries(deployment, "instance_stop"))
    os.kill(pid, signal.SIGKILL)
    stops = wait_until(lambda: len(entries(deployment, "instance_stop")) > before and entries(deployment, "instance_stop"), 30,
                       what="instance_stop")
    assert stops[0]["status_detail"] == "ended unexpectedly" and "tenant-1" in text_of(stops[0])
    wait_until(lambda: entries(deployment, "instance_start")[0].get("status_detail") == "again", 30, what="started again")
    # The worker that was killed says nothing twice.
    starts = len(entries(deployment, "instance_start"))
    deployment.kill("worker")
    wait_until(lambda: deployment.status()["worker"]["state"] == "running", 20)
    time.sleep(6)
    assert len(entries(deployment, "instance_start")) == starts


def test_changed_options_and_commands_are_recorded_and_secrets_are_not(deployment):
    assert entries(deployment, "option_change") == []
    deployment.masugata("prove", "EDGE_02", check=False)
    [prove] = [row for row in entries(deployment, "command") if "prove" in text_of(row)]
    assert f"uid:{os.getuid()}" in text_of(prove)
    known = deployment.directory / "options.known"
    assert known.stat().st_mode & 0o077 == 0 and SECRET not in known.read_text()
    deployment.stop()
    deployment.options.update({"mail.password": SECRET + "!", "gate.outage": "10m"})
    deployment.start()
    changes = wait_until(lambda: len(entries(deployment, "option_change")) == 2 and entries(deployment, "option_change"), 20,
                         what="option_change")
    [outage] = [row for row in changes if "gate.outage" in text_of(row)]
    assert outage["unmapped"]["details"] == {"before": "15m", "now": "10m"}
    [password] = [row for row in changes if "mail.password" in text_of(row)]
    assert password["status_detail"] == "changed" and SECRET not in text_of(changes) and not password["unmapped"]["details"]
    assert any("down" in text_of(row) and f"uid:{os.getuid()}" in text_of(row) for row in entries(deployment, "command"))
    served = [row["unmapped"]["details"]["now"] for row in entries(deployment, "certificate_change")]
    assert len(set(served)) == len(served), "the same certificate was recorded again"
