// A set of sites of one roster, as a bitmap over their ordinals: ordinal o is bit o mod 8 of byte o / 8,
// ⌈n/8⌉ bytes, unused bits zero.

/// Ordinals of a roster.
struct SiteSet: Equatable, Sendable {
    let bytes: [UInt8]
    /// Ascending.
    let ordinals: [Int]

    /// - Parameters:
    ///   - ordinals: each below `capacity`.
    ///   - capacity: sites of the roster.
    init(_ ordinals: [Int], capacity: Int) {
        var bytes = [UInt8](repeating: 0, count: (capacity + 7) / 8)
        for ordinal in ordinals { bytes[ordinal / 8] |= 1 << UInt8(ordinal % 8) }
        self.bytes = bytes
        self.ordinals = Set(ordinals).sorted()
    }

    /// - Throws: `malformed-message` for a wrong length or a bit beyond the roster.
    init(bytes: [UInt8], capacity: Int) throws(AggregationRefusal) {
        guard bytes.count == (capacity + 7) / 8 else { throw AggregationRefusal(.malformedMessage) }
        let ordinals = (0..<bytes.count * 8).filter { bytes[$0 / 8] >> UInt8($0 % 8) & 1 == 1 }
        guard ordinals.last.map({ $0 < capacity }) ?? true else {
            throw AggregationRefusal(.malformedMessage)
        }
        self.bytes = bytes
        self.ordinals = ordinals
    }

    var count: Int { ordinals.count }
    func contains(_ ordinal: Int) -> Bool { bytes[ordinal / 8] >> UInt8(ordinal % 8) & 1 == 1 }
    func isSubset(of other: SiteSet) -> Bool {
        zip(bytes, other.bytes).allSatisfy { $0 & ~$1 == 0 }
    }
}
