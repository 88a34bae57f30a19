#include "domain/verdict.h"

static const struct {
    const char *name;
    struct mg_words words;
} verdicts[MG_VERDICT_COUNT] = {
    [MG_UNKNOWN] = {"unknown", {"unknown", "確認できず"}},
    [MG_BROKEN] = {"broken", {"broken", "不適合"}},
    [MG_HOLDS] = {"holds", {"holds", "適合"}},
    [MG_STALE] = {"stale", {"stale", "期限切れ"}},
    [MG_PLANNED] = {"planned", {"planned", "予定"}},
};

const char *
mg_verdict_name(enum mg_verdict verdict)
{
    return verdicts[verdict < MG_VERDICT_COUNT ? verdict : MG_UNKNOWN].name;
}

struct mg_words
mg_verdict_words(enum mg_verdict verdict)
{
    return verdicts[verdict < MG_VERDICT_COUNT ? verdict : MG_UNKNOWN].words;
}

enum mg_verdict
mg_verdict_of_name(struct mg_view name)
{
    for (unsigned i = 0; i < MG_VERDICT_COUNT; i++)
        if (mg_view_is(name, verdicts[i].name))
            return (enum mg_verdict) i;
    return MG_UNKNOWN;
}
