#include "process/audit/audit.h"

#include "ports/crypto.h"

#include <sys/stat.h>

static CHECKED struct mg_status
prepare(const struct mg_environment *environment)
{
    /* The published files are for everybody who checks the log; entries are encrypted, and what is not
     * for others has its own mode. */
    (void) umask(0022);
    (void) environment;
    return mg_crypto_start();
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {
        MG_HANDLE_QUICK(audit_append),
        MG_HANDLE_PUBLIC(audit_read),
        MG_HANDLE_PUBLIC(audit_proof),
        MG_HANDLE_PUBLIC(audit_state),
    };
    const struct mg_process_description description = {
        .process = MG_AUDIT,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = 2, /* searches; appends pass through on the reading thread */
        .prepare = prepare,
        .start = mg_sequencer_start,
        .tick = mg_retention_tick,
        .stop = mg_sequencer_stop,
    };
    return mg_process_main(argc, argv, &description);
}
