/* Identity providers of the drill's tenant (domain/drill.h): what the probes of SAML and of OpenID Connect
 * share. They are set up at the front door by the probes' administrator of that tenant, like anybody's; their
 * keys are made for one look and then gone. */
#ifndef MG_PROBES_FEDERATION_H
#define MG_PROBES_FEDERATION_H

#include "ports/crypto.h"
#include "probes/probe.h"
#include "probes/visitor.h"

struct mg_federation_look {
    struct mg_observer *observer;
    struct mg_finding *finding;
    struct mg_visitor *administrator;
    struct mg_signing_key *key, *other; /* the provider's, and one that is nobody's */
    uint8_t secret[MG_KEY_BYTES];       /* of `key` */
    struct mg_buffer certificate;       /* of `key`, DER */
    char source[16];                    /* where its people come from */
};

/* Counts one try, and a break if it did not end as wanted. */
void mg_federation_judge(struct mg_federation_look *look, bool inside, bool wanted, const char *en,
                         const char *ja);
/* Whether the visitor has a session at the drill's tenant that is good for a page. */
CHECKED struct mg_status mg_federation_inside(struct mg_visitor *visitor, bool *ret_inside);
/* A form of the tenant's console that changes something: REFUSED unless it does. `fields` as for
 * mg_visitor_post. */
CHECKED struct mg_status mg_federation_post(struct mg_federation_look *look, const char *path,
                                            const char *const *fields);
/* "enabled" or "disabled". */
CHECKED struct mg_status mg_federation_switch(struct mg_federation_look *look, const char *provider,
                                              const char *to);
CHECKED struct mg_status mg_federation_is_there(struct mg_federation_look *look, const char *provider,
                                                bool *ret_there);
/* The form that the SAML provider's page sends, from another site: of a visitor's cookies it shows those that
 * may go anywhere; NULL: none. UNAVAILABLE or
 * TIMEOUT if the host does not answer. */
CHECKED struct mg_status mg_federation_send(struct mg_federation_look *look, struct mg_visitor *visitor,
                                            const char *host, struct mg_view response,
                                            const char *relay_state, struct mg_fetched *answer);
/* The customers (federation_customers.c): `wish` is an answer that the drill's tenant believes and nobody
 * else may. */
struct mg_forged_saml;
CHECKED struct mg_status mg_federation_customers(struct mg_federation_look *look,
                                                 const struct mg_forged_saml *wish);
/* The probe of OpenID Connect (federation_openid.c). */
CHECKED struct mg_status mg_federation_openid(struct mg_federation_look *look);
/* The value of that name in an address's query, decoded; NOT_FOUND if there is none. */
CHECKED struct mg_status mg_query_value(struct mg_view url, const char *name, struct mg_buffer *value);

#endif
