/* Where copies of backups are put: whole objects under names, nothing more. One kind so far, a directory (a
 * mounted disk, or another machine's); an object store would be another behind the same functions.
 *
 * An object is visible only whole, and durable when it is: writing it again replaces it at once. What is read
 * here was perhaps changed by somebody else: callers prove it (ports/vault.h). */
#ifndef MG_PORTS_STORE_H
#define MG_PORTS_STORE_H

#include "base/bytes.h"

#define MG_STORE_NAME 512 /* of an object, its NUL included */

struct mg_store;
/* UNAVAILABLE if it is not there. */
CHECKED struct mg_status mg_store_open(const char *directory, struct mg_store **ret_store);
void mg_store_drop(struct mg_store **store);

/* "a/b-1.gz": parts of letters, digits and "._+-", none of which begins with a dot. */
bool mg_store_name_is_valid(struct mg_view name);

/* Of the store: what can still be put there. */
CHECKED struct mg_status mg_store_free(const struct mg_store *store, uint64_t *ret_bytes);

struct mg_store_object {
    const char *name;
    uint64_t bytes;
};
/* Each object, in no order; what is not one (parts that were cut short, odd names) is left out. The walk ends
 * with the first status that is not OK, and returns it. */
CHECKED struct mg_status mg_store_list(const struct mg_store *store,
                                       struct mg_status (*visit)(void *context,
                                                                 const struct mg_store_object *object),
                                       void *context);

/* Writing one: nothing of it is there before mg_store_put_end() returned OK. DISK_FULL. */
struct mg_store_writer;
CHECKED struct mg_status mg_store_put_begin(const struct mg_store *store, const char *name,
                                            struct mg_store_writer **ret_writer);
CHECKED struct mg_status mg_store_put_bytes(struct mg_store_writer *writer, struct mg_view bytes);
CHECKED struct mg_status mg_store_put_end(struct mg_store_writer *writer);
/* For whoever writes by a descriptor; the writer's. */
int mg_store_writer_fd(const struct mg_store_writer *writer);
/* Also gives up what was not ended. */
void mg_store_writer_drop(struct mg_store_writer **writer);

/* NOT_FOUND. The descriptor is the caller's. */
CHECKED struct mg_status mg_store_get(const struct mg_store *store, const char *name, int *ret_fd);
/* Gone for good when it returns; one that is not there is OK. */
CHECKED struct mg_status mg_store_remove(const struct mg_store *store, const char *name);

#endif
