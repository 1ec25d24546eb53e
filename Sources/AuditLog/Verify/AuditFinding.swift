/// The first thing that is wrong with a log.
package enum AuditFinding: Error, Equatable, Sendable {
    /// A file that the signed size calls for is not there.
    case missing(file: String)
    /// The head, the key file or a signature.
    case head(file: String, NoteError)
    /// The key in the log's `vkey` file is not the expected one.
    case otherKey
    /// A file that is not what its place asks for.
    case file(String, problem: String)
    /// An entry that is not what its place asks for.
    case entry(UInt64, file: String, problem: String)
    /// All files agree with each other and not with the signed root.
    case rootMismatch
    /// A file could not be read.
    case unreadable(AuditLogError)
}

extension AuditFinding: CustomStringConvertible {
    package var description: String {
        switch self {
        case .missing(let file): "\(file) is missing"
        case .head(let file, let error): "\(file): \(error)"
        case .otherKey:
            "the vkey file holds another key than the one you trust: do not use this log"
        case .file(let path, let problem): "\(path): \(problem)"
        case .entry(let index, let file, let problem): "entry \(index) in \(file): \(problem)"
        case .rootMismatch:
            "the entries do not lead to the signed root: the log was rewritten after it was signed"
        case .unreadable(let error): "\(error)"
        }
    }
}
