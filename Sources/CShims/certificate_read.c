#include "openssl_shims.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

/* Exactly one certificate, in the encoding that OpenSSL itself writes, so that hashes of it agree everywhere. */
static X509 *parse(const uint8_t *der, size_t count) {
    const uint8_t *cursor = der;
    X509 *certificate = count > 0 && count <= INT_MAX ? d2i_X509(NULL, &cursor, (long)count) : NULL;
    uint8_t *again = NULL;
    int length = certificate == NULL ? 0 : i2d_X509(certificate, &again);
    int is_canonical = length > 0 && (size_t)length == count && memcmp(again, der, count) == 0;
    OPENSSL_free(again);
    if (is_canonical) return certificate;
    X509_free(certificate);
    return NULL;
}

static int seconds(const ASN1_TIME *when, int64_t *result) {
    struct tm calendar;
    if (ASN1_TIME_to_tm(when, &calendar) != 1) return 0;
    *result = (int64_t)timegm(&calendar);
    return 1;
}

static size_t read_serial(const X509 *certificate, uint8_t *serial) {
    const ASN1_INTEGER *number = X509_get0_serialNumber(certificate);
    if (number == NULL || ASN1_STRING_type(number) == V_ASN1_NEG_INTEGER) return 0;
    int count = ASN1_STRING_length(number);
    if (count <= 0 || count > CONSILIUM_SERIAL_BYTES_MAX) return 0;
    memcpy(serial, ASN1_STRING_get0_data(number), (size_t)count);
    return (size_t)count;
}

static void read_site_name(X509 *certificate, const char *prefix, uint8_t *site_name,
                           consilium_certificate_facts *facts) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t skip = strlen(prefix);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        size_t count = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
        const uint8_t *bytes = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        if (count < skip || memcmp(bytes, prefix, skip) != 0) continue;
        facts->site_name_uris++;
        if (count == skip || count - skip > CONSILIUM_SITE_NAME_BYTES_MAX) continue;
        memcpy(site_name, bytes + skip, count - skip);
        facts->site_name_count = count - skip;
    }
    GENERAL_NAMES_free(names);
}

consilium_certificate_facts consilium_certificate_read(const uint8_t *der, size_t count, const char *prefix,
                                                       uint8_t *serial, uint8_t *site_name) {
    consilium_certificate_facts facts = {0};
    X509 *certificate = parse(der, count);
    if (certificate == NULL) return facts;
    uint32_t flags = X509_get_extension_flags(certificate);
    uint32_t purposes = flags & EXFLAG_XKUSAGE ? X509_get_extended_key_usage(certificate) : 0;
    EVP_PKEY *key = X509_get0_pubkey(certificate);
    facts.is_authority = (flags & EXFLAG_CA) != 0;
    facts.allows_client = (purposes & XKU_SSL_CLIENT) != 0;
    facts.allows_server = (purposes & XKU_SSL_SERVER) != 0;
    facts.key_kind = key == NULL ? 0 : consilium_key_kind(key);
    facts.serial_count = read_serial(certificate, serial);
    read_site_name(certificate, prefix, site_name, &facts);
    facts.is_valid = (flags & EXFLAG_INVALID) == 0 && facts.serial_count > 0
        && seconds(X509_get0_notBefore(certificate), &facts.not_before)
        && seconds(X509_get0_notAfter(certificate), &facts.not_after);
    X509_free(certificate);
    return facts;
}

consilium_bytes consilium_certificate_write_pem(const uint8_t *der, size_t count) {
    consilium_bytes result = {NULL, 0};
    X509 *certificate = parse(der, count);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (certificate != NULL && bio != NULL && PEM_write_bio_X509(bio, certificate) == 1) {
        long length = BIO_get_mem_data(bio, &text);
        if (length > 0 && (result.start = OPENSSL_memdup(text, (size_t)length)) != NULL) result.count = (size_t)length;
    }
    BIO_free(bio);
    X509_free(certificate);
    return result;
}

consilium_bytes consilium_certificate_subject(const uint8_t *der, size_t count) {
    consilium_bytes result = {NULL, 0};
    X509 *certificate = parse(der, count);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (certificate != NULL && bio != NULL
        && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        long length = BIO_get_mem_data(bio, &text);
        if (length > 0 && (result.start = OPENSSL_memdup(text, (size_t)length)) != NULL) result.count = (size_t)length;
    }
    BIO_free(bio);
    X509_free(certificate);
    return result;
}

consilium_bytes consilium_certificate_read_pem(const uint8_t *pem, size_t count, size_t index) {
    consilium_bytes result = {NULL, 0};
    BIO *bio = count <= INT_MAX ? BIO_new_mem_buf(pem, (int)count) : NULL;
    for (size_t at = 0; bio != NULL && at <= index; at++) {
        char *name = NULL, *header = NULL;
        long length = 0;
        OPENSSL_free(result.start);
        result = (consilium_bytes){NULL, 0};
        if (PEM_read_bio(bio, &name, &header, &result.start, &length) != 1) break;
        int is_certificate = strcmp(name, PEM_STRING_X509) == 0 && header[0] == 0 && length > 0;
        OPENSSL_free(name);
        OPENSSL_free(header);
        if (is_certificate) {
            result.count = (size_t)length;
        } else { /* a key or something else among certificates: not a certificate file */
            OPENSSL_clear_free(result.start, length > 0 ? (size_t)length : 0);
            result = (consilium_bytes){NULL, 0};
            break;
        }
    }
    BIO_free(bio);
    return result;
}

int consilium_certificate_has_key(const uint8_t *der, size_t count, EVP_PKEY *key) {
    X509 *certificate = parse(der, count);
    int result = certificate != NULL && X509_check_private_key(certificate, key) == 1;
    X509_free(certificate);
    return result;
}

int consilium_certificate_verify(const uint8_t *der, size_t count, const uint8_t *issuer, size_t issuer_count,
                                 int64_t now, int usage) {
    X509 *certificate = parse(der, count), *authority = parse(issuer, issuer_count);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int result = 0;
    if (certificate != NULL && authority != NULL && store != NULL && context != NULL
        && X509_STORE_add_cert(store, authority) == 1
        && X509_STORE_CTX_init(context, store, certificate, NULL) == 1
        && X509_STORE_CTX_set_purpose(context, usage == CONSILIUM_USAGE_CLIENT ? X509_PURPOSE_SSL_CLIENT
                                                                               : X509_PURPOSE_SSL_SERVER) == 1) {
        X509_STORE_CTX_set_time(context, 0, (time_t)now);
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
        result = X509_verify_cert(context) == 1;
    }
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(authority);
    X509_free(certificate);
    return result;
}

size_t consilium_address_bytes(const char *text, uint8_t *address) {
    if (inet_pton(AF_INET, text, address) == 1) return 4;
    if (inet_pton(AF_INET6, text, address) == 1) return 16;
    return 0;
}
