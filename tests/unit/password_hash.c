#include "test.h"

#include "ports/argon2_memory.h"
#include "ports/password_hash.h"

#include <argon2.h>
#include <stdio.h>
#include <sys/resource.h>

/* Small costs keep the test quick; the numbers below them are the same code. */
static const struct mg_password_cost small = {.memory_kib = 64, .passes = 1, .lanes = 1};

static bool
matches(const char *password, const char *hash)
{
    bool match = false;
    assert_ok(mg_password_verify(mg_view_text(password), mg_view_text(hash), &match));
    return match;
}

static void
a_hash_verifies_its_password_only(void **state)
{
    (void) state;
    char hash[MG_PASSWORD_HASH_TEXT], again[MG_PASSWORD_HASH_TEXT];
    assert_ok(mg_password_hash(mg_view_text("lanterns drift upstream"), small, hash));
    assert_ok(mg_password_hash(mg_view_text("lanterns drift upstream"), small, again));
    assert_string_not_equal(hash, again);
    assert_true(matches("lanterns drift upstream", hash));
    assert_false(matches("lanterns drift upstreaM", hash));
    assert_false(matches("", hash));
    assert_false(mg_password_needs_rehash(mg_view_text(hash), small));
    assert_true(mg_password_needs_rehash(mg_view_text(hash), MG_PASSWORD_COST_PRESET));
}

/* Whichever library makes a hash, the other agrees: what is stored does not depend on the processor. */
static void
both_libraries_agree(void **state)
{
    (void) state;
    static const struct mg_password_cost costs[] = {
        {.memory_kib = 8, .passes = 1, .lanes = 1},    {.memory_kib = 64, .passes = 3, .lanes = 1},
        {.memory_kib = 4096, .passes = 2, .lanes = 1}, {.memory_kib = 19456, .passes = 2, .lanes = 1},
        {.memory_kib = 64, .passes = 2, .lanes = 2},
    };
    static const char *const passwords[] = {"", "x", "lanterns drift upstream", "\xE3\x81\xB2\xE3\x82\x89"};
    for (size_t i = 0; i < MG_COUNT(costs); i++)
        for (size_t j = 0; j < MG_COUNT(passwords); j++) {
            const char *password = passwords[j];
            char hash[MG_PASSWORD_HASH_TEXT], reference[MG_PASSWORD_HASH_TEXT];
            assert_ok(mg_password_hash(mg_view_text(password), costs[i], hash));
            assert_int_equal(argon2id_verify(hash, password, strlen(password)), ARGON2_OK);
            assert_int_equal(argon2id_hash_encoded(costs[i].passes, costs[i].memory_kib, costs[i].lanes,
                                                   password, strlen(password), "sixteen bytes ..", 16,
                                                   MG_PASSWORD_TAG, reference, sizeof reference),
                             ARGON2_OK);
            assert_true(matches(password, reference));
        }
}

/* 19 MiB are 4,864 pages; who hashes again has them already (a sanitizer keeps memory its own way). */
static void
a_thread_keeps_its_memory(void **state)
{
    (void) state;
    struct rusage before, after;
    char hash[MG_PASSWORD_HASH_TEXT];
    assert_ok(mg_password_hash(mg_view_text("lanterns"), MG_PASSWORD_COST_PRESET, hash));
    assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
    for (int i = 0; i < 3; i++)
        assert_true(matches("lanterns", hash));
    assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
#ifndef __SANITIZE_ADDRESS__
    assert_in_range(after.ru_minflt - before.ru_minflt, 0, 200);
#endif
    mg_argon2_memory_release();
    assert_true(matches("lanterns", hash));
    mg_argon2_memory_release();
}

/* From the reference implementation's test.c (argon2id, v=19, t=2, m=2^8, p=1, "password",
 * "somesalt") and from libxcrypt for "correct horse". */
static void
known_hashes_of_every_scheme_verify(void **state)
{
    (void) state;
    assert_true(matches(
        "password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"));
    assert_true(matches(
        "password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"));
    static const char *const imported[] = {
        "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
        "$y$j75$abcdefghijklmnop$1kKL1r02wT4HlcktLfzeoOHd1GFgv7Ay4JeEbqGj80B",
    };
    for (size_t i = 0; i < MG_COUNT(imported); i++) {
        assert_true(matches("correct horse", imported[i]));
        assert_false(matches("correct horsf", imported[i]));
        assert_true(mg_password_needs_rehash(mg_view_text(imported[i]), small));
    }
}

static void
hashes_outside_the_form_or_the_bounds_are_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "",
        "password",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=99,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=02,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=8,t=2,p=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
        "$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2x$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy",
        "$6$rounds=999999999$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
        "$6$salt:alt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
        "$y$jFT$abcdefghijklmnop$1kKL1r02wT4HlcktLfzeoOHd1GFgv7Ay4JeEbqGj80B",
        "$y$j75$abcdefghijklmnop$1kKL1r02wT4HlcktLfzeoOHd1GFgv7Ay4JeEbqGj80",
    };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        struct mg_password_parsed parsed;
        bool match = true;
        if (mg_password_parse(mg_view_text(bad[i]), &parsed).code != MG_INVALID)
            fail_msg("accepted %s", bad[i]);
        assert_code(mg_password_verify(mg_view_text("password"), mg_view_text(bad[i]), &match), INVALID);
        assert_true(match); /* untouched, and the status says deny */
        assert_true(mg_password_needs_rehash(mg_view_text(bad[i]), small));
    }
}

static void
lengths_and_costs_are_bounded(void **state)
{
    (void) state;
    char hash[MG_PASSWORD_HASH_TEXT];
    static const uint8_t zeros[MG_PASSWORD_BYTES_MOST + 1] = {0};
    assert_code(mg_password_hash(mg_view_of(zeros, sizeof zeros), small, hash), TOO_LARGE);
    assert_ok(mg_password_hash(mg_view_of(zeros, sizeof zeros - 1), small, hash));
    assert_code(mg_password_hash(mg_view_text("x"), (struct mg_password_cost){7, 1, 1}, hash), INVALID);
    assert_code(mg_password_hash(mg_view_text("x"), (struct mg_password_cost){64, 0, 1}, hash), INVALID);
    assert_code(mg_password_hash(mg_view_text("x"), (struct mg_password_cost){1U << 30, 1, 1}, hash),
                INVALID);
    bool match = false;
    assert_code(mg_password_verify(mg_view_of(zeros, sizeof zeros), mg_view_text(hash), &match), TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_verifies_its_password_only),
        cmocka_unit_test(both_libraries_agree),
        cmocka_unit_test(a_thread_keeps_its_memory),
        cmocka_unit_test(known_hashes_of_every_scheme_verify),
        cmocka_unit_test(hashes_outside_the_form_or_the_bounds_are_refused),
        cmocka_unit_test(lengths_and_costs_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
