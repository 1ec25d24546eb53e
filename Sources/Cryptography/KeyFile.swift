import Glibc

/// Private keys on disk: mode 0600, owned by the user who runs the process, never behind a symbolic
/// link.
///
/// Writing creates the file or fails: a key is never overwritten. Reading refuses a file that
/// others could have read or put there, because such a key is no longer a secret, and says what to
/// do.
package enum KeyFile {
    /// No key or key chain is larger; bigger files are not read.
    package static let bytesMax = 64 * 1024

    private static let ownerOnly: mode_t = 0o600
    private static let groupAndOthers: mode_t = 0o077

    /// Creates the file, durable on return (file and directory entry are synchronised).
    /// - Throws: `.keyFile`: it exists already (a dangling link counts), the directory is missing
    ///   or not writable, …
    package static func write(_ key: borrowing SecretBytes, to path: String)
        throws(CryptographyError)
    {
        try check(path)
        // Safe: the path is null-terminated for the call; same for all calls below.
        let file = unsafe open(
            path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, ownerOnly)
        guard file >= 0 else { throw failure("cannot be created", path) }
        do throws(CryptographyError) {
            defer { close(file) }
            try fill(file, with: key, path)
        } catch {
            unsafe _ = unlink(path)
            throw error
        }
        try synchroniseDirectory(of: path)
    }

    /// ``write(_:to:)`` for bytes that are in ordinary memory anyway.
    package static func write(_ bytes: [UInt8], to path: String) throws(CryptographyError) {
        let key = SecretBytes(copying: bytes)
        try write(key, to: path)
    }

    /// The whole file.
    /// - Throws: `.keyFile`: missing, a symbolic link, not a regular file, another owner, readable
    ///   or writable by group or others, empty or larger than ``bytesMax``.
    package static func read(_ path: String) throws(CryptographyError) -> SecretBytes {
        try check(path)
        // O_NONBLOCK: a named pipe put in the key's place must not hang the process.
        let file = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ELOOP {
                throw .keyFile(path: path, problem: "is a symbolic link; give the key's own path")
            }
            throw failure("cannot be opened", path)
        }
        defer { close(file) }
        return try contents(of: file, count: checkedSize(of: file, path), path)
    }

    private static func fill(
        _ file: Int32, with key: borrowing SecretBytes, _ path: String
    ) throws(CryptographyError) {
        // The mode of open(2) is cut by the umask; this one is exact.
        guard fchmod(file, ownerOnly) == 0 else { throw failure("cannot be protected", path) }
        try unsafe key.withPointer { bytes throws(CryptographyError) in
            var done = 0
            while done < key.count {
                // Safe: done < count.
                let written = unsafe Glibc.write(file, bytes + done, key.count - done)
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { throw failure("cannot be written", path) }
                done += written
            }
        }
        guard fsync(file) == 0 else { throw failure("cannot be synchronised", path) }
    }

    private static func synchroniseDirectory(of path: String) throws(CryptographyError) {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw failure("was written, but its directory cannot be opened", path)
        }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else {
            throw failure("was written, but its directory cannot be synchronised", path)
        }
    }

    private static func checkedSize(of file: Int32, _ path: String) throws(CryptographyError) -> Int
    {
        var facts = stat()
        // Safe: the structure lives on this stack frame for the call.
        guard unsafe fstat(file, &facts) == 0 else { throw failure("cannot be examined", path) }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw .keyFile(path: path, problem: "is not a regular file")
        }
        guard facts.st_uid == geteuid() else {
            throw .keyFile(
                path: path,
                problem:
                    "belongs to user \(facts.st_uid), but this process runs as user \(geteuid()); "
                    + "run: chown \(geteuid()) \(path)")
        }
        guard facts.st_mode & groupAndOthers == 0 else {
            throw .keyFile(
                path: path,
                problem:
                    "is open to group or others, so the key may be known to them; run: chmod 600 \(path)"
            )
        }
        guard facts.st_size > 0 else { throw .keyFile(path: path, problem: "is empty") }
        guard facts.st_size <= bytesMax else {
            throw .keyFile(path: path, problem: "is larger than \(bytesMax) bytes, so it is no key")
        }
        return facts.st_size
    }

    private static func contents(
        of file: Int32, count: Int, _ path: String
    ) throws(CryptographyError) -> SecretBytes {
        let key = SecretBytes(zeroed: count)
        try unsafe key.withPointer { bytes throws(CryptographyError) in
            var done = 0
            while done < count {
                // Safe: done < count, the size of the buffer.
                let got = unsafe Glibc.read(file, bytes + done, count - done)
                if got < 0 && errno == EINTR { continue }
                guard got >= 0 else { throw failure("cannot be read", path) }
                guard got > 0 else {
                    throw .keyFile(path: path, problem: "changed while it was read")
                }
                done += got
            }
        }
        return key
    }

    /// A path with a null byte would name another file to the system than to us.
    private static func check(_ path: String) throws(CryptographyError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .keyFile(path: "(unusable path)", problem: "must be a path without null bytes")
        }
    }

    /// Call at once after the failed call: reads `errno`.
    private static func failure(_ what: String, _ path: String) -> CryptographyError {
        let code = errno
        let advice =
            switch code {
            case EEXIST: "it exists already, and keys are never overwritten"
            case ENOENT: "the file or its directory does not exist"
            case EACCES, EPERM: "permission denied for user \(geteuid())"
            case ENOSPC, EDQUOT: "the disk is full"
            case EROFS: "the file system is read-only"
            case ELOOP: "it is a symbolic link"
            default: "system error \(code)"
            }
        return .keyFile(path: path, problem: "\(what): \(advice)")
    }
}
