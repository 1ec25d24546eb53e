// The details of an entry, written at once in canonical form: for entries of the hot path, thousands a second, a dictionary
// that is sorted and written later costs more than the entry's signature chain.
import Codec
import Cryptography

/// An object in canonical JSON, built key by key in ascending order.
package struct EntryDetails: Equatable, Sendable {
    /// Without the closing brace.
    private var open: [UInt8] = []
    private var last = ""

    package init() { open.reserveCapacity(Self.commonBytes) }

    /// The same with room for more: for details that begin alike.
    package var copy: EntryDetails {
        var copy = self
        copy.open.reserveCapacity(Self.commonBytes)
        return copy
    }

    private static let commonBytes = 512

    /// The whole object.
    var bytes: [UInt8] { open + [UInt8(ascii: "}")] }

    var isEmpty: Bool { open.isEmpty }

    func append(to bytes: inout [UInt8]) {
        bytes += open
        bytes.append(UInt8(ascii: "}"))
    }

    /// Adds a text.
    /// - Precondition: keys ascend; they are printable ASCII, at most 64 bytes.
    package mutating func add(_ key: String, _ text: String) {
        begin(key)
        CanonicalWriter.append(text, to: &open)
    }

    /// Adds a whole number below 2^53.
    package mutating func add(_ key: String, _ number: Int) {
        precondition(number.magnitude <= UInt64(CanonicalWriter.integerMax), "an integer that every reader keeps exactly")
        begin(key)
        open.append(decimal: number)
    }

    /// Adds a digest in hex.
    package mutating func add(_ key: String, _ digest: Digest) {
        begin(key)
        open.append(UInt8(ascii: "\""))
        digest.appendHex(to: &open)
        open.append(UInt8(ascii: "\""))
    }

    /// Adds the name of a record.
    package mutating func add(_ key: String, _ id: RecordID) {
        begin(key)
        open.append(UInt8(ascii: "\""))
        id.appendText(to: &open)
        open.append(UInt8(ascii: "\""))
    }

    private mutating func begin(_ key: String) {
        precondition(last < key, "keys of an entry ascend")
        assert(key.utf8.count <= CanonicalWriter.keyBytesMax && key.utf8.allSatisfy(CanonicalWriter.isKeyByte), "a key that entries take")
        last = key
        open.append(open.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","))
        open.append(UInt8(ascii: "\""))
        open.append(contentsOf: key.utf8)
        open.append(UInt8(ascii: "\""))
        open.append(UInt8(ascii: ":"))
    }

    /// As a value.
    var members: [String: JSONValue] {
        guard !isEmpty, let value = try? JSONValue.parse(bytes, dialect: .strict), case .object(let members) = value else { return [:] }
        return members
    }
}
