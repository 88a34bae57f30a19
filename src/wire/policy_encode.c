/* The authority's side of the policy snapshot. */
#include "wire/policy_layout.h"

#include "base/io.h"

#include <openssl/evp.h>
#include <stdlib.h>

static struct mg_status
put_text(struct mg_buffer *buffer, const char *text)
{
    return mg_put_text(buffer, mg_view_text(text), POLICY_TEXT_MOST);
}

static struct mg_status
put_networks(struct mg_buffer *buffer, const struct mg_policy_networks *networks)
{
    TRY(mg_put_flag(buffer, networks->restricted));
    TRY(mg_put_u64(buffer, networks->count));
    for (size_t i = 0; i < networks->count; i++) {
        TRY(mg_put_u64(buffer, networks->rows[i].address.high));
        TRY(mg_put_u64(buffer, networks->rows[i].address.low));
        TRY(mg_put_u64(buffer, networks->rows[i].prefix));
    }
    return OK;
}

static struct mg_status
put_tenant(struct mg_buffer *buffer, const struct mg_policy_tenant *tenant)
{
    TRY(mg_put_u64(buffer, tenant->id));
    TRY(put_text(buffer, tenant->name));
    TRY(mg_put_u64(buffer, tenant->state));
    TRY(mg_put_flag(buffer, tenant->maintenance));
    TRY(mg_put_u64(buffer, tenant->retry_after_s == 0 ? 60 : tenant->retry_after_s));
    TRY(mg_put_u64(buffer, (uint64_t) tenant->idle_ms / 1000));
    TRY(mg_put_u64(buffer, (uint64_t) tenant->absolute_ms / 1000));
    TRY(put_networks(buffer, &tenant->use));
    TRY(put_networks(buffer, &tenant->sign_in));
    TRY(put_networks(buffer, &tenant->administrators));
    TRY(mg_put_u64(buffer, tenant->csp_mode));
    for (size_t i = 0; i < MG_POLICY_HEADERS; i++) {
        TRY(mg_put_flag(buffer, tenant->headers[i] != NULL));
        TRY(put_text(buffer, tenant->headers[i]));
    }
    return put_text(buffer, tenant->script_cookies);
}

static struct mg_status
put_host(struct mg_buffer *buffer, const struct mg_policy_host *host)
{
    TRY(mg_put_u64(buffer, host->id));
    TRY(put_text(buffer, host->name));
    TRY(mg_put_u64(buffer, host->tenant_id));
    TRY(mg_put_u64(buffer, host->origin));
    TRY(put_text(buffer, host->upstream));
    TRY(put_text(buffer, host->audience));
    TRY(put_text(buffer, host->sign_in_origin));
    return mg_put_flag(buffer, host->forward_identity);
}

static struct mg_status
put_route(struct mg_buffer *buffer, const struct mg_policy_route *route)
{
    TRY(mg_put_u64(buffer, route->tenant_id));
    TRY(mg_put_u64(buffer, route->host_id));
    TRY(put_text(buffer, route->prefix));
    TRY(mg_put_flag(buffer, route->public));
    TRY(mg_put_u64(buffer, route->roles));
    TRY(put_networks(buffer, &route->networks));
    TRY(mg_put_flag(buffer, route->administrators_only_networks));
    TRY(mg_put_u64(buffer, route->fresh_s));
    TRY(mg_put_u64(buffer, route->second_factor_s));
    TRY(mg_put_flag(buffer, route->bearer));
    TRY(mg_put_flag(buffer, route->webhook));
    return put_text(buffer, route->cors_origins);
}

static struct mg_status
put_body(struct mg_buffer *buffer, const struct mg_policy *policy)
{
    TRY(mg_put_u64(buffer, policy->outage_ms <= 0 ? 15 * 60 * 1000 : (uint64_t) policy->outage_ms));
    TRY(put_networks(buffer, &policy->trusted_proxies));
    TRY(put_networks(buffer, &policy->operators));
    TRY(mg_put_u64(buffer, policy->tenant_count));
    for (size_t i = 0; i < policy->tenant_count; i++)
        TRY(put_tenant(buffer, &policy->tenants[i]));
    TRY(mg_put_u64(buffer, policy->host_count));
    for (size_t i = 0; i < policy->host_count; i++)
        TRY(put_host(buffer, &policy->hosts[i]));
    TRY(mg_put_u64(buffer, policy->route_count));
    for (size_t i = 0; i < policy->route_count; i++)
        TRY(put_route(buffer, &policy->routes[i]));
    return OK;
}

struct mg_status
mg_policy_digest(struct mg_view head, struct mg_view body, uint8_t digest[POLICY_DIGEST])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return fail(OUT_OF_MEMORY);
    const bool made = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                      EVP_DigestUpdate(context, head.bytes, head.length) == 1 &&
                      EVP_DigestUpdate(context, body.bytes, body.length) == 1 &&
                      EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    return made ? OK : fail(CRYPTO);
}

struct mg_status
mg_policy_encode(const struct mg_policy *policy, uint64_t generation, struct mg_buffer *buffer)
{
    OWN_BUFFER(body, MG_POLICY_MOST);
    TRY(put_body(&body, policy));
    OWN_BUFFER(head, POLICY_HEAD);
    TRY(mg_put_u64(&head, POLICY_MAGIC));
    TRY(mg_put_u64(&head, POLICY_VERSION));
    TRY(mg_put_u64(&head, generation));
    TRY(mg_put_u64(&head, body.length));
    uint8_t digest[POLICY_DIGEST];
    TRY(mg_policy_digest(mg_buffer_view(&head), mg_buffer_view(&body), digest));
    TRY(mg_buffer_add(buffer, mg_buffer_view(&head)));
    TRY(mg_buffer_add(buffer, mg_view_of(digest, sizeof digest)));
    return mg_buffer_add(buffer, mg_buffer_view(&body));
}

/* The generation in a policy file's head, 0 if there is no file or no head. */
static uint64_t
generation_at(const char *directory)
{
    OWN(gate_policy) existing = NULL;
    return mg_ok(mg_gate_policy_open(directory, 0, &existing)) ? existing->generation : 0;
}

struct mg_status
mg_policy_publish(const char *directory, gid_t group, struct mg_session_writer *writer,
                  const struct mg_policy *policy, uint64_t *ret_generation)
{
    uint64_t generation = mg_session_required_policy(writer);
    const uint64_t before = generation_at(directory);
    if (before > generation)
        generation = before;
    generation++;
    OWN_BUFFER(file, MG_POLICY_MOST);
    TRY(mg_policy_encode(policy, generation, &file));
    /* What a worker would refuse is refused here, before it replaces what works. */
    OWN(gate_policy) checked = NULL;
    TRY(mg_gate_policy_decode(mg_buffer_view(&file), &checked));
    char path[MG_PATH];
    TRY(mg_path_join(path, directory, "policy"));
    TRY(mg_file_replace_owned(path, mg_buffer_view(&file), 0640, (uid_t) -1, group));
    mg_session_require_policy(writer, generation);
    *ret_generation = generation;
    return OK;
}
