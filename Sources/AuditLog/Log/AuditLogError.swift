import Storage

/// Why the log refused an operation. No entry is acknowledged after any of these.
package enum AuditLogError: Error, Equatable, Sendable {
    /// A file operation failed.
    case storage(StorageError)
    /// The entry itself is not acceptable.
    case entry(EntryError)
    /// A signed text is not acceptable.
    case note(NoteError)
    /// An earlier sync failed; nothing is known to be durable behind it.
    case poisoned(cause: String)
    /// More entries wait than the queue takes.
    case overloaded
    /// The log was closed.
    case closed
    /// A log is already in this directory.
    case exists(directory: String)
    /// There is no log in this directory, or its state directory is gone.
    case notALog(directory: String, missing: String)
    /// The log on disk belongs to another key or origin.
    case otherKey(directory: String)
    /// The log on disk is shorter than the head it once signed.
    case rolledBack(signed: UInt64, found: UInt64)
    /// The log on disk has another history than the head it once signed.
    case forked(size: UInt64)
    /// A witness holds a later head of this log than this log itself.
    case behindWitness(witnessed: UInt64, own: UInt64)
    /// A file of the log is damaged in a way that a crash does not explain.
    case corrupt(file: String, problem: String)
    /// No such entry or size.
    case outOfRange(index: UInt64, size: UInt64)
    /// The entry lies below the minimum index.
    case pruned(below: UInt64)
    /// The other side of a connection does not give the log out.
    case unreachable(String)
    /// Retention is below the minimum, or would be broken.
    case retention(String)
}

extension AuditLogError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .storage(let error): "audit log: \(error)"
        case .entry(let error): "audit log: \(error)"
        case .note(let error): "audit log: \(error)"
        case .poisoned(let cause):
            "the audit log stopped after a failure (\(cause)); check the disk and restart the process, which recovers from what is on disk"
        case .overloaded: "the audit log cannot keep up; send less at a time and try again"
        case .closed: "the audit log is closed"
        case .exists(let directory):
            "\(directory) holds a log already; open it, or choose another directory"
        case .notALog(let directory, let missing):
            "\(directory) is not a log of this process: \(missing) is missing; if this is a restored copy, run the recovery command, which asks the witnesses first"
        case .otherKey(let directory):
            "\(directory) belongs to another signing key or origin; check which key directory goes with it"
        case .rolledBack(let signed, let found):
            "the log has \(found) entries but a head of \(signed) was signed: it was restored from an old copy; restore the newest copy, or start a new log under a new key and tell the other parties"
        case .forked(let size):
            "the log's history differs from the head it signed at size \(size): restore the newest copy, or start a new log under a new key and tell the other parties"
        case .behindWitness(let witnessed, let own):
            "a witness knows this log with \(witnessed) entries, here are \(own): it was restored from an old copy and signs nothing more; restore the newest copy, or start a new log under a new key and tell the other parties"
        case .corrupt(let file, let problem):
            "\(file): \(problem); acknowledged entries are affected, so nothing was repaired: restore this file from a copy"
        case .outOfRange(let index, let size): "there is no entry \(index) in a log of \(size)"
        case .pruned(let below):
            "entries below \(below) are past their retention and are not given out"
        case .unreachable(let reason): reason
        case .retention(let problem): "audit log retention: \(problem)"
        }
    }
}
