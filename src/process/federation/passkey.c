/* The rows passkey_*_read: browsers' and authenticators' bytes into fixed fields. Whether they are worth
 * anything the authority decides, which checks the signature itself. */
#include "process/federation/federation.h"

#include "ports/webauthn.h"

MG_HANDLER_PUBLIC(passkey_creation_read)
{
    struct mg_webauthn_client client = {.type = ""};
    struct mg_webauthn_creation creation = {.credential = MG_VIEW_EMPTY};
    char detail[128] = "";
    enum mg_passkey_refusal refusal = mg_webauthn_client_read(request->client_data, &client);
    if (refusal == MG_PASSKEY_NONE)
        refusal = mg_webauthn_creation_read(request->attestation, request->client_data, &creation, detail);
    struct mg_reply_passkey_creation_read reply = {.refusal = refusal, .detail = mg_view_text(detail)};
    if (refusal != MG_PASSKEY_NONE)
        return mg_answer_passkey_creation_read(call, &reply);
    uint8_t head[37];
    memcpy(head, creation.head.rp_id_hash, 32);
    head[32] = creation.head.flags;
    for (size_t i = 0; i < 4; i++)
        head[33 + i] = (uint8_t) (creation.head.counter >> (24 - 8 * i));
    reply.type = mg_view_text(client.type);
    reply.challenge = mg_view_of(client.challenge, client.challenge_length);
    reply.origin = mg_view_text(client.origin);
    reply.cross_origin = client.cross_origin;
    reply.head = mg_view_of(head, sizeof head);
    reply.aaguid = mg_view_of(creation.aaguid, sizeof creation.aaguid);
    reply.credential = creation.credential;
    reply.algorithm = creation.algorithm;
    reply.key = mg_view_of(creation.key, creation.key_length);
    reply.attestation = creation.attestation;
    return mg_answer_passkey_creation_read(call, &reply);
}

MG_HANDLER_PUBLIC(passkey_use_read)
{
    OWN_BUFFER(signature, MG_WEBAUTHN_SIGNATURE_BYTES);
    struct mg_webauthn_client client = {.type = ""};
    enum mg_passkey_refusal refusal = mg_webauthn_client_read(request->client_data, &client);
    if (refusal == MG_PASSKEY_NONE)
        refusal = mg_webauthn_use_read(request->authenticator_data);
    if (refusal == MG_PASSKEY_NONE)
        refusal = mg_webauthn_signature_read(request->algorithm, request->signature, &signature);
    struct mg_reply_passkey_use_read reply = {.refusal = refusal};
    if (refusal == MG_PASSKEY_NONE) {
        reply.type = mg_view_text(client.type);
        reply.challenge = mg_view_of(client.challenge, client.challenge_length);
        reply.origin = mg_view_text(client.origin);
        reply.cross_origin = client.cross_origin;
        reply.signature = mg_buffer_view(&signature);
    }
    return mg_answer_passkey_use_read(call, &reply);
}
