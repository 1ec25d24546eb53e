// The file names of c2sp.org/tlog-tiles:
//   tile/<L>/<N>[.p/<W>]        hashes of level L, 256 in a full tile
//   tile/entries/<N>[.p/<W>]    entries, each with its length as u16 BE before it
// N in groups of three digits, all but the last with an x before them: 1234067 is x001/x234/067.

/// The name of a tile or entry bundle below the log's directory or URL prefix. Parsing is strict: one name, one spelling.
package struct TilePath: Hashable, Sendable {
    /// What the file holds.
    package enum Kind: Hashable, Sendable {
        /// Tree hashes of a level, 0 to 63; level 0 are leaf hashes.
        case hashes(level: Int)
        case entries
    }

    /// Hashes or entries in a full file.
    package static let widthMax = 256
    /// Highest level of the specification.
    package static let levelMax = 63

    package var kind: Kind
    /// Number of the tile in its level.
    package var index: UInt64
    /// Hashes or entries in the file, 1 to 256; 256 is the full file.
    package var width: Int

    /// Needs a level in 0...63 and a width in 1...256.
    package init(_ kind: Kind, index: UInt64, width: Int = TilePath.widthMax) {
        precondition((1...Self.widthMax).contains(width), "a tile has 1 to 256 elements")
        if case .hashes(let level) = kind {
            precondition((0...Self.levelMax).contains(level), "levels go to 63")
        }
        self.kind = kind
        self.index = index
        self.width = width
    }

    /// Parses a path; nil when it is anything but the canonical spelling of a tile's name.
    package init?(_ path: String) {
        let parts = Array(path.utf8).split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard path.utf8.count <= Self.pathBytesMax, parts.count >= 3,
            parts[0].elementsEqual("tile".utf8)
        else { return nil }
        var groups = parts[2...]
        var width = Self.widthMax
        if let partial = groups.dropLast().last, partial.count == 5,
            partial.suffix(2).elementsEqual(".p".utf8)
        {
            guard let value = Self.number(groups.removeLast()), (1..<Self.widthMax).contains(value)
            else { return nil }
            width = value
            groups[groups.endIndex - 1] = partial.dropLast(2)
        }
        guard let index = Self.index(groups) else { return nil }
        if parts[1].elementsEqual("entries".utf8) {
            self.init(.entries, index: index, width: width)
        } else {
            guard let level = Self.number(parts[1]), level <= Self.levelMax else { return nil }
            self.init(.hashes(level: level), index: index, width: width)
        }
        guard text == path else { return nil }
    }

    /// The path, relative to the log's directory.
    package var text: String {
        let partial = isFull ? "" : ".p/\(width)"
        return fullText + partial
    }

    /// Whether the file is complete and will never change.
    package var isFull: Bool { width == Self.widthMax }

    /// The path of the full file that replaces this one in time.
    package var full: TilePath { TilePath(kind, index: index) }

    /// The path of the directory that holds the partial forms of this file.
    package var partialDirectory: String { fullText + ".p" }

    private static let pathBytesMax = 64

    private var fullText: String {
        let prefix =
            switch kind {
            case .hashes(let level): "tile/\(level)/"
            case .entries: "tile/entries/"
            }
        var rest = index / 1000
        var groups = Self.threeDigits(index % 1000)
        while rest > 0 {
            groups = "x" + Self.threeDigits(rest % 1000) + "/" + groups
            rest /= 1000
        }
        return prefix + groups
    }

    private static func threeDigits(_ value: UInt64) -> String {
        value < 10 ? "00\(value)" : value < 100 ? "0\(value)" : "\(value)"
    }

    /// A decimal number of at most three digits.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        guard (1...3).contains(digits.count) else { return nil }
        var value = 0
        for byte in digits {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        return value
    }

    private static func index(_ groups: ArraySlice<ArraySlice<UInt8>>) -> UInt64? {
        guard let last = groups.last else { return nil }
        var value: UInt64 = 0
        for group in groups.dropLast().map({ $0.dropFirst() }) + [last] {
            guard group.count == 3, let digits = number(group) else { return nil }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 1000)
            let (sum, carry) = shifted.addingReportingOverflow(UInt64(digits))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }
}
