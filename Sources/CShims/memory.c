#include "include/posix_shims.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

void consilium_keep_freed_memory(int bytes) {
#ifdef __GLIBC__
    mallopt(M_TRIM_THRESHOLD, bytes);
    mallopt(M_MMAP_THRESHOLD, bytes / 4);
#else
    (void)bytes;
#endif
}
