/* Plans of backups: what is due, what may go; pgBackRest's arguments and what it tells. */
#include "test.h"

#include "domain/backup_order.h"
#include "domain/site.h"
#include "domain/tenant_policy.h"
#include "ports/backup_info.h"
#include "ports/pgbackrest.h"
#include "wire/options.h"

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
#define START (20000 * DAY)

static const struct mg_backup_plan *
plan(const char *name)
{
    const struct mg_backup_plan *found = mg_backup_plan_named(mg_view_text(name));
    assert_non_null(found);
    return found;
}

static struct mg_backup
backup(enum mg_backup_kind kind, mg_instant at)
{
    return (struct mg_backup){.kind = kind, .started_at = at, .stopped_at = at + 60000};
}

/* The choices of the options are the rows, no more and no fewer. */
static void
every_plan_can_be_chosen(void **state)
{
    (void) state;
    OWN_BUFFER(words, 1024);
    for (size_t i = 0; i < mg_backup_plan_count; i++)
        assert_ok(mg_buffer_format(&words, "%s%s", i == 0 ? "" : "|", mg_backup_plans[i].name));
    const struct mg_option_row *row = mg_option_find(mg_view_text("backup.plan"));
    assert_non_null(row);
    assert_string_equal(row->most, mg_buffer_text(&words));
    assert_non_null(mg_backup_plan_named(mg_view_text(row->preset)));
    bool found = false;
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        if (strcmp(mg_tenant_option_rows[i].keyword, "backup.plan") == 0) {
            found = true;
            assert_string_equal(mg_tenant_option_rows[i].most + strlen("deployment|"),
                                mg_buffer_text(&words));
            assert_false(mg_tenant_option_is_customers(&mg_tenant_option_rows[i]));
        }
    assert_true(found);
    assert_null(mg_backup_plan_named(mg_view_text("deployment")));
}

static void
each_plan_keeps_what_it_promises(void **state)
{
    (void) state;
    for (size_t i = 0; i < mg_backup_plan_count; i++) {
        const struct mg_backup_plan *row = &mg_backup_plans[i];
        assert_true(row->full_ms > 0 && row->log_ms > 0 && row->rto_ms > 0 && row->drill_ms > 0);
        assert_true(row->log_ms < row->rpo_ms);
        assert_true(row->keep_ms >= row->window_ms || row->destroy_ms != 0);
        assert_true(row->destroy_ms == 0 ||
                    (row->destroy_ms > row->keep_ms && row->destroy_ms > row->window_ms));
        assert_true(row->differential_ms == 0 || row->differential_ms < row->full_ms);
    }
}

static void
the_first_backup_waits_for_its_moment(void **state)
{
    (void) state;
    assert_int_equal(mg_backup_due(plan("window72"), NULL, 0, START + HOUR, START), MG_BACKUP_NONE);
    assert_int_equal(mg_backup_due(plan("window72"), NULL, 0, START, START), MG_BACKUP_FULL);
}

static void
backups_are_due_by_their_ages(void **state)
{
    (void) state;
    const struct mg_backup both[] = {backup(MG_BACKUP_FULL, START),
                                     backup(MG_BACKUP_DIFFERENTIAL, START + 6 * HOUR)};
    const struct mg_backup_plan *row = plan("window72");
    assert_int_equal(mg_backup_due(row, both, 1, 0, START + 6 * HOUR - 1), MG_BACKUP_NONE);
    assert_int_equal(mg_backup_due(row, both, 1, 0, START + 6 * HOUR), MG_BACKUP_DIFFERENTIAL);
    assert_int_equal(mg_backup_due(row, both, 2, 0, START + 12 * HOUR - 1), MG_BACKUP_NONE);
    assert_int_equal(mg_backup_due(row, both, 2, 0, START + 24 * HOUR), MG_BACKUP_FULL);
    assert_int_equal(mg_backup_due(plan("generations4"), both, 1, 0, START + 23 * HOUR), MG_BACKUP_NONE);
    /* A clock that was set back makes one too many, not none for days. */
    assert_int_equal(mg_backup_due(row, both, 2, 0, START - DAY), MG_BACKUP_FULL);
}

/* A backup a day: how many there are after so many days when each day takes one and lets the expired go. */
static size_t
days_pass(const char *name, struct mg_backup *list, int days)
{
    const struct mg_backup_rule rule = {.keeps = plan(name), .wanted = plan(name)};
    size_t count = 0;
    for (int day = 0; day < days; day++) {
        const mg_instant now = START + day * DAY;
        list[count++] = backup(MG_BACKUP_FULL, now);
        for (int at; (at = mg_backup_expired(&rule, list, count, now + HOUR)) >= 0;) {
            memmove(list + at, list + at + 1, (count - (size_t) at - 1) * sizeof *list);
            count--;
        }
    }
    return count;
}

static void
retention_has_two_ends(void **state)
{
    (void) state;
    static struct mg_backup list[1000];
    const mg_instant now = START + 799 * DAY + HOUR;
    size_t count = days_pass("window72", list, 800);
    assert_true(now - list[0].stopped_at >= 3 * DAY && count <= 5);
    count = days_pass("generations4", list, 800);
    assert_true(count >= 5 && count <= 6);
    count = days_pass("year", list, 800);
    assert_true(now - list[0].started_at >= 365 * DAY && count <= 368);
    count = days_pass("days90", list, 800);
    assert_true(count >= 89 && now - list[0].started_at < 90 * DAY);
    count = days_pass("daily", list, 800);
    assert_true(count >= 1 && count <= 3);
}

static void
the_newest_full_backup_stays(void **state)
{
    (void) state;
    const struct mg_backup one = backup(MG_BACKUP_FULL, START);
    const struct mg_backup_rule rule = {.keeps = plan("days90"), .wanted = plan("days90")};
    assert_int_equal(mg_backup_expired(&rule, &one, 1, START + 1000 * DAY), -1);
    assert_int_equal(mg_backup_expired(&rule, NULL, 0, START), -1);
}

static void
a_damaged_backup_makes_no_other_needless(void **state)
{
    (void) state;
    const struct mg_backup_rule rule = {.keeps = plan("daily"), .wanted = plan("daily")};
    struct mg_backup list[] = {backup(MG_BACKUP_FULL, START), backup(MG_BACKUP_FULL, START + DAY),
                               backup(MG_BACKUP_FULL, START + 2 * DAY)};
    assert_int_equal(mg_backup_expired(&rule, list, 2, START + 9 * DAY), 0);
    list[1].damaged = true;
    assert_int_equal(mg_backup_expired(&rule, list, 2, START + 9 * DAY), -1);
    assert_int_equal(mg_backup_full_with_log(plan("daily"), list, 2, START + 9 * DAY), 2);
    list[2].damaged = true;
    assert_int_equal(mg_backup_expired(&rule, list, 3, START + 9 * DAY), -1);
    list[2].damaged = false;
    assert_int_equal(mg_backup_expired(&rule, list, 3, START + 9 * DAY), 0);
}

static void
a_plan_that_keeps_less_is_believed_after_a_time(void **state)
{
    (void) state;
    const struct mg_backup list[] = {backup(MG_BACKUP_FULL, START), backup(MG_BACKUP_FULL, START + DAY)};
    struct mg_backup_rule rule = {.keeps = NULL};
    mg_instant now = START + 30 * DAY;
    /* Nothing is known: nothing goes. */
    assert_int_equal(mg_backup_expired(&rule, list, 2, now), -1);
    rule.keeps = mg_backup_plan_longest();
    assert_string_equal(rule.keeps->name, "year");
    assert_int_equal(mg_backup_expired(&rule, list, 2, now), -1);
    assert_true(mg_backup_rule_follow(&rule, plan("year"), 3 * DAY, now));
    assert_int_equal(mg_backup_expired(&rule, list, 2, now), -1);
    /* A slip and its mending. */
    assert_true(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now));
    assert_ptr_equal(rule.wanted, plan("daily"));
    assert_false(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now + 3 * DAY - 1));
    assert_int_equal(mg_backup_expired(&rule, list, 2, now + 3 * DAY - 1), -1);
    assert_true(mg_backup_rule_follow(&rule, plan("year"), 3 * DAY, now + 3 * DAY - 1));
    now += 3 * DAY;
    /* Meant: it counts after the time, which a third plan and a clock that was set back begin anew. */
    assert_true(mg_backup_rule_follow(&rule, plan("window72"), 3 * DAY, now));
    assert_true(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now + 2 * DAY));
    assert_false(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now + 4 * DAY));
    assert_true(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now));
    assert_false(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now + 2 * DAY));
    assert_true(mg_backup_rule_follow(&rule, plan("daily"), 3 * DAY, now + 3 * DAY));
    assert_int_equal(mg_backup_expired(&rule, list, 2, now + 3 * DAY), 0);
    /* One that keeps more counts at once; of two that keep different things both are heeded. */
    assert_true(mg_backup_rule_follow(&rule, plan("days90"), 3 * DAY, now + 3 * DAY));
    assert_true(mg_backup_rule_follow(&rule, plan("year"), 3 * DAY, now + 3 * DAY));
    assert_ptr_equal(rule.keeps, plan("year"));
}

static void
backups_of_the_future_are_not_waited_for(void **state)
{
    (void) state;
    const struct mg_backup list[] = {backup(MG_BACKUP_FULL, START), backup(MG_BACKUP_FULL, START + 10 * DAY)};
    assert_int_equal(mg_backup_due(plan("days90"), list, 2, 0, START + HOUR), MG_BACKUP_NONE);
    assert_int_equal(mg_backup_due(plan("days90"), list, 2, 0, START + 25 * HOUR), MG_BACKUP_FULL);
}

static void
the_log_is_kept_for_the_window(void **state)
{
    (void) state;
    static struct mg_backup list[1000];
    const size_t count = days_pass("year", list, 800);
    const size_t with_log = mg_backup_full_with_log(plan("year"), list, count, START + 799 * DAY + HOUR);
    assert_true(with_log >= 4 && with_log <= 5);
    assert_int_equal(mg_backup_full_with_log(plan("year"), list, 1, START), 1);
    assert_int_equal(mg_backup_full_with_log(plan("year"), NULL, 0, START), 0);
}

static void
rows_have_their_texts(void **state)
{
    (void) state;
    for (uint64_t i = 1; i < MG_BACKUP_ORDER_COUNT; i++)
        assert_non_null(mg_backup_order_row(i)->word);
    for (uint64_t i = 1; i < MG_BACKUP_TROUBLE_COUNT; i++)
        assert_non_null(mg_backup_trouble_row(i)->hint_ja);
    assert_null(mg_backup_order_row(0));
    assert_null(mg_backup_order_row(MG_BACKUP_ORDER_COUNT));
    assert_null(mg_backup_trouble_row(MG_BACKUP_TROUBLE_COUNT));
}

/* ---- the transaction log ---- */

#define MIB (1U << 20)

static void
names_of_the_log_are_numbers(void **state)
{
    (void) state;
    struct mg_wal_segment segment;
    char name[MG_WAL_NAME];
    assert_ok(mg_wal_segment_read(mg_view_text("000000010000000200000FFF"), MIB, &segment));
    assert_int_equal(segment.number, 2 * 4096 + 4095);
    segment.number++;
    mg_wal_segment_name(&segment, MIB, name);
    assert_string_equal(name, "000000010000000300000000");
    assert_ok(mg_wal_segment_read(mg_view_text("0000000100000002000000FF"), 16 * MIB, &segment));
    static const char *const bad[] = {"",
                                      "00000001000000020000100",
                                      "000000010000000200001000",
                                      "00000001000000020000000a",
                                      "000000000000000200000001",
                                      "0000000100000002000000010",
                                      "00000002.history", /* a timeline's, beside the segments */
                                      "000000010000000200000001.partial"};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_int_equal(mg_wal_segment_read(mg_view_text(bad[i]), MIB, &segment).code, MG_INVALID);
    assert_int_equal(mg_wal_segment_read(mg_view_text("000000010000000200000001"), 3 * MIB, &segment).code,
                     MG_INVALID);
}

static struct mg_wal_chain
chain_of(const char (*names)[MG_WAL_NAME], size_t count)
{
    struct mg_wal_chain chain;
    assert_ok(mg_wal_chain(names, count, 16 * MIB, &chain));
    return chain;
}

static void
a_gap_in_the_log_is_seen(void **state)
{
    (void) state;
    static const char whole[][MG_WAL_NAME] = {"0000000100000000000000FE", "0000000100000000000000FF",
                                              "000000010000000100000000", "000000010000000100000001"};
    assert_int_equal(chain_of(whole, 4).first, 0);
    assert_string_equal(chain_of(whole, 4).missing, "");
    assert_int_equal(chain_of(whole, 0).first, 0);
    static const char gap[][MG_WAL_NAME] = {"0000000100000000000000FE", "000000010000000100000000",
                                            "000000010000000100000001"};
    assert_int_equal(chain_of(gap, 3).first, 1);
    assert_string_equal(chain_of(gap, 3).missing, "0000000100000000000000FF");
}

/* After a restore a timeline begins where the one before it was left. */
static void
a_new_timeline_goes_on(void **state)
{
    (void) state;
    static const char same[][MG_WAL_NAME] = {"000000010000000000000003", "000000010000000000000004",
                                             "000000010000000000000005", "000000020000000000000004",
                                             "000000020000000000000005"};
    assert_int_equal(chain_of(same, 5).first, 0);
    static const char far[][MG_WAL_NAME] = {"000000010000000000000003", "000000020000000000000005"};
    assert_int_equal(chain_of(far, 2).first, 1);
    static const char next[][MG_WAL_NAME] = {"000000010000000000000003", "000000020000000000000004"};
    assert_int_equal(chain_of(next, 2).first, 0);
}

/* ---- pgBackRest ---- */

static struct mg_pgbackrest
layout(void)
{
    struct mg_pgbackrest place;
    assert_ok(mg_pgbackrest_layout("/srv/m", "/run/m", "", "tenant-7", &place));
    return place;
}

static void
paths_that_could_be_misread_are_refused(void **state)
{
    (void) state;
    struct mg_pgbackrest place = layout();
    assert_string_equal(place.repository, "/srv/m/backup/near/tenant-7");
    assert_string_equal(place.configuration, "/run/m/backup/tenant-7/pgbackrest.conf");
    assert_ok(mg_pgbackrest_layout("/srv/m", "/run/m", "/mnt/store", "control", &place));
    assert_string_equal(place.repository, "/mnt/store/control");
    static const char *const bad[] = {"relative", "/a b", "/a'b", "/a\"b", "/a%b", "/a\nb", "/a$(b)", "/a;b"};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_int_equal(mg_pgbackrest_layout("/srv/m", "/run/m", bad[i], "control", &place).code,
                         MG_INVALID);
}

static void
the_configuration_encrypts(void **state)
{
    (void) state;
    const struct mg_pgbackrest place = layout();
    OWN_BUFFER(text, 16384);
    assert_int_equal(mg_pgbackrest_configuration(&place, mg_view_text("short"), &text).code, MG_INVALID);
    mg_buffer_clear(&text);
    assert_ok(mg_pgbackrest_configuration(&place, mg_view_text("0123456789abcdef0123456789abcdef0123456789a"),
                                          &text));
    assert_non_null(strstr(mg_buffer_text(&text), "\nrepo1-cipher-type=aes-256-cbc\n"));
    assert_non_null(strstr(mg_buffer_text(&text), "\nexpire-auto=n\n"));
    assert_non_null(strstr(mg_buffer_text(&text), "\n[tenant-7]\npg1-path=/srv/m/postgres/tenant-7/data\n"));
}

static void
arguments_are_fixed(void **state)
{
    (void) state;
    const struct mg_pgbackrest place = layout();
    struct mg_pgbackrest_arguments storage;
    struct mg_program program;
    assert_ok(mg_pgbackrest_program(&place, MG_PGBACKREST_EXPIRE, mg_view_text("20261122-183811F"), 3,
                                    &storage, &program));
    assert_string_equal(program.arguments[3], "expire");
    assert_string_equal(program.arguments[4], "--set=20261122-183811F");
    assert_string_equal(program.arguments[5], "--repo1-retention-archive=3");
    assert_null(program.arguments[6]);
    assert_ok(mg_pgbackrest_program(&place, MG_PGBACKREST_EXPIRE, MG_VIEW_EMPTY, 3, &storage, &program));
    assert_string_equal(program.arguments[4], "--repo1-retention-archive=3");
    static const char *const bad[] = {"../x", "20261122 --repo", "a", "2026\n"};
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_int_equal(
            mg_pgbackrest_program(&place, MG_PGBACKREST_FULL, mg_view_text(bad[i]), 0, &storage, &program)
                .code,
            MG_INVALID);
    /* Without a number pgBackRest would take the log of everything for needless. */
    assert_int_equal(
        mg_pgbackrest_program(&place, MG_PGBACKREST_EXPIRE, MG_VIEW_EMPTY, 0, &storage, &program).code,
        MG_INVALID);
    assert_int_equal(
        mg_pgbackrest_program(&place, MG_PGBACKREST_VERB_COUNT, MG_VIEW_EMPTY, 0, &storage, &program).code,
        MG_INVALID);
}

/* As pgBackRest 2.45 prints it. */
#define ENTRY(label, type, start, stop)                                                                            \
    "{\"archive\":{\"start\":\"000000010000000000000009\",\"stop\":\"00000001000000000000000A\"},\"error\":false," \
    "\"info\":{\"delta\":1,\"repository\":{\"delta\":457,\"size\":457},\"size\":23238448},\"label\":\"" label      \
    "\",\"timestamp\":{\"start\":" start ",\"stop\":" stop "},\"type\":\"" type "\"}"
#define STANZA(backups)                                                                                            \
    "[{\"archive\":[{\"id\":\"15-1\",\"max\":\"00000001000000000000000B\",\"min\":\"000000010000000000000008\"}]," \
    "\"backup\":[" backups                                                                                         \
    "],\"cipher\":\"aes-256-cbc\",\"db\":[{\"id\":1,\"system-id\":7711066967427963535}],"                          \
    "\"name\":\"tenant-7\",\"status\":{\"code\":0,\"lock\":{\"backup\":{\"held\":true,\"size\":200,\"size-cplt\":50}}}}]"

static void
what_pgbackrest_tells_is_read(void **state)
{
    (void) state;
    struct mg_backup_info info;
    assert_ok(mg_backup_info_read(
        mg_view_text(STANZA(ENTRY("20261122-183811F", "full", "1795372691", "1795372692") "," ENTRY(
            "20261122-183811F_20261122-183813D", "diff", "1795372693", "1795372695"))),
        "tenant-7", &info));
    assert_int_equal(info.count, 2);
    assert_int_equal(info.backups[0].kind, MG_BACKUP_FULL);
    assert_int_equal(info.backups[1].stopped_at, INT64_C(1795372695000));
    assert_string_equal(info.system_identifier, "7711066967427963535");
    assert_string_equal(info.wal_last, "00000001000000000000000B");
    assert_true(info.running && info.all_bytes == 200 && info.done_bytes == 50);
    mg_backup_info_drop(&info);
    /* The clock was set back in between. */
    assert_ok(mg_backup_info_read(mg_view_text(STANZA(ENTRY("20261122-183811F", "full", "2", "3") "," ENTRY(
                                      "20261122-183812F", "full", "1", "3"))),
                                  "tenant-7", &info));
    assert_int_equal(info.count, 2);
    assert_string_equal(info.backups[0].label, "20261122-183812F");
    mg_backup_info_drop(&info);
    assert_ok(mg_backup_info_read(mg_view_text("[]"), "tenant-7", &info));
    assert_int_equal(info.count, 0);
    mg_backup_info_drop(&info);
}

static void
what_looks_otherwise_is_refused(void **state)
{
    (void) state;
    struct mg_backup_info info;
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "[{\"name\":\"tenant-8\"}]",
        "[{\"name\":\"tenant-7\"},{\"name\":\"tenant-7\"}]",
        STANZA(ENTRY("20261122-183811F", "other", "1795372691", "1795372692")),
        STANZA(ENTRY("", "full", "1795372691", "1795372692")),
        STANZA(ENTRY("20261122-183811F", "full", "-1", "1795372692")),
        STANZA(ENTRY("--config=x", "full", "1795372691", "1795372692")),
        "[{\"name\":\"tenant-7\",\"archive\":[{\"min\":\"0000\",\"max\":\"00000001000000000000000B\"}]}]",
        "[{\"name\":\"tenant-7\",\"status\":{\"lock\":{\"backup\":{\"size\":-1,\"size-cplt\":0}}}}]",
    };
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_ok(mg_backup_info_read(mg_view_text(bad[i]), "tenant-7", &info)));
}

static void
sites_and_residency(void **state)
{
    (void) state;
    static const char *const good[] = {"jp", "jp-tokyo", "us-east-2"};
    static const char *const bad[] = {"", "j", "JP", "-jp", "jp-", "jp--tokyo", "jp tokyo", "j/p"};
    for (size_t i = 0; i < MG_COUNT(good); i++)
        assert_true(mg_site_is_valid(mg_view_text(good[i])));
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_site_is_valid(mg_view_text(bad[i])));
    assert_true(mg_site_is_within("anywhere", "") && mg_site_is_within("", ""));
    assert_true(mg_site_is_within("jp", "jp") && mg_site_is_within("jp-tokyo", "us jp"));
    assert_false(mg_site_is_within("jpx", "jp") || mg_site_is_within("j", "jp") ||
                 mg_site_is_within("jp", "jp-tokyo") || mg_site_is_within("", "jp"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plan_can_be_chosen),
        cmocka_unit_test(each_plan_keeps_what_it_promises),
        cmocka_unit_test(the_first_backup_waits_for_its_moment),
        cmocka_unit_test(backups_are_due_by_their_ages),
        cmocka_unit_test(retention_has_two_ends),
        cmocka_unit_test(the_newest_full_backup_stays),
        cmocka_unit_test(a_damaged_backup_makes_no_other_needless),
        cmocka_unit_test(a_plan_that_keeps_less_is_believed_after_a_time),
        cmocka_unit_test(backups_of_the_future_are_not_waited_for),
        cmocka_unit_test(the_log_is_kept_for_the_window),
        cmocka_unit_test(rows_have_their_texts),
        cmocka_unit_test(names_of_the_log_are_numbers),
        cmocka_unit_test(a_gap_in_the_log_is_seen),
        cmocka_unit_test(a_new_timeline_goes_on),
        cmocka_unit_test(paths_that_could_be_misread_are_refused),
        cmocka_unit_test(the_configuration_encrypts),
        cmocka_unit_test(arguments_are_fixed),
        cmocka_unit_test(what_pgbackrest_tells_is_read),
        cmocka_unit_test(sites_and_residency),
        cmocka_unit_test(what_looks_otherwise_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
