// A model that was trained elsewhere as a signed version: `protocol/model-package.md` §10.

import Codec
import Cryptography
import Models

/// Makes packages of models from elsewhere.
package enum ModelImport {
    /// The form of a model file.
    package enum Form: String, Sendable {
        case safetensors, onnx
    }

    /// The files of a signed version with this model's numbers.
    /// - Parameters:
    ///   - model: the bytes of the model file.
    ///   - created: when, `2026-11-24T21:00:00.000Z`.
    /// - Throws: `ImportError`, or `PackageError` when the parts do not make a package.
    package static func package(
        _ model: [UInt8], _ form: Form, _ document: ImportDocument, created: String, signer: SigningKey
    ) throws -> PackageContents {
        let network =
            switch form {
            case .onnx: try ImportedNetwork(onnx: model)
            case .safetensors: try ImportedNetwork(safetensors: model, document)
            }
        guard network.inputs == document.order.count else {
            throw ImportError.description(
                "the model takes \(network.inputs) inputs and the description has \(document.order.count)")
        }
        let manifest = PackageManifest(
            name: document.name, version: document.version, created: created, study: document.study, planHash: document.digest,
            schema: document.schema, preprocessor: document.preprocessor, family: network.family, thresholds: document.thresholds,
            calibration: document.calibration, classes: document.classes, background: document.background,
            provenance: Provenance(
                run: "import", roster: [], metrics: document.metrics,
                origin: .init(form: form.rawValue, sha256: SHA256.hash(model), by: document.by, description: document.origin)))
        return try PackageWriter.sign(manifest, parameters: try network.parameters(order: document.order), with: signer)
    }
}

extension ImportedNetwork {
    /// Layers by the names that the description has, else by those of a version's own file.
    init(safetensors file: [UInt8], _ document: ImportDocument) throws {
        let tensors = try SafeTensors(parsing: file, file: "the model file")
        var names = document.layers
        if names.isEmpty {
            let hidden = (0...).lazy.map { "hidden.\($0)" }.prefix { name in tensors.entries.contains { $0.name == name + ".weight" } }
            names = (hidden + ["output"]).map { ("\($0).weight", "\($0).bias") }
        }
        var used: Set<String> = []
        let layers = try names.map { layer in
            let weight = try Self.tensor(layer.weight, tensors, &used)
            let bias = try layer.bias.map { try Self.tensor($0, tensors, &used) }
            return try Layer(
                weight.shape, weight.values, isTransposed: document.isTransposed, biases: bias?.values, "tensor \(layer.weight)")
        }
        if let stranger = tensors.entries.first(where: { !used.contains($0.name) }) {
            throw ImportError.description("tensor \(stranger.name) belongs to no layer; name the layers in the description (layers: [{ weight, bias }])")
        }
        try self.init(layers)
    }

    private static func tensor(_ name: String, _ tensors: SafeTensors, _ used: inout Set<String>) throws -> Tensor {
        guard let entry = tensors.entries.first(where: { $0.name == name }) else {
            throw ImportError.description("the model file has no tensor \(name); name the layers in the description (layers: [{ weight, bias }])")
        }
        guard used.insert(name).inserted else { throw ImportError.description("tensor \(name) is named twice") }
        guard entry.type == .f32 || entry.type == .f64 else {
            throw ImportError.unsupported("tensor \(name) is \(entry.type.rawValue), not F32 or F64")
        }
        let raw = tensors.bytes(of: entry)
        let width = entry.type.byteCount
        var values: [Float] = []
        values.reserveCapacity(raw.count / width)
        for start in stride(from: raw.startIndex, to: raw.endIndex, by: width) {
            var bits: UInt64 = 0
            for index in 0..<width { bits |= UInt64(raw[start + index]) << UInt64(8 * index) }
            values.append(width == 4 ? Float(bitPattern: UInt32(bits)) : Float(Double(bitPattern: bits)))
        }
        guard values.allSatisfy(\.isFinite) else {
            throw ImportError.description("tensor \(name) holds NaN, infinity, or a number that no 32-bit float can be")
        }
        return Tensor(name: name, shape: entry.shape, values: values)
    }
}
