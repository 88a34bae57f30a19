/* What `masugata backup`, `restore` and `drill` share: an order to the worker, and its end. */
#include "cli/backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { POLL_US = 200000, BUSY_TRIES = 600 };

const char *
mg_cli_backup_shown(const char *name)
{
    return name[0] != '\0' ? name : "(masugata)";
}

struct mg_status
mg_cli_backup_tenants(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_backup_names *names)
{
    char after[64] = "";
    for (bool more = true; more;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_tenant_list reply;
        TRY(mg_admin_tenant_list(admin, &(struct mg_request_tenant_list){.after = mg_view_text(after)},
                                 &reply, &storage));
        TRY(mg_cli_outcome(cli, reply.outcome, MG_VIEW_EMPTY));
        more = reply.more;
        for (bool another = true;;) {
            struct mg_record_tenant_row row;
            TRY(mg_list_next_tenant_row(&reply.tenants, &row, &another));
            if (!another || names->count == MG_CLI_BACKUP_NAMES)
                break;
            TRY(mg_view_copy(row.name, after, sizeof after));
            TRY(mg_view_copy(row.name, names->list[names->count++], sizeof names->list[0]));
        }
    }
    return OK;
}

struct mg_status
mg_cli_backup_look(const struct mg_cli *cli, struct mg_admin *admin, const char *name,
                   struct mg_reply_backup_look *ret_reply, struct mg_buffer *storage)
{
    TRY(mg_admin_backup_look(admin, &(struct mg_request_backup_look){.tenant = mg_view_text(name)}, ret_reply,
                             storage));
    return mg_cli_outcome(cli, ret_reply->outcome, mg_view_text(name));
}

struct mg_status
mg_cli_backup_order(const struct mg_cli *cli, struct mg_admin *admin, const char *name, uint64_t what,
                    mg_instant target, uint64_t *ret_number)
{
    for (int tries = 0;; tries++) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_now reply;
        const struct mg_request_backup_now request = {
            .tenant = mg_view_text(name), .order = what, .target = target};
        const struct mg_status status = mg_admin_backup_now(admin, &request, &reply, &storage);
        if (status.code == MG_BUSY && tries < BUSY_TRIES) {
            (void) usleep(POLL_US);
            continue;
        }
        TRY(status);
        *ret_number = reply.number;
        return mg_cli_outcome(cli, reply.outcome, mg_view_text(name));
    }
}

static void
progress_show(const struct mg_cli *cli, const char *name, const struct mg_reply_backup_look *reply, bool end)
{
    if (cli->json || isatty(STDERR_FILENO) == 0)
        return;
    if (end)
        (void) fprintf(stderr, "\r\033[K");
    else
        (void) fprintf(stderr, "\r\033[K%s: %s %" PRIu64 ".%02" PRIu64 " %%", mg_cli_backup_shown(name),
                       reply->waiting ? mg_cli_say(cli, "waiting", "待機中")
                                      : mg_cli_say(cli, "running", "実行中"),
                       reply->progress / 100, reply->progress % 100);
}

/* Until the order is done; its result is the label of the backup. Of a check that found something this is no
 * failure: what it found is in the overview. */
struct mg_status
mg_cli_backup_await(const struct mg_cli *cli, struct mg_admin *admin, const char *name, uint64_t number,
                    char result[512])
{
    for (;;) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        struct mg_reply_backup_look reply;
        TRY(mg_cli_backup_look(cli, admin, name, &reply, &storage));
        const bool over = !reply.waiting && !reply.running;
        progress_show(cli, name, &reply, over);
        TRY(mg_view_copy(reply.result, result, 512));
        if (reply.number != number)
            return fail_with(UNAVAILABLE,
                             "%s: the worker was started again; `masugata backup list` shows what there is",
                             mg_cli_backup_shown(name));
        if (over && reply.failure != MG_OK)
            return mg_fail_with(reply.failure < MG_CODE_COUNT ? (enum mg_code) reply.failure : MG_SYSTEM,
                                MG_HERE, "%s: %s", mg_cli_backup_shown(name), result);
        if (over)
            return OK;
        (void) usleep(POLL_US);
    }
}

static CHECKED struct mg_status
plain_run(const struct mg_cli_plain *plain, const struct mg_cli *cli)
{
    OWN(admin) admin = NULL;
    if (cli->argc > 1)
        return fail_with(USAGE, "%s %s", cli->argv[0], cli->argv[1]);
    TRY(mg_admin_open(cli, &admin));
    return plain->run(cli, admin);
}

int
mg_cli_plain_run(const struct mg_cli_plain *plain, int argc, char **argv)
{
    struct mg_cli cli;
    struct mg_status status = mg_cli_read(&cli, argc, argv, plain->options);
    if (mg_ok(status) && cli.help)
        return mg_cli_help(&cli, plain->usage, plain->en, plain->ja);
    if (mg_ok(status))
        status = plain_run(plain, &cli);
    return mg_ok(status) ? 0 : mg_cli_fail(&cli, status);
}
