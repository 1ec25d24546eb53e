import Cryptography
import Testing

/// The bytes of a text.
func text(_ string: String) -> [UInt8] { Array(string.utf8) }

/// Bytes of a hexadecimal constant written in a test; white space is allowed.
func hex(_ digits: String) -> [UInt8] {
    let values = digits.filter { !$0.isWhitespace }.map(\.hexDigitValue)
    guard values.count.isMultiple(of: 2), values.allSatisfy({ $0 != nil }) else {
        Issue.record("a test vector is not hexadecimal")
        return []
    }
    let nibbles = values.compactMap { $0.map(UInt8.init) }
    return stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] << 4 | nibbles[$0 + 1] }
}

/// Lower case hexadecimal.
func hex(of bytes: [UInt8]) -> String {
    bytes.map { byte in
        let digits = String(byte, radix: 16)
        return digits.count == 1 ? "0" + digits : digits
    }.joined()
}

func hex(of secret: borrowing SecretBytes) -> String { hex(of: secret.exposedCopy()) }
