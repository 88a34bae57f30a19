/* One argon2id hash as any application would make it with libargon2, for every line on standard
 * input; prints the milliseconds it took, by the clock and of CPU. The peer that sign-in is measured beside.
 * With the argument "ours": as the hasher makes it. */
#include "ports/password_hash.h"

#include <argon2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double
now_ms(clockid_t clock)
{
    struct timespec at;
    (void) clock_gettime(clock, &at);
    return (double) at.tv_sec * 1e3 + (double) at.tv_nsec / 1e6;
}

int
main(int argc, char **argv)
{
    char hash[MG_PASSWORD_HASH_TEXT];
    const bool ours = argc > 1 && strcmp(argv[1], "ours") == 0;
    static const char password[] = "lanterns drift upstream";
    unsigned char tag[32];
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c != '\n')
            continue;
        const double started_ms = now_ms(CLOCK_MONOTONIC), cpu_ms = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        const bool made = ours
                              ? mg_ok(mg_password_hash(mg_view_text(password), MG_PASSWORD_COST_PRESET, hash))
                              : argon2id_hash_raw(2, 19456, 1, password, sizeof password - 1,
                                                  "sixteen byte slt", 16, tag, sizeof tag) == ARGON2_OK;
        if (!made)
            return 1;
        (void) printf("%.4f %.4f\n", now_ms(CLOCK_MONOTONIC) - started_ms,
                      now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_ms);
        (void) fflush(stdout);
    }
    return 0;
}
