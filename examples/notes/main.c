/* masugata-notes --socket PATH --credentials FILE --issuer ORIGIN --audience "HOST …" [--authority PEM] */
#include "notes.h"

#include "base/log.h"
#include "ports/form.h"

#include <curl/curl.h>
#include <getopt.h>
#include <signal.h>
#include <unistd.h>

struct settings settings;

/* A request that is to be believed. */
struct visit {
    const struct mg_web_request *request;
    enum mg_language language;
    struct identity identity;
};

static struct mg_status
away(const struct visit *visit, struct mg_status status, struct mg_web_answer *answer)
{
    mg_log_status(MG_WARNING, "database", status);
    mg_web_answer_clear(answer);
    return page_message(visit->language, 503, "The database is not available",
                        "Your notes are safe. Please try again in a moment; this page works again by itself.",
                        answer);
}

static struct mg_status
redirect_home(struct mg_web_answer *answer)
{
    answer->status = 303;
    answer->content_type = "text/plain; charset=utf-8";
    return mg_web_header_add(answer, "Location", "/");
}

static struct mg_status
get_notes(const struct visit *visit, struct mg_web_answer *answer)
{
    static _Thread_local struct note notes[NOTES_SHOWN];
    size_t count = 0;
    char role[64];
    struct mg_status status = store_list(&visit->identity, notes, &count);
    if (mg_ok(status))
        status = store_role(role);
    if (!mg_ok(status))
        return away(visit, status, answer);
    return page_notes(visit->language, &visit->identity, notes, count, role, answer);
}

/* Cross-site posts do not arrive here: the gate refuses them. */
static struct mg_status
post_note(const struct visit *visit, struct mg_web_answer *answer)
{
    OWN_FORM(form);
    if (!mg_ok(mg_form_decode(visit->request->body, &form)))
        return page_message(visit->language, 400, "Not possible", "A note has 1 to 2000 bytes of text.",
                            answer);
    const struct mg_view text = mg_form_value(&form, "text");
    if (text.length == 0 || text.length > NOTE_BYTES)
        return page_message(visit->language, 400, "Not possible", "A note has 1 to 2000 bytes of text.",
                            answer);
    const struct mg_status status = store_add(&visit->identity, text);
    return mg_ok(status) ? redirect_home(answer) : away(visit, status, answer);
}

static struct mg_status
post_remove(const struct visit *visit, struct mg_web_answer *answer)
{
    OWN_FORM(form);
    uint64_t number = 0;
    if (!mg_ok(mg_form_decode(visit->request->body, &form)) ||
        !mg_ok(mg_parse_u64(mg_form_value(&form, "number"), INT64_MAX, &number)))
        return page_message(visit->language, 400, "Not found", "There is no such page.", answer);
    const struct mg_status status = store_remove(&visit->identity, (int64_t) number);
    return mg_ok(status) ? redirect_home(answer) : away(visit, status, answer);
}

static const struct {
    const char *method, *path;
    struct mg_status (*answer)(const struct visit *visit, struct mg_web_answer *answer);
} routes[] = {
    {"GET", "/", get_notes},
    {"HEAD", "/", get_notes},
    {"POST", "/notes", post_note},
    {"POST", "/notes/remove", post_remove},
};

/* Anybody may have the style sheet; everything else needs one good assertion, and only one. */
static struct mg_status
handle(void *context, const struct mg_web_request *request, struct mg_web_answer *answer)
{
    (void) context;
    struct mg_view languages = MG_VIEW_EMPTY, token = MG_VIEW_EMPTY;
    unsigned count = 0, tokens = 0;
    (void) mg_web_header(request, "Accept-Language", &languages, &count);
    struct visit visit = {.request = request,
                          .language = mg_prefers_japanese(languages) ? MG_JAPANESE : MG_ENGLISH};
    if (mg_view_is(request->path, "/notes.css"))
        return page_style(answer);
    (void) mg_web_header(request, "X-Masugata-Assertion", &token, &tokens);
    const struct mg_status known = tokens == 1 ? identity_of(token, mg_now(), &visit.identity)
                                               : fail_with(REFUSED, "%u assertions", tokens);
    if (!mg_ok(known)) {
        if (tokens != 0) /* none at all is the watch, which only wants to know that we answer */
            mg_log_status(MG_WARNING, "request refused", known);
        return page_message(visit.language, known.code == MG_UNAVAILABLE ? 503 : 401, "Not signed in",
                            "This request carries no valid identity from the gate.", answer);
    }
    for (size_t i = 0; i < MG_COUNT(routes); i++)
        if (mg_view_is(request->method, routes[i].method) && mg_view_is(request->path, routes[i].path))
            return routes[i].answer(&visit, answer);
    return page_message(visit.language, 404, "Not found", "There is no such page.", answer);
}

static void
report(void *context, struct mg_status status)
{
    (void) context;
    mg_log_status(MG_ERROR, "page", status);
}

static bool
arguments_read(int argc, char **argv)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},    {"credentials", required_argument, NULL, 'c'},
        {"issuer", required_argument, NULL, 'i'},    {"audience", required_argument, NULL, 'a'},
        {"authority", required_argument, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const char **place = option == 's'   ? &settings.socket
                             : option == 'c' ? &settings.credentials
                             : option == 'i' ? &settings.issuer
                             : option == 'a' ? &settings.audience
                             : option == 't' ? &settings.authority
                                             : NULL;
        if (place == NULL)
            return false;
        *place = optarg;
    }
    return settings.socket != NULL && settings.credentials != NULL && settings.issuer != NULL &&
           settings.audience != NULL && optind == argc;
}

static struct mg_status
run(struct mg_web_server **server)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return fail_with(SYSTEM, "libcurl");
    TRY(pages_open());
    TRY(store_open(settings.credentials));
    /* The directory decides who reaches it: the gate alone. */
    TRY(mg_web_server_open(settings.socket, 0666, (uid_t) -1, server));
    return mg_web_server_start(*server, handle, report, NULL);
}

int
main(int argc, char **argv)
{
    struct mg_web_server *server = NULL;
    sigset_t ends;
    int number = 0;
    mg_log_open("notes", MG_INFO);
    if (!arguments_read(argc, argv)) {
        (void) fprintf(stderr,
                       "usage: %s --socket PATH --credentials FILE --issuer ORIGIN --audience \"HOST ...\""
                       " [--authority PEM]\n",
                       argv[0]);
        return 2;
    }
    /* Before any thread exists, so that all of them have it blocked. */
    (void) sigemptyset(&ends);
    (void) sigaddset(&ends, SIGTERM);
    (void) sigaddset(&ends, SIGINT);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 3;
    const struct mg_status status = run(&server);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "start", status);
        return 3;
    }
    mg_log(MG_INFO, "listening on %s", settings.socket);
    (void) sigwait(&ends, &number);
    mg_web_server_drop(&server);
    return 0;
}
