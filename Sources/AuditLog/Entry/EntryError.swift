/// Why an entry cannot be written, or a stored one is not canonical.
package enum EntryError: Error, Equatable, Sendable {
    /// Longer than the limit.
    case tooLarge(bytes: Int)
    /// A field has a value that entries do not take.
    case field(String, problem: String)
    /// The bytes are not the canonical form; `offset` is where they part from it.
    case notCanonical(offset: Int, problem: String)
}

extension EntryError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tooLarge(let bytes):
            "the entry has \(bytes) bytes, at most \(LogEntry.bytesMax) are allowed; log a digest, keep the payload in records"
        case .field(let name, let problem): "entry field \(name): \(problem)"
        case .notCanonical(let offset, let problem):
            "entry is not canonical at byte \(offset): \(problem)"
        }
    }
}
