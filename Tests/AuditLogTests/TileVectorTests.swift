import Codec
import Cryptography
import Testing

@testable import AuditLog

@Suite struct TileVectorTests {
    @Test func readsGoodPathsAndNoBadOnes() throws {
        guard let file = try Vectors.json("tlog/tile-paths.json") else { return }
        for vector in try file.list("good") {
            let text = try vector.text("path")
            let path = try #require(TilePath(text), "\(text)")
            if let level = vector["level"]?.intValue {
                #expect(path.kind == .hashes(level: level), "\(text)")
            } else {
                #expect(path.kind == .entries)
            }
            #expect(try path.index == vector.uint64("index"), "\(text)")
            #expect(try path.width == vector.int("width"), "\(text)")
            #expect(path.text == text)
        }
        for vector in try file.list("bad") {
            let text = try vector.text("path")
            #expect(TilePath(text) == nil, "\(text.debugDescription)")
        }
        for vector in try file.list("layout") {
            let want = try vector.list("levels").map {
                TileLayout(
                    level: try $0.int("level"), full: try $0.uint64("full"),
                    partialWidth: try $0.int("partial_width"))
            }
            #expect(try TileLayout.levels(size: vector.uint64("size")) == want)
        }
    }

    @Test func writesTheSameTilesAsAnotherImplementation() throws {
        guard let file = try Vectors.json("tlog/tessera-log.json") else { return }
        let words = try file.list("entries_text").map { try $0.asText() }
        let key = try VerifierKey(try file.text("vkey"))
        var edge = TreeEdge()
        for vector in try file.list("series") {
            let size = try vector.int("size")
            if size > 0 { edge.append(Array(words[size - 1].utf8)) { _, _ in } }
            #expect(try edge.root == vector.digest("root_hex"))
            let note = try vector.base64("checkpoint_b64")
            #expect(
                try Checkpoint(note, signedBy: key)
                    == Checkpoint(origin: key.name.text, size: UInt64(size), root: edge.root))
            var files = ["checkpoint": note, "vkey": Array((key.text + "\n").utf8)]
            for (path, bytes) in edge.partialFiles { files[path.text] = bytes }
            if size > 0 {
                #expect(try files[vector.text("tile_path")] == vector.base64("tile_b64"))
                #expect(try files[vector.text("entries_path")] == vector.base64("entries_b64"))
            }
            let report = try AuditVerifier.verify(MemorySource(files), leaves: .opaque)
            #expect(report.size == UInt64(size))
        }
    }

    @Test func writesTheTilesOfTheLeafSeries() throws {
        guard let file = try Vectors.json("tlog/leaf-series-tiles.json") else { return }
        var edge = TreeEdge()
        var full: [String: Digest] = [:]
        for vector in try file.list("trees") {
            while edge.size < (try vector.uint64("size")) {
                edge.append(Array("leaf \(edge.size)".utf8)) { full[$0.text] = SHA256.hash($1) }
            }
            var files = full
            for (path, bytes) in edge.partialFiles { files[path.text] = SHA256.hash(bytes) }
            for some in try vector.list("some_files") {
                #expect(try files[some.text("path")] == some.digest("sha256"))
            }
            #expect(try files.count == vector.int("files"))
            let paths = files.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            let manifest = paths.map { "\(files[$0]?.hex ?? "")  \($0)\n" }.joined()
            #expect(
                try SHA256.hash(Array(manifest.utf8)) == vector.digest("manifest_sha256"),
                "size \(edge.size)")
        }
    }
}
