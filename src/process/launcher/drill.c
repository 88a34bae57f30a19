/* Stops the application or the database of the drill's tenant for a moment, as the prober asks. A
 * request names no tenant: it is the one whose application is the drill's, and no operator can give a
 * customer that. Whatever becomes of the prober, our own watching starts what was stopped again. */
#include "domain/drill.h"

#include "base/log.h"
#include "process/launcher/launcher.h"

#include <stdio.h>

static bool
is_the_drill(struct mg_view request)
{
    return application_is(request, MG_DRILL_APPLICATION);
}

static struct mg_status
part_find(uint64_t part, const struct child_kind **ret_kind, char name[CHILD_NAME])
{
    char tenant[CHILD_NAME / 2];
    TRY(child_find_request(&application_kind, is_the_drill, tenant));
    *ret_kind = part == MG_DRILL_PART_APPLICATION ? &application_kind : &postgres_kind;
    (void) snprintf(name, CHILD_NAME, "%s%s", part == MG_DRILL_PART_APPLICATION ? "" : "tenant-", tenant);
    return OK;
}

MG_HANDLER_PUBLIC(drill_stop)
{
    const struct child_kind *kind, *other_kind;
    char name[CHILD_NAME], other_name[CHILD_NAME];
    struct mg_process_mark mark;
    if (request->part >= MG_DRILL_PARTS || request->most_ms > MG_DRILL_MOST_MS)
        return fail(INVALID);
    TRY(part_find(request->part, &kind, name));
    TRY(part_find(MG_DRILL_PARTS - 1 - request->part, &other_kind, other_name));
    mg_log(MG_INFO, "drill: stopping %s %s for at most %llu ms", kind->label, name,
           (unsigned long long) request->most_ms);
    TRY(child_interrupt(kind, name, (int64_t) request->most_ms));
    const struct mg_reply_drill_stop reply = {.other_runs = mg_ok(child_mark(other_kind, other_name, &mark))};
    return mg_answer_drill_stop(call, &reply);
}

MG_HANDLER_PUBLIC(drill_start)
{
    const struct child_kind *kind;
    char name[CHILD_NAME];
    if (request->part >= MG_DRILL_PARTS)
        return fail(INVALID);
    TRY(part_find(request->part, &kind, name));
    child_hurry(kind, name);
    return mg_answer_drill_start(call, &(struct mg_reply_drill_start){0});
}
