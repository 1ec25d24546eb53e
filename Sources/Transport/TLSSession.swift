import COpenSSL
import CShims
import Cryptography
import Glibc

/// One TLS connection over a non-blocking socket. All unsafe `SSL` calls are in this file.
///
/// Belongs to one thread at a time. The socket must outlive the session.
@safe final class TLSSession {
    private let ssl: OpaquePointer
    private let context: TLSContext
    /// How the other end is called in errors: a host name, or the address of a client.
    private let peerName: String
    /// Set by the callbacks while the handshake runs.
    private(set) var identity: PeerIdentity?
    private var verificationFailure: TLSFailure?

    /// - Throws: ``TransportError/tls(_:)`` when OpenSSL has no memory or does not take the host
    ///   name.
    init(_ context: TLSContext, socket: Socket, peerName: String) throws(TransportError) {
        TLSErrorQueue.clear()
        guard let ssl = unsafe SSL_new(context.pointer) else {
            throw .tls(.other(peer: peerName, reason: TLSErrorQueue.drain().text))
        }
        unsafe self.ssl = ssl
        self.context = context
        self.peerName = peerName
        // Safe: the session outlives the SSL object that points back at it (index 0 is the
        // application's).
        unsafe SSL_set_ex_data(ssl, 0, Unmanaged.passUnretained(self).toOpaque())
        guard unsafe SSL_set_fd(ssl, socket.descriptor) == 1 else {
            throw .tls(.other(peer: peerName, reason: TLSErrorQueue.drain().text))
        }
        if context.rules.isServer {
            unsafe SSL_set_accept_state(ssl)
        } else {
            unsafe SSL_set_connect_state(ssl)
            try expectHost(peerName)
        }
    }

    deinit { unsafe SSL_free(ssl) }

    /// The certificate must be for this name or address; a name also goes into the hello.
    private func expectHost(_ host: String) throws(TransportError) {
        let isAddress =
            host.contains(":") || host.utf8.allSatisfy { $0 == 0x2e || (0x30...0x39).contains($0) }
        let isSet =
            unsafe SSL_set1_host(ssl, host) == 1
            && (isAddress || consilium_tls_set_sni(ssl, host) == 1)
        guard isSet else {
            throw .tls(.other(peer: peerName, reason: "\"\(host)\" is not a host name"))
        }
    }

    /// The ALPN name both sides agreed on.
    var negotiatedProtocol: String? {
        var bytes: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        unsafe SSL_get0_alpn_selected(ssl, &bytes, &count)
        guard let bytes = unsafe bytes, count > 0 else { return nil }
        // Safe: OpenSSL owns `count` bytes there; they are copied.
        return unsafe String(
            decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    /// Whether decrypted or unread records wait inside OpenSSL, which the socket's readiness does
    /// not show.
    var hasPending: Bool { unsafe SSL_has_pending(ssl) == 1 }

    // MARK: Moving bytes

    /// One step of the handshake. `.bytes` means that it is complete.
    func handshake() -> IOResult {
        TLSErrorQueue.clear()
        let result = unsafe SSL_do_handshake(ssl)
        return result == 1 ? .bytes(1) : outcome(of: result, duringHandshake: true)
    }

    func read(into bytes: UnsafeMutableRawBufferPointer) -> IOResult {
        TLSErrorQueue.clear()
        var count = 0
        // Safe: at most the buffer's length is written.
        let result = unsafe SSL_read_ex(ssl, bytes.baseAddress, bytes.count, &count)
        return result == 1 ? .bytes(count) : outcome(of: result, duringHandshake: false)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> IOResult {
        TLSErrorQueue.clear()
        var count = 0
        // Safe: at most the buffer's length is read.
        let result = unsafe SSL_write_ex(ssl, bytes.baseAddress, bytes.count, &count)
        return result == 1 ? .bytes(count) : outcome(of: result, duringHandshake: false)
    }

    /// Sends close_notify if the socket takes it.
    func sendClose() {
        TLSErrorQueue.clear()
        unsafe SSL_shutdown(ssl)
        TLSErrorQueue.clear()
    }

    private func outcome(of result: Int32, duringHandshake: Bool) -> IOResult {
        let code = errno
        switch unsafe consilium_tls_error(ssl, result) {
        case SSL_ERROR_WANT_READ: return .wantsRead
        case SSL_ERROR_WANT_WRITE: return .wantsWrite
        case SSL_ERROR_ZERO_RETURN: return .end
        case SSL_ERROR_SYSCALL:
            if duringHandshake { return .failed(.tls(.closedDuringHandshake(peer: peerName))) }
            return code == 0 ? .end : .failed(.connectionClosed(reason: errnoText(code)))
        default: return failure(duringHandshake)
        }
    }

    private func failure(_ duringHandshake: Bool) -> IOResult {
        let error = TLSErrorQueue.drain()
        if let verificationFailure { return .failed(.tls(verificationFailure)) }
        switch error.reason {
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return duringHandshake ? .failed(.tls(.closedDuringHandshake(peer: peerName))) : .end
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return .failed(.tls(.noCertificate(peer: peerName)))
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_HTTP_REQUEST,
            SSL_R_NO_SHARED_CIPHER:
            return .failed(.tls(.protocolMismatch(peer: peerName, reason: error.text)))
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
            let code = Int(unsafe SSL_get_verify_result(ssl))
            return .failed(.tls(TLSFailure(verification: code, peer: peerName, difference: "")))
        case let reason where (SSL_AD_REASON_OFFSET...SSL_AD_REASON_OFFSET + 255).contains(reason):
            return .failed(
                .tls(
                    TLSFailure(
                        alert: Int(reason - SSL_AD_REASON_OFFSET), peer: peerName,
                        reason: error.text)))
        default:
            return .failed(.tls(.other(peer: peerName, reason: error.text)))
        }
    }

    // MARK: Called back by OpenSSL

    static func of(_ ssl: OpaquePointer?) -> TLSSession? {
        guard let data = unsafe SSL_get_ex_data(ssl, 0) else { return nil }
        // Safe: set in `init`; the session is alive while one of its calls is on the stack.
        return unsafe Unmanaged<TLSSession>.fromOpaque(data).takeUnretainedValue()
    }

    static func verifying(_ store: OpaquePointer) -> TLSSession? {
        let ssl = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
        return unsafe of(OpaquePointer(ssl))
    }

    /// The last word on each certificate of the peer's chain.
    ///
    /// A certificate that is not valid *yet* is reported to the peer as expired: TLS has no alert
    /// of its own for it, and both mean "look at your clock".
    func judge(_ verdict: Bool, _ store: OpaquePointer) -> Bool {
        let code = unsafe X509_STORE_CTX_get_error(store)
        guard verdict else {
            verificationFailure = TLSFailure(
                verification: Int(code), peer: peerName,
                difference: unsafe timeDifference(code, store))
            if code == X509_V_ERR_CERT_NOT_YET_VALID {
                unsafe X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_HAS_EXPIRED)
            }
            return false
        }
        guard context.rules.isServer, unsafe X509_STORE_CTX_get_error_depth(store) == 0 else {
            return true
        }
        guard let identity = unsafe clientIdentity(store) else {
            return unsafe refuse(X509_V_ERR_APPLICATION_VERIFICATION, store)
        }
        guard !context.rules.isRevoked(identity.serialHex) else {
            return unsafe refuse(X509_V_ERR_CERT_REVOKED, store)
        }
        self.identity = identity
        return true
    }

    /// Verifies the chain against the pinned CA that the server sent.
    func verifyPinned(_ store: OpaquePointer) -> Bool {
        guard let fingerprint = context.rules.pinnedFingerprint else { return false }
        let verified = unsafe consilium_tls_verify_pinned(store, fingerprint.bytes) == 1
        if !verified, verificationFailure == nil {
            verificationFailure = .untrustedIssuer(peer: peerName)
        }
        return verified
    }

    /// Where in the client's ALPN list the chosen name lies. Enrolment comes before everything
    /// else, and its client is not asked for a certificate: this runs before the request for one is
    /// written.
    func chooseProtocol(_ offer: [UInt8]) -> Range<Int>? {
        for name in context.rules.protocols {
            var position = 0
            while position < offer.count {
                let range = (position + 1)..<(position + 1 + Int(offer[position]))
                guard range.upperBound <= offer.count else { return nil }
                if offer[range].elementsEqual(name.utf8) {
                    if name == context.rules.enrolmentProtocol {
                        unsafe SSL_set_verify(ssl, SSL_VERIFY_NONE, nil)
                    }
                    return range
                }
                position = range.upperBound
            }
        }
        return nil
    }

    private func refuse(_ code: Int32, _ store: OpaquePointer) -> Bool {
        unsafe X509_STORE_CTX_set_error(store, code)
        verificationFailure = TLSFailure(verification: Int(code), peer: peerName, difference: "")
        return false
    }

    /// Nil for a CA certificate, and for one without a site name where sites are expected.
    private func clientIdentity(_ store: OpaquePointer) -> PeerIdentity? {
        guard let leaf = unsafe X509_STORE_CTX_get_current_cert(store),
            unsafe X509_check_ca(leaf) == 0
        else { return nil }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509(leaf, &bytes)
        guard count > 0, let start = unsafe bytes else { return nil }
        defer { unsafe CRYPTO_free(start, nil, 0) }
        // Safe: i2d allocated `count` bytes; they are copied.
        let der = unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
        guard let certificate = try? Certificate(der: der),
            !context.rules.requiresSiteName || certificate.siteName != nil
        else { return nil }
        return PeerIdentity(certificate)
    }

    /// "valid from about 1 h from now", "expired about 2 days ago".
    private func timeDifference(_ code: Int32, _ store: OpaquePointer) -> String {
        guard let certificate = unsafe X509_STORE_CTX_get_current_cert(store) else { return "" }
        let isEarly = code == X509_V_ERR_CERT_NOT_YET_VALID
        var days: Int32 = 0
        var seconds: Int32 = 0
        let limit =
            unsafe isEarly ? X509_get0_notBefore(certificate) : X509_get0_notAfter(certificate)
        // Safe: a null start means the current time.
        guard unsafe ASN1_TIME_diff(&days, &seconds, nil, limit) == 1 else { return "" }
        let total = abs(Int(days) * 86_400 + Int(seconds))
        return isEarly
            ? "it becomes valid in about \(Self.rounded(total))"
            : "it expired about \(Self.rounded(total)) ago"
    }

    private static func rounded(_ seconds: Int) -> String {
        switch seconds {
        case ..<120: "\(seconds) s"
        case ..<7_200: "\((seconds + 30) / 60) min"
        case ..<172_800: "\((seconds + 1_800) / 3_600) h"
        default: "\((seconds + 43_200) / 86_400) days"
        }
    }
}

/// OpenSSL's error queue of the current thread.
enum TLSErrorQueue {
    static func clear() { ERR_clear_error() }

    /// The first error's reason code and all errors as text; the queue is empty after.
    static func drain() -> (reason: Int32, text: String) {
        var reason: Int32 = 0
        var texts: [String] = []
        while true {
            let code = ERR_get_error()
            if code == 0 { break }
            if reason == 0 { reason = ERR_GET_REASON(code) }
            // Safe: a static text or null.
            if let text = unsafe ERR_reason_error_string(code) {
                texts.append(unsafe String(cString: text))
            }
        }
        return (reason, texts.isEmpty ? "no reason given" : texts.joined(separator: "; "))
    }
}
