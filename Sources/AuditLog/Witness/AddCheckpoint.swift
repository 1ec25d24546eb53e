// The body of add-checkpoint:
//   old <size>
//   <base64 hash>      up to 63 of these
//   <empty line>
//   <checkpoint>
import Codec
import Cryptography

/// A request to cosign a checkpoint.
package struct AddCheckpoint: Equatable, Sendable {
    /// Proof lines a request may have.
    package static let hashesMax = 63

    /// The size the proof starts from.
    package var oldSize: UInt64
    package var proof: [Digest]
    /// The checkpoint, not verified.
    package var checkpoint: SignedNote

    package init(oldSize: UInt64, proof: [Digest], checkpoint: SignedNote) {
        self.oldSize = oldSize
        self.proof = proof
        self.checkpoint = checkpoint
    }

    /// The log's name as the checkpoint states it; not verified.
    package var origin: String {
        String(decoding: checkpoint.text.split(separator: 0x0A, maxSplits: 1).first ?? [], as: UTF8.self)
    }

    private static let oldTag = Array("old ".utf8)

    /// Parses a request body.
    package init(_ bytes: [UInt8]) throws(NoteError) {
        guard bytes.count <= SignedNote.bytesMax else {
            throw .malformed("larger than a request may be")
        }
        var rest = bytes[...]
        func line() throws(NoteError) -> ArraySlice<UInt8> {
            guard let end = rest.firstIndex(of: 0x0A) else {
                throw .malformed("the request is cut short")
            }
            defer { rest = rest[(end + 1)...] }
            return rest[..<end]
        }
        let old = try line()
        guard old.starts(with: Self.oldTag),
            let size = DecimalNumber.parse(old.dropFirst(Self.oldTag.count)),
            size <= Checkpoint.sizeMax
        else { throw .malformed("the first line is: old, a space, a size") }
        oldSize = size
        proof = []
        var current = try line()
        while !current.isEmpty {
            guard proof.count < Self.hashesMax else {
                throw .malformed("more than \(Self.hashesMax) proof lines")
            }
            guard let hash = Digest(base64: current) else {
                throw .malformed("a proof line is base64 of 32 bytes")
            }
            proof.append(hash)
            current = try line()
        }
        checkpoint = try SignedNote(Array(rest))
    }

    package var bytes: [UInt8] {
        let lines = proof.map { Base64.encode($0.bytes) + "\n" }.joined()
        return Array("old \(oldSize)\n\(lines)\n".utf8) + checkpoint.bytes
    }
}

extension ProvableLog {
    /// The request that brings a witness from the size it has to this log's head, or to an earlier checkpoint of it.
    /// - Parameter witnessSize: what the witness says it has, 0 when it knows nothing.
    package func addCheckpoint(from witnessSize: UInt64, checkpoint note: [UInt8]? = nil)
        throws(AuditLogError) -> AddCheckpoint
    {
        let bytes = note ?? checkpoint
        let head: Checkpoint
        let signed: SignedNote
        do {
            signed = try SignedNote(bytes)
            head = try Checkpoint(text: signed.text, origin: origin)
        } catch {
            throw .note(error)
        }
        guard witnessSize <= head.size else {
            throw .behindWitness(witnessed: witnessSize, own: head.size)
        }
        let proof =
            witnessSize == 0 || head.size == 0 ? [] : try consistencyProof(witnessSize, head.size)
        return AddCheckpoint(oldSize: witnessSize, proof: proof, checkpoint: signed)
    }
}
