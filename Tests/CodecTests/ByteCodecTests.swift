import Testing

@testable import Codec

@Suite struct ByteCodecTests {
    @Test func readsBackWhatItWrote() throws {
        var writer = ByteWriter(reserving: 64)
        writer.u8(1)
        writer.u16(0x0203)
        writer.u32(0x0405_0607)
        writer.u64(0x0809_0a0b_0c0d_0e0f)
        writer.u16le(0x0102)
        writer.u32le(0x0102_0304)
        writer.u64le(0x0102_0304_0506_0708)
        writer.raw([9, 9])
        writer.lengthPrefixed([7])
        writer.text("é")
        #expect(writer.bytes.prefix(15) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
        #expect(writer.bytes[15..<17] == [2, 1])
        #expect(writer.bytes.suffix(11) == [0, 0, 0, 1, 7, 0, 0, 0, 2, 0xc3, 0xa9])
        var reader = ByteReader(writer.bytes)
        #expect(try reader.u8() == 1)
        #expect(try reader.u16() == 0x0203)
        #expect(try reader.u32() == 0x0405_0607)
        #expect(try reader.u64() == 0x0809_0a0b_0c0d_0e0f)
        #expect(try reader.u16le() == 0x0102)
        #expect(try reader.u32le() == 0x0102_0304)
        #expect(try reader.u64le() == 0x0102_0304_0506_0708)
        #expect(try reader.raw(2) == [9, 9])
        #expect(try reader.lengthPrefixed(maxBytes: 1) == [7])
        #expect(try reader.text(maxBytes: 2) == "é")
        try reader.finish()
    }

    @Test func refusesShortInputEverywhere() {
        for count in 0..<8 {
            var reader = ByteReader([UInt8](repeating: 1, count: count))
            #expect(throws: CodecError.truncated) { try reader.u64() }
            #expect(reader.remaining == count)
            #expect(throws: CodecError.truncated) { try reader.raw(count + 1) }
        }
    }

    @Test func refusesLyingLengthsBeforeCopying() {
        var huge = ByteReader([0xff, 0xff, 0xff, 0xff, 1])
        #expect(throws: CodecError.tooLong(limit: 100)) { try huge.lengthPrefixed(maxBytes: 100) }
        var short = ByteReader([0, 0, 0, 2, 1])
        #expect(throws: CodecError.truncated) { try short.lengthPrefixed(maxBytes: 100) }
    }

    @Test func refusesLeftoversAndBadText() throws {
        let reader = ByteReader([1])
        #expect(throws: CodecError.leftover(count: 1)) { try reader.finish() }
        var text = ByteReader([0, 0, 0, 1, 0xff])
        #expect(throws: CodecError.notUTF8) { try text.text(maxBytes: 9) }
    }
}

@Suite struct TextCodecTests {
    /// RFC 4648 §10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
    func base64FollowsRFC4648(_ plain: String, _ encoded: String) {
        let unpadded = String(encoded.prefix { $0 != "=" })
        #expect(Base64.encode(Array(plain.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
        #expect(Base64.urlEncode(Array(plain.utf8)) == unpadded)
        #expect(Base64.urlDecode(unpadded) == Array(plain.utf8))
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z", "Zm9v\n", " Zm9v", "Zm9v=", "====", "Zm-_",
        "Zg==Zg==", "Z=g=", "é000",
    ])
    func base64RefusesOtherForms(_ text: String) { #expect(Base64.decode(text) == nil) }

    @Test(arguments: ["Zg==", "Zh", "Zm8=", "Z", "+/+/", "Zm9", "Zm9v "])
    func urlBase64RefusesOtherForms(_ text: String) { #expect(Base64.urlDecode(text) == nil) }

    @Test func allBytesSurvive() {
        for count in 0...5 {
            for start in stride(from: 0, to: 256, by: 3) {
                let bytes = (0..<count).map { UInt8((start + $0 * 37) & 255) }
                #expect(Hex.decode(Hex.encode(bytes)) == bytes)
                #expect(Base64.decode(Base64.encode(bytes)) == bytes)
                #expect(Base64.urlDecode(Base64.urlEncode(bytes)) == bytes)
            }
        }
        #expect(Base64.urlEncode([0xfb, 0xff]) == "-_8")
    }

    @Test func wholeNumbersAreAppendedAsDigits() {
        for number in [0, 1, 9, 10, 99, 100, 101, 12_345, Int.max, -1, -10, Int.min] {
            var bytes: [UInt8] = [65]
            bytes.append(decimal: number)
            #expect(String(decoding: bytes, as: UTF8.self) == "A\(number)")
        }
        var bytes: [UInt8] = []
        bytes.append(decimal: UInt64.max)
        #expect(String(decoding: bytes, as: UTF8.self) == "\(UInt64.max)")
    }

    @Test func hexIsStrict() {
        #expect(Hex.encode([0, 0xab, 0xff]) == "00abff")
        #expect(Hex.decode("00ABff") == [0, 0xab, 0xff])
        for text in ["0", "0g", "0x00", " 00", "00 ", "é0", "-1", "+1"] {
            #expect(Hex.decode(text) == nil)
        }
    }
}
