/* The API: the tenant's rules, its own roles, its identity providers. */
#include "process/portal/api.h"

#include "domain/saml_key.h"
#include "domain/tenant_policy.h"

enum { MAKE = 1, CHANGE };

/* ---- rules ---- */

/* What the tenant has set; paths of the application are the vendor's. */
static CHECKED struct mg_status
policy_ask(struct api *api, struct mg_tenant_policy **ret_policy, uint64_t *ret_outcome)
{
    OWN(tenant_policy) policy = NULL;
    const struct mg_request_tenant_policy request = {.session = visit_session(api->visit)};
    struct mg_reply_tenant_policy reply;
    struct mg_record_tenant_setting setting;
    TRY(mg_call_tenant_policy(&request, &reply, &api->visit->storage, CALL_MS));
    TRY(mg_tenant_policy_new(&policy));
    *ret_outcome = reply.outcome;
    for (bool more = reply.outcome == MG_GRANTED; more;) {
        TRY(mg_list_next_tenant_setting(&reply.settings, &setting, &more));
        if (more && setting.route.length == 0)
            TRY(mg_tenant_policy_set(policy, MG_VIEW_EMPTY, setting.keyword, setting.value));
    }
    *ret_policy = TAKE(policy);
    return OK;
}

static CHECKED struct mg_status
rule_write(struct api *api, const struct mg_tenant_policy *policy, const struct mg_option_row *option,
           bool in_list)
{
    OWN_BUFFER(value, 8192);
    TRY(mg_option_record_text(&policy->settings, option, &value));
    const struct mg_api_rule rule = {
        .keyword = mg_view_text(option->keyword),
        .value = mg_buffer_view(&value),
        .preset = mg_view_text(option->preset),
        .meaning = mg_view_text(api->visit->language == MG_JAPANESE ? option->ja : option->en)};
    if (in_list)
        return api_item_rule(api, &rule);
    TRY(api_etag(api, rule.value));
    return api_one_rule(api, &rule);
}

struct mg_status
api_on_policy(struct api *api)
{
    OWN(tenant_policy) policy = NULL;
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(policy_ask(api, &policy, &outcome));
    if (outcome != MG_GRANTED)
        return api_refuse(api, outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        if (mg_tenant_option_is_customers(&mg_tenant_option_rows[i]))
            TRY(rule_write(api, policy, &mg_tenant_option_rows[i], true));
    return api_list_end(api, MG_VIEW_EMPTY);
}

struct mg_status
api_on_rule(struct api *api)
{
    OWN(tenant_policy) policy = NULL;
    uint64_t outcome = MG_OUTCOME_NONE;
    TRY(policy_ask(api, &policy, &outcome));
    if (outcome != MG_GRANTED)
        return api_refuse(api, outcome, MG_VIEW_EMPTY);
    for (size_t i = 0; i < mg_tenant_option_count; i++)
        if (mg_tenant_option_is_customers(&mg_tenant_option_rows[i]) &&
            mg_view_is(api_text(api, "keyword"), mg_tenant_option_rows[i].keyword))
            return rule_write(api, policy, &mg_tenant_option_rows[i], false);
    return api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
}

struct mg_status
api_on_rule_set(struct api *api)
{
    const struct mg_request_tenant_setting_set request = {.session = visit_session(api->visit),
                                                          .address = api->visit->address,
                                                          .keyword = api_text(api, "keyword"),
                                                          .value = api_text(api, "value"),
                                                          .expected = api->expected};
    struct mg_reply_tenant_setting_set reply;
    TRY(mg_call_tenant_setting_set(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, reply.reason);
}

/* ---- roles ---- */

/* Writes all roles as a list, or the one of that name. */
static CHECKED struct mg_status
roles_walk(struct api *api, struct mg_view name, bool *ret_found)
{
    const struct mg_request_role_list request = {.session = visit_session(api->visit)};
    struct mg_reply_role_list reply;
    struct mg_record_role_row role;
    *ret_found = true;
    TRY(mg_call_role_list(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    if (name.length == 0)
        TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_role_row(&reply.roles, &role, &more));
        if (!more)
            break;
        if (name.length == 0) {
            TRY(api_item_role(api, &role));
        } else if (mg_view_equal(name, role.name)) {
            OWN_BUFFER(seen, 4096);
            TRY(mg_buffer_add(&seen, role.label));
            TRY(mg_buffer_add_byte(&seen, '\n'));
            TRY(mg_buffer_add(&seen, role.permissions));
            TRY(api_etag(api, mg_buffer_view(&seen)));
            return api_one_role(api, &role);
        }
    }
    *ret_found = name.length == 0;
    return *ret_found ? api_list_end(api, MG_VIEW_EMPTY) : OK;
}

struct mg_status
api_on_roles(struct api *api)
{
    bool found = false;
    return roles_walk(api, MG_VIEW_EMPTY, &found);
}

struct mg_status
api_on_role(struct api *api)
{
    bool found = false;
    TRY(roles_walk(api, api_text(api, "name"), &found));
    return found ? OK : api_refuse(api, MG_NOT_KNOWN, MG_VIEW_EMPTY);
}

static CHECKED struct mg_status
role_ask(struct api *api, uint64_t how, struct mg_reply_role_set *reply)
{
    const struct mg_request_role_set request = {.session = visit_session(api->visit),
                                                .name = api_text(api, "name"),
                                                .label = api_text(api, "label"),
                                                .permissions = api_text(api, "permissions"),
                                                .how = how,
                                                .expected = api->expected};
    return mg_call_role_set(&request, reply, &api->visit->storage, CALL_MS);
}

struct mg_status
api_on_role_add(struct api *api)
{
    struct mg_reply_role_set reply;
    TRY(role_ask(api, MAKE, &reply));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    TRY(api_place(api, "/roles", api_text(api, "name")));
    return api_one_made(api, &(struct mg_api_made){.name = api_text(api, "name")});
}

struct mg_status
api_on_role_set(struct api *api)
{
    struct mg_reply_role_set reply;
    TRY(role_ask(api, CHANGE, &reply));
    return api_done(api, reply.outcome, reply.reason);
}

struct mg_status
api_on_role_remove(struct api *api)
{
    const struct mg_request_role_remove request = {.session = visit_session(api->visit),
                                                   .name = api_text(api, "name")};
    struct mg_reply_role_remove reply;
    TRY(mg_call_role_remove(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, MG_VIEW_EMPTY);
}

/* ---- identity providers ---- */

enum { ENABLE = 1, DISABLE, REMOVE, JSON_SETTINGS_MOST = 1 << 19 };

struct mg_status
api_on_providers(struct api *api)
{
    const struct mg_request_idp_list request = {.session = visit_session(api->visit)};
    struct mg_reply_idp_list reply;
    struct mg_record_idp_row provider;
    TRY(mg_call_idp_list(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_idp_row(&reply.providers, &provider, &more));
        if (!more)
            break;
        TRY(api_item_provider(api, &provider));
    }
    return api_list_end(api, MG_VIEW_EMPTY);
}

static CHECKED struct mg_status
settings_json(struct mg_list list, struct mg_buffer *json)
{
    struct mg_record_idp_setting setting;
    const char *between = "";
    TRY(mg_buffer_add_byte(json, '{'));
    for (bool more = true;;) {
        TRY(mg_list_next_idp_setting(&list, &setting, &more));
        if (!more)
            break;
        TRY(mg_buffer_add_text(json, between));
        TRY(mg_buffer_add_json_string(json, setting.keyword));
        TRY(mg_buffer_add_byte(json, ':'));
        TRY(mg_buffer_add_json_string(json, setting.value));
        between = ",";
    }
    return mg_buffer_add_byte(json, '}');
}

struct mg_status
api_on_provider(struct api *api)
{
    const struct mg_request_idp_show request = {.session = visit_session(api->visit),
                                                .name = api_text(api, "name")};
    struct mg_reply_idp_show reply;
    OWN_BUFFER(settings, JSON_SETTINGS_MOST);
    TRY(mg_call_idp_show(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_etag(api, reply.settings.bytes));
    TRY(settings_json(reply.settings, &settings));
    return api_one_provider_detail(api, &(struct mg_api_provider){.name = request.name,
                                                                  .addresses = reply.addresses,
                                                                  .settings = mg_buffer_view(&settings),
                                                                  .enabled = reply.enabled,
                                                                  .with_secret = reply.with_secret,
                                                                  .key_rolling = reply.rolling,
                                                                  .key_switched = reply.switched,
                                                                  .key_ends_at = reply.key_ends_at,
                                                                  .key_signs_at = reply.signs_at});
}

/* Fetching takes as long as the provider takes; the federation process has its own bounds. */
#define TEST_MS 30000

struct mg_status
api_on_provider_metadata(struct api *api)
{
    const bool fetched = api_value(api, "url")->given;
    const struct mg_request_idp_metadata request = {.session = visit_session(api->visit),
                                                    .document =
                                                        fetched ? MG_VIEW_EMPTY : api_text(api, "document"),
                                                    .url = api_text(api, "url")};
    struct mg_reply_idp_metadata reply;
    OWN_BUFFER(settings, JSON_SETTINGS_MOST);
    OWN_BUFFER(detail, 4096);
    TRY(mg_call_idp_metadata(&request, &reply, &api->visit->storage, TEST_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(settings_json(reply.settings, &settings));
    TRY(mg_reason_words(reply.detail, api->visit->language == MG_JAPANESE, &detail));
    return api_one_provider_metadata(api, &(struct mg_api_metadata){.refusal = reply.refusal,
                                                                    .detail = mg_buffer_view(&detail),
                                                                    .settings = mg_buffer_view(&settings)});
}

static CHECKED struct mg_status
provider_ask(struct api *api, bool add, struct mg_reply_idp_set *reply)
{
    const struct mg_json_value *secret = api_value(api, "secret");
    const struct mg_request_idp_set request = {.session = visit_session(api->visit),
                                               .name = api_text(api, "name"),
                                               .add = add,
                                               .with_secret = secret->given,
                                               .secret = secret->text,
                                               .settings = {.bytes = api_text(api, "settings")},
                                               .expected = api->expected};
    return mg_call_idp_set(&request, reply, &api->visit->storage, CALL_MS);
}

struct mg_status
api_on_provider_add(struct api *api)
{
    struct mg_reply_idp_set reply;
    TRY(provider_ask(api, true, &reply));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, reply.reason);
    TRY(api_place(api, "/identity-providers", api_text(api, "name")));
    return api_one_made(api, &(struct mg_api_made){.name = api_text(api, "name")});
}

struct mg_status
api_on_provider_set(struct api *api)
{
    struct mg_reply_idp_set reply;
    TRY(provider_ask(api, false, &reply));
    return api_done(api, reply.outcome, reply.reason);
}

static CHECKED struct mg_status
provider_change(struct api *api, uint64_t change)
{
    const struct mg_request_idp_change request = {
        .session = visit_session(api->visit), .name = api_text(api, "name"), .change = change};
    struct mg_reply_idp_change reply;
    TRY(mg_call_idp_change(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED || change == ENABLE)
        return api_done(api, reply.outcome, MG_VIEW_EMPTY);
    return api_one_ended(api, &(struct mg_api_ended){.ended = reply.ended});
}

struct mg_status
api_on_provider_enable(struct api *api)
{
    return provider_change(api, ENABLE);
}

struct mg_status
api_on_provider_disable(struct api *api)
{
    return provider_change(api, DISABLE);
}

struct mg_status
api_on_provider_remove(struct api *api)
{
    return provider_change(api, REMOVE);
}

struct mg_status
api_on_provider_key(struct api *api)
{
    const struct mg_request_idp_key request = {.session = visit_session(api->visit),
                                               .name = api_text(api, "name"),
                                               .step = mg_saml_key_step_of(api_text(api, "step")),
                                               .at = api_value(api, "at")->time};
    struct mg_reply_idp_key reply;
    TRY(mg_call_idp_key(&request, &reply, &api->visit->storage, CALL_MS));
    return api_done(api, reply.outcome, reply.reason);
}

struct mg_status
api_on_provider_test(struct api *api)
{
    const struct mg_request_idp_test request = {.session = visit_session(api->visit),
                                                .name = api_text(api, "name")};
    struct mg_reply_idp_test reply;
    TRY(mg_call_idp_test(&request, &reply, &api->visit->storage, TEST_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    OWN_BUFFER(detail, 4096);
    OWN_BUFFER(found, 65536);
    const bool japanese = api->visit->language == MG_JAPANESE;
    TRY(mg_reason_words(reply.detail, japanese, &detail));
    TRY(mg_reason_words(reply.found, japanese, &found));
    reply.detail = mg_buffer_view(&detail);
    reply.found = mg_buffer_view(&found);
    return api_one_provider_test(api, &reply);
}

struct mg_status
api_on_provider_attempts(struct api *api)
{
    const struct mg_request_idp_attempts request = {.session = visit_session(api->visit),
                                                    .name = api_text(api, "name")};
    struct mg_reply_idp_attempts reply;
    struct mg_record_idp_attempt attempt;
    TRY(mg_call_idp_attempts(&request, &reply, &api->visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return api_refuse(api, reply.outcome, MG_VIEW_EMPTY);
    TRY(api_list_begin(api));
    for (bool more = true;;) {
        TRY(mg_list_next_idp_attempt(&reply.attempts, &attempt, &more));
        if (!more)
            break;
        TRY(api_item_provider_attempt(api, &attempt));
    }
    return api_list_end(api, MG_VIEW_EMPTY);
}
