// `POST /v1/records/erase`: what is stored of a person or a prediction is overwritten. `protocol/audit-log.md` §7.
//
// The entry comes first and names the predictions, never the person; then records and salts go. A crash in between leaves
// an entry whose erasure the next start finishes, so an erasure that was answered has an entry and has happened.

import AuditLog
import Codec
import HTTP

extension PredictionService {
    /// Predictions that one entry names; more entries follow.
    static let erasedPerEntry = 100

    /// What a request wants erased.
    private enum Erasure: Sendable {
        case subject(String)
        case prediction(PredictionID)

        init(_ body: [UInt8]) throws(RequestRefusal) {
            let value = try? JSONValue.parse(
                body, dialect: .strict, limits: JSONLimits(bytesMax: ServingLimits.bodyBytes, depthMax: 2))
            guard let members = value?.objectValue, members.count == 1 else {
                throw .malformed("the body must be an object with subject or prediction")
            }
            if let text = members["subject"]?.stringValue, (1...ServingLimits.subjectBytes).contains(text.utf8.count) {
                self = .subject(text)
            } else if let text = members["prediction"]?.stringValue {
                guard let id = PredictionID(text) else { throw Self.nothing }
                self = .prediction(id)
            } else {
                throw .malformed(
                    "\"subject\" must be a text of 1 to \(ServingLimits.subjectBytes) bytes, \"prediction\" a prediction's id")
            }
        }

        static let nothing = RequestRefusal(404, .unknownPrediction, "nothing of this kind is stored at this node")
    }

    func erase(_ request: HTTPRequest, _ principal: Principal, _ responder: HTTPResponder) throws {
        let erasure = try Erasure(request.body)
        try worker.run { [self] in
            do {
                let ids =
                    switch erasure {
                    case .subject(let subject): try records.predictions(about: subject)
                    case .prediction(let id): try records.holds(id) ? [id] : []
                    }
                guard !ids.isEmpty else { throw Erasure.nothing }
                let counts = try erase(ids, actor: principal.identifier)
                noteDurable(nil)
                responder.respond(
                    .json([
                        "predictions": .integer(Int64(counts.predictions)), "outcomes": .integer(Int64(counts.outcomes)),
                    ]))
            } catch let refusal as RequestRefusal {
                refuse(.erase, refusal, responder)
            } catch {
                let error = error as? ServingError ?? .stopped
                noteDurable(error)
                refuse(.erase, RequestRefusal(error), responder)
            }
        }
    }

    /// Erases predictions with their outcomes, after the entries that say so.
    /// - Returns: how many of each there were. Blocks; not for a loop thread.
    func erase(_ ids: [PredictionID], actor: String) throws(ServingError) -> (predictions: Int, outcomes: Int) {
        for start in stride(from: 0, to: ids.count, by: Self.erasedPerEntry) {
            let named = ids[start..<min(start + Self.erasedPerEntry, ids.count)]
            try log.appendAndWait(
                LogEntry(
                    .recordsErased, actor: actor, role: AccessRole.operator.rawValue, site: configuration.site,
                    details: ["predictions": .array(named.map { .string($0.description) })]))
        }
        return try records.erase(ids)
    }

    /// The predictions whose records an entry says are erased; none for entries of other types.
    static func erasedPredictions(_ stored: StoredEntry) -> [PredictionID] {
        guard stored.type == .recordsErased else { return [] }
        return (stored.details["predictions"]?.arrayValue ?? []).compactMap { $0.stringValue.flatMap { PredictionID($0) } }
    }
}
