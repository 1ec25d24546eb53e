import Codec
import Glibc

/// Where a site's rows come from.
package enum DataSource: Equatable, Sendable {
    /// A CSV file.
    case file(String)
    /// A program and its arguments, no shell; its standard output is CSV. `psql -c "copy (…) to stdout csv
    /// header"` or any export tool. The program is looked up in PATH.
    case command([String], timeoutSeconds: Int)

    /// Reads the whole source in chunks of at most `TabularLimits.chunkBytes`.
    ///
    /// A command that fails after it has delivered chunks still throws: use nothing of what it gave.
    /// - Parameters:
    ///   - bytesMax: more bytes than this are an error.
    ///   - body: called for each chunk in order. When it throws, reading stops and a command is ended.
    package func read(
        bytesMax: Int = TabularLimits.sourceBytesMax, _ body: ([UInt8]) throws(TabularError) -> Void
    ) throws(TabularError) {
        switch self {
        case .file(let path):
            try readFile(path, bytesMax, body)
        case .command(let arguments, let timeoutSeconds):
            try CommandRun.read(arguments, timeoutSeconds: timeoutSeconds, bytesMax: bytesMax, body)
        }
    }
}

private func readFile(
    _ path: String, _ bytesMax: Int, _ body: ([UInt8]) throws(TabularError) -> Void
) throws(TabularError) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer before it is refused below.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    guard descriptor >= 0 else { throw .source(.cannotOpen(path: path, reason: advice(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
        throw .source(.cannotRead(path: path, reason: advice(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .source(.notAFile(path: path)) }
    var total = 0
    while true {
        let chunk: [UInt8]
        switch readChunk(descriptor) {
        case .success(let bytes): chunk = bytes
        case .failure(let failure):
            throw .source(.cannotRead(path: path, reason: advice(failure.code)))
        }
        if chunk.isEmpty { return }
        total += chunk.count
        if total > bytesMax { throw .source(.tooLarge(bytesMax: bytesMax)) }
        try body(chunk)
    }
}

/// A system call's error number.
struct SystemFailure: Error { let code: Int32 }

/// Up to `TabularLimits.chunkBytes`; empty at the end.
func readChunk(_ descriptor: Int32) -> Result<[UInt8], SystemFailure> {
    var failure: Int32?
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: TabularLimits.chunkBytes) {
        buffer, count in
        var got: Int
        // The buffer outlives the call, and read writes at most its size.
        repeat {
            got = unsafe Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        } while got < 0 && errno == EINTR
        if got < 0 { failure = errno }
        count = max(got, 0)
    }
    return failure.map { .failure(SystemFailure(code: $0)) } ?? .success(bytes)
}

/// An error number as a reason and what to do.
func advice(_ code: Int32) -> String {
    switch code {
    case ENOENT: return "there is no such file; check the path"
    case EACCES, EPERM: return "permission denied; let the user that runs the node read it"
    case EISDIR: return "it is a directory"
    case ENOTDIR: return "a part of the path is not a directory"
    case EMFILE, ENFILE: return "too many open files"
    case EIO: return "the disk reports an error"
    case ELOOP: return "too many symbolic links"
    case ENAMETOOLONG: return "the path is too long"
    case ENOEXEC: return "it is not a program this machine can run"
    case E2BIG: return "the arguments are too long"
    case ENOMEM, EAGAIN: return "the machine is out of memory or processes"
    default: return "system error \(code)"
    }
}

extension DataSource {
    /// Seconds that a command may take unless the configuration says otherwise.
    package static let timeoutSecondsDefault = 600

    /// Reads a configuration entry: `{"file": "rows.csv"}`, or
    /// `{"command": ["psql", "-c", "…"], "timeoutSeconds": 60}`.
    /// - Throws: `TabularError.schema` with the path of the first problem.
    package init(json: JSONValue, path: String) throws(TabularError) {
        do throws(FieldError) {
            var fields = try JSONFields(json, path: path)
            let file = try fields.optionalString("file")
            let hasCommand = fields.has("command")
            let arguments = hasCommand ? try fields.strings("command", maxCount: 256) : []
            let seconds = try fields.optionalInteger("timeoutSeconds", in: 1...86_400)
            try fields.finish()
            if let file, !hasCommand, seconds == nil, !file.isEmpty {
                self = .file(file)
            } else if file == nil, arguments.first.map({ !$0.isEmpty }) == true {
                self = .command(
                    arguments, timeoutSeconds: seconds ?? DataSource.timeoutSecondsDefault)
            } else {
                throw FieldError(
                    path: path,
                    problem: "must be either a file, or a command with an optional timeoutSeconds")
            }
        } catch {
            throw .schema(path: error.path, problem: error.problem)
        }
    }

    /// The configuration entry.
    package var json: JSONValue {
        switch self {
        case .file(let path):
            return ["file": .string(path)]
        case .command(let arguments, let timeoutSeconds):
            return [
                "command": .array(arguments.map { .string($0) }),
                "timeoutSeconds": .integer(Int64(timeoutSeconds)),
            ]
        }
    }
}
