/* Secrets: memory that is locked, left out of core dumps and of children, and wiped. */
#ifndef MG_BASE_SECRET_H
#define MG_BASE_SECRET_H

#include "base/bytes.h"

/* Overwrites in a way the compiler keeps. */
void mg_wipe(void *bytes, size_t length);

/* Cryptographic random bytes (getrandom); a failure is a bug and stops the process. */
void mg_random(void *bytes, size_t length);

/* Opaque on purpose: it has no printer. */
struct mg_secret;

/* Length at most 64 KiB. */
CHECKED struct mg_status mg_secret_new(size_t length, struct mg_secret **ret_secret);
CHECKED struct mg_status mg_secret_copy(struct mg_view bytes, struct mg_secret **ret_secret);
CHECKED struct mg_status mg_secret_random(size_t length, struct mg_secret **ret_secret);
void mg_secret_drop(struct mg_secret **secret);
/* Writable bytes, valid until the drop. */
uint8_t *mg_secret_bytes(struct mg_secret *secret);
struct mg_view mg_secret_view(const struct mg_secret *secret);

/* An array on the stack that is wiped at scope end: OWN_KEY(name, 32). */
struct mg_wiper {
    void *bytes;
    size_t length;
};
void mg_wiper_drop(struct mg_wiper *wiper);
#define OWN_KEY(name, size)                                                      \
    uint8_t name[size];                                                          \
    MG_CLEANUP(mg_wiper_drop)                                                    \
    struct mg_wiper mg_wiper_##name = {.bytes = (name), .length = sizeof(name)}; \
    (void) mg_wiper_##name

#endif
