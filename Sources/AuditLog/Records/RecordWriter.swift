import Storage

/// The segment that grows. Used under its store's lock.
struct RecordWriter {
    private static let zeroAheadBytes = 256 << 10

    private let directory: String
    private var last: Int
    private var file: AppendFile?
    /// Why nothing more is taken, when that is so.
    private(set) var failure: AuditLogError?

    /// - Parameter last: the number of the newest segment that is there; 0 for none.
    init(directory: String, last: Int) { (self.directory, self.last) = (directory, last) }

    /// The segment that the next records go to; a new one when the last is full or of an earlier process.
    mutating func segment() throws(AuditLogError) -> (number: Int, path: String) {
        if let failure { throw failure }
        if file.map({ $0.size >= RecordStore.segmentBytesMax }) ?? true {
            let path = path(last + 1)
            file?.trim()
            file = try storage { () throws(StorageError) in try AppendFile(path, zeroAheadBytes: Self.zeroAheadBytes) }
            last += 1
        }
        return (last, path(last))
    }

    /// Appends frames, durably.
    /// - Returns: where the first one begins.
    mutating func append(_ frames: [[UInt8]]) throws(AuditLogError) -> Int {
        guard let file else { preconditionFailure("a segment was begun") }
        let start = file.size
        do throws(StorageError) {
            try file.append(pieces: frames)
            try file.sync()
        } catch {
            abandon(cutTo: start, error)
            throw .storage(error)
        }
        return start
    }

    /// Changes a segment while nothing is appended to it, if it is the one that grows.
    /// - Returns: false when it is not; then nothing was done.
    mutating func whileQuiet(_ number: Int, _ change: () throws(AuditLogError) -> Void) throws(AuditLogError) -> Bool {
        guard number == last, let file else { return false }
        do {
            try change()
            try storage(file.refresh)
        } catch {
            // What was changed must not come back with the next block.
            self.file = nil
            throw error
        }
        return true
    }

    /// After a failed write the tail is cut off, since it may hold a part of a person's data that no index knows, and the
    /// next commit begins a new segment. After a failed sync nothing more is taken.
    private mutating func abandon(cutTo size: Int, _ error: StorageError) {
        file = nil
        if error.operation == "sync" { failure = .poisoned(cause: error.description) }
        do throws(StorageError) {
            try AppendFile(path(last)).truncate(to: size)
        } catch {
            failure = .poisoned(cause: error.description)
        }
    }

    mutating func close() {
        file?.trim()
        file = nil
        failure = failure ?? .closed
    }

    private static let prefix = "records-"

    /// The number in a segment's name; nil for other files.
    static func number(_ name: String) -> Int? {
        name.hasPrefix(prefix) ? Int(name.dropFirst(prefix.count)) : nil
    }

    private func path(_ number: Int) -> String {
        let digits = String(number)
        return "\(directory)/\(Self.prefix)\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits)"
    }
}
