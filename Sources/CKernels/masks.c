// AES-256-CTR keystreams added to words in place, four blocks to a register (VAES with AVX-512). The keystream never
// reaches memory. Nothing here depends on a secret: no branch, no table, no address.

#include "CKernels.h"

#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define VECTOR_AES __attribute__((target("aes,sse4.1,avx512f,avx512bw,vaes")))
#define INLINE static inline __attribute__((always_inline))

// Registers under way at once: enough to hide the latency of a round.
enum { LANES = 8, WORDS = 16, ROUNDS = 14 };

bool ck_has_vector_aes(void) {
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("vaes");
}

// FIPS 197 §5.2: each round key is the one two before it, with the prefix sums of its words, and `mix`.
VECTOR_AES INLINE __m128i next_key(__m128i key, __m128i mix) {
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, mix);
}

#define EVEN(i, constant) \
    key[i] = next_key(key[i - 2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[i - 1], constant), 0xff))
#define ODD(i) key[i] = next_key(key[i - 2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(key[i - 1], 0), 0xaa))

VECTOR_AES void ck_mask_schedule(const uint8_t *bytes, uint8_t *schedule) {
    __m128i key[ROUNDS + 1];
    key[0] = _mm_loadu_si128((const __m128i *)bytes);
    key[1] = _mm_loadu_si128((const __m128i *)(bytes + 16));
    EVEN(2, 0x01), ODD(3), EVEN(4, 0x02), ODD(5), EVEN(6, 0x04), ODD(7), EVEN(8, 0x08), ODD(9);
    EVEN(10, 0x10), ODD(11), EVEN(12, 0x20), ODD(13), EVEN(14, 0x40);
    for (int i = 0; i <= ROUNDS; i++) {
        _mm_storeu_si128((__m128i *)(schedule + 16 * i), key[i]);
        // The copy on the stack goes too.
        *(volatile __m128i *)&key[i] = _mm_setzero_si128();
    }
}

// Four counter blocks: the last word of each is big-endian.
VECTOR_AES INLINE __m512i blocks(__m512i counter, __m512i swap) { return _mm512_shuffle_epi8(counter, swap); }

VECTOR_AES INLINE __m512i combine(__m512i word, __m512i mask, bool added) {
    return added ? _mm512_add_epi32(word, mask) : _mm512_sub_epi32(word, mask);
}

VECTOR_AES INLINE void run(const uint8_t *schedule, bool added, uint32_t block, size_t n, uint32_t *words) {
    __m512i key[ROUNDS + 1];
    for (int i = 0; i <= ROUNDS; i++)
        key[i] = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(schedule + 16 * i)));
    const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 14, 13, 12));
    const __m512i step = _mm512_maskz_set1_epi32(0x8888, 4);
    __m512i counter = _mm512_maskz_set1_epi32(0x8888, (int)block);
    counter = _mm512_add_epi32(counter, _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3));
    size_t done = 0;
    for (; n - done >= LANES * WORDS; done += LANES * WORDS) {
        __m512i state[LANES];
#pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; lane++) {
            state[lane] = _mm512_xor_si512(blocks(counter, swap), key[0]);
            counter = _mm512_add_epi32(counter, step);
        }
#pragma clang loop unroll(full)
        for (int round = 1; round < ROUNDS; round++) {
#pragma clang loop unroll(full)
            for (int lane = 0; lane < LANES; lane++) state[lane] = _mm512_aesenc_epi128(state[lane], key[round]);
        }
#pragma clang loop unroll(full)
        for (int lane = 0; lane < LANES; lane++) {
            uint32_t *at = words + done + lane * WORDS;
            const __m512i mask = _mm512_aesenclast_epi128(state[lane], key[ROUNDS]);
            _mm512_storeu_si512(at, combine(_mm512_loadu_si512(at), mask, added));
        }
    }
    for (; done < n; done += WORDS) {
        __m512i state = _mm512_xor_si512(blocks(counter, swap), key[0]);
        counter = _mm512_add_epi32(counter, step);
        for (int round = 1; round < ROUNDS; round++) state = _mm512_aesenc_epi128(state, key[round]);
        state = _mm512_aesenclast_epi128(state, key[ROUNDS]);
        const __mmask16 live = n - done >= WORDS ? 0xffff : (__mmask16)((1u << (n - done)) - 1);
        const __m512i sum = combine(_mm512_maskz_loadu_epi32(live, words + done), state, added);
        _mm512_mask_storeu_epi32(words + done, live, sum);
    }
}

VECTOR_AES void ck_mask_add(const uint8_t *schedule, bool added, uint32_t block, size_t n, uint32_t *words) {
    if (added) run(schedule, true, block, n, words);
    else run(schedule, false, block, n, words);
}
#else
bool ck_has_vector_aes(void) { return false; }
void ck_mask_schedule(const uint8_t *bytes, uint8_t *schedule) { (void)bytes, (void)schedule, abort(); }
void ck_mask_add(const uint8_t *schedule, bool added, uint32_t block, size_t n, uint32_t *words) {
    (void)schedule, (void)added, (void)block, (void)n, (void)words, abort();
}
#endif
