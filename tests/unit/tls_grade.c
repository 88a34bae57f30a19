#include "test.h"

#include "domain/tls_grade.h"

#define ALL (MG_SSL_2 | MG_SSL_3 | MG_TLS_1_0 | MG_TLS_1_1 | MG_TLS_1_2 | MG_TLS_1_3)

/* A server of the aes256 profile, looked at completely. */
static struct mg_tls_facts
good(void)
{
    struct mg_tls_facts f = {.versions = MG_TLS_1_2 | MG_TLS_1_3,
                             .versions_tested = ALL,
                             .accepted_complete = true,
                             .server_order = MG_SEEN_YES,
                             .compression = MG_SEEN_NO,
                             .secure_renegotiation = MG_SEEN_YES,
                             .client_renegotiation = MG_SEEN_NO,
                             .tickets = MG_SEEN_NO,
                             .heartbleed = MG_SEEN_NO,
                             .fallback_protected = MG_SEEN_YES,
                             .http_answered = true,
                             .hsts_max_age_s = 63072000,
                             .at = 1000};
    f.accepted[f.accepted_count++] = (struct mg_tls_accepted){.suite = 0xc02c, .versions = MG_TLS_1_2};
    f.accepted[f.accepted_count++] = (struct mg_tls_accepted){.suite = 0x1302, .versions = MG_TLS_1_3};
    f.groups[f.group_count++] = 0x001d;
    f.certificate.present = f.certificate.names_host = f.certificate.chain_in_order = true;
    f.certificate.chain_complete = f.certificate.trusted = true;
    memcpy(f.certificate.key_type, "EC", 3);
    f.certificate.key_bits = 256;
    f.certificate.not_after = 2000;
    return f;
}

static enum mg_tls_letter
letter(const struct mg_tls_facts *facts)
{
    struct mg_tls_grade grade;
    mg_tls_grade(facts, &grade);
    return grade.letter;
}

static void
the_best_server_has_a_plus(void **state)
{
    (void) state;
    const struct mg_tls_facts f = good();
    struct mg_tls_grade grade;
    mg_tls_grade(&f, &grade);
    assert_int_equal(grade.letter, MG_GRADE_A_PLUS);
    assert_int_equal(grade.caps, 0);
    assert_int_equal(grade.protocol_score, 100);
    assert_int_equal(grade.key_score, 90);
    assert_int_equal(grade.cipher_score, 100);
    assert_int_equal(grade.score, 97);
    for (int i = 0; i < MG_TLS_RULE_COUNT; i++) {
        const enum mg_tls_verdict verdict =
            mg_tls_rule_check((enum mg_tls_rule) i, MG_TLS_PROFILE_AES256, &f);
        assert_true(verdict == MG_TLS_PASS || verdict == MG_TLS_NOT_APPLICABLE);
    }
    assert_ok(mg_tls_profile_compare(MG_TLS_PROFILE_AES256, &f));
}

/* One fault each, and the grade that is left. */
static void
each_fault_lowers_the_grade(void **state)
{
    (void) state;
    struct mg_tls_facts f = good();
#define GIVES(change, grade)                 \
    do {                                     \
        f = good();                          \
        change;                              \
        assert_int_equal(letter(&f), grade); \
    } while (0)
#define ACCEPT(number, version) \
    f.accepted[f.accepted_count++] = (struct mg_tls_accepted){.suite = (number), .versions = (version)}
    GIVES(f.hsts_max_age_s = -1, MG_GRADE_A);
    GIVES(f.hsts_max_age_s = 86400, MG_GRADE_A);
    GIVES(f.fallback_protected = MG_SEEN_NO, MG_GRADE_A);
    GIVES(f.versions = MG_TLS_1_2; f.accepted_count = 1, MG_GRADE_A_MINUS);
    GIVES(f.secure_renegotiation = MG_SEEN_NO, MG_GRADE_A_MINUS);
    GIVES(f.secure_renegotiation = MG_SEEN_NO; f.client_renegotiation = MG_SEEN_YES, MG_GRADE_F);
    GIVES(f.versions |= MG_TLS_1_0, MG_GRADE_B);
    GIVES(f.versions |= MG_TLS_1_1, MG_GRADE_B);
    GIVES(f.versions |= MG_SSL_3, MG_GRADE_C);
    GIVES(f.versions |= MG_SSL_2, MG_GRADE_F);
    GIVES(f.versions = MG_TLS_1_1; f.accepted_count = 0; ACCEPT(0xc014, MG_TLS_1_1), MG_GRADE_C);
    GIVES(ACCEPT(0x0005, MG_TLS_1_2), MG_GRADE_C);                       /* RC4 with TLS 1.2 */
    GIVES(ACCEPT(0x000a, MG_TLS_1_2), MG_GRADE_C);                       /* 3DES */
    GIVES(ACCEPT(0x0003, MG_TLS_1_0), MG_GRADE_F);                       /* export */
    GIVES(ACCEPT(0x0001, MG_TLS_1_2), MG_GRADE_F);                       /* null */
    GIVES(ACCEPT(0x00a7, MG_TLS_1_2), MG_GRADE_F);                       /* anonymous */
    GIVES(f.accepted_count = 0; ACCEPT(0x009d, MG_TLS_1_2), MG_GRADE_B); /* no forward secrecy */
    GIVES(f.accepted_count = 0; ACCEPT(0xc014, MG_TLS_1_2), MG_GRADE_B); /* no AEAD */
    GIVES(f.dh_bits_least = 1024, MG_GRADE_B);
    GIVES(f.dh_bits_least = 768, MG_GRADE_F);
    GIVES(f.compression = MG_SEEN_YES, MG_GRADE_C);
    GIVES(f.heartbleed = MG_SEEN_YES, MG_GRADE_F);
    GIVES(f.certificate.weak_signature = true, MG_GRADE_F);
    GIVES(f.certificate.chain_complete = false, MG_GRADE_B);
    GIVES(f.certificate.chain_in_order = false, MG_GRADE_B);
    GIVES(f.at = 3000, MG_GRADE_F); /* expired */
    GIVES(memcpy(f.certificate.key_type, "RSA", 4); f.certificate.key_bits = 1024, MG_GRADE_B);
    GIVES(memcpy(f.certificate.key_type, "RSA", 4); f.certificate.key_bits = 512, MG_GRADE_F);
    GIVES(memset(&f, 0, sizeof f), MG_GRADE_F);
#undef GIVES
}

/* What could not be looked at is never as good as what was. */
static void
an_unanswered_question_forbids_a(void **state)
{
    (void) state;
    struct mg_tls_facts f = good();
    f.heartbleed = MG_NOT_SEEN;
    assert_int_equal(letter(&f), MG_GRADE_A_MINUS);
    f = good();
    f.versions_tested &= ~(unsigned) MG_SSL_3;
    assert_int_equal(letter(&f), MG_GRADE_A_MINUS);
    assert_int_equal(mg_tls_rule_check(MG_TLS_RULE_NO_SSL, MG_TLS_PROFILE_RECOMMENDED, &f), MG_TLS_UNKNOWN);
    f = good();
    f.accepted_complete = false;
    assert_int_equal(letter(&f), MG_GRADE_A_MINUS);
    assert_code(mg_tls_profile_compare(MG_TLS_PROFILE_AES256, &f), UNAVAILABLE);
    f = good();
    f.certificate.trusted = false;
    assert_int_equal(letter(&f), MG_GRADE_A_PLUS); /* trust is shown apart */
}

static void
a_profile_notices_what_it_does_not_offer(void **state)
{
    (void) state;
    struct mg_tls_facts f = good();
    f.accepted[f.accepted_count++] = (struct mg_tls_accepted){.suite = 0xc02b, .versions = MG_TLS_1_2};
    const struct mg_status more = mg_tls_profile_compare(MG_TLS_PROFILE_AES256, &f);
    assert_code(more, REFUSED);
    assert_non_null(strstr(more.detail, "AES_128_GCM"));
    assert_ok(mg_tls_profile_compare(MG_TLS_PROFILE_RECOMMENDED, &f));
    assert_code(mg_tls_profile_compare(MG_TLS_PROFILE_HIGH, &f), REFUSED);
    f = good();
    f.versions |= MG_TLS_1_1;
    assert_code(mg_tls_profile_compare(MG_TLS_PROFILE_AES256, &f), REFUSED);
    f = good();
    f.groups[f.group_count++] = 0x0013; /* P-192 */
    assert_code(mg_tls_profile_compare(MG_TLS_PROFILE_AES256, &f), REFUSED);
    assert_int_equal(mg_tls_rule_check(MG_TLS_RULE_GROUPS, MG_TLS_PROFILE_AES256, &f), MG_TLS_FAIL);
}

/* Every word of every profile is a suite of the table, so that a typing error cannot pass as strict. */
static void
every_suite_of_a_profile_has_a_number(void **state)
{
    (void) state;
    for (int p = MG_TLS_PROFILE_NONE + 1; p < MG_TLS_PROFILE_COUNT; p++) {
        const struct mg_tls_profile_row *row = mg_tls_profile_row((enum mg_tls_profile) p);
        size_t words = 0, allowed = 0;
        for (const char *at = row->ciphers; *at != '\0'; at += strcspn(at, ":"), at += *at == ':')
            words += *at != '@';
        for (const char *at = row->suites; *at != '\0'; at += strcspn(at, ":"), at += *at == ':')
            words++;
        for (size_t i = 0; i < MG_TLS_SUITE_COUNT; i++)
            allowed += mg_tls_profile_allows((enum mg_tls_profile) p, mg_tls_suite_at(i).number);
        assert_int_equal(words, allowed);
    }
}

static void
suites_are_worth_what_their_names_say(void **state)
{
    (void) state;
    const struct mg_tls_suite best = mg_tls_suite_of(0xc030), rsa = mg_tls_suite_of(0x002f),
                              psk = mg_tls_suite_of(0x00a9);
    assert_string_equal(best.name, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    assert_true(best.forward_secrecy && best.aead && best.bits == 256);
    assert_true(rsa.rsa_transport && !rsa.forward_secrecy && !rsa.aead && rsa.bits == 128);
    assert_false(psk.forward_secrecy);
    assert_true(mg_tls_suite_of(0x0019).export_grade);
    assert_int_equal(mg_tls_suite_of(0x0019).bits, 40);
    assert_int_equal(mg_tls_suite_of(0x0009).bits, 56);
    assert_int_equal(mg_tls_suite_of(0x000a).bits, 112);
    assert_int_equal(mg_tls_suite_of(0x0016).key_exchange, MG_KEY_EXCHANGE_PRIME);
    assert_int_equal(best.key_exchange, MG_KEY_EXCHANGE_CURVE);
    assert_string_equal(mg_tls_suite_of(0xffff).name, "unknown");
    assert_int_equal(mg_tls_suite_of(0xffff).bits, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_server_has_a_plus),
        cmocka_unit_test(each_fault_lowers_the_grade),
        cmocka_unit_test(an_unanswered_question_forbids_a),
        cmocka_unit_test(a_profile_notices_what_it_does_not_offer),
        cmocka_unit_test(every_suite_of_a_profile_has_a_number),
        cmocka_unit_test(suites_are_worth_what_their_names_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
