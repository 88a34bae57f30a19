#include "ports/argon2_memory.h"

#include "base/secret.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

/* Below, it is not the working memory; above, a foreign hash asks for more than is worth keeping. */
#define KEPT_LEAST ((size_t) 1 << 20)
#define KEPT_MOST ((size_t) 96 << 20)

static _Thread_local struct {
    uint8_t *bytes;
    size_t length;
    bool hashing, lent;
} kept;

#ifndef IS_SANITIZED

static void *
kernel_map(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    /* syscall() sets errno as mmap() does; -1 is MAP_FAILED. */
    return (void *) syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

static int
kernel_unmap(void *address, size_t length)
{
    return (int) syscall(SYS_munmap, address, length);
}

/* NULL: what was kept does not fit, and there is no other. */
static void *
lend(size_t length)
{
    if (kept.length != length) {
        mg_argon2_memory_release();
        void *map = kernel_map(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED)
            return NULL;
        if (madvise(map, length, MADV_DONTDUMP) != 0) {
            (void) kernel_unmap(map, length);
            return NULL;
        }
        (void) madvise(map, length, MADV_HUGEPAGE); /* only speed */
        kept.bytes = map;
        kept.length = length;
    }
    kept.lent = true;
    return kept.bytes;
}

/* Libraries of this process find these instead of libc's; libc itself does not ask for them by name. The
 * names are given here, because the headers may call mmap() mmap64(). */
void *map_for_all(void *address, size_t length, int protection, int flags, int file,
                  off_t offset) __asm__("mmap") __attribute__((visibility("default"), used));
int unmap_for_all(void *address, size_t length) __asm__("munmap")
    __attribute__((visibility("default"), used));

void *
map_for_all(void *address, size_t length, int protection, int flags, int file, off_t offset)
{
    if (kept.hashing && !kept.lent && address == NULL && file == -1 && length >= KEPT_LEAST &&
        length <= KEPT_MOST) {
        void *memory = lend(length);
        if (memory != NULL)
            return memory;
    }
    return kernel_map(address, length, protection, flags, file, offset);
}

int
unmap_for_all(void *address, size_t length)
{
    if (kept.lent && address == kept.bytes && length == kept.length) {
        mg_wipe(kept.bytes, kept.length);
        kept.lent = false;
        return 0;
    }
    return kernel_unmap(address, length);
}

#endif

void
mg_argon2_memory_begin(void)
{
    kept.hashing = true;
}

void
mg_argon2_memory_end(void)
{
    kept.hashing = false;
}

void
mg_argon2_memory_release(void)
{
#ifndef IS_SANITIZED
    if (kept.bytes != NULL && !kept.lent)
        (void) kernel_unmap(kept.bytes, kept.length);
#endif
    if (!kept.lent) {
        kept.bytes = NULL;
        kept.length = 0;
    }
}
