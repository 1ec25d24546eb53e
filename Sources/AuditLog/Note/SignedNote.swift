// c2sp.org/signed-note:
//   <text, ends with a newline>
//   <empty line>
//   — <key name> <base64(key ID[4] || signature)>      one or more of these lines
// Text and signatures part at the last empty line. UTF-8, no control characters but the newline.
import Codec
import Cryptography

/// A note as it was parsed: nothing about its signatures is known to be right yet.
package struct SignedNote: Equatable, Sendable {
    /// One signature line.
    package struct Signature: Equatable, Sendable {
        package var name: KeyName
        package var keyID: UInt32
        /// What stands behind the key ID, at least one byte.
        package var blob: [UInt8]

        package init(name: KeyName, keyID: UInt32, blob: [UInt8]) {
            self.name = name
            self.keyID = keyID
            self.blob = blob
        }
    }

    /// Largest note that is parsed.
    package static let bytesMax = 1 << 20
    /// Signature lines a note may have.
    package static let signaturesMax = 100

    /// The signed text with its final newline.
    package let text: [UInt8]
    package private(set) var signatures: [Signature]

    /// Parses the bytes of a note.
    package init(_ bytes: [UInt8]) throws(NoteError) {
        guard bytes.count <= Self.bytesMax else { throw .malformed("larger than a note may be") }
        guard String(validating: bytes, as: UTF8.self) != nil else { throw .malformed("not UTF-8") }
        guard !bytes.contains(where: { $0 < 0x20 && $0 != 0x0A }) else {
            throw .malformed("a control character")
        }
        guard bytes.last == 0x0A, let split = Self.lastEmptyLine(bytes) else {
            throw .malformed("no empty line with signatures after it")
        }
        text = Array(bytes[...split])
        signatures = []
        for line in bytes[(split + 2)...].dropLast().split(
            separator: 0x0A, omittingEmptySubsequences: false)
        {
            guard signatures.count < Self.signaturesMax else {
                throw .malformed("too many signatures")
            }
            signatures.append(try Signature(line: line))
        }
    }

    /// A note made from its parts.
    package init(text: [UInt8], signatures: [Signature]) {
        precondition(text.last == 0x0A, "the text of a note ends with a newline")
        self.text = text
        self.signatures = signatures
    }

    /// The note as a file.
    package var bytes: [UInt8] {
        text + [0x0A] + signatures.flatMap { Array($0.line.utf8) }
    }

    /// The same note with more signature lines; a line that is already there is not repeated.
    package func adding(_ more: [Signature]) -> SignedNote {
        var note = self
        for signature in more where !note.signatures.contains(signature) {
            note.signatures.append(signature)
        }
        return note
    }

    /// Index of the newline that ends the text, before the last empty line.
    private static func lastEmptyLine(_ bytes: [UInt8]) -> Int? {
        var index = bytes.count - 1
        while index > 0 {
            if bytes[index] == 0x0A && bytes[index - 1] == 0x0A {
                return index + 1 < bytes.count ? index - 1 : nil
            }
            index -= 1
        }
        return nil
    }
}

extension SignedNote.Signature {
    private static let dash = Array("\u{2014} ".utf8)

    /// Parses a line without its newline.
    init(line: ArraySlice<UInt8>) throws(NoteError) {
        guard line.starts(with: Self.dash) else {
            throw .malformed("a signature line starts with an em dash and a space")
        }
        let fields = line.dropFirst(Self.dash.count).split(
            separator: 0x20, omittingEmptySubsequences: false)
        guard fields.count == 2 else {
            throw .malformed("a signature line has a name and a signature")
        }
        guard let name = KeyName(String(decoding: fields[0], as: UTF8.self)) else {
            throw .malformed("the name of a key")
        }
        guard let blob = Base64.decode(String(decoding: fields[1], as: UTF8.self)), blob.count > 4
        else {
            throw .malformed("a signature is not base64 of a key ID and a signature")
        }
        self.init(
            name: name, keyID: blob.prefix(4).reduce(0) { $0 << 8 | UInt32($1) },
            blob: Array(blob.dropFirst(4)))
    }

    /// Parses signature lines, each with its newline, such as a witness answers with.
    package static func parse(lines: [UInt8]) throws(NoteError) -> [SignedNote.Signature] {
        guard lines.last == 0x0A, lines.count <= SignedNote.bytesMax,
            String(validating: lines, as: UTF8.self) != nil
        else { throw .malformed("signature lines end with a newline") }
        var signatures: [SignedNote.Signature] = []
        for line in lines.dropLast().split(separator: 0x0A, omittingEmptySubsequences: false) {
            guard signatures.count < SignedNote.signaturesMax else {
                throw .malformed("too many signatures")
            }
            signatures.append(try SignedNote.Signature(line: line))
        }
        return signatures
    }

    /// The line with its newline.
    package var line: String {
        let id = [
            UInt8(truncatingIfNeeded: keyID >> 24), UInt8(truncatingIfNeeded: keyID >> 16),
            UInt8(truncatingIfNeeded: keyID >> 8), UInt8(truncatingIfNeeded: keyID),
        ]
        return "\u{2014} \(name) \(Base64.encode(id + blob))\n"
    }
}
