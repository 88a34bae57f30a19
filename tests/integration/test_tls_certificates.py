"""Certificates that an operator brings: refused with a reason when they are wrong, stapled when they have an
OCSP responder, and fetched by uacme from a real ACME server (Debian's pebble)."""

import os
import pathlib
import shutil
import subprocess

import pytest

from harness import can_change_mounts, free_port, wait_until
from test_tls import HOST, SAMPLE, Edge, plain

HOSTS = [HOST, f"id.{HOST}", "console.localhost"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def openssl(*words, **more):
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True, **more).stdout


class Authority:
    """A CA in a directory, with openssl's own tools."""

    def __init__(self, directory):
        self.directory = directory
        self.key, self.certificate, self.index = directory / "ca.key", directory / "ca.pem", directory / "index.txt"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                "-out", self.certificate, "-days", 30, "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign,digitalSignature")
        self.index.write_text("")

    def issue(self, name, hosts=HOSTS, days=10, key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), digest="sha256", extensions=""):
        paths = [self.directory / f"{name}.{end}" for end in ("key", "csr", "pem", "ext")]
        openssl("req", "-new", "-newkey", *key, "-nodes", "-keyout", paths[0], "-out", paths[1], "-subj", "/CN=x")
        paths[3].write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in hosts) + "\n" + extensions)
        openssl("x509", "-req", "-in", paths[1], "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                f"-{digest}", "-extfile", paths[3], "-out", paths[2])
        return paths[2], paths[0]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def install(tmp_path, certificate, key, hosts=HOSTS):
    return subprocess.run([SAMPLE, tmp_path / "d", tmp_path / "r", str(free_port()), str(free_port()), "aes256", "-",
                           *[f"id:{host}" for host in hosts]], capture_output=True, text=True, timeout=60,
                          env=os.environ | {"EDGE_CERTIFICATE": str(certificate), "EDGE_KEY": str(key)})


def test_a_good_pair_is_installed_and_its_key_is_private(tmp_path, authority):
    certificate, key = authority.issue("good")
    done = install(tmp_path, certificate, key)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "r" / "tls" / "demo.key").stat().st_mode & 0o777 == 0o400
    assert not list((tmp_path / "d").rglob("*.key"))


@pytest.mark.parametrize("wrong, says", [
    (dict(key=("rsa:1024",)), "RSA key of 1024 bits"),
    (dict(hosts=[HOST]), "does not name the host id.acme.localhost"),
    (dict(digest="sha1"), "SHA-256 or better"),
    (dict(days=-1), "expired at"),
])
def test_a_bad_certificate_is_refused_with_its_reason(tmp_path, authority, wrong, says):
    certificate, key = authority.issue("bad", **wrong)
    done = install(tmp_path, certificate, key)
    assert done.returncode == 2 and says in done.stderr
    assert not (tmp_path / "r" / "tls" / "demo.key").exists()


def test_the_order_and_the_key_are_checked(tmp_path, authority):
    certificate, key = authority.issue("leaf")
    _, other = authority.issue("other")
    turned = tmp_path / "turned.pem"
    turned.write_text(authority.certificate.read_text() + certificate.read_text())
    assert "put the server" in install(tmp_path, turned, key).stderr
    assert "does not belong" in install(tmp_path, certificate, other).stderr
    assert "no PEM certificate" in install(tmp_path, key, key).stderr


def test_the_ocsp_answer_is_stapled(authority, monkeypatch):
    port = free_port()
    certificate, key = authority.issue("stapled", extensions=f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/\n")
    serial = openssl("x509", "-in", certificate, "-noout", "-serial").strip().split("=")[1]
    authority.index.write_text(f"V\t360101000000Z\t\t{serial}\tunknown\t/CN=x\n")
    chain = authority.directory / "chain.pem"
    chain.write_text(certificate.read_text() + authority.certificate.read_text())
    responder = subprocess.Popen(["openssl", "ocsp", "-index", authority.index, "-CA", authority.certificate, "-rsigner",
                                  authority.certificate, "-rkey", authority.key, "-port", str(port), "-ndays", "1"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for name, value in (("EDGE_CERTIFICATE", chain), ("EDGE_KEY", key), ("EDGE_TRUST", authority.certificate)):
            monkeypatch.setenv(name, str(value))
        with Edge("aes256", free_port()) as edge:
            def stapled():  # nginx fetches the answer after the first handshake asked for it
                return edge.grade("--ca", str(authority.certificate))["certificate"]["ocsp_stapled"]
            wait_until(stapled, 20, 0.5, "stapled answer")
            seen = edge.grade("--ca", str(authority.certificate))
            assert {rule["name"]: rule["verdict"] for rule in seen["rules"]}["STAPLING"] == "pass"
    finally:
        responder.kill()
        responder.wait()


# ---- ACME ----


@pytest.mark.skipif(not (shutil.which("pebble") and shutil.which("uacme")), reason="pebble and uacme are not installed")
@pytest.mark.skipif(not can_change_mounts(), reason="uacme trusts the system's authorities only; a test one needs root")
def test_uacme_gets_a_certificate_through_our_plain_port(authority, tmp_path, monkeypatch):
    api, manage, dns = free_port(), free_port(), free_port()
    challenges, confdir = tmp_path / "acme", tmp_path / "uacme"
    challenges.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)  # pytest's directories are closed; nginx's workers come through
    certificate, key = authority.issue("pebble", hosts=["localhost"])
    monkeypatch.setenv("EDGE_ACME", str(challenges))
    with Edge("aes256", free_port()) as edge:
        config = tmp_path / "pebble.json"
        config.write_text('{"pebble": {"listenAddress": "127.0.0.1:%d", "managementListenAddress": "127.0.0.1:%d", "certificate": "%s",'
                          '"privateKey": "%s", "httpPort": %d, "tlsPort": 1, "ocspResponderURL": "", "externalAccountBindingRequired": false}}'
                          % (api, manage, certificate, key, edge.http))
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        names = subprocess.Popen(["pebble-challtestsrv", "-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", "",
                                  "-management", f"127.0.0.1:{free_port()}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""], **quiet)
        server = subprocess.Popen(["pebble", "-config", config, "-dnsserver", f"127.0.0.1:{dns}"], **quiet,
                                  env=os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
        try:
            wait_until(lambda: plain_answers(api), what="pebble")
            trust = tmp_path / "trust.pem"
            trust.write_text(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text() + authority.certificate.read_text())
            script = (f"mount --bind {trust} /etc/ssl/certs/ca-certificates.crt && "
                      f"uacme -y -a https://localhost:{api}/dir -c {confdir} new nobody@example.com && "
                      f"MASUGATA_ACME={challenges} uacme -a https://localhost:{api}/dir -c {confdir} -t EC "
                      f"-h {ROOT}/packaging/acme-hook issue {' '.join(HOSTS)}")
            done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            assert not list(challenges.iterdir())  # the hook cleans up
            made = install(tmp_path, confdir / HOST / "cert.pem", confdir / "private" / HOST / "key.pem")
            assert made.returncode == 0, made.stderr
        finally:
            for process in (server, names):
                process.kill()
                process.wait()
        answer = plain(edge.http, f"GET /.well-known/acme-challenge/../x HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        assert not answer.startswith("HTTP/1.1 200")


def plain_answers(port):
    return subprocess.run(["curl", "-sk", f"https://localhost:{port}/dir"], capture_output=True).returncode == 0


def test_the_hook_takes_only_what_it_should(tmp_path):
    def hook(*words):
        return subprocess.run([ROOT / "packaging" / "acme-hook", *words], env=os.environ | {"MASUGATA_ACME": str(tmp_path)}).returncode
    assert hook("begin", "http-01", HOST, "token-1", "answer") == 0
    assert (tmp_path / "token-1").read_text() == "answer"
    assert hook("done", "http-01", HOST, "token-1", "answer") == 0
    assert not list(tmp_path.iterdir())
    assert hook("begin", "dns-01", HOST, "token", "answer") == 1
    assert hook("begin", "http-01", HOST, "../token", "answer") == 1
    assert not list(tmp_path.iterdir())
