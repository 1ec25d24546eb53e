// One record: what is stored of one request, as rows that can be erased one by one. `protocol/audit-log.md` §7.
//
// Every row has a random salt and a commitment, and the commitments are the leaves of a tree as in RFC 6962 §2.1, so that
// one root in the log commits to all rows and a row is shown to be under it without the others:
//
//   leaf of a row = SHA-256(0x00 ‖ "consilium/row/1\n" ‖ salt ‖ payload)

import Codec
import Cryptography

/// Payloads that may be personal data, each with the salt of its commitment. The log holds commitments only.
package struct Record: Equatable, Sendable {
    /// Longest kind or subject in bytes.
    package static let textBytesMax = 1024
    /// Longest shared part in bytes.
    package static let sharedBytesMax = 4096
    /// Most rows.
    package static let rowsMax = 1 << 16
    /// Largest payload of a row.
    package static let payloadBytesMax = 4 << 20

    /// Whom a record concerns, as the site knows the person; erased with its last row.
    package struct Subject: Equatable, Sendable {
        package var text: String
        /// The salt of the commitment to the text.
        package var salt: [UInt8]

        package init(text: String, salt: [UInt8]) {
            (self.text, self.salt) = (text, salt)
        }

        /// The commitment for the log.
        package var commitment: Digest { Commitment.make(Array(text.utf8), salt: salt) }
    }

    /// The name of the first row; the others' follow one another.
    package let id: RecordID
    /// What it is: `decision`, `outcome` …
    package let kind: String
    package let subject: Subject?
    /// What all rows have in common; no personal data.
    package let shared: [UInt8]
    /// Bytes of each row's payload.
    package let payloadBytes: Int
    /// Rows as they are stored: state, salt, payload.
    let rows: [UInt8]
    /// The commitments to the rows, 32 bytes each. They stay when rows are erased.
    package let leaves: [UInt8]

    static let saltStart = 1
    static let payloadStart = 1 + Commitment.saltBytes
    static let leafPrefix: [UInt8] = [0] + Array("consilium/row/1\n".utf8)
    static let live: UInt8 = 1

    /// - Parameters:
    ///   - salts: 32 random bytes for each row.
    ///   - payloads: one payload after another, all equally long.
    package init(
        id: RecordID, kind: String, subject: Subject?, shared: [UInt8] = [], salts: [UInt8],
        payloads: [UInt8]
    ) {
        let count = salts.count / Commitment.saltBytes
        precondition(
            count > 0 && salts.count == count * Commitment.saltBytes && payloads.count % count == 0,
            "a salt and a payload for each row")
        let payloadBytes = payloads.count / count
        var rows: [UInt8] = []
        rows.reserveCapacity(count * (Self.payloadStart + payloadBytes))
        for row in 0..<count {
            rows.append(Self.live)
            rows += salts[row * Commitment.saltBytes..<(row + 1) * Commitment.saltBytes]
            rows += payloads[row * payloadBytes..<(row + 1) * payloadBytes]
        }
        self.init(
            id: id, kind: kind, subject: subject, shared: shared, payloadBytes: payloadBytes, rows: rows,
            leaves: Self.leaves(rows, stride: Self.payloadStart + payloadBytes))
    }

    init(
        id: RecordID, kind: String, subject: Subject?, shared: [UInt8], payloadBytes: Int, rows: [UInt8],
        leaves: [UInt8]
    ) {
        (self.id, self.kind, self.subject, self.shared) = (id, kind, subject, shared)
        (self.payloadBytes, self.rows, self.leaves) = (payloadBytes, rows, leaves)
    }

    static func leaves(_ rows: [UInt8], stride: Int) -> [UInt8] {
        SHA256.hash(prefix: leafPrefix, rows: rows, stride: stride, skip: saltStart)
    }

    /// Bytes of a stored row.
    var stride: Int { Self.payloadStart + payloadBytes }

    /// How many rows it has, erased ones included.
    package var count: Int { rows.count / stride }

    /// Whether a row is there, not erased.
    package func isLive(_ row: Int) -> Bool { rows[row * stride] == Self.live }

    /// The row with this name, erased or not.
    package func row(of id: RecordID) -> Int? {
        guard id.low == self.id.low, id.high >= self.id.high, id.high - self.id.high < UInt64(count)
        else { return nil }
        return Int(id.high - self.id.high)
    }

    /// The salt of a live row.
    package func salt(_ row: Int) -> [UInt8] {
        Array(rows[row * stride + Self.saltStart..<row * stride + Self.payloadStart])
    }

    /// The payload of a live row.
    package func payload(_ row: Int) -> [UInt8] {
        Array(rows[row * stride + Self.payloadStart..<(row + 1) * stride])
    }

    /// Whether the bytes of a live row are those that its commitment is to.
    func isWhole(_ row: Int) -> Bool {
        Self.leaves(Array(rows[row * stride..<(row + 1) * stride]), stride: stride)
            .elementsEqual(leaves[row * Digest.byteCount..<(row + 1) * Digest.byteCount])
    }

    /// The commitment to a row.
    package func leaf(_ row: Int) -> Digest {
        MerkleTree.digests(leaves[row * Digest.byteCount..<(row + 1) * Digest.byteCount])[0]
    }

    /// The commitment to all rows, for the log. One hash a row.
    package var root: Digest { MerkleTree.root(ofLeaves: leaves) }

    /// The proof that a row is under ``root``, as of RFC 6962 §2.1.1.
    package func proof(_ row: Int) -> [Digest] { MerkleTree.proof(row, ofLeaves: leaves) }
}
