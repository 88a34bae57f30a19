/* The inventory of an instance's repository: the digest of every file of its backups and its log, bound by an
 * HMAC under a key of the tenant's. pgBackRest's own encryption says nothing of a file that was changed, its
 * `verify` nothing of one that is gone; what was measured is in ARCHITECTURE.md.
 *
 * DIR/worker/backup/NAME.files: a line "masugata-inventory 1 UPDATED VERIFIED SEGMENT" (milliseconds; before
 * SEGMENT, "-" for none, an operator has accepted that the log has gaps), then "DIGEST PATH" in the order of
 * paths, last "hmac DIGEST" over all before it. A file comes in when we first see it after it was made, which
 * is at the end of each backup, and at each check; it goes when we destroy its backup, or an operator accepts
 * that it is gone. */
#include "process/worker/inventory.h"

#include "base/io.h"
#include "base/log.h"
#include "domain/wal.h"
#include "ports/crypto.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    KEYS_MS = 15000,
    FILES_MS = 6 * 3600 * 1000 + 60000,
    LIST_MOST = 32 << 20,
    FILES_MOST = 400000,
    DIGEST = 64,
    SLACK_MS = 10000, /* clocks and time stamps of files */
};

struct file {
    struct mg_view digest, path;
};

/* Files in the order of their paths; the views borrow `text`. */
struct files {
    struct mg_buffer text;
    struct file *list;
    size_t count;
    mg_instant updated_at, verified_at;
    char accepted[MG_WAL_NAME]; /* gaps of the log before this segment are accepted; "" */
};
static void
files_drop(struct files *files)
{
    mg_buffer_drop(&files->text);
    free(files->list);
}
#define OWN_FILES(name) MG_CLEANUP(files_drop) struct files name = {.text = MG_BUFFER(LIST_MOST)}

static int
by_path(const void *one, const void *other)
{
    const struct file *a = one, *b = other;
    const size_t shorter = a->path.length < b->path.length ? a->path.length : b->path.length;
    const int order = memcmp(a->path.bytes, b->path.bytes, shorter);
    return order != 0 ? order : a->path.length < b->path.length ? -1 : a->path.length > b->path.length;
}

static const struct file *
file_find(const struct files *files, struct mg_view path)
{
    const struct file wanted = {.path = path};
    return files->count == 0 ? NULL : bsearch(&wanted, files->list, files->count, sizeof wanted, by_path);
}

static bool
begins_with(struct mg_view text, const char *start)
{
    return text.length >= strlen(start) && memcmp(text.bytes, start, strlen(start)) == 0;
}

static bool
ends_with(struct mg_view text, const char *end)
{
    const size_t length = strlen(end);
    return text.length >= length && memcmp(text.bytes + text.length - length, end, length) == 0;
}

static CHECKED struct mg_status
file_add(struct files *files, struct mg_view digest, struct mg_view path)
{
    if (files->count == FILES_MOST || digest.length != DIGEST || path.length == 0)
        return fail_with(MALFORMED, "a list of files");
    files->list[files->count++] = (struct file){.digest = digest, .path = path};
    return OK;
}

static CHECKED struct mg_status
files_allocate(struct files *files, char end)
{
    size_t lines = 0;
    for (size_t i = 0; i < files->text.length; i++)
        lines += files->text.bytes[i] == (uint8_t) end;
    files->list = calloc(lines + 1, sizeof *files->list);
    return files->list != NULL ? OK : fail(OUT_OF_MEMORY);
}

/* ---- which files count ---- */

/* The segment that a path of the archive is of; empty for other paths. */
static struct mg_view
segment_of(struct mg_view path)
{
    const uint8_t *slash = memrchr(path.bytes, '/', path.length);
    if (!begins_with(path, "archive/") || slash == NULL)
        return MG_VIEW_EMPTY;
    const size_t at = (size_t) (slash - path.bytes) + 1;
    if (path.length - at <= MG_WAL_NAME - 1 || path.bytes[at + MG_WAL_NAME - 1] != '-')
        return MG_VIEW_EMPTY;
    return mg_view_of(path.bytes + at, MG_WAL_NAME - 1);
}

static int
compare_name(struct mg_view segment, const char *name)
{
    return memcmp(segment.bytes, name, MG_WAL_NAME - 1);
}

/* Needed by a backup: from the beginning of the oldest that keeps its log on, and what an older one needs to
 * be whole. */
static bool
segment_counts(struct mg_view segment, const struct inventory_scope *scope)
{
    for (size_t i = 0; i < scope->info->count; i++) {
        const struct mg_backup *backup = &scope->info->backups[i];
        if (compare_name(segment, backup->wal_start) >= 0 && compare_name(segment, backup->wal_stop) <= 0)
            return true;
    }
    return scope->log_from[0] != '\0' && compare_name(segment, scope->log_from) >= 0;
}

static bool
backup_counts(struct mg_view path, const struct inventory_scope *scope)
{
    char start[128];
    (void) snprintf(start, sizeof start, "backup/%s/backup.", scope->name);
    if (begins_with(path, start))
        return true; /* backup.info, and the manifests in backup.history */
    for (size_t i = 0; i < scope->info->count; i++) {
        (void) snprintf(start, sizeof start, "backup/%s/%s/", scope->name, scope->info->backups[i].label);
        if (begins_with(path, start))
            return true;
    }
    return false; /* what a backup that was cut short left */
}

static bool
path_counts(struct mg_view path, const struct inventory_scope *scope)
{
    const struct mg_view segment = segment_of(path);
    if (segment.length != 0)
        return segment_counts(segment, scope);
    if (begins_with(path, "archive/"))
        return ends_with(path, ".info") || ends_with(path, ".info.copy");
    return backup_counts(path, scope);
}

/* Of what is known: pgBackRest forgets a backup whose directory is gone, we do not. Only a backup that it
 * spoke of once ever came in, none that was cut short. */
static bool
known_counts(struct mg_view path, const struct inventory_scope *scope)
{
    char start[128];
    const int length = snprintf(start, sizeof start, "backup/%s/%s", scope->name,
                                scope->destroyed != NULL ? scope->destroyed : "");
    if (!begins_with(path, "backup/"))
        return path_counts(path, scope);
    if (scope->destroyed == NULL || !begins_with(path, start) || path.length <= (size_t) length)
        return true;
    /* Those that build on it are named "LABEL_...", and go with it. */
    return path.bytes[length] != '/' && path.bytes[length] != '_';
}

/* pgBackRest writes these anew whenever we let it do something. */
static bool
path_changes(struct mg_view path)
{
    return ends_with(path, ".info") || ends_with(path, ".info.copy");
}

/* ---- what is there: by find and sha256sum, run by the launcher ---- */

static CHECKED struct mg_status
found_parse(const struct inventory_scope *scope, const char *repository, struct files *files)
{
    const size_t prefix = strlen(repository) + 1;
    TRY(files_allocate(files, '\0'));
    for (size_t at = 0; at < files->text.length;) {
        const char *line = (const char *) files->text.bytes + at;
        const size_t length = strnlen(line, files->text.length - at);
        /* "DIGEST  PATH" */
        if (length < DIGEST + 2 + prefix + 1 || memcmp(line + DIGEST + 2, repository, prefix - 1) != 0)
            return fail_with(MALFORMED, "the files of %s could not be read", scope->name);
        const struct mg_view path = mg_view_of(line + DIGEST + 2 + prefix, length - DIGEST - 2 - prefix);
        if (memchr(path.bytes, '\n', path.length) == NULL && path_counts(path, scope))
            TRY(file_add(files, mg_view_of(line, DIGEST), path));
        at += length + 1;
    }
    qsort(files->list, files->count, sizeof *files->list, by_path);
    return OK;
}

/* Those that changed since then (0: all). */
static CHECKED struct mg_status
files_look(const struct inventory_scope *scope, mg_instant since, struct files *files)
{
    struct mg_pgbackrest layout;
    struct mg_reply_backup_files reply;
    OWN_BUFFER(storage, 4096);
    const struct mg_environment *environment = mg_environment();
    const struct mg_request_backup_files request = {
        .name = mg_view_text(scope->name), .tenant = scope->tenant, .since_s = (uint64_t) (since / 1000)};
    TRY(mg_pgbackrest_layout(environment->directory, environment->runtime_directory,
                             environment->options->backup_near_path, scope->name, &layout));
    TRY(mg_call_backup_files(&request, &reply, &storage, FILES_MS));
    TRY(mg_file_read(layout.files, &files->text));
    return found_parse(scope, layout.repository, files);
}

/* ---- what is known ---- */

static CHECKED struct mg_status
key_take(const struct inventory_scope *scope, uint8_t key[MG_KEY_BYTES])
{
    OWN_BUFFER(storage, 1024);
    struct mg_reply_backup_key reply;
    const struct mg_request_backup_key request = {.tenant = scope->tenant,
                                                  .repository = mg_view_text(MG_BACKUP_NEAR)};
    TRY(mg_call_backup_key(&request, &reply, &storage, KEYS_MS));
    if (reply.inventory.length != MG_KEY_BYTES)
        return fail(INTEGRITY);
    memcpy(key, reply.inventory.bytes, MG_KEY_BYTES);
    return OK;
}

static CHECKED struct mg_status
mac_of(const struct inventory_scope *scope, struct mg_view text, char mac[DIGEST + 1])
{
    OWN_KEY(key, MG_KEY_BYTES);
    uint8_t hash[MG_HASH_BYTES];
    TRY(key_take(scope, key));
    TRY(mg_hmac_sha256(mg_view_of(key, sizeof key), text, hash));
    mg_hex(mg_view_of(hash, sizeof hash), mac);
    return OK;
}

static CHECKED struct mg_status
header_parse(struct mg_view line, struct files *files)
{
    static const char start[] = "masugata-inventory 1 ";
    uint64_t updated_at, verified_at;
    const size_t skip = sizeof start - 1;
    const uint8_t *space =
        begins_with(line, start) ? memchr(line.bytes + skip, ' ', line.length - skip) : NULL;
    if (space == NULL)
        return fail(MALFORMED);
    const size_t at = (size_t) (space - line.bytes);
    const uint8_t *last = memchr(space + 1, ' ', line.length - at - 1);
    if (last == NULL)
        return fail(MALFORMED);
    const size_t end = (size_t) (last - line.bytes);
    TRY(mg_parse_u64(mg_view_of(line.bytes + skip, at - skip), INT64_MAX, &updated_at));
    TRY(mg_parse_u64(mg_view_of(space + 1, end - at - 1), INT64_MAX, &verified_at));
    if (!mg_view_is(mg_view_of(last + 1, line.length - end - 1), "-"))
        TRY(mg_view_copy(mg_view_of(last + 1, line.length - end - 1), files->accepted,
                         sizeof files->accepted));
    files->updated_at = (mg_instant) updated_at;
    files->verified_at = (mg_instant) verified_at;
    return OK;
}

/* The text is authentic: only we wrote it. */
static CHECKED struct mg_status
known_parse(const struct inventory_scope *scope, size_t length, struct files *files)
{
    TRY(files_allocate(files, '\n'));
    bool header = true;
    for (size_t at = 0; at < length;) {
        const uint8_t *line = files->text.bytes + at, *end = memchr(line, '\n', length - at);
        if (end == NULL)
            return fail(MALFORMED);
        const size_t size = (size_t) (end - line);
        if (header)
            TRY(header_parse(mg_view_of(line, size), files));
        else if (size < DIGEST + 2)
            return fail(MALFORMED);
        else if (known_counts(mg_view_of(line + DIGEST + 1, size - DIGEST - 1), scope))
            TRY(file_add(files, mg_view_of(line, DIGEST), mg_view_of(line + DIGEST + 1, size - DIGEST - 1)));
        header = false;
        at += size + 1;
    }
    return OK;
}

/* NOT_FOUND if there is none yet; INTEGRITY if it is not what we wrote. */
static CHECKED struct mg_status
known_read(const struct inventory_scope *scope, struct files *files)
{
    static const char mark[] = "hmac ";
    enum { LAST = sizeof mark - 1 + DIGEST + 1 };
    char path[MG_PATH], mac[DIGEST + 1];
    TRY(backup_file_path(scope->name, "files", path));
    TRY(mg_file_read(path, &files->text));
    if (files->text.length <= LAST)
        return fail_with(INTEGRITY, "the inventory of %s is not what we wrote", scope->name);
    const size_t length = files->text.length - LAST;
    const uint8_t *last = files->text.bytes + length;
    TRY(mac_of(scope, mg_view_of(files->text.bytes, length), mac));
    if (memcmp(last, mark, sizeof mark - 1) != 0 ||
        !mg_view_equal_constant_time(mg_view_of(last + sizeof mark - 1, DIGEST), mg_view_text(mac)))
        return fail_with(INTEGRITY, "the inventory of %s is not what we wrote", scope->name);
    return known_parse(scope, length, files);
}

static CHECKED struct mg_status
known_write(const struct inventory_scope *scope, const struct files *files)
{
    char path[MG_PATH], mac[DIGEST + 1];
    OWN_BUFFER(text, LIST_MOST);
    TRY(backup_file_path(scope->name, "files", path));
    TRY(mg_buffer_format(&text, "masugata-inventory 1 %lld %lld %s\n", (long long) files->updated_at,
                         (long long) files->verified_at, files->accepted[0] != '\0' ? files->accepted : "-"));
    for (size_t i = 0; i < files->count; i++) {
        TRY(mg_buffer_add(&text, files->list[i].digest));
        TRY(mg_buffer_add_byte(&text, ' '));
        TRY(mg_buffer_add(&text, files->list[i].path));
        TRY(mg_buffer_add_byte(&text, '\n'));
    }
    TRY(mac_of(scope, mg_buffer_view(&text), mac));
    TRY(mg_buffer_format(&text, "hmac %s\n", mac));
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

/* ---- putting both together ---- */

/* What was known and what is new; of a path that is in both the known one, unless pgBackRest writes it anew
 * and `ours` says that we let it. The result borrows both. */
static CHECKED struct mg_status
merge(const struct files *known, const struct files *found, bool ours, struct files *ret_merged)
{
    ret_merged->list = calloc(known->count + found->count + 1, sizeof *ret_merged->list);
    if (ret_merged->list == NULL)
        return fail(OUT_OF_MEMORY);
    for (size_t i = 0; i < known->count; i++) {
        const struct file *fresh =
            ours && path_changes(known->list[i].path) ? file_find(found, known->list[i].path) : NULL;
        TRY(file_add(ret_merged, fresh != NULL ? fresh->digest : known->list[i].digest, known->list[i].path));
    }
    for (size_t i = 0; i < found->count; i++)
        if (file_find(known, found->list[i].path) == NULL)
            TRY(file_add(ret_merged, found->list[i].digest, found->list[i].path));
    qsort(ret_merged->list, ret_merged->count, sizeof *ret_merged->list, by_path);
    return OK;
}

struct mg_status
inventory_update(const struct inventory_scope *scope, mg_instant *ret_verified_at)
{
    OWN_FILES(known);
    OWN_FILES(found);
    OWN_FILES(merged);
    const mg_instant now = mg_now();
    const struct mg_status status = known_read(scope, &known);
    if (status.code == MG_NOT_FOUND)
        TRY(files_allocate(&known, '\n'));
    else
        TRY(status);
    /* After the clock was set back everything may be new. */
    const mg_instant since =
        known.updated_at < SLACK_MS || known.updated_at > now ? 0 : known.updated_at - SLACK_MS;
    TRY(files_look(scope, since, &found));
    TRY(merge(&known, &found, true, &merged));
    merged.updated_at = now;
    merged.verified_at = *ret_verified_at = known.verified_at;
    memcpy(merged.accepted, known.accepted, sizeof merged.accepted);
    return known_write(scope, &merged);
}

struct mg_status
inventory_forget(const struct inventory_scope *scope)
{
    OWN_FILES(known);
    const struct mg_status status = known_read(scope, &known);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    return known_write(scope, &known);
}

struct mg_status
inventory_knows_backups(const char *name, bool *ret_knows)
{
    char path[MG_PATH], start[80];
    OWN_BUFFER(text, LIST_MOST);
    *ret_knows = false;
    TRY(backup_file_path(name, "files", path));
    const struct mg_status status = mg_file_read(path, &text);
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    const size_t length = (size_t) snprintf(start, sizeof start, " backup/%s/", name);
    const uint8_t *end = text.bytes + text.length;
    for (const uint8_t *at = text.bytes; at < end && !*ret_knows; at++) {
        at = memmem(at, (size_t) (end - at), start, length);
        if (at == NULL || at + length >= end)
            break;
        *ret_knows = at[length] >= '0' && at[length] <= '9';
    }
    return OK;
}

struct mg_status
inventory_agrees(const char *name, const struct mg_backup_info *info, bool *ret_agrees)
{
    char path[MG_PATH], start[80];
    OWN_BUFFER(text, LIST_MOST);
    *ret_agrees = false;
    TRY(backup_file_path(name, "files", path));
    TRY(mg_file_read(path, &text));
    const size_t length = (size_t) snprintf(start, sizeof start, " backup/%s/", name);
    for (const char *at = mg_buffer_text(&text); (at = strstr(at, start)) != NULL;) {
        at += length;
        const size_t label = strcspn(at, "/\n");
        bool found = at[0] < '0' || at[0] > '9'; /* backup.info, backup.history */
        for (size_t i = 0; i < info->count && !found; i++)
            found = strlen(info->backups[i].label) == label && memcmp(info->backups[i].label, at, label) == 0;
        if (!found)
            return OK;
    }
    *ret_agrees = true;
    return OK;
}

/* ---- checking ---- */

static void
problem_note(struct inventory_finding *finding, enum mg_backup_trouble trouble, struct mg_view what)
{
    finding->problems++;
    if (trouble <= finding->trouble && finding->trouble != MG_BACKUP_TROUBLE_NONE)
        return;
    finding->trouble = trouble;
    (void) snprintf(finding->detail, sizeof finding->detail, "%.*s", (int) what.length,
                    (const char *) what.bytes);
}

static void
files_compare(const struct files *known, const struct files *found, struct inventory_finding *finding)
{
    for (size_t i = 0; i < known->count; i++) {
        const struct file *file = file_find(found, known->list[i].path);
        if (file == NULL)
            problem_note(finding,
                         segment_of(known->list[i].path).length != 0 ? MG_BACKUP_TROUBLE_GAP
                                                                     : MG_BACKUP_TROUBLE_MISSING,
                         known->list[i].path);
        else if (!mg_view_equal(file->digest, known->list[i].digest))
            problem_note(finding, MG_BACKUP_TROUBLE_CHANGED, known->list[i].path);
    }
}

static int
by_name(const void *one, const void *other)
{
    return memcmp(one, other, MG_WAL_NAME);
}

static bool
name_is_there(const char (*names)[MG_WAL_NAME], size_t count, const char *name)
{
    return count != 0 && bsearch(name, names, count, sizeof *names, by_name) != NULL;
}

/* Nothing may be missing from the beginning of a backup that keeps its log to the end of the archive; of the
 * others what makes them whole. */
static CHECKED struct mg_status
log_judge(const struct inventory_scope *scope, const char *accepted, const char (*names)[MG_WAL_NAME],
          size_t count, struct inventory_finding *finding)
{
    struct mg_wal_chain chain;
    const char *from = strcmp(accepted, scope->log_from) > 0 ? accepted : scope->log_from;
    /* What came while we were looking may be seen without what came just before it. */
    size_t settled = count;
    while (scope->log_last[0] != '\0' && settled > 0 && strcmp(names[settled - 1], scope->log_last) > 0)
        settled--;
    TRY(mg_wal_chain(names, settled, scope->segment_bytes, &chain));
    finding->segments = count;
    if (chain.first < settled)
        TRY(mg_view_copy(mg_view_text(names[chain.first]), finding->chain_from, sizeof finding->chain_from));
    if (from[0] != '\0' && (chain.first == settled || strcmp(finding->chain_from, from) > 0))
        problem_note(finding, MG_BACKUP_TROUBLE_GAP,
                     mg_view_text(chain.missing[0] != '\0' ? chain.missing : from));
    /* Before there is a backup no log counts: what is there is nothing's continuation. */
    if (scope->info->count != 0 && scope->log_last[0] != '\0' &&
        !name_is_there(names, count, scope->log_last))
        problem_note(finding, MG_BACKUP_TROUBLE_GAP, mg_view_text(scope->log_last));
    for (size_t i = 0; i < scope->info->count; i++) {
        const struct mg_backup *backup = &scope->info->backups[i];
        struct mg_wal_segment at, stop;
        if (strcmp(backup->wal_start, accepted) < 0)
            continue;
        TRY(mg_wal_segment_read(mg_view_text(backup->wal_start), scope->segment_bytes, &at));
        TRY(mg_wal_segment_read(mg_view_text(backup->wal_stop), scope->segment_bytes, &stop));
        for (; at.number <= stop.number; at.number++) {
            char name[MG_WAL_NAME];
            mg_wal_segment_name(&at, scope->segment_bytes, name);
            if (!name_is_there(names, count, name)) { /* one a backup: from there on as many may be named */
                problem_note(finding, MG_BACKUP_TROUBLE_GAP, mg_view_text(name));
                break;
            }
        }
    }
    return OK;
}

static CHECKED struct mg_status
log_look(const struct inventory_scope *scope, const char *accepted, const struct files *found,
         struct inventory_finding *finding)
{
    char(*names)[MG_WAL_NAME] = calloc(found->count + 1, sizeof *names);
    size_t count = 0;
    if (names == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = OK;
    for (size_t i = 0; i < found->count && mg_ok(status); i++) {
        const struct mg_view segment = segment_of(found->list[i].path);
        if (segment.length != 0)
            status = mg_view_copy(segment, names[count++], sizeof names[0]);
    }
    if (mg_ok(status)) {
        qsort(names, count, sizeof *names, by_name);
        status = log_judge(scope, accepted, (const char(*)[MG_WAL_NAME]) names, count, finding);
    }
    free(names);
    return status;
}

struct mg_status
inventory_verify(const struct inventory_scope *scope, bool accept, struct inventory_finding *ret_finding)
{
    OWN_FILES(known);
    OWN_FILES(found);
    OWN_FILES(merged);
    struct inventory_finding finding = {.at = mg_now()};
    const struct mg_status status = accept ? fail(NOT_FOUND) : known_read(scope, &known);
    if (status.code == MG_INTEGRITY)
        problem_note(&finding, MG_BACKUP_TROUBLE_INVENTORY, mg_view_text(scope->name));
    else if (status.code != MG_NOT_FOUND)
        TRY(status);
    TRY(files_look(scope, 0, &found));
    files_compare(&known, &found, &finding);
    TRY(log_look(scope, known.accepted, &found, &finding));
    finding.files = found.count;
    if (accept) /* what was missing is no longer asked for */
        finding.trouble = MG_BACKUP_TROUBLE_NONE;
    if (finding.trouble != MG_BACKUP_TROUBLE_INVENTORY) {
        TRY(merge(&known, &found, false, &merged));
        merged.updated_at = finding.at;
        /* After a start a finding is looked for again, at once. */
        merged.verified_at = finding.trouble == MG_BACKUP_TROUBLE_NONE ? finding.at : 0;
        memcpy(merged.accepted, accept ? finding.chain_from : known.accepted, sizeof merged.accepted);
        TRY(known_write(scope, &merged));
    }
    *ret_finding = finding;
    return OK;
}
