/* SCIM: resources, lists and errors as JSON. */
#include "process/portal/scim.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- which attributes ---- */

static void
mark(enum mg_scim_attribute attribute, bool shown, struct scim_selection *selection)
{
    selection->shown[attribute] = shown;
    for (int part = (int) attribute + 1;
         part < MG_SCIM_ATTRIBUTE_COUNT && mg_scim_parent((enum mg_scim_attribute) part) == attribute; part++)
        selection->shown[part] = shown;
}

static void
names_mark(const char *names, enum mg_scim_resource resource, bool shown, struct scim_selection *selection)
{
    for (const char *at = names; *at != '\0';) {
        enum mg_scim_attribute attribute;
        at += strspn(at, ", ");
        const size_t length = strcspn(at, ", ");
        if (length != 0 &&
            mg_scim_attribute_find(resource, mg_view_of(at, length), &attribute) == MG_SCIM_FINE &&
            attribute != MG_SCIM_NOTHING)
            mark(attribute, shown, selection);
        at += length;
    }
}

void
scim_select(const struct mg_scim_query *query, enum mg_scim_resource resource,
            struct scim_selection *ret_selection)
{
    const bool all = query->attributes[0] == '\0';
    for (size_t i = 0; i < MG_SCIM_ATTRIBUTE_COUNT; i++)
        ret_selection->shown[i] = all;
    names_mark(query->attributes, resource, true, ret_selection);
    if (all)
        names_mark(query->excluded, resource, false, ret_selection);
    ret_selection->shown[MG_SCIM_user_id] = ret_selection->shown[MG_SCIM_group_id] = true;
}

/* ---- JSON ---- */

struct object {
    struct mg_buffer *out;
    const struct scim_selection *selection;
    size_t begin; /* where it began: a comma goes before every member but the first */
};

static CHECKED struct mg_status
name_add(struct object *object, const char *name)
{
    const bool first = object->out->length == object->begin;
    return mg_buffer_format(object->out, "%s\"%s\":", first ? "" : ",", name);
}

static CHECKED struct mg_status
text_add(struct object *object, enum mg_scim_attribute attribute, const char *name, struct mg_view text)
{
    if (text.length == 0 || !object->selection->shown[attribute])
        return OK;
    TRY(name_add(object, name));
    return mg_buffer_add_json_string(object->out, text);
}

static CHECKED struct mg_status
flag_add(struct object *object, enum mg_scim_attribute attribute, const char *name, bool flag)
{
    if (!object->selection->shown[attribute])
        return OK;
    TRY(name_add(object, name));
    return mg_buffer_add_text(object->out, flag ? "true" : "false");
}

/* A complex value is shown when something of it is: what was begun in vain is taken back. */
struct part {
    struct object object;
    size_t before;
};

static CHECKED struct mg_status
part_begin(struct object *object, const char *name, const char *open, struct part *ret_part)
{
    ret_part->before = object->out->length;
    TRY(name_add(object, name));
    TRY(mg_buffer_add_text(object->out, open));
    ret_part->object = (struct object){object->out, object->selection, object->out->length};
    return OK;
}

static CHECKED struct mg_status
part_end(struct part *part, const char *close)
{
    if (part->object.out->length != part->object.begin)
        return mg_buffer_add_text(part->object.out, close);
    part->object.out->length = part->before;
    return OK;
}

struct named {
    uint64_t id, version;
    const char *type, *place, *schema;
    mg_instant created_at, changed_at;
    enum mg_scim_attribute meta, created, changed;
};

static CHECKED struct mg_status
head_add(struct object *object, const struct named *named)
{
    return mg_buffer_format(object->out, "\"schemas\":[\"%s\"],\"id\":\"%" PRIu64 "\"", named->schema,
                            named->id);
}

static CHECKED struct mg_status
meta_add(const struct visit *visit, struct object *object, const struct named *named)
{
    const struct scim_selection *selection = object->selection;
    char created[MG_INSTANT_TEXT], changed[MG_INSTANT_TEXT];
    struct part meta;
    mg_instant_text(named->created_at, created);
    mg_instant_text(named->changed_at, changed);
    TRY(part_begin(object, "meta", "{", &meta));
    if (selection->shown[named->meta])
        TRY(mg_buffer_format(object->out,
                             "\"resourceType\":\"%s\",\"location\":\"%s" SCIM_PLACE "/%s/%" PRIu64
                             "\",\"version\":\"W/\\\"%" PRIu64 "\\\"\"",
                             named->type, visit->own_origin, named->place, named->id, named->version));
    TRY(text_add(&meta.object, named->created, "created", mg_view_text(created)));
    TRY(text_add(&meta.object, named->changed, "lastModified", mg_view_text(changed)));
    return part_end(&meta, "}");
}

/* ---- users ---- */

static CHECKED struct mg_status
user_groups_add(const struct visit *visit, struct object *object, struct mg_view lines)
{
    struct part groups;
    TRY(part_begin(object, "groups", "[", &groups));
    while (lines.length != 0) {
        const uint8_t *end = memchr(lines.bytes, '\n', lines.length);
        const size_t length = end == NULL ? lines.length : (size_t) (end - lines.bytes);
        const uint8_t *space = memchr(lines.bytes, ' ', length);
        if (space == NULL)
            return fail_with(MALFORMED, "a group without a name");
        const size_t digits = (size_t) (space - lines.bytes);
        const struct mg_view id = mg_view_of(lines.bytes, digits);
        struct part one;
        if (groups.object.out->length != groups.object.begin)
            TRY(mg_buffer_add_text(object->out, ","));
        one.before = object->out->length;
        TRY(mg_buffer_add_text(object->out, "{"));
        one.object = (struct object){object->out, object->selection, object->out->length};
        TRY(text_add(&one.object, MG_SCIM_user_group_value, "value", id));
        TRY(text_add(&one.object, MG_SCIM_user_group_display, "display",
                     mg_view_of(space + 1, length - digits - 1)));
        if (object->selection->shown[MG_SCIM_user_groups])
            TRY(mg_buffer_format(object->out, ",\"$ref\":\"%s" SCIM_PLACE "/Groups/%.*s\"", visit->own_origin,
                                 (int) id.length, (const char *) id.bytes));
        TRY(part_end(&one, "}"));
        if (object->out->length == one.before) { /* nothing of a group is wanted */
            object->out->length = groups.object.begin;
            break;
        }
        lines = end == NULL ? MG_VIEW_EMPTY : mg_view_of(end + 1, lines.length - length - 1);
    }
    return part_end(&groups, "]");
}

struct mg_status
scim_render_user(struct visit *visit, const struct scim_selection *selection,
                 const struct mg_record_scim_user *user, struct mg_buffer *out)
{
    TRY(mg_buffer_add_text(out, "{"));
    struct object object = {out, selection, out->length};
    const struct named named = {.id = user->user,
                                .version = user->version,
                                .type = "User",
                                .place = "Users",
                                .schema = MG_SCIM_USER_SCHEMA,
                                .created_at = user->created_at,
                                .changed_at = user->changed_at,
                                .meta = MG_SCIM_user_meta,
                                .created = MG_SCIM_user_meta_created,
                                .changed = MG_SCIM_user_meta_changed};
    struct part part;
    TRY(head_add(&object, &named));
    TRY(text_add(&object, MG_SCIM_user_external_id, "externalId", user->external_id));
    TRY(text_add(&object, MG_SCIM_user_name, "userName", user->login));
    TRY(part_begin(&object, "name", "{", &part));
    TRY(text_add(&part.object, MG_SCIM_name_formatted, "formatted", user->formatted));
    TRY(text_add(&part.object, MG_SCIM_name_family, "familyName", user->family));
    TRY(text_add(&part.object, MG_SCIM_name_given, "givenName", user->given));
    TRY(part_end(&part, "}"));
    TRY(text_add(&object, MG_SCIM_display_name, "displayName", user->name));
    TRY(text_add(&object, MG_SCIM_language, "preferredLanguage", user->language));
    TRY(flag_add(&object, MG_SCIM_active, "active", user->active));
    if (user->email.length != 0) {
        TRY(part_begin(&object, "emails", "[{", &part));
        TRY(text_add(&part.object, MG_SCIM_email_value, "value", user->email));
        TRY(text_add(&part.object, MG_SCIM_email_type, "type", mg_view_text("work")));
        TRY(flag_add(&part.object, MG_SCIM_email_primary, "primary", true));
        TRY(part_end(&part, "}]"));
    }
    TRY(user_groups_add(visit, &object, user->groups));
    TRY(meta_add(visit, &object, &named));
    return mg_buffer_add_text(out, "}");
}

/* ---- groups ---- */

struct mg_status
scim_render_member(const struct scim_selection *selection, const struct mg_record_scim_member_row *member,
                   struct mg_buffer *out)
{
    char id[24];
    struct part part = {.before = out->length};
    (void) snprintf(id, sizeof id, "%" PRIu64, member->user);
    TRY(mg_buffer_add_text(out, out->length == 0 ? "{" : ",{"));
    part.object = (struct object){out, selection, out->length};
    TRY(text_add(&part.object, MG_SCIM_member_value, "value", mg_view_text(id)));
    TRY(text_add(&part.object, MG_SCIM_member_display, "display", member->login));
    TRY(text_add(&part.object, MG_SCIM_member_type, "type", mg_view_text("User")));
    return part_end(&part, "}");
}

struct mg_status
scim_render_group(struct visit *visit, const struct scim_selection *selection,
                  const struct mg_record_scim_group *group, struct mg_view members, struct mg_buffer *out)
{
    TRY(mg_buffer_add_text(out, "{"));
    struct object object = {out, selection, out->length};
    const struct named named = {.id = group->group,
                                .version = group->version,
                                .type = "Group",
                                .place = "Groups",
                                .schema = MG_SCIM_GROUP_SCHEMA,
                                .created_at = group->created_at,
                                .changed_at = group->changed_at,
                                .meta = MG_SCIM_group_meta,
                                .created = MG_SCIM_group_meta_created,
                                .changed = MG_SCIM_group_meta_changed};
    TRY(head_add(&object, &named));
    TRY(text_add(&object, MG_SCIM_group_external_id, "externalId", group->external_id));
    TRY(text_add(&object, MG_SCIM_group_name, "displayName", group->name));
    if (members.length != 0) {
        TRY(name_add(&object, "members"));
        TRY(mg_buffer_add_text(out, "["));
        TRY(mg_buffer_add(out, members));
        TRY(mg_buffer_add_text(out, "]"));
    }
    TRY(meta_add(visit, &object, &named));
    return mg_buffer_add_text(out, "}");
}

struct mg_status
scim_list_begin(struct mg_buffer *out, uint64_t total, uint64_t start, uint64_t count)
{
    return mg_buffer_format(
        out,
        "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:ListResponse\"],\"totalResults\":%" PRIu64
        ",\"startIndex\":%" PRIu64 ",\"itemsPerPage\":%" PRIu64 ",\"Resources\":[",
        total, start, count);
}

/* ---- answers ---- */

struct mg_status
scim_headers(struct visit *visit, unsigned status)
{
    visit->answer->status = status;
    visit->answer->content_type = "application/scim+json; charset=utf-8";
    TRY(mg_web_header_add(visit->answer, "Cache-Control", "no-store"));
    TRY(mg_web_header_add(visit->answer, "X-Content-Type-Options", "nosniff"));
    return mg_web_header_add(visit->answer, "Content-Security-Policy",
                             "default-src 'none'; frame-ancestors 'none'");
}

struct mg_status
scim_headers_of(struct visit *visit, enum mg_scim_resource resource, uint64_t id, uint64_t version,
                bool with_place)
{
    TRY(mg_web_header_add(visit->answer, "ETag", "W/\"%" PRIu64 "\"", version));
    if (!with_place)
        return OK;
    return mg_web_header_add(visit->answer, "Location", "%s" SCIM_PLACE "/%s/%" PRIu64, visit->own_origin,
                             resource == MG_SCIM_USER ? "Users" : "Groups", id);
}

struct mg_status
scim_problem(struct visit *visit, enum mg_scim_problem problem, struct mg_view about)
{
    const struct mg_scim_problem_row *row = mg_scim_problem_row(problem);
    struct mg_buffer *out = &visit->answer->body;
    OWN_BUFFER(detail, 2048);
    mg_buffer_clear(out);
    TRY(mg_buffer_add_text(&detail, visit->language == MG_JAPANESE ? row->ja : row->en));
    if (about.length != 0)
        TRY(mg_buffer_format(&detail, " (%.*s)", (int) mg_view_start(about, 200).length,
                             (const char *) about.bytes));
    TRY(mg_buffer_add_text(out, "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:Error\"],"));
    if (row->type[0] != '\0')
        TRY(mg_buffer_format(out, "\"scimType\":\"%s\",", row->type));
    TRY(mg_buffer_add_text(out, "\"detail\":"));
    TRY(mg_buffer_add_json_string(out, mg_buffer_view(&detail)));
    TRY(mg_buffer_format(out, ",\"status\":\"%u\"}", row->status));
    if (row->status == 401)
        TRY(mg_web_header_add(visit->answer, "WWW-Authenticate",
                              "Bearer realm=\"scim\", error=\"invalid_token\""));
    if (row->status == 503)
        TRY(mg_web_header_add(visit->answer, "Retry-After", "10"));
    TRY(mg_web_header_add(visit->answer, "Content-Language", "%s", mg_language_tag(visit->language)));
    return scim_headers(visit, row->status);
}
