// Makes the files of a package from values. Pure: no disk, no clock.

import Codec
import Cryptography
import Models

package enum PackageWriter {
    /// All files of a signed version: `manifest.json`, `manifest.sig`, `model.safetensors`.
    ///
    /// Same manifest, parameters and key, same bytes. The result is checked with `VerifiedPackage.verify` before it is
    /// returned, so a coordinator cannot release what a site would refuse.
    /// - Throws: `PackageError.inconsistent` when the parameters do not fit the manifest's family and preprocessor,
    ///   or any error that a reader would give.
    package static func sign(
        _ manifest: PackageManifest, parameters: ModelParameters, with key: SigningKey
    ) throws(PackageError) -> PackageContents {
        guard parameters.tensors.allSatisfy({ $0.shape.reduce(1, *) == $0.values.count }),
            Set(parameters.tensors.map(\.name)).count == parameters.tensors.count
        else {
            throw .inconsistent(
                problem: "the parameters have a name twice or a shape that differs from its values")
        }
        let tensors = SafeTensors.encode(parameters.tensors, metadata: ["format": "consilium"])
        let records = [
            PackageFile.tensors: PackageManifest.FileRecord(
                sha256: SHA256.hash(tensors), bytes: tensors.count)
        ]
        let encoded = manifest.encoded(files: records)
        let signature = PackageSignature(signing: SHA256.hash(encoded), with: key)
        let contents = PackageContents(files: [
            PackageFile.manifest: encoded, PackageFile.signature: signature.encoded,
            PackageFile.tensors: tensors,
        ])
        _ = try VerifiedPackage.verify(contents, trustedKey: key.publicKey)
        return contents
    }
}
