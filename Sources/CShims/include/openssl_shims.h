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
/* Digest i is of the prefix and the last `stride - skip` bytes of row i; `digests` has room for count * 32 bytes. */
void consilium_sha256_rows(const uint8_t *prefix, size_t prefix_count, const void *rows, size_t stride, size_t skip,
                           size_t count, void *digests);
/* The same for as many rows from the first as go two at a time: none where the processor or the length does not allow it. */
size_t consilium_sha256_pairs(const uint8_t *prefix, size_t prefix_count, const uint8_t *rows, size_t stride, size_t skip,
                              size_t count, uint8_t *digests);
struct evp_md_ctx_st *consilium_sha256_new(void);
void consilium_sha256_update(struct evp_md_ctx_st *context, const void *bytes, size_t count);
/* The digest of what was fed so far; the context may be fed on. */
consilium_digest consilium_sha256_current(const struct evp_md_ctx_st *context);
void consilium_sha256_free(struct evp_md_ctx_st *context);

/* RFC 2104 over SHA-256; writes 32 bytes. */
void consilium_hmac_sha256(const void *key, size_t key_count, const void *bytes, size_t count, uint8_t *tag);
consilium_digest consilium_hmac_sha256_digest(const void *key, size_t key_count, const void *bytes, size_t count);
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

/* ---- X25519 and Ed25519 ---- */

struct evp_pkey_st;

enum { CONSILIUM_RAW_KEY_BYTES = 32, CONSILIUM_ED25519_SIGNATURE_BYTES = 64, CONSILIUM_P256_SIGNATURE_BYTES_MAX = 80 };

/* NULL on failure. */
struct evp_pkey_st *consilium_x25519_private(const uint8_t *raw);
struct evp_pkey_st *consilium_ed25519_private(const uint8_t *seed);
int consilium_raw_public(const struct evp_pkey_st *key, uint8_t *raw);
/* 0 when the peer's key is a small-order point (the result would be all zeros). */
int consilium_x25519_agree(struct evp_pkey_st *key, const uint8_t *peer, uint8_t *shared);
int consilium_ed25519_sign(struct evp_pkey_st *key, const uint8_t *message, size_t count, uint8_t *signature);
/* ECDSA with SHA-256, DER; `signature` has room for CONSILIUM_P256_SIGNATURE_BYTES_MAX. */
int consilium_p256_sign(struct evp_pkey_st *key, const uint8_t *message, size_t count, uint8_t *signature, size_t *length);
/* `key` is 32 bytes and `signature` 64. */
int consilium_ed25519_verify(const uint8_t *key, const uint8_t *signature, const uint8_t *message, size_t count);
void consilium_key_free(struct evp_pkey_st *key);

/* ---- Private keys as PKCS#8 PEM ---- */

enum { CONSILIUM_KEY_ED25519 = 1, CONSILIUM_KEY_P256 = 2 };

/* CONSILIUM_KEY_… or 0 for any other kind of key or curve. */
int consilium_key_kind(const struct evp_pkey_st *key);
struct evp_pkey_st *consilium_p256_generate(void);
/* Writes into secret memory that the caller frees with consilium_secret_free(result, *count). NULL on failure. */
uint8_t *consilium_key_write_pem(const struct evp_pkey_st *key, size_t *count);
/* Unencrypted PEM only, never a prompt for a passphrase; NULL on failure. */
struct evp_pkey_st *consilium_key_read_pem(const uint8_t *pem, size_t count);

/* ---- X.509: requests and certificates, always DER, never a configuration string ---- */

/* Bytes that the caller frees with consilium_bytes_free; start is NULL on failure. */
typedef struct {
    uint8_t *start;
    size_t count;
} consilium_bytes;
void consilium_bytes_free(consilium_bytes bytes);

/* SubjectPublicKeyInfo. */
consilium_bytes consilium_key_public_der(const struct evp_pkey_st *key);

/* PKCS#10 with a common name (UTF-8) and nothing else. */
consilium_bytes consilium_request_make(struct evp_pkey_st *key, const uint8_t *common_name, size_t count);
/* What a request came to. The key is owned by the caller and NULL unless the verdict is GOOD. */
enum {
    CONSILIUM_REQUEST_GOOD = 0,
    CONSILIUM_REQUEST_MALFORMED = 1,
    CONSILIUM_REQUEST_KEY_TYPE = 2,
    CONSILIUM_REQUEST_NO_POSSESSION = 3
};
typedef struct {
    int verdict;
    struct evp_pkey_st *key;
} consilium_request_key;
consilium_request_key consilium_request_open(const uint8_t *der, size_t count);

enum { CONSILIUM_USAGE_AUTHORITY = 0, CONSILIUM_USAGE_CLIENT = 1, CONSILIUM_USAGE_SERVER = 2 };
enum { CONSILIUM_NAME_URI = 1, CONSILIUM_NAME_DNS = 2, CONSILIUM_NAME_IP = 3 };
enum { CONSILIUM_SERIAL_BYTES = 16, CONSILIUM_SERIAL_BYTES_MAX = 20, CONSILIUM_SITE_NAME_BYTES_MAX = 64 };

/*
 * Issues a certificate. `issuer` is the issuer's certificate, or NULL with count 0 for a self-signed one. `names` is the
 * subjectAltName list as (kind byte, length byte, bytes)*; an IP address is its 4 or 16 bytes. `serial` is 16 bytes.
 */
consilium_bytes consilium_certificate_issue(struct evp_pkey_st *subject_key, const uint8_t *common_name,
                                            size_t common_name_count, const uint8_t *issuer, size_t issuer_count,
                                            struct evp_pkey_st *issuer_key, const uint8_t *serial,
                                            int64_t not_before, int64_t not_after, int usage,
                                            const uint8_t *names, size_t names_count);

/* What a certificate says. `is_valid` is 0 when the bytes are not exactly one DER certificate that this module accepts. */
typedef struct {
    int is_valid;
    int64_t not_before, not_after;
    int is_authority, allows_client, allows_server;
    int key_kind; /* CONSILIUM_KEY_… or 0 */
    size_t serial_count;
    size_t site_name_count; /* 0: none */
    size_t site_name_uris;  /* how many URIs start with the prefix */
} consilium_certificate_facts;
/* `serial` has room for 20 bytes and `site_name` for 64. `prefix` is the null-terminated start of the URI. */
consilium_certificate_facts consilium_certificate_read(const uint8_t *der, size_t count, const char *prefix,
                                                       uint8_t *serial, uint8_t *site_name);
consilium_bytes consilium_certificate_write_pem(const uint8_t *der, size_t count);
/* The subject as RFC 2253 text, as `openssl x509 -subject -nameopt RFC2253` prints it. */
consilium_bytes consilium_certificate_subject(const uint8_t *der, size_t count);
/* The DER of the `index`-th CERTIFICATE block; start is NULL when there is none. */
consilium_bytes consilium_certificate_read_pem(const uint8_t *pem, size_t count, size_t index);
int consilium_certificate_has_key(const uint8_t *der, size_t count, struct evp_pkey_st *key);
/* Whether a chain of the two certificates is valid at `now` for CONSILIUM_USAGE_CLIENT or _SERVER. */
int consilium_certificate_verify(const uint8_t *der, size_t count, const uint8_t *issuer, size_t issuer_count,
                                 int64_t now, int usage);
/* Four or sixteen bytes of a textual address; 0 when it is none. `address` has room for 16. */
size_t consilium_address_bytes(const char *text, uint8_t *address);
