#include "domain/outcome.h"

#include <stddef.h>

static const struct {
    const char *name, *en, *ja;
} rows[MG_OUTCOME_COUNT] = {
    [MG_OUTCOME_NONE] = {"NONE", "The request was refused.", "要求は拒否されました。"},
#define OUTCOME(name, en, ja) [MG_##name] = {#name, en, ja},
#include "../../catalogue/outcomes.def"
#undef OUTCOME
};

const char *
mg_outcome_name(uint64_t outcome)
{
    return rows[outcome < MG_OUTCOME_COUNT ? outcome : MG_OUTCOME_NONE].name;
}

const char *
mg_outcome_text(uint64_t outcome, int japanese)
{
    const uint64_t row = outcome < MG_OUTCOME_COUNT ? outcome : MG_OUTCOME_NONE;
    return japanese ? rows[row].ja : rows[row].en;
}
