#include "test.h"

#include "domain/tls_hello.h"

#include <stdio.h>
#include <stdlib.h>

static const uint16_t suites[] = {0xc02c, 0x1302};

/* A TLS 1.2 flight: ServerHello with renegotiation_info, a ServerKeyExchange on P-256, ServerHelloDone;
 * cut into two records in the middle of the second message. */
static const uint8_t hello_12[] = {
    22, 3,  3,  0,  56, 2,  0,  0,  45, 3,  3,    1,  2,  3,  4,  5,  6,  7,  8, 9,    10,   11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,   26, 27, 28, 29, 30, 31, 32, 0, 0xc0, 0x2c, 0,  0,  5,  0xff,
    1,  0,  1,  0,  12, 0,  0,  8,  3,  0,  0x17, 22, 3,  3,  0,  9,  4,  1,  2, 3,    4,    14, 0,  0,  0};

static void
a_flight_in_two_records_is_read_whole(void **state)
{
    (void) state;
    struct mg_server_answer answer;
    bool more = true;
    assert_ok(mg_server_answer_decode(mg_view_of(hello_12, sizeof hello_12), &answer, &more));
    assert_int_equal(answer.kind, MG_ANSWER_HELLO);
    assert_int_equal(answer.version, 0x0303);
    assert_int_equal(answer.suite, 0xc02c);
    assert_int_equal(answer.group, 0x0017);
    assert_true(answer.renegotiation_info);
    assert_false(answer.ticket);
    assert_true(answer.complete);
    assert_false(more);
}

/* A DHE flight whose prime has `bytes` bytes, the first one `top`. */
static unsigned
prime_measured(size_t bytes, uint8_t top)
{
    struct mg_server_answer answer;
    bool more = true;
    uint8_t flight[1024] = {22, 3, 1, 0, 0, 2, 0, 0, 38, 3, 1, [43] = 0, 0, 0x33, 0};
    size_t at = 47;
    const size_t body = 2 + bytes + 3;
    const uint8_t head[] = {
        12, 0, (uint8_t) (body >> 8), (uint8_t) body, (uint8_t) (bytes >> 8), (uint8_t) bytes, top};
    memcpy(flight + at, head, sizeof head);
    memset(flight + at + sizeof head, 0xff, bytes - 1);
    at += 6 + bytes;
    static const uint8_t end[] = {0x00, 0x01, 0x02, 0x0e, 0x00, 0x00, 0x00};
    memcpy(flight + at, end, sizeof end);
    at += 7;
    flight[3] = (uint8_t) ((at - 5) >> 8);
    flight[4] = (uint8_t) (at - 5);
    assert_ok(mg_server_answer_decode(mg_view_of(flight, at), &answer, &more));
    assert_true(answer.complete);
    return answer.dh_bits;
}

static void
a_prime_is_measured(void **state)
{
    (void) state;
    assert_int_equal(prime_measured(128, 0xff), 1024);
    assert_int_equal(prime_measured(128, 0x01), 1017);
    assert_int_equal(prime_measured(129, 0x00), 1024);
    assert_int_equal(prime_measured(256, 0x80), 2048);
}

/* However much has come so far: never past the end, and `more` until all is there. */
static void
every_cut_asks_for_more(void **state)
{
    (void) state;
    for (size_t length = 0; length < sizeof hello_12; length++) {
        struct mg_server_answer answer;
        bool more = false;
        uint8_t *copy = malloc(length + 1); /* exact, so that a sanitizer sees an overrun */
        assert_non_null(copy);
        memcpy(copy, hello_12, length);
        assert_ok(mg_server_answer_decode(mg_view_of(copy, length), &answer, &more));
        assert_true(more);
        free(copy);
    }
}

static void
alerts_and_strangers_are_told_apart(void **state)
{
    (void) state;
    static const uint8_t alert[] = {21, 3, 1, 0, 2, 2, 40};
    static const uint8_t http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
    static const uint8_t ssl2[] = {0x80, 11, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0};
    static const uint8_t huge[] = {22, 3, 3, 0xff, 0xff, 2, 0, 0, 0};
    static const uint8_t broken[] = {22, 3, 3, 0, 6, 2, 0, 0, 2, 3, 3};
    struct mg_server_answer answer;
    bool more = true;
    assert_ok(mg_server_answer_decode(mg_view_of(alert, sizeof alert), &answer, &more));
    assert_int_equal(answer.kind, MG_ANSWER_ALERT);
    assert_int_equal(answer.alert, 40);
    assert_false(more);
    assert_ok(mg_server_answer_decode(mg_view_of(http, sizeof http - 1), &answer, &more));
    assert_int_equal(answer.kind, MG_ANSWER_OTHER);
    assert_false(more);
    assert_ok(mg_server_answer_decode(mg_view_of(ssl2, sizeof ssl2), &answer, &more));
    assert_int_equal(answer.kind, MG_ANSWER_SSL2);
    assert_code(mg_server_answer_decode(mg_view_of(huge, sizeof huge), &answer, &more), MALFORMED);
    assert_code(mg_server_answer_decode(mg_view_of(broken, sizeof broken), &answer, &more), MALFORMED);
}

static void
hellos_have_the_lengths_they_claim(void **state)
{
    (void) state;
    for (unsigned version = MG_SSL_3; version <= MG_TLS_1_3; version <<= 1) {
        OWN_BUFFER(out, 4096);
        const struct mg_client_hello hello = {.version = (enum mg_tls_version) version,
                                              .suites = suites,
                                              .suite_count = 2,
                                              .server_name = "acme.localhost",
                                              .compression = true,
                                              .ticket = true,
                                              .heartbeat = true,
                                              .fallback = true};
        assert_ok(mg_client_hello_encode(&hello, &out));
        assert_int_equal(out.bytes[0], 22);
        assert_int_equal(out.bytes[3] << 8 | out.bytes[4], out.length - 5);
        assert_int_equal(out.bytes[6], 0);
        assert_int_equal(out.bytes[7] << 8 | out.bytes[8], out.length - 9);
    }
    OWN_BUFFER(two, 4096);
    const struct mg_client_hello old = {.version = MG_SSL_2};
    assert_ok(mg_client_hello_encode(&old, &two));
    assert_int_equal(((two.bytes[0] & 0x7f) << 8 | two.bytes[1]) + 2, two.length);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flight_in_two_records_is_read_whole),
        cmocka_unit_test(a_prime_is_measured),
        cmocka_unit_test(every_cut_asks_for_more),
        cmocka_unit_test(alerts_and_strangers_are_told_apart),
        cmocka_unit_test(hellos_have_the_lengths_they_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
