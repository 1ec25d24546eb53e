/// Why a model package was refused. Every case names the file and says what to do; none repeats a value from inside it.
package enum PackageError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The directory itself cannot be used: absent, unreadable, a link, or a write to it failed.
    case directory(path: String, problem: String)
    /// A file the package must have is not there.
    case missing(file: String)
    /// A file is there that the signed manifest does not list.
    case unexpected(file: String)
    /// Something in the directory is not a regular file: a link, a directory, a device.
    case notRegular(file: String)
    /// A file name outside `[a-z0-9._-]{1,64}`, or with a leading dot. The name itself is not repeated.
    case nameNotAllowed
    /// A file is larger than its limit.
    case tooLarge(file: String, bytes: Int, limit: Int)
    /// A file's length is not the one the signed manifest states.
    case wrongSize(file: String, bytes: Int, expected: Int)
    /// A file's SHA-256 is not the one the signed manifest states.
    case wrongDigest(file: String)
    /// The manifest names a format this build does not read.
    case unknownFormat(file: String)
    /// A file does not follow its format; `problem` says where and which rule.
    case malformed(file: String, problem: String)
    /// The signature was made by another key than the trusted one (key ids shortened to 16 hex digits).
    case wrongKey(found: String, trusted: String)
    /// The signature does not belong to this manifest.
    case badSignature
    /// The parts do not fit together, e.g. tensor shapes and the model family.
    case inconsistent(problem: String)

    package var description: String {
        switch self {
        case .directory(let path, let problem):
            "package directory \(path): \(problem)"
        case .missing(let file):
            "package file \(file) is missing; fetch the package again, a copy was interrupted or a file was deleted"
        case .unexpected(let file):
            "package file \(file) is not listed in the signed manifest; remove it or fetch the package again"
        case .notRegular(let file):
            "package file \(file) is not a regular file; links and directories are refused, fetch the package again"
        case .nameNotAllowed:
            "the package holds a file whose name is not allowed; names are 1 to 64 of a-z 0-9 . _ - without a leading dot"
        case .tooLarge(let file, let bytes, let limit):
            "package file \(file) has \(bytes) bytes, the limit is \(limit); it was not made by this software or is damaged"
        case .wrongSize(let file, let bytes, let expected):
            "package file \(file) has \(bytes) bytes, the signed manifest says \(expected); it is truncated or was changed, fetch the package again"
        case .wrongDigest(let file):
            "package file \(file) does not have the SHA-256 that the signed manifest states; it was changed, fetch the package again"
        case .unknownFormat(let file):
            "package file \(file) has a format that this version does not read; upgrade consilium at this site"
        case .malformed(let file, let problem):
            "package file \(file): \(problem); fetch the package again or ask its publisher"
        case .wrongKey(let found, let trusted):
            "package file manifest.sig was signed by key \(found), this site trusts \(trusted); ask the coordinator's operator which key is right"
        case .badSignature:
            "package file manifest.sig does not match manifest.json; one of them was changed, fetch the package again"
        case .inconsistent(let problem):
            "the package contradicts itself: \(problem); ask its publisher for a corrected version"
        }
    }
}

/// The limits of a model package, checked before anything is read or allocated (`protocol/model-package.md` §2).
package enum PackageLimits {
    /// Bytes of `manifest.json`.
    package static let manifestBytes = 1 << 20
    /// Bytes of `manifest.sig`.
    package static let signatureBytes = 4096
    /// Bytes of any other file.
    package static let fileBytes = 64 << 20
    /// Bytes of all files together.
    package static let totalBytes = 128 << 20
    /// Number of files, manifest and signature included.
    package static let files = 16
    /// Bytes of a file name.
    package static let nameBytes = 64
    /// Bytes of a safetensors header. The format itself allows 100 000 000.
    package static let tensorHeaderBytes = 1 << 20
    /// Number of tensors in one file.
    package static let tensors = 4096
    /// Rank of a tensor.
    package static let tensorRank = 8

    /// The limit for one file by its name.
    package static func bytes(of name: String) -> Int {
        switch name {
        case PackageFile.manifest: manifestBytes
        case PackageFile.signature: signatureBytes
        default: fileBytes
        }
    }
}

/// The names of the files every package has.
package enum PackageFile {
    /// Manifest, signature over it, and parameters.
    package static let manifest = "manifest.json"
    package static let signature = "manifest.sig"
    package static let tensors = "model.safetensors"

    /// Whether a name may appear in a package: 1 to 64 of `a-z 0-9 . _ -`, no leading dot.
    package static func isAllowed(_ name: String) -> Bool {
        let bytes = name.utf8
        guard (1...PackageLimits.nameBytes).contains(bytes.count), bytes.first != UInt8(ascii: ".")
        else { return false }
        return bytes.allSatisfy { byte in
            (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte == 0x2e
                || byte == 0x5f || byte == 0x2d
        }
    }
}
