/* An identity provider of a tenant (catalogue/idp_options.def), and what follows from it: whether it may be
 * used, whose account a person is, which roles the groups give. */
#ifndef MG_DOMAIN_IDENTITY_PROVIDER_H
#define MG_DOMAIN_IDENTITY_PROVIDER_H

#include "domain/federation_refusal.h"
#include "wire/options.h"

struct mg_idp_settings {
#define IDP_OPTION(field, keyword, type, ...) MG_C_##type field;
#include "../../catalogue/idp_options.def"
#undef IDP_OPTION
};
extern const struct mg_option_row mg_idp_option_rows[];
extern const size_t mg_idp_option_count;

#define MG_IDP_NAME_MOST 31
#define MG_IDPS_MOST 32 /* of one tenant */

/* Lower-case letters, digits and inner hyphens: it is part of addresses. */
bool mg_idp_name_is_valid(struct mg_view name);

/* Owns its texts; all presets. */
CHECKED struct mg_status mg_idp_settings_new(struct mg_idp_settings **ret_settings);
void mg_idp_settings_drop(struct mg_idp_settings **settings);
/* INVALID says which keyword, what is wrong and what is allowed. */
CHECKED struct mg_status mg_idp_settings_set(struct mg_idp_settings *settings, struct mg_view keyword,
                                             struct mg_view value);
/* What single values cannot show; `with_secret`: a client secret is stored. INVALID with the reason. */
CHECKED struct mg_status mg_idp_settings_judge(const struct mg_idp_settings *settings, bool with_secret);
bool mg_idp_is_saml(const struct mg_idp_settings *settings);
/* When it ends; INT64_MAX for never. */
mg_instant mg_idp_expires_at(const struct mg_idp_settings *settings);

/* Whether a sign-in may go on with it at this moment. */
struct mg_idp_facts {
    bool enabled, tenant_open;
    mg_instant expires_at;
};
enum mg_federation_refusal mg_idp_judge(const struct mg_idp_facts *facts, mg_instant now);

/* True if the address lies in one of the provider's domains (without case, subdomains not included). */
bool mg_idp_has_domain_of(const struct mg_idp_settings *settings, struct mg_view email);

/* Whose account a person is, when the (provider, subject) pair is not linked yet. */
struct mg_idp_person {
    struct mg_view email; /* folded as a sign-in name; empty: none, or none that can be one */
    bool email_verified;
    bool account_exists; /* of that sign-in name, in the tenant */
    bool account_linked; /* and that account has another subject at this provider */
};
enum mg_idp_act { MG_IDP_REFUSE = 0, MG_IDP_LINK, MG_IDP_CREATE };
/* Never by an address that is not verified (or of a domain declared trusted). */
enum mg_idp_act mg_idp_first_sign_in(const struct mg_idp_settings *settings,
                                     const struct mg_idp_person *person,
                                     enum mg_federation_refusal *ret_refusal);

/* Appends every role that the settings may give to somebody, once. */
CHECKED struct mg_status mg_idp_roles_named(const struct mg_idp_settings *settings,
                                            struct mg_buffer *ret_roles);
/* The account's roles after a sign-in: those that groups.roles names follow the groups, the others stay.
 * `groups` is one group a line. Appends words with single spaces. */
CHECKED struct mg_status mg_idp_roles(const struct mg_idp_settings *settings, struct mg_view roles,
                                      struct mg_view groups, struct mg_buffer *ret_roles);

#endif
