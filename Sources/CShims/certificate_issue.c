#include "openssl_shims.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* Extensions are built as structures: a configuration string would let "DNS:a,DNS:b" in a name add names. */

enum { KEY_IDENTIFIER_BYTES = 20 };

static X509 *parse(const uint8_t *der, size_t count) {
    const uint8_t *cursor = der;
    return d2i_X509(NULL, &cursor, (long)count);
}

static int add_basic_constraints(X509 *certificate, int is_authority) {
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    int done = constraints != NULL;
    if (done && is_authority) {
        constraints->ca = 1;
        constraints->pathlen = ASN1_INTEGER_new();
        done = constraints->pathlen != NULL && ASN1_INTEGER_set(constraints->pathlen, 0) == 1;
    }
    done = done && X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;
    BASIC_CONSTRAINTS_free(constraints);
    return done;
}

/* Bits of KeyUsage (RFC 5280 section 4.2.1.3): digitalSignature 0, keyCertSign 5, cRLSign 6. */
static int add_key_usage(X509 *certificate, int is_authority) {
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    int done = bits != NULL
        && (is_authority ? ASN1_BIT_STRING_set_bit(bits, 5, 1) == 1 && ASN1_BIT_STRING_set_bit(bits, 6, 1) == 1
                         : ASN1_BIT_STRING_set_bit(bits, 0, 1) == 1)
        && X509_add1_ext_i2d(certificate, NID_key_usage, bits, 1, X509V3_ADD_DEFAULT) == 1;
    ASN1_BIT_STRING_free(bits);
    return done;
}

static int add_extended_usage(X509 *certificate, int usage) {
    EXTENDED_KEY_USAGE *purposes = EXTENDED_KEY_USAGE_new();
    ASN1_OBJECT *purpose = OBJ_nid2obj(usage == CONSILIUM_USAGE_CLIENT ? NID_client_auth : NID_server_auth);
    int done = purposes != NULL && purpose != NULL && sk_ASN1_OBJECT_push(purposes, purpose) > 0
        && X509_add1_ext_i2d(certificate, NID_ext_key_usage, purposes, 0, X509V3_ADD_DEFAULT) == 1;
    EXTENDED_KEY_USAGE_free(purposes); /* built-in objects are static: freeing the stack leaves them */
    return done;
}

/* RFC 7093 method 1: the leftmost 160 bits of SHA-256 of the public key. */
static int add_subject_key_identifier(X509 *certificate) {
    uint8_t digest[SHA256_DIGEST_LENGTH];
    unsigned int count = 0;
    ASN1_OCTET_STRING *identifier = ASN1_OCTET_STRING_new();
    int done = identifier != NULL && X509_pubkey_digest(certificate, EVP_sha256(), digest, &count) == 1
        && ASN1_OCTET_STRING_set(identifier, digest, KEY_IDENTIFIER_BYTES) == 1
        && X509_add1_ext_i2d(certificate, NID_subject_key_identifier, identifier, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_OCTET_STRING_free(identifier);
    return done;
}

/* Reads the issuer's extension afresh: the cached getters would freeze a certificate that is still being built. */
static int add_authority_key_identifier(X509 *certificate, const X509 *issuer) {
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    int done = authority != NULL
        && (authority->keyid = X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL)) != NULL
        && X509_add1_ext_i2d(certificate, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1;
    AUTHORITY_KEYID_free(authority);
    return done;
}

static int push_name(GENERAL_NAMES *names, int kind, const uint8_t *bytes, int count) {
    int type = kind == CONSILIUM_NAME_URI ? GEN_URI : kind == CONSILIUM_NAME_DNS ? GEN_DNS : GEN_IPADD;
    ASN1_STRING *value = kind == CONSILIUM_NAME_IP ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (value == NULL || name == NULL || ASN1_STRING_set(value, bytes, count) != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return 0;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0) return 1;
    GENERAL_NAME_free(name);
    return 0;
}

static int add_names(X509 *certificate, const uint8_t *list, size_t count) {
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    int done = names != NULL;
    for (size_t at = 0; done && at < count;) {
        done = count - at >= 2 && list[at] >= CONSILIUM_NAME_URI && list[at] <= CONSILIUM_NAME_IP
            && count - at - 2 >= list[at + 1] && push_name(names, list[at], list + at + 2, list[at + 1]);
        if (done) at += 2 + (size_t)list[at + 1];
    }
    done = done && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return done;
}

static int set_serial(X509 *certificate, const uint8_t *serial) {
    BIGNUM *number = BN_bin2bn(serial, CONSILIUM_SERIAL_BYTES, NULL);
    int done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done;
}

static int set_head(X509 *certificate, EVP_PKEY *key, const uint8_t *common_name, size_t count, const uint8_t *serial,
                    int64_t not_before, int64_t not_after) {
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate, serial)
        && ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)not_before) != NULL
        && ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)not_after) != NULL
        && X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8, common_name,
                                      (int)count, -1, 0) == 1
        && X509_set_pubkey(certificate, key) == 1;
}

static int add_extensions(X509 *certificate, X509 *issuer, int usage, const uint8_t *names, size_t names_count) {
    int is_authority = usage == CONSILIUM_USAGE_AUTHORITY;
    return add_basic_constraints(certificate, is_authority) && add_key_usage(certificate, is_authority)
        && (is_authority || add_extended_usage(certificate, usage)) && add_subject_key_identifier(certificate)
        && add_authority_key_identifier(certificate, issuer)
        && (names_count == 0 || add_names(certificate, names, names_count));
}

consilium_bytes consilium_certificate_issue(EVP_PKEY *subject_key, const uint8_t *common_name,
                                            size_t common_name_count, const uint8_t *issuer, size_t issuer_count,
                                            EVP_PKEY *issuer_key, const uint8_t *serial, int64_t not_before,
                                            int64_t not_after, int usage, const uint8_t *names, size_t names_count) {
    consilium_bytes result = {NULL, 0};
    X509 *certificate = X509_new();
    X509 *authority = issuer_count > 0 ? parse(issuer, issuer_count) : certificate;
    int done = certificate != NULL && authority != NULL
        && set_head(certificate, subject_key, common_name, common_name_count, serial, not_before, not_after)
        && X509_set_issuer_name(certificate, X509_get_subject_name(authority)) == 1
        && add_extensions(certificate, authority, usage, names, names_count)
        && X509_sign(certificate, issuer_key, EVP_sha256()) > 0;
    if (done) {
        int written = i2d_X509(certificate, &result.start);
        result.count = written > 0 ? (size_t)written : 0;
    }
    if (authority != certificate) X509_free(authority);
    X509_free(certificate);
    return result;
}
