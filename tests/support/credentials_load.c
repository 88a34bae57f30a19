/* credentials-load FILE SECONDS: eight threads ask the database of a credentials file, with the example
 * application's own store, while the credentials change. Prints one line of JSON. */
#include "../../examples/notes/notes.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 8 };

static atomic_ulong queries, failed, changes;
static int64_t end_ms;

static void *
client(void *unused)
{
    char before[64] = "", role[64] = "";
    while (mg_monotonic_ms() < end_ms) {
        const struct mg_status status = store_role(role);
        atomic_fetch_add(&queries, 1);
        if (!mg_ok(status)) {
            atomic_fetch_add(&failed, 1);
            (void) fprintf(stderr, "%s: %s\n", mg_error_row(status.code)->name, status.detail);
        } else if (strcmp(role, before) != 0) {
            atomic_fetch_add(&changes, before[0] != '\0');
            (void) snprintf(before, sizeof before, "%s", role);
        }
    }
    return unused;
}

int
main(int argc, char **argv)
{
    uint64_t seconds = 0;
    pthread_t threads[THREADS];
    if (argc != 3 || !mg_ok(mg_parse_u64(mg_view_text(argv[2]), 3600, &seconds)) ||
        !mg_ok(store_open(argv[1])))
        return 2;
    end_ms = mg_monotonic_ms() + (int64_t) seconds * 1000;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, client, NULL) != 0)
            return 3;
    for (int i = 0; i < THREADS; i++)
        (void) pthread_join(threads[i], NULL);
    (void) printf("{\"queries\":%lu,\"failed\":%lu,\"changes\":%lu}\n", queries, failed, changes);
    return 0;
}
