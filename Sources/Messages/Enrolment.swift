// Joining a federation. `protocol/federation.md` §2.
//
// A token carries 256 random bits, the coordinator's address and the fingerprint of its CA, so the
// node can tell the right server before it says anything. The server stores the token's hash only.

import Codec
import Cryptography
import Study

/// The one-time token that `invite` prints: `consilium-1.<base64url>`.
package struct EnrolmentToken: Equatable, Sendable {
    /// 32 random bytes.
    package let secret: [UInt8]
    /// `host:port` of the coordinator's federation port.
    package let address: String
    /// SHA-256 of the CA certificate's DER form.
    package let authorityFingerprint: Digest
    /// The name that the token was made for.
    package let site: String

    static let prefix = "consilium-1."
    /// Bytes of the random part.
    package static let secretBytes = 32
    /// Characters of a token's text, white space left out.
    static let textBytesMax = 2048
    static let addressBytesMax = 512
    private static let checkBytes = 4
    /// ALPN name of the one kind of connection that needs no client certificate.
    package static let applicationProtocol = "consilium-enrol/1"
    /// Seconds that an invitation lives.
    package static let lifetimeSeconds: Int64 = 600

    /// - Parameters: 32 random bytes, `host:port`, the CA's fingerprint, the site's name.
    package init(secret: [UInt8], address: String, authorityFingerprint: Digest, site: String) {
        precondition(secret.count == EnrolmentToken.secretBytes, "a token has 32 random bytes")
        self.secret = secret
        self.address = address
        self.authorityFingerprint = authorityFingerprint
        self.site = site
    }

    /// The token as `invite` prints it.
    package var text: String {
        var writer = ByteWriter()
        writer.raw(secret)
        writer.raw(authorityFingerprint.bytes)
        writer.text(address)
        writer.text(site)
        let body = writer.bytes
        return EnrolmentToken.prefix + Base64.urlEncode(body + EnrolmentToken.check(body))
    }

    private static func check(_ body: [UInt8]) -> [UInt8] {
        Array(SHA256.hash(body).bytes.prefix(checkBytes))
    }

    /// Reads a token; a mistyped one fails its check sum before anything is sent. White space is left
    /// out, so a token that a mail program broke into lines still reads.
    ///
    /// - Returns: nil for anything that `text` did not write.
    package init?(text: String) {
        let trimmed = text.filter { !$0.isWhitespace }
        guard trimmed.hasPrefix(EnrolmentToken.prefix),
            trimmed.utf8.count < EnrolmentToken.textBytesMax,
            let bytes = Base64.urlDecode(String(trimmed.dropFirst(EnrolmentToken.prefix.count)))
        else { return nil }
        let body = Array(bytes.dropLast(EnrolmentToken.checkBytes))
        guard EnrolmentToken.check(body) == Array(bytes.suffix(EnrolmentToken.checkBytes)) else {
            return nil
        }
        do {
            var reader = ByteReader(body)
            secret = try reader.raw(EnrolmentToken.secretBytes)
            authorityFingerprint = try reader.digest()
            address = try reader.text(maxBytes: EnrolmentToken.addressBytesMax)
            site = try reader.name()
            try reader.finish()
        } catch {
            return nil
        }
    }

    /// What the coordinator stores and looks up; the secret itself is nowhere on its disk.
    package static func hash(secret: [UInt8]) -> Digest {
        SHA256.hash(Array("consilium/enrolment-token/v1".utf8) + secret)
    }
}

/// The node's request: token secret, certificate request, signing key and proof that it holds it.
package struct EnrolmentRequest: Equatable, Sendable {
    /// The token's 32 random bytes.
    package var secret: [UInt8]
    /// The name that the token was made for.
    package var site: String
    /// PKCS #10, DER; the coordinator takes the public key from it and nothing else.
    package var certificateRequest: [UInt8]
    /// The key that the site will sign consents and aggregation messages with.
    package var signingKey: VerifyingKey
    /// Signature by the signing key over the rest; see `proofMessage`.
    package var proof: [UInt8]
    /// The node's clock, milliseconds since 1970, so that the coordinator can name a skew.
    package var clock: Int64

    /// Bytes of an encoded request.
    package static let bytesMax = 32 << 10
    static let certificateRequestBytesMax = 16 << 10

    /// Makes a request and signs it.
    package init(
        secret: [UInt8], site: String, certificateRequest: [UInt8], key: SigningKey, clock: Int64
    ) {
        self.secret = secret
        self.site = site
        self.certificateRequest = certificateRequest
        signingKey = key.publicKey
        self.clock = clock
        proof = []
        proof = key.sign(proofMessage)
    }

    /// Whether the sender holds the signing key's private half.
    package var hasValidProof: Bool { signingKey.isValid(proof, for: proofMessage) }

    private var proofMessage: [UInt8] {
        var writer = ByteWriter()
        writer.text("consilium/enrolment-proof/v1")
        writer.text(site)
        writer.raw(SHA256.hash(secret).bytes)
        writer.raw(SHA256.hash(certificateRequest).bytes)
        writer.raw(signingKey.bytes)
        return SHA256.hash(writer.bytes).bytes
    }

    /// Canonical bytes, `protocol/federation.md` §2.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.u8(1)
        writer.lengthPrefixed(secret)
        writer.text(site)
        writer.lengthPrefixed(certificateRequest)
        writer.raw(signingKey.bytes)
        writer.raw(proof)
        writer.u64(UInt64(bitPattern: clock))
        return writer.bytes
    }

    /// Reads what `encoded` wrote. Whether token and proof are good is for the coordinator to find out.
    ///
    /// - Throws: `MessageError.malformed`, also for a clock outside the years 1970 to 9999.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.u8() == 1 else { throw MessageError.malformed("enrolment") }
            secret = try reader.lengthPrefixed(maxBytes: EnrolmentToken.secretBytes)
            site = try reader.name()
            certificateRequest = try reader.lengthPrefixed(
                maxBytes: EnrolmentRequest.certificateRequestBytesMax)
            guard let key = VerifyingKey(bytes: try reader.raw(32)) else {
                throw MessageError.malformed("enrolment")
            }
            signingKey = key
            proof = try reader.raw(64)
            clock = Int64(bitPattern: try reader.u64())
            try reader.finish()
        } catch {
            throw MessageError.malformed("enrolment")
        }
        guard secret.count == EnrolmentToken.secretBytes, (0...Consent.timeMax).contains(clock)
        else {
            throw MessageError.malformed("enrolment")
        }
    }
}

/// The coordinator's answer: the client certificate and what to pin.
package struct EnrolmentGrant: Equatable, Sendable {
    /// The federation's name.
    package var federation: String
    /// The site's number in manifests, from 1; never used twice.
    package var siteIndex: UInt32
    /// The client certificate.
    package var certificatePEM: [UInt8]
    /// The CA certificate; the node checks it against the token's fingerprint.
    package var authorityPEM: [UInt8]
    /// The key that signs rosters, results and packages.
    package var coordinatorKey: VerifyingKey

    static let certificateBytesMax = 16 << 10

    /// - Parameters: see the properties.
    package init(
        federation: String, siteIndex: UInt32, certificatePEM: [UInt8], authorityPEM: [UInt8],
        coordinatorKey: VerifyingKey
    ) {
        self.federation = federation
        self.siteIndex = siteIndex
        self.certificatePEM = certificatePEM
        self.authorityPEM = authorityPEM
        self.coordinatorKey = coordinatorKey
    }

    /// Canonical bytes, `protocol/federation.md` §2.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.u8(1)
        writer.text(federation)
        writer.u32(siteIndex)
        writer.lengthPrefixed(certificatePEM)
        writer.lengthPrefixed(authorityPEM)
        writer.raw(coordinatorKey.bytes)
        return writer.bytes
    }

    /// Reads what `encoded` wrote. Whether the certificates fit token and key is for the node to find out.
    ///
    /// - Throws: `MessageError.malformed`.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            guard try reader.u8() == 1 else { throw MessageError.malformed("grant") }
            federation = try reader.name()
            siteIndex = try reader.u32()
            certificatePEM = try reader.lengthPrefixed(maxBytes: EnrolmentGrant.certificateBytesMax)
            authorityPEM = try reader.lengthPrefixed(maxBytes: EnrolmentGrant.certificateBytesMax)
            guard let key = VerifyingKey(bytes: try reader.raw(32)) else {
                throw MessageError.malformed("grant")
            }
            coordinatorKey = key
            try reader.finish()
        } catch {
            throw MessageError.malformed("grant")
        }
    }
}
