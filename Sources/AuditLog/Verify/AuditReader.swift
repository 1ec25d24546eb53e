/// Reads the entries of a log directory without owning it.
package enum AuditReader {
    /// All entries of the signed size, in order, in memory; `LogReader.forEach` does it bundle by bundle. The head's
    /// signature is checked with the log's own `vkey`; whether entries fit the tree is for `AuditVerifier`.
    /// - Throws: `AuditFinding` for a missing or badly framed bundle, or an entry that is not canonical.
    package static func entries(_ source: some TileSource) throws -> [StoredEntry] {
        var entries: [StoredEntry] = []
        try LogReader(source).forEach { entries.append($0) }
        return entries
    }
}
