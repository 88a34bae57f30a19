/* The service log: one line an event on standard error, for the person at 3 a.m.
 * Only process and cli log. A line names the process and holds no secret and no line break. */
#ifndef MG_BASE_LOG_H
#define MG_BASE_LOG_H

#include "base/status.h"

enum mg_level { MG_DEBUG, MG_INFO, MG_WARNING, MG_ERROR };

/* Set once at start; the name is borrowed. */
void mg_log_open(const char *process_name, enum mg_level least);
/* The level called "debug", "info", "warning" or "error"; any other word is "info". */
enum mg_level mg_level_of(const char *word);
void mg_log(enum mg_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "<what>: <error text>: <detail> (<hint>) [where]". */
void mg_log_status(enum mg_level level, const char *what, struct mg_status status);

#endif
