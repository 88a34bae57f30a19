/* For tests: sets the clock of every program that loads it, without touching the machine's. The wall clock is
 * moved by the seconds that stand in /etc/masugata-clock-shift (an int64_t, mapped: a change counts at once);
 * monotonic clocks are as they are. Loaded through /etc/ld.so.preload in a mount namespace of the test's own,
 * so that it reaches programs whose environment is made anew; for one program LD_PRELOAD and another file,
 * named by MASUGATA_CLOCK_SHIFT, are enough. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *shift;
static int (*real_gettime)(clockid_t clock, struct timespec *now);

int clock_gettime(clockid_t clock, struct timespec *now);
int gettimeofday(struct timeval *restrict now, void *restrict zone);
time_t time(time_t *now);

__attribute__((constructor)) static void
shift_open(void)
{
    void *found = dlsym(RTLD_NEXT, "clock_gettime");
    *(void **) &real_gettime = found;
    const char *path = getenv("MASUGATA_CLOCK_SHIFT");
    const int fd = open(path != NULL ? path : "/etc/masugata-clock-shift", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        shift = map;
    (void) close(fd);
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's begin with underscores */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
    if (real_gettime == NULL)
        shift_open();
    const int answer = real_gettime(clock, now);
    if (answer == 0 && shift != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += (time_t) atomic_load_explicit(shift, memory_order_relaxed);
    return answer;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void) zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t
time(time_t *now)
{
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &exact) != 0)
        return (time_t) -1;
    if (now != NULL)
        *now = exact.tv_sec;
    return exact.tv_sec;
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
