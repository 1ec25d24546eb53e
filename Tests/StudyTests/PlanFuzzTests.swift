import Codec
import Glibc
import Study
import Testing

/// Broken plans from a seed: a value or an error, never a trap, and whatever is accepted holds together.
/// `CONSILIUM_LONG=1` runs a hundred times as many.
@Suite struct PlanFuzzTests {
    static var rounds: Int { unsafe getenv("CONSILIUM_LONG") != nil ? 100_000 : 1000 }

    @Test(arguments: ScenarioPlans.names) func changedBytesNeverTrap(_ name: String) throws {
        let text = try #require(ScenarioPlans.all.first { $0.name == name }).text
        var numbers = SeededNumbers(20_261_124)
        // Bytes that mean something to a parser come up more often than by chance.
        let telling =
            Array("{}[]:,\"'\\/*+-.0123456789eExX\n\0 nulltruefalse".utf8) + [
                0x80, 0xc2, 0xef, 0xff,
            ]
        var accepted = 0
        for _ in 0..<PlanFuzzTests.rounds {
            var changed = text
            for _ in 0...Int(numbers.next() % 3) {
                let place = Int(numbers.next() % UInt64(changed.count))
                switch numbers.next() % 4 {
                case 0: changed[place] = UInt8(truncatingIfNeeded: numbers.next())
                case 1: changed[place] = telling[Int(numbers.next() % UInt64(telling.count))]
                case 2: changed.remove(at: place)
                default:
                    changed.insert(telling[Int(numbers.next() % UInt64(telling.count))], at: place)
                }
            }
            if try PlanFuzzTests.holdsTogether(changed) { accepted += 1 }
        }
        print("\(name): \(accepted) of \(PlanFuzzTests.rounds) changed texts are plans")
    }

    @Test func changedDocumentsNeverTrap() throws {
        var numbers = SeededNumbers(7)
        let documents =
            try ScenarioPlans.all.map { try JSONValue.parse($0.text, dialect: .json5) } + [fullPlan]
        let samples: [JSONValue] = [
            .null, true, 0, -1, 1, 2, 3, 1e15, 1e300, -1e300, 5e-300, .integer(.max),
            .integer(.min), 0.5, -0.0, "", "a", "\u{0}",
            .string(String(repeating: "x", count: 5000)), [], [0], [0, 1], ["a", "b"], [:],
            ["a": 1],
        ]
        for _ in 0..<PlanFuzzTests.rounds {
            var document = documents[Int(numbers.next() % UInt64(documents.count))]
            for _ in 0...Int(numbers.next() % 4) {
                let places = document.places
                let place = places[Int(numbers.next() % UInt64(places.count))]
                let other = places[Int(numbers.next() % UInt64(places.count))]
                switch numbers.next() % 3 {
                case 0: document = document.with(place[...], nil)
                case 1: document = document.with(place[...], document[other[...]])
                default:
                    document = document.with(
                        place[...], samples[Int(numbers.next() % UInt64(samples.count))])
                }
                if document.places.isEmpty { break }
            }
            _ = try PlanFuzzTests.holdsTogether(document.canonicalBytes())
        }
    }

    @Test func everyPrefixIsRefused() throws {
        let text = fullPlan.canonicalBytes()
        for count in 0..<text.count {
            #expect(throws: StudyError.self) { try Plan(parsing: Array(text[..<count])) }
        }
    }

    /// Whether the text is a plan; a plan must read back to itself and be usable.
    static func holdsTogether(_ text: [UInt8]) throws -> Bool {
        let plan: Plan
        do {
            plan = try Plan(parsing: text)
        } catch {
            return false
        }
        let again = try Plan(parsing: plan.canonicalBytes)
        #expect(again == plan)
        #expect(again.hash == plan.hash)
        #expect(try plan.evaluationLayout().count > 0)
        #expect(plan.roundsPerRun >= 3)
        _ = try? SitePolicy().check(plan, roundsUsed: 0)
        return true
    }
}
