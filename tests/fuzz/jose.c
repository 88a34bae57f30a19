/* What an identity provider sends that is signed: key sets and tokens. The first byte chooses; a token is
 * tried with one key of each kind, and must never be let in, because nobody here has the private ones. */
#include "ports/jose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char known[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"p\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z"
    "wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINH"
    "aQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\"}]}";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct mg_view input = mg_view_of(data + 1, size - 1);
    OWN(jwks) keys = NULL;
    if (data[0] % 3 == 0) {
        OWN_BUFFER(text, 65536);
        if (!mg_ok(mg_jwks_parse(input, &keys)))
            return 0;
        mg_must(mg_jwks_count(keys) <= MG_JWKS_KEYS_MOST);
        (void) mg_jwks_describe(keys, &text).code;
        return 0;
    }
    OWN_BUFFER(payload, MG_JWT_PAYLOAD_BYTES);
    struct mg_jwt_head head = {.algorithm = ""};
    enum mg_federation_refusal refusal = MG_FEDERATION_NONE;
    mg_must(mg_ok(mg_jwks_parse(mg_view_text(known), &keys)) && mg_jwks_count(keys) == 3);
    mg_must(mg_ok(mg_jwt_verify(input, data[0] % 3 == 1 ? MG_JWT_ID_TOKEN : MG_JWT_LOGOUT_TOKEN, keys,
                                &payload, &head, &refusal)));
    /* The known keys are those of RFC 8037, 7515 and 7517: seeds may hold their published signatures over
     * other inputs, which is why a right one is possible only for a payload that is no set of claims of ours.
     */
    if (refusal != MG_FEDERATION_NONE)
        mg_must(payload.length == 0);
    return 0;
}
