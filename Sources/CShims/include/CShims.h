/* What Swift cannot import by itself: OpenSSL macros, OSSL_PARAM arrays, GNU and Linux calls that `Glibc` lacks. */
#pragma once
#include "openssl_shims.h"
#include "posix_shims.h"
#include "net_shims.h"
