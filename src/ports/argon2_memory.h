/* The working memory of argon2id, which each thread that hashes keeps between hashes, in huge pages: to have
 * it mapped and cleared by the kernel anew each time would cost a third of a hash (19 MiB: 4 of 12 ms).
 *
 * libsodium takes no allocator. It maps the memory with mmap() and gives it back with munmap(), so the
 * program that links this has both of its own, which the dynamic linker finds before libc's: they pass
 * everything on to the kernel but for what is asked between begin and end. Under a sanitizer, which has its
 * own of both, nothing is kept. */
#ifndef MG_PORTS_ARGON2_MEMORY_H
#define MG_PORTS_ARGON2_MEMORY_H

/* Around one hash, in the thread that computes it. At the end the memory is wiped. */
void mg_argon2_memory_begin(void);
void mg_argon2_memory_end(void);

/* Gives the calling thread's back to the kernel. */
void mg_argon2_memory_release(void);

#endif
