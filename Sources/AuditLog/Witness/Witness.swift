// A witness keeps one file per log, named by SHA-256 of the log's origin: the latest checkpoint it cosigned, with its own
// cosignature in it. Check, write and answer happen under one lock, and the file is durable before a cosignature leaves:
// a witness that restarts knows everything it ever signed.
import Cryptography
import Storage
import Telemetry

/// Cosigns the checkpoints of known logs, never two that disagree. Safe to use from many threads.
package final class Witness: Sendable {
    /// Logs one witness takes on.
    package static let logsMax = 4096

    private let directory: String
    private let signer: NoteSigner
    private let clock: any Clock
    private let logs: Locked<[KeyName: WitnessedLog]>
    private let onFork: @Sendable (ForkEvidence, _ path: String) -> Void

    /// Opens a witness.
    /// - Parameters:
    ///   - directory: its state; made when it is not there.
    ///   - name: the witness's key name.
    ///   - logs: verifier keys of the logs it knows, each named by its origin.
    ///   - onFork: called when a log has signed two heads that cannot be reconciled, after the evidence is on disk;
    ///     it must not call this witness.
    /// - Throws: `corrupt` when a kept state is not one of its log, `storage`.
    package init(
        directory: String, name: String, signer: SigningKey, logs keys: [VerifierKey],
        clock: any Clock,
        onFork: @escaping @Sendable (ForkEvidence, _ path: String) -> Void = { _, _ in }
    ) throws(AuditLogError) {
        guard let name = KeyName(name) else {
            throw .note(.malformed("the name of a witness is a key name"))
        }
        self.directory = directory
        self.signer = NoteSigner(name: name, kind: .witness, key: signer)
        self.clock = clock
        self.onFork = onFork
        try storage { () throws(StorageError) in try DurableFile.createDirectory(directory) }
        var logs: [KeyName: WitnessedLog] = [:]
        for key in keys { logs[key.name] = try Self.load(key, directory: directory) }
        self.logs = Locked(logs)
    }

    /// The key that checks this witness's cosignatures.
    package var verifierKey: VerifierKey { signer.verifierKey }

    /// Takes on another log.
    package func add(_ key: VerifierKey) throws(AuditLogError) {
        let log = try Self.load(key, directory: directory)
        logs.withLock { logs in
            if logs[key.name] == nil && logs.count < Self.logsMax { logs[key.name] = log }
        }
    }

    /// The latest checkpoint of a log that this witness cosigned, for `GET <prefix>/<hex of SHA-256 of origin>/checkpoint`.
    package func latest(originHash: String) -> SignedNote? {
        logs.withLock { logs in logs.values.first { Self.fileName($0.key) == originHash }?.latest }
    }

    /// The latest checkpoint of a log by its origin.
    package func latest(origin: String) -> SignedNote? {
        guard let name = KeyName(origin) else { return nil }
        return logs.withLock { $0[name]?.latest }
    }

    /// Answers `POST <prefix>/add-checkpoint`.
    package func addCheckpoint(_ body: [UInt8]) -> WitnessReply {
        let request: AddCheckpoint
        do {
            request = try AddCheckpoint(body)
        } catch {
            return .malformed("\(error)")
        }
        return addCheckpoint(request)
    }

    /// The same for a request that was parsed.
    package func addCheckpoint(_ request: AddCheckpoint) -> WitnessReply {
        guard let name = KeyName(request.origin) else { return .unknownOrigin }
        return logs.withLock { logs in
            guard var log = logs[name] else { return .unknownOrigin }
            switch log.decide(request) {
            case .refuse(let reply): return reply
            case .fork(let head, let reply):
                return self.keepEvidence(log, against: request.checkpoint, size: head.size) ?? reply
            case .accept(let head, let note):
                let line = signer.cosign(
                    note.text, timeSeconds: UInt64(max(0, clock.now().milliseconds / 1000)))
                let kept = self.ownSignature(note, of: log.key).adding([line])
                do throws(StorageError) {
                    try DurableFile.writeAtomically(
                        kept.bytes, to: "\(directory)/\(Self.fileName(log.key))")
                } catch {
                    return .unavailable(
                        "the witness cannot keep its state: \(error.operation) failed")
                }
                log.record(kept, head: head)
                logs[name] = log
                return .cosigned(Array(line.line.utf8))
            }
        }
    }

    /// Writes the evidence once; gives a reply only when that fails.
    private func keepEvidence(_ log: WitnessedLog, against note: SignedNote, size: UInt64)
        -> WitnessReply?
    {
        guard let latest = log.latest else { return nil }
        let evidence = ForkEvidence(
            key: log.key, first: latest, second: ownSignature(note, of: log.key))
        let path = "\(directory)/fork-\(Self.fileName(log.key))-\(size).json"
        do throws(StorageError) {
            if !DurableFile.exists(path) {
                try DurableFile.writeAtomically(evidence.bytes, to: path)
            }
            onFork(evidence, path)
        } catch {
            return .unavailable("the witness cannot keep evidence: \(error.operation) failed")
        }
        return nil
    }

    /// The note with the log's own signature only: lines of others are not ours to keep.
    private func ownSignature(_ note: SignedNote, of key: VerifierKey) -> SignedNote {
        SignedNote(
            text: note.text,
            signatures: note.signatures.filter { $0.keyID == key.keyID && $0.name == key.name })
    }

    private static func load(_ key: VerifierKey, directory: String) throws(AuditLogError)
        -> WitnessedLog
    {
        let path = "\(directory)/\(fileName(key))"
        guard DurableFile.exists(path) else { return WitnessedLog(key: key) }
        let bytes = try storage { () throws(StorageError) in
            try DurableFile.read(path, maxBytes: SignedNote.bytesMax)
        }
        do {
            return try WitnessedLog(key: key, latest: SignedNote(bytes))
        } catch {
            throw .corrupt(file: path, problem: "is not a checkpoint of this log: \(error)")
        }
    }

    private static func fileName(_ key: VerifierKey) -> String {
        SHA256.hash(Array(key.name.text.utf8)).hex
    }
}
