#include "domain/api_token.h"

#include "base/secret.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

#define PREFIX_LENGTH (sizeof MG_API_TOKEN_PREFIX - 1)
#define SECRET_LENGTH 52 /* 256 bits, five a character */
#define CHECK_LENGTH 7   /* 32 bits */
_Static_assert(PREFIX_LENGTH + SECRET_LENGTH + CHECK_LENGTH == MG_API_TOKEN_LENGTH, "the parts of a token");

static uint32_t
crc32(const uint8_t *bytes, size_t length)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
    }
    return ~crc;
}

static void
encode(const uint8_t *bytes, size_t length, char *text)
{
    uint32_t bits = 0;
    int held = 0;
    for (size_t i = 0; i < length; i++) {
        bits = bits << 8 | bytes[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            *text++ = alphabet[bits >> held & 31];
        }
        bits &= (1U << held) - 1;
    }
    if (held > 0)
        *text = alphabet[bits << (5 - held) & 31];
}

/* Strict: the bits that fill the last character are zero. */
static bool
decode(const uint8_t *text, size_t count, uint8_t *bytes, size_t length)
{
    uint32_t bits = 0;
    int held = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const char *found = text[i] == '\0' ? NULL : strchr(alphabet, text[i]);
        if (found == NULL)
            return false;
        bits = bits << 5 | (uint32_t) (found - alphabet);
        held += 5;
        if (held < 8)
            continue;
        held -= 8;
        if (at == length)
            return false;
        bytes[at++] = (uint8_t) (bits >> held);
        bits &= (1U << held) - 1;
    }
    return at == length && bits == 0;
}

static void
check_of(const uint8_t bytes[MG_API_TOKEN_BYTES], uint8_t check[4])
{
    const uint32_t crc = crc32(bytes, MG_API_TOKEN_BYTES);
    for (int i = 0; i < 4; i++)
        check[i] = (uint8_t) (crc >> (24 - 8 * i));
}

void
mg_api_token_text(const uint8_t bytes[MG_API_TOKEN_BYTES], char text[MG_API_TOKEN_LENGTH + 1])
{
    uint8_t check[4];
    check_of(bytes, check);
    memcpy(text, MG_API_TOKEN_PREFIX, PREFIX_LENGTH);
    encode(bytes, MG_API_TOKEN_BYTES, text + PREFIX_LENGTH);
    encode(check, sizeof check, text + PREFIX_LENGTH + SECRET_LENGTH);
    text[MG_API_TOKEN_LENGTH] = '\0';
}

bool
mg_api_token_parse(struct mg_view text, uint8_t bytes[MG_API_TOKEN_BYTES])
{
    uint8_t check[4], given[4];
    OWN_KEY(secret, MG_API_TOKEN_BYTES);
    if (text.length != MG_API_TOKEN_LENGTH || memcmp(text.bytes, MG_API_TOKEN_PREFIX, PREFIX_LENGTH) != 0)
        return false;
    const uint8_t *at = text.bytes + PREFIX_LENGTH;
    if (!decode(at, SECRET_LENGTH, secret, MG_API_TOKEN_BYTES) ||
        !decode(at + SECRET_LENGTH, CHECK_LENGTH, given, sizeof given))
        return false;
    check_of(secret, check);
    if (memcmp(check, given, sizeof check) != 0)
        return false;
    memcpy(bytes, secret, MG_API_TOKEN_BYTES);
    return true;
}

bool
mg_service_name_is_valid(struct mg_view name)
{
    for (size_t i = 0; i < name.length; i++) {
        const uint8_t c = name.bytes[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_')
            return false;
    }
    return name.length > 0 && name.length <= 63;
}
