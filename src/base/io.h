/* Files: bounded reads, whole writes, replacement that survives a crash. */
#ifndef MG_BASE_IO_H
#define MG_BASE_IO_H

#include "base/bytes.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Appends the file; TOO_LARGE past the buffer's maximum. */
CHECKED struct mg_status mg_file_read(const char *path, struct mg_buffer *buffer);
/* The same of a file in a directory that `uid` may write, for a reader with more rights: REFUSED unless it is
 * a plain file, of that owner, under one name alone; a link is not followed, a pipe not waited for. */
CHECKED struct mg_status mg_file_read_of(const char *path, uid_t uid, struct mg_buffer *buffer);
CHECKED struct mg_status mg_fd_read_all(int fd, struct mg_buffer *buffer);
CHECKED struct mg_status mg_fd_write_all(int fd, struct mg_view bytes);

/* Writes beside the file, fsyncs, renames over it, fsyncs the directory: old or new, never half. */
CHECKED struct mg_status mg_file_replace(const char *path, struct mg_view bytes, mode_t mode);

/* The same with an owner, set before the name appears; (uid_t) -1 leaves it. */
CHECKED struct mg_status mg_file_replace_owned(const char *path, struct mg_view bytes, mode_t mode, uid_t uid,
                                               gid_t gid);

CHECKED struct mg_status mg_directory_sync(const char *path);
/* Makes the directory and its missing parents; an existing one keeps its mode and owner. */
CHECKED struct mg_status mg_directory_make(const char *path, mode_t mode);
/* Removes a tree below path, and path; symbolic links are removed, not followed. */
CHECKED struct mg_status mg_tree_remove(const char *path);

/* path = directory "/" name...; TOO_LARGE if it does not fit. */
#define MG_PATH 1024
CHECKED struct mg_status mg_path_join(char path[MG_PATH], const char *directory, const char *name);

#endif
