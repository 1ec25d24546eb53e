// A lying coordinator of a round in groups, §6.3 of `protocol/secure-aggregation.md`.

import Codec
import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Attacks on grouped rounds") struct GroupedAttackTests {
    private let world = World(sites: 12, groupSize: 4)

    private func refusal(_ change: (inout World) -> Void) -> RefusalCode? {
        var world = world
        change(&world)
        var client = world.client(0)
        let opening = RoundOpening.encoded(world.descriptor, key: world.coordinator)
        for case .aborted(let refusal) in client.handle(opening) { return refusal.code }
        return nil
    }

    @Test("a node takes part in groups only by its own flag and above the floor")
    func groupsNeedTheFlag() {
        #expect(refusal { _ in } == nil)
        #expect(refusal { $0.policy.acceptsExperimentalGroups = false } == .graphNotSupported)
        #expect(!NodeAggregationPolicy().acceptsExperimentalGroups)
        // The production floor.
        #expect(refusal { $0.policy.minimumGroupSize = 64 } == .graphNotSupported)
        #expect(NodeAggregationPolicy().minimumGroupSize == 64)
        #expect(refusal { $0.descriptor.cohort.maximum = 65_536 } == .rosterTooLarge)
    }

    @Test("graph modes and sizes other than 0, 0 and 1, 3…512 do not decode")
    func otherGraphsDoNotDecode() throws {
        func descriptor(mode: UInt8, size: UInt32) -> [UInt8] {
            var bytes = world.descriptor.canonicalBytes
            let at = bytes.count - 32 - 20 - 5
            #expect(Array(bytes[at..<at + 5]) == [1, 0, 0, 0, 4])
            bytes.replaceSubrange(at..<at + 5, with: [mode] + size.bigEndianBytes)
            return bytes
        }
        for (mode, size) in [(0, 4), (1, 0), (1, 2), (1, 513), (2, 64)] as [(UInt8, UInt32)] {
            #expect(throws: AggregationRefusal(.graphNotSupported)) {
                try RoundDescriptor(canonicalBytes: descriptor(mode: mode, size: size))
            }
        }
        #expect(
            try RoundDescriptor(canonicalBytes: world.descriptor.canonicalBytes) == world.descriptor)
        let whole = try RoundDescriptor(canonicalBytes: descriptor(mode: 0, size: 0))
        #expect(whole.cohort.groupSize == nil)
        for size in [3, 512] as [UInt32] {
            let read = try RoundDescriptor(canonicalBytes: descriptor(mode: 1, size: size))
            #expect(read.cohort.groupSize == Int(size))
        }
    }

    @Test("the threshold must hold within the group, not over the roster")
    func rulesHoldWithinTheGroup() {
        // c = 8 of 12 would pass 2t > n + c with t = 11; in a group of 4 nothing does.
        var world = world
        world.policy.assumedColluders = 4
        var federation = GroupedFederation(world)
        federation.run()
        #expect(federation.refusals.count == 12)
        #expect(federation.refusals.values.allSatisfy { $0.code == .thresholdTooLow })

        // A policy that assumes one colluder among its partners assumes a third in a group that chance has made.
        for groupSize in [8, nil] {
            world = World(sites: 8, groupSize: 8)
            world.descriptor.cohort.threshold = .colluders(1)
            world.descriptor.cohort.groupSize = groupSize
            let sites = world.indices
            let (policy, cohort) = (world.policy, world.descriptor.cohort)
            let code: RefusalCode?
            do throws(AggregationRefusal) {
                try policy.checkCohort(sites, sharingWith: sites, cohort)
                code = nil
            } catch { code = error.code }
            #expect(code == (groupSize == nil ? nil : .thresholdTooLow))
        }

        world = self.world
        world.policy.minimumCohort = 5
        world.descriptor.cohort.minimum = 5
        federation = GroupedFederation(world)
        federation.run()
        #expect(federation.refusals.values.allSatisfy { $0.code == .rosterTooSmall })
        #expect(federation.refusals.count == 12)

        // Trusted sites must be in the own group.
        world = self.world
        let groups = GroupedFederation(world).groups
        world.policy.trustedSites = Set(groups[0].map(UInt32.init))
        world.policy.trustedQuorum = 2
        federation = GroupedFederation(world)
        federation.run()
        #expect(Set(federation.refusals.keys) == Set(groups[1] + groups[2]))
        #expect(federation.refusals.values.allSatisfy { $0.code == .rosterTrustedQuorum })
        #expect(federation.sum?.survivors == groups[0].map(UInt32.init))
    }

    @Test("a weight may dominate neither the round nor the group")
    func weightCountsAgainstTheGroup() {
        var world = world
        var history = AggregationHistory()
        history.apply(
            .opened(
                task: world.descriptor.task, round: 1, attempt: 1, context: digest(40)))
        history.apply(
            .result(
                task: world.descriptor.task, round: 1, resultHash: digest(41),
                nextModel: world.descriptor.modelHash, totalWeight: 36))
        world.descriptor.round = 2
        world.descriptor.previousResultHash = digest(41)
        // Site p weighs p + 1; half of 36 is 18, and a group is a third of the round: 6.
        var federation = GroupedFederation(world, history: history)
        federation.run()
        #expect(Set(federation.refusals.keys) == Set(6..<12))
        #expect(federation.refusals.values.allSatisfy { $0.code == .weightShareExceeded })
    }

    @Test("a site moved into another group: its boxes and its name do not fit there")
    func movedSites() throws {
        let groups = GroupedFederation(world).groups
        let (victim, stranger) = (groups[0][0], UInt32(groups[1][0]))

        // Named as what it is.
        var federation = GroupedFederation(world)
        var changed = false
        let roster = try roster(of: federation)
        let own = roster.graph(of: UInt32(victim), groupSize: 4, context: world.descriptor.context)
        func withBox(peer: UInt32, in message: [UInt8]) -> [UInt8] {
            let delivery = try! Delivery(message: message, roster: own)
            var boxes = delivery.boxes
            boxes[0] = EncryptedShares.Box(peer: peer, sealed: boxes[1].sealed)
            return Delivery(sharers: delivery.sharers, boxes: boxes.sorted { $0.peer < $1.peer })
                .message
        }
        federation.tamper = { position, message in
            guard position == victim, message.first == MessageType.delivery.rawValue else {
                return message
            }
            changed = true
            return withBox(peer: stranger, in: message)
        }
        federation.run()
        #expect(changed && federation.refusals[victim]?.code == .deliveryIncomplete)
        #expect(federation.refusals.count == 1)

        // Its box under the name of a member.
        federation = GroupedFederation(world)
        let member = own.sites.first { $0 != UInt32(victim) }!
        federation.tamper = { position, message in
            position == victim && message.first == MessageType.delivery.rawValue
                ? withBox(peer: member, in: message) : message
        }
        federation.run()
        #expect(federation.refusals[victim]?.code == .shareNotAuthentic)
    }

    @Test("two rosters, which give other groups, give other keys and hashes")
    func anotherRosterIsAnotherRound() throws {
        let roster = try roster(of: GroupedFederation(world))
        let context = world.descriptor.context
        let other = Roster(Array(roster.advertisements.dropLast()), context: context)
        #expect(roster.hash != other.hash)
        let all = SiteSet(Array(0..<4), capacity: 4)
        var hashes = Set<Digest>()
        let graphs =
            roster.groups(size: 4, context: context) + other.groups(size: 4, context: context)
        for graph in graphs where graph.count == 4 {
            let sharers = Delivery.hash(all, context: context, roster: graph)
            hashes.insert(sharers)
            hashes.insert(
                SurvivorList.hash(all, context: context, roster: graph, sharers: sharers))
        }
        // The same bitmap over every group, never the same h2 or h3.
        #expect(hashes.count == 2 * graphs.count { $0.count == 4 })
        let (first, second) = (graphs[0], graphs[1])
        #expect(
            SurvivorList.hash(all, context: context, roster: first, sharers: digest(1))
                != SurvivorList.hash(all, context: context, roster: second, sharers: digest(1)))
    }

    @Test("signatures of another group are no evidence, under any name")
    func evidenceOfAnotherGroup() throws {
        let groups = GroupedFederation(world).groups
        let victim = groups[0][0]
        var federation = GroupedFederation(world)
        var foreign: [SurvivorConfirmation] = []
        // The other groups' M8 comes by before the victim's when the victim is served last.
        let outsider = groups[1][0]
        federation.tamper = { position, message in
            guard message.first == MessageType.evidence.rawValue else { return message }
            if position == outsider { foreign = try! SurvivorConfirmation.confirmations(message) }
            return message
        }
        federation.run()
        #expect(foreign.count == 3)
        for relabelled in [false, true] {
            federation = GroupedFederation(world)
            federation.tamper = { position, message in
                guard position == victim, message.first == MessageType.evidence.rawValue else {
                    return message
                }
                let own = try! SurvivorConfirmation.confirmations(message)
                return SurvivorConfirmation.evidence(
                    zip(own, foreign).map {
                        SurvivorConfirmation(
                            site: relabelled ? $0.site : $1.site, signature: $1.signature)
                    })
            }
            federation.run()
            #expect(
                federation.refusals[victim]?.code
                    == (relabelled ? .evidenceSignature : .evidenceNotSurvivor))
            #expect(federation.refusals.count == 1)
        }
    }

    @Test("the survivor list of another group is one nobody else in this group signs")
    func survivorsOfAnotherGroup() throws {
        let groups = GroupedFederation(world).groups
        let victim = groups[0][0]
        var federation = GroupedFederation(world)
        // Ordinal 3 of the other group died; the victim is told that list.
        let list = SurvivorList.message(SiteSet([0, 1, 2], capacity: 4))
        federation.tamper = { position, message in
            position == victim && message.first == MessageType.survivors.rawValue ? list : message
        }
        federation.run()
        #expect(federation.refusals[victim]?.code == .evidenceSignature
            || federation.refusals[victim]?.code == .evidenceNotSurvivor)
        // A bitmap over the whole roster is none of this group.
        federation = GroupedFederation(world)
        let whole = SurvivorList.message(SiteSet(Array(0..<12), capacity: 12))
        federation.tamper = { position, message in
            position == victim && message.first == MessageType.survivors.rawValue ? whole : message
        }
        federation.run()
        #expect(federation.refusals[victim]?.code == .malformedMessage)
    }

    @Test("a result over other survivors than the group signed is refused")
    func resultOverOtherSurvivors() throws {
        let groups = GroupedFederation(world).groups
        let all = Array(0..<12)
        let cases: [([Int], RefusalCode?)] = [
            (all, nil),
            // One of the own group, the whole own group missing.
            (all.filter { $0 != groups[0][1] }, .resultMismatch),
            (all.filter { !groups[0].contains($0) }, .resultMismatch),
            // Another group below its threshold.
            (all.filter { !groups[1].prefix(2).contains($0) }, .resultMismatch),
            // Slots say 12.
            (all.filter { !groups[1].contains($0) }, .resultSlots),
        ]
        let victim = groups[0][0]
        let (context, spec) = (world.descriptor.context, world.descriptor.vector)
        let roster = try roster(of: GroupedFederation(world))
        let (key, words) = (world.coordinator, GroupedFederation(world).plainWords)
        for (survivors, expected) in cases {
            var federation = GroupedFederation(world)
            federation.tamper = { position, message in
                guard position == victim, message.first == MessageType.result.rawValue else {
                    return message
                }
                let header = try! ResultHeader(message: message, rosterCount: 12)
                let set = SiteSet(survivors, capacity: 12)
                return ResultHeader(
                    survivors: set, slots: header.slots, payload: words, spec: spec,
                    nextModelHash: header.nextModelHash,
                    transcript: .ofAllGroups(set, context: context, roster: roster.hash), key: key
                ).message
            }
            federation.run()
            #expect(federation.refusals[victim]?.code == expected, "\(survivors)")
        }
    }

    @Test("a result signed for one group alone is refused")
    func resultOfOneGroup() throws {
        let victim = 0
        var federation = GroupedFederation(world)
        let roster = try roster(of: federation)
        let context = world.descriptor.context
        let own = roster.graph(of: 0, groupSize: 4, context: context)
        let set = SiteSet(Array(0..<4), capacity: 4)
        let sharers = Delivery.hash(set, context: context, roster: own)
        let transcript = ConfirmedTranscript(
            context: context, roster: roster.hash, sharers: sharers,
            survivors: SurvivorList.hash(set, context: context, roster: own, sharers: sharers))
        let (key, spec, words) = (world.coordinator, world.descriptor.vector, federation.plainWords)
        for capacity in [4, 12] {
            federation = GroupedFederation(world)
            federation.tamper = { position, message in
                guard position == victim, message.first == MessageType.result.rawValue else {
                    return message
                }
                let header = try! ResultHeader(message: message, rosterCount: 12)
                return ResultHeader(
                    survivors: capacity == 4 ? set : header.survivors, slots: header.slots,
                    payload: words, spec: spec, nextModelHash: header.nextModelHash,
                    transcript: transcript, key: key
                ).message
            }
            federation.run()
            #expect(
                federation.refusals[victim]?.code
                    == (capacity == 4 ? .malformedMessage : .resultSignature))
        }
    }

    /// The roster of the round, in which every site's randomness is fixed.
    private func roster(of federation: GroupedFederation) throws -> Roster {
        var federation = federation
        var found: [UInt8] = []
        federation.dies = { $1 == .shares }
        federation.tamper = { _, message in
            if message.first == MessageType.roster.rawValue { found = message }
            return message
        }
        federation.run()
        return try Roster(message: found, context: world.descriptor.context)
    }
}

extension GroupedFederation {
    /// The payload of the sum over everybody.
    var plainWords: [UInt32] { plainSum(world.indices).map { UInt32(bitPattern: $0) } }
}
