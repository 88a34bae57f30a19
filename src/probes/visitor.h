/* A visitor at the front door: a small browser with cookies, for the probes that have to sign in.
 * Bounded: one visit follows few redirects and keeps few cookies. */
#ifndef MG_PROBES_VISITOR_H
#define MG_PROBES_VISITOR_H

#include "probes/observer.h"

enum { MG_VISITOR_COOKIES = 24 };

struct mg_visitor_cookie {
    char host[256], name[128], value[1024];
    bool for_forms; /* SameSite=None: shown also to a form that another site's page sends */
};

struct mg_visitor {
    struct mg_observer *observer;
    const char *source;  /* local address to come from, or NULL */
    const char *headers; /* further header lines of every request, or NULL */
    struct mg_visitor_cookie cookies[MG_VISITOR_COOKIES];
    size_t cookie_count;
    /* Every Set-Cookie line of the visit: "host line\n". */
    struct mg_buffer set_cookies;
    /* Where the last answer came from. */
    char host[256], path[2048];
};
/* Wipes the cookies. */
void mg_visitor_drop(struct mg_visitor *visitor);
#define OWN_VISITOR(name, who)  \
    MG_CLEANUP(mg_visitor_drop) \
    struct mg_visitor name = {.observer = (who), .set_cookies = MG_BUFFER(262144)}

/* One request as a browser sends it when a person follows a link. */
CHECKED struct mg_status mg_visitor_get(struct mg_visitor *visitor, const char *host, const char *path,
                                        struct mg_fetched *ret_answer);
/* The same, following redirects to https (at most 8) to the page where they end. */
CHECKED struct mg_status mg_visitor_go(struct mg_visitor *visitor, const char *host, const char *path,
                                       struct mg_fetched *ret_answer);
/* The steps of a sign-in, for probes that look at each: goes to the host and sends name and password to the
 * form it is sent to; sends a code to the second step, where the visitor stands then. */
CHECKED struct mg_status mg_visitor_password(struct mg_visitor *visitor, const char *host,
                                             const struct mg_canary_account *account,
                                             struct mg_fetched *answer);
bool mg_visitor_at_second_step(const struct mg_visitor *visitor);
CHECKED struct mg_status mg_visitor_code(struct mg_visitor *visitor, const char *code,
                                         struct mg_fetched *answer);
/* True if the answer is the app's, with a session there. */
bool mg_visitor_is_inside(const struct mg_visitor *visitor, const char *app_host,
                          const struct mg_fetched *answer);
/* Goes to the app, signs in on the form it is sent to, and follows the way back. *ret_inside tells
 * whether the visit ended inside the app with a session there. `answer` is the last page. */
CHECKED struct mg_status mg_visitor_sign_in(struct mg_visitor *visitor, const char *app_host,
                                            const struct mg_canary_account *account,
                                            struct mg_fetched *answer, bool *ret_inside);
/* The probes' account of the tenant goes into its app; REFUSED if that does not open. `answer` is the page.
 */
CHECKED struct mg_status mg_visitor_enter(struct mg_visitor *visitor, const struct mg_observed_tenant *tenant,
                                          struct mg_fetched *answer);
/* Sends a form of one of our own pages as whoever is signed in on this host: `fields` are names and values in
 * turn, ended by NULL; the form's token is taken from the account page. The answer is not followed. */
CHECKED struct mg_status mg_visitor_post(struct mg_visitor *visitor, const char *host, const char *path,
                                         const char *const *fields, struct mg_fetched *answer);
/* Sends the form of the page at hand to `path`: its hidden fields, and `fields` as above; follows the answer.
 */
CHECKED struct mg_status mg_visitor_form(struct mg_visitor *visitor, const char *path,
                                         const char *const *fields, struct mg_fetched *answer);
/* For a form that another site's page sends: the header line with the cookies that a browser shows to it, if
 * any; and what the answer sets. */
CHECKED struct mg_status mg_visitor_cookies_for_forms(const struct mg_visitor *visitor, const char *host,
                                                      struct mg_buffer *headers);
CHECKED struct mg_status mg_visitor_cookies_take(struct mg_visitor *visitor, const char *host,
                                                 const struct mg_fetched *answer);
/* Appends one field to a form's body. */
CHECKED struct mg_status mg_visitor_field(struct mg_buffer *body, const char *name, const char *value);
/* The first attribute of that name in the page; false if there is none or it is longer. */
bool mg_page_attribute(const struct mg_fetched *page, const char *name, char *value, size_t size);
/* Gives the visitor a cookie as if it had been there before. */
CHECKED struct mg_status mg_visitor_cookie_set(struct mg_visitor *visitor, const char *host, const char *name,
                                               const char *value);
/* NULL if the visitor has none of that name for the host. */
const char *mg_visitor_cookie(const struct mg_visitor *visitor, const char *host, const char *name);
/* True if the answer sends away to sign in, or refuses: 401, 403, 421 or a redirect to sign-in. */
bool mg_answer_keeps_out(const struct mg_fetched *answer);

/* 502, 503, 504: what should answer does not at the moment. */
bool mg_answer_is_away(const struct mg_fetched *answer);

/* "127.x.y.z", another one each time: so that wrong passwords tried on purpose count against nobody. */
void mg_loopback_source(char text[16]);

#endif
