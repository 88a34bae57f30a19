/* The one error type. A function that can fail returns `struct mg_status`, which the compiler
 * does not let a caller ignore; its outputs (ret_*) are untouched unless it returns OK.
 * A refusal that is part of the rules (wrong password, policy) is a decision in the function's
 * output, not a status. Whoever cannot tell what a status means must deny.
 *
 * Libraries (base, wire, domain, ports, probes) never log; process and cli log a status once. */
#ifndef MG_BASE_STATUS_H
#define MG_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

enum mg_code {
    MG_OK = 0,
#define ERROR(name, ...) MG_##name,
#include "../../catalogue/errors.def"
#undef ERROR
    MG_CODE_COUNT
};

/* `detail` points into a buffer of the failing thread that lives until that thread's next
 * mg_fail_with(); copy it to keep it. `where` is a string literal "file:line". */
struct mg_status {
    enum mg_code code;
    const char *where;
    const char *detail;
};

#define CHECKED __attribute__((warn_unused_result))

#define OK ((struct mg_status){.code = MG_OK, .where = NULL, .detail = ""})

#define MG_TEXT_OF_(x) #x
#define MG_TEXT_OF(x) MG_TEXT_OF_(x)
#define MG_HERE (__FILE_NAME__ ":" MG_TEXT_OF(__LINE__))
#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

/* fail(NOT_FOUND): a status with that code. */
#define fail(name) ((struct mg_status){.code = MG_##name, .where = MG_HERE, .detail = ""})

/* fail_with(INVALID, "port %u", port): the same with a detail; the text must hold no secret. */
#define fail_with(name, ...) mg_fail_with(MG_##name, MG_HERE, __VA_ARGS__)

/* fail_errno("open %s", path): SYSTEM (or DISK_FULL, NOT_FOUND) with errno's text appended. */
#define fail_errno(...) mg_fail_errno(MG_HERE, __VA_ARGS__)

/* The only macro that returns. */
#define TRY(expression)                                \
    do {                                               \
        const struct mg_status mg_try_ = (expression); \
        if (mg_try_.code != MG_OK)                     \
            return mg_try_;                            \
    } while (0)

struct mg_status mg_fail_with(enum mg_code code, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct mg_status mg_fail_errno(const char *where, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline bool
mg_ok(struct mg_status status)
{
    return status.code == MG_OK;
}

/* The row of an error. Never NULL; unknown codes give the row of SYSTEM. */
struct mg_error_row {
    const char *name; /* "NOT_FOUND" */
    int exit_code;
    bool retryable;
    const char *en, *ja, *hint_en, *hint_ja;
};
const struct mg_error_row *mg_error_row(enum mg_code code);

/* A bug: says where and aborts, in production too. A stopped process is restarted, a wrong one
 * lies. Not for input, and not in the gate, which refuses the request instead. */
#define mg_must(condition)                       \
    do {                                         \
        if (__builtin_expect(!(condition), 0))   \
            mg_must_failed(#condition, MG_HERE); \
    } while (0)
__attribute__((noreturn)) void mg_must_failed(const char *condition, const char *where);

#endif
