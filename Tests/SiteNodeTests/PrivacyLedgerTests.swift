import Codec
import Messages
import SiteNode
import Study
import Testing

/// The privacy ledger is the fold over the node's log.
@Suite struct PrivacyLedgerTests {
    private func plan(epsilon: Double) throws -> Plan {
        let plain = try TestNode.plan()
        guard case .object(var members) = plain.json else { throw NodeError.corrupt("plan") }
        members["privacy"] = [
            "secureAggregation": true, "mode": "record-local", "epsilon": .number(epsilon), "delta": 1e-6, "clippingNorm": 1,
            "samplingRate": 0.25, "expectedBatch": 10, "stepsPerRound": 2, "statisticsOutsideGuarantee": "Test.",
            "evaluationOutsideGuarantee": "Test.",
        ]
        if case .object(var training)? = members["training"], case .object(var local)? = training["local"] {
            local["epochs"] = nil
            local["batchSize"] = nil
            training["local"] = .object(local)
            members["training"] = .object(training)
        }
        return try Plan(parsing: JSONValue.object(members).canonicalBytes())
    }

    @Test func aConsentEntersDatasetAndBudgetOnceAndARestartKnowsThem() throws {
        let node = try TestNode()
        try node.agree(plan(epsilon: 2))
        let ledger = node.core.state.ledger
        #expect(ledger.head.sequence == 2)
        #expect(ledger.accounts().first?.budget?.epsilon == SitePolicy.floors.privacyBudget)
        try node.restart()
        #expect(node.core.state.ledger.head == ledger.head && node.core.state.ledger.accounts() == ledger.accounts())
        try node.consent()
        #expect(node.core.state.ledger.head == ledger.head)
    }

    @Test func aRunThatDoesNotFitGetsNoConsent() throws {
        let node = try TestNode()
        try node.hear(.planOffer(plan: plan(epsilon: 50).canonicalBytes))
        #expect(node.refusal { try node.consent() } == "privacy.budget")
        #expect(node.core.state.ledger.head.sequence == 0)
    }

    @Test func aModeThatThePolicyDoesNotListIsRefused() throws {
        let node = try TestNode()
        var policy = SitePolicy.floors
        policy.allowedPrivacyModes = []
        try node.restart(policy: policy)
        try node.hear(.planOffer(plan: plan(epsilon: 2).canonicalBytes))
        #expect(node.refusal { try node.consent() } == "policy.privacy-mode")
    }
}
