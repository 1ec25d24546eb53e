import CShims

/// What becomes of memory that the process no longer uses.
package enum ProcessMemory {
    /// Keeps freed memory for the next use instead of giving it back at once, up to `bytes` of each heap (a thread has one).
    /// A process that takes a megabyte for each large request spends a tenth of its time on fresh pages otherwise. Without
    /// effect where the C library has no such setting.
    package static func keepFreed(bytes: Int) {
        precondition((0...1 << 30).contains(bytes), "an amount that a heap can have")
        consilium_keep_freed_memory(Int32(bytes))
    }
}
