/* Probes of the headers on responses: every host, every kind of answer it gives, errors included. */
#include "domain/header_grade.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <stdio.h>
#include <stdlib.h>

/* Requests that together bring out the kinds of answer: pages, redirects, refusals, errors of nginx. */
static const struct {
    const char *method, *path, *headers;
} requests[] = {
    {NULL, "/", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n"},
    {NULL, "/", "Accept: application/json\r\n"},
    {NULL, "/no-such-page", NULL},
    {NULL, "/%2e%2e/x", NULL},
    {NULL, "/.masugata/no-such-page", NULL},
    {NULL, "/.well-known/masugata/jwks.json", NULL},
    {NULL, "/sign-in", NULL},
    {"POST", "/", "Origin: https://elsewhere.invalid\r\n"},
    {"TRACE", "/", NULL},
    {NULL, "/", "Host: nobody.invalid\r\n"},
};

typedef void response_check(const struct mg_fetched *answer, const struct mg_headers_seen *seen,
                            const char *where, struct mg_finding *finding);

/* Who gets to see each response. */
struct taker {
    struct mg_status (*take)(struct taker *taker, const struct mg_fetched *answer, const char *where);
};

static CHECKED struct mg_status
host_look(struct mg_observer *observer, const char *host, struct taker *taker)
{
    for (size_t i = 0; i < MG_COUNT(requests); i++) {
        OWN_FETCHED(answer);
        char where[320];
        const struct mg_fetch fetch = {.method = requests[i].method,
                                       .host = host,
                                       .path = requests[i].path,
                                       .headers = requests[i].headers,
                                       .body = MG_VIEW_EMPTY};
        TRY(observer->ops->fetch(observer, &fetch, &answer));
        (void) snprintf(where, sizeof where, "%s%s (%u)", host, requests[i].path, answer.status);
        TRY(taker->take(taker, &answer, where));
    }
    return OK;
}

/* The app's own page, which only somebody inside gets to see. */
static CHECKED struct mg_status
inside_look(struct mg_observer *observer, const struct mg_observed_tenant *tenant, struct taker *taker)
{
    char where[320];
    OWN_FETCHED(answer);
    OWN_VISITOR(visitor, observer);
    TRY(mg_visitor_enter(&visitor, tenant, &answer));
    (void) snprintf(where, sizeof where, "%s (signed in)", tenant->app_host);
    return taker->take(taker, &answer, where);
}

static CHECKED struct mg_status
look(struct mg_observer *observer, struct taker *taker)
{
    for (size_t i = 0; i < observer->host_count; i++)
        TRY(host_look(observer, observer->hosts[i].name, taker));
    for (size_t i = 0; i < observer->tenant_count; i++)
        if (observer->tenants[i].active && observer->tenants[i].app_host != NULL)
            TRY(inside_look(observer, &observer->tenants[i], taker));
    return OK;
}

/* ---- judging ---- */

struct judge {
    struct taker taker;
    response_check *check;
    struct mg_finding *finding;
};

static CHECKED struct mg_status
judge_take(struct taker *taker, const struct mg_fetched *answer, const char *where)
{
    struct judge *judge = (struct judge *) taker;
    struct mg_headers_seen seen;
    mg_headers_read(mg_buffer_view(&answer->headers), &seen);
    judge->check(answer, &seen, where, judge->finding);
    return OK;
}

/* ---- seen once a round ---- */

/* Past this many hosts every probe looks for itself, so that no round keeps too much. */
enum { HOSTS_KEPT_MOST = 256 };

struct response {
    char where[320];
    struct mg_fetched answer; /* without its body */
};

struct mg_responses {
    struct taker taker;
    struct response *rows;
    size_t count, room;
    enum mg_code code; /* why there are no more; what was seen before counts all the same */
    char detail[256];
};

void
mg_responses_drop(struct mg_responses **responses)
{
    struct mg_responses *r = TAKE(*responses);
    for (size_t i = 0; r != NULL && i < r->count; i++)
        mg_fetched_drop(&r->rows[i].answer);
    if (r != NULL)
        free(r->rows);
    free(r);
}

static CHECKED struct mg_status
keep_take(struct taker *taker, const struct mg_fetched *answer, const char *where)
{
    struct mg_responses *kept = (struct mg_responses *) taker;
    if (kept->count == kept->room)
        return fail(TOO_LARGE);
    struct response *row = &kept->rows[kept->count];
    *row = (struct response){.answer = MG_FETCHED};
    row->answer.status = answer->status;
    (void) snprintf(row->where, sizeof row->where, "%s", where);
    kept->count++;
    return mg_buffer_add(&row->answer.headers, mg_buffer_view(&answer->headers));
}

/* With the lock held. */
static CHECKED struct mg_status
responses_keep(struct mg_observer *observer)
{
    if (observer->shared->responses != NULL)
        return OK;
    OWN(responses) kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return fail(OUT_OF_MEMORY);
    kept->taker.take = keep_take;
    kept->room = MG_COUNT(requests) * observer->host_count + observer->tenant_count;
    kept->rows = calloc(kept->room + 1, sizeof *kept->rows);
    if (kept->rows == NULL)
        return fail(OUT_OF_MEMORY);
    const struct mg_status status = look(observer, &kept->taker);
    kept->code = status.code;
    (void) snprintf(kept->detail, sizeof kept->detail, "%s", status.detail);
    observer->shared->responses = TAKE(kept);
    return OK;
}

static CHECKED struct mg_status
look_at_kept(struct mg_observer *observer, struct taker *taker)
{
    (void) pthread_mutex_lock(&observer->shared->lock);
    struct mg_status status = responses_keep(observer);
    (void) pthread_mutex_unlock(&observer->shared->lock);
    TRY(status);
    const struct mg_responses *kept = observer->shared->responses; /* does not change any more */
    for (size_t i = 0; i < kept->count; i++)
        TRY(taker->take(taker, &kept->rows[i].answer, kept->rows[i].where));
    return kept->code == MG_OK ? OK : mg_fail_with(kept->code, MG_HERE, "%s", kept->detail);
}

static CHECKED struct mg_status
every_response(struct mg_observer *observer, response_check *check, struct mg_finding *finding)
{
    struct judge judge = {.taker = {.take = judge_take}, .check = check, .finding = finding};
    const bool keep = observer->shared != NULL && observer->host_count <= HOSTS_KEPT_MOST;
    finding->source = "front door";
    mg_finding_expect(finding, observer->host_count, "hosts", "ホスト");
    TRY(keep ? look_at_kept(observer, &judge.taker) : look(observer, &judge.taker));
    finding->covered += observer->host_count;
    mg_finding_note(finding, "%zu kinds of request to each host, one page of each app from inside",
                    MG_COUNT(requests));
    return OK;
}

/* How many lines of a header there are, and the first of them. */
static size_t
values_of(const struct mg_fetched *answer, const char *name, struct mg_view *ret_first)
{
    size_t count = 0;
    struct mg_view value;
    while (count < 16 && mg_fetched_header(answer, name, count, &value)) {
        if (count == 0)
            *ret_first = value;
        count++;
    }
    return count;
}

/* ---- EDGE_09: Strict-Transport-Security ---- */

enum { YEAR_S = 31536000 };

static void
hsts_check(const struct mg_fetched *answer, const struct mg_headers_seen *seen, const char *where,
           struct mg_finding *finding)
{
    (void) answer;
    if (!seen->hsts_present)
        mg_finding_break(finding, where, "a response has no Strict-Transport-Security",
                         "Strict-Transport-Security のない応答があります");
    else if (seen->hsts.max_age_s < YEAR_S)
        mg_finding_break(finding, where, "Strict-Transport-Security lasts less than a year",
                         "Strict-Transport-Security の期間が 1 年未満です");
}

struct mg_status
mg_probe_EDGE_09(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_response(observer, hsts_check, finding);
}

/* ---- EDGE_10: Content-Security-Policy ---- */

static void
csp_check(const struct mg_fetched *answer, const struct mg_headers_seen *seen, const char *where,
          struct mg_finding *finding)
{
    (void) answer;
    if (!seen->csp.present)
        mg_finding_break(finding, where, "a response has no Content-Security-Policy",
                         "Content-Security-Policy のない応答があります");
    else if (!mg_csp_is_strict(&seen->csp))
        mg_finding_break(finding, where,
                         "the Content-Security-Policy leaves a way for injected scripts or foreign frames",
                         "Content-Security-Policy に、注入スクリプトや他サイトの枠を許す余地があります");
}

struct mg_status
mg_probe_EDGE_10(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_response(observer, csp_check, finding);
}

/* ---- EDGE_11: X-XSS-Protection ---- */

/* One value, and one of the two that say something definite: browsers disagree about the rest. */
static void
xss_check(const struct mg_fetched *answer, const struct mg_headers_seen *seen, const char *where,
          struct mg_finding *finding)
{
    (void) seen;
    struct mg_view value = MG_VIEW_EMPTY;
    const size_t count = values_of(answer, "X-XSS-Protection", &value);
    if (count == 0)
        mg_finding_break(finding, where, "a response does not set X-XSS-Protection",
                         "X-XSS-Protection のない応答があります");
    else if (count > 1 || (!mg_view_is(value, "0") && !mg_view_is(value, "1; mode=block")))
        mg_finding_break(finding, where, "X-XSS-Protection is neither 0 nor 1; mode=block",
                         "X-XSS-Protection が 0 でも 1; mode=block でもありません");
}

struct mg_status
mg_probe_EDGE_11(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_response(observer, xss_check, finding);
}

/* ---- EDGE_13: Referrer-Policy ---- */

static void
referrer_check(const struct mg_fetched *answer, const struct mg_headers_seen *seen, const char *where,
               struct mg_finding *finding)
{
    (void) answer;
    if (!seen->referrer_present)
        mg_finding_break(finding, where, "a response sets no Referrer-Policy",
                         "Referrer-Policy のない応答があります");
    else if (!seen->referrer_safe)
        mg_finding_break(finding, where,
                         "the Referrer-Policy tells plain HTTP pages where a visitor came from",
                         "Referrer-Policy が HTTP のページに参照元を伝えます");
}

struct mg_status
mg_probe_EDGE_13(struct mg_observer *observer, struct mg_finding *finding)
{
    return every_response(observer, referrer_check, finding);
}
