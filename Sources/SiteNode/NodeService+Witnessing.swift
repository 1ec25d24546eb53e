// The node as a witness of other logs, and its own log's witnesses. `protocol/federation.md` §6.

import AuditLog
import Codec
import Cryptography
import Messages
import Telemetry

/// What a node knows of the witnesses of its own log.
struct OwnHeads {
    /// Entries that each witness has cosigned.
    var cosigned: [String: UInt64] = [:]
    /// The head that each was asked to cosign last.
    var asked: [String: (note: [UInt8], size: UInt64)] = [:]
}

extension NodeService {
    /// Between two requests to the witnesses, when the log has grown.
    static let headMilliseconds: UInt64 = 30_000

    /// Answers a request to cosign. The witness's state is durable before the answer leaves.
    func cosign(_ request: [UInt8]) throws {
        let reply = witness.addCheckpoint(request)
        let name = (try? AddCheckpoint(request))?.origin ?? ""
        if reply.status != 200, reply.status != 409 { logger.warning("witness.refused", [("log", .name(name)), ("status", .count(reply.status))]) }
        if name.utf8.count <= KeyName.bytesMax {
            try send(.witnessAnswer(WitnessAnswer(reply, origin: name, witness: directory.configuration.site, latest: witness.latest(origin: name))))
        }
        let found = forks.withLock { $0 }
        forks.withLock { $0 = [] }
        for (evidence, path) in found {
            metrics.count("consilium_log_forks_total", help: "Logs of which two heads were signed that cannot be reconciled")
            logger.error("log.fork", [("log", .name(evidence.key.name.text)), ("evidence", .name(path))])
            try perform(core.detectedFork(evidence, at: clock.now()))
        }
    }

    /// Takes on the logs of members that are new in the list.
    func vouchForMembers() throws {
        for key in core.witnessedLogs { try witness.add(key) }
    }

    /// What this node last cosigned of the coordinator's log: a coordinator that was restored from an old copy hears it first.
    var coordinatorHead: WitnessAnswer? {
        let origin = LogKeys.origin(federation: directory.configuration.federation, party: WitnessAnswer.coordinator)
        guard let latest = witness.latest(origin: origin), let head = try? Checkpoint(text: latest.text) else { return nil }
        return WitnessAnswer(.otherSize(head.size), origin: origin, witness: directory.configuration.site, latest: latest)
    }

    /// Asks the witnesses to cosign this node's log as it is now; those who have done so are not asked again.
    func requestCosignatures() {
        for (party, _) in core.ownWitnesses { ask(party) }
    }

    private func ask(_ party: String) {
        let size = log.head.size
        guard ownHeads.cosigned[party] != size else { return }
        do {
            let note = log.checkpoint
            let request = try log.addCheckpoint(from: ownHeads.cosigned[party] ?? 0, checkpoint: note)
            ownHeads.asked[party] = (note, try Checkpoint(text: request.checkpoint.text).size)
            try send(.witnessRequest(witness: party, request: request.bytes))
        } catch {
            logger.warning("witness.not-asked", [("witness", .name(party)), ("reason", .name("\(error)"))])
        }
    }

    /// A witness's answer about this node's log. One that kept a later head, or another history, stops the log.
    func take(_ answer: WitnessAnswer) throws {
        guard answer.origin == log.origin, let key = core.ownWitnesses.first(where: { $0.party == answer.witness })?.key,
            let asked = ownHeads.asked[answer.witness]
        else { return }
        switch answer.status {
        case 200:
            _ = try log.add(cosignatures: answer.body, of: [key], to: asked.note)
            ownHeads.cosigned[answer.witness] = asked.size
        case 409, 422:
            if !answer.latest.isEmpty {
                do { try log.confirm(witnessed: answer.latest) } catch .note {
                    logger.warning("witness.unusable", [("witness", .name(answer.witness))])
                    return
                } catch {
                    logger.error("log.stopped", [("reason", .name("\(error)"))])
                    throw error
                }
            }
            guard let size = answer.size, size <= log.size, ownHeads.cosigned[answer.witness] != size else { return }
            ownHeads.cosigned[answer.witness] = size
            ask(answer.witness)
        default:
            logger.warning("witness.refused", [("witness", .name(answer.witness)), ("status", .count(Int(answer.status)))])
        }
    }
}
