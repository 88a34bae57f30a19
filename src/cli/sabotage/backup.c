/* Breaks of the controls about backups. The stage's first tenant has the plan "frequent", the second
 * "days90", Masugata's own database "year". What lies in a repository is looked at once a day: a break orders
 * that look. */
#include "cli/backup.h"
#include "base/io.h"
#include "cli/sabotage/sabotage.h"
#include "domain/backup_order.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIRST,
    SECOND,
    OWN,
    ANSWER_MOST = 65536,
    COMMAND_MS = 60000,
    FLIPPED_BYTE = 100,
    FILE_MOST = 64 << 20
};

static void
instance_of(const struct mg_stage *stage, int whose, char name[64])
{
    if (whose == OWN)
        (void) snprintf(name, 64, "control");
    else
        (void) snprintf(name, 64, "tenant-%ju", (uintmax_t) stage->tenants[whose]);
}

static CHECKED struct mg_status
order(struct mg_stage *stage, int whose, enum mg_backup_order what)
{
    uint64_t number = 0;
    char result[512];
    const char *name = whose == OWN ? "" : stage->names[whose];
    TRY(mg_cli_backup_order(&stage->own, stage->admin, name, (uint64_t) what, 0, &number));
    return mg_cli_backup_await(&stage->own, stage->admin, name, number, result);
}

/* What is there now is what counts, once everything is back: between break and repair a full backup was taken
 * by itself, and what it wrote differs from what was kept. */
static CHECKED struct mg_status
accept(struct mg_stage *stage, int whose)
{
    return order(stage, whose, MG_BACKUP_ORDER_ACCEPT);
}

/* ---- finding files ---- */

static CHECKED struct mg_status
repository_path(const struct mg_stage *stage, int whose, const char *part, char path[MG_PATH])
{
    char instance[64], name[MG_PATH];
    instance_of(stage, whose, instance);
    const int length = snprintf(name, sizeof name, "backup/near/%s/%s%s%s", instance, part,
                                part[0] != '\0' ? "/" : "", part[0] != '\0' ? instance : "");
    return length < MG_PATH ? mg_stage_path(stage, name, path) : fail(TOO_LARGE);
}

/* The greatest name in a directory that begins like that and does not end like that. */
static CHECKED struct mg_status
newest_in(const char *directory, const char *first, const char *not_last, char path[MG_PATH])
{
    char best[256] = "";
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return fail_errno("open %s", directory);
    for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        const size_t length = strlen(entry->d_name), end = strlen(not_last);
        const bool left_out =
            end != 0 && length >= end && strcmp(entry->d_name + length - end, not_last) == 0;
        if (strchr(first, entry->d_name[0]) != NULL && !left_out && strcmp(entry->d_name, best) > 0)
            (void) snprintf(best, sizeof best, "%s", entry->d_name);
    }
    (void) closedir(entries);
    if (best[0] == '\0')
        return fail_with(NOT_FOUND, "nothing in %s", directory);
    return mg_path_join(path, directory, best);
}

static CHECKED struct mg_status
newest_backup(const struct mg_stage *stage, int whose, char path[MG_PATH])
{
    char directory[MG_PATH];
    TRY(repository_path(stage, whose, "backup", directory));
    return newest_in(directory, "2", "D", path);
}

/* archive/NAME/15-1/0000000100000000/000000010000000000000003-DIGEST.lz4 */
static CHECKED struct mg_status
newest_log(const struct mg_stage *stage, int whose, char path[MG_PATH])
{
    char directory[MG_PATH], version[MG_PATH], timeline[MG_PATH];
    TRY(repository_path(stage, whose, "archive", directory));
    TRY(newest_in(directory, "123456789", "", version));
    TRY(newest_in(version, "0123456789ABCDEF", "", timeline));
    return newest_in(timeline, "0123456789ABCDEF", ".backup", path);
}

/* ---- breaking files ---- */

static CHECKED struct mg_status
flip(struct mg_stage *stage, int whose, const char *file)
{
    char directory[MG_PATH], path[MG_PATH];
    OWN_BUFFER(bytes, FILE_MOST);
    TRY(newest_backup(stage, whose, directory));
    TRY(mg_path_join(path, directory, file));
    TRY(mg_stage_keep(stage, path));
    TRY(mg_buffer_add(&bytes, mg_buffer_view(&stage->saved)));
    if (bytes.length <= FLIPPED_BYTE)
        return fail_with(NOT_FOUND, "%s is too short", path);
    bytes.bytes[FLIPPED_BYTE] ^= 1;
    TRY(mg_stage_replace(stage, mg_buffer_view(&bytes)));
    return order(stage, whose, MG_BACKUP_ORDER_VERIFY);
}

static CHECKED struct mg_status
flip_back(struct mg_stage *stage, int whose)
{
    TRY(mg_stage_restore(stage));
    return accept(stage, whose);
}

#define FLIP_BREAK(name, whose, file)                      \
    struct mg_status break_##name(struct mg_stage *stage)  \
    {                                                      \
        return flip(stage, whose, file);                   \
    }                                                      \
    struct mg_status repair_##name(struct mg_stage *stage) \
    {                                                      \
        return flip_back(stage, whose);                    \
    }

FLIP_BREAK(full_flipped, FIRST, "bundle/1")
FLIP_BREAK(manifest_flipped, FIRST, "backup.manifest")
FLIP_BREAK(newest_flipped, SECOND, "bundle/1")

static CHECKED struct mg_status
take_away(struct mg_stage *stage, int whose,
          struct mg_status (*find)(const struct mg_stage *stage, int whose, char path[MG_PATH]))
{
    char path[MG_PATH];
    TRY(find(stage, whose, path));
    TRY(mg_stage_move(stage, path));
    return order(stage, whose, MG_BACKUP_ORDER_VERIFY);
}

static CHECKED struct mg_status
put_back(struct mg_stage *stage, int whose)
{
    TRY(mg_stage_moved_back(stage));
    return accept(stage, whose);
}

#define AWAY_BREAK(name, whose, find)                      \
    struct mg_status break_##name(struct mg_stage *stage)  \
    {                                                      \
        return take_away(stage, whose, find);              \
    }                                                      \
    struct mg_status repair_##name(struct mg_stage *stage) \
    {                                                      \
        return put_back(stage, whose);                     \
    }

AWAY_BREAK(log_piece_gone, SECOND, newest_log)
AWAY_BREAK(log_end_gone, FIRST, newest_log)
AWAY_BREAK(daily_gone, OWN, newest_backup)
AWAY_BREAK(kept_gone, SECOND, newest_backup)

/* ---- BACKUP_02, 03: the log ---- */

static CHECKED struct mg_status
superuser_sql(struct mg_stage *stage, int whose, const char *database, const char *sql)
{
    char instance[64];
    OWN_BUFFER(output, ANSWER_MOST);
    instance_of(stage, whose, instance);
    return mg_stage_sql(stage, instance, database, sql, &output); /* also reads the configuration again */
}

#define LOG_BREAK(name, whose)                                                                             \
    struct mg_status break_##name(struct mg_stage *stage)                                                  \
    {                                                                                                      \
        return superuser_sql(stage, whose, "postgres", "ALTER SYSTEM SET archive_command = '/bin/false'"); \
    }                                                                                                      \
    struct mg_status repair_##name(struct mg_stage *stage)                                                 \
    {                                                                                                      \
        return superuser_sql(stage, whose, "postgres", "ALTER SYSTEM RESET archive_command");              \
    }

LOG_BREAK(log_thrown_away, FIRST)
LOG_BREAK(own_log_thrown_away, OWN)

/* ---- BACKUP_05 ---- */

struct mg_status
break_list_forged(struct mg_stage *stage)
{
    char path[MG_PATH], digest[2 * 32 + 1], other[2 * 32 + 1];
    TRY(mg_stage_path(stage, "worker/backup/control.files", path));
    TRY(mg_stage_keep(stage, path));
    const char *line = strchr(mg_buffer_text(&stage->saved), '\n');
    if (line == NULL || strlen(line) < sizeof digest)
        return fail_with(MALFORMED, "%s", path);
    (void) snprintf(digest, sizeof digest, "%s", line + 1);
    memset(other, '0', sizeof other - 1);
    other[sizeof other - 1] = '\0';
    TRY(mg_stage_edit(stage, path, digest, other));
    return order(stage, OWN, MG_BACKUP_ORDER_VERIFY);
}

struct mg_status
repair_list_forged(struct mg_stage *stage)
{
    return flip_back(stage, OWN);
}

/* ---- BACKUP_06, 10: pgBackRest by hand, as the database uid ---- */

static CHECKED struct mg_status
pgbackrest(struct mg_stage *stage, int whose, const char *verb, const char *argument,
           struct mg_buffer *output)
{
    char instance[64], name[128], path[MG_PATH], configuration[MG_PATH + 16], stanza[80];
    struct stat info;
    instance_of(stage, whose, instance);
    (void) snprintf(name, sizeof name, "backup/%s/pgbackrest.conf", instance);
    TRY(mg_stage_run_path(stage, name, path));
    if (lstat(path, &info) != 0)
        return fail_errno("look at %s", path);
    (void) snprintf(configuration, sizeof configuration, "--config=%s", path);
    (void) snprintf(stanza, sizeof stanza, "--stanza=%s", instance);
    const char *const arguments[] = {"/usr/bin/pgbackrest", configuration, stanza, verb, argument, NULL};
    const struct mg_program program = {.arguments = arguments,
                                       .uid = geteuid() == 0 ? info.st_uid : MG_SAME_UID,
                                       .gid = geteuid() == 0 ? info.st_gid : MG_SAME_GID,
                                       .output_fd = -1,
                                       .ends_with_caller = true};
    return mg_program_succeed(&program, COMMAND_MS, output);
}

struct mg_status
break_expired_by_hand(struct mg_stage *stage)
{
    char path[MG_PATH], set[80];
    OWN_BUFFER(output, ANSWER_MOST);
    TRY(newest_backup(stage, SECOND, path));
    TRY(order(stage, SECOND, MG_BACKUP_ORDER_FULL)); /* the last one cannot go */
    (void) snprintf(set, sizeof set, "--set=%s", strrchr(path, '/') + 1);
    TRY(pgbackrest(stage, SECOND, "expire", set, &output));
    return order(stage, SECOND, MG_BACKUP_ORDER_VERIFY);
}

struct mg_status
repair_expired_by_hand(struct mg_stage *stage)
{
    return accept(stage, SECOND);
}

/* ---- BACKUP_07 ---- */

struct mg_status
break_table_left_out(struct mg_stage *stage)
{
    return superuser_sql(stage, FIRST, "app", "CREATE UNLOGGED TABLE left_out (n integer)");
}

struct mg_status
repair_table_left_out(struct mg_stage *stage)
{
    return superuser_sql(stage, FIRST, "app", "DROP TABLE left_out");
}

/* ---- BACKUP_09 ---- */

/* Where its server would write its log there is a way to nowhere. */
static CHECKED struct mg_status
copy_log_path(const struct mg_stage *stage, char path[MG_PATH])
{
    char name[64];
    (void) snprintf(name, sizeof name, "log/postgres/drill-%ju.log", (uintmax_t) stage->tenants[FIRST]);
    return mg_stage_path(stage, name, path);
}

struct mg_status
break_copy_cannot_start(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(copy_log_path(stage, path));
    if (access(path, F_OK) == 0) /* of the drill before */
        TRY(mg_stage_move(stage, path));
    if (symlink("/nowhere/drill.log", path) != 0)
        return fail_errno("make %s", path);
    const struct mg_status drilled = order(stage, FIRST, MG_BACKUP_ORDER_DRILL);
    return mg_ok(drilled) ? fail_with(REFUSED, "the drill held all the same") : OK;
}

struct mg_status
repair_copy_cannot_start(struct mg_stage *stage)
{
    char path[MG_PATH];
    TRY(copy_log_path(stage, path));
    if (unlink(path) != 0)
        return fail_errno("remove %s", path);
    TRY(mg_stage_moved_back(stage));
    return order(stage, FIRST, MG_BACKUP_ORDER_DRILL);
}

struct mg_status
break_return_slow(struct mg_stage *stage)
{
    char path[MG_PATH], line[128];
    TRY(mg_stage_path(stage, "worker/backup/control.drill", path));
    TRY(mg_stage_keep(stage, path));
    (void) snprintf(line, sizeof line, "masugata-drill 1 %jd 0 18000000 60000\n\n", (intmax_t) mg_now());
    TRY(mg_stage_replace(stage, mg_view_text(line)));
    return mg_stage_signal(stage, "worker", SIGKILL); /* it reads the file when it starts */
}

struct mg_status
repair_return_slow(struct mg_stage *stage)
{
    TRY(mg_stage_restore(stage));
    return mg_stage_signal(stage, "worker", SIGKILL);
}

/* ---- BACKUP_10 ---- */

static CHECKED struct mg_status
clear_path(const struct mg_stage *stage, int whose, char path[MG_PATH])
{
    char repository[MG_PATH];
    TRY(repository_path(stage, whose, "", repository));
    return mg_path_join(path, repository, "copy");
}

static CHECKED struct mg_status
clear_put(struct mg_stage *stage, int whose, struct mg_view bytes)
{
    char path[MG_PATH], repository[MG_PATH];
    struct stat info;
    TRY(clear_path(stage, whose, path));
    TRY(repository_path(stage, whose, "", repository));
    if (lstat(repository, &info) != 0)
        return fail_errno("look at %s", repository);
    TRY(mg_file_replace_owned(path, bytes, 0640, info.st_uid, info.st_gid));
    return order(stage, whose, MG_BACKUP_ORDER_VERIFY);
}

static CHECKED struct mg_status
clear_remove(struct mg_stage *stage, int whose)
{
    char path[MG_PATH];
    TRY(clear_path(stage, whose, path));
    if (unlink(path) != 0)
        return fail_errno("remove %s", path);
    return order(stage, whose, MG_BACKUP_ORDER_VERIFY);
}

struct mg_status
break_manifest_in_clear(struct mg_stage *stage)
{
    char path[MG_PATH], instance[64], name[256];
    OWN_BUFFER(text, FILE_MOST);
    instance_of(stage, FIRST, instance);
    TRY(newest_backup(stage, FIRST, path));
    (void) snprintf(name, sizeof name, "backup/%s/%s/backup.manifest", instance, strrchr(path, '/') + 1);
    TRY(pgbackrest(stage, FIRST, "repo-get", name, &text));
    return clear_put(stage, FIRST, mg_buffer_view(&text));
}

struct mg_status
repair_manifest_in_clear(struct mg_stage *stage)
{
    return clear_remove(stage, FIRST);
}

struct mg_status
break_table_in_clear(struct mg_stage *stage)
{
    char path[MG_PATH], name[128], instance[64];
    OWN_BUFFER(bytes, FILE_MOST);
    instance_of(stage, SECOND, instance);
    /* pg_class of the database "postgres", which every cluster has there (pg_database.oid 5). */
    (void) snprintf(name, sizeof name, "postgres/%s/data/base/5/1259", instance);
    TRY(mg_stage_path(stage, name, path));
    TRY(mg_file_read(path, &bytes));
    return clear_put(stage, SECOND, mg_buffer_view(&bytes));
}

struct mg_status
repair_table_in_clear(struct mg_stage *stage)
{
    return clear_remove(stage, SECOND);
}
