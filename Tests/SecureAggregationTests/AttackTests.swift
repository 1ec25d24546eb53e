// One test per row of the attack table of `protocol/secure-aggregation.md` §10 that this module can show.

import Codec
import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Attacks") struct AttackTests {
    @Test("A1: different models to different sites")
    func a1DifferentModels() throws {
        var evil = EvilCoordinator(World(sites: 5))
        var other = evil.world.descriptor
        other.modelHash = digest(66)
        for position in 0..<4 {
            evil.send(
                RoundOpening.encoded(evil.world.descriptor, key: evil.world.coordinator),
                to: position)
        }
        evil.send(RoundOpening.encoded(other, key: evil.world.coordinator), to: 4)
        evil.rosterToAll()
        for position in 0..<4 {
            #expect(evil.refusals[position] == AggregationRefusal(.rosterSignature, site: 4))
        }
        #expect(evil.refusals[4]?.code == .rosterSignature)
        #expect(evil.count(.shares) == 0)

        // Had nobody checked the roster, the victim's masks would come from another context and not cancel.
        let context = evil.world.descriptor.context
        let secrets = try (0..<5).map {
            try RoundSecrets(
                site: UInt32($0), context: $0 == 4 ? other.context : context,
                random: SeededRandom(seed: UInt64($0)))
        }
        let roster = Roster(
            (0..<5).map {
                Advertisement(
                    site: UInt32($0), secrets: secrets[$0], ledgerHead: .none, context: context,
                    identity: evil.world.identities[$0])
            }, context: context)
        var header = [UInt32](repeating: 5, count: HeaderSlots.count)
        var payload = [UInt32](repeating: 0, count: 4096)
        for site in 0..<5 {
            let keys = PairwiseKeys(context: site == 4 ? other.context : context, roster: roster)
            let peers = (0..<5).filter { $0 != site }
            let table = try SecretTable(count: 4, width: 32) {
                (row, output, offset) throws(AggregationRefusal) in
                let peer = roster.advertisements[peers[row]]
                let agreed = try keys.agreed(
                    secrets[site].maskKey, with: peer.maskKey, site: peer.site)
                output.store(keys.pairSeed(agreed, roster.advertisements[site], peer), at: offset)
            }
            let masks = MaskExpansion(seeds: table, isAdded: peers.map { site < $0 })
            masks.apply(to: &header, part: .header, segmentElements: 16, parallelism: 1)
            masks.apply(to: &payload, part: .payload, segmentElements: 1 << 20, parallelism: 1)
        }
        #expect(!HeaderSlots(words: header).isPlausibleSum(survivors: 5, maximumWeight: 1000))
        #expect(chiSquare(WordBytes.bytes(payload)) < chiSquareMax)
    }

    @Test("A2: the same site as survivor and as dropout")
    func a2SameVictimTwice() throws {
        var evil = EvilCoordinator(World(sites: 5))
        evil.runToMaskedInput()
        let (all, fewer) = ([0, 1, 2, 3, 4], [0, 1, 2, 3])
        for position in 0..<4 { evil.send(SurvivorList.message(evil.survivors(all)), to: position) }
        for position in 0..<2 {
            evil.send(SurvivorList.message(evil.survivors(fewer)), to: position)
            #expect(evil.refusals[position]?.code == .survivorsConflict)
        }
        let evidence = SurvivorConfirmation.evidence(
            (0..<4).map { evil.forged($0, evil.transcript(all)) })
        evil.send(evidence, to: 2)
        #expect(evil.count(.revealedShares) == 1)
        evil.send(
            SurvivorConfirmation.evidence((0..<4).map { evil.forged($0, evil.transcript(fewer)) }),
            to: 2)
        #expect(evil.refusals[2]?.code == .alreadyUnmasked)
        #expect(evil.count(.revealedShares) == 1)
    }

    @Test(
        "A3: two survivor lists for two halves, every split, every list, one colluding signer",
        arguments: [4, 5, 6])
    func a3SplitSurvivorViews(_ n: Int) throws {
        var base = EvilCoordinator(World(sites: n))
        base.runToMaskedInput()
        let t = base.world.descriptor.cohort.threshold.threshold(sites: n)
        let everyone = Array(0..<n)
        for missing in 1..<n {
            let (first, second) = (everyone, everyone.filter { $0 != missing })
            guard second.count >= t else { continue }
            // Site 0 colludes and signs both; bit k tells which list site k + 1 is shown.
            for split in 0..<(1 << (n - 1)) {
                var evil = base
                var signatures: [[SurvivorConfirmation]] = [[], []]
                for (list, positions) in [first, second].enumerated() {
                    signatures[list].append(evil.forged(0, evil.transcript(positions)))
                }
                for position in 1..<n {
                    let list = split >> (position - 1) & 1
                    let positions = list == 0 ? first : second
                    for message in evil.send(
                        SurvivorList.message(evil.survivors(positions)), to: position)
                    where message.first == MessageType.confirmation.rawValue {
                        signatures[list].append(try SurvivorConfirmation(message: message))
                    }
                }
                #expect(!(signatures[0].count >= t && signatures[1].count >= t))
                for position in 1..<n {
                    for list in 0...1 {
                        evil.send(
                            SurvivorConfirmation.evidence(Array(signatures[list].prefix(t))),
                            to: position)
                    }
                }
                // Shares leave only for a list that t sites signed, so for at most one of the two.
                let kinds = Set(
                    evil.sent.joined().compactMap { try? RevealedShares(message: $0) }.map {
                        $0.entries.map(\.kind.rawValue)
                    })
                #expect(kinds.count <= 1)
            }
        }
    }

    @Test("A3: the counting argument, every n to 12, every c")
    func a3Counting() {
        for n in 3...12 {
            for c in 0..<n {
                for t in 1...n where ThresholdRule.holds(threshold: t, sites: n, colluders: c) {
                    for honestForFirst in 0...(n - c) {
                        #expect(!(honestForFirst + c >= t && n - c - honestForFirst + c >= t))
                    }
                    #expect(2 * (t - c) > n - c)
                }
            }
        }
    }

    @Test("A4: a cohort stuffed with strangers, or without the sites one trusts")
    func a4StuffedCohort() {
        var world = World(sites: 5)
        world.policy.trustedSites = [3, 4]
        world.policy.trustedQuorum = 2
        var evil = EvilCoordinator(world)
        evil.openAll()
        let sybil = SigningKey.generate(random: SeededRandom(seed: 4))
        let secrets = try! RoundSecrets(
            site: 77, context: evil.context, random: SeededRandom(seed: 5))
        let stranger = Advertisement(
            site: 77, secrets: secrets, ledgerHead: .none, context: evil.context, identity: sybil)
        evil.send(Roster(evil.entries + [stranger], context: evil.context).message, to: 0)
        #expect(evil.refusals[0] == AggregationRefusal(.rosterUnlistedSite, site: 77))
        evil.send(Roster(Array(evil.entries.prefix(4)), context: evil.context).message, to: 1)
        #expect(evil.refusals[1]?.code == .rosterTrustedQuorum)
        #expect(evil.count(.shares) == 0)
    }

    @Test("A5: too few remain after dropouts")
    func a5TinyCohort() {
        var world = World(sites: 5, rule: .colluders(1))
        world.policy.minimumCohort = 5
        world.descriptor.cohort.minimum = 5
        var evil = EvilCoordinator(world)
        evil.runToMaskedInput()
        for position in 0..<4 {
            evil.send(SurvivorList.message(evil.survivors([0, 1, 2, 3])), to: position)
        }
        for position in 0..<4 { #expect(evil.refusals[position]?.code == .survivorsTooFew) }
        #expect(evil.count(.confirmation) == 0 && evil.count(.revealedShares) == 0)

        var honest = World(sites: 5, rule: .colluders(1))
        honest.policy.minimumHonest = 4
        var second = EvilCoordinator(honest)
        second.runToMaskedInput()
        second.send(SurvivorList.message(second.survivors([0, 1, 2, 3])), to: 0)
        #expect(second.refusals[0]?.code == .honestTooFew)
    }

    @Test("A6: replayed openings, also after a crash between any two writes")
    func a6Replay() throws {
        let world = World(sites: 5)
        var federation = Federation(world)
        federation.run()
        let records = try #require(federation.latches[0])
        #expect(records.count == 6)
        // The records survive a restart as bytes.
        let restored = AggregationHistory(
            replaying: try records.map { try LatchRecord(encoded: $0.encoded) })
        #expect(restored == federation.clients[0].history)

        func refusal(_ descriptor: RoundDescriptor, _ history: AggregationHistory) -> RefusalCode? {
            var session = world.client(0, history: history)
            let actions = session.handle(RoundOpening.encoded(descriptor, key: world.coordinator))
            if case .aborted(let refusal)? = actions.last { return refusal.code }
            return nil
        }
        for count in 1...records.count {
            let history = AggregationHistory(replaying: Array(records.prefix(count)))
            #expect(refusal(world.descriptor, history) == .roundNotIncreasing)
            var retry = world.descriptor
            retry.attempt = 2
            if count < 3 { #expect(refusal(retry, history) == nil) }
            var later = world.descriptor
            later.round = 2
            if count >= 3 && count < 6 { #expect(refusal(later, history) == .modelAlreadyUsed) }
        }
        let masked = AggregationHistory(replaying: Array(records.prefix(3)))
        var third = world.descriptor
        third.attempt = 3
        var twice = masked
        twice.apply(.opened(task: third.task, round: 1, attempt: 2, context: digest(9)))
        twice.apply(
            .masked(
                task: third.task, round: 1, attempt: 2, modelHash: third.modelHash,
                context: digest(9)))
        #expect(refusal(third, twice) == .tooManyAttempts)
        // Round numbers are per task, and a model is used once per task.
        var otherTask = world.descriptor
        otherTask.task = "study/evaluation"
        #expect(refusal(otherTask, restored) == nil)
    }

    @Test("A6: a repeated round must keep the survivors once shares were revealed")
    func a6RetryWithFewerSurvivors() throws {
        let world = World(sites: 5)
        var federation = Federation(world)
        federation.run()
        // Everything but the result was kept: the coordinator claims the round failed and repeats it without site 4.
        let histories = (0..<5).map {
            AggregationHistory(replaying: Array(federation.latches[$0]!.prefix(5)))
        }
        var again = world
        again.descriptor.attempt = 2
        var evil = EvilCoordinator(again, histories: histories)
        evil.runToMaskedInput()
        evil.send(SurvivorList.message(evil.survivors([0, 1, 2, 3])), to: 0)
        #expect(evil.refusals[0]?.code == .survivorsDifferOnRetry)
        evil.send(SurvivorList.message(evil.survivors([0, 1, 2, 3, 4])), to: 1)
        #expect(evil.refusals[1] == nil)
    }

    @Test("A7: a model that does not follow from the published sum")
    func a7FrozenModel() throws {
        let world = World(sites: 5)
        var federation = Federation(world)
        federation.run()
        let history = federation.clients[0].history
        var next = world.descriptor
        next.round = 2
        next.modelHash = digest(50)
        next.previousResultHash = try #require(federation.server.resultHash)
        var session = world.client(0, history: history)
        guard
            case .aborted(let refusal)? = session.handle(
                RoundOpening.encoded(next, key: world.coordinator)
            ).last
        else {
            Issue.record("not refused")
            return
        }
        #expect(refusal.code == .modelNotDerived)
        next.modelHash = digest(2)
        session = world.client(0, history: history)
        #expect(session.handle(RoundOpening.encoded(next, key: world.coordinator)).count == 3)
        // Pretending to start over on the same task is refused as well.
        next.previousResultHash = .zero
        next.modelHash = digest(51)
        session = world.client(0, history: history)
        guard
            case .aborted(let second)? = session.handle(
                RoundOpening.encoded(next, key: world.coordinator)
            ).last
        else {
            Issue.record("not refused")
            return
        }
        #expect(second.code == .modelNotDerived)
    }

    @Test("A7: a next model hash that the node cannot reproduce")
    func a7WrongNextModel() throws {
        var federation = Federation(World(sites: 4))
        var verdicts: [RefusalCode] = []
        federation.run()
        let world = federation.world
        var session = world.client(0)
        // Replay the round's messages to a fresh copy of site 0 and let it compute another model.
        let inbox = replayed(federation.world)
        for message in inbox {
            for action in session.handle(message) {
                switch action {
                case .needInput: _ = session.provideInput(world.vector(0))
                case .finished:
                    for case .aborted(let refusal) in session.confirmResult(
                        computedModel: digest(99))
                    { verdicts.append(refusal.code) }
                default: break
                }
            }
        }
        #expect(verdicts == [.resultModelMismatch])
        let task = try #require(session.history.task(world.descriptor.task))
        #expect(task.nextModel == digest(99))
    }

    /// All messages that site 0 gets in an honest round of this world.
    private func replayed(_ world: World) -> [[UInt8]] {
        var federation = Federation(world)
        var inbox: [[UInt8]] = []
        federation.perform(federation.server.open())
        while !federation.server.isOver || federation.inboxes.contains(where: { !$0.isEmpty }) {
            for position in federation.clients.indices where !federation.inboxes[position].isEmpty {
                let message = federation.inboxes[position].removeFirst()
                if position == 0 { inbox.append(message) }
                federation.perform(federation.clients[position].handle(message), position)
            }
        }
        return inbox
    }

    @Test("A8: a late vector together with the claim that its site dropped out")
    func a8LateVector() throws {
        let world = World(sites: 5, elements: 4096)
        var federation = Federation(world)
        federation.dies = { position, type in position == 2 && type == .maskedInput }
        federation.run()
        let sum = try #require(federation.sum)
        #expect(!sum.survivors.contains(2))
        guard case .masked(let state) = federation.clients[2].step else {
            Issue.record("site 2 had masked its vector")
            return
        }
        let late = state.masked.segmentMessage(0, from: 2)
        #expect(throws: AggregationRefusal(.tooLate, site: 2)) {
            try federation.server.handle(late, from: 2)
        }

        // The coordinator knows g of site 2 by now and can take off every pair mask; the self mask remains.
        let roster = state.roster
        let keys = PairwiseKeys(context: world.descriptor.context, roster: roster)
        let secrets = try RoundSecrets(
            site: 2, context: world.descriptor.context, random: SeededRandom(seed: 5002))
        #expect(secrets.maskKey.publicKey == roster.advertisements[2].maskKey)
        let peers = [0, 1, 3, 4]
        let table = try SecretTable(count: 4, width: 32) {
            (row, output, offset) throws(AggregationRefusal) in
            let peer = roster.advertisements[peers[row]]
            let agreed = try keys.agreed(secrets.maskKey, with: peer.maskKey, site: peer.site)
            output.store(keys.pairSeed(agreed, roster.advertisements[2], peer), at: offset)
        }
        var words = state.masked.payload
        MaskExpansion(seeds: table, isAdded: peers.map { $0 < 2 })
            .apply(to: &words, part: .payload, segmentElements: 1 << 20, parallelism: 1)
        #expect(words != world.vector(2).payload)
        #expect(chiSquare(WordBytes.bytes(words)) < chiSquareMax)
    }

    @Test("A9: two rosters for two sites")
    func a9TwoRosters() {
        var evil = EvilCoordinator(World(sites: 6))
        evil.openAll()
        let full = evil.roster
        let short = Roster(Array(evil.entries.prefix(5)), context: evil.context)
        evil.send(short.message, to: 0)
        for position in 1..<6 { evil.send(full.message, to: position) }
        // Site 0 shared under the short roster: nobody can open its box, it can open nobody's.
        evil.send(evil.delivery(to: 1).message, to: 1)
        #expect(evil.refusals[1] == AggregationRefusal(.shareNotAuthentic, site: 0))
        let boxes = (1..<5).map { sender in
            let shares = try! EncryptedShares(message: evil.last(.shares, from: sender)!)
            return EncryptedShares.Box(
                peer: UInt32(sender), sealed: shares.boxes.first { $0.peer == 0 }!.sealed)
        }
        evil.send(
            Delivery(sharers: SiteSet([0, 1, 2, 3, 4], capacity: 5), boxes: boxes).message, to: 0)
        #expect(evil.refusals[0]?.code == .shareNotAuthentic)
        #expect(evil.count(.maskedInput) == 0)
    }

    @Test("A10: public keys of low order")
    func a10LowOrderPoints() throws {
        let bad = try VectorFiles.load("bad-messages").list("cases").filter {
            $0.text("code") == "unusable-key"
        }
        #expect(bad.count == 7, "they run in badMessagesAreRefusedWithTheirCode")
    }

    @Test(
        "A11: masks never repeat, look uniform, change with every bit of a seed (full: CONSILIUM_SECAGG_MASKS=10000)"
    )
    func a11MaskStreams() throws {
        var seen = Set<[UInt8]>()
        for round in 0..<TestSettings.count("CONSILIUM_SECAGG_MASKS", default: 12) {
            let context = RoundDescriptor.context(of: Array("round \(round)".utf8))
            let secrets = try (0..<4).map {
                try RoundSecrets(
                    site: UInt32($0), context: context,
                    random: SeededRandom(seed: UInt64(round * 4 + $0)))
            }
            let identity = SigningKey.generate(random: SeededRandom(seed: 1))
            let roster = Roster(
                (0..<4).map {
                    Advertisement(
                        site: UInt32($0), secrets: secrets[$0], ledgerHead: .none, context: context,
                        identity: identity)
                },
                context: context)
            let keys = PairwiseKeys(context: context, roster: roster)
            for one in 0..<4 {
                var seeds = [keys.selfSeed(secrets[one].selfSeed, site: UInt32(one)).exposedCopy()]
                for other in 0..<one {
                    let peer = roster.advertisements[other]
                    let agreed = try keys.agreed(
                        secrets[one].maskKey, with: peer.maskKey, site: peer.site)
                    seeds.append(
                        keys.pairSeed(agreed, roster.advertisements[one], peer).exposedCopy())
                }
                for seed in seeds {
                    for part in ["hdr", "pay"] {
                        for segment in UInt32(0)..<2 {
                            let key = Transcript.expand(
                                SecretBytes(copying: seed), .segment, Array(part.utf8),
                                segment.bigEndianBytes)
                            let isNew = seen.insert(key.exposedCopy()).inserted
                            #expect(isNew)
                        }
                    }
                }
            }
        }
        func stream(_ seed: [UInt8]) throws -> [UInt32] {
            let table = try SecretTable(count: 1, width: 32) { _, output, offset in
                output.store(SecretBytes(copying: seed), at: offset)
            }
            var words = [UInt32](repeating: 0, count: 4096)
            MaskExpansion(seeds: table, isAdded: [true]).apply(
                to: &words, part: .payload, segmentElements: 4096, parallelism: 1)
            return words
        }
        let seed = SeededRandom(seed: 3).bytes(32)
        let reference = try stream(seed)
        #expect(chiSquare(WordBytes.bytes(reference)) < chiSquareMax)
        for bit in stride(from: 0, to: 256, by: 17) {
            var flipped = seed
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            let distance = zip(try stream(flipped), reference).reduce(0) {
                $0 + ($1.0 ^ $1.1).nonzeroBitCount
            }
            #expect((63_000...68_100).contains(distance))
        }
    }

    @Test("A12: every field of the descriptor just outside the policy")
    func a12WeakerParameters() {
        let world = World(sites: 5)
        func code(
            _ change: (inout RoundDescriptor) -> Void,
            _ policy: (inout NodeAggregationPolicy) -> Void = { _ in }
        ) -> RefusalCode? {
            var changed = world
            change(&changed.descriptor)
            policy(&changed.policy)
            var session = changed.client(0)
            if case .aborted(let refusal)? = session.handle(
                RoundOpening.encoded(changed.descriptor, key: changed.coordinator)
            ).last {
                return refusal.code
            }
            return nil
        }
        let noisy = PrivacyTerms(
            mode: .recordDistributed, noiseMultiplier: 1, samplingRate: 0.1, clippingNorm: 1,
            grid: 1e-6, minimumHonest: 3, delta: 1e-6)
        func noise(_ change: (inout PrivacyTerms) -> Void) -> RefusalCode? {
            code(
                {
                    $0.privacy = noisy
                    change(&$0.privacy)
                }, { $0.minimumHonest = 3 })
        }
        #expect(code { _ in } == nil)
        #expect(noise { _ in } == nil)
        #expect(noise { $0.noiseMultiplier = 0.29 } == .privacyParametersWeaker)
        #expect(noise { $0.samplingRate = 1.01 } == .privacyParametersWeaker)
        #expect(noise { $0.delta = 1.1e-5 } == .privacyParametersWeaker)
        #expect(noise { $0.delta = 0 } == .privacyParametersWeaker)
        #expect(noise { $0.clippingNorm = 2e9 } == .privacyParametersWeaker)
        #expect(noise { $0.minimumHonest = 2 } == .privacyParametersWeaker)
        #expect(noise { $0.mode = .central } == .privacyModeNotAllowed)
        #expect(code({ _ in }, { $0.minimumCohort = 4 }) == .cohortBoundTooSmall)
        #expect(code({ $0.cohort.minimum = 2 }) == .cohortBoundTooSmall)
        #expect(code({ $0.cohort.maximum = 1025 }) == .rosterTooLarge)
        #expect(code({ $0.vector.tensors[0].fractionBits += 1 }) == .overflowPossible)
        #expect(code({ $0.vector.tensors[0].clip = 2e9 }) == .clipNotAllowed)
        #expect(code({ _ in }, { $0.maximumElements = 7 }) == .vectorNotAllowed)
        #expect(code({ _ in }, { $0.fractionBits = 0...20 }) == .precisionNotAllowed)
        #expect(code({ $0.deadlines.unmasking = 0 }) == .deadlineNotAllowed)
        #expect(code({ $0.deadlines.unmasking = .max }) == .deadlineNotAllowed)
        #expect(code({ $0.configurationHash = digest(9) }) == .configurationNotAllowed)
        #expect(code({ $0.manifestHash = digest(9) }) == .manifestMismatch)

        // The threshold is judged with the roster.
        var weak = World(sites: 6, rule: .colluders(0))
        weak.policy.assumedColluders = 2
        var evil = EvilCoordinator(weak)
        evil.openAll()
        evil.rosterToAll()
        #expect(evil.refusals.allSatisfy { $0?.code == .thresholdTooLow })
    }

    @Test("A13: one holder reveals wrong shares")
    func a13BadHolder() throws {
        let world = World(sites: 7)
        var federation = Federation(world)
        federation.tamper = { position, message in
            guard position == 1, let shares = try? RevealedShares(message: message) else {
                return message
            }
            let entries = shares.entries.enumerated().map { index, entry in
                var bytes = entry.share
                bytes[8 * (index % 5)] ^= 1
                return RevealedShares.Entry(site: entry.site, kind: entry.kind, share: bytes)
            }
            return RevealedShares(
                from: 1, entries: entries, transcript: Self.transcript(of: world),
                identity: world.identities[1]
            ).message
        }
        federation.run()
        #expect(federation.serverAbort == nil)
        let sum = try #require(federation.sum)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(federation.suspects == [1])
    }

    /// The transcript of an honest, complete round of this world; sessions are deterministic.
    private static func transcript(of world: World) -> ConfirmedTranscript {
        var evil = EvilCoordinator(world)
        evil.runToMaskedInput()
        return evil.transcript(Array(world.indices.indices))
    }

    @Test("A13: a dealer whose shares are not of what it committed to")
    func a13BadDealer() throws {
        let world = World(sites: 7)
        var federation = Federation(world)
        federation.perform(federation.server.open())
        // Site 3 commits to another b than the one it shares.
        let message = federation.inboxes[3].removeFirst()
        _ = federation.clients[3].handle(message)
        guard case .advertised(let state) = federation.clients[3].step else { return }
        let other = try RoundSecrets(
            site: 3, context: world.descriptor.context, random: SeededRandom(seed: 808))
        let commitment = Advertisement.commitment(
            to: other.selfSeed, site: 3, context: world.descriptor.context)
        let body =
            UInt32(3).bigEndianBytes + state.own.channelKey + state.own.maskKey + commitment.bytes
            + LedgerHead.none.bytes
        let entry =
            body
            + Transcript.sign(
                .advert, world.descriptor.context.bytes, body, with: world.identities[3])
        let lie = try Advertisement(entry: entry)
        federation.clients[3].step = .advertised(
            ClientSession.Advertised(secrets: state.secrets, own: lie))
        federation.perform(federation.clients[3].provideInput(world.vector(3)), 3)
        federation.deliver(lie.message, 3)
        while federation.inboxes.contains(where: { !$0.isEmpty }) {
            for position in federation.clients.indices where !federation.inboxes[position].isEmpty {
                federation.perform(
                    federation.clients[position].handle(federation.inboxes[position].removeFirst()),
                    position)
            }
        }
        #expect(federation.sum == nil)
        #expect(federation.serverAbort == AggregationRefusal(.shareCommitmentMismatch, site: 3))
        #expect(federation.suspects == [3])
    }

    @Test("A15: a site whose weight would dominate")
    func a15DominantWeight() {
        let world = World(sites: 5)
        var history = AggregationHistory()
        history.apply(
            .result(
                task: world.descriptor.task, round: 0, resultHash: digest(8), nextModel: digest(1),
                totalWeight: 9))
        var descriptor = world.descriptor
        descriptor.previousResultHash = digest(8)
        for (position, isRefused) in [(3, false), (4, true)] {
            var session = world.client(position, history: history)
            _ = session.handle(RoundOpening.encoded(descriptor, key: world.coordinator))
            let actions = session.provideInput(world.vector(position))
            if case .aborted(let refusal)? = actions.last {
                #expect(isRefused && refusal.code == .weightShareExceeded)
            } else {
                #expect(!isRefused)
            }
        }
    }

    @Test("A16: no differential privacy without an explicit opt-in")
    func a16OptIn() {
        var world = World(sites: 5)
        world.policy.allowedPrivacyModes = NodeAggregationPolicy().allowedPrivacyModes
        var evil = EvilCoordinator(world)
        evil.openAll()
        #expect(evil.refusals.allSatisfy { $0?.code == .privacyModeNotAllowed })
        #expect(evil.count(.advertisement) == 0)
    }

    @Test("A17, A18: no message shows a site's loss, weight or data, not even by its size")
    func a17Metrics() throws {
        let world = World(sites: 5, elements: 600)
        func messages(_ vector: QuantizedVector) -> [[UInt8]] {
            var evil = EvilCoordinator(world)
            let opening = RoundOpening.encoded(world.descriptor, key: world.coordinator)
            for position in 1..<5 { evil.send(opening, to: position) }
            evil.sent[0] += evil.clients[0].handle(opening).compactMap {
                if case .send(let message) = $0 { message } else { nil }
            }
            _ = evil.clients[0].provideInput(vector)
            evil.rosterToAll()
            evil.send(evil.delivery(to: 0).message, to: 0)
            return evil.sent[0]
        }
        let small = try FixedPoint.encode(
            [Double](repeating: 0, count: 600), spec: world.descriptor.vector, weight: 1, loss: 0)
        let large = try FixedPoint.encode(
            [Double](repeating: 0.75, count: 600), spec: world.descriptor.vector, weight: 999,
            loss: 200)
        let (first, second) = (messages(small), messages(large))
        #expect(first.map(\.count) == second.map(\.count))
        #expect(first.count == 4)
        let header = try #require(first.compactMap { try? MaskedInputHeader(message: $0) }.first)
        #expect(header.header[0] != 1 && header.header[4] != 1 && Set(header.header).count > 12)
    }

    /// The other half, weights that are not finite, is refused where models are read (`ModelsTests`).
    @Test("A19: a model of an architecture that this site did not agree to")
    func a19UnknownArchitecture() {
        let world = World(sites: 4)
        var evil = EvilCoordinator(world)
        var trap = world.descriptor
        trap.architectureHash = digest(13)
        evil.openAll(trap)
        #expect(evil.refusals.allSatisfy { $0?.code == .architectureNotAllowed })
        // Nothing but the abort left, and the session is deaf from then on.
        evil.openAll()
        #expect(evil.sent.allSatisfy { $0.count == 1 && $0[0].first == MessageType.abort.rawValue })
    }

    @Test("A20: no choice of values makes an encoded sum wrap around")
    func a20Overflow() throws {
        let random = SeededRandom(seed: TestSettings.seed)
        for _ in 0..<300 {
            let n = 3 + random.uniform(below: 1022)
            let clip =
                Double(1 + random.uniform(below: 1 << 20))
                * exp2(Int(random.uniform(below: 40)) - 30)
            let tensor = TensorSpec(name: "w", count: 4, clip: clip, cohortMax: n)
            let spec = VectorSpec(tensors: [tensor], maximumWeight: 1 << 20)
            #expect(spec.cannotOverflow(cohortMax: n))
            let extreme = try FixedPoint.encode(
                [clip, -clip, 1e300, -1e300], spec: spec, weight: 1 << 20)
            for integer in extreme.integers {
                #expect(abs(Int64(integer)) * Int64(n) <= Int64(Int32.max))
            }
            var finer = spec
            finer.tensors[0].fractionBits += 1
            #expect(!finer.cannotOverflow(cohortMax: n))
        }
        let spec = VectorSpec(
            tensors: [TensorSpec(name: "w", count: 1, clip: 1, cohortMax: 5)], maximumWeight: 10)
        #expect(throws: FixedPointError.notFinite(element: 0)) {
            try FixedPoint.encode([Double.nan], spec: spec, weight: 1)
        }
        #expect(throws: FixedPointError.notFinite(element: 0)) {
            try FixedPoint.encode([-Float.infinity], spec: spec, weight: 1)
        }
        #expect(throws: FixedPointError.weightOutOfRange) {
            try FixedPoint.encode([0.0], spec: spec, weight: 11)
        }
        #expect(throws: FixedPointError.weightOutOfRange) {
            try FixedPoint.encode([0.0], spec: spec, weight: 0)
        }
    }

    @Test("A21: a flipped bit in any vector, header or seed does not pass")
    func a21SilentCorruption() throws {
        for (type, at) in [
            (MessageType.maskedInput, 120), (.maskedInput, 250), (.maskedSegment, 300),
        ] {
            var federation = Federation(World(sites: 5, elements: 600, segmentLog2: 8))
            federation.tamper = { position, message in
                guard position == 4, message.first == type.rawValue else { return message }
                var message = message
                message[at] ^= 4
                return message
            }
            federation.run()
            let sum = try #require(federation.sum)
            #expect(sum.survivors == [0, 1, 2, 3])
            #expect(sum.signedSums == federation.plainSum(sum.survivors))
        }
        // A site that masks with a wrong seed but signs what it sends: the constant slots give it away.
        var federation = Federation(World(sites: 5))
        var evilVector = federation.world.vector(4)
        let table = try SecretTable(count: 1, width: 32) { _, output, offset in
            output.store(seed32(9), at: offset)
        }
        let masked = MaskedInput(
            masking: &evilVector, with: MaskExpansion(seeds: table, isAdded: [true]), parallelism: 1
        )
        let world = federation.world
        federation.tamper = { position, message in
            guard position == 4 else { return message }
            if let header = try? MaskedInputHeader(message: message) {
                return MaskedInputHeader(
                    from: 4, context: header.context, roster: header.roster,
                    sharers: header.sharers, input: masked,
                    identity: world.identities[4]
                ).message
            }
            return message.first == MessageType.maskedSegment.rawValue
                ? masked.segmentMessage(0, from: 4) : message
        }
        federation.run()
        #expect(federation.sum == nil)
        #expect(federation.serverAbort?.code == .sumSlots)
    }

    @Test("A23: a privacy ledger that went backwards")
    func a23LedgerRollback() {
        let world = World(sites: 5)
        let hash = [UInt8](repeating: 1, count: 24)
        var history = AggregationHistory()
        history.apply(.ledgerHeads([2: LedgerHead(sequence: 1, hash: hash)]))
        var evil = EvilCoordinator(
            world, histories: (0..<5).map { $0 == 2 ? AggregationHistory() : history })
        evil.openAll()
        evil.rosterToAll()
        for position in [0, 1, 3, 4] {
            #expect(evil.refusals[position] == AggregationRefusal(.ledgerHeadRegressed, site: 2))
        }
        #expect(LedgerHead(sequence: 2, hash: hash).follows(LedgerHead(sequence: 1, hash: hash)))
        #expect(
            !LedgerHead(sequence: 1, hash: [UInt8](repeating: 2, count: 24)).follows(
                LedgerHead(sequence: 1, hash: hash)))
    }

    @Test("A24: too little noise left after dropouts")
    func a24NoiseShort() {
        var world = World(sites: 6)
        world.policy.minimumHonest = 3
        world.descriptor.privacy = PrivacyTerms(
            mode: .recordDistributed, noiseMultiplier: 1, samplingRate: 0.1, clippingNorm: 1,
            grid: 1e-6, minimumHonest: 5, delta: 1e-6)
        var evil = EvilCoordinator(world)
        evil.runToMaskedInput()
        evil.send(SurvivorList.message(evil.survivors([0, 1, 2, 3, 4])), to: 0)
        #expect(evil.refusals[0]?.code == .noiseTooSmall)
        evil.send(SurvivorList.message(evil.survivors([0, 1, 2, 3, 4, 5])), to: 1)
        #expect(evil.refusals[1] == nil)
        #expect(evil.count(.revealedShares) == 0)
    }
}
