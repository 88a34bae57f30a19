#include "ports/html_place.h"

#include "ports/form.h"

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\t';
}

static bool
is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Names in our templates are lower case; an upper-case one is refused rather than folded. */
static bool
name_add(char *name, size_t size, uint8_t c)
{
    const size_t length = strlen(name);
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || (c == '/' && length == 0);
    if (!plain || length + 1 >= size)
        return false;
    name[length] = (char) c;
    name[length + 1] = '\0';
    return true;
}

static bool
tag_closed(struct mg_html *html)
{
    html->state = MG_HTML_IN_TEXT;
    if (strcmp(html->tag, "script") == 0 || strcmp(html->tag, "style") == 0)
        html->raw = true;
    else if (html->tag[0] == '/')
        html->raw = false;
    return true;
}

static bool
feed_tag_open(struct mg_html *html, uint8_t c)
{
    html->tag[0] = '\0';
    html->attribute[0] = '\0';
    if (c == '!' && !html->raw) {
        html->state = MG_HTML_DECLARATION;
        return true;
    }
    html->state = MG_HTML_TAG_NAME;
    /* In a script only its end tag is a tag; our scripts are empty, so anything else is refused. */
    if (html->raw && c != '/')
        return false;
    return (is_letter(c) || c == '/') && name_add(html->tag, sizeof html->tag, c);
}

static bool
feed_in_tag(struct mg_html *html, uint8_t c)
{
    if (c == '>')
        return tag_closed(html);
    if (is_space(c)) {
        html->state = MG_HTML_IN_TAG;
        return true;
    }
    if (html->state != MG_HTML_IN_TAG)
        return false;
    html->attribute[0] = '\0';
    html->state = MG_HTML_NAME;
    return is_letter(c) && name_add(html->attribute, sizeof html->attribute, c);
}

static bool
feed_name(struct mg_html *html, uint8_t c)
{
    if (c == '=') {
        html->state = MG_HTML_BEFORE_VALUE;
        return true;
    }
    if (c == '>' || is_space(c)) {
        html->state = MG_HTML_IN_TAG;
        return feed_in_tag(html, c);
    }
    return name_add(html->attribute, sizeof html->attribute, c);
}

bool
mg_html_feed(struct mg_html *html, uint8_t c)
{
    switch (html->state) {
    case MG_HTML_IN_TEXT:
        if (c == '<')
            html->state = MG_HTML_TAG_OPEN;
        return true;
    case MG_HTML_TAG_OPEN:
        return feed_tag_open(html, c);
    case MG_HTML_TAG_NAME:
        return c == '>' || is_space(c) ? feed_in_tag(html, c) : name_add(html->tag, sizeof html->tag, c);
    case MG_HTML_IN_TAG:
    case MG_HTML_AFTER_VALUE:
        return feed_in_tag(html, c);
    case MG_HTML_NAME:
        return feed_name(html, c);
    case MG_HTML_BEFORE_VALUE:
        html->state = MG_HTML_VALUE;
        html->value_length = 0;
        return c == '"';
    case MG_HTML_VALUE:
        html->value_length++;
        if (c == '"')
            html->state = MG_HTML_AFTER_VALUE;
        return true;
    case MG_HTML_DECLARATION:
        if (c == '>')
            html->state = MG_HTML_IN_TEXT;
        return c == '>' || c == ' ' || is_letter(c); /* "--" of a comment is refused */
    }
    return false;
}

static bool
attribute_is_url(const char *name)
{
    static const char *const urls[] = {"href", "src", "action", "formaction"};
    for (size_t i = 0; i < MG_COUNT(urls); i++)
        if (strcmp(name, urls[i]) == 0)
            return true;
    return false;
}

/* Attributes that hold code, a document or several URLs. */
static bool
attribute_is_code(const char *name)
{
    static const char *const code[] = {"style",      "srcdoc",  "srcset",     "ping",   "content",
                                       "http-equiv", "data",    "background", "poster", "cite",
                                       "manifest",   "archive", "imagesrcset"};
    if (name[0] == 'o' && name[1] == 'n')
        return true;
    for (size_t i = 0; i < MG_COUNT(code); i++)
        if (strcmp(name, code[i]) == 0)
            return true;
    return false;
}

enum mg_html_place
mg_html_value(struct mg_html *html)
{
    if (html->state == MG_HTML_IN_TEXT)
        return html->raw ? MG_HTML_NOWHERE : MG_HTML_TEXT;
    if (html->state != MG_HTML_VALUE || attribute_is_code(html->attribute))
        return MG_HTML_NOWHERE;
    const bool first = html->value_length == 0;
    html->value_length++;
    if (!attribute_is_url(html->attribute))
        return MG_HTML_ATTRIBUTE;
    return first ? MG_HTML_URL : MG_HTML_URL_PART;
}

void
mg_html_settle(struct mg_html *html)
{
    if (html->state == MG_HTML_NAME || html->state == MG_HTML_IN_TAG)
        html->state = MG_HTML_AFTER_VALUE;
}

bool
mg_html_same(const struct mg_html *a, const struct mg_html *b)
{
    if (a->state != b->state || a->raw != b->raw)
        return false;
    /* Inside a value it must be the same value; between attributes the same tag. */
    if (a->state == MG_HTML_VALUE)
        return strcmp(a->attribute, b->attribute) == 0 && (a->value_length == 0) == (b->value_length == 0);
    return a->state == MG_HTML_IN_TEXT || a->state == MG_HTML_AFTER_VALUE;
}

bool
mg_html_at_rest(const struct mg_html *html)
{
    return html->state == MG_HTML_IN_TEXT && !html->raw;
}

static CHECKED struct mg_status
escape_markup(struct mg_view text, struct mg_buffer *buffer)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        if (c == '&')
            TRY(mg_buffer_add_text(buffer, "&amp;"));
        else if (c == '<')
            TRY(mg_buffer_add_text(buffer, "&lt;"));
        else if (c == '>')
            TRY(mg_buffer_add_text(buffer, "&gt;"));
        else if (c == '"')
            TRY(mg_buffer_add_text(buffer, "&quot;"));
        else if (c == '\'')
            TRY(mg_buffer_add_text(buffer, "&#39;"));
        else
            TRY(mg_buffer_add_byte(buffer, c));
    }
    return OK;
}

static bool
url_is_allowed(struct mg_view url)
{
    /* Browsers leave tabs and line ends out before they read a URL: "/\t/host" names another host. */
    for (size_t i = 0; i < url.length; i++)
        if (url.bytes[i] <= ' ' || url.bytes[i] == 0x7f)
            return false;
    if (url.length >= 8 && memcmp(url.bytes, "https://", 8) == 0)
        return true;
    return url.length >= 1 && url.bytes[0] == '/' &&
           (url.length == 1 || (url.bytes[1] != '/' && url.bytes[1] != '\\'));
}

struct mg_status
mg_html_escape(enum mg_html_place place, struct mg_view text, struct mg_buffer *buffer)
{
    switch (place) {
    case MG_HTML_TEXT:
    case MG_HTML_ATTRIBUTE:
        return escape_markup(text, buffer);
    case MG_HTML_URL:
        return url_is_allowed(text) ? escape_markup(text, buffer) : mg_buffer_add_text(buffer, "#");
    case MG_HTML_URL_PART:
        return mg_form_encode(text, buffer);
    case MG_HTML_PLAIN:
        return mg_buffer_add(buffer, text);
    case MG_HTML_NOWHERE:
        break;
    }
    return fail_with(INVALID, "no place for a value");
}
