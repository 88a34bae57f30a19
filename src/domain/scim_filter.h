/* Filters of SCIM (RFC 7644 section 3.4.2.2, the whole grammar) and the paths of PATCH (section 3.5.2), which
 * hold filters. Parsing needs bounded memory and time; what comes out has only attributes of
 * catalogue/scim.def, each compared in a way that its type allows. */
#ifndef MG_DOMAIN_SCIM_FILTER_H
#define MG_DOMAIN_SCIM_FILTER_H

#include "base/time.h"
#include "domain/scim.h"

#define MG_SCIM_FILTER_BYTES 4096 /* the longest text */
#define MG_SCIM_FILTER_DEPTH 16   /* of brackets and negations */
#define MG_SCIM_FILTER_NODES 48
#define MG_SCIM_FILTER_VALUES 20 /* comparisons with a text or a time: each is a parameter of a statement */
#define MG_SCIM_VALUE_BYTES 512  /* of one text */

enum mg_scim_operation {
    MG_SCIM_NONE = 0,
    MG_SCIM_EQ,
    MG_SCIM_NE,
    MG_SCIM_CO,
    MG_SCIM_SW,
    MG_SCIM_EW,
    MG_SCIM_GT,
    MG_SCIM_GE,
    MG_SCIM_LT,
    MG_SCIM_LE,
    MG_SCIM_PR,     /* has a value; all above and this compare one attribute */
    MG_SCIM_NOT,    /* of the node before it */
    MG_SCIM_WITHIN, /* one value of `attribute` (MANY) meets the node before it */
    MG_SCIM_AND,    /* of the two before it */
    MG_SCIM_OR,
    MG_SCIM_OPERATION_COUNT
};

/* One comparison or connective. */
struct mg_scim_node {
    enum mg_scim_operation operation;
    enum mg_scim_attribute attribute;
    struct mg_view text; /* of TEXT and EXACT, in the filter's storage */
    bool flag;           /* of BOOLEAN */
    mg_instant instant;  /* of INSTANT */
};

/* In postfix order; the last node is the whole. No nodes: no filter. */
struct mg_scim_filter {
    struct mg_scim_node nodes[MG_SCIM_FILTER_NODES];
    size_t count, values;
    uint8_t storage[MG_SCIM_FILTER_BYTES];
    size_t stored;
};

/* FINE, or MG_SCIM_PROBLEM_filter with *ret_at the offset where it stops making sense. The struct is large:
 * not for small stacks. */
enum mg_scim_problem mg_scim_filter_parse(enum mg_scim_resource resource, struct mg_view text,
                                          struct mg_scim_filter *ret_filter, size_t *ret_at);

/* True when the nodes are a whole of the shape above for this resource: for whoever gets them from elsewhere.
 */
bool mg_scim_filter_is_sound(enum mg_scim_resource resource, const struct mg_scim_node *nodes, size_t count);

/* A path: attribute, and for one of several values the filter that picks it: `emails[type eq "work"].value`.
 */
struct mg_scim_path {
    enum mg_scim_attribute attribute; /* NOTHING: accepted, not kept */
    struct mg_scim_filter filter;     /* its comparisons are with parts of the attribute's parent */
};
/* FINE, or MG_SCIM_PROBLEM_path or _filter. */
enum mg_scim_problem mg_scim_path_parse(enum mg_scim_resource resource, struct mg_view text,
                                        struct mg_scim_path *ret_path);

#endif
