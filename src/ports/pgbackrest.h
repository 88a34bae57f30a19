/* pgBackRest 2.45 as Masugata uses it: one repository directory, one passphrase and one configuration file an
 * instance, so that whoever holds one tenant's has nothing of another's. What it may be asked is a verb with
 * a fixed argument list.
 *
 *   DIR/backup/near/NAME/       the repository (backup.near.path moves it): AES-256-CBC, not authenticated
 *   RUN/backup/NAME/            pgbackrest.conf (passphrase) and pgpass, for the database uid alone; locks
 *
 * What its commands are worth was measured: `verify` says ok with a log segment missing and with damaged
 * files, so nothing here relies on it; `expire` is told each backup by name. */
#ifndef MG_PORTS_PGBACKREST_H
#define MG_PORTS_PGBACKREST_H

#include "base/time.h"
#include "ports/program.h"

#define MG_PGBACKREST "/usr/bin/pgbackrest"
#define MG_BACKUP_ROLE "masugata_backup"
#define MG_BACKUP_NEAR "near" /* the repository's name in keys and lists */

enum mg_pgbackrest_verb {
    MG_PGBACKREST_NONE = 0,
    MG_PGBACKREST_CREATE,       /* the stanza; may be repeated */
    MG_PGBACKREST_FULL,         /* a backup */
    MG_PGBACKREST_DIFFERENTIAL, /* likewise */
    MG_PGBACKREST_INFO,         /* JSON, to the file RUN/backup/NAME/info.json */
    MG_PGBACKREST_PROGRESS,     /* the same to progress.json, for who waits */
    MG_PGBACKREST_EXPIRE,       /* the backup named (none: only the log that nothing needs) */
    MG_PGBACKREST_VERB_COUNT
};

struct mg_pgbackrest {
    char name[48];            /* of the instance, and of its stanza */
    char directory[MG_PATH];  /* RUN/backup/NAME */
    char repository[MG_PATH]; /* DIR/backup/near/NAME */
    char data[MG_PATH];       /* DIR/postgres/NAME/data */
    char socket[MG_PATH];     /* RUN/postgres/NAME */
    char configuration[MG_PATH], passwords[MG_PATH], locks[MG_PATH], info[MG_PATH], progress[MG_PATH],
        files[MG_PATH]; /* in directory */
};

/* `near_path` as the option: empty for the usual place. INVALID for a path that the configuration file or a
 * shell command could misread. */
CHECKED struct mg_status mg_pgbackrest_layout(const char *directory, const char *runtime_directory,
                                              const char *near_path, const char *name,
                                              struct mg_pgbackrest *ret_layout);

/* pgbackrest.conf and the file with the password of MG_BACKUP_ROLE. Secret. */
CHECKED struct mg_status mg_pgbackrest_configuration(const struct mg_pgbackrest *layout,
                                                     struct mg_view passphrase, struct mg_buffer *text);
CHECKED struct mg_status mg_pgbackrest_passwords(struct mg_view password, struct mg_buffer *text);

/* PostgreSQL's archive_command. */
CHECKED struct mg_status mg_pgbackrest_archive_command(const struct mg_pgbackrest *layout,
                                                       struct mg_buffer *text);

/* The fixed argument list; `storage` must live as long as the program is used. `label` is checked
 * (mg_backup_label_is_valid), "" for none. */
struct mg_pgbackrest_arguments {
    char configuration[MG_PATH + 16], stanza[64], set[80], retention[64], passwords[MG_PATH + 16];
    const char *list[20], *environment[8];
};
CHECKED struct mg_status mg_pgbackrest_program(const struct mg_pgbackrest *layout,
                                               enum mg_pgbackrest_verb verb, struct mg_view label,
                                               uint64_t number, struct mg_pgbackrest_arguments *storage,
                                               struct mg_program *ret_program);

/* Into another, empty directory, as it was at `target`; the server that is started there replays the log up
 * to that moment, and saves none. `repository`: another than its own, the log then comes from there as well;
 * NULL for its own. */
struct mg_restore_arguments {
    struct mg_pgbackrest_arguments common;
    char data[MG_PATH + 16], target[64], repository[MG_PATH + 16];
    const char *list[20];
};
CHECKED struct mg_status mg_pgbackrest_restore(const struct mg_pgbackrest *layout, const char *repository,
                                               const char *data, mg_instant target,
                                               struct mg_restore_arguments *storage,
                                               struct mg_program *ret_program);

/* The digests of its files that changed since then, and of those that pgBackRest writes anew, by find(1) and
 * sha256sum(1); `since` is filled. */
struct mg_digest_arguments {
    char since[32];
    const char *list[28];
};
void mg_pgbackrest_digests(const struct mg_pgbackrest *layout, uint64_t since_s,
                           struct mg_digest_arguments *storage, struct mg_program *ret_program);

/* Reads the list of its backups, without which nothing is restored, with another passphrase than its own when
 * one is given (secret). MG_PGBACKREST_NOT_THE_KEY is how it ends then. */
enum { MG_PGBACKREST_NOT_THE_KEY = 95 };
struct mg_open_arguments {
    struct mg_pgbackrest_arguments common;
    char path[96], passphrase[128];
    const char *list[8], *environment[8];
};
CHECKED struct mg_status mg_pgbackrest_open(const struct mg_pgbackrest *layout, struct mg_view passphrase,
                                            struct mg_open_arguments *storage,
                                            struct mg_program *ret_program);

/* Of each of its files, by find(1) and grep(1): "PATH", NUL, "1" if it begins as encrypted files do
 * ("Salted__", OpenSSL's enc(1)) and "0" otherwise, line feed. It ends with 0, or with 1 when there is one of
 * the others. */
struct mg_sealed_arguments {
    const char *list[24];
};
void mg_pgbackrest_sealed(const struct mg_pgbackrest *layout, struct mg_sealed_arguments *storage,
                          struct mg_program *ret_program);

#endif
