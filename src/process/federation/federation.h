/* Shared by the files of the federation process: what is known of each provider, and fetching. */
#ifndef MG_PROCESS_FEDERATION_H
#define MG_PROCESS_FEDERATION_H

#include "ports/jose.h"
#include "ports/oidc_document.h"
#include "ports/outbound.h"
#include "process/runtime/runtime.h"

/* A refusal with what happened, as replies carry it. */
struct finding {
    enum mg_federation_refusal refusal;
    char detail[512];
};
static inline bool
is_fine(const struct finding *finding)
{
    return finding->refusal == MG_FEDERATION_NONE;
}

/* ---- provider.c: what providers publish, kept for a while ---- */
struct provider;
/* The provider of this issuer; with a certificate the drill's own (domain/drill.h), which is reached on this
 * machine and believed by that certificate alone, as nothing else is. BUSY when too much is under way with
 * it, so that a slow one does not hold up the others. Give it back: MG_CLEANUP(provider_leave) struct
 * provider *provider = NULL; */
CHECKED struct mg_status provider_enter(struct mg_view issuer, struct mg_view drill_certificate,
                                        struct provider **ret_provider);
/* How it is fetched from. */
const struct mg_outbound_rules *provider_rules(const struct provider *provider);
void provider_leave(struct provider **provider);
/* The discovery document, fetched when it is older than an hour or `fresh` is asked for. */
CHECKED struct mg_status provider_discover(struct provider *provider, bool fresh,
                                           struct mg_oidc_discovery *ret_discovery, struct finding *finding);
/* Checks a token with the provider's keys; a key that is not known has the key set fetched again, at most
 * every half minute. */
CHECKED struct mg_status provider_verify(struct provider *provider, struct mg_view token,
                                         enum mg_jwt_type type, struct mg_buffer *payload,
                                         struct mg_jwt_head *ret_head, struct finding *finding);
CHECKED struct mg_status provider_keys_describe(struct provider *provider, bool fresh, struct mg_buffer *text,
                                                struct finding *finding);

/* ---- main.c ---- */
extern struct mg_outbound_rules federation_rules;
/* A GET or, with a form, a POST; a refusal of the fetch goes into the finding. */
CHECKED struct mg_status federation_fetch(const struct mg_outbound_rules *rules,
                                          const struct mg_outbound_request *request,
                                          struct mg_outbound_answer *ret_answer, struct finding *finding);

MG_HANDLER_DECLARE(oidc_begin)
MG_HANDLER_DECLARE(oidc_finish)
MG_HANDLER_DECLARE(oidc_logout)
MG_HANDLER_DECLARE(oidc_look)
MG_HANDLER_DECLARE(saml_read)
MG_HANDLER_DECLARE(saml_logout)
MG_HANDLER_DECLARE(saml_metadata)
MG_HANDLER_DECLARE(saml_certificates)

/* ---- passkey.c ---- */
MG_HANDLER_DECLARE(passkey_creation_read)
MG_HANDLER_DECLARE(passkey_use_read)

#endif
