import Codec
import Cryptography
import Foundation
import Testing

@testable import HTTP

/// Bodies that Python's zlib compressed, damaged ones, and what we compress ourselves.
@Suite struct ContentCodingTests {
    struct Vector: Decodable {
        let name: String, coding: String, unit: Data, times: Int, packed: Data

        var data: [UInt8] {
            var bytes: [UInt8] = []
            for _ in 0..<times { bytes += unit }
            return bytes
        }
    }

    static let vectors: [Vector] = {
        let path = URL(filePath: #filePath).appending(path: "../../../protocol/vectors/http/content-coding.json")
        guard let data = try? Data(contentsOf: path.standardized) else { return [] }
        return (try? JSONDecoder().decode([Vector].self, from: data)) ?? []
    }()

    private func decode(_ packed: [UInt8], _ coding: String, max: Int = 1 << 20) -> Result<[UInt8], HTTPRefusal> {
        Result { () throws(HTTPRefusal) in try ContentCoding.decode(packed, header: coding, bytesMax: max) }
    }

    @Test func readsWhatZlibWrites() {
        #expect(Self.vectors.count > 50)
        for vector in Self.vectors {
            #expect(decode(Array(vector.packed), vector.coding) == .success(vector.data), "\(vector.name)")
        }
    }

    @Test func refusesEveryPrefixAndAnythingAfterTheEnd() {
        for vector in Self.vectors where vector.packed.count < 300 {
            let packed = Array(vector.packed)
            for count in packed.indices {
                guard case .failure(let refusal) = decode(Array(packed[..<count]), vector.coding) else {
                    Issue.record("\(vector.name): \(count) bytes were enough")
                    continue
                }
                #expect(refusal.status == 400)
            }
            #expect((try? decode(packed + [0], vector.coding).get()) == nil)
            #expect((try? decode(packed + packed, vector.coding).get()) == nil)
        }
    }

    /// A damaged body is refused or, where the damage is in bits without meaning, gives the same data.
    @Test func aFlippedBitNeverGivesOtherData() {
        for vector in Self.vectors where vector.packed.count < 90 {
            let data = vector.data
            for bit in 0..<vector.packed.count * 8 {
                var packed = Array(vector.packed)
                packed[bit / 8] ^= 1 << UInt8(bit % 8)
                if case .success(let found) = decode(packed, vector.coding, max: 1 << 17) {
                    #expect(found == data, "\(vector.name), bit \(bit)")
                }
            }
        }
    }

    @Test func noiseIsRefusedWithinTheLimit() {
        let random = SeededRandom(seed: 20)
        for _ in 0..<1000 {
            let noise = random.bytes(200)
            // Past the zlib header, so that the noise is read as blocks.
            #expect((try? decode([0x78, 0x01] + noise, "deflate", max: 4096).get()) == nil)
            if let (data, _) = try? Inflate.decode(noise.span, from: 0, bytesMax: 4096) {
                #expect(data.count <= 4096)
            }
        }
    }

    @Test func aBombStopsAtTheLimit() {
        let bomb = ContentCoding.gzip.encode([UInt8](repeating: 0, count: 4 << 20))
        #expect(bomb.count < 64 << 10)
        guard case .failure(let refusal) = decode(bomb, "gzip", max: 8192) else { return #expect(Bool(false)) }
        #expect(refusal.status == 413)
        // Empty stored blocks: no output, only work.
        var blocks: [UInt8] = [0x78, 0x01]
        for _ in 0..<40_000 { blocks += [0, 0, 0, 0xff, 0xff] }
        guard case .failure(let counted) = decode(blocks, "deflate") else { return #expect(Bool(false)) }
        #expect(counted.status == 413)
    }

    @Test func whatWeCompressComesBack() {
        let random = SeededRandom(seed: 21)
        var bodies = Self.vectors.map(\.data)
        for count in [0, 1, 3, 4, 257, 258, 259, 40_000] {
            bodies.append(random.bytes(count))
            bodies.append([UInt8](repeating: 7, count: count))
            bodies.append(random.bytes(count).map { $0 & 3 })
        }
        for body in bodies {
            for coding in ContentCoding.allCases {
                #expect(decode(coding.encode(body), coding.rawValue) == .success(body))
            }
        }
        let text = (0..<400).map { "{\"name\":\"probability\",\"row\":\($0)}" }.joined()
        #expect(ContentCoding.gzip.encode(Array(text.utf8)).count < text.utf8.count / 2)
    }

    @Test func namesAndWeights() {
        let body: [UInt8] = [1, 2, 3]
        #expect(decode(body, "") == .success(body) && decode(body, "identity") == .success(body))
        #expect(decode(ContentCoding.gzip.encode(body), "X-GZIP") == .success(body))
        for name in ["br", "gzip, gzip", "zstd", "gzip;q=1"] {
            guard case .failure(let refusal) = decode(body, name) else { return #expect(Bool(false)) }
            #expect(refusal.status == 415)
        }
        for (header, coding) in [
            ("gzip, deflate, br", ContentCoding.gzip), ("deflate", .deflate), ("gzip;q=0.1, deflate", .deflate),
            ("*", .gzip), ("br", nil), ("gzip;q=0", nil), ("gzip;q=x", nil), ("", nil), ("GZIP", .gzip),
        ] as [(String, ContentCoding?)] {
            #expect(ContentCoding(accepting: header) == coding, "\(header)")
        }
        #expect(ContentCoding(accepting: nil) == nil)
    }
}
