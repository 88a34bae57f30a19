/* SCIM: filters, paths, PATCH as Okta and Entra ID send it, bounds. */
#include "domain/group_roles.h"
#include "ports/scim_document.h"

#include <inttypes.h>
#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- filters ---- */

static struct mg_scim_filter filter;

static bool
parses(enum mg_scim_resource resource, const char *text)
{
    size_t at = 0;
    const bool fine = mg_scim_filter_parse(resource, mg_view_text(text), &filter, &at) == MG_SCIM_FINE;
    if (fine) /* what is parsed is what the authority takes */
        assert_true(mg_scim_filter_is_sound(resource, filter.nodes, filter.count));
    return fine;
}

static const char *
shape(void)
{
    static char text[512];
    static const char *const words[] = {"",   "eq", "ne", "co",  "sw",     "ew",  "gt", "ge",
                                        "lt", "le", "pr", "not", "within", "and", "or"};
    size_t length = 0;
    for (size_t i = 0; i < filter.count; i++)
        length += (size_t) snprintf(text + length, sizeof text - length, "%s%s", i == 0 ? "" : " ",
                                    words[filter.nodes[i].operation]);
    return text;
}

static void
the_grammar_is_read(void **state)
{
    (void) state;
    assert_true(parses(MG_SCIM_USER, "userName eq \"bjensen\""));
    assert_int_equal(filter.nodes[0].attribute, MG_SCIM_user_name);
    assert_true(mg_view_is(filter.nodes[0].text, "bjensen"));
    /* The examples of RFC 7644 section 3.4.2.2, as far as the attributes are kept. */
    assert_true(parses(MG_SCIM_USER, "name.familyName co \"O'Malley\""));
    assert_true(parses(MG_SCIM_USER, "userName sw \"J\""));
    assert_true(parses(MG_SCIM_USER, "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"J\""));
    assert_true(parses(MG_SCIM_USER, "meta.lastModified gt \"2011-05-13T04:42:34Z\""));
    assert_true(
        parses(MG_SCIM_USER, "meta.lastModified le \"2011-05-13T04:42:34Z\" and emails co \"example.org\""));
    assert_true(parses(MG_SCIM_USER,
                       "active eq true and (emails co \"example.com\" or emails.value co \"example.org\")"));
    assert_string_equal(shape(), "eq co co or and");
    assert_true(
        parses(MG_SCIM_USER,
               "active eq false and not (emails co \"example.com\" or emails.value co \"example.org\")"));
    assert_string_equal(shape(), "eq co co or not and");
    assert_true(parses(MG_SCIM_USER,
                       "emails[type eq \"work\" and value co \"@example.com\"] or groups[value eq \"7\"]"));
    assert_string_equal(shape(), "eq co and within eq within or");
    assert_true(parses(MG_SCIM_GROUP, "id eq \"4\" and members eq \"17\"")); /* Entra ID */
    assert_int_equal(filter.nodes[1].attribute, MG_SCIM_member_value);
    assert_true(parses(MG_SCIM_USER, "a eq \"x\"") == false);
    /* Neither names nor operators have a case; and binds before or. */
    assert_true(parses(MG_SCIM_USER, "USERNAME Eq \"a\" OR displayname PR AND active EQ True"));
    assert_string_equal(shape(), "eq pr eq and or");
    assert_true(parses(MG_SCIM_USER, "userName eq \"\\u679D\\uD83D\\uDE00\\n\\\"\""));
    assert_true(mg_view_is(filter.nodes[0].text, "枝😀\n\""));
    assert_true(parses(MG_SCIM_USER, "externalId eq null"));
    assert_string_equal(shape(), "pr not");
    assert_true(parses(MG_SCIM_USER, "name pr"));
}

static void
what_makes_no_sense_is_refused(void **state)
{
    (void) state;
    static const char *const wrong[] = {"",
                                        " ",
                                        "userName",
                                        "userName eq",
                                        "userName eq ",
                                        "userName eq bjensen",
                                        "userName eq 'b'",
                                        "userName eq \"b",
                                        "userName eq \"b\" and",
                                        "and userName pr",
                                        "(userName pr",
                                        "userName pr)",
                                        "not userName pr",
                                        "userName xx \"b\"",
                                        "title pr",
                                        "password eq \"x\"",
                                        "no.such pr",
                                        "active gt true",
                                        "active co \"t\"",
                                        "active eq \"maybe\"",
                                        "meta.created co \"2\"",
                                        "meta.created eq \"yesterday\"",
                                        "name eq \"x\"",
                                        "meta eq \"x\"",
                                        "userName eq \"\\x\"",
                                        "userName eq \"\\uD83D\"",
                                        "userName eq \"\\u0000\"",
                                        "userName eq \"a\nb\"",
                                        "emails[type eq \"work\"",
                                        "emails[]",
                                        "emails[userName eq \"x\"]",
                                        "userName[value eq \"x\"]",
                                        "emails[emails[value pr]]",
                                        "userName eq \"a\" \"b\"",
                                        "userName eq true",
                                        "userName pr userName pr",
                                        "userName  eq\"x\"",
                                        "members eq \"1\"",
                                        "userName gt null"};
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        if (parses(MG_SCIM_USER, wrong[i]))
            fail_msg("taken: %s", wrong[i]);
}

static void
filters_are_bounded(void **state)
{
    (void) state;
    OWN_BUFFER(text, 16384);
    for (int i = 0; i < 200; i++)
        assert_true(mg_ok(mg_buffer_add_text(&text, "(")));
    assert_false(parses(MG_SCIM_USER, mg_buffer_text(&text)));
    mg_buffer_clear(&text);
    for (int depth = 1; depth < 40; depth++) { /* as deep as allowed, and no deeper */
        mg_buffer_clear(&text);
        for (int i = 0; i < depth; i++)
            assert_true(mg_ok(mg_buffer_add_text(&text, "not (")));
        assert_true(mg_ok(mg_buffer_add_text(&text, "active pr")));
        for (int i = 0; i < depth; i++)
            assert_true(mg_ok(mg_buffer_add_text(&text, ")")));
        assert_int_equal(parses(MG_SCIM_USER, mg_buffer_text(&text)), depth <= MG_SCIM_FILTER_DEPTH);
    }
    for (int count = 1; count < 60; count++) {
        mg_buffer_clear(&text);
        for (int i = 0; i < count; i++)
            assert_true(mg_ok(mg_buffer_format(&text, "%suserName eq \"%d\"", i == 0 ? "" : " or ", i)));
        assert_int_equal(parses(MG_SCIM_USER, mg_buffer_text(&text)), count <= MG_SCIM_FILTER_VALUES);
    }
    mg_buffer_clear(&text);
    assert_true(mg_ok(mg_buffer_add_text(&text, "userName eq \"")));
    for (int i = 0; i < 600; i++)
        assert_true(mg_ok(mg_buffer_add_text(&text, "x")));
    assert_true(mg_ok(mg_buffer_add_text(&text, "\"")));
    assert_false(parses(MG_SCIM_USER, mg_buffer_text(&text)));
}

/* The authority believes no list of nodes. */
static void
unsound_nodes_are_refused(void **state)
{
    (void) state;
    const struct mg_scim_node name = {
        .operation = MG_SCIM_EQ, .attribute = MG_SCIM_user_name, .text = mg_view_text("a")};
    const struct mg_scim_node and = {.operation = MG_SCIM_AND};
    const struct mg_scim_node within = {.operation = MG_SCIM_WITHIN, .attribute = MG_SCIM_emails};
    const struct mg_scim_node both[] = {name, name, and}, few[] = {name, and}, many[] = {name, name};
    const struct mg_scim_node stranger[] = {name, within};
    const struct mg_scim_node group[] = {{.operation = MG_SCIM_EQ, .attribute = MG_SCIM_group_name}};
    const struct mg_scim_node order[] = {{.operation = MG_SCIM_GT, .attribute = MG_SCIM_active}};
    assert_true(mg_scim_filter_is_sound(MG_SCIM_USER, both, 3));
    assert_false(mg_scim_filter_is_sound(MG_SCIM_USER, few, 2));
    assert_false(mg_scim_filter_is_sound(MG_SCIM_USER, many, 2));
    assert_false(mg_scim_filter_is_sound(MG_SCIM_USER, stranger, 2));
    assert_false(mg_scim_filter_is_sound(MG_SCIM_USER, group, 1));
    assert_false(mg_scim_filter_is_sound(MG_SCIM_USER, order, 1));
    assert_true(mg_scim_filter_is_sound(MG_SCIM_USER, NULL, 0));
}

static void
paths_are_read(void **state)
{
    (void) state;
    static struct mg_scim_path path;
    const struct {
        const char *text;
        enum mg_scim_problem problem;
        enum mg_scim_attribute attribute;
        size_t nodes;
    } cases[] = {
        {"userName", MG_SCIM_FINE, MG_SCIM_user_name, 0},
        {"name.givenName", MG_SCIM_FINE, MG_SCIM_name_given, 0},
        {"emails[type eq \"work\"].value", MG_SCIM_FINE, MG_SCIM_email_value, 1},
        {"emails[type eq \"work\" and primary eq true]", MG_SCIM_FINE, MG_SCIM_emails, 3},
        {"title", MG_SCIM_FINE, MG_SCIM_NOTHING, 0},
        {"phoneNumbers[type eq \"work\"].value", MG_SCIM_FINE, MG_SCIM_NOTHING, 0},
        {"addresses[type eq \"work\"].formatted", MG_SCIM_FINE, MG_SCIM_NOTHING, 0},
        {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", MG_SCIM_FINE,
         MG_SCIM_NOTHING, 0},
        {"urn:ietf:params:scim:schemas:core:2.0:User:displayName", MG_SCIM_FINE, MG_SCIM_display_name, 0},
        {"", MG_SCIM_PROBLEM_path, 0, 0},
        {" userName", MG_SCIM_PROBLEM_path, 0, 0},
        {"noSuchThing", MG_SCIM_PROBLEM_path, 0, 0},
        {"emails[type eq \"work\"].noSuch", MG_SCIM_PROBLEM_path, 0, 0},
        {"emails[type eq \"work\"]value", MG_SCIM_PROBLEM_path, 0, 0},
        {"emails[type eq \"work\"", MG_SCIM_PROBLEM_filter, 0, 0},
        {"userName[type eq \"work\"]", MG_SCIM_PROBLEM_filter, 0, 0},
        {"phoneNumbers[type eq \"work\"", MG_SCIM_PROBLEM_path, 0, 0},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        const enum mg_scim_problem problem =
            mg_scim_path_parse(MG_SCIM_USER, mg_view_text(cases[i].text), &path);
        if (problem != cases[i].problem ||
            (problem == MG_SCIM_FINE &&
             (path.attribute != cases[i].attribute || path.filter.count != cases[i].nodes)))
            fail_msg("%s: problem %d, attribute %d, %zu nodes", cases[i].text, problem, path.attribute,
                     path.filter.count);
    }
}

/* ---- bodies ---- */

static struct mg_scim_document *document;
#define PATCH(operations) \
    "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[" operations "]}"
#define USER(members) "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"]" members "}"
#define GROUP(members) "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"]" members "}"

/* The changes as words: "userName=a active=false externalId- +17 -3 !". */
static const char *
changes_text(void)
{
    static char text[4096];
    const struct mg_scim_changes *changes = mg_scim_document_changes(document);
    size_t length = 0;
    text[0] = '\0';
#define ADD(...) length += (size_t) snprintf(text + length, sizeof text - length, __VA_ARGS__)
    for (size_t i = 0; i < changes->count; i++) {
        const struct mg_scim_change *one = &changes->list[i];
        const struct mg_scim_attribute_row *row = mg_scim_attribute_row(one->attribute);
        ADD("%s%s", length == 0 ? "" : " ", row->path);
        if (one->present.length != 0)
            ADD("{%.*s}", (int) one->present.length, (const char *) one->present.bytes);
        if (one->clear)
            ADD("-");
        else if (row->type == MG_SCIM_BOOLEAN)
            ADD("=%s", one->flag ? "true" : "false");
        else
            ADD("=%.*s", (int) one->text.length, (const char *) one->text.bytes);
    }
    for (size_t i = 0; i < changes->member_count; i++) {
        const struct mg_scim_member_change *one = &changes->members[i];
        ADD("%s", length == 0 ? "" : " ");
        if (one->act == MG_SCIM_LEAVE_ALL)
            ADD("!");
        else
            ADD("%c%" PRIu64, one->act == MG_SCIM_JOIN ? '+' : '-', one->user);
    }
#undef ADD
    return text;
}

static enum mg_scim_problem
patch(enum mg_scim_resource resource, const char *body)
{
    enum mg_scim_problem problem = MG_SCIM_PROBLEM_busy;
    mg_scim_document_drop(&document);
    assert_true(mg_ok(mg_scim_patch_read(resource, mg_view_text(body), &document, &problem)));
    return problem;
}

static enum mg_scim_problem
whole(enum mg_scim_resource resource, bool replaces, const char *body)
{
    enum mg_scim_problem problem = MG_SCIM_PROBLEM_busy;
    mg_scim_document_drop(&document);
    assert_true(mg_ok(mg_scim_resource_read(resource, replaces, mg_view_text(body), &document, &problem)));
    return problem;
}

struct patched {
    const char *body, *changes;
    enum mg_scim_problem problem;
};

static void
patches(enum mg_scim_resource resource, const struct patched *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const enum mg_scim_problem problem = patch(resource, cases[i].body);
        if (problem != cases[i].problem)
            fail_msg("%s: problem %d", cases[i].body, problem);
        if (problem == MG_SCIM_FINE)
            assert_string_equal(changes_text(), cases[i].changes);
    }
    mg_scim_document_drop(&document);
}

static void
user_patches_of_the_field(void **state)
{
    (void) state;
    const struct patched cases[] = {
        /* Okta: deactivation, profile. */
        {PATCH("{\"op\":\"replace\",\"value\":{\"active\":false}}"), "active=false", MG_SCIM_FINE},
        /* Entra ID: capitals, booleans as text, dotted keys without a path, what is not kept. */
        {PATCH("{\"op\":\"Replace\",\"path\":\"active\",\"value\":\"False\"}"), "active=false", MG_SCIM_FINE},
        {PATCH(
             "{\"op\":\"Add\",\"value\":{\"displayName\":\"A B\",\"name.givenName\":\"A\",\"emails[type eq "
             "\\\"work\\\"].value\":\"a@acme.example\",\"title\":\"x\",\"urn:ietf:params:scim:schemas:extension:"
             "enterprise:2.0:User:department\":\"d\"}}"),
         "displayName=A B name.givenName=A emails.value=a@acme.example", MG_SCIM_FINE},
        {PATCH(
             "{\"op\":\"Replace\",\"path\":\"emails[type eq \\\"work\\\"].value\",\"value\":\"b@acme.example\"},"
             "{\"op\":\"Replace\",\"path\":\"emails[type eq \\\"home\\\"].value\",\"value\":\"c@home.example\"},"
             "{\"op\":\"Add\",\"path\":\"phoneNumbers[type eq \\\"work\\\"].value\",\"value\":\"1\"}"),
         "emails.value=b@acme.example", MG_SCIM_FINE},
        {PATCH("{\"op\":\"Replace\",\"path\":\"displayName\",\"value\":[{\"$ref\":null,\"value\":\"C D\"}]}"),
         "displayName=C D", MG_SCIM_FINE},
        {PATCH("{\"op\":\"Remove\",\"path\":\"externalId\"},{\"op\":\"remove\",\"path\":\"name\"}"),
         "externalId- name.formatted- name.familyName- name.givenName-", MG_SCIM_FINE},
        {PATCH("{\"op\":\"replace\",\"path\":\"name\",\"value\":{\"familyName\":\"O'Malley\"}}"),
         "name.familyName=O'Malley", MG_SCIM_FINE},
        {PATCH(
             "{\"op\":\"replace\",\"path\":\"emails\",\"value\":[{\"value\":\"h@x.example\",\"type\":\"home\"},"
             "{\"value\":\"p@x.example\",\"primary\":true}]}"),
         "emails.value=p@x.example", MG_SCIM_FINE},
        {PATCH("{\"op\":\"remove\",\"path\":\"emails[value eq \\\"a@x.example\\\"]\"}"),
         "emails.value{a@x.example}-", MG_SCIM_FINE},
        {PATCH(
             "{\"op\":\"replace\",\"path\":\"emails[value eq \\\"a@x.example\\\"].value\",\"value\":\"b@x.example\"}"),
         "emails.value{a@x.example}=b@x.example", MG_SCIM_FINE},
        /* The last one counts. */
        {PATCH(
             "{\"op\":\"add\",\"path\":\"active\",\"value\":true},{\"op\":\"add\",\"path\":\"active\",\"value\":false}"),
         "active=false", MG_SCIM_FINE},
        {PATCH("{\"op\":\"replace\",\"value\":{\"id\":\"5\",\"groups\":[],\"meta\":{},\"userName\":\"n\"}}"),
         "userName=n", MG_SCIM_FINE},
        /* What may not be. */
        {PATCH("{\"op\":\"replace\",\"path\":\"id\",\"value\":\"5\"}"), "", MG_SCIM_PROBLEM_mutability},
        {PATCH("{\"op\":\"add\",\"path\":\"groups\",\"value\":[{\"value\":\"5\"}]}"), "",
         MG_SCIM_PROBLEM_mutability},
        {PATCH("{\"op\":\"remove\",\"path\":\"userName\"}"), "", MG_SCIM_PROBLEM_mutability},
        {PATCH("{\"op\":\"remove\",\"path\":\"active\"}"), "", MG_SCIM_PROBLEM_mutability},
        {PATCH("{\"op\":\"remove\"}"), "", MG_SCIM_PROBLEM_no_target},
        {PATCH("{\"op\":\"replace\",\"path\":\"active\",\"value\":\"perhaps\"}"), "", MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"replace\",\"path\":\"userName\",\"value\":7}"), "", MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"a\\u0007b\"}"), "",
         MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"replace\",\"path\":\"displayName\"}"), "", MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"replace\",\"path\":\"nonsense\",\"value\":\"x\"}"), "", MG_SCIM_PROBLEM_path},
        {PATCH("{\"op\":\"replace\",\"value\":{\"nonsense\":\"x\"}}"), "", MG_SCIM_PROBLEM_path},
        {PATCH("{\"op\":\"replace\",\"path\":\"emails[value co \\\"x\\\"].value\",\"value\":\"x\"}"), "",
         MG_SCIM_PROBLEM_filter},
        {PATCH("{\"op\":\"destroy\",\"path\":\"active\",\"value\":true}"), "", MG_SCIM_PROBLEM_syntax},
        {PATCH(""), "", MG_SCIM_PROBLEM_syntax},
        {"{\"Operations\":[{\"op\":\"replace\",\"value\":{\"active\":false}}]}", "", MG_SCIM_PROBLEM_syntax},
        {"[]", "", MG_SCIM_PROBLEM_syntax},
        {"{", "", MG_SCIM_PROBLEM_syntax},
        {"{\"schemas\":[],\"schemas\":[]}", "", MG_SCIM_PROBLEM_syntax},
    };
    patches(MG_SCIM_USER, cases, MG_COUNT(cases));
}

static void
group_patches_of_the_field(void **state)
{
    (void) state;
    const struct patched cases[] = {
        {PATCH(
             "{\"op\":\"Add\",\"path\":\"members\",\"value\":[{\"$ref\":null,\"value\":\"17\"},{\"value\":\"18\"}]}"),
         "+17 +18", MG_SCIM_FINE},
        {PATCH("{\"op\":\"Remove\",\"path\":\"members\",\"value\":[{\"value\":\"17\"}]}"), "-17",
         MG_SCIM_FINE},
        {PATCH(
             "{\"op\":\"remove\",\"path\":\"members[value eq \\\"17\\\"]\"},{\"op\":\"add\",\"path\":\"members\",\"value\":"
             "[{\"value\":\"19\",\"display\":\"x\"}]}"),
         "-17 +19", MG_SCIM_FINE},
        {PATCH("{\"op\":\"remove\",\"path\":\"members[value eq \\\"1\\\" or value eq \\\"2\\\"]\"}"), "-1 -2",
         MG_SCIM_FINE},
        {PATCH("{\"op\":\"remove\",\"path\":\"members\"}"), "!", MG_SCIM_FINE},
        {PATCH("{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"1\"}]},"
               "{\"op\":\"replace\",\"path\":\"members\",\"value\":[{\"value\":\"2\"}]}"),
         "! +2", MG_SCIM_FINE},
        {PATCH("{\"op\":\"replace\",\"value\":{\"id\":\"3\",\"displayName\":\"New\"}}"), "displayName=New",
         MG_SCIM_FINE},
        {PATCH("{\"op\":\"remove\",\"path\":\"members[value eq \\\"never-ours\\\"]\"}"), "", MG_SCIM_FINE},
        {PATCH("{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"never-ours\"}]}"), "",
         MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"5\",\"type\":\"Group\"}]}"), "",
         MG_SCIM_PROBLEM_value},
        {PATCH("{\"op\":\"remove\",\"path\":\"members[value co \\\"1\\\"]\"}"), "", MG_SCIM_PROBLEM_filter},
        {PATCH("{\"op\":\"remove\",\"path\":\"members[not (value eq \\\"1\\\")]\"}"), "",
         MG_SCIM_PROBLEM_filter},
        {PATCH("{\"op\":\"remove\",\"path\":\"displayName\"}"), "", MG_SCIM_PROBLEM_mutability},
    };
    patches(MG_SCIM_GROUP, cases, MG_COUNT(cases));
}

static void
whole_resources_are_read(void **state)
{
    (void) state;
    assert_int_equal(
        whole(
            MG_SCIM_USER, false,
            USER(
                ",\"userName\":\"a@acme.example\",\"name\":{\"givenName\":\"A\",\"middleName\":\"x\"},\"active\":"
                "true,\"password\":\"secret\",\"id\":\"9\",\"unknown\":{},\"locale\":\"en-US\",\"emails\":[{"
                "\"value\":\"a@acme.example\",\"primary\":true}],\"groups\":[]")),
        MG_SCIM_FINE);
    assert_string_equal(changes_text(),
                        "userName=a@acme.example name.givenName=A active=true emails.value=a@acme.example");
    /* PUT clears what it does not say; nobody is enabled by it. */
    assert_int_equal(whole(MG_SCIM_USER, true, USER(",\"userName\":\"a\",\"active\":null")), MG_SCIM_FINE);
    assert_string_equal(
        changes_text(),
        "userName=a externalId- name.formatted- name.familyName- name.givenName- displayName- "
        "emails.value-");
    assert_int_equal(
        whole(MG_SCIM_GROUP, true, GROUP(",\"displayName\":\"G\",\"members\":[{\"value\":\"4\"}]")),
        MG_SCIM_FINE);
    assert_string_equal(changes_text(), "displayName=G externalId- ! +4");
    assert_int_equal(whole(MG_SCIM_USER, false, USER("")), MG_SCIM_PROBLEM_value);
    assert_int_equal(whole(MG_SCIM_USER, false, "{\"userName\":\"a\"}"), MG_SCIM_PROBLEM_syntax);
    assert_int_equal(whole(MG_SCIM_USER, false, USER(",\"userName\":[\"a\",\"b\"]")), MG_SCIM_PROBLEM_value);
    assert_int_equal(whole(MG_SCIM_USER, false, USER(",\"userName\":\"a\",\"emails\":[[]]")),
                     MG_SCIM_PROBLEM_value);
    mg_scim_document_drop(&document);
}

static void
bodies_are_bounded(void **state)
{
    (void) state;
    OWN_BUFFER(body, 1 << 20);
    assert_true(
        mg_ok(mg_buffer_add_text(&body, "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:Group\"],"
                                        "\"displayName\":\"G\",\"members\":[")));
    for (int i = 1; i <= MG_SCIM_MEMBERS_MOST + 1; i++)
        assert_true(mg_ok(mg_buffer_format(&body, "%s\"%d\"", i == 1 ? "" : ",", i)));
    assert_true(mg_ok(mg_buffer_add_text(&body, "]}")));
    assert_int_equal(whole(MG_SCIM_GROUP, false, mg_buffer_text(&body)), MG_SCIM_PROBLEM_too_large);
    while (body.length <= MG_SCIM_BODY_BYTES)
        assert_true(mg_ok(mg_buffer_add_text(&body, " ")));
    assert_int_equal(whole(MG_SCIM_GROUP, false, mg_buffer_text(&body)), MG_SCIM_PROBLEM_syntax);
    mg_buffer_clear(&body);
    for (int i = 0; i < 30000; i++)
        assert_true(mg_ok(mg_buffer_add_text(&body, "[")));
    assert_int_equal(patch(MG_SCIM_USER, mg_buffer_text(&body)), MG_SCIM_PROBLEM_syntax);
    mg_scim_document_drop(&document);
}

static void
queries_are_read(void **state)
{
    (void) state;
    static struct mg_scim_query query;
    mg_scim_query_preset(&query);
    assert_int_equal(mg_scim_query_set(&query, mg_view_text("startIndex"), mg_view_text("-3")), MG_SCIM_FINE);
    assert_int_equal(query.start, 1);
    assert_int_equal(mg_scim_query_set(&query, mg_view_text("count"), mg_view_text("100000")), MG_SCIM_FINE);
    assert_int_equal(query.count, MG_SCIM_PAGE_MOST);
    assert_int_equal(mg_scim_query_set(&query, mg_view_text("count"), mg_view_text("x")),
                     MG_SCIM_PROBLEM_value);
    assert_int_equal(mg_scim_query_set(&query, mg_view_text("sortOrder"), mg_view_text("sideways")),
                     MG_SCIM_PROBLEM_value);
    assert_int_equal(
        mg_scim_search_read(
            mg_view_text("{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:SearchRequest\"],"
                         "\"attributes\":[\"displayName\",\"userName\"],\"filter\":\"active eq "
                         "true\",\"startIndex\":1,\"count\":10}"),
            &query),
        MG_SCIM_FINE);
    assert_string_equal(query.attributes, "displayName,userName");
    assert_string_equal(query.filter, "active eq true");
    assert_int_equal(query.count, 10);
    assert_int_equal(mg_scim_search_read(mg_view_text("{\"filter\":\"active eq true\"}"), &query),
                     MG_SCIM_PROBLEM_syntax);
}

/* ---- groups and roles ---- */

static void
roles_follow_groups(void **state)
{
    (void) state;
    const struct {
        const char *roles, *governed, *given, *after;
    } cases[] = {
        {"user", "", "", "user"},
        {"user auditor", "auditor", "", "user"},
        {"user", "auditor helper", "auditor", "user auditor"},
        {"user helper", "auditor helper", "auditor", "user auditor"},
        {"user auditor", "auditor", "auditor", "user auditor"},
        {"", "", "a a b", "a b"},
        {"approver", "administrator", "administrator", "administrator"},
    };
    for (size_t i = 0; i < MG_COUNT(cases); i++) {
        OWN_BUFFER(after, 1024);
        assert_true(mg_ok(mg_group_roles(mg_view_text(cases[i].roles), mg_view_text(cases[i].governed),
                                         mg_view_text(cases[i].given), &after)));
        assert_string_equal(mg_buffer_text(&after), cases[i].after);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_grammar_is_read),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(filters_are_bounded),
        cmocka_unit_test(unsound_nodes_are_refused),
        cmocka_unit_test(paths_are_read),
        cmocka_unit_test(user_patches_of_the_field),
        cmocka_unit_test(group_patches_of_the_field),
        cmocka_unit_test(whole_resources_are_read),
        cmocka_unit_test(bodies_are_bounded),
        cmocka_unit_test(queries_are_read),
        cmocka_unit_test(roles_follow_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
