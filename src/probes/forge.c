#include "probes/forge.h"

#include "domain/saml.h"

#include <inttypes.h>
#include <stdio.h>

#define PROTOCOL "urn:oasis:names:tc:SAML:2.0:protocol"
#define ASSERTION "urn:oasis:names:tc:SAML:2.0:assertion"
#define BEARER "urn:oasis:names:tc:SAML:2.0:cm:bearer"
#define PASSWORD "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
#define PERSISTENT "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
#define SUCCESS "urn:oasis:names:tc:SAML:2.0:status:Success"
#define REDIRECT "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
#define DSIG "http://www.w3.org/2000/09/xmldsig#"

enum { LIFE_S = 300, IDENTIFIER = 34, INSTANT = 21 };

/* xs:dateTime without a fraction. */
static void
instant_write(mg_instant now, int64_t shift_s, char text[INSTANT])
{
    char whole[MG_INSTANT_TEXT];
    mg_instant_text(now + shift_s * 1000, whole);
    (void) snprintf(text, INSTANT, "%.19sZ", whole);
}

static void
identifier_write(char text[IDENTIFIER])
{
    uint8_t bytes[16];
    mg_random(bytes, sizeof bytes);
    text[0] = '_';
    mg_hex(mg_view_of(bytes, sizeof bytes), text + 1);
}

/* ---- signing ---- */

/* The same text with another algorithm in it; what the keys process writes for us is RSA's. */
static CHECKED struct mg_status
algorithm_exchange(const struct mg_buffer *from, bool names_rsa, struct mg_buffer *to)
{
    static const char rsa[] = "xmldsig-more#rsa-sha256";
    const char *text = mg_buffer_text(from), *at = strstr(text, rsa);
    if (at == NULL)
        return fail_with(MALFORMED, "a signature without its algorithm");
    TRY(mg_buffer_add(to, mg_view_of(text, (size_t) (at - text))));
    TRY(mg_buffer_add_text(to, names_rsa ? rsa : "xmldsig-more#ecdsa-sha256"));
    return mg_buffer_add_text(to, at + sizeof rsa - 1);
}

static CHECKED struct mg_status
signature_make(const struct mg_forged_saml *wish, const char *identifier, struct mg_view element,
               struct mg_buffer *xml)
{
    uint8_t digest[MG_HASH_BYTES], value[MG_SIGNATURE_BYTES];
    OWN_BUFFER(made, 4096);
    OWN_BUFFER(information, 4096);
    TRY(mg_sha256(element, digest));
    TRY(mg_saml_signed_info(mg_view_text(identifier), digest, true, &made));
    TRY(algorithm_exchange(&made, wish->names_rsa, &information));
    TRY(mg_sign(wish->key, mg_buffer_view(&information), value));
    mg_buffer_clear(&made);
    TRY(mg_saml_signature(mg_view_text(identifier), digest, mg_view_of(value, sizeof value), &made));
    return algorithm_exchange(&made, wish->names_rsa, xml);
}

/* ---- SAML ---- */

/* In exclusive canonical form: attributes stand in the order of their names. `mark` goes behind the issuer.
 */
static CHECKED struct mg_status
assertion_write(const struct mg_forged_saml *wish, mg_instant now, const char *identifier, const char *email,
                const char *mark, struct mg_buffer *xml)
{
    char issued[INSTANT], begins[INSTANT], ends[INSTANT];
    instant_write(now, wish->shift_s, issued);
    instant_write(now, wish->shift_s - LIFE_S / 10, begins);
    instant_write(now, wish->shift_s + LIFE_S, ends);
    TRY(mg_buffer_format(xml,
                         "<saml:Assertion xmlns:saml=\"" ASSERTION "\" ID=\"%s\" IssueInstant=\"%s\""
                         " Version=\"2.0\"><saml:Issuer>%s</saml:Issuer>%s<saml:Subject>"
                         "<saml:NameID Format=\"" PERSISTENT "\">%s</saml:NameID>"
                         "<saml:SubjectConfirmation Method=\"" BEARER "\"><saml:SubjectConfirmationData",
                         identifier, issued, wish->issuer, mark, wish->subject));
    if (wish->in_response_to != NULL)
        TRY(mg_buffer_format(xml, " InResponseTo=\"%s\"", wish->in_response_to));
    TRY(mg_buffer_format(
        xml,
        " NotOnOrAfter=\"%s\" Recipient=\"%s\"></saml:SubjectConfirmationData></saml:SubjectConfirmation>"
        "</saml:Subject><saml:Conditions NotBefore=\"%s\" NotOnOrAfter=\"%s\"><saml:AudienceRestriction>"
        "<saml:Audience>%s</saml:Audience></saml:AudienceRestriction></saml:Conditions>",
        ends, wish->consumer, begins, ends, wish->entity));
    return mg_buffer_format(
        xml,
        "<saml:AuthnStatement AuthnInstant=\"%s\" SessionIndex=\"%s\"><saml:AuthnContext>"
        "<saml:AuthnContextClassRef>" PASSWORD "</saml:AuthnContextClassRef></saml:AuthnContext>"
        "</saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"mail\">"
        "<saml:AttributeValue>%s</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"
        "</saml:Assertion>",
        issued, identifier, email);
}

static CHECKED struct mg_status
assertions_write(const struct mg_forged_saml *wish, mg_instant now, struct mg_buffer *xml)
{
    char identifier[IDENTIFIER], other[IDENTIFIER];
    OWN_BUFFER(bare, 8192);
    OWN_BUFFER(mark, 4096);
    identifier_write(identifier);
    identifier_write(other);
    if (wish->wrapped != NULL)
        TRY(assertion_write(wish, now, other, wish->wrapped, "", xml));
    if (wish->key != NULL) {
        TRY(assertion_write(wish, now, identifier, wish->email, "", &bare));
        TRY(signature_make(wish, identifier, mg_buffer_view(&bare), &mark));
    }
    return assertion_write(wish, now, identifier, wish->email, mg_buffer_text(&mark), xml);
}

struct mg_status
mg_forge_saml(const struct mg_forged_saml *wish, mg_instant now, struct mg_buffer *base64)
{
    char identifier[IDENTIFIER], issued[INSTANT];
    OWN_BUFFER(xml, 24576);
    identifier_write(identifier);
    instant_write(now, wish->shift_s, issued);
    TRY(mg_buffer_format(&xml, "<samlp:Response xmlns:samlp=\"" PROTOCOL "\" Destination=\"%s\" ID=\"%s\"",
                         wish->consumer, identifier));
    if (wish->in_response_to != NULL)
        TRY(mg_buffer_format(&xml, " InResponseTo=\"%s\"", wish->in_response_to));
    TRY(mg_buffer_format(&xml,
                         " IssueInstant=\"%s\" Version=\"2.0\"><saml:Issuer xmlns:saml=\"" ASSERTION
                         "\">%s</saml:Issuer><samlp:Status><samlp:StatusCode Value=\"" SUCCESS
                         "\"></samlp:StatusCode></samlp:Status>",
                         issued, wish->issuer));
    TRY(assertions_write(wish, now, &xml));
    TRY(mg_buffer_add_text(&xml, "</samlp:Response>"));
    return mg_base64(mg_buffer_view(&xml), base64);
}

struct mg_status
mg_forge_saml_metadata(const char *issuer, const char *place, struct mg_view certificate,
                       struct mg_buffer *xml)
{
    TRY(mg_buffer_format(
        xml,
        "<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"%s\">"
        "<md:IDPSSODescriptor protocolSupportEnumeration=\"" PROTOCOL "\">"
        "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"" DSIG "\"><ds:X509Data>"
        "<ds:X509Certificate>",
        issuer));
    TRY(mg_base64(certificate, xml));
    return mg_buffer_format(xml,
                            "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
                            "<md:SingleSignOnService Binding=\"" REDIRECT "\" Location=\"%s\"/>"
                            "</md:IDPSSODescriptor></md:EntityDescriptor>",
                            place);
}

/* ---- OpenID Connect ---- */

static CHECKED struct mg_status
token_sign(const struct mg_forged_token *wish, struct mg_buffer *token)
{
    uint8_t value[MG_SIGNATURE_BYTES], code[MG_HASH_BYTES];
    const struct mg_view signed_part = mg_buffer_view(token);
    if (strcmp(wish->algorithm, "ES256") == 0)
        TRY(mg_sign(wish->key, signed_part, value));
    if (strcmp(wish->algorithm, "HS256") == 0)
        TRY(mg_hmac_sha256(mg_signing_key_public(wish->key), signed_part, code));
    TRY(mg_buffer_add_text(token, "."));
    if (strcmp(wish->algorithm, "ES256") == 0)
        return mg_base64url(mg_view_of(value, sizeof value), token);
    return strcmp(wish->algorithm, "HS256") == 0 ? mg_base64url(mg_view_of(code, sizeof code), token) : OK;
}

struct mg_status
mg_forge_token(const struct mg_forged_token *wish, mg_instant now, struct mg_buffer *token)
{
    const int64_t issued_s = now / 1000 + wish->shift_s;
    OWN_BUFFER(head, 256);
    OWN_BUFFER(claims, 2048);
    TRY(mg_buffer_format(&head, "{\"alg\":\"%s\",\"kid\":\"probe\",\"typ\":\"JWT\"}", wish->algorithm));
    TRY(mg_buffer_format(&claims,
                         "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"%s\",\"nonce\":\"%s\",\"iat\":%" PRId64
                         ",\"exp\":%" PRId64 ",\"email\":\"%s\",\"email_verified\":true,\"name\":\"Probe\"}",
                         wish->issuer, wish->subject, wish->audience, wish->nonce, issued_s,
                         issued_s + LIFE_S, wish->email));
    TRY(mg_base64url(mg_buffer_view(&head), token));
    TRY(mg_buffer_add_text(token, "."));
    TRY(mg_base64url(mg_buffer_view(&claims), token));
    return token_sign(wish, token);
}

struct mg_status
mg_forge_key_set(const struct mg_signing_key *key, struct mg_buffer *json)
{
    const struct mg_view point = mg_signing_key_public(key);
    TRY(mg_buffer_add_text(json,
                           "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"use\":\"sig\","
                           "\"kid\":\"probe\",\"x\":\""));
    TRY(mg_base64url(mg_view_of(point.bytes, 32), json));
    TRY(mg_buffer_add_text(json, "\",\"y\":\""));
    TRY(mg_base64url(mg_view_of(point.bytes + 32, 32), json));
    return mg_buffer_add_text(json, "\"}]}");
}
