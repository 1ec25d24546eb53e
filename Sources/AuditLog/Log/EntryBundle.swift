/// Entry bundles of c2sp.org/tlog-tiles: entries one behind the other, each with its length as u16 BE before it.
enum EntryBundle {
    /// Appends an entry of at most 65,535 bytes.
    static func append(_ entry: [UInt8], to bundle: inout [UInt8]) {
        precondition(entry.count <= Int(UInt16.max), "a bundle's entry has a length of 16 bits")
        bundle.append(UInt8(truncatingIfNeeded: entry.count >> 8))
        bundle.append(UInt8(truncatingIfNeeded: entry.count))
        bundle.append(contentsOf: entry)
    }

    /// The entries of a bundle; nil when the framing does not come out even.
    static func entries(_ bundle: [UInt8]) -> [ArraySlice<UInt8>]? {
        var entries: [ArraySlice<UInt8>] = []
        var position = 0
        while position < bundle.count {
            guard let end = end(of: position, in: bundle) else { return nil }
            entries.append(bundle[position + 2..<end])
            position = end
        }
        return entries
    }

    /// The beginning of a bundle that holds `count` entries, or all of it when there are fewer.
    static func prefix(_ bundle: [UInt8], count: Int) -> [UInt8] {
        var position = 0
        for _ in 0..<count {
            guard let end = end(of: position, in: bundle) else { return bundle }
            position = end
        }
        return Array(bundle[..<position])
    }

    private static func end(of position: Int, in bundle: [UInt8]) -> Int? {
        guard bundle.count - position >= 2 else { return nil }
        let end = position + 2 + (Int(bundle[position]) << 8 | Int(bundle[position + 1]))
        return end <= bundle.count ? end : nil
    }
}
