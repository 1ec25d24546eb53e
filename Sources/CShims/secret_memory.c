#include "openssl_shims.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

/* The arena is at most this, and at most half of what the process may lock. A 500 site round keeps about 100 KiB. */
enum { ARENA_BYTES_MAX = 1 << 20, ARENA_BYTES_MIN = 1 << 15, SLOT_BYTES_MIN = 32 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static size_t arena_bytes;
static int arena_is_locked;
static atomic_uint_fast64_t fallback_count;

static void start_arena(void) {
    struct rlimit limit;
    size_t size = ARENA_BYTES_MAX;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        while (size > ARENA_BYTES_MIN && size > limit.rlim_cur / 2) size /= 2;
    /* 1: mapped and locked; 2: mapped, but some protection was refused by the system; 0: none. */
    int result = CRYPTO_secure_malloc_initialized() ? 2 : CRYPTO_secure_malloc_init(size, SLOT_BYTES_MIN);
    arena_bytes = result == 0 ? 0 : size;
    arena_is_locked = result == 1;
}

void *consilium_secret_allocate(size_t count) {
    pthread_once(&once, start_arena);
    size_t size = count == 0 ? 1 : count;
    void *bytes = arena_bytes == 0 ? NULL : OPENSSL_secure_malloc(size);
    if (bytes == NULL) {
        atomic_fetch_add_explicit(&fallback_count, 1, memory_order_relaxed);
        bytes = OPENSSL_malloc(size);
    }
    if (bytes == NULL) abort();
    return bytes;
}

void consilium_secret_free(void *bytes, size_t count) {
    /* Tells its own memory from the plain heap's, and wipes either. */
    OPENSSL_secure_clear_free(bytes, count == 0 ? 1 : count);
}

consilium_secret_statistics consilium_secret_memory_statistics(void) {
    pthread_once(&once, start_arena);
    consilium_secret_statistics statistics = {
        .used_bytes = arena_bytes == 0 ? 0 : CRYPTO_secure_used(),
        .arena_bytes = arena_bytes,
        .is_locked = arena_is_locked,
        .fallback_count = atomic_load_explicit(&fallback_count, memory_order_relaxed),
    };
    return statistics;
}
