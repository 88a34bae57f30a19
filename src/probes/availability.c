/* Probes of what visitors see while an application or its database is away: a drill. The drill's tenant
 * (domain/drill.h) has both, like any customer; the launcher ends one of them, and a visitor who is signed
 * in there and one who is not watch the front door until the page comes, and until it goes again. No
 * customer's traffic is touched. */
#include "probes/observer.h"
#include "probes/probe.h"
#include "probes/visitor.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum {
    READY_MS = 20000,    /* for the tenant to be well before a drill: it may just have been made */
    SWITCH_MS = 5000,    /* the rule: everybody sees the page within this ... */
    BACK_MS = 10000,     /* ... and the application again within this after it is back */
    EACH_TENANT_MS = 40, /* the watch goes round more slowly the more tenants there are */
    HOLD_MS = 25000,     /* what we stop comes back by itself after this, should we end meanwhile */
    POLL_US = 50000,
    RETRY_AFTER_MOST_S = 3600,
};

#define NAVIGATION "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"

/* One tenant, one drill at a time. */
static pthread_mutex_t one_drill = PTHREAD_MUTEX_INITIALIZER;

struct drill {
    struct mg_observer *observer;
    struct mg_finding *finding;
    enum mg_drill_part part;
    const char *path;           /* of the page that is looked at */
    struct mg_visitor *visitor; /* signed in */
    int64_t page_ms, everybody_ms, back_ms;
};

/* ---- one answer ---- */

/* U+3040 to U+30FF, hiragana and katakana, begin with these bytes in UTF-8. */
static bool
has_japanese(const char *text)
{
    for (; (text = strchr(text, 0xE3)) != NULL; text++)
        if ((unsigned char) text[1] >= 0x81 && (unsigned char) text[1] <= 0x83)
            return true;
    return false;
}

static bool
has_retry_after(const struct mg_fetched *answer)
{
    struct mg_view value;
    uint64_t seconds = 0;
    return mg_fetched_header(answer, "Retry-After", 0, &value) &&
           mg_ok(mg_parse_u64(value, RETRY_AFTER_MOST_S, &seconds)) && seconds > 0;
}

static bool
type_is(const struct mg_fetched *answer, const char *type)
{
    struct mg_view value;
    return mg_fetched_header(answer, "Content-Type", 0, &value) && value.length >= strlen(type) &&
           memcmp(value.bytes, type, strlen(type)) == 0;
}

/* What only somebody inside may know: which program stands where, and why it does not answer. */
static bool
leaks(const struct mg_fetched *answer)
{
    static const char *const inside[] = {"nginx",    "upstream", "unix:", "/run/",     "Gateway",
                                         "postgres", "Postgres", "errno", "http.sock", MG_DRILL_TENANT};
    for (size_t i = 0; i < MG_COUNT(inside); i++)
        if (strstr(mg_buffer_text(&answer->body), inside[i]) != NULL)
            return true;
    struct mg_view value;
    return mg_fetched_header(answer, "Server", 0, &value) &&
           memchr(value.bytes, '/', value.length) != NULL; /* "nginx/1.22.1" */
}

/* The page in both languages that says when to come again, and nothing else. */
static bool
is_the_page(const struct mg_fetched *answer)
{
    const char *body = mg_buffer_text(&answer->body);
    return answer->status == 503 && has_retry_after(answer) && type_is(answer, "text/html") &&
           strstr(body, "lang=\"en\"") != NULL && strstr(body, "not available") != NULL &&
           has_japanese(body) && !leaks(answer);
}

/* A program that asks gets the same in JSON. */
static bool
is_for_programs(const struct mg_fetched *answer)
{
    return answer->status == 503 && has_retry_after(answer) && type_is(answer, "application/json") &&
           strstr(mg_buffer_text(&answer->body), "\"error\"") != NULL && !leaks(answer);
}

/* ---- looking ---- */

static CHECKED struct mg_status
look_inside(struct drill *drill, struct mg_fetched *answer)
{
    return mg_visitor_get(drill->visitor, MG_DRILL_HOST, drill->path, answer);
}

static CHECKED struct mg_status
look_as_stranger(struct drill *drill, const char *headers, struct mg_fetched *answer)
{
    const struct mg_fetch request = {.host = MG_DRILL_HOST, .path = "/", .headers = headers};
    return drill->observer->ops->fetch(drill->observer, &request, answer);
}

static int64_t
limit_ms(const struct drill *drill, int64_t rule_ms)
{
    return rule_ms + EACH_TENANT_MS * (int64_t) drill->observer->tenant_count;
}

static void
break_with_status(struct drill *drill, const struct mg_fetched *answer, const char *en, const char *ja)
{
    mg_finding_break(drill->finding, "", en, ja);
    mg_finding_note(drill->finding, "%s answered %u", drill->path, answer->status);
}

/* The tenant is well, and somebody is signed in. */
static CHECKED struct mg_status
enter(struct drill *drill)
{
    const int64_t end_ms = mg_monotonic_ms() + READY_MS;
    for (;;) {
        bool inside = false;
        struct mg_canary_account account;
        OWN_FETCHED(answer);
        struct mg_status status = drill->observer->ops->canary(drill->observer, drill->observer->drill_tenant,
                                                               MG_CANARY_SIGN_IN, &account);
        if (mg_ok(status))
            status = mg_visitor_sign_in(drill->visitor, MG_DRILL_HOST, &account, &answer, &inside);
        if (mg_ok(status) && inside)
            status = look_inside(drill, &answer);
        if (mg_ok(status) && inside && answer.status == 200)
            return OK;
        if (mg_monotonic_ms() >= end_ms)
            return mg_ok(status) ? fail_with(UNAVAILABLE, "the drill's application answers %u", answer.status)
                                 : status;
        (void) usleep(POLL_US * 4);
    }
}

/* While it is away: the visitor who is inside never sees anything but the page. Without its database the
 * application still answers, with an error of its own or a page from before, until the watch has seen it. */
static CHECKED struct mg_status
away_inside(struct drill *drill, int64_t since_ms)
{
    OWN_FETCHED(answer);
    TRY(look_inside(drill, &answer));
    const bool page = is_the_page(&answer);
    if (page && drill->page_ms < 0)
        drill->page_ms = mg_monotonic_ms() - since_ms;
    const bool early = drill->part == MG_DRILL_PART_DATABASE && drill->everybody_ms < 0;
    if (page || early || drill->finding->breaks > 0)
        return OK;
    break_with_status(drill, &answer, "something else was shown in place of the maintenance page",
                      "メンテナンス画面の代わりに別の応答が表示されました");
    return OK;
}

static CHECKED struct mg_status
away_until_seen(struct drill *drill)
{
    const int64_t start_ms = mg_monotonic_ms();
    while (drill->finding->breaks == 0 && (drill->everybody_ms < 0 || drill->page_ms < 0)) {
        OWN_FETCHED(answer);
        if (mg_monotonic_ms() - start_ms > limit_ms(drill, SWITCH_MS)) {
            mg_finding_break(drill->finding, "", "no maintenance page within 5 s",
                             "5 秒以内にメンテナンス画面になりません");
            return OK;
        }
        TRY(away_inside(drill, start_ms));
        TRY(look_as_stranger(drill, NAVIGATION, &answer));
        if (drill->everybody_ms < 0 && is_the_page(&answer))
            drill->everybody_ms = mg_monotonic_ms() - start_ms;
        (void) usleep(POLL_US);
    }
    return OK;
}

/* Once the page is there: it stays, programs get theirs, and the way to sign in is not touched. */
static CHECKED struct mg_status
away_for_everybody(struct drill *drill, int64_t since_ms)
{
    OWN_FETCHED(answer);
    TRY(away_inside(drill, since_ms));
    TRY(look_as_stranger(drill, "Accept: application/json\r\n", &answer));
    if (!is_for_programs(&answer))
        break_with_status(drill, &answer, "a program that asks is not told that the service is away",
                          "API の要求に、停止中であることが伝わりません");
    const struct mg_fetch sign_in = {
        .host = MG_DRILL_SIGN_IN_HOST, .path = "/sign-in", .headers = NAVIGATION};
    TRY(drill->observer->ops->fetch(drill->observer, &sign_in, &answer));
    if (answer.status != 200)
        break_with_status(drill, &answer, "the sign-in page is away as well",
                          "サインイン画面も表示されません");
    return OK;
}

/* The page goes by itself, and whoever was signed in still is. */
static CHECKED struct mg_status
back_until_seen(struct drill *drill)
{
    const int64_t start_ms = mg_monotonic_ms();
    for (;;) {
        OWN_FETCHED(answer);
        TRY(look_inside(drill, &answer));
        drill->back_ms = mg_monotonic_ms() - start_ms;
        if (answer.status == 200)
            return OK;
        if (drill->back_ms > limit_ms(drill, BACK_MS)) {
            break_with_status(drill, &answer, "the maintenance page stayed after the application was back",
                              "復旧後もメンテナンス画面のままです");
            return OK;
        }
        (void) usleep(POLL_US);
    }
}

static CHECKED struct mg_status
drill_away(struct drill *drill, bool *ret_stopped)
{
    bool other_runs = false;
    const struct mg_observer_ops *ops = drill->observer->ops;
    TRY(ops->drill_stop(drill->observer, drill->part, HOLD_MS, &other_runs));
    *ret_stopped = true;
    if (!other_runs)
        return fail_with(UNAVAILABLE, "the drill's other part does not run");
    const int64_t since_ms = mg_monotonic_ms();
    TRY(away_until_seen(drill));
    return drill->finding->breaks > 0 ? OK : away_for_everybody(drill, since_ms);
}

static CHECKED struct mg_status
drill_run(struct drill *drill)
{
    bool stopped = false;
    TRY(enter(drill));
    struct mg_status status = drill_away(drill, &stopped);
    const struct mg_status started =
        stopped ? drill->observer->ops->drill_start(drill->observer, drill->part) : OK;
    TRY(status);
    TRY(started);
    status = back_until_seen(drill);
    mg_finding_note(
        drill->finding,
        "%s stopped: page after %jd ms, for everybody after %jd ms, gone %jd ms after its restart",
        drill->part == MG_DRILL_PART_DATABASE ? "database" : "application", (intmax_t) drill->page_ms,
        (intmax_t) drill->everybody_ms, (intmax_t) drill->back_ms);
    mg_finding_cover(drill->finding);
    return status;
}

static CHECKED struct mg_status
drill_of(struct mg_observer *observer, struct mg_finding *finding, enum mg_drill_part part, const char *path)
{
    OWN_VISITOR(visitor, observer);
    finding->source = "a drill, seen through the front door";
    mg_finding_expect(finding, 1, "drills", "訓練");
    struct drill drill = {
        .observer = observer,
        .finding = finding,
        .part = part,
        .path = path,
        .visitor = &visitor,
        .page_ms = -1,
        .everybody_ms = -1,
        .back_ms = -1,
    };
    (void) pthread_mutex_lock(&one_drill);
    const struct mg_status status = drill_run(&drill);
    (void) pthread_mutex_unlock(&one_drill);
    return status;
}

/* ---- AVAILABILITY_06: the application cannot be reached ---- */

struct mg_status
mg_probe_AVAILABILITY_06(struct mg_observer *observer, struct mg_finding *finding)
{
    return drill_of(observer, finding, MG_DRILL_PART_APPLICATION, "/alive"); /* needs no database */
}

/* ---- AVAILABILITY_07: it answers, but its database does not ---- */

struct mg_status
mg_probe_AVAILABILITY_07(struct mg_observer *observer, struct mg_finding *finding)
{
    return drill_of(observer, finding, MG_DRILL_PART_DATABASE, "/");
}
