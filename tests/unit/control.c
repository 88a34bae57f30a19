#include "test.h"

#include "cli/control.h"
#include "probes/observer.h"
#include "probes/probe.h"

#include <stdlib.h>

static bool
has_japanese(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char) *text >= 0xe3)
            return true;
    return false;
}

static void
assert_words(struct mg_words words)
{
    assert_true(words.en[0] != '\0' && !has_japanese(words.en));
    assert_true(has_japanese(words.ja));
}

static void
every_claim_has_its_row(void **state)
{
    (void) state;
    unsigned rows_of_claim[151] = {0};
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        const struct mg_control_row *row = mg_control_row((enum mg_control) i);
        uint64_t claim;
        assert_ok(mg_parse_u64(mg_view_text(row->claims), 150, &claim));
        rows_of_claim[claim]++;
        assert_words(row->statement);
        assert_true(row->every_ms > 0 && row->age_ms > row->every_ms);
        assert_true(row->accountable != MG_PARTY_NONE);
        assert_true(row->evidence != 0);
        assert_int_equal(mg_control_find(mg_view_text(row->id)), i);
    }
    for (unsigned claim = 1; claim <= 150; claim++)
        assert_int_equal(rows_of_claim[claim], 1);
    assert_int_equal(mg_control_find(mg_view_text("EDGE_1")), MG_CONTROL_NONE);
}

static void
every_attestation_is_complete(void **state)
{
    (void) state;
    assert_int_equal(mg_attestation_count, 32);
    for (size_t i = 0; i < mg_attestation_count; i++) {
        const struct mg_attestation_row *row = &mg_attestation_rows[i];
        assert_words(row->statement);
        assert_words(row->evidence);
        assert_words(*row->owner);
        assert_true(row->accountable != MG_PARTY_NONE);
    }
    /* Every control of kind H says which part is attested, and no other does. */
    for (int i = 0; i < MG_CONTROL_COUNT; i++) {
        unsigned parts = 0;
        for (size_t j = 0; j < mg_attested_count; j++)
            parts += mg_attested_rows[j].control == (enum mg_control) i;
        assert_int_equal(parts, mg_control_row((enum mg_control) i)->kind == 'H');
    }
}

static void
documents_are_written(void **state)
{
    (void) state;
    OWN_BUFFER(text, 1u << 20);
    assert_ok(mg_controls_markdown(true, &text));
    assert_ok(mg_controls_markdown(false, &text));
    assert_ok(mg_controls_json(MG_CONTROL_NONE, &text));
    assert_true(mg_view_is_utf8(mg_buffer_view(&text)));
}

static struct mg_finding
closed(uint64_t total, uint64_t covered, bool broken, struct mg_status status)
{
    struct mg_finding finding = {.verdict = MG_UNKNOWN};
    mg_finding_expect(&finding, total, "hosts", "ホスト");
    for (uint64_t i = 0; i < covered; i++)
        mg_finding_cover(&finding);
    if (broken)
        mg_finding_break(&finding, "a.example", "does not", "違反");
    mg_finding_close(MG_CONTROL_EDGE_01, status, 1000, &finding);
    return finding;
}

static void
only_full_cover_holds(void **state)
{
    (void) state;
    assert_int_equal(closed(2, 2, false, OK).verdict, MG_HOLDS);
    assert_int_equal(closed(2, 1, false, OK).verdict, MG_UNKNOWN);
    assert_int_equal(closed(0, 0, false, OK).verdict, MG_UNKNOWN);
    assert_int_equal(closed(2, 2, false, fail(TIMEOUT)).verdict, MG_UNKNOWN);
    assert_int_equal(closed(2, 1, true, fail(TIMEOUT)).verdict, MG_BROKEN);
    const struct mg_finding broken = closed(2, 2, true, OK);
    assert_int_equal(broken.verdict, MG_BROKEN);
    assert_string_equal(broken.reason_en, "a.example: does not");
    assert_string_equal(broken.reason_ja, "a.example: 違反");
    assert_int_equal(strlen(broken.digest), 64);
}

static void
evidence_is_bounded_and_whole(void **state)
{
    (void) state;
    struct mg_finding finding = {.verdict = MG_UNKNOWN};
    for (int i = 0; i < 3000; i++)
        mg_finding_note(&finding, "観測%d", i);
    assert_true(strlen(finding.evidence) < MG_EVIDENCE_TEXT);
    assert_true(mg_view_is_utf8(mg_view_text(finding.evidence)));
    mg_finding_close(MG_CONTROL_EDGE_01, OK, 1, &finding);
    OWN_BUFFER(json, 65536);
    assert_ok(mg_finding_json(MG_CONTROL_EDGE_01, &finding, &json));
}

static void
planned_controls_have_no_verdict(void **state)
{
    (void) state;
    struct mg_observer observer = {.ops = NULL};
    struct mg_finding finding;
    mg_probe_run(MG_CONTROL_BACKUP_01, &observer, 1000, &finding);
    assert_int_equal(finding.verdict, MG_UNKNOWN);
    assert_int_equal(mg_finding_verdict_at(MG_CONTROL_BACKUP_01, &finding, 1000), MG_PLANNED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_claim_has_its_row),       cmocka_unit_test(every_attestation_is_complete),
        cmocka_unit_test(documents_are_written),         cmocka_unit_test(only_full_cover_holds),
        cmocka_unit_test(evidence_is_bounded_and_whole), cmocka_unit_test(planned_controls_have_no_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
