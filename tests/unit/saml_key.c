/* The roll-over of our own keys at a SAML provider, step by step. */
#include "domain/saml_key.h"
#include "test.h"

static const mg_instant NOW = 1795000000000;

static void
steps_come_in_their_order(void **state)
{
    (void) state;
    const struct {
        uint64_t step;
        bool there;
        mg_instant signs_at, at;
        const char *says;
    } rows[] = {
        {MG_SAML_KEY_MAKE, false, 0, 0, ""},
        {MG_SAML_KEY_MAKE, true, 0, 0, "KEY_THERE|"},
        {MG_SAML_KEY_USE, false, 0, 0, "KEY_NONE|"},
        {MG_SAML_KEY_USE, true, 0, 0, ""},
        {MG_SAML_KEY_USE, true, NOW + 1, 0, ""}, /* sooner than was said */
        {MG_SAML_KEY_USE, true, 0, NOW + 1, ""},
        {MG_SAML_KEY_USE, true, 0, NOW - 1, "KEY_TIME|"},
        {MG_SAML_KEY_USE, true, 0, NOW + MG_SAML_KEY_AHEAD_MS + 1, "KEY_TIME|"},
        {MG_SAML_KEY_USE, true, NOW, 0, "KEY_SIGNS|"},
        {MG_SAML_KEY_FINISH, false, 0, 0, "KEY_NONE|"},
        {MG_SAML_KEY_FINISH, true, 0, 0, "KEY_SIGNS_NOT|"},
        {MG_SAML_KEY_FINISH, true, NOW + 1, 0, "KEY_SIGNS_NOT|"},
        {MG_SAML_KEY_FINISH, true, NOW, 0, ""},
        {MG_SAML_KEY_FINISH, true, NOW, NOW, "KEY_TIME|"}, /* a time is of USE alone */
        {MG_SAML_KEY_DROP, true, 0, 0, ""},
        {MG_SAML_KEY_DROP, true, NOW + 1, 0, ""},
        {MG_SAML_KEY_DROP, true, NOW, 0, "KEY_SIGNS|"},
        {MG_SAML_KEY_DROP, false, 0, 0, "KEY_NONE|"},
        {0, true, 0, 0, "KEY_STEP|"},
        {5, true, 0, 0, "KEY_STEP|"},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const char *says = mg_saml_key_judge(rows[i].step, rows[i].there, rows[i].signs_at, rows[i].at, NOW);
        if (strcmp(says, rows[i].says) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, says, rows[i].says);
    }
}

static void
words_are_steps(void **state)
{
    (void) state;
    assert_int_equal(mg_saml_key_step_of(mg_view_text("make")), MG_SAML_KEY_MAKE);
    assert_int_equal(mg_saml_key_step_of(mg_view_text("drop")), MG_SAML_KEY_DROP);
    assert_int_equal(mg_saml_key_step_of(mg_view_text("")), 0);
    assert_int_equal(mg_saml_key_step_of(mg_view_text("makes")), 0);
    assert_false(mg_saml_key_signs(false, NOW, NOW));
    assert_false(mg_saml_key_signs(true, 0, NOW));
    assert_true(mg_saml_key_signs(true, NOW, NOW));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_come_in_their_order),
        cmocka_unit_test(words_are_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
