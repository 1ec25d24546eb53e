/// The names that go into certificates. Checked before a byte of them reaches a certificate.
package enum SiteName {
    /// The certificate reader has room for as many (`CONSILIUM_SITE_NAME_BYTES_MAX`).
    package static let bytesMax = 64

    /// Whether `name` matches `[a-z0-9-]{1,64}`.
    package static func isValid(_ name: String) -> Bool {
        (1...bytesMax).contains(name.utf8.count) && name.utf8.allSatisfy(isNameByte)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

/// A name of a server in a certificate: a DNS name or an IP address.
enum HostName: Equatable {
    case dns(String)
    /// 4 or 16 bytes.
    case address([UInt8])

    /// RFC 1035 §2.3.4.
    static let bytesMax = 253
    static let labelBytesMax = 63

    /// - Returns: nil for anything else, wildcards and trailing dots included. Upper case letters
    ///   become lower case.
    init?(_ text: String) {
        guard (1...Self.bytesMax).contains(text.utf8.count) else { return nil }
        if let address = Self.addressBytes(text) {
            self = .address(address)
            return
        }
        let labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard labels.allSatisfy(Self.isLabel), !labels[labels.count - 1].allSatisfy(Self.isDigit)
        else { return nil }
        self = .dns(String(decoding: text.utf8.map(Self.lowercased), as: UTF8.self))
    }

    private static func isLabel(_ label: Substring.UTF8View) -> Bool {
        let hyphen = UInt8(ascii: "-")
        return (1...labelBytesMax).contains(label.count) && label.first != hyphen
            && label.last != hyphen
            && label.allSatisfy { isDigit($0) || isLetter($0) || $0 == hyphen }
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lowercased(byte))
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}
