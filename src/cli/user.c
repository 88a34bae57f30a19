/* masugata user: what the operator does with users. */
#include "cli/people.h"

#include "domain/login.h"

static const char *tenant, *name, *email, *roles, *language, *search, *after_login;
static bool password_stdin, must_change, link_only;

/* ---- lists ----------------------------------------------------------------------------------------------
 */

static CHECKED struct mg_status
row_print(struct mg_cli_list *list, const struct mg_record_user_row *row)
{
    TRY(mg_cli_list_cell(list, row->login));
    TRY(mg_cli_list_cell(list, row->name));
    TRY(mg_cli_list_cell(list, row->email));
    TRY(mg_cli_list_cell(list, row->roles));
    TRY(mg_cli_list_cell(list, mg_view_text(mg_cli_state_name(list->cli, row->state))));
    TRY(mg_cli_list_instant(list, row->locked_until));
    TRY(mg_cli_list_number(list, row->sessions));
    TRY(mg_cli_list_instant(list, row->last_sign_in_at));
    TRY(mg_cli_list_instant(list, row->created_at));
    return mg_cli_list_number(list, row->user);
}

static const struct mg_cli_column columns[] = {
    {"login", "LOGIN", "サインイン名", false},
    {"name", "NAME", "氏名", false},
    {"email", "E-MAIL", "メール", false},
    {"roles", "ROLES", "ロール", false},
    {"state", "STATE", "状態", false},
    {"locked_until", "LOCKED UNTIL", "ロック期限", false},
    {"sessions", "SESSIONS", "セッション", true},
    {"last_sign_in_at", "LAST SIGN-IN", "最終サインイン", false},
    {"created_at", "SINCE", "作成", false},
    {"id", "ID", "番号", true},
};

/* Prints the users of one page; with `only` just the one of that exact (folded) login. */
static CHECKED struct mg_status
page_print(const struct mg_cli *cli, struct mg_admin *admin, struct mg_cli_list *list, char after[256],
           bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_list reply;
    const struct mg_request_user_list request = {
        .tenant = mg_view_text(tenant), .search = mg_view_text(search), .after = mg_view_text(after)};
    TRY(mg_admin_user_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    *ret_more = reply.more;
    for (;;) {
        struct mg_record_user_row row;
        bool another = false;
        TRY(mg_list_next_user_row(&reply.users, &row, &another));
        if (!another)
            return OK;
        TRY(mg_view_copy(row.login, after, 256));
        TRY(row_print(list, &row));
    }
}

static CHECKED struct mg_status
user_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    char after[256] = "";
    bool more = true;
    TRY(mg_view_copy(mg_view_text(after_login), after, sizeof after));
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "users", columns, MG_COUNT(columns), &list));
    while (more)
        TRY(page_print(cli, admin, &list, after, &more));
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
user_show(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_list reply;
    OWN_BUFFER(login, 1024);
    struct mg_record_user_row row;
    bool found = false;
    TRY(mg_login_fold(mg_view_text(cli->argv[2]), &login));
    const struct mg_request_user_list request = {.tenant = mg_view_text(tenant),
                                                 .search = mg_buffer_view(&login)};
    TRY(mg_admin_user_list(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(tenant)));
    /* The search also finds names and longer logins that begin so; logins come in order. */
    TRY(mg_list_next_user_row(&reply.users, &row, &found));
    while (found && !mg_view_equal(row.login, mg_buffer_view(&login)))
        TRY(mg_list_next_user_row(&reply.users, &row, &found));
    if (!found)
        return fail_with(NOT_FOUND, "user %s", cli->argv[2]);
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "users", columns, MG_COUNT(columns), &list));
    TRY(row_print(&list, &row));
    mg_cli_list_end(&list);
    return OK;
}

/* ---- changes ---------------------------------------------------------------------------------------------
 */

static CHECKED struct mg_status
user_add(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(password, 1024);
    struct mg_reply_user_add reply;
    const char *login = cli->argv[2];
    if (password_stdin)
        TRY(mg_cli_password_read(&password));
    else if (email == NULL && strchr(login, '@') == NULL)
        return fail_with(USAGE, "user add needs --email for the invitation, or --password-stdin");
    const struct mg_request_user_add request = {
        .tenant = mg_view_text(tenant),
        .login = mg_view_text(login),
        .name = mg_view_text(name),
        .email = mg_view_text(email != NULL                ? email
                              : strchr(login, '@') != NULL ? login
                                                           : ""),
        .roles = mg_view_text(roles != NULL    ? roles
                              : tenant != NULL ? "user"
                                               : "operator"),
        .language = mg_view_text(language),
        .password = mg_buffer_view(&password),
        .must_change = must_change,
    };
    TRY(mg_admin_user_add(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.reason));
    mg_cli_done(cli, password_stdin ? "Added." : "Added; the invitation is on its way.",
                password_stdin ? "追加しました。" : "追加しました。招待メールを送信します。", "user",
                reply.user);
    return OK;
}

static CHECKED struct mg_status
disable(const struct mg_cli *cli, struct mg_admin *admin, bool disabled)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_disable reply;
    const struct mg_request_user_disable request = {
        .tenant = mg_view_text(tenant), .login = mg_view_text(cli->argv[2]), .disabled = disabled};
    TRY(mg_admin_user_disable(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, disabled ? "Disabled; all sessions have ended." : "Enabled.",
                disabled ? "無効にしました。セッションはすべて終了しました。" : "有効にしました。", "ended",
                reply.ended);
    return OK;
}

static CHECKED struct mg_status
user_disable(const struct mg_cli *cli, struct mg_admin *admin)
{
    return disable(cli, admin, true);
}

static CHECKED struct mg_status
user_enable(const struct mg_cli *cli, struct mg_admin *admin)
{
    return disable(cli, admin, false);
}

static CHECKED struct mg_status
lock(const struct mg_cli *cli, struct mg_admin *admin, bool locked)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_lock reply;
    const struct mg_request_user_lock request = {
        .tenant = mg_view_text(tenant), .login = mg_view_text(cli->argv[2]), .locked = locked};
    TRY(mg_admin_user_lock(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, locked ? "Locked: no sign-in by password." : "Unlocked; failures are forgotten.",
                locked ? "ロックしました。パスワードではサインインできません。"
                       : "ロックを解除し、失敗の記録を消しました。",
                NULL, 0);
    return OK;
}

static CHECKED struct mg_status
user_lock(const struct mg_cli *cli, struct mg_admin *admin)
{
    return lock(cli, admin, true);
}

static CHECKED struct mg_status
user_unlock(const struct mg_cli *cli, struct mg_admin *admin)
{
    return lock(cli, admin, false);
}

/* ---- passwords --------------------------------------------------------------------------------------------
 */

static CHECKED struct mg_status
link_print(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(ticket, 64);
    struct mg_reply_user_ticket reply;
    char ends_at[MG_INSTANT_TEXT];
    const struct mg_request_user_ticket request = {.tenant = mg_view_text(tenant),
                                                   .login = mg_view_text(cli->argv[2])};
    TRY(mg_admin_user_ticket(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    TRY(mg_base64url(reply.ticket, &ticket));
    mg_instant_text(reply.ends_at, ends_at);
    const int origin = (int) reply.sign_in_origin.length;
    if (cli->json)
        (void) printf("{\"link\":\"%.*s/reset/new?ticket=%s\",\"ends_at\":\"%s\"}\n", origin,
                      (const char *) reply.sign_in_origin.bytes, mg_buffer_text(&ticket), ends_at);
    else
        (void) printf("%s\n%.*s/reset/new?ticket=%s\n",
                      mg_cli_say(cli, "Hand this over in person; it works once:",
                                 "直接お渡しください。1 回だけ使えます:"),
                      origin, (const char *) reply.sign_in_origin.bytes, mg_buffer_text(&ticket));
    return OK;
}

static CHECKED struct mg_status
user_password_reset(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_invite reply;
    if (link_only)
        return link_print(cli, admin);
    const struct mg_request_user_invite request = {.tenant = mg_view_text(tenant),
                                                   .login = mg_view_text(cli->argv[2])};
    TRY(mg_admin_user_invite(admin, &request, &reply, &storage));
    if (reply.outcome == MG_NOT_VALID)
        return fail_with(
            REFUSED, "%s",
            mg_cli_say(cli, "no e-mail address, or disabled; see --link",
                       "メールアドレスがないか、無効化された利用者です。--link を参照してください"));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, "The mail is on its way.", "メールを送信します。", NULL, 0);
    return OK;
}

static CHECKED struct mg_status
user_second_factor_reset(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_factors_reset reply;
    const struct mg_request_factors_reset request = {.tenant = mg_view_text(tenant),
                                                     .login = mg_view_text(cli->argv[2])};
    TRY(mg_admin_factors_reset(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, mg_view_text(cli->argv[2])));
    mg_cli_done(cli, "Second factors and recovery codes are gone; all sessions have ended.",
                "第 2 要素と回復コードを削除しました。セッションはすべて終了しました。", "removed",
                reply.removed);
    return OK;
}

static CHECKED struct mg_status
user_import(const struct mg_cli *cli, struct mg_admin *admin)
{
    return mg_cli_user_import(cli, admin, tenant, cli->argv[2]);
}

int
mg_cli_user(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"add", user_add, 1, 1},
        {"list", user_list, 0, 0},
        {"show", user_show, 1, 1},
        {"lock", user_lock, 1, 1},
        {"unlock", user_unlock, 1, 1},
        {"disable", user_disable, 1, 1},
        {"enable", user_enable, 1, 1},
        {"import", user_import, 1, 1},
        {"password-reset", user_password_reset, 1, 1},
        {"second-factor-reset", user_second_factor_reset, 1, 1},
    };
    static const struct mg_cli_option options[] = {
        {"--tenant", &tenant, NULL},
        {"--name", &name, NULL},
        {"--email", &email, NULL},
        {"--roles", &roles, NULL},
        {"--language", &language, NULL},
        {"--search", &search, NULL},
        {"--after", &after_login, NULL},
        {"--password-stdin", NULL, &password_stdin},
        {"--must-change", NULL, &must_change},
        {"--link", NULL, &link_only},
        {NULL, NULL, NULL},
    };
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage = "masugata user add LOGIN [--tenant NAME] [--name TEXT] [--email ADDRESS] [--roles "
                     "\"ROLE …\"]\n"
                     "                          [--language ja|en] [--password-stdin [--must-change]]\n"
                     "       masugata user list [--tenant NAME] [--search TEXT] [--after LOGIN]\n"
                     "       masugata user show|lock|unlock|disable|enable LOGIN [--tenant NAME]\n"
                     "       masugata user password-reset LOGIN [--tenant NAME] [--link]\n"
                     "       masugata user second-factor-reset LOGIN [--tenant NAME]\n"
                     "       masugata user import FILE.csv --tenant NAME",
            .en =
                "Without --tenant the users are the operators. Without --password-stdin a new user gets a "
                "mail\n"
                "with a link to choose a password (at least 15 characters, none of the common ones).\n"
                "Without --roles a tenant's user is `user`, an operator `operator`.\n"
                "  lock            no sign-in by password; sessions go on\n"
                "  unlock          lifts that, and a lock after wrong passwords\n"
                "  disable         no sign-in at all; every session has ended when the command returns\n"
                "  password-reset  sends a link to choose a new password; --link prints it instead\n"
                "  second-factor-reset  takes away second factors and recovery codes and ends the sessions;\n"
                "                  the user is told by mail and sets up a new one where it is demanded\n"
                "  import          CSV with a first line of names: "
                "login,name,email,roles,language,password_hash;\n"
                "                  hashes are argon2id, bcrypt, yescrypt or sha512crypt, and are replaced "
                "by\n"
                "                  argon2id when the user signs in",
            .ja =
                "--tenant がなければ運用者を対象とします。--password-stdin がなければ、新しい利用者には\n"
                "パスワードを設定するためのリンクをメールで送ります (15 文字以上。よく使われるものは不可)。\n"
                "--roles がなければ、テナントの利用者は user、運用者は operator になります。\n"
                "  lock            パスワードでのサインインを止める。セッションは続く\n"
                "  unlock          その解除と、誤りによるロックの解除\n"
                "  disable         サインインをすべて止め、コマンドが終わるまでに全セッションを終了する\n"
                "  password-reset  新しいパスワードを設定するリンクを送る。--link なら画面に表示\n"
                "  second-factor-reset  第 2 要素と回復コードを削除し、セッションを終了する。本人にメールで\n"
                "                  知らせ、必須の場合は次のサインインで登録し直す\n"
                "  import          1 行目が列名の CSV: "
                "login,name,email,roles,language,password_hash。ハッシュは\n"
                "                  argon2id・bcrypt・yescrypt・sha512crypt。サインイン時に argon2id "
                "へ置き換える",
        },
        argc, argv);
}
