/* Breaks of the controls about proof itself. */
#include "cli/sabotage/sabotage.h"

static CHECKED struct mg_status
edit_matrix(struct mg_stage *stage, const char *from, const char *to)
{
    char path[MG_PATH];
    TRY(mg_stage_run_path(stage, "proof/responsibility.json", path));
    return mg_stage_edit(stage, path, from, to);
}

struct mg_status
break_matrix_two_parties(struct mg_stage *stage)
{
    return edit_matrix(stage, "\"accountable\":\"CUSTOMER\"", "\"accountable\":\"CUSTOMER VENDOR\"");
}

struct mg_status
repair_matrix_two_parties(struct mg_stage *stage)
{
    return mg_stage_restore(stage);
}

struct mg_status
break_matrix_duty_missing(struct mg_stage *stage)
{
    return edit_matrix(stage, "{\"id\":\"CUSTOMER_USERS\"", "{\"id\":\"CUSTOMER_NOTHING\"");
}

struct mg_status
repair_matrix_duty_missing(struct mg_stage *stage)
{
    return mg_stage_restore(stage);
}
