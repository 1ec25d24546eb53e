/// All files of one package in memory, and the framing that carries them as one blob.
///
/// Nothing here is trusted: contents become a package only through `VerifiedPackage.verify`.
///
/// Bundle layout (`protocol/model-package.md` §6), big-endian:
/// ```
/// "consilium-bundle/1\n"   19 bytes
/// count                    u32
/// count × { name           u32 length + bytes
///           content        u32 length + bytes }   names strictly ascending by bytes
/// ```
/// Names ascend strictly, so one set of files has exactly one bundle.

import Codec

package struct PackageContents: Equatable, Sendable {
    /// File bytes by flat file name.
    package var files: [String: [UInt8]]

    package init(files: [String: [UInt8]]) {
        self.files = files
    }

    /// The first bytes of every bundle.
    package static let bundleMagic = Array("consilium-bundle/1\n".utf8)

    /// The most bytes a bundle can have: what a receiver passes as its blob limit.
    package static let bundleBytesMax =
        PackageLimits.totalBytes + PackageLimits.files * (PackageLimits.nameBytes + 8) + 64

    /// The files as one blob. Same files, same bytes.
    package func bundle() -> [UInt8] {
        var writer = ByteWriter(reserving: files.values.reduce(64) { $0 + $1.count + 80 })
        writer.raw(Self.bundleMagic)
        writer.u32(UInt32(files.count))
        for name in files.keys.sorted(by: Self.precedes) {
            writer.text(name)
            writer.lengthPrefixed(files[name] ?? [])
        }
        return writer.bytes
    }

    /// Reads a bundle.
    /// - Throws: `PackageError.malformed` for anything but the exact layout, `.tooLarge`, `.nameNotAllowed`.
    package init(bundle bytes: [UInt8]) throws(PackageError) {
        guard bytes.count <= Self.bundleBytesMax else {
            throw .tooLarge(file: "bundle", bytes: bytes.count, limit: Self.bundleBytesMax)
        }
        var reader = ByteReader(bytes)
        do {
            guard try reader.raw(Self.bundleMagic.count) == Self.bundleMagic else {
                throw PackageError.unknownFormat(file: "bundle")
            }
            files = try Self.readFiles(&reader)
            try reader.finish()
        } catch let error as PackageError {
            throw error
        } catch {
            throw .malformed(
                file: "bundle", problem: "the framing is truncated or has bytes left over")
        }
    }

    private static func readFiles(_ reader: inout ByteReader) throws -> [String: [UInt8]] {
        let count = Int(try reader.u32())
        guard count <= PackageLimits.files else {
            throw PackageError.malformed(
                file: "bundle", problem: "\(count) files, the limit is \(PackageLimits.files)")
        }
        var files: [String: [UInt8]] = [:]
        var previous: String?
        for _ in 0..<count {
            let name = try reader.text(maxBytes: PackageLimits.nameBytes)
            guard PackageFile.isAllowed(name) else { throw PackageError.nameNotAllowed }
            if let previous, !precedes(previous, name) {
                throw PackageError.malformed(
                    file: "bundle", problem: "file names are not in ascending order")
            }
            files[name] = try reader.lengthPrefixed(maxBytes: PackageLimits.bytes(of: name))
            previous = name
        }
        return files
    }

    private static func precedes(_ left: String, _ right: String) -> Bool {
        left.utf8.lexicographicallyPrecedes(right.utf8)
    }
}
