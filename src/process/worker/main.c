#include "base/log.h"
#include "process/worker/backup.h"
#include "process/worker/mail.h"
#include "process/worker/worker.h"

#include <unistd.h>

MG_HANDLER_DECLARE(control_database)
MG_HANDLER_DECLARE(tenant_provision)
MG_HANDLER_DECLARE(tenant_credentials_rotate)
MG_HANDLER_DECLARE(instances_list)
MG_HANDLER_DECLARE(probe_access)
MG_HANDLER_DECLARE(backup_order)
MG_HANDLER_DECLARE(backup_state)
MG_HANDLER_DECLARE(backup_entries)
MG_HANDLER_DECLARE(backup_facts)
MG_HANDLER_DECLARE(restore_look)

static int64_t
mail_job(mg_instant now)
{
    int64_t wait_ms = 60000;
    (void) now;
    const struct mg_status status = mg_worker_mail(mg_environment(), &wait_ms);
    if (!mg_ok(status))
        mg_log_status(MG_WARNING, "mail", status);
    return wait_ms;
}

/* A job is a row here and a file of its own. */
static const struct worker_job jobs[] = {
    /* Several at once: each takes what no other has in hand, so that one instance that hangs at its start
     * keeps no other waiting, and a thousand are up sooner. */
    {"credentials", credentials_job},
    {"credentials", credentials_job},
    {"credentials", credentials_job},
    {"credentials", credentials_job},
    {"mail", mail_job},
    {"seen", seen_job},
    /* After a reboot every instance can save its log again before the first long turn is over. */
    {"backup-quick", backup_quick_job},
    {"restore", restore_job},
    {"vault", vault_job},
    /* So many backups at once, and no more. */
    {"backup", backup_job},
    {"backup", backup_job},
};

static void *
job_thread(void *argument)
{
    const struct worker_job *job = argument;
    while (!mg_stopping()) {
        const int64_t wait_ms = job->run(mg_now());
        (void) usleep((useconds_t) (wait_ms < 10 ? 10 : wait_ms > 60000 ? 60000 : wait_ms) * 1000);
    }
    return NULL;
}

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    TRY(records_load(environment->directory));
    TRY(control_ensure());
    for (size_t i = 0; i < MG_COUNT(jobs); i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, job_thread, (void *) (uintptr_t) &jobs[i]) != 0)
            return fail_with(SYSTEM, "cannot start a thread");
        (void) pthread_detach(thread);
    }
    return OK;
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {
        MG_HANDLE_PUBLIC(control_database),
        MG_HANDLE_PUBLIC(tenant_provision),
        MG_HANDLE_PUBLIC(tenant_credentials_rotate),
        MG_HANDLE_PUBLIC(instances_list),
        MG_HANDLE_PUBLIC(probe_access),
        MG_HANDLE_PUBLIC(backup_order),
        MG_HANDLE_PUBLIC(backup_state),
        MG_HANDLE_PUBLIC(backup_entries),
        MG_HANDLE_PUBLIC(backup_facts),
        MG_HANDLE_PUBLIC(restore_look),
    };
    const struct mg_process_description description = {
        .process = MG_WORKER,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = 4,
        .start = start,
    };
    return mg_process_main(argc, argv, &description);
}
