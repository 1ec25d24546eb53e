import Cryptography
import Testing

@testable import Serving

@Suite struct PredictionIDTests {
    @Test func textRoundTripsAndIsVersionSeven() throws {
        var source = PredictionIDSource(random: SeededRandom(seed: 1))
        let id = source.next(milliseconds: 1_795_000_000_123)
        let text = id.description
        #expect(text.utf8.count == 36)
        #expect(Array(text.utf8)[14] == UInt8(ascii: "7"))
        #expect("89ab".utf8.contains(Array(text.utf8)[19]))
        #expect(id.milliseconds == 1_795_000_000_123)
        #expect(PredictionID(text) == id)
    }

    @Test func idsAscendWhileTheClockStandsStillOrStepsBack() throws {
        var source = PredictionIDSource(random: SeededRandom(seed: 2))
        var previous = source.next(milliseconds: 1000)
        for time in [Int64](repeating: 1000, count: 5000) + [999, 500, 0, -5, 1001, 1002] {
            let next = source.next(milliseconds: time)
            #expect(previous < next)
            #expect(PredictionID(next.description) == next)
            previous = next
        }
    }

    @Test func namesOfManyRowsAreSpeltAsEachAlone() throws {
        for high: UInt64 in [0x01a2_b3c4_d5e6_7000, 0x01a2_b3c4_d5e6_7ff0, 0x01a2_b3c4_d5e6_7fff] {
            let first = PredictionID(high: high, low: 0x8123_4567_89ab_cdef)
            for rows in [0, 1, 17, 300] {
                var texts: [UInt8] = [9]
                first.appendTexts(rows, prefix: [1, 2], to: &texts)
                #expect(texts == [9] + (0..<rows).flatMap { [1, 2] + first.advanced(by: $0).text })
            }
        }
    }

    @Test func idsOfARequestFollowOneAnother() throws {
        var source = PredictionIDSource(random: SeededRandom(seed: 3))
        var previous = source.next(milliseconds: 1000)
        for rows in [1, 2, 1000, 1000, 1000, 1000, 2048, 1, 2048, 7] {
            let first = source.next(milliseconds: 1000, rows: rows)
            let last = first.advanced(by: rows - 1)
            #expect(previous < first && first.milliseconds == last.milliseconds && first.low == last.low)
            for id in [first, last] { #expect(PredictionID(id.description) == id) }
            previous = last
        }
    }

    @Test func refusesTextsThatAreNotItsOwnForm() {
        let good = "01931b2c-3d4e-7f01-8a2b-3c4d5e6f7081"
        #expect(PredictionID(good) != nil)
        let bad = [
            "", "x", good + "0", String(good.dropLast()), good.uppercased(), "{" + good.dropFirst(),
            "01931b2c-3d4e-4f01-8a2b-3c4d5e6f7081", "01931b2c-3d4e-7f01-0a2b-3c4d5e6f7081",
            "01931b2c03d4e-7f01-8a2b-3c4d5e6f7081", "../../../../../../../etc/passwd00000",
        ]
        for text in bad { #expect(PredictionID(text) == nil) }
    }

    @Test func saltsDoNotRepeat() {
        var source = PredictionIDSource(random: SeededRandom(seed: 4))
        var seen = Set<[UInt8]>()
        for _ in 0..<500 {
            _ = source.next(milliseconds: 7)
            #expect(seen.insert(source.salts(1)).inserted)
        }
        #expect(seen.allSatisfy { $0.count == 32 })
    }
}
