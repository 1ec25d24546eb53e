// The files of a batch run, so that a run that was cut off goes on where it was: no row twice in the output, none left out.
//
//     OUTPUT.part, QUARANTINE.part    rows so far
//     OUTPUT.resume/                  a lock, and `steps`: which run this is, then a line for each answered request
//
// After each request the rows are made durable, then a line with the sizes of the two files, the row that it came to and how much
// of the input had been read, with a hash of that. To go on, the files are cut to the sizes of the last whole line, and the
// input is read again from its start; rows up to that line's are passed over. A request whose line is missing is sent again:
// its rows, ``BatchScoring/rowsPerRequest`` at most, then stand in the log twice, and in the output once.

import Codec
import Cryptography
import Storage

package final class BatchFiles {
    /// Why files cannot be used for a run.
    package enum Problem: Error, Equatable, CustomStringConvertible {
        /// They were begun with another version, layout or file.
        case otherRun(path: String)
        /// Another process is writing them.
        case inUse(path: String)
        /// What the run has written is not as it was left.
        case damaged(path: String)

        package var description: String {
            switch self {
            case .otherRun(let path):
                "\(path) was begun with another input, version or layout; go on with those, or begin anew with --restart"
            case .inUse(let path): "another process is writing \(path)"
            case .damaged(let path): "\(path) is not as the run that was cut off left it; begin anew with --restart"
            }
        }
    }

    /// One line of `steps`.
    fileprivate struct Step: Equatable {
        var standing = BatchScoring.Standing()
        /// Bytes of the two files.
        var output = 0
        var quarantine = 0
        /// Bytes of the input, and their hash, chunk by chunk.
        var read = 0
        var hash = ""
        var isLast = false
    }

    private let output: String
    private let quarantine: String
    private let lock: DirectoryLock
    private let steps: AppendFile
    private let outputFile: AppendFile
    private let quarantineFile: AppendFile
    private var done: Step
    private var current = Step()

    /// Opens the files of a run: where it was cut off, or at its beginning.
    /// - Parameters:
    ///   - run: what must be the same for a run to go on; one line.
    ///   - restarts: whether to forget what was written before.
    /// - Throws: ``Problem``, `StorageError`.
    package init(output: String, quarantine: String, run: JSONValue, restarts: Bool) throws {
        (self.output, self.quarantine) = (output, quarantine)
        let directory = Self.directory(output)
        try DurableFile.createDirectory(directory)
        do { lock = try DirectoryLock(directory) } catch {
            throw error.isInUse ? Problem.inUse(path: output + ".part") : error
        }
        let path = directory + "/steps"
        if restarts { for file in [path, output + ".part", quarantine + ".part"] { try DurableFile.remove(file) } }
        let first = run.canonicalBytes() + [0x0a]
        let (length, step) = try Self.read(path, first: first, output)
        steps = try AppendFile(path)
        if steps.size != length { try steps.truncate(to: length) }
        done = step ?? Step()
        if step == nil {
            for file in [output + ".part", quarantine + ".part"] { try DurableFile.remove(file) }
            if length == 0 { try steps.append(first) }
        }
        isBegun = step != nil
        outputFile = try AppendFile(output + ".part")
        quarantineFile = try AppendFile(quarantine + ".part")
        if done.isLast { return }
        for (file, size) in [(outputFile, done.output), (quarantineFile, done.quarantine)] {
            guard file.size >= size else { throw Problem.damaged(path: output + ".part") }
            if file.size > size { try file.truncate(to: size) }
        }
    }

    /// Whether a run was cut off and goes on.
    private let isBegun: Bool

    /// Whether chunks that were noted from here on hold rows that are still to be scored.
    package var isPast: Bool { current.read >= done.read }

    /// Where the run was cut off; nil for one that begins.
    package var standing: BatchScoring.Standing? { isBegun ? done.standing : nil }

    /// Whether all was scored already and only the files' names were missing.
    package var isComplete: Bool { done.isLast }

    /// Whether files of a run that was cut off are there.
    package static func areBegun(output: String) -> Bool { DurableFile.exists(directory(output) + "/steps") }

    private static func directory(_ output: String) -> String { output + ".resume" }

    /// The length of the whole lines and the last of them.
    private static func read(_ path: String, first: [UInt8], _ output: String) throws -> (length: Int, step: Step?) {
        guard DurableFile.exists(path) else { return (0, nil) }
        let bytes = try DurableFile.read(path, maxBytes: stepsBytesMax)
        guard let end = bytes.lastIndex(of: 0x0a) else { return (0, nil) }
        guard bytes.starts(with: first) else { throw Problem.otherRun(path: output + ".part") }
        guard end >= first.count else { return (end + 1, nil) }
        let start = bytes[..<end].lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        guard let step = Step(Array(bytes[start..<end])) else { throw Problem.damaged(path: output + ".part") }
        return (end + 1, step)
    }

    /// Takes note of a chunk of the input before it is scored.
    /// - Throws: ``Problem/otherRun(path:)`` when it is not what the run that was cut off had read.
    package func note(_ chunk: [UInt8]) throws {
        current.read += chunk.count
        current.hash = SHA256.hash(Array(current.hash.utf8) + chunk).hex
        guard current.read >= done.read, current.read - chunk.count < done.read else { return }
        guard (current.read, current.hash) == (done.read, done.hash) else { throw Problem.otherRun(path: output + ".part") }
    }

    /// Rows of the output.
    package func write(_ bytes: [UInt8]) throws { try outputFile.append(bytes) }

    /// Rows of the quarantine.
    package func quarantine(_ bytes: [UInt8]) throws { try quarantineFile.append(bytes) }

    /// Makes a step durable.
    package func step(_ standing: BatchScoring.Standing) throws {
        try outputFile.sync()
        if quarantineFile.size != done.quarantine { try quarantineFile.sync() }
        current.standing = standing
        (current.output, current.quarantine) = (outputFile.size, quarantineFile.size)
        done = current
        try steps.append(done.line)
        try steps.sync()
    }

    /// The files appear under their own names.
    /// - Throws: ``Problem/otherRun(path:)`` when the input ended before the place that the run was cut off at.
    package func finish(_ standing: BatchScoring.Standing) throws {
        if !done.isLast {
            guard current.read >= done.read else { throw Problem.otherRun(path: output + ".part") }
            current.isLast = true
            try quarantineFile.sync()
            try step(standing)
        }
        for (part, name) in [(output + ".part", output), (quarantine + ".part", quarantine)] where DurableFile.exists(part) {
            // Opening made an empty one where the last run had renamed it already.
            if try DurableFile.size(part) == 0, DurableFile.exists(name) { try DurableFile.remove(part) } else { try DurableFile.rename(part, to: name) }
        }
        for file in ["/steps", "/lock"] { try DurableFile.remove(Self.directory(output) + file) }
        try DurableFile.removeDirectory(Self.directory(output))
    }

    /// Bytes of `steps`: enough for hundreds of millions of rows.
    private static let stepsBytesMax = 256 << 20
}

extension BatchFiles.Step {
    fileprivate var line: [UInt8] {
        let object: JSONValue = [
            "row": .integer(Int64(standing.row)), "scored": .integer(Int64(standing.scored)), "refused": .integer(Int64(standing.refused)),
            "output": .integer(Int64(output)), "quarantine": .integer(Int64(quarantine)), "read": .integer(Int64(read)), "hash": .string(hash),
            "last": .bool(isLast),
        ]
        return object.canonicalBytes() + [0x0a]
    }

    fileprivate init?(_ line: [UInt8]) {
        guard let value = try? JSONValue.parse(line, dialect: .strict) else { return nil }
        func number(_ name: String) -> Int? { value[name]?.intValue }
        guard let row = number("row"), let scored = number("scored"), let refused = number("refused"), let output = number("output"),
            let quarantine = number("quarantine"), let read = number("read"), let hash = value["hash"]?.stringValue,
            let isLast = value["last"]?.boolValue
        else { return nil }
        self.init(
            standing: .init(row: row, scored: scored, refused: refused), output: output, quarantine: quarantine, read: read, hash: hash,
            isLast: isLast)
    }
}
