/* masugata-authority: decides. Owns the control database, the session table and the policy. */
#include "process/authority/requests.h"

static const struct mg_handler_row handlers[] = {
#define X(name) MG_HANDLE_PUBLIC(name),
    MG_AUTHORITY_REQUESTS(X)
#undef X
#define X(name) MG_HANDLE_QUICK(name),
    MG_AUTHORITY_QUEUED_REQUESTS(X)
#undef X
};

int
main(int argc, char **argv)
{
    static const struct mg_process_description description = {
        .process = MG_AUTHORITY,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = 12, /* as many as pooled connections: each handler waits for at most one */
        .prepare = mg_core_prepare,
        .start = mg_core_start,
        .tick = mg_core_tick,
    };
    return mg_process_main(argc, argv, &description);
}
