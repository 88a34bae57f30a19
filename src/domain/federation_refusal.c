#include "domain/federation_refusal.h"

static const struct {
    const char *name, *en, *ja;
} rows[MG_FEDERATION_COUNT] = {
    [MG_FEDERATION_NONE] = {"NONE", "nothing speaks against it", "問題ありません"},
#define FEDERATION_REFUSAL(word, english, japanese) \
    [MG_FEDERATION_##word] = {.name = #word, .en = english, .ja = japanese},
#include "../../catalogue/federation_refusals.def"
#undef FEDERATION_REFUSAL
};

const char *
mg_federation_refusal_name(uint64_t refusal)
{
    return refusal < MG_FEDERATION_COUNT ? rows[refusal].name : "UNKNOWN";
}

const char *
mg_federation_refusal_text(uint64_t refusal, int japanese)
{
    if (refusal >= MG_FEDERATION_COUNT)
        return japanese != 0 ? "不明な理由" : "for an unknown reason";
    return japanese != 0 ? rows[refusal].ja : rows[refusal].en;
}
