import Codec
import Cryptography

/// A payload that may be personal data, with the salt of its commitment. The log holds the commitment only.
package struct Record: Equatable, Sendable {
    /// Longest id, kind or subject in bytes.
    package static let textBytesMax = 1024
    /// Largest payload.
    package static let payloadBytesMax = 4 << 20

    /// What the record is found by, such as a prediction id; no personal data.
    package var id: String
    /// What it is: `prediction`, `outcome` …
    package var kind: String
    /// Whom it concerns, as the site knows the person; erased with the record.
    package var subject: String?
    package var payload: [UInt8]
    /// 32 random bytes of its own.
    package var salt: [UInt8]

    /// With a salt of `random`.
    package init(
        id: String, kind: String, subject: String?, payload: [UInt8], random: any RandomSource
    ) {
        self.init(
            id: id, kind: kind, subject: subject, payload: payload, salt: Commitment.salt(random))
    }

    package init(id: String, kind: String, subject: String?, payload: [UInt8], salt: [UInt8]) {
        self.id = id
        self.kind = kind
        self.subject = subject
        self.payload = payload
        self.salt = salt
    }

    /// The commitment to the payload, for the log.
    package var payloadCommitment: Digest { Commitment.make(payload, salt: salt) }

    /// The commitment to the subject, for the log.
    package var subjectCommitment: Digest? {
        subject.map { Commitment.make(Array($0.utf8), salt: salt) }
    }

    func encoded() throws(AuditLogError) -> [UInt8] {
        guard (1...Self.textBytesMax).contains(id.utf8.count),
            (1...Self.textBytesMax).contains(kind.utf8.count),
            (subject?.utf8.count ?? 0) <= Self.textBytesMax, payload.count <= Self.payloadBytesMax,
            salt.count == Commitment.saltBytes
        else {
            throw .entry(
                .field("record", problem: "an id, kind, subject or payload beyond its limit"))
        }
        var writer = ByteWriter(reserving: payload.count + 256)
        writer.text(id)
        writer.text(kind)
        writer.u8(subject == nil ? 0 : 1)
        writer.text(subject ?? "")
        writer.lengthPrefixed(salt)
        writer.lengthPrefixed(payload)
        return writer.bytes
    }

    init(encoded bytes: [UInt8]) throws(CodecError) {
        var reader = ByteReader(bytes)
        id = try reader.text(maxBytes: Self.textBytesMax)
        kind = try reader.text(maxBytes: Self.textBytesMax)
        let hasSubject = try reader.u8() == 1
        let text = try reader.text(maxBytes: Self.textBytesMax)
        subject = hasSubject ? text : nil
        salt = try reader.lengthPrefixed(maxBytes: Commitment.saltBytes)
        payload = try reader.lengthPrefixed(maxBytes: Self.payloadBytesMax)
        try reader.finish()
    }
}
