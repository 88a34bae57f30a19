/* The example application believes an assertion only if everything about it is right. */
#include "test.h"

#include "../../examples/notes/notes.h"
#include "ports/crypto.h"

#include <stdio.h>

struct settings settings = {.issuer = "https://id.acme.localhost",
                            .audience = "acme.localhost www.acme.localhost"};

static struct mg_signing_key *key;
static const mg_instant now = 1795330000000;

/* Stands in for the key set: one key, known as "k1". */
struct mg_status
key_find(struct mg_view kid, uint8_t ret_key[64])
{
    if (!mg_view_is(kid, "k1"))
        return fail(NOT_FOUND);
    memcpy(ret_key, mg_signing_key_public(key).bytes, 64);
    return OK;
}

static void
token_make(const char *header, const char *payload, struct mg_buffer *token)
{
    uint8_t signature[MG_SIGNATURE_BYTES];
    assert_ok(mg_base64url(mg_view_text(header), token));
    assert_ok(mg_buffer_add_text(token, "."));
    assert_ok(mg_base64url(mg_view_text(payload), token));
    assert_ok(mg_sign(key, mg_buffer_view(token), signature));
    assert_ok(mg_buffer_add_text(token, "."));
    assert_ok(mg_base64url(mg_view_of(signature, sizeof signature), token));
}

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"k1\"}"
#define PAYLOAD(iss, aud, nbf, exp)                                                                    \
    "{\"iss\":\"" iss "\",\"aud\":\"" aud "\",\"sub\":\"7\",\"email\":\"a@b.example\",\"name\":\"A\"," \
    "\"roles\":[\"user\",\"administrator\"],\"nbf\":" nbf ",\"exp\":" exp "}"
#define GOOD PAYLOAD("https://id.acme.localhost", "www.acme.localhost", "1795329990", "1795330200")

static enum mg_code
judge(const char *header, const char *payload)
{
    struct identity identity;
    OWN_BUFFER(token, 8192);
    token_make(header, payload, &token);
    return identity_of(mg_buffer_view(&token), now, &identity).code;
}

static void
a_good_one_says_who(void **state)
{
    (void) state;
    struct identity identity;
    OWN_BUFFER(token, 8192);
    token_make(HEADER, GOOD, &token);
    assert_ok(identity_of(mg_buffer_view(&token), now, &identity));
    assert_string_equal(identity.subject, "7");
    assert_string_equal(identity.roles, "user administrator");
}

static void
what_is_not_for_us_and_now_is_refused(void **state)
{
    (void) state;
    assert_int_equal(
        judge(HEADER, PAYLOAD("https://id.other.localhost", "acme.localhost", "1795329990", "1795330200")),
        MG_REFUSED);
    assert_int_equal(
        judge(HEADER, PAYLOAD("https://id.acme.localhost", "other.localhost", "1795329990", "1795330200")),
        MG_REFUSED);
    assert_int_equal(
        judge(HEADER, PAYLOAD("https://id.acme.localhost", "acme.localhos", "1795329990", "1795330200")),
        MG_REFUSED);
    assert_int_equal(judge(HEADER, PAYLOAD("https://id.acme.localhost", "", "1795329990", "1795330200")),
                     MG_REFUSED);
    assert_int_equal(
        judge(HEADER, PAYLOAD("https://id.acme.localhost", "acme.localhost", "1795330060", "1795330200")),
        MG_REFUSED);
    assert_int_equal(
        judge(HEADER, PAYLOAD("https://id.acme.localhost", "acme.localhost", "1795329700", "1795330000")),
        MG_REFUSED);
    assert_int_equal(judge(HEADER, PAYLOAD("https://id.acme.localhost", "acme.localhost", "\"0\"", "\"9\"")),
                     MG_REFUSED);
    assert_int_equal(judge(HEADER, "{}"), MG_REFUSED);
    assert_int_equal(judge(HEADER, "[1]"), MG_REFUSED);
}

static void
the_token_does_not_choose_the_algorithm(void **state)
{
    (void) state;
    assert_int_equal(judge("{\"alg\":\"none\",\"kid\":\"k1\"}", GOOD), MG_REFUSED);
    assert_int_equal(judge("{\"alg\":\"HS256\",\"kid\":\"k1\"}", GOOD), MG_REFUSED);
    assert_int_equal(judge("{\"alg\":\"ES256\"}", GOOD), MG_REFUSED);
    assert_int_equal(judge("{\"alg\":\"ES256\",\"kid\":\"k2\"}", GOOD), MG_NOT_FOUND);
    assert_int_equal(judge("{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"k1\"}", GOOD), MG_REFUSED);
}

/* Every single changed character, and every shorter token, is refused. */
static void
no_byte_may_differ(void **state)
{
    (void) state;
    struct identity identity;
    OWN_BUFFER(token, 8192);
    token_make(HEADER, GOOD, &token);
    for (size_t i = 0; i < token.length; i++) {
        assert_false(mg_ok(identity_of(mg_view_of(token.bytes, i), now, &identity)));
        const uint8_t kept = token.bytes[i];
        token.bytes[i] = kept == 'A' ? 'B' : 'A';
        assert_false(mg_ok(identity_of(mg_buffer_view(&token), now, &identity)));
        token.bytes[i] = kept;
    }
    assert_ok(mg_buffer_add_text(&token, ".x"));
    assert_code(identity_of(mg_buffer_view(&token), now, &identity), REFUSED);
    assert_code(identity_of(MG_VIEW_EMPTY, now, &identity), REFUSED);
}

static int
set_up(void **state)
{
    uint8_t private_key[MG_KEY_BYTES];
    (void) state;
    assert_ok(mg_signing_key_generate(MG_ES256, private_key));
    assert_ok(mg_signing_key_new(MG_ES256, private_key, &key));
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    mg_signing_key_drop(&key);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_says_who),
        cmocka_unit_test(what_is_not_for_us_and_now_is_refused),
        cmocka_unit_test(the_token_does_not_choose_the_algorithm),
        cmocka_unit_test(no_byte_may_differ),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
