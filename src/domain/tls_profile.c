#include "domain/tls_profile.h"

static const struct mg_tls_profile_row profile_rows[MG_TLS_PROFILE_COUNT] = {
#define TLS_PROFILE(NAME, name_text, is_weak, version_bits, cipher_list, suite_list, group_list, text_en, \
                    text_ja)                                                                              \
    [MG_TLS_PROFILE_##NAME] = {.name = (name_text),                                                       \
                               .weak = (is_weak),                                                         \
                               .versions = (version_bits),                                                \
                               .ciphers = (cipher_list),                                                  \
                               .suites = (suite_list),                                                    \
                               .groups = (group_list),                                                    \
                               .en = (text_en),                                                           \
                               .ja = (text_ja)},
#include "../../catalogue/tls_profiles.def"
#undef TLS_PROFILE
};

static const struct {
    enum mg_tls_version version;
    const char *name, *nginx;
} version_names[MG_TLS_VERSION_COUNT] = {
    {MG_SSL_2, "SSL 2", NULL},          {MG_SSL_3, "SSL 3", NULL},
    {MG_TLS_1_0, "TLS 1.0", "TLSv1"},   {MG_TLS_1_1, "TLS 1.1", "TLSv1.1"},
    {MG_TLS_1_2, "TLS 1.2", "TLSv1.2"}, {MG_TLS_1_3, "TLS 1.3", "TLSv1.3"},
};

const char *
mg_tls_version_name(unsigned version)
{
    for (size_t i = 0; i < MG_COUNT(version_names); i++)
        if ((unsigned) version_names[i].version == version)
            return version_names[i].name;
    return "unknown";
}

const struct mg_tls_profile_row *
mg_tls_profile_row(enum mg_tls_profile profile)
{
    if (profile <= MG_TLS_PROFILE_NONE || profile >= MG_TLS_PROFILE_COUNT)
        return NULL;
    return &profile_rows[profile];
}

struct mg_status
mg_tls_profile_parse(struct mg_view name, bool weak_allowed, enum mg_tls_profile *ret_profile)
{
    for (int i = MG_TLS_PROFILE_NONE + 1; i < MG_TLS_PROFILE_COUNT; i++) {
        if (!mg_view_is(name, profile_rows[i].name))
            continue;
        if (profile_rows[i].weak && !weak_allowed)
            return fail_with(REFUSED, "TLS profile %s is weak; set tls.legacy = yes to accept that",
                             profile_rows[i].name);
        *ret_profile = (enum mg_tls_profile) i;
        return OK;
    }
    return fail_with(INVALID, "TLS profile: allowed are recommended, high, aes256, legacy");
}

static struct mg_status
add_versions(unsigned versions, struct mg_buffer *buffer)
{
    TRY(mg_buffer_add_text(buffer, "    ssl_protocols"));
    for (size_t i = 0; i < MG_COUNT(version_names); i++)
        if ((versions & (unsigned) version_names[i].version) != 0 && version_names[i].nginx != NULL)
            TRY(mg_buffer_format(buffer, " %s", version_names[i].nginx));
    return mg_buffer_add_text(buffer, ";\n");
}

/* Tickets are off: a ticket key that lives as long as the worker would undo forward secrecy.
 * Resumption goes through the shared cache, whose entries die with the hour.
 * Control: EDGE_01, EDGE_03, EDGE_04, EDGE_05, EDGE_06 */
struct mg_status
mg_tls_profile_nginx(enum mg_tls_profile profile, struct mg_buffer *buffer)
{
    const struct mg_tls_profile_row *row = mg_tls_profile_row(profile);
    if (row == NULL)
        return fail_with(INVALID, "no TLS profile");
    TRY(add_versions(row->versions, buffer));
    if (row->ciphers[0] != '\0')
        TRY(mg_buffer_format(buffer, "    ssl_ciphers %s;\n", row->ciphers));
    TRY(mg_buffer_format(buffer, "    ssl_conf_command Ciphersuites %s;\n", row->suites));
    TRY(mg_buffer_format(buffer, "    ssl_ecdh_curve %s;\n", row->groups));
    return mg_buffer_add_text(buffer, "    ssl_prefer_server_ciphers on;\n"
                                      "    ssl_session_tickets off;\n"
                                      "    ssl_session_cache shared:masugata_tls:8m;\n"
                                      "    ssl_session_timeout 1h;\n"
                                      "    ssl_early_data off;\n");
}
