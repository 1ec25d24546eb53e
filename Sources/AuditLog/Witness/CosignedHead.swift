import Storage

/// The latest head of a log with its witnesses' cosignatures, kept beside the log: `log.state/cosigned`.
package enum CosignedHead {
    /// Keeps a head durably, unless a later one is kept; cosignatures of the same head are joined.
    /// - Parameters:
    ///   - note: a head of this log with its signature, which the caller has checked, and cosignatures.
    ///   - directory: of the log.
    ///   - key: the log's key.
    /// - Returns: the head with all cosignatures known for it.
    /// - Throws: `note` when it is not a head signed by the key, `storage`.
    package static func keep(_ note: SignedNote, ofLog directory: String, key: VerifierKey)
        throws(AuditLogError) -> SignedNote
    {
        var note = note
        let state = StateDirectory(ofLog: directory)
        do throws(NoteError) {
            let head = try Checkpoint(note.bytes, signedBy: key)
            if let kept = read(ofLog: directory), let keptHead = try? Checkpoint(kept.bytes, signedBy: key) {
                if keptHead.size > head.size { return note }
                if kept.text == note.text { note = kept.adding(note.signatures) }
            }
        } catch {
            throw .note(error)
        }
        let bytes = note.bytes
        try storage { () throws(StorageError) in try DurableFile.writeAtomically(bytes, to: state.cosigned) }
        return note
    }

    /// The one that is kept; nil when there is none that can be read. Not verified.
    package static func read(ofLog directory: String) -> SignedNote? {
        let path = StateDirectory(ofLog: directory).cosigned
        guard let bytes = try? DurableFile.read(path, maxBytes: SignedNote.bytesMax) else { return nil }
        return try? SignedNote(bytes)
    }
}
