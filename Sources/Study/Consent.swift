// Consent: a site's signature under plan × dataset × bounds × expiry. `protocol/plan.md` §3.
//
// Without one the node does nothing for the study, whatever the coordinator says.

import Codec
import Cryptography

/// What a site agreed to.
package struct Consent: Equatable, Sendable {
    /// Who consents: a name of the federation.
    package var site: String
    /// The study's name; the plan says the same.
    package var study: String
    /// The plan, to the byte.
    package var planHash: Digest
    /// Fingerprint of the validated rows at the time of consent.
    package var datasetFingerprint: Digest
    /// The site's own bounds; a round that breaks one is refused.
    package var bounds: Bounds
    /// Repeats the plan's opt-in, in the site's name.
    package var acceptsNoDifferentialPrivacy: Bool
    /// Whether rows that serving gathered later (inputs with outcomes) may be used as well.
    package var includesFeedbackRows: Bool
    /// When it was signed, in milliseconds since 1970.
    package var issued: Int64
    /// From when on it no longer holds, in milliseconds since 1970.
    package var expires: Int64

    /// The last millisecond of the year 9999: times of this system are written with four digits.
    package static let timeMax: Int64 = 253_402_300_799_999

    /// What the site insists on.
    package struct Bounds: Equatable, Sendable {
        /// Sites in every sum, at least.
        package var sitesMin: Int
        /// Rounds (statistics, training, evaluation; every attempt) for this consent, at most.
        package var roundsMax: Int

        /// Values are checked where a consent is read.
        package init(sitesMin: Int, roundsMax: Int) {
            self.sitesMin = sitesMin
            self.roundsMax = roundsMax
        }
    }

    /// Values are checked where a consent is read.
    package init(
        site: String, study: String, planHash: Digest, datasetFingerprint: Digest, bounds: Bounds,
        acceptsNoDifferentialPrivacy: Bool, includesFeedbackRows: Bool, issued: Int64,
        expires: Int64
    ) {
        self.site = site
        self.study = study
        self.planHash = planHash
        self.datasetFingerprint = datasetFingerprint
        self.bounds = bounds
        self.acceptsNoDifferentialPrivacy = acceptsNoDifferentialPrivacy
        self.includesFeedbackRows = includesFeedbackRows
        self.issued = issued
        self.expires = expires
    }

    /// The document that is signed, in canonical form.
    package var json: JSONValue {
        [
            "consilium": "consent/1", "site": .string(site), "study": .string(study),
            "planHash": .string(planHash.hex),
            "datasetFingerprint": .string(datasetFingerprint.hex),
            "bounds": [
                "sitesMin": .integer(Int64(bounds.sitesMin)),
                "roundsMax": .integer(Int64(bounds.roundsMax)),
            ],
            "acceptsNoDifferentialPrivacy": .bool(acceptsNoDifferentialPrivacy),
            "includesFeedbackRows": .bool(includesFeedbackRows),
            "issued": .integer(issued), "expires": .integer(expires),
        ]
    }

    init(json: JSONValue) throws {
        var fields = try JSONFields(json, path: "consent")
        guard try fields.string("consilium", maxBytes: 32) == "consent/1" else {
            throw StudyError(.consentInvalid, path: "consilium", problem: "must be consent/1")
        }
        site = try name(&fields, "site")
        study = try name(&fields, "study")
        planHash = try digest(&fields, "planHash")
        datasetFingerprint = try digest(&fields, "datasetFingerprint")
        var bounds = try fields.fields("bounds")
        self.bounds = Bounds(
            sitesMin: try bounds.integer("sitesMin", in: 3...1024),
            roundsMax: try bounds.integer("roundsMax", in: 1...1_000_000))
        try bounds.finish()
        acceptsNoDifferentialPrivacy = try fields.bool("acceptsNoDifferentialPrivacy")
        includesFeedbackRows = try fields.bool("includesFeedbackRows")
        issued = Int64(try fields.integer("issued", in: 0...Int(Consent.timeMax)))
        expires = Int64(try fields.integer("expires", in: 0...Int(Consent.timeMax)))
        try fields.finish()
        guard issued < expires else {
            throw StudyError(.consentInvalid, path: "expires", problem: "is not after issued")
        }
    }
}

/// A consent with the site's Ed25519 signature.
package struct SignedConsent: Equatable, Sendable {
    /// What was signed.
    package let consent: Consent
    /// 64 bytes, Ed25519.
    package let signature: [UInt8]

    /// Bytes of the document.
    static let bytesMax = 8192
    /// Bytes of document, length and signature.
    package static let encodedBytesMax = 4 + bytesMax + 64

    /// Signs in the name of the site.
    package init(_ consent: Consent, signedBy key: SigningKey) {
        self.consent = consent
        signature = key.sign(SignedConsent.message(consent))
    }

    /// Reads what `encoded` wrote and checks the signature. A consent has one encoding: a document that
    /// is not in canonical form is refused, whatever its signature.
    ///
    /// - Throws: `StudyError` with code `consent.invalid`.
    package init(encoded: [UInt8], signer: VerifyingKey) throws(StudyError) {
        do {
            var reader = ByteReader(encoded)
            let document = try reader.lengthPrefixed(maxBytes: SignedConsent.bytesMax)
            signature = try reader.raw(64)
            try reader.finish()
            let value = try JSONValue.parse(
                document, dialect: .strict, limits: .init(bytesMax: SignedConsent.bytesMax))
            consent = try Consent(json: value)
            guard consent.json.canonicalBytes() == document else {
                throw StudyError(
                    .consentInvalid, path: "", problem: "the consent is not in canonical form")
            }
        } catch {
            throw StudyError(.consentInvalid, reading: "consent", error)
        }
        guard signer.isValid(signature, for: SignedConsent.message(consent)) else {
            throw StudyError(.consentInvalid, path: "", problem: "the signature is not the site's")
        }
    }

    /// Document and signature, as `protocol/plan.md` §3 lays them out.
    package var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.lengthPrefixed(consent.json.canonicalBytes())
        writer.raw(signature)
        return writer.bytes
    }

    /// SHA-256 of the encoded consent; how the log and the report refer to it.
    package var hash: Digest { SHA256.hash(encoded) }

    private static func message(_ consent: Consent) -> [UInt8] {
        SHA256.hash(Array("consilium/consent/v1/".utf8) + consent.json.canonicalBytes()).bytes
    }
}

private func name(_ fields: inout JSONFields, _ key: String) throws -> String {
    let name = try fields.string(key, maxBytes: 64)
    guard isName(name) else {
        throw StudyError(.consentInvalid, path: key, problem: "must be 1 to 64 of a-z, 0-9 and -")
    }
    return name
}

private func digest(_ fields: inout JSONFields, _ key: String) throws -> Digest {
    guard let digest = Digest(hex: try fields.string(key, maxBytes: 64)) else {
        throw StudyError(.consentInvalid, path: key, problem: "must be 64 hexadecimal digits")
    }
    return digest
}

/// A decimal text with a fixed number of places, the same on every machine; for documents that hold
/// no binary floating point.
///
/// - Parameters:
///   - value: any number; half a unit of the last place rounds to even.
///   - places: digits after the point, 0 to 18.
/// - Returns: `not-a-number` for NaN and infinities, `out-of-range` beyond 9·10^18 units of the last place.
package func decimal(_ value: Double, places: Int) -> String {
    precondition((0...18).contains(places), "a decimal text has 0 to 18 places")
    guard value.isFinite else { return "not-a-number" }
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (abs(value) * scale).rounded(.toNearestOrEven)
    guard scaled < 9e18 else { return "out-of-range" }
    let whole = UInt64(scaled)
    let unit = UInt64(scale)
    var fraction = String(whole % unit)
    fraction =
        String(repeating: "0", count: places - (unit == 1 ? 0 : fraction.utf8.count)) + fraction
    let sign = value < 0 && whole != 0 ? "-" : ""
    return places == 0 ? sign + String(whole) : sign + String(whole / unit) + "." + fraction
}
