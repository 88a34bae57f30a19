/* The matrix of roles and permissions as documents (role_document.c). */
#ifndef MG_CLI_ROLE_H
#define MG_CLI_ROLE_H

#include "base/bytes.h"

/* docs/ROLES.*.md: roles, permissions, what each allows on the pages and among requests. */
CHECKED struct mg_status mg_roles_markdown(bool japanese, struct mg_buffer *text);
CHECKED struct mg_status mg_roles_json(struct mg_buffer *text);

#endif
