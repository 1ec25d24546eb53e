import Codec
import Cryptography
import Messages
import Testing

/// `protocol/federation.md` §4: every site of a round works on the same order, to the byte.
@Suite struct RoundWorkTests {
    static func document(_ work: RoundWork) throws -> [String: JSONValue] {
        try #require(JSONValue.parse(work.canonicalBytes, dialect: .strict).objectValue)
    }

    static func refuses(_ document: [String: JSONValue]) -> Bool {
        (try? RoundWork(parsing: JSONValue.object(document).canonicalBytes())) == nil
    }

    @Test func layout() {
        let hash = digest(1).hex
        #expect(
            String(decoding: Samples.statistics.canonicalBytes, as: UTF8.self)
                == #"{"consilium":"round-work/1","isCurve":false,"kind":"statistics","model":null,"number":16777217,"planHash":"\#(hash)","preprocessor":null,"run":"heart-1","step":0}"#
        )
        #expect(Samples.statistics.hash == SHA256.hash(Samples.statistics.canonicalBytes))
    }

    @Test func everyFieldIsInTheHash() {
        var hashes: Set<Digest> = [Samples.training.hash]
        func differs(_ change: (inout RoundWork) -> Void) {
            var other = Samples.training
            change(&other)
            #expect(hashes.insert(other.hash).inserted)
        }
        differs { $0.kind = .evaluation }
        differs { $0.run = "heart-2" }
        differs { $0.planHash = digest(9) }
        differs { $0.number += 1 }
        differs { $0.step += 1 }
        differs { $0.preprocessor = digest(9) }
        differs { $0.model = digest(9) }
        differs { ($0.kind, $0.isCurve) = (.evaluation, true) }
    }

    @Test func refusesFieldsThatAreWrongMissingOrUnknown() throws {
        let good = try RoundWorkTests.document(Samples.training)
        #expect(!RoundWorkTests.refuses(good))
        for key in good.keys {
            #expect(RoundWorkTests.refuses(good.filter { $0.key != key }), "without \(key)")
            for value in [JSONValue.null, true, 7.5, -1, "X", [], [:]] where value != good[key] {
                #expect(RoundWorkTests.refuses(good.merging([key: value]) { $1 }), "\(key)")
            }
        }
        #expect(RoundWorkTests.refuses(good.merging(["extra": 1]) { $1 }))
        #expect(RoundWorkTests.refuses(good.merging(["step": 1_000_001]) { $1 }))
        #expect(RoundWorkTests.refuses(good.merging(["consilium": "round-work/2"]) { $1 }))
        #expect(RoundWorkTests.refuses(good.merging(["run": "Heart"]) { $1 }))
        #expect(
            RoundWorkTests.refuses(
                good.merging(["run": .string(String(repeating: "a", count: 65))]) { $1 }))
    }

    @Test func kindAndModelGoTogether() throws {
        let training = try RoundWorkTests.document(Samples.training)
        let statistics = try RoundWorkTests.document(Samples.statistics)
        #expect(RoundWorkTests.refuses(training.merging(["model": .null]) { $1 }))
        #expect(
            RoundWorkTests.refuses(
                training.merging(["model": .null, "preprocessor": .null]) { $1 }))
        #expect(
            RoundWorkTests.refuses(statistics.merging(["model": training["model"] ?? .null]) { $1 })
        )
        #expect(RoundWorkTests.refuses(training.merging(["kind": "statistics"]) { $1 }))
        // Only an evaluation can be for the curve.
        #expect(RoundWorkTests.refuses(training.merging(["isCurve": true]) { $1 }))
        #expect(RoundWorkTests.refuses(statistics.merging(["isCurve": true]) { $1 }))
    }

    @Test func refusesAnotherFormOfTheSameOrder() {
        let text = String(decoding: Samples.training.canonicalBytes, as: UTF8.self)
        for other in [
            text + "\n", text.replacing(",", with: ", "),
            text.replacing("\"step\":7", with: "\"step\":7.0"),
            text.replacing(digest(3).hex, with: digest(3).hex.uppercased()),
            text.replacing("heart-1", with: "he\\u0061rt-1"),
        ] {
            #expect(other != text)
            #expect(throws: MessageError.malformed("round work")) {
                try RoundWork(parsing: Array(other.utf8))
            }
        }
        #expect(throws: MessageError.self) {
            try RoundWork(parsing: Array(repeating: 0x20, count: 5000))
        }
    }

    @Test func numbersReachTheirEnds() throws {
        for (number, step) in [(UInt64(0), 0), (UInt64(Int64.max), 1_000_000)] {
            let work = RoundWork(
                kind: .statistics, run: "r", planHash: digest(1), number: number, step: step)
            #expect(try RoundWork(parsing: work.canonicalBytes) == work)
        }
    }
}
