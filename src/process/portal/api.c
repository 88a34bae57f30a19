/* The API of a tenant: finds the row of catalogue/api.def for a request, checks what came with it, has the
 * row's handler ask the authority, and writes the answer. Cookies are not looked at and no other origin is
 * allowed to read, so that no page of any site can use it. */
#include "process/portal/api.h"

#include "base/log.h"
#include "base/secret.h"

#include <openssl/sha.h>
#include <stdio.h>

#define JSON_MOST (MG_WEB_ANSWER - 4096)
enum { FIRST = 1, REPEATED, OTHER_REQUEST, UNDER_WAY, TOO_MANY_KEYS };

static struct mg_status (*const handlers[MG_API_ENDPOINT_COUNT])(struct api *api) = {
#define ENDPOINT(name, ...) [MG_API_ENDPOINT_##name] = api_on_##name,
#include "catalogue/api.def"
};

/* ---- answers ---- */

static CHECKED struct mg_status
answer_send(struct api *api, const char *content_type)
{
    struct visit *visit = api->visit;
    TRY(send_bytes(visit, content_type, "no-store", mg_buffer_view(&api->json)));
    visit->answer->status = api->status;
    TRY(mg_web_header_add(visit->answer, "Content-Language", "%s", mg_language_tag(visit->language)));
    TRY(mg_web_header_add(visit->answer, "Vary", "Accept-Language, Authorization"));
    if (api->place[0] != '\0')
        TRY(mg_web_header_add(visit->answer, "Location", "%s", api->place));
    if (api->etag[0] != '\0')
        TRY(mg_web_header_add(visit->answer, "ETag", "\"%s\"", api->etag));
    if (api->status == 401)
        return mg_web_header_add(visit->answer, "WWW-Authenticate", "Bearer realm=\"masugata\"");
    if (api->status == 503)
        return mg_web_header_add(visit->answer, "Retry-After", "5");
    return OK;
}

struct problem {
    const char *code, *title;
    unsigned status;
    const char *member;
    struct mg_view detail;
};

/* RFC 9457. The type is a place in our own description, so that it can be looked up where it came from. */
static CHECKED struct mg_status
problem_write(struct api *api, const struct problem *problem)
{
    mg_buffer_clear(&api->json);
    mg_buffer_clear(&api->kept);
    api->place[0] = api->etag[0] = '\0';
    api->status = problem->status;
    TRY(mg_buffer_format(
        &api->json, "{\"type\":\"" MG_API_BASE "/openapi.json#/x-problems/%s\",\"title\":", problem->code));
    TRY(mg_buffer_add_json_string(&api->json, mg_view_text(problem->title)));
    TRY(mg_buffer_format(&api->json, ",\"status\":%u,\"code\":\"%s\"", problem->status, problem->code));
    if (problem->member[0] != '\0') {
        TRY(mg_buffer_add_text(&api->json, ",\"member\":"));
        TRY(mg_buffer_add_json_string(&api->json, mg_view_text(problem->member)));
    }
    if (problem->detail.length != 0) {
        TRY(mg_buffer_add_text(&api->json, ",\"detail\":"));
        TRY(mg_buffer_add_json_string(&api->json, problem->detail));
    }
    return mg_buffer_add_byte(&api->json, '}');
}

struct mg_status
api_problem(struct api *api, enum mg_api_problem problem, const char *member)
{
    const struct mg_api_problem_row *row = mg_api_problem_row(problem);
    const struct problem it = {.code = row->code,
                               .title = api->visit->language == MG_JAPANESE ? row->ja : row->en,
                               .status = row->status,
                               .member = member,
                               .detail = MG_VIEW_EMPTY};
    return problem_write(api, &it);
}

struct mg_status
api_refuse(struct api *api, uint64_t outcome, struct mg_view reason)
{
    OWN_BUFFER(code, 64);
    OWN_BUFFER(words, 4096);
    TRY(mg_api_outcome_code(outcome, &code));
    TRY(mg_reason_words(reason, api->visit->language == MG_JAPANESE, &words));
    const struct problem it = {.code = mg_buffer_text(&code),
                               .title = mg_outcome_text(outcome, api->visit->language == MG_JAPANESE),
                               .status = mg_api_refusal_status(outcome),
                               .member = "",
                               .detail = mg_buffer_view(&words)};
    return problem_write(api, &it);
}

struct mg_status
api_done(struct api *api, uint64_t outcome, struct mg_view reason)
{
    if (outcome != MG_GRANTED)
        return api_refuse(api, outcome, reason);
    api->status = 204;
    return OK;
}

struct mg_status
api_etag(struct api *api, struct mg_view value)
{
    uint8_t hash[HASH_BYTES];
    OWN_BUFFER(text, 64);
    mg_must(SHA256(value.bytes, value.length, hash) != NULL);
    TRY(mg_base64url(mg_view_of(hash, sizeof hash), &text));
    return mg_view_copy(mg_buffer_view(&text), api->etag, sizeof api->etag);
}

struct mg_status
api_place(struct api *api, const char *collection, struct mg_view name)
{
    OWN_BUFFER(place, sizeof api->place - 1);
    TRY(mg_buffer_format(&place, MG_API_BASE "%s/", collection));
    TRY(mg_form_encode(name, &place));
    return mg_view_copy(mg_buffer_view(&place), api->place, sizeof api->place);
}

/* ---- pages ---- */

struct mg_status
api_list_begin(struct api *api)
{
    return mg_buffer_add_text(&api->json, "{\"items\":[");
}

struct mg_status
api_list_end(struct api *api, struct mg_view next)
{
    api->status = 200;
    if (next.length == 0)
        return mg_buffer_add_text(&api->json, "],\"next\":null}");
    TRY(mg_buffer_add_text(&api->json, "],\"next\":\""));
    TRY(mg_base64url(next, &api->json));
    return mg_buffer_add_text(&api->json, "\"}");
}

struct mg_status
api_list_end_number(struct api *api, bool more, uint64_t next)
{
    char text[24];
    (void) snprintf(text, sizeof text, "%llu", (unsigned long long) next);
    return api_list_end(api, more ? mg_view_text(text) : MG_VIEW_EMPTY);
}

struct mg_status
api_cursor(struct api *api, struct mg_buffer *after, bool *ret_right)
{
    const struct mg_status status = mg_base64url_decode(api_text(api, "cursor"), after);
    *ret_right = mg_ok(status) && mg_view_is_utf8(mg_buffer_view(after));
    return *ret_right ? OK : api_problem(api, MG_API_PROBLEM_wrong_member, "cursor");
}

struct mg_status
api_cursor_number(struct api *api, uint64_t *ret_after, bool *ret_right)
{
    OWN_BUFFER(text, 32);
    *ret_after = 0;
    *ret_right = true;
    if (api_text(api, "cursor").length == 0)
        return OK;
    *ret_right = mg_ok(mg_base64url_decode(api_text(api, "cursor"), &text)) &&
                 mg_ok(mg_parse_u64(mg_buffer_view(&text), INT64_MAX, ret_after));
    return *ret_right ? OK : api_problem(api, MG_API_PROBLEM_wrong_member, "cursor");
}

/* ---- inputs ---- */

const struct mg_json_value *
api_value(const struct api *api, const char *name)
{
    for (size_t i = 0; api->row->inputs[i].place != MG_API_IN_NOTHING; i++)
        if (strcmp(api->row->inputs[i].name, name) == 0)
            return &api->values[i];
    mg_must_failed("an input of the row", MG_HERE);
}

struct mg_view
api_text(const struct api *api, const char *name)
{
    return api_value(api, name)->text;
}

bool
api_number(const struct api *api, const char *name, uint64_t *ret_number)
{
    return mg_ok(mg_parse_u64(api_text(api, name), INT64_MAX, ret_number));
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment of the path as the gate left it: percent-encoded where it had to be. */
static bool
segment_decode(struct mg_view segment, size_t most, struct mg_buffer *storage, struct mg_view *ret_text)
{
    const size_t start = storage->length;
    for (size_t i = 0; i < segment.length; i++) {
        uint8_t c = segment.bytes[i];
        if (c == '%') {
            const int high = i + 2 < segment.length ? hex_digit(segment.bytes[i + 1]) : -1;
            const int low = i + 2 < segment.length ? hex_digit(segment.bytes[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (uint8_t) (high * 16 + low);
            i += 2;
        }
        if (c < ' ' || c == 0x7f || !mg_ok(mg_buffer_add_byte(storage, c)))
            return false;
    }
    *ret_text = mg_view_of(storage->bytes + start, storage->length - start);
    return ret_text->length <= most && mg_view_is_utf8(*ret_text);
}

/* *ret_wrong is the name of a parameter that is not in the row or not of its type. */
static enum mg_api_problem
query_read(struct api *api, const char **ret_wrong)
{
    const struct mg_form *query = &api->visit->query;
    size_t known = 0;
    for (size_t i = 0; api->row->inputs[i].place != MG_API_IN_NOTHING; i++) {
        const struct mg_api_input *input = &api->row->inputs[i];
        struct mg_json_value *value = &api->values[i];
        if (input->place != MG_API_IN_QUERY || !mg_form_has(query, input->name))
            continue;
        known++;
        value->given = true;
        value->text = mg_form_value(query, input->name);
        *ret_wrong = input->name;
        if ((input->type == MG_API_NUMBER &&
             !mg_ok(mg_parse_u64(value->text, input->most, &value->number))) ||
            (input->type == MG_API_TIME && !mg_ok(mg_instant_parse(value->text, &value->time))) ||
            (input->type != MG_API_NUMBER && value->text.length > input->most))
            return MG_API_PROBLEM_wrong_member;
    }
    *ret_wrong = "";
    if (known == query->count)
        return MG_API_PROBLEM_NONE;
    for (size_t i = 0; i < query->count; i++) {
        bool found = false;
        for (size_t k = 0; api->row->inputs[k].place != MG_API_IN_NOTHING; k++)
            found = found || (api->row->inputs[k].place == MG_API_IN_QUERY &&
                              mg_view_is(query->fields[i].name, api->row->inputs[k].name));
        if (!found)
            *ret_wrong = mg_arena_text(api->visit->arena, query->fields[i].name);
    }
    return MG_API_PROBLEM_unknown_member;
}

static enum mg_json_kind
kind_of(enum mg_api_type type)
{
    switch (type) {
    case MG_API_NUMBER:
        return MG_JSON_NUMBER;
    case MG_API_FLAG:
        return MG_JSON_FLAG;
    case MG_API_TIME:
        return MG_JSON_TIME;
    case MG_API_WORDS:
        return MG_JSON_WORDS;
    case MG_API_SETTINGS:
        return MG_JSON_SETTINGS;
    default:
        return MG_JSON_TEXT;
    }
}

static bool
is_json(const struct visit *visit)
{
    struct mg_view type;
    unsigned count = 0;
    if (!mg_web_header(visit->request, "Content-Type", &type, &count) || count != 1)
        return false;
    return mg_view_is(type, "application/json") || mg_view_is(type, "application/json; charset=utf-8") ||
           mg_view_is(type, "application/json;charset=utf-8");
}

/* The members of the body, in the places of their rows. */
static CHECKED struct mg_status
body_read(struct api *api, enum mg_api_problem *ret_problem, struct mg_json_verdict *ret_verdict)
{
    static const enum mg_api_problem faults[] = {
        [MG_JSON_RIGHT] = MG_API_PROBLEM_NONE,
        [MG_JSON_MALFORMED] = MG_API_PROBLEM_not_understood,
        [MG_JSON_UNKNOWN_MEMBER] = MG_API_PROBLEM_unknown_member,
        [MG_JSON_MISSING_MEMBER] = MG_API_PROBLEM_missing_member,
        [MG_JSON_WRONG_MEMBER] = MG_API_PROBLEM_wrong_member,
    };
    struct mg_json_member members[MG_API_INPUTS_MOST];
    struct mg_json_value values[MG_API_INPUTS_MOST];
    size_t places[MG_API_INPUTS_MOST], count = 0;
    *ret_verdict = (struct mg_json_verdict){.fault = MG_JSON_RIGHT};
    *ret_problem = MG_API_PROBLEM_NONE;
    for (size_t i = 0; api->row->inputs[i].place != MG_API_IN_NOTHING; i++) {
        const struct mg_api_input *input = &api->row->inputs[i];
        if (input->place != MG_API_IN_BODY)
            continue;
        members[count] = (struct mg_json_member){.name = input->name,
                                                 .kind = kind_of(input->type),
                                                 .required = input->required,
                                                 .most = input->most};
        places[count++] = i;
    }
    if (count == 0) {
        if (api->visit->request->body.length != 0)
            *ret_problem = MG_API_PROBLEM_not_understood; /* a body that nobody would look at */
        return OK;
    }
    if (!is_json(api->visit)) {
        *ret_problem = MG_API_PROBLEM_not_json;
        return OK;
    }
    TRY(mg_json_body_read(api->visit->request->body, members, count, values, &api->inputs, ret_verdict));
    for (size_t i = 0; i < count; i++)
        api->values[places[i]] = values[i];
    *ret_problem = faults[ret_verdict->fault];
    return OK;
}

/* If-Match (RFC 9110 section 13.1.1): one strong tag of ours, or *. */
static enum mg_api_problem
match_read(struct api *api)
{
    struct mg_view value;
    unsigned count = 0;
    OWN_BUFFER(hash, HASH_BYTES);
    api->expected = MG_VIEW_EMPTY;
    if (!mg_api_needs_match(api->row))
        return MG_API_PROBLEM_NONE;
    if (!mg_web_header(api->visit->request, "If-Match", &value, &count))
        return MG_API_PROBLEM_match_needed;
    if (count == 1 && mg_view_is(value, "*"))
        return MG_API_PROBLEM_NONE;
    if (count != 1 || value.length < 2 || value.bytes[0] != '"' || value.bytes[value.length - 1] != '"' ||
        !mg_ok(mg_base64url_decode(mg_view_of(value.bytes + 1, value.length - 2), &hash)) ||
        hash.length != HASH_BYTES)
        memset(api->expected_bytes, 0, HASH_BYTES); /* a tag that is none of ours: nothing has it */
    else
        memcpy(api->expected_bytes, hash.bytes, HASH_BYTES);
    api->expected = mg_view_of(api->expected_bytes, HASH_BYTES);
    return MG_API_PROBLEM_NONE;
}

static bool
is_safe(const struct api *api)
{
    return strcmp(api->row->method, "GET") == 0;
}

static enum mg_api_problem
key_read(struct api *api)
{
    struct mg_view value;
    unsigned count = 0;
    if (is_safe(api) || !mg_web_header(api->visit->request, "Idempotency-Key", &value, &count))
        return MG_API_PROBLEM_NONE;
    for (size_t i = 0; i < value.length; i++)
        if (value.bytes[i] <= ' ' || value.bytes[i] >= 0x7f)
            return MG_API_PROBLEM_wrong_key;
    if (count != 1 || value.length == 0 || !mg_ok(mg_view_copy(value, api->key, sizeof api->key)))
        return MG_API_PROBLEM_wrong_key;
    return MG_API_PROBLEM_NONE;
}

/* *ret_right: everything that came is what the row asks for; otherwise the answer is written. */
static CHECKED struct mg_status
inputs_read(struct api *api, const struct mg_view segments[MG_API_PATH_MOST], bool *ret_right)
{
    const char *wrong = "";
    struct mg_json_verdict verdict;
    enum mg_api_problem problem = MG_API_PROBLEM_NONE;
    size_t segment = 0;
    *ret_right = false;
    TRY(body_read(api, &problem, &verdict)); /* first: it makes all the room that views borrow */
    TRY(mg_buffer_reserve(&api->inputs, segments[0].length + segments[1].length));
    for (size_t i = 0; api->row->inputs[i].place != MG_API_IN_NOTHING; i++)
        if (api->row->inputs[i].place == MG_API_IN_PATH &&
            !segment_decode(segments[segment++], api->row->inputs[i].most, &api->inputs,
                            &api->values[i].text))
            return api_problem(api, MG_API_PROBLEM_not_found, "");
    if (problem != MG_API_PROBLEM_NONE)
        return api_problem(api, problem, verdict.member);
    problem = query_read(api, &wrong);
    if (problem != MG_API_PROBLEM_NONE)
        return api_problem(api, problem, wrong != NULL ? wrong : "");
    problem = match_read(api);
    if (problem == MG_API_PROBLEM_NONE)
        problem = key_read(api);
    if (problem != MG_API_PROBLEM_NONE)
        return api_problem(api, problem, "");
    *ret_right = true;
    return OK;
}

/* ---- requests that come twice ---- */

static CHECKED struct mg_status
request_hash(const struct api *api, uint8_t hash[HASH_BYTES])
{
    const struct mg_web_request *request = api->visit->request;
    struct mg_view match = MG_VIEW_EMPTY;
    OWN_BUFFER(all, MG_WEB_BODY + 2 * MG_WEB_TARGET + 256);
    (void) mg_web_header(request, "If-Match", &match, NULL);
    TRY(mg_buffer_format(&all, "%s\n", api->row->method));
    TRY(mg_buffer_add(&all, request->path));
    TRY(mg_buffer_add_byte(&all, '\n'));
    TRY(mg_buffer_add(&all, mg_view_of(match.bytes, match.length < 200 ? match.length : 200)));
    TRY(mg_buffer_add_byte(&all, '\n'));
    TRY(mg_buffer_add(&all, request->body));
    mg_must(SHA256(all.bytes, all.length, hash) != NULL);
    return OK;
}

/* *ret_first: it is carried out now; otherwise the answer is written. */
static CHECKED struct mg_status
turn_begin(struct api *api, bool *ret_first)
{
    uint8_t hash[HASH_BYTES];
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_api_begin reply;
    TRY(request_hash(api, hash));
    const struct mg_request_api_begin request = {.token = visit_session(api->visit),
                                                 .key = mg_view_text(api->key),
                                                 .request = mg_view_of(hash, sizeof hash)};
    TRY(mg_call_api_begin(&request, &reply, &storage, CALL_MS));
    *ret_first = reply.turn == FIRST;
    switch (reply.turn) {
    case FIRST:
        return OK;
    case REPEATED:
        api->status = (unsigned) reply.status;
        TRY(mg_view_copy(reply.place, api->place, sizeof api->place));
        TRY(mg_web_header_add(api->visit->answer, "Idempotency-Replayed", "true"));
        return mg_buffer_add(&api->json, reply.body);
    case OTHER_REQUEST:
        return api_problem(api, MG_API_PROBLEM_key_used, "");
    case TOO_MANY_KEYS:
        return api_problem(api, MG_API_PROBLEM_too_many_keys, "");
    default:
        return api_problem(api, MG_API_PROBLEM_key_under_way, "");
    }
}

/* What was decided is kept; what may go another way in a moment is not. */
static CHECKED struct mg_status
turn_end(const struct api *api)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_api_end reply;
    const struct mg_buffer *body = api->kept.length != 0 ? &api->kept : &api->json;
    const bool passing = api->status >= 500 || api->status == 429 || api->status == 401 || api->status == 403;
    const struct mg_request_api_end request = {.token = visit_session(api->visit),
                                               .key = mg_view_text(api->key),
                                               .status = passing || body->length > 65535 ? 0 : api->status,
                                               .place = mg_view_text(api->place),
                                               .body = body->length > 65535 ? MG_VIEW_EMPTY
                                                                            : mg_buffer_view(body)};
    return mg_call_api_end(&request, &reply, &storage, CALL_MS);
}

static CHECKED struct mg_status
carry_out(struct api *api)
{
    bool first = true;
    if (api->key[0] != '\0')
        TRY(turn_begin(api, &first));
    if (!first)
        return OK;
    /* A failure leaves the key taken: whether it was done is not known. */
    TRY(handlers[api->row - mg_api_endpoints](api));
    if (api->key[0] == '\0')
        return OK;
    const struct mg_status kept = turn_end(api);
    if (!mg_ok(kept)) /* it is done all the same, and the answer says so; a repetition gets key_under_way */
        mg_log_status(MG_WARNING, "answer of the API not kept", kept);
    return OK;
}

/* ---- which row ---- */

static bool
method_fits(const struct mg_api_endpoint_row *row, struct mg_view method)
{
    return mg_view_is(method, row->method) || (mg_view_is(method, "HEAD") && strcmp(row->method, "GET") == 0);
}

/* NULL if there is none; `allowed` collects the methods that the path has. */
static const struct mg_api_endpoint_row *
row_find(const struct visit *visit, struct mg_view path, struct mg_view segments[MG_API_PATH_MOST],
         char *allowed, size_t size)
{
    size_t used = 0;
    const struct mg_api_endpoint_row *found = NULL;
    const char *place =
        NULL; /* "/audit/events" comes before "/audit/{entry}": the first path that fits is it */
    for (size_t i = 0; i < MG_API_ENDPOINT_COUNT; i++) {
        const struct mg_api_endpoint_row *row = &mg_api_endpoints[i];
        struct mg_view found_segments[MG_API_PATH_MOST];
        if (!mg_api_path_fits(row->path, path, found_segments) ||
            (place != NULL && strcmp(place, row->path) != 0))
            continue;
        place = row->path;
        if (found == NULL && method_fits(row, visit->request->method)) {
            found = row;
            memcpy(segments, found_segments, sizeof found_segments);
        }
        const int length = snprintf(allowed + used, size - used, "%s%s", used == 0 ? "" : ", ", row->method);
        if (length > 0 && (size_t) length < size - used)
            used += (size_t) length;
    }
    return found;
}

/* The description is no secret, and what reads it has no token yet. */
static CHECKED struct mg_status
document_send(struct api *api)
{
    api->status = 200;
    return mg_api_document(api->visit->language == MG_JAPANESE, &api->json);
}

static CHECKED struct mg_status
answer_make(struct api *api)
{
    static const size_t base = sizeof MG_API_BASE - 1;
    struct visit *visit = api->visit;
    const struct mg_view whole = visit->request->path;
    char allowed[64] = "";
    struct mg_view segments[MG_API_PATH_MOST] = {0};
    bool right = false;
    if (whole.length <= base || memcmp(whole.bytes, MG_API_BASE, base) != 0)
        return api_problem(api, MG_API_PROBLEM_not_found, "");
    const struct mg_view path = mg_view_of(whole.bytes + base, whole.length - base);
    if (mg_view_is(path, "/openapi.json") && mg_view_is(visit->request->method, "GET"))
        return document_send(api);
    /* Before anything else, so that who has no token learns nothing about what there is. */
    TRY(visit_identify_token(visit, &api->token_storage, &api->token));
    if (api->token.outcome != MG_GRANTED) {
        struct mg_view header;
        const bool came = mg_web_header(visit->request, "Authorization", &header, NULL);
        if (api->token.outcome == MG_RATE_LIMITED)
            return api_problem(api, MG_API_PROBLEM_too_often, "");
        return came ? api_refuse(api, api->token.outcome, MG_VIEW_EMPTY)
                    : api_problem(api, MG_API_PROBLEM_no_token, "");
    }
    api->row = row_find(visit, path, segments, allowed, sizeof allowed);
    if (api->row == NULL && allowed[0] != '\0') {
        TRY(mg_web_header_add(visit->answer, "Allow", "%s", allowed));
        return api_problem(api, MG_API_PROBLEM_wrong_method, "");
    }
    if (api->row == NULL)
        return api_problem(api, MG_API_PROBLEM_not_found, "");
    if (visit->request->body.length > mg_api_body_most(api->row))
        return api_problem(api, MG_API_PROBLEM_too_large, "");
    TRY(inputs_read(api, segments, &right));
    return right ? carry_out(api) : OK;
}

static void
api_drop(struct api *api)
{
    mg_buffer_drop(&api->inputs);
    mg_buffer_drop(&api->token_storage);
    mg_buffer_drop(&api->json);
    mg_buffer_drop(&api->kept);
}

#define NEW_API(of)                                                                                        \
    {                                                                                                      \
        .visit = (of), .inputs = MG_BUFFER(MG_JSON_BODY_STORAGE),                                          \
        .token_storage = MG_BUFFER(MG_PACKET_MOST), .json = MG_BUFFER(JSON_MOST), .kept = MG_BUFFER(65536) \
    }

struct mg_status
api_follow(struct visit *visit)
{
    MG_CLEANUP(api_drop) struct api api = NEW_API(visit);
    TRY(answer_make(&api));
    return answer_send(&api, api.status >= 400 ? "application/problem+json" : "application/json");
}

struct mg_status
api_failed(struct visit *visit, struct mg_status failure)
{
    MG_CLEANUP(api_drop) struct api api = NEW_API(visit);
    const bool theirs =
        failure.code == MG_MALFORMED || failure.code == MG_TOO_LARGE || failure.code == MG_INVALID;
    TRY(api_problem(&api,
                    failure.code == MG_TOO_LARGE ? MG_API_PROBLEM_too_large
                    : theirs                     ? MG_API_PROBLEM_not_understood
                                                 : MG_API_PROBLEM_unavailable,
                    ""));
    return answer_send(&api, "application/problem+json");
}
