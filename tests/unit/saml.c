/* SAML: what the facts of a verified assertion mean, what we write, and what a signature covers. */
#include "tests/unit/test.h"

#include "domain/saml.h"
#include "ports/rsa_key.h"
#include "ports/saml_read.h"

#include <openssl/sha.h>

#define NOW_S INT64_C(1795000000)
#define NOW (NOW_S * 1000)

static struct mg_record_saml_claims
good_claims(void)
{
    return (struct mg_record_saml_claims){.identifier = mg_view_text("_a1"),
                                          .issuer = mg_view_text("https://idp.example/saml"),
                                          .subject = mg_view_text("person"),
                                          .audiences = mg_view_text("https://other\nhttps://sp/m"),
                                          .recipient = mg_view_text("https://sp/c"),
                                          .destination = mg_view_text("https://sp/c"),
                                          .in_response_to = mg_view_text("_r1"),
                                          .issued_s = NOW_S - 2,
                                          .not_before_s = NOW_S - 30,
                                          .expires_s = NOW_S + 300,
                                          .confirmation_expires_s = NOW_S + 300,
                                          .authenticated_s = NOW_S - 60,
                                          .session_expires_s = -1};
}

static enum mg_federation_refusal
judge(const struct mg_record_saml_claims *claims)
{
    const struct mg_saml_expected expected = {.issuer = mg_view_text("https://idp.example/saml"),
                                              .entity = mg_view_text("https://sp/m"),
                                              .consumer = mg_view_text("https://sp/c"),
                                              .skew_s = 60};
    return mg_saml_judge(claims, &expected, NOW);
}

static void
every_wrong_statement_is_refused(void **state)
{
    (void) state;
    struct mg_record_saml_claims claims = good_claims();
    assert_int_equal(judge(&claims), MG_FEDERATION_NONE);
#define WRONG(change, reason)                                     \
    do {                                                          \
        claims = good_claims();                                   \
        change;                                                   \
        assert_int_equal(judge(&claims), MG_FEDERATION_##reason); \
    } while (0)
    WRONG(claims.identifier = MG_VIEW_EMPTY, TOKEN_CLAIMS);
    WRONG(claims.subject = MG_VIEW_EMPTY, TOKEN_CLAIMS);
    WRONG(claims.issuer = mg_view_text("https://idp.example/saml/"), WRONG_ISSUER);
    WRONG(claims.response_issuer = mg_view_text("https://evil.example"), WRONG_ISSUER);
    WRONG(claims.audiences = mg_view_text("https://sp/m2"), WRONG_AUDIENCE);
    WRONG(claims.audiences = mg_view_text("https://sp/mm\nhttps://sp/"), WRONG_AUDIENCE);
    WRONG(claims.audiences = MG_VIEW_EMPTY, WRONG_AUDIENCE);
    WRONG(claims.recipient = mg_view_text("https://sp/c2"), WRONG_RECIPIENT);
    WRONG(claims.destination = mg_view_text("https://sp/c2"), WRONG_DESTINATION);
    WRONG((claims.destination = MG_VIEW_EMPTY, claims.response_signed = true), WRONG_DESTINATION);
    WRONG(claims.confirmation_expires_s = -1, TOKEN_CLAIMS);
    WRONG(claims.issued_s = -1, TOKEN_CLAIMS);
    WRONG(claims.confirmation_expires_s = NOW_S - 60, EXPIRED);
    WRONG(claims.expires_s = NOW_S - 60, EXPIRED);
    WRONG(claims.session_expires_s = NOW_S - 60, EXPIRED);
    WRONG(claims.not_before_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.issued_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.authenticated_s = NOW_S + 61, FROM_THE_FUTURE);
    WRONG(claims.issued_s = NOW_S - MG_SAML_ASSERTION_AGE_S - 61, TOO_OLD);
#undef WRONG
    claims = good_claims();
    claims.confirmation_expires_s = NOW_S - 59; /* within the skew */
    claims.destination = MG_VIEW_EMPTY;         /* of an unsigned response */
    assert_int_equal(judge(&claims), MG_FEDERATION_NONE);
}

static void
an_answer_names_its_request(void **state)
{
    (void) state;
    struct mg_record_saml_claims claims = good_claims();
    const struct mg_view asked = mg_view_text("_r1"), nobody = MG_VIEW_EMPTY;
    assert_int_equal(mg_saml_answer_judge(&claims, asked, false), MG_FEDERATION_NONE);
    assert_int_equal(mg_saml_answer_judge(&claims, mg_view_text("_r2"), true), MG_FEDERATION_WRONG_REQUEST);
    assert_int_equal(mg_saml_answer_judge(&claims, nobody, true), MG_FEDERATION_WRONG_REQUEST);
    claims.response_in_response_to = mg_view_text("_r2");
    assert_int_equal(mg_saml_answer_judge(&claims, asked, true), MG_FEDERATION_WRONG_REQUEST);
    claims = good_claims();
    claims.in_response_to = MG_VIEW_EMPTY;
    assert_int_equal(mg_saml_answer_judge(&claims, nobody, true), MG_FEDERATION_NONE);
    assert_int_equal(mg_saml_answer_judge(&claims, nobody, false), MG_FEDERATION_UNSOLICITED);
    assert_int_equal(mg_saml_answer_judge(&claims, asked, true), MG_FEDERATION_WRONG_REQUEST);
    claims.response_in_response_to = asked; /* an envelope that nobody signed */
    assert_int_equal(mg_saml_answer_judge(&claims, asked, true), MG_FEDERATION_WRONG_REQUEST);
}

static struct mg_request_saml_sign
logout_fields(void)
{
    return (struct mg_request_saml_sign){.kind = MG_SAML_LOGOUT_REQUEST,
                                         .identifier = mg_view_text("_0123456789abcdef0123"),
                                         .destination = mg_view_text("https://idp.example/slo?a=1&b=\"2\""),
                                         .issuer = mg_view_text("https://sp/m"),
                                         .name_id = mg_view_text("a<b>&\"c\" 花"),
                                         .name_format = mg_view_text("urn:x"),
                                         .session_index = mg_view_text("s&1")};
}

/* What we write is its own canonical form, whatever stands in it: so its digest is that of a canonicaliser.
 */
static void
what_we_write_is_canonical(void **state)
{
    (void) state;
    struct mg_request_saml_sign fields = logout_fields();
    for (uint64_t kind = MG_SAML_AUTHN_REQUEST; kind <= MG_SAML_LOGOUT_RESPONSE; kind++) {
        OWN_XML(xml);
        OWN_BUFFER(text, MG_SAML_XML_MOST);
        OWN_BUFFER(canonical, MG_SAML_XML_MOST);
        fields.kind = kind;
        fields.consumer = mg_view_text("https://sp/c");
        fields.answers = mg_view_text("_r&1");
        fields.classes = mg_view_text("urn:a\nurn:b&c");
        fields.force = true;
        assert_ok(mg_saml_fields_check(&fields));
        assert_ok(mg_saml_message(&fields, NOW, MG_VIEW_EMPTY, &text));
        assert_ok(mg_xml_parse(mg_buffer_view(&text), false, &xml));
        assert_ok(mg_xml_canonical(&xml, xmlDocGetRootElement(xml.document), NULL, "", &canonical));
        assert_string_equal(mg_buffer_text(&text), mg_buffer_text(&canonical));
    }
    fields.name_id = mg_view_text("a\nb");
    assert_code(mg_saml_fields_check(&fields), INVALID);
    fields = logout_fields();
    fields.destination = mg_view_text("http://idp.example/");
    assert_code(mg_saml_fields_check(&fields), INVALID);
    fields = logout_fields();
    fields.kind = 4;
    assert_code(mg_saml_fields_check(&fields), INVALID);
}

struct keys {
    struct mg_secret *private_key;
    struct mg_saml_keys *public_keys;
};

static void
keys_make(struct keys *keys)
{
    OWN_BUFFER(der, 4096);
    OWN_BUFFER(text, 8192);
    enum mg_federation_refusal refusal;
    char detail[256];
    assert_ok(mg_rsa_key_new(&keys->private_key));
    assert_ok(
        mg_rsa_certificate(mg_secret_view(keys->private_key), mg_view_text("https://sp/m"), NOW, 1, &der));
    assert_ok(mg_base64(mg_buffer_view(&der), &text));
    assert_ok(mg_saml_keys_read(mg_buffer_view(&text), NOW, &keys->public_keys, &refusal, detail));
    assert_int_equal(refusal, MG_FEDERATION_NONE);
    OWN(saml_keys) later = NULL;
    assert_ok(mg_saml_keys_read(mg_buffer_view(&text), NOW + INT64_C(400) * 86400 * 1000, &later, &refusal,
                                detail));
    assert_int_equal(refusal, MG_FEDERATION_CERTIFICATE);
}

/* A sign-out of ours, read as if a provider had sent it, by both bindings; and with one byte changed
 * anywhere. */
static void
what_we_sign_is_what_is_read(void **state)
{
    (void) state;
    struct keys keys = {.private_key = NULL};
    struct mg_request_saml_sign fields = logout_fields();
    OWN_BUFFER(text, 2 * MG_SAML_XML_MOST);
    OWN_BUFFER(information, 4096);
    OWN_BUFFER(mark, 8192);
    uint8_t digest[32], signature[MG_RSA_SIGNATURE_BYTES];
    struct mg_saml_logout logout;
    enum mg_federation_refusal refusal;
    char detail[128];
    keys_make(&keys);
    assert_ok(mg_saml_message(&fields, NOW, MG_VIEW_EMPTY, &text));
    assert_non_null(SHA256(text.bytes, text.length, digest));
    assert_ok(mg_saml_signed_info(fields.identifier, digest, true, &information));
    assert_ok(mg_rsa_sign(mg_secret_view(keys.private_key), mg_buffer_view(&information), signature));
    assert_ok(mg_saml_signature(fields.identifier, digest, mg_view_of(signature, sizeof signature), &mark));
    mg_buffer_clear(&text);
    assert_ok(mg_saml_message(&fields, NOW, mg_buffer_view(&mark), &text));
    assert_ok(mg_saml_logout_message(mg_buffer_view(&text), keys.public_keys, &logout, &refusal, detail));
    assert_int_equal(refusal, MG_FEDERATION_NONE);
    assert_string_equal(logout.name_id, "a<b>&\"c\" 花");
    assert_string_equal(logout.session_index, "s&1");
    assert_int_equal(logout.issued_s, NOW_S);
    for (size_t at = 0; at < text.length; at += 7) {
        const uint8_t before = text.bytes[at];
        text.bytes[at] ^= 1;
        assert_ok(mg_saml_logout_message(mg_buffer_view(&text), keys.public_keys, &logout, &refusal, detail));
        /* Refused, or no request any more (a response changes nothing). */
        assert_true(refusal != MG_FEDERATION_NONE || !logout.is_request);
        text.bytes[at] = before;
    }
    mg_secret_drop(&keys.private_key);
    mg_saml_keys_drop(&keys.public_keys);
}

static void
content_keys_are_unwrapped_by_oaep_alone(void **state)
{
    (void) state;
    OWN(secret) key = NULL;
    OWN(secret) content = NULL;
    uint8_t wrapped[384] = {1};
    assert_ok(mg_rsa_key_new(&key));
    assert_code(
        mg_rsa_unwrap(mg_secret_view(key), mg_view_of(wrapped, sizeof wrapped), "SHA1", "SHA1", &content),
        INTEGRITY);
    assert_code(mg_rsa_unwrap(mg_secret_view(key), mg_view_of(wrapped, 5), "SHA256", "SHA256", &content),
                INTEGRITY);
    assert_null(content);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wrong_statement_is_refused),
        cmocka_unit_test(an_answer_names_its_request),
        cmocka_unit_test(what_we_write_is_canonical),
        cmocka_unit_test(what_we_sign_is_what_is_read),
        cmocka_unit_test(content_keys_are_unwrapped_by_oaep_alone),
    };
    (void) mg_saml_start().code;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
