/* Refusals on their way to the audit log: counted by the workers per tenant, reason and network, in a
 * bounded file (RUN/gate/refusals) that the authority empties now and then. Strangers can fill
 * neither it nor the log; what found no room is counted as lost.
 *
 * There are two banks. The workers count in one (which, stands in the session table's header) while
 * the authority reads the other. The workers may write the file, so the authority only reads it with
 * pread and believes nothing but numbers. */
#ifndef MG_WIRE_REFUSAL_RING_H
#define MG_WIRE_REFUSAL_RING_H

#include "wire/network.h"
#include "wire/session_table.h"

enum mg_refusal {
    MG_REFUSAL_NONE = 0,
#define REFUSAL(NAME, ...) MG_REFUSAL_##NAME,
#include "../../catalogue/refusals.def"
#undef REFUSAL
    MG_REFUSAL_COUNT
};

struct mg_refusal_row {
    int status; /* HTTP */
    const char *name, *en, *ja;
};
/* NULL for NONE and numbers that are none. */
const struct mg_refusal_row *mg_refusal_row(enum mg_refusal reason);

struct mg_refusal_count {
    uint32_t tenant_id; /* 0: no tenant could be told */
    enum mg_refusal reason;
    struct mg_address network; /* mg_address_prefix() of the clients */
    uint64_t count;
    mg_instant first_at, last_at;
};

/* ---- the authority --------------------------------------------------------------------------- */
struct mg_refusal_drain;
CHECKED struct mg_status mg_refusal_drain_open(const char *directory, gid_t group,
                                               struct mg_refusal_drain **ret_drain);
void mg_refusal_drain_drop(struct mg_refusal_drain **drain);
/* Visits what was counted up to the previous call, empties it, and sends the workers to that bank.
 * Call it every few seconds, from one thread. `ret_lost`: refusals that found no room. */
typedef struct mg_status (*mg_refusal_visit)(void *context, const struct mg_refusal_count *count);
CHECKED struct mg_status mg_refusal_drain_run(struct mg_refusal_drain *drain,
                                              struct mg_session_writer *writer, mg_refusal_visit visit,
                                              void *context, uint64_t *ret_lost);

/* ---- a worker -------------------------------------------------------------------------------- */
struct mg_refusal_ring;
CHECKED struct mg_status mg_refusal_ring_open(const char *directory, struct mg_refusal_ring **ret_ring);
void mg_refusal_ring_drop(struct mg_refusal_ring **ring);
/* `epoch` is mg_session_wanted_refusal_epoch(). Never fails; a NULL ring counts nothing. */
void mg_refusal_count(struct mg_refusal_ring *ring, uint64_t epoch, uint32_t tenant_id,
                      enum mg_refusal reason, struct mg_address client, mg_instant now);

#endif
