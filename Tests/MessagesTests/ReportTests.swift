import Codec
import Cryptography
import Messages
import Study
import Testing

/// `protocol/federation.md` §3, reports: the closed list of what leaves a site.
@Suite struct ReportTests {
    @Test func layout() {
        let hash = digest(1).bytes
        #expect(Report.consent([5, 6]).encoded == [1, 0, 0, 0, 2, 5, 6])
        #expect(Report.consentWithdrawn(planHash: digest(1)).encoded == [2] + hash)
        #expect(
            Report.aggregation(round: 258, message: [9]).encoded == [
                3, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 9,
            ])
        #expect(
            Report.refusal(subject: digest(1), code: "a.b", sentence: "no").encoded
                == [4] + hash + [0, 0, 0, 3, 0x61, 0x2e, 0x62, 0, 0, 0, 2, 0x6e, 0x6f])
        #expect(
            Report.versionVerdict(package: digest(1), accepted: false, code: "x").encoded == [5]
                + hash + [0, 0, 0, 0, 1, 0x78])
        let signature = [UInt8](repeating: 7, count: 64)
        #expect(Report.manifestSignature(manifest: digest(1), signature: signature).encoded == [6] + hash + signature)
        #expect(Report.witnessRequest(witness: "w", request: [9]).encoded == [7, 0, 0, 0, 1, 0x77, 0, 0, 0, 1, 9])
        #expect(Report.forkEvidence([9]).encoded == [9, 0, 0, 0, 1, 9])
    }

    @Test func namesTheTypesItDoesNotKnow() {
        for type in (UInt8.min...UInt8.max) where !(1...9).contains(type) {
            #expect(throws: MessageError.unknownType(type)) {
                try Report(encoded: [type, 0, 0, 0, 0])
            }
        }
    }

    @Test func everyTypeHasANameInTheEgressRecord() {
        let names = Samples.reports.map(\.1.egressType)
        #expect(
            Set(names) == [
                "consent", "consent-withdrawn", "aggregation", "refusal", "version-verdict", "manifest-signature",
                "witness-request", "witness-answer", "fork-evidence",
            ])
    }

    @Test func aFlagIsZeroOrOne() {
        for value in UInt8(2)...255 {
            var bytes = Report.versionVerdict(package: digest(1), accepted: true, code: "").encoded
            bytes[33] = value
            #expect(throws: MessageError.malformed("report")) { try Report(encoded: bytes) }
        }
    }

    /// A code is written into logs and shown to operators as it is.
    @Test func refusesCodesThatAreNone() {
        for code in [
            "a b", "a\n", "a\u{0}", "é", "a/b", "<b>", "a\"b", String(repeating: "a", count: 65),
        ] {
            var writer = ByteWriter()
            writer.u8(4)
            writer.raw(digest(1).bytes)
            writer.text(code)
            writer.text("sentence")
            #expect(throws: MessageError.malformed("report"), "\(code.debugDescription)") {
                try Report(encoded: writer.bytes)
            }
        }
        var empty = ByteWriter()
        empty.u8(4)
        empty.raw(digest(1).bytes)
        empty.text("")
        empty.text("sentence")
        #expect(throws: MessageError.malformed("report")) { try Report(encoded: empty.bytes) }
    }

    /// What a node has to say is never refused for its length: it is cut where it is written.
    @Test func longSentencesAreCutBetweenCharacters() throws {
        for (sentence, kept) in [
            (String(repeating: "x", count: 513), String(repeating: "x", count: 512)),
            (String(repeating: "é", count: 300), String(repeating: "é", count: 256)),
            ("a" + String(repeating: "é", count: 300), "a" + String(repeating: "é", count: 255)),
            (
                String(repeating: "👩‍⚕️", count: 100),
                String(repeating: "👩‍⚕️", count: 512 / "👩‍⚕️".utf8.count)
            ),
        ] {
            let report = Report.refusal(
                subject: digest(1), code: "policy." + String(repeating: "y", count: 100),
                sentence: sentence)
            guard case .refusal(_, let code, let read) = try Report(encoded: report.encoded) else {
                Issue.record("another report")
                continue
            }
            #expect(read == kept)
            #expect(code.utf8.count == 64)
        }
    }

    @Test func partsHaveLimits() {
        func bytes(_ count: Int) -> [UInt8] { Array(repeating: 0, count: count) }
        #expect(throws: Never.self) {
            try Report(encoded: Report.consent(bytes(SignedConsent.encodedBytesMax)).encoded)
        }
        #expect(throws: MessageError.malformed("report")) {
            try Report(encoded: Report.consent(bytes(SignedConsent.encodedBytesMax + 1)).encoded)
        }
        #expect(throws: MessageError.malformed("report")) {
            try Report(encoded: Report.aggregation(round: 1, message: bytes(20 << 20 + 1)).encoded)
        }
        let largest = Report.aggregation(round: 1, message: bytes(20 << 20)).encoded
        #expect(largest.count <= Report.bytesMax)
        #expect(throws: Never.self) { try Report(encoded: largest) }
    }

    @Test func aConsentTravelsWhole() throws {
        let consent = Consent(
            site: "basel", study: "heart", planHash: digest(1), datasetFingerprint: digest(2),
            bounds: .init(sitesMin: 3, roundsMax: 100),
            acceptsNoDifferentialPrivacy: true, includesFeedbackRows: true, issued: 1, expires: 2)
        let signed = SignedConsent(consent, signedBy: Samples.key)
        guard case .consent(let bytes) = try Report(encoded: Report.consent(signed.encoded).encoded)
        else {
            Issue.record("another report")
            return
        }
        #expect(try SignedConsent(encoded: bytes, signer: Samples.key.publicKey) == signed)
    }
}
