/* A tenant's own console: its rules (catalogue/tenant_options.def), one form each. */
#include "process/portal/portal.h"

#include "domain/risk.h"
#include "domain/tenant_policy.h"

/* What belongs together, by the start of the keyword; the last takes what no other does. */
static const struct {
    const char *name, *title, *keyword;
} groups[] = {
    {"sign-in", N_("Signing in and second factor"), "second_factor sign_in."},
    {"password", N_("Passwords"), "password."},
    {"session", N_("Sessions"), "session."},
    {"networks", N_("Networks"), "allow."},
    {"adaptive", N_("Suspicious sign-ins"), "adaptive."},
    {"other", N_("Other rules"), ""},
};

static bool
is_of_group(const char *keyword, size_t group)
{
    for (const char *at = groups[group].keyword; *at != '\0';) {
        const size_t length = strcspn(at, " ");
        if (strncmp(keyword, at, length) == 0)
            return true;
        at += length + (at[length] == ' ');
    }
    if (groups[group].keyword[0] != '\0')
        return false;
    for (size_t i = 0; i < group; i++)
        if (is_of_group(keyword, i))
            return false;
    return true;
}

/* What the score of a sign-in is made of. */
static void
scope_signals(struct visit *visit, struct mg_scope *section)
{
    for (int i = 0; i < MG_SIGNAL_COUNT; i++) {
        struct mg_scope *row = mg_scope_add(section, "signals");
        mg_scope_set_text(row, "signal", mg_signal_text((enum mg_signal) i, visit->language == MG_JAPANESE));
        mg_scope_set_number(row, "weight", mg_signal_weight((enum mg_signal) i));
    }
}

static CHECKED struct mg_status
scope_choices(struct mg_scope *row, const struct mg_option_row *option, struct mg_view value)
{
    const char *words = option->type == MG_OPTION_FLAG ? "no|yes" : option->most;
    for (const char *at = words; *at != '\0';) {
        const size_t length = strcspn(at, "|");
        const struct mg_view word = mg_view_of(at, length);
        struct mg_scope *choice = mg_scope_add(row, "choices");
        mg_scope_set(choice, "choice", word);
        mg_scope_set_flag(choice, "chosen", mg_view_equal(word, value));
        at += length + (at[length] == '|');
    }
    return OK;
}

static CHECKED struct mg_status
scope_rule(struct visit *visit, struct mg_scope *section, const struct mg_option_row *option,
           const struct mg_tenant_settings *settings, struct mg_view wrong, struct mg_view tried)
{
    OWN_BUFFER(value, 8192);
    struct mg_scope *row = mg_scope_add(section, "rules");
    TRY(mg_option_record_text(settings, option, &value));
    const bool is_wrong = mg_view_is(wrong, option->keyword);
    const struct mg_view shown = is_wrong ? tried : mg_buffer_view(&value);
    mg_scope_set_text(row, "keyword", option->keyword);
    mg_scope_set_text(row, "rule_id", arena_format(visit, "rule-%s", option->keyword));
    mg_scope_set_text(row, "meaning", visit->language == MG_JAPANESE ? option->ja : option->en);
    mg_scope_set(row, "value", shown);
    mg_scope_set_flag(row, "rule_wrong", is_wrong);
    mg_scope_set_flag(row, "changed", !mg_view_is(mg_buffer_view(&value), option->preset));
    const bool choice = option->type == MG_OPTION_FLAG || option->type == MG_OPTION_CHOICE;
    mg_scope_set_flag(row, "is_choice", choice);
    mg_scope_set_flag(row, "is_list", option->type == MG_OPTION_LIST);
    mg_scope_set_flag(row, "is_line", !choice && option->type != MG_OPTION_LIST);
    return choice ? scope_choices(row, option, shown) : OK;
}

static CHECKED struct mg_status
scope_group(struct visit *visit, size_t group, const struct mg_tenant_settings *settings,
            struct mg_view wrong)
{
    struct mg_scope *section = NULL;
    for (size_t i = 0; i < mg_tenant_option_count; i++) {
        const struct mg_option_row *option = &mg_tenant_option_rows[i];
        if (!mg_tenant_option_is_customers(option) || !is_of_group(option->keyword, group))
            continue;
        if (section == NULL)
            section = mg_scope_add(visit->page, "sections");
        TRY(scope_rule(visit, section, option, settings, wrong, mg_form_value(&visit->form, "value")));
    }
    if (section == NULL)
        return OK;
    mg_scope_set_text(section, "section_id", groups[group].name);
    mg_scope_set_text(section, "section_title", say(visit, groups[group].title));
    if (strcmp(groups[group].name, "adaptive") == 0)
        scope_signals(visit, section);
    return OK;
}

/* Rules for paths of the application: seen here, set by the vendor. */
static void
scope_routes(struct visit *visit, const struct mg_record_tenant_setting *setting)
{
    for (size_t i = 0; i < mg_route_option_count; i++) {
        const struct mg_option_row *option = &mg_route_option_rows[i];
        if (!mg_view_is(setting->keyword, option->keyword) || mg_view_is(setting->value, option->preset))
            continue;
        struct mg_scope *row = mg_scope_add(visit->page, "paths");
        mg_scope_set(row, "route", setting->route);
        mg_scope_set(row, "keyword", setting->keyword);
        mg_scope_set(row, "value", setting->value);
        mg_scope_set_text(row, "meaning", visit->language == MG_JAPANESE ? option->ja : option->en);
    }
}

static CHECKED struct mg_status
policy_read(struct visit *visit, struct mg_tenant_policy **ret_policy, uint64_t *ret_outcome)
{
    OWN(tenant_policy) policy = NULL;
    const struct mg_request_tenant_policy request = {.session = visit_session(visit)};
    struct mg_reply_tenant_policy reply;
    struct mg_record_tenant_setting setting;
    mg_buffer_clear(&visit->storage);
    TRY(mg_call_tenant_policy(&request, &reply, &visit->storage, CALL_MS));
    TRY(mg_tenant_policy_new(&policy));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_tenant_setting(&reply.settings, &setting, &more));
        if (!more)
            break;
        if (setting.route.length != 0)
            scope_routes(visit, &setting);
        else
            TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, setting.keyword, setting.value));
    }
    *ret_policy = TAKE(policy);
    return OK;
}

static CHECKED struct mg_status
show_policy(struct visit *visit, uint64_t problem, struct mg_view reason)
{
    OWN(tenant_policy) policy = NULL;
    uint64_t outcome = MG_OUTCOME_NONE;
    const struct mg_view wrong =
        problem == MG_GRANTED ? MG_VIEW_EMPTY : mg_form_value(&visit->form, "keyword");
    TRY(policy_read(visit, &policy, &outcome));
    if (outcome != MG_GRANTED)
        return customer_refused(visit, outcome);
    for (size_t group = 0; group < MG_COUNT(groups); group++)
        TRY(scope_group(visit, group, &policy->settings, wrong));
    mg_scope_set(visit->page, "own_address", visit->address);
    if (problem == MG_GRANTED)
        return customer_show(visit, "at_policy", "customer_policy");
    page_problem(visit, arena_format(visit, "rule-%.*s", (int) wrong.length, (const char *) wrong.bytes),
                 mg_outcome_text(problem, visit->language == MG_JAPANESE));
    TRY(scope_reason(visit, visit->page, "reason", reason));
    mg_scope_set_flag(visit->page, "at_policy", true);
    return show_outcome(visit, problem, "customer_policy");
}

struct mg_status
page_customer_policy(struct visit *visit)
{
    return show_policy(visit, MG_GRANTED, MG_VIEW_EMPTY);
}

struct mg_status
page_customer_policy_set(struct visit *visit)
{
    OWN_BUFFER(storage, 4096); /* the reason outlives the next question */
    const struct mg_request_tenant_setting_set request = {
        .session = visit_session(visit),
        .address = visit->address,
        .keyword = mg_form_value(&visit->form, "keyword"),
        .value = mg_form_value(&visit->form, "value"),
    };
    struct mg_reply_tenant_setting_set reply;
    if (request.keyword.length > 63 || request.value.length > 4096)
        return fail_with(TOO_LARGE, "a rule");
    TRY(mg_call_tenant_setting_set(&request, &reply, &storage, CALL_MS));
    if (reply.outcome == MG_NOT_VALID || reply.outcome == MG_LOCKS_OUT)
        return show_policy(visit, reply.outcome, reply.reason);
    return customer_done(visit, reply.outcome, "/console/policy", "rule");
}
