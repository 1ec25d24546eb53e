// Documents for people and for other tools, made of what the manifest records and of nothing else: a model card with a
// Hugging Face header, and a CycloneDX 1.6 bill of materials. Same package, same bytes, the time included: it is the release's.

import Codec
import Cryptography
import DifferentialPrivacy
import Models
import Tabular

/// A version as a model card.
package enum ModelCard {
    /// `README.md`: YAML front matter, then Markdown.
    package static func markdown(_ package: VerifiedPackage) -> [UInt8] {
        let manifest = package.manifest
        let metrics = manifest.provenance.metrics.sorted { $0.key < $1.key }
        var text = """
            ---
            library_name: consilium
            tags: [tabular-classification, federated-learning]
            model-index:
            - name: \(quoted(package.name))
              results:
              - task: {type: tabular-classification}
                dataset: {name: \(quoted(manifest.study)), type: \(quoted(manifest.study))}
                metrics:

            """
        if metrics.isEmpty { text += "    []\n" }
        for (name, value) in metrics {
            text += "    - {type: \(quoted(name)), name: \(quoted(name)), value: \(value)}\n"
        }
        text += """
            ---
            # \(package.name), version \(package.version)

            \(architecture(package)) over \(package.schema.features.count) features, \(trained(manifest.provenance)).
            Released \(manifest.created) for study `\(manifest.study)`, run `\(manifest.provenance.run)`.

            * package `\(package.digest.hex)`
            * plan `\(manifest.planHash.hex)`
            * classes: \(manifest.classes[0]) below and \(manifest.classes[1]) from a probability of \(package.threshold)

            ## Inputs

            | feature | values | missing | protected |
            |---|---|---|---|

            """
        for feature in package.schema.features {
            text += "| \(feature.name) | \(values(feature)) | \(feature.missing.rawValue) | \(feature.sensitive ? "yes" : "") |\n"
        }
        let measured = manifest.provenance.origin == nil ? "Measured by secure evaluation on rows that no site trained on." : "As stated at the import; not measured here."
        text += "\n## Evaluation\n\n\(measured)\n\n| metric | value |\n|---|---|\n"
        for (name, value) in metrics { text += "| \(name) | \(value) |\n" }
        text += "\n| gate | bound | value | passed |\n|---|---|---|---|\n"
        for gate in manifest.provenance.gates {
            let bounds = [gate.atLeast.map { "at least \($0)" }, gate.atMost.map { "at most \($0)" }].compactMap { $0 }
            text += "| \(gate.metric) | \(bounds.joined(separator: ", ")) | \(gate.value.map { "\($0)" } ?? "not computed") | \(gate.passed ? "yes" : "no") |\n"
        }
        if !manifest.provenance.roster.isEmpty { text += "\n## Who trained it\n\n| site | rounds |\n|---|---|\n" }
        for member in manifest.provenance.roster { text += "| \(member.site) | \(member.rounds) |\n" }
        text += "\n## Privacy\n\n" + privacy(manifest.provenance.privacy)
        text += "\nA site's own intercept, where the family has one, is not in the package. Nothing here replaces a check on the rows of the place that uses the model.\n"
        return Array(text.utf8)
    }

    /// What the model promises about the rows behind it, or that it promises nothing.
    private static func privacy(_ statement: PrivacyStatement?) -> String {
        guard let statement else {
            return "No differential privacy: what the model says about single rows is not bounded. Sites sent updates inside secure sums only.\n"
        }
        var text = """
            \(statement.sentence). \(statement.trust)
            Neighbouring data: \(statement.neighbouring).

            | sampling rate | noise multiplier | clipping norm | steps | rounds | dropped rounds, charged too | sites in a sum |
            |---|---|---|---|---|---|---|
            | \(statement.samplingRate) | \(statement.noiseMultiplier) | \(statement.clippingNorm) | \(statement.steps) | \(statement.rounds) | \(statement.droppedRounds) | \(statement.cohortMin) to \(statement.cohortMax) |

            Outside this guarantee:


            """
        for (what, why) in statement.outside.sorted(by: { $0.key < $1.key }) { text += "* \(what): \(why)\n" }
        return text
    }

    private static func trained(_ provenance: Provenance) -> String {
        guard let origin = provenance.origin else { return "trained by \(provenance.roster.count) sites that kept their rows" }
        let remark = origin.description.isEmpty ? "" : " (\(quoted(origin.description)))"
        return "trained elsewhere by \(quoted(origin.by))\(remark) and imported from \(origin.form) `\(origin.sha256.hex)`"
    }

    static func architecture(_ package: VerifiedPackage) -> String {
        switch package.family {
        case .logisticRegression: "logistic regression"
        case .perceptron(let hidden, _, _, _):
            "multilayer perceptron \(hidden.map(String.init).joined(separator: "-"))"
        }
    }

    private static func quoted(_ text: String) -> String {
        String(decoding: JSONValue.string(text).canonicalBytes(), as: UTF8.self)
    }

    private static func values(_ feature: Feature) -> String {
        switch feature.kind {
        case .numeric(let unit, let range, let integer):
            "\(range.lowerBound) to \(range.upperBound)\(unit.map { " \($0)" } ?? "")\(integer ? ", whole" : "")"
        case .categorical(let categories, _): categories.joined(separator: ", ")
        case .binary(let zero, let one): "\(zero), \(one)"
        }
    }
}

/// A version as a CycloneDX bill of materials.
package enum BillOfMaterials {
    /// `bom.json`, CycloneDX 1.6 with a machine-learning-model component.
    package static func json(_ package: VerifiedPackage) -> [UInt8] {
        let manifest = package.manifest
        let metrics = manifest.provenance.metrics.sorted { $0.key < $1.key }
        let reference = "package:" + package.digest.hex
        let component: JSONValue = [
            "type": "machine-learning-model", "bom-ref": .string(reference),
            "name": .string(package.name), "version": .string(String(package.version)),
            "hashes": [["alg": "SHA-256", "content": .string(package.digest.hex)]],
            "modelCard": [
                "modelParameters": [
                    "approach": ["type": "supervised"], "task": "binary classification",
                    "architectureFamily": .string(package.family.isLinear ? "linear" : "neural network"),
                    "modelArchitecture": .string(ModelCard.architecture(package)),
                    "datasets": [["ref": "dataset:study"]],
                    "inputs": .array(
                        package.schema.features.map { ["format": .string($0.codes == nil ? "number" : "category")] }),
                    "outputs": [["format": "log-odds"], ["format": "probability"]],
                ],
                "quantitativeAnalysis": [
                    "performanceMetrics": .array(
                        metrics.map { ["type": .string($0.key), "value": .string($0.value.description)] })
                ],
                "considerations": [
                    "technicalLimitations": [
                        manifest.provenance.origin == nil
                            ? "measured on held-out rows of the training sites only" : "trained elsewhere; figures are as stated at the import",
                        "inputs outside the schema's ranges are refused by the serving node and not by the weights",
                    ]
                ],
            ],
            "properties": .array(properties(manifest)),
        ]
        let dataset: JSONValue = [
            "type": "data", "bom-ref": "dataset:study", "name": .string(manifest.study),
            "data": [["type": "dataset", "name": .string(manifest.study)]],
        ]
        let files = package.contents.files.keys.sorted().map { name -> JSONValue in
            [
                "type": "file", "bom-ref": .string("file:" + name), "name": .string(name),
                "hashes": [
                    ["alg": "SHA-256", "content": .string(SHA256.hash(package.contents.files[name] ?? []).hex)]
                ],
            ]
        }
        let document: JSONValue = [
            "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
            "serialNumber": .string("urn:uuid:" + uuid(package.digest)),
            "metadata": ["timestamp": .string(manifest.created), "component": component],
            "components": .array([dataset] + files),
            "dependencies": [
                ["ref": .string(reference), "dependsOn": .array(package.contents.files.keys.sorted().map { .string("file:" + $0) })]
            ],
        ]
        return document.prettyBytes()
    }

    /// A version 8 UUID (RFC 9562) of a digest's first bits.
    private static func uuid(_ digest: Digest) -> String {
        var bytes = Array(digest.bytes.prefix(16))
        bytes[6] = bytes[6] & 0x0F | 0x80
        bytes[8] = bytes[8] & 0x3F | 0x80
        let hex = Array(Hex.encode(bytes))
        return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
    }

    private static func properties(_ manifest: PackageManifest) -> [JSONValue] {
        var properties = [
            ("plan", manifest.planHash.hex), ("run", manifest.provenance.run), ("sites", String(manifest.provenance.roster.count)),
            ("privacy", manifest.provenance.privacy?.sentence ?? "no differential privacy"),
        ]
        if let origin = manifest.provenance.origin {
            properties += [("origin", origin.by), ("origin-form", origin.form), ("origin-sha256", origin.sha256.hex)]
        }
        return properties.map { ["name": .string("consilium:\($0.0)"), "value": .string($0.1)] }
    }
}
