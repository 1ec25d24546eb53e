import Cryptography
import Testing

/// FIPS 180-4 examples and the promises of `Digest`.
@Suite struct HashingTests {
    @Test func sha256MatchesPublishedExamples() {
        #expect(
            SHA256.hash([]).hex
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            SHA256.hash(text("abc")).hex
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            SHA256.hash(text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            SHA256.hash([UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)).hex
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func hashOfPiecesIsHashOfTheWhole() {
        let message = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let whole = SHA256.hash(message)
        for cut in 0...message.count {
            var hasher = SHA256.Hasher()
            hasher.update(Array(message[..<cut]))
            hasher.update(Array(message[cut...]))
            #expect(hasher.finish() == whole)
        }
        #expect(SHA256.hash(parts: Array(message[..<100]), [], Array(message[100...])) == whole)
    }

    /// Rows are hashed two at a time where the processor can; by libcrypto alone, one at a time, they come out the same.
    @Test func hashesOfRowsAreThoseOfEachRow() {
        for (prefix, counts) in [([UInt8](), [0, 1, 2, 3]), ([1], [1, 2, 5]), ((0..<17).map { UInt8($0) }, [2, 3]), ((0..<63).map { UInt8($0) }, [4])] {
            for stride in Array(1...140) + [290, 306, 320, 1000, 1015, 1016, 1017, 1100] {
                for count in counts {
                    let rows = (0..<stride * count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 7) }
                    func row(_ number: Int, _ skip: Int) -> [UInt8] { Array(rows[number * stride + skip..<(number + 1) * stride]) }
                    let whole = (0..<count).flatMap { SHA256.hash(prefix + row($0, 0)).bytes }
                    #expect(SHA256.hash(prefix: prefix, rows: rows[...], stride: stride) == whole, "\(count) rows of \(stride)")
                    // In one buffer: hashes in front, and without the first byte of each row.
                    var buffer = [UInt8](repeating: 7, count: count * 32 + 1) + rows
                    do {
                        var span = buffer.mutableSpan
                        var bytes = unsafe span.mutableBytes
                        SHA256.hash(prefix: prefix, rowsAt: count * 32 + 1, stride: stride, skip: 1, count: count, into: 1, of: &bytes)
                    }
                    #expect(buffer[0] == 7 && buffer[1..<count * 32 + 1].elementsEqual((0..<count).flatMap { SHA256.hash(prefix + row($0, 1)).bytes }))
                    #expect(buffer.dropFirst(count * 32 + 1).elementsEqual(rows))
                }
            }
        }
    }

    @Test func finishDoesNotEndTheStream() {
        var hasher = SHA256.Hasher()
        #expect(hasher.finish() == SHA256.hash([]))
        hasher.update(text("a"))
        #expect(hasher.finish() == SHA256.hash(text("a")))
        hasher.update(text("bc"))
        #expect(hasher.finish() == SHA256.hash(text("abc")))
        #expect(hasher.finish() == SHA256.hash(text("abc")))
    }

    @Test func digestKeepsBytesHexAndOrder() throws {
        let bytes = (0..<32).map { UInt8(255 - $0) }
        let digest = try #require(Digest(bytes: bytes))
        #expect(digest.bytes == bytes)
        var (appended, digits) = ([UInt8](), [UInt8]())
        digest.append(to: &appended)
        digest.appendHex(to: &digits)
        #expect(appended == bytes && String(decoding: digits, as: UTF8.self) == digest.hex)
        #expect(digest.isEqualInConstantTime(to: digest))
        #expect(Digest(hex: digest.hex) == digest)
        #expect(Digest(hex: digest.hex.uppercased()) == digest)
        for index in 0..<32 {
            var larger = bytes
            larger[index] &+= 1
            let other = try #require(Digest(bytes: larger))
            #expect((digest < other) == bytes.lexicographicallyPrecedes(larger))
            #expect(other != digest && !other.isEqualInConstantTime(to: digest))
        }
    }

    @Test func refusesDigestsOfOtherLengthOrDigits() {
        for count in [0, 31, 33, 64] {
            #expect(Digest(bytes: [UInt8](repeating: 0, count: count)) == nil)
        }
        let good = String(repeating: "0", count: 64)
        #expect(Digest(hex: good) != nil)
        for bad in [
            "", "0", good + "0", good + "00", String(good.dropLast()), String(good.dropLast(2)),
            "g" + good.dropFirst(), " " + good.dropFirst(), "0x" + good.dropFirst(2),
            "é" + good.dropFirst(2),
        ] {
            #expect(Digest(hex: bad) == nil)
        }
    }

    @Test func hmacMatchesRFC4231() {
        let cases: [(key: [UInt8], message: [UInt8], tag: String)] = [
            (
                .init(repeating: 0x0b, count: 20), text("Hi There"),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                text("Jefe"), text("what do ya want for nothing?"),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                .init(repeating: 0xaa, count: 20), .init(repeating: 0xdd, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
            (
                Array(1...25), .init(repeating: 0xcd, count: 50),
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
            ),
            (
                .init(repeating: 0xaa, count: 131),
                text("Test Using Larger Than Block-Size Key - Hash Key First"),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            (
                .init(repeating: 0xaa, count: 131),
                text(
                    "This is a test using a larger than block-size key and a larger than block-size data. "
                        + "The key needs to be hashed before being used by the HMAC algorithm."),
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
            ),
        ]
        for one in cases {
            #expect(HMACSHA256.authenticate(one.message, key: one.key).hex == one.tag)
            let key = SecretBytes(copying: one.key)
            let tag = HMACSHA256.authenticate(one.message, key: key).bytes
            func isValid(_ tag: [UInt8], _ message: [UInt8]) -> Bool {
                HMACSHA256.isValid(tag, for: message, key: SecretBytes(copying: one.key))
            }
            #expect(isValid(tag, one.message))
            #expect(!isValid(tag, one.message + [0]))
            #expect(!isValid(Array(tag.dropLast()), one.message))
            #expect(!isValid(tag + [0], one.message))
            #expect(!isValid([], one.message))
        }
    }

    @Test func hmacOfNothingUnderNoKey() {
        #expect(
            HMACSHA256.authenticate([], key: [UInt8]()).hex
                == "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad")
    }

    @Test func hkdfMatchesRFC5869() {
        let cases:
            [(ikm: String, salt: String, info: String, count: Int, prk: String, okm: String)] = [
                (
                    String(repeating: "0b", count: 22), "000102030405060708090a0b0c",
                    "f0f1f2f3f4f5f6f7f8f9", 42,
                    "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
                ),
                (
                    hex(of: Array(0x00...0x4f)), hex(of: Array(0x60...0xaf)),
                    hex(of: Array(0xb0...0xff)), 82,
                    "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
                    "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
                        + "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
                ),
                (
                    String(repeating: "0b", count: 22), "", "", 42,
                    "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
                ),
            ]
        for one in cases {
            let prk = HKDF.extract(salt: hex(one.salt), secret: SecretBytes(copying: hex(one.ikm)))
            #expect(hex(of: prk) == one.prk)
            let okm = HKDF.expand(prk, info: hex(one.info), count: one.count)
            #expect(hex(of: okm) == one.okm)
        }
    }

    @Test func hkdfOutputsArePrefixesOfTheLongest() {
        let prk = SecretBytes(copying: [UInt8](repeating: 9, count: 32))
        let longest = HKDF.expand(prk, info: [1], count: HKDF.outputBytesMax).exposedCopy()
        #expect(longest.count == 8160)
        for count in [0, 1, 31, 32, 33, 64, 8159] {
            #expect(
                HKDF.expand(prk, info: [1], count: count).exposedCopy() == Array(longest[..<count]))
        }
    }
}
