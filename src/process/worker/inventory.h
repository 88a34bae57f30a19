/* Is the repository what we left there? Every file by its digest, the transaction log without a gap. */
#ifndef MG_WORKER_INVENTORY_H
#define MG_WORKER_INVENTORY_H

#include "process/worker/backup.h"

/* What of a repository counts. */
struct inventory_scope {
    const char *name; /* of the instance */
    uint64_t tenant;
    const struct mg_backup_info *info;
    uint32_t segment_bytes;
    char log_from[MG_WAL_NAME]; /* from there on nothing of the log may be missing; "": nothing is needed */
    char log_last[MG_WAL_NAME]; /* the last that PostgreSQL says was saved; "" */
    const char *destroyed;      /* the label of a backup that we destroy; NULL: none */
};

struct inventory_finding {
    mg_instant at;
    uint64_t files, segments, problems;
    enum mg_backup_trouble trouble; /* the worst */
    char detail[256];               /* what of it: a path, a segment */
    char chain_from[MG_WAL_NAME];   /* the oldest segment from which none is missing up to the newest */
};

/* Takes up what is new, after a backup was taken or destroyed; *ret_verified_at: the last check, 0 for none.
 */
CHECKED struct mg_status inventory_update(const struct inventory_scope *scope, mg_instant *ret_verified_at);
/* Before the backup `destroyed` is: it, and those that build on it, are no longer asked for. Every other that
 * was once seen whole is, also when pgBackRest no longer speaks of it. INTEGRITY. */
CHECKED struct mg_status inventory_forget(const struct inventory_scope *scope);
/* Is there a backup in the list, whether or not the list is still as we wrote it? A list that cannot be read
 * says nothing: it fails. */
CHECKED struct mg_status inventory_knows_backups(const char *name, bool *ret_knows);
/* Does pgBackRest still speak of every backup that is in the list? Where it does not, one was lost, and
 * nothing may be destroyed elsewhere that only the list says is not needed. */
CHECKED struct mg_status inventory_agrees(const char *name, const struct mg_backup_info *info,
                                          bool *ret_agrees);
/* Looks at every byte. What is wrong stays wrong until it is accepted: then what is there now is what counts.
 */
CHECKED struct mg_status inventory_verify(const struct inventory_scope *scope, bool accept,
                                          struct inventory_finding *ret_finding);

#endif
