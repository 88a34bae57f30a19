/* What a request changes of a user or a group (RFC 7644 sections 3.3, 3.5.1, 3.5.2), as a list of simple
 * changes: whatever shape a client sends, a kept attribute is set or cleared, and members join or leave, in
 * that order. ports/scim_document.h fills it from JSON. */
#ifndef MG_DOMAIN_SCIM_CHANGE_H
#define MG_DOMAIN_SCIM_CHANGE_H

#include "domain/scim_filter.h"

#define MG_SCIM_CHANGES_MOST 32
#define MG_SCIM_MEMBERS_MOST 3000 /* joining and leaving in one request */
#define MG_SCIM_TEXT_MOST 254     /* bytes of a kept text */

struct mg_scim_change {
    enum mg_scim_attribute attribute;
    bool clear; /* else set to: */
    struct mg_view text;
    bool flag;              /* of `active` */
    struct mg_view present; /* only if this is the value now (emails[value eq "…"]); empty: in any case */
};

enum mg_scim_member_act { MG_SCIM_JOIN = 1, MG_SCIM_LEAVE, MG_SCIM_LEAVE_ALL };
struct mg_scim_member_change {
    enum mg_scim_member_act act;
    uint64_t user;
};

/* Texts are borrowed. */
struct mg_scim_changes {
    enum mg_scim_resource resource;
    struct mg_scim_change list[MG_SCIM_CHANGES_MOST];
    size_t count;
    struct mg_scim_member_change members[MG_SCIM_MEMBERS_MOST];
    size_t member_count;
    const char *about; /* the attribute that a problem is about; NULL: none */
};

/* An attribute without parts. `lenient`: one that cannot be written is left out instead of refused, as RFC
 * 7644 section 3.3 wants it of whole resources. BOOLEAN takes the words true and false as text. */
enum mg_scim_problem mg_scim_set_text(struct mg_scim_changes *changes, enum mg_scim_attribute attribute,
                                      struct mg_view text, bool lenient);
enum mg_scim_problem mg_scim_set_flag(struct mg_scim_changes *changes, enum mg_scim_attribute attribute,
                                      bool flag, bool lenient);
/* With all parts of one that has parts; members: all leave. What a resource cannot be without is MUTABILITY.
 */
enum mg_scim_problem mg_scim_clear(struct mg_scim_changes *changes, enum mg_scim_attribute attribute,
                                   bool lenient);
/* `id` as the client wrote it. */
enum mg_scim_problem mg_scim_member(struct mg_scim_changes *changes, enum mg_scim_member_act act,
                                    struct mg_view id);

/* What a path's filter picks among the e-mail addresses, of which there is one, always of type work and
 * primary. */
enum mg_scim_pick { MG_SCIM_PICKS_NONE, MG_SCIM_PICKS_IT, MG_SCIM_PICKS_IF /* it is *ret_value */ };
enum mg_scim_problem mg_scim_email_pick(const struct mg_scim_filter *filter, enum mg_scim_pick *ret_pick,
                                        struct mg_view *ret_value);
/* The address becomes `text`, or none when it is empty, if it is `present` now; otherwise there is NO_TARGET.
 */
enum mg_scim_problem mg_scim_set_email_if(struct mg_scim_changes *changes, struct mg_view present,
                                          struct mg_view text);
/* members[value eq "…" or value eq "…"]: each of them does `act`. Other filters are refused. */
enum mg_scim_problem mg_scim_members_pick(const struct mg_scim_filter *filter, enum mg_scim_member_act act,
                                          struct mg_scim_changes *changes);

/* A new resource has a name. */
enum mg_scim_problem mg_scim_new_judge(struct mg_scim_changes *changes);
/* Makes the changes of PUT of those of a whole resource: what it does not name is cleared, but for `active`
 * and `preferredLanguage`, which stay (nobody is let in by leaving something out), and members that a group
 * no longer names leave. */
enum mg_scim_problem mg_scim_replace_complete(struct mg_scim_changes *changes);

#endif
