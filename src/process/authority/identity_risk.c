#include "process/authority/identity_risk.h"

#include "base/log.h"
#include "base/secret.h"
#include "domain/tenant_policy.h"
#include "ports/location.h"
#include "process/authority/tenants.h"
#include "wire/network.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SIGNED_BYTES = MG_TOKEN_BYTES / 2, /* of a device's token: random; the rest is its signature */
    FAILURES_MOST = 200,               /* counted at most */
    VISITS_MOST = 200,
    DEVICES_MOST = 20,
    MAILS_AN_HOUR = 5, /* about suspicious sign-ins of one account */
    CONFIRM_MS = 1800000
};

/* Opened before the seal and never changed after. */
static struct mg_location *location;
static struct mg_network_set bad_addresses;

struct mg_status
mg_risk_prepare(const struct mg_environment *environment)
{
    const struct mg_options *options = environment->options;
    size_t missing = 0;
    TRY(mg_location_open(options->adaptive_location_files, MG_ZONE_TABLE, &location, &missing));
    if (missing > 0)
        mg_log(MG_WARNING, "%zu of adaptive.location_files are not there: places of addresses may be unknown",
               missing);
    return mg_address_lists_read(options->adaptive_address_lists, &bad_addresses);
}

MG_HANDLER_PUBLIC(risk_state)
{
    (void) request;
    return mg_answer_risk_state(
        call, &(struct mg_reply_risk_state){.location_files = mg_location_files(location),
                                            .location_built_at = mg_location_built_at(location),
                                            .listed_networks = bad_addresses.count});
}

/* ---- devices ---- */

/* Only we can make one, so nobody can have another person's browser carry a token that they know beforehand.
 */
static CHECKED struct mg_status
device_sign(uint64_t tenant, const uint8_t random[SIGNED_BYTES], uint8_t signature[SIGNED_BYTES])
{
    OWN_BUFFER(storage, 512);
    struct mg_reply_keyed_hash reply;
    const struct mg_request_keyed_hash request = {
        .tenant = tenant, .purpose = mg_view_text("device"), .bytes = mg_view_of(random, SIGNED_BYTES)};
    TRY(mg_call_keyed_hash(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    if (reply.hash.length < SIGNED_BYTES)
        return fail_with(MALFORMED, "a keyed hash of %zu bytes", reply.hash.length);
    memcpy(signature, reply.hash.bytes, SIGNED_BYTES);
    return OK;
}

static CHECKED struct mg_status
device_new(uint64_t tenant, uint8_t token[MG_TOKEN_BYTES])
{
    mg_random(token, SIGNED_BYTES);
    return device_sign(tenant, token, token + SIGNED_BYTES);
}

/* Keeps the token the browser came with when it is one of ours, else makes one. */
static CHECKED struct mg_status
device_settle(const struct mg_risk_question *question, struct mg_risk_answer *answer)
{
    uint8_t signature[SIGNED_BYTES];
    if (answer->device_known)
        return OK;
    if (question->device.length == MG_TOKEN_BYTES) {
        TRY(device_sign(question->account->tenant, question->device.bytes, signature));
        if (mg_view_equal_constant_time(mg_view_of(signature, SIGNED_BYTES),
                                        mg_view_of(question->device.bytes + SIGNED_BYTES, SIGNED_BYTES)))
            return OK; /* of another person at this browser */
    }
    TRY(device_new(question->account->tenant, answer->device));
    return mg_secret_hash(mg_view_of(answer->device, MG_TOKEN_BYTES), answer->device_hash);
}

struct mg_status
mg_risk_device_key(const uint8_t account_key[32], const uint8_t device_hash[32], uint8_t key[32])
{
    uint8_t both[64];
    memcpy(both, account_key, 32);
    memcpy(both + 32, device_hash, 32);
    return mg_secret_hash(mg_view_of(both, sizeof both), key);
}

/* ---- places ---- */

/* The probes come from this machine, which is nowhere. Two of its networks stand for two cities, for the
 * probes' own accounts alone. */
static bool
canary_place(const struct mg_account *account, struct mg_view address, struct mg_risk_place *place)
{
    static const struct {
        const char *start;
        struct mg_risk_place place;
    } cities[] = {
        {"127.81.",
         {.country = "JP", .located = true, .latitude_e3 = 35681, .longitude_e3 = 139767, .radius_km = 20}},
        {"127.33.",
         {.country = "FR", .located = true, .latitude_e3 = 48857, .longitude_e3 = 2352, .radius_km = 20}},
    };
    if (!mg_canary_is_login(account->login))
        return false;
    for (size_t i = 0; i < MG_COUNT(cities); i++)
        if (address.length > strlen(cities[i].start) &&
            memcmp(address.bytes, cities[i].start, strlen(cities[i].start)) == 0) {
            *place = cities[i].place;
            return true;
        }
    return false;
}

static CHECKED struct mg_status
visit_make(const struct mg_account *account, struct mg_view address, mg_instant now,
           struct mg_risk_visit *visit)
{
    *visit = (struct mg_risk_visit){.at = now};
    if (!mg_ok(mg_view_copy(address, visit->address, sizeof visit->address)))
        return fail_with(MALFORMED, "an address of %zu bytes", address.length);
    if (!canary_place(account, address, &visit->place))
        mg_location_find(location, address, &visit->place);
    return mg_risk_network(address, visit->place.asn, visit->network);
}

/* ---- facts ---- */

enum {
    KNOWN,
    CONFIRMED,
    SINCE,
    ACCOUNT_FAILURES,
    ADDRESS_FAILURES,
    NETWORK_FAILURES,
    ADDRESS_NAMES,
    AT,
    ADDRESS,
    NETWORK,
    COUNTRY,
    ASN,
    LATITUDE,
    LONGITUDE,
    RADIUS
};

static CHECKED struct mg_status
facts_fetch(struct mg_database *database, const struct mg_risk_question *question,
            const struct mg_risk_answer *answer, struct mg_rows **ret_rows)
{
    const struct mg_account *account = question->account;
    return mg_query_often(
        database, ret_rows,
        "SELECT d.known, d.confirmed, a.risk_since,"
        " (SELECT count(*) FROM (SELECT 1 FROM sign_in_failure f WHERE f.tenant = $1 AND f.account_key = $3 AND f.at > $4 LIMIT $5) x),"
        " n.failures,"
        " (SELECT count(*) FROM (SELECT 1 FROM sign_in_failure f WHERE f.tenant = $1 AND f.network = $7 AND f.at > $4 LIMIT $5) x),"
        " n.names, v.at, v.address, v.network, v.country, v.asn, v.latitude_e3, v.longitude_e3, v.radius_km"
        " FROM account a"
        " CROSS JOIN (SELECT count(*) > 0 AS known, coalesce(bool_or(s.confirmed_until > $9), false) AS confirmed"
        "  FROM sign_in_device s WHERE s.account = $2 AND s.device_hash = $8) d"
        " CROSS JOIN (SELECT count(*) AS failures, count(DISTINCT x.account_key) AS names FROM"
        "  (SELECT f.account_key FROM sign_in_failure f WHERE f.tenant = $1 AND f.address = $6 AND f.at > $4 LIMIT $5) x) n"
        " LEFT JOIN LATERAL (SELECT h.* FROM sign_in_history h WHERE h.account = a.id AND h.outcome <= 2"
        "  AND h.at >= a.risk_since ORDER BY h.id DESC LIMIT $10) v ON true"
        " WHERE a.id = $2",
        MG_I64(account->tenant), MG_I64(account->id), MG_BYTES(question->account_key),
        MG_INSTANT(question->now - MG_RISK_WINDOW_MS), MG_I64(FAILURES_MOST),
        MG_STRING(answer->visit.address), MG_STRING(answer->visit.network),
        MG_BYTES(mg_view_of(answer->device_hash, 32)), MG_INSTANT(question->now), MG_I64(MG_RISK_PAST_MOST));
}

static CHECKED struct mg_status
visit_read(const struct mg_rows *rows, size_t row, struct mg_risk_visit *visit)
{
    *visit = (struct mg_risk_visit){
        .at = mg_rows_instant(rows, row, AT),
        .place = {.asn = (uint32_t) mg_rows_i64(rows, row, ASN),
                  .located = !mg_rows_null(rows, row, LATITUDE),
                  .latitude_e3 = (int32_t) mg_rows_i64(rows, row, LATITUDE),
                  .longitude_e3 = (int32_t) mg_rows_i64(rows, row, LONGITUDE),
                  .radius_km = (uint32_t) mg_rows_i64(rows, row, RADIUS)},
    };
    TRY(mg_view_copy(mg_rows_text(rows, row, ADDRESS), visit->address, sizeof visit->address));
    TRY(mg_view_copy(mg_rows_text(rows, row, NETWORK), visit->network, sizeof visit->network));
    return mg_view_copy(mg_rows_text(rows, row, COUNTRY), visit->place.country, sizeof visit->place.country);
}

static CHECKED struct mg_status
facts_read(const struct mg_rows *rows, struct mg_risk_facts *facts,
           struct mg_risk_visit past[MG_RISK_PAST_MOST])
{
    if (mg_rows_count(rows) == 0)
        return fail_with(NOT_FOUND, "the account is gone");
    facts->device = mg_rows_flag(rows, 0, KNOWN) ? MG_YES : MG_NO;
    facts->confirmed = mg_rows_flag(rows, 0, CONFIRMED);
    facts->learnt_from = mg_rows_null(rows, 0, SINCE) ? 0 : mg_rows_instant(rows, 0, SINCE);
    facts->account_failures = (uint32_t) mg_rows_i64(rows, 0, ACCOUNT_FAILURES);
    facts->address_failures = (uint32_t) mg_rows_i64(rows, 0, ADDRESS_FAILURES);
    facts->network_failures = (uint32_t) mg_rows_i64(rows, 0, NETWORK_FAILURES);
    facts->address_names = (uint32_t) mg_rows_i64(rows, 0, ADDRESS_NAMES);
    for (size_t i = 0; i < mg_rows_count(rows) && i < MG_RISK_PAST_MOST; i++)
        if (!mg_rows_null(rows, i, AT))
            TRY(visit_read(rows, i, &past[facts->past_count++]));
    facts->past = past;
    return OK;
}

/* ---- the tenant's rules ---- */

struct rules {
    struct mg_risk_limits limits;
    bool off;
    struct mg_risk_visit *now, *past;
    size_t past_count;
    struct mg_status status;
};

static bool
is_within(const struct mg_network_set *set, const char *address)
{
    struct mg_address parsed;
    return mg_ok(mg_address_parse(mg_view_text(address), &parsed)) && mg_network_set_has(set, parsed);
}

static CHECKED struct mg_status
own_networks_mark(const char *list, struct rules *rules)
{
    struct mg_network networks[MG_TENANT_NETWORKS_MOST];
    MG_CLEANUP(mg_network_set_drop) struct mg_network_set set = {.restricted = true};
    struct mg_view word;
    size_t count = 0;
    while (count < MG_COUNT(networks) && mg_option_word(&list, &word))
        TRY(mg_network_parse(word, &networks[count++]));
    if (count == 0)
        return OK;
    TRY(mg_network_set_make(true, networks, count, &set));
    rules->now->own = is_within(&set, rules->now->address);
    for (size_t i = 0; i < rules->past_count; i++)
        rules->past[i].own = is_within(&set, rules->past[i].address);
    return OK;
}

static void
rules_read(void *context, const struct mg_tenant_policy *policy)
{
    struct rules *rules = context;
    rules->limits = MG_RISK_PRESET;
    if (policy == NULL) /* the operators' own */
        return;
    const struct mg_tenant_settings *settings = &policy->settings;
    rules->off = strcmp(settings->adaptive_mode, "off") == 0;
    rules->limits = (struct mg_risk_limits){
        .notify = (uint32_t) settings->adaptive_notify,
        .step_up = (uint32_t) settings->adaptive_step_up,
        .block = (uint32_t) settings->adaptive_block,
        .learning_ms = settings->adaptive_learning,
        .travel_km_h = (uint32_t) settings->adaptive_travel_speed,
        .names_most = (uint32_t) settings->adaptive_names,
        .enforce = strcmp(settings->adaptive_mode, "watch") != 0,
    };
    rules->status = own_networks_mark(settings->adaptive_networks, rules);
}

/* ---- the record ---- */

static CHECKED struct mg_status
suspicious_note(const struct mg_risk_question *question, const struct mg_risk_answer *answer)
{
    char score[16], km[16];
    OWN_BUFFER(names, 512);
    OWN_BUFFER(words, 1024);
    OWN_BUFFER(unknown, 512);
    const struct mg_risk_verdict *verdict = &answer->verdict;
    const struct mg_core_actor actor = mg_actor_account(question->account);
    TRY(mg_signals_names(verdict->signals, &names));
    TRY(mg_signals_words(verdict->signals, false, &words));
    TRY(mg_signals_names(verdict->unknown, &unknown));
    (void) snprintf(score, sizeof score, "%u", verdict->score);
    (void) snprintf(km, sizeof km, "%u", verdict->travel_km);
    const struct mg_core_detail details[] = {
        {"outcome", mg_view_text(verdict->confirmed ? "confirmed" : mg_risk_outcome_name(verdict->outcome))},
        {"score", mg_view_text(score)},
        {"reasons", mg_buffer_view(&words)},
        {"unknown", mg_buffer_view(&unknown)},
        {"country", mg_view_text(answer->visit.place.country)},
        {"network", mg_view_text(answer->visit.network)},
        {"travel_km", mg_view_text(km)},
    };
    const bool travelled = verdict->travel_km > 0;
    return mg_core_record(&(struct mg_core_record){
        .event = MG_EVENT_sign_in_suspicious,
        .tenant = question->account->tenant,
        .actor = &actor,
        .outcome = verdict->outcome >= MG_RISK_STEP_UP ? MG_AUDIT_REFUSED : MG_AUDIT_SUCCESS,
        .reason = mg_buffer_view(&names),
        .address = question->address,
        .details = details,
        .detail_count = MG_COUNT(details) - !travelled,
    });
}

/* Never a NULL: a kept plan knows one kind of each. */
struct mg_status
mg_risk_visit_values(const struct mg_risk_question *question, const struct mg_risk_answer *answer,
                     struct mg_buffer *names, struct mg_value values[MG_RISK_VISIT_VALUES])
{
    const struct mg_risk_visit *visit = &answer->visit;
    const struct mg_risk_place *place = &visit->place;
    TRY(mg_signals_names(answer->verdict.signals, names));
    const struct mg_value taken[] = {
        MG_I64(question->account->tenant),
        MG_I64(question->account->id),
        MG_INSTANT(question->now),
        MG_I64(answer->verdict.outcome),
        MG_FLAG(answer->verdict.outcome < MG_RISK_STEP_UP),
        MG_I64(answer->verdict.score),
        MG_TEXT(mg_buffer_view(names)),
        MG_STRING(visit->address),
        MG_STRING(visit->network),
        MG_STRING(place->country),
        MG_I64(place->asn),
        MG_FLAG(place->located),
        MG_I64(place->latitude_e3),
        MG_I64(place->longitude_e3),
        MG_I64(place->radius_km),
        MG_TEXT(question->user_agent),
        MG_BYTES(mg_view_of(answer->device_hash, 32)),
        MG_I64(VISITS_MOST),
        MG_I64(DEVICES_MOST),
    };
    _Static_assert(MG_COUNT(taken) == MG_RISK_VISIT_VALUES, "as the function takes them");
    memcpy(values, taken, sizeof taken);
    return OK;
}

/* One that was held back. A crash of the database may forget it. */
static CHECKED struct mg_status
remember(struct mg_database *database, const struct mg_risk_question *question,
         const struct mg_risk_answer *answer)
{
    struct mg_value values[MG_RISK_VISIT_VALUES];
    OWN_BUFFER(names, 512);
    TRY(mg_risk_visit_values(question, answer, &names, values));
    return mg_database_query_often(
        database, NULL,
        "SELECT set_config('synchronous_commit', 'off', true), sign_in_visit($1, $2, $3, $4::smallint, $5, $6::int, $7,"
        " $8, $9, $10, $11, $12, $13::int, $14::int, $15::int, $16, $17, $18::int, $19::int)",
        values, MG_COUNT(values));
}

/* ---- what the others ask ---- */

void
mg_risk_look_drop(struct mg_risk_look *look)
{
    mg_rows_drop(&look->rows);
}

struct mg_status
mg_risk_look(struct mg_database *database, const struct mg_risk_question *question,
             struct mg_risk_look *ret_look)
{
    struct mg_risk_answer *answer = &ret_look->answer;
    *answer = (struct mg_risk_answer){.verdict = {.outcome = MG_RISK_ALLOW}};
    if (question->device.length == MG_TOKEN_BYTES) {
        memcpy(answer->device, question->device.bytes, MG_TOKEN_BYTES);
        TRY(mg_secret_hash(question->device, answer->device_hash));
    }
    TRY(visit_make(question->account, question->address, question->now, &answer->visit));
    return facts_fetch(database, question, answer, &ret_look->rows);
}

struct mg_status
mg_risk_decide(const struct mg_risk_question *question, const struct mg_risk_look *look,
               struct mg_risk_answer *ret_answer)
{
    struct mg_risk_visit past[MG_RISK_PAST_MOST];
    struct mg_risk_answer answer = look->answer;
    struct mg_address address;
    struct mg_risk_facts facts = {.now = answer.visit, .breached = question->breached, .listed = MG_NOT_TOLD};
    TRY(facts_read(look->rows, &facts, past));
    answer.device_known = facts.device == MG_YES;
    if (bad_addresses.count > 0 && mg_ok(mg_address_parse(question->address, &address)))
        facts.listed = mg_network_set_has(&bad_addresses, address) ? MG_YES : MG_NO;
    struct rules rules = {.now = &facts.now, .past = past, .past_count = facts.past_count, .status = OK};
    mg_tenants_policy_read(question->account->tenant, rules_read, &rules);
    TRY(rules.status);
    if (!rules.off)
        answer.verdict = mg_risk_judge(&facts, &rules.limits);
    TRY(device_settle(question, &answer));
    if (answer.verdict.outcome != MG_RISK_ALLOW || answer.verdict.confirmed)
        TRY(suspicious_note(question, &answer));
    *ret_answer = answer;
    return OK;
}

struct mg_status
mg_risk_ask(struct mg_database *database, const struct mg_risk_question *question,
            struct mg_risk_answer *ret_answer)
{
    MG_CLEANUP(mg_risk_look_drop) struct mg_risk_look look = {0};
    TRY(mg_risk_look(database, question, &look));
    return mg_risk_decide(question, &look, ret_answer);
}

/* A mail about this sign-in, unless there were many of late: a stranger must not fill a mailbox. */
static CHECKED struct mg_status
mail_add(struct mg_database *database, const struct mg_risk_question *question,
         const struct mg_risk_answer *answer, const char *kind, uint64_t confirmation)
{
    OWN_BUFFER(names, 512);
    TRY(mg_signals_names(answer->verdict.signals, &names));
    return mg_query(
        database, NULL,
        "INSERT INTO mail (tenant, account, kind, language, address, asked_at, due_at, signals, confirmation)"
        " SELECT a.tenant, a.id, $2, a.language, $3, $4, $4, $5, nullif($6::bigint, 0) FROM account a"
        " WHERE a.id = $1 AND a.email <> '' AND $8 >= (SELECT count(*) FROM (SELECT 1 FROM sign_in_history h"
        "  WHERE h.account = $1 AND h.outcome > 1 AND h.at > $7 LIMIT 100) x)",
        MG_I64(question->account->id), MG_STRING(kind), MG_TEXT(question->address), MG_INSTANT(question->now),
        MG_TEXT(mg_buffer_view(&names)), MG_I64(confirmation), MG_INSTANT(question->now - MG_RISK_WINDOW_MS),
        MG_I64(MAILS_AN_HOUR));
}

struct mg_status
mg_risk_let_in(struct mg_database *database, const struct mg_risk_question *question,
               const struct mg_risk_answer *answer)
{
    return answer->verdict.outcome == MG_RISK_NOTIFY
               ? mail_add(database, question, answer, "sign_in_notice", 0)
               : OK;
}

struct mg_status
mg_risk_second_begun(struct mg_database *database, struct mg_view ticket, const struct mg_risk_answer *answer)
{
    uint8_t hash[32];
    TRY(mg_secret_hash(ticket, hash));
    return mg_query(database, NULL, "UPDATE ticket SET device_hash = $2 WHERE ticket_hash = $1",
                    MG_BYTES(mg_view_of(hash, sizeof hash)), MG_BYTES(mg_view_of(answer->device_hash, 32)));
}

struct mg_status
mg_risk_second_taken(const struct mg_risk_question *question, struct mg_view device_hash,
                     struct mg_risk_answer *ret_answer, bool *ret_known)
{
    *ret_answer = (struct mg_risk_answer){.verdict = {.outcome = MG_RISK_ALLOW}};
    *ret_known = device_hash.length == sizeof ret_answer->device_hash;
    if (!*ret_known)
        return OK; /* a ticket from before devices were remembered */
    memcpy(ret_answer->device_hash, device_hash.bytes, sizeof ret_answer->device_hash);
    return visit_make(question->account, question->address, question->now, &ret_answer->visit);
}

static CHECKED struct mg_status
confirmation_add(struct mg_database *database, const struct mg_risk_question *question,
                 const struct mg_risk_answer *answer, uint64_t *ret_confirmation)
{
    OWN(rows) rows = NULL;
    TRY(mg_query(
        database, &rows,
        "INSERT INTO sign_in_confirmation (tenant, account, device_hash, address, country, user_agent, asked_at,"
        " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
        MG_I64(question->account->tenant), MG_I64(question->account->id),
        MG_BYTES(mg_view_of(answer->device_hash, 32)), MG_TEXT(question->address),
        MG_STRING(answer->visit.place.country), MG_TEXT(question->user_agent), MG_INSTANT(question->now),
        MG_INSTANT(question->now + CONFIRM_MS)));
    *ret_confirmation = (uint64_t) mg_rows_i64(rows, 0, 0);
    return OK;
}

struct mg_status
mg_risk_hold(struct mg_database *database, const struct mg_risk_question *question,
             const struct mg_risk_answer *answer)
{
    uint64_t confirmation = 0;
    TRY(remember(database, question, answer));
    if (answer->verdict.outcome == MG_RISK_BLOCK)
        return mail_add(database, question, answer, "sign_in_blocked", 0);
    TRY(confirmation_add(database, question, answer, &confirmation));
    return mail_add(database, question, answer, "sign_in_confirm", confirmation);
}

struct mg_status
mg_risk_failed(struct mg_database *database, uint64_t tenant, struct mg_view account_key,
               struct mg_view address, mg_instant now)
{
    struct mg_risk_place place;
    char network[MG_RISK_ADDRESS_TEXT];
    mg_location_find(location, address, &place);
    TRY(mg_risk_network(address, place.asn, network));
    return mg_query_often(
        database, NULL,
        "INSERT INTO sign_in_failure (tenant, at, account_key, address, network) VALUES ($1, $2, $3, $4, $5)",
        MG_I64(tenant), MG_INSTANT(now), MG_BYTES(account_key), MG_TEXT(address), MG_STRING(network));
}

struct mg_status
mg_risk_clean(struct mg_database *database, mg_instant now)
{
    const int64_t kept_ms = mg_environment()->options->adaptive_retention;
    TRY(mg_query(database, NULL,
                 "WITH f AS (DELETE FROM sign_in_failure WHERE at < $1),"
                 " c AS (DELETE FROM sign_in_confirmation WHERE expires_at < $1)"
                 " DELETE FROM sign_in_history WHERE at < $2",
                 MG_INSTANT(now - MG_RISK_WINDOW_MS), MG_INSTANT(now - kept_ms)));
    return mg_query(database, NULL, "DELETE FROM sign_in_device WHERE last_used_at < $1",
                    MG_INSTANT(now - kept_ms));
}

/* ---- the confirmation by mail ---- */

struct mg_status
mg_risk_ticket(struct mg_database *database, uint64_t confirmation, mg_instant now,
               uint8_t ticket[MG_TOKEN_BYTES], mg_instant *ret_ends_at)
{
    uint8_t hash[32];
    mg_random(ticket, MG_TOKEN_BYTES);
    TRY(mg_secret_hash(mg_view_of(ticket, MG_TOKEN_BYTES), hash));
    *ret_ends_at = now + CONFIRM_MS;
    return mg_query(database, NULL,
                    "UPDATE sign_in_confirmation SET ticket_hash = $2, expires_at = $3 WHERE id = $1",
                    MG_I64(confirmation), MG_BYTES(mg_view_of(hash, sizeof hash)), MG_INSTANT(*ret_ends_at));
}

enum {
    CONFIRM_ADDRESS = MG_ACCOUNT_COLUMN_COUNT,
    CONFIRM_COUNTRY,
    CONFIRM_AGENT,
    CONFIRM_ASKED,
    CONFIRM_DEVICE,
    CONFIRM_ID
};

static CHECKED struct mg_status
confirmation_find(struct mg_database *database, uint64_t tenant, struct mg_view ticket, mg_instant now,
                  struct mg_rows **ret_rows, struct mg_account *ret_account, bool *ret_found)
{
    uint8_t hash[32];
    *ret_found = false;
    if (ticket.length != MG_TOKEN_BYTES)
        return OK;
    TRY(mg_secret_hash(ticket, hash));
    TRY(mg_query(
        database, ret_rows,
        "SELECT " MG_ACCOUNT_COLUMNS ", c.address, c.country, c.user_agent, c.asked_at, c.device_hash, c.id"
        " FROM sign_in_confirmation c JOIN account acc ON acc.id = c.account"
        " WHERE c.ticket_hash = $1 AND c.tenant = $2 AND c.expires_at > $3 AND acc.disabled_at IS NULL",
        MG_BYTES(mg_view_of(hash, sizeof hash)), MG_I64(tenant), MG_INSTANT(now)));
    *ret_found = mg_rows_count(*ret_rows) == 1 && mg_account_read(*ret_rows, 0, 0, ret_account);
    return OK;
}

MG_HANDLER_PUBLIC(confirm_look)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_account account;
    bool found = false;
    TRY(mg_core_database(&database));
    TRY(confirmation_find(database, request->tenant, request->ticket, mg_now(), &rows, &account, &found));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return mg_answer_confirm_look(call, &(struct mg_reply_confirm_look){.outcome = MG_TICKET_SPENT});
    }
    return mg_answer_confirm_look(
        call, &(struct mg_reply_confirm_look){.outcome = MG_GRANTED,
                                              .login = account.login,
                                              .address = mg_rows_text(rows, 0, CONFIRM_ADDRESS),
                                              .country = mg_rows_text(rows, 0, CONFIRM_COUNTRY),
                                              .user_agent = mg_rows_text(rows, 0, CONFIRM_AGENT),
                                              .asked_at = mg_rows_instant(rows, 0, CONFIRM_ASKED)});
}

/* One of any number at the same time spends it. It gives no session: the device that asked may sign in again,
 * which takes the password once more. */
static CHECKED struct mg_status
confirm_run(const struct mg_request_confirm_complete *request, enum mg_outcome *ret_outcome)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN(rows) spent = NULL;
    struct mg_account account;
    bool found = false;
    const mg_instant now = mg_now();
    *ret_outcome = MG_TICKET_SPENT;
    TRY(mg_core_database(&database));
    TRY(confirmation_find(database, request->tenant, request->ticket, now, &rows, &account, &found));
    if (!found) {
        mg_sign_in_refusal_count(request->tenant, MG_TICKET_SPENT, request->address);
        return OK;
    }
    TRY(mg_query(database, &spent, "DELETE FROM sign_in_confirmation WHERE id = $1 RETURNING id",
                 MG_I64(mg_rows_i64(rows, 0, CONFIRM_ID))));
    if (mg_rows_count(spent) != 1)
        return OK;
    const struct mg_core_actor actor = mg_actor_account(&account);
    TRY(mg_identity_note(&(struct mg_audit_note){.event = MG_EVENT_sign_in_confirm,
                                                 .tenant = account.tenant,
                                                 .actor = &actor,
                                                 .target = mg_rows_text(rows, 0, CONFIRM_ADDRESS),
                                                 .outcome = MG_AUDIT_SUCCESS,
                                                 .address = request->address}));
    TRY(mg_query(
        database, NULL,
        "INSERT INTO sign_in_device AS d (account, device_hash, known_since, last_used_at, confirmed_until)"
        " VALUES ($1, $2, $3, $3, $4) ON CONFLICT (account, device_hash) DO UPDATE SET confirmed_until = $4",
        MG_I64(account.id), MG_BYTES(mg_rows_bytes(rows, 0, CONFIRM_DEVICE)), MG_INSTANT(now),
        MG_INSTANT(now + CONFIRM_MS)));
    *ret_outcome = MG_GRANTED;
    return OK;
}

MG_HANDLER_PUBLIC(confirm_complete)
{
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    TRY(confirm_run(request, &outcome));
    return mg_answer_confirm_complete(call, &(struct mg_reply_confirm_complete){.outcome = outcome});
}

/* ---- the canary's past ---- */

struct mg_status
mg_risk_canary_past(struct mg_database *database, const struct mg_account *account, mg_instant now,
                    uint8_t device[MG_TOKEN_BYTES])
{
    enum { DAYS = 60, DAY_MS = 86400000, HALF_HOUR_MS = 1800000 };
    struct mg_risk_visit visit;
    uint8_t hash[32];
    TRY(visit_make(account, mg_view_text("127.81.0.1"), now, &visit));
    TRY(device_new(account->tenant, device));
    TRY(mg_secret_hash(mg_view_of(device, MG_TOKEN_BYTES), hash));
    const mg_instant began = now - DAYS * (int64_t) DAY_MS;
    TRY(mg_query(
        database, NULL,
        "INSERT INTO sign_in_device (account, device_hash, known_since, last_used_at) VALUES ($1, $2, $3, $4)",
        MG_I64(account->id), MG_BYTES(mg_view_of(hash, sizeof hash)), MG_INSTANT(began),
        MG_INSTANT(now - HALF_HOUR_MS)));
    TRY(mg_query(
        database, NULL,
        "INSERT INTO sign_in_history (tenant, account, at, outcome, score, address, network, country, asn,"
        " latitude_e3, longitude_e3, radius_km) SELECT $1, $2, $3::timestamptz - d * interval '3 days', 1, 0, $4,"
        " $5, $6, 0, $7::int, $8::int, $9::int FROM generate_series(19, 0, -1) d",
        MG_I64(account->tenant), MG_I64(account->id), MG_INSTANT(now - HALF_HOUR_MS),
        MG_STRING(visit.address), MG_STRING(visit.network), MG_STRING(visit.place.country),
        MG_I64(visit.place.latitude_e3), MG_I64(visit.place.longitude_e3), MG_I64(visit.place.radius_km)));
    return mg_query(database, NULL, "UPDATE account SET risk_since = $2 WHERE id = $1", MG_I64(account->id),
                    MG_INSTANT(began));
}
