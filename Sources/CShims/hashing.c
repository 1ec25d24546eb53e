#include "openssl_shims.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * SHA-256 cannot fail except for want of memory or a libcrypto without SHA-256, and no caller could go on: abort.
 * HMAC and HKDF are written over the cached digest because EVP_MAC and EVP_KDF cost several microseconds a call in
 * OpenSSL 3.0 and a round makes thousands; RFC 4231 and RFC 5869 vectors hold them.
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
    EVP_MD_CTX *context = new_context();
    must(EVP_DigestInit_ex(context, sha256, NULL));
    must(EVP_DigestUpdate(context, bytes, count));
    must(EVP_DigestFinal_ex(context, output, NULL));
    EVP_MD_CTX_free(context);
    return words(output);
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

/* HMAC with the key already in `pad` (xored with ipad), over up to three parts. */
typedef struct {
    uint8_t inner[BLOCK], outer[BLOCK];
} hmac_key;

static void prepare(EVP_MD_CTX *context, hmac_key *prepared, const void *key, size_t count) {
    uint8_t block[BLOCK] = {0};
    if (count > BLOCK) {
        must(EVP_DigestInit_ex(context, sha256, NULL));
        must(EVP_DigestUpdate(context, key, count));
        must(EVP_DigestFinal_ex(context, block, NULL));
    } else if (count > 0) {
        memcpy(block, key, count);
    }
    for (int i = 0; i < BLOCK; i++) {
        prepared->inner[i] = block[i] ^ 0x36;
        prepared->outer[i] = block[i] ^ 0x5c;
    }
    OPENSSL_cleanse(block, sizeof block);
}

static void begin(EVP_MD_CTX *context, const hmac_key *key) {
    must(EVP_DigestInit_ex(context, sha256, NULL));
    must(EVP_DigestUpdate(context, key->inner, BLOCK));
}

static void finish(EVP_MD_CTX *context, const hmac_key *key, uint8_t *tag) {
    uint8_t inner[DIGEST];
    must(EVP_DigestFinal_ex(context, inner, NULL));
    must(EVP_DigestInit_ex(context, sha256, NULL));
    must(EVP_DigestUpdate(context, key->outer, BLOCK));
    must(EVP_DigestUpdate(context, inner, DIGEST));
    must(EVP_DigestFinal_ex(context, tag, NULL));
    OPENSSL_cleanse(inner, sizeof inner);
}

void consilium_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count, uint8_t *tag) {
    EVP_MD_CTX *context = new_context();
    hmac_key prepared;
    prepare(context, &prepared, key, key_count);
    begin(context, &prepared);
    must(EVP_DigestUpdate(context, bytes, count));
    finish(context, &prepared, tag);
    OPENSSL_cleanse(&prepared, sizeof prepared);
    EVP_MD_CTX_free(context);
}

void consilium_hkdf_expand(const void *prk, size_t prk_count, const uint8_t *info, size_t info_count,
                           uint8_t *output, size_t count) {
    if (count > 255 * DIGEST) abort();
    EVP_MD_CTX *context = new_context();
    hmac_key prepared;
    uint8_t previous[DIGEST];
    prepare(context, &prepared, prk, prk_count);
    for (size_t done = 0; done < count; done += DIGEST) {
        uint8_t counter = (uint8_t)(done / DIGEST + 1);
        begin(context, &prepared);
        if (done > 0) must(EVP_DigestUpdate(context, previous, DIGEST));
        must(EVP_DigestUpdate(context, info, info_count));
        must(EVP_DigestUpdate(context, &counter, 1));
        finish(context, &prepared, previous);
        memcpy(output + done, previous, count - done < DIGEST ? count - done : DIGEST);
    }
    OPENSSL_cleanse(previous, sizeof previous);
    OPENSSL_cleanse(&prepared, sizeof prepared);
    EVP_MD_CTX_free(context);
}
