/// Reads the entries of a log directory without owning it.
package enum AuditReader {
    /// All entries of the signed size, in order. The log is not verified here: use `AuditVerifier` for that.
    /// - Throws: `AuditFinding` for a missing or badly framed bundle.
    package static func entries(_ source: some TileSource) throws -> [StoredEntry] {
        guard let note = try source.read(AuditVerifier.headFile) else {
            throw AuditLogError.notALog(directory: "the directory", missing: AuditVerifier.headFile)
        }
        // Size is the second line of the head; the verifier checks its signature.
        let lines = note.split(separator: 0x0a)
        guard lines.count > 2, let size = DecimalNumber.parse(lines[1]) else {
            throw AuditLogError.corrupt(
                file: AuditVerifier.headFile, problem: "is not a checkpoint")
        }
        var entries: [StoredEntry] = []
        var index: UInt64 = 0
        while index < size {
            let width = Int(min(256, size - index))
            let path = TilePath(.entries, index: index / 256, width: width)
            guard let bytes = try source.read(path.text) ?? source.read(path.full.text) else {
                throw AuditLogError.corrupt(file: path.text, problem: "is missing")
            }
            guard let slices = EntryBundle.entries(bytes) else {
                throw AuditLogError.corrupt(file: path.text, problem: "is badly framed")
            }
            for entry in slices.prefix(width) { entries.append(try StoredEntry(Array(entry))) }
            index += UInt64(width)
        }
        return entries
    }
}
