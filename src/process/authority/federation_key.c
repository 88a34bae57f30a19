/* Our own keys at SAML providers: made, used, rolled over (row idp_key), and told of before they end. */
#include "process/authority/federation_key.h"

#include "base/log.h"
#include "domain/saml_key.h"

#include <inttypes.h>

enum { SIGNING = 1, DECRYPTING = 2, WARN_DAYS = 90, REMIND_DAYS = 7 };

/* ---- making ---- */

/* Both pairs, as keys makes them; the views borrow the two storages. */
struct made {
    struct mg_buffer storage[2];
    struct mg_reply_saml_key signing, decrypting;
};

static void
made_drop(struct made *made)
{
    mg_buffer_drop(&made->storage[0]);
    mg_buffer_drop(&made->storage[1]);
}

static CHECKED struct mg_status
keys_ask(uint64_t tenant, uint64_t provider, const char *entity, struct made *made)
{
    struct mg_request_saml_key ask = {
        .tenant = tenant, .provider = provider, .use = SIGNING, .entity = mg_view_text(entity)};
    TRY(mg_call_saml_key(&ask, &made->signing, &made->storage[0], MG_IDENTITY_CALL_MS));
    ask.use = DECRYPTING;
    return mg_call_saml_key(&ask, &made->decrypting, &made->storage[1], MG_IDENTITY_CALL_MS);
}

struct mg_status
mg_saml_keys_make(struct mg_database *database, uint64_t provider, uint64_t tenant, const char *entity)
{
    MG_CLEANUP(made_drop)
    struct made made = {.storage = {MG_BUFFER(MG_PACKET_MOST), MG_BUFFER(MG_PACKET_MOST)}};
    TRY(keys_ask(tenant, provider, entity, &made));
    return mg_query(database, NULL,
                    "INSERT INTO identity_provider_saml (provider, signing_sealed, signing_certificate,"
                    " encryption_sealed, encryption_certificate, ends_at) VALUES ($1, $2, $3, $4, $5, $6)",
                    MG_I64(provider), MG_BYTES(made.signing.sealed), MG_BYTES(made.signing.certificate),
                    MG_BYTES(made.decrypting.sealed), MG_BYTES(made.decrypting.certificate),
                    MG_INSTANT(made.signing.ends_at));
}

/* ---- using ---- */

static struct mg_saml_key_pairs
pairs_of(const struct mg_rows *rows, size_t column)
{
    return (struct mg_saml_key_pairs){
        .signing_sealed = mg_rows_bytes(rows, 0, column),
        .signing_certificate = mg_rows_bytes(rows, 0, column + 1),
        .encryption_sealed = mg_rows_bytes(rows, 0, column + 2),
        .encryption_certificate = mg_rows_bytes(rows, 0, column + 3),
        .ends_at = mg_rows_instant(rows, 0, column + 4),
    };
}

struct mg_status
mg_saml_keys_load(struct mg_database *database, uint64_t provider, mg_instant now, struct mg_rows **ret_rows,
                  struct mg_saml_own_keys *ret_keys)
{
    enum { NEXT = 5, SIGNS_AT = 10 };
    OWN(rows) rows = NULL;
    TRY(mg_query_often(
        database, &rows,
        "SELECT s.signing_sealed, s.signing_certificate, s.encryption_sealed,"
        " s.encryption_certificate, s.ends_at, n.signing_sealed, n.signing_certificate,"
        " n.encryption_sealed, n.encryption_certificate, n.ends_at, n.signs_at"
        " FROM identity_provider_saml s LEFT JOIN identity_provider_saml_next n USING (provider)"
        " WHERE s.provider = $1",
        MG_I64(provider)));
    if (mg_rows_count(rows) != 1)
        return fail_with(DATABASE, "a SAML provider without keys of ours");
    struct mg_saml_own_keys keys = {.now = pairs_of(rows, 0), .rolling = !mg_rows_null(rows, 0, NEXT)};
    if (keys.rolling) {
        keys.other = pairs_of(rows, NEXT);
        keys.signs_at = mg_rows_null(rows, 0, SIGNS_AT) ? 0 : mg_rows_instant(rows, 0, SIGNS_AT);
        keys.switched = mg_saml_key_signs(true, keys.signs_at, now);
    }
    if (keys.switched) {
        const struct mg_saml_key_pairs old = keys.now;
        keys.now = keys.other;
        keys.other = old;
    }
    *ret_keys = keys;
    *ret_rows = TAKE(rows);
    return OK;
}

static CHECKED struct mg_status
signing_load(const struct mg_idp *idp, struct mg_buffer *sealed)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    struct mg_saml_own_keys keys;
    uint64_t changes = 0;
    if (mg_saml_signing_recall(idp->id, sealed, &changes))
        return OK;
    TRY(mg_core_database(&database));
    TRY(mg_saml_keys_load(database, idp->id, mg_now(), &rows, &keys));
    mg_saml_signing_keep(idp->id, keys.now.signing_sealed, changes);
    return mg_buffer_add(sealed, keys.now.signing_sealed);
}

struct mg_status
mg_saml_sign_ask(const struct mg_idp *idp, struct mg_request_saml_sign *fields, struct mg_buffer *storage,
                 struct mg_reply_saml_sign *ret_reply)
{
    OWN_BUFFER(sealed, 4096);
    TRY(signing_load(idp, &sealed));
    fields->tenant = idp->tenant;
    fields->provider = idp->id;
    fields->sealed = mg_buffer_view(&sealed);
    return mg_call_saml_sign(fields, ret_reply, storage, MG_IDENTITY_CALL_MS);
}

struct mg_status
mg_saml_unwrap_ask(struct mg_database *database, const struct mg_idp *idp, struct mg_view wrapped,
                   uint64_t oaep, struct mg_buffer *storage, struct mg_reply_saml_unwrap *ret_reply)
{
    OWN(rows) rows = NULL;
    struct mg_saml_own_keys keys;
    TRY(mg_saml_keys_load(database, idp->id, mg_now(), &rows, &keys));
    struct mg_request_saml_unwrap ask = {.tenant = idp->tenant,
                                         .provider = idp->id,
                                         .sealed = keys.now.encryption_sealed,
                                         .wrapped = wrapped,
                                         .oaep = oaep};
    TRY(mg_call_saml_unwrap(&ask, ret_reply, storage, MG_IDENTITY_CALL_MS));
    if (ret_reply->key.length != 0 || !keys.rolling)
        return OK;
    ask.sealed = keys.other.encryption_sealed;
    mg_buffer_clear(storage);
    return mg_call_saml_unwrap(&ask, ret_reply, storage, MG_IDENTITY_CALL_MS);
}

/* ---- rolling over ---- */

struct rolling {
    const struct mg_request_idp_key *request;
    struct mg_right asked;
    struct mg_idp *idp;
    struct made made;
    mg_instant now;
    const char *reason;
};

static void
rolling_drop(struct rolling *it)
{
    mg_idp_drop(&it->idp);
    made_drop(&it->made);
}

/* Whether the step may be made at this moment. */
static CHECKED struct mg_status
step_judge(struct mg_database *database, struct rolling *it, enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    struct mg_saml_own_keys keys;
    TRY(mg_saml_keys_load(database, it->idp->id, it->now, &rows, &keys));
    it->reason = mg_saml_key_judge(it->request->step, keys.rolling, keys.signs_at, it->request->at, it->now);
    *ret_outcome = it->reason[0] == '\0' ? MG_GRANTED : MG_NOT_VALID;
    return OK;
}

static CHECKED struct mg_status
step_record(const struct rolling *it, mg_instant at)
{
    static const char *const reasons[] = {[MG_SAML_KEY_MAKE] = "KEY_MADE",
                                          [MG_SAML_KEY_USE] = "KEY_USED",
                                          [MG_SAML_KEY_FINISH] = "KEY_REMOVED",
                                          [MG_SAML_KEY_DROP] = "KEY_DROPPED"};
    char from[MG_INSTANT_TEXT];
    mg_instant_text(at, from);
    const struct mg_core_detail details[] = {{"from", mg_view_text(from)}};
    return mg_core_record(
        &(struct mg_core_record){.event = MG_EVENT_idp_change,
                                 .tenant = it->asked.tenant.number,
                                 .actor = &it->asked.actor,
                                 .target = it->request->name,
                                 .reason = mg_view_text(reasons[it->request->step]),
                                 .details = details,
                                 .detail_count = it->request->step == MG_SAML_KEY_USE ? 1 : 0});
}

static CHECKED struct mg_status
step_write(struct mg_database *database, const struct rolling *it, mg_instant at)
{
    const struct made *made = &it->made;
    switch (it->request->step) {
    case MG_SAML_KEY_MAKE:
        return mg_query(
            database, NULL,
            "INSERT INTO identity_provider_saml_next (provider, signing_sealed, signing_certificate,"
            " encryption_sealed, encryption_certificate, ends_at, made_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            MG_I64(it->idp->id), MG_BYTES(made->signing.sealed), MG_BYTES(made->signing.certificate),
            MG_BYTES(made->decrypting.sealed), MG_BYTES(made->decrypting.certificate),
            MG_INSTANT(made->signing.ends_at), MG_INSTANT(it->now));
    case MG_SAML_KEY_USE:
        return mg_query(database, NULL,
                        "UPDATE identity_provider_saml_next SET signs_at = $2 WHERE provider = $1",
                        MG_I64(it->idp->id), MG_INSTANT(at));
    case MG_SAML_KEY_FINISH:
        TRY(mg_query(database, NULL,
                     "UPDATE identity_provider_saml s SET signing_sealed = n.signing_sealed,"
                     " signing_certificate = n.signing_certificate, encryption_sealed = n.encryption_sealed,"
                     " encryption_certificate = n.encryption_certificate, ends_at = n.ends_at, told_at = NULL"
                     " FROM identity_provider_saml_next n WHERE s.provider = $1 AND n.provider = s.provider",
                     MG_I64(it->idp->id)));
        break;
    default:
        break;
    }
    return mg_query(database, NULL, "DELETE FROM identity_provider_saml_next WHERE provider = $1",
                    MG_I64(it->idp->id));
}

/* Judged again under the provider's lock: of two steps at once the second sees what the first left. */
static CHECKED struct mg_status
step_take(struct mg_database *database, struct rolling *it, enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    struct mg_saml_names names;
    TRY(step_judge(database, it, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    if (it->request->step == MG_SAML_KEY_MAKE) {
        TRY(mg_saml_names(it->idp, &it->asked.tenant, &names));
        TRY(keys_ask(it->idp->tenant, it->idp->id, names.entity, &it->made));
    }
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query(database, NULL, "SELECT 1 FROM identity_provider_saml WHERE provider = $1 FOR UPDATE",
                 MG_I64(it->idp->id)));
    TRY(step_judge(database, it, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    const mg_instant at = it->request->at != 0 ? it->request->at : it->now;
    TRY(step_record(it, at));
    TRY(step_write(database, it, at));
    return mg_transaction_commit(&transaction);
}

MG_HANDLER_PUBLIC(idp_key)
{
    OWN(database) database = NULL;
    MG_CLEANUP(rolling_drop)
    struct rolling it = {.request = request,
                         .made = {.storage = {MG_BUFFER(MG_PACKET_MOST), MG_BUFFER(MG_PACKET_MOST)}},
                         .now = mg_now(),
                         .reason = ""};
    enum mg_outcome outcome;
    MG_IDP_ASK(idp_key, call, request, &it.asked, &outcome);
    if (outcome == MG_GRANTED && !mg_idp_holds_enough(&it.asked))
        outcome = MG_NOT_ALLOWED;
    TRY(mg_core_database(&database));
    if (outcome == MG_GRANTED) {
        const struct mg_status found = mg_idp_load(database, it.asked.tenant.number, request->name, &it.idp);
        if (found.code == MG_NOT_FOUND || (mg_ok(found) && !mg_idp_is_saml(it.idp->settings)))
            outcome = MG_NOT_KNOWN;
        else
            TRY(found);
    }
    if (outcome == MG_GRANTED) {
        const struct mg_status taken = step_take(database, &it, &outcome);
        mg_idp_changed(); /* which key signs is kept in memory; also of a commit whose answer was lost */
        TRY(taken);
    }
    return mg_answer_idp_key(
        call, &(struct mg_reply_idp_key){.outcome = outcome, .reason = mg_view_text(it.reason)});
}

/* ---- telling ---- */

/* Not of keys whose successors sign already: those are only to be removed. */
struct mg_status
mg_saml_keys_tell(struct mg_database *database, mg_instant now)
{
    OWN(transaction) transaction = NULL;
    OWN(rows) rows = NULL;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(mg_query_often(
        database, &rows,
        "UPDATE identity_provider_saml s SET told_at = $1 FROM identity_provider p"
        " WHERE p.id = s.provider AND p.enabled AND s.ends_at < $2 AND (s.told_at IS NULL OR s.told_at < $3)"
        " AND NOT EXISTS (SELECT 1 FROM identity_provider_saml_next n WHERE n.provider = s.provider"
        " AND n.signs_at <= $1) RETURNING p.tenant, p.name, s.ends_at",
        MG_INSTANT(now), MG_INSTANT(now + (int64_t) WARN_DAYS * 86400 * 1000),
        MG_INSTANT(now - (int64_t) REMIND_DAYS * 86400 * 1000)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        char until[MG_INSTANT_TEXT];
        mg_instant_text(mg_rows_instant(rows, i, 2), until);
        const struct mg_view name = mg_rows_text(rows, i, 1);
        const struct mg_core_detail details[] = {{"until", mg_view_text(until)}};
        TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_idp_certificate,
                                                    .tenant = (uint64_t) mg_rows_i64(rows, i, 0),
                                                    .target = name,
                                                    .reason = mg_view_text("KEY_ENDS"),
                                                    .details = details,
                                                    .detail_count = MG_COUNT(details)}));
        mg_log(MG_WARNING, "tenant %" PRId64 ", identity provider %.*s: our own keys there end at %s",
               mg_rows_i64(rows, i, 0), (int) name.length, (const char *) name.bytes, until);
    }
    return mg_transaction_commit(&transaction);
}
