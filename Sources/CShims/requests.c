#include "openssl_shims.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

void consilium_bytes_free(consilium_bytes bytes) { OPENSSL_free(bytes.start); }

consilium_bytes consilium_key_public_der(const EVP_PKEY *key) {
    uint8_t *start = NULL;
    int count = i2d_PUBKEY(key, &start);
    return count > 0 ? (consilium_bytes){start, (size_t)count} : (consilium_bytes){NULL, 0};
}

consilium_bytes consilium_request_make(EVP_PKEY *key, const uint8_t *common_name, size_t count) {
    consilium_bytes result = {NULL, 0};
    X509_REQ *request = X509_REQ_new();
    int done = request != NULL && X509_REQ_set_version(request, 0) == 1
        && X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(request), NID_commonName, MBSTRING_UTF8, common_name,
                                      (int)count, -1, 0) == 1
        && X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0;
    if (done) {
        int written = i2d_X509_REQ(request, &result.start);
        result.count = written > 0 ? (size_t)written : 0;
    }
    X509_REQ_free(request);
    return result;
}

/* A P-256 key that spells out the curve's parameters is another format with a history of forged curves: not taken. */
static int is_acceptable(const EVP_PKEY *key) {
    switch (consilium_key_kind(key)) {
    case CONSILIUM_KEY_ED25519:
        return 1;
    case CONSILIUM_KEY_P256: {
        char encoding[32] = {0};
        return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding, NULL) == 1
            && strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) == 0;
    }
    default:
        return 0;
    }
}

consilium_request_key consilium_request_open(const uint8_t *der, size_t count) {
    consilium_request_key result = {CONSILIUM_REQUEST_MALFORMED, NULL};
    const uint8_t *cursor = der;
    X509_REQ *request = count <= INT32_MAX ? d2i_X509_REQ(NULL, &cursor, (long)count) : NULL;
    if (request != NULL && cursor == der + count) {
        EVP_PKEY *key = X509_REQ_get_pubkey(request);
        if (key == NULL || !is_acceptable(key)) {
            result.verdict = CONSILIUM_REQUEST_KEY_TYPE;
        } else if (X509_REQ_verify(request, key) != 1) {
            result.verdict = CONSILIUM_REQUEST_NO_POSSESSION;
        } else {
            result.verdict = CONSILIUM_REQUEST_GOOD;
            result.key = key;
            key = NULL;
        }
        EVP_PKEY_free(key);
    }
    X509_REQ_free(request);
    return result;
}
