/* What a TLS server may send to our scanner. */
#include "domain/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_server_answer answer;
    bool more = false;
    const struct mg_status status = mg_server_answer_decode(mg_view_of(data, size), &answer, &more);
    /* What is complete asks for no more, and an accepted hello names a version. */
    if (mg_ok(status)) {
        mg_must(!answer.complete || !more);
        mg_must(answer.kind != MG_ANSWER_RETRY || answer.version != 0 || !answer.complete);
    }
    return 0;
}
