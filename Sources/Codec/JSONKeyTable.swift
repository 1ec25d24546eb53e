/// Finds a key of a document among known names without building a string: first where the caller
/// expects it, as clients send fields in a steady order, then by hash.
///
/// The names are ours, so that no input can make the hash table slow. Cost: about a nanosecond a byte.
package struct JSONKeyTable: Sendable {
    /// The names in the order of their indices.
    package let names: [String]
    /// All names in one array, so that a comparison touches no reference count.
    private let bytes: [UInt8]
    private let ends: [Int]
    /// Indices by hash, linear probing; -1 is free. At most half full.
    private let slots: [Int32]

    /// - Parameter names: the known names, each once.
    package init(_ names: [String]) {
        precondition(
            Set(names.map { Array($0.utf8) }).count == names.count,
            "a name stands twice in a key table")
        self.names = names
        var (bytes, ends): ([UInt8], [Int]) = ([], [0])
        var count = 4
        while count < names.count * 2 { count *= 2 }
        var slots = [Int32](repeating: -1, count: count)
        for (index, name) in names.enumerated() {
            bytes += name.utf8
            ends.append(bytes.count)
            var slot = JSONKeyTable.hash(bytes[ends[index]...]) & (count - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (count - 1) }
            slots[slot] = Int32(index)
        }
        (self.bytes, self.ends, self.slots) = (bytes, ends, slots)
    }

    /// The index of a key; nil when it is not known.
    ///
    /// - Parameter expected: the index to try first; any integer.
    package func index(of key: JSONText, in reader: borrowing JSONReader, expected: Int) -> Int? {
        // Rare, and worth an allocation: a key written with escapes.
        if key.hasEscapes { return names.firstIndex { reader.isEqual(key, $0) } }
        if names.indices.contains(expected), isName(expected, key.range, reader.bytes) {
            return expected
        }
        var slot = JSONKeyTable.hash(reader.bytes[key.range]) & (slots.count - 1)
        while slots[slot] >= 0 {
            if isName(Int(slots[slot]), key.range, reader.bytes) { return Int(slots[slot]) }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    private func isName(_ index: Int, _ range: Range<Int>, _ document: [UInt8]) -> Bool {
        let start = ends[index]
        guard ends[index + 1] - start == range.count else { return false }
        for offset in 0..<range.count
        where bytes[start + offset] != document[range.lowerBound + offset] { return false }
        return true
    }

    /// FNV-1a, folded, as the low bits choose the slot.
    private static func hash(_ bytes: ArraySlice<UInt8>) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: (hash ^ hash >> 32) & 0x7fff_ffff)
    }
}
