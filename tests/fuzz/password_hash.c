/* Password hashes from another system (user import) or from the database. */
#include "ports/password_hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_password_parsed parsed = {0};
    const struct mg_view text = mg_view_of(data, size);
    if (!mg_ok(mg_password_parse(text, &parsed))) {
        mg_must(parsed.scheme == MG_PASSWORD_SCHEME_NONE);
        mg_must(mg_password_needs_rehash(text, MG_PASSWORD_COST_PRESET));
        return 0;
    }
    mg_must(size < MG_PASSWORD_HASH_TEXT && memchr(data, 0, size) == NULL);
    if (parsed.scheme != MG_PASSWORD_ARGON2ID)
        return 0;
    /* No work is larger than its bounds, and nothing is kept outside its array. */
    mg_must(mg_ok(mg_password_cost_check(parsed.cost)));
    mg_must(parsed.salt_length <= sizeof parsed.salt && parsed.tag_length <= sizeof parsed.tag);
    return 0;
}
