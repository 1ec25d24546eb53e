// Site → coordinator. The closed list of what a node may send after it has joined, besides polling
// and fetching blobs; `protocol/federation.md` §3. No type has room for rows, counts or metrics of
// one site: those leave only inside `aggregation` messages, masked.

import Codec
import Cryptography
import Study

/// What a node can tell the coordinator.
package enum Report: Equatable, Sendable {
    /// A signed consent.
    case consent([UInt8])
    /// The site takes its consent back.
    case consentWithdrawn(planHash: Digest)
    /// A message of a round's aggregation (M1, M3, M5 and its segments, M7, M9, abort).
    case aggregation(round: UInt64, message: [UInt8])
    /// The node will not do what an instruction asked: plan, work order or package, a stable code, and a
    /// sentence without data, cut to 512 bytes when it is sent.
    case refusal(subject: Digest, code: String, sentence: String)
    /// A fetched version was accepted or refused by the site; the code says why, and may be empty.
    case versionVerdict(package: Digest, accepted: Bool, code: String)
    /// A person at the site signed a list of members: its hash and the signature.
    case manifestSignature(manifest: Digest, signature: [UInt8])
    /// The site asks a witness, the coordinator or another site, to cosign the head of its log: the body of
    /// `add-checkpoint`. The checkpoint has the log's size and root, nothing else.
    case witnessRequest(witness: String, request: [UInt8])
    /// As a witness, the site answers the coordinator or, through it, another site.
    case witnessAnswer(WitnessAnswer)
    /// Two heads of one log that cannot be reconciled, as a file that shows it.
    case forkEvidence([UInt8])

    /// Bytes of an encoded report.
    package static let bytesMax = 24 << 20
    static let messageBytesMax = 20 << 20
    static let signatureBytes = 64

    /// Canonical bytes, `protocol/federation.md` §3.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .consent(let signed):
            writer.u8(1)
            writer.lengthPrefixed(signed)
        case .consentWithdrawn(let hash):
            writer.u8(2)
            writer.raw(hash.bytes)
        case .aggregation(let round, let message):
            writer.u8(3)
            writer.u64(round)
            writer.lengthPrefixed(message)
        case .refusal(let subject, let code, let sentence):
            writer.u8(4)
            writer.raw(subject.bytes)
            writer.code(code)
            writer.sentence(sentence)
        case .versionVerdict(let package, let accepted, let code):
            writer.u8(5)
            writer.raw(package.bytes)
            writer.u8(accepted ? 1 : 0)
            writer.code(code)
        case .manifestSignature(let manifest, let signature):
            writer.u8(6)
            writer.raw(manifest.bytes)
            writer.raw(signature)
        case .witnessRequest(let witness, let request):
            writer.u8(7)
            writer.text(witness)
            writer.lengthPrefixed(request)
        case .witnessAnswer(let answer):
            writer.u8(8)
            answer.write(to: &writer)
        case .forkEvidence(let bytes):
            writer.u8(9)
            writer.lengthPrefixed(bytes)
        }
        return writer.bytes
    }

    /// Reads what `encoded` wrote.
    ///
    /// - Throws: `MessageError.unknownType` for a type byte that is not in the list, `.malformed` for
    ///   anything else that is wrong.
    package init(encoded bytes: [UInt8]) throws(MessageError) {
        do {
            var reader = ByteReader(bytes)
            let type = try reader.u8()
            switch type {
            case 1:
                self = .consent(try reader.lengthPrefixed(maxBytes: SignedConsent.encodedBytesMax))
            case 2: self = .consentWithdrawn(planHash: try reader.digest())
            case 3:
                self = .aggregation(
                    round: try reader.u64(),
                    message: try reader.lengthPrefixed(maxBytes: Report.messageBytesMax))
            case 4:
                self = .refusal(
                    subject: try reader.digest(), code: try reader.code(emptyAllowed: false),
                    sentence: try reader.text(maxBytes: MessageLimits.sentenceBytesMax))
            case 5:
                self = .versionVerdict(
                    package: try reader.digest(), accepted: try reader.flag(),
                    code: try reader.code(emptyAllowed: true))
            case 6:
                self = .manifestSignature(
                    manifest: try reader.digest(), signature: try reader.raw(Report.signatureBytes))
            case 7:
                self = .witnessRequest(
                    witness: try reader.name(), request: try reader.lengthPrefixed(maxBytes: WitnessAnswer.noteBytesMax))
            case 8: self = .witnessAnswer(try WitnessAnswer(from: &reader))
            case 9: self = .forkEvidence(try reader.lengthPrefixed(maxBytes: WitnessAnswer.noteBytesMax))
            default: throw MessageError.unknownType(type)
            }
            try reader.finish()
        } catch MessageError.unknownType(let type) {
            throw MessageError.unknownType(type)
        } catch {
            throw MessageError.malformed("report")
        }
    }

    /// Name of the message type in the site's egress record.
    package var egressType: String {
        switch self {
        case .consent: "consent"
        case .consentWithdrawn: "consent-withdrawn"
        case .aggregation: "aggregation"
        case .refusal: "refusal"
        case .versionVerdict: "version-verdict"
        case .manifestSignature: "manifest-signature"
        case .witnessRequest: "witness-request"
        case .witnessAnswer: "witness-answer"
        case .forkEvidence: "fork-evidence"
        }
    }
}
