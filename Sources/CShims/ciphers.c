#include "openssl_shims.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>

enum { TILE = 1 << 14, CHUNK_MAX = 1 << 30 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm, *ctr;
static const uint8_t zeros[TILE];

static void fetch(void) {
    gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ctr = EVP_CIPHER_fetch(NULL, "AES-256-CTR", NULL);
}

/* EVP_CipherUpdate takes an int: feed in pieces. `output` may be NULL (additional data). */
static int feed(EVP_CIPHER_CTX *context, const uint8_t *input, size_t count, uint8_t *output) {
    for (size_t done = 0; done < count;) {
        int piece = count - done < CHUNK_MAX ? (int)(count - done) : CHUNK_MAX;
        int written = 0;
        if (EVP_CipherUpdate(context, output ? output + done : NULL, &written, input + done, piece) != 1) return 0;
        if (written != piece) return 0;
        done += (size_t)piece;
    }
    return 1;
}

static int start_gcm(EVP_CIPHER_CTX *context, int encrypt, const uint8_t *key, const uint8_t *nonce,
                     const uint8_t *aad, size_t aad_count) {
    /* The default nonce length of GCM is the 12 bytes we use. */
    return context != NULL && gcm != NULL && EVP_CipherInit_ex(context, gcm, NULL, key, nonce, encrypt) == 1
        && feed(context, aad, aad_count, NULL);
}

int consilium_gcm_seal(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_count,
                       const uint8_t *plaintext, size_t count, uint8_t *output) {
    pthread_once(&once, fetch);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int written = 0;
    int done = start_gcm(context, 1, key, nonce, aad, aad_count) && feed(context, plaintext, count, output)
        && EVP_CipherFinal_ex(context, rest, &written) == 1 && written == 0
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CONSILIUM_GCM_TAG_BYTES, output + count) == 1;
    EVP_CIPHER_CTX_free(context);
    return done;
}

int consilium_gcm_open(const uint8_t *key, const uint8_t *nonce, const uint8_t *aad, size_t aad_count,
                       const uint8_t *sealed, size_t count, uint8_t *output) {
    if (count < CONSILIUM_GCM_TAG_BYTES) return 0;
    pthread_once(&once, fetch);
    size_t length = count - CONSILIUM_GCM_TAG_BYTES;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int written = 0;
    int done = start_gcm(context, 0, key, nonce, aad, aad_count) && feed(context, sealed, length, output)
        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CONSILIUM_GCM_TAG_BYTES, (void *)(sealed + length)) == 1
        && EVP_CipherFinal_ex(context, rest, &written) == 1 && written == 0;
    if (!done && length > 0) OPENSSL_cleanse(output, length);
    EVP_CIPHER_CTX_free(context);
    return done;
}

EVP_CIPHER_CTX *consilium_ctr_new(const uint8_t *key, const uint8_t *initial_vector) {
    pthread_once(&once, fetch);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context != NULL && ctr != NULL && EVP_CipherInit_ex(context, ctr, NULL, key, initial_vector, 1) == 1)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

int consilium_ctr_rekey(EVP_CIPHER_CTX *context, const uint8_t *key, const uint8_t *initial_vector) {
    return EVP_CipherInit_ex(context, NULL, NULL, key, initial_vector, 1);
}

int consilium_ctr_keystream(EVP_CIPHER_CTX *context, uint8_t *output, size_t count) {
    for (size_t done = 0; done < count;) {
        int piece = count - done < TILE ? (int)(count - done) : TILE;
        int written = 0;
        if (EVP_CipherUpdate(context, output + done, &written, zeros, piece) != 1 || written != piece) return 0;
        done += (size_t)piece;
    }
    return 1;
}

void consilium_ctr_free(EVP_CIPHER_CTX *context) { EVP_CIPHER_CTX_free(context); }
