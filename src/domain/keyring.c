#include "domain/keyring.h"

#include <stdlib.h>

static const uint8_t magic[8] = {'M', 'G', 'K', 'E', 'Y', 'S', '1', '\n'};

static const struct mg_key_purpose_row purposes[MG_KEY_PURPOSE_COUNT] = {
#define KEY_PURPOSE(NAME, text, what, reach, turns, english, japanese) \
    [MG_KEY_##NAME] = {.name = text,                                   \
                       .kind = MG_KEY_KIND_##what,                     \
                       .scope = MG_KEY_SCOPE_##reach,                  \
                       .rotation = MG_KEY_ROTATION_##turns,            \
                       .en = english,                                  \
                       .ja = japanese},
#include "../../catalogue/keys.def"
#undef KEY_PURPOSE
};

const struct mg_key_purpose_row *
mg_key_purpose_row(enum mg_key_purpose purpose)
{
    if ((unsigned) purpose >= MG_KEY_PURPOSE_COUNT || purposes[purpose].name == NULL)
        return NULL;
    return &purposes[purpose];
}

enum mg_key_purpose
mg_key_purpose_named(struct mg_view name)
{
    for (int i = 1; i < MG_KEY_PURPOSE_COUNT; i++)
        if (mg_view_is(name, purposes[i].name))
            return (enum mg_key_purpose) i;
    return MG_KEY_NONE;
}

void
mg_keyring_drop(struct mg_keyring **keyring)
{
    if (*keyring == NULL)
        return;
    free((*keyring)->keys);
    free(*keyring);
    *keyring = NULL;
}

struct mg_status
mg_keyring_new(uint64_t root_generation, struct mg_keyring **ret_keyring)
{
    struct mg_keyring *keyring = calloc(1, sizeof *keyring);
    if (keyring == NULL)
        return fail(OUT_OF_MEMORY);
    keyring->root_generation = root_generation;
    keyring->next_id = 1;
    *ret_keyring = keyring;
    return OK;
}

static CHECKED struct mg_status
reserve(struct mg_keyring *keyring, size_t capacity)
{
    if (capacity > MG_KEYRING_MOST)
        return fail_with(TOO_LARGE, "the keystore holds at most %d keys", MG_KEYRING_MOST);
    if (capacity <= keyring->capacity)
        return OK;
    struct mg_key_record *keys = reallocarray(keyring->keys, capacity, sizeof *keys);
    if (keys == NULL)
        return fail(OUT_OF_MEMORY);
    keyring->keys = keys;
    keyring->capacity = capacity;
    return OK;
}

struct mg_status
mg_keyring_copy(const struct mg_keyring *keyring, struct mg_keyring **ret_copy)
{
    OWN(keyring) copy = NULL;
    TRY(mg_keyring_new(keyring->root_generation, &copy));
    TRY(reserve(copy, keyring->count + 8));
    copy->next_id = keyring->next_id;
    copy->change = keyring->change;
    copy->count = keyring->count;
    mg_must(copy->keys != NULL);
    if (keyring->count != 0)
        memcpy(copy->keys, keyring->keys, keyring->count * sizeof *keyring->keys);
    *ret_copy = TAKE(copy);
    return OK;
}

static void
put_number(uint8_t **at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        (*at)[i] = (uint8_t) (value >> (8 * i));
    *at += 8;
}

static uint64_t
get_number(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t) (*at)[i] << (8 * i);
    *at += 8;
    return value;
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* The order in memory and on disk: what is looked up together lies together. */
static int
compare(const struct mg_key_record *a, const struct mg_key_record *b)
{
    int order = compare_numbers(a->tenant, b->tenant);
    if (order == 0)
        order = compare_numbers(a->purpose, b->purpose);
    if (order == 0)
        order = compare_numbers(a->period, b->period);
    return order != 0 ? order : compare_numbers(a->id, b->id);
}

/* The place of the first record that is not before `wanted`. */
static size_t
place_of(const struct mg_keyring *keyring, const struct mg_key_record *wanted)
{
    size_t low = 0;
    for (size_t high = keyring->count; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (compare(&keyring->keys[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static CHECKED struct mg_status
record_decode(const uint8_t *at, struct mg_key_record *ret_record)
{
    struct mg_key_record record;
    record.id = get_number(&at);
    record.tenant = get_number(&at);
    const uint64_t purpose = get_number(&at), state = get_number(&at);
    record.period = get_number(&at);
    const uint64_t created = get_number(&at), changed = get_number(&at);
    memcpy(record.wrapped, at, sizeof record.wrapped);
    if (purpose == MG_KEY_NONE || purpose >= MG_KEY_PURPOSE_COUNT)
        return fail_with(MALFORMED, "keystore: unknown purpose");
    record.purpose = (enum mg_key_purpose) purpose;
    const struct mg_key_purpose_row *row = &purposes[purpose];
    if (state < MG_KEY_NEXT || state > MG_KEY_READING ||
        (state == MG_KEY_NEXT && row->rotation != MG_KEY_ROTATION_PUBLISHED) ||
        (state == MG_KEY_READING && row->rotation == MG_KEY_ROTATION_NEVER))
        return fail_with(MALFORMED, "keystore: a key's state does not fit its purpose");
    record.state = (enum mg_key_state) state;
    if ((record.tenant != 0 && row->scope == MG_KEY_SCOPE_DEPLOYMENT) ||
        (record.period != 0) != (record.purpose == MG_KEY_AUDIT) || created > INT64_MAX ||
        changed > INT64_MAX)
        return fail_with(MALFORMED, "keystore: a key does not fit its purpose");
    record.created_at = (mg_instant) created;
    record.changed_at = (mg_instant) changed;
    *ret_record = record;
    return OK;
}

struct mg_status
mg_keyring_decode(struct mg_view bytes, struct mg_keyring **ret_keyring)
{
    if (bytes.length < MG_KEYRING_HEADER || memcmp(bytes.bytes, magic, sizeof magic) != 0)
        return fail_with(MALFORMED, "not a keystore");
    const uint8_t *at = bytes.bytes + sizeof magic;
    OWN(keyring) keyring = NULL;
    TRY(mg_keyring_new(get_number(&at), &keyring));
    keyring->next_id = get_number(&at);
    keyring->change = get_number(&at);
    const uint64_t count = get_number(&at);
    if (count > MG_KEYRING_MOST || bytes.length != MG_KEYRING_HEADER + count * MG_KEY_RECORD)
        return fail_with(MALFORMED, "keystore: length and count differ");
    TRY(reserve(keyring, count + 8 > MG_KEYRING_MOST ? count : count + 8));
    for (; keyring->count < count; at += MG_KEY_RECORD) {
        struct mg_key_record *record = &keyring->keys[keyring->count];
        TRY(record_decode(at, record));
        if (record->id == 0 || record->id >= keyring->next_id ||
            (keyring->count > 0 && compare(record - 1, record) >= 0))
            return fail_with(MALFORMED, "keystore: keys are out of order");
        keyring->count++;
    }
    *ret_keyring = TAKE(keyring);
    return OK;
}

struct mg_status
mg_keyring_encode(const struct mg_keyring *keyring, struct mg_buffer *buffer)
{
    const size_t length = MG_KEYRING_HEADER + keyring->count * MG_KEY_RECORD;
    TRY(mg_buffer_reserve(buffer, length));
    uint8_t *at = buffer->bytes + buffer->length;
    memcpy(at, magic, sizeof magic);
    at += sizeof magic;
    put_number(&at, keyring->root_generation);
    put_number(&at, keyring->next_id);
    put_number(&at, keyring->change);
    put_number(&at, keyring->count);
    for (size_t i = 0; i < keyring->count; i++) {
        const struct mg_key_record *record = &keyring->keys[i];
        put_number(&at, record->id);
        put_number(&at, record->tenant);
        put_number(&at, record->purpose);
        put_number(&at, record->state);
        put_number(&at, record->period);
        put_number(&at, (uint64_t) record->created_at);
        put_number(&at, (uint64_t) record->changed_at);
        memcpy(at, record->wrapped, sizeof record->wrapped);
        at += sizeof record->wrapped;
    }
    buffer->length += length;
    buffer->bytes[buffer->length] = 0;
    return OK;
}

void
mg_key_binding(const struct mg_key_record *record, uint8_t ret_binding[MG_KEY_BINDING])
{
    static const char label[24] = "masugata wrapped key v1";
    uint8_t *at = ret_binding;
    memcpy(at, label, sizeof label);
    at += sizeof label;
    put_number(&at, record->id);
    put_number(&at, record->tenant);
    put_number(&at, record->purpose);
    put_number(&at, record->period);
    put_number(&at, (uint64_t) record->created_at);
}

const struct mg_key_record *
mg_keyring_find(const struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose,
                uint64_t period, uint64_t id)
{
    const struct mg_key_record wanted = {.tenant = tenant, .purpose = purpose, .period = period, .id = id};
    const size_t place = place_of(keyring, &wanted);
    if (place == keyring->count || compare(&keyring->keys[place], &wanted) != 0)
        return NULL;
    return &keyring->keys[place];
}

const struct mg_key_record *
mg_keyring_in_state(const struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose,
                    uint64_t period, enum mg_key_state state)
{
    const struct mg_key_record first = {.tenant = tenant, .purpose = purpose, .period = period};
    for (size_t i = place_of(keyring, &first); i < keyring->count; i++) {
        const struct mg_key_record *record = &keyring->keys[i];
        if (record->tenant != tenant || record->purpose != purpose || record->period != period)
            break;
        if (record->state == state)
            return record;
    }
    return NULL;
}

const struct mg_key_record *
mg_keyring_parent(const struct mg_keyring *keyring, const struct mg_key_record *record)
{
    if (record->purpose == MG_KEY_TENANT)
        return NULL;
    /* Audit records must stay readable for their retention when the tenant itself is erased. */
    const uint64_t owner = record->purpose == MG_KEY_AUDIT ? 0 : record->tenant;
    return mg_keyring_in_state(keyring, owner, MG_KEY_TENANT, 0, MG_KEY_WRITING);
}

struct mg_status
mg_keyring_add(struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose, uint64_t period,
               enum mg_key_state state, mg_instant now, struct mg_key_record **ret_record)
{
    const struct mg_key_purpose_row *row = mg_key_purpose_row(purpose);
    if (row == NULL || (row->scope == MG_KEY_SCOPE_DEPLOYMENT && tenant != 0))
        return fail_with(INVALID, "no such key purpose for a tenant");
    if (keyring->count == keyring->capacity)
        TRY(reserve(keyring, keyring->capacity == 0 ? 16 : keyring->capacity * 2));
    const struct mg_key_record record = {
        .id = keyring->next_id++,
        .tenant = tenant,
        .purpose = purpose,
        .state = state,
        .period = period,
        .created_at = now,
        .changed_at = now,
    };
    const size_t place = place_of(keyring, &record);
    struct mg_key_record *slot = &keyring->keys[place];
    memmove(slot + 1, slot, (keyring->count - place) * sizeof *slot);
    keyring->count++;
    *slot = record;
    *ret_record = slot;
    return OK;
}

/* Keeps the records for which `keep` says so. */
static size_t
sift(struct mg_keyring *keyring, bool (*keep)(const struct mg_key_record *, const struct mg_key_record *),
     const struct mg_key_record *pattern)
{
    size_t kept = 0;
    for (size_t i = 0; i < keyring->count; i++)
        if (keep(&keyring->keys[i], pattern))
            keyring->keys[kept++] = keyring->keys[i];
    const size_t removed = keyring->count - kept;
    keyring->count = kept;
    return removed;
}

/* pattern->changed_at: reading keys that changed before it are past their announcement. */
static bool
still_announced(const struct mg_key_record *record, const struct mg_key_record *pattern)
{
    return record->tenant != pattern->tenant || record->purpose != pattern->purpose ||
           record->state != MG_KEY_READING || record->changed_at > pattern->changed_at;
}

static size_t
alike(const struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose)
{
    size_t count = 0;
    for (size_t i = 0; i < keyring->count; i++)
        count += keyring->keys[i].tenant == tenant && keyring->keys[i].purpose == purpose;
    return count;
}

struct mg_status
mg_keyring_rotate(struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose, mg_instant now,
                  enum mg_key_state *ret_state)
{
    const struct mg_key_purpose_row *row = mg_key_purpose_row(purpose);
    if (row == NULL || row->rotation == MG_KEY_ROTATION_NEVER)
        return fail_with(REFUSED, "keys of this purpose are not rotated");
    const bool published = row->rotation == MG_KEY_ROTATION_PUBLISHED;
    const struct mg_key_record *writing = mg_keyring_in_state(keyring, tenant, purpose, 0, MG_KEY_WRITING);
    const struct mg_key_record *next = mg_keyring_in_state(keyring, tenant, purpose, 0, MG_KEY_NEXT);
    if (writing == NULL || (published && next == NULL))
        return fail_with(NOT_FOUND, "no key of this purpose");
    struct mg_key_record *old = &keyring->keys[writing - keyring->keys];
    old->state = MG_KEY_READING;
    old->changed_at = now;
    if (published) {
        struct mg_key_record *promoted = &keyring->keys[next - keyring->keys];
        promoted->state = MG_KEY_WRITING;
        promoted->changed_at = now;
        const struct mg_key_record past = {
            .tenant = tenant, .purpose = purpose, .changed_at = now - MG_KEY_ANNOUNCED_MS};
        (void) sift(keyring, still_announced, &past);
    }
    if (published && alike(keyring, tenant, purpose) >= MG_KEY_ANNOUNCED_MOST)
        return fail_with(BUSY, "%d keys of this purpose are announced; rotate less often",
                         MG_KEY_ANNOUNCED_MOST);
    *ret_state = published ? MG_KEY_NEXT : MG_KEY_WRITING;
    return OK;
}

static bool
not_reading(const struct mg_key_record *record, const struct mg_key_record *pattern)
{
    return record->tenant != pattern->tenant || record->purpose != pattern->purpose ||
           record->state != MG_KEY_READING;
}

struct mg_status
mg_keyring_retire(struct mg_keyring *keyring, uint64_t tenant, enum mg_key_purpose purpose,
                  uint64_t *ret_removed)
{
    const struct mg_key_purpose_row *row = mg_key_purpose_row(purpose);
    if (row == NULL || row->rotation != MG_KEY_ROTATION_OVERLAP)
        return fail_with(REFUSED, "keys of this purpose are not retired");
    const struct mg_key_record pattern = {.tenant = tenant, .purpose = purpose};
    *ret_removed = sift(keyring, not_reading, &pattern);
    return OK;
}

static bool
of_another_tenant(const struct mg_key_record *record, const struct mg_key_record *pattern)
{
    return record->tenant != pattern->tenant || record->purpose == MG_KEY_AUDIT;
}

struct mg_status
mg_keyring_remove_tenant(struct mg_keyring *keyring, uint64_t tenant)
{
    if (tenant == 0)
        return fail_with(REFUSED, "the deployment's own keys cannot be destroyed");
    const struct mg_key_record pattern = {.tenant = tenant};
    if (sift(keyring, of_another_tenant, &pattern) == 0)
        return fail_with(NOT_FOUND, "tenant %llu has no keys", (unsigned long long) tenant);
    return OK;
}

static bool
of_another_period(const struct mg_key_record *record, const struct mg_key_record *pattern)
{
    return record->tenant != pattern->tenant || record->purpose != MG_KEY_AUDIT ||
           record->period != pattern->period;
}

struct mg_status
mg_keyring_remove_period(struct mg_keyring *keyring, uint64_t tenant, uint64_t period)
{
    const struct mg_key_record pattern = {.tenant = tenant, .period = period};
    if (sift(keyring, of_another_period, &pattern) == 0)
        return fail_with(NOT_FOUND, "tenant %llu has no audit key of that month",
                         (unsigned long long) tenant);
    return OK;
}
