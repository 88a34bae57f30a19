/* audit: the append-only log of the deployment. One sequencer thread owns the store: handlers put
 * events into its queue, it encrypts, commits, lets keys sign, answers and publishes.
 *
 *   main.c       start, handlers' table      sequencer.c  queue, group commit, signing
 *   month_keys.c keys per tenant and month   entry.c      an event as a leaf, and back
 *   index.c      what search looks at first  read.c       audit_read, audit_proof, audit_state
 *   retention.c  erases what is old enough */
#ifndef MG_PROCESS_AUDIT_H
#define MG_PROCESS_AUDIT_H

#include "base/io.h"
#include "domain/merkle.h"
#include "process/runtime/runtime.h"
#include "wire/events.h"

/* ---- month keys (month_keys.c); any thread ---- */
/* From memory, or from keys. NOT_FOUND once the key was destroyed. */
CHECKED struct mg_status mg_month_key(uint64_t tenant, uint32_t month, uint8_t ret_key[32]);
/* After its key was destroyed. */
void mg_month_key_forget(uint64_t tenant, uint32_t month);
/* 202611 for a moment in November 2026, UTC. */
uint32_t mg_month_of(mg_instant instant);

/* ---- entries (entry.c); any thread ---- */
/* Appends the leaf of an event, stamped with sender and time. */
CHECKED struct mg_status mg_entry_seal(const struct mg_request_audit_append *request, enum mg_process sender,
                                       mg_instant time, struct mg_buffer *leaf);
/* Appends the event's JSON, or a stand-in that says it was erased. */
CHECKED struct mg_status mg_entry_open(struct mg_view leaf, struct mg_buffer *json);

/* ---- the index (index.c): one row an entry, rebuilt from the log when it is lost ---- */
struct mg_index_row {
    int64_t time;
    uint64_t tenant;
    uint16_t event; /* 0: not known, as for an erased entry */
    uint8_t outcome, known;
    uint8_t unused[4];
};
struct mg_entry_index;
/* Rows that are missing for a log of `size` entries in log_directory are read from it. */
CHECKED struct mg_status mg_index_open(const char *path, const char *log_directory, uint64_t size,
                                       struct mg_entry_index **ret_index);
/* By the sequencer only. On a full disk rows are lost, and found again at the next start. */
void mg_index_add(struct mg_entry_index *index, uint64_t entry, const struct mg_index_row *row);
/* By any thread, for entries below the published size; a row never written is all zero. */
struct mg_index_row mg_index_get(const struct mg_entry_index *index, uint64_t entry);

/* ---- the sequencer (sequencer.c) ---- */
/* Opens the store (its syncing thread may only run behind the seal), learns the public key and the last
 * signed checkpoint from keys, signs the first one, and starts. */
CHECKED struct mg_status mg_sequencer_start(const struct mg_environment *environment);
/* Waits for the published files to be complete. */
void mg_sequencer_stop(const struct mg_environment *environment);
/* Takes the call over; it is answered when the event is durable and in a signed tree. */
CHECKED struct mg_status mg_sequencer_put(const struct mg_request_audit_append *request,
                                          struct mg_call *call);
/* An event of audit's own; nobody waits for it. */
void mg_sequencer_note(enum mg_event event, enum mg_audit_outcome outcome, const char *target,
                       const char *reason);

/* What was last published, at least everything answered for before (unless the disk is full); safe from any
 * thread. */
struct mg_audit_view {
    uint64_t size;
    struct mg_hash root;
    uint64_t free_bytes;
    bool ordinary_refused, privileged_refused;
    const struct mg_entry_index *index;
    char log_directory[MG_PATH];
};
void mg_sequencer_view(struct mg_audit_view *ret_view);

/* Every second: now and then destroys the keys of months that audit.retention has passed. */
void mg_retention_tick(mg_instant now);

MG_HANDLER_DECLARE(audit_append)
MG_HANDLER_DECLARE(audit_read)
MG_HANDLER_DECLARE(audit_proof)
MG_HANDLER_DECLARE(audit_state)

#endif
