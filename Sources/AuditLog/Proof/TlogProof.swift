// c2sp.org/tlog-proof@v1, a receipt that is checked offline:
//   c2sp.org/tlog-proof@v1
//   extra <base64>                optional
//   index <decimal>
//   <base64 hash>                 zero or more
//   <empty line>
//   <checkpoint with its signatures>
import Codec
import Cryptography

/// A proof that an entry is in a log, with the signed and cosigned checkpoint it leads to.
package struct TlogProof: Equatable, Sendable {
    package var extra: [UInt8]?
    package var index: UInt64
    package var hashes: [Digest]
    /// The checkpoint as a note; not verified yet.
    package var checkpoint: SignedNote

    package init(index: UInt64, hashes: [Digest], checkpoint: SignedNote, extra: [UInt8]? = nil) {
        self.extra = extra
        self.index = index
        self.hashes = hashes
        self.checkpoint = checkpoint
    }

    private static let header = Array("c2sp.org/tlog-proof@v1".utf8)
    private static let extraTag = Array("extra ".utf8)
    private static let indexTag = Array("index ".utf8)

    /// Parses a proof file.
    package init(_ bytes: [UInt8]) throws(NoteError) {
        guard bytes.count <= SignedNote.bytesMax else {
            throw .malformed("larger than a proof may be")
        }
        var rest = bytes[...]
        func line() throws(NoteError) -> ArraySlice<UInt8> {
            guard let end = rest.firstIndex(of: 0x0A) else {
                throw .malformed("a proof is cut short")
            }
            defer { rest = rest[(end + 1)...] }
            return rest[..<end]
        }
        guard try line().elementsEqual(Self.header) else {
            throw .malformed("the first line names another format")
        }
        var current = try line()
        if current.starts(with: Self.extraTag) {
            let text = String(decoding: current.dropFirst(Self.extraTag.count), as: UTF8.self)
            guard let value = Base64.decode(text) else {
                throw .malformed("the extra line is not base64")
            }
            extra = value
            current = try line()
        }
        guard current.starts(with: Self.indexTag),
            let index = DecimalNumber.parse(current.dropFirst(Self.indexTag.count)),
            index <= Checkpoint.sizeMax
        else { throw .malformed("the index line") }
        self.index = index
        hashes = []
        current = try line()
        while !current.isEmpty {
            guard hashes.count < MerkleProof.hashesMax, let hash = Digest(base64: current) else {
                throw .malformed("a proof hash is base64 of 32 bytes")
            }
            hashes.append(hash)
            current = try line()
        }
        checkpoint = try SignedNote(Array(rest))
    }

    /// The proof as a file (`.tlog-proof`).
    package var bytes: [UInt8] {
        var text = "c2sp.org/tlog-proof@v1\n"
        if let extra { text += "extra \(Base64.encode(extra))\n" }
        text += "index \(index)\n"
        for hash in hashes { text += Base64.encode(hash.bytes) + "\n" }
        return Array(text.utf8) + [0x0A] + checkpoint.bytes
    }

    /// Checks that `entry` is in a log that the policy trusts, cosigned by its quorum. Needs no network and no log.
    /// - Returns: the checkpoint the proof leads to.
    @discardableResult
    package func verify(entry: [UInt8], policy: TrustPolicy) throws(NoteError) -> Checkpoint {
        let head = try policy.checkpoint(checkpoint)
        guard
            MerkleProof.includes(
                leafHash: MerkleTree.leafHash(entry), index: index, size: head.size, proof: hashes,
                root: head.root)
        else { throw .notIncluded }
        return head
    }
}
