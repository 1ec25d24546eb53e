import Glibc

@testable import Storage

/// A fresh directory that `body` may fill and that is removed afterwards.
func withDirectory(_ body: (String) throws -> Void) throws {
    let path = "/tmp/consilium-storage-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    try DurableFile.createDirectory(path)
    defer { removeTree(path) }
    try body(path)
}

private func removeTree(_ path: String) {
    // A link is removed and not followed.
    if (try? DurableFile.remove(path)) != nil { return }
    for name in (try? DurableFile.list(path)) ?? [] { removeTree(path + "/" + name) }
    try? DurableFile.removeDirectory(path)
}

/// Permission bits.
func mode(of path: String) -> UInt32 {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return .max }
    return status.st_mode & 0o777
}

/// The error of a body that must fail.
func failure(_ body: () throws(StorageError) -> Void) -> StorageError {
    do { try body() } catch { return error }
    return StorageError("nothing", "no error", reason: "it succeeded")
}
