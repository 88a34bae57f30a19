/* One request at the front door. Each is a connection of its own, so that nothing is remembered from
 * the one before. Redirects are reported, not followed. */
#include "process/prober/fetch.h"

#include "wire/options.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
curl_start(void)
{
    mg_must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static size_t
take(char *bytes, size_t size, size_t count, void *buffer)
{
    (void) size; /* always 1 */
    return mg_ok(mg_buffer_add(buffer, mg_view_of(bytes, count))) ? count : 0;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *buffer)
{
    const bool status_line = count >= 5 && memcmp(bytes, "HTTP/", 5) == 0;
    if (status_line) /* a provisional answer came before: only the last one counts */
        mg_buffer_clear(buffer);
    if (status_line || count <= 2)
        return count;
    return take(bytes, size, count, buffer);
}

struct session {
    CURL *curl;
    struct curl_slist *headers, *connect_to;
};

static void
session_drop(struct session *session)
{
    curl_easy_cleanup(session->curl);
    curl_slist_free_all(session->headers);
    curl_slist_free_all(session->connect_to);
}

static CHECKED struct mg_status
list_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return fail(OUT_OF_MEMORY);
    *list = longer;
    return OK;
}

static CHECKED struct mg_status
add_headers(struct session *session, const char *lines)
{
    for (const char *end; lines != NULL && (end = strstr(lines, "\r\n")) != NULL; lines = end + 2) {
        char line[4096];
        TRY(mg_view_copy(mg_view_of(lines, (size_t) (end - lines)), line, sizeof line));
        TRY(list_add(&session->headers, line));
    }
    return list_add(&session->headers, "Expect:");
}

static CHECKED struct mg_status
set_target(struct session *session, const struct mg_observer *observer, const struct mg_fetch *request)
{
    const struct mg_options *options = observer->options;
    const bool everywhere = strcmp(options->gate_address, "0.0.0.0") == 0;
    const char *address = everywhere                                 ? "127.0.0.1"
                          : strcmp(options->gate_address, "::") == 0 ? "[::1]"
                                                                     : options->gate_address;
    const int64_t port = request->plain ? options->gate_http_port : options->gate_https_port;
    char text[2048], interface[80];
    int length = snprintf(text, sizeof text, "::%s:%jd", address, (intmax_t) port);
    if (length <= 0 || length >= (int) sizeof text)
        return fail_with(TOO_LARGE, "gate address");
    TRY(list_add(&session->connect_to, text));
    length = snprintf(text, sizeof text, "%s://%s:%jd%s", request->plain ? "http" : "https", request->host,
                      (intmax_t) port, request->path);
    if (length <= 0 || length >= (int) sizeof text)
        return fail_with(TOO_LARGE, "path to fetch");
    bool set = curl_easy_setopt(session->curl, CURLOPT_URL, text) == CURLE_OK &&
               curl_easy_setopt(session->curl, CURLOPT_CONNECT_TO, session->connect_to) == CURLE_OK;
    if (request->source != NULL) {
        (void) snprintf(interface, sizeof interface, "host!%s", request->source);
        set = set && curl_easy_setopt(session->curl, CURLOPT_INTERFACE, interface) == CURLE_OK;
    }
    return set ? OK : fail_with(SYSTEM, "curl options");
}

static CHECKED struct mg_status
set_request(struct session *session, const struct mg_fetch *request, struct mg_fetched *answer)
{
    CURL *curl = session->curl;
    const char *method = request->method == NULL ? "GET" : request->method;
    bool set = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                                request->timeout_ms > 0 ? (long) request->timeout_ms : 5000L) == CURLE_OK &&
               /* Whose certificate it is, is a control of its own; here the machine talks to itself. */
               curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HTTPHEADER, session->headers) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer->headers) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer->body) == CURLE_OK;
    if (strcmp(method, "POST") == 0)
        set = set && curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) request->body.length) == CURLE_OK &&
              curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, (const char *) request->body.bytes) == CURLE_OK;
    else if (strcmp(method, "GET") != 0)
        set = set && curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
    return set ? OK : fail_with(SYSTEM, "curl options");
}

struct mg_status
mg_prober_fetch(struct mg_observer *observer, const struct mg_fetch *request, struct mg_fetched *ret_answer)
{
    (void) pthread_once(&once, curl_start);
    MG_CLEANUP(session_drop) struct session session = {.curl = curl_easy_init()};
    if (session.curl == NULL)
        return fail(OUT_OF_MEMORY);
    mg_buffer_clear(&ret_answer->headers);
    mg_buffer_clear(&ret_answer->body);
    ret_answer->status = 0;
    TRY(add_headers(&session, request->headers));
    TRY(set_target(&session, observer, request));
    TRY(set_request(&session, request, ret_answer));
    const CURLcode code = curl_easy_perform(session.curl);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return fail_with(TIMEOUT, "%s%s", request->host, request->path);
    if (code != CURLE_OK)
        return fail_with(UNAVAILABLE, "%s: %s", request->host, curl_easy_strerror(code));
    long status = 0;
    if (curl_easy_getinfo(session.curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status < 100)
        return fail_with(MALFORMED, "%s: no status", request->host);
    ret_answer->status = (unsigned) status;
    return OK;
}
