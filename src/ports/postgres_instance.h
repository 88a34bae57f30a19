/* One PostgreSQL instance of ours: its directories, initdb, generated configuration, and how to
 * find, probe and stop it. Starting is the launcher's: mg_instance_program() gives the arguments.
 *
 *   DIR/postgres/NAME/postgresql.conf, pg_hba.conf   ours; the server may only read them
 *   DIR/postgres/NAME/data/                          the server's own
 *   RUN/postgres/NAME/                               unix socket for our processes
 *   RUN/app/…/socket/                                a second one that only the app's group reaches
 *
 * Every login needs scram-sha-256 on a socket; pg_hba.conf has a line per role and database, and
 * refuses the rest. There is no trust, peer or ident line at all. */
#ifndef MG_PORTS_POSTGRES_INSTANCE_H
#define MG_PORTS_POSTGRES_INSTANCE_H

#include "ports/program.h"

#define MG_INSTANCE_NAME 48
#define MG_INSTANCE_ROLES_MOST 16
#define MG_INSTANCE_SUPERUSER "masugata_super"

struct mg_instance_role {
    const char *role;     /* borrowed */
    const char *database; /* borrowed; "all" for every one */
};

struct mg_instance {
    char name[MG_INSTANCE_NAME];       /* "control", "tenant-7" */
    char directory[MG_PATH];           /* DIR/postgres/NAME */
    char data[MG_PATH];                /* DIR/postgres/NAME/data */
    char socket[MG_PATH];              /* RUN/postgres/NAME */
    char app_socket[MG_PATH];          /* empty for none */
    char log[MG_PATH];                 /* DIR/log/postgres/NAME.log */
    unsigned loopback_port;            /* 0: no TCP at all */
    char archive_command[MG_PATH * 2]; /* what saves a piece of the transaction log; empty: none is saved */
    unsigned archive_timeout_s;        /* at the latest after so long while something is written */
    bool small;                        /* 16 MB of shared buffers and 1 MiB WAL segments */
    uid_t uid;                         /* of the server; MG_SAME_UID when we are an ordinary user */
    gid_t gid;
    gid_t socket_group;     /* who may reach `socket`; MG_SAME_GID: only the server's group */
    gid_t app_socket_group; /* likewise for `app_socket` */
    struct mg_instance_role roles[MG_INSTANCE_ROLES_MOST]; /* the superuser is always there */
    size_t role_count;
};

/* Fills name and paths; everything else is zero or "same". INVALID for a name that is no name. */
CHECKED struct mg_status mg_instance_layout(const char *directory, const char *runtime_directory,
                                            const char *name, struct mg_instance *ret_instance);

/* Makes directories, runs initdb if there is no data yet (the password becomes the superuser's),
 * and writes the configuration. May be repeated at any time, also after a crash half-way. */
CHECKED struct mg_status mg_instance_prepare(const struct mg_instance *instance,
                                             struct mg_view superuser_password);
bool mg_instance_exists(const struct mg_instance *instance);

/* The fixed argument list; `storage` must live as long as the program is used. */
struct mg_instance_arguments {
    char configuration[MG_PATH + 32], authentication[MG_PATH + 32], data[MG_PATH];
    const char *list[12];
};
struct mg_program mg_instance_program(const struct mg_instance *instance,
                                      struct mg_instance_arguments *storage);

/* pg_checksums(1) of the same version. */
const char *mg_instance_checksums_program(void);
const char *mg_instance_dump_program(void); /* pg_dump of the same version */

/* The running server of this data directory, also one that another process started; NOT_FOUND if
 * none runs. Looks at what the process is, not only at what postmaster.pid says. */
CHECKED struct mg_status mg_instance_find(const struct mg_instance *instance,
                                          struct mg_process_mark *ret_mark);
/* Waits until it answers; UNAVAILABLE if it does not within timeout_ms, or ended. */
CHECKED struct mg_status mg_instance_await(const struct mg_instance *instance,
                                           const struct mg_process_mark *mark, int timeout_ms);
/* Ends sessions and shuts down with a checkpoint; after timeout_ms immediately (it recovers from
 * its WAL at the next start). OK if none runs. */
CHECKED struct mg_status mg_instance_stop(const struct mg_instance *instance, int timeout_ms);
/* Reads the configuration again. */
CHECKED struct mg_status mg_instance_reload(const struct mg_instance *instance);

/* The generated files, for tests and for the probes that compare them with what is there. */
CHECKED struct mg_status mg_instance_configuration(const struct mg_instance *instance,
                                                   struct mg_buffer *text);
CHECKED struct mg_status mg_instance_authentication(const struct mg_instance *instance,
                                                    struct mg_buffer *text);

#endif
