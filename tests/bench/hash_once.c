/* One argon2id hash as any application would make it with libargon2, for every line on standard
 * input; prints the milliseconds it took, by the clock and of CPU. The peer that sign-in is measured beside.
 */
#include <argon2.h>
#include <stdio.h>
#include <time.h>

static double
now_ms(clockid_t clock)
{
    struct timespec at;
    (void) clock_gettime(clock, &at);
    return (double) at.tv_sec * 1e3 + (double) at.tv_nsec / 1e6;
}

int
main(void)
{
    static const char password[] = "lanterns drift upstream";
    unsigned char tag[32];
    for (int c = getchar(); c != EOF; c = getchar()) {
        if (c != '\n')
            continue;
        const double started_ms = now_ms(CLOCK_MONOTONIC), cpu_ms = now_ms(CLOCK_PROCESS_CPUTIME_ID);
        if (argon2id_hash_raw(2, 19456, 1, password, sizeof password - 1, "sixteen byte slt", 16, tag,
                              sizeof tag) != ARGON2_OK)
            return 1;
        (void) printf("%.4f %.4f\n", now_ms(CLOCK_MONOTONIC) - started_ms,
                      now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu_ms);
        (void) fflush(stdout);
    }
    return 0;
}
