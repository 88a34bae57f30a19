#include "domain/tenant_policy.h"
#include "domain/site.h"

#include "domain/host_name.h"
#include "domain/login.h"
#include "domain/password_policy.h"
#include "domain/role.h"
#include "domain/sign_in_method.h"
#include "wire/network.h"

#include <ctype.h>
#include <stdlib.h>

enum check { NOTHING, NETWORKS, HEADER, COOKIES, ROLES, ORIGINS, METHODS, WORDS, SITES };

#define OPTION_ROW(record, name, word, kind, value, low, high, english, japanese) \
    {.keyword = (word),                                                           \
     .type = MG_OPTION_##kind,                                                    \
     .preset = (value),                                                           \
     .least = (low),                                                              \
     .most = (high),                                                              \
     .en = (english),                                                             \
     .ja = (japanese),                                                            \
     .offset = offsetof(struct record, name)},

const struct mg_option_row mg_tenant_option_rows[] = {
#define TENANT_OPTION(name, word, kind, value, low, high, check, english, japanese) \
    OPTION_ROW(mg_tenant_settings, name, word, kind, value, low, high, english, japanese)
#include "../../catalogue/tenant_options.def"
};
const size_t mg_tenant_option_count = MG_COUNT(mg_tenant_option_rows);
static const enum check tenant_checks[] = {
#define TENANT_OPTION(name, word, kind, value, low, high, check, english, japanese) check,
#include "../../catalogue/tenant_options.def"
};

const struct mg_option_row mg_route_option_rows[] = {
#define ROUTE_OPTION(name, word, kind, value, low, high, check, english, japanese) \
    OPTION_ROW(mg_route_settings, name, word, kind, value, low, high, english, japanese)
#include "../../catalogue/tenant_options.def"
};
const size_t mg_route_option_count = MG_COUNT(mg_route_option_rows);
static const enum check route_checks[] = {
#define ROUTE_OPTION(name, word, kind, value, low, high, check, english, japanese) check,
#include "../../catalogue/tenant_options.def"
};

/* ---- the record ---- */

struct mg_status
mg_tenant_policy_new(struct mg_tenant_policy **ret_policy)
{
    OWN(tenant_policy) policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_option_record_begin(&policy->settings, mg_tenant_option_rows, mg_tenant_option_count));
    TRY(mg_option_record_preset(&policy->settings, mg_tenant_option_rows, mg_tenant_option_count));
    *ret_policy = TAKE(policy);
    return OK;
}

void
mg_tenant_policy_drop(struct mg_tenant_policy **policy)
{
    if (*policy == NULL)
        return;
    for (size_t i = 0; i < (*policy)->route_count; i++) {
        mg_option_record_wipe(&(*policy)->routes[i].settings, mg_route_option_rows, mg_route_option_count);
        free((*policy)->routes[i].path);
    }
    free((*policy)->routes);
    mg_option_record_wipe(&(*policy)->settings, mg_tenant_option_rows, mg_tenant_option_count);
    free(*policy);
    *policy = NULL;
}

/* ---- single values ---- */

static CHECKED struct mg_status
networks_check(const char *keyword, const char *list)
{
    struct mg_view word;
    struct mg_network network;
    for (size_t count = 0; mg_option_word(&list, &word); count++) {
        if (!mg_ok(mg_network_parse(word, &network)))
            return fail_with(INVALID, "NETWORK_FORM|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
        if (count == MG_TENANT_NETWORKS_MOST)
            return fail_with(INVALID, "NETWORKS_MOST|%s|%d", keyword, MG_TENANT_NETWORKS_MOST);
    }
    return OK;
}

static CHECKED struct mg_status
header_check(const char *keyword, const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at < 0x20 || *at > 0x7E)
            return fail_with(INVALID, "HEADER_VALUE|%s", keyword);
    return OK;
}

/* RFC 6265 section 4.1.1: a cookie's name is a token (RFC 9110 section 5.6.2). */
static CHECKED struct mg_status
cookies_check(const char *keyword, const char *list)
{
    struct mg_view word;
    while (mg_option_word(&list, &word))
        for (size_t i = 0; i < word.length; i++)
            if (isalnum(word.bytes[i]) == 0 && strchr("!#$%&'*+-.^_`|~", word.bytes[i]) == NULL)
                return fail_with(INVALID, "COOKIE_NAME|%s|%.*s", keyword,
                                 (int) mg_view_start(word, 64).length, (const char *) word.bytes);
    return OK;
}

static CHECKED struct mg_status
roles_check(const char *keyword, const char *list)
{
    struct mg_view word;
    while (mg_option_word(&list, &word))
        if (!mg_roles_valid(word))
            return fail_with(INVALID, "ROLE_FORM|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
    return OK;
}

/* RFC 6454 section 6.2: scheme, host and port, nothing behind; in production only https has a meaning. */
static CHECKED struct mg_status
origins_check(const char *keyword, const char *list)
{
    struct mg_view word;
    while (mg_option_word(&list, &word)) {
        OWN_TEXT text = NULL;
        TRY(mg_view_to_text(word, &text));
        enum { host = sizeof "https://" - 1 };
        const bool https = strncmp(text, "https://", host) == 0;
        const size_t length = https ? strcspn(text + host, ":/?#") : 0;
        const char *port = https && text[host + length] == ':' ? text + host + length + 1 : NULL;
        const bool ends = https && (port == NULL ? text[host + length] == '\0'
                                                 : *port != '\0' && port[strspn(port, "0123456789")] == '\0');
        if (!ends || !mg_host_name_is_valid(mg_view_of(text + host, length)))
            return fail_with(INVALID, "ORIGIN_FORM|%s|%.64s", keyword, text);
    }
    return OK;
}

static CHECKED struct mg_status
methods_check(const char *keyword, const char *text)
{
    unsigned methods = 0;
    const struct mg_status status = mg_sign_in_methods_read(text, &methods);
    return status.code == MG_INVALID ? fail_with(INVALID, "OF_SETTING|%s|%s", keyword, status.detail)
                                     : status;
}

static CHECKED struct mg_status
words_check(const char *keyword, const char *list)
{
    struct mg_view word;
    for (size_t count = 0; mg_option_word(&list, &word); count++) {
        if (!mg_password_word_is_valid(word))
            return fail_with(INVALID, "WORD_LENGTH|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
        if (count == MG_PASSWORD_WORDS_MOST)
            return fail_with(INVALID, "WORDS_MOST|%s|%d", keyword, MG_PASSWORD_WORDS_MOST);
    }
    return OK;
}

static CHECKED struct mg_status
sites_check(const char *keyword, const char *list)
{
    struct mg_view word;
    const size_t length = strlen(list);
    while (mg_option_word(&list, &word))
        if (!mg_site_is_valid(word) || length >= MG_RESIDENCY)
            return fail_with(INVALID, "SITE_WORD|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
    return OK;
}

static CHECKED struct mg_status
text_check(enum check check, const char *keyword, const char *text)
{
    switch (check) {
    case NETWORKS:
        return networks_check(keyword, text);
    case HEADER:
        return header_check(keyword, text);
    case COOKIES:
        return cookies_check(keyword, text);
    case ROLES:
        return roles_check(keyword, text);
    case ORIGINS:
        return origins_check(keyword, text);
    case METHODS:
        return methods_check(keyword, text);
    case WORDS:
        return words_check(keyword, text);
    case SITES:
        return sites_check(keyword, text);
    default:
        return OK;
    }
}

static CHECKED struct mg_status
value_set(void *record, const struct mg_option_row *rows, const enum check *checks, size_t count,
          struct mg_view keyword, struct mg_view value)
{
    OWN_TEXT text = NULL;
    OWN_BUFFER(normal, 8192);
    for (size_t i = 0; i < count; i++) {
        if (!mg_view_is(keyword, rows[i].keyword))
            continue;
        TRY(mg_view_to_text(value, &text));
        if (checks[i] != NOTHING)
            TRY(text_check(checks[i], rows[i].keyword, text));
        if (rows[i].type != MG_OPTION_LIST)
            return mg_option_record_set(record, &rows[i], value);
        TRY(mg_option_words(text, &normal));
        return mg_option_record_set(record, &rows[i], mg_buffer_view(&normal));
    }
    return fail_with(INVALID, "%s_KEYWORD|%.*s", rows == mg_route_option_rows ? "ROUTE" : "POLICY",
                     (int) mg_view_start(keyword, 64).length, (const char *) keyword.bytes);
}

/* ---- routes ---- */

void
mg_tenant_route_split(const char *path, struct mg_view *ret_host, struct mg_view *ret_prefix)
{
    const size_t host = strcspn(path, "/");
    *ret_host = mg_view_of(path, host);
    *ret_prefix = mg_view_text(path + host);
}

/* The gate compares with one canonical path: what can never be canonical would never match. */
static bool
prefix_is_canonical(struct mg_view prefix)
{
    if (prefix.length == 0 || prefix.length > 255 || prefix.bytes[0] != '/')
        return false;
    for (size_t i = 0; i < prefix.length; i++) {
        const uint8_t c = prefix.bytes[i];
        if (c <= 0x20 || c == 0x7F || strchr("\\?#%;", c) != NULL)
            return false;
        if (c == '/' && i + 1 < prefix.length &&
            (prefix.bytes[i + 1] == '/' ||
             (prefix.bytes[i + 1] == '.' &&
              (i + 2 == prefix.length || prefix.bytes[i + 2] == '/' ||
               (prefix.bytes[i + 2] == '.' && (i + 3 == prefix.length || prefix.bytes[i + 3] == '/'))))))
            return false;
    }
    return true;
}

static CHECKED struct mg_status
path_check(const char *path)
{
    struct mg_view host, prefix;
    mg_tenant_route_split(path, &host, &prefix);
    if (host.length != 0 && !mg_host_name_is_valid(host))
        return fail_with(INVALID, "ROUTE_HOST_FORM|%.128s|%.*s", path, (int) host.length, path);
    if (!prefix_is_canonical(prefix))
        return fail_with(INVALID, "ROUTE_PATH|%.128s", path);
    return OK;
}

static CHECKED struct mg_status
route_make(struct mg_tenant_policy *policy, const char *path, struct mg_tenant_route **ret_route)
{
    TRY(path_check(path));
    if (policy->route_count == MG_TENANT_ROUTES_MOST)
        return fail_with(INVALID, "ROUTES_MOST|%d", MG_TENANT_ROUTES_MOST);
    struct mg_tenant_route *more =
        reallocarray(policy->routes, policy->route_count + 1, sizeof *policy->routes);
    if (more == NULL)
        return fail(OUT_OF_MEMORY);
    policy->routes = more;
    struct mg_tenant_route *route = &more[policy->route_count];
    *route = (struct mg_tenant_route){.path = strdup(path)};
    if (route->path == NULL)
        return fail(OUT_OF_MEMORY);
    policy->route_count++; /* from here on the policy's drop frees it, also when it is half made */
    TRY(mg_option_record_begin(&route->settings, mg_route_option_rows, mg_route_option_count));
    TRY(mg_option_record_preset(&route->settings, mg_route_option_rows, mg_route_option_count));
    *ret_route = route;
    return OK;
}

struct mg_status
mg_tenant_policy_set(struct mg_tenant_policy *policy, struct mg_view path, struct mg_view keyword,
                     struct mg_view value)
{
    policy->names_residency =
        policy->names_residency || (path.length == 0 && mg_view_is(keyword, "residency"));
    policy->names_plan = policy->names_plan || (path.length == 0 && mg_view_is(keyword, "backup.plan"));
    if (path.length == 0)
        return value_set(&policy->settings, mg_tenant_option_rows, tenant_checks, mg_tenant_option_count,
                         keyword, value);
    struct mg_tenant_route *route = NULL;
    for (size_t i = 0; i < policy->route_count && route == NULL; i++)
        if (mg_view_is(path, policy->routes[i].path))
            route = &policy->routes[i];
    if (route == NULL) {
        OWN_TEXT text = NULL;
        TRY(mg_view_to_text(path, &text));
        TRY(route_make(policy, text, &route));
    }
    const struct mg_status status = value_set(&route->settings, mg_route_option_rows, route_checks,
                                              mg_route_option_count, keyword, value);
    return mg_ok(status) || status.code != MG_INVALID
               ? status
               : fail_with(INVALID, "OF_ROUTE|%s|%s", route->path, status.detail);
}

/* ---- the whole ---- */

static bool
is_among(struct mg_view host, const char *hosts)
{
    struct mg_view word;
    while (mg_option_word(&hosts, &word)) {
        const uint8_t *equals = memchr(word.bytes, '=', word.length);
        if (equals != NULL)
            word.length = (size_t) (equals - word.bytes);
        if (mg_view_equal(host, word))
            return true;
    }
    return false;
}

static CHECKED struct mg_status
route_judge(const struct mg_tenant_route *route, const char *hosts)
{
    const struct mg_route_settings *settings = &route->settings;
    struct mg_view host, prefix;
    mg_tenant_route_split(route->path, &host, &prefix);
    if (host.length != 0 && !is_among(host, hosts))
        return fail_with(INVALID, "ROUTE_HOST|%s|%.*s|%s", route->path, (int) host.length,
                         (const char *) host.bytes, hosts);
    const bool open = settings->public || settings->bearer || settings->webhook;
    const bool personal = settings->roles[0] != '\0' || settings->fresh != 0 || settings->second_factor != 0;
    if (open && personal)
        return fail_with(INVALID, "ROUTE_OPEN|%s", route->path);
    return OK;
}

/* Which of a record's lists of roles names one that there is not; OK when none does. */
static CHECKED struct mg_status
record_roles_judge(const void *record, const struct mg_option_row *rows, const enum check *checks,
                   size_t count, struct mg_own_roles own)
{
    for (size_t i = 0; i < count; i++) {
        OWN_BUFFER(list, 8192);
        OWN_BUFFER(names, 4096);
        struct mg_view unknown;
        if (checks[i] != ROLES)
            continue;
        TRY(mg_option_record_text(record, &rows[i], &list));
        (void) mg_role_bits_with(mg_buffer_view(&list), own, &unknown);
        if (unknown.length == 0)
            continue;
        TRY(mg_buffer_add_text(&names, mg_role_names()));
        for (size_t role = 0; role < own.count; role++)
            TRY(mg_buffer_format(&names, " %s", own.roles[role].name));
        return fail_with(INVALID, "ROLE_UNKNOWN|%s|%.*s|%s", rows[i].keyword,
                         (int) mg_view_start(unknown, 64).length, (const char *) unknown.bytes,
                         mg_buffer_text(&names));
    }
    return OK;
}

struct mg_status
mg_tenant_policy_roles_judge(const struct mg_tenant_policy *policy, struct mg_own_roles own)
{
    TRY(record_roles_judge(&policy->settings, mg_tenant_option_rows, tenant_checks, mg_tenant_option_count,
                           own));
    for (size_t i = 0; i < policy->route_count; i++) {
        const struct mg_status status = record_roles_judge(&policy->routes[i].settings, mg_route_option_rows,
                                                           route_checks, mg_route_option_count, own);
        if (!mg_ok(status))
            return status.code == MG_INVALID
                       ? fail_with(INVALID, "OF_ROUTE|%s|%s", policy->routes[i].path, status.detail)
                       : status;
    }
    return OK;
}

struct mg_status
mg_tenant_policy_judge(const struct mg_tenant_policy *policy, const char *hosts)
{
    for (size_t i = 0; i < policy->route_count; i++)
        TRY(route_judge(&policy->routes[i], hosts));
    return OK;
}

/* ---- whose it is, and whom it would keep out ---- */

bool
mg_tenant_option_is_customers(const struct mg_option_row *row)
{
    static const char *const vendors[] = {
#define VENDOR_OPTION(keyword) keyword,
#include "../../catalogue/tenant_options.def"
    };
    for (size_t i = 0; i < MG_COUNT(vendors); i++)
        if (strcmp(row->keyword, vendors[i]) == 0)
            return false;
    return true;
}

bool
mg_tenant_networks_have(const char *list, struct mg_view address)
{
    struct mg_network networks[MG_TENANT_NETWORKS_MOST];
    struct mg_address parsed;
    struct mg_view word;
    size_t count = 0;
    for (const char *cursor = list; mg_option_word(&cursor, &word); count++)
        if (count == MG_COUNT(networks) || !mg_ok(mg_network_parse(word, &networks[count])))
            return false;
    if (count == 0)
        return true;
    MG_CLEANUP(mg_network_set_drop) struct mg_network_set set = {.restricted = true};
    return mg_ok(mg_address_parse(address, &parsed)) &&
           mg_ok(mg_network_set_make(true, networks, count, &set)) && mg_network_set_has(&set, parsed);
}

bool
mg_tenant_policy_ends_too_soon(const struct mg_tenant_policy *policy, struct mg_view keyword,
                               const char **ret_reason)
{
    enum { MINUTE_MS = 60000, DAY_MS = 86400000 };
    const struct {
        const char *keyword;
        int64_t value_ms, least_ms;
        const char *reason;
    } rules[] = {
        {"session.idle", policy->settings.session_idle, MINUTE_MS, "session.idle: 0s, or at least 1m"},
        {"session.absolute", policy->settings.session_absolute, 5 * MINUTE_MS,
         "session.absolute: 0s, or at least 5m"},
        {"password.max_age", policy->settings.password_max_age, DAY_MS,
         "password.max_age: 0s, or at least 1d"},
    };
    for (size_t i = 0; i < MG_COUNT(rules); i++)
        if (mg_view_is(keyword, rules[i].keyword) && rules[i].value_ms != 0 &&
            rules[i].value_ms < rules[i].least_ms) {
            *ret_reason = rules[i].reason;
            return true;
        }
    return false;
}

/* Control: IDENTITY_05 */
bool
mg_tenant_policy_shuts_out(const struct mg_tenant_policy *policy, struct mg_view address,
                           const char **ret_keyword)
{
    const struct {
        const char *keyword, *list;
    } rules[] = {
        {"allow.use", policy->settings.allow_use},
        {"allow.sign_in", policy->settings.allow_sign_in},
        {"allow.administrators", policy->settings.allow_administrators},
    };
    for (size_t i = 0; i < MG_COUNT(rules); i++)
        if (!mg_tenant_networks_have(rules[i].list, address)) {
            *ret_keyword = rules[i].keyword;
            return true;
        }
    return false;
}
