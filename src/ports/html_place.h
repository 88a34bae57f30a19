/* Where in HTML a template's value stands, and how text is escaped there. The tokenizer follows a
 * strict subset of HTML (WHATWG section 13.2.5): our own templates. What it does not know it refuses. */
#ifndef MG_PORTS_HTML_PLACE_H
#define MG_PORTS_HTML_PLACE_H

#include "base/bytes.h"

enum mg_html_place {
    MG_HTML_NOWHERE = 0, /* no value may stand here */
    MG_HTML_TEXT,        /* element text, title, textarea */
    MG_HTML_ATTRIBUTE,   /* inside a double-quoted attribute */
    MG_HTML_URL,         /* the whole of an attribute that is a URL: a path on this host or https */
    MG_HTML_URL_PART,    /* within such an attribute: one component, percent-encoded */
    MG_HTML_PLAIN,       /* not HTML: mail text, nothing is escaped */
};

enum mg_html_state {
    MG_HTML_IN_TEXT = 0,
    MG_HTML_TAG_OPEN, /* after "<" */
    MG_HTML_TAG_NAME,
    MG_HTML_IN_TAG,       /* between attributes */
    MG_HTML_NAME,         /* attribute name */
    MG_HTML_BEFORE_VALUE, /* after "=" */
    MG_HTML_VALUE,        /* in double quotes */
    MG_HTML_AFTER_VALUE,
    MG_HTML_DECLARATION, /* <!doctype html> */
};

/* Zero is the start of a document. */
struct mg_html {
    enum mg_html_state state;
    char tag[16]; /* name of the open tag, lower case; "/..." for an end tag */
    char attribute[24];
    size_t value_length; /* bytes of the attribute value so far */
    bool raw;            /* inside script or style: no values */
};

/* False for HTML outside the subset: comments, single quotes, unquoted values, CDATA. */
bool mg_html_feed(struct mg_html *html, uint8_t byte);
/* The place of a value that stands here, which counts as part of the attribute. */
enum mg_html_place mg_html_value(struct mg_html *html);
/* At the edge of a block: a finished attribute is settled, so that what follows cannot grow its name. */
void mg_html_settle(struct mg_html *html);
bool mg_html_same(const struct mg_html *a, const struct mg_html *b);
/* True in element text: where a document may end. */
bool mg_html_at_rest(const struct mg_html *html);

/* Appends `text` escaped for the place; a whole URL that is neither a path nor https becomes "#". */
CHECKED struct mg_status mg_html_escape(enum mg_html_place place, struct mg_view text,
                                        struct mg_buffer *buffer);

#endif
