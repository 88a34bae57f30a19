#include "process/authority/identity.h"

#include "base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

/* ---- one event -------------------------------------------------------------------------------- */

/* The longest start of a text that fits a field and is still UTF-8. */
static struct mg_view
cut(struct mg_view text, size_t most)
{
    if (text.length <= most)
        return text;
    size_t length = most;
    while (length != 0 && (text.bytes[length] & 0xC0) == 0x80)
        length--;
    return mg_view_of(text.bytes, length);
}

static void
name_set(struct mg_core_actor *actor, struct mg_view name)
{
    const struct mg_view kept = cut(name, sizeof actor->name - 1);
    memcpy(actor->name, kept.bytes, kept.length);
    actor->name[kept.length] = '\0';
}

struct mg_core_actor
mg_actor_account(const struct mg_account *account)
{
    struct mg_core_actor actor = {.kind = account->service       ? MG_ACTOR_SERVICE
                                          : account->tenant == 0 ? MG_ACTOR_OPERATOR
                                                                 : MG_ACTOR_USER};
    (void) snprintf(actor.id, sizeof actor.id, "%" PRIu64, account->id);
    name_set(&actor, account->login);
    return actor;
}

struct mg_core_actor
mg_actor_unknown(struct mg_view login)
{
    struct mg_core_actor actor = {.kind = MG_ACTOR_UNKNOWN};
    name_set(&actor, login);
    return actor;
}

struct mg_status
mg_identity_note_begin(const struct mg_audit_note *note, struct mg_apart **ret_append)
{
    char family[24] = "";
    if (note->family != 0)
        (void) snprintf(family, sizeof family, "%016" PRIx64, note->family);
    return mg_core_record_begin(
        &(struct mg_core_record){
            .event = note->event,
            .tenant = note->tenant,
            .actor = note->actor,
            .target = cut(note->target, 512),
            .reason = cut(note->reason, 512),
            .address = cut(note->address, 64),
            .session = mg_view_text(family),
            .outcome = note->outcome,
        },
        ret_append);
}

struct mg_status
mg_identity_note(const struct mg_audit_note *note)
{
    OWN(apart) append = NULL;
    TRY(mg_identity_note_begin(note, &append));
    return mg_record_end(append);
}

/* ---- refusals, counted together --------------------------------------------------------------- */

enum { REFUSAL_ROWS = 256, REFUSAL_FLUSH_MS = 10000 };

struct refusal {
    uint64_t tenant, count;
    enum mg_outcome outcome;
    char address[72]; /* "" in the row that takes what has no row of its own */
    mg_instant first, last;
};

static struct {
    pthread_mutex_t lock;
    struct refusal rows[REFUSAL_ROWS];
    size_t count;
    mg_instant flushed_at;
} refusals = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
mg_sign_in_refusal_count(uint64_t tenant, enum mg_outcome outcome, struct mg_view address)
{
    char text[sizeof refusals.rows[0].address];
    if (!mg_ok(mg_view_copy(address, text, sizeof text)))
        text[0] = '\0';
    const mg_instant now = mg_now();
    (void) pthread_mutex_lock(&refusals.lock);
    size_t at = 0;
    while (at < refusals.count &&
           (refusals.rows[at].tenant != tenant || refusals.rows[at].outcome != outcome ||
            strcmp(refusals.rows[at].address, text) != 0))
        at++;
    if (at == refusals.count) {
        if (refusals.count == REFUSAL_ROWS)
            at = REFUSAL_ROWS - 1; /* the last row takes the rest; its address is cleared */
        else
            refusals.rows[refusals.count++] =
                (struct refusal){.tenant = tenant, .outcome = outcome, .first = now};
        if (refusals.rows[at].count == 0)
            memcpy(refusals.rows[at].address, text, sizeof text);
        else
            refusals.rows[at].address[0] = '\0';
    }
    refusals.rows[at].count++;
    refusals.rows[at].last = now;
    (void) pthread_mutex_unlock(&refusals.lock);
}

static CHECKED struct mg_status
refusal_note(const struct refusal *refusal)
{
    char first[MG_INSTANT_TEXT], last[MG_INSTANT_TEXT], count[24];
    mg_instant_text(refusal->first, first);
    mg_instant_text(refusal->last, last);
    (void) snprintf(count, sizeof count, "%" PRIu64, refusal->count);
    const struct mg_core_detail details[] = {
        {"count", mg_view_text(count)}, {"first", mg_view_text(first)}, {"last", mg_view_text(last)}};
    return mg_core_record(&(struct mg_core_record){
        .event = MG_EVENT_sign_in_refused_flood,
        .tenant = refusal->tenant,
        .outcome = MG_AUDIT_REFUSED,
        .reason = mg_view_text(mg_outcome_name(refusal->outcome)),
        .address = mg_view_text(refusal->address),
        .details = details,
        .detail_count = MG_COUNT(details),
    });
}

void
mg_sign_in_refusal_flush(mg_instant now)
{
    static struct refusal taken[REFUSAL_ROWS]; /* only the tick's thread comes here */
    (void) pthread_mutex_lock(&refusals.lock);
    const bool due = now - refusals.flushed_at >= REFUSAL_FLUSH_MS || now < refusals.flushed_at;
    const size_t count = due ? refusals.count : 0;
    memcpy(taken, refusals.rows, count * sizeof taken[0]);
    if (due) {
        refusals.flushed_at = now;
        refusals.count = 0;
    }
    (void) pthread_mutex_unlock(&refusals.lock);
    for (size_t i = 0; i < count; i++) {
        const struct mg_status status = refusal_note(&taken[i]);
        if (!mg_ok(status)) { /* the log is away: say it in ours, once, and go on */
            mg_log_status(MG_ERROR, "refusals not recorded", status);
            return;
        }
    }
}
