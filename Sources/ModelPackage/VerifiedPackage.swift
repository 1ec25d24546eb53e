// A package that has passed every check. There is no other way to make one, and only one of these can be installed.

import Codec
import Cryptography
import Models
import Tabular

package struct VerifiedPackage: Sendable {
    /// The content address: SHA-256 of `manifest.json`, which fixes every other file.
    package let digest: Digest
    package let manifest: PackageManifest
    /// Parameters in the family's own tensor order; all finite.
    package let parameters: ModelParameters
    /// The exact files, for a copy to disk or to another machine.
    package let contents: PackageContents

    /// What the manifest says.
    package var name: String { manifest.name }
    package var version: Int { manifest.version }
    package var schema: Schema { manifest.schema }
    package var preprocessor: Preprocessor { manifest.preprocessor }
    package var family: ModelFamily { manifest.family }
    /// Probability from which a row is of the positive class.
    package var threshold: Double { manifest.thresholds.decision }

    private init(
        digest: Digest, manifest: PackageManifest, parameters: ModelParameters,
        contents: PackageContents
    ) {
        (self.digest, self.manifest, self.parameters, self.contents) = (
            digest, manifest, parameters, contents
        )
    }

    /// Checks a whole package, in this order: file names, counts and sizes; the signature by `trustedKey` over the
    /// manifest; every file against the manifest's list, none missing and none extra; the manifest's fields; the
    /// tensors; that schema, preprocessor, family, background and tensors fit each other.
    ///
    /// Nothing but the signature file is interpreted before the signature holds.
    /// - Throws: `PackageError`, which names the file and what to do. Cost: a SHA-256 over all bytes and one parse.
    package static func verify(_ contents: PackageContents, trustedKey: VerifyingKey)
        throws(PackageError) -> VerifiedPackage
    {
        try checkLimits(contents)
        guard let manifestBytes = contents.files[PackageFile.manifest] else {
            throw .missing(file: PackageFile.manifest)
        }
        guard let signatureBytes = contents.files[PackageFile.signature] else {
            throw .missing(file: PackageFile.signature)
        }
        let digest = SHA256.hash(manifestBytes)
        try PackageSignature(parsing: signatureBytes).verify(digest, trustedKey: trustedKey)
        let (manifest, records) = try PackageManifest.decode(manifestBytes)
        try check(contents, against: records)
        guard let tensorBytes = contents.files[PackageFile.tensors] else {
            throw .missing(file: PackageFile.tensors)
        }
        let tensors = try SafeTensors(parsing: tensorBytes).tensors()
        let parameters = try fit(tensors, to: manifest)
        return VerifiedPackage(
            digest: digest, manifest: manifest, parameters: parameters, contents: contents)
    }

    /// The same with several trusted keys: the signature must be of one of them.
    package static func verify(_ contents: PackageContents, trustedKeys: [VerifyingKey]) throws(PackageError) -> VerifiedPackage {
        try checkLimits(contents)
        guard let signature = contents.files[PackageFile.signature] else { throw .missing(file: PackageFile.signature) }
        guard let key = try PackageSignature(parsing: signature).key(among: trustedKeys) else {
            throw .wrongKey(found: "", trusted: "none")
        }
        return try verify(contents, trustedKey: key)
    }

    private static func checkLimits(_ contents: PackageContents) throws(PackageError) {
        guard contents.files.count <= PackageLimits.files else {
            throw .malformed(
                file: "directory",
                problem: "\(contents.files.count) files, the limit is \(PackageLimits.files)")
        }
        var total = 0
        for name in contents.files.keys.sorted() {
            guard PackageFile.isAllowed(name) else { throw .nameNotAllowed }
            let count = contents.files[name]?.count ?? 0
            guard count <= PackageLimits.bytes(of: name) else {
                throw .tooLarge(file: name, bytes: count, limit: PackageLimits.bytes(of: name))
            }
            total += count
        }
        guard total <= PackageLimits.totalBytes else {
            throw .tooLarge(file: "all files", bytes: total, limit: PackageLimits.totalBytes)
        }
    }

    private static func check(
        _ contents: PackageContents, against records: [String: PackageManifest.FileRecord]
    ) throws(PackageError) {
        for name in contents.files.keys.sorted()
        where name != PackageFile.manifest && name != PackageFile.signature {
            guard records[name] != nil else { throw .unexpected(file: name) }
        }
        for (name, record) in records.sorted(by: { $0.key < $1.key }) {
            guard let bytes = contents.files[name] else { throw .missing(file: name) }
            guard bytes.count == record.bytes else {
                throw .wrongSize(file: name, bytes: bytes.count, expected: record.bytes)
            }
            guard SHA256.hash(bytes) == record.sha256 else { throw .wrongDigest(file: name) }
        }
    }

    /// The tensors in the family's order, after names and shapes agree with it.
    private static func fit(_ tensors: [Tensor], to manifest: PackageManifest) throws(PackageError)
        -> ModelParameters
    {
        do {
            try manifest.preprocessor.check(manifest.schema, path: "manifest.preprocessor")
        } catch {
            throw .inconsistent(problem: "\(error)")
        }
        let columns = manifest.preprocessor.columnCount
        guard manifest.background.count == columns else {
            throw .inconsistent(
                problem:
                    "\(manifest.background.count) background means for \(columns) preprocessed columns"
            )
        }
        let found = tensors.reduce(0) { $0 + $1.values.count }
        let expected = manifest.family.parameterCount(inputs: columns)
        guard found == expected, expected <= ModelsLimits.parametersMax else {
            throw .inconsistent(
                problem:
                    "\(found) parameters, the model family has \(expected) for \(columns) columns")
        }
        let template = ModelParameters(
            family: manifest.family, inputs: columns, seed: [UInt8](repeating: 0, count: 32))
        guard template.tensors.count == tensors.count else {
            throw .inconsistent(
                problem: "\(tensors.count) tensors, the model family has \(template.tensors.count)")
        }
        var byName: [String: Tensor] = [:]
        for tensor in tensors { byName[tensor.name] = tensor }
        var ordered: [Tensor] = []
        for expected in template.tensors {
            guard let tensor = byName[expected.name], tensor.shape == expected.shape else {
                throw .inconsistent(
                    problem:
                        "tensor \(expected.name) is missing or does not have the shape of its family"
                )
            }
            ordered.append(tensor)
        }
        return ModelParameters(tensors: ordered)
    }
}
