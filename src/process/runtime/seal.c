#include "process/runtime/internal.h"

/* Until the sandbox lands the report says that nothing is active, and `status` shows it. */
struct mg_status
mg_runtime_seal(enum mg_process process, const struct mg_environment *environment, struct mg_reply_configure *report)
{
    (void) process;
    (void) environment;
    *report = (struct mg_reply_configure) {0};
    return OK;
}
