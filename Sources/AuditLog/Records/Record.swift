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
    /// How many rows it has, erased ones included.
    package let count: Int
    /// The record as it is stored: header, head, commitments, rows (`RecordFrame`).
    let frame: [UInt8]
    /// Where the commitments begin.
    private let leavesStart: Int

    static let saltStart = 1
    static let payloadStart = 1 + Commitment.saltBytes
    static let leafPrefix: [UInt8] = [0] + Array("consilium/row/1\n".utf8)
    static let live: UInt8 = 1

    /// Writes the payload of row `row` into `frame` from byte `start` on; the bytes there are zeros before.
    package typealias PayloadWriter = (_ row: Int, _ frame: inout MutableRawSpan, _ start: Int) -> Void

    /// - Parameters:
    ///   - salts: 32 random bytes for each row.
    ///   - payloads: one payload after another, all equally long.
    package init(
        id: RecordID, kind: String, subject: Subject?, shared: [UInt8] = [], salts: [UInt8],
        payloads: [UInt8]
    ) {
        let count = salts.count / Commitment.saltBytes
        precondition(count > 0 && payloads.count % count == 0, "a payload for each row")
        let payloadBytes = payloads.count / count
        self.init(id: id, kind: kind, subject: subject, shared: shared, salts: salts, payloadBytes: payloadBytes) { row, frame, start in
            for byte in 0..<payloadBytes {
                frame.storeBytes(of: payloads[row * payloadBytes + byte], toByteOffset: start + byte, as: UInt8.self)
            }
        }
    }

    /// The bytes of a record are written once, in the place from which they are stored.
    /// - Parameters:
    ///   - salts: 32 random bytes for each row.
    ///   - payloadBytes: of each row.
    ///   - write: called for one row after another.
    package init(
        id: RecordID, kind: String, subject: Subject?, shared: [UInt8] = [], salts: [UInt8],
        payloadBytes: Int, write: PayloadWriter
    ) {
        let count = salts.count / Commitment.saltBytes
        precondition(count > 0 && salts.count == count * Commitment.saltBytes, "a salt for each row")
        let (frame, leavesStart) = RecordFrame.encoded(
            head: RecordFrame.head(id: id, kind: kind, subject: subject, shared: shared), salts: salts,
            payloadBytes: payloadBytes, write: write)
        self.init(
            id: id, kind: kind, subject: subject, shared: shared, payloadBytes: payloadBytes, count: count, frame: frame,
            leavesStart: leavesStart)
    }

    init(
        id: RecordID, kind: String, subject: Subject?, shared: [UInt8], payloadBytes: Int, count: Int, frame: [UInt8],
        leavesStart: Int
    ) {
        (self.id, self.kind, self.subject, self.shared) = (id, kind, subject, shared)
        (self.payloadBytes, self.count, self.frame, self.leavesStart) = (payloadBytes, count, frame, leavesStart)
    }

    private var rowsStart: Int { leavesStart + count * Digest.byteCount }

    private func place(_ row: Int) -> Int {
        precondition(row >= 0 && row < count, "a row of the record")
        return rowsStart + row * stride
    }

    /// Bytes of a stored row.
    var stride: Int { Self.payloadStart + payloadBytes }

    /// Whether a row is there, not erased.
    package func isLive(_ row: Int) -> Bool { frame[place(row)] == Self.live }

    /// Rows that are there, not erased.
    var liveCount: Int {
        var count = 0
        for row in 0..<self.count where isLive(row) { count += 1 }
        return count
    }

    /// The row with this name, erased or not.
    package func row(of id: RecordID) -> Int? {
        guard id.low == self.id.low, id.high >= self.id.high, id.high - self.id.high < UInt64(count)
        else { return nil }
        return Int(id.high - self.id.high)
    }

    /// The salt of a live row.
    package func salt(_ row: Int) -> [UInt8] {
        Array(frame[place(row) + Self.saltStart..<place(row) + Self.payloadStart])
    }

    /// The payload of a live row.
    package func payload(_ row: Int) -> [UInt8] {
        Array(frame[place(row) + Self.payloadStart..<place(row) + stride])
    }

    /// Whether the bytes of a live row are those that its commitment is to.
    func isWhole(_ row: Int) -> Bool {
        SHA256.hash(parts: Self.leafPrefix, Array(frame[place(row) + Self.saltStart..<place(row) + stride])) == leaf(row)
    }

    /// The commitments to the rows, 32 bytes each. They stay when rows are erased.
    package var leaves: ArraySlice<UInt8> { frame[leavesStart..<rowsStart] }

    /// The commitment to a row.
    package func leaf(_ row: Int) -> Digest {
        precondition(row >= 0 && row < count, "a row of the record")
        let start = leavesStart + row * Digest.byteCount
        return MerkleTree.digests(frame[start..<start + Digest.byteCount])[0]
    }

    /// The commitment to all rows, for the log. One hash a row.
    package var root: Digest { MerkleTree.root(ofLeaves: leaves) }

    /// The proof that a row is under ``root``, as of RFC 6962 §2.1.1.
    package func proof(_ row: Int) -> [Digest] { MerkleTree.proof(row, ofLeaves: leaves) }
}
