/// Bytes under the name of their hash, so that a name can never mean two things.
package struct BlobStore: Sendable {
    private let directory: String
    private let digest: @Sendable ([UInt8]) -> String

    /// - Parameters:
    ///   - directory: made if it is not there.
    ///   - digest: the hash as 64 lower-case hexadecimal digits; passed in because this floor has no
    ///     cryptography.
    package init(_ directory: String, digest: @escaping @Sendable ([UInt8]) -> String)
        throws(StorageError)
    {
        try DurableFile.createDirectory(directory)
        self.directory = directory
        self.digest = digest
    }

    /// Stores bytes durably. Bytes that are there and whole are left; damaged ones are replaced.
    ///
    /// - Returns: their hash.
    @discardableResult
    package func put(_ bytes: [UInt8]) throws(StorageError) -> String {
        let name = digest(bytes)
        let path = try path(name)
        if contains(name), (try? get(name, maxBytes: bytes.count)) != nil {
            // Another thread may have put them there a moment ago.
            try DurableFile.syncDirectory(directory)
            return name
        }
        try DurableFile.writeAtomically(bytes, to: path)
        return name
    }

    /// Reads bytes and checks that they are what the name says.
    package func get(_ name: String, maxBytes: Int) throws(StorageError) -> [UInt8] {
        let path = try path(name)
        let bytes = try DurableFile.read(path, maxBytes: maxBytes)
        guard digest(bytes) == name else {
            throw StorageError(
                "read", path,
                reason:
                    "its content does not have the hash that its name says: it was changed or damaged"
            )
        }
        return bytes
    }

    /// Whether the name is stored.
    package func contains(_ name: String) -> Bool {
        guard let path = try? path(name) else { return false }
        return DurableFile.exists(path)
    }

    private func path(_ name: String) throws(StorageError) -> String {
        let isHash =
            name.utf8.count == 64
            && name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        guard isHash else {
            throw StorageError(
                "read", directory, reason: "a blob is named by 64 hexadecimal digits")
        }
        return directory + "/" + name
    }
}
