/* masugata session: who is signed in, and ending that. */
#include "cli/people.h"

#include <inttypes.h>

enum { FAMILY_BYTES = 16 };

static const char *tenant, *login;
static bool everybody;

static CHECKED struct mg_status
row_print(struct mg_cli_list *list, const struct mg_record_session_row *row)
{
    char family[2 * FAMILY_BYTES + 1] = "";
    if (row->family.length == FAMILY_BYTES)
        mg_hex(row->family, family);
    TRY(mg_cli_list_cell(list, mg_view_text(family)));
    TRY(mg_cli_list_cell(list, row->tenant));
    TRY(mg_cli_list_cell(list, row->login));
    TRY(mg_cli_list_cell(list, row->hosts));
    TRY(mg_cli_list_cell(list, row->address));
    TRY(mg_cli_list_instant(list, row->signed_in_at));
    TRY(mg_cli_list_instant(list, row->last_used_at));
    TRY(mg_cli_list_instant(list, row->expires_at));
    return mg_cli_list_cell(list, row->user_agent);
}

static CHECKED struct mg_status
page_print(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_list *list,
           uint8_t after[FAMILY_BYTES], size_t *after_length, bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_session_list reply;
    const struct mg_request_session_list request = {.tenant = mg_view_text(tenant),
                                                    .login = mg_view_text(login),
                                                    .after = mg_view_of(after, *after_length)};
    TRY(mg_admin_session_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(login != NULL ? login : tenant)));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_session_row row;
        bool another = false;
        TRY(mg_list_next_session_row(&reply.sessions, &row, &another));
        if (!another)
            return OK;
        if (row.family.length != FAMILY_BYTES)
            return fail_with(MALFORMED, "a session's family of %zu bytes", row.family.length);
        memcpy(after, row.family.bytes, FAMILY_BYTES);
        *after_length = FAMILY_BYTES;
        TRY(row_print(list, &row));
    }
}

static CHECKED struct mg_status
session_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"family", "FAMILY", "識別子", false},
        {"tenant", "TENANT", "テナント", false},
        {"login", "LOGIN", "サインイン名", false},
        {"hosts", "HOSTS", "ホスト", false},
        {"address", "ADDRESS", "アドレス", false},
        {"signed_in_at", "SIGNED IN", "サインイン", false},
        {"last_used_at", "LAST USED", "最終利用", false},
        {"expires_at", "ENDS", "期限", false},
        {"user_agent", "DEVICE", "端末", false},
    };
    uint8_t after[FAMILY_BYTES] = {0};
    size_t after_length = 0;
    bool more = true;
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "sessions", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(page_print(cli, admin, &list, after, &after_length, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
session_revoke(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_session_end reply;
    uint8_t family[FAMILY_BYTES];
    struct mg_request_session_end request = {.tenant = mg_view_text(tenant), .login = mg_view_text(login)};
    const bool one = cli->argc == 3;
    if (one + (login != NULL) + everybody != 1 || (everybody && tenant == NULL))
        return fail_with(USAGE,
                         "session revoke FAMILY, or --user LOGIN [--tenant NAME], or --tenant NAME --all");
    if (one) {
        if (!mg_ok(mg_unhex(mg_view_text(cli->argv[2]), family, sizeof family)))
            return fail_with(USAGE, "%s is no identifier of `session list`", cli->argv[2]);
        request.scope = MG_SCOPE_FAMILY;
        request.family = mg_view_of(family, sizeof family);
    } else
        request.scope = login != NULL ? MG_SCOPE_USER : MG_SCOPE_TENANT;
    TRY(mg_admin_session_end(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome,
                       mg_view_text(one             ? cli->argv[2]
                                    : login != NULL ? login
                                                    : tenant)));
    if (!cli->json)
        (void) printf(
            mg_cli_say(cli, "%" PRIu64 " sign-ins ended.\n", "%" PRIu64 " 件のサインインを終了しました。\n"),
            reply.ended);
    else
        mg_cli_done(cli, "", "", "ended", reply.ended);
    return OK;
}

int
mg_cli_session(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {{"list", session_list, 0, 0},
                                               {"revoke", session_revoke, 0, 1}};
    static const struct mg_cli_option options[] = {{"--tenant", &tenant, NULL},
                                                   {"--user", &login, NULL},
                                                   {"--all", NULL, &everybody},
                                                   {NULL, NULL, NULL}};
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage = "masugata session list [--tenant NAME] [--user LOGIN]\n"
                     "       masugata session revoke FAMILY\n"
                     "       masugata session revoke --user LOGIN [--tenant NAME]\n"
                     "       masugata session revoke --tenant NAME --all",
            .en =
                "One sign-in is one line: a family of sessions on the sign-in page and on each application.\n"
                "A revoked session is refused at its next request, on every worker, once the command "
                "returns.\n"
                "Without --tenant, --user means an operator.",
            .ja = "1 行が 1 回のサインインです。サインイン画面と各アプリのセッションをまとめて表します。\n"
                  "失効させたセッションは、コマンドが終わった時点から、どのワーカーでも次の要求で拒否されます"
                  "。\n"
                  "--tenant なしの --user は運用者を指します。",
        },
        argc, argv);
}
