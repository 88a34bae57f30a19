#include "test.h"

#include "ports/nginx_configuration.h"

#include <stdio.h>

static const char *const addresses[] = {"127.0.0.1", "[::1]"};
static const char *const app_hosts[] = {"acme.localhost", "www.acme.localhost"};
static const char *const sign_in_hosts[] = {"id.acme.localhost"};

static struct mg_site sites[2];

static struct mg_nginx_configuration
sample(void)
{
    sites[0] = (struct mg_site){.kind = MG_SITE_APP,
                                .tenant = 1,
                                .hosts = app_hosts,
                                .host_count = 2,
                                .upstream = "127.0.0.1:3000",
                                .certificate = "/d/tls/demo.pem",
                                .private_key = "/r/tls/demo.key"};
    sites[1] = (struct mg_site){.kind = MG_SITE_SIGN_IN,
                                .tenant = 1,
                                .hosts = sign_in_hosts,
                                .host_count = 1,
                                .certificate = "/d/tls/demo.pem",
                                .private_key = "/r/tls/demo.key"};
    return (struct mg_nginx_configuration){.directory = "/d",
                                           .runtime_directory = "/r",
                                           .addresses = addresses,
                                           .address_count = 2,
                                           .https_port = 8443,
                                           .http_port = 8080,
                                           .tls_profile = MG_TLS_PROFILE_AES256,
                                           .sites = sites,
                                           .site_count = 2};
}

static void
assert_has(const struct mg_buffer *text, const char *line)
{
    if (strstr(mg_buffer_text(text), line) == NULL)
        fail_msg("missing: %s", line);
}

static void
the_file_has_what_the_claims_need(void **state)
{
    (void) state;
    const struct mg_nginx_configuration configuration = sample();
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    assert_ok(mg_nginx_configuration_render(&configuration, &text));
    assert_has(&text, "ssl_reject_handshake on;");
    assert_has(&text, "server_tokens off;");
    assert_has(&text, "listen [::1]:8443 ssl http2;");
    assert_has(&text, "return 308 https://$host:8443$request_uri;");
    assert_has(&text, "proxy_request_buffering off;");
    assert_has(&text, "proxy_buffering off;");
    assert_has(&text, "client_max_body_size 0;");
    assert_has(&text, "server_name acme.localhost www.acme.localhost;");
    assert_has(&text, "location ^~ /.well-known/masugata/ {");
    assert_has(&text, "location = /.well-known/security.txt {");
    /* What may carry a secret is not in the log's format. */
    assert_null(strstr(mg_buffer_text(&text), "$args"));
    assert_null(strstr(mg_buffer_text(&text), "$request\""));
    assert_null(strstr(mg_buffer_text(&text), "$http_cookie"));
    assert_null(strstr(mg_buffer_text(&text), "$http_referer"));
}

static void
on_the_standard_port_no_number_is_named(void **state)
{
    (void) state;
    struct mg_nginx_configuration configuration = sample();
    configuration.https_port = 443;
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    assert_ok(mg_nginx_configuration_render(&configuration, &text));
    assert_has(&text, "return 308 https://$host$request_uri;");
    assert_has(&text, "proxy_set_header Host $host;");
}

static void
with_the_module_the_gate_decides_on_every_site(void **state)
{
    (void) state;
    struct mg_nginx_configuration configuration = sample();
    configuration.module_path = "/usr/lib/nginx/modules/ngx_http_masugata_module.so";
    configuration.requests_per_address = 200;
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    assert_ok(mg_nginx_configuration_render(&configuration, &text));
    assert_has(&text, "masugata_directory \"/r/gate\";");
    assert_has(&text, "limit_conn_zone $masugata_client zone=masugata_address:8m;");
    size_t gates = 0;
    for (const char *at = mg_buffer_text(&text); (at = strstr(at, "masugata on;")) != NULL; at++)
        gates++;
    assert_int_equal(gates, configuration.site_count + 1); /* and the default one */
}

/* Every value that comes from outside, with text that would end its directive. */
static void
no_value_can_write_a_directive(void **state)
{
    (void) state;
    static const char *const bad[] = {"a;b", "a b", "a{b",  "a}b", "a\"b", "a\nb",
                                      "a$b", "a#b", "a\\b", "",    "a'b"};
    for (size_t i = 0; i < MG_COUNT(bad); i++) {
        OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
        const char *const one[] = {bad[i]};
        char path[32];
        (void) snprintf(path, sizeof path, "/%s", bad[i]);
        struct mg_nginx_configuration configuration = sample();
        sites[0].hosts = one;
        sites[0].host_count = 1;
        assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
        configuration = sample();
        sites[0].upstream = bad[i];
        assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
        configuration = sample();
        configuration.addresses = one;
        configuration.address_count = 1;
        assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
        configuration = sample();
        configuration.user = bad[i];
        assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
        if (strpbrk(bad[i], " #") == NULL && bad[i][0] != '\0') {
            configuration = sample();
            sites[1].certificate = path;
            assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
            configuration = sample();
            configuration.module_path = path;
            assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
        }
    }
}

static void
a_host_is_claimed_once(void **state)
{
    (void) state;
    const struct mg_nginx_configuration configuration = sample();
    sites[1].hosts = &app_hosts[1];
    OWN_BUFFER(text, MG_NGINX_CONFIGURATION_MOST);
    assert_code(mg_nginx_configuration_render(&configuration, &text), INVALID);
}

static void
host_names_are_lower_case_labels(void **state)
{
    (void) state;
    static const char *const good[] = {"a", "acme.localhost", "xn--eckwd4c7c.example", "a-b.c1"};
    static const char *const bad[] = {"",   ".",    "a.",  ".a",  "a..b", "-a",
                                      "a-", "a-.b", "A.b", "a_b", "*.a",  "a:1"};
    for (size_t i = 0; i < MG_COUNT(good); i++)
        assert_true(mg_host_is_valid(mg_view_text(good[i])));
    for (size_t i = 0; i < MG_COUNT(bad); i++)
        assert_false(mg_host_is_valid(mg_view_text(bad[i])));
    char label[65];
    memset(label, 'a', 64);
    assert_true(mg_host_is_valid(mg_view_of(label, 63)));
    assert_false(mg_host_is_valid(mg_view_of(label, 64)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_has_what_the_claims_need),
        cmocka_unit_test(on_the_standard_port_no_number_is_named),
        cmocka_unit_test(with_the_module_the_gate_decides_on_every_site),
        cmocka_unit_test(no_value_can_write_a_directive),
        cmocka_unit_test(a_host_is_claimed_once),
        cmocka_unit_test(host_names_are_lower_case_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
