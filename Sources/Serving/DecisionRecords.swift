// Predictions and outcomes in the record stores of `AuditLog`: erasable payloads with the salts of their commitments.
//
// ```
// records/predictions/    one record per answered row, found by its id
// records/outcomes/       one record per outcome; the list per prediction is kept in memory
// ```

import AuditLog
import Telemetry

final class DecisionRecords: Sendable {
    private let predictions: RecordStore
    private let outcomeStore: RecordStore
    /// Outcomes of each prediction that has one, oldest first; the last one counts.
    private let outcomes: Locked<[PredictionID: [OutcomeRecord]]>

    private enum Kind {
        static let prediction = "prediction"
        static let outcome = "outcome"
    }

    /// Opens or makes the stores.
    /// - Throws: `ServingError.records`. Cost: both stores are read once, outcomes twice.
    init(directory: String) throws(ServingError) {
        do {
            predictions = try RecordStore(directory: directory + "/predictions")
            outcomeStore = try RecordStore(directory: directory + "/outcomes")
            var known: [PredictionID: [OutcomeRecord]] = [:]
            try outcomeStore.forEach { record in
                guard let id = PredictionID(record.id) else { return }
                let outcome = try OutcomeRecord(id: id, salt: record.salt, body: record.payload)
                known[outcome.prediction, default: []].append(outcome)
            }
            outcomes = Locked(known.mapValues { $0.sorted { $0.id < $1.id } })
        } catch {
            throw .records(path: directory, problem: "\(error)")
        }
    }

    /// Predictions that are stored and not erased.
    var predictionCount: Int { predictions.count }

    /// Stores decisions; the completion runs once, on the store's thread, when all are durable or one is not.
    func put(_ decisions: [SealedDecision], completion: @escaping @Sendable (ServingError?) -> Void)
    {
        let done = Countdown.after(decisions.count) { failure in
            completion(failure.map { .records(path: "records", problem: $0) })
        }
        for decision in decisions {
            let record = Record(
                id: decision.id.description, kind: Kind.prediction, subject: decision.subject,
                payload: decision.body, salt: decision.salt)
            do {
                try predictions.put(record) { result in
                    if case .failure(let error) = result { done("\(error)") } else { done(nil) }
                }
            } catch {
                done("\(error)")
            }
        }
    }

    /// Stores an outcome and waits.
    func put(_ outcome: OutcomeRecord) throws(ServingError) {
        do {
            try outcomeStore.put(
                Record(
                    id: outcome.id.description, kind: Kind.outcome, subject: nil,
                    payload: outcome.body, salt: outcome.salt))
        } catch {
            throw .records(path: "records", problem: "\(error)")
        }
        outcomes.withLock { $0[outcome.prediction, default: []].append(outcome) }
    }

    /// A stored prediction; nil when there is none or it was erased. Cost: one read.
    func decision(_ id: PredictionID) throws(ServingError) -> DecisionRecord? {
        do {
            guard let record = try predictions.get(id.description) else { return nil }
            return try DecisionRecord(
                id: id, salt: record.salt, subject: record.subject, body: record.payload)
        } catch {
            throw .records(path: "records", problem: "\(error)")
        }
    }

    /// The outcome that counts for a prediction.
    func outcome(of id: PredictionID) -> OutcomeRecord? { outcomes.withLock { $0[id]?.last } }

    /// Every stored prediction with an outcome, with the one that counts, in order of ids.
    func labelled() throws(ServingError) -> [(decision: DecisionRecord, outcome: OutcomeRecord)] {
        var pairs: [(decision: DecisionRecord, outcome: OutcomeRecord)] = []
        for (id, known) in outcomes.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
            guard let outcome = known.last, let decision = try decision(id) else { continue }
            pairs.append((decision, outcome))
        }
        return pairs
    }

    /// Predictions about a person that are stored, in the order of their making.
    func predictions(about subject: String) throws(ServingError) -> [PredictionID] {
        do {
            return try predictions.records(of: subject).compactMap { PredictionID($0.id) }
        } catch {
            throw .records(path: "records", problem: "\(error)")
        }
    }

    /// Whether a prediction is stored.
    func holds(_ id: PredictionID) -> Bool { predictions.contains(id: id.description) }

    /// Erases predictions and their outcomes: persons, values and salts. What is not there is passed over. Outcomes go
    /// first, so that none outlives the prediction by which it is found.
    /// - Returns: how many of each there were.
    func erase(_ ids: [PredictionID]) throws(ServingError) -> (predictions: Int, outcomes: Int) {
        do {
            let known = outcomes.withLock { outcomes in ids.flatMap { outcomes[$0] ?? [] } }
            let outcomeCount = try outcomeStore.erase(ids: known.map(\.id.description))
            let count = try predictions.erase(ids: ids.map(\.description))
            outcomes.withLock { outcomes in for id in ids { outcomes[id] = nil } }
            return (count, outcomeCount)
        } catch {
            throw .records(path: "records", problem: "\(error)")
        }
    }

    func close() {
        predictions.close()
        outcomeStore.close()
    }
}

/// Waits for several completions and calls back once, with the last failure if there was one.
final class Countdown: Sendable {
    private let open: Locked<(count: Int, failure: String?)>
    private let completion: @Sendable (_ failure: String?) -> Void

    /// What to call after each of `count` things, at least 1, so that `completion` runs after the last.
    static func after(_ count: Int, _ completion: @escaping @Sendable (_ failure: String?) -> Void)
        -> @Sendable (String?) -> Void
    {
        precondition(count > 0, "there is something to wait for")
        guard count > 1 else { return completion }
        let countdown = Countdown(count, completion)
        return { countdown.count(failure: $0) }
    }

    private init(_ count: Int, _ completion: @escaping @Sendable (_ failure: String?) -> Void) {
        open = Locked((count, nil))
        self.completion = completion
    }

    private func count(failure: String?) {
        let (isLast, failure) = open.withLock { open in
            open.count -= 1
            open.failure = failure ?? open.failure
            return (open.count == 0, open.failure)
        }
        if isLast { completion(failure) }
    }
}
