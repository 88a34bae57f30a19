/* hasher: computes password hashes and touches nothing else: no file, no socket but the authority's,
 * no database. As many at once as there are cores, because each takes a core and 19 MiB for 20 ms;
 * a bounded number waits, the rest is told BUSY. */
#include "base/log.h"
#include "base/secret.h"
#include "base/time.h"
#include "ports/argon2_memory.h"
#include "ports/password_hash.h"
#include "process/runtime/runtime.h"

#include <unistd.h>

enum { THREADS_MOST = 16, QUEUE_MOST = 256 };

static struct mg_password_cost cost;
/* Of a random password with the current cost: what is computed for users who do not exist. */
static char dummy_hash[MG_PASSWORD_HASH_TEXT];

MG_HANDLER(password_hash)
{
    char hash[MG_PASSWORD_HASH_TEXT];
    TRY(mg_password_hash(request->password, cost, hash));
    return mg_answer_password_hash(call, &(struct mg_reply_password_hash){.hash = mg_view_text(hash)});
}

MG_HANDLER(password_verify)
{
    const bool known = request->hash.length != 0;
    const struct mg_view hash = known ? request->hash : mg_view_text(dummy_hash);
    bool match = false;
    const int64_t started_ms = mg_monotonic_ms();
    TRY(mg_password_verify(request->password, hash, &match));
    const struct mg_reply_password_verify reply = {
        .match = known && match,
        .rehash_needed = known && mg_password_needs_rehash(hash, cost),
        .took_ms = (uint64_t) (mg_monotonic_ms() - started_ms),
    };
    return mg_answer_password_verify(call, &reply);
}

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    cost = (struct mg_password_cost){
        .memory_kib = (uint32_t) environment->options->password_argon2_memory_kib,
        .passes = (uint32_t) environment->options->password_argon2_passes,
        .lanes = (uint32_t) environment->options->password_argon2_lanes,
    };
    TRY(mg_password_cost_check(cost));
    OWN_KEY(nobodys_password, 32);
    mg_random(nobodys_password, sizeof nobodys_password);
    TRY(mg_password_hash(mg_view_of(nobodys_password, sizeof nobodys_password), cost, dummy_hash));
    mg_argon2_memory_release(); /* this thread hashes no more */
    mg_log(MG_INFO, "argon2id m=%u KiB, t=%u, p=%u", cost.memory_kib, cost.passes, cost.lanes);
    return OK;
}

static unsigned
threads(void)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > THREADS_MOST ? THREADS_MOST : (unsigned) cores;
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {MG_HANDLE(password_hash), MG_HANDLE(password_verify)};
    const struct mg_process_description description = {
        .process = MG_HASHER,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = threads(),
        .queue_most = QUEUE_MOST,
        .start = start,
    };
    return mg_process_main(argc, argv, &description);
}
