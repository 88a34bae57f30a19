/* Every text of the pages and mails exists in Japanese, and none was forgotten in po/. */
#include "test.h"

#include "ports/embedded.h"
#include "ports/template.h"
#include "ports/translation.h"

static bool
find(void *context, struct mg_view name, struct mg_view *ret_source)
{
    (void) context;
    char file[64];
    (void) snprintf(file, sizeof file, "%.*s.html", (int) name.length, (const char *) name.bytes);
    return mg_embedded_find(mg_embedded_pages, mg_view_text(file), ret_source);
}

/* Placeholders must be the same in both languages. */
static size_t
placeholders(struct mg_view text)
{
    size_t sum = 0;
    for (size_t i = 0; i < text.length; i++)
        for (size_t j = i; text.bytes[i] == '{' && j < text.length && text.bytes[j] != '}'; j++)
            sum += text.bytes[j];
    return sum;
}

static void
has_translation(void *context, struct mg_view msgid)
{
    size_t *count = context;
    const struct mg_view japanese = mg_translate(MG_JAPANESE, msgid);
    if (japanese.bytes == msgid.bytes || japanese.length == 0)
        fail_msg("no Japanese for: %.*s", (int) msgid.length, (const char *) msgid.bytes);
    assert_int_equal(placeholders(japanese), placeholders(msgid));
    assert_true(mg_view_is_utf8(japanese));
    (*count)++;
}

static void
every_message_of_the_pages_is_translated(void **state)
{
    (void) state;
    size_t count = 0;
    for (const struct mg_embedded *file = mg_embedded_pages; file->name != NULL; file++) {
        if (strstr(file->name, ".html") == NULL)
            continue;
        OWN(template) template = NULL;
        assert_ok(mg_template_parse(file->bytes, find, NULL, &template));
        mg_template_messages(template, has_translation, &count);
    }
    assert_true(count > 100);
}

static void
a_damaged_catalogue_gives_the_original(void **state)
{
    (void) state;
    struct mg_view file, translation;
    assert_true(mg_embedded_find(mg_embedded_translations, mg_view_text("ja.mo"), &file));
    assert_true(mg_mo_find(file, mg_view_text("Sign in"), &translation));
    assert_true(mg_view_is(translation, "サインイン"));
    assert_false(mg_mo_find(file, mg_view_text("no such text"), &translation));
    OWN_BUFFER(copy, 1 << 20);
    for (size_t length = 0; length < file.length; length += 97) {
        mg_buffer_clear(&copy);
        assert_ok(mg_buffer_add(&copy, mg_view_of(file.bytes, length)));
        (void) mg_mo_find(mg_buffer_view(&copy), mg_view_text("Sign in"), &translation);
    }
    assert_true(mg_view_is(mg_translate(MG_ENGLISH, mg_view_text("Sign in")), "Sign in"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_of_the_pages_is_translated),
        cmocka_unit_test(a_damaged_catalogue_gives_the_original),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
