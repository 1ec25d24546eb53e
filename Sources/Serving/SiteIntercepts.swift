// The site's own intercepts: `intercepts/<package digest>.json`, `{"intercept": number}`. They never leave the site.

import Codec
import Cryptography
import Storage

/// The intercepts of one node's directory.
package struct SiteIntercepts {
    let path: String

    /// - Parameter directory: the node's directory.
    package init(directory: String) { path = directory + "/intercepts" }

    private func file(_ digest: Digest) -> String { path + "/" + digest.hex + ".json" }

    /// The intercept of a version; 0 when none was stored.
    /// - Throws: `ServingError.deployment` when the file is damaged.
    package func read(_ digest: Digest) throws(ServingError) -> Double {
        let file = file(digest)
        guard DurableFile.exists(file) else { return 0 }
        do {
            var fields = try JSONFields(
                try JSONValue.parse(try DurableFile.read(file, maxBytes: 4096), dialect: .strict),
                path: "")
            let intercept = try fields.number("intercept", in: -1e6...1e6)
            try fields.finish()
            return intercept
        } catch {
            throw .deployment(
                problem:
                    "the site's intercept in \(file) cannot be read: \(error); install the version again"
            )
        }
    }

    func write(_ intercept: Double, _ digest: Digest) throws(ServingError) {
        do {
            try DurableFile.writeAtomically(
                JSONValue.object(["intercept": .number(intercept)]).prettyBytes(),
                to: file(digest), mode: 0o600)
        } catch {
            throw .deployment(problem: "\(error)")
        }
    }
}
