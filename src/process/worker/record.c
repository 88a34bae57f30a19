#include "base/io.h"
#include "base/log.h"
#include "process/worker/record_text.h"
#include "process/worker/worker.h"

#include <dirent.h>
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
    record->sealed_password = MG_BUFFER(RECORD_SEALED_MOST);
    record->pending_password = MG_BUFFER(RECORD_SEALED_MOST);
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
    OWN_BUFFER(text, FILE_MOST);
    const struct record_text stored = {.tenant = record->tenant,
                                       .active = record->active,
                                       .pending = record->pending,
                                       .rotated_at = record->rotated_at,
                                       .retire_at = record->retire_at,
                                       .pending_at = record->pending_at};
    TRY(record_path(record->name, path));
    TRY(record_encode(&stored, mg_buffer_view(&record->sealed_password),
                      mg_buffer_view(&record->pending_password), &text));
    return mg_file_replace(path, mg_buffer_view(&text), 0600);
}

static struct mg_status
record_parse(const char *name, const struct mg_buffer *text)
{
    struct record_text stored;
    OWN_BUFFER(sealed, RECORD_SEALED_MOST);
    OWN_BUFFER(pending, RECORD_SEALED_MOST);
    const struct mg_status status = record_decode(mg_buffer_view(text), &stored, &sealed, &pending);
    if (!mg_ok(status))
        return mg_fail_with(status.code, MG_HERE, "%s/%s.json", table.directory, name);
    struct record *record = NULL;
    TRY(record_take(name, stored.tenant, &record));
    TRY(mg_buffer_add(&record->sealed_password, mg_buffer_view(&sealed)));
    TRY(mg_buffer_add(&record->pending_password, mg_buffer_view(&pending)));
    record->active = stored.active;
    record->pending = stored.pending;
    record->pending_at = stored.pending_at;
    record->rotated_at = stored.rotated_at;
    record->retire_at = stored.retire_at;
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
