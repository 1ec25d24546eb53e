// One leaf of the log: canonical JSON (RFC 8785: sorted keys, no white space, no number but integers), at most 8 KiB.
//
//   {"actor":"clinician-7","details":{"rows":1},"model":"<version>","payload_commit":"<hex>","payload_sha256":"<hex>",
//    "role":"clinician","round":3,"seq":12,"site":"basel","subject_commit":"<hex>","t":1795550400000,"type":"prediction","v":1}
//
// `seq` is the index of the leaf, `t` milliseconds since 1970 in UTC; the log gives both, and t never goes back.
// Fields without a value are left out. No personal data and no unsalted hash of an identifier.
import Codec
import Cryptography
import Telemetry

/// What happened, as the writer says it; the log adds number and time.
package struct LogEntry: Equatable, Sendable {
    /// Largest encoded entry.
    package static let bytesMax = 8192
    /// Version of the entry format.
    package static let version = 1
    /// Longest identifier in `actor`, `role`, `site` and `model`, in bytes.
    package static let identifierBytesMax = 256

    package var type: EntryType
    /// Who: a name of an operator, key or process. Never a patient or applicant.
    package var actor: String
    /// In which role: coordinator, node, operator, clinician …
    package var role: String
    /// The site it concerns.
    package var site: String?
    /// The model version it concerns.
    package var model: String?
    package var round: Int?
    /// Salted commitment to the person it concerns (`Commitment`).
    package var subjectCommitment: Digest?
    /// Salted commitment to a payload in the records store (`Commitment`).
    package var payloadCommitment: Digest?
    /// Digest of a payload that is no personal data: a plan, a package, a message.
    package var payloadDigest: Digest?
    /// Small further facts. Integers, strings, booleans, arrays and objects of them; fractions as decimal strings.
    package var details: [String: JSONValue] {
        get { written?.members ?? members }
        set { (members, written) = (newValue, nil) }
    }
    private var members: [String: JSONValue]
    /// The details when they were written in canonical form at once.
    private(set) var written: EntryDetails?

    package init(
        _ type: EntryType, actor: String, role: String, site: String? = nil, model: String? = nil,
        round: Int? = nil,
        subjectCommitment: Digest? = nil, payloadCommitment: Digest? = nil,
        payloadDigest: Digest? = nil,
        details: [String: JSONValue] = [:]
    ) {
        self.type = type
        self.actor = actor
        self.role = role
        self.site = site
        self.model = model
        self.round = round
        self.subjectCommitment = subjectCommitment
        self.payloadCommitment = payloadCommitment
        self.payloadDigest = payloadDigest
        members = details
    }

    /// An entry with details that are written already.
    package init(
        _ type: EntryType, actor: String, role: String, site: String? = nil, model: String? = nil,
        subjectCommitment: Digest? = nil, payloadDigest: Digest? = nil, written details: EntryDetails
    ) {
        self.init(
            type, actor: actor, role: role, site: site, model: model, subjectCommitment: subjectCommitment,
            payloadDigest: payloadDigest)
        written = details
    }

    package static func == (left: LogEntry, right: LogEntry) -> Bool {
        left.type == right.type && left.actor == right.actor && left.role == right.role && left.site == right.site
            && left.model == right.model && left.round == right.round && left.subjectCommitment == right.subjectCommitment
            && left.payloadCommitment == right.payloadCommitment && left.payloadDigest == right.payloadDigest
            && left.details == right.details
    }

    /// The canonical bytes of this entry as number `seq` at a time.
    package func encoded(seq: UInt64, time: Timestamp) throws(EntryError) -> [UInt8] {
        try EncodedEntry(self).bytes(seq: seq, milliseconds: time.milliseconds)
    }
}

/// An entry read back from a log: checked to be canonical.
package struct StoredEntry: Equatable, Sendable {
    package let seq: UInt64
    package let time: Timestamp
    /// The type's text; newer logs may hold types this program does not know.
    package let typeName: String
    package let actor: String
    package let role: String
    package let site: String?
    package let model: String?
    package let round: Int?
    package let subjectCommitment: Digest?
    package let payloadCommitment: Digest?
    package let payloadDigest: Digest?
    package let details: [String: JSONValue]
    /// The leaf's bytes.
    package let bytes: [UInt8]

    /// nil for a type of a later version.
    package var type: EntryType? { EntryType(rawValue: typeName) }

    /// The entry as its writer made it, for replaying; nil for a type of a later version.
    package var entry: LogEntry? {
        guard let type else { return nil }
        return LogEntry(
            type, actor: actor, role: role, site: site, model: model, round: round,
            subjectCommitment: subjectCommitment,
            payloadCommitment: payloadCommitment, payloadDigest: payloadDigest, details: details)
    }

    /// Parses the bytes of a leaf. Anything but the canonical form is refused.
    package init(_ bytes: [UInt8]) throws(EntryError) {
        let scanned = try EntryScanner.scan(bytes[...])
        guard let value = try? JSONValue.parse(bytes, dialect: .strict),
            case .object(let object) = value
        else {
            throw .notCanonical(offset: 0, problem: "not a JSON object")
        }
        func digest(_ key: String) -> Digest? {
            object[key]?.stringValue.flatMap { Digest(hex: $0) }
        }
        self.bytes = bytes
        seq = scanned.seq
        time = Timestamp(milliseconds: scanned.milliseconds)
        typeName = object["type"]?.stringValue ?? ""
        actor = object["actor"]?.stringValue ?? ""
        role = object["role"]?.stringValue ?? ""
        site = object["site"]?.stringValue
        model = object["model"]?.stringValue
        round = object["round"]?.intValue
        subjectCommitment = digest("subject_commit")
        payloadCommitment = digest("payload_commit")
        payloadDigest = digest("payload_sha256")
        details = object["details"]?.objectValue ?? [:]
    }
}
