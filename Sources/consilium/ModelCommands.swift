import Codec
import Cryptography
import ModelPackage
import Serving
import SiteNode
import Storage

let modelCommands: [Command] = [
    predictCommand,
    importCommand,
    Command(
        words: ["model", "verify"], summary: "check a model package directory against the key that must have signed it",
        operands: ["PACKAGE"],
        options: [.value("key", "HEX", "the coordinator's Ed25519 key"), .value("dir", "DIR", "a node's directory: its pinned coordinator key is used")]
    ) { invocation in
        let keys = try trustedKeys(invocation)
        let package = try VerifiedPackage.verify(PackageContents(directory: invocation.operands[0]), trustedKeys: keys)
        Output(invocation).answer(
            [
                "package": .string(package.digest.hex), "name": .string(package.name), "version": .integer(Int64(package.version)),
                "study": .string(package.manifest.study), "plan": .string(package.manifest.planHash.hex),
                "metrics": .object(package.manifest.provenance.metrics.mapValues { .number($0) }),
            ],
            "OK \(package.name) version \(package.version)\npackage \(package.digest.hex)\nplan \(package.manifest.planHash.hex)")
    },
    Command(
        words: ["model", "export"], summary: "write a verified package in forms that other tools read",
        operands: ["PACKAGE"],
        options: [
            .value("key", "HEX", "the key that must have signed the package"), .value("dir", "DIR", "a node's directory: its pinned coordinator key is used"),
            .value("onnx", "FILE", "ONNX model, preprocessing included; with --dir also the site's own intercept, as that node serves it"), .value("card", "FILE", "model card in Markdown"),
            .value("bom", "FILE", "CycloneDX 1.6 bill of materials"),
            .value("signature", "FILE", "OpenSSF Model Signing bundle over the package's files"),
            .value("signing-key", "FILE", "with --signature: PEM file of a P-256 key; made with a .pub beside it if it is not there"),
        ]
    ) { invocation in try export(invocation) },
]

private func export(_ invocation: Invocation) throws {
    let directory = invocation.operands[0]
    let keys = try trustedKeys(invocation)
    let package = try VerifiedPackage.verify(PackageContents(directory: directory), trustedKeys: keys)
    var written: [(option: String, path: String)] = []
    let siteIntercept =
        try package.family.perSiteIntercept ? invocation["dir"].map { try SiteSettingsFiles(directory: $0).read(package.digest).intercept } : nil
    let onnx = { (package: VerifiedPackage) in ONNXExport.model(package, siteIntercept: siteIntercept) }
    for (option, make) in [("onnx", onnx), ("card", ModelCard.markdown), ("bom", BillOfMaterials.json)] {
        guard let path = invocation[option] else { continue }
        try DurableFile.writeAtomically(make(package), to: path, mode: 0o644)
        written.append((option, path))
    }
    if let path = invocation["signature"] {
        guard let keyFile = invocation["signing-key"] else {
            throw Failure(.usage, "usage", "--signature needs --signing-key")
        }
        if !DurableFile.exists(keyFile) {
            let made = CertificateKey.generate()
            try KeyFile.write(made.pem(), to: keyFile)
            try DurableFile.writeAtomically(Array(ModelSigning.publicKeyPEM(made).utf8), to: keyFile + ".pub", mode: 0o644)
        }
        let name = directory.split(separator: "/").last.map(String.init) ?? ""
        let bundle = ModelSigning.bundle(package.contents, directory: name, key: try CertificateKey(pem: KeyFile.read(keyFile)))
        try DurableFile.writeAtomically(bundle, to: path, mode: 0o644)
        written.append(("signature", path))
    }
    guard !written.isEmpty else {
        throw Failure(.usage, "usage", "say what to write: --onnx, --card, --bom or --signature")
    }
    var answer = Dictionary(uniqueKeysWithValues: written.map { ($0.option, JSONValue.string($0.path)) })
    var lines = written.map(\.path)
    if let siteIntercept, invocation.has("onnx") {
        answer["siteIntercept"] = .number(siteIntercept)
        lines.append("The ONNX file holds this site's own intercept, which says something of its rows; --key in place of --dir leaves it out.")
    }
    Output(invocation).answer(.object(answer), lines.joined(separator: "\n"))
}
