import Glibc

/// Keeps a second process out of a directory while this value lives; the kernel lets go of it when the
/// process ends, however it ends.
package final class DirectoryLock: Sendable {
    private let file: Descriptor

    /// Takes the lock on the file `lock` in the directory, which is made if it is not there.
    ///
    /// - Throws: `StorageError`, with `isInUse` when another process works there.
    package init(_ directory: String) throws(StorageError) {
        file = try Descriptor(opening: directory + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW)
        do { try file.lock(isWaiting: false) } catch {
            throw error.code == EWOULDBLOCK
                ? StorageError("lock", directory, code: EWOULDBLOCK) : error
        }
    }
}
