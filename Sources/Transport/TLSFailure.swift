import COpenSSL

/// Why a TLS handshake or session failed, with the advice an operator needs.
package enum TLSFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// A certificate outside its time of validity. `ours` is true when the peer refused our
    /// certificate. `difference` says by how much, where it is known.
    case outsideValidity(peer: String, ours: Bool, difference: String)
    /// The peer's certificate does not lead to the CA (or the pinned fingerprint) this process
    /// trusts.
    case untrustedIssuer(peer: String)
    /// The certificate is for another host name or address.
    case wrongHost(peer: String)
    /// The certificate may not be used in this role, or has a form that this system refuses.
    case unsuitableCertificate(peer: String, reason: String)
    /// The certificate was revoked. `ours` is true when the peer refused our certificate.
    case revoked(peer: String, ours: Bool)
    /// The peer offered no certificate although one is required here.
    case noCertificate(peer: String)
    /// The peer demands a client certificate and got none.
    case certificateRequired(peer: String)
    /// The peer refused our certificate for another reason.
    case ourCertificateRefused(peer: String, reason: String)
    /// The peer does not speak TLS 1.3 with our suites, or no TLS at all.
    case protocolMismatch(peer: String, reason: String)
    /// The peer broke the connection during the handshake.
    case closedDuringHandshake(peer: String)
    /// Anything else, in OpenSSL's words.
    case other(peer: String, reason: String)

    package var description: String {
        switch self {
        case .outsideValidity(let peer, ours: false, let difference):
            "the certificate of \(peer) is not valid now (\(difference)): the clocks of this machine and of \(peer) differ or the certificate has expired: check date and NTP on both"
        case .outsideValidity(let peer, ours: true, let difference):
            "\(peer) refused this machine's certificate as not valid now (\(difference)): the clocks of this machine and of \(peer) differ or the certificate has expired: check date and NTP on both, then renew the certificate"
        case .untrustedIssuer(let peer):
            "the certificate of \(peer) does not come from the certificate authority that this process trusts: check the address and the CA certificate or fingerprint"
        case .wrongHost(let peer):
            "the certificate of \(peer) is for another name: connect by a name or address that its certificate lists"
        case .unsuitableCertificate(let peer, let reason):
            "the certificate of \(peer) cannot be used for this connection: \(reason)"
        case .revoked(let peer, ours: false):
            "the certificate of \(peer) has been revoked"
        case .revoked(let peer, ours: true):
            "\(peer) refused this machine's certificate because it has been revoked: ask the coordinator's operator for a new invitation"
        case .noCertificate(let peer):
            "\(peer) offered no client certificate, and this port requires one"
        case .certificateRequired(let peer):
            "\(peer) requires a client certificate and none was offered: join the federation first"
        case .ourCertificateRefused(let peer, let reason):
            "\(peer) refused this machine's certificate (\(reason)): it may come from another federation; join again with a new token"
        case .protocolMismatch(let peer, let reason):
            "\(peer) does not speak TLS 1.3 here (\(reason)): check that the port is the right one and that no old proxy is between"
        case .closedDuringHandshake(let peer):
            "\(peer) closed the connection during the TLS handshake: check that the port is the TLS port and that the service is not overloaded"
        case .other(let peer, let reason):
            "TLS with \(peer) failed: \(reason)"
        }
    }

    /// True for failures that come from clocks or expiry, which a later attempt may not show.
    package var isAboutTime: Bool {
        if case .outsideValidity = self { return true }
        return false
    }

    /// The failure behind a certificate verification code (`X509_V_ERR_…`).
    init(verification code: Int, peer: String, difference: String) {
        switch Int32(code) {
        case X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED:
            self = .outsideValidity(peer: peer, ours: false, difference: difference)
        case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH:
            self = .wrongHost(peer: peer)
        case X509_V_ERR_CERT_REVOKED:
            self = .revoked(peer: peer, ours: false)
        case X509_V_ERR_INVALID_PURPOSE:
            self = .unsuitableCertificate(
                peer: peer, reason: "its extended key usage is for another role")
        case X509_V_ERR_APPLICATION_VERIFICATION:
            self = .unsuitableCertificate(
                peer: peer, reason: "it names no site, or it is a CA certificate")
        default:
            self = .untrustedIssuer(peer: peer)
        }
    }

    /// The failure behind a TLS alert that the peer sent (RFC 8446 §6.2).
    init(alert: Int, peer: String, reason: String) {
        switch alert {
        case 45: self = .outsideValidity(peer: peer, ours: true, difference: "its clock says so")
        case 44: self = .revoked(peer: peer, ours: true)
        case 116: self = .certificateRequired(peer: peer)
        case 42, 43, 46, 48, 49: self = .ourCertificateRefused(peer: peer, reason: reason)
        case 40, 47, 70, 71, 109, 120: self = .protocolMismatch(peer: peer, reason: reason)
        default: self = .other(peer: peer, reason: reason)
        }
    }
}
