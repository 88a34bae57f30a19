#include "domain/tls_suite.h"

static const struct {
    uint16_t number;
    const char *name;
} rows[MG_TLS_SUITE_COUNT] = {
#define TLS_SUITE(suite_number, suite_name) {(suite_number), (suite_name)},
#include "../../catalogue/tls_suites.def"
#undef TLS_SUITE
};

static bool
begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

static bool
has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

/* The first part found decides, so the weaker ones stand first. */
static unsigned
bits_of(const char *name)
{
    static const struct {
        const char *part;
        unsigned bits;
    } strengths[] = {
        {"WITH_NULL", 0}, {"EXPORT1024", 56}, {"EXPORT", 40},    {"_40_", 40},   {"DES40", 40},
        {"_56_", 56},     {"3DES", 112},      {"DES_CBC", 56},   {"_128", 128},  {"IDEA", 128},
        {"SEED", 128},    {"_256_", 256},     {"CHACHA20", 256}, {"28147", 256},
    };
    for (size_t i = 0; i < MG_COUNT(strengths); i++)
        if (has(name, strengths[i].part))
            return strengths[i].bits;
    return 0;
}

static bool
is_ephemeral(const char *name)
{
    return begins(name, "TLS_ECDHE_") || begins(name, "TLS_DHE_") || begins(name, "TLS_PSK_DHE_") ||
           begins(name, "TLS_CECPQ1_");
}

static enum mg_key_exchange
key_exchange_of(const char *name)
{
    if (begins(name, "TLS_DHE_RSA_") || begins(name, "TLS_DHE_DSS_") || begins(name, "TLS_DH_anon_"))
        return MG_KEY_EXCHANGE_PRIME;
    if (begins(name, "TLS_ECDHE_RSA_") || begins(name, "TLS_ECDHE_ECDSA_") || begins(name, "TLS_ECDH_anon_"))
        return MG_KEY_EXCHANGE_CURVE;
    return MG_KEY_EXCHANGE_OTHER;
}

static struct mg_tls_suite
judge(uint16_t number, const char *name)
{
    const bool tls13 = number >> 8 == 0x13;
    return (struct mg_tls_suite){
        .number = number,
        .name = name,
        .bits = bits_of(name),
        .tls13 = tls13,
        .forward_secrecy = tls13 || is_ephemeral(name),
        .aead = has(name, "_GCM_") || has(name, "_CCM") || has(name, "POLY1305"),
        .anonymous = has(name, "_anon_") || begins(name, "TLS_NULL_"),
        .export_grade = has(name, "EXPORT"),
        .rc4 = has(name, "RC4"),
        .small_blocks = has(name, "3DES") || has(name, "IDEA") || has(name, "DES_CBC") ||
                        has(name, "DES40") || has(name, "RC2") || has(name, "28147"),
        .rsa_transport = begins(name, "TLS_RSA_"),
        .key_exchange = key_exchange_of(name),
    };
}

struct mg_tls_suite
mg_tls_suite_at(size_t index)
{
    mg_must(index < MG_TLS_SUITE_COUNT);
    return judge(rows[index].number, rows[index].name);
}

struct mg_tls_suite
mg_tls_suite_of(uint16_t number)
{
    for (size_t i = 0; i < MG_TLS_SUITE_COUNT; i++)
        if (rows[i].number == number)
            return judge(number, rows[i].name);
    return (struct mg_tls_suite){.number = number, .name = "unknown"};
}
