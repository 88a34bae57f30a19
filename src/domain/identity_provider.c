#include "domain/identity_provider.h"

#include "domain/group_roles.h"
#include "domain/host_name.h"
#include "domain/login.h"
#include "domain/role.h"

#include <stdlib.h>

enum check {
    NOTHING,
    LABEL,
    ISSUER,
    CLIENT,
    NAMED,
    SCOPES,
    DOMAINS,
    ROLES,
    ROLE_MAP,
    INSTANT,
    ADDRESS,
    ATTRIBUTE,
    CERTIFICATES,
};

const struct mg_option_row mg_idp_option_rows[] = {
#define IDP_OPTION(name, word, kind, value, low, high, check, english, japanese) \
    {.keyword = (word),                                                          \
     .type = MG_OPTION_##kind,                                                   \
     .preset = (value),                                                          \
     .least = (low),                                                             \
     .most = (high),                                                             \
     .en = (english),                                                            \
     .ja = (japanese),                                                           \
     .offset = offsetof(struct mg_idp_settings, name)},
#include "../../catalogue/idp_options.def"
#undef IDP_OPTION
};
const size_t mg_idp_option_count = MG_COUNT(mg_idp_option_rows);

static const enum check checks[] = {
#define IDP_OPTION(name, word, kind, value, low, high, check, english, japanese) check,
#include "../../catalogue/idp_options.def"
#undef IDP_OPTION
};

bool
mg_idp_name_is_valid(struct mg_view name)
{
    if (name.length == 0 || name.length > MG_IDP_NAME_MOST)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && (c != '-' || i == 0 || i + 1 == name.length))
            return false;
    }
    return true;
}

struct mg_status
mg_idp_settings_new(struct mg_idp_settings **ret_settings)
{
    OWN(idp_settings) settings = calloc(1, sizeof *settings);
    if (settings == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_option_record_begin(settings, mg_idp_option_rows, mg_idp_option_count));
    TRY(mg_option_record_preset(settings, mg_idp_option_rows, mg_idp_option_count));
    *ret_settings = TAKE(settings);
    return OK;
}

void
mg_idp_settings_drop(struct mg_idp_settings **settings)
{
    if (*settings == NULL)
        return;
    mg_option_record_wipe(*settings, mg_idp_option_rows, mg_idp_option_count);
    free(*settings);
    *settings = NULL;
}

/* ---- single values ---- */

/* RFC 8414 section 2: https, no query, no fragment; nothing that would read as something else in a URL. */
static CHECKED struct mg_status
https_check(const char *keyword, const char *text)
{
    static const char scheme[] = "https://";
    const size_t start = sizeof scheme - 1;
    const bool https = strncmp(text, scheme, start) == 0;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at > 0x7E || strchr("?#@\\\"<>^`{|}", *at) != NULL)
            return fail_with(INVALID, "URL_PLAIN|%s|%.128s", keyword, text);
    const size_t length = https ? strcspn(text + start, ":/") : 0;
    if (!https || !mg_host_name_is_valid(mg_view_of(text + start, length)) || strlen(text) > 511)
        return fail_with(INVALID, "URL_HOST|%s|%.128s", keyword, text);
    return OK;
}

/* What either kind of provider may be called: SAML Core section 8.3.6 allows any URI. */
static CHECKED struct mg_status
issuer_check(const char *keyword, const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at > 0x7E)
            return fail_with(INVALID, "IDENTIFIER_FORM|%s|%.128s", keyword, text);
    return text[0] != '\0' && strlen(text) <= 511 ? OK : fail_with(INVALID, "IDENTIFIER_LENGTH|%s", keyword);
}

/* A place on the web that a browser or we ourselves are sent to; empty: none. */
static CHECKED struct mg_status
address_check(const char *keyword, const char *text)
{
    static const char scheme[] = "https://";
    const size_t start = sizeof scheme - 1;
    if (text[0] == '\0')
        return OK;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at > 0x7E || strchr("#@\\\"<>^`{|}", *at) != NULL)
            return fail_with(INVALID, "URL_FORM|%s|%.128s", keyword, text);
    const size_t whole = strlen(text);
    const bool https = whole > start && memcmp(text, scheme, start) == 0;
    const size_t length = https ? strcspn(text + start, ":/?") : 0;
    return https && whole <= 1023 && mg_host_name_is_valid(mg_view_of(text + start, length))
               ? OK
               : fail_with(INVALID, "URL_HOST|%s|%.128s", keyword, text);
}

static CHECKED struct mg_status
attribute_check(const char *keyword, const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((uint8_t) *at < 0x20)
            return fail_with(INVALID, "CONTROL_CHARACTER|%s", keyword);
    return strlen(text) <= 255 ? OK : fail_with(INVALID, "LONG_255|%s", keyword);
}

/* Only the form; what is inside is the federation process's to read. */
static CHECKED struct mg_status
certificates_check(const char *keyword, const char *list)
{
    struct mg_view word;
    if (strlen(list) > 8191)
        return fail_with(INVALID, "LONG_8191|%s", keyword);
    while (mg_option_word(&list, &word)) {
        OWN_BUFFER(der, 8192);
        if (!mg_ok(mg_base64_decode(word, &der)) || der.length < 64)
            return fail_with(INVALID, "CERTIFICATE_BASE64|%s|%.*s", keyword,
                             (int) mg_view_start(word, 32).length, (const char *) word.bytes);
    }
    return OK;
}

/* RFC 6749 section 3.3; `openid` makes it OpenID Connect. */
static CHECKED struct mg_status
scopes_check(const char *keyword, const char *list)
{
    struct mg_view word;
    bool openid = false;
    if (strlen(list) > 255)
        return fail_with(INVALID, "LONG_255|%s", keyword);
    while (mg_option_word(&list, &word)) {
        openid = openid || mg_view_is(word, "openid");
        for (size_t i = 0; i < word.length; i++)
            if (word.bytes[i] <= 0x20 || word.bytes[i] > 0x7E || word.bytes[i] == '"' ||
                word.bytes[i] == '\\')
                return fail_with(INVALID, "SCOPE_FORM|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                                 (const char *) word.bytes);
    }
    return openid ? OK : fail_with(INVALID, "SCOPE_OPENID|%s", keyword);
}

static CHECKED struct mg_status
domains_check(const char *keyword, const char *list)
{
    struct mg_view word;
    if (strlen(list) > 1023)
        return fail_with(INVALID, "LONG_1023|%s", keyword);
    while (mg_option_word(&list, &word))
        if (!mg_host_name_is_valid(word))
            return fail_with(INVALID, "DOMAIN_FORM|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
    return OK;
}

/* An operator is the vendor's; no customer's provider makes one. Which of the tenant's own roles there are,
 * the authority knows. */
static bool
role_is_givable(struct mg_view role)
{
    return role.length != 0 && memchr(role.bytes, ' ', role.length) == NULL && mg_roles_valid(role) &&
           !mg_view_is(role, "operator");
}

static CHECKED struct mg_status
roles_check(const char *keyword, const char *list)
{
    struct mg_view word;
    while (mg_option_word(&list, &word))
        if (!role_is_givable(word))
            return fail_with(INVALID, "ROLE_NOT_HERE|%s|%.*s", keyword, (int) mg_view_start(word, 64).length,
                             (const char *) word.bytes);
    return OK;
}

static struct mg_view
trimmed(const char *start, size_t length)
{
    while (length > 0 && *start == ' ') {
        start++;
        length--;
    }
    while (length > 0 && start[length - 1] == ' ')
        length--;
    return mg_view_of(start, length);
}

/* The next GROUP=ROLE of a map; the last '=' separates, because a group's name may hold one. *ret_role is
 * empty for an entry without. False at the end. */
static bool
map_next(const char **cursor, struct mg_view *ret_group, struct mg_view *ret_role)
{
    while (**cursor != '\0') {
        const char *entry = *cursor;
        const size_t length = strcspn(entry, ";");
        *cursor = entry + length + (entry[length] == ';' ? 1 : 0);
        const struct mg_view whole = trimmed(entry, length);
        if (whole.length == 0)
            continue;
        size_t equals = whole.length;
        while (equals > 0 && whole.bytes[equals - 1] != '=')
            equals--;
        *ret_group = equals == 0 ? whole : trimmed((const char *) whole.bytes, equals - 1);
        *ret_role =
            equals == 0 ? MG_VIEW_EMPTY : trimmed((const char *) whole.bytes + equals, whole.length - equals);
        return true;
    }
    return false;
}

static CHECKED struct mg_status
role_map_check(const char *keyword, const char *map)
{
    struct mg_view group, role;
    while (map_next(&map, &group, &role))
        if (group.length == 0 || !role_is_givable(role))
            return fail_with(INVALID, "GROUP_ROLE_FORM|%s|%.*s", keyword,
                             (int) mg_view_start(group, 64).length, (const char *) group.bytes);
    return OK;
}

static CHECKED struct mg_status
text_check(enum check check, const char *keyword, const char *text)
{
    mg_instant unused;
    switch (check) {
    case LABEL:
        return strlen(text) <= 127 ? OK : fail_with(INVALID, "LONG_127|%s", keyword);
    case ISSUER:
        return issuer_check(keyword, text);
    case NAMED:
        return text[0] != '\0' && strlen(text) <= 63 ? OK : fail_with(INVALID, "VALUE_NEEDED|%s", keyword);
    case CLIENT:
        return strlen(text) <= 255 ? OK : fail_with(INVALID, "LONG_255|%s", keyword);
    case ADDRESS:
        return address_check(keyword, text);
    case ATTRIBUTE:
        return attribute_check(keyword, text);
    case CERTIFICATES:
        return certificates_check(keyword, text);
    case SCOPES:
        return scopes_check(keyword, text);
    case DOMAINS:
        return domains_check(keyword, text);
    case ROLES:
        return roles_check(keyword, text);
    case ROLE_MAP:
        return role_map_check(keyword, text);
    case INSTANT:
        return text[0] == '\0' || mg_ok(mg_instant_parse(mg_view_text(text), &unused))
                   ? OK
                   : fail_with(INVALID, "TIME_FORM|%s|%.64s", keyword, text);
    default:
        return OK;
    }
}

struct mg_status
mg_idp_settings_set(struct mg_idp_settings *settings, struct mg_view keyword, struct mg_view value)
{
    for (size_t i = 0; i < mg_idp_option_count; i++) {
        OWN_TEXT text = NULL;
        if (!mg_view_is(keyword, mg_idp_option_rows[i].keyword))
            continue;
        if (!mg_view_is_utf8(value) || value.length > 8191)
            return fail_with(INVALID, "PROVIDER_VALUE_LONG|%s", mg_idp_option_rows[i].keyword);
        TRY(mg_view_to_text(value, &text));
        TRY(text_check(checks[i], mg_idp_option_rows[i].keyword, text));
        return mg_option_record_set(settings, &mg_idp_option_rows[i], value);
    }
    return fail_with(INVALID, "PROVIDER_KEYWORD|%.*s", (int) mg_view_start(keyword, 64).length,
                     (const char *) keyword.bytes);
}

/* ---- the whole ---- */

mg_instant
mg_idp_expires_at(const struct mg_idp_settings *settings)
{
    mg_instant at;
    if (settings->expires[0] == '\0')
        return INT64_MAX;
    /* A time that cannot be read has passed: fail closed. */
    return mg_ok(mg_instant_parse(mg_view_text(settings->expires), &at)) ? at : 0;
}

bool
mg_idp_is_saml(const struct mg_idp_settings *settings)
{
    return strcmp(settings->kind, "saml") == 0;
}

static CHECKED struct mg_status
saml_judge(const struct mg_idp_settings *settings, bool with_secret)
{
    if (settings->saml_sign_in[0] == '\0' || settings->saml_certificates[0] == '\0')
        return fail_with(INVALID, "SAML_NEEDS|");
    if (with_secret)
        return fail_with(INVALID, "SAML_NO_SECRET|");
    if ((settings->link || settings->create) && strcmp(settings->emails, "trusted") != 0)
        return fail_with(INVALID, "SAML_TRUSTED|");
    return OK;
}

static CHECKED struct mg_status
oidc_judge(const struct mg_idp_settings *settings, bool with_secret)
{
    const bool shared = strncmp(settings->client_authentication, "secret-", 7) == 0;
    TRY(https_check("issuer", settings->issuer));
    if (settings->client[0] == '\0')
        return fail_with(INVALID, "CLIENT_NEEDED|");
    if (shared && !with_secret)
        return fail_with(INVALID, "SECRET_NEEDED|%s", settings->client_authentication);
    return OK;
}

struct mg_status
mg_idp_settings_judge(const struct mg_idp_settings *settings, bool with_secret)
{
    if (settings->issuer[0] == '\0')
        return fail_with(INVALID, "ISSUER_NEEDED|");
    TRY(mg_idp_is_saml(settings) ? saml_judge(settings, with_secret) : oidc_judge(settings, with_secret));
    if ((settings->link || settings->create) && settings->domains[0] == '\0')
        return fail_with(INVALID, "DOMAINS_NEEDED|");
    return OK;
}

enum mg_federation_refusal
mg_idp_judge(const struct mg_idp_facts *facts, mg_instant now)
{
    if (!facts->tenant_open)
        return MG_FEDERATION_TENANT_IS_CLOSED;
    if (!facts->enabled)
        return MG_FEDERATION_PROVIDER_DISABLED;
    return now < facts->expires_at ? MG_FEDERATION_NONE : MG_FEDERATION_PROVIDER_EXPIRED;
}

/* ---- people ---- */

static bool
equal_without_case(struct mg_view a, struct mg_view b)
{
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++) {
        const uint8_t x = a.bytes[i] >= 'A' && a.bytes[i] <= 'Z' ? a.bytes[i] | 0x20 : a.bytes[i];
        const uint8_t y = b.bytes[i] >= 'A' && b.bytes[i] <= 'Z' ? b.bytes[i] | 0x20 : b.bytes[i];
        if (x != y)
            return false;
    }
    return true;
}

bool
mg_idp_has_domain_of(const struct mg_idp_settings *settings, struct mg_view email)
{
    const uint8_t *at = email.length == 0 ? NULL : memrchr(email.bytes, '@', email.length);
    const char *cursor = settings->domains;
    struct mg_view word;
    if (at == NULL || at == email.bytes)
        return false;
    const struct mg_view domain = mg_view_of(at + 1, email.length - (size_t) (at + 1 - email.bytes));
    while (mg_option_word(&cursor, &word))
        if (equal_without_case(domain, word))
            return true;
    return false;
}

enum mg_idp_act
mg_idp_first_sign_in(const struct mg_idp_settings *settings, const struct mg_idp_person *person,
                     enum mg_federation_refusal *ret_refusal)
{
    const bool trusted = strcmp(settings->emails, "trusted") == 0;
    *ret_refusal = MG_FEDERATION_NO_ACCOUNT;
    if (!settings->link && !settings->create)
        return MG_IDP_REFUSE;
    *ret_refusal = MG_FEDERATION_EMAIL_UNVERIFIED;
    if (person->email.length == 0 || !mg_email_plausible(person->email) ||
        !(person->email_verified || trusted))
        return MG_IDP_REFUSE;
    *ret_refusal = MG_FEDERATION_EMAIL_DOMAIN;
    if (!mg_idp_has_domain_of(settings, person->email))
        return MG_IDP_REFUSE;
    if (person->account_exists) {
        *ret_refusal = MG_FEDERATION_ACCOUNT_TAKEN;
        if (!settings->link)
            return MG_IDP_REFUSE;
        *ret_refusal = MG_FEDERATION_ACCOUNT_LINKED;
        if (person->account_linked)
            return MG_IDP_REFUSE;
        *ret_refusal = MG_FEDERATION_NONE;
        return MG_IDP_LINK;
    }
    *ret_refusal = settings->create ? MG_FEDERATION_NONE : MG_FEDERATION_NO_ACCOUNT;
    return settings->create ? MG_IDP_CREATE : MG_IDP_REFUSE;
}

/* ---- roles ---- */

static bool
line_is_among(struct mg_view line, struct mg_view lines)
{
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const size_t length = end == NULL ? lines.length : (size_t) (end - lines.bytes);
        if (mg_view_equal(line, mg_view_of(lines.bytes, length)))
            return true;
        const size_t taken = end == NULL ? length : length + 1;
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
    }
    return false;
}

static bool
is_mapped(const struct mg_idp_settings *settings, struct mg_view role)
{
    const char *map = settings->groups_roles;
    struct mg_view group, mapped;
    while (map_next(&map, &group, &mapped))
        if (mg_view_equal(mapped, role))
            return true;
    return false;
}

struct mg_status
mg_idp_roles_named(const struct mg_idp_settings *settings, struct mg_buffer *ret_roles)
{
    const char *map = settings->groups_roles;
    struct mg_view group, role;
    OWN_BUFFER(created, 4096);
    TRY(mg_option_words(settings->create_roles, &created));
    TRY(mg_words_join(ret_roles, mg_buffer_view(&created)));
    while (map_next(&map, &group, &role))
        TRY(mg_words_join(ret_roles, role));
    return OK;
}

struct mg_status
mg_idp_roles(const struct mg_idp_settings *settings, struct mg_view roles, struct mg_view groups,
             struct mg_buffer *ret_roles)
{
    OWN_TEXT had = NULL;
    OWN_BUFFER(words, 1024);
    struct mg_view word, group, role;
    TRY(mg_view_to_text(roles, &had));
    const char *cursor = had;
    while (mg_option_word(&cursor, &word))
        if (!is_mapped(settings, word))
            TRY(mg_words_join(&words, word));
    const char *map = settings->groups_roles;
    while (map_next(&map, &group, &role))
        if (line_is_among(group, groups))
            TRY(mg_words_join(&words, role));
    return mg_buffer_add(ret_roles, mg_buffer_view(&words));
}
