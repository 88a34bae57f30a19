/* The OpenID provider that the prober is: whoever else on this machine connects holds it for seconds at most,
 * does not keep it from closing, and puts no word of theirs into what came with the code. */
#include "test.h"

#include "ports/self_signed.h"
#include "process/prober/prober.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CODE "0123456789abcdef0123456789abcdef"
#define TOKEN "{\"id_token\":\"t\"}"

enum { DRIBBLE_MS = 200, HELD_MS = 5000, SLACK_MS = 30000 /* for a machine that does much else */ };

struct mg_status
mg_call_drill_provider(const struct mg_request_drill_provider *request, struct mg_reply_drill_provider *reply,
                       struct mg_buffer *storage, int timeout_ms)
{
    (void) reply;
    (void) storage;
    (void) timeout_ms;
    return request->certificate.length != 0 ? OK : fail(INVALID);
}

struct world {
    uint8_t secret[MG_KEY_BYTES];
    struct mg_signing_key *key;
    struct mg_buffer certificate;
    struct mg_probe_provider provider;
    SSL_CTX *tls; /* of whoever connects */
};

static int
world_open(void **state)
{
    struct world *it = calloc(1, sizeof *it);
    assert_non_null(it);
    *state = it;
    it->certificate = MG_BUFFER(4096);
    assert_ok(mg_signing_key_generate(MG_ES256, it->secret));
    assert_ok(mg_signing_key_new(MG_ES256, it->secret, &it->key));
    assert_ok(mg_self_signed(mg_signing_key_openssl(it->key), mg_view_text("test"), "provider.test", mg_now(),
                             1, &it->certificate));
    it->provider = (struct mg_probe_provider){.key = it->key,
                                              .certificate = mg_buffer_view(&it->certificate),
                                              .code = CODE,
                                              .lock = PTHREAD_MUTEX_INITIALIZER,
                                              .token = MG_BUFFER(8192),
                                              .asked = MG_BUFFER(8192)};
    assert_ok(mg_buffer_add_text(&it->provider.token, TOKEN));
    it->tls = SSL_CTX_new(TLS_client_method());
    assert_non_null(it->tls);
    assert_ok(mg_prober_provider_open(NULL, &it->provider));
    return 0;
}

static int
world_close(void **state)
{
    struct world *it = *state;
    mg_prober_provider_close(&it->provider);
    mg_buffer_drop(&it->provider.token);
    mg_buffer_drop(&it->provider.asked);
    mg_buffer_drop(&it->certificate);
    mg_signing_key_drop(&it->key);
    SSL_CTX_free(it->tls);
    free(it);
    return 0;
}

static int
reach(const struct world *it)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(it->provider.port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && inet_pton(AF_INET, MG_DRILL_PROVIDER_ADDRESS, &address.sin_addr) == 1);
    assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof address), 0);
    return fd;
}

static SSL *
reach_tls(const struct world *it, int fd)
{
    SSL *tls = SSL_new(it->tls);
    assert_true(tls != NULL && SSL_set_fd(tls, fd) == 1 && SSL_connect(tls) == 1);
    return tls;
}

/* The answer to a form at the token endpoint. */
static void
trade(const struct world *it, const char *form, char *answer, size_t size)
{
    char request[512];
    const int fd = reach(it);
    SSL *tls = reach_tls(it, fd);
    size_t length = 0;
    (void) snprintf(request, sizeof request, "POST /x/token HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(form), form);
    assert_true(SSL_write(tls, request, (int) strlen(request)) > 0);
    for (int got; length + 1 < size && (got = SSL_read(tls, answer + length, (int) (size - length - 1))) > 0;)
        length += (size_t) got;
    answer[length] = '\0';
    SSL_free(tls);
    assert_int_equal(close(fd), 0);
}

static void
assert_asked(struct world *it, const char *form)
{
    assert_int_equal(pthread_mutex_lock(&it->provider.lock), 0);
    assert_string_equal(mg_buffer_text(&it->provider.asked), form);
    assert_int_equal(pthread_mutex_unlock(&it->provider.lock), 0);
}

static void
only_forms_with_the_code_count(void **state)
{
    struct world *it = *state;
    static const char right[] = "grant_type=authorization_code&code=" CODE "&code_verifier=right";
    static const char *const strange[] = {"",
                                          "code_verifier=wrong",
                                          "code=probe&code_verifier=wrong",
                                          "code=" CODE "0&code_verifier=wrong",
                                          "code_verifier=" CODE,
                                          "code=other&code=" CODE,
                                          "%63ode=" CODE,
                                          "code=%"};
    char answer[1024];
    trade(it, right, answer, sizeof answer);
    assert_non_null(strstr(answer, TOKEN));
    assert_asked(it, right);
    for (size_t i = 0; i < MG_COUNT(strange); i++) {
        trade(it, strange[i], answer, sizeof answer);
        assert_non_null(strstr(answer, "404 "));
        assert_null(strstr(answer, TOKEN));
        assert_asked(it, right);
    }
}

/* A byte at a time, each before anybody would lose patience: in all it is cut off. Whoever waited behind is
 * served then. */
static void
dribbling_ends(void **state)
{
    struct world *it = *state;
    char answer[1024];
    const int fd = reach(it);
    SSL *tls = reach_tls(it, fd);
    const int64_t start_ms = mg_monotonic_ms();
    struct pollfd cut = {.fd = fd, .events = POLLRDHUP};
    do {
        assert_true(mg_monotonic_ms() - start_ms < HELD_MS + SLACK_MS);
        (void) SSL_write(tls, "x", 1);
    } while (poll(&cut, 1, DRIBBLE_MS) == 0 || (cut.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0);
    SSL_free(tls);
    assert_int_equal(close(fd), 0);
    trade(it, "code=" CODE, answer, sizeof answer);
    assert_non_null(strstr(answer, TOKEN));
}

/* It does not wait for the few seconds either. */
static void
closing_does_not_wait(void **state)
{
    struct world *it = *state;
    const int silent = reach(it);
    const int fd = reach(it);
    (void) poll(NULL, 0, DRIBBLE_MS); /* mostly enough for the first to be taken; it closes in any case */
    const int64_t start_ms = mg_monotonic_ms();
    mg_prober_provider_close(&it->provider);
    assert_true(mg_monotonic_ms() - start_ms < HELD_MS - DRIBBLE_MS);
    assert_null(it->provider.server);
    assert_int_equal(close(silent), 0);
    assert_int_equal(close(fd), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_forms_with_the_code_count, world_open, world_close),
        cmocka_unit_test_setup_teardown(dribbling_ends, world_open, world_close),
        cmocka_unit_test_setup_teardown(closing_does_not_wait, world_open, world_close),
    };
    (void) signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
