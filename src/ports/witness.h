/* A witness: cosigns the checkpoints of a log that continue the last one it cosigned, and no others
 * (c2sp.org/tlog-cosignature; the checks of c2sp.org/tlog-witness, with the log's files in place of its
 * HTTP interface). It needs nothing of the log but its public key and its published files.
 *
 * Its directory holds witness.key (secret), witness.vkey, and checkpoint: the last one with the
 * log's and the witness's signatures, which `masugata audit verify --checkpoint` takes. */
#ifndef MG_PORTS_WITNESS_H
#define MG_PORTS_WITNESS_H

#include "wire/note.h"

struct mg_witness_result {
    uint64_t size;     /* of the checkpoint cosigned last */
    bool cosigned;     /* a new one */
    char refused[256]; /* why the log's checkpoint was not cosigned; empty if it was, or is the last one */
};

/* One look at the log. A status means that it could not be looked at. */
CHECKED struct mg_status mg_witness_look(const char *directory, const char *log_directory,
                                         const struct mg_vkey *log_key, uint64_t now_s,
                                         struct mg_witness_result *ret_result);

#endif
