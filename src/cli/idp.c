/* masugata idp: the identity providers of a tenant. */
#include "cli/people.h"

#include "base/io.h"
#include "base/reason.h"
#include "domain/identity_provider.h"
#include "domain/saml_key.h"

#include <stdio.h>
#include <unistd.h>

enum { ENABLE = 1, DISABLE, REMOVE, SECRET_MOST = 255, FILE_MOST = 65536, METADATA_MOST = 122880 };

static const char *secret_file, *settings_file, *metadata_file;
static const char *key_at;
static bool wait_for_it;

static struct mg_view
tenant_of(const struct mg_cli *cli)
{
    return mg_view_text(cli->argv[2]);
}

static struct mg_view
name_of(const struct mg_cli *cli)
{
    return mg_view_text(cli->argv[3]);
}

/* ---- list and show ---- */

static CHECKED struct mg_status
idp_list(const struct mg_cli *cli, struct mg_admin *admin)
{
    static const struct mg_cli_column columns[] = {
        {"name", "NAME", "名前", false},
        {"kind", "KIND", "種類", false},
        {"label", "LABEL", "表示名", false},
        {"issuer", "ISSUER", "発行者", false},
        {"domains", "DOMAINS", "ドメイン", false},
        {"state", "STATE", "状態", false},
        {"expires_at", "EXPIRES", "期限", false},
        {"certificate_ends_at", "CERTIFICATE ENDS", "証明書の期限", false},
        {"links", "PEOPLE", "人数", true},
        {"last_used_at", "LAST USED", "最終利用", false},
    };
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_list reply;
    TRY(mg_admin_idp_list(admin, &(struct mg_request_idp_list){.tenant = tenant_of(cli)}, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, tenant_of(cli)));
    MG_CLEANUP(mg_cli_list_drop) struct mg_cli_list list = {0};
    TRY(mg_cli_list_begin(cli, "providers", columns, MG_COUNT(columns), &list));
    for (;;) {
        struct mg_record_idp_row row;
        bool more;
        TRY(mg_list_next_idp_row(&reply.providers, &row, &more));
        if (!more)
            break;
        TRY(mg_cli_list_cell(&list, row.name));
        TRY(mg_cli_list_cell(&list, row.kind));
        TRY(mg_cli_list_cell(&list, row.label));
        TRY(mg_cli_list_cell(&list, row.issuer));
        TRY(mg_cli_list_cell(&list, row.domains));
        TRY(mg_cli_list_cell(&list, cli->json     ? mg_view_text(row.enabled ? "enabled" : "disabled")
                                    : row.enabled ? mg_view_text(mg_cli_say(cli, "enabled", "有効"))
                                                  : mg_view_text(mg_cli_say(cli, "disabled", "無効"))));
        TRY(mg_cli_list_instant(&list, row.expires_at));
        TRY(mg_cli_list_instant(&list, row.certificate_ends_at));
        TRY(mg_cli_list_number(&list, row.links));
        TRY(mg_cli_list_instant(&list, row.last_used_at));
    }
    mg_cli_list_end(&list);
    return OK;
}

static CHECKED struct mg_status
show_ask(const struct mg_cli *cli, struct mg_admin *admin, struct mg_buffer *storage,
         struct mg_reply_idp_show *ret_reply)
{
    const struct mg_request_idp_show request = {.tenant = tenant_of(cli), .name = name_of(cli)};
    TRY(mg_admin_idp_show(admin, &request, ret_reply, storage));
    return mg_cli_outcome(cli, ret_reply->outcome, name_of(cli));
}

static CHECKED struct mg_status
member_add(struct mg_buffer *json, struct mg_view name, struct mg_view value, bool *first)
{
    TRY(mg_buffer_add_text(json, *first ? "" : ","));
    *first = false;
    TRY(mg_buffer_add_json_string(json, name));
    TRY(mg_buffer_add_text(json, ":"));
    return mg_buffer_add_json_string(json, value);
}

/* "word URL" or "word: text", one a line, as members of an object or as they are. */
static CHECKED struct mg_status
lines_add(const struct mg_cli *cli, struct mg_view reasons, char separator, bool json, struct mg_buffer *text)
{
    OWN_BUFFER(words, 65536);
    bool first = true;
    TRY(mg_reason_words(reasons, cli->japanese, &words));
    struct mg_view lines = mg_buffer_view(&words);
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const struct mg_view line =
            mg_view_of(lines.bytes, end == NULL ? lines.length : (size_t) (end - lines.bytes));
        const size_t taken = end == NULL ? line.length : line.length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
        const uint8_t *cut = line.length == 0 ? NULL : memchr(line.bytes, separator, line.length);
        if (cut == NULL)
            continue;
        const struct mg_view word = mg_view_of(line.bytes, (size_t) (cut - line.bytes));
        struct mg_view value = mg_view_of(cut + 1, line.length - word.length - 1);
        if (value.length != 0 && value.bytes[0] == ' ')
            value = mg_view_of(value.bytes + 1, value.length - 1);
        if (json)
            TRY(member_add(text, word, value, &first));
        else
            TRY(mg_buffer_format(text, "  %-26.*s %.*s\n", (int) word.length, (const char *) word.bytes,
                                 (int) value.length, (const char *) value.bytes));
    }
    return OK;
}

static CHECKED struct mg_status
settings_add(const struct mg_cli *cli, struct mg_list settings, struct mg_buffer *text)
{
    bool first = true;
    for (;;) {
        struct mg_record_idp_setting row;
        bool more;
        TRY(mg_list_next_idp_setting(&settings, &row, &more));
        if (!more)
            return OK;
        if (cli->json)
            TRY(member_add(text, row.keyword, row.value, &first));
        else
            TRY(mg_buffer_format(text, "%.*s=%.*s\n", (int) row.keyword.length,
                                 (const char *) row.keyword.bytes, (int) row.value.length,
                                 (const char *) row.value.bytes));
    }
}

/* Our own keys at a SAML provider: when the one that signs ends, and how far a roll-over is. */
static CHECKED struct mg_status
own_keys_add(const struct mg_cli *cli, const struct mg_reply_idp_show *reply, struct mg_buffer *text)
{
    char ends[MG_INSTANT_TEXT], from[MG_INSTANT_TEXT];
    if (reply->key_ends_at == 0)
        return OK;
    mg_instant_text(reply->key_ends_at, ends);
    mg_instant_text(reply->signs_at, from);
    if (cli->json)
        return mg_buffer_format(text, ",\"key\":{\"ends_at\":\"%s\",\"rolling\":%s,\"switched\":%s%s%s%s}",
                                ends, reply->rolling ? "true" : "false", reply->switched ? "true" : "false",
                                reply->signs_at != 0 ? ",\"signs_at\":\"" : "",
                                reply->signs_at != 0 ? from : "", reply->signs_at != 0 ? "\"" : "");
    TRY(mg_buffer_format(text, mg_cli_say(cli, "\nOur key there ends at %s.\n", "\n当方の鍵の期限: %s\n"),
                         ends));
    if (reply->switched)
        return mg_buffer_add_text(
            text, mg_cli_say(cli, "The new one signs; `idp key … finish` removes the old one.\n",
                             "新しい鍵で署名中です。`idp key … finish` で古い鍵を削除します。\n"));
    if (!reply->rolling)
        return OK;
    return reply->signs_at == 0
               ? mg_buffer_add_text(
                     text, mg_cli_say(cli, "A new one is published; `idp key … use` lets it sign.\n",
                                      "新しい鍵を公開中です。`idp key … use` でこの鍵での署名を始めます。\n"))
               : mg_buffer_format(text,
                                  mg_cli_say(cli, "A new one is published and signs from %s.\n",
                                             "新しい鍵を公開中です。%s から署名に使います。\n"),
                                  from);
}

static CHECKED struct mg_status
idp_show(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(text, 1 << 20);
    struct mg_reply_idp_show reply;
    TRY(show_ask(cli, admin, &storage, &reply));
    if (cli->json) {
        TRY(mg_buffer_format(&text, "{\"enabled\":%s,\"secret\":%s,\"settings\":{",
                             reply.enabled ? "true" : "false", reply.with_secret ? "true" : "false"));
        TRY(settings_add(cli, reply.settings, &text));
        TRY(mg_buffer_add_text(&text, "},\"addresses\":{"));
        TRY(lines_add(cli, reply.addresses, ' ', true, &text));
        TRY(mg_buffer_add_text(&text, "}"));
        TRY(own_keys_add(cli, &reply, &text));
        TRY(mg_buffer_add_text(&text, "}\n"));
    } else {
        TRY(settings_add(cli, reply.settings, &text));
        TRY(mg_buffer_format(
            &text, "\n%s\n",
            mg_cli_say(cli,
                       reply.enabled ? "Enabled. What the provider must know of us:"
                                     : "Disabled. What the provider must know of us:",
                       reply.enabled ? "有効です。IdP に登録する値:" : "無効です。IdP に登録する値:")));
        TRY(lines_add(cli, reply.addresses, ' ', false, &text));
        TRY(own_keys_add(cli, &reply, &text));
    }
    (void) fputs(mg_buffer_text(&text), stdout);
    return OK;
}

/* ---- add and set ---- */

/* Settings under construction: those of now, then what was given, in any order of files and words. */
static CHECKED struct mg_status
pair_take(struct mg_idp_settings *settings, struct mg_view pair)
{
    const uint8_t *equals = pair.length == 0 ? NULL : memchr(pair.bytes, '=', pair.length);
    if (equals == NULL)
        return fail_with(USAGE, "\"%.*s\" is not KEYWORD=VALUE", (int) mg_view_start(pair, 64).length,
                         (const char *) pair.bytes);
    const size_t length = (size_t) (equals - pair.bytes);
    return mg_idp_settings_set(settings, mg_view_of(pair.bytes, length),
                               mg_view_of(equals + 1, pair.length - length - 1));
}

static CHECKED struct mg_status
file_take(struct mg_idp_settings *settings, const char *path)
{
    OWN_BUFFER(text, FILE_MOST);
    TRY(strcmp(path, "-") == 0 ? mg_fd_read_all(STDIN_FILENO, &text) : mg_file_read(path, &text));
    struct mg_view lines = mg_buffer_view(&text);
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const struct mg_view line =
            mg_view_of(lines.bytes, end == NULL ? lines.length : (size_t) (end - lines.bytes));
        const size_t taken = end == NULL ? line.length : line.length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
        if (line.length != 0 && line.bytes[0] != '#')
            TRY(pair_take(settings, line));
    }
    return OK;
}

static CHECKED struct mg_status
settings_now(const struct mg_cli *cli, struct mg_admin *admin, struct mg_idp_settings *settings)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_show reply;
    TRY(show_ask(cli, admin, &storage, &reply));
    for (;;) {
        struct mg_record_idp_setting row;
        bool more;
        TRY(mg_list_next_idp_setting(&reply.settings, &row, &more));
        if (!more)
            return OK;
        if (row.value.length != 0) /* an empty one may be one that is needed and not there yet */
            TRY(mg_idp_settings_set(settings, row.keyword, row.value));
    }
}

/* A SAML provider's metadata, from a file or from its address, becomes settings; what is given besides counts
 * more. */
static CHECKED struct mg_status
metadata_take(const struct mg_cli *cli, struct mg_admin *admin, struct mg_idp_settings *settings)
{
    OWN_BUFFER(document, METADATA_MOST);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_metadata reply;
    if (metadata_file != NULL)
        TRY(strcmp(metadata_file, "-") == 0 ? mg_fd_read_all(STDIN_FILENO, &document)
                                            : mg_file_read(metadata_file, &document));
    const struct mg_request_idp_metadata request = {
        .tenant = tenant_of(cli),
        .document = mg_buffer_view(&document),
        .url = metadata_file != NULL ? MG_VIEW_EMPTY : mg_view_text(settings->metadata_url)};
    if (request.document.length == 0 && request.url.length == 0)
        return OK;
    TRY(mg_admin_idp_metadata(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, tenant_of(cli)));
    if (reply.refusal != MG_FEDERATION_NONE)
        return fail_with(INVALID, "%s: %.*s", mg_federation_refusal_text(reply.refusal, cli->japanese),
                         (int) reply.detail.length, (const char *) reply.detail.bytes);
    for (;;) {
        struct mg_record_idp_setting row;
        bool more;
        TRY(mg_list_next_idp_setting(&reply.settings, &row, &more));
        if (!more)
            return OK;
        TRY(mg_idp_settings_set(settings, row.keyword, row.value));
    }
}

static CHECKED struct mg_status
settings_send(const struct mg_cli *cli, struct mg_admin *admin, const struct mg_idp_settings *settings,
              bool add)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(secret, SECRET_MOST + 1);
    struct mg_reply_idp_set reply;
    for (size_t i = 0; i < mg_idp_option_count; i++) {
        OWN_BUFFER(value, 8192);
        TRY(mg_option_record_text(settings, &mg_idp_option_rows[i], &value));
        const struct mg_record_idp_setting row = {.keyword = mg_view_text(mg_idp_option_rows[i].keyword),
                                                  .value = mg_buffer_view(&value)};
        if (!mg_view_is(row.value, mg_idp_option_rows[i].preset))
            TRY(mg_list_add_idp_setting(&list, &row));
    }
    if (secret_file != NULL)
        TRY(strcmp(secret_file, "-") == 0 ? mg_fd_read_all(STDIN_FILENO, &secret)
                                          : mg_file_read(secret_file, &secret));
    while (secret.length != 0 &&
           (secret.bytes[secret.length - 1] == '\n' || secret.bytes[secret.length - 1] == '\r'))
        secret.length--;
    if (secret.length > SECRET_MOST)
        return fail_with(TOO_LARGE, "%s: a secret of more than %d bytes", secret_file, SECRET_MOST);
    const struct mg_request_idp_set request = {.tenant = tenant_of(cli),
                                               .name = name_of(cli),
                                               .add = add,
                                               .with_secret = secret_file != NULL,
                                               .secret = mg_buffer_view(&secret),
                                               .settings = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_admin_idp_set(admin, &request, &reply, &storage));
    return mg_cli_outcome(cli, reply.outcome, reply.outcome == MG_NOT_VALID ? reply.reason : name_of(cli));
}

static CHECKED struct mg_status
given_take(const struct mg_cli *cli, struct mg_idp_settings *settings)
{
    if (settings_file != NULL)
        TRY(file_take(settings, settings_file));
    for (int i = 4; i < cli->argc; i++)
        TRY(pair_take(settings, mg_view_text(cli->argv[i])));
    return OK;
}

static CHECKED struct mg_status
put(const struct mg_cli *cli, struct mg_admin *admin, bool add)
{
    OWN(idp_settings) settings = NULL;
    TRY(mg_idp_settings_new(&settings));
    if (!add)
        TRY(settings_now(cli, admin, settings));
    TRY(given_take(cli, settings));
    if (mg_idp_is_saml(settings) || metadata_file != NULL) {
        TRY(metadata_take(cli, admin, settings));
        TRY(given_take(cli, settings));
    }
    TRY(settings_send(cli, admin, settings, add));
    mg_cli_done(cli, add ? "Added, and disabled until `idp enable`; try it with `idp test`." : "Changed.",
                add ? "追加しました (`idp enable` まで無効)。`idp test` で試せます。" : "変更しました。",
                "settings", mg_idp_option_count);
    return OK;
}

static CHECKED struct mg_status
idp_add(const struct mg_cli *cli, struct mg_admin *admin)
{
    return put(cli, admin, true);
}

static CHECKED struct mg_status
idp_set(const struct mg_cli *cli, struct mg_admin *admin)
{
    return put(cli, admin, false);
}

/* ---- enable, disable, remove ---- */

static CHECKED struct mg_status
change(const struct mg_cli *cli, struct mg_admin *admin, uint64_t what, const char *english,
       const char *japanese)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_change reply;
    const struct mg_request_idp_change request = {
        .tenant = tenant_of(cli), .name = name_of(cli), .change = what};
    TRY(mg_admin_idp_change(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, name_of(cli)));
    mg_cli_done(cli, english, japanese, "ended", reply.ended);
    return OK;
}

static CHECKED struct mg_status
idp_enable(const struct mg_cli *cli, struct mg_admin *admin)
{
    return change(cli, admin, ENABLE, "Enabled.", "有効にしました。");
}

static CHECKED struct mg_status
idp_disable(const struct mg_cli *cli, struct mg_admin *admin)
{
    return change(cli, admin, DISABLE, "Disabled; the sessions that it gave have ended.",
                  "無効にしました。この IdP によるセッションはすべて終了しました。");
}

static CHECKED struct mg_status
idp_remove(const struct mg_cli *cli, struct mg_admin *admin)
{
    return change(cli, admin, REMOVE, "Removed; the sessions that it gave have ended.",
                  "削除しました。この IdP によるセッションはすべて終了しました。");
}

/* ---- test ---- */

static CHECKED struct mg_status
attempt_add(const struct mg_cli *cli, const struct mg_record_idp_attempt *row, bool first,
            struct mg_buffer *text)
{
    char at[MG_INSTANT_TEXT];
    OWN_BUFFER(detail, 4096);
    mg_instant_text(row->at, at);
    TRY(mg_reason_words(row->detail, cli->japanese, &detail));
    if (!cli->json) {
        TRY(mg_buffer_format(
            text, "  %s  %s%.*s%s%s  %.*s\n", at, row->trial ? mg_cli_say(cli, "(trial) ", "(試験) ") : "",
            (int) row->refusal.length, (const char *) row->refusal.bytes, detail.length != 0 ? ": " : "",
            mg_buffer_text(&detail), (int) row->login.length, (const char *) row->login.bytes));
        return mg_buffer_format(text, "    %.*s\n", (int) row->arrived.length,
                                (const char *) row->arrived.bytes);
    }
    TRY(mg_buffer_format(text, "%s{\"at\":\"%s\",\"trial\":%s,\"refusal\":", first ? "" : ",", at,
                         row->trial ? "true" : "false"));
    TRY(mg_buffer_add_json_string(text, row->refusal));
    TRY(mg_buffer_add_text(text, ",\"detail\":"));
    TRY(mg_buffer_add_json_string(text, mg_buffer_view(&detail)));
    TRY(mg_buffer_add_text(text, ",\"login\":"));
    TRY(mg_buffer_add_json_string(text, row->login));
    TRY(mg_buffer_add_text(text, ",\"arrived\":"));
    TRY(mg_buffer_add(text, row->arrived)); /* JSON already, of the authority's making */
    return mg_buffer_add_text(text, "}");
}

/* *ret_newest: when the newest trial was. */
static CHECKED struct mg_status
attempts_add(const struct mg_cli *cli, struct mg_admin *admin, struct mg_buffer *text, mg_instant *ret_newest)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_attempts reply;
    const struct mg_request_idp_attempts request = {.tenant = tenant_of(cli), .name = name_of(cli)};
    TRY(mg_admin_idp_attempts(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, name_of(cli)));
    *ret_newest = 0;
    for (bool first = true;; first = false) {
        struct mg_record_idp_attempt row;
        bool more;
        TRY(mg_list_next_idp_attempt(&reply.attempts, &row, &more));
        if (!more)
            return OK;
        if (row.trial && row.at > *ret_newest)
            *ret_newest = row.at;
        TRY(attempt_add(cli, &row, first, text));
    }
}

/* Until somebody has tried the link, or it has passed. */
static CHECKED struct mg_status
trial_wait(const struct mg_cli *cli, struct mg_admin *admin, mg_instant ends_at, struct mg_buffer *text)
{
    mg_instant before = 0, newest = 0;
    TRY(attempts_add(cli, admin, text, &before));
    for (newest = before; newest == before && mg_now() < ends_at;) {
        (void) usleep(500000);
        mg_buffer_clear(text);
        TRY(attempts_add(cli, admin, text, &newest));
    }
    return OK;
}

static CHECKED struct mg_status
idp_test(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(text, 1 << 20);
    OWN_BUFFER(attempts, 1 << 20);
    OWN_BUFFER(detail, 4096);
    struct mg_reply_idp_test reply;
    mg_instant unused;
    const struct mg_request_idp_test request = {.tenant = tenant_of(cli), .name = name_of(cli)};
    TRY(mg_admin_idp_test(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, name_of(cli)));
    TRY(mg_reason_words(reply.detail, cli->japanese, &detail));
    const char *verdict = mg_federation_refusal_text(reply.refusal, cli->japanese);
    if (!cli->json) {
        (void) printf("%s%s%s\n", verdict, detail.length != 0 ? ": " : "", mg_buffer_text(&detail));
        TRY(lines_add(cli, reply.found, ':', false, &text));
        (void) printf("%s%s\n  %.*s\n", mg_buffer_text(&text),
                      mg_cli_say(cli, "A trial sign-in, once within ten minutes; it gives no session:",
                                 "試験サインイン (10 分以内に 1 回、セッションは作られません):"),
                      (int) reply.link.length, (const char *) reply.link.bytes);
        (void) fflush(stdout);
    }
    TRY(wait_for_it ? trial_wait(cli, admin, reply.link_ends_at, &attempts)
                    : attempts_add(cli, admin, &attempts, &unused));
    if (cli->json) {
        TRY(mg_buffer_format(&text,
                             "{\"refusal\":\"%s\",\"detail\":", mg_federation_refusal_name(reply.refusal)));
        TRY(mg_buffer_add_json_string(&text, mg_buffer_view(&detail)));
        TRY(mg_buffer_add_text(&text, ",\"link\":"));
        TRY(mg_buffer_add_json_string(&text, reply.link));
        TRY(mg_buffer_add_text(&text, ",\"found\":{"));
        TRY(lines_add(cli, reply.found, ':', true, &text));
        (void) printf("%s},\"attempts\":[%s]}\n", mg_buffer_text(&text), mg_buffer_text(&attempts));
    } else if (attempts.length != 0)
        (void) printf("%s\n%s",
                      mg_cli_say(cli, "The last sign-ins, newest first:", "最近のサインイン (新しい順):"),
                      mg_buffer_text(&attempts));
    if (reply.refusal == MG_FEDERATION_NONE)
        return OK;
    return (struct mg_status){.code = MG_REFUSED, .where = MG_HERE, .detail = mg_cli_told};
}

/* ---- our own keys at a SAML provider ---- */

static CHECKED struct mg_status
idp_key(const struct mg_cli *cli, struct mg_admin *admin)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_idp_key reply;
    mg_instant at = 0;
    const uint64_t step = mg_saml_key_step_of(mg_view_text(cli->argv[4]));
    if (step == 0)
        return fail_with(USAGE, "KEY_STEP|");
    if (key_at != NULL)
        TRY(mg_instant_parse(mg_view_text(key_at), &at));
    const struct mg_request_idp_key request = {
        .tenant = tenant_of(cli), .name = name_of(cli), .step = step, .at = at};
    TRY(mg_admin_idp_key(admin, &request, &reply, &storage));
    TRY(mg_cli_outcome(cli, reply.outcome, reply.outcome == MG_NOT_VALID ? reply.reason : name_of(cli)));
    mg_cli_done(cli, "Done. The provider finds our keys in our metadata (idp show).",
                "完了しました。IdP は当方の鍵をメタデータ (idp show) から読み込めます。", "step", step);
    return OK;
}

int
mg_cli_idp(int argc, char **argv)
{
    static const struct mg_cli_verb verbs[] = {
        {"add", idp_add, 2, 64},      {"list", idp_list, 1, 1},     {"show", idp_show, 2, 2},
        {"set", idp_set, 2, 64},      {"enable", idp_enable, 2, 2}, {"disable", idp_disable, 2, 2},
        {"remove", idp_remove, 2, 2}, {"test", idp_test, 2, 2},     {"key", idp_key, 3, 3},
    };
    static const struct mg_cli_option options[] = {
        {"--secret-file", &secret_file, NULL},
        {"--file", &settings_file, NULL},
        {"--metadata-file", &metadata_file, NULL},
        {"--at", &key_at, NULL},
        {"--wait", NULL, &wait_for_it},
        {NULL, NULL, NULL},
    };
    return mg_cli_verb_run(
        &(struct mg_cli_verbs){
            .rows = verbs,
            .count = MG_COUNT(verbs),
            .options = options,
            .usage =
                "masugata idp add TENANT NAME issuer=URL client.id=ID [KEYWORD=VALUE …] [--file FILE]\n"
                "                         [--secret-file FILE]\n"
                "       masugata idp add TENANT NAME kind=saml --metadata-file FILE | metadata.url=URL [KEYWORD=VALUE …]\n"
                "       masugata idp set TENANT NAME [KEYWORD=VALUE …] [--file FILE] [--secret-file FILE]\n"
                "       masugata idp list TENANT | show TENANT NAME\n"
                "       masugata idp enable|disable|remove TENANT NAME\n"
                "       masugata idp test TENANT NAME [--wait]\n"
                "       masugata idp key TENANT NAME make|use|finish|drop [--at TIME]",
            .en =
                "An identity provider (OpenID Connect or SAML 2.0) signs the people of a tenant in. The keywords are\n"
                "in masugata-idp(5); show prints them, and what the provider must know of us.\n"
                "  --file           KEYWORD=VALUE a line (- for standard input)\n"
                "  --metadata-file  a SAML provider's metadata (- for standard input); metadata.url has it fetched\n"
                "  --secret-file    the client secret, for client.authentication=secret-…; it is kept sealed\n"
                "  --wait           until the trial sign-in is done, or ten minutes\n"
                "A new provider is disabled. test fetches what it says of itself, gives a link for a trial\n"
                "sign-in, and shows of the last sign-ins what arrived and what was decided.\n"
                "disable and remove end every session that the provider gave before they return.\n"
                "key rolls our own keys at a SAML provider over: make publishes new ones beside the old, use lets the\n"
                "new one sign (at once, or from --at), finish removes the old ones, drop gives the new ones up.",
            .ja =
                "IdP (OpenID Connect または SAML 2.0) はテナントの利用者をサインインさせます。キーワードは masugata-idp(5)\n"
                "にあります。show は設定と、IdP に登録する値を表示します。\n"
                "  --file           1 行に 1 つの KEYWORD=VALUE (標準入力は -)\n"
                "  --metadata-file  SAML の IdP メタデータ (標準入力は -)。metadata.url を指定すれば取得する\n"
                "  --secret-file    client.authentication=secret-… で使うシークレット (封緘して保管)\n"
                "  --wait           試験サインインが終わるまで (最長 10 分) 待つ\n"
                "追加した IdP は無効の状態です。test は IdP の公開情報を取得し、試験サインイン用のリンクを\n"
                "発行し、最近のサインインで届いた内容と判定を表示します。\n"
                "disable と remove は、その IdP によるセッションをすべて終了してから戻ります。\n"
                "key は SAML の IdP に対する当方の鍵を切り替えます。make は新しい鍵をメタデータに併記し、use は新しい鍵で\n"
                "署名し (今すぐ、または --at から)、finish は古い鍵を削除し、drop は新しい鍵を破棄します。",
        },
        argc, argv);
}
