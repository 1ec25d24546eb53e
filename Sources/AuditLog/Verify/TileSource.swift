import Storage

/// Where a verifier reads a log from: a directory, memory, or a client of a log's URL.
package protocol TileSource: Sendable {
    /// The file at a path below the log's prefix; nil when there is none.
    func read(_ path: String) throws(AuditLogError) -> [UInt8]?
    /// Widths of the partial files that are there beside a tile: a log that is being written replaces them by wider ones.
    /// Ascending.
    func partialWidths(of tile: TilePath) -> [Int]
}

extension TileSource {
    /// None: for sources that cannot list.
    package func partialWidths(of tile: TilePath) -> [Int] { [] }
}

/// A log directory on disk.
package struct DirectorySource: TileSource {
    package let directory: String

    package init(_ directory: String) { self.directory = directory }

    package func read(_ path: String) throws(AuditLogError) -> [UInt8]? {
        try LogFiles(directory: directory).read(path)
    }

    package func partialWidths(of tile: TilePath) -> [Int] {
        let names = (try? DurableFile.list(directory + "/" + tile.partialDirectory)) ?? []
        return names.compactMap { Int($0) }.sorted()
    }
}

/// A log held in memory: for tests, and for logs that came as a message.
package struct MemorySource: TileSource {
    package var files: [String: [UInt8]]

    package init(_ files: [String: [UInt8]]) { self.files = files }

    package func read(_ path: String) throws(AuditLogError) -> [UInt8]? { files[path] }
}
