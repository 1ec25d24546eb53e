import Glibc
import HTTP
import Testing

/// The shared vectors against the parser alone: whole, byte by byte, after another request, and
/// valid ones cut anywhere.
@Suite struct RequestParserVectorTests {
    static let vectors = RequestVectors.shared

    private func check(refused vector: RequestVector, _ run: ParserRun, before: Int, _ mode: String)
    {
        let expected = before + vector.answeredBefore
        if let refusal = run.refusal {
            #expect(run.requests.count == expected, "\(vector.id) \(mode)")
            #expect(vector.status.contains(refusal.status), "\(vector.id) \(mode): \(refusal)")
        } else if vector.isUnfinished {
            #expect(run.requests.count == expected && run.isUnfinished, "\(vector.id) \(mode)")
        } else if vector.isTolerated, let wanted = vector.ifAccepted {
            #expect(
                run.requests.count == expected + 1 && run.requests.last.map(wanted.matches) == true,
                "\(vector.id) \(mode)")
        } else {
            // Understood, and refused by the router or the handler's look-up.
            #expect(
                vector.rule == "D1" && run.requests.count == expected + 1,
                "\(vector.id) \(mode): accepted")
        }
    }

    @Test func refusesEveryBadRequestWholeAndByteByByte() {
        for vector in Self.vectors.refused {
            check(refused: vector, ParserRun(vector.bytes.wholly), before: 0, "whole")
            check(refused: vector, ParserRun(vector.bytes.byteByByte), before: 0, "byte by byte")
        }
    }

    @Test func refusesEveryBadRequestAfterAValidOne() {
        for vector in Self.vectors.refused {
            let bytes = Self.vectors.prefix + vector.bytes
            check(refused: vector, ParserRun(bytes.wholly), before: 1, "after a prefix")
            check(
                refused: vector, ParserRun(bytes.byteByByte), before: 1,
                "after a prefix, byte by byte")
        }
    }

    private func check(valid vector: RequestVector, _ run: ParserRun, _ mode: String) {
        #expect(run.refusal == nil, "\(vector.id) \(mode): \(run.refusal?.description ?? "")")
        #expect(run.requests.count == vector.parsed.count, "\(vector.id) \(mode)")
        for (request, wanted) in zip(run.requests, vector.parsed) {
            #expect(wanted.matches(request), "\(vector.id) \(mode)")
        }
        #expect(run.keepsAlive.last == !vector.closes, "\(vector.id) \(mode)")
    }

    @Test func understandsEveryValidRequestWholeAndByteByByte() {
        for vector in Self.vectors.valid {
            check(valid: vector, ParserRun(vector.bytes.wholly), "whole")
            check(valid: vector, ParserRun(vector.bytes.byteByByte), "byte by byte")
            let after = ParserRun((Self.vectors.prefix + vector.bytes).wholly)
            #expect(after.requests.count == vector.parsed.count + 1, "\(vector.id) after a prefix")
        }
    }

    /// n - 1 ways to cut each. The very long ones are cut at every 37th byte unless `CONSILIUM_LONG`
    /// is set.
    @Test func understandsEveryValidRequestCutInTwoAnywhere() {
        let isLong = unsafe getenv("CONSILIUM_LONG") != nil
        for vector in Self.vectors.valid {
            for position in stride(
                from: 1, to: vector.bytes.count, by: vector.bytes.count > 1_500 && !isLong ? 37 : 1)
            {
                let run = ParserRun(vector.bytes.split(at: position))
                guard run.refusal == nil, run.requests.count == vector.parsed.count,
                    zip(run.requests, vector.parsed).allSatisfy({ $1.matches($0) })
                else {
                    Issue.record("\(vector.id) cut at \(position)")
                    return
                }
            }
        }
    }

    @Test func allVectorsWereRead() {
        guard !Self.vectors.valid.isEmpty else { return }
        #expect(Self.vectors.refused.count == 471)
        #expect(Self.vectors.valid.count == 100)
    }
}
