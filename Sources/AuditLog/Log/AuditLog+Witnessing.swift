import Cryptography

extension AuditLog {
    /// Holds a head of this log that somebody else kept against the log. Call at start for each witness that answers.
    /// - Parameter note: a checkpoint with this log's own signature.
    /// - Throws: `behindWitness` when it is larger than the log, `forked` when its root differs; the log then refuses all
    ///   appends. `note` when the checkpoint is not one of this log; nothing changes then.
    package func confirm(witnessed note: [UInt8]) throws(AuditLogError) {
        let head: Checkpoint
        do {
            head = try Checkpoint(note, signedBy: verifierKey)
        } catch {
            throw .note(error)
        }
        let own = size
        if head.size > own { throw refuse(.behindWitness(witnessed: head.size, own: own)) }
        if try root(at: head.size) != head.root { throw refuse(.forked(size: head.size)) }
    }

    /// The latest checkpoint that came back from witnesses, if any.
    package var cosignedCheckpoint: SignedNote? { CosignedHead.read(ofLog: directory) }

    /// Adds witnesses' answers to a checkpoint of this log and keeps the result durably, unless a later one is kept.
    /// - Parameters:
    ///   - lines: signature lines as witnesses answer them.
    ///   - witnesses: their keys; lines of other keys are dropped.
    /// - Returns: the checkpoint with all cosignatures known for it.
    /// - Throws: `note` when a line of a known witness is wrong or none is known.
    package func add(
        cosignatures lines: [UInt8], of witnesses: [VerifierKey], to checkpoint: [UInt8]
    ) throws(AuditLogError) -> SignedNote {
        do {
            let note = try SignedNote(checkpoint)
            let cosigned = SignedNote(
                text: note.text, signatures: try SignedNote.Signature.parse(lines: lines))
            let opened = try OpenedNote(cosigned, known: witnesses)
            let good = cosigned.signatures.filter { line in
                opened.signers.contains { $0.key.keyID == line.keyID && $0.key.name == line.name }
            }
            return try CosignedHead.keep(note.adding(good), ofLog: directory, key: verifierKey)
        } catch let error as NoteError {
            throw .note(error)
        } catch let error as AuditLogError {
            throw error
        } catch {
            preconditionFailure("no other error can be thrown")
        }
    }

    private func refuse(_ error: AuditLogError) -> AuditLogError {
        writer.failed.withLock { $0 = error }
        return error
    }
}
