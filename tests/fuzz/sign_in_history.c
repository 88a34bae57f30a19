/* A history of sign-ins as people bring it: CSV and JSON lines, then the replay of what was understood. */
#include "ports/sign_in_history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_text(const char *text)
{
    return text != NULL && mg_view_is_utf8(mg_view_text(text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mg_risk_limits limits = MG_RISK_PRESET;
    OWN(sign_in_history) history = NULL;
    if (!mg_ok(mg_sign_in_history_parse(mg_view_of(data, size), &history))) {
        mg_must(history == NULL);
        return 0;
    }
    for (size_t i = 0; i < history->count; i++) {
        struct mg_replay_row *row = &history->rows[i];
        const struct mg_risk_place *place = &row->visit.place;
        mg_must(is_text(row->login) && row->login[0] != '\0' && is_text(row->device));
        mg_must(row->visit.address[0] != '\0');
        mg_must(strlen(place->country) == 0 || strlen(place->country) == 2);
        mg_must(place->latitude_e3 >= -90000 && place->latitude_e3 <= 90000);
        mg_must(place->longitude_e3 >= -180000 && place->longitude_e3 <= 180000);
        mg_must(mg_ok(mg_risk_network(mg_view_text(row->visit.address), place->asn, row->visit.network)));
    }
    if (!mg_ok(mg_risk_replay(history->rows, history->count, &limits)))
        return 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct mg_replay_row *row = &history->rows[i];
        mg_must(row->wrong ? row->verdict.outcome == 0
                           : row->verdict.outcome >= MG_RISK_ALLOW && row->verdict.outcome <= MG_RISK_BLOCK);
        mg_must((row->verdict.signals & row->verdict.unknown) == 0);
    }
    return 0;
}
