"""What an operator may set besides the demo's presets, through a whole `masugata up`: an existing PostgreSQL server,
certificates from files and by ACME, the legacy profile; and what `up` says when it cannot."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import stat
import ssl
import subprocess
import tempfile
import time

import pytest

from browser import Browser
from harness import BUILD, Deployment, can_change_mounts, free_port, wait_until
from http_wire import Recorder
from test_tls_certificates import Authority, plain_answers

PASSWORD = "a correct horse of seventeen staples"
ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = ["acme.localhost", "id.acme.localhost", "console.localhost"]
POSTGRES = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def app():
    recorder = Recorder()
    yield recorder
    recorder.close()


def fill(deployment, app):
    deployment.tenant_add("acme", f"127.0.0.1:{app.port}")
    deployment.masugata("user", "add", "--tenant", "acme", "aiko@acme.example", "--name", "Aiko", "--roles", "user",
                        "--password-stdin", input=PASSWORD + "\n")


def signs_in(deployment):
    return Browser(deployment).sign_in(f"https://acme.localhost:{deployment.https_port}/", "aiko@acme.example", PASSWORD).status == 200


def refused_start(deployment):
    """`up` that must fail: its message, and that nothing is left running."""
    started = time.monotonic()
    done = deployment.masugata("up", "--detach", check=False, timeout=150)
    assert done.returncode != 0, done.stdout
    assert time.monotonic() - started < 20, "an error that is known at once is told at once"
    assert deployment.masugata("status", check=False).returncode != 0
    return done.stderr


# ---- an existing PostgreSQL server ----

class Server:
    """A PostgreSQL of the operator's own, with a database and its owner."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pg", dir=os.environ.get("TMPDIR", "/tmp")))
        self.port = free_port()
        self.run_as = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            shutil.chown(self.directory, user.pw_uid, user.pw_gid)
            self.run_as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        password = self.directory / "password"
        password.write_text("root of the server\n")
        password.chmod(0o644)
        self.run(f"{POSTGRES}/initdb", "-D", self.directory / "data", "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}")
        self.start()
        self.sql("CREATE ROLE masugata LOGIN PASSWORD 'for the control db'")
        self.sql("CREATE DATABASE masugata OWNER masugata")

    url = property(lambda self: f"postgresql://masugata:for%20the%20control%20db@127.0.0.1:{self.port}/masugata")

    def run(self, *words, **more):
        return subprocess.run([*self.run_as, *map(str, words)], check=True, capture_output=True, text=True, cwd="/", **more).stdout

    def start(self):
        self.process = subprocess.Popen([*self.run_as, f"{POSTGRES}/postgres", "-D", str(self.directory / "data"), "-p", str(self.port),
                                         "-h", "127.0.0.1", "-k", str(self.directory)], stderr=subprocess.DEVNULL, cwd="/")
        wait_until(lambda: subprocess.run([f"{POSTGRES}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0,
                   30, what="the server")

    def sql(self, text, database="postgres"):
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                               "-d", database, "-c", text], check=True, capture_output=True, text=True,
                              env={"PATH": "/usr/bin:/bin", "PGPASSWORD": "root of the server"}).stdout.strip()

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # without waiting for clients
        self.process.wait(30)

    def remove(self):
        self.process.kill()
        self.process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.remove()


def test_an_existing_server_holds_the_control_database(server, app):
    with Deployment({"database.url": server.url}) as deployment:
        fill(deployment, app)
        assert signs_in(deployment)
        assert not (deployment.directory / "postgres/control/data").exists()
        assert server.sql("SELECT count(*) FROM account WHERE login = 'aiko@acme.example'", "masugata") == "1"
        # The password is a secret: in no log, no file of ours but masugata.conf, no command line.
        secret = "for%20the%20control%20db"
        found = subprocess.run(["grep", "-rlF", "-e", secret, "-e", "for the control db", str(deployment.directory)], capture_output=True, text=True)
        assert found.stdout.split() == [str(deployment.directory / "masugata.conf")]
        assert secret not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        # The server goes away for a while: signed-in users go on, and all is well again when it is back.
        browser = Browser(deployment)
        home = f"https://acme.localhost:{deployment.https_port}/"
        browser.sign_in(home, "aiko@acme.example", PASSWORD)
        server.stop()
        for _ in range(10):
            assert browser.send(home).status == 200
            time.sleep(0.1)
        done = deployment.masugata("user", "list", "--tenant", "acme", check=False)
        assert done.returncode == 3 and "does not answer" in done.stderr, done.stderr
        assert Browser(deployment).send(home).status in (302, 303, 503)
        server.start()
        wait_until(lambda: deployment.masugata("user", "list", "--tenant", "acme", check=False).returncode == 0, 20)
        assert signs_in(deployment)
        # And after a stop of ours everything is there.
        deployment.stop()
        deployment.up()
        assert browser.send(home).status == 200
        deployment.stop()
        # A newer Masugata was here: this one touches nothing.
        before = server.sql("SELECT count(*) FROM account", "masugata")
        server.sql("INSERT INTO schema_migration SELECT (r).* FROM (SELECT jsonb_populate_record(m, '{\"version\": 9999}') r"
                   " FROM schema_migration m ORDER BY version DESC LIMIT 1) x", "masugata")
        said = refused_start(deployment)
        assert "newer Masugata" in said and "9999" in said, said
        assert server.sql("SELECT count(*) FROM account", "masugata") == before
        server.sql("DELETE FROM schema_migration WHERE version = 9999", "masugata")
        deployment.up()
        assert browser.send(home).status == 200


# ---- certificates ----

def served(deployment, authority, host="acme.localhost", context=None):
    context = context or ssl.create_default_context(cafile=authority.certificate)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", deployment.https_port), 5), server_hostname=host) as link:
        return link.getpeercert()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


class WithFiles(Deployment):
    """A deployment whose clients trust the test's authority."""

    authority = None

    def context(self):
        return ssl.create_default_context(cafile=self.authority.certificate)


def test_a_certificate_from_files(authority, app):
    certificate, key = authority.issue("site", hosts=HOSTS, days=20)
    made = WithFiles({"tls.certificate": str(certificate), "tls.key": str(key)})
    made.authority = authority
    with made as deployment:
        fill(deployment, app)
        assert signs_in(deployment)
        first = served(deployment, authority)["serialNumber"]
        assert not [path for part in ("tls", "nginx") for path in (deployment.directory / part).rglob("*.key")]
        # The key's file may go: a sealed copy is kept. A renewed pair is taken at the next start.
        kept = key.read_bytes()
        key.unlink()
        deployment.stop()
        deployment.up()
        assert served(deployment, authority)["serialNumber"] == first and signs_in(deployment)
        key.write_bytes(kept)
        deployment.stop()
        renewed, new_key = authority.issue("renewed", hosts=HOSTS, days=40)
        renewed.replace(certificate)
        new_key.replace(key)
        deployment.up()
        assert served(deployment, authority)["serialNumber"] != first
        # A wrong one is refused before anything is changed, in words.
        deployment.stop()
        wrong, wrong_key = authority.issue("wrong", hosts=HOSTS[:1])
        wrong.replace(certificate)
        wrong_key.replace(key)
        said = refused_start(deployment)
        assert "does not name the host" in said, said


def test_the_legacy_profile_wants_consent_and_is_shown_as_broken(app):
    deployment = Deployment({"tls.profile": "legacy"})
    try:
        deployment.directory.chmod(0o711)
        (deployment.directory / "masugata.conf").write_text("".join(f'{k} = "{v}"\n' for k, v in deployment.options.items()))
        said = refused_start(deployment)
        assert "tls.legacy" in said, said
        deployment.options["tls.legacy"] = "yes"
        deployment.start()
        fill(deployment, app)
        shown = {c["id"]: c["verdict"] for c in deployment.json("prove", "EDGE_01", "EDGE_03", check=False)["controls"]}
        assert shown["EDGE_03"] == "broken", shown
        assert signs_in(deployment)
    finally:
        deployment.__exit__()


@pytest.mark.skipif(not (shutil.which("pebble") and shutil.which("uacme")), reason="pebble and uacme are not installed")
@pytest.mark.skipif(not can_change_mounts(), reason="uacme trusts the system's authorities only; a test one needs root")
def test_a_certificate_by_acme(authority, app, tmp_path):
    """From the demo's certificate to one of an ACME server, with nothing but the documented commands."""
    api, dns = free_port(), free_port()
    certificate, key = authority.issue("pebble", hosts=["localhost"])
    made = WithFiles({"tls.acme": "yes"})
    config = tmp_path / "pebble.json"
    config.write_text('{"pebble": {"listenAddress": "127.0.0.1:%d", "managementListenAddress": "127.0.0.1:%d", "certificate": "%s",'
                      '"privateKey": "%s", "httpPort": %d, "tlsPort": 1, "ocspResponderURL": "", "externalAccountBindingRequired": false}}'
                      % (api, manage := free_port(), certificate, key, made.http_port))
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    names = subprocess.Popen(["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", "",
                              "-management", f"127.0.0.1:{free_port()}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""], **quiet)
    pebble = subprocess.Popen(["pebble", "-config", config, "-dnsserver", f"127.0.0.1:{dns}"], **quiet,
                              env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
    try:
        made.authority = type("Demo", (), {"certificate": made.directory / "tls/demo-ca.pem"})
        with made as deployment:
            fill(deployment, app)
            wait_until(lambda: plain_answers(api), what="pebble")
            confdir, trust = tmp_path / "uacme", tmp_path / "trust.pem"
            trust.write_text(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text() + authority.certificate.read_text())
            script = (f"mount --bind {trust} /etc/ssl/certs/ca-certificates.crt && "
                      f"uacme -y -a https://localhost:{api}/dir -c {confdir} new nobody@example.com && "
                      f"MASUGATA_ACME={deployment.directory}/nginx/acme uacme -a https://localhost:{api}/dir -c {confdir} -t EC "
                      f"-h {ROOT}/packaging/acme-hook issue {' '.join(HOSTS)}")
            done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert not list((deployment.directory / "nginx/acme").iterdir())
            deployment.stop()
            with open(deployment.directory / "masugata.conf", "a") as conf:
                conf.write(f'tls.certificate = "{confdir}/{HOSTS[0]}/cert.pem"\ntls.key = "{confdir}/private/{HOSTS[0]}/key.pem"\n')
            issuer = subprocess.run(["curl", "-sk", f"https://localhost:{manage}/roots/0"], capture_output=True, text=True).stdout
            (tmp_path / "issuer.pem").write_text(issuer)
            made.authority = type("Pebble", (), {"certificate": tmp_path / "issuer.pem"})
            deployment.up()
            wait_until(lambda: deployment.knows(HOSTS[0]), 10)
            names_served = {value for _, value in served(deployment, made.authority)["subjectAltName"]}
            assert names_served == set(HOSTS)
            assert signs_in(deployment)
    finally:
        for process in (pebble, names):
            process.kill()
            process.wait()


# ---- a home directory that is closed to others ----

@pytest.mark.skipif(not can_change_mounts(), reason="needs root and mount namespaces")
@pytest.mark.parametrize("what", ["state", "programs and state"])
def test_below_a_closed_directory_everything_starts_and_nothing_else_is_let_in(what):
    """As Debian's home directories are: mode 0700, a clone and its state directory inside."""
    with tempfile.TemporaryDirectory(prefix="mgh", dir=os.environ.get("TMPDIR", "/tmp")) as home:
        home = pathlib.Path(home)
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        (home / "secret").write_text("nobody's business")
        deployment = Deployment(demo=True)
        deployment.directory.rmdir()
        deployment.directory = home / "clone" / "state"
        deployment.directory.mkdir(parents=True)
        if what != "state":
            copied = home / "clone" / "build"
            shutil.copytree(BUILD, copied, ignore=shutil.ignore_patterns("*.p", "*.a", "tests", "meson-*"), symlinks=True)
            deployment.program = str(copied / "masugata")
        with deployment:
            assert stat.S_IMODE(home.stat().st_mode) == 0o700, "the directory itself stays as it was"
            assert deployment.request(f"https://console.localhost:{deployment.https_port}/sign-in").status == 200
            assert deployment.request(f"https://id.acme.localhost:{deployment.https_port}/sign-in").status == 200
            assert not deployment.inside(home / "secret").exists()
            assert sorted(path.name for path in deployment.inside(home).iterdir()) == ["clone"]
            assert stat.S_IMODE(deployment.inside(home).stat().st_mode) == 0o711
            deployment.masugata("user", "add", "--tenant", "acme", "chie@acme.example", "--name", "Chie", "--roles", "user",
                                "--password-stdin", input=PASSWORD + "\n")
            page = Browser(deployment).sign_in(f"https://acme.localhost:{deployment.https_port}/", "chie@acme.example", PASSWORD)
            assert page.status == 200 and "Chie" in page.text
