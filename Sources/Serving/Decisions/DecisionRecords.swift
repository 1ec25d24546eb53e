// Predictions and outcomes in the record stores of `AuditLog`: erasable payloads with the salts of their commitments.
//
// ```
// records/predictions/    one record per answered request, its rows found by their ids
// records/outcomes/       one record per outcome; the list per prediction is kept in memory
// ```

import AuditLog
import Telemetry

final class DecisionRecords: Sendable {
    /// Where the log's thread puts decisions before their entries.
    let predictions: RecordStore
    private let outcomeStore: RecordStore
    /// Outcomes of each prediction that has one, oldest first; the last one counts.
    private let outcomes: Locked<[PredictionID: [OutcomeRecord]]>

    /// Opens or makes the stores.
    /// - Throws: `ServingError.records`. Cost: both stores are read once, outcomes twice.
    init(directory: String) throws(ServingError) {
        do {
            predictions = try RecordStore(directory: directory + "/predictions")
            outcomeStore = try RecordStore(directory: directory + "/outcomes")
            var known: [PredictionID: [OutcomeRecord]] = [:]
            try outcomeStore.forEach { record in
                let outcome = try OutcomeRecord(record)
                known[outcome.prediction, default: []].append(outcome)
            }
            outcomes = Locked(known.mapValues { $0.sorted { $0.id < $1.id } })
        } catch {
            throw .records(path: directory, problem: "\(error)")
        }
    }

    /// Predictions that are stored and not erased.
    var predictionCount: Int { predictions.count }

    /// Stores an outcome and waits.
    func put(_ outcome: OutcomeRecord) throws(ServingError) {
        try reading {
            try outcomeStore.put(
                Record(id: outcome.id, kind: "outcome", subject: nil, salts: outcome.salt, payloads: outcome.body))
        }
        outcomes.withLock { $0[outcome.prediction, default: []].append(outcome) }
    }

    /// A stored prediction; nil when there is none or it was erased. Cost: one read.
    func decision(_ id: PredictionID) throws(ServingError) -> StoredDecision? {
        try reading {
            guard let (record, row) = try predictions.get(id) else { return nil }
            return StoredDecision(decision: try DecisionRecord(record, row: row), record: record, row: row)
        }
    }

    /// The outcome that counts for a prediction.
    func outcome(of id: PredictionID) -> OutcomeRecord? { outcomes.withLock { $0[id]?.last } }

    /// Every stored prediction with an outcome, with the one that counts and whom it is about, in order of ids.
    func labelled() throws(ServingError) -> [(decision: DecisionRecord, outcome: OutcomeRecord, subject: String?)] {
        var pairs: [(decision: DecisionRecord, outcome: OutcomeRecord, subject: String?)] = []
        for (id, known) in outcomes.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            guard let outcome = known.last, let stored = try decision(id) else { continue }
            pairs.append((stored.decision, outcome, stored.record.subject?.text))
        }
        return pairs
    }

    /// Predictions about a person that are stored, in the order of their making. Reads the whole store.
    func predictions(about subject: String) throws(ServingError) -> [PredictionID] {
        try reading { try predictions.rows(of: subject) }
    }

    /// Whether a prediction is stored.
    func holds(_ id: PredictionID) throws(ServingError) -> Bool { try reading { try predictions.contains(id) } }

    /// Erases predictions and their outcomes: persons, values and salts. What is not there is passed over. Outcomes go
    /// first, so that none outlives the prediction by which it is found.
    /// - Returns: how many of each there were.
    func erase(_ ids: [PredictionID]) throws(ServingError) -> (predictions: Int, outcomes: Int) {
        try reading {
            let known = outcomes.withLock { outcomes in ids.flatMap { outcomes[$0] ?? [] } }
            let outcomeCount = try outcomeStore.erase(known.map(\.id))
            let count = try predictions.erase(ids)
            outcomes.withLock { outcomes in for id in ids { outcomes[id] = nil } }
            return (count, outcomeCount)
        }
    }

    func close() {
        predictions.close()
        outcomeStore.close()
    }

    private func reading<Value>(_ body: () throws -> Value) throws(ServingError) -> Value {
        do { return try body() } catch { throw .records(path: "records", problem: "\(error)") }
    }
}
