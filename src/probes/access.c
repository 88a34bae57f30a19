/* Probes of sign-in and of the console: who gets in, and who does not. */
#include "probes/probe.h"
#include "probes/visitor.h"
#include "wire/network.h"
#include "wire/options.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct mg_observed_tenant *
tenant_of(const struct mg_observer *observer, uint64_t number)
{
    for (size_t i = 0; i < observer->tenant_count; i++)
        if (observer->tenants[i].number == number)
            return &observer->tenants[i];
    return NULL;
}

/* ---- IDENTITY_01: every page needs an authenticated session ---- */

/* Paths that an application may have, spelt in ways that have slipped past gates before. */
static const char *const guarded_paths[] = {"/",      "/index.html", "/notes", "/api/notes",
                                            "/admin", "//",          "/%2e/",  "/.well-known/x"};

static CHECKED struct mg_status
path_is_guarded(struct mg_observer *observer, const char *host, const char *path, const char *headers,
                bool *ret_guarded)
{
    OWN_FETCHED(answer);
    const struct mg_fetch request = {.host = host, .path = path, .headers = headers};
    TRY(observer->ops->fetch(observer, &request, &answer));
    /* Nobody gets in where nothing is served, but that shows nothing about the gate either. */
    if (mg_answer_is_away(&answer))
        return fail_with(UNAVAILABLE, "%s answers %u", host, answer.status);
    /* An ambiguous path is 400; what is not there for anybody is 404 from us, before the app. */
    *ret_guarded = mg_answer_keeps_out(&answer) || answer.status == 400;
    /* The gate sends a person to sign in; an application that says 401 itself has been reached. */
    if (strstr(headers, "navigate") != NULL && answer.status == 401)
        *ret_guarded = false;
    return OK;
}

static CHECKED struct mg_status
host_is_guarded(struct mg_observer *observer, const struct mg_observed_host *host, struct mg_finding *finding)
{
    static const char *const manners[] = {
        "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n",
        "Accept: application/json\r\n",
        "Cookie: __Host-masugata=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
        "X-Masugata-Assertion: eyJhbGciOiJub25lIn0.e30.\r\nX-Forwarded-User: admin\r\nAuthorization: Basic YTph\r\n",
    };
    const bool operator_host = host->origin == MG_ORIGIN_OPERATOR;
    for (size_t i = 0; i < MG_COUNT(guarded_paths); i++)
        for (size_t j = 0; j < MG_COUNT(manners); j++) {
            bool guarded = false;
            const char *path = operator_host ? "/console/tenants" : guarded_paths[i];
            if (operator_host && i > 0)
                return OK;
            TRY(path_is_guarded(observer, host->name, path, manners[j], &guarded));
            if (guarded)
                continue;
            mg_finding_break(finding, host->name, "a page was answered without a session",
                             "セッションなしで画面が応答しました");
            mg_finding_note(finding, "%s answered", path);
            return OK;
        }
    return OK;
}

/* The right password opens the app, a wrong one does not. */
static CHECKED struct mg_status
password_decides(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
                 struct mg_finding *finding)
{
    char source[16];
    bool inside = false;
    struct mg_canary_account account;
    mg_loopback_source(source);
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    {
        OWN_FETCHED(answer);
        OWN_VISITOR(visitor, observer);
        TRY(mg_visitor_sign_in(&visitor, tenant->app_host, &account, &answer, &inside));
        if (!inside)
            return fail_with(REFUSED, "the right password did not open %s (status %u)", tenant->app_host,
                             answer.status);
    }
    OWN_FETCHED(answer);
    OWN_VISITOR(stranger, observer);
    stranger.source = source;
    account.password[0] = account.password[0] == 'x' ? 'y' : 'x';
    TRY(mg_visitor_sign_in(&stranger, tenant->app_host, &account, &answer, &inside));
    if (inside)
        mg_finding_break(finding, tenant->app_host, "a wrong password opened a session",
                         "誤ったパスワードでセッションが開きました");
    return OK;
}

struct mg_status
mg_probe_IDENTITY_01(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, observer->host_count, "hosts", "ホスト");
    for (size_t i = 0; i < observer->host_count; i++) {
        const struct mg_observed_host *host = &observer->hosts[i];
        if (host->origin != MG_ORIGIN_SIGN_IN)
            TRY(host_is_guarded(observer, host, finding));
        const struct mg_observed_tenant *tenant = tenant_of(observer, host->tenant);
        if (tenant != NULL && tenant->app_host == host->name)
            TRY(password_decides(observer, tenant, finding));
        mg_finding_cover(finding);
    }
    mg_finding_note(finding, "%zu paths in 4 manners on each host, right and wrong password for each tenant",
                    MG_COUNT(guarded_paths));
    return OK;
}

/* ---- IDENTITY_02: passwords are kept and sent properly ---- */

/* A password sent without TLS must meet a redirect, never the form's handler. */
static CHECKED struct mg_status
plain_sign_in_is_refused(struct mg_observer *observer, const struct mg_observed_host *host,
                         struct mg_finding *finding)
{
    OWN_FETCHED(answer);
    const struct mg_fetch request = {.method = "POST",
                                     .host = host->name,
                                     .path = "/sign-in",
                                     .plain = true,
                                     .body = mg_view_text("login=nobody&password=none")};
    TRY(observer->ops->fetch(observer, &request, &answer));
    struct mg_view location;
    const bool sent_away = (answer.status == 301 || answer.status == 308) &&
                           mg_fetched_header(&answer, "Location", 0, &location) && location.length > 8 &&
                           memcmp(location.bytes, "https://", 8) == 0;
    if (!sent_away && answer.status != 421)
        mg_finding_break(finding, host->name, "the sign-in form is served without TLS",
                         "TLS なしでサインインを受け付けます");
    mg_finding_cover(finding);
    return OK;
}

enum { LOGS_FLUSHED_US = 2500000 }; /* nginx holds its access log back for two seconds */

/* Signs in on each tenant, so that the passwords pass through everything they ever pass through. */
static CHECKED struct mg_status
sign_in_everywhere(struct mg_observer *observer)
{
    for (size_t i = 0; i < observer->tenant_count; i++) {
        struct mg_canary_account account;
        bool inside = false;
        OWN_FETCHED(answer);
        OWN_VISITOR(visitor, observer);
        if (!observer->tenants[i].active)
            continue;
        TRY(observer->ops->canary(observer, observer->tenants[i].number, MG_CANARY_SIGN_IN, &account));
        TRY(mg_visitor_sign_in(&visitor, observer->tenants[i].app_host, &account, &answer, &inside));
    }
    (void) usleep(LOGS_FLUSHED_US);
    return OK;
}

/* The password of a sign-in that has just happened is in none of the log files. */
static CHECKED struct mg_status
password_is_in_no_log(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
                      struct mg_finding *finding)
{
    struct mg_canary_account account;
    OWN_BUFFER(lines, 1u << 20);
    uint64_t files = 0, hits = 0;
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    TRY(observer->ops->logs_search(observer, account.password, &files, &hits));
    TRY(observer->ops->audit_read(observer, account.password, account.asked_at, 1, &lines));
    if (hits > 0 || lines.length > 0)
        mg_finding_break(finding, tenant->name, "a password stands in a log",
                         "ログにパスワードが残っています");
    mg_finding_note(finding, "%ju log files searched", (uintmax_t) files);
    mg_finding_cover(finding);
    return files > 0 ? OK : fail_with(NOT_FOUND, "no log file to search");
}

struct mg_status
mg_probe_IDENTITY_02(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door, database, logs";
    struct mg_stored_passwords stored;
    TRY(observer->ops->stored_passwords(observer, &stored));
    mg_finding_expect(finding, stored.users, "stored passwords, sign-in hosts and tenants",
                      "保存パスワード・サインインホスト・テナント");
    finding->covered += stored.argon2id + stored.bcrypt + stored.yescrypt;
    mg_finding_note(finding, "argon2id %ju, bcrypt %ju, yescrypt %ju", (uintmax_t) stored.argon2id,
                    (uintmax_t) stored.bcrypt, (uintmax_t) stored.yescrypt);
    if (stored.weak > 0)
        mg_finding_break(finding, "", "a stored hash is weaker than the policy",
                         "方針より弱いハッシュがあります");
    if (stored.foreign > 0)
        mg_finding_break(finding, "", "a stored password is no salted hash",
                         "ソルト付きハッシュでない保存値があります");
    if (stored.unreadable > 0)
        mg_finding_break(finding, "", "a stored hash cannot be opened", "開けない保存値があります");
    for (size_t i = 0; i < observer->host_count; i++)
        if (observer->hosts[i].origin != MG_ORIGIN_APP) {
            finding->total++;
            TRY(plain_sign_in_is_refused(observer, &observer->hosts[i], finding));
        }
    TRY(sign_in_everywhere(observer));
    for (size_t i = 0; i < observer->tenant_count; i++)
        if (observer->tenants[i].active) {
            finding->total++;
            TRY(password_is_in_no_log(observer, &observer->tenants[i], finding));
        }
    return OK;
}

/* ---- IDENTITY_06: the console only from listed addresses ---- */

static CHECKED struct mg_status
console_networks(const struct mg_options *options, struct mg_network_set *ret_set)
{
    struct mg_network networks[256];
    size_t count = 0;
    struct mg_view word;
    for (const char *cursor = options->console_allow; mg_option_word(&cursor, &word);) {
        if (count == MG_COUNT(networks))
            return fail_with(TOO_LARGE, "console.allow");
        TRY(mg_network_parse(word, &networks[count++]));
    }
    return mg_network_set_make(true, networks, count, ret_set);
}

/* An address of this machine that is, or is not, on the list: loopback ones first, then its others. */
static bool
source_find(const struct mg_network_set *set, bool listed, char text[MG_ADDRESS_TEXT])
{
    static const char *const loopback[] = {"127.0.0.1", "127.9.9.9"};
    struct mg_address address;
    for (size_t i = 0; i < MG_COUNT(loopback); i++)
        if (mg_ok(mg_address_parse(mg_view_text(loopback[i]), &address)) &&
            mg_network_set_has(set, address) == listed) {
            (void) snprintf(text, MG_ADDRESS_TEXT, "%s", loopback[i]);
            return true;
        }
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
        if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET ||
            !mg_address_of_socket(one->ifa_addr, &address) || mg_network_set_has(set, address) != listed)
            continue;
        mg_address_text(address, text);
        found = true;
    }
    freeifaddrs(all);
    return found;
}

static CHECKED struct mg_status
console_status(struct mg_observer *observer, const char *path, const char *source, const char *headers,
               unsigned *ret_status)
{
    OWN_FETCHED(answer);
    const struct mg_fetch request = {
        .host = observer->options->console_host, .path = path, .source = source, .headers = headers};
    TRY(observer->ops->fetch(observer, &request, &answer));
    *ret_status = answer.status;
    return OK;
}

struct mg_status
mg_probe_IDENTITY_06(struct mg_observer *observer, struct mg_finding *finding)
{
    static const char *const paths[] = {"/", "/sign-in", "/console/tenants", "/account"};
    static const char *const disguises[] = {NULL, "X-Forwarded-For: 127.0.0.1\r\n",
                                            "X-Masugata-Client: 127.0.0.1\r\n",
                                            "X-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n"};
    char inside[MG_ADDRESS_TEXT], outside[MG_ADDRESS_TEXT];
    unsigned status = 0;
    finding->source = "front door";
    MG_CLEANUP(mg_network_set_drop) struct mg_network_set set = {.restricted = true};
    TRY(console_networks(observer->options, &set));
    mg_finding_expect(finding, MG_COUNT(paths) * MG_COUNT(disguises) + 1, "requests", "要求");
    if (!source_find(&set, false, outside)) {
        mg_finding_note(finding, "every address of this machine is on the list: nothing to try from outside");
        return OK; /* covered stays below total: unknown */
    }
    for (size_t i = 0; i < MG_COUNT(paths); i++)
        for (size_t j = 0; j < MG_COUNT(disguises); j++) {
            TRY(console_status(observer, paths[i], outside, disguises[j], &status));
            if (status != 403 && status != 404 && status != 421)
                mg_finding_break(finding, paths[i], "the console answered an address that is not listed",
                                 "登録されていないアドレスに運用コンソールが応答しました");
            mg_finding_cover(finding);
        }
    if (source_find(&set, true, inside)) {
        TRY(console_status(observer, "/sign-in", inside, NULL, &status));
        if (status != 200)
            mg_finding_break(finding, "", "the console does not answer a listed address",
                             "登録済みアドレスに運用コンソールが応答しません");
        mg_finding_cover(finding);
    } else {
        finding->total--; /* this machine is not among those that may */
    }
    mg_finding_note(finding, "refused from %s", outside);
    return OK;
}

/* ---- IDENTITY_09: several wrong passwords lock the account ---- */

enum { GUESSES = 12, GUESSERS = 4 }; /* more than the limit of domain/lockout.h, as an attacker: at once */

static CHECKED struct mg_status
guess(struct mg_observer *observer, const char *app_host, const struct mg_canary_account *account,
      bool *ret_inside)
{
    char source[16];
    OWN_FETCHED(answer);
    OWN_VISITOR(visitor, observer);
    mg_loopback_source(source); /* else the address is limited, not the account */
    visitor.source = source;
    return mg_visitor_sign_in(&visitor, app_host, account, &answer, ret_inside);
}

struct guesser {
    struct mg_observer *observer;
    const char *app_host;
    const struct mg_canary_account *account;
    struct mg_status status;
    char detail[256]; /* of the status; its own text lives only in that thread */
};

static void *
guess_often(void *argument)
{
    struct guesser *guesser = argument;
    bool inside = false;
    for (int i = 0; i < GUESSES / GUESSERS && mg_ok(guesser->status); i++)
        guesser->status = guess(guesser->observer, guesser->app_host, guesser->account, &inside);
    (void) snprintf(guesser->detail, sizeof guesser->detail, "%s", guesser->status.detail);
    return NULL;
}

static CHECKED struct mg_status
guess_together(struct mg_observer *observer, const char *app_host, const struct mg_canary_account *account)
{
    struct guesser guessers[GUESSERS];
    pthread_t threads[GUESSERS];
    size_t started = 0;
    for (; started < GUESSERS; started++) {
        guessers[started] =
            (struct guesser){.observer = observer, .app_host = app_host, .account = account, .status = OK};
        if (pthread_create(&threads[started], NULL, guess_often, &guessers[started]) != 0)
            break;
    }
    for (size_t i = 0; i < started; i++)
        (void) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < started; i++)
        if (!mg_ok(guessers[i].status))
            return mg_fail_with(guessers[i].status.code, MG_HERE, "%s", guessers[i].detail);
    return started == GUESSERS ? OK : fail_with(SYSTEM, "threads");
}

static CHECKED struct mg_status
account_locks(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
              struct mg_finding *finding)
{
    struct mg_canary_account account, wrong;
    bool inside = false;
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_LOCK, &account));
    TRY(guess(observer, tenant->app_host, &account, &inside));
    if (!inside) /* a lock that is always shut would look like one that works */
        return fail_with(REFUSED, "%s: the right password does not open the account before it is locked",
                         tenant->app_host);
    wrong = account;
    wrong.password[0] = wrong.password[0] == 'x' ? 'y' : 'x';
    TRY(guess_together(observer, tenant->app_host, &wrong));
    TRY(guess(observer, tenant->app_host, &account, &inside));
    if (inside)
        mg_finding_break(finding, tenant->name, "the account still opened after many wrong passwords",
                         "パスワードを何度誤ってもアカウントがロックされません");
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_IDENTITY_09(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, 0, "tenants", "テナント");
    for (size_t i = 0; i < observer->tenant_count; i++) {
        if (!observer->tenants[i].active)
            continue;
        finding->total++;
        TRY(account_locks(observer, &observer->tenants[i], finding));
    }
    mg_finding_note(finding, "%d wrong passwords on a canary account of each tenant", GUESSES);
    return OK;
}
