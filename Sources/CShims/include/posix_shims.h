#pragma once
/* System calls that `Glibc` lacks and that have nothing to do with sockets. */
extern int renameat2(int, const char *, int, const char *, unsigned int);

/* Swaps two names of one file system in one step; -1 and errno where the file system cannot. */
static inline int consilium_exchange_names(const char *one, const char *other) {
    return renameat2(-100 /* AT_FDCWD */, one, -100, other, 2u /* RENAME_EXCHANGE */);
}

/* Writes past the page cache; the number differs between processors. */
#include <fcntl.h>
static const int consilium_direct = __O_DIRECT;
#include <features.h>

/* Freed memory stays with the process, up to `bytes` of each heap; the default is some hundred kilobytes. */
void consilium_keep_freed_memory(int bytes);
