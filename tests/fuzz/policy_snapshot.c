/* A worker's reader of the policy file. The digest is put right first, so that the fuzzer gets to
 * what lies behind it. */
#include "wire/policy_layout.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look_around(const struct mg_gate_policy *policy)
{
    for (size_t i = 0; i < policy->host_count; i++) {
        const struct mg_gate_host *host = mg_gate_host_find(policy, policy->hosts[i].name);
        mg_must(host == &policy->hosts[i]);
        (void) mg_gate_route_find(host, mg_view_text("/a/b"));
        (void) mg_network_set_has(&host->tenant->use, (struct mg_address){1, 2});
    }
    (void) mg_gate_host_find(policy, mg_view_text("nobody"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWN_BUFFER(file, 1 << 20);
    if (size > (1 << 20) || !mg_ok(mg_buffer_add(&file, mg_view_of(data, size))))
        return 0;
    if (size >= POLICY_HEAD + POLICY_DIGEST) {
        const size_t length = size - POLICY_HEAD - POLICY_DIGEST;
        for (int i = 0; i < 8; i++)
            file.bytes[24 + i] = (uint8_t) ((uint64_t) length >> (8 * i));
        if (!mg_ok(mg_policy_digest(mg_view_of(file.bytes, POLICY_HEAD),
                                    mg_view_of(file.bytes + POLICY_HEAD + POLICY_DIGEST, length),
                                    file.bytes + POLICY_HEAD)))
            return 0;
    }
    OWN(gate_policy) policy = NULL;
    if (mg_ok(mg_gate_policy_decode(mg_buffer_view(&file), &policy)))
        look_around(policy);
    return 0;
}
