/* The Merkle tree of RFC 6962 section 2.1 over SHA-256: hashes, proofs and their verification.
 *
 * A node is named by (level, index): level 0 are the leaf hashes, and node (l, i) covers the leaves
 * i * 2^l up to (i + 1) * 2^l. Sizes and indexes count leaves and stay below 2^63. */
#ifndef MG_DOMAIN_MERKLE_H
#define MG_DOMAIN_MERKLE_H

#include "base/bytes.h"

#define MG_HASH 32
struct mg_hash {
    uint8_t bytes[MG_HASH];
};

#define MG_TREE_MOST ((uint64_t) 1 << 62)
/* The longest proof for a tree of at most MG_TREE_MOST leaves. */
#define MG_PROOF_MOST 65

static inline bool
mg_hash_equal(const struct mg_hash *a, const struct mg_hash *b)
{
    return memcmp(a->bytes, b->bytes, MG_HASH) == 0;
}

/* SHA-256(0x00 || leaf) and SHA-256(0x01 || left || right). */
void mg_merkle_leaf(struct mg_view leaf, struct mg_hash *ret_hash);
void mg_merkle_node(const struct mg_hash *left, const struct mg_hash *right, struct mg_hash *ret_hash);

/* A growing tree: what is needed to add leaves and to know the root. All zero is the empty tree.
 * peaks[l] is the root of the complete subtree of 2^l leaves, for each bit l set in size. */
struct mg_tree {
    uint64_t size;
    struct mg_hash peaks[63];
};
void mg_tree_add(struct mg_tree *tree, const struct mg_hash *leaf_hash);
/* The same; also gives the nodes of levels 8, 16, 24, ... that this leaf completed, and their number:
 * the hashes of full tiles. */
unsigned mg_tree_add_tiles(struct mg_tree *tree, const struct mg_hash *leaf_hash,
                           struct mg_hash ret_tiles[8]);
/* The same for 2^level leaves at once, by their root; the tree's size must be a multiple of that. */
unsigned mg_tree_add_subtree(struct mg_tree *tree, unsigned level, const struct mg_hash *node,
                             struct mg_hash ret_tiles[8]);
void mg_tree_root(const struct mg_tree *tree, struct mg_hash *ret_root);

/* Where proofs get the hashes of complete subtrees from, such as tiles on disk. */
struct mg_tree_source {
    struct mg_status (*read)(void *context, unsigned level, uint64_t index, struct mg_hash *ret_hash);
    void *context;
};

struct mg_proof {
    size_t count;
    struct mg_hash hashes[MG_PROOF_MOST];
};

/* The root of the tree's first `size` leaves. */
CHECKED struct mg_status mg_merkle_root(const struct mg_tree_source *source, uint64_t size,
                                        struct mg_hash *ret_root);
/* PATH(index, D[size]); INVALID unless index < size. */
CHECKED struct mg_status mg_merkle_inclusion(const struct mg_tree_source *source, uint64_t index,
                                             uint64_t size, struct mg_proof *ret_proof);
/* PROOF(from, D[to]); empty for from 0 or from == to; INVALID unless from <= to. */
CHECKED struct mg_status mg_merkle_consistency(const struct mg_tree_source *source, uint64_t from,
                                               uint64_t to, struct mg_proof *ret_proof);
/* PROOF(old->size, old with `count` leaves added), out of nothing but the old tree and the hashes added. */
CHECKED struct mg_status mg_merkle_growth(const struct mg_tree *old, const struct mg_hash *added,
                                          uint64_t count, struct mg_proof *ret_proof);

/* RFC 9162 sections 2.1.3.2 and 2.1.4.2; false for every proof that is not exactly right. */
bool mg_merkle_included(const struct mg_hash *leaf_hash, uint64_t index, uint64_t size,
                        const struct mg_proof *proof, const struct mg_hash *root);
bool mg_merkle_consistent(uint64_t from, const struct mg_hash *from_root, uint64_t to,
                          const struct mg_hash *to_root, const struct mg_proof *proof);

/* A proof as hashes back to back; MALFORMED unless a whole number of at most MG_PROOF_MOST. */
CHECKED struct mg_status mg_proof_of_bytes(struct mg_view bytes, struct mg_proof *ret_proof);
static inline struct mg_view
mg_proof_view(const struct mg_proof *proof)
{
    return mg_view_of(proof->hashes, proof->count * MG_HASH);
}

#endif
