/* What browsers and authenticators send when a passkey is set up or used. The first byte chooses the reader.
 */
#include "ports/webauthn.h"
#include "ports/cbor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
creation_try(struct mg_view input)
{
    struct mg_webauthn_creation creation;
    char detail[128];
    const struct mg_view client =
        mg_view_text("{\"type\":\"webauthn.create\",\"challenge\":\"AA\",\"origin\":\"https://a\"}");
    if (mg_webauthn_creation_read(input, client, &creation, detail) != MG_PASSKEY_NONE)
        return;
    mg_must(creation.credential.length >= 1 && creation.credential.length <= MG_WEBAUTHN_CREDENTIAL_BYTES);
    mg_must(creation.credential.bytes > input.bytes &&
            creation.credential.bytes + creation.credential.length <= input.bytes + input.length);
    mg_must(mg_passkey_algorithm_allowed(creation.algorithm));
    mg_must(mg_passkey_key_is_sound(creation.algorithm, mg_view_of(creation.key, creation.key_length)));
    mg_must((creation.head.flags & MG_PASSKEY_ATTESTED) != 0);
    /* Nobody here can sign for the keys of the seeds over this client data. */
    mg_must(creation.attestation == MG_ATTESTATION_NONE);
}

static void
client_try(struct mg_view input)
{
    struct mg_webauthn_client client;
    if (mg_webauthn_client_read(input, &client) != MG_PASSKEY_NONE)
        return;
    mg_must(client.challenge_length <= sizeof client.challenge && strlen(client.type) < sizeof client.type &&
            strlen(client.origin) < sizeof client.origin);
}

static void
signature_try(struct mg_view input)
{
    static const int64_t algorithms[] = {MG_COSE_ES256, MG_COSE_EDDSA, MG_COSE_RS256, 0};
    OWN_BUFFER(plain, MG_WEBAUTHN_SIGNATURE_BYTES);
    if (input.length == 0)
        return;
    const int64_t algorithm = algorithms[input.bytes[0] % MG_COUNT(algorithms)];
    if (mg_webauthn_signature_read(algorithm, mg_view_of(input.bytes + 1, input.length - 1), &plain) ==
        MG_PASSKEY_NONE)
        mg_must(algorithm != MG_COSE_ES256 || plain.length == 64);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct mg_view input = mg_view_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0:
        creation_try(input);
        break;
    case 1:
        client_try(input);
        break;
    case 2:
        (void) mg_webauthn_use_read(input);
        break;
    case 3:
        signature_try(input);
        break;
    default: {
        const size_t before = input.length;
        if (mg_ok(mg_cbor_skip(&input)))
            mg_must(input.length < before);
        break;
    }
    }
    return 0;
}
