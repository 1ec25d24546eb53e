import Cryptography

/// A log that can show what is in it: the audit log on disk, or one in memory.
package protocol ProvableLog: AnyObject, Sendable {
    /// The key that checks this log.
    var verifierKey: VerifierKey { get }
    /// Entries in the log.
    var size: UInt64 { get }
    /// The signed head as a note.
    var checkpoint: [UInt8] { get }
    /// The bytes of an entry.
    func bytes(at index: UInt64) throws(AuditLogError) -> [UInt8]
    /// The proof that entry `index` is in the tree of the first `size` entries; all of them when nil.
    func inclusionProof(_ index: UInt64, size: UInt64?) throws(AuditLogError) -> [Digest]
    /// The proof that the tree of the first `size1` entries is the beginning of that of the first `size2`.
    func consistencyProof(_ size1: UInt64, _ size2: UInt64) throws(AuditLogError) -> [Digest]
    /// Holds a head of this log that somebody kept against the log; see ``AuditLog/confirm(witnessed:)``.
    func confirm(witnessed note: [UInt8]) throws(AuditLogError)
}

extension ProvableLog {
    /// The log's name.
    package var origin: String { verifierKey.name.text }

    /// A receipt for one entry: checked offline with `TlogProof.verify`.
    /// - Parameter checkpoint: a checkpoint of this log, such as one with cosignatures; the current one by default.
    package func receipt(_ index: UInt64, checkpoint note: [UInt8]? = nil) throws(AuditLogError)
        -> TlogProof
    {
        do {
            let signed = try SignedNote(note ?? checkpoint)
            let head = try Checkpoint(
                text: OpenedNote(signed, known: [verifierKey]).text, origin: origin)
            guard index < head.size else {
                throw AuditLogError.outOfRange(index: index, size: head.size)
            }
            return TlogProof(
                index: index, hashes: try inclusionProof(index, size: head.size), checkpoint: signed
            )
        } catch let error as NoteError {
            throw .note(error)
        } catch let error as AuditLogError {
            throw error
        } catch {
            preconditionFailure("no other error can be thrown")
        }
    }
}

extension AuditLog: ProvableLog {}
