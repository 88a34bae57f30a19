#include "ports/outbound.h"

#include "base/io.h"
#include "base/secret.h"
#include "domain/public_address.h"
#include "ports/openssl.h"
#include "wire/options.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECT_MS = 3000,
    HOST_MOST = 256,
    HANDLES_KEPT = 32, /* when nothing is asked, */
    KEPT_S = 20,       /* and its connection is used again for this long */
    AUTHORITIES_BYTES = 4 * 1024 * 1024
};

static const char system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

struct target {
    char host[HOST_MOST]; /* without brackets */
    unsigned port;
    bool literal; /* the host is an address */
    struct mg_address addresses[MG_OUTBOUND_ADDRESSES_MOST];
    size_t count;
};

static void
list_drop(struct curl_slist **list)
{
    curl_slist_free_all(*list);
    *list = NULL;
}

static void
url_drop(CURLU **url)
{
    curl_url_cleanup(*url);
    *url = NULL;
}

static void
part_drop(char **part)
{
    curl_free(*part);
    *part = NULL;
}

void
mg_outbound_answer_drop(struct mg_outbound_answer *answer)
{
    mg_buffer_drop(&answer->body);
}

/* ---- handles that are not in use, each with its connection ---- */

struct kept {
    CURL *curl;
    const struct mg_outbound_authorities *authorities;
    struct target target;
};
static struct {
    pthread_mutex_t lock;
    struct kept *idle[HANDLES_KEPT]; /* newest last */
    size_t count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
kept_free(struct kept *kept)
{
    if (kept != NULL)
        curl_easy_cleanup(kept->curl);
    free(kept);
}

/* Of any order: names are often answered in turns. */
static bool
target_is_same(const struct target *one, const struct target *other)
{
    size_t found = 0;
    if (one->port != other->port || one->count != other->count || strcmp(one->host, other->host) != 0)
        return false;
    for (size_t i = 0; i < one->count; i++)
        for (size_t k = 0; k < other->count; k++)
            if (one->addresses[i].high == other->addresses[k].high &&
                one->addresses[i].low == other->addresses[k].low) {
                found++;
                break;
            }
    return found == one->count;
}

/* The newest that leads there; its connection goes to an address that was judged now, and its certificate was
 * checked against the same authorities. NULL if there is none. */
static struct kept *
idle_take(const struct mg_outbound_authorities *authorities, const struct target *target)
{
    struct kept *found = NULL;
    (void) pthread_mutex_lock(&pool.lock);
    for (size_t i = pool.count; i > 0 && found == NULL; i--)
        if (pool.idle[i - 1]->authorities == authorities &&
            target_is_same(&pool.idle[i - 1]->target, target)) {
            found = pool.idle[i - 1];
            pool.count--;
            memmove(&pool.idle[i - 1], &pool.idle[i], (pool.count - (i - 1)) * sizeof(struct kept *));
        }
    (void) pthread_mutex_unlock(&pool.lock);
    return found;
}

/* With nothing set but what it is connected to. */
static CHECKED struct mg_status
kept_take(const struct mg_outbound_authorities *authorities, const struct target *target,
          struct kept **ret_kept)
{
    struct kept *kept = idle_take(authorities, target);
    if (kept == NULL) {
        kept = calloc(1, sizeof *kept);
        if (kept == NULL)
            return fail(OUT_OF_MEMORY);
        kept->authorities = authorities;
        kept->target = *target;
        kept->curl = curl_easy_init();
        if (kept->curl == NULL) {
            kept_free(kept);
            return fail(OUT_OF_MEMORY);
        }
    }
    curl_easy_reset(kept->curl);
    *ret_kept = kept;
    return OK;
}

/* Back among the idle ones, the oldest of which goes when there are too many. */
static void
kept_give(struct kept **handle)
{
    struct kept *kept = *handle, *oldest = NULL;
    *handle = NULL;
    if (kept == NULL)
        return;
    curl_easy_reset(kept->curl); /* what was asked and who listens is over */
    (void) pthread_mutex_lock(&pool.lock);
    if (pool.count == HANDLES_KEPT) {
        oldest = pool.idle[0];
        memmove(&pool.idle[0], &pool.idle[1], --pool.count * sizeof(struct kept *));
    }
    pool.idle[pool.count++] = kept;
    (void) pthread_mutex_unlock(&pool.lock);
    kept_free(oldest);
}

void
mg_outbound_stop(void)
{
    (void) pthread_mutex_lock(&pool.lock);
    while (pool.count > 0)
        kept_free(pool.idle[--pool.count]);
    (void) pthread_mutex_unlock(&pool.lock);
}

struct mg_status
mg_outbound_start(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? OK : fail_with(SYSTEM, "libcurl");
}

/* ---- authorities ---- */

struct mg_outbound_authorities {
    X509_STORE *store;
};

/* Others may come to lie at the same place in memory: no connection outlives what it was checked against. */
static void
idle_forget(const struct mg_outbound_authorities *authorities)
{
    size_t left = 0;
    (void) pthread_mutex_lock(&pool.lock);
    for (size_t i = 0; i < pool.count; i++) {
        if (pool.idle[i]->authorities == authorities)
            kept_free(pool.idle[i]);
        else
            pool.idle[left++] = pool.idle[i];
    }
    pool.count = left;
    (void) pthread_mutex_unlock(&pool.lock);
}

void
mg_outbound_authorities_drop(struct mg_outbound_authorities **authorities)
{
    if (*authorities != NULL) {
        idle_forget(*authorities);
        X509_STORE_free((*authorities)->store);
    }
    free(*authorities);
    *authorities = NULL;
}

static CHECKED struct mg_status
store_fill(struct mg_view pem, X509_STORE *store)
{
    size_t count = 0;
    OWN_BIO bio = BIO_new_mem_buf(pem.bytes, (int) pem.length);
    if (bio == NULL)
        return fail(OUT_OF_MEMORY);
    for (;; count++) {
        OWN_X509 certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (certificate == NULL)
            break;
        if (X509_STORE_add_cert(store, certificate) != 1) /* one that is there already is fine */
            return fail_openssl("keep a certificate authority");
    }
    const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (!at_end || count == 0)
        return fail_with(INVALID, "certificate authorities: number %zu is none in PEM", count + 1);
    return OK;
}

static CHECKED struct mg_status
authorities_new(struct mg_outbound_authorities **ret_authorities)
{
    MG_CLEANUP(mg_outbound_authorities_drop)
    struct mg_outbound_authorities *authorities = calloc(1, sizeof *authorities);
    if (authorities == NULL || (authorities->store = X509_STORE_new()) == NULL)
        return fail(OUT_OF_MEMORY);
    /* One that is not its own issuer may be named as well: that is what naming it means. */
    (void) X509_STORE_set_flags(authorities->store, X509_V_FLAG_PARTIAL_CHAIN);
    *ret_authorities = TAKE(authorities);
    return OK;
}

struct mg_status
mg_outbound_authorities_read(struct mg_view pem, struct mg_outbound_authorities **ret_authorities)
{
    MG_CLEANUP(mg_outbound_authorities_drop) struct mg_outbound_authorities *authorities = NULL;
    TRY(authorities_new(&authorities));
    TRY(store_fill(pem, authorities->store));
    *ret_authorities = TAKE(authorities);
    return OK;
}

struct mg_status
mg_outbound_authority_read(struct mg_view der, struct mg_outbound_authorities **ret_authorities)
{
    MG_CLEANUP(mg_outbound_authorities_drop) struct mg_outbound_authorities *authorities = NULL;
    const uint8_t *cursor = der.bytes;
    OWN_X509 certificate = d2i_X509(NULL, &cursor, (long) der.length);
    if (certificate == NULL || cursor != der.bytes + der.length)
        return fail_openssl("read a certificate");
    TRY(authorities_new(&authorities));
    if (X509_STORE_add_cert(authorities->store, certificate) != 1)
        return fail_openssl("keep a certificate authority");
    *ret_authorities = TAKE(authorities);
    return OK;
}

struct mg_status
mg_outbound_authorities_load(const char *path, struct mg_outbound_authorities **ret_authorities)
{
    OWN_BUFFER(pem, AUTHORITIES_BYTES);
    if (access(system_authorities, R_OK) == 0)
        TRY(mg_file_read(system_authorities, &pem));
    if (path[0] != '\0') {
        TRY(mg_buffer_add_text(&pem, "\n"));
        TRY(mg_file_read(path, &pem));
    }
    return mg_outbound_authorities_read(mg_buffer_view(&pem), ret_authorities);
}

/* In place of libcurl's own reading of a file for each connection. */
static CURLcode
authorities_use(CURL *curl, void *context, void *authorities)
{
    (void) curl;
    SSL_CTX_set1_cert_store(context, ((const struct mg_outbound_authorities *) authorities)->store);
    return CURLE_OK;
}

__attribute__((format(printf, 3, 4))) static void
refuse(struct mg_outbound_answer *answer, enum mg_federation_refusal refusal, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(answer->detail, sizeof answer->detail, format, arguments);
    va_end(arguments);
    answer->refusal = refusal;
}

/* ---- where to ---- */

static struct mg_status
resolve_with_system(void *context, const char *host, struct mg_address addresses[MG_OUTBOUND_ADDRESSES_MOST],
                    size_t *ret_count)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    (void) context;
    *ret_count = 0;
    const int code = getaddrinfo(host, NULL, &hints, &list);
    if (code != 0)
        return fail_with(UNAVAILABLE, "%s", gai_strerror(code));
    for (const struct addrinfo *at = list; at != NULL && *ret_count < MG_OUTBOUND_ADDRESSES_MOST;
         at = at->ai_next)
        if (mg_address_of_socket(at->ai_addr, &addresses[*ret_count]))
            (*ret_count)++;
    freeaddrinfo(list);
    return *ret_count > 0 ? OK : fail_with(UNAVAILABLE, "ADDRESS_NONE|");
}

/* The URL as libcurl itself will read it, so that no second reading of ours can differ. */
static CHECKED struct mg_status
target_read(const char *text, struct target *target, bool *ret_usable)
{
    MG_CLEANUP(url_drop) CURLU *url = curl_url();
    MG_CLEANUP(part_drop) char *scheme = NULL;
    MG_CLEANUP(part_drop) char *host = NULL;
    MG_CLEANUP(part_drop) char *port = NULL;
    MG_CLEANUP(part_drop) char *user = NULL;
    uint64_t number = 0;
    *ret_usable = false;
    if (url == NULL)
        return fail(OUT_OF_MEMORY);
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK || strcmp(scheme, "https") != 0 ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK ||
        !mg_ok(mg_parse_u64(mg_view_text(port), 65535, &number)))
        return OK;
    target->port = (unsigned) number;
    struct mg_view name = mg_view_text(host);
    if (name.length > 2 && name.bytes[0] == '[')
        name = mg_view_of(name.bytes + 1, name.length - 2);
    if (!mg_ok(mg_view_copy(name, target->host, sizeof target->host)))
        return OK;
    target->literal = mg_ok(mg_address_parse(name, &target->addresses[0]));
    target->count = target->literal ? 1 : 0;
    *ret_usable = true;
    return OK;
}

static bool
is_allowed_inside(const struct mg_outbound_rules *rules, const char *host)
{
    const char *cursor = rules->inside != NULL ? rules->inside : "";
    struct mg_view word;
    while (mg_option_word(&cursor, &word))
        if (mg_view_is(word, host))
            return true;
    return false;
}

/* One address that is not public spoils the name: whoever mixes them means the inside one. */
static CHECKED struct mg_status
target_judge(const struct mg_outbound_rules *rules, struct target *target, struct mg_outbound_answer *answer)
{
    if (!target->literal) {
        const mg_outbound_resolver resolve = rules->resolve != NULL ? rules->resolve : resolve_with_system;
        const struct mg_status found =
            resolve(rules->resolve_context, target->host, target->addresses, &target->count);
        if (found.code == MG_UNAVAILABLE) {
            refuse(answer, MG_FEDERATION_UNREACHABLE, "FETCH_FAILED|%.128s|%.100s", target->host,
                   found.detail);
            return OK;
        }
        TRY(found);
    }
    if (is_allowed_inside(rules, target->host))
        return OK;
    for (size_t i = 0; i < target->count; i++) {
        char text[MG_ADDRESS_TEXT];
        if (mg_address_is_public(target->addresses[i]))
            continue;
        mg_address_text(target->addresses[i], text);
        refuse(answer, MG_FEDERATION_ADDRESS, "ADDRESS_IS|%.128s|%s", target->host, text);
        return OK;
    }
    return OK;
}

/* What libcurl is told the host's addresses are: HOST:PORT:ADDRESS,ADDRESS. */
static CHECKED struct mg_status
pin_make(const struct target *target, struct curl_slist **ret_list)
{
    OWN_BUFFER(pin, 2048);
    TRY(mg_buffer_format(&pin, "%s:%u:", target->host, target->port));
    for (size_t i = 0; i < target->count; i++) {
        char text[MG_ADDRESS_TEXT];
        mg_address_text(target->addresses[i], text);
        const bool six = strchr(text, ':') != NULL;
        TRY(mg_buffer_format(&pin, "%s%s%s%s", i == 0 ? "" : ",", six ? "[" : "", text, six ? "]" : ""));
    }
    *ret_list = curl_slist_append(NULL, mg_buffer_text(&pin));
    return *ret_list == NULL ? fail(OUT_OF_MEMORY) : OK;
}

/* The last look before a connection: nothing but the addresses that were judged, whatever brought libcurl
 * here. */
static curl_socket_t
socket_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    const struct target *target = context;
    struct mg_address wanted;
    if (purpose != CURLSOCKTYPE_IPCXN || !mg_address_of_socket(&address->addr, &wanted))
        return CURL_SOCKET_BAD;
    for (size_t i = 0; i < target->count; i++)
        if (target->addresses[i].high == wanted.high && target->addresses[i].low == wanted.low)
            return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return CURL_SOCKET_BAD;
}

/* ---- the exchange ---- */

static size_t
body_take(char *bytes, size_t size, size_t count, void *context)
{
    struct mg_buffer *body = context;
    return mg_ok(mg_buffer_add(body, mg_view_of(bytes, size * count))) ? size * count : 0;
}

static CHECKED struct mg_status
headers_make(const struct mg_outbound_request *request, struct curl_slist **ret_headers)
{
    OWN_BUFFER(line, 8192);
    struct curl_slist *headers =
        curl_slist_append(NULL, "Accept: application/json, application/jwt, application/samlmetadata+xml");
    struct curl_slist *more = NULL;
    if (headers == NULL)
        return fail(OUT_OF_MEMORY);
    struct mg_status status = OK;
    if (request->authorization != NULL) {
        status = mg_buffer_format(&line, "Authorization: %s", request->authorization);
        more = mg_ok(status) ? curl_slist_append(headers, mg_buffer_text(&line)) : NULL;
        if (more == NULL) {
            curl_slist_free_all(headers);
            return mg_ok(status) ? fail(OUT_OF_MEMORY) : status;
        }
        headers = more;
    }
    *ret_headers = headers;
    return OK;
}

#define SET(option, value) (curl_easy_setopt(curl, option, value) == CURLE_OK)

static bool
bounds_set(CURL *curl)
{
    return SET(CURLOPT_PROTOCOLS_STR, "https") && SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, "") &&
           SET(CURLOPT_NOSIGNAL, 1L) && SET(CURLOPT_TIMEOUT_MS, (long) MG_OUTBOUND_TIME_MS) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_MS) && SET(CURLOPT_MAXCONNECTS, 1L) &&
           SET(CURLOPT_MAXAGE_CONN, (long) KEPT_S) &&
           SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2) && SET(CURLOPT_SSL_VERIFYPEER, 1L) &&
           SET(CURLOPT_SSL_VERIFYHOST, 2L) && SET(CURLOPT_USERAGENT, "masugata/" MG_VERSION);
}

static bool
request_set(CURL *curl, const struct mg_outbound_rules *rules, const struct mg_outbound_request *request,
            struct target *target)
{
    bool set = SET(CURLOPT_URL, request->url) && SET(CURLOPT_OPENSOCKETFUNCTION, socket_open) &&
               SET(CURLOPT_OPENSOCKETDATA, target) && SET(CURLOPT_WRITEFUNCTION, body_take);
    if (set && rules->authorities != NULL)
        set = SET(CURLOPT_CAINFO, NULL) && SET(CURLOPT_CAPATH, NULL) &&
              SET(CURLOPT_SSL_CTX_FUNCTION, authorities_use) &&
              SET(CURLOPT_SSL_CTX_DATA, (void *) (uintptr_t) rules->authorities);
    if (set && request->form.length != 0)
        set = SET(CURLOPT_POSTFIELDSIZE, (long) request->form.length) &&
              SET(CURLOPT_POSTFIELDS, request->form.bytes) && SET(CURLOPT_POST, 1L);
    return set;
}

static CHECKED struct mg_status
exchange(const struct mg_outbound_rules *rules, const struct mg_outbound_request *request,
         struct target *target, struct mg_outbound_answer *answer)
{
    MG_CLEANUP(kept_give) struct kept *kept = NULL;
    MG_CLEANUP(list_drop) struct curl_slist *pin = NULL;
    MG_CLEANUP(list_drop) struct curl_slist *headers = NULL;
    char error[CURL_ERROR_SIZE] = "";
    TRY(kept_take(rules->authorities, target, &kept));
    CURL *curl = kept->curl;
    TRY(headers_make(request, &headers));
    if (!target->literal)
        TRY(pin_make(target, &pin));
    if (!bounds_set(curl) || !request_set(curl, rules, request, target) ||
        !SET(CURLOPT_HTTPHEADER, headers) || !SET(CURLOPT_RESOLVE, pin) ||
        !SET(CURLOPT_WRITEDATA, &answer->body) || !SET(CURLOPT_ERRORBUFFER, error))
        return fail_with(SYSTEM, "libcurl does not take an option");
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_WRITE_ERROR) {
        refuse(answer, MG_FEDERATION_ANSWER, "ANSWER_LARGE|%.128s|%zu", target->host, answer->body.maximum);
        return OK;
    }
    if (code != CURLE_OK) {
        refuse(answer, MG_FEDERATION_UNREACHABLE, "FETCH_FAILED|%.128s|%.100s", target->host,
               error[0] != '\0' ? error : curl_easy_strerror(code));
        return OK;
    }
    (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    if (answer->status >= 300 && answer->status < 400)
        refuse(answer, MG_FEDERATION_REDIRECT, "%.128s: HTTP %ld", target->host, answer->status);
    return OK;
}

struct mg_status
mg_outbound_fetch(const struct mg_outbound_rules *rules, const struct mg_outbound_request *request,
                  struct mg_outbound_answer *ret_answer)
{
    MG_CLEANUP(mg_outbound_answer_drop)
    struct mg_outbound_answer answer = {.body = MG_BUFFER(request->most), .refusal = MG_FEDERATION_NONE};
    struct target target = {.count = 0};
    bool usable = false;
    TRY(target_read(request->url, &target, &usable));
    if (!usable)
        refuse(&answer, MG_FEDERATION_ANSWER, "ADDRESS_FORM|%.128s", request->url);
    else
        TRY(target_judge(rules, &target, &answer));
    if (answer.refusal == MG_FEDERATION_NONE)
        TRY(exchange(rules, request, &target, &answer));
    *ret_answer = answer;
    answer.body = MG_BUFFER(0); /* the caller's now */
    return OK;
}
