import Glibc

/// A file operation that failed: which, on what, why, and what to do about it.
package struct StorageError: Error, Equatable, CustomStringConvertible {
    /// The path the operation was about.
    package let path: String
    /// Such as `open`, `write`, `sync`.
    package let operation: String
    /// The kernel's error number; 0 for a reason of our own.
    package let code: Int32
    private let reason: String

    /// From `errno`, read at once after the failed call.
    package init(_ operation: String, _ path: String, code: Int32) {
        self.path = path
        self.operation = operation
        self.code = code
        reason = StorageError.advice(code)
    }

    /// With a reason that the kernel does not know.
    package init(_ operation: String, _ path: String, reason: String) {
        self.path = path
        self.operation = operation
        code = 0
        self.reason = reason
    }

    package var description: String { "\(path): cannot \(operation): \(reason)" }

    /// Whether the file or directory is not there.
    package var isNotFound: Bool { code == ENOENT }

    /// Whether another process holds the directory.
    package var isInUse: Bool { code == EWOULDBLOCK }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case ENOSPC: "the disk is full; free some space, nothing that was acknowledged is lost"
        case EDQUOT: "the disk quota is used up; free some space or raise the quota"
        case EROFS: "the file system is read-only; remount it or choose another directory"
        case EACCES, EPERM: "permission denied; check owner and mode of the file and its directory"
        case EWOULDBLOCK: "another process works in it; stop that one first"
        case ENOENT: "it does not exist; check the path"
        case EEXIST: "it exists already"
        case ENOTDIR: "a part of the path is not a directory"
        case EISDIR: "it is a directory"
        case ELOOP: "it is a symbolic link, which is not followed here"
        case EIO: "the device reports an error; check the disk before going on"
        case EMFILE, ENFILE: "too many files are open; raise the limit (ulimit -n)"
        case ENAMETOOLONG: "the path is too long"
        case ENOTEMPTY: "the directory is not empty"
        case EFBIG: "the file would be larger than the limit allows (ulimit -f)"
        default: unsafe String(cString: strerror(code))
        }
    }
}
