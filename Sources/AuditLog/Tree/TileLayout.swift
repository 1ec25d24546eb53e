/// Which tiles a tree of a given size has at one level.
package struct TileLayout: Equatable, Sendable {
    package var level: Int
    /// Count of full tiles.
    package var full: UInt64
    /// Elements of the partial tile behind them; 0 when there is none.
    package var partialWidth: Int

    /// All levels of a tree of `size` leaves, from the leaves up. An empty tree has none.
    package static func levels(size: UInt64) -> [TileLayout] {
        var levels: [TileLayout] = []
        var hashes = size
        while hashes > 0 {
            levels.append(
                TileLayout(level: levels.count, full: hashes >> 8, partialWidth: Int(hashes & 255)))
            hashes >>= 8
        }
        return levels
    }

    /// The width that tile `index` has, 0 when it does not exist yet.
    package func width(of index: UInt64) -> Int {
        index < full ? TilePath.widthMax : index == full ? partialWidth : 0
    }
}
