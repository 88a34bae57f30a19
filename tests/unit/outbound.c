/* Fetches for somebody else: they reach a provider, and cannot be led inside by names, by changing answers of
 * the resolver, by redirects or by how an address is written. */
#include "ports/outbound.h"
#include "base/time.h"
#include "ports/openssl.h"
#include "wire/options.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a provider on this machine: TLS under the name idp.test, with its own certificate ---- */

static struct {
    SSL_CTX *tls;
    int listener;
    unsigned port;
    atomic_int connections, requests;
    pthread_t thread;
    struct mg_outbound_authorities *authorities;
} server;

static void
answer(SSL *tls)
{
    char request[8192], reply[512];
    static char large[8192];
    const int length = SSL_read(tls, request, sizeof request - 1);
    if (length <= 0)
        return;
    request[length] = '\0';
    (void) atomic_fetch_add(&server.requests, 1);
    if (strstr(request, "GET /hang") != NULL) {
        (void) sleep(8);
        return;
    }
    if (strstr(request, "GET /moved") != NULL)
        (void) snprintf(
            reply, sizeof reply,
            "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:%u/inside\r\nContent-Length: 0\r\n\r\n",
            server.port);
    else if (strstr(request, "GET /large") != NULL) {
        memset(large, 'x', sizeof large);
        (void) snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizeof large);
        (void) SSL_write(tls, reply, (int) strlen(reply));
        (void) SSL_write(tls, large, sizeof large);
        return;
    } else
        (void) snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%s",
                        strstr(request, "POST ") != NULL ? "p:" : "g:");
    (void) SSL_write(tls, reply, (int) strlen(reply));
}

static void *
serve(void *unused)
{
    for (;;) {
        const int fd = accept(server.listener, NULL, NULL);
        if (fd < 0)
            return unused;
        (void) atomic_fetch_add(&server.connections, 1);
        SSL *tls = SSL_new(server.tls);
        (void) SSL_set_fd(tls, fd);
        if (SSL_accept(tls) == 1)
            answer(tls);
        (void) SSL_shutdown(tls);
        SSL_free(tls);
        (void) close(fd);
    }
}

static void
certificate_make(EVP_PKEY *key, X509 *certificate)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    X509V3_CTX context;
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), 3600));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *) "idp.test", -1, -1, 0), 1);
    assert_int_equal(X509_set_issuer_name(certificate, name), 1);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, "DNS:idp.test,DNS:evil.test");
    assert_int_equal(X509_add_ext(certificate, names, -1), 1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static int
start_server(void **state)
{
    (void) state;
    OWN_PKEY key = EVP_EC_gen("P-256");
    OWN_X509 certificate = X509_new();
    OWN_BIO pem = BIO_new(BIO_s_mem());
    certificate_make(key, certificate);
    assert_int_equal(PEM_write_bio_X509(pem, certificate), 1);
    char text[4096];
    const int text_length = BIO_read(pem, text, sizeof text);
    assert_true(text_length > 0);
    assert_true(
        mg_ok(mg_outbound_authorities_read(mg_view_of(text, (size_t) text_length), &server.authorities)));
    server.tls = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(server.tls, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server.tls, key), 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(listen(server.listener, 16), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *) &address, &length), 0);
    server.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    return mg_ok(mg_outbound_start()) ? 0 : 1;
}

/* ---- a resolver whose answers change ---- */

struct answers {
    const char *const *rounds; /* each a list of addresses with spaces between; the last one stays */
    size_t count, asked;
};

static struct mg_status
resolve(void *context, const char *host, struct mg_address addresses[MG_OUTBOUND_ADDRESSES_MOST],
        size_t *ret_count)
{
    struct answers *answers = context;
    (void) host;
    const char *cursor =
        answers->rounds[answers->asked < answers->count ? answers->asked : answers->count - 1];
    struct mg_view word;
    answers->asked++;
    *ret_count = 0;
    while (mg_option_word(&cursor, &word))
        assert_true(mg_ok(mg_address_parse(word, &addresses[(*ret_count)++])));
    return *ret_count > 0 ? OK : mg_fail_with(MG_UNAVAILABLE, MG_HERE, "no address");
}

static enum mg_federation_refusal
fetch(const struct mg_outbound_rules *rules, const char *format, ...)
{
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    char url[512];
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(url, sizeof url, format, arguments);
    va_end(arguments);
    const struct mg_outbound_request request = {.url = url, .most = 4096};
    assert_true(mg_ok(mg_outbound_fetch(rules, &request, &answer)));
    if (answer.refusal == MG_FEDERATION_NONE)
        assert_true(answer.status == 200 && mg_view_is(mg_buffer_view(&answer.body), "g:"));
    else
        assert_true(answer.detail[0] != '\0');
    return answer.refusal;
}

static struct mg_outbound_rules
rules_with(struct answers *answers, const char *inside)
{
    return (struct mg_outbound_rules){
        .inside = inside, .authorities = server.authorities, .resolve = resolve, .resolve_context = answers};
}

/* ---- tests ---- */

static void
a_provider_is_reached_at_the_address_that_was_judged(void **state)
{
    (void) state;
    static const char *const rounds[] = {"127.0.0.1", "10.9.9.9"};
    struct answers answers = {rounds, 2, 0};
    const struct mg_outbound_rules rules = rules_with(&answers, "other.test idp.test");
    /* idp.test is no name that the system knows: what answers is what our resolver said, asked once. */
    assert_int_equal(fetch(&rules, "https://idp.test:%u/", server.port), MG_FEDERATION_NONE);
    assert_int_equal(answers.asked, 1);
    MG_CLEANUP(mg_outbound_answer_drop) struct mg_outbound_answer answer = {.body = MG_BUFFER(0)};
    char url[64];
    answers.asked = 0;
    (void) snprintf(url, sizeof url, "https://idp.test:%u/token", server.port);
    const struct mg_outbound_request post = {
        .url = url, .form = mg_view_text("a=b"), .authorization = "Basic eA==", .most = 64};
    assert_true(mg_ok(mg_outbound_fetch(&rules, &post, &answer)));
    assert_true(mg_view_is(mg_buffer_view(&answer.body), "p:"));
}

static void
names_do_not_lead_inside(void **state)
{
    (void) state;
    static const char *const inside[] = {"127.0.0.1",        "10.0.0.1",
                                         "169.254.169.254",  "::1",
                                         "::ffff:127.0.0.1", "8.8.8.8 127.0.0.1" /* one of both */,
                                         "fd00::1"};
    const int before = atomic_load(&server.connections);
    for (size_t i = 0; i < MG_COUNT(inside); i++) {
        struct answers answers = {&inside[i], 1, 0};
        const struct mg_outbound_rules rules = rules_with(&answers, "idp.test");
        assert_int_equal(fetch(&rules, "https://evil.test:%u/", server.port), MG_FEDERATION_ADDRESS);
        assert_int_equal(answers.asked, 1);
    }
    assert_int_equal(atomic_load(&server.connections), before);
}

/* The second answer is the inside one (DNS rebinding): the first fetch goes nowhere else, because the name is
 * asked once a fetch and the connection pinned; the second fetch is refused. */
static void
an_answer_that_changes_changes_nothing(void **state)
{
    (void) state;
    static const char *const rounds[] = {"240.0.0.0", "127.0.0.1"};
    static const char *const allowed[] = {"127.0.0.9", "127.0.0.1"};
    struct answers answers = {rounds, 2, 0}, pinned = {allowed, 2, 0};
    const struct mg_outbound_rules rules = rules_with(&answers, ""), inside = rules_with(&pinned, "idp.test");
    const int before = atomic_load(&server.connections);
    assert_int_equal(fetch(&rules, "https://idp.test:%u/", server.port), MG_FEDERATION_ADDRESS);
    assert_int_equal(fetch(&rules, "https://idp.test:%u/", server.port), MG_FEDERATION_ADDRESS);
    /* Nobody listens at 127.0.0.9; a second look-up would have found the server. */
    assert_int_equal(fetch(&inside, "https://idp.test:%u/", server.port), MG_FEDERATION_UNREACHABLE);
    assert_int_equal(pinned.asked, 1);
    assert_int_equal(atomic_load(&server.connections), before);
}

static void
redirects_are_not_followed(void **state)
{
    (void) state;
    static const char *const rounds[] = {"127.0.0.1"};
    struct answers answers = {rounds, 1, 0};
    const struct mg_outbound_rules rules = rules_with(&answers, "idp.test");
    const int before = atomic_load(&server.requests);
    assert_int_equal(fetch(&rules, "https://idp.test:%u/moved", server.port), MG_FEDERATION_REDIRECT);
    assert_int_equal(atomic_load(&server.requests), before + 1);
}

static void
size_and_time_are_bounded(void **state)
{
    (void) state;
    static const char *const rounds[] = {"127.0.0.1"};
    struct answers answers = {rounds, 1, 0};
    const struct mg_outbound_rules rules = rules_with(&answers, "idp.test");
    assert_int_equal(fetch(&rules, "https://idp.test:%u/large", server.port), MG_FEDERATION_ANSWER);
    const int64_t began_ms = mg_monotonic_ms();
    assert_int_equal(fetch(&rules, "https://idp.test:%u/hang", server.port), MG_FEDERATION_UNREACHABLE);
    assert_true(mg_monotonic_ms() - began_ms < MG_OUTBOUND_TIME_MS + 1500);
}

static void
addresses_are_judged_however_they_are_written(void **state)
{
    (void) state;
    static const char *const inside[] = {"https://127.0.0.1:%u/",          "https://[::1]:%u/",
                                         "https://[::ffff:127.0.0.1]:%u/", "https://0x7f000001:%u/",
                                         "https://2130706433:%u/",         "https://127.1:%u/",
                                         "https://0177.0.0.1:%u/",         "https://localhost:%u/"};
    static const char *const nothing[] = {
        "http://idp.test:%u/",   "ftp://idp.test:%u/", "https://user@idp.test:%u/",
        "file:///etc/passwd?%u", "//idp.test:%u/",     "idp.test:%u",
        "https://:%u/"};
    const struct mg_outbound_rules rules = {.inside = "idp.test", .authorities = server.authorities};
    const int before = atomic_load(&server.connections);
    for (size_t i = 0; i < MG_COUNT(inside); i++)
        if (fetch(&rules, inside[i], server.port) != MG_FEDERATION_ADDRESS)
            fail_msg("%s was not refused as an inside address", inside[i]);
    for (size_t i = 0; i < MG_COUNT(nothing); i++)
        if (fetch(&rules, nothing[i], server.port) != MG_FEDERATION_ANSWER)
            fail_msg("%s was taken for an address to fetch from", nothing[i]);
    assert_int_equal(atomic_load(&server.connections), before);
}

static void
a_server_that_cannot_prove_its_name_is_not_believed(void **state)
{
    (void) state;
    static const char *const rounds[] = {"127.0.0.1"};
    struct answers answers = {rounds, 1, 0};
    struct mg_outbound_rules rules = rules_with(&answers, "idp.test other.test");
    const int before = atomic_load(&server.requests);
    assert_int_equal(fetch(&rules, "https://other.test:%u/", server.port), MG_FEDERATION_UNREACHABLE);
    rules.authorities = NULL; /* the system's, which do not know this one */
    assert_int_equal(fetch(&rules, "https://idp.test:%u/", server.port), MG_FEDERATION_UNREACHABLE);
    assert_int_equal(atomic_load(&server.requests), before);
}

static void
authorities_are_certificates(void **state)
{
    (void) state;
    static const char *const wrong[] = {"", "no certificate at all",
                                        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"};
    struct mg_outbound_authorities *authorities = NULL;
    for (size_t i = 0; i < MG_COUNT(wrong); i++)
        assert_int_equal(mg_outbound_authorities_read(mg_view_text(wrong[i]), &authorities).code, MG_INVALID);
    assert_null(authorities);
}

static int
stop_server(void **state)
{
    (void) state;
    mg_outbound_stop();
    mg_outbound_authorities_drop(&server.authorities);
    return 0;
}

int
main(void)
{
    (void) signal(SIGPIPE,
                  SIG_IGN); /* as the processes do: a client that hangs up is no end of the test's server */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_provider_is_reached_at_the_address_that_was_judged),
        cmocka_unit_test(names_do_not_lead_inside),
        cmocka_unit_test(an_answer_that_changes_changes_nothing),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(addresses_are_judged_however_they_are_written),
        cmocka_unit_test(a_server_that_cannot_prove_its_name_is_not_believed),
        cmocka_unit_test(authorities_are_certificates),
        cmocka_unit_test(size_and_time_are_bounded),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
