/* The app's database credentials: two roles take turns. The app gets the other role's new password in
 * its file; the role it used until now works on for `credentials.overlap`, so that no query fails. */
#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"
#include "process/worker/worker.h"

#include <unistd.h>

enum { LAUNCHER_MS = 15000, JOB_MS = 1000, RETRY_MS = 5000 };

/* However rotation is set, and also if it stops: a password ends by itself after this time. */
static const int64_t password_life_ms = INT64_C(60) * 24 * 3600 * 1000;

/* Control: TENANCY_01 */
static struct mg_status
credentials_publish(const struct record *record, const char *role, const char *password, mg_instant until)
{
    char until_text[MG_INSTANT_TEXT];
    OWN_BUFFER(json, 2048);
    OWN_BUFFER(storage, 4096);
    struct mg_reply_credentials_publish reply;
    mg_instant_text(until, until_text);
    TRY(mg_buffer_add_text(&json, "{\"host\":"));
    TRY(mg_buffer_add_json_string(&json, mg_view_text(record->app_socket)));
    TRY(mg_buffer_format(&json,
                         ",\"port\":5432,\"dbname\":\"" OWNER_DATABASE
                         "\",\"user\":\"%s\",\"password\":\"%s\","
                         "\"valid_until\":\"%s\"}\n",
                         role, password, until_text));
    const struct mg_request_credentials_publish request = {.tenant = record->tenant,
                                                           .json = mg_buffer_view(&json)};
    return mg_call_credentials_publish(&request, &reply, &storage, LAUNCHER_MS);
}

/* Decides and remembers the swap, durably, before anything of it is done. */
static struct mg_status
credentials_begin(struct record *record, const char *why)
{
    OWN_KEY(password, PASSWORD_TEXT);
    TRY(worker_record(MG_EVENT_credential_rotate, record->tenant, record->name, why));
    password_make((char *) password);
    TRY(password_seal(record, "pending", (const char *) password, &record->pending_password));
    record->pending_at = mg_now();
    record->pending = record->active == 'a' ? 'b' : 'a';
    return record_save(record);
}

/* Does what was decided; may be repeated, also by the next worker. */
static struct mg_status
credentials_finish(struct record *record, const char *why)
{
    const mg_instant until = record->pending_at + password_life_ms;
    const char role[] = {'a', 'p', 'p', '_', record->pending, '\0'};
    OWN(database) database = NULL;
    OWN(secret) sealed = NULL;
    OWN_KEY(password, PASSWORD_TEXT);
    TRY(password_unseal(record, "pending", mg_buffer_view(&record->pending_password), &sealed));
    TRY(mg_view_copy(mg_secret_view(sealed), (char *) password, PASSWORD_TEXT));
    TRY(instance_open(record, "postgres", &database));
    TRY(role_open(database, role, (const char *) password, until));
    TRY(credentials_publish(record, role, (const char *) password, until));
    /* The first password replaces none. */
    record->retire_at = record->active == 0 ? 0 : mg_now() + mg_environment()->options->credentials_overlap;
    record->active = record->pending;
    record->rotated_at = record->pending_at;
    record->pending = 0;
    mg_buffer_clear(&record->pending_password);
    record_publish(record, RECORD_SERVING);
    mg_log(MG_INFO, "%s: the application has a new password as %s (%s)", record->name, role, why);
    return record_save(record);
}

struct mg_status
credentials_rotate(struct record *record, const char *why)
{
    if (record->pending == 0)
        TRY(credentials_begin(record, why));
    return credentials_finish(record, why);
}

/* The role that was replaced. */
static struct mg_status
credentials_retire(struct record *record)
{
    const char role[] = {'a', 'p', 'p', '_', record->active == 'a' ? 'b' : 'a', '\0'};
    OWN(database) database = NULL;
    TRY(instance_open(record, "postgres", &database));
    TRY(role_close(database, role));
    record->retire_at = 0;
    return record_save(record);
}

/* The file is on tmpfs: after a reboot nobody knows the password any more. */
static bool
credentials_lost(const struct record *record)
{
    char path[MG_PATH];
    return snprintf(path, sizeof path, "%s/app/%llu/database.json", mg_environment()->runtime_directory,
                    (unsigned long long) record->tenant) >= MG_PATH ||
           access(path, F_OK) != 0;
}

static struct mg_status
tenant_ensure(struct record *record)
{
    TRY(instance_ensure(record));
    if (record->pending != 0)
        TRY(credentials_finish(record, "a swap that was cut short"));
    if (record->active == 0 || credentials_lost(record))
        TRY(credentials_rotate(record, record->active == 0 ? "first credentials" : "start"));
    record_publish(record, RECORD_SERVING);
    return OK;
}

static struct mg_status
tenant_tend(struct record *record)
{
    /* Read after the lock was waited for: what happened meanwhile lies in the past. */
    const mg_instant now = mg_now();
    const int64_t age_ms = now - record->rotated_at;
    if (record->state != RECORD_SERVING)
        return tenant_ensure(record);
    if (record->pending != 0)
        return credentials_finish(record, "a swap that did not work at first");
    if (record->retire_at != 0 && now >= record->retire_at)
        TRY(credentials_retire(record));
    /* A clock that jumped back must not stop the rotation. */
    if (age_ms >= mg_environment()->options->credentials_rotation || age_ms < 0)
        return credentials_rotate(record, "age");
    return OK;
}

/* One that fails is tried again; the others do not wait for it. One that somebody works on is left to him. */
static struct mg_status
record_tend(struct record *record, void *context)
{
    (void) context;
    if (record->tenant == 0 || pthread_mutex_trylock(&record->lock) != 0)
        return OK;
    const struct mg_status status = mg_monotonic_ms() >= record->retry_ms ? tenant_tend(record) : OK;
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, record->name, status);
        if (record->state != RECORD_SERVING)
            record_publish(record, RECORD_FAILED);
        record->retry_ms = mg_monotonic_ms() + RETRY_MS;
    }
    (void) pthread_mutex_unlock(&record->lock);
    return OK;
}

int64_t
credentials_job(mg_instant now)
{
    (void) now;
    return mg_ok(records_visit(record_tend, NULL)) ? JOB_MS : RETRY_MS;
}

/* ---- what is asked -------------------------------------------------------------------------------- */

/* With the lock held. Before that it has no address, and nobody may be sent to a default one. */
static struct mg_status
serving(const struct record *record)
{
    if (record->state != RECORD_SERVING || record->socket[0] == '\0')
        return fail_with(UNAVAILABLE, "instance %s is not ready", record->name);
    return OK;
}

static struct mg_status
tenant_provision(uint64_t tenant, struct record **ret_record)
{
    char name[48];
    if (tenant == 0)
        return fail_with(INVALID, "tenant 0 has no instance");
    (void) snprintf(name, sizeof name, "tenant-%llu", (unsigned long long) tenant);
    TRY(record_take(name, tenant, ret_record));
    struct record *record = *ret_record;
    (void) pthread_mutex_lock(&record->lock);
    const struct mg_status status = tenant_ensure(record);
    (void) pthread_mutex_unlock(&record->lock);
    return status;
}

MG_HANDLER_PUBLIC(tenant_provision)
{
    struct record *record = NULL;
    char path[MG_PATH];
    TRY(tenant_provision(request->tenant, &record));
    if (snprintf(path, sizeof path, "%s/app/%llu/database.json", mg_environment()->runtime_directory,
                 (unsigned long long) request->tenant) >= MG_PATH)
        return fail(TOO_LARGE);
    const struct mg_reply_tenant_provision reply = {
        .app_uid = record->app_uid,
        .credentials_path = mg_view_text(path),
    };
    return mg_answer_tenant_provision(call, &reply);
}

/* With the lock held. The role that would be next may still be somebody's for the overlap. */
static struct mg_status
rotatable(const struct record *record)
{
    char ends[MG_INSTANT_TEXT];
    TRY(serving(record));
    if (record->retire_at == 0 || mg_now() >= record->retire_at)
        return OK;
    mg_instant_text(record->retire_at, ends);
    return fail_with(REFUSED, "%s: the password was replaced a moment ago; the one before works until %s",
                     record->name, ends);
}

MG_HANDLER_PUBLIC(tenant_credentials_rotate)
{
    struct record *record = NULL;
    char name[48];
    (void) snprintf(name, sizeof name, "tenant-%llu", (unsigned long long) request->tenant);
    TRY(record_find(name, &record));
    (void) pthread_mutex_lock(&record->lock);
    struct mg_status status = rotatable(record);
    if (mg_ok(status))
        status = credentials_rotate(record, "asked");
    const mg_instant rotated_at = record->rotated_at;
    (void) pthread_mutex_unlock(&record->lock);
    TRY(status);
    return mg_answer_tenant_credentials_rotate(
        call, &(struct mg_reply_tenant_credentials_rotate){.rotated_at = rotated_at});
}

/* A page of them; records are never taken away, so that their places stay. */
struct page {
    struct mg_buffer list;
    uint64_t from, at, next;
    bool full;
};

static struct mg_status
record_collect(struct record *record, void *context)
{
    struct page *page = context;
    if (page->full || page->at++ < page->from)
        return OK;
    const size_t before = page->list.length;
    const struct mg_status status = record_show(record, &page->list);
    if (status.code == MG_TOO_LARGE && before != 0) {
        page->list.length = before; /* what was begun of it */
        page->full = true;
        return OK;
    }
    TRY(status);
    page->next = page->at;
    return OK;
}

static void
page_drop(struct page *page)
{
    mg_buffer_drop(&page->list);
}

MG_HANDLER_PUBLIC(instances_list)
{
    MG_CLEANUP(page_drop)
    struct page page = {.list = MG_BUFFER(122880), .from = request->from, .next = request->from};
    TRY(records_visit(record_collect, &page));
    const struct mg_reply_instances_list reply = {
        .more = page.full, .next = page.next, .instances.bytes = mg_buffer_view(&page.list)};
    return mg_answer_instances_list(call, &reply);
}

/* With the lock held. */
static struct mg_status
probe_open(const struct record *record, const char *role, char password[PASSWORD_TEXT])
{
    enum { PROBE_MS = 600000 };
    OWN(database) database = NULL;
    TRY(instance_open(record, "postgres", &database));
    password_make(password);
    return role_open(database, role, password, mg_now() + PROBE_MS);
}

MG_HANDLER_PUBLIC(probe_access)
{
    struct record *record = NULL;
    char name[48];
    OWN_KEY(password, PASSWORD_TEXT);
    TRY(mg_view_copy(request->name, name, sizeof name));
    TRY(record_find(name, &record));
    const char *role = record->tenant != 0 ? "masugata_probe" : "masugata_prober";
    (void) pthread_mutex_lock(&record->lock);
    struct mg_status status = serving(record);
    if (mg_ok(status))
        status = probe_open(record, role, (char *) password);
    (void) pthread_mutex_unlock(&record->lock);
    TRY(status);
    const struct mg_reply_probe_access reply = {
        .host = mg_view_text(record->socket),
        .port = 5432,
        .database = mg_view_text(record->tenant != 0 ? OWNER_DATABASE : CONTROL_DATABASE),
        .user = mg_view_text(role),
        .password = mg_view_text((const char *) password),
    };
    return mg_answer_probe_access(call, &reply);
}
