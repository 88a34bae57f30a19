/* canary: does nothing but run, so that the prober can have something crash without hurting anybody
 * and watch the warden start it again (control MONITORING_07). */
#include "process/runtime/runtime.h"

#include <unistd.h>

MG_HANDLER(canary_die)
{
    (void) request;
    (void) call;
    _exit(70); /* as a crash would: no answer, no clean-up */
}

static const struct mg_handler_row handlers[] = {MG_HANDLE(canary_die)};

int
main(int argc, char **argv)
{
    const struct mg_process_description description = {
        .process = MG_CANARY, .handlers = handlers, .handler_count = MG_COUNT(handlers), .threads = 1};
    return mg_process_main(argc, argv, &description);
}
