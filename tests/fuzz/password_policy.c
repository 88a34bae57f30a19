/* What people type as a new password or a sign-in name: judged without end or overflow. */
#include "domain/password_policy.h"
#include "domain/login.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mg_view typed = mg_view_of(data, size);
    OWN_BUFFER(login, 1024);
    OWN_BUFFER(again, 1024);
    OWN_BUFFER(normalised, 16 * MG_PASSWORD_MOST_BYTES);
    OWN_BUFFER(twice, 16 * MG_PASSWORD_MOST_BYTES);
    if (mg_ok(mg_login_fold(typed, &login))) { /* folding again changes nothing: one person, one text */
        mg_must(login.length >= 1 && login.length <= MG_LOGIN_MOST);
        if (mg_ok(mg_login_fold(mg_buffer_view(&login), &again)))
            mg_must(mg_view_equal(mg_buffer_view(&login), mg_buffer_view(&again)));
    }
    if (size > MG_PASSWORD_MOST_BYTES || !mg_ok(mg_password_normalise(typed, &normalised)))
        return 0;
    mg_must(mg_ok(mg_password_normalise(mg_buffer_view(&normalised), &twice)));
    mg_must(mg_view_equal(mg_buffer_view(&normalised), mg_buffer_view(&twice)));
    struct mg_password_context context = {0};
    mg_password_context_add(&context, mg_view_text("aiko@acme.example"));
    mg_password_context_add(&context, typed);
    enum mg_outcome outcome = MG_OUTCOME_NONE;
    if (mg_ok(mg_password_judge(mg_buffer_view(&normalised), MG_PASSWORD_LEAST_ALONE, &context, &outcome)))
        mg_must(outcome != MG_OUTCOME_NONE);
    bool has = false;
    if (mg_ok(mg_password_has_word(mg_buffer_view(&normalised), mg_view_text("Falcon"), &has)) &&
        normalised.length != 0 && memmem(normalised.bytes, normalised.length, "Falcon", 6) != NULL)
        mg_must(has);
    if (mg_password_word_is_valid(typed) && memchr(data, ' ', size) == NULL) /* stands in itself */
        mg_must(!mg_ok(mg_password_has_word(mg_buffer_view(&normalised), typed, &has)) || has);
    return 0;
}
