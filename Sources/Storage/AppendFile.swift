import CShims
import Glibc

/// A file that only grows. `sync` is the acknowledgement: bytes before it may be lost, bytes after it
/// may not. A failed write or sync poisons the file for good, because the kernel may have dropped
/// dirty pages while reporting success for later syncs; the cure is to open it afresh and look.
///
/// A file may be zeroed ahead: a sync of bytes that take the place of others needs no change of the file's size, and so no
/// commit of the file system's journal, which is most of what it costs. Whoever reads such a file knows its own end; `trim` cuts
/// what is left over. Such a file is written past the page cache where the file system can do that (`BlockBuffer`).
///
/// Not for several threads at once.
package final class AppendFile: @unchecked Sendable {
    // Unchecked: used under its owner's lock or by one thread.
    private let file: Descriptor
    /// The end of a file that is written past the page cache.
    private var blocks: BlockBuffer?
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
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | position
        self.zeroAheadBytes = BlockBuffer.roundedUp(zeroAheadBytes)
        file = try Self.open(path, flags, mode, &blocks, zeros: zeroAheadBytes > 0 && isNew ? self.zeroAheadBytes : 0)
        size = blocks == nil ? try file.size() : 0
        allocated = blocks == nil ? size : self.zeroAheadBytes
        if isNew { try DurableFile.syncDirectory(DurableFile.parent(of: path)) }
    }

    /// - Parameters:
    ///   - blocks: set when the file is written past the page cache.
    ///   - zeros: how many to begin a new file with; 0 for a file that is written through the cache.
    private static func open(_ path: String, _ flags: Int32, _ mode: UInt32, _ blocks: inout BlockBuffer?, zeros: Int)
        throws(StorageError) -> Descriptor
    {
        if zeros > 0, let file = try? Descriptor(opening: path, flags | consilium_direct, mode: mode) {
            let buffer = BlockBuffer()
            if (try? buffer.writeZeros(to: file, in: 0..<zeros)) != nil {
                blocks = buffer
                return file
            }
            try file.truncate(to: 0)
        }
        return try Descriptor(opening: path, flags, mode: mode)
    }

    /// Adds bytes at the end.
    package func append(_ bytes: [UInt8]) throws(StorageError) { try append(pieces: [bytes]) }

    /// Adds pieces at the end, one behind the other, with one write unless they are long.
    package func append(pieces: [[UInt8]]) throws(StorageError) {
        try refuseIfPoisoned()
        let count = pieces.reduce(0) { $0 + $1.count }
        do {
            if zeroAheadBytes == 0 {
                try file.write(Self.joined(pieces))
                allocated = size + count
                size += count
            } else {
                // As much as is zeroed at a time pays for its own change of size.
                if size + count > allocated, count < zeroAheadBytes { try zeroAhead(size + count) }
                try put(pieces)
                allocated = max(allocated, BlockBuffer.roundedUp(size))
            }
        } catch {
            isPoisoned = true
            throw error
        }
    }

    /// Writes behind the last byte, where zeros are.
    private func put(_ pieces: [[UInt8]]) throws(StorageError) {
        guard let blocks else {
            let bytes = Self.joined(pieces)
            try file.write(bytes, at: size)
            return size += bytes.count
        }
        var end = size
        for piece in pieces {
            var rest = piece[...]
            while !rest.isEmpty {
                let taken = blocks.add(rest)
                end += taken
                rest = rest.dropFirst(taken)
                if !rest.isEmpty { try blocks.write(to: file, at: end - blocks.count) }
            }
        }
        if end > size { try blocks.write(to: file, at: end - blocks.count) }
        size = end
    }

    private static func joined(_ pieces: [[UInt8]]) -> [UInt8] {
        guard pieces.count != 1 else { return pieces[0] }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(pieces.reduce(0) { $0 + $1.count })
        for piece in pieces { bytes += piece }
        return bytes
    }

    /// Writes zeros from what is there up to some way beyond `end`.
    private func zeroAhead(_ end: Int) throws(StorageError) {
        let next = BlockBuffer.roundedUp(end) + zeroAheadBytes
        if blocks == nil {
            try file.write([UInt8](repeating: 0, count: next - size), at: size)
        } else {
            try BlockBuffer().writeZeros(to: file, in: BlockBuffer.roundedUp(allocated)..<next)
        }
        allocated = next
    }

    /// To be called when bytes were changed on disk that this object has appended: the last block is written again with what
    /// comes next.
    package func refresh() throws(StorageError) {
        guard let blocks, blocks.count > 0 else { return }
        try blocks.reload(from: file, at: size - blocks.count)
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
