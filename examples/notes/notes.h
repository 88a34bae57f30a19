/* notes: a small application behind Masugata, and an example for whoever writes one. It has no
 * sign-in, no session and no user table of its own. What it does instead:
 *
 *   assertion.c  believes a request because of X-Masugata-Assertion: an ES256 JWT, checked against the
 *                published key set, for this tenant and this host, now
 *   key_set.c    fetches and keeps that key set
 *   store.c      keeps notes in its tenant's own database, with credentials that change under it
 *   page.c       HTML in Japanese and English that works without JavaScript
 *
 * It listens on a unix socket that only the gate can reach. */
#ifndef NOTES_H
#define NOTES_H

#include "ports/database.h"
#include "ports/translation.h"
#include "ports/web_server.h"

struct settings {
    const char *socket;      /* where to listen */
    const char *credentials; /* database.json */
    const char *issuer;      /* who signs assertions: "https://id.acme.localhost:8443" */
    const char *audience;    /* for whom: our hosts, with spaces between */
    const char *authority; /* PEM file of the CA that the issuer's certificate is from; NULL: the system's */
};
extern struct settings settings;

/* ---- key_set.c ---- */
/* The public key (x and y, 64 bytes) of `kid`. Fetches the set when it does not know the key, at most
 * every few seconds; NOT_FOUND, or UNAVAILABLE if the issuer does not answer. */
CHECKED struct mg_status key_find(struct mg_view kid, uint8_t ret_key[64]);

/* ---- assertion.c ---- */
struct identity {
    char subject[128], email[255], name[256], roles[512];
};
/* REFUSED unless the token is whole, signed, for us and valid now. */
CHECKED struct mg_status identity_of(struct mg_view token, mg_instant now, struct identity *ret_identity);

/* ---- store.c ---- */
struct note {
    int64_t number;
    mg_instant at;
    bool own;
    char author[256];
    char text[2001];
};
#define NOTES_SHOWN 50
#define NOTE_BYTES 2000

CHECKED struct mg_status store_open(const char *credentials_path);
CHECKED struct mg_status store_list(const struct identity *reader, struct note notes[NOTES_SHOWN],
                                    size_t *ret_count);
CHECKED struct mg_status store_add(const struct identity *author, struct mg_view text);
/* Only one's own; somebody else's stays. */
CHECKED struct mg_status store_remove(const struct identity *author, int64_t number);
/* The database role we are connected as now, to show that it changes. */
CHECKED struct mg_status store_role(char role[64]);

/* ---- page.c ---- */
CHECKED struct mg_status pages_open(void);
CHECKED struct mg_status page_notes(enum mg_language language, const struct identity *identity,
                                    const struct note *notes, size_t count, const char *role,
                                    struct mg_web_answer *answer);
/* A page with one message; `title` and `text` are English keys. */
CHECKED struct mg_status page_message(enum mg_language language, unsigned status, const char *title,
                                      const char *text, struct mg_web_answer *answer);
CHECKED struct mg_status page_style(struct mg_web_answer *answer);

#endif
