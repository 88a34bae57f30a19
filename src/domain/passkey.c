#include "domain/passkey.h"

static const struct {
    const char *name, *en, *ja;
} refusals[MG_PASSKEY_REFUSAL_COUNT] = {
    [MG_PASSKEY_NONE] = {"PASSKEY_NONE", "nothing speaks against it", "問題ありません"},
#define PASSKEY_REFUSAL(word, english, japanese) \
    [MG_PASSKEY_##word] = {.name = "PASSKEY_" #word, .en = english, .ja = japanese},
#include "../../catalogue/passkey_refusals.def"
#undef PASSKEY_REFUSAL
};

const char *
mg_passkey_refusal_name(uint64_t refusal)
{
    return refusal < MG_PASSKEY_REFUSAL_COUNT ? refusals[refusal].name : "PASSKEY_UNKNOWN";
}

const char *
mg_passkey_refusal_text(uint64_t refusal, bool japanese)
{
    if (refusal >= MG_PASSKEY_REFUSAL_COUNT)
        return japanese ? "不明な理由" : "for an unknown reason";
    return japanese ? refusals[refusal].ja : refusals[refusal].en;
}

bool
mg_passkey_algorithm_allowed(int64_t algorithm)
{
    return algorithm == MG_COSE_ES256 || algorithm == MG_COSE_EDDSA || algorithm == MG_COSE_RS256;
}

bool
mg_passkey_head_read(struct mg_view data, struct mg_passkey_head *ret_head)
{
    if (data.length < 37)
        return false;
    memcpy(ret_head->rp_id_hash, data.bytes, 32);
    ret_head->flags = data.bytes[32];
    ret_head->counter = (uint32_t) data.bytes[33] << 24 | (uint32_t) data.bytes[34] << 16 |
                        (uint32_t) data.bytes[35] << 8 | data.bytes[36];
    return true;
}

static bool
backup_is_sound(const struct mg_passkey_facts *facts)
{
    const bool eligible = (facts->head.flags & MG_PASSKEY_BACKUP_ELIGIBLE) != 0;
    const bool backed_up = (facts->head.flags & MG_PASSKEY_BACKED_UP) != 0;
    return (eligible || !backed_up) && (facts->creation || eligible == facts->eligible_expected);
}

/* Control: IDENTITY_04 */
enum mg_passkey_refusal
mg_passkey_judge(const struct mg_passkey_facts *facts)
{
    if (!mg_view_is(facts->type, facts->creation ? "webauthn.create" : "webauthn.get"))
        return MG_PASSKEY_TYPE;
    if (facts->challenge_expected.length == 0 ||
        !mg_view_equal_constant_time(facts->challenge, facts->challenge_expected))
        return MG_PASSKEY_CHALLENGE;
    if (facts->origin_expected.length == 0 || !mg_view_equal(facts->origin, facts->origin_expected))
        return MG_PASSKEY_ORIGIN;
    if (facts->cross_origin)
        return MG_PASSKEY_CROSS_ORIGIN;
    if (memcmp(facts->head.rp_id_hash, facts->rp_id_hash_expected, 32) != 0)
        return MG_PASSKEY_RELYING_PARTY;
    if ((facts->head.flags & MG_PASSKEY_USER_PRESENT) == 0)
        return MG_PASSKEY_USER_PRESENCE;
    if (facts->must_verify && (facts->head.flags & MG_PASSKEY_USER_VERIFIED) == 0)
        return MG_PASSKEY_USER_VERIFICATION;
    if (!backup_is_sound(facts))
        return MG_PASSKEY_BACKUP;
    return mg_passkey_algorithm_allowed(facts->algorithm) ? MG_PASSKEY_NONE : MG_PASSKEY_ALGORITHM;
}

bool
mg_passkey_counter_advances(uint64_t stored, uint64_t given)
{
    return given > stored || (given == 0 && stored == 0);
}

bool
mg_passkey_must_verify(enum mg_passkey_use use, bool verifies_user)
{
    return use != MG_PASSKEY_USE_SECOND && (use == MG_PASSKEY_USE_SIGN_IN || verifies_user);
}

void
mg_passkey_challenge_begin(mg_instant now, const uint8_t random[16], uint8_t challenge[24])
{
    const uint64_t now_s = (uint64_t) (now / 1000);
    for (size_t i = 0; i < 8; i++)
        challenge[i] = (uint8_t) (now_s >> (56 - 8 * i));
    memcpy(challenge + 8, random, 16);
}

void
mg_passkey_challenge_message(const uint8_t challenge[24], enum mg_passkey_use use, const uint8_t bound_to[32],
                             uint8_t message[MG_PASSKEY_MESSAGE_BYTES])
{
    memset(message, 0, 8);
    message[7] = (uint8_t) use;
    memcpy(message + 8, challenge, 24);
    memcpy(message + 32, bound_to, 32);
}

bool
mg_passkey_challenge_is_fresh(const uint8_t challenge[MG_PASSKEY_CHALLENGE_BYTES], mg_instant now)
{
    uint64_t made_s = 0;
    for (size_t i = 0; i < 8; i++)
        made_s = made_s << 8 | challenge[i];
    if (made_s > INT64_MAX / 1000)
        return false;
    const mg_instant made = (mg_instant) made_s * 1000;
    return made <= now + 5000 && now - made <= MG_PASSKEY_CHALLENGE_MS;
}

void
mg_passkey_transports(struct mg_view given, char transports[64])
{
    static const char *const words[] = {"usb", "nfc", "ble", "smart-card", "hybrid", "internal"};
    size_t length = 0;
    transports[0] = '\0';
    for (size_t i = 0; i < MG_COUNT(words); i++) {
        const size_t size = strlen(words[i]);
        for (size_t at = 0; at < given.length;) {
            size_t end = at;
            while (end < given.length && given.bytes[end] != ' ')
                end++;
            if (mg_view_is(mg_view_of(given.bytes + at, end - at), words[i]) && length + size + 2 <= 64) {
                if (length != 0)
                    transports[length++] = ' ';
                memcpy(transports + length, words[i], size + 1);
                length += size;
                break;
            }
            at = end + 1;
        }
    }
}
