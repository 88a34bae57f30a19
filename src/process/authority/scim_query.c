/* Filters of SCIM as statements of the control database (RFC 7644 section 3.4.2.2). */
#include "process/authority/scim.h"

#include "base/arena.h"
#include "domain/login.h"

#include <stdio.h>

#define SQL_MOST 32768
#define ARENA_MOST 65536

void
mg_scim_statement_drop(struct mg_scim_statement *statement)
{
    mg_buffer_drop(&statement->sql);
    mg_arena_drop(&statement->arena);
}

struct mg_status
mg_scim_statement_begin(struct mg_scim_statement *ret_statement)
{
    *ret_statement = (struct mg_scim_statement){.sql = MG_BUFFER(SQL_MOST)};
    return mg_arena_new(ARENA_MOST, &ret_statement->arena);
}

struct mg_status
mg_scim_value(struct mg_scim_statement *statement, struct mg_value value, size_t *ret_number)
{
    if (statement->count == MG_VALUES_MOST)
        return fail_with(MALFORMED, "a filter with more than %d values", MG_VALUES_MOST);
    statement->values[statement->count++] = value;
    *ret_number = statement->count;
    return OK;
}

struct mg_status
mg_scim_run(struct mg_database *database, const struct mg_scim_statement *statement,
            struct mg_rows **ret_rows)
{
    return mg_database_query(database, ret_rows, mg_buffer_text(&statement->sql), statement->values,
                             statement->count);
}

/* ---- columns ---- */

/* What stands for an attribute; of several values (MANY), inside the EXISTS of `inside`. */
static const struct column {
    const char *sql;
    const char *number; /* the number itself, where the text is one */
    const char *inside;
} columns[MG_SCIM_ATTRIBUTE_COUNT] = {
    [MG_SCIM_user_id] = {"acc.id::text", "acc.id", NULL},
    [MG_SCIM_user_external_id] = {"acc.external_id", NULL, NULL},
    [MG_SCIM_user_meta_created] = {"acc.created_at", NULL, NULL},
    [MG_SCIM_user_meta_changed] = {"coalesce(acc.last_change_at, acc.created_at)", NULL, NULL},
    [MG_SCIM_user_name] = {"acc.login", NULL, NULL},
    [MG_SCIM_name_formatted] = {"acc.formatted_name", NULL, NULL},
    [MG_SCIM_name_family] = {"acc.family_name", NULL, NULL},
    [MG_SCIM_name_given] = {"acc.given_name", NULL, NULL},
    [MG_SCIM_display_name] = {"acc.name", NULL, NULL},
    [MG_SCIM_language] = {"acc.language", NULL, NULL},
    [MG_SCIM_active] = {"(acc.disabled_at IS NULL)", NULL, NULL},
    [MG_SCIM_email_value] = {"acc.email", NULL, NULL},
    [MG_SCIM_email_type] = {"(CASE WHEN acc.email <> '' THEN 'work' ELSE '' END)", NULL, NULL},
    [MG_SCIM_email_primary] = {"(acc.email <> '')", NULL, NULL},
    [MG_SCIM_user_group_value] = {"g.id::text", "g.id", NULL},
    [MG_SCIM_user_group_display] = {"g.name", NULL, NULL},
    [MG_SCIM_emails] = {NULL, NULL, "(acc.email <> '' AND "},
    [MG_SCIM_user_groups] = {NULL, NULL,
                             "EXISTS (SELECT FROM group_member m JOIN tenant_group g ON g.id = m.\"group\""
                             " WHERE m.account = acc.id AND "},
    [MG_SCIM_group_id] = {"grp.id::text", "grp.id", NULL},
    [MG_SCIM_group_external_id] = {"grp.external_id", NULL, NULL},
    [MG_SCIM_group_meta_created] = {"grp.created_at", NULL, NULL},
    [MG_SCIM_group_meta_changed] = {"grp.changed_at", NULL, NULL},
    [MG_SCIM_group_name] = {"grp.name", NULL, NULL},
    [MG_SCIM_member_value] = {"u.id::text", "u.id", NULL},
    [MG_SCIM_member_display] = {"u.login", NULL, NULL},
    [MG_SCIM_member_type] = {"'User'::text", NULL, NULL},
    [MG_SCIM_members] = {NULL, NULL,
                         "EXISTS (SELECT FROM group_member m JOIN account u ON u.id = m.account"
                         " WHERE m.\"group\" = grp.id AND "},
};

/* ---- comparisons ---- */

struct rendering {
    struct mg_scim_statement *statement;
    const struct mg_scim_node *nodes;
    enum mg_scim_attribute within; /* inside the EXISTS of this one */
};

static const char *
sign_of(enum mg_scim_operation operation)
{
    switch (operation) {
    case MG_SCIM_NE:
        return "<>";
    case MG_SCIM_GT:
        return ">";
    case MG_SCIM_GE:
        return ">=";
    case MG_SCIM_LT:
        return "<";
    case MG_SCIM_LE:
        return "<=";
    default:
        return "=";
    }
}

/* Sign-in names lie folded: what is compared with one is folded alike, as far as it can be a name. */
static CHECKED struct mg_status
folded_value(struct rendering *r, const struct mg_scim_node *node, struct mg_view *ret_text)
{
    OWN_BUFFER(folded, 4096);
    *ret_text = node->text;
    if (!mg_ok(mg_login_fold(node->text, &folded)))
        return OK;
    const char *kept = mg_arena_text(r->statement->arena, mg_buffer_view(&folded));
    if (kept == NULL)
        return fail(OUT_OF_MEMORY);
    *ret_text = mg_view_text(kept);
    return OK;
}

/* Identifiers are numbers: found by their index, and what is none is nobody's. */
static CHECKED struct mg_status
compare_number(struct rendering *r, const struct mg_scim_node *node)
{
    struct mg_buffer *sql = &r->statement->sql;
    const char *number = columns[node->attribute].number;
    uint64_t id = 0;
    size_t at = 0;
    if (!mg_scim_id_parse(node->text, &id))
        return mg_buffer_add_text(sql, node->operation == MG_SCIM_EQ ? "false" : "true");
    TRY(mg_scim_value(r->statement, MG_I64(id), &at));
    return mg_buffer_format(sql, "%s %s $%zu", number, sign_of(node->operation), at);
}

static CHECKED struct mg_status
compare_text(struct rendering *r, const struct mg_scim_node *node)
{
    struct mg_buffer *sql = &r->statement->sql;
    const bool name = node->attribute == MG_SCIM_user_name || node->attribute == MG_SCIM_member_display;
    const bool exact = mg_scim_attribute_row(node->attribute)->type == MG_SCIM_EXACT;
    struct mg_view text = node->text;
    char have[160], asked[48];
    size_t at = 0;
    if (name)
        TRY(folded_value(r, node, &text));
    TRY(mg_scim_value(r->statement, MG_TEXT(text), &at));
    const char *column = columns[node->attribute].sql;
    (void) snprintf(have, sizeof have, exact || name ? "%s" : "lower(%s)", column);
    (void) snprintf(asked, sizeof asked, exact ? "$%zu::text" : "lower($%zu::text)", at);
    switch (node->operation) {
    case MG_SCIM_CO:
        return mg_buffer_format(sql, "strpos(%s, %s) > 0", have, asked);
    case MG_SCIM_SW:
        return mg_buffer_format(sql, "starts_with(%s, %s)", have, asked);
    case MG_SCIM_EW:
        return mg_buffer_format(sql, "right(%s, length(%s)) = %s", have, asked, asked);
    default:
        return mg_buffer_format(sql, "%s %s %s", have, sign_of(node->operation), asked);
    }
}

static CHECKED struct mg_status
compare_one(struct rendering *r, const struct mg_scim_node *node)
{
    struct mg_buffer *sql = &r->statement->sql;
    const char *column = columns[node->attribute].sql;
    const enum mg_scim_type type = mg_scim_attribute_row(node->attribute)->type;
    size_t at = 0;
    if (type == MG_SCIM_BOOLEAN)
        return node->operation == MG_SCIM_PR
                   ? mg_buffer_add_text(sql, "true")
                   : mg_buffer_format(sql, "%s %s %s", column, sign_of(node->operation),
                                      node->flag ? "true" : "false");
    if (type == MG_SCIM_INSTANT) {
        if (node->operation == MG_SCIM_PR)
            return mg_buffer_add_text(sql, "true");
        TRY(mg_scim_value(r->statement, MG_INSTANT(node->instant), &at));
        return mg_buffer_format(sql, "%s %s $%zu", column, sign_of(node->operation), at);
    }
    if (node->operation == MG_SCIM_PR)
        return mg_buffer_format(sql, "%s <> ''", column);
    if (columns[node->attribute].number != NULL &&
        (node->operation == MG_SCIM_EQ || node->operation == MG_SCIM_NE))
        return compare_number(r, node);
    return compare_text(r, node);
}

/* A part of several values that stands by itself: some value has it. */
static CHECKED struct mg_status
compare(struct rendering *r, const struct mg_scim_node *node)
{
    const enum mg_scim_attribute parent = mg_scim_parent(node->attribute);
    const char *inside = parent != r->within ? columns[parent].inside : NULL;
    TRY(mg_buffer_add_text(&r->statement->sql, inside == NULL ? "(" : inside));
    TRY(compare_one(r, node));
    return mg_buffer_add_text(&r->statement->sql, ")");
}

/* The subtree whose last node is `at`; *ret_begin is its first node. The nodes were found sound, of which
 * there are few, so that going down is bounded. */
static CHECKED struct mg_status
render(struct rendering *r, size_t at, size_t *ret_begin)
{
    struct mg_buffer *sql = &r->statement->sql;
    const struct mg_scim_node *node = &r->nodes[at];
    size_t middle = 0;
    switch (node->operation) {
    case MG_SCIM_AND:
    case MG_SCIM_OR:
        TRY(mg_buffer_add_text(sql, "("));
        TRY(render(r, at - 1, &middle));
        TRY(mg_buffer_add_text(sql, node->operation == MG_SCIM_AND ? " AND " : " OR "));
        TRY(render(r, middle - 1, ret_begin));
        return mg_buffer_add_text(sql, ")");
    case MG_SCIM_NOT:
        TRY(mg_buffer_add_text(sql, "(NOT "));
        TRY(render(r, at - 1, ret_begin));
        return mg_buffer_add_text(sql, ")");
    case MG_SCIM_WITHIN:
        r->within = node->attribute;
        TRY(mg_buffer_add_text(sql, columns[node->attribute].inside));
        TRY(render(r, at - 1, ret_begin));
        r->within = MG_SCIM_NOTHING;
        return mg_buffer_add_text(sql, ")");
    default:
        *ret_begin = at;
        return compare(r, node);
    }
}

static CHECKED struct mg_status
filter_read(struct mg_list list, struct mg_scim_node nodes[MG_SCIM_FILTER_NODES], size_t *ret_count)
{
    size_t count = 0;
    for (;;) {
        struct mg_record_scim_node record;
        bool more = false;
        TRY(mg_list_next_scim_node(&list, &record, &more));
        if (!more)
            break;
        if (count == MG_SCIM_FILTER_NODES || record.operation >= MG_SCIM_OPERATION_COUNT ||
            record.attribute >= MG_SCIM_ATTRIBUTE_COUNT)
            return fail_with(MALFORMED, "a filter that no reader of ours makes");
        nodes[count++] = (struct mg_scim_node){.operation = (enum mg_scim_operation) record.operation,
                                               .attribute = (enum mg_scim_attribute) record.attribute,
                                               .text = record.text,
                                               .flag = record.flag,
                                               .instant = record.instant};
    }
    *ret_count = count;
    return OK;
}

struct mg_status
mg_scim_where(struct mg_scim_statement *statement, enum mg_scim_resource resource, struct mg_list filter)
{
    struct mg_scim_node nodes[MG_SCIM_FILTER_NODES];
    struct rendering r = {.statement = statement, .nodes = nodes};
    size_t count = 0, begin = 0;
    TRY(filter_read(filter, nodes, &count));
    if (!mg_scim_filter_is_sound(resource, nodes, count))
        return fail_with(MALFORMED, "a filter that no reader of ours makes");
    if (count == 0)
        return OK;
    TRY(mg_buffer_add_text(&statement->sql, " AND "));
    return render(&r, count - 1, &begin);
}

struct mg_status
mg_scim_order(struct mg_scim_statement *statement, enum mg_scim_resource resource, uint64_t attribute,
              bool descending)
{
    const struct mg_scim_attribute_row *row = attribute < MG_SCIM_ATTRIBUTE_COUNT
                                                  ? mg_scim_attribute_row((enum mg_scim_attribute) attribute)
                                                  : NULL;
    const char *way = descending ? " DESC" : "";
    const char *number = resource == MG_SCIM_USER ? "acc.id" : "grp.id";
    const char *column = row == NULL || row->resource != resource || columns[attribute].number != NULL ||
                                 columns[mg_scim_parent((enum mg_scim_attribute) attribute)].inside != NULL
                             ? NULL
                             : columns[attribute].sql;
    TRY(mg_buffer_add_text(&statement->sql, " ORDER BY "));
    if (column != NULL && (row->type == MG_SCIM_TEXT || row->type == MG_SCIM_EXACT))
        TRY(mg_buffer_format(&statement->sql, "lower(%s)%s, ", column, way));
    else if (column != NULL)
        TRY(mg_buffer_format(&statement->sql, "%s%s, ", column, way));
    return mg_buffer_format(&statement->sql, "%s%s", number, way);
}

/* ---- requests ---- */

bool
mg_scim_version_fits(struct mg_view versions, uint64_t version)
{
    if (versions.length == 0)
        return true;
    for (size_t at = 0; at < versions.length;) {
        uint64_t one = 0;
        size_t end = at;
        while (end < versions.length && versions.bytes[end] != ' ')
            end++;
        if (mg_ok(mg_parse_u64(mg_view_of(versions.bytes + at, end - at), UINT64_MAX, &one)) &&
            one == version)
            return true;
        at = end + 1;
    }
    return false;
}

struct mg_status
mg_scim_change_next(struct mg_list *list, enum mg_scim_resource resource,
                    struct mg_record_scim_change *ret_change, bool *ret_more)
{
    TRY(mg_list_next_scim_change(list, ret_change, ret_more));
    if (!*ret_more)
        return OK;
    const struct mg_scim_attribute_row *row =
        ret_change->attribute < MG_SCIM_ATTRIBUTE_COUNT
            ? mg_scim_attribute_row((enum mg_scim_attribute) ret_change->attribute)
            : NULL;
    if (row == NULL || row->resource != resource || row->read_only)
        return fail_with(MALFORMED, "a change that no reader of ours makes");
    for (size_t i = 0; i < ret_change->text.length; i++)
        if (ret_change->text.bytes[i] < 0x20 || ret_change->text.bytes[i] == 0x7F)
            return fail_with(MALFORMED, "a change that no reader of ours makes");
    return OK;
}
