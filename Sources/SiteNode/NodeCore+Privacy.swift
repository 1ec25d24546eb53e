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
    /// - Parameter parallelTo: fingerprints of datasets that hold none of the people of this one, as the site's operator says.
    ///   Spending on others counts for this one too.
    /// - Throws: `NodeError.refused` when one run of the plan does not fit into what is left, or its δ is too large for the site.
    func ledgerEntries(
        consentTo plan: Plan, _ dataset: SiteDataset, parallelTo: [String] = [], at now: Timestamp
    ) throws(NodeError) -> [LogEntry] {
        guard let guarantee = plan.privacy.guarantee else { return [] }
        var ledger = state.ledger
        var entries: [LogEntry] = []
        do throws(PrivacyRefusal) {
            ledger.operators = policy.budgetKeys.map(\.bytes)
            let name = dataset.sourceFingerprint.hex
            let (unit, units) = (guarantee.unit, guarantee.unit == .site ? 1 : max(1, dataset.train.rowCount))
            guard guarantee.delta <= PrivacyBudget.deltaMax(protectedUnits: units) else {
                throw PrivacyRefusal(.delta, "the plan's delta is above min(1e-5, 1/(10 N)) for this site's N; ask for a plan with a smaller one")
            }
            if !ledger.knows(dataset: name) {
                entries.append(
                    try record(
                        .dataset(name, protectedUnits: max(1, dataset.train.rowCount), parallelTo: Set(parallelTo).sorted()), in: &ledger, at: now))
            } else if !parallelTo.isEmpty {
                throw PrivacyRefusal(.dataset, "these rows are in the privacy ledger already; which datasets they share nobody with is said at the first consent and not changed")
            }
            if ledger.account(dataset: name, unit: unit).budget == nil {
                let budget = try PrivacyBudget(epsilon: policy.privacyBudget, delta: PrivacyBudget.deltaMax(protectedUnits: units))
                entries.append(
                    try record(.budget(BudgetChange(dataset: name, unit: unit, budget: budget), approvals: []), in: &ledger, at: now))
            }
            if let run = try charge(plan, name, steps: plan.privateSteps, task: "consent", round: 0, attempt: 0, context: plan.hash) {
                try ledger.check(run)
            }
        } catch { throw .refused(code: error.code.rawValue, error.sentence) }
        return entries
    }

    /// Changes the budget of a dataset and unit. Lower is anybody's at the site; higher takes two of the policy's `budgetKeys`.
    ///
    /// - Throws: `NodeError.refused` with the ledger's code.
    package mutating func setBudget(
        _ change: BudgetChange, approvals: [BudgetApproval], by actor: String, at now: Timestamp
    ) throws -> [NodeAction] {
        var ledger = state.ledger
        ledger.operators = policy.budgetKeys.map(\.bytes)
        var entry: LogEntry
        do throws(PrivacyRefusal) {
            entry = try record(.budget(change, approvals: approvals), in: &ledger, at: now)
        } catch { throw NodeError.refused(code: error.code.rawValue, error.sentence) }
        entry.details["by"] = .string(actor)
        return try settle([.log(entry)], at: now)
    }

    /// Holds the privacy terms of an order against the plan of the consent: what is weaker is named, and nothing else than
    /// the plan's own terms is taken part in.
    ///
    /// - Throws: `NodeError.refused` with a code of `protocol/differential-privacy.md` §6, or `round.privacy-terms`.
    func checkTerms(
        _ descriptor: RoundDescriptor, _ work: RoundWork, _ plan: Plan, _ dataset: SiteDataset
    ) throws(NodeError) {
        let approved = PrivacyTerms(round: work, plan: plan, sites: descriptor.cohort.maximum)
        if work.kind == .training, let guarantee = plan.privacy.guarantee {
            let units =
                switch guarantee.unit {
                case .record: dataset.train.rowCount
                case .subject: Set(dataset.train.unitKeys).count
                case .site: 1
                }
            do throws(PrivacyRefusal) {
                let terms = try GuaranteeTerms(descriptor.privacy, unit: guarantee.unit)
                try terms.check(
                    against: GuaranteeTerms(approved, unit: guarantee.unit), protectedUnits: units, samplesByPoisson: true,
                    usesSecureAggregation: plan.privacy.secureAggregation)
                try terms.checkSurvivors(descriptor.cohort.minimum, colluders: plan.cohort.colluders)
            } catch { throw .refused(code: error.code.rawValue, error.sentence) }
        }
        guard descriptor.privacy == approved else {
            throw .refused(code: "round.privacy-terms", "the round's privacy terms are not those of the plan that this site consented to")
        }
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
            dataset: dataset, unit: guarantee.unit, study: plan.study, task: task, round: round, attempt: attempt, context: context,
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

extension GuaranteeTerms {
    /// The terms of a round's descriptor.
    ///
    /// - Throws: `PrivacyRefusal` (`privacy.mode`) for a round without a guarantee.
    fileprivate init(_ terms: PrivacyTerms, unit: PrivacyUnit) throws(PrivacyRefusal) {
        let mode: PrivacyGuarantee
        switch terms.mode {
        case .none: throw PrivacyRefusal(.mode, "the round promises no differential privacy, and the approved plan does")
        case .recordLocal: mode = .recordLocal
        case .recordDistributed: mode = .recordDistributed
        case .siteDistributed: mode = .siteDistributed
        case .central: mode = .central
        }
        self.init(
            mode: mode, unit: unit, samplingRate: terms.samplingRate, noiseMultiplier: terms.noiseMultiplier,
            clippingNorm: terms.clippingNorm, honestSites: terms.minimumHonest, delta: terms.delta)
    }
}

extension PrivacyLedger {
    /// What `privacy status` shows: ε spent and left by dataset and unit, by study, what lay outside, where the ledger stands.
    var json: JSONValue {
        [
            "sequence": .integer(Int64(head.sequence)), "hash": .string(Hex.encode(head.hash)),
            "accounts": .array(
                accounts().map { account in
                    var object = account.json.objectValue ?? [:]
                    object["pld"] = lossEpsilon(dataset: account.dataset, unit: account.unit).map { .string(decimal($0, places: 3)) } ?? .null
                    object["protectedUnits"] = protectedUnits(dataset: account.dataset).map { .integer(Int64($0)) } ?? .null
                    object["parallelTo"] = .array(parallelDatasets(to: account.dataset).map { .string($0) })
                    object["outside"] = .array(
                        resultsOutside(dataset: account.dataset).map { ["study": .string($0.study), "results": .integer(Int64($0.count))] })
                    return .object(object)
                }),
        ]
    }
}

extension PrivacyLedger.AccountStatus {
    /// ε spent and left, by study; decimals as text. Spent is rounded up, left down.
    var json: JSONValue {
        [
            "dataset": .string(dataset), "unit": .string(unit.rawValue), "spent": .string(sentenceNumber(spent)),
            "budget": budget.map { .string(decimal($0.epsilon, places: 3)) } ?? .null,
            "left": budget.map { .string(decimal(max(0, (($0.epsilon - spent) * 1000).rounded(.down) / 1000), places: 3)) } ?? .null,
            "delta": budget.map { .string(ecmaScript($0.delta)) } ?? .null,
            "studies": .array(
                studies.map {
                    ["study": .string($0.study), "alone": .string(sentenceNumber($0.epsilon)), "charges": .integer(Int64($0.charges))]
                }),
        ]
    }
}
