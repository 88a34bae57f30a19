#include "test.h"

#include "domain/common_passwords.h"
#include "domain/password_policy.h"

static enum mg_outcome
judge(const char *typed)
{
    struct mg_password_context context = {0};
    mg_password_context_add(&context, mg_view_text("hanako.yamada@acme.example"));
    mg_password_context_add(&context, mg_view_text("Acme"));
    mg_password_context_add(&context, mg_view_text("masugata"));
    OWN_BUFFER(normalised, MG_PASSWORD_MOST_BYTES * 4);
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    assert_ok(mg_password_normalise(mg_view_text(typed), &normalised));
    assert_ok(mg_password_judge(mg_buffer_view(&normalised), MG_PASSWORD_LEAST_ALONE, &context, &outcome));
    return outcome;
}

static void
length_is_counted_in_characters_after_normalisation(void **state)
{
    (void) state;
    assert_int_equal(judge("vYq7-thistle"), MG_PASSWORD_TOO_SHORT);
    assert_int_equal(judge("14 characters."), MG_PASSWORD_TOO_SHORT);
    assert_int_equal(judge("fifteen charact"), MG_GRANTED);
    assert_int_equal(judge("枡形の門をくぐる朝の光と影よ"), MG_PASSWORD_TOO_SHORT);
    assert_int_equal(judge("枡形の門をくぐる朝の光と影よね"), MG_GRANTED);
    /* 8 times "a" + combining ring is 8 characters after NFKC, not 16. */
    assert_int_equal(judge("a\u030Ab\u0301c\u0301d\u030Ce\u0301g\u0301h\u0302i\u0301"),
                     MG_PASSWORD_TOO_SHORT);
    char most[MG_PASSWORD_MOST_BYTES + 2];
    for (size_t i = 0; i < sizeof most; i++)
        most[i] = (char) ('!' + (i * i * 7 + i / 3) % 90);
    most[MG_PASSWORD_MOST_BYTES] = '\0';
    assert_int_equal(judge(most), MG_GRANTED);
    most[64] = '\0';
    assert_int_equal(judge(most), MG_GRANTED);
    memset(most, 'q', sizeof most - 1);
    most[MG_PASSWORD_MOST_BYTES + 1] = '\0';
    assert_int_equal(judge(most), MG_PASSWORD_TOO_LONG);
}

static void
there_are_no_composition_rules(void **state)
{
    (void) state;
    assert_int_equal(judge("lanterns drift upstream"), MG_GRANTED);
    assert_int_equal(judge("correcthorsebatterystaple"), MG_GRANTED);
    assert_int_equal(judge("83020174659283746501"), MG_GRANTED);
    assert_int_equal(judge("かえるがみずにとびこむおとがした"), MG_GRANTED);
    assert_int_equal(judge("tab\tin the middle of it"), MG_NOT_VALID);
}

static void
common_passwords_are_refused_in_every_case_and_width(void **state)
{
    (void) state;
    assert_int_equal(judge("12345678900987654321"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("1QAZ2wsx3edc4RFV"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("１２３４５６７８９０１２３４５６"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("aaaaaaaaaaaaaaaaaaaaaaaa"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("PasswordPassword"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("password12345678"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("2026Password2026"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("qwertyuiop123456"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("パスワードパスワードパスワード"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("ﾊﾟｽﾜｰﾄﾞﾊﾟｽﾜｰﾄﾞﾊﾟｽﾜｰﾄﾞ"), MG_PASSWORD_COMMON);
    assert_int_equal(judge("xk4xk4xk4xk4xk4xk4xk4"), MG_PASSWORD_COMMON);
    char long_run[301];
    memset(long_run, 'z', 300);
    long_run[300] = '\0';
    assert_int_equal(judge(long_run), MG_PASSWORD_COMMON);
}

static void
what_is_known_about_the_person_is_refused(void **state)
{
    (void) state;
    assert_int_equal(judge("Hanako.Yamada@acme.example"), MG_PASSWORD_LIKE_NAME);
    assert_int_equal(judge("hanakohanakohanako"), MG_PASSWORD_LIKE_NAME);
    assert_int_equal(judge("masugata2026masugata"), MG_PASSWORD_LIKE_NAME);
    assert_int_equal(judge("ACMEacme12345678"), MG_PASSWORD_LIKE_NAME);
    assert_int_equal(judge("hanako likes green tea"), MG_GRANTED);
}

static void
the_same_keys_give_the_same_bytes(void **state)
{
    (void) state;
    OWN_BUFFER(composed, 256);
    OWN_BUFFER(decomposed, 256);
    assert_ok(mg_password_normalise(mg_view_text("が\u00C5ＡＢ１"), &composed));
    assert_ok(mg_password_normalise(mg_view_text("か\u3099A\u030AAB1"), &decomposed));
    assert_true(mg_view_equal(mg_buffer_view(&composed), mg_buffer_view(&decomposed)));
    OWN_BUFFER(refused, 256);
    assert_code(mg_password_normalise(mg_view_of("\xC0\x80", 2), &refused), MALFORMED);
    assert_int_equal(refused.length, 0);
}

static void
the_list_is_searched_exactly(void **state)
{
    (void) state;
    assert_true(mg_common_passwords_count() > 30000);
    assert_true(mg_password_is_common(mg_view_text("password")));
    assert_true(mg_password_is_common(mg_view_text("!@#$%")));
    assert_true(mg_password_is_common(mg_view_text("管理者")));
    assert_false(mg_password_is_common(mg_view_text("")));
    assert_false(mg_password_is_common(mg_view_text("passwor\n")));
    assert_false(mg_password_is_common(mg_view_text("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")));
    assert_false(mg_password_is_common(mg_view_text("\xEF\xBF\xBD\xEF\xBF\xBD")));
}

static bool
has(const char *words, const char *typed)
{
    OWN_BUFFER(normalised, MG_PASSWORD_MOST_BYTES * 4);
    bool found = false;
    assert_ok(mg_password_normalise(mg_view_text(typed), &normalised));
    assert_ok(mg_password_has_word(mg_buffer_view(&normalised), mg_view_text(words), &found));
    return found;
}

static void
words_of_a_tenant_are_found_anywhere_in_any_case_and_width(void **state)
{
    (void) state;
    assert_true(has("Falcon", "my falconry is better than yours"));
    assert_true(has("nothing Falcon other", "ＦＡＬＣＯＮ takes off at nine"));
    assert_true(has("アクメ", "朝のｱｸﾒ商会まで歩いて行く道"));
    assert_true(has("straße", "die STRASSE nach Hause"));
    assert_false(has("Falcon", "lanterns drift upstream"));
    assert_false(has("Falcon", "falc on"));
    assert_false(has("", "anything at all"));
    assert_false(has("a-word-that-is-longer-than-the-password", "short"));
    assert_true(mg_password_word_is_valid(mg_view_text("NTT")));
    assert_true(mg_password_word_is_valid(mg_view_text("花王")));
    static const char *const wrong[] = {
        "",        "ab",           "王",
        "a\x07 b", "\xFF\xFE\xFD", "a234567890123456789012345678901234567890123456789012345678901234567890"};
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        assert_false(mg_password_word_is_valid(mg_view_text(wrong[i])));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_is_counted_in_characters_after_normalisation),
        cmocka_unit_test(there_are_no_composition_rules),
        cmocka_unit_test(common_passwords_are_refused_in_every_case_and_width),
        cmocka_unit_test(what_is_known_about_the_person_is_refused),
        cmocka_unit_test(words_of_a_tenant_are_found_anywhere_in_any_case_and_width),
        cmocka_unit_test(the_same_keys_give_the_same_bytes),
        cmocka_unit_test(the_list_is_searched_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
