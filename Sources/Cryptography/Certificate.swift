import CShims

/// An X.509 certificate: its bytes and the few facts Consilium reads from it. Holding one proves
/// nothing; TLS or ``isValid(issuedBy:at:for:)`` checks the issuer.
package struct Certificate: Hashable, Sendable {
    /// The largest certificate that is read.
    package static let derBytesMax = 16 * 1024
    /// Longest chain file that is read: leaf, intermediate, root and one to spare.
    package static let chainCountMax = 4
    /// A site's name is the URI `consilium:site:NAME` among the subject's alternative names.
    package static let siteURIPrefix = "consilium:site:"

    /// What TLS may use it for (extended key usage).
    package enum Usage: Sendable {
        /// A site that dials the coordinator (clientAuth).
        case client
        /// A server (serverAuth).
        case server

        var code: Int32 { Int32(self == .client ? CONSILIUM_USAGE_CLIENT : CONSILIUM_USAGE_SERVER) }
    }

    package let der: [UInt8]
    /// SHA-256 of the DER bytes.
    package let fingerprint: Digest
    /// The serial number, lower case hexadecimal, whole bytes, no leading zero byte.
    package let serialHex: String
    /// The site this certificate speaks for, nil if it names none.
    package let siteName: String?
    /// Unix seconds. OpenSSL takes the certificate from `notBefore` on and until just before
    /// `notAfter`.
    package let notBefore, notAfter: Int64
    /// CA:TRUE in basicConstraints.
    package let isAuthority: Bool
    /// Extended key usages present.
    package let allowsClient, allowsServer: Bool

    /// - Parameter der: exactly one certificate, in the encoding OpenSSL writes.
    /// - Throws: `.malformed`, also for more than one site name or one outside `[a-z0-9-]{1,64}`.
    package init(der: [UInt8]) throws(CryptographyError) {
        guard der.count <= Self.derBytesMax else {
            throw .malformed(what: "certificate", reason: "larger than \(Self.derBytesMax) bytes")
        }
        ErrorQueue.clear()
        var serial = [UInt8](repeating: 0, count: Int(CONSILIUM_SERIAL_BYTES_MAX))
        var name = [UInt8](repeating: 0, count: SiteName.bytesMax)
        // Safe: the buffers have the 20 and 64 bytes that the shim may write.
        let facts = unsafe consilium_certificate_read(
            der, der.count, Self.siteURIPrefix, &serial, &name)
        guard facts.is_valid == 1 else {
            throw .malformed(
                what: "certificate", reason: "not one DER certificate: \(ErrorQueue.drain())")
        }
        self.der = der
        fingerprint = SHA256.hash(der)
        serialHex = lowerHex(Array(serial[..<facts.serial_count]))
        siteName = try Self.siteName(
            Array(name[..<facts.site_name_count]), uris: facts.site_name_uris)
        (notBefore, notAfter) = (facts.not_before, facts.not_after)
        isAuthority = facts.is_authority == 1
        (allowsClient, allowsServer) = (facts.allows_client == 1, facts.allows_server == 1)
    }

    /// - Parameter pem: text whose only block is a CERTIFICATE.
    /// - Throws: `.malformed`.
    package init(pem: String) throws(CryptographyError) {
        let chain = try Self.chain(pem: pem)
        guard chain.count == 1 else {
            throw .malformed(
                what: "certificate", reason: "the PEM text has \(chain.count) certificates, not one"
            )
        }
        self = chain[0]
    }

    /// The certificates of a PEM file in their order, 1 to ``chainCountMax``, nothing else among
    /// them.
    /// - Throws: `.malformed`.
    package static func chain(pem: String) throws(CryptographyError) -> [Certificate] {
        let text = Array(pem.utf8)
        guard text.count <= 2 * chainCountMax * derBytesMax else {
            throw .malformed(what: "certificate", reason: "the PEM text is too large")
        }
        ErrorQueue.clear()
        var chain: [Certificate] = []
        // Safe: text and count belong together.
        while let der = unsafe takeBytes(
            consilium_certificate_read_pem(text, text.count, chain.count))
        {
            guard chain.count < chainCountMax else {
                throw .malformed(
                    what: "certificate",
                    reason: "more than \(chainCountMax) certificates in one file")
            }
            chain.append(try Certificate(der: der))
        }
        ErrorQueue.clear()
        guard !chain.isEmpty, chain.count == pem.pemBlockCount else {
            throw .malformed(what: "certificate", reason: "not a PEM file of certificates only")
        }
        return chain
    }

    /// PEM text with a newline at the end.
    package var pem: String {
        // Safe: bytes and count belong together.
        guard let text = unsafe takeBytes(consilium_certificate_write_pem(der, der.count)) else {
            preconditionFailure("a parsed certificate can be written again")
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The subject as RFC 2253 text (`CN=ward 7,O=Hospital`), other characters than printable ASCII escaped; empty when there is none.
    package var subject: String {
        // Safe: bytes and count belong together.
        let text = unsafe takeBytes(consilium_certificate_subject(der, der.count))
        ErrorQueue.clear()
        return String(decoding: text ?? [], as: UTF8.self)
    }

    /// Whether `key` is the private key of this certificate.
    package func matches(_ key: CertificateKey) -> Bool {
        ErrorQueue.clear()
        // Safe: bytes and count belong together; the handle outlives the call.
        let result = unsafe consilium_certificate_has_key(der, der.count, key.handle.pointer)
        ErrorQueue.clear()
        return result == 1
    }

    /// Whether this certificate and `authority` form a chain that is valid at `now` (unix seconds)
    /// for `usage`.
    package func isValid(issuedBy authority: Certificate, at now: Int64, for usage: Usage) -> Bool {
        ErrorQueue.clear()
        // Safe: bytes and counts belong together.
        let result = unsafe consilium_certificate_verify(
            der, der.count, authority.der, authority.der.count, now, usage.code)
        ErrorQueue.clear()
        return result == 1
    }

    private static func siteName(_ bytes: [UInt8], uris: Int) throws(CryptographyError) -> String? {
        if uris == 0 { return nil }
        let name = String(decoding: bytes, as: UTF8.self)
        guard uris == 1, SiteName.isValid(name) else {
            throw .malformed(
                what: "certificate", reason: "it must name one site, as [a-z0-9-]{1,64}")
        }
        return name
    }
}

extension String {
    /// How many lines open a PEM block.
    fileprivate var pemBlockCount: Int {
        utf8.split(separator: UInt8(ascii: "\n")).count { $0.starts(with: "-----BEGIN ".utf8) }
    }
}
