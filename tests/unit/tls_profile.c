#include "test.h"

#include "domain/tls_profile.h"

/* Snapshots: whoever weakens a profile has to change these lines too. */
static const struct {
    enum mg_tls_profile profile;
    const char *directives;
} snapshots[] = {
    {MG_TLS_PROFILE_RECOMMENDED,
     "    ssl_protocols TLSv1.2 TLSv1.3;\n"
     "    ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
     "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256;\n"
     "    ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
     "TLS_AES_128_GCM_SHA256;\n"},
    {MG_TLS_PROFILE_HIGH,
     "    ssl_protocols TLSv1.3;\n"
     "    ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
     "TLS_AES_128_GCM_SHA256;\n"},
    {MG_TLS_PROFILE_AES256, "    ssl_protocols TLSv1.2 TLSv1.3;\n"
                            "    ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384;\n"
                            "    ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;\n"},
    {MG_TLS_PROFILE_LEGACY,
     "    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;\n"
     "    ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
     "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
     "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"
     "AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA:AES128-SHA:@SECLEVEL=0;\n"
     "    ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
     "TLS_AES_128_GCM_SHA256;\n"},
};
static const char common_directives[] = "    ssl_ecdh_curve X25519:prime256v1:secp384r1;\n"
                                        "    ssl_prefer_server_ciphers on;\n"
                                        "    ssl_session_tickets off;\n"
                                        "    ssl_session_cache shared:masugata_tls:8m;\n"
                                        "    ssl_session_timeout 1h;\n"
                                        "    ssl_early_data off;\n";

static void
every_profile_matches_its_snapshot(void **state)
{
    (void) state;
    assert_int_equal(MG_COUNT(snapshots), MG_TLS_PROFILE_COUNT - 1);
    for (size_t i = 0; i < MG_COUNT(snapshots); i++) {
        OWN_BUFFER(made, 8192);
        OWN_BUFFER(wanted, 8192);
        assert_ok(mg_tls_profile_nginx(snapshots[i].profile, &made));
        assert_ok(mg_buffer_add_text(&wanted, snapshots[i].directives));
        assert_ok(mg_buffer_add_text(&wanted, common_directives));
        assert_string_equal(mg_buffer_text(&made), mg_buffer_text(&wanted));
    }
}

static void
a_weak_profile_needs_consent_and_an_unset_one_is_refused(void **state)
{
    (void) state;
    enum mg_tls_profile profile = MG_TLS_PROFILE_NONE;
    OWN_BUFFER(out, 64);
    assert_ok(mg_tls_profile_parse(mg_view_text("aes256"), false, &profile));
    assert_int_equal(profile, MG_TLS_PROFILE_AES256);
    assert_code(mg_tls_profile_parse(mg_view_text("legacy"), false, &profile), REFUSED);
    assert_int_equal(profile, MG_TLS_PROFILE_AES256);
    assert_ok(mg_tls_profile_parse(mg_view_text("legacy"), true, &profile));
    assert_code(mg_tls_profile_parse(mg_view_text("AES256"), true, &profile), INVALID);
    assert_code(mg_tls_profile_parse(MG_VIEW_EMPTY, true, &profile), INVALID);
    assert_code(mg_tls_profile_nginx(MG_TLS_PROFILE_NONE, &out), INVALID);
    assert_int_equal(out.length, 0);
}

/* What the claims promise of every profile that is not weak. */
static void
strong_profiles_have_forward_secrecy_and_aead_only(void **state)
{
    (void) state;
    for (int i = MG_TLS_PROFILE_NONE + 1; i < MG_TLS_PROFILE_COUNT; i++) {
        const struct mg_tls_profile_row *row = mg_tls_profile_row((enum mg_tls_profile) i);
        if (row->weak)
            continue;
        assert_int_equal(row->versions & ~(unsigned) (MG_TLS_1_2 | MG_TLS_1_3), 0);
        for (const char *at = row->ciphers; *at != '\0'; at += strcspn(at, ":"), at += *at == ':') {
            const size_t length = strcspn(at, ":");
            char cipher[64];
            assert_ok(mg_view_copy(mg_view_of(at, length), cipher, sizeof cipher));
            assert_memory_equal(cipher, "ECDHE-", 6);
            assert_true(strstr(cipher, "GCM") != NULL || strstr(cipher, "POLY1305") != NULL);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_profile_matches_its_snapshot),
        cmocka_unit_test(a_weak_profile_needs_consent_and_an_unset_one_is_refused),
        cmocka_unit_test(strong_profiles_have_forward_secrecy_and_aead_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
