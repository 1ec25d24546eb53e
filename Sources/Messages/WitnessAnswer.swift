// What a witness says to a request to cosign, on its way through the coordinator. `protocol/federation.md` §6.

import Codec
import Cryptography
import AuditLog

/// A witness's answer about one log.
package struct WitnessAnswer: Equatable, Sendable {
    /// Origin of the log that the answer is about.
    package var origin: String
    /// Who answers: a site's name, or `coordinator`.
    package var witness: String
    /// Status of c2sp.org/tlog-witness: 200, 400, 403, 404, 409, 422, 503.
    package var status: UInt16
    /// What the status carries: cosignature lines with 200, a size with 409.
    package var body: [UInt8]
    /// The latest checkpoint of the log that the witness cosigned, with the log's own signature: evidence against a
    /// log that forgot it. Empty when there is none.
    package var latest: [UInt8]

    /// Bytes of a note, a request or an answer.
    package static let noteBytesMax = 1 << 16
    /// The coordinator's name as a witness.
    package static let coordinator = "coordinator"

    /// - Parameters: as the members.
    package init(origin: String, witness: String, status: UInt16, body: [UInt8], latest: [UInt8]) {
        self.origin = origin
        self.witness = witness
        self.status = status
        self.body = body
        self.latest = latest
    }

    /// The answer to a request that was made of `witness`.
    package init(_ reply: WitnessReply, origin: String, witness: String, latest: SignedNote?) {
        self.init(
            origin: origin, witness: witness, status: UInt16(reply.status), body: reply.body,
            latest: reply.status == 200 ? [] : latest?.bytes ?? [])
    }

    /// The size that a 409 names.
    package var size: UInt64? {
        guard status == 409 else { return nil }
        return UInt64(String(decoding: body, as: UTF8.self).dropLast())
    }

    func write(to writer: inout ByteWriter) {
        writer.text(origin)
        writer.text(witness)
        writer.u32(UInt32(status))
        writer.lengthPrefixed(body)
        writer.lengthPrefixed(latest)
    }

    init(from reader: inout ByteReader) throws {
        origin = try reader.text(maxBytes: KeyName.bytesMax)
        witness = try reader.name()
        guard let status = UInt16(exactly: try reader.u32()), (200...599).contains(status) else {
            throw MessageError.malformed("witness answer")
        }
        self.status = status
        body = try reader.lengthPrefixed(maxBytes: WitnessAnswer.noteBytesMax)
        latest = try reader.lengthPrefixed(maxBytes: WitnessAnswer.noteBytesMax)
    }
}

/// Names and keys of the logs and witnesses of a federation: the origin of a party's log is also its name as a
/// witness, with the party's one signing key under two key types.
package enum LogKeys {
    /// Origin of a party's log; the coordinator's party name is `coordinator`.
    package static func origin(federation: String, party: String) -> String { "consilium/\(federation)/\(party)" }

    /// The party behind an origin of this federation; nil for any other.
    package static func party(origin: String, federation: String) -> String? {
        let prefix = "consilium/\(federation)/"
        return origin.hasPrefix(prefix) ? String(origin.dropFirst(prefix.count)) : nil
    }

    /// The key that checks a party's log.
    package static func log(federation: String, party: String, key: VerifyingKey) -> VerifierKey? {
        KeyName(origin(federation: federation, party: party)).map { VerifierKey(name: $0, kind: .log, publicKey: key) }
    }

    /// The key that checks a party's cosignatures.
    package static func witness(federation: String, party: String, key: VerifyingKey) -> VerifierKey? {
        KeyName(origin(federation: federation, party: party)).map { VerifierKey(name: $0, kind: .witness, publicKey: key) }
    }
}
