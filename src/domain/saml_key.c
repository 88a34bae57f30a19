#include "domain/saml_key.h"

uint64_t
mg_saml_key_step_of(struct mg_view word)
{
    static const char *const words[] = {[MG_SAML_KEY_MAKE] = "make",
                                        [MG_SAML_KEY_USE] = "use",
                                        [MG_SAML_KEY_FINISH] = "finish",
                                        [MG_SAML_KEY_DROP] = "drop"};
    for (uint64_t step = MG_SAML_KEY_MAKE; step < MG_COUNT(words); step++)
        if (mg_view_is(word, words[step]))
            return step;
    return 0;
}

bool
mg_saml_key_signs(bool there, mg_instant signs_at, mg_instant now)
{
    return there && signs_at != 0 && signs_at <= now;
}

const char *
mg_saml_key_judge(uint64_t step, bool there, mg_instant signs_at, mg_instant at, mg_instant now)
{
    const bool signs = mg_saml_key_signs(there, signs_at, now);
    if (at != 0 && (step != MG_SAML_KEY_USE || at < now || at > now + MG_SAML_KEY_AHEAD_MS))
        return "KEY_TIME|";
    switch (step) {
    case MG_SAML_KEY_MAKE:
        return there ? "KEY_THERE|" : "";
    case MG_SAML_KEY_USE:
        return !there ? "KEY_NONE|" : signs ? "KEY_SIGNS|" : "";
    case MG_SAML_KEY_FINISH:
        return !there ? "KEY_NONE|" : signs ? "" : "KEY_SIGNS_NOT|";
    case MG_SAML_KEY_DROP:
        return !there ? "KEY_NONE|" : signs ? "KEY_SIGNS|" : "";
    default:
        return "KEY_STEP|";
    }
}
