#include "cli/role.h"

#include "domain/permission.h"
#include "domain/role.h"

/* What is done on the pages, from the table the portal answers by. */
enum check { READS, FORM_TOKEN, SAME_ORIGIN, MACHINE };
enum { APP = 1, ID = 2, OPS = 4, ANYWHERE = 7 };
#define PUBLIC MG_PERMISSION_NONE
#define PASSING MG_PERMISSION_NONE
#define NOBODY MG_PERMISSION_NONE
#define PERSON MG_PERMISSION_account_own
#define MAY(permission) MG_PERMISSION_##permission
static const struct action {
    const char *path;
    enum check check;
    unsigned origins;
    enum mg_permission needed;
} actions[] = {
#define ROUTE(path, check, origins, need, page) {path, check, origins, need},
#include "../../catalogue/routes.def"
#undef ROUTE
};

static const struct {
    const char *request;
    enum mg_permission needed;
} requests[] = {
#define NEEDS(request, permission) {#request, MG_PERMISSION_##permission},
#include "../../catalogue/permissions.def"
};

static bool
role_has(const struct mg_role_row *role, enum mg_permission permission)
{
    const struct mg_view name = mg_view_text(role->name);
    return mg_permissions_have(mg_permissions_of_roles(name, mg_view_is(name, "operator")), permission);
}

/* ---- JSON ---- */

static CHECKED struct mg_status
member_add(struct mg_buffer *text, const char *name, const char *value)
{
    TRY(mg_buffer_format(text, ",\"%s\":", name));
    return mg_buffer_add_json_string(text, mg_view_text(value));
}

static CHECKED struct mg_status
permissions_json(struct mg_buffer *text)
{
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        const char *between = "";
        TRY(mg_buffer_format(text, "%s\n{\"permission\":\"%s\"", i == 1 ? "" : ",", row->keyword));
        TRY(member_add(text, "en", row->en));
        TRY(member_add(text, "ja", row->ja));
        TRY(mg_buffer_add_text(text, ",\"roles\":["));
        for (size_t r = 0; r < mg_role_count; r++)
            if (role_has(&mg_role_rows[r], (enum mg_permission) i)) {
                TRY(mg_buffer_format(text, "%s\"%s\"", between, mg_role_rows[r].name));
                between = ",";
            }
        TRY(mg_buffer_add_text(text, "]}"));
    }
    return OK;
}

struct mg_status
mg_roles_json(struct mg_buffer *text)
{
    const char *between = "";
    TRY(mg_buffer_add_text(text, "{\"permissions\":["));
    TRY(permissions_json(text));
    TRY(mg_buffer_add_text(text, "],\n\"actions\":["));
    for (size_t i = 0; i < MG_COUNT(actions); i++) {
        const struct mg_permission_row *row = mg_permission_row(actions[i].needed);
        if (row == NULL || (actions[i].origins & APP) != 0)
            continue;
        TRY(mg_buffer_format(
            text, "%s\n{\"path\":\"%s\",\"method\":\"%s\",\"sign_in\":%s,\"operators\":%s,\"needs\":\"%s\"}",
            between, actions[i].path, actions[i].check == READS ? "GET" : "POST",
            (actions[i].origins & ID) != 0 ? "true" : "false",
            (actions[i].origins & OPS) != 0 ? "true" : "false", row->keyword));
        between = ",";
    }
    TRY(mg_buffer_add_text(text, "],\n\"requests\":["));
    for (size_t i = 0; i < MG_COUNT(requests); i++)
        TRY(mg_buffer_format(text, "%s\n{\"request\":\"%s\",\"needs\":\"%s\"}", i == 0 ? "" : ",",
                             requests[i].request, mg_permission_row(requests[i].needed)->keyword));
    return mg_buffer_add_text(text, "]}\n");
}

/* ---- Markdown ---- */

static CHECKED struct mg_status
head_add(struct mg_buffer *text, const char *first, size_t columns_before)
{
    TRY(mg_buffer_add_text(text, first));
    for (size_t r = 0; r < mg_role_count; r++)
        TRY(mg_buffer_format(text, " %s |", mg_role_rows[r].name));
    TRY(mg_buffer_add_text(text, "\n|"));
    for (size_t i = 0; i < columns_before; i++)
        TRY(mg_buffer_add_text(text, "---|"));
    for (size_t r = 0; r < mg_role_count; r++)
        TRY(mg_buffer_add_text(text, ":-:|"));
    return mg_buffer_add_byte(text, '\n');
}

static CHECKED struct mg_status
marks_add(struct mg_buffer *text, enum mg_permission permission, bool tenants, bool operators)
{
    for (size_t r = 0; r < mg_role_count; r++) {
        const bool of_operators = strcmp(mg_role_rows[r].name, "operator") == 0;
        const bool has = role_has(&mg_role_rows[r], permission) && (of_operators ? operators : tenants);
        TRY(mg_buffer_add_text(text, has ? " ● |" : "  |"));
    }
    return mg_buffer_add_byte(text, '\n');
}

static CHECKED struct mg_status
roles_add(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, japanese
                                     ? "\n## 組み込みのロール\n\n| ロール | 名称 | 役割 |\n|---|---|---|\n"
                                     : "\n## Built-in roles\n\n| Role | Name | Duty |\n|---|---|---|\n"));
    for (size_t r = 0; r < mg_role_count; r++)
        TRY(mg_buffer_format(text, "| `%s` | %s | %s |\n", mg_role_rows[r].name,
                             japanese ? mg_role_rows[r].ja : mg_role_rows[r].en,
                             japanese ? mg_role_rows[r].meaning_ja : mg_role_rows[r].meaning_en));
    return OK;
}

static CHECKED struct mg_status
permissions_add(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, japanese ? "\n## 権限\n\n" : "\n## Permissions\n\n"));
    TRY(head_add(text, japanese ? "| 権限 | 内容 |" : "| Permission | Allows to |", 2));
    for (int i = 1; i < MG_PERMISSION_COUNT; i++) {
        const struct mg_permission_row *row = mg_permission_row((enum mg_permission) i);
        TRY(mg_buffer_format(text, "| `%s` | %s |", row->keyword, japanese ? row->ja : row->en));
        TRY(marks_add(text, (enum mg_permission) i, true, true));
    }
    return OK;
}

static CHECKED struct mg_status
actions_add(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, japanese ? "\n## 画面での操作\n\n" : "\n## On the pages\n\n"));
    TRY(head_add(text,
                 japanese ? "| 操作 | テナントの画面 | 運用コンソール | 必要な権限 |"
                          : "| Action | Tenant's pages | Operators' console | Needs |",
                 4));
    for (size_t i = 0; i < MG_COUNT(actions); i++) {
        const struct mg_permission_row *row = mg_permission_row(actions[i].needed);
        const bool tenants = (actions[i].origins & ID) != 0, operators = (actions[i].origins & OPS) != 0;
        if (row == NULL || (actions[i].origins & APP) != 0)
            continue;
        TRY(mg_buffer_format(text, "| %s `%s` | %s | %s | `%s` |", actions[i].check == READS ? "GET" : "POST",
                             actions[i].path, tenants ? "○" : "", operators ? "○" : "", row->keyword));
        TRY(marks_add(text, actions[i].needed, tenants, operators));
    }
    return OK;
}

static CHECKED struct mg_status
requests_add(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(text, japanese ? "\n## 判断プロセスへの要求\n\n"
                                          : "\n## Requests to the authority\n\n"));
    TRY(head_add(text, japanese ? "| 要求 | 必要な権限 |" : "| Request | Needs |", 2));
    for (size_t i = 0; i < MG_COUNT(requests); i++) {
        TRY(mg_buffer_format(text, "| `%s` | `%s` |", requests[i].request,
                             mg_permission_row(requests[i].needed)->keyword));
        TRY(marks_add(text, requests[i].needed, true, true));
    }
    return OK;
}

struct mg_status
mg_roles_markdown(bool japanese, struct mg_buffer *text)
{
    TRY(mg_buffer_add_text(
        text,
        japanese
            ? "# ロールと権限\n\n`masugata role matrix --format markdown --lang ja` で生成。手で編集しない。\n"
              "ロールがなければ自分のアカウントしか使えません。テナント独自のロールには、運用者だけの権限を除く任意の権限を"
              "選んで与えられます。`operator` はサービス提供者の要員だけのロールで、運用コンソールとコマンドで使います。\n"
            : "# Roles and permissions\n\nGenerated by `masugata role matrix --format markdown --lang en`; not edited by hand.\n"
              "Without a role there is one's own account and nothing else. A tenant's own role gets any of the permissions "
              "that are not the operators' alone. `operator` is a role of the vendor's staff only, on the operators' "
              "console and the command line.\n"));
    TRY(roles_add(japanese, text));
    TRY(permissions_add(japanese, text));
    TRY(actions_add(japanese, text));
    return requests_add(japanese, text);
}
