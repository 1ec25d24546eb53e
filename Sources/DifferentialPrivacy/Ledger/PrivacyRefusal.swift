/// Why a node gives nothing to a round, or does not start. `protocol/differential-privacy.md` §6 lists the codes.
package struct PrivacyRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// Stable words for machines.
    package enum Code: String, CaseIterable, Sendable {
        /// Projected ε above the budget.
        case budget = "privacy.budget"
        /// No budget was set for the dataset and unit.
        case noBudget = "privacy.no-budget"
        /// A budget raised without two operators, or above what a tier allows without an exception.
        case budgetChange = "privacy.budget-change"
        /// δ above min(10⁻⁵, 1/(10 N)).
        case delta = "privacy.delta"
        /// Batches not drawn by Poisson sampling.
        case sampler = "privacy.sampler"
        /// Another mode than the approved plan's.
        case mode = "privacy.mode"
        /// Another unit than the approved plan's.
        case unit = "privacy.unit"
        /// σ below the approved plan's.
        case noise = "privacy.noise"
        /// q above the approved plan's.
        case samplingRate = "privacy.sampling-rate"
        /// C above the approved plan's.
        case clippingNorm = "privacy.clipping-norm"
        /// h below the approved plan's.
        case honestSites = "privacy.honest-sites"
        /// Fewer honest survivors than noise shares are needed.
        case noiseShort = "privacy.noise-short"
        /// q·N below 1.
        case expectedBatch = "privacy.expected-batch"
        /// Secure aggregation off in a mode that rests on it.
        case secureAggregation = "privacy.secure-aggregation"
        /// A dataset that was not declared, or declared twice in different ways.
        case dataset = "privacy.dataset"
        /// A record that does not follow from the one before it.
        case ledgerChain = "privacy.ledger-chain"
        /// A record that is not of the ledger's form, or contradicts earlier ones.
        case ledgerRecord = "privacy.ledger-record"
        /// Peers have seen a later head than this ledger's.
        case ledgerBehind = "privacy.ledger-behind"
        /// Peers have seen another record at a place of this ledger.
        case ledgerFork = "privacy.ledger-fork"
        /// A record older than the one before it.
        case ledgerClock = "privacy.ledger-clock"
        /// This attempt of the round was charged before.
        case alreadyCharged = "privacy.already-charged"
    }

    /// The reason.
    package let code: Code
    /// What is wrong, with the numbers, and what to do. Numbers of the guarantee only, never of the data.
    package let sentence: String

    package var description: String { "\(code.rawValue): \(sentence)" }

    /// - Parameters: the code and its sentence.
    package init(_ code: Code, _ sentence: String) {
        self.code = code
        self.sentence = sentence
    }
}

/// An ε for a sentence: three decimals, rounded up, so that nothing reads smaller than it is.
package func sentenceNumber(_ value: Double) -> String {
    guard value.isFinite, value < 1e9 else { return "beyond any bound" }
    let thousandths = Int((value * 1000).rounded(.up))
    let rest = String(1000 + thousandths % 1000).dropFirst()
    return "\(thousandths / 1000).\(rest)"
}
