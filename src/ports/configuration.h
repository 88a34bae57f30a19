/* Reads masugata.conf through libconfuse into the option table. A wrong line gives
 * CONFIGURATION with "FILE:LINE: what is wrong and what is allowed", and nothing else happens.
 *
 *   session.idle = 15m          # a comment
 *   console.allow = "10.0.0.0/8 192.0.2.7/32"
 */
#ifndef MG_PORTS_CONFIGURATION_H
#define MG_PORTS_CONFIGURATION_H

#include "wire/options.h"

/* Presets first, then the file; a missing file is NOT_FOUND. */
CHECKED struct mg_status mg_configuration_read(const char *path, struct mg_options **ret_options);

/* The same of a text; `name` stands for the file in what is said about a wrong line. */
CHECKED struct mg_status mg_configuration_parse(const char *name, struct mg_view text,
                                                struct mg_options **ret_options);

/* The sample file: every option with its text in both languages, preset and range, commented out. */
CHECKED struct mg_status mg_configuration_sample(struct mg_buffer *text);

/* Where the two directories of a deployment are. `state` is made absolute; the runtime directory
 * comes from the option or is chosen: /run/masugata/ID as root, else under $XDG_RUNTIME_DIR or
 * /dev/shm. ID is derived from the state directory. INVALID if the path is too long for a socket. */
struct mg_deployment {
    char state[512], run[512];
};
CHECKED struct mg_status mg_deployment_find(const char *state, const struct mg_options *options,
                                            struct mg_deployment *ret_deployment);

#endif
