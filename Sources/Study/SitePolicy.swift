// The site's own rules, in `policy.json5` of the node's directory. The coordinator may ask for
// stricter values, never for looser ones. `protocol/plan.md` §4.

import Codec
import Cryptography
import DifferentialPrivacy
import SecureAggregation

/// What a node allows, whatever a plan says.
package struct SitePolicy: Equatable, Sendable {
    /// Sites in every sum, at least (hard floor 3).
    package var sitesMin: Int
    /// Sites that the policy assumes to collude with the coordinator (hard floor 1); nil: just under a third of the
    /// round's sites, max(1, ⌈n/3⌉ − 1).
    package var colluders: Int?
    /// Sites in every sum besides the assumed colluders, at least (hard floor 2).
    package var honestMin: Int
    /// Names of sites that this one trusts not to collude.
    package var trustedSites: Set<String>
    /// How many of them must be in every sum; 0: the rule is off.
    package var trustedQuorum: Int
    /// Masked vectors for one model, each attempt with fresh keys and charged.
    package var attemptsMax: Int
    /// Keys that may change the list of members, when a body other than the sites themselves decides on it.
    package var governanceKeys: [VerifyingKey]
    /// How many of them must sign together.
    package var governanceThreshold: Int
    /// Tasks that a plan may ask for.
    package var allowedTasks: Set<Plan.Task>
    /// Studies by name; empty allows any that a person consents to.
    package var allowedStudies: Set<String>
    /// Whether a plan without differential privacy is acceptable at all.
    package var allowWithoutDifferentialPrivacy: Bool
    /// Modes of differential privacy that a plan may name.
    package var allowedPrivacyModes: Set<PrivacyGuarantee>
    /// ε that all studies together may spend on a dataset, at δ = min(10⁻⁵, 1/(10 N)) for N training rows. Written into the
    /// privacy ledger at the first consent for the dataset; from then on two operators change it.
    package var privacyBudget: Double
    /// Keys of the operators of whom two must sign a higher privacy budget.
    package var budgetKeys: [VerifyingKey]
    /// Rounds over all studies that this node ever takes part in: the budget until differential
    /// privacy gives it a better unit.
    package var roundBudget: Int
    /// Fewest training rows for the node to take part.
    package var rowsMin: Int
    /// Largest share of the total weight that this site's rows may be, in (0, 0.9].
    package var weightShareMax: Double
    /// Whether an overseer may let a version through that missed a bound on the site's own rows.
    package var gateOverride: Bool

    /// The policy of a node whose owner wrote none.
    package init() {
        sitesMin = 5
        colluders = nil
        honestMin = 3
        (trustedSites, trustedQuorum) = ([], 0)
        attemptsMax = 2
        (governanceKeys, governanceThreshold) = ([], 0)
        allowedTasks = Set(Plan.Task.allCases)
        allowedStudies = []
        allowWithoutDifferentialPrivacy = true
        allowedPrivacyModes = Set(PrivacyGuarantee.allCases)
        (privacyBudget, budgetKeys) = (3, [])
        roundBudget = 10_000
        rowsMin = 20
        weightShareMax = 0.5
        gateOverride = false
    }

    /// The least strict policy there is: every rule at its hard floor or ceiling. What three sites need.
    package static var floors: SitePolicy {
        var policy = SitePolicy()
        (policy.sitesMin, policy.colluders, policy.honestMin) = (3, 1, 2)
        (policy.attemptsMax, policy.weightShareMax) = (SitePolicy.attemptsCeiling, 0.9)
        policy.privacyBudget = SitePolicy.privacyBudgetCeiling
        return policy
    }

    /// Attempts that a policy may allow.
    package static let attemptsCeiling = 5

    /// ε of a budget that needs nobody's exception.
    package static let privacyBudgetCeiling = PrivacyBudget.epsilonWithoutException

    /// Bytes of a policy file.
    package static let bytesMax = 1 << 16

    /// Reads a policy file. What it does not mention has the default of `init()`.
    ///
    /// - Throws: `StudyError` with code `policy.invalid` that names the field.
    package init(parsing bytes: [UInt8]) throws(StudyError) {
        self.init()
        do {
            var fields = try JSONFields(
                try JSONValue.parse(
                    bytes, dialect: .json5, limits: .init(bytesMax: SitePolicy.bytesMax)), path: "")
            sitesMin = try fields.optionalInteger("sitesMin", in: 3...1024) ?? sitesMin
            colluders = try fields.optionalInteger("colluders", in: 1...512) ?? colluders
            honestMin = try fields.optionalInteger("honestMin", in: 2...1024) ?? honestMin
            if fields.has("trustedSites") {
                trustedSites = try SitePolicy.names(fields.strings("trustedSites", maxCount: 1024), "trustedSites")
            }
            trustedQuorum = try fields.optionalInteger("trustedQuorum", in: 0...trustedSites.count) ?? trustedQuorum
            attemptsMax = try fields.optionalInteger("attemptsMax", in: 1...SitePolicy.attemptsCeiling) ?? attemptsMax
            if fields.has("governanceKeys") {
                governanceKeys = try SitePolicy.keys(fields.strings("governanceKeys", maxCount: 256), "governanceKeys")
            }
            // More than half: two lists that both have enough signatures share a signer.
            if !governanceKeys.isEmpty || fields.has("governanceThreshold") {
                governanceThreshold = try fields.integer(
                    "governanceThreshold", in: governanceKeys.count / 2 + 1...max(governanceKeys.count, governanceKeys.count / 2 + 1))
            }
            if fields.has("allowedTasks") {
                allowedTasks = try SitePolicy.tasks(fields.strings("allowedTasks", maxCount: 32))
            }
            if fields.has("allowedStudies") {
                allowedStudies = try SitePolicy.names(
                    fields.strings("allowedStudies", maxCount: 1024), "allowedStudies")
            }
            allowWithoutDifferentialPrivacy = try fields.bool(
                "allowWithoutDifferentialPrivacy", default: allowWithoutDifferentialPrivacy)
            if fields.has("allowedPrivacyModes") {
                allowedPrivacyModes = try SitePolicy.modes(
                    fields.strings("allowedPrivacyModes", maxCount: 32))
            }
            privacyBudget =
                try fields.optionalNumber("privacyBudget", in: 0.01...SitePolicy.privacyBudgetCeiling) ?? privacyBudget
            if fields.has("budgetKeys") {
                budgetKeys = try SitePolicy.keys(fields.strings("budgetKeys", maxCount: 64), "budgetKeys")
            }
            roundBudget =
                try fields.optionalInteger("roundBudget", in: 0...1_000_000) ?? roundBudget
            rowsMin = try fields.optionalInteger("rowsMin", in: 1...1_000_000_000) ?? rowsMin
            weightShareMax =
                try fields.optionalNumber("weightShareMax", in: 0.01...0.9) ?? weightShareMax
            gateOverride = try fields.bool("gateOverride", default: gateOverride)
            try fields.finish()
        } catch {
            throw StudyError(.policyInvalid, reading: "policy file", error)
        }
    }

    /// A word that this version does not know is an error: silently dropped, it would leave a rule that
    /// its author did not write.
    private static func tasks(_ words: [String]) throws(StudyError) -> Set<Plan.Task> {
        var tasks = Set<Plan.Task>()
        for (index, word) in words.enumerated() {
            guard let task = Plan.Task(rawValue: word) else {
                throw StudyError(
                    .policyInvalid, path: "allowedTasks[\(index)]",
                    problem:
                        "must be one of \(Plan.Task.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            tasks.insert(task)
        }
        return tasks
    }

    private static func modes(_ words: [String]) throws(StudyError) -> Set<PrivacyGuarantee> {
        var modes = Set<PrivacyGuarantee>()
        for (index, word) in words.enumerated() {
            guard let mode = PrivacyGuarantee(rawValue: word) else {
                throw StudyError(
                    .policyInvalid, path: "allowedPrivacyModes[\(index)]",
                    problem:
                        "must be one of \(PrivacyGuarantee.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            modes.insert(mode)
        }
        return modes
    }

    private static func names(_ names: [String], _ path: String) throws(StudyError) -> Set<String> {
        for (index, name) in names.enumerated() where !isName(name) {
            throw StudyError(
                .policyInvalid, path: "\(path)[\(index)]",
                problem: "must be 1 to 64 of a-z, 0-9 and -")
        }
        return Set(names)
    }

    private static func keys(_ texts: [String], _ field: String) throws(StudyError) -> [VerifyingKey] {
        var keys: [VerifyingKey] = []
        for (index, text) in texts.enumerated() {
            guard let key = Hex.decode(text).flatMap(VerifyingKey.init(bytes:)), !keys.contains(key) else {
                throw StudyError(
                    .policyInvalid, path: "\(field)[\(index)]", problem: "must be a public key as 64 hex digits, each once")
            }
            keys.append(key)
        }
        return keys
    }

    /// Sites assumed to collude among n.
    package func colluders(sites n: Int) -> Int { colluders ?? NodeAggregationPolicy.defaultColluders(sites: n) }

    /// Why a plan is outside the policy.
    package struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        /// Stable code, `policy.…`; listed in `protocol/plan.md` §4.
        package let code: String
        /// A sentence without data.
        package let description: String

        /// - Parameters: a code of the list and a sentence.
        package init(code: String, description: String) {
            self.code = code
            self.description = description
        }
    }

    /// Checks a plan before a consent: its terms, and that one whole run of it is within the budget.
    ///
    /// - Parameter roundsUsed: rounds of this node's budget that are spent.
    /// - Throws: the first refusal in the order of `protocol/plan.md` §4; nothing about the rows is in it.
    package func check(_ plan: Plan, roundsUsed: Int) throws(Refusal) {
        try checkTerms(plan)
        guard roundsUsed + plan.roundsPerRun <= roundBudget else {
            throw Refusal(
                code: "policy.budget",
                description:
                    "the plan's run needs \(plan.roundsPerRun) rounds; \(roundsUsed) of this site's budget of \(roundBudget) are spent"
            )
        }
    }

    /// Checks what a plan asks for, whatever is spent of the budget. For rounds of a plan that was
    /// consented to before the policy became stricter.
    ///
    /// - Throws: as `check`, but never `policy.budget`.
    package func checkTerms(_ plan: Plan) throws(Refusal) {
        guard allowedTasks.contains(plan.task) else {
            throw Refusal(
                code: "policy.task",
                description: "this site's policy does not allow the plan's task; see allowedTasks")
        }
        guard allowedStudies.isEmpty || allowedStudies.contains(plan.study) else {
            throw Refusal(
                code: "policy.study",
                description: "this site's policy does not list the study; see allowedStudies")
        }
        guard plan.privacy.secureAggregation else {
            throw Refusal(
                code: "policy.secure-aggregation",
                description: "the plan does not use secure aggregation, which this site requires")
        }
        guard plan.cohort.sitesMin >= sitesMin else {
            throw Refusal(
                code: "policy.cohort",
                description:
                    "the plan's smallest cohort (\(plan.cohort.sitesMin)) is below this site's minimum (\(sitesMin))"
            )
        }
        guard plan.cohort.colluders >= colluders ?? 1 else {
            throw Refusal(
                code: "policy.colluders",
                description:
                    "the plan assumes fewer colluding sites (\(plan.cohort.colluders)) than this site does (\(colluders ?? 1))"
            )
        }
        let honest = plan.cohort.sitesMin - max(plan.cohort.colluders, colluders(sites: plan.cohort.sitesMin))
        guard honest >= honestMin else {
            throw Refusal(
                code: "policy.honest",
                description:
                    "the plan's smallest cohort leaves \(honest) sites besides the assumed colluders; this site asks for \(honestMin) (honestMin)"
            )
        }
        guard !plan.privacy.withoutDifferentialPrivacy || allowWithoutDifferentialPrivacy else {
            throw Refusal(
                code: "policy.differential-privacy",
                description:
                    "the plan runs without differential privacy, which this site does not allow")
        }
        if let guarantee = plan.privacy.guarantee, !allowedPrivacyModes.contains(guarantee.mode) {
            throw Refusal(
                code: "policy.privacy-mode",
                description:
                    "this site's policy does not list the plan's mode of differential privacy; see allowedPrivacyModes"
            )
        }
    }
}

extension Plan {
    /// Secure rounds of one run when nothing has to be tried twice: statistics, training, evaluations.
    package var roundsPerRun: Int {
        let curve = evaluation.everyRounds > 0 ? (training.rounds - 1) / evaluation.everyRounds : 0
        return 1 + training.rounds + curve + 1
    }
}

extension SitePolicy {
    /// The policy as a file for people to edit, with a word on each rule.
    package var documented: [UInt8] {
        let text = """
            // This site's own rules. The coordinator may ask for stricter values, never for looser ones.
            // protocol/plan.md, section 4, explains each; a restart reads changes.
            {
                // Sites in every secure sum, at least (3 is the least there is).
                sitesMin: \(sitesMin),
                // Sites that may work together with the coordinator against this one; left out: just under a third.
                \(colluders.map { "colluders: \($0)," } ?? "// colluders: 1,")
                // Sites in every sum besides those, at least (2 is the least there is, and what 3 or 4 sites need).
                honestMin: \(honestMin),
                // Sites by name that this one trusts, and how many of them must be in every sum.
                trustedSites: [\(trustedSites.sorted().map { "\"\($0)\"" }.joined(separator: ", "))],
                trustedQuorum: \(trustedQuorum),
                // Times that one model may be answered, each with fresh keys.
                attemptsMax: \(attemptsMax),
                // Public keys that decide on the list of members instead of the sites themselves, and how many of them.
                governanceKeys: [\(governanceKeys.map { "\"\(Hex.encode($0.bytes))\"" }.joined(separator: ", "))],
                \(governanceKeys.isEmpty ? "// governanceThreshold: 2," : "governanceThreshold: \(governanceThreshold),")
                allowedTasks: [\(allowedTasks.map { "\"\($0.rawValue)\"" }.sorted().joined(separator: ", "))],
                // Studies by name; empty: any study that a person here consents to.
                allowedStudies: [\(allowedStudies.map { "\"\($0)\"" }.sorted().joined(separator: ", "))],
                allowWithoutDifferentialPrivacy: \(allowWithoutDifferentialPrivacy),
                // Modes of differential privacy that a plan may have, and ε that one record may ever cost, over all studies.
                allowedPrivacyModes: [\(allowedPrivacyModes.map { "\"\($0.rawValue)\"" }.sorted().joined(separator: ", "))],
                privacyBudget: \(privacyBudget),
                // Public keys of the people of whom two must sign before that goes up (`consilium privacy budget key` makes one).
                budgetKeys: [\(budgetKeys.map { "\"\(Hex.encode($0.bytes))\"" }.joined(separator: ", "))],
                // Secure rounds over all studies that this node ever takes part in.
                roundBudget: \(roundBudget),
                // Fewest training rows to take part.
                rowsMin: \(rowsMin),
                // Largest share of all rows that may come from here.
                weightShareMax: \(weightShareMax),
                // Whether an overseer may let a version through that missed the plan's bounds on this site's own rows.
                gateOverride: \(gateOverride),
            }

            """
        return Array(text.utf8)
    }
}
