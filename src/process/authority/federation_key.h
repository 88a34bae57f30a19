/* Our own keys at a SAML provider: made when it is added, rolled over by its administrators
 * (domain/saml_key.h). The private halves are sealed for the keys process, which alone opens them. */
#ifndef MG_PROCESS_AUTHORITY_FEDERATION_KEY_H
#define MG_PROCESS_AUTHORITY_FEDERATION_KEY_H

#include "process/authority/federation.h"

/* One pair for signing and one for decrypting; views borrow the rows that they were read from. */
struct mg_saml_key_pairs {
    struct mg_view signing_sealed, signing_certificate, encryption_sealed, encryption_certificate;
    mg_instant ends_at;
};

/* `now` signs; `other` is the one that came before or comes next, with `rolling`. */
struct mg_saml_own_keys {
    struct mg_saml_key_pairs now, other;
    bool rolling;
    bool switched;       /* the new ones sign, `other` are the old ones */
    mg_instant signs_at; /* from when the new one signs; 0: nobody has said */
};

CHECKED struct mg_status mg_saml_keys_make(struct mg_database *database, uint64_t provider, uint64_t tenant,
                                           const char *entity);
CHECKED struct mg_status mg_saml_keys_load(struct mg_database *database, uint64_t provider, mg_instant now,
                                           struct mg_rows **ret_rows, struct mg_saml_own_keys *ret_keys);
/* The content key that a provider wrapped for one of our keys: empty if for none. */
CHECKED struct mg_status mg_saml_unwrap_ask(struct mg_database *database, const struct mg_idp *idp,
                                            struct mg_view wrapped, uint64_t oaep, struct mg_buffer *storage,
                                            struct mg_reply_saml_unwrap *ret_reply);
/* Tells of keys of ours that end soon. */
CHECKED struct mg_status mg_saml_keys_tell(struct mg_database *database, mg_instant now);

#endif
