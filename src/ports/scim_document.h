/* The JSON bodies of SCIM (RFC 7644), from strangers: users, groups, PATCH and .search, read into the simple
 * lists of domain/scim_change.h and domain/scim_filter.h. In the portal alone; needs no secret. */
#ifndef MG_PORTS_SCIM_DOCUMENT_H
#define MG_PORTS_SCIM_DOCUMENT_H

#include "domain/scim_change.h"

#define MG_SCIM_BODY_BYTES 65536
#define MG_SCIM_OPERATIONS_MOST 1000
#define MG_SCIM_SELECTED_MOST 64 /* names in attributes and excludedAttributes */

/* Owns what its texts point to. */
struct mg_scim_document;
void mg_scim_document_drop(struct mg_scim_document **document);
/* What was read; the problem's attribute is in it, too. */
struct mg_scim_changes *mg_scim_document_changes(struct mg_scim_document *document);

/* Bodies of POST and PUT. The document is there also when *ret_problem is not FINE; OUT_OF_MEMORY otherwise.
 */
CHECKED struct mg_status mg_scim_resource_read(enum mg_scim_resource resource, bool replaces,
                                               struct mg_view body, struct mg_scim_document **ret_document,
                                               enum mg_scim_problem *ret_problem);
/* Bodies of PATCH, as RFC 7644 section 3.5.2 has them and as Okta and Entra ID send them: operations in any
 * case
 * ("Add"), no path and an object whose keys are paths, booleans as text, simple values inside [{"value": …}].
 */
CHECKED struct mg_status mg_scim_patch_read(enum mg_scim_resource resource, struct mg_view body,
                                            struct mg_scim_document **ret_document,
                                            enum mg_scim_problem *ret_problem);

/* What a list is asked for. Texts are owned and have the bounds of the names. */
struct mg_scim_query {
    char filter[MG_SCIM_FILTER_BYTES + 1];
    char attributes[2048], excluded[2048], sort_by[256]; /* names with commas between */
    bool descending;
    uint64_t start, count; /* from 1; count 0: only the total */
};
#define MG_SCIM_PAGE_MOST 100
void mg_scim_query_preset(struct mg_scim_query *query);
/* One parameter of the address; unknown names are nothing. */
enum mg_scim_problem mg_scim_query_set(struct mg_scim_query *query, struct mg_view name,
                                       struct mg_view value);
/* The body of .search (RFC 7644 section 3.4.3). */
enum mg_scim_problem mg_scim_search_read(struct mg_view body, struct mg_scim_query *ret_query);

#endif
