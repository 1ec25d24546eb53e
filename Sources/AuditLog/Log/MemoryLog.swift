import Cryptography
import Telemetry

/// A log in memory with the same entries, heads and proofs as the one on disk: for federations that run in one process.
package final class MemoryLog: ProvableLog {
    private struct Contents: Sendable {
        var entries: [[UInt8]] = []
        /// Roots of complete subtrees, by height.
        var nodes: [[Digest]] = []
        var frontier = MerkleFrontier()
        var note: [UInt8] = []
    }

    private let signer: NoteSigner
    private let contents: Locked<Contents>

    /// An empty log.
    package init(origin: KeyName, signer key: SigningKey) {
        signer = NoteSigner(name: origin, kind: .log, key: key)
        var start = Contents()
        start.note = Checkpoint(origin: origin.text, size: 0, root: MerkleTree.emptyRoot).signed(by: signer).bytes
        contents = Locked(start)
    }

    package var verifierKey: VerifierKey { signer.verifierKey }
    package var size: UInt64 { contents.withLock { $0.frontier.size } }
    package var checkpoint: [UInt8] { contents.withLock { $0.note } }

    /// Appends entries as the log on disk does, with the one time for all.
    /// - Returns: their numbers.
    @discardableResult
    package func append(_ entries: [LogEntry], at time: Timestamp) throws(AuditLogError) -> [UInt64] {
        let encoded: [EncodedEntry]
        do { encoded = try entries.map { entry throws(EntryError) in try EncodedEntry(entry) } } catch { throw .entry(error) }
        return contents.withLock { contents in
            var numbers: [UInt64] = []
            for entry in encoded {
                let number = contents.frontier.size
                let bytes = entry.bytes(seq: number, milliseconds: time.milliseconds)
                contents.entries.append(bytes)
                var completed: [(Int, Digest)] = []
                contents.frontier.append(MerkleTree.leafHash(bytes)) { completed.append(($0, $1)) }
                for (height, root) in completed {
                    if contents.nodes.count == height { contents.nodes.append([]) }
                    contents.nodes[height].append(root)
                }
                numbers.append(number)
            }
            let head = Checkpoint(
                origin: signer.verifierKey.name.text, size: contents.frontier.size, root: contents.frontier.root)
            contents.note = head.signed(by: signer).bytes
            return numbers
        }
    }

    package func bytes(at index: UInt64) throws(AuditLogError) -> [UInt8] {
        let all = contents.withLock { $0.entries }
        guard index < UInt64(all.count) else { throw .outOfRange(index: index, size: UInt64(all.count)) }
        return all[Int(index)]
    }

    package func inclusionProof(_ index: UInt64, size: UInt64?) throws(AuditLogError) -> [Digest] {
        let contents = contents.withLock { $0 }
        let size = size ?? contents.frontier.size
        guard size <= contents.frontier.size, index < size else { throw .outOfRange(index: index, size: size) }
        return MerkleProof.inclusion(index: index, size: size) { contents.nodes[$0][Int($1)] }
    }

    package func consistencyProof(_ size1: UInt64, _ size2: UInt64) throws(AuditLogError) -> [Digest] {
        let contents = contents.withLock { $0 }
        guard size1 > 0, size1 <= size2, size2 <= contents.frontier.size else { throw .outOfRange(index: size1, size: size2) }
        return MerkleProof.consistency(size1: size1, size2: size2) { contents.nodes[$0][Int($1)] }
    }

    package func confirm(witnessed note: [UInt8]) throws(AuditLogError) {
        let head: Checkpoint
        do { head = try Checkpoint(note, signedBy: verifierKey) } catch { throw .note(error) }
        let contents = contents.withLock { $0 }
        guard head.size <= contents.frontier.size else {
            throw .behindWitness(witnessed: head.size, own: contents.frontier.size)
        }
        guard MerkleProof.root(0, head.size, node: { contents.nodes[$0][Int($1)] }) == head.root else {
            throw .forked(size: head.size)
        }
    }
}
