// What ties a stored decision to the log: its entry with a receipt for it, and what opens the commitments in the entry.
// `protocol/prediction-api.md` §6 says how a stranger checks it.

import AuditLog
import Codec
import Cryptography
import Telemetry

extension PredictionService {
    /// Entries are written after their ids are made; clocks that disagree by less than this cost no second search.
    private static let slackMilliseconds: Int64 = 1000

    /// The receipt of a decision; null where the log cannot be looked into or has pruned the entry.
    func receipt(_ stored: StoredDecision) throws(ServingError) -> JSONValue {
        guard let find = log.find else { return .null }
        let record = stored.record
        let name = Array("\"id\":\"\(record.id.description)\"".utf8)
        let start = Timestamp(milliseconds: Int64(record.id.milliseconds) - Self.slackMilliseconds)
        let logged: LoggedEntry?
        do {
            logged = try find(name, start) ?? find(name, Timestamp(milliseconds: 0))
        } catch {
            throw .logUnavailable(problem: "\(error)")
        }
        guard let logged else { return .null }
        var members: [String: JSONValue] = [
            "entry": .string(String(decoding: logged.bytes, as: UTF8.self)),
            "index": .integer(Int64(logged.index)),
            "proof": .string(String(decoding: logged.proof, as: UTF8.self)),
            "salt": .string(Hex.encode(record.salt(stored.row))),
        ]
        if record.count == 1 {
            members["input"] = .string(Hex.encode(stored.decision.inputBytes))
            members["output"] = .string(Hex.encode(stored.decision.outputBytes))
        } else {
            members["row"] = .integer(Int64(stored.row))
            members["rows"] = .integer(Int64(record.count))
            members["payload"] = .string(Hex.encode(record.payload(stored.row)))
            members["path"] = .array(record.proof(stored.row).map { .string($0.hex) })
        }
        return .object(members)
    }
}
