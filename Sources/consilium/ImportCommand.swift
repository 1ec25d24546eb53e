// `consilium model import`: a model that was trained elsewhere becomes a signed version.

import Codec
import Cryptography
import ModelPackage
import Storage
import Telemetry

let importCommand = Command(
    words: ["model", "import"], summary: "make a signed version of a safetensors or ONNX model that was trained elsewhere",
    operands: ["FILE"],
    options: [
        .required("document", "FILE", "what the model is: JSON5, protocol/model-package.md §10"),
        .value("dir", "DIR", "the directory of a running node: it signs, and the version is a candidate there"),
        .value("output", "DIR", "write the package here instead; must not exist"),
        .value("signing-key", "FILE", "with --output: PEM file of an Ed25519 key; made if it is not there"),
    ]
) { invocation in
    let path = invocation.operands[0]
    guard let form = ModelImport.Form(rawValue: String(path.split(separator: ".").last ?? "")) else {
        throw Failure(.usage, "usage", "the model file must end in .safetensors or .onnx")
    }
    let document = try ImportDocument(parsing: DurableFile.read(try invocation.require("document"), maxBytes: ImportDocument.bytesMax))
    let model = try DurableFile.read(path, maxBytes: PackageLimits.fileBytes)
    let signer = try signer(invocation)
    let contents = try ModelImport.package(model, form, document, created: SystemClock().now().iso8601, signer: signer)
    let package = try VerifiedPackage.verify(contents, trustedKey: signer.publicKey)
    var answer: [String: JSONValue] = [
        "package": .string(package.digest.hex), "name": .string(package.name), "version": .integer(Int64(package.version)),
        "key": .string(Hex.encode(signer.publicKey.bytes)),
    ]
    let what = "\(package.name) version \(package.version)\npackage \(package.digest.hex)"
    if let directory = invocation["dir"] {
        _ = try RunningProcess.node(directory).call("POST", "/v1/models", body: contents.bundle())
        Output(invocation).answer(.object(answer), "\(what)\nIt is a candidate at this node: consilium node models --dir \(directory)")
    } else {
        let output = try invocation.require("output")
        guard !DurableFile.exists(output) else { throw Failure(.cannotCreate, "output-exists", "\(output) exists: name another directory") }
        try package.write(to: output)
        answer["output"] = .string(output)
        Output(invocation).answer(
            .object(answer), "\(what)\n\(output)\nServe it: consilium node serve --package \(output) --key \(Hex.encode(signer.publicKey.bytes))")
    }
}

/// The key that signs the version: the node's own, or the one of a file.
private func signer(_ invocation: Invocation) throws -> SigningKey {
    if let directory = invocation["dir"] {
        guard !invocation.has("output"), !invocation.has("signing-key") else {
            throw Failure(.usage, "usage", "give --dir, or --output and --signing-key")
        }
        let site = directory + "/keys/site-signing.key.pem"
        return try SigningKey(pem: KeyFile.read(DurableFile.exists(site) ? site : directory + "/keys/log-signing.key.pem"))
    }
    guard let path = invocation["signing-key"] else {
        throw Failure(.usage, "usage", "give --dir (a running node), or --output and --signing-key")
    }
    if !DurableFile.exists(path) { try KeyFile.write(SigningKey.generate(random: SystemRandom.shared).pem(), to: path) }
    return try SigningKey(pem: KeyFile.read(path))
}
