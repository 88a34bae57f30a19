#include "process/prober/handshake.h"

#include "base/time.h"
#include "wire/options.h"

/* Everywhere is here as well. */
static const char *
reachable(const char *address)
{
    if (strcmp(address, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(address, "::") == 0 || strcmp(address, "[::]") == 0 ? "::1" : address;
}

static CHECKED struct mg_status
target_fill(const struct mg_observer *observer, const char *host, char address[128],
            struct mg_tls_target *target)
{
    struct mg_view word;
    const char *cursor = observer->options->gate_address;
    if (!mg_option_word(&cursor, &word)) /* several addresses: the first; the settings are one for all */
        return fail_with(INVALID, "gate.address is empty");
    TRY(mg_view_copy(word, address, 128));
    *target = (struct mg_tls_target){.address = reachable(address),
                                     .port = (uint16_t) observer->options->gate_https_port,
                                     .server_name = host,
                                     .timeout_ms = 3000};
    return OK;
}

struct mg_status
mg_prober_tls_ask(struct mg_observer *observer, const char *host, const struct mg_client_hello *hello,
                  struct mg_server_answer *ret_answer)
{
    char address[128];
    struct mg_tls_target target;
    TRY(target_fill(observer, host, address, &target));
    return mg_tls_ask(&target, hello, ret_answer);
}

struct mg_status
mg_prober_tls_scan(struct mg_observer *observer, const char *host, struct mg_tls_facts *ret_facts)
{
    char address[128];
    struct mg_tls_target target;
    TRY(target_fill(observer, host, address, &target));
    return mg_tls_scan(&target, mg_now(), ret_facts);
}
