#include "base/secret.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

void
mg_wipe(void *bytes, size_t length)
{
    if (length != 0)
        explicit_bzero(bytes, length);
}

void
mg_random(void *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        const ssize_t got = getrandom((uint8_t *) bytes + done, length - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        mg_must(got > 0);
        done += (size_t) got;
    }
}

/* One mapping each: MADV_DONTDUMP and mlock work on whole pages. */
struct mg_secret {
    size_t length, mapped;
    uint8_t bytes[];
};

struct mg_status
mg_secret_new(size_t length, struct mg_secret **ret_secret)
{
    if (length > 65536)
        return fail_with(TOO_LARGE, "a secret has at most 64 KiB");
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    const size_t mapped = (sizeof(struct mg_secret) + length + page) / page * page;
    void *map = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return fail(OUT_OF_MEMORY);
    if (madvise(map, mapped, MADV_DONTDUMP) != 0 || madvise(map, mapped, MADV_WIPEONFORK) != 0) {
        (void) munmap(map, mapped);
        return fail_errno("madvise");
    }
    /* Locking may be refused by RLIMIT_MEMLOCK; swap is then the operator's duty (docs/THREAT_MODEL). */
    (void) mlock(map, mapped);
    struct mg_secret *secret = map;
    secret->length = length;
    secret->mapped = mapped;
    *ret_secret = secret;
    return OK;
}

struct mg_status
mg_secret_copy(struct mg_view bytes, struct mg_secret **ret_secret)
{
    OWN(secret) secret = NULL;
    TRY(mg_secret_new(bytes.length, &secret));
    if (bytes.length != 0)
        memcpy(secret->bytes, bytes.bytes, bytes.length);
    *ret_secret = TAKE(secret);
    return OK;
}

struct mg_status
mg_secret_random(size_t length, struct mg_secret **ret_secret)
{
    OWN(secret) secret = NULL;
    TRY(mg_secret_new(length, &secret));
    mg_random(secret->bytes, length);
    *ret_secret = TAKE(secret);
    return OK;
}

void
mg_secret_drop(struct mg_secret **secret)
{
    if (*secret == NULL)
        return;
    const size_t mapped = (*secret)->mapped;
    mg_wipe(*secret, mapped);
    (void) munmap(*secret, mapped);
    *secret = NULL;
}

uint8_t *
mg_secret_bytes(struct mg_secret *secret)
{
    return secret->bytes;
}

struct mg_view
mg_secret_view(const struct mg_secret *secret)
{
    return mg_view_of(secret->bytes, secret->length);
}

void
mg_wiper_drop(struct mg_wiper *wiper)
{
    mg_wipe(wiper->bytes, wiper->length);
}
