/* What the authority keeps ready for the gate and takes from it: identity assertions for sessions in
 * use, and the counts of refused requests. */
#include "process/authority/gate_side.h"

#include "base/log.h"
#include "process/authority/requests.h"
#include "wire/assertion_map.h"
#include "wire/refusal_ring.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ASSERTION_LIFE_S 300 /* the longest an app should trust a copy */
#define ASSERTION_OVERLAP_S 60
#define CLOCK_SLACK_S 30 /* an app's clock may be behind ours */
#define MAP_SESSIONS_MOST 16384
#define IN_USE_MS 900000 /* sessions used within this have assertions ready */
#define ROUND_SECONDS 5
#define REFRESH_MOST 2000 /* sessions signed for in one round */
#define REFUSALS_MOST 500 /* records of one round; the rest is counted together */

static struct mg_assertion_writer *assertions;
static struct mg_refusal_drain *refusals;

/* ---- assertions ---- */

static CHECKED struct mg_status
windows_add(struct mg_buffer *list, mg_instant now)
{
    const int64_t outage_s = mg_environment()->options->gate_outage / 1000;
    const int64_t now_s = now / 1000;
    int64_t start_s = now_s - CLOCK_SLACK_S;
    for (size_t i = 0; i < MG_ASSERTIONS_MOST && start_s < now_s + outage_s; i++) {
        const struct mg_record_assertion_window window = {.issued_at_s = (uint64_t) now_s,
                                                          .not_before_s = (uint64_t) start_s,
                                                          .expires_s =
                                                              (uint64_t) (start_s + ASSERTION_LIFE_S)};
        TRY(mg_list_add_assertion_window(list, &window));
        start_s += ASSERTION_LIFE_S - ASSERTION_OVERLAP_S;
    }
    return OK;
}

static CHECKED struct mg_status
roles_add(struct mg_buffer *list, struct mg_view roles)
{
    OWN_TEXT text = NULL;
    struct mg_view word;
    TRY(mg_view_to_text(roles, &text));
    for (const char *cursor = text; mg_option_word(&cursor, &word);)
        TRY(mg_list_add_role(list, &(struct mg_record_role){.name = word}));
    return OK;
}

/* An opaque name of the session for the app's own use; says nothing about the token. */
static void
sid_make(struct mg_view token_hash, char text[33])
{
    uint8_t digest[SHA256_DIGEST_LENGTH], input[4 + MG_TOKEN_HASH] = {'s', 'i', 'd', ':'};
    memcpy(input + 4, token_hash.bytes, MG_TOKEN_HASH);
    (void) SHA256(input, sizeof input, digest);
    mg_hex(mg_view_of(digest, 16), text);
}

static CHECKED struct mg_status
tokens_store(uint64_t session, struct mg_list list, mg_instant now)
{
    struct mg_assertion rows[MG_ASSERTIONS_MOST];
    size_t count = 0;
    bool more = true;
    while (count < MG_ASSERTIONS_MOST) {
        struct mg_record_assertion record;
        TRY(mg_list_next_assertion(&list, &record, &more));
        if (!more)
            break;
        rows[count++] = (struct mg_assertion){.not_before = (mg_instant) record.not_before_s * 1000,
                                              .expires = (mg_instant) record.expires_s * 1000,
                                              .token = record.token};
    }
    return mg_assertion_put(assertions, session, rows, count, now);
}

/* Signs for a session that was just seen to be live. */
static CHECKED struct mg_status
session_sign(struct mg_database *database, struct mg_view token_hash, uint64_t tenant_number,
             struct mg_view host, mg_instant now)
{
    OWN(rows) rows = NULL;
    OWN_BUFFER(windows, 768);
    OWN_BUFFER(roles, 2048);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_sign_assertion signed_ones;
    struct mg_core_tenant tenant;
    char subject[32], sid[33];
    TRY(mg_core_tenant(tenant_number, &tenant));
    TRY(mg_query(
        database, &rows,
        "SELECT a.id, a.email, a.name, a.roles, s.id FROM session s JOIN session_family f ON f.id = s.family"
        " JOIN account a ON a.id = f.account"
        " WHERE s.token_hash = $1 AND f.tenant = $2 AND a.disabled_at IS NULL AND f.expires_at > $3",
        MG_BYTES(token_hash), MG_I64(tenant_number), MG_INSTANT(now)));
    if (mg_rows_count(rows) != 1)
        return fail_with(NOT_FOUND, "no such session");
    (void) snprintf(subject, sizeof subject, "%lld", (long long) mg_rows_i64(rows, 0, 0));
    sid_make(token_hash, sid);
    TRY(windows_add(&windows, now));
    TRY(roles_add(&roles, mg_rows_text(rows, 0, 3)));
    const struct mg_request_sign_assertion request = {
        .issuer = mg_view_text(tenant.sign_in_origin),
        .audience = host,
        .subject = mg_view_text(subject),
        .tenant = tenant_number,
        .email = mg_rows_text(rows, 0, 1),
        .name = mg_rows_text(rows, 0, 2),
        .roles = {.bytes = mg_buffer_view(&roles)},
        .sid = mg_view_text(sid),
        .windows = {.bytes = mg_buffer_view(&windows)},
    };
    TRY(mg_call_sign_assertion(&request, &signed_ones, &storage, 5000));
    return tokens_store((uint64_t) mg_rows_i64(rows, 0, 4), signed_ones.assertions, now);
}

/* By its number in the table; NOT_FOUND unless it is live, in the table too, and bound to this host. */
static CHECKED struct mg_status
session_sign_numbered(struct mg_database *database, uint64_t number, const struct mg_core_host *host,
                      struct mg_view host_name, mg_instant now)
{
    OWN(rows) rows = NULL;
    struct mg_session session;
    TRY(mg_query(database, &rows, "SELECT token_hash FROM session WHERE id = $1 AND host = $2 AND origin = 1",
                 MG_I64(number), MG_TEXT(host_name)));
    if (mg_rows_count(rows) != 1 || mg_rows_bytes(rows, 0, 0).length != MG_TOKEN_HASH)
        return fail_with(NOT_FOUND, "no such session");
    TRY(mg_session_get(mg_core_sessions(), mg_rows_bytes(rows, 0, 0).bytes, &session));
    if (session.tenant_id != host->tenant || session.host_id != host->id || session.expires_at <= now)
        return fail_with(NOT_FOUND, "no such session here");
    return session_sign(database, mg_rows_bytes(rows, 0, 0), host->tenant, host_name, now);
}

MG_HANDLER_PUBLIC(assertion_refresh)
{
    OWN(database) database = NULL;
    struct mg_reply_assertion_refresh reply = {.outcome = MG_SESSION_ENDED};
    struct mg_core_host host;
    if (!mg_ok(mg_core_host(request->host, &host)) || host.tenant != request->tenant ||
        host.origin != MG_ORIGIN_APP)
        return mg_answer_assertion_refresh(call, &reply);
    TRY(mg_core_database(&database));
    const struct mg_status status =
        session_sign_numbered(database, request->session, &host, request->host, mg_now());
    if (status.code != MG_NOT_FOUND)
        TRY(status);
    reply.outcome = mg_ok(status) ? MG_GRANTED : MG_SESSION_ENDED;
    return mg_answer_assertion_refresh(call, &reply);
}

/* ---- keeping them ready ---- */

struct in_use {
    uint64_t sessions[REFRESH_MOST];
    size_t count;
    mg_instant due_before;
};

static CHECKED struct mg_status
in_use_add(void *context, uint64_t session_id, uint64_t user_id, mg_instant seen_at)
{
    struct in_use *list = context;
    (void) user_id;
    (void) seen_at;
    const mg_instant until = mg_assertion_until(assertions, session_id);
    if (until != 0 && until < list->due_before && list->count < REFRESH_MOST)
        list->sessions[list->count++] = session_id;
    return OK;
}

static CHECKED struct mg_status
assertions_refresh(mg_instant now)
{
    static struct in_use list; /* one round at a time */
    OWN(database) database = NULL;
    const int64_t outage_ms = mg_environment()->options->gate_outage;
    /* Sign anew when what is ready no longer covers an outage that begins now, less one life. */
    list.count = 0;
    list.due_before = now + outage_ms - (ASSERTION_LIFE_S - ASSERTION_OVERLAP_S) * 1000LL / 2;
    TRY(mg_session_seen_walk(mg_core_sessions(), now - IN_USE_MS, in_use_add, &list));
    if (list.count == 0)
        return OK;
    TRY(mg_core_database(&database));
    for (size_t i = 0; i < list.count && !mg_stopping(); i++) {
        OWN(rows) rows = NULL;
        struct mg_core_host host;
        TRY(mg_query(database, &rows, "SELECT host FROM session WHERE id = $1 AND origin = 1",
                     MG_I64(list.sessions[i])));
        if (mg_rows_count(rows) != 1 || !mg_ok(mg_core_host(mg_rows_text(rows, 0, 0), &host)))
            continue;
        const struct mg_status status =
            session_sign_numbered(database, list.sessions[i], &host, mg_rows_text(rows, 0, 0), now);
        if (!mg_ok(status) && status.code != MG_NOT_FOUND)
            return status;
    }
    return OK;
}

/* ---- refusals ---- */

struct refusal_round {
    size_t recorded;
    uint64_t beyond; /* requests of rows that found no room in this round */
};

static CHECKED struct mg_status
refusal_record(void *context, const struct mg_refusal_count *count)
{
    struct refusal_round *round = context;
    const struct mg_refusal_row *row = mg_refusal_row(count->reason);
    char network[MG_ADDRESS_TEXT], number[24], first[MG_INSTANT_TEXT], last[MG_INSTANT_TEXT];
    if (row == NULL)
        return OK;
    if (round->recorded == REFUSALS_MOST) {
        round->beyond += count->count;
        return OK;
    }
    round->recorded++;
    /* The number comes from memory that nginx workers write: one that is no tenant's is the deployment's. */
    struct mg_core_tenant tenant;
    const bool known = mg_ok(mg_core_tenant(count->tenant_id, &tenant));
    mg_address_text(count->network, network);
    (void) snprintf(number, sizeof number, "%llu", (unsigned long long) count->count);
    mg_instant_text(count->first_at, first);
    mg_instant_text(count->last_at, last);
    const struct mg_core_detail details[] = {
        {"count", mg_view_text(number)}, {"first", mg_view_text(first)}, {"last", mg_view_text(last)}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_gate_refusals,
                                                   .tenant = known ? count->tenant_id : 0,
                                                   .target = mg_view_text("gate"),
                                                   .reason = mg_view_text(row->name),
                                                   .address = mg_view_text(network),
                                                   .outcome = MG_AUDIT_REFUSED,
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

static CHECKED struct mg_status
refusals_drain(void)
{
    struct refusal_round round = {0};
    uint64_t lost = 0;
    TRY(mg_refusal_drain_run(refusals, mg_core_sessions(), refusal_record, &round, &lost));
    lost += round.beyond;
    if (lost == 0)
        return OK;
    char number[24];
    (void) snprintf(number, sizeof number, "%llu", (unsigned long long) lost);
    const struct mg_core_detail details[] = {{"lost", mg_view_text(number)}};
    return mg_core_record(&(struct mg_core_record){.event = MG_EVENT_gate_refusals,
                                                   .target = mg_view_text("gate"),
                                                   .reason = mg_view_text("beyond-room"),
                                                   .outcome = MG_AUDIT_REFUSED,
                                                   .details = details,
                                                   .detail_count = MG_COUNT(details)});
}

static void *
rounds(void *unused)
{
    while (!mg_stopping()) {
        struct mg_status status = refusals_drain();
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "counts of refusals", status);
        status = assertions_refresh(mg_now());
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "assertions ahead", status);
        status = mg_assertion_key_tend(mg_now());
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "assertion key", status);
        (void) sleep(ROUND_SECONDS);
    }
    return unused;
}

struct mg_status
mg_gate_side_prepare(const char *directory)
{
    const int64_t wanted = mg_environment()->options->gate_sessions;
    TRY(mg_assertion_writer_open(directory,
                                 (uint32_t) (wanted < MAP_SESSIONS_MOST ? wanted : MAP_SESSIONS_MOST),
                                 (gid_t) -1, &assertions));
    return mg_refusal_drain_open(directory, (gid_t) -1, &refusals);
}

struct mg_status
mg_gate_side_start(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, rounds, NULL) != 0)
        return fail_with(SYSTEM, "cannot start a thread");
    (void) pthread_detach(thread);
    return OK;
}
