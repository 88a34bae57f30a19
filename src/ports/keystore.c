#include "ports/keystore.h"

#include "base/io.h"
#include "base/secret.h"
#include "ports/root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define MAC_BYTES 32
#define FILE_MOST (MG_KEYRING_HEADER + (size_t) MG_KEYRING_MOST * MG_KEY_RECORD + MAC_BYTES)

struct mg_keystore {
    struct mg_root_place place;
    char keys_path[MG_PATH];
    bool broken; /* a root rotation failed half-way: see mg_keystore_broken */
    int lock_fd; /* held for as long as the store is open: one process per keystore */
    pthread_rwlock_t lock;
    struct mg_root *root;
    struct mg_keyring *keyring;
};

struct mg_status
mg_root_place_read(const char *directory, struct mg_view option, struct mg_root_place *ret_place)
{
    struct mg_root_place place = {0};
    static const char file[] = "file:", passphrase[] = "passphrase:";
    OWN_TEXT text = NULL;
    TRY(mg_view_to_text(option, &text));
    place.passphrase = strncmp(text, passphrase, sizeof passphrase - 1) == 0;
    if (!place.passphrase && strncmp(text, file, sizeof file - 1) != 0)
        return fail_with(INVALID, "keys.root is file:PATH or passphrase:PATH");
    const char *path = text + (place.passphrase ? sizeof passphrase : sizeof file) - 1;
    if (*path == '\0' && place.passphrase)
        return fail_with(INVALID, "keys.root: passphrase: needs the path of a file");
    if (*path == '\0')
        path = "keystore/root.key";
    char *wanted = place.passphrase ? place.passphrase_path : place.root_path;
    if (*path == '/')
        TRY(mg_view_copy(mg_view_text(path), wanted, MG_PATH));
    else
        TRY(mg_path_join(wanted, directory, path));
    if (place.passphrase)
        TRY(mg_path_join(place.root_path, directory, "keystore/root.key"));
    *ret_place = place;
    return OK;
}

void
mg_keystore_drop(struct mg_keystore **keystore)
{
    struct mg_keystore *store = *keystore;
    if (store == NULL)
        return;
    mg_root_drop(&store->root);
    mg_keyring_drop(&store->keyring);
    mg_fd_drop(&store->lock_fd);
    (void) pthread_rwlock_destroy(&store->lock);
    free(store);
    *keystore = NULL;
}

/* One root generation gives two keys: one wraps tenant keys, one authenticates the file. */
static CHECKED struct mg_status
root_derive(const struct mg_root *root, uint64_t generation, const char *use, uint8_t ret_key[MG_KEY_BYTES])
{
    const uint8_t *key = mg_root_key(root, generation);
    if (key == NULL)
        return fail_with(INTEGRITY, "root generation %llu is not there", (unsigned long long) generation);
    return mg_hkdf(mg_view_of(key, MG_KEY_BYTES), MG_VIEW_EMPTY, mg_view_text(use), ret_key, MG_KEY_BYTES);
}

static CHECKED struct mg_status
file_mac(const struct mg_root *root, uint64_t generation, struct mg_view bytes, uint8_t ret_mac[MAC_BYTES])
{
    OWN_KEY(key, MG_KEY_BYTES);
    TRY(root_derive(root, generation, "masugata keystore mac v1", key));
    return mg_hmac_sha256(mg_view_of(key, sizeof key), bytes, ret_mac);
}

static CHECKED struct mg_status
keyring_save(const struct mg_keystore *store, const struct mg_keyring *keyring)
{
    OWN_BUFFER(file, FILE_MOST);
    TRY(mg_keyring_encode(keyring, &file));
    uint8_t mac[MAC_BYTES];
    TRY(file_mac(store->root, keyring->root_generation, mg_buffer_view(&file), mac));
    TRY(mg_buffer_add(&file, mg_view_of(mac, sizeof mac)));
    return mg_file_replace(store->keys_path, mg_buffer_view(&file), 0600);
}

static CHECKED struct mg_status
keyring_load(const struct mg_keystore *store, struct mg_keyring **ret_keyring)
{
    OWN_BUFFER(file, FILE_MOST);
    TRY(mg_file_read(store->keys_path, &file));
    if (file.length < MAC_BYTES)
        return fail_with(MALFORMED, "%s is too short", store->keys_path);
    const struct mg_view content = mg_view_of(file.bytes, file.length - MAC_BYTES);
    OWN(keyring) keyring = NULL;
    TRY(mg_keyring_decode(content, &keyring));
    uint8_t mac[MAC_BYTES];
    TRY(file_mac(store->root, keyring->root_generation, content, mac));
    if (!mg_view_equal_constant_time(mg_view_of(mac, MAC_BYTES),
                                     mg_view_of(content.bytes + content.length, MAC_BYTES)))
        return fail_with(INTEGRITY, "%s was changed or belongs to another root key", store->keys_path);
    *ret_keyring = TAKE(keyring);
    return OK;
}

/* The key that wraps `record`: the tenant's key, or for that one the root's. */
static CHECKED struct mg_status
wrapping_key(const struct mg_root *root, const struct mg_keyring *keyring, const struct mg_key_record *record,
             uint8_t ret_key[MG_KEY_BYTES])
{
    OWN_KEY(root_key, MG_KEY_BYTES);
    TRY(root_derive(root, keyring->root_generation, "masugata keystore wrap v1", root_key));
    if (record->purpose == MG_KEY_TENANT) {
        memcpy(ret_key, root_key, MG_KEY_BYTES);
        return OK;
    }
    const struct mg_key_record *parent = mg_keyring_parent(keyring, record);
    if (parent == NULL)
        return fail_with(NOT_FOUND, "tenant %llu has no keys", (unsigned long long) record->tenant);
    uint8_t binding[MG_KEY_BINDING];
    mg_key_binding(parent, binding);
    return mg_unseal(root_key, mg_view_of(binding, sizeof binding),
                     mg_view_of(parent->wrapped, MG_WRAPPED_KEY), ret_key);
}

static CHECKED struct mg_status
unwrap(const struct mg_root *root, const struct mg_keyring *keyring, const struct mg_key_record *record,
       uint8_t ret_key[MG_KEY_BYTES])
{
    OWN_KEY(wrapping, MG_KEY_BYTES);
    TRY(wrapping_key(root, keyring, record, wrapping));
    uint8_t binding[MG_KEY_BINDING];
    mg_key_binding(record, binding);
    return mg_unseal(wrapping, mg_view_of(binding, sizeof binding),
                     mg_view_of(record->wrapped, MG_WRAPPED_KEY), ret_key);
}

static CHECKED struct mg_status
wrap(const uint8_t wrapping[MG_KEY_BYTES], const uint8_t key[MG_KEY_BYTES], struct mg_key_record *record)
{
    uint8_t binding[MG_KEY_BINDING];
    mg_key_binding(record, binding);
    OWN_BUFFER(sealed, MG_WRAPPED_KEY);
    TRY(mg_seal(wrapping, mg_view_of(binding, sizeof binding), mg_view_of(key, MG_KEY_BYTES), &sealed));
    mg_must(sealed.length == MG_WRAPPED_KEY);
    memcpy(record->wrapped, sealed.bytes, MG_WRAPPED_KEY);
    return OK;
}

/* A new random key of the purpose, wrapped, in the keyring. */
static CHECKED struct mg_status
key_add(const struct mg_root *root, struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose,
        uint64_t period, enum mg_key_state state, mg_instant now, uint64_t *ret_id)
{
    struct mg_key_record *record = NULL;
    TRY(mg_keyring_add(keyring, tenant, purpose, period, state, now, &record));
    OWN_KEY(key, MG_KEY_BYTES);
    OWN_KEY(wrapping, MG_KEY_BYTES);
    if (mg_key_purpose_row(purpose)->kind == MG_KEY_KIND_ES256)
        TRY(mg_signing_key_generate(MG_ES256, key));
    else
        mg_random(key, sizeof key);
    TRY(wrapping_key(root, keyring, record, wrapping));
    TRY(wrap(wrapping, key, record));
    *ret_id = record->id;
    return OK;
}

/* The tenant's key and every data key that has no period. */
static CHECKED struct mg_status
tenant_add(const struct mg_root *root, struct mg_keyring *keyring, uint64_t tenant, mg_instant now)
{
    for (int i = 1; i < MG_KEY_PURPOSE_COUNT; i++) {
        const enum mg_key_purpose purpose = (enum mg_key_purpose) i;
        const struct mg_key_purpose_row *row = mg_key_purpose_row(purpose);
        uint64_t id;
        if (purpose == MG_KEY_AUDIT || (row->scope == MG_KEY_SCOPE_DEPLOYMENT && tenant != 0))
            continue;
        TRY(key_add(root, keyring, tenant, purpose, 0, MG_KEY_WRITING, now, &id));
        if (row->rotation == MG_KEY_ROTATION_PUBLISHED)
            TRY(key_add(root, keyring, tenant, purpose, 0, MG_KEY_NEXT, now, &id));
    }
    return OK;
}

static CHECKED struct mg_status
first_start(struct mg_keystore *store, mg_instant now)
{
    TRY(mg_keyring_new(store->root->generation[0], &store->keyring));
    TRY(tenant_add(store->root, store->keyring, 0, now));
    TRY(keyring_save(store, store->keyring));
    store->root->settled = true;
    return mg_root_save(&store->place, store->root);
}

/* After a crash in the middle of a root rotation the keyring says which generation won. */
static CHECKED struct mg_status
settle(struct mg_keystore *store)
{
    if (store->root->count == 1 && store->root->settled)
        return OK;
    TRY(mg_root_keep(store->root, store->keyring->root_generation));
    store->root->settled = true;
    return mg_root_save(&store->place, store->root);
}

static CHECKED struct mg_status
load(struct mg_keystore *store, mg_instant now)
{
    const bool keys_there = access(store->keys_path, F_OK) == 0;
    struct mg_status status = mg_root_load(&store->place, &store->root);
    if (status.code == MG_NOT_FOUND && keys_there)
        return fail_with(INTEGRITY, "%s exists but its root key %s does not", store->keys_path,
                         store->place.root_path);
    if (status.code == MG_NOT_FOUND) {
        TRY(mg_root_new(&store->place, &store->root));
        status = mg_root_save(&store->place, store->root);
    }
    TRY(status);
    if (!keys_there && store->root->settled)
        return fail_with(INTEGRITY, "the root key %s exists but %s does not; restore it",
                         store->place.root_path, store->keys_path);
    if (!keys_there)
        return first_start(store, now);
    TRY(keyring_load(store, &store->keyring));
    return settle(store);
}

/* A replacement that a crash cut short lies beside the file it was to become, "NAME.<16 digits>.new", and
 * may hold a root key that has since been destroyed: it is overwritten and goes. */
static bool
is_leftover(const char *name, const char *file)
{
    static const char end[] = ".new";
    const size_t base = strlen(file), digits = 16, length = strlen(name);
    return length == base + 1 + digits + sizeof end - 1 && memcmp(name, file, base) == 0 &&
           name[base] == '.' && strspn(name + base + 1, "0123456789abcdef") == digits &&
           strcmp(name + base + 1 + digits, end) == 0;
}

static CHECKED struct mg_status
leftover_remove(int directory, const char *name)
{
    uint8_t noise[4096];
    struct stat found;
    if (fchmodat(directory, name, 0600, 0) != 0)
        return fail_errno("mode of %s", name);
    OWN_FD fd = openat(directory, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &found) != 0)
        return fail_errno("open %s", name);
    for (off_t done = 0; done < found.st_size; done += (off_t) sizeof noise) {
        mg_random(noise, sizeof noise);
        TRY(mg_fd_write_all(fd, mg_view_of(noise, sizeof noise)));
    }
    if (fsync(fd) != 0 || unlinkat(directory, name, 0) != 0)
        return fail_errno("remove %s", name);
    return OK;
}

static void
directory_drop(DIR **directory)
{
    if (*directory != NULL)
        (void) closedir(*directory);
}

static CHECKED struct mg_status
leftovers_remove(const char *path)
{
    char parent[MG_PATH];
    const char *slash = strrchr(path, '/');
    mg_must(slash != NULL && slash != path);
    TRY(mg_view_copy(mg_view_of(path, (size_t) (slash - path)), parent, sizeof parent));
    MG_CLEANUP(directory_drop) DIR *directory = opendir(parent);
    if (directory == NULL && errno == ENOENT)
        return OK;
    if (directory == NULL)
        return fail_errno("open %s", parent);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (is_leftover(entry->d_name, slash + 1))
            TRY(leftover_remove(dirfd(directory), entry->d_name));
    return OK;
}

/* A predecessor that was killed a moment ago may still be on its way out. */
static CHECKED struct mg_status
lock_take(struct mg_keystore *store, const char *directory)
{
    store->lock_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->lock_fd < 0)
        return fail_errno("open %s", directory);
    for (int attempt = 0; flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0; attempt++) {
        if (errno != EWOULDBLOCK || attempt == 40)
            return fail_with(RUNNING, "another process holds %s", directory);
        (void) usleep(50000);
    }
    return OK;
}

struct mg_status
mg_keystore_open(const char *directory, const struct mg_root_place *place, mg_instant now,
                 struct mg_keystore **ret_keystore)
{
    TRY(mg_crypto_start());
    OWN(keystore) store = calloc(1, sizeof *store);
    if (store == NULL)
        return fail(OUT_OF_MEMORY);
    store->lock_fd = -1;
    store->place = *place;
    if (pthread_rwlock_init(&store->lock, NULL) != 0)
        return fail(OUT_OF_MEMORY);
    char keystore_path[MG_PATH];
    TRY(mg_path_join(keystore_path, directory, "keystore"));
    TRY(mg_path_join(store->keys_path, keystore_path, "keys"));
    TRY(mg_directory_make(keystore_path, 0700));
    TRY(lock_take(store, keystore_path));
    TRY(leftovers_remove(store->keys_path));
    TRY(leftovers_remove(store->place.root_path));
    TRY(load(store, now));
    *ret_keystore = TAKE(store);
    return OK;
}

struct mg_status
mg_keystore_use(struct mg_keystore *store, uint64_t tenant, enum mg_key_purpose purpose, uint64_t period,
                uint64_t id, uint8_t ret_key[MG_KEY_BYTES], struct mg_key_record *ret_record)
{
    mg_must(pthread_rwlock_rdlock(&store->lock) == 0);
    const struct mg_key_record *record =
        store->broken ? NULL
        : id == 0     ? mg_keyring_in_state(store->keyring, tenant, purpose, period, MG_KEY_WRITING)
                      : mg_keyring_find(store->keyring, tenant, purpose, period, id);
    struct mg_status status = fail(NOT_FOUND);
    if (record != NULL)
        status = unwrap(store->root, store->keyring, record, ret_key);
    if (mg_ok(status))
        *ret_record = *record;
    (void) pthread_rwlock_unlock(&store->lock);
    if (status.code == MG_NOT_FOUND)
        return fail_with(NOT_FOUND, "tenant %llu has no such key", (unsigned long long) tenant);
    return status;
}

/* A tenant's month begins before its keys are made (their making is recorded in it), so a month without a
 * tenant is possible. Numbers that nobody has must not fill the keystore all the same. */
#define STRANGERS_MOST 256

static bool
is_stranger(const struct mg_keyring *keyring, uint64_t tenant)
{
    return mg_keyring_in_state(keyring, tenant, MG_KEY_TENANT, 0, MG_KEY_WRITING) == NULL;
}

static CHECKED struct mg_status
period_check(const struct mg_keyring *keyring, uint64_t tenant, uint64_t period)
{
    if (mg_keyring_in_state(keyring, tenant, MG_KEY_AUDIT, period, MG_KEY_WRITING) != NULL)
        return fail(EXISTS);
    if (!is_stranger(keyring, tenant))
        return OK;
    size_t strangers = 0;
    for (size_t i = 0; i < keyring->count; i++)
        strangers += keyring->keys[i].purpose == MG_KEY_AUDIT && keyring->keys[i].period == period &&
                     is_stranger(keyring, keyring->keys[i].tenant);
    if (strangers >= STRANGERS_MOST)
        return fail_with(BUSY, "%d numbers without a tenant have keys for %llu", STRANGERS_MOST,
                         (unsigned long long) period);
    return OK;
}

/* One change: made on a copy, written, then put in place. `renew` also moves to a new root generation. */
struct change {
    enum {
        CREATE_TENANT,
        CREATE_PERIOD,
        CREATE_KEY,
        ROTATE,
        RETIRE,
        ROTATE_ROOT,
        DESTROY_TENANT,
        DESTROY_PERIOD
    } what;
    uint64_t tenant, period;
    enum mg_key_purpose purpose;
    mg_instant now;
    uint64_t result;
};

static CHECKED struct mg_status
change_make(const struct mg_root *root, struct mg_keyring *keyring, struct change *change)
{
    enum mg_key_state state;
    switch (change->what) {
    case CREATE_TENANT:
        if (mg_keyring_in_state(keyring, change->tenant, MG_KEY_TENANT, 0, MG_KEY_WRITING) != NULL)
            return fail_with(EXISTS, "tenant %llu has keys", (unsigned long long) change->tenant);
        return tenant_add(root, keyring, change->tenant, change->now);
    case CREATE_PERIOD:
        TRY(period_check(keyring, change->tenant, change->period));
        return key_add(root, keyring, change->tenant, MG_KEY_AUDIT, change->period, MG_KEY_WRITING,
                       change->now, &change->result);
    case CREATE_KEY:
        if (mg_keyring_in_state(keyring, change->tenant, change->purpose, 0, MG_KEY_WRITING) != NULL)
            return fail(EXISTS);
        return key_add(root, keyring, change->tenant, change->purpose, 0, MG_KEY_WRITING, change->now,
                       &change->result);
    case ROTATE:
        TRY(mg_keyring_rotate(keyring, change->tenant, change->purpose, change->now, &state));
        return key_add(root, keyring, change->tenant, change->purpose, 0, state, change->now,
                       &change->result);
    case RETIRE:
        return mg_keyring_retire(keyring, change->tenant, change->purpose, &change->result);
    case DESTROY_TENANT:
        return mg_keyring_remove_tenant(keyring, change->tenant);
    case DESTROY_PERIOD:
        return mg_keyring_remove_period(keyring, change->tenant, change->period);
    case ROTATE_ROOT:
        return OK;
    }
    return fail(INVALID);
}

/* Tenant keys move from the old root generation to the newest; data keys stay under their tenant's. */
static CHECKED struct mg_status
rewrap_tenants(const struct mg_root *root, struct mg_keyring *keyring)
{
    const uint64_t newest = root->generation[root->count - 1];
    OWN_KEY(wrapping, MG_KEY_BYTES);
    TRY(root_derive(root, newest, "masugata keystore wrap v1", wrapping));
    for (size_t i = 0; i < keyring->count; i++) {
        struct mg_key_record *record = &keyring->keys[i];
        if (record->purpose != MG_KEY_TENANT)
            continue;
        OWN_KEY(key, MG_KEY_BYTES);
        TRY(unwrap(root, keyring, record, key));
        TRY(wrap(wrapping, key, record));
    }
    keyring->root_generation = newest;
    return OK;
}

/* Both generations on disk, then the keyring under the new one, then the new one alone: a crash
 * between any two steps leaves a store that opens (settle). */
static CHECKED struct mg_status
save_renewed(struct mg_keystore *store, struct mg_keyring *keyring)
{
    TRY(mg_root_add(store->root));
    TRY(mg_root_save(&store->place, store->root));
    TRY(rewrap_tenants(store->root, keyring));
    TRY(keyring_save(store, keyring));
    TRY(mg_root_keep(store->root, keyring->root_generation));
    return mg_root_save(&store->place, store->root);
}

static CHECKED struct mg_status
change_locked(struct mg_keystore *store, struct change *change)
{
    const bool renews =
        change->what == ROTATE_ROOT || change->what == DESTROY_TENANT || change->what == DESTROY_PERIOD;
    if (store->broken)
        return fail_with(UNAVAILABLE, "the keystore has to be opened again");
    OWN(keyring) keyring = NULL;
    TRY(mg_keyring_copy(store->keyring, &keyring));
    TRY(change_make(store->root, keyring, change));
    keyring->change++;
    const struct mg_status status = renews ? save_renewed(store, keyring) : keyring_save(store, keyring);
    if (!mg_ok(status)) {
        /* Only the disk knows now which generation holds. */
        store->broken = renews;
        return status;
    }
    if (renews)
        change->result = keyring->root_generation;
    mg_keyring_drop(&store->keyring);
    store->keyring = TAKE(keyring);
    return OK;
}

static CHECKED struct mg_status
change_run(struct mg_keystore *store, struct change *change)
{
    mg_must(pthread_rwlock_wrlock(&store->lock) == 0);
    const struct mg_status status = change_locked(store, change);
    (void) pthread_rwlock_unlock(&store->lock);
    return status;
}

struct mg_status
mg_keystore_create_tenant(struct mg_keystore *store, uint64_t tenant, mg_instant now)
{
    return change_run(store, &(struct change){.what = CREATE_TENANT, .tenant = tenant, .now = now});
}

struct mg_status
mg_keystore_create_period(struct mg_keystore *store, uint64_t tenant, uint64_t period, mg_instant now)
{
    return change_run(
        store, &(struct change){.what = CREATE_PERIOD, .tenant = tenant, .period = period, .now = now});
}

struct mg_status
mg_keystore_create_key(struct mg_keystore *store, uint64_t tenant, enum mg_key_purpose purpose,
                       mg_instant now)
{
    return change_run(store,
                      &(struct change){.what = CREATE_KEY, .tenant = tenant, .purpose = purpose, .now = now});
}

struct mg_status
mg_keystore_rotate(struct mg_keystore *store, uint64_t tenant, enum mg_key_purpose purpose, mg_instant now,
                   uint64_t *ret_id)
{
    struct change change = {.what = ROTATE, .tenant = tenant, .purpose = purpose, .now = now};
    TRY(change_run(store, &change));
    *ret_id = change.result;
    return OK;
}

struct mg_status
mg_keystore_retire(struct mg_keystore *store, uint64_t tenant, enum mg_key_purpose purpose,
                   uint64_t *ret_removed)
{
    struct change change = {.what = RETIRE, .tenant = tenant, .purpose = purpose};
    TRY(change_run(store, &change));
    *ret_removed = change.result;
    return OK;
}

static CHECKED struct mg_status
renew(struct mg_keystore *store, struct change change, uint64_t *ret_generation)
{
    TRY(change_run(store, &change));
    *ret_generation = change.result;
    return OK;
}

struct mg_status
mg_keystore_rotate_root(struct mg_keystore *store, uint64_t *ret_generation)
{
    return renew(store, (struct change){.what = ROTATE_ROOT}, ret_generation);
}

struct mg_status
mg_keystore_destroy_tenant(struct mg_keystore *store, uint64_t tenant, uint64_t *ret_generation)
{
    return renew(store, (struct change){.what = DESTROY_TENANT, .tenant = tenant}, ret_generation);
}

struct mg_status
mg_keystore_destroy_period(struct mg_keystore *store, uint64_t tenant, uint64_t period,
                           uint64_t *ret_generation)
{
    return renew(store, (struct change){.what = DESTROY_PERIOD, .tenant = tenant, .period = period},
                 ret_generation);
}

struct mg_status
mg_keystore_snapshot(struct mg_keystore *store, struct mg_keyring **ret_keyring)
{
    mg_must(pthread_rwlock_rdlock(&store->lock) == 0);
    const struct mg_status status = mg_keyring_copy(store->keyring, ret_keyring);
    (void) pthread_rwlock_unlock(&store->lock);
    return status;
}

bool
mg_keystore_broken(struct mg_keystore *store)
{
    mg_must(pthread_rwlock_rdlock(&store->lock) == 0);
    const bool broken = store->broken;
    (void) pthread_rwlock_unlock(&store->lock);
    return broken;
}

bool
mg_keystore_has_passphrase(const struct mg_keystore *store)
{
    return store->place.passphrase;
}
