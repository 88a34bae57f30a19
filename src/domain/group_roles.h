/* How groups become rights: one rule for a tenant's groups and for those that an identity provider names. */
#ifndef MG_DOMAIN_GROUP_ROLES_H
#define MG_DOMAIN_GROUP_ROLES_H

#include "base/bytes.h"

/* Words with single spaces between. Those of `roles` that no group gives stay, those that some group gives
 * (`governed`) stay or come only when one of the person's groups gives them (`given`). Appends words, each
 * once; TOO_LARGE past 1024 bytes. */
CHECKED struct mg_status mg_group_roles(struct mg_view roles, struct mg_view governed, struct mg_view given,
                                        struct mg_buffer *ret_roles);
/* Appends the words of `more` that are not there yet. */
CHECKED struct mg_status mg_words_join(struct mg_buffer *words, struct mg_view more);
bool mg_words_have(struct mg_view words, struct mg_view word);

#endif
