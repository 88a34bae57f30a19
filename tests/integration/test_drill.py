"""The drill's tenant (AVAILABILITY_06, AVAILABILITY_07): it is stopped for real, its visitors see the page, and no
customer notices."""
import threading
import time

import pytest

from harness import Deployment, wait_until


@pytest.fixture(scope="module")
def deployment():
    with Deployment() as made:
        made.tenant_add("acme", upstream="example:notes")
        yield made


def findings(deployment):
    """Empty while the prober is away."""
    answer = deployment.json("prove", "AVAILABILITY_06", "AVAILABILITY_07", check=False)
    return {row["id"]: row for row in answer.get("controls", [])}


def is_served(deployment):
    try:
        return deployment.request("https://acme.localhost/").status == 302
    except OSError:  # nginx has not heard of it yet
        return False


class Customer(threading.Thread):
    """Somebody who opens a customer's page again and again."""

    def __init__(self, deployment):
        super().__init__()
        self.deployment, self.seen, self.over = deployment, [], threading.Event()

    def run(self):
        while not self.over.is_set():
            self.seen.append(self.deployment.request("https://acme.localhost/").status)
            time.sleep(0.05)


def test_page_comes_and_goes_and_no_customer_notices(deployment):
    wait_until(lambda: is_served(deployment), 30, what="acme")
    customer = Customer(deployment)
    customer.start()
    try:
        found = findings(deployment)
    finally:
        customer.over.set()
        customer.join()
    assert {row["verdict"] for row in found.values()} == {"holds"}, found
    assert "application stopped: page after" in found["AVAILABILITY_06"]["evidence"]
    assert "database stopped: page after" in found["AVAILABILITY_07"]["evidence"]
    assert len(customer.seen) > 10 and set(customer.seen) == {302}
    log = (deployment.directory / "log" / "launcher.log").read_text()
    stopped = [line for line in log.splitlines() if "drill: stopping" in line]
    assert stopped and all("999999" in line for line in stopped)
    events = deployment.masugata("audit", "search", "maintenance_on").stdout
    assert "masugata-drill" in events and "acme" not in events


def test_killed_prober_leaves_nothing_stopped(deployment):
    running = threading.Thread(target=deployment.masugata, args=("prove", "AVAILABILITY_06"), kwargs={"check": False})
    log = deployment.directory / "log" / "launcher.log"
    before = log.read_text().count("drill: stopping application")
    running.start()
    wait_until(lambda: log.read_text().count("drill: stopping application") > before, 40, 0.02, "drill")
    deployment.kill("prober")
    running.join()
    # The launcher starts again by itself what nobody asks back.
    wait_until(lambda: {row["verdict"] for row in findings(deployment).values()} == {"holds"}, 90, 1, "the next drill")


def test_nobody_can_put_a_customer_there(deployment):
    assert [row["name"] for row in deployment.json("tenant", "list")["tenants"]] == ["acme"]
    for name, upstream in (("evil", "example:drill"), ("masugata-other", "127.0.0.1:9")):
        done = deployment.masugata("tenant", "add", name, "--label", name, "--host", f"{name}.localhost", "--sign-in-host",
                                   f"id.{name}.localhost", "--upstream", upstream, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
    done = deployment.masugata("tenant", "add", "two", "--label", "two", "--host", "two.localhost=example:drill",
                               "--sign-in-host", "id.two.localhost", "--upstream", "127.0.0.1:9", check=False)
    assert done.returncode == 2, done.stdout + done.stderr
