import Cryptography

/// What a witness knows of one log, and the pure decision about a new checkpoint of it.
package struct WitnessedLog: Equatable, Sendable {
    /// What to do about a checkpoint.
    package enum Decision: Equatable, Sendable {
        /// Cosign, after the new state is durable.
        case accept(Checkpoint, SignedNote)
        case refuse(WitnessReply)
        /// Refuse, and keep both heads: they are signed and cannot be reconciled.
        case fork(Checkpoint, WitnessReply)
    }

    package let key: VerifierKey
    /// The latest checkpoint that was cosigned, as a note; nil before the first.
    package private(set) var latest: SignedNote?
    package private(set) var head: Checkpoint?

    package init(key: VerifierKey) {
        self.key = key
    }

    /// With the state that was kept.
    package init(key: VerifierKey, latest note: SignedNote) throws(NoteError) {
        self.key = key
        head = try Checkpoint(text: OpenedNote(note, known: [key]).text, origin: key.name.text)
        latest = note
    }

    /// Decides in the order of the specification: signature (403), `old` beyond the checkpoint (400), `old` not ours (409),
    /// root and proof (422).
    package func decide(_ request: AddCheckpoint) -> Decision {
        guard let opened = try? OpenedNote(request.checkpoint, known: [key]) else {
            return .refuse(.notSigned)
        }
        let new: Checkpoint
        do {
            new = try Checkpoint(text: opened.text, origin: key.name.text)
        } catch .wrongEmptyRoot {
            return .refuse(.inconsistent)
        } catch {
            return .refuse(.malformed("\(error)"))
        }
        guard request.oldSize <= new.size else {
            return .refuse(.malformed("old is larger than the checkpoint"))
        }
        let size = head?.size ?? 0
        // Two roots at one size are a fork whatever the request says about the old size.
        if let head, head.size == new.size, head.root != new.root {
            return .fork(new, request.oldSize == size ? .inconsistent : .otherSize(size))
        }
        guard request.oldSize == size else { return .refuse(.otherSize(size)) }
        guard let head, head.size > 0 else {
            return request.proof.isEmpty ? .accept(new, request.checkpoint) : .refuse(.inconsistent)
        }
        let isConsistent = MerkleProof.isConsistent(
            size1: head.size, root1: head.root, size2: new.size, root2: new.root,
            proof: request.proof)
        return isConsistent ? .accept(new, request.checkpoint) : .refuse(.inconsistent)
    }

    /// Records what was accepted and made durable.
    mutating func record(_ note: SignedNote, head new: Checkpoint) {
        latest = note
        head = new
    }
}

extension WitnessedLog {
    /// Answers a request as a witness does whose state is this value: for federations that run in one process. The witness
    /// on disk (`Witness`) makes its state durable in between.
    /// - Parameter signer: a key of kind `.witness`.
    package mutating func answer(_ request: AddCheckpoint, signer: NoteSigner, timeSeconds: UInt64) -> WitnessReply {
        switch decide(request) {
        case .refuse(let reply), .fork(_, let reply): return reply
        case .accept(let head, let note):
            let line = signer.cosign(note.text, timeSeconds: timeSeconds)
            record(note.adding([line]), head: head)
            return .cosigned(Array(line.line.utf8))
        }
    }
}
