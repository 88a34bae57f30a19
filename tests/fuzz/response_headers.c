/* Header lines of a response, with Content-Security-Policy, HSTS and Set-Cookie in them. */
#include "domain/header_grade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mg_headers_seen seen;
    struct mg_header_grade grade;
    struct mg_hsts hsts;
    mg_headers_read(mg_view_of(data, size), &seen);
    mg_header_grade(&seen, &grade);
    mg_must(grade.points >= 0 && grade.points <= 200);
    mg_must(!seen.hsts_present || seen.hsts.max_age_s >= 0);
    if (mg_hsts_parse(mg_view_of(data, size), &hsts))
        mg_must(hsts.max_age_s >= 0);
    const struct mg_csp csp = mg_csp_parse(mg_view_of(data, size));
    mg_must(csp.present);
    return 0;
}
