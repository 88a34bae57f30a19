/* The gate's pure parts: paths, hosts, cookies. */
#include "test.h"

#include "gate/canonical.h"
#include "gate/decision.h"

#include <stdio.h>

static const char *
canonical(const char *raw)
{
    static uint8_t room[3 * 256 + 1];
    static char text[3 * 256 + 1];
    struct mg_view path;
    if (!mg_canonical_path(mg_view_text(raw), room, &path))
        return NULL;
    memcpy(text, path.bytes, path.length);
    text[path.length] = '\0';
    return text;
}

static void
a_path_has_one_form_or_none(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        {"/", "/"},
        {"/a", "/a"},
        {"//", "/"},
        {"/a//", "/a/"},
        {"/%41", "/A"},
        {"/%2D%2e5", "/-.5"},
        {"/a%2ab", "/a%2Ab"},
        {"/%e6%9E%a1", "/%E6%9E%A1"},
        {"/\xE6\x9E\xA1", "/%E6%9E%A1"},
        {"/%25", "/%25"},
        {"/%25x", "/%25x"},
        {"/a;b", "/a;b"},
        {"/.a", "/.a"},
        {"/..a", "/..a"},
        {"/...", "/..."},
        {"/a.", "/a."},
        {"/%F0%9F%8F%AF", "/%F0%9F%8F%AF"},
        {"/%3f", "/%3F"},
    };
    for (size_t i = 0; i < MG_COUNT(pairs); i++)
        assert_string_equal(canonical(pairs[i][0]), pairs[i][1]);
    static const char *const refused[] = {
        "",        "a",          "/.",      "/..",        "/a/./b",   "/a/../b",  "/%2e",
        "/.%2E",   "/..;a",      "/.;a/b",  "/%2f",       "/%5C",     "/\\",      "/%00",
        "/%1f",    "/%7F",       "/ ",      "/\x7F",      "/\x01",    "/#",       "/%",
        "/%4",     "/%g1",       "/%2541",  "/%25%34%31", "/%252%35", "/%25%32e", "/%80",
        "/%c1%81", "/%ed%a0%80", "/%e6%9e", "/\xFF",      "/%e6a",
    };
    for (size_t i = 0; i < MG_COUNT(refused); i++)
        assert_null(canonical(refused[i]));
}

static void
the_canonical_form_is_a_fixed_point(void **state)
{
    (void) state;
    static const char *const alphabet[] = {"/", ".",  "%",   "2",   "e",   "5",   "c",   "f",   ";",
                                           "a", "\\", "%2e", "%25", "%c3", "%a9", "%32", "%34", "%41"};
    uint32_t random_state = 12345;
    for (int round = 0; round < 200000; round++) {
        char raw[64] = "/";
        for (int i = 0; i < 8; i++) {
            random_state = random_state * 1664525 + 1013904223;
            const size_t used = strlen(raw);
            (void) snprintf(raw + used, sizeof raw - used, "%s",
                            alphabet[(random_state >> 16) % MG_COUNT(alphabet)]);
        }
        const char *once = canonical(raw);
        if (once == NULL)
            continue;
        char kept[256];
        (void) snprintf(kept, sizeof kept, "%s", once);
        const char *twice = canonical(kept);
        assert_non_null(twice);
        assert_string_equal(twice, kept);
    }
}

static void
hosts_are_lowered_and_lose_their_port(void **state)
{
    (void) state;
    uint8_t room[300];
    struct mg_view host;
    static const char *const pairs[][2] = {
        {"Acme.LOCALHOST:8443", "acme.localhost"}, {"a.", "a"}, {"[::1]:80", "[::1]"}, {"[::1]", "[::1]"}};
    for (size_t i = 0; i < MG_COUNT(pairs); i++) {
        assert_true(mg_canonical_host(mg_view_text(pairs[i][0]), room, &host));
        assert_true(mg_view_is(host, pairs[i][1]));
    }
    static const char *const refused[] = {"",    ".",   ":80", "a b",   "a:123456",
                                          "a:b", "a/b", "a@b", "a\x80", "::1"};
    for (size_t i = 0; i < MG_COUNT(refused); i++)
        assert_false(mg_canonical_host(mg_view_text(refused[i]), room, &host));
}

#define GOOD "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static void
session_cookies_are_found_among_others(void **state)
{
    (void) state;
    struct mg_tokens tokens = {.count = 0};
    mg_tokens_collect(mg_view_text("a=b; __Host-masugata=" GOOD ";__Host-masugata-start=x; c"), &tokens);
    assert_int_equal(tokens.count, 1);
    assert_true(tokens.reserved && tokens.other);
    for (size_t i = 0; i < MG_TOKEN; i++)
        assert_int_equal(tokens.bytes[0][i], i);
    static const char *const wrong[] = {
        "__Host-masugata=",
        "__Host-masugata=" GOOD "A",
        "__Host-masugata=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9",
        "__Host-masugata=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+",
        "__host-masugata=" GOOD,
        "x__Host-masugata=" GOOD,
        "__Host-masugata =" GOOD,
        "__Host-masugata",
        ";;; ;",
        "__Host-masugata=\"" GOOD "\"",
    };
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        tokens = (struct mg_tokens){.count = 0};
        mg_tokens_collect(mg_view_text(wrong[i]), &tokens);
        assert_int_equal(tokens.count, 0);
    }
}

static void
every_byte_at_every_place_of_a_token_is_judged(void **state)
{
    (void) state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[] = MG_SESSION_COOKIE "=" GOOD;
    char *const token = text + sizeof MG_SESSION_COOKIE;
    for (size_t place = 0; place < MG_TOKEN_TEXT; place++)
        for (int byte = 1; byte < 256; byte++) {
            const char before = token[place];
            token[place] = (char) byte;
            const char *found = strchr(digits, byte);
            /* The last digit has four bits of the token and two that must be 0. */
            const bool good = found != NULL && (place < MG_TOKEN_TEXT - 1 || (found - digits) % 4 == 0);
            struct mg_tokens tokens;
            mg_tokens_clear(&tokens);
            mg_tokens_collect(mg_view_text(text), &tokens);
            assert_int_equal(tokens.count == 1, good && byte != ';' && byte != ' ');
            if (tokens.count == 1) {
                uint32_t bits = 0;
                for (size_t i = 0; i < 3; i++) {
                    const size_t at = place / 4 * 3 + i;
                    bits = bits << 8 | (at < MG_TOKEN ? tokens.bytes[0][at] : 0);
                }
                assert_int_equal(bits >> (18 - 6 * (place % 4)) & 63, found - digits);
            }
            token[place] = before;
        }
}

static void
reserved_cookies_do_not_go_on(void **state)
{
    (void) state;
    static const char *const pairs[][2] = {
        {"__Host-masugata=x", ""},
        {"a=b; __Host-masugata=x; c=d", "a=b; c=d"},
        {"__HOST-MASUGATA-start=x;a=b", "a=b"},
        {"a=b", "a=b"},
        {" ; a=b ;", "a=b "},
        {"__Host-other=1", "__Host-other=1"},
        {"__Host-masugata ; b", "b"},
        {"a;b;c;d;e", "a;b;c;d;e"},
        {"a;__Host-masugata=1;  b", "a;  b"},
    };
    for (size_t i = 0; i < MG_COUNT(pairs); i++) {
        uint8_t room[128];
        const size_t length = mg_cookies_without_reserved(mg_view_text(pairs[i][0]), room);
        assert_true(mg_view_is(mg_view_of(room, length), pairs[i][1]));
    }
}

static void
the_hash_is_the_locator_and_the_end_of_sha_256(void **state)
{
    (void) state;
    uint8_t token[MG_TOKEN] = {0}, hash[MG_TOKEN_HASH];
    char text[2 * MG_TOKEN_HASH + 1];
    mg_token_hash(token, hash);
    mg_hex(mg_view_of(hash, sizeof hash), text);
    assert_string_equal(text, "0000000000000000"
                              "6c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    /* Every bit of the token changes the part that is a hash; those behind the locator change nothing else.
     */
    for (size_t bit = 0; bit < 8 * sizeof token; bit++) {
        uint8_t other[MG_TOKEN_HASH];
        token[bit / 8] ^= (uint8_t) (1U << bit % 8);
        mg_token_hash(token, other);
        assert_memory_equal(other, token, MG_TOKEN_LOCATOR);
        assert_memory_not_equal(other + MG_TOKEN_LOCATOR, hash + MG_TOKEN_LOCATOR,
                                sizeof hash - MG_TOKEN_LOCATOR);
        token[bit / 8] ^= (uint8_t) (1U << bit % 8);
    }
}

static void
without_a_policy_or_a_table_nobody_passes(void **state)
{
    (void) state;
    struct mg_tokens tokens = {.count = 0};
    const struct mg_gate_request request = {
        .host = mg_view_text("a"), .path = mg_view_text("/"), .tokens = &tokens};
    struct mg_gate_verdict verdict;
    mg_gate_decide(NULL, NULL, &request, &verdict);
    assert_int_equal(verdict.refusal, MG_REFUSAL_UNAVAILABLE);
    assert_int_equal(verdict.destination, MG_TO_NOBODY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_has_one_form_or_none),
        cmocka_unit_test(the_canonical_form_is_a_fixed_point),
        cmocka_unit_test(hosts_are_lowered_and_lose_their_port),
        cmocka_unit_test(session_cookies_are_found_among_others),
        cmocka_unit_test(every_byte_at_every_place_of_a_token_is_judged),
        cmocka_unit_test(reserved_cookies_do_not_go_on),
        cmocka_unit_test(the_hash_is_the_locator_and_the_end_of_sha_256),
        cmocka_unit_test(without_a_policy_or_a_table_nobody_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
