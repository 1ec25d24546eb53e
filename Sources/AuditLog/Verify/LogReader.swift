import Cryptography

/// Reads a log through its files only: a directory that another process is writing, a copy, a URL. Entries are checked
/// to be canonical, not to be in the tree; `AuditVerifier` does that for all, `receipt` for one.
package struct LogReader<Source: TileSource>: Sendable {
    package let verifierKey: VerifierKey
    /// The signed checkpoint that was read at opening; the reader does not see entries behind it.
    package let checkpoint: SignedNote
    package let head: Checkpoint
    private let source: Source

    /// Reads key and checkpoint, and checks the signature.
    /// - Parameter key: the key you trust; nil takes the one in the log's `vkey` file.
    package init(_ source: Source, verifierKey key: String? = nil) throws(AuditFinding) {
        self.source = source
        verifierKey = try AuditVerifier.key(source, expected: key)
        guard let bytes = try AuditVerifier.read(source, AuditVerifier.headFile) else {
            throw .missing(file: AuditVerifier.headFile)
        }
        do throws(NoteError) {
            checkpoint = try SignedNote(bytes)
            head = try Checkpoint(
                text: OpenedNote(checkpoint, known: [verifierKey]).text,
                origin: verifierKey.name.text)
        } catch {
            throw .head(file: AuditVerifier.headFile, error)
        }
    }

    /// The bytes of the entries of one bundle, in order; `index` below size / 256 rounded up.
    package func bundle(_ index: UInt64) throws(AuditFinding) -> [[UInt8]] {
        let width = Int(min(256, head.size - index * 256))
        let path = TilePath(.entries, index: index, width: width)
        let (bytes, file) = try AuditVerifier.readWidth(path, source: source) {
            EntryBundle.prefix($0, count: width)
        }
        guard let entries = EntryBundle.entries(bytes), entries.count == width else {
            throw .file(file, problem: "is not \(width) entries, each with its length before it")
        }
        return entries.map { Array($0) }
    }

    /// Calls `body` with every entry from `start` on.
    /// - Throws: `AuditFinding`, or what `body` throws.
    package func forEach(from start: UInt64 = 0, _ body: (StoredEntry) throws -> Void) throws {
        var index = start
        while index < head.size {
            let first = index & ~255
            for bytes in try bundle(first / 256).dropFirst(Int(index - first)) {
                try body(try Self.parse(bytes, index, first / 256))
                index += 1
            }
        }
    }

    /// The receipt of one entry, checked before it is given.
    /// - Parameter note: the checkpoint it leads to, such as one with cosignatures; the published one by default.
    /// - Throws: a finding on the head when there is no such entry or the note is not a head of this log.
    package func receipt(_ index: UInt64, checkpoint note: SignedNote? = nil) throws(AuditFinding) -> TlogProof {
        let end = try note.map { note throws(AuditFinding) in try opened(note) } ?? head
        guard index < end.size, end.size <= head.size else {
            throw .file(
                AuditVerifier.headFile,
                problem: "has \(min(end.size, head.size)) entries, none with number \(index)")
        }
        let entry = try self.entry(index)
        let hashes = try SourceTree(source: source, size: head.size).inclusion(index, end.size)
        let isRight = MerkleProof.includes(
            leafHash: MerkleTree.leafHash(entry), index: index, size: end.size, proof: hashes,
            root: end.root)
        guard isRight else {
            throw .entry(
                index, file: TilePath(.entries, index: index / 256).text,
                problem: "does not lead to the signed root")
        }
        return TlogProof(index: index, hashes: hashes, checkpoint: note ?? checkpoint)
    }

    /// The bytes of one entry, `index` below the size. Reads one bundle.
    package func entry(_ index: UInt64) throws(AuditFinding) -> [UInt8] {
        try bundle(index / 256)[Int(index % 256)]
    }

    private func opened(_ note: SignedNote) throws(AuditFinding) -> Checkpoint {
        do throws(NoteError) {
            return try Checkpoint(
                text: OpenedNote(note, known: [verifierKey]).text, origin: verifierKey.name.text)
        } catch {
            throw .head(file: AuditVerifier.headFile, error)
        }
    }

    private static func parse(_ bytes: [UInt8], _ index: UInt64, _ bundle: UInt64)
        throws(AuditFinding) -> StoredEntry
    {
        do {
            return try StoredEntry(bytes)
        } catch {
            throw .entry(index, file: TilePath(.entries, index: bundle).text, problem: "\(error)")
        }
    }
}
