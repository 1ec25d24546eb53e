import Testing

@testable import ModelPackage

@Suite struct PackageBundleTests {
    @Test func roundTripsAndIsCanonical() throws {
        let contents = try Fixture.contents()
        let bundle = contents.bundle()
        #expect(try PackageContents(bundle: bundle) == contents)
        #expect(try PackageContents(bundle: bundle).bundle() == bundle)
        #expect(
            try VerifiedPackage.verify(
                PackageContents(bundle: bundle), trustedKey: Fixture.key.publicKey
            ).version == 1)
        #expect(try PackageContents(bundle: PackageContents(files: [:]).bundle()).files.isEmpty)
    }

    @Test func everyTruncationAndAnExtraByteAreRefused() throws {
        let bundle = PackageContents(files: ["a": [1, 2], "b": [], "c": [3]]).bundle()
        for count in 0..<bundle.count {
            #expect(throws: PackageError.self) {
                try PackageContents(bundle: Array(bundle.prefix(count)))
            }
        }
        #expect(throws: PackageError.self) { try PackageContents(bundle: bundle + [0]) }
    }

    @Test func refusesNamesOutOfOrderTwiceOrNotAllowed() {
        func bundle(_ names: [String]) -> [UInt8] {
            var bytes = PackageContents.bundleMagic + [0, 0, 0, UInt8(names.count)]
            for name in names {
                bytes += [0, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, 1, 9]
            }
            return bytes
        }
        #expect(throws: Never.self) { try PackageContents(bundle: bundle(["a", "b"])) }
        for names in [["b", "a"], ["a", "a"], [""], [".a"], ["a/b"], ["../a"]] {
            #expect(throws: PackageError.self) { try PackageContents(bundle: bundle(names)) }
        }
    }

    @Test func aLyingLengthDoesNotAllocate() {
        let bytes =
            PackageContents.bundleMagic + [
                0, 0, 0, 1, 0, 0, 0, 1, UInt8(ascii: "a"), 0xFF, 0xFF, 0xFF, 0xFF,
            ]
        #expect(throws: PackageError.self) { try PackageContents(bundle: bytes) }
        #expect(throws: PackageError.self) {
            try PackageContents(bundle: PackageContents.bundleMagic + [0xFF, 0xFF, 0xFF, 0xFF])
        }
    }

    /// Bytes that no writer made: the reader must return or throw, never trap.
    @Test func survivesRandomDamage() throws {
        let bundle = try Fixture.contents().bundle()
        var state: UInt64 = 42
        func random() -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33)
        }
        for _ in 0..<2000 {
            var bytes = bundle
            for _ in 0...random() % 4 { bytes[random() % bytes.count] = UInt8(random() % 256) }
            if random() % 3 == 0 { bytes.removeLast(random() % bytes.count) }
            guard let contents = try? PackageContents(bundle: bytes),
                contents != (try Fixture.contents())
            else { continue }
            #expect(throws: PackageError.self) {
                try VerifiedPackage.verify(contents, trustedKey: Fixture.key.publicKey)
            }
        }
    }
}
