#include "test.h"

#include "domain/login.h"

static void
folds_to(const char *typed, const char *expected)
{
    OWN_BUFFER(folded, 1024);
    assert_ok(mg_login_fold(mg_view_text(typed), &folded));
    assert_string_equal(mg_buffer_text(&folded), expected);
}

static void
names_are_the_same_in_every_case_and_width(void **state)
{
    (void) state;
    folds_to("  Hanako@Acme.example ", "hanako@acme.example");
    folds_to("Ｈａｎａｋｏ", "hanako");
    folds_to("花子", "花子");
    folds_to("STRASSE", "strasse");
    folds_to("straße", "strasse");
}

static void
names_with_spaces_or_controls_are_refused(void **state)
{
    (void) state;
    OWN_BUFFER(folded, 1024);
    char most[MG_LOGIN_MOST + 2];
    memset(most, 'a', sizeof most - 1);
    most[MG_LOGIN_MOST + 1] = '\0';
    const char *const bad[] = {"",         "   ",      "a b",  "a\tb",     "a\nb",
                               "a\u200Bb", "a\u202Eb", "\xFF", "a\u3000b", most};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_code(mg_login_fold(mg_view_text(bad[i]), &folded), INVALID);
    assert_int_equal(folded.length, 0);
    most[MG_LOGIN_MOST] = '\0';
    assert_ok(mg_login_fold(mg_view_text(most), &folded));
}

static void
addresses_and_roles_are_checked(void **state)
{
    (void) state;
    assert_true(mg_email_plausible(mg_view_text("hanako@acme.example")));
    assert_true(mg_email_plausible(mg_view_text("h+x@localhost")));
    const char *const bad[] = {"", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nBcc: x", "<a@b>", "a@b,c@d"};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_email_plausible(mg_view_text(bad[i])));
    assert_true(mg_roles_valid(mg_view_text("")));
    assert_true(mg_roles_valid(mg_view_text("member note-editor")));
    assert_false(mg_roles_valid(mg_view_text(" member")));
    assert_false(mg_roles_valid(mg_view_text("member ")));
    assert_false(mg_roles_valid(mg_view_text("member  admin")));
    assert_false(mg_roles_valid(mg_view_text("Member")));
    char words[2 * (MG_ROLES_MOST + 1)], word[MG_ROLE_MOST + 2];
    memset(word, 'r', sizeof word);
    assert_true(mg_roles_valid(mg_view_of(word, MG_ROLE_MOST)));
    assert_false(mg_roles_valid(mg_view_of(word, MG_ROLE_MOST + 1)));
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = i % 2 == 0 ? 'r' : ' ';
    assert_true(mg_roles_valid(mg_view_of(words, 2 * MG_ROLES_MOST - 1)));
    assert_false(mg_roles_valid(mg_view_of(words, 2 * MG_ROLES_MOST + 1)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_the_same_in_every_case_and_width),
        cmocka_unit_test(names_with_spaces_or_controls_are_refused),
        cmocka_unit_test(addresses_and_roles_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
