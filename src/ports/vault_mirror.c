#include "ports/vault_mirror.h"

#include "base/io.h"
#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    LIST_MOST = 32 << 20,
    OBJECTS_MOST = 1000000,
    DIGEST_TEXT = 2 * MG_VAULT_DIGEST,
    HEAD_MOST = 256,
};
#define SPARE_BYTES (UINT64_C(256) << 20)
static const char head_name[] = "head", head_start[] = "masugata-vault-head 1 ";

/* ---- what is to be there, and what is ---- */

struct wanted {
    char *path;
    uint8_t digest[MG_VAULT_DIGEST];
};

struct object {
    char *name;
    uint64_t bytes;
};

struct mirror {
    struct mg_vault_run *run;
    struct mg_vault_result *result;
    struct mg_store *near, *store;
    struct mg_buffer text; /* the list; paths point into it */
    struct wanted *wanted;
    size_t wanted_count;
    struct object *objects;
    size_t object_count, object_room;
    uint64_t head_objects; /* as the head says */
};

static void
mirror_drop(struct mirror *mirror)
{
    for (size_t i = 0; i < mirror->object_count; i++)
        free(mirror->objects[i].name);
    free(mirror->objects);
    free(mirror->wanted);
    mg_buffer_drop(&mirror->text);
    mg_store_drop(&mirror->near);
    mg_store_drop(&mirror->store);
}

static int
by_path(const void *one, const void *other)
{
    const struct wanted *a = one, *b = other;
    return strcmp(a->path, b->path);
}

static int
by_name(const void *one, const void *other)
{
    const struct object *a = one, *b = other;
    return strcmp(a->name, b->name);
}

static const struct object *
object_find(const struct mirror *mirror, const char *name)
{
    const struct object key = {.name = (char *) (uintptr_t) name};
    return mirror->object_count == 0
               ? NULL
               : bsearch(&key, mirror->objects, mirror->object_count, sizeof key, by_name);
}

static bool
is_wanted(const struct mirror *mirror, const char *name)
{
    const struct wanted key = {.path = (char *) (uintptr_t) name};
    return mirror->wanted_count != 0 &&
           bsearch(&key, mirror->wanted, mirror->wanted_count, sizeof key, by_path) != NULL;
}

/* pgBackRest writes these anew, and they name what there is: they come last. */
static bool
changes(const char *path)
{
    const size_t length = strlen(path);
    return (length > 5 && strcmp(path + length - 5, ".info") == 0) ||
           (length > 10 && strcmp(path + length - 10, ".info.copy") == 0);
}

/* Without the first line, which tells the time, and the proof of it. */
static CHECKED struct mg_status
list_digest(struct mirror *mirror)
{
    uint8_t hash[MG_VAULT_DIGEST];
    const struct mg_view text = mg_buffer_view(&mirror->text);
    const uint8_t *first = text.length == 0 ? NULL : memchr(text.bytes, '\n', text.length);
    const uint8_t *last = text.length < 2 ? NULL : memrchr(text.bytes, '\n', text.length - 1);
    if (first == NULL || last == NULL || last < first)
        return fail_with(MALFORMED, "the list of files is cut short");
    (void) crypto_hash_sha256(hash, first, (size_t) (last - first));
    mg_hex(mg_view_of(hash, sizeof hash), mirror->result->digest);
    return OK;
}

/* The inventory of the worker (worker/inventory.c), which has proved that it wrote it: a line about itself,
 * "DIGEST PATH" for each file, a line with its proof. */
static CHECKED struct mg_status
wanted_read(struct mirror *mirror)
{
    size_t lines = 0;
    TRY(mg_file_read(mirror->run->list, &mirror->text));
    TRY(list_digest(mirror));
    char *text = (char *) mirror->text.bytes, *end = text + mirror->text.length;
    for (const char *at = text; at < end; at++)
        lines += *at == '\n';
    mirror->wanted = calloc(lines + 1, sizeof *mirror->wanted);
    if (mirror->wanted == NULL)
        return fail(OUT_OF_MEMORY);
    for (char *line = text, *next; line < end; line = next + 1) {
        next = memchr(line, '\n', (size_t) (end - line));
        if (next == NULL)
            return fail_with(MALFORMED, "the list of files is cut short");
        *next = '\0';
        if (line == text || strncmp(line, "hmac ", 5) == 0)
            continue;
        struct wanted *wanted = &mirror->wanted[mirror->wanted_count];
        if ((size_t) (next - line) < DIGEST_TEXT + 2 || line[DIGEST_TEXT] != ' ' ||
            !mg_store_name_is_valid(mg_view_text(line + DIGEST_TEXT + 1)))
            return fail_with(MALFORMED, "a line of the list of files");
        TRY(mg_unhex(mg_view_of(line, DIGEST_TEXT), wanted->digest, sizeof wanted->digest));
        wanted->path = line + DIGEST_TEXT + 1;
        mirror->wanted_count++;
    }
    qsort(mirror->wanted, mirror->wanted_count, sizeof *mirror->wanted, by_path);
    return OK;
}

static CHECKED struct mg_status
object_note(void *context, const struct mg_store_object *object)
{
    struct mirror *mirror = context;
    if (strcmp(object->name, head_name) == 0)
        return OK;
    if (mirror->object_count == mirror->object_room) {
        const size_t room = mirror->object_room == 0 ? 1024 : 2 * mirror->object_room;
        struct object *more =
            room > OBJECTS_MOST ? NULL : reallocarray(mirror->objects, room, sizeof *mirror->objects);
        if (more == NULL)
            return fail(OUT_OF_MEMORY);
        mirror->objects = more;
        mirror->object_room = room;
    }
    char *name = strdup(object->name);
    if (name == NULL)
        return fail(OUT_OF_MEMORY);
    mirror->objects[mirror->object_count++] = (struct object){.name = name, .bytes = object->bytes};
    return OK;
}

static void
first_note(struct mg_vault_result *result, const char *name)
{
    if (result->first[0] == '\0')
        (void) snprintf(result->first, sizeof result->first, "%s", name);
}

/* ---- the head ---- */

/* "masugata-vault-head 1 ID GENERATION OBJECTS" */
static CHECKED struct mg_status
head_parse(const struct mg_buffer *buffer, struct mirror *mirror)
{
    const size_t start = sizeof head_start - 1;
    if (buffer->bytes == NULL || buffer->length < start + MG_VAULT_ID ||
        memcmp(buffer->bytes, head_start, start) != 0)
        return fail_with(MALFORMED, "the head of the vault");
    const char *id = (const char *) buffer->bytes + start, *number = id + MG_VAULT_ID;
    if (strnlen(id, MG_VAULT_ID) < MG_VAULT_ID || id[MG_VAULT_ID - 1] != ' ')
        return fail_with(MALFORMED, "the head of the vault");
    TRY(mg_view_copy(mg_view_of(id, MG_VAULT_ID - 1), mirror->result->id, sizeof mirror->result->id));
    const size_t length = strcspn(number, " \n");
    if (number[length] != ' ')
        return fail_with(MALFORMED, "the head of the vault");
    TRY(mg_parse_u64(mg_view_of(number, length), INT64_MAX, &mirror->result->generation));
    number += length + 1;
    return mg_parse_u64(mg_view_of(number, strcspn(number, "\n")), INT64_MAX, &mirror->head_objects);
}

/* A head that was changed: is it the vault that we left all the same? Another deployment's has the same
 * names, and must not be written over. */
static bool
some_is_ours(const struct mirror *mirror)
{
    uint8_t digest[MG_VAULT_DIGEST];
    for (size_t i = 0, tries = 0; i < mirror->object_count && tries < 4; i++)
        if (is_wanted(mirror, mirror->objects[i].name)) {
            if (mg_ok(mg_vault_get(mirror->store, mirror->run->key, mirror->objects[i].name, -1, digest)))
                return true;
            tries++;
        }
    return false;
}

static CHECKED struct mg_status
head_read(struct mirror *mirror)
{
    const struct mg_vault_run *run = mirror->run;
    struct mg_vault_result *result = mirror->result;
    uint8_t digest[MG_VAULT_DIGEST];
    OWN_BUFFER(text, HEAD_MOST);
    OWN_FD file = memfd_create("head", MFD_CLOEXEC);
    if (file < 0)
        return fail_errno("memfd");
    const struct mg_status status = mg_vault_get(mirror->store, run->key, head_name, file, digest);
    if (status.code == MG_NOT_FOUND) {
        if (run->id[0] != '\0' || run->verb == MG_VAULT_FETCH)
            result->other = true;
        if (result->other)
            return fail_with(UNAVAILABLE, "the vault is not there: %s is empty", run->store);
        uint8_t id[MG_VAULT_ID / 2];
        mg_random(id, sizeof id);
        mg_hex(mg_view_of(id, sizeof id), result->id);
        result->fresh = true;
        return OK;
    }
    if (status.code == MG_INTEGRITY && run->id[0] != '\0' && some_is_ours(mirror)) {
        TRY(mg_view_copy(mg_view_text(run->id), result->id, sizeof result->id));
        result->old = true;
        return OK;
    }
    TRY(status);
    if (lseek(file, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    TRY(mg_fd_read_all(file, &text));
    TRY(head_parse(&text, mirror));
    if (run->id[0] != '\0' && strcmp(run->id, result->id) != 0) {
        result->other = true;
        result->id[0] = '\0'; /* not ours to go on with, unless somebody says so */
        return fail_with(UNAVAILABLE, "%s is another vault than the one that was left", run->store);
    }
    result->old = result->generation < run->generation;
    return OK;
}

/* After something was done, before anybody relies on it. */
static CHECKED struct mg_status
head_write(struct mirror *mirror, uint64_t objects)
{
    struct mg_vault_result *result = mirror->result;
    const uint64_t known = mirror->run->generation;
    const uint64_t generation = (result->generation > known ? result->generation : known) + 1;
    OWN_BUFFER(text, HEAD_MOST);
    OWN_FD file = memfd_create("head", MFD_CLOEXEC);
    if (file < 0)
        return fail_errno("memfd");
    TRY(mg_buffer_format(&text, "%s%s %" PRIu64 " %" PRIu64 "\n", head_start, result->id, generation,
                         objects));
    TRY(mg_fd_write_all(file, mg_buffer_view(&text)));
    if (lseek(file, 0, SEEK_SET) != 0)
        return fail_errno("seek");
    TRY(mg_vault_put(mirror->store, mirror->run->key, head_name, file, NULL, NULL));
    result->generation = generation;
    return OK;
}

/* ---- copy ---- */

/* OK with *ret_fd -1: the repository does not have it. */
static CHECKED struct mg_status
near_open(const struct mirror *mirror, const char *path, int *ret_fd, uint64_t *ret_bytes)
{
    OWN_FD fd = -1;
    struct stat info;
    const struct mg_status status = mg_store_get(mirror->near, path, &fd);
    *ret_fd = -1;
    if (status.code == MG_NOT_FOUND)
        return OK;
    TRY(status);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return fail_with(INTEGRITY, "%s is no file", path);
    *ret_bytes = (uint64_t) info.st_size;
    *ret_fd = fd;
    fd = -1;
    return OK;
}

/* One that changes is small: it is read, and compared. */
static bool
is_there(const struct mirror *mirror, const struct wanted *wanted, uint64_t file_bytes)
{
    uint8_t digest[MG_VAULT_DIGEST];
    const struct object *object = object_find(mirror, wanted->path);
    if (object == NULL || object->bytes != mg_vault_sealed_bytes(file_bytes))
        return false;
    return !changes(wanted->path) ||
           (mg_ok(mg_vault_get(mirror->store, mirror->run->key, wanted->path, -1, digest)) &&
            memcmp(digest, wanted->digest, sizeof digest) == 0);
}

/* What the repository no longer has as it was may have been copied before that. */
static bool
is_kept(const struct mirror *mirror, const struct wanted *wanted)
{
    uint8_t digest[MG_VAULT_DIGEST];
    return object_find(mirror, wanted->path) != NULL &&
           mg_ok(mg_vault_get(mirror->store, mirror->run->key, wanted->path, -1, digest)) &&
           memcmp(digest, wanted->digest, sizeof digest) == 0;
}

static CHECKED struct mg_status
file_copy(struct mirror *mirror, const struct wanted *wanted)
{
    struct mg_vault_result *result = mirror->result;
    const uint64_t most = mirror->run->bytes_most;
    OWN_FD fd = -1;
    uint64_t bytes = 0;
    const bool is_object = object_find(mirror, wanted->path) != NULL;
    TRY(near_open(mirror, wanted->path, &fd, &bytes));
    if (fd >= 0 ? is_there(mirror, wanted, bytes) : is_object) {
        result->files++;
        return OK;
    }
    /* One at least: a file that is larger than the bound must get there, too. */
    if (fd >= 0 && most != 0 && result->bytes != 0 && result->bytes + bytes > most) {
        result->left++;
        return OK;
    }
    const struct mg_status status = fd < 0 ? fail(INTEGRITY)
                                           : mg_vault_put(mirror->store, mirror->run->key, wanted->path, fd,
                                                          wanted->digest, &mirror->run->pace);
    if (status.code == MG_INTEGRITY) {
        if (changes(wanted->path)) { /* it was written anew since the list was made */
            result->left++;
            return OK;
        }
        if (is_kept(mirror, wanted)) {
            result->files++;
            return OK;
        }
        result->lost++;
        first_note(result, wanted->path);
        return OK;
    }
    TRY(status);
    result->copied++;
    result->bytes += bytes;
    result->files++;
    return OK;
}

static CHECKED struct mg_status
files_copy(struct mirror *mirror)
{
    for (int last = 0; last < 2; last++)
        for (size_t i = 0; i < mirror->wanted_count; i++) {
            if (changes(mirror->wanted[i].path) != (last == 1))
                continue;
            /* What names the backups says nothing of those that are not there. */
            if (last == 1 && (mirror->result->left != 0 || mirror->result->lost != 0))
                mirror->result->left++;
            else
                TRY(file_copy(mirror, &mirror->wanted[i]));
        }
    return OK;
}

/* ---- what is no longer wanted ---- */

/* "backup/INSTANCE/LABEL/...": the label, once. */
static CHECKED struct mg_status
label_note(struct mg_vault_result *result, const char *name)
{
    const char *start = strncmp(name, "backup/", 7) == 0 ? strchr(name + 7, '/') : NULL;
    char line[80];
    if (start == NULL || start[1] < '0' || start[1] > '9')
        return OK;
    const int length = snprintf(line, sizeof line, "%.*s\n", (int) strcspn(start + 1, "/"), start + 1);
    if (length < 0 || (size_t) length >= sizeof line ||
        strstr(mg_buffer_text(&result->labels), line) != NULL ||
        result->labels.length > (size_t) MG_VAULT_LABELS_MOST * 40)
        return OK;
    return mg_buffer_add_text(&result->labels, line);
}

static CHECKED struct mg_status
stale_count(struct mirror *mirror)
{
    for (size_t i = 0; i < mirror->object_count; i++)
        if (!is_wanted(mirror, mirror->objects[i].name)) {
            mirror->result->stale++;
            TRY(label_note(mirror->result, mirror->objects[i].name));
        }
    return OK;
}

static CHECKED struct mg_status
stale_remove(struct mirror *mirror)
{
    if (strcmp(mirror->run->digest, mirror->result->digest) != 0)
        return fail_with(REFUSED, "the list of files is another by now");
    /* First what names them. */
    TRY(stale_count(mirror));
    TRY(head_write(mirror, mirror->object_count - mirror->result->stale));
    for (size_t i = 0; i < mirror->object_count; i++)
        if (!is_wanted(mirror, mirror->objects[i].name))
            TRY(mg_store_remove(mirror->store, mirror->objects[i].name));
    return OK;
}

static CHECKED struct mg_status
mirror_copy(struct mirror *mirror)
{
    struct mg_vault_result *result = mirror->result;
    uint64_t before = 0;
    if (mirror->head_objects > mirror->object_count)
        result->gone = mirror->head_objects - mirror->object_count;
    for (size_t i = 0; i < mirror->object_count; i++)
        before += !is_wanted(mirror, mirror->objects[i].name);
    if (result->fresh) /* before anything else: so that what was begun is known again */
        TRY(head_write(mirror, 0));
    struct mg_status status = files_copy(mirror);
    char detail[256];
    (void) snprintf(detail, sizeof detail, "%s", status.detail);
    if (result->copied != 0 || result->old || result->gone != 0) {
        const struct mg_status headed = head_write(mirror, before + result->files);
        if (mg_ok(status))
            return mg_ok(headed) ? stale_count(mirror) : headed;
    }
    TRY(stale_count(mirror));
    return mg_ok(status) ? OK : mg_fail_with(status.code, status.where, "%s", detail);
}

/* ---- check, fetch ---- */

static CHECKED struct mg_status
mirror_check(struct mirror *mirror)
{
    struct mg_vault_result *result = mirror->result;
    for (size_t i = 0; i < mirror->wanted_count; i++) {
        const struct wanted *wanted = &mirror->wanted[i];
        uint8_t digest[MG_VAULT_DIGEST];
        if (object_find(mirror, wanted->path) == NULL) {
            result->left++;
            continue;
        }
        const struct mg_status status =
            mg_vault_get(mirror->store, mirror->run->key, wanted->path, -1, digest);
        if (!mg_ok(status) && status.code != MG_INTEGRITY)
            TRY(status);
        const bool same = mg_ok(status) && memcmp(digest, wanted->digest, sizeof digest) == 0;
        if (same || (mg_ok(status) && changes(wanted->path))) {
            result->files++;
            continue;
        }
        result->damaged++;
        first_note(result, wanted->path);
        OWN_FD fd = -1;
        uint64_t bytes = 0;
        TRY(near_open(mirror, wanted->path, &fd, &bytes));
        const struct mg_status again = fd < 0 ? fail(INTEGRITY)
                                              : mg_vault_put(mirror->store, mirror->run->key, wanted->path,
                                                             fd, wanted->digest, &mirror->run->pace);
        if (mg_ok(again))
            result->copied++;
        else if (again.code == MG_INTEGRITY)
            result->lost++;
        else
            return again;
    }
    return OK;
}

static CHECKED struct mg_status
file_fetch(struct mirror *mirror, const struct mg_store *target, const struct wanted *wanted)
{
    OWN(store_writer) writer = NULL;
    uint8_t digest[MG_VAULT_DIGEST];
    TRY(mg_store_put_begin(target, wanted->path, &writer));
    TRY(mg_vault_get(mirror->store, mirror->run->key, wanted->path, mg_store_writer_fd(writer), digest));
    /* An info file may be the one before: it names the backups that were whole then. */
    if (!changes(wanted->path) && memcmp(digest, wanted->digest, sizeof digest) != 0)
        return fail_with(INTEGRITY, "%s is not what was put there", wanted->path);
    TRY(mg_store_put_end(writer));
    mirror->result->copied++;
    return OK;
}

static CHECKED struct mg_status
mirror_fetch(struct mirror *mirror)
{
    OWN(store) target = NULL;
    uint64_t needed = 0, free_bytes = 0;
    TRY(mg_store_open(mirror->run->target, &target));
    for (size_t i = 0; i < mirror->object_count; i++)
        needed += mirror->objects[i].bytes;
    TRY(mg_store_free(target, &free_bytes));
    if (free_bytes < needed + SPARE_BYTES)
        return fail_with(DISK_FULL, "%" PRIu64 " MiB are needed and there are %" PRIu64,
                         (needed + SPARE_BYTES) >> 20, free_bytes >> 20);
    for (size_t i = 0; i < mirror->wanted_count; i++)
        if (object_find(mirror, mirror->wanted[i].path) != NULL)
            TRY(file_fetch(mirror, target, &mirror->wanted[i]));
        else
            mirror->result->left++;
    return OK;
}

struct mg_status
mg_vault_mirror(struct mg_vault_run *run, struct mg_vault_result *result)
{
    MG_CLEANUP(mirror_drop)
    struct mirror mirror = {.run = run, .result = result, .text = MG_BUFFER(LIST_MOST)};
    *result = (struct mg_vault_result){.labels = MG_BUFFER((size_t) MG_VAULT_LABELS_MOST * 80)};
    TRY(mg_store_open(run->store, &mirror.store));
    if (run->verb != MG_VAULT_FETCH) /* which is for when it is gone */
        TRY(mg_store_open(run->repository, &mirror.near));
    TRY(wanted_read(&mirror));
    TRY(mg_store_list(mirror.store, object_note, &mirror));
    if (mirror.object_count != 0)
        qsort(mirror.objects, mirror.object_count, sizeof *mirror.objects, by_name);
    TRY(head_read(&mirror));
    switch (run->verb) {
    case MG_VAULT_COPY:
        return mirror_copy(&mirror);
    case MG_VAULT_CHECK:
        return mirror_check(&mirror);
    case MG_VAULT_REMOVE:
        return stale_remove(&mirror);
    case MG_VAULT_FETCH:
        return mirror_fetch(&mirror);
    case MG_VAULT_NONE:
    case MG_VAULT_VERB_COUNT:
        break;
    }
    return fail_with(INVALID, "nothing that a vault does");
}
