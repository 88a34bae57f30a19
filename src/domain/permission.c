#include "domain/permission.h"

#include "domain/login.h"
#include "domain/role.h"

enum {
#define ROLE(name, ...) BIT_##name,
#include "../../catalogue/permissions.def"
    ROLE_COUNT
};

#define EVERYBODY 0
#define ADMINISTRATOR (1U << BIT_administrator)
#define APPROVER (1U << BIT_approver)
#define AUDITOR (1U << BIT_auditor)
#define USER (1U << BIT_user)
#define OPERATOR (1U << BIT_operator)

static const struct mg_permission_row rows[MG_PERMISSION_COUNT] = {
#define PERMISSION(identifier, word, holders, english, japanese) \
    [MG_PERMISSION_##identifier] = {                             \
        .name = #identifier, .keyword = (word), .roles = (holders), .en = (english), .ja = (japanese)},
#include "../../catalogue/permissions.def"
};
_Static_assert(MG_PERMISSION_COUNT <= 64, "a set of permissions is 64 bits");

const struct mg_role_row mg_role_rows[] = {
#define ROLE(identifier, english, japanese, meaning_english, meaning_japanese) \
    {#identifier, english, japanese, meaning_english, meaning_japanese},
#include "../../catalogue/permissions.def"
};
const size_t mg_role_count = MG_COUNT(mg_role_rows);

const struct mg_permission_row *
mg_permission_row(enum mg_permission permission)
{
    return permission > MG_PERMISSION_NONE && permission < MG_PERMISSION_COUNT ? &rows[permission] : NULL;
}

enum mg_permission
mg_permission_find(struct mg_view keyword)
{
    for (int i = 1; i < MG_PERMISSION_COUNT; i++)
        if (mg_view_is(keyword, rows[i].keyword))
            return (enum mg_permission) i;
    return MG_PERMISSION_NONE;
}

const struct mg_role_row *
mg_role_row(struct mg_view name)
{
    for (size_t i = 0; i < mg_role_count; i++)
        if (mg_view_is(name, mg_role_rows[i].name))
            return &mg_role_rows[i];
    return NULL;
}

/* What holders of any of these roles have; 0: what everybody has. */
static mg_permissions
held_by(uint32_t roles)
{
    mg_permissions set = 0;
    for (int i = 1; i < MG_PERMISSION_COUNT; i++)
        if (rows[i].roles == EVERYBODY || (rows[i].roles & roles) != 0)
            set |= mg_permission_bit((enum mg_permission) i);
    return set;
}

mg_permissions
mg_permissions_of_everybody(void)
{
    return held_by(0);
}

/* Control: IDENTITY_11 */
mg_permissions
mg_permissions_of_roles(struct mg_view roles, bool operators)
{
    return held_by(mg_role_bits(roles, NULL) & (operators ? OPERATOR : ~OPERATOR));
}

mg_permissions
mg_permissions_of_tenants(void)
{
    return held_by(~OPERATOR);
}

mg_permissions
mg_permissions_of_keywords(struct mg_view keywords, struct mg_view *ret_unknown)
{
    const mg_permissions grantable = mg_permissions_of_tenants();
    mg_permissions set = 0;
    struct mg_view unknown = MG_VIEW_EMPTY;
    for (size_t at = 0; at < keywords.length;) {
        size_t end = at;
        while (end < keywords.length && keywords.bytes[end] != ' ')
            end++;
        const struct mg_view word = mg_view_of(keywords.bytes + at, end - at);
        const mg_permissions bit = mg_permission_bit(mg_permission_find(word)) & grantable;
        if (word.length != 0 && bit == 0 && unknown.length == 0)
            unknown = word;
        set |= bit;
        at = end + 1;
    }
    if (ret_unknown != NULL)
        *ret_unknown = unknown;
    return set;
}

struct mg_status
mg_permissions_text(mg_permissions set, struct mg_buffer *text)
{
    for (int i = 1; i < MG_PERMISSION_COUNT; i++)
        if (mg_permissions_have(set, (enum mg_permission) i))
            TRY(mg_buffer_format(text, "%s%s", text->length == 0 ? "" : " ", rows[i].keyword));
    return OK;
}

bool
mg_role_name_is_free(struct mg_view name)
{
    return name.length != 0 && name.length <= MG_ROLE_MOST && memchr(name.bytes, ' ', name.length) == NULL &&
           mg_roles_valid(name) && mg_role_row(name) == NULL;
}

bool
mg_permission_is_unused(mg_instant granted_at, mg_instant used_at, int64_t unused_ms, mg_instant now)
{
    const mg_instant last = used_at > granted_at ? used_at : granted_at;
    return last <= now - unused_ms;
}
