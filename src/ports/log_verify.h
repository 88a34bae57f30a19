/* Checks a copy of a log against its public key, offline, and names what is wrong with it.
 *
 * Every entry is hashed and compared with its tile, every tile with the one above, the root with the
 * signed checkpoint; a checkpoint remembered or witnessed earlier must be a beginning of the log. */
#ifndef MG_PORTS_LOG_VERIFY_H
#define MG_PORTS_LOG_VERIFY_H

#include "domain/merkle.h"
#include "wire/note.h"

/* FINDING(name, English, Japanese); the texts stand before the place. */
#define MG_LOG_FINDINGS(FINDING)                                                                             \
    FINDING(checkpoint_missing, "there is no readable checkpoint", "チェックポイントを読めません")           \
    FINDING(checkpoint_malformed, "the checkpoint is damaged", "チェックポイントが破損しています")           \
    FINDING(checkpoint_unsigned, "the checkpoint is not signed by this key", "この鍵による署名がありません") \
    FINDING(checkpoint_signature, "the checkpoint's signature is wrong", "チェックポイントの署名が不正です") \
    FINDING(truncated, "entries are missing", "記録が欠けています")                                          \
    FINDING(entry_changed, "an entry was changed", "記録が改変されています")                                 \
    FINDING(entries_reordered, "entries were put in another order", "記録の順序が変えられています")          \
    FINDING(tile_missing, "a hash tile is missing or too short", "ハッシュタイルが欠けています")             \
    FINDING(tile_changed, "a hash tile was changed", "ハッシュタイルが改変されています")                     \
    FINDING(root_differs, "the entries do not give the signed root", "記録と署名済みルートが一致しません")   \
    FINDING(rolled_back, "the log was rolled back: an older state was put in its place",                     \
            "ログが過去の状態に巻き戻されています")                                                          \
    FINDING(history_rewritten, "the log does not continue the remembered checkpoint",                        \
            "控えのチェックポイントに続くログではありません")                                                \
    FINDING(remembered_signature, "the remembered checkpoint is not signed by a given key",                  \
            "控えのチェックポイントの署名を確認できません")

enum mg_log_finding_kind {
    MG_LOG_SOUND = 0,
#define FINDING(name, ...) MG_LOG_##name,
    MG_LOG_FINDINGS(FINDING)
#undef FINDING
        MG_LOG_FINDING_KIND_COUNT
};
struct mg_log_finding_row {
    const char *name, *en, *ja;
};
const struct mg_log_finding_row *mg_log_finding_row(enum mg_log_finding_kind kind);

#define MG_LOG_FINDINGS_MOST 64
struct mg_log_finding {
    enum mg_log_finding_kind kind;
    uint64_t index; /* of the entry; UINT64_MAX where it is about no entry */
    char place[128];
};

enum mg_log_rollback {
    MG_ROLLBACK_NOT_EXCLUDED = 0, /* no earlier checkpoint to compare with */
    MG_ROLLBACK_EXCLUDED,         /* up to that checkpoint */
    MG_ROLLBACK_DETECTED,
};

struct mg_log_report {
    uint64_t size; /* by the checkpoint */
    struct mg_hash root;
    uint64_t checked;     /* entries hashed */
    uint64_t remembered;  /* size of the remembered checkpoint */
    uint64_t witnessed_s; /* time of the newest valid cosignature, 0 if there is none */
    enum mg_log_rollback rollback;
    size_t count, not_listed;
    struct mg_log_finding findings[MG_LOG_FINDINGS_MOST];
};

/* Entries from `from` up to `to`. */
struct mg_log_range {
    uint64_t from, to;
};

struct mg_log_trust {
    const struct mg_vkey *log;
    const struct mg_vkey *witness; /* NULL: none */
    struct mg_view remembered;     /* a signed note; empty: none */
    /* For whoever looks often: bundles that lie wholly inside one of these are not read, the tile above
     * them, which is checked up to the signed root, stands for them. All zero: everything is read. */
    struct mg_log_range skipped[2];
};

/* OK with findings is a report; a failing status means that nothing could be said. */
CHECKED struct mg_status mg_log_verify(const char *directory, const struct mg_log_trust *trust,
                                       struct mg_log_report *ret_report);

#endif
