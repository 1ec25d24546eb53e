import Codec
import Cryptography
import Messages
import Study
import Testing

/// `protocol/federation.md` §2.
@Suite struct EnrolmentTests {
    static let token = EnrolmentToken(
        secret: SHA256.hash([7]).bytes, address: "coordinator.example:8443",
        authorityFingerprint: digest(2), site: "basel")

    @Test func tokensReadBack() throws {
        let text = EnrolmentTests.token.text
        #expect(text.hasPrefix("consilium-1."))
        #expect(text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
        #expect(try #require(EnrolmentToken(text: text)) == EnrolmentTests.token)
    }

    @Test func tokenLayout() throws {
        let text = EnrolmentTests.token.text
        let bytes = try #require(Base64.urlDecode(String(text.dropFirst("consilium-1.".count))))
        var writer = ByteWriter()
        writer.raw(SHA256.hash([7]).bytes)
        writer.raw(digest(2).bytes)
        writer.text("coordinator.example:8443")
        writer.text("basel")
        #expect(bytes == writer.bytes + SHA256.hash(writer.bytes).bytes.prefix(4))
    }

    /// Mail programs break lines, people copy blanks.
    @Test func whiteSpaceDoesNotMatter() {
        let text = EnrolmentTests.token.text
        let middle = text.index(text.startIndex, offsetBy: 60)
        let broken = "  " + text[..<middle] + "\r\n\t" + text[middle...] + "\n"
        #expect(EnrolmentToken(text: broken) == EnrolmentTests.token)
    }

    @Test func everyMistypedCharacterIsNoticed() {
        let text = Array(EnrolmentTests.token.text.utf8)
        let alphabet = Array(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        for index in text.indices {
            for character in alphabet where character != text[index] {
                var changed = text
                changed[index] = character
                #expect(
                    EnrolmentToken(text: String(decoding: changed, as: UTF8.self)) == nil,
                    "character \(index)")
            }
        }
    }

    @Test func everyLostDoubledOrSwappedCharacterIsNoticed() {
        let text = Array(EnrolmentTests.token.text.utf8)
        func refuses(_ changed: [UInt8]) -> Bool {
            EnrolmentToken(text: String(decoding: changed, as: UTF8.self)) == nil
        }
        for index in text.indices {
            var lost = text
            lost.remove(at: index)
            #expect(refuses(lost), "lost \(index)")
            var doubled = text
            doubled.insert(text[index], at: index)
            #expect(refuses(doubled), "doubled \(index)")
            if index > 0, text[index] != text[index - 1] {
                var swapped = text
                swapped.swapAt(index, index - 1)
                #expect(refuses(swapped), "swapped \(index)")
            }
            #expect(refuses(Array(text[..<index])), "cut at \(index)")
        }
        #expect(refuses([]))
        #expect(refuses(text + text))
        #expect(refuses(text + Array("=".utf8)))
        #expect(refuses(Array(repeating: 0x41, count: 5000)))
    }

    /// A good check sum around nonsense.
    @Test func refusesTokensThatAreWellTypedAndWrong() {
        func token(_ build: (inout ByteWriter) -> Void) -> String {
            var writer = ByteWriter()
            writer.raw(SHA256.hash([7]).bytes)
            writer.raw(digest(2).bytes)
            build(&writer)
            return "consilium-1."
                + Base64.urlEncode(writer.bytes + SHA256.hash(writer.bytes).bytes.prefix(4))
        }
        func parts(_ address: String, _ site: String) -> String {
            token {
                $0.text(address)
                $0.text(site)
            }
        }
        #expect(EnrolmentToken(text: parts("a:1", "basel")) != nil)
        #expect(EnrolmentToken(text: parts("a:1", "")) == nil)
        #expect(EnrolmentToken(text: parts("a:1", "../basel")) == nil)
        #expect(EnrolmentToken(text: parts(String(repeating: "a", count: 513), "basel")) == nil)
        #expect(EnrolmentToken(text: token { $0.text("a:1") }) == nil)
        #expect(EnrolmentToken(text: token { _ in }) == nil)
        #expect(
            EnrolmentToken(
                text: token {
                    $0.text("a:1")
                    $0.text("basel")
                    $0.u8(0)
                }) == nil)
        #expect(
            EnrolmentToken(
                text: parts("a:1", "basel").replacing("consilium-1", with: "consilium-2")) == nil)
    }

    @Test func onlyTheHashIsStored() {
        let secret = EnrolmentTests.token.secret
        #expect(
            EnrolmentToken.hash(secret: secret)
                == SHA256.hash(Array("consilium/enrolment-token/v1".utf8) + secret))
        #expect(EnrolmentToken.hash(secret: secret) != SHA256.hash(secret))
    }

    // MARK: - Request

    @Test func theProofCoversTheRequest() {
        #expect(Samples.request.hasValidProof)
        func breaks(_ change: (inout EnrolmentRequest) -> Void) {
            var other = Samples.request
            change(&other)
            #expect(!other.hasValidProof)
        }
        breaks { $0.site = "zurich" }
        breaks { $0.secret[0] ^= 1 }
        breaks { $0.certificateRequest[5] ^= 1 }
        breaks { $0.signingKey = SigningKey.generate(random: SeededRandom(seed: 2)).publicKey }
        breaks { $0.proof[63] ^= 1 }
        breaks { $0.proof = [] }
    }

    @Test func theProofIsWhatTheSpecificationSays() {
        var writer = ByteWriter()
        writer.text("consilium/enrolment-proof/v1")
        writer.text("basel")
        writer.raw(SHA256.hash(Samples.request.secret).bytes)
        writer.raw(SHA256.hash(Samples.request.certificateRequest).bytes)
        writer.raw(Samples.key.publicKey.bytes)
        #expect(
            Samples.key.publicKey.isValid(
                Samples.request.proof, for: SHA256.hash(writer.bytes).bytes))
    }

    /// The coordinator subtracts this number from its own clock.
    @Test func refusesClocksThatNoClockShows() {
        for clock in [Int64.min, -1, Consent.timeMax + 1, .max] {
            var request = Samples.request
            request.clock = clock
            #expect(throws: MessageError.malformed("enrolment")) {
                try EnrolmentRequest(encoded: request.encoded)
            }
        }
        for clock in [Int64(0), Consent.timeMax] {
            var request = Samples.request
            request.clock = clock
            #expect(throws: Never.self) { try EnrolmentRequest(encoded: request.encoded) }
        }
    }

    @Test func requestFieldsHaveLimits() {
        func refused(_ change: (inout EnrolmentRequest) -> Void) {
            var request = Samples.request
            change(&request)
            #expect(throws: MessageError.malformed("enrolment")) {
                try EnrolmentRequest(encoded: request.encoded)
            }
        }
        refused { $0.secret = [] }
        refused { $0.secret.removeLast() }
        refused { $0.secret.append(0) }
        refused { $0.site = "" }
        refused { $0.site = "Basel" }
        refused { $0.certificateRequest = Array(repeating: 0, count: 16 << 10 + 1) }
        var largest = Samples.request
        largest.certificateRequest = Array(repeating: 0, count: 16 << 10)
        #expect(largest.encoded.count <= EnrolmentRequest.bytesMax)
        #expect(throws: Never.self) { try EnrolmentRequest(encoded: largest.encoded) }
    }

    @Test func grantFieldsHaveLimits() {
        func refused(_ change: (inout EnrolmentGrant) -> Void) {
            var grant = Samples.grant
            change(&grant)
            #expect(throws: MessageError.malformed("grant")) {
                try EnrolmentGrant(encoded: grant.encoded)
            }
        }
        refused { $0.federation = "" }
        refused { $0.federation = "a federation" }
        refused { $0.certificatePEM = Array(repeating: 0, count: 16 << 10 + 1) }
        refused { $0.authorityPEM = Array(repeating: 0, count: 16 << 10 + 1) }
    }
}
