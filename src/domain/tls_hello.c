#include "domain/tls_hello.h"

#include "base/secret.h"
#include "domain/tls_suite.h"

#define HANDSHAKE_MOST 65536
#define RECORD_MOST (16384 + 2048)

static const struct {
    enum mg_tls_version version;
    uint16_t wire;
} wire_versions[] = {
    {MG_SSL_2, 0x0002},   {MG_SSL_3, 0x0300},   {MG_TLS_1_0, 0x0301},
    {MG_TLS_1_1, 0x0302}, {MG_TLS_1_2, 0x0303}, {MG_TLS_1_3, 0x0304},
};

unsigned
mg_tls_version_of_wire(uint16_t version)
{
    for (size_t i = 0; i < MG_COUNT(wire_versions); i++)
        if (wire_versions[i].wire == version)
            return (unsigned) wire_versions[i].version;
    return 0;
}

uint16_t
mg_tls_version_to_wire(enum mg_tls_version version)
{
    for (size_t i = 0; i < MG_COUNT(wire_versions); i++)
        if (wire_versions[i].version == version)
            return wire_versions[i].wire;
    return 0;
}

/* ---- writing ---- */

static struct mg_status
put16(struct mg_buffer *out, unsigned value)
{
    TRY(mg_buffer_add_byte(out, (uint8_t) (value >> 8)));
    return mg_buffer_add_byte(out, (uint8_t) value);
}

static struct mg_status
put_random(struct mg_buffer *out, size_t length)
{
    uint8_t bytes[32];
    mg_random(bytes, length);
    return mg_buffer_add(out, mg_view_of(bytes, length));
}

/* Leaves room for a 16-bit length; length16_close() fills it in. */
static struct mg_status
length16_open(struct mg_buffer *out, size_t *ret_mark)
{
    *ret_mark = out->length;
    return put16(out, 0);
}

static void
length16_close(struct mg_buffer *out, size_t mark)
{
    const size_t length = out->length - mark - 2;
    out->bytes[mark] = (uint8_t) (length >> 8);
    out->bytes[mark + 1] = (uint8_t) length;
}

static struct mg_status
put_extension(struct mg_buffer *out, unsigned type, struct mg_view body)
{
    TRY(put16(out, type));
    TRY(put16(out, (unsigned) body.length));
    return mg_buffer_add(out, body);
}

/* RFC 6066 section 3. */
static struct mg_status
put_server_name(struct mg_buffer *out, const char *name)
{
    const struct mg_view text = mg_view_text(name);
    if (text.length > 255)
        return fail_with(INVALID, "server name of %zu bytes", text.length);
    TRY(put16(out, 0));
    TRY(put16(out, (unsigned) text.length + 5));
    TRY(put16(out, (unsigned) text.length + 3));
    TRY(mg_buffer_add_byte(out, 0));
    TRY(put16(out, (unsigned) text.length));
    return mg_buffer_add(out, text);
}

static struct mg_status
put_groups(struct mg_buffer *out, const struct mg_client_hello *hello)
{
    static const uint16_t common[] = {0x001d, 0x0017, 0x001e, 0x0018, 0x0019, 0x0015, 0x0013, 0x0016,
                                      0x000e, 0x000d, 0x001a, 0x001b, 0x001c, 0x0100, 0x0101};
    const uint16_t *groups = hello->group_count > 0 ? hello->groups : common;
    const size_t count = hello->group_count > 0 ? hello->group_count : MG_COUNT(common);
    TRY(put16(out, 10));
    TRY(put16(out, (unsigned) (2 * count + 2)));
    TRY(put16(out, (unsigned) (2 * count)));
    for (size_t i = 0; i < count; i++)
        TRY(put16(out, groups[i]));
    return OK;
}

/* RFC 8446 section 4.2: an empty key_share makes the server name its group in a HelloRetryRequest. */
static struct mg_status
put_tls13_extensions(struct mg_buffer *out)
{
    TRY(put_extension(out, 43, mg_view_of("\x02\x03\x04", 3)));
    TRY(put_extension(out, 51, mg_view_of("\x00\x00", 2)));
    return put_extension(out, 45, mg_view_of("\x01\x01", 2));
}

static struct mg_status
put_extensions(struct mg_buffer *out, const struct mg_client_hello *hello)
{
    static const uint8_t signatures[] = {
        0x00, 0x20, 0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08, 0x09, 0x08, 0x0a, 0x08,
        0x0b, 0x08, 0x04, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01, 0x02, 0x03, 0x02, 0x01};
    size_t mark = 0;
    TRY(length16_open(out, &mark));
    if (hello->server_name != NULL)
        TRY(put_server_name(out, hello->server_name));
    TRY(put_groups(out, hello));
    TRY(put_extension(out, 11, mg_view_of("\x01\x00", 2)));
    if (hello->version >= MG_TLS_1_2)
        TRY(put_extension(out, 13, mg_view_of(signatures, sizeof signatures)));
    TRY(put_extension(out, 0xff01, mg_view_of("\x00", 1)));
    if (hello->ticket)
        TRY(put_extension(out, 35, MG_VIEW_EMPTY));
    if (hello->heartbeat)
        TRY(put_extension(out, 15, mg_view_of("\x01", 1)));
    if (hello->version == MG_TLS_1_3)
        TRY(put_tls13_extensions(out));
    length16_close(out, mark);
    return OK;
}

static struct mg_status
put_suites(struct mg_buffer *out, const struct mg_client_hello *hello)
{
    size_t mark = 0;
    TRY(length16_open(out, &mark));
    for (size_t i = 0; i < hello->suite_count; i++)
        TRY(put16(out, hello->suites[i]));
    if (hello->fallback)
        TRY(put16(out, 0x5600)); /* RFC 7507 */
    length16_close(out, mark);
    return OK;
}

/* The seven cipher kinds of SSL 2, three bytes each. */
static struct mg_status
put_ssl2(struct mg_buffer *out)
{
    static const uint8_t kinds[] = {0x01, 0x00, 0x80, 0x02, 0x00, 0x80, 0x03, 0x00, 0x80, 0x04, 0x00,
                                    0x80, 0x05, 0x00, 0x80, 0x06, 0x00, 0x40, 0x07, 0x00, 0xc0};
    TRY(put16(out, 0x8000 | (9 + sizeof kinds + 16)));
    TRY(mg_buffer_add_byte(out, 1));
    TRY(put16(out, 0x0002));
    TRY(put16(out, sizeof kinds));
    TRY(put16(out, 0));
    TRY(put16(out, 16));
    TRY(mg_buffer_add(out, mg_view_of(kinds, sizeof kinds)));
    return put_random(out, 16);
}

struct mg_status
mg_client_hello_encode(const struct mg_client_hello *hello, struct mg_buffer *out)
{
    if (hello->version == MG_SSL_2)
        return put_ssl2(out);
    const uint16_t wire = mg_tls_version_to_wire(hello->version);
    const uint16_t legacy = wire > 0x0303 ? 0x0303 : wire;
    size_t record = 0, message = 0;
    TRY(mg_buffer_add_byte(out, 22));
    TRY(put16(out, legacy > 0x0301 ? 0x0301 : legacy));
    TRY(length16_open(out, &record));
    TRY(mg_buffer_add(out, mg_view_of("\x01\x00", 2)));
    TRY(length16_open(out, &message));
    TRY(put16(out, legacy));
    TRY(put_random(out, 32));
    TRY(mg_buffer_add_byte(out, 32));
    TRY(put_random(out, 32));
    TRY(put_suites(out, hello));
    TRY(mg_buffer_add(out, hello->compression ? mg_view_of("\x02\x01\x00", 3) : mg_view_of("\x01\x00", 2)));
    if (hello->version != MG_SSL_3)
        TRY(put_extensions(out, hello));
    length16_close(out, message);
    length16_close(out, record);
    return OK;
}

/* ---- reading ---- */

struct cursor {
    const uint8_t *at, *end;
};

static size_t
left(const struct cursor *c)
{
    return (size_t) (c->end - c->at);
}

static bool
take(struct cursor *c, size_t length, struct cursor *ret_part)
{
    if (left(c) < length)
        return false;
    *ret_part = (struct cursor){.at = c->at, .end = c->at + length};
    c->at += length;
    return true;
}

static bool
get(struct cursor *c, unsigned size, uint32_t *ret_value)
{
    struct cursor part;
    if (!take(c, size, &part))
        return false;
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | part.at[i];
    *ret_value = value;
    return true;
}

/* A vector with a length of `size` bytes in front. */
static bool
get_vector(struct cursor *c, unsigned size, struct cursor *ret_part)
{
    uint32_t length = 0;
    return get(c, size, &length) && take(c, length, ret_part);
}

static bool
extension_read(unsigned type, struct cursor body, struct mg_server_answer *answer)
{
    uint32_t value = 0;
    if (type == 43) { /* supported_versions */
        if (!get(&body, 2, &value))
            return false;
        answer->version = (uint16_t) value;
    } else if (type == 51) { /* key_share */
        if (!get(&body, 2, &value))
            return false;
        answer->group = (uint16_t) value;
    } else if (type == 0xff01) {
        answer->renegotiation_info = true;
    } else if (type == 35) {
        answer->ticket = true;
    } else if (type == 15) {
        answer->heartbeat = true;
    }
    return true;
}

/* RFC 8446 section 4.1.3. */
static const uint8_t retry_random[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                         0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                         0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

/* SSL 3 to TLS 1.3, which are all that we offer; anything else is not an answer to us. */
static bool
is_version(uint16_t version)
{
    return version >> 8 == 0x03;
}

static bool
server_hello_read(struct cursor body, struct mg_server_answer *answer)
{
    uint32_t version = 0, suite = 0, compression = 0;
    struct cursor random, session, extensions;
    if (!get(&body, 2, &version) || !take(&body, 32, &random) || !get_vector(&body, 1, &session) ||
        !get(&body, 2, &suite) || !get(&body, 1, &compression))
        return false;
    answer->kind = memcmp(random.at, retry_random, 32) == 0 ? MG_ANSWER_RETRY : MG_ANSWER_HELLO;
    answer->downgrade_mark = memcmp(random.at + 24, "DOWNGRD", 7) == 0;
    answer->version = (uint16_t) version;
    answer->suite = (uint16_t) suite;
    answer->compression = (uint8_t) compression;
    if (left(&body) == 0)
        return is_version(answer->version);
    if (!get_vector(&body, 2, &extensions) || left(&body) != 0)
        return false;
    while (left(&extensions) > 0) {
        uint32_t type = 0;
        struct cursor content;
        if (!get(&extensions, 2, &type) || !get_vector(&extensions, 2, &content) ||
            !extension_read(type, content, answer))
            return false;
    }
    return is_version(answer->version);
}

static unsigned
prime_bits(struct cursor prime)
{
    while (left(&prime) > 0 && *prime.at == 0)
        prime.at++;
    if (left(&prime) == 0)
        return 0;
    unsigned bits = (unsigned) (left(&prime) - 1) * 8;
    for (uint8_t top = *prime.at; top != 0; top >>= 1)
        bits++;
    return bits;
}

/* RFC 5246 section 7.4.3, RFC 8422 section 5.4. Which form it has follows from the suite. */
static bool
key_exchange_read(struct cursor body, struct mg_server_answer *answer)
{
    const struct mg_tls_suite suite = mg_tls_suite_of(answer->suite);
    uint32_t curve_type = 0, curve = 0;
    struct cursor prime;
    if (suite.key_exchange == MG_KEY_EXCHANGE_OTHER)
        return true;
    if (suite.key_exchange == MG_KEY_EXCHANGE_PRIME) {
        if (!get_vector(&body, 2, &prime))
            return false;
        answer->dh_bits = prime_bits(prime);
        return true;
    }
    if (!get(&body, 1, &curve_type))
        return false;
    if (curve_type == 3 && get(&body, 2, &curve))
        answer->group = (uint16_t) curve;
    return true;
}

/* Handshake messages one after another; *ret_more if the last one is cut. */
static struct mg_status
handshake_read(struct cursor c, struct mg_server_answer *answer, bool *ret_more)
{
    while (left(&c) >= 4) {
        uint32_t type = 0, length = 0;
        struct cursor body;
        (void) get(&c, 1, &type);
        (void) get(&c, 3, &length);
        if (length > HANDSHAKE_MOST)
            return fail_with(MALFORMED, "TLS handshake message of %u bytes", (unsigned) length);
        if (!take(&c, length, &body)) {
            *ret_more = true;
            return OK;
        }
        if (type == 2 && answer->kind == MG_ANSWER_NONE) {
            if (!server_hello_read(body, answer))
                return fail_with(MALFORMED, "TLS ServerHello");
            answer->complete = answer->version >= 0x0304;
        } else if (type == 12 && !key_exchange_read(body, answer)) {
            return fail_with(MALFORMED, "TLS ServerKeyExchange");
        } else if (type == 14) {
            answer->complete = true;
        }
    }
    *ret_more = !answer->complete;
    return OK;
}

static bool
ssl2_read(struct cursor c, struct mg_server_answer *answer)
{
    uint32_t length = 0, type = 0, version = 0;
    if (left(&c) < 7 || (c.at[0] & 0x80) == 0)
        return false;
    (void) get(&c, 2, &length);
    (void) get(&c, 1, &type);
    c.at += 2; /* session-id-hit, certificate type */
    if (type != 4 || !get(&c, 2, &version) || version != 0x0002)
        return false;
    *answer = (struct mg_server_answer){.kind = MG_ANSWER_SSL2, .version = 0x0002, .complete = true};
    return true;
}

/* Copies the handshake records into one run of bytes; an alert or another record ends it. */
static struct mg_status
records_join(struct cursor c, struct mg_buffer *handshake, struct mg_server_answer *answer, bool *ret_more)
{
    *ret_more = true;
    while (left(&c) >= 5) {
        uint32_t type = 0, version = 0;
        struct cursor body;
        const struct cursor start = c;
        (void) get(&c, 1, &type);
        (void) get(&c, 2, &version);
        if (type < 20 || type > 24 || version >> 8 != 3) {
            answer->kind = handshake->length == 0 ? MG_ANSWER_OTHER : answer->kind;
            *ret_more = false;
            return OK;
        }
        if ((start.at[3] << 8 | start.at[4]) > RECORD_MOST)
            return fail_with(MALFORMED, "TLS record of %d bytes", start.at[3] << 8 | start.at[4]);
        if (!get_vector(&c, 2, &body))
            return OK;
        if (type == 21 && left(&body) >= 2) {
            answer->kind = MG_ANSWER_ALERT;
            answer->alert = body.at[1];
        }
        if (type != 22) {
            *ret_more = false;
            return OK;
        }
        TRY(mg_buffer_add(handshake, mg_view_of(body.at, left(&body))));
    }
    return OK;
}

struct mg_status
mg_server_answer_decode(struct mg_view bytes, struct mg_server_answer *ret_answer, bool *ret_more)
{
    const struct cursor all = {.at = bytes.bytes, .end = bytes.bytes + bytes.length};
    struct mg_server_answer answer = {.kind = MG_ANSWER_NONE};
    bool more_records = true, more = false;
    OWN_BUFFER(handshake, MG_ANSWER_MOST);
    if (bytes.length >= 7 && ssl2_read(all, &answer)) {
        *ret_answer = answer;
        *ret_more = false;
        return OK;
    }
    TRY(records_join(all, &handshake, &answer, &more_records));
    const struct mg_server_answer ended = answer;
    answer.kind = MG_ANSWER_NONE;
    if (handshake.length > 0)
        TRY(handshake_read((struct cursor){.at = handshake.bytes, .end = handshake.bytes + handshake.length},
                           &answer, &more));
    if (answer.kind == MG_ANSWER_NONE)
        answer = ended;
    *ret_answer = answer;
    *ret_more = more_records && !answer.complete;
    return OK;
}
