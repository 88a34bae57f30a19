#include "ports/backup_info.h"

#include <jansson.h>
#include <stdlib.h>

#define BYTES_MOST (INT64_C(1) << 50) /* a pebibyte: sums and percentages of it fit */

static void
json_drop(json_t **json)
{
    json_decref(*json);
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

void
mg_backup_info_drop(struct mg_backup_info *info)
{
    free(info->backups);
    info->backups = NULL;
    info->count = 0;
}

/* A text of an object, "" when it is not there. */
static CHECKED struct mg_status
text_copy(const json_t *object, const char *key, char *text, size_t size)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return mg_view_copy(MG_VIEW_EMPTY, text, size);
    if (!json_is_string(value))
        return fail_with(MALFORMED, "pgbackrest info: %s", key);
    return mg_view_copy(mg_view_of(json_string_value(value), json_string_length(value)), text, size);
}

/* The name of a piece of the log, "" when there is none. */
static CHECKED struct mg_status
segment_copy(const json_t *object, const char *key, char name[MG_WAL_NAME])
{
    TRY(text_copy(object, key, name, MG_WAL_NAME));
    const size_t length = strspn(name, "0123456789ABCDEF");
    return name[length] == '\0' && (length == 0 || length == MG_WAL_NAME - 1)
               ? OK
               : fail_with(MALFORMED, "pgbackrest info: %s", key);
}

static CHECKED struct mg_status
number_read(const json_t *object, const char *key, int64_t most, int64_t *ret_number)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > most)
        return fail_with(MALFORMED, "pgbackrest info: %s", key);
    *ret_number = json_integer_value(value);
    return OK;
}

static CHECKED struct mg_status
backup_read(const json_t *row, struct mg_backup *backup)
{
    char type[16];
    int64_t started, stopped, size, delta;
    const json_t *times = json_object_get(row, "timestamp"), *info = json_object_get(row, "info");
    TRY(text_copy(row, "label", backup->label, sizeof backup->label));
    TRY(text_copy(row, "type", type, sizeof type));
    TRY(segment_copy(json_object_get(row, "archive"), "start", backup->wal_start));
    TRY(segment_copy(json_object_get(row, "archive"), "stop", backup->wal_stop));
    TRY(number_read(times, "start", INT64_C(1) << 40, &started));
    TRY(number_read(times, "stop", INT64_C(1) << 40, &stopped));
    TRY(number_read(info, "size", BYTES_MOST, &size));
    TRY(number_read(json_object_get(info, "repository"), "delta", BYTES_MOST, &delta));
    if (!mg_backup_label_is_valid(mg_view_text(backup->label)) ||
        (strcmp(type, "full") != 0 && strcmp(type, "diff") != 0))
        return fail_with(MALFORMED, "pgbackrest info: a backup of type %s", type);
    backup->kind = strcmp(type, "full") == 0 ? MG_BACKUP_FULL : MG_BACKUP_DIFFERENTIAL;
    backup->started_at = started * 1000;
    backup->stopped_at = stopped * 1000;
    backup->database_bytes = (uint64_t) size;
    backup->repository_bytes = (uint64_t) delta;
    backup->damaged = json_is_true(json_object_get(row, "error"));
    return OK;
}

static int
by_time(const void *one, const void *other)
{
    const struct mg_backup *a = one, *b = other;
    if (a->started_at != b->started_at)
        return a->started_at < b->started_at ? -1 : 1;
    return strcmp(a->label, b->label);
}

static CHECKED struct mg_status
backups_read(const json_t *list, struct mg_backup_info *info)
{
    const size_t count = json_array_size(list);
    if (count > MG_BACKUPS_MOST)
        return fail_with(TOO_LARGE, "%zu backups", count);
    info->backups = calloc(count + 1, sizeof *info->backups);
    if (info->backups == NULL)
        return fail(OUT_OF_MEMORY);
    for (; info->count < count; info->count++) {
        TRY(backup_read(json_array_get(list, info->count), &info->backups[info->count]));
    }
    /* They are told in the order of their labels; the clock may have been set back in between. */
    qsort(info->backups, info->count, sizeof *info->backups, by_time);
    return OK;
}

static CHECKED struct mg_status
stanza_read(const json_t *stanza, struct mg_backup_info *info)
{
    const json_t *databases = json_object_get(stanza, "db"), *archives = json_object_get(stanza, "archive");
    const json_t *lock =
        json_object_get(json_object_get(json_object_get(stanza, "status"), "lock"), "backup");
    TRY(text_copy(stanza, "cipher", info->cipher, sizeof info->cipher));
    if (json_array_size(databases) != 0) {
        const json_t *identifier =
            json_object_get(json_array_get(databases, json_array_size(databases) - 1), "system-id");
        if (!json_is_integer(identifier))
            return fail_with(MALFORMED, "pgbackrest info: system-id");
        (void) snprintf(info->system_identifier, sizeof info->system_identifier, "%lld",
                        (long long) json_integer_value(identifier));
    }
    if (json_array_size(archives) != 0) {
        const json_t *archive = json_array_get(archives, json_array_size(archives) - 1);
        TRY(segment_copy(archive, "min", info->wal_first));
        TRY(segment_copy(archive, "max", info->wal_last));
    }
    info->running = json_is_true(json_object_get(lock, "held"));
    if (json_object_get(lock, "size") != NULL && json_object_get(lock, "size-cplt") != NULL) {
        int64_t all, done;
        TRY(number_read(lock, "size", BYTES_MOST, &all));
        TRY(number_read(lock, "size-cplt", BYTES_MOST, &done));
        info->all_bytes = (uint64_t) all;
        info->done_bytes = (uint64_t) (done < all ? done : all);
    }
    return backups_read(json_object_get(stanza, "backup"), info);
}

struct mg_status
mg_backup_info_read(struct mg_view json, const char *stanza, struct mg_backup_info *ret_info)
{
    char name[64];
    OWN_JSON list = json_loadb((const char *) json.bytes, json.length, JSON_REJECT_DUPLICATES, NULL);
    struct mg_backup_info info = {.backups = NULL};
    if (!json_is_array(list) || json_array_size(list) > 1)
        return fail_with(MALFORMED, "pgbackrest info: no list of one stanza");
    if (json_array_size(list) == 1) {
        TRY(text_copy(json_array_get(list, 0), "name", name, sizeof name));
        if (strcmp(name, stanza) != 0)
            return fail_with(INVALID, "pgbackrest info: of %s, not of %s", name, stanza);
        const struct mg_status status = stanza_read(json_array_get(list, 0), &info);
        if (!mg_ok(status)) {
            mg_backup_info_drop(&info);
            return status;
        }
    }
    *ret_info = info;
    return OK;
}
