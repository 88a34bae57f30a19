/* IDENTITY_10: sign-ins that look wrong are held back. A canary account with a past of sixty days in one city
 * is signed in to with its right password, each time as somebody else would: every held one must also be in
 * the audit trail with its reason. */
#include "base/secret.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <stdio.h>

#define DEVICE_COOKIE "__Host-masugata-device"
enum {
    NAMES = 4
}; /* wrong ones from one address: adaptive.names at its preset, below what locks the address */

/* Addresses of this machine that stand for two cities (authority/identity_risk.c), another one each time:
 * what was wrong in an earlier round must not count. */
enum city { TOKYO = 81, PARIS = 33 };
static void
source_in(enum city city, char text[16])
{
    uint8_t last = 0;
    mg_random(&last, sizeof last);
    (void) snprintf(text, 16, "127.%u.0.%u", (unsigned) city, 2 + (unsigned) last % 250);
}

struct visit {
    const char *source;
    bool device; /* the one of the account's past */
};

static CHECKED struct mg_status
sign_in(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
        const struct mg_canary_account *account, const struct visit *visit, bool *ret_inside)
{
    OWN_FETCHED(answer);
    OWN_VISITOR(visitor, observer);
    visitor.source = visit->source;
    if (visit->device)
        TRY(mg_visitor_cookie_set(&visitor, tenant->sign_in_host, DEVICE_COOKIE, account->device));
    return mg_visitor_sign_in(&visitor, tenant->app_host, account, &answer, ret_inside);
}

/* The newest record about the account since `since` names the signal. */
static CHECKED struct mg_status
is_recorded(struct mg_observer *observer, const struct mg_canary_account *account, mg_instant since,
            const char *signal, bool *ret_recorded)
{
    OWN_BUFFER(lines, 1u << 20);
    TRY(observer->ops->audit_read(observer, signal, since, 100, &lines));
    *ret_recorded = false;
    for (const char *line = mg_buffer_text(&lines); *line != '\0' && !*ret_recorded;) {
        const size_t length = strcspn(line, "\n");
        *ret_recorded = memmem(line, length, account->login, strlen(account->login)) != NULL;
        line += length + (line[length] == '\n');
    }
    return OK;
}

/* *ret_inside: it was let in. A held one that the log does not tell of is a finding here. */
static CHECKED struct mg_status
steal(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
      const struct mg_canary_account *account, const struct visit *visit, const char *signal,
      struct mg_finding *finding, bool *ret_inside)
{
    bool inside = false, recorded = false;
    struct mg_canary_account thief = *account; /* who knows the password, and no more */
    const mg_instant since = mg_now();
    thief.recovery[0] = '\0';
    TRY(sign_in(observer, tenant, &thief, visit, &inside));
    *ret_inside = inside;
    if (inside)
        return OK;
    TRY(is_recorded(observer, account, since, signal, &recorded));
    if (!recorded) {
        mg_finding_break(finding, tenant->name, "a held sign-in is not in the audit trail with its reason",
                         "保留されたサインインの理由が監査記録にありません");
        mg_finding_note(finding, "%s: no record of %s", tenant->name, signal);
    }
    return OK;
}

static void
let_in(const struct mg_observed_tenant *tenant, const char *signal, struct mg_finding *finding)
{
    mg_finding_break(finding, tenant->name, "a suspicious sign-in was let in",
                     "不審なサインインが許可されました");
    mg_finding_note(finding, "%s: %s was let in", tenant->name, signal);
}

static CHECKED struct mg_status
must_be_held(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
             const struct mg_canary_account *account, const struct visit *visit, const char *signal,
             struct mg_finding *finding)
{
    bool inside = false;
    TRY(steal(observer, tenant, account, visit, signal, finding, &inside));
    if (inside)
        let_in(tenant, signal, finding);
    return OK;
}

/* Wrong passwords for names nobody has, then the right one of an account, all from one address. */
static CHECKED struct mg_status
stuff(struct mg_observer *observer, const struct mg_observed_tenant *tenant, struct mg_finding *finding,
      bool *ret_inside)
{
    char source[16];
    struct mg_canary_account account, wrong = {.password = "not the password of anybody"};
    bool inside = false;
    const struct visit visit = {.source = source};
    mg_loopback_source(source);
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_SIGN_IN, &account));
    for (int i = 0; i < NAMES; i++) {
        uint32_t nobody = 0; /* another name each time: one that is locked by now would not count */
        mg_random(&nobody, sizeof nobody);
        (void) snprintf(wrong.login, sizeof wrong.login, "masugata-nobody-%08x", nobody);
        TRY(sign_in(observer, tenant, &wrong, &visit, &inside));
        if (inside)
            return fail_with(INTEGRITY, "a name that nobody has was signed in to");
    }
    return steal(observer, tenant, &account, &visit, "stuffing", finding, ret_inside);
}

/* On a machine that is too busy to judge a wrong password nothing was guessed and nothing counts: one address
 * that got through says less than two. */
static CHECKED struct mg_status
stuffing_must_be_held(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
                      struct mg_finding *finding)
{
    bool inside = true;
    for (int i = 0; i < 2 && inside; i++)
        TRY(stuff(observer, tenant, finding, &inside));
    if (inside)
        let_in(tenant, "stuffing", finding);
    return OK;
}

static CHECKED struct mg_status
tenant_probe(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
             struct mg_finding *finding)
{
    struct mg_canary_account account;
    char home[16], abroad[16];
    bool inside = false;
    source_in(TOKYO, home);
    source_in(PARIS, abroad);
    TRY(observer->ops->canary(observer, tenant->number, MG_CANARY_RISK, &account));
    TRY(sign_in(observer, tenant, &account, &(struct visit){.source = home, .device = true}, &inside));
    if (!inside) /* a door that is always shut would look like one that is watched */
        return fail_with(REFUSED, "%s: the usual sign-in of the canary account is not let in",
                         tenant->app_host);
    TRY(must_be_held(observer, tenant, &account, &(struct visit){.source = home}, "new_device", finding));
    TRY(must_be_held(observer, tenant, &account, &(struct visit){.source = abroad, .device = true},
                     "impossible_travel", finding));
    TRY(stuffing_must_be_held(observer, tenant, finding));
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_IDENTITY_10(struct mg_observer *observer, struct mg_finding *finding)
{
    uint64_t files = 0;
    mg_instant built_at = 0;
    char built[MG_INSTANT_TEXT] = "";
    finding->source = "front door, audit trail";
    mg_finding_expect(finding, 0, "tenants", "テナント");
    TRY(observer->ops->risk_state(observer, &files, &built_at));
    if (files == 0)
        mg_finding_break(finding, "",
                         "there are no location data: impossible journeys of users cannot be seen",
                         "所在データがないため、利用者のあり得ない移動を検出できません");
    mg_instant_text(built_at, built);
    for (size_t i = 0; i < observer->tenant_count; i++) {
        if (!observer->tenants[i].active)
            continue;
        finding->total++;
        TRY(tenant_probe(observer, &observer->tenants[i], finding));
    }
    mg_finding_note(finding,
                    "new device, impossible journey and %d names from one address on a canary of each tenant",
                    NAMES);
    mg_finding_note(finding, "location files %ju, built %.10s", (uintmax_t) files,
                    files > 0 ? built : "never");
    return OK;
}
