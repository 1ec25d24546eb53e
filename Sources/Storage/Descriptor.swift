// Every system call of this module, each wrapped once. Interrupted calls are repeated, except for a
// failed sync: after that the state of the file is unknown and only a fresh look at the disk helps.

import Glibc

/// An open file; closed when it goes away.
struct Descriptor: ~Copyable {
    let number: Int32
    let path: String

    init(opening path: String, _ flags: Int32, mode: UInt32 = 0o600, as operation: String = "open")
        throws(StorageError)
    {
        let number = repeated { unsafe Glibc.open(path, flags | O_CLOEXEC, mode) }
        guard number >= 0 else { throw StorageError(operation, path, code: errno) }
        self.number = number
        self.path = path
    }

    deinit { _ = Glibc.close(number) }

    func write(_ bytes: [UInt8]) throws(StorageError) {
        var offset = 0
        while offset < bytes.count {
            let start = offset
            let count = unsafe bytes.withUnsafeBytes { buffer in
                // In bounds: `start` is below `bytes.count`.
                repeated {
                    unsafe Glibc.write(number, buffer.baseAddress! + start, buffer.count - start)
                }
            }
            guard count > 0 else {
                throw StorageError("write", path, code: count == 0 ? ENOSPC : errno)
            }
            offset += count
        }
    }

    func write(_ bytes: [UInt8], at position: Int) throws(StorageError) {
        let code = unsafe bytes.withUnsafeBytes { unsafe put($0, at: position) }
        if code != 0 { throw StorageError("write", path, code: code) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at position: Int) throws(StorageError) {
        let code = unsafe put(bytes, at: position)
        if code != 0 { throw StorageError("write", path, code: code) }
    }

    /// - Returns: 0, or the error's number.
    private func put(_ bytes: UnsafeRawBufferPointer, at position: Int) -> Int32 {
        var offset = 0
        while offset < bytes.count {
            // In bounds: `offset` is below `bytes.count`.
            let count = repeated {
                unsafe Glibc.pwrite(number, bytes.baseAddress! + offset, bytes.count - offset, off_t(position + offset))
            }
            guard count > 0 else { return count == 0 ? ENOSPC : errno }
            offset += count
        }
        return 0
    }

    /// Fills the buffer with the file's bytes from a position on.
    func read(into bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(StorageError) {
        let count = repeated { unsafe Glibc.pread(number, bytes.baseAddress, bytes.count, off_t(position)) }
        guard count == bytes.count else {
            throw StorageError("read", path, code: count < 0 ? errno : EIO)
        }
    }

    func read(max: Int) throws(StorageError) -> [UInt8] {
        var result: [UInt8] = []
        // What `stat` says is a guess that saves copies: the file may grow, and devices say 0.
        result.reserveCapacity(min(try size(), max) + 1)
        while result.count <= max {
            let want = min(
                1 << 20, Swift.max(result.capacity, 1 << 12) - result.count, max - result.count + 1)
            var failed: Int32 = 0
            let chunk = unsafe [UInt8](unsafeUninitializedCapacity: Swift.max(want, 1)) {
                buffer, count in
                // In bounds: at most the capacity of the buffer is read.
                let got = repeated { unsafe Glibc.read(number, buffer.baseAddress, buffer.count) }
                if got < 0 { failed = errno }
                count = Swift.max(0, got)
            }
            guard failed == 0 else { throw StorageError("read", path, code: failed) }
            if chunk.isEmpty { return result }
            result += chunk
        }
        throw StorageError("read", path, reason: "it is larger than the limit of \(max) bytes")
    }

    /// Takes the file's lock (flock), which goes with the descriptor.
    func lock(isWaiting: Bool) throws(StorageError) {
        let kind = isWaiting ? LOCK_EX : LOCK_EX | LOCK_NB
        guard repeated({ flock(number, kind) }) == 0 else {
            throw StorageError("lock", path, code: errno)
        }
    }

    /// Whether the path still names this file.
    var isStillAtItsPath: Bool {
        var (own, named) = (stat(), stat())
        guard unsafe fstat(number, &own) == 0, unsafe lstat(path, &named) == 0 else { return false }
        return own.st_dev == named.st_dev && own.st_ino == named.st_ino
    }

    /// Makes an old file as good as a new one: empty, with this mode.
    func prepare(mode: UInt32) throws(StorageError) {
        guard fchmod(number, mode) == 0 else {
            throw StorageError("set the mode of", path, code: errno)
        }
        try truncate(to: 0)
    }

    func synchronise() throws(StorageError) {
        guard fdatasync(number) == 0 else { throw StorageError("sync", path, code: errno) }
    }

    func synchroniseWithMetadata() throws(StorageError) {
        guard fsync(number) == 0 else { throw StorageError("sync", path, code: errno) }
    }

    func size() throws(StorageError) -> Int {
        var status = stat()
        guard unsafe fstat(number, &status) == 0 else {
            throw StorageError("look at", path, code: errno)
        }
        return Int(status.st_size)
    }

    func truncate(to size: Int) throws(StorageError) {
        guard repeated({ Int(ftruncate(number, off_t(size))) }) == 0 else {
            throw StorageError("cut", path, code: errno)
        }
    }
}

/// Repeats a call that a signal interrupted.
func repeated<Result: FixedWidthInteger & SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
