import COpenSSL
import CShims
import Cryptography

/// Settings of TLS connections of one role: certificates, trust, and the profile of
/// `protocol/http.md` §2 (TLS 1.3 only, three suites, X25519 and P-256, no tickets, no resumption,
/// no early data). All unsafe `SSL_CTX` calls are here.
@safe package final class TLSContext: @unchecked Sendable {
    /// Not modified after `init`; OpenSSL's own reference counts and locks make its use from
    /// several threads safe.
    let pointer: OpaquePointer
    let rules: TLSRules

    /// What a server asks of its clients.
    package enum ClientAuthentication: Sendable {
        /// No certificate is asked for.
        case none
        /// Every client must present a certificate of this CA with a site name (see
        /// ``PeerIdentity``).
        case required(clientCA: Certificate)
        /// A client may present a certificate that one of these authorities issued itself; it names a caller, not a site.
        case optional(clientCAs: [Certificate])
    }

    /// What a client believes.
    package enum Trust: Sendable {
        /// Chains that end in this certificate.
        case authority(Certificate)
        /// Chains that end in the certificate whose DER has this SHA-256; the server must send it.
        /// For enrolment.
        case fingerprint(Digest)
    }

    /// A server's settings.
    /// - Parameters:
    ///   - chain: leaf first; the CA certificate last, so that clients that pin its fingerprint can
    ///     check it.
    ///   - key: the leaf's key.
    ///   - clients: whether client certificates are required, or may be shown.
    ///   - enrolmentProtocol: an ALPN name whose clients are not asked for a certificate.
    ///   - isRevoked: asked with the serial number (lower-case hexadecimal) of each client
    ///     certificate, on a loop thread.
    /// - Throws: ``TransportError/badCredentials(reason:)``.
    package static func server(
        chain: [Certificate],
        key: CertificateKey,
        clients: ClientAuthentication = .none,
        enrolmentProtocol: String? = nil,
        isRevoked: @escaping @Sendable (String) -> Bool = { _ in false }
    ) throws(TransportError) -> TLSContext {
        var rules = TLSRules(isServer: true)
        if case .optional = clients { rules.requiresSiteName = false }
        rules.protocols = ["http/1.1"]
        rules.isRevoked = isRevoked
        if let enrolmentProtocol {
            rules.enrolmentProtocol = enrolmentProtocol
            rules.protocols.insert(enrolmentProtocol, at: 0)
        }
        let context = try TLSContext(rules)
        try context.use(chain: chain, key: key)
        switch clients {
        case .none: break
        case .required(let authority):
            try context.trust(authority, announce: true)
            context.verifyPeer()
        case .optional(let authorities):
            for authority in authorities { try context.trust(authority, announce: true) }
            // An institution's issuing authority is often not a root.
            unsafe X509_STORE_set_flags(SSL_CTX_get_cert_store(context.pointer), UInt(X509_V_FLAG_PARTIAL_CHAIN))
            context.verifyPeer(isRequired: false)
        }
        context.selectProtocols()
        return context
    }

    /// A client's settings. The server's name or address is always checked.
    /// - Parameters:
    ///   - trust: the CA, or its fingerprint.
    ///   - identity: our own certificate (leaf first) and key, for servers that require one.
    ///   - protocols: ALPN names to offer, none by default.
    /// - Throws: ``TransportError/badCredentials(reason:)``.
    package static func client(
        trust: Trust,
        identity: (chain: [Certificate], key: CertificateKey)? = nil,
        protocols: [String] = []
    ) throws(TransportError) -> TLSContext {
        var rules = TLSRules(isServer: false)
        rules.protocols = protocols
        if case .fingerprint(let fingerprint) = trust { rules.pinnedFingerprint = fingerprint }
        let context = try TLSContext(rules)
        if let identity { try context.use(chain: identity.chain, key: identity.key) }
        switch trust {
        case .authority(let authority): try context.trust(authority, announce: false)
        case .fingerprint: context.verifyByFingerprint()
        }
        context.verifyPeer()
        try context.offerProtocols()
        return context
    }

    private init(_ rules: TLSRules) throws(TransportError) {
        IgnoredSignals.pipe
        TLSErrorQueue.clear()
        guard
            let pointer = unsafe SSL_CTX_new(
                rules.isServer ? TLS_server_method() : TLS_client_method())
        else {
            throw .badCredentials(reason: TLSErrorQueue.drain().text)
        }
        unsafe self.pointer = pointer
        self.rules = rules
        guard unsafe consilium_tls_profile(pointer) == 1 else {
            throw .badCredentials(
                reason:
                    "this OpenSSL does not offer the TLS 1.3 profile: \(TLSErrorQueue.drain().text)"
            )
        }
    }

    deinit { unsafe SSL_CTX_free(pointer) }

    private func use(chain: [Certificate], key: CertificateKey) throws(TransportError) {
        TLSErrorQueue.clear()
        guard let leaf = chain.first else {
            throw .badCredentials(reason: "the certificate chain is empty")
        }
        let leafPointer = try X509Pointer(leaf)
        let keyPointer = try KeyPointer(key)
        guard unsafe SSL_CTX_use_certificate(pointer, leafPointer.pointer) == 1,
            unsafe SSL_CTX_use_PrivateKey(pointer, keyPointer.pointer) == 1,
            unsafe SSL_CTX_check_private_key(pointer) == 1
        else {
            throw .badCredentials(
                reason: "the key does not belong to the certificate (\(TLSErrorQueue.drain().text))"
            )
        }
        for certificate in chain.dropFirst() {
            let link = try X509Pointer(certificate)
            guard unsafe consilium_tls_add_chain(pointer, link.pointer) == 1 else {
                throw .badCredentials(reason: TLSErrorQueue.drain().text)
            }
        }
    }

    /// Makes `authority` a trust anchor; there are no others than those given.
    private func trust(_ authority: Certificate, announce: Bool) throws(TransportError) {
        TLSErrorQueue.clear()
        let anchor = try X509Pointer(authority)
        let isTrusted =
            unsafe X509_STORE_add_cert(SSL_CTX_get_cert_store(pointer), anchor.pointer) == 1
        let isAnnounced = unsafe !announce || SSL_CTX_add_client_CA(pointer, anchor.pointer) == 1
        guard isTrusted, isAnnounced else {
            throw .badCredentials(reason: TLSErrorQueue.drain().text)
        }
    }

    /// Leaf directly under the CA, and every verdict passes ``TLSSession/judge(_:_:)``.
    private func verifyPeer(isRequired: Bool = true) {
        let mode = isRequired ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER
        unsafe SSL_CTX_set_verify_depth(pointer, 0)
        unsafe SSL_CTX_set_verify(pointer, mode) {
            verdict, store in
            guard let store = unsafe store, let session = unsafe TLSSession.verifying(store) else {
                return 0
            }
            return unsafe session.judge(verdict == 1, store) ? 1 : 0
        }
    }

    private func verifyByFingerprint() {
        unsafe SSL_CTX_set_cert_verify_callback(
            pointer,
            { store, _ in
                guard let store = unsafe store, let session = unsafe TLSSession.verifying(store)
                else { return 0 }
                return unsafe session.verifyPinned(store) ? 1 : 0
            }, nil)
    }

    private func selectProtocols() {
        unsafe SSL_CTX_set_alpn_select_cb(
            pointer,
            { ssl, chosen, chosenCount, offered, offeredCount, _ in
                guard let session = unsafe TLSSession.of(ssl) else {
                    return SSL_TLSEXT_ERR_ALERT_FATAL
                }
                let offer = unsafe UnsafeBufferPointer(start: offered, count: Int(offeredCount))
                guard let range = unsafe session.chooseProtocol(Array(offer)) else {
                    return SSL_TLSEXT_ERR_ALERT_FATAL
                }
                // Safe: the choice points into the client's own list, which OpenSSL keeps until the
                // callback has returned.
                unsafe chosen?.pointee = offered! + range.lowerBound
                unsafe chosenCount?.pointee = UInt8(range.count)
                return SSL_TLSEXT_ERR_OK
            }, nil)
    }

    private func offerProtocols() throws(TransportError) {
        guard !rules.protocols.isEmpty else { return }
        let wire = rules.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        // Safe: OpenSSL copies the list. This one call returns 0 for success.
        guard unsafe SSL_CTX_set_alpn_protos(pointer, wire, UInt32(wire.count)) == 0 else {
            throw .badCredentials(reason: "the ALPN list is malformed")
        }
    }
}

/// The part of a context that our own callbacks consult.
struct TLSRules: Sendable {
    var isServer: Bool
    var protocols: [String] = []
    var enrolmentProtocol: String?
    var isRevoked: @Sendable (String) -> Bool = { _ in false }
    var pinnedFingerprint: Digest?
    var requiresSiteName = true

    init(isServer: Bool) { self.isServer = isServer }
}

/// An `X509` for the duration of a call.
@safe private struct X509Pointer: ~Copyable {
    let pointer: OpaquePointer

    init(_ certificate: Certificate) throws(TransportError) {
        let der = certificate.der
        // Safe: d2i reads at most the given length.
        let parsed = unsafe der.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return unsafe d2i_X509(nil, &start, bytes.count)
        }
        guard let parsed = unsafe parsed else {
            throw .badCredentials(reason: TLSErrorQueue.drain().text)
        }
        unsafe pointer = parsed
    }

    deinit { unsafe X509_free(pointer) }
}

/// An `EVP_PKEY` for the duration of a call.
@safe private struct KeyPointer: ~Copyable {
    let pointer: OpaquePointer

    init(_ key: CertificateKey) throws(TransportError) {
        let read: OpaquePointer?
        do {
            let pem = try key.pem()
            unsafe read = pem.withBytes { span in
                unsafe span.withUnsafeBytes { bytes in
                    // Safe: the shim parses `count` bytes and keeps nothing.
                    unsafe consilium_key_read_pem(bytes.baseAddress, bytes.count)
                }
            }
        } catch { throw .badCredentials(reason: "\(error)") }
        guard let read = unsafe read else {
            throw .badCredentials(reason: TLSErrorQueue.drain().text)
        }
        unsafe pointer = read
    }

    deinit { unsafe EVP_PKEY_free(pointer) }
}
