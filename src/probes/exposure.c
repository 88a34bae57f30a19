/* Probes of what can be reached at all: HTTPS, a plain port that only redirects, nothing else. */
#include "base/io.h"
#include "probes/observer.h"
#include "probes/probe.h"
#include "wire/options.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the plain port ---- */

/* A redirect to https on the same host, or a refusal; never a page. */
static bool
leads_to_https(const struct mg_fetched *answer, const char *host)
{
    static const char scheme[] = "https://";
    struct mg_view location;
    if (answer->status == 421 || answer->status == 400)
        return true;
    if ((answer->status != 301 && answer->status != 308) ||
        !mg_fetched_header(answer, "Location", 0, &location))
        return false;
    const size_t start = sizeof scheme - 1, length = strlen(host);
    if (location.length < start + length || memcmp(location.bytes, scheme, start) != 0 ||
        memcmp(location.bytes + start, host, length) != 0)
        return false;
    return location.length == start + length || location.bytes[start + length] == '/' ||
           location.bytes[start + length] == ':';
}

static CHECKED struct mg_status
plain_port_check(struct mg_observer *observer, const char *host, struct mg_finding *finding)
{
    static const struct {
        const char *method, *path;
    } requests[] = {{NULL, "/"},
                    {NULL, "/api/anything?x=1"},
                    {"POST", "/sign-in"},
                    {NULL, "/console/tenants"},
                    {NULL, "/.masugata/start"}};
    for (size_t i = 0; i < MG_COUNT(requests); i++) {
        OWN_FETCHED(answer);
        const struct mg_fetch fetch = {.method = requests[i].method,
                                       .host = host,
                                       .path = requests[i].path,
                                       .plain = true,
                                       .body = mg_view_text("x=1")};
        TRY(observer->ops->fetch(observer, &fetch, &answer));
        if (leads_to_https(&answer, host))
            continue;
        mg_finding_break(finding, host, "plain HTTP is answered with something else than the way to HTTPS",
                         "HTTP の要求に、HTTPS への転送以外の応答を返します");
        mg_finding_note(finding, "%s%s: %u", host, requests[i].path, answer.status);
    }
    return OK;
}

/* The page must really be behind HTTPS: a redirect into nothing would force nobody to it. */
static CHECKED struct mg_status
https_answers(struct mg_observer *observer, const char *host)
{
    OWN_FETCHED(answer);
    const struct mg_fetch fetch = {.host = host, .path = "/"};
    return observer->ops->fetch(observer, &fetch, &answer);
}

struct mg_status
mg_probe_EDGE_02(struct mg_observer *observer, struct mg_finding *finding)
{
    finding->source = "front door";
    mg_finding_expect(finding, observer->host_count, "hosts", "ホスト");
    for (size_t i = 0; i < observer->host_count; i++) {
        TRY(plain_port_check(observer, observer->hosts[i].name, finding));
        TRY(https_answers(observer, observer->hosts[i].name));
        mg_finding_cover(finding);
    }
    return OK;
}

/* ---- NETWORK_02: what listens ---- */

struct listener {
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
    uid_t uid;
    bool outside; /* reachable from other machines as far as the address goes */
};

/* proc(5): the address as host-order 32-bit words in hexadecimal. */
static bool
address_read(struct mg_view text, struct listener *listener)
{
    uint8_t bytes[16];
    const size_t length = text.length / 2;
    if ((length != 4 && length != 16) || !mg_ok(mg_unhex(text, bytes, length)))
        return false;
    for (size_t i = 0; i < length; i += 4) {
        const uint8_t word[4] = {bytes[i + 3], bytes[i + 2], bytes[i + 1], bytes[i]};
        memcpy(bytes + i, word, 4);
    }
    static const uint8_t loopback[16] = {[15] = 1}, mapped[12] = {[10] = 0xff, [11] = 0xff};
    const bool four = length == 4 || memcmp(bytes, mapped, 12) == 0;
    const uint8_t first = length == 4 ? bytes[0] : bytes[12];
    listener->outside = !(four ? first == 127 : memcmp(bytes, loopback, 16) == 0);
    return inet_ntop(length == 4 ? AF_INET : AF_INET6, bytes, listener->address, sizeof listener->address) !=
           NULL;
}

/* One line of /proc/net/tcp: "sl local:port remote:port state ... uid ...". False for what does not listen.
 */
static bool
line_read(char *line, struct listener *listener)
{
    enum { LOCAL = 1, STATE = 3, UID = 7 };
    char *fields[8], *rest = line;
    for (size_t i = 0; i < MG_COUNT(fields); i++) {
        fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest);
        if (fields[i] == NULL)
            return false;
    }
    char *colon = strchr(fields[LOCAL], ':');
    uint8_t port[2];
    uint64_t uid = 0;
    if (colon == NULL || strcmp(fields[STATE], "0A") != 0 ||
        !mg_ok(mg_unhex(mg_view_text(colon + 1), port, sizeof port)) ||
        !mg_ok(mg_parse_u64(mg_view_text(fields[UID]), UINT32_MAX, &uid)))
        return false;
    listener->port = (uint16_t) (port[0] << 8 | port[1]);
    listener->uid = (uid_t) uid;
    return address_read(mg_view_of(fields[LOCAL], (size_t) (colon - fields[LOCAL])), listener);
}

/* The users our processes, the databases, nginx's workers and the applications run as; root is shared
 * with the rest of the machine. Known without asking anybody, so that a process that hides counts too. */
static void
our_uids(const struct mg_observer *observer, uid_t *uids, size_t most, size_t *ret_count)
{
    static const char *const names[] = {
#define PROCESS(NAME, name, user, ...) user,
#define WIRE(a, b)
#include "../../catalogue/processes.def"
#undef PROCESS
#undef WIRE
        "db", "gate"};
    size_t found = 0;
    if (getuid() != 0)
        uids[found++] = getuid();
    for (size_t i = 0; i < MG_COUNT(names) && found < most; i++) {
        char name[64], storage[4096];
        struct passwd user, *result = NULL;
        (void) snprintf(name, sizeof name, "masugata-%s", names[i]);
        if (names[i][0] != '\0' && getpwnam_r(name, &user, storage, sizeof storage, &result) == 0 &&
            result != NULL)
            uids[found++] = user.pw_uid;
    }
    for (size_t i = 0; i < observer->tenant_count && found < most; i++)
        uids[found++] =
            (uid_t) ((uint64_t) observer->options->application_uid_base + observer->tenants[i].number);
    *ret_count = found;
}

static bool
is_one_of(uid_t uid, const uid_t *uids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (uids[i] == uid)
            return true;
    return false;
}

static bool
is_gate_port(const struct mg_observer *observer, uint16_t port)
{
    return port == observer->options->gate_https_port || port == observer->options->gate_http_port;
}

static CHECKED struct mg_status
sockets_check(struct mg_observer *observer, const char *path, struct mg_finding *finding, bool *gate_seen)
{
    uid_t uids[4200];
    size_t uid_count = 0;
    char *line, *rest = NULL;
    OWN_BUFFER(text, 16u << 20);
    our_uids(observer, uids, MG_COUNT(uids), &uid_count);
    TRY(mg_file_read(path, &text));
    if (text.length == 0)
        return OK;
    for (line = strtok_r((char *) text.bytes, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        struct listener listener;
        if (!line_read(line, &listener))
            continue;
        *gate_seen = *gate_seen || listener.port == observer->options->gate_https_port;
        if (!listener.outside || is_gate_port(observer, listener.port) ||
            !is_one_of(listener.uid, uids, uid_count))
            continue;
        mg_finding_break(finding, listener.address, "a port beside HTTPS is open to other machines",
                         "HTTPS 以外のポートが他のマシンに開いています");
        mg_finding_note(finding, "%s port %u, uid %u", listener.address, listener.port,
                        (unsigned) listener.uid);
    }
    return OK;
}

/* nginx's master may be root, whose sockets are not ours alone: its configuration says what it opens. */
static CHECKED struct mg_status
listens_check(struct mg_observer *observer, struct mg_finding *finding)
{
    char path[MG_PATH];
    OWN_BUFFER(text, 16u << 20);
    TRY(mg_path_join(path, observer->directory, "nginx/nginx.conf"));
    TRY(mg_file_read(path, &text));
    for (const char *at = mg_buffer_text(&text); (at = strstr(at, "listen ")) != NULL;) {
        at += strlen("listen ");
        const size_t length = strcspn(at, ";");
        const size_t word = strcspn(at, " ;");
        size_t colon = word;
        while (colon > 0 && at[colon - 1] != ':')
            colon--;
        uint64_t port = 0;
        const bool numbered = mg_ok(mg_parse_u64(mg_view_of(at + colon, word - colon), 65535, &port));
        char options[128] = "";
        (void) mg_view_copy(mg_view_of(at + word, length - word), options, sizeof options).code;
        const bool tls = strstr(options, " ssl") != NULL;
        if (numbered && tls == (port == (uint64_t) observer->options->gate_https_port) &&
            is_gate_port(observer, (uint16_t) port))
            continue;
        mg_finding_break(finding, "nginx", "nginx opens a port beside HTTPS and the redirecting one",
                         "nginx が HTTPS と転送用以外のポートを開いています");
        mg_finding_note(finding, "listen %.*s", (int) (length > 80 ? 80 : length), at);
    }
    return OK;
}

struct mg_status
mg_probe_NETWORK_02(struct mg_observer *observer, struct mg_finding *finding)
{
    bool gate_seen = false;
    finding->source = "listening sockets and front door";
    mg_finding_expect(finding, observer->host_count + 1, "hosts and this machine's sockets",
                      "ホストとこのマシンのソケット");
    TRY(sockets_check(observer, "/proc/net/tcp", finding, &gate_seen));
    TRY(sockets_check(observer, "/proc/net/tcp6", finding, &gate_seen));
    TRY(listens_check(observer, finding));
    if (!gate_seen)
        return fail_with(UNAVAILABLE, "no socket listens on the HTTPS port");
    mg_finding_cover(finding);
    for (size_t i = 0; i < observer->host_count; i++) {
        TRY(plain_port_check(observer, observer->hosts[i].name, finding));
        mg_finding_cover(finding);
    }
    return OK;
}
