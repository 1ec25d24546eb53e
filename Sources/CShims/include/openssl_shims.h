/*
 * OpenSSL in the shape the Swift module `Cryptography` calls.
 *
 * Rules: algorithms are fetched once and cached; lengths are size_t and are cut into int-sized pieces here; no
 * function keeps a pointer it was given; every context that held a key is freed (and so wiped) before return unless it
 * is the returned object. `int` results are 1 for success and 0 for failure, with the reason in OpenSSL's error queue.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct evp_cipher_ctx_st;
struct evp_md_ctx_st;

/* ---- Secret memory: OpenSSL's secure heap (locked pages, guard pages, no core dump), else plain heap. ---- */

/* Never NULL: aborts when there is no memory at all. The bytes are not initialised. */
void *consilium_secret_allocate(size_t count);
/* Wipes, then frees. */
void consilium_secret_free(void *bytes, size_t count);
/* Bytes of the secure heap that are in use, whether its pages are locked, and how many allocations fell back. */
typedef struct {
    size_t used_bytes;
    size_t arena_bytes;
    int is_locked;
    uint64_t fallback_count;
} consilium_secret_statistics;
consilium_secret_statistics consilium_secret_memory_statistics(void);

/* ---- SHA-256, HMAC, HKDF ---- */

/* A digest as four big-endian words, so that it crosses into Swift by value. */
typedef struct {
    uint64_t word0, word1, word2, word3;
} consilium_digest;

consilium_digest consilium_sha256(const uint8_t *bytes, size_t count);
struct evp_md_ctx_st *consilium_sha256_new(void);
void consilium_sha256_update(struct evp_md_ctx_st *context, const void *bytes, size_t count);
/* The digest of what was fed so far; the context may be fed on. */
consilium_digest consilium_sha256_current(const struct evp_md_ctx_st *context);
void consilium_sha256_free(struct evp_md_ctx_st *context);

/* RFC 2104 over SHA-256; writes 32 bytes. */
void consilium_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count, uint8_t *tag);
/* RFC 5869 section 2.3; `count` at most 255 * 32, checked by the caller. */
void consilium_hkdf_expand(const void *prk, size_t prk_count, const uint8_t *info, size_t info_count,
                           uint8_t *output, size_t count);

/* ---- AES-256 ---- */

enum { CONSILIUM_GCM_TAG_BYTES = 16, CONSILIUM_GCM_NONCE_BYTES = 12 };

/* `output` has room for count + 16 bytes. */
int consilium_gcm_seal(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_count,
                       const uint8_t *plaintext, size_t count, uint8_t *output);
/* `count` is the length of ciphertext and tag, at least 16; `output` has room for count - 16 bytes and is wiped on failure. */
int consilium_gcm_open(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_count,
                       const uint8_t *sealed, size_t count, uint8_t *output);

struct evp_cipher_ctx_st *consilium_ctr_new(const uint8_t *key, const uint8_t *initial_vector);
/* Starts another stream in the same context; the cipher is not fetched again. */
int consilium_ctr_rekey(struct evp_cipher_ctx_st *context, const uint8_t *key, const uint8_t *initial_vector);
int consilium_ctr_keystream(struct evp_cipher_ctx_st *context, uint8_t *output, size_t count);
void consilium_ctr_free(struct evp_cipher_ctx_st *context);
