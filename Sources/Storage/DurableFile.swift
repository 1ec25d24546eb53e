import CShims
import Glibc

/// Whole files, written so that a crash leaves either the old or the new one.
package enum DurableFile {
    /// Temporary name, write, sync, rename, sync of the directory. Two writers of one path take turns.
    ///
    /// - Parameter mode: permission bits of the new file.
    /// - Throws: `StorageError`; the old file is then untouched.
    package static func writeAtomically(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600)
        throws(StorageError)
    {
        let temporary = path + ".new"
        let file = try claim(temporary)
        do {
            try file.prepare(mode: mode)
            try file.write(bytes)
            try file.synchronise()
        } catch {
            _ = unsafe unlink(temporary)
            throw error
        }
        guard unsafe Glibc.rename(temporary, path) == 0 else {
            let code = errno
            _ = unsafe unlink(temporary)
            throw StorageError("replace", path, code: code)
        }
        try syncDirectory(parent(of: path))
    }

    /// Opens a temporary file that nobody else writes, whether a crash left one or not. Its lock is held by
    /// the open file and not by this process, so that it also keeps out other threads.
    private static func claim(_ temporary: String) throws(StorageError) -> Descriptor {
        while true {
            let file = try Descriptor(
                opening: temporary, O_WRONLY | O_CREAT | O_NOFOLLOW, as: "create")
            try file.lock(isWaiting: true)
            // The one that held the lock before may have renamed or removed the file.
            if file.isStillAtItsPath { return file }
        }
    }

    /// The bytes of a file. Cost: its size, once.
    ///
    /// - Throws: `StorageError` when it cannot be read or is larger than `maxBytes`.
    package static func read(_ path: String, maxBytes: Int) throws(StorageError) -> [UInt8] {
        try Descriptor(opening: path, O_RDONLY).read(max: maxBytes)
    }

    /// Makes a directory and its missing parents, each with `mode`; one that exists is left alone.
    package static func createDirectory(_ path: String, mode: UInt32 = 0o700) throws(StorageError) {
        if isDirectory(path) { return }
        let above = parent(of: path)
        if above != path, !above.isEmpty { try createDirectory(above, mode: mode) }
        guard unsafe mkdir(path, mode) == 0 || errno == EEXIST else {
            throw StorageError("create", path, code: errno)
        }
        guard isDirectory(path) else { throw StorageError("create", path, code: ENOTDIR) }
        if !above.isEmpty { try syncDirectory(above) }
    }

    /// Makes the names in a directory durable.
    package static func syncDirectory(_ path: String) throws(StorageError) {
        try Descriptor(opening: path, O_RDONLY | O_DIRECTORY).synchroniseWithMetadata()
    }

    /// Removes a file; one that is not there is fine.
    package static func remove(_ path: String) throws(StorageError) {
        guard unsafe unlink(path) == 0 || errno == ENOENT else {
            throw StorageError("remove", path, code: errno)
        }
    }

    /// Removes an empty directory.
    package static func removeDirectory(_ path: String) throws(StorageError) {
        guard unsafe rmdir(path) == 0 || errno == ENOENT else {
            throw StorageError("remove", path, code: errno)
        }
    }

    /// Gives a file that is durable another name of the same file system, in place of what has it.
    package static func rename(_ path: String, to target: String) throws(StorageError) {
        guard unsafe Glibc.rename(path, target) == 0 else { throw StorageError("rename", path, code: errno) }
        try syncDirectory(parent(of: target))
    }

    /// Names in a directory, sorted, without `.` and `..`.
    package static func list(_ path: String) throws(StorageError) -> [String] {
        guard let directory = unsafe opendir(path) else {
            throw StorageError("list", path, code: errno)
        }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        errno = 0
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
            errno = 0
        }
        guard errno == 0 else { throw StorageError("list", path, code: errno) }
        return names.sorted()
    }

    /// Whether something is at the path (a link counts as what it points to).
    package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Whether a directory is at the path.
    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Size in bytes.
    package static func size(_ path: String) throws(StorageError) -> Int {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw StorageError("look at", path, code: errno)
        }
        return Int(status.st_size)
    }

    /// The directory that holds a path; `.` for a bare name.
    package static func parent(of path: String) -> String {
        var bytes = Array(path.utf8)
        while bytes.count > 1, bytes.last == 0x2f { bytes.removeLast() }
        guard let slash = bytes.lastIndex(of: 0x2f) else { return "." }
        return slash == 0 ? "/" : String(decoding: bytes[..<slash], as: UTF8.self)
    }
}

extension DurableFile {
    /// Swaps the files behind two names of one file system, in one step. No inode is made or freed, which
    /// is what makes it cheaper than writing anew and renaming.
    ///
    /// - Returns: false where the file system cannot, or a name is missing; nothing has changed then.
    package static func exchange(_ one: String, _ other: String) -> Bool {
        unsafe consilium_exchange_names(one, other) == 0
    }
}
