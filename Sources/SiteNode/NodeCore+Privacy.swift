// The privacy ledger at the node: every record is an entry of the node's log, durable before what it stands for
// happens, and the fold over the log is the fold over the ledger. `protocol/differential-privacy.md` §5.
//
//     consent          the dataset, its budget; a whole run has to fit
//     round opens      `reserved`, checked against the budget; the ledger's head goes into the advertisement
//     masked vector    `sent`; for statistics and evaluations `outside`
//     round completed  `closed`

import AuditLog
import Codec
import Cryptography
import DifferentialPrivacy
import Messages
import SecureAggregation
import Study
import Telemetry

extension NodeCore {
    /// The records that come with a consent, when the plan has a guarantee: dataset and budget, if they are new.
    ///
    /// - Throws: `NodeError.refused` when one run of the plan does not fit into what is left.
    func ledgerEntries(consentTo plan: Plan, _ dataset: SiteDataset, at now: Timestamp) throws(NodeError) -> [LogEntry] {
        guard plan.privacy.guarantee != nil else { return [] }
        var ledger = state.ledger
        var entries: [LogEntry] = []
        do throws(PrivacyRefusal) {
            let name = dataset.sourceFingerprint.hex
            let units = max(1, dataset.train.rowCount)
            if ledger.account(dataset: name, unit: .record).budget == nil {
                let budget = try PrivacyBudget(epsilon: policy.privacyBudget, delta: PrivacyBudget.deltaMax(protectedUnits: units))
                entries.append(try record(.dataset(name, protectedUnits: units, parallelTo: []), in: &ledger, at: now))
                entries.append(
                    try record(.budget(BudgetChange(dataset: name, unit: .record, budget: budget), approvals: []), in: &ledger, at: now))
            }
            if let run = try charge(plan, name, steps: plan.privateSteps, task: "consent", round: 0, attempt: 0, context: plan.hash) {
                try ledger.check(run)
            }
        } catch { throw .refused(code: error.code.rawValue, error.sentence) }
        return entries
    }

    /// Reserves what a training round costs, unless that was done for the same attempt and nothing has left since.
    ///
    /// - Returns: the record, and the ledger's head with it.
    /// - Throws: `NodeError.refused`: `privacy.budget` with the sum, or another code of the ledger.
    func reserve(
        _ work: RoundWork, _ descriptor: RoundDescriptor, _ plan: Plan, _ dataset: SiteDataset, at now: Timestamp
    ) throws(NodeError) -> (entries: [LogEntry], head: LedgerHead) {
        var ledger = state.ledger
        var entries: [LogEntry] = []
        if work.kind == .training, let guarantee = plan.privacy.guarantee {
            do throws(PrivacyRefusal) {
                func charge(steps: Int) throws(PrivacyRefusal) -> PrivacyCharge? {
                    try self.charge(
                        plan, dataset.sourceFingerprint.hex, steps: steps, task: descriptor.task, round: Int(work.number),
                        attempt: Int(descriptor.attempt), context: descriptor.context)
                }
                // A run that cannot be finished is not begun: what it has cost by then would be lost.
                if work.step == 0, let run = try charge(steps: plan.privateSteps) { try ledger.check(run) }
                if let cost = try charge(steps: guarantee.stepsPerRound) {
                    let earlier = ledger.charge(task: cost.task, round: cost.round, attempt: cost.attempt)
                    if earlier.flatMap(ledger.state(ofCharge:)) != .reserved {
                        try ledger.check(cost)
                        entries.append(entry(try ledger.reserve(cost, time: now.milliseconds).line))
                    }
                }
            } catch { throw .refused(code: error.code.rawValue, error.sentence) }
        }
        let head = ledger.head
        return (entries, LedgerHead(sequence: UInt64(head.sequence), hash: head.hash))
    }

    /// The record that goes before the first byte of a masked vector.
    func leaving(_ round: ActiveRound, at now: Timestamp) throws -> [LogEntry] {
        guard round.plan.privacy.guarantee != nil, let dataset = dataset?.dataset.sourceFingerprint.hex else { return [] }
        guard round.work.kind == .training else {
            return [
                try record(
                    .outside(
                        dataset: dataset, study: round.plan.study, task: round.work.task(study: round.plan.study), round: Int(round.work.number)),
                    at: now)
            ]
        }
        return try charge(of: round).map { [try record(.sent(charge: $0), at: now)] } ?? []
    }

    /// The record that ends a charge.
    func closing(_ round: ActiveRound, at now: Timestamp) throws -> [LogEntry] {
        guard round.work.kind == .training, round.plan.privacy.guarantee != nil else { return [] }
        return try charge(of: round).map { [try record(.closed(charge: $0), at: now)] } ?? []
    }

    private func charge(of round: ActiveRound) -> Int? {
        round.session.descriptor.flatMap {
            state.ledger.charge(task: $0.task, round: Int($0.round), attempt: Int($0.attempt))
        }
    }

    private func charge(
        _ plan: Plan, _ dataset: String, steps: Int, task: String, round: Int, attempt: Int, context: Digest
    ) throws(PrivacyRefusal) -> PrivacyCharge? {
        guard let guarantee = plan.privacy.guarantee else { return nil }
        let event: PrivacyEvent
        do {
            guard let sigma = try plan.noiseMultiplier(), let run = try plan.privacyEvent(noiseMultiplier: sigma) else { return nil }
            event = try PrivacyEvent(noise: run.noise, samplingRate: run.samplingRate, steps: steps)
        } catch { throw PrivacyRefusal(.noise, "the plan's guarantee cannot be accounted for: \(error)") }
        return try PrivacyCharge(
            dataset: dataset, unit: .record, study: plan.study, task: task, round: round, attempt: attempt, context: context,
            mode: guarantee.mode, clippingNorm: guarantee.clippingNorm, event: event)
    }

    private func record(_ entry: LedgerEntry, in ledger: inout PrivacyLedger, at now: Timestamp) throws(PrivacyRefusal) -> LogEntry {
        self.entry(try ledger.append(entry, time: now.milliseconds))
    }

    private func record(_ entry: LedgerEntry, at now: Timestamp) throws -> LogEntry {
        var ledger = state.ledger
        return try record(entry, in: &ledger, at: now)
    }

    private func entry(_ line: [UInt8]) -> LogEntry {
        .node(.budgetSpent, site: site, ["record": .string(String(decoding: line.dropLast(), as: UTF8.self))])
    }
}

extension PrivacyLedger.AccountStatus {
    /// What `node status` shows: ε spent and left, by study; decimals as text.
    var json: JSONValue {
        [
            "dataset": .string(dataset), "unit": .string(unit.rawValue), "spent": .string(decimal(spent, places: 3)),
            "budget": budget.map { .string(decimal($0.epsilon, places: 3)) } ?? .null,
            "delta": budget.map { .string(decimal($0.delta, places: 12)) } ?? .null,
            "studies": .array(
                studies.map {
                    ["study": .string($0.study), "alone": .string(decimal($0.epsilon, places: 3)), "charges": .integer(Int64($0.charges))]
                }),
        ]
    }
}
