import Cryptography
import Testing

/// Ed25519 against RFC 8032, and signatures that must not pass.
@Suite struct SignatureTests {
    /// RFC 8032 §7.1, tests 1, 2, 3 and SHA(abc).
    static let vectors: [(seed: String, key: String, message: String, signature: String)] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                + "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
                + "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
        ),
    ]

    @Test func matchesRFC8032() throws {
        for one in Self.vectors {
            let key = try SigningKey(seed: SecretBytes(copying: hex(one.seed)))
            #expect(hex(of: key.publicKey.bytes) == one.key)
            #expect(hex(of: key.sign(hex(one.message))) == one.signature)
            let verifying = try #require(VerifyingKey(bytes: hex(one.key)))
            #expect(verifying == key.publicKey)
            #expect(verifying.isValid(hex(one.signature), for: hex(one.message)))
        }
    }

    @Test func refusesEverySingleBitChange() throws {
        let one = Self.vectors[2]
        let key = try #require(VerifyingKey(bytes: hex(one.key)))
        let (signature, message) = (hex(one.signature), hex(one.message))
        for bit in 0..<8 * signature.count {
            var changed = signature
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!key.isValid(changed, for: message), "signature bit \(bit)")
        }
        for bit in 0..<8 * message.count {
            var changed = message
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!key.isValid(signature, for: changed), "message bit \(bit)")
        }
        for bit in 0..<8 * 32 {
            var changed = key.bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            let other = try #require(VerifyingKey(bytes: changed))
            #expect(!other.isValid(signature, for: message), "key bit \(bit)")
        }
    }

    /// RFC 8032 §5.1.7 and §8.4: S must be below L, or anyone could make a second signature from
    /// the first.
    @Test func refusesMalleatedSignature() throws {
        let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        for one in Self.vectors {
            let key = try #require(VerifyingKey(bytes: hex(one.key)))
            var signature = hex(one.signature)
            for _ in 1...14 {
                var carry = 0
                for index in 0..<32 {
                    let sum = Int(signature[32 + index]) + Int(order[index]) + carry
                    signature[32 + index] = UInt8(sum & 0xff)
                    carry = sum >> 8
                }
                #expect(carry == 0)
                #expect(!key.isValid(signature, for: hex(one.message)))
            }
        }
    }

    @Test func refusesSignaturesOfOtherLengths() throws {
        let one = Self.vectors[1]
        let key = try #require(VerifyingKey(bytes: hex(one.key)))
        let signature = hex(one.signature)
        for count in 0..<64 {
            #expect(!key.isValid(Array(signature[..<count]), for: hex(one.message)))
        }
        #expect(!key.isValid(signature + [0], for: hex(one.message)))
        #expect(!key.isValid(signature + signature, for: hex(one.message)))
        #expect(!key.isValid([UInt8](repeating: 0, count: 64), for: hex(one.message)))
        #expect(!key.isValid([UInt8](repeating: 0xff, count: 64), for: hex(one.message)))
    }

    @Test func refusesKeysOfOtherLengths() {
        for count in [0, 1, 31, 33, 64] {
            #expect(VerifyingKey(bytes: [UInt8](repeating: 9, count: count)) == nil)
            #expect(
                throws: CryptographyError.wrongLength(
                    what: "Ed25519 seed", expected: 32, got: count)
            ) {
                _ = try SigningKey(seed: SecretBytes(copying: [UInt8](repeating: 9, count: count)))
            }
        }
    }

    /// Under the neutral element as key, (R = neutral, S = 0) would be valid for every message.
    @Test func refusesSmallOrderKeys() {
        let points = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ]
        for point in points {
            for sign: UInt8 in [0, 0x80] {
                var bytes = hex(point)
                bytes[31] |= sign
                #expect(VerifyingKey(bytes: bytes) == nil)
            }
        }
    }

    @Test func keysThatAreNoPointVerifyNothing() throws {
        var noPoints = 0
        for value: UInt8 in 2...40 {
            var bytes = [UInt8](repeating: 0, count: 32)
            bytes[0] = value
            let key = try #require(VerifyingKey(bytes: bytes))
            if !key.isValid(hex(Self.vectors[0].signature), for: []) { noPoints += 1 }
        }
        #expect(noPoints == 39)
    }

    @Test func pemRoundTrips() throws {
        let key = SigningKey.generate(random: SystemRandom.shared)
        let pem = try key.pem()
        #expect(
            String(decoding: pem.exposedCopy(), as: UTF8.self).hasPrefix(
                "-----BEGIN PRIVATE KEY-----\n"))
        let read = try SigningKey(pem: pem)
        #expect(read.publicKey == key.publicKey)
        #expect(read.sign([1, 2, 3]) == key.sign([1, 2, 3]))
    }

    @Test func pemOfOpenSSLIsReadAndOtherKindsRefused() throws {
        let key = try SigningKey(pem: SecretBytes(copying: text(Fixtures.keyEd25519)))
        #expect(key.publicKey.isValid(key.sign([7]), for: [7]))
        for other in [Fixtures.keyP256, Fixtures.keyP384, Fixtures.keyX25519] {
            #expect(
                throws: CryptographyError.refused(
                    what: "signing key", reason: "the key must be of type Ed25519")
            ) {
                _ = try SigningKey(pem: SecretBytes(copying: text(other)))
            }
        }
        for bad in [
            "", "garbage", Fixtures.keyEncrypted, String(Fixtures.keyEd25519.dropLast(40)),
            String(repeating: "A", count: 70_000),
        ] {
            #expect(throws: CryptographyError.self) {
                _ = try SigningKey(pem: SecretBytes(copying: text(bad)))
            }
        }
    }

    @Test func signsFromManyThreadsAtOnce() async throws {
        let key = SigningKey.generate(random: SystemRandom.shared)
        let valid = await withTaskGroup(of: Bool.self) { group in
            for value in 0..<64 as Range<UInt8> {
                group.addTask { key.publicKey.isValid(key.sign([value]), for: [value]) }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(valid == 64)
    }
}
