import Cryptography

/// Who is at the other end of a connection, from its verified certificate.
package struct PeerIdentity: Hashable, Sendable {
    /// The site of the SAN URI `consilium:site:NAME`; nil for a caller of another authority, which names no site.
    package var siteName: String?
    /// Serial number of the certificate, lower-case hexadecimal.
    package var serialHex: String
    /// SHA-256 of the certificate's DER.
    package var fingerprint: Digest
    /// The subject as RFC 2253 text.
    package var subject: String
    /// Unix seconds from which on the certificate is no longer valid.
    package var notAfter: Int64

    /// What a verified certificate says.
    package init(_ certificate: Certificate) {
        siteName = certificate.siteName
        serialHex = certificate.serialHex
        fingerprint = certificate.fingerprint
        subject = certificate.subject
        notAfter = certificate.notAfter
    }
}
