// The site's rules for versions without a plan, and how they change: while the rules in force ask for approvals, a change of them needs
// as many people besides the one who proposes it. So nobody loosens them alone to let a version of their own through.

import Codec
import Cryptography
import Study
import Telemetry

extension DeploymentState {
    /// Rules that are not in force yet.
    package struct RulesProposal: Equatable, Sendable {
        /// What is proposed.
        package var rules: SiteRules
        /// Who proposed it.
        package var by: Actor
        /// When.
        package var time: Timestamp
        /// Who has agreed.
        package var confirmations: [Actor] = []
    }

    /// How many people must agree to other rules, besides whoever proposes them.
    var confirmationsNeeded: Int { siteRules?.approvals ?? 0 }

    /// Whether somebody may agree to the proposal.
    func checkConfirmation(_ digest: Digest) throws(ServingError) {
        guard let proposal, proposal.rules.digest == digest else {
            throw .approval(problem: "no rules of this digest are proposed; look at them again")
        }
    }

    func checkConfirmer(_ actor: Actor) throws(ServingError) {
        guard let proposal else { return }
        guard !proposal.by.isSamePerson(as: actor) else { throw .approval(problem: "whoever proposed the rules does not agree to them") }
        guard !proposal.confirmations.contains(where: { $0.isSamePerson(as: actor) }) else {
            throw .approval(problem: "this person has agreed to the rules already; another one is needed")
        }
    }

    mutating func propose(_ rules: SiteRules, by actor: Actor, at time: Timestamp) {
        proposal = RulesProposal(rules: rules, by: actor, time: time)
        putInForceIfAgreed(at: time)
    }

    mutating func confirm(by actor: Actor, at time: Timestamp) {
        guard (try? checkConfirmer(actor)) != nil else { return }
        proposal?.confirmations.append(actor)
        putInForceIfAgreed(at: time)
    }

    private mutating func putInForceIfAgreed(at time: Timestamp) {
        guard let proposal, proposal.confirmations.count >= confirmationsNeeded else { return }
        self.proposal = nil
        siteRules = proposal.rules.isNone ? nil : proposal.rules
        let rules = siteRules.map(DeploymentRules.init) ?? DeploymentRules()
        for (digest, version) in versions where version.rules.plan == nil {
            versions[digest]?.rules = rules
            settle(digest, at: time)
        }
    }

    /// As in `GET /v1/rules`.
    package var siteRulesJSON: JSONValue {
        func document(_ rules: SiteRules) -> JSONValue { (try? JSONValue.parse(Array(rules.text.utf8), dialect: .strict)) ?? .null }
        return [
            "rules": siteRules.map(document) ?? .null, "digest": siteRules.map { .string($0.digest.hex) } ?? .null,
            "confirmations_needed": .integer(Int64(confirmationsNeeded)),
            "proposed": proposal.map { proposal in
                [
                    "rules": document(proposal.rules), "digest": .string(proposal.rules.digest.hex), "by": .string(proposal.by.name),
                    "time": .string(proposal.time.iso8601), "confirmations": .array(proposal.confirmations.map { .string($0.name) }),
                ]
            } ?? .null,
        ]
    }
}

extension Actor {
    /// One key, or two keys of one name.
    func isSamePerson(as other: Actor) -> Bool { name == other.name || person == other.person }
}
