/* Included first by clang-tidy (tests/lint). The analyzer sees one file at a time and would think that a
 * failure made elsewhere may be OK; a failure is said to be one here. */
#include "base/status.h"
/* Not fail(): cmocka has one of its own. */
#define FAILED_AS(name) ((struct mg_status){.code = MG_##name, .where = MG_HERE, .detail = ""})
#undef fail_with
#undef fail_errno
#define fail_with(name, ...) ((void) mg_fail_with(MG_##name, MG_HERE, __VA_ARGS__), FAILED_AS(name))
#define fail_errno(...) ((void) mg_fail_errno(MG_HERE, __VA_ARGS__), FAILED_AS(SYSTEM))
