/* SCIM: what is offered, made from catalogue/scim.def (RFC 7643 sections 5, 6 and 7). */
#include "process/portal/scim.h"

#include <inttypes.h>

static CHECKED struct mg_status
description_add(const struct visit *visit, const struct mg_scim_attribute_row *row, struct mg_buffer *out)
{
    return mg_buffer_add_json_string(out, mg_view_text(visit->language == MG_JAPANESE ? row->ja : row->en));
}

static const char *
type_word(enum mg_scim_type type)
{
    switch (type) {
    case MG_SCIM_BOOLEAN:
        return "boolean";
    case MG_SCIM_INSTANT:
        return "dateTime";
    case MG_SCIM_COMPLEX:
    case MG_SCIM_MANY:
        return "complex";
    default:
        return "string";
    }
}

static CHECKED struct mg_status
attribute_add(const struct visit *visit, enum mg_scim_attribute attribute, struct mg_buffer *out)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    const char *dot = strchr(row->path, '.');
    const bool name = attribute == MG_SCIM_user_name || attribute == MG_SCIM_group_name;
    TRY(mg_buffer_format(
        out,
        "{\"name\":\"%s\",\"type\":\"%s\",\"multiValued\":%s,\"required\":%s,\"caseExact\":%s,"
        "\"mutability\":\"%s\",\"returned\":\"default\",\"uniqueness\":\"%s\",\"description\":",
        dot == NULL ? row->path : dot + 1, type_word(row->type), row->type == MG_SCIM_MANY ? "true" : "false",
        name ? "true" : "false", row->type == MG_SCIM_EXACT ? "true" : "false",
        row->read_only ? "readOnly" : "readWrite", name ? "server" : "none"));
    TRY(description_add(visit, row, out));
    if (row->type == MG_SCIM_COMPLEX || row->type == MG_SCIM_MANY) {
        TRY(mg_buffer_add_text(out, ",\"subAttributes\":["));
        for (int part = (int) attribute + 1;
             part < MG_SCIM_ATTRIBUTE_COUNT && mg_scim_parent((enum mg_scim_attribute) part) == attribute;
             part++) {
            TRY(mg_buffer_add_text(out, part == (int) attribute + 1 ? "" : ","));
            TRY(attribute_add(visit, (enum mg_scim_attribute) part, out));
        }
        TRY(mg_buffer_add_text(out, "]"));
    }
    return mg_buffer_add_text(out, "}");
}

/* Common attributes stand in no schema (RFC 7643 section 3.1). */
static bool
is_common(enum mg_scim_attribute attribute)
{
    return attribute == MG_SCIM_user_id || attribute == MG_SCIM_user_external_id ||
           attribute == MG_SCIM_user_meta || attribute == MG_SCIM_group_id ||
           attribute == MG_SCIM_group_external_id || attribute == MG_SCIM_group_meta;
}

static CHECKED struct mg_status
schema_add(struct visit *visit, enum mg_scim_resource resource, struct mg_buffer *out)
{
    const char *schema = resource == MG_SCIM_USER ? MG_SCIM_USER_SCHEMA : MG_SCIM_GROUP_SCHEMA;
    bool first = true;
    TRY(mg_buffer_format(
        out,
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Schema\"],\"id\":\"%s\",\"name\":\"%s\","
        "\"attributes\":[",
        schema, resource == MG_SCIM_USER ? "User" : "Group"));
    for (int i = 1; i < MG_SCIM_ATTRIBUTE_COUNT; i++) {
        const enum mg_scim_attribute attribute = (enum mg_scim_attribute) i;
        if (mg_scim_attribute_row(attribute)->resource != resource || is_common(attribute) ||
            mg_scim_parent(attribute) != MG_SCIM_NOTHING)
            continue;
        TRY(mg_buffer_add_text(out, first ? "" : ","));
        TRY(attribute_add(visit, attribute, out));
        first = false;
    }
    return mg_buffer_format(
        out, "],\"meta\":{\"resourceType\":\"Schema\",\"location\":\"%s" SCIM_PLACE "/Schemas/%s\"}}",
        visit->own_origin, schema);
}

static CHECKED struct mg_status
type_add(struct visit *visit, enum mg_scim_resource resource, struct mg_buffer *out)
{
    const bool user = resource == MG_SCIM_USER;
    return mg_buffer_format(
        out,
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:ResourceType\"],\"id\":\"%s\","
        "\"name\":\"%s\",\"endpoint\":\"/%ss\",\"schema\":\"%s\",\"meta\":{\"resourceType\":"
        "\"ResourceType\",\"location\":\"%s" SCIM_PLACE "/ResourceTypes/%s\"}}",
        user ? "User" : "Group", user ? "User" : "Group", user ? "User" : "Group",
        user ? MG_SCIM_USER_SCHEMA : MG_SCIM_GROUP_SCHEMA, visit->own_origin, user ? "User" : "Group");
}

static CHECKED struct mg_status
config_add(struct visit *visit, struct mg_buffer *out)
{
    return mg_buffer_format(
        out,
        "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig\"],"
        "\"patch\":{\"supported\":true},\"bulk\":{\"supported\":false,\"maxOperations\":0,\"maxPayloadSize\":%d},"
        "\"filter\":{\"supported\":true,\"maxResults\":%d},\"changePassword\":{\"supported\":false},"
        "\"sort\":{\"supported\":true},\"etag\":{\"supported\":true},\"authenticationSchemes\":[{\"type\":"
        "\"oauthbearertoken\",\"name\":\"API token\",\"description\":\"%s\",\"specUri\":"
        "\"https://www.rfc-editor.org/rfc/rfc6750\",\"primary\":true}],\"meta\":{\"resourceType\":"
        "\"ServiceProviderConfig\",\"location\":\"%s" SCIM_PLACE "/ServiceProviderConfig\"}}",
        MG_SCIM_BODY_BYTES, MG_SCIM_PAGE_MOST,
        say(visit, N_("an API token of a service account that holds users.provision")), visit->own_origin);
}

typedef struct mg_status adder(struct visit *visit, enum mg_scim_resource resource, struct mg_buffer *out);

static CHECKED struct mg_status
both_add(struct visit *visit, adder *add, struct mg_buffer *out)
{
    TRY(scim_list_begin(out, 2, 1, 2));
    TRY(add(visit, MG_SCIM_USER, out));
    TRY(mg_buffer_add_text(out, ","));
    TRY(add(visit, MG_SCIM_GROUP, out));
    return mg_buffer_add_text(out, "]}");
}

struct mg_status
scim_document_show(struct visit *visit, struct mg_view name, bool *ret_found)
{
    struct mg_buffer *out = &visit->answer->body;
    *ret_found = true;
    if (mg_view_is(name, "ServiceProviderConfig"))
        TRY(config_add(visit, out));
    else if (mg_view_is(name, "ResourceTypes"))
        TRY(both_add(visit, type_add, out));
    else if (mg_view_is(name, "ResourceTypes/User") || mg_view_is(name, "ResourceTypes/Group"))
        TRY(type_add(visit, mg_view_is(name, "ResourceTypes/User") ? MG_SCIM_USER : MG_SCIM_GROUP, out));
    else if (mg_view_is(name, "Schemas"))
        TRY(both_add(visit, schema_add, out));
    else if (mg_view_is(name, "Schemas/" MG_SCIM_USER_SCHEMA) ||
             mg_view_is(name, "Schemas/" MG_SCIM_GROUP_SCHEMA))
        TRY(schema_add(visit, mg_view_is(name, "Schemas/" MG_SCIM_USER_SCHEMA) ? MG_SCIM_USER : MG_SCIM_GROUP,
                       out));
    else
        *ret_found = false;
    return *ret_found ? scim_headers(visit, 200) : OK;
}
