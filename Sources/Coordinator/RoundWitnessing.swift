// Before a round opens, its entry must stand in a head of the coordinator's log that a quorum of its sites has
// cosigned: the proof goes out with the opening, and no node answers without it. `protocol/federation.md` §4.

import AuditLog
import Codec
import Cryptography
import Messages
import SecureAggregation

/// Collects the cosignatures under one round's entry.
struct RoundWitnessing: Sendable {
    /// Position of the `round.start` entry in the log.
    let index: UInt64
    /// Sites of the round with their cosigning keys.
    let witnesses: [String: VerifierKey]
    let quorum: Int
    /// The head that is being cosigned.
    private(set) var note: SignedNote
    private var lines: [String: SignedNote.Signature] = [:]

    /// Starts with the log's head as it is now, which has the entry.
    init(index: UInt64, witnesses: [String: VerifierKey], quorum: Int, log: any ProvableLog) throws(NoteError) {
        self.index = index
        self.witnesses = witnesses
        self.quorum = quorum
        note = try SignedNote(log.checkpoint)
    }

    /// Sites that have not cosigned.
    var missing: Set<String> { Set(witnesses.keys).subtracting(lines.keys) }

    /// Starts over with the log's head of now: a witness has seen a later one than `note`.
    mutating func restart(_ log: any ProvableLog) throws(NoteError) {
        note = try SignedNote(log.checkpoint)
        lines = [:]
    }

    /// Takes a witness's line; a wrong one, or one under another head, is passed over.
    ///
    /// - Returns: the proof once the quorum is there, and only then.
    mutating func add(_ body: [UInt8], by site: String, log: any ProvableLog) -> RoundStart? {
        guard let key = witnesses[site], lines[site] == nil, lines.count < quorum,
            let given = try? SignedNote.Signature.parse(lines: body),
            let opened = try? OpenedNote(SignedNote(text: note.text, signatures: given), known: [key]),
            opened.isSigned(by: key), let line = given.first(where: { $0.keyID == key.keyID && $0.name == key.name })
        else { return nil }
        lines[site] = line
        guard lines.count == quorum else { return nil }
        let cosigned = note.adding(lines.keys.sorted().compactMap { lines[$0] })
        guard let entry = try? log.bytes(at: index), let proof = try? log.receipt(index, checkpoint: cosigned.bytes) else { return nil }
        return RoundStart(entry: entry, proof: proof)
    }
}
