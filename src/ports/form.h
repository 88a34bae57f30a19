/* Foreign text that reaches the pages: forms and queries (application/x-www-form-urlencoded, WHATWG
 * URL section 5.1), the Cookie header (RFC 6265 section 4.2), Accept-Language (RFC 9110 section
 * 12.5.4). Stricter than the standards: what no browser sends for our pages is refused. */
#ifndef MG_PORTS_FORM_H
#define MG_PORTS_FORM_H

#include "base/bytes.h"

#define MG_FORM_FIELDS 64
#define MG_FORM_BYTES 16384

struct mg_form_field {
    struct mg_view name, value; /* borrow mg_form.storage */
};

/* Decoded fields; the storage may hold passwords and is wiped by the drop. */
struct mg_form {
    struct mg_form_field fields[MG_FORM_FIELDS];
    size_t count;
    struct mg_buffer storage;
};

void mg_form_drop(struct mg_form *form);
#define OWN_FORM(name) MG_CLEANUP(mg_form_drop) struct mg_form name = {.storage = {.maximum = MG_FORM_BYTES}}

/* `form` must be empty. MALFORMED for a bad escape, bytes that are not UTF-8, a control character
 * other than tab and line break, a name that is not of letters, digits, _ and - or appears twice; TOO_LARGE
 * for too many fields or bytes. Nothing is decoded halfway: on failure the form is empty. */
CHECKED struct mg_status mg_form_decode(struct mg_view encoded, struct mg_form *form);

/* The empty view when there is no such field. */
struct mg_view mg_form_value(const struct mg_form *form, const char *name);
bool mg_form_has(const struct mg_form *form, const char *name);

/* Percent-encodes all but unreserved characters (RFC 3986 section 2.3), for a value in a query. */
CHECKED struct mg_status mg_form_encode(struct mg_view value, struct mg_buffer *buffer);

/* Walks the values of the cookies called `name` in one Cookie header: a planted one must not hide the
 * good one, so callers try each. Set *position to 0 first; false at the end. */
bool mg_cookie_next(struct mg_view header, const char *name, size_t *position, struct mg_view *ret_value);

/* True if the header prefers Japanese to English; false without a preference for either. */
bool mg_prefers_japanese(struct mg_view accept_language);

#endif
