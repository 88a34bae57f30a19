#include "domain/api.h"

/* ---- the table ---- */

#define MEMBER(kind, word, field, english, japanese) {#word, MG_API_##kind, english, japanese},
#define OBJECT(name, type, english, japanese, members) \
    static const struct mg_api_member members_of_##name[] = {members{NULL, MG_API_TEXT, NULL, NULL}};
#include "../../catalogue/api.def"
#undef MEMBER

static const struct mg_api_object_row objects[MG_API_OBJECT_COUNT] = {
#define OBJECT(identifier, type, english, japanese, ...) \
    [MG_API_OBJECT_##identifier] = {#identifier, english, japanese, members_of_##identifier},
#include "../../catalogue/api.def"
};

#define REQUIRED true
#define OPTIONAL false
#define PATH(word, longest, english, japanese) \
    {MG_API_IN_PATH, #word, MG_API_TEXT, true, longest, english, japanese},
#define QUERY(word, kind, longest, english, japanese) \
    {MG_API_IN_QUERY, #word, MG_API_##kind, false, longest, english, japanese},
#define CURSOR                                               \
    {MG_API_IN_QUERY,                                        \
     "cursor",                                               \
     MG_API_TEXT,                                            \
     false,                                                  \
     1024,                                                   \
     "`next` of the page before; without it the first page", \
     "前のページの next。省略時は最初のページ"},
#define BODY(word, kind, needed, longest, english, japanese) \
    {MG_API_IN_BODY, #word, MG_API_##kind, needed, longest, english, japanese},
#define MATCH                        \
    {MG_API_IN_MATCH,                \
     "If-Match",                     \
     MG_API_TEXT,                    \
     true,                           \
     128,                            \
     "the ETag that was seen, or *", \
     "確認済みの ETag、または *"},
#define ENDPOINT(name, method, path, permission, answer, object, english, japanese, inputs) \
    static const struct mg_api_input inputs_of_##name[] = {                                 \
        inputs{MG_API_IN_NOTHING, NULL, MG_API_TEXT, false, 0, NULL, NULL}};                \
    _Static_assert(MG_COUNT(inputs_of_##name) <= MG_API_INPUTS_MOST + 1, "too many inputs: " #name);
#include "../../catalogue/api.def"

const struct mg_api_endpoint_row mg_api_endpoints[MG_API_ENDPOINT_COUNT] = {
#define ENDPOINT(identifier, verb, place, right, form, thing, english, japanese, ...)                  \
    [MG_API_ENDPOINT_##                                                                                \
        identifier] = {#identifier,           #verb,   place,    MG_PERMISSION_##right, MG_API_##form, \
                       MG_API_OBJECT_##thing, english, japanese, inputs_of_##identifier},
#include "../../catalogue/api.def"
};

static const struct mg_api_problem_row problems[MG_API_PROBLEM_COUNT] = {
#define PROBLEM(identifier, number, english, japanese) \
    [MG_API_PROBLEM_##identifier] = {#identifier, english, japanese, number},
#include "../../catalogue/api.def"
};

static const struct {
    uint64_t outcome;
    unsigned status;
} refusals[] = {
#define REFUSAL(outcome, status) {MG_##outcome, status},
#include "../../catalogue/api.def"
};

const struct mg_api_object_row *
mg_api_object_row(enum mg_api_object object)
{
    return object > MG_API_OBJECT_none && object < MG_API_OBJECT_COUNT ? &objects[object] : NULL;
}

const struct mg_api_problem_row *
mg_api_problem_row(enum mg_api_problem problem)
{
    mg_must(problem > MG_API_PROBLEM_NONE && problem < MG_API_PROBLEM_COUNT);
    return &problems[problem];
}

unsigned
mg_api_refusal_status(uint64_t outcome)
{
    for (size_t i = 0; i < MG_COUNT(refusals); i++)
        if (refusals[i].outcome == outcome)
            return refusals[i].status;
    return 422;
}

static bool
has_input(const struct mg_api_endpoint_row *row, enum mg_api_place place)
{
    for (const struct mg_api_input *input = row->inputs; input->place != MG_API_IN_NOTHING; input++)
        if (input->place == place)
            return true;
    return false;
}

bool
mg_api_has_body(const struct mg_api_endpoint_row *row)
{
    return has_input(row, MG_API_IN_BODY);
}

bool
mg_api_needs_match(const struct mg_api_endpoint_row *row)
{
    return has_input(row, MG_API_IN_MATCH);
}

/* Takes "/segment" from the front. */
static struct mg_view
segment_take(struct mg_view *path)
{
    size_t end = 1;
    if (path->length == 0 || path->bytes[0] != '/')
        return MG_VIEW_EMPTY;
    while (end < path->length && path->bytes[end] != '/')
        end++;
    const struct mg_view segment = mg_view_of(path->bytes + 1, end - 1);
    *path = mg_view_of(path->bytes + end, path->length - end);
    return segment;
}

bool
mg_api_path_fits(const char *row, struct mg_view path, struct mg_view values[MG_API_PATH_MOST])
{
    struct mg_view pattern = mg_view_text(row);
    size_t count = 0;
    for (size_t i = 0; i < MG_API_PATH_MOST; i++)
        values[i] = MG_VIEW_EMPTY;
    while (pattern.length != 0) {
        const struct mg_view wanted = segment_take(&pattern), given = segment_take(&path);
        if (given.length == 0)
            return false;
        if (wanted.bytes[0] == '{' && count < MG_API_PATH_MOST)
            values[count++] = given;
        else if (!mg_view_equal(wanted, given))
            return false;
    }
    return path.length == 0;
}

size_t
mg_api_body_most(const struct mg_api_endpoint_row *row)
{
    static const size_t usual = 16384, all = 65536; /* all that the portal takes of anybody */
    for (size_t i = 0; row->inputs[i].place != MG_API_IN_NOTHING; i++)
        if (row->inputs[i].place == MG_API_IN_BODY && row->inputs[i].type != MG_API_NUMBER &&
            row->inputs[i].most > usual)
            return all;
    return usual;
}

/* ---- the document ---- */

struct document {
    struct mg_buffer *json;
    bool japanese;
};

static const char *
say(const struct document *it, const char *english, const char *japanese)
{
    return it->japanese ? japanese : english;
}

static CHECKED struct mg_status
add(struct document *it, const char *text)
{
    return mg_buffer_add_text(it->json, text);
}

static CHECKED struct mg_status
add_string(struct document *it, const char *before, const char *text)
{
    TRY(add(it, before));
    return mg_buffer_add_json_string(it->json, mg_view_text(text));
}

/* How a value of the type looks, without the closing brace. */
static CHECKED struct mg_status
add_type(struct document *it, enum mg_api_type type, size_t most, bool answer)
{
    switch (type) {
    case MG_API_NUMBER:
        TRY(add(it, "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0"));
        return most != 0 ? mg_buffer_format(it->json, ",\"maximum\":%zu", most) : OK;
    case MG_API_FLAG:
        return add(it, "{\"type\":\"boolean\"");
    case MG_API_TIME:
        return add(it, answer ? "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\""
                              : "{\"type\":\"string\",\"format\":\"date-time\"");
    case MG_API_WORDS:
    case MG_API_RIGHTS:
    case MG_API_LINES:
        return add(it, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}");
    case MG_API_SETTINGS:
        return add(it, "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}");
    case MG_API_RAW:
        return add(it, "{\"type\":\"object\"");
    case MG_API_STATE:
        return add(it, "{\"type\":\"string\",\"enum\":[\"active\",\"suspended\",\"locked\",\"invited\"]");
    case MG_API_HEX:
        return add(it, "{\"type\":\"string\",\"pattern\":\"^[0-9a-f]+$\"");
    case MG_API_BASE64:
        return add(it, "{\"type\":\"string\",\"contentEncoding\":\"base64\"");
    case MG_API_SECRET:
        if (answer)
            return add(it, "{\"type\":[\"string\",\"null\"]");
        return mg_buffer_format(it->json, "{\"type\":\"string\",\"writeOnly\":true,\"maxLength\":%zu", most);
    case MG_API_TEXT:
        break;
    }
    TRY(add(it, "{\"type\":\"string\""));
    return most != 0 ? mg_buffer_format(it->json, ",\"maxLength\":%zu", most) : OK;
}

static CHECKED struct mg_status
add_object(struct document *it, const struct mg_api_object_row *row)
{
    TRY(mg_buffer_format(it->json, "\n\"%s\":{\"type\":\"object\",\"additionalProperties\":false",
                         row->name));
    TRY(add_string(it, ",\"title\":", say(it, row->en, row->ja)));
    TRY(add(it, ",\"properties\":{"));
    for (const struct mg_api_member *member = row->members; member->name != NULL; member++) {
        TRY(mg_buffer_format(it->json, "%s\"%s\":", member == row->members ? "" : ",", member->name));
        TRY(add_type(it, member->type, 0, true));
        TRY(add_string(it, ",\"description\":", say(it, member->en, member->ja)));
        TRY(add(it, "}"));
    }
    TRY(add(it, "},\"required\":["));
    for (const struct mg_api_member *member = row->members; member->name != NULL; member++)
        TRY(mg_buffer_format(it->json, "%s\"%s\"", member == row->members ? "" : ",", member->name));
    return add(it, "]},");
}

static CHECKED struct mg_status
add_schemas(struct document *it)
{
    TRY(add(it, "\"schemas\":{"));
    for (int i = 1; i < MG_API_OBJECT_COUNT; i++)
        TRY(add_object(it, &objects[i]));
    TRY(add(
        it,
        "\n\"problem\":{\"type\":\"object\",\"title\":\"RFC 9457\",\"properties\":{"
        "\"type\":{\"type\":\"string\",\"format\":\"uri-reference\"},\"title\":{\"type\":\"string\"},"
        "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},\"code\":{\"type\":\"string\","));
    TRY(add_string(
        it, "\"description\":",
        say(it, "for programs: one of x-problems", "プログラム用の識別子 (x-problems のいずれか)")));
    TRY(add_string(it, "},\"member\":{\"type\":\"string\",\"description\":",
                   say(it, "the member or parameter that is wrong", "誤りのある項目またはパラメーター")));
    return add(it, "}},\"required\":[\"type\",\"title\",\"status\",\"code\"]}},");
}

static CHECKED struct mg_status
add_parameter(struct document *it, const struct mg_api_input *input, bool *first)
{
    if (input->place == MG_API_IN_BODY)
        return OK;
    TRY(mg_buffer_format(it->json, "%s{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"schema\":",
                         *first ? "" : ",", input->name,
                         input->place == MG_API_IN_PATH    ? "path"
                         : input->place == MG_API_IN_QUERY ? "query"
                                                           : "header",
                         input->required ? "true" : "false"));
    *first = false;
    TRY(add_type(it, input->type, input->type == MG_API_TIME ? 0 : input->most, false));
    TRY(add_string(it, "},\"description\":", say(it, input->en, input->ja)));
    return add(it, "}");
}

static CHECKED struct mg_status
add_parameters(struct document *it, const struct mg_api_endpoint_row *row)
{
    bool first = true;
    TRY(add(it, ",\"parameters\":["));
    for (const struct mg_api_input *input = row->inputs; input->place != MG_API_IN_NOTHING; input++)
        TRY(add_parameter(it, input, &first));
    if (strcmp(row->method, "GET") != 0)
        TRY(mg_buffer_format(it->json, "%s{\"$ref\":\"#/components/parameters/Idempotency-Key\"}",
                             first ? "" : ","));
    return add(it, "]");
}

static CHECKED struct mg_status
add_body(struct document *it, const struct mg_api_endpoint_row *row)
{
    const char *between = "";
    if (!mg_api_has_body(row))
        return OK;
    TRY(add(
        it,
        ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"properties\":{"));
    for (const struct mg_api_input *input = row->inputs; input->place != MG_API_IN_NOTHING; input++) {
        if (input->place != MG_API_IN_BODY)
            continue;
        TRY(mg_buffer_format(it->json, "%s\"%s\":", between, input->name));
        TRY(add_type(it, input->type,
                     input->type == MG_API_TEXT || input->type == MG_API_SECRET ? input->most : 0, false));
        TRY(add_string(it, ",\"description\":", say(it, input->en, input->ja)));
        TRY(add(it, "}"));
        between = ",";
    }
    TRY(add(it, "},\"required\":["));
    between = "";
    for (const struct mg_api_input *input = row->inputs; input->place != MG_API_IN_NOTHING; input++)
        if (input->place == MG_API_IN_BODY && input->required) {
            TRY(mg_buffer_format(it->json, "%s\"%s\"", between, input->name));
            between = ",";
        }
    return add(it, "]}}}}");
}

static CHECKED struct mg_status
add_success(struct document *it, const struct mg_api_endpoint_row *row)
{
    const struct mg_api_object_row *object = mg_api_object_row(row->object);
    if (row->answer == MG_API_NOTHING)
        return add_string(it, "\"204\":{\"description\":", say(it, "done", "完了"));
    TRY(mg_buffer_format(it->json, "\"%s\":{\"description\":", row->answer == MG_API_MADE ? "201" : "200"));
    TRY(mg_buffer_add_json_string(it->json, mg_view_text(say(it, object->en, object->ja))));
    TRY(add(it, ",\"content\":{\"application/json\":{\"schema\":"));
    if (row->answer != MG_API_LIST)
        return mg_buffer_format(it->json, "{\"$ref\":\"#/components/schemas/%s\"}}}", object->name);
    TRY(mg_buffer_format(
        it->json,
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"items\":{\"type\":\"array\","
        "\"items\":{\"$ref\":\"#/components/schemas/%s\"}},\"next\":{\"type\":[\"string\",\"null\"],",
        object->name));
    TRY(add_string(
        it, "\"description\":",
        say(it, "the cursor of the next page; null at the end. A page may be empty and have a next one.",
            "次のページの cursor。最後のページでは null。空のページにも次がある場合がある")));
    return add(it, "}},\"required\":[\"items\",\"next\"]}}}");
}

static CHECKED struct mg_status
add_operation(struct document *it, const struct mg_api_endpoint_row *row)
{
    static const char *const always[] = {"400", "401", "403", "422", "429", "503"};
    const struct mg_permission_row *permission = mg_permission_row(row->permission);
    struct mg_view path = mg_view_text(row->path);
    const struct mg_view tag = segment_take(&path);
    TRY(mg_buffer_format(it->json, "\"operationId\":\"%s\",\"tags\":[\"%.*s\"],\"x-permission\":", row->name,
                         (int) tag.length, (const char *) tag.bytes));
    if (permission == NULL)
        TRY(add(it, "null"));
    else
        TRY(mg_buffer_add_json_string(it->json, mg_view_text(permission->keyword)));
    TRY(add_string(it, ",\"summary\":", say(it, row->en, row->ja)));
    TRY(add_parameters(it, row));
    TRY(add_body(it, row));
    TRY(add(it, ",\"responses\":{"));
    TRY(add_success(it, row));
    TRY(add(it, "}"));
    for (size_t i = 0; i < MG_COUNT(always); i++)
        TRY(mg_buffer_format(it->json, ",\"%s\":{\"$ref\":\"#/components/responses/problem\"}", always[i]));
    if (has_input(row, MG_API_IN_PATH))
        TRY(add(it, ",\"404\":{\"$ref\":\"#/components/responses/problem\"}"));
    if (strcmp(row->method, "GET") != 0)
        TRY(add(it, ",\"409\":{\"$ref\":\"#/components/responses/problem\"}"));
    if (mg_api_needs_match(row))
        TRY(add(it, ",\"412\":{\"$ref\":\"#/components/responses/problem\"},"
                    "\"428\":{\"$ref\":\"#/components/responses/problem\"}"));
    return add(it, "}");
}

/* The operations of one path together, at the place of the first. */
static CHECKED struct mg_status
add_path(struct document *it, size_t first, bool *any)
{
    const char *path = mg_api_endpoints[first].path, *between = "";
    for (size_t i = 0; i < first; i++)
        if (strcmp(mg_api_endpoints[i].path, path) == 0)
            return OK;
    TRY(mg_buffer_format(it->json, "%s\n\"%s\":{", *any ? "," : "", path));
    *any = true;
    for (size_t i = first; i < MG_API_ENDPOINT_COUNT; i++) {
        const struct mg_api_endpoint_row *row = &mg_api_endpoints[i];
        char method[8];
        size_t at = 0;
        if (strcmp(row->path, path) != 0)
            continue;
        for (; row->method[at] != '\0'; at++)
            method[at] = (char) (row->method[at] | 0x20);
        method[at] = '\0';
        TRY(mg_buffer_format(it->json, "%s\n\"%s\":{", between, method));
        TRY(add_operation(it, row));
        TRY(add(it, "}"));
        between = ",";
    }
    return add(it, "}");
}

static CHECKED struct mg_status
add_head(struct document *it)
{
    TRY(add(it, "{\"openapi\":\"3.1.1\",\n\"info\":{\"version\":\"1\""));
    TRY(add_string(it, ",\"title\":", say(it, "Masugata: the API of a tenant", "Masugata: テナントの API")));
    TRY(add_string(
        it, ",\"description\":",
        say(it,
            "What the tenant's console does, for programs, at /api/v1 on the tenant's sign-in origin. A token of a service "
            "account comes in `Authorization: Bearer`; cookies do not count. Every request needs the permission "
            "`x-permission` of the token and of its account at that moment. Lists come in pages. Errors are RFC 9457, in "
            "Japanese or English by Accept-Language. Members that are not described here are refused.",
            "テナントのコンソールと同じ操作をプログラムから行うための API です。テナントのサインイン用オリジンの /api/v1 にあります。"
            "サービスアカウントのトークンを `Authorization: Bearer` で送ります。Cookie は使いません。各要求には、その時点でトークンと"
            "アカウントの両方が `x-permission` の権限を持つことが必要です。一覧はページ単位で返します。エラーは RFC 9457 形式で、"
            "Accept-Language に応じて日本語か英語になります。ここに記載のない項目は拒否します。")));
    return add(it, "},\n\"servers\":[{\"url\":\"" MG_API_BASE "\"}],\n\"security\":[{\"token\":[]}],\n");
}

static CHECKED struct mg_status
add_tags(struct document *it)
{
    static const struct {
        const char *name, *en, *ja;
    } tags[] = {
#define TAG(name, english, japanese) {name, english, japanese},
#include "../../catalogue/api.def"
    };
    TRY(add(it, "\"tags\":["));
    for (size_t i = 0; i < MG_COUNT(tags); i++) {
        TRY(mg_buffer_format(it->json, "%s\n{\"name\":\"%s\"", i == 0 ? "" : ",", tags[i].name));
        TRY(add_string(it, ",\"description\":", say(it, tags[i].en, tags[i].ja)));
        TRY(add(it, "}"));
    }
    return add(it, "],\n");
}

static CHECKED struct mg_status
add_components(struct document *it)
{
    TRY(add(it, "\"components\":{\"securitySchemes\":{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\","));
    TRY(add_string(it, "\"description\":",
                   say(it, "an API token of this tenant (mgk_…)", "このテナントの API トークン (mgk_…)")));
    TRY(add(
        it,
        "}},\n\"parameters\":{\"Idempotency-Key\":{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"required\":false,"
        "\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255},"));
    TRY(add_string(
        it, "\"description\":",
        say(it,
            "A name of your own for this request. A repetition within a day with the same key gets the same answer "
            "and does nothing; with another body it is refused.",
            "この要求を識別する任意の文字列。1 日以内に同じキーで再送すると、同じ応答を返し、再実行しない。内容が異なる場合は拒否する")));
    TRY(add(it, "}},\n\"responses\":{\"problem\":{"));
    TRY(add_string(it, "\"description\":", say(it, "why it was not done", "実行されなかった理由")));
    TRY(add(
        it,
        ",\"content\":{\"application/problem+json\":{\"schema\":{\"$ref\":\"#/components/schemas/problem\"}}}}},\n"));
    TRY(add_schemas(it));
    it->json->length--; /* the comma */
    return add(it, "},\n");
}

static CHECKED struct mg_status
add_problem(struct document *it, const char *code, unsigned status, const char *text, bool first)
{
    TRY(mg_buffer_format(it->json, "%s\n\"%s\":{\"status\":%u", first ? "" : ",", code, status));
    TRY(add_string(it, ",\"title\":", text));
    return add(it, "}");
}

struct mg_status
mg_api_outcome_code(uint64_t outcome, struct mg_buffer *code)
{
    const char *name = mg_outcome_name(outcome);
    for (size_t i = 0; name[i] != '\0'; i++)
        TRY(mg_buffer_add_byte(code,
                               (uint8_t) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i])));
    return OK;
}

static CHECKED struct mg_status
add_problems(struct document *it)
{
    TRY(add(it, "\"x-problems\":{"));
    for (int i = 1; i < MG_API_PROBLEM_COUNT; i++)
        TRY(add_problem(it, problems[i].code, problems[i].status, say(it, problems[i].en, problems[i].ja),
                        i == 1));
    for (size_t i = 0; i < MG_COUNT(refusals); i++) {
        OWN_BUFFER(code, 64);
        TRY(mg_api_outcome_code(refusals[i].outcome, &code));
        TRY(add_problem(it, mg_buffer_text(&code), refusals[i].status,
                        mg_outcome_text(refusals[i].outcome, it->japanese), false));
    }
    return add(it, "}}\n");
}

struct mg_status
mg_api_document(bool japanese, struct mg_buffer *json)
{
    struct document it = {.json = json, .japanese = japanese};
    bool any = false;
    TRY(add_head(&it));
    TRY(add_tags(&it));
    TRY(add(&it, "\"paths\":{"));
    for (size_t i = 0; i < MG_API_ENDPOINT_COUNT; i++)
        TRY(add_path(&it, i, &any));
    TRY(add(&it, "},\n"));
    TRY(add_components(&it));
    return add_problems(&it);
}

struct mg_status
mg_api_matrix(struct mg_buffer *json)
{
    TRY(mg_buffer_add_text(json, "{\"endpoints\":["));
    for (size_t i = 0; i < MG_API_ENDPOINT_COUNT; i++) {
        const struct mg_api_endpoint_row *row = &mg_api_endpoints[i];
        const struct mg_permission_row *permission = mg_permission_row(row->permission);
        TRY(mg_buffer_format(json,
                             "%s\n{\"name\":\"%s\",\"method\":\"%s\",\"path\":\"%s%s\",\"needs\":\"%s\"}",
                             i == 0 ? "" : ",", row->name, row->method, MG_API_BASE, row->path,
                             permission != NULL ? permission->keyword : ""));
    }
    return mg_buffer_add_text(json, "]}\n");
}
