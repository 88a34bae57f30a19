/* SCIM 2.0 at /scim/v2 of the sign-in origin: routes, tokens, queries, preconditions (RFC 7644 section 3). */
#include "process/portal/scim.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    FILTER_BYTES = 32768,
    CHANGES_BYTES = 49152,
    MEMBERS_BYTES = 65536,
    MEMBERS_SHOWN_BYTES = 900000,
    MAKES = 1,
    REPLACES = 2,
    PATCHES = 3,
    DELETES = 4
};

/* One request for users or groups. */
struct asked {
    enum mg_scim_resource resource;
    uint64_t id; /* 0: the list */
    bool search; /* POST to .search */
    struct mg_scim_query query;
    struct scim_selection selection;
};

bool
scim_is_asked(const struct visit *visit)
{
    static const char place[] = SCIM_PLACE;
    const struct mg_view path = visit->request == NULL ? MG_VIEW_EMPTY : visit->request->path;
    return visit->origin == ORIGIN_SIGN_IN && path.length >= sizeof place - 1 &&
           memcmp(path.bytes, place, sizeof place - 1) == 0 &&
           (path.length == sizeof place - 1 || path.bytes[sizeof place - 1] == '/');
}

static bool
is_method(const struct visit *visit, const char *method)
{
    return mg_view_is(visit->request->method, method);
}

/* ---- what outcomes mean ---- */

static enum mg_scim_problem
problem_of(uint64_t outcome)
{
    switch ((enum mg_outcome) outcome) {
    case MG_TOKEN_NOT_VALID:
    case MG_SESSION_ENDED:
        return MG_SCIM_PROBLEM_unauthorized;
    case MG_NOT_ALLOWED:
    case MG_TENANT_CLOSED:
    case MG_ADDRESS_NOT_ALLOWED:
        return MG_SCIM_PROBLEM_forbidden;
    case MG_RATE_LIMITED:
        return MG_SCIM_PROBLEM_too_many_requests;
    case MG_NOT_KNOWN:
        return MG_SCIM_PROBLEM_not_found;
    default:
        return MG_SCIM_PROBLEM_busy;
    }
}

static CHECKED struct mg_status
refuse_outcome(struct visit *visit, uint64_t outcome)
{
    return scim_problem(visit, problem_of(outcome), MG_VIEW_EMPTY);
}

struct mg_status
scim_failure(struct visit *visit, struct mg_status failure)
{
    mg_web_answer_clear(visit->answer);
    switch (failure.code) {
    case MG_MALFORMED:
    case MG_INVALID:
        return scim_problem(visit, MG_SCIM_PROBLEM_syntax, MG_VIEW_EMPTY);
    case MG_TOO_LARGE:
        return scim_problem(visit, MG_SCIM_PROBLEM_too_large, MG_VIEW_EMPTY);
    default:
        return scim_problem(visit, MG_SCIM_PROBLEM_busy, MG_VIEW_EMPTY);
    }
}

/* ---- the query ---- */

/* Percent-decoding (RFC 3986), with + for a space as clients' libraries write it; empty and false if it is
 * none. */
static bool
decode(struct mg_view encoded, struct mg_buffer *text)
{
    for (size_t i = 0; i < encoded.length; i++) {
        uint8_t byte = encoded.bytes[i] == '+' ? ' ' : encoded.bytes[i];
        if (byte == '%') {
            if (encoded.length - i < 3 || !mg_ok(mg_unhex(mg_view_of(encoded.bytes + i + 1, 2), &byte, 1)))
                return false;
            i += 2;
        }
        if (!mg_ok(mg_buffer_add_byte(text, byte)))
            return false;
    }
    return mg_view_is_utf8(mg_buffer_view(text));
}

static enum mg_scim_problem
query_read(const struct visit *visit, struct mg_scim_query *query)
{
    struct mg_view rest = visit->request->query;
    while (rest.length != 0) {
        OWN_BUFFER(name, 64);
        OWN_BUFFER(value, MG_SCIM_FILTER_BYTES);
        const uint8_t *end = memchr(rest.bytes, '&', rest.length);
        const size_t length = end == NULL ? rest.length : (size_t) (end - rest.bytes);
        const uint8_t *sign = memchr(rest.bytes, '=', length);
        const size_t name_length = sign == NULL ? length : (size_t) (sign - rest.bytes);
        if (!decode(mg_view_of(rest.bytes, name_length), &name))
            return MG_SCIM_PROBLEM_value;
        if (sign != NULL && !decode(mg_view_of(sign + 1, length - name_length - 1), &value))
            return mg_scim_words_equal(mg_buffer_view(&name), "filter") ? MG_SCIM_PROBLEM_filter
                                                                        : MG_SCIM_PROBLEM_value;
        const enum mg_scim_problem problem =
            mg_scim_query_set(query, mg_buffer_view(&name), mg_buffer_view(&value));
        if (problem != MG_SCIM_FINE)
            return problem;
        rest = end == NULL ? MG_VIEW_EMPTY : mg_view_of(end + 1, rest.length - length - 1);
    }
    return MG_SCIM_FINE;
}

/* The filter as a list of records; *ret_at where it makes no sense. */
static CHECKED struct mg_status
filter_write(const struct asked *asked, struct mg_buffer *list, enum mg_scim_problem *ret_problem,
             size_t *ret_at)
{
    struct mg_scim_filter filter;
    *ret_problem = MG_SCIM_FINE;
    if (asked->query.filter[0] == '\0')
        return OK;
    *ret_problem = mg_scim_filter_parse(asked->resource, mg_view_text(asked->query.filter), &filter, ret_at);
    for (size_t i = 0; i < filter.count && *ret_problem == MG_SCIM_FINE; i++) {
        const struct mg_scim_node *node = &filter.nodes[i];
        TRY(mg_list_add_scim_node(list, &(struct mg_record_scim_node){.operation = node->operation,
                                                                      .attribute = node->attribute,
                                                                      .text = node->text,
                                                                      .flag = node->flag,
                                                                      .instant = node->instant}));
    }
    return OK;
}

static uint64_t
sort_attribute(const struct asked *asked)
{
    enum mg_scim_attribute attribute = MG_SCIM_NOTHING;
    if (asked->query.sort_by[0] != '\0')
        (void) mg_scim_attribute_find(asked->resource, mg_view_text(asked->query.sort_by), &attribute);
    return attribute;
}

/* ---- preconditions (RFC 7232, RFC 7644 section 3.14) ---- */

/* The versions of an If-Match or If-None-Match header with spaces between; "*" and none at all give the empty
 * text. What is no version of ours is one that nothing has. */
static CHECKED struct mg_status
versions_read(const struct visit *visit, const char *header, struct mg_buffer *versions)
{
    struct mg_view value;
    if (!mg_web_header(visit->request, header, &value, NULL) || mg_view_is(value, "*"))
        return OK;
    for (size_t at = 0; at < value.length;) {
        const uint8_t *comma = memchr(value.bytes + at, ',', value.length - at);
        const size_t end = comma == NULL ? value.length : (size_t) (comma - value.bytes);
        uint64_t version = 0;
        size_t from = at, to = end;
        while (from < to && value.bytes[from] == ' ')
            from++;
        while (to > from && value.bytes[to - 1] == ' ')
            to--;
        if (to - from > 2 && value.bytes[from] == 'W' && value.bytes[from + 1] == '/')
            from += 2;
        if (to - from < 3 || value.bytes[from] != '"' || value.bytes[to - 1] != '"' ||
            !mg_ok(mg_parse_u64(mg_view_of(value.bytes + from + 1, to - from - 2), INT64_MAX, &version)))
            version = 0;
        if (versions->length < 200)
            TRY(mg_buffer_format(versions, "%s%" PRIu64, versions->length == 0 ? "" : " ", version));
        at = end + 1;
    }
    return OK;
}

static bool
has_version(struct mg_view versions, uint64_t version)
{
    char word[24];
    (void) snprintf(word, sizeof word, "%" PRIu64, version);
    const size_t length = strlen(word);
    for (size_t at = 0; at < versions.length;) {
        const uint8_t *space = memchr(versions.bytes + at, ' ', versions.length - at);
        const size_t end = space == NULL ? versions.length : (size_t) (space - versions.bytes);
        if (end - at == length && memcmp(versions.bytes + at, word, length) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

/* GET of one resource that the client has: 304, and nothing else. */
static CHECKED struct mg_status
not_modified(struct visit *visit, uint64_t version, bool *ret_done)
{
    OWN_BUFFER(versions, 256);
    TRY(versions_read(visit, "If-None-Match", &versions));
    *ret_done = has_version(mg_buffer_view(&versions), version);
    if (*ret_done)
        mg_buffer_clear(&visit->answer->body);
    return OK;
}

/* ---- users ---- */

static CHECKED struct mg_status
users_show(struct visit *visit, const struct asked *asked)
{
    struct mg_buffer *out = &visit->answer->body;
    OWN_BUFFER(filter, FILTER_BYTES);
    OWN_BUFFER(resources, MG_WEB_ANSWER);
    enum mg_scim_problem problem = MG_SCIM_FINE;
    struct mg_reply_scim_users reply;
    size_t at = 0;
    uint64_t count = 0, version = 0;
    TRY(filter_write(asked, &filter, &problem, &at));
    if (problem != MG_SCIM_FINE)
        return scim_problem(visit, problem, mg_view_text(arena_format(visit, "%zu", at)));
    const struct mg_request_scim_users request = {.session = visit_session(visit),
                                                  .user = asked->id,
                                                  .filter = {.bytes = mg_buffer_view(&filter)},
                                                  .sort_by = sort_attribute(asked),
                                                  .descending = asked->query.descending,
                                                  .start = asked->query.start,
                                                  .count = asked->id != 0 ? 1 : asked->query.count};
    TRY(mg_call_scim_users(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return refuse_outcome(visit, reply.outcome);
    for (;; count++) {
        struct mg_record_scim_user user;
        bool more = false;
        TRY(mg_list_next_scim_user(&reply.users, &user, &more));
        if (!more)
            break;
        version = user.version;
        TRY(mg_buffer_add_text(&resources, count == 0 ? "" : ","));
        TRY(scim_render_user(visit, &asked->selection, &user, &resources));
    }
    if (asked->id != 0) {
        bool same = false;
        if (count == 0)
            return scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
        TRY(scim_headers_of(visit, MG_SCIM_USER, asked->id, version, true));
        TRY(not_modified(visit, version, &same));
        if (!same)
            TRY(mg_buffer_add(out, mg_buffer_view(&resources)));
        return scim_headers(visit, same ? 304 : 200);
    }
    TRY(scim_list_begin(out, reply.total, asked->query.start, count));
    TRY(mg_buffer_add(out, mg_buffer_view(&resources)));
    TRY(mg_buffer_add_text(out, "]}"));
    return scim_headers(visit, 200);
}

/* ---- groups ---- */

/* *ret_fits false when they are more than an answer holds. */
static CHECKED struct mg_status
members_render(struct visit *visit, const struct scim_selection *selection,
               const struct mg_record_scim_group *group, size_t room, struct mg_buffer *out, bool *ret_fits)
{
    const bool wanted = selection->shown[MG_SCIM_members] || selection->shown[MG_SCIM_member_value] ||
                        selection->shown[MG_SCIM_member_display] || selection->shown[MG_SCIM_member_type];
    struct mg_request_scim_members request = {.session = visit_session(visit), .group = group->group};
    struct mg_reply_scim_members reply = {.more = wanted && group->members != 0};
    *ret_fits = true;
    while (reply.more) {
        OWN_BUFFER(storage, MG_PACKET_MOST);
        TRY(mg_call_scim_members(&request, &reply, &storage, CALL_MS));
        if (reply.outcome != MG_GRANTED)
            return fail_with(UNAVAILABLE, "the members of a group");
        for (;;) {
            struct mg_record_scim_member_row member;
            bool another = false;
            TRY(mg_list_next_scim_member_row(&reply.members, &member, &another));
            if (!another)
                break;
            request.after = member.user;
            *ret_fits = out->length + 1024 < room;
            if (!*ret_fits)
                return OK;
            TRY(scim_render_member(selection, &member, out));
        }
    }
    return OK;
}

static CHECKED struct mg_status
group_render(struct visit *visit, const struct scim_selection *selection,
             const struct mg_record_scim_group *group, struct mg_buffer *out, bool *ret_fits)
{
    OWN_BUFFER(members, MG_WEB_ANSWER);
    const size_t room = out->length < MEMBERS_SHOWN_BYTES ? MEMBERS_SHOWN_BYTES - out->length : 0;
    TRY(members_render(visit, selection, group, room, &members, ret_fits));
    if (!*ret_fits)
        return OK;
    TRY(mg_buffer_add_text(out, out->length == 0 ? "" : ","));
    return scim_render_group(visit, selection, group, mg_buffer_view(&members), out);
}

static CHECKED struct mg_status
groups_show(struct visit *visit, const struct asked *asked)
{
    struct mg_buffer *out = &visit->answer->body;
    OWN_BUFFER(filter, FILTER_BYTES);
    OWN_BUFFER(resources, MG_WEB_ANSWER);
    enum mg_scim_problem problem = MG_SCIM_FINE;
    struct mg_reply_scim_groups reply;
    size_t at = 0;
    uint64_t count = 0, version = 0;
    bool fits = true;
    TRY(filter_write(asked, &filter, &problem, &at));
    if (problem != MG_SCIM_FINE)
        return scim_problem(visit, problem, mg_view_text(arena_format(visit, "%zu", at)));
    const struct mg_request_scim_groups request = {.session = visit_session(visit),
                                                   .group = asked->id,
                                                   .filter = {.bytes = mg_buffer_view(&filter)},
                                                   .sort_by = sort_attribute(asked),
                                                   .descending = asked->query.descending,
                                                   .start = asked->query.start,
                                                   .count = asked->id != 0 ? 1 : asked->query.count};
    TRY(mg_call_scim_groups(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return refuse_outcome(visit, reply.outcome);
    for (;; count++) {
        struct mg_record_scim_group group;
        bool more = false;
        TRY(mg_list_next_scim_group(&reply.groups, &group, &more));
        if (!more)
            break;
        version = group.version;
        TRY(group_render(visit, &asked->selection, &group, &resources, &fits));
        if (!fits) /* a shorter page; but never one without anything, which would look like the end */
            break;
    }
    if (!fits && count == 0)
        return scim_problem(visit, MG_SCIM_PROBLEM_too_many, MG_VIEW_EMPTY);
    if (asked->id != 0) {
        bool same = false;
        if (count == 0)
            return scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
        TRY(scim_headers_of(visit, MG_SCIM_GROUP, asked->id, version, true));
        TRY(not_modified(visit, version, &same));
        if (!same)
            TRY(mg_buffer_add(out, mg_buffer_view(&resources)));
        return scim_headers(visit, same ? 304 : 200);
    }
    TRY(scim_list_begin(out, reply.total, asked->query.start, count));
    TRY(mg_buffer_add(out, mg_buffer_view(&resources)));
    TRY(mg_buffer_add_text(out, "]}"));
    return scim_headers(visit, 200);
}

/* ---- changes ---- */

static CHECKED struct mg_status
changes_write(const struct mg_scim_changes *changes, struct mg_buffer *list, struct mg_buffer *members)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct mg_scim_change *one = &changes->list[i];
        TRY(mg_list_add_scim_change(list, &(struct mg_record_scim_change){.attribute = one->attribute,
                                                                          .clear = one->clear,
                                                                          .text = one->text,
                                                                          .flag = one->flag,
                                                                          .present = one->present}));
    }
    for (size_t i = 0; i < changes->member_count; i++)
        TRY(mg_list_add_scim_member(members,
                                    &(struct mg_record_scim_member){.act = changes->members[i].act,
                                                                    .user = changes->members[i].user}));
    return OK;
}

/* The lists of one change; empty for a deletion. */
struct lists {
    struct mg_buffer changes, members, versions;
};

static void
lists_drop(struct lists *lists)
{
    mg_buffer_drop(&lists->changes);
    mg_buffer_drop(&lists->members);
    mg_buffer_drop(&lists->versions);
}

static CHECKED struct mg_status
user_change(struct visit *visit, const struct asked *asked, uint64_t act, const struct lists *lists)
{
    struct mg_reply_scim_user_change reply;
    struct mg_record_scim_user user;
    bool more = false;
    const struct mg_request_scim_user_change request = {
        .session = visit_session(visit),
        .act = act,
        .user = asked->id,
        .versions = mg_buffer_view(&lists->versions),
        .changes = {.bytes = mg_buffer_view(&lists->changes)}};
    TRY(mg_call_scim_user_change(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return refuse_outcome(visit, reply.outcome);
    if (reply.problem != MG_SCIM_FINE)
        return scim_problem(visit, (enum mg_scim_problem) reply.problem, reply.about);
    if (act == DELETES)
        return scim_headers(visit, 204);
    TRY(mg_list_next_scim_user(&reply.users, &user, &more));
    if (!more) /* deleted the moment after */
        return scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
    TRY(scim_render_user(visit, &asked->selection, &user, &visit->answer->body));
    TRY(scim_headers_of(visit, MG_SCIM_USER, user.user, user.version, true));
    return scim_headers(visit, act == MAKES ? 201 : 200);
}

static CHECKED struct mg_status
group_change(struct visit *visit, const struct asked *asked, uint64_t act, const struct lists *lists)
{
    struct mg_reply_scim_group_change reply;
    struct mg_record_scim_group group;
    bool more = false, fits = true;
    const struct mg_request_scim_group_change request = {
        .session = visit_session(visit),
        .act = act,
        .group = asked->id,
        .versions = mg_buffer_view(&lists->versions),
        .changes = {.bytes = mg_buffer_view(&lists->changes)},
        .members = {.bytes = mg_buffer_view(&lists->members)}};
    TRY(mg_call_scim_group_change(&request, &reply, &visit->storage, CALL_MS));
    if (reply.outcome != MG_GRANTED)
        return refuse_outcome(visit, reply.outcome);
    if (reply.problem != MG_SCIM_FINE)
        return scim_problem(visit, (enum mg_scim_problem) reply.problem, reply.about);
    if (act == DELETES)
        return scim_headers(visit, 204);
    TRY(mg_list_next_scim_group(&reply.groups, &group, &more));
    if (!more)
        return scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
    TRY(scim_headers_of(visit, MG_SCIM_GROUP, group.group, group.version, true));
    if (act == PATCHES) /* a group may have more members than the change was about (RFC 7644 section 3.5.2) */
        return scim_headers(visit, 204);
    TRY(group_render(visit, &asked->selection, &group, &visit->answer->body, &fits));
    if (!fits)
        return fail_with(TOO_LARGE, "a group that was just written");
    return scim_headers(visit, act == MAKES ? 201 : 200);
}

static bool
is_json(const struct visit *visit)
{
    struct mg_view type;
    if (!mg_web_header(visit->request, "Content-Type", &type, NULL))
        return false;
    const uint8_t *parameters = memchr(type.bytes, ';', type.length);
    if (parameters != NULL)
        type.length = (size_t) (parameters - type.bytes);
    while (type.length != 0 && type.bytes[type.length - 1] == ' ')
        type.length--;
    return mg_scim_words_equal(type, "application/scim+json") ||
           mg_scim_words_equal(type, "application/json");
}

static CHECKED struct mg_status
change(struct visit *visit, const struct asked *asked, uint64_t act)
{
    OWN(scim_document) document = NULL;
    MG_CLEANUP(lists_drop)
    struct lists lists = {MG_BUFFER(CHANGES_BYTES), MG_BUFFER(MEMBERS_BYTES), MG_BUFFER(255)};
    enum mg_scim_problem problem = MG_SCIM_FINE;
    if (act != DELETES && !is_json(visit))
        return scim_problem(visit, MG_SCIM_PROBLEM_media_type, MG_VIEW_EMPTY);
    if (act == PATCHES)
        TRY(mg_scim_patch_read(asked->resource, visit->request->body, &document, &problem));
    else if (act != DELETES)
        TRY(mg_scim_resource_read(asked->resource, act == REPLACES, visit->request->body, &document,
                                  &problem));
    if (problem != MG_SCIM_FINE)
        return scim_problem(visit, problem, mg_view_text(mg_scim_document_changes(document)->about));
    if (document != NULL)
        TRY(changes_write(mg_scim_document_changes(document), &lists.changes, &lists.members));
    if (act != MAKES)
        TRY(versions_read(visit, "If-Match", &lists.versions));
    return asked->resource == MG_SCIM_USER ? user_change(visit, asked, act, &lists)
                                           : group_change(visit, asked, act, &lists);
}

/* ---- routes ---- */

static CHECKED struct mg_status
resource_answer(struct visit *visit, struct asked *asked)
{
    enum mg_scim_problem problem = MG_SCIM_FINE;
    mg_scim_query_preset(&asked->query);
    if (asked->search && is_method(visit, "POST"))
        problem = is_json(visit) ? mg_scim_search_read(visit->request->body, &asked->query)
                                 : MG_SCIM_PROBLEM_media_type;
    else
        problem = query_read(visit, &asked->query);
    if (problem != MG_SCIM_FINE)
        return scim_problem(visit, problem, MG_VIEW_EMPTY);
    scim_select(&asked->query, asked->resource, &asked->selection);
    const bool one = asked->id != 0;
    if (asked->search ? is_method(visit, "POST") : is_method(visit, "GET") || is_method(visit, "HEAD"))
        return asked->resource == MG_SCIM_USER ? users_show(visit, asked) : groups_show(visit, asked);
    if (!asked->search && !one && is_method(visit, "POST"))
        return change(visit, asked, MAKES);
    if (one && is_method(visit, "PUT"))
        return change(visit, asked, REPLACES);
    if (one && is_method(visit, "PATCH"))
        return change(visit, asked, PATCHES);
    if (one && is_method(visit, "DELETE"))
        return change(visit, asked, DELETES);
    return scim_problem(visit, MG_SCIM_PROBLEM_method, visit->request->method);
}

/* "Users", "Users/17", "Users/.search"; false for anything else. */
static bool
resource_find(struct mg_view name, struct asked *asked)
{
    static const struct {
        const char *word;
        enum mg_scim_resource resource;
    } places[] = {{"Users", MG_SCIM_USER}, {"Groups", MG_SCIM_GROUP}};
    for (size_t i = 0; i < MG_COUNT(places); i++) {
        const size_t length = strlen(places[i].word);
        if (name.length < length || memcmp(name.bytes, places[i].word, length) != 0)
            continue;
        const struct mg_view rest = mg_view_of(name.bytes + length, name.length - length);
        asked->resource = places[i].resource;
        asked->search = mg_view_is(rest, "/.search");
        if (rest.length == 0 || asked->search)
            return true;
        if (rest.bytes[0] == '/' && mg_scim_id_parse(mg_view_of(rest.bytes + 1, rest.length - 1), &asked->id))
            return true;
    }
    return false;
}

static CHECKED struct mg_status
place_answer(struct visit *visit, struct mg_view name)
{
    struct asked asked = {.id = 0};
    bool found = false;
    if (resource_find(name, &asked))
        return resource_answer(visit, &asked);
    if (mg_view_is(name, "Bulk") || mg_view_is(name, "Me") || mg_view_is(name, ".search"))
        return scim_problem(visit, MG_SCIM_PROBLEM_not_supported, name);
    if (is_method(visit, "GET") || is_method(visit, "HEAD"))
        TRY(scim_document_show(visit, name, &found));
    return found ? OK : scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
}

/* Control: IDENTITY_11, IDENTITY_12 */
struct mg_status
scim_answer(struct visit *visit)
{
    OWN_BUFFER(path, 512);
    struct mg_reply_token_check token;
    TRY(visit_identify_token(visit, &visit->person_storage, &token));
    if (!visit->signed_in)
        return refuse_outcome(visit, token.outcome);
    const size_t skipped = sizeof SCIM_PLACE; /* with its slash */
    if (visit->request->path.length <= skipped ||
        !decode(mg_view_of(visit->request->path.bytes + skipped, visit->request->path.length - skipped),
                &path))
        return scim_problem(visit, MG_SCIM_PROBLEM_not_found, MG_VIEW_EMPTY);
    return place_answer(visit, mg_buffer_view(&path));
}
