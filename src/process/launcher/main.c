#include "base/log.h"
#include "process/launcher/launcher.h"

#include <sys/syscall.h>

MG_HANDLER_DECLARE(instance_start)
MG_HANDLER_DECLARE(instance_stop)
MG_HANDLER_DECLARE(credentials_publish)
MG_HANDLER_DECLARE(nginx_apply)
MG_HANDLER_DECLARE(drill_stop)
MG_HANDLER_DECLARE(drill_start)
MG_HANDLER_DECLARE(backup_prepare)
MG_HANDLER_DECLARE(backup_run)
MG_HANDLER_DECLARE(restore_run)
MG_HANDLER_DECLARE(restore_remove)
MG_HANDLER_DECLARE(restore_check)
MG_HANDLER_DECLARE(backup_files)
MG_HANDLER_DECLARE(backup_sealed)
MG_HANDLER_DECLARE(vault_run)

MG_HANDLER(children_list)
{
    OWN_BUFFER(list, 122880);
    TRY(children_list(request->from, &list));
    return mg_answer_children_list(call,
                                   &(struct mg_reply_children_list){.children.bytes = mg_buffer_view(&list)});
}

/* The order in which they stop: what uses a database before the database. */
static const struct child_kind *const kinds[] = {&nginx_kind, &application_kind, &postgres_kind};

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    TRY(places_find());
    return children_open(environment->runtime_directory, kinds, MG_COUNT(kinds));
}

static void
stop(const struct mg_environment *environment)
{
    (void) environment;
    children_stop_all();
}

int
main(int argc, char **argv)
{
    static const struct mg_handler_row handlers[] = {
        MG_HANDLE_PUBLIC(instance_start), MG_HANDLE_PUBLIC(instance_stop),
        MG_HANDLE(children_list),         MG_HANDLE_PUBLIC(credentials_publish),
        MG_HANDLE_PUBLIC(nginx_apply),    MG_HANDLE_PUBLIC(drill_stop),
        MG_HANDLE_PUBLIC(drill_start),    MG_HANDLE_PUBLIC(backup_prepare),
        MG_HANDLE_PUBLIC(backup_run),     MG_HANDLE_PUBLIC(restore_run),
        MG_HANDLE_PUBLIC(restore_remove), MG_HANDLE_PUBLIC(restore_check),
        MG_HANDLE_PUBLIC(backup_files),   MG_HANDLE_PUBLIC(backup_sealed),
        MG_HANDLE_PUBLIC(vault_run),
    };
    const struct mg_process_description description = {
        .process = MG_LAUNCHER,
        .handlers = handlers,
        .handler_count = MG_COUNT(handlers),
        .threads = 12, /* a few run pgBackRest for hours; the start of several databases at once, and nginx
                          does not wait for them */
        .start = start,
        .tick = logs_tick,
        .stop = stop,
    };
    return mg_process_main(argc, argv, &description);
}
