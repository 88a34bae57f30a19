#include "ports/tls_scan.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define BELOW_TLS_1_3 (MG_SSL_3 | MG_TLS_1_0 | MG_TLS_1_1 | MG_TLS_1_2)

static int
limit_ms(const struct mg_tls_target *target)
{
    return target->timeout_ms > 0 ? target->timeout_ms : 5000;
}

/* ---- one connection ---- */

static struct mg_status
connect_to(const struct addrinfo *to, int timeout_ms, int *ret_fd)
{
    OWN_FD fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_errno("socket");
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS)
        return fail_with(UNAVAILABLE, "connect: %s", strerror(errno));
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;
    if (poll(&wait, 1, timeout_ms) != 1)
        return fail_with(UNAVAILABLE, "connect: no answer");
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
        return fail_with(UNAVAILABLE, "connect: %s", strerror(error));
    const struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    const int yes = 1;
    if (fcntl(fd, F_SETFL, 0) != 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0)
        return fail_errno("socket options");
    *ret_fd = fd;
    fd = -1;
    return OK;
}

struct mg_status
mg_tls_connect(const struct mg_tls_target *target, int *ret_fd)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];
    (void) snprintf(port, sizeof port, "%u", (unsigned) target->port);
    const int error = getaddrinfo(target->address, port, &hints, &found);
    if (error != 0)
        return fail_with(UNAVAILABLE, "%s: %s", target->address, gai_strerror(error));
    struct mg_status status = fail_with(UNAVAILABLE, "%s has no address", target->address);
    for (const struct addrinfo *at = found; at != NULL && !mg_ok(status); at = at->ai_next)
        status = connect_to(at, limit_ms(target), ret_fd);
    freeaddrinfo(found);
    return status;
}

static struct mg_status
send_all(int fd, struct mg_view bytes)
{
    for (size_t done = 0; done < bytes.length;) {
        const ssize_t sent = send(fd, bytes.bytes + done, bytes.length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return fail_errno("send");
        done += (size_t) sent;
    }
    return OK;
}

/* Appends what comes next; *ret_end at the end or a reset. */
static struct mg_status
receive(int fd, struct mg_buffer *bytes, bool *ret_end)
{
    uint8_t chunk[8192];
    ssize_t got;
    do
        got = recv(fd, chunk, sizeof chunk, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return fail_with(TIMEOUT, "TLS server is silent");
    *ret_end = got <= 0; /* a reset refuses as a close does */
    return got > 0 ? mg_buffer_add(bytes, mg_view_of(chunk, (size_t) got)) : OK;
}

/* With `whole`, reads on to the end of the server's flight. */
static struct mg_status
answer_read(int fd, bool whole, struct mg_server_answer *ret_answer)
{
    OWN_BUFFER(bytes, MG_ANSWER_MOST);
    struct mg_server_answer answer = {.kind = MG_ANSWER_NONE};
    bool end = false, more = true;
    while (!end && more) {
        TRY(receive(fd, &bytes, &end));
        TRY(mg_server_answer_decode(mg_buffer_view(&bytes), &answer, &more));
        if (!whole && answer.kind != MG_ANSWER_NONE)
            break;
    }
    *ret_answer = answer;
    return OK;
}

/* Suites that mean something in the version; returns how many. */
static size_t
suites_for(enum mg_tls_version version, uint16_t suites[MG_TLS_SUITE_COUNT])
{
    size_t count = 0;
    for (size_t i = 0; i < MG_TLS_SUITE_COUNT; i++) {
        const struct mg_tls_suite suite = mg_tls_suite_at(i);
        if (suite.tls13 == (version == MG_TLS_1_3))
            suites[count++] = suite.number;
    }
    return count;
}

static struct mg_status
ask(const struct mg_tls_target *target, const struct mg_client_hello *hello, bool whole,
    struct mg_server_answer *ret_answer)
{
    uint16_t all[MG_TLS_SUITE_COUNT];
    struct mg_client_hello full = *hello;
    OWN_BUFFER(bytes, 4096);
    OWN_FD fd = -1;
    if (full.suites == NULL) {
        full.suites = all;
        full.suite_count = suites_for(full.version, all);
    }
    full.server_name = target->server_name;
    TRY(mg_client_hello_encode(&full, &bytes));
    TRY(mg_tls_connect(target, &fd));
    TRY(send_all(fd, mg_buffer_view(&bytes)));
    return answer_read(fd, whole, ret_answer);
}

struct mg_status
mg_tls_ask(const struct mg_tls_target *target, const struct mg_client_hello *hello,
           struct mg_server_answer *ret_answer)
{
    return ask(target, hello, false, ret_answer);
}

static bool
accepts(const struct mg_server_answer *answer, enum mg_tls_version version)
{
    return (answer->kind == MG_ANSWER_HELLO || answer->kind == MG_ANSWER_RETRY ||
            answer->kind == MG_ANSWER_SSL2) &&
           mg_tls_version_of_wire(answer->version) == (unsigned) version;
}

struct mg_status
mg_tls_version_ask(const struct mg_tls_target *target, enum mg_tls_version version, bool *ret_accepted)
{
    const struct mg_client_hello hello = {.version = version};
    struct mg_server_answer answer;
    TRY(ask(target, &hello, false, &answer));
    *ret_accepted = accepts(&answer, version);
    return OK;
}

/* ---- versions and suites ---- */

static struct mg_tls_accepted *
accepted_row(struct mg_tls_facts *facts, uint16_t suite)
{
    for (size_t i = 0; i < facts->accepted_count; i++)
        if (facts->accepted[i].suite == suite)
            return &facts->accepted[i];
    if (facts->accepted_count == MG_TLS_ACCEPTED_MOST)
        return NULL;
    facts->accepted[facts->accepted_count] = (struct mg_tls_accepted){.suite = suite};
    return &facts->accepted[facts->accepted_count++];
}

/* Offers all suites, takes away the one the server chose, and again, until it refuses: as good as
 * offering each alone, with one connection for each accepted suite instead of each known one. */
static struct mg_status
suites_look(const struct mg_tls_target *target, enum mg_tls_version version, struct mg_tls_facts *facts)
{
    uint16_t suites[MG_TLS_SUITE_COUNT];
    size_t count = suites_for(version, suites);
    while (count > 0) {
        const struct mg_client_hello hello = {.version = version, .suites = suites, .suite_count = count};
        struct mg_server_answer answer;
        TRY(ask(target, &hello, true, &answer));
        if (!accepts(&answer, version))
            return OK;
        size_t at = 0;
        while (at < count && suites[at] != answer.suite)
            at++;
        struct mg_tls_accepted *row = accepted_row(facts, answer.suite);
        if (at == count || row == NULL)
            return fail_with(MALFORMED, "TLS server chose suite 0x%04x, which was not offered", answer.suite);
        row->versions |= (unsigned) version;
        if (answer.dh_bits > 0 && (facts->dh_bits_least == 0 || answer.dh_bits < facts->dh_bits_least))
            facts->dh_bits_least = answer.dh_bits;
        suites[at] = suites[--count];
    }
    return OK;
}

/* SSL 2 has its own seven kinds of cipher; that it speaks at all is enough to know. */
static struct mg_status
versions_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    struct mg_status last = OK;
    facts->accepted_complete = true;
    for (unsigned version = MG_SSL_2; version <= MG_TLS_1_3; version <<= 1) {
        bool accepted = false;
        const struct mg_status status = mg_tls_version_ask(target, (enum mg_tls_version) version, &accepted);
        if (status.code == MG_UNAVAILABLE)
            return status;
        if (!mg_ok(status)) {
            facts->accepted_complete = false;
            last = status;
            continue;
        }
        facts->versions_tested |= version;
        if (!accepted)
            continue;
        facts->versions |= version;
        if (version != MG_SSL_2 && !mg_ok(suites_look(target, (enum mg_tls_version) version, facts)))
            facts->accepted_complete = false;
    }
    return facts->versions_tested == 0 ? last : OK;
}

/* ---- single questions ---- */

static enum mg_tls_version
highest(unsigned versions)
{
    unsigned version = MG_TLS_1_3;
    while (version > 0 && (versions & version) == 0)
        version >>= 1;
    return (enum mg_tls_version) version;
}

static void
group_add(struct mg_tls_facts *facts, uint16_t group)
{
    for (size_t i = 0; i < facts->group_count; i++)
        if (facts->groups[i] == group)
            return;
    if (facts->group_count < MG_TLS_GROUPS_MOST)
        facts->groups[facts->group_count++] = group;
}

static const uint16_t known_groups[] = {0x0013, 0x0015, 0x0016, 0x0017, 0x0018, 0x0019, 0x001a, 0x001b,
                                        0x001c, 0x001d, 0x001e, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104};

static bool
group_ask(const struct mg_tls_target *target, enum mg_tls_version version, const uint16_t *groups,
          size_t count)
{
    const struct mg_client_hello hello = {.version = version, .groups = groups, .group_count = count};
    struct mg_server_answer answer;
    return mg_ok(ask(target, &hello, true, &answer)) && accepts(&answer, version) &&
           answer.group == groups[0];
}

/* In TLS 1.3 each group alone: the server names it in a retry, or refuses. Below, a server with an ECDSA
 * certificate wants to see the certificate's curve in the list as well, so the usual ones stand behind. */
static void
groups_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    const enum mg_tls_version older = highest(facts->versions & (BELOW_TLS_1_3 & ~(unsigned) MG_SSL_3));
    for (size_t i = 0; i < MG_COUNT(known_groups); i++) {
        const uint16_t offered[] = {known_groups[i], 0x0017, 0x0018, 0x0019};
        if (((facts->versions & MG_TLS_1_3) != 0 && group_ask(target, MG_TLS_1_3, offered, 1)) ||
            (older != 0 &&
             (group_ask(target, older, offered, 1) || group_ask(target, older, offered, MG_COUNT(offered)))))
            group_add(facts, known_groups[i]);
    }
}

/* The server chooses if it picks the same suite whichever way round the client prefers them. */
static void
order_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    const enum mg_tls_version version =
        (facts->versions & MG_TLS_1_2) != 0 ? MG_TLS_1_2 : highest(facts->versions);
    uint16_t forward[MG_TLS_ACCEPTED_MOST], backward[MG_TLS_ACCEPTED_MOST];
    size_t count = 0;
    for (size_t i = 0; i < facts->accepted_count; i++)
        if ((facts->accepted[i].versions & (unsigned) version) != 0)
            forward[count++] = facts->accepted[i].suite;
    for (size_t i = 0; i < count; i++)
        backward[i] = forward[count - 1 - i];
    struct mg_server_answer first, second;
    const struct mg_client_hello one = {.version = version, .suites = forward, .suite_count = count};
    const struct mg_client_hello two = {.version = version, .suites = backward, .suite_count = count};
    if (count == 0 || !mg_ok(ask(target, &one, false, &first)) || !mg_ok(ask(target, &two, false, &second)))
        return;
    facts->server_order = first.suite == second.suite ? MG_SEEN_YES : MG_SEEN_NO;
}

/* RFC 7507: a client that says it fell back is turned away by a server that can do better. */
static void
fallback_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    const enum mg_tls_version best = highest(facts->versions);
    const enum mg_tls_version lower = highest(facts->versions & BELOW_TLS_1_3 & ((unsigned) best - 1));
    const struct mg_client_hello hello = {.version = lower, .fallback = true};
    struct mg_server_answer answer;
    if (lower == 0)
        facts->fallback_protected = MG_SEEN_YES; /* nothing to fall back to */
    else if (mg_ok(ask(target, &hello, false, &answer)))
        facts->fallback_protected = accepts(&answer, lower) ? MG_SEEN_NO : MG_SEEN_YES;
}

/* CVE-2014-0160: a heartbeat that claims more bytes than it carries. An answer that is longer than the
 * question holds the server's memory; it is counted, not kept. */
static struct mg_status
heartbleed_ask(const struct mg_tls_target *target, enum mg_tls_version version, bool *ret_leaks)
{
    static const uint8_t question[] = {24, 3, 1, 0, 3, 1, 0x40, 0x00};
    uint16_t all[MG_TLS_SUITE_COUNT];
    const struct mg_client_hello hello = {.version = version,
                                          .suites = all,
                                          .suite_count = suites_for(version, all),
                                          .server_name = target->server_name,
                                          .heartbeat = true};
    struct mg_server_answer answer;
    OWN_BUFFER(bytes, 4096);
    OWN_BUFFER(reply, MG_ANSWER_MOST);
    OWN_FD fd = -1;
    bool end = false;
    *ret_leaks = false;
    TRY(mg_client_hello_encode(&hello, &bytes));
    TRY(mg_tls_connect(target, &fd));
    TRY(send_all(fd, mg_buffer_view(&bytes)));
    TRY(answer_read(fd, true, &answer));
    if (!accepts(&answer, version) || !answer.heartbeat)
        return OK;
    TRY(send_all(fd, mg_view_of(question, sizeof question)));
    while (!end && reply.length < 5) {
        const struct mg_status status = receive(fd, &reply, &end);
        if (status.code == MG_TIMEOUT)
            return OK; /* silence is what a patched server answers */
        TRY(status);
    }
    *ret_leaks = reply.length >= 5 && reply.bytes[0] == 24 && (reply.bytes[3] << 8 | reply.bytes[4]) > 3;
    return OK;
}

/* What a hello of the best version below TLS 1.3 shows. */
static void
old_hello_look(const struct mg_tls_target *target, struct mg_tls_facts *facts)
{
    const enum mg_tls_version version = highest(facts->versions & BELOW_TLS_1_3);
    const struct mg_client_hello hello = {.version = version, .compression = true, .ticket = true};
    struct mg_server_answer answer;
    bool leaks = false;
    if (version == 0) {
        facts->heartbleed = MG_SEEN_NO; /* the fault needs TLS 1.2 or older */
        return;
    }
    if (mg_ok(ask(target, &hello, false, &answer)) && accepts(&answer, version)) {
        facts->compression = answer.compression != 0 ? MG_SEEN_YES : MG_SEEN_NO;
        facts->secure_renegotiation = answer.renegotiation_info ? MG_SEEN_YES : MG_SEEN_NO;
        facts->tickets = answer.ticket ? MG_SEEN_YES : MG_SEEN_NO;
    }
    if (mg_ok(heartbleed_ask(target, version, &leaks)))
        facts->heartbleed = leaks ? MG_SEEN_YES : MG_SEEN_NO;
}

struct mg_status
mg_tls_scan(const struct mg_tls_target *target, mg_instant now, struct mg_tls_facts *ret_facts)
{
    struct mg_tls_facts facts = {.hsts_max_age_s = -1, .at = now};
    TRY(versions_look(target, &facts));
    if (facts.versions != 0) {
        groups_look(target, &facts);
        order_look(target, &facts);
        fallback_look(target, &facts);
        old_hello_look(target, &facts);
        /* A server that OpenSSL cannot talk to leaves the certificate unseen, which the grade shows. */
        const struct mg_status session = mg_tls_session_look(target, &facts);
        (void) session;
    }
    *ret_facts = facts;
    return OK;
}
