import Glibc

/// A file that only grows. `sync` is the acknowledgement: bytes before it may be lost, bytes after it
/// may not. A failed write or sync poisons the file for good, because the kernel may have dropped
/// dirty pages while reporting success for later syncs; the cure is to open it afresh and look.
///
/// A file may be zeroed ahead: a sync of bytes that take the place of others needs no change of the file's size, and so no
/// commit of the file system's journal, which is most of what it costs. Whoever reads such a file knows its own end; `trim` cuts
/// what is left over.
///
/// Not for several threads at once.
package final class AppendFile: @unchecked Sendable {
    // Unchecked: used under its owner's lock or by one thread.
    private let file: Descriptor
    private var isPoisoned = false
    private let zeroAheadBytes: Int
    /// Bytes on disk, those zeroed ahead included.
    private var allocated: Int
    /// Bytes in the file, those not yet durable included.
    package private(set) var size: Int

    /// Opens a file, which is made, with `mode`, if it is not there. It is closed with its last reference.
    /// - Parameter zeroAheadBytes: how much is zeroed at a time; 0 for nothing.
    package init(_ path: String, mode: UInt32 = 0o600, zeroAheadBytes: Int = 0) throws(StorageError) {
        let isNew = !DurableFile.exists(path)
        let position = zeroAheadBytes == 0 ? O_APPEND : 0
        file = try Descriptor(opening: path, O_RDWR | O_CREAT | O_NOFOLLOW | position, mode: mode)
        size = try file.size()
        self.zeroAheadBytes = zeroAheadBytes
        allocated = size
        if isNew { try DurableFile.syncDirectory(DurableFile.parent(of: path)) }
    }

    /// Adds bytes at the end.
    package func append(_ bytes: [UInt8]) throws(StorageError) {
        try refuseIfPoisoned()
        do {
            if zeroAheadBytes == 0 {
                try file.write(bytes)
                allocated = size + bytes.count
            } else if size + bytes.count <= allocated {
                try file.write(bytes, at: size)
            } else {
                try file.write(bytes + [UInt8](repeating: 0, count: zeroAheadBytes), at: size)
                allocated = size + bytes.count + zeroAheadBytes
            }
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
        (size, allocated) = (newSize, newSize)
    }

    /// Cuts what was zeroed ahead. Not durable by itself.
    package func trim() {
        guard allocated > size, !isPoisoned else { return }
        // What cannot be cut stays behind as zeros, which a reader passes over.
        if (try? file.truncate(to: size)) != nil { allocated = size }
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
