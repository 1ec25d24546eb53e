/* The one-shot hashes use SHA256_CTX, which OpenSSL 3 calls deprecated and keeps: no allocation, no look-up. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "openssl_shims.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * SHA-256 cannot fail except for want of memory or a libcrypto without SHA-256, and no caller could go on: abort.
 * One-shot hashes and HMAC are written over SHA256_CTX: an EVP context costs more than the hash of a short message, EVP_MAC
 * and EVP_KDF several microseconds a call. RFC 4231 and RFC 5869 vectors hold them.
 */

enum { BLOCK = 64, DIGEST = 32 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void fetch(void) { sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); }

static void must(int result) {
    if (result != 1) abort();
}

static EVP_MD_CTX *new_context(void) {
    pthread_once(&once, fetch);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (sha256 == NULL || context == NULL) abort();
    return context;
}

static consilium_digest words(const uint8_t *bytes) {
    uint64_t word[4];
    for (int i = 0; i < 4; i++) {
        word[i] = 0;
        for (int j = 0; j < 8; j++) word[i] = word[i] << 8 | bytes[8 * i + j];
    }
    return (consilium_digest){word[0], word[1], word[2], word[3]};
}

consilium_digest consilium_sha256(const uint8_t *bytes, size_t count) {
    uint8_t output[DIGEST];
    SHA256_CTX context;
    must(SHA256_Init(&context));
    must(SHA256_Update(&context, bytes, count));
    must(SHA256_Final(output, &context));
    return words(output);
}

void consilium_sha256_rows(const uint8_t *prefix, size_t prefix_count, const void *rows, size_t stride, size_t skip,
                           size_t count, void *digests) {
    size_t row = consilium_sha256_pairs(prefix, prefix_count, rows, stride, skip, count, digests);
    if (row == count) return;
    SHA256_CTX start;
    must(SHA256_Init(&start));
    must(SHA256_Update(&start, prefix, prefix_count));
    for (; row < count; row++) {
        SHA256_CTX context = start;
        must(SHA256_Update(&context, (const uint8_t *)rows + row * stride + skip, stride - skip));
        must(SHA256_Final((uint8_t *)digests + row * DIGEST, &context));
    }
}

EVP_MD_CTX *consilium_sha256_new(void) {
    EVP_MD_CTX *context = new_context();
    must(EVP_DigestInit_ex(context, sha256, NULL));
    return context;
}

void consilium_sha256_update(EVP_MD_CTX *context, const void *bytes, size_t count) {
    must(EVP_DigestUpdate(context, bytes, count));
}

consilium_digest consilium_sha256_current(const EVP_MD_CTX *context) {
    uint8_t output[DIGEST];
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    if (copy == NULL) abort();
    must(EVP_MD_CTX_copy_ex(copy, context));
    must(EVP_DigestFinal_ex(copy, output, NULL));
    EVP_MD_CTX_free(copy);
    return words(output);
}

void consilium_sha256_free(EVP_MD_CTX *context) { EVP_MD_CTX_free(context); }

/* HMAC with a key: the states after its two pads. */
typedef struct {
    SHA256_CTX inner, outer;
} hmac_key;

static void prepare(hmac_key *prepared, const void *key, size_t count) {
    uint8_t block[BLOCK] = {0};
    if (count > BLOCK) {
        must(SHA256_Init(&prepared->inner));
        must(SHA256_Update(&prepared->inner, key, count));
        must(SHA256_Final(block, &prepared->inner));
    } else if (count > 0) {
        memcpy(block, key, count);
    }
    for (int i = 0; i < BLOCK; i++) block[i] ^= 0x36;
    must(SHA256_Init(&prepared->inner));
    must(SHA256_Update(&prepared->inner, block, BLOCK));
    for (int i = 0; i < BLOCK; i++) block[i] ^= 0x36 ^ 0x5c;
    must(SHA256_Init(&prepared->outer));
    must(SHA256_Update(&prepared->outer, block, BLOCK));
    OPENSSL_cleanse(block, sizeof block);
}

/* Ends an inner hash that began as a copy of `key->inner`. */
static void finish(SHA256_CTX *inner, const hmac_key *key, uint8_t *tag) {
    uint8_t digest[DIGEST];
    SHA256_CTX outer = key->outer;
    must(SHA256_Final(digest, inner));
    must(SHA256_Update(&outer, digest, DIGEST));
    must(SHA256_Final(tag, &outer));
    OPENSSL_cleanse(digest, sizeof digest);
    OPENSSL_cleanse(&outer, sizeof outer);
    OPENSSL_cleanse(inner, sizeof *inner);
}

void consilium_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count, uint8_t *tag) {
    hmac_key prepared;
    prepare(&prepared, key, key_count);
    SHA256_CTX inner = prepared.inner;
    must(SHA256_Update(&inner, bytes, count));
    finish(&inner, &prepared, tag);
    OPENSSL_cleanse(&prepared, sizeof prepared);
}

consilium_digest consilium_hmac_sha256_digest(const void *key, size_t key_count, const void *bytes, size_t count) {
    uint8_t tag[DIGEST];
    consilium_hmac_sha256(key, key_count, bytes, count, tag);
    return words(tag);
}

void consilium_hkdf_expand(const void *prk, size_t prk_count, const uint8_t *info, size_t info_count,
                           uint8_t *output, size_t count) {
    if (count > 255 * DIGEST) abort();
    hmac_key prepared;
    uint8_t previous[DIGEST];
    prepare(&prepared, prk, prk_count);
    for (size_t done = 0; done < count; done += DIGEST) {
        uint8_t counter = (uint8_t)(done / DIGEST + 1);
        SHA256_CTX inner = prepared.inner;
        if (done > 0) must(SHA256_Update(&inner, previous, DIGEST));
        must(SHA256_Update(&inner, info, info_count));
        must(SHA256_Update(&inner, &counter, 1));
        finish(&inner, &prepared, previous);
        memcpy(output + done, previous, count - done < DIGEST ? count - done : DIGEST);
    }
    OPENSSL_cleanse(previous, sizeof previous);
    OPENSSL_cleanse(&prepared, sizeof prepared);
}
