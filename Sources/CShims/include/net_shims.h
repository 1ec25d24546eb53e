/*
 * Sockets, epoll and the OpenSSL TLS macros in the shape the Swift module `Transport` calls.
 *
 * Rules: no function keeps a pointer it was given unless it says so; a function that returns a descriptor or a count
 * returns a negative errno (or, from the resolver, CONSILIUM_RESOLVER_ERROR + code) on failure.
 */
#pragma once
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <openssl/ssl.h>

/* ---- Addresses and sockets. Every descriptor is non-blocking and close-on-exec. ---- */

#define CONSILIUM_ADDRESS_TEXT 64
#define CONSILIUM_RESOLVER_ERROR (-100000)

typedef struct {
    socklen_t length;
    struct sockaddr_storage storage;
} consilium_address;

/* Up to `capacity` stream addresses of a name or a literal, in resolver order; to listen, IPv4 first. */
int consilium_resolve(const char *host, uint16_t port, int to_listen, consilium_address *addresses, int capacity);
/* The resolver's own words for a code, static. */
const char *consilium_resolver_text(int code);
int consilium_listen(const consilium_address *address, int backlog);
/* The port a bound socket has, in host order. */
int consilium_local_port(int descriptor);
/* `text` receives the peer's numeric address without the port, at most CONSILIUM_ADDRESS_TEXT bytes with NUL. */
int consilium_accept(int listener, char *text);
/* Starts to connect: the descriptor is writable when it has connected or failed (consilium_socket_error). */
int consilium_connect(const consilium_address *address);
/* errno of an asynchronous connect; 0 when connected. */
int consilium_socket_error(int descriptor);
void consilium_set_no_delay(int descriptor);
/* Acknowledges what has arrived without waiting for something to send: see Connection.acknowledge. */
void consilium_acknowledge_now(int descriptor);
/* Writes to a closed peer must be errors, not SIGPIPE: OpenSSL's socket BIO has no MSG_NOSIGNAL. */
void consilium_ignore_sigpipe(void);
void consilium_name_thread(const char *name);

/* ---- epoll and eventfd ---- */

typedef struct {
    uint32_t events;
    int32_t descriptor;
} consilium_event;

enum {
    CONSILIUM_READABLE = EPOLLIN,
    CONSILIUM_WRITABLE = EPOLLOUT,
    CONSILIUM_HANGUP = EPOLLHUP | EPOLLERR,
    CONSILIUM_EXCLUSIVE = EPOLLEXCLUSIVE,
    CONSILIUM_EVENTS_MAX = 128
};

int consilium_epoll_create(void);
/* Level triggered. 0 or a negative errno. */
int consilium_epoll_add(int epoll, int descriptor, uint32_t events);
int consilium_epoll_change(int epoll, int descriptor, uint32_t events);
int consilium_epoll_remove(int epoll, int descriptor);
/* At most CONSILIUM_EVENTS_MAX events; an interrupted wait is zero events. A negative timeout waits for ever. */
int consilium_epoll_wait(int epoll, consilium_event *events, int timeout_milliseconds);
int consilium_eventfd(void);
void consilium_eventfd_signal(int descriptor);
void consilium_eventfd_clear(int descriptor);

/* ---- TLS macros ---- */

/* The whole profile of `protocol/http.md`: TLS 1.3 only, suites, groups, signatures, no tickets, no resumption. */
int consilium_tls_profile(SSL_CTX *context);
int consilium_tls_set_sni(SSL *session, const char *name);
/* Adds a copy of the reference to the chain that is sent after the leaf. */
int consilium_tls_add_chain(SSL_CTX *context, X509 *certificate);
/* Verifies the peer's chain against the one certificate in it whose SHA-256 (DER) is `fingerprint`, as if that were the
 * only trust anchor. 1 when it verifies; else 0 with the store context's error set. */
int consilium_tls_verify_pinned(X509_STORE_CTX *store, const uint8_t *fingerprint);
/* SSL_ERROR_* of the last call on this thread. */
int consilium_tls_error(const SSL *session, int result);
