#pragma once
/* System calls that `Glibc` lacks and that have nothing to do with sockets would stand here; so far none is needed. */
