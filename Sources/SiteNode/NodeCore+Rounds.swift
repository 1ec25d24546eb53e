// A round at the node: order checked against consent and policy → keys → shares → local work → masked
// vector → consistency → unmasking → result checked. What the aggregation must remember over a crash is a
// log entry before the message that depends on it leaves.

import AuditLog
import Codec
import Cryptography
import Messages
import ModelPackage
import Models
import SecureAggregation
import Study
import Tabular
import Telemetry

/// The round that a node takes part in.
struct ActiveRound {
    let work: RoundWork
    let plan: Plan
    let planHash: Digest
    var session: ClientSession
}

/// The run's model as this node follows it from results that it checked.
struct ExpectedModel {
    let run: String
    /// Training rounds behind the model.
    let step: Int
    let model: ModelParameters
    /// Of the model's canonical bytes.
    let hash: Digest
    let optimizer: ServerOptimizer.State

    init(run: String, step: Int, model: ModelParameters, optimizer: ServerOptimizer.State) {
        (self.run, self.step, self.model, self.optimizer) = (run, step, model, optimizer)
        hash = SHA256.hash(model.canonicalBytes)
    }
}

extension NodeCore {
    mutating func openRound(
        work bytes: [UInt8], start: [UInt8], opening: [UInt8], results: [Digest], at now: Timestamp
    ) throws -> [NodeAction] {
        let work = try RoundWork(parsing: bytes)
        active = nil
        let offer: NodeState.Offer
        let manifest: Manifest
        let logged: Set<UInt32>
        var caughtUp: [LogEntry] = []
        let reserved: (entries: [LogEntry], head: LedgerHead)
        do {
            offer = try admit(work, at: now)
            guard let pinned = state.manifest?.proposal else {
                throw NodeError.refused(
                    code: "round.manifest", "no list of members is in force at this site: a person has to sign one (`consilium manifest sign`)")
            }
            manifest = pinned
            let descriptor = try RoundDescriptor(opening: opening, coordinatorKey: coordinatorKey)
            logged = try RoundStart(encoded: start).verify(
                work: work, descriptor: descriptor, manifest: manifest, coordinatorKey: coordinatorKey)
            let dataset = try rows(for: work, offer)
            try checkTerms(descriptor, work, offer.plan, dataset)
            reserved = try reserve(work, descriptor, offer.plan, dataset, at: now)
            if work.kind != .statistics { caughtUp = try followResults(results, work, offer, descriptor) }
        } catch {
            return refuse(work, error)
        }
        var history = state.aggregation
        for record in caughtUp.compactMap(NodeState.latch) { history.apply(record) }
        var session = ClientSession(
            identity: signingKey, siteIndex: siteIndex, manifest: manifest, policy: aggregationPolicy(work, offer, manifest, logged),
            coordinatorKey: coordinatorKey, history: history, ledgerHead: reserved.head, random: random,
            now: UInt64(max(0, now.milliseconds / 1000)))
        let actions = session.handle(opening)
        active = ActiveRound(work: work, plan: offer.plan, planHash: offer.hash, session: session)
        return (caughtUp + reserved.entries).map { .log($0) } + (try follow(actions, at: now))
    }

    /// Brings this node's own copy of the run's model up to the round: from the plan's first model, every published sum
    /// applied in turn. What the coordinator hands out as the model must be that, whether or not this node was there.
    ///
    /// - Returns: the latch of the last result, when this node had not checked it before.
    /// - Throws: `NodeError.refused`: `round.results` for a list that does not fit the step, `round.model-first`,
    ///   `round.model-not-derived`; `AggregationRefusal` for a document that is not the coordinator's.
    private mutating func followResults(
        _ results: [Digest], _ work: RoundWork, _ offer: NodeState.Offer, _ descriptor: RoundDescriptor
    ) throws -> [LogEntry] {
        guard results.count == work.step else {
            throw NodeError.refused(code: "round.results", "the round comes without the results that its model follows from")
        }
        var model: ExpectedModel
        if let expected, expected.run == work.run, expected.step <= work.step {
            model = expected
        } else {
            let preprocessor = try preprocessor(of: work, offer.plan)
            model = ExpectedModel(
                run: work.run, step: 0,
                model: ModelParameters(
                    family: offer.plan.family, inputs: preprocessor.columnCount, seed: offer.plan.training.initialSeed),
                optimizer: ServerOptimizer.State())
        }
        var entries: [LogEntry] = []
        let spec = RoundWork.vector(
            .training, plan: offer.plan, elements: model.model.count, sites: descriptor.cohort.maximum)
        let task = RoundWork.task(study: offer.plan.study, run: work.run, kind: .training)
        while model.step < work.step {
            let document = try PublishedResult(encoded: blobs(results[model.step]), spec: spec, key: coordinatorKey)
            let sum = document.sum(spec: spec)
            model = try model.stepped(by: sum, offer.plan)
            guard document.nextModelHash == model.hash else {
                throw NodeError.refused(code: "round.model-not-derived", "a model of the run does not follow from the published sum before it")
            }
            guard model.step == work.step, state.aggregation.lastResult(task: task) != document.hash else { continue }
            entries = [
                latch(
                    .result(
                        task: task, round: work.number - 1, resultHash: document.hash, nextModel: model.hash, totalWeight: sum.totalWeight),
                    work, offer.hash)
            ]
        }
        guard work.model == model.hash else {
            throw work.step == 0
                ? NodeError.refused(code: "round.model-first", "the run's first model is not the one that the plan's seed gives")
                : NodeError.refused(code: "round.model-not-derived", "the round's model does not follow from the published sums")
        }
        expected = model
        return entries
    }

    mutating func advance(with message: [UInt8], at now: Timestamp) throws -> [NodeAction] {
        guard var round = active else { return [] }
        let actions = round.session.handle(message)
        active = round
        return try follow(actions, at: now)
    }

    /// Whether this node works on the order at all: consent in force, bounds kept, dataset unchanged.
    private func admit(_ work: RoundWork, at now: Timestamp) throws(NodeError) -> NodeState.Offer {
        guard !state.isPaused else {
            throw .refused(
                code: "round.log-fork", "two histories of one log were signed: this site takes part in nothing until its people have looked at the evidence")
        }
        guard let offer = state.offers[work.planHash], offer.withdrawn == nil else {
            throw .refused(code: "round.plan", "the round belongs to a plan that this node does not hold")
        }
        guard let consent = offer.consent?.consent else {
            throw .refused(code: "round.consent", "this site has not consented to the plan")
        }
        guard consent.expires > now.milliseconds else {
            throw .refused(code: "round.consent-expired", "this site's consent has expired")
        }
        guard state.roundsUsedByPlan[work.planHash, default: 0] < consent.bounds.roundsMax else {
            throw .refused(code: "round.consent-rounds", "the rounds that this site consented to are used up")
        }
        guard state.roundsUsed < policy.roundBudget else {
            throw .refused(code: "policy.budget", "this site's round budget is spent")
        }
        // The policy may have become stricter since the consent.
        do { try policy.checkTerms(offer.plan) } catch { throw .refused(code: error.code, error.description) }
        guard offer.plan.cohort.sitesMin >= consent.bounds.sitesMin else {
            throw .refused(code: "policy.cohort", "the plan's smallest cohort is below what this site consented to")
        }
        return offer
    }

    /// The rows of the run: loaded at its first round, the same ones to its end.
    private mutating func rows(for work: RoundWork, _ offer: NodeState.Offer) throws -> SiteDataset {
        if let dataset, dataset.run == work.run { return dataset.dataset }
        guard let consent = offer.consent?.consent else { throw NodeError.refused(code: "round.consent", "no consent") }
        let loaded = try data.dataset(for: offer.plan, includingFeedback: consent.includesFeedbackRows)
        guard loaded.sourceFingerprint == consent.datasetFingerprint else {
            throw NodeError.refused(
                code: "round.dataset-changed", "the site's rows are not those of its consent any more: a person has to look and consent again")
        }
        try policy.check(loaded)
        dataset = (work.run, loaded)
        return loaded
    }

    private func refuse(_ work: RoundWork, _ error: any Error) -> [NodeAction] {
        let code =
            (error as? NodeError)?.code ?? (error as? RoundStart.Problem)?.code ?? (error as? AggregationRefusal)?.code.name ?? "round.malformed"
        let sentence = error is NodeError || error is RoundStart.Problem ? "\(error)" : "the round cannot be taken part in"
        var details: [String: JSONValue] = ["run": .string(work.run), "number": .integer(Int64(work.number)), "code": .string(code)]
        // What a budget's sum is: numbers of the guarantee, none of the data.
        if code.hasPrefix("privacy.") { details["reason"] = .string(String(sentence.prefix(1000))) }
        return [
            .log(.node(.roundRefused, site: site, details)),
            .send(.refusal(subject: work.hash, code: code, sentence: String(sentence.prefix(500)))),
        ]
    }

    /// The strictest of policy, plan and consent: a descriptor that the coordinator made up binds none of them.
    private func aggregationPolicy(
        _ work: RoundWork, _ offer: NodeState.Offer, _ manifest: Manifest, _ logged: Set<UInt32>
    ) -> NodeAggregationPolicy {
        let plan = offer.plan
        var rules = NodeAggregationPolicy()
        rules.minimumCohort = max(policy.sitesMin, plan.cohort.sitesMin, offer.consent?.consent.bounds.sitesMin ?? 3)
        rules.assumedColluders = policy.colluders
        rules.minimumColluders = plan.cohort.colluders
        rules.minimumHonest = policy.honestMin
        rules.trustedSites = Set(manifest.members.filter { policy.trustedSites.contains($0.name) }.map(\.index))
        rules.trustedQuorum = policy.trustedQuorum
        rules.maximumWeightShare = policy.weightShareMax
        rules.attemptsMax = min(policy.attemptsMax, plan.cohort.attempts)
        rules.allowedArchitectures = [SHA256.hash(plan.family.json.canonicalBytes())]
        rules.allowedConfigurations = [work.hash]
        // The terms themselves were held against the plan, to the bit.
        rules.allowedPrivacyModes = [PrivacyMode(round: work, plan: plan)]
        rules.maximumClip = max(work.bound(plan), plan.privacy.guarantee?.clippingNorm ?? 0)
        rules.loggedSites = logged
        return rules
    }
}

// MARK: - Following the session

extension NodeCore {
    private mutating func follow(_ actions: [ClientAction], at now: Timestamp) throws -> [NodeAction] {
        guard let round = active else { return [] }
        var result: [NodeAction] = []
        for action in actions {
            switch action {
            case .send(let message):
                result.append(.send(.aggregation(round: round.work.number, message: message)))
            case .persistLatch(let record):
                result.append(.log(latch(record, round.work, round.planHash)))
                if case .masked = record { result += try leaving(round, at: now).map { .log($0) } }
            case .needInput:
                continue  // `work` computes the vector when the shares are here.
            case .uploadSegments(let count):
                for segment in 0..<count {
                    guard let message = active?.session.segmentMessage(segment) else { continue }
                    result.append(.send(.aggregation(round: round.work.number, message: message)))
                }
            case .finished(let outcome):
                result += try finish(round, outcome, at: now)
            case .abortedByCoordinator(let refusal):
                active = nil
                result.append(.log(aborted(round, refusal)))
            case .aborted(let refusal):
                active = nil
                result.append(.log(aborted(round, refusal)))
            }
        }
        return result
    }

    private func aborted(_ round: ActiveRound, _ refusal: AggregationRefusal) -> LogEntry {
        .node(
            .roundAborted, site: site,
            ["run": .string(round.work.run), "number": .integer(Int64(round.work.number)), "code": .string(refusal.code.name)])
    }

    private func latch(_ record: LatchRecord, _ work: RoundWork, _ planHash: Digest) -> LogEntry {
        var details: [String: JSONValue] = [
            "run": .string(work.run), "number": .integer(Int64(work.number)), "plan": .string(planHash.hex),
            "record": .string(Hex.encode(record.encoded)),
        ]
        if case .masked = record { details["charged"] = true }
        return .node(.aggregationLatch, site: site, details)
    }

    /// Whether local work is due; the shell calls `work` when it has carried out everything before.
    package var hasWork: Bool { active?.session.isWaitingForInput ?? false }

    /// Computes this site's vector for the open round and hands it to the aggregation. May take long.
    package mutating func work(at now: Timestamp) throws -> [NodeAction] {
        guard var round = active, hasWork, let descriptor = round.session.descriptor else { return [] }
        let vector: QuantizedVector
        do {
            let local = try localVector(round, fractionBits: descriptor.vector.tensors.first?.fractionBits ?? 0)
            guard local.weight > 0 else { throw NodeError.data("this site has no rows for the round") }
            vector = try FixedPoint.encode(
                local.values, spec: descriptor.vector, weight: UInt64(min(local.weight, round.plan.cohort.rowsPerSiteMax)),
                loss: local.loss)
        } catch {
            let actions = round.session.cancel()
            active = round
            return try settle(follow(actions, at: now) + refuse(round.work, error), at: now)
        }
        let actions = round.session.provideInput(vector)
        active = round
        return try settle(follow(actions, at: now), at: now)
    }

    private func localVector(_ round: ActiveRound, fractionBits: Int) throws -> LocalVector {
        guard let dataset = dataset?.dataset else { throw NodeError.data("the rows of the run are not loaded") }
        let local = LocalWork(plan: round.plan, site: site, dataset: dataset)
        guard round.work.kind != .statistics else { return local.statistics() }
        // The round's model is the one that this node followed to it.
        guard let model = expected?.model else { throw NodeError.refused(code: "round.malformed", "the round names no model") }
        let preprocessor = try preprocessor(of: round.work, round.plan)
        return round.work.kind == .training
            ? try local.training(round.work, preprocessor, model, fractionBits: fractionBits, random: random) : try local.evaluation(preprocessor, model)
    }

    private func preprocessor(of work: RoundWork, _ plan: Plan) throws -> Preprocessor {
        guard let blob = work.preprocessor else { throw NodeError.refused(code: "round.malformed", "the round names no preprocessor") }
        let preprocessor = try Preprocessor(json: JSONValue.parse(blobs(blob), dialect: .strict), path: "preprocessor")
        try preprocessor.check(plan.schema)
        return preprocessor
    }

    private mutating func finish(_ round: ActiveRound, _ outcome: RoundResult, at now: Timestamp) throws -> [NodeAction] {
        let sum = outcome.sum
        var model: Digest?
        if round.work.kind == .training, let expected {
            let next = try expected.stepped(by: sum, round.plan)
            model = next.hash
            self.expected = next
        }
        var session = round.session
        let actions = session.confirmResult(computedModel: model)
        active?.session = session
        let followed = try follow(actions, at: now)
        guard active != nil else { return followed }
        active = nil
        return followed + (try closing(round, at: now).map { .log($0) }) + [
            .log(
                .node(
                    .roundCompleted, site: site,
                    [
                        "run": .string(round.work.run), "number": .integer(Int64(round.work.number)),
                        "kind": .string(round.work.kind.rawValue), "participants": .integer(Int64(sum.survivors.count)),
                        "rows": .integer(Int64(sum.totalWeight)), "sum": .string(outcome.hash.hex),
                    ]))
        ]
    }
}

extension ExpectedModel {
    /// The model after one more published sum.
    func stepped(by sum: AggregateSum, _ plan: Plan) throws -> ExpectedModel {
        var state = optimizer
        let next = try plan.training.server.apply(
            previous: model.flattened, meanUpdate: sum.weightedMeanFloats, state: &state)
        return ExpectedModel(run: run, step: step + 1, model: try model.replacing(next), optimizer: state)
    }
}
