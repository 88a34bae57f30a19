/* The policy snapshot, the assertion map, the refusal ring, networks. */
#include "test.h"

#include "base/io.h"
#include "wire/assertion_map.h"
#include "wire/policy_snapshot.h"
#include "wire/refusal_ring.h"

#include <fcntl.h>

#define NOW ((mg_instant) 1790000000000)

static char directory[64];

static int
make_directory(void **state)
{
    (void) state;
    (void) snprintf(directory, sizeof directory, "/tmp/mg-gate-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
remove_directory(void **state)
{
    (void) state;
    return mg_ok(mg_tree_remove(directory)) ? 0 : -1;
}

static struct mg_address
address(const char *text)
{
    struct mg_address parsed = {0, 0};
    assert_ok(mg_address_parse(mg_view_text(text), &parsed));
    return parsed;
}

static void
networks_contain_what_they_say(void **state)
{
    (void) state;
    static const char *const texts[] = {"10.0.0.0/8", "192.0.2.7", "10.1.0.0/16", "2001:db8::/32",
                                        "192.0.2.8/32"};
    struct mg_network rows[5];
    for (size_t i = 0; i < 5; i++)
        assert_ok(mg_network_parse(mg_view_text(texts[i]), &rows[i]));
    struct mg_network_set set;
    assert_ok(mg_network_set_make(true, rows, 5, &set));
    assert_true(set.count <= 4);
    assert_true(mg_network_set_has(&set, address("10.0.0.0")));
    assert_true(mg_network_set_has(&set, address("10.255.255.255")));
    assert_true(mg_network_set_has(&set, address("::ffff:10.2.3.4")));
    assert_true(mg_network_set_has(&set, address("192.0.2.8")));
    assert_true(mg_network_set_has(&set, address("2001:db8:ffff::1")));
    assert_false(mg_network_set_has(&set, address("11.0.0.0")));
    assert_false(mg_network_set_has(&set, address("9.255.255.255")));
    assert_false(mg_network_set_has(&set, address("192.0.2.9")));
    assert_false(mg_network_set_has(&set, address("2001:db9::")));
    mg_network_set_drop(&set);
    assert_false(mg_network_set_has(&set, address("10.0.0.1")));
    struct mg_network network;
    static const char *const wrong[] = {"10.0.0.1/8", "10.0.0.0/33",  "10.0.0.0/",  "::/129", "localhost", "",
                                        "1.2.3",      "fe80::1%eth0", "10.0.0.0/8 "};
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        assert_false(mg_ok(mg_network_parse(mg_view_text(wrong[i]), &network)));
    char text[MG_ADDRESS_TEXT];
    mg_address_text(mg_address_prefix(address("192.0.2.77")), text);
    assert_string_equal(text, "192.0.2.0");
    mg_address_text(mg_address_prefix(address("2001:db8:1:2::3")), text);
    assert_string_equal(text, "2001:db8:1::");
}

/* The IPv4 part of a list is searched in a row of its own. */
static void
networks_answer_like_a_plain_comparison(void **state)
{
    (void) state;
    static const char *const lists[][4] = {
        {"::/0", NULL},
        {"::fffe:0:0/95", "10.0.0.0/8"}, /* all of IPv4 and as much before it */
        {"0.0.0.0/0", "2001:db8::/32"},
        {"255.255.255.255", "0.0.0.0/32", "128.0.0.0/1"},
        {"::/80", "::1:0:0/96", "fe80::/10"},
        {"10.0.0.0/31", "10.0.0.4/30", "10.0.0.9", "10.0.0.16/28"},
        {NULL},
    };
    static const char *const asked[] = {
        "0.0.0.0",   "0.0.0.1",          "9.255.255.255", "10.0.0.0",        "10.0.0.1",        "10.0.0.2",
        "10.0.0.3",  "10.0.0.8",         "10.0.0.9",      "10.0.0.10",       "10.0.0.15",       "10.0.0.31",
        "10.0.0.32", "127.255.255.255",  "128.0.0.0",     "255.255.255.254", "255.255.255.255", "::",
        "::1",       "::fffe:ffff:ffff", "::1:0:0:0",     "2001:db8::1",     "fe80::1",         "ffff::"};
    for (size_t list = 0; list < MG_COUNT(lists); list++) {
        struct mg_network rows[4];
        size_t count = 0;
        for (; count < 4 && lists[list][count] != NULL; count++)
            assert_ok(mg_network_parse(mg_view_text(lists[list][count]), &rows[count]));
        struct mg_network_set set, copy;
        assert_ok(mg_network_set_make(true, rows, count, &set));
        assert_ok(mg_network_set_copy(&set, &copy));
        for (size_t i = 0; i < 2 * MG_COUNT(asked); i++) {
            if (i == MG_COUNT(asked))
                mg_network_set_drop(&set); /* the copy stands alone */
            const struct mg_address one = address(asked[i % MG_COUNT(asked)]);
            bool in = false;
            for (size_t row = 0; row < count; row++) {
                const unsigned prefix = rows[row].prefix;
                const uint64_t high = prefix == 0    ? 0
                                      : prefix >= 64 ? UINT64_MAX
                                                     : UINT64_MAX << (64 - prefix);
                const uint64_t low = prefix <= 64 ? 0 : UINT64_MAX << (128 - prefix);
                in = in || (((one.high ^ rows[row].address.high) & high) == 0 &&
                            ((one.low ^ rows[row].address.low) & low) == 0);
            }
            assert_int_equal(mg_network_set_has(i < MG_COUNT(asked) ? &set : &copy, one), in);
        }
        mg_network_set_drop(&copy);
    }
}

static const struct mg_policy_tenant tenants[] = {
    {.id = 1,
     .name = "acme",
     .state = MG_TENANT_ACTIVE,
     .headers = {[MG_HEADER_COEP] = ""},
     .idle_ms = 900000},
    {.id = 2, .name = "beta", .state = MG_TENANT_SUSPENDED},
};
static const struct mg_policy_host hosts[] = {
    {.id = 1,
     .name = "acme.localhost",
     .tenant_id = 1,
     .origin = MG_ORIGIN_APP,
     .upstream = "127.0.0.1:3000"},
    {.id = 2, .name = "id.acme.localhost", .tenant_id = 1, .origin = MG_ORIGIN_SIGN_IN},
    {.id = 3, .name = "beta.localhost", .tenant_id = 2, .origin = MG_ORIGIN_APP},
    {.id = 4, .name = "console.localhost", .tenant_id = 0, .origin = MG_ORIGIN_OPERATOR},
};
static const struct mg_policy_route routes[] = {
    {.tenant_id = 1, .prefix = "/public", .public = true},
    {.tenant_id = 1, .prefix = "/public/admin", .roles = 1},
    {.tenant_id = 1, .prefix = "/files/", .roles = 2},
};
static const struct mg_policy policy = {.tenants = tenants,
                                        .tenant_count = 2,
                                        .hosts = hosts,
                                        .host_count = 4,
                                        .routes = routes,
                                        .route_count = 3};

static const struct mg_gate_route *
route_of(const struct mg_gate_policy *loaded, const char *path)
{
    const struct mg_gate_host *host = mg_gate_host_find(loaded, mg_view_text("acme.localhost"));
    assert_non_null(host);
    return mg_gate_route_find(host, mg_view_text(path));
}

static void
a_policy_reads_back_and_routes(void **state)
{
    (void) state;
    OWN_BUFFER(file, MG_POLICY_MOST);
    assert_ok(mg_policy_encode(&policy, 7, &file));
    OWN(gate_policy) loaded = NULL;
    assert_ok(mg_gate_policy_decode(mg_buffer_view(&file), &loaded));
    assert_int_equal(loaded->generation, 7);
    assert_int_equal(loaded->outage_ms, 900000);
    assert_null(mg_gate_host_find(loaded, mg_view_text("nobody.localhost")));
    const struct mg_gate_host *host = mg_gate_host_find(loaded, mg_view_text("console.localhost"));
    assert_int_equal(host->tenant->id, 0);
    host = mg_gate_host_find(loaded, mg_view_text("acme.localhost"));
    assert_int_equal(host->tenant->idle_s, 900);
    assert_true(host->tenant->header_set[MG_HEADER_COEP]);
    assert_false(host->tenant->header_set[MG_HEADER_CSP]);
    assert_false(mg_network_set_has(&loaded->trusted_proxies, address("127.0.0.1")));
    assert_true(route_of(loaded, "/public/x")->public);
    assert_true(route_of(loaded, "/public;x")->public);
    assert_null(route_of(loaded, "/publicity"));
    assert_null(route_of(loaded, "/PUBLIC"));                        /* what opens is exact */
    assert_int_equal(route_of(loaded, "/public/ADMIN/x")->roles, 1); /* what restricts is not */
    assert_int_equal(route_of(loaded, "/files/x")->roles, 2);
    assert_int_equal(route_of(loaded, "/files")->roles, 2); /* nor is the '/' at its end */
    assert_int_equal(route_of(loaded, "/FILES;p")->roles, 2);
    assert_null(route_of(loaded, "/filesystem"));
}

static void
one_rule_for_everything_is_a_policy(void **state)
{
    (void) state;
    const struct mg_policy_route route = {.tenant_id = 1, .prefix = "/", .roles = 4};
    struct mg_policy one = policy;
    OWN(gate_policy) loaded = NULL;
    OWN_BUFFER(file, MG_POLICY_MOST);
    one.routes = &route;
    one.route_count = 1;
    assert_ok(mg_policy_encode(&one, 7, &file));
    assert_ok(mg_gate_policy_decode(mg_buffer_view(&file), &loaded));
    assert_int_equal(route_of(loaded, "/")->roles, 4);
    assert_int_equal(route_of(loaded, "/a/b")->roles, 4);
}

/* It would cover nothing, and what it should close would stand open. */
static void
a_rule_that_no_path_can_match_is_refused(void **state)
{
    (void) state;
    static const char *const wrong[] = {"admin",      "/a//b",        "/ad%6din", "/ad%6Din", "/a%2F",
                                        "/caf%c3%a9", "/caf\xC3\xA9", "/a b",     "/a?b",     "/a#b",
                                        "/a\\b",      "/%2",          "/%"};
    for (size_t i = 0; i < MG_COUNT(wrong); i++) {
        const struct mg_policy_route route = {.tenant_id = 1, .prefix = wrong[i], .roles = 1};
        struct mg_policy one = policy;
        struct mg_gate_policy *loaded = NULL;
        one.routes = &route;
        one.route_count = 1;
        OWN_BUFFER(file, MG_POLICY_MOST);
        assert_ok(mg_policy_encode(&one, 7, &file));
        assert_code(mg_gate_policy_decode(mg_buffer_view(&file), &loaded), INVALID);
    }
}

static void
a_damaged_policy_is_refused(void **state)
{
    (void) state;
    OWN_BUFFER(file, MG_POLICY_MOST);
    assert_ok(mg_policy_encode(&policy, 7, &file));
    struct mg_gate_policy *loaded = NULL;
    for (size_t length = 0; length < file.length; length++)
        assert_false(mg_ok(mg_gate_policy_decode(mg_view_of(file.bytes, length), &loaded)));
    for (size_t at = 0; at < file.length; at++) {
        file.bytes[at] ^= 0x20;
        assert_false(mg_ok(mg_gate_policy_decode(mg_buffer_view(&file), &loaded)));
        file.bytes[at] ^= 0x20;
    }
    struct mg_policy wrong = policy;
    const struct mg_policy_host twice[] = {hosts[0], hosts[0]};
    wrong.hosts = twice;
    wrong.host_count = 2;
    OWN_BUFFER(other, MG_POLICY_MOST);
    assert_ok(mg_policy_encode(&wrong, 7, &other));
    assert_code(mg_gate_policy_decode(mg_buffer_view(&other), &loaded), INVALID);
    assert_null(loaded);
}

static void
publishing_tells_the_readers(void **state)
{
    (void) state;
    OWN(session_writer) writer = NULL;
    struct mg_session_report report;
    assert_ok(mg_session_writer_open(directory, 64, (gid_t) -1, &writer, &report));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    uint64_t first, second;
    assert_ok(mg_policy_publish(directory, (gid_t) -1, writer, &policy, &first));
    assert_int_equal(mg_session_wanted_policy(reader), first);
    assert_ok(mg_policy_publish(directory, (gid_t) -1, writer, &policy, &second));
    assert_true(second > first);
    OWN(gate_policy) loaded = NULL;
    assert_ok(mg_gate_policy_open(directory, mg_session_wanted_policy(reader), &loaded));
    mg_gate_policy_drop(&loaded);
    assert_code(mg_gate_policy_open(directory, second + 1, &loaded), INTEGRITY);
    char path[MG_PATH];
    assert_ok(mg_path_join(path, directory, "policy"));
    assert_int_equal(chmod(path, 0660), 0);
    assert_code(mg_gate_policy_open(directory, second, &loaded), INTEGRITY);
    mg_session_writer_drop(&writer);
    assert_ok(mg_session_writer_open(directory, 64, (gid_t) -1, &writer, &report));
    assert_ok(mg_session_grow(writer, 1000));
    assert_int_equal(mg_session_required_policy(writer), second);
}

static void
assertions_are_found_while_they_are_valid(void **state)
{
    (void) state;
    OWN(assertion_writer) writer = NULL;
    assert_ok(mg_assertion_writer_open(directory, 64, (gid_t) -1, &writer));
    OWN(assertion_reader) reader = NULL;
    assert_ok(mg_assertion_reader_open(directory, &reader));
    const struct mg_assertion rows[] = {
        {.not_before = NOW, .expires = NOW + 300000, .token = mg_view_text("first")},
        {.not_before = NOW + 240000, .expires = NOW + 540000, .token = mg_view_text("second")},
    };
    assert_ok(mg_assertion_put(writer, 5, rows, 2, NOW));
    uint8_t text[MG_ASSERTION_BYTES];
    size_t length = 0;
    assert_true(mg_assertion_find(reader, 5, NOW, text, &length));
    assert_true(mg_view_is(mg_view_of(text, length), "first"));
    assert_true(mg_assertion_find(reader, 5, NOW + 299000, text, &length));
    assert_true(mg_view_is(mg_view_of(text, length), "second"));
    assert_false(mg_assertion_find(reader, 5, NOW + 539000, text, &length));
    assert_false(mg_assertion_find(reader, 5, NOW - 1000, text, &length));
    assert_false(mg_assertion_find(reader, 6, NOW, text, &length));
    assert_int_equal(mg_assertion_until(writer, 5), NOW + 540000);
    for (uint64_t id = 100; id < 1000; id++)
        assert_ok(mg_assertion_put(writer, id, rows, 1, NOW));
    assert_true(mg_assertion_find(reader, 999, NOW, text, &length));
    mg_assertion_remove(writer, 999);
    assert_false(mg_assertion_find(reader, 999, NOW, text, &length));
    mg_assertion_writer_drop(&writer);
    assert_ok(mg_assertion_writer_open(directory, 64, (gid_t) -1, &writer));
    assert_true(mg_assertion_find(reader, 998, NOW, text, &length));
    mg_assertion_clear(writer);
    assert_false(mg_assertion_find(reader, 998, NOW, text, &length));
    uint8_t large[MG_ASSERTION_BYTES + 1] = {0};
    const struct mg_assertion too_large = {.token = mg_view_of(large, sizeof large)};
    assert_code(mg_assertion_put(writer, 5, &too_large, 1, NOW), TOO_LARGE);
}

struct tally {
    uint64_t rows, total;
};

static struct mg_status
add_count(void *context, const struct mg_refusal_count *count)
{
    struct tally *tally = context;
    tally->rows++;
    tally->total += count->count;
    return OK;
}

static void
refusals_are_counted_and_bounded(void **state)
{
    (void) state;
    OWN(session_writer) writer = NULL;
    struct mg_session_report report;
    assert_ok(mg_session_writer_open(directory, 64, (gid_t) -1, &writer, &report));
    OWN(session_reader) reader = NULL;
    assert_ok(mg_session_reader_open(directory, &reader));
    OWN(refusal_drain) drain = NULL;
    assert_ok(mg_refusal_drain_open(directory, (gid_t) -1, &drain));
    OWN(refusal_ring) ring = NULL;
    assert_ok(mg_refusal_ring_open(directory, &ring));
    for (int i = 0; i < 1000; i++)
        mg_refusal_count(ring, mg_session_wanted_refusal_epoch(reader), 1, MG_REFUSAL_NO_SESSION,
                         address(i % 2 == 0 ? "192.0.2.1" : "192.0.2.2"), NOW);
    struct tally tally = {0, 0};
    uint64_t lost;
    assert_ok(mg_refusal_drain_run(drain, writer, add_count, &tally, &lost));
    assert_int_equal(tally.rows, 0); /* the workers may still be counting there */
    mg_refusal_count(ring, mg_session_wanted_refusal_epoch(reader), 1, MG_REFUSAL_ROLE, address("::1"), NOW);
    assert_ok(mg_refusal_drain_run(drain, writer, add_count, &tally, &lost));
    assert_int_equal(tally.rows, 1);
    assert_int_equal(tally.total, 1000);
    for (uint64_t i = 0; i < 100000; i++)
        mg_refusal_count(ring, mg_session_wanted_refusal_epoch(reader), 1, MG_REFUSAL_ROLE,
                         (struct mg_address){.high = i << 16, .low = 0}, NOW);
    tally = (struct tally){0, 0};
    assert_ok(mg_refusal_drain_run(drain, writer, add_count, &tally, &lost));
    assert_int_equal(tally.total, 1);
    assert_ok(mg_refusal_drain_run(drain, writer, add_count, &tally, &lost));
    assert_true(tally.rows <= 4097);
    assert_int_equal(tally.total + lost, 100001);
    assert_int_equal(mg_refusal_row(MG_REFUSAL_NETWORK)->status, 403);
    assert_null(mg_refusal_row(MG_REFUSAL_NONE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_contain_what_they_say),
        cmocka_unit_test(networks_answer_like_a_plain_comparison),
        cmocka_unit_test(a_policy_reads_back_and_routes),
        cmocka_unit_test(a_rule_that_no_path_can_match_is_refused),
        cmocka_unit_test(one_rule_for_everything_is_a_policy),
        cmocka_unit_test(a_damaged_policy_is_refused),
        TEST(publishing_tells_the_readers),
        TEST(assertions_are_found_while_they_are_valid),
        TEST(refusals_are_counted_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
