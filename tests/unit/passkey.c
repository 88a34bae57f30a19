/* Passkeys without I/O: what an answer is worth, challenges, and how people may sign in. */
#include "test.h"

#include "domain/passkey.h"
#include "domain/sign_in_method.h"

#define ORIGIN "https://id.acme.example"
static const uint8_t challenge[MG_PASSKEY_CHALLENGE_BYTES] = {1, 2, 3};

static struct mg_passkey_facts
right(void)
{
    struct mg_passkey_facts facts = {
        .type = mg_view_text("webauthn.get"),
        .challenge = mg_view_of(challenge, sizeof challenge),
        .origin = mg_view_text(ORIGIN),
        .challenge_expected = mg_view_of(challenge, sizeof challenge),
        .origin_expected = mg_view_text(ORIGIN),
        .rp_id_hash_expected = {7},
        .head = {.rp_id_hash = {7},
                 .flags = MG_PASSKEY_USER_PRESENT | MG_PASSKEY_USER_VERIFIED,
                 .counter = 1},
        .algorithm = MG_COSE_ES256,
        .must_verify = true,
    };
    return facts;
}

static void
everything_has_to_be_right(void **state)
{
    (void) state;
    struct mg_passkey_facts facts = right();
    assert_int_equal(mg_passkey_judge(&facts), MG_PASSKEY_NONE);
#define WRONG(refusal, ...)                                               \
    do {                                                                  \
        facts = right();                                                  \
        __VA_ARGS__;                                                      \
        assert_int_equal(mg_passkey_judge(&facts), MG_PASSKEY_##refusal); \
    } while (0)
    WRONG(TYPE, facts.creation = true);
    WRONG(TYPE, facts.type = MG_VIEW_EMPTY);
    WRONG(CHALLENGE, facts.challenge.length--);
    WRONG(CHALLENGE, facts.challenge_expected = facts.challenge = MG_VIEW_EMPTY);
    WRONG(ORIGIN, facts.origin = mg_view_text("https://id.acme.example.evil"));
    WRONG(ORIGIN, facts.origin = mg_view_text("https://ID.acme.example"));
    WRONG(ORIGIN, facts.origin_expected = facts.origin = MG_VIEW_EMPTY);
    WRONG(CROSS_ORIGIN, facts.cross_origin = true);
    WRONG(RELYING_PARTY, facts.head.rp_id_hash[31] = 1);
    WRONG(USER_PRESENCE, facts.head.flags = MG_PASSKEY_USER_VERIFIED);
    WRONG(USER_VERIFICATION, facts.head.flags = MG_PASSKEY_USER_PRESENT);
    WRONG(BACKUP, facts.head.flags |= MG_PASSKEY_BACKED_UP);
    WRONG(BACKUP, facts.head.flags |= MG_PASSKEY_BACKUP_ELIGIBLE);
    WRONG(BACKUP, facts.eligible_expected = true);
    WRONG(ALGORITHM, facts.algorithm = -35);
    WRONG(ALGORITHM, facts.algorithm = 0);
    WRONG(NONE, facts.must_verify = false; facts.head.flags = MG_PASSKEY_USER_PRESENT);
    WRONG(NONE, facts.eligible_expected = true;
          facts.head.flags |= MG_PASSKEY_BACKUP_ELIGIBLE | MG_PASSKEY_BACKED_UP);
    WRONG(NONE, facts.creation = true; facts.type = mg_view_text("webauthn.create");
          facts.head.flags |= MG_PASSKEY_BACKUP_ELIGIBLE);
#undef WRONG
    for (uint64_t i = 0; i <= MG_PASSKEY_REFUSAL_COUNT; i++) {
        assert_true(strncmp(mg_passkey_refusal_name(i), "PASSKEY_", 8) == 0);
        assert_true(mg_passkey_refusal_text(i, true)[0] != '\0' &&
                    mg_passkey_refusal_text(i, false)[0] != '\0');
    }
}

static void
the_counter_goes_up_or_there_is_none(void **state)
{
    (void) state;
    assert_true(mg_passkey_counter_advances(0, 0));
    assert_true(mg_passkey_counter_advances(0, 1));
    assert_true(mg_passkey_counter_advances(5, 6));
    assert_true(mg_passkey_counter_advances(5, UINT32_MAX));
    assert_false(mg_passkey_counter_advances(5, 5));
    assert_false(mg_passkey_counter_advances(5, 4));
    assert_false(mg_passkey_counter_advances(5, 0));
}

static void
who_must_be_verified(void **state)
{
    (void) state;
    assert_true(mg_passkey_must_verify(MG_PASSKEY_USE_SIGN_IN, false));
    assert_true(mg_passkey_must_verify(MG_PASSKEY_USE_SIGN_IN, true));
    assert_false(mg_passkey_must_verify(MG_PASSKEY_USE_SECOND, true));
    assert_true(mg_passkey_must_verify(MG_PASSKEY_USE_STEP_UP, true));
    assert_false(mg_passkey_must_verify(MG_PASSKEY_USE_STEP_UP, false));
}

static void
a_challenge_says_when_and_what_for(void **state)
{
    (void) state;
    uint8_t made[MG_PASSKEY_CHALLENGE_BYTES] = {0}, nonce[16] = {9}, bound[32] = {1}, other[32] = {2};
    uint8_t message[MG_PASSKEY_MESSAGE_BYTES], second[MG_PASSKEY_MESSAGE_BYTES];
    const mg_instant now = INT64_C(1800000000000);
    mg_passkey_challenge_begin(now, nonce, made);
    assert_true(mg_passkey_challenge_is_fresh(made, now));
    assert_true(mg_passkey_challenge_is_fresh(made, now + MG_PASSKEY_CHALLENGE_MS));
    assert_false(mg_passkey_challenge_is_fresh(made, now + MG_PASSKEY_CHALLENGE_MS + 1));
    assert_true(mg_passkey_challenge_is_fresh(made, now - 5000));
    assert_false(mg_passkey_challenge_is_fresh(made, now - 5001));
    memset(made, 0xff, 8);
    assert_false(mg_passkey_challenge_is_fresh(made, now));
    memset(made, 0, 8);
    assert_false(mg_passkey_challenge_is_fresh(made, now));
    mg_passkey_challenge_message(made, MG_PASSKEY_USE_SECOND, bound, message);
    mg_passkey_challenge_message(made, MG_PASSKEY_USE_STEP_UP, bound, second);
    assert_memory_not_equal(message, second, sizeof message);
    mg_passkey_challenge_message(made, MG_PASSKEY_USE_SECOND, other, second);
    assert_memory_not_equal(message, second, sizeof message);
}

static void
heads_and_transports(void **state)
{
    (void) state;
    uint8_t data[37] = {3};
    struct mg_passkey_head head;
    data[32] = 0x41;
    data[33] = 0x80;
    data[36] = 2;
    assert_true(mg_passkey_head_read(mg_view_of(data, 37), &head));
    assert_int_equal(head.rp_id_hash[0], 3);
    assert_int_equal(head.flags, 0x41);
    assert_int_equal(head.counter, 0x80000002);
    assert_false(mg_passkey_head_read(mg_view_of(data, 36), &head));
    char words[64];
    mg_passkey_transports(mg_view_text("internal  usb usb cable <b> hybrid"), words);
    assert_string_equal(words, "usb hybrid internal");
    mg_passkey_transports(mg_view_text("usb nfc ble smart-card hybrid internal"), words);
    assert_string_equal(words, "usb nfc ble smart-card hybrid internal");
    mg_passkey_transports(MG_VIEW_EMPTY, words);
    assert_string_equal(words, "");
}

static void
how_people_may_sign_in(void **state)
{
    (void) state;
    unsigned methods = 0;
    assert_ok(mg_sign_in_methods_read("password passkey sso", &methods));
    assert_int_equal(methods, MG_METHODS_ALL);
    assert_ok(mg_sign_in_methods_read(" sso,passkey", &methods));
    assert_int_equal(methods, MG_METHOD_PASSKEY | MG_METHOD_SSO);
    assert_code(mg_sign_in_methods_read("", &methods), INVALID);
    assert_code(mg_sign_in_methods_read("passkeys", &methods), INVALID);
    static const struct {
        unsigned methods;
        struct mg_sign_in_shown shown;
        bool allowed;
    } rows[] = {
        {0, {.by_password = true, .by_provider = true, .passkey = true}, false},
        {MG_METHOD_PASSWORD, {.by_password = true}, true},
        {MG_METHOD_PASSWORD, {.passkey = true}, false},
        {MG_METHOD_PASSWORD, {.by_provider = true}, false},
        {MG_METHOD_PASSKEY, {.by_password = true}, false},
        {MG_METHOD_PASSKEY, {.by_password = true, .passkey = true}, true},
        {MG_METHOD_PASSKEY, {.passkey = true}, true},
        {MG_METHOD_PASSKEY, {.by_provider = true, .passkey = true}, false},
        {MG_METHOD_SSO, {.by_provider = true}, true},
        {MG_METHOD_SSO, {.by_password = true, .passkey = true}, false},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++)
        assert_int_equal(mg_sign_in_method_allowed(rows[i].methods, &rows[i].shown), rows[i].allowed);
    assert_int_equal(mg_password_use_of(MG_METHODS_ALL, true), MG_PASSWORD_SIGNS_IN);
    assert_int_equal(mg_password_use_of(MG_METHOD_PASSKEY, false), MG_PASSWORD_SETS_UP_PASSKEY);
    assert_int_equal(mg_password_use_of(MG_METHOD_PASSKEY, true), MG_PASSWORD_NOT_HERE);
    assert_int_equal(mg_password_use_of(MG_METHOD_SSO, false), MG_PASSWORD_NOT_HERE);
    assert_int_equal(mg_password_use_of(0, false), MG_PASSWORD_NOT_HERE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_to_be_right), cmocka_unit_test(the_counter_goes_up_or_there_is_none),
        cmocka_unit_test(who_must_be_verified),       cmocka_unit_test(a_challenge_says_when_and_what_for),
        cmocka_unit_test(heads_and_transports),       cmocka_unit_test(how_people_may_sign_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
