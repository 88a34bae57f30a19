/* SCIM 2.0 (RFC 7643, RFC 7644): the attributes that are kept (catalogue/scim.def), their names in filters
 * and paths, and what a request that cannot be carried out is answered.
 *
 * Everything here works on bytes that strangers may have sent and needs no secret: the portal runs it. What
 * reaches the authority are the numbers and texts of the structs below. */
#ifndef MG_DOMAIN_SCIM_H
#define MG_DOMAIN_SCIM_H

#include "base/bytes.h"

enum mg_scim_resource { MG_SCIM_USER = 1, MG_SCIM_GROUP = 2 };

enum mg_scim_attribute {
    MG_SCIM_NOTHING = 0, /* none, or one that is accepted and not kept */
#define SCIM_ATTRIBUTE(name, ...) MG_SCIM_##name,
#include "../../catalogue/scim.def"
    MG_SCIM_ATTRIBUTE_COUNT
};

enum mg_scim_type {
    MG_SCIM_TEXT,
    MG_SCIM_EXACT,
    MG_SCIM_BOOLEAN,
    MG_SCIM_INSTANT,
    MG_SCIM_COMPLEX,
    MG_SCIM_MANY,
};

struct mg_scim_attribute_row {
    enum mg_scim_resource resource;
    const char *path;
    enum mg_scim_type type;
    bool read_only;
    const char *en, *ja;
};
/* NULL for NOTHING and for numbers that are none. */
const struct mg_scim_attribute_row *mg_scim_attribute_row(enum mg_scim_attribute attribute);
/* The complex attribute that this one is a part of; NOTHING if it stands by itself. */
enum mg_scim_attribute mg_scim_parent(enum mg_scim_attribute attribute);

enum mg_scim_problem {
    MG_SCIM_FINE = 0,
#define SCIM_PROBLEM(name, ...) MG_SCIM_PROBLEM_##name,
#include "../../catalogue/scim.def"
    MG_SCIM_PROBLEM_COUNT
};

struct mg_scim_problem_row {
    unsigned status;
    const char *type; /* scimType, RFC 7644 section 3.12; empty: none */
    const char *en, *ja;
};
/* The row of `busy` for FINE and for numbers that are none. */
const struct mg_scim_problem_row *mg_scim_problem_row(enum mg_scim_problem problem);

#define MG_SCIM_USER_SCHEMA "urn:ietf:params:scim:schemas:core:2.0:User"
#define MG_SCIM_GROUP_SCHEMA "urn:ietf:params:scim:schemas:core:2.0:Group"

/* Identifiers are decimal numbers as we gave them out; false for anything else. */
bool mg_scim_id_parse(struct mg_view text, uint64_t *ret_id);

/* "SCIM_uniqueness|": the reason of base/reason.h. */
const char *mg_scim_problem_code(enum mg_scim_problem problem);

/* An attribute's name as RFC 7644 section 3.10 writes it ("userName", "name.givenName", either behind the
 * schema's URN), without case. FINE and NOTHING for one that is accepted and not kept; MG_SCIM_PROBLEM_path
 * for one that RFC 7643 does not know. */
enum mg_scim_problem mg_scim_attribute_find(enum mg_scim_resource resource, struct mg_view name,
                                            enum mg_scim_attribute *ret_attribute);
/* The part of that name of a complex attribute: ("givenName", name). */
enum mg_scim_problem mg_scim_part_find(enum mg_scim_attribute parent, struct mg_view name,
                                       enum mg_scim_attribute *ret_attribute);

/* ASCII letters without case. */
bool mg_scim_words_equal(struct mg_view word, const char *text);

#endif
