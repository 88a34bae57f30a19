/* The watch: looks at every tenant's application and database as their users would meet them, and
 * tells the authority, which shows the maintenance page while one of them is away. It holds no
 * password: a database is asked only whether it would let somebody in. */
#include "base/log.h"
#include "domain/outcome.h"
#include "ports/database.h"
#include "ports/reach.h"
#include "process/runtime/runtime.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    TARGETS_MOST = 2000,
    LOOKERS = 8,      /* so that a few that hang do not hold up the others */
    LOOK_MS = 1000,   /* pause between two looks at one tenant */
    TROUBLE = 4,      /* that much shorter after a failure */
    SPEAK_EVERY = 10, /* looks that also ask for a page; the others only connect */
    LIST_MS = 2000,   /* pause between two lists of tenants */
    HTTP_MS = 2500,
    CALL_MS = 5000,
    AWAY_AFTER = 2,    /* failed looks in a row; one good look ends it */
    REMIND_MS = 30000, /* said again, so that an authority that was restarted knows too */
};

struct part {
    bool away;
    unsigned failures;
};

struct target {
    uint64_t tenant;
    char name[64], upstream[600];
    char database_host[512], database[64];
    bool listed;   /* in the newest list */
    uint64_t turn; /* which one that was */
    bool looking;  /* a thread is at it */
    struct part part[2];
    unsigned looks;
    char reason[256];
    int64_t due_ms, told_ms; /* monotonic */
    bool told_upstream, told_database;
};
enum { UPSTREAM, DATABASE };

static struct {
    pthread_mutex_t lock;
    struct target *list[TARGETS_MOST]; /* never freed; a tenant that is gone is not listed */
    size_t count;
    uint64_t turn; /* of the newest list */
} targets = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* With the lock held; NULL when there are too many. */
static struct target *
target_take(uint64_t tenant)
{
    for (size_t i = 0; i < targets.count; i++)
        if (targets.list[i]->tenant == tenant)
            return targets.list[i];
    if (targets.count >= TARGETS_MOST)
        return NULL;
    struct target *target = calloc(1, sizeof *target);
    if (target == NULL)
        return NULL;
    target->tenant = tenant;
    target->told_upstream = target->told_database = true;
    targets.list[targets.count++] = target;
    return target;
}

/* ---- the list ------------------------------------------------------------------------------------ */

/* The example applications are named, not addressed; where they listen is fixed (launcher). */
static struct mg_status
upstream_set(struct target *target, struct mg_view upstream)
{
    static const char prefix[] = "example:";
    if (upstream.length < sizeof prefix - 1 || memcmp(upstream.bytes, prefix, sizeof prefix - 1) != 0)
        return mg_view_copy(upstream, target->upstream, sizeof target->upstream);
    (void) snprintf(target->upstream, sizeof target->upstream, "unix:%s/app/%llu/http/http.sock",
                    mg_environment()->runtime_directory, (unsigned long long) target->tenant);
    return OK;
}

static struct mg_status
tenants_page(uint64_t after, uint64_t turn, uint64_t *ret_last, bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_tenant_parts reply;
    const struct mg_request_tenant_parts request = {.after = after};
    TRY(mg_call_tenant_parts(&request, &reply, &storage, CALL_MS));
    struct mg_status status = OK;
    bool more = true;
    (void) pthread_mutex_lock(&targets.lock);
    while (mg_ok(status)) {
        struct mg_record_tenant_part part;
        status = mg_list_next_tenant_part(&reply.tenants, &part, &more);
        if (!mg_ok(status) || !more)
            break;
        *ret_last = part.tenant;
        struct target *target = target_take(part.tenant);
        if (target == NULL)
            continue;
        if (!target->looking) {
            status = upstream_set(target, part.upstream);
            if (mg_ok(status))
                status = mg_view_copy(part.name, target->name, sizeof target->name);
        }
        target->listed = part.state == MG_LISTED_ACTIVE;
        target->turn = turn;
    }
    (void) pthread_mutex_unlock(&targets.lock);
    *ret_more = reply.more;
    return status;
}

/* Where the databases are; a tenant without one that serves is left as it was. */
static struct mg_status
instances_page(uint64_t from, uint64_t *ret_next, bool *ret_more)
{
    OWN_BUFFER(storage, MG_PACKET_MOST);
    struct mg_reply_instances_list reply;
    const struct mg_request_instances_list request = {.from = from};
    TRY(mg_call_instances_list(&request, &reply, &storage, CALL_MS));
    struct mg_status status = OK;
    *ret_next = reply.next;
    *ret_more = reply.more && reply.next > from;
    (void) pthread_mutex_lock(&targets.lock);
    while (mg_ok(status)) {
        struct mg_record_instance_state state;
        bool more;
        status = mg_list_next_instance_state(&reply.instances, &state, &more);
        if (!mg_ok(status) || !more)
            break;
        struct target *target = state.tenant == 0 ? NULL : target_take(state.tenant);
        if (target == NULL || target->looking || state.host.length == 0)
            continue;
        status = mg_view_copy(state.host, target->database_host, sizeof target->database_host);
        if (mg_ok(status))
            status = mg_view_copy(state.database, target->database, sizeof target->database);
    }
    (void) pthread_mutex_unlock(&targets.lock);
    return status;
}

static struct mg_status
instances_read(void)
{
    uint64_t from = 0;
    for (bool more = true; more;)
        TRY(instances_page(from, &from, &more));
    return OK;
}

/* A list that does not come, or only half, leaves everybody on the one before. */
static struct mg_status
list_renew(void)
{
    uint64_t after = 0;
    (void) pthread_mutex_lock(&targets.lock);
    const uint64_t turn = ++targets.turn;
    (void) pthread_mutex_unlock(&targets.lock);
    for (bool more = true; more;) {
        const uint64_t before = after;
        TRY(tenants_page(before, turn, &after, &more));
        more = more && after > before;
    }
    (void) pthread_mutex_lock(&targets.lock);
    for (size_t i = 0; i < targets.count; i++)
        if (targets.list[i]->turn != turn)
            targets.list[i]->listed = false;
    (void) pthread_mutex_unlock(&targets.lock);
    return instances_read();
}

/* ---- one look ------------------------------------------------------------------------------------- */

static void
part_judge(struct part *part, bool good)
{
    part->failures = good ? 0 : part->failures + 1;
    if (good)
        part->away = false;
    else if (part->failures >= AWAY_AFTER)
        part->away = true;
}

static void
target_look(struct target *target)
{
    char upstream_reason[120] = "", database_reason[120] = "";
    /* A request each second would fill the application's log; after a failure every look asks. */
    const bool speak = target->looks++ % SPEAK_EVERY == 0 || target->part[UPSTREAM].failures != 0;
    const struct mg_status upstream = speak ? mg_reach_http(target->upstream, target->name, HTTP_MS)
                                            : mg_reach_connect(target->upstream, HTTP_MS);
    if (!mg_ok(upstream))
        (void) snprintf(upstream_reason, sizeof upstream_reason, "application: %.100s", upstream.detail);
    part_judge(&target->part[UPSTREAM], mg_ok(upstream));
    if (target->database_host[0] != '\0') {
        const struct mg_status database =
            mg_database_ping(target->database_host, 0, target->database, "masugata_probe");
        if (!mg_ok(database))
            (void) snprintf(database_reason, sizeof database_reason, "database: does not answer");
        part_judge(&target->part[DATABASE], mg_ok(database));
    }
    (void) snprintf(target->reason, sizeof target->reason, "%s%s%s", upstream_reason,
                    upstream_reason[0] != '\0' && database_reason[0] != '\0' ? "; " : "", database_reason);
}

/* Tells the authority what is new, or what it may have forgotten. */
static void
target_tell(struct target *target)
{
    const bool upstream = !target->part[UPSTREAM].away, database = !target->part[DATABASE].away;
    const bool changed = upstream != target->told_upstream || database != target->told_database;
    const int64_t now_ms = mg_monotonic_ms();
    if (!changed && target->told_ms != 0 && now_ms - target->told_ms < REMIND_MS)
        return;
    OWN_BUFFER(storage, 4096);
    struct mg_reply_tenant_health reply;
    const struct mg_request_tenant_health request = {
        .tenant = target->tenant,
        .upstream = upstream,
        .database = database,
        .reason = mg_view_text(target->reason),
    };
    const struct mg_status status = mg_call_tenant_health(&request, &reply, &storage, CALL_MS);
    if (!mg_ok(status)) {
        mg_log_status(MG_WARNING, "health", status); /* told again at the next look */
        return;
    }
    if (changed)
        mg_log(upstream && database ? MG_INFO : MG_WARNING, "tenant %s: application %s, database %s %s",
               target->name, upstream ? "answers" : "is away", database ? "answers" : "is away",
               target->reason);
    target->told_upstream = upstream;
    target->told_database = database;
    target->told_ms = now_ms;
}

/* With the lock held: the one that waits longest; NULL if none is due. */
static struct target *
target_due(void)
{
    const int64_t now_ms = mg_monotonic_ms();
    struct target *due = NULL;
    for (size_t i = 0; i < targets.count; i++) {
        struct target *target = targets.list[i];
        if (target->listed && !target->looking && target->due_ms <= now_ms &&
            (due == NULL || target->due_ms < due->due_ms))
            due = target;
    }
    return due;
}

/* More tenants are looked at less often: a look costs about 2 ms, all together a tenth of a core. One in
 * trouble is looked at sooner, so that its page comes, and goes, without delay. */
static int64_t
pause_ms(const struct target *target)
{
    const int64_t fair_ms = (int64_t) targets.count * 20;
    const int64_t usual_ms = fair_ms > LOOK_MS ? fair_ms : LOOK_MS;
    const bool trouble = target->part[UPSTREAM].failures != 0 || target->part[DATABASE].failures != 0;
    return trouble ? usual_ms / TROUBLE : usual_ms;
}

static void *
looker(void *unused)
{
    while (!mg_stopping()) {
        (void) pthread_mutex_lock(&targets.lock);
        struct target *target = target_due();
        if (target != NULL)
            target->looking = true;
        (void) pthread_mutex_unlock(&targets.lock);
        if (target == NULL) {
            (void) usleep(100000);
            continue;
        }
        target_look(target);
        target_tell(target);
        (void) pthread_mutex_lock(&targets.lock);
        target->looking = false;
        target->due_ms = mg_monotonic_ms() + pause_ms(target);
        (void) pthread_mutex_unlock(&targets.lock);
    }
    return unused;
}

static void *
lister(void *unused)
{
    while (!mg_stopping()) {
        const struct mg_status status = list_renew();
        if (!mg_ok(status))
            mg_log_status(MG_WARNING, "list of tenants", status);
        (void) usleep(LIST_MS * 1000);
    }
    return unused;
}

static CHECKED struct mg_status
start(const struct mg_environment *environment)
{
    (void) environment;
    for (int i = 0; i <= LOOKERS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, i == 0 ? lister : looker, NULL) != 0)
            return fail_with(SYSTEM, "cannot start a thread");
        (void) pthread_detach(thread);
    }
    return OK;
}

int
main(int argc, char **argv)
{
    static const struct mg_process_description description = {
        .process = MG_WATCH, .threads = 1, .start = start};
    return mg_process_main(argc, argv, &description);
}
