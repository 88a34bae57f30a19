/* masugata.conf: any text is refused with the place that is wrong, or read into options that write themselves
 * back to the same. */
#include "ports/configuration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
reads_back(const struct mg_options *options)
{
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        OWN_BUFFER(value, 1 << 20);
        OWN_BUFFER(again, 1 << 20);
        OWN(options) copy = NULL;
        mg_must(mg_ok(mg_option_text(options, row, &value)));
        mg_must(mg_ok(mg_options_new(&copy)));
        mg_must(mg_ok(mg_option_set(copy, row, mg_buffer_view(&value))));
        mg_must(mg_ok(mg_option_text(copy, row, &again)));
        mg_must(mg_view_equal(mg_buffer_view(&again), mg_buffer_view(&value)));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    OWN(options) options = NULL;
    const struct mg_status status = mg_configuration_parse("file", mg_view_of(data, size), &options);
    if (mg_ok(status))
        reads_back(options);
    else
        mg_must(options == NULL && status.detail[0] != '\0');
    return 0;
}
