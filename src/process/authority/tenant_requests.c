/* What operators ask about tenants, and what pages and processes must know of them. */
#include "process/authority/requests.h"

#include "base/log.h"
#include "base/secret.h"
#include "domain/backup_plan.h"
#include "domain/drill.h"
#include "domain/host_name.h"
#include "domain/tenant_policy.h"
#include "process/authority/rights.h"
#include "process/authority/tenants.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#define PAGE_ROWS 200
#define HOSTS_MOST 32

/* ---- lists ---- */

struct page {
    struct mg_view only; /* the name of the one that is asked for; empty: all */
    struct mg_buffer *list;
    const struct mg_rows *accounts, *families;
    size_t rows;
    bool more;
};

/* Of rows (tenant, count) in the order of tenants; 0 for one that is not among them. */
static uint64_t
count_of(const struct mg_rows *counts, uint64_t tenant)
{
    size_t low = 0;
    for (size_t high = mg_rows_count(counts); low < high;) {
        const size_t middle = low + (high - low) / 2;
        if ((uint64_t) mg_rows_i64(counts, middle, 0) < tenant)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < mg_rows_count(counts) && (uint64_t) mg_rows_i64(counts, low, 0) == tenant;
    return found ? (uint64_t) mg_rows_i64(counts, low, 1) : 0;
}

/* Adds a row, or finds the list full: then what was begun of it goes again. */
static CHECKED struct mg_status
full_or(struct mg_status status, struct mg_buffer *list, size_t before, bool *ret_full)
{
    if (status.code != MG_TOO_LARGE || before == 0)
        return status;
    list->length = before;
    *ret_full = true;
    return OK;
}

static CHECKED struct mg_status
tenant_row_add(void *context, const struct mg_tenant_listed *tenant, bool *ret_enough)
{
    struct page *page = context;
    if (tenant->drill || /* no customer */
        (page->only.length != 0 && !mg_view_is(page->only, tenant->name)))
        return OK;
    if (page->rows == PAGE_ROWS) {
        page->more = *ret_enough = true;
        return OK;
    }
    const struct mg_record_tenant_row row = {
        .tenant = tenant->number,
        .name = mg_view_text(tenant->name),
        .label = mg_view_text(tenant->label),
        .state = tenant->suspended ? MG_LISTED_SUSPENDED
                 : tenant->ready   ? MG_LISTED_ACTIVE
                                   : MG_LISTED_PREPARING,
        .hosts = mg_view_text(tenant->hosts),
        .sign_in_host = mg_view_text(tenant->sign_in_host),
        .upstream = mg_view_text(tenant->upstream),
        .users = count_of(page->accounts, tenant->number),
        .sessions = count_of(page->families, tenant->number),
        .created_at = tenant->created_at,
    };
    const size_t before = page->list->length;
    TRY(full_or(mg_list_add_tenant_row(page->list, &row), page->list, before, &page->more));
    *ret_enough = page->more;
    page->rows++;
    return OK;
}

MG_HANDLER_PUBLIC(tenant_list)
{
    OWN_BUFFER(list, 122880);
    OWN(database) database = NULL;
    OWN(rows) accounts = NULL;
    OWN(rows) families = NULL;
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_list reply = {.outcome = MG_NOT_ALLOWED};
    TRY(MG_RIGHT_ASK(tenant_list, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_tenant_list(call, &reply);
    /* Counted before the walk, which holds everybody's lock. */
    TRY(mg_core_database(&database));
    TRY(mg_query(database, &accounts, "SELECT tenant, count(*) FROM account GROUP BY 1 ORDER BY 1"));
    TRY(mg_query(database, &families, "SELECT tenant, count(*) FROM session_family GROUP BY 1 ORDER BY 1"));
    mg_database_drop(&database);
    struct page page = {.list = &list, .only = request->name, .accounts = accounts, .families = families};
    TRY(mg_tenants_walk(request->after, tenant_row_add, &page));
    reply = (struct mg_reply_tenant_list){
        .outcome = MG_GRANTED, .more = page.more, .tenants = {.bytes = mg_buffer_view(&list)}};
    return mg_answer_tenant_list(call, &reply);
}

struct parts_page {
    struct mg_buffer *list;
    bool more;
};

static CHECKED struct mg_status
tenant_part_add(void *context, const struct mg_tenant_listed *tenant, bool *ret_enough)
{
    struct parts_page *page = context;
    const struct mg_record_tenant_part row = {
        .tenant = tenant->number,
        .name = mg_view_text(tenant->name),
        .upstream = mg_view_text(tenant->upstream),
        .state = tenant->suspended ? MG_LISTED_SUSPENDED
                 : tenant->ready   ? MG_LISTED_ACTIVE
                                   : MG_LISTED_PREPARING,
    };
    const size_t before = page->list->length;
    TRY(full_or(mg_list_add_tenant_part(page->list, &row), page->list, before, &page->more));
    *ret_enough = page->more;
    return OK;
}

MG_HANDLER_PUBLIC(tenant_parts)
{
    OWN_BUFFER(list, 122880);
    struct parts_page page = {.list = &list};
    TRY(mg_tenants_walk_numbers(request->after, tenant_part_add, &page));
    const struct mg_reply_tenant_parts reply = {.more = page.more,
                                                .tenants = {.bytes = mg_buffer_view(&list)}};
    return mg_answer_tenant_parts(call, &reply);
}

/* ---- adding ---- */

static bool
begins_with(struct mg_view text, const char *prefix)
{
    const size_t length = strlen(prefix);
    return text.length > length && memcmp(text.bytes, prefix, length) == 0;
}

/* An address as nginx takes it without asking anybody: a name that cannot be resolved would keep it from
 * taking any configuration at all, that of all other tenants included. */
static bool
is_numeric_address(struct mg_view text)
{
    char address[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    const bool six = text.length > 2 && text.bytes[0] == '[' && text.bytes[text.length - 1] == ']';
    if (!mg_ok(
            mg_view_copy(six ? mg_view_of(text.bytes + 1, text.length - 2) : text, address, sizeof address)))
        return false;
    return inet_pton(six ? AF_INET6 : AF_INET, address, bytes) == 1;
}

/* ADDRESS:PORT, "localhost" among the addresses; unix:/PATH; example:NAME, which runs what it is given: only
 * who has a shell here anyway may start one. */
static bool
upstream_is_valid(struct mg_view upstream, bool examples)
{
    uint64_t port = 0;
    if (upstream.length == 0 || upstream.length > 255)
        return false;
    if (mg_view_is(upstream, MG_DRILL_UPSTREAM)) /* it would be stopped by every drill */
        return false;
    for (size_t i = 0; i < upstream.length; i++)
        if (isalnum(upstream.bytes[i]) == 0 && strchr(".:/[]_-", upstream.bytes[i]) == NULL)
            return false;
    if (begins_with(upstream, "unix:"))
        return upstream.bytes[5] == '/';
    if (begins_with(upstream, "example:"))
        return examples;
    const uint8_t *colon = memrchr(upstream.bytes, ':', upstream.length);
    if (colon == NULL)
        return false;
    const size_t length = (size_t) (colon - upstream.bytes);
    const struct mg_view address = mg_view_of(upstream.bytes, length);
    return mg_ok(mg_parse_u64(mg_view_of(colon + 1, upstream.length - length - 1), 65535, &port)) &&
           port != 0 && (mg_view_is(address, "localhost") || is_numeric_address(address));
}

/* What stands in pages, in subjects of mails and in the audit log: one line. */
static bool
is_one_line(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < ' ' || text.bytes[i] == 0x7f)
            return false;
    return text.length != 0;
}

static bool
name_is_valid(struct mg_view name)
{
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        const bool letter = c >= 'a' && c <= 'z';
        const bool inner = letter || (c >= '0' && c <= '9') || (c == '-' && i + 1 < name.length);
        if (i == 0 ? !letter : !inner)
            return false;
    }
    return name.length >= 1 && name.length <= 63;
}

/* HOST=UPSTREAM; the upstream is empty where only the host stands. */
static void
host_split(struct mg_view *word, struct mg_view *ret_upstream)
{
    const uint8_t *equals = memchr(word->bytes, '=', word->length);
    *ret_upstream = MG_VIEW_EMPTY;
    if (equals == NULL)
        return;
    const size_t length = (size_t) (equals - word->bytes);
    *ret_upstream = mg_view_of(equals + 1, word->length - length - 1);
    word->length = length;
}

/* "" and "deployment": the one of masugata.conf. */
static bool
has_plan(const struct mg_request_tenant_add *request)
{
    return request->backup_plan.length != 0 && !mg_view_is(request->backup_plan, "deployment");
}

static CHECKED struct mg_status
plan_judge(const struct mg_request_tenant_add *request, struct mg_buffer *reason)
{
    if (!has_plan(request) || mg_backup_plan_named(request->backup_plan) != NULL)
        return OK;
    OWN_BUFFER(names, 256);
    for (size_t i = 0; i < mg_backup_plan_count; i++)
        TRY(mg_buffer_format(&names, "%s%s", i != 0 ? ", " : "", mg_backup_plans[i].name));
    return mg_buffer_format(reason, "BACKUP_PLAN|%s", mg_buffer_text(&names));
}

/* As the policy file's: well formed, and this deployment inside. */
static CHECKED struct mg_status
places_judge(const struct mg_request_tenant_add *request, struct mg_buffer *reason)
{
    OWN(tenant_policy) policy = NULL;
    TRY(mg_tenant_policy_new(&policy));
    const struct mg_status status =
        mg_tenant_policy_set(policy, MG_VIEW_EMPTY, mg_view_text("residency"), request->residency);
    if (status.code == MG_INVALID)
        return mg_buffer_add_text(reason, status.detail);
    TRY(status);
    return mg_residency_judge(policy->settings.residency, reason);
}

/* The first value that may not stand, as a reason for people; empty if all may. */
static CHECKED struct mg_status
request_judge(const struct mg_request_tenant_add *request, bool examples, struct mg_buffer *reason)
{
    static const char reserved[] = "masugata-";
    OWN_TEXT hosts = NULL;
    struct mg_view host;
    size_t count = 0;
    TRY(mg_view_to_text(request->hosts, &hosts));
    if (!name_is_valid(request->name))
        return mg_buffer_add_text(reason, "TENANT_NAME|");
    if (request->name.length >= sizeof reserved - 1 &&
        memcmp(request->name.bytes, reserved, sizeof reserved - 1) == 0)
        return mg_buffer_add_text(reason, "TENANT_NAME_OURS|");
    if (!is_one_line(request->label))
        return mg_buffer_add_text(reason, "TENANT_LABEL|");
    if (!mg_host_name_is_valid(request->sign_in_host))
        return mg_buffer_format(reason, "SIGN_IN_HOST|%.*s", (int) request->sign_in_host.length,
                                (const char *) request->sign_in_host.bytes);
    if (!upstream_is_valid(request->upstream, examples))
        return mg_buffer_add_text(reason, "UPSTREAM_FORM|");
    for (const char *cursor = hosts; mg_option_word(&cursor, &host); count++) {
        struct mg_view upstream;
        host_split(&host, &upstream);
        if (!mg_host_name_is_valid(host))
            return mg_buffer_format(reason, "HOST_FORM|%.*s", (int) host.length, (const char *) host.bytes);
        if (mg_view_is(host, mg_environment()->options->console_host))
            return mg_buffer_format(reason, "HOST_OPERATORS|%.*s", (int) host.length,
                                    (const char *) host.bytes);
        if (upstream.length != 0 && !upstream_is_valid(upstream, examples))
            return mg_buffer_format(reason, "HOST_UPSTREAM|%.*s", (int) host.length,
                                    (const char *) host.bytes);
    }
    if (count == 0 || count > HOSTS_MOST)
        return mg_buffer_format(reason, "HOSTS_COUNT|%d", HOSTS_MOST);
    TRY(plan_judge(request, reason));
    return reason->length != 0 ? OK : places_judge(request, reason);
}

static CHECKED struct mg_status
host_insert(struct mg_database *database, struct mg_view host, uint64_t tenant, enum mg_origin origin)
{
    struct mg_view upstream;
    host_split(&host, &upstream);
    return mg_query(database, NULL,
                    "INSERT INTO tenant_host (host, tenant, origin, upstream) VALUES ($1, $2, $3, $4)",
                    MG_TEXT(host), MG_I64(tenant), MG_I64(origin), MG_TEXT(upstream));
}

/* In one transaction; EXISTS if the name or a host is somebody's. The record is durable before the
 * transaction commits: a crash between the two leaves a record of an attempt, never a silent act. */
static CHECKED struct mg_status
tenant_insert(const struct mg_request_tenant_add *request, const struct mg_core_actor *actor,
              uint64_t *ret_number)
{
    OWN(database) database = NULL;
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    OWN_TEXT hosts = NULL;
    struct mg_view host;
    TRY(mg_view_to_text(request->hosts, &hosts));
    TRY(mg_core_database(&database));
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(
        database, &rows,
        "INSERT INTO tenant (name, label, sign_in_host, upstream, created_at) VALUES ($1, $2, $3, $4, $5)"
        " RETURNING number",
        MG_TEXT(request->name), MG_TEXT(request->label), MG_TEXT(request->sign_in_host),
        MG_TEXT(request->upstream), MG_INSTANT(mg_now())));
    *ret_number = (uint64_t) mg_rows_i64(rows, 0, 0);
    TRY(host_insert(database, request->sign_in_host, *ret_number, MG_ORIGIN_SIGN_IN));
    for (const char *cursor = hosts; mg_option_word(&cursor, &host);)
        TRY(host_insert(database, host, *ret_number, MG_ORIGIN_APP));
    if (has_plan(request)) /* with the tenant, so that no backup is ever made by another plan */
        TRY(mg_query(database, NULL,
                     "INSERT INTO tenant_setting (tenant, route, keyword, value)"
                     " VALUES ($1, '', 'backup.plan', $2)",
                     MG_I64(*ret_number), MG_TEXT(request->backup_plan)));
    if (request->residency.length != 0)
        TRY(mg_query(database, NULL,
                     "INSERT INTO tenant_setting (tenant, route, keyword, value)"
                     " VALUES ($1, '', 'residency', $2)",
                     MG_I64(*ret_number), MG_TEXT(request->residency)));
    const struct mg_core_detail details[] = {{"hosts", request->hosts},
                                             {"sign_in_host", request->sign_in_host},
                                             {"upstream", request->upstream},
                                             {"backup.plan", request->backup_plan},
                                             {"residency", request->residency}};
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_tenant_create,
                                                .tenant = *ret_number,
                                                .actor = actor,
                                                .target = request->name,
                                                .details = details,
                                                .detail_count = MG_COUNT(details)}));
    return mg_transaction_commit(&transaction);
}

/* Its keys exist before anybody can add users, whose passwords are sealed; the worker that provisions
 * the tenant makes them again, which changes nothing, in case we were killed before this. */
static CHECKED struct mg_status
keys_make(uint64_t tenant)
{
    OWN_BUFFER(storage, 1024);
    struct mg_reply_tenant_key_create reply;
    return mg_call_tenant_key_create(&(struct mg_request_tenant_key_create){.tenant = tenant}, &reply,
                                     &storage, 10000);
}

MG_HANDLER_PUBLIC(tenant_add)
{
    OWN_BUFFER(reason, 511);
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_add reply = {.outcome = MG_NOT_ALLOWED};
    TRY(MG_RIGHT_ASK(tenant_add, call, request->session, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_tenant_add(call, &reply);
    TRY(request_judge(request, mg_call_sender(call) == MG_CLI, &reason));
    if (reason.length != 0) {
        reply = (struct mg_reply_tenant_add){.outcome = MG_NOT_VALID, .reason = mg_buffer_view(&reason)};
        return mg_answer_tenant_add(call, &reply);
    }
    const struct mg_status status = mg_view_is(request->sign_in_host, mg_environment()->options->console_host)
                                        ? fail(EXISTS)
                                        : tenant_insert(request, &right.actor, &reply.tenant);
    if (status.code == MG_EXISTS) {
        reply = (struct mg_reply_tenant_add){.outcome = MG_TAKEN, .reason = request->name};
        return mg_answer_tenant_add(call, &reply);
    }
    TRY(status);
    /* It is recorded: what does not work now is made up for, by the worker and by the follower. */
    const struct mg_status keyed = keys_make(reply.tenant);
    if (!mg_ok(keyed))
        mg_log_status(MG_WARNING, "keys of a new tenant", keyed);
    const struct mg_status known = mg_tenants_changed();
    if (!mg_ok(known))
        mg_log_status(MG_WARNING, "a new tenant", known);
    reply.outcome = MG_GRANTED;
    return mg_answer_tenant_add(call, &reply);
}

/* ---- the drill's tenant ---- */

static CHECKED struct mg_status
drill_find(void *context, const struct mg_tenant_listed *tenant, bool *ret_enough)
{
    uint64_t *number = context;
    if (tenant->drill)
        *number = tenant->number;
    *ret_enough = tenant->drill;
    return OK;
}

/* EXISTS if another thread was faster. */
static CHECKED struct mg_status
drill_insert(uint64_t *ret_number)
{
    OWN(database) database = NULL;
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_core_database(&database));
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, &rows,
                 "INSERT INTO tenant (number, name, label, sign_in_host, upstream, created_at, drill)"
                 " OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4, $5, $6, true) RETURNING number",
                 MG_I64(MG_DRILL_NUMBER), MG_STRING(MG_DRILL_TENANT), MG_STRING("Masugata drill / 訓練用"),
                 MG_STRING(MG_DRILL_SIGN_IN_HOST), MG_STRING(MG_DRILL_UPSTREAM), MG_INSTANT(mg_now())));
    *ret_number = (uint64_t) mg_rows_i64(rows, 0, 0);
    TRY(host_insert(database, mg_view_text(MG_DRILL_SIGN_IN_HOST), *ret_number, MG_ORIGIN_SIGN_IN));
    TRY(host_insert(database, mg_view_text(MG_DRILL_HOST), *ret_number, MG_ORIGIN_APP));
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_tenant_create,
                                                .tenant = *ret_number,
                                                .target = mg_view_text(MG_DRILL_TENANT),
                                                .reason = mg_view_text("for drills")}));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(drill_tenant)
{
    (void) request;
    uint64_t number = 0;
    TRY(mg_tenants_walk(MG_VIEW_EMPTY, drill_find, &number));
    if (number == 0) {
        const struct mg_status status = drill_insert(&number);
        if (status.code == MG_EXISTS)
            return fail(BUSY);
        TRY(status);
        TRY(keys_make(number));
        TRY(mg_tenants_changed());
    }
    return mg_answer_drill_tenant(call, &(struct mg_reply_drill_tenant){.tenant = number});
}

/* ---- suspending ---- */

/* Everything is ended when this returns: rows first, then the table the gate reads. */
static CHECKED struct mg_status
tenant_sessions_end(uint64_t tenant, uint64_t *ret_ended)
{
    OWN(database) database = NULL;
    TRY(mg_core_database(&database));
    OWN_EFFECTS(true);
    return mg_families_end(database, &(struct mg_family_match){.tenant = tenant}, ret_ended);
}

MG_HANDLER_PUBLIC(tenant_suspend)
{
    OWN(database) database = NULL;
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_suspend reply = {.outcome = MG_NOT_ALLOWED};
    TRY(MG_RIGHT_ASK(tenant_suspend, call, request->session, request->tenant, &right, &outcome));
    if (outcome != MG_GRANTED || right.tenant.number == 0) {
        reply.outcome = outcome != MG_GRANTED ? outcome : MG_NOT_KNOWN;
        return mg_answer_tenant_suspend(call, &reply);
    }
    const struct mg_core_tenant tenant = right.tenant;
    TRY(mg_core_database(&database));
    TRY(mg_core_record(&(struct mg_core_record){.event = request->suspended ? MG_EVENT_tenant_suspend
                                                                            : MG_EVENT_tenant_resume,
                                                .tenant = tenant.number,
                                                .actor = &right.actor,
                                                .target = request->tenant}));
    TRY(mg_query(database, NULL, "UPDATE tenant SET suspended_at = $2 WHERE number = $1",
                 MG_I64(tenant.number), request->suspended ? MG_INSTANT(mg_now()) : MG_NULL));
    mg_database_drop(&database);
    TRY(mg_tenants_changed());
    if (request->suspended) /* after the change: whoever starts a session from here on sees it */
        TRY(tenant_sessions_end(tenant.number, &reply.ended));
    reply.outcome = MG_GRANTED;
    return mg_answer_tenant_suspend(call, &reply);
}

/* ---- its database password ---- */

/* By its name, or by a host of its own; NOT_FOUND for the operators. */
static CHECKED struct mg_status
tenant_of(struct mg_view name, struct mg_core_tenant *ret_tenant)
{
    struct mg_core_host host;
    struct mg_status status = mg_core_tenant_named(name, ret_tenant);
    if (status.code == MG_NOT_FOUND && mg_ok(mg_core_host(name, &host)))
        status = mg_core_tenant(host.tenant, ret_tenant);
    TRY(status);
    return ret_tenant->number != 0 ? OK : fail(NOT_FOUND);
}

MG_HANDLER_PUBLIC(tenant_rotate)
{
    OWN_BUFFER(storage, 4096);
    struct mg_right right;
    struct mg_core_tenant tenant;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    struct mg_reply_tenant_rotate reply = {.outcome = MG_NOT_ALLOWED};
    struct mg_reply_tenant_credentials_rotate rotated;
    TRY(MG_RIGHT_ASK(tenant_rotate, call, MG_VIEW_EMPTY, MG_VIEW_EMPTY, &right, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_tenant_rotate(call, &reply);
    const struct mg_status found = tenant_of(request->name, &tenant);
    if (found.code == MG_NOT_FOUND) {
        reply.outcome = MG_NOT_KNOWN;
        return mg_answer_tenant_rotate(call, &reply);
    }
    TRY(found);
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_credential_rotate,
                                                .tenant = tenant.number,
                                                .actor = &right.actor,
                                                .target = mg_view_text(tenant.name),
                                                .reason = mg_view_text("asked for")}));
    const struct mg_request_tenant_credentials_rotate ask = {.tenant = tenant.number};
    TRY(mg_call_tenant_credentials_rotate(&ask, &rotated, &storage, 45000));
    reply = (struct mg_reply_tenant_rotate){
        .outcome = MG_GRANTED, .tenant = mg_view_text(tenant.name), .rotated_at = rotated.rotated_at};
    return mg_answer_tenant_rotate(call, &reply);
}

/* ---- leaving ---- */

MG_HANDLER_PUBLIC(tenant_export)
{
    struct mg_right right;
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    char digest[2 * 32 + 1] = "";
    TRY(MG_RIGHT_ASK(tenant_export, call, MG_VIEW_EMPTY, request->tenant, &right, &outcome));
    struct mg_reply_tenant_export reply = {.outcome = outcome, .tenant = right.tenant.number};
    if (outcome == MG_GRANTED && right.tenant.number == 0)
        reply.outcome = MG_NOT_KNOWN;
    if (outcome == MG_GRANTED && request->manifest.length != 0 && request->manifest.length != 32)
        reply.outcome = MG_NOT_VALID;
    if (reply.outcome != MG_GRANTED)
        return mg_answer_tenant_export(call, &reply);
    const bool whole = request->manifest.length != 0;
    if (whole)
        mg_hex(request->manifest, digest);
    const struct mg_core_detail details[] = {{"manifest_sha256", mg_view_text(digest)}};
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_tenant_export,
                                                .tenant = right.tenant.number,
                                                .actor = &right.actor,
                                                .target = mg_view_text(right.tenant.name),
                                                .details = details,
                                                .detail_count = whole ? 1 : 0}));
    return mg_answer_tenant_export(call, &reply);
}

/* ---- for pages and processes ---- */

enum { ZONE_MOST = 64 };

static void
zone_read(void *context, const struct mg_tenant_policy *policy)
{
    char *zone = context;
    if (policy != NULL)
        (void) snprintf(zone, ZONE_MOST, "%s", policy->settings.time_zone);
}

MG_HANDLER_PUBLIC(site)
{
    char zone[ZONE_MOST] = "";
    struct mg_core_tenant tenant = {0};
    struct mg_core_host host = {0};
    char app_origin[301] = "";
    const struct mg_status status = mg_core_tenant(request->tenant, &tenant);
    if (!mg_ok(status) && status.code != MG_NOT_FOUND)
        return status;
    if (tenant.open && request->host.length != 0 && mg_ok(mg_core_host(request->host, &host)) &&
        host.tenant == tenant.number && host.origin == MG_ORIGIN_APP) {
        const int64_t port = mg_environment()->options->gate_https_port;
        (void) snprintf(app_origin, sizeof app_origin, port == 443 ? "https://%.*s" : "https://%.*s:%lld",
                        (int) request->host.length, (const char *) request->host.bytes, (long long) port);
    }
    if (tenant.open)
        mg_tenants_policy_read(tenant.number, zone_read, zone);
    const struct mg_reply_site reply = {.open = tenant.open,
                                        .label = mg_view_text(tenant.label),
                                        .sign_in_origin = mg_view_text(tenant.sign_in_origin),
                                        .app_origin = mg_view_text(app_origin),
                                        .password_least = tenant.password.least,
                                        .methods = tenant.open ? tenant.methods : 0,
                                        .time_zone = mg_view_text(zone)};
    return mg_answer_site(call, &reply);
}

MG_HANDLER_PUBLIC(tenant_health)
{
    TRY(mg_tenants_health(request->tenant, request->upstream, request->database, request->reason));
    return mg_answer_tenant_health(call, &(struct mg_reply_tenant_health){0});
}

MG_HANDLER_PUBLIC(key_set)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_jwks keys;
    (void) request;
    TRY(mg_call_jwks(&(struct mg_request_jwks){0}, &keys, &storage, 5000));
    return mg_answer_key_set(call, &(struct mg_reply_key_set){.json = keys.json});
}
