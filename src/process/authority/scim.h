/* SCIM and groups: what scim_*.c and groups.c share. JSON, filters and paths were read in the portal; here
 * come numbers and texts, which are judged again before they reach a statement. */
#ifndef MG_AUTHORITY_SCIM_H
#define MG_AUTHORITY_SCIM_H

#include "domain/scim_change.h"
#include "process/authority/rights.h"

/* Of scim_user_change and scim_group_change. */
enum mg_scim_act { MG_SCIM_CREATE = 1, MG_SCIM_REPLACE, MG_SCIM_PATCH, MG_SCIM_DELETE };

/* ---- scim_query.c: filters as statements ---- */

/* SQL text made of constant pieces, and its parameters: no text of a client is ever part of the statement. */
struct mg_scim_statement {
    struct mg_buffer sql;
    struct mg_value values[MG_VALUES_MOST];
    size_t count;
    struct mg_arena *arena; /* of folded values */
};
void mg_scim_statement_drop(struct mg_scim_statement *statement);
CHECKED struct mg_status mg_scim_statement_begin(struct mg_scim_statement *ret_statement);
/* Adds a parameter; *ret_number is that of its $. */
CHECKED struct mg_status mg_scim_value(struct mg_scim_statement *statement, struct mg_value value,
                                       size_t *ret_number);
/* Appends " AND (…)" for the filter; MALFORMED if it is not sound. Users are `acc`, groups `grp`. */
CHECKED struct mg_status mg_scim_where(struct mg_scim_statement *statement, enum mg_scim_resource resource,
                                       struct mg_list filter);
/* Appends " ORDER BY …"; by the number for an attribute without an order. */
CHECKED struct mg_status mg_scim_order(struct mg_scim_statement *statement, enum mg_scim_resource resource,
                                       uint64_t attribute, bool descending);
CHECKED struct mg_status mg_scim_run(struct mg_database *database, const struct mg_scim_statement *statement,
                                     struct mg_rows **ret_rows);

/* "3 7" has 7; an empty list has every one. */
bool mg_scim_version_fits(struct mg_view versions, uint64_t version);
/* One change of a request; MALFORMED for what no reader of ours makes. */
CHECKED struct mg_status mg_scim_change_next(struct mg_list *list, enum mg_scim_resource resource,
                                             struct mg_record_scim_change *ret_change, bool *ret_more);

/* ---- groups.c ---- */

struct mg_group {
    uint64_t id, version;
    struct mg_view name, external_id, roles; /* borrow the rows */
    mg_instant created_at, changed_at;
    uint64_t members;
    bool directory; /* a directory made it, or changed it since */
};
#define MG_GROUP_COLUMNS                                                                          \
    "grp.id, grp.version, grp.name, grp.external_id, grp.roles, grp.created_at, grp.changed_at, " \
    "(SELECT count(DISTINCT m.account) FROM group_member m WHERE m.\"group\" = grp.id), grp.directory"
void mg_group_read(const struct mg_rows *rows, size_t row, struct mg_group *ret_group);
/* No row, or the one of that number. */
CHECKED struct mg_status mg_group_numbered(struct mg_database *database, uint64_t tenant, uint64_t number,
                                           struct mg_rows **ret_rows);

/* Members that join and leave; leave_all comes first. Texts like "{3,17}". */
struct mg_group_members {
    bool leave_all;
    struct mg_buffer join, leave;
};

/* Who changes a group: for records and for what they may. */
struct mg_group_actor {
    const struct mg_core_actor *actor;
    uint64_t tenant;
    const char *reason; /* "SCIM", "CONSOLE" */
    bool directory;     /* what is made or changed is a directory's from then on */
};

/* In one transaction: name, identifier, members, and the roles that follow from membership; sessions of
 * people whose roles changed have ended when this returns. What speaks against it is in *ret_problem:
 * precondition (the version is another one now), uniqueness, value (somebody who is to join is no user of the
 * tenant). */
CHECKED struct mg_status mg_group_store(struct mg_database *database, const struct mg_group_actor *actor,
                                        const struct mg_group *before, struct mg_view name,
                                        struct mg_view external_id, const struct mg_group_members *members,
                                        enum mg_scim_problem *ret_problem);
CHECKED struct mg_status mg_group_create(struct mg_database *database, const struct mg_group_actor *actor,
                                         struct mg_view name, struct mg_view external_id,
                                         struct mg_view roles, uint64_t *ret_group,
                                         enum mg_scim_problem *ret_problem);
/* Its members lose what it gave. */
CHECKED struct mg_status mg_group_delete(struct mg_database *database, const struct mg_group_actor *actor,
                                         const struct mg_group *group, enum mg_scim_problem *ret_problem);

/* ---- group_follow.c: roles that follow from membership ---- */

struct mg_group_instead {
    uint64_t group;
    struct mg_view roles;
    struct mg_view governs; /* besides: roles that it gave to some already */
};
/* People whose roles become others; what is in it is not durable and has no record before
 * mg_group_follows_end(). */
struct mg_group_follows {
    struct mg_group_follow_row {
        uint64_t account;
        char *login, *before, *after;
        struct mg_apart *append;
    } * rows;
    size_t count, room;
};
void mg_group_follows_drop(struct mg_group_follows *follows);
/* Within a transaction and with OWN_EFFECTS(true), until it is committed: the roles of the accounts
 * ("{3,17}") follow the groups that they are in now; with `instead`, as if that group, of which they are
 * members, gave `roles`. Once for one list. REFUSED if nobody would administer the tenant any more; then
 * nothing of it may be committed. */
CHECKED struct mg_status mg_group_follow(struct mg_database *database, const struct mg_group_actor *actor,
                                         struct mg_view accounts, const struct mg_group_instead *instead,
                                         struct mg_group_follows *follows);
/* Records all of them, and when that is durable ends their sessions. Counts them in *changed. */
CHECKED struct mg_status mg_group_follows_end(struct mg_database *database,
                                              const struct mg_group_actor *actor,
                                              struct mg_group_follows *follows, uint64_t *changed);

/* ---- groups.c ---- */

/* Gives the group other roles, and its members what follows from it, a few at a time; takes OWN_EFFECTS(true)
 * itself. *ret_problem is last_administrator if nobody would administer the tenant any more. */
CHECKED struct mg_status mg_group_roles_set(struct mg_database *database, const struct mg_group_actor *actor,
                                            const struct mg_group *group, struct mg_view roles,
                                            uint64_t *ret_changed, enum mg_scim_problem *ret_problem);

/* The groups that a provider named at a sign-in (one a line, by name or external identifier): the account is
 * a member of those that the tenant has, as far as this provider is concerned. */
CHECKED struct mg_status mg_group_join_named(struct mg_database *database, uint64_t tenant, uint64_t provider,
                                             const struct mg_account *account, struct mg_view lines);
/* The account's roles at a sign-in: `roles` after the provider's own map, which gives `own`, and what the
 * tenant's groups give. Appends words. */
CHECKED struct mg_status mg_group_roles_at_sign_in(struct mg_database *database, uint64_t tenant,
                                                   uint64_t account, struct mg_view roles, struct mg_view own,
                                                   struct mg_buffer *ret_roles);

#endif
