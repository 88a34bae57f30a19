/* What a stranger may put into a copy of the audit log, by the first byte of the input: a tile's path, an
 * entry bundle, a checkpoint's text, a proof and what it proves, a leaf. What is accepted must be exactly
 * what we would have written. */
#include "domain/merkle.h"
#include "ports/audit_leaf.h"
#include "wire/tlog.h"

static void
path_try(struct mg_view input)
{
    struct mg_tile tile;
    char path[MG_TILE_PATH];
    if (!mg_ok(mg_tile_path_parse(input, &tile)))
        return;
    mg_tile_path(&tile, path);
    mg_must(mg_view_is(input, path));
}

static void
bundle_try(struct mg_view input)
{
    OWN_BUFFER(again, MG_BUNDLE_MOST);
    struct mg_view rest = input, leaf;
    for (bool more = true;;) {
        if (!mg_ok(mg_bundle_next(&rest, &leaf, &more)))
            return;
        if (!more)
            break;
        mg_must(mg_ok(mg_bundle_add(&again, leaf)));
    }
    mg_must(mg_view_equal(input, mg_buffer_view(&again)));
}

static void
checkpoint_try(struct mg_view input)
{
    struct mg_checkpoint checkpoint;
    OWN_BUFFER(again, 65536);
    if (!mg_ok(mg_checkpoint_parse(input, &checkpoint)) || input.length > 60000)
        return;
    mg_must(mg_ok(mg_checkpoint_add(&again, &checkpoint)));
    mg_must(again.length <= input.length && memcmp(again.bytes, input.bytes, again.length) == 0);
}

/* Index, sizes and hashes all of the fuzzer's choice: nothing may be proven of hashes it cannot invert. */
static void
proof_try(struct mg_view input)
{
    uint64_t numbers[2] = {0, 0};
    struct mg_hash one, other;
    struct mg_proof proof;
    if (input.length < sizeof numbers + 2 * MG_HASH)
        return;
    memcpy(numbers, input.bytes, sizeof numbers);
    memcpy(one.bytes, input.bytes + sizeof numbers, MG_HASH);
    memcpy(other.bytes, input.bytes + sizeof numbers + MG_HASH, MG_HASH);
    const size_t used = sizeof numbers + 2 * MG_HASH;
    if (!mg_ok(mg_proof_of_bytes(mg_view_of(input.bytes + used, input.length - used), &proof)))
        return;
    if (mg_merkle_included(&one, numbers[0], numbers[1], &proof, &other))
        mg_must(numbers[0] < numbers[1]);
    if (mg_merkle_consistent(numbers[0], &one, numbers[1], &other, &proof))
        mg_must(numbers[0] <= numbers[1]);
}

static void
leaf_try(struct mg_view input)
{
    static const uint8_t month_key[MG_LEAF_KEY] = {7};
    uint8_t key[MG_LEAF_KEY];
    uint64_t tenant;
    uint32_t month;
    OWN_BUFFER(event, MG_LEAF_MOST);
    if (!mg_ok(mg_leaf_place(input, &tenant, &month)))
        return;
    mg_must(mg_ok(mg_leaf_key(month_key, input, key)));
    if (mg_ok(mg_leaf_open(key, input, &event)))
        mg_must(event.length + MG_LEAF_OVERHEAD == input.length);
    else
        mg_must(event.length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static void (*const tries[])(struct mg_view input) = {path_try, bundle_try, checkpoint_try, proof_try,
                                                          leaf_try};
    if (length != 0)
        tries[bytes[0] % MG_COUNT(tries)](mg_view_of(bytes + 1, length - 1));
    return 0;
}
