#include "base/log.h"

#include "base/reason.h"
#include "base/time.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static const char *log_name = "masugata";
static enum mg_level log_least = MG_INFO;

void
mg_log_open(const char *process_name, enum mg_level least)
{
    log_name = process_name;
    log_least = least;
}

enum mg_level
mg_level_of(const char *word)
{
    for (int i = MG_DEBUG; i <= MG_ERROR; i++)
        if (strcmp(word, level_names[i]) == 0)
            return (enum mg_level) i;
    return MG_INFO;
}

void
mg_log(enum mg_level level, const char *format, ...)
{
    if (level < log_least)
        return;
    char text[1024], line[1200], stamp[MG_INSTANT_TEXT];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0)
        return;
    /* Control characters could forge a second line. */
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char) *c < 0x20 || *c == 0x7F)
            *c = ' ';
    mg_instant_text(mg_now(), stamp);
    const int used =
        snprintf(line, sizeof line, "%s %-7s %s: %s\n", stamp, level_names[level], log_name, text);
    if (used > 0)
        (void) !write(STDERR_FILENO, line, (size_t) used < sizeof line ? (size_t) used : sizeof line - 1);
}

void
mg_log_status(enum mg_level level, const char *what, struct mg_status status)
{
    const struct mg_error_row *row = mg_error_row(status.code);
    char detail[512];
    mg_reason_line(status.detail, false, detail, sizeof detail);
    mg_log(level, "%s: %s%s%s (%s) [%s]", what, row->en, detail[0] != '\0' ? ": " : "", detail, row->hint_en,
           status.where != NULL ? status.where : "");
}
