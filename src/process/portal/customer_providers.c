/* A tenant's own console: its identity providers. Which settings there are says the catalogue
 * (catalogue/idp_options.def): a row there is a field here. */
#include "process/portal/portal.h"

#include "domain/federation_refusal.h"
#include "domain/identity_provider.h"

#include <jansson.h>

#define DAY_MS (24 * 3600 * 1000LL)
#define WARN_MS (30 * DAY_MS) /* how long before it ends a provider is warned about */
/* The authority asks the provider before it answers (authority/federation.h). */
#define TEST_CALL_MS 30000

enum { ENABLE = 1, DISABLE, REMOVE };

/* ---- fields ---- */

/* The field's name in a form: those have no dots. */
static const char *
field_of(struct visit *visit, const char *keyword)
{
    char name[80];
    (void) snprintf(name, sizeof name, "set_%.70s", keyword);
    for (char *at = name; *at != '\0'; at++)
        if (*at == '.')
            *at = '-';
    return mg_arena_text(visit->arena, mg_view_text(name));
}

static void
scope_choices(struct mg_scope *row, const char *words, struct mg_view value)
{
    for (const char *at = words; *at != '\0';) {
        const size_t length = strcspn(at, "|");
        const struct mg_view word = mg_view_of(at, length);
        struct mg_scope *choice = mg_scope_add(row, "choices");
        mg_scope_set(choice, "choice", word);
        mg_scope_set_flag(choice, "chosen", mg_view_equal(word, value));
        at += length + (at[length] == '|');
    }
}

static void
scope_setting(struct visit *visit, const struct mg_option_row *option, struct mg_view value)
{
    struct mg_scope *row = mg_scope_add(visit->page, "settings");
    const char *field = field_of(visit, option->keyword);
    mg_scope_set_text(row, "keyword", option->keyword);
    mg_scope_set_text(row, "field", field);
    mg_scope_set_text(row, "meaning", visit->language == MG_JAPANESE ? option->ja : option->en);
    mg_scope_set(row, "value", value);
    mg_scope_set_flag(row, "is_flag", option->type == MG_OPTION_FLAG);
    mg_scope_set_flag(row, "flag_set", option->type == MG_OPTION_FLAG && mg_view_is(value, "yes"));
    mg_scope_set_flag(row, "is_choice", option->type == MG_OPTION_CHOICE);
    mg_scope_set_flag(row, "is_list", option->type == MG_OPTION_LIST);
    mg_scope_set_flag(row, "is_line",
                      option->type == MG_OPTION_TEXT || option->type == MG_OPTION_NUMBER ||
                          option->type == MG_OPTION_DURATION);
    if (option->type == MG_OPTION_CHOICE)
        scope_choices(row, option->most, value);
}

static const struct mg_option_row *
option_of(struct mg_view keyword)
{
    for (size_t i = 0; i < mg_idp_option_count; i++)
        if (mg_view_is(keyword, mg_idp_option_rows[i].keyword))
            return &mg_idp_option_rows[i];
    return NULL;
}

/* ---- the list ---- */

/* When it ends: not at all, some day, soon, or it has. */
static void
scope_end(struct visit *visit, struct mg_scope *row, mg_instant ends_at)
{
    scope_time(visit, row, TIME_NAMES(ends), ends_at);
    mg_scope_set_flag(row, "ended", ends_at > 0 && ends_at <= visit->now);
    mg_scope_set_flag(row, "ends_soon", ends_at > visit->now && ends_at - visit->now < WARN_MS);
}

/* When the first of a SAML provider's certificates ends; "soon" also when it has ended. */
static void
scope_certificate(struct visit *visit, struct mg_scope *row, mg_instant ends_at)
{
    scope_time(visit, row, TIME_NAMES(certificate), ends_at);
    mg_scope_set_flag(row, "certificate_soon", ends_at > 0 && ends_at - visit->now < WARN_MS);
}

static CHECKED struct mg_status
show_providers(struct visit *visit, uint64_t problem, struct mg_view reason)
{
    const struct mg_request_idp_list request = {.session = visit_session(visit)};
    struct mg_reply_idp_list reply;
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_idp_list(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    for (;;) {
        struct mg_record_idp_row provider;
        bool more;
        TRY(mg_list_next_idp_row(&reply.providers, &provider, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "providers");
        mg_scope_set(row, "provider", provider.name);
        mg_scope_set(row, "provider_label", provider.label.length != 0 ? provider.label : provider.name);
        mg_scope_set_text(row, "provider_kind",
                          mg_view_is(provider.kind, "saml") ? "SAML 2.0" : "OpenID Connect");
        mg_scope_set(row, "issuer", provider.issuer);
        mg_scope_set(row, "domains", provider.domains);
        mg_scope_set_flag(row, "enabled", provider.enabled);
        mg_scope_set_number(row, "links", provider.links);
        scope_end(visit, row, provider.expires_at);
        scope_certificate(visit, row, provider.certificate_ends_at);
        scope_time(visit, row, TIME_NAMES(used), provider.last_used_at);
    }
    for (size_t i = 0; i < mg_idp_option_count; i++)
        if (strcmp(mg_idp_option_rows[i].keyword, "client.authentication") == 0)
            scope_choices(visit->page, mg_idp_option_rows[i].most,
                          mg_form_has(&visit->form, "new_authentication")
                              ? mg_form_value(&visit->form, "new_authentication")
                              : mg_view_text(mg_idp_option_rows[i].preset));
    mg_scope_set_text(visit->page, "own_origin", visit->own_origin);
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_providers", "customer_providers");
    page_problem(visit, "new_provider", mg_outcome_text(problem, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    mg_scope_set_flag(visit->page, "at_providers", true);
    return show_outcome(visit, problem, "customer_providers");
}

struct mg_status
page_customer_providers(struct visit *visit)
{
    return show_providers(visit, MG_GRANTED, MG_VIEW_EMPTY);
}

/* ---- adding ---- */

/* People paste the address of the discovery document; the issuer is what stands before its well-known part
 * (OpenID Connect Discovery 1.0, section 4). */
static struct mg_view
issuer_of(struct mg_view url)
{
    static const char known[] = "/.well-known/openid-configuration";
    const size_t length = sizeof known - 1;
    if (url.length > length && memcmp(url.bytes + url.length - length, known, length) == 0)
        url.length -= length;
    return url;
}

static CHECKED struct mg_status
setting_add(struct mg_buffer *list, const char *keyword, struct mg_view value)
{
    if (value.length > 8191)
        return fail_with(TOO_LARGE, "a setting");
    const struct mg_record_idp_setting row = {.keyword = mg_view_text(keyword), .value = value};
    return mg_list_add_idp_setting(list, &row);
}

const char *
provider_path(struct visit *visit, struct mg_view name)
{
    return arena_format(visit, "/console/provider?name=%s", encoded(visit, name));
}

struct mg_status
page_customer_provider_add(struct visit *visit)
{
    static const char *const fields[] = {"new_provider", "new_label", "new_issuer", "new_client",
                                         "new_domains"};
    OWN_BUFFER(list, 32768);
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    const struct mg_view name = mg_form_value(&visit->form, "new_provider"),
                         secret = mg_form_value(&visit->form, "new_secret");
    if (name.length > 31 || secret.length > 255)
        return fail_with(TOO_LARGE, "an identity provider");
    TRY(setting_add(&list, "label", mg_form_value(&visit->form, "new_label")));
    TRY(setting_add(&list, "issuer", issuer_of(mg_form_value(&visit->form, "new_issuer"))));
    TRY(setting_add(&list, "client.id", mg_form_value(&visit->form, "new_client")));
    TRY(setting_add(&list, "client.authentication", mg_form_value(&visit->form, "new_authentication")));
    TRY(setting_add(&list, "domains", mg_form_value(&visit->form, "new_domains")));
    const struct mg_request_idp_set request = {.session = visit_session(visit),
                                               .name = name,
                                               .add = true,
                                               .with_secret = secret.length != 0,
                                               .secret = secret,
                                               .settings = {.bytes = mg_buffer_view(&list)}};
    struct mg_reply_idp_set reply;
    TRY(mg_call_idp_set(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_GRANTED)
        return customer_done(visit, reply.outcome, provider_path(visit, name), "provider_added");
    if (reply.outcome != MG_NOT_VALID && reply.outcome != MG_TAKEN)
        return customer_refused(visit, reply.outcome);
    for (size_t i = 0; i < MG_COUNT(fields); i++)
        mg_scope_set(visit->page, fields[i], mg_form_value(&visit->form, fields[i]));
    return show_providers(visit, reply.outcome, reply.reason);
}

/* A SAML provider: its metadata, from an address or pasted, becomes the settings; a name and domains come
 * besides. */
static CHECKED struct mg_status
metadata_take(struct visit *visit, struct mg_buffer *list, struct mg_buffer *reason, bool *ret_taken)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_view document = mg_form_value(&visit->form, "new_metadata"),
                         url = mg_form_value(&visit->form, "new_metadata_url");
    const struct mg_request_idp_metadata request = {
        .session = visit_session(visit), .document = url.length != 0 ? MG_VIEW_EMPTY : document, .url = url};
    struct mg_reply_idp_metadata reply;
    if (url.length > 1023)
        return fail_with(TOO_LARGE, "an address");
    TRY(mg_call_idp_metadata(&request, &reply, &storage, TEST_CALL_MS));
    *ret_taken = reply.outcome == MG_GRANTED && reply.refusal == MG_FEDERATION_NONE;
    if (reply.outcome == MG_GRANTED && !*ret_taken)
        return mg_buffer_format(reason, "%s: %.*s", mg_federation_refusal_name(reply.refusal),
                                (int) reply.detail.length, (const char *) reply.detail.bytes);
    for (bool more = *ret_taken; more;) {
        struct mg_record_idp_setting setting;
        TRY(mg_list_next_idp_setting(&reply.settings, &setting, &more));
        const struct mg_option_row *option = more ? option_of(setting.keyword) : NULL;
        if (option != NULL)
            TRY(setting_add(list, option->keyword, setting.value));
    }
    return *ret_taken ? setting_add(list, "metadata.url", url) : OK;
}

struct mg_status
page_customer_saml_add(struct visit *visit)
{
    static const char *const fields[] = {"saml_provider", "saml_label", "new_metadata_url", "saml_domains"};
    OWN_BUFFER(list, 32768);
    OWN_BUFFER(storage, 4096);
    OWN_BUFFER(reason, 1024);
    bool taken = false;
    struct mg_reply_idp_set reply = {.outcome = MG_NOT_VALID};
    const struct mg_view name = mg_form_value(&visit->form, "saml_provider");
    if (name.length > 31)
        return fail_with(TOO_LARGE, "an identity provider");
    TRY(setting_add(&list, "label", mg_form_value(&visit->form, "saml_label")));
    TRY(setting_add(&list, "domains", mg_form_value(&visit->form, "saml_domains")));
    TRY(metadata_take(visit, &list, &reason, &taken));
    /* Without metadata idp_set would say only what is missing; whoever may not do this is told by it, though.
     */
    if (taken || reason.length == 0) {
        const struct mg_request_idp_set request = {.session = visit_session(visit),
                                                   .name = name,
                                                   .add = true,
                                                   .settings = {.bytes = mg_buffer_view(&list)}};
        TRY(mg_call_idp_set(&request, &reply, &storage, CALL_MS));
    } else
        reply.reason = mg_buffer_view(&reason);
    if (reply.outcome == MG_GRANTED)
        return customer_done(visit, reply.outcome, provider_path(visit, name), "provider_added");
    if (reply.outcome != MG_NOT_VALID && reply.outcome != MG_TAKEN)
        return customer_refused(visit, reply.outcome);
    for (size_t i = 0; i < MG_COUNT(fields); i++)
        mg_scope_set(visit->page, fields[i], mg_form_value(&visit->form, fields[i]));
    return show_providers(visit, reply.outcome, reply.reason);
}

/* ---- one provider ---- */

/* What only the other kind of provider has is not shown; `kind` itself stays what it is. */
static bool
is_of_kind(const char *keyword, bool saml)
{
    static const char *const oidc_words[] = {"client.", "scopes"}, *const saml_words[] = {
                                                                       "saml.", "metadata.", "idp_initiated"};
    const char *const *others = saml ? oidc_words : saml_words;
    const size_t count = saml ? MG_COUNT(oidc_words) : MG_COUNT(saml_words);
    for (size_t i = 0; i < count; i++)
        if (strncmp(keyword, others[i], strlen(others[i])) == 0)
            return false;
    return strcmp(keyword, "kind") != 0;
}

static CHECKED struct mg_status
kind_find(struct mg_list settings, bool *ret_saml)
{
    *ret_saml = false;
    for (bool more = true; more;) {
        struct mg_record_idp_setting setting;
        TRY(mg_list_next_idp_setting(&settings, &setting, &more));
        if (more && mg_view_is(setting.keyword, "kind"))
            *ret_saml = mg_view_is(setting.value, "saml");
    }
    return OK;
}

/* "word rest", one a line: rows of `list` with term and text. */
static void
scope_lines(struct visit *visit, struct mg_view lines, char separator, const char *list)
{
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const struct mg_view line =
            mg_view_of(lines.bytes, end == NULL ? lines.length : (size_t) (end - lines.bytes));
        const size_t taken = line.length + (end != NULL);
        lines = mg_view_of(lines.bytes + taken, lines.length - taken);
        const uint8_t *cut = line.length == 0 ? NULL : memchr(line.bytes, separator, line.length);
        if (cut == NULL)
            continue;
        const size_t word = (size_t) (cut - line.bytes), skip = separator == ':' ? 2 : 1;
        if (line.length < word + skip)
            continue;
        struct mg_scope *row = mg_scope_add(visit->page, list);
        mg_scope_set(row, "term", mg_view_of(line.bytes, word));
        mg_scope_set(row, "text", mg_view_of(line.bytes + word + skip, line.length - word - skip));
    }
}

/* What arrived, as the authority kept it: one flat object. */
static void
scope_arrived(struct mg_scope *row, struct mg_view text)
{
    const char *key;
    json_t *value;
    json_t *object = json_loadb((const char *) text.bytes, text.length, 0, NULL);
    json_object_foreach(object, key, value)
    {
        char number[32];
        struct mg_scope *claim = mg_scope_add(row, "arrived");
        mg_scope_set(claim, "term", mg_view_text(key));
        if (json_is_string(value)) {
            mg_scope_set(claim, "text", mg_view_text(json_string_value(value)));
        } else if (json_is_integer(value)) {
            (void) snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
            mg_scope_set_text(claim, "text", number);
        } else {
            mg_scope_set_text(claim, "text", json_is_true(value) ? "true" : "false");
        }
    }
    json_decref(object);
}

static uint64_t
refusal_of(struct mg_view name)
{
    for (uint64_t i = 1; i < MG_FEDERATION_COUNT; i++)
        if (mg_view_is(name, mg_federation_refusal_name(i)))
            return i;
    return MG_FEDERATION_NONE;
}

static CHECKED struct mg_status
scope_attempts(struct visit *visit, struct mg_view name)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_request_idp_attempts request = {.session = visit_session(visit), .name = name};
    struct mg_reply_idp_attempts reply;
    TRY(mg_call_idp_attempts(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        struct mg_record_idp_attempt attempt;
        TRY(mg_list_next_idp_attempt(&reply.attempts, &attempt, &more));
        if (!more)
            break;
        struct mg_scope *row = mg_scope_add(visit->page, "attempts");
        const uint64_t refusal = refusal_of(attempt.refusal);
        mg_scope_set_flag(row, "let_in", refusal == MG_FEDERATION_NONE);
        if (refusal != MG_FEDERATION_NONE)
            mg_scope_set_text(row, "refusal",
                              mg_federation_refusal_text(refusal, visit->language == MG_JAPANESE));
        mg_scope_set_flag(row, "trial", attempt.trial);
        TRY(scope_reason(visit, row, "detail", attempt.detail));
        mg_scope_set(row, "login", attempt.login);
        scope_time(visit, row, TIME_NAMES(at), attempt.at);
        scope_arrived(row, attempt.arrived);
    }
    return OK;
}

/* The setting of that keyword as it is shown: what was tried, when that was refused. */
static CHECKED struct mg_status
scope_settings(struct visit *visit, struct mg_list settings, bool tried)
{
    bool saml = false;
    TRY(kind_find(settings, &saml));
    mg_scope_set_flag(visit->page, "by_openid", !saml);
    for (;;) {
        struct mg_record_idp_setting setting;
        bool more;
        TRY(mg_list_next_idp_setting(&settings, &setting, &more));
        if (!more)
            return OK;
        const struct mg_option_row *option = option_of(setting.keyword);
        if (option == NULL)
            continue;
        const char *field = field_of(visit, option->keyword);
        struct mg_view value = setting.value;
        if (tried && field != NULL && option->type == MG_OPTION_FLAG)
            value = mg_view_text(mg_form_has(&visit->form, field) ? "yes" : "no");
        else if (tried && field != NULL && mg_form_has(&visit->form, field))
            value = mg_form_value(&visit->form, field);
        if (is_of_kind(option->keyword, saml))
            scope_setting(visit, option, value);
        if (mg_view_is(setting.keyword, "label"))
            mg_scope_set(visit->page, "provider_label", setting.value);
        if (mg_view_is(setting.keyword, "issuer"))
            mg_scope_set(visit->page, "issuer", setting.value);
        if (mg_view_is(setting.keyword, "domains"))
            mg_scope_set(visit->page, "domains", setting.value);
        mg_instant ends_at = 0;
        if (mg_view_is(setting.keyword, "expires") && setting.value.length != 0 &&
            mg_ok(mg_instant_parse(setting.value, &ends_at)))
            scope_end(visit, visit->page, ends_at);
    }
}

static CHECKED struct mg_status
scope_certificate_of(struct visit *visit, struct mg_view name)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_request_idp_list request = {.session = visit_session(visit)};
    struct mg_reply_idp_list reply;
    TRY(mg_call_idp_list(&request, &reply, &storage, CALL_MS));
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        struct mg_record_idp_row provider;
        TRY(mg_list_next_idp_row(&reply.providers, &provider, &more));
        if (more && mg_view_equal(provider.name, name))
            scope_certificate(visit, visit->page, provider.certificate_ends_at);
    }
    return OK;
}

struct mg_status
show_provider(struct visit *visit, struct mg_view name, uint64_t problem, struct mg_view reason)
{
    const struct mg_request_idp_show request = {.session = visit_session(visit), .name = name};
    struct mg_reply_idp_show reply;
    if (name.length > 31)
        return customer_refused(visit, MG_NOT_KNOWN);
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_idp_show(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    mg_scope_set(visit->page, "provider", name);
    mg_scope_set_flag(visit->page, "enabled", reply.enabled);
    mg_scope_set_flag(visit->page, "with_secret", reply.with_secret);
    scope_lines(visit, reply.addresses, ' ', "addresses");
    TRY(scope_settings(visit, reply.settings, problem != MG_GRANTED));
    scope_own_keys(visit, &reply);
    if (reply.looked_at != 0 && reply.enabled) {
        scope_time(visit, visit->page, TIME_NAMES(looked), reply.looked_at);
        mg_scope_set_text(visit->page, "looked_refusal",
                          mg_federation_refusal_text(reply.looked_refusal, visit->language == MG_JAPANESE));
        TRY(scope_reason(visit, visit->page, "looked_detail", reply.looked_detail));
    }
    TRY(scope_certificate_of(visit, name));
    TRY(scope_attempts(visit, name));
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_providers", "customer_provider");
    page_problem(visit, "settings", mg_outcome_text(problem, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    mg_scope_set_flag(visit->page, "at_providers", true);
    return show_outcome(visit, problem, "customer_provider");
}

struct mg_status
page_customer_provider(struct visit *visit)
{
    return show_provider(visit, mg_form_value(&visit->query, "name"), MG_GRANTED, MG_VIEW_EMPTY);
}

/* All settings as they would be: those of the form, the others as they are. */
static CHECKED struct mg_status
settings_of_form(struct visit *visit, struct mg_list settings, struct mg_buffer *list)
{
    for (;;) {
        struct mg_record_idp_setting setting;
        bool more;
        TRY(mg_list_next_idp_setting(&settings, &setting, &more));
        if (!more)
            return OK;
        const struct mg_option_row *option = option_of(setting.keyword);
        const char *field = option == NULL ? NULL : field_of(visit, option->keyword);
        struct mg_view value = setting.value;
        if (field != NULL && option->type == MG_OPTION_FLAG)
            value = mg_view_text(mg_form_has(&visit->form, field) ? "yes" : "no");
        else if (field != NULL && mg_form_has(&visit->form, field))
            value = mg_form_value(&visit->form, field);
        if (option != NULL && strcmp(option->keyword, "issuer") == 0)
            value = issuer_of(value);
        if (option != NULL)
            TRY(setting_add(list, option->keyword, value));
    }
}

struct mg_status
page_customer_provider_set(struct visit *visit)
{
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    const struct mg_view name = mg_form_value(&visit->form, "name"),
                         secret = mg_form_value(&visit->form, "secret");
    if (name.length > 31 || secret.length > 255)
        return fail_with(TOO_LARGE, "an identity provider");
    const struct mg_request_idp_show before = {.session = visit_session(visit), .name = name};
    struct mg_reply_idp_show shown;
    struct mg_reply_idp_set reply;
    TRY(mg_call_idp_show(&before, &shown, &visit->storage, CALL_MS));
    if (shown.outcome == MG_GRANTED) /* else idp_set says, and records, why not */
        TRY(settings_of_form(visit, shown.settings, &list));
    const struct mg_request_idp_set request = {.session = visit_session(visit),
                                               .name = name,
                                               .with_secret = secret.length != 0,
                                               .secret = secret,
                                               .settings = {.bytes = mg_buffer_view(&list)}};
    TRY(mg_call_idp_set(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_NOT_VALID)
        return show_provider(visit, name, reply.outcome, reply.reason);
    return customer_done(visit, reply.outcome, provider_path(visit, name), "provider");
}

struct mg_status
page_customer_provider_change(struct visit *visit)
{
    static const struct {
        const char *to;
        uint64_t change;
        const char *done;
    } rows[] = {{"enabled", ENABLE, "provider_enabled"},
                {"disabled", DISABLE, "provider_disabled"},
                {"removed", REMOVE, "provider_removed"}};
    const struct mg_view name = mg_form_value(&visit->form, "name"), to = mg_form_value(&visit->form, "to");
    size_t at = 0;
    while (at < MG_COUNT(rows) && !mg_view_is(to, rows[at].to))
        at++;
    const bool understood = at < MG_COUNT(rows) && name.length <= 31;
    if (!understood)
        at = 0;
    /* Of no provider where it was not understood: whoever may not change any is refused first, on the record.
     */
    const struct mg_request_idp_change request = {.session = visit_session(visit),
                                                  .name = understood ? name : MG_VIEW_EMPTY,
                                                  .change = rows[at].change};
    struct mg_reply_idp_change reply;
    TRY(mg_call_idp_change(&request, &reply, &visit->storage, CALL_MS));
    return customer_done(visit, reply.outcome,
                         rows[at].change == REMOVE ? "/console/providers" : provider_path(visit, name),
                         rows[at].done);
}

/* Shown at once and not after a redirect: the link in it is good once and for ten minutes. */
struct mg_status
page_customer_provider_test(struct visit *visit)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    const struct mg_view name = mg_form_value(&visit->form, "name");
    if (name.length > 31)
        return fail_with(TOO_LARGE, "an identity provider");
    const struct mg_request_idp_test request = {.session = visit_session(visit), .name = name};
    struct mg_reply_idp_test reply;
    TRY(mg_call_idp_test(&request, &reply, &storage, TEST_CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return customer_refused(visit, reply.outcome);
    const bool works = reply.refusal == MG_FEDERATION_NONE;
    mg_scope_set_flag(visit->page, "tested", true);
    mg_scope_set_flag(visit->page, "test_works", works);
    if (!works)
        mg_scope_set_text(visit->page, "test_refusal",
                          mg_federation_refusal_text(reply.refusal, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "test_detail", reply.detail));
    /* The link is one of this very origin; a page names it by its path. */
    const size_t origin = strlen(visit->own_origin);
    if (works && reply.link.length > origin && memcmp(reply.link.bytes, visit->own_origin, origin) == 0)
        mg_scope_set(visit->page, "trial_link",
                     mg_view_of(reply.link.bytes + origin, reply.link.length - origin));
    scope_time(visit, visit->page, TIME_NAMES(trial_ends), reply.link_ends_at);
    OWN_BUFFER(found, 65536);
    TRY(mg_reason_words(reply.found, visit->language == MG_JAPANESE, &found));
    scope_lines(visit, mg_buffer_view(&found), ':', "found");
    visit->here = provider_path(visit, name);
    return show_provider(visit, name, MG_GRANTED, MG_VIEW_EMPTY);
}
