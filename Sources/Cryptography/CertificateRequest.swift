import CShims

/// A PKCS#10 request whose signature proved possession of its key. Only the key is taken from it:
/// names and extensions that it asks for are never read.
package struct CertificateRequest: Sendable {
    /// The largest request that is read.
    package static let derBytesMax = 16 * 1024

    /// The request as received.
    package let der: [UInt8]
    let key: PrivateKeyHandle

    /// Makes a request for `key`.
    /// - Parameter commonName: 1 to 64 bytes, only for the eye of an operator.
    /// - Returns: DER.
    /// - Throws: `.refused` for a bad name, `.library`.
    package static func make(key: CertificateKey, commonName: String) throws(CryptographyError)
        -> [UInt8]
    {
        let name = try CommonName.bytes(commonName)
        ErrorQueue.clear()
        // Safe: bytes and counts belong together; the handle outlives the call.
        guard
            let der = unsafe takeBytes(consilium_request_make(key.handle.pointer, name, name.count))
        else {
            throw .library(operation: "make a certificate request", reason: ErrorQueue.drain())
        }
        return der
    }

    /// Parses and verifies.
    /// - Throws: `.malformed`; `.refused` for a key that is not P-256 (named curve) or Ed25519, and
    ///   for a request that is not signed by its own key.
    package init(der: [UInt8]) throws(CryptographyError) {
        guard der.count <= Self.derBytesMax else {
            throw .malformed(
                what: "certificate request", reason: "larger than \(Self.derBytesMax) bytes")
        }
        ErrorQueue.clear()
        // Safe: bytes and count belong together.
        let opened = unsafe consilium_request_open(der, der.count)
        let reason = ErrorQueue.drain()
        // Safe: ownership of the key goes to the handle.
        guard let key = unsafe PrivateKeyHandle(owning: opened.key) else {
            throw Self.error(verdict: unsafe opened.verdict, reason: reason)
        }
        guard key.kind != .ed25519 || VerifyingKey(bytes: key.rawPublicKey()) != nil else {
            throw .refused(
                what: "certificate request", reason: "its Ed25519 key is a small-order point")
        }
        self.der = der
        self.key = key
    }

    private static func error(verdict: Int32, reason: String) -> CryptographyError {
        switch Int(verdict) {
        case Int(CONSILIUM_REQUEST_KEY_TYPE):
            .refused(
                what: "certificate request",
                reason: "its key must be ECDSA P-256 (named curve) or Ed25519")
        case Int(CONSILIUM_REQUEST_NO_POSSESSION):
            .refused(what: "certificate request", reason: "it is not signed by the key it is for")
        default:
            .malformed(what: "certificate request", reason: reason)
        }
    }
}

/// The subject's common name: what an operator reads, never what a program decides by.
enum CommonName {
    /// ub-common-name of RFC 5280.
    static let bytesMax = 64

    /// - Throws: `.refused` unless there are 1 to 64 bytes without control characters.
    static func bytes(_ name: String) throws(CryptographyError) -> [UInt8] {
        let isPrintable = name.unicodeScalars.allSatisfy {
            $0.properties.generalCategory != .control
        }
        guard (1...bytesMax).contains(name.utf8.count), isPrintable else {
            throw .refused(
                what: "common name",
                reason: "it must have 1 to \(bytesMax) bytes and no control characters")
        }
        return Array(name.utf8)
    }
}
