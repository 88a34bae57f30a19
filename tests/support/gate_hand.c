/* Writes the gate's files at a test's word, in the authority's place: one command a line on standard
 * input, one line of answer. Words are separated by spaces, `name=value` each.
 *
 *   open DIRECTORY [sessions=N] [assertions=N] [group=GID]
 *   tenant id=1 state=1 maintenance=0 use=CIDR,CIDR sign_in=… administrators=… idle_ms= absolute_ms=
 *          csp_mode= header.N=TEXT (percent-encoded) script_cookies=a+b retry_after_s=
 *   host id=1 name= tenant_id=1 origin=1 upstream=
 *   route tenant_id=1 host_id=0 prefix=/x public=0 roles=0 networks=… fresh_s= second_factor_s= bearer= webhook= cors=
 * administrators= proxies CIDR,CIDR      outage MILLISECONDS publish -> ok GENERATION NANOSECONDS session id=
 * token=HEX user= family= tenant= host= roles= origin= idle_ms= expires_in_ms= age_ms= many first= count=
 * (tokens from ids)               -> ok COUNT remove id= user= family= tenant= token=HEX         -> ok COUNT
 * MONOTONIC-NANOSECONDS assertion session= nbf_in_ms= exp_in_ms= token=TEXT (adds to the ones before)
 * unassert session= heartbeat on|off      grow N     drain     seen SECONDS     usage     quit */
#include "base/io.h"
#include "base/time.h"
#include "wire/assertion_map.h"
#include "wire/policy_snapshot.h"
#include "wire/refusal_ring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS 256
#define NETWORKS 64
#define WORDS 40

static struct mg_session_writer *sessions;
static struct mg_assertion_writer *assertions;
static struct mg_refusal_drain *refusals;
static char directory[MG_PATH];
static gid_t group = (gid_t) -1;
static atomic_bool beating;

static struct mg_policy_tenant tenants[ROWS];
static struct mg_policy_host hosts[ROWS];
static struct mg_policy_route routes[ROWS];
static struct mg_policy policy = {.tenants = tenants, .hosts = hosts, .routes = routes};

static char *words[WORDS];
static size_t word_count;

/* The value of name=, percent-decoded in place; NULL if it is not there. */
static char *
value_of(const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 1; i < word_count; i++)
        if (strncmp(words[i], name, length) == 0 && words[i][length] == '=')
            return words[i] + length + 1;
    return NULL;
}

static char *
keep_text(const char *name)
{
    char *value = value_of(name);
    if (value == NULL)
        return NULL;
    char *copy = strdup(value), *to = copy;
    mg_must(copy != NULL);
    for (const char *from = value; *from != '\0'; from++) {
        uint8_t byte = (uint8_t) *from;
        if (byte == '%' && mg_ok(mg_unhex(mg_view_of(from + 1, 2), &byte, 1)))
            from += 2;
        *to++ = (char) byte;
    }
    *to = '\0';
    return copy;
}

static int64_t
number_of(const char *name, int64_t preset)
{
    const char *value = value_of(name);
    return value == NULL ? preset : strtoll(value, NULL, 10);
}

static struct mg_status
networks_of(const char *list, struct mg_policy_networks *networks)
{
    *networks = (struct mg_policy_networks){.restricted = list != NULL};
    if (list == NULL)
        return OK;
    struct mg_network *rows = calloc(NETWORKS, sizeof *rows);
    mg_must(rows != NULL);
    networks->rows = rows;
    while (*list != '\0') {
        const size_t length = strcspn(list, ",");
        mg_must(networks->count < NETWORKS);
        TRY(mg_network_parse(mg_view_of(list, length), &rows[networks->count++]));
        list += length + (list[length] == ',');
    }
    return OK;
}

static void *
beat(void *argument)
{
    (void) argument;
    for (;;) {
        if (atomic_load(&beating))
            mg_session_heartbeat(sessions, mg_monotonic_ms());
        (void) usleep(100000);
    }
    return NULL;
}

static struct mg_status
do_open(void)
{
    struct mg_session_report report;
    TRY(mg_view_copy(mg_view_text(words[1]), directory, sizeof directory));
    group = (gid_t) number_of("group", -1);
    TRY(mg_session_writer_open(directory, (uint64_t) number_of("sessions", 1000), group, &sessions, &report));
    TRY(mg_assertion_writer_open(directory, (uint32_t) number_of("assertions", 1024), group, &assertions));
    TRY(mg_refusal_drain_open(directory, group, &refusals));
    pthread_t thread;
    atomic_store(&beating, true);
    mg_must(pthread_create(&thread, NULL, beat, NULL) == 0);
    mg_session_heartbeat(sessions, mg_monotonic_ms());
    printf("ok %d %llu\n", (int) report.how, (unsigned long long) report.repaired);
    return OK;
}

static struct mg_status
do_tenant(void)
{
    const uint32_t id = (uint32_t) number_of("id", 0);
    size_t at = 0;
    while (at < policy.tenant_count && tenants[at].id != id)
        at++;
    if (at == policy.tenant_count)
        policy.tenant_count++;
    struct mg_policy_tenant *tenant = &tenants[at];
    *tenant = (struct mg_policy_tenant){
        .id = id,
        .name = "tenant",
        .state = (enum mg_tenant_state) number_of("state", 1),
        .maintenance = number_of("maintenance", 0) != 0,
        .retry_after_s = (uint32_t) number_of("retry_after_s", 0),
        .idle_ms = number_of("idle_ms", 0),
        .absolute_ms = number_of("absolute_ms", 0),
        .csp_mode = (enum mg_csp_mode) number_of("csp_mode", 0),
        .script_cookies = keep_text("script_cookies"),
    };
    for (int i = 0; i < MG_POLICY_HEADERS; i++) {
        char name[16];
        (void) snprintf(name, sizeof name, "header.%d", i);
        tenant->headers[i] = keep_text(name);
    }
    TRY(networks_of(value_of("use"), &tenant->use));
    TRY(networks_of(value_of("sign_in"), &tenant->sign_in));
    TRY(networks_of(value_of("administrators"), &tenant->administrators));
    printf("ok\n");
    return OK;
}

static struct mg_status
do_host(void)
{
    mg_must(policy.host_count < ROWS);
    hosts[policy.host_count++] = (struct mg_policy_host){
        .id = (uint32_t) number_of("id", 1),
        .name = keep_text("name"),
        .tenant_id = (uint32_t) number_of("tenant_id", 1),
        .origin = (enum mg_origin) number_of("origin", 1),
        .upstream = keep_text("upstream"),
        .forward_identity = number_of("forward_identity", 0) != 0,
    };
    printf("ok\n");
    return OK;
}

static struct mg_status
do_route(void)
{
    mg_must(policy.route_count < ROWS);
    struct mg_policy_route *route = &routes[policy.route_count++];
    *route = (struct mg_policy_route){
        .tenant_id = (uint32_t) number_of("tenant_id", 1),
        .host_id = (uint32_t) number_of("host_id", 0),
        .prefix = keep_text("prefix"),
        .public = number_of("public", 0) != 0,
        .roles = (uint32_t) number_of("roles", 0),
        .fresh_s = (uint32_t) number_of("fresh_s", 0),
        .second_factor_s = (uint32_t) number_of("second_factor_s", 0),
        .bearer = number_of("bearer", 0) != 0,
        .webhook = number_of("webhook", 0) != 0,
        .administrators_only_networks = number_of("administrators", 0) != 0,
        .cors_origins = keep_text("cors"),
    };
    TRY(networks_of(value_of("networks"), &route->networks));
    printf("ok\n");
    return OK;
}

static struct mg_status
do_publish(void)
{
    uint64_t generation;
    TRY(mg_policy_publish(directory, group, sessions, &policy, &generation));
    printf("ok %llu\n", (unsigned long long) generation);
    return OK;
}

static struct mg_status
token_of(uint8_t hash[MG_TOKEN_HASH])
{
    const char *text = value_of("token");
    return mg_unhex(mg_view_text(text), hash, MG_TOKEN_HASH);
}

static struct mg_status
do_session(void)
{
    const mg_instant now = mg_now();
    struct mg_session session = {
        .session_id = (uint64_t) number_of("id", 1),
        .user_id = (uint64_t) number_of("user", 1),
        .family_id = (uint64_t) number_of("family", 1),
        .tenant_id = (uint32_t) number_of("tenant", 1),
        .host_id = (uint32_t) number_of("host", 0),
        .roles = (uint32_t) number_of("roles", 0),
        .origin = (enum mg_origin) number_of("origin", 1),
        .idle_ms = number_of("idle_ms", 900000),
        .expires_at = now + number_of("expires_in_ms", 3600000),
        .authenticated_at = now - number_of("age_ms", 0),
        .second_factor_at = number_of("second_ms", -1) < 0 ? 0 : now - number_of("second_ms", 0),
        .last_seen_at = now,
    };
    TRY(token_of(session.token_hash));
    TRY(mg_session_put(sessions, &session));
    printf("ok\n");
    return OK;
}

static struct mg_status
do_many(void)
{
    const uint64_t first = (uint64_t) number_of("first", 1000), count = (uint64_t) number_of("count", 0);
    const mg_instant now = mg_now();
    for (uint64_t id = first; id < first + count; id++) {
        struct mg_session session = {.session_id = id,
                                     .user_id = id,
                                     .family_id = id,
                                     .tenant_id = (uint32_t) (id % 100 + 1),
                                     .origin = MG_ORIGIN_APP,
                                     .idle_ms = 900000,
                                     .expires_at = now + 36000000,
                                     .authenticated_at = now,
                                     .last_seen_at = now};
        for (uint64_t i = 0; i < 4; i++) {
            const uint64_t word = (id * 4 + i + 1) * 0x9E3779B97F4A7C15ULL ^ id << 17;
            memcpy(session.token_hash + 8 * i, &word, sizeof word);
        }
        TRY(mg_session_put(sessions, &session));
    }
    printf("ok %llu\n", (unsigned long long) count);
    return OK;
}

static uint64_t
monotonic_ns(void)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static struct mg_status
do_remove(void)
{
    uint8_t hash[MG_TOKEN_HASH];
    struct mg_session_match match = {
        .session_id = (uint64_t) number_of("id", 0),
        .user_id = (uint64_t) number_of("user", 0),
        .family_id = (uint64_t) number_of("family", 0),
        .tenant_id = (uint32_t) number_of("tenant", 0),
    };
    if (value_of("token") != NULL) {
        TRY(token_of(hash));
        match.token_hash = hash;
    }
    uint64_t count;
    TRY(mg_session_remove(sessions, &match, &count));
    printf("ok %llu %llu\n", (unsigned long long) count, (unsigned long long) monotonic_ns());
    return OK;
}

/* The tokens of one session, collected over several commands. */
static struct mg_assertion rows[MG_ASSERTIONS_MOST];
static size_t row_count;
static int64_t row_session;

static struct mg_status
do_assertion(void)
{
    const int64_t session = number_of("session", 1);
    if (session != row_session || row_count == MG_ASSERTIONS_MOST)
        row_count = 0;
    row_session = session;
    rows[row_count++] = (struct mg_assertion){.not_before = mg_now() + number_of("nbf_in_ms", 0),
                                              .expires = mg_now() + number_of("exp_in_ms", 300000),
                                              .token = mg_view_text(keep_text("token"))};
    TRY(mg_assertion_put(assertions, (uint64_t) session, rows, row_count, mg_now()));
    printf("ok\n");
    return OK;
}

static struct mg_status
do_unassert(void)
{
    row_session = 0;
    mg_assertion_remove(assertions, (uint64_t) number_of("session", 1));
    printf("ok\n");
    return OK;
}

static struct mg_status
print_refusal(void *context, const struct mg_refusal_count *count)
{
    (void) context;
    char network[MG_ADDRESS_TEXT];
    mg_address_text(count->network, network);
    printf(" %u:%s:%s:%llu", count->tenant_id, mg_refusal_row(count->reason)->name, network,
           (unsigned long long) count->count);
    return OK;
}

static struct mg_status
do_drain(void)
{
    uint64_t lost = 0, more = 0;
    printf("ok");
    TRY(mg_refusal_drain_run(refusals, sessions, print_refusal, NULL, &lost));
    (void) usleep(50000);
    TRY(mg_refusal_drain_run(refusals, sessions, print_refusal, NULL, &more));
    printf(" lost:%llu\n", (unsigned long long) (lost + more));
    return OK;
}

static struct mg_status
print_seen(void *context, uint64_t session_id, uint64_t user_id, mg_instant seen_at)
{
    (void) context;
    (void) user_id;
    printf(" %llu:%lld", (unsigned long long) session_id, (long long) (seen_at / 1000));
    return OK;
}

static struct mg_status
do_seen(void)
{
    printf("ok");
    TRY(mg_session_seen_walk(sessions, mg_now() - strtoll(words[1], NULL, 10) * 1000, print_seen, NULL));
    printf("\n");
    return OK;
}

static struct mg_status
do_other(void)
{
    const char *verb = words[0];
    if (strcmp(verb, "proxies") == 0)
        TRY(networks_of(words[1], &policy.trusted_proxies));
    else if (strcmp(verb, "outage") == 0)
        policy.outage_ms = strtoll(words[1], NULL, 10);
    else if (strcmp(verb, "heartbeat") == 0)
        atomic_store(&beating, strcmp(words[1], "on") == 0);
    else if (strcmp(verb, "clear") == 0)
        policy.tenant_count = policy.host_count = policy.route_count = 0;
    else if (strcmp(verb, "grow") == 0)
        TRY(mg_session_grow(sessions, strtoull(words[1], NULL, 10)));
    else if (strcmp(verb, "usage") == 0) {
        const struct mg_session_usage usage = mg_session_usage_of(sessions);
        printf("ok %llu %llu %llu\n", (unsigned long long) usage.sessions,
               (unsigned long long) usage.capacity, (unsigned long long) usage.shared_bytes);
        return OK;
    } else
        return fail_with(USAGE, "%s", verb);
    printf("ok\n");
    return OK;
}

static const struct {
    const char *verb;
    struct mg_status (*run)(void);
} verbs[] = {{"open", do_open},         {"tenant", do_tenant},   {"host", do_host},
             {"route", do_route},       {"publish", do_publish}, {"session", do_session},
             {"many", do_many},         {"remove", do_remove},   {"assertion", do_assertion},
             {"unassert", do_unassert}, {"drain", do_drain},     {"seen", do_seen}};

static struct mg_status
run_line(void)
{
    for (size_t i = 0; i < MG_COUNT(verbs); i++)
        if (strcmp(words[0], verbs[i].verb) == 0)
            return verbs[i].run();
    return do_other();
}

int
main(void)
{
    static char line[8192]; /* the words point into it */
    while (fgets(line, sizeof line, stdin) != NULL) {
        word_count = 0;
        char *rest = line, *word;
        while ((word = strsep(&rest, " \n")) != NULL && word_count < WORDS)
            if (*word != '\0')
                words[word_count++] = word;
        if (word_count == 0)
            continue;
        if (strcmp(words[0], "quit") == 0)
            return 0;
        const struct mg_status status = run_line();
        if (!mg_ok(status))
            printf("error %s: %s at %s\n", mg_error_row(status.code)->name, status.detail, status.where);
        (void) fflush(stdout);
    }
    return 0;
}
