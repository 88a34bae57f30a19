#include "base/io.h"
#include "base/log.h"
#include "process/worker/worker.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>

enum { RECORDS_MOST = 2000, FILE_MOST = 65536 };

static struct {
    pthread_mutex_t lock;
    struct record *list[RECORDS_MOST];
    size_t count;
    char directory[MG_PATH];
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With the table's lock held. */
static struct record *
lookup(const char *name)
{
    for (size_t i = 0; i < table.count; i++)
        if (strcmp(table.list[i]->name, name) == 0)
            return table.list[i];
    return NULL;
}

struct mg_status
record_find(const char *name, struct record **ret_record)
{
    (void) pthread_mutex_lock(&table.lock);
    struct record *record = lookup(name);
    (void) pthread_mutex_unlock(&table.lock);
    if (record == NULL)
        return fail_with(NOT_FOUND, "instance %s", name);
    *ret_record = record;
    return OK;
}

/* With the table's lock held. */
static struct mg_status
record_add(const char *name, uint64_t tenant, struct record **ret_record)
{
    if (table.count >= RECORDS_MOST)
        return fail_with(BUSY, "%d instances", RECORDS_MOST);
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status status = mg_view_copy(mg_view_text(name), record->name, sizeof record->name);
    if (!mg_ok(status)) {
        free(record);
        return status;
    }
    record->tenant = tenant;
    record->sealed_password = MG_BUFFER(4096);
    mg_must(pthread_mutex_init(&record->lock, NULL) == 0);
    table.list[table.count++] = record;
    *ret_record = record;
    return OK;
}

struct mg_status
record_take(const char *name, uint64_t tenant, struct record **ret_record)
{
    struct mg_status status = OK;
    (void) pthread_mutex_lock(&table.lock);
    struct record *record = lookup(name);
    if (record == NULL)
        status = record_add(name, tenant, &record);
    (void) pthread_mutex_unlock(&table.lock);
    TRY(status);
    *ret_record = record;
    return OK;
}

/* ---- files ------------------------------------------------------------------------------------- */

static void
json_drop(json_t **json)
{
    json_decref(*json);
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

static struct mg_status
record_path(const char *name, char path[MG_PATH])
{
    char file[64];
    (void) snprintf(file, sizeof file, "%s.json", name);
    return mg_path_join(path, table.directory, file);
}

struct mg_status
record_save(const struct record *record)
{
    char path[MG_PATH];
    const char active[2] = {record->active, '\0'};
    OWN_BUFFER(sealed, 8192);
    OWN_BUFFER(text, FILE_MOST);
    TRY(record_path(record->name, path));
    TRY(mg_base64(mg_buffer_view(&record->sealed_password), &sealed));
    OWN_JSON json =
        json_pack("{s:i, s:I, s:s, s:s, s:I, s:I}", "version", 1, "tenant", (json_int_t) record->tenant,
                  "superuser_sealed", mg_buffer_text(&sealed), "active", active, "rotated_at",
                  (json_int_t) record->rotated_at, "retire_at", (json_int_t) record->retire_at);
    if (json == NULL)
        return fail(OUT_OF_MEMORY);
    char *dumped = json_dumps(json, JSON_INDENT(1));
    if (dumped == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status status = mg_buffer_add_text(&text, dumped);
    free(dumped);
    TRY(status);
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

static struct mg_status
record_parse(const char *name, const struct mg_buffer *text)
{
    json_int_t version = 0, tenant = 0, rotated_at = 0, retire_at = 0;
    const char *sealed = NULL, *active = NULL;
    OWN_JSON json = json_loadb(mg_buffer_text(text), text->length, JSON_REJECT_DUPLICATES, NULL);
    if (json == NULL || json_unpack(json, "{s:I, s:I, s:s, s:s, s:I, s:I!}", "version", &version, "tenant",
                                    &tenant, "superuser_sealed", &sealed, "active", &active, "rotated_at",
                                    &rotated_at, "retire_at", &retire_at) != 0)
        return fail_with(MALFORMED, "%s/%s.json", table.directory, name);
    if (version > 1)
        return fail_with(NEWER_SCHEMA, "%s/%s.json", table.directory, name);
    struct record *record = NULL;
    TRY(record_take(name, (uint64_t) tenant, &record));
    TRY(mg_base64_decode(mg_view_text(sealed), &record->sealed_password));
    record->active = active[0];
    record->rotated_at = rotated_at;
    record->retire_at = retire_at;
    record_publish(record, RECORD_PREPARING);
    return OK;
}

struct mg_status
records_load(const char *directory)
{
    TRY(mg_path_join(table.directory, directory, "worker"));
    DIR *files = opendir(table.directory);
    if (files == NULL)
        return fail_errno("read %s", table.directory);
    struct mg_status status = OK;
    for (const struct dirent *file = readdir(files); file != NULL && mg_ok(status); file = readdir(files)) {
        char name[48], path[MG_PATH];
        OWN_BUFFER(text, FILE_MOST);
        const size_t length = strlen(file->d_name), suffix = strlen(".json");
        if (length <= suffix || strcmp(file->d_name + length - suffix, ".json") != 0)
            continue; /* half of a write that a crash cut short */
        status = mg_view_copy(mg_view_of(file->d_name, length - suffix), name, sizeof name);
        if (mg_ok(status))
            status = record_path(name, path);
        if (mg_ok(status))
            status = mg_file_read(path, &text);
        if (mg_ok(status))
            status = record_parse(name, &text);
    }
    (void) closedir(files);
    return status;
}

/* ---- for others ---------------------------------------------------------------------------------- */

void
record_publish(struct record *record, enum record_state state)
{
    (void) pthread_mutex_lock(&table.lock);
    record->state = state;
    record->shown_active = record->active;
    record->shown_rotated_at = record->rotated_at;
    (void) pthread_mutex_unlock(&table.lock);
}

struct mg_status
records_visit(struct mg_status (*visit)(struct record *record, void *context), void *context)
{
    for (size_t i = 0;; i++) {
        (void) pthread_mutex_lock(&table.lock);
        struct record *record = i < table.count ? table.list[i] : NULL;
        (void) pthread_mutex_unlock(&table.lock);
        if (record == NULL)
            return OK;
        TRY(visit(record, context));
    }
}

struct mg_status
record_show(struct record *record, struct mg_buffer *list)
{
    static const char *const states[] = {"preparing", "serving", "failed"};
    (void) pthread_mutex_lock(&table.lock);
    const char role[] = {'a', 'p', 'p', '_', record->shown_active, '\0'};
    const struct mg_record_instance_state shown = {
        .name = mg_view_text(record->name),
        .tenant = record->tenant,
        .state = mg_view_text(states[record->state]),
        .system_identifier = mg_view_text(record->system_identifier),
        .host = mg_view_text(record->socket),
        .database = mg_view_text(record->tenant == 0 ? CONTROL_DATABASE : OWNER_DATABASE),
        .active_role = mg_view_text(record->shown_active != 0 ? role : ""),
        .rotated_at = record->shown_rotated_at,
    };
    const struct mg_status status = mg_list_add_instance_state(list, &shown);
    (void) pthread_mutex_unlock(&table.lock);
    return status;
}
