"""A software authenticator for tests: what a phone or a security key does (W3C Web Authentication Level 3, CTAP2),
and what a false one might do. Signatures are of python3-cryptography; the CBOR that is written is small enough to be
here.

    key = Passkey("ES256")
    answer = key.create(rp_id, origin, challenge, user)      # fields of navigator.credentials.create()
    answer = key.get(rp_id, origin, challenge)               # and of get()

Everything can be set wrong: see the keywords."""

import base64
import datetime
import hashlib
import json
import os
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
ALGORITHMS = {"ES256": -7, "EdDSA": -8, "RS256": -257}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def head(kind, number):
    if number < 24:
        return bytes([kind << 5 | number])
    for size, code in ((1, 24), (2, 25), (4, 26), (8, 27)):
        if number < 1 << (8 * size):
            return bytes([kind << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor(value):
    """Canonical CBOR of whole numbers, bytes, texts, lists, dictionaries (in their order) and booleans."""
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())
    raise TypeError(value)


def key_new(algorithm):
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 2048)


def cose(key):
    public = key.public_key()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers = public.public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {1: 1, 3: -8, -1: 6, -2: raw}
    numbers = public.public_numbers()
    return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: numbers.e.to_bytes(3, "big")}


def sign(key, message):
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def certificate(key, aaguid, unit="Authenticator Attestation", ca=False):
    """An attestation certificate (section 8.2.1), signed by itself: nobody looks who signed it."""
    name = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
                      x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit), x509.NameAttribute(NameOID.COMMON_NAME, "Key")])
    now = datetime.datetime(2026, 1, 1)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
            .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=7300))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4"), b"\x04\x10" + aaguid),
                           critical=False)
            .sign(key, hashes.SHA256()))
    return made.public_bytes(serialization.Encoding.DER)


class Passkey:
    def __init__(self, algorithm="ES256", counter=0, flags=UP | UV | BE | BS):
        self.key, self.algorithm = key_new(algorithm), ALGORITHMS[algorithm]
        self.id, self.aaguid = os.urandom(32), os.urandom(16)
        self.counter, self.flags, self.user = counter, flags, b""

    def client_data(self, kind, origin, challenge, **more):
        return json.dumps({"type": kind, "challenge": b64(challenge), "origin": origin, "crossOrigin": False, **more},
                          separators=(",", ":")).encode()

    def authenticator_data(self, rp_id, attested=False, flags=None, extra=b"", counter=None, credential=None, key=None):
        flags = self.flags if flags is None else flags
        data = hashlib.sha256(rp_id.encode()).digest() + bytes([flags | (AT if attested else 0)])
        data += struct.pack(">I", self.counter if counter is None else counter)
        if attested:
            identity = self.id if credential is None else credential
            data += self.aaguid + struct.pack(">H", len(identity)) + identity + cbor(cose(self.key) if key is None else key)
        return data + extra

    def create(self, rp_id, origin, challenge, user=b"", attestation="none", kind="webauthn.create", client=None, forge=None,
               **data):
        """`forge`: a function from (statement, authenticator data, client data hash) to another statement."""
        self.user = user
        client_data = self.client_data(kind, origin, challenge, **(client or {}))
        authenticator_data = self.authenticator_data(rp_id, attested=True, **data)
        message = authenticator_data + hashlib.sha256(client_data).digest()
        if attestation == "none":
            statement = {}
        elif attestation == "self":
            statement = {"alg": self.algorithm, "sig": sign(self.key, message)}
        else:
            other = key_new("ES256")
            statement = {"alg": -7, "sig": sign(other, message), "x5c": [certificate(other, self.aaguid)]}
        if forge is not None:
            statement = forge(statement, authenticator_data, hashlib.sha256(client_data).digest())
        name = {"self": "packed"}.get(attestation, attestation)
        return {"client_data": client_data,
                "attestation": cbor({"fmt": name, "attStmt": statement, "authData": authenticator_data})}

    def get(self, rp_id, origin, challenge, kind="webauthn.get", client=None, key=None, advance=None, handle=None, **data):
        """`advance`: how far the counter goes; authenticators without one keep 0."""
        self.counter += (1 if self.counter else 0) if advance is None else advance
        client_data = self.client_data(kind, origin, challenge, **(client or {}))
        authenticator_data = self.authenticator_data(rp_id, **data)
        signature = sign(key or self.key, authenticator_data + hashlib.sha256(client_data).digest())
        return {"credential": self.id, "client_data": client_data, "authenticator_data": authenticator_data,
                "signature": signature, "user_handle": self.user if handle is None else handle}
