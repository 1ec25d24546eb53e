import Codec
import Cryptography
import Study
import Testing

/// `protocol/plan.md` §3: one consent, one encoding, one signature.
@Suite struct ConsentTests {
    static let key = SigningKey.generate(random: SeededRandom(seed: 1))
    static let consent = Consent(
        site: "basel", study: "heart-1", planHash: SHA256.hash([1]),
        datasetFingerprint: SHA256.hash([2]),
        bounds: .init(sitesMin: 3, roundsMax: 500), acceptsNoDifferentialPrivacy: true,
        includesFeedbackRows: false,
        issued: 1_795_000_000_000, expires: 1_800_000_000_000)
    static let signed = SignedConsent(consent, signedBy: key)

    static func read(_ bytes: [UInt8], by key: SigningKey = key) throws(StudyError) -> SignedConsent
    {
        try SignedConsent(encoded: bytes, signer: key.publicKey)
    }

    /// A consent as anybody could write one: document, signature over `message`.
    static func forged(_ document: [UInt8], message: [UInt8]? = nil) -> [UInt8] {
        let domain = Array("consilium/consent/v1/".utf8)
        var writer = ByteWriter()
        writer.lengthPrefixed(document)
        writer.raw(key.sign(message ?? SHA256.hash(domain + document).bytes))
        return writer.bytes
    }

    @Test func readsWhatItWrote() throws {
        let read = try ConsentTests.read(ConsentTests.signed.encoded)
        #expect(read == ConsentTests.signed)
        #expect(read.consent == ConsentTests.consent)
        #expect(read.hash == SHA256.hash(ConsentTests.signed.encoded))
        #expect(read.encoded.count <= SignedConsent.encodedBytesMax)
    }

    @Test func signsTheCanonicalDocumentInItsDomain() throws {
        // The layout and the domain of the specification, written down a second time.
        let document = ConsentTests.consent.json.canonicalBytes()
        #expect(ConsentTests.signed.encoded == ConsentTests.forged(document))
    }

    @Test func refusesEveryFlippedBit() {
        let encoded = ConsentTests.signed.encoded
        for index in encoded.indices {
            for bit in 0..<8 {
                var changed = encoded
                changed[index] ^= 1 << UInt8(bit)
                #expect(throws: StudyError.self, "byte \(index), bit \(bit)") {
                    try ConsentTests.read(changed)
                }
            }
        }
    }

    @Test func refusesEveryPrefixAndLeftovers() {
        let encoded = ConsentTests.signed.encoded
        for count in encoded.indices {
            #expect(throws: StudyError.self) { try ConsentTests.read(Array(encoded[..<count])) }
        }
        #expect(throws: StudyError.self) { try ConsentTests.read(encoded + [0]) }
    }

    @Test func refusesAnotherSitesKey() {
        let error = failure {
            _ = try ConsentTests.read(
                ConsentTests.signed.encoded, by: SigningKey.generate(random: SeededRandom(seed: 2)))
        }
        #expect(error?.code == .consentInvalid)
        #expect(error?.description == "the signature is not the site's")
    }

    @Test func everyFieldIsSigned() {
        var others: [Consent] = []
        func change(_ body: (inout Consent) -> Void) {
            var other = ConsentTests.consent
            body(&other)
            others.append(other)
        }
        change { $0.site = "zurich" }
        change { $0.study = "heart-2" }
        change { $0.planHash = SHA256.hash([3]) }
        change { $0.datasetFingerprint = SHA256.hash([3]) }
        change { $0.bounds.sitesMin = 4 }
        change { $0.bounds.roundsMax = 501 }
        change { $0.acceptsNoDifferentialPrivacy = false }
        change { $0.includesFeedbackRows = true }
        change { $0.issued += 1 }
        change { $0.expires += 1 }
        for other in others {
            var writer = ByteWriter()
            writer.lengthPrefixed(other.json.canonicalBytes())
            writer.raw(ConsentTests.signed.signature)
            #expect(throws: StudyError.self) { try ConsentTests.read(writer.bytes) }
            #expect(
                SignedConsent(other, signedBy: ConsentTests.key).hash != ConsentTests.signed.hash)
        }
    }

    @Test func refusesASignatureMadeForSomethingElse() {
        let document = ConsentTests.consent.json.canonicalBytes()
        for message in [
            document, SHA256.hash(document).bytes, Array("consilium/consent/v1/".utf8) + document,
            SHA256.hash(Array("consilium/consent/v2/".utf8) + document).bytes,
        ] {
            #expect(throws: StudyError.self) {
                try ConsentTests.read(ConsentTests.forged(document, message: message))
            }
        }
    }

    /// Otherwise one consent would have many hashes.
    @Test func refusesAnotherFormOfTheSameDocument() {
        let canonical = ConsentTests.consent.json.canonicalBytes()
        let text = String(decoding: canonical, as: UTF8.self)
        for other in [
            text + " ", " " + text, text.replacing(":", with: ": "),
            text.replacing("\"roundsMax\":500", with: "\"roundsMax\":5e2"),
            text.replacing(
                ConsentTests.consent.planHash.hex,
                with: ConsentTests.consent.planHash.hex.uppercased()),
            text.replacing("basel", with: "b\\u0061sel"),
        ] {
            #expect(other != text)
            // Signed as sent, and signed as read: neither helps.
            #expect(throws: StudyError.self) {
                try ConsentTests.read(ConsentTests.forged(Array(other.utf8)))
            }
            var writer = ByteWriter()
            writer.lengthPrefixed(Array(other.utf8))
            writer.raw(ConsentTests.signed.signature)
            let error = failure { _ = try ConsentTests.read(writer.bytes) }
            #expect(error?.problem == "the consent is not in canonical form")
        }
    }

    @Test func refusesDocumentsThatMakeNoSense() {
        let json = ConsentTests.consent.json
        let cases: [(String, JSONValue?)] = [
            ("consilium", "consent/2"), ("consilium", nil), ("site", ""), ("site", "Basel"),
            ("site", "../x"), ("study", "a b"),
            ("planHash", "00"), ("planHash", .string(String(repeating: "g", count: 64))),
            ("datasetFingerprint", nil),
            ("bounds", nil), ("bounds.sitesMin", 2), ("bounds.sitesMin", 1025),
            ("bounds.roundsMax", 0),
            ("bounds.roundsMax", 1_000_001), ("bounds.extra", 1),
            ("acceptsNoDifferentialPrivacy", nil),
            ("acceptsNoDifferentialPrivacy", 1), ("includesFeedbackRows", nil), ("issued", -1),
            ("issued", nil),
            ("expires", 253_402_300_800_000), ("expires", .integer(.max)), ("expires", 1.5),
            ("extra", 1),
            // Expiry order: not at, not before the signature.
            ("expires", .integer(ConsentTests.consent.issued)),
            ("expires", .integer(ConsentTests.consent.issued - 1)), ("expires", 0),
        ]
        for (path, value) in cases {
            let document = json.with(path, value).canonicalBytes()
            let error = failure { _ = try ConsentTests.read(ConsentTests.forged(document)) }
            #expect(error?.code == .consentInvalid, "\(path)")
            #expect(
                error?.path.hasSuffix(path) == true, "\(path): \(error?.description ?? "accepted")")
        }
    }

    @Test func acceptsTheEndsOfTheRanges() throws {
        var last = ConsentTests.consent
        (last.issued, last.expires) = (Consent.timeMax - 1, Consent.timeMax)
        (last.bounds.sitesMin, last.bounds.roundsMax) = (1024, 1_000_000)
        last.site = String(repeating: "z", count: 64)
        #expect(
            try ConsentTests.read(SignedConsent(last, signedBy: ConsentTests.key).encoded).consent
                == last)
        var first = ConsentTests.consent
        (first.issued, first.expires) = (0, 1)
        (first.bounds.sitesMin, first.bounds.roundsMax) = (3, 1)
        #expect(
            try ConsentTests.read(SignedConsent(first, signedBy: ConsentTests.key).encoded).consent
                == first)
    }

    @Test func refusesALongDocumentBeforeReadingIt() {
        let long = ConsentTests.consent.json.with(
            "extra", .string(String(repeating: "x", count: 8192)))
        #expect(throws: StudyError.self) {
            try ConsentTests.read(ConsentTests.forged(long.canonicalBytes()))
        }
        var lying = ByteWriter()
        lying.u32(.max)
        #expect(throws: StudyError.self) { try ConsentTests.read(lying.bytes) }
    }
}
