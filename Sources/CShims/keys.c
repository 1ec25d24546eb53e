#include "openssl_shims.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

EVP_PKEY *consilium_x25519_private(const uint8_t *raw) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, raw, CONSILIUM_RAW_KEY_BYTES);
}

EVP_PKEY *consilium_ed25519_private(const uint8_t *seed) {
    return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, CONSILIUM_RAW_KEY_BYTES);
}

int consilium_raw_public(const EVP_PKEY *key, uint8_t *raw) {
    size_t count = CONSILIUM_RAW_KEY_BYTES;
    return EVP_PKEY_get_raw_public_key(key, raw, &count) == 1 && count == CONSILIUM_RAW_KEY_BYTES;
}

int consilium_x25519_agree(EVP_PKEY *key, const uint8_t *peer, uint8_t *shared) {
    static const uint8_t zeros[CONSILIUM_RAW_KEY_BYTES];
    size_t count = CONSILIUM_RAW_KEY_BYTES;
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, CONSILIUM_RAW_KEY_BYTES);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    /* OpenSSL refuses the all-zero result itself; the comparison keeps the promise whatever the provider does. */
    int done = other != NULL && context != NULL && EVP_PKEY_derive_init(context) == 1
        && EVP_PKEY_derive_set_peer(context, other) == 1 && EVP_PKEY_derive(context, shared, &count) == 1
        && count == CONSILIUM_RAW_KEY_BYTES && CRYPTO_memcmp(shared, zeros, sizeof zeros) != 0;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    return done;
}

int consilium_ed25519_sign(EVP_PKEY *key, const uint8_t *message, size_t count, uint8_t *signature) {
    size_t length = CONSILIUM_ED25519_SIGNATURE_BYTES;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1
        && EVP_DigestSign(context, signature, &length, message, count) == 1
        && length == CONSILIUM_ED25519_SIGNATURE_BYTES;
    EVP_MD_CTX_free(context);
    return done;
}

int consilium_p256_sign(EVP_PKEY *key, const uint8_t *message, size_t count, uint8_t *signature, size_t *length) {
    *length = CONSILIUM_P256_SIGNATURE_BYTES_MAX;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = context != NULL && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1
        && EVP_DigestSign(context, signature, length, message, count) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

int consilium_ed25519_verify(const uint8_t *key, const uint8_t *signature, const uint8_t *message, size_t count) {
    EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, CONSILIUM_RAW_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int valid = public_key != NULL && context != NULL
        && EVP_DigestVerifyInit(context, NULL, NULL, NULL, public_key) == 1
        && EVP_DigestVerify(context, signature, CONSILIUM_ED25519_SIGNATURE_BYTES, message, count) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(public_key);
    return valid;
}

void consilium_key_free(EVP_PKEY *key) { EVP_PKEY_free(key); }

int consilium_key_kind(const EVP_PKEY *key) {
    if (EVP_PKEY_is_a(key, "ED25519")) return CONSILIUM_KEY_ED25519;
    char group[32] = {0};
    size_t length = 0;
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &length) == 1
        && strcmp(group, "prime256v1") == 0)
        return CONSILIUM_KEY_P256;
    return 0;
}

EVP_PKEY *consilium_p256_generate(void) { return EVP_EC_gen("P-256"); }

uint8_t *consilium_key_write_pem(const EVP_PKEY *key, size_t *count) {
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    uint8_t *copy = NULL;
    if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long length = BIO_get_mem_data(bio, &text);
        if (length > 0) {
            *count = (size_t)length;
            copy = consilium_secret_allocate(*count);
            memcpy(copy, text, *count);
        }
    }
    BIO_free(bio);
    return copy;
}

static int no_passphrase(char *buffer, int size, int writing, void *data) {
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

EVP_PKEY *consilium_key_read_pem(const uint8_t *pem, size_t count) {
    if (count > INT32_MAX) return NULL;
    BIO *bio = BIO_new_mem_buf(pem, (int)count);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return key;
}
