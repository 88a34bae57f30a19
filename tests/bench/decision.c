/* bench-decision DIRECTORY [SESSIONS...]: the whole decision about a request (token hash, session, host,
 * network, route rule, mark) on tables of that many sessions (default 1,000, 1 and 10 million) below
 * DIRECTORY, which is on tmpfs. Sessions are visited at random, as visitors come.
 *
 * The steps are those of the gate's handler in its order: the cookie is read, the session is asked for and
 * the token hashed, host, address and path are brought into their canonical form, the decision is made. Each
 * batch is run a second time without the two steps that are the decision; the difference is what deciding
 * adds to reading a request, and that is the figure with the budget. Prints its median and 99th percentile
 * over batches, in nanoseconds a decision; the median of all steps; and the shared memory a session takes.
 *
 * Beside it, in the same way, what no code can go below on this machine: SHA-256 of the token, and one read
 * at random from the same table that waits for the one before. */
#include "gate/decision.h"
#include "base/io.h"
#include "base/secret.h"
#include "gate/canonical.h"
#include "gate/cookies.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define TENANTS 100
#define NETWORKS 50
#define ROUTES 10
#define BATCH 32
#define BATCHES 40000

static uint64_t random_state = 0x853C49E6748FEA9BULL;

static uint64_t
next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double
now_ns(void) /* of this thread: these machines are shared */
{
    struct timespec now;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static void
stop_on(struct mg_status status)
{
    if (mg_ok(status))
        return;
    (void) fprintf(stderr, "%s: %s at %s\n", mg_error_row(status.code)->name, status.detail, status.where);
    exit(3);
}

static void
token_of(uint64_t id, uint8_t token[MG_TOKEN])
{
    for (uint64_t i = 0; i < 4; i++) {
        const uint64_t word = (id * 4 + i) * 0x9E3779B97F4A7C15ULL + 0xD1B54A32D192ED03ULL;
        memcpy(token + 8 * i, &word, sizeof word);
    }
}

static void
fill_table(struct mg_session_writer *writer, uint64_t count, mg_instant now)
{
    for (uint64_t id = 1; id <= count; id++) {
        struct mg_session session = {.session_id = id,
                                     .user_id = id,
                                     .family_id = id,
                                     .tenant_id = (uint32_t) (id % TENANTS + 1),
                                     .origin = MG_ORIGIN_APP,
                                     .roles = 1,
                                     .idle_ms = 900000,
                                     .authenticated_at = now,
                                     .expires_at = now + 3600000,
                                     .last_seen_at = now};
        uint8_t token[MG_TOKEN];
        token_of(id, token);
        mg_token_hash(token, session.token_hash);
        stop_on(mg_session_put(writer, &session));
    }
}

static void
fill_policy(const char *directory, struct mg_session_writer *writer)
{
    static struct mg_network networks[NETWORKS];
    static struct mg_policy_tenant tenants[TENANTS];
    static struct mg_policy_host hosts[TENANTS];
    static struct mg_policy_route routes[TENANTS * ROUTES];
    static char names[TENANTS][32], prefixes[ROUTES][32];
    for (uint32_t i = 0; i < NETWORKS; i++)
        networks[i] = (struct mg_network){.address = {0, 0xFFFF00000000ULL | (uint64_t) (10 + 2 * i) << 24},
                                          .prefix = 96 + 8};
    const struct mg_policy_networks list = {.restricted = true, .rows = networks, .count = NETWORKS};
    for (uint32_t i = 0; i < ROUTES; i++)
        (void) snprintf(prefixes[i], sizeof prefixes[i], "/area-%u/admin", i);
    for (uint32_t t = 0; t < TENANTS; t++) {
        (void) snprintf(names[t], sizeof names[t], "tenant-%u.localhost", t + 1);
        tenants[t] = (struct mg_policy_tenant){
            .id = t + 1, .name = names[t], .state = MG_TENANT_ACTIVE, .use = list, .idle_ms = 900000};
        hosts[t] = (struct mg_policy_host){
            .id = t + 1, .name = names[t], .tenant_id = t + 1, .origin = MG_ORIGIN_APP};
        for (uint32_t i = 0; i < ROUTES; i++)
            routes[t * ROUTES + i] =
                (struct mg_policy_route){.tenant_id = t + 1, .prefix = prefixes[i], .roles = 1};
    }
    const struct mg_policy policy = {.tenants = tenants,
                                     .tenant_count = TENANTS,
                                     .hosts = hosts,
                                     .host_count = TENANTS,
                                     .routes = routes,
                                     .route_count = (size_t) TENANTS * ROUTES};
    uint64_t generation;
    stop_on(mg_policy_publish(directory, (gid_t) -1, writer, &policy, &generation));
}

struct visit {
    char cookie[80], host[32], client[16];
    size_t cookie_length, host_length;
};

static void
make_visit(uint64_t id, struct visit *visit)
{
    uint8_t token[MG_TOKEN];
    token_of(id, token);
    OWN_BUFFER(text, 64);
    stop_on(mg_base64url(mg_view_of(token, sizeof token), &text));
    visit->cookie_length = (size_t) snprintf(visit->cookie, sizeof visit->cookie,
                                             "a=b; " MG_SESSION_COOKIE "=%s", mg_buffer_text(&text));
    visit->host_length = (size_t) snprintf(visit->host, sizeof visit->host, "tenant-%u.localhost",
                                           (unsigned) (id % TENANTS + 1));
    (void) snprintf(visit->client, sizeof visit->client, "10.1.%u.%u", (unsigned) (id / 256 % 256),
                    (unsigned) (id % 256));
}

/* One request; false if it is refused. Without `deciding`: what a worker does with it in any case. */
static bool
visit_once(const struct mg_gate_policy *policy, struct mg_session_reader *reader, const struct visit *visit,
           mg_instant now, bool deciding)
{
    MG_FILLED struct mg_tokens tokens;
    uint8_t room[sizeof visit->host];
    struct mg_gate_request request = {
        .path = mg_view_text("/area-7/admin/users"), .tokens = &tokens, .now = now, .monotonic_ms = 1000};
    mg_tokens_clear(&tokens);
    mg_tokens_collect(mg_view_of(visit->cookie, visit->cookie_length), &tokens);
    if (deciding)
        mg_gate_prepare(reader, &tokens);
    const bool read = mg_canonical_host(mg_view_of(visit->host, visit->host_length), room, &request.host) &&
                      mg_ok(mg_address_parse(mg_view_text(visit->client), &request.client)) &&
                      mg_path_is_canonical(request.path);
    struct mg_gate_verdict verdict;
    if (!deciding)
        return read && tokens.count == 1;
    mg_gate_decide(policy, reader, &request, &verdict);
    return read && verdict.refusal == MG_REFUSAL_NONE && verdict.has_session;
}

static double samples[BATCHES], whole[BATCHES];

static int
compare(const void *a, const void *b)
{
    const double left = *(const double *) a, right = *(const double *) b;
    return left < right ? -1 : left > right;
}

/* Every page of the table has been touched by this reader before anything is timed, as in a worker that
 * has been at it for a while. */
static void
warm_up(struct mg_session_reader *reader, uint64_t count, mg_instant now)
{
    for (uint64_t id = 1; id <= count; id++) {
        uint8_t token[MG_TOKEN], hash[MG_TOKEN_HASH];
        struct mg_session_hot found;
        token_of(id, token);
        mg_token_hash(token, hash);
        mg_must(mg_session_lookup(reader, hash, now, false, &found) == MG_SESSION_FOUND);
    }
}

/* Nanoseconds a visit. */
static double
run_batch(const struct mg_gate_policy *policy, struct mg_session_reader *reader,
          const struct visit visits[BATCH], mg_instant now, bool deciding)
{
    bool passed = true;
    const double start = now_ns();
    for (size_t i = 0; i < BATCH; i++)
        passed = visit_once(policy, reader, &visits[i], now, deciding) && passed;
    const double taken_ns = now_ns() - start;
    mg_must(passed);
    return taken_ns / BATCH;
}

struct figures {
    double median, late, whole;
};

static void
measure(const struct mg_gate_policy *policy, struct mg_session_reader *reader, uint64_t count, mg_instant now,
        struct figures *ret_figures)
{
    static struct visit visits[BATCH];
    for (size_t b = 0; b < BATCHES; b++) {
        for (size_t i = 0; i < BATCH; i++)
            make_visit(next_random() % count + 1, &visits[i]);
        /* Time goes on, so that a visit is marked as it is in life. */
        const mg_instant then = now + 1000 + (mg_instant) b * 10;
        /* The reading is warm in both: once for nothing, once for the clock, once with the decision. */
        (void) run_batch(policy, reader, visits, then, false);
        const double reading = run_batch(policy, reader, visits, then, false);
        whole[b] = run_batch(policy, reader, visits, then, true);
        samples[b] = whole[b] - reading;
    }
    qsort(samples, BATCHES, sizeof samples[0], compare);
    qsort(whole, BATCHES, sizeof whole[0], compare);
    *ret_figures = (struct figures){.median = samples[BATCHES / 2],
                                    .late = samples[BATCHES - BATCHES / 100],
                                    .whole = whole[BATCHES / 2]};
}

static double
median_of(size_t count)
{
    qsort(samples, count, sizeof samples[0], compare);
    return samples[count / 2];
}

/* Of one token's SHA-256. */
static double
measure_hash(void)
{
    uint8_t hash[MG_TOKEN_HASH] = {0};
    for (size_t b = 0; b < BATCHES / 10; b++) {
        const double start = now_ns();
        for (size_t i = 0; i < BATCH; i++)
            mg_token_hash(hash, hash);
        samples[b] = (now_ns() - start) / BATCH;
    }
    return median_of(BATCHES / 10);
}

/* Of one read from the table's file that cannot begin before the last has ended. */
static double
measure_read(const char *directory)
{
    char path[MG_PATH];
    stop_on(mg_path_join(path, directory, "sessions"));
    OWN_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    mg_must(fd >= 0 && fstat(fd, &found) == 0);
    const uint8_t *base = mmap(NULL, (size_t) found.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    mg_must(base != MAP_FAILED);
    (void) madvise((void *) (uintptr_t) base, (size_t) found.st_size, MADV_HUGEPAGE);
    const uint64_t lines = (uint64_t) found.st_size / 64;
    uint64_t last = 0;
    for (size_t b = 0; b < BATCHES; b++) {
        const double start = now_ns();
        for (size_t i = 0; i < BATCH; i++) {
            const uint64_t line =
                (uint64_t) (((unsigned __int128) (next_random() ^ (last & 1)) * lines) >> 64);
            last = *(const volatile uint64_t *) (const void *) (base + line * 64);
        }
        samples[b] = (now_ns() - start) / BATCH;
    }
    (void) munmap((void *) (uintptr_t) base, (size_t) found.st_size);
    return median_of(BATCHES);
}

static void
run(const char *parent, uint64_t count)
{
    char directory[MG_PATH];
    mg_must(snprintf(directory, sizeof directory, "%s/mg-bench-XXXXXX", parent) < (int) sizeof directory);
    mg_must(mkdtemp(directory) != NULL);
    const mg_instant now = mg_now();
    OWN(session_writer) writer = NULL;
    struct mg_session_report report;
    stop_on(mg_session_writer_open(directory, count, (gid_t) -1, &writer, &report));
    fill_table(writer, count, now);
    fill_policy(directory, writer);
    mg_session_heartbeat(writer, 1000);
    OWN(session_reader) reader = NULL;
    stop_on(mg_session_reader_open(directory, &reader));
    OWN(gate_policy) policy = NULL;
    stop_on(mg_gate_policy_open(directory, 0, &policy));
    struct figures figures;
    warm_up(reader, count, now);
    measure(policy, reader, count, now, &figures);
    const struct mg_session_usage usage = mg_session_usage_of(writer);
    const double began = now_ns();
    uint64_t removed;
    stop_on(mg_session_remove(writer, &(struct mg_session_match){.user_id = count / 2}, &removed));
    const double revoked_ns = now_ns() - began;
    mg_must(removed == 1);
    printf(
        "%10llu sessions: median %4.0f ns, p99 %4.0f ns (with reading cookie, host, address and path: %4.0f ns), "
        "%3.0f B a session, revoke by user %.1f us; SHA-256 alone %.0f ns, one read at random %.0f ns\n",
        (unsigned long long) count, figures.median, figures.late, figures.whole,
        (double) usage.shared_bytes / (double) usage.sessions, revoked_ns / 1000, measure_hash(),
        measure_read(directory));
    (void) fflush(stdout);
    stop_on(mg_tree_remove(directory));
}

int
main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    if (argc == 2) {
        run(argv[1], 1000);
        run(argv[1], 1000000);
        run(argv[1], 10000000);
    }
    for (int i = 2; i < argc; i++)
        run(argv[1], strtoull(argv[i], NULL, 10));
    return 0;
}
