/* Any text as a template: it is refused, or it renders and no value escapes from its place. */
#include "ports/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mg_view
unchanged(void *context, struct mg_view msgid)
{
    (void) context;
    return msgid;
}

/* The value's angle bracket and quotes may appear only if the template itself wrote them. */
static void
output_is_tame(struct mg_view source, struct mg_view out)
{
    static const char *const marks[] = {"<Vx", "\"Vx", "'Vx"};
    for (size_t i = 0; i < MG_COUNT(marks); i++) {
        const size_t length = strlen(marks[i]);
        if (memmem(out.bytes, out.length, marks[i], length) != NULL)
            mg_must(memmem(source.bytes, source.length, "Vx", 2) != NULL);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWN(template) template = NULL;
    OWN(arena) arena = NULL;
    OWN_BUFFER(out, 1 << 20);
    const struct mg_view source = mg_view_of(data, size);
    if (!mg_ok(mg_template_parse(source, NULL, NULL, &template)))
        return 0;
    mg_must(mg_ok(mg_arena_new(1 << 16, &arena)));
    struct mg_scope *scope = mg_scope_new(arena);
    mg_scope_set_text(scope, "a", "<Vx\"Vx'Vx&");
    mg_scope_set_text(scope, "b", "vx:alert(1)");
    for (int i = 0; i < 2; i++)
        mg_scope_set_text(mg_scope_add(scope, "c"), "a", "<Vx");
    if (mg_ok(mg_template_render(template, scope, unchanged, NULL, &out)))
        output_is_tame(source, mg_buffer_view(&out));
    return 0;
}
