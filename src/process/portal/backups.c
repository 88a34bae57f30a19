/* Backups on a page: what can be restored and to which moments, what is promised, what was measured. The
 * operators see every database, a tenant's people their own. */
#include "process/portal/portal.h"

#include "domain/backup_order.h"
#include "domain/backup_plan.h"

#include <inttypes.h>

#define ENTRIES_MOST 60     /* the newest; all of them are in the API and on the command line */
#define DATABASES_A_PAGE 50 /* each is asked for by itself */
#define BAR_UNITS 1000      /* width of the bar in its own units */
#define MARK_UNITS 4

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

/* ---- words ---- */

/* A length of time in the largest unit that says it exactly, or, of what was measured, rounded up. */
static const char *
length_text(struct visit *visit, int64_t length_ms)
{
    static const struct {
        int64_t least_ms, unit_ms;
        bool exact;
        const char *one, *many;
    } rows[] = {
        {4 * DAY_MS, DAY_MS, true, N_("1 day"), N_("{n} days")},
        {2 * HOUR_MS, HOUR_MS, true, N_("1 hour"), N_("{n} hours")},
        {2 * MINUTE_MS, MINUTE_MS, false, N_("1 minute"), N_("{n} minutes")},
        {0, 1000, false, N_("1 second"), N_("{n} seconds")},
    };
    size_t i = 0;
    while (i + 1 < MG_COUNT(rows) &&
           (length_ms < rows[i].least_ms || (rows[i].exact && length_ms % rows[i].unit_ms != 0)))
        i++;
    const int64_t n = (length_ms + rows[i].unit_ms - 1) / rows[i].unit_ms;
    const char *message = say(visit, n == 1 ? rows[i].one : rows[i].many), *mark = strstr(message, "{n}");
    return mark == NULL
               ? message
               : arena_format(visit, "%.*s%" PRId64 "%s", (int) (mark - message), message, n, mark + 3);
}

static const char *
bytes_text(struct visit *visit, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    uint64_t tenths = bytes * 10;
    while (tenths >= 10240 && unit + 1 < MG_COUNT(units)) {
        tenths /= 1024;
        unit++;
    }
    return unit == 0 || tenths >= 1000
               ? arena_format(visit, "%" PRIu64 " %s", tenths / 10, units[unit])
               : arena_format(visit, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[unit]);
}

/* ---- the state of one database ---- */

static void
scope_plan(struct visit *visit, struct mg_scope *scope, struct mg_view name)
{
    const struct mg_backup_plan *plan = mg_backup_plan_named(name);
    mg_scope_set(scope, "plan", name);
    if (plan == NULL)
        return;
    mg_scope_set_text(scope, "plan_text", visit->language == MG_JAPANESE ? plan->ja : plan->en);
    mg_scope_set_text(scope, "rpo", length_text(visit, plan->rpo_ms));
    mg_scope_set_text(scope, "rto", length_text(visit, plan->rto_ms));
    mg_scope_set_text(scope, "window", length_text(visit, plan->window_ms));
    mg_scope_set_text(scope, "kept", length_text(visit, plan->keep_ms));
    mg_scope_set_text(scope, "drill_every", length_text(visit, plan->drill_ms));
    if (plan->destroy_ms != 0)
        mg_scope_set_text(scope, "destroyed", length_text(visit, plan->destroy_ms));
}

/* What is wrong; what to do about it, and the details, are for those who can do it. */
static void
scope_trouble(const struct visit *visit, struct mg_scope *scope, const struct mg_reply_backup_look *look)
{
    const struct mg_backup_trouble_row *row = mg_backup_trouble_row(look->trouble);
    const bool japanese = visit->language == MG_JAPANESE;
    mg_scope_set_flag(scope, "sound", row == NULL);
    if (row == NULL)
        return;
    mg_scope_set_text(scope, "trouble", japanese ? row->ja : row->en);
    mg_scope_set_flag(scope, "new_one", look->trouble == MG_BACKUP_TROUBLE_FIRST);
    if (visit->origin != ORIGIN_OPERATOR)
        return;
    mg_scope_set_text(scope, "trouble_hint", japanese ? row->hint_ja : row->hint_en);
    mg_scope_set(scope, "trouble_detail", look->detail);
}

static void
scope_look(struct visit *visit, struct mg_scope *scope, const struct mg_reply_backup_look *look)
{
    scope_plan(visit, scope, look->plan);
    scope_trouble(visit, scope, look);
    scope_time(visit, scope, TIME_NAMES(from), look->from);
    scope_time(visit, scope, TIME_NAMES(saved), look->log_at);
    scope_time(visit, scope, TIME_NAMES(full), look->full_at);
    scope_time(visit, scope, TIME_NAMES(last), look->backup_at);
    scope_time(visit, scope, TIME_NAMES(checked), look->verified_at);
    scope_time(visit, scope, TIME_NAMES(drilled), look->drilled_at);
    mg_scope_set_number(scope, "checked_files", look->verified_files);
    mg_scope_set_number(scope, "backup_count", look->backups);
    mg_scope_set_text(scope, "stored", bytes_text(visit, look->repository_bytes));
    mg_scope_set(scope, "site", look->site);
    mg_scope_set(scope, "vault", look->vault);
    if (look->vault.length != 0 && look->vault_behind_ms >= 0)
        scope_time(visit, scope, TIME_NAMES(copied), visit->now - look->vault_behind_ms);
    if (look->drilled_at != 0) {
        mg_scope_set_text(scope, "measured_rto", length_text(visit, look->rto_ms));
        mg_scope_set_text(scope, "measured_rpo", length_text(visit, look->rpo_ms));
    }
    mg_scope_set_flag(scope, "running", look->running);
}

/* ---- the bar: from the oldest backup until now ---- */

struct bar {
    mg_instant begin, end;
};

static uint64_t
bar_at(const struct bar *bar, mg_instant instant)
{
    if (instant <= bar->begin || bar->end <= bar->begin)
        return 0;
    if (instant >= bar->end)
        return BAR_UNITS;
    return (uint64_t) ((instant - bar->begin) * BAR_UNITS / (bar->end - bar->begin));
}

static void
scope_bar(struct visit *visit, const struct bar *bar, const struct mg_reply_backup_look *look)
{
    struct mg_scope *page = visit->page;
    mg_scope_set_flag(page, "bar", true);
    scope_time(visit, page, TIME_NAMES(oldest), bar->begin);
    if (look->from == 0)
        return;
    const uint64_t from = bar_at(bar, look->from), until = bar_at(bar, look->log_at);
    mg_scope_set_flag(page, "bar_window", true);
    mg_scope_set_number(page, "window_x", from);
    mg_scope_set_number(page, "window_width", until > from + MARK_UNITS ? until - from : MARK_UNITS);
}

static void
scope_backup(struct visit *visit, const struct bar *bar, const struct mg_record_backup_entry *entry)
{
    struct mg_scope *row = mg_scope_add(visit->page, "backups");
    const bool full = mg_view_is(entry->kind, "full");
    const uint64_t at = bar_at(bar, entry->stopped_at);
    mg_scope_set(row, "backup_name", entry->label);
    mg_scope_set_flag(row, "backup_full", full);
    mg_scope_set_flag(row, "damaged", entry->damaged);
    mg_scope_set_text(row, "database_size", bytes_text(visit, entry->database_bytes));
    mg_scope_set_text(row, "added", bytes_text(visit, entry->repository_bytes));
    mg_scope_set_text(row, "took", length_text(visit, entry->stopped_at - entry->started_at));
    mg_scope_set_number(row, "mark_x", at > BAR_UNITS - MARK_UNITS ? BAR_UNITS - MARK_UNITS : at);
    mg_scope_set_number(row, "mark_y", full ? 2 : 6);
    mg_scope_set_number(row, "mark_height", full ? 32 : 24);
    scope_time(visit, row, TIME_NAMES(taken), entry->stopped_at);
}

/* The newest backups, newest first, and the last of each kind. */
static CHECKED struct mg_status
scope_backups(struct visit *visit, struct mg_view tenant, const struct mg_reply_backup_look *look)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    static const size_t most = ENTRIES_MOST;
    struct mg_record_backup_entry entries[ENTRIES_MOST];
    struct mg_reply_backup_list reply;
    size_t count = 0;
    mg_instant differential_at = 0;
    const struct mg_request_backup_list request = {.session = visit_session(visit),
                                                   .tenant = tenant,
                                                   .from = look->backups > most ? look->backups - most : 0};
    TRY(mg_call_backup_list(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more && count < most;) {
        TRY(mg_list_next_backup_entry(&reply.backups, &entries[count], &more));
        if (more)
            count++;
    }
    if (count == 0)
        return OK;
    const struct bar bar = {
        .begin = look->from != 0 && look->from < entries[0].started_at ? look->from : entries[0].started_at,
        .end = visit->now};
    scope_bar(visit, &bar, look);
    for (size_t i = count; i > 0; i--) {
        scope_backup(visit, &bar, &entries[i - 1]);
        if (differential_at == 0 && mg_view_is(entries[i - 1].kind, "differential"))
            differential_at = entries[i - 1].stopped_at;
    }
    scope_time(visit, visit->page, TIME_NAMES(differential), differential_at);
    mg_scope_set_flag(visit->page, "cut", look->backups > count);
    return OK;
}

/* Scopes what there is of one database. *ret_there: false while it has none of ours, or it is being made. */
static CHECKED struct mg_status
database_scope(struct visit *visit, struct mg_view tenant, bool *ret_there, uint64_t *ret_outcome)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_backup_look look;
    const struct mg_request_backup_look request = {.session = visit_session(visit), .tenant = tenant};
    const struct mg_status status = mg_call_backup_look(&request, &look, &storage, CALL_MS);
    *ret_there = status.code != MG_NOT_FOUND;
    *ret_outcome = MG_GRANTED;
    if (!*ret_there)
        return OK;
    TRY(status);
    *ret_outcome = look.outcome;
    if (look.outcome != MG_GRANTED)
        return OK;
    scope_look(visit, visit->page, &look);
    return scope_backups(visit, tenant, &look);
}

/* ---- pages ---- */

struct mg_status
page_customer_backups(struct visit *visit)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    bool there = false;
    TRY(database_scope(visit, MG_VIEW_EMPTY, &there, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    mg_scope_set_flag(visit->page, "there", there);
    return customer_show(visit, "at_backups", "customer_backups");
}

static CHECKED struct mg_status
row_add(struct visit *visit, struct mg_view tenant, struct mg_view label, uint64_t *ret_outcome)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_backup_look look;
    const struct mg_request_backup_look request = {.session = visit_session(visit), .tenant = tenant};
    const struct mg_status status = mg_call_backup_look(&request, &look, &storage, CALL_MS);
    struct mg_scope *row = mg_scope_add(visit->page, "databases");
    mg_scope_set(row, "database_name", tenant);
    mg_scope_set(row, "database_label", label);
    *ret_outcome = MG_GRANTED;
    if (status.code == MG_NOT_FOUND)
        return OK; /* another server's, or not made yet */
    TRY(status);
    *ret_outcome = look.outcome;
    mg_scope_set_flag(row, "there", true);
    scope_look(visit, row, &look);
    return OK;
}

static CHECKED struct mg_status
console_overview(struct visit *visit)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_view after = mg_form_value(&visit->query, "after");
    struct mg_reply_tenant_list reply;
    struct mg_record_tenant_row tenant = {0};
    uint64_t outcome = MG_GRANTED;
    const struct mg_request_tenant_list request = {.session = visit_session(visit), .after = after};
    TRY(mg_call_tenant_list(&request, &reply, &storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return console_refused(visit, reply.outcome);
    if (after.length == 0)
        TRY(row_add(visit, MG_VIEW_EMPTY, mg_view_text(say(visit, N_("Masugata's own"))), &outcome));
    size_t count = 0;
    bool more = true;
    while (outcome == MG_GRANTED && count < DATABASES_A_PAGE) {
        TRY(mg_list_next_tenant_row(&reply.tenants, &tenant, &more));
        if (!more)
            break;
        TRY(row_add(visit, tenant.name, tenant.label, &outcome));
        count++;
    }
    if (outcome != MG_GRANTED)
        return console_refused(visit, outcome);
    if (more || reply.more)
        mg_scope_set(visit->page, "next", tenant.name);
    return console_show(visit, "at_backups", "console_backups");
}

/* /console/backups: all of them; with tenant=NAME that one, with an empty one Masugata's own. */
struct mg_status
page_console_backups(struct visit *visit)
{
    uint64_t outcome = MG_OUTCOME_NONE;
    bool there = false;
    const struct mg_view tenant = mg_form_value(&visit->query, "tenant");
    if (!mg_form_has(&visit->query, "tenant"))
        return console_overview(visit);
    if (tenant.length > 63)
        return console_refused(visit, MG_NOT_KNOWN);
    TRY(database_scope(visit, tenant, &there, &outcome));
    if (outcome != MG_GRANTED)
        return console_refused(visit, outcome);
    mg_scope_set_flag(visit->page, "there", there);
    mg_scope_set(visit->page, "database_name",
                 tenant.length != 0 ? tenant : mg_view_text(say(visit, N_("Masugata's own"))));
    return console_show(visit, "at_backups", "console_backups_one");
}
