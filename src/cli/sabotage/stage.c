/* The deployment that is broken: made for this, in a directory made for this, and removed after. */
#include "base/secret.h"
#include "cli/demo.h"
#include "cli/sabotage/sabotage.h"
#include "cli/tenant_policy.h"
#include "ports/configuration.h"

#include <stdlib.h>
#include <unistd.h>

enum { START_MS = 120000, COMMAND_MS = 60000 };

/* Options that name this machine's ports, places, outside servers or certificates are the stage's
 * own; every other option is policy and is copied from the deployment that was named. So is the TLS
 * profile: with one that allows AES-128, EDGE_01 says broken, as it should, and could not be seen to fail. */
static bool
is_policy(const char *keyword)
{
    static const char *const own[] = {"gate.address",
                                      "gate.https_port",
                                      "gate.http_port",
                                      "runtime.directory",
                                      "tls.certificate",
                                      "tls.key",
                                      "keys.root",
                                      "mail.url",
                                      "database.url",
                                      "gate.sessions",
                                      "tls.profile",
                                      "tls.legacy",
                                      "backup.near.path",
                                      "backup.plan",
                                      "backup.first_within",
                                      "backup.near.site",
                                      "backup.vault.path",
                                      "backup.vault.site",
                                      "site"};
    for (size_t i = 0; i < MG_COUNT(own); i++)
        if (strcmp(keyword, own[i]) == 0)
            return false;
    return true;
}

static CHECKED struct mg_status
configuration(const struct mg_options *policy, struct mg_buffer *text)
{
    uint16_t https, http, smtp;
    TRY(mg_stage_free_port(&https));
    TRY(mg_stage_free_port(&http));
    TRY(mg_stage_free_port(&smtp));
    TRY(mg_buffer_format(
        text,
        "# A synthetic deployment of `masugata prove --sabotage`; it is removed afterwards.\n"
        "gate.https_port = %u\ngate.http_port = %u\nmail.url = \"smtp://127.0.0.1:%u\"\n"
        "tls.profile = \"aes256\"\n"
        /* The plans contradict each other: Masugata's own database has one, each tenant another. */
        "backup.plan = \"year\"\nbackup.first_within = \"0s\"\n",
        (unsigned) https, (unsigned) http, (unsigned) smtp));
    /* The strictest of the profiles that contradict nothing, so that its control can be seen to fail. */
    if (policy == NULL || policy->operators_password_max_age == 0)
        TRY(mg_buffer_add_text(text, "operators.password.max_age = \"60d\"\n"));
    for (size_t i = 0; policy != NULL && i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        OWN_BUFFER(value, 4096);
        if (!is_policy(row->keyword) || row->secret)
            continue;
        TRY(mg_option_text(policy, row, &value));
        if (strcmp(mg_buffer_text(&value), row->preset) != 0)
            TRY(mg_buffer_format(text, "%s = \"%s\"\n", row->keyword, mg_buffer_text(&value)));
    }
    return OK;
}

/* The options of --dir, or none if nobody named a deployment and none is there. */
static CHECKED struct mg_status
policy_of(const struct mg_cli *cli, struct mg_options **ret_options)
{
    struct mg_deployment deployment;
    const struct mg_status status = mg_cli_deployment(cli, ret_options, &deployment);
    return status.code == MG_NOT_FOUND ? OK : status;
}

struct mg_status
mg_stage_command(struct mg_stage *stage, const char *const *words, struct mg_buffer *output)
{
    const char *arguments[32] = {stage->program};
    size_t count = 1;
    while (words[count - 1] != NULL && count < MG_COUNT(arguments) - 4) {
        arguments[count] = words[count - 1];
        count++;
    }
    arguments[count++] = "--dir";
    arguments[count++] = stage->directory;
    const struct mg_program program = {
        .arguments = arguments, .uid = MG_SAME_UID, .gid = MG_SAME_GID, .output_fd = -1};
    const bool starts = strcmp(words[0], "up") == 0;
    return mg_program_succeed(&program, starts ? START_MS : COMMAND_MS, output);
}

static CHECKED struct mg_status
tenants_find(struct mg_stage *stage)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_list reply;
    TRY(mg_admin_tenant_list(stage->admin, &(struct mg_request_tenant_list){0}, &reply, &storage));
    size_t count = 0;
    for (bool more = true;;) {
        struct mg_record_tenant_row row;
        TRY(mg_list_next_tenant_row(&reply.tenants, &row, &more));
        if (!more)
            break;
        if (count == MG_COUNT(stage->tenants))
            continue;
        TRY(mg_view_copy(row.name, stage->names[count], sizeof stage->names[count]));
        stage->tenants[count++] = row.tenant;
    }
    if (count < MG_COUNT(stage->tenants))
        return fail_with(SYSTEM, "the synthetic deployment has %zu tenants, not two", count);
    return OK;
}

/* Beside what the demo's customers have of their own. */
static CHECKED struct mg_status
plans_set(struct mg_stage *stage)
{
    static const char *const plans[MG_COUNT(stage->tenants)] = {"frequent", "days90"};
    for (size_t i = 0; i < MG_COUNT(stage->tenants); i++) {
        OWN(tenant_policy) policy = NULL;
        TRY(mg_cli_tenant_policy_fetch(&stage->own, stage->admin, stage->names[i], &policy));
        TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, mg_view_text("backup.plan"), mg_view_text(plans[i])));
        TRY(mg_cli_tenant_policy_send(&stage->own, stage->admin, stage->names[i], policy));
    }
    return OK;
}

static CHECKED struct mg_status
stage_start(struct mg_stage *stage)
{
    OWN(options) policy = NULL;
    OWN_BUFFER(text, 65536);
    OWN_BUFFER(output, 65536);
    TRY(policy_of(stage->cli, &policy));
    TRY(configuration(policy, &text));
    TRY(mg_cli_directory_make(stage->directory, mg_buffer_view(&text)));
    const char *const up[] = {"up", "--detach", NULL};
    TRY(mg_stage_command(stage, up, &output));
    TRY(mg_admin_open(&stage->own, &stage->admin));
    TRY(mg_cli_demo_customers(&stage->own, stage->admin, MG_COUNT(stage->tenants)));
    struct mg_deployment deployment;
    TRY(mg_cli_deployment(&stage->own, &stage->options, &deployment));
    TRY(tenants_find(stage));
    return plans_set(stage);
}

struct mg_status
mg_stage_make(const struct mg_cli *cli, struct mg_stage *stage)
{
    uint8_t bytes[6];
    char hex[13];
    const char *base = getenv("TMPDIR");
    *stage = (struct mg_stage){.cli = cli, .own = *cli, .saved = MG_BUFFER(64 << 20)};
    mg_random(bytes, sizeof bytes);
    mg_hex(mg_view_of(bytes, sizeof bytes), hex);
    (void) snprintf(stage->directory, sizeof stage->directory, "%s/masugata-sabotage-%s",
                    base == NULL || base[0] != '/' ? "/var/tmp" : base, hex);
    stage->own.directory = stage->directory;
    const ssize_t length = readlink("/proc/self/exe", stage->program, sizeof stage->program - 1);
    if (length <= 0)
        return fail_errno("find this program");
    stage->program[length] = '\0';
    if (access(stage->directory, F_OK) == 0)
        return fail_with(EXISTS, "%s", stage->directory);
    return stage_start(stage);
}

void
mg_stage_drop(struct mg_stage *stage)
{
    OWN_BUFFER(output, 65536);
    char file[MG_PATH];
    const char *const down[] = {"down", NULL};
    struct mg_status status = mg_stage_command(stage, down, &output);
    mg_admin_drop(&stage->admin);
    mg_options_drop(&stage->options);
    mg_buffer_drop(&stage->saved);
    /* Only a directory that has the configuration written above is ours to remove. */
    if (mg_ok(status))
        status = mg_path_join(file, stage->directory, "masugata.conf");
    if (mg_ok(status) && access(file, F_OK) == 0)
        status = mg_tree_remove(stage->directory);
    if (!mg_ok(status))
        (void) mg_cli_fail(stage->cli, status);
}
