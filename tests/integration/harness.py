"""Starts whole deployments for tests: real nginx, real PostgreSQL, every process.

    with Deployment() as deployment:
        deployment.tenant_add("acme", upstream="127.0.0.1:9000")
        answer = deployment.get("https://acme.localhost/")

One deployment a module is usual (a fixture with scope="module"): it takes a few seconds to start.
Standard library only. Directories are short because a unix socket's path is."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
PROGRAM = str(BUILD / "masugata")


def free_port():
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=30, every=0.05, what="condition"):
    """Returns the first true value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(every)
    raise AssertionError(f"{what} not reached in {seconds} s")


class Deployment:
    """A state directory with everything running in it; stopped and removed at the end."""

    def __init__(self, options=None, demo=False, keep=False, prepare=None):
        """`prepare`: a shell script (given the directory as $DIR) run before `up` in a mount namespace of its
        own, in which everything then runs; needs root."""
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mg", dir=os.environ.get("TMPDIR", "/tmp")))
        self.program = PROGRAM
        self.https_port, self.http_port = free_port(), free_port()
        self.keep, self.demo, self.prepare = keep, demo, prepare
        self.options = {"gate.https_port": self.https_port, "gate.http_port": self.http_port, "tls.profile": "aes256"}
        self.options.update(options or {})

    # ---- life ----

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __exit__(self, *unused):
        try:
            self.stop()
        finally:
            if not self.keep and not os.environ.get("MASUGATA_TEST_KEEP"):
                shutil.rmtree(self.directory, ignore_errors=True)

    def start(self):
        self.directory.chmod(0o711)
        (self.directory / "masugata.conf").write_text(
            "".join(f'{keyword} = "{value}"\n' for keyword, value in self.options.items()))
        self.up()
        return self

    def up(self):
        arguments = ["up", "--detach"] + (["--demo"] if self.demo else [])
        within = ["unshare", "-m", "--propagation", "private", "sh", "-ec", f'{self.prepare}\nexec "$@"', "sh"] if self.prepare else []
        self.output = self.masugata(*arguments, timeout=150, within=within).stdout

    def stop(self):
        self.masugata("down", check=False, timeout=90)

    # ---- the program ----

    def masugata(self, *arguments, check=True, timeout=90, input=None, within=()):
        done = subprocess.run([*within, self.program, *arguments, "--dir", str(self.directory), "--lang", "en"], input=input,
                              capture_output=True, text=True, timeout=timeout, env={**os.environ, "DIR": str(self.directory)})
        if check and done.returncode != 0:
            raise AssertionError(f"masugata {' '.join(arguments)}: code {done.returncode}\n{done.stdout}{done.stderr}\n"
                                 f"{self.logs()}")
        return done

    def json(self, *arguments, **keywords):
        return json.loads(self.masugata(*arguments, "--json", **keywords).stdout)

    def status(self):
        return {row["name"]: row for row in json.loads(self.masugata("status", "--json", check=False).stdout)["processes"]}

    def logs(self, lines=15):
        text = ""
        for path in sorted((self.directory / "log").glob("**/*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            if tail:
                text += f"--- {path.name}\n" + "\n".join(tail) + "\n"
        return text

    @property
    def run_directory(self):
        """The tmpfs directory, as the warden's command line names none: found by its socket."""
        name = subprocess.run([self.program, "status", "--paths", "--dir", str(self.directory)], capture_output=True, text=True)
        return pathlib.Path(json.loads(name.stdout)["run"])

    def inside(self, path):
        """A path as the processes of a prepared deployment see it."""
        parent = next(row["pid"] for row in self.status().values() if row["pid"])
        return pathlib.Path(f"/proc/{parent}/root{path}")

    def kill(self, process, number=signal.SIGKILL):
        os.kill(self.status()[process]["pid"], number)

    # ---- tenants and users ----

    def tenant_add(self, name, upstream, hosts=None, label=None):
        hosts = hosts or [f"{name}.localhost"]
        self.masugata("tenant", "add", name, "--label", label or name.title(), "--host", " ".join(hosts),
                      "--sign-in-host", f"id.{name}.localhost", "--upstream", upstream)
        wait_until(lambda: self.tenant(name)["state"] == "active", 60, what=f"tenant {name}")
        # nginx's workers of before the reload know the host a moment later.
        wait_until(lambda: self.knows(hosts[0]), 20, what=f"{hosts[0]} at nginx")

    def knows(self, host):
        """True when a handshake under this name succeeds, whoever signed the certificate."""
        try:
            with ssl._create_unverified_context().wrap_socket(socket.create_connection(("127.0.0.1", self.https_port), 5), server_hostname=host):
                return True
        except OSError:
            return False

    def tenant(self, name):
        return next(row for row in self.json("tenant", "list")["tenants"] if row["name"] == name)

    # ---- requests ----

    def context(self):
        context = ssl.create_default_context(cafile=str(self.directory / "tls" / "demo-ca.pem"))
        return context

    def request(self, url, method="GET", headers=None, body=None, timeout=15):
        """One request without following redirects; names under .localhost go to 127.0.0.1."""
        scheme, rest = url.split("://", 1)
        host, _, path = rest.partition("/")
        name = host.split(":")[0]
        port = int(host.split(":")[1]) if ":" in host else (self.https_port if scheme == "https" else self.http_port)
        if scheme == "https":
            connection = _Pinned(name, port, context=self.context(), timeout=timeout)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        all_headers = {"Host": f"{name}:{port}", "Accept": "text/html", "Sec-Fetch-Mode": "navigate",
                       "Sec-Fetch-Site": "same-origin", "User-Agent": "masugata-tests"}
        all_headers.update(headers or {})
        try:
            connection.request(method, "/" + path, body=body, headers=all_headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode(errors="replace")
            return answer
        finally:
            connection.close()


def can_change_mounts():
    return os.getuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


class _Pinned(http.client.HTTPSConnection):
    """HTTPS to 127.0.0.1 under the server's real name."""

    def connect(self):
        self.sock = self._context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), self.timeout),
                                              server_hostname=self.host)
