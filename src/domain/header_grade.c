#include "domain/header_grade.h"

#include <stdio.h>

/* ---- words ---- */

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct mg_view
trim(struct mg_view text)
{
    while (text.length > 0 && is_blank(text.bytes[0])) {
        text.bytes++;
        text.length--;
    }
    while (text.length > 0 && is_blank(text.bytes[text.length - 1]))
        text.length--;
    return text;
}

/* Takes what stands before the separator (or the end) off the front, trimmed. False when empty. */
static bool
part_next(struct mg_view *rest, char separator, struct mg_view *ret_part)
{
    if (rest->length == 0)
        return false;
    const uint8_t *end = memchr(rest->bytes, separator, rest->length);
    const size_t length = end == NULL ? rest->length : (size_t) (end - rest->bytes);
    *ret_part = trim(mg_view_of(rest->bytes, length));
    rest->bytes += length + (end != NULL);
    rest->length -= length + (end != NULL);
    return true;
}

static bool
is_word(struct mg_view text, const char *word)
{
    return text.length == strlen(word) && strncasecmp((const char *) text.bytes, word, text.length) == 0;
}

static bool
starts(struct mg_view text, const char *word)
{
    return text.length >= strlen(word) && strncasecmp((const char *) text.bytes, word, strlen(word)) == 0;
}

static struct mg_view
after(struct mg_view text, size_t skip)
{
    return trim(mg_view_of(text.bytes + skip, text.length - skip));
}

/* ---- Strict-Transport-Security ---- */

bool
mg_hsts_parse(struct mg_view value, struct mg_hsts *ret_hsts)
{
    struct mg_hsts hsts = {.max_age_s = -1};
    struct mg_view part;
    while (part_next(&value, ';', &part)) {
        if (starts(part, "max-age")) {
            struct mg_view number = after(part, strlen("max-age"));
            uint64_t seconds = 0;
            if (hsts.max_age_s >= 0 || number.length < 2 || number.bytes[0] != '=')
                return false;
            number = after(number, 1);
            if (number.length >= 2 && number.bytes[0] == '"' && number.bytes[number.length - 1] == '"')
                number = mg_view_of(number.bytes + 1, number.length - 2);
            if (!mg_ok(mg_parse_u64(number, INT64_MAX, &seconds)))
                return false;
            hsts.max_age_s = (int64_t) seconds;
        }
        hsts.subdomains |= is_word(part, "includeSubDomains");
        hsts.preload |= is_word(part, "preload");
    }
    if (hsts.max_age_s < 0)
        return false;
    *ret_hsts = hsts;
    return true;
}

/* ---- Content-Security-Policy ---- */

struct sources {
    bool present, none, unsafe_inline, unsafe_eval, guarded, strict_dynamic, broad;
};

static struct sources
sources_read(struct mg_view list)
{
    struct sources found = {.present = true};
    struct mg_view word;
    while (part_next(&list, ' ', &word)) {
        found.none |= is_word(word, "'none'");
        found.unsafe_inline |= is_word(word, "'unsafe-inline'");
        found.unsafe_eval |= is_word(word, "'unsafe-eval'");
        found.strict_dynamic |= is_word(word, "'strict-dynamic'");
        found.guarded |= starts(word, "'nonce-") || starts(word, "'sha256-") || starts(word, "'sha384-") ||
                         starts(word, "'sha512-");
        found.broad |= is_word(word, "*") || is_word(word, "http:") || is_word(word, "https:") ||
                       is_word(word, "data:") || is_word(word, "blob:") || starts(word, "http://*") ||
                       starts(word, "https://*");
    }
    return found;
}

struct policy {
    struct sources fallback, script, ancestors, object, base, form;
};

/* A directive that comes twice counts once, the first time (CSP 3 section 2.2.1). */
static void
directive_read(struct mg_view directive, struct policy *policy)
{
    const struct {
        const char *name;
        struct sources *sources;
    } known[] = {{"default-src", &policy->fallback},
                 {"script-src", &policy->script},
                 {"frame-ancestors", &policy->ancestors},
                 {"object-src", &policy->object},
                 {"base-uri", &policy->base},
                 {"form-action", &policy->form}};
    struct mg_view name;
    if (!part_next(&directive, ' ', &name))
        return;
    for (size_t i = 0; i < MG_COUNT(known); i++)
        if (is_word(name, known[i].name) && !known[i].sources->present)
            *known[i].sources = sources_read(directive);
}

struct mg_csp
mg_csp_parse(struct mg_view value)
{
    struct policy policy = {0};
    struct mg_view directive;
    while (part_next(&value, ';', &directive))
        directive_read(directive, &policy);
    const struct sources *script = policy.script.present ? &policy.script : &policy.fallback;
    const struct sources *object = policy.object.present ? &policy.object : &policy.fallback;
    const bool guarded = script->guarded || script->strict_dynamic;
    return (struct mg_csp){
        .present = true,
        .inline_script = !script->present || (script->unsafe_inline && !guarded),
        .eval_script = !script->present || script->unsafe_eval,
        .broad_script = !script->present || (script->broad && !script->strict_dynamic),
        .default_none = policy.fallback.none,
        .frame_ancestors = policy.ancestors.present && !policy.ancestors.broad,
        .object_none = object->none,
        .base_restricted = policy.base.present && !policy.base.broad,
        .form_restricted = policy.form.present && !policy.form.broad,
    };
}

/* Two policies are both enforced: what one forbids is forbidden. */
static void
csp_combine(struct mg_csp *all, const struct mg_csp *one)
{
    if (!all->present) {
        *all = *one;
        return;
    }
    all->inline_script &= one->inline_script;
    all->eval_script &= one->eval_script;
    all->broad_script &= one->broad_script;
    all->default_none |= one->default_none;
    all->frame_ancestors |= one->frame_ancestors;
    all->object_none |= one->object_none;
    all->base_restricted |= one->base_restricted;
    all->form_restricted |= one->form_restricted;
}

bool
mg_csp_is_strict(const struct mg_csp *csp)
{
    return csp->present && !csp->inline_script && !csp->eval_script && !csp->broad_script &&
           csp->frame_ancestors;
}

/* ---- the other headers ---- */

/* The last policy a browser knows counts. */
static void
referrer_read(struct mg_view value, struct mg_headers_seen *seen)
{
    static const struct {
        const char *name;
        bool safe;
    } known[] = {{"no-referrer", true},
                 {"same-origin", true},
                 {"strict-origin", true},
                 {"strict-origin-when-cross-origin", true},
                 {"no-referrer-when-downgrade", true},
                 {"origin", false},
                 {"origin-when-cross-origin", false},
                 {"unsafe-url", false}};
    struct mg_view word;
    while (part_next(&value, ',', &word))
        for (size_t i = 0; i < MG_COUNT(known); i++)
            if (is_word(word, known[i].name)) {
                seen->referrer_present = true;
                seen->referrer_safe = known[i].safe;
            }
}

static void
cookie_read(struct mg_view value, struct mg_headers_seen *seen)
{
    bool secure = false, http_only = false, same_site = false;
    struct mg_view part;
    (void) part_next(&value, ';', &part); /* name and value */
    while (part_next(&value, ';', &part)) {
        secure |= is_word(part, "Secure");
        http_only |= is_word(part, "HttpOnly");
        same_site |= is_word(part, "SameSite=Lax") || is_word(part, "SameSite=Strict");
    }
    const bool first = seen->cookies++ == 0;
    seen->cookies_secure = (first || seen->cookies_secure) && secure && http_only;
    seen->cookies_same_site = (first || seen->cookies_same_site) && same_site;
}

static bool
has_digit(struct mg_view value)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] >= '0' && value.bytes[i] <= '9')
            return true;
    return false;
}

/* ---- one line ---- */

struct cors {
    bool reflected, credentials;
};

static void
policy_line_read(struct mg_view name, struct mg_view value, struct mg_headers_seen *seen)
{
    if (is_word(name, "strict-transport-security")) {
        if (!seen->hsts_present) /* RFC 6797 section 8.1: the first one only */
            seen->hsts_present = mg_hsts_parse(value, &seen->hsts);
    } else if (is_word(name, "content-security-policy")) {
        struct mg_view policy;
        while (part_next(&value, ',', &policy)) {
            const struct mg_csp csp = mg_csp_parse(policy);
            csp_combine(&seen->csp, &csp);
        }
    } else if (is_word(name, "referrer-policy")) {
        referrer_read(value, seen);
    } else if (is_word(name, "permissions-policy")) {
        seen->permissions_policy = value.length > 0;
    }
}

static void
small_line_read(struct mg_view name, struct mg_view value, struct mg_headers_seen *seen, struct cors *cors)
{
    if (is_word(name, "x-frame-options"))
        seen->frame_options = is_word(value, "DENY") || is_word(value, "SAMEORIGIN");
    else if (is_word(name, "x-content-type-options"))
        seen->nosniff = is_word(value, "nosniff");
    else if (is_word(name, "cross-origin-opener-policy"))
        seen->opener_policy = starts(value, "same-origin");
    else if (is_word(name, "cross-origin-embedder-policy"))
        seen->embedder_policy = starts(value, "require-corp") || starts(value, "credentialless");
    else if (is_word(name, "cross-origin-resource-policy"))
        seen->resource_policy = starts(value, "same-origin") || starts(value, "same-site");
    else if (is_word(name, "set-cookie"))
        cookie_read(value, seen);
    else if (is_word(name, "server") || is_word(name, "x-powered-by"))
        seen->banner |= has_digit(value) || is_word(name, "x-powered-by");
    else if (is_word(name, "access-control-allow-origin"))
        cors->reflected = is_word(value, "*") || is_word(value, "null");
    else if (is_word(name, "access-control-allow-credentials"))
        cors->credentials = is_word(value, "true");
}

void
mg_headers_read(struct mg_view lines, struct mg_headers_seen *ret_seen)
{
    struct mg_headers_seen seen = {0};
    struct cors cors = {0};
    struct mg_view line;
    while (part_next(&lines, '\n', &line)) {
        if (line.length > 0 && line.bytes[line.length - 1] == '\r')
            line.length--;
        const uint8_t *colon = line.length == 0 ? NULL : memchr(line.bytes, ':', line.length);
        if (colon == NULL)
            continue;
        const struct mg_view name = mg_view_of(line.bytes, (size_t) (colon - line.bytes));
        const struct mg_view value = after(line, name.length + 1);
        policy_line_read(name, value, &seen);
        small_line_read(name, value, &seen, &cors);
        if (is_word(name, "x-xss-protection")) {
            seen.xss_protection_present = true;
            (void) snprintf(seen.xss_protection, sizeof seen.xss_protection, "%.*s", (int) value.length,
                            (const char *) value.bytes);
        }
    }
    seen.cors_any_origin = cors.reflected && cors.credentials;
    *ret_seen = seen;
}

/* ---- grades ---- */

static const struct mg_header_rule_row header_rows[MG_HEADER_RULE_COUNT] = {
#define HEADER_RULE(NAME, number, letter_cost, condition, text_en, text_ja) \
    [MG_HEADER_RULE_##NAME] = {                                             \
        .name = #NAME, .points = (number), .letters = (letter_cost), .en = (text_en), .ja = (text_ja)},
#include "../../catalogue/header_rules.def"
#undef HEADER_RULE
};

const struct mg_header_rule_row *
mg_header_rule_row(enum mg_header_rule rule)
{
    mg_must(rule < MG_HEADER_RULE_COUNT);
    return &header_rows[rule];
}

static uint64_t
rules_that_apply(const struct mg_headers_seen *h)
{
    uint64_t rules = 0;
#define HEADER_RULE(NAME, number, letter_cost, condition, ...) \
    if (condition)                                             \
        rules |= UINT64_C(1) << MG_HEADER_RULE_##NAME;
#include "../../catalogue/header_rules.def"
#undef HEADER_RULE
    return rules;
}

static const char *
observatory_letter(int points)
{
    static const struct {
        int least;
        const char *letter;
    } letters[] = {{100, "A+"}, {90, "A"}, {85, "A-"}, {80, "B+"}, {70, "B"}, {65, "B-"},
                   {60, "C+"},  {50, "C"}, {45, "C-"}, {40, "D+"}, {30, "D"}, {25, "D-"}};
    for (size_t i = 0; i < MG_COUNT(letters); i++)
        if (points >= letters[i].least)
            return letters[i].letter;
    return "F";
}

void
mg_header_grade(const struct mg_headers_seen *seen, struct mg_header_grade *ret_grade)
{
    static const char *const letters[] = {"A", "B", "C", "D", "E", "F", "F"};
    int lost = 0, gained = 0, missing = 0;
    bool warned = false;
    const uint64_t rules = rules_that_apply(seen);
    for (int i = 0; i < MG_HEADER_RULE_COUNT; i++) {
        if ((rules >> i & 1) == 0)
            continue;
        lost += header_rows[i].points < 0 ? header_rows[i].points : 0;
        gained += header_rows[i].points > 0 ? header_rows[i].points : 0;
        missing += header_rows[i].letters == 1;
        warned |= header_rows[i].letters == 2;
    }
    int points = 100 + lost < 0 ? 0 : 100 + lost;
    if (points >= 90)
        points += gained;
    *ret_grade = (struct mg_header_grade){
        .points = points,
        .observatory = observatory_letter(points),
        .rules = rules,
        .letter = missing == 0 && !warned ? "A+" : letters[missing < 6 ? missing : 6]};
}
