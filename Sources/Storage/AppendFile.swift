import Glibc

/// A file that only grows. `sync` is the acknowledgement: bytes before it may be lost, bytes after it
/// may not. A failed write or sync poisons the file for good, because the kernel may have dropped
/// dirty pages while reporting success for later syncs; the cure is to open it afresh and look.
///
/// Not for several threads at once.
package final class AppendFile: @unchecked Sendable {
    // Unchecked: used under its owner's lock or by one thread.
    private let file: Descriptor
    private var isPoisoned = false
    /// Bytes in the file, those not yet durable included.
    package private(set) var size: Int

    /// Opens a file, which is made, with `mode`, if it is not there. It is closed with its last reference.
    package init(_ path: String, mode: UInt32 = 0o600) throws(StorageError) {
        let isNew = !DurableFile.exists(path)
        file = try Descriptor(opening: path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, mode: mode)
        size = try file.size()
        if isNew { try DurableFile.syncDirectory(DurableFile.parent(of: path)) }
    }

    /// Adds bytes at the end.
    package func append(_ bytes: [UInt8]) throws(StorageError) {
        try refuseIfPoisoned()
        do {
            try file.write(bytes)
            size += bytes.count
        } catch {
            isPoisoned = true
            throw error
        }
    }

    /// Makes everything appended so far durable.
    package func sync() throws(StorageError) {
        try refuseIfPoisoned()
        do { try file.synchronise() } catch {
            isPoisoned = true
            throw error
        }
    }

    /// Cuts the file; for recovery only, before anything is appended.
    package func truncate(to newSize: Int) throws(StorageError) {
        try refuseIfPoisoned()
        try file.truncate(to: newSize)
        try file.synchronise()
        size = newSize
    }

    private func refuseIfPoisoned() throws(StorageError) {
        guard !isPoisoned else {
            throw StorageError(
                "write", file.path,
                reason:
                    "an earlier write or sync failed; restart the process, which checks the file first"
            )
        }
    }
}
