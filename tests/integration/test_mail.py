"""Mail against real SMTP servers: what arrives reads as it was written; without a valid certificate
nothing is sent; what the server refuses for good is told apart from what may work later."""

import email
import email.policy
import socket
import ssl
import subprocess

import pytest
from aiosmtpd.controller import Controller

from harness import BUILD, free_port


class Server:
    def __init__(self, answer="250 kept", context=None):
        self.answer, self.mails = answer, []
        self.controller = Controller(self, hostname="127.0.0.1", port=free_port(), tls_context=context,
                                     require_starttls=context is not None)

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope, session.ssl is not None))
        return self.answer

    def __enter__(self):
        self.controller.start()
        return self

    def __exit__(self, *unused):
        self.controller.stop()

    @property
    def url(self):
        return f"smtp://localhost:{self.controller.port}"


def send(url, tls="off", authorities="", sender="masugata@example.com", to="hana@example.com"):
    done = subprocess.run([str(BUILD / "tests/integration/mail-send"), url, tls, authorities, sender, to],
                          capture_output=True, text=True, timeout=60)
    return done.stdout.split()[0], done.stdout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tls")
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, str(cert)


def test_what_arrives_reads_as_written():
    with Server() as server:
        assert send(server.url)[0] == "sent"
        envelope, tls = server.mails[0]
    assert not tls and envelope.mail_from == "masugata@example.com" and envelope.rcpt_tos == ["hana@example.com"]
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert message["Subject"] == "パスワード再設定: 株式会社アクメ の長い件名をここに書きます"
    assert message["From"].addresses[0].display_name == "株式会社アクメ"
    assert message["From"].addresses[0].addr_spec == "masugata@example.com"
    assert message["To"] == "<hana@example.com>" or message["To"].addresses[0].addr_spec == "hana@example.com"
    assert message["Auto-Submitted"] == "auto-generated" and message["Message-ID"].endswith("@example.com>")
    assert message["Date"].datetime is not None
    assert message.get_content().replace("\r\n", "\n") == "一行目\n.\n..二行目\n"
    assert not message.defects and not any(message[name].defects for name in ("Subject", "From", "To", "Date"))


def test_over_tls_with_a_valid_certificate(certificate):
    context, authorities = certificate
    with Server(context=context) as server:
        assert send(server.url, "required", authorities)[0] == "sent"
        assert server.mails[0][1]


def test_never_in_clear_when_tls_is_required(certificate):
    with Server() as server:
        assert send(server.url, "required", certificate[1])[0] == "later"
        assert server.mails == []


def test_never_to_a_server_without_a_valid_certificate(certificate):
    context, authorities = certificate
    with Server(context=context) as server:
        assert send(server.url, "required")[0] == "later"  # the system does not know this authority
        assert send(server.url.replace("localhost", "127.0.0.1"), "required", authorities)[0] == "later"  # another name
        assert server.mails == []


def test_refused_for_good_and_for_now():
    with Server(answer="550 no such mailbox") as server:
        assert send(server.url)[0] == "refused"
    with Server(answer="451 try later") as server:
        assert send(server.url)[0] == "later"
    assert send(f"smtp://127.0.0.1:{free_port()}")[0] == "later"


def test_only_smtp():
    for url in ("file:///etc/passwd", "http://127.0.0.1/", "ftp://127.0.0.1/"):
        assert send(url)[0] == "later"


def test_addresses_that_could_add_commands():
    with Server() as server:
        for to in ("a@b\r\nRCPT TO:<x@y>", "a@b>", "x y@z", "@"):
            assert "failed INVALID" in send(server.url, to=to)[1]
        assert server.mails == []


def test_a_server_that_says_nothing_does_not_hold_the_worker():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert send(f"smtp://127.0.0.1:{silent.getsockname()[1]}")[0] == "later"
