#include "cli/demo.h"

#include "base/secret.h"
#include "cli/tenant_policy.h"
#include "domain/outcome.h"

#include <inttypes.h>
#include <unistd.h>

#define TENANT_WAIT_MS 90000
#define PASSWORD_CHARACTERS 20

/* What a vendor does who brings an application with inline scripts: names each by its hash, so that the
 * policy still lets no injected script run. These are the scripts of Debian 12's notebook 6.4, in English
 * and in Japanese. */
static const char jupyter_policy[] =
    "content_security_policy = \"default-src 'none'; script-src 'self'"
    " 'sha256-gD+utqg4qKVcPg4rEOKGvCl/juUR6fuHRSIraZxUKoU='"
    " 'sha256-2iOrR41dpTZCFiglq/C1Btz8QIt31/J8EfLjelwBHbs='"
    " 'sha256-TEs/Zm/L1DdrbTBn7MwoIcjXEST9H1O+QTRrW+s5OYc='"
    " 'sha256-hJmL2a/eSfOCVUOfzVfY0LrZDVkK1WCQdBbJ4CY9XtU='"
    " 'sha256-/UmWzvf3tesMxY+1Wnv/qOrJjOKdVHEOnWIVuQvI/lw='"
    " 'sha256-XS84nZVIV/Q3YRujWhwGSXIfhqOFPLNRX0RH0VeeJ5U='"
    " 'sha256-mQMqAjY98rJ2nfQ0U9WNUuWf4malaG2Whr5xDPRhyKk=';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'\"\n";

/* The cast. Two customers with the same small application, each with a database of its own, and a
 * third host with an application that somebody else wrote and that knows nothing of Masugata. */
static const struct {
    const char *name, *label, *host, *sign_in_host, *upstream, *policy;
} demo_tenants[] = {
    {"acme", "Acme Trading 株式会社", "acme.localhost", "id.acme.localhost", "example:notes", ""},
    {"hinode", "日の出製作所", "hinode.localhost", "id.hinode.localhost", "example:notes", ""},
    {"lab", "Data Lab (Jupyter)", "lab.localhost", "id.lab.localhost", "example:jupyter", jupyter_policy},
};

static const struct {
    const char *tenant, *login, *name, *roles, *language;
} demo_users[] = {
    {"", "operator", "Demo Operator", "operator", "ja"},
    {"acme", "aiko@acme.example", "Aiko Sato", "administrator user", "ja"},
    {"acme", "bob@acme.example", "Bob Miller", "user", "en"},
    {"hinode", "haruto@hinode.example", "田中 陽翔", "administrator user", "ja"},
    {"lab", "rin@lab.example", "Rin Kimura", "user", "en"},
};

struct mg_status
mg_cli_demo_make(const struct mg_cli *cli)
{
    return mg_cli_directory_make(cli->directory,
                                 mg_view_text("# The demo's configuration; see masugata.conf(5).\n"
                                              "tls.profile = \"aes256\"\n"
                                              "mail.url = \"smtp://127.0.0.1:2525\"\n"
                                              "mail.tls = \"off\"\n"
                                              "mail.from = \"no-reply@masugata.localhost\"\n"));
}

/* Without characters that look alike; 32 of them, so that a byte's low bits choose evenly. */
static void
password_make(char password[PASSWORD_CHARACTERS + 1])
{
    static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t bytes[PASSWORD_CHARACTERS];
    mg_random(bytes, sizeof bytes);
    for (size_t i = 0; i < PASSWORD_CHARACTERS; i++)
        password[i] = alphabet[bytes[i] & 31];
    password[PASSWORD_CHARACTERS] = '\0';
    mg_wipe(bytes, sizeof bytes);
}

static CHECKED struct mg_status
tenant_add(const struct mg_cli *cli, struct mg_admin *admin, size_t at)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_add reply;
    const struct mg_request_tenant_add request = {
        .name = mg_view_text(demo_tenants[at].name),
        .label = mg_view_text(demo_tenants[at].label),
        .hosts = mg_view_text(demo_tenants[at].host),
        .sign_in_host = mg_view_text(demo_tenants[at].sign_in_host),
        .upstream = mg_view_text(demo_tenants[at].upstream),
    };
    TRY(mg_admin_tenant_add(admin, &request, &reply, &storage));
    if (reply.outcome != MG_GRANTED && reply.outcome != MG_TAKEN)
        return fail_with(REFUSED, "tenant %s: %s %.*s", demo_tenants[at].name,
                         mg_outcome_text(reply.outcome, 0), (int) reply.reason.length,
                         (const char *) reply.reason.bytes);
    if (reply.outcome == MG_TAKEN || demo_tenants[at].policy[0] == '\0')
        return OK;
    OWN(tenant_policy) policy = NULL;
    TRY(mg_tenant_policy_parse(demo_tenants[at].name, demo_tenants[at].policy, &policy));
    return mg_cli_tenant_policy_send(cli, admin, demo_tenants[at].name, policy);
}

/* *ret_ready: all that are listed serve; *ret_count: how many there are. */
static CHECKED struct mg_status
tenants_look(struct mg_admin *admin, size_t *ret_count, bool *ret_ready)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_list reply;
    *ret_count = 0;
    *ret_ready = true;
    TRY(mg_admin_tenant_list(admin, &(struct mg_request_tenant_list){0}, &reply, &storage));
    for (;;) {
        struct mg_record_tenant_row row;
        bool more;
        TRY(mg_list_next_tenant_row(&reply.tenants, &row, &more));
        if (!more)
            return OK;
        (*ret_count)++;
        *ret_ready = *ret_ready && row.state != MG_LISTED_PREPARING;
    }
}

static CHECKED struct mg_status
tenants_wait(const struct mg_cli *cli, struct mg_admin *admin)
{
    const int64_t deadline_ms = mg_monotonic_ms() + TENANT_WAIT_MS;
    size_t count = 0;
    bool ready = false;
    while (mg_monotonic_ms() < deadline_ms) {
        TRY(tenants_look(admin, &count, &ready));
        if (ready)
            return OK;
        (void) usleep(100000);
    }
    return fail_with(TIMEOUT, "the tenants' databases are not ready after %d s; see %s/log",
                     TENANT_WAIT_MS / 1000, cli->directory);
}

/* The password is empty when the user existed already: it was printed then. */
static CHECKED struct mg_status
user_add(struct mg_admin *admin, size_t at, char password[PASSWORD_CHARACTERS + 1])
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_user_add reply;
    password_make(password);
    const bool address = strchr(demo_users[at].login, '@') != NULL;
    const struct mg_request_user_add request = {
        .tenant = mg_view_text(demo_users[at].tenant),
        .login = mg_view_text(demo_users[at].login),
        .name = mg_view_text(demo_users[at].name),
        .email = mg_view_text(address ? demo_users[at].login : "operator@masugata.example"),
        .roles = mg_view_text(demo_users[at].roles),
        .language = mg_view_text(demo_users[at].language),
        .password = mg_view_text(password),
    };
    TRY(mg_admin_user_add(admin, &request, &reply, &storage));
    if (reply.outcome == MG_TAKEN)
        password[0] = '\0';
    else if (reply.outcome != MG_GRANTED)
        return fail_with(REFUSED, "user %s: %s %.*s", demo_users[at].login, mg_outcome_text(reply.outcome, 0),
                         (int) reply.reason.length, (const char *) reply.reason.bytes);
    return OK;
}

/* Of a user who was there before there is no password to tell. */
static CHECKED struct mg_status
user_json(struct mg_buffer *json, size_t at, const char *password)
{
    TRY(mg_buffer_add_text(json, at == 0 ? ",\"users\":[{\"tenant\":" : ",{\"tenant\":"));
    TRY(mg_buffer_add_json_string(json, mg_view_text(demo_users[at].tenant)));
    TRY(mg_buffer_add_text(json, ",\"login\":"));
    TRY(mg_buffer_add_json_string(json, mg_view_text(demo_users[at].login)));
    TRY(mg_buffer_add_text(json, ",\"password\":"));
    TRY(password[0] != '\0' ? mg_buffer_add_json_string(json, mg_view_text(password))
                            : mg_buffer_add_text(json, "null"));
    return mg_buffer_add_byte(json, '}');
}

struct mg_status
mg_cli_demo_customers(const struct mg_cli *cli, struct mg_admin *admin, size_t count)
{
    mg_must(count <= MG_COUNT(demo_tenants));
    for (size_t i = 0; i < count; i++)
        TRY(tenant_add(cli, admin, i));
    TRY(tenants_wait(cli, admin));
    for (size_t i = 0; i < MG_COUNT(demo_users); i++)
        for (size_t t = 0; t < count; t++) {
            OWN_KEY(password, PASSWORD_CHARACTERS + 1);
            if (strcmp(demo_users[i].tenant, demo_tenants[t].name) == 0)
                TRY(user_add(admin, i, (char *) password));
        }
    return OK;
}

static void
addresses_print(const struct mg_cli *cli, const struct mg_options *options)
{
    const long long port = (long long) options->gate_https_port;
    (void) printf("\n%s\n", mg_cli_say(cli, "Addresses", "アドレス"));
    for (size_t i = 0; i < MG_COUNT(demo_tenants); i++)
        (void) printf("  https://%s:%lld/  %s\n", demo_tenants[i].host, port, demo_tenants[i].label);
    (void) printf("  https://%s:%lld/  %s\n", options->console_host, port,
                  mg_cli_say(cli, "operators' console", "運用コンソール"));
    (void) printf("  https://acme.localhost:%lld/.well-known/masugata/trust  %s\n", port,
                  mg_cli_say(cli, "public trust page", "公開トラストページ"));
    (void) printf(
        "\n%s\n  %s/tls/demo-ca.pem\n",
        mg_cli_say(
            cli,
            "The certificates are signed by the demo's own authority. To trust it, import this file into\n"
            "the browser, or give it to curl with --cacert:",
            "証明書はデモ専用の認証局が署名しています。信頼するには次のファイルをブラウザーに読み込むか、\n"
            "curl に --cacert で渡してください:"),
        cli->directory);
    (void) printf(
        "\n%s\n",
        mg_cli_say(
            cli,
            "Operators always need a second factor: at the first sign-in to the console, scan the code with an\n"
            "authenticator app (or type its key into one) and keep the recovery codes.",
            "運用者には第 2 要素が必須です。コンソールに初めてサインインするときに、表示されるコードを認証アプリで\n"
            "読み取り (またはキーを入力し)、回復コードを保管してください。"));
    (void) printf("%s\n  %s/demo/mail/\n", mg_cli_say(cli, "Mails that were sent:", "送信されたメール:"),
                  cli->directory);
}

struct mg_status
mg_cli_demo_fill(const struct mg_cli *cli, const struct mg_options *options, struct mg_buffer *json)
{
    OWN(admin) admin = NULL;
    OWN(cli_table) table = NULL;
    const char *const titles_en[] = {"TENANT", "LOGIN", "PASSWORD"};
    const char *const titles_ja[] = {"テナント", "サインイン名", "パスワード"};
    bool printed = true;
    TRY(mg_admin_open(cli, &admin));
    TRY(mg_cli_table_new(MG_COUNT(titles_en), cli->japanese ? titles_ja : titles_en, &table));
    for (size_t i = 0; i < MG_COUNT(demo_tenants); i++) {
        if (!cli->json)
            (void) printf(mg_cli_say(cli, "tenant %s …\n", "テナント %s …\n"), demo_tenants[i].name);
        (void) fflush(stdout);
        TRY(tenant_add(cli, admin, i));
    }
    TRY(tenants_wait(cli, admin));
    for (size_t i = 0; i < MG_COUNT(demo_users); i++) {
        OWN_KEY(password, PASSWORD_CHARACTERS + 1);
        TRY(user_add(admin, i, (char *) password));
        printed = printed && password[0] == '\0';
        TRY(user_json(json, i, (const char *) password));
        TRY(mg_cli_table_cell(table,
                              mg_view_text(demo_users[i].tenant[0] != '\0' ? demo_users[i].tenant : "-")));
        TRY(mg_cli_table_cell(table, mg_view_text(demo_users[i].login)));
        TRY(mg_cli_table_cell(table, mg_view_text(password[0] != '\0' ? (const char *) password : "…")));
    }
    TRY(mg_buffer_add_text(json, "]"));
    if (cli->json)
        return OK;
    addresses_print(cli, options);
    (void) printf(
        "\n%s\n",
        printed ? mg_cli_say(
                      cli,
                      "Logins (the passwords were printed at the first start; remove the directory to begin "
                      "anew)",
                      "サインイン (パスワードは初回起動時に表示済み。最初からやり直すにはディレクトリを削除)")
                : mg_cli_say(cli, "Logins (random, printed this once)", "サインイン (乱数。表示は今回限り)"));
    mg_cli_table_print(table, stdout);
    (void) putchar('\n');
    return OK;
}
