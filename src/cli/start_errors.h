/* Why a start does not come to its end: what the processes say in DIR/log since it began. Most troubles pass
 * (a server that is still starting); some need a person, and waiting for them would only hide the reason. */
#ifndef MG_CLI_START_ERRORS_H
#define MG_CLI_START_ERRORS_H

#include "base/io.h"

#include <sys/types.h>

#define MG_START_LOGS 16

/* Where each log ended when the start began. */
struct mg_start_errors {
    char directory[MG_PATH];
    off_t from[MG_START_LOGS];
};

CHECKED struct mg_status mg_start_errors_begin(const char *state, struct mg_start_errors *ret_errors);

/* OK while nothing needs a person; otherwise the error as the process had it, twice already: once may be a
 * moment. `last` gets the latest error of any kind as text, empty if there was none. */
CHECKED struct mg_status mg_start_errors_look(const struct mg_start_errors *errors, char last[512]);

#endif
