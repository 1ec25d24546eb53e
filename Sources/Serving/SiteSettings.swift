// How a site has set a version: its own intercept, and what it uses in place of the package's threshold, abstain band and calibration.
// `intercepts/<package digest>.json`; it never leaves the site. A change is an entry, `configuration.changed`.

import Codec
import Cryptography
import ModelPackage
import Storage

/// A version's settings at one site; nil is what the package says.
package struct SiteSettings: Equatable, Sendable {
    /// The site's own intercept, for families that have one.
    package var intercept: Double
    /// Probability from which a row is of the positive class.
    package var threshold: Double?
    /// Probabilities at which a person should decide.
    package var abstain: ClosedRange<Double>?
    /// How scores become calibrated probabilities.
    package var calibration: PackageManifest.Calibration?

    /// Everything but the intercept as in the package.
    package init(intercept: Double = 0) { self.intercept = intercept }

    /// What differs from the package, as the body of `POST /v1/models/{digest}/configure`, the log and the file have it.
    var members: [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        members["threshold"] = threshold.map { .number($0) }
        members["abstain"] = abstain.map { [.number($0.lowerBound), .number($0.upperBound)] }
        members["calibration"] = calibration.map { ["slope": .number($0.slope), "intercept": .number($0.intercept)] }
        return members
    }

    /// The same as one text, for entries, which hold no fractions; nil when nothing differs.
    var text: String? {
        members.isEmpty ? nil : String(decoding: JSONValue.object(members).canonicalBytes(), as: UTF8.self)
    }

    /// Reads its members out of an object that may have others.
    init(_ fields: inout JSONFields, intercept: Double, path: String) throws(FieldError) {
        self.init(intercept: intercept)
        threshold = try fields.optionalNumber("threshold", in: 0...1)
        if let ends = try fields.optionalArray("abstain", maxCount: 2)?.compactMap(\.doubleValue) {
            guard ends.count == 2, 0 <= ends[0], ends[0] <= ends[1], ends[1] <= 1 else {
                throw FieldError(path: path + "abstain", problem: "must be two probabilities, the lower one first")
            }
            abstain = ends[0]...ends[1]
        }
        if var given = try fields.optionalFields("calibration") {
            calibration = .init(slope: try given.number("slope", in: 0...1000), intercept: try given.number("intercept", in: -1000...1000))
            try given.finish()
        }
    }

    /// What an entry says.
    init?(intercept: String?, text: String?) {
        guard let intercept = intercept.flatMap(Double.init) else { return nil }
        guard let text else {
            self.init(intercept: intercept)
            return
        }
        guard let value = try? JSONValue.parse(Array(text.utf8), dialect: .strict), var fields = try? JSONFields(value, path: ""),
            let settings = try? SiteSettings(&fields, intercept: intercept, path: ""), (try? fields.finish()) != nil
        else { return nil }
        self = settings
    }
}

/// The settings of all versions of one node's directory.
package struct SiteSettingsFiles {
    let path: String

    /// - Parameter directory: the node's directory.
    package init(directory: String) { path = directory + "/intercepts" }

    private func file(_ digest: Digest) -> String { path + "/" + digest.hex + ".json" }

    /// The settings of a version; the package's when none were stored.
    /// - Throws: `ServingError.deployment` when the file is damaged.
    package func read(_ digest: Digest) throws(ServingError) -> SiteSettings {
        let file = file(digest)
        guard DurableFile.exists(file) else { return SiteSettings() }
        do {
            var fields = try JSONFields(
                try JSONValue.parse(try DurableFile.read(file, maxBytes: 4096), dialect: .strict), path: "")
            let intercept = try fields.number("intercept", in: -1e6...1e6)
            let settings = try SiteSettings(&fields, intercept: intercept, path: "")
            try fields.finish()
            return settings
        } catch {
            throw .deployment(problem: "the site's settings in \(file) cannot be read: \(error); install the version again")
        }
    }

    func write(_ settings: SiteSettings, _ digest: Digest) throws(ServingError) {
        var members = settings.members
        members["intercept"] = .number(settings.intercept)
        do {
            try DurableFile.writeAtomically(JSONValue.object(members).prettyBytes(), to: file(digest), mode: 0o600)
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }
}
