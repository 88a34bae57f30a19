/* What an OpenID provider sends besides signatures: its discovery document (OpenID Connect Discovery 1.0),
 * the answer of its token endpoint (RFC 6749 section 5), and the claims of tokens, as fixed fields. Every
 * text is bounded, UTF-8 and without control characters; a claim of another type than the standard's is a
 * refusal, not a guess. */
#ifndef MG_PORTS_OIDC_DOCUMENT_H
#define MG_PORTS_OIDC_DOCUMENT_H

#include "base/bytes.h"
#include "domain/federation_refusal.h"

#define MG_OIDC_DOCUMENT_BYTES 65536
#define MG_OIDC_URL_MOST 1023

struct mg_oidc_discovery {
    char issuer[512];
    char authorization_endpoint[MG_OIDC_URL_MOST + 1], token_endpoint[MG_OIDC_URL_MOST + 1],
        jwks_uri[MG_OIDC_URL_MOST + 1];
    char userinfo_endpoint[MG_OIDC_URL_MOST + 1],
        end_session_endpoint[MG_OIDC_URL_MOST + 1]; /* may be empty */
    bool response_issuer; /* authorization_response_iss_parameter_supported, RFC 9207 */
    bool back_channel, front_channel;
    char algorithms[256], authentications[256]; /* words with spaces; empty: not said */
};
/* DISCOVERY or DISCOVERY_ISSUER when it cannot be used for this issuer; `detail` says which member. */
enum mg_federation_refusal mg_oidc_discovery_read(struct mg_view json, const char *issuer,
                                                  struct mg_oidc_discovery *ret_discovery, char detail[128]);

struct mg_oidc_tokens {
    struct mg_buffer id_token, access_token; /* the second may be empty */
};
void mg_oidc_tokens_drop(struct mg_oidc_tokens *tokens);
/* `ok`: the status was 200. TOKEN_REQUEST with the provider's error code in `detail`. */
enum mg_federation_refusal mg_oidc_tokens_read(struct mg_view json, bool ok,
                                               struct mg_oidc_tokens *ret_tokens, char detail[128]);

/* Claims as texts; lists have one entry a line. Times in seconds since 1970, -1 when absent. */
struct mg_oidc_texts {
    char issuer[512], subject[256], audiences[2048], authorized_party[256], nonce[129], acr[256];
    char methods[512]; /* amr */
    char sid[256], identifier[256];
    char email[255], name[255];
    bool email_verified, logout_event, has_nonce;
    int64_t expires_s, issued_s, not_before_s, authenticated_s;
    struct mg_buffer groups;
};
void mg_oidc_texts_drop(struct mg_oidc_texts *texts);
/* TOKEN_CLAIMS and the claim's name in `detail`. `groups_claim` may be empty. */
enum mg_federation_refusal mg_oidc_claims_read(struct mg_view json, const char *groups_claim,
                                               struct mg_oidc_texts *ret_texts, char detail[128]);
/* What the userinfo endpoint adds, for what the token did not say: name, address, groups. USER_INFORMATION
 * unless it is about the same subject (Core 5.3.2). */
enum mg_federation_refusal mg_oidc_userinfo_read(struct mg_view json, const char *groups_claim,
                                                 struct mg_oidc_texts *texts, char detail[128]);

/* An https URL of printable ASCII without user and fragment, which may stand in a header or a request. */
bool mg_oidc_url_is_plain(const char *url);

#endif
