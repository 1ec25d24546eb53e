// Rounds in groups, §6.3 of `protocol/secure-aggregation.md`. Long form: 1,100 sites in groups of 512 and 588, about
// 270 s on a shared machine (all nodes check the whole roster: 1.2 million signatures).
//     CONSILIUM_LONG=1 CONSILIUM_ONLY=SecureAggregation swift test -c release -Xswiftc -enable-testing --filter Grouped

import Codec
import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Grouped rounds") struct GroupedRoundTests {
    @Test("groups are g … 2g − 1 sites, everybody in one", arguments: [4, 7, 8, 12, 15, 16, 1000])
    func partitionCoversTheRoster(_ count: Int) {
        for size in [4, 5] where count >= size {
            let groups = RosterGroup.partition(seed: digest(9), count: count, size: size)
            #expect(groups.joined().sorted() == Array(0..<count))
            #expect(groups.allSatisfy { (size..<2 * size).contains($0.count) })
            #expect(groups.dropLast().allSatisfy { $0.count == size })
        }
        #expect(
            RosterGroup.partition(seed: digest(9), count: count, size: 4)
                != RosterGroup.partition(seed: digest(8), count: count, size: 4) || count < 8)
    }

    @Test("the sum over all groups is the plain integer sum", arguments: [4, 7, 12, 14])
    func sumIsExact(_ n: Int) throws {
        var federation = GroupedFederation(World(sites: n, groupSize: 4, elements: 600))
        federation.run()
        let sum = try #require(federation.sum)
        #expect(federation.server.groupCount == n / 4)
        #expect(sum.survivors == federation.world.indices && sum.roster == federation.world.indices)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(sum.totalWeight == UInt64(n * (n + 1) / 2))
        #expect(federation.results.count == n)
        #expect(federation.results.values.allSatisfy { $0.sum == sum })
        #expect(Set(federation.results.values.map(\.hash)) == [federation.server.resultHash])
        #expect(federation.refusals.isEmpty && federation.server.droppedGroups.isEmpty)
        #expect(
            federation.steps
                == [.advertiseKeys, .shareKeys, .maskedInput, .consistency, .unmasking])
    }

    @Test("those who missed it can check the result")
    func publishedResultIsADocument() throws {
        var federation = GroupedFederation(World(sites: 12, groupSize: 4))
        federation.dies = { $0 == 5 && $1 == .maskedInput }
        federation.run()
        let published = try #require(federation.server.publishedResult)
        let spec = federation.world.descriptor.vector
        let read = try PublishedResult(
            encoded: published.encoded, spec: spec, key: federation.world.coordinator.publicKey)
        #expect(read.hash == federation.results[0]?.hash)
        #expect(read.sum(spec: spec).signedSums == federation.sum?.signedSums)
        #expect(read.sum(spec: spec).survivors == (0..<12).filter { $0 != 5 })
    }

    @Test(
        "one death in every group is made up for",
        arguments: [
            MessageType.shares, .maskedInput, .maskedSegment, .confirmation, .revealedShares,
        ])
    func survivesOneDeathInEveryGroup(_ type: MessageType) throws {
        let world = World(sites: 12, groupSize: 4, elements: 300)
        let victims = Set(GroupedFederation(world).groups.map { $0[1] })
        #expect(victims.count == 3)
        var federation = GroupedFederation(world)
        federation.dies = { victims.contains($0) && $1 == type }
        federation.run()
        let sum = try #require(federation.sum)
        let isCounted = type == .confirmation || type == .revealedShares
        #expect(sum.survivors.count == (isCounted ? 12 : 9))
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(federation.results.count == 9)
        #expect(federation.results.values.allSatisfy { $0.sum == sum })
        #expect(federation.server.droppedGroups.isEmpty)
    }

    @Test(
        "a group below its threshold is left out, the others complete",
        arguments: [MessageType.shares, .maskedInput, .confirmation, .revealedShares])
    func groupBelowThresholdIsDropped(_ type: MessageType) throws {
        let world = World(sites: 12, groupSize: 4)
        let groups = GroupedFederation(world).groups
        var federation = GroupedFederation(world)
        federation.dies = { groups[1].prefix(2).contains($0) && $1 == type }
        federation.run()
        let sum = try #require(federation.sum)
        let others = (groups[0] + groups[2]).sorted()
        #expect(federation.server.droppedGroups == [1])
        #expect(sum.survivors == others.map(UInt32.init))
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(Set(federation.results.keys) == Set(others))
        #expect(groups[1].dropFirst(2).allSatisfy { federation.dismissed[$0]?.code == .tooFewSites })
        #expect(federation.refusals.isEmpty)
    }

    @Test("the round ends without a sum when all groups together are too few")
    func minimumCountsOverAllGroups() {
        let world = World(sites: 12, groupSize: 4, minimum: 10)
        let groups = GroupedFederation(world).groups
        var federation = GroupedFederation(world)
        federation.dies = { groups[2].contains($0) && $1 == .maskedInput }
        federation.run()
        #expect(federation.sum == nil && federation.results.isEmpty)
        #expect(federation.serverAbort?.code == .tooFewSites)
        #expect((groups[0] + groups[1]).allSatisfy { federation.dismissed[$0] != nil })

        var dying = GroupedFederation(world)
        dying.dies = { $1 == .maskedInput }
        dying.run()
        #expect(dying.serverAbort?.code == .tooFewSites)
    }

    @Test("with fewer than g sites there is no round")
    func aRosterBelowOneGroupIsTooSmall() {
        var federation = GroupedFederation(World(sites: 12, groupSize: 8))
        federation.dies = { position, type in position > 6 && type == .advertisement }
        federation.run()
        #expect(federation.serverAbort?.code == .tooFewSites)
        #expect(federation.sum == nil)
    }

    @Test("random rounds with deaths at every stage are exact")
    func randomRoundsAreExact() {
        let random = SeededRandom(seed: TestSettings.seed)
        let stages: [MessageType] = [
            .advertisement, .shares, .maskedInput, .maskedSegment, .confirmation, .revealedShares,
        ]
        var completed = 0
        for _ in 0..<TestSettings.count("CONSILIUM_SECAGG_GROUPED", default: 10) {
            let n = 8 + random.uniform(below: 9)
            var federation = GroupedFederation(World(sites: n, groupSize: 4, elements: 40))
            var deaths: [Int: MessageType] = [:]
            for _ in 0..<random.uniform(below: 4) {
                deaths[random.uniform(below: n)] = stages[random.uniform(below: stages.count)]
            }
            federation.dies = { deaths[$0] == $1 }
            federation.run()
            guard let sum = federation.sum else {
                #expect(federation.serverAbort?.code == .tooFewSites)
                continue
            }
            completed += 1
            #expect(sum.signedSums == federation.plainSum(sum.survivors))
            #expect(federation.results.values.allSatisfy { $0.sum == sum })
        }
        #expect(completed > 0)
    }

    @Test(
        "1,100 sites in groups of 512 and 588", .enabled(if: TestSettings.isLong))
    func elevenHundredSites() throws {
        let world = World(sites: 1100, groupSize: 512, minimum: 1000, elements: 4)
        var federation = GroupedFederation(world)
        federation.dies = { $0 % 100 == 7 && $1 == .maskedInput }
        federation.run()
        let sum = try #require(federation.sum)
        #expect(federation.server.groupCount == 2)
        #expect(sum.survivors.count == 1089)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(federation.results.count == 1089)
        #expect(federation.refusals.isEmpty)
    }
}
