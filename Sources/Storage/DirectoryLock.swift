import Glibc

/// Keeps a second process out of a directory while this value lives.
package final class DirectoryLock: Sendable {
    private let file: Descriptor

    /// - Throws: `StorageError` that says another process runs there.
    package init(_ directory: String) throws(StorageError) {
        file = try Descriptor(opening: directory + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW)
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else {
            throw StorageError("lock", directory, reason: "another process works in it; stop that one first")
        }
    }
}
