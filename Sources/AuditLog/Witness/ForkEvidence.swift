// A file that shows a third party, with nothing but itself, that the holder of a log's key signed two histories:
//   {"first":"<note>","kind":"consilium-fork@v1","proof":["<base64>"],"root_at_first":"<hex>","second":"<note>","vkey":"<vkey>"}
// Either both notes have one size and two roots; or a consistency proof from `root_at_first`, at the size of the first,
// to the second note holds, and `root_at_first` is not the root that the first note states.
import Codec
import Cryptography

/// Two signed heads of one log that cannot be reconciled.
package struct ForkEvidence: Equatable, Sendable {
    /// What the file says it is.
    package static let kind = "consilium-fork@v1"

    package let key: VerifierKey
    package let first: SignedNote
    package let second: SignedNote
    /// For heads of two sizes: the root that the second history has at the size of the first, and the proof of that.
    package let rootAtFirst: Digest?
    package let proof: [Digest]

    package init(
        key: VerifierKey, first: SignedNote, second: SignedNote, rootAtFirst: Digest? = nil,
        proof: [Digest] = []
    ) {
        self.key = key
        self.first = first
        self.second = second
        self.rootAtFirst = rootAtFirst
        self.proof = proof
    }

    /// Parses an evidence file. What it shows is told by `isProof`.
    package init(_ bytes: [UInt8]) throws(NoteError) {
        guard let value = try? JSONValue.parse(bytes, dialect: .strict),
            value["kind"]?.stringValue == Self.kind,
            let key = value["vkey"]?.stringValue, let first = value["first"]?.stringValue,
            let second = value["second"]?.stringValue, let hashes = value["proof"]?.arrayValue
        else { throw .malformed("not an evidence file of this version") }
        let proof = hashes.compactMap { Digest(base64: Array(($0.stringValue ?? "").utf8)[...]) }
        guard proof.count == hashes.count, proof.count <= MerkleProof.hashesMax else {
            throw .malformed("a proof hash")
        }
        self.init(
            key: try VerifierKey(key), first: try SignedNote(Array(first.utf8)),
            second: try SignedNote(Array(second.utf8)),
            rootAtFirst: value["root_at_first"]?.stringValue.flatMap { Digest(hex: $0) },
            proof: proof)
    }

    package var bytes: [UInt8] {
        var members: [String: JSONValue] = [
            "kind": .string(Self.kind), "vkey": .string(key.text),
            "first": .string(String(decoding: first.bytes, as: UTF8.self)),
            "second": .string(String(decoding: second.bytes, as: UTF8.self)),
            "proof": .array(proof.map { .string(Base64.encode($0.bytes)) }),
        ]
        if let rootAtFirst { members["root_at_first"] = .string(rootAtFirst.hex) }
        return JSONValue.object(members).prettyBytes()
    }

    /// Whether it proves that the key signed two histories.
    package var isProof: Bool {
        guard let first = try? Checkpoint(self.first.bytes, signedBy: key),
            let second = try? Checkpoint(self.second.bytes, signedBy: key)
        else { return false }
        if first.size == second.size { return first.root != second.root }
        guard first.size < second.size, let rootAtFirst, rootAtFirst != first.root else {
            return false
        }
        return MerkleProof.isConsistent(
            size1: first.size, root1: rootAtFirst, size2: second.size, root2: second.root,
            proof: proof)
    }
}

extension ForkEvidence {
    /// Holds a head that was kept against a later one of a log that can be read, and gives evidence when they part.
    /// - Parameters:
    ///   - kept: a head with the log's signature, of a size that the source has.
    ///   - current: the source's own head.
    package static func compare(
        kept: SignedNote, current: SignedNote, key: VerifierKey, source: some TileSource
    ) throws(AuditFinding) -> ForkEvidence? {
        do {
            let first = try Checkpoint(kept.bytes, signedBy: key)
            let second = try Checkpoint(current.bytes, signedBy: key)
            guard first.size <= second.size else {
                throw AuditFinding.file(
                    AuditVerifier.headFile, problem: "is older than a head that was kept")
            }
            if first.size == second.size {
                return first.root == second.root
                    ? nil : ForkEvidence(key: key, first: kept, second: current)
            }
            guard first.size > 0 else { return nil }
            let tree = SourceTree(source: source, size: second.size)
            let root = try tree.root(at: first.size)
            guard root != first.root else { return nil }
            let proof = try tree.consistency(first.size, second.size)
            return ForkEvidence(
                key: key, first: kept, second: current, rootAtFirst: root, proof: proof)
        } catch let error as NoteError {
            throw .head(file: AuditVerifier.headFile, error)
        } catch let finding as AuditFinding {
            throw finding
        } catch {
            preconditionFailure("no other error can be thrown")
        }
    }
}
