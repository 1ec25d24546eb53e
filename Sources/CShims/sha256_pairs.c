/*
 * SHA-256 of many short messages of one length, two at a time, with the SHA instructions of x86-64 processors.
 *
 * One message keeps their unit half idle, since every step waits for the one before; libcrypto hashes one message at a time. The
 * leaves and nodes of a record's tree, thousands in a request, are such messages. FIPS 180-4; `HashingTests` holds every
 * length against libcrypto, which also hashes what does not fit here.
 */
#include "include/openssl_shims.h"

#include <openssl/crypto.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>

enum { BLOCK = 64, DIGEST = 32, LONGEST = 1024 };

static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int has_instructions;

static void look(void) {
    unsigned a, b, c, d;
    has_instructions = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}

#define TARGET __attribute__((target("sha,sse4.1")))

/* Hashes two padded messages of `blocks` blocks. */
TARGET static void hash_two(const uint8_t *first, const uint8_t *second, size_t blocks, uint8_t *digests) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    const uint8_t *messages[2] = {first, second};
    __m128i abef[2], cdgh[2], w[2][4];
    for (int m = 0; m < 2; m++) {
        __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)start), 0xb1);
        __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(start + 4)), 0x1b);
        abef[m] = _mm_alignr_epi8(low, high, 8);
        cdgh[m] = _mm_blend_epi16(high, low, 0xf0);
    }
    for (size_t block = 0; block < blocks; block++) {
        __m128i before[2][2] = {{abef[0], cdgh[0]}, {abef[1], cdgh[1]}};
#pragma clang loop unroll(full)
        for (int four = 0; four < 16; four++) {
            __m128i k = _mm_loadu_si128((const __m128i *)(constants + 4 * four));
#pragma clang loop unroll(full)
            for (int m = 0; m < 2; m++) {
                __m128i *now = &w[m][four & 3];
                if (four < 4) {
                    const __m128i *words = (const __m128i *)(messages[m] + block * BLOCK);
                    *now = _mm_shuffle_epi8(_mm_loadu_si128(words + four), order);
                } else {
                    __m128i last = w[m][(four + 3) & 3];
                    __m128i middle = _mm_alignr_epi8(last, w[m][(four + 2) & 3], 4);
                    *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, w[m][(four + 1) & 3]), middle), last);
                }
                __m128i sum = _mm_add_epi32(*now, k);
                cdgh[m] = _mm_sha256rnds2_epu32(cdgh[m], abef[m], sum);
                abef[m] = _mm_sha256rnds2_epu32(abef[m], cdgh[m], _mm_shuffle_epi32(sum, 0x0e));
            }
        }
        for (int m = 0; m < 2; m++) {
            abef[m] = _mm_add_epi32(abef[m], before[m][0]);
            cdgh[m] = _mm_add_epi32(cdgh[m], before[m][1]);
        }
    }
    for (int m = 0; m < 2; m++) {
        __m128i low = _mm_shuffle_epi32(abef[m], 0x1b), high = _mm_shuffle_epi32(cdgh[m], 0xb1);
        __m128i *digest = (__m128i *)(digests + m * DIGEST);
        _mm_storeu_si128(digest, _mm_shuffle_epi8(_mm_blend_epi16(low, high, 0xf0), order));
        _mm_storeu_si128(digest + 1, _mm_shuffle_epi8(_mm_alignr_epi8(high, low, 8), order));
    }
}

/* Pads a message of `count` bytes in place. */
static void pad(uint8_t *message, size_t count, size_t blocks) {
    memset(message + count, 0, blocks * BLOCK - count);
    message[count] = 0x80;
    for (int i = 0; i < 8; i++) message[blocks * BLOCK - 1 - i] = (uint8_t)((uint64_t)count * 8 >> (8 * i));
}

size_t consilium_sha256_pairs(const uint8_t *prefix, size_t prefix_count, const uint8_t *rows, size_t stride, size_t skip,
                              size_t count, uint8_t *digests) {
    if (count < 2) return 0;
    size_t length = stride - skip, whole = prefix_count + length, blocks = (whole + 9 + BLOCK - 1) / BLOCK;
    pthread_once(&once, look);
    if (!has_instructions || length > LONGEST || prefix_count > LONGEST || blocks * BLOCK > LONGEST) return 0;
    uint8_t messages[2][LONGEST];
    for (int m = 0; m < 2; m++) {
        memcpy(messages[m], prefix, prefix_count);
        pad(messages[m], whole, blocks);
    }
    size_t row = 0;
    for (; row + 2 <= count; row += 2) {
        for (int m = 0; m < 2; m++) memcpy(messages[m] + prefix_count, rows + (row + m) * stride + skip, length);
        hash_two(messages[0], messages[1], blocks, digests + row * DIGEST);
    }
    OPENSSL_cleanse(messages, sizeof messages);
    return row;
}
#else
size_t consilium_sha256_pairs(const uint8_t *prefix, size_t prefix_count, const uint8_t *rows, size_t stride, size_t skip,
                              size_t count, uint8_t *digests) {
    (void)prefix, (void)prefix_count, (void)rows, (void)stride, (void)skip, (void)count, (void)digests;
    return 0;
}
#endif
