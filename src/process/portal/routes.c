/* Finds the row of catalogue/routes.def for a request and does what the row asks before the page runs. */
#include "process/portal/api.h"
#include "process/portal/scim.h"

#include "base/log.h"

enum need {
    PUBLIC,  /* for everybody, and shown also while the authority does not answer */
    PASSING, /* for everybody; it nearly always sends on, and says what is wrong in a page like a public one
              */
    NOBODY,  /* the page is for everybody; it may look who it is by itself */
    PERSON,  /* a live session on this origin, else off to sign-in */
};
/* Whether the person may is the authority's to say, which also records that somebody tried. */
#define MAY(permission) PERSON

enum check {
    READS,       /* GET */
    FORM_TOKEN,  /* POST from our own page: same origin and the form's token */
    SAME_ORIGIN, /* POST from the application's page: same origin suffices (it can only sign out) */
    MACHINE, /* POST from another server, which proves itself by what it sends; nothing of a browser counts */
};

#define APP ORIGIN_APP
#define ID ORIGIN_SIGN_IN
#define OPS ORIGIN_OPERATOR
#define ANYWHERE (ORIGIN_APP | ORIGIN_SIGN_IN | ORIGIN_OPERATOR)

static const struct route {
    const char *path;
    enum check check;
    unsigned origins;
    enum need need;
    struct mg_status (*handle)(struct visit *visit);
} routes[] = {
#define ROUTE(path, check, origins, need, page) {path, check, origins, need, page_##page},
#include "catalogue/routes.def"
#undef ROUTE
};

static bool
method_fits(const struct route *route, const struct visit *visit)
{
    if (route->check != READS)
        return visit_posts(visit);
    return mg_view_is(visit->request->method, "GET") || mg_view_is(visit->request->method, "HEAD");
}

/* A row that ends in * takes one more segment of a name: a-z, 0-9 and hyphens, at most 31. */
static bool
path_fits(const char *row, struct mg_view path, struct mg_view *ret_tail)
{
    const size_t length = strlen(row);
    *ret_tail = MG_VIEW_EMPTY;
    if (row[length - 1] != '*')
        return mg_view_is(path, row);
    if (path.length < length || path.length > length + 30 || memcmp(path.bytes, row, length - 1) != 0)
        return false;
    *ret_tail = mg_view_of(path.bytes + length - 1, path.length - length + 1);
    for (size_t i = 0; i < ret_tail->length; i++) {
        const uint8_t c = ret_tail->bytes[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return true;
}

/* NULL if there is none; *ret_elsewhere tells that the path exists with another method. */
static const struct route *
route_find(struct visit *visit, bool *ret_elsewhere)
{
    struct mg_view tail;
    *ret_elsewhere = false;
    for (size_t i = 0; i < MG_COUNT(routes); i++) {
        if (!path_fits(routes[i].path, visit->request->path, &tail) ||
            (routes[i].origins & (unsigned) visit->origin) == 0)
            continue;
        visit->tail = tail;
        if (method_fits(&routes[i], visit))
            return &routes[i];
        *ret_elsewhere = true;
    }
    return NULL;
}

static CHECKED struct mg_status
refuse_form(struct visit *visit)
{
    return show_message(
        visit, 403, N_("Please try again"),
        N_("This form was open for too long, or it was not sent from this site. Nothing was changed."), "/",
        N_("Back to the start"));
}

static CHECKED struct mg_status
to_sign_in(struct visit *visit)
{
    return redirect(visit, "/sign-in?return=%s", encoded(visit, mg_view_text(visit_target(visit))));
}

static CHECKED struct mg_status
follow(struct visit *visit)
{
    bool elsewhere = false;
    if (scim_is_asked(visit))
        return scim_answer(visit);
    if (visit_is_by_program(visit))
        return api_follow(visit);
    const struct route *route = route_find(visit, &elsewhere);
    if (route == NULL && elsewhere)
        return show_message(visit, 405, N_("Not possible"), N_("This address does not accept that request."),
                            NULL, NULL);
    if (route == NULL)
        return show_message(visit, 404, N_("Page not found"), N_("There is no page at this address."), NULL,
                            NULL);
    if (route->check != READS && route->check != MACHINE && !visit_is_same_origin(visit))
        return refuse_form(visit);
    if (route->need != PASSING)
        TRY(visit_site(visit, route->need != PUBLIC));
    if (route->need == PERSON) {
        TRY(visit_identify(visit));
        if (!visit->signed_in)
            return to_sign_in(visit);
    } else if (route->check == FORM_TOKEN) {
        TRY(visit_identify(visit)); /* the token is bound to the session, if there is one */
    }
    if (route->check == FORM_TOKEN && !visit_token_is_right(visit))
        return refuse_form(visit);
    return route->handle(visit);
}

/* What a person sees when a part of us does not answer; the cause goes to the log only. */
static CHECKED struct mg_status
show_failure(struct visit *visit, struct mg_status failure)
{
    mg_web_answer_clear(visit->answer);
    if (visit_is_by_program(visit))
        return api_failed(visit, failure);
    visit->form_target = NULL;
    visit->page = mg_scope_new(visit->arena);
    switch (failure.code) {
    case MG_MALFORMED:
    case MG_TOO_LARGE:
    case MG_INVALID:
        return show_message(visit, 400, N_("Not understood"), N_("The request could not be read."), NULL,
                            NULL);
    case MG_REFUSED:
        return show_message(visit, 403, N_("Not allowed"), N_("You are not allowed to do this."), NULL, NULL);
    default:
        return show_message(visit, 503, N_("One moment, please"),
                            N_("The service is busy or being restarted. Please try again in a few seconds."),
                            visit->request == NULL || visit_posts(visit) ? NULL : visit_target(visit),
                            N_("Try again"));
    }
}

struct mg_status
portal_handle(void *context, const struct mg_web_request *request, struct mg_web_answer *answer)
{
    (void) context;
    struct visit visit;
    struct mg_status status = visit_begin(&visit, request, answer);
    if (mg_ok(status))
        status = follow(&visit);
    if (!mg_ok(status) && visit.arena != NULL) {
        /* What a visitor can cause at will is not worth a line each. */
        if (status.code != MG_MALFORMED && status.code != MG_TOO_LARGE && status.code != MG_REFUSED)
            mg_log_status(MG_WARNING, "page", status);
        status = scim_is_asked(&visit) ? scim_failure(&visit, status) : show_failure(&visit, status);
    }
    visit_end(&visit);
    return status;
}
