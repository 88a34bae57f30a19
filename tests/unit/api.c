#include "test.h"

#include "domain/api.h"
#include "ports/json_body.h"

#include <jansson.h>

/* ---- the table ---- */

static void
every_row_is_whole(void **state)
{
    (void) state;
    for (size_t i = 0; i < MG_API_ENDPOINT_COUNT; i++) {
        const struct mg_api_endpoint_row *row = &mg_api_endpoints[i];
        const bool reads = strcmp(row->method, "GET") == 0;
        assert_true(row->path[0] == '/' && row->en[0] != '\0' && row->ja[0] != '\0');
        assert_true((row->answer == MG_API_NOTHING) == (mg_api_object_row(row->object) == NULL));
        /* What changes something names its right, and a page or a look never has a body. */
        assert_true(reads || row->permission != MG_PERMISSION_NONE);
        assert_false(reads && (mg_api_has_body(row) || mg_api_needs_match(row)));
        assert_true(strcmp(row->method, "PUT") != 0 || mg_api_needs_match(row));
        for (size_t k = 0; k < i; k++)
            assert_false(strcmp(row->path, mg_api_endpoints[k].path) == 0 &&
                         strcmp(row->method, mg_api_endpoints[k].method) == 0);
    }
}

static void
paths_fit_their_rows(void **state)
{
    (void) state;
    struct mg_view value[MG_API_PATH_MOST];
    assert_true(mg_api_path_fits("/users/{login}/roles", mg_view_text("/users/a%40b/roles"), value));
    assert_true(mg_view_is(value[0], "a%40b"));
    assert_false(mg_api_path_fits("/users/{login}/roles", mg_view_text("/users/a/roles/x"), value));
    assert_false(mg_api_path_fits("/users/{login}/roles", mg_view_text("/users//roles"), value));
    assert_false(mg_api_path_fits("/users/{login}", mg_view_text("/users/"), value));
    assert_false(mg_api_path_fits("/users", mg_view_text("/users/"), value));
    assert_false(mg_api_path_fits("/users", mg_view_text("users"), value));
    assert_true(mg_api_path_fits("/users", mg_view_text("/users"), value));
    assert_int_equal(value[0].length, 0);
    assert_true(
        mg_api_path_fits("/groups/{name}/members/{login}", mg_view_text("/groups/a%2Fb/members/c"), value));
    assert_true(mg_view_is(value[0], "a%2Fb") && mg_view_is(value[1], "c"));
    assert_false(
        mg_api_path_fits("/groups/{name}/members/{login}", mg_view_text("/groups/a/members"), value));
}

static void
the_document_is_json(void **state)
{
    (void) state;
    for (int japanese = 0; japanese < 2; japanese++) {
        OWN_BUFFER(text, 1 << 20);
        assert_ok(mg_api_document(japanese != 0, &text));
        json_t *document = json_loads(mg_buffer_text(&text), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(document);
        assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.1");
        const char *path;
        json_t *rows;
        size_t count = 0;
        json_object_foreach(json_object_get(document, "paths"), path, rows) count += json_object_size(rows);
        assert_int_equal(count, MG_API_ENDPOINT_COUNT);
        json_decref(document);
    }
}

static void
every_refusal_has_a_status(void **state)
{
    (void) state;
    assert_int_equal(mg_api_refusal_status(MG_NOT_ALLOWED), 403);
    assert_int_equal(mg_api_refusal_status(MG_TOKEN_NOT_VALID), 401);
    assert_int_equal(mg_api_refusal_status(MG_CHANGED_MEANWHILE), 412);
    assert_int_equal(mg_api_refusal_status(9999), 422);
    for (int i = 1; i < MG_API_PROBLEM_COUNT; i++) {
        const struct mg_api_problem_row *row = mg_api_problem_row((enum mg_api_problem) i);
        assert_true(row->status >= 400 && row->status < 600 && row->en[0] != '\0' && row->ja[0] != '\0');
    }
}

/* ---- bodies ---- */

static const struct mg_json_member members[] = {
    {"name", MG_JSON_TEXT, true, 8},    {"count", MG_JSON_NUMBER, false, 10}, {"on", MG_JSON_FLAG, false, 0},
    {"until", MG_JSON_TIME, false, 40}, {"roles", MG_JSON_WORDS, false, 20},
};

static enum mg_json_fault
fault_of(const char *body, char member[64])
{
    struct mg_json_value values[MG_COUNT(members)];
    struct mg_json_verdict verdict;
    OWN_BUFFER(storage, MG_JSON_BODY_STORAGE);
    assert_ok(mg_json_body_read(mg_view_text(body), members, MG_COUNT(members), values, &storage, &verdict));
    memcpy(member, verdict.member, sizeof verdict.member);
    for (size_t i = 0; verdict.fault != MG_JSON_RIGHT && i < MG_COUNT(members); i++)
        assert_false(values[i].given);
    return verdict.fault;
}

static void
a_body_is_read(void **state)
{
    (void) state;
    struct mg_json_value values[MG_COUNT(members)];
    struct mg_json_verdict verdict;
    OWN_BUFFER(storage, MG_JSON_BODY_STORAGE);
    assert_ok(mg_json_body_read(
        mg_view_text(
            "{\"name\":\"\\u6797\",\"count\":10,\"on\":true,\"until\":\"2026-11-22T00:00:00Z\",\"roles\":[\"a\",\"b\"]}"),
        members, MG_COUNT(members), values, &storage, &verdict));
    assert_int_equal(verdict.fault, MG_JSON_RIGHT);
    assert_true(mg_view_is(values[0].text, "\xe6\x9e\x97") && values[1].number == 10 && values[2].flag);
    assert_true(values[3].time == INT64_C(1795305600000) && mg_view_is(values[4].text, "a b"));
}

static void
what_is_wrong_is_named(void **state)
{
    (void) state;
    static const struct {
        const char *body;
        enum mg_json_fault fault;
        const char *member;
    } rows[] = {
        {"{\"name\":\"a\",\"other\":1}", MG_JSON_UNKNOWN_MEMBER, "other"},
        {"{\"count\":1}", MG_JSON_MISSING_MEMBER, "name"},
        {"{\"name\":\"123456789\"}", MG_JSON_WRONG_MEMBER, "name"},
        {"{\"name\":\"a\",\"count\":11}", MG_JSON_WRONG_MEMBER, "count"},
        {"{\"name\":\"a\",\"count\":-1}", MG_JSON_WRONG_MEMBER, "count"},
        {"{\"name\":\"a\",\"count\":1.0}", MG_JSON_WRONG_MEMBER, "count"},
        {"{\"name\":\"a\",\"on\":\"true\"}", MG_JSON_WRONG_MEMBER, "on"},
        {"{\"name\":\"a\",\"until\":\"tomorrow\"}", MG_JSON_WRONG_MEMBER, "until"},
        {"{\"name\":\"a\",\"roles\":[\"a b\"]}", MG_JSON_WRONG_MEMBER, "roles"},
        {"{\"name\":\"a\",\"roles\":[\"\"]}", MG_JSON_WRONG_MEMBER, "roles"},
        {"{\"name\":\"a\",\"roles\":[\"a\",\"a\"]}", MG_JSON_WRONG_MEMBER, "roles"},
        {"{\"name\":\"a\",\"roles\":[\"abcdefghij\",\"abcdefghijk\"]}", MG_JSON_WRONG_MEMBER, "roles"},
        {"{\"name\":null}", MG_JSON_WRONG_MEMBER, "name"},
        {"{\"name\":\"a\\u0007\"}", MG_JSON_WRONG_MEMBER, "name"},
        {"{\"name\":\"a\",\"name\":\"b\"}", MG_JSON_MALFORMED, ""},
        {"{\"name\":\"a\"} x", MG_JSON_MALFORMED, ""},
        {"[{\"name\":\"a\"}]", MG_JSON_MALFORMED, ""},
        {"[[[[[[[[", MG_JSON_MALFORMED, ""},
        {"", MG_JSON_MALFORMED, ""},
        {"null", MG_JSON_MALFORMED, ""},
    };
    for (size_t i = 0; i < MG_COUNT(rows); i++) {
        char member[64];
        assert_int_equal(fault_of(rows[i].body, member), rows[i].fault);
        assert_string_equal(member, rows[i].member);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),   cmocka_unit_test(paths_fit_their_rows),
        cmocka_unit_test(the_document_is_json), cmocka_unit_test(every_refusal_has_a_status),
        cmocka_unit_test(a_body_is_read),       cmocka_unit_test(what_is_wrong_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
