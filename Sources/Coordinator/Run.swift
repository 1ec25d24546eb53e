// One run of a study: statistics → training rounds → evaluation → gates → release.
//
// Every quantity comes out of a secure sum; the run never sees one site's part. A round that aborts is
// tried again with fresh keys up to `cohort.attempts` times, then the run fails.

import AuditLog
import Codec
import Cryptography
import DifferentialPrivacy
import Messages
import ModelPackage
import Models
import SecureAggregation
import Study
import Tabular
import Telemetry

/// A training campaign under way.
package struct Run: Sendable {
    let identifier: String
    let published: Federation.PublishedPlan
    let sites: [Federation.Site]
    /// The version number that this run's model gets.
    let version: Int
    let previousPackage: Digest?
    let ordinal: Int
    let signingKey: SigningKey
    let random: any RandomSource
    let manifest: Manifest

    /// The round that is open.
    private(set) var open: OpenRound?
    private(set) var isOver = false
    private var roundsOpened: UInt64 = 0
    /// Sites that let a deadline pass and have not been heard from since: a round is not offered to them, so that one
    /// dead site does not make every round last until its deadline.
    private var silent: Set<UInt32> = []
    /// Sites that are no members any more.
    private var revoked: Set<UInt32> = []
    /// Result of the last training round, which the next model must follow from.
    private var previousResult = Digest.zero
    /// Documents of all training results so far, for sites that missed some.
    private var results: [Digest] = []
    private var step = 0
    private var statistics: GlobalStatistics?
    private var preprocessor: Preprocessor?
    private var preprocessorBlob: Digest?
    private var parameters: ModelParameters?
    /// SHA-256 of the parameters' canonical bytes, which is also the name of their blob.
    private var modelBlob: Digest?
    private var optimizer = ServerOptimizer.State()
    private var provenance: Provenance
    /// Heads of the sites' privacy ledgers as last seen, over all runs.
    private var ledgerHeads: [UInt32: LedgerHead]
    /// Training rounds that were given up after their sites may have been charged.
    private var droppedRounds = 0
    /// What the last evaluation says of the scores, where the plan asks.
    private var calibration: PackageManifest.Calibration?

    var plan: Plan { published.plan }
    var deadline: Timestamp? { open?.deadline }
    var openRoundNumber: UInt64? { open?.work.number }
    var openWorkHash: Digest? { open?.work.hash }

    init(
        identifier: String, published: Federation.PublishedPlan, sites: [Federation.Site], version: Int,
        previousPackage: Digest?, ordinal: Int, manifest: Manifest, ledgerHeads: [String: LedgerHead], signingKey: SigningKey,
        random: any RandomSource
    ) throws {
        self.identifier = identifier
        self.published = published
        self.sites = sites
        self.version = version
        self.previousPackage = previousPackage
        self.ordinal = ordinal
        self.signingKey = signingKey
        self.random = random
        self.manifest = manifest
        self.ledgerHeads = Dictionary(uniqueKeysWithValues: sites.compactMap { site in ledgerHeads[site.name].map { (site.index, $0) } })
        provenance = Provenance(run: identifier, roster: sites.map { .init(site: $0.name, rounds: 0) })
    }

    mutating func start(by actor: String, at now: Timestamp) throws -> [CoordinatorAction] {
        let entry = LogEntry.operated(
            .runStarted, by: actor,
            [
                "run": .string(identifier), "study": .string(plan.study), "plan": .string(published.hash.hex),
                "sites": .array(sites.map { .string($0.name) }), "manifest": .string(manifest.hash.hex),
            ])
        return [.log(entry)] + (try openRound(.statistics, at: now))
    }

    /// A message of the open round's aggregation.
    ///
    /// - Throws: `CoordinatorError.refused` with `round.` and the refusal's name; the round goes on without it.
    mutating func receive(_ message: [UInt8], from site: UInt32, at now: Timestamp) throws -> [CoordinatorAction] {
        guard var round = open, round.pending == nil else { return [] }
        let actions: [ServerAction]
        do { actions = try round.session.handle(message, from: site) } catch {
            throw CoordinatorError.refused(code: "round.\(error.code.name)", error.code.explanation)
        }
        open = round
        return try follow(actions, at: now)
    }

    mutating func deadlinePassed(at now: Timestamp) throws -> [CoordinatorAction] {
        guard var round = open else { return [] }
        if round.pending != nil {
            silent.formUnion(sites.filter { round.witnessing?.missing.contains($0.name) ?? false }.map(\.index))
            return try aborted(round, "witness-quorum", at: now)
        }
        silent.formUnion(round.session.awaited)
        let actions = round.session.deadlinePassed()
        open = round
        return try follow(actions, at: now)
    }

    /// The site polls or reports: the next round is offered to it.
    mutating func heard(from site: UInt32) { silent.remove(site) }

    /// The site is no member any more.
    mutating func siteRevoked(_ site: UInt32, at now: Timestamp) throws -> [CoordinatorAction] {
        revoked.insert(site)
        return try siteLost(site, at: now)
    }

    /// Nothing more is expected of the site in this round.
    mutating func siteLost(_ site: UInt32, at now: Timestamp) throws -> [CoordinatorAction] {
        guard var round = open else { return [] }
        let actions = round.session.siteLost(site)
        open = round
        return try follow(actions, at: now)
    }

    mutating func fail(_ reason: String, at now: Timestamp) -> [CoordinatorAction] {
        var actions: [CoordinatorAction] = []
        if let open {
            actions.append(.log(.coordinator(.roundAborted, round(open, ["code": "run-ended"]))))
        }
        return actions + end(.failed, reason: reason)
    }
}

// MARK: - Rounds

extension Run {
    private mutating func openRound(
        _ kind: RoundWork.Kind, isCurve: Bool = false, attempt: Int = 1, at now: Timestamp
    ) throws -> [CoordinatorAction] {
        if attempt == 1 { roundsOpened += 1 }
        // Run ordinal and round within the run: numbers only go up, over all runs and restarts.
        let number = UInt64(ordinal) << 24 | roundsOpened
        let work = RoundWork(
            kind: kind, run: identifier, planHash: published.hash, number: number, step: step,
            preprocessor: kind == .statistics ? nil : preprocessorBlob,
            model: kind == .statistics ? nil : modelBlob, isCurve: isCurve)
        let descriptor = RoundDescriptor(
            work: work, plan: plan, attempt: attempt, sites: sites.count, elements: try elements(kind),
            manifestHash: manifest.hash, previousResult: kind == .training ? previousResult : .zero, nonce: random.bytes(32))
        var session = ServerSession(
            descriptor: descriptor, manifest: manifest, signingKey: signingKey, invited: invited,
            now: UInt64(max(0, now.milliseconds / 1000)))
        session.knownLedgerHeads = ledgerHeads
        let opened = session.open()
        let sites = session.invited.compactMap(name)
        var details = RoundStart.details(work, descriptor)
        details["sites"] = .array(sites.map { .string($0) })
        var openings: [(site: String, message: [UInt8])] = []
        var rest: [ServerAction] = []
        for action in opened {
            if case .send(let index, let message) = action, let site = name(index) {
                openings.append((site, message))
            } else {
                rest.append(action)
            }
        }
        open = OpenRound(
            work: work, attempt: attempt, session: session,
            deadline: Timestamp(milliseconds: now.milliseconds + Int64(plan.cohort.messageSeconds) * 1000),
            pending: (openings, rest))
        return [.log(.coordinator(.roundStart, details))]
    }

    /// The round's entry is durable: its sites are asked to cosign the head that has it.
    mutating func roundLogged(index: UInt64, log: any ProvableLog, sizes: [String: UInt64], at now: Timestamp) throws -> [CoordinatorAction] {
        guard var round = open, let pending = round.pending else { return [] }
        var witnesses: [String: VerifierKey] = [:]
        for (site, _) in pending.openings {
            guard let key = sites.first(where: { $0.name == site })?.key else { continue }
            witnesses[site] = LogKeys.witness(federation: manifest.federation, party: site, key: key)
        }
        let witnessing = try RoundWitnessing(
            index: index, witnesses: witnesses,
            quorum: round.session.descriptor.cohort.threshold.threshold(sites: witnesses.count), log: log)
        round.witnessing = witnessing
        open = round
        return try witnesses.keys.sorted().map { site in
            try .send(to: site, .witness(request: log.addCheckpoint(from: sizes[site] ?? 0, checkpoint: witnessing.note.bytes).bytes))
        }
    }

    /// A site answered the request to cosign. With the quorum the round opens.
    mutating func witnessAnswered(
        _ answer: WitnessAnswer, by site: Federation.Site, log: any ProvableLog, sizes: inout [String: UInt64], at now: Timestamp
    ) throws -> [CoordinatorAction] {
        guard var round = open, let pending = round.pending, var witnessing = round.witnessing,
            witnessing.missing.contains(site.name)
        else { return [] }
        if let size = answer.size {
            // It has another size than we thought: the same head from there, or a new one when it has seen a later.
            var asked: Set<String> = [site.name]
            if size > (try Checkpoint(text: witnessing.note.text)).size {
                try witnessing.restart(log)
                asked = Set(witnessing.witnesses.keys)
            }
            round.witnessing = witnessing
            open = round
            return try asked.sorted().map { name in
                try .send(to: name, .witness(request: log.addCheckpoint(from: sizes[name] ?? 0, checkpoint: witnessing.note.bytes).bytes))
            }
        }
        guard answer.status == 200 else { return [] }
        sizes[site.name] = try Checkpoint(text: witnessing.note.text).size
        let start = witnessing.add(answer.body, by: site.name, log: log)
        round.witnessing = witnessing
        guard let start else {
            open = round
            return []
        }
        round.pending = nil
        round.witnessing = nil
        open = round
        let results = round.work.kind == .statistics ? [] : self.results
        return pending.openings.map { site, message in
            .send(
                to: site,
                .roundOpen(work: round.work.canonicalBytes, start: start.encoded, opening: message, results: results))
        } + (try follow(pending.rest, at: now))
    }

    /// Sites that the next round is offered to: those who answer; all members when they would be too few.
    private var invited: [UInt32] {
        let members = sites.map(\.index).filter { !revoked.contains($0) }
        let present = members.filter { !silent.contains($0) }
        return present.count >= plan.cohort.sitesMin ? present : members
    }

    private func name(_ index: UInt32) -> String? { sites.first { $0.index == index }?.name }

    private func elements(_ kind: RoundWork.Kind) throws -> Int {
        switch kind {
        case .statistics: SiteStatistics.layout(plan.schema).count
        case .training: parameters?.count ?? 0
        case .evaluation: try plan.evaluationLayout().count
        }
    }

    private mutating func follow(_ actions: [ServerAction], at now: Timestamp) throws -> [CoordinatorAction] {
        guard let round = open else { return [] }
        var result: [CoordinatorAction] = []
        for action in actions {
            switch action {
            case .send(let index, let message):
                guard let site = name(index) else { continue }
                result.append(.send(to: site, .aggregation(round: round.work.number, message: message)))
            case .entered(_, let milliseconds):
                open?.deadline = Timestamp(milliseconds: now.milliseconds + Int64(milliseconds))
            case .completed(let sum):
                result += try completed(round, sum, at: now)
            case .aborted(let refusal):
                result += try aborted(round, refusal.code.name, at: now)
            case .suspect(let index, let code):
                result.append(
                    .log(.coordinator(.siteSuspected, self.round(round, ["site": .string(name(index) ?? ""), "code": .string(code.name)]))))
            }
        }
        return result
    }

    private mutating func aborted(_ round: OpenRound, _ code: String, at now: Timestamp) throws -> [CoordinatorAction] {
        let entry = LogEntry.coordinator(.roundAborted, self.round(round, ["code": .string(code)]))
        // Before it opened nobody had reserved anything.
        if round.work.kind == .training, round.pending == nil { droppedRounds += 1 }
        open = nil
        guard round.attempt < plan.cohort.attempts else {
            return [.log(entry)] + end(.failed, reason: "round \(round.work.kind.rawValue) after step \(step): \(code)")
        }
        return [.log(entry)] + (try openRound(round.work.kind, isCurve: round.work.isCurve, attempt: round.attempt + 1, at: now))
    }

    /// The sum is known: take the step, tell the sites, go on.
    private mutating func completed(_ round: OpenRound, _ exact: AggregateSum, at now: Timestamp) throws -> [CoordinatorAction] {
        let sum: AggregateSum
        do { sum = try noised(exact, round) } catch { return fail("the sum cannot be noised: \(error)", at: now) }
        var model: [CoordinatorAction] = []
        if round.work.kind == .training {
            do { model = [adopt(try nextModel(sum))] } catch { return fail("the update cannot be applied: \(error)", at: now) }
        }
        let published = open?.session.publish(sum, nextModelHash: model.isEmpty ? nil : modelBlob) ?? []
        let hash = open?.session.resultHash ?? .zero
        let document = open?.session.publishedResult?.encoded
        let sends = try follow(published, at: now)
        let names = sites.filter { sum.survivors.contains($0.index) }.map(\.name)
        var details: [String: JSONValue] = [
            "participants": .array(names.map { .string($0) }), "weight": .integer(Int64(sum.totalWeight)),
            "sum": .string(hash.hex), "clipped": .string(decimal(sum.clippedShare, places: 6)),
        ]
        if plan.privacy.guarantee == nil {
            if round.work.kind == .training { details["loss"] = .string(decimal(sum.weightedLoss, places: 6)) }
        } else {
            ledgerHeads.merge(open?.session.ledgerHeads ?? [:]) { _, newer in newer }
            details["ledgers"] = .object(ledgers(ledgerHeads.filter { sum.roster.contains($0.key) }).mapValues { .string($0) })
        }
        let entry = CoordinatorAction.log(.coordinator(.roundCompleted, self.round(round, details)))
        remember(round, names, sum)
        open = nil
        if round.work.kind == .training, let document {
            model.append(.store(document))
            results.append(SHA256.hash(document))
        }
        let before = model + [entry] + sends
        switch round.work.kind {
        case .statistics: return before + (try startTraining(sum, at: now))
        case .training: return before + (try stepped(hash, at: now))
        case .evaluation: return before + (try evaluated(sum, round, at: now))
        }
    }

    /// In mode central, the sum with the coordinator's noise; from here on nothing sees the exact one.
    private func noised(_ sum: AggregateSum, _ round: OpenRound) throws -> AggregateSum {
        guard round.work.kind == .training,
            let noise = try plan.releaseNoise(fractionBits: round.session.descriptor.vector.tensors.first?.fractionBits ?? 0)
        else { return sum }
        return sum.replacing(signedSums: noise.noised(sum.signedSums, random: random))
    }

    /// Makes parameters the run's model: encoded and hashed once.
    private mutating func adopt(_ parameters: ModelParameters) -> CoordinatorAction {
        let bytes = parameters.canonicalBytes
        self.parameters = parameters
        modelBlob = SHA256.hash(bytes)
        return .store(bytes)
    }

    private mutating func nextModel(_ sum: AggregateSum) throws -> ModelParameters {
        guard let parameters else { throw CoordinatorError.corrupt("a training round without a model") }
        return try parameters.replacing(
            try plan.training.server.apply(previous: parameters.flattened, meanUpdate: sum.weightedMeanFloats, state: &optimizer))
    }

    private func ledgers(_ heads: [UInt32: LedgerHead]) -> [String: String] {
        Dictionary(uniqueKeysWithValues: heads.compactMap { index, head in name(index).map { ($0, head.text) } })
    }

    private mutating func remember(_ round: OpenRound, _ names: [String], _ sum: AggregateSum) {
        // Every site of a private training round has the plan's weight: it counts nothing.
        let counts = round.work.kind != .training || plan.privacy.guarantee == nil
        provenance.rounds.append(
            .init(
                number: Int(round.work.number & 0xff_ffff), kind: round.work.kind.rawValue, sites: names.sorted(),
                rows: counts ? Int(sum.totalWeight) : nil))
        guard round.work.kind == .training else { return }
        for index in provenance.roster.indices where names.contains(provenance.roster[index].site) {
            provenance.roster[index].rounds += 1
        }
    }

    private func round(_ round: OpenRound, _ details: [String: JSONValue]) -> [String: JSONValue] {
        details.merging(["run": .string(identifier), "number": .integer(Int64(round.work.number))]) { new, _ in new }
    }
}

// MARK: - What the sums become

extension Run {
    private mutating func startTraining(_ sum: AggregateSum, at now: Timestamp) throws -> [CoordinatorAction] {
        let statistics: GlobalStatistics
        let preprocessor: Preprocessor
        do {
            statistics = try SiteStatistics.decode(
                weightedMeans: sum.weightedMean, totalRows: Int(sum.totalWeight), schema: plan.schema)
            preprocessor = try Preprocessor(schema: plan.schema, statistics: statistics)
        } catch {
            return end(.failed, reason: "the federation's statistics cannot be used: \(error)")
        }
        self.statistics = statistics
        self.preprocessor = preprocessor
        let document = preprocessor.json.canonicalBytes()
        preprocessorBlob = SHA256.hash(document)
        let initial = ModelParameters(
            family: plan.family, inputs: preprocessor.columnCount,
            seed: plan.training.initialSeed)
        return [.store(document), adopt(initial)] + (try openRound(.training, at: now))
    }

    private mutating func stepped(_ result: Digest, at now: Timestamp) throws -> [CoordinatorAction] {
        previousResult = result
        step += 1
        if step == plan.training.rounds { return try openRound(.evaluation, at: now) }
        if plan.evaluation.everyRounds > 0, step % plan.evaluation.everyRounds == 0 {
            return try openRound(.evaluation, isCurve: true, at: now)
        }
        return try openRound(.training, at: now)
    }

    private mutating func evaluated(_ sum: AggregateSum, _ round: OpenRound, at now: Timestamp) throws -> [CoordinatorAction] {
        let metrics: [String: Double]
        let groups: [(group: String, metrics: EvaluationMetrics)]
        do {
            let histogram = try EvaluationHistogram(
                layout: plan.evaluationLayout(), meanShares: sum.weightedMean, rows: Int(sum.totalWeight))
            metrics = histogram.metrics.named
            groups = histogram.groupMetrics
            if plan.evaluation.calibrates, !round.work.isCurve {
                calibration = histogram.calibration.map { .init(slope: $0.slope, intercept: $0.intercept) }
            }
        } catch {
            return end(.failed, reason: "the evaluation cannot be used: \(error)")
        }
        let entry = CoordinatorAction.log(
            .coordinator(
                .evaluationCompleted,
                self.round(
                    round,
                    [
                        "metrics": .object(metrics.mapValues { .string(decimal($0, places: 6)) }),
                        "groups": .object(
                            Dictionary(uniqueKeysWithValues: groups.map { group in
                                (group.group, .object(group.metrics.named.mapValues { .string(decimal($0, places: 6)) }))
                            })),
                        "curve": .bool(round.work.isCurve),
                    ])))
        if round.work.isCurve { return [entry] + (try openRound(.training, at: now)) }
        return [entry] + (try decide(metrics, at: now))
    }

    /// Holds the gates against the metrics; releases only when all pass.
    private mutating func decide(_ metrics: [String: Double], at now: Timestamp) throws -> [CoordinatorAction] {
        let outcomes = plan.gates.map { $0.check(metrics) }
        let entry = CoordinatorAction.log(
            .coordinator(.gatesChecked, ["run": .string(identifier), "gates": .array(outcomes.map(\.json))]))
        guard outcomes.allSatisfy(\.passed) else {
            let missed = outcomes.filter { !$0.passed }.map(\.gate.metric.rawValue).joined(separator: ", ")
            return [entry] + end(.gatesMissed, reason: "gates missed: \(missed)")
        }
        provenance.metrics = metrics
        provenance.gates = outcomes.map { outcome in
            Provenance.Gate(
                metric: outcome.gate.metric.rawValue, atLeast: outcome.gate.atLeast, atMost: outcome.gate.atMost,
                value: outcome.value, passed: outcome.passed)
        }
        return [entry] + (try release(at: now))
    }

    /// What the run says about the rows behind it so far; nil without differential privacy.
    private func privacyStatement() throws(PrivacyParameterError) -> PrivacyStatement? {
        let training = provenance.rounds.filter { $0.kind == RoundWork.Kind.training.rawValue }
        let sizes = training.map(\.sites.count)
        return try plan.privacyStatement(
            rounds: training.count, dropped: droppedRounds, cohort: (sizes.min() ?? 0)...(sizes.max() ?? 0), ledgers: ledgers(ledgerHeads))
    }

    private mutating func release(at now: Timestamp) throws -> [CoordinatorAction] {
        guard let preprocessor, let statistics, let parameters else { return end(.failed, reason: "no model") }
        let contents: PackageContents
        do {
            provenance.privacy = try privacyStatement()
            contents = try PackageWriter.sign(
                PackageManifest(
                    name: plan.study, version: version, created: now.iso8601, study: plan.study, planHash: published.hash,
                    previous: previousPackage, schema: plan.schema, preprocessor: preprocessor, family: plan.family,
                    thresholds: .init(decision: plan.evaluation.threshold, abstain: plan.evaluation.abstain), calibration: calibration,
                    background: preprocessor.expectedInputs(statistics), provenance: provenance),
                parameters: parameters, with: signingKey)
        } catch {
            return end(.failed, reason: "the package cannot be made: \(error)")
        }
        let bundle = contents.bundle()
        let package = SHA256.hash(contents.files[PackageFile.manifest] ?? [])
        let bundleHash = SHA256.hash(bundle)
        let entry = LogEntry.coordinator(
            .releaseSigned,
            [
                "study": .string(plan.study), "version": .integer(Int64(version)), "run": .string(identifier),
                "plan": .string(published.hash.hex), "package": .string(package.hex), "bundle": .string(bundleHash.hex),
            ])
        let sends = sites.map { site in
            CoordinatorAction.send(
                to: site.name, .release(study: plan.study, version: version, package: package, bundle: bundleHash))
        }
        return [.store(bundle), .log(entry)] + sends + end(.released, reason: nil)
    }

    private mutating func end(_ status: RunHistory.Status, reason: String?) -> [CoordinatorAction] {
        isOver = true
        open = nil
        // A failed run has been paid for too.
        let privacy = provenance.privacy ?? (try? privacyStatement())
        let entry = LogEntry.coordinator(
            status == .failed ? .runAborted : .runCompleted,
            [
                "run": .string(identifier), "status": .string(status.rawValue),
                "reason": reason.map { .string(String($0.prefix(500))) } ?? .null, "privacy": privacy?.json ?? .null,
            ])
        return [.log(entry)] + sites.map { .send(to: $0.name, .runEnded(run: identifier, released: status == .released)) }
    }
}
