// M0 → M1: check the order, draw fresh secrets, advertise the public halves.

import Cryptography

extension ClientSession {
    struct Advertised: Sendable {
        let secrets: RoundSecrets
        let own: Advertisement
    }

    mutating func advertiseKeys(_ message: [UInt8]) throws(AggregationRefusal) -> [ClientAction] {
        let (descriptor, context) = try RoundOpening.opened(message, key: coordinatorKey)
        self.context = context
        guard descriptor.manifestHash == manifest.hash else {
            throw AggregationRefusal(.manifestMismatch)
        }
        guard let member = manifest.member(siteIndex), member.key == identity.publicKey,
            member.isInForce(at: now)
        else {
            throw AggregationRefusal(.notInManifest)
        }
        try policy.check(descriptor, history: history)

        let secrets = try RoundSecrets(site: siteIndex, context: context, random: random)
        let own = Advertisement(
            site: siteIndex, secrets: secrets, ledgerHead: ledgerHead, context: context,
            identity: identity)
        self.descriptor = descriptor
        step = .advertised(Advertised(secrets: secrets, own: own))
        let record = LatchRecord.opened(
            task: descriptor.task, round: descriptor.round, attempt: descriptor.attempt,
            context: context)
        return [latch(record), .send(own.message), .needInput(descriptor)]
    }
}

extension RoundDescriptor {
    /// The descriptor in an opening M0 that the coordinator signed. Nothing about it is checked against a policy yet.
    ///
    /// - Throws: `malformed-message`, `coordinator-signature`, `unsupported-suite`, `graph-not-supported`.
    package init(opening message: [UInt8], coordinatorKey: VerifyingKey) throws(AggregationRefusal) {
        self = try RoundOpening.opened(message, key: coordinatorKey).0
    }
}
