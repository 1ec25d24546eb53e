// Memory for writes that go past the page cache (O_DIRECT). Such a write starts at a block, is whole blocks long and comes from
// memory that is aligned to one; and it costs half of what a write into the cache and its writing back cost.

import Glibc

/// The last, partial block of a file and room for what is appended to it.
@safe final class BlockBuffer {
    /// What every file system that we know of is content with.
    static let blockBytes = 4096
    static let capacity = 512 << 10

    // Owned; aligned to `blockBytes`. Every access below stays within `capacity`.
    private let memory: UnsafeMutableRawPointer
    /// Bytes in it: the partial block, then what was added.
    private(set) var count = 0

    init() {
        unsafe memory = .allocate(byteCount: Self.capacity, alignment: Self.blockBytes)
    }

    deinit { unsafe memory.deallocate() }

    /// `number` rounded up to whole blocks.
    static func roundedUp(_ number: Int) -> Int { (number + blockBytes - 1) & ~(blockBytes - 1) }

    /// Adds as many bytes as there is room for.
    /// - Returns: how many.
    func add(_ bytes: ArraySlice<UInt8>) -> Int {
        let taken = min(bytes.count, Self.capacity - count)
        unsafe bytes.withUnsafeBytes { unsafe memory.advanced(by: count).copyMemory(from: $0.baseAddress!, byteCount: taken) }
        count += taken
        return taken
    }

    /// Writes everything, with zeros up to the end of the last block, and keeps the last block if it is partial.
    /// - Parameter position: where the first byte goes; the start of a block.
    func write(to file: borrowing Descriptor, at position: Int) throws(StorageError) {
        let whole = Self.roundedUp(count)
        unsafe memset(memory + count, 0, whole - count)
        try unsafe file.write(UnsafeRawBufferPointer(start: memory, count: whole), at: position)
        let rest = count % Self.blockBytes
        unsafe memmove(memory, memory + (count - rest), rest)
        count = rest
    }

    /// Writes zeros over a stretch of whole blocks. The buffer must be empty.
    func writeZeros(to file: borrowing Descriptor, in range: Range<Int>) throws(StorageError) {
        precondition(count == 0, "zeros take the place of what is kept")
        unsafe memset(memory, 0, min(range.count, Self.capacity))
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.capacity) {
            let length = min(Self.capacity, range.upperBound - start)
            try unsafe file.write(UnsafeRawBufferPointer(start: memory, count: length), at: start)
        }
    }

    /// Takes the partial block from the file again.
    func reload(from file: borrowing Descriptor, at position: Int) throws(StorageError) {
        try unsafe file.read(into: UnsafeMutableRawBufferPointer(start: memory, count: Self.blockBytes), at: position)
    }
}
