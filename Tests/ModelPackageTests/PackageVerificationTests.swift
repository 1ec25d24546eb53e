import Codec
import Cryptography
import Models
import Testing

@testable import ModelPackage

@Suite struct PackageVerificationTests {
    @Test func whatWasSignedIsWhatIsVerified() throws {
        let contents = try Fixture.contents()
        let package = try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey)
        #expect(package.manifest == (try Fixture.manifest()))
        #expect(package.parameters == (try Fixture.parameters()))
        #expect(package.name == "heart-disease" && package.version == 1 && package.threshold == 0.5)
        #expect(package.digest == SHA256.hash(try #require(contents.files[PackageFile.manifest])))
        #expect(package.schema == Fixture.schema)
        #expect(package.preprocessor == (try Fixture.preprocessor()))
    }

    @Test func sameValuesMakeTheSameBytes() throws {
        #expect(try Fixture.contents() == Fixture.contents())
    }

    @Test func networksComeBackInTheirOwnTensorOrder() throws {
        for output in [ModelFamily.OutputLayer.sigmoid, .softmax] {
            let family = ModelFamily.perceptron(
                hidden: [5, 3], output: output, l2: 0.001, perSiteIntercept: true)
            let parameters = try Fixture.parameters(family)
            let contents = try PackageWriter.sign(
                try Fixture.manifest(family: family), parameters: parameters, with: Fixture.key)
            #expect(
                try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey).parameters
                    == parameters)
        }
    }

    /// Every byte of every file, flipped in one bit and inverted: nothing may pass.
    @Test func everyFlippedByteIsRefused() throws {
        let contents = try Fixture.contents()
        for (name, bytes) in contents.files.sorted(by: { $0.key < $1.key }) {
            for index in bytes.indices {
                var changed = contents
                changed.files[name]?[index] ^= UInt8(1 << (index % 8))
                #expect(throws: PackageError.self, "\(name) byte \(index)") {
                    try VerifiedPackage.verify(changed, trustedKey: Fixture.key.publicKey)
                }
            }
        }
    }

    @Test func everyTruncationIsRefused() throws {
        let contents = try Fixture.contents()
        for (name, bytes) in contents.files {
            for count in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 64)) {
                var changed = contents
                changed.files[name] = Array(bytes.prefix(count))
                #expect(throws: PackageError.self) {
                    try VerifiedPackage.verify(changed, trustedKey: Fixture.key.publicKey)
                }
            }
        }
    }

    @Test func missingAndExtraFilesAreNamed() throws {
        let contents = try Fixture.contents()
        for name in contents.files.keys {
            var changed = contents
            changed.files[name] = nil
            #expect(throws: PackageError.missing(file: name)) {
                try VerifiedPackage.verify(changed, trustedKey: Fixture.key.publicKey)
            }
        }
        var changed = contents
        changed.files["readme.txt"] = []
        #expect(throws: PackageError.unexpected(file: "readme.txt")) {
            try VerifiedPackage.verify(changed, trustedKey: Fixture.key.publicKey)
        }
        for name in [
            "../x", "", ".hidden", "A", "a/b", "a\0", String(repeating: "a", count: 65), "ä",
        ] {
            var named = contents
            named.files[name] = []
            #expect(throws: PackageError.nameNotAllowed) {
                try VerifiedPackage.verify(named, trustedKey: Fixture.key.publicKey)
            }
        }
    }

    @Test func anotherKeyIsNamedAsSuch() throws {
        let contents = try Fixture.contents()
        do {
            _ = try VerifiedPackage.verify(contents, trustedKey: Fixture.otherKey.publicKey)
            Issue.record("another key was accepted")
        } catch {
            if case .wrongKey = error {} else { Issue.record("\(error)") }
        }
        // The right key id over a signature of another key.
        var forged = contents
        var signature = PackageSignature(
            signing: SHA256.hash(contents.files[PackageFile.manifest] ?? []), with: Fixture.otherKey
        )
        signature.keyIdentifier = PackageSignature.keyIdentifier(Fixture.key.publicKey)
        forged.files[PackageFile.signature] = signature.encoded
        #expect(throws: PackageError.badSignature) {
            try VerifiedPackage.verify(forged, trustedKey: Fixture.key.publicKey)
        }
    }

    @Test func aSignatureOfAnotherKindOfMessageDoesNotCount() throws {
        var contents = try Fixture.contents()
        let digest = SHA256.hash(contents.files[PackageFile.manifest] ?? [])
        var signature = PackageSignature(signing: digest, with: Fixture.key)
        signature.signature = Fixture.key.sign(digest.bytes)
        contents.files[PackageFile.signature] = signature.encoded
        #expect(throws: PackageError.badSignature) {
            try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey)
        }
    }

    @Test func oversizedFilesAreRefusedBeforeTheyAreRead() throws {
        var contents = try Fixture.contents()
        contents.files[PackageFile.manifest] = [UInt8](
            repeating: 0x20, count: PackageLimits.manifestBytes + 1)
        #expect(
            throws: PackageError.tooLarge(
                file: PackageFile.manifest, bytes: PackageLimits.manifestBytes + 1,
                limit: PackageLimits.manifestBytes)
        ) {
            try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey)
        }
        var many = try Fixture.contents()
        for index in 0..<PackageLimits.files { many.files["f\(index)"] = [] }
        #expect(throws: PackageError.self) {
            try VerifiedPackage.verify(many, trustedKey: Fixture.key.publicKey)
        }
    }

    /// A signer's mistakes: the right key signed something that is not a package.
    @Test(arguments: [
        (#""format":"consilium-model-package/1""#, #""format":"consilium-model-package/2""#),
        (#""version":1"#, #""version":0"#),
        (#""version":1"#, #""version":1.5"#),
        (#""version":1"#, #""version":1,"zzz":1"#),
        (#""decision":0.5"#, #""decision":1.5"#),
        (#""classes":["absent","present"]"#, #""classes":["same","same"]"#),
        (#""classes":["absent","present"]"#, #""classes":["absent"]"#),
        (#""background":[0.25,"#, #""background":["#),
        (#""background":[0.25,"#, #""background":["x","#),
        (#""name":"heart-disease""#, #""name":"../heart""#),
        (#"{"background""#, #"{ "background""#),
    ]) func signedButWrongManifestIsRefused(_ old: String, _ new: String) throws {
        let contents = try Fixture.contents()
        let changed = Fixture.resigned(contents) { Fixture.replacing(old, with: new, in: &$0) }
        try #require(changed != contents)
        #expect(throws: PackageError.self) {
            try VerifiedPackage.verify(changed, trustedKey: Fixture.key.publicKey)
        }
    }

    @Test func parametersOfAnotherFamilyOrNotFiniteCannotBeReleased() throws {
        let family = ModelFamily.perceptron(
            hidden: [4], output: .sigmoid, l2: 0, perSiteIntercept: false)
        #expect(throws: PackageError.self) {
            try PackageWriter.sign(
                try Fixture.manifest(), parameters: try Fixture.parameters(family),
                with: Fixture.key)
        }
        var tensors = try Fixture.parameters().tensors
        tensors[0] = Tensor(
            name: tensors[0].name, shape: tensors[0].shape,
            values: tensors[0].values.map { _ in Float.nan })
        #expect(throws: PackageError.self) {
            try PackageWriter.sign(
                try Fixture.manifest(), parameters: ModelParameters(tensors: tensors),
                with: Fixture.key)
        }
    }

    @Test func messagesNameTheFileAndWhatToDo() {
        let errors: [PackageError] = [
            .missing(file: "model.safetensors"), .unexpected(file: "x"), .notRegular(file: "x"),
            .nameNotAllowed,
            .tooLarge(file: "x", bytes: 2, limit: 1), .wrongSize(file: "x", bytes: 1, expected: 2),
            .wrongDigest(file: "x"),
            .unknownFormat(file: "x"), .malformed(file: "x", problem: "p"),
            .wrongKey(found: "a", trusted: "b"), .badSignature,
            .inconsistent(problem: "p"), .directory(path: "d", problem: "p"),
        ]
        for error in errors { #expect(error.description.count > 20) }
    }
}
