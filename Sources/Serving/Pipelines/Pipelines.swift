// The pipelines of a node. Their documents lie under `pipelines/<digest>.json` and stay there, so that a decision can be explained
// later; which one a name stands for is a fold over entries `configuration.changed` with the detail `pipeline`.

import AuditLog
import Codec
import Cryptography
import Storage
import Telemetry

final class Pipelines: Sendable {
    private let directory: String
    private let current = Locked<[String: PipelineDocument]>([:])

    static let pipelinesMax = 64

    /// - Parameter named: what the log says: the document that each name stands for.
    /// - Throws: `ServingError.deployment` when a document that is in force cannot be read.
    init(directory: String, _ named: [String: Digest]) throws(ServingError) {
        self.directory = directory + "/pipelines"
        do { try DurableFile.createDirectory(self.directory, mode: 0o700) } catch { throw .deployment(problem: "\(error)") }
        for (name, digest) in named {
            let document = try document(digest)
            current.withLock { $0[name] = document }
        }
    }

    /// Takes an entry into account.
    static func fold(_ entry: StoredEntry, into named: inout [String: Digest]) {
        guard entry.type == .configurationChanged, let name = entry.model else { return }
        switch entry.details["pipeline"]?.stringValue {
        case "set": named[name] = entry.payloadDigest
        case "removed": named[name] = nil
        default: break
        }
    }

    /// The pipelines in force, by name.
    var all: [String: PipelineDocument] { current.withLock { $0 } }

    /// A document that was ever in force.
    func document(_ digest: Digest) throws(ServingError) -> PipelineDocument {
        do {
            let path = directory + "/" + digest.hex + ".json"
            let document = try PipelineDocument(parsing: DurableFile.read(path, maxBytes: ServingLimits.bodyBytes), dialect: .strict)
            guard document.digest == digest else { throw ServingError.deployment(problem: "the pipeline \(path) was changed") }
            return document
        } catch let error as ServingError {
            throw error
        } catch {
            throw .deployment(problem: "a pipeline's document cannot be read: \(error)")
        }
    }

    /// Puts a document in force, after its entry.
    func set(_ document: PipelineDocument, _ log: () throws(ServingError) -> Void) throws(ServingError) {
        guard all[document.name] != nil || all.count < Self.pipelinesMax else {
            throw .deployment(problem: "there are \(Self.pipelinesMax) pipelines already; remove one first")
        }
        do {
            try DurableFile.writeAtomically(document.bytes, to: directory + "/" + document.digest.hex + ".json", mode: 0o600)
        } catch {
            throw .deployment(problem: "\(error)")
        }
        try log()
        current.withLock { $0[document.name] = document }
    }

    func remove(_ name: String, _ log: () throws(ServingError) -> Void) throws(ServingError) {
        guard all[name] != nil else { throw .unknownModel }
        try log()
        current.withLock { $0[name] = nil }
    }
}
