#include "domain/scim.h"

#include <string.h>
#include <strings.h>

static const struct mg_scim_attribute_row attributes[] = {
    [MG_SCIM_NOTHING] = {.path = NULL},
#define READ_WRITE false
#define READ_ONLY true
#define SCIM_ATTRIBUTE(name, resource, path, type, writes, en, ja) \
    [MG_SCIM_##name] = {MG_SCIM_##resource, path, MG_SCIM_##type, writes, en, ja},
#include "../../catalogue/scim.def"
};

/* In the order of the table: parts follow what they are parts of. */
static const char *const ignored[] = {
#define SCIM_IGNORED(path) path,
#include "../../catalogue/scim.def"
};

static const struct mg_scim_problem_row problems[] = {
#define SCIM_PROBLEM(name, status, type, en, ja) [MG_SCIM_PROBLEM_##name] = {status, type, en, ja},
#include "../../catalogue/scim.def"
};

const struct mg_scim_attribute_row *
mg_scim_attribute_row(enum mg_scim_attribute attribute)
{
    return attribute > MG_SCIM_NOTHING && attribute < MG_SCIM_ATTRIBUTE_COUNT ? &attributes[attribute] : NULL;
}

const struct mg_scim_problem_row *
mg_scim_problem_row(enum mg_scim_problem problem)
{
    return &problems[problem > MG_SCIM_FINE && problem < MG_SCIM_PROBLEM_COUNT ? problem
                                                                               : MG_SCIM_PROBLEM_busy];
}

const char *
mg_scim_problem_code(enum mg_scim_problem problem)
{
    static const char *const codes[] = {
#define SCIM_PROBLEM(name, ...) [MG_SCIM_PROBLEM_##name] = "SCIM_" #name "|",
#include "../../catalogue/scim.def"
    };
    return codes[problem > MG_SCIM_FINE && problem < MG_SCIM_PROBLEM_COUNT ? problem : MG_SCIM_PROBLEM_busy];
}

enum mg_scim_attribute
mg_scim_parent(enum mg_scim_attribute attribute)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(attribute);
    const char *dot = row == NULL ? NULL : strchr(row->path, '.');
    if (dot == NULL)
        return MG_SCIM_NOTHING;
    while (strchr(attributes[--attribute].path, '.') != NULL)
        ;
    return attribute;
}

bool
mg_scim_id_parse(struct mg_view text, uint64_t *ret_id)
{
    return mg_ok(mg_parse_u64(text, INT64_MAX, ret_id)) && *ret_id != 0;
}

bool
mg_scim_words_equal(struct mg_view word, const char *text)
{
    return word.length == strlen(text) && strncasecmp((const char *) word.bytes, text, word.length) == 0;
}

static struct mg_view
after(struct mg_view text, size_t length)
{
    return mg_view_of(text.bytes + length, text.length - length);
}

static bool
starts_with(struct mg_view text, const char *prefix)
{
    return text.length >= strlen(prefix) &&
           mg_scim_words_equal(mg_view_of(text.bytes, strlen(prefix)), prefix);
}

/* "a.b" and also "a" of an ignored "a": whatever hangs on what is not kept is not kept either. */
static bool
is_ignored(struct mg_view name)
{
    for (size_t i = 0; i < MG_COUNT(ignored); i++)
        if (mg_scim_words_equal(name, ignored[i]) ||
            (starts_with(name, ignored[i]) && name.bytes[strlen(ignored[i])] == '.'))
            return true;
    return false;
}

enum mg_scim_problem
mg_scim_attribute_find(enum mg_scim_resource resource, struct mg_view name,
                       enum mg_scim_attribute *ret_attribute)
{
    const char *schema = resource == MG_SCIM_USER ? MG_SCIM_USER_SCHEMA : MG_SCIM_GROUP_SCHEMA;
    *ret_attribute = MG_SCIM_NOTHING;
    if (starts_with(name, schema) && name.length > strlen(schema) && name.bytes[strlen(schema)] == ':')
        name = after(name, strlen(schema) + 1);
    else if (starts_with(name, "urn:")) /* an extension's (RFC 7643 section 3.3): none of them is kept */
        return name.length > 4 ? MG_SCIM_FINE : MG_SCIM_PROBLEM_path;
    for (size_t i = 1; i < MG_SCIM_ATTRIBUTE_COUNT; i++)
        if (attributes[i].resource == resource && mg_scim_words_equal(name, attributes[i].path)) {
            *ret_attribute = (enum mg_scim_attribute) i;
            return MG_SCIM_FINE;
        }
    return is_ignored(name) ? MG_SCIM_FINE : MG_SCIM_PROBLEM_path;
}

enum mg_scim_problem
mg_scim_part_find(enum mg_scim_attribute parent, struct mg_view name, enum mg_scim_attribute *ret_attribute)
{
    const struct mg_scim_attribute_row *row = mg_scim_attribute_row(parent);
    char path[128];
    *ret_attribute = MG_SCIM_NOTHING;
    if (row == NULL || name.length == 0 || strlen(row->path) + 1 + name.length >= sizeof path)
        return MG_SCIM_PROBLEM_path;
    const size_t length = strlen(row->path);
    memcpy(path, row->path, length);
    path[length] = '.';
    memcpy(path + length + 1, name.bytes, name.length);
    return mg_scim_attribute_find(row->resource, mg_view_of(path, length + 1 + name.length), ret_attribute);
}
