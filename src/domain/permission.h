/* Permissions and the roles that hold them (catalogue/permissions.def): NIST RBAC (ANSI INCITS 359-2012)
 * without hierarchies. A set of permissions is a bit each. What is not in a set may not be done. */
#ifndef MG_DOMAIN_PERMISSION_H
#define MG_DOMAIN_PERMISSION_H

#include "base/bytes.h"
#include "base/time.h"

/* Zero is no permission, which nobody has. */
enum mg_permission {
    MG_PERMISSION_NONE = 0,
#define PERMISSION(name, ...) MG_PERMISSION_##name,
#include "../../catalogue/permissions.def"
    MG_PERMISSION_COUNT
};

/* MG_NEEDS_<request>: what the request needs. */
enum mg_needs {
#define NEEDS(request, permission) MG_NEEDS_##request = MG_PERMISSION_##permission,
#include "../../catalogue/permissions.def"
};

typedef uint64_t mg_permissions; /* bits 1 << enum mg_permission */
static inline mg_permissions
mg_permission_bit(enum mg_permission permission)
{
    return permission > MG_PERMISSION_NONE && permission < MG_PERMISSION_COUNT ? UINT64_C(1) << permission
                                                                               : 0;
}
static inline bool
mg_permissions_have(mg_permissions set, enum mg_permission permission)
{
    return (set & mg_permission_bit(permission)) != 0;
}

struct mg_permission_row {
    const char *name, *keyword; /* "users_read", "users.read" */
    uint32_t roles;             /* bits as mg_role_bits gives them; 0: everybody who is signed in */
    const char *en, *ja;
};
/* NULL for no permission. */
const struct mg_permission_row *mg_permission_row(enum mg_permission permission);
/* By its keyword; MG_PERMISSION_NONE if there is none. */
enum mg_permission mg_permission_find(struct mg_view keyword);

struct mg_role_row {
    const char *name, *en, *ja, *meaning_en, *meaning_ja;
};
extern const struct mg_role_row mg_role_rows[];
extern const size_t mg_role_count;
/* NULL if it is not a built-in role. */
const struct mg_role_row *mg_role_row(struct mg_view name);

/* What everybody who is signed in may. */
mg_permissions mg_permissions_of_everybody(void);
/* What the built-in roles among these words hold, and everybody. In a tenant the role `operator` is a word
 * without any right, and among the operators (`operators`) all others are. */
mg_permissions mg_permissions_of_roles(struct mg_view roles, bool operators);
/* The keywords of a tenant's own role (spaces between). Those that are nobody's, or that only operators hold,
 * are left out; *ret_unknown (may be NULL) is the first of them. */
mg_permissions mg_permissions_of_keywords(struct mg_view keywords, struct mg_view *ret_unknown);
/* The keywords of a set, spaces between. */
CHECKED struct mg_status mg_permissions_text(mg_permissions set, struct mg_buffer *text);
/* What a tenant may give to a role of its own. */
mg_permissions mg_permissions_of_tenants(void);

/* Nobody gives, or acts upon, more than they hold. */
static inline bool
mg_permissions_cover(mg_permissions held, mg_permissions wanted)
{
    return (wanted & ~held) == 0;
}

/* The name of a tenant's own role: as mg_roles_valid demands, one word, and none of the built-in ones. */
bool mg_role_name_is_free(struct mg_view name);

/* Neither used nor granted (or confirmed: granted_at is the later) for that long. used_at 0: never. */
bool mg_permission_is_unused(mg_instant granted_at, mg_instant used_at, int64_t unused_ms, mg_instant now);

#endif
