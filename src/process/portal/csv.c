/* Files that a page gives. */
#include "process/portal/csv.h"

struct mg_status
mg_file_head(struct visit *visit, const char *content_type, const char *name)
{
    visit->answer->status = 200;
    visit->answer->content_type = content_type;
    TRY(mg_web_header_add(visit->answer, "Cache-Control", "no-store"));
    TRY(mg_web_header_add(visit->answer, "X-Content-Type-Options", "nosniff"));
    TRY(mg_web_header_add(visit->answer, "Content-Security-Policy", "default-src 'none'; sandbox"));
    TRY(mg_web_header_add(visit->answer, "Cross-Origin-Resource-Policy", "same-origin"));
    return mg_web_header_add(visit->answer, "Content-Disposition", "attachment; filename=\"%s\"", name);
}

struct mg_status
mg_csv_send(struct visit *visit, const char *content_type, const struct mg_buffer *file, const char *name)
{
    if (name == NULL)
        return fail(OUT_OF_MEMORY);
    TRY(mg_file_head(visit, content_type, name));
    visit->answer->body.maximum = MG_FILE_MOST + 1;
    return mg_buffer_add(&visit->answer->body, mg_buffer_view(file));
}

struct mg_status
mg_csv_too_large(struct visit *visit)
{
    return show_message(visit, 422, N_("Not possible"),
                        N_("That is too much for one file. Choose a shorter period."), "/console/audit",
                        N_("Back to the audit log"));
}
