/* The JSON files that processes of ours keep: the worker's record of an instance, the prober's findings. The
 * first byte chooses which. (No page takes JSON from a browser.) */
#include "process/prober/ledger_text.h"
#include "process/worker/record_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
record_holds(struct mg_view text)
{
    struct record_text stored, again;
    OWN_BUFFER(sealed, RECORD_SEALED_MOST);
    OWN_BUFFER(sealed_again, RECORD_SEALED_MOST);
    OWN_BUFFER(pending, RECORD_SEALED_MOST);
    OWN_BUFFER(pending_again, RECORD_SEALED_MOST);
    OWN_BUFFER(written, 65536);
    if (!mg_ok(record_decode(text, &stored, &sealed, &pending)))
        return;
    mg_must(mg_ok(record_encode(&stored, mg_buffer_view(&sealed), mg_buffer_view(&pending), &written)));
    mg_must(mg_ok(record_decode(mg_buffer_view(&written), &again, &sealed_again, &pending_again)));
    mg_must(again.pending == stored.pending && again.pending_at == stored.pending_at &&
            mg_view_equal(mg_buffer_view(&pending), mg_buffer_view(&pending_again)));
    mg_must(again.tenant == stored.tenant && again.active == stored.active &&
            again.rotated_at == stored.rotated_at && again.retire_at == stored.retire_at);
    mg_must(mg_view_equal(mg_buffer_view(&sealed), mg_buffer_view(&sealed_again)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_ledger_entry entry;
    if (size == 0)
        return 0;
    const struct mg_view text = mg_view_of(data + 1, size - 1);
    if (data[0] % 2 == 0)
        record_holds(text);
    else if (mg_ok(mg_ledger_decode(text, &entry))) {
        mg_must(strnlen(entry.finding.reason_en, sizeof entry.finding.reason_en) <
                sizeof entry.finding.reason_en);
        mg_must(mg_verdict_name(entry.finding.verdict) != NULL);
    }
    return 0;
}
