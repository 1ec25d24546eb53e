import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Whole rounds") struct WholeRoundTests {
    @Test("the secure sum is the plain integer sum", arguments: [3, 4, 5, 7, 10])
    func sumIsExact(_ n: Int) throws {
        var federation = Federation(World(sites: n))
        federation.run()
        let sum = try #require(federation.sum)
        #expect(federation.serverAbort == nil)
        #expect(sum.survivors == federation.world.indices)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(sum.totalWeight == UInt64(n * (n + 1) / 2))
        #expect(federation.results.count == n)
        #expect(federation.results.values.allSatisfy { $0.sum == sum })
        #expect(federation.refusals.isEmpty)
        var lossSum = 0.0
        for site in 0..<n { lossSum += Double(site) / 4 * Double(site + 1) }
        #expect(abs(sum.weightedLoss - lossSum / Double(sum.totalWeight)) < 1e-3)
    }

    @Test func sitesNeedNotBeNumberedFromZero() throws {
        var federation = Federation(World(sites: 5, stride: 13))
        federation.run()
        let sum = try #require(federation.sum)
        #expect(sum.survivors == [0, 13, 26, 39, 52])
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
    }

    @Test func aRoundWithoutPayloadSumsWeights() throws {
        var federation = Federation(World(sites: 10, elements: 0))
        federation.nextModel = nil
        federation.run()
        #expect(try #require(federation.sum).totalWeight == 55)
        #expect(federation.results.count == 10)
    }

    @Test func segmentsAddUp() throws {
        var federation = Federation(World(sites: 4, elements: 1000, segmentLog2: 8))
        federation.run()
        let sum = try #require(federation.sum)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
        #expect(federation.results.count == 4)
    }

    @Test(
        "a site that dies before any message is left out or made up for",
        arguments: [
            MessageType.advertisement, .shares, .maskedInput, .maskedSegment, .confirmation,
            .revealedShares,
        ])
    func survivesOneDeath(_ type: MessageType) throws {
        for n in [4, 7] {
            for victim in [0, n / 2, n - 1] {
                var federation = Federation(World(sites: n, elements: 600, segmentLog2: 8))
                federation.dies = { $0 == victim && $1 == type }
                federation.run()
                let sum = try #require(federation.sum, "\(n) sites, \(victim) dies")
                let isCounted = type == .confirmation || type == .revealedShares
                #expect(sum.survivors.contains(UInt32(victim)) == isCounted)
                #expect(sum.signedSums == federation.plainSum(sum.survivors))
                #expect(federation.results.count == n - 1)
            }
        }
    }

    @Test func abortsWhenTooFewAreLeft() {
        for type in [
            MessageType.advertisement, .shares, .maskedInput, .confirmation, .revealedShares,
        ] {
            var federation = Federation(World(sites: 5))
            federation.dies = { position, sent in position < 3 && sent == type }
            federation.run()
            #expect(federation.sum == nil)
            #expect(federation.serverAbort?.code == .tooFewSites)
            for position in 3..<5 {
                #expect(
                    federation.dismissed[position] != nil || federation.refusals[position] != nil)
            }
        }
    }

    @Test func anAbortingSiteIsADropout() throws {
        var federation = Federation(World(sites: 7))
        var policy = federation.world.policy
        policy.minimumHonest = 3
        policy.allowedConfigurations = []
        let world = federation.world
        federation.clients[2] = ClientSession(
            identity: world.identities[2], siteIndex: 2, manifest: world.manifest, policy: policy,
            coordinatorKey: world.coordinator.publicKey, history: AggregationHistory(),
            random: SeededRandom(seed: 1), now: World.now)
        federation.run()
        let sum = try #require(federation.sum)
        #expect(federation.refusals[2]?.code == .configurationNotAllowed)
        #expect(!sum.survivors.contains(2))
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
    }

    @Test(
        "random rounds with dropouts at every stage are exact (full count: CONSILIUM_SECAGG_ROUNDS=10000)"
    )
    func randomRoundsAreExact() throws {
        let random = SeededRandom(seed: TestSettings.seed)
        var completed = 0
        for _ in 0..<TestSettings.count("CONSILIUM_SECAGG_ROUNDS", default: 40) {
            let n = 3 + random.uniform(below: 5)
            let world = World(sites: n, elements: random.uniform(below: 300), segmentLog2: 8)
            let t = world.descriptor.cohort.threshold.threshold(sites: n)
            let stages: [MessageType] = [
                .advertisement, .shares, .maskedInput, .maskedSegment, .confirmation,
                .revealedShares,
            ]
            var deaths: [Int: MessageType] = [:]
            for _ in 0..<random.uniform(below: n - t + 2) {
                deaths[random.uniform(below: n)] = stages[random.uniform(below: stages.count)]
            }
            var federation = Federation(world)
            federation.dies = { deaths[$0] == $1 }
            federation.run()
            if let sum = federation.sum {
                completed += 1
                #expect(sum.signedSums == federation.plainSum(sum.survivors))
                #expect(sum.totalWeight == sum.survivors.reduce(0) { $0 + UInt64($1) + 1 })
            } else {
                #expect(federation.serverAbort?.code == .tooFewSites)
            }
        }
        #expect(completed > 0)
    }
}
