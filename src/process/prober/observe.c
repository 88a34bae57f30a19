/* What the observer asks the other processes. Every answer is as they gave it; the probes judge. */
#include "base/io.h"
#include "domain/outcome.h"
#include "process/prober/fetch.h"
#include "process/prober/handshake.h"
#include "process/prober/prober.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* A provider that does not answer is waited for by the federation process (authority/federation.h). */
enum { CALL_MS = 5000, PROVIDER_MS = 30000, LOG_TAIL = 4 << 20 };
#define UNUSED_MS (90 * INT64_C(86400000))

struct found {
    struct mg_observed_process *rows;
    size_t count, most;
};

static CHECKED struct mg_status
found_add(struct found *found, struct mg_view name, struct mg_view state, uint64_t pid, uint64_t restarts,
          mg_instant started_at)
{
    if (found->count == found->most)
        return fail_with(TOO_LARGE, "more than %zu processes", found->most);
    struct mg_observed_process *process = &found->rows[found->count++];
    *process = (struct mg_observed_process){.pid = pid, .restarts = restarts, .started_at = started_at};
    TRY(mg_view_copy(name, process->name, sizeof process->name));
    return mg_view_copy(state, process->state, sizeof process->state);
}

static CHECKED struct mg_status
found_ours(struct found *found)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_warden_status reply;
    TRY(mg_call_warden_status(&(struct mg_request_warden_status){0}, &reply, &storage, CALL_MS));
    for (bool more = true;;) {
        struct mg_record_process_state row;
        TRY(mg_list_next_process_state(&reply.processes, &row, &more));
        if (!more)
            return OK;
        TRY(found_add(found, row.name, row.state, row.pid, row.restarts, row.started_at));
    }
}

/* nginx, the PostgreSQL instances, the sample applications. */
static CHECKED struct mg_status
found_children(const struct mg_observer *observer, struct found *found)
{
    for (uint64_t from = 0, before = UINT64_MAX; from != before;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_children_list reply;
        TRY(mg_call_children_list(&(struct mg_request_children_list){.from = from}, &reply, &storage,
                                  CALL_MS));
        before = from;
        for (bool more = true;; from++) {
            struct mg_record_child_state row;
            TRY(mg_list_next_child_state(&reply.children, &row, &more));
            if (!more)
                break;
            if (!mg_drill_is_child(observer, row.name) && !mg_prober_is_copy(row.name))
                TRY(found_add(found, row.name, row.state, row.pid, row.restarts, row.started_at));
        }
    }
    return OK;
}

static struct mg_status
processes(struct mg_observer *observer, struct mg_observed_process *rows, size_t most, size_t *ret_count)
{
    struct found found = {.rows = rows, .most = most};
    TRY(found_ours(&found));
    TRY(found_children(observer, &found));
    *ret_count = found.count;
    return OK;
}

static struct mg_status
crash_canary(struct mg_observer *observer)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_canary_die reply;
    const struct mg_status status =
        mg_call_canary_die(&(struct mg_request_canary_die){0}, &reply, &storage, CALL_MS);
    if (status.code == MG_UNAVAILABLE)
        return OK; /* it ended without an answer, as asked */
    TRY(status);
    return fail_with(REFUSED, "the canary does not end");
}

static CHECKED struct mg_status
canary_ask(uint64_t tenant, enum mg_canary which, struct mg_canary_account *ret_account,
           char recovery[RECOVERY_TEXT])
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_canary_account reply;
    const struct mg_request_canary_account request = {.tenant = tenant, .which = (uint64_t) which};
    const mg_instant asked_at = mg_now();
    TRY(mg_call_canary_account(&request, &reply, &storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return fail_with(REFUSED, "no canary account: %s", mg_outcome_name(reply.outcome));
    ret_account->asked_at = asked_at;
    OWN_BUFFER(device, 64);
    TRY(mg_base64url(reply.device, &device));
    TRY(mg_view_copy(mg_buffer_view(&device), ret_account->device, sizeof ret_account->device));
    ret_account->second_factor = reply.second_factor;
    TRY(mg_view_copy(reply.login, ret_account->login, sizeof ret_account->login));
    TRY(mg_view_copy(reply.recovery, recovery, RECOVERY_TEXT));
    return mg_view_copy(reply.password, ret_account->password, sizeof ret_account->password);
}

/* The next of the codes with spaces between; a round that uses up all of them asked too often. */
static CHECKED struct mg_status
recovery_take(char *recovery, char code[16])
{
    code[0] = '\0';
    if (recovery[0] == '\0')
        return OK;
    if (recovery[0] == '-')
        return fail_with(TOO_LARGE, "more sign-ins in one round than recovery codes");
    const size_t length = strcspn(recovery, " ");
    TRY(mg_view_copy(mg_view_of(recovery, length), code, 16));
    const size_t left = strlen(recovery) - length;
    if (left <= 1)
        recovery[0] = '-', recovery[1] = '\0';
    else
        memmove(recovery, recovery + length + 1, left);
    return OK;
}

/* One password for each account and round: probes that look at the same time must not change it under
 * each other. */
static struct mg_status
canary(struct mg_observer *observer, uint64_t tenant, enum mg_canary which,
       struct mg_canary_account *ret_account)
{
    struct mg_round_accounts *accounts = observer->context;
    struct mg_status status = OK;
    (void) pthread_mutex_lock(&accounts->lock);
    size_t i = 0;
    while (i < accounts->count && (accounts->rows[i].tenant != tenant || accounts->rows[i].which != which))
        i++;
    if (i == accounts->count) {
        status = i == accounts->room
                     ? fail_with(TOO_LARGE, "canary accounts")
                     : canary_ask(tenant, which, &accounts->rows[i].account, accounts->rows[i].recovery);
        if (mg_ok(status)) {
            accounts->rows[i].tenant = tenant;
            accounts->rows[i].which = which;
            accounts->count++;
        }
    }
    if (mg_ok(status)) {
        *ret_account = accounts->rows[i].account;
        status = recovery_take(accounts->rows[i].recovery, ret_account->recovery);
    }
    (void) pthread_mutex_unlock(&accounts->lock);
    return status;
}

static struct mg_status
risk_state(struct mg_observer *observer, uint64_t *ret_files, mg_instant *ret_built_at)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_risk_state reply;
    TRY(mg_call_risk_state(&(struct mg_request_risk_state){0}, &reply, &storage, CALL_MS));
    *ret_files = reply.location_files;
    *ret_built_at = reply.location_built_at;
    return OK;
}

static struct mg_status
stored_passwords(struct mg_observer *observer, struct mg_stored_passwords *ret_counts)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_stored_passwords reply;
    TRY(mg_call_stored_passwords(&(struct mg_request_stored_passwords){0}, &reply, &storage, CALL_MS));
    *ret_counts = (struct mg_stored_passwords){
        .users = reply.users,
        .argon2id = reply.argon2id,
        .bcrypt = reply.bcrypt,
        .yescrypt = reply.yescrypt,
        .weak = reply.weak,
        .foreign = reply.foreign,
        .unreadable = reply.unreadable,
    };
    return OK;
}

static struct mg_status
audit_state(struct mg_observer *observer, struct mg_observed_log *ret_log)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_state reply;
    TRY(mg_call_audit_state(&(struct mg_request_audit_state){0}, &reply, &storage, CALL_MS));
    struct mg_observed_log log = {
        .size = reply.size,
        .oldest = reply.oldest,
        .newest = reply.newest,
        .refusing = reply.ordinary_refused || reply.privileged_refused,
    };
    TRY(mg_view_copy(reply.checkpoint, log.checkpoint, sizeof log.checkpoint));
    *ret_log = log;
    return OK;
}

static struct mg_status
audit_read(struct mg_observer *observer, const char *text, mg_instant since, unsigned limit,
           struct mg_buffer *lines)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_read reply;
    const struct mg_request_audit_read request = {.all_tenants = true,
                                                  .text = mg_view_text(text),
                                                  .since = since,
                                                  .oldest_first = true,
                                                  .limit = limit};
    TRY(mg_call_audit_read(&request, &reply, &storage, CALL_MS));
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        TRY(mg_list_next_audit_entry(&reply.entries, &entry, &more));
        if (!more)
            return OK;
        TRY(mg_buffer_add(lines, entry.event));
        TRY(mg_buffer_add_byte(lines, '\n'));
    }
}

static struct mg_status
audit_export(struct mg_observer *observer, uint64_t tenant, unsigned limit, struct mg_buffer *lines)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_read reply;
    TRY(mg_call_audit_read(&(struct mg_request_audit_read){.tenant = tenant, .limit = limit}, &reply,
                           &storage, CALL_MS));
    for (bool more = true;;) {
        struct mg_record_audit_entry entry;
        TRY(mg_list_next_audit_entry(&reply.entries, &entry, &more));
        if (!more)
            return OK;
        TRY(mg_buffer_format(lines, "%llu ", (unsigned long long) entry.index));
        TRY(mg_buffer_add(lines, entry.event));
        TRY(mg_buffer_add_byte(lines, '\n'));
    }
}

static struct mg_status
audit_prove(struct mg_observer *observer, uint64_t index, struct mg_observed_proof *ret_proof)
{
    (void) observer;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_audit_proof reply;
    TRY(mg_call_audit_proof(&(struct mg_request_audit_proof){.index = index}, &reply, &storage, CALL_MS));
    mg_buffer_clear(&ret_proof->leaf);
    mg_buffer_clear(&ret_proof->proof);
    memset(ret_proof->key, 0, sizeof ret_proof->key);
    if (reply.entry_key.length == sizeof ret_proof->key)
        memcpy(ret_proof->key, reply.entry_key.bytes, sizeof ret_proof->key);
    TRY(mg_buffer_add(&ret_proof->leaf, reply.leaf));
    return mg_buffer_add(&ret_proof->proof, reply.proof);
}

/* ---- the logs ---- */

/* Only the newest part of a long log: what is looked for was written a moment ago. */
static CHECKED struct mg_status
log_contains(int directory, const char *name, const char *text, bool *ret_contains)
{
    OWN_FD fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) { /* rotated away between the list and here */
        *ret_contains = false;
        return OK;
    }
    if (fd < 0)
        return fail_errno("log %s", name);
    const off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0 || lseek(fd, size > LOG_TAIL ? size - LOG_TAIL : 0, SEEK_SET) < 0)
        return fail_errno("log %s", name);
    OWN_BUFFER(bytes, LOG_TAIL + (1 << 20)); /* it may grow while it is read */
    TRY(mg_fd_read_all(fd, &bytes));
    *ret_contains = bytes.length > 0 && memmem(bytes.bytes, bytes.length, text, strlen(text)) != NULL;
    return OK;
}

static void
directory_drop(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
}

enum { LOG_DEPTH = 2 }; /* log/ and the directories in it */

static CHECKED struct mg_status
directory_search(const char *path, const char *text, unsigned depth, uint64_t *files, uint64_t *hits)
{
    MG_CLEANUP(directory_drop) DIR *directory = opendir(path);
    if (directory == NULL)
        return fail_errno("logs in %s", path);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        bool contains = false;
        char inner[MG_PATH];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            if (depth == 1)
                return fail_with(TOO_LARGE, "directories in %s", path);
            TRY(mg_path_join(inner, path, entry->d_name));
            TRY(directory_search(inner, text, depth - 1, files, hits));
        }
        if (entry->d_type != DT_REG)
            continue;
        TRY(log_contains(dirfd(directory), entry->d_name, text, &contains));
        (*files)++;
        *hits += contains;
    }
    return OK;
}

static struct mg_status
logs_search(struct mg_observer *observer, const char *text, uint64_t *ret_files, uint64_t *ret_hits)
{
    char path[MG_PATH];
    uint64_t files = 0, hits = 0;
    TRY(mg_path_join(path, observer->directory, "log"));
    TRY(directory_search(path, text, LOG_DEPTH, &files, &hits));
    *ret_files = files;
    *ret_hits = hits;
    return OK;
}

/* ---- what is kept from look to look ---- */

static struct mg_status
remember(struct mg_observer *observer, struct mg_view note)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, observer->directory, "proof/checkpoint"));
    return mg_file_replace(path, note, 0644);
}

static struct mg_status
recall(struct mg_observer *observer, struct mg_buffer *note)
{
    char path[MG_PATH];
    TRY(mg_path_join(path, observer->directory, "proof/checkpoint"));
    return mg_file_read(path, note);
}

/* ---- rights and rules ---- */

static struct mg_status
operator_passwords(struct mg_observer *observer, struct mg_operator_passwords *ret_found)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_operator_passwords reply;
    (void) observer;
    TRY(mg_call_operator_passwords(&(struct mg_request_operator_passwords){0}, &reply, &storage, CALL_MS));
    *ret_found = (struct mg_operator_passwords){.passwords = reply.passwords,
                                                .too_old = reply.too_old,
                                                .oldest_ms = reply.oldest_ms,
                                                .most_ms = reply.most_ms};
    return OK;
}

static struct mg_status
tenant_setting(struct mg_observer *observer, const char *tenant, const char *keyword, struct mg_buffer *value)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_policy reply;
    struct mg_record_tenant_setting row;
    (void) observer;
    const struct mg_request_tenant_policy request = {.tenant = mg_view_text(tenant)};
    TRY(mg_call_tenant_policy(&request, &reply, &storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return fail_with(REFUSED, "the policy of %s: %s", tenant, mg_outcome_name(reply.outcome));
    for (bool more = true;;) {
        TRY(mg_list_next_tenant_setting(&reply.settings, &row, &more));
        if (!more)
            return OK;
        if (row.route.length == 0 && mg_view_is(row.keyword, keyword))
            return mg_buffer_add(value, row.value);
    }
}

static struct mg_status
unused_rights(struct mg_observer *observer, const char *tenant, uint64_t *ret_accounts)
{
    OWN_BUFFER(after, 256);
    struct mg_reply_role_report reply = {.more = true};
    (void) observer;
    for (*ret_accounts = 0; reply.more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        const struct mg_request_role_report request = {
            .tenant = mg_view_text(tenant), .unused_ms = UNUSED_MS, .after = mg_buffer_view(&after)};
        TRY(mg_call_role_report(&request, &reply, &storage, CALL_MS));
        if (reply.outcome != MG_GRANTED)
            return fail_with(REFUSED, "rights in %s: %s", tenant, mg_outcome_name(reply.outcome));
        *ret_accounts += reply.users;
        mg_buffer_clear(&after);
        TRY(mg_buffer_add(&after, reply.next));
    }
    return OK;
}

/* ---- identity providers ---- */

static struct mg_status
provider_state(struct mg_observer *observer, uint64_t tenant, const char *after,
               struct mg_observed_idp *ret_idp)
{
    OWN_BUFFER(storage, 4096);
    struct mg_reply_provider_state reply;
    (void) observer;
    const struct mg_request_provider_state request = {.tenant = tenant, .after = mg_view_text(after)};
    TRY(mg_call_provider_state(&request, &reply, &storage, PROVIDER_MS));
    ret_idp->saml = reply.saml;
    ret_idp->refusal = reply.refusal < MG_FEDERATION_COUNT ? (enum mg_federation_refusal) reply.refusal
                                                           : MG_FEDERATION_UNREACHABLE;
    TRY(mg_view_copy(reply.detail, ret_idp->detail, sizeof ret_idp->detail));
    return mg_view_copy(reply.name, ret_idp->name, sizeof ret_idp->name);
}

const struct mg_observer_ops mg_prober_ops = {
    .fetch = mg_prober_fetch,
    .tls_ask = mg_prober_tls_ask,
    .tls_scan = mg_prober_tls_scan,
    .processes = processes,
    .crash_canary = crash_canary,
    .canary = canary,
    .risk_state = risk_state,
    .stored_passwords = stored_passwords,
    .operator_passwords = operator_passwords,
    .tenant_setting = tenant_setting,
    .unused_rights = unused_rights,
    .provider_state = provider_state,
    .provider_open = mg_prober_provider_open,
    .provider_close = mg_prober_provider_close,
    .audit_state = audit_state,
    .audit_read = audit_read,
    .audit_export = audit_export,
    .audit_prove = audit_prove,
    .audit_events = mg_prober_audit_events,
    .backup_facts = mg_prober_backup_facts,
    .backup_labels = mg_prober_backup_labels,
    .logs_search = logs_search,
    .instances = mg_prober_instances,
    .database_ask = mg_prober_database_ask,
    .database_enter = mg_prober_database_enter,
    .remember = remember,
    .recall = recall,
    .drill_stop = mg_prober_drill_stop,
    .drill_start = mg_prober_drill_start,
};
