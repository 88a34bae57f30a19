/* Our keys at SAML providers. A private key comes with each request, sealed by this process for itself: no
 * other opens it (domain/field.c, table saml_key). What is signed is built here from fixed fields; what is
 * unwrapped is a content key, by OAEP alone. */
#include "domain/saml.h"
#include "domain/field.h"
#include "ports/rsa_key.h"
#include "process/keys/keys.h"

#include <inttypes.h>
#include <stdio.h>

enum { YEARS = 10, SIGNING = 1, DECRYPTING = 2 };

static CHECKED struct mg_status
place_of(uint64_t tenant, uint64_t provider, uint64_t use, char row[24], struct mg_field_place *ret_place)
{
    if (tenant == 0 || provider == 0 || (use != SIGNING && use != DECRYPTING))
        return fail_with(INVALID, "a SAML key is for one tenant, one provider and one use");
    (void) snprintf(row, 24, "%" PRIu64, provider);
    *ret_place = (struct mg_field_place){.tenant = tenant,
                                         .table = mg_view_text("saml_key"),
                                         .column = mg_view_text(use == SIGNING ? "signing" : "decrypting"),
                                         .row = mg_view_text(row)};
    return OK;
}

/* Counted, like every opening. */
static CHECKED struct mg_status
key_open(const struct mg_call *call, uint64_t tenant, uint64_t provider, uint64_t use, struct mg_view sealed,
         struct mg_secret **ret_key)
{
    struct mg_field_place place;
    char row[24];
    bool stale = false;
    TRY(place_of(tenant, provider, use, row, &place));
    const struct mg_view purpose = mg_view_text(use == SIGNING ? "SAML signature" : "SAML content key");
    TRY(mg_keys_note_use(mg_call_sender(call), tenant, place.table, place.column, purpose, false));
    const struct mg_status status = mg_keys_field_open(&place, sealed, ret_key, &stale);
    if (status.code == MG_INTEGRITY)
        TRY(mg_keys_note_use(mg_call_sender(call), tenant, place.table, place.column, purpose, true));
    return status;
}

MG_HANDLER_PUBLIC(saml_key)
{
    TRY(mg_keys_limit(call, MG_REQUEST_saml_key));
    OWN(secret) key = NULL;
    OWN_BUFFER(sealed, 4096);
    OWN_BUFFER(certificate, 2048);
    struct mg_field_place place;
    char row[24];
    TRY(place_of(request->tenant, request->provider, request->use, row, &place));
    TRY(mg_rsa_key_new(&key));
    const mg_instant now = mg_now();
    TRY(mg_rsa_certificate(mg_secret_view(key), request->entity, now, YEARS, &certificate));
    TRY(mg_keys_field_seal(&place, mg_secret_view(key), &sealed));
    return mg_answer_saml_key(call,
                              &(struct mg_reply_saml_key){.sealed = mg_buffer_view(&sealed),
                                                          .certificate = mg_buffer_view(&certificate),
                                                          .ends_at = now + YEARS * 365LL * 86400 * 1000});
}

/* RSA with SHA-256 over the query's text (Bindings section 3.4.4.1). */
static CHECKED struct mg_status
query_make(const struct mg_request_saml_sign *request, struct mg_view key, mg_instant now,
           struct mg_buffer *query)
{
    OWN_BUFFER(xml, MG_SAML_XML_MOST);
    OWN_BUFFER(text, 1024);
    uint8_t signature[MG_RSA_SIGNATURE_BYTES];
    TRY(mg_saml_message(request, now, MG_VIEW_EMPTY, &xml));
    TRY(mg_saml_redirect_input(request, mg_buffer_view(&xml), query));
    TRY(mg_rsa_sign(key, mg_buffer_view(query), signature));
    TRY(mg_base64(mg_view_of(signature, sizeof signature), &text));
    TRY(mg_buffer_add_text(query, "&Signature="));
    return mg_buffer_add_encoded(query, mg_buffer_view(&text));
}

/* An enveloped signature: over the message as it is without it. */
static CHECKED struct mg_status
message_make(const struct mg_request_saml_sign *request, struct mg_view key, mg_instant now,
             struct mg_buffer *message)
{
    OWN_BUFFER(xml, 2 * MG_SAML_XML_MOST);
    OWN_BUFFER(information, 2048);
    OWN_BUFFER(element, 4096);
    uint8_t digest[MG_HASH_BYTES], signature[MG_RSA_SIGNATURE_BYTES];
    TRY(mg_saml_message(request, now, MG_VIEW_EMPTY, &xml));
    TRY(mg_sha256(mg_buffer_view(&xml), digest));
    TRY(mg_saml_signed_info(request->identifier, digest, true, &information));
    TRY(mg_rsa_sign(key, mg_buffer_view(&information), signature));
    TRY(mg_saml_signature(request->identifier, digest, mg_view_of(signature, sizeof signature), &element));
    mg_buffer_clear(&xml);
    TRY(mg_saml_message(request, now, mg_buffer_view(&element), &xml));
    return mg_base64(mg_buffer_view(&xml), message);
}

MG_HANDLER_PUBLIC(saml_sign)
{
    TRY(mg_keys_limit(call, MG_REQUEST_saml_sign));
    TRY(mg_saml_fields_check(request));
    OWN(secret) key = NULL;
    OWN_BUFFER(query, 32768);
    OWN_BUFFER(message, 16384);
    const mg_instant now = mg_now();
    TRY(key_open(call, request->tenant, request->provider, SIGNING, request->sealed, &key));
    TRY(request->post ? message_make(request, mg_secret_view(key), now, &message)
                      : query_make(request, mg_secret_view(key), now, &query));
    return mg_answer_saml_sign(call, &(struct mg_reply_saml_sign){.query = mg_buffer_view(&query),
                                                                  .message = mg_buffer_view(&message)});
}

MG_HANDLER_PUBLIC(saml_unwrap)
{
    static const struct {
        const char *digest, *mask;
    } ways[] = {[MG_SAML_OAEP_SHA1] = {"SHA1", "SHA1"},
                [MG_SAML_OAEP_SHA256] = {"SHA256", "SHA1"},
                [MG_SAML_OAEP_SHA256_BOTH] = {"SHA256", "SHA256"}};
    TRY(mg_keys_limit(call, MG_REQUEST_saml_unwrap));
    if (request->oaep < MG_SAML_OAEP_SHA1 || request->oaep > MG_SAML_OAEP_SHA256_BOTH)
        return fail_with(INVALID, "content keys are wrapped by OAEP");
    OWN(secret) key = NULL;
    OWN(secret) content = NULL;
    TRY(key_open(call, request->tenant, request->provider, DECRYPTING, request->sealed, &key));
    /* What somebody else wrapped, or nobody, is the sender's to refuse: an empty answer, and no reason why.
     */
    const struct mg_status opened =
        mg_rsa_unwrap(mg_secret_view(key), request->wrapped, ways[request->oaep].digest,
                      ways[request->oaep].mask, &content);
    if (!mg_ok(opened) && opened.code != MG_INTEGRITY)
        return opened;
    return mg_answer_saml_unwrap(
        call, &(struct mg_reply_saml_unwrap){.key = mg_ok(opened) ? mg_secret_view(content) : MG_VIEW_EMPTY});
}
