import Codec
import Cryptography
import Testing

@testable import SecureAggregation

/// A whole round of the Python reference, message by message, and what a site must refuse of it.
@Suite("Vectors of the reference") struct RoundVectorTests {
    let vector: JSONValue
    let coordinator: SigningKey
    let manifest: Manifest
    let descriptor: RoundDescriptor

    init() throws {
        vector = try VectorFiles.load("round")
        coordinator = try SigningKey(seed: SecretBytes(copying: vector.bytes("coordinatorSeed")))
        manifest = try Manifest(canonicalBytes: vector.bytes("manifest"))
        descriptor = try RoundDescriptor(canonicalBytes: vector.bytes("descriptor"))
    }

    private func client(_ site: JSONValue) throws -> ClientSession {
        var policy = NodeAggregationPolicy()
        policy.minimumCohort = 3
        policy.minimumHonest = 2
        policy.assumedColluders = 1
        policy.allowedArchitectures = [digest(3)]
        policy.allowedConfigurations = [digest(4)]
        policy.allowedPrivacyModes.insert(.none)
        return ClientSession(
            identity: try SigningKey(seed: SecretBytes(copying: site.bytes("identitySeed"))),
            siteIndex: UInt32(site.number("index")), manifest: manifest, policy: policy,
            coordinatorKey: coordinator.publicKey, history: AggregationHistory(),
            random: VectorRandom(site.text("draws")), now: UInt64(vector.number("now")))
    }

    private func input(_ site: JSONValue) throws -> QuantizedVector {
        try FixedPoint.encode(
            site.doubles("valueBits"), spec: descriptor.vector,
            weight: UInt64(site.number("weight")),
            loss: site.double("lossBits"))
    }

    private func sent(_ actions: [ClientAction]) -> [[UInt8]] {
        actions.compactMap { if case .send(let message) = $0 { message } else { nil } }
    }

    @Test func manifestAndDescriptorAreCanonical() {
        #expect(manifest.canonicalBytes == vector.bytes("manifest"))
        #expect(manifest.hash.bytes == vector.bytes("manifestHash"))
        #expect(descriptor.canonicalBytes == vector.bytes("descriptor"))
        #expect(descriptor.context.bytes == vector.bytes("ctx"))
        #expect(RoundOpening.encoded(descriptor, key: coordinator) == vector.bytes("M0"))
    }

    @Test func everyMessageOfEverySite() throws {
        for site in vector.list("sites") {
            var session = try client(site)
            #expect(sent(session.handle(vector.bytes("M0"))) == [site.bytes("M1")])
            #expect(sent(session.handle(vector.bytes("M2"))) == [site.bytes("M3")])
            #expect(session.handle(site.bytes("M4")).isEmpty)
            if site.number("index") == vector.number("dropped") { continue }
            #expect(sent(session.provideInput(try input(site))) == [site.bytes("M5")])
            let segments = site.byteLists("segments")
            #expect((0..<2).map { session.segmentMessage($0) } == segments)
            #expect(sent(session.handle(vector.bytes("M6"))) == [site.bytes("M7")])
            #expect(sent(session.handle(vector.bytes("M8"))) == [site.bytes("M9")])
            #expect(session.handle(vector.bytes("M10")).isEmpty)
            var actions: [ClientAction] = []
            for segment in vector.byteLists("resultSegments").reversed() {
                actions += session.handle(segment)
            }
            guard case .finished(let result)? = actions.first else {
                Issue.record("no result")
                return
            }
            #expect(result.hash.bytes == vector.bytes("resultHash"))
            #expect(
                result.sum.signedSums.map { UInt32(bitPattern: $0) } == vector.words("sumPayload"))
            #expect(result.sum.survivors == [2, 3, 11, 12])
            #expect(result.sum.roster == [2, 3, 7, 11, 12])
        }
    }

    @Test func everyMessageOfTheCoordinator() throws {
        var server = ServerSession(
            descriptor: descriptor, manifest: manifest, signingKey: coordinator,
            now: UInt64(vector.number("now")))
        #expect(server.invited == [2, 3, 7, 11, 12])
        var outgoing: [UInt32: [[UInt8]]] = [:]
        var completed = false
        func take(_ actions: [ServerAction]) {
            for action in actions {
                switch action {
                case .send(let site, let message): outgoing[site, default: []].append(message)
                case .completed(let sum):
                    completed = true
                    #expect(
                        sum.signedSums.map { UInt32(bitPattern: $0) } == vector.words("sumPayload"))
                case .aborted(let refusal): Issue.record("\(refusal)")
                default: break
                }
            }
        }
        take(server.open())
        let sites = vector.list("sites")
        for name in ["M1", "M3", "M5"] {
            for site in sites where site[name] != nil {
                let index = UInt32(site.number("index"))
                take(try server.handle(site.bytes(name), from: index))
                if name == "M5" {
                    for segment in site.byteLists("segments") {
                        take(try server.handle(segment, from: index))
                    }
                }
            }
        }
        #expect(server.awaited == [7])
        take(server.deadlinePassed())
        for name in ["M7", "M9"] {
            for site in sites where site[name] != nil {
                take(try server.handle(site.bytes(name), from: UInt32(site.number("index"))))
            }
        }
        #expect(completed)
        take(server.publish(nextModelHash: digest(2)))
        for site in sites where site["M9"] != nil {
            let expected =
                [
                    vector.bytes("M0"), vector.bytes("M2"), site.bytes("M4"), vector.bytes("M6"),
                    vector.bytes("M8"), vector.bytes("M10"),
                ]
                + vector.byteLists("resultSegments")
            #expect(outgoing[UInt32(site.number("index"))] == expected)
        }
        #expect(server.resultHash?.bytes == vector.bytes("resultHash"))
    }

    @Test func badMessagesAreRefusedWithTheirCode() throws {
        let bad = try VectorFiles.load("bad-messages")
        let site = try #require(
            vector.list("sites").first { $0.number("index") == bad.number("site") })
        for test in bad.list("cases") {
            var session = try client(site)
            let order = ["M0", "M2", "M4", "M5", "M6", "M8", "M10"]
            for step in order.prefix(through: order.firstIndex(of: test.text("after")) ?? -1) {
                switch step {
                case "M4": _ = session.handle(site.bytes("M4"))
                case "M5": _ = session.provideInput(try input(site))
                default: _ = session.handle(vector.bytes(step))
                }
            }
            #expect(!session.isOver, "before: \(test.text("name"))")
            let actions = session.handle(test.bytes("message"))
            guard case .aborted(let refusal)? = actions.last else {
                Issue.record("not refused: \(test.text("name"))")
                continue
            }
            #expect(refusal.code.name == test.text("code"), "\(test.text("name"))")
            #expect(sent(actions).allSatisfy { $0.first == MessageType.abort.rawValue })
            #expect(session.isOver)
            #expect(session.handle(vector.bytes("M0")).isEmpty)
        }
    }
}

extension Array {
    fileprivate func prefix(through index: Int) -> ArraySlice<Element> { self[..<(index + 1)] }
}

@Suite("Fixed point vectors") struct FixedPointVectorTests {
    @Test func encodes() throws {
        for test in try VectorFiles.load("fixed-point").list("encode") {
            let tensors = test.list("tensors").map { row in
                let fields = row.arrayValue!
                return TensorSpec(
                    name: fields[0].stringValue!, count: Int(fields[1].intValue!),
                    clip: fields[2].doubleValue!,
                    fractionBits: Int(fields[3].intValue!))
            }
            let spec = VectorSpec(
                tensors: tensors, maximumWeight: UInt64(test.number("maximumWeight")))
            let vector = try FixedPoint.encode(
                test.doubles("valueBits"), spec: spec, weight: UInt64(test.number("weight")),
                loss: test.double("lossBits"))
            #expect(vector.payload == test.words("payload"), "\(test.text("name"))")
            #expect(vector.header.words == test.words("header"), "\(test.text("name"))")
        }
    }

    @Test func choosesTheMostFractionBits() throws {
        for row in try VectorFiles.load("fixed-point").list("fractionBits") {
            #expect(
                TensorSpec.fractionBits(
                    clip: row["clip"]!.doubleValue!, cohortMax: row.number("cohort"))
                    == row.number("bits"))
        }
    }
}
