/* masugata tenant policy NAME: shows what a tenant has of its own, or replaces it from a file. */
#include "cli/tenant_policy.h"
#include "cli/people.h"

#include "base/io.h"

#include <stdio.h>
#include <unistd.h>

struct mg_status
mg_cli_tenant_policy_fetch(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant,
                           struct mg_tenant_policy **ret_policy)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN(tenant_policy) policy = NULL;
    struct mg_reply_tenant_policy reply;
    struct mg_record_tenant_setting row;
    bool more = true;
    const struct mg_view name = mg_view_text(tenant);
    TRY(mg_admin_tenant_policy(admin, &(struct mg_request_tenant_policy){.tenant = name}, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, name));
    TRY(mg_tenant_policy_new(&policy));
    for (;;) {
        TRY(mg_list_next_tenant_setting(&reply.settings, &row, &more));
        if (!more)
            break;
        TRY(mg_tenant_policy_set(policy, row.route, row.keyword, row.value));
    }
    *ret_policy = TAKE(policy);
    return OK;
}

static CHECKED struct mg_status
members_add(const void *record, const struct mg_option_row *rows, size_t count, struct mg_buffer *json)
{
    for (size_t i = 0; i < count; i++) {
        OWN_BUFFER(value, 8192);
        TRY(mg_option_record_text(record, &rows[i], &value));
        TRY(mg_buffer_format(json, "%s\"%s\":", i == 0 ? "" : ",", rows[i].keyword));
        TRY(mg_buffer_add_json_string(json, mg_buffer_view(&value)));
    }
    return OK;
}

static CHECKED struct mg_status
json_write(const struct mg_tenant_policy *policy, struct mg_buffer *json)
{
    TRY(mg_buffer_add_text(json, "{"));
    TRY(members_add(&policy->settings, mg_tenant_option_rows, mg_tenant_option_count, json));
    TRY(mg_buffer_add_text(json, ",\"routes\":["));
    for (size_t i = 0; i < policy->route_count; i++) {
        TRY(mg_buffer_format(json, "%s{\"path\":", i == 0 ? "" : ","));
        TRY(mg_buffer_add_json_string(json, mg_view_text(policy->routes[i].path)));
        TRY(mg_buffer_add_text(json, ","));
        TRY(members_add(&policy->routes[i].settings, mg_route_option_rows, mg_route_option_count, json));
        TRY(mg_buffer_add_text(json, "}"));
    }
    return mg_buffer_add_text(json, "]}\n");
}

static CHECKED struct mg_status
policy_show(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN(tenant_policy) policy = NULL;
    OWN_BUFFER(text, 1 << 20);
    TRY(mg_cli_tenant_policy_fetch(cli, admin, cli->argv[2], &policy));
    TRY(cli->json ? json_write(policy, &text) : mg_tenant_policy_write(policy, cli->japanese, &text));
    (void) fputs(mg_buffer_text(&text), stdout);
    return OK;
}

static CHECKED struct mg_status
setting_add(const char *path, const void *record, const struct mg_option_row *row, struct mg_buffer *list)
{
    OWN_BUFFER(value, 8192);
    TRY(mg_option_record_text(record, row, &value));
    const struct mg_record_tenant_setting setting = {
        .route = mg_view_text(path), .keyword = mg_view_text(row->keyword), .value = mg_buffer_view(&value)};
    return mg_list_add_tenant_setting(list, &setting);
}

struct mg_status
mg_cli_tenant_policy_send(const struct mg_cli *cli, struct mg_admin *admin, const char *tenant,
                          const struct mg_tenant_policy *policy)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_policy_set reply;
    for (size_t i = 0; i < mg_tenant_option_count; i++) {
        const char *keyword = mg_tenant_option_rows[i].keyword;
        if ((policy->names_plan || strcmp(keyword, "backup.plan") != 0) &&
            (policy->names_residency || strcmp(keyword, "residency") != 0))
            TRY(setting_add("", &policy->settings, &mg_tenant_option_rows[i], &list));
    }
    for (size_t r = 0; r < policy->route_count; r++)
        for (size_t i = 0; i < mg_route_option_count; i++)
            TRY(setting_add(policy->routes[r].path, &policy->routes[r].settings, &mg_route_option_rows[i],
                            &list));
    const struct mg_request_tenant_policy_set request = {.tenant = mg_view_text(tenant),
                                                         .settings = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_admin_tenant_policy_set(admin, &request, &reply, &storage));
    return mg_cli_outcome(cli, reply.outcome, reply.outcome == MG_NOT_VALID ? reply.reason : request.tenant);
}

struct mg_status
mg_cli_tenant_policy(const struct mg_cli *cli, struct mg_admin *admin, const char *file)
{
    OWN(tenant_policy) policy = NULL;
    OWN_BUFFER(text, MG_TENANT_POLICY_FILE_MOST);
    if (file == NULL)
        return policy_show(cli, admin);
    const bool standard_input = strcmp(file, "-") == 0;
    TRY(standard_input ? mg_fd_read_all(STDIN_FILENO, &text) : mg_file_read(file, &text));
    if (memchr(text.bytes, '\0', text.length) != NULL)
        return fail_with(CONFIGURATION, "%s: not UTF-8 text", file);
    TRY(mg_tenant_policy_parse(standard_input ? "standard input" : file, mg_buffer_text(&text), &policy));
    TRY(mg_cli_tenant_policy_send(cli, admin, cli->argv[2], policy));
    mg_cli_done(cli, "The policy is in force.", "ポリシーを反映しました。", "routes", policy->route_count);
    return OK;
}
