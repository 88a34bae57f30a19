#include "test.h"

#include "domain/merkle.h"

/* All nodes of a small tree, for proofs. */
#define LEAVES 150
#define LEVELS 8
static struct mg_hash nodes[LEVELS][LEAVES];
static struct mg_hash roots[LEAVES + 1];

static struct mg_status
node_read(void *context, unsigned level, uint64_t index, struct mg_hash *ret_hash)
{
    (void) context;
    if (level >= LEVELS || (index + 1) << level > LEAVES)
        return fail_with(INVALID, "no node %u/%llu", level, (unsigned long long) index);
    *ret_hash = nodes[level][index];
    return OK;
}
static const struct mg_tree_source source = {.read = node_read};

static int
build(void **state)
{
    (void) state;
    struct mg_tree tree = {0};
    mg_tree_root(&tree, &roots[0]);
    for (unsigned i = 0; i < LEAVES; i++) {
        mg_merkle_leaf(mg_view_of(&i, sizeof i), &nodes[0][i]);
        mg_tree_add(&tree, &nodes[0][i]);
        mg_tree_root(&tree, &roots[i + 1]);
    }
    for (unsigned level = 1; level < LEVELS; level++)
        for (unsigned i = 0; (i + 1) << level <= LEAVES; i++)
            mg_merkle_node(&nodes[level - 1][2 * i], &nodes[level - 1][2 * i + 1], &nodes[level][i]);
    return 0;
}

/* The trees that the reference implementation of Certificate Transparency is tested with. */
static void
roots_are_those_of_certificate_transparency(void **state)
{
    (void) state;
    static const struct {
        const char *leaf, *root;
    } steps[] = {
        {"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
        {"00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
        {"10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
        {"2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
        {"3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
        {"40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
        {"5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
        {"606162636465666768696a6b6c6d6e6f",
         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
    };
    struct mg_tree tree = {0};
    struct mg_hash root;
    char text[65];
    mg_tree_root(&tree, &root);
    mg_hex(mg_view_of(root.bytes, MG_HASH), text);
    assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < MG_COUNT(steps); i++) {
        uint8_t leaf[16];
        const size_t length = strlen(steps[i].leaf) / 2;
        assert_ok(mg_unhex(mg_view_text(steps[i].leaf), leaf, length));
        struct mg_hash hash;
        mg_merkle_leaf(mg_view_of(leaf, length), &hash);
        mg_tree_add(&tree, &hash);
        mg_tree_root(&tree, &root);
        mg_hex(mg_view_of(root.bytes, MG_HASH), text);
        assert_string_equal(text, steps[i].root);
    }
}

static void
every_inclusion_proof_verifies_and_no_other(void **state)
{
    (void) state;
    for (uint64_t size = 1; size <= LEAVES; size++)
        for (uint64_t index = 0; index < size; index++) {
            struct mg_proof proof;
            assert_ok(mg_merkle_inclusion(&source, index, size, &proof));
            assert_true(mg_merkle_included(&nodes[0][index], index, size, &proof, &roots[size]));
            assert_false(mg_merkle_included(&nodes[0][index], index, size, &proof, &roots[size - 1]));
            assert_false(
                mg_merkle_included(&nodes[0][(index + 1) % LEAVES], index, size, &proof, &roots[size]));
            if (proof.count > 0) {
                proof.hashes[index % proof.count].bytes[index % MG_HASH] ^= 1;
                assert_false(mg_merkle_included(&nodes[0][index], index, size, &proof, &roots[size]));
                proof.hashes[index % proof.count].bytes[index % MG_HASH] ^= 1;
                proof.count--;
                assert_false(mg_merkle_included(&nodes[0][index], index, size, &proof, &roots[size]));
                proof.count++;
            }
            proof.hashes[proof.count++] = roots[size];
            assert_false(mg_merkle_included(&nodes[0][index], index, size, &proof, &roots[size]));
        }
    struct mg_proof proof;
    assert_code(mg_merkle_inclusion(&source, 5, 5, &proof), INVALID);
}

static void
every_consistency_proof_verifies_and_no_other(void **state)
{
    (void) state;
    for (uint64_t to = 0; to <= LEAVES; to++)
        for (uint64_t from = 0; from <= to; from++) {
            struct mg_proof proof;
            assert_ok(mg_merkle_consistency(&source, from, to, &proof));
            assert_true(mg_merkle_consistent(from, &roots[from], to, &roots[to], &proof));
            struct mg_hash wrong = roots[to];
            wrong.bytes[7] ^= 2;
            assert_true(from == 0 || !mg_merkle_consistent(from, &wrong, to, &roots[to], &proof));
            assert_true(from == 0 || !mg_merkle_consistent(from, &roots[from], to, &wrong, &proof));
            if (proof.count > 0) {
                proof.hashes[from % proof.count].bytes[from % MG_HASH] ^= 0x80;
                assert_false(mg_merkle_consistent(from, &roots[from], to, &roots[to], &proof));
                proof.hashes[from % proof.count].bytes[from % MG_HASH] ^= 0x80;
                proof.count--;
                assert_false(mg_merkle_consistent(from, &roots[from], to, &roots[to], &proof));
                proof.count++;
            }
            proof.hashes[proof.count++] = roots[to];
            assert_false(mg_merkle_consistent(from, &roots[from], to, &roots[to], &proof));
        }
    struct mg_proof proof;
    assert_code(mg_merkle_consistency(&source, 6, 5, &proof), INVALID);
}

static void
growth_is_proven_out_of_the_old_tree_and_what_is_new(void **state)
{
    (void) state;
    struct mg_tree old = {0};
    for (uint64_t from = 0; from <= LEAVES; mg_tree_add(&old, &nodes[0][from]), from++)
        for (uint64_t to = from; to <= LEAVES; to++) {
            struct mg_proof expected, proof;
            assert_ok(mg_merkle_consistency(&source, from, to, &expected));
            assert_ok(mg_merkle_growth(&old, &nodes[0][from], to - from, &proof));
            assert_true(mg_view_equal(mg_proof_view(&proof), mg_proof_view(&expected)));
            if (from == LEAVES)
                return;
        }
}

static void
roots_of_every_size_come_out_of_the_source(void **state)
{
    (void) state;
    for (uint64_t size = 0; size <= LEAVES; size++) {
        struct mg_hash root;
        assert_ok(mg_merkle_root(&source, size, &root));
        assert_true(mg_hash_equal(&root, &roots[size]));
    }
    struct mg_hash root;
    assert_code(mg_merkle_root(&source, LEAVES + 1, &root), INVALID);
}

static void
proofs_travel_as_bytes(void **state)
{
    (void) state;
    struct mg_proof proof, back;
    assert_ok(mg_merkle_consistency(&source, 37, LEAVES, &proof));
    assert_ok(mg_proof_of_bytes(mg_proof_view(&proof), &back));
    assert_true(mg_merkle_consistent(37, &roots[37], LEAVES, &roots[LEAVES], &back));
    static const uint8_t long_bytes[(MG_PROOF_MOST + 1) * MG_HASH];
    assert_code(mg_proof_of_bytes(mg_view_of(long_bytes, sizeof long_bytes), &back), MALFORMED);
    assert_code(mg_proof_of_bytes(mg_view_of(long_bytes, 33), &back), MALFORMED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_certificate_transparency),
        cmocka_unit_test(every_inclusion_proof_verifies_and_no_other),
        cmocka_unit_test(every_consistency_proof_verifies_and_no_other),
        cmocka_unit_test(growth_is_proven_out_of_the_old_tree_and_what_is_new),
        cmocka_unit_test(roots_of_every_size_come_out_of_the_source),
        cmocka_unit_test(proofs_travel_as_bytes),
    };
    return cmocka_run_group_tests(tests, build, NULL);
}
