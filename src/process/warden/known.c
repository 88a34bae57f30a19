/* Which options changed since the last start: DIR/options.known has the values of the last one, a secret's
 * only as a SipHash-2-4 under a random key of the file's own, to tell that it changed. (The file is as
 * private as masugata.conf, where the secret itself stands; the warden links no cryptographic library.) The
 * file is written once audit has taken the records, so that none is lost. */
#include "base/io.h"
#include "base/log.h"
#include "base/secret.h"
#include "process/warden/warden.h"

#include <stdio.h>
#include <sys/stat.h>

#define FILE_MOST (256 * 1024)

static struct {
    uint8_t key[16];
    struct mg_buffer text; /* to be written; empty: written */
} own = {.text = MG_BUFFER(FILE_MOST)};

/* ---- SipHash-2-4 (Aumasson, Bernstein 2012) ---- */

static uint64_t
rotate(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t
little_endian(const uint8_t *bytes, size_t count)
{
    uint64_t value = 0;
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t) bytes[i] << (8 * i);
    return value;
}

static uint64_t
siphash(const uint8_t key[16], struct mg_view bytes)
{
    const uint64_t k0 = little_endian(key, 8), k1 = little_endian(key + 8, 8);
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                     k1 ^ 0x7465646279746573};
    for (size_t at = 0;; at += 8) {
        const bool last = bytes.length - at < 8;
        const size_t count = last ? bytes.length - at : 8;
        const uint64_t word =
            little_endian(bytes.bytes + at, count) | (last ? (uint64_t) (bytes.length & 0xFF) << 56 : 0);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
        if (last)
            break;
    }
    v[2] ^= 0xFF;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- the file: "key HEX", then "KEYWORD VALUE" a line ---- */

static CHECKED struct mg_status
path_of(const struct warden *warden, char path[MG_PATH])
{
    return mg_path_join(path, warden->deployment.state, "options.known");
}

/* What stands for the value; a line break, which masugata.conf cannot give, would end its line. */
static CHECKED struct mg_status
value_add(const struct warden *warden, const struct mg_option_row *row, struct mg_buffer *value)
{
    OWN_BUFFER(text, 8192);
    TRY(mg_option_text(warden->options, row, &text));
    if (row->secret) {
        const uint64_t hash = siphash(own.key, mg_buffer_view(&text));
        mg_wipe(text.bytes, text.length);
        return mg_buffer_format(value, "%016llx", (unsigned long long) hash);
    }
    for (size_t i = 0; i < text.length; i++)
        TRY(mg_buffer_add_byte(value, text.bytes[i] == '\n' ? ' ' : text.bytes[i]));
    return OK;
}

/* The value on the line of this keyword; false if there is none (an option of a newer program). */
static bool
value_find(const struct mg_buffer *text, const char *keyword, struct mg_view *ret_value)
{
    const size_t length = strlen(keyword);
    for (const char *line = mg_buffer_text(text), *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        if (strncmp(line, keyword, length) == 0 && line[length] == ' ') {
            *ret_value = mg_view_of(line + length + 1, (size_t) (end - line) - length - 1);
            return true;
        }
    return false;
}

static CHECKED struct mg_status
key_take(const struct mg_buffer *before)
{
    struct mg_view hex;
    if (value_find(before, "key", &hex) && hex.length == 2 * sizeof own.key) {
        for (size_t i = 0; i < sizeof own.key; i++) {
            static const char digits[16] = "0123456789abcdef";
            const char *high = memchr(digits, hex.bytes[2 * i], sizeof digits),
                       *low = memchr(digits, hex.bytes[2 * i + 1], sizeof digits);
            if (high == NULL || low == NULL)
                return fail_with(MALFORMED, "options.known: the key");
            own.key[i] = (uint8_t) ((high - digits) << 4 | (low - digits));
        }
        return OK;
    }
    mg_random(own.key, sizeof own.key);
    return OK;
}

static CHECKED struct mg_status
compare(const struct warden *warden, const struct mg_buffer *before)
{
    char hex[2 * sizeof own.key + 1];
    TRY(key_take(before));
    mg_hex(mg_view_of(own.key, sizeof own.key), hex);
    TRY(mg_buffer_format(&own.text, "key %s\n", hex));
    for (size_t i = 0; i < mg_option_count; i++) {
        const struct mg_option_row *row = &mg_option_rows[i];
        struct mg_view old;
        OWN_BUFFER(now, 8192);
        TRY(value_add(warden, row, &now));
        TRY(mg_buffer_format(&own.text, "%s %s\n", row->keyword, mg_buffer_text(&now)));
        if (!value_find(before, row->keyword, &old) || mg_view_equal(old, mg_buffer_view(&now)))
            continue;
        struct warden_record record = {.event = MG_EVENT_option_change, .target = row->keyword};
        record.reason = row->secret ? "changed" : "";
        record.before = row->secret ? MG_VIEW_EMPTY : old;
        record.now = row->secret ? MG_VIEW_EMPTY : mg_buffer_view(&now);
        children_record(&record);
    }
    return OK;
}

void
known_compare(const struct warden *warden)
{
    char path[MG_PATH];
    OWN_BUFFER(before, FILE_MOST);
    struct mg_status status = path_of(warden, path);
    if (mg_ok(status))
        status = mg_file_read(path, &before);
    if (mg_ok(status) || status.code == MG_NOT_FOUND)
        status = compare(warden, &before);
    if (!mg_ok(status)) {
        mg_log_status(MG_ERROR, "what options changed", status);
        mg_buffer_clear(&own.text);
    }
}

void
known_settle(const struct warden *warden)
{
    char path[MG_PATH];
    if (own.text.length == 0 || children_records_wait())
        return;
    struct mg_status status = path_of(warden, path);
    if (mg_ok(status))
        status = mg_file_replace(path, mg_buffer_view(&own.text), 0600);
    if (!mg_ok(status))
        mg_log_status(MG_ERROR, "keep the options for the next start", status);
    mg_buffer_drop(&own.text);
}
