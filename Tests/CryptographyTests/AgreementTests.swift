import Cryptography
import Testing

/// X25519 against RFC 7748, and every way a peer's key can be bad.
@Suite struct AgreementTests {
    func agree(_ scalar: String, _ point: String) throws -> String {
        let key = try AgreementKey(raw: SecretBytes(copying: hex(scalar)))
        return hex(of: try key.agree(with: hex(point)))
    }

    /// RFC 7748 §5.2; the second point has its top bit set, which must be ignored.
    @Test func matchesRFC7748Vectors() throws {
        let first = try agree(
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        #expect(first == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
        let second = try agree(
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")
        #expect(second == "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957")
    }

    /// RFC 7748 §5.2, after 1 and 1000 iterations.
    @Test func matchesRFC7748Iteration() throws {
        var scalar = hex("0900000000000000000000000000000000000000000000000000000000000000")
        var point = scalar
        for iteration in 1...1000 {
            let next = try AgreementKey(raw: SecretBytes(copying: scalar)).agree(with: point)
                .exposedCopy()
            (scalar, point) = (next, scalar)
            if iteration == 1 {
                #expect(
                    hex(of: scalar)
                        == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
            }
        }
        #expect(
            hex(of: scalar) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    }

    /// RFC 7748 §6.1.
    @Test func bothSidesAgree() throws {
        let alice = try AgreementKey(
            raw: SecretBytes(
                copying: hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")))
        let bob = try AgreementKey(
            raw: SecretBytes(
                copying: hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")))
        #expect(
            hex(of: alice.publicKey)
                == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(
            hex(of: bob.publicKey)
                == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let mine = try alice.agree(with: bob.publicKey)
        let theirs = try bob.agree(with: alice.publicKey)
        #expect(hex(of: mine) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
        let isSame = mine == theirs
        #expect(isSame)
    }

    /// The appendix of `protocol/secure-aggregation.md`: site 0's mask key.
    @Test func publicKeyMatchesTheProtocolPage() throws {
        let key = try AgreementKey(
            raw: SecretBytes(
                copying: hex("bd6589619e9913033e40c6e8b9eeff0955cf20e4db03161c7100aba226178a53")))
        #expect(
            hex(of: key.publicKey)
                == "dcd3f3cc57044f431297ad0998f0ffbb5de306fd1c404c8ae319c424151ba655")
    }

    /// All encodings of points of order 1, 2, 4 and 8 on the curve and its twist, with the ignored
    /// bit clear and set.
    static let smallOrder = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]

    @Test(arguments: smallOrder) func refusesSmallOrderPoint(_ point: String) {
        let key = AgreementKey.generate(random: SystemRandom.shared)
        for top: UInt8 in [0, 0x80] {
            var bytes = hex(point)
            bytes[31] |= top
            #expect(throws: CryptographyError.agreementRefused) { _ = try key.agree(with: bytes) }
        }
    }

    @Test func takesNonCanonicalPointsThatAreNotOfSmallOrder() throws {
        // p + 9 encodes the base point: RFC 7748 §5 says to reduce it.
        var bytes = [UInt8](repeating: 0xff, count: 32)
        (bytes[0], bytes[31]) = (0xf6, 0x7f)
        let key = AgreementKey.generate(random: SystemRandom.shared)
        let shared = try key.agree(with: bytes).exposedCopy()
        #expect(shared == key.publicKey)
    }

    @Test func refusesKeysOfOtherLengths() {
        let key = AgreementKey.generate(random: SystemRandom.shared)
        for count in [0, 1, 31, 33, 64] {
            let bytes = [UInt8](repeating: 9, count: count)
            #expect(
                throws: CryptographyError.wrongLength(
                    what: "X25519 public key", expected: 32, got: count)
            ) {
                _ = try key.agree(with: bytes)
            }
            #expect(
                throws: CryptographyError.wrongLength(
                    what: "X25519 private key", expected: 32, got: count)
            ) {
                _ = try AgreementKey(raw: SecretBytes(copying: bytes))
            }
        }
    }

    @Test func generatedKeysFollowTheirSource() {
        let one = AgreementKey.generate(random: SeededRandom(seed: 7))
        #expect(one.publicKey == AgreementKey.generate(random: SeededRandom(seed: 7)).publicKey)
        #expect(one.publicKey != AgreementKey.generate(random: SeededRandom(seed: 8)).publicKey)
        let system = SystemRandom.shared
        #expect(
            AgreementKey.generate(random: system).publicKey
                != AgreementKey.generate(random: system).publicKey)
    }
}
