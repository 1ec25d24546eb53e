import Cryptography
import Testing

/// AES-256-GCM and AES-256-CTR against NIST's vectors, and their refusals.
@Suite struct CipherTests {
    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16.
    static let gcm:
        [(
            key: String, nonce: String, aad: String, plaintext: String, ciphertext: String,
            tag: String
        )] = [
            (zeros(32), zeros(12), "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
            (
                zeros(32), zeros(12), "", zeros(16), "cea7403d4d606b6e074ec5d3baf39d18",
                "d0d1c8a799996bf0265b98b5d48ab919"
            ),
            (
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                "cafebabefacedbaddecaf888", "",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                    + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                    + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
                "b094dac5d93471bdec1a502270e3cc6c"
            ),
            (
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                "cafebabefacedbaddecaf888",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                    + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                    + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
                "76fc6ece0f4e1768cddf8853bb2d551b"
            ),
        ]

    static func zeros(_ count: Int) -> String { String(repeating: "00", count: count) }

    @Test func gcmMatchesPublishedVectors() throws {
        for one in Self.gcm {
            let key = SecretBytes(copying: hex(one.key))
            let sealed = AESGCM256.seal(
                hex(one.plaintext), key: key, nonce: hex(one.nonce), additionalData: hex(one.aad))
            #expect(hex(of: sealed) == one.ciphertext + one.tag)
            let secret = SecretBytes(copying: hex(one.plaintext))
            let sealedSecret = AESGCM256.seal(
                secret, key: key, nonce: hex(one.nonce), additionalData: hex(one.aad))
            #expect(sealedSecret == sealed)
            let opened = try AESGCM256.open(
                sealed, key: key, nonce: hex(one.nonce), additionalData: hex(one.aad))
            #expect(opened == hex(one.plaintext))
            let openedSecret = try AESGCM256.openSecret(
                sealed, key: key, nonce: hex(one.nonce), additionalData: hex(one.aad))
            #expect(openedSecret.exposedCopy() == hex(one.plaintext))
        }
    }

    @Test func gcmRefusesEverySingleBitChange() {
        let one = Self.gcm[3]
        let sealed = hex(one.ciphertext + one.tag)
        #expect(opens(sealed, key: hex(one.key), nonce: hex(one.nonce), aad: hex(one.aad)))
        func flips(_ bytes: [UInt8], _ isOpened: ([UInt8]) -> Bool) {
            for bit in 0..<8 * bytes.count {
                var changed = bytes
                changed[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(!isOpened(changed), "bit \(bit)")
            }
        }
        flips(sealed) { opens($0, key: hex(one.key), nonce: hex(one.nonce), aad: hex(one.aad)) }
        flips(hex(one.key)) { opens(sealed, key: $0, nonce: hex(one.nonce), aad: hex(one.aad)) }
        flips(hex(one.nonce)) { opens(sealed, key: hex(one.key), nonce: $0, aad: hex(one.aad)) }
        flips(hex(one.aad)) { opens(sealed, key: hex(one.key), nonce: hex(one.nonce), aad: $0) }
    }

    @Test func gcmRefusesOtherLengths() {
        let one = Self.gcm[3]
        let sealed = hex(one.ciphertext + one.tag)
        for count in 0..<sealed.count {
            #expect(
                !opens(
                    Array(sealed[..<count]), key: hex(one.key), nonce: hex(one.nonce),
                    aad: hex(one.aad)))
        }
        #expect(!opens(sealed + [0], key: hex(one.key), nonce: hex(one.nonce), aad: hex(one.aad)))
        #expect(!opens([0] + sealed, key: hex(one.key), nonce: hex(one.nonce), aad: hex(one.aad)))
        #expect(!opens(sealed, key: hex(one.key), nonce: hex(one.nonce), aad: hex(one.aad) + [0]))
        #expect(!opens(sealed, key: hex(one.key), nonce: hex(one.nonce), aad: []))
    }

    @Test func gcmFailureIsAuthenticationFailedWhateverTheCause() {
        for sealed in [
            [], [UInt8](repeating: 0, count: 15), [UInt8](repeating: 0, count: 16), [1, 2, 3],
        ] {
            #expect(throws: CryptographyError.authenticationFailed) {
                _ = try AESGCM256.open(
                    sealed, key: SecretBytes(copying: hex(Self.gcm[0].key)),
                    nonce: hex(Self.zeros(12)),
                    additionalData: [])
            }
        }
    }

    @Test func gcmCarriesLargeMessages() throws {
        let key = SecretBytes.random(32)
        let nonce = SystemRandom.shared.bytes(12)
        let message = SeededRandom(seed: 1).bytes(3 << 20)
        let sealed = AESGCM256.seal(message, key: key, nonce: nonce, additionalData: message)
        #expect(sealed.count == message.count + 16)
        let opened = try AESGCM256.open(sealed, key: key, nonce: nonce, additionalData: message)
        #expect(opened == message)
    }

    private func opens(_ sealed: [UInt8], key: [UInt8], nonce: [UInt8], aad: [UInt8]) -> Bool {
        let key = SecretBytes(copying: key)
        do {
            _ = try AESGCM256.open(sealed, key: key, nonce: nonce, additionalData: aad)
            return true
        } catch {
            return false
        }
    }

    /// SP 800-38A F.5.5: the keystream is plaintext xor ciphertext.
    @Test func ctrMatchesSP80038A() {
        let plaintext = hex(
            """
            6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
            30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710
            """)
        let ciphertext = hex(
            """
            601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
            2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6
            """)
        let stream = AESCTR256(key: Self.ctrKey(), initialVector: Array(0xf0...0xff))
        #expect(stream.keystream(64) == zip(plaintext, ciphertext).map { $0 ^ $1 })
    }

    static func ctrKey() -> SecretBytes {
        SecretBytes(
            copying: hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
    }

    @Test func ctrPiecesAreTheSameStreamAsTheWhole() {
        let count = 3 * 16_384 + 5
        let whole = AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15)).keystream(count)
        for size in [1, 15, 16, 17, 16_383, 16_384, 16_385, count] {
            let stream = AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15))
            var pieces: [UInt8] = []
            let end = size == 1 ? 100 : count
            while pieces.count < end { pieces += stream.keystream(min(size, end - pieces.count)) }
            #expect(pieces == Array(whole[..<end]))
        }
    }

    @Test func ctrOverwritesWhatWasThere() {
        var bytes = [UInt8](repeating: 0xff, count: 40)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15)).keystream(into: &raw)
        #expect(bytes == AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15)).keystream(40))
    }

    @Test func rekeyStartsAFreshStreamInTheMiddleOfABlock() {
        let stream = AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15))
        _ = stream.keystream(7)
        let other = SecretBytes(copying: Array(1...32))
        stream.rekey(key: other, initialVector: Array(16...31))
        let expected = AESCTR256(key: other, initialVector: Array(16...31)).keystream(100)
        #expect(stream.keystream(100) == expected)
        stream.rekey(key: Self.ctrKey(), initialVector: Array(0...15))
        #expect(
            stream.keystream(9)
                == AESCTR256(key: Self.ctrKey(), initialVector: Array(0...15)).keystream(9))
    }

    @Test func ctrCounterCarriesThroughAllBytes() {
        let stream = AESCTR256(
            key: Self.ctrKey(), initialVector: [UInt8](repeating: 0xff, count: 16))
        let wrapped = AESCTR256(key: Self.ctrKey(), initialVector: [UInt8](repeating: 0, count: 16))
        #expect(Array(stream.keystream(48)[16...]) == wrapped.keystream(32))
    }

    /// The appendix of `protocol/secure-aggregation.md`: segment key of pair 0-1 and the mask words
    /// it gives.
    @Test func ctrMatchesTheMaskOfTheProtocolPage() {
        let key = SecretBytes(
            copying: hex("fbdc84909cc47f1e4af9c99e371c318821d3cefc533e68b3db6d502953933c4e"))
        let stream = AESCTR256(key: key, initialVector: [UInt8](repeating: 0, count: 16))
        #expect(hex(of: stream.keystream(16)) == "2d138d2b" + "232592ca" + "06eccf7c" + "d7519631")
    }

    @Test func wrongLengthsOfOurOwnStopTheProcess() async {
        await #expect(processExitsWith: .failure) {
            _ = AESCTR256(
                key: SecretBytes(copying: [1, 2, 3]),
                initialVector: [UInt8](repeating: 0, count: 16))
        }
        await #expect(processExitsWith: .failure) {
            _ = AESGCM256.seal(
                [], key: SecretBytes.random(32), nonce: [1, 2, 3], additionalData: [])
        }
        await #expect(processExitsWith: .failure) {
            _ = HKDF.expand(SecretBytes.random(32), info: [], count: 8161)
        }
    }
}
