/* Breaks of what visitors see while an application or its database is away. */
#include "cli/sabotage/sabotage.h"
#include "domain/drill.h"

#include <stdio.h>
#include <sys/stat.h>

/* ---- AVAILABILITY_06 ---- */

#define DRILL_SERVER "server_name " MG_DRILL_HOST ";\n        ssl_certificate"

static CHECKED struct mg_status
drill_location(struct mg_stage *stage, const char *to)
{
    return mg_stage_nginx_change(stage, &(struct mg_stage_change){DRILL_SERVER, "        location / {\n", to},
                                 1);
}

struct mg_status
break_bare_error(struct mg_stage *stage)
{
    return drill_location(stage, "        error_page 502 504 =500 @sabotage;\n"
                                 "        location @sabotage {\n"
                                 "            return 500 \"cannot connect to the application\\n\";\n"
                                 "        }\n"
                                 "        location / {\n");
}

struct mg_status
repair_bare_error(struct mg_stage *stage)
{
    return mg_stage_nginx_restore(stage);
}

struct mg_status
break_watch_stopped(struct mg_stage *stage)
{
    return mg_stage_stop(stage, "watch");
}

struct mg_status
repair_watch_stopped(struct mg_stage *stage)
{
    return mg_stage_resume(stage);
}

/* ---- AVAILABILITY_07 ---- */

struct mg_status
mg_stage_policy_directory(struct mg_stage *stage, bool writable)
{
    char path[MG_PATH];
    TRY(mg_stage_run_path(stage, "gate", path));
    return chmod(path, writable ? 02750 : 02550) == 0 ? OK : fail_errno("chmod %s", path);
}

struct mg_status
break_policy_frozen(struct mg_stage *stage)
{
    return mg_stage_policy_directory(stage, false);
}

struct mg_status
repair_policy_frozen(struct mg_stage *stage)
{
    return mg_stage_policy_directory(stage, true);
}
