// c2sp.org/tlog-checkpoint: the text of a note in three lines: origin, size in decimal, root in base64.
// Extension lines are allowed by the format and not taken here.
import Codec
import Cryptography

/// The head of a log: its name, how many entries it has, and the root over them.
package struct Checkpoint: Equatable, Sendable {
    /// Largest size that is taken: 2^63 - 1.
    package static let sizeMax = UInt64(Int64.max)

    package let origin: String
    package let size: UInt64
    package let root: Digest

    package init(origin: String, size: UInt64, root: Digest) {
        self.origin = origin
        self.size = size
        self.root = root
    }

    /// Parses the text of an opened note.
    /// - Parameter origin: the log it must be of; nil takes any.
    package init(text: [UInt8], origin expected: String? = nil) throws(NoteError) {
        let lines = text.split(separator: 0x0A, omittingEmptySubsequences: false)
        guard lines.count == 4, lines[3].isEmpty, text.last == 0x0A, !lines[0].isEmpty else {
            throw .malformed("a checkpoint has three lines: origin, size, root")
        }
        if let expected, !lines[0].elementsEqual(expected.utf8) {
            throw .otherOrigin(expected: expected)
        }
        guard let size = DecimalNumber.parse(lines[1]), size <= Self.sizeMax else {
            throw .malformed("the size of a checkpoint is a decimal number below 2^63")
        }
        guard let root = Digest(base64: lines[2]) else {
            throw .malformed("the root of a checkpoint is base64 of 32 bytes")
        }
        guard size > 0 || root == MerkleTree.emptyRoot else { throw .wrongEmptyRoot }
        self.init(origin: String(decoding: lines[0], as: UTF8.self), size: size, root: root)
    }

    /// Opens a signed checkpoint of the log that `key` names.
    package init(_ bytes: [UInt8], signedBy key: VerifierKey) throws(NoteError) {
        let note = try OpenedNote(bytes, known: [key])
        try self.init(text: note.text, origin: key.name.text)
    }

    /// The text that is signed.
    package var text: [UInt8] { Array("\(origin)\n\(size)\n\(Base64.encode(root.bytes))\n".utf8) }

    /// The signed note. The signer must be named as the origin.
    package func signed(by signer: NoteSigner) -> SignedNote {
        precondition(signer.verifierKey.name.text == origin, "a log signs its own checkpoints only")
        return SignedNote(text: text, signatures: [signer.sign(text)])
    }
}

/// Decimal numbers of the log formats: ASCII digits, no sign, no leading zero.
enum DecimalNumber {
    /// nil when the bytes are anything else, or the number exceeds 64 bits.
    static func parse(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard let first = digits.first, digits.count <= 20, first != 0x30 || digits.count == 1
        else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            guard (0x30...0x39).contains(byte) else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - 0x30))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }
}

extension Digest {
    /// Strict base64 of exactly 32 bytes.
    init?(base64 text: ArraySlice<UInt8>) {
        guard let bytes = Base64.decode(String(decoding: text, as: UTF8.self)) else { return nil }
        self.init(bytes: bytes)
    }
}
