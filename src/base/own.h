/* Ownership: who frees what, visible in the declaration.
 *
 * OWN(type) name: name owns a `struct mg_type *`; mg_type_drop(&name) runs when the scope ends.
 * TAKE(name): hands the pointer over and clears it, so that the drop finds NULL.
 * A drop function accepts NULL and clears what it was given. */
#ifndef MG_BASE_OWN_H
#define MG_BASE_OWN_H

#include <stddef.h>

#define MG_CLEANUP(function) __attribute__((cleanup(function)))

/* A variable that is written before it is read: -ftrivial-auto-var-init leaves it alone. For large ones
 * where every nanosecond counts, and nowhere else. */
#define MG_FILLED __attribute__((uninitialized))

/* Declares an owning pointer to struct mg_<type>. */
#define OWN(type) MG_CLEANUP(mg_##type##_drop) struct mg_##type *

/* Evaluates to the pointer and leaves NULL behind. */
#define TAKE(pointer)                             \
    __extension__({                               \
        __typeof__(pointer) mg_taken = (pointer); \
        (pointer) = NULL;                         \
        mg_taken;                                 \
    })

/* Closes a file descriptor at scope end; -1 means none. */
void mg_fd_drop(int *fd);
#define OWN_FD MG_CLEANUP(mg_fd_drop) int

/* Frees malloc'ed text at scope end. */
void mg_text_drop(char **text);
#define OWN_TEXT MG_CLEANUP(mg_text_drop) char *

#define MG_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
