/* One entry of the audit log as the console and `masugata audit proof --json` hand it out, checked without
 * the system:
 * {"entry":N,"proof":c2sp.org/tlog-proof,"leaf":base64,"key":base64,"log":vkey}. */
#ifndef MG_PORTS_LOG_PROOF_H
#define MG_PORTS_LOG_PROOF_H

#include "wire/note.h"

#define MG_LOG_PROOF_MOST 262144

struct mg_log_proof {
    uint64_t index, size;   /* the entry, and of how many */
    char log[512];          /* the vkey that the checkpoint is signed with */
    bool own_key;           /* nobody said which key is right: it came with the proof itself */
    bool open;              /* the entry could be read; otherwise no key came with it (it was erased) */
    struct mg_buffer event; /* OCSF JSON */
};
void mg_log_proof_drop(struct mg_log_proof *proof);

/* `key`: the log's, or NULL for the one that came with the proof. MALFORMED when it is no such document,
 * INTEGRITY when anything in it is not as it must be: the signature, the place in the tree, the entry's own
 * key. */
CHECKED struct mg_status mg_log_proof_check(struct mg_view document, const struct mg_vkey *key,
                                            struct mg_log_proof *ret_proof);

#endif
