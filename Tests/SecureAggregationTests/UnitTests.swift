import Cryptography
import Testing

@testable import SecureAggregation

@Suite("Secret sharing") struct SecretSharingTests {
    private func shares(_ secret: [UInt8], n: Int, t: Int, _ random: SeededRandom) -> [SecretShare]
    {
        let polynomials = SecretSharing.Polynomials(
            secret: SecretBytes(copying: secret), threshold: t, random: random)
        return (1...n).map { x in
            SecretShare(
                bytes: SecretBytes(count: 40) {
                    polynomials.writeShare(of: UInt32(x), to: &$0, at: 0)
                }.exposedCopy()[...])!
        }
    }

    @Test func anyThresholdOfSharesGivesTheSecret() {
        let random = SeededRandom(seed: 12)
        for n in 1...6 {
            for t in 1...n {
                let secret = random.bytes(32)
                let all = shares(secret, n: n, t: t, random)
                for subset in 0..<(1 << n) where subset.nonzeroBitCount == t {
                    let holders = (0..<n).filter { subset >> $0 & 1 == 1 }
                    let found: [UInt8]? = Interpolation(coordinates: holders.map { UInt32($0 + 1) })
                        .secret(from: holders.map { all[$0] })?.exposedCopy()
                    #expect(found == secret)
                }
            }
        }
    }

    @Test func fewerSharesSayNothingUseful() {
        let random = SeededRandom(seed: 13)
        let secret = random.bytes(32)
        let all = shares(secret, n: 5, t: 4, random)
        let found: [UInt8]? = Interpolation(coordinates: [1, 2, 3]).secret(from: Array(all[..<3]))?
            .exposedCopy()
        #expect(found != secret)
    }

    @Test func decodesUpToHalfTheExcessAndNamesTheWrong() {
        let random = SeededRandom(seed: 14)
        for (r, t) in [(3, 1), (5, 3), (7, 3), (9, 5), (12, 4)] {
            let secret = random.bytes(32)
            let decoding = ErrorDecoding(coordinates: (1...UInt32(r)).map { $0 }, threshold: t)
            for errors in 0...((r - t) / 2) {
                var all = shares(secret, n: r, t: t, random)
                var wrong: [UInt32] = []
                for _ in 0..<errors {
                    let victim = random.uniform(below: r)
                    guard !wrong.contains(UInt32(victim + 1)) else { continue }
                    wrong.append(UInt32(victim + 1))
                    var limbs = all[victim].limbs
                    let limb = random.uniform(below: 5)
                    limbs[limb] = limbs[limb] + .one
                    all[victim] = SecretShare(limbs: limbs)
                }
                guard let outcome = decoding.decode(all) else {
                    Issue.record("not decoded: r = \(r), t = \(t), e = \(errors)")
                    continue
                }
                let found = outcome.secret.exposedCopy()
                let named = outcome.wrong
                #expect(found == secret)
                #expect(named == wrong.sorted())
            }
        }
    }

    @Test func sharesOutsideTheFieldAreRefused() {
        var bytes = [UInt8](repeating: 0, count: 40)
        #expect(SecretShare(bytes: bytes[...]) != nil)
        for index in 0..<8 { bytes[index] = 0xFF }
        bytes[7] = 0x1F
        #expect(SecretShare(bytes: bytes[...]) == nil)
        bytes[0] = 0xFE
        #expect(SecretShare(bytes: bytes[...]) != nil)
        #expect(SecretShare(bytes: bytes[..<39]) == nil)
    }

    @Test func fieldArithmeticAgreesWithWideIntegers() {
        let p = FieldElement.prime
        let random = SeededRandom(seed: 15)
        var values: [UInt64] = [0, 1, 2, p - 1, p - 2, p / 2, 1 << 60]
        for _ in 0..<40 { values.append(random.uniform(below: p)) }
        for a in values {
            for b in values {
                let (x, y) = (FieldElement(reduced: a), FieldElement(reduced: b))
                let product = a.multipliedFullWidth(by: b)
                #expect((x * y).value == p.dividingFullWidth(product).remainder)
                #expect((x + y).value == (a + b) % p)
                #expect((x - y).value == (a + p - b) % p)
            }
            if a != 0 {
                #expect((FieldElement(reduced: a) * FieldElement(reduced: a).inverse).value == 1)
            }
        }
        #expect(FieldElement(reducing: .max).value == UInt64.max % p)
    }
}

@Suite("Masks") struct MaskTests {
    @Test("pieces and threads do not change a single word")
    func parallelismIsInvisible() throws {
        let table = try SecretTable(count: 3, width: 32) { row, output, offset in
            output.store(
                SecretBytes(copying: [UInt8](repeating: UInt8(row), count: 32)), at: offset)
        }
        let masks = MaskExpansion(seeds: table, isAdded: [true, false, true])
        for count in [0, 1, 5, 4095, 4096, 4097, 9000, 20_001] {
            for segment in [8192, 16_384] {
                var one = [UInt32](repeating: 7, count: count)
                var many = one
                masks.apply(to: &one, part: .payload, segmentElements: segment, parallelism: 1)
                masks.apply(to: &many, part: .payload, segmentElements: segment, parallelism: 4)
                #expect(one == many)
                #expect(one == naive(count, segment, table, [true, false, true]))
            }
        }
    }

    /// The specification, word by word.
    private func naive(_ count: Int, _ segmentElements: Int, _ seeds: SecretTable, _ added: [Bool])
        -> [UInt32]
    {
        var words = [UInt32](repeating: 7, count: count)
        for start in stride(from: 0, to: count, by: segmentElements) {
            let length = min(segmentElements, count - start)
            for row in 0..<seeds.count {
                let key = Transcript.expand(
                    seeds.row(row), .segment, Array("pay".utf8),
                    UInt32(start / segmentElements).bigEndianBytes)
                let stream = WordBytes.words(
                    AESCTR256(key: key, initialVector: [UInt8](repeating: 0, count: 16)).keystream(
                        4 * length))
                for index in 0..<length {
                    words[start + index] =
                        added[row]
                        ? words[start + index] &+ stream[index]
                        : words[start + index] &- stream[index]
                }
            }
        }
        return words
    }
}

@Suite("Manifest") struct ManifestTests {
    @Test func needsTheGovernancesThreshold() throws {
        let world = World(sites: 5)
        let keys = world.identities.map(\.publicKey)
        let governance = try Governance(keys: Array(keys.prefix(4)), threshold: 3)
        var signed = SignedManifest(proposing: world.manifest)
        for position in [0, 1, 1, 4] {
            signed.sign(with: world.identities[position])
            #expect(throws: AggregationRefusal(.signatureInvalid)) {
                try signed.verified(under: governance)
            }
        }
        signed.sign(with: world.identities[2])
        #expect(try signed.verified(under: governance) == world.manifest)
        let decoded = try SignedManifest(encoded: signed.encoded)
        #expect(try decoded.verified(under: governance) == world.manifest)
        // A signature under another manifest does not carry over.
        var bytes = signed.encoded
        bytes[40] ^= 1
        if let other = try? SignedManifest(encoded: bytes) {
            #expect(throws: AggregationRefusal.self) { try other.verified(under: governance) }
        }
        #expect(throws: AggregationRefusal.self) { try Governance(keys: keys, threshold: 6) }
        #expect(throws: AggregationRefusal.self) { try Governance(keys: keys + keys, threshold: 2) }
    }
}

@Suite("Policy") struct PolicyTests {
    @Test func floorsHold() throws {
        func field(_ change: (inout NodeAggregationPolicy) -> Void) -> String? {
            var policy = NodeAggregationPolicy()
            change(&policy)
            do throws(AggregationPolicyError) { _ = try policy.validated() } catch {
                return error.field
            }
            return nil
        }
        #expect(field { _ in } == nil)
        #expect(field { $0.minimumCohort = 2 } == "minimumCohort")
        #expect(field { $0.minimumHonest = 1 } == "minimumHonest")
        #expect(field { $0.assumedColluders = 0 } == "assumedColluders")
        #expect(field { $0.maximumWeightShare = 0.91 } == "maximumWeightShare")
        #expect(field { $0.trustedQuorum = 1 } == "trustedQuorum")
        #expect(field { $0.attemptsMax = 0 } == "attemptsMax")
    }

    @Test(
        "thresholds of the specification's table",
        arguments: [(3, 3), (4, 3), (5, 4), (10, 7), (30, 21), (100, 67), (500, 334)])
    func thresholds(_ n: Int, _ t: Int) {
        #expect(ThresholdRule.twoThirds.threshold(sites: n) == t)
        #expect(
            ThresholdRule.holds(
                threshold: t, sites: n, colluders: NodeAggregationPolicy().colluders(sites: n)))
    }

    @Test func fourHospitalsTolerateOneDropout() {
        #expect(ThresholdRule.colluders(1).threshold(sites: 4) == 3)
        #expect(ThresholdRule.colluders(1).threshold(sites: 3) == 3)
        #expect(ThresholdRule.everyone.threshold(sites: 4) == 4)
        #expect(!ThresholdRule.holds(threshold: 3, sites: 4, colluders: 2))
    }

    @Test func refusalNamesAreUniqueAndExplained() {
        #expect(Set(RefusalCode.allCases.map(\.name)).count == RefusalCode.allCases.count)
        #expect(RefusalCode.survivorsTooFew.name == "survivors-too-few")
        #expect(RefusalCode.allCases.allSatisfy { !$0.explanation.isEmpty })
    }
}

@Suite("Specification") struct SpecificationTests {
    @Test func everyRefusalStandsInTheSpecification() throws {
        let text = try VectorFiles.specification()
        for code in RefusalCode.allCases {
            #expect(
                text.contains("| \(code.rawValue) | `\(code.name)` | \(code.explanation) |"),
                "\(code.name)")
        }
    }

    @Test("A26: the threat model says what recording traffic can mean")
    func a26HarvestNow() throws {
        #expect(try VectorFiles.specification().contains("harvest now, decrypt later"))
    }

    /// Bound of §4.1, and the largest error seen: printed for the table there.
}

@Suite("Uploads") struct UploadTests {
    /// Five sites of 3 segments each; the collection holds one vector aside in this test's proportions.
    @Test func resumesByMissingSegments() throws {
        var federation = Federation(World(sites: 4, elements: 700, segmentLog2: 8))
        let world = federation.world
        var lost = Set([1])
        federation.perform(federation.server.open())
        while federation.inboxes.contains(where: { !$0.isEmpty }) {
            for position in federation.clients.indices where !federation.inboxes[position].isEmpty {
                let message = federation.inboxes[position].removeFirst()
                for action in federation.clients[position].handle(message) {
                    guard case .uploadSegments(let count) = action, position == 2 else {
                        federation.perform([action], position)
                        continue
                    }
                    for segment in 0..<count where !lost.contains(segment) {
                        federation.deliver(federation.clients[2].segmentMessage(segment)!, 2)
                    }
                }
                if position == 2, federation.server.missingSegments(of: 2) == [1] {
                    #expect(federation.server.awaited.contains(2))
                    lost = []
                    // The same segment twice, then the missing one.
                    federation.deliver(federation.clients[2].segmentMessage(0)!, 2)
                    federation.deliver(federation.clients[2].segmentMessage(1)!, 2)
                }
            }
        }
        let sum = try #require(federation.sum)
        #expect(sum.survivors == world.indices)
        #expect(sum.signedSums == federation.plainSum(sum.survivors))
    }

    @Test func holdsNoMoreThanItsPlacesAndGivesAStalledOneAway() throws {
        // 2^23 elements are 32 MiB: one place.
        let spec = VectorSpec(
            tensors: [TensorSpec(name: "w", count: 1 << 23, clip: 1, cohortMax: 5)],
            maximumWeight: 10, segmentLog2: 8)
        var collection = MaskedCollection(spec: spec)
        let identity = SigningKey.generate(random: SeededRandom(seed: 1))
        let words = [UInt32](repeating: 5, count: 256)
        let segment = WordBytes.digest(words, 0..<256)
        for site in UInt32(0)..<2 {
            let input = MaskedInput(
                spec: spec, header: [UInt32](repeating: 0, count: 16),
                segments: [Digest](repeating: segment, count: spec.segmentCount))
            collection.add(
                MaskedInputHeader(
                    from: site, context: .zero, roster: .zero, sharers: .zero, input: input,
                    identity: identity))
        }
        func send(_ site: UInt32, _ number: Int) throws(AggregationRefusal) {
            let message = SegmentFrame.message(
                .maskedSegment, sender: site, segment: number, words: words, range: 0..<256)
            try collection.add(
                try SegmentFrame(message, type: .maskedSegment, spec: spec), message, from: site)
        }
        try send(0, 0)
        #expect(collection.heldBytes == 1024 + 9)
        for _ in 1..<MaskedCollection.patience {
            #expect(throws: AggregationRefusal(.uploadsBusy)) { try send(1, 0) }
        }
        try send(1, 0)
        #expect(collection.missingSegments(of: 0)?.count == spec.segmentCount)
        #expect(collection.missingSegments(of: 1)?.count == spec.segmentCount - 1)
        #expect(throws: AggregationRefusal(.uploadsBusy)) { try send(0, 0) }
    }
}

extension MaskedInput {
    /// Only digests, for a test of the collection.
    fileprivate init(spec: VectorSpec, header: [UInt32], segments: [Digest]) {
        self.init(
            spec: spec, header: header, payload: [],
            digests: VectorDigests(header: header, segments: segments))
    }
}
