import Cryptography
import Storage
import Telemetry

extension AuditLog {
    /// Makes a new, empty log.
    /// - Parameters:
    ///   - directory: becomes the log; its state goes to a directory beside it, named the same with `.state` behind.
    ///   - origin: the log's name, such as `hospital.example/consilium/log`; a key name.
    ///   - signer: the key of this log and of no other.
    /// - Throws: `exists` when a log is there already.
    package static func create(
        directory: String, origin: String, signer: SigningKey, clock: any Clock
    ) throws(AuditLogError) -> AuditLog {
        let opening = try LogOpening(
            directory: directory, origin: origin, signer: signer, clock: clock)
        guard try !opening.hasLog() else { throw .exists(directory: directory) }
        return try opening.create()
    }

    /// Opens the log of a directory after checking it against everything this process has signed and acknowledged.
    /// Reads every entry once.
    /// - Throws: `notALog`, `otherKey`, `rolledBack`, `forked`, `corrupt`, `storage`; nothing is changed on disk then.
    package static func open(
        directory: String, origin: String, signer: SigningKey, clock: any Clock
    ) throws(AuditLogError) -> AuditLog {
        let opening = try LogOpening(
            directory: directory, origin: origin, signer: signer, clock: clock)
        return try opening.recover()
    }

    /// Opens the log, or makes it when there is none.
    /// - Parameter pace: how commits are grouped and when the files follow.
    package static func openOrCreate(
        directory: String, origin: String, signer: SigningKey, clock: any Clock, pace: CommitPace = .immediate
    ) throws(AuditLogError) -> AuditLog {
        var opening = try LogOpening(
            directory: directory, origin: origin, signer: signer, clock: clock)
        opening.pace = pace
        return try opening.hasLog() ? try opening.recover() : try opening.create()
    }

    /// Takes over a complete log directory whose state directory was lost, such as a copy from a backup. The whole log is
    /// verified first. Ask the witnesses before appending (`confirm`): this process no longer knows what it signed.
    package static func adopt(
        directory: String, origin: String, signer: SigningKey, clock: any Clock
    ) throws(AuditLogError) -> AuditLog {
        let opening = try LogOpening(
            directory: directory, origin: origin, signer: signer, clock: clock)
        return try opening.adopt()
    }
}

/// A log directory that is locked for this process and about to be opened.
struct LogOpening {
    let files: LogFiles
    let state: StateDirectory
    let signer: NoteSigner
    let clock: any Clock
    let directoryLock: DirectoryLock
    var pace = CommitPace.immediate

    init(directory: String, origin: String, signer: SigningKey, clock: any Clock)
        throws(AuditLogError)
    {
        guard let name = KeyName(origin) else {
            throw .note(.malformed("the origin of a log is a key name"))
        }
        files = LogFiles(directory: directory)
        state = StateDirectory(ofLog: directory)
        self.signer = NoteSigner(name: name, kind: .log, key: signer)
        self.clock = clock
        let path = state.path
        directoryLock = try storage { () throws(StorageError) in
            try DurableFile.createDirectory(directory)
            try DurableFile.createDirectory(path)
            return try DirectoryLock(path)
        }
    }

    /// Whether a log was ever acknowledged here.
    func hasLog() throws(AuditLogError) -> Bool {
        if DurableFile.exists(state.head) { return true }
        // Without a head, a checkpoint with entries means that the state directory was lost.
        guard let note = try files.read(AuditVerifier.headFile),
            let head = try? Checkpoint(note, signedBy: signer.verifierKey)
        else { return false }
        return head.size > 0
    }

    func create() throws(AuditLogError) -> AuditLog {
        let edge = TreeEdge()
        let note = sign(edge)
        try files.replace(AuditVerifier.keyFile, with: keyFileBytes)
        try files.replace(AuditVerifier.headFile, with: note)
        return try finish(
            edge, note: note, fresh: [], oldSegments: try segments().map(state.segment),
            lastMilliseconds: 0)
    }

    var keyFileBytes: [UInt8] { Array((signer.verifierKey.text + "\n").utf8) }

    func sign(_ edge: TreeEdge) -> [UInt8] {
        Checkpoint(origin: signer.verifierKey.name.text, size: edge.size, root: edge.root).signed(
            by: signer
        ).bytes
    }

    func segments() throws(AuditLogError) -> [Int] {
        let state = state
        return try storage { () throws(StorageError) in try state.segments() }
    }

    /// Begins a segment, makes all files durable, moves the head, removes the old segments; then the log is open.
    /// - Parameter fresh: files that were written and are not known to be durable.
    func finish(
        _ edge: TreeEdge, note: [UInt8], fresh: [String], oldSegments: [String],
        lastMilliseconds: Int64
    ) throws(AuditLogError) -> AuditLog {
        let number = (try segments().last ?? 0) + 1
        let path = state.segment(number)
        let segment = try storage { () throws(StorageError) in
            try PendingSegment(path: path, preamble: PendingFrame(preambleOf: edge, note: note))
        }
        let paths =
            fresh + edge.partialPaths.map(\.text) + [AuditVerifier.headFile, AuditVerifier.keyFile]
        try LogFlusher.run(
            FlushJob(paths: paths, head: note, segments: oldSegments), files: files, state: state)
        let writer = LogWriter(
            files: files, state: state, signer: signer, clock: clock, directoryLock: directoryLock,
            pace: pace, edge: edge,
            note: note, lastMilliseconds: lastMilliseconds, segment: segment, segmentNumber: number)
        return AuditLog(writer: writer, minimum: try readMinimum(), gathering: pace.gathering)
    }

    private func readMinimum() throws(AuditLogError) -> UInt64 {
        guard DurableFile.exists(state.minimum) else { return 0 }
        let path = state.minimum
        let bytes = try storage { () throws(StorageError) in
            try DurableFile.read(path, maxBytes: 32)
        }
        guard bytes.last == 0x0A, let value = DecimalNumber.parse(bytes.dropLast()) else {
            throw .corrupt(file: path, problem: "is not a number")
        }
        return value
    }
}

/// Runs file operations of the floor below and wraps their error.
func storage<Value>(_ body: () throws(StorageError) -> Value) throws(AuditLogError) -> Value {
    do {
        return try body()
    } catch {
        throw .storage(error)
    }
}
