/* SCIM 2.0 (RFC 7643, RFC 7644) at /scim/v2 of the sign-in origin: what scim*.c share. Strangers' JSON,
 * filters and paths are read here; the authority gets numbers and short texts. */
#ifndef MG_PROCESS_PORTAL_SCIM_H
#define MG_PROCESS_PORTAL_SCIM_H

#include "ports/scim_document.h"
#include "process/portal/portal.h"

#define SCIM_PLACE "/scim/v2"

/* True for paths that scim_answer() answers. */
bool scim_is_asked(const struct visit *visit);
CHECKED struct mg_status scim_answer(struct visit *visit);
/* What a client is told when a part of us does not answer. */
CHECKED struct mg_status scim_failure(struct visit *visit, struct mg_status failure);

/* ---- scim_render.c ---- */
/* Which attributes are in an answer (RFC 7644 section 3.9); `id` always is. */
struct scim_selection {
    bool shown[MG_SCIM_ATTRIBUTE_COUNT];
};
void scim_select(const struct mg_scim_query *query, enum mg_scim_resource resource,
                 struct scim_selection *ret_selection);
/* RFC 7644 section 3.12. `about`: what it is about, may be empty. */
CHECKED struct mg_status scim_problem(struct visit *visit, enum mg_scim_problem problem,
                                      struct mg_view about);
/* Status, type and headers; the body is in answer->body already. */
CHECKED struct mg_status scim_headers(struct visit *visit, unsigned status);
CHECKED struct mg_status scim_headers_of(struct visit *visit, enum mg_scim_resource resource, uint64_t id,
                                         uint64_t version, bool with_place);
CHECKED struct mg_status scim_render_user(struct visit *visit, const struct scim_selection *selection,
                                          const struct mg_record_scim_user *user, struct mg_buffer *out);
/* `members`: the rendered values, without brackets. */
CHECKED struct mg_status scim_render_group(struct visit *visit, const struct scim_selection *selection,
                                           const struct mg_record_scim_group *group, struct mg_view members,
                                           struct mg_buffer *out);
CHECKED struct mg_status scim_render_member(const struct scim_selection *selection,
                                            const struct mg_record_scim_member_row *member,
                                            struct mg_buffer *out);
CHECKED struct mg_status scim_list_begin(struct mg_buffer *out, uint64_t total, uint64_t start,
                                         uint64_t count);

/* ---- scim_schema.c: what is offered (RFC 7643 sections 5 to 7) ---- */
/* `name`: what stands behind the place, as "Schemas/urn:…"; *ret_found false if there is no such document. */
CHECKED struct mg_status scim_document_show(struct visit *visit, struct mg_view name, bool *ret_found);

#endif
