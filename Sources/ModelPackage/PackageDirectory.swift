// Packages on disk: a flat directory of regular files, named by the package digest.

import Codec
import Cryptography
import Glibc
import Storage

extension PackageContents {
    /// Reads every file of a package directory, nothing interpreted yet.
    /// - Throws: `PackageError.directory`, `.notRegular` for a link, directory or device, `.nameNotAllowed`,
    ///   `.tooLarge` (by the file's size, before it is read), `.malformed` for too many files.
    package init(directory: String) throws(PackageError) {
        guard try FileKind(directory) == .directory else {
            throw .directory(
                path: directory,
                problem: "it is not a directory; name the directory of a fetched package")
        }
        let names = try Self.list(directory)
        guard names.count <= PackageLimits.files else {
            throw .malformed(
                file: "directory",
                problem: "\(names.count) files, the limit is \(PackageLimits.files)")
        }
        var files: [String: [UInt8]] = [:]
        for name in names {
            guard PackageFile.isAllowed(name) else { throw .nameNotAllowed }
            guard case .file(let bytes) = try FileKind(directory + "/" + name) else {
                throw .notRegular(file: name)
            }
            let limit = PackageLimits.bytes(of: name)
            guard bytes <= limit else { throw .tooLarge(file: name, bytes: bytes, limit: limit) }
            do {
                files[name] = try DurableFile.read(directory + "/" + name, maxBytes: limit)
            } catch {
                throw .directory(path: directory, problem: "file \(name): \(error)")
            }
        }
        self.init(files: files)
    }

    private static func list(_ directory: String) throws(PackageError) -> [String] {
        do {
            return try DurableFile.list(directory)
        } catch {
            throw .directory(path: directory, problem: "\(error)")
        }
    }
}

extension VerifiedPackage {
    /// Reads a package directory and checks it as a whole; see `verify(_:trustedKey:)`.
    package static func verify(directory: String, trustedKey: VerifyingKey) throws(PackageError)
        -> VerifiedPackage
    {
        try verify(try PackageContents(directory: directory), trustedKey: trustedKey)
    }

    /// Writes the package to `<parent>/<digest>/`, durable when this returns. The signature is written last, so an
    /// interrupted write is a package without signature, which nothing accepts; writing again completes it.
    /// - Returns: the directory.
    /// - Throws: `PackageError.directory` when the disk refuses.
    @discardableResult
    package func write(under parent: String) throws(PackageError) -> String {
        let directory = parent + "/" + digest.hex
        try write(to: directory)
        return directory
    }

    /// The same into a directory of any name.
    package func write(to directory: String) throws(PackageError) {
        do {
            try DurableFile.createDirectory(directory, mode: 0o700)
            let rest = contents.files.keys.sorted().filter { $0 != PackageFile.signature }
            for name in rest + [PackageFile.signature] {
                try DurableFile.writeAtomically(
                    contents.files[name] ?? [], to: directory + "/" + name, mode: 0o600)
            }
        } catch {
            throw .directory(path: directory, problem: "\(error)")
        }
    }
}

/// What is at a path, links not followed.
private enum FileKind: Equatable {
    case directory
    case file(bytes: Int)
    case other

    init(_ path: String) throws(PackageError) {
        var status = stat()
        // Safe: the path is a C string for the call, `status` is ours.
        guard unsafe lstat(path, &status) == 0 else {
            throw .directory(
                path: path,
                problem: errno == ENOENT
                    ? "it does not exist" : "it cannot be looked at; check the permissions")
        }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: self = .directory
        case S_IFREG: self = .file(bytes: Int(status.st_size))
        default: self = .other
        }
    }
}
