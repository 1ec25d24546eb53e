import Codec
import Cryptography
import ModelPackage
import SiteNode
import Storage

let modelCommands: [Command] = [
    Command(
        words: ["model", "verify"], summary: "check a model package directory against the key that must have signed it",
        operands: ["PACKAGE"],
        options: [.value("key", "HEX", "the coordinator's Ed25519 key"), .value("dir", "DIR", "a node's directory: its pinned coordinator key is used")]
    ) { invocation in
        let key = try trustedKey(invocation)
        let package = try VerifiedPackage.verify(directory: invocation.operands[0], trustedKey: key)
        Output(invocation).answer(
            [
                "package": .string(package.digest.hex), "name": .string(package.name), "version": .integer(Int64(package.version)),
                "study": .string(package.manifest.study), "plan": .string(package.manifest.planHash.hex),
                "metrics": .object(package.manifest.provenance.metrics.mapValues { .number($0) }),
            ],
            "OK \(package.name) version \(package.version)\npackage \(package.digest.hex)\nplan \(package.manifest.planHash.hex)")
    }
]
