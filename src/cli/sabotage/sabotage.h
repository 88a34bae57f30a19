/* `masugata prove --sabotage`: shows that every probe can fail. It makes a deployment of its own (same
 * program, same policy, synthetic tenants, new keys, free ports, in a directory it created), breaks
 * each built control in two ways from outside, and demands green → exactly the expected reds → green.
 *
 * One row of sabotage.def is one break: SABOTAGE(control, name, expected, English, Japanese) with
 * break_<name>() and repair_<name>() in the file of its area. `expected` names the other controls
 * that this break must turn red as well, separated by spaces. The running deployment of --dir is
 * only read (its configuration is the policy that is copied). */
#ifndef MG_CLI_SABOTAGE_H
#define MG_CLI_SABOTAGE_H

#include "cli/cli.h"
#include "cli/prove.h"
#include "ports/program.h"

struct mg_stage {
    const struct mg_cli *cli; /* of the caller: language and output only */
    struct mg_cli own;        /* the same with --dir of the stage */
    char directory[512];
    char program[MG_PATH]; /* this program */
    struct mg_options *options;
    struct mg_admin *admin;
    uint64_t tenants[2]; /* numbers of the two synthetic tenants */
    char names[2][64];
    /* What the break in progress must put back. */
    char saved_path[MG_PATH];
    struct mg_buffer saved;
    struct stat saved_stat;
    pid_t stopped;
    char moved_path[MG_PATH]; /* a file or directory that lies aside */
};

/* A break that is one change of nginx.conf. */
#define NGINX_BREAK(name, ...)                             \
    struct mg_status break_##name(struct mg_stage *stage)  \
    {                                                      \
        return mg_stage_nginx(stage, __VA_ARGS__);         \
    }                                                      \
    struct mg_status repair_##name(struct mg_stage *stage) \
    {                                                      \
        return mg_stage_nginx_restore(stage);              \
    }

/* stage.c */
CHECKED struct mg_status mg_stage_make(const struct mg_cli *cli, struct mg_stage *stage);
/* Stops the deployment and removes the directory that mg_stage_make created. */
void mg_stage_drop(struct mg_stage *stage);
/* Runs `masugata <words…> --dir STAGE` and appends what it prints. `words` ends with NULL. */
CHECKED struct mg_status mg_stage_command(struct mg_stage *stage, const char *const *words,
                                          struct mg_buffer *output);

/* tools.c: ways to break things from outside */
/* Replaces the first occurrence of `from`, keeping a copy; NOT_FOUND if there is none. An empty
 * `from` puts `to` before the file. */
CHECKED struct mg_status mg_stage_edit(struct mg_stage *stage, const char *path, const char *from,
                                       const char *to);
/* Puts the last edited (or removed, or re-moded) file back as it was. */
CHECKED struct mg_status mg_stage_restore(struct mg_stage *stage);
/* Takes a file or directory away, to be put back by mg_stage_moved_back. */
CHECKED struct mg_status mg_stage_move(struct mg_stage *stage, const char *path);
CHECKED struct mg_status mg_stage_moved_back(struct mg_stage *stage);
/* Puts other bytes in the place of the file that is kept, with its owner and mode. */
CHECKED struct mg_status mg_stage_replace(struct mg_stage *stage, struct mg_view bytes);
/* Keeps a copy of the file, to be restored later. */
CHECKED struct mg_status mg_stage_keep(struct mg_stage *stage, const char *path);
/* The path below DIR, or below the runtime directory. */
CHECKED struct mg_status mg_stage_path(const struct mg_stage *stage, const char *name, char path[MG_PATH]);
CHECKED struct mg_status mg_stage_run_path(const struct mg_stage *stage, const char *name,
                                           char path[MG_PATH]);

/* A port of this machine that nobody listens on. */
CHECKED struct mg_status mg_stage_free_port(uint16_t *ret_port);

/* One change of a text: the first `from` after `after` (NULL: from the start) becomes `to`. */
struct mg_stage_change {
    const char *after, *from, *to;
};
/* nginx.conf: edit and reload; returns when workers with the new configuration run. TIMEOUT if nginx
 * does not take it. mg_stage_nginx_restore undoes all the changes of one call. */
CHECKED struct mg_status mg_stage_nginx_change(struct mg_stage *stage, const struct mg_stage_change *changes,
                                               size_t count);
CHECKED struct mg_status mg_stage_nginx_reload(struct mg_stage *stage);
CHECKED struct mg_status mg_stage_nginx(struct mg_stage *stage, const char *from, const char *to);
CHECKED struct mg_status mg_stage_nginx_restore(struct mg_stage *stage);

/* Whether the authority may replace the policy that the gate reads. */
CHECKED struct mg_status mg_stage_policy_directory(struct mg_stage *stage, bool writable);

/* One network in the policy that the gate reads becomes another wherever it stands (wire/policy_layout.h),
 * and the authority cannot put it right. Repaired by repair_policy_widened. */
enum { MG_STAGE_NETWORK = 24 };
CHECKED struct mg_status mg_stage_policy_network(struct mg_stage *stage,
                                                 const uint8_t narrow[MG_STAGE_NETWORK],
                                                 const uint8_t wide[MG_STAGE_NETWORK]);

/* The pid of one of our processes ("authority"), or of a child of the launcher ("nginx"). */
CHECKED struct mg_status mg_stage_pid(struct mg_stage *stage, const char *name, pid_t *ret_pid);
CHECKED struct mg_status mg_stage_signal(struct mg_stage *stage, const char *name, int number);
/* SIGSTOP, remembered for mg_stage_resume. */
CHECKED struct mg_status mg_stage_stop(struct mg_stage *stage, const char *name);
CHECKED struct mg_status mg_stage_resume(struct mg_stage *stage);

/* SQL as the superuser of an instance ("control", "tenant-1"): lets itself in through pg_hba.conf for
 * that moment, because nobody outside knows the password. */
CHECKED struct mg_status mg_stage_sql(struct mg_stage *stage, const char *instance, const char *database,
                                      const char *sql, struct mg_buffer *output);
/* The same in the control database, without an answer. */
CHECKED struct mg_status mg_stage_control_sql(struct mg_stage *stage, const char *sql);
/* Reads an instance's configuration again after an edit of its files. */
CHECKED struct mg_status mg_stage_instance_reload(struct mg_stage *stage, const char *instance);

struct mg_sabotage_row {
    enum mg_control control;
    const char *name, *expected;
    struct mg_words what;
    struct mg_status (*break_it)(struct mg_stage *stage);
    struct mg_status (*repair)(struct mg_stage *stage);
};

#define SABOTAGE(control, name, ...)                               \
    CHECKED struct mg_status break_##name(struct mg_stage *stage); \
    CHECKED struct mg_status repair_##name(struct mg_stage *stage);
#include "cli/sabotage/sabotage.def"
#undef SABOTAGE

/* run.c */
CHECKED struct mg_status mg_sabotage(const struct mg_cli *cli, bool *ret_proven);

#endif
