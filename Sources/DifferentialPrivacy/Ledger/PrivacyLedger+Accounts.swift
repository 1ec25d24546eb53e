// Sums over the ledger, and the two questions of every round: may this be spent, and is this the ledger that peers
// have seen?

import Codec

extension PrivacyLedger {
    /// What a dataset and unit have cost, and what is left.
    package struct AccountStatus: Equatable, Sendable {
        /// The dataset.
        package let dataset: String
        /// The unit.
        package let unit: PrivacyUnit
        /// The budget; nil when none was set.
        package let budget: PrivacyBudget?
        /// ε of everything together, by Rényi divergences, at the budget's δ.
        package let spent: Double
        /// Each study on its own, by name. Their sum is above `spent`: ε grows more slowly than by addition.
        package let studies: [(study: String, epsilon: Double, charges: Int)]

        package static func == (left: Self, right: Self) -> Bool {
            left.dataset == right.dataset && left.unit == right.unit && left.budget == right.budget && left.spent == right.spent
                && left.studies.elementsEqual(right.studies) { $0 == $1 }
        }
    }

    /// δ where no budget says one.
    private func delta(_ account: Account) -> Double {
        budgets[account]?.delta
            ?? PrivacyBudget.deltaMax(protectedUnits: account.unit == .site ? 1 : datasets[account.dataset]?.protectedUnits ?? 1)
    }

    /// Whether what was spent on `payer` counts for `account`: the same dataset or one not declared parallel to it, and a unit
    /// that covers the account's.
    private func counts(_ payer: Payer, for account: Account) -> Bool {
        guard payer.account.unit.covers(account.unit) else { return false }
        let (own, other) = (account.dataset, payer.account.dataset)
        return own == other
            || !((datasets[own]?.parallelTo.contains(other) ?? false) || (datasets[other]?.parallelTo.contains(own) ?? false))
    }

    private func spent(_ account: Account) -> [(study: String, spending: Spending)] {
        var studies: [String: Spending] = [:]
        for (payer, spending) in spending where counts(payer, for: account) {
            studies[payer.study, default: Spending()].cost += spending.cost
            studies[payer.study, default: Spending()].charges += spending.charges
            for (mechanism, steps) in spending.steps { studies[payer.study, default: Spending()].steps[mechanism, default: 0] += steps }
        }
        return studies.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func epsilon(_ cost: ChargedDivergences, _ delta: Double) -> Double {
        guard cost != .zero else { return 0 }
        return (try? cost.curve.epsilon(delta: delta).value) ?? .infinity
    }

    /// Every account with a budget or a charge, sorted by dataset and unit.
    package func accounts() -> [AccountStatus] {
        let all = Set(budgets.keys).union(spending.keys.map(\.account))
        return all.sorted { ($0.dataset, $0.unit.rawValue) < ($1.dataset, $1.unit.rawValue) }.map(status)
    }

    /// Exact results over a dataset that plans declared to be outside the guarantee: statistics and evaluations, by study.
    package func resultsOutside(dataset: String) -> [(study: String, count: Int)] {
        exactResults.filter { $0.key.account.dataset == dataset }.map { ($0.key.study, $0.value) }.sorted { $0.study < $1.study }
    }

    /// N of a dataset, as it was declared.
    package func protectedUnits(dataset: String) -> Int? { datasets[dataset]?.protectedUnits }

    /// Datasets that a dataset shares nobody with, as it was declared.
    package func parallelDatasets(to dataset: String) -> [String] { (datasets[dataset]?.parallelTo ?? []).sorted() }

    /// ε of everything charged to an account by privacy loss distributions; nil when some noise was on whole numbers, for
    /// which only the Rényi bound is proved, or there were more than `lossKindsMax` kinds of steps.
    ///
    /// - Cost: up to 0.3 s a kind.
    package func lossEpsilon(dataset: String, unit: PrivacyUnit) -> Double? {
        let events = events(dataset: dataset, unit: unit)
        guard !events.isEmpty else { return 0 }
        guard events.count <= PrivacyLedger.lossKindsMax,
            events.allSatisfy({ if case .gaussian = $0.noise { true } else { false } })
        else { return nil }
        return try? LossAccountant(events).epsilon(delta: delta(Account(dataset: dataset, unit: unit)))
    }

    /// Kinds of steps for which `lossEpsilon` is worked out.
    package static let lossKindsMax = 8

    /// One account.
    package func account(dataset: String, unit: PrivacyUnit) -> AccountStatus { status(Account(dataset: dataset, unit: unit)) }

    private func status(_ account: Account) -> AccountStatus {
        let (studies, delta) = (spent(account), delta(account))
        var total = ChargedDivergences.zero
        for study in studies { total += study.spending.cost }
        return AccountStatus(
            dataset: account.dataset, unit: account.unit, budget: budgets[account], spent: epsilon(total, delta),
            studies: studies.map { ($0.study, epsilon($0.spending.cost, delta), $0.spending.charges) })
    }

    /// Everything charged to an account as events, for privacy loss distributions.
    package func events(dataset: String, unit: PrivacyUnit) -> [PrivacyEvent] {
        var events: [PrivacyEvent] = []
        for study in spent(Account(dataset: dataset, unit: unit)) {
            for (mechanism, steps) in study.spending.steps {
                // The steps of a ledger are within the accountants' limit as long as the sum is: else the report says less.
                if let event = try? PrivacyEvent(noise: mechanism.noise, samplingRate: mechanism.samplingRate, steps: steps) { events.append(event) }
            }
        }
        return events
    }

    /// ε of a dataset and unit after one more event, at the budget's δ.
    ///
    /// - Cost: some 0.2 ms.
    package func projectedEpsilon(dataset: String, unit: PrivacyUnit, adding event: PrivacyEvent) -> Double {
        let account = Account(dataset: dataset, unit: unit)
        var total = ChargedDivergences(RenyiAccountant([event]).total)
        for study in spent(account) { total += study.spending.cost }
        return epsilon(total, delta(account))
    }

    /// Whether a charge keeps every budget that it counts for: that of its own dataset and unit, and those of datasets
    /// that may share its units and of units it covers.
    ///
    /// - Throws: `PrivacyRefusal`: `privacy.no-budget`; `privacy.budget`, whose sentence has the sum; `privacy.dataset`.
    package func check(_ charge: PrivacyCharge) throws(PrivacyRefusal) {
        guard datasets[charge.dataset] != nil else {
            throw PrivacyRefusal(.dataset, "dataset \(charge.dataset) is not in the privacy ledger; declare it first")
        }
        let own = Account(dataset: charge.dataset, unit: charge.unit)
        guard budgets[own] != nil else {
            throw PrivacyRefusal(.noBudget, "dataset \(charge.dataset) has no budget for unit \(charge.unit.rawValue); an operator has to set one")
        }
        let cost = ChargedDivergences(RenyiAccountant([charge.event]).total)
        let payer = Payer(account: own, study: charge.study)
        for (account, budget) in budgets.sorted(by: { ($0.key.dataset, $0.key.unit.rawValue) < ($1.key.dataset, $1.key.unit.rawValue) })
        where counts(payer, for: account) {
            var total = cost
            let studies = spent(account)
            for study in studies { total += study.spending.cost }
            let projected = epsilon(total, budget.delta)
            guard projected > budget.epsilon else { continue }
            var before = ChargedDivergences.zero
            for study in studies { before += study.spending.cost }
            let parts = studies.map { "study \($0.study) \(sentenceNumber(epsilon($0.spending.cost, budget.delta)))" }
            throw PrivacyRefusal(
                .budget,
                "dataset \(account.dataset), unit \(account.unit.rawValue): spent ε \(sentenceNumber(epsilon(before, budget.delta)))"
                    + (parts.isEmpty ? "" : " (alone: " + parts.joined(separator: ", ") + ")")
                    + ", this charge of study \(charge.study) \(sentenceNumber(epsilon(cost, budget.delta))) alone, together \(sentenceNumber(projected)); the budget is \(sentenceNumber(budget.epsilon)) at δ \(ecmaScript(budget.delta)). ε of a sum is less than the sum of ε. Nothing was sent")
        }
    }

    /// Holds the ledger against heads of it that peers remember.
    ///
    /// - Parameter remembered: positions this site advertised, as peers give them back.
    /// - Throws: `PrivacyRefusal`: `privacy.ledger-behind` when a peer saw more records, `privacy.ledger-fork` when it saw others.
    package func check(remembered: [LedgerPosition]) throws(PrivacyRefusal) {
        guard let latest = remembered.max(by: { $0.sequence < $1.sequence }) else { return }
        guard latest.sequence <= head.sequence else {
            throw PrivacyRefusal(
                .ledgerBehind,
                "this privacy ledger ends at record \(head.sequence), and peers have seen record \(latest.sequence): an older copy of the directory was restored. What was spent since is spent; restore the latest copy")
        }
        for position in remembered where self.position(position.sequence) != position {
            throw PrivacyRefusal(
                .ledgerFork,
                "peers have seen another record \(position.sequence) than this privacy ledger holds: it went on from an older copy. Restore the copy that peers know")
        }
    }
}
