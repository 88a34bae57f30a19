/* What a browser may send to the pages: forms and queries, cookies, Accept-Language, return paths. */
#include "ports/form.h"
#include "domain/return_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
form_holds(struct mg_view input)
{
    OWN_FORM(form);
    if (!mg_ok(mg_form_decode(input, &form))) {
        mg_must(form.count == 0);
        return;
    }
    for (size_t i = 0; i < form.count; i++) {
        mg_must(mg_view_is_utf8(form.fields[i].value));
        /* What was decoded reads back from its encoding. */
        OWN_BUFFER(again, 4 * MG_FORM_BYTES);
        OWN_FORM(second);
        mg_must(mg_ok(mg_buffer_add_text(&again, "v=")));
        mg_must(mg_ok(mg_form_encode(form.fields[i].value, &again)));
        if (again.length <= MG_FORM_BYTES) {
            mg_must(mg_ok(mg_form_decode(mg_buffer_view(&again), &second)));
            mg_must(mg_view_equal(mg_form_value(&second, "v"), form.fields[i].value));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mg_view input = mg_view_of(data, size);
    form_holds(input);
    size_t position = 0, count = 0;
    struct mg_view value;
    while (mg_cookie_next(input, "a", &position, &value)) {
        mg_must(value.bytes >= data && value.bytes + value.length <= data + size);
        mg_must(++count <= size);
    }
    (void) mg_prefers_japanese(input);
    if (mg_return_path_is_safe(input))
        mg_must(data[0] == '/' && (size == 1 || (data[1] != '/' && data[1] != '\\')));
    return 0;
}
