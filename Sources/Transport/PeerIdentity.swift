import Cryptography

/// Who is at the other end of a mutually authenticated connection, from its verified certificate.
package struct PeerIdentity: Hashable, Sendable {
    /// The site of the SAN URI `consilium:site:NAME`.
    package var siteName: String
    /// Serial number of the certificate, lower-case hexadecimal.
    package var serialHex: String
    /// SHA-256 of the certificate's DER.
    package var fingerprint: Digest

    package init(siteName: String, serialHex: String, fingerprint: Digest) {
        self.siteName = siteName
        self.serialHex = serialHex
        self.fingerprint = fingerprint
    }

    /// Nil for a certificate without a site name, which names nobody this system knows.
    init?(_ certificate: Certificate) {
        guard let siteName = certificate.siteName else { return nil }
        self.init(
            siteName: siteName, serialHex: certificate.serialHex,
            fingerprint: certificate.fingerprint)
    }
}
