#include "domain/totp.h"

#include "base/secret.h"

#include <endian.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

/* U+FF10 to U+FF19 are EF BC 90 to EF BC 99 in UTF-8. */
static bool
wide_digit(struct mg_view text, char *digit)
{
    if (text.length < 3 || text.bytes[0] != 0xEF || text.bytes[1] != 0xBC || text.bytes[2] < 0x90 ||
        text.bytes[2] > 0x99)
        return false;
    *digit = (char) ('0' + (text.bytes[2] - 0x90));
    return true;
}

/* U+3000, the wide blank. */
static bool
is_wide_blank(struct mg_view text)
{
    return text.length >= 3 && memcmp(text.bytes, "\xE3\x80\x80", 3) == 0;
}

bool
mg_totp_normalise(struct mg_view typed, char code[MG_TOTP_DIGITS + 1])
{
    size_t used = 0;
    for (size_t at = 0; at < typed.length;) {
        const struct mg_view rest = mg_view_of(typed.bytes + at, typed.length - at);
        char digit = (char) rest.bytes[0];
        if (digit == ' ' || digit == '-' || is_wide_blank(rest)) {
            at += digit == ' ' || digit == '-' ? 1 : 3;
            continue;
        }
        const bool wide = wide_digit(rest, &digit);
        if (used == MG_TOTP_DIGITS || digit < '0' || digit > '9')
            return false;
        code[used++] = digit;
        at += wide ? 3 : 1;
    }
    code[used] = '\0';
    return used == MG_TOTP_DIGITS;
}

struct mg_status
mg_totp_code(struct mg_view secret, uint64_t step, char code[MG_TOTP_DIGITS + 1])
{
    OWN_KEY(mac, EVP_MAX_MD_SIZE);
    unsigned length = 0;
    const uint64_t counter = htobe64(step);
    if (HMAC(EVP_sha1(), secret.bytes, (int) secret.length, (const uint8_t *) &counter, sizeof counter, mac,
             &length) == NULL ||
        length != 20)
        return fail(CRYPTO);
    /* RFC 4226 section 5.3: 31 bits from where the last four bits say. */
    const unsigned at = mac[19] & 0xF;
    const uint32_t bits = (uint32_t) (mac[at] & 0x7F) << 24 | (uint32_t) mac[at + 1] << 16 |
                          (uint32_t) mac[at + 2] << 8 | mac[at + 3];
    (void) snprintf(code, MG_TOTP_DIGITS + 1, "%06u", (unsigned) (bits % 1000000));
    return OK;
}

struct mg_status
mg_totp_judge(struct mg_view secret, const char *code, mg_instant now, uint64_t last_step, uint64_t *ret_step)
{
    OWN_KEY(right, MG_TOTP_DIGITS + 1);
    uint64_t found = 0;
    if (now < 0)
        return fail_with(INVALID, "a time before 1970");
    const uint64_t middle = (uint64_t) now / MG_TOTP_STEP_MS;
    const uint64_t first = middle < MG_TOTP_WINDOW ? 0 : middle - MG_TOTP_WINDOW;
    /* All of them, whichever fits: the time taken tells nothing. */
    for (uint64_t step = first; step <= middle + MG_TOTP_WINDOW; step++) {
        TRY(mg_totp_code(secret, step, (char *) right));
        const bool same = mg_view_equal_constant_time(mg_view_of(right, MG_TOTP_DIGITS), mg_view_text(code));
        if (same && step > last_step && found == 0)
            found = step;
    }
    *ret_step = found;
    return OK;
}

struct mg_status
mg_base32(struct mg_view bytes, struct mg_buffer *text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        held = held << 8 | bytes.bytes[i];
        for (bits += 8; bits >= 5; bits -= 5)
            TRY(mg_buffer_add_byte(text, (uint8_t) alphabet[held >> (bits - 5) & 31]));
        held &= (1U << bits) - 1;
    }
    return bits == 0 ? OK : mg_buffer_add_byte(text, (uint8_t) alphabet[held << (5 - bits) & 31]);
}

/* RFC 3986: everything but unreserved characters is percent-encoded. */
static CHECKED struct mg_status
add_encoded(struct mg_buffer *uri, struct mg_view text)
{
    for (size_t i = 0; i < text.length; i++) {
        const uint8_t c = text.bytes[i];
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            TRY(mg_buffer_add_byte(uri, c));
        else
            TRY(mg_buffer_format(uri, "%%%02X", (unsigned) c));
    }
    return OK;
}

enum { ISSUER_MOST = 48, ACCOUNT_MOST = 96 };

struct mg_status
mg_totp_uri(struct mg_view issuer, struct mg_view account, struct mg_view secret, struct mg_buffer *uri)
{
    const struct mg_view by = mg_view_start(issuer, ISSUER_MOST);
    TRY(mg_buffer_add_text(uri, "otpauth://totp/"));
    TRY(add_encoded(uri, by));
    TRY(mg_buffer_add_byte(uri, ':'));
    TRY(add_encoded(uri, mg_view_start(account, ACCOUNT_MOST)));
    TRY(mg_buffer_add_text(uri, "?secret="));
    TRY(mg_base32(secret, uri));
    TRY(mg_buffer_add_text(uri, "&issuer="));
    return add_encoded(uri, by);
}
