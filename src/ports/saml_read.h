/* What a SAML identity provider sends: responses, sign-outs, metadata, as fixed fields. Every text is
 * bounded, UTF-8 and without control characters. Facts about a person are read from the canonical bytes that
 * a key of the provider signed and from nothing else. */
#ifndef MG_PORTS_SAML_READ_H
#define MG_PORTS_SAML_READ_H

#include "domain/saml.h"
#include "ports/saml_signature.h"

#define MG_SAML_WRAPPED_MOST 1024
#define MG_SAML_GROUPS_BYTES 8192
#define MG_SAML_METADATA_BYTES MG_XML_MOST

/* Once in a process, before it is sealed and before it has threads. */
CHECKED struct mg_status mg_saml_start(void);

/* Names of attributes; empty: the usual ones for address and name, the NameID for the subject, none for
 * groups. The name "NameID" means the NameID. */
struct mg_saml_wishes {
    const char *subject, *email, *name, *groups;
};

/* Lists have one entry a line. Times in seconds since 1970, -1 when absent. */
struct mg_saml_texts {
    char identifier[256], issuer[512], response_issuer[512], subject[256];
    char name_id[256], name_format[128], qualifier[512], sp_qualifier[512];
    char audiences[2048], recipient[512], destination[512], in_response_to[128], response_in_response_to[128];
    char session_index[256], acr[256], email[255], name[255];
    bool response_signed, encrypted;
    int64_t issued_s, not_before_s, expires_s, confirmation_expires_s, authenticated_s, session_expires_s;
    struct mg_saml_signed signature;
    struct mg_buffer groups;
};
void mg_saml_texts_drop(struct mg_saml_texts *texts);

/* An assertion that only its recipient's key opens: the wrapped content key, and how it was wrapped. */
struct mg_saml_wrapped {
    size_t length; /* 0: nothing was encrypted */
    uint8_t bytes[MG_SAML_WRAPPED_MOST];
    enum mg_saml_oaep oaep;
};

/* Reads a response (XML). With refusal NONE either *ret_texts is complete, or ret_wrapped->length says that
 * the content key is needed: then the same again with it. */
CHECKED struct mg_status mg_saml_response_read(struct mg_view xml, const struct mg_saml_keys *keys,
                                               const struct mg_saml_wishes *wishes,
                                               struct mg_view content_key, struct mg_saml_texts *ret_texts,
                                               struct mg_saml_wrapped *ret_wrapped,
                                               enum mg_federation_refusal *ret_refusal, char detail[128]);

struct mg_saml_logout {
    bool is_request;
    char identifier[128], issuer[512], destination[512], name_id[256], name_format[128], session_index[256];
    char relay_state[1024]; /* of the redirect binding */
    int64_t issued_s, expires_s;
};
/* The query of the redirect binding (Bindings section 3.4.4.1). */
CHECKED struct mg_status mg_saml_logout_query(struct mg_view query, const struct mg_saml_keys *keys,
                                              struct mg_saml_logout *ret_logout,
                                              enum mg_federation_refusal *ret_refusal, char detail[128]);
/* The message of the POST binding, XML. */
CHECKED struct mg_status mg_saml_logout_message(struct mg_view xml, const struct mg_saml_keys *keys,
                                                struct mg_saml_logout *ret_logout,
                                                enum mg_federation_refusal *ret_refusal, char detail[128]);

struct mg_saml_provider {
    char issuer[512], sign_in_url[1024], sign_out_url[1024], sign_out_answer_url[1024];
    bool post;               /* no redirect binding for sign-in */
    bool wants_signed;       /* WantAuthnRequestsSigned (Metadata section 2.4.3) */
    char certificates[8192]; /* DER in base64, words */
};
/* Metadata section 2; METADATA with what is missing in `detail`. */
enum mg_federation_refusal mg_saml_metadata_read(struct mg_view bytes, mg_instant now,
                                                 struct mg_saml_provider *ret_provider, char detail[128]);

#endif
