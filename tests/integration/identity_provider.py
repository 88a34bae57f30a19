"""An OpenID provider that can be told to misbehave: everything it sends may be changed before it is signed, after it is
signed, or be signed with the wrong key. It serves HTTPS under the name `localhost` with an authority of its own.

    with IdentityProvider() as idp:
        idp.claims["email"] = "aiko@acme.example"
        answer_url = idp.authorize(url)     # what a browser would be sent back to

Plain standard library but for signing (python3-cryptography)."""

import base64
import datetime
import hashlib
import http.server
import json
import pathlib
import secrets
import shutil
import ssl
import tempfile
import threading
import time
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def encode(data):
    raw = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, length=None):
    return encode(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


class Key:
    """A signing key of one algorithm."""

    def __init__(self, algorithm, kid=None):
        self.algorithm, self.kid = algorithm, kid or secrets.token_hex(4)
        if algorithm in ("RS256", "PS256"):
            self.private = rsa.generate_private_key(65537, 2048)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()

    def jwk(self):
        public, common = self.private.public_key(), {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm in ("RS256", "PS256"):
            numbers = public.public_numbers()
            return {**common, "kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        if self.algorithm == "ES256":
            numbers = public.public_numbers()
            return {**common, "kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {**common, "kty": "OKP", "crv": "Ed25519", "x": encode(raw)}

    def pem(self):
        return self.private.public_key().public_bytes(serialization.Encoding.PEM,
                                                      serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data, algorithm=None):
        algorithm = algorithm or self.algorithm
        if algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if algorithm == "PS256":
            return self.private.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        if algorithm == "ES256":
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self.private.sign(data)

    def token(self, claims, **header):
        head = {"alg": self.algorithm, "kid": self.kid, **header}
        signed = f"{encode(head)}.{encode(claims)}"
        return f"{signed}.{encode(self.sign(signed.encode()))}"


def verify_es256(jwk, token):
    """The claims of a token that this public key signed; raises otherwise."""
    head, payload, signature = token.split(".")
    raw = decode(signature)
    public = ec.EllipticCurvePublicNumbers(int.from_bytes(decode(jwk["x"]), "big"), int.from_bytes(decode(jwk["y"]), "big"),
                                           ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
                  f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    assert json.loads(decode(head))["alg"] == "ES256"
    return json.loads(decode(payload))


class Authority:
    """A certificate authority and a server certificate for localhost; `path` is for federation.authorities."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="mgca"))
        self.directory.chmod(0o755)
        now = datetime.datetime.utcnow()

        def made(name, key, issuer_name, issuer_key, is_authority):
            builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer_name).public_key(key.public_key())
                       .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
                       .not_valid_after(now + datetime.timedelta(days=1))
                       .add_extension(x509.BasicConstraints(is_authority, None), True))
            if not is_authority:
                builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            return builder.sign(issuer_key, hashes.SHA256())

        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        ca = made(ca_name, ca_key, ca_name, ca_key, True)
        certificate = made(name, key, ca_name, ca_key, False)
        pem = serialization.Encoding.PEM
        self.path = self.directory / "ca.pem"
        self.certificate, self.key = self.directory / "server.pem", self.directory / "server.key"
        self.path.write_bytes(ca.public_bytes(pem))
        self.certificate.write_bytes(certificate.public_bytes(pem))
        self.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))

    def drop(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class IdentityProvider:
    def __init__(self, authority, client="masugata", secret="a shared secret: with + and %"):
        self.client, self.secret = client, secret
        self.key = Key("RS256")
        self.keys = [self.key]
        self.client_keys = None  # our JWKS, when private_key_jwt is expected
        self.reset()
        self.codes, self.requests = {}, []
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.certificate, authority.key)
        # A client that says nothing keeps its own thread waiting, and a connection that is gone again keeps nobody.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.socket.settimeout(2)
        self.server, self.port = server, server.server_address[1]
        self.issuer = f"https://localhost:{self.port}"

    def reset(self):
        """Well-behaved again."""
        self.claims = {"sub": "person-1", "email": "aiko@acme.example", "email_verified": True, "name": "Aiko", "sid": "s-1"}
        self.change_claims = lambda claims: claims       # before the token is signed
        self.make_token = lambda claims: self.key.token(claims)
        self.response = {"iss": True}
        self.discovery = {}
        self.userinfo = None
        self.fail = {}  # path -> (status, headers, body)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()

    def document(self):
        return {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys",
                "userinfo_endpoint": f"{self.issuer}/userinfo", "end_session_endpoint": f"{self.issuer}/end",
                "id_token_signing_alg_values_supported": ["RS256", "ES256"], "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "authorization_response_iss_parameter_supported": True, "backchannel_logout_supported": True, **self.discovery}

    def authorize(self, url, **changes):
        """Signs the person in and gives the address that the browser is sent back to."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        assert url.startswith(f"{self.issuer}/authorize?"), url
        assert asked["response_type"] == "code" and asked["client_id"] == self.client and "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
        self.asked = asked
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"]}
        if self.response.get("iss"):
            back["iss"] = self.issuer
        back.update(changes)
        return asked["redirect_uri"] + "?" + urllib.parse.urlencode({k: v for k, v in back.items() if v is not None})

    def id_claims(self, asked):
        now = int(time.time())
        return {"iss": self.issuer, "aud": self.client, "exp": now + 300, "iat": now, "auth_time": now,
                "nonce": asked["nonce"], **self.claims}

    def logout_token(self, **changes):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client, "iat": now, "exp": now + 120, "jti": secrets.token_hex(8),
                  "sub": self.claims["sub"], "sid": self.claims.get("sid"), "events": {LOGOUT_EVENT: {}}, **changes}
        return self.key.token({k: v for k, v in claims.items() if v is not None}, typ="logout+jwt")

    def _client_is_right(self, form, headers):
        if "client_assertion" in form:
            assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            claims = verify_es256(self.client_keys["keys"][0], form["client_assertion"])
            now = time.time()
            return (claims["iss"] == claims["sub"] == form["client_id"] == self.client and claims["aud"] == self.issuer and
                    claims["iat"] <= now + 1 and now < claims["exp"] <= now + 61 and claims["jti"])
        if headers.get("Authorization", "").startswith("Basic "):
            user, _, word = base64.b64decode(headers["Authorization"][6:]).decode().partition(":")
            return (urllib.parse.unquote_plus(user), urllib.parse.unquote_plus(word)) == (self.client, self.secret)
        return form.get("client_id") == self.client and form.get("client_secret", self.secret) == self.secret

    def redeem(self, form, headers):
        asked = self.codes.pop(form.get("code"), None)
        if not self._client_is_right(form, headers):
            return 401, {"error": "invalid_client"}
        challenge = encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or asked["redirect_uri"] != form["redirect_uri"] or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        claims = self.change_claims(self.id_claims(asked))
        self.subject = claims.get("sub")
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": self.make_token(claims)}

    def _handler(self):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open, as providers' do
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *unused):
                pass

            def answer(self, status, body, headers=()):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def do_GET(self):
                path = urllib.parse.urlsplit(self.path).path
                provider.requests.append(path)
                if path in provider.fail:
                    status, headers, body = provider.fail[path]
                    self.answer(status, body, headers)
                elif path == "/.well-known/openid-configuration":
                    self.answer(200, provider.document())
                elif path == "/keys":
                    self.answer(200, {"keys": [key.jwk() for key in provider.keys]})
                elif path == "/userinfo":
                    self.answer(200, provider.userinfo or {"sub": provider.subject})
                else:
                    self.answer(404, {})

            def do_POST(self):
                path = urllib.parse.urlsplit(self.path).path
                provider.requests.append(path)
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                if path in provider.fail:
                    status, headers, body = provider.fail[path]
                    self.answer(status, body, headers)
                else:
                    self.answer(*provider.redeem(form, self.headers))

        return Handler


def hmac_sha256(secret, data):
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(data)
    return mac.finalize()
