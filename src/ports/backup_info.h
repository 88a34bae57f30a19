/* What `pgbackrest info --output=json` says of one stanza. */
#ifndef MG_PORTS_BACKUP_INFO_H
#define MG_PORTS_BACKUP_INFO_H

#include "domain/backup_plan.h"

#define MG_BACKUPS_MOST 4096 /* of one instance: a backup an hour for five months */

struct mg_backup_info {
    struct mg_backup *backups; /* oldest first; owned */
    size_t count;
    char cipher[32];                                    /* "aes-256-cbc" */
    char system_identifier[32];                         /* of the newest database of the stanza */
    char wal_first[MG_WAL_NAME], wal_last[MG_WAL_NAME]; /* "" without any */
    bool running;                                       /* somebody takes a backup */
    uint64_t done_bytes, all_bytes;                     /* of that one; 0 when not known */
};
void mg_backup_info_drop(struct mg_backup_info *info);

/* MALFORMED for anything that does not look like it, INVALID for another stanza's. A stanza that was not made
 * yet gives no backups. */
CHECKED struct mg_status mg_backup_info_read(struct mg_view json, const char *stanza,
                                             struct mg_backup_info *ret_info);

#endif
