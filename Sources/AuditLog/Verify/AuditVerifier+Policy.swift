import Storage

extension AuditVerifier {
    /// What a log shows under a policy.
    package struct PolicyReport: Equatable, Sendable {
        /// The check of all files.
        package let log: AuditReport
        /// The head that met the quorum; its size is how many entries the witnesses vouch for.
        package let cosigned: Checkpoint
        /// Names of the policy's witnesses that signed that head, sorted.
        package let cosigners: [String]
    }

    /// Checks the log in a directory, and that a quorum of the policy's witnesses vouches for a beginning of it.
    /// The quorum is looked for on the published head, then on the latest head that came back from the witnesses
    /// (`AuditVerifier.cosignedHead`). An older head counts only if the log's files lead to its root.
    /// Cost: `verify`, and a proof's worth of tiles.
    /// - Throws: the first finding; `noQuorum` as a finding on the head when too few of the witnesses cosigned.
    package static func verify(
        directory: String, policy: TrustPolicy, progress: ProgressReport? = nil
    ) throws(AuditFinding) -> PolicyReport {
        try verify(
            DirectorySource(directory), cosigned: try cosignedHead(ofLog: directory), policy: policy,
            progress: progress)
    }

    /// The same for a log from any source.
    /// - Parameters:
    ///   - kept: the latest head that came back from the witnesses, not verified; nil asks the source for its file
    ///     `cosigned`.
    ///   - threads: how many read at the same time.
    package static func verify(
        _ source: some TileSource, cosigned kept: [UInt8]? = nil, policy: TrustPolicy, threads: Int = 2,
        progress: ProgressReport? = nil
    ) throws(AuditFinding) -> PolicyReport {
        let key = try key(source, expected: nil)
        guard policy.logs.contains(key) else { throw .otherKey }
        let report = try verify(source, verifierKey: key.text, threads: threads, progress: progress)
        guard let published = try read(source, headFile) else { throw .missing(file: headFile) }
        var candidates = [published]
        let cosigned = if let kept { kept as [UInt8]? } else { try read(source, cosignedFile) }
        if let cosigned { candidates.append(cosigned) }
        var refusal = NoteError.noQuorum
        for bytes in candidates {
            let cosigned: Checkpoint
            let note: SignedNote
            do throws(NoteError) {
                note = try SignedNote(bytes)
                cosigned = try policy.checkpoint(note)
            } catch {
                refusal = error
                continue
            }
            try check(cosigned, isBeginningOf: report, source: source)
            let names = (try? OpenedNote(note, known: policy.witnesses))?.signers.map(\.key.name.text) ?? []
            return PolicyReport(log: report, cosigned: cosigned, cosigners: names.sorted())
        }
        throw .head(file: headFile, refusal)
    }

    /// The latest head of the log in a directory that its witnesses cosigned, from the state beside the log; nil when
    /// there is none, as in a copy of the log alone. Not verified.
    package static func cosignedHead(ofLog directory: String) throws(AuditFinding) -> [UInt8]? {
        let path = StateDirectory(ofLog: directory).cosigned
        guard DurableFile.exists(path) else { return nil }
        do {
            return try DurableFile.read(path, maxBytes: SignedNote.bytesMax)
        } catch {
            throw .unreadable(.storage(error))
        }
    }

    private static func check(
        _ cosigned: Checkpoint, isBeginningOf report: AuditReport, source: some TileSource
    ) throws(AuditFinding) {
        // A published head may have grown since the files were checked; then the present files are asked.
        let size = max(report.size, try LogReader(source, verifierKey: report.verifierKey).head.size)
        guard cosigned.origin == report.origin, cosigned.size <= size else {
            throw .file(headFile, problem: "is behind the head that its witnesses cosigned: entries are gone")
        }
        guard try SourceTree(source: source, size: size).root(at: cosigned.size) == cosigned.root else {
            throw .file(
                headFile,
                problem: "is not a continuation of the head that its witnesses cosigned: keep both, they are evidence")
        }
    }
}
