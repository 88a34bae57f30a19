/* Proofs of one entry as people keep and hand them on: whatever is accepted is signed, in its tree and
 * readable. */
#include "ports/log_proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    MG_CLEANUP(mg_log_proof_drop) struct mg_log_proof proof = {.index = 0};
    if (mg_ok(mg_log_proof_check(mg_view_of(bytes, length), NULL, &proof)))
        mg_must(proof.own_key && proof.index < proof.size && proof.log[0] != '\0');
    return 0;
}
