// The files below a log's directory. They are written without a sync: until `sync` has made them durable, the pending
// segment (`PendingSegment`) holds everything they are made from. The checkpoint is renamed into place; a tile's name is
// new each time it is written, and nobody reads it before a checkpoint calls for it.
import Glibc
import Storage

/// Reads and writes tiles, bundles and the head of one log directory.
struct LogFiles: Sendable {
    /// Largest file of a log: a full bundle of largest entries.
    static let fileBytesMax = 256 * (2 + Int(UInt16.max))
    private static let fileMode: mode_t = 0o644
    private static let directoryMode: mode_t = 0o755

    let directory: String
    private let spares: SpareFiles

    init(directory: String) {
        self.directory = directory
        spares = SpareFiles(StateDirectory(ofLog: directory).path)
    }

    /// The file at a path below the log; nil when there is none.
    func read(_ path: String) throws(AuditLogError) -> [UInt8]? {
        let full = directory + "/" + path
        do {
            let bytes = try DurableFile.read(full, maxBytes: Self.fileBytesMax)
            // A partial file that loses its name while it is read may be written again at once, for another name.
            return path.contains(".p/") && !DurableFile.exists(full) ? nil : bytes
        } catch {
            if error.isNotFound || error.code == ENOTDIR { return nil }
            throw .storage(error)
        }
    }

    /// Writes a file under its final name, replacing what a crash may have left there.
    func write(_ bytes: [UInt8], to path: String) throws(AuditLogError) {
        let full = directory + "/" + path
        if try reuseSpare(for: path, bytes) { return }
        var file = open(full)
        if file < 0 && errno == ENOENT {
            try makeDirectories(above: path)
            file = open(full)
        }
        guard file >= 0 else { throw failure("create", path) }
        defer { _ = Glibc.close(file) }
        try write(bytes, to: file, path)
    }

    /// Writes into a file that is not needed any more and gives it the new name; false when there is none.
    private func reuseSpare(for path: String, _ bytes: [UInt8]) throws(AuditLogError) -> Bool {
        guard let spare = spares.take() else { return false }
        let file = unsafe Glibc.open(spare, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { _ = Glibc.close(file) }
        try write(bytes, to: file, path)
        guard ftruncate(file, off_t(bytes.count)) == 0 else { throw failure("cut", path) }
        let full = directory + "/" + path
        if unsafe rename(spare, full) == 0 { return true }
        guard errno == ENOENT else { throw failure("rename", path) }
        try makeDirectories(above: path)
        guard unsafe rename(spare, full) == 0 else { throw failure("rename", path) }
        return true
    }

    private func write(_ bytes: [UInt8], to file: Int32, _ path: String) throws(AuditLogError) {
        var offset = 0
        while offset < bytes.count {
            // Safe: the rest of the array, with its own count.
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress! + offset, $0.count - offset)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw failure("write", path) }
            offset += count
        }
    }

    /// Writes beside the file and renames, so that a reader sees the old or the new one.
    func replace(_ path: String, with bytes: [UInt8]) throws(AuditLogError) {
        let temporary = path + ".new"
        if let old = spares.replaced(path), try overwrite(old, bytes), DurableFile.exchange(old, directory + "/" + path) { return }
        try write(bytes, to: temporary)
        guard unsafe rename(directory + "/" + temporary, directory + "/" + path) == 0 else {
            throw failure("rename", path)
        }
    }

    /// Removes the partial forms of a tile but the one of width `kept`; all of them and their directory for 256.
    func removePartials(of tile: TilePath, keeping kept: Int) {
        let path = directory + "/" + tile.partialDirectory
        guard let names = try? DurableFile.list(path) else { return }
        // What cannot be removed stays behind as a file that no checkpoint calls for.
        for name in names where name != String(kept) { _ = unsafe unlink(path + "/" + name) }
        if kept == TilePath.widthMax { _ = unsafe rmdir(path) }
    }

    /// Takes one partial file out of the log, without looking for others; its inode serves again.
    func removePartial(_ tile: TilePath) {
        let path = directory + "/" + tile.text
        if !spares.keep(path) { _ = unsafe unlink(path) }
    }

    /// Puts bytes into a file that no reader sees; makes it if need be.
    private func overwrite(_ full: String, _ bytes: [UInt8]) throws(AuditLogError) -> Bool {
        let file = unsafe Glibc.open(full, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, Self.fileMode)
        guard file >= 0 else { return false }
        defer { _ = Glibc.close(file) }
        try write(bytes, to: file, full)
        guard ftruncate(file, off_t(bytes.count)) == 0 else { throw failure("cut", full) }
        return true
    }

    /// Removes the directory of partial forms of a tile that is now full.
    func removePartialDirectory(of tile: TilePath) {
        guard unsafe rmdir(directory + "/" + tile.partialDirectory) != 0, errno == ENOTEMPTY else {
            return
        }
        removePartials(of: tile, keeping: TilePath.widthMax)
    }

    /// Makes files and the directories they are in durable. A failure here must stop the log.
    func sync(_ paths: [String]) throws(AuditLogError) {
        var directories: Set<String> = []
        for path in paths {
            try syncOne(path, O_RDONLY)
            var above = path
            repeat {
                above = above.contains("/") ? DurableFile.parent(of: above) : ""
                directories.insert(above)
            } while !above.isEmpty
        }
        for path in directories.sorted() { try syncOne(path, O_RDONLY | O_DIRECTORY) }
    }

    private func syncOne(_ path: String, _ flags: Int32) throws(AuditLogError) {
        let file = unsafe Glibc.open(directory + "/" + path, flags | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw failure("open", path) }
        defer { _ = Glibc.close(file) }
        guard fsync(file) == 0 else { throw failure("sync", path) }
    }

    private func open(_ path: String) -> Int32 {
        unsafe Glibc.open(
            path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, Self.fileMode)
    }

    private func makeDirectories(above path: String) throws(AuditLogError) {
        var made = ""
        for part in path.split(separator: "/").dropLast() {
            made += (made.isEmpty ? "" : "/") + part
            guard unsafe mkdir(directory + "/" + made, Self.directoryMode) == 0 || errno == EEXIST
            else {
                throw failure("create", made)
            }
        }
    }

    private func failure(_ operation: String, _ path: String) -> AuditLogError {
        let code = errno
        return .storage(StorageError(operation, directory + "/" + path, code: code))
    }
}
