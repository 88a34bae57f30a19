/* A way for processes with users of their own through directories that are closed to them.
 *
 * A deployment that root starts gives every process its own user; all of them must reach the programs and the
 * state directory. Debian's home directories are closed to others (adduser(8), DIR_MODE 0700; /root as well),
 * and a demo in a clone below one could start nothing. Opening the home directory to everybody would be the
 * wrong cure. */
#ifndef MG_PORTS_PASSAGE_H
#define MG_PORTS_PASSAGE_H

#include "base/io.h"

/* Absolute directories without "." and ".." (as realpath(3) gives them). Where others may pass through all
 * that lies above each of them, nothing is done. Otherwise, which needs root: this process gets a mount
 * namespace of its own, inherited by all it starts, in which each closed directory is covered by an empty one
 * that holds the way to `paths` and nothing else, everything under its own name. Other processes see no
 * difference. REFUSED, with the directory's name and mode, where this machine does not let root do that. */
CHECKED struct mg_status mg_passage_open(const char *const paths[], size_t count);

#endif
