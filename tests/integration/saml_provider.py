"""A SAML identity provider that can be told to misbehave: every part of a response may be changed before it is signed,
after it is signed, or be signed with another key. It writes its XML in exclusive canonical form, so that it needs no
canonicaliser of its own (and shares no mistake with ours).

    idp = SamlProvider("https://idp.example/saml")
    response = idp.response(**idp.answer(url))      # base64, for the form

Plain standard library but for keys (python3-cryptography)."""

import base64
import datetime
import hashlib
import re
import secrets
import time
import urllib.parse
import zlib
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PROTOCOL = "urn:oasis:names:tc:SAML:2.0:protocol"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}
DIGESTS = {"sha1": DSIG + "sha1", "sha256": XENC + "sha256", "sha384": MORE + "sha384", "sha512": XENC + "sha512"}


def instant(offset_s=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset_s))


class SamlKey:
    def __init__(self, kind="rsa", bits=2048, days=365, name="idp"):
        self.private = (rsa.generate_private_key(65537, bits) if kind == "rsa"
                        else ec.generate_private_key(ec.SECP256R1() if kind == "ec" else ec.SECP384R1()))
        self.kind = "rsa" if kind == "rsa" else "ecdsa"
        self.half = {"ec": 32, "ec384": 48}.get(kind, 0)
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
                            .public_key(self.private.public_key()).serial_number(x509.random_serial_number())
                            .not_valid_before(now - datetime.timedelta(days=400))
                            .not_valid_after(now + datetime.timedelta(days=days)).sign(self.private, hashes.SHA256()))

    def der(self):
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()

    def sign(self, data, digest="sha256"):
        if self.kind == "rsa":
            return self.private.sign(data, padding.PKCS1v15(), HASHES[digest]())
        r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(HASHES[digest]())))
        return r.to_bytes(self.half, "big") + s.to_bytes(self.half, "big")


def signature(key, identifier, element, digest="sha256", method=None, key_information="", uri=None, transforms=None,
              prefixes=None):
    """A Signature over `element` (canonical text that does not hold it yet)."""
    method = method if method is not None else (DSIG + "rsa-sha1" if (key.kind, digest) == ("rsa", "sha1") else f"{MORE}{key.kind}-{digest}")
    value = base64.b64encode(hashlib.new(digest, element.encode()).digest()).decode()
    last = f'<ds:Transform Algorithm="{EXCLUSIVE}">'
    if prefixes:
        last += f'<ec:InclusiveNamespaces xmlns:ec="{EXCLUSIVE}" PrefixList="{prefixes}"></ec:InclusiveNamespaces>'
    transforms = transforms or f'<ds:Transform Algorithm="{DSIG}enveloped-signature"></ds:Transform>{last}</ds:Transform>'
    inner = (f'<ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"></ds:CanonicalizationMethod>'
             f'<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>'
             f'<ds:Reference URI="{uri if uri is not None else "#" + identifier}"><ds:Transforms>{transforms}</ds:Transforms>'
             f'<ds:DigestMethod Algorithm="{DIGESTS[digest]}"></ds:DigestMethod>'
             f'<ds:DigestValue>{value}</ds:DigestValue></ds:Reference>')
    signed = f'<ds:SignedInfo xmlns:ds="{DSIG}">{inner}</ds:SignedInfo>'
    result = base64.b64encode(key.sign(signed.encode(), digest)).decode()
    return (f'<ds:Signature xmlns:ds="{DSIG}"><ds:SignedInfo>{inner}</ds:SignedInfo>'
            f"<ds:SignatureValue>{result}</ds:SignatureValue>{key_information}</ds:Signature>")


def after_issuer(element, text):
    """Puts text behind the first Issuer."""
    end = element.index("</saml:Issuer>") + len("</saml:Issuer>")
    return element[:end] + text + element[end:]


class SamlProvider:
    def __init__(self, issuer="https://idp.example/saml", base=None, key=None):
        self.issuer, self.base = issuer, base or "https://idp.example"
        self.key = key or SamlKey()
        self.extra_keys = []
        self.wants_signed = True
        self.person = {"name_id": "person-1", "email": "aiko@acme.example", "name": "Aiko", "groups": []}
        self.audience = self.consumer = None  # ours, from our metadata

    # ---- metadata ----

    def metadata(self, sign_out=True, more=""):
        keys = "".join(f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DSIG}"><ds:X509Data><ds:X509Certificate>'
                       f"\n{key.der()}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
                       for key in [self.key, *self.extra_keys])
        redirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
        out = f'<md:SingleLogoutService Binding="{redirect}" Location="{self.base}/slo" ResponseLocation="{self.base}/slo-done"/>'
        wants = ' WantAuthnRequestsSigned="true"' if self.wants_signed else ""
        return (f'<?xml version="1.0"?>\n<!-- what a federation writes -->\n'
                f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{escape(self.issuer)}">'
                f'<md:IDPSSODescriptor{wants}'
                f' protocolSupportEnumeration="{PROTOCOL}">{keys}{out if sign_out else ""}'
                f'<md:SingleSignOnService Binding="{redirect}" Location="{self.base}/sso"/>'
                f"</md:IDPSSODescriptor>{more}</md:EntityDescriptor>")

    def learn(self, metadata):
        """Ours: addresses and the keys that we sign and decrypt with."""
        root = ElementTree.fromstring(metadata)
        self.audience = root.attrib["entityID"]
        space = "{urn:oasis:names:tc:SAML:2.0:metadata}"
        sp = root.find(f"{space}SPSSODescriptor")
        self.consumer = sp.find(f"{space}AssertionConsumerService").attrib["Location"]
        self.logout = sp.find(f"{space}SingleLogoutService").attrib["Location"]
        self.all_sp_keys = {"signing": [], "encryption": []}  # two each while ours are rolled over; the first is in use
        for key in sp.findall(f"{space}KeyDescriptor"):
            der = base64.b64decode(key.find(f".//{{{DSIG}}}X509Certificate").text)
            self.all_sp_keys[key.attrib["use"]].append(x509.load_der_x509_certificate(der).public_key())
        self.sp_keys = {use: keys[0] for use, keys in self.all_sp_keys.items()}
        return self

    # ---- what we are sent ----

    def open_query(self, url, name="SAMLRequest"):
        """The message of the redirect binding; its signature must be right, if this provider wants one."""
        query = urllib.parse.urlsplit(url).query
        raw = dict(part.split("=", 1) for part in query.split("&"))
        signed = "&".join(f"{part}={raw[part]}" for part in (name, "RelayState", "SigAlg") if part in raw)
        if self.wants_signed or name != "SAMLRequest" or "Signature" in raw:
            assert urllib.parse.unquote(raw["SigAlg"]) == MORE + "rsa-sha256"
            self.sp_keys["signing"].verify(base64.b64decode(urllib.parse.unquote(raw["Signature"])), signed.encode(),
                                           padding.PKCS1v15(), hashes.SHA256())
        xml = zlib.decompress(base64.b64decode(urllib.parse.unquote(raw[name])), -15).decode()
        return ElementTree.fromstring(xml), urllib.parse.unquote(raw.get("RelayState", "")), xml

    def answer(self, url):
        """What an honest provider would take from a request."""
        request, relay_state, _ = self.open_query(url)
        assert request.tag == f"{{{PROTOCOL}}}AuthnRequest" and request.attrib["Destination"] == f"{self.base}/sso"
        assert request.attrib["AssertionConsumerServiceURL"] == self.consumer
        assert request.find(f"{{{ASSERTION}}}Issuer").text == self.audience
        self.relay_state = relay_state
        return {"in_response_to": request.attrib["ID"]}

    # ---- what we send ----

    def assertion(self, key=None, sign=True, in_response_to=None, digest="sha256", **changes):
        """Canonical text, signed. Any of the values below can be changed."""
        v = {"identifier": "_" + secrets.token_hex(16), "issued": instant(), "issuer": self.issuer, "format": PERSISTENT,
             "recipient": self.consumer, "audience": self.audience, "not_before": instant(-30), "ends": instant(300),
             "confirmed_until": instant(300), "authenticated": instant(), "session": "s-" + secrets.token_hex(4),
             "class": PASSWORD, "conditions": "", "method": "urn:oasis:names:tc:SAML:2.0:cm:bearer",
             "signature": {}, **self.person, **changes}
        self.session, self.assertion_id = v["session"], v["identifier"]
        answer = f' InResponseTo="{in_response_to}"' if in_response_to else ""
        attributes = "".join(
            f'<saml:Attribute Name="{name}">' + "".join(f"<saml:AttributeValue>{escape(x)}</saml:AttributeValue>" for x in values)
            + "</saml:Attribute>"
            for name, values in [("mail", [v["email"]]), ("displayName", [v["name"]]), ("groups", v["groups"])] if values and values[0])
        restriction = (f'<saml:AudienceRestriction><saml:Audience>{escape(v["audience"])}</saml:Audience></saml:AudienceRestriction>'
                       if v["audience"] else "")
        text = (
            f'<saml:Assertion xmlns:saml="{ASSERTION}" ID="{v["identifier"]}" IssueInstant="{v["issued"]}" Version="2.0">'
            f'<saml:Issuer>{escape(v["issuer"])}</saml:Issuer><saml:Subject>'
            f'<saml:NameID Format="{v["format"]}">{escape(v["name_id"])}</saml:NameID>'
            f'<saml:SubjectConfirmation Method="{v["method"]}"><saml:SubjectConfirmationData{answer}'
            f' NotOnOrAfter="{v["confirmed_until"]}" Recipient="{v["recipient"]}"></saml:SubjectConfirmationData>'
            f'</saml:SubjectConfirmation></saml:Subject>'
            f'<saml:Conditions NotBefore="{v["not_before"]}" NotOnOrAfter="{v["ends"]}">{restriction}{v["conditions"]}</saml:Conditions>'
            f'<saml:AuthnStatement AuthnInstant="{v["authenticated"]}" SessionIndex="{v["session"]}"><saml:AuthnContext>'
            f'<saml:AuthnContextClassRef>{v["class"]}</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>'
            f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement></saml:Assertion>")
        if not sign:
            return text
        return after_issuer(text, signature(key or self.key, v["identifier"], text, digest, **v["signature"]))

    def envelope(self, inside, sign=False, key=None, in_response_to=None, destination=None, status="Success", issuer=None,
                 before=""):
        """The Response around it, canonical text."""
        identifier = "_" + secrets.token_hex(16)
        answer = f' InResponseTo="{in_response_to}"' if in_response_to else ""
        text = (f'<samlp:Response xmlns:samlp="{PROTOCOL}" Destination="{destination or self.consumer}" ID="{identifier}"{answer}'
                f' IssueInstant="{instant()}" Version="2.0"><saml:Issuer xmlns:saml="{ASSERTION}">{escape(issuer or self.issuer)}'
                f'</saml:Issuer>{before}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:{status}">'
                f"</samlp:StatusCode></samlp:Status>{inside}</samlp:Response>")
        return after_issuer(text, signature(key or self.key, identifier, text)) if sign else text

    def response(self, in_response_to=None, sign="assertion", encrypt=None, change=None, envelope=None, **changes):
        """base64 for the form. sign: assertion, response, both, none. encrypt: gcm, cbc. change: text -> text, at the end."""
        inside = self.assertion(sign=sign in ("assertion", "both"), in_response_to=in_response_to, **changes)
        if encrypt:
            inside = self.encrypt(inside, encrypt)
        text = self.envelope(inside, sign=sign in ("response", "both"), in_response_to=in_response_to, **(envelope or {}))
        return encode(change(text) if change else text)

    def encrypt(self, text, how="gcm", oaep="sha1", wrap=None):
        key, data = secrets.token_bytes(32 if how == "gcm" else 16), text.encode()
        if how == "gcm":
            nonce = secrets.token_bytes(12)
            algorithm, sealed = XENC11 + "aes256-gcm", nonce + AESGCM(key).encrypt(nonce, data, None)
        else:
            nonce, pad = secrets.token_bytes(16), 16 - len(data) % 16
            cipher = Cipher(algorithms.AES(key), modes.CBC(nonce)).encryptor()
            algorithm = XENC + "aes128-cbc"
            sealed = nonce + cipher.update(data + secrets.token_bytes(pad - 1) + bytes([pad])) + cipher.finalize()
        method = {"sha1": f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>',
                  "sha256": f'<xenc:EncryptionMethod Algorithm="{XENC11}rsa-oaep"><ds:DigestMethod xmlns:ds="{DSIG}" '
                            f'Algorithm="{XENC}sha256"/><e:MGF xmlns:e="{XENC11}" Algorithm="{XENC11}mgf1sha256"/></xenc:EncryptionMethod>',
                  "1_5": f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-1_5"/>'}[oaep]
        digest = hashes.SHA256() if oaep == "sha256" else hashes.SHA1()
        way = padding.PKCS1v15() if oaep == "1_5" else padding.OAEP(padding.MGF1(type(digest)()), digest, None)
        wrapped = (wrap or self.sp_keys["encryption"]).encrypt(key, way)
        text = (f'<saml:EncryptedAssertion xmlns:saml="{ASSERTION}"><xenc:EncryptedData xmlns:xenc="{XENC}" '
                f'Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{algorithm}"/><ds:KeyInfo xmlns:ds="{DSIG}">'
                f'<xenc:EncryptedKey>{method}<xenc:CipherData><xenc:CipherValue>{base64.b64encode(wrapped).decode()}'
                f"</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>"
                f"{base64.b64encode(sealed).decode()}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>")
        return re.sub(r"<([\w:]+)([^<>]*)/>", r"<\1\2></\1>", text)  # canonical

    # ---- sign-outs ----

    def logout_xml(self, name_id=None, session=None, issued=None, issuer=None, destination=None, ends=None, identifier=None):
        index = f"<samlp:SessionIndex>{session}</samlp:SessionIndex>" if session else ""
        end = f' NotOnOrAfter="{ends}"' if ends else ""
        self.logout_id = identifier or "_" + secrets.token_hex(16)
        return (f'<samlp:LogoutRequest xmlns:samlp="{PROTOCOL}" Destination="{destination or self.logout}" ID="{self.logout_id}"'
                f' IssueInstant="{issued or instant()}"{end} Version="2.0"><saml:Issuer xmlns:saml="{ASSERTION}">'
                f'{escape(issuer or self.issuer)}</saml:Issuer><saml:NameID xmlns:saml="{ASSERTION}" Format="{PERSISTENT}">'
                f'{escape(name_id or self.person["name_id"])}</saml:NameID>{index}</samlp:LogoutRequest>')

    def logout_query(self, key=None, sign=True, relay_state="there", xml=None, **changes):
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = deflate.compress((xml or self.logout_xml(**changes)).encode()) + deflate.flush()
        query = urllib.parse.urlencode({"SAMLRequest": base64.b64encode(data).decode(), "RelayState": relay_state})
        if sign:
            query += "&" + urllib.parse.urlencode({"SigAlg": MORE + "rsa-sha256"})
            query += "&" + urllib.parse.urlencode({"Signature": base64.b64encode((key or self.key).sign(query.encode())).decode()})
        return query

    def logout_form(self, key=None, sign=True, **changes):
        xml = self.logout_xml(**changes)
        if sign:
            xml = after_issuer(xml, signature(key or self.key, self.logout_id, xml))
        return encode(xml)


def encode(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


# ---- signature wrapping: the eight shapes of "On Breaking SAML" (Somorovsky and others, 2012) ----

def evil_of(assertion, name_id="mallory", email="boss@acme.example"):
    """The assertion as the attacker would like it: another person and identifier, no signature."""
    bare = re.sub(r"<ds:Signature.*?</ds:Signature>", "", assertion, flags=re.S)
    bare = re.sub(r' ID="[^"]+"', ' ID="_evil"', bare, count=1)
    bare = re.sub(r"(<saml:NameID[^>]*>)[^<]*", rf"\g<1>{name_id}", bare)
    return re.sub(r'(Name="mail"><saml:AttributeValue>)[^<]*', rf"\g<1>{email}", bare)


def wrapped(idp, shape, **request):
    """A response of that shape around an honest assertion (or an honest signed response, shapes 1 and 2)."""
    good = idp.assertion(**request)
    mark = re.search(r"<ds:Signature.*?</ds:Signature>", good, flags=re.S)[0]
    evil = evil_of(good)
    if shape in (1, 2):
        whole = idp.envelope(idp.assertion(sign=False, **request), sign=True, **request)
        mark = re.search(r"<ds:Signature.*?</ds:Signature>", whole, flags=re.S)[0]
        original = whole.replace(mark, "")
        outer = re.sub(r' ID="[^"]+"', ' ID="_outer"', original, count=1)
        outer = outer.replace(re.search(r"<saml:Assertion.*</saml:Assertion>", outer, flags=re.S)[0],
                              evil_of(idp.assertion(sign=False, **request)))
        if shape == 1:  # the original inside the signature, which stands in the forged response
            return encode(after_issuer(outer, mark.replace("</ds:Signature>", original + "</ds:Signature>")))
        return encode(after_issuer(outer, original + mark))  # the original beside the signature
    if shape == 3:
        return encode(idp.envelope(evil + good, **request))
    if shape == 4:
        return encode(idp.envelope(evil.replace("</saml:Assertion>", good + "</saml:Assertion>"), **request))
    if shape == 5:
        return encode(idp.envelope(after_issuer(evil, mark) + good.replace(mark, ""), **request))
    if shape == 6:
        inner = mark.replace("</ds:Signature>", good.replace(mark, "") + "</ds:Signature>")
        return encode(idp.envelope(after_issuer(evil, inner), **request))
    if shape == 7:
        return encode(idp.envelope(good, before=f"<samlp:Extensions>{evil}</samlp:Extensions>", **request))
    inner = mark.replace("</ds:Signature>", f"<ds:Object>{good.replace(mark, '')}</ds:Object></ds:Signature>")
    return encode(idp.envelope(after_issuer(evil, inner), **request))
