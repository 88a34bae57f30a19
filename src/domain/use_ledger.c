#include "domain/use_ledger.h"

static struct mg_use_row *
find(struct mg_use_ledger *ledger, const struct mg_use *use)
{
    for (size_t i = 0; i < ledger->count; i++) {
        const struct mg_use *seen = &ledger->rows[i].use;
        if (seen->tenant == use->tenant && seen->sender == use->sender && seen->refused == use->refused &&
            strcmp(seen->place, use->place) == 0 && strcmp(seen->purpose, use->purpose) == 0)
            return &ledger->rows[i];
    }
    return NULL;
}

struct mg_status
mg_use_note(struct mg_use_ledger *ledger, const struct mg_use *use, int64_t now_ms)
{
    size_t of_sender = 0;
    for (size_t i = 0; i < ledger->count; i++) {
        if (now_ms - ledger->rows[i].first_ms > MG_USE_UNRECORDED_MS_MOST)
            return fail_with(BUSY, "the audit log has taken no record of key use for a minute");
        of_sender += ledger->rows[i].use.sender == use->sender;
    }
    struct mg_use_row *row = find(ledger, use);
    if (row == NULL && (ledger->count >= MG_USE_ROWS_MOST - 1 || of_sender >= MG_USE_ROWS_OF_ONE_MOST))
        return fail_with(BUSY, "too many kinds of key use wait for the audit log");
    if (row == NULL) {
        row = &ledger->rows[ledger->count++];
        *row = (struct mg_use_row){.use = *use, .first_ms = now_ms};
    }
    row->count++;
    row->last_ms = now_ms;
    return OK;
}

bool
mg_use_take(struct mg_use_ledger *ledger, struct mg_use_row *ret_row)
{
    if (ledger->count == 0)
        return false;
    *ret_row = ledger->rows[0];
    ledger->rows[0] = ledger->rows[--ledger->count];
    return true;
}

void
mg_use_put_back(struct mg_use_ledger *ledger, const struct mg_use_row *row)
{
    struct mg_use_row *same = find(ledger, &row->use);
    if (same != NULL) {
        same->count += row->count;
        if (row->first_ms < same->first_ms)
            same->first_ms = row->first_ms;
        return;
    }
    mg_must(ledger->count < MG_USE_ROWS_MOST);
    ledger->rows[ledger->count++] = *row;
}
