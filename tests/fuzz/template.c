/* Any text as a template: it is refused, or it renders and no value escapes from its place. */
#include "ports/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mg_view
unchanged(void *context, struct mg_view msgid)
{
    (void) context;
    return msgid;
}

/* The same template with values that want to break out and with tame ones of the same lengths: whoever writes
 * a bracket or a quote is the template, so both have the same number of each. */
static const struct values {
    const char *text, *short_text, *url;
} hostile = {"<Vx\"Vx'Vx>", "<Vx", "vx:\"<'>"}, tame = {"lVxqVxaVxg", "lVx", "vx:qlag"};

static bool
rendered(const struct mg_template *template, const struct values *values, struct mg_buffer *out)
{
    OWN(arena) arena = NULL;
    mg_must(mg_ok(mg_arena_new(1 << 16, &arena)));
    struct mg_scope *scope = mg_scope_new(arena);
    mg_scope_set_text(scope, "a", values->text);
    mg_scope_set_text(scope, "b", values->url);
    for (int i = 0; i < 2; i++)
        mg_scope_set_text(mg_scope_add(scope, "c"), "a", values->short_text);
    return mg_ok(mg_template_render(template, scope, unchanged, NULL, out));
}

static size_t
count_of(const struct mg_buffer *text, uint8_t byte)
{
    size_t count = 0;
    for (size_t i = 0; i < text->length; i++)
        count += mg_buffer_view(text).bytes[i] == byte;
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWN(template) template = NULL;
    OWN_BUFFER(one, 1 << 20);
    OWN_BUFFER(other, 1 << 20);
    if (!mg_ok(mg_template_parse(mg_view_of(data, size), NULL, NULL, &template)))
        return 0;
    /* A value may be refused where the other is not: a URL with a scheme that is not ours, or no room. */
    if (!rendered(template, &hostile, &one) || !rendered(template, &tame, &other))
        return 0;
    static const uint8_t marks[] = {'<', '>', '"', '\''};
    for (size_t i = 0; i < MG_COUNT(marks); i++)
        mg_must(count_of(&one, marks[i]) == count_of(&other, marks[i]));
    return 0;
}
