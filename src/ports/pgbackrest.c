#include "ports/pgbackrest.h"

#include "domain/backup_plan.h"

#include <stdio.h>

/* A quotation mark, a line break or a percent sign means something to the shell, to PostgreSQL or in the
 * file. */
static bool
path_is_plain(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *at = path; *at != '\0'; at++)
        if (*at <= ' ' || *at == 0x7f || strchr("'\"\\%$`#=[];&|<>*?", *at) != NULL)
            return false;
    return true;
}

struct mg_status
mg_pgbackrest_layout(const char *directory, const char *runtime_directory, const char *near_path,
                     const char *name, struct mg_pgbackrest *ret_layout)
{
    struct mg_pgbackrest layout = {.name = ""};
    char part[96], near[MG_PATH];
    TRY(mg_view_copy(mg_view_text(name), layout.name, sizeof layout.name));
    if (near_path == NULL || near_path[0] == '\0')
        TRY(mg_path_join(near, directory, "backup/near"));
    else
        TRY(mg_view_copy(mg_view_text(near_path), near, sizeof near));
    TRY(mg_path_join(layout.repository, near, name));
    (void) snprintf(part, sizeof part, "backup/%s", name);
    TRY(mg_path_join(layout.directory, runtime_directory, part));
    (void) snprintf(part, sizeof part, "postgres/%s/data", name);
    TRY(mg_path_join(layout.data, directory, part));
    (void) snprintf(part, sizeof part, "postgres/%s", name);
    TRY(mg_path_join(layout.socket, runtime_directory, part));
    TRY(mg_path_join(layout.configuration, layout.directory, "pgbackrest.conf"));
    TRY(mg_path_join(layout.passwords, layout.directory, "pgpass"));
    TRY(mg_path_join(layout.locks, layout.directory, "lock"));
    TRY(mg_path_join(layout.info, layout.directory, "info.json"));
    TRY(mg_path_join(layout.progress, layout.directory, "progress.json"));
    TRY(mg_path_join(layout.files, layout.directory, "files"));
    const char *const paths[] = {layout.repository, layout.directory, layout.data, layout.socket};
    for (size_t i = 0; i < MG_COUNT(paths); i++)
        if (!path_is_plain(paths[i]))
            return fail_with(
                INVALID,
                "backups need absolute paths without blanks, quotation marks and what a shell reads: %s",
                paths[i]);
    *ret_layout = layout;
    return OK;
}

/* Control: BACKUP_10 */
struct mg_status
mg_pgbackrest_configuration(const struct mg_pgbackrest *layout, struct mg_view passphrase,
                            struct mg_buffer *text)
{
    if (passphrase.length < 32)
        return fail_with(INVALID, "the passphrase of %s is too short", layout->name);
    TRY(mg_buffer_format(text, "[global]\nrepo1-path=%s\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=",
                         layout->repository));
    TRY(mg_buffer_add(text, passphrase));
    TRY(mg_buffer_format(
        text,
        "\nrepo1-bundle=y\n"
        /* Nothing goes by itself: see mg_backup_expired(). */
        "expire-auto=n\nrepo1-retention-full-type=count\nrepo1-retention-full=9999999\n"
        "start-fast=y\ncompress-type=lz4\nprocess-max=1\njob-retry=0\narchive-timeout=120\n"
        "lock-path=%s\nspool-path=%s\nlog-level-file=off\nlog-level-console=off\nlog-level-stderr=error\n"
        "log-timestamp=n\n",
        layout->locks, layout->locks));
    return mg_buffer_format(text,
                            "[%s]\npg1-path=%s\npg1-socket-path=%s\npg1-port=5432\npg1-user=" MG_BACKUP_ROLE
                            "\npg1-database=postgres\n",
                            layout->name, layout->data, layout->socket);
}

struct mg_status
mg_pgbackrest_passwords(struct mg_view password, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, "*:*:*:" MG_BACKUP_ROLE ":"));
    TRY(mg_buffer_add(text, password)); /* base64url: nothing to escape */
    return mg_buffer_add_byte(text, '\n');
}

/* Control: BACKUP_03, BACKUP_08 */
struct mg_status
mg_pgbackrest_archive_command(const struct mg_pgbackrest *layout, struct mg_buffer *text)
{
    return mg_buffer_format(text, MG_PGBACKREST " --config=%s --stanza=%s archive-push \"%%p\"",
                            layout->configuration, layout->name);
}

/* The words after the configuration and the stanza; "%s" stands for --set=LABEL (left out without one), "%n"
 * for the number of full backups that keep their log. */
static const char *const verbs[MG_PGBACKREST_VERB_COUNT][6] = {
    [MG_PGBACKREST_CREATE] = {"stanza-create"},
    [MG_PGBACKREST_FULL] = {"backup", "--type=full"},
    [MG_PGBACKREST_DIFFERENTIAL] = {"backup", "--type=diff"},
    [MG_PGBACKREST_INFO] = {"info", "--output=json"},
    [MG_PGBACKREST_PROGRESS] = {"info", "--output=json"},
    [MG_PGBACKREST_EXPIRE] = {"expire", "%s", "%n"},
};

struct mg_status
mg_pgbackrest_program(const struct mg_pgbackrest *layout, enum mg_pgbackrest_verb verb, struct mg_view label,
                      uint64_t number, struct mg_pgbackrest_arguments *storage,
                      struct mg_program *ret_program)
{
    if (verb <= MG_PGBACKREST_NONE || verb >= MG_PGBACKREST_VERB_COUNT ||
        (label.length != 0 && !mg_backup_label_is_valid(label)) ||
        (verb == MG_PGBACKREST_EXPIRE && (number == 0 || number > 100000)))
        return fail_with(INVALID, "pgBackRest for %s", layout->name);
    (void) snprintf(storage->configuration, sizeof storage->configuration, "--config=%s",
                    layout->configuration);
    (void) snprintf(storage->stanza, sizeof storage->stanza, "--stanza=%s", layout->name);
    (void) snprintf(storage->set, sizeof storage->set, "--set=%.*s", (int) label.length,
                    (const char *) label.bytes);
    (void) snprintf(storage->retention, sizeof storage->retention, "--repo1-retention-archive=%llu",
                    (unsigned long long) number);
    (void) snprintf(storage->passwords, sizeof storage->passwords, "PGPASSFILE=%s", layout->passwords);
    size_t count = 0;
    storage->list[count++] = MG_PGBACKREST;
    storage->list[count++] = storage->configuration;
    storage->list[count++] = storage->stanza;
    for (size_t i = 0; i < MG_COUNT(verbs[verb]) && verbs[verb][i] != NULL; i++) {
        const char *word = verbs[verb][i];
        if (strcmp(word, "%s") == 0 && label.length == 0)
            continue;
        storage->list[count++] = strcmp(word, "%s") == 0   ? storage->set
                                 : strcmp(word, "%n") == 0 ? storage->retention
                                                           : word;
    }
    storage->list[count] = NULL;
    const char *const environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", storage->passwords,
                                       NULL};
    memcpy(storage->environment, environment, sizeof environment);
    *ret_program = (struct mg_program){.arguments = storage->list,
                                       .environment = storage->environment,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = -1,
                                       .ends_with_caller = true};
    return OK;
}

void
mg_pgbackrest_digests(const struct mg_pgbackrest *layout, uint64_t since_s,
                      struct mg_digest_arguments *storage, struct mg_program *ret_program)
{
    (void) snprintf(storage->since, sizeof storage->since, "@%llu", (unsigned long long) since_s);
    /* A file has its own name only once it is whole. What pgBackRest writes anew is always looked at: a
     * file's time is the disk's, which may be another machine's. */
    const char *const list[] = {"/usr/bin/find",
                                layout->repository,
                                "-type",
                                "f",
                                "!",
                                "-name",
                                "*.pgbackrest.tmp",
                                "(",
                                "-newermt",
                                storage->since,
                                "-o",
                                "-name",
                                "*.info",
                                "-o",
                                "-name",
                                "*.info.copy",
                                ")",
                                "-exec",
                                "/usr/bin/sha256sum",
                                "--zero",
                                "{}",
                                "+",
                                NULL};
    memcpy(storage->list, list, sizeof list);
    *ret_program = (struct mg_program){.arguments = storage->list,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = -1,
                                       .ends_with_caller = true};
}

struct mg_status
mg_pgbackrest_restore(const struct mg_pgbackrest *layout, const char *repository, const char *data,
                      mg_instant target, struct mg_restore_arguments *storage, struct mg_program *ret_program)
{
    char at[MG_INSTANT_TEXT];
    if (!path_is_plain(data) || (repository != NULL && !path_is_plain(repository)))
        return fail_with(INVALID, "a restore to %s", data);
    TRY(mg_pgbackrest_program(layout, MG_PGBACKREST_INFO, MG_VIEW_EMPTY, 0, &storage->common, ret_program));
    mg_instant_text(target, at);
    (void) snprintf(storage->data, sizeof storage->data, "--pg1-path=%s", data);
    /* 2026-11-22 18:38:11.123+00, as PostgreSQL reads it */
    (void) snprintf(storage->target, sizeof storage->target, "--target=%.10s %.12s+00", at, at + 11);
    const char *const list[] = {MG_PGBACKREST,
                                storage->common.configuration,
                                storage->common.stanza,
                                storage->data,
                                "--type=time",
                                storage->target,
                                "--target-action=promote",
                                "--archive-mode=off",
                                "restore",
                                NULL,
                                NULL};
    memcpy(storage->list, list, sizeof list);
    if (repository != NULL) {
        (void) snprintf(storage->repository, sizeof storage->repository, "--repo1-path=%s", repository);
        storage->list[MG_COUNT(list) - 2] = storage->repository;
    }
    ret_program->arguments = storage->list;
    return OK;
}

struct mg_status
mg_pgbackrest_open(const struct mg_pgbackrest *layout, struct mg_view passphrase,
                   struct mg_open_arguments *storage, struct mg_program *ret_program)
{
    static const char variable[] = "PGBACKREST_REPO1_CIPHER_PASS=";
    TRY(mg_pgbackrest_program(layout, MG_PGBACKREST_INFO, MG_VIEW_EMPTY, 0, &storage->common, ret_program));
    (void) snprintf(storage->path, sizeof storage->path, "backup/%s/backup.info", layout->name);
    const char *const list[] = {MG_PGBACKREST,          storage->common.configuration,
                                storage->common.stanza, "repo-get",
                                storage->path,          NULL};
    memcpy(storage->list, list, sizeof list);
    ret_program->arguments = storage->list;
    if (passphrase.length == 0)
        return OK;
    if (passphrase.length >= sizeof storage->passphrase - sizeof variable)
        return fail_with(INVALID, "a passphrase of %zu bytes", passphrase.length);
    (void) snprintf(storage->passphrase, sizeof storage->passphrase, "%s%.*s", variable,
                    (int) passphrase.length, (const char *) passphrase.bytes);
    size_t count = 0;
    while (storage->common.environment[count] != NULL && count < MG_COUNT(storage->environment) - 2) {
        storage->environment[count] = storage->common.environment[count];
        count++;
    }
    storage->environment[count++] = storage->passphrase;
    storage->environment[count] = NULL;
    ret_program->environment = storage->environment;
    return OK;
}

void
mg_pgbackrest_sealed(const struct mg_pgbackrest *layout, struct mg_sealed_arguments *storage,
                     struct mg_program *ret_program)
{
    const char *const list[] = {"/usr/bin/find",
                                layout->repository,
                                "-type",
                                "f",
                                "-size",
                                "+0c",
                                "!",
                                "-name",
                                "*.pgbackrest.tmp",
                                "-exec",
                                "/usr/bin/grep",
                                "--count",
                                "--with-filename",
                                "--null",
                                "--text",
                                "--null-data",
                                "--max-count=1",
                                "^Salted__",
                                "{}",
                                "+",
                                NULL};
    memcpy(storage->list, list, sizeof list);
    *ret_program = (struct mg_program){.arguments = storage->list,
                                       .uid = MG_SAME_UID,
                                       .gid = MG_SAME_GID,
                                       .output_fd = -1,
                                       .ends_with_caller = true};
}
