#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mg_error_row rows[MG_CODE_COUNT] = {
    [MG_OK] = {"OK", 0, false, "done", "完了", "", ""},
#define ERROR(name, exit, retry, english, japanese, hint_english, hint_japanese) \
    [MG_##name] = {#name, exit, retry, english, japanese, hint_english, hint_japanese},
#include "../../catalogue/errors.def"
#undef ERROR
};

/* One line is enough for a path and a reason; longer details are cut, never overrun. */
static _Thread_local char detail_text[512];

static struct mg_status
fail_v(enum mg_code code, const char *where, const char *suffix, const char *format, va_list args)
{
    /* The arguments may point into detail_text itself, so the new text is made beside it. */
    char text[sizeof detail_text];
    if (vsnprintf(text, sizeof text, format, args) < 0)
        text[0] = '\0';
    if (suffix != NULL) {
        const size_t used = strlen(text);
        (void) snprintf(text + used, sizeof text - used, ": %s", suffix);
    }
    memcpy(detail_text, text, sizeof text);
    return (struct mg_status){.code = code, .where = where, .detail = detail_text};
}

struct mg_status
mg_fail_with(enum mg_code code, const char *where, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const struct mg_status status = fail_v(code, where, NULL, format, args);
    va_end(args);
    return status;
}

struct mg_status
mg_fail_errno(const char *where, const char *format, ...)
{
    const int number = errno;
    enum mg_code code = MG_SYSTEM;
    if (number == ENOSPC || number == EDQUOT)
        code = MG_DISK_FULL;
    else if (number == ENOENT)
        code = MG_NOT_FOUND;
    else if (number == ENOMEM)
        code = MG_OUT_OF_MEMORY;
    char reason[128];
    va_list args;
    va_start(args, format);
    const struct mg_status status =
        fail_v(code, where, strerror_r(number, reason, sizeof reason), format, args);
    va_end(args);
    return status;
}

const struct mg_error_row *
mg_error_row(enum mg_code code)
{
    if ((unsigned) code >= MG_CODE_COUNT)
        return &rows[MG_SYSTEM];
    return &rows[code];
}

void
mg_must_failed(const char *condition, const char *where)
{
    (void) fprintf(stderr, "bug at %s: %s does not hold; stopping\n", where, condition);
    abort();
}
