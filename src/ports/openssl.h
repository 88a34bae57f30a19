/* OpenSSL objects under our ownership rules, and its error queue as a status. */
#ifndef MG_PORTS_OPENSSL_H
#define MG_PORTS_OPENSSL_H

#include "base/bytes.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define MG_OPENSSL_OWN(type, name, release)            \
    static inline void mg_##name##_drop(type **object) \
    {                                                  \
        release(*object);                              \
        *object = NULL;                                \
    }
MG_OPENSSL_OWN(X509, x509, X509_free)
MG_OPENSSL_OWN(EVP_PKEY, pkey, EVP_PKEY_free)
MG_OPENSSL_OWN(BIO, bio, BIO_free_all)
MG_OPENSSL_OWN(GENERAL_NAMES, general_names, GENERAL_NAMES_free)
static inline void
mg_x509_chain_drop(STACK_OF(X509) * *chain)
{
    sk_X509_pop_free(*chain, X509_free);
    *chain = NULL;
}

#define OWN_X509 MG_CLEANUP(mg_x509_drop) X509 *
#define OWN_PKEY MG_CLEANUP(mg_pkey_drop) EVP_PKEY *
#define OWN_BIO MG_CLEANUP(mg_bio_drop) BIO *
#define OWN_GENERAL_NAMES MG_CLEANUP(mg_general_names_drop) GENERAL_NAMES *
#define OWN_X509_CHAIN MG_CLEANUP(mg_x509_chain_drop) STACK_OF(X509) *

/* fail_openssl("read the key"): CRYPTO with the reason OpenSSL gave; empties its error queue. */
#define fail_openssl(what)                                                                              \
    __extension__({                                                                                     \
        const char *mg_reason_ = ERR_reason_error_string(ERR_peek_last_error());                        \
        ERR_clear_error();                                                                              \
        mg_fail_with(MG_CRYPTO, MG_HERE, "%s: %s", (what), mg_reason_ == NULL ? "failed" : mg_reason_); \
    })

#endif
