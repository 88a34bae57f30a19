#include "test.h"

#include "ports/template.h"

static struct mg_view
reversed(void *context, struct mg_view msgid)
{
    (void) context;
    return mg_view_is(msgid, "Hello {name}") ? mg_view_text("{name} <様>") : msgid;
}

static bool
find(void *context, struct mg_view name, struct mg_view *ret_source)
{
    (void) context;
    if (mg_view_is(name, "part"))
        *ret_source = mg_view_text("<b>{{name}}</b>");
    else if (mg_view_is(name, "loop"))
        *ret_source = mg_view_text("{{> loop}}");
    else
        return false;
    return true;
}

static void
renders(const char *source, const char *expected)
{
    OWN(arena) arena = NULL;
    OWN(template) template = NULL;
    OWN_BUFFER(out, 65536);
    assert_ok(mg_arena_new(65536, &arena));
    struct mg_scope *scope = mg_scope_new(arena);
    mg_scope_set_text(scope, "name", "<\"O'Neil\" & \xE6\x9E\xA1>");
    mg_scope_set_text(scope, "path", "/a?b=c&d");
    mg_scope_set_text(scope, "evil", "javascript:alert(1)");
    mg_scope_set_text(scope, "away", "//evil.example/");
    mg_scope_set_flag(scope, "yes", true);
    mg_scope_set_flag(scope, "no", false);
    mg_scope_set_number(scope, "n", 42);
    for (int i = 0; i < 2; i++)
        mg_scope_set_number(mg_scope_add(scope, "rows"), "i", (uint64_t) i);
    assert_ok(mg_template_parse(mg_view_text(source), find, NULL, &template));
    assert_ok(mg_template_render(template, scope, reversed, NULL, &out));
    assert_string_equal(mg_buffer_text(&out), expected);
}

static void
values_are_escaped_by_place(void **state)
{
    (void) state;
    renders("<p>{{name}}</p>", "<p>&lt;&quot;O&#39;Neil&quot; &amp; 枡&gt;</p>");
    renders("<p title=\"{{name}}\">", "<p title=\"&lt;&quot;O&#39;Neil&quot; &amp; 枡&gt;\">");
    renders("<a href=\"{{path}}\">", "<a href=\"/a?b=c&amp;d\">");
    renders("<a href=\"{{evil}}\">", "<a href=\"#\">");
    renders("<a href=\"{{away}}\">", "<a href=\"#\">");
    renders("<a href=\"/x?q={{name}}\">", "<a href=\"/x?q=%3C%22O%27Neil%22%20%26%20%E6%9E%A1%3E\">");
    renders("<title>{{name}}</title>", "<title>&lt;&quot;O&#39;Neil&quot; &amp; 枡&gt;</title>");
    renders("{{absent}}", "");
}

static void
messages_are_translated_then_escaped(void **state)
{
    (void) state;
    renders("<p>{{_ Hello {name}}}</p>", "<p>&lt;&quot;O&#39;Neil&quot; &amp; 枡&gt; &lt;様&gt;</p>");
    renders("{{_ Just so.}}", "Just so.");
    renders("<p title=\"{{_ n is {n}}}\">", "<p title=\"n is 42\">");
}

static void
blocks_and_includes(void **state)
{
    (void) state;
    renders("{{#if yes}}a{{/if}}{{#if no}}b{{/if}}{{#if not no}}c{{/if}}{{#if absent}}d{{/if}}", "ac");
    renders("{{#each rows}}<i>{{i}}/{{n}}</i>{{/each}}{{#each absent}}x{{/each}}", "<i>0/42</i><i>1/42</i>");
    renders("<input x{{#if yes}} disabled{{/if}}>", "<input x disabled>");
    renders("{{> part}}", "<b>&lt;&quot;O&#39;Neil&quot; &amp; 枡&gt;</b>");
    renders("{{#if yes}}{{#if no}}x{{/if}}y{{/if}}", "y");
}

static void
anything_else_is_refused(void **state)
{
    (void) state;
    static const char *const bad[] = {
        "{{name",
        "{{#if yes}}",
        "{{/if}}",
        "{{#each rows}}{{/if}}",
        "{{Name}}",
        "{{}}",
        "{{ name }}",
        "{{_ }}",
        "<{{name}}>",
        "<p {{name}}>",
        "<p {{name}}=\"x\">",
        "<p title={{name}}>",
        "<p title='{{name}}'>",
        "<p onclick=\"{{name}}\">",
        "<p style=\"{{name}}\">",
        "<meta content=\"{{name}}\">",
        "<iframe srcdoc=\"{{name}}\">",
        "<script>{{name}}</script>",
        "<style>{{name}}</style>",
        "<script>if (a < b) c</script>",
        "<!-- {{name}} -->",
        "<p title=\"",
        "<p",
        "<script>",
        "{{#if yes}}<p title=\"{{/if}}\">",
        "{{#if yes}}<script>{{/if}}</script>",
        "<a href=\"{{#if yes}}x{{/if}}{{path}}\">",
        "<a href=\"{{_ Hello}}\">",
        "{{> nothing}}",
        "{{> loop}}",
        "<p><%></p>",
        "<P>",
        "{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}{{#if yes}}",
    };
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        OWN(template) template = NULL;
        const struct mg_status status = mg_template_parse(mg_view_text(bad[i]), find, NULL, &template);
        if (mg_ok(status))
            fail_msg("accepted: %s", bad[i]);
        assert_null(template);
    }
}

static void
an_exhausted_page_is_not_rendered_by_halves(void **state)
{
    (void) state;
    OWN(arena) arena = NULL;
    OWN(template) template = NULL;
    OWN_BUFFER(out, 65536);
    assert_ok(mg_arena_new(512, &arena));
    struct mg_scope *scope = mg_scope_new(arena);
    for (int i = 0; i < 64; i++)
        mg_scope_set_text(mg_scope_add(scope, "rows"), "i", "some text");
    assert_ok(mg_template_parse(mg_view_text("x"), find, NULL, &template));
    assert_code(mg_template_render(template, scope, reversed, NULL, &out), TOO_LARGE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_escaped_by_place),
        cmocka_unit_test(messages_are_translated_then_escaped),
        cmocka_unit_test(blocks_and_includes),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(an_exhausted_page_is_not_rendered_by_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
