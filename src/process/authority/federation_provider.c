/* A tenant's identity providers: the rows idp_list, idp_show, idp_set and idp_change. */
#include "process/authority/federation_key.h"
#include "process/authority/rights.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- loading ---- */

struct mg_idp *
mg_idp_hold(struct mg_idp *idp)
{
    atomic_fetch_add(&idp->holders, 1);
    return idp;
}

void
mg_idp_drop(struct mg_idp **idp)
{
    if (*idp == NULL)
        return;
    if (atomic_fetch_sub(&(*idp)->holders, 1) > 1) {
        *idp = NULL;
        return;
    }
    mg_idp_settings_drop(&(*idp)->settings);
    mg_buffer_drop(&(*idp)->secret_sealed);
    free(*idp);
    *idp = NULL;
}

enum { IDP_ID, IDP_NAME, IDP_ENABLED, IDP_SECRET, IDP_KEYWORD, IDP_VALUE };

/* What is stored was checked when it came in; a later version may see it otherwise, and then nobody may use
 * it. */
static CHECKED struct mg_status
stored_read(const struct mg_rows *rows, struct mg_idp *idp)
{
    TRY(mg_idp_settings_new(&idp->settings));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        if (mg_rows_null(rows, i, IDP_KEYWORD)) /* the one row of a provider without settings */
            continue;
        const struct mg_status set = mg_idp_settings_set(idp->settings, mg_rows_text(rows, i, IDP_KEYWORD),
                                                         mg_rows_text(rows, i, IDP_VALUE));
        if (set.code == MG_INVALID)
            idp->enabled = false;
        else
            TRY(set);
    }
    if (!mg_ok(mg_idp_settings_judge(idp->settings, idp->secret_sealed.length != 0)))
        idp->enabled = false;
    idp->expires_at = mg_idp_expires_at(idp->settings);
    return OK;
}

struct mg_status
mg_idp_read(const struct mg_rows *rows, uint64_t tenant, struct mg_idp **ret_idp)
{
    OWN(idp) idp = calloc(1, sizeof *idp);
    if (idp == NULL)
        return fail(OUT_OF_MEMORY);
    idp->holders = 1;
    idp->secret_sealed = MG_BUFFER(4096);
    idp->id = (uint64_t) mg_rows_i64(rows, 0, IDP_ID);
    idp->tenant = tenant;
    idp->enabled = mg_rows_flag(rows, 0, IDP_ENABLED);
    TRY(mg_view_copy(mg_rows_text(rows, 0, IDP_NAME), idp->name, sizeof idp->name));
    TRY(mg_buffer_add(&idp->secret_sealed, mg_rows_bytes(rows, 0, IDP_SECRET)));
    TRY(stored_read(rows, idp));
    *ret_idp = TAKE(idp);
    return OK;
}

struct mg_status
mg_idp_load(struct mg_database *database, uint64_t tenant, struct mg_view name, struct mg_idp **ret_idp)
{
    OWN(rows) rows = NULL;
    if (!mg_idp_name_is_valid(name) || tenant == 0)
        return fail_with(NOT_FOUND, "identity provider");
    TRY(mg_query_often(database, &rows,
                       "SELECT " MG_IDP_COLUMNS
                       " FROM identity_provider p LEFT JOIN identity_provider_setting s"
                       " ON s.provider = p.id WHERE p.tenant = $1 AND p.name = $2",
                       MG_I64(tenant), MG_TEXT(name)));
    if (mg_rows_count(rows) == 0)
        return fail_with(NOT_FOUND, "identity provider %.*s", (int) name.length, (const char *) name.bytes);
    return mg_idp_read(rows, tenant, ret_idp);
}

const char *
mg_idp_label(const struct mg_idp *idp)
{
    return idp->settings->label[0] != '\0' ? idp->settings->label : idp->name;
}

enum mg_federation_refusal
mg_idp_judge_now(const struct mg_idp *idp, const struct mg_core_tenant *tenant, mg_instant now)
{
    const struct mg_idp_facts facts = {.enabled = idp->enabled,
                                       .tenant_open = tenant->open && tenant->number == idp->tenant,
                                       .expires_at = idp->expires_at};
    const enum mg_federation_refusal refusal = mg_idp_judge(&facts, now);
    return refusal == MG_FEDERATION_NONE && (tenant->methods & MG_METHOD_SSO) == 0 ? MG_FEDERATION_METHOD
                                                                                   : refusal;
}

struct mg_status
mg_idp_address(const struct mg_idp *idp, const struct mg_core_tenant *tenant, const char *what,
               struct mg_buffer *url)
{
    return mg_buffer_format(url, "%s/federation/%s/%s", tenant->sign_in_origin, what, idp->name);
}

struct mg_status
mg_idp_families_end(struct mg_database *database, uint64_t provider, struct mg_view session,
                    struct mg_view subject, uint64_t *ret_ended)
{
    OWN(rows) rows = NULL;
    *ret_ended = 0;
    OWN_EFFECTS(true);
    TRY(mg_query(
        database, &rows,
        "SELECT family FROM family_federation WHERE provider = $1 AND ($2 = '' OR provider_session = $2)"
        " AND ($3 = '' OR subject = $3)",
        MG_I64(provider), MG_TEXT(session), MG_TEXT(subject)));
    for (size_t i = 0; i < mg_rows_count(rows); i++) {
        uint64_t ended = 0;
        const struct mg_family_match match = {.family = (uint64_t) mg_rows_i64(rows, i, 0)};
        TRY(mg_families_end(database, &match, &ended));
        *ret_ended += ended;
    }
    return OK;
}

/* ---- who asks, and for which tenant ---- */

bool
mg_idp_holds_enough(const struct mg_right *right)
{
    return right->operator||
        mg_permissions_cover(right->grantable, mg_permissions_of_roles(mg_view_text("administrator"), false));
}

/* ---- list and show ---- */

static CHECKED struct mg_status
row_add(struct mg_database *database, uint64_t tenant, const struct mg_rows *rows, size_t row,
        struct mg_buffer *list)
{
    OWN(idp) idp = NULL;
    OWN_BUFFER(domains, 1023);
    TRY(mg_idp_load(database, tenant, mg_rows_text(rows, row, 0), &idp));
    TRY(mg_option_words(idp->settings->domains, &domains));
    const struct mg_record_idp_row record = {
        .name = mg_view_text(idp->name),
        .kind = mg_view_text(idp->settings->kind),
        .label = mg_view_text(idp->settings->label),
        .issuer = mg_view_text(idp->settings->issuer),
        .domains = mg_buffer_view(&domains),
        .enabled = idp->enabled,
        .expires_at = idp->expires_at == INT64_MAX ? 0 : idp->expires_at,
        .links = (uint64_t) mg_rows_i64(rows, row, 1),
        .last_used_at = mg_rows_null(rows, row, 2) ? 0 : mg_rows_instant(rows, row, 2),
        .certificate_ends_at = mg_rows_null(rows, row, 3) ? 0 : mg_rows_instant(rows, row, 3),
    };
    return mg_list_add_idp_row(list, &record);
}

MG_HANDLER_PUBLIC(idp_list)
{
    OWN(database) database = NULL;
    OWN(rows) rows = NULL;
    OWN_BUFFER(list, 122880);
    struct mg_right asked;
    enum mg_outcome outcome;
    MG_IDP_ASK(idp_list, call, request, &asked, &outcome);
    if (outcome != MG_GRANTED)
        return mg_answer_idp_list(call, &(struct mg_reply_idp_list){.outcome = outcome});
    TRY(mg_core_database(&database));
    TRY(mg_query(
        database, &rows,
        "SELECT p.name, count(l.account), max(l.last_used_at), p.certificate_ends_at FROM identity_provider p"
        " LEFT JOIN account_link l ON l.provider = p.id WHERE p.tenant = $1 GROUP BY p.id ORDER BY p.name",
        MG_I64(asked.tenant.number)));
    for (size_t i = 0; i < mg_rows_count(rows); i++)
        TRY(row_add(database, asked.tenant.number, rows, i, &list));
    return mg_answer_idp_list(
        call,
        &(struct mg_reply_idp_list){.outcome = MG_GRANTED, .providers = {.bytes = mg_buffer_view(&list)}});
}

static CHECKED struct mg_status
settings_list(const struct mg_idp_settings *settings, struct mg_buffer *list)
{
    for (size_t i = 0; i < mg_idp_option_count; i++) {
        OWN_BUFFER(value, 8192);
        TRY(mg_option_record_text(settings, &mg_idp_option_rows[i], &value));
        const struct mg_record_idp_setting row = {.keyword = mg_view_text(mg_idp_option_rows[i].keyword),
                                                  .value = mg_buffer_view(&value)};
        TRY(mg_list_add_idp_setting(list, &row));
    }
    return OK;
}

static CHECKED struct mg_status
saml_addresses_list(const struct mg_idp *idp, const struct mg_core_tenant *tenant, struct mg_buffer *text)
{
    struct mg_saml_names names;
    TRY(mg_saml_names(idp, tenant, &names));
    return mg_buffer_format(
        text, "metadata %s\nentity_id %s\nassertion_consumer_service %s\nsingle_logout_service %s",
        names.entity, names.entity, names.consumer, names.logout);
}

/* What somebody types into the provider's own administration. */
static CHECKED struct mg_status
addresses_list(const struct mg_idp *idp, const struct mg_core_tenant *tenant, struct mg_buffer *text)
{
    if (mg_idp_is_saml(idp->settings))
        return saml_addresses_list(idp, tenant, text);
    static const struct {
        const char *word, *what;
    } rows[] = {{"redirect_uri", "callback"},
                {"backchannel_logout_uri", "back-channel"},
                {"frontchannel_logout_uri", "front-channel"},
                {"jwks_uri", "keys"}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        TRY(mg_buffer_format(text, "%s ", rows[i].word));
        TRY(mg_idp_address(idp, tenant, rows[i].what, text));
        TRY(mg_buffer_add_text(text, "\n"));
    }
    return mg_buffer_format(text, "post_logout_redirect_uri %s/signed-out", tenant->sign_in_origin);
}

/* When our keys there end, and how far a roll-over is. */
static CHECKED struct mg_status
own_keys_show(struct mg_database *database, uint64_t provider, struct mg_reply_idp_show *reply)
{
    OWN(rows) rows = NULL;
    struct mg_saml_own_keys keys;
    TRY(mg_saml_keys_load(database, provider, mg_now(), &rows, &keys));
    reply->key_ends_at = keys.now.ends_at;
    reply->rolling = keys.rolling;
    reply->switched = keys.switched;
    reply->other_ends_at = keys.rolling ? keys.other.ends_at : 0;
    reply->signs_at = keys.signs_at;
    return OK;
}

MG_HANDLER_PUBLIC(idp_show)
{
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    OWN_BUFFER(list, 122880);
    OWN_BUFFER(addresses, 4096);
    struct mg_right asked;
    enum mg_outcome outcome;
    MG_IDP_ASK(idp_show, call, request, &asked, &outcome);
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        const struct mg_status found = mg_idp_load(database, asked.tenant.number, request->name, &idp);
        if (found.code == MG_NOT_FOUND)
            outcome = MG_NOT_KNOWN;
        else
            TRY(found);
    }
    if (outcome != MG_GRANTED)
        return mg_answer_idp_show(call, &(struct mg_reply_idp_show){.outcome = outcome});
    TRY(settings_list(idp->settings, &list));
    TRY(addresses_list(idp, &asked.tenant, &addresses));
    struct mg_reply_idp_show reply = {.outcome = MG_GRANTED,
                                      .enabled = idp->enabled,
                                      .with_secret = idp->secret_sealed.length != 0,
                                      .addresses = mg_buffer_view(&addresses),
                                      .settings = {.bytes = mg_buffer_view(&list)}};
    if (mg_idp_is_saml(idp->settings))
        TRY(own_keys_show(database, idp->id, &reply));
    struct mg_idp_looked looked;
    mg_idp_looked_get(idp->id, &looked);
    reply.looked_at = looked.at;
    reply.looked_refusal = looked.refusal;
    reply.looked_detail = mg_view_text(looked.detail);
    return mg_answer_idp_show(call, &reply);
}

/* ---- add and change ---- */

static CHECKED struct mg_status
settings_read(struct mg_list list, struct mg_idp_settings **ret_settings)
{
    OWN(idp_settings) settings = NULL;
    struct mg_record_idp_setting row;
    bool more = true;
    TRY(mg_idp_settings_new(&settings));
    for (;;) {
        TRY(mg_list_next_idp_setting(&list, &row, &more));
        if (!more)
            break;
        TRY(mg_idp_settings_set(settings, row.keyword, row.value));
    }
    *ret_settings = TAKE(settings);
    return OK;
}

static CHECKED struct mg_status
secret_seal(uint64_t tenant, uint64_t provider, struct mg_view secret, struct mg_buffer *sealed)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_seal reply;
    char row[24];
    (void) snprintf(row, sizeof row, "%" PRIu64, provider);
    const struct mg_request_seal request = {.tenant = tenant,
                                            .table = mg_view_text("identity_provider"),
                                            .column = mg_view_text("secret"),
                                            .row = mg_view_text(row),
                                            .plaintext = secret};
    TRY(mg_call_seal(&request, &reply, &storage, MG_IDENTITY_CALL_MS));
    return mg_buffer_add(sealed, reply.sealed);
}

static CHECKED struct mg_status
settings_write(struct mg_database *database, uint64_t provider, const struct mg_idp_settings *settings)
{
    TRY(mg_query(database, NULL, "DELETE FROM identity_provider_setting WHERE provider = $1",
                 MG_I64(provider)));
    for (size_t i = 0; i < mg_idp_option_count; i++) {
        OWN_BUFFER(value, 8192);
        TRY(mg_option_record_text(settings, &mg_idp_option_rows[i], &value));
        if (mg_view_is(mg_buffer_view(&value), mg_idp_option_rows[i].preset))
            continue;
        TRY(mg_query(database, NULL,
                     "INSERT INTO identity_provider_setting (provider, keyword, value) VALUES ($1, $2, $3)",
                     MG_I64(provider), MG_TEXT(mg_view_text(mg_idp_option_rows[i].keyword)),
                     MG_TEXT(mg_buffer_view(&value))));
    }
    return OK;
}

/* A certificate is told by the SHA-256 of its DER form, as `idp test` shows it. */
static CHECKED struct mg_status
hashes_add(const char *list, struct mg_buffer *text)
{
    struct mg_view word;
    for (bool first = true; mg_option_word(&list, &word); first = false) {
        OWN_BUFFER(der, 8192);
        uint8_t hash[32];
        char digits[65];
        TRY(mg_base64_decode(word, &der));
        TRY(mg_secret_hash(mg_buffer_view(&der), hash));
        mg_hex(mg_view_of(hash, sizeof hash), digits);
        TRY(mg_buffer_format(text, "%s%s", first ? "" : " ", digits));
    }
    return OK;
}

static CHECKED struct mg_status
certificates_difference(const char *old, const char *new, struct mg_buffer *text)
{
    TRY(mg_buffer_format(text, "%ssaml.certificates: \"", text->length == 0 ? "" : "; "));
    TRY(hashes_add(old, text));
    TRY(mg_buffer_add_text(text, "\" -> \""));
    TRY(hashes_add(new, text));
    return mg_buffer_add_text(text, "\"");
}

/* Before and after, keyword by keyword: what an auditor wants to see of a change. */
static CHECKED struct mg_status
difference(const struct mg_idp_settings *before, const struct mg_idp_settings *after, bool secret,
           struct mg_buffer *text)
{
    for (size_t i = 0; i < mg_idp_option_count; i++) {
        OWN_BUFFER(old, 8192);
        OWN_BUFFER(new, 8192);
        if (before != NULL)
            TRY(mg_option_record_text(before, &mg_idp_option_rows[i], &old));
        else
            TRY(mg_buffer_add_text(&old, mg_idp_option_rows[i].preset));
        TRY(mg_option_record_text(after, &mg_idp_option_rows[i], &new));
        if (mg_view_equal(mg_buffer_view(&old), mg_buffer_view(&new)))
            continue;
        if (strcmp(mg_idp_option_rows[i].keyword, "saml.certificates") == 0) {
            TRY(certificates_difference(mg_buffer_text(&old), mg_buffer_text(&new), text));
            continue;
        }
        TRY(mg_buffer_format(text, "%s%s: \"%s\" -> \"%s\"", text->length == 0 ? "" : "; ",
                             mg_idp_option_rows[i].keyword, mg_buffer_text(&old), mg_buffer_text(&new)));
    }
    return secret ? mg_buffer_format(text, "%sclient secret replaced", text->length == 0 ? "" : "; ") : OK;
}

struct setting {
    const struct mg_request_idp_set *request;
    struct mg_right asked;
    struct mg_idp *before; /* NULL: a new one */
    struct mg_idp_settings *settings;
    struct mg_buffer sealed;
    uint64_t id;
    mg_instant certificate_ends_at;
};

static void
setting_drop(struct setting *it)
{
    mg_idp_drop(&it->before);
    mg_idp_settings_drop(&it->settings);
    mg_buffer_drop(&it->sealed);
}

/* Whether the settings are still what the person who changes them saw; nobody else changes them until the
 * transaction ends. */
static CHECKED struct mg_status
setting_is_as_seen(struct mg_database *database, const struct setting *it, bool *ret_as_seen)
{
    OWN(idp) now = NULL;
    OWN_BUFFER(list, 122880);
    *ret_as_seen = true;
    if (it->before == NULL || it->request->expected.length == 0)
        return OK;
    TRY(mg_query(database, NULL, "SELECT 1 FROM identity_provider WHERE id = $1 FOR UPDATE", MG_I64(it->id)));
    TRY(mg_idp_load(database, it->asked.tenant.number, it->request->name, &now));
    TRY(settings_list(now->settings, &list));
    *ret_as_seen = mg_is_as_expected(it->request->expected, mg_buffer_view(&list));
    return OK;
}

static CHECKED struct mg_status
saml_keys_add(struct mg_database *database, const struct setting *it)
{
    struct mg_idp named = {.id = it->id, .tenant = it->asked.tenant.number};
    struct mg_saml_names names;
    TRY(mg_view_copy(it->request->name, named.name, sizeof named.name));
    TRY(mg_saml_names(&named, &it->asked.tenant, &names));
    return mg_saml_keys_make(database, it->id, named.tenant, names.entity);
}

/* Roles that the settings give: whoever adds them gives them to whoever the provider says. Within the
 * transaction, so that none of them goes meanwhile. */
static CHECKED struct mg_status
roles_judge(struct mg_database *database, const struct setting *it, const char **ret_reason,
            enum mg_outcome *ret_outcome)
{
    OWN_BUFFER(had, 4096);
    OWN_BUFFER(roles, 4096);
    *ret_outcome = MG_GRANTED;
    if (it->before != NULL)
        TRY(mg_idp_roles_named(it->before->settings, &had));
    TRY(mg_idp_roles_named(it->settings, &roles));
    if (roles.length == 0)
        return OK;
    TRY(mg_right_administrators_lock(database, it->asked.tenant.number));
    return mg_right_roles_give(database, &it->asked, mg_buffer_view(&had), mg_buffer_view(&roles), ret_reason,
                               ret_outcome);
}

/* *ret_outcome: GRANTED, CHANGED_MEANWHILE, or what is wrong with its roles. */
static CHECKED struct mg_status
setting_write(struct mg_database *database, const struct setting *it, const char **ret_reason,
              enum mg_outcome *ret_outcome)
{
    OWN(transaction) transaction = NULL;
    OWN_BUFFER(detail, 1 << 20);
    const struct mg_request_idp_set *request = it->request;
    const mg_instant now = mg_now(), expires_at = mg_idp_expires_at(it->settings);
    const bool keeps = it->before != NULL && !request->with_secret;
    bool as_seen = false;
    TRY(mg_transaction_begin(database, &transaction));
    TRY(setting_is_as_seen(database, it, &as_seen));
    *ret_outcome = as_seen ? MG_GRANTED : MG_CHANGED_MEANWHILE;
    if (!as_seen)
        return OK;
    if (it->before == NULL)
        TRY(mg_query(database, NULL,
                     "INSERT INTO identity_provider (id, tenant, name, kind, created_at, changed_at)"
                     " VALUES ($1, $2, $3, $5, $4, $4)",
                     MG_I64(it->id), MG_I64(it->asked.tenant.number), MG_TEXT(request->name), MG_INSTANT(now),
                     MG_STRING(it->settings->kind)));
    TRY(mg_query(database, NULL,
                 "UPDATE identity_provider SET changed_at = $2, expires_at = $3,"
                 " secret_sealed = CASE WHEN $4 THEN secret_sealed ELSE $5 END WHERE id = $1",
                 MG_I64(it->id), MG_INSTANT(now), expires_at == INT64_MAX ? MG_NULL : MG_INSTANT(expires_at),
                 MG_FLAG(keeps), it->sealed.length != 0 ? MG_BYTES(mg_buffer_view(&it->sealed)) : MG_NULL));
    TRY(settings_write(database, it->id, it->settings));
    /* What has arrived was judged by the settings before, by a certificate among them that may be a thief's.
     */
    if (it->before != NULL)
        TRY(mg_query(database, NULL, "DELETE FROM federation_arrival WHERE provider = $1", MG_I64(it->id)));
    if (mg_idp_is_saml(it->settings))
        TRY(mg_query(
            database, NULL,
            "UPDATE identity_provider SET certificate_ends_at = $2, certificate_told_at = NULL WHERE id = $1",
            MG_I64(it->id), MG_INSTANT(it->certificate_ends_at)));
    if (mg_idp_is_saml(it->settings) && it->before == NULL)
        TRY(saml_keys_add(database, it));
    /* Last, because the tenant's row is held from here on, and making keys takes its time. */
    TRY(roles_judge(database, it, ret_reason, ret_outcome));
    if (*ret_outcome != MG_GRANTED)
        return OK;
    TRY(difference(it->before != NULL ? it->before->settings : NULL, it->settings, request->with_secret,
                   &detail));
    const struct mg_core_detail details[] = {{"change", mg_view_start(mg_buffer_view(&detail), 1024)}};
    TRY(mg_core_record(
        &(struct mg_core_record){.event = MG_EVENT_idp_change,
                                 .tenant = it->asked.tenant.number,
                                 .actor = &it->asked.actor,
                                 .target = request->name,
                                 .reason = mg_view_text(it->before == NULL ? "ADDED" : "CHANGED"),
                                 .details = details,
                                 .detail_count = MG_COUNT(details)}));
    return mg_transaction_commit(&transaction);
}

/* The name, and what is there under it now. */
static CHECKED struct mg_status
setting_find(struct mg_database *database, struct setting *it, const char **ret_reason,
             enum mg_outcome *ret_outcome)
{
    OWN(rows) rows = NULL;
    const struct mg_request_idp_set *request = it->request;
    *ret_outcome = MG_NOT_VALID;
    *ret_reason = "PROVIDER_NAME|";
    if (!mg_idp_name_is_valid(request->name))
        return OK;
    const struct mg_status found = mg_idp_load(database, it->asked.tenant.number, request->name, &it->before);
    if (!mg_ok(found) && found.code != MG_NOT_FOUND)
        return found;
    *ret_reason = "";
    *ret_outcome = MG_TAKEN;
    if (it->before != NULL && request->add)
        return OK;
    *ret_outcome = MG_NOT_KNOWN;
    if (it->before == NULL && !request->add)
        return OK;
    if (it->before != NULL) {
        it->id = it->before->id;
    } else {
        TRY(mg_query(database, &rows,
                     "SELECT nextval(pg_get_serial_sequence('identity_provider', 'id')),"
                     " (SELECT count(*) FROM identity_provider WHERE tenant = $1)",
                     MG_I64(it->asked.tenant.number)));
        *ret_outcome = MG_NOT_VALID;
        *ret_reason = "PROVIDERS_MOST|";
        if (mg_rows_i64(rows, 0, 1) >= MG_IDPS_MOST)
            return OK;
        it->id = (uint64_t) mg_rows_i64(rows, 0, 0);
    }
    *ret_outcome = MG_GRANTED;
    return OK;
}

/* At least one certificate that may be used now: without it nobody could sign in. */
static CHECKED struct mg_status
certificates_judge(struct setting *it)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_saml_certificates reply;
    TRY(mg_saml_certificates_ask(it->settings, &storage, &reply));
    if (reply.refusal != MG_FEDERATION_NONE)
        return fail_with(INVALID, "OF_SETTING|saml.certificates|%s|%.*s",
                         mg_federation_refusal_name(reply.refusal), (int) reply.detail.length,
                         (const char *) reply.detail.bytes);
    it->certificate_ends_at = reply.first_ends_at;
    return OK;
}

static CHECKED struct mg_status
setting_judge(struct setting *it, char reason[256], enum mg_outcome *ret_outcome)
{
    const struct mg_request_idp_set *request = it->request;
    const bool keeps = it->before != NULL && !request->with_secret;
    const bool with_secret = keeps ? it->before->secret_sealed.length != 0 : request->secret.length != 0;
    struct mg_status judged = settings_read(request->settings, &it->settings);
    if (mg_ok(judged))
        judged = mg_idp_settings_judge(it->settings, with_secret);
    if (mg_ok(judged) && it->before != NULL && strcmp(it->before->settings->kind, it->settings->kind) != 0)
        judged = fail_with(INVALID, "KIND_CHANGED|");
    if (mg_ok(judged) && mg_idp_is_saml(it->settings))
        judged = certificates_judge(it);
    if (judged.code == MG_INVALID) {
        *ret_outcome = MG_NOT_VALID;
        (void) snprintf(reason, 256, "%.255s", judged.detail);
        return OK;
    }
    return judged;
}

MG_HANDLER_PUBLIC(idp_set)
{
    OWN(database) database = NULL;
    MG_CLEANUP(setting_drop) struct setting it = {.request = request, .sealed = MG_BUFFER(4096)};
    enum mg_outcome outcome;
    const char *known = "";
    char reason[256] = "";
    MG_IDP_ASK(idp_set, call, request, &it.asked, &outcome);
    if (outcome == MG_GRANTED && !mg_idp_holds_enough(&it.asked))
        outcome = MG_NOT_ALLOWED;
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        TRY(setting_find(database, &it, &known, &outcome));
        (void) snprintf(reason, sizeof reason, "%s", known);
    }
    if (outcome == MG_GRANTED)
        TRY(setting_judge(&it, reason, &outcome));
    if (outcome != MG_GRANTED)
        return mg_answer_idp_set(
            call, &(struct mg_reply_idp_set){.outcome = outcome, .reason = mg_view_text(reason)});
    if (request->with_secret && request->secret.length != 0)
        TRY(secret_seal(it.asked.tenant.number, it.id, request->secret, &it.sealed));
    const struct mg_status written = setting_write(database, &it, &known, &outcome);
    mg_idp_changed();
    if (written.code == MG_EXISTS)
        return mg_answer_idp_set(call, &(struct mg_reply_idp_set){.outcome = MG_TAKEN});
    TRY(written);
    if (outcome != MG_GRANTED)
        return mg_answer_idp_set(
            call, &(struct mg_reply_idp_set){.outcome = outcome, .reason = mg_view_text(known)});
    mg_idp_looked_note(it.id, MG_FEDERATION_NONE, MG_VIEW_EMPTY); /* what was seen was of other settings */
    /* Whoever moves the issuer makes the old links somebody else's: they go, and with them what they gave. */
    const bool moved = it.before != NULL && strcmp(it.before->settings->issuer, it.settings->issuer) != 0;
    if (moved || mg_idp_expires_at(it.settings) <= mg_now()) {
        uint64_t ended = 0;
        if (moved)
            TRY(mg_query(database, NULL, "DELETE FROM account_link WHERE provider = $1", MG_I64(it.id)));
        TRY(mg_idp_families_end(database, it.id, MG_VIEW_EMPTY, MG_VIEW_EMPTY, &ended));
    }
    return mg_answer_idp_set(call, &(struct mg_reply_idp_set){.outcome = MG_GRANTED});
}

/* ---- metadata of a SAML provider ---- */

static CHECKED struct mg_status
metadata_list(const struct mg_reply_saml_metadata *from, struct mg_buffer *list)
{
    const struct {
        const char *keyword;
        struct mg_view value;
    } rows[] = {{"kind", mg_view_text("saml")},
                {"issuer", from->issuer},
                {"saml.sign_in_url", from->sign_in_url},
                {"saml.binding", mg_view_text(from->post ? "post" : "redirect")},
                {"saml.sign_requests", mg_view_text(from->wants_signed ? "yes" : "no")},
                {"saml.sign_out_url", from->sign_out_url},
                {"saml.sign_out_answer_url", from->sign_out_answer_url},
                {"saml.certificates", from->certificates}};
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        const struct mg_record_idp_setting row = {.keyword = mg_view_text(rows[i].keyword),
                                                  .value = rows[i].value};
        TRY(mg_list_add_idp_setting(list, &row));
    }
    return OK;
}

static struct mg_status
metadata_task(const void *copy, struct mg_call *call, bool *ret_answered)
{
    const struct mg_request_idp_metadata *request = copy;
    OWN_BUFFER(storage, MG_PACKET_MOST);
    OWN_BUFFER(list, 16384);
    struct mg_right asked;
    enum mg_outcome outcome;
    struct mg_reply_saml_metadata found;
    MG_IDP_ASK(idp_metadata, call, request, &asked, &outcome);
    struct mg_reply_idp_metadata reply = {.outcome = outcome};
    if (outcome == MG_GRANTED) {
        const struct mg_request_saml_metadata ask = {.document = request->document, .url = request->url};
        TRY(mg_call_saml_metadata(&ask, &found, &storage, MG_FEDERATION_CALL_MS));
        reply.refusal = found.refusal;
        reply.detail = found.detail;
        if (found.refusal == MG_FEDERATION_NONE)
            TRY(metadata_list(&found, &list));
        reply.settings = (struct mg_list){.bytes = mg_buffer_view(&list)};
    }
    TRY(mg_answer_idp_metadata(call, &reply));
    *ret_answered = true;
    return OK;
}

MG_HANDLER_PUBLIC(idp_metadata)
{
    uint64_t tenant = 0; /* whose threads it counts against */
    TRY(mg_right_tenant(call, request->session, request->tenant, &tenant));
    return mg_federation_work(tenant, metadata_task, request, sizeof *request, call);
}

/* ---- enable, disable, remove ---- */

enum { ENABLE = 1, DISABLE, REMOVE };

MG_HANDLER_PUBLIC(idp_change)
{
    static const char *const reasons[] = {[ENABLE] = "ENABLED", [DISABLE] = "DISABLED", [REMOVE] = "REMOVED"};
    OWN(database) database = NULL;
    OWN(idp) idp = NULL;
    struct mg_right asked;
    enum mg_outcome outcome;
    uint64_t ended = 0;
    if (request->change < ENABLE || request->change > REMOVE)
        return mg_answer_idp_change(call, &(struct mg_reply_idp_change){.outcome = MG_NOT_VALID});
    MG_IDP_ASK(idp_change, call, request, &asked, &outcome);
    if (outcome == MG_GRANTED && request->change == ENABLE && !mg_idp_holds_enough(&asked))
        outcome = MG_NOT_ALLOWED;
    if (outcome == MG_GRANTED) {
        TRY(mg_core_database(&database));
        const struct mg_status found = mg_idp_load(database, asked.tenant.number, request->name, &idp);
        if (found.code == MG_NOT_FOUND)
            outcome = MG_NOT_KNOWN;
        else
            TRY(found);
    }
    if (outcome != MG_GRANTED)
        return mg_answer_idp_change(call, &(struct mg_reply_idp_change){.outcome = outcome});
    TRY(mg_core_record(&(struct mg_core_record){.event = MG_EVENT_idp_change,
                                                .tenant = asked.tenant.number,
                                                .actor = &asked.actor,
                                                .target = request->name,
                                                .reason = mg_view_text(reasons[request->change])}));
    /* First nothing new begins, then what was given ends; only then the row goes. */
    TRY(mg_query(database, NULL, "UPDATE identity_provider SET enabled = $2, changed_at = $3 WHERE id = $1",
                 MG_I64(idp->id), MG_FLAG(request->change == ENABLE), MG_INSTANT(mg_now())));
    mg_idp_changed();
    if (request->change != ENABLE)
        TRY(mg_idp_families_end(database, idp->id, MG_VIEW_EMPTY, MG_VIEW_EMPTY, &ended));
    if (request->change == REMOVE)
        TRY(mg_query(database, NULL, "DELETE FROM identity_provider WHERE id = $1", MG_I64(idp->id)));
    mg_idp_changed();
    return mg_answer_idp_change(call, &(struct mg_reply_idp_change){.outcome = MG_GRANTED, .ended = ended});
}
