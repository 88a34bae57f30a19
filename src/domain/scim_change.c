#include "domain/scim_change.h"

#include <string.h>
#include <strings.h>

/* ---- single attributes ---- */

static bool
is_clean(struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.bytes[i] < 0x20 || text.bytes[i] == 0x7F)
            return false;
    return mg_view_is_utf8(text);
}

static enum mg_scim_problem
say(struct mg_scim_changes *changes, enum mg_scim_attribute attribute, enum mg_scim_problem problem)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    changes->about = row == NULL ? NULL : row->path;
    return problem;
}

/* The last one counts: an attribute stands once, but for conditions. */
static enum mg_scim_problem
add(struct mg_scim_changes *changes, struct mg_scim_change change)
{
    for (size_t i = 0; i < changes->count; i++)
        if (changes->list[i].attribute == change.attribute && changes->list[i].present.length == 0 &&
            change.present.length == 0) {
            changes->list[i] = change;
            return MG_SCIM_FINE;
        }
    if (changes->count == MG_SCIM_CHANGES_MOST)
        return MG_SCIM_PROBLEM_too_large;
    changes->list[changes->count++] = change;
    return MG_SCIM_FINE;
}

/* Whether it is one that this resource has and that may be written; FINE and *ret_leave when it is to be left
 * out. */
static enum mg_scim_problem
may_write(struct mg_scim_changes *changes, enum mg_scim_attribute attribute, bool lenient, bool *ret_leave)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    *ret_leave = attribute == MG_SCIM_NOTHING;
    if (*ret_leave)
        return MG_SCIM_FINE;
    if (row == NULL || row->resource != changes->resource)
        return say(changes, attribute, MG_SCIM_PROBLEM_path);
    if (row->read_only) {
        *ret_leave = lenient;
        return lenient ? MG_SCIM_FINE : say(changes, attribute, MG_SCIM_PROBLEM_mutability);
    }
    /* Of an address only itself is kept: it is work and primary, whatever a client calls it. */
    *ret_leave = attribute == MG_SCIM_email_type || attribute == MG_SCIM_email_primary;
    return MG_SCIM_FINE;
}

enum mg_scim_problem
mg_scim_set_flag(struct mg_scim_changes *changes, enum mg_scim_attribute attribute, bool flag, bool lenient)
{
    bool leave = false;
    const enum mg_scim_problem problem = may_write(changes, attribute, lenient, &leave);
    if (problem != MG_SCIM_FINE || leave)
        return problem;
    if (mg_scim_attribute_row(attribute)->type != MG_SCIM_BOOLEAN)
        return say(changes, attribute, MG_SCIM_PROBLEM_value);
    return add(changes,
               (struct mg_scim_change){
                   .attribute = attribute, .text = MG_VIEW_EMPTY, .flag = flag, .present = MG_VIEW_EMPTY});
}

enum mg_scim_problem
mg_scim_set_text(struct mg_scim_changes *changes, enum mg_scim_attribute attribute, struct mg_view text,
                 bool lenient)
{
    bool leave = false;
    const enum mg_scim_problem problem = may_write(changes, attribute, lenient, &leave);
    if (problem != MG_SCIM_FINE || leave)
        return problem;
    const enum mg_scim_type type = mg_scim_attribute_row(attribute)->type;
    if (type == MG_SCIM_BOOLEAN) { /* Entra ID sends "False" */
        const bool yes = mg_scim_words_equal(text, "true");
        return yes || mg_scim_words_equal(text, "false") ? mg_scim_set_flag(changes, attribute, yes, lenient)
                                                         : say(changes, attribute, MG_SCIM_PROBLEM_value);
    }
    if ((type != MG_SCIM_TEXT && type != MG_SCIM_EXACT) || text.length > MG_SCIM_TEXT_MOST || !is_clean(text))
        return say(changes, attribute, MG_SCIM_PROBLEM_value);
    if (text.length == 0)
        return mg_scim_clear(changes, attribute, lenient);
    return add(changes,
               (struct mg_scim_change){.attribute = attribute, .text = text, .present = MG_VIEW_EMPTY});
}

/* A user without a sign-in name, a group without a name; and nobody is let in by taking `active` away. */
static bool
is_needed(enum mg_scim_attribute attribute)
{
    return attribute == MG_SCIM_user_name || attribute == MG_SCIM_group_name || attribute == MG_SCIM_active;
}

enum mg_scim_problem
mg_scim_clear(struct mg_scim_changes *changes, enum mg_scim_attribute attribute, bool lenient)
{
    bool leave = false;
    enum mg_scim_problem problem = may_write(changes, attribute, lenient, &leave);
    if (problem != MG_SCIM_FINE || leave)
        return problem;
    if (is_needed(attribute))
        return say(changes, attribute, MG_SCIM_PROBLEM_mutability);
    if (attribute == MG_SCIM_members || attribute == MG_SCIM_member_value)
        return mg_scim_member(changes, MG_SCIM_LEAVE_ALL, MG_VIEW_EMPTY);
    const enum mg_scim_type type = mg_scim_attribute_row(attribute)->type;
    if (type != MG_SCIM_COMPLEX && type != MG_SCIM_MANY)
        return add(changes, (struct mg_scim_change){.attribute = attribute,
                                                    .clear = true,
                                                    .text = MG_VIEW_EMPTY,
                                                    .present = MG_VIEW_EMPTY});
    for (enum mg_scim_attribute part = attribute + 1; mg_scim_parent(part) == attribute; part++) {
        problem = mg_scim_clear(changes, part, true);
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

/* ---- members ---- */

enum mg_scim_problem
mg_scim_member(struct mg_scim_changes *changes, enum mg_scim_member_act act, struct mg_view id)
{
    uint64_t user = 0;
    if (act == MG_SCIM_LEAVE_ALL) /* what came before has no effect */
        changes->member_count = 0;
    else if (!mg_scim_id_parse(id, &user))
        /* Not one of ours, so nobody's: no member to be, and none that could leave. */
        return act == MG_SCIM_LEAVE ? MG_SCIM_FINE
                                    : say(changes, MG_SCIM_member_value, MG_SCIM_PROBLEM_value);
    if (changes->member_count == MG_SCIM_MEMBERS_MOST)
        return MG_SCIM_PROBLEM_too_large;
    changes->members[changes->member_count++] = (struct mg_scim_member_change){.act = act, .user = user};
    return MG_SCIM_FINE;
}

enum mg_scim_problem
mg_scim_members_pick(const struct mg_scim_filter *filter, enum mg_scim_member_act act,
                     struct mg_scim_changes *changes)
{
    for (size_t i = 0; i < filter->count; i++) {
        const struct mg_scim_node *node = &filter->nodes[i];
        if (node->operation == MG_SCIM_OR)
            continue;
        if (node->operation != MG_SCIM_EQ || node->attribute != MG_SCIM_member_value)
            return say(changes, MG_SCIM_members, MG_SCIM_PROBLEM_filter);
        const enum mg_scim_problem problem = mg_scim_member(changes, act, node->text);
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

/* ---- the address ---- */

static bool
text_meets(enum mg_scim_operation operation, struct mg_view have, struct mg_view asked)
{
    const bool longer = asked.length > have.length;
    const size_t rest = longer ? 0 : have.length - asked.length;
    const struct mg_view head = mg_view_of(have.bytes, longer ? 0 : asked.length);
    const bool equal = !longer && rest == 0 &&
                       strncasecmp((const char *) head.bytes, (const char *) asked.bytes, head.length) == 0;
    switch (operation) {
    case MG_SCIM_EQ:
        return equal;
    case MG_SCIM_NE:
        return !equal;
    case MG_SCIM_SW:
        return !longer &&
               strncasecmp((const char *) head.bytes, (const char *) asked.bytes, asked.length) == 0;
    case MG_SCIM_EW:
        return !longer &&
               strncasecmp((const char *) have.bytes + rest, (const char *) asked.bytes, asked.length) == 0;
    case MG_SCIM_CO:
        for (size_t at = 0; !longer && at <= rest; at++)
            if (strncasecmp((const char *) have.bytes + at, (const char *) asked.bytes, asked.length) == 0)
                return true;
        return false;
    default: /* PR; an order among names of types has no use and meets nothing */
        return operation == MG_SCIM_PR;
    }
}

static bool
address_meets(const struct mg_scim_node *node)
{
    if (node->attribute == MG_SCIM_email_primary) /* it is the primary one */
        return node->operation == MG_SCIM_PR || (node->operation == MG_SCIM_EQ) == node->flag;
    return text_meets(node->operation, mg_view_text("work"), node->text);
}

enum mg_scim_problem
mg_scim_email_pick(const struct mg_scim_filter *filter, enum mg_scim_pick *ret_pick,
                   struct mg_view *ret_value)
{
    bool stack[MG_SCIM_FILTER_NODES];
    size_t height = 0;
    *ret_value = MG_VIEW_EMPTY;
    if (filter->count == 1 && filter->nodes[0].attribute == MG_SCIM_email_value &&
        filter->nodes[0].operation == MG_SCIM_EQ && filter->nodes[0].text.length != 0) {
        *ret_pick = MG_SCIM_PICKS_IF;
        *ret_value = filter->nodes[0].text;
        return MG_SCIM_FINE;
    }
    for (size_t i = 0; i < filter->count; i++) {
        const struct mg_scim_node *node = &filter->nodes[i];
        if (node->operation == MG_SCIM_AND || node->operation == MG_SCIM_OR) {
            mg_must(height > 1); /* as its reader makes them */
            height--;
            stack[height - 1] = node->operation == MG_SCIM_AND ? stack[height - 1] && stack[height]
                                                               : stack[height - 1] || stack[height];
        } else if (node->operation == MG_SCIM_NOT) {
            mg_must(height > 0);
            stack[height - 1] = !stack[height - 1];
        } else if (node->attribute == MG_SCIM_email_value) {
            return MG_SCIM_PROBLEM_filter; /* what the address is now is not known here */
        } else {
            stack[height++] = address_meets(node);
        }
    }
    *ret_pick = height == 1 && stack[0] ? MG_SCIM_PICKS_IT : MG_SCIM_PICKS_NONE;
    return MG_SCIM_FINE;
}

enum mg_scim_problem
mg_scim_set_email_if(struct mg_scim_changes *changes, struct mg_view present, struct mg_view text)
{
    if (text.length > MG_SCIM_TEXT_MOST || !is_clean(text))
        return say(changes, MG_SCIM_email_value, MG_SCIM_PROBLEM_value);
    return add(changes, (struct mg_scim_change){.attribute = MG_SCIM_email_value,
                                                .clear = text.length == 0,
                                                .text = text,
                                                .present = present});
}

/* ---- whole resources ---- */

static bool
has(const struct mg_scim_changes *changes, enum mg_scim_attribute attribute)
{
    for (size_t i = 0; i < changes->count; i++)
        if (changes->list[i].attribute == attribute)
            return true;
    return false;
}

enum mg_scim_problem
mg_scim_new_judge(struct mg_scim_changes *changes)
{
    const enum mg_scim_attribute name =
        changes->resource == MG_SCIM_USER ? MG_SCIM_user_name : MG_SCIM_group_name;
    return has(changes, name) ? MG_SCIM_FINE : say(changes, name, MG_SCIM_PROBLEM_value);
}

enum mg_scim_problem
mg_scim_replace_complete(struct mg_scim_changes *changes)
{
    static const enum mg_scim_attribute of_user[] = {MG_SCIM_user_external_id, MG_SCIM_name_formatted,
                                                     MG_SCIM_name_family,      MG_SCIM_name_given,
                                                     MG_SCIM_display_name,     MG_SCIM_email_value};
    static const enum mg_scim_attribute of_group[] = {MG_SCIM_group_external_id};
    const bool user = changes->resource == MG_SCIM_USER;
    const enum mg_scim_attribute *list = user ? of_user : of_group;
    for (size_t i = 0; i < (user ? MG_COUNT(of_user) : MG_COUNT(of_group)); i++)
        if (!has(changes, list[i])) {
            const enum mg_scim_problem problem = mg_scim_clear(changes, list[i], false);
            if (problem != MG_SCIM_FINE)
                return problem;
        }
    if (!user && (changes->member_count == 0 || changes->members[0].act != MG_SCIM_LEAVE_ALL)) {
        if (changes->member_count == MG_SCIM_MEMBERS_MOST)
            return MG_SCIM_PROBLEM_too_large;
        memmove(changes->members + 1, changes->members, changes->member_count * sizeof changes->members[0]);
        changes->members[0] = (struct mg_scim_member_change){.act = MG_SCIM_LEAVE_ALL};
        changes->member_count++;
    }
    return mg_scim_new_judge(changes);
}
