/// Why a note, key, checkpoint, cosignature or proof file was refused. Never carries the bytes that were refused.
package enum NoteError: Error, Equatable, Sendable {
    /// Not in the format; says what is wrong.
    case malformed(String)
    /// A signature of a known key does not match the text. The whole note is refused.
    case invalidSignature(keyName: String)
    /// No known key signed.
    case unverified
    /// Two configured keys have the same name and ID.
    case ambiguousKey(keyName: String)
    /// A checkpoint of another log.
    case otherOrigin(expected: String)
    /// An empty tree with another root than SHA-256 of nothing.
    case wrongEmptyRoot
    /// The entry is not where the proof says.
    case notIncluded
    /// Too few of the trusted witnesses cosigned.
    case noQuorum
}

extension NoteError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let problem): "malformed: \(problem)"
        case .invalidSignature(let name):
            "the signature of \(name) does not match the text: it was changed, or signed with another key of that name"
        case .unverified:
            "none of the known keys signed this; check that the verifier key belongs to this log"
        case .ambiguousKey(let name): "the key \(name) is configured twice; remove one"
        case .otherOrigin(let expected): "this is a checkpoint of another log, not of \(expected)"
        case .wrongEmptyRoot: "an empty log has the root SHA-256(\"\"), this one states another"
        case .notIncluded: "the proof does not lead from this entry to the signed root"
        case .noQuorum:
            "too few trusted witnesses cosigned this checkpoint; ask the log for a cosigned one"
        }
    }
}
