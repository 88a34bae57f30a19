#include "ports/webauthn.h"

#include "ports/cbor.h"
#include "ports/crypto.h"
#include "ports/openssl.h"

#include <jansson.h>
#include <openssl/ecdsa.h>
#include <stdio.h>

enum { DETAIL = 128, CERTIFICATES_MOST = 8, CERTIFICATE_BYTES = 4096 };

/* ---- the browser's part ---- */

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

static bool
member_copy(const json_t *object, const char *name, char *array, size_t size)
{
    const json_t *member = json_object_get(object, name);
    return json_is_string(member) &&
           mg_ok(
               mg_view_copy(mg_view_of(json_string_value(member), json_string_length(member)), array, size));
}

static bool
challenge_read(const json_t *object, struct mg_webauthn_client *client)
{
    OWN_BUFFER(bytes, sizeof client->challenge);
    const json_t *member = json_object_get(object, "challenge");
    if (!json_is_string(member) ||
        !mg_ok(
            mg_base64url_decode(mg_view_of(json_string_value(member), json_string_length(member)), &bytes)))
        return false;
    memcpy(client->challenge, mg_buffer_view(&bytes).bytes, bytes.length);
    client->challenge_length = bytes.length;
    return true;
}

enum mg_passkey_refusal
mg_webauthn_client_read(struct mg_view text, struct mg_webauthn_client *ret_client)
{
    struct mg_webauthn_client client = {.type = ""};
    json_error_t error;
    if (text.length == 0 || text.length > MG_WEBAUTHN_CLIENT_BYTES)
        return MG_PASSKEY_CLIENT_DATA;
    OWN_JSON json = json_loadb((const char *) text.bytes, text.length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json) || !member_copy(json, "type", client.type, sizeof client.type) ||
        !member_copy(json, "origin", client.origin, sizeof client.origin) || !challenge_read(json, &client))
        return MG_PASSKEY_CLIENT_DATA;
    const json_t *cross = json_object_get(json, "crossOrigin");
    if (cross != NULL && !json_is_boolean(cross))
        return MG_PASSKEY_CLIENT_DATA;
    /* An answer made in a frame says so in either way. */
    client.cross_origin = json_is_true(cross) || json_object_get(json, "topOrigin") != NULL;
    *ret_client = client;
    return MG_PASSKEY_NONE;
}

/* ---- the authenticator's part ---- */

static bool
cut(struct mg_view *rest, size_t length, struct mg_view *ret_part)
{
    if (rest->length < length)
        return false;
    *ret_part = mg_view_of(rest->bytes, length);
    *rest = mg_view_of(rest->bytes + length, rest->length - length);
    return true;
}

/* Section 9: extensions are a map of texts; what they say is not asked for. */
static bool
extensions_read(const struct mg_passkey_head *head, struct mg_view rest)
{
    struct mg_view peek = rest;
    struct mg_cbor_item item;
    if ((head->flags & MG_PASSKEY_EXTENDED) == 0)
        return rest.length == 0;
    return mg_ok(mg_cbor_next(&peek, &item)) && item.kind == MG_CBOR_MAP && mg_ok(mg_cbor_skip(&rest)) &&
           rest.length == 0;
}

enum mg_passkey_refusal
mg_webauthn_use_read(struct mg_view data)
{
    struct mg_passkey_head head;
    if (data.length > MG_WEBAUTHN_AUTHENTICATOR_BYTES || !mg_passkey_head_read(data, &head))
        return MG_PASSKEY_AUTHENTICATOR_DATA;
    struct mg_view rest = mg_view_of(data.bytes + 37, data.length - 37);
    struct mg_view skipped;
    if ((head.flags & MG_PASSKEY_ATTESTED) != 0) { /* allowed, if odd; it says nothing of use */
        if (!cut(&rest, 16, &skipped) || !cut(&rest, 2, &skipped))
            return MG_PASSKEY_AUTHENTICATOR_DATA;
        const size_t length = (size_t) skipped.bytes[0] << 8 | skipped.bytes[1];
        if (!cut(&rest, length, &skipped) || !mg_ok(mg_cbor_skip(&rest)))
            return MG_PASSKEY_AUTHENTICATOR_DATA;
    }
    return extensions_read(&head, rest) ? MG_PASSKEY_NONE : MG_PASSKEY_AUTHENTICATOR_DATA;
}

/* RFC 9052 section 7, RFC 9053 section 7.1, RFC 8230 section 4: labels 1, 3, -1, -2, -3. */
struct cose {
    int64_t type, algorithm, curve;
    struct mg_view first, second; /* -2 (RSA: -1) and -3 (RSA: -2) */
};

static bool
cose_member(struct cose *cose, int64_t label, const struct mg_cbor_item *value)
{
    const bool is_bytes = value->kind == MG_CBOR_BYTES;
    switch (label) {
    case 1:
        return mg_ok(mg_cbor_integer(value, &cose->type));
    case 3:
        return mg_ok(mg_cbor_integer(value, &cose->algorithm));
    case -1:
        if (!is_bytes)
            return mg_ok(mg_cbor_integer(value, &cose->curve));
        cose->first = value->bytes;
        return true;
    case -2:
        if (cose->first.length == 0)
            cose->first = value->bytes;
        else
            cose->second = value->bytes;
        return is_bytes;
    case -3:
        cose->second = value->bytes;
        return is_bytes;
    default:
        return false; /* section 6.5.1.1: no other member */
    }
}

static bool
cose_read(struct mg_view *rest, struct cose *cose)
{
    struct mg_cbor_item map, label, value;
    int64_t seen[8];
    *cose = (struct cose){.first = MG_VIEW_EMPTY, .second = MG_VIEW_EMPTY};
    if (!mg_ok(mg_cbor_next(rest, &map)) || map.kind != MG_CBOR_MAP || map.number > MG_COUNT(seen))
        return false;
    for (size_t i = 0; i < map.number; i++) {
        if (!mg_ok(mg_cbor_next(rest, &label)) || !mg_ok(mg_cbor_integer(&label, &seen[i])) ||
            !mg_ok(mg_cbor_next(rest, &value)))
            return false;
        for (size_t j = 0; j < i; j++)
            if (seen[j] == seen[i])
                return false;
        if (!cose_member(cose, seen[i], &value))
            return false;
    }
    return true;
}

static bool
key_take(struct mg_webauthn_creation *creation, struct mg_view first, struct mg_view second)
{
    if (first.length + second.length > sizeof creation->key)
        return false;
    memcpy(creation->key, first.bytes, first.length);
    memcpy(creation->key + first.length, second.bytes, second.length);
    creation->key_length = first.length + second.length;
    return mg_passkey_key_is_sound(creation->algorithm, mg_view_of(creation->key, creation->key_length));
}

/* The one key type and curve of each algorithm (section 5.8.5). */
static enum mg_passkey_refusal
key_read(const struct cose *cose, struct mg_webauthn_creation *creation)
{
    static const uint8_t exponent[] = {1, 0, 1};
    enum { OKP = 1, EC2 = 2, RSA_KEY = 3, P256 = 1, ED25519_CURVE = 6 };
    bool fits = false;
    creation->algorithm = cose->algorithm;
    switch (cose->algorithm) {
    case MG_COSE_ES256:
        fits = cose->type == EC2 && cose->curve == P256 && cose->first.length == 32 &&
               cose->second.length == 32 && key_take(creation, cose->first, cose->second);
        break;
    case MG_COSE_EDDSA:
        fits = cose->type == OKP && cose->curve == ED25519_CURVE && cose->second.length == 0 &&
               key_take(creation, cose->first, MG_VIEW_EMPTY);
        break;
    case MG_COSE_RS256:
        fits = cose->type == RSA_KEY && cose->curve == 0 &&
               mg_view_equal(cose->second, mg_view_of(exponent, sizeof exponent)) &&
               key_take(creation, cose->first, MG_VIEW_EMPTY);
        break;
    default:
        return MG_PASSKEY_ALGORITHM;
    }
    return fits ? MG_PASSKEY_NONE : MG_PASSKEY_KEY;
}

static enum mg_passkey_refusal
attested_read(struct mg_view data, struct mg_webauthn_creation *creation)
{
    struct mg_view rest, aaguid, length;
    struct cose cose;
    if (data.length > MG_WEBAUTHN_AUTHENTICATOR_BYTES || !mg_passkey_head_read(data, &creation->head) ||
        (creation->head.flags & MG_PASSKEY_ATTESTED) == 0)
        return MG_PASSKEY_AUTHENTICATOR_DATA;
    rest = mg_view_of(data.bytes + 37, data.length - 37);
    if (!cut(&rest, 16, &aaguid) || !cut(&rest, 2, &length))
        return MG_PASSKEY_AUTHENTICATOR_DATA;
    memcpy(creation->aaguid, aaguid.bytes, 16);
    if (!cut(&rest, (size_t) length.bytes[0] << 8 | length.bytes[1], &creation->credential) ||
        creation->credential.length == 0 || creation->credential.length > MG_WEBAUTHN_CREDENTIAL_BYTES ||
        !cose_read(&rest, &cose))
        return MG_PASSKEY_AUTHENTICATOR_DATA;
    const enum mg_passkey_refusal refusal = key_read(&cose, creation);
    if (refusal != MG_PASSKEY_NONE)
        return refusal;
    return extensions_read(&creation->head, rest) ? MG_PASSKEY_NONE : MG_PASSKEY_AUTHENTICATOR_DATA;
}

/* ---- signatures ---- */

enum mg_passkey_refusal
mg_webauthn_signature_read(int64_t algorithm, struct mg_view signature, struct mg_buffer *plain)
{
    if (signature.length == 0 || signature.length > MG_WEBAUTHN_SIGNATURE_BYTES)
        return MG_PASSKEY_SIGNATURE;
    if (algorithm != MG_COSE_ES256)
        return mg_ok(mg_buffer_add(plain, signature)) ? MG_PASSKEY_NONE : MG_PASSKEY_SIGNATURE;
    uint8_t raw[64];
    const uint8_t *at = signature.bytes;
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &at, (long) signature.length);
    const bool right = parts != NULL && at == signature.bytes + signature.length &&
                       BN_bn2binpad(ECDSA_SIG_get0_r(parts), raw, 32) == 32 &&
                       BN_bn2binpad(ECDSA_SIG_get0_s(parts), raw + 32, 32) == 32;
    ECDSA_SIG_free(parts);
    ERR_clear_error();
    return right && mg_ok(mg_buffer_add(plain, mg_view_of(raw, sizeof raw))) ? MG_PASSKEY_NONE
                                                                             : MG_PASSKEY_SIGNATURE;
}

/* ---- attestation ---- */

struct statement {
    bool with_algorithm, with_signature, with_certificates;
    int64_t algorithm;
    struct mg_view signature, leaf;
};

static bool
certificates_read(struct mg_view *rest, struct statement *statement)
{
    struct mg_cbor_item list, one;
    if (!mg_ok(mg_cbor_next(rest, &list)) || list.kind != MG_CBOR_ARRAY || list.number == 0 ||
        list.number > CERTIFICATES_MOST)
        return false;
    for (size_t i = 0; i < list.number; i++) {
        if (!mg_ok(mg_cbor_next(rest, &one)) || one.kind != MG_CBOR_BYTES ||
            one.bytes.length > CERTIFICATE_BYTES)
            return false;
        if (i == 0)
            statement->leaf = one.bytes;
    }
    statement->with_certificates = true;
    return true;
}

/* Section 8.2: alg, sig and, unless the key vouches for itself, x5c; nothing else, nothing twice. */
static bool
statement_read(struct mg_view *rest, uint64_t members, struct statement *statement)
{
    struct mg_cbor_item name, value;
    *statement = (struct statement){.signature = MG_VIEW_EMPTY, .leaf = MG_VIEW_EMPTY};
    for (uint64_t i = 0; i < members; i++) {
        if (!mg_ok(mg_cbor_next(rest, &name)) || name.kind != MG_CBOR_TEXT)
            return false;
        if (mg_view_is(name.bytes, "alg") && !statement->with_algorithm) {
            if (!mg_ok(mg_cbor_next(rest, &value)) || !mg_ok(mg_cbor_integer(&value, &statement->algorithm)))
                return false;
            statement->with_algorithm = true;
        } else if (mg_view_is(name.bytes, "sig") && !statement->with_signature) {
            if (!mg_ok(mg_cbor_next(rest, &value)) || value.kind != MG_CBOR_BYTES)
                return false;
            statement->signature = value.bytes;
            statement->with_signature = true;
        } else if (!mg_view_is(name.bytes, "x5c") || statement->with_certificates ||
                   !certificates_read(rest, statement)) {
            return false;
        }
    }
    return statement->with_algorithm && statement->with_signature;
}

static bool
name_is(const X509_NAME *name, int nid, const char *wanted)
{
    char text[128];
    const int length = X509_NAME_get_text_by_NID(name, nid, text, sizeof text);
    return length > 0 && (wanted == NULL || strcmp(text, wanted) == 0);
}

/* Section 8.2.1: id-fido-gen-ce-aaguid, an octet string within the extension's. True when it is not there. */
static bool
aaguid_fits(const X509 *certificate, const uint8_t aaguid[16])
{
    static const uint8_t der[] = {0x06, 0x0b, 0x2b, 0x06, 0x01, 0x04, 0x01,
                                  0x82, 0xe5, 0x1c, 0x01, 0x01, 0x04};
    const uint8_t *at = der;
    ASN1_OBJECT *object = d2i_ASN1_OBJECT(NULL, &at, sizeof der);
    if (object == NULL)
        return false;
    const int index = X509_get_ext_by_OBJ(certificate, object, -1);
    ASN1_OBJECT_free(object);
    if (index < 0)
        return true;
    X509_EXTENSION *extension = X509_get_ext(certificate, index);
    const ASN1_OCTET_STRING *content = X509_EXTENSION_get_data(extension);
    return X509_EXTENSION_get_critical(extension) == 0 && ASN1_STRING_length(content) == 18 &&
           ASN1_STRING_get0_data(content)[0] == V_ASN1_OCTET_STRING &&
           ASN1_STRING_get0_data(content)[1] == 16 &&
           memcmp(ASN1_STRING_get0_data(content) + 2, aaguid, 16) == 0;
}

static bool
certificate_fits(X509 *certificate, const uint8_t aaguid[16])
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    return X509_get_version(certificate) == X509_VERSION_3 && name_is(subject, NID_countryName, NULL) &&
           name_is(subject, NID_organizationName, NULL) &&
           name_is(subject, NID_organizationalUnitName, "Authenticator Attestation") &&
           name_is(subject, NID_commonName, NULL) && X509_check_ca(certificate) == 0 &&
           aaguid_fits(certificate, aaguid);
}

static bool
certificate_signed(X509 *certificate, int64_t algorithm, struct mg_view message, struct mg_view signature)
{
    EVP_PKEY *key = X509_get0_pubkey(certificate); /* the certificate's */
    if (key == NULL)
        return false;
    const int kind = EVP_PKEY_get_base_id(key);
    const bool fits = (algorithm == MG_COSE_ES256 && kind == EVP_PKEY_EC && EVP_PKEY_get_bits(key) == 256) ||
                      (algorithm == MG_COSE_RS256 && kind == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= 2048 &&
                       EVP_PKEY_get_bits(key) <= 8 * MG_PASSKEY_KEY_MOST) ||
                      (algorithm == MG_COSE_EDDSA && kind == EVP_PKEY_ED25519);
    if (!fits)
        return false;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const bool right =
        context != NULL &&
        EVP_DigestVerifyInit_ex(context, NULL, algorithm == MG_COSE_EDDSA ? NULL : "SHA256", NULL, NULL, key,
                                NULL) == 1 &&
        EVP_DigestVerify(context, signature.bytes, signature.length, message.bytes, message.length) == 1;
    EVP_MD_CTX_free(context);
    return right;
}

static bool
packed_by_certificate(const struct statement *statement, struct mg_view message,
                      const struct mg_webauthn_creation *creation)
{
    const uint8_t *at = statement->leaf.bytes;
    OWN_X509 certificate = d2i_X509(NULL, &at, (long) statement->leaf.length);
    const bool right = certificate != NULL && at == statement->leaf.bytes + statement->leaf.length &&
                       certificate_fits(certificate, creation->aaguid) &&
                       certificate_signed(certificate, statement->algorithm, message, statement->signature);
    ERR_clear_error();
    return right;
}

static bool
packed_by_itself(const struct statement *statement, struct mg_view message,
                 const struct mg_webauthn_creation *creation)
{
    OWN_BUFFER(plain, MG_WEBAUTHN_SIGNATURE_BYTES);
    bool right = false;
    return statement->algorithm == creation->algorithm &&
           mg_webauthn_signature_read(creation->algorithm, statement->signature, &plain) == MG_PASSKEY_NONE &&
           mg_ok(mg_passkey_key_verify(creation->algorithm, mg_view_of(creation->key, creation->key_length),
                                       message, mg_buffer_view(&plain), &right)) &&
           right;
}

/* fmt, attStmt and authData in any order; the statement is looked at when all are known. */
struct parts {
    bool with_format, with_statement, with_data;
    struct mg_view format, statement, data; /* statement: behind its head */
    uint64_t members;
};

static bool
parts_read(struct mg_view rest, struct parts *parts)
{
    struct mg_cbor_item map, name, value;
    *parts = (struct parts){.with_format = false};
    if (!mg_ok(mg_cbor_next(&rest, &map)) || map.kind != MG_CBOR_MAP || map.number != 3)
        return false;
    for (size_t i = 0; i < 3; i++) {
        if (!mg_ok(mg_cbor_next(&rest, &name)) || name.kind != MG_CBOR_TEXT)
            return false;
        struct mg_view peek = rest;
        if (!mg_ok(mg_cbor_next(&peek, &value)) || !mg_ok(mg_cbor_skip(&rest)))
            return false;
        if (mg_view_is(name.bytes, "fmt") && value.kind == MG_CBOR_TEXT) {
            parts->format = value.bytes;
            parts->with_format = true;
        } else if (mg_view_is(name.bytes, "attStmt") && value.kind == MG_CBOR_MAP) {
            parts->statement = peek;
            parts->members = value.number;
            parts->with_statement = true;
        } else if (mg_view_is(name.bytes, "authData") && value.kind == MG_CBOR_BYTES) {
            parts->data = value.bytes;
            parts->with_data = true;
        } else {
            return false;
        }
    }
    return parts->with_format && parts->with_statement && parts->with_data && rest.length == 0;
}

static enum mg_passkey_refusal
packed_read(const struct parts *parts, struct mg_view client_data, struct mg_webauthn_creation *creation,
            char *detail)
{
    OWN_BUFFER(message, MG_WEBAUTHN_AUTHENTICATOR_BYTES + 32);
    struct statement statement;
    struct mg_view rest = parts->statement;
    uint8_t hash[32];
    if (!statement_read(&rest, parts->members, &statement)) {
        (void) snprintf(detail, DETAIL, "the packed statement is not well formed");
        return MG_PASSKEY_ATTESTATION;
    }
    if (!mg_ok(mg_sha256(client_data, hash)) || !mg_ok(mg_buffer_add(&message, parts->data)) ||
        !mg_ok(mg_buffer_add(&message, mg_view_of(hash, sizeof hash))))
        return MG_PASSKEY_ATTESTATION;
    const bool by_itself = !statement.with_certificates;
    creation->attestation = by_itself ? MG_ATTESTATION_SELF : MG_ATTESTATION_PACKED;
    if (by_itself ? packed_by_itself(&statement, mg_buffer_view(&message), creation)
                  : packed_by_certificate(&statement, mg_buffer_view(&message), creation))
        return MG_PASSKEY_NONE;
    (void) snprintf(detail, DETAIL, "%s", by_itself ? "self attestation" : "attestation certificate");
    return MG_PASSKEY_ATTESTATION;
}

enum mg_passkey_refusal
mg_webauthn_creation_read(struct mg_view attestation, struct mg_view client_data,
                          struct mg_webauthn_creation *ret_creation, char *detail)
{
    struct mg_webauthn_creation creation = {.attestation = MG_ATTESTATION_NONE};
    struct parts parts;
    detail[0] = '\0';
    if (attestation.length > MG_WEBAUTHN_ATTESTATION_BYTES || !parts_read(attestation, &parts)) {
        (void) snprintf(detail, DETAIL, "the attestation object is not well formed");
        return MG_PASSKEY_AUTHENTICATOR_DATA;
    }
    enum mg_passkey_refusal refusal = attested_read(parts.data, &creation);
    if (refusal != MG_PASSKEY_NONE)
        return refusal;
    if (mg_view_is(parts.format, "none")) { /* section 8.7 */
        refusal = parts.members == 0 ? MG_PASSKEY_NONE : MG_PASSKEY_ATTESTATION;
    } else if (mg_view_is(parts.format, "packed")) {
        refusal = packed_read(&parts, client_data, &creation, detail);
    } else {
        (void) snprintf(detail, DETAIL, "format %.*s", (int) mg_view_start(parts.format, 32).length,
                        (const char *) parts.format.bytes);
        refusal = MG_PASSKEY_ATTESTATION_FORMAT;
    }
    if (refusal == MG_PASSKEY_NONE)
        *ret_creation = creation;
    return refusal;
}
