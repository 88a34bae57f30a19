/* Who may what: networks of sign-in, rules for passwords, roles, and customers who administer themselves.
 *
 * What has to be tried with an administrator's hands is tried in the drill's tenant (domain/drill.h), which
 * is no customer's: there the probes have accounts of each role, and its policy lets people sign in from the
 * lower half of this machine's loopback network only. */
#include "base/secret.h"
#include "domain/permission.h"
#include "domain/tenant_policy.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <stdio.h>
#include <unistd.h>

static const struct role {
    const char *name;
    enum mg_canary which;
} roles[] = {
    {"administrator", MG_CANARY_ADMINISTRATOR},
    {"approver", MG_CANARY_APPROVER},
    {"auditor", MG_CANARY_AUDITOR},
    {"user", MG_CANARY_USER},
    {"user", MG_CANARY_PASSWORD}, /* whose password is tried to be changed */
};
enum { ADMINISTRATOR, APPROVER, AUDITOR, USER, PASSWORD };

/* Signs in at the drill's tenant. */
static CHECKED struct mg_status
enter(struct mg_visitor *visitor, const struct role *role, struct mg_canary_account *account)
{
    OWN_FETCHED(answer);
    struct mg_observer *observer = visitor->observer;
    TRY(observer->ops->canary(observer, observer->drill_tenant, role->which, account));
    TRY(mg_visitor_password(visitor, MG_DRILL_SIGN_IN_HOST, account, &answer));
    if (answer.status != 200 || strncmp(visitor->path, "/account", 8) != 0)
        return fail_with(REFUSED, "the probes' %s does not get in (status %u)", role->name, answer.status);
    return OK;
}

static CHECKED struct mg_status
look(struct mg_visitor *visitor, const char *path, struct mg_fetched *answer)
{
    return mg_visitor_get(visitor, MG_DRILL_SIGN_IN_HOST, path, answer);
}

static CHECKED struct mg_status
post(struct mg_visitor *visitor, const char *path, const char *const *fields, unsigned *ret_status)
{
    OWN_FETCHED(answer);
    TRY(mg_visitor_post(visitor, MG_DRILL_SIGN_IN_HOST, path, fields, &answer));
    *ret_status = answer.status;
    return OK;
}

/* ---- IDENTITY_05: sign-in from the tenant's networks only ---- */

enum { NOTED_TRIES = 20, NOTED_EVERY_US = 1000000 };

static bool
keeps_out(unsigned status)
{
    return status == 403 || status == 404 || status == 421;
}

/* The page to sign in and the form behind it, from an address that is not among the networks. */
static CHECKED struct mg_status
sign_in_is_shut(struct mg_observer *observer, const char *host, const char *source,
                struct mg_finding *finding)
{
    static const char *const disguises[] = {
        NULL, "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n",
        "X-Masugata-Client: 127.0.0.1\r\n"};
    for (size_t i = 0; i < MG_COUNT(disguises); i++)
        for (int posts = 0; posts < 2; posts++) {
            OWN_FETCHED(answer);
            const struct mg_fetch request = {.method = posts ? "POST" : "GET",
                                             .host = host,
                                             .path = "/sign-in",
                                             .source = source,
                                             .headers = disguises[i],
                                             .body = mg_view_text(posts ? "login=nobody&password=none" : "")};
            TRY(observer->ops->fetch(observer, &request, &answer));
            if (keeps_out(answer.status))
                continue;
            mg_finding_break(finding, host, "signing in is possible from outside the tenant's networks",
                             "テナントが許可していない接続元からサインインできます");
            mg_finding_note(finding, "status %u", answer.status);
            return OK;
        }
    return OK;
}

/* The gate's counts reach the log some seconds after the requests. */
static CHECKED struct mg_status
refusal_is_noted(struct mg_observer *observer, const char *source, mg_instant since,
                 struct mg_finding *finding)
{
    char prefix[16];
    (void) snprintf(prefix, sizeof prefix, "%.*s", (int) (strrchr(source, '.') - source), source);
    for (int i = 0; i < NOTED_TRIES; i++) {
        OWN_BUFFER(lines, 1u << 18);
        TRY(observer->ops->audit_read(observer, prefix, since, 20, &lines));
        if (strstr(mg_buffer_text(&lines), "gate_refusals") != NULL &&
            strstr(mg_buffer_text(&lines), "network") != NULL) {
            mg_finding_cover(finding);
            return OK;
        }
        (void) usleep(NOTED_EVERY_US);
    }
    mg_finding_break(finding, MG_DRILL_SIGN_IN_HOST, "a sign-in that was denied is not in the log",
                     "拒否したサインインが記録されていません");
    return OK;
}

/* An address of this machine that the tenant's networks do not have; false if they have all that are tried.
 */
static bool
outside_of(const char *list, char source[16])
{
    static const char *const addresses[] = {"127.201.7.7", "127.77.7.7", "127.0.0.1"};
    for (size_t i = 0; i < MG_COUNT(addresses); i++)
        if (!mg_tenant_networks_have(list, mg_view_text(addresses[i]))) {
            (void) snprintf(source, 16, "%s", addresses[i]);
            return true;
        }
    return false;
}

static CHECKED struct mg_status
tenant_is_shut(struct mg_observer *observer, const struct mg_observed_tenant *tenant,
               struct mg_finding *finding)
{
    char source[16];
    OWN_BUFFER(list, 8192);
    TRY(observer->ops->tenant_setting(observer, tenant->name, "allow.sign_in", &list));
    if (list.length == 0)
        return OK; /* anywhere: its people may sign in from everywhere */
    finding->total++;
    if (!outside_of(mg_buffer_text(&list), source))
        return OK; /* not covered */
    TRY(sign_in_is_shut(observer, tenant->sign_in_host, source, finding));
    mg_finding_cover(finding);
    return OK;
}

struct mg_status
mg_probe_IDENTITY_05(struct mg_observer *observer, struct mg_finding *finding)
{
    char source[16], inside[16];
    uint8_t bytes[2];
    unsigned own = 0;
    OWN_FETCHED(answer);
    const mg_instant since = mg_now() - 1000;
    finding->source = "front door, audit log";
    mg_finding_expect(finding, 3, "tenants with networks of their own, and what is noted of them",
                      "接続元を限るテナントと、その記録");
    mg_random(bytes, sizeof bytes);
    (void) snprintf(source, sizeof source, "127.%u.%u.9", 130U + bytes[0] % 100, (unsigned) bytes[1]);
    TRY(sign_in_is_shut(observer, MG_DRILL_SIGN_IN_HOST, source, finding));
    mg_finding_cover(finding);
    mg_loopback_source(inside); /* in the lower half */
    const struct mg_fetch request = {.host = MG_DRILL_SIGN_IN_HOST, .path = "/sign-in", .source = inside};
    TRY(observer->ops->fetch(observer, &request, &answer));
    if (answer.status != 200)
        mg_finding_break(finding, MG_DRILL_SIGN_IN_HOST,
                         "signing in is not possible from inside the networks either",
                         "許可した接続元からもサインインできません");
    mg_finding_cover(finding);
    TRY(refusal_is_noted(observer, source, since, finding));
    for (size_t i = 0; i < observer->tenant_count; i++)
        if (observer->tenants[i].active) {
            const uint64_t before = finding->total;
            TRY(tenant_is_shut(observer, &observer->tenants[i], finding));
            own += finding->total != before;
        }
    mg_finding_note(finding, "the drill's tenant from %s; %u tenants with a list of their own", source, own);
    return OK;
}

/* ---- IDENTITY_07: rules for passwords, by administrators alone ---- */

static CHECKED struct mg_status
rule_set(struct mg_visitor *visitor, const char *value, unsigned *ret_status)
{
    const char *const fields[] = {"keyword", "password.length", "value", value, NULL};
    return post(visitor, "/console/policy", fields, ret_status);
}

static CHECKED struct mg_status
others_cannot(struct mg_visitor *administrator, struct mg_finding *finding)
{
    for (size_t i = APPROVER; i <= USER; i++) {
        struct mg_canary_account account;
        unsigned status = 0;
        OWN_VISITOR(visitor, administrator->observer);
        TRY(enter(&visitor, &roles[i], &account));
        TRY(rule_set(&visitor, "16", &status));
        mg_finding_cover(finding);
        if (status != 403)
            mg_finding_break(finding, roles[i].name, "somebody else than an administrator changes the rules",
                             "管理者以外が規則を変更できます");
    }
    return OK;
}

/* 24 random characters are a good password, but not one of 32. */
static CHECKED struct mg_status
short_one_is_refused(struct mg_observer *observer, struct mg_finding *finding)
{
    unsigned status = 0;
    uint8_t bytes[18];
    struct mg_canary_account account;
    OWN_BUFFER(password, 32);
    OWN_VISITOR(visitor, observer);
    mg_random(bytes, sizeof bytes);
    TRY(mg_base64url(mg_view_of(bytes, sizeof bytes), &password));
    TRY(enter(&visitor, &roles[PASSWORD], &account));
    const char *const fields[] = {"current", account.password, "password", mg_buffer_text(&password), NULL};
    TRY(post(&visitor, "/password", fields, &status));
    mg_finding_cover(finding);
    if (status != 422)
        mg_finding_break(finding, MG_DRILL_TENANT, "a password that breaks the rules is accepted",
                         "規則に反するパスワードを設定できます");
    mg_finding_note(finding, "24 characters under a rule of 32: status %u", status);
    return OK;
}

struct mg_status
mg_probe_IDENTITY_07(struct mg_observer *observer, struct mg_finding *finding)
{
    unsigned status = 0;
    struct mg_canary_account account;
    OWN_VISITOR(administrator, observer);
    finding->source = "front door";
    mg_finding_expect(finding, 6, "attempts in the drill's tenant", "訓練用テナントでの試行");
    TRY(enter(&administrator, &roles[ADMINISTRATOR], &account));
    TRY(rule_set(&administrator, "32", &status));
    mg_finding_cover(finding);
    if (status != 303)
        mg_finding_break(finding, MG_DRILL_TENANT, "an administrator cannot set the rules",
                         "管理者が規則を設定できません");
    TRY(others_cannot(&administrator, finding));
    TRY(short_one_is_refused(observer, finding));
    TRY(rule_set(&administrator, "0", &status)); /* as it was */
    if (status == 303)
        mg_finding_cover(finding);
    return OK;
}

/* ---- IDENTITY_08: operators' passwords by age ---- */

struct mg_status
mg_probe_IDENTITY_08(struct mg_observer *observer, struct mg_finding *finding)
{
    struct mg_operator_passwords found;
    finding->source = "authority";
    TRY(observer->ops->operator_passwords(observer, &found));
    mg_finding_expect(finding, 1 + found.passwords, "the rule and the passwords of operators",
                      "規則と運用者のパスワード");
    finding->covered += 1 + found.passwords;
    if (found.most_ms == 0) {
        mg_finding_note(finding, "operators.password.max_age is off: this profile is not selected here");
        return OK;
    }
    if (found.too_old != 0)
        mg_finding_break(finding, "", "an operator's password is older than the rule, or of unknown age",
                         "規則より古い、または設定日不明の運用者パスワードがあります");
    mg_finding_note(finding, "%ju passwords, the oldest %jd h old, at most %jd h",
                    (uintmax_t) found.passwords, (intmax_t) (found.oldest_ms / 3600000),
                    (intmax_t) (found.most_ms / 3600000));
    return OK;
}

/* ---- IDENTITY_11: every role against every action, and rights that nobody needs ---- */

enum check { READS, FORM_TOKEN, SAME_ORIGIN, MACHINE };
enum { APP = 1, ID = 2, OPS = 4, ANYWHERE = 7 };
#define PUBLIC MG_PERMISSION_NONE
#define PASSING MG_PERMISSION_NONE
#define NOBODY MG_PERMISSION_NONE
#define PERSON MG_PERMISSION_NONE
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

/* What changes nothing when it is allowed: somebody and something that do not exist. */
static CHECKED struct mg_status
try_action(struct mg_visitor *visitor, const struct action *action, unsigned *ret_status)
{
    static const char *const fields[] = {
        "login", "masugata-nobody", "keyword", "no.such.rule", "new_role", "NO NAME",
        "role",  "no-such-role",    "to",      "disabled",     "family",   "00000000000000000000000000000001",
        NULL};
    /* These two would act on the person named instead of on the session. */
    static const char *const of_session[] = {"family", "00000000000000000000000000000001", NULL};
    OWN_FETCHED(answer);
    if (action->check != READS)
        return post(visitor, action->path,
                    strcmp(action->path, "/console/sessions/end") == 0 ? of_session : fields, ret_status);
    char path[128];
    (void) snprintf(path, sizeof path, "%s%s", action->path, /* of what is listed or exported, nothing */
                    strcmp(action->path, "/console/audit/proof") == 0 ? "?entry=0" : "?since=2999-01-01");
    TRY(look(visitor, path, &answer));
    *ret_status = answer.status;
    return OK;
}

static CHECKED struct mg_status
role_is_held_to(struct mg_observer *observer, const struct role *role, struct mg_finding *finding)
{
    struct mg_canary_account account;
    const mg_permissions held = mg_permissions_of_roles(mg_view_text(role->name), false);
    OWN_VISITOR(visitor, observer);
    TRY(enter(&visitor, role, &account));
    for (size_t i = 0; i < MG_COUNT(actions); i++) {
        unsigned status = 0;
        if (actions[i].needed == MG_PERMISSION_NONE || (actions[i].origins & ID) == 0)
            continue;
        TRY(try_action(&visitor, &actions[i], &status));
        finding->total++;
        if (status >= 500)
            return fail_with(UNAVAILABLE, "%s answers %u", actions[i].path, status);
        mg_finding_cover(finding);
        const bool may = mg_permissions_have(held, actions[i].needed);
        if (may == (status != 403))
            continue;
        mg_finding_break(finding, role->name,
                         may ? "a role may not do what it is for" : "a role may do more than it is for",
                         may ? "ロールに必要な操作ができません" : "ロールの範囲を超えた操作ができます");
        mg_finding_note(finding, "%s %s: %u", role->name, actions[i].path, status);
    }
    return OK;
}

struct mg_status
mg_probe_IDENTITY_11(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door, authority";
    mg_finding_expect(finding, 0, "actions of each role, and tenants", "ロールごとの操作とテナント");
    for (size_t i = ADMINISTRATOR; i <= USER; i++)
        TRY(role_is_held_to(observer, &roles[i], finding));
    for (size_t i = 0; i < observer->tenant_count; i++) {
        uint64_t accounts = 0;
        finding->total++;
        TRY(observer->ops->unused_rights(observer, observer->tenants[i].name, &accounts));
        mg_finding_cover(finding);
        if (accounts != 0)
            mg_finding_break(finding, observer->tenants[i].name,
                             "an account holds rights that were neither used nor confirmed for 90 days",
                             "90 日間使用も確認もされていない権限を持つアカウントがあります");
    }
    return OK;
}

/* ---- IDENTITY_12: customers administer their own accounts, and see what the vendor does ---- */

#define GUEST "guest@" MG_DRILL_HOST
static const char guest_login[] = GUEST;

static CHECKED struct mg_status
page_says(struct mg_visitor *visitor, const char *path, const char *text, const char *en, const char *ja,
          struct mg_finding *finding)
{
    OWN_FETCHED(answer);
    TRY(look(visitor, path, &answer));
    mg_finding_cover(finding);
    if (answer.status != 200 || strstr(mg_buffer_text(&answer.body), text) == NULL)
        mg_finding_break(finding, MG_DRILL_TENANT, en, ja);
    return OK;
}

static CHECKED struct mg_status
guest_is_kept(struct mg_visitor *administrator, struct mg_finding *finding)
{
    static const char *const add[] = {"new_login", guest_login,    "new_name", "Guest", "new_email",
                                      "",          "new_language", "ja",       NULL};
    static const char *const off[] = {"login", guest_login, "to", "disabled", NULL};
    static const char *const on[] = {"login", guest_login, "to", "enabled", NULL};
    unsigned status = 0;
    TRY(post(administrator, "/console/user/add", add, &status)); /* 422 when it is there already */
    mg_finding_cover(finding);
    if (status != 303 && status != 422)
        mg_finding_break(finding, MG_DRILL_TENANT, "an administrator cannot add a user",
                         "管理者が利用者を追加できません");
    TRY(post(administrator, "/console/user/disable", off, &status));
    TRY(page_says(administrator, "/console/user?login=" GUEST, "name=\"to\" value=\"enabled\"",
                  "an administrator cannot disable a user", "管理者が利用者を無効化できません", finding));
    TRY(post(administrator, "/console/user/disable", on, &status));
    return page_says(administrator, "/console/user?login=" GUEST, "name=\"to\" value=\"disabled\"",
                     "an administrator cannot enable a user", "管理者が利用者を有効化できません", finding);
}

struct mg_status
mg_probe_IDENTITY_12(struct mg_observer *observer, struct mg_finding *finding)
{
    static const char *const guest[] = {"login", guest_login, NULL};
    struct mg_canary_account account, approver_account;
    char by[300];
    unsigned status = 0;
    OWN_VISITOR(administrator, observer);
    OWN_VISITOR(approver, observer);
    finding->source = "front door, audit log";
    mg_finding_expect(finding, 6, "steps in the drill's tenant", "訓練用テナントでの手順");
    TRY(enter(&administrator, &roles[ADMINISTRATOR], &account));
    TRY(enter(&approver, &roles[APPROVER], &approver_account));
    TRY(guest_is_kept(&administrator, finding));
    TRY(post(&approver, "/console/user/review", guest, &status));
    (void) snprintf(by, sizeof by, "just now</time>, %s", approver_account.login);
    TRY(page_says(&approver, "/console/user?login=" GUEST, by, "an account cannot be confirmed as needed",
                  "アカウントの必要性を確認できません", finding));
    /* The customer's own act, and the vendor's: this round's accounts were made by the vendor's prober. */
    TRY(page_says(&administrator, "/console/audit?words=user_disable", account.login,
                  "what the customer did is not in its log", "お客様の操作が記録に表示されません", finding));
    return page_says(&administrator, "/console/audit?words=a+round+of+probes", approver_account.login,
                     "what the vendor did to an account is not in the customer's log",
                     "サービス提供者によるアカウントの変更が記録に表示されません", finding);
}
