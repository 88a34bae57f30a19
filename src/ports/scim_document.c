#include "ports/scim_document.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

struct mg_scim_document {
    json_t *json;
    struct mg_scim_changes changes;
    struct mg_scim_path path; /* of the operation that is being read */
    char present[MG_SCIM_CHANGES_MOST][MG_SCIM_VALUE_BYTES + 1];
};

void
mg_scim_document_drop(struct mg_scim_document **document)
{
    if (*document == NULL)
        return;
    json_decref((*document)->json);
    free(*document);
    *document = NULL;
}

struct mg_scim_changes *
mg_scim_document_changes(struct mg_scim_document *document)
{
    return &document->changes;
}

static void
json_drop(json_t **json)
{
    json_decref(*json);
    *json = NULL;
}
#define OWN_JSON MG_CLEANUP(json_drop) json_t *

/* ---- JSON ---- */

static json_t *
object_parse(struct mg_view body)
{
    json_error_t error;
    OWN_JSON json = body.length > MG_SCIM_BODY_BYTES
                        ? NULL
                        : json_loadb((const char *) body.bytes, body.length, JSON_REJECT_DUPLICATES, &error);
    return json_is_object(json) ? TAKE(json) : NULL;
}

static struct mg_view
text_of(const json_t *json)
{
    return json_is_string(json) ? mg_view_of(json_string_value(json), json_string_length(json))
                                : MG_VIEW_EMPTY;
}

/* Names of members have no case (RFC 7643 section 2.1). */
static json_t *
member_of(json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) if (mg_scim_words_equal(mg_view_text(key), name)) return value;
    return NULL;
}

static bool
has_schema(json_t *object, const char *schema)
{
    json_t *list = member_of(object, "schemas");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (mg_scim_words_equal(text_of(json_array_get(list, i)), schema))
            return true;
    return false;
}

/* ---- values ---- */

/* How a value is taken in. */
struct taking {
    struct mg_scim_changes *changes;
    bool lenient; /* what cannot be written is left out */
    enum mg_scim_member_act member_act;
};

static enum mg_scim_problem value_take(const struct taking *taking, enum mg_scim_attribute attribute,
                                       json_t *value);

static enum mg_scim_problem
bad_value(const struct taking *taking, enum mg_scim_attribute attribute)
{
    taking->changes->about = mg_scim_attribute_row(attribute)->path;
    return MG_SCIM_PROBLEM_value;
}

static enum mg_scim_problem
parts_take(const struct taking *taking, enum mg_scim_attribute attribute, json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        enum mg_scim_attribute part;
        enum mg_scim_problem problem = mg_scim_part_find(attribute, mg_view_text(key), &part);
        if (problem == MG_SCIM_FINE)
            problem = value_take(&(struct taking){taking->changes, true, taking->member_act}, part, value);
        else if (taking->lenient)
            problem = MG_SCIM_FINE;
        else
            taking->changes->about = mg_scim_attribute_row(attribute)->path;
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

/* Of several addresses one is kept: the primary one, else the one of type work, else the first. */
static enum mg_scim_problem
emails_take(const struct taking *taking, json_t *list)
{
    json_t *chosen = NULL;
    int best = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *entry = json_array_get(list, i);
        json_t *primary = member_of(entry, "primary");
        const struct mg_view word = text_of(primary);
        const int rank = json_is_true(primary) || mg_scim_words_equal(word, "true")       ? 3
                         : mg_scim_words_equal(text_of(member_of(entry, "type")), "work") ? 2
                                                                                          : 1;
        if (!json_is_object(entry))
            return bad_value(taking, MG_SCIM_emails);
        if (rank > best && member_of(entry, "value") != NULL) {
            best = rank;
            chosen = member_of(entry, "value");
        }
    }
    if (chosen == NULL)
        return mg_scim_clear(taking->changes, MG_SCIM_email_value, taking->lenient);
    return value_take(taking, MG_SCIM_email_value, chosen);
}

static enum mg_scim_problem
member_take(const struct taking *taking, json_t *entry)
{
    json_t *value = json_is_object(entry) ? member_of(entry, "value") : entry;
    json_t *type = json_is_object(entry) ? member_of(entry, "type") : NULL;
    if (!json_is_string(value) ||
        (type != NULL && !json_is_null(type) && !mg_scim_words_equal(text_of(type), "User")))
        return bad_value(taking, MG_SCIM_members);
    return mg_scim_member(taking->changes, taking->member_act, text_of(value));
}

static enum mg_scim_problem
many_take(const struct taking *taking, enum mg_scim_attribute attribute, json_t *value)
{
    if (mg_scim_attribute_row(attribute)->read_only) {
        if (taking->lenient)
            return MG_SCIM_FINE;
        taking->changes->about = mg_scim_attribute_row(attribute)->path;
        return MG_SCIM_PROBLEM_mutability;
    }
    if (attribute == MG_SCIM_members && !json_is_array(value))
        return member_take(taking, value);
    if (attribute == MG_SCIM_emails && json_is_string(value))
        return value_take(taking, MG_SCIM_email_value, value);
    if (attribute == MG_SCIM_emails && json_is_object(value))
        return parts_take(taking, attribute, value);
    if (!json_is_array(value))
        return bad_value(taking, attribute);
    if (attribute == MG_SCIM_emails)
        return emails_take(taking, value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const enum mg_scim_problem problem = member_take(taking, json_array_get(value, i));
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

static enum mg_scim_problem
value_take(const struct taking *taking, enum mg_scim_attribute attribute, json_t *value)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    if (row == NULL)
        return MG_SCIM_FINE;
    if (attribute == MG_SCIM_member_value)
        return member_take(taking, value);
    if (json_is_null(value)) /* no value (RFC 7643 section 2.5) */
        return taking->lenient && attribute == MG_SCIM_active
                   ? MG_SCIM_FINE
                   : mg_scim_clear(taking->changes, attribute, taking->lenient);
    if (row->type == MG_SCIM_MANY)
        return many_take(taking, attribute, value);
    if (row->type == MG_SCIM_COMPLEX) {
        if (row->read_only && taking->lenient)
            return MG_SCIM_FINE;
        return json_is_object(value) && !row->read_only ? parts_take(taking, attribute, value)
                                                        : bad_value(taking, attribute);
    }
    /* Entra ID has sent simple values as [{"$ref": null, "value": …}]. */
    if (json_is_array(value) && json_array_size(value) == 1)
        value = json_array_get(value, 0);
    if (json_is_object(value))
        value = member_of(value, "value");
    if (json_is_boolean(value))
        return mg_scim_set_flag(taking->changes, attribute, json_is_true(value), taking->lenient);
    return json_is_string(value)
               ? mg_scim_set_text(taking->changes, attribute, text_of(value), taking->lenient)
               : bad_value(taking, attribute);
}

/* ---- POST and PUT ---- */

static CHECKED struct mg_status
document_new(enum mg_scim_resource resource, struct mg_view body, struct mg_scim_document **ret_document)
{
    struct mg_scim_document *document = calloc(1, sizeof *document);
    if (document == NULL)
        return fail(OUT_OF_MEMORY);
    document->changes.resource = resource;
    document->json = object_parse(body);
    *ret_document = document;
    return OK;
}

static enum mg_scim_problem
resource_take(struct mg_scim_document *document)
{
    const enum mg_scim_resource resource = document->changes.resource;
    const struct taking taking = {&document->changes, true, MG_SCIM_JOIN};
    const char *key;
    json_t *value;
    if (!has_schema(document->json, resource == MG_SCIM_USER ? MG_SCIM_USER_SCHEMA : MG_SCIM_GROUP_SCHEMA)) {
        document->changes.about = "schemas";
        return MG_SCIM_PROBLEM_syntax;
    }
    json_object_foreach(document->json, key, value)
    {
        enum mg_scim_attribute attribute;
        if (mg_scim_attribute_find(resource, mg_view_text(key), &attribute) != MG_SCIM_FINE)
            continue; /* RFC 7644 section 3.3: what is not known is left out */
        const enum mg_scim_problem problem = value_take(&taking, attribute, value);
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

struct mg_status
mg_scim_resource_read(enum mg_scim_resource resource, bool replaces, struct mg_view body,
                      struct mg_scim_document **ret_document, enum mg_scim_problem *ret_problem)
{
    OWN(scim_document) document = NULL;
    TRY(document_new(resource, body, &document));
    enum mg_scim_problem problem = MG_SCIM_PROBLEM_syntax;
    if (document->json != NULL)
        problem = resource_take(document);
    if (problem == MG_SCIM_FINE)
        problem =
            replaces ? mg_scim_replace_complete(&document->changes) : mg_scim_new_judge(&document->changes);
    *ret_problem = problem;
    *ret_document = TAKE(document);
    return OK;
}

/* ---- PATCH ---- */

enum patch_kind { PATCH_ADD, PATCH_REPLACE, PATCH_REMOVE };

/* emails[…] and members[…]. */
static enum mg_scim_problem
picked_take(struct mg_scim_document *document, enum patch_kind kind, json_t *value)
{
    struct mg_scim_changes *changes = &document->changes;
    const struct mg_scim_path *path = &document->path;
    const enum mg_scim_attribute parent = mg_scim_parent(path->attribute);
    const enum mg_scim_attribute whole = parent == MG_SCIM_NOTHING ? path->attribute : parent;
    if (whole == MG_SCIM_members)
        return kind == PATCH_REMOVE ? mg_scim_members_pick(&path->filter, MG_SCIM_LEAVE, changes)
                                    : mg_scim_members_pick(&path->filter, MG_SCIM_JOIN, changes);
    if (whole != MG_SCIM_emails) {
        changes->about = mg_scim_attribute_row(whole)->path;
        return MG_SCIM_PROBLEM_mutability;
    }
    enum mg_scim_pick pick = MG_SCIM_PICKS_NONE;
    struct mg_view present = MG_VIEW_EMPTY;
    enum mg_scim_problem problem = mg_scim_email_pick(&path->filter, &pick, &present);
    if (problem != MG_SCIM_FINE || pick == MG_SCIM_PICKS_NONE) /* another address: not kept */
        return problem;
    const enum mg_scim_attribute part = path->attribute == MG_SCIM_emails ? MG_SCIM_emails : path->attribute;
    if (pick == MG_SCIM_PICKS_IT) {
        const struct taking taking = {changes, false, MG_SCIM_JOIN};
        return kind == PATCH_REMOVE ? mg_scim_clear(changes, part, false) : value_take(&taking, part, value);
    }
    if (part != MG_SCIM_emails && part != MG_SCIM_email_value)
        return MG_SCIM_FINE;
    /* The filter is read anew for the next operation: what its text must outlive it is copied. */
    char *kept = document->present[changes->count % MG_SCIM_CHANGES_MOST];
    if (!mg_ok(mg_view_copy(present, kept, sizeof document->present[0])))
        return MG_SCIM_PROBLEM_filter;
    json_t *text = json_is_object(value) ? member_of(value, "value") : value;
    if (kind != PATCH_REMOVE && text == NULL) /* only its type, or whether it is primary */
        return MG_SCIM_FINE;
    if (kind != PATCH_REMOVE && !json_is_string(text))
        return bad_value(&(struct taking){.changes = changes}, MG_SCIM_emails);
    return mg_scim_set_email_if(changes, mg_view_text(kept),
                                kind == PATCH_REMOVE ? MG_VIEW_EMPTY : text_of(text));
}

static enum mg_scim_problem
at_path_take(struct mg_scim_document *document, enum patch_kind kind, struct mg_view path, json_t *value,
             bool lenient)
{
    struct mg_scim_changes *changes = &document->changes;
    const enum mg_scim_problem problem = mg_scim_path_parse(changes->resource, path, &document->path);
    if (problem != MG_SCIM_FINE)
        return problem;
    const enum mg_scim_attribute attribute = document->path.attribute;
    if (attribute == MG_SCIM_NOTHING)
        return MG_SCIM_FINE;
    if (document->path.filter.count != 0)
        return picked_take(document, kind, value);
    if (kind == PATCH_REMOVE && attribute == MG_SCIM_members && value != NULL && !json_is_null(value)) {
        const struct taking leaving = {changes, lenient, MG_SCIM_LEAVE};
        return value_take(&leaving, attribute, value);
    }
    if (kind == PATCH_REMOVE)
        return mg_scim_clear(changes, attribute, lenient);
    if (value == NULL) {
        changes->about = "value";
        return MG_SCIM_PROBLEM_value;
    }
    if (kind == PATCH_REPLACE && attribute == MG_SCIM_members) {
        const enum mg_scim_problem cleared = mg_scim_clear(changes, attribute, lenient);
        if (cleared != MG_SCIM_FINE)
            return cleared;
    }
    const struct taking taking = {changes, lenient, MG_SCIM_JOIN};
    return value_take(&taking, attribute, value);
}

static enum mg_scim_problem
operation_take(struct mg_scim_document *document, json_t *operation)
{
    const struct mg_view word = text_of(member_of(operation, "op"));
    json_t *path = member_of(operation, "path");
    json_t *value = member_of(operation, "value");
    const bool whole = path == NULL || json_is_null(path);
    enum patch_kind kind = PATCH_ADD;
    if (mg_scim_words_equal(word, "replace"))
        kind = PATCH_REPLACE;
    else if (mg_scim_words_equal(word, "remove"))
        kind = PATCH_REMOVE;
    else if (!mg_scim_words_equal(word, "add"))
        return MG_SCIM_PROBLEM_syntax;
    if (!whole)
        return json_is_string(path) ? at_path_take(document, kind, text_of(path), value, false)
                                    : MG_SCIM_PROBLEM_path;
    if (kind == PATCH_REMOVE)
        return MG_SCIM_PROBLEM_no_target;
    const char *key;
    json_t *part;
    if (!json_is_object(value)) {
        document->changes.about = "value";
        return MG_SCIM_PROBLEM_value;
    }
    json_object_foreach(value, key, part)
    {
        const enum mg_scim_problem problem = at_path_take(document, kind, mg_view_text(key), part, true);
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

static enum mg_scim_problem
patch_take(struct mg_scim_document *document)
{
    json_t *operations = member_of(document->json, "Operations");
    document->changes.about = "Operations";
    if (!has_schema(document->json, "urn:ietf:params:scim:api:messages:2.0:PatchOp")) {
        document->changes.about = "schemas";
        return MG_SCIM_PROBLEM_syntax;
    }
    if (!json_is_array(operations) || json_array_size(operations) == 0)
        return MG_SCIM_PROBLEM_syntax;
    if (json_array_size(operations) > MG_SCIM_OPERATIONS_MOST)
        return MG_SCIM_PROBLEM_too_large;
    for (size_t i = 0; i < json_array_size(operations); i++) {
        const enum mg_scim_problem problem = operation_take(document, json_array_get(operations, i));
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}

struct mg_status
mg_scim_patch_read(enum mg_scim_resource resource, struct mg_view body,
                   struct mg_scim_document **ret_document, enum mg_scim_problem *ret_problem)
{
    OWN(scim_document) document = NULL;
    TRY(document_new(resource, body, &document));
    *ret_problem = document->json == NULL ? MG_SCIM_PROBLEM_syntax : patch_take(document);
    *ret_document = TAKE(document);
    return OK;
}

/* ---- lists ---- */

void
mg_scim_query_preset(struct mg_scim_query *query)
{
    *query = (struct mg_scim_query){.start = 1, .count = MG_SCIM_PAGE_MOST};
}

static enum mg_scim_problem
number_set(struct mg_view text, uint64_t least, uint64_t most, uint64_t *number)
{
    /* RFC 7644 section 3.4.2.4: a start below 1 is 1, a count below 0 is 0. */
    if (text.length > 1 && text.bytes[0] == '-' &&
        mg_ok(mg_parse_u64(mg_view_of(text.bytes + 1, text.length - 1), INT64_MAX, number))) {
        *number = least;
        return MG_SCIM_FINE;
    }
    if (!mg_ok(mg_parse_u64(text, INT64_MAX, number)))
        return MG_SCIM_PROBLEM_value;
    *number = *number < least ? least : *number > most ? most : *number;
    return MG_SCIM_FINE;
}

enum mg_scim_problem
mg_scim_query_set(struct mg_scim_query *query, struct mg_view name, struct mg_view value)
{
    if (mg_scim_words_equal(name, "filter"))
        return mg_ok(mg_view_copy(value, query->filter, sizeof query->filter)) ? MG_SCIM_FINE
                                                                               : MG_SCIM_PROBLEM_filter;
    if (mg_scim_words_equal(name, "startIndex"))
        return number_set(value, 1, INT32_MAX, &query->start);
    if (mg_scim_words_equal(name, "count"))
        return number_set(value, 0, MG_SCIM_PAGE_MOST, &query->count);
    if (mg_scim_words_equal(name, "sortOrder")) {
        query->descending = mg_scim_words_equal(value, "descending");
        return query->descending || mg_scim_words_equal(value, "ascending") ? MG_SCIM_FINE
                                                                            : MG_SCIM_PROBLEM_value;
    }
    const struct {
        const char *name;
        char *text;
        size_t size;
    } texts[] = {{"attributes", query->attributes, sizeof query->attributes},
                 {"excludedAttributes", query->excluded, sizeof query->excluded},
                 {"sortBy", query->sort_by, sizeof query->sort_by}};
    for (size_t i = 0; i < MG_COUNT(texts); i++)
        if (mg_scim_words_equal(name, texts[i].name))
            return mg_ok(mg_view_copy(value, texts[i].text, texts[i].size)) ? MG_SCIM_FINE
                                                                            : MG_SCIM_PROBLEM_value;
    return MG_SCIM_FINE;
}

/* ["a", "b"] as "a,b". */
static enum mg_scim_problem
names_join(json_t *list, struct mg_buffer *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)) ||
            (text->length != 0 && !mg_ok(mg_buffer_add_text(text, ","))) ||
            !mg_ok(mg_buffer_add(text, text_of(json_array_get(list, i)))))
            return MG_SCIM_PROBLEM_value;
    return MG_SCIM_FINE;
}

enum mg_scim_problem
mg_scim_search_read(struct mg_view body, struct mg_scim_query *ret_query)
{
    OWN_JSON json = object_parse(body);
    const char *key;
    json_t *value;
    mg_scim_query_preset(ret_query);
    if (json == NULL || !has_schema(json, "urn:ietf:params:scim:api:messages:2.0:SearchRequest"))
        return MG_SCIM_PROBLEM_syntax;
    json_object_foreach(json, key, value)
    {
        OWN_BUFFER(text, MG_SCIM_FILTER_BYTES);
        enum mg_scim_problem problem = MG_SCIM_FINE;
        if (json_is_null(value) || mg_scim_words_equal(mg_view_text(key), "schemas"))
            continue;
        if (json_is_integer(value))
            problem = mg_ok(mg_buffer_format(&text, "%" PRId64, (int64_t) json_integer_value(value)))
                          ? MG_SCIM_FINE
                          : MG_SCIM_PROBLEM_value;
        else if (json_is_array(value))
            problem = names_join(value, &text);
        else if (!json_is_string(value) || !mg_ok(mg_buffer_add(&text, text_of(value))))
            problem = MG_SCIM_PROBLEM_value;
        if (problem == MG_SCIM_FINE)
            problem = mg_scim_query_set(ret_query, mg_view_text(key), mg_buffer_view(&text));
        if (problem != MG_SCIM_FINE)
            return problem;
    }
    return MG_SCIM_FINE;
}
