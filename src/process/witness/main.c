/* witness: another uid than audit's looks at the published log every few seconds and cosigns what continues
 * what it cosigned before. It talks to nobody. A customer runs the same with `masugata audit witness`. */
#include "base/io.h"
#include "base/log.h"
#include "ports/witness.h"
#include "process/runtime/runtime.h"

#define PERIOD_MS 5000

static void
look(const struct mg_environment *environment)
{
    static char reported[256];
    char own[MG_PATH], log[MG_PATH], path[MG_PATH];
    OWN_BUFFER(text, 4096);
    struct mg_vkey key;
    struct mg_witness_result result;
    struct mg_status status = mg_path_join(own, environment->directory, "witness");
    if (mg_ok(status))
        status = mg_path_join(log, environment->directory, "audit/log");
    if (mg_ok(status))
        status = mg_path_join(path, environment->directory, "audit/log.vkey");
    if (mg_ok(status))
        status = mg_file_read(path, &text);
    if (status.code == MG_NOT_FOUND)
        return; /* the log is about to be opened for the first time */
    if (mg_ok(status))
        status = mg_vkey_parse(mg_buffer_view(&text), &key);
    if (mg_ok(status))
        status = mg_witness_look(own, log, &key, (uint64_t) (mg_now() / 1000), &result);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "look at the log", status);
        return;
    }
    if (result.refused[0] != '\0' && strcmp(result.refused, reported) != 0)
        mg_log(MG_ERROR, "NOT cosigned: %s", result.refused);
    (void) snprintf(reported, sizeof reported, "%s", result.refused);
}

static void
tick(mg_instant now)
{
    static int64_t looked_ms;
    (void) now;
    if (looked_ms != 0 && mg_monotonic_ms() - looked_ms < PERIOD_MS)
        return;
    looked_ms = mg_monotonic_ms();
    look(mg_environment());
}

int
main(int argc, char **argv)
{
    static const struct mg_process_description description = {
        .process = MG_WITNESS, .threads = 1, .tick = tick};
    return mg_process_main(argc, argv, &description);
}
