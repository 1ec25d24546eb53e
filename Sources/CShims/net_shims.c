#define _GNU_SOURCE
#include "include/net_shims.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

int consilium_resolve(const char *host, uint16_t port, int to_listen, consilium_address *addresses, int capacity) {
    struct addrinfo hints = {0}, *found = NULL;
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0);
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    int code = getaddrinfo(host, service, &hints, &found);
    if (code != 0) return CONSILIUM_RESOLVER_ERROR + code;
    int count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (struct addrinfo *each = found; each != NULL && count < capacity; each = each->ai_next) {
            int wanted_pass = to_listen && each->ai_family != AF_INET ? 1 : 0;
            if (pass != wanted_pass || each->ai_addrlen > sizeof addresses[count].storage) continue;
            memset(&addresses[count], 0, sizeof addresses[count]);
            memcpy(&addresses[count].storage, each->ai_addr, each->ai_addrlen);
            addresses[count].length = each->ai_addrlen;
            count++;
        }
    }
    freeaddrinfo(found);
    return count;
}

const char *consilium_resolver_text(int code) { return gai_strerror(code); }

int consilium_listen(const consilium_address *address, int backlog) {
    int family = address->storage.ss_family, on = 1;
    int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(descriptor, (const struct sockaddr *)&address->storage, address->length) != 0 || listen(descriptor, backlog) != 0) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int consilium_local_port(int descriptor) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(descriptor, (struct sockaddr *)&storage, &length) != 0) return -errno;
    if (storage.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&storage)->sin6_port);
    return ntohs(((struct sockaddr_in *)&storage)->sin_port);
}

int consilium_accept(int listener, char *text) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int descriptor = accept4(listener, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return -errno;
    const void *address = storage.ss_family == AF_INET6 ? (const void *)&((struct sockaddr_in6 *)&storage)->sin6_addr
                                                        : (const void *)&((struct sockaddr_in *)&storage)->sin_addr;
    if (inet_ntop(storage.ss_family, address, text, CONSILIUM_ADDRESS_TEXT) == NULL) text[0] = 0;
    consilium_set_no_delay(descriptor);
    return descriptor;
}

int consilium_connect(const consilium_address *address) {
    int descriptor = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    consilium_set_no_delay(descriptor);
    if (connect(descriptor, (const struct sockaddr *)&address->storage, address->length) != 0 && errno != EINPROGRESS) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    return descriptor;
}

int consilium_socket_error(int descriptor) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
    return error;
}

void consilium_set_no_delay(int descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void consilium_acknowledge_now(int descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

void consilium_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

void consilium_name_thread(const char *name) {
    char kernel_name[16];
    snprintf(kernel_name, sizeof kernel_name, "%s", name);
    pthread_setname_np(pthread_self(), kernel_name);
}

int consilium_epoll_create(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    return epoll < 0 ? -errno : epoll;
}

static int epoll_control(int epoll, int operation, int descriptor, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    return epoll_ctl(epoll, operation, descriptor, &event) == 0 ? 0 : -errno;
}

int consilium_epoll_add(int epoll, int descriptor, uint32_t events) { return epoll_control(epoll, EPOLL_CTL_ADD, descriptor, events); }
int consilium_epoll_change(int epoll, int descriptor, uint32_t events) { return epoll_control(epoll, EPOLL_CTL_MOD, descriptor, events); }
int consilium_epoll_remove(int epoll, int descriptor) { return epoll_control(epoll, EPOLL_CTL_DEL, descriptor, 0); }

int consilium_epoll_wait(int epoll, consilium_event *events, int timeout_milliseconds) {
    struct epoll_event ready[CONSILIUM_EVENTS_MAX];
    int count = epoll_wait(epoll, ready, CONSILIUM_EVENTS_MAX, timeout_milliseconds);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++) {
        events[i].events = ready[i].events;
        events[i].descriptor = ready[i].data.fd;
    }
    return count;
}

int consilium_eventfd(void) {
    int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

void consilium_eventfd_signal(int descriptor) { (void)eventfd_write(descriptor, 1); }

void consilium_eventfd_clear(int descriptor) {
    eventfd_t ignored;
    (void)eventfd_read(descriptor, &ignored);
}

int consilium_tls_profile(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1
        && SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1
        && SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256") == 1
        && SSL_CTX_set1_groups_list(context, "X25519:P-256") == 1
        && SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512") == 1;
}

int consilium_tls_set_sni(SSL *session, const char *name) { return (int)SSL_set_tlsext_host_name(session, name); }

int consilium_tls_add_chain(SSL_CTX *context, X509 *certificate) { return (int)SSL_CTX_add1_chain_cert(context, certificate); }

int consilium_tls_verify_pinned(X509_STORE_CTX *store, const uint8_t *fingerprint) {
    STACK_OF(X509) *sent = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(sent); i++) {
        X509 *candidate = sk_X509_value(sent, i);
        uint8_t digest[EVP_MAX_MD_SIZE];
        unsigned int length = 0;
        if (X509_digest(candidate, EVP_sha256(), digest, &length) != 1 || length != 32) continue;
        if (memcmp(digest, fingerprint, 32) != 0) continue;
        STACK_OF(X509) *trusted = sk_X509_new_null();
        if (trusted == NULL || !sk_X509_push(trusted, candidate)) {
            sk_X509_free(trusted);
            X509_STORE_CTX_set_error(store, X509_V_ERR_OUT_OF_MEM);
            return 0;
        }
        X509_STORE_CTX_set0_trusted_stack(store, trusted);
        int verified = X509_verify_cert(store) == 1;
        X509_STORE_CTX_set0_trusted_stack(store, NULL);
        sk_X509_free(trusted);
        return verified;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN);
    return 0;
}

int consilium_tls_error(const SSL *session, int result) { return SSL_get_error(session, result); }
