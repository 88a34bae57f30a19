/* How fast the audit log is: durable records a second through a real sender process (this one) over
 * its socket, each entry of 600 bytes or more, encrypted, committed with fdatasync, signed by
 * masugata-keys and published before it is acknowledged.
 *
 *   bench-audit PROGRAMS DIRECTORY [RECORDS] [IN_FLIGHT]
 *
 * Prints one line of JSON a measurement. */
#include "base/io.h"
#include "support/audit_rig.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ONE_BY_ONE 2000

static double
now_ms(void)
{
    struct timespec at;
    (void) clock_gettime(CLOCK_MONOTONIC, &at);
    return (double) at.tv_sec * 1e3 + (double) at.tv_nsec / 1e6;
}

static int
compare(const void *a, const void *b)
{
    const double left = *(const double *) a, right = *(const double *) b;
    return (left > right) - (left < right);
}

static struct mg_request_audit_append
request_of(uint64_t i, char name[64])
{
    (void) snprintf(name, 64, "user-%06llu@example.co.jp", (unsigned long long) (i % 5000));
    return (struct mg_request_audit_append){
        .event = MG_EVENT_sign_in,
        .tenant = i % 20,
        .actor_kind = MG_ACTOR_USER,
        .actor_id = mg_view_text("0d9a6c1e-52b7-4f6e-9a0c-7b1a2f3c4d5e"),
        .actor_name = mg_view_text(name),
        .target = mg_view_text("https://app.example.co.jp/"),
        .outcome = MG_AUDIT_SUCCESS,
        .reason = mg_view_text("password"),
        .address = mg_view_text("203.0.113.77"),
        .session = mg_view_text("f3b1c9d27a5e48608b24"),
        .request = mg_view_text("9f86d081884c7d659a2feaa0c55ad015"),
    };
}

static struct mg_rig rig = {.sender = -1};
static uint64_t records = 300000, in_flight = 1024;
static double *sent_at, *latency;
static atomic_ulong answered;
static uint64_t base_call;

static void
check(struct mg_status status, const char *what)
{
    if (mg_ok(status))
        return;
    (void) fprintf(stderr, "%s: %s: %s at %s\n", what, mg_error_row(status.code)->name, status.detail,
                   status.where);
    mg_rig_stop(&rig);
    exit(3);
}

static void
print(const char *what, double *samples, size_t count, double seconds)
{
    qsort(samples, count, sizeof *samples, compare);
    (void) printf(
        "{\"measurement\":\"%s\",\"records\":%zu,\"seconds\":%.3f,\"per_second\":%.0f,\"p50_ms\":%.3f,"
        "\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"most_ms\":%.3f}\n",
        what, count, seconds, (double) count / seconds, samples[count / 2], samples[count * 99 / 100],
        samples[count * 999 / 1000], samples[count - 1]);
    (void) fflush(stdout);
}

/* User and system time in microseconds. */
static double
cpu_us(int who)
{
    struct rusage used;
    (void) getrusage(who, &used);
    return (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
           (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static void
one_by_one(void)
{
    static double samples[ONE_BY_ONE];
    char name[64];
    const double begin = now_ms();
    for (uint64_t i = 0; i < ONE_BY_ONE; i++) {
        const struct mg_request_audit_append request = request_of(i, name);
        struct mg_reply_audit_append reply;
        const double at = now_ms();
        check(mg_rig_append(&rig, &request, &reply), "append");
        samples[i] = now_ms() - at;
    }
    print("one at a time", samples, ONE_BY_ONE, (now_ms() - begin) / 1e3);
}

static void *
receive(void *unused)
{
    static uint8_t bytes[4096];
    for (uint64_t i = 0; i < records; i++) {
        struct mg_packet packet;
        check(mg_rig_receive(&rig, 30000, bytes, sizeof bytes, &packet), "answer");
        const uint64_t which = packet.call_id - base_call;
        latency[which] = now_ms() - sent_at[which];
        atomic_fetch_add(&answered, 1);
    }
    return unused;
}

static void
grouped(void)
{
    char name[64];
    pthread_t receiver;
    sent_at = calloc(records, sizeof *sent_at);
    latency = calloc(records, sizeof *latency);
    base_call = rig.last_call + 1;
    const double begin = now_ms();
    if (sent_at == NULL || latency == NULL || pthread_create(&receiver, NULL, receive, NULL) != 0)
        exit(3);
    for (uint64_t i = 0; i < records; i++) {
        while (i - atomic_load(&answered) >= in_flight)
            (void) usleep(200);
        const struct mg_request_audit_append request = request_of(i, name);
        uint64_t call;
        sent_at[i] = now_ms();
        check(mg_rig_send_append(&rig, &request, &call), "send");
    }
    (void) pthread_join(receiver, NULL);
    print("group commit", latency, records, (now_ms() - begin) / 1e3);
}

int
main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    rig.programs = argv[1];
    rig.directory = argv[2];
    if (argc > 3)
        records = strtoull(argv[3], NULL, 10);
    if (argc > 4)
        in_flight = strtoull(argv[4], NULL, 10);
    check(mg_rig_start(&rig), "start");
    one_by_one();
    const double sender_before = cpu_us(RUSAGE_SELF);
    grouped();
    const double sender = cpu_us(RUSAGE_SELF) - sender_before;
    mg_rig_stop(&rig);
    (void) printf("{\"measurement\":\"CPU a record\",\"sender_us\":%.2f,\"audit_and_keys_us\":%.2f}\n",
                  sender / (double) records, cpu_us(RUSAGE_CHILDREN) / (double) (records + ONE_BY_ONE));
    return 0;
}
